"""Trouble on order, seen from the other end of a real socket."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from sandbox.org import Org, OrgServer

from .conftest import Caller, lead


def create(caller: Caller, key: str = "k") -> urllib3.BaseHTTPResponse:
    return caller.create("Lead", **lead(Bird_Key__c=key))


def test_resets_work_under_tls_too(tmp_path: Any) -> None:
    with OrgServer(Org.sample(), tls=True, certificate_folder=tmp_path) as server:
        assert server.certificate is not None
        http = urllib3.PoolManager(ca_certs=str(server.certificate.path), retries=False)
        assert http.request("GET", server.url + "/services/data").status == 200
        server.org.trouble.add(reset="after", times=1)
        with pytest.raises(HTTPError):
            http.request("GET", server.url + "/services/data")
        assert http.request("GET", server.url + "/services/data").status == 200


@pytest.mark.parametrize(("moment", "records"), [("before", 0), ("after", 1)])
def test_silence_lasts_until_the_client_gives_up(
    server: OrgServer, caller: Caller, org: Org, moment: str, records: int
) -> None:
    fault = org.trouble.add(silence=moment, times=1)
    caller.http.connection_pool_kw["timeout"] = urllib3.Timeout(0.5)
    with pytest.raises(ReadTimeoutError):
        create(caller)
    assert fault.hits == 1
    assert len(org.records("Lead")) == records


def test_a_connection_may_be_reset_before_any_byte(
    server: OrgServer, caller: Caller, org: Org
) -> None:
    org.trouble.add(connection="reset", times=1)
    with pytest.raises(HTTPError, match=r"reset by peer|closed connection"):
        create(caller)
    assert create(caller).status == 201
    assert org.journal.refused_connections == 1


def test_idle_connections_may_be_dropped(server: OrgServer, caller: Caller, org: Org) -> None:
    assert create(caller, "a").status == 201
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as idle:
        idle.sendall(b"GET /services/data HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        idle.settimeout(5)
        assert server.drop_connections() >= 1
        with pytest.raises(ConnectionResetError):
            while idle.recv(100_000):
                pass


def test_a_lock_refuses_records_one_by_one(caller: Caller, org: Org) -> None:
    org.trouble.add(error="UNABLE_TO_LOCK_ROW", share=0.5, seed=7, times=1)
    results = caller.collection(*(lead(Bird_Key__c=f"k{n}") for n in range(100)))
    locked = [r for r in results if not r["success"]]
    assert 30 < len(locked) < 70
    assert {r["errors"][0]["statusCode"] for r in locked} == {"UNABLE_TO_LOCK_ROW"}
    assert len(org.records("Lead")) == 100 - len(locked)


def test_a_fault_happens_only_where_it_should(caller: Caller, org: Org) -> None:
    fault = org.trouble.add(error="SERVER_UNAVAILABLE", path=r"/Case\b", method="POST")
    assert create(caller).status == 201
    assert caller.call("GET", "/sobjects/Case/describe").status == 200
    assert caller.create("Case", Subject="x").status == 503
    assert fault.hits == 1


# --- limits and outages of the org itself -------------------------------------------------


def test_the_daily_budget_counts_and_ends(caller: Caller, org: Org) -> None:
    org.settings.daily_requests = 2
    assert create(caller, "a").headers["Sforce-Limit-Info"] == "api-usage=1/2"
    assert create(caller, "b").status == 201
    response = create(caller, "c")
    assert response.status == 403
    message = "TotalRequests Limit exceeded."
    assert response.json() == [{"message": message, "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    org.clock.advance(23 * 3600)
    assert create(caller, "c").status in (401, 403)
    org.clock.advance(2 * 3600)
    assert org.usage.used() == 0


# --- bookkeeping --------------------------------------------------------------------------


def test_the_journal_keeps_requests_without_credentials(caller: Caller, org: Org) -> None:
    token = org.oauth.current_refresh_token("integration@bird.example")
    assert token is not None
    caller.token_call(grant_type="refresh_token", refresh_token=token)
    caller.call("POST", "/sobjects/Lead", lead(Bird_Key__c="k"), Sforce_Auto_Assign="FALSE")
    text = repr(org.journal.entries())
    assert token not in text
    assert caller.token not in text
    assert "sandbox-consumer-secret" not in text
    entry = org.journal.entries("POST .*/sobjects/Lead")[0]
    assert entry.headers["Sforce-Auto-Assign"] == "FALSE"
    assert '"Bird_Key__c": "k"' in entry.body
    assert entry.status == 201


def test_the_journal_is_bounded_and_its_counts_are_not(org: Org) -> None:
    for _ in range(2500):
        org.journal.note("GET", "/x", [], b"y" * 10_000, time=0.0, status=200, seconds=0.0)
    entries = org.journal.entries()
    assert sum(len(e.body) for e in entries) <= 8_000_000
    assert entries[-1].number == 2500
    assert org.journal.counts["GET /x"] == 2500


def test_simultaneous_creates_of_one_key_make_one_record(caller: Caller, org: Org) -> None:
    statuses: list[int] = []
    lock = threading.Lock()

    def run() -> None:
        status = create(caller).status
        with lock:
            statuses.append(status)

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(statuses) == [201] + [400] * 19
    assert len(org.records("Lead")) == 1
