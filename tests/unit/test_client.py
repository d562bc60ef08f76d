"""What is sent to Salesforce, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.deadline import Deadline
from bridge.errors import Refused, Unavailable
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
CASE_ID = full_id("5008d00000555Ab")


class Client:
    """The client with a session, with time, and with what its last call cost."""

    def __init__(self, http: Scripted, settings: Settings) -> None:
        self.salesforce = Salesforce(http=http, settings=settings)
        self.cost = Cost()

    def _call(self, send: Callable[..., Any], *arguments: Any) -> Any:
        via = Via(SESSION, Deadline.after(5))
        try:
            return send(*arguments, via=via)
        finally:
            self.cost = via.cost

    def create(self, record: Record) -> Attempt:
        return self._call(self.salesforce.create, record)

    def create_many(self, *records: Record) -> list[Attempt]:
        entries = map(self.salesforce.encode, records)
        return self._call(self.salesforce.create_many, records, entries)

    def find(self, key: str) -> Found | None:
        return self._call(self.salesforce.find, "Lead", key)

    def find_many(self, *keys: str, object_name: ObjectName = "Lead") -> dict[str, Found]:
        return self._call(self.salesforce.find_many, object_name, keys)


@pytest.fixture
def org() -> SmallOrg:
    return SmallOrg()


@pytest.fixture
def client(org: SmallOrg, settings: MakeSettings) -> Client:
    return Client(org, settings())


def test_a_lead_is_one_insert_with_its_key(org: SmallOrg, client: Client) -> None:
    assert client.create(lead(Description='a | "b" שלום 😀')).created is not None
    (call,) = org.calls
    assert (call.method, call.url) == ("POST", f"{INSTANCE}/services/data/v68.0/sobjects/Lead")
    assert call.json() == {"LastName": "Berg", "Description": 'a | "b" שלום 😀', KEY: "k-1"}
    assert call.headers["Authorization"] == "Bearer token-1"
    assert call.headers["Content-Type"] == "application/json"
    assert call.repeatable


def test_without_a_unique_key_an_insert_is_never_repeated(
    org: SmallOrg, settings: MakeSettings
) -> None:
    Client(org, settings(EXTERNAL_ID_FIELD="")).create(lead())
    assert org.calls[0].json() == {"LastName": "Berg"}
    assert not org.calls[0].repeatable


def test_a_case_is_one_round_trip_with_its_number(org: SmallOrg, client: Client) -> None:
    made = client.create(case()).created
    assert made and made.number
    (call,) = org.calls
    body = call.json()
    assert (body["allOrNone"], body["collateSubrequests"]) == (False, False)
    create, find = body["compositeRequest"]
    assert create["body"] == {"Subject": "Help", KEY: "k-1"}
    assert "httpHeaders" not in create
    assert find["url"].endswith(f"/sobjects/Case/{KEY}/k-1?fields=Id,CaseNumber")


@pytest.mark.parametrize("field", ["Subject", "Description", "SuppliedName"])
def test_a_case_with_a_text_like_a_reference_is_a_plain_request(
    org: SmallOrg, client: Client, field: str
) -> None:
    """In a composite it would be one, and the Case be halted (REST API, Composite, references)."""
    text = "Is it @{find.Id}?"
    made = client.create(replace(case(), fields={field: text})).created
    assert made is not None and made.number
    insert, find = org.calls
    assert insert.url.endswith("/sobjects/Case") and insert.json()[field] == text
    assert find.url.endswith(f"/sobjects/Case/{KEY}/k-1?fields=Id,CaseNumber")
    assert client.cost.calls == 2


def test_a_case_whose_number_cannot_be_read_is_made_all_the_same(settings: MakeSettings) -> None:
    created, trouble = json_response(201, {"id": CASE_ID}), json_response(503, [])
    http = Scripted(lambda call: created if call.method == "POST" else trouble)
    record = replace(case(), fields={"Subject": "@{x.id}"})
    assert Client(http, settings()).create(record).created == Found(CASE_ID)


def test_a_case_without_a_key_is_read_by_the_id_just_made(settings: MakeSettings) -> None:
    made, found = (201, {"id": CASE_ID}), (200, {"Id": CASE_ID, "CaseNumber": "00001026"})
    http = Scripted(lambda call: composite(made, found))
    attempt = Client(http, settings(EXTERNAL_ID_FIELD="")).create(case())
    assert attempt.created == Found(CASE_ID, "00001026")
    find = http.calls[0].json()["compositeRequest"][1]
    assert find["url"].endswith("/sobjects/Case/@{create.id}?fields=Id,CaseNumber")


def insert_headers(org: SmallOrg, settings: Settings, record: Record) -> Mapping[str, str]:
    """The headers of an insert; a Case's are in its sub-request, which inherits none."""
    Client(org, settings).create(record)
    (call,) = org.calls
    if record.object == "Lead":
        return call.headers
    return call.json()["compositeRequest"][0].get("httpHeaders", {})


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
@pytest.mark.parametrize("make", [lead, case])
def test_assignment_is_as_configured_and_off_for_a_record_with_an_owner(
    org: SmallOrg,
    settings: MakeSettings,
    make: Callable[..., Record],
    assignment: str,
    fields: dict[str, str],
    header: str | None,
) -> None:
    made = settings(LEAD_ASSIGNMENT=assignment, CASE_ASSIGNMENT=assignment)
    assert insert_headers(org, made, make(**fields)).get("Sforce-Auto-Assign") == header


@pytest.mark.parametrize("record", [lead(), case()], ids=["lead", "case"])
def test_duplicates_are_allowed_by_a_header(
    org: SmallOrg, settings: MakeSettings, record: Record
) -> None:
    headers = insert_headers(org, settings(DUPLICATE_RECORDS="allow"), record)
    assert headers["Sforce-Duplicate-Rule-Header"] == "allowSave=true"


def test_a_refusal_is_the_record_s_problem_and_all_else_the_call_s(
    org: SmallOrg, client: Client
) -> None:
    org.trouble = [fault("STRING_TOO_LONG"), Response(503, {"retry-after": "7"}, b"<html>")]
    assert type(client.create(lead()).problem) is Refused
    with pytest.raises(Unavailable) as caught:
        client.create(lead())
    assert caught.value.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("error", "code"), [(NoConnection("x"), "UNREACHABLE"), (NoResponse("x"), "NO_ANSWER")]
)
def test_a_request_without_a_response_is_unavailable(
    org: SmallOrg, client: Client, error: HttpError, code: str
) -> None:
    org.trouble = [error]
    with pytest.raises(Unavailable) as caught:
        client.create(lead())
    assert (caught.value.code, caught.value.__cause__) == (code, error)
    assert client.cost.calls == 1


@pytest.mark.parametrize(
    ("key", "by_query"),
    [
        *((key, False) for key in ("k-1", "a.b-c")),
        *((key, True) for key in ("a.json", "x.inc", "x.mp3", "a.", ".", "..")),
    ],
)
def test_a_key_that_a_path_would_misread_is_asked_for_by_query(
    org: SmallOrg, client: Client, key: str, by_query: bool
) -> None:
    row = org.put("Lead", key)
    assert client.find(key) == Found(row.id)
    assert org.calls[0].path.endswith("/query") is by_query


def test_many_are_one_call(org: SmallOrg, client: Client) -> None:
    assert all(a.created for a in client.create_many(*(lead(f"k-{i}") for i in range(200))))
    (call,) = org.calls
    assert call.path.endswith("/composite/sobjects")
    assert call.json()["allOrNone"] is False
    assert {r["attributes"]["type"] for r in call.json()["records"]} == {"Lead"}


def test_a_lone_surrogate_in_one_record_does_not_stop_a_call(client: Client) -> None:
    records = [lead("k-1", Description="a\ud800"), lead("k-2")]
    assert all(a.created for a in client.create_many(*records))
    assert client.find_many("\ud800") == {}


@pytest.mark.parametrize("name", [KEY, "bird_key__C"])
def test_many_are_looked_up_by_their_keys_deleted_ones_too(
    org: SmallOrg, settings: MakeSettings, name: str
) -> None:
    kept, gone = org.put("Lead", "k-1"), org.put("Lead", "k-2", deleted=True)
    both = [org.put("Lead", "k-3", deleted=True), org.put("Lead", "k-3")]
    client = Client(org, settings(EXTERNAL_ID_FIELD=name))
    assert client.find_many("k-1", "k-2", "k-3", "k-4") == {
        "k-1": Found(kept.id),
        "k-2": Found(gone.id, deleted=True),
        "k-3": Found(both[1].id),
    }
    assert len(org.calls) == 1 and org.calls[0].path.endswith("/queryAll")
    assert client.find_many() == {}
    assert len(org.calls) == 1, "no keys are no call"


def test_a_long_list_of_keys_is_asked_for_in_several_urls(org: SmallOrg, client: Client) -> None:
    keys = [f"{i:064x}" for i in range(500)]
    for key in keys:
        org.put("Case", key)
    found = client.find_many(*keys, object_name="Case")
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

    client = Client(Scripted(response), settings())
    assert set(client.find_many("k-1", "k-2")) == {"k-1", "k-2"}
    assert client.cost.calls == 2


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
    with pytest.raises(Unavailable):
        Client(http, settings()).find_many("k-1")
    assert len(http.calls) <= 20
    assert all(urlsplit(call.url).hostname == "acme.my.salesforce.com" for call in http.calls)


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
    response = json_response(201, {"id": "00Q8d00000555Ab"}, **headers)
    client = Client(Scripted(lambda call: response), settings())
    client.create(lead())
    cost = client.cost
    assert (cost.calls, cost.usage_percent, cost.request_id) == (1, 1.0, "r-1")
    assert 0 < cost.milliseconds < 1000


def test_costs_add_up_and_the_last_call_tells_the_rest() -> None:
    first, second = Cost(1, 80.0, 1.5, "r-1"), Cost(2, 90.0, None, "")
    assert first + second == Cost(3, 90.0, 1.5, "r-1")
    assert first + Cost() == Cost() + first == first
