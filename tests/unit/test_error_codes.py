"""What each of Salesforce's error codes means, and that its hint helps somebody."""

from __future__ import annotations

import pytest

from bridge.errors import (
    DuplicatesDetected,
    InstanceMoved,
    KeyFieldMissing,
    KeyTaken,
    LimitExceeded,
    NotSetUp,
    OrgNotReady,
    Refused,
    RowLocked,
    SalesforceProblem,
    SessionRefused,
    Unavailable,
)
from bridge.http import Response
from bridge.records import Record
from bridge.salesforce.error_codes import MEANINGS, Kind
from bridge.salesforce.responses import read_created, read_org_problem
from tests.unit.doubles import KEY, fault

LEAD = Record(object="Lead", key="k-1", fields={"LastName": "Berg"})

Row = tuple[int, str, str, str]

# Codes of Salesforce's documentation that a create can meet, with the status, the field and the
# message as they come over the wire, by what they are for us: one of each kind, and those whose
# message or status decides. What each code is, docs/troubleshooting.md lists, and a test compares.
ROWS: dict[type[SalesforceProblem], list[Row]] = {
    SessionRefused: [
        (401, "INVALID_SESSION_ID", "", "Session expired or invalid"),
        (401, "BRAND_NEW_SESSION_TROUBLE", "", "no"),  # without an entry the status decides
    ],
    OrgNotReady: [
        (401, "INVALID_SESSION_ID", "", "This session is not valid for use with the REST API"),
        (403, "API_DISABLED_FOR_ORG", "", "The REST API is not enabled for this Organization."),
        (400, "INVALID_TYPE", "", "ERROR at Row:1:Column:16\nsObject type 'Lead' is unsupported."),
        (400, "STORAGE_LIMIT_EXCEEDED", "", "storage limit exceeded"),
        (404, "NOT_FOUND", "", "The requested resource does not exist"),
        (405, "METHOD_NOT_ALLOWED", "", "HTTP Method 'POST' not allowed. Allowed are HEAD,GET"),
    ],
    KeyFieldMissing: [
        (404, "NOT_FOUND", "", f"Provided external ID field … is not accessible: {KEY}"),
    ],
    KeyTaken: [
        (400, "DUPLICATE_VALUE", "", f"duplicate value found: {KEY} … with id: 00Q8d00000555Ab"),
    ],
    DuplicatesDetected: [(400, "DUPLICATES_DETECTED", "", "Use one of these records?")],
    LimitExceeded: [
        (403, "REQUEST_LIMIT_EXCEEDED", "", "TotalRequests Limit exceeded."),
        (429, "TOO_MANY_REQUESTS", "", "slow down"),
    ],
    RowLocked: [
        (400, "UNABLE_TO_LOCK_ROW", "", "unable to obtain exclusive access to this record"),
        (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "", "first error: UNABLE_TO_LOCK_ROW, …"),
    ],
    Unavailable: [
        (500, "UNKNOWN_EXCEPTION", "", "An unexpected error occurred. Please include this ErrorId"),
        (500, "APEX_ERROR", "", "System.LimitException: Apex CPU time exceeded"),
        (503, "SERVER_UNAVAILABLE", "", "Server Unavailable"),
        (420, "BRAND_NEW_TROUBLE", "", "no"),
        (500, "BRAND_NEW_TROUBLE", "", "no"),
        (503, "BRAND_NEW_TROUBLE", "", "no"),
    ],
    Refused: [
        (400, "REQUIRED_FIELD_MISSING", "LastName", "Required fields are missing: [LastName]"),
        (400, "INVALID_FIELD", "", "No such column 'Fax__c' on sobject of type Lead"),
        (400, "INVALID_FIELD_FOR_INSERT_UPDATE", "Score__c", "Unable to create/update fields: …"),
        (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "Phone", "Bitte eine Telefonnummer angeben."),
        (400, "DUPLICATE_VALUE", "", "duplicate value found: Tax_Id__c … with id: 00Q8d00000555Ab"),
        (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "", "LeadTrigger: execution of BeforeInsert"),
        (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "", "entity type cannot be inserted: Lead"),
        (400, "CANNOT_EXECUTE_FLOW_TRIGGER", "", "We can't save this record because the “Route …"),
        (400, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "", "insufficient access rights …"),
        (400, "INVALID_CROSS_REFERENCE_KEY", "", "invalid cross reference id"),
        (400, "BRAND_NEW_REFUSAL", "", "no"),
    ],
}


@pytest.mark.parametrize(
    ("problem", "row"),
    [
        pytest.param(problem, row, id=f"{row[0]} {row[1]} {problem.__name__}")
        for problem, rows in ROWS.items()
        for row in rows
    ],
)
def test_an_error_answer_is_the_problem_that_it_should_be(
    problem: type[SalesforceProblem], row: Row
) -> None:
    status, code, field, message = row
    response = fault(code, message, status=status, fields=[field] if field else [])
    found = read_created(response, key_field=KEY, record=LEAD).problem
    assert type(found) is problem
    assert found.message
    if problem not in (KeyFieldMissing, KeyTaken):
        assert (found.code, *found.fields) == (code, *([field] if field else []))
    assert problem in (KeyTaken, SessionRefused) or found.hint


def test_what_is_tried_again_is_no_refusal() -> None:
    for problem in (RowLocked, LimitExceeded, InstanceMoved, OrgNotReady, KeyFieldMissing):
        assert issubclass(problem, (Unavailable, NotSetUp, SessionRefused))
    for problem in (Refused, DuplicatesDetected, KeyTaken):
        assert not issubclass(problem, (Unavailable, NotSetUp, SessionRefused))


@pytest.mark.parametrize("code", sorted(MEANINGS))
def test_every_listed_code_says_what_to_do(code: str) -> None:
    meaning = MEANINGS[code]
    assert meaning.hint.strip() == meaning.hint and meaning.hint.endswith(".")
    if meaning.kind is Kind.NOT_SET_UP:
        assert any(word in meaning.hint for word in ("dministrator", "parameter"))


@pytest.mark.parametrize(
    ("status", "content", "problem"),
    [
        (301, b"", InstanceMoved),
        (302, b"<html>moved</html>", InstanceMoved),
        (200, b"\n<!DOCTYPE html><html></html>", InstanceMoved),
        (400, b"", InstanceMoved),
        (403, b"Bad_OAuth_Token", InstanceMoved),
        (404, b"<html>URL No Longer Exists</html>", InstanceMoved),
        (401, b"", SessionRefused),
        (401, b"<html></html>", SessionRefused),
        (408, b"", Unavailable),
        (420, b"", Unavailable),
        (429, b"", Unavailable),
        (500, b"", Unavailable),
        (502, b"<html>Bad Gateway</html>", Unavailable),
        (503, b"<html>Down for maintenance</html>", Unavailable),
        (504, b"\xff\xfe", Unavailable),
        (500, b"[]", Unavailable),
        (500, b'{"message": "no code"}', Unavailable),
        (500, b'[{"errorCode": 7}, "x", null]', Unavailable),
    ],
)
def test_an_answer_without_an_error_code_is_judged_by_its_status(
    status: int, content: bytes, problem: type[SalesforceProblem]
) -> None:
    found = read_org_problem(Response(status, {}, content), key_field=KEY)
    assert type(found) is problem
    assert "html" not in str(found).lower()
