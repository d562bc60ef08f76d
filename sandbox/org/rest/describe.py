"""`describe`: what an object is like, for one user."""

from __future__ import annotations

from typing import Any

from sandbox.org.data.schema import ObjectType
from sandbox.org.data.state import MASTER_RECORD_TYPE
from sandbox.org.rest.call import Call

_NEVER = (
    *("activateable", "customSetting", "deprecatedAndHidden", "feedEnabled", "hasSubtypes"),
    "isSubtype",
)
_ON_PAGES = ("layoutable", "mruEnabled", "searchable", "triggerable")


def object_summary(call: Call, kind: ObjectType) -> dict[str, Any]:
    base = f"/services/data/{call.version}/sobjects/{kind.name}"
    may = call.actor.may_object
    return {
        **dict.fromkeys(_NEVER, False),
        **dict.fromkeys(_ON_PAGES, not kind.setup),
        "createable": may(kind, "Create"),
        "custom": kind.name.endswith("__c"),
        "deletable": may(kind, "Delete"),
        "keyPrefix": kind.prefix,
        "label": kind.label,
        "labelPlural": kind.plural,
        "mergeable": kind.name in ("Lead", "Contact", "Account", "Case"),
        "name": kind.name,
        "queryable": may(kind, "Read"),
        "replicateable": True,
        "retrieveable": may(kind, "Read"),
        "undeletable": may(kind, "Delete"),
        "updateable": may(kind, "Edit"),
        "urls": {
            "describe": f"{base}/describe",
            "rowTemplate": f"{base}/{{ID}}",
            "sobject": base,
        },
    }


def describe_global(call: Call) -> dict[str, Any]:
    visible = [
        kind
        for kind in call.org.schema.objects.values()
        if not kind.tooling and call.actor.may_object(kind, "Read")
    ]
    return {
        "encoding": "UTF-8",
        "maxBatchSize": 200,
        "sobjects": [object_summary(call, kind) for kind in visible],
    }


def describe(call: Call, kind: ObjectType) -> dict[str, Any]:
    """All fields that the user may see: a hidden one looks like one that does not exist."""
    fields = []
    for item in kind.fields.values():
        if not call.actor.may_read(kind, item):
            continue
        shown = item.describe(editable=call.actor.may_edit(kind, item))
        if kind.name == "Lead" and item.name == "Company" and call.org.settings.person_accounts:
            shown["nillable"] = True
        fields.append(shown)
    return {
        "actionOverrides": [],
        "childRelationships": [],
        "compactLayoutable": True,
        **dict.fromkeys(("listviewable", "lookupLayoutable", "networkScopeFieldName")),
        **object_summary(call, kind),
        "fields": fields,
        "namedLayoutInfos": [],
        "recordTypeInfos": _record_types(call, kind),
        "searchLayoutable": True,
        "supportedScopes": [{"label": "All", "name": "everything"}],
    }


def _record_types(call: Call, kind: ObjectType) -> list[dict[str, Any]]:
    """The active record types of an object, and the master type, which is the default here."""
    rows = [
        (row["Id"], row["Name"], row["DeveloperName"])
        for row in call.org.store["RecordType"].live.values()
        if row["SobjectType"] == kind.name and row.get("IsActive")
    ]
    return [
        {
            "active": True,
            "available": True,
            "defaultRecordTypeMapping": record_type_id == MASTER_RECORD_TYPE,
            "developerName": developer_name,
            "master": record_type_id == MASTER_RECORD_TYPE,
            "name": name,
            "recordTypeId": record_type_id,
            "urls": {},
        }
        for record_type_id, name, developer_name in (
            *rows,
            (MASTER_RECORD_TYPE, "Master", "Master"),
        )
    ]
