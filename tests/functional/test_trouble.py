"""Salesforce, AWS or the set-up is in trouble: nothing is lost, and the answer says what to do."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.org.sample import INTEGRATION_USER
from sandbox.stack import Stack
from tests.conftest import PATIENT

BODY = {"LastName": "Okafor"}


def test_while_salesforce_is_down_records_are_queued_and_then_delivered(stack: Stack) -> None:
    stack.request("POST", "/leads", BODY)
    with stack.org_server.down():  # type: ignore[union-attr]
        answers = [stack.request("POST", "/leads", BODY) for _ in range(20)]
    assert {answer.status for answer in answers} == {202}
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


@pytest.mark.parametrize("path, name", [("/leads", "Lead"), ("/cases", "Case")])
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_passing_trouble_is_queued_and_made_once(
    stack: Stack, path: str, name: str, trouble: dict[str, Any]
) -> None:
    stack.org.trouble.add(area="rest", times=2, **trouble)

    answer = stack.request("POST", path, BODY if name == "Lead" else {"Subject": "s"})

    assert answer.status in (200, 202)
    stack.org.trouble.clear()
    stack.drain()
    assert len(stack.org.records(name)) == 1
    assert stack.rejected() == []


def test_an_expired_session_costs_one_read_one_refresh_and_one_repeated_call(stack: Stack) -> None:
    stack.request("POST", "/leads", BODY)
    stack.aws.calls.clear()
    stack.org.oauth.expire_sessions()

    assert stack.request("POST", "/leads", BODY).status == 201

    own = {name: n for (who, name), n in calls_of(stack, "create_lead").items()}
    assert own == {"ssm.GetParameter": 1, "lambda.Invoke": 1}


def calls_of(stack: Stack, function: str) -> dict[tuple[str, str], int]:
    return {key: n for key, n in stack.aws.calls.items() if key[0] == function}


def test_many_refused_at_once_cost_one_refresh(stack: Stack) -> None:
    for _ in range(4):
        stack.request("POST", "/leads", BODY)
    before = stack.org.journal.counts["POST /services/oauth2/token"]
    stack.org.oauth.expire_sessions()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: stack.request("POST", "/leads", BODY), range(8)))

    assert {answer.status for answer in answers} <= {201, 202}
    assert stack.org.journal.counts["POST /services/oauth2/token"] == before + 1


def test_before_connect_records_wait_and_the_answer_names_the_command() -> None:
    with Stack(poll=False, connected=False, processes=1, parameters=PATIENT) as stack:
        answer = stack.request("POST", "/leads", BODY)
        assert answer.status == 202
        assert "make connect" in answer.json()["message"]
        assert not stack.tick().failed  # a state, not an error of the schedule

        stack.connect()
        stack.tick()
        time.sleep(5.1)  # an environment asks again after five seconds
        stack.drain()
        assert len(stack.org.records("Lead")) == 1


SET_UP: dict[str, tuple[Any, str]] = {
    "the API is disabled": (
        lambda org: org.settings.put(api_enabled=False),
        "API Enabled",
    ),
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
def test_an_org_that_needs_a_person_refuses_no_record(change: Any, words: str) -> None:
    with Stack(poll=False, processes=1, parameters=PATIENT) as stack:
        change(stack.org)
        answer = stack.request("POST", "/leads", BODY)
        assert answer.status == 202
        assert words in answer.json()["message"]
        assert stack.rejected() == [] and stack.waiting() == 1
        assert "NotSetUp" in stack.logs("create_lead")
        stack.deliver_once()
        assert stack.rejected() == [] and stack.waiting() == 1


@pytest.mark.parametrize("name", ["Lead", "Case"])
def test_an_assignment_rule_that_is_not_there_refuses_no_record(name: str) -> None:
    wrong = {f"{name}AssignmentRule": "01Q000000000001AAA"}
    with Stack(poll=False, processes=1, parameters=wrong) as stack:
        body: dict[str, Any] = {"LastName": "Okafor"} if name == "Lead" else {"Subject": "s"}
        path = f"/{name.lower()}s"
        answer = stack.request("POST", path, body)
        assert answer.status == 202
        assert f"{name}AssignmentRule" in answer.json()["message"]
        stack.deliver_once()
        assert stack.rejected() == [] and stack.waiting() == 1
        assert "NO_SUCH_ASSIGNMENT_RULE" in stack.logs("deliver")
        own = stack.org.query("SELECT Id FROM User LIMIT 1")[0]["Id"]
        assert stack.request("POST", f"{path}?set.OwnerId={own}", body).status == 201


CHILD = {"Subject": "s", "Parent": {"Bird_Key__c": "nobody"}}
LINKS = {"AllowedFields": "Parent,Account"}


def test_a_link_to_a_record_that_is_not_there_is_refused_alone() -> None:
    with Stack(poll=False, processes=1, parameters={**PATIENT, **LINKS}) as stack:
        stack.org.add_field("Account", "Ext__c", external_id=True, visible_to=(INTEGRATION_USER,))
        other = {"Subject": "s", "Account": {"Ext__c": "x"}}
        for body, name in ((CHILD, "Parent.Bird_Key__c"), (other, "Account.Ext__c")):
            answer = stack.request("POST", "/cases", body)
            problem = answer.json()
            assert (answer.status, problem["code"]) == (422, "INVALID_FIELD")
            assert (problem["fields"], problem["kept"]) == (name, True)
        later = {"Prefer": "respond-async"}
        for body in (CHILD, {"Subject": "good"}, other):
            assert stack.request("POST", "/cases", body, headers=later).status == 202
        stack.drain()
        assert [case["Subject"] for case in stack.org.records("Case")] == ["good"]
        fields = [one["reason"]["fields"] for one in stack.rejected()]
    assert sorted(fields) == sorted([["Parent.Bird_Key__c"], ["Account.Ext__c"]] * 2)


@pytest.mark.parametrize("how", ["missing", "hidden"])
def test_a_link_by_our_field_waits_where_that_is_not_there(how: str) -> None:
    with Stack(poll=False, processes=1, parameters={**PATIENT, **LINKS}) as stack:
        if how == "missing":
            stack.org.remove_field("Case", "Bird_Key__c")
        else:
            stack.org.hide_field("Case", "Bird_Key__c", user=INTEGRATION_USER)
        answer = stack.request("POST", "/cases", CHILD)
        assert answer.status == 202
        assert "Bird_Key__c" in answer.json()["message"]
        stack.deliver_once()
        assert stack.rejected() == [] and stack.waiting() == 1


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


def test_a_queue_that_cannot_be_reached_is_503_and_says_what_to_do() -> None:
    with Stack(poll=False, parameters={"ResponseBudgetSeconds": "2"}, processes=1) as stack:
        stack.request("POST", "/leads", BODY)
        stack.aws.fail("sqs")
        refused = stack.request("POST", "/leads", {"Company": "no last name"})
        with stack.org_server.down():  # type: ignore[union-attr]
            queued = stack.request("POST", "/leads", BODY)

    for answer in (refused, queued):
        assert answer.status == 503
        assert answer.headers["retry-after"] == "30"
        assert answer.json()["kept"] is False
        assert answer.json()["key"]


def test_an_outage_that_hangs_costs_two_callers_their_wait() -> None:
    with Stack(poll=False, parameters={"ResponseBudgetSeconds": "3"}, processes=1) as stack:
        # A token is there and the function warm, else a busy machine's first request waits as well.
        assert not stack.tick().failed
        assert any(stack.request("POST", "/leads", BODY).status == 201 for _ in range(5))
        stack.org.trouble.add(area="rest", silence="before")
        waits = []
        for _ in range(4):
            started = time.monotonic()
            assert stack.request("POST", "/leads", BODY).status == 202
            waits.append(time.monotonic() - started)
        stack.org.trouble.clear()

    assert max(waits) < 3.5
    assert sum(wait > 1 for wait in waits) == 2


def test_a_refresh_without_an_instance_url_keeps_the_last_one(stack: Stack) -> None:
    stack.org.settings.put(send_instance_url=False)
    stack.org.oauth.expire_sessions()

    assert stack.request("POST", "/leads", BODY).status == 201
