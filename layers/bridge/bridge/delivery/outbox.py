"""The queues Outbox and Rejected, and the envelope that is in them.

The envelope is ASCII JSON, so that no character that SQS refuses or counts differently is in it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from bridge.aws import Aws, AwsError
from bridge.bird.channels import NONE, OBJECTS
from bridge.bird.message import Media
from bridge.conversations.message import Message, read_moment
from bridge.deadline import Deadline
from bridge.errors import NotKept, RequestTooLarge, SalesforceProblem
from bridge.records import ObjectName, Record
from bridge.salesforce.responses import MAX_FIELDS, MAX_NAME_LENGTH
from bridge.settings import Settings
from bridge.untrusted import read_json, read_text

LONGEST_ENVELOPE = 900 * 1024
"""Bytes. SQS takes messages of 1 MiB; the rest is for the reason that Rejected adds."""

LONGEST_REASON = 2_000
"""Characters of Salesforce's message that are kept: an Apex trigger's may be endless."""


VERSION = 2
"""Of the envelope. One of another version goes back to the queue, never to Rejected."""
Kind = Literal["message", "update"]
"""A message on its way onto a record, or an update of the record that its key leads to."""
KINDS: tuple[Kind, ...] = ("message", "update")
What = Literal["record", "message"]
"""What Salesforce refuses: the record, or the Task that logs the message on it."""

_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


class UnreadableEnvelope(ValueError):
    """A message that no version of this bundle wrote."""


class UnknownEnvelope(UnreadableEnvelope):
    """A message of another version of this bundle, which may be running beside this one."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A message with what is known of its way so far.

    An update is one too: `message` has its object, its fields, and the key of the record.
    """

    message: Message
    kind: Kind = "message"
    accepted_at: str
    """When the API took it (RFC 3339, UTC)."""
    request_id: str = ""
    replayed: int = 0
    """How often a person brought it back from Rejected."""
    refused_what: What | None = None
    """What Salesforce refused, now or before a replay: the record, or the message's Task."""
    reason: Mapping[str, Any] | None = field(repr=False, default=None)
    """Why it was refused: code, message, fields, at, attempts."""
    forced: bool = False
    """Of an update: a person has decided that it overwrites what others have changed since."""
    not_there_since: str = ""
    """Of an update: since when Salesforce has no record for it, where it was asked at once."""

    @property
    def object_name(self) -> ObjectName:
        """What it makes where it makes a record."""
        return self.message.requested or self.message.channel_object

    @property
    def key(self) -> str:
        """The message's key."""
        return self.message.key

    @cached_property
    def record(self) -> Record:
        """The record that it makes: outside a conversation, with the message's own key."""
        return self.message.record(self.object_name, self.message.key)

    def same_as(self, other: Envelope) -> bool:
        """Whether both have the same message, whenever they were accepted."""
        return replace(other.message, sent_at=self.message.sent_at) == self.message

    @property
    def was_rejected(self) -> bool:
        """Whether it comes from Rejected: replayed, or moved back by SQS itself (then with its
        reason, and as a message that is new)."""
        return self.replayed > 0 or self.reason is not None

    @classmethod
    def of(cls, message: Message, *, request_id: str, kind: Kind = "message") -> Envelope:
        """The envelope of a request that has just arrived."""
        return cls(message=message, accepted_at=now(), request_id=request_id, kind=kind)

    @classmethod
    def parse(cls, body: object) -> Envelope:
        """Read a message. Raises UnreadableEnvelope, and UnknownEnvelope for another version's."""
        values = opened(body)
        kind = values.get("kind") or "message"
        if kind not in KINDS:
            raise UnknownEnvelope("the envelope is one of another version of this bundle")
        accepted_at, reason = read_text(values, "acceptedAt"), values.get("reason")
        replayed, what = values.get("replayed") or 0, values.get("refused")
        if not isinstance(replayed, int):
            raise UnreadableEnvelope("the envelope has no count of replays")
        return cls(
            message=_read_message(values, accepted_at),
            kind=kind,
            accepted_at=accepted_at,
            request_id=read_text(values, "requestId"),
            replayed=replayed,
            refused_what=what if what in ("record", "message") else None,
            reason=reason if isinstance(reason, dict) else None,
            forced=values.get("forced") is True,
            not_there_since=read_text(values, "notThereSince"),
        )

    def dump(self) -> str:
        """The message's body: ASCII, whatever the fields hold."""
        message = self.message
        values: dict[str, Any] = {
            "v": VERSION,
            "kind": self.kind,
            "object": message.requested,
            "key": message.key,
            "channel": message.channel,
            "fields": message.fields,
            "derived": message.derived,
            "sentAt": message.sent_at.isoformat(),
            "acceptedAt": self.accepted_at,
            "requestId": self.request_id,
        }
        if message.conversation:
            values["conversation"] = message.conversation
            values["channelObject"] = message.channel_object
        for name, value in (
            ("task", message.task),
            ("unshown", message.unshown),
            ("fromUs", message.from_us),
            ("phone", message.phone),
            ("email", message.email),
            ("media", message.media),
            ("replayed", self.replayed),
            ("refused", self.refused_what),
            ("reason", self.reason),
            ("forced", self.forced),
            ("notThereSince", self.not_there_since),
        ):
            if value:
                values[name] = value
        return _ENCODE(values)

    def refused(
        self, problem: SalesforceProblem, *, attempts: int, what: What = "record"
    ) -> Envelope:
        """The same with the reason why Salesforce does not take it."""
        reason = {**reason_of(problem, attempts=attempts), "existingId": problem.existing_id}
        return replace(self, refused_what=what, reason=reason)

    def again(self, *, force: bool = False) -> Envelope:
        """The same on its way back from Rejected to the outbox. `force`: an update overwrites."""
        return replace(
            self,
            reason=None,
            replayed=self.replayed + 1,
            forced=force and self.kind == "update",
            not_there_since=now() if self.not_there_since else "",
        )


def opened(body: object) -> dict[str, Any]:
    """The values of an envelope of whatever kind. Raises as `Envelope.parse`."""
    values = read_json(body) if isinstance(body, str) else None
    if not isinstance(values, dict) or not isinstance(values.get("v"), int):
        raise UnreadableEnvelope("the message is no envelope of this bundle")
    if values["v"] != VERSION:
        raise UnknownEnvelope("the envelope is one of another version of this bundle")
    return values


def reason_of(problem: SalesforceProblem, *, attempts: int) -> dict[str, Any]:
    """Why something is in Rejected."""
    return {
        "code": problem.code[:MAX_NAME_LENGTH],
        "message": problem.message[:LONGEST_REASON],
        "fields": [name[:MAX_NAME_LENGTH] for name in problem.fields[:MAX_FIELDS]],
        "hint": problem.hint,
        "at": now(),
        "attempts": attempts,
    }


def _read_message(values: Mapping[str, Any], accepted_at: str) -> Message:
    """The message of an envelope. Raises UnreadableEnvelope."""
    name, key = values.get("object"), values.get("key")
    fields: Any = values.get("fields")
    conversation = read_text(values, "conversation")
    task, derived, unshown = (values.get(each) or {} for each in ("task", "derived", "unshown"))
    media, channel_object = values.get("media") or [], values.get("channelObject")
    readable = (
        name in ((*OBJECTS, None) if conversation else OBJECTS)
        and str(key).strip()  # else nothing would be found by it
        and isinstance(fields, dict)
        and "attributes" not in fields
        and all(isinstance(each, dict) for each in (task, derived, unshown))
        and all(each in OBJECTS and isinstance(derived[each], dict) for each in derived)
        and isinstance(media, list)
        and all(isinstance(file, list) and file for file in media)
        and all(isinstance(text, str) for file in media for text in file)
    )
    if not readable or not isinstance(key, str):
        raise UnreadableEnvelope("the envelope has no message that this bundle wrote")
    return Message(
        conversation=conversation,
        key=key,
        requested=name,
        channel_object=channel_object if channel_object in OBJECTS else name or "Lead",
        fields=fields,
        derived=derived,
        task=task,
        unshown=unshown,
        sent_at=read_moment(values.get("sentAt")) or read_moment(accepted_at) or datetime.now(UTC),
        channel=read_text(values, "channel") or NONE,
        from_us=values.get("fromUs") is True,
        phone=read_text(values, "phone"),
        email=read_text(values, "email"),
        media=tuple(Media(*file[:3]) for file in media),
    )


def now() -> str:
    """This moment, RFC 3339 in UTC."""
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")


def sealed(envelope: Envelope) -> str:
    """The body to queue. Raises RequestTooLarge: what could not be queued is not accepted."""
    body = envelope.dump()
    if len(body) > LONGEST_ENVELOPE:
        raise RequestTooLarge(
            f"the record takes {len(body):,} bytes with every non-ASCII character escaped; "
            f"at most {LONGEST_ENVELOPE:,} can be queued if Salesforce is down"
        )
    return body


class Queues:
    """Where create_* puts what it could not finish. Raises NotKept."""

    def __init__(self, *, aws: Aws, settings: Settings) -> None:
        self._aws = aws
        self._settings = settings

    def queue(self, body: str, *, deadline: Deadline) -> None:
        """Put a sealed envelope into the outbox."""
        self._send(self._settings.outbox_url, body, deadline=deadline)

    def reject(self, envelope: Envelope, *, deadline: Deadline) -> None:
        """Put a refused envelope into Rejected."""
        self._send(self._settings.rejected_url, envelope.dump(), deadline=deadline)

    def _send(self, queue_url: str, body: str, *, deadline: Deadline) -> None:
        try:
            self._aws.send_message(queue_url, body, deadline=deadline)
        except AwsError as error:
            raise NotKept("the queue cannot be reached") from error
