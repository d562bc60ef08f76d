"""Enrichment: the record that a key leads to is found and changed by one composite.

A key is a conversation's (then its open record is meant, else its newest), a record's or a
message's. Two queries look for the open record and for the message's Task, and a change hangs on
each by reference: of these one leads somewhere at most. Where neither does, the whole look tells
(`look.py`, `record_of`). Source of the rules: ADR 0083.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.conversations.decide import CaseRow, LeadRow, Look, Rules, object_of, record_of
from bridge.conversations.keys import task_key
from bridge.conversations.look import CONVERSATION_FIELD, Fields, rows_of
from bridge.conversations.write import problem_of
from bridge.errors import NoSuchRecord, Refused
from bridge.records import ObjectName, Record
from bridge.salesforce.client import NOT_REASSIGNED, TASK_KEY_FIELD, soql_text
from bridge.salesforce.composite import Part, PartResponse, Ref, is_halted, query_part
from bridge.salesforce.responses import unreadable
from bridge.salesforce.session import read_id

CONVERTED = "CANNOT_UPDATE_CONVERTED_LEAD"
GONE = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND"})
NO_RECORD = "no record with this key is in Salesforce, or none that the integration user can see"
NO_RECORD_HINT = (
    "In the flow: send the key of the response that made the record, or the conversation's id. "
    "Its message may wait in the outbox or be in Rejected still."
)


@dataclass(frozen=True)
class Target:
    """The record that a key leads to. `converted`: a Lead that takes no values any more;
    `contact_id`: what it was converted to."""

    record_id: str
    number: str | None = None
    converted: bool = False
    contact_id: str | None = None


@dataclass(frozen=True)
class NotTaken:
    """Salesforce refuses the values."""

    problem: Refused
    target: Target


Result = Target | NotTaken | None
"""The record that was changed or is converted; None: nothing was changed, since the key leads
elsewhere or the record is gone, so look again."""


def no_such_record() -> NoSuchRecord:
    """The problem of a key that leads nowhere."""
    return NoSuchRecord(NO_RECORD, hint=NO_RECORD_HINT)


def find_parts(record: Record, fields: Fields, rules: Rules | None) -> list[Part]:
    """Find the record of a key and change it. `rules` None: there are no conversations."""
    found = Ref("open", "records[0].Id")
    parts = [
        query_part("open", _open_query(record, fields, rules)),
        change_part(record, found),
    ]
    if rules is None:
        return parts
    where = "WhoId" if record.object == "Lead" else "WhatId"
    key = soql_text(task_key(as_object(record), record.key))
    seen = f"SELECT Id,{where} FROM Task WHERE {TASK_KEY_FIELD} = {key} LIMIT 1"
    on = Ref("seen", f"records[0].{where}")
    parts += [query_part("seen", seen), change_part(record, on, name="change_seen")]
    if record.object == "Case":
        path = ("/sobjects/Case/", on, "?fields=CaseNumber")
        parts.append(Part(name="number", method="GET", path=path))
    return parts


def read_found(
    record: Record, fields: Fields, responses: Mapping[str, PartResponse], *, conversations: bool
) -> Result:
    """What has become of the update. Raises SalesforceProblem for what passes or needs a person."""
    rows, _ = rows_of(responses.get("open"), fields)
    if rows:
        record_id = read_id(rows[0].get("id"))
        if record_id is None:
            raise unreadable()
        contact_id = read_id(rows[0].get("convertedcontactid"))
        target = Target(
            record_id,
            number=_text(rows[0].get("casenumber")),
            converted=rows[0].get("isconverted") is True,
            contact_id=contact_id,
        )
        return read_change(record, target, responses.get("change"))
    rows = rows_of(responses.get("seen"), fields, of_records=False)[0] if conversations else []
    where = "whoid" if record.object == "Lead" else "whatid"
    record_id = read_id(rows[0].get(where)) if rows else None
    if record_id is None:
        return None
    if object_of(record_id) == "Contact":
        return _contact(record_id)
    if object_of(record_id) != record.object:
        return None  # a person has moved the Task elsewhere
    number = responses.get("number")
    known = number.body if number and number.ok and isinstance(number.body, dict) else {}
    target = Target(record_id, number=_text(known.get("CaseNumber")))
    return read_change(record, target, responses.get("change_seen"))


def read_change(record: Record, target: Target, response: PartResponse | None) -> Result:
    """What the response to a change means. Raises as `read_found`."""
    if response is None:
        raise unreadable()
    if response.ok:
        return replace(target, converted=False)
    if is_halted(response):
        raise unreadable()  # its reference led somewhere
    problem = problem_of(response, object_name=record.object)
    if target.converted or problem.code == CONVERTED:
        return replace(target, converted=True) if target.contact_id else None
    if problem.code in GONE:
        return None
    if isinstance(problem, Refused):
        return NotTaken(problem, target)
    raise problem


def target_of(look: Look, record: Record, rules: Rules) -> Target | None:
    """The record that a key leads to, by a look for the key; None if it leads nowhere."""
    found = record_of(look, as_object(record), rules)
    if found is None or found.record_id is None or found.deleted:
        return None
    if found.object == "Contact":
        return _contact(found.record_id)
    if found.object != record.object:
        return None
    rows: Sequence[LeadRow | CaseRow] = (*look.leads, *look.cases)
    row = next((row for row in rows if row.id == found.record_id), None)
    if isinstance(row, LeadRow) and row.converted:
        home = look.lead_home.who_id if look.lead_home else None
        contact_id = home if home and object_of(home) == "Contact" else row.contact_id
        return Target(row.id, converted=True, contact_id=contact_id)
    return Target(found.record_id, found.number)


def _contact(record_id: str) -> Target:
    return Target(record_id, converted=True, contact_id=record_id)


def change_part(record: Record, record_id: str | Ref, *, name: str = "change") -> Part:
    """Change one record."""
    return Part(
        name=name,
        method="PATCH",
        path=(f"/sobjects/{record.object}/", record_id),
        body=record.fields,
        headers=NOT_REASSIGNED,
    )


def _open_query(record: Record, fields: Fields, rules: Rules | None) -> str:
    """The open record of the conversation with this key, or the record with this key. The key of a
    conversation's first record is the conversation's."""
    key, value = fields.record_key, soql_text(record.key)
    is_lead = record.object == "Lead"
    columns = "Id,IsConverted,ConvertedContactId" if is_lead else "Id,CaseNumber"
    condition = f"{key} = {value}"
    if rules is not None:
        conversation = f"{CONVERSATION_FIELD} = {value} AND {key} != null"
        other = f"({CONVERSATION_FIELD} = null OR {CONVERSATION_FIELD} != {value})"
        is_open = _is_open_lead(rules) if is_lead else "IsClosed = false"
        condition = f"({conversation} AND {is_open}) OR ({key} = {value} AND {other})"
    return (
        f"SELECT {columns} FROM {record.object} WHERE {condition} ORDER BY CreatedDate DESC LIMIT 1"
    )


def _is_open_lead(rules: Rules) -> str:
    closed = sorted(rules.closed_lead_statuses)
    statuses = ",".join(soql_text(status) for status in closed)
    return "IsConverted = false" + (f" AND Status NOT IN ({statuses})" if closed else "")


def as_object(record: Record) -> ObjectName:
    """What an update is of: no Task is updated."""
    return "Lead" if record.object == "Lead" else "Case"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
