"""SOQL: what is found, what is hidden, and what is wrong with a query."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.org import Org, sample
from sandbox.org.errors import Refused

from .conftest import Caller, lead


@pytest.fixture
def people(org: Org) -> dict[str, str]:
    """Four leads by last name."""
    rows: dict[str, dict[str, Any]] = {
        "Ada": {"Phone": "+31 20 555 1234", "NumberOfEmployees": 5, "Email": "ada@example.com"},
        "bob": {"NumberOfEmployees": 50, "DoNotCall": True},
        "Cy'd": {"LeadSource": "Viber"},
        "50%_off": {"LeadSource": "Web"},
    }
    return {name: org.create("Lead", lead(LastName=name, **more)) for name, more in rows.items()}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("LastName = 'ADA'", ["Ada"]),
        ("LastName != 'Ada'", ["bob", "Cy'd", "50%_off"]),
        ("LastName <> 'Ada' AND NumberOfEmployees > 5", ["bob"]),
        ("NumberOfEmployees >= 5", ["Ada", "bob"]),
        ("NumberOfEmployees < 5.5", ["Ada"]),
        ("NumberOfEmployees = null", ["Cy'd", "50%_off"]),
        ("LastName = 'Cy\\'d'", ["Cy'd"]),
        ("LastName LIKE '%\\'d'", ["Cy'd"]),
        ("Phone LIKE '%555%1234%'", ["Ada"]),
        ("LeadSource IN ('Viber', 'Web')", ["Cy'd", "50%_off"]),
        ("LeadSource NOT IN ('Viber')", ["Ada", "bob", "50%_off"]),
        ("NOT (LastName = 'Ada' OR LastName = 'bob')", ["Cy'd", "50%_off"]),
        ("(LastName = 'Ada' OR LastName = 'bob') AND DoNotCall = TRUE", ["bob"]),
        ("DoNotCall = false AND LeadSource = null", ["Ada"]),
        ("CreatedDate = TODAY AND LastName = 'Ada'", ["Ada"]),
        ("CreatedDate = LAST_N_DAYS:3 AND LastName = 'Ada'", ["Ada"]),
        ("CreatedDate < 2001-01-01T00:00:00Z", []),
        ("Owner.Name = 'Ada Admin' AND LastName = 'Ada'", ["Ada"]),
        ("OwnerId IN (SELECT Id FROM User WHERE Username LIKE 'nobody%')", []),
    ],
)
def test_a_condition_finds(org: Org, people: dict[str, str], where: str, found: list[str]) -> None:
    rows = org.query(f"SELECT LastName FROM Lead WHERE {where}")
    assert [row["LastName"] for row in rows] == found


def test_rows_are_ordered_cut_and_skipped(org: Org, people: dict[str, str]) -> None:
    def names(rest: str) -> list[str]:
        return [row["LastName"] for row in org.query(f"SELECT LastName FROM Lead {rest}")]

    assert names("ORDER BY LastName LIMIT 2") == ["50%_off", "Ada"]
    assert names("ORDER BY LastName DESC LIMIT 2 OFFSET 1") == ["bob", "Ada"]
    assert names("ORDER BY NumberOfEmployees NULLS LAST, LastName")[:2] == ["Ada", "bob"]
    assert names("ORDER BY NumberOfEmployees DESC NULLS LAST")[:2] == ["bob", "Ada"]
    assert names("ORDER BY NumberOfEmployees")[2:] == ["Ada", "bob"]


def test_a_count_is_answered_without_records(caller: Caller, people: dict[str, str]) -> None:
    body = caller.query("SELECT COUNT() FROM Lead WHERE LeadSource != null").json()
    assert body == {"totalSize": 2, "done": True, "records": []}
    body = caller.query("SELECT COUNT(Id) FROM Lead").json()
    assert body["records"][0]["expr0"] == 4


def test_an_id_is_found_in_both_its_forms(org: Org, people: dict[str, str]) -> None:
    for form in (people["Ada"], people["Ada"][:15]):
        assert org.query(f"SELECT Id FROM Lead WHERE Id = '{form}'")[0]["Id"] == people["Ada"]


def test_a_large_answer_comes_in_pages(caller: Caller, org: Org) -> None:
    for n in range(450):
        org.create("Lead", lead(Bird_Key__c=f"k{n}"))
    found: list[str] = []
    header: dict[str, Any] = {"Sforce_Query_Options": "batchSize=200"}
    body = caller.call("GET", "/query?q=SELECT+Bird_Key__c+FROM+Lead", **header).json()
    assert body["totalSize"] == 450
    while True:
        found += [row["Bird_Key__c"] for row in body["records"]]
        if body["done"]:
            break
        body = caller.call("GET", body["nextRecordsUrl"], **header).json()
    assert found == [f"k{n}" for n in range(450)]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (
            "SELECT Id, FROM Lead",
            "MALFORMED_QUERY",
            "\nSELECT Id, FROM Lead\n           ^\nERROR at Row:1:Column:12\n"
            "unexpected token: 'FROM'",
        ),
        (
            "SELECT Id FROM Missing__c",
            "INVALID_TYPE",
            "\nSELECT Id FROM Missing__c\n               ^\nERROR at Row:1:Column:16\nsObject type "
            "'Missing__c' is not supported. If you are attempting to use a custom object, be sure "
            "to append the '__c' after the entity name. Please reference your WSDL or the describe "
            "call for the appropriate names.",
        ),
        (
            "SELECT Id, Nope__c FROM Lead",
            "INVALID_FIELD",
            "\nSELECT Id, Nope__c FROM Lead\n           ^\nERROR at Row:1:Column:12\nNo such "
            "column 'Nope__c' on entity 'Lead'. If you are attempting to use a custom field, be "
            "sure to append the '__c' after the custom field name. Please reference your WSDL or "
            "the describe call for the appropriate names.",
        ),
    ],
)
def test_a_wrong_query_is_shown_where(caller: Caller, text: str, code: str, message: str) -> None:
    answer = caller.query(text)
    assert (answer.status, answer.json()) == (400, [{"message": message, "errorCode": code}])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DELETE FROM Lead",
        "SELECT Id",
        "SELECT Id FROM Lead WHERE",
        "SELECT Id FROM Lead WHERE LastName",
        "SELECT Id FROM Lead WHERE LastName = 'open",
        "SELECT Id FROM Lead WHERE LastName = 5",
        "SELECT Id FROM Lead WHERE NumberOfEmployees = 'many'",
        "SELECT Id FROM Lead WHERE LastName IN ()",
        "SELECT Id FROM Lead LIMIT many",
        "SELECT Id FROM Lead; DROP TABLE Lead",
        "SELECT Owner.Nope FROM Lead",
        "SELECT Nobody.Name FROM Lead",
        "SELECT Id FROM Lead WHERE Description = 'x'",
        "SELECT FIELDS(ALL) FROM Lead",
        "SELECT Id FROM Lead WHERE Id = 'x' x",
    ],
)
def test_a_query_that_makes_no_sense_is_refused(caller: Caller, text: str) -> None:
    answer = caller.query(text)
    assert answer.status == 400
    assert answer.json()[0]["errorCode"] in ("MALFORMED_QUERY", "INVALID_FIELD")


def test_fields_all_shows_every_visible_field(caller: Caller, people: dict[str, str]) -> None:
    row = caller.query("SELECT FIELDS(ALL) FROM Lead LIMIT 1").json()["records"][0]
    assert {"Id", "LastName", "Bird_Key__c"} <= set(row)


def test_setup_needs_the_right_to_view_it(org: Org) -> None:
    text = "SELECT Id FROM PermissionSet"
    assert org.query(text, user=sample.ADMIN_USER)
    with pytest.raises(Refused) as refused:
        org.query(text, user=sample.INTEGRATION_USER)
    assert refused.value.problems[0].code == "INVALID_TYPE"


def test_a_search_finds_words_and_numbers(caller: Caller, people: dict[str, str]) -> None:
    body = {"q": "205551234", "sobjects": [{"name": "Lead"}], "fields": ["Id", "LastName"]}
    found = caller.call("POST", "/parameterizedSearch", body).json()["searchRecords"]
    assert [r["LastName"] for r in found] == ["Ada"]
    path = "/parameterizedSearch?q=bob&sobject=Lead&Lead.fields=id,LastName&Lead.limit=10"
    found = caller.call("GET", path).json()["searchRecords"]
    assert [r["Id"] for r in found] == [people["bob"]]
    path = "/search?q=FIND+%7Bada%7D+IN+ALL+FIELDS+RETURNING+Lead(Id,LastName)"
    found = caller.call("GET", path).json()["searchRecords"]
    assert [r["LastName"] for r in found] == ["Ada"]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("SELECT Id FROM Lead OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "offset allowed is 2000"),
        ("SELECT Id FROM Lead ALL ROWS", "MALFORMED_QUERY", "ALL ROWS not allowed in this context"),
        (
            "SELECT Id FROM Lead WITH SECURITY_ENFORCED",
            "MALFORMED_QUERY",
            "unexpected token: 'WITH",
        ),
        ("SELECT Id, id FROM Lead", "INVALID_FIELD", "duplicate field selected: id"),
        (
            "SELECT Id FROM Lead ORDER BY Description",
            "INVALID_FIELD",
            "can not be sorted in a query",
        ),
        (
            "SELECT Id FROM Lead WHERE Description = 'x'",
            "INVALID_FIELD",
            "can not be filtered in a",
        ),
        (
            "SELECT Id FROM Lead WHERE Id LIKE '00Q%'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "on id field",
        ),
        (
            "SELECT Id FROM Lead WHERE OwnerId > '005'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "on id field",
        ),
        (
            "SELECT Id FROM Lead WHERE CreatedDate LIKE '2%'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "operator",
        ),
        (
            "SELECT Id FROM Lead WHERE DoNotCall > false",
            "INVALID_QUERY_FILTER_OPERATOR",
            "operator",
        ),
        (
            "SELECT Id FROM Lead WHERE CreatedDate = 'x'",
            "INVALID_FIELD",
            "must be of type datetime and",
        ),
        (
            "SELECT Id FROM Lead WHERE LastName = 1",
            "INVALID_FIELD",
            "must be of type string and should",
        ),
        (
            "SELECT Id FROM Lead WHERE Id IN (SELECT Id FROM Lead)",
            "MALFORMED_QUERY",
            "The inner and outer selects should not be on the same object type",
        ),
        (
            "SELECT Id FROM Lead WHERE OwnerId IN (SELECT Name FROM User)",
            "MALFORMED_QUERY",
            "The selected field 'Name' in the subquery and the left operand field in the where "
            "expression in the outer query 'OwnerId' should point to the same object type",
        ),
        ("SELECT Id, (SELECT Id FROM Tasks) FROM Lead", "MALFORMED_QUERY", "unexpected token: '('"),
        (
            "SELECT COUNT(Id) FROM Lead GROUP BY Status",
            "MALFORMED_QUERY",
            "unexpected token: 'GROUP'",
        ),
        ("SELECT MAX(CreatedDate) FROM Lead", "MALFORMED_QUERY", "unexpected token: '('"),
    ],
)
def test_a_query_is_refused_rather_than_misread(
    admin: Caller, text: str, code: str, words: str
) -> None:
    """[O], [K] the words; the last three Salesforce can do, and this org says that it cannot."""
    answer = admin.query(text)
    assert (answer.status, answer.json()[0]["errorCode"]) == (400, code)
    assert words in answer.json()[0]["message"]
    assert "ERROR at Row:1:Column:" in answer.json()[0]["message"]
