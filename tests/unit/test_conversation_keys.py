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


@pytest.mark.parametrize(
    ("conversation_id", "channel", "key"),
    [
        (f" {C}\n", "whatsapp", C),
        ("AcV_1", "", "AcV_1"),
        # without an id the sender on the channel stands for it
        *((one, "sms", "sms~+49151") for one in ("", "  ", "{{conversation.id}}", "x-{{id}}")),
        ("", "whatsapp", "whatsapp~+49151"),
        # who names no channel is in no conversation by the sender
        ("", "", ""),
    ],
)
def test_a_conversations_key_is_bird_s_id_or_its_sender(
    conversation_id: str, channel: str, key: str
) -> None:
    found = conversation_key(conversation_id, channel=channel, sender=" +49151 ")
    assert found == (stored_key(key) if key else "")


@pytest.mark.parametrize(
    ("candidates", "key", "source"),
    [
        ([("message", "m-1"), ("header", "h-1"), ("webhook", "w-1")], "m-1", "message"),
        ([("message", ""), ("header", " h-1 "), ("webhook", "w-1")], "h-1", "header"),
        ([("message", None), ("header", "  "), ("webhook", "w-1")], "w-1", "webhook"),
        ([("message", {"a": 1}), ("header", ["k"]), ("webhook", "w-1")], "w-1", "webhook"),
        ([("message", 17), ("header", "h-1")], "17", "message"),
        ([("message", True), ("header", "h-1")], "h-1", "header"),
        ([("message", "wamid.HBgL=")], "wamid.HBgL=", "message"),
        # a variable is none, and counted
        ([("message", "{{m.id}}"), ("header", "a-{{b}}"), ("webhook", "w-1")], "w-1", "webhook"),
        # the conversation's id is none where there is another; in other letters it is one
        ([("message", C), ("webhook", "w-1")], "w-1", "webhook"),
        ([("message", f" {C} "), ("webhook", "w-1")], "w-1", "webhook"),
        ([("message", C.upper()), ("webhook", "w-1")], C.upper(), "message"),
    ],
)
def test_a_messages_key_is_the_first_id_that_is_there(
    candidates: list[tuple[str, Any]], key: str, source: str
) -> None:
    found = message_key(candidates, conversation=C)
    assert (found.key, found.source) == (stored_key(key), source)
    assert found.unresolved == sum("{{" in str(one) for _, one in candidates)


@pytest.mark.parametrize("nothing", sorted(MISSING))
def test_what_programs_write_for_nothing_is_no_id_wherever_it_stands(nothing: str) -> None:
    """It would be everybody's: one message of all, or one record of many customers."""
    for source in ("field", "message", "header", "webhook"):
        found = message_key([(source, f" {nothing} "), ("webhook", "w-1")])
        assert (found.key, found.unresolved) == ("w-1", 1)
        assert message_key([(source, nothing)]).source == MADE_UP
    assert conversation_key(nothing, channel="sms", sender=nothing) == ""
    assert conversation_key(nothing, channel="sms", sender="+1") == stored_key("sms~+1")


def test_without_any_id_a_key_is_made_up() -> None:
    one, other = (message_key([("message", "")], conversation=C) for _ in range(2))
    assert one.source == other.source == MADE_UP
    assert one.key != other.key


def test_where_the_conversations_id_is_alone_it_takes_the_last_messages_time_or_the_content() -> (
    None
):
    last = "2026-11-30T14:03:07Z"
    found = message_key([("message", C)], conversation=C, last_message=last, content=["Hi"])
    assert (found.key, found.source) == (stored_key(f"{C}~{last}"), CONTENT)

    def key(*content: str, of: str = C) -> str:
        return message_key([("header", of)], conversation=of, content=content).key

    assert key("Hi") == key("Hi")
    assert len({key("Hi"), key("Hi", "https://a"), key("Hihttps://a"), key(), C}) == 5
    assert key("Hi", of="c-2") != key("Hi")


def test_tasks_and_successors_have_keys_of_their_own() -> None:
    assert task_key("Lead", "m-1") == stored_key("lead~m-1")
    assert task_key("Case", "m-1") == stored_key("case~m-1")
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
