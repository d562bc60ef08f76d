"""Records that Salesforce refused: read them, send them to the outbox again, or delete them.

A replay puts a record into the outbox before it deletes it from Rejected. If the program is killed
in between, it is in both, and its key keeps it from being created twice.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from bridge.delivery.outbox import Envelope, UnreadableEnvelope
from bridge.records import stored_key
from cli.problem import Problem
from cli.rejected.queue import Message, Queue, Stopped, Sweep
from cli.terminal import written

Advance = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One message of Rejected, without the record's values."""

    message_id: str
    key: str
    """As stored in Salesforce; empty if the message is no envelope."""
    object: str
    code: str
    message: str
    fields: tuple[str, ...]
    accepted_at: str
    at: str
    """When Salesforce refused it; empty if there is no reason in it."""
    attempts: int
    replayed: int
    hint: str
    kind: str = ""
    """`message`, or `update` of a record that is there; empty if the message is no envelope."""
    envelope: Envelope | None = field(repr=False, default=None)

    @classmethod
    def read(cls, message: Message, *, keep_envelope: bool = False) -> Rejection:
        """Read a message. One that SQS moved by itself has no reason in it; one that is no envelope
        has only its id."""
        sent = _rfc3339(message.sent_ms)
        try:
            envelope = Envelope.parse(message.body)
        except UnreadableEnvelope:
            return cls(
                message_id=message.id,
                key="",
                object="",
                code="UNREADABLE",
                message="This message was not written by this bundle.",
                fields=(),
                accepted_at="",
                at=sent,
                attempts=0,
                replayed=0,
                hint="See it in the SQS console. To delete it: rejected drop " + message.id,
            )
        reason = envelope.reason
        if reason is None:
            return cls(
                message_id=message.id,
                key=envelope.key,
                object=envelope.object_name,
                code="NOT_DELIVERED",
                message="SQS moved it here because it was received too often.",
                fields=(),
                accepted_at=envelope.accepted_at,
                at="",
                attempts=0,
                replayed=envelope.replayed,
                hint="Deliver failed on it each time: see Deliver's log, then replay it.",
                kind=envelope.kind,
                envelope=envelope if keep_envelope else None,
            )
        fields = reason.get("fields")
        return cls(
            message_id=message.id,
            key=envelope.key,
            object=envelope.object_name,
            code=str(reason.get("code") or "UNKNOWN"),
            message=str(reason.get("message") or ""),
            fields=tuple(str(f) for f in fields) if isinstance(fields, list) else (),
            accepted_at=envelope.accepted_at,
            at=str(reason.get("at") or ""),
            attempts=_whole(reason.get("attempts")),
            replayed=envelope.replayed,
            hint=str(reason.get("hint") or ""),
            kind=envelope.kind,
            envelope=envelope if keep_envelope else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """For `--json`; without the record's values."""
        return {
            "key": self.key,
            "object": self.object,
            "code": self.code,
            "message": self.message,
            "fields": list(self.fields),
            "acceptedAt": self.accepted_at,
            "at": self.at,
            "attempts": self.attempts,
            "replayed": self.replayed,
            "hint": self.hint,
            "kind": self.kind,
            "messageId": self.message_id,
        }


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which rejected records a command is for: some keys or all; of one object or of both."""

    keys: frozenset[str] = frozenset()
    every: bool = False
    object: str = ""

    @classmethod
    def of(cls, keys: Iterable[str], *, every: bool, object_name: str = "") -> Choice:
        """Raises Problem unless exactly one of keys and `every` is given.

        A key may be given as the flow sent it or as it is stored, and a message by its id.
        """
        given = [key.strip() for key in keys if key.strip()]
        if every == bool(given):
            raise Problem(
                "Name the records by their keys, or give --all."
                if not every
                else "Give keys or --all, not both.",
                next_step="To see them: bird-salesforce rejected list",
            )
        both = {*given, *(stored_key(key) for key in given)}
        return cls(keys=frozenset(both), every=every, object=object_name)

    def covers(self, rejection: Rejection) -> bool:
        """Whether the choice includes this one."""
        if self.object and rejection.object != self.object:
            return False
        return self.every or rejection.key in self.keys or rejection.message_id in self.keys


@dataclass(kw_only=True)
class Listing:
    """What `list` found."""

    rejections: list[Rejection]
    estimate: int
    """How many messages there are by SQS's count, which is approximate."""
    held_elsewhere: int
    """Messages that another reader had received at the time."""
    not_given_back: int
    stopped: bool = False


def read_all(
    queue: Queue,
    choice: Choice,
    *,
    advance: Advance = lambda count: None,
    keep_envelopes: bool = False,
) -> Listing:
    """Every message of Rejected that the choice covers, once; all stay in the queue.

    Sorted by the time when they were accepted. `stopped` if Ctrl-C ended it early.
    """
    sweep = queue.sweep()
    found: list[Rejection] = []
    lock = threading.Lock()

    def look(messages: list[Message]) -> Iterable[str]:
        read = [Rejection.read(one, keep_envelope=keep_envelopes) for one in messages]
        with lock:
            found.extend(one for one in read if choice.covers(one))
            advance(len(messages))
        sweep.keep_only_receipts_of(messages)
        return ()

    stopped = False
    try:
        sweep.run(look)
    except Stopped:
        stopped = True
    finally:
        failed = sweep.close()
    found.sort(key=lambda one: (one.accepted_at or one.at, one.key))
    return Listing(
        rejections=found,
        estimate=sweep.counts.total,
        held_elsewhere=sweep.counts.hidden,
        not_given_back=failed,
        stopped=stopped,
    )


@dataclass(kw_only=True)
class Moved:
    """What became of a replay or a drop."""

    done: int = 0
    """Replayed, or deleted."""
    failed: Counter[str] = field(default_factory=Counter)
    """By SQS's code: those that could not be sent, and stay in Rejected."""
    in_both: int = 0
    """Sent to the outbox, but not deleted from Rejected. They have the same key."""
    unreadable: int = 0
    came_back: int = 0
    """Refused again while the replay was running; they stay in Rejected."""
    stopped: bool = False
    error: str = ""
    """Why the whole run ended early."""
    sent: dict[tuple[str, str], Rejection] = field(default_factory=dict)
    """What was replayed, by object and key."""


def replay(
    rejected: Queue,
    outbox: Queue,
    choice: Choice,
    *,
    force: bool = False,
    advance: Advance = lambda count: None,
) -> Moved:
    """Send every record that the choice covers to the outbox, then delete it from Rejected.

    `force`: updates overwrite what others have changed since. What comes back into Rejected
    meanwhile stays there, so that a replay ends.
    """
    sweep = rejected.sweep()
    moved = Moved()
    lock = threading.Lock()
    sent: set[tuple[str, str, int]] = set()

    def move(messages: list[Message]) -> Iterable[str]:
        going: list[tuple[Message, Envelope]] = []
        read: list[Rejection] = []
        with lock:
            for message in messages:
                rejection = Rejection.read(message, keep_envelope=True)
                if not choice.covers(rejection):
                    continue
                envelope = rejection.envelope
                if envelope is None:
                    moved.unreadable += 1
                    continue
                this = (rejection.object, rejection.key, envelope.replayed)
                if message.sent_ms >= sweep.started_ms and this in sent:
                    moved.came_back += 1
                    continue
                going.append((message, envelope.again(force=force)))
                read.append(replace(rejection, envelope=None))
            sent.update((e.object_name, e.key, e.replayed) for _, e in going)
        sweep.keep_only_receipts_of(messages)
        if not going:
            return ()
        failures = outbox.send([envelope.dump() for _, envelope in going])
        arrived = [
            message for (message, _), failure in zip(going, failures, strict=True) if not failure
        ]
        left = set(rejected.delete(arrived))
        with lock:
            moved.failed.update(failure for failure in failures if failure)
            moved.in_both += len(left)
            moved.done += len(arrived)
            moved.sent |= {
                (one.object, one.key): one
                for one, failure in zip(read, failures, strict=True)
                if not failure
            }
            advance(len(arrived))
        return [one.id for one in arrived if one.id not in left]

    _run(sweep, move, moved)
    return moved


def drop(rejected: Queue, message_ids: set[str], *, advance: Advance = lambda count: None) -> Moved:
    """Delete these messages for good."""
    sweep = rejected.sweep()
    moved = Moved()
    lock = threading.Lock()

    def remove(messages: list[Message]) -> Iterable[str]:
        chosen = [one for one in messages if one.id in message_ids]
        left = set(rejected.delete(chosen)) if chosen else set()
        sweep.keep_only_receipts_of(messages)
        with lock:
            moved.done += len(chosen) - len(left)
            moved.failed.update("NotDeleted" for _ in left)
            advance(len(chosen))
        return [one.id for one in chosen if one.id not in left]

    _run(sweep, remove, moved)
    return moved


def _run(sweep: Sweep, work: Callable[[list[Message]], Iterable[str]], moved: Moved) -> None:
    """Go through the queue, and note in `moved` what ended it early."""
    try:
        sweep.run(work)
    except Stopped:
        moved.stopped = True
    except (ClientError, BotoCoreError) as error:
        moved.error = str(error)
    finally:
        sweep.close()


def export_line(rejection: Rejection) -> str:
    """One rejected record with its values, as a line of JSON."""
    line = rejection.as_dict()
    if rejection.envelope is not None:
        line["values"] = dict(rejection.envelope.record.fields)
        line["channel"] = rejection.envelope.message.channel
    return written(line)


def _rfc3339(milliseconds: int) -> str:
    if not milliseconds:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
