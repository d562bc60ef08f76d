"""Where the files of a message belong: on the record that its Task is on now.

Salesforce moves Tasks at conversion and merge, so the Task leads to the record that a person looks
at. A message outside conversations has no Task: its record is found by the message's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.bird.channels import OBJECTS
from bridge.conversations.keys import task_key
from bridge.delivery.calls import Calls
from bridge.errors import OrgNotReady, Unavailable
from bridge.files.envelope import FileEnvelope
from bridge.records import ObjectName
from bridge.salesforce.client import TASK_KEY_FIELD, soql_text
from bridge.salesforce.composite import Part, PartResponse, query_part
from bridge.salesforce.responses import (
    SET_UP,
    failed_look_up,
    judge,
    read_faults,
    read_rows,
    unreadable,
)
from bridge.salesforce.session import read_id

MOST_MERGES = 5
"""Merged records that are followed one after the other."""

NOT_SET_UP_HINT = (
    "Salesforce administrator: make the field Bird_Key__c on Content Version and on Activity, and "
    f"give the integration user access to them: {SET_UP} Or deploy with AttachMedia=off."
)


class Place(NamedTuple):
    """The record to attach to; an empty id: a person has deleted what the message was logged on."""

    record_id: str
    merged_into: ObjectName | None = None
    """Of a record that was merged into this one, which has to be looked at: their object."""


NOWHERE = Place("")


def find_place(envelope: FileEnvelope, calls: Calls, *, key_field: str) -> str:
    """The id of the record that a message's files belong on; empty where a person has deleted what
    the message was logged on. Raises Unavailable, NotSetUp."""
    place = read_place(envelope, calls.send_parts(place_parts(envelope, key_field=key_field)))
    for _ in range(MOST_MERGES):
        if place.merged_into is None:
            return place.record_id
        where = f"Id = {soql_text(place.record_id)}"
        part = query_part(place.merged_into, _record_soql(place.merged_into, where), deleted=True)
        rows = rows_of(calls.send_parts([part]).get(part.name))
        place = read_record(place.merged_into, rows[0]) if rows else NOWHERE
    return "" if place.merged_into else place.record_id


def place_parts(envelope: FileEnvelope, *, key_field: str) -> list[Part]:
    """The reads that find the message's Tasks and the records of its key."""
    keys = ",".join(soql_text(task_key(name, envelope.key)) for name in OBJECTS)
    columns = f"Id,{TASK_KEY_FIELD},WhoId,WhatId,IsDeleted"
    task = f"SELECT {columns} FROM Task WHERE {TASK_KEY_FIELD} IN ({keys})"
    where = f"{key_field} = {soql_text(envelope.key)}"
    parts = [] if not envelope.conversation else [query_part("tasks", task, deleted=True)]
    return parts + [query_part(name, _record_soql(name, where), deleted=True) for name in OBJECTS]


def read_place(envelope: FileEnvelope, responses: Mapping[str, PartResponse]) -> Place:
    """Where the files belong. Raises Unavailable, NotSetUp."""
    tasks: list[dict[str, Any]] = []
    if envelope.conversation:
        rank = {task_key(name, envelope.key): name != envelope.requested for name in OBJECTS}
        tasks = rows_of(responses.get("tasks"))
        tasks.sort(key=lambda row: rank.get(str(row.get(TASK_KEY_FIELD)), True))
        for row in tasks:
            if row.get("IsDeleted") is not True and (parent := _parent(row)):
                return Place(parent)
    found: list[Place] = []
    for name in sorted(OBJECTS, key=lambda name: name != envelope.requested):
        response = responses.get(name)
        # An object that the user cannot see keeps no file of the other one back.
        if envelope.requested not in (None, name) and not (response and response.ok):
            continue
        found += (read_record(name, row) for row in rows_of(response))
    if not tasks and not found:
        # Or not as far as the user can see.
        raise Unavailable("the message is not in Salesforce yet", code="NO_RECORD_YET")
    return next((place for place in found if place.record_id), NOWHERE)


def read_record(name: ObjectName, row: Mapping[str, Any]) -> Place:
    """What the row of a record tells: itself, its contact, or the one it was merged into."""
    record_id, master = read_id(row.get("Id")), read_id(row.get("MasterRecordId"))
    if record_id is None:
        raise unreadable()
    if row.get("IsDeleted") is True:
        return Place(master, merged_into=name) if master else NOWHERE
    contact = read_id(row.get("ConvertedContactId"))
    return Place(contact or record_id)


def rows_of(response: PartResponse | None) -> list[dict[str, Any]]:
    """The rows of a query. Raises Unavailable, NotSetUp: a read that failed tells nothing."""
    if response is None:
        raise unreadable()
    if response.ok:
        return read_rows(response.body)
    faults = read_faults(response.body, status=response.status)
    if any(fault.code in ("INVALID_FIELD", "INVALID_TYPE") for fault in faults):
        raise not_set_up()
    raise failed_look_up(judge(faults, key_field=""))


def not_set_up() -> OrgNotReady:
    """The org lacks what files need."""
    return OrgNotReady(
        "the org is not set up for files, or not for this user",
        code="FILES_NOT_SET_UP",
        hint=NOT_SET_UP_HINT,
    )


def _record_soql(name: ObjectName, where: str) -> str:
    converted = ",ConvertedContactId" if name == "Lead" else ""
    return f"SELECT Id,IsDeleted,MasterRecordId{converted} FROM {name} WHERE {where}"


def _parent(row: Mapping[str, Any]) -> str | None:
    """A Task's Case, else its Lead or Contact, else the Task itself."""
    what, who = read_id(row.get("WhatId")), read_id(row.get("WhoId"))
    if what and what.startswith("500"):
        return what
    return who or what or read_id(row.get("Id"))
