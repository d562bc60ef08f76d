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
from bridge.files.envelope import FileEnvelope
from bridge.records import stored_key
from cli.problem import Cancelled, Problem
from cli.rejected.queue import Message, Queue, Stopped, Sweep
from cli.terminal import Advance, for_json, written

FILE = "File"
"""The object of a rejection that is about a file of a message, whose record is in Salesforce."""

UNREADABLE_HINT = (
    "A replay leaves it here. See it in the SQS console; to delete it: `rejected drop` with its id."
)


def nothing(count: int) -> None:
    """No progress is shown."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One message of Rejected, without the record's values."""

    key: str = ""
    """As stored in Salesforce; empty if the message is no envelope."""
    object: str = ""
    code: str
    message: str
    fields: tuple[str, ...] = ()
    accepted_at: str = ""
    at: str = ""
    """When Salesforce refused it; empty if there is no reason in it."""
    attempts: int = 0
    replayed: int = 0
    hint: str
    kind: str = ""
    """`message`, `update` of a record that is there, or `file`; empty for what is no envelope."""
    message_id: str
    envelope: Envelope | FileEnvelope | None = field(repr=False, default=None)

    @classmethod
    def read(cls, message: Message, *, keep_envelope: bool = False) -> Rejection:
        """Read a message. One that SQS moved by itself has no reason in it; one that is no envelope
        has only its id."""
        envelope = _read_envelope(message.body)
        if envelope is None:
            sent = datetime.fromtimestamp(message.sent_ms / 1000, UTC)
            return cls(
                message_id=message.id,
                code="UNREADABLE",
                message="This message was not written by this bundle.",
                at=sent.isoformat(timespec="milliseconds") if message.sent_ms else "",
                hint=UNREADABLE_HINT,
            )
        function = "AttachFiles" if isinstance(envelope, FileEnvelope) else "Deliver"
        reason = envelope.reason or {
            "code": "NOT_DELIVERED",
            "message": "SQS moved it here because it was received too often.",
            "hint": f"{function} failed on it each time: see its log, then replay it.",
        }
        fields, attempts = reason.get("fields"), reason.get("attempts")
        return cls(
            message_id=message.id,
            key=envelope.key,
            object=FILE if isinstance(envelope, FileEnvelope) else envelope.object_name,
            code=str(reason.get("code") or "UNKNOWN"),
            message=str(reason.get("message") or ""),
            fields=tuple(str(f) for f in fields) if isinstance(fields, list) else (),
            accepted_at=envelope.accepted_at,
            at=str(reason.get("at") or ""),
            attempts=attempts if isinstance(attempts, int) else 0,
            replayed=envelope.replayed,
            hint=str(reason.get("hint") or ""),
            kind="file" if isinstance(envelope, FileEnvelope) else envelope.kind,
            envelope=envelope if keep_envelope else None,
        )

    @property
    def values(self) -> dict[str, Any] | None:
        """What was sent: a record's fields, or a file's link, name and type by its number."""
        if isinstance(self.envelope, FileEnvelope):
            return {f"File {n}": one._asdict() for n, one in self.envelope.files.items()}
        return dict(self.envelope.record.fields) if self.envelope else None

    @property
    def filled_in(self) -> frozenset[str]:
        """The names of the values that the bridge made."""
        return self.envelope.record.derived if isinstance(self.envelope, Envelope) else frozenset()

    def as_dict(self) -> dict[str, Any]:
        """For `--json`; without the record's values."""
        return for_json(self, without="envelope")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which rejected records a command is for: some keys or all; of one object or of both."""

    keys: frozenset[str] = frozenset()
    every: bool = False
    object: str = ""
    given: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, keys: Iterable[str], *, every: bool, object_name: str = "", next_step: str = ""
    ) -> Choice:
        """Raises Problem, with `next_step`, unless exactly one of keys and `every` is given.

        A key may be given as the flow sent it or as it is stored, and a message by its id.
        """
        given = [key.strip() for key in keys if key.strip()]
        if every == bool(given):
            raise Problem(
                "Give keys or --all, not both."
                if every
                else "Name the records by their keys, or give --all.",
                next_step=next_step,
            )
        both = {*given, *(stored_key(key) for key in given)}
        return cls(
            keys=frozenset(both), every=every, object=object_name, given=tuple(dict.fromkeys(given))
        )

    def not_in(self, found: Iterable[str]) -> list[str]:
        """The given keys that are none of these, which are keys and messages' ids."""
        there = set(found)
        return [key for key in self.given if there.isdisjoint((key, stored_key(key)))]

    def covers(self, rejection: Rejection) -> bool:
        if self.object and rejection.object != self.object:
            return False
        return self.every or not self.keys.isdisjoint((rejection.key, rejection.message_id))


@dataclass(kw_only=True)
class Listing:
    rejections: list[Rejection]
    estimate: int
    """How many messages there are by SQS's count, which is approximate."""
    held_elsewhere: int
    """Messages that another reader had received at the time."""
    not_given_back: int


def read_all(
    queue: Queue, choice: Choice, *, advance: Advance = nothing, keep_envelopes: bool = False
) -> Listing:
    """Every message of Rejected that the choice covers, once; all stay in the queue.

    Sorted by the time when they were accepted. Raises Cancelled if Ctrl-C ended it early.
    """
    sweep = queue.sweep()
    found: list[Rejection] = []
    lock = threading.Lock()

    def look(messages: list[Message]) -> Iterable[str]:
        read = [Rejection.read(one, keep_envelope=keep_envelopes) for one in messages]
        with lock:
            found.extend(one for one in read if choice.covers(one))
            advance(len(messages))
        return ()

    try:
        sweep.run(look)
    except Stopped as stopped:
        raise Cancelled("Stopped. Nothing was changed.") from stopped
    finally:
        failed = sweep.close()
    return Listing(
        rejections=sorted(found, key=lambda one: (one.accepted_at or one.at, one.key)),
        estimate=sweep.counts.total,
        held_elsewhere=sweep.counts.hidden,
        not_given_back=failed,
    )


@dataclass(kw_only=True)
class Moved:
    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """By SQS's code: those that could not be sent, and stay in Rejected."""
    in_both: int = 0
    """Sent to the outbox, but not deleted from Rejected. They have the same key."""
    unreadable: int = 0
    no_queue: int = 0
    """Files, where the stack has no queue for them: AttachMedia is off."""
    came_back: int = 0
    """Refused again while the replay was running; they stay in Rejected."""
    stopped: bool = False
    error: str = ""
    """Why the whole run ended early."""
    met: set[str] = field(default_factory=set)
    """Keys and messages' ids of all that the choice covers."""
    sent: dict[tuple[str, str], Rejection] = field(default_factory=dict)
    """The records that were replayed, by object and key; no files."""


def replay(
    rejected: Queue,
    outbox: Queue,
    choice: Choice,
    *,
    force: bool = False,
    files: Queue | None = None,
    advance: Advance = nothing,
) -> Moved:
    """Send every record that the choice covers to the outbox, then delete it from Rejected; files
    to the queue `files`, or not at all where there is none.

    `force`: updates overwrite what others have changed since. What comes back into Rejected
    meanwhile stays there, so that a replay ends.
    """
    sweep = rejected.sweep()
    moved = Moved()
    lock = threading.Lock()
    sent: set[tuple[Any, ...]] = set()

    def chosen(message: Message) -> Rejection | None:
        """The rejection, if it goes; else it is counted."""
        rejection = Rejection.read(message, keep_envelope=True)
        if not choice.covers(rejection):
            return None
        if choice.keys:
            moved.met |= {rejection.key, rejection.message_id}
        if rejection.envelope is None:
            moved.unreadable += 1
        elif rejection.object == FILE and files is None:
            moved.no_queue += 1
        elif message.sent_ms >= sweep.started_ms and _identity(rejection) in sent:
            moved.came_back += 1
        else:
            return rejection
        return None

    def move(messages: list[Message]) -> Iterable[str]:
        with lock:
            going = [(one, found) for one in messages if (found := chosen(one))]
            sent.update(_identity(replace(one, replayed=one.replayed + 1)) for _, one in going)
        arrived: list[tuple[Message, Rejection]] = []
        failures: list[str] = []
        for queue, is_file in ((outbox, False), (files, True)):
            some = [one for one in going if (one[1].object == FILE) is is_file]
            if queue is None or not some:
                continue
            results = queue.send([_again(one.envelope, force=force) for _, one in some])
            failures += filter(None, results)
            arrived += [one for one, result in zip(some, results, strict=True) if not result]
        left = set(rejected.delete([message for message, _ in arrived]))
        with lock:
            moved.failed.update(failures)
            moved.in_both += len(left)
            moved.done += len(arrived)
            for _, one in arrived:
                if one.object != FILE:
                    moved.sent[one.object, one.key] = replace(one, envelope=None)
            advance(len(arrived))
        return [message.id for message, _ in arrived if message.id not in left]

    _run(sweep, move, moved)
    return moved


def drop(rejected: Queue, message_ids: set[str], *, advance: Advance = nothing) -> Moved:
    sweep = rejected.sweep()
    moved = Moved()
    lock = threading.Lock()

    def remove(messages: list[Message]) -> Iterable[str]:
        chosen = [one for one in messages if one.id in message_ids]
        left = set(rejected.delete(chosen))
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
    if isinstance(rejection.envelope, FileEnvelope):
        line |= {"values": rejection.values, "channel": rejection.envelope.channel}
    elif rejection.envelope is not None:
        line |= {"values": rejection.values, "channel": rejection.envelope.message.channel}
    return written(line)


def _read_envelope(body: str) -> Envelope | FileEnvelope | None:
    for kind in (Envelope, FileEnvelope):
        try:
            return kind.parse(body)
        except UnreadableEnvelope:
            continue
    return None


def _again(envelope: Envelope | FileEnvelope | None, *, force: bool) -> str:
    assert envelope is not None
    if isinstance(envelope, Envelope):
        return envelope.again(force=force).dump()
    return envelope.again().dump()


def _identity(one: Rejection) -> tuple[Any, ...]:
    """What tells one rejected message from another, each time that it is replayed."""
    files = tuple(one.envelope.files) if isinstance(one.envelope, FileEnvelope) else ()
    return one.object, one.key, files, one.replayed
