"""Many messages of conversations, later: look for all, decide one by one, write together.

Of each conversation the messages are decided in the order of their times, by the same rules as one
message now. Records are made by collections, then Tasks by collections of up to 200, then what
hangs on the Tasks made now: changes of their records, and comments. What needs more than that (a
Case to reopen, a Task for a Contact's owner) is written by itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bridge.conversations.decide import (
    Add,
    CaseRow,
    Create,
    Decision,
    Exists,
    Follow,
    LeadRow,
    Look,
    Nowhere,
    Permit,
    Reopen,
)
from bridge.conversations.look import Wanted
from bridge.conversations.write import (
    FIXED,
    GONE,
    comment_fields,
    field_missing,
    new_record,
    other_links,
    predecessor_is_gone,
    record_changes,
    record_fields,
    task_fields,
)
from bridge.delivery import verdict
from bridge.delivery.batch import Item
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
from bridge.salesforce.responses import SET_UP, Attempt, Found

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


@dataclass(kw_only=True)
class Timelines:
    """The messages of conversations in one invocation."""

    items: list[Item]
    conversations: Conversations
    calls: Calls
    counts: Counter[str] = field(default_factory=Counter)
    """Of metrics, by their names."""
    _looks: dict[Wanted, Look] = field(default_factory=dict)
    _creates: Counter[Where] = field(default_factory=Counter)
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
            self._follow(undecided)
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

    def _follow(self, items: Sequence[Item]) -> None:
        """Read the Cases that conversations were merged into."""
        decisions = [(_wanted(item), self._decide(item)) for item in items]
        followed = {at: d.case_id for at, d in decisions if isinstance(d, Follow)}
        ids = sorted(set(followed.values()))
        cases: dict[str, CaseRow | None] = {}
        for start in range(0, len(ids), COLLECTION):
            some = ids[start : start + COLLECTION]
            cases |= self.conversations.read_cases(some, self.calls)
        for at, case_id in followed.items():
            self._looks[at] = self._looks[at]._replace(homes={case_id: cases[case_id]})

    # Decide

    def _decide(self, item: Item) -> Decision:
        message = item.envelope.message
        look, gone = self._looks[_wanted(item)], self._gone[message.conversation]
        return self.conversations.decide(message, look, _permit(item), gone=gone)

    def _round(self, items: Sequence[Item]) -> None:
        """Decide what can be decided by one look, and write it."""
        adds: list[tuple[Item, Add | Create, str]] = []
        creates: dict[Where, tuple[Item, Create]] = {}
        after_create: list[Item] = []
        alone: list[Item] = []
        for messages in _by_conversation(items):
            for item in messages:
                decision = self._decide(item)
                if self._is_special(item, decision):
                    alone.append(item)
                    break  # where the next ones go is seen after this one
                if isinstance(decision, Create):
                    where = (item.envelope.message.conversation, decision.object)
                    creates.setdefault(where, (item, decision))
                    after_create.append(item)
                else:
                    self._settle_or_add(item, decision, adds)
        for item, create, record_id in self._create(creates):
            adds.append((item, create, record_id))
        written = {id(item) for item, _, _ in adds}
        for item in after_create:
            if id(item) not in written and not item.outcome:
                decision = self._decide(item)
                if isinstance(decision, Add) and not self._is_special(item, decision):
                    self._settle_or_add(item, decision, adds)
        self._add(adds)
        for item in alone:
            self._log_alone(item)

    def _is_special(self, item: Item, decision: Decision) -> bool:
        """Whether a message is written by itself."""
        if not isinstance(decision, (Add, Create)):
            return isinstance(decision, Reopen)
        if id(item) in self._by_itself and other_links(decision):
            return True
        return isinstance(decision, Add) and (decision.for_owner or decision.adopted)

    def _settle_or_add(
        self, item: Item, decision: Decision, adds: list[tuple[Item, Add | Create, str]]
    ) -> None:
        match decision:
            case Exists(deleted=deleted):
                item.settle("deleted" if deleted else "exists")
            case Nowhere():
                _settle_nowhere(item)
            case Add():
                adds.append((item, decision, decision.record_id))

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
        self, creates: dict[Where, tuple[Item, Create]]
    ) -> Iterable[tuple[Item, Create, str]]:
        """Make records, and show them to the messages that go onto them."""
        made = []
        for name in ("Lead", "Case"):
            some = {at: pair for at, pair in creates.items() if at[1] == name}
            if name == "Case" and some and self.conversations.settings.match_contacts:
                self._link(some)
            pieces = {
                at: self._piece(item, self._record(item, d)) for at, (item, d) in some.items()
            }
            failure = self._work(Creates, list(pieces.values()))
            for (conversation, object_name), piece in pieces.items():
                item, decision = some[conversation, object_name]
                if piece.outcome == "created" and piece.found:
                    self._show(item, decision, piece.found)
                    self.counts["Successors"] += decision.is_successor
                    made.append((item, decision, piece.found.id))
                elif piece.outcome == "rejected" and predecessor_is_gone(
                    piece.problem, item.envelope.message, decision
                ):
                    self._by_itself.add(id(item))
                elif piece.outcome == "rejected" and self._may_attach(piece.problem):
                    # A collection does not name the record that it matches: alone it is named.
                    self._log_alone(item)
                    if item.outcome == "rejected":
                        self._wait_after_refusal(conversation, object_name, item.problem)
                elif piece.outcome == "rejected":
                    item.settle("rejected", piece.problem)
                    self._wait_after_refusal(conversation, object_name, piece.problem)
                elif piece.outcome != "exists":
                    self._wait_for(conversation, object_name, piece.problem or failure)
            if failure is not None and failure.code not in OF_ONE_OBJECT:
                self._add([*made])  # those records are there, and a crash must not leave them bare
                raise failure
        return made

    def _may_attach(self, problem: SalesforceProblem | None) -> bool:
        settings = self.conversations.settings
        return settings.attach_duplicates and isinstance(problem, DuplicatesDetected)

    def _wait_after_refusal(
        self, conversation: str, object_name: ObjectName, problem: SalesforceProblem | None
    ) -> None:
        """After a refusal one more message of the conversation tries; then the others wait."""
        self._creates[conversation, object_name] += 1
        if self._creates[conversation, object_name] >= MOST_CREATES:
            self._wait_for(conversation, object_name, problem)

    def _link(self, creates: dict[Where, tuple[Item, Create]]) -> None:
        """Link new Cases to the Contacts that their senders are."""
        unlinked = {at: pair for at, pair in creates.items() if "ContactId" not in pair[1].derived}
        messages = [item.envelope.message for item, _ in unlinked.values()]
        matches = self.conversations.contacts.match(messages, self.calls)
        for (at, (item, decision)), match in zip(unlinked.items(), matches, strict=True):
            derived = {**match.link, **decision.derived}
            creates[at] = item, decision._replace(derived=derived)

    def _record(self, item: Item, decision: Create) -> Record:
        message, settings = item.envelope.message, self.conversations.settings
        record = new_record(message, decision)
        fields = record_fields(message, record, settings)
        del fields[settings.external_id_field]
        return replace(record, fields=fields)

    def _show(self, item: Item, decision: Create, found: Found) -> None:
        """Put a record that was made into what the look found of its conversation."""
        message = item.envelope.message
        row: dict[str, Any] = {
            "id": found.id,
            "key": decision.key,
            "conversation": message.conversation,
            "created": datetime.now(UTC),
            "last_message": message.sent_at,
        }
        for wanted, look in self._looks.items():
            if wanted.conversation != message.conversation:
                continue
            if decision.object == "Lead":
                self._looks[wanted] = look._replace(leads=(LeadRow(**row), *look.leads))
            else:
                self._looks[wanted] = look._replace(cases=(CaseRow(**row), *look.cases))

    def _wait_for(
        self, conversation: str, object_name: ObjectName, problem: SalesforceProblem | None
    ) -> None:
        """Let the messages of a conversation wait that need a record which could not be made."""
        for item in _undecided(self.items):
            if item.envelope.message.conversation == conversation:
                decision = self._decide(item)
                if isinstance(decision, Create) and decision.object == object_name:
                    item.settle("delayed", problem)

    def _add(self, adds: list[tuple[Item, Add | Create, str]]) -> None:
        """Log messages on records that are there, then what hangs on that."""
        adds.sort(key=lambda add: (add[2], add[0].envelope.message.sent_at))
        pieces = [
            self._piece(item, _task(item, decision, record_id))
            for item, decision, record_id in adds
        ]
        failure = self._work(Tasks, pieces)
        logged = []
        for (item, decision, record_id), piece in zip(adds, pieces, strict=True):
            if piece.outcome == "created":
                item.settle("created" if isinstance(decision, Create) else "added")
                self.counts["MessagesLogged"] += 1
                if isinstance(decision, Add):
                    logged.append((item, decision))
            elif piece.outcome == MOVED:
                self._gone[item.envelope.message.conversation] |= {record_id}
                if isinstance(decision, Add) and other_links(decision):
                    self._by_itself.add(id(item))
            elif piece.outcome or failure is not None:
                item.settle(piece.outcome or "delayed", piece.problem or failure)
                item.what = "message"
                self.counts["MessagesNotLogged"] += item.outcome == "rejected"
        if failure is not None:
            raise failure
        self._touch(logged)
        self._comment(logged)

    def _touch(self, logged: Sequence[tuple[Item, Add]]) -> None:
        """Change the records that got a message, each once."""
        latest: dict[str, tuple[Item, Add]] = {}
        for item, decision in logged:
            if decision.record_object != "Contact" and not item.envelope.message.from_us:
                latest[decision.record_id] = item, decision  # the last one is the newest
        changes = []
        for item, decision in latest.values():
            changed = record_changes(item.envelope.message, decision, self.conversations.settings)
            if changed:
                record = {"id": decision.record_id, **changed}
                changes.append((decision.record_object, record))
        self._save("PATCH", sorted(changes, key=lambda change: change[0]))

    def _comment(self, logged: Sequence[tuple[Item, Add]]) -> None:
        if self.conversations.settings.case_comments:
            comments = [
                (
                    "CaseComment",
                    {"ParentId": add.record_id, **comment_fields(item.envelope.message)},
                )
                for item, add in logged
                if add.record_object == "Case" and not item.envelope.message.from_us
            ]
            self._save("POST", comments)

    def _save(self, method: str, records: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Save what hangs on Tasks that are made: its trouble takes no message back."""
        problems = []
        try:
            for start in range(0, len(records), COLLECTION):
                some = records[start : start + COLLECTION]
                sent = self.calls.make(self.calls.salesforce.save_many, method, some)
                problems += [problem for problem in sent if problem is not None]
        except SalesforceProblem as problem:
            problems.append(problem)
        for code in sorted({problem.code for problem in problems}):
            self.conversations.telemetry.warn("not_done_beside", code=code)

    def _piece(self, item: Item, sent: Record) -> Item:
        return Item(item.envelope, item.messages, sent=sent)

    def _work(self, kind: type[Creates | Tasks], pieces: list[Item]) -> SalesforceProblem | None:
        """Send pieces; gives the problem that kept some of them from being decided."""
        if not pieces:
            return None
        conversations, name = self.conversations, pieces[0].record.object
        work = kind(
            items=pieces,
            calls=self.calls,
            rights=conversations.rights,
            telemetry=conversations.telemetry,
            context=verdict.Context(
                has_key=True,
                assignment="off" if name == "Task" else conversations.settings.assignment(name),
            ),
        )
        try:
            work.run()
        except SalesforceProblem as problem:
            return problem
        return None


class OfConversations(Work):
    """Records and Tasks of conversations, which were looked for before."""

    def _look_first(self) -> None:
        """Nothing: the look has shown what is there."""

    def _decide_call(self, refusal: Refused, items: list[Item]) -> None:
        if missing := field_missing([refusal]):
            self._wait_for_a_person(missing)
        else:
            super()._decide_call(refusal, items)

    def _decide(self, item: Item, attempt: Attempt, *, alone: bool = True) -> bool:
        if isinstance(attempt.problem, Refused):
            if missing := field_missing([attempt.problem]):
                self._wait_for_a_person(missing)
                return False
            if problem := self._not_this_one(item, attempt):
                item.settle(*problem)
                return False
        return super()._decide(item, attempt, alone=alone)

    def _not_this_one(self, item: Item, attempt: Attempt) -> tuple[str, SalesforceProblem] | None:
        """What is decided in another way than for a record outside conversations."""
        raise NotImplementedError


class Creates(OfConversations):
    """New records of one object."""

    def _not_this_one(self, item: Item, attempt: Attempt) -> tuple[str, SalesforceProblem] | None:
        """A key that is taken by a record which cannot be seen needs a person after a while."""
        if not (isinstance(attempt.problem, KeyTaken) and attempt.found is False):
            return None
        if item.age_seconds < VISIBLE_AFTER_SECONDS:
            return "delayed", RowLocked("a record with this key is just being made", code=KEY_TAKEN)
        return "delayed", OrgNotReady(
            "a record of this conversation is there, and the integration user cannot see it",
            code=NOT_VISIBLE,
            hint=NOT_VISIBLE_HINT,
        )


class Tasks(OfConversations):
    """New Tasks."""

    def _not_this_one(self, item: Item, attempt: Attempt) -> tuple[str, SalesforceProblem] | None:
        """A record that is gone is looked for again."""
        problem = attempt.problem
        if problem is not None and problem.code in GONE:
            return MOVED, problem
        return None


def _task(item: Item, decision: Add | Create, record_id: str) -> Record:
    """The Task that logs a message on a record that is there."""
    fields = task_fields(item.envelope.message, decision)
    if isinstance(decision, Create):
        fields["WhoId" if decision.object == "Lead" else "WhatId"] = record_id
    key = fields.pop(TASK_KEY_FIELD)
    return Record(object="Task", key=key, fields=fields, derived=frozenset(fields) - FIXED)


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
