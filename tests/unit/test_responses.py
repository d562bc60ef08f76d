"""What is read of Salesforce's responses, and that nothing is made up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.deadline import Deadline
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


def soon() -> Deadline:
    return Deadline.after(5)


def kind(problem: SalesforceProblem | None) -> object:
    """A problem's class; for a response that cannot be read its code."""
    unreadable = type(problem) is Unavailable and problem.code == "NO_ANSWER"
    return "NO_ANSWER" if unreadable else type(problem)


# A single create


@pytest.mark.parametrize("status", [200, 201])
def test_a_created_record_has_its_full_id(status: int) -> None:
    response = json_response(status, {"id": "00Q8d00000555Ab", "success": True, "errors": []})
    attempt = read_created(response, key_field=KEY, record=lead())
    assert attempt == Attempt(created=Found(full_id("00Q8d00000555Ab")))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"id": null}', b'{"success": true}'])
def test_a_success_that_cannot_be_read_is_no_answer(body: bytes) -> None:
    attempt = read_created(Response(201, {}, body), key_field=KEY, record=lead())
    assert kind(attempt.problem) == "NO_ANSWER"


@pytest.mark.parametrize("spelling", ["duplicateResult", "duplicateResut"])
@pytest.mark.parametrize("record_id", ["00Q8d00000555Ab", full_id("00Q8d00000555Ab")])
def test_a_duplicate_of_the_same_object_is_named(spelling: str, record_id: str) -> None:
    result = {
        "matchResults": [{"matchRecords": [{"record": {"Id": record_id}}], "entityType": "Lead"}]
    }
    response = json_response(
        400, [{"errorCode": "DUPLICATES_DETECTED", "message": "Nein", spelling: result}]
    )
    problem = read_created(response, key_field=KEY, record=lead()).problem
    assert isinstance(problem, DuplicatesDetected)
    assert problem.existing_id == full_id("00Q8d00000555Ab")
    other = read_created(response, key_field=KEY, record=case()).problem
    assert isinstance(other, DuplicatesDetected) and other.existing_id is None


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        {},
        {"matchResults": None},
        {"matchResults": ["x"]},
        {"matchResults": 7},
        {"matchResults": [{"matchRecords": None}]},
        {"matchResults": [{"matchRecords": ["x", {}, {"record": 1}, {"record": {"Id": 7}}]}]},
        {
            "matchResults": [
                {
                    "entityType": "Lead",
                    "matchRecords": [
                        {"record": {"Id": "0038d00000555Ab", "attributes": {"type": "Contact"}}}
                    ],
                }
            ]
        },
    ],
)
def test_a_duplicate_that_is_not_told_is_not_made_up(result: object) -> None:
    response = json_response(400, [{"errorCode": "DUPLICATES_DETECTED", "duplicateResult": result}])
    problem = read_created(response, key_field=KEY, record=lead()).problem
    assert isinstance(problem, DuplicatesDetected) and problem.existing_id is None


@pytest.mark.parametrize(
    ("message", "existing"),
    [
        (f"duplicate value found: {KEY} duplicates value on record with id: 00Q8d00000555Ab", True),
        (
            f"Doppelter Wert gefunden: {KEY} dupliziert Wert für ID: {full_id('00Q8d00000555Ab')}",
            True,
        ),
        (f"Kaksoiskappaleita: Asiakastunnus {KEY} tietueessa 00Q8d00000555Ab", True),
        (f"値が重複しています: {KEY}がID 00Q8d00000555Abのレコードの値と重複しています", True),
        (f"找到重复的值：{KEY}与标识为{full_id('00Q8d00000555Ab')}的记录上的值重复", True),
        (f"พบค่าที่ซ้ำกัน: {KEY}ซ้ำกับค่าใน<unknown>", False),
        (f"Identifikationen {KEY}: <inconnu>", False),
        (f"duplicate value found: {KEY} duplicates value on record with id: <unknown>", False),
    ],
)
def test_our_key_in_the_unique_index_is_known_in_any_language(message: str, existing: bool) -> None:
    response = fault("DUPLICATE_VALUE", message)
    problem = read_created(response, key_field=KEY, record=lead()).problem
    assert isinstance(problem, KeyTaken)
    assert problem.existing_id == (full_id("00Q8d00000555Ab") if existing else None)


def test_a_unique_index_that_tells_nothing_may_hold_our_key() -> None:
    message = "duplicate value found: <unknown> duplicates value on record with id: <unknown>"
    response = fault("DUPLICATE_VALUE", message)
    problem = read_created(response, key_field=KEY, record=lead()).problem
    assert isinstance(problem, KeyTaken) and problem.existing_id is None


@pytest.mark.parametrize("field", ["Tax_Id__c", "Old_Bird_Key__c", "Bird_Key__c2"])
def test_another_unique_field_is_a_refusal(field: str) -> None:
    message = f"duplicate value found: {field} duplicates value on record with id: 00Q8d00000555Ab"
    for response in (fault("DUPLICATE_VALUE", message), fault("DUPLICATE_VALUE", fields=[field])):
        problem = read_created(response, key_field=KEY, record=lead()).problem
        assert type(problem) is Refused


@pytest.mark.parametrize(
    ("code", "fields", "message"),
    [
        ("INVALID_FIELD", [], f"No such column '{KEY}' on sobject of type Lead"),
        ("INVALID_FIELD", [], f"Leadのsobjectに{KEY}という列はありません"),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", [KEY], "Kein Zugriff"),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", [KEY.lower()], "Kein Zugriff"),
    ],
)
def test_a_missing_key_field_is_the_org_s_fault_and_not_the_record_s(
    code: str, fields: list[str], message: str
) -> None:
    response = fault(code, message, fields=fields)
    problem = read_created(response, key_field=KEY, record=lead()).problem
    assert isinstance(problem, KeyFieldMissing)
    assert KEY in problem.hint


NOT_LINKED = "Foreign key external ID: nobody not found for field {} in entity Case"


@pytest.mark.parametrize("message", [NOT_LINKED, "“nobody” fehlt ({})", "Caseの{}にはありません"])
@pytest.mark.parametrize("key", [KEY, KEY.lower(), "Ext__c"])
def test_a_link_by_key_may_be_what_is_refused_and_is_named(message: str, key: str) -> None:
    response = fault("INVALID_FIELD", message.format(key), fields=[])
    record = case(Parent={key: "nobody", "attributes": {"type": "Case"}})
    problem = read_created(response, key_field=KEY, record=record).problem
    assert type(problem) is Refused
    assert problem.fields == (f"Parent.{key}",)


def test_of_two_links_by_the_same_field_the_one_is_named_whose_key_is_quoted() -> None:
    response = fault("INVALID_FIELD", NOT_LINKED.format("Ext__c"))
    record = case(Account={"Ext__c": "acme"}, Parent={"Ext__c": "nobody"})
    problem = read_created(response, key_field=KEY, record=record).problem
    assert problem.fields == ("Parent.Ext__c",)


def test_a_link_by_another_field_leaves_a_missing_key_field_what_it_is() -> None:
    response = fault("INVALID_FIELD", f"No such column '{KEY}' on sobject of type Case")
    record = case(Account={"Ext__c": "acme"}, Parent="not a link")
    problem = read_created(response, key_field=KEY, record=record).problem
    assert isinstance(problem, KeyFieldMissing)


def test_no_right_to_set_the_key_is_the_org_s_fault_whatever_the_record_links_to() -> None:
    response = fault("INVALID_FIELD_FOR_INSERT_UPDATE", "Kein Zugriff", fields=[KEY])
    record = case(Parent={KEY: "nobody"})
    problem = read_created(response, key_field=KEY, record=record).problem
    assert isinstance(problem, KeyFieldMissing)


def test_without_a_key_field_nothing_is_about_it() -> None:
    response = fault("DUPLICATE_VALUE", "duplicate value found: <unknown> … <unknown>")
    assert type(read_created(response, key_field="", record=lead()).problem) is Refused


def test_of_several_faults_the_org_s_come_first_and_all_are_told() -> None:
    two = json_response(
        400,
        [
            {"errorCode": "STRING_TOO_LONG", "message": "too long", "fields": ["Title"]},
            {"errorCode": "INVALID_EMAIL_ADDRESS", "message": "bad", "fields": ["Email"]},
            {"errorCode": "UNABLE_TO_LOCK_ROW", "message": "locked"},
        ],
    )
    problem = read_created(two, key_field=KEY, record=lead()).problem
    assert type(problem) is Refused
    assert problem.fields == ("Title", "Email")
    assert "too long" in problem.message and "bad" in problem.message
    org = json_response(
        400, [*json.loads(two.body), {"errorCode": "API_DISABLED_FOR_ORG", "message": "x"}]
    )
    assert type(read_created(org, key_field=KEY, record=lead()).problem) is OrgNotReady


def test_a_bare_error_object_is_read_as_well() -> None:
    response = json_response(400, {"errorCode": "INVALID_FIELD", "message": "x", "fields": None})
    assert type(read_created(response, key_field=KEY, record=lead()).problem) is Refused


@pytest.mark.parametrize("code", ["UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT"])
def test_a_trigger_that_ran_into_a_lock_is_tried_again(code: str) -> None:
    response = fault("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"T: first error: {code}, …: []")
    assert type(read_created(response, key_field=KEY, record=lead()).problem) is RowLocked


def test_a_session_of_the_wrong_kind_is_configuration() -> None:
    response = fault("INVALID_SESSION_ID", "This session is not valid for use with the REST API")
    problem = read_created(response, key_field=KEY, record=lead()).problem
    assert isinstance(problem, NotSetUp)


# A case and its number


CREATED = (201, {"id": "5008d00000555Ab", "success": True, "errors": []})
FOUND = (200, {"Id": full_id("5008d00000555Ab"), "CaseNumber": "00001026"})
MISSING = (404, [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])
TAKEN = (
    400,
    [{"errorCode": "DUPLICATE_VALUE", "message": key_taken("5008d00000555Ab")["message"]}],
)
INVALID = (400, [{"errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "no", "fields": []}])


def deep(levels: int) -> Any:
    """A list in a list in a list …"""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def test_a_created_case_has_its_number() -> None:
    attempt = read_created_case(composite(CREATED, FOUND), key_field=KEY, record=case())
    assert attempt.created == Found(full_id("5008d00000555Ab"), "00001026")


@pytest.mark.parametrize(
    "find",
    [
        MISSING,
        (500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "x"}]),
        (400, [{"errorCode": "PROCESSING_HALTED", "message": "x"}]),
        (200, {"Id": "5008d00000777Ab", "CaseNumber": "00009999"}),
        (200, None),
        (200, "<html>"),
        (300, ["/services/data/v68.0/sobjects/Case/5008d00000777Ab"]),
        ("200", FOUND[1]),
        None,
    ],
)
def test_a_look_up_that_failed_takes_nothing_from_a_created_case(find: Any) -> None:
    attempt = read_created_case(composite(CREATED, find), key_field=KEY, record=case())
    assert attempt.created == Found(full_id("5008d00000555Ab"), None)


@pytest.mark.parametrize("create", [TAKEN, INVALID])
def test_a_refused_case_that_was_found_is_there(create: Any) -> None:
    attempt = read_created_case(composite(create, FOUND), key_field=KEY, record=case())
    assert attempt.created is None
    assert attempt.found == Found(full_id("5008d00000555Ab"), "00001026")


def test_a_refused_case_that_was_looked_for_in_vain_need_not_be_looked_for_again() -> None:
    attempt = read_created_case(composite(INVALID, MISSING), key_field=KEY, record=case())
    assert attempt.found is False and type(attempt.problem) is Refused


@pytest.mark.parametrize("find", [None, (500, []), (503, None)])
def test_a_refused_case_whose_look_up_failed_is_still_to_be_looked_for(find: Any) -> None:
    assert read_created_case(composite(INVALID, find), key_field=KEY, record=case()).found is None


def test_a_composite_with_a_name_that_is_none_has_no_answer() -> None:
    body = {"compositeResponse": [{"referenceId": ["create"], "httpStatusCode": 201, "body": {}}]}
    attempt = read_created_case(
        Response(200, {}, json.dumps(body).encode()), key_field=KEY, record=case()
    )
    assert kind(attempt.problem) == "NO_ANSWER"


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (fault("INVALID_SESSION_ID", status=401), SessionRefused),
        (
            composite((401, [{"errorCode": "INVALID_SESSION_ID", "message": "x"}]), MISSING),
            SessionRefused,
        ),
        (composite((503, "<html>"), MISSING), Unavailable),
        (composite((201, "<html>"), MISSING), "NO_ANSWER"),
        (composite((201, None), FOUND), "NO_ANSWER"),
        (composite(("201", CREATED[1]), FOUND), "NO_ANSWER"),  # type: ignore[arg-type]
        (composite((201, {**CREATED[1], "errors": deep(60)}), FOUND), "NO_ANSWER"),
        (json_response(200, {"compositeResponse": []}), "NO_ANSWER"),
        (json_response(200, {"compositeResponse": ["x", {"referenceId": "find"}]}), "NO_ANSWER"),
        (json_response(200, {"compositeResponse": [{"referenceId": "create"}]}), "NO_ANSWER"),
        (json_response(200, []), "NO_ANSWER"),
        (json_response(200, {}), "NO_ANSWER"),
        (Response(200, {}, b""), "NO_ANSWER"),
        (HTML, InstanceMoved),
        (Response(302, {}, b""), InstanceMoved),
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


def test_a_record_is_found_by_url_or_by_query() -> None:
    row = {"Id": "5008d00000555Ab", "CaseNumber": "00001026"}
    by_url = read_found(json_response(200, row), key_field=KEY)
    by_query = read_found(json_response(200, {"totalSize": 1, "records": [row]}), key_field=KEY)
    assert by_url == by_query == Found(full_id("5008d00000555Ab"), "00001026")


def test_several_records_with_one_key_are_one() -> None:
    urls = [f"/services/data/v68.0/sobjects/Lead/{full_id('00Q8d00000555Ab')}", "/x/y"]
    assert read_found(json_response(300, urls), key_field=KEY) == Found(full_id("00Q8d00000555Ab"))


@pytest.mark.parametrize(
    "response",
    [
        fault("NOT_FOUND", "The requested resource does not exist", status=404),
        json_response(200, {"totalSize": 0, "done": True, "records": []}),
    ],
)
def test_a_record_that_is_not_there_is_none(response: Response) -> None:
    assert read_found(response, key_field=KEY) is None


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (
            fault("NOT_FOUND", f"Provided external ID field … accessible: {KEY}", status=404),
            KeyFieldMissing,
        ),
        (fault("INVALID_FIELD", f"No such column '{KEY}' on entity 'Lead'"), KeyFieldMissing),
        (fault("MALFORMED_QUERY"), Unavailable),
        (fault("INSUFFICIENT_ACCESS", status=403), Unavailable),
        (fault("INVALID_SESSION_ID", status=401), SessionRefused),
        (Response(404, {}, b"<html></html>"), InstanceMoved),
        (HTML, InstanceMoved),
        (json_response(200, {}), "NO_ANSWER"),
        (json_response(200, {"records": "x"}), "NO_ANSWER"),
        (Response(200, {}, b""), "NO_ANSWER"),
        (Response(503, {}, b""), Unavailable),
    ],
)
def test_a_failed_look_up_says_nothing_about_a_record(response: Response, problem: object) -> None:
    with pytest.raises(SalesforceProblem) as caught:
        read_found(response, key_field=KEY)
    assert kind(caught.value) == problem


# Collections


def test_each_record_of_a_collection_is_judged_by_itself() -> None:
    records = [lead(f"k-{i}") for i in range(5)]
    response = json_response(
        200,
        [
            {"id": "00Q8d00000555Ab", "success": True, "errors": []},
            {"success": False, "errors": [key_taken()]},
            {"success": False, "errors": [{"statusCode": "STRING_TOO_LONG", "fields": ["Title"]}]},
            {"success": False, "errors": []},
            "?",
        ],
    )
    attempts = read_collection(response, key_field=KEY, records=records)
    assert attempts[0].created == Found(full_id("00Q8d00000555Ab"))
    assert [kind(a.problem) for a in attempts[1:]] == [KeyTaken, Refused, "NO_ANSWER", "NO_ANSWER"]


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (json_response(200, []), "NO_ANSWER"),
        (json_response(200, [{"id": "00Q8d00000555Ab", "success": True}]), "NO_ANSWER"),
        (json_response(200, [{"id": "00Q8d00000555Ab", "success": True}] * 3), "NO_ANSWER"),
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


def test_a_record_of_explicit_fields_has_none_to_lose() -> None:
    refused = Refused("x", code="STRING_TOO_LONG", fields=("Title",))
    assert not derived_at_fault(refused, lead(Title="t"))


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
    ],
)
def test_usage_is_read_in_every_form(header: str, percent: float | None) -> None:
    usage = read_api_usage({"Sforce-Limit-Info": header})
    assert usage == (pytest.approx(percent) if percent is not None else None)
    assert read_api_usage({}) is None


# Answers that Salesforce has never given


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"id": "00Q8d0000000001AAA", "x": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"id": ' + b"9" * 5000 + b"}",
        b'{"id": ""}',
        b'{"id": "short"}',
        b'{"id": "00Q8d0000000001AA/"}',
    ],
)
def test_a_success_without_an_id_that_is_one_is_no_answer(body: bytes) -> None:
    response = Response(201, {}, body)
    attempt = read_created(response, key_field=KEY, record=lead())
    assert attempt.created is None and kind(attempt.problem) == "NO_ANSWER"
    many = [{"success": True, **(json.loads(body) if len(body) < 40 else {})}]
    (attempt,) = read_collection(json_response(200, many), key_field=KEY, records=[lead()])
    assert attempt.created is None and kind(attempt.problem) == "NO_ANSWER"


@pytest.mark.parametrize(
    "response",
    [
        json_response(200, {"records": [{"Id": None}]}),
        json_response(200, {"records": [7]}),
        json_response(200, {"Id": "x"}),
        json_response(300, ["/services/data/v68.0/sobjects/Lead/x"]),
        json_response(300, [{}]),
    ],
)
def test_a_record_that_was_found_without_an_id_is_neither_there_nor_not(response: Response) -> None:
    with pytest.raises(SalesforceProblem) as caught:
        read_found(response, key_field=KEY)
    assert not isinstance(caught.value, Refused)


@pytest.mark.parametrize("digits", ["9" * 400, "9" * 5000])
def test_usage_in_digits_without_end_is_not_read(digits: str) -> None:
    assert read_api_usage({"Sforce-Limit-Info": f"api-usage={digits}/1"}) is None
    assert read_api_usage({"Sforce-Limit-Info": f"api-usage=1/{digits}"}) is None


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
