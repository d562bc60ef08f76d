"""The part of the Tooling API that sets an org up: custom fields.

A field made here is visible to nobody, its maker included, until field permissions are given.
"""

from __future__ import annotations

from typing import Any

from sandbox.org.data import ids
from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.store import Record
from sandbox.org.errors import KNOWN, not_found, refused
from sandbox.org.rest.call import Call, Response
from sandbox.org.rest.custom_fields import NAME, container, from_metadata, to_metadata
from sandbox.org.rest.queries import run_query


def serve(call: Call) -> Response:
    parts = call.parts[1:]
    if not parts:
        raise not_found()
    if parts[0] in ("query", "queryAll"):
        _register_known(call)
        return run_query(call, parts, tooling=True)
    if parts[0] != "sobjects" or len(parts) < 2 or parts[1].lower() != "customfield":
        raise not_found()
    if not call.actor.may("PermissionsCustomizeApplication"):
        status, message = KNOWN["INSUFFICIENT_ACCESS"]
        raise refused(status, "INSUFFICIENT_ACCESS", message)
    if len(parts) == 2:
        call.allow("POST")
        return _create(call)
    record = call.org.store["CustomField"].live.get(ids.normalise(parts[2]) or "")
    if record is None:
        raise not_found()
    call.allow("GET", "HEAD", "PATCH")
    if call.method == "PATCH":
        return _change(call, record)
    return Response(200, _shown(call, record))


def _register_known(call: Call) -> None:
    """Fields that were made in process get their row, so that a query finds them."""
    table = call.org.store["CustomField"]
    known = {(r["TableEnumOrId"], r["DeveloperName"]) for r in table.live.values()}
    for kind in call.org.schema.objects.values():
        for item in kind.fields.values():
            key = (holder_of(kind), item.name.removesuffix("__c"))
            if item.custom and key not in known:
                known.add(key)
                _register(call, key[0], item)


def holder_of(kind: ObjectType) -> str:
    """The object whose custom fields these are: Activity for Task and Event."""
    return "Activity" if kind.name in ("Task", "Event") else kind.name


def _register(call: Call, holder: str, item: Field) -> str:
    return call.org.put_raw(
        "CustomField",
        DeveloperName=item.name.removesuffix("__c"),
        TableEnumOrId=holder,
        FullName=f"{holder}.{item.name}",
        Length=item.length,
    )


def _create(call: Call) -> Response:
    body = call.json()
    full = body.get("FullName") if isinstance(body, dict) else None
    metadata = body.get("Metadata") if isinstance(body, dict) else None
    if not isinstance(full, str) or not isinstance(metadata, dict):
        raise refused(
            400,
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [FullName, Metadata]",
            ("FullName", "Metadata"),
        )
    object_name, _, name = full.partition(".")
    kind = container(call.org, object_name)
    if not NAME.match(name):
        raise refused(
            400,
            "FIELD_INTEGRITY_EXCEPTION",
            f"Field name provided, {name} is not of the correct format",
            ("FullName",),
        )
    if kind.field(name) is not None:
        bare = name.removesuffix("__c")
        raise refused(
            400,
            "DUPLICATE_DEVELOPER_NAME",
            f"There is already a field named {bare} on {kind.label}.",
            ("DeveloperName",),
        )
    item = from_metadata(name, metadata)
    holder = holder_of(kind)
    call.org.put_field(holder, item)
    new_id = _register(call, holder, item)
    body = {"id": new_id, "success": True, "errors": [], "warnings": [], "infos": []}
    location = f"/services/data/{call.version}/tooling/sobjects/CustomField/{new_id}"
    return Response(201, body, {"Location": location})


def _change(call: Call, record: Record) -> Response:
    body = call.json()
    metadata = body.get("Metadata") if isinstance(body, dict) else None
    if not isinstance(metadata, dict):
        raise refused(
            400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Metadata]", ("Metadata",)
        )
    item = from_metadata(record["DeveloperName"] + "__c", metadata)
    call.org.put_field(record["TableEnumOrId"], item)
    call.org.store.update("CustomField", record["Id"], {"Length": item.length})
    return Response(204)


def _field(call: Call, record: Record) -> Field:
    kind = call.org.schema.with_fields_of(record["TableEnumOrId"])[0]
    return kind.fields[record["DeveloperName"] + "__c"]


def _shown(call: Call, record: Record) -> dict[str, Any]:
    url = f"/services/data/{call.version}/tooling/sobjects/CustomField/{record['Id']}"
    return {
        "attributes": {"type": "CustomField", "url": url},
        **{
            name: record.get(name)
            for name in ("Id", "DeveloperName", "TableEnumOrId", "NamespacePrefix", "FullName")
        },
        "Metadata": to_metadata(_field(call, record)),
    }
