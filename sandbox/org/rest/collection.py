"""Many records in one call, which counts as one: sObject Collections."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from sandbox.org.data.schema import ObjectType
from sandbox.org.data.store import Record
from sandbox.org.errors import Refused, not_found, refused
from sandbox.org.rest.call import Call, Response
from sandbox.org.rest.sobjects import external_id, show
from sandbox.org.rules.access import visible_record
from sandbox.org.rules.saving import Outcome

MAX_RECORDS = 200
MAX_CHUNKS = 10


def collections(call: Call, parts: list[str]) -> Response:
    """Up to 200 records of any objects; the response is an ordered array."""
    if call.method in ("GET", "HEAD") or (call.method == "POST" and len(parts) == 1):
        return _retrieve(call, parts)
    if call.method == "DELETE" and not parts:
        return _delete(call)
    if call.method == "PATCH" and len(parts) == 2:
        return _upsert(call, parts)
    if parts:
        raise not_found()
    call.allow("POST", "PATCH", "DELETE")
    records, all_or_none = _records(call)
    _check_chunks(records)
    options = call.options(all_or_none=all_or_none)
    if call.method == "POST":
        rows = [(_kind(call, record), _fields(record)) for record in records]
        return Response(200, [_result(o) for o in call.org.saver.insert(rows, call.actor, options)])
    updates = []
    for record in records:
        found = next((v for k, v in record.items() if k.lower() == "id"), None)
        if not isinstance(found, str):
            raise refused(400, "MISSING_ARGUMENT", "Id not specified in an update call")
        updates.append((_kind(call, record), found, _fields(record, without_id=True)))
    return Response(200, [_result(o) for o in call.org.saver.update(updates, call.actor, options)])


def _records(call: Call) -> tuple[list[dict[str, Any]], bool]:
    body = call.object()
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise refused(400, "JSON_PARSER_ERROR", "The records list is required")
    if len(records) > MAX_RECORDS:
        raise refused(
            400,
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {MAX_RECORDS} records into this call",
        )
    return records, body.get("allOrNone") is True


def _check_chunks(records: list[dict[str, Any]]) -> None:
    """Records are saved in runs of one type, of which a call may have ten.

    The limit is documented, the words are Apex's; the code is not confirmed.
    """
    chunks = groupby(records, key=lambda record: (_type(record) or "").lower())
    if sum(1 for _ in chunks) > MAX_CHUNKS:
        raise refused(
            400,
            "LIMIT_EXCEEDED",
            f"Cannot have more than {MAX_CHUNKS} chunks in a single operation. Please rearrange "
            "the data to reduce chunking.",
        )


def _type(record: dict[str, Any]) -> str | None:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    return name if isinstance(name, str) else None


def _kind(call: Call, record: dict[str, Any]) -> ObjectType:
    name = _type(record)
    if name is None:
        raise refused(
            400, "INVALID_FIELD", "The type attribute is required in the attributes of a record"
        )
    try:
        return call.kind(name)
    except Refused:
        raise refused(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.") from None


def _fields(record: dict[str, Any], *, without_id: bool = False) -> dict[str, Any]:
    if without_id:
        return {k: v for k, v in record.items() if k.lower() not in ("id", "attributes")}
    return {k: v for k, v in record.items() if k != "attributes"}


def _result(outcome: Outcome, *, created: bool = False) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if outcome.success:
        result["id"] = outcome.id
    result["success"] = outcome.success
    result["errors"] = [problem.as_collection() for problem in outcome.problems]
    if created:
        result["created"] = outcome.created
    return result


def _upsert(call: Call, parts: list[str]) -> Response:
    kind = call.kind(parts[0])
    column = external_id(call, kind, parts[1])
    records, all_or_none = _records(call)
    rows = []
    for record in records:
        fields = _fields(record)
        key = next((v for k, v in fields.items() if k.lower() == column.name.lower()), None)
        if key is None:
            raise refused(400, "MISSING_ARGUMENT", f"{column.name} not specified")
        rest_of = {k: v for k, v in fields.items() if k.lower() != column.name.lower()}
        rows.append((kind, column, key, rest_of))
    options = call.options(all_or_none=all_or_none)
    outcomes = call.org.saver.upsert(rows, call.actor, options)
    return Response(200, [_result(o, created=True) for o in outcomes])


def _delete(call: Call) -> Response:
    listed = [i for i in call.query.get("ids", "").split(",") if i]
    rows = []
    for record_id in listed:
        kind = call.org.schema.by_id(record_id)
        if kind is None:
            raise refused(400, "MALFORMED_ID", f"malformed id {record_id}", ())
        rows.append((kind, record_id))
    all_or_none = call.all_or_none or call.query.get("allOrNone", "").lower() == "true"
    outcomes = call.org.saver.delete(rows, call.actor, all_or_none=all_or_none)
    return Response(200, [_result(o) for o in outcomes])


def _retrieve(call: Call, parts: list[str]) -> Response:
    if len(parts) != 1:
        raise not_found()
    kind = call.kind(parts[0])
    if call.method == "POST":
        body = call.object()
        listed, fields = body.get("ids", []), body.get("fields", [])
        if not _strings(listed) or not _strings(fields):
            raise refused(400, "JSON_PARSER_ERROR", "ids and fields must be lists of text")
        call.query = {**call.query, "fields": ",".join(fields)}
    else:
        listed = [i for i in call.query.get("ids", "").split(",") if i]
    found: list[dict[str, Any] | None] = []
    for record_id in listed:
        try:
            record: Record = visible_record(call.org, kind, record_id, call.actor)
        except Refused:
            found.append(None)
            continue
        found.append(show(call, kind, record))
    return Response(200, found)


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
