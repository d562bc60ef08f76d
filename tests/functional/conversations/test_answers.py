"""What a caller is told, and what a deployer may choose."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge.aws import AwsError
from bridge.records import ObjectName
from sandbox.org import OrgServer
from tests.conftest import EVENTS

from .conftest import Bundle
from .test_timeline import C, bird, closed, only, only_other, tasks, texts

# GET


def test_a_key_of_a_message_a_record_or_a_conversation_leads_to_its_record(bundle: Bundle) -> None:
    bundle.post(bird(1), "Case")
    old = only(bundle, "Case")
    closed(bundle, old["Id"], days=9)
    bundle.post(bird(2), "Case")
    new = only_other(bundle, "Case", old["Id"])
    for key, case in (
        ("message-1", old),
        ("message-2", new),
        ("Conversation-1", new),  # its open record
        (C, new),  # the first record's key is the conversation's
        (new["Bird_Key__c"], new),
    ):
        reply = bundle.get(key, "Case")
        assert (reply.status, reply["outcome"]) == (200, "created")
        assert reply.calls <= 2
        assert (reply["id"], reply["number"]) == (case["Id"], case["CaseNumber"])
    assert bundle.get("message-1", "Lead").status == 404
    closed(bundle, new["Id"], days=1)
    assert bundle.get("Conversation-1", "Case")["id"] == new["Id"]  # the newest


# POST


@pytest.mark.parametrize(("name", "named"), [("Lead", "/leads/"), ("Case", "/cases/"), (None, "")])
def test_a_202_names_every_address_where_the_message_may_be(
    bundle: Bundle, server: OrgServer, name: ObjectName | None, named: str
) -> None:
    """POST /messages adds to an open case, whatever the channel's object is."""
    bundle.post(bird(1), "Case")
    with server.down():
        text = bundle.post(bird(2), name)["message"]
    assert [path for path in ("/leads/", "/cases/") if f"{path}message-2" in text] == (
        [named] if named else ["/leads/", "/cases/"]
    )


def test_a_message_that_could_not_be_queued_beside_its_record_has_failed(bundle: Bundle) -> None:
    """The caller sends it again, and the record is found."""
    bundle.org.add_validation_rule("Task", lambda task: True, "no", name="no_tasks")
    bundle.aws.broken[bundle.settings.outbox_url] = AwsError("UNREACHABLE", "down")
    assert (bundle.post(bird(1)).status, len(bundle.org.records("Lead"))) == (503, 1)
    bundle.org.clear_rules()
    reply = bundle.post(bird(1))
    assert (reply["outcome"], reply["added"]) == ("exists", True)
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 1"]


def test_on_a_record_that_is_there_both_kinds_are_named(bundle: Bundle) -> None:
    """What is left out is no line of the Task either: it may be a customer's words."""
    body = {"OwnerId": "005000000000001AAA", "Rating": "Hot"}
    bundle.post(bird(1))
    reply = bundle.post({**body, **bird(2)})
    assert (reply["outcome"], reply["notWritten"]) == ("exists", "OwnerId,Rating")
    assert not any("005000000000001AAA" in str(task) for task in bundle.org.records("Task"))
    assert bundle.post({**body, **bird(2)})["notWritten"] == "OwnerId", "that was there before"


WARNINGS: list[tuple[dict[str, Any], list[str]]] = [
    ({"bird": {"channel": "sms", "messageId": "m", "text": "x"}}, []),
    ({"LastName": "x", "Bird_Key__c": "k"}, []),
    ({"LastName": "x"}, ["no message id"]),
    ({"bird": {"channel": "sms", "text": "x"}}, ["no message id"]),
    ({"bird": {"channel": "sms", "mesageId": "m"}}, ["bird.mesageId", "messageId", "no message"]),
    ({"bird": {"channel": "whatsap", "messageId": "m"}}, ["channel is unknown", "whatsapp"]),
    ({"bird": {"channel": "sms", "messageId": "m", "qqqqq": 1}}, ["bird.qqqqq is unknown."]),
    (
        {"bird": {"channel": "sms", "messageId": "{{id}}", "text": "{{text}}"}},
        ["No variable of the body has a value"],
    ),
    (
        {"bird": {"channel": "sms", "messageId": "c", "conversationId": "c", "text": "x"}},
        ["message id is the conversation's"],
    ),
]


@pytest.mark.parametrize(("body", "given"), WARNINGS)
def test_what_looks_like_a_mistake_is_said(
    bundle: Bundle, body: dict[str, Any], given: list[str]
) -> None:
    reply = bundle.post(body)
    assert reply.status == 201
    warnings = reply.body.get("warnings", "")
    assert bool(warnings) is bool(given)
    assert all(words in warnings for words in given), warnings


# What a deployer may choose


def test_a_case_may_get_a_status_and_comments_with_each_message(
    deploy: Callable[..., Bundle],
) -> None:
    bundle = deploy(CASE_STATUS_ON_REPLY="Escalated", CASE_COMMENTS="on")
    bundle.post(bird(1), "Case")
    assert only(bundle, "Case")["Status"] == "New"
    reply = bundle.post(bird(2, "é" * 3000), "Case")
    bundle.queue(bird(3), "Case")
    bundle.deliver()
    assert reply.calls == 2
    assert only(bundle, "Case")["Status"] == "Escalated"
    first, second = sorted(bundle.org.records("CaseComment"), key=lambda one: one["CommentBody"])
    assert len(first["CommentBody"].encode()) <= 4000 and "cut" in first["CommentBody"][-40:]
    assert second["CommentBody"] == "2026-11-30 14:03:00 UTC\ntext 3"
    assert not first["IsPublished"]
    closed(bundle, only(bundle, "Case")["Id"], minutes=2)
    bundle.post(bird(4, "thanks"), "Case")
    assert only(bundle, "Case")["Status"] == "Closed"


def test_an_agent_keeps_the_case(deploy: Callable[..., Bundle]) -> None:
    bundle = deploy(CASE_STATUS_ON_REPLY="Working")
    org = bundle.org
    org.add_assignment_rule("Case", org.records("Group")[0]["Id"])
    bundle.post(bird(1), "Case")
    agent = next(u["Id"] for u in org.records("User") if u["FirstName"] == "Sam")
    org.update("Case", only(bundle, "Case")["Id"], {"OwnerId": agent})
    bundle.post(bird(2), "Case")
    bundle.queue(bird(3), "Case")
    bundle.deliver()
    assert only(bundle, "Case")["OwnerId"] == agent
    assert only(bundle, "Case")["Status"] == "Working"


def test_another_key_field_is_no_matter_to_tasks(fresh: Callable[..., Bundle]) -> None:
    bundle = fresh(EXTERNAL_ID_FIELD="Other_Key__c")
    for name in ("Lead", "Case"):
        bundle.org.add_field(
            name, "Other_Key__c", external_id=True, unique=True, case_sensitive=True
        )
        bundle.org.show_field(name, "Other_Key__c", user="integration@bird.example")
    bundle.post(bird(1))
    bundle.queue(bird(2))
    bundle.queue(bird(1), "Case")
    bundle.deliver()
    assert only(bundle, "Lead")["Other_Key__c"] == only(bundle, "Case")["Other_Key__c"] == C
    assert only(bundle, "Lead").get("Bird_Key__c") is None
    assert len(tasks(bundle)) == 3
    assert bundle.get("message-2")["id"] == only(bundle, "Lead")["Id"]


def test_outside_conversations_a_message_is_one_call_and_no_task(
    deploy: Callable[..., Bundle],
) -> None:
    for off in ({"EXTERNAL_ID_FIELD": ""}, {"CONVERSATIONS": "off"}):
        bundle = deploy(**off)
        assert [bundle.post(bird(1), name).calls for name in ("Lead", "Case")] == [1, 1]
        assert tasks(bundle) == []


# What our side sent


def sent_by_us(text: str = "On its way") -> Any:
    """A webhook of the Conversations API, v1."""
    body = json.loads(json.loads((EVENTS / "receive_message.sent_by_us.json").read_text())["body"])
    body["message"] |= {"id": f"sent {text}", "content": {"text": text}}
    body["message"]["conversationId"] = body["conversation"]["id"] = "Conversation-1"
    body["message"]["createdDatetime"] = "2026-11-30T15:00:00Z"
    return body


@pytest.mark.parametrize("name", ["Lead", "Case"])
def test_replies_are_logged_where_the_deployer_wants_it(
    deploy: Callable[..., Bundle], name: ObjectName
) -> None:
    off = deploy()
    off.post(bird(1), name)
    assert off.post(sent_by_us(), None)["outcome"] == "ignored"

    bundle = Bundle(off.org, off.url, off.token, {"LOG_REPLIES": "on", "CASE_COMMENTS": "on"})
    before = only(bundle, name)
    reply = bundle.post(sent_by_us(), None)
    bundle.queue(sent_by_us("Later"), None)
    bundle.deliver()
    assert (reply["outcome"], reply["added"], reply["id"]) == ("exists", True, before["Id"])
    assert tasks(bundle)[1]["Subject"] == "→ WhatsApp: Later"
    assert only(bundle, name) == before  # nothing of the record is touched
    assert bundle.org.records("CaseComment") == []
    if name == "Case":
        closed(bundle, before["Id"], days=9)
        assert bundle.post(sent_by_us("Goodbye"), None)["id"] == before["Id"]
        assert only(bundle, "Case")["Status"] == "Closed"


def test_a_reply_makes_no_record(deploy: Callable[..., Bundle]) -> None:
    bundle = deploy(LOG_REPLIES="on")
    reply = bundle.post(sent_by_us(), None)
    assert (reply.status, reply["outcome"]) == (200, "ignored")
    bundle.queue(sent_by_us(), None)
    bundle.deliver()
    assert bundle.outbox == [] == bundle.rejected
    assert bundle.org.records("Lead") == [] == bundle.org.records("Task")
