"""`sobjects`: one record at a time, by its id or by an external id."""

from __future__ import annotations

from typing import Any

from sandbox.org.data import ids
from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.store import Record
from sandbox.org.data.values import printed
from sandbox.org.errors import KNOWN, Refused, not_found, refused
from sandbox.org.rest.call import Call, Response
from sandbox.org.rest.describe import describe, describe_global, object_summary
from sandbox.org.rest.multipart import is_multipart, read_multipart
from sandbox.org.rules.access import visible_record
from sandbox.org.rules.saving import Outcome, raise_for


def sobjects(call: Call) -> Response:
    parts = call.parts
    if len(parts) == 1:
        call.allow("GET", "HEAD")
        return Response(200, describe_global(call))
    kind = call.kind(parts[1])
    if len(parts) == 2:
        call.allow("GET", "HEAD", "POST")
        return create(call, kind) if call.method == "POST" else basic_information(call, kind)
    if len(parts) == 3:
        if parts[2] == "describe":
            call.allow("GET", "HEAD")
            return Response(200, describe(call, kind))
        return by_id(call, kind, parts[2])
    if len(parts) == 4:
        column = kind.field(parts[2])
        if column is not None and column.name == "Id":
            return by_id(call, kind, parts[3])
        if column is None and ids.normalise(parts[2]):
            return blob(call, kind, parts[2], parts[3])
        return by_key(call, kind, parts[2], parts[3])
    raise not_found()


def basic_information(call: Call, kind: ObjectType) -> Response:
    return Response(200, {"objectDescribe": object_summary(call, kind), "recentItems": []})


def create(call: Call, kind: ObjectType) -> Response:
    body = _with_file(call) if is_multipart(call) else call.json()
    outcome = call.org.saver.insert([(kind, body)], call.actor, call.options())[0]
    return _created(call, kind, outcome)


def _created(call: Call, kind: ObjectType, outcome: Outcome) -> Response:
    raise_for(outcome)
    location = f"/services/data/{call.version}/sobjects/{kind.name}/{outcome.id}"
    body: dict[str, Any] = {"id": outcome.id, "success": True, "errors": []}
    if outcome.created is not None:
        body["created"] = outcome.created
    return Response(201, body, {"Location": location})


def by_id(call: Call, kind: ObjectType, record_id: str) -> Response:
    call.allow("GET", "HEAD", "PATCH", "DELETE")
    if ids.normalise(record_id) is None:
        # Salesforce takes what is no id for the name of an external id field.
        raise no_external_id("-1")
    saver = call.org.saver
    if call.method == "PATCH":
        rows = [(kind, record_id, call.json())]
        raise_for(saver.update(rows, call.actor, call.options())[0])
        return Response(204)
    if call.method == "DELETE":
        raise_for(saver.delete([(kind, record_id)], call.actor)[0])
        return Response(204)
    if not call.actor.may_object(kind, "Read"):
        raise not_found()
    record = visible_record(call.org, kind, record_id, call.actor)
    return Response(200, show(call, kind, record))


def by_key(call: Call, kind: ObjectType, field_name: str, value: str) -> Response:
    call.allow("GET", "HEAD", "PATCH", "POST", "DELETE")
    column = external_id(call, kind, field_name)
    saver = call.org.saver
    if call.method == "POST":
        raise refused(404, "NOT_FOUND", KNOWN["NOT_FOUND"][1])
    if call.method == "PATCH":
        if call.query.get("updateOnly", "").lower() == "true" and not saver.visible_ids(
            kind, column, value, call.actor
        ):
            raise not_found()
        rows = [(kind, column, value, call.json())]
        outcome = saver.upsert(rows, call.actor, call.options())[0]
        if not outcome.success and outcome.problems[0].code == "DUPLICATE_EXTERNAL_ID":
            return _choices(call, kind, outcome.problems[0].extra["ids"])
        if outcome.created:
            return _created(call, kind, outcome)
        raise_for(outcome)
        if int(call.version[1:].partition(".")[0]) < 46:
            return Response(204)
        return Response(200, {"id": outcome.id, "success": True, "errors": [], "created": False})
    found = saver.visible_ids(kind, column, value, call.actor)
    if not found or not call.actor.may_object(kind, "Read"):
        raise not_found()
    if len(found) > 1:
        return _choices(call, kind, found)
    if call.method == "DELETE":
        raise_for(saver.delete([(kind, found[0])], call.actor)[0])
        return Response(204)
    return Response(200, show(call, kind, call.org.store[kind.name].live[found[0]]))


def external_id(call: Call, kind: ObjectType, name: str) -> Field:
    """A field that records can be found by and that the user may see; raises `Refused`."""
    column = kind.field(name)
    usable = column is not None and (column.external_id or column.id_lookup)
    if column is None or not usable or not call.actor.may_read(kind, column):
        raise no_external_id(name)
    return column


def no_external_id(name: str) -> Refused:
    return refused(
        404,
        "NOT_FOUND",
        f"Provided external ID field does not exist or is not accessible: {name}",
    )


def _choices(call: Call, kind: ObjectType, found: tuple[str, ...]) -> Response:
    base = f"/services/data/{call.version}/sobjects/{kind.name}"
    return Response(300, [f"{base}/{record_id}" for record_id in found])


def show(call: Call, kind: ObjectType, record: Record) -> dict[str, Any]:
    """A record as GET prints it: the requested fields, or all that the user may see."""
    wanted = call.query.get("fields")
    if wanted:
        items = []
        for name in (part.strip() for part in wanted.split(",")):
            item = kind.field(name)
            if item is None or not call.actor.may_read(kind, item):
                raise refused(
                    400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}"
                )
            items.append(item)
        if all(item.name != "Id" for item in items):
            items.append(kind.fields["Id"])
    else:
        items = [item for item in kind.fields.values() if call.actor.may_read(kind, item)]
    body: dict[str, Any] = {
        "attributes": {
            "type": kind.name,
            "url": f"/services/data/{call.version}/sobjects/{kind.name}/{record['Id']}",
        }
    }
    for item in items:
        body[item.name] = printed(kind, item, record, call.version)
    return body


def blob(call: Call, kind: ObjectType, record_id: str, name: str) -> Response:
    """``…/ContentVersion/<id>/VersionData``: the file itself."""
    call.allow("GET", "HEAD")
    item = kind.field(name)
    record = visible_record(call.org, kind, record_id, call.actor)
    if item is None or item.type != "base64" or item.name not in record:
        raise not_found()
    return Response(200, record[item.name], content_type="application/octetstream")


def _with_file(call: Call) -> dict[str, Any]:
    """The fields of a file upload, with the file's bytes."""
    body, files = read_multipart(call)
    return body | files
