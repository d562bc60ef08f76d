"""Look: what is in Salesforce of a conversation and a message, by one composite of reads.

`look_parts` and `read_look` are for one message; `batch_parts` and `read_batch` for many, in slices
that keep each URL short. Whatever cannot be read is no ground for a decision: then a
SalesforceProblem is raised. Source of the queries: ADR 0061; REST API Developer Guide, QueryAll.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, Literal, NamedTuple

from bridge.conversations.decide import CaseRow, Home, LeadRow, Look, Row, SeenTask
from bridge.conversations.keys import task_key
from bridge.conversations.message import read_moment
from bridge.errors import OrgNotReady, SalesforceProblem, Unavailable
from bridge.records import ObjectName
from bridge.salesforce.client import TASK_KEY_FIELD, soql_text
from bridge.salesforce.composite import (
    MOST_QUERIES,
    Part,
    PartResponse,
    Ref,
    encoded,
    is_halted,
    query_part,
)
from bridge.salesforce.responses import (
    SET_UP,
    failed_look_up,
    judge,
    key_field_missing,
    read_faults,
    read_rows,
    unreadable,
)
from bridge.salesforce.session import read_id

CONVERSATION_FIELD = "Bird_Conversation__c"
LAST_MESSAGE_FIELD = "Bird_Last_Message__c"
LONGEST_URL = 12_000
"""Bytes of a query's URL once encoded. Salesforce takes 16,384 of URL and headers together."""

NEWEST_RECORDS = 20
"""Of one conversation, by object."""

NEWEST_TASKS = 10
"""More than one, since a second may have several: they are sorted in code."""

MOST_ROWS = 2_000
"""Rows of a page, so that of many conversations some may be missing."""

NOT_SET_UP = "CONVERSATIONS_NOT_SET_UP"
NOT_SET_UP_HINT = (
    "Salesforce administrator: make the fields Bird_Conversation__c (Lead, Case, Activity), "
    "Bird_Last_Message__c (Lead, Case) and Bird_Key__c (Activity), and give the integration user "
    f"access to them, to Tasks and to Contacts: {SET_UP} Or deploy with Conversations=off."
)
RECORD_TYPE = "RecordTypeId"

Kind = Literal["seen", "leads", "cases", "lead_home", "case_home"]
KINDS: tuple[Kind, ...] = ("seen", "leads", "cases", "lead_home", "case_home")
OF_OBJECT: Mapping[ObjectName, tuple[Kind, Kind]] = {
    "Lead": ("leads", "lead_home"),
    "Case": ("cases", "case_home"),
}
BOTH: frozenset[ObjectName] = frozenset(OF_OBJECT)
MERGED = "merged_case"
"""The part that reads the Case of `case_home`, which need not be one of the conversation's."""


class Wanted(NamedTuple):
    """What is looked for: a message (m) of a conversation (c), as keys."""

    conversation: str
    message: str


class Fields(NamedTuple):
    """What the queries may name in this org."""

    record_key: str
    """The external-id field of Lead and Case."""
    record_types: bool = True
    """Whether Case has RecordTypeId: an org without record types for it may not."""


def look_parts(wanted: Wanted, fields: Fields) -> list[Part]:
    """The parts of a look for one message: five queries, and one Case by reference."""
    parts = []
    for kind in KINDS:
        limit = NEWEST_TASKS if kind.endswith("home") else NEWEST_RECORDS
        soql = _soql(kind, [wanted], fields, limit=limit)
        parts.append(query_part(kind, soql, deleted=True))
    columns = f"?fields={','.join(_case_columns(fields))}"
    path = ("/sobjects/Case/", Ref("case_home", "records[0].WhatId"), columns)
    return [*parts, Part(name=MERGED, method="GET", path=path)]


def read_look(
    wanted: Wanted,
    fields: Fields,
    responses: Mapping[str, PartResponse],
    *,
    objects: Set[ObjectName] = BOTH,
) -> Look:
    """What the look for one message found. Raises SalesforceProblem.

    `objects` are those that are needed: trouble with the other one keeps no message back.
    """
    pool = _Pool(fields)
    for kind in KINDS:
        if not _may_lack(kind, responses.get(kind), objects):
            pool.take(kind, responses.get(kind))
    found = pool.look(wanted)
    home = found.case_home
    merged = responses.get(MERGED)
    if home is None or merged is None or home.what_id in {row.id for row in found.cases}:
        return found
    assert home.what_id is not None
    if merged.ok:
        row = _case(_lower(merged.body), fields)
        # Of two Tasks of the same second it may have read the Case of the other one.
        return found._replace(homes={row.id: row}) if row.id == home.what_id else found
    if merged.status == 404:
        return found._replace(homes={home.what_id: None})
    if is_halted(merged) or "Case" not in objects:
        return found
    raise _problem(merged, fields)


def _may_lack(kind: Kind, response: PartResponse | None, objects: Set[ObjectName]) -> bool:
    """Whether a query failed of which nothing is needed."""
    needed = {"seen", *(each for name in objects for each in OF_OBJECT[name])}
    return kind not in needed and (response is None or not response.ok)


class BatchLook(NamedTuple):
    """What was found for many. Those in `alone` have too many rows to tell: look for each alone."""

    looks: Mapping[Wanted, Look]
    alone: frozenset[Wanted] = frozenset()


def batch_parts(wanted: Iterable[Wanted], fields: Fields, *, base: str) -> list[list[Part]]:
    """The parts of a look for many messages, in as few composites as there may be."""
    every = sorted(set(wanted), key=lambda each: (each.conversation, each.message))
    queries = [
        query_part(f"{kind}_{number}", _soql(kind, some, fields, limit=MOST_ROWS), deleted=True)
        for kind in KINDS
        for number, some in enumerate(_slices(kind, every, fields, base))
    ]
    return [queries[i : i + MOST_QUERIES] for i in range(0, len(queries), MOST_QUERIES)]


def read_batch(
    wanted: Iterable[Wanted],
    fields: Fields,
    responses: Mapping[str, PartResponse],
    *,
    base: str,
    objects: Set[ObjectName] = BOTH,
) -> BatchLook:
    """What the look for many found, from the responses of all its composites.

    `objects` as in `read_look`. Raises SalesforceProblem.
    """
    every = sorted(set(wanted), key=lambda each: (each.conversation, each.message))
    pool = _Pool(fields)
    alone: set[Wanted] = set()
    for kind in KINDS:
        for number, some in enumerate(_slices(kind, every, fields, base)):
            response = responses.get(f"{kind}_{number}")
            if _may_lack(kind, response, objects) or pool.take(kind, response) < MOST_ROWS:
                continue
            # Newest first: of a Task's conversation that is among the rows, its newest is too.
            shown = pool.conversations(kind) if kind.endswith("home") else set()
            alone.update(each for each in some if each.conversation not in shown)
    looks = {each: pool.look(each) for each in every if each not in alone}
    return BatchLook(looks, frozenset(alone))


def case_parts(case_ids: Sequence[str], fields: Fields) -> list[Part]:
    """A query for Cases by their ids; at most 200 of them."""
    columns = ",".join(_case_columns(fields))
    ids = ",".join(soql_text(case_id) for case_id in case_ids)
    soql = f"SELECT {columns} FROM Case WHERE Id IN ({ids})"
    return [query_part("followed", soql, deleted=True)]


def read_cases(
    case_ids: Sequence[str], fields: Fields, responses: Mapping[str, PartResponse]
) -> dict[str, CaseRow | None]:
    """The Cases by id; None for one that the integration user cannot see. Raises
    SalesforceProblem."""
    rows, _ = rows_of(responses.get("followed"), fields)
    found = {row.id: row for row in (_case(row, fields) for row in rows)}
    return {case_id: found.get(case_id) for case_id in case_ids}


def lacks_record_types(responses: Mapping[str, PartResponse]) -> bool:
    """Whether a query failed only because Case has no RecordTypeId: look again without it."""
    return any(
        not response.ok and _names_in_error(response, [RECORD_TYPE])
        for response in responses.values()
    )


# The queries


def _case_columns(fields: Fields) -> list[str]:
    columns = _CASE_COLUMNS if fields.record_types else _CASE_COLUMNS[:-1]
    return [fields.record_key, *columns]


_LEAD_COLUMNS = (
    "Id",
    CONVERSATION_FIELD,
    LAST_MESSAGE_FIELD,
    "Status",
    "IsConverted",
    "ConvertedContactId",
    "IsDeleted",
    "CreatedDate",
)
_CASE_COLUMNS = (
    "Id",
    CONVERSATION_FIELD,
    LAST_MESSAGE_FIELD,
    "Status",
    "IsClosed",
    "ClosedDate",
    "CaseNumber",
    "ContactId",
    "AccountId",
    "IsDeleted",
    "CreatedDate",
    RECORD_TYPE,
)
_SEEN_COLUMNS = ("Id", TASK_KEY_FIELD, "WhoId", "WhatId", "IsDeleted")
_HOME_COLUMNS = ("Id", CONVERSATION_FIELD, "WhoId", "WhatId", "IsClosed", "CreatedDate")


def _soql(kind: Kind, wanted: Sequence[Wanted], fields: Fields, *, limit: int) -> str:
    """One query. Looks by conversation take only what has a key: a clone has none."""
    literals = _literals(kind, wanted)
    conversations = _among(CONVERSATION_FIELD, [each.conversation for each in wanted])
    newest = f"ORDER BY CreatedDate DESC LIMIT {limit}"
    if kind == "seen":
        return (
            f"SELECT {','.join(_SEEN_COLUMNS)} FROM Task WHERE {_among(TASK_KEY_FIELD, literals)}"
        )
    if kind in ("leads", "cases"):
        key = fields.record_key
        columns = [key, *_LEAD_COLUMNS] if kind == "leads" else _case_columns(fields)
        return (
            f"SELECT {','.join(columns)} FROM {'Lead' if kind == 'leads' else 'Case'} "
            f"WHERE ({conversations} AND {key} != null) OR {_among(key, literals)} {newest}"
        )
    on = "WhoId != null" if kind == "lead_home" else "What.Type = 'Case'"
    return (
        f"SELECT {','.join(_HOME_COLUMNS)} FROM Task WHERE {conversations} "
        f"AND {TASK_KEY_FIELD} != null AND {on} AND IsDeleted = false {newest}"
    )


def _literals(kind: Kind, wanted: Iterable[Wanted]) -> list[str]:
    """The keys that a query looks for, besides the conversations."""
    keys: list[str] = []
    for each in wanted:
        if kind == "seen":
            keys += task_key("Lead", each.message), task_key("Case", each.message)
        elif kind in ("leads", "cases"):
            keys += each.conversation, each.message
    return keys


def _among(field: str, values: Iterable[str]) -> str:
    literals = [soql_text(value) for value in dict.fromkeys(values)]
    return (
        f"{field} = {literals[0]}" if len(literals) == 1 else f"{field} IN ({','.join(literals)})"
    )


def _slices(
    kind: Kind, wanted: Sequence[Wanted], fields: Fields, base: str
) -> list[Sequence[Wanted]]:
    """Runs of what is wanted whose query's URL stays short."""
    soql = _soql(kind, [Wanted("", "")], fields, limit=MOST_ROWS)
    nothing = query_part(kind, soql, deleted=True)
    fixed = len(base) + len("".join(map(str, nothing.path))) + len(encoded(" IN ()")) * 2
    slices: list[Sequence[Wanted]] = []
    start, size, named = 0, fixed, set[tuple[str, str]]()
    for i, each in enumerate(wanted):
        more = _listed(kind, each) - named
        if i > start and size + sum(map(_cost, more)) >= LONGEST_URL:
            slices.append(wanted[start:i])
            start, size, named = i, fixed, set()
            more = _listed(kind, each)
        size += sum(map(_cost, more))
        named |= more
    return [*slices, wanted[start:]] if wanted else []


def _listed(kind: Kind, each: Wanted) -> set[tuple[str, str]]:
    """What one message adds to the lists of a query: the list's field, and the value."""
    listed = {("key", value) for value in _literals(kind, [each])}
    return listed if kind == "seen" else listed | {("conversation", each.conversation)}


def _cost(listed: tuple[str, str]) -> int:
    return len(encoded(soql_text(listed[1]) + ","))


# The responses


class _Pool:
    """Rows of all parts, by what they are looked up by."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._seen: dict[str, list[SeenTask]] = defaultdict(list)
        self._leads: dict[str, list[LeadRow]] = defaultdict(list)
        self._cases: dict[str, list[CaseRow]] = defaultdict(list)
        self._homes: dict[Kind, dict[str, Home]] = {"lead_home": {}, "case_home": {}}

    def take(self, kind: Kind, response: PartResponse | None) -> int:
        """Read one part and tell how many rows it had. Raises SalesforceProblem."""
        rows, more = rows_of(response, self._fields, of_records=kind in ("leads", "cases"))
        for row in rows:
            match kind:
                case "seen":
                    task = _seen(row)
                    self._seen[task.key].append(task)
                case "leads":
                    _put(self._leads, _lead(row, self._fields))
                case "cases":
                    _put(self._cases, _case(row, self._fields))
                case _:
                    self._take_home(kind, row)
        return MOST_ROWS if more else len(rows)

    def conversations(self, kind: Kind) -> set[str]:
        """Of which conversations there is a home."""
        return set(self._homes[kind])

    def look(self, wanted: Wanted) -> Look:
        """What was found for one message."""
        keys = (wanted.conversation, wanted.message)
        return Look(
            conversation=wanted.conversation,
            message=wanted.message,
            seen=tuple(
                task for key in _literals("seen", [wanted]) for task in self._seen.get(key, ())
            ),
            leads=_newest({row.id: row for key in keys for row in self._leads.get(key, ())}),
            cases=_newest({row.id: row for key in keys for row in self._cases.get(key, ())}),
            lead_home=self._homes["lead_home"].get(wanted.conversation),
            case_home=self._homes["case_home"].get(wanted.conversation),
        )

    def _take_home(self, kind: Kind, row: dict[str, Any]) -> None:
        home = Home(
            task_id=_id(row),
            created=_created(row),
            who_id=read_id(row.get("whoid")),
            what_id=read_id(row.get("whatid")),
            closed=row.get("isclosed") is True,
        )
        where = home.who_id if kind == "lead_home" else home.what_id
        wrong = kind == "case_home" and not (where or "").startswith("500")
        if row.get("isdeleted") is True or where is None or wrong:
            return
        homes, conversation = self._homes[kind], _text(row, CONVERSATION_FIELD)
        other = homes.get(conversation)
        if other is None or (other.created, other.task_id) < (home.created, home.task_id):
            homes[conversation] = home


def _put(rows: dict[str, list[Row]], row: Row) -> None:
    for key in {row.conversation, row.key} - {""}:
        rows[key].append(row)


def _newest(rows: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(rows.values(), key=lambda row: (row.created, row.id), reverse=True))


def _seen(row: dict[str, Any]) -> SeenTask:
    return SeenTask(
        id=_id(row),
        key=_text(row, TASK_KEY_FIELD),
        who_id=read_id(row.get("whoid")),
        what_id=read_id(row.get("whatid")),
        deleted=row.get("isdeleted") is True,
    )


def _lead(row: dict[str, Any], fields: Fields) -> LeadRow:
    return LeadRow(
        id=_id(row),
        key=_text(row, fields.record_key),
        conversation=_text(row, CONVERSATION_FIELD),
        created=_created(row),
        status=_text(row, "Status"),
        converted=row.get("isconverted") is True,
        contact_id=read_id(row.get("convertedcontactid")),
        deleted=row.get("isdeleted") is True,
        last_message=read_moment(row.get(LAST_MESSAGE_FIELD.lower())),
    )


def _case(row: dict[str, Any], fields: Fields) -> CaseRow:
    return CaseRow(
        id=_id(row),
        key=_text(row, fields.record_key),
        conversation=_text(row, CONVERSATION_FIELD),
        created=_created(row),
        status=_text(row, "Status"),
        closed=row.get("isclosed") is True,
        closed_at=read_moment(row.get("closeddate")),
        number=_text(row, "CaseNumber") or None,
        contact_id=read_id(row.get("contactid")),
        account_id=read_id(row.get("accountid")),
        record_type_id=read_id(row.get("recordtypeid")),
        deleted=row.get("isdeleted") is True,
        last_message=read_moment(row.get(LAST_MESSAGE_FIELD.lower())),
    )


def rows_of(
    response: PartResponse | None, fields: Fields, *, of_records: bool = True
) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a query by lower-case names, and whether there are more than it shows.

    `of_records`: of Leads or Cases, not of Tasks. Raises SalesforceProblem.
    """
    if response is None:
        raise unreadable()
    if not response.ok:
        raise _problem(response, fields, of_records=of_records)
    return [_lower(row) for row in read_rows(response.body)], response.body.get("done") is False


def _lower(row: Any) -> dict[str, Any]:
    """A row by lower-case names: an org writes a field's name as it was made."""
    if not isinstance(row, dict):
        raise unreadable()
    return {str(name).lower(): value for name, value in row.items()}


def _id(row: dict[str, Any]) -> str:
    record_id = read_id(row.get("id"))
    if record_id is None:
        raise unreadable()
    return record_id


def _created(row: dict[str, Any]) -> datetime:
    moment = read_moment(row.get("createddate"))
    if moment is None:
        raise unreadable()
    return moment


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name.lower())
    return value if isinstance(value, str) else ""


def _problem(
    response: PartResponse, fields: Fields, *, of_records: bool = True
) -> SalesforceProblem:
    """Why a part of the look failed: never a refusal of the message, which nobody has seen yet.

    `of_records`: of Leads or Cases, not of Tasks, whose key field may have the same name.
    """
    faults = read_faults(response.body, status=response.status)
    if any(fault.code in ("INVALID_FIELD", "INVALID_TYPE") for fault in faults):
        names = [fields.record_key, *_LEAD_COLUMNS, *_CASE_COLUMNS, *_SEEN_COLUMNS, *_HOME_COLUMNS]
        missing = _names_in_error(response, list(dict.fromkeys(names)))
        if of_records and fields.record_key in missing:
            return key_field_missing(fields.record_key)
        what = ", ".join(missing) or "Task, Lead or Case, or a field of them,"
        return OrgNotReady(
            f"{what} is missing or hidden from the integration user",
            code=NOT_SET_UP,
            fields=tuple(missing),
            hint=NOT_SET_UP_HINT,
        )
    if faults:
        return failed_look_up(judge(faults, key_field=""))
    return unreadable() if response.status < 500 else Unavailable("Salesforce is unavailable")


def _names_in_error(response: PartResponse, names: Iterable[str]) -> list[str]:
    """Which of these fields an INVALID_FIELD is about. The message begins with the query, which
    names them all: only its last line counts."""
    found = []
    for fault in read_faults(response.body, status=response.status):
        if fault.code != "INVALID_FIELD":
            continue
        last = fault.message.strip().rpartition("\n")[2]
        found += [
            name for name in names if re.search(rf"(?ai)(?<!\w){re.escape(name)}(?!\w)", last)
        ]
    return found
