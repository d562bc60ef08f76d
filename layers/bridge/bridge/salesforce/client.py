"""REST client for the few calls the bridge makes. It sends; `responses` reads what comes back.

A record is inserted, never upserted: a repeated request must not overwrite what a person has edited
since (docs/adr/0001).

Sources: REST API Developer Guide (sObject Rows by External ID, Composite, sObject Collections,
QueryAll, Headers: Assignment Rule, Duplicate Rule).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from bridge.deadline import Deadline
from bridge.errors import Refused, SalesforceProblem, Unavailable
from bridge.http import Http, HttpError, Response
from bridge.records import ObjectName, Record, SObject
from bridge.salesforce.responses import (
    Attempt,
    Found,
    read_api_usage,
    read_changed,
    read_collection,
    read_created,
    read_created_case,
    read_found,
    read_page,
    read_part,
    read_parts,
    read_retry_after,
    read_right,
    read_row,
    read_saved,
    read_search,
    read_user_id,
    unreadable,
)
from bridge.salesforce.session import Session
from bridge.settings import Settings

if TYPE_CHECKING:
    from bridge.salesforce.composite import Part, PartResponse

Value = TypeVar("Value")
Row = dict[str, Any]

MAX_QUERY_BYTES = 12_000
"""Of a query in a URL; Salesforce accepts URLs of 16,384 bytes."""

TASK_KEY_FIELD = "Bird_Key__c"
"""Of a Task; that of Lead and Case is the parameter ExternalIdField."""

NOT_REASSIGNED = {"Sforce-Auto-Assign": "FALSE"}
"""Salesforce's default, TRUE, takes a Case from its agent at any update."""

MAX_PAGES = 20
"""Of a query: each page has hundreds of rows, and 200 keys are looked up at once."""

_CASE_FIELDS = "?fields=Id,CaseNumber"
_ENDS_LIKE_A_FILE = re.compile(r"\.[a-z0-9]{0,10}$")
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Cost:
    """What calls to Salesforce cost. All but the count are of the last response that has them."""

    calls: int = 0
    milliseconds: float = 0.0
    usage_percent: float | None = None
    """Of the day's API requests of the org."""
    request_id: str = ""

    def __add__(self, later: Cost) -> Cost:
        if not later.calls or not self.calls:
            return later if later.calls else self
        usage = self.usage_percent if later.usage_percent is None else later.usage_percent
        return Cost(
            self.calls + later.calls, later.milliseconds, usage, later.request_id or self.request_id
        )


NO_COST = Cost()


class Via:
    """With what, and until when, a call is made; and what it has cost."""

    def __init__(self, session: Session, deadline: Deadline) -> None:
        self.session = session
        self.deadline = deadline
        self.cost = NO_COST


class Salesforce:
    """The calls, each with its reader. They raise SalesforceProblem: Refused, Unavailable, …"""

    def __init__(self, *, http: Http, settings: Settings) -> None:
        self._http = http
        self._settings = settings
        self.base = f"/services/data/{settings.api_version}"
        """The path that all resources begin with."""
        self._key_field = settings.external_id_field

    def create(self, record: Record, *, via: Via) -> Attempt:
        """Insert one record. A refusal of the record is the Attempt's problem, and not raised.

        For a Case, one composite also reads its number by the key. The GET does not depend on the
        POST, so it answers for a record that was there before as well. A text with `@{` would be
        read as a reference there: such a Case is a plain request.
        """
        headers = self.insert_headers(record)
        composite = self._case_body(record, headers) if record.object == "Case" else None
        if composite:
            path, body, headers = f"{self.base}/composite", composite, {}
            read: Callable[..., Attempt] = read_created_case
        else:
            path, body = f"{self.base}/sobjects/{record.object}", _dump(self._values(record))
            read = read_created

        def read_insert(response: Response) -> Attempt:
            attempt = read(response, key_field=self._key_field, record=record)
            problem = attempt.problem
            if problem is None or isinstance(problem, Refused) or attempt.found:
                return attempt
            raise problem

        attempt = self._send("POST", path, read=read_insert, via=via, body=body, headers=headers)
        if attempt.created and record.object == "Case" and not composite and self._key_field:
            # Its number, by a call of its own; without it the Case is there all the same.
            with suppress(SalesforceProblem):
                found = self.find("Case", record.key, via=via)
                if found and found.id == attempt.created.id:
                    return Attempt(created=found)
        return attempt

    def _case_body(self, record: Record, headers: Mapping[str, str]) -> bytes | None:
        """The composite that makes a Case and reads its number; None where a text in it would be
        read as a reference."""
        # A Lead, and so the cold start of create_lead, does without it.
        from bridge.salesforce import composite as c

        url: tuple[str | c.Ref, ...] = ("/sobjects/Case/", c.Ref("create", "id"), _CASE_FIELDS)
        if self._key_field:
            url = (self._find_path("Case", record.key),)
        create = c.Part(
            name="create",
            method="POST",
            path=("/sobjects/Case",),
            body=self._values(record),
            headers=headers,
        )
        if c.holds_reference(create):
            return None
        find = c.Part(name="find", method="GET", path=url)
        return _dump(c.composite([create, find], base=self.base))

    def insert_headers(self, record: Record) -> dict[str, str]:
        """Assignment and duplicate headers of an insert. In a collection they hold for all of it.

        `Sforce-Auto-Assign` defaults to TRUE at Salesforce, which re-owns a Case even without an
        active rule, so a record with an owner of its own is always sent with FALSE.
        """
        if record.object == "Task":
            return dict(NOT_REASSIGNED)
        headers = {}
        assignment = self._settings.assignment(record.object)
        if record.has_owner or assignment == "off":
            headers["Sforce-Auto-Assign"] = "FALSE"
        elif assignment != "default":
            headers["Sforce-Auto-Assign"] = assignment
        if self._settings.allow_duplicates:
            headers["Sforce-Duplicate-Rule-Header"] = "allowSave=true"
        return headers

    def encode(self, record: Record) -> bytes:
        """A record's entry in the body of a collection."""
        return _dump({"attributes": {"type": record.object}, **self._values(record)})

    def create_many(
        self, records: Sequence[Record], entries: Iterable[bytes], *, via: Via
    ) -> list[Attempt]:
        """Insert up to 200 records of one object and one set of headers in one call.

        `entries` are the same records, encoded. The value is one Attempt a record, in order.
        """
        key_field = self._key_of(records[0].object)
        return self._send(
            "POST",
            f"{self.base}/composite/sobjects",
            read=partial(read_collection, key_field=key_field, records=records),
            via=via,
            body=b'{"allOrNone":false,"records":[' + b",".join(entries) + b"]}",
            headers=self.insert_headers(records[0]),
        )

    def find(self, object_name: SObject, key: str, *, via: Via) -> Found | None:
        """The record with this key, if there is one that the integration user can see."""
        path = self.base + self._find_path(object_name, key)
        return self._send("GET", path, read=partial(read_found, key_field=self._key_field), via=via)

    def save_many(
        self, method: str, object_records: Sequence[tuple[str, Mapping[str, Any]]], *, via: Via
    ) -> list[SalesforceProblem | None]:
        """Insert (POST) or change (PATCH) up to 200 records, each by its object's name, without
        keys: a repetition is not told apart. The value is each one's problem, in order."""
        entries = [_dump({"attributes": {"type": name}, **one}) for name, one in object_records]
        return self._send(
            method,
            f"{self.base}/composite/sobjects",
            read=partial(read_saved, count=len(entries)),
            via=via,
            body=b'{"allOrNone":false,"records":[' + b",".join(entries) + b"]}",
            headers=NOT_REASSIGNED,
        )

    def find_many(self, object_name: SObject, keys: Sequence[str], *, via: Via) -> dict[str, Found]:
        """The records with these keys, deleted ones too (`queryAll`), by key.

        One call unless the URL grows too long. Of several with the same key, one that is not
        deleted counts.
        """
        field = self._key_of(object_name)
        number = ",CaseNumber" if object_name == "Case" else ""
        found: dict[str, Found] = {}
        for some in _slices(keys):
            soql = (
                f"SELECT Id,{field},IsDeleted{number} FROM {object_name} "
                f"WHERE {field} IN ({','.join(soql_text(key) for key in some)})"
            )
            for row in self.query(soql, via=via):
                # Rows that cannot be read do not show that the record is not there.
                there = read_row(row)
                if there is None:
                    raise unreadable()
                # The org writes the name as it was made, whatever case the parameter has.
                lower = {name.lower(): value for name, value in row.items()}
                key = str(lower.get(field.lower()))
                if key not in found or found[key].deleted:
                    found[key] = there
        return found

    def send_parts(
        self, parts: Sequence[Part], all_or_none: bool = False, *, via: Via
    ) -> dict[str, PartResponse]:
        """A composite; the value is each part's response by its name.

        A part with a text that would be read as a reference is a call of its own. What comes after
        it is then not undone if it fails: with `all_or_none` it is not begun at least.
        """
        from bridge.salesforce import composite as c

        responses: dict[str, PartResponse] = {}
        for call in c.in_calls(parts):
            some = []
            for part in call:
                stopped = all_or_none and not all(response.ok for response in responses.values())
                ready = None if stopped else c.resolved(part, responses)
                if ready is None:
                    responses[part.name] = c.halted()
                else:
                    some.append(ready)
            if not some:
                continue
            if c.holds_reference(call[0]):
                responses |= self._send_part(some[0], via=via)
            else:
                body = _dump(c.composite(some, base=self.base, all_or_none=all_or_none))
                path = f"{self.base}/composite"
                responses |= self._send("POST", path, read=read_parts, via=via, body=body)
            if any(part.name not in responses for part in some):
                raise unreadable()
        return responses

    def _send_part(self, part: Part, *, via: Via) -> dict[str, PartResponse]:
        return self._send(
            part.method,
            self.base + "".join(map(str, part.path)),
            read=lambda response: {part.name: read_part(response)},
            via=via,
            body=None if part.body is None else _dump(part.body),
            headers=part.headers,
        )

    def has_right(self, object_name: str, right: str, *, via: Via) -> bool:
        """Whether the integration user has a right to this object: `createable`, `updateable`."""
        path = f"{self.base}/sobjects/{object_name}"
        return self._send("GET", path, read=partial(read_right, right=right), via=via)

    def search(self, sosl: str, *, via: Via) -> list[Row]:
        """The rows that a SOSL search finds."""
        return self._send("GET", f"{self.base}/search?q={_quoted(sosl)}", read=read_search, via=via)

    def read_rows(
        self, object_name: str, columns: str, ids: Sequence[str], *, via: Via
    ) -> list[Row]:
        """Records by their ids, deleted ones too."""
        among = ",".join(soql_text(record_id) for record_id in ids)
        soql = f"SELECT {columns} FROM {object_name} WHERE Id IN ({among})"
        return self.query(soql, via=via)

    def read_user(self, *, via: Via) -> str:
        """The integration user's id; empty where it is not told."""
        return self._send("GET", "/services/oauth2/userinfo", read=read_user_id, via=via)

    def read_description(self, object_name: ObjectName, record_id: str, *, via: Via) -> str:
        """A record's Description; empty where there is none or no such record."""
        soql = (
            f"SELECT Id,Description,IsDeleted FROM {object_name} WHERE Id = {soql_text(record_id)}"
        )
        rows = self.query(soql, via=via)
        texts = [row.get("Description") for row in rows if not row.get("IsDeleted")]
        return next((text for text in texts if isinstance(text, str)), "")

    def write_description(
        self, object_name: ObjectName, record_id: str, text: str, *, via: Via
    ) -> None:
        """Replace a record's Description; nothing else of it changes, its owner neither."""
        return self._send(
            "PATCH",
            f"{self.base}/sobjects/{object_name}/{record_id}",
            body=_dump({"Description": text}),
            headers=NOT_REASSIGNED,
            read=read_changed,
            via=via,
        )

    def query(self, soql: str, *, via: Via) -> list[Row]:
        """All rows of a query, deleted ones too."""
        path = f"{self.base}/queryAll?q={_quoted(soql)}"
        rows: list[Row] = []
        read = partial(read_page, key_field=self._key_field)
        for _ in range(MAX_PAGES):
            more, following = self._send("GET", path, read=read, via=via)
            rows += more
            if following is None:
                return rows
            path = following
        raise unreadable()

    def _key_of(self, object_name: SObject) -> str:
        """The field with the key; empty if there is none."""
        return TASK_KEY_FIELD if object_name == "Task" else self._key_field

    def _values(self, record: Record) -> dict[str, Any]:
        key_field = self._key_of(record.object)
        return {**record.fields, key_field: record.key} if key_field else dict(record.fields)

    def _find_path(self, object_name: SObject, key: str) -> str:
        fields = "Id,CaseNumber" if object_name == "Case" else "Id"
        if _ENDS_LIKE_A_FILE.search(key):
            # `.json` and the like at the end of a resource's path would choose a format instead,
            # and a path of dots would be another path.
            soql = (
                f"SELECT {fields} FROM {object_name} WHERE {self._key_field} = {soql_text(key)} "
                "LIMIT 1"
            )
            return f"/query?q={_quoted(soql)}"
        return f"/sobjects/{object_name}/{self._key_field}/{_quoted(key)}?fields={fields}"

    def _send(
        self,
        method: str,
        path: str,
        *,
        read: Callable[[Response], Value],
        via: Via,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Value:
        sent = {
            "Authorization": f"Bearer {via.session.access_token}",
            "Accept": "application/json",
            **(headers or {}),
        }
        if body is not None:
            sent["Content-Type"] = "application/json"
        # An insert may be sent twice because of its unique key; without one it may not.
        repeatable = method == "GET" or bool(self._key_field)
        return _value_of(
            lambda: self._http.send(
                method,
                via.session.instance_url + path,
                headers=sent,
                body=body,
                deadline=via.deadline,
                repeatable=repeatable,
            ),
            read,
            via,
        )

    def upload(
        self,
        path: str,
        pieces: Iterable[bytes],
        *,
        size: int,
        content_type: str,
        read: Callable[[Response], Value],
        via: Via,
    ) -> Value:
        """POST a body of so many bytes in pieces, once: it may have arrived where that is not
        known."""
        headers = {
            "Authorization": f"Bearer {via.session.access_token}",
            "Accept": "application/json",
            "Content-Type": content_type,
            "Content-Length": str(size),
            "Connection": "close",
        }
        url = via.session.instance_url + path
        return _value_of(
            lambda: self._http.upload(url, headers=headers, pieces=pieces, deadline=via.deadline),
            read,
            via,
        )


def _value_of(send: Callable[[], Response], read: Callable[[Response], Value], via: Via) -> Value:
    """What `read` gives of a call's response. Its cost is added up."""
    started = time.perf_counter()
    try:
        response = send()
    except HttpError as error:
        via.cost += Cost(1, (time.perf_counter() - started) * 1000)
        raise Unavailable(str(error), code=error.code) from error
    via.cost += Cost(
        1,
        (time.perf_counter() - started) * 1000,
        read_api_usage(response.headers),
        response.headers.get("x-sfdc-request-id", ""),
    )
    try:
        return read(response)
    except SalesforceProblem as problem:
        problem.retry_after_seconds = read_retry_after(response.headers)
        raise


def soql_text(value: str) -> str:
    """A string literal of SOQL, quoted and escaped."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + escaped.replace("\n", "\\n").replace("\r", "\\r") + "'"


def sosl_text(words: str) -> str:
    """Words of a SOSL search, escaped (SOQL and SOSL Reference, "Reserved Characters")."""
    return re.sub(r"""([&|!(){}\[\]^"~*?:\\'+-])""", r"\\\1", words)


def _dump(value: Any) -> bytes:
    # A lone surrogate cannot be sent; a record that was queued with one must not stop the others.
    return _ENCODE(value).encode(errors="replace")


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _slices(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    """Runs of keys whose literals stay under MAX_QUERY_BYTES of a URL."""
    start, size = 0, 0
    for i, key in enumerate(keys):
        cost = len(_quoted(soql_text(key) + ","))
        if i > start and size + cost > MAX_QUERY_BYTES:
            yield keys[start:i]
            start, size = i, 0
        size += cost
    if start < len(keys):
        yield keys[start:]
