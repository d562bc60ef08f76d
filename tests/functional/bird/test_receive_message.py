"""POST /messages, the route of webhooks, and raw bodies at /leads and /cases: through the stack."""

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
from tests.unit.signing import KEY, SECRET, bird, jwt, standard

FORM = {"content-type": "application/x-www-form-urlencoded"}


def post(stack: Stack, path: str, body: Any, **more: Any) -> Response:
    return stack.request("POST", path, body, **more)


# The channel decides


def test_whatsapp_becomes_a_lead_and_a_repeated_message_the_same_one(stack: Stack) -> None:
    answer = post(stack, "/messages", bodies.channels())
    assert (answer.status, answer.json()["object"]) == (201, "Lead")
    lead = only(stack, "Lead")
    assert (lead["FirstName"], lead["LastName"]) == ("Noor", "van Dijk")
    assert (lead["Company"], lead["LeadSource"]) == ("Individual", "WhatsApp")
    again = post(stack, "/messages", bodies.channels())
    assert (again.status, again.json()["outcome"]) == (200, "exists")
    assert again.json()["id"] == answer.json()["id"]


def test_viber_becomes_a_case_with_its_number(stack: Stack) -> None:
    answer = post(stack, "/messages", bodies.channels(event="viber.inbound"))
    assert (answer.status, answer.json()["object"]) == (201, "Case")
    case = only(stack, "Case")
    assert answer.json()["number"] == case["CaseNumber"]
    assert (case["Origin"], case["SuppliedPhone"]) == ("Viber", "+447700900142")
    assert case["Subject"] == "Viber: Do you deliver?"


@pytest.mark.parametrize(
    ("path", "bird", "object_name"),
    [
        ("/messages?object=Case", {"channel": "whatsapp"}, "Case"),
        ("/messages?object=lead", {"channel": "viber"}, "Lead"),
        ("/messages", {"channel": "whatsapp", "object": "Case"}, "Case"),
        ("/messages?object=Lead", {"channel": "viber", "object": "Case"}, "Lead"),
        ("/messages", {"channel": "viber", "object": "{{x}}"}, "Case"),
        ("/messages", {}, "Lead"),
    ],
)
def test_the_flow_may_say_otherwise(
    stack: Stack, path: str, bird: dict[str, str], object_name: str
) -> None:
    answer = post(stack, path, {"bird": bird})
    assert (answer.status, answer.json()["object"]) == (201, object_name)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/messages", {"LastName": "Okafor"}),
        ("/messages?object=Contact", {"bird": {"channel": "sms"}}),
        ("/messages", {"bird": {"channel": "sms", "object": "Contact"}}),
    ],
)
def test_what_to_make_has_to_be_clear(stack: Stack, path: str, body: dict[str, Any]) -> None:
    answer = post(stack, path, body)
    assert (answer.status, answer.json()["kept"]) == (400, False)
    assert "Lead" in answer.json()["detail"]


def test_plain_fields_are_sent_as_they_are_once_the_query_names_the_object(stack: Stack) -> None:
    answer = post(stack, "/messages?object=Lead", {"LastName": "Okafor", "Rating": "Hot"})
    assert answer.status == 201
    assert only(stack, "Lead")["Rating"] == "Hot"


@pytest.mark.parametrize("path", ["/messages", "/cases"])
def test_a_mail_with_a_text_like_a_reference_is_made_at_once(stack: Stack, path: str) -> None:
    bird = {"channel": "email", "messageId": "m-ref", "sender": "ada@example.org"}
    answer = post(stack, path, {"bird": {**bird, "text": "My code is @{order.id}"}})
    assert answer.status == 201, answer.body
    assert answer.json()["number"] == only(stack, "Case")["CaseNumber"]
    assert only(stack, "Case")["Description"] == "My code is @{order.id}"
    assert (
        post(stack, path, {"bird": {**bird, "text": "@{order.id}"}}).json()["outcome"] == "exists"
    )


# Raw bodies, everywhere


@pytest.mark.parametrize(
    "body",
    [
        bodies.v1(),
        bodies.channels(),
        bodies.conversation(),
        bodies.event_2026(),
        bodies.sms_guide(),
        bodies.sms_2022(),
    ],
    ids=["v1", "channels", "conversation", "2026", "sms guide", "sms 2022"],
)
@pytest.mark.parametrize("path", ["/leads", "/cases", "/messages"])
def test_a_body_forwarded_whole_makes_a_record(stack: Stack, path: str, body: Any) -> None:
    answer = post(stack, path, body)
    assert answer.status == 201, answer.body
    assert len(made(stack, answer.json()["object"])) == 1


def test_a_body_forwarded_inside_bird_leaves_room_for_fields(stack: Stack) -> None:
    answer = post(stack, "/leads", {"Rating": "Hot", "bird": bodies.v1()})
    assert answer.status == 201
    lead = only(stack, "Lead")
    assert (lead["Rating"], lead["LeadSource"]) == ("Hot", "WhatsApp")


def test_an_sms_comes_as_json_as_a_form_or_in_the_query(stack: Stack) -> None:
    sms = bodies.sms_2022()
    form = urlencode(sms)
    answers = [
        post(stack, "/messages", sms),
        post(stack, "/messages", form, headers=FORM),
        stack.request("POST", f"/messages?{form}"),
        stack.request("GET", f"/messages?{form}"),
    ]
    assert [one.status for one in answers] == [201, 200, 200, 200]
    assert len({one.json()["id"] for one in answers}) == 1, "the same message has the same key"
    assert only(stack, "Lead")["Phone"] == "+447700900142"
    guide = stack.request("GET", "/messages?" + urlencode(bodies.sms_guide("a+b & c")))
    assert (guide.status, guide.json()["added"]) == (200, True), "the same sender, in one record"
    logged = {task["Description"].split("\n", 1)[1] for task in stack.org.records("Task")}
    assert logged == {"INFO", "a+b & c"}


@pytest.mark.parametrize("path", ["/leads", "/cases", "/messages"])
@pytest.mark.parametrize(
    "body",
    [
        bodies.v1(direction="sent"),
        bodies.channels(event="whatsapp.outbound", direction="outgoing"),
        bodies.conversation(initiatingParticipant={"type": "flow"}),
        bodies.event_2026("whatsapp.delivered"),
    ],
    ids=["v1", "channels", "conversation", "2026"],
)
def test_what_no_customer_sent_is_answered_200_and_makes_nothing(
    stack: Stack, path: str, body: Any
) -> None:
    answer = post(stack, path, body)
    assert (answer.status, answer.json()["outcome"]) == (200, "ignored")
    assert all(isinstance(value, str) for value in answer.json().values()), "flat"
    assert not made(stack, "Lead") and not made(stack, "Case")


def test_a_plain_body_that_looks_a_little_like_one_goes_to_salesforce_as_it_is(
    stack: Stack,
) -> None:
    answer = post(stack, "/cases", {"type": "Problem", "sender": "x", "body": "y"})
    assert (answer.status, answer.json()["kept"]) == (422, True)
    assert "sender" in answer.json()["detail"] or "body" in answer.json()["detail"]


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


def call(
    stack: Stack, path: str, body: Any, *, key: str = KEY, at: float | None = None, **more: Any
) -> Response:
    raw = json.dumps(body).encode()
    headers = bird(key=key, at=at or time.time(), url=public_address(stack, path), body=raw)
    headers["content-type"] = "application/json"
    return stack.request("POST", path, raw, headers=headers, **more)


def test_a_signed_webhook_needs_no_api_key(signed: Stack) -> None:
    answer = call(signed, "/webhooks/bird", bodies.channels(), api_key=None)
    assert answer.status == 201, answer.body
    assert only(signed, "Lead")["LastName"] == "van Dijk"


def test_a_webhook_repeated_eight_hours_later_is_the_same_record(signed: Stack) -> None:
    first = call(signed, "/webhooks/bird", bodies.channels(), api_key=None)
    late = time.time() - 8 * 3600
    again = call(signed, "/webhooks/bird", bodies.channels(), api_key=None, at=late)
    assert (first.status, again.status) == (201, 200)


def test_the_query_is_covered_and_obeyed(signed: Stack) -> None:
    answer = call(signed, "/webhooks/bird?object=Case", bodies.channels(), api_key=None)
    assert (answer.status, answer.json()["object"]) == (201, "Case")


def test_every_failure_gets_the_same_answer(signed: Stack) -> None:
    body = bodies.channels()
    raw = json.dumps(body).encode()
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
    answers = {
        name: signed.request("POST", "/webhooks/bird?errors=inline", raw, headers=headers)
        if name == "no signature"
        else signed.request("POST", "/webhooks/bird", raw, headers=headers)
        for name, headers in attempts.items()
    }
    assert {one.status for one in answers.values()} == {401}
    assert len({one.body for one in answers.values()}) == 1
    assert not made(signed, "Lead")
    log = signed.logs("receive_message")
    assert all(f'"{reason}"' in log for reason in ("missing", "signature", "too_late"))


@pytest.mark.parametrize("path", ["/leads", "/cases", "/messages"])
def test_every_route_that_makes_a_record_has_to_be_signed(signed: Stack, path: str) -> None:
    body = bodies.channels()
    assert post(signed, path, body).status == 401
    assert call(signed, path, body, api_key=None).status == 403, "and the key is needed as before"
    answer = call(signed, path, body)
    assert answer.status == 201
    if path == "/leads":
        assert signed.request("GET", f"/leads/{answer.json()['key']}").status == 200, "but looking"


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


def test_without_a_signing_key_nothing_is_let_in_and_with_one_at_once(signed: Stack) -> None:
    write_signing_keys(signed)
    signed.functions["receive_message"].recycle()
    assert call(signed, "/webhooks/bird", bodies.channels(), api_key=None).status == 401
    write_signing_keys(signed, KEY)
    assert call(signed, "/webhooks/bird", bodies.channels(), api_key=None).status == 201


def test_signing_keys_that_cannot_be_read_are_503_and_the_next_call_succeeds(signed: Stack) -> None:
    signed.functions["receive_message"].recycle()
    signed.aws.fail("secretsmanager", "GetSecretValue", status=400, code="InternalServiceError")
    answer = call(signed, "/webhooks/bird", bodies.channels(), api_key=None)
    assert (answer.status, answer.json()["kept"]) == (503, False)
    assert answer.headers["Retry-After"]
    signed.aws.heal()
    assert call(signed, "/webhooks/bird", bodies.channels(), api_key=None).status == 201


def test_with_no_scheme_the_webhook_is_closed_whatever_is_sent(stack: Stack) -> None:
    for headers in (
        {},
        bird(at=time.time(), url=public_address(stack, "/webhooks/bird"), body=b"{}"),
    ):
        assert stack.request("POST", "/webhooks/bird", b"{}", headers=headers).status == 401
    stack.aws.calls.clear()
    assert post(stack, "/leads", bodies.channels()).status == 201
    assert not any("secretsmanager" in operation for _, operation in stack.aws.calls)


@pytest.fixture(scope="module")
def standard_stack() -> Iterator[Stack]:
    """A stack whose requests are signed with Standard Webhooks: time, id and body, no address."""
    parameters = {**PATIENT, "SignatureScheme": "standard-webhooks"}
    with Stack(poll=False, processes=1, parameters=parameters) as stack:
        stack.tick()
        write_signing_keys(stack, SECRET)
        yield stack


def test_what_is_not_signed_changes_nothing_that_is_written(standard_stack: Stack) -> None:
    """Somebody who has one signed request sends it again, with an address and headers of theirs."""
    clean(standard_stack)
    raw = json.dumps(bodies.channels()).encode()
    headers = standard(at=time.time(), body=raw) | {"content-type": "application/json"}
    first = standard_stack.request(
        "POST", "/webhooks/bird", raw, headers=headers, api_key=None
    ).json()
    inline = "/webhooks/bird?errors=inline"
    standard_stack.request("POST", inline, raw, headers=headers, api_key=None)
    assert "unsigned_query" not in standard_stack.logs("receive_message")
    added = {"Idempotency-Key": "another", "Prefer": "respond-async"}
    for query in ("", "?object=Case", "?set.OwnerId=005000000000001AAA", "?channel=viber"):
        again = standard_stack.request(
            "POST", f"/webhooks/bird{query}", raw, headers=headers | added, api_key=None
        ).json()
        same = ("exists", first["id"], first["key"], False)
        assert (again["outcome"], again["id"], again["key"], again["added"]) == same
    (before,) = made(standard_stack, "Lead")
    assert not made(standard_stack, "Case")
    clean(standard_stack)
    path = "/webhooks/bird?object=Case&set.Rating=Hot&set.LastName=x&channel=viber"
    anew = standard_stack.request("POST", path, raw, headers=headers | added, api_key=None)
    assert (anew.status, anew.json()["object"]) == (201, "Lead")
    lead = only(standard_stack, "Lead")
    names = ("LastName", "LeadSource", "OwnerId", "Rating", "Bird_Key__c")
    assert [lead.get(name) for name in names] == [before.get(name) for name in names]
    assert "unsigned_query" in standard_stack.logs("receive_message")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("body", [b"", b" "])
@pytest.mark.parametrize("path", ["/webhooks/bird", "/messages"])
def test_a_signature_of_no_body_is_good_for_no_words_in_an_unsigned_public_address(
    standard_stack: Stack, method: str, body: bytes, path: str
) -> None:
    clean(standard_stack)
    query = urlencode({"originator": "447700900142", "payload": "INFO"})
    headers = standard(at=time.time(), body=body)
    answer = standard_stack.request(
        method, f"{path}?{query}", body or None, headers=headers,
        **({"api_key": None} if path.startswith("/webhooks") else {}),
    )  # fmt: skip
    assert answer.status == 401
    assert not made(standard_stack, "Lead")


def test_a_webhook_s_owner_in_its_signed_address_counts(signed: Stack) -> None:
    owner = signed.org.query("SELECT Id FROM User WHERE Username LIKE 'admin%'")[0]["Id"]
    answer = call(signed, f"/webhooks/bird?set.OwnerId={owner}", bodies.channels(), api_key=None)
    assert answer.status == 201
    assert only(signed, "Lead")["OwnerId"] == owner


# One mail by two events


def mail(kind: str, **data: Any) -> dict[str, Any]:
    whole = {"whatsapp_id": ..., "direction": ..., "to": ["shop@example.org"], "text": ..., **data}
    return bodies.event_2026(kind, **{"from": "ada@example.org", "subject": "Lamp", **whole})


HEAD = mail("email.received", inbound_message_id="rem_1")
WHOLE = mail(
    "email_mailbox.message_received",
    message_id="rem_1",
    thread_id="thr_1",
    extracted_text="It is broken.",
    attachment_count=1,
)
TEXT = "Lamp\nIt is broken.\n1 attachment (in Bird)"


@pytest.mark.parametrize("order", [[HEAD, WHOLE], [WHOLE, HEAD], [HEAD, WHOLE, HEAD, WHOLE]])
def test_a_mail_ends_with_its_text_in_its_record_whichever_event_comes_first(
    stack: Stack, order: list[Any]
) -> None:
    answers = [post(stack, "/messages", body) for body in order]
    assert [one.json()["outcome"] for one in answers] == ["created", *["exists"] * len(order[1:])]
    assert only(stack, "Case")["Description"] == TEXT


@pytest.mark.parametrize("order", [[HEAD, WHOLE], [WHOLE, HEAD]])
def test_so_does_a_mail_that_was_queued(stack: Stack, order: list[Any]) -> None:
    with stack.outage():
        assert [post(stack, "/messages", body).status for body in order] == [202, 202]
    stack.drain()
    assert only(stack, "Case")["Description"] == TEXT
    assert not stack.rejected() and not stack.waiting()


def test_what_a_person_wrote_into_the_description_stays(stack: Stack) -> None:
    case_id = post(stack, "/messages", HEAD).json()["id"]
    before = only(stack, "Case")["Description"]
    stack.org.update("Case", case_id, {"Description": f"Called Ada.\n{before}\nVIP"})
    assert post(stack, "/messages", WHOLE).json()["outcome"] == "exists"
    assert only(stack, "Case")["Description"] == f"Called Ada.\n{TEXT}\nVIP"
    stack.org.update("Case", case_id, {"Description": "Called Ada, all is well."})
    assert post(stack, "/messages", WHOLE).json()["outcome"] == "exists"
    assert only(stack, "Case")["Description"] == "Called Ada, all is well."


def test_a_text_that_may_not_be_added_is_on_the_timeline(stack: Stack) -> None:
    case_id = post(stack, "/messages", HEAD).json()["id"]
    stack.org.trouble.add(
        area="rest", method="PATCH", error="INSUFFICIENT_ACCESS_OR_READONLY", times=1
    )
    answer = post(stack, "/messages", WHOLE)
    assert (answer.status, answer.json()["id"]) == (200, case_id)
    (task,) = stack.org.records("Task")
    assert (task["WhatId"], "It is broken." in task["Description"]) == (case_id, True)


def test_without_a_thread_a_text_that_may_not_be_added_is_kept_with_the_reason(
    stack: Stack,
) -> None:
    assert post(stack, "/messages", HEAD).status == 201
    stack.org.trouble.add(
        area="rest", method="PATCH", error="INSUFFICIENT_ACCESS_OR_READONLY", times=1
    )
    answer = post(stack, "/messages", {**WHOLE, "data": {**WHOLE["data"], "thread_id": None}})
    assert (answer.status, answer.json()["kept"]) == (422, True)
    assert len(stack.rejected()) == 1


NEXT = mail(
    "email_mailbox.message_received",
    message_id="rem_2",
    thread_id="thr_1",
    extracted_text="Where is my answer?",
)


@pytest.mark.parametrize("first", [[HEAD, WHOLE], [WHOLE, HEAD], [WHOLE]])
@pytest.mark.parametrize("queued", [True, False])
def test_the_mails_of_a_thread_are_on_one_record(
    stack: Stack, first: list[Any], queued: bool
) -> None:
    for body in (*first, NEXT):
        if queued:
            with stack.outage():
                assert post(stack, "/messages", body).status == 202
            stack.drain()
        else:
            assert post(stack, "/messages", body).json()["success"]
    case = only(stack, "Case")
    assert (case["Description"], case["Bird_Conversation__c"]) == (TEXT, "thr_1")
    texts = ["It is broken.", "Where is my answer?"]
    tasks = sorted(stack.org.records("Task"), key=lambda task: task["CreatedDate"])
    assert [task["WhatId"] for task in tasks] == [case["Id"]] * 2
    assert all(text in task["Description"] for text, task in zip(texts, tasks, strict=True))
