"""One message, now, while the caller waits: its record, and its Task where it is of a conversation;
or one update of a record.

When `create` returns, the message is in Salesforce, in the outbox or in Rejected; or the outcome is
Failed: then it is nowhere for certain, and the caller sends it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from bridge.bird.texts import MAIL_IDS
from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.delivery.calls import Calls
from bridge.delivery.outbox import Envelope, Queues, sealed
from bridge.delivery.outcomes import (
    Created,
    Failed,
    Outcome,
    Queued,
    Rejected,
    UpdateOutcome,
)
from bridge.errors import (
    Ignored,
    NoSuchRecord,
    NotKept,
    NotSetUp,
    Refused,
    SalesforceProblem,
    Unavailable,
)
from bridge.oauth.sessions import Sessions
from bridge.records import ObjectName, Record
from bridge.salesforce.client import Salesforce
from bridge.salesforce.responses import Found
from bridge.settings import Settings
from bridge.telemetry import Telemetry, tell_dropped

if TYPE_CHECKING:
    from bridge.delivery.contacts import Match
    from bridge.delivery.conversation import Conversations

QUEUE_SECONDS = 1.5
"""Of a caller's time, what is reserved for the queue; at most a quarter of it."""

FEED_SECONDS = 1.0
"""For the queue of files, once the record is there."""

WRITE_SECONDS = 1.5
"""With less than this left of the caller's time no message of a conversation is written."""

LEAST_ATTEMPT_SECONDS = 0.5
"""With less than this left Salesforce is not called."""


Tried = TypeVar("Tried", bound=Outcome | UpdateOutcome)

Feed = Callable[..., None]
"""Puts a message's files into their queue: (envelope, *, deadline). Raises NotKept."""


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
    """Brings one message into Salesforce within a caller's time, or keeps it for later."""

    def __init__(
        self,
        *,
        salesforce: Salesforce,
        sessions: Sessions,
        queues: Queues,
        settings: Settings,
        telemetry: Telemetry,
        feed: Feed | None = None,
    ) -> None:
        """`feed` None: no files are attached."""
        self._feed = feed
        self._salesforce = salesforce
        self._sessions = sessions
        self._queues = queues
        self._settings = settings
        self._telemetry = telemetry
        self._breaker = Breaker()

    def create(
        self, message: Message, *, request_id: str, deadline: Deadline, at_once: bool
    ) -> Outcome:
        """Try Salesforce, and keep what it could not or would not take.

        `at_once` false: the caller does not want to wait. Raises RequestTooLarge, and Ignored for
        what our own side wrote where there is no record to log it on.
        """
        envelope = Envelope.of(message, request_id=request_id)
        body = sealed(envelope)
        calls = self._calls(deadline)
        outcome: Outcome = Queued(None)
        if at_once:
            outcome = self._try(self._bring, envelope, calls, deadline)
        done = isinstance(outcome, Created) and not outcome.not_logged
        if message.media and done and isinstance(outcome, Created) and outcome.found:
            # If this fails the outbox comes next, with its own part of the time.
            keep_by = max(deadline, Deadline.after(QUEUE_SECONDS))
            feed_by = min(Deadline.after(FEED_SECONDS), keep_by.sooner(0.5))
            done = self._fed(envelope, deadline=feed_by)
        if not done:
            outcome = self._keep(envelope, body, outcome, deadline) or outcome
        return outcome._replace(cost=calls.cost)

    def update(
        self, message: Message, *, request_id: str, deadline: Deadline, at_once: bool
    ) -> UpdateOutcome:
        """Change the record that `message.key` leads to, in the same way.

        An update of a record that is not there waits for it. Raises RequestTooLarge.
        """
        envelope = Envelope.of(message, request_id=request_id, kind="update")
        body = sealed(envelope)
        calls = self._calls(deadline)
        outcome: UpdateOutcome = Queued(None)
        if at_once:
            outcome = self._try(self._change, envelope, calls, deadline)
        if isinstance(outcome, (Queued, Rejected)):
            if isinstance(outcome.problem, NoSuchRecord):
                body = sealed(replace(envelope, not_there_since=envelope.accepted_at))
            outcome = self._keep(envelope, body, outcome, deadline) or outcome
        return outcome._replace(cost=calls.cost)

    def _calls(self, respond_by: Deadline) -> Calls:
        """Calls within the caller's time, less what is reserved for the queue."""
        reserved = min(QUEUE_SECONDS, self._settings.response_budget_seconds / 4)
        return Calls(self._salesforce, self._sessions, until=respond_by.sooner(reserved))

    def _keep(
        self, envelope: Envelope, body: str, outcome: Outcome | UpdateOutcome, deadline: Deadline
    ) -> Failed | None:
        """Put it into Rejected if it was refused, else into the outbox."""
        # A cold start may have used up the caller's time: better kept late than not at all.
        queue_deadline = max(deadline, Deadline.after(QUEUE_SECONDS))
        try:
            if isinstance(outcome, Rejected):
                refused = envelope.refused(outcome.problem, attempts=1, what=outcome.what)
                self._queues.reject(refused, deadline=queue_deadline)
            else:
                self._queues.queue(body, deadline=queue_deadline)
        except NotKept as problem:
            return Failed(problem)
        return None

    def _fed(self, envelope: Envelope, *, deadline: Deadline) -> bool:
        """Whether the message's files are in their queue; else Deliver has to put them there."""
        if self._feed is None:
            return True
        try:
            self._feed(envelope, deadline=deadline)
        except NotKept as problem:
            self._telemetry.alarm("files_not_queued", error=problem)
            return False
        return True

    def find(
        self, object_name: ObjectName, keys: list[str], *, deadline: Deadline
    ) -> tuple[str, Created] | None:
        """The record of the first of these keys that has one: a conversation's, a message's or a
        record's key. Raises Unavailable, NotSetUp."""
        calls = Calls(self._salesforce, self._sessions, until=deadline)
        for key in keys:
            if found := self._find(object_name, key, calls):
                return key, found
        return None

    def _find(self, object_name: ObjectName, key: str, calls: Calls) -> Created | None:
        if self._settings.conversations:
            from bridge.delivery.conversation import find

            return find(object_name, key, self._conversations, calls)
        found = calls.make(self._salesforce.find, object_name, key)
        return Created(found, calls.record_url(found.id), new=False) if found else None

    def _try(
        self,
        bring: Callable[[Envelope, Calls, Deadline], Tried],
        envelope: Envelope,
        calls: Calls,
        respond_by: Deadline,
    ) -> Tried | Queued:
        """What becomes of it, if nothing but Salesforce is in the way."""
        if self._breaker.is_open:
            return Queued(Unavailable("Salesforce does not respond now", code="CIRCUIT_OPEN"))
        if calls.deadline().remaining() < LEAST_ATTEMPT_SECONDS:
            return Queued(Unavailable("there was no time left for Salesforce", code="NO_TIME"))
        started = time.monotonic()
        outcome: Tried | Queued
        try:
            outcome = bring(envelope, calls, respond_by.sooner(WRITE_SECONDS))
        except (Unavailable, NotSetUp) as problem:
            outcome = Queued(problem)
        if not isinstance(outcome, Queued) or isinstance(outcome.problem, NoSuchRecord):
            self._breaker.succeeded()
        elif isinstance(outcome.problem, Unavailable):
            self._breaker.failed(time.monotonic() - started)
        return outcome

    def _bring(self, envelope: Envelope, calls: Calls, write_by: Deadline) -> Outcome:
        """Make the record, or log the message. Raises Unavailable, NotSetUp, Ignored."""
        if envelope.message.conversation:
            return self._log(envelope.message, calls, write_by)
        record, match = envelope.record, None
        if record.object == "Case" and self._settings.match_contacts:
            match = self._match(envelope.message, calls)
            record = record.with_derived(match.link)
        outcome = self._create(record, calls)
        if isinstance(outcome, Rejected) and self._settings.attach_duplicates:
            outcome = self._attach(outcome, envelope.message, calls) or outcome
        if match and isinstance(outcome, Created) and outcome.new:
            outcome = outcome._replace(matches=match.count)
        return outcome

    def _attach(self, refused: Rejected, message: Message, calls: Calls) -> Created | None:
        """The message on the one record that a duplicate rule names; None where there is none."""
        from bridge.delivery import conversation

        onto = conversation.attach_to(refused.problem, self._settings)
        if onto is None:
            return None
        write_by = calls.deadline()
        logging = conversation.Logging(message, self._conversations, calls, write_by=write_by)
        return logging.attach(onto)

    def _match(self, message: Message, calls: Calls) -> Match:
        """The Contact that the sender of a new Case is, if there is time to look."""
        from bridge.delivery.contacts import NOBODY, SEARCH_SECONDS

        if calls.deadline().remaining() < SEARCH_SECONDS + WRITE_SECONDS:
            return NOBODY
        (match,) = self._conversations.contacts.match([message], calls)
        return match

    def _change(self, envelope: Envelope, calls: Calls, write_by: Deadline) -> UpdateOutcome:
        """Change a record. Raises Unavailable, NotSetUp."""
        from bridge.delivery.update import update

        if not write_by.remaining():
            raise Unavailable("there was no time left to write", code="NO_TIME")
        return update(envelope.record, self._conversations, calls)

    def _log(self, message: Message, calls: Calls, write_by: Deadline) -> Outcome:
        """Log a message on its conversation's record. Raises Unavailable, NotSetUp, Ignored."""
        # Only a message of a conversation needs it.
        from bridge.delivery import conversation

        logging = conversation.Logging(message, self._conversations, calls, write_by=write_by)
        if outcome := logging.run():
            return outcome
        raise Ignored("it was sent to the customer, and there is no record to log it on", event="")

    @cached_property
    def _conversations(self) -> Conversations:
        from bridge.delivery.conversation import Conversations

        return Conversations(settings=self._settings, telemetry=self._telemetry)

    def _create(self, record: Record, calls: Calls) -> Outcome:
        """Insert, and do what the verdict on the response says. Raises Unavailable, NotSetUp."""
        if logged := self._logged_mail(record, calls):
            return logged
        attempt = calls.make(self._salesforce.create, record)
        if attempt.created is not None:
            return Created(attempt.created, calls.record_url(attempt.created.id), new=True)
        # Only a record that was not made needs the rest, so a cold start does without.
        from bridge.delivery import mail, verdict

        context = verdict.Context.of(record.object, self._settings)
        while True:
            match verdict.verdict_on(attempt, record, context):
                case Found() as found:
                    new = attempt.created is not None
                    if not new:
                        try:
                            mail.add_text(record, found.id, calls)
                        except Refused as refusal:
                            return Rejected(refusal)
                    return Created(found, calls.record_url(found.id), new=new)
                case Refused() as problem:
                    return Rejected(problem)
                case SalesforceProblem() as problem:
                    return Queued(problem)
                case verdict.Undecided.LOOK_UP:
                    try:
                        there = calls.make(self._salesforce.find, record.object, record.key)
                        attempt = attempt._replace(found=there or False)
                    except Unavailable as failure:
                        attempt = attempt._replace(found=failure)
                case verdict.Undecided.ASK_RIGHTS:
                    may = self._conversations.rights.has(record.object, "createable", calls)
                    context = replace(context, may_create=may)
                case frozenset() as names:
                    tell_dropped(self._telemetry, record.object, names)
                    record, context = record.without(names), replace(context, stripped=True)
                    attempt = calls.make(self._salesforce.create, record)
                case other:
                    raise AssertionError(f"{other} for a record that was sent alone")

    def _logged_mail(self, record: Record, calls: Calls) -> Created | None:
        """The record of a mail without its text, if its other event was logged (ADR 0048)."""
        logs = self._settings.conversations and record.key.startswith(MAIL_IDS)
        if not logs or record.object == "Task":
            return None
        from bridge.delivery import mail

        return self._find(record.object, record.key, calls) if mail.lacks_text(record) else None
