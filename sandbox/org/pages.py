"""Pages for people: what came in, as it comes in, and one record in full.

Everything on them was written by a stranger on the other end of a phone, so it is escaped: by
Jinja here, by ``textContent`` in the script.
"""

from __future__ import annotations

import base64
import re
import secrets
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, make_response, render_template
from werkzeug.wrappers import Response as AnyResponse

from sandbox.org import ids
from sandbox.org.org import KEY_FIELD
from sandbox.org.schema import ObjectType
from sandbox.org.store import Record

if TYPE_CHECKING:
    from sandbox.org.org import Org

SHOWN = 100
_HOMES = {
    "Lead": ("Company", "Phone", "Email", "LeadSource"),
    "Case": ("Subject", "SuppliedPhone", "SuppliedEmail", "Origin"),
}


def printable(value: Any) -> str:
    """Text that can be sent as UTF-8, whatever somebody typed."""
    return str(value).encode("utf-8", "replace").decode()


def summary(org: Org, kind: ObjectType, record: Record) -> dict[str, Any]:
    """What the live page says about one record."""
    lead = kind.name == "Lead"
    name = record.get("Name") if lead else record.get("SuppliedName")
    owner = org.store["User"].live.get(record.get("OwnerId", "")) or org.store["Group"].live.get(
        record.get("OwnerId", ""), {}
    )
    contact = [record.get(f) for f in (_HOMES[kind.name][1], _HOMES[kind.name][2])]
    return {
        "id": record["Id"],
        "object": kind.name,
        "number": record.get("CaseNumber", ""),
        "name": printable(name or ""),
        "about": printable(record.get("Company" if lead else "Subject") or ""),
        "source": printable(record.get("LeadSource" if lead else "Origin") or ""),
        "contact": printable(" · ".join(str(c) for c in contact if c)),
        "key": printable(record.get(KEY_FIELD) or ""),
        "status": printable(record.get("Status") or ""),
        "owner": printable(owner.get("Name") or ""),
        "time": record["CreatedDate"],
    }


def feed(org: Org) -> dict[str, Any]:
    """The newest leads and cases, newest first, with the counts."""
    body: dict[str, Any] = {"connected": any(not a.revoked for a in org.oauth.approvals.values())}
    with org.lock:
        for name, key in (("Lead", "leads"), ("Case", "cases")):
            table = org.store[name]
            newest = []
            for record in reversed(table.live.values()):
                newest.append(summary(org, table.kind, record))
                if len(newest) == SHOWN:
                    break
            body[key] = newest
            body[f"{key}_count"] = len(table.live)
        body["calls"] = org.usage.used()
        body["budget"] = org.settings.daily_requests
        body["faults"] = len(org.trouble.faults())
    return body


def guarded(page: str, nonce: str, status: int = 200) -> AnyResponse:
    """A page that loads nothing from elsewhere and runs no script but its own."""
    answer = make_response(page, status)
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
    )
    return answer


def blueprint(org: Org) -> Blueprint:
    routes = Blueprint("pages", __name__)

    @routes.get("/")
    def home() -> AnyResponse:
        nonce = base64.b64encode(secrets.token_bytes(12)).decode()
        page = render_template("home.html", nonce=nonce, org_name=org.name, feed=feed(org))
        return guarded(page, nonce)

    @routes.get("/<record_id>")
    def record_page(record_id: str) -> AnyResponse:
        if not re.fullmatch(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?", record_id):
            abort(404)
        return _record(record_id)

    @routes.get("/lightning/r/<record_id>/view")
    @routes.get("/lightning/r/<object_name>/<record_id>/view")
    def lightning(record_id: str, object_name: str = "") -> AnyResponse:
        return _record(record_id)

    @routes.get("/favicon.ico")
    def icon() -> Response:
        return Response(status=204)

    def _record(record_id: str) -> AnyResponse:
        nonce = base64.b64encode(secrets.token_bytes(12)).decode()
        full = ids.normalise(record_id)
        kind = org.schema.by_id(full) if full else None
        with org.lock:
            record = org.store[kind.name].any(full) if kind and full else None
            if kind is None or record is None or kind.setup:
                page = render_template(
                    "message.html",
                    nonce=nonce,
                    title="No such record",
                    text="There is no record with this id. It may have been forgotten by a reset.",
                )
                return guarded(page, nonce, 404)
            rows = []
            for item in kind.fields.values():
                value = org.shown(kind, item, record, "v68.0")
                if value is None or item.type == "address":
                    continue
                linked = item.type == "reference" and str(value)[:3] in ("00Q", "500", "003", "001")
                rows.append(
                    {
                        "label": item.label,
                        "name": item.name,
                        "value": printable(value),
                        "link": f"/{value}" if linked else "",
                        "custom": item.custom,
                    }
                )
            page = render_template(
                "record.html",
                nonce=nonce,
                org_name=org.name,
                object=kind.name,
                title=printable(
                    record.get("CaseNumber") or record.get("Name") or record.get("Subject") or full
                ),
                about=printable(record.get("Subject") or record.get("Company") or ""),
                deleted=record.get("IsDeleted"),
                id=full,
                rows=rows,
            )
        return guarded(page, nonce)

    return routes
