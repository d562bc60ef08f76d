"""A request comes in, a record is in Salesforce, the caller knows its id."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bridge.records import stored_key
from sandbox.org.sample import INTEGRATION_USER
from sandbox.stack import Response, Stack
from tests.stacks import deployed_with

WHATSAPP = {
    "bird": {
        "channel": "whatsapp",
        "messageId": "wamid.HBgMNDkxNTEyMzQ1Njc4FQIAEhgg",
        "sender": "+4915123456789",
        "displayName": "Amara Okafor",
        "text": "Is the blue one back in stock?",
    }
}
OUTSIDE = {**WHATSAPP, "Bird_Key__c": "its-own-key"}
"""The same outside of any conversation: whoever gives the record's key means that record."""
VIBER = {
    "bird": {
        "channel": "viber",
        "messageId": "5741311803571721087",
        "sender": "+380671234567",
        "displayName": "Олена",
        "text": "Мій заказ не прийшов",
    }
}


def post(stack: Stack, path: str, body: Any, **more: Any) -> Response:
    return stack.request("POST", path, body, **more)


def test_a_whatsapp_message_becomes_a_lead(stack: Stack) -> None:
    response = post(stack, "/leads", WHATSAPP)

    given = response.json()
    assert (response.status, given["outcome"], given["success"]) == (201, "created", True)
    assert given["url"] == f"{stack.org.instance_url}/{given['id']}"
    (lead,) = stack.org.records("Lead")
    assert lead["Id"] == given["id"]
    assert given["key"] == stored_key(WHATSAPP["bird"]["messageId"])
    assert lead["Bird_Key__c"] == lead["Bird_Conversation__c"]
    assert (lead["FirstName"], lead["LastName"]) == ("Amara", "Okafor")
    assert (lead["Company"], lead["LeadSource"]) == ("Individual", "WhatsApp")
    assert lead["Phone"] == "+4915123456789"
    assert lead["Description"] == "Is the blue one back in stock?"


def test_a_viber_message_becomes_a_case_whose_number_comes_with_it(stack: Stack) -> None:
    response = post(stack, "/cases", VIBER)

    (case,) = stack.org.records("Case")
    assert response.status == 201
    assert response.json()["number"] == case["CaseNumber"]
    assert case["Subject"] == "Viber: Мій заказ не прийшов"
    assert (case["Origin"], case["SuppliedName"]) == ("Viber", "Олена")
    assert dict(stack.org.journal.counts) == {"POST /composite": 2}


@pytest.mark.parametrize("path, body", [("/leads", WHATSAPP), ("/cases", VIBER)])
def test_a_repeated_call_gets_the_same_record(stack: Stack, path: str, body: Any) -> None:
    first = post(stack, path, body).json()
    again = post(stack, path, body)

    assert again.status == 200
    assert again.json() == {**first, "outcome": "exists", "added": False}
    assert stack.org.keys_twice() == {}


def test_two_at_once_with_one_key_make_one_record(stack: Stack) -> None:
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: post(stack, "/leads", WHATSAPP), range(8)))

    assert sorted({response.status for response in responses}) in ([200, 201], [201])
    assert len({response.json()["id"] for response in responses}) == 1
    assert len(stack.org.records("Lead")) == 1


def test_ids_that_differ_in_case_only_are_different_messages(stack: Stack) -> None:
    for message_id in ("wamid.ABC", "wamid.ABc"):
        body = {"LastName": "Okafor", "bird": {"channel": "whatsapp", "messageId": message_id}}
        assert post(stack, "/leads", body).status == 201
    assert len(stack.org.records("Lead")) == 2


TEXTS = {
    "a pipe and quotes": "a|b \"c\" 'd' \\ e",
    "emoji": "👍🏽 family 👨‍👩‍👧‍👦",
    "right to left": "\u202bمرحبا، كيف الحال؟\u202c",
    "markup": "<script>alert(1)</script> & {json: true}",
    "lines": "one\ntwo\r\n\tthree",
    "as long as it goes": "ж" * 32_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_arrives_as_it_was_sent(stack: Stack, text: str) -> None:
    for path, name in (("/leads?set.LastName=L", "Lead"), ("/cases", "Case")):
        assert post(stack, path, {"Description": text}).status == 201
        assert [record["Description"] for record in stack.org.records(name)] == [text]


def test_a_refusal_tells_salesforces_reason_and_is_kept(stack: Stack) -> None:
    response = post(stack, "/leads", {"Company": "Acme"}, headers={"Idempotency-Key": "k1"})

    given = response.json()
    assert response.status == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert (given["outcome"], given["code"], given["fields"], given["kept"]) == (
        "rejected",
        "REQUIRED_FIELD_MISSING",
        "LastName",
        True,
    )
    assert given["hint"]
    (kept,) = stack.rejected()
    assert kept["fields"]["Company"] == "Acme"
    assert kept["reason"]["code"] == "REQUIRED_FIELD_MISSING"


@pytest.mark.parametrize(
    "path, body", [("/leads", WHATSAPP), ("/leads", OUTSIDE), ("/cases", VIBER)]
)
@pytest.mark.parametrize("rule", ["none", "duplicate", "validation"])
def test_after_a_lost_answer_the_next_call_finds_the_record(
    stack: Stack, path: str, body: Any, rule: str
) -> None:
    name = "Lead" if path == "/leads" else "Case"
    looks = 0 if body is OUTSIDE else 1  # a message of a conversation is looked for first
    stack.org.trouble.add(area="rest", method="POST", reset="after", skip=looks, times=1)
    lost = post(stack, path, body)
    # On a kept connection a request with a key is sent once more, and finds what it made.
    assert lost.status == 202 if body is OUTSIDE else lost.status in (200, 202)
    if rule == "duplicate":
        stack.org.set_duplicate_rule(
            name, action="block", fields=("Phone",) if name == "Lead" else ("SuppliedPhone",)
        )
    if rule == "validation":
        stack.org.add_validation_rule(name, lambda record: True, "nothing is good enough now")

    response = post(stack, path, body)

    assert (response.status, response.json()["outcome"]) == (200, "exists"), response.json()
    assert response.json()["id"] == stack.org.records(name)[0]["Id"]
    stack.drain()
    assert len(stack.org.records(name)) == 1
    assert stack.rejected() == []


def test_a_create_whose_answer_never_comes_is_sent_once_and_answered_in_time(stack: Stack) -> None:
    with deployed_with(stack, RESPONSE_BUDGET_SECONDS="4"):
        stack.org.trouble.add(area="rest", method="POST", silence="after")
        started = time.monotonic()

        response = post(stack, "/leads", OUTSIDE)

        assert time.monotonic() - started < 8  # and more only where the machine stands still
        assert response.status == 202
        assert stack.org.journal.counts["POST /sobjects/Lead"] == 1
        assert len(stack.org.records("Lead")) == 1
        stack.org.trouble.clear()
        stack.drain()
        assert len(stack.org.records("Lead")) == 1


def test_a_record_that_its_creator_may_not_see_exists_all_the_same(own_org: Stack) -> None:
    own_org.org.settings.put(private=["Lead"])
    owner = own_org.org.put_raw("Group", Name="Elsewhere", Type="Queue")
    own_org.org.set_object_rights("Lead", "Create", "Read", user=INTEGRATION_USER)
    own_org.org.add_assignment_rule("Lead", owner)
    first, again = (post(own_org, "/leads", OUTSIDE) for _ in range(2))

    assert (first.status, again.status) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert own_org.request("GET", f"/leads/{first.json()['key']}").status == 404


def test_a_warm_create_costs_one_call_on_a_kept_connection(stack: Stack) -> None:
    post(stack, "/leads", {"LastName": "cold"})
    stack.aws.calls.clear()
    calls, connections = sum(stack.org.journal.counts.values()), stack.org.journal.connections

    for number in range(5):
        assert post(stack, "/leads", {"LastName": f"warm {number}"}).status == 201

    assert dict(stack.aws.calls) == {}
    assert sum(stack.org.journal.counts.values()) == calls + 5
    assert stack.org.journal.connections == connections


def test_what_became_of_a_request_can_be_asked(stack: Stack) -> None:
    made = post(stack, "/cases", VIBER).json()
    raw = VIBER["bird"]["messageId"]

    for path in (f"/cases/{made['key']}", f"/cases/{raw}", f"/cases?key={raw}"):
        response = stack.request("GET", path)
        assert (response.status, response.json()["id"]) == (200, made["id"])
        assert response.json()["number"] == made["number"]
    file_name = {"Idempotency-Key": "order-1.json"}
    made = post(stack, "/cases", {"Subject": "s"}, headers=file_name).json()
    assert stack.request("GET", "/cases/order-1.json").json()["id"] == made["id"]
    unknown = stack.request("GET", "/cases/nobody-sent-this")
    assert (unknown.status, unknown.json()["outcome"]) == (404, "unknown")
