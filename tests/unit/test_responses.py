"""What is read of Salesforce's responses, and that nothing is made up."""

from __future__ import annotations

from typing import Any

import pytest

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
from bridge.salesforce.responses import (
    Attempt,
    Found,
    derived_at_fault,
    read_api_usage,
    read_collection,
    read_created,
    read_created_case,
    read_found,
    read_org_problem,
    read_parts,
)
from bridge.salesforce.session import full_id
from tests.unit.doubles import KEY, case, composite, fault, json_response, key_taken, lead

HTML = Response(200, {}, b"<html><body>Log in</body></html>")
LEAD_ID = full_id("00Q8d00000555Ab")
CASE_ID = full_id("5008d00000555Ab")


def kind(problem: SalesforceProblem | None) -> object:
    """A problem's class; for a response that cannot be read its code."""
    unreadable = type(problem) is Unavailable and problem.code == "NO_ANSWER"
    return "NO_ANSWER" if unreadable else type(problem)


def problem_of(response: Response, record: Record | None = None, *, key_field: str = KEY) -> Any:
    """Why a record, a lead if none is given, was not made."""
    return read_created(response, key_field=key_field, record=record or lead()).problem


# A single create


@pytest.mark.parametrize("status", [200, 201])
def test_a_created_record_has_its_full_id(status: int) -> None:
    response = json_response(status, {"id": LEAD_ID[:15], "success": True, "errors": []})
    attempt = read_created(response, key_field=KEY, record=lead())
    assert attempt == Attempt(created=Found(LEAD_ID))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'{"success": true}', b"[" * 100_000),
        b'{"id": "00Q8d0000000001AAA", "x": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"id": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: str(body[:30]),
)
def test_a_success_that_cannot_be_read_is_no_answer(body: bytes) -> None:
    attempt = read_created(Response(201, {}, body), key_field=KEY, record=lead())
    assert attempt.created is None and kind(attempt.problem) == "NO_ANSWER"


@pytest.mark.parametrize("record_id", [None, "", "short", "00Q8d0000000001AA/"])
def test_a_success_without_an_id_that_is_one_is_no_answer(record_id: object) -> None:
    entry = {"id": record_id, "success": True}
    one = read_created(json_response(201, entry), key_field=KEY, record=lead())
    (of_many,) = read_collection(json_response(200, [entry]), key_field=KEY, records=[lead()])
    for attempt in (one, of_many):
        assert attempt.created is None and kind(attempt.problem) == "NO_ANSWER"


@pytest.mark.parametrize("spelling", ["duplicateResult", "duplicateResut"])
@pytest.mark.parametrize("record_id", [LEAD_ID[:15], LEAD_ID])
def test_a_duplicate_of_the_same_object_is_named(spelling: str, record_id: str) -> None:
    match = {"matchRecords": [{"record": {"Id": record_id}}], "entityType": "Lead"}
    entry = {"errorCode": "DUPLICATES_DETECTED", spelling: {"matchResults": [match]}}
    for record, existing in ((lead(), LEAD_ID), (case(), None)):
        problem = problem_of(json_response(400, [entry]), record)
        assert (type(problem), problem.existing_id) == (DuplicatesDetected, existing)


CONTACT = {"Id": "0038d00000555Ab", "attributes": {"type": "Contact"}}


@pytest.mark.parametrize(
    "result",
    [
        *(None, [], {}, {"matchResults": None}, {"matchResults": ["x"]}, {"matchResults": 7}),
        {"matchResults": [{"matchRecords": None}]},
        {"matchResults": [{"matchRecords": ["x", {}, {"record": 1}, {"record": {"Id": 7}}]}]},
        {"matchResults": [{"entityType": "Lead", "matchRecords": [{"record": CONTACT}]}]},
    ],
)
def test_a_duplicate_that_is_not_told_is_not_made_up(result: object) -> None:
    entry = {"errorCode": "DUPLICATES_DETECTED", "duplicateResult": result}
    problem = problem_of(json_response(400, [entry]))
    assert (type(problem), problem.existing_id) == (DuplicatesDetected, None)


@pytest.mark.parametrize(
    ("message", "existing"),
    [
        (f"duplicate value found: {KEY} duplicates value on record with id: {LEAD_ID[:15]}", True),
        (f"Doppelter Wert gefunden: {KEY} dupliziert Wert für ID: {LEAD_ID}", True),
        (f"Kaksoiskappaleita: Asiakastunnus {KEY} tietueessa {LEAD_ID[:15]}", True),
        (f"値が重複しています: {KEY}がID {LEAD_ID[:15]}のレコードの値と重複しています", True),
        (f"找到重复的值：{KEY}与标识为{LEAD_ID}的记录上的值重复", True),
        (f"พบค่าที่ซ้ำกัน: {KEY}ซ้ำกับค่าใน<unknown>", False),
        (f"Identifikationen {KEY}: <inconnu>", False),
        (f"duplicate value found: {KEY} duplicates value on record with id: <unknown>", False),
        ("duplicate value found: <unknown> duplicates value on record with id: <unknown>", False),
    ],
)
def test_our_key_in_the_unique_index_is_known_in_any_language(message: str, existing: bool) -> None:
    response = fault("DUPLICATE_VALUE", message)
    problem = problem_of(response)
    assert (type(problem), problem.existing_id) == (KeyTaken, LEAD_ID if existing else None)
    assert type(problem_of(response, key_field="")) is Refused, "without a key it is not about it"


@pytest.mark.parametrize("field", ["Tax_Id__c", "Old_Bird_Key__c", "Bird_Key__c2"])
def test_another_unique_field_is_a_refusal(field: str) -> None:
    message = f"duplicate value found: {field} duplicates value on record with id: {LEAD_ID[:15]}"
    for response in (fault("DUPLICATE_VALUE", message), fault("DUPLICATE_VALUE", fields=[field])):
        assert type(problem_of(response)) is Refused


NO_COLUMN = f"No such column '{KEY}' on sobject of type Case"


@pytest.mark.parametrize(
    ("code", "fields", "message", "links"),
    [
        ("INVALID_FIELD", [], NO_COLUMN, {}),
        ("INVALID_FIELD", [], f"Leadのsobjectに{KEY}という列はありません", {}),
        ("INVALID_FIELD", [], NO_COLUMN, {"Account": {"Ext__c": "acme"}, "Parent": "no link"}),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", [KEY], "Kein Zugriff", {}),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", [KEY.lower()], "Kein Zugriff", {}),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", [KEY], "Kein Zugriff", {"Parent": {KEY: "nobody"}}),
    ],
)
def test_a_missing_key_field_is_the_org_s_fault_and_not_the_record_s(
    code: str, fields: list[str], message: str, links: dict[str, Any]
) -> None:
    problem = problem_of(fault(code, message, fields=fields), case(**links))
    assert isinstance(problem, KeyFieldMissing)
    assert KEY in problem.hint


NOT_LINKED = "Foreign key external ID: nobody not found for field {} in entity Case"


@pytest.mark.parametrize("message", [NOT_LINKED, "“nobody” fehlt ({})", "Caseの{}にはありません"])
@pytest.mark.parametrize("key", [KEY, KEY.lower(), "Ext__c"])
def test_a_link_by_key_may_be_what_is_refused_and_is_named(message: str, key: str) -> None:
    response = fault("INVALID_FIELD", message.format(key), fields=[])
    record = case(Parent={key: "nobody", "attributes": {"type": "Case"}})
    problem = problem_of(response, record)
    assert (type(problem), problem.fields) == (Refused, (f"Parent.{key}",))


def test_of_two_links_by_the_same_field_the_one_is_named_whose_key_is_quoted() -> None:
    record = case(Account={"Ext__c": "acme"}, Parent={"Ext__c": "nobody"})
    problem = problem_of(fault("INVALID_FIELD", NOT_LINKED.format("Ext__c")), record)
    assert problem.fields == ("Parent.Ext__c",)


def test_of_several_faults_the_org_s_come_first_and_all_are_told() -> None:
    of_the_record = [
        {"errorCode": "STRING_TOO_LONG", "message": "too long", "fields": ["Title"]},
        {"errorCode": "INVALID_EMAIL_ADDRESS", "message": "bad", "fields": ["Email"]},
        {"errorCode": "UNABLE_TO_LOCK_ROW", "message": "locked"},
    ]
    problem = problem_of(json_response(400, of_the_record))
    assert (type(problem), problem.fields) == (Refused, ("Title", "Email"))
    assert "too long" in problem.message and "bad" in problem.message
    of_the_org = {"errorCode": "API_DISABLED_FOR_ORG", "message": "x"}
    assert type(problem_of(json_response(400, [*of_the_record, of_the_org]))) is OrgNotReady


def test_a_bare_error_object_is_read_as_well() -> None:
    response = json_response(400, {"errorCode": "INVALID_FIELD", "message": "x", "fields": None})
    assert type(problem_of(response)) is Refused


@pytest.mark.parametrize("code", ["UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT"])
def test_a_trigger_that_ran_into_a_lock_is_tried_again(code: str) -> None:
    response = fault("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"T: first error: {code}, …: []")
    assert type(problem_of(response)) is RowLocked


# A case and its number


CREATED = (201, {"id": CASE_ID[:15], "success": True, "errors": []})
FOUND = (200, {"Id": CASE_ID, "CaseNumber": "00001026"})
MISSING = (404, [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])
TAKEN = (400, [{"errorCode": "DUPLICATE_VALUE", "message": key_taken(CASE_ID[:15])["message"]}])
INVALID = (400, [{"errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "no", "fields": []}])
NO_SESSION = (401, [{"errorCode": "INVALID_SESSION_ID", "message": "x"}])


def of_case(create: Any, find: Any) -> Attempt:
    return read_created_case(composite(create, find), key_field=KEY, record=case())


def deep(levels: int) -> Any:
    """A list in a list in a list …"""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("find", "number"),
    [
        (FOUND, "00001026"),
        (MISSING, None),
        ((500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "x"}]), None),
        ((400, [{"errorCode": "PROCESSING_HALTED", "message": "x"}]), None),
        ((200, {"Id": "5008d00000777Ab", "CaseNumber": "00009999"}), None),
        ((200, None), None),
        ((200, "<html>"), None),
        ((300, ["/services/data/v68.0/sobjects/Case/5008d00000777Ab"]), None),
        (("200", FOUND[1]), None),
        (None, None),
    ],
)
def test_a_created_case_has_its_number_unless_the_look_up_failed(
    find: Any, number: str | None
) -> None:
    assert of_case(CREATED, find).created == Found(CASE_ID, number)


NOBODY_KNOWS = None


@pytest.mark.parametrize(
    ("create", "find", "found"),
    [
        (TAKEN, FOUND, Found(CASE_ID, "00001026")),
        (INVALID, FOUND, Found(CASE_ID, "00001026")),
        (INVALID, MISSING, False),  # it need not be looked for again
        (INVALID, None, NOBODY_KNOWS),
        (INVALID, (500, []), NOBODY_KNOWS),
        (INVALID, (503, None), NOBODY_KNOWS),
    ],
)
def test_of_a_refused_case_the_look_up_counts(create: Any, find: Any, found: object) -> None:
    attempt = of_case(create, find)
    assert (attempt.created, attempt.found) == (None, found)
    assert isinstance(attempt.problem, Refused)


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (fault("INVALID_SESSION_ID", status=401), SessionRefused),
        (composite(NO_SESSION, MISSING), SessionRefused),
        (composite((503, "<html>"), MISSING), Unavailable),
        (HTML, InstanceMoved),
        (Response(302, {}, b""), InstanceMoved),
        *(
            (composite(create, FOUND), "NO_ANSWER")
            for create in (
                *((201, "<html>"), (201, None), ("201", CREATED[1])),
                (201, {**CREATED[1], "errors": deep(60)}),
            )
        ),
        *(
            (json_response(200, body), "NO_ANSWER")
            for body in (
                *([], {}, {"compositeResponse": []}),
                {"compositeResponse": ["x", {"referenceId": "find"}]},
                {"compositeResponse": [{"referenceId": "create"}]},
                {"compositeResponse": [{"referenceId": ["create"], "httpStatusCode": 201}]},
            )
        ),
        (Response(200, {}, b""), "NO_ANSWER"),
    ],
)
def test_a_composite_that_did_not_work_is_no_refusal(response: Response, problem: object) -> None:
    attempt = read_created_case(response, key_field=KEY, record=case())
    assert attempt.created is None
    assert kind(attempt.problem) == problem


@pytest.mark.parametrize("message", ["Session expired or invalid", "not valid for the REST API"])
@pytest.mark.parametrize("at", ["create", "find"])
def test_a_session_that_ends_within_a_composite_is_refused_like_one_before_it(
    message: str, at: str
) -> None:
    """The call is made again with a new session, as where the outer status is 401; else each reader
    of parts would have to know of sessions."""
    refused = (401, [{"errorCode": "INVALID_SESSION_ID", "message": message}])
    response = composite(refused, FOUND) if at == "create" else composite(CREATED, refused)
    with pytest.raises(SessionRefused if "expired" in message else OrgNotReady):
        read_parts(response)


# Look-ups


ROW = {"Id": CASE_ID[:15], "CaseNumber": "00001026"}
URL = "/services/data/v68.0/sobjects/Case/"


@pytest.mark.parametrize(
    ("response", "found"),
    [
        (json_response(200, ROW), Found(CASE_ID, "00001026")),
        (json_response(200, {"totalSize": 1, "records": [ROW]}), Found(CASE_ID, "00001026")),
        # Several records with one key are one.
        (json_response(300, [URL + CASE_ID, "/x/y"]), Found(CASE_ID)),
        (fault("NOT_FOUND", "The requested resource does not exist", status=404), None),
        (json_response(200, {"totalSize": 0, "done": True, "records": []}), None),
    ],
)
def test_a_record_is_found_by_url_or_by_query_or_there_is_none(
    response: Response, found: Found | None
) -> None:
    assert read_found(response, key_field=KEY) == found


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (fault("NOT_FOUND", f"Provided external ID field … {KEY}", status=404), KeyFieldMissing),
        (fault("INVALID_FIELD", f"No such column '{KEY}' on entity 'Lead'"), KeyFieldMissing),
        (fault("MALFORMED_QUERY"), Unavailable),
        (fault("INSUFFICIENT_ACCESS", status=403), Unavailable),
        (fault("INVALID_SESSION_ID", status=401), SessionRefused),
        (Response(404, {}, b"<html></html>"), InstanceMoved),
        (HTML, InstanceMoved),
        (Response(200, {}, b""), "NO_ANSWER"),
        (Response(503, {}, b""), Unavailable),
        *(
            (json_response(200, body), "NO_ANSWER")
            for body in (
                *({}, {"records": "x"}, {"records": [7]}, {"Id": "x"}),
                {"records": [{"Id": None}]},
            )
        ),
        (json_response(300, [URL + "x"]), InstanceMoved),
        (json_response(300, [{}]), InstanceMoved),
    ],
)
def test_a_failed_look_up_says_nothing_about_a_record(response: Response, problem: object) -> None:
    with pytest.raises(SalesforceProblem) as caught:
        read_found(response, key_field=KEY)
    assert kind(caught.value) == problem


# Collections

MADE = {"id": LEAD_ID[:15], "success": True, "errors": []}


def test_each_record_of_a_collection_is_judged_by_itself() -> None:
    records = [lead(f"k-{i}") for i in range(5)]
    too_long = {"statusCode": "STRING_TOO_LONG", "fields": ["Title"]}
    entries = [
        MADE,
        {"success": False, "errors": [key_taken()]},
        {"success": False, "errors": [too_long]},
        {"success": False, "errors": []},
        "?",
    ]
    attempts = read_collection(json_response(200, entries), key_field=KEY, records=records)
    assert attempts[0].created == Found(LEAD_ID)
    assert [kind(a.problem) for a in attempts[1:]] == [KeyTaken, Refused, "NO_ANSWER", "NO_ANSWER"]


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (json_response(200, []), "NO_ANSWER"),
        (json_response(200, [MADE]), "NO_ANSWER"),
        (json_response(200, [MADE] * 3), "NO_ANSWER"),
        (json_response(200, {"hasErrors": True}), "NO_ANSWER"),
        (Response(200, {}, b""), "NO_ANSWER"),
        (HTML, InstanceMoved),
        (fault("JSON_PARSER_ERROR"), Refused),
        (fault("INVALID_FIELD", "No such column 'x' on sobject of type Lead"), Refused),
        (fault("REQUEST_LIMIT_EXCEEDED", status=403), LimitExceeded),
        (Response(502, {}, b"<html>"), Unavailable),
    ],
)
def test_a_failed_call_of_many_refuses_no_record(response: Response, problem: object) -> None:
    with pytest.raises(SalesforceProblem) as caught:
        read_collection(response, key_field=KEY, records=[lead("a"), lead("b")])
    assert kind(caught.value) == problem


# Our own fields at fault


@pytest.mark.parametrize(
    ("problem", "dropped"),
    [
        (Refused("x", code="INVALID_EMAIL_ADDRESS", fields=("Email",)), {"Email"}),
        (Refused("x", code="STRING_TOO_LONG", fields=("email", "Phone")), {"Email", "Phone"}),
        (
            Refused("No such column 'Email' on sobject of type Lead", code="INVALID_FIELD"),
            {"Email"},
        ),
        (Refused("Feld „Email“ fehlt", code="INVALID_FIELD"), {"Email"}),
        (Refused("LeadにEmailという列はありません", code="INVALID_FIELD"), {"Email"}),
        (Refused("« Email », « Title »", code="INVALID_FIELD"), set()),
        (Refused("No such column 'Title' on Email", code="INVALID_FIELD"), set()),
        (Refused("Email2 is not there", code="INVALID_FIELD"), set()),
        (Refused("x", code="STRING_TOO_LONG", fields=("Email", "Title")), set()),
        (Refused("x", code="STRING_TOO_LONG", fields=("LastName",)), set()),
        (Refused("x", code="REQUIRED_FIELD_MISSING", fields=("Email",)), set()),
        (Refused("x", code="FIELD_CUSTOM_VALIDATION_EXCEPTION"), set()),
        (DuplicatesDetected("x", fields=("Email",)), set()),
        (KeyTaken("x", fields=("Email",)), set()),
        (Unavailable("x", fields=("Email",)), set()),
    ],
)
def test_only_a_refusal_of_nothing_but_our_own_fields_costs_them(
    problem: SalesforceProblem, dropped: set[str]
) -> None:
    record = Record(
        object="Lead",
        key="k",
        fields={"LastName": "x", "Email": "e", "Phone": "p", "Title": "t"},
        derived=frozenset({"LastName", "Email", "Phone"}),
    )
    assert derived_at_fault(problem, record) == dropped


# Usage


@pytest.mark.parametrize(
    ("header", "percent"),
    [
        ("api-usage=18/5000", 0.36),
        ("api-usage=25/100; per-app-api-usage=17/250(appName=sample-connected-app)", 25),
        ("per-app-api-usage=17/250(appName=x); api-usage=50/100", 50),
        ("per-app-api-usage=17/250(appName=x)", None),
        ("api-usage=1/0", None),
        ("", None),
        ("nonsense", None),
        *((f"api-usage={digits}/1", None) for digits in ("9" * 400, "9" * 5000)),
        *((f"api-usage=1/{digits}", None) for digits in ("9" * 400, "9" * 5000)),
    ],
)
def test_usage_is_read_in_every_form(header: str, percent: float | None) -> None:
    usage = read_api_usage({"sforce-limit-info": header})
    assert usage == (pytest.approx(percent) if percent is not None else None)
    assert read_api_usage({}) is None


def test_an_error_without_end_is_cut() -> None:
    entry = {"errorCode": "X" * 10**5, "message": "m" * 10**5, "fields": ["f" * 10**4] * 200}
    others = [{"errorCode": "Y", "message": str(n), "fields": [str(n)]} for n in range(5000)]
    problem = read_org_problem(json_response(400, [entry, *others]), key_field=KEY)
    assert len(problem.code) <= 100 and len(problem.message) <= 10_000
    assert len(problem.fields) <= 100 and all(len(name) <= 100 for name in problem.fields)


@pytest.mark.parametrize("odd", [7, {}, "x", [7], [None], {"a": {}}])
def test_an_error_of_odd_parts_is_still_a_refusal(odd: Any) -> None:
    entry = {"errorCode": "STRING_TOO_LONG", "message": odd, "fields": odd, "duplicateResult": odd}
    problem = read_org_problem(json_response(400, [entry]), key_field=KEY)
    assert type(problem) is Refused and problem.existing_id is None
