"""Many messages, later: what waits in the outbox, up to 200 records a call.

Each message is judged by itself. What is done is acknowledged, what Salesforce refuses goes to
Rejected with the reason, and all else goes back to the queue for later. Nothing is acknowledged
before it is where it belongs, so a crash at any moment only means that messages come again; the
key makes that harmless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.bird.channels import reported
from bridge.conversations.look import NOT_SET_UP
from bridge.deadline import Deadline
from bridge.delivery import mail
from bridge.delivery.batch import Batch, Item, attempts_of, delay_seconds, read_batch
from bridge.delivery.calls import Calls
from bridge.delivery.conversation import Conversations, Logging, attach_to
from bridge.delivery.creation import Feed
from bridge.delivery.queues import MAX_MESSAGE_BYTES, BatchQueues, unreadable_body
from bridge.delivery.timelines import Timelines
from bridge.delivery.updates import OwnChanges, Updates
from bridge.delivery.work import OF_ONE_OBJECT, Work, wait
from bridge.errors import (
    DuplicatesDetected,
    NotKept,
    NotSetUp,
    Refused,
    SalesforceProblem,
    Unavailable,
)
from bridge.oauth.sessions import Sessions
from bridge.salesforce.client import Salesforce
from bridge.settings import Settings
from bridge.telemetry import Telemetry

if TYPE_CHECKING:
    from botocore.client import BaseClient

LAST_CALL_SECONDS = 60.0
"""With less than this left of the invocation no new call to Salesforce is begun."""

CALL_SECONDS = 45.0
"""How long Salesforce may take for one call of many."""

GIVE_UP_SECONDS = 7 * 24 * 3600
"""After this a message that could not be delivered is sent to Rejected, where it gets a new age:
SQS itself would move it with its old one, and delete it seven days later."""

FILES_SECONDS = 3.0
"""For the queue of files, for each message that has some."""


class Delivery:
    """The job of Deliver."""

    def __init__(
        self,
        *,
        salesforce: Salesforce,
        sessions: Sessions,
        sqs: BaseClient,
        settings: Settings,
        telemetry: Telemetry,
        feed: Feed | None = None,
    ) -> None:
        self._feed = feed
        self._salesforce = salesforce
        self._sessions = sessions
        self._queues = BatchQueues(sqs=sqs, settings=settings, telemetry=telemetry)
        self._settings = settings
        self._telemetry = telemetry
        self._conversations = Conversations(settings=settings, telemetry=telemetry)
        self._own_changes = OwnChanges()

    def run(self, event: Any, *, seconds: float) -> dict[str, Any]:
        """Deliver an SQS event's messages; returns those that SQS has to keep.

        `seconds` is what is left of the invocation. The result is a partial batch response
        (`batchItemFailures`). Raises BadRequest for what is no SQS event: nothing was done then.
        """
        batch = read_batch(event)
        calls = Calls(
            self._salesforce,
            self._sessions,
            until=Deadline.after(seconds - LAST_CALL_SECONDS),
            seconds=CALL_SECONDS,
        )
        counts: Counter[str] = Counter()
        # Updates of records that are there come before messages, whose marks would count as
        # changes; the others come after the messages that make their records.
        for items in filter(None, (batch.updates, *batch.groups(), batch.updates)):
            try:
                self._decide(items, batch, calls, counts)
            except SalesforceProblem as problem:
                everybody = problem.code not in OF_ONE_OBJECT | {NOT_SET_UP}
                wait(batch.items if everybody else items, problem)
                if everybody:
                    break  # the org as a whole: no further call is made
        not_done = self._return(batch)
        self._tell(batch, calls, counts)
        return {"batchItemFailures": [{"itemIdentifier": m["messageId"]} for m in not_done]}

    def _decide(self, items: list[Item], batch: Batch, calls: Calls, counts: Counter[str]) -> None:
        """Decide updates, the messages of conversations, or the records of one object. Raises what
        keeps others of them from being decided."""
        conversations, first = self._conversations, items[0].envelope
        if first.kind == "update":
            # What has no record waits for the messages of the batch to make it.
            last = all(item.outcome for item in batch.messages)
            own = self._own_changes
            Updates(items=items, conversations=conversations, calls=calls, own=own).run(last=last)
        elif first.message.conversation:
            Timelines(items=items, conversations=conversations, calls=calls, counts=counts).run()
        else:
            if first.object_name == "Case" and self._settings.match_contacts:
                conversations.contacts.link(items, calls)
            Work(items=items, calls=calls, conversations=conversations).run()
            if self._settings.attach_duplicates:
                for item in items:
                    if isinstance(item.problem, DuplicatesDetected) and item.outcome == "rejected":
                        self._attach(item, calls, counts)

    def _attach(self, item: Item, calls: Calls, counts: Counter[str]) -> None:
        """Log a message on the one record that a duplicate rule names. A collection does not name
        it, so the refused record is created alone once."""
        problem, item.outcome = item.problem, ""
        attempt = calls.make(self._salesforce.create, item.record)
        if attempt.created is not None:
            item.settle("created")
        elif isinstance(attempt.problem, Refused):
            problem = attempt.problem
            if onto := attach_to(attempt.problem, self._settings):
                message, write_by = item.envelope.message, calls.deadline()
                logging = Logging(message, self._conversations, calls, write_by=write_by)
                if created := logging.attach(onto):
                    item.settle(created.name)
                    counts["MessagesMatched"] += 1
        item.settle("rejected", problem)

    def _return(self, batch: Batch) -> list[Mapping[str, Any]]:
        """Send refusals to Rejected and delay what waits; gives the messages that SQS has to keep.

        Only after this may anything be acknowledged.
        """
        to_reject = [(unreadable_body(message), [message]) for message in batch.unreadable]
        later = [
            (message, delay_seconds(None, attempts=attempts_of(message)))
            for message in batch.unknown
        ]
        self._put_files(batch)
        for item in batch.items:
            if item.outcome == "delayed" and item.age_seconds > GIVE_UP_SECONDS:
                item.outcome = "rejected"
            if item.outcome == "rejected":
                assert item.problem is not None
                refused = item.envelope.refused(
                    item.problem, attempts=item.attempts, what=item.what
                ).dump()
                if len(refused) > MAX_MESSAGE_BYTES:
                    # Not one of ours, if it was so long: it goes as it came, which SQS took once.
                    refused = item.messages[0]["body"]
                to_reject.append((refused, item.messages))
            elif item.outcome in ("", "delayed"):  # with any other it is acknowledged
                item.outcome = "delayed"
                seconds = item.delay_seconds = delay_seconds(item.problem, attempts=item.attempts)
                later += [(message, seconds) for message in item.messages]
        for item, envelope, message in batch.corrected:
            # The record that is there now may be a mail's without its text, or have no files.
            more = envelope.message.media or mail.brings_text(envelope.record)
            if more or item.outcome in ("delayed", "rejected"):
                later.append((message, item.delay_seconds or 1))
        failed = self._queues.reject(to_reject)
        self._queues.delay(later)
        return [*failed, *(message for message, _ in later)]

    def _put_files(self, batch: Batch) -> None:
        """Put the files of messages that are in Salesforce into their queue; if that fails, these
        messages wait."""
        failure: NotKept | None = None
        for item in batch.items:
            in_salesforce = item.outcome in ("created", "added", "exists")
            if self._feed is None or not in_salesforce or not item.envelope.message.media:
                continue
            try:
                if failure is None:  # else each message would cost the same time in vain
                    self._feed(item.envelope, deadline=Deadline.after(FILES_SECONDS))
            except NotKept as problem:
                self._telemetry.alarm("files_not_queued", error=problem)
                failure = problem
            if failure is not None:
                item.outcome = "delayed"
                item.problem = Unavailable(str(failure), code="FILES_NOT_QUEUED")

    def _tell(self, batch: Batch, calls: Calls, metrics: Counter[str]) -> None:
        """Log and count what became of the messages."""
        for metric, value in (+metrics).items():
            self._telemetry.count(metric, value)
        delayed = [item for item in batch.items if item.outcome == "delayed"]
        for problem in {
            item.problem.code: item.problem for item in delayed if item.problem
        }.values():
            if isinstance(problem, NotSetUp):
                self._telemetry.alarm("not_set_up", error=problem)
                self._telemetry.count("NotSetUp")
            else:
                self._telemetry.warn("delivery_delayed", code=problem.code)
        for item in batch.items:
            self._tell_record(item)
        # SQS's own metric passes over messages that were received three times.
        if delayed:
            self._telemetry.measure_age("OutboxAge", max(item.age_seconds for item in delayed))
        if batch.unreadable:
            self._telemetry.warn("unreadable_messages", count=len(batch.unreadable))
        if batch.unknown:
            self._telemetry.warn("messages_of_another_version", count=len(batch.unknown))
        cost = calls.cost
        self._telemetry.event(
            "delivery",
            count=len(batch.items),
            attempts=max((item.attempts for item in batch.items), default=0),
            api_calls=cost.calls,
            salesforce_request_id=cost.request_id,
        )
        if cost.calls:
            self._telemetry.measure_salesforce(
                milliseconds=cost.milliseconds, usage_percent=cost.usage_percent, calls=cost.calls
            )

    def _tell_record(self, item: Item) -> None:
        """A line of its own for each record: `bird-salesforce status` and `outbox list` read what
        waits from it, since SQS shows no message that is delayed."""
        of_outbox = {"attempts": item.attempts}
        if item.outcome == "delayed":
            age = round(item.age_seconds)
            of_outbox |= {"age_seconds": age, "delay_seconds": item.delay_seconds}
        self._telemetry.record(
            item.outcome,
            object_name=item.envelope.object_name,
            channel=reported(item.envelope.message.channel),
            key=item.envelope.key,
            code=getattr(item.problem, "code", ""),
            fields=getattr(item.problem, "fields", ()),
            duplicate=item.outcome == "rejected" and isinstance(item.problem, DuplicatesDetected),
            of_outbox=of_outbox,
        )
