"""What the CLI asks beside records: the columns of a query, who it is, when a trial ends."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sandbox.org import Org, sample

from .conftest import Caller

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


def columns(caller: Caller, query: str) -> dict[str, Any]:
    response = caller.call("GET", f"/query?q={quote(query)}&columns=true")
    assert response.status == 200, response.data
    body: dict[str, Any] = response.json()
    return body


def column(name: str, **properties: Any) -> dict[str, Any]:
    return {**NOTHING, "columnName": name, "displayName": name, **properties}


def test_fields_and_parents_of_a_query_are_described(admin: Caller) -> None:
    body = columns(admin, "SELECT Id, Name, Owner.Name, Owner.Id, Company FROM Lead")
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
    body = columns(admin, "SELECT COUNT(Id) FROM Case")
    expected = column("expr0", displayName="count(Id)", aggregate=True, numberType=True)
    assert body["columnMetadata"] == [expected]
    assert body["idSelected"] is False


def test_a_query_that_cannot_run_has_no_columns(admin: Caller) -> None:
    response = admin.call("GET", f"/query?q={quote('SELECT Nope FROM Lead')}&columns=true")
    assert (response.status, response.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


def test_the_list_of_resources_names_the_callers_identity(org: Org, admin: Caller) -> None:
    identity = admin.call("GET", "/").json()["identity"]
    user = admin.call("GET", identity.removeprefix(org.url)).json()
    assert user["username"] == sample.ADMIN_USER
    assert user["id"] == identity


def test_an_org_that_is_no_trial_does_not_expire(admin: Caller) -> None:
    rows = admin.query("SELECT Name, IsSandbox, TrialExpirationDate FROM Organization").json()
    assert rows["records"][0]["TrialExpirationDate"] is None
