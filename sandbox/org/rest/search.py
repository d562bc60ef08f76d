"""`search`: SOSL."""

from __future__ import annotations

from sandbox.org.errors import not_found
from sandbox.org.query import sosl
from sandbox.org.rest.call import Call, Response


def search(call: Call) -> Response:
    """A SOSL statement; nothing is below this resource."""
    if len(call.parts) > 1:
        raise not_found()
    call.allow("GET", "HEAD")
    found = sosl.parse(call.query.get("q", ""))
    for source in found.sources:
        call.kind(source.object)
    rows = sosl.run(call.org, found, call.actor, version=call.version)
    return Response(200, {"searchRecords": rows})
