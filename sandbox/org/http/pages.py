"""Pages for people: the list of leads and cases as they come in, and one record with its timeline.

Everything on them was written by strangers, so it is escaped: by Jinja here, by ``textContent`` in
the script.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, abort, make_response, render_template
from werkzeug.wrappers import Response as Page

from sandbox.org.data import ids
from sandbox.org.data.schema import SYSTEM_FIELDS, Field, ObjectType
from sandbox.org.data.store import Record
from sandbox.org.data.values import printed
from sandbox.org.http.outages import Outages
from sandbox.org.http.timeline import EXPECTED, Entry, owner_name, read_timeline
from sandbox.org.org import KEY_FIELD, Org

SHOWN = 100
_HOMES = {
    "Lead": ("Company", "Phone", "Email", "LeadSource"),
    "Case": ("Subject", "SuppliedPhone", "SuppliedEmail", "Origin"),
}


def printable(value: Any) -> str:
    """Text that can be sent as UTF-8, whatever somebody typed."""
    return str(value).encode("utf-8", "replace").decode()


def summary(org: Org, kind: ObjectType, record: Record) -> dict[str, Any]:
    """One record's row on the live page."""
    lead = kind.name == "Lead"
    name = record.get("Name") if lead else record.get("SuppliedName")
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
        "owner": printable(owner_name(org, record)),
        "time": record["CreatedDate"],
    }


def _title(record: Record) -> str:
    """The name of a record: for a case its number."""
    names = ("CaseNumber", "Name", "Subject", "Title")
    return printable(next((record[name] for name in names if record.get(name)), ""))


def _printable_entry(entry: Entry) -> dict[str, str]:
    return {name: printable(value) for name, value in asdict(entry).items()}


def availability(org: Org, server: Outages) -> str:
    """What the page at `/` says about the org: "live", or why the API cannot be reached."""
    if server.refusing:
        return "outage: connections are refused"
    return "maintenance: the API returns 503" if org.settings.maintenance else "live"


def _about(record: Record) -> str:
    """The line below the title: what a case is about, or a lead's company."""
    about = record.get("Subject" if record.get("CaseNumber") else "Company")
    return printable(about or "")


def _written_by_org(item: Field) -> bool:
    return item.name in SYSTEM_FIELDS or item.name == "OwnerId"


def feed(org: Org, server: Outages) -> dict[str, Any]:
    """The newest leads and cases, newest first, with the counts."""
    body: dict[str, Any] = {
        "availability": availability(org, server),
        "connected": any(not a.revoked for a in org.oauth.approvals.values()),
    }
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


def render(template: str, *, status: int = 200, **values: Any) -> Page:
    """A page that loads nothing from elsewhere and runs no script but its own.

    There is no ``form-action``: the consent form ends in a redirect to the app.
    """
    nonce = secrets.token_urlsafe(16)
    response = make_response(render_template(template, nonce=nonce, **values), status)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
    )
    return response


def message_page(*, status: int, title: str, text: str) -> Page:
    """A page of one sentence, with a link to the start."""
    return render("message.html", status=status, title=title, text=text)


def blueprint(org: Org, server: Outages) -> Blueprint:
    routes = Blueprint("pages", __name__)

    @routes.get("/")
    def home() -> Page:
        return render("home.html", org_name=org.name, feed=feed(org, server))

    @routes.get("/<record_id>")
    def record_page(record_id: str) -> Page:
        if not re.fullmatch(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?", record_id):
            abort(404)
        return _record(record_id)

    @routes.get("/lightning/r/<record_id>/view")
    @routes.get("/lightning/r/<object_name>/<record_id>/view")
    def lightning(record_id: str, object_name: str = "") -> Page:
        return _record(record_id)

    @routes.get("/favicon.ico")
    def icon() -> Response:
        return Response(status=204)

    def _record(record_id: str) -> Page:
        full = ids.normalise(record_id)
        kind = org.schema.by_id(full) if full else None
        with org.lock:
            record = org.store[kind.name].any(full) if kind and full else None
            if kind is None or record is None or kind.setup:
                return message_page(
                    status=404,
                    title="No such record",
                    text="There is no record with this id. A reset of the org removes all records.",
                )
            timeline = [_printable_entry(entry) for entry in read_timeline(org, record)]
            rows = []
            # The sender's fields come first, the org's own last.
            for item in sorted(kind.fields.values(), key=_written_by_org):
                value = printed(kind, item, record, "v68.0")
                if value is None or item.type == "address":
                    continue
                if isinstance(value, bool):
                    value = "Yes" if value else "No"
                row = {"label": item.label, "name": item.name, "value": printable(value)}
                other_kind = org.schema.by_id(value) if item.type == "reference" else None
                if other_kind is not None:
                    row["title"] = _title(org.store[other_kind.name].any(value) or {})
                    row["link"] = "" if other_kind.setup else f"/{value}"
                rows.append(row)
            return render(
                "record.html",
                org_name=org.name,
                object=kind.name,
                title=_title(record) or full,
                about=_about(record),
                deleted=record.get("IsDeleted"),
                rows=rows,
                timeline=timeline,
                has_timeline=bool(timeline) or kind.name in EXPECTED,
            )

    return routes
