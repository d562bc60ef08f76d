"""The keys of a conversation, a message, a Task and a record."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.bird.texts import MISSING
from bridge.conversations.keys import (
    CONTENT,
    MADE_UP,
    conversation_key,
    message_key,
    record_key,
    task_key,
)
from bridge.records import stored_key

C = "0f6b1a3e-5f0e-4c43-9d2b-1f1a7c1e0a11"


def test_a_conversations_key_is_bird_s_id() -> None:
    assert conversation_key(f" {C}\n", channel="whatsapp", sender="+4915112345678") == C
    assert conversation_key("AcV_1") == stored_key("AcV_1")


@pytest.mark.parametrize("conversation_id", ["", "  ", "{{conversation.id}}", "x-{{id}}"])
def test_without_an_id_the_sender_on_the_channel_stands_for_it(conversation_id: str) -> None:
    key = conversation_key(conversation_id, channel="whatsapp", sender=" +4915112345678 ")
    assert key == stored_key("whatsapp~+4915112345678")
    assert key != conversation_key("", channel="sms", sender="+4915112345678")


def test_a_request_that_names_no_channel_is_of_no_conversation_by_its_sender() -> None:
    assert conversation_key("", channel="", sender="+4915112345678") == ""


@pytest.mark.parametrize(
    ("candidates", "key", "source"),
    [
        ([("message", "m-1"), ("header", "h-1"), ("webhook", "w-1")], "m-1", "message"),
        ([("message", ""), ("header", " h-1 "), ("webhook", "w-1")], "h-1", "header"),
        ([("message", None), ("header", None), ("webhook", "w-1")], "w-1", "webhook"),
        ([("message", 17), ("header", "h-1")], "17", "message"),
        ([("message", True), ("header", "h-1")], "h-1", "header"),
        ([("message", "wamid.HBgL=")], stored_key("wamid.HBgL="), "message"),
    ],
)
def test_a_messages_key_is_the_first_id_that_is_there(
    candidates: list[tuple[str, Any]], key: str, source: str
) -> None:
    found = message_key(candidates, conversation=C)
    assert (found.key, found.source, found.unresolved) == (key, source, 0)


@pytest.mark.parametrize("nothing", sorted(MISSING))
def test_what_programs_write_for_nothing_is_no_id_wherever_it_stands(nothing: str) -> None:
    """It would be everybody's: one message of all, or one record of many customers."""
    for source in ("field", "message", "header", "webhook"):
        found = message_key([(source, f" {nothing} "), ("webhook", "w-1")])
        assert (found.key, found.unresolved) == ("w-1", 1)
        assert message_key([(source, nothing)]).source == MADE_UP
    assert conversation_key(nothing, channel="sms", sender=nothing) == ""
    assert conversation_key(nothing, channel="sms", sender="+1") == stored_key("sms~+1")


def test_an_unresolved_variable_is_no_id_and_is_counted() -> None:
    found = message_key([("message", "{{message.id}}"), ("header", "a-{{b}}"), ("webhook", "w")])
    assert (found.key, found.source, found.unresolved) == ("w", "webhook", 2)


def test_without_any_id_a_key_is_made_up() -> None:
    one, other = (message_key([("message", "")], conversation=C) for _ in range(2))
    assert one.source == other.source == MADE_UP
    assert one.key != other.key


@pytest.mark.parametrize("candidate", [C, f" {C} "])
def test_the_conversations_id_is_no_messages_id_where_there_is_another(candidate: str) -> None:
    found = message_key([("message", candidate), ("webhook", "w-1")], conversation=C)
    assert (found.key, found.source) == ("w-1", "webhook")


def test_alone_it_takes_the_last_messages_id_or_time() -> None:
    found = message_key(
        [("message", C)], conversation=C, last_message="2026-11-30T14:03:07Z", content=["Hi"]
    )
    assert (found.key, found.source) == (stored_key(f"{C}~2026-11-30T14:03:07Z"), CONTENT)


def test_or_the_content() -> None:
    def key(*content: str) -> str:
        return message_key([("header", C)], conversation=C, content=content).key

    assert key("Hi") == key("Hi")
    assert len({key("Hi"), key("Hi", "https://a"), key("Hihttps://a"), key(), C}) == 5
    other = message_key([("header", "c-2")], conversation="c-2", content=["Hi"]).key
    assert other != key("Hi")


def test_an_id_that_differs_from_the_conversations_in_case_is_another() -> None:
    conversation = conversation_key("WAmid.1")
    found = message_key([("message", "waMID.1")], conversation=conversation)
    assert (found.key, found.source) == (stored_key("waMID.1"), "message")


def test_a_message_has_one_task_per_object() -> None:
    assert task_key("Lead", "m-1") == stored_key("lead~m-1")
    assert task_key("Case", "m-1") == stored_key("case~m-1")


def test_the_first_record_has_the_conversations_key_and_a_successor_its_predecessors() -> None:
    assert record_key(C) == C
    short, full = "500000000000001", "500000000000001AAA"
    assert record_key(C, full) == record_key(C, short) == stored_key(f"{C}~{short}")
    assert record_key(C, "500000000000002AAA") != record_key(C, full)


@given(st.text(), st.text(), st.text())
def test_every_key_fits_its_field_and_is_stored_as_itself(a: str, b: str, c: str) -> None:
    conversation = conversation_key(a, channel="sms", sender=b)
    message = message_key([("message", b), ("header", a)], conversation=conversation, content=[c])
    keys = [message.key, task_key("Lead", message.key)]
    if conversation:
        keys += [conversation, record_key(conversation, "500000000000001AAA")]
    for key in keys:
        assert re.fullmatch(r"[a-z0-9._-]{1,100}", key)
        assert stored_key(key) == key
