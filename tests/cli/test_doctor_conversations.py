"""`doctor`: what conversations need in the org, and the next step for each thing that lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.org.sample import INTEGRATION_USER
from tests.cli.conftest import Local
from tests.cli.program import run

Checks = dict[str, dict[str, str]]
ALWAYS = {
    "lead-conversation",
    "case-conversation",
    "task",
    "converted",
    "task-status",
    "lead-statuses",
    "reopen-status",
}


@pytest.fixture
def connected(ready: Local) -> Local:
    """A stack that is connected and had its first token."""
    ready.stack.connect()
    ready.stack.invoke("refresh_token", {"refused_generation": None})
    return ready


def examine(local: Local) -> Checks:
    result = run("doctor", "--json", *local.options)
    return {one["check"]: one for one in result.json()["checks"]}


@contextmanager
def deployed_with(local: Local, **variables: str) -> Iterator[None]:
    """The stack as it would be with other parameters."""
    at = local.options.index("--local-file") + 1
    file = Path(local.options[at]).with_name("env.json")
    text = file.read_text()
    environment = json.loads(text)
    environment["RefreshToken"].update(variables)
    file.write_text(json.dumps(environment))
    try:
        yield
    finally:
        file.write_text(text)


@contextmanager
def field_changed(local: Local, object_name: str, name: str, **traits: Any) -> Iterator[None]:
    kind = local.org.schema["Task" if object_name == "Activity" else object_name]
    before = kind.fields[name]
    local.org.change_field(object_name, name, **traits)
    try:
        yield
    finally:
        local.org.change_field(
            object_name, name, **{trait: getattr(before, trait) for trait in traits}
        )


def change_set(local: Local, **changes: Any) -> None:
    """Change the permission set Bird_Bridge."""
    (found,) = [one for one in local.org.records("PermissionSet") if one["Name"] == "Bird_Bridge"]
    local.org.store.update("PermissionSet", found["Id"], changes)


def test_an_org_that_is_set_up_has_all_of_it(connected: Local) -> None:
    checks = examine(connected)
    assert {name: checks[name]["state"] for name in ALWAYS} == dict.fromkeys(ALWAYS, "good")
    assert "reply-status" not in checks
    assert "case-comments" not in checks


def test_with_conversations_off_none_of_it_is_needed(connected: Local) -> None:
    connected.org.remove_field("Activity", "Bird_Conversation__c")
    with deployed_with(connected, CONVERSATIONS="off"):
        checks = examine(connected)
    connected.org.add_field(
        "Activity",
        "Bird_Conversation__c",
        length=100,
        external_id=True,
        visible_to=(INTEGRATION_USER,),
    )
    assert checks["conversations"]["state"] == "good"
    assert not ALWAYS & set(checks)


def test_without_a_key_field_there_are_none(connected: Local) -> None:
    with deployed_with(connected, EXTERNAL_ID_FIELD=""):
        checks = examine(connected)
    assert checks["conversations"]["state"] == "note"
    assert "ExternalIdField" in checks["conversations"]["message"]


@pytest.mark.parametrize(
    ("object_name", "name", "check"),
    [
        ("Lead", "Bird_Conversation__c", "lead-conversation"),
        ("Lead", "Bird_Last_Message__c", "lead-conversation"),
        ("Case", "Bird_Conversation__c", "case-conversation"),
        ("Case", "Bird_Last_Message__c", "case-conversation"),
        ("Case", "ParentId", "case-conversation"),
        ("Activity", "Bird_Conversation__c", "task"),
        ("Activity", "Bird_Key__c", "task"),
        ("Activity", "WhoId", "task"),
    ],
)
def test_a_field_that_is_hidden(connected: Local, object_name: str, name: str, check: str) -> None:
    connected.org.hide_field(object_name, name, user=INTEGRATION_USER)
    try:
        checks = examine(connected)
    finally:
        connected.org.show_field(object_name, name, user=INTEGRATION_USER)
    assert [one for one in ALWAYS if checks[one]["state"] != "good"] == [check]
    assert checks[check]["state"] == "bad"
    assert f".{name}" in checks[check]["message"]
    assert "setup-org" in checks[check]["nextStep"]


@pytest.mark.parametrize(
    ("object_name", "name", "traits", "check", "words"),
    [
        ("Activity", "Bird_Key__c", {"unique": False}, "task", "is not Unique"),
        ("Activity", "Bird_Key__c", {"external_id": False}, "task", "no External ID"),
        ("Activity", "Bird_Key__c", {"length": 40}, "task", "too short (40 characters)"),
        ("Case", "Bird_Conversation__c", {"unique": True}, "case-conversation", "is Unique"),
        (
            "Lead",
            "Bird_Last_Message__c",
            {"type": "string", "length": 40},
            "lead-conversation",
            "the type string instead of Date/Time",
        ),
    ],
)
def test_a_field_that_is_otherwise(
    connected: Local,
    object_name: str,
    name: str,
    traits: dict[str, Any],
    check: str,
    words: str,
) -> None:
    with field_changed(connected, object_name, name, **traits):
        checks = examine(connected)
    assert checks[check]["state"] == "bad"
    assert words in checks[check]["message"]
    assert "setup-org" in checks[check]["nextStep"]


def test_what_setup_org_cannot_mend_is_for_a_person(connected: Local) -> None:
    with field_changed(connected, "Lead", "Bird_Conversation__c", unique=True):
        step = examine(connected)["lead-conversation"]["nextStep"]
    assert "switch Unique off" in step
    with field_changed(connected, "Lead", "Bird_Last_Message__c", type="date"):
        step = examine(connected)["lead-conversation"]["nextStep"]
    assert "rename or delete" in step


@pytest.mark.parametrize(
    ("permission", "words"),
    [("PermissionsActivitiesAccess", "Access Activities"), ("PermissionsEditTask", "Edit Tasks")],
)
def test_a_user_permission_that_lacks(connected: Local, permission: str, words: str) -> None:
    change_set(connected, **{permission: False})
    try:
        checks = examine(connected)
    finally:
        change_set(connected, **{permission: True})
    assert checks["task"]["state"] == "bad"
    assert words in checks["task"]["message"]
    assert "setup-org" in checks["task"]["nextStep"]


def test_no_right_to_edit(connected: Local) -> None:
    rights = ("Create", "Read", "ViewAllRecords")
    connected.org.set_object_rights("Lead", *rights, user=INTEGRATION_USER)
    try:
        checks = examine(connected)
    finally:
        connected.org.set_object_rights("Lead", "Edit", *rights, user=INTEGRATION_USER)
    assert checks["lead-conversation"]["state"] == "bad"
    assert "may not edit a Lead" in checks["lead-conversation"]["message"]
    assert checks["case-conversation"]["state"] == "good"


@pytest.mark.parametrize("name", ["Contact", "Account", "Opportunity"])
def test_no_access_to_what_a_lead_becomes(connected: Local, name: str) -> None:
    connected.org.set_object_rights(name, user=INTEGRATION_USER)
    try:
        checks = examine(connected)
    finally:
        connected.org.set_object_rights(name, "Read", "ViewAllRecords", user=INTEGRATION_USER)
    assert checks["converted"]["state"] == "bad"
    assert name in checks["converted"]["message"]
    assert "setup-org" in checks["converted"]["nextStep"]


def test_view_all_where_the_rights_show_it(connected: Local) -> None:
    assert examine(connected)["view-all"]["state"] == "unknown"
    change_set(connected, PermissionsViewSetup=True)
    try:
        assert examine(connected)["view-all"]["state"] == "good"
        connected.org.set_object_rights("Contact", "Read", user=INTEGRATION_USER)
        checks = examine(connected)
    finally:
        change_set(connected, PermissionsViewSetup=False)
        connected.org.set_object_rights("Contact", "Read", "ViewAllRecords", user=INTEGRATION_USER)
    assert checks["view-all"]["state"] == "bad"
    assert "Contact" in checks["view-all"]["message"]
    assert "Lead" not in checks["view-all"]["message"]


@pytest.mark.parametrize(
    ("variables", "check", "words"),
    [
        ({"REOPEN_STATUS": "Reopened"}, "reopen-status", "Reopened is not there"),
        ({"REOPEN_STATUS": "Closed"}, "reopen-status", "Closed is not open"),
        ({"CASE_STATUS_ON_REPLY": "Replied"}, "reply-status", "Replied is not there"),
        ({"CASE_STATUS_ON_REPLY": "Closed"}, "reply-status", "Closed is not open"),
        ({"CLOSED_LEAD_STATUSES": "Done"}, "lead-statuses", "no lead status Done"),
        (
            {"CLOSED_LEAD_STATUSES": "Closed - Not Converted,Done"},
            "lead-statuses",
            "no lead status Done",
        ),
        ({"CLOSED_LEAD_STATUSES": "Unqualified"}, "lead-statuses", "no lead status Unqualified"),
    ],
)
def test_a_status_that_is_not_right(
    connected: Local, variables: dict[str, str], check: str, words: str
) -> None:
    with deployed_with(connected, **variables):
        found = examine(connected)[check]
    assert found["state"] == "note"
    assert words in found["message"]
    assert "Deploy with" in found["nextStep"]


@pytest.mark.parametrize(
    ("variables", "check"),
    [
        ({"REOPEN_STATUS": "Working"}, "reopen-status"),
        ({"CASE_STATUS_ON_REPLY": "Escalated"}, "reply-status"),
        ({"CLOSED_LEAD_STATUSES": "Closed - Not Converted"}, "lead-statuses"),
        ({"CLOSED_LEAD_STATUSES": ""}, "lead-statuses"),
    ],
)
def test_a_status_that_is_right(connected: Local, variables: dict[str, str], check: str) -> None:
    with deployed_with(connected, **variables):
        assert examine(connected)[check]["state"] == "good"


def test_a_status_of_reopening_is_not_needed_where_nothing_is_reopened(connected: Local) -> None:
    with deployed_with(connected, REOPEN_DAYS="0", REOPEN_STATUS="Nowhere"):
        assert "reopen-status" not in examine(connected)


def test_an_org_whose_tasks_are_done_under_another_name(connected: Local) -> None:
    (done,) = [one for one in connected.org.records("TaskStatus") if one["ApiName"] == "Completed"]
    changes = {"ApiName": "Erledigt", "MasterLabel": "Erledigt"}
    connected.org.store.update("TaskStatus", done["Id"], changes)
    try:
        found = examine(connected)["task-status"]
    finally:
        before = {"ApiName": "Completed", "MasterLabel": "Completed"}
        connected.org.store.update("TaskStatus", done["Id"], before)
    assert found["state"] == "note"
    assert "Completed is not there" in found["message"]
    assert "Erledigt" in found["nextStep"]
    assert "channels.json" in found["nextStep"]


def test_comments_where_they_are_on(connected: Local) -> None:
    with deployed_with(connected, CASE_COMMENTS="on"):
        assert examine(connected)["case-comments"]["state"] == "good"
        rights = ("Create", "Read", "ViewAllRecords")
        connected.org.set_object_rights("Case", *rights, user=INTEGRATION_USER)
        try:
            found = examine(connected)["case-comments"]
        finally:
            connected.org.set_object_rights("Case", "Edit", *rights, user=INTEGRATION_USER)
    assert found["state"] == "bad"
    assert "CaseComments=off" in found["nextStep"]
