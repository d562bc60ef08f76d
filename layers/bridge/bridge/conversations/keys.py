"""The keys of a conversation: its own, a message's, a Task's, a record's.

Every key is in the form in which it is stored (`stored_key`): at most 100 characters of
`[a-z0-9._-]`. Source of the rules: ADR 0060.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from bridge.bird.texts import MISSING
from bridge.records import ObjectName, made_up_key, stored_key

MADE_UP = "made_up"
"""The source of a key that no candidate gave: a repeated request is then a new message."""

CONTENT = "content"
"""The source of a key that was made from the conversation and what the message holds."""


class MessageKey(NamedTuple):
    """The key of a message, and where it came from."""

    key: str
    source: str
    """The name of the candidate that gave it, CONTENT or MADE_UP."""
    unresolved: int = 0
    """How many candidates held an unresolved variable instead of an id."""


def conversation_key(
    conversation_id: str, *, channel: str = "", sender: str = "", is_chat: bool = True
) -> str:
    """The key of a conversation; empty where the request is of none.

    Where Bird gives no id, the sender on a chat channel (`is_chat`: not e-mail, not voice) stands
    for one: it is one endless conversation there too. An unresolved variable is no id.
    """
    if is_id(conversation_id):
        return stored_key(conversation_id)
    if is_chat and channel and is_id(sender):
        return stored_key(f"{channel}~{sender.strip()}")
    return ""


def message_key(
    candidates: Sequence[tuple[str, Any]],
    *,
    conversation: str = "",
    last_message: str = "",
    content: Sequence[str] = (),
) -> MessageKey:
    """The key of a message: the first candidate (name, value) that is an id.

    An unresolved variable would be everybody's key and is none, wherever in the text it stands.

    A candidate that equals the conversation's id would make one message of the whole conversation.
    If there is no other, the key is made of the conversation's and `last_message` (the id or time
    that the body gives for the conversation's last message), else of its `content` (text, links).
    """
    unresolved, names_conversation = 0, False
    for source, value in candidates:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            continue
        text = str(value).strip()
        if not text:
            continue
        if not is_id(text):
            unresolved += 1
            continue
        key = stored_key(text)
        if conversation and key == conversation:
            names_conversation = True
            continue
        return MessageKey(key, source, unresolved)
    if not names_conversation:
        return MessageKey(made_up_key(), MADE_UP, unresolved)
    # As JSON, so that ("a", "bc") and ("ab", "c") are two messages.
    ending = last_message.strip() if is_id(last_message) else _hash(json.dumps(list(content)))
    return MessageKey(stored_key(f"{conversation}~{ending}"), CONTENT, unresolved)


def task_key(object_name: ObjectName, message: str) -> str:
    """T(o, m): the key of the Task that logs a message for one object."""
    return stored_key(f"{object_name.lower()}~{message}")


def record_key(conversation: str, predecessor_id: str | None = None) -> str:
    """K(c), K(c, p): the key of a conversation's first record, or of the successor of a record.

    It follows from what is there, so that two workers that make the same successor collide.
    """
    if predecessor_id is None:
        return conversation
    return stored_key(f"{conversation}~{predecessor_id[:15]}")


def is_id(text: str) -> bool:
    """Whether a text is an id: neither blank, nor with an unresolved variable in it, nor what
    programs write for nothing. Those would be everybody's."""
    bare = text.strip()
    return bool(bare) and "{{" not in text and "}}" not in text and bare not in MISSING


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
