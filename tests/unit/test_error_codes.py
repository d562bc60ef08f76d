"""What each of Salesforce's error codes means, and that its hint helps somebody."""

from __future__ import annotations

import json
from typing import NamedTuple

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


class Row(NamedTuple):
    """One code of Salesforce's documentation that a create can meet, and what it is for us."""

    code: str
    problem: type[SalesforceProblem]
    message: str
    """As it comes over the wire."""
    field: str = ""
    status: int = 400


ROWS = [
    Row("INVALID_SESSION_ID", SessionRefused, "Session expired or invalid", status=401),
    Row(
        "INVALID_SESSION_ID",
        OrgNotReady,
        "This session is not valid for use with the REST API",
        status=401,
    ),
    Row("REQUEST_LIMIT_EXCEEDED", LimitExceeded, "TotalRequests Limit exceeded.", status=403),
    Row(
        "API_DISABLED_FOR_ORG",
        OrgNotReady,
        "The REST API is not enabled for this Organization.",
        status=403,
    ),
    Row("API_CURRENTLY_DISABLED", OrgNotReady, "API is disabled for this User", status=403),
    Row("REQUIRED_FIELD_MISSING", Refused, "Required fields are missing: [LastName]", "LastName"),
    Row(
        "STRING_TOO_LONG",
        Refused,
        "Last Name: data value too large: aaaa (max length=80)",
        "LastName",
    ),
    Row(
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        Refused,
        "Lead Source: bad value for restricted picklist field: WhatsApp",
        "LeadSource",
    ),
    Row("INVALID_EMAIL_ADDRESS", Refused, "Email: invalid email address: a(at)b", "Email"),
    Row("INVALID_FIELD", Refused, "No such column 'Fax__c' on sobject of type Lead"),
    Row(
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        Refused,
        "Unable to create/update fields: Score__c. Please check the security settings of this "
        "field and verify that it is read/write for your profile or permission set.",
        "Score__c",
    ),
    Row(
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        Refused,
        "Bitte geben Sie eine Telefonnummer an.",
        "Phone",
    ),
    Row(
        "FIELD_INTEGRITY_EXCEPTION",
        Refused,
        "There's a problem with this country, even though it may appear correct.",
        "Country",
    ),
    Row(
        "INVALID_TYPE_ON_FIELD_IN_RECORD",
        Refused,
        "Employees: value not of required type: many",
        "NumberOfEmployees",
    ),
    Row(
        "NUMBER_OUTSIDE_VALID_RANGE",
        Refused,
        "Employees: value outside of valid range on numeric field: 1.0E12",
        "NumberOfEmployees",
    ),
    Row("DUPLICATES_DETECTED", DuplicatesDetected, "Use one of these records?"),
    Row(
        "DUPLICATE_VALUE",
        KeyTaken,
        f"duplicate value found: {KEY} duplicates value on record with id: 00Q8d00000555Ab",
    ),
    Row(
        "DUPLICATE_VALUE",
        Refused,
        "duplicate value found: Tax_Id__c duplicates value on record with id: 00Q8d00000555Ab",
    ),
    Row(
        "UNABLE_TO_LOCK_ROW",
        RowLocked,
        "unable to obtain exclusive access to this record or 1 records: 0018d00000555Ab",
    ),
    Row(
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        Refused,
        "LeadTrigger: execution of BeforeInsert\n\ncaused by: System.NullPointerException",
    ),
    Row(
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        RowLocked,
        "LeadTrigger: execution of AfterInsert\n\ncaused by: System.DmlException: Update failed. "
        "First exception on row 0; first error: UNABLE_TO_LOCK_ROW, unable to obtain exclusive "
        "access to this record: []",
    ),
    Row(
        "CANNOT_EXECUTE_FLOW_TRIGGER",
        Refused,
        "We can't save this record because the “Route leads” process failed.",
    ),
    Row(
        "INSUFFICIENT_ACCESS_OR_READONLY",
        Refused,
        "insufficient access rights on cross-reference id",
        status=403,
    ),
    Row(
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
        Refused,
        "insufficient access rights on cross-reference id: 0058d00000555Ab",
    ),
    Row("INSUFFICIENT_ACCESS", Refused, "insufficient access rights on object id"),
    Row("INVALID_CROSS_REFERENCE_KEY", Refused, "invalid cross reference id"),
    Row("MALFORMED_ID", Refused, "Owner ID: id value of incorrect type: 005x", "OwnerId"),
    Row(
        "JSON_PARSER_ERROR",
        Refused,
        'Cannot deserialize instance of date from VALUE_STRING value "soon" at [line:1, column:9]',
    ),
    Row("MALFORMED_QUERY", Refused, "unexpected token: 'FORM'"),
    Row(
        "INVALID_TYPE",
        OrgNotReady,
        "\nSELECT Id FROM Lead\n ^\nERROR at Row:1:Column:16\nsObject type 'Lead' is unsupported.",
    ),
    Row(
        "INACTIVE_OWNER_OR_USER",
        Refused,
        "operation performed with inactive user [0058d00000555Ab] as owner of lead",
        "OwnerId",
    ),
    Row("STORAGE_LIMIT_EXCEEDED", OrgNotReady, "storage limit exceeded"),
    Row("LIMIT_EXCEEDED", LimitExceeded, "limit exceeded"),
    Row("NOT_FOUND", OrgNotReady, "The requested resource does not exist", status=404),
    Row(
        "NOT_FOUND",
        KeyFieldMissing,
        f"Provided external ID field does not exist or is not accessible: {KEY}",
        status=404,
    ),
    Row("ENTITY_IS_DELETED", Refused, "entity is deleted", status=404),
    Row("ENTITY_IS_LOCKED", Refused, "the entity is locked for editing"),
    Row("CANNOT_UPDATE_CONVERTED_LEAD", Refused, "cannot reference converted lead"),
    Row("INVALID_OPERATION", Refused, "Queue not associated with this SObject type"),
    Row(
        "INVALID_QUERY_FILTER_OPERATOR",
        Refused,
        "\nSELECT Id FROM Lead WHERE Id = '–'\n ^\nERROR at Row:1:Column:27\ninvalid ID field: –",
    ),
    Row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Refused, "entity type cannot be inserted: Lead"),
    Row(
        "FIELD_INTEGRITY_EXCEPTION",
        Refused,
        "Owner ID: id value of incorrect type: 00Qaj0000004C95EAE",
        "OwnerId",
    ),
    Row(
        "METHOD_NOT_ALLOWED",
        OrgNotReady,
        "HTTP Method 'POST' not allowed. Allowed are HEAD,GET",
        status=405,
    ),
    Row(
        "UNSUPPORTED_API_VERSION",
        OrgNotReady,
        "the requested version is no longer there",
        status=410,
    ),
    Row("UNSUPPORTED_MEDIA_TYPE", OrgNotReady, "The content type is unsupported", status=415),
    Row(
        "UNKNOWN_EXCEPTION",
        Unavailable,
        "An unexpected error occurred. Please include this ErrorId if you contact support: "
        "1234567890-12345 (-1234567890)",
        status=500,
    ),
    Row("APEX_ERROR", Unavailable, "System.LimitException: Apex CPU time exceeded", status=500),
    Row("SERVER_UNAVAILABLE", Unavailable, "Server Unavailable", status=503),
    Row("QUERY_TIMEOUT", Unavailable, "Your query request was running for too long.", status=500),
    Row("EXCEEDED_QUOTA", LimitExceeded, "quota exceeded"),
    Row("ORG_IN_MAINTENANCE", Unavailable, "organization is in maintenance", status=500),
    Row(
        "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
        Unavailable,
        "not allowed during maintenance",
    ),
    Row("LOGIN_DURING_RESTRICTED_TIME", OrgNotReady, "restricted time", status=403),
    Row("LOGIN_DURING_RESTRICTED_DOMAIN", OrgNotReady, "restricted domain", status=403),
    Row("TXN_SECURITY_METERING_ERROR", Unavailable, "metering error"),
    *[
        Row(f"TXN_SECURITY_{end}", OrgNotReady, "The operation is not allowed")
        for end in (
            *("NO_ACCESS", "END_A_SESSION", "FAIL_CLOSE", "TWO_FA_REQUIRED"),
            *("APEX_ERROR", "RUNTIME_ERROR"),
        )
    ],
    # Codes without an entry: the status decides.
    Row("BRAND_NEW_REFUSAL", Refused, "no"),
    Row("BRAND_NEW_SESSION_TROUBLE", SessionRefused, "no", status=401),
    Row("BRAND_NEW_TROUBLE", Unavailable, "no", status=500),
    Row("BRAND_NEW_TROUBLE", Unavailable, "no", status=503),
    Row("BRAND_NEW_TROUBLE", Unavailable, "no", status=420),
    Row("TOO_MANY_REQUESTS", LimitExceeded, "slow down", status=429),
]


def body(row: Row) -> bytes:
    fields = {"fields": [row.field]} if row.field else {}
    return json.dumps([{"message": row.message, "errorCode": row.code, **fields}]).encode()


@pytest.mark.parametrize(
    "row", ROWS, ids=[f"{row.status} {row.code} {row.problem.__name__}" for row in ROWS]
)
def test_an_error_answer_is_the_problem_that_it_should_be(row: Row) -> None:
    response = Response(row.status, {}, body(row))
    found = read_created(response, key_field=KEY, record=LEAD).problem
    assert type(found) is row.problem
    assert found.message
    if row.problem not in (KeyFieldMissing, KeyTaken):
        assert (found.code, *found.fields) == (row.code, *([row.field] if row.field else []))
    assert isinstance(found, (KeyTaken, SessionRefused)) or found.hint


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
