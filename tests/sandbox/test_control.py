"""The control API and the pages: what a person or a test in another process uses."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import urllib3

from sandbox.org import Org, OrgServer, sample
from sandbox.org.http.control import CALLS

from .conftest import Caller, lead


def control(caller: Caller, method: str, path: str, body: Any = None) -> Any:
    response = caller.call(method, "/_sandbox" + path, body)
    assert response.status < 300, response.data
    return response.json()


def call(caller: Caller, name: str, /, **arguments: Any) -> Any:
    return control(caller, "POST", f"/call/{name}", arguments)["result"]


def test_it_needs_no_token_but_json(anonymous: Caller, org: Org) -> None:
    path, sent = "/_sandbox/call/trouble.add", {"error": "SERVER_UNAVAILABLE"}
    assert anonymous.call("POST", path, sent, Content_Type="text/plain").status == 400
    assert org.trouble.faults() == []
    assert anonymous.call("POST", path, sent).status == 200


def test_faults_are_ordered_listed_and_cleared(caller: Caller, org: Org) -> None:
    made = call(caller, "trouble.add", error="SERVER_UNAVAILABLE", times=1)
    assert caller.create("Lead", **lead()).status == 503
    listed = control(caller, "GET", "/state")["faults"]
    assert [(f["id"], f["hits"]) for f in listed] == [(made["id"], 1)]
    assert call(caller, "trouble.remove", fault=made["id"])
    assert org.trouble.faults() == []
    call(caller, "trouble.add", latency_before=0.1)
    call(caller, "trouble.clear")
    assert org.trouble.faults() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/call/trouble.add", {"nonsense": 1}),
        ("/call/trouble.add", {"reset": "sometimes"}),
        ("/call/trouble.add", [1]),
        ("/call/settings.put", {"nonsense": 1}),
        ("/call/settings.put", {"api_enabled": "yes"}),
        ("/call/oauth.set_policies", {"client_id": sample.CLIENT_ID, "client_secret": "x"}),
        ("/call/add_validation_rule", {"object_name": "Lead", "error_when": 1, "message": "x"}),
        ("/call/set_object_rights", {"user": sample.ADMIN_USER}),
        ("/call/create", {"object_name": "Lead", "fields": {}}),
        ("/call/oauth.revoke", {"token": "nobody's"}),
        ("/outage", {}),
        *(("/outage", {"seconds": seconds}) for seconds in ("soon", -1, "nan", [])),
    ],
)
def test_what_makes_no_sense_is_told(
    anonymous: Caller, server: OrgServer, path: str, body: Any
) -> None:
    response = anonymous.call("POST", "/_sandbox" + path, body)
    assert response.status == 400, response.data
    assert response.json()["error"]
    assert not server.refusing


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/records/Nothing"),
        ("GET", "/nothing"),
        ("POST", "/call/__init__"),
        ("POST", "/call/store.purge"),
    ],
)
def test_what_is_not_there_is_404_in_json(anonymous: Caller, method: str, path: str) -> None:
    response = anonymous.call(method, "/_sandbox" + path, {} if method == "POST" else None)
    assert (response.status, list(response.json())) == (404, ["error"])


def test_rules_rights_and_settings_can_be_set_from_outside(caller: Caller, org: Org) -> None:
    rule = {"field": "Phone", "operator": "not_matches", "value": r"^\+"}
    named = {"object_name": "Lead", "field": "Phone", "message": "Phone needs a country code"}
    call(caller, "add_validation_rule", error_when=rule, **named)
    assert caller.create("Lead", **lead(Phone="020")).json()[0]["fields"] == ["Phone"]
    assert caller.create("Lead", **lead(Phone="+3120")).status == 201
    call(caller, "clear_rules")
    call(caller, "change_field", object_name="Lead", name="LeadSource", restricted=True)
    assert caller.create("Lead", **lead(LeadSource="Viber")).status == 400
    user = {"user": sample.INTEGRATION_USER}
    call(caller, "set_object_rights", object_name="Lead", actions=["Read"], **user)
    assert caller.create("Lead", **lead()).json()[0]["message"] == (
        "entity type cannot be inserted: Lead"
    )
    call(caller, "settings.put", daily_requests=10, session_seconds=60)
    assert org.settings.session_seconds == 60.0
    call(caller, "usage.set_used", count=10)
    assert caller.call("GET", "/sobjects").status == 403
    call(caller, "clock.advance", seconds=86_400)
    assert org.usage.used() == 0
    assert caller.call("GET", "/sobjects").status == 401


def test_policies_of_an_app_can_be_set_from_outside(caller: Caller, org: Org) -> None:
    call(caller, "oauth.set_policies", client_id=sample.CLIENT_ID, rotation=True, young=True)
    app = org.oauth.apps[sample.CLIENT_ID]
    assert app.rotation
    assert app.ready_at > org.clock.now()
    token = org.oauth.current_refresh_token(sample.INTEGRATION_USER)
    assert token is not None
    call(caller, "oauth.revoke", token=token)
    assert not org.connected(token)


def test_records_can_be_made_merged_and_converted_from_outside(caller: Caller, org: Org) -> None:
    made = {"object_name": "Lead", "fields": lead()}
    master, loser, other = (call(caller, "create", **made) for _ in range(3))
    call(caller, "merge", object_name="Lead", master_id=master, loser_ids=[loser])
    (gone,) = control(caller, "GET", "/records/Lead?deleted=true")["records"]
    assert (gone["Id"], gone["MasterRecordId"]) == (loser, master)
    assert call(caller, "convert", lead_id=other, opportunity=False) == {
        "account_id": org.records("Account")[0]["Id"],
        "contact_id": org.records("Contact")[0]["Id"],
        "opportunity_id": None,
    }


def test_the_state_tells_what_happened(caller: Caller) -> None:
    caller.create("Lead", **lead(Bird_Key__c="k"))
    state = control(caller, "GET", "/state")
    assert state["records"]["Lead"] == 1
    assert state["requests"]["POST /sobjects/Lead"] == 1
    assert state["keys_twice"] == {}
    found = control(caller, "GET", "/requests?match=sobjects")["requests"]
    assert [r["method"] for r in found] == ["POST"]
    assert control(caller, "GET", "/records/Lead")["records"][0]["Bird_Key__c"] == "k"


def test_an_outage_of_a_while_ends_by_itself(caller: Caller, server: OrgServer) -> None:
    control(caller, "POST", "/outage", {"seconds": 0.5})
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    pytest.fail("the outage did not end")


def test_an_outage_replaces_the_one_before_and_its_end(server: OrgServer) -> None:
    server.refuse_connections(seconds=0.2)
    server.refuse_connections()
    time.sleep(0.5)
    assert server.refusing
    server.refuse_connections(seconds=0.2)
    server.accept_connections()
    server.refuse_connections()
    time.sleep(0.5)
    assert server.refusing


def test_an_outage_can_be_ended_from_the_other_port(caller: Caller, server: OrgServer) -> None:
    begun = control(caller, "POST", "/outage", {"seconds": 60})
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
    method, address = begun["end"].split()
    assert urllib3.request(method, address, timeout=5).status == 200
    socket.create_connection(("127.0.0.1", server.port), timeout=5).close()


def test_the_other_port_does_not_speak_salesforce(server: OrgServer) -> None:
    response = urllib3.request("GET", server.control_url + "/services/data/v68.0", timeout=5)
    assert response.status == 404


def test_a_reset_leaves_users_fields_and_tokens(caller: Caller, org: Org) -> None:
    caller.create("Lead", **lead(Bird_Key__c="k"))
    call(caller, "trouble.add", error="SERVER_UNAVAILABLE")
    org.settings.put(maintenance=True)
    control(caller, "POST", "/reset", {})
    assert org.records("Lead") == []
    assert caller.create("Lead", **lead(Bird_Key__c="k")).status == 201


def test_every_path_and_call_of_the_control_api_is_documented(server: OrgServer) -> None:
    readme = (Path(__file__).parents[2] / "sandbox/org/README.md").read_text()
    app: Any = server.app
    rules = [rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/_sandbox")]
    paths = [re.sub(r"<(\w+)>", r"{\1}", rule) for rule in rules]
    assert [one for one in paths if one not in readme] == []
    assert [one for one in CALLS if f"`{one}`" not in readme] == []


# --- pages --------------------------------------------------------------------------------

EVIL = '<script>alert("x")</script>\'"><img src=x onerror=alert(1)>\ud83d'


def page(server: OrgServer, path: str) -> Any:
    return urllib3.request("GET", server.url + path, timeout=5, retries=False)


def test_the_page_of_an_empty_org_says_so(server: OrgServer) -> None:
    text = page(server, "/").data.decode()
    assert "No lead yet" in text
    assert "No case yet" in text


def test_what_strangers_wrote_is_escaped_everywhere(caller: Caller, org: Org) -> None:
    made = caller.create(
        "Lead", LastName=EVIL[:80], Company=EVIL, LeadSource=EVIL, Description=EVIL, Bird_Key__c="k"
    )
    assert made.status == 201, made.data
    case = caller.create("Case", Subject=EVIL, SuppliedName=EVIL[:80], Origin=EVIL)
    for path in ("/", f"/{made.json()['id']}", f"/{case.json()['id']}"):
        response = page(caller.server, path)
        assert response.status == 200
        assert b"<script>alert" not in response.data
        assert b"<img" not in response.data
        assert b"&lt;script&gt;alert" in response.data
        assert "script-src 'nonce-" in response.headers["Content-Security-Policy"]
    feed = control(caller, "GET", "/feed")
    assert feed["leads"][0]["name"].startswith("<script>")


def test_a_record_has_a_page_under_both_its_addresses(server: OrgServer, org: Org) -> None:
    made = org.create("Lead", lead(FirstName="Anna"))
    for path in (f"/{made}", f"/{made[:15]}", f"/lightning/r/Lead/{made}/view"):
        assert "Anna Jansen" in page(server, path).data.decode()
    org.delete("Lead", made)
    assert "deleted" in page(server, f"/{made}").data.decode()
    for path in ("/nothing", "/nothing/here", "/services/nothing"):
        missing = page(server, path)
        assert missing.status == 404
        assert '<a href="/">' in missing.data.decode()
    assert page(server, "/00QABCDE0000abc").status == 404
    assert page(server, "/nothing").status == 404


def test_the_program_runs_an_org_by_itself() -> None:
    program = [sys.executable, "-m", "sandbox.org", "--port", "0", "--bare"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(7)]
            url = lines[0].split()[1]
            versions = json.loads(urllib3.request("GET", url + "/services/data", timeout=5).data)
            assert versions[-1]["version"] == "68.0"
            assert any(sample.ADMIN_PASSWORD in line for line in lines)
        finally:
            process.terminate()
            assert process.wait(timeout=10) == 0
