"""Many requests in one call, which counts as one: composite."""

from __future__ import annotations

import re
from typing import Any

from sandbox.org.errors import Refused, not_found, refused
from sandbox.org.rest.call import Call, Response, refusal, split_target
from sandbox.org.rest.versions import check_version

MAX_SUBREQUESTS = 25
MAX_QUERIES = 5
_INHERITED = ("accept", "authorization", "content-type")
_MANY = re.compile(r"/services/data/v[\d.]+/(?:query|queryAll|composite/sobjects)(?=[/?]|\Z)")
_REFERENCE = re.compile(r"@\{([A-Za-z0-9_]+)((?:\.[A-Za-z0-9_]+|\[\d+\])*)\}")


def composite(call: Call) -> Response:
    """Up to 25 subrequests. The outer response is 200 whatever they return.

    ``collateSubrequests`` lets Salesforce reorder; here subrequests always run as they stand.
    """
    body = call.object()
    subrequests = checked(body.get("compositeRequest"))
    if len(subrequests) > MAX_SUBREQUESTS:
        raise refused(
            400,
            "PROCESSING_HALTED",
            f"Limit of {MAX_SUBREQUESTS} subrequests exceeded. You can't have more than "
            f"{MAX_SUBREQUESTS} subrequests in a single composite request.",
        )
    many = sum(_MANY.match(item["url"]) is not None for item in subrequests)
    if many > MAX_QUERIES:
        raise refused(
            400,
            "PROCESSING_HALTED",
            f"Limit of {MAX_QUERIES} query and collection operations exceeded.",
        )
    results, _ = run(call, subrequests, all_or_none=body.get("allOrNone") is True)
    return Response(200, {"compositeResponse": results})


def checked(subrequests: Any) -> list[dict[str, Any]]:
    """Subrequests whose shape is right; raises `Refused`."""
    if not isinstance(subrequests, list) or not subrequests:
        raise refused(400, "JSON_PARSER_ERROR", "compositeRequest is required")
    seen: set[str] = set()
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
    return subrequests


def run(
    call: Call, subrequests: list[dict[str, Any]], *, all_or_none: bool
) -> tuple[list[dict[str, Any]], bool]:
    """Serve subrequests one after the other; their results, and whether none failed.

    With `all_or_none` the first that fails undoes all of them: it keeps its own result, every
    other one is PROCESSING_HALTED.
    """
    results: list[dict[str, Any]] = []
    bodies: dict[str, Any] = {}
    failed = False
    with call.org.store.transaction() as roll_back:
        for at, item in enumerate(subrequests):
            response = _subrequest(call, item, bodies, all_or_none=all_or_none)
            if response.status < 400:
                bodies[item["referenceId"]] = response.body
            results.append(
                {
                    "body": response.body,
                    "httpHeaders": response.headers,
                    "httpStatusCode": response.status,
                    "referenceId": item["referenceId"],
                }
            )
            failed = failed or _failed(response)
            if failed and all_or_none:
                roll_back()
                others = [halted(other["referenceId"]) for other in subrequests]
                return [*others[:at], results[at], *others[at + 1 :]], False
    return results, not failed


def _failed(response: Response) -> bool:
    """Whether a response is an error, or those of a collection with a row that failed."""
    rows = response.body if isinstance(response.body, list) else []
    return response.status >= 400 or any(
        isinstance(row, dict) and row.get("success") is False for row in rows
    )


def halted(reference: str) -> dict[str, Any]:
    """The result of a subrequest that was undone, or not even begun."""
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


def _subrequest(
    call: Call, item: dict[str, Any], bodies: dict[str, Any], *, all_or_none: bool
) -> Response:
    try:
        parts, query = split_target(_resolve(item["url"], bodies))
        if parts[:2] != ["services", "data"] or len(parts) < 4:
            raise not_found()
        check_version(parts[2])
        if parts[3:] in (["composite"], ["composite", "graph"]):
            raise refused(400, "JSON_PARSER_ERROR", "A composite cannot be part of a composite")
        own = item.get("httpHeaders") or {}
        if not isinstance(own, dict):
            raise refused(400, "JSON_PARSER_ERROR", "httpHeaders must be an object")
        headers = {n: call.headers[n] for n in _INHERITED if n in call.headers}
        headers.update({str(k).lower(): str(v) for k, v in own.items()})
        inner = Call(
            org=call.org,
            method=item["method"].upper(),
            parts=parts[3:],
            query=query,
            headers=headers,
            session=call.session,
            actor=call.org.access.rights(call.session.user_id),
            version=parts[2],
            trouble=call.trouble,
            dispatch=call.dispatch,
            all_or_none=all_or_none,
        )
        body = _resolve(item.get("body"), bodies)
        if body is not None:
            inner.payload = body
        return call.dispatch(inner)
    except Refused as error:
        return refusal(error)


def references(value: Any) -> set[str]:
    """The reference ids that a URL or body names, at any depth."""
    if isinstance(value, dict):
        return set().union(*map(references, value.values()))
    if isinstance(value, list):
        return set().union(*map(references, value))
    if not isinstance(value, str) or "@{" not in value:
        return set()
    return {match[1] for match in _REFERENCE.finditer(value)}


def _resolve(value: Any, bodies: dict[str, Any]) -> Any:
    """Put values of earlier responses in the place of ``@{reference.path}``; raises `Refused`."""
    if isinstance(value, dict):
        return {name: _resolve(inner, bodies) for name, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(inner, bodies) for inner in value]
    if not isinstance(value, str) or "@{" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _look_up(whole, bodies)
    return _REFERENCE.sub(lambda m: str(_look_up(m, bodies)), value)


def _look_up(match: re.Match[str], bodies: dict[str, Any]) -> Any:
    try:
        found = bodies[match[1]]
        for name, index in re.findall(r"\.([A-Za-z0-9_]+)|\[(\d+)\]", match[2]):
            found = found[name] if name else found[int(index)]
    except (KeyError, IndexError, TypeError):
        found = None
    if found is None:
        # That an empty field counts as no value is not confirmed.
        raise refused(
            400,
            "PROCESSING_HALTED",
            f"Invalid reference specified. No value for {match[0][2:-1]} found in {match[1]}",
        )
    return found
