"""What each of Salesforce's error codes means, and that its hint helps somebody."""

from __future__ import annotations

import json
from typing import Any

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
from bridge.salesforce.error_codes import MEANINGS, Kind, meaning_of
from bridge.salesforce.responses import read_created, read_org_problem

KEY = "Bird_Key__c"
LEAD = Record(object="Lead", key="k-1", fields={"LastName": "Berg"})
AGAIN = True
NEVER = False

Row = tuple[int, str, str, tuple[str, ...], type[SalesforceProblem], bool]

# One row for each code of Salesforce's documentation that a create can meet: HTTP status, code,
# message as it comes over the wire, fields, what it is for us, and whether it is tried again.
ROWS: list[Row] = [
    (401, "INVALID_SESSION_ID", "Session expired or invalid", (), SessionRefused, AGAIN),
    (
        401,
        "INVALID_SESSION_ID",
        "This session is not valid for use with the REST API",
        (),
        OrgNotReady,
        AGAIN,
    ),
    (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", (), LimitExceeded, AGAIN),
    (
        403,
        "API_DISABLED_FOR_ORG",
        "The REST API is not enabled for this Organization.",
        (),
        OrgNotReady,
        AGAIN,
    ),
    (403, "API_CURRENTLY_DISABLED", "API is disabled for this User", (), OrgNotReady, AGAIN),
    (
        400,
        "REQUIRED_FIELD_MISSING",
        "Required fields are missing: [LastName]",
        ("LastName",),
        Refused,
        NEVER,
    ),
    (
        400,
        "STRING_TOO_LONG",
        "Last Name: data value too large: aaaa (max length=80)",
        ("LastName",),
        Refused,
        NEVER,
    ),
    (
        400,
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "Lead Source: bad value for restricted picklist field: WhatsApp",
        ("LeadSource",),
        Refused,
        NEVER,
    ),
    (
        400,
        "INVALID_EMAIL_ADDRESS",
        "Email: invalid email address: a(at)b",
        ("Email",),
        Refused,
        NEVER,
    ),
    (400, "INVALID_FIELD", "No such column 'Fax__c' on sobject of type Lead", (), Refused, NEVER),
    (
        400,
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "Unable to create/update fields: Score__c. Please check the security settings of this "
        "field and verify that it is read/write for your profile or permission set.",
        ("Score__c",),
        Refused,
        NEVER,
    ),
    (
        400,
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "Bitte geben Sie eine Telefonnummer an.",
        ("Phone",),
        Refused,
        NEVER,
    ),
    (
        400,
        "FIELD_INTEGRITY_EXCEPTION",
        "There's a problem with this country, even though it may appear correct.",
        ("Country",),
        Refused,
        NEVER,
    ),
    (
        400,
        "INVALID_TYPE_ON_FIELD_IN_RECORD",
        "Employees: value not of required type: many",
        ("NumberOfEmployees",),
        Refused,
        NEVER,
    ),
    (
        400,
        "NUMBER_OUTSIDE_VALID_RANGE",
        "Employees: value outside of valid range on numeric field: 1.0E12",
        ("NumberOfEmployees",),
        Refused,
        NEVER,
    ),
    (400, "DUPLICATES_DETECTED", "Use one of these records?", (), DuplicatesDetected, NEVER),
    (
        400,
        "DUPLICATE_VALUE",
        f"duplicate value found: {KEY} duplicates value on record with id: 00Q8d00000555Ab",
        (),
        KeyTaken,
        NEVER,
    ),
    (
        400,
        "DUPLICATE_VALUE",
        "duplicate value found: Tax_Id__c duplicates value on record with id: 00Q8d00000555Ab",
        (),
        Refused,
        NEVER,
    ),
    (
        400,
        "UNABLE_TO_LOCK_ROW",
        "unable to obtain exclusive access to this record or 1 records: 0018d00000555Ab",
        (),
        RowLocked,
        AGAIN,
    ),
    (
        400,
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "LeadTrigger: execution of BeforeInsert\n\ncaused by: System.NullPointerException",
        (),
        Refused,
        NEVER,
    ),
    (
        400,
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "LeadTrigger: execution of AfterInsert\n\ncaused by: System.DmlException: Update failed. "
        "First exception on row 0; first error: UNABLE_TO_LOCK_ROW, unable to obtain exclusive "
        "access to this record: []",
        (),
        RowLocked,
        AGAIN,
    ),
    (
        400,
        "CANNOT_EXECUTE_FLOW_TRIGGER",
        "We can't save this record because the “Route leads” process failed.",
        (),
        Refused,
        NEVER,
    ),
    (
        403,
        "INSUFFICIENT_ACCESS_OR_READONLY",
        "insufficient access rights on cross-reference id",
        (),
        Refused,
        NEVER,
    ),
    (
        400,
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
        "insufficient access rights on cross-reference id: 0058d00000555Ab",
        (),
        Refused,
        NEVER,
    ),
    (400, "INSUFFICIENT_ACCESS", "insufficient access rights on object id", (), Refused, NEVER),
    (400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", (), Refused, NEVER),
    (
        400,
        "MALFORMED_ID",
        "Owner ID: id value of incorrect type: 005x",
        ("OwnerId",),
        Refused,
        NEVER,
    ),
    (
        400,
        "JSON_PARSER_ERROR",
        'Cannot deserialize instance of date from VALUE_STRING value "soon" at [line:1, column:9]',
        (),
        Refused,
        NEVER,
    ),
    (400, "MALFORMED_QUERY", "unexpected token: 'FORM'", (), Refused, NEVER),
    (
        400,
        "INVALID_TYPE",
        "\nSELECT Id FROM Lead\n ^\nERROR at Row:1:Column:16\nsObject type 'Lead' is unsupported.",
        (),
        OrgNotReady,
        AGAIN,
    ),
    (
        400,
        "INACTIVE_OWNER_OR_USER",
        "operation performed with inactive user [0058d00000555Ab] as owner of lead",
        ("OwnerId",),
        Refused,
        NEVER,
    ),
    (400, "STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", (), OrgNotReady, AGAIN),
    (400, "LIMIT_EXCEEDED", "limit exceeded", (), LimitExceeded, AGAIN),
    (404, "NOT_FOUND", "The requested resource does not exist", (), OrgNotReady, AGAIN),
    (
        404,
        "NOT_FOUND",
        f"Provided external ID field does not exist or is not accessible: {KEY}",
        (),
        KeyFieldMissing,
        AGAIN,
    ),
    (404, "ENTITY_IS_DELETED", "entity is deleted", (), Refused, NEVER),
    (400, "ENTITY_IS_LOCKED", "the entity is locked for editing", (), Refused, NEVER),
    (400, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", (), Refused, NEVER),
    (400, "INVALID_OPERATION", "Queue not associated with this SObject type", (), Refused, NEVER),
    (
        400,
        "INVALID_QUERY_FILTER_OPERATOR",
        "\nSELECT Id FROM Lead WHERE Id = '–'\n ^\nERROR at Row:1:Column:27\ninvalid ID field: –",
        (),
        Refused,
        NEVER,
    ),
    (
        400,
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "entity type cannot be inserted: Lead",
        (),
        Refused,
        NEVER,
    ),
    (
        400,
        "FIELD_INTEGRITY_EXCEPTION",
        "Owner ID: id value of incorrect type: 00Qaj0000004C95EAE",
        ("OwnerId",),
        Refused,
        NEVER,
    ),
    (
        405,
        "METHOD_NOT_ALLOWED",
        "HTTP Method 'POST' not allowed. Allowed are HEAD,GET",
        (),
        OrgNotReady,
        AGAIN,
    ),
    (
        410,
        "UNSUPPORTED_API_VERSION",
        "the requested version is no longer there",
        (),
        OrgNotReady,
        AGAIN,
    ),
    (415, "UNSUPPORTED_MEDIA_TYPE", "The content type is unsupported", (), OrgNotReady, AGAIN),
    (
        500,
        "UNKNOWN_EXCEPTION",
        "An unexpected error occurred. Please include this ErrorId if you contact support: "
        "1234567890-12345 (-1234567890)",
        (),
        Unavailable,
        AGAIN,
    ),
    (500, "APEX_ERROR", "System.LimitException: Apex CPU time exceeded", (), Unavailable, AGAIN),
    (503, "SERVER_UNAVAILABLE", "Server Unavailable", (), Unavailable, AGAIN),
    (500, "QUERY_TIMEOUT", "Your query request was running for too long.", (), Unavailable, AGAIN),
    (400, "EXCEEDED_QUOTA", "quota exceeded", (), LimitExceeded, AGAIN),
    (500, "ORG_IN_MAINTENANCE", "organization is in maintenance", (), Unavailable, AGAIN),
    (
        400,
        "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
        "not allowed during maintenance",
        (),
        Unavailable,
        AGAIN,
    ),
    (403, "LOGIN_DURING_RESTRICTED_TIME", "restricted time", (), OrgNotReady, AGAIN),
    (403, "LOGIN_DURING_RESTRICTED_DOMAIN", "restricted domain", (), OrgNotReady, AGAIN),
    (400, "TXN_SECURITY_METERING_ERROR", "metering error", (), Unavailable, AGAIN),
    *[
        (400, f"TXN_SECURITY_{end}", "The operation is not allowed", (), OrgNotReady, AGAIN)
        for end in ("NO_ACCESS", "END_A_SESSION", "FAIL_CLOSE", "TWO_FA_REQUIRED")
    ],
    (400, "TXN_SECURITY_APEX_ERROR", "The operation is not allowed", (), OrgNotReady, AGAIN),
    (400, "TXN_SECURITY_RUNTIME_ERROR", "The operation is not allowed", (), OrgNotReady, AGAIN),
    # Codes without an entry: the status decides.
    (400, "BRAND_NEW_REFUSAL", "no", (), Refused, NEVER),
    (401, "BRAND_NEW_SESSION_TROUBLE", "no", (), SessionRefused, AGAIN),
    (500, "BRAND_NEW_TROUBLE", "no", (), Unavailable, AGAIN),
    (503, "BRAND_NEW_TROUBLE", "no", (), Unavailable, AGAIN),
    (420, "BRAND_NEW_TROUBLE", "no", (), Unavailable, AGAIN),
    (429, "TOO_MANY_REQUESTS", "slow down", (), LimitExceeded, AGAIN),
]


def body(code: str, message: str, fields: tuple[str, ...]) -> bytes:
    entry: dict[str, Any] = {"message": message, "errorCode": code}
    if fields:
        entry["fields"] = list(fields)
    return json.dumps([entry]).encode()


@pytest.mark.parametrize(
    ("status", "code", "message", "fields", "problem", "again"),
    ROWS,
    ids=[f"{row[0]} {row[1]} {row[4].__name__}" for row in ROWS],
)
def test_an_error_answer_is_the_problem_that_it_should_be(
    status: int,
    code: str,
    message: str,
    fields: tuple[str, ...],
    problem: type[SalesforceProblem],
    again: bool,
) -> None:
    response = Response(status, {}, body(code, message, fields))
    attempt = read_created(response, key_field=KEY, record=LEAD)
    found = attempt.problem
    assert type(found) is problem
    assert isinstance(found, (Unavailable, NotSetUp, SessionRefused)) is again
    assert found.message
    if problem not in (KeyFieldMissing, KeyTaken):
        assert found.code == code
        assert found.fields == fields
    assert isinstance(found, (KeyTaken, SessionRefused)) or found.hint


@pytest.mark.parametrize("code", sorted(MEANINGS))
def test_every_listed_code_says_what_to_do(code: str) -> None:
    meaning = MEANINGS[code]
    assert meaning.hint.strip() == meaning.hint and meaning.hint.endswith(".")
    if meaning.kind is Kind.NOT_SET_UP:
        assert any(word in meaning.hint for word in ("dministrator", "parameter"))


@pytest.mark.parametrize("status", [400, 404, 409])
def test_an_unlisted_refusal_has_a_hint_too(status: int) -> None:
    assert meaning_of("SOMETHING_NEW", status).kind is Kind.REFUSED
    assert meaning_of("SOMETHING_NEW", status).hint


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
