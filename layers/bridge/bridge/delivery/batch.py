"""The messages of one SQS event: read into items, and put together into calls."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bridge.delivery.outbox import Envelope, UnknownEnvelope, UnreadableEnvelope, What
from bridge.errors import BadRequest, LimitExceeded, NotSetUp, RowLocked, SalesforceProblem
from bridge.records import Record

T = TypeVar("T")

MAX_RECORDS = (200, 50, 10)
"""Of one call, by how often SQS has handed a record out: 200 is what a collection takes. What an
org is too slow for in one call (its triggers run for every record) is sent in smaller ones."""

MAX_BYTES = 2_000_000
"""Of the records of one call."""

LONGEST_DELAY_SECONDS = 6 * 3600

DELAYS: tuple[tuple[type[SalesforceProblem], float, float], ...] = (
    (LimitExceeded, 900.0, LONGEST_DELAY_SECONDS),
    (NotSetUp, 120.0, 1800.0),
    (RowLocked, 5.0, 900.0),
    (SalesforceProblem, 20.0, 900.0),
)
"""First and longest delay in seconds by the problem; doubled each time, with jitter (from half of
it to all of it). At 15 minutes, so 11 on average, a week's outage costs some 900 of the 1,000
receives that the queue allows."""


@dataclass(eq=False)
class Item:
    """One message on its way, with every message of the queue that is the same."""

    envelope: Envelope
    messages: list[Mapping[str, Any]]
    outcome: str = ""
    """`created`, `added`, `exists`, `updated`, `deleted`, `ignored`, `delayed` or `rejected`;
    empty: not decided yet."""
    problem: SalesforceProblem | None = None
    what: What = "record"
    """What Salesforce refuses, where it is rejected."""
    delay_seconds: int = 0
    """When it is tried again, where it is delayed."""
    made: str = ""
    """The id of the record, where it was made just now."""
    sent: Record | None = None
    """What is sent in place of the envelope's record: a conversation's record, a Task, or less;
    Rejected gets the whole record."""
    stripped: bool = False
    """Whether derived fields that Salesforce refused are left out: that is done once."""
    entry: bytes = field(repr=False, default=b"")
    """The record encoded, as it is measured and sent."""

    @property
    def record(self) -> Record:
        return self.sent or self.envelope.record

    @property
    def age_seconds(self) -> float:
        """How long its oldest message has been in the outbox."""
        return max(sent_seconds_ago(message) for message in self.messages)

    @property
    def attempts(self) -> int:
        """How often SQS has handed out its messages."""
        return max(map(attempts_of, self.messages))

    def leave_out(self, names: frozenset[str]) -> None:
        """Go on without these fields."""
        self.sent, self.stripped, self.entry = self.record.without(names), True, b""

    def settle(self, outcome: str, problem: SalesforceProblem | None = None) -> None:
        """Decide what becomes of it, once: a second decision changes nothing."""
        if not self.outcome:
            self.outcome, self.problem = outcome, problem


@dataclass
class Batch:
    """What an SQS event holds."""

    messages: list[Item] = field(default_factory=list)
    updates: list[Item] = field(default_factory=list)
    unreadable: list[Mapping[str, Any]] = field(default_factory=list)
    unknown: list[Mapping[str, Any]] = field(default_factory=list)
    """Of another version of this bundle."""
    corrected: list[tuple[Item, Envelope, Mapping[str, Any]]] = field(default_factory=list)
    """Messages with an item's key and other values: a record that is there settles them as well;
    where it is refused they are tried themselves."""

    @property
    def items(self) -> list[Item]:
        return [*self.messages, *self.updates]

    def groups(self) -> list[list[Item]]:
        """The records of each object, in the order in which the objects came, then the messages of
        conversations."""
        groups: dict[str, list[Item]] = {}
        for item in self.messages:
            of_conversation = bool(item.envelope.message.conversation)
            groups.setdefault("" if of_conversation else item.envelope.object_name, []).append(item)
        last = groups.pop("", [])
        return [*groups.values(), last] if last else list(groups.values())


def messages_of(event: Any) -> list[Mapping[str, Any]]:
    """The messages of an SQS event. Raises BadRequest for what is none, and where a message has no
    id: SQS could not be made to keep it."""
    messages = event.get("Records") or [] if isinstance(event, dict) else None
    if not isinstance(messages, list):
        raise BadRequest("the event is no SQS event")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("messageId"), str):
            raise BadRequest("a message of the event has no id")
    return messages


def read_batch(event: Any) -> Batch:
    """The messages of an SQS event; those with the same requested object, key and conversation are
    one item, the first's. Raises BadRequest."""
    batch = Batch()
    by_key: dict[tuple[str | None, str, str], Item] = {}
    for message in messages_of(event):
        try:
            envelope = Envelope.parse(message.get("body"))
        except UnknownEnvelope:
            batch.unknown.append(message)
            continue
        except UnreadableEnvelope:
            batch.unreadable.append(message)
            continue
        if envelope.kind == "update":
            batch.updates.append(Item(envelope, [message]))  # two of one record are two
            continue
        # Of a mail's two events only one names the thread.
        where = (envelope.message.requested, envelope.key, envelope.message.conversation)
        item = by_key.get(where)
        if item is None:
            by_key[where] = Item(envelope, [message])
        elif item.envelope.same_as(envelope):
            item.messages.append(message)
        else:
            batch.corrected.append((item, envelope, message))
    batch.messages = list(by_key.values())
    return batch


def calls_of(items: Iterable[Item], encode: Callable[[Record], bytes]) -> list[list[Item]]:
    """The items of one object in as few calls as their sizes allow.

    Headers hold for a whole call, and a record with an owner of its own needs another one.
    """
    groups: dict[tuple[bool, int], list[Item]] = {}
    for item in items:
        most = MAX_RECORDS[min(max(item.attempts, 1), len(MAX_RECORDS)) - 1]
        groups.setdefault((item.record.has_owner, most), []).append(item)
        item.entry = item.entry or encode(item.record)
    return [
        call
        for (_, most), group in groups.items()
        for call in runs(group, most=most, most_bytes=MAX_BYTES, size=lambda item: len(item.entry))
    ]


def runs(
    each: Iterable[T],
    *,
    most: int,
    most_bytes: float = math.inf,
    size: Callable[[T], int] = lambda _: 0,
) -> Iterable[list[T]]:
    """Runs of at most so many, and together of at most so many bytes."""
    some: list[T] = []
    total = 0
    for one in each:
        total += size(one)
        if some and (len(some) == most or total > most_bytes):
            yield some
            some, total = [], size(one)
        some.append(one)
    if some:
        yield some


def in_two(items: Iterable[Item]) -> list[list[Item]]:
    """Two halves, records with the same fields together: they come from the same flow, and an
    unknown field is in all of its records."""
    items = sorted(items, key=lambda item: sorted(item.record.fields))
    middle = (len(items) + 1) // 2
    return [half for half in (items[:middle], items[middle:]) if half]


def delay_seconds(problem: SalesforceProblem | None, *, attempts: int) -> int:
    """How long a message waits before it is tried again: doubled each time, jittered, bounded."""
    kind = type(problem) if problem is not None else SalesforceProblem
    first, longest = next((f, most) for known, f, most in DELAYS if issubclass(kind, known))
    delay = min(longest, first * 2 ** min(max(attempts - 1, 0), 20))
    least = min(problem.retry_after_seconds, LONGEST_DELAY_SECONDS) if problem is not None else 0
    return max(1, least, int(random.uniform(delay / 2, delay)))


def attempts_of(message: Mapping[str, Any]) -> int:
    """How often SQS has handed out a message."""
    return _attribute(message, "ApproximateReceiveCount", 1)


def _attribute(message: Mapping[str, Any], name: str, default: int) -> int:
    try:
        return int(message["attributes"][name])
    except (KeyError, TypeError, ValueError, OverflowError):
        return default


def sent_seconds_ago(message: Mapping[str, Any]) -> float:
    """Seconds since the message was sent to the outbox."""
    sent = _attribute(message, "SentTimestamp", 0)
    return time.time() - sent / 1000 if 0 < sent < 10**15 else 0.0
