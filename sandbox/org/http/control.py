"""The control API under ``/_sandbox``: for people, and for tests in other processes.

It needs no token. Anything but a read must be sent as JSON, so that no web page in a browser on
this machine can send it by itself.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, fields
from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox.org.data.schema import TEXT_TYPES
from sandbox.org.errors import Refused
from sandbox.org.http import pages
from sandbox.org.http.outages import Outages
from sandbox.org.oauth.tokens import App
from sandbox.org.org import Org
from sandbox.org.rules.customizations import Condition
from sandbox.org.trouble import FAULT_FIELDS, Fault

MAX_OUTAGE_SECONDS = 3600.0


class Invalid(ValueError):
    """The request makes no sense; the message says why (400)."""


def _body() -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise Invalid("send JSON, with Content-Type: application/json")
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object")
    return body


def _need(body: dict[str, Any], name: str) -> Any:
    if name not in body:
        raise Invalid(f"{name} is missing")
    return body[name]


def _printable(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def blueprint(org: Org, server: Outages) -> Blueprint:
    """All routes of the control API."""
    routes = Blueprint("control", __name__, url_prefix="/_sandbox")

    def invalid(error: Exception) -> tuple[Response, int]:
        return jsonify(error=str(error)), 400

    routes.register_error_handler(Invalid, invalid)
    routes.register_error_handler(ValueError, invalid)
    routes.register_error_handler(TypeError, invalid)
    routes.register_error_handler(Refused, invalid)
    routes.register_error_handler(
        KeyError, lambda e: (jsonify(error=f"there is no {e.args[0]}"), 404)
    )
    _trouble_routes(routes, org, server)
    _time_routes(routes, org)
    _rule_routes(routes, org)
    _schema_routes(routes, org)
    _app_routes(routes, org)
    _look_routes(routes, org, server)
    return routes


def _trouble_routes(routes: Blueprint, org: Org, server: Outages) -> None:
    @routes.get("/faults")
    def faults() -> Response:
        return jsonify(faults=[fault.as_dict() for fault in org.trouble.faults()])

    @routes.post("/faults")
    def add_fault() -> tuple[Response, int]:
        body = _body()
        unknown = set(body) - FAULT_FIELDS
        if unknown:
            raise Invalid(f"a fault has no {', '.join(sorted(unknown))}")
        return jsonify(org.trouble.add(Fault(**body)).as_dict()), 201

    @routes.delete("/faults")
    def clear_faults() -> Response:
        org.trouble.clear()
        return jsonify(cleared=True)

    @routes.delete("/faults/<fault_id>")
    def remove_fault(fault_id: str) -> tuple[Response, int]:
        gone = org.trouble.remove(fault_id)
        return jsonify(removed=gone), 200 if gone else 404

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


def _time_routes(routes: Blueprint, org: Org) -> None:
    @routes.post("/clock")
    def clock() -> Response:
        body = _body()
        if body.get("reset") is True:
            org.clock.reset()
        org.clock.advance(float(body.get("advance_seconds", 0)))
        return jsonify(now=org.clock.stamp())

    @routes.post("/sessions/expire")
    def expire() -> Response:
        token = _body().get("access_token")
        with org.lock:
            return jsonify(ended=org.oauth.expire_sessions(token))

    @routes.post("/tokens/revoke")
    def revoke() -> Response:
        """Every refresh token and session, or one of them."""
        token = _body().get("token")
        with org.lock:
            if token is None:
                org.oauth.revoke_all()
            else:
                org.oauth.revoke(token)
        return jsonify(revoked=True)

    @routes.post("/usage")
    def usage() -> Response:
        org.usage.set_used(int(_need(_body(), "used")))
        return jsonify(used=org.usage.used(), budget=org.settings.daily_requests)


def _rule_routes(routes: Blueprint, org: Org) -> None:
    @routes.get("/rules")
    def rules() -> Response:
        return jsonify(
            validation=[
                {"name": r.name, "object": r.object, "message": r.message, "field": r.field}
                for r in org.rules.validation
            ],
            duplicate=[
                {"object": r.object, "fields": list(r.fields), "action": r.action}
                for r in org.rules.duplicates
            ],
            assignment=[
                {"id": r.id, "name": r.name, "object": r.object, "active": r.active}
                for r in org.rules.assignment.values()
            ],
        )

    @routes.post("/rules/validation")
    def validation() -> tuple[Response, int]:
        body = _body()
        condition = Condition(
            str(_need(body, "field")), str(body.get("operator", "blank")), body.get("value")
        )
        shown_at = condition.field if body.get("at_field") else None
        rule = org.add_validation_rule(
            _object(org, body),
            condition,
            str(_need(body, "message")),
            field=shown_at,
            name=str(body.get("name", "")),
        )
        return jsonify(name=rule.name), 201

    @routes.delete("/rules/validation/<name>")
    def no_validation(name: str) -> Response:
        with org.lock:
            org.rules.validation = [r for r in org.rules.validation if r.name != name]
        return jsonify(removed=True)

    @routes.delete("/rules")
    def no_rules() -> Response:
        org.clear_rules()
        return jsonify(cleared=True)

    @routes.post("/rules/duplicate")
    def duplicate() -> tuple[Response, int]:
        body = _body()
        known = ("fields", "action", "message", "name", "matching_rule", "match_objects")
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in body.items() if k in known}
        rule = org.set_duplicate_rule(_object(org, body), **options)
        return jsonify(object=rule.object, fields=list(rule.fields), action=rule.action), 201

    @routes.delete("/rules/duplicate/<object_name>")
    def no_duplicate(object_name: str) -> Response:
        org.clear_duplicate_rule(object_name)
        return jsonify(removed=True)

    @routes.post("/rules/assignment")
    def assignment() -> tuple[Response, int]:
        body = _body()
        owner = str(_need(body, "owner"))
        user = org.oauth.user(owner)
        rule = org.add_assignment_rule(
            _object(org, body),
            user["Id"] if user else owner,
            name=str(body.get("name", "")),
            active=body.get("active", True) is True,
        )
        return jsonify(id=rule.id), 201


def _object(org: Org, body: dict[str, Any]) -> str:
    return org.schema[str(_need(body, "object"))].name


def _schema_routes(routes: Blueprint, org: Org) -> None:
    @routes.post("/fields")
    def add_field() -> tuple[Response, int]:
        """Add a custom field; ``visible_to`` lists user names."""
        body = dict(_body())
        object_name = _object(org, body)
        del body["object"]
        name = str(_need(body, "name"))
        del body["name"]
        kind = str(body.pop("type", "string"))
        numbers = {"boolean", "double", "int", "currency", "percent", "date", "datetime"}
        if kind not in TEXT_TYPES | numbers:
            raise Invalid(f"type is one of {', '.join(sorted(TEXT_TYPES | numbers))}")
        if "values" in body:
            body["values"] = tuple(body["values"])
        item = org.add_field(object_name, name, kind, **body)
        return jsonify(object=object_name, name=item.name), 201

    @routes.patch("/fields/<object_name>/<name>")
    def change_field(object_name: str, name: str) -> Response:
        """``restricted``, ``values``, ``required``, ``unique``, ``length`` … of any field."""
        body = dict(_body())
        if "values" in body:
            body["values"] = tuple(body["values"])
        item = org.change_field(object_name, name, **body)
        return jsonify(object=object_name, name=item.name)

    @routes.post("/access/field")
    def field_access() -> Response:
        """Show a field to a user, or hide it: ``{object, field, user, visible, editable}``."""
        body = _body()
        where = (_object(org, body), str(_need(body, "field")))
        user = str(_need(body, "user"))
        if body.get("visible", True) is True:
            org.show_field(*where, user=user, edit=body.get("editable", True) is True)
        else:
            org.hide_field(*where, user=user)
        return jsonify(done=True)

    @routes.post("/access/object")
    def object_access() -> Response:
        """Exactly these rights on an object: ``{object, user, rights: ["Create", "Read"]}``."""
        body = _body()
        rights = [str(r) for r in _need(body, "rights")]
        org.set_object_rights(_object(org, body), *rights, user=str(_need(body, "user")))
        return jsonify(done=True)

    @routes.patch("/users/<username>")
    def user(username: str) -> Response:
        """Change a user's record, e.g. ``{"IsActive": false}``."""
        org.set_user(username, **_body())
        return jsonify(done=True)


def _app_routes(routes: Blueprint, org: Org) -> None:
    @routes.get("/apps")
    def apps() -> Response:
        return jsonify(apps=[_app_view(app) for app in org.oauth.apps.values()])

    @routes.patch("/apps/<client_id>")
    def change_app(client_id: str) -> Response:
        """Policies of an app: ``rotation``, ``pkce_required``, ``ip_restricted`` …"""
        app = org.oauth.apps[client_id]
        body = _body()
        if "young" in body:
            app.ready_at = org.clock.now() + 600 if body.pop("young") else 0.0
        for name, value in body.items():
            known = getattr(app, name, None)
            if name in ("name", "client_id") or known is None:
                raise Invalid(f"{name} cannot be set")
            if isinstance(known, float) and type(value) is int:
                value = float(value)
            if isinstance(known, tuple | set) and isinstance(value, list):
                value = type(known)(value)
            if type(value) is not type(known):
                raise Invalid(f"{name} must be a {type(known).__name__}")
            setattr(app, name, value)
        return jsonify(_app_view(app))


def _app_view(app: App) -> dict[str, Any]:
    """Everything about an app but its secret."""
    hidden = ("client_secret", "approved_users")
    view = {f.name: getattr(app, f.name) for f in fields(app) if f.name not in hidden}
    return {**view, "approved_users": sorted(app.approved_users)}


def _look_routes(routes: Blueprint, org: Org, server: Outages) -> None:
    @routes.get("/settings")
    def settings() -> Response:
        return jsonify(org.settings.as_dict())

    @routes.post("/settings")
    def change_settings() -> Response:
        org.settings.put(**_body())
        return jsonify(org.settings.as_dict())

    @routes.post("/rename")
    def rename() -> Response:
        org.rename(str(_need(_body(), "url")))
        return jsonify(instance_url=org.instance_url)

    @routes.get("/state")
    def state() -> Response:
        """Counts of records, requests, connections and tokens."""
        with org.lock:
            counted: dict[str, Any] = {
                name: len(table.live)
                for name, table in org.store.tables.items()
                if not table.kind.setup
            }
            return jsonify(
                url=org.url,
                control_url=server.control_url,
                org_id=org.org_id,
                now=org.clock.stamp(),
                records=counted,
                created=dict(org.journal.created),
                keys_twice=org.keys_twice(),
                requests=dict(org.journal.counts),
                connections=org.journal.connections,
                refused_connections=org.journal.refused_connections,
                api_calls=org.usage.used(),
                refreshes=org.oauth.processed,
                sessions=sum(not s.ended for s in org.oauth.sessions.values()),
                faults=len(org.trouble.faults()),
            )

    @routes.get("/requests")
    def requests() -> Response:
        """The last requests; ``?match=`` a regular expression on "METHOD path", ``?after=``."""
        after = int(request.args.get("after", "0"))
        found = org.journal.entries(request.args.get("match", ""), after=after)
        return jsonify(requests=[entry.as_dict() for entry in found])

    @routes.get("/records/<object_name>")
    def records(object_name: str) -> Response:
        deleted = request.args.get("deleted") == "true"
        found = org.records(org.schema[object_name].name, deleted=deleted)
        return jsonify(records=[{k: _printable(v) for k, v in r.items()} for r in found])

    @routes.post("/records/<object_name>")
    def create(object_name: str) -> tuple[Response, int]:
        """Make a record as the org itself, past all rights."""
        return jsonify(id=org.create(org.schema[object_name].name, _body())), 201

    @routes.delete("/records/<object_name>/<record_id>")
    def delete(object_name: str, record_id: str) -> Response:
        org.delete(org.schema[object_name].name, record_id)
        return jsonify(deleted=True)

    @routes.post("/merge")
    def merge() -> Response:
        body = _body()
        org.merge(_object(org, body), str(_need(body, "master")), *_need(body, "losers"))
        return jsonify(merged=True)

    @routes.post("/convert")
    def convert() -> Response:
        """Convert a lead: ``{lead, account_id, contact_id, opportunity}``, all but the first
        optional."""
        body = dict(_body())
        lead = str(_need(body, "lead"))
        del body["lead"]
        return jsonify(asdict(org.convert(lead, **body)))

    @routes.post("/reset")
    def reset() -> Response:
        """Back to a quiet, empty org; users, fields and tokens stay."""
        _body()
        org.reset()
        server.accept_connections()
        return jsonify(reset=True)

    @routes.get("/feed")
    def feed() -> Response:
        return jsonify(pages.feed(org, server))
