"""`search` (SOSL) and `parameterizedSearch`."""

from __future__ import annotations

from typing import Any

from sandbox.org.errors import not_found, refused
from sandbox.org.query import sosl
from sandbox.org.query.sosl import Search, Source
from sandbox.org.rest.call import Call, Response


def statement(call: Call) -> Response:
    """A SOSL statement; nothing is below this resource."""
    if len(call.parts) > 1:
        raise not_found()
    call.allow("GET", "HEAD")
    return _found(call, sosl.parse(call.query.get("q", "")))


def parameterized(call: Call) -> Response:
    """The same search with a JSON body or with parameters; nothing is below this resource."""
    if len(call.parts) > 1:
        raise not_found()
    call.allow("GET", "HEAD", "POST")
    return _found(call, _from_body(call) if call.method == "POST" else _from_query(call))


def _found(call: Call, search: Search) -> Response:
    for source in search.sources:
        call.kind(source.object)
    rows = sosl.run(call.org, search, call.actor, version=call.version)
    return Response(200, {"searchRecords": rows})


def _from_body(call: Call) -> Search:
    body = call.object()
    fields = _list(body, "fields", str)
    most = body.get("defaultLimit")
    sources = [
        Source(
            str(one.get("name")),
            ", ".join(_list(one, "fields", str) or fields or ["Id"]),
            _clauses(one.get("where"), one.get("limit", most)),
        )
        for one in _list(body, "sobjects", dict)
    ]
    return _search(body.get("q"), sources, fields, body.get("in"), body.get("overallLimit"), most)


def _from_query(call: Call) -> Search:
    """``sobject`` may be given several times, each with ``X.fields``, ``X.where``, ``X.limit``."""
    query = call.query
    fields = _names(query.get("fields"))
    most = query.get("defaultLimit")
    sources = [
        Source(
            name,
            ", ".join(_names(query.get(f"{name}.fields")) or fields or ["Id"]),
            _clauses(query.get(f"{name}.where"), query.get(f"{name}.limit", most)),
        )
        for given in query.all("sobject")
        for name in _names(given)
    ]
    return _search(
        query.get("q"), sources, fields, query.get("in"), query.get("overallLimit"), most
    )


def _search(
    words: Any, sources: list[Source], fields: list[str], scope: Any, overall: Any, most: Any
) -> Search:
    scope = str(scope or "ALL").upper()
    if scope not in sosl.SCOPES:
        raise refused(400, "INVALID_SEARCH", f"in must be one of {', '.join(sosl.SCOPES)}: {scope}")
    if not sources:
        columns = ", ".join(fields) or "Id"
        clauses = _clauses(None, most)
        sources = [Source(s.object, columns, clauses) for s in sosl.default_sources()]
    limit = min(sosl.MAX_ROWS, _whole(overall, sosl.MAX_ROWS))
    return Search(str(words or ""), tuple(sources), scope, limit)


def _clauses(where: Any, limit: Any) -> str:
    found = f"WHERE {where} " if where else ""
    return found + (f"LIMIT {_whole(limit, 0)}" if limit not in (None, "") else "")


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _whole(value: Any, fallback: int) -> int:
    if value in (None, ""):
        return fallback
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise refused(400, "INVALID_SEARCH", f"not a number: {value}") from None


def _list(body: dict[str, Any], name: str, kind: type) -> list[Any]:
    found = body.get(name) or []
    if not isinstance(found, list) or not all(isinstance(item, kind) for item in found):
        raise refused(400, "JSON_PARSER_ERROR", f"{name} must be a list")
    return found
