"""What a response of Salesforce's means for a record, row by row: the specification of `verdict`.

Each row is an error body as Salesforce writes it (bodies from its documentation, other people's
issues and recordings, with our own field names), what is known beside it, and the verdict.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.delivery.verdict import (
    Context,
    Undecided,
    Verdict,
    verdict_on,
    verdict_on_call,
)
from bridge.errors import OrgNotReady, Refused, SalesforceProblem, Unavailable
from bridge.records import Record
from bridge.salesforce.responses import Attempt, Found, LookUp, read_created, read_org_problem
from bridge.salesforce.session import full_id
from tests.unit.doubles import KEY, json_response

ID = full_id("00Q5f000001AbCd")
OTHER_ID = full_id("00Q5f000001XyZa")
RULE = "01Q8d00000555Ab"

LEAD = Record(
    object="Lead",
    key="k-1",
    fields={"LastName": "Berg", "Email": "123123123", "Title": "Dr", "LeadSource": "WhatsApp"},
    derived=frozenset({"LastName", "Email", "LeadSource"}),
)


def lead_with(**fields: Any) -> Record:
    return replace(LEAD, fields={**LEAD.fields, **fields})


WITH_AN_ID = lead_with(RecordTypeId="0128d00000555Ab")
WITHOUT_IDS = lead_with(Description="some words", NumberOfEmployees=7)

NOT_LOOKED_UP, NOT_THERE = None, False
THERE, DELETED = Found(ID), Found(ID, deleted=True)
NO_LOOK_UP = Unavailable("Salesforce answers with HTTP 503", code="HTTP_503")


def entry(code: str, message: str, *fields: str, **more: Any) -> dict[str, Any]:
    return {"message": message, "errorCode": code, "fields": list(fields), **more}


def taken(name: str, record_id: str) -> dict[str, Any]:
    text = f"duplicate value found: {name} duplicates value on record with id: {record_id}"
    return entry("DUPLICATE_VALUE", text)


MATCH = {
    "matchEngine": "FuzzyMatchEngine",
    "matchRecords": [{"record": {"attributes": {"type": "Lead"}, "Id": OTHER_ID}}],
    "entityType": "Lead",
}

# Errors that are the record's.
VALIDATION = entry("FIELD_CUSTOM_VALIDATION_EXCEPTION", "no ACME accounts")
DUPLICATE = entry(
    "DUPLICATES_DETECTED",
    "Use one of these records?",
    duplicateResult={"allowSave": True, "matchResults": [MATCH]},
)
TITLE_TOO_LONG = entry(
    "STRING_TOO_LONG", "Title: data value too large: … (max length=128)", "Title"
)
BAD_EMAIL = entry("INVALID_EMAIL_ADDRESS", "Email: invalid email address: 123123123", "Email")
BAD_SOURCE = entry(
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    "Lead Source: bad value for restricted picklist field: WhatsApp",
    "LeadSource",
)
NO_SOURCE = entry("INVALID_FIELD", "No such column 'LeadSource' on sobject of type Lead")
NO_COMPANY = entry("REQUIRED_FIELD_MISSING", "Required fields are missing: [Company]", "Company")
TAX_ID_TAKEN = taken("Tax_Id__c", OTHER_ID[:15])
# Our own key.
KEY_TAKEN = taken(KEY, ID[:15])
KEY_TAKEN_BY_NOBODY = taken(KEY, "<unknown>")
NOTHING_NAMED = taken("<unknown>", "<unknown>")
# Errors that may be the org's.
NO_ACCESS = entry("INSUFFICIENT_ACCESS", "insufficient access rights on object id")
NO_TRIGGER = entry(
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
    "Audit_Trigger: execution of BeforeInsert\n\ncaused by: System.NullPointerException",
)
NO_FLOW = entry("CANNOT_EXECUTE_FLOW_TRIGGER", "We can't save this record because a process failed")
BAD_ID = entry("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
BAD_LINK = entry("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "insufficient access rights")
NO_EDIT = entry("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update", "LastName", "Company")
BAD_OWNER = entry("INVALID_CROSS_REFERENCE_KEY", "Owner ID: owner cannot be blank", "OwnerId")
NO_KEY_FIELD = entry("INVALID_FIELD", f"No such column '{KEY}' on sobject of type Lead")
API_OFF = entry("API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.")
FULL = entry("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded")
# Errors that pass.
LOCKED = entry("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record: 001xx")
LIMIT = entry("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
DOWN = entry("SERVER_UNAVAILABLE", "Server Unavailable")

RULED = {"assignment": RULE}

Row = tuple[Any, LookUp, dict[str, Any], str]

# The error, what a look-up by key gave, what else is known, and the verdict.
ROWS: list[Row] = [
    # No refusal is final before a look-up by key: it may be our own record that is in the way.
    (VALIDATION, NOT_LOOKED_UP, {}, "look up first"),
    (DUPLICATE, NOT_LOOKED_UP, {}, "look up first"),
    (TITLE_TOO_LONG, NOT_LOOKED_UP, {}, "look up first"),
    (TAX_ID_TAKEN, NOT_LOOKED_UP, {}, "look up first"),
    (NO_TRIGGER, NOT_LOOKED_UP, {}, "look up first"),
    (KEY_TAKEN, NOT_LOOKED_UP, {}, "look up first"),
    (BAD_EMAIL, NOT_LOOKED_UP, {}, "look up first"),
    (VALIDATION, THERE, {}, f"there: {ID}"),
    (DUPLICATE, THERE, {}, f"there: {ID}"),
    (TAX_ID_TAKEN, THERE, {}, f"there: {ID}"),
    (KEY_TAKEN, THERE, {}, f"there: {ID}"),
    (LOCKED, THERE, {}, f"there: {ID}"),  # a Case's look-up is in the same round trip
    (FULL, THERE, {}, f"there: {ID}"),
    # Looked for in vain: the refusal stands.
    (VALIDATION, NOT_THERE, {}, "refuse: FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    (DUPLICATE, NOT_THERE, {}, "refuse: DUPLICATES_DETECTED"),
    (TITLE_TOO_LONG, NOT_THERE, {}, "refuse: STRING_TOO_LONG"),
    (TAX_ID_TAKEN, NOT_THERE, {}, "refuse: DUPLICATE_VALUE"),
    (NO_COMPANY, NOT_THERE, {}, "refuse: REQUIRED_FIELD_MISSING"),
    (NO_FLOW, NOT_THERE, {}, "refuse: CANNOT_EXECUTE_FLOW_TRIGGER"),
    # A deleted record has freed its key: this is a new one.
    (VALIDATION, DELETED, {}, "refuse: FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    # A look-up that failed decides nothing.
    (VALIDATION, NO_LOOK_UP, {}, "wait: HTTP_503"),
    (BAD_EMAIL, NO_LOOK_UP, {}, "wait: HTTP_503"),
    # Without a key there is nothing to look up.
    (VALIDATION, NOT_LOOKED_UP, {"has_key": False}, "refuse: FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    # Our key taken: the id is enough where the record is hidden or cannot be looked up.
    (KEY_TAKEN, NOT_THERE, {}, f"there: {ID}"),
    (KEY_TAKEN, NO_LOOK_UP, {}, f"there: {ID}"),
    # Taken, and nothing to be seen: another request's insert is not committed yet.
    (KEY_TAKEN_BY_NOBODY, NOT_THERE, {}, "wait: KEY_TAKEN"),
    (NOTHING_NAMED, NOT_THERE, {}, "wait: KEY_TAKEN"),
    (KEY_TAKEN_BY_NOBODY, THERE, {}, f"there: {ID}"),
    # A refusal of nothing but derived fields costs the fields, once, and not the record.
    (BAD_EMAIL, NOT_THERE, {}, "leave out Email"),
    (BAD_SOURCE, NOT_THERE, {}, "leave out LeadSource"),
    (NO_SOURCE, NOT_THERE, {}, "leave out LeadSource"),
    (BAD_EMAIL, NOT_THERE, {"stripped": True}, "refuse: INVALID_EMAIL_ADDRESS"),
    ([BAD_EMAIL, TITLE_TOO_LONG], NOT_THERE, {}, "refuse: INVALID_EMAIL_ADDRESS"),
    # No right to create the object at all: the next record would be refused as well.
    (NO_ACCESS, NOT_THERE, {}, "ask rights first"),
    (NO_TRIGGER, NOT_THERE, {}, "ask rights first"),
    (NO_EDIT, NOT_THERE, {}, "ask rights first"),
    (NO_ACCESS, NOT_THERE, {"may_create": False}, "wait: NO_RIGHT_TO_CREATE"),
    (NO_TRIGGER, NOT_THERE, {"may_create": False}, "wait: NO_RIGHT_TO_CREATE"),
    (NO_ACCESS, NOT_THERE, {"may_create": True}, "refuse: INSUFFICIENT_ACCESS"),
    (NO_ACCESS, THERE, {"may_create": False}, f"there: {ID}"),
    (VALIDATION, NOT_THERE, {"may_create": False}, "refuse: FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    # An id of nothing, and the only id that was sent is the assignment rule's.
    (BAD_ID, NOT_THERE, RULED, "wait: NO_SUCH_ASSIGNMENT_RULE"),
    (BAD_ID, NOT_THERE, {**RULED, "rule_works": True}, "refuse: INVALID_CROSS_REFERENCE_KEY"),
    (BAD_ID, NOT_THERE, {}, "refuse: INVALID_CROSS_REFERENCE_KEY"),
    (BAD_ID, NOT_THERE, {"assignment": "off"}, "refuse: INVALID_CROSS_REFERENCE_KEY"),
    (BAD_ID, NOT_THERE, {**RULED, "record": WITHOUT_IDS}, "wait: NO_SUCH_ASSIGNMENT_RULE"),
    (BAD_LINK, NOT_THERE, {**RULED, "may_create": True}, "wait: NO_SUCH_ASSIGNMENT_RULE"),
    *(
        (BAD_ID, NOT_THERE, {**RULED, "record": record}, "refuse: INVALID_CROSS_REFERENCE_KEY")
        for record in (
            WITH_AN_ID,
            lead_with(OwnerId="0058d00000555Ab"),
            lead_with(recordtypeid="x"),
            lead_with(Region__c="a018d00000555Ab"),
            lead_with(Region__c=" a018d00000555AbEAM "),
            lead_with(Region__r={"Code__c": "7"}),
        )
    ),
    (BAD_OWNER, NOT_THERE, RULED, "refuse: INVALID_CROSS_REFERENCE_KEY"),
    # A trigger that fails in a call of many may only be overloaded.
    (NO_TRIGGER, NOT_LOOKED_UP, {"alone": False, "may_create": True}, "send fewer"),
    (NO_FLOW, NOT_LOOKED_UP, {"alone": False}, "send fewer"),
    (NO_TRIGGER, NOT_LOOKED_UP, {"alone": False}, "ask rights first"),
    (NO_TRIGGER, NOT_LOOKED_UP, {"alone": False, "may_create": False}, "wait: NO_RIGHT_TO_CREATE"),
    (TITLE_TOO_LONG, NOT_LOOKED_UP, {"alone": False}, "look up first"),
    # What is not the record's waits, and costs no look-up.
    (LOCKED, NOT_LOOKED_UP, {}, "wait: UNABLE_TO_LOCK_ROW"),
    (LIMIT, NOT_LOOKED_UP, {}, "wait: REQUEST_LIMIT_EXCEEDED"),
    (DOWN, NOT_LOOKED_UP, {}, "wait: SERVER_UNAVAILABLE"),
    (API_OFF, NOT_LOOKED_UP, {}, "wait: API_DISABLED_FOR_ORG"),
    (FULL, NOT_LOOKED_UP, {}, "wait: STORAGE_LIMIT_EXCEEDED"),
    (NO_KEY_FIELD, NOT_LOOKED_UP, {}, "wait: KEY_FIELD_MISSING"),
    (entry("INVALID_SESSION_ID", "Session expired"), NOT_LOOKED_UP, {}, "wait: NO_ANSWER"),
]


def in_words(verdict: Verdict) -> str:
    match verdict:
        case Found(record_id):
            return f"there: {record_id}"
        case frozenset() as fields:
            return f"leave out {', '.join(sorted(fields))}"
        case Refused(code=code):
            return f"refuse: {code}"
        case SalesforceProblem(code=code):
            return f"wait: {code}"
        case Undecided.LOOK_UP:
            return "look up first"
        case Undecided.ASK_RIGHTS:
            return "ask rights first"
        case Undecided.SEND_FEWER:
            return "send fewer"


@pytest.mark.parametrize(("errors", "found", "known", "expected"), ROWS)
def test_a_response_means_this_for_the_record(
    errors: Any, found: LookUp, known: dict[str, Any], expected: str
) -> None:
    options = {"has_key": True, "assignment": "default", **known}
    record = options.pop("record", LEAD)
    key_field = KEY if options["has_key"] else ""
    response = json_response(400, errors if isinstance(errors, list) else [errors])
    attempt = read_created(response, key_field=key_field, record=record)
    verdict = verdict_on(attempt._replace(found=found), record, Context(**options))
    assert in_words(verdict) == expected


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [(Attempt(created=Found(ID)), f"there: {ID}"), (Attempt(), "wait: NO_ANSWER")],
)
def test_what_was_made_is_there_and_what_cannot_be_read_waits(
    attempt: Attempt, expected: str
) -> None:
    verdict = verdict_on(attempt, LEAD, Context(has_key=True, assignment="default"))
    assert in_words(verdict) == expected


def test_whoever_waits_for_a_person_is_told_what_to_do() -> None:
    context = Context(has_key=True, assignment=RULE, may_create=False)
    for errors, word in ((NO_ACCESS, "setup-org"), (BAD_ID, "LeadAssignmentRule")):
        attempt = read_created(json_response(403, [errors]), key_field=KEY, record=LEAD)
        verdict = verdict_on(attempt._replace(found=False), LEAD, context)
        assert isinstance(verdict, OrgNotReady)
        assert "Lead" in verdict.message and word in verdict.hint


@pytest.mark.parametrize(
    ("errors", "records", "known", "expected"),
    [
        (entry("JSON_PARSER_ERROR", "Cannot deserialize"), [LEAD], {}, "send fewer"),
        (NO_SOURCE, [LEAD], {}, "send fewer"),
        (NO_ACCESS, [LEAD], {}, "ask rights first"),
        (NO_ACCESS, [LEAD], {"may_create": True}, "send fewer"),
        (NO_ACCESS, [LEAD], {"may_create": False}, "wait: NO_RIGHT_TO_CREATE"),
        (BAD_ID, [LEAD], RULED, "wait: NO_SUCH_ASSIGNMENT_RULE"),
        (BAD_ID, [LEAD], {}, "send fewer"),
        (BAD_ID, [WITH_AN_ID], RULED, "send fewer"),
        (BAD_ID, [LEAD], {**RULED, "rule_works": True}, "send fewer"),
    ],
)
def test_a_refused_call_refuses_no_record_of_it(
    errors: Any, records: list[Record], known: dict[str, Any], expected: str
) -> None:
    problem = read_org_problem(
        json_response(400, [errors]), key_field=KEY, records=[LEAD, *records]
    )
    assert isinstance(problem, Refused)
    context = Context(**{"has_key": True, "assignment": "default", "alone": False, **known})
    assert in_words(verdict_on_call(problem, [LEAD, *records], context)) == expected
