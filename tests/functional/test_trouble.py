"""Salesforce, AWS or the set-up is in trouble: nothing is lost, and the answer says what to do."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sandbox.org.sample import INTEGRATION_USER
from sandbox.stack import Stack
from tests.conftest import PATIENT

BODY = {"LastName": "Okafor"}


def test_while_salesforce_is_down_records_are_queued_and_then_delivered(stack: Stack) -> None:
    stack.request("POST", "/leads", BODY)
    with stack.outage():
        responses = [stack.request("POST", "/leads", BODY) for _ in range(20)]
    assert {response.status for response in responses} == {202}
    assert stack.waiting() == 20
    before = stack.org.journal.counts["POST /composite/sobjects"]

    stack.drain()

    assert len(stack.org.records("Lead")) == 21
    assert stack.org.journal.counts["POST /composite/sobjects"] - before <= 3


TROUBLES: dict[str, dict[str, Any]] = {
    "503 with a page of HTML": {"status": 503, "body": "<html>maintenance</html>"},
    "500 with a page of HTML": {"status": 500, "body": "<html>oops</html>"},
    "502 with nothing": {"status": 502, "body": ""},
    "UNABLE_TO_LOCK_ROW": {"error": "UNABLE_TO_LOCK_ROW"},
    "REQUEST_LIMIT_EXCEEDED": {"error": "REQUEST_LIMIT_EXCEEDED"},
    "SERVER_UNAVAILABLE": {"error": "SERVER_UNAVAILABLE"},
    "UNKNOWN_EXCEPTION": {"error": "UNKNOWN_EXCEPTION"},
    "reset before the commit": {"reset": "before"},
    "reset after the commit": {"reset": "after"},
    "half an answer": {"mangle": "truncate"},
    "garbage for an answer": {"mangle": "garbage"},
    "an empty answer": {"mangle": "empty"},
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_passing_trouble_is_queued_and_made_once(stack: Stack, trouble: dict[str, Any]) -> None:
    for path, name, body in (("/leads", "Lead", BODY), ("/cases", "Case", {"Subject": "s"})):
        stack.org.trouble.add(area="rest", times=2, **trouble)
        assert stack.request("POST", path, body).status in (200, 202)
        stack.org.trouble.clear()
        stack.drain()
        assert len(stack.org.records(name)) == 1
        assert stack.rejected() == []


def test_before_connect_records_wait_and_the_answer_names_the_command() -> None:
    with Stack(poll=False, connected=False, processes=1, parameters=PATIENT) as stack:
        response = stack.request("POST", "/leads", BODY)
        assert response.status == 202
        assert "make connect" in response.json()["message"]
        assert not stack.tick().failed  # a state, not an error of the schedule

        stack.connect()
        stack.tick()
        time.sleep(5.1)  # an environment asks again after five seconds
        stack.drain()
        assert len(stack.org.records("Lead")) == 1


SET_UP: dict[str, tuple[Any, str]] = {
    "the API is disabled": (lambda org: org.settings.put(api_enabled=False), "API Enabled"),
    "the key field is missing": (
        lambda org: org.remove_field("Lead", "Bird_Key__c"),
        "Bird_Key__c",
    ),
    "the key field is hidden": (
        lambda org: org.hide_field("Lead", "Bird_Key__c", user=INTEGRATION_USER),
        "Bird_Key__c",
    ),
    "the user may not create": (
        lambda org: org.set_object_rights("Lead", "Read", user=INTEGRATION_USER),
        "may not create a Lead",
    ),
    "the user may not even see": (
        lambda org: org.set_object_rights("Lead", user=INTEGRATION_USER),
        "give Create and Read on Lead",
    ),
    "sessions are not for REST": (
        lambda org: org.settings.put(session_valid_for_rest=False),
        "REST API",
    ),
    "the storage is full": (lambda org: org.settings.put(storage_full=True), "Storage"),
    "the user is inactive": (
        lambda org: (org.set_user(INTEGRATION_USER, IsActive=False), org.oauth.expire_sessions()),
        "inactive",
    ),
}


@pytest.mark.parametrize("change, words", SET_UP.values(), ids=SET_UP)
def test_an_org_that_needs_a_person_refuses_no_record(
    own_org: Stack, change: Any, words: str
) -> None:
    logged = len(own_org.logs("create_lead"))
    change(own_org.org)
    response = own_org.request("POST", "/leads", BODY)
    assert response.status == 202
    assert words in response.json()["message"]
    for _ in range(2):
        assert own_org.rejected() == [] and own_org.waiting() == 1
        own_org.deliver_once()
    assert "NotSetUp" in own_org.logs("create_lead")[logged:]


def test_a_renamed_domain_is_asked_for_once(stack: Stack) -> None:
    stack.request("POST", "/leads", BODY)
    stack.org.trouble.add(
        area="rest",
        status=302,
        body="",
        headers={"Location": "https://new.my.salesforce.com/"},
        times=1,
    )
    assert stack.request("POST", "/leads", BODY).status == 201
