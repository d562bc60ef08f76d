"""Search by words. A real org's index lags behind; this one does not."""

from __future__ import annotations

import re
from typing import Any

from sandbox.org.data.schema import TEXT_TYPES, ObjectType
from sandbox.org.data.store import Record
from sandbox.org.data.values import printed
from sandbox.org.errors import refused
from sandbox.org.rest.call import Call, Response
from sandbox.org.rules.access import sees

_FALLBACK = ("Account", "Contact", "Lead", "Case")


def parameterized(call: Call) -> Response:
    """``parameterizedSearch``, with a JSON body or with parameters."""
    call.allow("GET", "HEAD", "POST")
    if call.method == "POST":
        body = call.object()
        words = str(body.get("q", ""))
        wanted = {str(o.get("name")): o for o in _list(body, "sobjects", dict)}
        fields = _list(body, "fields", str)
        limit = _whole(body.get("overallLimit"))
    else:
        words = call.query.get("q", "")
        names = [n for n in call.query.get("sobject", "").split(",") if n]
        wanted = {
            name: {
                "fields": [f for f in call.query.get(f"{name}.fields", "").split(",") if f],
                "limit": call.query.get(f"{name}.limit"),
            }
            for name in names
        }
        fields = [f for f in call.query.get("fields", "").split(",") if f]
        limit = _whole(call.query.get("overallLimit"))
    if len(words.strip()) < 2:
        raise refused(
            400, "MALFORMED_SEARCH", "search term must be longer than one character: " + words
        )
    found: list[dict[str, Any]] = []
    for name in wanted or dict.fromkeys(_FALLBACK):
        kind = call.kind(name)
        options = wanted.get(name) or {}
        own = _list(options, "fields", str) or fields or ["Id"]
        most = min(_whole(options.get("limit")), limit - len(found))
        for record in _matching(call, kind, words)[: max(0, most)]:
            found.append(_printed(call, kind, record, own))
    return Response(200, {"searchRecords": found})


def _whole(value: Any) -> int:
    """A limit; 2,000 where none is given."""
    if value in (None, ""):
        return 2000
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise refused(400, "INVALID_SEARCH", f"not a number: {value}") from None


def _list(body: dict[str, Any], name: str, kind: type) -> list[Any]:
    found = body.get(name) or []
    if not isinstance(found, list) or not all(isinstance(item, kind) for item in found):
        raise refused(400, "JSON_PARSER_ERROR", f"{name} must be a list")
    return found


def sosl(call: Call) -> Response:
    """``FIND {words} IN ALL FIELDS RETURNING Lead(Id, Name)``; nothing beyond that."""
    call.allow("GET", "HEAD")
    text = call.query.get("q", "")
    match = re.match(
        r"\s*FIND\s*\{(?P<words>[^}]*)\}(?:\s+IN\s+\w+\s+FIELDS)?(?:\s+RETURNING\s+(?P<rest>.+))?\Z",
        text,
        re.I | re.S,
    )
    if match is None:
        raise refused(
            400,
            "MALFORMED_SEARCH",
            "No search term found. The search term must be enclosed in braces.",
        )
    found: list[dict[str, Any]] = []
    returning = re.findall(r"(\w+)\s*(?:\(([^)]*)\))?\s*,?", match["rest"] or ", ".join(_FALLBACK))
    for name, columns in returning:
        kind = call.kind(name)
        fields = [c.strip() for c in columns.split(",") if c.strip()] or ["Id"]
        found.extend(
            _printed(call, kind, record, fields)
            for record in _matching(call, kind, match["words"].replace("\\", ""))
        )
    return Response(200, {"searchRecords": found})


def _matching(call: Call, kind: ObjectType, words: str) -> list[Record]:
    """Records whose text holds all words; a number is found whatever stands between digits."""
    wanted = [w.strip("*").lower() for w in words.split() if w.strip("*")]
    digits = re.sub(r"\D", "", words)
    names = [
        f.name
        for f in kind.fields.values()
        if f.type in TEXT_TYPES and f.length <= 255 and call.actor.may_read(kind, f)
    ]
    found = []
    for record in call.org.store[kind.name].live.values():
        if not sees(call.org, kind, record, call.actor):
            continue
        values = [str(record[n]).lower() for n in names if n in record]
        text = "\n".join(values)
        number = len(digits) >= 5 and any(digits in re.sub(r"\D", "", v) for v in values)
        if all(word in text for word in wanted) or number:
            found.append(record)
    return found


def _printed(call: Call, kind: ObjectType, record: Record, fields: list[str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "attributes": {
            "type": kind.name,
            "url": f"/services/data/{call.version}/sobjects/{kind.name}/{record['Id']}",
        }
    }
    for name in fields:
        item = kind.field(name)
        if item is None or not call.actor.may_read(kind, item):
            raise refused(
                400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}"
            )
        body[item.name] = printed(kind, item, record, call.version)
    return body
