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
from sandbox.org.data.settings import Settings

from .conftest import Caller, lead


def control(caller: Caller, method: str, path: str, body: Any = None) -> Any:
    answer = caller.call(method, "/_sandbox" + path, body)
    assert answer.status < 300, answer.data
    return answer.json()


def test_it_needs_no_token_but_json(anonymous: Caller, org: Org) -> None:
    sent = {"error": "SERVER_UNAVAILABLE"}
    answer = anonymous.call("POST", "/_sandbox/faults", sent, Content_Type="text/plain")
    assert answer.status == 400
    assert org.trouble.faults() == []
    assert anonymous.call("POST", "/_sandbox/faults", sent).status == 201


def test_faults_are_ordered_listed_and_cleared(caller: Caller, org: Org) -> None:
    made = control(caller, "POST", "/faults", {"error": "SERVER_UNAVAILABLE", "times": 1})
    assert caller.create("Lead", **lead()).status == 503
    listed = control(caller, "GET", "/faults")["faults"]
    assert [(f["id"], f["hits"]) for f in listed] == [(made["id"], 1)]
    control(caller, "DELETE", f"/faults/{made['id']}")
    assert org.trouble.faults() == []
    control(caller, "POST", "/faults", {"latency_before": 0.1})
    control(caller, "DELETE", "/faults")
    assert org.trouble.faults() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"nonsense": 1}),
        ("/faults", {"reset": "sometimes"}),
        ("/faults", {"path": "("}),
        ("/settings", {"nonsense": 1}),
        ("/settings", {"api_enabled": "yes"}),
        ("/rules/validation", {"object": "Lead"}),
        ("/rules/validation", {"object": "Lead", "field": "x", "operator": "is", "message": "x"}),
        ("/fields", {"object": "Lead", "name": "X__c", "type": "magic"}),
        ("/clock", {"advance_seconds": -1}),
        ("/outage", {}),
        ("/faults", [1]),
    ],
)
def test_what_makes_no_sense_is_told(anonymous: Caller, path: str, body: Any) -> None:
    answer = anonymous.call("POST", "/_sandbox" + path, body)
    assert answer.status == 400, answer.data
    assert answer.json()["error"]


def test_an_unknown_object_is_404(anonymous: Caller) -> None:
    assert anonymous.call("GET", "/_sandbox/records/Nothing").status == 404


def test_rules_can_be_set_from_outside(caller: Caller, org: Org) -> None:
    rule = {
        "object": "Lead",
        "field": "Phone",
        "operator": "not_matches",
        "value": r"^\+",
        "message": "Phone needs a country code",
        "at_field": True,
        "name": "country",
    }
    control(caller, "POST", "/rules/validation", rule)
    answer = caller.create("Lead", **lead(Phone="020"))
    assert answer.json()[0]["fields"] == ["Phone"]
    assert caller.create("Lead", **lead(Phone="+3120")).status == 201
    control(caller, "DELETE", "/rules/validation/country")
    assert caller.create("Lead", **lead(Phone="020")).status == 201
    control(caller, "POST", "/rules/duplicate", {"object": "Lead", "fields": ["Phone"]})
    assert caller.create("Lead", **lead(Phone="020")).status == 400
    control(caller, "DELETE", "/rules/duplicate/Lead")
    assert caller.create("Lead", **lead(Phone="020")).status == 201
    made = control(
        caller, "POST", "/rules/assignment", {"object": "Lead", "owner": sample.SALES_USER}
    )
    caller.create("Lead", **lead(Bird_Key__c="mine"))
    owned, user = org.find("Lead", "mine"), org.oauth.user(sample.SALES_USER)
    assert owned is not None
    assert user is not None
    assert owned["OwnerId"] == user["Id"]
    assert control(caller, "GET", "/rules")["assignment"][0]["id"] == made["id"]
    control(caller, "DELETE", "/rules")
    assert control(caller, "GET", "/rules") == {"validation": [], "duplicate": [], "assignment": []}


def test_fields_and_access_can_be_set_from_outside(caller: Caller) -> None:
    user = sample.INTEGRATION_USER
    field = {"object": "Lead", "name": "Vip__c", "type": "boolean", "visible_to": [user]}
    control(caller, "POST", "/fields", field)
    assert caller.create("Lead", **lead(Vip__c=True)).status == 201
    hidden = {"object": "Lead", "field": "Vip__c", "user": user, "visible": False}
    control(caller, "POST", "/access/field", hidden)
    assert caller.create("Lead", **lead(Vip__c=True)).status == 400
    control(caller, "PATCH", "/fields/Lead/LeadSource", {"restricted": True, "values": ["SMS"]})
    assert caller.create("Lead", **lead(LeadSource="Viber")).status == 400
    assert caller.create("Lead", **lead(LeadSource="SMS")).status == 201
    rights = {"object": "Lead", "rights": ["Read"], "user": user}
    control(caller, "POST", "/access/object", rights)
    assert caller.create("Lead", **lead()).json()[0]["message"] == (
        "entity type cannot be inserted: Lead"
    )
    control(caller, "PATCH", f"/users/{user}", {"IsActive": False})
    assert caller.call("GET", "/sobjects").status == 401


def test_clock_sessions_usage_and_settings(caller: Caller, org: Org) -> None:
    control(caller, "POST", "/settings", {"daily_requests": 10, "session_seconds": 60})
    assert org.settings.session_seconds == 60.0
    control(caller, "POST", "/usage", {"used": 10})
    assert caller.call("GET", "/sobjects").status == 403
    control(caller, "POST", "/clock", {"advance_seconds": 86_400})
    assert org.usage.used() == 0
    assert control(caller, "POST", "/sessions/expire", {})["ended"] >= 0
    assert caller.call("GET", "/sobjects").status == 401


def test_policies_of_an_app_can_be_set_from_outside(caller: Caller, org: Org) -> None:
    path = f"/apps/{sample.CLIENT_ID}"
    view = control(caller, "PATCH", path, {"rotation": True, "idle_seconds": 60, "young": True})
    assert view["rotation"] is True
    assert "client_secret" not in view
    app = org.oauth.apps[sample.CLIENT_ID]
    assert app.ready_at > org.clock.now()
    assert caller.call("PATCH", "/_sandbox" + path, {"client_id": "x"}).status == 400
    token = org.oauth.current_refresh_token(sample.INTEGRATION_USER)
    assert token is not None
    assert org.connected(token)
    control(caller, "POST", "/tokens/revoke", {})
    assert not org.connected(token)


def test_a_lead_can_be_converted_and_merged_from_outside(caller: Caller, org: Org) -> None:
    master, loser, other = (org.create("Lead", lead()) for _ in range(3))
    control(caller, "POST", "/merge", {"object": "Lead", "master": master, "losers": [loser]})
    assert org.records("Lead", deleted=True)[0]["MasterRecordId"] == master
    made = control(caller, "POST", "/convert", {"lead": other, "opportunity": False})
    assert made == {
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


def test_an_outage_that_this_port_cannot_end_names_the_one_that_can(
    caller: Caller, server: OrgServer
) -> None:
    refused = caller.call("POST", "/_sandbox/outage", {})
    assert refused.status == 400
    assert f"{server.control_url}/_sandbox/outage" in refused.json()["error"]
    assert not server.refusing
    begun = control(caller, "POST", "/outage", {"seconds": 60})
    method, address = begun["end"].split()
    assert server.refusing
    assert urllib3.request(method, address, timeout=5).status == 200
    assert not server.refusing


@pytest.mark.parametrize("seconds", ["soon", -1, "nan", []])
def test_an_outage_with_a_wrong_length_does_not_begin(
    caller: Caller, server: OrgServer, seconds: Any
) -> None:
    assert caller.call("POST", "/_sandbox/outage", {"seconds": seconds}).status == 400
    assert not server.refusing


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


def test_an_outage_can_be_ended_from_the_other_port(server: OrgServer) -> None:
    def send(method: str) -> None:
        answer = urllib3.request(
            method, server.control_url + "/_sandbox/outage", json={}, timeout=5
        )
        assert answer.status == 200

    send("POST")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
    send("DELETE")
    socket.create_connection(("127.0.0.1", server.port), timeout=5).close()


def test_the_other_port_does_not_speak_salesforce(server: OrgServer) -> None:
    answer = urllib3.request("GET", server.control_url + "/services/data/v68.0", timeout=5)
    assert answer.status == 404


def test_a_reset_leaves_users_fields_and_tokens(caller: Caller, org: Org) -> None:
    caller.create("Lead", **lead(Bird_Key__c="k"))
    control(caller, "POST", "/faults", {"error": "SERVER_UNAVAILABLE"})
    control(caller, "POST", "/settings", {"maintenance": True})
    control(caller, "POST", "/reset", {})
    assert org.records("Lead") == []
    assert caller.create("Lead", **lead(Bird_Key__c="k")).status == 201


def test_every_setting_is_documented() -> None:
    readme = (Path(__file__).parents[2] / "sandbox/org/README.md").read_text()
    missing = [name for name in Settings().as_dict() if f"`{name}`" not in readme]
    assert missing == []


def test_every_path_of_the_control_api_is_documented(server: OrgServer) -> None:
    readme = (Path(__file__).parents[2] / "sandbox/org/README.md").read_text()
    app: Any = server.app
    rules = [rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/_sandbox")]
    missing = [r for r in rules if re.sub(r"<(\w+)>", r"{\1}", r) not in readme]
    assert missing == []


def test_a_wrong_path_or_method_of_the_control_api_is_json(caller: Caller) -> None:
    missing = caller.call("GET", "/_sandbox/nothing")
    assert (missing.status, list(missing.json())) == (404, ["error"])
    wrong = caller.call("PUT", "/_sandbox/outage", {})
    assert (wrong.status, wrong.headers["Allow"]) == (405, "DELETE, OPTIONS, POST")
    assert "PUT" in wrong.json()["error"]


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
        answer = page(caller.server, path)
        assert answer.status == 200
        assert b"<script>alert" not in answer.data
        assert b"<img" not in answer.data
        assert b"&lt;script&gt;alert" in answer.data
        assert "script-src 'nonce-" in answer.headers["Content-Security-Policy"]
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
