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
    as_object,
    no_such_record,
    target_of,
)
from bridge.conversations.look import Wanted
from bridge.conversations.message import read_moment
from bridge.delivery.batch import Item
from bridge.delivery.calls import Calls
from bridge.delivery.conversation import Conversations
from bridge.delivery.update import raise_no_right
from bridge.delivery.verdict import ABOUT_LIMITS_OF_A_CALL
from bridge.delivery.work import wait
from bridge.errors import OrgNotReady, Refused, SalesforceProblem, Unavailable
from bridge.records import Record
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

COLLECTION = 200
READS = 25
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
    """The integration user's, where its session does not tell it; None: not asked yet."""
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

    def remember(self, record_id: str, row: Row, begun: datetime, user_id: str) -> None:
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
    items: list[Item]
    """By the time when they were accepted."""

    def fields(self) -> dict[str, Any]:
        """Of each field the value that was accepted last."""
        latest: dict[str, tuple[str, Any]] = {}
        for item in self.items:
            for name, value in item.record.fields.items():
                latest[name.lower()] = name, value
        return dict(latest.values())


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
        items = sorted(
            (item for item in self.items if not item.outcome),
            key=lambda item: (_accepted(item), item.messages[0]["messageId"]),
        )
        by_object: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            by_object[item.record.object].append(item)
        for name, some in by_object.items():
            found = self._find(some, last=last)
            if found:
                self._write(self._changes(name, found))

    # Find

    def _find(self, items: Sequence[Item], *, last: bool) -> dict[str, list[Item]]:
        """The updates of each record, by its id."""
        ids: dict[str, list[Item]] = defaultdict(list)
        targets = self._targets(items)
        for item in items:
            target = targets.get(item.record.key)
            if target is None:
                if last:
                    self._not_there(item)
            elif isinstance(target, Refused):
                item.settle("rejected", target)
            else:
                ids[target].append(item)
        return ids

    def _targets(self, items: Sequence[Item]) -> dict[str, str | Refused]:
        """By key, the id of the record or why it takes no values."""
        conversations = self.conversations
        keys = dict.fromkeys(item.record.key for item in items)
        record = items[0].record
        if not conversations.settings.conversations:
            find_many = self.calls.salesforce.find_many
            found = self.calls.make(find_many, record.object, list(keys))
            return {key: one.id for key, one in found.items() if not one.deleted}
        wanted_keys = {Wanted(key, key) for key in keys}
        looks = conversations.look_many(wanted_keys, self.calls, requested=as_object(record))
        targets: dict[str, str | Refused] = {}
        for wanted, look in looks.items():
            target = target_of(look, record, conversations.rules)
            if target:
                there = _converted(target.contact_id) if target.converted else target.record_id
                targets[wanted.message] = there
        return targets

    def _not_there(self, item: Item) -> None:
        since = read_moment(item.envelope.not_there_since)
        if since and time.time() - since.timestamp() >= NOT_THERE_SECONDS:
            problem = Refused(NO_RECORD, code=no_such_record().code, hint=NO_RECORD_HINT)
            item.settle("rejected", problem)
        else:
            item.settle("delayed", no_such_record())

    # Compare

    def _changes(self, name: str, found: Mapping[str, list[Item]]) -> list[Change]:
        """What is to be written, less what differs from what somebody else has written since."""
        rows = self._rows(name, list(found))
        changes, disputed = [], []
        for record_id, items in found.items():
            row = rows.get(record_id)
            if row is None:  # deleted a moment ago
                for item in items:
                    item.settle("delayed", no_such_record())
                continue
            change = Change(record_id, row, items)
            changes.append(change)
            if any(self._is_disputed(change, item) for item in items):
                disputed.append(change)
        for change, values in self._values(name, disputed):
            latest = {field.lower(): item for item in change.items for field in item.record.fields}
            for item in change.items:
                if self._is_disputed(change, item):
                    own = [f for f in item.record.fields if latest[f.lower()] is item]
                    self._keep_theirs(item, own, values)
            change.items = [item for item in change.items if not item.outcome]
        return [change for change in changes if change.items]

    def _is_disputed(self, change: Change, item: Item) -> bool:
        if item.envelope.forced:
            return False
        accepted = _accepted(item)
        return self.own.others_since(change.record_id, change.row, accepted, self._user())

    def _keep_theirs(self, item: Item, fields: Sequence[str], values: Mapping[str, Any]) -> None:
        """Leave of an update what fills a blank field; what differs goes to Rejected."""
        record = item.record
        theirs = {name: _value_of(values, name, record.fields[name]) for name in fields}
        blank = [name for name in fields if is_blank(theirs[name])]
        differ = [
            name
            for name in fields
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
        item.sent = item.stripped = None
        item.settle("rejected", _changed(rest.fields))

    def _user(self) -> str:
        """The integration user's id; empty if nothing tells it."""
        session = self.calls.session
        if session and session.user_id:
            return session.user_id
        if self.own.user_id is None:
            self.own.user_id = self.calls.make(self.calls.salesforce.read_user)
        return self.own.user_id

    def _rows(self, name: str, ids: Sequence[str]) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        columns = "Id,LastModifiedDate,LastModifiedById,CreatedDate,IsDeleted"
        for start in range(0, len(ids), COLLECTION):
            some = ids[start : start + COLLECTION]
            read_rows = self.calls.salesforce.read_rows
            for row in self.calls.make(read_rows, name, columns, some):
                record_id = read_id(row.get("Id"))
                modified = read_moment(row.get("LastModifiedDate"))
                created = read_moment(row.get("CreatedDate"))
                if record_id and modified and created and not row.get("IsDeleted"):
                    by = read_id(row.get("LastModifiedById")) or ""
                    rows[record_id] = Row(modified=modified, modified_by=by, created=created)
        return rows

    def _values(
        self, name: str, changes: Sequence[Change]
    ) -> Iterable[tuple[Change, Mapping[str, Any]]]:
        """The values that disputed records have now, by lower-case names."""
        from bridge.salesforce.composite import Part

        for start in range(0, len(changes), READS):
            some = changes[start : start + READS]
            parts = [
                Part(name=f"r{at}", method="GET", path=(f"/sobjects/{name}/{one.record_id}",))
                for at, one in enumerate(some)
            ]
            responses = self.calls.send_parts(parts)
            for at, one in enumerate(some):
                response = responses.get(f"r{at}")
                if response is None or not response.ok or not isinstance(response.body, dict):
                    for item in one.items:
                        item.settle("delayed", Unavailable("the record could not be read"))
                    one.items = []
                    continue
                yield one, {str(n).lower(): value for n, value in response.body.items()}

    # Write

    def _write(self, changes: Sequence[Change]) -> None:
        """Write all in collections; what a call or a row refuses is tried in smaller ones."""
        todo = deque(
            list(changes[start : start + COLLECTION])
            for start in range(0, len(changes), COLLECTION)
        )
        while todo:
            some = [one for one in todo.popleft() if not one.items[0].outcome]
            if not some:
                continue
            begun = datetime.now(UTC)
            name = some[0].items[0].record.object
            rows = [(name, {"id": one.record_id, **one.fields()}) for one in some]
            try:
                saved = self.calls.make(self.calls.salesforce.save_many, "PATCH", rows)
            except Refused as refusal:  # one unknown name refuses the whole call
                if len(some) == 1:
                    todo.extendleft(reversed(self._refused(some[0], refusal, alone=True)))
                else:
                    middle = len(some) // 2
                    todo.extendleft([some[middle:], some[:middle]])
                continue
            for one, problem in zip(some, saved, strict=True):
                if problem is None:
                    self.own.remember(one.record_id, one.row, begun, self._user())
                    for item in one.items:
                        self._settle_written(item)
                else:
                    again = self._refused(one, problem, alone=len(some) == 1)
                    todo.extendleft(reversed(again))

    def _refused(
        self, change: Change, problem: SalesforceProblem, *, alone: bool
    ) -> list[list[Change]]:
        """Decide a record that took no values; gives what is to be tried again, one by one."""
        if len(change.items) > 1 and isinstance(problem, Refused):
            return [[replace(change, items=[item])] for item in change.items]
        item = change.items[0]
        if not isinstance(problem, Refused):
            for one in change.items:
                one.settle("delayed", problem)
        elif problem.code == CONVERTED:
            # The next look shows the Contact, where there is a look.
            if self.conversations.settings.conversations and item.attempts < LOOKS:
                item.settle("delayed", Unavailable(problem.message, code=problem.code))
            else:
                item.settle("rejected", _converted(None))
        elif problem.code in GONE:
            item.settle("delayed", no_such_record())
        elif problem.code.startswith(ABOUT_LIMITS_OF_A_CALL) and not alone:
            return [[change]]
        elif item.stripped is None and (names := derived_at_fault(problem, item.record)):
            tell_dropped(self.conversations.telemetry, item.record.object, names)
            item.leave_out(names)
            if item.record.fields:
                return [[change]]
            item.settle("rejected", problem)
        else:
            try:
                raise_no_right(problem, item.record, self.conversations.rights, self.calls)
            except OrgNotReady as not_ready:  # all others of this object would be refused as well
                same = [one for one in self.items if one.record.object == item.record.object]
                wait(same, not_ready)
            item.settle("rejected", problem)
        return []


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
