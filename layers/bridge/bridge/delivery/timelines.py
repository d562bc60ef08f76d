"""Many messages of conversations, later: look for all, decide one by one, write together.

Of each conversation the messages are decided in the order of their times, by the same rules as one
message now. Records are made by collections, then Tasks by collections of up to 200, then what
hangs on the Tasks made now: changes of their records, and comments. What needs more than that (a
Case to reopen, a Task for a Contact's owner) is written by itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bridge.conversations import write
from bridge.conversations.decide import (
    Add,
    Create,
    Decision,
    Exists,
    Look,
    Nowhere,
    Permit,
    Reopen,
)
from bridge.conversations.look import Wanted
from bridge.delivery.batch import Item, runs
from bridge.delivery.calls import Calls
from bridge.delivery.conversation import (
    KEY_TAKEN,
    Conversations,
    Logging,
)
from bridge.delivery.outcomes import Created, Queued, Rejected, metrics_of
from bridge.delivery.work import OF_ONE_OBJECT, Work, wait
from bridge.errors import (
    DuplicatesDetected,
    KeyTaken,
    OrgNotReady,
    Refused,
    RowLocked,
    SalesforceProblem,
    Unavailable,
)
from bridge.records import ObjectName, Record
from bridge.salesforce.client import TASK_KEY_FIELD
from bridge.salesforce.responses import SET_UP, Attempt

ROUNDS = 3
"""How often the messages that are undecided are looked for, decided and written."""

MOST_CREATES = 2
"""Of a conversation and object in an invocation: after a refusal one more message tries."""

CALLS_OF_ONE = 8
"""Of Salesforce for a message that is written by itself."""

COLLECTION = 200
"""Records of a call."""

VISIBLE_AFTER_SECONDS = 30
"""When a record whose key is taken can be seen by every user who may see it."""

NOT_VISIBLE = "RECORD_NOT_VISIBLE"
NOT_VISIBLE_HINT = (
    "Salesforce administrator: give the integration user View All on Lead and Case: " + SET_UP
)
NO_RECORD = "NO_RECORD"
NO_RECORD_HINT = (
    "Its lead was converted and the contact deleted, and a message that a person brings back opens "
    "no new record. Restore the contact and replay it, or delete it."
)
MOVED = "moved"
"""Outcome of a Task whose record was converted, merged or deleted meanwhile."""

Where = tuple[str, ObjectName]
"""A conversation and an object."""
Adding = tuple[Item, Add | Create, str]
"""A message, and the id of the record that it goes onto."""


@dataclass(kw_only=True)
class Timelines:
    """The messages of conversations in one invocation."""

    items: list[Item]
    conversations: Conversations
    calls: Calls
    counts: Counter[str]
    """Of metrics, by their names."""
    _looks: dict[Wanted, Look] = field(default_factory=dict)
    _refusals: Counter[Where] = field(default_factory=Counter)
    _blocked: dict[Where, SalesforceProblem | None] = field(default_factory=dict)
    """Records that could not be made: what needs them waits."""
    _by_itself: set[int] = field(default_factory=set)
    """Items that were refused for a link: the next round looks whether the record is there, and
    writes each by itself, in the end without the other links."""
    _gone: dict[str, frozenset[str]] = field(default_factory=lambda: defaultdict(frozenset))
    """By conversation, the Contacts that took no Task."""

    def run(self) -> None:
        """Decide each message. Raises what keeps the others from being decided."""
        for _ in range(ROUNDS):
            if not (undecided := _undecided(self.items)):
                return
            self._look(undecided)
            self._round(undecided)
        wait(self.items, Unavailable("the conversation changes again and again", code="BUSY"))

    # Look

    def _look(self, items: Sequence[Item]) -> None:
        """Look for all messages together."""
        requested = {item.envelope.message.requested for item in items}
        self._looks = self.conversations.look_many(
            {_wanted(item) for item in items},
            self.calls,
            requested=next(iter(requested)) if len(requested) == 1 else None,
        )

    # Decide

    def _decide(self, item: Item) -> Decision:
        message = item.envelope.message
        look, gone = self._looks[_wanted(item)], self._gone[message.conversation]
        return self.conversations.decide(message, look, _permit(item), gone=gone)

    def _round(self, items: Sequence[Item]) -> None:
        """Decide what can be decided by one look, and write it."""
        adds: list[Adding] = []
        creates: dict[Where, tuple[Item, Create]] = {}
        followers: list[tuple[Item, Where]] = []
        alone: list[Item] = []
        for messages in _by_conversation(items):
            for item in messages:
                decision = self._decide(item)
                if self._is_special(item, decision):
                    alone.append(item)
                    break  # where the next ones go is seen after this one
                match decision:
                    case Exists(deleted=deleted):
                        item.settle("deleted" if deleted else "exists")
                    case Nowhere():
                        _settle_nowhere(item)
                    case Add():
                        adds.append((item, decision, decision.record_id))
                    case Create():
                        where = _place_of(item, decision, creates)
                        if where in self._blocked:
                            item.settle("delayed", self._blocked[where])
                        elif creates.setdefault(where, (item, decision))[0] is not item:
                            followers.append((item, where))
        made: dict[Where, str] = {}
        try:
            self._create("Lead", creates, made)
            self._create("Case", creates, made)
        except SalesforceProblem:  # a crash must not leave the records bare that are there
            self._add([(*creates[where], record_id) for where, record_id in made.items()])
            raise
        adds += [(*creates[where], record_id) for where, record_id in made.items()]
        for item, where in followers:
            if where in made:
                first, decision = creates[where]
                add = _add_to(made[where], decision, first.envelope.message.sent_at)
                adds.append((item, add, made[where]))
            elif where in self._blocked and item.envelope.message.requested:
                item.settle("delayed", self._blocked[where])
        self._add(adds)
        for item in alone:
            self._log_alone(item)

    def _is_special(self, item: Item, decision: Decision) -> bool:
        """Whether a message is written by itself."""
        if not isinstance(decision, (Add, Create)):
            return isinstance(decision, Reopen)
        if id(item) in self._by_itself and write.other_links(decision):
            return True
        return isinstance(decision, Add) and (decision.for_owner or decision.adopted)

    def _log_alone(self, item: Item) -> None:
        """Write one message by itself."""
        logging = Logging(
            item.envelope.message,
            self.conversations,
            self.calls,
            write_by=self.calls.deadline(),
            permit=_permit(item),
            most_calls=CALLS_OF_ONE,
            look=self._looks[_wanted(item)],
        )
        match logging.run():
            case None:
                _settle_nowhere(item)
            case Created(not_logged=None) as created:
                item.settle(created.name if created.found else "deleted")
                self.counts.update(metrics_of(created))
            case Queued(problem):
                item.settle("delayed", problem)
            case Rejected(refusal, what=what):
                item.settle("rejected", refusal)
                item.what = what

    # Write

    def _create(
        self,
        name: ObjectName,
        creates: Mapping[Where, tuple[Item, Create]],
        made: dict[Where, str],
    ) -> None:
        """Make the records of one object, and put their ids into `made`."""
        pieces = {
            where: self._piece(item, self._record(item, decision))
            for where, (item, decision) in creates.items()
            if decision.object == name
        }
        if name == "Case" and pieces and self.conversations.settings.match_contacts:
            self.conversations.contacts.link(pieces.values(), self.calls)
        failure = self._send(list(pieces.values()))
        for where, piece in pieces.items():
            item, decision = creates[where]
            if piece.outcome == "created":
                made[where] = piece.made
                self.counts["Successors"] += decision.is_successor
            elif piece.outcome == "rejected":
                self._refused(where, item, decision, piece.problem)
            elif piece.outcome != "exists":
                self._block(where, item, piece.problem or failure)
        if failure is not None and failure.code not in OF_ONE_OBJECT:
            raise failure

    def _refused(
        self, where: Where, item: Item, decision: Create, problem: SalesforceProblem | None
    ) -> None:
        """Decide a message whose record is refused. One more message of the conversation tries;
        then the others wait."""
        if write.predecessor_is_gone(problem, item.envelope.message, decision):
            self._by_itself.add(id(item))
            return
        attach = self.conversations.settings.attach_duplicates
        if attach and isinstance(problem, DuplicatesDetected):
            # A collection does not name the record that it matches: alone it is named.
            self._log_alone(item)
        else:
            item.settle("rejected", problem)
        if item.outcome == "rejected":
            self._refusals[where] += 1
            if self._refusals[where] >= MOST_CREATES:
                self._block(where, item, item.problem)

    def _block(self, where: Where, item: Item, problem: SalesforceProblem | None) -> None:
        item.settle("delayed", problem)
        self._blocked[where] = problem

    def _record(self, item: Item, decision: Create) -> Record:
        message, settings = item.envelope.message, self.conversations.settings
        record = write.new_record(message, decision)
        fields = write.record_fields(message, record, settings)
        del fields[settings.external_id_field]
        return replace(record, fields=fields)

    def _add(self, adds: list[Adding]) -> None:
        """Log messages on records that are there, then what hangs on that."""
        adds.sort(key=lambda add: (add[2], add[0].envelope.message.sent_at))
        pieces = [
            self._piece(item, _task(item, decision, record_id))
            for item, decision, record_id in adds
        ]
        failure = self._send(pieces)
        logged = []
        for (item, decision, record_id), piece in zip(adds, pieces, strict=True):
            if piece.outcome == "created":
                item.settle("created" if isinstance(decision, Create) else "added")
                self.counts["MessagesLogged"] += 1
                if isinstance(decision, Add):
                    logged.append((item, decision))
            elif piece.outcome == MOVED:
                self._gone[item.envelope.message.conversation] |= {record_id}
                if isinstance(decision, Add) and write.other_links(decision):
                    self._by_itself.add(id(item))
            elif piece.outcome or failure is not None:
                item.settle(piece.outcome or "delayed", piece.problem or failure)
                item.what = "message"
                self.counts["MessagesNotLogged"] += item.outcome == "rejected"
        if failure is not None:
            raise failure
        self._touch(logged)

    def _touch(self, logged: Sequence[tuple[Item, Add]]) -> None:
        """Change the records that got a customer's message, each once; and comment on Cases."""
        settings = self.conversations.settings
        changes: dict[str, tuple[str, dict[str, Any]]] = {}
        comments: list[tuple[str, dict[str, Any]]] = []
        for item, add in logged:  # the last one of a record is the newest
            message, on = item.envelope.message, add.record_object
            if message.from_us or on == "Contact":
                continue
            changed = write.record_changes(message, add, settings)
            changes[add.record_id] = on, {"id": add.record_id, **changed} if changed else {}
            if on == "Case" and settings.case_comments:
                comment = {"ParentId": add.record_id, **write.comment_fields(message)}
                comments.append(("CaseComment", comment))
        some = [change for change in changes.values() if change[1]]
        self._save("PATCH", sorted(some, key=lambda change: change[0]))
        self._save("POST", comments)

    def _save(self, method: str, records: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Save what hangs on Tasks that are made: its trouble takes no message back."""
        problems = []
        try:
            for some in runs(records, most=COLLECTION):
                sent = self.calls.make(self.calls.salesforce.save_many, method, some)
                problems += [problem for problem in sent if problem is not None]
        except SalesforceProblem as problem:
            problems.append(problem)
        for code in sorted({problem.code for problem in problems}):
            self.conversations.telemetry.warn("not_done_beside", code=code)

    def _piece(self, item: Item, sent: Record) -> Item:
        return Item(item.envelope, item.messages, sent=sent)

    def _send(self, pieces: list[Item]) -> SalesforceProblem | None:
        """Send pieces; gives the problem that kept some of them from being decided."""
        try:
            if pieces:
                Pieces(items=pieces, calls=self.calls, conversations=self.conversations).run()
        except SalesforceProblem as problem:
            return problem
        return None


class Pieces(Work):
    """Records or Tasks of conversations."""

    def _look_first(self) -> None:
        """Nothing: the look has shown what is there."""

    def _decide_call(self, refusal: Refused, items: list[Item]) -> None:
        if missing := write.field_missing([refusal]):
            self._wait_for_a_person(missing)
        else:
            super()._decide_call(refusal, items)

    def _decide(self, item: Item, attempt: Attempt, *, alone: bool = True) -> bool:
        problem = attempt.problem
        if isinstance(problem, Refused):
            if missing := write.field_missing([problem]):
                self._wait_for_a_person(missing)
            elif self.object == "Task" and problem.code in write.GONE:
                item.settle(MOVED, problem)  # its record is looked for again
            elif isinstance(problem, KeyTaken) and attempt.found is False and self.object != "Task":
                item.settle("delayed", _not_visible(item))
        return super()._decide(item, attempt, alone=alone)


def _not_visible(item: Item) -> SalesforceProblem:
    """A key that is taken by a record which cannot be seen needs a person after a while."""
    if item.age_seconds < VISIBLE_AFTER_SECONDS:
        return RowLocked("a record with this key is just being made", code=KEY_TAKEN)
    return OrgNotReady(
        "a record of this conversation is there, and the integration user cannot see it",
        code=NOT_VISIBLE,
        hint=NOT_VISIBLE_HINT,
    )


def _place_of(item: Item, decision: Create, creates: Container[Where]) -> Where:
    """Where a message goes that finds no record: a request that leaves the object open, to the one
    that an earlier message of the conversation makes."""
    message = item.envelope.message
    names: tuple[ObjectName, ...] = ("Case", "Lead") if message.requested is None else ()
    wheres = ((message.conversation, name) for name in names)
    return next(
        (where for where in wheres if where in creates), (message.conversation, decision.object)
    )


def _add_to(record_id: str, decision: Create, last_message: datetime) -> Add:
    """Log a message on a record that was made for another one a moment ago."""
    name = decision.object
    return Add(
        object=name,
        record_object=name,
        record_id=record_id,
        who_id=record_id if name == "Lead" else None,
        what_id=record_id if name == "Case" else None,
        last_message=last_message,
        status_may_change=name == "Case",
    )


def _task(item: Item, decision: Add | Create, record_id: str) -> Record:
    """The Task that logs a message on a record that is there."""
    fields = write.task_fields(item.envelope.message, decision)
    if isinstance(decision, Create):
        fields["WhoId" if decision.object == "Lead" else "WhatId"] = record_id
    key = fields.pop(TASK_KEY_FIELD)
    return Record(object="Task", key=key, fields=fields, derived=frozenset(fields) - write.FIXED)


def _settle_nowhere(item: Item) -> None:
    """A reply of our own side is of no use without a record; a customer's message is kept."""
    if item.envelope.message.from_us:
        item.settle("ignored")
        return
    item.what = "message"
    problem = Refused(
        "the conversation has no record any more", code=NO_RECORD, hint=NO_RECORD_HINT
    )
    item.settle("rejected", problem)


def _permit(item: Item) -> Permit:
    """A message whose Task was refused opens nothing when a person brings it back."""
    envelope = item.envelope
    refused_task = envelope.replayed > 0 and envelope.refused_what == "message"
    return Permit.NO_SUCCESSOR if refused_task else Permit.ANYTHING


def _wanted(item: Item) -> Wanted:
    message = item.envelope.message
    return Wanted(message.conversation, message.key)


def _undecided(items: Iterable[Item]) -> list[Item]:
    return [item for item in items if not item.outcome]


def _by_conversation(items: Iterable[Item]) -> list[list[Item]]:
    """The messages of each conversation, in the order of their times."""
    found: dict[str, list[Item]] = defaultdict(list)
    for item in sorted(items, key=lambda one: (one.envelope.message.sent_at, one.envelope.key)):
        found[item.envelope.message.conversation].append(item)
    return list(found.values())
