"""The records of one object in one invocation of Deliver, up to 200 a call.

Each record is judged by itself. A refusal of a whole call, and a trigger's or flow's refusal in a
call of more than one, decides nothing: the records are sent again in smaller calls, down to single
records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.conversations.keys import task_key
from bridge.delivery import mail, verdict
from bridge.delivery.batch import Item, calls_of, in_two
from bridge.delivery.calls import Calls
from bridge.delivery.conversation import Conversations
from bridge.errors import Refused, SalesforceProblem, Unavailable
from bridge.records import SObject
from bridge.salesforce.responses import Attempt, Found, LookUp
from bridge.telemetry import tell_dropped

LOOK_UP_SECONDS = 5.0
"""Reserved for the look-up of what was refused: without it nothing is decided."""

LOOK_FIRST_SECONDS = 600
"""A message older than this may be of a record that was made, then merged or deleted."""

OF_ONE_OBJECT = frozenset({"INVALID_TYPE", "KEY_FIELD_MISSING"})
"""What is wrong with Leads need not be wrong with Cases: these codes stop their own object only."""

INTERNAL_ERRORS = frozenset({"UNKNOWN_EXCEPTION", "APEX_ERROR"})
"""Codes of a whole call that one of its records may be the reason of."""

ENOUGH_IN_A_ROW = 4
"""After so many records that failed alone, one after the other, the next ones may as well: those
of a refused call are sent alone at once, and an internal error is no longer searched for."""


@dataclass(kw_only=True)
class Work:
    """The records of one object in one invocation: a list of calls, and what was refused so far."""

    items: list[Item]
    calls: Calls
    conversations: Conversations
    context: verdict.Context = field(init=False)
    unsent: list[Item] = field(default_factory=list)
    """To be put into calls."""
    to_send: deque[list[Item]] = field(default_factory=deque)
    """Calls to make, the next one first."""
    refused: list[tuple[Item, Attempt]] = field(default_factory=list)
    """Refused, and not decided before a look-up by key."""
    failed_alone: int = 0
    """How many records in a row were sent alone and not made."""

    def __post_init__(self) -> None:
        self.context = verdict.Context.of(self.object, self.conversations.settings)

    @property
    def object(self) -> SObject:
        return self.items[0].record.object

    def run(self) -> None:
        """Send each record until it is decided. Raises what keeps the others from being sent."""
        self._look_first()
        self.unsent = [item for item in self.items if not item.outcome]
        while self.unsent or self.refused:
            self.to_send.extend(calls_of(self.unsent, self.calls.salesforce.encode))
            self.unsent = []
            try:
                while self.to_send:
                    self._send(self.to_send.popleft())
            except SalesforceProblem:
                self._decide_refused()  # what was refused before this can be decided
                raise
            self._decide_refused()

    def _look_first(self) -> None:
        """Look up everything old or replayed, and do not bring a deleted record back; and what may
        be logged on a conversation's record."""
        if not self.context.has_key:
            return
        # A mail may be logged by a Task, and need no record of its own (docs/adr/0048).
        has_tasks = self.conversations.settings.conversations
        heads = [item for item in self.items if has_tasks and mail.lacks_text(item.record)]
        keys = {task_key(item.envelope.object_name, item.record.key): item for item in heads}
        if keys:
            find_many = self.calls.salesforce.find_many
            tasks = self.calls.make(find_many, "Task", [*keys])
            for key, task in tasks.items():
                keys[key].settle("deleted" if task.deleted else "exists")
        old = [
            item
            for item in self.items
            if item.age_seconds > LOOK_FIRST_SECONDS or item.envelope.was_rejected
        ]
        found = self._look_up(old)
        for item in old:
            if there := found.get(item.record.key):
                if there.deleted:
                    item.settle("deleted")
                else:
                    self._settle_there(item, there)

    def _send(self, items: list[Item]) -> None:
        """Send what is still undecided of these in one call, and decide each by its result."""
        items = [item for item in items if not item.outcome]
        if not items:
            return
        alone = len(items) == 1
        records = [item.record for item in items]
        entries = [item.entry for item in items]
        try:
            by = self.calls.deadline(reserved=LOOK_UP_SECONDS) if self.refused else None
            attempts = self.calls.make(self.calls.salesforce.create_many, records, entries, by=by)
        except Unavailable as problem:
            if problem.code not in INTERNAL_ERRORS:
                raise
            if alone or self.failed_alone >= ENOUGH_IN_A_ROW:
                self.failed_alone += alone
                wait(items, problem)
            else:
                self._send_fewer(items)
            return
        except Refused as refusal:
            if not alone:
                self._decide_call(refusal, items)
                return
            attempts = [Attempt(problem=refusal)]
        made = any(attempt.created for attempt in attempts)
        self.failed_alone = 0 if made else self.failed_alone + alone
        if made and not records[0].has_owner:
            self.context = replace(self.context, rule_works=True)
        results = list(zip(items, attempts, strict=True))
        for item, attempt in results:
            if attempt.created:
                item.made = attempt.created.id
                item.settle("created")
        self._send_fewer([i for i, attempt in results if self._decide(i, attempt, alone=alone)])
        if alone and self.failed_alone == 1:
            self._decide_refused()  # if the org is at fault, the others need not be sent

    def _send_fewer(self, items: list[Item]) -> None:
        """Send these next in two calls; each alone, if so many failed alone that all may."""
        calls = in_two(items)
        if self.failed_alone >= ENOUGH_IN_A_ROW:
            calls = [[item] for item in items]
        self.to_send.extendleft(reversed(calls))

    def _decide_call(self, refusal: Refused, items: list[Item]) -> None:
        """Decide what to do with the records of a call that was refused as a whole."""
        records = [item.record for item in items]
        while True:
            match verdict.verdict_on_call(refusal, records, self.context):
                case verdict.Undecided.ASK_RIGHTS:
                    self._ask_rights()
                case SalesforceProblem() as problem:
                    return self._wait_for_a_person(problem)
                case _:
                    return self._send_fewer(items)

    def _decide(self, item: Item, attempt: Attempt, *, alone: bool = True) -> bool:
        """Decide one record by its result. True: it has to be sent again in a smaller call."""
        while not item.outcome:
            context = replace(self.context, alone=alone, stripped=item.stripped)
            match verdict.verdict_on(attempt, item.record, context):
                case Found() as found:
                    self._settle_there(item, found)
                case Refused() as problem:
                    item.settle("rejected", problem)
                case SalesforceProblem(code=verdict.NO_RIGHT | verdict.NO_RULE) as problem:
                    self._wait_for_a_person(problem)
                case SalesforceProblem() as problem:
                    item.settle("delayed", problem)
                case verdict.Undecided.LOOK_UP:
                    self.refused.append((item, attempt))
                case frozenset() as names:
                    tell_dropped(self.conversations.telemetry, item.record.object, names)
                    item.leave_out(names)
                    self.unsent.append(item)
                case verdict.Undecided.ASK_RIGHTS:
                    self._ask_rights()
                    continue
                case verdict.Undecided.SEND_FEWER:
                    return True
            break
        return False

    def _settle_there(self, item: Item, there: Found) -> None:
        """The record was there before; that of a mail gets its text, if it was made without."""
        try:
            mail.add_text(item.record, there.id, self.calls)
        except Refused as refusal:
            item.settle("rejected", refusal)
        item.settle("exists")

    def _decide_refused(self) -> None:
        """Look up all that was refused in one call, and decide it."""
        refused = [(item, attempt) for item, attempt in self.refused if not item.outcome]
        self.refused = []
        found: Mapping[str, Found] = {}
        failure: Unavailable | None = None
        try:
            found = self._look_up([item for item, _ in refused])
        except Unavailable as problem:
            failure = problem
        # Those without ids first: by them it is known whether the assignment rule is at fault.
        for item, attempt in sorted(refused, key=lambda pair: pair[0].record.may_hold_ids):
            look_up: LookUp = failure or found.get(item.record.key, False)
            self._decide(item, attempt._replace(found=look_up))
        if failure is not None:
            raise failure

    def _look_up(self, items: Sequence[Item]) -> Mapping[str, Found]:
        """Those of these records that are in Salesforce, deleted ones too, by key."""
        keys = [item.record.key for item in items]
        if not keys:
            return {}
        return self.calls.make(self.calls.salesforce.find_many, self.object, keys)

    def _ask_rights(self) -> None:
        may_create = self.conversations.rights.has(self.object, "createable", self.calls)
        self.context = replace(self.context, may_create=may_create)

    def _wait_for_a_person(self, problem: SalesforceProblem) -> None:
        """Let all records wait that would be refused for the same reason.

        Records with an owner of their own are sent without the assignment rule.
        """
        everybody = problem.code != verdict.NO_RULE
        wait([i for i in self.items if everybody or not i.record.has_owner], problem)


def wait(items: Iterable[Item], problem: SalesforceProblem) -> None:
    """Let what is undecided wait, for this reason."""
    for item in items:
        item.settle("delayed", problem)
