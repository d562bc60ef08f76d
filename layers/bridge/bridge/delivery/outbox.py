"""The queues Outbox and Rejected, and the envelope that is in them.

The envelope is ASCII JSON, so that no character that SQS refuses or counts differently is in it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bridge.aws import Aws, AwsError
from bridge.bird.channels import NONE, OBJECTS
from bridge.deadline import Deadline
from bridge.errors import NotKept, RequestTooLarge, SalesforceProblem
from bridge.records import Record
from bridge.salesforce.responses import MAX_FIELDS, MAX_NAME_LENGTH
from bridge.settings import Settings
from bridge.untrusted import read_json, read_text

LONGEST_ENVELOPE = 900 * 1024
"""Bytes. SQS takes messages of 1 MiB; the rest is for the reason that Rejected adds."""

LONGEST_REASON = 2_000
"""Characters of Salesforce's message that are kept: an Apex trigger's may be endless."""


_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


class UnreadableEnvelope(ValueError):
    """A message that no version of this bundle wrote."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A record with what is known of its way so far."""

    record: Record
    accepted_at: str
    """When the API took it (RFC 3339, UTC)."""
    request_id: str = ""
    replayed: int = 0
    """How often a person brought it back from Rejected."""
    reason: Mapping[str, Any] | None = field(repr=False, default=None)
    """Why it was refused: code, message, fields, at, attempts."""

    @property
    def was_rejected(self) -> bool:
        """Whether it comes from Rejected: replayed, or moved back by SQS itself (then with its
        reason, and as a message that is new)."""
        return self.replayed > 0 or self.reason is not None

    @classmethod
    def of(cls, record: Record, *, request_id: str) -> Envelope:
        """The envelope of a request that has just arrived."""
        return cls(record=record, accepted_at=now(), request_id=request_id)

    @classmethod
    def parse(cls, body: object) -> Envelope:
        """Read a message. Raises UnreadableEnvelope."""
        values = read_json(body) if isinstance(body, str) else None
        if not isinstance(values, dict) or values.get("object") not in OBJECTS:
            raise UnreadableEnvelope("the message is no envelope of this bundle")
        key, fields = values.get("key"), values.get("fields")
        derived, replayed = values.get("derived") or [], values.get("replayed") or 0
        if not isinstance(key, str) or not key.strip():
            raise UnreadableEnvelope("the envelope has no key, so nothing would be found by it")
        if not isinstance(fields, dict) or "attributes" in fields:
            raise UnreadableEnvelope("the envelope's fields are none that a caller may send")
        if not isinstance(derived, list) or not all(isinstance(name, str) for name in derived):
            raise UnreadableEnvelope("the envelope's derived fields have no names")
        if not isinstance(replayed, int):
            raise UnreadableEnvelope("the envelope has no count of replays")
        reason = values.get("reason")
        return cls(
            record=Record(
                object=values["object"],
                key=key,
                fields=fields,
                derived=frozenset(derived),
                channel=read_text(values, "channel") or NONE,
            ),
            accepted_at=read_text(values, "acceptedAt"),
            request_id=read_text(values, "requestId"),
            replayed=replayed,
            reason=reason if isinstance(reason, dict) else None,
        )

    def dump(self) -> str:
        """The message's body: ASCII, whatever the fields hold."""
        values: dict[str, Any] = {
            "v": 1,
            "object": self.record.object,
            "key": self.record.key,
            "channel": self.record.channel,
            "fields": self.record.fields,
            "derived": sorted(self.record.derived),
            "acceptedAt": self.accepted_at,
            "requestId": self.request_id,
        }
        if self.replayed:
            values["replayed"] = self.replayed
        if self.reason is not None:
            values["reason"] = self.reason
        return _ENCODE(values)

    def refused(self, problem: SalesforceProblem, *, attempts: int) -> Envelope:
        """The same with the reason why Salesforce does not take it."""
        return replace(
            self,
            reason={
                "code": problem.code[:MAX_NAME_LENGTH],
                "message": problem.message[:LONGEST_REASON],
                "fields": [name[:MAX_NAME_LENGTH] for name in problem.fields[:MAX_FIELDS]],
                "hint": problem.hint,
                "existingId": problem.existing_id,
                "at": now(),
                "attempts": attempts,
            },
        )

    def again(self) -> Envelope:
        """The same on its way back from Rejected to the outbox."""
        return replace(self, reason=None, replayed=self.replayed + 1)


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
