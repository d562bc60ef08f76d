"""One message of a conversation: look, decide, write; and once more where something has changed.

Two calls for a message, at most `most_calls` when something changes in between. What is written
hangs on the message's Task, whose key is unique, so a repetition changes nothing (docs/adr/0062).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from bridge.conversations import write
from bridge.conversations.decide import (
    Add,
    CaseRow,
    Create,
    Decision,
    Exists,
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
from bridge.deadline import Deadline
from bridge.delivery.calls import Calls, Rights
from bridge.delivery.outbox import What
from bridge.delivery.outcomes import Created, Outcome, Queued, Rejected
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
from bridge.salesforce.responses import Found
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
            if not self._without_record_types(responses):
                look = read_look(wanted, self.fields, responses, objects=objects)
                return self._with_homes({wanted: look}, calls, objects)[wanted]

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
            if not self._without_record_types(responses):
                break
        found = read_batch(wanted, fields, responses, base=base, objects=objects)
        looks = self._with_homes(found.looks, calls, objects)
        for each in found.alone:
            looks[each] = self.look(each, calls, requested=requested)
        return looks

    def _with_homes(
        self, looks: Mapping[Wanted, Look], calls: Calls, objects: Set[ObjectName]
    ) -> dict[Wanted, Look]:
        """The same with the Cases that have a conversation's newest Task and are none of its own:
        it may have been merged into them."""
        away = {
            at: look.case_home.what_id
            for at, look in looks.items()
            if "Case" in objects
            and look.case_home
            and look.case_home.what_id
            and look.case_home.what_id not in {*look.homes, *(row.id for row in look.cases)}
        }
        homes = self.read_cases(sorted(set(away.values())), calls) if away else {}
        found = {at: looks[at]._replace(homes={home: homes[home]}) for at, home in away.items()}
        return {**looks, **found}

    def _without_record_types(self, responses: Mapping[str, PartResponse]) -> bool:
        """Whether the org shows no record types of Case: then look again, and remember it."""
        if self.fields.record_types and lacks_record_types(responses):
            self.fields = self.fields._replace(record_types=False)
            return True
        return False

    def read_cases(self, ids: Sequence[str], calls: Calls) -> Mapping[str, CaseRow | None]:
        """Some Cases by their ids. Raises Unavailable, NotSetUp."""
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

    def run(self) -> Outcome | None:
        """Log the message. After `write_by` no write is begun.

        None: there is no record to log it on, and the message may make none. Raises Unavailable,
        NotSetUp.
        """
        before: tuple[Decision, write.Written] | None = None
        while True:
            decision = self._decide()
            match decision:
                case Exists():
                    return there(decision, self._calls)
                case Nowhere():
                    return None
            if before is not None and decision == before[0] and not self._without_links(*before):
                return self._attached(*before) or self._refused(*before, looked=True)
            if before is not None and self._calls_are_spent:
                return self._refused(*before, looked=False)
            written = self._write(decision)
            if isinstance(written, write.Logged):
                return self._filled_in(decision, self._created(decision, written))
            before = decision, written
            if self._calls_are_spent:
                return self._refused(*before, looked=False)

    def _without_links(self, decision: Decision, written: write.Written) -> bool:
        """Leave out the other links, once, where the record of the conversation proved to be
        there."""
        if not (isinstance(decision, (Add, Create)) and isinstance(written, write.ParentGone)):
            return False
        what: What = "record" if isinstance(decision, Create) else "message"
        links = write.other_links(decision) - self._without[what]
        if links:
            name = decision.object if what == "record" else "Task"
            tell_dropped(self._conversations.telemetry, name, links)
            self._without[what] |= links
        return bool(links)

    def _attached(self, decision: Decision, written: write.Written) -> Created | None:
        """The message on the one Lead or Contact that a duplicate rule names, where it may be."""
        if not (isinstance(decision, Create) and isinstance(written, write.NotTaken)):
            return None
        if (onto := attach_to(written.problem, self._conversations.settings)) is None:
            return None
        self._last_call += CALLS_TO_ATTACH
        return self.attach(onto)

    def attach(self, onto: Add) -> Created | None:
        """Log the message on a record that is there; None where that is refused. Raises
        Unavailable, NotSetUp."""
        match self._write(onto):
            case write.Logged() as logged:
                return self._created(onto, logged)._replace(matched=True)
            case write.AlreadyLogged(task_id):
                return self._logged_before(onto, task_id)._replace(matched=True)
        return None

    def _created(self, decision: Add | Create | Reopen, written: write.Logged) -> Created:
        # A Task whose key is taken is there: somebody else has logged the message meanwhile.
        elsewhere = isinstance(written.not_logged, KeyTaken)
        successor = isinstance(decision, Create) and decision.is_successor
        return Created(
            Found(written.record_id, written.number),
            self._calls.record_url(written.record_id),
            new=written.created,
            object=written.record_object,
            task_id=written.task_id,
            added=written.not_logged is None,
            not_written=() if written.created else tuple(self._message.not_written),
            opened="successor" if successor else "reopened" if written.reopened else "",
            not_logged=None if elsewhere else written.not_logged,
            problems=written.problems,
            matches=self._match.count if self._match and written.created else 0,
        )

    def _logged_before(self, decision: Add | Reopen, task_id: str | None) -> Created:
        on = decision.record_object if isinstance(decision, Add) else "Case"
        before = Exists(on, decision.record_id, decision.number, task_id)
        return there(before, self._calls)

    def _filled_in(self, decision: Add | Create | Reopen, created: Created) -> Created:
        """Give the record that waits for a mail's text this text too: the Task has it."""
        if not (isinstance(decision, Add) and decision.adopted):
            return created
        from bridge.delivery import mail

        record = self._message.record(decision.object, self._message.key)
        try:
            mail.add_text(record, decision.record_id, self._calls)
        except SalesforceProblem as problem:
            return created._replace(problems={**created.problems, "text": problem})
        return created

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
        if isinstance(decision, Reopen) and not self._may_reopen:
            return decision.successor
        return decision

    def _write(self, decision: Add | Create | Reopen) -> write.Written:
        """Write, and once more without what was refused, if that may be left out."""
        while True:
            written = self._write_once(decision)
            match written:
                case write.LeaveOut("comment"):
                    self._with_comment = False
                case write.LeaveOut("reopen") if isinstance(decision, Reopen):
                    self._may_reopen = False
                    decision = decision.successor
                case write.LeaveOut("record" | "message" as what, names):
                    name = "Task"
                    if what == "record" and isinstance(decision, Create):
                        name = decision.object
                    tell_dropped(self._conversations.telemetry, name, names)
                    self._without[what] |= names
                case write.ParentGone(record_id, _):
                    self._gone |= {record_id}
                    return written
                case _:
                    return written
            if self._calls_are_spent:
                return written

    def _write_once(self, decision: Add | Create | Reopen) -> write.Written:
        if not self._write_by.remaining():
            raise Unavailable("there was no time left to write", code="NO_TIME")
        conversations, message = self._conversations, self._message
        headers: Mapping[str, str] = {}
        if isinstance(decision, Create):
            decision = self._linked(decision)
            record = write.new_record(message, decision)
            headers = self._calls.salesforce.insert_headers(record)
        sent = write.parts_of(
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
            responses = self._calls.make(send, sent.parts, sent.all_or_none)
        except Refused as problem:
            return write.NotTaken("record" if isinstance(decision, Create) else "message", problem)
        return write.read_written(message, decision, sent, responses, conversations.settings)

    def _linked(self, decision: Create) -> Create:
        """A new Case with the Contact that its sender is, unless it has one."""
        conversations = self._conversations
        if decision.object != "Case" or not conversations.settings.match_contacts:
            return decision
        # Most deployments do without.
        from bridge.delivery.contacts import NOBODY, SEARCH_SECONDS

        if self._match is None:
            before = self._calls.cost.calls
            # What is left has to do for the Case itself.
            enough = self._write_by.remaining() > SEARCH_SECONDS
            self._match = NOBODY
            if enough and "ContactId" not in decision.derived:
                (self._match,) = conversations.contacts.match([self._message], self._calls)
            self._last_call += self._calls.cost.calls - before
        return decision._replace(derived={**self._match.link, **decision.derived})

    def _refused(self, decision: Decision, written: write.Written, *, looked: bool) -> Outcome:
        """What becomes of a message that could not be written.

        With no call left for what a look since then shows, or might show, no refusal stands: it
        may be there by now. Deliver decides.
        """
        match written:
            case write.AlreadyLogged(task_id) if isinstance(decision, (Add, Reopen)):
                return self._logged_before(decision, task_id)
            case write.NotTaken(problem=KeyTaken()):
                taken = RowLocked("a record with this key is just being made", code=KEY_TAKEN)
                return Queued(taken)
            case write.NotTaken(what, problem) if looked:
                return self._refusal(decision, what, problem)
            case write.Logged() | write.AlreadyLogged():
                raise AssertionError(f"{written} was refused")
        return Queued(Unavailable(written.problem.message, code=written.problem.code))

    def _refusal(self, decision: Decision, what: What, problem: Refused) -> Outcome:
        """A refusal stands unless it is the org's fault: then all messages wait for a person."""
        from bridge.delivery import verdict

        conversations = self._conversations
        record = None
        if isinstance(decision, Create) and what == "record":
            record = write.new_record(self._message, decision)
        name = record.object if record else "Task"
        may_create = None
        if problem.code.startswith(verdict.ABOUT_RIGHTS):
            may_create = conversations.rights.has(name, "createable", self._calls)
        fault = verdict.no_right(problem, name, may_create)
        if record and not fault:
            context = verdict.Context.of(record.object, conversations.settings)
            fault = verdict.no_rule(problem, [record], context)
        if isinstance(fault, SalesforceProblem):
            return Queued(fault)
        return Rejected(problem, what=what)


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


def there(found: Exists, calls: Calls) -> Created:
    """The outcome of a message that is logged, or of a record that is there."""
    if found.deleted:
        return Created(None, "", new=False)
    task_id = found.task_id or ""
    record_id = found.record_id or task_id  # a person has moved the Task elsewhere
    return Created(
        Found(record_id, found.number),
        calls.record_url(record_id),
        new=False,
        object=found.object or "Task",
        task_id=task_id,
    )


def find(
    object_name: ObjectName, key: str, conversations: Conversations, calls: Calls
) -> Created | None:
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
    return there(found, calls)
