"""Updates that waited, many in a call: the latest value of each field, and never over a person's.

Where somebody else has changed a record since an update was accepted, only blank fields are filled;
those that differ go to Rejected, and a person decides (`rejected replay --force`). Salesforce tells
the last change of a record only, so a later change of our own may hide a person's. It counts as a
person's unless this process made it and saw the record right before. Source of the rules: ADR 0083.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.conversations.enrich import (
    CONVERTED,
    GONE,
    NO_RECORD,
    NO_RECORD_HINT,
    Target,
    as_object,
    change_part,
    no_such_record,
    target_of,
)
from bridge.conversations.look import Wanted
from bridge.conversations.message import read_moment
from bridge.conversations.write import problem_of
from bridge.delivery.batch import Item, runs
from bridge.delivery.calls import Calls
from bridge.delivery.conversation import Conversations
from bridge.delivery.update import raise_no_right
from bridge.delivery.verdict import ABOUT_LIMITS_OF_A_CALL
from bridge.delivery.work import wait
from bridge.errors import NoSuchRecord, OrgNotReady, Refused, SalesforceProblem, Unavailable
from bridge.records import Record
from bridge.salesforce.composite import Part
from bridge.salesforce.responses import derived_at_fault
from bridge.salesforce.session import read_id
from bridge.telemetry import tell_dropped

NOT_THERE_SECONDS = 24 * 3600
"""After Salesforce has said for so long that there is no record, an update is rejected."""

CHANGED_MEANWHILE = "CHANGED_MEANWHILE"
CHANGED_HINT = (
    "Somebody has changed the record since. To write these values over theirs: bird-salesforce "
    "rejected replay --force. To keep theirs: bird-salesforce rejected drop."
)
CONVERTED_HINT = "The lead is a contact now (existingId): enter the values there, and drop this."

LOOKS = 3
"""After so many receives a Lead that is converted is taken to be so, whatever the look shows."""

AT_ONCE = 25
"""Requests of one composite."""

OWN_SECONDS = 2.0
"""How far the org's clock and ours may be apart for a change to be taken for our own."""

MOST_REMEMBERED = 10_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record as it is before it is changed."""

    modified: datetime
    modified_by: str
    created: datetime


@dataclass(frozen=True)
class _Own:
    """A change that this process has made, and when somebody else had changed the record before."""

    begun: datetime
    ended: datetime
    others: datetime | None


@dataclass
class OwnChanges:
    """The records that this process has changed lately."""

    user_id: str | None = None
    """The integration user's, where its session does not tell it; None: not read yet."""
    _known: dict[str, _Own] = field(default_factory=dict)

    def others_since(self, record_id: str, row: Row, accepted: datetime, user_id: str) -> bool:
        """Whether somebody else may have changed a record after an update was accepted.

        Salesforce's times are in whole seconds: one of the same second counts as after, but where
        the change is our own.
        """
        second = accepted.replace(microsecond=0)
        if row.modified < second:
            return False
        if not user_id or row.modified_by != user_id:
            return True
        if row.modified <= accepted or row.modified == row.created:
            return False
        own = self._known.get(record_id)
        if own is None or not own.begun <= row.modified <= own.ended:
            return True
        return own.others is not None and own.others >= second

    def remember(self, record_id: str, row: Row, begun: datetime) -> None:
        """This process has changed a record that was like this right before."""
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        before = self._known.get(record_id)
        others = before.others if before else None
        known = before is not None and before.begun <= row.modified <= before.ended
        if not known and row.modified != row.created:
            others = row.modified
        slack = timedelta(seconds=OWN_SECONDS)
        self._known[record_id] = _Own(begun - slack, datetime.now(UTC) + slack, others)


@dataclass(eq=False)
class Change:
    """What is written to one record, for one update or several."""

    record_id: str
    row: Row
    values: Mapping[str, Any]
    """What it has now, by lower-case names."""
    items: list[Item]
    """By the time when they were accepted."""

    @property
    def record(self) -> Record:
        """Of each field the value that was accepted last."""
        latest: dict[str, tuple[str, Any]] = {}
        for item in self.items:
            for name, value in item.record.fields.items():
                latest[name.lower()] = name, value
        return replace(self.items[0].record, fields=dict(latest.values()))


@dataclass(kw_only=True)
class Updates:
    """The updates of one invocation."""

    items: list[Item]
    conversations: Conversations
    calls: Calls
    own: OwnChanges
    _disputed: dict[int, Record] = field(default_factory=dict)
    """By item, the fields that somebody else has given another value."""

    def run(self, *, last: bool = True) -> None:
        """Decide each update. `last` false: what has no record yet stays undecided.

        Raises what keeps the others from being decided.
        """
        by_object: dict[str, list[Item]] = defaultdict(list)
        for item in sorted(
            (item for item in self.items if not item.outcome),
            key=lambda item: (_accepted(item), item.messages[0]["messageId"]),
        ):
            by_object[item.record.object].append(item)
        for items in by_object.values():
            changes = self._read(self._find(items, last=last))
            for change in changes:
                self._compare(change)
            self._write([change for change in changes if change.items])

    def _find(self, items: Sequence[Item], *, last: bool) -> dict[str, list[Item]]:
        """The updates of each record, by its id."""
        found: dict[str, list[Item]] = defaultdict(list)
        targets = self._targets(items)
        for item in items:
            target = targets.get(item.record.key)
            if target is None:
                if last:
                    _settle_not_there(item)
            elif target.converted:
                item.settle("rejected", _converted(target.contact_id))
            else:
                found[target.record_id].append(item)
        return found

    def _targets(self, items: Sequence[Item]) -> Mapping[str, Target | None]:
        """The records that the keys of updates lead to."""
        conversations, record = self.conversations, items[0].record
        keys = dict.fromkeys(item.record.key for item in items)
        if not conversations.settings.conversations:
            find_many = self.calls.salesforce.find_many
            found = self.calls.make(find_many, record.object, list(keys))
            return {key: Target(one.id) for key, one in found.items() if not one.deleted}
        wanted_keys = {Wanted(key, key) for key in keys}
        looks = conversations.look_many(wanted_keys, self.calls, requested=as_object(record))
        return {
            wanted.message: target_of(look, record, conversations.rules)
            for wanted, look in looks.items()
        }

    def _read(self, found: Mapping[str, list[Item]]) -> list[Change]:
        """The records as they are now."""
        changes = []
        for some in runs(found.items(), most=AT_ONCE):
            responses = self.calls.send_parts(
                [
                    Part(
                        name=f"r_{record_id}",  # a name begins with a letter
                        method="GET",
                        path=(f"/sobjects/{items[0].record.object}/{record_id}",),
                    )
                    for record_id, items in some
                ]
            )
            for record_id, items in some:
                response = responses.get(f"r_{record_id}")
                body = response.body if response and response.ok else None
                values = {n.lower(): v for n, v in body.items()} if isinstance(body, dict) else {}
                if row := _row(values):
                    changes.append(Change(record_id, row, values, items))
                elif response and response.status == 404:  # deleted a moment ago
                    wait(items, no_such_record())
                else:
                    wait(items, Unavailable("the record could not be read"))
        return changes

    def _compare(self, change: Change) -> None:
        """Leave out what differs from what somebody else has written since."""
        latest = {name.lower(): item for item in change.items for name in item.record.fields}
        for item in change.items:
            if not item.envelope.forced and self.own.others_since(
                change.record_id, change.row, _accepted(item), self._user()
            ):
                names = [name for name in item.record.fields if latest[name.lower()] is item]
                self._keep_theirs(item, names, change.values)
        change.items = [item for item in change.items if not item.outcome]

    def _user(self) -> str:
        """The integration user's id; empty if nothing tells it."""
        if (session := self.calls.session) and session.user_id:
            return session.user_id
        if self.own.user_id is None:
            self.own.user_id = self.calls.make(self.calls.salesforce.read_user)
        return self.own.user_id

    def _keep_theirs(self, item: Item, names: Sequence[str], values: Mapping[str, Any]) -> None:
        """Leave of an update what fills a blank field; what differs goes to Rejected."""
        record = item.record
        theirs = {name: _value_of(values, name, record.fields[name]) for name in names}
        blank = [name for name in names if is_blank(theirs[name])]
        differ = [
            name
            for name in names
            if not is_blank(theirs[name]) and not same_value(theirs[name], record.fields[name])
        ]
        if differ:
            self._disputed[id(item)] = _with_fields(record, differ)
        item.sent = _with_fields(record, blank)
        if not blank:
            self._settle_written(item)

    def _settle_written(self, item: Item) -> None:
        """What could be written is; what differs from somebody else's value is not."""
        rest = self._disputed.get(id(item))
        if rest is None:
            item.settle("updated")
            return
        message = replace(item.envelope.message, fields=rest.fields, derived={})
        item.envelope = replace(item.envelope, message=message)
        item.sent = None
        item.settle("rejected", _changed(rest.fields))

    def _write(self, changes: Sequence[Change]) -> None:
        """Write all; what a call or a record refuses is tried in smaller ones."""
        calls = deque(runs(changes, most=AT_ONCE))
        while calls:
            some = [one for one in calls.popleft() if not one.items[0].outcome]
            begun, alone = datetime.now(UTC), len(some) == 1
            problems: list[SalesforceProblem | None]
            try:
                problems = self._change(some)
            except Refused as refusal:  # of the whole call: it condemns nobody
                if not alone:
                    middle = len(some) // 2
                    calls.extendleft([some[middle:], some[:middle]])
                    continue
                problems = [refusal]
            for one, problem in zip(some, problems, strict=True):
                # One after the other: the values that were accepted last are written last.
                again = self._written(one, problem, begun, alone=alone)
                calls.extendleft([change] for change in reversed(again))

    def _change(self, changes: Sequence[Change]) -> list[SalesforceProblem | None]:
        """Change some records; gives why one took no values. Raises as `Salesforce` does."""
        parts = [
            change_part(one.record, one.record_id, name=f"p{number}")
            for number, one in enumerate(changes)
        ]
        responses = self.calls.make(self.calls.salesforce.send_parts, parts) if parts else {}
        return [
            None
            if responses[part.name].ok
            else problem_of(responses[part.name], object_name=one.record.object)
            for part, one in zip(parts, changes, strict=True)
        ]

    def _written(
        self, change: Change, problem: SalesforceProblem | None, begun: datetime, *, alone: bool
    ) -> list[Change]:
        """Decide the updates of a record by what became of its change, which was `alone` in its
        call or not; gives what is to be tried again."""
        item, record_id = change.items[0], change.record_id
        if problem is None:
            self.own.remember(record_id, change.row, begun)
            for one in change.items:
                self._settle_written(one)
            return []
        if not isinstance(problem, Refused):
            wait(change.items, problem)
        elif len(change.items) > 1:
            return [replace(change, items=[one]) for one in change.items]
        elif problem.code.startswith(ABOUT_LIMITS_OF_A_CALL) and not alone:
            return [change]
        elif problem.code == CONVERTED:
            # The next look shows the Contact, where there is a look.
            if self.conversations.settings.conversations and item.attempts < LOOKS:
                item.settle("delayed", Unavailable(problem.message, code=problem.code))
            item.settle("rejected", _converted(None))
        elif problem.code in GONE:
            item.settle("delayed", no_such_record())
        elif not item.stripped and (names := derived_at_fault(problem, item.record)):
            tell_dropped(self.conversations.telemetry, item.record.object, names)
            item.leave_out(names)
            if item.record.fields:
                return [change]
        else:
            try:
                raise_no_right(problem, item.record, self.conversations.rights, self.calls)
            except OrgNotReady as not_ready:  # all others of this object would be refused as well
                same = [one for one in self.items if one.record.object == item.record.object]
                wait(same, not_ready)
        item.settle("rejected", problem)
        return []


def _settle_not_there(item: Item) -> None:
    since = read_moment(item.envelope.not_there_since)
    if since and time.time() - since.timestamp() >= NOT_THERE_SECONDS:
        refused = Refused(NO_RECORD, code=NoSuchRecord.code, hint=NO_RECORD_HINT)
        item.settle("rejected", refused)
    else:
        item.settle("delayed", no_such_record())


def _row(values: Mapping[str, Any]) -> Row | None:
    modified = read_moment(values.get("lastmodifieddate"))
    created = read_moment(values.get("createddate"))
    by = read_id(values.get("lastmodifiedbyid")) or ""
    return Row(modified=modified, modified_by=by, created=created) if modified and created else None


def _accepted(item: Item) -> datetime:
    return item.envelope.message.sent_at


def _converted(contact_id: str | None) -> Refused:
    return Refused(
        "the lead was converted before this was written",
        code=CONVERTED,
        hint=CONVERTED_HINT,
        existing_id=contact_id,
    )


def _changed(names: Iterable[str]) -> Refused:
    fields = tuple(names)
    return Refused(
        f"somebody has changed {', '.join(fields)} since this was accepted",
        code=CHANGED_MEANWHILE,
        fields=fields,
        hint=CHANGED_HINT,
    )


def _with_fields(record: Record, names: Iterable[str]) -> Record:
    fields = {name: record.fields[name] for name in names}
    return replace(record, fields=fields, derived=record.derived & fields.keys())


def _value_of(values: Mapping[str, Any], name: str, wanted: Any) -> Any:
    """What a record has in a field; of a link by another record's key, that record's id."""
    if isinstance(wanted, Mapping):
        name = f"{name[:-1]}c" if name.lower().endswith("__r") else f"{name}Id"
    return values.get(name.lower())


def is_blank(value: Any) -> bool:
    """Whether a field has no value; a checkbox always has one."""
    return value is None or (isinstance(value, str) and not value.strip())


def same_value(theirs: Any, ours: Any) -> bool:
    """Whether a field's value is the one that is to be written, in whatever form it was sent."""
    if isinstance(ours, Mapping):
        return False
    if isinstance(theirs, bool) or isinstance(ours, bool):
        return str(theirs).lower() == str(ours).strip().lower()
    if isinstance(theirs, (int, float)):
        try:
            return float(theirs) == float(ours)
        except (TypeError, ValueError):
            return False
    first, second = str(theirs).strip(), str(ours).strip()
    moment = read_moment(first)
    if moment is not None and moment == read_moment(second):
        return True
    if ";" in first or ";" in second:  # a multi-select picklist has no order
        return sorted(first.split(";")) == sorted(second.split(";"))
    return first.replace("\r\n", "\n") == second.replace("\r\n", "\n")
