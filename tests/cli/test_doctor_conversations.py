"""`doctor`: what conversations need in the org, and the next step for each thing that lacks."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.org.sample import INTEGRATION_USER
from tests.cli.conftest import Local, deployed_with
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
NO_EDIT = ("Create", "Read", "ViewAllRecords")


def examine(local: Local) -> Checks:
    result = run("doctor", "--json", *local.options)
    return {one["check"]: one for one in result.json()["checks"]}


def change_set(local: Local, **changes: Any) -> None:
    """Change the permission set Bird_Bridge."""
    (found,) = [one for one in local.org.records("PermissionSet") if one["Name"] == "Bird_Bridge"]
    local.org.store.update("PermissionSet", found["Id"], changes)


def test_an_org_that_is_set_up_has_all_of_it(connected: Local) -> None:
    checks = examine(connected)
    assert {name: checks[name]["state"] for name in ALWAYS} == dict.fromkeys(ALWAYS, "good")
    assert "reply-status" not in checks
    assert "case-comments" not in checks


def test_with_conversations_off_none_of_it_is_needed(own_org: Local) -> None:
    own_org.org.remove_field("Activity", "Bird_Conversation__c")
    with deployed_with(own_org, CONVERSATIONS="off"):
        checks = examine(own_org)
    assert checks["conversations"]["state"] == "good"
    assert not ALWAYS & set(checks)


def test_without_a_key_field_there_are_none(connected: Local) -> None:
    with deployed_with(connected, EXTERNAL_ID_FIELD=""):
        checks = examine(connected)
    assert checks["conversations"]["state"] == "note"
    assert "ExternalIdField" in checks["conversations"]["message"]


HIDDEN = {
    "lead-conversation": ("Lead", "Bird_Conversation__c", "Bird_Last_Message__c"),
    "case-conversation": ("Case", "Bird_Conversation__c", "Bird_Last_Message__c", "ParentId"),
    "task": ("Activity", "Bird_Conversation__c", "Bird_Key__c", "WhoId"),
}


@pytest.mark.parametrize("check", HIDDEN)
def test_fields_that_are_hidden_are_named(own_org: Local, check: str) -> None:
    object_name, *names = HIDDEN[check]
    for name in names:
        own_org.org.hide_field(object_name, name, user=INTEGRATION_USER)
    checks = examine(own_org)
    assert [one for one in ALWAYS if checks[one]["state"] != "good"] == [check]
    assert checks[check]["state"] == "bad"
    assert all(f".{name}" in checks[check]["message"] for name in names)
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
    own_org: Local, object_name: str, name: str, traits: dict[str, Any], check: str, words: str
) -> None:
    own_org.org.change_field(object_name, name, **traits)
    checks = examine(own_org)
    assert checks[check]["state"] == "bad"
    assert words in checks[check]["message"]
    assert "setup-org" in checks[check]["nextStep"]


def test_what_setup_org_cannot_mend_is_for_a_person(own_org: Local) -> None:
    own_org.org.change_field("Lead", "Bird_Conversation__c", unique=True)
    own_org.org.change_field("Case", "Bird_Last_Message__c", type="date")
    checks = examine(own_org)
    assert "switch Unique off" in checks["lead-conversation"]["nextStep"]
    assert "rename or delete" in checks["case-conversation"]["nextStep"]


@pytest.mark.parametrize(
    ("permission", "words"),
    [("PermissionsActivitiesAccess", "Access Activities"), ("PermissionsEditTask", "Edit Tasks")],
)
def test_a_user_permission_that_lacks(own_org: Local, permission: str, words: str) -> None:
    change_set(own_org, **{permission: False})
    checks = examine(own_org)
    assert checks["task"]["state"] == "bad"
    assert words in checks["task"]["message"]
    assert "setup-org" in checks["task"]["nextStep"]


def test_no_right_to_edit(own_org: Local) -> None:
    own_org.org.set_object_rights("Lead", *NO_EDIT, user=INTEGRATION_USER)
    checks = examine(own_org)
    assert checks["lead-conversation"]["state"] == "bad"
    assert "may not edit a Lead" in checks["lead-conversation"]["message"]
    assert checks["case-conversation"]["state"] == "good"


def test_no_access_to_what_a_lead_becomes(own_org: Local) -> None:
    names = ("Contact", "Account", "Opportunity")
    for name in names:
        own_org.org.set_object_rights(name, user=INTEGRATION_USER)
    checks = examine(own_org)
    assert checks["converted"]["state"] == "bad"
    assert all(name in checks["converted"]["message"] for name in names)
    assert "setup-org" in checks["converted"]["nextStep"]


def test_view_all_where_the_rights_show_it(own_org: Local) -> None:
    assert examine(own_org)["view-all"]["state"] == "unknown"
    change_set(own_org, PermissionsViewSetup=True)
    assert examine(own_org)["view-all"]["state"] == "good"
    own_org.org.set_object_rights("Contact", "Read", user=INTEGRATION_USER)
    checks = examine(own_org)
    assert checks["view-all"]["state"] == "bad"
    assert "Contact" in checks["view-all"]["message"]
    assert "Lead" not in checks["view-all"]["message"]


STATUSES = {
    "reopen-status": "REOPEN_STATUS",
    "reply-status": "CASE_STATUS_ON_REPLY",
    "lead-statuses": "CLOSED_LEAD_STATUSES",
}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            ("Reopened", "Replied", "Done"),
            ("Reopened is not there", "Replied is not there", "no lead status Done"),
        ),
        (
            ("Closed", "Closed", "Closed - Not Converted,Done"),
            ("Closed is not open", "Closed is not open", "no lead status Done"),
        ),
        (("Working", "Escalated", "Unqualified"), ("", "", "no lead status Unqualified")),
        (("Working", "Escalated", "Closed - Not Converted"), ("", "", "")),
        (("Working", "Escalated", ""), ("", "", "")),
    ],
)
def test_a_status_that_is_not_right_is_named(
    connected: Local, values: tuple[str, ...], words: tuple[str, ...]
) -> None:
    with deployed_with(connected, **dict(zip(STATUSES.values(), values, strict=True))):
        checks = examine(connected)
    for check, wrong in zip(STATUSES, words, strict=True):
        assert checks[check]["state"] == ("note" if wrong else "good")
        assert wrong in checks[check]["message"]
        assert ("Deploy with" in checks[check]["nextStep"]) is bool(wrong)


def test_a_status_of_reopening_is_not_needed_where_nothing_is_reopened(connected: Local) -> None:
    with deployed_with(connected, REOPEN_DAYS="0", REOPEN_STATUS="Nowhere"):
        assert "reopen-status" not in examine(connected)


def test_an_org_whose_tasks_are_done_under_another_name(own_org: Local) -> None:
    (done,) = [one for one in own_org.org.records("TaskStatus") if one["ApiName"] == "Completed"]
    changes = {"ApiName": "Erledigt", "MasterLabel": "Erledigt"}
    own_org.org.store.update("TaskStatus", done["Id"], changes)
    found = examine(own_org)["task-status"]
    assert found["state"] == "note"
    assert "Completed is not there" in found["message"]
    assert "Erledigt" in found["nextStep"]
    assert "channels.json" in found["nextStep"]


def test_comments_where_they_are_on(own_org: Local) -> None:
    with deployed_with(own_org, CASE_COMMENTS="on"):
        assert examine(own_org)["case-comments"]["state"] == "good"
        own_org.org.set_object_rights("Case", *NO_EDIT, user=INTEGRATION_USER)
        found = examine(own_org)["case-comments"]
    assert found["state"] == "bad"
    assert "CaseComments=off" in found["nextStep"]
