"""The recycle bin, and what happens to related records: delete, undelete, merge.

What belongs to a deleted record is deleted with it and comes back with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.org.data.state import State
from sandbox.org.data.store import Record
from sandbox.org.errors import Problem, Refused

# Object to the records that belong to it: (their object, their field).
_BELONGING: dict[str, tuple[tuple[str, str], ...]] = {
    "Lead": (("Task", "WhoId"), ("Event", "WhoId"), ("CampaignMember", "LeadId")),
    "Contact": (("Task", "WhoId"), ("Event", "WhoId"), ("CampaignMember", "ContactId")),
    "Case": (("Task", "WhatId"), ("Event", "WhatId"), ("CaseComment", "ParentId")),
    "Opportunity": (("Task", "WhatId"), ("Event", "WhatId")),
    "ContentDocument": (
        ("ContentVersion", "ContentDocumentId"),
        ("ContentDocumentLink", "ContentDocumentId"),
    ),
    "Account": (
        ("Contact", "AccountId"),
        ("Opportunity", "AccountId"),
        ("Task", "WhatId"),
        ("Event", "WhatId"),
    ),
    "Campaign": (("Task", "WhatId"), ("Event", "WhatId"), ("CampaignMember", "CampaignId")),
}
# Object to what refers to it without belonging to it: emptied by a delete, moved by a merge.
_REFERRING: dict[str, tuple[tuple[str, str], ...]] = {
    "Case": (("Case", "ParentId"),),
    "Contact": (("Case", "ContactId"), ("Contact", "ReportsToId")),
    "Account": (("Case", "AccountId"), ("Account", "ParentId")),
}
_FILES = ("ContentDocumentLink", "LinkedEntityId")


def _related(state: State, object_name: str, field_name: str, record_id: str) -> list[Record]:
    table = state.store[object_name]
    return [table.live[found] for found in table.linked(field_name, record_id)]


def _stamps(state: State) -> Record:
    stamp = state.clock.stamp()
    return {"LastModifiedDate": stamp, "SystemModstamp": stamp}


def delete_record(state: State, object_name: str, record_id: str) -> None:
    """Move a live record and what belongs to it to the recycle bin."""
    _delete(state, object_name, record_id, {}, state.deleted_with[record_id])


def _delete(
    state: State,
    object_name: str,
    record_id: str,
    changes: Record,
    with_it: list[tuple[str, str]],
) -> None:
    for other, field_name in (*_BELONGING.get(object_name, ()), _FILES):
        for child in _related(state, other, field_name, record_id):
            if _belongs_elsewhere(state, child, field_name):
                state.store.update(other, child["Id"], {field_name: None})
            else:
                with_it.append((other, child["Id"]))
                _delete(state, other, child["Id"], {}, with_it)
    for other, field_name in _REFERRING.get(object_name, ()):
        for record in _related(state, other, field_name, record_id):
            state.store.update(other, record["Id"], {field_name: None})
    state.store.delete(object_name, record_id, {**_stamps(state), **changes})


def _belongs_elsewhere(state: State, child: Record, field_name: str) -> bool:
    """An activity with a contact and a case lives as long as one of them. [not confirmed]"""
    other_id = child.get({"WhoId": "WhatId", "WhatId": "WhoId"}.get(field_name, "")) or ""
    kind = state.schema.by_id(other_id)
    return kind is not None and other_id in state.store[kind.name].live


def undelete_record(state: State, object_name: str, record_id: str) -> None:
    """Bring a record back with what was deleted with it.

    Raises `Refused` with DUPLICATE_VALUE where a unique value was given to another record.
    """
    rows = [(object_name, record_id), *state.deleted_with.pop(record_id, [])]
    for name, found in rows:
        table = state.store[name]
        record = table.deleted[found]
        for item in table.kind.fields.values():
            value = record.get(item.name) if item.unique else None
            taken = table.ids_with(item.name, value) if value is not None else ()
            if taken:
                text = f"duplicate value found: {item.name} duplicates value on record with id: "
                raise Refused(400, [Problem("DUPLICATE_VALUE", text + taken[0])])
    for name, found in rows:
        state.store.undelete(name, found)


def merge_records(state: State, object_name: str, master_id: str, *loser_ids: str) -> None:
    """Merge records: what belongs to the losers moves to the master, the losers are deleted.

    The master keeps its own values. Salesforce merges three records at most; here any number.
    """
    for loser in loser_ids:
        for other, field_name in _moving(object_name):
            for record in _related(state, other, field_name, loser):
                stamp = state.clock.stamp()
                moved = {field_name: master_id, "SystemModstamp": stamp}
                state.store.update(other, record["Id"], moved)
        changes = {"MasterRecordId": master_id}
        _delete(state, object_name, loser, changes, state.deleted_with[loser])


def _moving(object_name: str) -> Iterator[tuple[str, str]]:
    yield from _BELONGING.get(object_name, ())
    yield from _REFERRING.get(object_name, ())
    yield _FILES
