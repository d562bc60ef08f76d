"""One record, now, while the caller waits: what is tried, and where the record ends up.

Accepted means answered: when `create` returns, the record is in Salesforce, in the outbox or in
Rejected; when it raises NotKept, it is nowhere for certain and the caller sends it again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from bridge.deadline import Deadline
from bridge.delivery.outbox import Envelope, Queues, sealed
from bridge.errors import (
    KeyTaken,
    NotSetUp,
    Refused,
    SalesforceProblem,
    Unavailable,
)
from bridge.oauth.sessions import Sessions
from bridge.records import ObjectName, Record
from bridge.salesforce.client import Attempt, Found, Measured, Salesforce, Session, derived_at_fault
from bridge.settings import Settings
from bridge.telemetry import Telemetry

KEEP_BACK_SECONDS = 1.5
"""Of a caller's budget, what is kept for the outbox; at most a quarter of it."""

LEAST_ATTEMPT_SECONDS = 0.5
"""With less than this left there is no point in asking Salesforce."""


@dataclass(frozen=True)
class Created:
    """The record is in Salesforce; `new` unless it was there before."""

    found: Found
    url: str
    new: bool


@dataclass(frozen=True)
class Queued:
    """The record is in the outbox; `why` is None where the caller asked for it."""

    why: SalesforceProblem | None


@dataclass(frozen=True)
class Rejected:
    """Salesforce refuses the record; it is kept in Rejected."""

    problem: Refused


Outcome = Created | Queued | Rejected


class Breaker:
    """Spares callers the wait while Salesforce does not answer.

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
        """Salesforce answered."""
        self._slow_failures = 0
        self._open_until = 0.0

    def failed(self, seconds: float) -> None:
        """Salesforce did not answer, and it took that long to find out."""
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

    def create(
        self, record: Record, *, request_id: str, deadline: Deadline, at_once: bool
    ) -> Outcome:
        """Try Salesforce, keep what it could not or would not take.

        `at_once` false: the caller asked not to wait. Raises RequestTooLarge, NotKept.
        """
        envelope = Envelope.of(record, request_id=request_id)
        body = sealed(envelope)
        keep_back = min(KEEP_BACK_SECONDS, self._settings.response_budget_seconds / 4)
        attempt_deadline = deadline.sooner(keep_back)
        if not at_once:
            why: SalesforceProblem | None = None
        elif self._breaker.is_open:
            why = Unavailable("Salesforce does not answer at the moment", code="CIRCUIT_OPEN")
        elif attempt_deadline.remaining() < LEAST_ATTEMPT_SECONDS:
            why = Unavailable("there was no time left to ask Salesforce", code="NO_TIME")
        else:
            started = time.monotonic()
            try:
                created = self._sessions.call(
                    lambda session: self._create(record, session, attempt_deadline),
                    deadline=attempt_deadline,
                )
                self._breaker.succeeded()
                return created
            except Refused as problem:
                self._breaker.succeeded()
                refused = envelope.refused(problem, attempts=1)
                self._queues.reject(refused, deadline=_time_to_keep(deadline))
                return Rejected(problem)
            except Unavailable as problem:
                self._breaker.failed(time.monotonic() - started)
                why = problem
            except NotSetUp as problem:
                why = problem
        self._queues.queue(body, deadline=_time_to_keep(deadline))
        return Queued(why)

    def take_measurements(self) -> Measured:
        """What the calls since the last time cost."""
        return self._salesforce.take_measurements()

    def find(
        self, object_name: ObjectName, keys: list[str], *, deadline: Deadline
    ) -> tuple[str, Created] | None:
        """The record with the first of these keys that has one. Raises Unavailable, NotSetUp."""

        def look(session: Session) -> tuple[str, Created] | None:
            for key in keys:
                found = self._salesforce.find(object_name, key, session=session, deadline=deadline)
                if found:
                    url = self._salesforce.record_url(found.id, session)
                    return key, Created(found, url, new=False)
            return None

        return self._sessions.call(look, deadline=deadline)

    def _create(self, record: Record, session: Session, deadline: Deadline) -> Created:
        """Insert; on a refusal look for the record; without our own fields try once more."""
        stripped = False
        while True:
            attempt = self._salesforce.create(record, session=session, deadline=deadline)
            if attempt.created is not None:
                return self._made(attempt.created, session, new=True)
            found = self._settle(record, attempt, session, deadline)
            if found is not None:
                return self._made(found, session, new=False)
            refusal = attempt.problem
            assert refusal is not None
            dropped = derived_at_fault(refusal, record)
            if stripped or not dropped:
                # It may show what is wrong with the org: then it is not the record that is refused.
                raise (
                    self._salesforce.org_at_fault(
                        refusal, record, session=session, deadline=deadline
                    )
                    or refusal
                )
            self._telemetry.warn(
                "derived_fields_dropped", fields=sorted(dropped), object=record.object
            )
            self._telemetry.count("DerivedFieldsDropped")
            record, stripped = record.without(dropped), True

    def _settle(
        self, record: Record, attempt: Attempt, session: Session, deadline: Deadline
    ) -> Found | None:
        """The record that a refusal hides, if it is there: no refusal is final before a look-up.

        An id beside our own field's name is enough where the record is not visible to its creator
        (private sharing and an assignment rule). Our own key taken, and neither an id nor a record
        to be seen, is somebody's insert that is not committed yet. Raises Unavailable.
        """
        if not self._settings.external_id_field:
            return None
        found = attempt.found
        if found is None:
            try:
                found = self._salesforce.find(
                    record.object, record.key, session=session, deadline=deadline
                )
            except Unavailable:
                # Where nobody can be asked, the id that the unique index named is enough.
                if not (isinstance(attempt.problem, KeyTaken) and attempt.problem.existing_id):
                    raise
        if found:
            return found
        if isinstance(attempt.problem, KeyTaken):
            if attempt.problem.existing_id:
                return Found(attempt.problem.existing_id)
            raise Unavailable("a record with this key is just being made", code="KEY_TAKEN")
        return None

    def _made(self, found: Found, session: Session, *, new: bool) -> Created:
        return Created(found, self._salesforce.record_url(found.id, session), new=new)


def _time_to_keep(deadline: Deadline) -> Deadline:
    """The caller's deadline, but never too little to reach a queue: a cold start may have eaten
    the budget, and a record that is kept late is better than one that is not."""
    return max(deadline, Deadline.after(KEEP_BACK_SECONDS), key=lambda d: d.at)
