"""Deploying the folder ``salesforce/`` over REST, as [O] meta_rest_deploy describes it."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

import pytest
from urllib3 import encode_multipart_formdata
from urllib3.fields import RequestField

from sandbox.org import Org, OrgServer, sample
from tools.template import ROOT

from .conftest import Caller, lead

SOURCE = ROOT / "salesforce" / "force-app" / "main" / "default"
XMLNS = 'xmlns="http://soap.sforce.com/2006/04/metadata"'
SET = f"""<PermissionSet {XMLNS}><label>Bridge</label>
<userPermissions><enabled>true</enabled><name>EditTask</name></userPermissions>
<userPermissions><enabled>true</enabled><name>ActivitiesAccess</name></userPermissions>
<objectPermissions><object>Lead</object><allowRead>true</allowRead><allowCreate>true</allowCreate>
</objectPermissions>%s</PermissionSet>"""
ACCESS = """<fieldPermissions><field>%s</field><readable>true</readable><editable>true</editable>
</fieldPermissions>"""


@pytest.fixture
def server() -> Iterator[OrgServer]:
    with OrgServer(Org.bare()) as running:
        yield running


def field(name: str, **properties: Any) -> str:
    values = {"label": name, "type": "Text", "length": 100, **properties}
    inner = "".join(
        f"<{n}>{escape(str(v).lower() if v is True else str(v))}</{n}>" for n, v in values.items()
    )
    return f"<fields><fullName>{name}</fullName>{inner}</fields>"


def package(files: dict[str, str], **types: list[str]) -> bytes:
    """A zip in Metadata API format."""
    listed = "".join(
        f"<types>{''.join(f'<members>{m}</members>' for m in members)}<name>{name}</name></types>"
        for name, members in types.items()
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "package.xml", f"<Package {XMLNS}>{listed}<version>68.0</version></Package>"
        )
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def the_folder() -> bytes:
    """What is in ``salesforce/``, from source format to Metadata API format."""
    files: dict[str, str] = {}
    members: list[str] = []
    for folder in (SOURCE / "objects").iterdir():
        fields = ""
        for path in sorted(folder.glob("fields/*.field-meta.xml")):
            text = path.read_text().partition("<CustomField")[2].partition(">")[2]
            fields += f"<fields>{text.replace('</CustomField>', '</fields>')}"
            members.append(f"{folder.name}.{path.name.removesuffix('.field-meta.xml')}")
        files[f"objects/{folder.name}.object"] = f"<CustomObject {XMLNS}>{fields}</CustomObject>"
    sets = []
    for path in (SOURCE / "permissionsets").glob("*.permissionset-meta.xml"):
        name = path.name.removesuffix(".permissionset-meta.xml")
        files[f"permissionsets/{name}.permissionset"] = path.read_text()
        sets.append(name)
    return package(files, CustomField=members, PermissionSet=sets)


def begin(caller: Caller, content: bytes, **options: Any) -> Any:
    part = RequestField(
        "json",
        json.dumps({"deployOptions": options}).encode(),
        headers={"Content-Type": "application/json"},
    )
    part.make_multipart(content_type="application/json")
    body, kind = encode_multipart_formdata(
        [part, ("file", ("deploy.zip", content, "application/zip"))]
    )
    return caller.call("POST", "/metadata/deployRequest", raw=body, Content_Type=kind)


def deploy(caller: Caller, content: bytes, **options: Any) -> dict[str, Any]:
    response = begin(caller, content, **options)
    assert response.status == 201, response.data
    path = f"/metadata/deployRequest/{response.json()['id']}?includeDetails=true"
    result: dict[str, Any] = caller.call("GET", path).json()["deployResult"]
    return result


def problems(result: dict[str, Any]) -> list[str]:
    return [one["problem"] for one in result["details"]["componentFailures"]]


def test_the_folder_sets_an_org_up(admin: Caller, caller: Caller, org: Org) -> None:
    result = deploy(admin, the_folder(), singlePackage=True)
    assert (result["done"], result["status"], result["success"]) == (True, "Succeeded", True)
    assert result["numberComponentErrors"] == 0
    assert result["numberComponentsDeployed"] == result["numberComponentsTotal"] > 2
    (set_id,) = [s["Id"] for s in org.records("PermissionSet") if s["Name"] == "Bird_Bridge"]
    user = org.oauth.user(sample.INTEGRATION_USER)
    assert user is not None
    org.create("PermissionSetAssignment", {"AssigneeId": user["Id"], "PermissionSetId": set_id})
    assert caller.create("Lead", **lead(Bird_Key__c="k")).status == 201
    assert (
        caller.create("Lead", **lead(Bird_Key__c="k")).json()[0]["errorCode"] == "DUPLICATE_VALUE"
    )
    again = deploy(admin, the_folder(), singlePackage=True)
    assert again["success"] is True
    assert not any(one["created"] for one in again["details"]["componentSuccesses"])


def test_a_check_changes_nothing(admin: Caller, org: Org) -> None:
    result = deploy(admin, the_folder(), checkOnly=True)
    assert (result["checkOnly"], result["success"]) == (True, True)
    assert org.schema["Lead"].field("Bird_Key__c") is None
    assert "Bird_Bridge" not in [s["Name"] for s in org.records("PermissionSet")]


def test_fields_of_activities_are_made_on_activity(admin: Caller, org: Org) -> None:
    """[C] public orgs: objects/Activity; a permission set names Task.X__c. Under Task it fails."""
    custom = field("Bird_Key__c", externalId=True, unique=True, caseSensitive=True)
    files = {"objects/Activity.object": f"<CustomObject {XMLNS}>{custom}</CustomObject>"}
    files["permissionsets/B.permissionset"] = SET % (ACCESS % "Task.Bird_Key__c")
    types = {"CustomField": ["Activity.Bird_Key__c"], "PermissionSet": ["B"]}
    assert deploy(admin, package(files, **types))["success"] is True
    assert org.schema["Event"].fields["Bird_Key__c"].unique
    rows = admin.call(
        "GET",
        "/tooling/query?q=SELECT+TableEnumOrId+FROM+CustomField+WHERE+DeveloperName='Bird_Key'",
    ).json()["records"]
    assert [row["TableEnumOrId"] for row in rows] == ["Activity"]
    (made,) = [s for s in org.records("PermissionSet") if s["Name"] == "B"]
    assert made["PermissionsEditTask"] is True
    files = {"objects/Task.object": f"<CustomObject {XMLNS}>{custom}</CustomObject>"}
    assert problems(deploy(admin, package(files, CustomField=["Task.Bird_Key__c"])))


def test_a_failure_rolls_everything_back(admin: Caller, org: Org) -> None:
    files = {
        "objects/Lead.object": f"<CustomObject {XMLNS}>{field('A__c')}</CustomObject>",
        "permissionsets/B.permissionset": SET % (ACCESS % "Lead.Nope__c"),
    }
    types = {"CustomField": ["Lead.A__c"], "PermissionSet": ["B"]}
    result = deploy(admin, package(files, **types))
    assert (result["status"], result["success"]) == ("Failed", False)
    assert problems(result) == ["In field: field - no CustomField named Lead.Nope__c found"]
    assert org.schema["Lead"].field("A__c") is None


@pytest.mark.parametrize(
    ("files", "types", "problem"),
    [
        (
            {},
            {"CustomField": ["Lead.A__c"]},
            "Entity of type 'CustomField' named 'Lead.A__c' cannot be found",
        ),
        ({"objects/Lead.object": field("A__c")}, {}, "Not in package.xml"),
        ({}, {"ApexClass": ["X"]}, "Unknown type name 'ApexClass' specified in package.xml"),
        (
            {"permissionsets/B.permissionset": ACCESS % "Lead.LastName"},
            {"PermissionSet": ["B"]},
            "You cannot deploy to a required field: Lead.LastName",
        ),
        (
            {"objects/Lead.object": field("A__c", length=256)},
            {"CustomField": ["Lead.A__c"]},
            "Text field length must be between 1 and 255",
        ),
    ],
)
def test_what_is_wrong_with_a_package(
    admin: Caller, files: dict[str, str], types: dict[str, list[str]], problem: str
) -> None:
    whole = {
        name: (SET % text)
        if "permission" in name
        else f"<CustomObject {XMLNS}>{text}</CustomObject>"
        for name, text in files.items()
    }
    found = problems(deploy(admin, package(whole, **types)))
    assert len(found) == 1
    assert re.match(re.escape(problem), found[0])


def test_only_an_administrator_may_deploy(caller: Caller) -> None:
    assert begin(caller, the_folder()).status == 403
    assert caller.call("GET", "/metadata/deployRequest/0Af000000000001").status == 403


def test_a_zip_without_a_package_and_what_is_no_zip(admin: Caller) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("readme", "x")
    assert problems(deploy(admin, content.getvalue())) == ["No package.xml found"]
    assert begin(admin, b"PK no zip").status == 400
    assert admin.call("POST", "/metadata/deployRequest", {}).status == 415
    assert admin.call("GET", "/metadata/deployRequest/0Af000000000001").status == 404
