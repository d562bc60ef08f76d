"""One message of a conversation, and its text as a person reads it on a record's timeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bridge.bird.message import Media
from bridge.bird.texts import CUT as CUT_MARK
from bridge.bird.texts import cut, length_of
from bridge.records import ObjectName, Record

DESCRIPTION_LENGTH = 32_000
SUBJECT_LENGTH = 255
"""Of a Task, in UTF-16 code units (Object Reference, Task)."""

YEARS = range(1700, 4000)
"""Those that Salesforce stores whole, in UTC: its first day is 1700-01-01, its last one 4000-12-31
(SOQL and SOSL Reference, Date Formats and Date Literals)."""

COMMENT_BYTES = 4_000
"""Of a CaseComment, in UTF-8 (Object Reference, CaseComment)."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a customer wrote, or with `from_us` our own side, as it is logged."""

    conversation: str
    """c: the conversation's key."""
    key: str
    """m: the message's key."""
    requested: ObjectName | None
    """The object of the route; None: where the conversation is, or `channel_object`."""
    channel_object: ObjectName
    fields: Mapping[str, Any] = field(repr=False, default_factory=dict)
    """The Salesforce fields that the caller gave."""
    derived: Mapping[ObjectName, Mapping[str, Any]] = field(repr=False, default_factory=dict)
    """By object, what the table of channels fills beside them."""
    task: Mapping[str, Any] = field(repr=False, default_factory=dict)
    """The Task's fields by the table of channels: Subject, Description, a fixed Status …"""
    unshown: Mapping[str, str] = field(repr=False, default_factory=dict)
    """What fills fields of a new record and is not in the text: lines of the Task where there is
    none, likewise."""
    sent_at: datetime
    channel: str = "unknown"
    """The channel's name in the table of channels."""
    from_us: bool = False
    phone: str = field(repr=False, default="")
    """The sender's, E.164, where a Contact is looked for by it; the e-mail address likewise."""
    email: str = field(repr=False, default="")
    media: tuple[Media, ...] = ()
    """The files to attach; none unless AttachMedia is on."""

    def record(self, object_name: ObjectName, key: str) -> Record:
        """The record that the message makes."""
        given = {name.lower() for name in self.fields}
        filled = self.derived.get(object_name, {})
        derived = {name: value for name, value in filled.items() if name.lower() not in given}
        return Record(
            object=object_name,
            key=key,
            fields={**self.fields, **derived},
            derived=frozenset(derived),
            channel=self.channel,
        )

    @property
    def text(self) -> str:
        """What was written: by the table of channels, else the Description that the caller gave."""
        text = self.task.get("Description") or ""
        if not text:
            text = next((v for n, v in self.fields.items() if n.lower() == "description"), "")
        return text if isinstance(text, str) else ""

    @property
    def not_written(self) -> dict[str, str]:
        """The caller's fields that a record which is there does not get, as text.

        What the Task shows anyway is left out.
        """
        shown = {self.text, self.task.get("Subject")}
        values = {name: _as_text(value) for name, value in self.fields.items()}
        return {name: value for name, value in values.items() if value not in shown}

    def description(self, *, with_fields: bool) -> str:
        """The Task's Description: the message's time, its text, and `with_fields` a line for each
        field that no record gets. Text and lines both have room for half of it at least."""
        head = f"{self.sent_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        lines = {**self.unshown, **self.not_written} if with_fields else {}
        block = "\n".join(f"{name}: {value}" for name, value in lines.items())
        room = DESCRIPTION_LENGTH - length_of(head) - 3
        text = shortened(self.text, max(room - length_of(block), room // 2))
        block = shortened(block, room - length_of(text))
        return "\n".join(filter(None, [head, text, block and f"\n{block}" if text else block]))

    def subject(self) -> str:
        """The Task's Subject."""
        subject = self.task.get("Subject")
        return cut(subject, SUBJECT_LENGTH) if isinstance(subject, str) else ""


def shortened(text: str, length: int) -> str:
    """A text of at most so many UTF-16 code units; one that was cut shows it."""
    return text if length_of(text) <= length else cut(text, length - length_of(CUT_MARK)) + CUT_MARK


def as_comment(text: str) -> str:
    """A text of at most COMMENT_BYTES in UTF-8; one that was cut shows it."""
    encoded = text.encode(errors="surrogatepass")
    if len(encoded) <= COMMENT_BYTES:
        return text
    return encoded[: COMMENT_BYTES - len(CUT_MARK.encode())].decode(errors="ignore") + CUT_MARK


def read_moment(value: Any) -> datetime | None:
    """A moment of RFC 3339, as UTC where it says no zone; None where it is none.

    One that Salesforce does not store is none either, as the year 1 that programs write for a time
    that they do not have.
    """
    try:
        moment = datetime.fromisoformat(value.upper())  # t and z may stand for T and Z
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (AttributeError, ValueError, OverflowError):
        return None
    is_day = len(value) < len("2026-11-30T14:03")
    return None if is_day or moment.year not in YEARS else moment


def as_salesforce_time(moment: datetime) -> str:
    """`2026-11-30T14:03:07.000Z`"""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
