"""The REST API: from a request to an answer, without any network.

`serve` is the whole of it; the HTTP server and the in-process door both end here.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from werkzeug.formparser import parse_form_data

from sandbox.org import composite, ids, search, tooling
from sandbox.org.call import Answer, Call, read_json, refusal, split_target
from sandbox.org.errors import KNOWN, Problem, Refused, bad_session, not_found, refused
from sandbox.org.oauth import Session
from sandbox.org.query import QueryRun
from sandbox.org.saving import Outcome, raise_for
from sandbox.org.schema import Field, ObjectType
from sandbox.org.store import Record

if TYPE_CHECKING:
    from sandbox.org.org import Org

OLDEST, NEWEST, RETIRED_UP_TO = 31, 68, 30
_SEASONS = ("Spring", "Summer", "Winter")
_VERSION = re.compile(r"v(\d{1,3})\.0\Z")


def serve(
    org: Org,
    method: str,
    target: str,
    headers: Mapping[str, str],
    raw: bytes = b"",
    *,
    trouble: Callable[[str], Problem | None] | None = None,
) -> Answer:
    """Answer one HTTP request under ``/services/data``. Header names are in lower case."""
    parts, query = split_target(target)
    parts = parts[2:]
    app_name = ""
    try:
        if not parts:
            return Answer(200, versions())
        check_version(parts[0])
        session = authenticate(org, headers)
        app_name = session.app_name
        with org.lock:
            actor = org.access.rights(session.user_id)
        call = Call(
            org=org,
            method=method,
            parts=parts[1:],
            query=query,
            headers=headers,
            session=session,
            actor=actor,
            version=parts[0],
            raw=raw,
            trouble=trouble,
        )
        authorise(call)
        org.usage.take(app_name, composite.cost(call))
        with org.lock:
            answer = dispatch(call)
    except Refused as error:
        answer = refusal(error)
    limits = org.usage.header(app_name) if app_name else None
    if limits is not None:
        answer.headers["Sforce-Limit-Info"] = limits
    return answer


def versions() -> list[dict[str, str]]:
    """Three releases a year: Spring, Summer, and the next year's Winter."""
    return [
        {
            "label": f"{_SEASONS[number % 3]} '{26 + (number - 66) // 3 + (number % 3 == 2):02d}",
            "url": f"/services/data/v{number}.0",
            "version": f"{number}.0",
        }
        for number in range(OLDEST, NEWEST + 1)
    ]


def check_version(part: str) -> None:
    """Raises `Refused`: 410 for a retired version (its body is not confirmed), else 404."""
    match = _VERSION.match(part)
    number = int(match[1]) if match else 0
    if 0 < number <= RETIRED_UP_TO:
        raise refused(
            410, "UNSUPPORTED_API_VERSION", "The requested resource is no longer available"
        )
    if not OLDEST <= number <= NEWEST:
        raise not_found()


def authenticate(org: Org, headers: Mapping[str, str]) -> Session:
    """The session behind a bearer token; raises `Refused` with INVALID_SESSION_ID."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() not in ("bearer", "oauth"):
        raise bad_session()
    with org.lock:
        session = org.oauth.session(token.strip())
    if session is None:
        raise bad_session()
    if not session.for_rest or not org.settings.session_valid_for_rest:
        raise refused(
            401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"
        )
    return session


def authorise(call: Call) -> None:
    """Whether org and user let anybody use the API at all; raises `Refused`."""
    code = None
    if not call.org.settings.api_enabled:
        code = "API_DISABLED_FOR_ORG"
    elif not call.actor.may("PermissionsApiEnabled"):
        code = "API_CURRENTLY_DISABLED"
    if code is not None:
        raise refused(KNOWN[code][0], code, KNOWN[code][1])


def dispatch(call: Call) -> Answer:
    """Find the resource and answer; raises `Refused`. Called under the org's lock."""
    parts = call.parts
    if not parts:
        call.allow("GET", "HEAD")
        names = ("composite", "limits", "parameterizedSearch", "query", "queryAll", "search")
        more = ("sobjects", "tooling")
        return Answer(200, {n: f"/services/data/{call.version}/{n}" for n in (*names, *more)})
    resource = _RESOURCES.get(parts[0])
    if resource is None:
        raise not_found()
    return resource(call)


# --- sobjects ---------------------------------------------------------------------------------


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


# --- query and limits -------------------------------------------------------------------------


def query(call: Call) -> Answer:
    return run_query(call, call.parts, tooling=False)


def run_query(call: Call, parts: list[str], *, tooling: bool) -> Answer:
    """``query`` and ``queryAll``, their first page and the following ones."""
    call.allow("GET", "HEAD")
    org = call.org
    resource = parts[0]
    if len(parts) == 2:
        locator, _, start = parts[1].partition("-")
        kept = org.cursors.get(locator)
        if kept is None or not start.isdigit():
            raise refused(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        run, found = kept
        return _page(call, resource, run, found, int(start), locator)
    text = call.query.get("q", "").strip()
    if not text:
        raise refused(400, "MALFORMED_QUERY", "A query string has to be specified")
    run = QueryRun(
        org,
        text,
        call.actor,
        version=call.version,
        deleted=resource == "queryAll",
        tooling=tooling,
    )
    found = run.ids()
    if run.query.count:
        return Answer(200, {"totalSize": len(found), "done": True, "records": []})
    if run.query.counted:
        row: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
        for number, name in enumerate(run.query.counted):
            item = run.kind.field(name)
            table = org.store[run.kind.name]
            records = (table.any(i) or {} for i in found)
            row[f"expr{number}"] = sum(
                item is not None and r.get(item.name) is not None for r in records
            )
        return Answer(200, {"totalSize": 1, "done": True, "records": [row]})
    return _page(call, resource, run, found, 0, "")


def _page(
    call: Call, resource: str, run: QueryRun, found: list[str], start: int, locator: str
) -> Answer:
    wanted = re.search(
        r"batchsize\s*=\s*(\d+)", call.headers.get("sforce-query-options", "").lower()
    )
    size = min(2000, max(200, int(wanted[1]))) if wanted else 2000
    end = start + size
    done = end >= len(found)
    body: dict[str, Any] = {"totalSize": len(found), "done": done}
    if not done:
        locator = locator or call.org.keep_cursor(run, found)
        body["nextRecordsUrl"] = f"/services/data/{call.version}/{resource}/{locator}-{end}"
    body["records"] = run.rows(found[start:end])
    return Answer(200, body)


def limits(call: Call) -> Answer:
    call.allow("GET", "HEAD")
    if not call.actor.may("PermissionsViewSetup"):
        # That the right is needed is known; how its lack is answered is not confirmed.
        status, message = KNOWN["INSUFFICIENT_ACCESS"]
        raise refused(status, "INSUFFICIENT_ACCESS", message)
    budget = call.org.settings.daily_requests
    left = max(0, budget - call.org.usage.used())
    stored = 10 if call.org.settings.storage_full else 1024
    return Answer(
        200,
        {
            "DailyApiRequests": {"Max": budget, "Remaining": left},
            "DailyAsyncApexExecutions": {"Max": 250_000, "Remaining": 250_000},
            "DailyBulkApiBatches": {"Max": 15_000, "Remaining": 15_000},
            "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": 10_000},
            "DataStorageMB": {"Max": 1024, "Remaining": 0 if stored == 10 else 1000},
            "FileStorageMB": {"Max": 1024, "Remaining": 1000},
            "SingleEmail": {"Max": 5_000, "Remaining": 5_000},
        },
    )


_RESOURCES: dict[str, Callable[[Call], Answer]] = {
    "sobjects": sobjects,
    "query": query,
    "queryAll": query,
    "limits": limits,
    "composite": composite.serve,
    "tooling": tooling.serve,
    "parameterizedSearch": search.parameterized,
    "search": search.sosl,
}
