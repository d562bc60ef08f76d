"""What becomes of a conversation's messages in an org.

Each row of the table of decisions is in tests/unit/test_decide.py. Here people do to records what
they do in an org, and most tests run twice: with the caller waiting, and through the outbox.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.records import ObjectName, stored_key
from sandbox.org import Org, sample

from .conftest import Bundle, Send

C = stored_key("Conversation-1")


def bird(number: int, text: str = "", **more: Any) -> dict[str, Any]:
    """A flow's body for one message of a conversation."""
    return {
        "bird": {
            "channel": "whatsapp",
            "conversationId": "Conversation-1",
            "messageId": f"message-{number}",
            "sender": "+31612345678",
            "displayName": "Anna Jansen",
            "text": text or f"text {number}",
            "sentAt": f"2026-11-30T14:{number:02}:00Z",
            **more,
        }
    }


def tasks(bundle: Bundle) -> list[dict[str, Any]]:
    return sorted(bundle.org.records("Task"), key=lambda task: task["Description"])


def texts(bundle: Bundle, record_id: str) -> list[str]:
    """The second lines of a record's timeline: the first line is the message's time."""
    return [
        task["Description"].split("\n")[1]
        for task in tasks(bundle)
        if record_id in (task.get("WhoId"), task.get("WhatId"))
    ]


def only(bundle: Bundle, name: str) -> dict[str, Any]:
    (record,) = bundle.org.records(name)
    return record


def only_other(bundle: Bundle, name: str, *but: str) -> dict[str, Any]:
    (record,) = [one for one in bundle.org.records(name) if one["Id"] not in but]
    return record


def closed(bundle: Bundle, case_id: str, **ago: float) -> None:
    """A person closes a case so long ago."""
    bundle.org.update("Case", case_id, {"Status": "Closed"}, user=sample.ADMIN_USER)
    moment = datetime.now(UTC) - timedelta(**ago)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    bundle.org.store.update("Case", case_id, {"ClosedDate": text})


# Create and add


@pytest.mark.parametrize("name", ["Lead", "Case"])
def test_the_first_message_makes_a_record_and_is_on_its_timeline(
    bundle: Bundle, send: Send, name: ObjectName
) -> None:
    reply = send(bird(1, "Hi"), name)
    record, task = only(bundle, name), only(bundle, "Task")
    assert (record["Bird_Key__c"], record["Bird_Conversation__c"]) == (C, C)
    assert record["Bird_Last_Message__c"] == "2026-11-30T14:01:00.000+0000"
    assert task["WhoId" if name == "Lead" else "WhatId"] == record["Id"]
    assert task["Description"] == "2026-11-30 14:01:00 UTC\nHi"
    assert (task["Subject"], task["Status"]) == ("WhatsApp: Hi", "Completed")
    assert (task["ActivityDate"], task["Bird_Conversation__c"]) == ("2026-11-30", C)
    assert task["Bird_Key__c"] == stored_key(f"{name.lower()}~message-1")
    if reply:
        assert (reply.status, reply["outcome"], reply.calls) == (201, "created", 2)
        assert (reply["id"], reply["taskId"], reply["key"]) == (
            record["Id"],
            task["Id"],
            "message-1",
        )


@pytest.mark.parametrize("name", ["Lead", "Case"])
def test_the_next_messages_are_added_to_it(bundle: Bundle, send: Send, name: ObjectName) -> None:
    send(bird(1, "Hi"), name)
    before = only(bundle, name)
    more = {"Description": "d", "Rating": "Hot"}
    reply = send({**bird(2, "my parcel is broken", email="anna@example.org"), **more}, name)
    record = only(bundle, name)
    assert texts(bundle, record["Id"]) == ["Hi", "my parcel is broken"]
    assert record["Bird_Last_Message__c"] == "2026-11-30T14:02:00.000+0000"
    changed = {n for n in record if record[n] != before.get(n)}
    assert changed <= {"Bird_Last_Message__c", "LastModifiedDate", "SystemModstamp"}
    # What makes fields of a new record would be lost with a later message.
    lines = tasks(bundle)[1]["Description"].split("\n")
    assert {"email: anna@example.org", "Rating: Hot"} <= set(lines)
    if reply:
        assert (reply.status, reply["outcome"], reply["added"]) == (200, "exists", True)
        assert (reply["id"], reply.calls) == (record["Id"], 2)
        assert reply["notWritten"] == "Description,Rating"


def test_of_a_batch_that_makes_a_lead_and_a_case_the_next_message_goes_onto_the_case(
    bundle: Bundle,
) -> None:
    bundle.queue(bird(1), None)
    bundle.queue(bird(2), "Case")
    bundle.queue(bird(3), None)
    bundle.deliver()
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 1"]
    assert texts(bundle, only(bundle, "Case")["Id"]) == ["text 2", "text 3"]


@pytest.mark.parametrize("name", ["Lead", "Case"])
def test_a_redelivery_changes_nothing(bundle: Bundle, send: Send, name: ObjectName) -> None:
    send(bird(1), name)
    send(bird(2), name)
    bundle.org.update(name, only(bundle, name)["Id"], {"Description": "an agent's words"})
    before = (bundle.org.records(name), bundle.org.records("Task"))
    for number in (1, 2):
        reply = send(bird(number), name)
        if reply:
            assert (reply["outcome"], reply["added"], reply.calls) == ("exists", False, 1)
            assert reply["key"] == f"message-{number}"
    assert (bundle.org.records(name), bundle.org.records("Task")) == before


def test_a_message_goes_where_the_conversation_is(bundle: Bundle, send: Send) -> None:
    send(bird(1), None)  # WhatsApp makes a Lead
    send(bird(2), "Case")
    send(bird(3), None)  # of two open ones the Case
    closed(bundle, only(bundle, "Case")["Id"], days=20)
    send(bird(4), None)  # the open Lead
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 1", "text 4"]
    assert texts(bundle, only(bundle, "Case")["Id"]) == ["text 2", "text 3"]


# Closed


@pytest.mark.parametrize("merged", [False, True], ids=["its own", "merged into"])
@pytest.mark.parametrize(
    ("ago", "status", "successor"),
    [
        ({}, "New", False),
        ({"minutes": 9}, "Closed", False),
        ({"days": 2}, "New", False),
        ({"days": 4}, "Closed", True),
    ],
    ids=["open", "a thank you", "opened again", "a successor"],
)
def test_a_message_of_a_case_by_how_long_ago_it_was_closed(
    bundle: Bundle,
    send: Send,
    ago: dict[str, float],
    status: str,
    successor: bool,
    merged: bool,
) -> None:
    send(bird(1), "Case")
    case_id, who = only(bundle, "Case")["Id"], bundle.org.create("Contact", {"LastName": "J"})
    if merged:
        master = bundle.org.create("Case", {"Subject": "parcel"})
        bundle.org.merge("Case", master, case_id)
        case_id = master
    bundle.org.update("Case", case_id, {"ContactId": who})
    if ago:
        closed(bundle, case_id, **ago)
    reply = send(bird(2), "Case")
    assert (bundle.org.get("Case", case_id) or {})["Status"] == status
    if successor:
        new = only_other(bundle, "Case", case_id)
        assert (new["ParentId"], new["ContactId"]) == (case_id, who)
        assert new["Bird_Key__c"] == stored_key(f"{C}~{case_id[:15]}")
        send(bird(3), "Case")
        assert texts(bundle, new["Id"]) == ["text 2", "text 3"]
    else:
        assert texts(bundle, case_id) == ["text 1", "text 2"]
        closed(bundle, only(bundle, "Case")["Id"], hours=1)
        send(bird(2), "Case")  # a redelivery opens nothing
        assert only(bundle, "Case")["Status"] == "Closed"
    if reply:
        expected = (201, "created", 2) if successor else (200, "exists", 2)
        assert (reply.status, reply["outcome"], reply.calls) == expected


def test_a_case_that_cannot_be_opened_again_has_a_successor(bundle: Bundle, send: Send) -> None:
    send(bird(1), "Case")
    old = only(bundle, "Case")["Id"]
    closed(bundle, old, days=2)
    bundle.org.add_validation_rule(
        "Case", lambda case: bool(case.get("Id")) and case["Status"] == "New", "no", name="closed"
    )
    send(bird(2), "Case")
    new = only_other(bundle, "Case", old)
    assert new["ParentId"] == old
    assert (texts(bundle, old), texts(bundle, new["Id"])) == (["text 1"], ["text 2"])


# Done, converted, merged, deleted, cloned


def convert(org: Org, lead: dict[str, Any]) -> str:
    return str(org.convert(lead["Id"]).contact_id)


def convert_and_delete(org: Org, lead: dict[str, Any]) -> None:
    org.delete("Contact", org.convert(lead["Id"], opportunity=False).contact_id)


def merge(org: Org, lead: dict[str, Any]) -> str:
    master = org.create("Lead", {"LastName": "Jansen", "Company": "Acme"})
    org.merge("Lead", master, lead["Id"])
    return master


def clone(org: Org, lead: dict[str, Any]) -> str:
    copied = {name: lead[name] for name in ("LastName", "Company", "Bird_Conversation__c")}
    org.create("Lead", copied, user=sample.ADMIN_USER)
    return str(lead["Id"])


def finish(org: Org, lead: dict[str, Any]) -> None:
    org.update("Lead", lead["Id"], {"Status": "Closed - Not Converted"})


def delete(org: Org, lead: dict[str, Any]) -> None:
    org.delete("Lead", lead["Id"])


@pytest.mark.parametrize("change", [convert, convert_and_delete, merge, clone, finish, delete])
def test_the_next_messages_go_where_the_lead_went_or_to_a_new_one(
    bundle: Bundle, send: Send, change: Callable[[Org, dict[str, Any]], str | None]
) -> None:
    send(bird(1))
    place = change(bundle.org, only(bundle, "Lead"))
    before = {lead["Id"] for lead in bundle.org.records("Lead")}
    for number in (2, 3):
        send(bird(number))
    made = {lead["Id"] for lead in bundle.org.records("Lead")} - before
    assert len(made) == (place is None)
    assert texts(bundle, place or made.pop())[-2:] == ["text 2", "text 3"]
    assert not bundle.outbox and not bundle.rejected


def test_after_a_conversion_the_contact_s_owner_sees_the_next_message(
    bundle: Bundle, send: Send
) -> None:
    send(bird(1))
    done = bundle.org.convert(only(bundle, "Lead")["Id"])
    owner = next(u["Id"] for u in bundle.org.records("User") if u["Username"] == sample.SALES_USER)
    bundle.org.update("Contact", done.contact_id, {"OwnerId": owner})
    for number in (2, 3):
        reply = send(bird(number))
        if reply:
            assert (reply["object"], reply["id"]) == ("Contact", done.contact_id)
            assert reply.calls == 2
    first, second, third = tasks(bundle)
    assert {task["WhoId"] for task in (first, second, third)} == {done.contact_id}
    assert second["WhatId"] == third["WhatId"] == first["WhatId"] == done.opportunity_id
    assert (second["Status"], second["OwnerId"]) == ("Not Started", owner)
    assert third["Status"] == "Completed"  # the open one is still there to be seen
    assert len(bundle.org.records("Lead")) == 1


def test_what_a_person_deleted_is_not_brought_back(bundle: Bundle, send: Send) -> None:
    send(bird(1))
    bundle.org.delete("Lead", only(bundle, "Lead")["Id"])
    reply = send(bird(1))
    assert bundle.org.records("Lead") == [] == bundle.org.records("Task")
    if reply:
        assert (reply.status, reply["outcome"], reply["deleted"]) == (200, "exists", True)
        assert "id" not in reply.body and reply["added"] is False


# Texts


@pytest.mark.parametrize("name", ["Lead", "Case"])
def test_a_text_like_a_reference_arrives_unchanged(
    bundle: Bundle, send: Send, name: ObjectName
) -> None:
    for number in (1, 2):
        send(bird(number, "see @{add.id} and @{x"), name)
    assert texts(bundle, only(bundle, name)["Id"]) == ["see @{add.id} and @{x"] * 2


# Racing


def test_messages_that_race_are_on_one_record(
    bundle: Bundle, deploy: Callable[..., Bundle]
) -> None:
    workers = [Bundle(bundle.org, bundle.url, bundle.token) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        replies = list(
            pool.map(lambda pair: pair[1].post(bird(1 + pair[0] % 3)), enumerate(workers))
        )
    assert {reply["outcome"] for reply in replies} <= {"created", "exists", "queued"}
    for worker in workers:
        worker.deliver()
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 1", "text 2", "text 3"]


@pytest.mark.parametrize("change", [convert, merge, delete])
def test_what_happens_between_look_and_write_is_seen(
    bundle: Bundle, change: Callable[[Org, dict[str, Any]], str | None]
) -> None:
    bundle.post(bird(1))
    lead, places = only(bundle, "Lead"), list[str | None]()
    bundle.http.before[len(bundle.http.calls) + 2] = lambda: places.append(change(bundle.org, lead))
    reply = bundle.post(bird(2))
    assert reply.status in (200, 201) and reply.calls <= 4
    (place,) = places
    assert reply["id"] == (place or only(bundle, "Lead")["Id"])
    assert texts(bundle, reply["id"])[-1] == "text 2"


@pytest.mark.parametrize("repeated", [0, 1])
def test_a_refusal_that_a_race_explains_is_not_final(bundle: Bundle, repeated: int) -> None:
    """A duplicate rule runs before the unique index. Where repeated calls have used up what a
    waiting caller may cost, Deliver decides."""
    bundle.org.set_duplicate_rule("Lead")
    sender = {"displayName": "Ada Lovelace", "sender": "+31612345678"}
    other = Bundle(bundle.org, bundle.url, bundle.token)
    if repeated:  # with a token that is renewed while it is refused
        bundle.aws.publish("expired", 2, instance_url=bundle.url)
        bundle.http.before[1] = lambda: bundle.aws.publish(bundle.token, 3, instance_url=bundle.url)
    bundle.http.before[2 + repeated] = lambda: other.post(bird(1, **sender))
    reply = bundle.post(bird(2, **sender))
    assert reply["outcome"] == ("queued" if repeated else "exists")
    assert reply.calls == 4
    bundle.deliver()
    assert bundle.outbox == [] == bundle.rejected
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 1", "text 2"]
