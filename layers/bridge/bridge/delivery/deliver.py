"""Many records, later: what waits in the outbox, up to 200 of them a call.

Each record is judged by itself. What is done is acknowledged, what Salesforce refuses goes to
Rejected with the reason, and all else goes back to the queue for later. Nothing is acknowledged
before it is where it belongs, so a crash at any moment only means that messages come again; the
key makes that harmless.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from bridge.bird.channels import reported
from bridge.deadline import Deadline
from bridge.delivery.outbox import Envelope, UnreadableEnvelope, now
from bridge.errors import (
    BadRequest,
    DuplicatesDetected,
    KeyTaken,
    LimitExceeded,
    NotSetUp,
    OrgNotReady,
    Refused,
    RowLocked,
    SalesforceProblem,
    SessionRefused,
    Unavailable,
)
from bridge.oauth.sessions import Sessions
from bridge.records import ObjectName, Record
from bridge.salesforce.client import (
    ABOUT_THE_ORG,
    NO_RIGHT,
    NO_RULE,
    Attempt,
    Found,
    Salesforce,
    Session,
    derived_at_fault,
)
from bridge.settings import Settings
from bridge.telemetry import Telemetry

if TYPE_CHECKING:
    from botocore.client import BaseClient

Result = TypeVar("Result")

LAST_CALL_SECONDS = 60.0
"""With less than this left of the invocation no new call to Salesforce is begun."""

CALL_SECONDS = 45.0
"""How long Salesforce may take for one call of many."""

LOOK_FIRST_SECONDS = 600
"""A message older than this may be of a record that was made, then merged or deleted."""

GIVE_UP_SECONDS = 7 * 24 * 3600
"""After this a message that could not be delivered is sent to Rejected, where it gets a new age:
SQS itself would move it with its old one, and delete it seven days later."""

LONGEST_DELAY_SECONDS = 6 * 3600

DELAYS: tuple[tuple[type[SalesforceProblem], float, float], ...] = (
    (LimitExceeded, 900.0, LONGEST_DELAY_SECONDS),
    (NotSetUp, 120.0, 1800.0),
    (RowLocked, 5.0, 900.0),
    (SalesforceProblem, 20.0, 900.0),
)
"""First and longest delay in seconds by what went wrong; doubled each time, with jitter (from half
of it to all of it). At 15 minutes, so 11 on average, a week's outage costs some 900 of the 1,000
receives that the queue allows."""

OF_ONE_OBJECT = frozenset({"INVALID_TYPE", "KEY_FIELD_MISSING", NO_RIGHT})
"""What is wrong with Leads need not be wrong with Cases: these codes stop their own object only."""

MANY_IN_A_ROW = 4
"""After so many records that were refused alone, one after the other, the next are sent alone at
once: a crowd of such records would be refused as well, and cost as many calls more."""

LOOKED_UP_TOGETHER = 20
"""So many records in a row that were refused alone are looked up in one call. Where time runs out,
no more of them are undecided."""

INTERNAL_ERRORS = frozenset({"UNKNOWN_EXCEPTION", "APEX_ERROR"})
MOST_INTERNAL_ERRORS = 20
"""Calls of an invocation that may end so while the record at fault is searched by halving: two such
records among 200 are found with it."""

SQS_BATCH = 10
SQS_BATCH_BYTES = 1_000_000
LONGEST_MESSAGE = 1024 * 1024
"""Bytes of a body that SQS takes."""


@dataclass
class Item:
    """One record on its way, with every message that asks for it."""

    envelope: Envelope
    messages: list[Mapping[str, Any]]
    others: list[Mapping[str, Any]] = field(default_factory=list)
    """Messages with the same key and other values: a repetition that somebody has corrected. A
    record that is there settles them as well; where it is refused they are tried themselves."""
    outcome: str = ""
    problem: SalesforceProblem | None = None
    stripped: Record | None = None
    """The record without the fields that we filled and Salesforce refused: left out once only, and
    only on the way to Salesforce. If it is refused all the same, Rejected gets the whole."""

    @property
    def record(self) -> Record:
        return self.stripped or self.envelope.record

    @property
    def age_seconds(self) -> float:
        """How long its oldest message has been in the outbox."""
        return max(_age_seconds(message) for message in self.messages)

    @property
    def attempts(self) -> int:
        """How often SQS has handed out its messages."""
        return max(_attribute(message, "ApproximateReceiveCount", 1) for message in self.messages)


@dataclass
class Batch:
    """What has become of an invocation's messages."""

    items: list[Item] = field(default_factory=list)
    unreadable: list[Mapping[str, Any]] = field(default_factory=list)
    not_done: list[Mapping[str, Any]] = field(default_factory=list)
    """Messages that SQS has to keep."""


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
    ) -> None:
        self._salesforce = salesforce
        self._sessions = sessions
        self._sqs = sqs
        self._settings = settings
        self._telemetry = telemetry
        self._internal_errors = 0
        self._in_a_row = 0
        self._unjudged: list[Item] = []
        """Refused alone, in a row with others, and not looked up yet."""

    def run(self, event: Any, *, seconds: float) -> dict[str, Any]:
        """Deliver an SQS event's messages; answers which of them SQS has to keep.

        `seconds` is what is left of the invocation. The answer is a partial batch response
        (`batchItemFailures`). Raises BadRequest for what is no SQS event: nothing was done then.
        """
        last_call = Deadline.after(seconds - LAST_CALL_SECONDS)
        self._internal_errors = 0
        batch = _read(event)
        for items in _by_object(batch.items):
            try:
                for group in _grouped(self._skip_what_is_there(items, last_call)):
                    self._in_a_row, self._unjudged = 0, []
                    try:
                        self._deliver(group, last_call)
                    except OrgNotReady as problem:
                        if problem.code != NO_RULE:
                            raise
                        # Records with an owner of their own are sent without the rule.
                        _wait(group, problem)
            except SalesforceProblem as problem:
                if problem.code in OF_ONE_OBJECT:
                    _wait(items, problem)
                    continue
                # The org as a whole: whatever is undecided waits, and no further call is made.
                _wait(batch.items, problem)
                break
        self._settle(batch)
        self._tell(batch)
        return {
            "batchItemFailures": [
                {"itemIdentifier": message["messageId"]} for message in batch.not_done
            ]
        }

    # Looking before sending

    def _skip_what_is_there(self, items: list[Item], last_call: Deadline) -> list[Item]:
        """Ask once for everything old or replayed; do not bring a deleted record back."""
        if not self._settings.external_id_field:
            return items
        old = [
            item
            for item in items
            if item.age_seconds > LOOK_FIRST_SECONDS or item.envelope.was_rejected
        ]
        found = self._look_up(old, last_call)
        for item in old:
            there = found.get((item.record.object, item.record.key))
            if there:
                item.outcome = "deleted" if there.deleted else "exists"
        return [item for item in items if not item.outcome]

    def _look_up(
        self, items: Sequence[Item], last_call: Deadline
    ) -> dict[tuple[ObjectName, str], Found]:
        found: dict[tuple[ObjectName, str], Found] = {}
        objects: tuple[ObjectName, ...] = ("Lead", "Case")
        for name in objects:
            keys = [item.record.key for item in items if item.record.object == name]
            if keys:
                rows = self._call(partial(self._find_many, name, keys), last_call)
                found.update({(name, key): row for key, row in rows.items()})
        return found

    # Sending

    def _deliver(self, items: Sequence[Item], last_call: Deadline) -> None:
        """Send one group in calls that are not too many records nor too many bytes."""
        for some in self._chunks(items):
            self._send(some, last_call)
        self._judge_the_row(last_call)

    def _chunks(self, items: Sequence[Item]) -> Iterable[list[Item]]:
        chunk: list[Item] = []
        size = 0
        for item in items:
            cost = len(self._salesforce.collection_entry(item.record))
            if chunk and (
                len(chunk) >= self._settings.records_per_call
                or size + cost > self._settings.bytes_per_call
            ):
                yield chunk
                chunk, size = [], 0
            chunk.append(item)
            size += cost
        if chunk:
            yield chunk

    def _send(self, items: Sequence[Item], last_call: Deadline) -> None:
        """Send these in one call; or alone, as long as one after the other is refused alone."""
        rest = list(items)
        while len(rest) > 1 and self._in_a_row >= MANY_IN_A_ROW:
            self._try([rest.pop(0)], last_call)
        self._try(rest, last_call)

    def _try(self, items: list[Item], last_call: Deadline) -> None:
        """Send these in one call and judge each; halve where a crowd may have been the reason."""
        records = [item.record for item in items]
        try:
            answer = self._call(partial(self._create_many, records), last_call)
        except Unavailable as trouble:
            # An internal error of Salesforce's may be one record's; an outage is everybody's.
            if trouble.code not in INTERNAL_ERRORS or not self._may_search():
                raise
            if len(items) > 1:
                self._halve(items, last_call)
            else:
                items[0].outcome, items[0].problem = "delayed", trouble
            return
        if isinstance(answer, Refused):
            # The whole call was refused, for one unknown field or unreadable value in it.
            if len(items) > 1:
                self._halve(items, last_call)
                return
            answer = [Attempt(problem=answer)]
        again: list[Item] = []
        refused: list[Item] = []
        for item, attempt in zip(items, answer, strict=True):
            problem = attempt.problem
            if attempt.created:
                item.outcome = "created"
            elif problem is None or isinstance(problem, SessionRefused):
                item.outcome = "delayed"
                item.problem = Unavailable("Salesforce's answer could not be read")
            elif not isinstance(problem, Refused):
                item.outcome, item.problem = "delayed", problem
            elif len(items) > 1 and problem.code.startswith("CANNOT_"):
                again.append(item)
            else:
                item.problem = problem
                refused.append(item)
        made = any(attempt.created for attempt in answer)
        if made:
            self._in_a_row = 0
        elif refused and len(items) == 1:
            self._in_a_row += 1
        if self._in_a_row > 1 and len(items) == 1:
            self._unjudged += refused
            if len(self._unjudged) >= LOOKED_UP_TOGETHER:
                self._judge_the_row(last_call)
        else:
            self._judge(refused, last_call, rule_works=made)
            if len(items) == 1 and getattr(items[0].problem, "code", "") in (NO_RIGHT, NO_RULE):
                # Alone it is known for sure, and would be the same for each of the others.
                assert items[0].problem is not None
                raise items[0].problem
        if again:
            self._halve(again, last_call) if len(again) > 1 else self._send(again, last_call)

    def _may_search(self) -> bool:
        """Whether to halve on after an internal error: bounded, in case it is the whole org."""
        self._internal_errors += 1
        return self._internal_errors <= MOST_INTERNAL_ERRORS

    def _halve(self, items: list[Item], last_call: Deadline) -> None:
        """Send each half, those with the same fields together: they come from the same flow, and an
        unknown field is in all of its records."""
        items = sorted(items, key=lambda item: sorted(item.record.fields))
        middle = (len(items) + 1) // 2
        for half in (items[:middle], items[middle:]):
            if half:
                self._send(half, last_call)

    def _judge_the_row(self, last_call: Deadline) -> None:
        refused, self._unjudged = self._unjudged, []
        self._judge(refused, last_call, rule_works=False)

    def _judge(self, refused: list[Item], last_call: Deadline, *, rule_works: bool) -> None:
        """No refusal is final before a look-up by key; then without our own fields once more.

        `rule_works`: a record of the same call was made, and by the same assignment rule.
        """
        found: dict[tuple[ObjectName, str], Found] = {}
        if refused and self._settings.external_id_field:
            found = self._look_up(refused, last_call)
        once_more: list[Item] = []
        for item in refused:
            there = found.get((item.record.object, item.record.key))
            problem = item.problem
            assert problem is not None
            dropped = frozenset() if item.stripped else derived_at_fault(problem, item.record)
            if there and not there.deleted:
                # A deleted one has freed its key: this is a new request, and it is refused.
                item.outcome, item.problem = "exists", None
            elif isinstance(problem, KeyTaken) and problem.existing_id:
                item.outcome, item.problem = "exists", None
            elif isinstance(problem, KeyTaken):
                item.outcome = "delayed"
                item.problem = RowLocked("a record with this key is just being made")
            elif dropped:
                self._telemetry.warn(
                    "derived_fields_dropped", fields=sorted(dropped), object=item.record.object
                )
                self._telemetry.count("DerivedFieldsDropped")
                item.stripped, item.problem = item.record.without(dropped), None
                once_more.append(item)
            else:
                org = self._org_at_fault(problem, item.record, last_call)
                if org is not None and org.code == NO_RULE and rule_works:
                    org = None
                item.outcome, item.problem = ("delayed", org) if org else ("rejected", problem)
        for group in _grouped(once_more):
            self._deliver(group, last_call)

    def _find_many(
        self, name: ObjectName, keys: Sequence[str], session: Session, deadline: Deadline
    ) -> dict[str, Found]:
        return self._salesforce.find_many(name, keys, session=session, deadline=deadline)

    def _org_at_fault(
        self, problem: SalesforceProblem, record: Record, last_call: Deadline
    ) -> OrgNotReady | None:
        if not problem.code.startswith(ABOUT_THE_ORG):
            return None
        return self._call(
            lambda session, deadline: self._salesforce.org_at_fault(
                problem, record, session=session, deadline=deadline
            ),
            last_call,
        )

    def _create_many(
        self, records: Sequence[Record], session: Session, deadline: Deadline
    ) -> list[Attempt] | Refused:
        """One call of many; what concerns the org as a whole is raised."""
        answer = self._salesforce.create_many(records, session=session, deadline=deadline)
        if isinstance(answer, SalesforceProblem) and not isinstance(answer, Refused):
            raise answer
        return answer

    def _call(self, call: Callable[[Session, Deadline], Result], last_call: Deadline) -> Result:
        if last_call.remaining() <= 0:
            raise Unavailable("the invocation has no time left for another call", code="NO_TIME")
        deadline = Deadline.after(CALL_SECONDS)
        return self._sessions.call(lambda session: call(session, deadline), deadline=deadline)

    # Settling

    def _settle(self, batch: Batch) -> None:
        """Send refusals to Rejected, delay what waits; only then may anything be acknowledged."""
        to_reject: list[tuple[str, list[Mapping[str, Any]]]] = []
        for message in batch.unreadable:
            to_reject.append((_wrapped(message), [message]))
        later: list[tuple[Mapping[str, Any], int]] = []
        for item in batch.items:
            problem = item.problem
            if item.outcome == "delayed" and item.age_seconds > GIVE_UP_SECONDS:
                item.outcome = "rejected"
            if item.outcome == "rejected":
                assert problem is not None
                refused = item.envelope.refused(problem, attempts=item.attempts).dump()
                if len(refused) > LONGEST_MESSAGE:
                    # Not ours, if it was so long: it goes as it came, which SQS took once.
                    refused = item.messages[0]["body"]
                to_reject.append((refused, item.messages))
                later += [(message, 1) for message in item.others]
            elif item.outcome not in ("created", "exists", "deleted"):
                item.outcome = "delayed"
                seconds = delay_seconds(problem, attempts=item.attempts)
                later += [(message, seconds) for message in (*item.messages, *item.others)]
        batch.not_done += self._reject(to_reject)
        self._delay(later)
        batch.not_done += [message for message, _ in later]

    def _reject(
        self, bodies: Sequence[tuple[str, list[Mapping[str, Any]]]]
    ) -> list[Mapping[str, Any]]:
        """Send bodies to Rejected; answers the messages whose body could not be sent."""
        failed: list[Mapping[str, Any]] = []
        for some in _sqs_batches(bodies):
            entries = [{"Id": str(i), "MessageBody": body} for i, (body, _) in enumerate(some)]
            try:
                said = self._sqs.send_message_batch(
                    QueueUrl=self._settings.rejected_url, Entries=entries
                )
                sent = {int(entry["Id"]) for entry in said.get("Successful", ())}
            except Exception as error:  # boto3 raises anything where an answer cannot be read
                self._telemetry.alarm("rejected_unreachable", error=error, count=len(some))
                sent = set()
            for i, (_, messages) in enumerate(some):
                if i not in sent:
                    failed += messages
        return failed

    def _delay(self, later: Iterable[tuple[Mapping[str, Any], int]]) -> None:
        """Hide each message for so many seconds; if that fails, the visibility timeout does it."""
        entries = [
            {"ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for message, seconds in later
            if (handle := message.get("receiptHandle"))
        ]
        for start in range(0, len(entries), SQS_BATCH):
            some = entries[start : start + SQS_BATCH]
            try:
                self._sqs.change_message_visibility_batch(
                    QueueUrl=self._settings.outbox_url,
                    Entries=[{"Id": str(i), **entry} for i, entry in enumerate(some)],
                )
            except Exception as error:  # as above; what is done must not be undone by this
                self._telemetry.alarm("outbox_delay_failed", error=error, count=len(some))
                return

    # Telling

    def _tell(self, batch: Batch) -> None:
        waiting = {
            item.problem.code: item.problem
            for item in batch.items
            if item.outcome == "delayed" and item.problem is not None
        }
        for problem in waiting.values():
            if isinstance(problem, NotSetUp):
                self._telemetry.alarm("not_set_up", error=problem)
                self._telemetry.count("NotSetUp")
            else:
                self._telemetry.warn("delivery_delayed", code=problem.code)
        counts: dict[tuple[str, str, str], int] = {}
        for item in batch.items:
            outcome, channel = item.outcome, reported(item.record.channel)
            if outcome == "rejected" and isinstance(item.problem, DuplicatesDetected):
                outcome = "duplicate"
            where = (outcome, item.record.object, channel)
            counts[where] = counts.get(where, 0) + 1
            if outcome in ("rejected", "duplicate", "deleted"):
                self._telemetry.event(
                    "record",
                    outcome=item.outcome,
                    object=item.record.object,
                    channel=channel,
                    key=item.record.key,
                    code=getattr(item.problem, "code", ""),
                    fields=getattr(item.problem, "fields", ()),
                    attempts=item.attempts,
                )
        for (outcome, name, channel), count in counts.items():
            self._telemetry.count_records(outcome, object_name=name, channel=channel, count=count)
        # SQS's own metric passes over messages that were received three times.
        ages = [item.age_seconds for item in batch.items if item.outcome == "delayed"]
        if ages:
            self._telemetry.measure_outbox_age(max(ages))
        if batch.unreadable:
            self._telemetry.warn("unreadable_messages", count=len(batch.unreadable))
        measured = self._salesforce.take_measurements()
        self._telemetry.event(
            "delivery",
            count=len(batch.items),
            attempts=max((item.attempts for item in batch.items), default=0),
            api_calls=measured.calls,
            salesforce_request_id=measured.request_id,
        )
        if measured.calls:
            self._telemetry.measure_salesforce(
                milliseconds=measured.milliseconds,
                usage_percent=measured.usage_percent,
                calls=measured.calls,
            )


def delay_seconds(problem: SalesforceProblem | None, *, attempts: int) -> int:
    """How long a message waits before it is tried again: doubled each time, jittered, bounded."""
    kind = type(problem) if problem is not None else SalesforceProblem
    first, longest = next((f, most) for known, f, most in DELAYS if issubclass(kind, known))
    delay = min(longest, first * 2 ** min(max(attempts - 1, 0), 20))
    asked = min(problem.retry_after_seconds, LONGEST_DELAY_SECONDS) if problem is not None else 0
    return max(1, asked, int(random.uniform(delay / 2, delay)))


def _read(event: Any) -> Batch:
    """The messages of an SQS event; those with the same object and key are one item, the first's.

    Raises BadRequest where a message has no id: SQS could not be told to keep it.
    """
    messages = event.get("Records") or [] if isinstance(event, dict) else None
    if not isinstance(messages, list):
        raise BadRequest("the event is no SQS event")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("messageId"), str):
            raise BadRequest("a message of the event has no id")
    batch = Batch()
    by_key: dict[tuple[str, str], Item] = {}
    for message in messages:
        try:
            envelope = Envelope.parse(message.get("body"))
        except UnreadableEnvelope:
            batch.unreadable.append(message)
            continue
        where = (envelope.record.object, envelope.record.key)
        item = by_key.get(where)
        if item is None:
            by_key[where] = Item(envelope, [message])
        elif item.envelope.record == envelope.record:
            item.messages.append(message)
        else:
            item.others.append(message)
    batch.items = list(by_key.values())
    return batch


def _by_object(items: Sequence[Item]) -> list[list[Item]]:
    """The items of each object, in the order in which the objects came."""
    objects: dict[ObjectName, list[Item]] = {}
    for item in items:
        objects.setdefault(item.record.object, []).append(item)
    return list(objects.values())


def _wait(items: Iterable[Item], problem: SalesforceProblem) -> None:
    """Let what is undecided wait, for this reason."""
    for item in items:
        if not item.outcome:
            item.outcome, item.problem = "delayed", problem


def _grouped(items: Iterable[Item]) -> list[list[Item]]:
    """Groups of one object and one set of headers, since headers hold for a whole call."""
    groups: dict[tuple[ObjectName, bool], list[Item]] = {}
    for item in items:
        groups.setdefault((item.record.object, item.record.has_owner), []).append(item)
    return list(groups.values())


def _sqs_batches(
    bodies: Sequence[tuple[str, list[Mapping[str, Any]]]],
) -> Iterable[list[tuple[str, list[Mapping[str, Any]]]]]:
    """Runs of at most ten bodies and together at most what SQS takes in one call."""
    some: list[tuple[str, list[Mapping[str, Any]]]] = []
    size = 0
    for body in bodies:
        cost = len(body[0].encode(errors="replace"))
        if some and (len(some) == SQS_BATCH or size + cost > SQS_BATCH_BYTES):
            yield some
            some, size = [], 0
        some.append(body)
        size += cost
    if some:
        yield some


def _wrapped(message: Mapping[str, Any]) -> str:
    """An unreadable message as it stands in Rejected: the whole of it, and why.

    If that is more than SQS takes it goes as it came, which SQS took once.
    """
    body = message.get("body")
    body = body if isinstance(body, str) else json.dumps(body)
    reason = {"code": "UNREADABLE_MESSAGE", "message": "no envelope", "at": now()}
    wrapped = json.dumps({"v": 1, "unreadable": body, "reason": reason})
    return wrapped if len(wrapped) <= SQS_BATCH_BYTES else body


def _attribute(message: Mapping[str, Any], name: str, default: int) -> int:
    try:
        return int(message["attributes"][name])
    except (KeyError, TypeError, ValueError, OverflowError):
        return default


def _age_seconds(message: Mapping[str, Any]) -> float:
    """Seconds since the message was sent to the outbox."""
    sent = _attribute(message, "SentTimestamp", 0)
    return time.time() - sent / 1000 if 0 < sent < 10**15 else 0.0
