"""The control API under ``/_sandbox``: the object model of `Org`, for people and other processes.

It needs no token. Anything but a read must be sent as JSON, so that no web page in a browser on
this machine can send it by itself.
"""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from operator import attrgetter
from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox.org.errors import OAuthRefused, Refused
from sandbox.org.http import pages
from sandbox.org.http.outages import Outages
from sandbox.org.org import Org
from sandbox.org.rules.customizations import Condition

MAX_OUTAGE_SECONDS = 3600.0
CALLS = frozenset(
    {
        *("create", "update", "delete", "undelete", "merge", "convert", "lock_record", "query"),
        *("add_field", "change_field", "remove_field", "show_field", "hide_field"),
        *("set_object_rights", "set_user", "add_status", "add_queue", "add_record_type"),
        *("add_address_picklists", "add_validation_rule", "set_duplicate_rule"),
        *("clear_duplicate_rule", "add_assignment_rule", "clear_rules"),
        *("trouble.add", "trouble.remove", "trouble.clear"),
        *("settings.put", "clock.advance", "clock.reset", "usage.set_used"),
        *("oauth.set_policies", "oauth.expire_sessions", "oauth.revoke", "oauth.revoke_all"),
    }
)
"""What may be called, with the names and arguments that it has in `Org`."""


class Invalid(ValueError):
    """The request makes no sense; the message says why (400)."""


def _body() -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise Invalid("send JSON, with Content-Type: application/json")
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object")
    return body


def _arguments(function: Callable[..., Any], body: dict[str, Any]) -> tuple[list[Any], Any]:
    """The body's values as arguments; those after a ``*`` are a list under their common name."""
    for name in ("error_when", "when"):
        if body.get(name) is not None:
            body[name] = Condition(**body[name])
    parameters = inspect.signature(function).parameters
    several = next((p.name for p in parameters.values() if p.kind is p.VAR_POSITIONAL), None)
    if several is None:
        return [], body
    before = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if lacking := [name for name in before if name not in body]:
        raise Invalid(f"{', '.join(lacking)} is missing")
    return [*(body.pop(name) for name in before), *body.pop(several, ())], body


def _shown(**values: Any) -> Response:
    """Records, which may hold bytes, and what a call returned."""

    def printable(value: Any) -> Any:
        return base64.b64encode(value).decode() if isinstance(value, bytes) else asdict(value)

    return Response(json.dumps(values, default=printable), mimetype="application/json")


def blueprint(org: Org, server: Outages) -> Blueprint:
    """All routes of the control API."""
    routes = Blueprint("control", __name__, url_prefix="/_sandbox")

    def invalid(error: Exception) -> tuple[Response, int]:
        return jsonify(error=str(error)), 400

    for kind in (ValueError, TypeError, Refused, OAuthRefused):
        routes.register_error_handler(kind, invalid)
    routes.register_error_handler(
        KeyError, lambda e: (jsonify(error=f"there is no {e.args[0]}"), 404)
    )
    _outage_routes(routes, server)
    _look_routes(routes, org, server)

    @routes.post("/call/<name>")
    def call(name: str) -> Response:
        if name not in CALLS:
            raise KeyError(name)
        function = attrgetter(name)(org)
        several, named = _arguments(function, dict(_body()))
        with org.lock:
            return _shown(result=function(*several, **named))

    @routes.post("/reset")
    def reset() -> Response:
        """Back to a quiet, empty org; users, fields and tokens stay."""
        _body()
        org.reset()
        server.accept_connections()
        return jsonify(reset=True)

    return routes


def _outage_routes(routes: Blueprint, server: Outages) -> None:
    @routes.post("/outage")
    def outage() -> Response:
        """Refuse connections for so many seconds, or until ``DELETE`` on the control port."""
        seconds = _body().get("seconds")
        other_port = f"{server.control_url}/_sandbox/outage"
        if seconds is None and not request.environ.get("sandbox.control"):
            raise Invalid(
                "seconds is missing. This port is closed during an outage and cannot end it: send "
                f"seconds, or begin and end the outage at {other_port}"
            )
        if seconds is not None:
            seconds = min(float(seconds), MAX_OUTAGE_SECONDS)
            if not seconds >= 0:
                raise Invalid("seconds must be 0 or more")
        server.refuse_connections(seconds=seconds)
        return jsonify(down=True, seconds=seconds, end=f"DELETE {other_port}")

    @routes.delete("/outage")
    def outage_over() -> Response:
        server.accept_connections()
        return jsonify(down=False)


def _look_routes(routes: Blueprint, org: Org, server: Outages) -> None:
    @routes.get("/state")
    def state() -> Response:
        """Settings, and counts of records, requests, connections and tokens."""
        with org.lock:
            return jsonify(
                url=org.url,
                control_url=server.control_url,
                org_id=org.org_id,
                now=org.clock.stamp(),
                settings=org.settings,
                records={
                    name: len(table.live)
                    for name, table in org.store.tables.items()
                    if not table.kind.setup
                },
                created=dict(org.journal.created),
                keys_twice=org.keys_twice(),
                requests=dict(org.journal.counts),
                connections=org.journal.connections,
                refused_connections=org.journal.refused_connections,
                api_calls=org.usage.used(),
                refreshes=org.oauth.processed,
                sessions=sum(not s.ended for s in org.oauth.sessions.values()),
                faults=org.trouble.faults(),
            )

    @routes.get("/requests")
    def requests() -> Response:
        """The last requests; ``?match=`` a regular expression on "METHOD path", ``?after=``."""
        after = int(request.args.get("after", "0"))
        found = org.journal.entries(request.args.get("match", ""), after=after)
        return jsonify(requests=found)

    @routes.get("/records/<object_name>")
    def records(object_name: str) -> Response:
        deleted = request.args.get("deleted") == "true"
        return _shown(records=org.records(org.schema[object_name].name, deleted=deleted))

    @routes.get("/feed")
    def feed() -> Response:
        return jsonify(pages.feed(org, server))
