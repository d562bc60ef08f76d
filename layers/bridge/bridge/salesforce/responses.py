"""Readers of Salesforce's responses: pure functions of status, headers and body.

Messages come in the user's language, so only the `errorCode`, an id and a field's API name are read
of them. A response that cannot be read means that the record may be there or not.

Sources: REST API Developer Guide (sObject Rows by External ID, sObject Basic Information,
Composite, sObject Collections, QueryAll, Status Codes and Error Responses, Headers: Limit Info).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bridge.errors import (
    DuplicatesDetected,
    InstanceMoved,
    KeyFieldMissing,
    KeyTaken,
    LimitExceeded,
    OrgNotReady,
    Refused,
    RowLocked,
    SalesforceProblem,
    SessionRefused,
    Unavailable,
)
from bridge.http import Response
from bridge.records import Record
from bridge.salesforce.session import full_id, read_id
from bridge.untrusted import read_json, read_text

if TYPE_CHECKING:
    from bridge.salesforce.composite import PartResponse

_ID = r"(?a)\b(?=[a-zA-Z]*\d)[a-zA-Z0-9]{15}(?:[a-zA-Z0-9]{3})?\b"
"""A record id in a text. It holds a digit, unlike a long word of some language. Only ASCII letters
can continue it (`(?a)`): Japanese, Chinese and Thai put no space after it."""
_NEITHER_KNOWN = r"(?s)<[^<>]+>.*<[^<>]+>"
"""`duplicate value found: <unknown> duplicates value on record with id: <unknown>`"""
_USAGE = re.compile(r"(?:^|;\s*)api-usage=([0-9]{1,12})/([0-9]{1,12})(?![0-9])")
_NEXT_PAGE = r"/services/data/[A-Za-z0-9_./-]+"
_LOCKS_IN_TRIGGERS = ("UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT")
_LINK = frozenset({"ContactId", "AccountId"})
"""Of a Case, to the Contact that its sender is."""
ABOUT_AN_ID = frozenset(
    {"INVALID_CROSS_REFERENCE_KEY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"}
)
"""Codes about an id that leads nowhere. A value that is not an id is MALFORMED_ID."""
_TEMPORARY_STATUSES = (408, 413, 420, 425, 429)
MAX_MESSAGE_LENGTH = 10_000
"""Characters of a message that are read."""
MAX_FAULTS = 1000
MAX_FIELDS = 100
MAX_NAME_LENGTH = 100
"""Characters of an error code or of a field's name."""
SET_UP = (
    "run `make connect` (bird-salesforce setup-org does it), or deploy the folder salesforce/ and "
    "assign its permission set."
)
"""How the integration user gets what it needs: the end of several hints."""
KEY_FIELD_HINT = (
    "Salesforce administrator: make the field {field} (Text 100, External ID, Unique) on Lead and "
    "Case, and give the integration user read and edit access to it: run `make connect` "
    "(bird-salesforce setup-org does both), or deploy the folder salesforce/."
)


@dataclass(frozen=True)
class Fault:
    """One entry of an error response."""

    code: str
    message: str = field(repr=False)
    fields: tuple[str, ...] = ()
    status: int = 400
    existing_id: str | None = None
    matches: tuple[str, ...] = ()


class Found(NamedTuple):
    """A record that is in Salesforce. `number` is a Case's CaseNumber where it could be read."""

    id: str
    number: str | None = None
    deleted: bool = False


LookUp = Found | Literal[False] | SalesforceProblem | None
"""What a look-up by key gave: the record, False if there is none, the problem that kept it from
being looked up; None where nobody has looked."""


class Attempt(NamedTuple):
    """The result of inserting one record: `created`, or `problem` and what a look-up gave."""

    created: Found | None = None
    problem: SalesforceProblem | None = None
    found: LookUp = None


def unreadable() -> Unavailable:
    """The problem of a response that cannot be read: what was sent may be done or not."""
    return Unavailable("Salesforce's answer could not be read", code="NO_ANSWER")


# Errors


def read_faults(body: Any, *, status: int, object_name: str | None = None) -> tuple[Fault, ...]:
    """The entries of an error body: a list of objects, or one bare object; else nothing.

    `errorCode` in most resources, `statusCode` in collections. `duplicateResult` was spelled
    `duplicateResut` by older versions; an existing id counts only if it is of the same object.
    """
    faults = []
    for entry in _dicts(body[:MAX_FAULTS] if isinstance(body, list) else [body]):
        code = entry.get("errorCode") or entry.get("statusCode")
        if not isinstance(code, str):
            continue
        fields = entry.get("fields")
        names = fields[:MAX_FIELDS] if isinstance(fields, list) else ()
        matched = [*_matched(entry)]
        faults.append(
            Fault(
                code=code[:MAX_NAME_LENGTH],
                message=read_text(entry, "message")[:MAX_MESSAGE_LENGTH],
                fields=tuple(name[:MAX_NAME_LENGTH] for name in names if isinstance(name, str)),
                status=status,
                existing_id=next((i for i, of in matched if object_name in (of, None)), None),
                matches=tuple(dict.fromkeys(i for i, of in matched if of in ("Lead", "Contact"))),
            )
        )
    return tuple(faults)


def _matched(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The ids that a duplicate rule names, and of which object each is."""
    result = entry.get("duplicateResult") or entry.get("duplicateResut")
    for match in _dicts(result.get("matchResults")) if isinstance(result, dict) else ():
        for matched in _dicts(match.get("matchRecords")):
            (record,) = _dicts([matched.get("record")]) or ({},)
            (attributes,) = _dicts([record.get("attributes")]) or ({},)
            if record_id := read_id(record.get("Id")):
                yield record_id, attributes.get("type") or match.get("entityType")


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def key_field_missing(name: str) -> KeyFieldMissing:
    """The problem of an org without the external-id field."""
    return KeyFieldMissing(
        f"the field {name} is missing or hidden from the integration user",
        fields=(name,),
        hint=KEY_FIELD_HINT.format(field=name),
    )


def judge(
    faults: Sequence[Fault], *, key_field: str, records: Sequence[Record] = ()
) -> SalesforceProblem:
    """The one problem that the entries of an error response mean together.

    The session and the org's set-up come before the record: they would refuse any record. Our own
    key in the unique index comes before other refusals: then the record is there.

    `records` are those that were sent. Where one of them names another record by that one's key,
    an INVALID_FIELD about the key's field may mean that there is no such record (`Foreign key
    external ID: 7 not found for field Bird_Key__c in entity Case`) as well as that the field is
    missing: it is taken for a refusal, and the look-up by key that follows any refusal tells.
    """
    # Only an error needs the error codes: a cold start that makes its record does without them.
    from bridge.salesforce.error_codes import Kind, meaning_of

    by_kind: dict[Kind, list[Fault]] = {}
    judged: list[Fault] = []
    for fault in faults:
        kind = meaning_of(fault.code, fault.status).kind
        if fault.code == "INVALID_FIELD" and (links := _links_named(fault, records)):
            fault = replace(fault, fields=links)
        elif key_field and _names_field(fault, key_field):
            if fault.code in ("INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "NOT_FOUND"):
                return key_field_missing(key_field)
            if kind is Kind.DUPLICATE_VALUE:
                named = re.search(_ID, fault.message)
                return KeyTaken(
                    fault.message,
                    fields=(key_field,),
                    existing_id=full_id(named.group()) if named else None,
                )
        if key_field and kind is Kind.DUPLICATE_VALUE and re.search(_NEITHER_KNOWN, fault.message):
            # Salesforce may name neither field nor record while that one is being made.
            return KeyTaken(fault.message, fields=(key_field,))
        if kind is Kind.TRIGGER and any(word in fault.message for word in _LOCKS_IN_TRIGGERS):
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
                "; ".join(dict.fromkeys(f.message or f.code for f in shown))[:MAX_MESSAGE_LENGTH],
                code=first.code,
                fields=tuple(dict.fromkeys(n for f in shown for n in f.fields))[:MAX_FIELDS],
                hint=meaning_of(first.code, first.status).hint,
                existing_id=next((f.existing_id for f in chosen if f.existing_id), None),
                matches=tuple(dict.fromkeys(one for f in chosen for one in f.matches)),
            )
    return unreadable()


def _links_named(fault: Fault, records: Sequence[Record]) -> tuple[str, ...]:
    """The links by key, like Account.Number__c, that an entry without `fields` is about.

    Of several by fields of the same name it is the one whose key the message quotes.
    """
    if fault.fields:
        return ()
    links = [link for record in records for link in record.links if _names(fault.message, link[1])]
    quoted = [link for link in links if link[2] in fault.message]
    return tuple(dict.fromkeys(f"{name}.{key}" for name, key, _ in quoted or links))


def _names_field(fault: Fault, name: str) -> bool:
    """Whether an entry is about this field, by `fields` or by its API name in the message."""
    wanted = name.lower()
    return any(f.lower() == wanted for f in fault.fields) or _names(fault.message, name)


def _names(message: str, name: str) -> bool:
    """Whether an API name is in a text. Words of Japanese, Chinese or Thai may touch it."""
    pattern = rf"(?a)(?<!\w){re.escape(name.lower())}(?!\w)"
    return re.search(pattern, message.lower()) is not None


def derived_at_fault(problem: SalesforceProblem, record: Record) -> frozenset[str]:
    """The derived fields that a refusal is about, if it is about nothing else; else empty.

    `fields` names them; an `INVALID_FIELD` has no `fields` and quotes the name in its message. In
    some languages the quotes are others: then every name that was sent and that is in it counts.
    `LastName` is never given up: a Lead needs one.
    """
    droppable = {name.lower(): name for name in record.derived - {"LastName"}}
    if type(problem) is not Refused or not droppable or problem.code == "REQUIRED_FIELD_MISSING":
        return frozenset()
    named = list(problem.fields)
    if not named and problem.code == "INVALID_FIELD":
        sent = {name.lower() for name in record.fields}
        quoted = re.findall(r"'(\w+)'", problem.message)
        named = [name for name in quoted if name.lower() in sent]
        named = named or [name for name in record.fields if _names(problem.message, name)]
    if named and all(name.lower() in droppable for name in named):
        names = frozenset(droppable[name.lower()] for name in named)
        return names | (record.derived & _LINK) if names & _LINK else names
    if (
        not named
        and problem.code in ABOUT_AN_ID | {"ENTITY_IS_DELETED"}
        and "ParentId" not in record.derived
    ):
        return record.derived & _LINK  # perhaps another id: then it is refused again without them
    return frozenset()


def read_org_problem(
    response: Response, *, key_field: str, records: Sequence[Record] = ()
) -> SalesforceProblem | None:
    """The problem of the call as a whole; None if the call was a success.

    `records` are those that were sent, if any. A redirect or a web page where JSON was due means
    that the instance URL has moved (My Domain rename); a web page with a 5xx is maintenance.
    """
    if 200 <= response.status < 300:
        return _web_page(response)
    body = read_json(response.body)
    return _problem(response.status, body, key_field=key_field, records=records)


def _read_success(
    response: Response, *, key_field: str = "", records: Sequence[Record] = ()
) -> Any:
    """The body of a call that was a success. Raises the problem of one that was none."""
    if problem := read_org_problem(response, key_field=key_field, records=records):
        raise problem
    return read_json(response.body)


def _web_page(response: Response) -> InstanceMoved | None:
    if 200 <= response.status < 300 and response.body.lstrip()[:1] == b"<":
        return InstanceMoved("the instance URL answers with a web page")
    return None


def _problem(
    status: int, body: Any, *, key_field: str, records: Sequence[Record] = ()
) -> SalesforceProblem | None:
    """The same for a body that is read already: a whole response's, or a composite part's."""
    if 200 <= status < 300:
        return None
    faults = read_faults(body, status=status)
    if faults:
        problem = judge(faults, key_field=key_field, records=records)
        if isinstance(problem, SessionRefused) and "REST API" in problem.message:
            # A session of the wrong kind: a renewed one is of that kind too (a short cut by the
            # product's name; without it the refusal of the fresh token leads to the same).
            return OrgNotReady(problem.message, code=problem.code, hint=problem.hint)
        return problem
    if status == 401:
        return SessionRefused("Salesforce does not accept the access token")
    if 300 <= status < 500 and status not in _TEMPORARY_STATUSES:
        return InstanceMoved(f"the instance URL answers with HTTP {status} and no error code")
    return Unavailable(f"Salesforce answers with HTTP {status}", code=f"HTTP_{status}")


# Parts


def read_parts(response: Response) -> dict[str, PartResponse]:
    """The responses of a composite's parts. Raises what concerns the call as a whole."""
    body = _read_success(response)
    from bridge.salesforce import composite

    responses = composite.read_composite(body)
    for part in responses.values():
        # The session ended in between: that is of the call, which is made again with a new one.
        if part.status == 401 and (problem := _problem(401, part.body, key_field="")):
            raise problem
    if responses:
        return responses
    raise unreadable()


def read_part(response: Response) -> PartResponse:
    """The response to a part that was sent alone. Raises where it cannot be read, and where the
    session is refused."""
    problem = read_org_problem(response, key_field="")
    body = read_json(response.body)
    readable = bool(read_faults(body, status=response.status))
    if problem is not None and (isinstance(problem, SessionRefused) or not readable):
        raise problem
    from bridge.salesforce import composite

    return composite.PartResponse(response.status, body)


# Inserts


def read_created(response: Response, *, key_field: str, record: Record) -> Attempt:
    """The result of a single insert: 201 with `id` (some versions and proxies say 200)."""
    if moved := _web_page(response):
        return Attempt(problem=moved)
    return _created(response.status, read_json(response.body), key_field=key_field, record=record)


def _created(status: int, body: Any, *, key_field: str, record: Record) -> Attempt:
    problem = _problem(status, body, key_field=key_field, records=(record,))
    record_id = read_id(body.get("id")) if isinstance(body, dict) else None
    if problem is None and record_id:
        return Attempt(created=Found(record_id))
    if isinstance(problem, Refused):
        faults = read_faults(body, status=status, object_name=record.object)
        problem = judge(faults, key_field=key_field, records=(record,))
    return Attempt(problem=problem or unreadable())


def read_created_case(response: Response, *, key_field: str, record: Record) -> Attempt:
    """The result of the composite that inserts a Case (`create`) and reads its number (`find`).

    The outer 200 is no success: each part is judged by its own status.
    """
    from bridge.salesforce import composite  # for a Case only

    problem = read_org_problem(response, key_field=key_field)
    if problem is not None:
        return Attempt(problem=problem)
    parts = composite.read_composite(read_json(response.body))
    create, find = parts.get("create"), parts.get("find")
    if create is None:
        return Attempt(problem=unreadable())
    made = _created(create.status, create.body, key_field=key_field, record=record)
    if find is None:
        return made
    try:
        found = _found_by_key(find.status, find.body, key_field=key_field)
    except SalesforceProblem:
        return made  # a look-up that failed takes nothing away from the insert's result
    if made.created:
        number = found.number if found and found.id == made.created.id else None
        return Attempt(created=Found(made.created.id, number))
    return Attempt(problem=made.problem, found=found or False)


def read_collection(
    response: Response, *, key_field: str, records: Sequence[Record]
) -> list[Attempt]:
    """The result of each insert of a collection, in order. Raises what concerns the whole call."""
    body = _read_success(response, key_field=key_field, records=records)
    if not isinstance(body, list) or len(body) != len(records):
        raise unreadable()
    return [
        _read_entry(entry, key_field=key_field, record=record)
        for entry, record in zip(body, records, strict=True)
    ]


def read_saved(response: Response, *, count: int) -> list[SalesforceProblem | None]:
    """The problem of each record of a collection, None where it was saved. Raises what concerns
    the whole call."""
    body = _read_success(response)
    if not isinstance(body, list) or len(body) != count:
        raise unreadable()
    return [_read_entry(entry).problem for entry in body]


def _read_entry(entry: Any, *, key_field: str = "", record: Record | None = None) -> Attempt:
    (values,) = _dicts([entry]) or ({},)
    if values.get("success") is True and (record_id := read_id(values.get("id"))):
        return Attempt(created=Found(record_id))
    faults = read_faults(
        values.get("errors"), status=400, object_name=record.object if record else None
    )
    return Attempt(problem=judge(faults, key_field=key_field, records=(record,) if record else ()))


# Look-ups


def read_found(response: Response, *, key_field: str) -> Found | None:
    """The record that a look-up by key found, by URL or by query; None if there is none.

    300 means that the field is not unique and several records have the key: the first one counts.
    Raises what kept the record from being looked up.
    """
    if moved := _web_page(response):
        raise moved
    return _found_by_key(response.status, read_json(response.body), key_field=key_field)


def _found_by_key(status: int, body: Any, *, key_field: str) -> Found | None:
    if status == 200 and isinstance(body, dict):
        rows = body.get("records", [body])
        if rows == []:
            return None
        found = read_row(rows[0]) if isinstance(rows, list) else None
        if found:
            return found
    if status == 300 and isinstance(body, list) and body and isinstance(body[0], str):
        record_id = read_id(body[0].rsplit("/", 1)[-1])
        if record_id:
            return Found(record_id)
    faults = read_faults(body, status=status)
    if status == 404 and faults and all(f.code == "NOT_FOUND" for f in faults):
        problem = judge(faults, key_field=key_field)
        if isinstance(problem, KeyFieldMissing):
            raise problem
        return None
    raise failed_look_up(_problem(status, body, key_field=key_field) or unreadable())


def read_page(response: Response, *, key_field: str) -> tuple[list[dict[str, Any]], str | None]:
    """The rows of one page of a query, and the path of the next page.

    Raises what kept them from being read.
    """
    if problem := read_org_problem(response, key_field=key_field):
        raise failed_look_up(problem)
    body = read_json(response.body)
    rows = read_rows(body)
    next_path = body.get("nextRecordsUrl")
    # It is put after the instance's host: anything else could lead to another host.
    if next_path and not (isinstance(next_path, str) and re.fullmatch(_NEXT_PAGE, next_path)):
        raise unreadable()
    return rows, next_path or None


def read_search(response: Response) -> list[dict[str, Any]]:
    """The rows of a search. Raises what kept them from being read."""
    return read_rows(_read_success(response), "searchRecords")


def read_rows(body: Any, name: str = "records") -> list[dict[str, Any]]:
    """The rows in a body. Raises Unavailable where there are none, not even an empty list."""
    rows = body.get(name) if isinstance(body, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise unreadable()
    return rows


def read_row(row: Any) -> Found | None:
    """The record of one row; None if it cannot be read."""
    record_id = read_id(row.get("Id")) if isinstance(row, dict) else None
    if record_id is None:
        return None
    number = read_text(row, "CaseNumber")[:MAX_NAME_LENGTH] or None
    return Found(record_id, number, deleted=row.get("IsDeleted") is True)


def failed_look_up(problem: SalesforceProblem) -> SalesforceProblem:
    """A look-up that Salesforce refuses says nothing about the record: it only failed."""
    if isinstance(problem, Refused):
        return Unavailable(problem.message, code=problem.code, hint=problem.hint)
    return problem


def read_right(response: Response, *, right: str) -> bool:
    """Whether the user has a right to an object (`createable`, `updateable`), from its basic
    information; True where that is open.

    It is read after the object itself refused a write, so a 404 says nothing: whatever stands
    between may let writes through and not this. Raises what concerns the call as a whole.
    """
    if response.status in (404, 405):
        return True
    problem = read_org_problem(response, key_field="")
    if problem is not None:
        if problem.code == "INVALID_TYPE":
            return False
        if not isinstance(problem, Refused):
            raise problem
    body = read_json(response.body)
    described = body.get("objectDescribe") if isinstance(body, dict) else None
    return not (isinstance(described, dict) and described.get(right) is False)


def read_user_id(response: Response) -> str:
    """The user's id, from userinfo (Salesforce Help, "User Info Endpoint"); empty where the token
    may not ask for it. Raises nothing: a refusal says nothing of the session."""
    body = read_json(response.body) if response.status == 200 else None
    return (read_id(body.get("user_id")) or "") if isinstance(body, dict) else ""


def read_changed(response: Response) -> None:
    """The result of an update: 204. Raises why it was not made."""
    _read_success(response)


# Headers


def read_api_usage(headers: Mapping[str, str]) -> float | None:
    """Percent of the day's API requests that are used, from `Sforce-Limit-Info`.

    `api-usage=18/5000`, also followed by `; per-app-api-usage=17/250(appName=…)`.
    """
    match = _USAGE.search(headers.get("sforce-limit-info") or "")
    if not match or int(match[2]) == 0:
        return None
    return 100 * int(match[1]) / int(match[2])


def read_retry_after(headers: Mapping[str, str]) -> int:
    """Seconds of `Retry-After`; 0 where there is none, or a date.

    Salesforce is not known to send one; what stands in front of it may.
    """
    value = (headers.get("retry-after") or "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 9 else 0
