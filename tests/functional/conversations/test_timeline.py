"""What becomes of a conversation's messages, row by row of the table of decisions.

Most tests run twice: with the caller waiting, and through the outbox.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.records import ObjectName, stored_key
from sandbox.org import sample

from .conftest import Bundle, Reply

C = stored_key("Conversation-1")
Send = Callable[..., Reply | None]


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


@pytest.fixture(params=["now", "later"])
def send(request: pytest.FixtureRequest, bundle: Bundle) -> Send:
    """Brings a message into Salesforce; the reply where a caller waited."""

    def post(body: Any, name: ObjectName | None = "Lead") -> Reply | None:
        if request.param == "now":
            reply = bundle.post(body, name)
            assert reply.calls <= 4, reply
            return reply
        bundle.queue(body, name)
        bundle.deliver()
        return None

    return post


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
    reply = send({**bird(2, "my parcel is broken"), "Description": "d", "Rating": "Hot"}, name)
    record = only(bundle, name)
    assert texts(bundle, record["Id"]) == ["Hi", "my parcel is broken"]
    assert record["Bird_Last_Message__c"] == "2026-11-30T14:02:00.000+0000"
    changed = {n for n in record if record[n] != before.get(n)}
    assert changed <= {"Bird_Last_Message__c", "LastModifiedDate", "SystemModstamp"}
    assert "\nRating: Hot" in tasks(bundle)[1]["Description"]
    if reply:
        assert (reply.status, reply["outcome"], reply["added"]) == (200, "exists", True)
        assert (reply["id"], reply.calls) == (record["Id"], 2)
        assert reply["notWritten"] == "Description,Rating"


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


def test_two_objects_are_two_timelines(bundle: Bundle, send: Send) -> None:
    """Whoever asks for a Lead and a Case of a message gets both, each once."""
    for name in ("Lead", "Case", "Lead"):
        send(bird(1), name)
    assert len(tasks(bundle)) == 2
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 1"]
    assert texts(bundle, only(bundle, "Case")["Id"]) == ["text 1"]


def test_what_a_later_message_brings_for_fields_is_on_the_timeline(
    bundle: Bundle, send: Send
) -> None:
    """Fields that a record gets from `bird` when it is made are no later message's to change, like
    the caller's own fields; the address and the number would be lost with them."""
    send(bird(1))
    send({**bird(2, email="anna@example.org", phone="+31 20 1234567"), "Rating": "Hot"})
    lines = tasks(bundle)[1]["Description"].split("\n")
    assert lines[1:] == [
        *("text 2", "", "email: anna@example.org", "phone: +31 20 1234567", "Rating: Hot")
    ]
    assert only(bundle, "Lead").get("Email") is None


def test_the_time_of_the_last_message_never_moves_back(bundle: Bundle, send: Send) -> None:
    for number in (5, 2):
        send(bird(number))
    assert only(bundle, "Lead")["Bird_Last_Message__c"] == "2026-11-30T14:05:00.000+0000"


def test_without_a_conversation_s_id_the_sender_is_one(bundle: Bundle, send: Send) -> None:
    for number in (1, 2):
        send(bird(number, conversationId=None))
    lead = only(bundle, "Lead")
    assert lead["Bird_Conversation__c"] == stored_key("whatsapp~+31612345678")
    assert texts(bundle, lead["Id"]) == ["text 1", "text 2"]


@pytest.mark.parametrize("channel", ["email", "voice"])
def test_mails_and_calls_of_one_sender_are_no_conversation(
    bundle: Bundle, send: Send, channel: str
) -> None:
    for number in (1, 2):
        send(bird(number, conversationId=None, channel=channel, sender="a@example.com"), "Case")
    assert len(bundle.org.records("Case")) == 2
    assert tasks(bundle) == []


def test_whoever_gives_the_record_s_key_means_that_record(bundle: Bundle, send: Send) -> None:
    for _ in range(2):
        reply = send({**bird(1), "Bird_Key__c": "own-key"})
    assert only(bundle, "Lead")["Bird_Key__c"] == "own-key"
    assert tasks(bundle) == []
    if reply:
        assert reply.body.get("taskId") is None


def test_outside_conversations_a_message_is_one_call(deploy: Callable[..., Bundle]) -> None:
    bundle = deploy(CONVERSATIONS="off")
    for name in ("Lead", "Case"):
        assert bundle.post(bird(1), name).calls == 1
    assert bundle.post({"LastName": "x"}).calls == 1
    assert tasks(bundle) == []


# Lead or Case


def test_a_message_goes_where_the_conversation_is(bundle: Bundle, send: Send) -> None:
    send(bird(1), None)  # WhatsApp makes a Lead
    send(bird(2), "Case")
    send(bird(3), None)  # of two open ones the Case
    closed(bundle, only(bundle, "Case")["Id"], days=20)
    send(bird(4), None)  # the open Lead
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 1", "text 4"]
    assert texts(bundle, only(bundle, "Case")["Id"]) == ["text 2", "text 3"]


def test_a_flow_may_say_which(bundle: Bundle, send: Send) -> None:
    send(bird(1, object="Case"), None)
    assert bundle.org.records("Lead") == []
    assert only(bundle, "Case")["Origin"] == "WhatsApp"


# Closed


def test_a_thank_you_opens_nothing(bundle: Bundle, send: Send) -> None:
    send(bird(1), "Case")
    case_id = only(bundle, "Case")["Id"]
    closed(bundle, case_id, minutes=9)
    send(bird(2, "thanks!"), "Case")
    assert only(bundle, "Case")["Status"] == "Closed"
    assert texts(bundle, case_id) == ["text 1", "thanks!"]


def test_a_case_that_was_closed_lately_is_opened_again(bundle: Bundle, send: Send) -> None:
    send(bird(1), "Case")
    case_id = only(bundle, "Case")["Id"]
    closed(bundle, case_id, days=2)
    reply = send(bird(2), "Case")
    assert only(bundle, "Case")["Status"] == "New"
    assert texts(bundle, case_id) == ["text 1", "text 2"]
    closed(bundle, case_id, hours=1)
    send(bird(2), "Case")  # a redelivery opens nothing
    assert only(bundle, "Case")["Status"] == "Closed"
    if reply:
        assert (reply["outcome"], reply["added"], reply.calls) == ("exists", True, 2)


def test_a_case_that_cannot_be_opened_again_has_a_successor(bundle: Bundle, send: Send) -> None:
    send(bird(1), "Case")
    old = only(bundle, "Case")
    closed(bundle, old["Id"], days=2)
    bundle.org.add_validation_rule(
        "Case", lambda case: bool(case.get("Id")) and case["Status"] == "New", "no", name="closed"
    )
    send(bird(2), "Case")
    (new,) = [case for case in bundle.org.records("Case") if case["Id"] != old["Id"]]
    assert new["ParentId"] == old["Id"]
    assert texts(bundle, new["Id"]) == ["text 2"]
    assert texts(bundle, old["Id"]) == ["text 1"]


def test_a_case_that_was_closed_long_ago_has_a_successor(bundle: Bundle, send: Send) -> None:
    send(bird(1), "Case")
    old = only(bundle, "Case")
    contact = bundle.org.create("Contact", {"LastName": "Jansen"})
    bundle.org.update("Case", old["Id"], {"ContactId": contact})
    closed(bundle, old["Id"], days=4)
    reply = send(bird(2), "Case")
    send(bird(3), "Case")
    (new,) = [case for case in bundle.org.records("Case") if case["Id"] != old["Id"]]
    assert (new["ParentId"], new["ContactId"]) == (old["Id"], contact)
    assert new["Bird_Key__c"] == stored_key(f"{C}~{old['Id'][:15]}")
    assert texts(bundle, new["Id"]) == ["text 2", "text 3"]
    if reply:
        assert (reply.status, reply["outcome"], reply.calls) == (201, "created", 2)


@pytest.mark.parametrize("status", ["Closed - Not Converted", "Unqualified"])
def test_a_lead_that_is_done_has_a_successor(bundle: Bundle, send: Send, status: str) -> None:
    if status == "Unqualified":
        bundle.org.add_status("Lead", status)
    send(bird(1))
    old = only(bundle, "Lead")
    bundle.org.update("Lead", old["Id"], {"Status": status})
    send(bird(2))
    (new,) = [lead for lead in bundle.org.records("Lead") if lead["Id"] != old["Id"]]
    assert texts(bundle, new["Id"]) == ["text 2"]


# Converted, merged, deleted, cloned


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


def test_a_contact_s_owner_who_cannot_have_tasks_gets_none(bundle: Bundle, send: Send) -> None:
    send(bird(1))
    done = bundle.org.convert(only(bundle, "Lead")["Id"])
    owner = bundle.org.put_raw("User", Username="gone@bird.example", Name="Gone", IsActive=False)
    bundle.org.store.update("Contact", done.contact_id, {"OwnerId": owner})
    send(bird(2))
    task = tasks(bundle)[1]
    assert (task["WhoId"], task["Status"]) == (done.contact_id, "Completed")
    assert task["OwnerId"] != owner


def test_a_converted_lead_without_tasks_is_followed_too(bundle: Bundle, send: Send) -> None:
    fields = {"LastName": "J", "Company": "x", "Bird_Key__c": C, "Bird_Conversation__c": C}
    done = bundle.org.convert(bundle.org.create("Lead", fields))
    send(bird(2))
    assert texts(bundle, done.contact_id) == ["text 2"]


def test_a_contact_that_was_deleted_takes_no_message(bundle: Bundle, send: Send) -> None:
    fields = {"LastName": "J", "Company": "x", "Bird_Key__c": C, "Bird_Conversation__c": C}
    old = bundle.org.create("Lead", fields)
    bundle.org.delete("Contact", bundle.org.convert(old, opportunity=False).contact_id)
    send(bird(2))
    (new,) = [lead for lead in bundle.org.records("Lead") if lead["Id"] != old]
    assert texts(bundle, new["Id"]) == ["text 2"]


def test_merged_leads_are_followed(bundle: Bundle, send: Send) -> None:
    send(bird(1))
    master = bundle.org.create("Lead", {"LastName": "Jansen", "Company": "Acme"})
    bundle.org.merge("Lead", master, only_other(bundle, "Lead", master)["Id"])
    for number in (2, 3):
        send(bird(number))
    assert only(bundle, "Lead")["Id"] == master
    assert texts(bundle, master) == ["text 1", "text 2", "text 3"]


def only_other(bundle: Bundle, name: str, but: str) -> dict[str, Any]:
    (record,) = [one for one in bundle.org.records(name) if one["Id"] != but]
    return record


@pytest.mark.parametrize("ago", [None, {"minutes": 2}, {"days": 1}, {"days": 9}])
def test_merged_cases_are_followed_whatever_their_state(
    bundle: Bundle, send: Send, ago: dict[str, float] | None
) -> None:
    send(bird(1), "Case")
    master = bundle.org.create("Case", {"Subject": "parcel"})
    bundle.org.merge("Case", master, only_other(bundle, "Case", master)["Id"])
    if ago:
        closed(bundle, master, **ago)
    reply = send(bird(2), "Case")
    if ago == {"days": 9}:
        assert only_other(bundle, "Case", master)["ParentId"] == master
    else:
        assert texts(bundle, master) == ["text 1", "text 2"]
    status = (bundle.org.get("Case", master) or {})["Status"]
    assert status == ("Closed" if ago in ({"minutes": 2}, {"days": 9}) else "New")
    if reply:
        assert reply.calls == 2


def test_what_a_person_deleted_is_not_brought_back(bundle: Bundle, send: Send) -> None:
    send(bird(1))
    bundle.org.delete("Lead", only(bundle, "Lead")["Id"])
    reply = send(bird(1))
    assert bundle.org.records("Lead") == [] == bundle.org.records("Task")
    if reply:
        assert (reply.status, reply["outcome"], reply["deleted"]) == (200, "exists", True)
        assert "id" not in reply.body and reply["added"] is False
    send(bird(2))
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 2"]


def test_a_clone_takes_no_messages(bundle: Bundle, send: Send) -> None:
    send(bird(1))
    original = only(bundle, "Lead")
    copied = {n: original[n] for n in ("LastName", "Company", "Bird_Conversation__c")}
    clone = bundle.org.create("Lead", copied, user=sample.ADMIN_USER)
    send(bird(2))
    assert texts(bundle, original["Id"]) == ["text 1", "text 2"]
    assert texts(bundle, clone) == []


# Texts


@pytest.mark.parametrize("name", ["Lead", "Case"])
def test_a_text_like_a_reference_arrives_unchanged(
    bundle: Bundle, send: Send, name: ObjectName
) -> None:
    for number in (1, 2):
        send(bird(number, "see @{add.id} and @{x"), name)
    record = only(bundle, name)
    assert texts(bundle, record["Id"]) == ["see @{add.id} and @{x"] * 2
    assert record["Bird_Last_Message__c"] == "2026-11-30T14:02:00.000+0000"
    if name == "Case":
        closed(bundle, record["Id"], days=1)
        send(bird(3, "once more @{add.id}"), name)
        assert only(bundle, name)["Status"] == "New"
        assert len(texts(bundle, record["Id"])) == 3


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


@pytest.mark.parametrize("what", ["convert", "merge", "delete", "close"])
def test_what_happens_between_look_and_write_is_seen(bundle: Bundle, what: str) -> None:
    bundle.post(bird(1), "Lead" if what != "close" else "Case")
    org = bundle.org
    master = org.create("Lead", {"LastName": "M", "Company": "x"})
    first = next(r for n in ("Lead", "Case") for r in org.records(n) if r["Id"] != master)
    bundle.http.before[len(bundle.http.calls) + 2] = {
        "convert": lambda: org.convert(first["Id"]),
        "merge": lambda: org.merge("Lead", master, first["Id"]),
        "delete": lambda: org.delete("Lead", first["Id"]),
        "close": lambda: closed(bundle, first["Id"], days=1),
    }[what]
    reply = bundle.post(bird(2), "Lead" if what != "close" else "Case")
    assert reply.status in (200, 201) and reply.calls <= 4
    task = tasks(bundle)[-1]
    assert task["Description"].endswith("text 2")
    on = task.get("WhoId") or task["WhatId"]
    assert on == reply["id"]
    if what == "delete":
        assert reply["outcome"] == "created"
    if what == "merge":
        assert on == master


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


def test_a_number_and_an_address_of_a_later_message_are_on_its_task(
    bundle: Bundle, send: Send
) -> None:
    """The record is there and gets no field of them, and a person has to see them."""
    who = {"channel": "telegram", "sender": "777"}
    send(bird(1, **who))
    send(bird(2, **who, phone="+447700900142", email="anna@example.org"))
    first, second = tasks(bundle)
    assert "Phone:" not in first["Description"]
    lines = second["Description"].splitlines()
    assert lines[-2:] == ["Phone: +447700900142", "E-mail: anna@example.org"]
    send(bird(3, "x" * 40_000, **who, phone="+447700900142"))
    assert tasks(bundle)[-1]["Description"].endswith("(cut; open it in Bird)\nPhone: +447700900142")


def test_a_sender_s_own_number_is_not_repeated_on_each_task(bundle: Bundle, send: Send) -> None:
    send(bird(1, phone="+31 6 12345678"))
    assert "Phone" not in tasks(bundle)[0]["Description"]
