"""Tasks, comments, closing, converting, merging, deleting: the life of a record after its creation.

Sources as in `test_captures`: [O] Salesforce's documentation, [C] captures and public code, [K]
general knowledge that no public source confirms.
"""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.org import Org, sample
from sandbox.org.errors import Refused

from .conftest import Caller, composite, lead, problem, sub, typed, user_id


def task(org: Org, **fields: Any) -> str:
    return org.create("Task", {"Subject": "x", **fields})


# --- tasks --------------------------------------------------------------------------------


def test_a_field_of_activity_is_one_of_task_and_of_event(admin: Caller, org: Org) -> None:
    """[C] objects/Activity/fields in public orgs: one definition, both objects."""
    for name in ("Task", "Event"):
        fields = admin.call("GET", f"/sobjects/{name}/describe").json()["fields"]
        found = next(f for f in fields if f["name"] == "Bird_Key__c")
        assert (found["unique"], found["externalId"]) == (True, True)
    made = admin.create("Task", Subject="x", Bird_Key__c="k").json()["id"]
    event = {"ActivityDateTime": "2026-11-30T14:03:07Z", "DurationInMinutes": 5}
    assert problem(admin.create("Event", Bird_Key__c="k", **event))[1:3] == (
        "DUPLICATE_VALUE",
        f"duplicate value found: Bird_Key__c duplicates value on record with id: {made}",
    )
    assert admin.call("GET", "/sobjects/Task/Bird_Key__c/k?fields=Id").json()["Id"] == made
    assert admin.call("GET", "/sobjects/Activity/describe").status == 404


@pytest.mark.parametrize(
    ("permissions", "reads", "creates"),
    [
        ((), False, False),
        (("ActivitiesAccess",), True, False),
        (("EditTask",), False, False),
        (("ActivitiesAccess", "EditTask"), True, True),
    ],
)
def test_tasks_need_user_permissions_and_no_object_permissions(
    caller: Caller, org: Org, permissions: tuple[str, ...], reads: bool, creates: bool
) -> None:
    """[K] Access Activities and Edit Tasks; activities have no object permissions."""
    (set_id,) = [s["Id"] for s in org.records("PermissionSet") if s["Name"] == "Bird_Bridge"]
    both = {"ActivitiesAccess", "EditTask"}
    rights = {f"Permissions{name}": name in permissions for name in both}
    org.update("PermissionSet", set_id, rights)
    assert (caller.query("SELECT Id FROM Task").status == 200) is reads
    status, code = caller.create("Task").status, caller.create("Task").json()
    assert (status == 201) is creates, code
    with pytest.raises(Refused, match="SObject Type Name"):
        org.create(
            "ObjectPermissions",
            {"ParentId": set_id, "SobjectType": "Task", "PermissionsRead": True},
        )


def test_a_task_of_a_lead_has_no_what(admin: Caller, org: Org) -> None:
    """[K] WhatId never with a lead; a case, an account, an opportunity with a contact."""
    made = org.create("Lead", lead())
    case = org.create("Case", {})
    assert problem(admin.create("Task", WhoId=made, WhatId=case))[3] == ["WhatId"]
    contact = org.create("Contact", {"LastName": "J"})
    assert admin.create("Task", WhoId=contact, WhatId=case).status == 201
    assert admin.create("Task", WhatId=made).json()[0]["errorCode"] == "FIELD_INTEGRITY_EXCEPTION"


def test_statuses_say_what_they_mean(caller: Caller, org: Org) -> None:
    """[O] CaseStatus, LeadStatus, TaskStatus; every user of the API may read them."""
    rows = caller.query("SELECT ApiName, IsClosed FROM CaseStatus WHERE IsClosed = true").json()
    assert [r["ApiName"] for r in rows["records"]] == ["Closed"]
    rows = caller.query("SELECT ApiName FROM TaskStatus WHERE IsClosed = true").json()
    assert [r["ApiName"] for r in rows["records"]] == ["Completed"]
    rows = caller.query("SELECT ApiName FROM LeadStatus WHERE IsConverted = true").json()
    assert [r["ApiName"] for r in rows["records"]] == ["Closed - Converted"]
    org.add_status("Case", "Solved", closed=True)
    made = org.create("Case", {"Status": "Solved"})
    assert (org.get("Case", made) or {})["IsClosed"] is True
    names = [row["ApiName"] for row in org.query("SELECT ApiName FROM CaseStatus")]
    assert names == ["New", "Working", "Escalated", "Closed", "Solved"]


def test_queues_and_record_types_can_be_looked_up(caller: Caller, org: Org) -> None:
    """[O] QueueSobject, RecordType and describe's recordTypeInfos."""
    queue = org.add_queue("Complaints", "Case")
    text = "SELECT Queue.Name FROM QueueSobject WHERE SobjectType = 'Case' ORDER BY Queue.Name"
    rows = caller.query(text).json()["records"]
    assert [row["Queue"]["Name"] for row in rows] == ["Complaints", "Messages"]
    kind = org.add_record_type("Case", "Complaint")
    found = caller.query("SELECT Id FROM RecordType WHERE SobjectType = 'Case'").json()["records"]
    assert [row["Id"] for row in found] == [kind]
    made = caller.create("Case", RecordTypeId=kind).json()["id"]
    text = f"SELECT RecordType.DeveloperName FROM Case WHERE Id = '{made}'"
    (row,) = caller.query(text).json()["records"]
    assert row["RecordType"]["DeveloperName"] == "Complaint"
    infos = caller.call("GET", "/sobjects/Case/describe").json()["recordTypeInfos"]
    assert [(i["name"], i["master"]) for i in infos] == [("Complaint", False), ("Master", True)]
    assert queue != kind


def test_what_an_activity_hangs_on_can_be_queried(admin: Caller, org: Org) -> None:
    """[O] polymorphic relationships: Who, What and Owner have Type and Name."""
    made, case = org.create("Lead", lead()), org.create("Case", {})
    task(org, WhoId=made)
    task(org, WhatId=case)
    text = "SELECT Who.Type, Who.Name, What.Type, What.Name, Owner.Type FROM Task ORDER BY Id"
    first, second = sorted(admin.query(text).json()["records"], key=lambda r: r["Who"] is None)
    assert (first["Who"]["Type"], first["Who"]["Name"]) == ("Lead", "Jansen")
    assert first["Owner"]["Type"] == "User"
    assert (second["What"]["Type"], second["What"]["Name"]) == ("Case", "00001001")
    found = admin.query("SELECT Id FROM Task WHERE What.Type = 'Case'").json()
    assert found["totalSize"] == 1
    org.update("Lead", made, {"OwnerId": org.records("Group")[0]["Id"]})
    (row,) = org.query(f"SELECT Owner.Type FROM Lead WHERE Id = '{made}'")
    assert row["Owner"]["Type"] == "Queue"
    refused = admin.query("SELECT Who.Company FROM Task")
    assert problem(refused)[1] == "INVALID_FIELD"


def test_a_hidden_parent_cannot_be_named_and_hides_its_tasks(caller: Caller, org: Org) -> None:
    """[C] INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY; [K] activities follow their parent."""
    (set_id,) = [s["Id"] for s in org.records("PermissionSet") if s["Name"] == "Bird_Bridge"]
    rights = {"PermissionsActivitiesAccess": True, "PermissionsEditTask": True}
    org.update("PermissionSet", set_id, rights)
    org.show_field("Task", "WhatId", user=sample.INTEGRATION_USER)
    org.settings.private = ["Case"]
    org.set_object_rights("Case", "Create", "Read", user=sample.INTEGRATION_USER)
    case = org.create("Case", {})
    task(org, WhatId=case)
    assert caller.query("SELECT Id FROM Task").json()["totalSize"] == 0
    assert problem(caller.create("Task", WhatId=case)) == (
        400,
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
        f"insufficient access rights on cross-reference id: {case}",
        [],
    )
    org.set_object_rights("Case", "Read", "ViewAllRecords", user=sample.INTEGRATION_USER)
    assert caller.create("Task", WhatId=case).status == 201
    assert caller.query("SELECT Id FROM Task").json()["totalSize"] == 2


# --- comments, closing, reopening ---------------------------------------------------------


def test_a_comment_has_4000_bytes(admin: Caller, org: Org) -> None:
    """[O] CommentBody: 4,000 bytes, not characters."""
    case = org.create("Case", {})
    good = {"ParentId": case, "CommentBody": "é" * 2000, "IsPublished": False}
    assert admin.create("CaseComment", **good).status == 201
    long = {"ParentId": case, "CommentBody": "é" * 2001}
    assert problem(admin.create("CaseComment", **long))[1] == "STRING_TOO_LONG"
    other = org.create("Case", {})
    made = org.records("CaseComment")[0]["Id"]
    response = admin.call("PATCH", f"/sobjects/CaseComment/{made}", {"ParentId": other})
    assert problem(response)[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"


# --- assignment on changes ----------------------------------------------------------------


@pytest.mark.parametrize(("header", "taken"), [("", True), ("TRUE", True), ("FALSE", False)])
def test_a_change_runs_the_assignment_rule_too(
    admin: Caller, org: Org, header: str, taken: bool
) -> None:
    """[O] Sforce-Auto-Assign: TRUE is the default of updates as well."""
    org.add_assignment_rule("Case", user_id(org, sample.SALES_USER))
    made = org.create("Case", {}, auto_assign=False)
    agent = user_id(org, sample.ADMIN_USER)
    org.update("Case", made, {"OwnerId": agent})
    headers: dict[str, Any] = {"Sforce_Auto_Assign": header} if header else {}
    assert admin.call("PATCH", f"/sobjects/Case/{made}", {"Subject": "x"}, **headers).status == 204
    owner = (org.get("Case", made) or {})["OwnerId"]
    assert owner == (user_id(org, sample.SALES_USER) if taken else agent)


# --- conversion ---------------------------------------------------------------------------


def test_a_conversion_makes_three_records_and_moves_the_tasks(org: Org) -> None:
    """[O] activities move to contact, account, opportunity."""
    made = org.create("Lead", lead(FirstName="Anna", Phone="+31201234567", Bird_Key__c="k"))
    logged = task(org, WhoId=made, Bird_Key__c="t")
    done = org.convert(made)
    assert org.get("Lead", made) is not None
    converted = org.get("Lead", made) or {}
    assert converted["IsConverted"] is True
    assert converted["Status"] == "Closed - Converted"
    assert converted["ConvertedContactId"] == done.contact_id
    assert converted["ConvertedAccountId"] == done.account_id
    assert converted["ConvertedOpportunityId"] == done.opportunity_id
    contact = org.get("Contact", done.contact_id) or {}
    assert (contact["Name"], contact["Phone"]) == ("Anna Jansen", "+31201234567")
    assert contact["AccountId"] == done.account_id
    assert (org.get("Account", done.account_id) or {})["Name"] == "Individual"
    moved = org.get("Task", logged) or {}
    assert (moved["WhoId"], moved["WhatId"]) == (done.contact_id, done.opportunity_id)
    assert moved["AccountId"] == done.account_id
    assert org.find("Task", "t") is not None
    with pytest.raises(Refused, match="CANNOT_UPDATE_CONVERTED_LEAD"):
        org.convert(made)


# --- merge --------------------------------------------------------------------------------


def test_merged_cases_leave_tasks_comments_and_children(org: Org) -> None:
    master, loser = org.create("Case", {}), org.create("Case", {"Comments": "internal"})
    child = org.create("Case", {"ParentId": loser})
    logged = task(org, WhatId=loser)
    org.merge("Case", master, loser)
    assert (org.get("Task", logged) or {})["WhatId"] == master
    assert [c["ParentId"] for c in org.records("CaseComment")] == [master]
    assert (org.get("Case", child) or {})["ParentId"] == master
    assert org.records("Case", deleted=True)[0]["MasterRecordId"] == master


# --- deleting -----------------------------------------------------------------------------


def test_what_belongs_to_a_record_is_deleted_with_it_and_comes_back_with_it(
    admin: Caller, org: Org
) -> None:
    """[K] activities and comments of a deleted record are in the recycle bin too."""
    case = org.create("Case", {"Comments": "x", "Bird_Key__c": "c"})
    logged = task(org, WhatId=case, Bird_Key__c="t")
    child = org.create("Case", {"ParentId": case})
    assert admin.call("DELETE", f"/sobjects/Case/{case}").status == 204
    assert org.records("Task") == org.records("CaseComment") == []
    assert (org.get("Case", child) or {}).get("ParentId") is None
    text = "SELECT Id, IsDeleted FROM Task WHERE Bird_Key__c = 't'"
    assert admin.query(text).json()["totalSize"] == 0
    (row,) = admin.query(text, resource="queryAll").json()["records"]
    assert (row["Id"], row["IsDeleted"]) == (logged, True)
    org.undelete("Case", case)
    assert [r["Id"] for r in org.records("Task")] == [logged]
    assert len(org.records("CaseComment")) == 1


def test_a_record_whose_key_was_given_away_does_not_come_back(org: Org) -> None:
    made = org.create("Lead", lead(Bird_Key__c="k"))
    org.delete("Lead", made)
    org.create("Lead", lead(Bird_Key__c="k"))
    with pytest.raises(Refused, match="DUPLICATE_VALUE"):
        org.undelete("Lead", made)


def test_a_task_with_a_contact_and_a_case_lives_as_long_as_one_of_them(org: Org) -> None:
    """[K]"""
    contact, case = org.create("Contact", {"LastName": "J"}), org.create("Case", {})
    logged = task(org, WhoId=contact, WhatId=case)
    org.delete("Contact", contact)
    assert (org.get("Task", logged) or {}).get("WhoId") is None
    org.delete("Case", case)
    assert org.records("Task") == []


def test_a_look_up_to_a_deleted_record(admin: Caller, org: Org) -> None:
    case = org.create("Case", {})
    org.delete("Case", case)
    for name, fields in (
        ("Task", {"WhatId": case}),
        ("CaseComment", {"ParentId": case, "CommentBody": "x"}),
    ):
        assert problem(admin.create(name, **fields)) == (
            400,
            "ENTITY_IS_DELETED",
            "entity is deleted",
            [],
        )


def test_an_upsert_by_a_query_in_the_same_composite(admin: Caller, org: Org) -> None:
    """[O] references into query results, at any depth of a body."""
    made = org.create("Lead", lead(Bird_Key__c="c"))
    text = "SELECT+Id,Owner.Name+FROM+Lead+WHERE+Bird_Key__c='c'"
    task_of_it = {
        "type": "Task",
        "WhoId": "@{found.records[0].Id}",
        "Subject": "of @{found.records[0].Owner.Name}, @{found.totalSize}",
    }
    found, many = composite(
        admin,
        sub("found", "GET", f"/query?q={text}"),
        sub("many", "POST", "/composite/sobjects", {"records": typed(task_of_it)}),
    )
    assert found["httpStatusCode"] == many["httpStatusCode"] == 200
    (row,) = org.records("Task")
    assert (row["WhoId"], row["Subject"]) == (made, "of Ada Admin, 1")
