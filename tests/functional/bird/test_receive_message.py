"""POST /messages, the route of webhooks, and raw bodies at /leads and /cases: through the stack.

What is read of a body, and which signature is good, is tested in tests/unit (`test_request.py`,
`test_shapes.py`, `test_signatures.py`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from sandbox.stack import Response, Stack
from tests.conftest import PATIENT
from tests.functional.bird.conftest import clean, made, only
from tests.stacks import public_address, write_signing_keys
from tests.unit import bodies
from tests.unit.examples import mail
from tests.unit.signing import KEY, SECRET, bird, jwt, standard


def post(stack: Stack, path: str, body: Any, **more: Any) -> Response:
    return stack.request("POST", path, body, **more)


def test_the_channel_decides_what_a_message_becomes_and_a_repeated_one_is_the_same(
    stack: Stack,
) -> None:
    first, again = (post(stack, "/messages", bodies.channels()).json() for _ in range(2))
    assert [one["outcome"] for one in (first, again)] == ["created", "exists"]
    assert first["id"] == again["id"] == only(stack, "Lead")["Id"]
    response = post(stack, "/messages", bodies.channels(event="viber.inbound", id="v-1"))
    case = only(stack, "Case")
    assert (response.status, response.json()["number"]) == (201, case["CaseNumber"])
    assert (case["Origin"], case["SuppliedPhone"]) == ("Viber", "+447700900142")


@pytest.mark.parametrize("path", ["/messages", "/cases"])
def test_a_mail_with_a_text_like_a_reference_is_made_at_once(stack: Stack, path: str) -> None:
    bird = {"channel": "email", "messageId": "m-ref", "sender": "ada@example.org"}
    response = post(stack, path, {"bird": {**bird, "text": "My code is @{order.id}"}})
    assert response.status == 201, response.body
    assert response.json()["number"] == only(stack, "Case")["CaseNumber"]
    assert only(stack, "Case")["Description"] == "My code is @{order.id}"


# Signatures


@pytest.fixture(scope="module")
def signing() -> Iterator[Stack]:
    """A stack whose requests have to be signed as Bird's webhook subscriptions are."""
    parameters = {**PATIENT, "SignatureScheme": "bird"}
    with Stack(poll=False, processes=1, parameters=parameters) as stack:
        stack.tick()
        yield stack


@pytest.fixture
def signed(signing: Stack) -> Stack:
    clean(signing)
    write_signing_keys(signing, KEY)
    return signing


def call(stack: Stack, path: str, body: Any, **more: Any) -> Response:
    raw = json.dumps(body).encode()
    headers = bird(at=time.time(), url=public_address(stack, path), body=raw)
    headers["content-type"] = "application/json"
    return stack.request("POST", path, raw, headers=headers, **more)


def test_a_signed_webhook_needs_no_api_key_and_its_query_counts(signed: Stack) -> None:
    owner = signed.org.query("SELECT Id FROM User WHERE Username LIKE 'admin%'")[0]["Id"]
    path = f"/webhooks/bird?object=Case&set.OwnerId={owner}"
    response = call(signed, path, bodies.channels(), api_key=None)
    assert response.status == 201, response.body
    assert only(signed, "Case")["OwnerId"] == owner


def test_every_failure_gets_the_same_answer(signed: Stack) -> None:
    raw = json.dumps(bodies.channels()).encode()
    url = public_address(signed, "/webhooks/bird")
    now = time.time()
    attempts = {
        "no signature": {},
        "another key": bird(key="not-the-key-at-all", at=now, url=url, body=raw),
        "too late": bird(at=now - 25 * 3600, url=url, body=raw),
        "another body": bird(at=now, url=url, body=raw + b" "),
        "another address": bird(at=now, url=url + "?x=1", body=raw),
        "another scheme": jwt(url=url, body=raw, nbf=int(now), exp=int(now) + 60),
    }
    responses = [
        signed.request("POST", f"/webhooks/bird{query}", raw, headers=headers)
        for headers in attempts.values()
        for query in ("", "?errors=inline")
    ]
    assert {one.status for one in responses} == {401}
    assert len({one.body for one in responses}) == 1
    assert not made(signed, "Lead")
    log = signed.logs("receive_message")
    assert all(f'"{reason}"' in log for reason in ("missing", "signature", "too_late"))


@pytest.mark.parametrize("path", ["/leads", "/cases", "/messages"])
def test_every_route_that_makes_a_record_has_to_be_signed(signed: Stack, path: str) -> None:
    body = bodies.channels()
    assert post(signed, path, body).status == 401
    assert call(signed, path, body, api_key=None).status == 403, "and the key is needed as before"
    response = call(signed, path, body)
    assert response.status == 201
    if path == "/leads":
        assert signed.request("GET", f"/leads/{response.json()['key']}").status == 200, (
            "but looking"
        )


def test_a_get_that_makes_a_record_has_to_be_signed_too(signed: Stack) -> None:
    query = urlencode({"originator": "447700900142", "payload": "INFO"})
    path = f"/webhooks/bird?{query}"
    assert signed.request("GET", path, api_key=None).status == 401
    headers = bird(at=time.time(), url=public_address(signed, path), body=b"")
    assert signed.request("GET", path, headers=headers, api_key=None).status == 201


def test_create_reads_the_token_and_the_signing_keys_and_nothing_else(signed: Stack) -> None:
    signed.functions["create_lead"].recycle()
    signed.aws.calls.clear()
    assert call(signed, "/leads", bodies.channels()).status == 201
    called = {operation for (who, operation) in signed.aws.calls if who == "create_lead"}
    assert called == {"secretsmanager.GetSecretValue", "ssm.GetParameter"}


def test_signing_keys_that_cannot_be_read_are_503_and_the_next_call_succeeds(signed: Stack) -> None:
    signed.functions["receive_message"].recycle()
    signed.aws.fail("secretsmanager", "GetSecretValue", status=400, code="InternalServiceError")
    response = call(signed, "/webhooks/bird", bodies.channels(), api_key=None)
    assert (response.status, response.json()["kept"]) == (503, False)
    assert response.headers["Retry-After"]
    signed.aws.heal()
    assert call(signed, "/webhooks/bird", bodies.channels(), api_key=None).status == 201


def test_what_is_not_signed_changes_nothing_that_is_written() -> None:
    """Standard Webhooks signs time, id and body. Somebody who has one signed request sends it
    again, with an address and headers of theirs."""
    parameters = {**PATIENT, "SignatureScheme": "standard-webhooks"}
    with Stack(poll=False, processes=1, parameters=parameters) as stack:
        stack.tick()
        write_signing_keys(stack, SECRET)
        raw = json.dumps(bodies.channels()).encode()
        headers = standard(at=time.time(), body=raw) | {"content-type": "application/json"}

        def send(query: str = "", **added: str) -> Any:
            path = f"/webhooks/bird{query}"
            sent = headers | added
            return stack.request("POST", path, raw, headers=sent, api_key=None).json()

        first = send("?errors=inline")
        assert first["outcome"] == "created"
        assert "unsigned_query" not in stack.logs("receive_message")
        query = "?object=Case&set.Rating=Hot&channel=viber"
        again = send(query, **{"Idempotency-Key": "another", "Prefer": "respond-async"})
        assert (again["id"], again["key"], again["added"]) == (first["id"], first["key"], False)
        assert "unsigned_query" in stack.logs("receive_message")
        clean(stack)
        assert send(query)["object"] == "Lead"
        lead = only(stack, "Lead")
        assert (lead["LeadSource"], lead.get("Rating")) == ("WhatsApp", None)


# One mail by two events


def whole_mail(message_id: str, text: str) -> dict[str, Any]:
    ids = {"message_id": message_id, "thread_id": "thr_1"}
    return mail("email_mailbox.message_received", **ids, extracted_text=text, attachment_count=1)


HEAD = mail("email.received", inbound_message_id="rem_1")
WHOLE = whole_mail("rem_1", "It is broken.")
NEXT = whole_mail("rem_2", "Where is my answer?")
REFUSAL = {"area": "rest", "method": "PATCH", "error": "INSUFFICIENT_ACCESS_OR_READONLY"}


@pytest.mark.parametrize(
    "first", [[HEAD, WHOLE], [WHOLE, HEAD], [HEAD, WHOLE, HEAD, WHOLE], [WHOLE]]
)
@pytest.mark.parametrize("queued", [True, False])
def test_a_mail_ends_with_its_text_and_its_thread_is_on_one_record(
    stack: Stack, first: list[Any], queued: bool
) -> None:
    """Whichever of the two events comes first, and whether they wait in the outbox."""
    for body in (*first, NEXT):
        if queued:
            with stack.outage():
                assert post(stack, "/messages", body).status == 202
            stack.drain()
        else:
            assert post(stack, "/messages", body).json()["success"]
    case = only(stack, "Case")
    text = "Lamp\nIt is broken.\n1 attachment (in Bird)"
    assert (case["Description"], case["Bird_Conversation__c"]) == (text, "thr_1")
    texts = ["It is broken.", "Where is my answer?"]
    tasks = sorted(stack.org.records("Task"), key=lambda task: task["CreatedDate"])
    assert [task["WhatId"] for task in tasks] == [case["Id"]] * 2
    assert all(text in task["Description"] for text, task in zip(texts, tasks, strict=True))
    assert not stack.rejected() and not stack.waiting()


def test_a_text_that_may_not_be_added_is_on_the_timeline_or_kept_with_the_reason(
    stack: Stack,
) -> None:
    case_id = post(stack, "/messages", HEAD).json()["id"]
    stack.org.trouble.add(**REFUSAL, times=1)
    without_thread = {**WHOLE, "data": {**WHOLE["data"], "thread_id": None}}
    response = post(stack, "/messages", without_thread)
    assert (response.status, response.json()["kept"]) == (422, True)
    assert len(stack.rejected()) == 1
    stack.org.trouble.add(**REFUSAL, times=1)
    response = post(stack, "/messages", WHOLE)
    assert (response.status, response.json()["id"]) == (200, case_id)
    (task,) = stack.org.records("Task")
    assert (task["WhatId"], "It is broken." in task["Description"]) == (case_id, True)
