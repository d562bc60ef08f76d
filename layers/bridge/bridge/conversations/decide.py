"""Where a message of a conversation goes: a pure function over what the look found.

The promise: of one conversation there is at most one open Lead and one open Case, each message is
logged on it once, and conversion, merge, closing and reopening are followed. Salesforce moves
Tasks at conversion and merge, so the newest Task of a conversation shows where it lives now.

Source of the rules: ADR 0061. Times are in UTC; "ago" counts to `now`, never to the message's time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

from bridge.bird.texts import MAIL_IDS
from bridge.conversations.keys import record_key, task_key
from bridge.records import ObjectName

RecordObject = Literal["Lead", "Case", "Contact"]
"""What a message can be logged on."""

PREFIXES: Mapping[str, RecordObject] = {"00Q": "Lead", "500": "Case", "003": "Contact"}
"""How the ids of each object begin (Salesforce Help, Standard Field Record ID Prefix Decoder)."""

JUST_CLOSED = timedelta(minutes=10)
"""A message so soon after its Case was closed is a "thanks!": it opens nothing."""


NOTHING: Mapping[str, Any] = MappingProxyType({})

# What the look found


class SeenTask(NamedTuple):
    """A Task with one of the message's two keys."""

    id: str
    key: str
    who_id: str | None = None
    what_id: str | None = None
    deleted: bool = False

    def is_on(self, record_id: str) -> bool:
        """Whether it is on this record's timeline."""
        return record_id in (self.who_id, self.what_id)


class LeadRow(NamedTuple):
    """A Lead with the conversation, or with a key of the conversation or the message."""

    id: str
    key: str
    conversation: str
    created: datetime
    status: str = ""
    converted: bool = False
    contact_id: str | None = None
    """The Contact that it was converted to."""
    deleted: bool = False
    last_message: datetime | None = None


class CaseRow(NamedTuple):
    """A Case with the conversation, or with a key of the conversation or the message."""

    id: str
    key: str
    conversation: str
    created: datetime
    status: str = ""
    closed: bool = False
    closed_at: datetime | None = None
    number: str | None = None
    contact_id: str | None = None
    account_id: str | None = None
    record_type_id: str | None = None
    deleted: bool = False
    last_message: datetime | None = None


Row = TypeVar("Row", LeadRow, CaseRow)


class Home(NamedTuple):
    """The newest live Task of a conversation, of those on a Lead or Contact or of those on a Case.

    `closed` is the Task's own state.
    """

    task_id: str
    created: datetime
    who_id: str | None = None
    what_id: str | None = None
    closed: bool = True


class Look(NamedTuple):
    """What is in Salesforce of one conversation and one message, in any order."""

    conversation: str
    message: str
    seen: tuple[SeenTask, ...] = ()
    leads: tuple[LeadRow, ...] = ()
    cases: tuple[CaseRow, ...] = ()
    lead_home: Home | None = None
    case_home: Home | None = None
    homes: Mapping[str, CaseRow | None] = NOTHING
    """By its id, the Case of `case_home` where it is not among `cases`; None: not visible."""


class Rules(NamedTuple):
    """What the deployer chose."""

    reopen_days: float
    """So long after its closing a Case is reopened; 0: never."""
    closed_lead_statuses: frozenset[str]

    def is_open(self, row: LeadRow | CaseRow) -> bool:
        """Whether a message goes onto this record without more ado."""
        if row.deleted:
            return False
        if isinstance(row, CaseRow):
            return not row.closed
        closed = {status.strip().casefold() for status in self.closed_lead_statuses}
        return not row.converted and row.status.strip().casefold() not in closed


class Permit(Enum):
    """What a message may do."""

    ANYTHING = "make a record, reopen one, or be added to one"
    NO_SUCCESSOR = "make the first record or be added: a replayed message"
    ADD_ONLY = "be added: what our own side wrote"


# What is to be done


class Exists(NamedTuple):
    """The message is logged. `record_id` is None where that record or Task is no more."""

    object: RecordObject | None = None
    record_id: str | None = None
    number: str | None = None
    task_id: str | None = None
    deleted: bool = False


class Add(NamedTuple):
    """Log the message on a record that is there."""

    object: ObjectName
    """The object whose Task it is: o of T(o, m)."""
    record_object: RecordObject
    record_id: str
    who_id: str | None = None
    what_id: str | None = None
    number: str | None = None
    last_message: datetime | None = None
    """When the record's last message came, as far as it is known."""
    status: str = ""
    status_may_change: bool = False
    """Whether `CaseStatusOnReply` applies: an open Case."""
    for_owner: bool = False
    """Whether the Task is open and the Contact's owner's, so that somebody sees it."""
    adopted: bool = False
    """Whether the record is of no conversation yet, and becomes one of this conversation."""


class Create(NamedTuple):
    """Make a record with this key and log the message on it."""

    object: ObjectName
    key: str
    derived: Mapping[str, Any] = NOTHING
    """Fields of a successor that come from its predecessor."""
    predecessor_id: str | None = None

    @property
    def is_successor(self) -> bool:
        """Whether the conversation had a record before."""
        return self.predecessor_id is not None


class Reopen(NamedTuple):
    """Log the message on a closed Case and open it; if that is refused, make the successor."""

    record_id: str
    successor: Create
    number: str | None = None
    last_message: datetime | None = None


class Nowhere(NamedTuple):
    """There is no record to log it on, and the message may not make one."""

    object: ObjectName


Decision = Exists | Add | Create | Reopen | Nowhere


def decide(
    look: Look,
    *,
    requested: ObjectName | None,
    channel_object: ObjectName,
    rules: Rules,
    now: datetime,
    permit: Permit = Permit.ANYTHING,
    gone: frozenset[str] = frozenset(),
) -> Decision:
    """What is to be done with a message. It does not depend on the order of the rows.

    `requested` is the object of the route, None where the conversation chooses; `channel_object` is
    what a new conversation of the channel becomes. `gone` are ids of Contacts that refused a Task:
    a converted Lead does not show that its Contact was deleted.
    """
    name = requested or _chosen(look, channel_object, rules)
    goes_to: Decision
    if name == "Lead":
        goes_to = _lead_destination(look, rules, permit, gone)
    else:
        goes_to = _case_destination(look, rules, now, permit)
    own_key = task_key(name, look.message)
    objects: tuple[ObjectName, ...] = ("Lead", "Case")
    either = {task_key(each, look.message) for each in objects}
    counts = {own_key} if requested else either
    # The Task of the object itself first, then by id: of several any is right, but always the same.
    seen = sorted(look.seen, key=lambda task: (task.key != own_key, task.id))

    for task in seen:
        if not task.deleted and task.key in counts:
            return _logged(task, look)
    keyed = _made_by_key(look, (name,) if requested else objects)
    if keyed and not keyed.deleted:
        is_mail = look.message.startswith(MAIL_IDS)
        return (_adopted(look, keyed.record_id, rules) or goes_to) if is_mail else keyed
    if isinstance(goes_to, (Add, Reopen)):
        for task in seen:
            if not task.deleted and task.key in either and task.is_on(goes_to.record_id):
                return _logged(task, look)
    for task in seen:
        if task.deleted and task.key in counts:
            return Exists(deleted=True)
    return keyed or goes_to


def record_of(look: Look, name: ObjectName, rules: Rules) -> Exists | None:
    """The record that a key leads to; the look was for the key as conversation and as message.

    Of a conversation its open record, else the one that it was merged into, else its newest; of a
    message the record that has its Task.
    """
    leads = [row for row in _of_conversation(look.leads, look) if not row.deleted]
    cases = [row for row in _of_conversation(look.cases, look) if not row.deleted]
    own: Sequence[LeadRow | CaseRow] = leads if name == "Lead" else cases
    rows: Sequence[LeadRow | CaseRow] = look.leads if name == "Lead" else look.cases
    if name == "Lead":
        merged_into = _lead_merged_into(look)
    else:
        merged_into = _merged_into(look, cases[0] if cases else None)
    if merged_into and merged_into in look.homes and not look.homes[merged_into]:
        merged_into = None  # not visible
    ids = [
        *(row.id for row in own if rules.is_open(row)),
        *([merged_into] if merged_into else ()),
        *(row.id for row in own),
        *(row.id for row in rows if row.key == look.message and not row.deleted),
    ]
    if ids:
        return Exists(object=name, record_id=ids[0], number=_number(look, ids[0]))
    for task in look.seen:
        if not task.deleted and task.key == task_key(name, look.message):
            return _logged(task, look)
    home = look.lead_home if name == "Lead" else look.case_home
    where = (home.who_id if name == "Lead" else home.what_id) if home else None
    if where and object_of(where):
        return Exists(object=object_of(where), record_id=where, number=_number(look, where))
    return None


def _chosen(look: Look, channel_object: ObjectName, rules: Rules) -> ObjectName:
    """The object of a message whose route names none: where the conversation lives now."""
    if any(rules.is_open(row) for row in _of_conversation(look.cases, look)):
        return "Case"
    if any(rules.is_open(row) for row in _of_conversation(look.leads, look)):
        return "Lead"
    lead, case = look.lead_home, look.case_home
    if lead and case:
        return "Lead" if _age_key(lead) > _age_key(case) else "Case"
    if lead or case:
        return "Lead" if lead else "Case"
    return channel_object


def _lead_destination(
    look: Look, rules: Rules, permit: Permit, gone: frozenset[str]
) -> Add | Create | Nowhere:
    rows = [row for row in _of_conversation(look.leads, look) if not row.deleted]
    for row in rows:
        if rules.is_open(row):
            return _add_to_lead(row)
    home = look.lead_home
    if home and home.who_id:
        moved_to = object_of(home.who_id)
        if moved_to == "Contact" or _lead_merged_into(look):
            return Add(
                object="Lead",
                record_object=moved_to or "Lead",
                record_id=home.who_id,
                who_id=home.who_id,
                what_id=home.what_id,
                for_owner=moved_to == "Contact" and home.closed,
            )
    newest = rows[0] if rows else None
    if newest and newest.converted and newest.contact_id and newest.contact_id not in gone:
        return Add(
            object="Lead",
            record_object="Contact",
            record_id=newest.contact_id,
            who_id=newest.contact_id,
            for_owner=True,
        )
    if permit is Permit.ANYTHING or (permit is Permit.NO_SUCCESSOR and newest is None):
        predecessor = newest.id if newest else None
        return Create(
            object="Lead",
            key=record_key(look.conversation, predecessor),
            predecessor_id=predecessor,
        )
    if newest and not newest.converted:
        return _add_to_lead(newest)
    return Nowhere("Lead")


def _case_destination(
    look: Look, rules: Rules, now: datetime, permit: Permit
) -> Add | Create | Reopen | Nowhere:
    rows = [row for row in _of_conversation(look.cases, look) if not row.deleted]
    for row in rows:
        if rules.is_open(row):
            return _add_to_case(row)
    newest = rows[0] if rows else None
    if merged_into := _merged_into(look, newest):
        row_there = look.homes.get(merged_into)
        if row_there and not row_there.deleted:
            return _to_case(row_there, look, rules, now, permit, home=look.case_home)
    if newest:
        return _to_case(newest, look, rules, now, permit)
    if permit is Permit.ADD_ONLY:
        return Nowhere("Case")
    return Create(object="Case", key=record_key(look.conversation))


def _lead_merged_into(look: Look) -> str | None:
    """The id of a Lead that is none of the conversation's and has its newest Task."""
    on = look.lead_home.who_id if look.lead_home else None
    is_lead = on is not None and object_of(on) == "Lead"
    return on if is_lead and on not in {row.id for row in look.leads} else None


def _merged_into(look: Look, newest: CaseRow | None) -> str | None:
    """The id of a Case that is none of the conversation's and has its newest Task.

    An org may keep merged Cases, closed: then that Task is newer than the `newest` that is left,
    or of the same second, since times are in whole ones and the first Task is made with its Case.
    """
    home = look.case_home
    if home is None or home.what_id is None or home.what_id in {row.id for row in look.cases}:
        return None
    return home.what_id if newest is None or home.created >= newest.created else None


def _to_case(
    row: CaseRow,
    look: Look,
    rules: Rules,
    now: datetime,
    permit: Permit,
    *,
    home: Home | None = None,
) -> Add | Create | Reopen:
    """Onto a Case, whatever its state."""
    if rules.is_open(row) or permit is not Permit.ANYTHING:
        return _add_to_case(row, home)
    ago = now - row.closed_at if row.closed_at else timedelta.max
    if ago < JUST_CLOSED:
        return _add_to_case(row, home)
    inherited = {
        "ParentId": row.id,
        "ContactId": row.contact_id,
        "AccountId": row.account_id,
        "RecordTypeId": row.record_type_id,
    }
    successor = Create(
        object="Case",
        key=record_key(look.conversation, row.id),
        derived={name: value for name, value in inherited.items() if value},
        predecessor_id=row.id,
    )
    if ago < timedelta(days=rules.reopen_days):
        return Reopen(
            record_id=row.id,
            number=row.number,
            last_message=row.last_message,
            successor=successor,
        )
    return successor


def _add_to_lead(row: LeadRow) -> Add:
    return Add(
        object="Lead",
        record_object="Lead",
        record_id=row.id,
        who_id=row.id,
        last_message=row.last_message,
        status=row.status,
    )


def _add_to_case(row: CaseRow, home: Home | None = None) -> Add:
    return Add(
        object="Case",
        record_object="Case",
        record_id=row.id,
        who_id=home.who_id if home else None,
        what_id=row.id,
        number=row.number,
        last_message=row.last_message,
        status=row.status,
        status_may_change=not row.closed,
    )


def _logged(task: SeenTask, look: Look) -> Exists:
    """The record of a message whose Task is there."""
    ids = [task.who_id, task.what_id]
    if task.key == task_key("Case", look.message):
        ids.reverse()
    on = [(object_of(record_id), record_id) for record_id in ids if record_id]
    name, record_id = next((pair for pair in on if pair[0]), (None, None))
    return Exists(
        object=name, record_id=record_id, number=_number(look, record_id), task_id=task.id
    )


def _made_by_key(look: Look, names: Iterable[ObjectName]) -> Exists | None:
    """A record that was made under the message's own key, outside of any conversation."""
    deleted = False
    for name in names:
        rows: Sequence[LeadRow | CaseRow] = look.leads if name == "Lead" else look.cases
        keyed = [row for row in rows if row.key == look.message and not row.conversation]
        if live := sorted(row.id for row in keyed if not row.deleted):
            return Exists(object=name, record_id=live[0], number=_number(look, live[0]))
        deleted = deleted or bool(keyed)
    return Exists(deleted=True) if deleted else None


def _adopted(look: Look, record_id: str | None, rules: Rules) -> Add | None:
    """The record that a mail's other event has made, which names no thread (ADR 0048)."""
    for lead in look.leads:
        if lead.id == record_id and rules.is_open(lead):
            return _add_to_lead(lead)._replace(adopted=True)
    for case in look.cases:
        if case.id == record_id:
            return _add_to_case(case)._replace(adopted=True)
    return None


def _of_conversation(rows: Iterable[Row], look: Look) -> list[Row]:
    """The conversation's own rows, newest first. A clone has the conversation and no key."""
    own = [
        row
        for row in rows
        if row.key
        and (
            row.conversation == look.conversation
            or (not row.conversation and row.key == look.conversation)
        )
    ]
    return sorted(own, key=lambda row: (row.created, row.id), reverse=True)


def _number(look: Look, record_id: str | None) -> str | None:
    numbers = {row.id: row.number for row in look.cases}
    numbers.update({row.id: row.number for row in look.homes.values() if row})
    return numbers.get(record_id) if record_id else None


def _age_key(home: Home) -> tuple[datetime, str]:
    return home.created, home.task_id


def object_of(record_id: str) -> RecordObject | None:
    """What a record is, by the prefix of its id; None for what no message is logged on."""
    return PREFIXES.get(record_id[:3])
