"""One message of a conversation: look, decide, write; and once more where something has changed.

Two calls for a message, at most `most_calls` when something changes in between. What is written
hangs on the message's Task, whose key is unique, so a repetition changes nothing (docs/adr/0062).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from bridge.conversations.decide import (
    NOTHING,
    Add,
    CaseRow,
    Create,
    Decision,
    Exists,
    Follow,
    Look,
    Nowhere,
    Permit,
    Reopen,
    Rules,
    decide,
    object_of,
    record_of,
)
from bridge.conversations.look import (
    BOTH,
    Fields,
    Wanted,
    batch_parts,
    case_parts,
    lacks_record_types,
    look_parts,
    read_batch,
    read_cases,
    read_look,
)
from bridge.conversations.message import Message
from bridge.conversations.write import (
    AlreadyLogged,
    CommentRefused,
    LeaveOut,
    Logged,
    NotTaken,
    ParentGone,
    RecordKeyTaken,
    ReopenRefused,
    Written,
    new_record,
    other_links,
    parts_of,
    read_written,
)
from bridge.deadline import Deadline
from bridge.delivery.calls import Calls, Rights
from bridge.delivery.outbox import What
from bridge.errors import (
    DuplicatesDetected,
    KeyTaken,
    Refused,
    RowLocked,
    SalesforceProblem,
    Unavailable,
)
from bridge.records import ObjectName
from bridge.salesforce.composite import PartResponse
from bridge.settings import Settings
from bridge.telemetry import Telemetry, tell_dropped

if TYPE_CHECKING:
    from bridge.delivery.contacts import Contacts, Match

KEY_TAKEN = "KEY_TAKEN"
"""Of a record whose key is in the index, and which cannot be seen."""

CALLS_TO_ATTACH = 2
"""Beyond `most_calls`: the message, and once more without what was refused of its Task."""

MOST_CALLS = 4
"""Of Salesforce for one message while its caller waits."""


class Place(NamedTuple):
    """The message is in Salesforce, on this record."""

    object: str
    record_id: str
    number: str | None = None
    task_id: str = ""
    added: bool = False
    """Whether it was logged just now."""
    created: bool = False
    """Whether the record was made for it."""
    opened: Literal["", "successor", "reopened"] = ""
    not_logged: SalesforceProblem | None = None
    """Why the record was made and the Task was not: the message has to be tried again."""
    problems: Mapping[str, SalesforceProblem] = NOTHING
    """What could not be done beside the Task, by its name: touch, comment, reopen, text."""
    matches: int = 0
    """How many Contacts the sender of a new Case may be."""
    matched: bool = False
    """Whether a duplicate rule of the org named this record."""


class Deleted:
    """The message was logged, and a person has deleted what it was logged on."""


class NoRecord:
    """What our own side wrote, and there is no record to log it on."""


class Later(NamedTuple):
    """It has to be tried again."""

    problem: SalesforceProblem


class Refusal(NamedTuple):
    """Salesforce refuses the record, or the message's Task."""

    what: What
    problem: Refused


Fate = Place | Deleted | NoRecord | Later | Refusal


class Conversations:
    """Looks and decides, with an org's names and the deployer's rules."""

    def __init__(self, *, settings: Settings, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.rights = Rights()
        self.settings = settings
        self.fields = Fields(record_key=settings.external_id_field)
        """What queries may name. An org without record types is remembered."""
        self.rules = Rules(
            reopen_days=settings.reopen_days, closed_lead_statuses=settings.closed_lead_statuses
        )

    @cached_property
    def contacts(self) -> Contacts:
        """The search for the Contact that a sender is."""
        from bridge.delivery.contacts import Contacts

        return Contacts(settings=self.settings, telemetry=self.telemetry)

    def look(self, wanted: Wanted, calls: Calls, *, requested: ObjectName | None) -> Look:
        """What is in Salesforce of a conversation and a message. Raises Unavailable, NotSetUp."""
        objects = {requested} if requested else BOTH
        while True:
            responses = calls.send_parts(look_parts(wanted, self.fields))
            if not self.without_record_types(responses):
                return read_look(wanted, self.fields, responses, objects=objects)

    def look_many(
        self, wanted: Set[Wanted], calls: Calls, *, requested: ObjectName | None
    ) -> dict[Wanted, Look]:
        """The same for many together, and alone for those that have too many rows."""
        objects = {requested} if requested else BOTH
        base = calls.salesforce.base
        while True:
            fields = self.fields
            responses: dict[str, PartResponse] = {}
            for parts in batch_parts(wanted, fields, base=base):
                responses |= calls.send_parts(parts)
            if not self.without_record_types(responses):
                break
        found = read_batch(wanted, fields, responses, base=base, objects=objects)
        looks = dict(found.looks)
        for each in found.alone:
            looks[each] = self.look(each, calls, requested=requested)
        return looks

    def without_record_types(self, responses: Mapping[str, PartResponse]) -> bool:
        """Whether the org shows no record types of Case: then look again, and remember it."""
        if self.fields.record_types and lacks_record_types(responses):
            self.fields = self.fields._replace(record_types=False)
            return True
        return False

    def read_cases(self, ids: Sequence[str], calls: Calls) -> Mapping[str, CaseRow | None]:
        """At most 200 Cases by their ids. Raises Unavailable, NotSetUp."""
        return read_cases(ids, self.fields, calls.send_parts(case_parts(ids, self.fields)))

    def decide(
        self, message: Message, look: Look, permit: Permit, *, gone: frozenset[str] = frozenset()
    ) -> Decision:
        """What is to be done with a message."""
        return decide(
            look,
            requested=message.requested,
            channel_object=message.channel_object,
            rules=self.rules,
            now=datetime.now(UTC),
            permit=Permit.ADD_ONLY if message.from_us else permit,
            gone=gone,
        )


class Logging:
    """The way of one message onto its record."""

    def __init__(
        self,
        message: Message,
        conversations: Conversations,
        calls: Calls,
        *,
        write_by: Deadline,
        permit: Permit = Permit.ANYTHING,
        most_calls: int = MOST_CALLS,
        look: Look | None = None,
    ) -> None:
        """`look`: what was found a moment ago."""
        self._message = message
        self._conversations = conversations
        self._calls = calls
        self._write_by = write_by
        self._permit = permit
        self._last_call = calls.cost.calls + most_calls
        self._looked = look
        self._without: dict[What, frozenset[str]] = {"record": frozenset(), "message": frozenset()}
        self._with_comment = True
        self._may_reopen = True
        self._gone: frozenset[str] = frozenset()
        self._match: Match | None = None

    def run(self) -> Fate:
        """Log the message. After `write_by` no write is begun. Raises Unavailable, NotSetUp."""
        before: tuple[Decision, Written] | None = None
        while True:
            decision = self._decide()
            match decision:
                case Exists():
                    return there(decision)
                case Nowhere():
                    return NoRecord()
                case Follow():
                    raise Unavailable("a merged Case could not be read", code="BUSY")
            if before is not None and decision == before[0] and not self._without_links(*before):
                return self._attached(*before) or self.refused(*before)
            if before is not None and self._calls_are_spent:
                return self._undecided(*before)
            written = self._write(decision)
            if (place := done(decision, written)) is not None:
                matches = self._match.count if self._match and place.created else 0
                return self._filled_in(decision, place)._replace(matches=matches)
            before = decision, written
            if self._calls_are_spent:
                return self._undecided(*before)

    def _without_links(self, decision: Decision, written: Written) -> bool:
        """Leave out the other links, once, where the record of the conversation proved to be
        there."""
        if not (isinstance(decision, (Add, Create)) and isinstance(written, ParentGone)):
            return False
        what: What = "record" if isinstance(decision, Create) else "message"
        links = other_links(decision) - self._without[what]
        if links:
            name = decision.object if what == "record" else "Task"
            tell_dropped(self._conversations.telemetry, name, links)
            self._without[what] |= links
        return bool(links)

    def _undecided(self, decision: Decision, written: Written) -> Fate:
        """What was refused, with no call left for what a look since then shows, or might show: it
        may be there by now, so no refusal stands. Deliver decides."""
        if isinstance(written, (NotTaken, LeaveOut)):
            return Later(Unavailable(written.problem.message, code=written.problem.code))
        return self.refused(decision, written)

    def _attached(self, decision: Decision, written: Written) -> Place | None:
        """The message on the one Lead or Contact that a duplicate rule names, where it may be."""
        if not (isinstance(decision, Create) and isinstance(written, NotTaken)):
            return None
        if (onto := attach_to(written.problem, self._conversations.settings)) is None:
            return None
        self._last_call += CALLS_TO_ATTACH
        return self.attach(onto)

    def attach(self, onto: Add) -> Place | None:
        """Log the message on a record that is there; None where that is refused. Raises
        Unavailable, NotSetUp."""
        written = self._write(onto)
        if isinstance(written, AlreadyLogged):
            return self._there(onto, written)._replace(matched=True)
        place = done(onto, written)
        return place._replace(matched=True) if place else None

    def _filled_in(self, decision: Add | Create | Reopen, place: Place) -> Place:
        """Give the record that waits for a mail's text this text too: the Task has it."""
        if not (isinstance(decision, Add) and decision.adopted):
            return place
        from bridge.delivery import mail

        record = self._message.record(decision.object, self._message.key)
        try:
            if mail.brings_text(record):
                mail.add_text(record, place.record_id, self._calls)
        except SalesforceProblem as problem:
            return place._replace(problems={**place.problems, "text": problem})
        return place

    @property
    def _calls_are_spent(self) -> bool:
        return self._calls.cost.calls >= self._last_call

    def _decide(self) -> Decision:
        conversations, message = self._conversations, self._message
        look, self._looked = self._looked, None
        if look is None:
            wanted = Wanted(message.conversation, message.key)
            look = conversations.look(wanted, self._calls, requested=message.requested)
        decision = conversations.decide(message, look, self._permit, gone=self._gone)
        if isinstance(decision, Follow):
            homes = conversations.read_cases([decision.case_id], self._calls)
            look = look._replace(homes=homes)
            decision = conversations.decide(message, look, self._permit, gone=self._gone)
        if isinstance(decision, Reopen) and not self._may_reopen:
            return decision.successor
        return decision

    def _write(self, decision: Add | Create | Reopen) -> Written:
        """Write, and once more without what was refused, if that may be left out."""
        while True:
            written = self._write_once(decision)
            match written:
                case LeaveOut(what, names):
                    name = "Task"
                    if what == "record" and isinstance(decision, Create):
                        name = decision.object
                    tell_dropped(self._conversations.telemetry, name, names)
                    self._without[what] |= names
                case CommentRefused():
                    self._with_comment = False
                case ReopenRefused() if isinstance(decision, Reopen):
                    self._may_reopen = False
                    decision = decision.successor
                case ParentGone(record_id, _):
                    self._gone |= {record_id}
                    return written
                case _:
                    return written
            if self._calls_are_spent:
                return written

    def _write_once(self, decision: Add | Create | Reopen) -> Written:
        if not self._write_by.remaining():
            raise Unavailable("there was no time left to write", code="NO_TIME")
        conversations, message = self._conversations, self._message
        headers: Mapping[str, str] = {}
        if isinstance(decision, Create):
            decision = self._linked(decision)
            record = new_record(message, decision)
            headers = self._calls.salesforce.insert_headers(record)
        write = parts_of(
            message,
            decision,
            conversations.settings,
            insert_headers=headers,
            without=self._without["message"],
            record_without=self._without["record"],
            with_comment=self._with_comment,
        )
        send = self._calls.salesforce.send_parts
        try:
            responses = self._calls.make(send, write.parts, write.all_or_none)
        except Refused as problem:
            return NotTaken("record" if isinstance(decision, Create) else "message", problem)
        return read_written(message, decision, write, responses, conversations.settings)

    def _linked(self, decision: Create) -> Create:
        """A new Case with the Contact that its sender is, unless it has one."""
        conversations = self._conversations
        if decision.object != "Case" or not conversations.settings.match_contacts:
            return decision
        # Most deployments do without.
        from bridge.delivery.contacts import NOBODY, SEARCH_SECONDS, sender_of

        if self._match is None:
            before = self._calls.cost.calls
            sender = None if "ContactId" in decision.derived else sender_of(self._message)
            # What is left has to do for the Case itself.
            enough = self._write_by.remaining() > SEARCH_SECONDS
            self._match = NOBODY
            if sender and enough:
                self._match = conversations.contacts.match(sender, self._calls)
            self._last_call += self._calls.cost.calls - before
        return decision._replace(derived={**self._match.link, **decision.derived})

    def refused(self, decision: Decision, written: Written) -> Fate:
        """What becomes of a message that could not be written, and was looked for since."""
        match written:
            case AlreadyLogged() if isinstance(decision, (Add, Reopen)):
                return self._there(decision, written)
            case RecordKeyTaken():
                return Later(RowLocked("a record with this key is just being made", code=KEY_TAKEN))
            case NotTaken(what, problem) | LeaveOut(what, _, problem):
                return self._refusal(decision, what, problem)
            case ParentGone(_, problem) | CommentRefused(problem) | ReopenRefused(problem):
                return Later(Unavailable(problem.message, code=problem.code))
        raise AssertionError(f"{written} was refused")

    def _there(self, decision: Add | Reopen, written: AlreadyLogged) -> Place:
        return Place(
            object=decision.record_object if isinstance(decision, Add) else "Case",
            record_id=decision.record_id,
            number=decision.number,
            task_id=written.task_id or "",
        )

    def _refusal(self, decision: Decision, what: What, problem: Refused) -> Later | Refusal:
        """A refusal stands unless it is the org's fault: then all messages wait for a person."""
        from bridge.delivery import verdict

        conversations = self._conversations
        record = new_record(self._message, decision) if isinstance(decision, Create) else None
        name = record.object if record and what == "record" else "Task"
        fault = verdict.no_right(problem, name, None)
        if fault is verdict.Undecided.ASK_RIGHTS:
            may_create = conversations.rights.has(name, "createable", self._calls)
            fault = verdict.no_right(problem, name, may_create)
        if isinstance(fault, verdict.Wait):
            return Later(fault.problem)
        if record and what == "record":
            assignment = conversations.settings.assignment(record.object)
            context = verdict.Context(has_key=True, assignment=assignment)
            if no_rule := verdict.no_rule(problem, [record], context):
                return Later(no_rule.problem)
        return Refusal(what, problem)


def attach_to(problem: Refused, settings: Settings) -> Add | None:
    """The one Lead or Contact that a duplicate rule names, where messages go onto such records."""
    if not settings.attach_duplicates or not settings.external_id_field:
        return None
    if not isinstance(problem, DuplicatesDetected) or len(problem.matches) != 1:
        return None
    (record_id,) = problem.matches
    on = object_of(record_id)
    if on is None:
        return None
    # Nobody has seen a message of this conversation on that Contact.
    return Add(
        object="Lead",
        record_object=on,
        record_id=record_id,
        who_id=record_id,
        for_owner=on == "Contact",
    )


def there(decision: Exists) -> Place | Deleted:
    """Where a message is that is logged."""
    if decision.deleted:
        return Deleted()
    task_id = decision.task_id or ""
    if decision.object is None or decision.record_id is None:
        return Place(object="Task", record_id=task_id, task_id=task_id)  # a person has moved it
    return Place(
        object=decision.object,
        record_id=decision.record_id,
        number=decision.number,
        task_id=task_id,
    )


def done(decision: Add | Create | Reopen, written: Written) -> Place | None:
    """Where the message is; None where it has to be looked for again."""
    if not isinstance(written, Logged):
        return None
    opened: Literal["", "successor", "reopened"] = "reopened" if written.reopened else ""
    if isinstance(decision, Create) and decision.is_successor:
        opened = "successor"
    # A Task whose key is taken is there: somebody else has logged the message meanwhile.
    elsewhere = isinstance(written.not_logged, KeyTaken)
    return Place(
        object=written.record_object,
        record_id=written.record_id,
        number=written.number,
        task_id=written.task_id,
        added=written.not_logged is None,
        created=written.created,
        opened=opened,
        not_logged=None if elsewhere else written.not_logged,
        problems=written.problems,
    )


def find(
    object_name: ObjectName, key: str, conversations: Conversations, calls: Calls
) -> Place | None:
    """The record that a key leads to: of a conversation its open record, else its newest, else the
    Contact that it became; of a message the record that has it. Raises Unavailable, NotSetUp."""
    wanted = Wanted(key, key)
    look = conversations.look(wanted, calls, requested=object_name)
    found = record_of(look, object_name, conversations.rules)
    if found is None:
        return None
    if found.object == "Case" and found.record_id and found.number is None:
        # Of a message's key the look shows no Case.
        cases = conversations.read_cases([found.record_id], calls)
        case = cases[found.record_id]
        found = found._replace(number=case.number if case else None)
    place = there(found)
    return place if isinstance(place, Place) else None
