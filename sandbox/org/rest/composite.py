"""Many records in one call: composite, collections, tree and batch.

They count as one API call, except a batch, of which each part counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox.org.data.schema import ObjectType
from sandbox.org.data.store import Record
from sandbox.org.errors import Refused, not_found, refused
from sandbox.org.rest.call import Call, Response, refusal, split_target
from sandbox.org.rest.sobjects import external_id, show
from sandbox.org.rest.versions import check_version
from sandbox.org.rules.access import visible_record
from sandbox.org.rules.saving import Outcome

MAX_SUBREQUESTS = 25
MAX_QUERIES = 5
MAX_RECORDS = 200
_INHERITED = ("accept", "authorization", "content-type")
_REFERENCE = re.compile(r"@\{([A-Za-z0-9_]+)((?:\.[A-Za-z0-9_]+|\[\d+\])*)\}")


def cost(call: Call) -> int:
    """How many API calls this one counts for."""
    if call.parts[:2] == ["composite", "batch"] and call.method == "POST":
        body = call.json()
        parts = body.get("batchRequests") if isinstance(body, dict) else None
        return max(1, len(parts)) if isinstance(parts, list) else 1
    return 1


def serve(call: Call) -> Response:
    parts = call.parts[1:]
    if not parts:
        call.allow("GET", "HEAD", "POST")
        if call.method != "POST":
            base = f"/services/data/{call.version}/composite"
            return Response(200, {n: f"{base}/{n}" for n in ("batch", "sobjects", "tree")})
        return composite(call)
    resources: dict[str, Callable[[Call, list[str]], Response]] = {
        "sobjects": collections,
        "tree": tree,
        "batch": batch,
    }
    if parts[0] not in resources:
        raise not_found()
    return resources[parts[0]](call, parts[1:])


# --- composite --------------------------------------------------------------------------------


def composite(call: Call) -> Response:
    """Up to 25 subrequests. The outer response is 200 whatever became of them.

    ``collateSubrequests`` lets Salesforce reorder; here subrequests always run as they stand.
    """
    body = call.object()
    subrequests = body.get("compositeRequest")
    if not isinstance(subrequests, list) or not subrequests:
        raise refused(400, "JSON_PARSER_ERROR", "compositeRequest is required")
    if len(subrequests) > MAX_SUBREQUESTS:
        raise refused(
            400,
            "PROCESSING_HALTED",
            f"Limit of {MAX_SUBREQUESTS} subrequests exceeded. You can't have more than "
            f"{MAX_SUBREQUESTS} subrequests in a single composite request.",
        )
    _check_shape(subrequests)
    all_or_none = body.get("allOrNone") is True
    results: list[dict[str, Any]] = []
    known: dict[str, Any] = {}
    failed_at: int | None = None
    with call.org.store.transaction() as roll_back:
        for at, item in enumerate(subrequests):
            if failed_at is not None:
                results.append(_halted(item["referenceId"]))
                continue
            response = _subrequest(call, item, known)
            if response.status < 400:
                known[item["referenceId"]] = response.body
            elif all_or_none:
                failed_at = at
            results.append(
                {
                    "body": response.body,
                    "httpHeaders": response.headers,
                    "httpStatusCode": response.status,
                    "referenceId": item["referenceId"],
                }
            )
        if failed_at is not None:
            roll_back()
            for at in range(failed_at):
                results[at] = _halted(subrequests[at]["referenceId"])
    return Response(200, {"compositeResponse": results})


def _check_shape(subrequests: list[Any]) -> None:
    seen: set[str] = set()
    queries = 0
    for item in subrequests:
        if not isinstance(item, dict) or not all(
            isinstance(item.get(k), str) for k in ("method", "url", "referenceId")
        ):
            raise refused(
                400, "JSON_PARSER_ERROR", "method, url and referenceId are required in a subrequest"
            )
        if item["referenceId"] in seen:
            raise refused(400, "JSON_PARSER_ERROR", f"Duplicate referenceId: {item['referenceId']}")
        seen.add(item["referenceId"])
        queries += re.search(r"/(?:query|queryAll|composite/sobjects)\b", item["url"]) is not None
    if queries > MAX_QUERIES:
        raise refused(
            400,
            "PROCESSING_HALTED",
            f"Limit of {MAX_QUERIES} query and collection operations exceeded.",
        )


def _halted(reference: str) -> dict[str, Any]:
    return {
        "body": [
            {
                "errorCode": "PROCESSING_HALTED",
                "message": "The transaction was rolled back since another operation in the same "
                "transaction failed.",
            }
        ],
        "httpHeaders": {},
        "httpStatusCode": 400,
        "referenceId": reference,
    }


def _subrequest(call: Call, item: dict[str, Any], known: dict[str, Any]) -> Response:
    try:
        url = _resolve(item["url"], known)
        body = _resolve(item.get("body"), known)
        own = item.get("httpHeaders") or {}
        if not isinstance(own, dict):
            raise refused(400, "JSON_PARSER_ERROR", "httpHeaders must be an object")
        headers = {n: call.headers[n] for n in _INHERITED if n in call.headers}
        headers.update({str(k).lower(): str(v) for k, v in own.items()})
        return _inner(call, item["method"].upper(), url, headers, body)
    except Refused as error:
        return refusal(error)


def _inner(call: Call, method: str, url: str, headers: dict[str, str], body: Any) -> Response:
    parts, query = split_target(url)
    if parts[:2] != ["services", "data"] or len(parts) < 4 or parts[3:5] == ["composite", "batch"]:
        raise not_found()
    check_version(parts[2])
    if parts[3:] == ["composite"]:
        raise refused(400, "JSON_PARSER_ERROR", "A composite cannot be part of a composite")
    inner = Call(
        org=call.org,
        method=method,
        parts=parts[3:],
        query=query,
        headers=headers,
        session=call.session,
        actor=call.org.access.rights(call.session.user_id),
        version=parts[2],
        trouble=call.trouble,
        dispatch=call.dispatch,
    )
    if body is not None:
        inner.payload = body
    return call.dispatch(inner)


def _resolve(value: Any, known: dict[str, Any]) -> Any:
    """Put values of earlier responses in the place of ``@{reference.path}``; raises `Refused`."""
    if isinstance(value, dict):
        return {name: _resolve(inner, known) for name, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(inner, known) for inner in value]
    if not isinstance(value, str) or "@{" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _look_up(whole, known)
    return _REFERENCE.sub(lambda m: str(_look_up(m, known)), value)


def _look_up(match: re.Match[str], known: dict[str, Any]) -> Any:
    try:
        found = known[match[1]]
        for name, index in re.findall(r"\.([A-Za-z0-9_]+)|\[(\d+)\]", match[2]):
            found = found[name] if name else found[int(index)]
    except (KeyError, IndexError, TypeError):
        raise refused(
            400,
            "PROCESSING_HALTED",
            f"Invalid reference specified. No value for {match[0][2:-1]} found in {match[1]}",
        ) from None
    return found


# --- collections ------------------------------------------------------------------------------


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


def _kind(call: Call, record: dict[str, Any]) -> ObjectType:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(name, str):
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
    if created and outcome.success:
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
    all_or_none = call.query.get("allOrNone", "").lower() == "true"
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


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


# --- tree and batch ---------------------------------------------------------------------------


def tree(call: Call, parts: list[str]) -> Response:
    """All or nothing. Only one level is understood: records without children."""
    call.allow("POST")
    if len(parts) != 1:
        raise not_found()
    kind = call.kind(parts[0])
    records, _ = _records(call)
    names = []
    for record in records:
        attributes = record.get("attributes")
        name = attributes.get("referenceId") if isinstance(attributes, dict) else None
        if not isinstance(name, str) or name in names:
            raise refused(
                400, "INVALID_INPUT", "Each record needs a referenceId of its own in attributes"
            )
        names.append(name)
    rows = [(kind, _fields(record)) for record in records]
    outcomes = call.org.saver.insert(rows, call.actor, call.options(all_or_none=True))
    broken = [
        {"referenceId": name, "errors": [p.as_collection() for p in outcome.problems]}
        for name, outcome in zip(names, outcomes, strict=True)
        if not outcome.success and outcome.problems[0].code != "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    ]
    if broken:
        return Response(400, {"hasErrors": True, "results": broken})
    done = [
        {"referenceId": name, "id": outcome.id}
        for name, outcome in zip(names, outcomes, strict=True)
    ]
    return Response(201, {"hasErrors": False, "results": done})


def batch(call: Call, parts: list[str]) -> Response:
    """Up to 25 independent subrequests; a failed one undoes nothing."""
    call.allow("POST")
    body = call.object()
    subrequests = body.get("batchRequests")
    if parts or not isinstance(subrequests, list) or not all(map(_is_dict, subrequests)):
        raise refused(400, "JSON_PARSER_ERROR", "batchRequests is required")
    if len(subrequests) > MAX_SUBREQUESTS:
        raise refused(400, "PROCESSING_HALTED", f"Limit of {MAX_SUBREQUESTS} subrequests exceeded.")
    results: list[dict[str, Any]] = []
    failed = False
    for item in subrequests:
        if failed and body.get("haltOnError") is True:
            halted = [
                {"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted"}
            ]
            results.append({"statusCode": 412, "result": halted})
            continue
        url = str(item.get("url", ""))
        headers = {n: call.headers[n] for n in _INHERITED if n in call.headers}
        headers["content-type"] = "application/json"
        try:
            target = "/services/data/" + url.removeprefix("/services/data/").lstrip("/")
            response = _inner(
                call, str(item.get("method", "GET")).upper(), target, headers, item.get("richInput")
            )
        except Refused as error:
            response = refusal(error)
        failed = failed or response.status >= 400
        results.append({"statusCode": response.status, "result": response.body})
    return Response(200, {"hasErrors": failed, "results": results})
