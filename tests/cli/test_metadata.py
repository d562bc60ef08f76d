"""`salesforce/` for the `sf` command line says the same as `setup-org` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bridge.http import Http
from bridge.salesforce.session import Session
from cli.deployment.stack import find_stack
from cli.org.client import Org as View
from cli.org.plan import (
    OBJECT_RIGHTS,
    PERMISSION_SET,
    PERMISSION_SET_DESCRIPTION,
    PERMISSION_SET_LABEL,
    Planner,
    filled_fields,
    key_metadata,
)
from sandbox.org import Org, OrgServer
from sandbox.org.sample import ADMIN_USER, CLIENT_ID
from tests.cli.conftest import Local
from tools.template import Template

PROJECT = Path(__file__).parents[2] / "salesforce"
SOURCE = PROJECT / "force-app" / "main" / "default"
NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"

NAME_PARTS = {"Lead.FirstName"}
"""A part of the required name. Whether an org offers a permission for it is not confirmed:
`setup-org` asks the org, and a file cannot."""


def read(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))


def values(element: ElementTree.Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        text = child.text or ""
        name = child.tag.removeprefix(NAMESPACE)
        found[name] = {"true": True, "false": False}.get(text, text)
    return found


def permission_set() -> ElementTree.Element:
    return read(SOURCE / "permissionsets" / f"{PERMISSION_SET}.permissionset-meta.xml")


def planned_fields(ready: Local) -> set[str]:
    """The fields that `setup-org` would give access to in an org that has nothing."""
    file = Path(ready.options[-1])
    settings = find_stack(name=None, region=None, profile=None, local=file).settings
    with OrgServer(Org.bare()) as server:
        token = server.org.oauth.approve(CLIENT_ID, ADMIN_USER, "api")["access_token"]
        view = View(
            http=Http(),
            session=Session(token, server.url, 0),
            api_version=settings.api_version,
        )
        planner = Planner(org=view, settings=settings, user_id=None, fields=filled_fields(settings))
        steps = planner.plan().steps
    return {step.target for step in steps if step.what.startswith("Allow it to read and edit")}


@pytest.mark.parametrize("object_name", ["Lead", "Case"])
def test_the_key_field_is_the_same(object_name: str) -> None:
    field = values(read(SOURCE / "objects" / object_name / "fields" / "Bird_Key__c.field-meta.xml"))
    assert field.pop("fullName") == "Bird_Key__c"
    field["length"] = int(field["length"])
    assert field == key_metadata("Bird_Key__c")


def test_the_permission_set_is_the_same() -> None:
    root = permission_set()
    found = values(root)
    assert found["label"] == PERMISSION_SET_LABEL
    assert found["description"] == PERMISSION_SET_DESCRIPTION
    assert "license" not in found


def test_the_object_rights_are_the_same() -> None:
    names = {
        "PermissionsCreate": "allowCreate",
        "PermissionsRead": "allowRead",
        "PermissionsEdit": "allowEdit",
        "PermissionsViewAllRecords": "viewAllRecords",
    }
    wanted = {names[right] for right in OBJECT_RIGHTS}
    found = {}
    for element in permission_set().iter(f"{NAMESPACE}objectPermissions"):
        granted = values(element)
        object_name = granted.pop("object")
        found[object_name] = {name for name, allowed in granted.items() if allowed}
    assert found == {"Lead": wanted, "Case": wanted}


def test_the_field_permissions_are_the_same(ready: Local) -> None:
    found = set()
    for element in permission_set().iter(f"{NAMESPACE}fieldPermissions"):
        granted = values(element)
        assert granted["editable"]
        assert granted["readable"]
        found.add(granted["field"])
    assert found == planned_fields(ready) - NAME_PARTS


def test_the_project_has_the_templates_api_version() -> None:
    project = json.loads((PROJECT / "sfdx-project.json").read_text(encoding="utf-8"))
    assert f"v{project['sourceApiVersion']}" == Template.load().parameters({})["ApiVersion"]
