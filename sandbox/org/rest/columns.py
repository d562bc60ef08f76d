"""``query?columns=true``: what the columns of a query are, instead of its rows.

Undocumented. The keys, and the values for ids, text, parents and aggregates, are those of captures
in the tests of Salesforce's own CLI, which prints the result of a query with it.
"""

from __future__ import annotations

from typing import Any

from sandbox.org.data.schema import NUMBER_TYPES, Field, ObjectType
from sandbox.org.query.execution import Path, QueryRun
from sandbox.org.rest.call import Call, Response

# Text is everything else. Those of numbers are not confirmed.
_APEX_TYPES = {
    "id": "Id",
    "reference": "Id",
    "boolean": "Boolean",
    "int": "Integer",
    "double": "Double",
    "currency": "Double",
    "percent": "Double",
    "date": "Date",
    "datetime": "Datetime",
    "address": "Address",
    "base64": "Blob",
}


def describe_columns(call: Call, run: QueryRun) -> Response:
    """The columns in the order of the query; those of a parent lie below one for the parent."""
    columns: list[dict[str, Any]] = []
    paths = run.paths()
    for path in paths:
        _add(call, columns, path)
    for number, name in enumerate(run.query.counted):
        shown = f"count({name})"
        columns.append(_column(f"expr{number}", aggregate=True, displayName=shown, numberType=True))
    return Response(
        200,
        {
            "columnMetadata": columns,
            "entityName": run.kind.name,
            "groupBy": False,
            "idSelected": any(path[-1][0].name == "Id" for path in paths if len(path) == 1),
            "keyPrefix": run.kind.prefix,
        },
    )


def _add(call: Call, columns: list[dict[str, Any]], path: Path) -> None:
    (item, kind), *below = path
    if not below:
        columns.append(_of_field(call, kind, item))
        return
    name = item.relationship or item.name
    parent = next((c for c in columns if c["columnName"] == name and c["joinColumns"]), None)
    if parent is None:
        parent = _column(name, foreignKeyName=item.name)
        columns.append(parent)
    _add(call, parent["joinColumns"], tuple(below))


def _of_field(call: Call, kind: ObjectType, item: Field) -> dict[str, Any]:
    apex_type = _APEX_TYPES.get(item.type, "String")
    editable = call.actor.may_edit(kind, item)
    return _column(
        item.name,
        apexType=apex_type,
        booleanType=item.type == "boolean",
        custom=item.custom,
        insertable=item.createable and editable,
        numberType=item.type in NUMBER_TYPES,
        textType=apex_type == "String",
        updatable=item.updateable and editable,
    )


def _column(name: str, **properties: Any) -> dict[str, Any]:
    return {
        "aggregate": False,
        "apexType": None,
        "booleanType": False,
        "columnName": name,
        "custom": False,
        "displayName": name,
        "foreignKeyName": None,
        "insertable": False,
        "joinColumns": [],
        "numberType": False,
        "textType": False,
        "updatable": False,
        **properties,
    }
