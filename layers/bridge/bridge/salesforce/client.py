"""What Salesforce says, and how it is asked: pure readers of answers first, then a small client.

The rules: Salesforce runs validation rules, triggers and duplicate rules *before* its unique index,
so no refusal is final before the record has been looked for under its key. Answers come in the
user's language: the `errorCode`, an id and a field's API name are all that is read of them.

Sources: REST API Developer Guide (sObject Rows by External ID, Composite, sObject Collections,
QueryAll, Headers: Assignment Rule, Duplicate Rule, Limit Info).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote

from bridge.deadline import Deadline
from bridge.errors import (
    DuplicatesDetected,
    InstanceMoved,
    KeyFieldMissing,
    KeyTaken,
    LimitExceeded,
    NoAnswer,
    OrgNotReady,
    Refused,
    RowLocked,
    SalesforceProblem,
    SessionRefused,
    Unavailable,
)
from bridge.http import Answer, Http
from bridge.records import ObjectName, Record
from bridge.settings import Settings

_ID = r"(?a)\b(?=[a-zA-Z]*\d)[a-zA-Z0-9]{15}(?:[a-zA-Z0-9]{3})?\b"
"""A record id in a text: it holds a digit, which tells it from a long word of some language. Only
ASCII letters can continue it (`(?a)`): Japanese, Chinese and Thai put no space after it."""
_NEITHER_KNOWN = r"(?s)<[^<>]+>.*<[^<>]+>"
"""`duplicate value found: <unknown> duplicates value on record with id: <unknown>`"""
_ID_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_USAGE = re.compile(r"(?:^|;\s*)api-usage=([0-9]{1,12})/([0-9]{1,12})(?![0-9])")
_NEXT_PAGE = r"/services/data/[A-Za-z0-9_./-]+"
_LIKE_A_FILE = re.compile(r"\.[a-z0-9]{0,10}$")
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_TRIGGER_TROUBLE = ("UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT")
DEEPEST_ANSWER = 50
"""Levels of nesting in an answer; a duplicate rule's has nine."""
LONGEST_MESSAGE = 10_000
"""Characters of a message that are read: what is shown, queued and searched has an end."""
MOST_FAULTS = 1000
MOST_FIELDS = 100
LONGEST_NAME = 100
"""Characters of an error code or of a field's name."""
MOST_PAGES = 20
"""Of the answer to a look-up: each is of hundreds of rows, and 200 keys are asked for."""
KEY_FIELD_HINT = (
    "Salesforce administrator: make the field {field} (Text 100, External ID, Unique) on Lead and "
    "Case, and give the integration user read and edit access to it: run `make connect` "
    "(bird-salesforce setup-org does both), or deploy the folder salesforce/."
)

ABOUT_RIGHTS = (
    "INSUFFICIENT_ACCESS",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
    "INVALID_FIELD_FOR_INSERT_UPDATE",
)
"""How the codes begin by which a user without the right to create an object may be refused."""
ABOUT_AN_ID = ("INVALID_CROSS_REFERENCE_KEY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY")
"""Codes about an id that leads nowhere. An id that is none is MALFORMED_ID."""
ABOUT_THE_ORG = ABOUT_RIGHTS + ABOUT_AN_ID
REMEMBER_RIGHTS_SECONDS = 300.0
NO_RIGHT = "NO_RIGHT_TO_CREATE"
NO_RIGHT_HINT = (
    "Salesforce administrator: give the integration user Create and Read on {object}: run "
    "`make connect` (bird-salesforce setup-org does it), or deploy the folder salesforce/ and "
    "assign its permission set."
)
NO_RULE = "NO_SUCH_ASSIGNMENT_RULE"
NO_RULE_HINT = (
    "Deploy with another {object}AssignmentRule: default, off, or the id of a rule of this org "
    "(Setup, {object} Assignment Rules). If the id is right, an automation of the org sets one "
    "that is not."
)


@dataclass(frozen=True)
class Session:
    """What a call needs to be let in. The token is out of `repr`."""

    access_token: str = field(repr=False)
    instance_url: str
    generation: int = 0
    """Grows by one with each token; tells which of two is newer."""


@dataclass(frozen=True)
class Fault:
    """One entry of an error answer."""

    code: str
    message: str = field(repr=False)
    fields: tuple[str, ...] = ()
    status: int = 400
    existing_id: str | None = None


@dataclass(frozen=True)
class Found:
    """A record that is in Salesforce. `number` is a Case's CaseNumber where it could be read."""

    id: str
    number: str | None = None
    deleted: bool = False


@dataclass(frozen=True)
class Attempt:
    """How one record fared: `created`, or `problem`; `found` is what a look-up in the same round
    trip said (None: not looked up, False: not there)."""

    created: Found | None = None
    problem: SalesforceProblem | None = None
    found: Found | Literal[False] | None = None


def full_id(record_id: str) -> str:
    """A record id in its 18-character form.

    The suffix marks which characters are upper case, five at a time (Salesforce Help, "What Are
    Salesforce IDs Composed Of?").
    """
    if len(record_id) != 15:
        return record_id
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(1 << i for i, c in enumerate(record_id[start : start + 5]) if "A" <= c <= "Z")
        suffix += _ID_SUFFIX[bits]
    return record_id + suffix


def read_json(body: bytes | str) -> Any:
    """The JSON of a body, or None where it is none (HTML, cut off, empty) or nested without end."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    # Nothing is nested deeper than it has brackets: the usual answer is not walked through.
    if isinstance(body, str):
        brackets = body.count("{") + body.count("[")
    else:
        brackets = body.count(b"{") + body.count(b"[")
    if brackets < DEEPEST_ANSWER:
        return said
    level = [said]
    for _ in range(DEEPEST_ANSWER):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return said
    return None


def read_text(said: Mapping[str, Any], name: str) -> str:
    """The text under a name; empty where there is none, or something else."""
    found = said.get(name)
    return found if isinstance(found, str) else ""


def read_id(value: Any) -> str | None:
    """A record id in its 18-character form; None where it is none."""
    if isinstance(value, str) and len(value) in (15, 18) and value.isascii() and value.isalnum():
        return full_id(value)
    return None


def read_faults(said: Any, *, status: int, object_name: str | None = None) -> tuple[Fault, ...]:
    """The entries of an error body: a list of objects, or one bare object; else nothing.

    `errorCode` in most resources, `statusCode` in collections. `duplicateResult` was spelled
    `duplicateResut` by older versions; an existing id counts only if it is of the same object.
    """
    entries = said[:MOST_FAULTS] if isinstance(said, list) else [said]
    faults = []
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        code = entry.get("errorCode") or entry.get("statusCode")
        if not isinstance(code, str):
            continue
        message, fields = entry.get("message"), entry.get("fields")
        faults.append(
            Fault(
                code=code[:LONGEST_NAME],
                message=message[:LONGEST_MESSAGE] if isinstance(message, str) else "",
                fields=_names(fields),
                status=status,
                existing_id=_existing_id(entry, object_name),
            )
        )
    return tuple(faults)


def _names(value: Any) -> tuple[str, ...]:
    names = value[:MOST_FIELDS] if isinstance(value, list) else ()
    return tuple(name[:LONGEST_NAME] for name in names if isinstance(name, str))


def _existing_id(entry: Mapping[str, Any], object_name: str | None) -> str | None:
    result = entry.get("duplicateResult") or entry.get("duplicateResut")
    if not isinstance(result, dict):
        return None
    for match in _dicts(result.get("matchResults")):
        for matched in _dicts(match.get("matchRecords")):
            record = matched.get("record")
            if not isinstance(record, dict) or not isinstance(record.get("Id"), str):
                continue
            attributes = record.get("attributes")
            kind = attributes.get("type") if isinstance(attributes, dict) else None
            if object_name is None or (kind or match.get("entityType")) == object_name:
                return read_id(record["Id"])
    return None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def judge(
    faults: Sequence[Fault], *, key_field: str, records: Sequence[Record] = ()
) -> SalesforceProblem:
    """What the entries of one error answer mean together, as the problem to raise or to keep.

    The session and the org's set-up come before the record: they would refuse any record. Our own
    key in the unique index comes before other refusals: then the record is there.

    `records` are those that were sent. Where one of them names another record by that one's key,
    an INVALID_FIELD about the key's field may mean that there is no such record (`Foreign key
    external ID: 7 not found for field Bird_Key__c in entity Case`) as well as that the field is
    missing: it is taken for a refusal, and the look-up by key that follows any refusal tells.
    """
    # Only an error needs the catalogue: a cold start that makes its record does without it.
    from bridge.salesforce.error_codes import Kind, meaning_of

    by_kind: dict[Kind, list[Fault]] = {}
    judged: list[Fault] = []
    for fault in faults:
        kind = meaning_of(fault.code, fault.status).kind
        if fault.code == "INVALID_FIELD" and (links := _links_named(fault, records)):
            fault = replace(fault, fields=links)
        elif key_field and _names_field(fault, key_field):
            if fault.code in ("INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "NOT_FOUND"):
                return KeyFieldMissing(
                    f"the field {key_field} is missing or hidden from the integration user",
                    fields=(key_field,),
                    hint=KEY_FIELD_HINT.format(field=key_field),
                )
            if kind is Kind.DUPLICATE_VALUE:
                named = re.search(_ID, fault.message)
                return KeyTaken(
                    fault.message,
                    fields=(key_field,),
                    existing_id=full_id(named.group()) if named else None,
                )
        if key_field and kind is Kind.DUPLICATE_VALUE and re.search(_NEITHER_KNOWN, fault.message):
            # Of a record that is just being made Salesforce may tell nothing: it may be ours.
            return KeyTaken(fault.message, fields=(key_field,))
        if kind is Kind.TRIGGER and any(word in fault.message for word in _TRIGGER_TROUBLE):
            kind = Kind.LOCKED
        judged.append(fault)
        by_kind.setdefault(kind, []).append(fault)

    problems: tuple[tuple[Kind, type[SalesforceProblem]], ...] = (
        (Kind.SESSION, SessionRefused),
        (Kind.NOT_SET_UP, OrgNotReady),
        (Kind.REFUSED, Refused),
        (Kind.TRIGGER, Refused),
        (Kind.DUPLICATE_VALUE, Refused),
        (Kind.DUPLICATE_RULE, DuplicatesDetected),
        (Kind.LIMIT, LimitExceeded),
        (Kind.LOCKED, RowLocked),
        (Kind.UNAVAILABLE, Unavailable),
    )
    for kind, problem in problems:
        if kind in by_kind:
            chosen = by_kind[kind]
            first = chosen[0]
            shown = judged if issubclass(problem, Refused) else chosen
            return problem(
                "; ".join(dict.fromkeys(f.message or f.code for f in shown))[:LONGEST_MESSAGE],
                code=first.code,
                fields=tuple(dict.fromkeys(n for f in shown for n in f.fields))[:MOST_FIELDS],
                hint=meaning_of(first.code, first.status).hint,
                existing_id=next((f.existing_id for f in chosen if f.existing_id), None),
            )
    return NoAnswer("Salesforce's answer could not be read")


def _links_named(fault: Fault, records: Sequence[Record]) -> tuple[str, ...]:
    """The links by key, like Account.Number__c, that an entry without `fields` is about.

    Of several by fields of the same name it is the one whose key the message quotes.
    """
    if fault.fields:
        return ()
    links = [
        link for record in records for link in record.links if _stands_in(fault.message, link[1])
    ]
    quoted = [link for link in links if link[2] in fault.message]
    return tuple(dict.fromkeys(f"{name}.{key}" for name, key, _ in quoted or links))


def _names_field(fault: Fault, name: str) -> bool:
    """Whether an entry is about this field, by `fields` or by its API name in the message."""
    wanted = name.lower()
    return any(f.lower() == wanted for f in fault.fields) or _stands_in(fault.message, name)


def _stands_in(message: str, name: str) -> bool:
    """Whether an API name is in a text. Words of Japanese, Chinese or Thai may touch it."""
    pattern = rf"(?a)(?<!\w){re.escape(name.lower())}(?!\w)"
    return re.search(pattern, message.lower()) is not None


def derived_at_fault(problem: SalesforceProblem, record: Record) -> frozenset[str]:
    """The derived fields that a refusal is about, if it is about nothing else; else empty.

    `fields` names them; an `INVALID_FIELD` has no `fields` and quotes the name in its message. In
    some languages the quotes are others: then every name that was sent and that is in it counts.
    `LastName` is never given up: a Lead needs one.
    """
    droppable = record.derived - {"LastName"}
    if type(problem) is not Refused or not droppable or problem.code == "REQUIRED_FIELD_MISSING":
        return frozenset()
    lower = {name.lower(): name for name in droppable}
    named = list(problem.fields)
    if not named and problem.code == "INVALID_FIELD":
        named = re.findall(r"'(\w+)'", problem.message)
        named = [name for name in named if name.lower() in {f.lower() for f in record.fields}]
        named = named or [name for name in record.fields if _stands_in(problem.message, name)]
    if named and all(name.lower() in lower for name in named):
        return frozenset(lower[name.lower()] for name in named)
    return frozenset()


def read_org_problem(
    answer: Answer, *, key_field: str, records: Sequence[Record] = ()
) -> SalesforceProblem | None:
    """What an answer says about the call as a whole, if it is anything but a success.

    `records` are those that were sent, if any. A redirect or a web page where JSON was due means
    that the instance URL has moved (My Domain rename); a web page with a 5xx is maintenance.
    """
    if 200 <= answer.status < 300:
        return _web_page(answer)
    return _org_problem(answer.status, read_json(answer.body), key_field=key_field, records=records)


def _web_page(answer: Answer) -> InstanceMoved | None:
    if 200 <= answer.status < 300 and answer.body.lstrip()[:1] == b"<":
        return InstanceMoved("the instance URL answers with a web page")
    return None


def _org_problem(
    status: int, said: Any, *, key_field: str, records: Sequence[Record] = ()
) -> SalesforceProblem | None:
    """The same of what is read already: the JSON of an answer, or of one part of a composite's."""
    if 200 <= status < 300:
        return None
    faults = read_faults(said, status=status)
    if faults:
        problem = judge(faults, key_field=key_field, records=records)
        if isinstance(problem, SessionRefused) and "REST API" in problem.message:
            # A session of the wrong kind: renewing brings the same one (a short cut by the
            # product's name; without it the fresh token's refusal says so).
            return OrgNotReady(problem.message, code=problem.code, hint=problem.hint)
        return problem
    if status == 401:
        return SessionRefused("Salesforce does not accept the access token")
    if 300 <= status < 400 or (status < 500 and status not in (408, 413, 420, 425, 429)):
        return InstanceMoved(f"the instance URL answers with HTTP {status} and no error code")
    return Unavailable(f"Salesforce answers with HTTP {status}", code=f"HTTP_{status}")


def read_created(
    answer: Answer, *, key_field: str, object_name: ObjectName, records: Sequence[Record] = ()
) -> Attempt:
    """The answer to a single create: 201 with `id` (some versions and proxies say 200).

    `records` is the one that was sent.
    """
    if moved := _web_page(answer):
        return Attempt(problem=moved)
    said = read_json(answer.body)
    return _created(
        answer.status, said, key_field=key_field, object_name=object_name, records=records
    )


def _created(
    status: int, said: Any, *, key_field: str, object_name: ObjectName, records: Sequence[Record]
) -> Attempt:
    problem = _org_problem(status, said, key_field=key_field, records=records)
    record_id = read_id(said.get("id")) if isinstance(said, dict) else None
    if problem is None and record_id:
        return Attempt(created=Found(record_id))
    if isinstance(problem, Refused):
        faults = read_faults(said, status=status, object_name=object_name)
        problem = judge(faults, key_field=key_field, records=records)
    return Attempt(problem=problem or NoAnswer("Salesforce's answer could not be read"))


def read_created_case(answer: Answer, *, key_field: str, records: Sequence[Record] = ()) -> Attempt:
    """The answer to the composite of POST and GET: both parts are judged by their own status."""
    problem = read_org_problem(answer, key_field=key_field)
    if problem is not None:
        return Attempt(problem=problem)
    said = read_json(answer.body)
    parts = said.get("compositeResponse") if isinstance(said, dict) else None
    by_name = {
        str(part.get("referenceId")): part
        for part in (parts if isinstance(parts, list) else ())
        if isinstance(part, dict)
    }
    if "create" not in by_name:
        return Attempt(problem=NoAnswer("Salesforce's answer could not be read"))
    create, find = by_name["create"], by_name.get("find")
    made = _created(
        _status(create),
        create.get("body"),
        key_field=key_field,
        object_name="Case",
        records=records,
    )
    try:
        found = (
            None
            if find is None
            else _looked_up(_status(find), find.get("body"), key_field=key_field)
        )
    except SalesforceProblem:
        return made  # an unreadable look-up takes nothing away from what the POST said
    if made.created:
        number = found.number if found and found.id == made.created.id else None
        return Attempt(created=Found(made.created.id, number))
    return Attempt(problem=made.problem, found=found or (None if find is None else False))


def _status(part: Mapping[str, Any]) -> int:
    status = part.get("httpStatusCode")
    return status if isinstance(status, int) else 500


def read_found(answer: Answer, *, key_field: str) -> Found | None:
    """The answer to a look-up of one record by its key, by URL or by query; None: not there.

    300 means that the field is not unique and several records have the key: the first one counts.
    """
    if moved := _web_page(answer):
        raise moved
    return _looked_up(answer.status, read_json(answer.body), key_field=key_field)


def _looked_up(status: int, said: Any, *, key_field: str) -> Found | None:
    if status == 200 and isinstance(said, dict):
        rows = said.get("records", [said])
        if rows == []:
            return None
        found = _found(rows[0]) if isinstance(rows, list) else None
        if found:
            return found
    if status == 300 and isinstance(said, list) and said and isinstance(said[0], str):
        record_id = read_id(said[0].rsplit("/", 1)[-1])
        if record_id:
            return Found(record_id)
    faults = read_faults(said, status=status)
    if status == 404 and faults and all(f.code == "NOT_FOUND" for f in faults):
        problem = judge(faults, key_field=key_field)
        if isinstance(problem, KeyFieldMissing):
            raise problem
        return None
    raise _as_lookup(_org_problem(status, said, key_field=key_field))


def read_createable(answer: Answer) -> bool:
    """Whether the user may create an object, from its basic information; True if it does not say.

    The refusal that led to this question came from the object, so that one that is not there is no
    answer: whatever stands between may let creates through and not this. Raises what concerns the
    call as a whole. Source: sObject Basic Information.
    """
    if answer.status in (404, 405):
        return True
    problem = read_org_problem(answer, key_field="")
    if problem is not None:
        if problem.code == "INVALID_TYPE":
            return False
        if not isinstance(problem, Refused):
            raise problem
    said = read_json(answer.body)
    described = said.get("objectDescribe") if isinstance(said, dict) else None
    return not (isinstance(described, dict) and described.get("createable") is False)


def _as_lookup(problem: SalesforceProblem | None) -> SalesforceProblem:
    """A look-up that Salesforce refuses says nothing about the record: it only failed."""
    if problem is None:
        return NoAnswer("Salesforce's answer could not be read")
    if isinstance(problem, Refused):
        return Unavailable(problem.message, code=problem.code, hint=problem.hint)
    return problem


def _found(row: Any) -> Found | None:
    record_id = read_id(row.get("Id")) if isinstance(row, dict) else None
    if record_id is None:
        return None
    number = row.get("CaseNumber")
    return Found(
        record_id,
        number[:LONGEST_NAME] if isinstance(number, str) else None,
        deleted=row.get("IsDeleted") is True,
    )


def read_collection(
    answer: Answer, *, key_field: str, records: Sequence[Record]
) -> list[Attempt] | SalesforceProblem:
    """The answer to a create of many: how each fared, in order, or why the whole call failed."""
    problem = read_org_problem(answer, key_field=key_field, records=records)
    if problem is not None:
        return problem
    said = read_json(answer.body)
    if not isinstance(said, list) or len(said) != len(records):
        return NoAnswer("Salesforce's answer could not be read")
    return [
        _read_one(entry, key_field=key_field, record=record)
        for entry, record in zip(said, records, strict=True)
    ]


def _read_one(entry: Any, *, key_field: str, record: Record) -> Attempt:
    if isinstance(entry, dict):
        record_id = read_id(entry.get("id"))
        if entry.get("success") is True and record_id:
            return Attempt(created=Found(record_id))
        faults = read_faults(entry.get("errors"), status=400, object_name=record.object)
        if faults:
            return Attempt(problem=judge(faults, key_field=key_field, records=(record,)))
    return Attempt(problem=NoAnswer("Salesforce's answer could not be read"))


def read_api_usage(headers: Mapping[str, str]) -> float | None:
    """Percent of the day's API requests that are used, from `Sforce-Limit-Info`.

    `api-usage=18/5000`, also followed by `; per-app-api-usage=17/250(appName=…)`.
    """
    match = _USAGE.search(headers.get("Sforce-Limit-Info") or "")
    if not match or int(match[2]) == 0:
        return None
    return 100 * int(match[1]) / int(match[2])


def read_retry_after(headers: Mapping[str, str]) -> int:
    """Seconds of `Retry-After`; 0 where there is none, or a date.

    Salesforce is not known to send one; what stands in front of it may.
    """
    said = (headers.get("Retry-After") or "").strip()
    return int(said) if said.isascii() and said.isdigit() and len(said) <= 9 else 0


def soql_text(value: str) -> str:
    """A string literal of SOQL, quoted and escaped."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + escaped.replace("\n", "\\n").replace("\r", "\\r") + "'"


@dataclass
class Measured:
    """What the last call tells an operator; no part of it is personal."""

    milliseconds: float = 0.0
    usage_percent: float | None = None
    request_id: str = ""
    calls: int = 0


class Salesforce:
    """The few calls that are made, each with its own reader. Raises SalesforceProblem."""

    def __init__(self, *, http: Http, settings: Settings) -> None:
        self._http = http
        self._settings = settings
        self._base = f"/services/data/{settings.api_version}"
        self._key_field = settings.external_id_field
        self._createable: dict[ObjectName, tuple[bool, float]] = {}
        """Whether an object may be created, and until when that is remembered."""
        self.measured = Measured()

    def take_measurements(self) -> Measured:
        """What the calls since the last time cost; counting begins anew."""
        measured, self.measured = self.measured, Measured()
        return measured

    def create(self, record: Record, *, session: Session, deadline: Deadline) -> Attempt:
        """Insert one record, never upsert: a repetition must not overwrite a sales rep's edits.

        For a Case, one composite also reads its number by the key. The GET does not depend on the
        POST, so it answers for a record that was there before as well.
        Raises SessionRefused, Unavailable, NotSetUp; a refusal comes back in the Attempt.
        """
        if record.object == "Case":
            body = self._case_body(record)
            path = f"{self._base}/composite"
            headers: dict[str, str] = {}
        else:
            body = _dump(self._values(record))
            path = f"{self._base}/sobjects/{record.object}"
            headers = self.insert_headers(record)
        answer = self._send(
            "POST", path, session=session, deadline=deadline, body=body, headers=headers
        )
        if record.object == "Case":
            attempt = read_created_case(answer, key_field=self._key_field, records=(record,))
        else:
            attempt = read_created(
                answer,
                key_field=self._key_field,
                object_name=record.object,
                records=(record,),
            )
        refused = attempt.problem is None or isinstance(attempt.problem, Refused)
        if not refused and not attempt.found:
            assert attempt.problem is not None
            raise attempt.problem
        return attempt

    def insert_headers(self, record: Record) -> dict[str, str]:
        """Assignment and duplicate headers of an insert. In a collection they hold for all of it.

        `Sforce-Auto-Assign` defaults to TRUE at Salesforce, which re-owns a Case even without an
        active rule, so a record with an owner of its own is always sent with FALSE.
        """
        headers = {}
        assignment = self._settings.assignment(record.object)
        if record.has_owner or assignment == "off":
            headers["Sforce-Auto-Assign"] = "FALSE"
        elif assignment != "default":
            headers["Sforce-Auto-Assign"] = assignment
        if self._settings.allow_duplicates:
            headers["Sforce-Duplicate-Rule-Header"] = "allowSave=true"
        return headers

    def find(
        self, object_name: ObjectName, key: str, *, session: Session, deadline: Deadline
    ) -> Found | None:
        """The record with this key, if the integration user can see one."""
        answer = self._send(
            "GET", self._find_url(object_name, key), session=session, deadline=deadline
        )
        return read_found(answer, key_field=self._key_field)

    def create_many(
        self, records: Sequence[Record], *, session: Session, deadline: Deadline
    ) -> list[Attempt] | SalesforceProblem:
        """Insert up to 200 records of one object and one set of headers in one API call.

        The answer tells how each fared, in order, or why the whole call was refused.
        """
        body = self.collection_body(self.collection_entry(record) for record in records)
        answer = self._send(
            "POST",
            f"{self._base}/composite/sobjects",
            session=session,
            deadline=deadline,
            body=body,
            headers=self.insert_headers(records[0]),
        )
        fared = read_collection(answer, key_field=self._key_field, records=records)
        if isinstance(fared, SalesforceProblem):
            fared.retry_after_seconds = read_retry_after(answer.headers)
        return fared

    def collection_entry(self, record: Record) -> bytes:
        """One record as it stands in a collection's body."""
        return _dump({"attributes": {"type": record.object}, **self._values(record)})

    @staticmethod
    def collection_body(entries: Iterable[bytes]) -> bytes:
        """The body of a create of many, from entries that are JSON already."""
        return b'{"allOrNone":false,"records":[' + b",".join(entries) + b"]}"

    def find_many(
        self, object_name: ObjectName, keys: Sequence[str], *, session: Session, deadline: Deadline
    ) -> dict[str, Found]:
        """The records with these keys, deleted ones too (`queryAll`), by key.

        Asked in one call unless the URL would grow past what Salesforce accepts (16,384 bytes).
        Of several with the same key, one that is not deleted counts.
        """
        field_name = self._key_field
        number = ",CaseNumber" if object_name == "Case" else ""
        found: dict[str, Found] = {}
        for some in _slices(keys, longest=12_000):
            soql = (
                f"SELECT Id,{field_name},IsDeleted{number} FROM {object_name} "
                f"WHERE {field_name} IN ({','.join(soql_text(key) for key in some)})"
            )
            path = f"{self._base}/queryAll?q={_quoted(soql)}"
            for page in range(1, MOST_PAGES + 1):
                answer = self._send("GET", path, session=session, deadline=deadline)
                problem = read_org_problem(answer, key_field=field_name)
                said = read_json(answer.body)
                rows = said.get("records") if isinstance(said, dict) else None
                if problem is not None or not isinstance(rows, list):
                    raise _as_lookup(problem)
                for row in rows:
                    # Of rows that cannot be read nobody may conclude that the record is not there.
                    there = _found(row)
                    if there is None:
                        raise _as_lookup(None)
                    # The org writes the name as it was made, whatever case the parameter has.
                    lower = {name.lower(): value for name, value in row.items()}
                    key = str(lower.get(field_name.lower()))
                    if key not in found or found[key].deleted:
                        found[key] = there
                path = said.get("nextRecordsUrl")
                if not path:
                    break
                # It goes after the instance's host: anything else could lead to another one.
                again = isinstance(path, str) and re.fullmatch(_NEXT_PAGE, path)
                if not again or page == MOST_PAGES:
                    raise _as_lookup(None)
        return found

    def org_at_fault(
        self, problem: SalesforceProblem, record: Record, *, session: Session, deadline: Deadline
    ) -> OrgNotReady | None:
        """What has to be set right in the org or the deployment, where a refusal is not about the
        record: the next one would be refused as well.

        A refusal for want of rights is one, if the user may not create this object at all: that is
        asked, and remembered for some minutes. So is one for an id that leads nowhere, if the
        record has none: then the only id that was sent is the assignment rule's.
        """
        if problem.code.startswith(ABOUT_RIGHTS) and not self._may_create(
            record.object, session=session, deadline=deadline
        ):
            return OrgNotReady(
                f"the integration user may not create a {record.object}",
                code=NO_RIGHT,
                hint=NO_RIGHT_HINT.format(object=record.object),
            )
        if (
            problem.code in ABOUT_AN_ID
            and not problem.fields
            and self._settings.assignment(record.object) not in ("default", "off")
            and not record.may_hold_ids
        ):
            return OrgNotReady(
                f"Salesforce refuses an id, and the only one that was sent with this "
                f"{record.object} is the assignment rule's",
                code=NO_RULE,
                hint=NO_RULE_HINT.format(object=record.object),
            )
        return None

    def _may_create(self, object_name: ObjectName, *, session: Session, deadline: Deadline) -> bool:
        createable, until = self._createable.get(object_name, (True, 0.0))
        if time.monotonic() >= until:
            path = f"{self._base}/sobjects/{object_name}"
            try:
                answer = self._send("GET", path, session=session, deadline=deadline)
                createable = read_createable(answer)
            except Unavailable:
                return True  # who cannot be asked does not say otherwise: the refusal stands
            until = time.monotonic() + REMEMBER_RIGHTS_SECONDS
            self._createable[object_name] = createable, until
        return createable

    def record_url(self, record_id: str, session: Session) -> str:
        """Where a person looks at the record; Salesforce leads on to the right page."""
        return f"{session.instance_url}/{record_id}"

    def _values(self, record: Record) -> dict[str, Any]:
        if not self._key_field:
            return dict(record.fields)
        return {**record.fields, self._key_field: record.key}

    def _find_url(self, object_name: ObjectName, key: str) -> str:
        fields = "Id,CaseNumber" if object_name == "Case" else "Id"
        if _LIKE_A_FILE.search(key):
            # `.json` and the like at the end of a resource's path would choose a format instead,
            # and a path of dots would be another path.
            soql = (
                f"SELECT {fields} FROM {object_name} WHERE {self._key_field} = {soql_text(key)} "
                "LIMIT 1"
            )
            return f"{self._base}/query?q={_quoted(soql)}"
        return (
            f"{self._base}/sobjects/{object_name}/{self._key_field}/{_quoted(key)}?fields={fields}"
        )

    def _case_body(self, record: Record) -> bytes:
        """POST the Case, then GET it. Sub-requests inherit no header but Accept, Authorization and
        Content-Type, so the insert's own go into the sub-request."""
        create: dict[str, Any] = {
            "method": "POST",
            "url": f"{self._base}/sobjects/Case",
            "referenceId": "create",
            "body": self._values(record),
        }
        if headers := self.insert_headers(record):
            create["httpHeaders"] = headers
        if self._key_field:
            url = self._find_url("Case", record.key)
        else:
            url = f"{self._base}/sobjects/Case/@{{create.id}}?fields=Id,CaseNumber"
        find = {"method": "GET", "url": url, "referenceId": "find"}
        return _dump(
            {"allOrNone": False, "collateSubrequests": False, "compositeRequest": [create, find]}
        )

    def _send(
        self,
        method: str,
        path: str,
        *,
        session: Session,
        deadline: Deadline,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        started = time.perf_counter()
        sent = {
            "Authorization": f"Bearer {session.access_token}",
            "Accept": "application/json",
            **(headers or {}),
        }
        if body is not None:
            sent["Content-Type"] = "application/json"
        measured = self.measured
        measured.calls += 1
        try:
            answer = self._http.send(
                method,
                session.instance_url + path,
                headers=sent,
                body=body,
                deadline=deadline,
                # With a unique key an insert may be sent again; without one it may not.
                repeatable=method == "GET" or bool(self._key_field),
            )
        finally:
            measured.milliseconds = (time.perf_counter() - started) * 1000
        measured.request_id = answer.headers.get("x-sfdc-request-id") or ""
        usage = read_api_usage(answer.headers)
        if usage is not None:
            measured.usage_percent = usage
        return answer


def _dump(value: Any) -> bytes:
    # Half a character cannot be sent; a record that was queued with one must not stop the others.
    return _ENCODE(value).encode(errors="replace")


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _slices(keys: Sequence[str], *, longest: int) -> Iterable[Sequence[str]]:
    """Runs of keys whose literals stay under that many bytes of a URL."""
    start, size = 0, 0
    for i, key in enumerate(keys):
        cost = len(_quoted(soql_text(key) + ","))
        if i > start and size + cost > longest:
            yield keys[start:i]
            start, size = i, 0
        size += cost
    if start < len(keys):
        yield keys[start:]
