"""SOQL: what is found, what is hidden, and what is wrong with a query."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

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
        ("Id = '{Ada}'", ["Ada"]),
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
        ("CreatedDate < 2001-01-01T00:00:00Z", []),
        ("Owner.Name = 'Ada Admin' AND LastName = 'Ada'", ["Ada"]),
    ],
)
def test_a_condition_finds(org: Org, people: dict[str, str], where: str, found: list[str]) -> None:
    where = where.replace("{Ada}", people["Ada"][:15])
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
    response = caller.query(text)
    assert (response.status, response.json()) == (400, [{"message": message, "errorCode": code}])


def test_setup_needs_the_right_to_view_it(org: Org) -> None:
    text = "SELECT Id FROM PermissionSet"
    assert org.query(text, user=sample.ADMIN_USER)
    with pytest.raises(Refused) as refused:
        org.query(text, user=sample.INTEGRATION_USER)
    assert refused.value.problems[0].code == "INVALID_TYPE"


OPERATOR, FIELD, SYNTAX = "INVALID_QUERY_FILTER_OPERATOR", "INVALID_FIELD", "MALFORMED_QUERY"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("DELETE FROM Lead", SYNTAX, "unexpected token: 'DELETE'"),
        ("SELECT Id", SYNTAX, "unexpected token"),
        ("SELECT Id FROM Lead WHERE LastName", SYNTAX, "unexpected token"),
        ("SELECT Id FROM Lead WHERE LastName = 'open", SYNTAX, "'"),
        ("SELECT Id FROM Lead WHERE LastName IN ()", SYNTAX, "unexpected token: ')'"),
        ("SELECT Id FROM Lead LIMIT many", SYNTAX, "unexpected token: 'many'"),
        ("SELECT Id FROM Lead; DROP TABLE Lead", SYNTAX, ";"),
        ("SELECT Id FROM Lead WHERE Id = null x", SYNTAX, "unexpected token: 'x'"),
        ("SELECT Id FROM Lead ALL ROWS", SYNTAX, "ALL ROWS not allowed in this context"),
        ("SELECT Id FROM Lead OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "allowed is 2000"),
        ("SELECT Owner.Nope FROM Lead", FIELD, "No such column 'Nope'"),
        ("SELECT Nobody.Name FROM Lead", FIELD, "Didn't understand relationship 'Nobody'"),
        ("SELECT Id, id FROM Lead", FIELD, "duplicate field selected: id"),
        ("SELECT Id FROM Lead ORDER BY Description", FIELD, "can not be sorted in a query"),
        ("SELECT Id FROM Lead WHERE Description = 'x'", FIELD, "can not be filtered in a"),
        ("SELECT Id FROM Lead WHERE CreatedDate = 'x'", FIELD, "must be of type datetime and"),
        ("SELECT Id FROM Lead WHERE LastName = 1", FIELD, "must be of type string and should"),
        ("SELECT Id FROM Lead WHERE NumberOfEmployees = 'x'", FIELD, "must be of type int"),
        ("SELECT Id FROM Lead WHERE Id LIKE '00Q%'", OPERATOR, "on id field"),
        ("SELECT Id FROM Lead WHERE OwnerId > '005'", OPERATOR, "on id field"),
        ("SELECT Id FROM Lead WHERE CreatedDate LIKE '2%'", OPERATOR, "operator"),
        ("SELECT Id FROM Lead WHERE DoNotCall > false", OPERATOR, "operator"),
        ("SELECT FIELDS(ALL) FROM Lead", SYNTAX, "unexpected token: '('"),
        ("SELECT Id FROM Lead WHERE CreatedDate = TODAY", SYNTAX, "unexpected token: 'TODAY'"),
        ("SELECT Id FROM Lead WHERE Id IN (SELECT Id FROM Task)", SYNTAX, "token: 'SELECT'"),
        ("SELECT Id FROM Lead WITH SECURITY_ENFORCED", SYNTAX, "unexpected token: 'WITH"),
        ("SELECT Id, (SELECT Id FROM Tasks) FROM Lead", SYNTAX, "unexpected token: '('"),
        ("SELECT COUNT(Id) FROM Lead GROUP BY Status", SYNTAX, "unexpected token: 'GROUP'"),
        ("SELECT MAX(CreatedDate) FROM Lead", SYNTAX, "unexpected token: '('"),
    ],
)
def test_a_query_is_refused_rather_than_misread(
    admin: Caller, text: str, code: str, words: str
) -> None:
    """[O], [K] the words; the last seven Salesforce can do, and this org says that it cannot."""
    response = admin.query(text)
    assert (response.status, response.json()[0]["errorCode"]) == (400, code)
    assert words in response.json()[0]["message"]


# --- columns, which the CLI asks for ----------------------------------------------------------

NOTHING = {
    "aggregate": False,
    "apexType": None,
    "booleanType": False,
    "custom": False,
    "foreignKeyName": None,
    "insertable": False,
    "joinColumns": [],
    "numberType": False,
    "textType": False,
    "updatable": False,
}


def columns_of(caller: Caller, query: str) -> dict[str, Any]:
    body: dict[str, Any] = caller.call("GET", f"/query?columns=true&q={quote(query)}").json()
    return body


def column(name: str, **properties: Any) -> dict[str, Any]:
    return {**NOTHING, "columnName": name, "displayName": name, **properties}


def test_fields_and_parents_of_a_query_are_described(admin: Caller) -> None:
    body = columns_of(admin, "SELECT Id, Name, Owner.Name, Owner.Id, Company FROM Lead")
    name = column("Name", apexType="String", textType=True)
    assert body == {
        "columnMetadata": [
            column("Id", apexType="Id"),
            name,
            column(
                "Owner", foreignKeyName="OwnerId", joinColumns=[name, column("Id", apexType="Id")]
            ),
            column("Company", apexType="String", insertable=True, textType=True, updatable=True),
        ],
        "entityName": "Lead",
        "groupBy": False,
        "idSelected": True,
        "keyPrefix": "00Q",
    }


def test_a_count_is_an_aggregate(admin: Caller) -> None:
    body = columns_of(admin, "SELECT COUNT(Id) FROM Case")
    expected = column("expr0", displayName="count(Id)", aggregate=True, numberType=True)
    assert body["columnMetadata"] == [expected]
    assert body["idSelected"] is False
