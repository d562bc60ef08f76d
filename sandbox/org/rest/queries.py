"""`query` and `queryAll`: the rows of a query, page by page."""

from __future__ import annotations

import re
from typing import Any

from sandbox.org.errors import not_found, refused
from sandbox.org.query.execution import QueryRun
from sandbox.org.rest.call import Call, Response
from sandbox.org.rest.columns import describe_columns


def query(call: Call) -> Response:
    return run_query(call, call.parts, tooling=False)


def run_query(call: Call, parts: list[str], *, tooling: bool) -> Response:
    """``query`` and ``queryAll``, their first page and the following ones."""
    call.allow("GET", "HEAD")
    org = call.org
    resource = parts[0]
    if len(parts) > 2:
        raise not_found()
    if len(parts) == 2:
        locator, _, start = parts[1].partition("-")
        kept = org.cursors.find(locator)
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
    if call.query.get("columns", "").lower() == "true":
        return describe_columns(call, run)
    found = run.ids()
    if run.query.count:
        return Response(200, {"totalSize": len(found), "done": True, "records": []})
    if run.query.counted:
        row: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
        for number, name in enumerate(run.query.counted):
            item = run.kind.field(name)
            table = org.store[run.kind.name]
            records = (table.any(i) or {} for i in found)
            row[f"expr{number}"] = sum(
                item is not None and r.get(item.name) is not None for r in records
            )
        return Response(200, {"totalSize": 1, "done": True, "records": [row]})
    return _page(call, resource, run, found, 0, "")


def _page(
    call: Call, resource: str, run: QueryRun, found: list[str], start: int, locator: str
) -> Response:
    wanted = re.search(
        r"batchsize\s*=\s*(\d+)", call.headers.get("sforce-query-options", "").lower()
    )
    size = min(2000, max(200, int(wanted[1]))) if wanted else 2000
    end = start + size
    done = end >= len(found)
    body: dict[str, Any] = {"totalSize": len(found), "done": done}
    if not done:
        locator = locator or call.org.cursors.keep(run, found)
        body["nextRecordsUrl"] = f"/services/data/{call.version}/{resource}/{locator}-{end}"
    body["records"] = run.rows(found[start:end])
    return Response(200, body)
