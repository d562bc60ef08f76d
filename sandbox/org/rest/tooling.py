"""The part of the Tooling API that sets an org up: custom fields.

A field made here is visible to nobody, its maker included, until field permissions are given.
"""

from __future__ import annotations

import re
from typing import Any

from sandbox.org.data import ids
from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.store import Record
from sandbox.org.errors import KNOWN, Problem, Refused, not_found, refused
from sandbox.org.rest.call import Call, Response
from sandbox.org.rest.queries import run_query

_TYPES = {
    "Text": "string",
    "TextArea": "textarea",
    "LongTextArea": "textarea",
    "Email": "email",
    "Phone": "phone",
    "Url": "url",
    "Number": "double",
    "Currency": "currency",
    "Percent": "percent",
    "Checkbox": "boolean",
    "Date": "date",
    "DateTime": "datetime",
    "Picklist": "picklist",
}
_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*__c\Z")


def serve(call: Call) -> Response:
    parts = call.parts[1:]
    if not parts:
        raise not_found()
    if parts[0] in ("query", "queryAll"):
        return _query(call, parts)
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
    call.allow("GET", "HEAD", "PATCH", "DELETE")
    if call.method == "PATCH":
        return _change(call, record)
    if call.method == "DELETE":
        call.org.remove_field(record["TableEnumOrId"], record["DeveloperName"] + "__c")
        call.org.store.delete("CustomField", record["Id"], {})
        return Response(204)
    return Response(200, _shown(call, record))


def _query(call: Call, parts: list[str]) -> Response:
    """``CustomField`` by query. ``FullName`` and ``Metadata`` are returned for one row only."""
    text = call.query.get("q", "")
    _register_known(call)
    wants_metadata = re.search(r"select[^()]*\bMetadata\b.*\bfrom\b", text, re.I | re.S)
    if wants_metadata:
        bare = re.sub(r",\s*Metadata\b|\bMetadata\s*,", "", text, flags=re.I)
        call.query = {**call.query, "q": bare}
    response = run_query(call, parts, tooling=True)
    if wants_metadata:
        rows = response.body["records"]
        if len(rows) > 1:
            raise refused(
                400,
                "MALFORMED_QUERY",
                "When retrieving results with Metadata or FullName fields, the query "
                "qualifications must specify no more than one row for retrieval. Result size: "
                f"{len(rows)}",
            )
        for row in rows:
            record = call.org.store["CustomField"].live[row["attributes"]["url"].rpartition("/")[2]]
            row["Metadata"] = _metadata(_field(call, record))
    return response


def _register_known(call: Call) -> None:
    """Fields that were made in process get their row, so that a query finds them."""
    table = call.org.store["CustomField"]
    known = {(r["TableEnumOrId"], r["DeveloperName"]) for r in table.live.values()}
    for kind in call.org.schema.objects.values():
        for item in kind.fields.values():
            name = item.name.removesuffix("__c")
            if item.custom and (kind.name, name) not in known:
                _register(call, kind, item)


def _register(call: Call, kind: ObjectType, item: Field) -> str:
    return call.org.put_raw(
        "CustomField",
        DeveloperName=item.name.removesuffix("__c"),
        TableEnumOrId=kind.name,
        FullName=f"{kind.name}.{item.name}",
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
    kind = call.org.schema.find(object_name)
    if kind is None or kind.setup:
        raise refused(
            400, "INVALID_CROSS_REFERENCE_KEY", f"In field: entity - no {object_name} found", ()
        )
    if not _NAME.match(name):
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
    item = _from_metadata(name, metadata)
    call.org.put_field(kind.name, item)
    new_id = _register(call, kind, item)
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
    kind = call.org.schema[record["TableEnumOrId"]]
    item = _from_metadata(record["DeveloperName"] + "__c", metadata)
    call.org.put_field(kind.name, item)
    call.org.store.update("CustomField", record["Id"], {"Length": item.length})
    return Response(204)


def _from_metadata(name: str, metadata: dict[str, Any]) -> Field:
    """A field as its metadata describes it; raises `Refused`."""
    _check_types(metadata)
    kind = metadata.get("type")
    problems = []
    if kind not in _TYPES:
        problems.append(Problem("INVALID_TYPE", f"Unknown field type: {kind}", ("Type",)))
    if not metadata.get("label"):
        problems.append(
            Problem("REQUIRED_FIELD_MISSING", "Required fields are missing: [Label]", ("Label",))
        )
    length = metadata.get("length")
    if kind == "Text" and not (isinstance(length, int) and 1 <= length <= 255):
        problems.append(
            Problem(
                "FIELD_INTEGRITY_EXCEPTION",
                f"Text field length must be between 1 and 255: {length}",
                ("Length",),
            )
        )
    if problems:
        raise Refused(400, problems)
    choices = (metadata.get("valueSet") or {}).get("valueSetDefinition") or {}
    kind_name = _TYPES[str(kind)]
    fixed = {"email": 80, "phone": 40, "url": 255, "picklist": 255}
    return Field(
        name,
        str(metadata["label"]),
        kind_name,
        length=fixed.get(kind_name, int(length or (255 if kind_name == "textarea" else 0))),
        precision=int(metadata.get("precision") or 0),
        scale=int(metadata.get("scale") or 0),
        required=metadata.get("required") is True,
        unique=metadata.get("unique") is True,
        case_sensitive=metadata.get("caseSensitive") is True,
        external_id=metadata.get("externalId") is True,
        id_lookup=metadata.get("externalId") is True,
        values=tuple(str(v.get("fullName")) for v in choices.get("value") or ()),
        restricted=(metadata.get("valueSet") or {}).get("restricted") is True,
        custom=True,
    )


def _check_types(metadata: dict[str, Any]) -> None:
    """Raises `Refused` where a property has another JSON type than Salesforce's."""
    values = metadata.get("valueSet") or {}
    definition = values.get("valueSetDefinition") or {} if isinstance(values, dict) else None
    choices = definition.get("value") or [] if isinstance(definition, dict) else None
    good = (
        isinstance(metadata.get("type"), str | None)
        and all(
            metadata.get(name) is None or type(metadata[name]) is int
            for name in ("length", "precision", "scale")
        )
        and isinstance(choices, list)
        and all(isinstance(choice, dict) for choice in choices)
    )
    if not good:
        raise refused(400, "JSON_PARSER_ERROR", "Metadata has a value of the wrong type")


def _metadata(item: Field) -> dict[str, Any]:
    names = {value: name for name, value in reversed(_TYPES.items())}
    return {
        "label": item.label,
        "type": names.get(item.type, "Text"),
        "length": item.length or None,
        "precision": item.precision or None,
        "scale": item.scale or None,
        "required": item.required,
        "unique": item.unique,
        "caseSensitive": item.case_sensitive,
        "externalId": item.external_id,
        "description": None,
    }


def _field(call: Call, record: Record) -> Field:
    return call.org.schema[record["TableEnumOrId"]].fields[record["DeveloperName"] + "__c"]


def _shown(call: Call, record: Record) -> dict[str, Any]:
    url = f"/services/data/{call.version}/tooling/sobjects/CustomField/{record['Id']}"
    return {
        "attributes": {"type": "CustomField", "url": url},
        **{
            name: record.get(name)
            for name in ("Id", "DeveloperName", "TableEnumOrId", "NamespacePrefix", "FullName")
        },
        "Metadata": _metadata(_field(call, record)),
    }
