"""Stage 1 of a save: the parser. What it cannot read refuses the whole call."""

from __future__ import annotations

from typing import Any

from sandbox.org.data.schema import ObjectType
from sandbox.org.data.state import State
from sandbox.org.data.store import Record
from sandbox.org.data.values import Unreadable, read
from sandbox.org.errors import Problem, refused
from sandbox.org.rules.access import Rights


def parse(
    state: State,
    kind: ObjectType,
    body: Any,
    actor: Rights,
    *,
    update: bool = False,
    ignore: str | None = None,
) -> tuple[Record, list[Problem]]:
    """Field values as they will be stored, and per-record problems; raises `Refused`.

    `ignore` names the external id field of an upsert, which its URL gives already.
    """
    if not isinstance(body, dict):
        raise refused(400, "JSON_PARSER_ERROR", "The value provided for the record is invalid")
    values: Record = {}
    blocked: list[str] = []
    unlinked: list[Problem] = []
    for name, value in body.items():
        if name == "attributes":
            continue
        if isinstance(value, dict):
            linked = _foreign_key(state, kind, name, value, actor)
            if isinstance(linked, Problem):
                unlinked.append(linked)
                continue
            if linked is not None:
                values[linked[0]] = linked[1]
                continue
        item = kind.field(name)
        if item is None or not actor.may_read(kind, item):
            raise refused(
                400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}"
            )
        if item.name == "Id" or (ignore is not None and item.name == ignore):
            raise refused(
                400,
                "INVALID_FIELD",
                f"The {item.name} field should not be specified in the sobject data.",
            )
        writeable = item.updateable if update else item.createable
        if not actor.everything and (not writeable or not actor.may_edit(kind, item)):
            blocked.append(item.name)
            continue
        try:
            values[item.name] = read(item, value)
        except Unreadable as error:
            raise refused(
                400, "JSON_PARSER_ERROR", f"{error} at [line:1, column:{_column(body, name)}]"
            ) from error
    if not blocked:
        return values, unlinked
    return values, [
        *unlinked,
        Problem(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            f"Unable to create/update fields: {', '.join(blocked)}. Please check the security "
            "settings of this field and verify that it is read/write for your profile or "
            "permission set.",
            tuple(blocked),
        ),
    ]


def _foreign_key(
    state: State, kind: ObjectType, name: str, value: dict[str, Any], actor: Rights
) -> tuple[str, str] | Problem | None:
    """``{"Account": {"Number__c": "7"}}`` names a parent by its external id.

    One that is not there is the record's problem, not the call's. None: it is no such link.
    """
    item = kind.relationship(name)
    if item is None:
        return None
    keys = {k: v for k, v in value.items() if k != "attributes"}
    for target in item.reference_to:
        parent = state.schema[target]
        for key, wanted in keys.items():
            column = parent.field(key)
            if column is None or not column.external_id or len(keys) != 1:
                continue
            if not actor.may_read(parent, column):
                continue
            found = state.store[target].ids_with(column.name, wanted)
            if len(found) == 1:
                return item.name, found[0]
            return Problem(
                "INVALID_FIELD",
                f"Foreign key external ID: {wanted} not found for field {column.name} in "
                f"entity {target}",
                (),
            )
    return None


def _column(body: dict[str, Any], name: str) -> int:
    """About where the value stands in the body, as the parser's messages say."""
    column = 2
    for key, value in body.items():
        column += len(key) + 4
        if key == name:
            return column
        column += len(str(value)) + 3
    return column
