"""What is sent to Salesforce, and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.deadline import Deadline
from bridge.errors import Refused, SalesforceProblem, Unavailable
from bridge.http import HttpError, NoConnection, NoResponse, Response
from bridge.records import ObjectName, Record
from bridge.salesforce.client import Cost, Salesforce, Via, soql_text
from bridge.salesforce.responses import Attempt, Found
from bridge.salesforce.session import Session, full_id
from bridge.settings import Settings
from tests.conftest import ENVIRON, MakeSettings
from tests.unit.doubles import (
    INSTANCE,
    KEY,
    Call,
    Scripted,
    SmallOrg,
    case,
    composite,
    fault,
    json_response,
    lead,
)

SESSION = Session("token-1", INSTANCE, 1)
Value = TypeVar("Value")


class Tried(Generic[Value]):
    """What a call gave, or its problem, and what it cost."""

    def __init__(self, call: Callable[..., Value], via: Via) -> None:
        self.problem: SalesforceProblem | None = None
        try:
            self._value = call(via=via)
        except SalesforceProblem as problem:
            self.problem = problem
        self.cost = via.cost

    def get(self) -> Value:
        if self.problem is not None:
            raise self.problem
        return self._value


class Client:
    """The client with a session, and with time."""

    def __init__(self, http: Scripted, settings: Settings) -> None:
        self.salesforce = Salesforce(http=http, settings=settings)

    def via(self) -> Via:
        return Via(SESSION, Deadline.after(5))

    def create(self, record: Record) -> Tried[Attempt]:
        return Tried(partial(self.salesforce.create, record), self.via())

    def create_many(self, *records: Record) -> list[Attempt]:
        entries = map(self.salesforce.encode, records)
        return self.salesforce.create_many(records, entries, via=self.via())

    def find(self, key: str) -> Found | None:
        return self.salesforce.find("Lead", key, via=self.via())

    def find_many(self, *keys: str, object_name: ObjectName = "Lead") -> Tried[dict[str, Found]]:
        return Tried(partial(self.salesforce.find_many, object_name, keys), self.via())


def test_a_lead_is_one_insert_with_its_key(settings: MakeSettings) -> None:
    org = SmallOrg()
    attempt = Client(org, settings()).create(lead(Description='a | "b" שלום 😀')).get()
    assert attempt.created is not None
    (call,) = org.calls
    assert (call.method, call.url) == ("POST", f"{INSTANCE}/services/data/v68.0/sobjects/Lead")
    assert call.json() == {"LastName": "Berg", "Description": 'a | "b" שלום 😀', KEY: "k-1"}
    assert call.headers["Authorization"] == "Bearer token-1"
    assert call.headers["Content-Type"] == "application/json"
    assert call.repeatable


def test_without_a_unique_key_an_insert_is_never_repeated(settings: MakeSettings) -> None:
    org = SmallOrg()
    Client(org, settings(EXTERNAL_ID_FIELD="")).create(lead())
    assert org.calls[0].json() == {"LastName": "Berg"}
    assert not org.calls[0].repeatable


def test_a_case_is_one_round_trip_with_its_number(settings: MakeSettings) -> None:
    org = SmallOrg()
    made = Client(org, settings()).create(case()).get().created
    assert made.number
    (call,) = org.calls
    body = call.json()
    assert (body["allOrNone"], body["collateSubrequests"]) == (False, False)
    create, find = body["compositeRequest"]
    assert create["body"] == {"Subject": "Help", KEY: "k-1"}
    assert "httpHeaders" not in create
    assert find["url"].endswith(f"/sobjects/Case/{KEY}/k-1?fields=Id,CaseNumber")


@pytest.mark.parametrize("field", ["Subject", "Description", "SuppliedName"])
def test_a_case_with_a_text_like_a_reference_is_a_plain_request(
    settings: MakeSettings, field: str
) -> None:
    """In a composite it would be one, and the Case be halted (REST API, Composite, references)."""
    org = SmallOrg()
    text = "Is it @{find.Id}?"
    result = Client(org, settings()).create(replace(case(), fields={field: text}))
    made = result.get().created
    assert made is not None and made.number
    insert, find = org.calls
    assert insert.url.endswith("/sobjects/Case") and insert.json()[field] == text
    assert find.url.endswith(f"/sobjects/Case/{KEY}/k-1?fields=Id,CaseNumber")
    assert result.cost.calls == 2


def test_a_case_whose_number_cannot_be_read_is_made_all_the_same(settings: MakeSettings) -> None:
    record_id = full_id("5008d00000555Ab")
    http = Scripted(
        lambda call: (
            json_response(201, {"id": record_id})
            if call.method == "POST"
            else json_response(503, [])
        )
    )
    record = replace(case(), fields={"Subject": "@{x.id}"})
    assert Client(http, settings()).create(record).get().created == Found(record_id)


def test_a_case_without_a_key_is_read_by_the_id_just_made(settings: MakeSettings) -> None:
    record_id = full_id("5008d00000555Ab")
    made, found = (201, {"id": record_id}), (200, {"Id": record_id, "CaseNumber": "00001026"})
    http = Scripted(lambda call: composite(made, found))
    attempt = Client(http, settings(EXTERNAL_ID_FIELD="")).create(case()).get()
    assert attempt.created == Found(record_id, "00001026")
    find = http.calls[0].json()["compositeRequest"][1]
    assert find["url"].endswith("/sobjects/Case/@{create.id}?fields=Id,CaseNumber")


@pytest.mark.parametrize(
    ("assignment", "fields", "header"),
    [
        ("default", {}, None),
        ("off", {}, "FALSE"),
        ("01Q8d00000555Ab", {}, "01Q8d00000555Ab"),
        ("01Q8d00000555Ab", {"ownerid": "0058d00000555Ab"}, "FALSE"),
        ("default", {"OwnerId": "0058d00000555Ab"}, "FALSE"),
    ],
)
@pytest.mark.parametrize("object_name", ["Lead", "Case"])
def test_assignment_is_as_configured_and_off_for_a_record_with_an_owner(
    settings: MakeSettings,
    object_name: ObjectName,
    assignment: str,
    fields: dict[str, str],
    header: str | None,
) -> None:
    org = SmallOrg()
    made = settings(LEAD_ASSIGNMENT=assignment, CASE_ASSIGNMENT=assignment)
    record = lead(**fields) if object_name == "Lead" else case(**fields)
    Client(org, made).create(record)
    if object_name == "Lead":
        assert org.calls[0].headers.get("Sforce-Auto-Assign") == header
    else:
        # Sub-requests do not inherit it, so it has to be in the sub-request itself.
        sub = org.calls[0].json()["compositeRequest"][0].get("httpHeaders", {})
        assert sub.get("Sforce-Auto-Assign") == header


def test_duplicates_are_allowed_by_a_header(settings: MakeSettings) -> None:
    org = SmallOrg()
    made = Client(org, settings(DUPLICATE_RECORDS="allow"))
    made.create(lead())
    made.create(case())
    assert org.calls[0].headers["Sforce-Duplicate-Rule-Header"] == "allowSave=true"
    assert org.calls[1].json()["compositeRequest"][0]["httpHeaders"] == {
        "Sforce-Duplicate-Rule-Header": "allowSave=true"
    }


def test_what_is_no_refusal_is_the_call_s_problem(settings: MakeSettings) -> None:
    http = Scripted(lambda call: Response(503, {"retry-after": "7"}, b"<html>"))
    problem = Client(http, settings()).create(lead()).problem
    assert type(problem) is Unavailable and problem.retry_after_seconds == 7


def test_a_refusal_is_the_record_s_problem(settings: MakeSettings) -> None:
    http = Scripted(lambda call: fault("STRING_TOO_LONG", fields=["Title"]))
    result = Client(http, settings()).create(lead())
    assert result.problem is None and type(result.get().problem) is Refused


@pytest.mark.parametrize(
    ("error", "code"), [(NoConnection("x"), "UNREACHABLE"), (NoResponse("x"), "NO_ANSWER")]
)
def test_a_request_without_a_response_is_unavailable(
    settings: MakeSettings, error: HttpError, code: str
) -> None:
    org = SmallOrg()
    org.trouble = [error]
    result = Client(org, settings()).create(lead())
    assert type(result.problem) is Unavailable
    assert (result.problem.code, result.problem.__cause__) == (code, error)
    assert result.cost.calls == 1


@pytest.mark.parametrize(
    ("key", "by_query"),
    [
        ("k-1", False),
        ("a.b-c", False),
        ("a.json", True),
        ("x.inc", True),
        ("x.mp3", True),
        ("a.", True),
        (".", True),
        ("..", True),
    ],
)
def test_a_key_that_a_path_would_misread_is_asked_for_by_query(
    settings: MakeSettings, key: str, by_query: bool
) -> None:
    org = SmallOrg()
    row = org.put("Lead", key)
    found = Client(org, settings()).find(key)
    assert found.id == row.id
    assert org.calls[0].path.endswith("/query") is by_query


def test_many_are_one_call(settings: MakeSettings) -> None:
    org = SmallOrg()
    records = [lead(f"k-{i}") for i in range(200)]
    assert all(a.created for a in Client(org, settings()).create_many(*records))
    (call,) = org.calls
    assert call.path.endswith("/composite/sobjects")
    assert call.json()["allOrNone"] is False
    assert {r["attributes"]["type"] for r in call.json()["records"]} == {"Lead"}


def test_a_lone_surrogate_in_one_record_does_not_stop_a_call(settings: MakeSettings) -> None:
    org = SmallOrg()
    records = [lead("k-1", Description="a\ud800"), lead("k-2")]
    assert all(a.created for a in Client(org, settings()).create_many(*records))
    assert Client(org, settings()).find_many("\ud800").get() == {}


def test_many_are_looked_up_by_their_keys_deleted_ones_too(settings: MakeSettings) -> None:
    org = SmallOrg()
    kept, gone = org.put("Lead", "k-1"), org.put("Lead", "k-2", deleted=True)
    both = [org.put("Lead", "k-3", deleted=True), org.put("Lead", "k-3")]
    keys = ["k-1", "k-2", "k-3", "k-4"]
    found = Client(org, settings()).find_many(*keys).get()
    assert {key: (row.id, row.deleted) for key, row in found.items()} == {
        "k-1": (kept.id, False),
        "k-2": (gone.id, True),
        "k-3": (both[1].id, False),
    }
    assert len(org.calls) == 1 and org.calls[0].path.endswith("/queryAll")


def test_the_field_s_name_is_compared_without_case(settings: MakeSettings) -> None:
    org = SmallOrg()
    org.put("Lead", "k-1")
    made = Client(org, settings(EXTERNAL_ID_FIELD="bird_key__C"))
    assert set(made.find_many("k-1").get()) == {"k-1"}


def test_a_long_list_of_keys_is_asked_for_in_several_urls(settings: MakeSettings) -> None:
    org = SmallOrg()
    keys = [f"{i:064x}" for i in range(500)]
    for key in keys:
        org.put("Case", key)
    found = Client(org, settings()).find_many(*keys, object_name="Case").get()
    assert set(found) == set(keys)
    assert all(row.number for row in found.values())
    assert 1 < len(org.calls) < 10
    assert max(len(call.url) for call in org.calls) < 16_384


def test_a_query_s_further_pages_are_read(settings: MakeSettings) -> None:
    def response(call: Call) -> Response:
        first = "queryAll" in call.url
        row = {"Id": "00Q8d00000555Ab", KEY: "k-1" if first else "k-2", "IsDeleted": False}
        more = {"nextRecordsUrl": "/services/data/v68.0/query/01g-2000"} if first else {}
        return json_response(200, {"records": [row], "done": not first, **more})

    http = Scripted(response)
    found = Client(http, settings()).find_many("k-1", "k-2")
    assert set(found.get()) == {"k-1", "k-2"}
    assert found.cost.calls == 2


@pytest.mark.parametrize(
    "response",
    [
        fault("MALFORMED_QUERY"),
        Response(200, {}, b""),
        Response(200, {}, b"[" * 100_000),
        json_response(200, []),
        *(
            json_response(200, body)
            for body in (
                {},
                {"records": None},
                {"records": 7},
                {"records": [7]},
                {"records": {"Id": "00Q8d00000555Ab"}},
                {"records": ["00Q8d00000555Ab"]},
                {"records": [{KEY: "k-1", "IsDeleted": False}]},
                {"records": [], "nextRecordsUrl": 7},
                {"records": [], "nextRecordsUrl": "@elsewhere.example/services/data/v68.0/query/x"},
                {"records": [], "nextRecordsUrl": ".elsewhere.example/services/data/v68.0/query/x"},
                {"records": [], "nextRecordsUrl": "/services/data/v68.0/query/for-ever"},
            )
        ),
    ],
)
def test_a_look_up_of_many_that_fails_ends(settings: MakeSettings, response: Response) -> None:
    http = Scripted(lambda call: response)
    assert isinstance(Client(http, settings()).find_many("k-1").problem, Unavailable)
    assert len(http.calls) <= 20
    assert all(urlsplit(call.url).hostname == "acme.my.salesforce.com" for call in http.calls)


def test_no_keys_are_no_call(settings: MakeSettings) -> None:
    org = SmallOrg()
    assert Client(org, settings()).find_many().get() == {}
    assert org.calls == []


@given(st.text())
def test_a_text_cannot_leave_its_literal(text: str) -> None:
    literal = soql_text(text)
    inside = literal[1:-1]
    assert literal[0] == literal[-1] == "'"
    assert "\n" not in inside and "\r" not in inside
    assert "'" not in inside.replace("\\\\", "").replace("\\'", "")


@given(st.text(min_size=1))
@example("../../Account/001")
@example("a/b?fields=Name#c")
@example("' OR Id != null OR Name = '.json")
def test_a_key_cannot_leave_its_part_of_a_path(key: str) -> None:
    http = Scripted(lambda call: fault("NOT_FOUND", status=404))
    assert Client(http, Settings.from_environ(ENVIRON)).find(key) is None
    (call,) = http.calls
    parts = urlsplit(call.url)
    assert not parts.fragment
    if parts.path.endswith("/query"):
        ((name, soql),) = parse_qsl(parts.query, strict_parsing=True)
        assert name == "q"
        assert soql.removesuffix(" LIMIT 1").endswith(f" WHERE {KEY} = {soql_text(key)}")
    else:
        *before, last = parts.path.split("/")
        assert before == ["", "services", "data", "v68.0", "sobjects", "Lead", KEY]
        assert unquote(last) == key and parts.query == "fields=Id"


def test_what_a_call_cost_comes_back_with_its_result(settings: MakeSettings) -> None:
    headers = {"sforce-limit-info": "api-usage=1/100", "x-sfdc-request-id": "r-1"}
    http = Scripted(lambda call: json_response(201, {"id": "00Q8d00000555Ab"}, **headers))
    cost = Client(http, settings()).create(lead()).cost
    assert (cost.calls, cost.usage_percent, cost.request_id) == (1, 1.0, "r-1")
    assert 0 < cost.milliseconds < 1000


def test_costs_add_up_and_the_last_call_tells_the_rest() -> None:
    first, second = Cost(1, 80.0, 1.5, "r-1"), Cost(2, 90.0, None, "")
    assert first + second == Cost(3, 90.0, 1.5, "r-1")
    assert first + Cost() == Cost() + first == first
