"""The REST API below ``/services/data``: from a request to a response, without any network.

`serve` is all of it: the HTTP server calls it, and a test may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sandbox.org.errors import KNOWN, Problem, Refused, bad_session, not_found, refused
from sandbox.org.oauth.tokens import Session
from sandbox.org.org import Org
from sandbox.org.rest import collection, composite, graph, metadata, queries, search, tooling
from sandbox.org.rest.call import Call, Response, refusal, split_target
from sandbox.org.rest.sobjects import sobjects
from sandbox.org.rest.versions import check_version, versions


def serve(
    org: Org,
    method: str,
    target: str,
    headers: Mapping[str, str],
    raw: bytes = b"",
    *,
    trouble: Callable[[str], Problem | None] | None = None,
) -> Response:
    """Response one HTTP request under ``/services/data``. Header names are in lower case."""
    parts, query = split_target(target)
    parts = parts[2:]
    app_name = ""
    try:
        if not parts:
            return Response(200, versions())
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
            dispatch=dispatch,
        )
        authorise(call)
        org.usage.take(app_name)
        with org.lock:
            response = dispatch(call)
    except Refused as error:
        response = refusal(error)
    limits = org.usage.header(app_name) if app_name else None
    if limits is not None:
        response.headers["Sforce-Limit-Info"] = limits
    return response


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


def dispatch(call: Call) -> Response:
    """Find the resource and response; raises `Refused`. Called under the org's lock."""
    parts = call.parts
    if not parts:
        call.allow("GET", "HEAD")
        resources = {n: f"/services/data/{call.version}/{n}" for n in sorted(_RESOURCES)}
        identity = call.org.identity_url(call.session.user_id)
        return Response(200, {**resources, "identity": identity})
    resource = _RESOURCES.get(parts[0])
    if resource is None:
        raise not_found()
    return resource(call)


def composites(call: Call) -> Response:
    """``composite`` and what is below it."""
    parts = call.parts[1:]
    if not parts and call.method != "POST":
        call.allow("GET", "HEAD", "POST")
        base = f"/services/data/{call.version}/composite"
        return Response(200, {n: f"{base}/{n}" for n in ("graph", "sobjects")})
    match parts:
        case []:
            return composite.composite(call)
        case ["graph"]:
            return graph.graph(call)
        case ["sobjects", *rest]:
            return collection.collections(call, rest)
    raise not_found()


def limits(call: Call) -> Response:
    if len(call.parts) > 1:
        raise not_found()
    call.allow("GET", "HEAD")
    if not call.actor.may("PermissionsViewSetup"):
        # That the right is needed is known; how its lack is answered is not confirmed.
        status, message = KNOWN["INSUFFICIENT_ACCESS"]
        raise refused(status, "INSUFFICIENT_ACCESS", message)
    budget = call.org.settings.daily_requests
    left = max(0, budget - call.org.usage.used())
    return Response(
        200,
        {
            "DailyApiRequests": {"Max": budget, "Remaining": left},
            "DataStorageMB": {"Max": 1024, "Remaining": 1000},
            "FileStorageMB": {"Max": 1024, "Remaining": 1000},
        },
    )


_RESOURCES: dict[str, Callable[[Call], Response]] = {
    "sobjects": sobjects,
    "query": queries.query,
    "queryAll": queries.query,
    "limits": limits,
    "composite": composites,
    "tooling": tooling.serve,
    "metadata": metadata.serve,
    "search": search.search,
}
