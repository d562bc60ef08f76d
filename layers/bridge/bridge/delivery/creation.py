"""One record, now, while the caller waits.

When `create` returns, the record is in Salesforce, in the outbox or in Rejected; or it is
`not_kept`: then it is nowhere for certain, and the caller sends it again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Literal

from bridge.deadline import Deadline
from bridge.delivery.calls import Calls, Rights
from bridge.delivery.outbox import Envelope, Queues, sealed
from bridge.errors import NotKept, NotSetUp, Refused, SalesforceProblem, Unavailable
from bridge.oauth.sessions import Sessions
from bridge.records import ObjectName, Record
from bridge.salesforce.client import NO_COST, Cost, Salesforce
from bridge.salesforce.responses import Attempt, Found
from bridge.settings import Settings
from bridge.telemetry import Telemetry

QUEUE_SECONDS = 1.5
"""Of a caller's time, what is reserved for the queue; at most a quarter of it."""

LEAST_ATTEMPT_SECONDS = 0.5
"""With less than this left Salesforce is not called."""


@dataclass(frozen=True)
class Outcome:
    """Where a record is: in Salesforce (`created`, `exists`), in a queue, or perhaps nowhere."""

    name: Literal["created", "exists", "queued", "rejected", "not_kept"]
    found: Found | None = None
    """The record, where it is in Salesforce; `url` is its page."""
    url: str = ""
    problem: SalesforceProblem | NotKept | None = None
    """Why it is not there; None too for a caller who did not want to wait."""
    cost: Cost = NO_COST


class Breaker:
    """Spares callers the wait while Salesforce does not respond (docs/adr/0005).

    Only attempts that *cost time* open it: two in a row that failed after a second or more. A
    refused connection or a quick 503 costs nobody anything and is simply tried each time. While it
    is open, records are queued at once; then one caller tries.
    """

    SLOW_SECONDS = 1.0
    OPEN_SECONDS = (5.0, 10.0, 20.0, 40.0)

    def __init__(self) -> None:
        self._slow_failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether to queue without trying."""
        return time.monotonic() < self._open_until

    def succeeded(self) -> None:
        """Salesforce responded."""
        self._slow_failures = 0
        self._open_until = 0.0

    def failed(self, seconds: float) -> None:
        """Salesforce did not respond, and it took that long to find out."""
        if seconds < self.SLOW_SECONDS:
            return
        self._slow_failures += 1
        if self._slow_failures >= 2:
            step = min(self._slow_failures - 2, len(self.OPEN_SECONDS) - 1)
            self._open_until = time.monotonic() + self.OPEN_SECONDS[step]


class RecordCreator:
    """Creates one record within a caller's time, or keeps it for later."""

    def __init__(
        self,
        *,
        salesforce: Salesforce,
        sessions: Sessions,
        queues: Queues,
        settings: Settings,
        telemetry: Telemetry,
    ) -> None:
        self._salesforce = salesforce
        self._sessions = sessions
        self._queues = queues
        self._settings = settings
        self._telemetry = telemetry
        self._breaker = Breaker()
        self._rights = Rights(salesforce)

    def create(
        self, record: Record, *, request_id: str, deadline: Deadline, at_once: bool
    ) -> Outcome:
        """Try Salesforce, and keep what it could not or would not take.

        `at_once` false: the caller asked not to wait. Raises RequestTooLarge.
        """
        envelope = Envelope.of(record, request_id=request_id)
        body = sealed(envelope)
        calls = Calls(self._sessions)
        outcome = Outcome("queued")
        if at_once:
            reserved = min(QUEUE_SECONDS, self._settings.response_budget_seconds / 4)
            outcome = self._try(record, calls, deadline.sooner(reserved))
        if outcome.found is not None:
            return outcome
        # A cold start may have used up the caller's time: better kept late than not at all.
        queue_deadline = max(deadline, Deadline.after(QUEUE_SECONDS), key=lambda d: d.at)
        try:
            if isinstance(outcome.problem, Refused):
                refused = envelope.refused(outcome.problem, attempts=1)
                self._queues.reject(refused, deadline=queue_deadline)
            else:
                self._queues.queue(body, deadline=queue_deadline)
        except NotKept as problem:
            outcome = Outcome("not_kept", problem=problem)
        return replace(outcome, cost=calls.cost)

    def find(
        self, object_name: ObjectName, keys: list[str], *, deadline: Deadline
    ) -> tuple[str, Outcome] | None:
        """The record with the first of these keys that has one. Raises Unavailable, NotSetUp."""
        calls = Calls(self._sessions)
        for key in keys:
            found = self._look_up(object_name, key, calls, deadline)
            if found:
                return key, _there("exists", found, calls)
        return None

    def _try(self, record: Record, calls: Calls, deadline: Deadline) -> Outcome:
        """What becomes of the record, if nothing but Salesforce is in the way."""
        if self._breaker.is_open:
            return _queued(Unavailable("Salesforce does not respond now", code="CIRCUIT_OPEN"))
        if deadline.remaining() < LEAST_ATTEMPT_SECONDS:
            return _queued(Unavailable("there was no time left for Salesforce", code="NO_TIME"))
        started = time.monotonic()
        try:
            outcome = self._create(record, calls, deadline)
        except (Unavailable, NotSetUp) as problem:
            outcome = _queued(problem)
        if outcome.name != "queued":
            self._breaker.succeeded()
        elif isinstance(outcome.problem, Unavailable):
            self._breaker.failed(time.monotonic() - started)
        return outcome

    def _create(self, record: Record, calls: Calls, deadline: Deadline) -> Outcome:
        """Insert, and do what the verdict on the response says. Raises Unavailable, NotSetUp."""
        attempt = self._insert(record, calls, deadline)
        if attempt.created is not None:
            return _there("created", attempt.created, calls)
        # Only a record that was not made needs the rest (docs/adr/0020).
        from bridge.delivery import mail, verdict

        context = verdict.Context(
            has_key=bool(self._settings.external_id_field),
            assignment=self._settings.assignment(record.object),
        )
        while True:
            match verdict.verdict_on(attempt, record, context):
                case verdict.There(found, new):
                    if not new and mail.brings_text(record):
                        refusal = mail.add_text(
                            record,
                            found.id,
                            salesforce=self._salesforce,
                            calls=calls,
                            deadline=deadline,
                        )
                        if refusal is not None:
                            return Outcome("rejected", problem=refusal)
                    return _there("created" if new else "exists", found, calls)
                case verdict.Wait(problem):
                    return _queued(problem)
                case verdict.Refuse(problem):
                    return Outcome("rejected", problem=problem)
                case verdict.Undecided.LOOK_UP:
                    try:
                        there = self._look_up(record.object, record.key, calls, deadline)
                        attempt = replace(attempt, found=there or False)
                    except Unavailable as failure:
                        attempt = replace(attempt, found=failure)
                case verdict.Undecided.ASK_RIGHTS:
                    may = self._rights.may_create(record.object, calls, deadline=deadline)
                    context = replace(context, may_create=may)
                case verdict.LeaveOut(names):
                    tell_dropped(self._telemetry, record, names)
                    record, context = record.without(names), replace(context, stripped=True)
                    attempt = self._insert(record, calls, deadline)
                case other:
                    raise AssertionError(f"{other} for a record that was sent alone")

    def _insert(self, record: Record, calls: Calls, deadline: Deadline) -> Attempt:
        return calls.make(self._salesforce.create, record, deadline=deadline).get()

    def _look_up(
        self, object_name: ObjectName, key: str, calls: Calls, deadline: Deadline
    ) -> Found | None:
        return calls.make(self._salesforce.find, object_name, key, deadline=deadline).get()


def _there(name: Literal["created", "exists"], found: Found, calls: Calls) -> Outcome:
    return Outcome(name, found, calls.record_url(found.id), cost=calls.cost)


def _queued(problem: SalesforceProblem) -> Outcome:
    return Outcome("queued", problem=problem)


def tell_dropped(telemetry: Telemetry, record: Record, names: frozenset[str]) -> None:
    """Log and count derived fields that are left out."""
    telemetry.warn("derived_fields_dropped", fields=sorted(names), object=record.object)
    telemetry.count("DerivedFieldsDropped")
