"""`sobjects`: one record at a time, by its id or by an external id, and what an object is like."""

from __future__ import annotations

import base64
import io
from typing import Any

from werkzeug.formparser import parse_form_data

from sandbox.org.data import ids
from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.store import Record
from sandbox.org.errors import KNOWN, not_found, refused
from sandbox.org.rest.call import Answer, Call, read_json
from sandbox.org.rules.saving import Outcome, raise_for


def sobjects(call: Call) -> Answer:
    parts = call.parts
    if len(parts) == 1:
        call.allow("GET", "HEAD")
        return Answer(200, describe_global(call))
    kind = call.kind(parts[1])
    if len(parts) == 2:
        call.allow("GET", "HEAD", "POST")
        return create(call, kind) if call.method == "POST" else basic_information(call, kind)
    if len(parts) == 3:
        if parts[2] == "describe":
            call.allow("GET", "HEAD")
            return Answer(200, describe(call, kind))
        return by_id(call, kind, parts[2])
    if len(parts) == 4:
        column = kind.field(parts[2])
        if column is not None and column.name == "Id":
            return by_id(call, kind, parts[3])
        if column is None and ids.normalise(parts[2]):
            return blob(call, kind, parts[2], parts[3])
        return by_key(call, kind, parts[2], parts[3])
    raise not_found()


def basic_information(call: Call, kind: ObjectType) -> Answer:
    return Answer(200, {"objectDescribe": object_summary(call, kind), "recentItems": []})


def create(call: Call, kind: ObjectType) -> Answer:
    body = _multipart(call) if _is_multipart(call) else call.json()
    outcome = call.org.saver.insert([(kind, body)], call.actor, call.options())[0]
    return _created(call, kind, outcome)


def _created(call: Call, kind: ObjectType, outcome: Outcome) -> Answer:
    raise_for(outcome)
    location = f"/services/data/{call.version}/sobjects/{kind.name}/{outcome.id}"
    body: dict[str, Any] = {"id": outcome.id, "success": True, "errors": []}
    if outcome.created is not None:
        body["created"] = outcome.created
    return Answer(201, body, {"Location": location})


def by_id(call: Call, kind: ObjectType, record_id: str) -> Answer:
    call.allow("GET", "HEAD", "PATCH", "DELETE")
    saver = call.org.saver
    if call.method == "PATCH":
        rows = [(kind, record_id, call.json())]
        raise_for(saver.update(rows, call.actor, call.options())[0])
        return Answer(204)
    if call.method == "DELETE":
        raise_for(saver.delete([(kind, record_id)], call.actor)[0])
        return Answer(204)
    if not call.actor.may_object(kind, "Read"):
        raise not_found()
    record = call.org.visible_record(kind, record_id, call.actor)
    return Answer(200, show(call, kind, record))


def by_key(call: Call, kind: ObjectType, field_name: str, value: str) -> Answer:
    call.allow("GET", "HEAD", "PATCH", "POST", "DELETE")
    column = external_id(call, kind, field_name)
    saver = call.org.saver
    if call.method == "POST":
        raise refused(404, "NOT_FOUND", KNOWN["NOT_FOUND"][1])
    if call.method == "PATCH":
        only = call.query.get("updateOnly", "").lower() == "true"
        rows = [(kind, column, value, call.json())]
        outcome = saver.upsert(rows, call.actor, call.options(), update_only=only)[0]
        if not outcome.success and outcome.problems[0].code == "DUPLICATE_EXTERNAL_ID":
            return _choices(call, kind, outcome.problems[0].extra["ids"])
        if outcome.created:
            return _created(call, kind, outcome)
        raise_for(outcome)
        if int(call.version[1:].partition(".")[0]) < 46:
            return Answer(204)
        return Answer(200, {"id": outcome.id, "success": True, "errors": [], "created": False})
    found = saver.visible_ids(kind, column, value, call.actor)
    if not found or not call.actor.may_object(kind, "Read"):
        raise not_found()
    if len(found) > 1:
        return _choices(call, kind, found)
    if call.method == "DELETE":
        raise_for(saver.delete([(kind, found[0])], call.actor)[0])
        return Answer(204)
    return Answer(200, show(call, kind, call.org.store[kind.name].live[found[0]]))


def external_id(call: Call, kind: ObjectType, name: str) -> Field:
    """A field that records can be found by and that the user may see; raises `Refused`."""
    column = kind.field(name)
    usable = column is not None and (column.external_id or column.id_lookup)
    if column is None or not usable or not call.actor.may_read(kind, column):
        raise refused(
            404,
            "NOT_FOUND",
            f"Provided external ID field does not exist or is not accessible: {name}",
        )
    return column


def _choices(call: Call, kind: ObjectType, found: tuple[str, ...]) -> Answer:
    base = f"/services/data/{call.version}/sobjects/{kind.name}"
    return Answer(300, [f"{base}/{record_id}" for record_id in found])


def show(call: Call, kind: ObjectType, record: Record) -> dict[str, Any]:
    """A record as GET prints it: the fields asked for, or all that the user may see."""
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
        body[item.name] = call.org.shown(kind, item, record, call.version)
    return body


def blob(call: Call, kind: ObjectType, record_id: str, name: str) -> Answer:
    """``…/ContentVersion/<id>/VersionData``: the file itself."""
    call.allow("GET", "HEAD")
    item = kind.field(name)
    record = call.org.visible_record(kind, record_id, call.actor)
    if item is None or item.type != "base64" or not record.get(item.name):
        raise not_found()
    data = base64.b64decode(record[item.name])
    return Answer(200, data, content_type="application/octetstream")


def _is_multipart(call: Call) -> bool:
    return call.headers.get("content-type", "").startswith("multipart/form-data")


def _multipart(call: Call) -> dict[str, Any]:
    """A file upload: a JSON part with the fields, and a part with the file."""
    environ = {
        "wsgi.input": io.BytesIO(call.raw),
        "CONTENT_TYPE": call.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(call.raw)),
        "REQUEST_METHOD": "POST",
    }
    _, form, files = parse_form_data(environ, silent=False)
    body: dict[str, Any] = {}
    for text in form.values():
        fields = read_json(text.encode())
        if isinstance(fields, dict):
            body.update(fields)
    for name, file in files.items():
        content = file.stream.read()
        if (file.content_type or "").startswith("application/json"):
            fields = read_json(content)
            if isinstance(fields, dict):
                body.update(fields)
        else:
            body[name] = base64.b64encode(content).decode()
    return body


# --- describe ---------------------------------------------------------------------------------


def object_summary(call: Call, kind: ObjectType) -> dict[str, Any]:
    base = f"/services/data/{call.version}/sobjects/{kind.name}"
    may = call.actor.may_object
    return {
        "activateable": False,
        "createable": may(kind, "Create"),
        "custom": kind.name.endswith("__c"),
        "customSetting": False,
        "deletable": may(kind, "Delete"),
        "deprecatedAndHidden": False,
        "feedEnabled": False,
        "hasSubtypes": False,
        "isSubtype": False,
        "keyPrefix": kind.prefix,
        "label": kind.label,
        "labelPlural": kind.plural,
        "layoutable": not kind.setup,
        "mergeable": kind.name in ("Lead", "Contact", "Account", "Case"),
        "mruEnabled": not kind.setup,
        "name": kind.name,
        "queryable": may(kind, "Read"),
        "replicateable": True,
        "retrieveable": may(kind, "Read"),
        "searchable": not kind.setup,
        "triggerable": not kind.setup,
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
        **object_summary(call, kind),
        "fields": fields,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": [
            {
                "active": True,
                "available": True,
                "defaultRecordTypeMapping": True,
                "developerName": "Master",
                "master": True,
                "name": "Master",
                "recordTypeId": "012000000000000AAA",
                "urls": {},
            }
        ],
        "searchLayoutable": True,
        "supportedScopes": [{"label": "All", "name": "everything"}],
    }
