"""Setting an org up over REST: the field, the permission set, and who gets it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.org import Org, OrgServer, sample

from .conftest import Caller, lead, user_id

FIELD = {
    "FullName": "Lead.Bird_Key__c",
    "Metadata": {
        "type": "Text",
        "label": "Bird Key",
        "length": 100,
        "externalId": True,
        "unique": True,
        "caseSensitive": True,
    },
}


@pytest.fixture
def server() -> Iterator[OrgServer]:
    """An org that nobody has set up."""
    with OrgServer(Org.bare()) as running:
        yield running


def make_field(admin: Caller) -> str:
    response = admin.call("POST", "/tooling/sobjects/CustomField", FIELD)
    assert response.status == 201, response.data
    body = response.json()
    assert set(body) == {"id", "success", "errors", "warnings", "infos"}
    return str(body["id"])


def made(response: Any) -> str:
    assert response.status == 201, response.data
    return str(response.json()["id"])


def make_set(admin: Caller) -> str:
    return made(admin.create("PermissionSet", Name="Bird_Bridge", Label="Bird bridge"))


def grant(admin: Caller, set_id: str) -> None:
    made(
        admin.create(
            "ObjectPermissions",
            ParentId=set_id,
            SobjectType="Lead",
            PermissionsCreate=True,
            PermissionsRead=True,
            PermissionsViewAllRecords=True,
        )
    )


def test_a_field_is_visible_to_nobody_until_access_is_given(admin: Caller, org: Org) -> None:
    make_field(admin)
    described = admin.call("GET", "/sobjects/Lead/describe").json()
    assert "Bird_Key__c" not in [f["name"] for f in described["fields"]]
    response = admin.create("Lead", **lead(Bird_Key__c="k"))
    assert response.json()[0]["errorCode"] == "INVALID_FIELD"


def test_a_field_can_be_found_and_changed(admin: Caller, org: Org) -> None:
    field_id = make_field(admin)
    text = (
        "SELECT Id, DeveloperName, TableEnumOrId FROM CustomField "
        "WHERE DeveloperName = 'Bird_Key' AND TableEnumOrId = 'Lead'"
    )
    rows = admin.call("GET", "/tooling/query?q=" + text.replace(" ", "+")).json()["records"]
    assert [row["Id"] for row in rows] == [field_id]
    path = f"/tooling/sobjects/CustomField/{field_id}"
    metadata = {**FIELD["Metadata"], "unique": False}  # type: ignore[dict-item]
    assert admin.call("PATCH", path, {"Metadata": metadata}).status == 204
    assert admin.call("GET", path).json()["Metadata"]["unique"] is False
    assert not org.schema["Lead"].fields["Bird_Key__c"].unique


def test_a_field_of_the_sample_org_can_be_found_too(as_user: Any) -> None:
    with OrgServer(Org.sample()) as server:
        response = server.org.oauth.approve(sample.CLIENT_ID, sample.ADMIN_USER, "api")
        admin = Caller(server, response["access_token"])
        text = "SELECT+Id+FROM+CustomField+WHERE+DeveloperName='Bird_Key'"
        assert admin.call("GET", f"/tooling/query?q={text}").json()["totalSize"] == 4


def test_a_field_is_made_once(admin: Caller) -> None:
    make_field(admin)
    response = admin.call("POST", "/tooling/sobjects/CustomField", FIELD)
    assert (response.status, response.json()[0]["errorCode"]) == (400, "DUPLICATE_DEVELOPER_NAME")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"FullName": "Nothing__c.Bird_Key__c"}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"FullName": "Lead.Bird Key"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Metadata": {"type": "Text", "label": "x", "length": 256}}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Metadata": {"type": "Text", "length": 100}}, "REQUIRED_FIELD_MISSING"),
        ({"Metadata": None}, "REQUIRED_FIELD_MISSING"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(
    admin: Caller, change: dict[str, Any], code: str
) -> None:
    response = admin.call("POST", "/tooling/sobjects/CustomField", {**FIELD, **change})
    assert (response.status, response.json()[0]["errorCode"]) == (400, code)


def test_only_an_administrator_may_set_up(caller: Caller) -> None:
    assert caller.call("POST", "/tooling/sobjects/CustomField", FIELD).status == 403
    assert caller.create("PermissionSet", Name="x", Label="x").status == 404
    assert caller.call("GET", "/limits").status == 403


def test_the_name_of_a_permission_set_is_taken_once(admin: Caller) -> None:
    make_set(admin)
    response = admin.create("PermissionSet", Name="Bird_Bridge", Label="x")
    assert response.json()[0]["errorCode"] == "DUPLICATE_DEVELOPER_NAME"


def test_rights_depend_on_each_other(admin: Caller) -> None:
    set_id = make_set(admin)
    response = admin.create(
        "ObjectPermissions", ParentId=set_id, SobjectType="Lead", PermissionsCreate=True
    )
    assert response.json()[0]["errorCode"] == "FIELD_INTEGRITY_EXCEPTION"
    assert (
        response.json()[0]["message"]
        == "Permission Create Lead depends on permission(s): Read Lead"
    )


@pytest.mark.parametrize(
    "field", ["Lead.LastName", "Lead.Id", "Lead.Nope__c", "Lead", "User.Alias"]
)
def test_field_access_cannot_be_set_for_every_field(admin: Caller, field: str) -> None:
    response = admin.create(
        "FieldPermissions",
        ParentId=make_set(admin),
        SobjectType=field.partition(".")[0],
        Field=field,
        PermissionsRead=True,
    )
    assert response.json()[0] == {
        "message": f"Field Name: bad value for restricted picklist field: {field}",
        "errorCode": "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "fields": ["Field"],
    }


def test_what_is_given_twice_is_refused_the_second_time(admin: Caller, org: Org) -> None:
    set_id = make_set(admin)
    grant(admin, set_id)
    again = admin.create(
        "ObjectPermissions", ParentId=set_id, SobjectType="Lead", PermissionsRead=True
    )
    assert again.json()[0]["errorCode"] == "DUPLICATE_VALUE"
    pair = {"AssigneeId": user_id(org, sample.INTEGRATION_USER), "PermissionSetId": set_id}
    made(admin.create("PermissionSetAssignment", **pair))
    response = admin.create("PermissionSetAssignment", **pair)
    assert response.json()[0]["errorCode"] == "DUPLICATE_VALUE"


def test_taking_the_set_away_takes_the_rights_away(admin: Caller, caller: Caller, org: Org) -> None:
    set_id = make_set(admin)
    grant(admin, set_id)
    pair = {"AssigneeId": user_id(org, sample.INTEGRATION_USER), "PermissionSetId": set_id}
    assignment = made(admin.create("PermissionSetAssignment", **pair))
    assert caller.create("Lead", **lead()).status == 201
    assert admin.call("DELETE", f"/sobjects/PermissionSetAssignment/{assignment}").status == 204
    assert caller.create("Lead", **lead()).status == 404
