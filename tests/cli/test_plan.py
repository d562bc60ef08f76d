"""What `setup-org` would change, and whether `salesforce/` fits the channels, the template and the
sandbox's sample org."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.conversations.look import CONVERSATION_FIELD, LAST_MESSAGE_FIELD, TASK_KEY_FIELD
from bridge.http import Http
from bridge.salesforce.session import Session
from bridge.settings import Settings
from cli.deployment.stack import find_stack
from cli.org.client import Org as View
from cli.org.definition import needed_fields, permission_set
from cli.org.plan import Plan, Planner, filled_fields, user_named
from cli.problem import Problem
from sandbox.org import Org, OrgServer
from sandbox.org.sample import ADMIN_USER, API_ONLY_USER, CLIENT_ID, INTEGRATION_USER
from tests.cli.conftest import Local
from tools.template import Template

PROJECT = Path(__file__).parents[2] / "salesforce"

NAME_PARTS = {"Lead.FirstName"}
"""A part of the required name. Whether an org offers a permission for it is not confirmed:
`setup-org` asks the org, and a file cannot."""


@pytest.fixture(scope="module")
def settings(ready_stack: Local) -> Settings:
    return find_stack(
        name=None, region=None, profile=None, local=Path(ready_stack.options[-1])
    ).settings


@contextlib.contextmanager
def planning(
    org: Org, settings: Settings, *, user: str = INTEGRATION_USER
) -> Iterator[Callable[[], Plan]]:
    """Plans for an org, by its administrator."""
    with OrgServer(org) as server:
        token = org.oauth.approve(CLIENT_ID, ADMIN_USER, "api")["access_token"]
        session = Session(token, server.url, 0)
        view = View(http=Http(), session=session, api_version=settings.api_version)
        user_id = user_named(view, user) if user else None
        fields = filled_fields(settings)
        yield lambda: Planner(org=view, settings=settings, user_id=user_id, fields=fields).plan()


def whats(plan: Plan) -> list[str]:
    return sorted(one.what for one in plan.steps)


def update(name: str, changes: dict[str, Any] | None, **which: str) -> Callable[[Org], None]:
    """Records of the org's set-up, changed; or deleted (None)."""

    def change(org: Org) -> None:
        found = [one for one in org.records(name) if which.items() <= one.items()]
        assert found
        for one in found:
            if changes is None:
                org.store.delete(name, one["Id"], {})
            else:
                org.store.update(name, one["Id"], changes)

    return change


def rights(object_name: str, changes: dict[str, Any] | None) -> Callable[[Org], None]:
    """Of the permission set on an object."""

    def change(org: Org) -> None:
        (made,) = (one for one in org.records("PermissionSet") if one["Name"] == "Bird_Bridge")
        update("ObjectPermissions", changes, ParentId=made["Id"], SobjectType=object_name)(org)

    return change


def without(holder: str, name: str, *permissions: str) -> Callable[[Org], None]:
    """A custom field was never made, so nobody has access to it."""

    def change(org: Org) -> None:
        org.remove_field(holder, name)
        for one in permissions:
            update("FieldPermissions", None, Field=one)(org)

    return change


def field(object_name: str, name: str, **traits: Any) -> Callable[[Org], object]:
    return lambda org: org.change_field(object_name, name, **traits)


DIFFERENT: dict[str, tuple[list[Callable[[Org], object]], list[str], str]] = {
    # What differs, the steps, and what a person should know
    "nothing": ([], [], ""),
    "an earlier version set it up": (
        [
            without("Activity", "Bird_Key__c", "Task.Bird_Key__c"),
            without("Case", "Bird_Conversation__c", "Case.Bird_Conversation__c"),
            update("PermissionSet", {"PermissionsEditTask": False}, Name="Bird_Bridge"),
            rights("Lead", {"PermissionsEdit": False}),
            rights("Opportunity", None),
        ],
        [
            "Allow it Edit Tasks",
            "Allow it Edit on Lead",
            "Allow it Read and View All Records on Opportunity",
            "Allow it to read and edit Case.Bird_Conversation__c",
            "Allow it to read and edit Task.Bird_Key__c",
            "Create the field Activity.Bird_Key__c (Text 100, External ID, Unique, case-sensitive)",
            "Create the field Case.Bird_Conversation__c (Text 100, External ID)",
        ],
        "",
    ),
    "a key that is not unique, and a short one": (
        [
            field("Lead", "Bird_Key__c", unique=False),
            field("Case", "Bird_Key__c", length=40),
        ],
        [
            "Make the field Case.Bird_Key__c 100 characters long",
            "Make the field Lead.Bird_Key__c Unique",
        ],
        "",
    ),
    "a conversation that is unique is named and left": (
        [field("Case", "Bird_Conversation__c", unique=True)],
        [],
        "Switch Unique off",
    ),
    "a permission set for one licence": (
        [update("PermissionSet", {"LicenseId": "100000000000001AAA"}, Name="Bird_Bridge")],
        [],
        "only users of that licence",
    ),
    "an inactive user": (
        [update("User", {"IsActive": False}, Username=INTEGRATION_USER)],
        [],
        "is not active",
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_lacks_is_planned_and_afterwards_there(settings: Settings, name: str) -> None:
    changes, steps, note = DIFFERENT[name]
    org = Org.sample()
    for change in changes:
        change(org)
    with planning(org, settings) as plan:
        found = plan()
        assert whats(found) == steps
        assert note in " ".join(found.notes) and bool(note) is bool(found.notes)
        for step in found.steps:
            step.do()
        assert whats(plan()) == []


def test_what_an_administrator_added_stays(settings: Settings) -> None:
    org = Org.sample()
    org.change_field("Lead", "Bird_Conversation__c", length=255, label="Chat", unique=False)
    org.change_field("Activity", "Bird_Key__c", length=200, unique=False)
    update("PermissionSet", {"PermissionsEditEvent": True}, Name="Bird_Bridge")(org)
    rights("Case", {"PermissionsDelete": True})(org)
    with planning(org, settings) as plan:
        (step,) = plan().steps
        step.do()
    assert step.what == "Make the field Activity.Bird_Key__c Unique"
    key = org.schema["Task"].fields["Bird_Key__c"]
    assert (key.unique, key.length) == (True, 200)
    conversation = org.schema["Lead"].fields["Bird_Conversation__c"]
    assert (conversation.length, conversation.label) == (255, "Chat")
    update("PermissionSet", {}, Name="Bird_Bridge", PermissionsEditEvent=True)(org)
    update("ObjectPermissions", {}, SobjectType="Case", PermissionsDelete=True)(org)


def test_a_field_of_another_type_is_left_alone(settings: Settings) -> None:
    org = Org.bare()
    org.add_field("Lead", "Bird_Key__c", "double")
    with planning(org, settings) as plan, pytest.raises(Problem, match="of the type") as found:
        plan()
    assert "ExternalIdField" in found.value.next_step


def test_a_user_of_the_integration_licence_gets_the_set_licence_first(settings: Settings) -> None:
    with planning(Org.bare(), settings, user=API_ONLY_USER) as plan:
        steps = plan().steps
        for step in steps:
            step.do()
        assert plan().steps == []
    *_, licence, assignment = (one.target for one in steps)
    assert licence == f"Salesforce API Integration>{API_ONLY_USER}"
    assert assignment == f"Bird_Bridge>{API_ONLY_USER}"


def test_the_fields_are_the_ones_that_conversations_need(settings: Settings) -> None:
    names = ("type", "length", "externalId", "unique", "caseSensitive", "required")
    found = {
        one.full_name: tuple(one.metadata.get(name) for name in names)
        for one in needed_fields(settings)
    }
    conversation = ("Text", 100, True, False, None, False)
    key = ("Text", 100, True, True, True, False)
    moment = ("DateTime", None, None, None, None, False)
    holders = ("Lead", "Case", "Activity")
    assert found == {
        **{f"{holder}.{CONVERSATION_FIELD}": conversation for holder in holders},
        **{f"{holder}.{TASK_KEY_FIELD}": key for holder in holders},
        **{f"{holder}.{LAST_MESSAGE_FIELD}": moment for holder in ("Lead", "Case")},
    }
    files = {one.full_name for one in needed_fields(settings._replace(attach_media=True))}
    assert files - set(found) == {"ContentVersion.Bird_Key__c"}


def test_the_field_permissions_are_those_of_setup_org(settings: Settings) -> None:
    """`setup-org` adds the fields of the table of channels: the folder has them for `sf`."""
    with planning(Org.bare(), settings._replace(attach_media=True), user="") as plan:
        found = plan()
    planned = {one.target for one in found.steps if one.what.startswith("Allow it to read")}
    listed = {f"{name}.{one}" for name, names in permission_set().fields.items() for one in names}
    assert listed == planned - NAME_PARTS
    assert "assigned to nobody" in found.notes[-1]


def test_the_sample_org_has_what_files_need(settings: Settings) -> None:
    with planning(Org.sample(), settings._replace(attach_media=True)) as plan:
        assert (whats(plan()), plan().notes) == ([], [])


def test_the_project_has_the_templates_api_version() -> None:
    project = json.loads((PROJECT / "sfdx-project.json").read_text(encoding="utf-8"))
    assert f"v{project['sourceApiVersion']}" == Template.load().parameters({})["ApiVersion"]
