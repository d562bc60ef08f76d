"""What Salesforce was seen to answer, and the org has to answer too.

Each test names where its truth comes from: [O] Salesforce's own documentation, [C] a public
capture or a client's own tests, "fs" the number of a stored public file, [S] a secondary source.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.org import Org, sample

from .conftest import Caller, composite, lead, problem, sub, typed

NOWHERE = "00QABCDE0000abc2HA"


# --- rights -------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "fields"), [("Lead", lead()), ("Case", {"Subject": "x"})])
def test_without_the_right_to_create(
    caller: Caller, org: Org, name: str, fields: dict[str, Any]
) -> None:
    """[C] fs 68715336371 (v62, for Contact); the same code as a trigger's failure."""
    org.set_object_rights(name, "Read", user=sample.INTEGRATION_USER)
    refusal = (
        400,
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        f"entity type cannot be inserted: {name}",
        [],
    )
    assert problem(caller.create(name, **fields)) == refusal
    assert problem(caller.call("PATCH", f"/sobjects/{name}/Bird_Key__c/k", fields)) == refusal
    (result,) = caller.collection({"type": name, **fields})
    assert result["errors"][0] == {"statusCode": refusal[1], "message": refusal[2], "fields": []}
    described = caller.call("GET", f"/sobjects/{name}").json()["objectDescribe"]
    assert described["createable"] is False


def test_a_record_locked_by_an_approval(admin: Caller, caller: Caller, org: Org) -> None:
    """[S] the code and the words."""
    made = org.create("Lead", lead())
    org.lock_record(made)
    refusal = (400, "ENTITY_IS_LOCKED", "the entity is locked for editing", [])
    assert problem(admin.call("PATCH", f"/sobjects/Lead/{made}", {"Phone": "1"})) == refusal
    org.lock_record(made, locked=False)
    assert admin.call("PATCH", f"/sobjects/Lead/{made}", {"Phone": "1"}).status == 204


# --- ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "field", "label"),
    [
        ("Task", "WhoId", "Name ID"),
        ("Task", "WhatId", "Related To ID"),
        ("Lead", "OwnerId", "Owner ID"),
        ("Case", "ContactId", "Contact ID"),
    ],
)
def test_an_id_of_another_object(admin: Caller, name: str, field: str, label: str) -> None:
    """[C] jsforce#1006, fs 71080110177, fs 6775772527: WhoId; the same for other look-ups."""
    wrong = admin.org.create("CaseComment", {"ParentId": admin.org.create("Case", {})})
    fields = lead() if name == "Lead" else {}
    assert problem(admin.create(name, **fields, **{field: wrong})) == (
        400,
        "FIELD_INTEGRITY_EXCEPTION",
        f"{label}: id value of incorrect type: {wrong}",
        [field],
    )


def test_an_id_of_another_object_for_the_record_s_own(admin: Caller, org: Org) -> None:
    """[O] errorcodes (MALFORMED_ID, fields Id), [C] the collections' update example."""
    account = org.create("Account", {"Name": "x"})
    records = [{"attributes": {"type": "Contact"}, "id": account, "LastName": "y"}]
    (result,) = admin.call("PATCH", "/composite/sobjects", {"records": records}).json()
    assert result["errors"] == [
        {
            "statusCode": "MALFORMED_ID",
            "message": f"Contact ID: id value of incorrect type: {account}",
            "fields": ["Id"],
        }
    ]


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("no_id", ["nothing", "00Q", "Jansen"])
def test_no_id_in_the_path(admin: Caller, method: str, no_id: str) -> None:
    """[C] fs 30428201134, fs 2566511661."""
    response = admin.call(method, f"/sobjects/Lead/{no_id}", {} if method == "PATCH" else None)
    assert problem(response) == (
        404,
        "NOT_FOUND",
        "Provided external ID field does not exist or is not accessible: -1",
        None,
    )


def test_an_id_that_was_never_there(admin: Caller) -> None:
    """[C] django-salesforce: 404 with INVALID_CROSS_REFERENCE_KEY for a change."""
    assert problem(admin.call("GET", f"/sobjects/Lead/{NOWHERE}"))[:2] == (404, "NOT_FOUND")
    for method in ("PATCH", "DELETE"):
        body = {"Phone": "1"} if method == "PATCH" else None
        assert problem(admin.call(method, f"/sobjects/Lead/{NOWHERE}", body)) == (
            404,
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            [],
        )


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_deleted_record(admin: Caller, org: Org, method: str) -> None:
    """[C] django-salesforce, samples/salesforce: "entity is deleted", fields []."""
    made = org.create("Lead", lead())
    org.delete("Lead", made)
    body = {"Phone": "1"} if method == "PATCH" else None
    assert problem(admin.call(method, f"/sobjects/Lead/{made}", body)) == (
        404,
        "ENTITY_IS_DELETED",
        "entity is deleted",
        [],
    )


def test_a_moment_has_whole_seconds(admin: Caller, org: Org) -> None:
    """[C] every capture in samples/salesforce and of public clients: ``.000+0000``."""
    org.add_field("Lead", "Seen__c", "datetime", visible_to=(sample.ADMIN_USER,))
    sent = "2026-11-30T15:03:07.999+01:00"
    made = admin.create("Lead", **lead(Seen__c=sent)).json()["id"]
    shown = admin.call("GET", f"/sobjects/Lead/{made}").json()
    assert shown["Seen__c"] == "2026-11-30T14:03:07.000+0000"
    for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
        assert shown[name].endswith(".000+0000")


# --- queries ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["Id = '–'", "Id IN ('–')", "OwnerId != '–'"])
def test_a_filter_by_what_is_no_id(caller: Caller, where: str) -> None:
    """[C] fs 17462073382: the caret stands at the field."""
    text = f"SELECT Id FROM Lead WHERE {where}"
    status, code, message, fields = problem(caller.query(text))
    assert (status, code, fields) == (400, "INVALID_QUERY_FILTER_OPERATOR", None)
    column = text.index("WHERE ") + len("WHERE ") + 1
    assert message.startswith(f"\n{text}\n")
    assert message.endswith(f"^\nERROR at Row:1:Column:{column}\ninvalid ID field: –")


@pytest.mark.parametrize("where", ["", " WHERE ShareType = 'V'", " WHERE LinkedEntityId != '{id}'"])
def test_links_of_files_need_one_end(admin: Caller, org: Org, where: str) -> None:
    """[C] fs 32785227650 and others."""
    case = org.create("Case", {})
    text = "SELECT Id FROM ContentDocumentLink" + where.format(id=case)
    assert problem(admin.query(text)) == (
        400,
        "MALFORMED_QUERY",
        "Implementation restriction: ContentDocumentLink requires a filter by a single Id on "
        "ContentDocumentId or LinkedEntityId using the equals operator or multiple Id's using the "
        "IN operator.",
        None,
    )
    for end in (f"= '{case}'", f"IN ('{case}')"):
        response = admin.query(f"SELECT Id FROM ContentDocumentLink WHERE LinkedEntityId {end}")
        assert response.status == 200


# --- collections and composite ------------------------------------------------------------


def test_the_outer_all_or_none_rolls_a_collection_back(admin: Caller, org: Org) -> None:
    """[O] composite and collections, allOrNone (v68): the outer flag overrides the inner one."""
    many, one = composite(
        admin,
        sub("many", "POST", "/composite/sobjects", {"records": typed(lead(), {})}),
        sub("one", "POST", "/sobjects/Lead", lead()),
        all_or_none=True,
    )
    assert many["httpStatusCode"] == 200
    assert [row["success"] for row in many["body"]] == [False, False]
    assert [row["errors"][0]["statusCode"] for row in many["body"]] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    assert (one["httpStatusCode"], one["body"][0]["errorCode"]) == (400, "PROCESSING_HALTED")
    assert org.records("Lead") == []


def test_a_collection_changes_its_type_ten_times_at_most(admin: Caller, org: Org) -> None:
    """[O] sObject Collections, create: at most 10 chunks. [C] Apex has the words."""
    pair = typed(lead(), {"type": "Case"})
    good = admin.call("POST", "/composite/sobjects", {"records": pair * 5})
    assert [row["success"] for row in good.json()] == [True] * 10
    response = admin.call("POST", "/composite/sobjects", {"records": [*pair * 5, pair[0]]})
    assert response.status == 400
    assert "Cannot have more than 10 chunks in a single operation" in response.json()[0]["message"]
    assert len(org.records("Lead")) == 5


def test_a_failed_row_of_an_upsert_says_whether_it_was_to_be_created(admin: Caller) -> None:
    """[C] jsforce's own collection tests: `created` is there without `success` too."""
    records = typed(lead(Bird_Key__c="a"), {"Bird_Key__c": "b"})
    rows = admin.call("PATCH", "/composite/sobjects/Lead/Bird_Key__c", {"records": records}).json()
    assert [(row["success"], row["created"]) for row in rows] == [(True, True), (False, True)]


# --- owners, record types, duplicates -----------------------------------------------------


def test_a_queue_that_does_not_serve_the_object(admin: Caller, org: Org) -> None:
    """[C] fs 53305204547."""
    queue = org.add_queue("Leads only", "Lead")
    assert admin.create("Lead", **lead(OwnerId=queue)).status == 201
    response = admin.call("POST", "/sobjects/Case", {"OwnerId": queue}, Sforce_Auto_Assign="FALSE")
    assert problem(response)[:3] == (
        400,
        "INVALID_OPERATION",
        "Queue not associated with this SObject type",
    )


@pytest.mark.parametrize(
    ("version", "key"), [("v56.0", "duplicateResut"), ("v60.0", "duplicateResult")]
)
def test_the_key_of_a_duplicate_result(caller: Caller, org: Org, version: str, key: str) -> None:
    """[C] fs 45622068426: misspelt at v56 still, and without `fields`."""
    org.set_duplicate_rule("Lead")
    org.create("Lead", lead(Phone="1234567"))
    path = f"/services/data/{version}/sobjects/Lead"
    (body,) = caller.call("POST", path, lead(Phone="1234567")).json()
    assert set(body) == {key, "message", "errorCode"}


def test_the_words_of_a_duplicate_are_in_the_users_language(caller: Caller, org: Org) -> None:
    """[C] fs 45622068426. The German words are ours."""
    org.settings.language = "de"
    first = org.create("Lead", lead(Bird_Key__c="k"))
    message = problem(caller.create("Lead", **lead(Bird_Key__c="k")))[2]
    assert "duplicate value found" not in message
    assert "Bird_Key__c" in message and first in message
    org.set_duplicate_rule("Lead", message="Einen dieser Datensätze verwenden?")
    org.create("Lead", lead(Phone="1234567"))
    response = caller.create("Lead", **lead(Phone="1234567"))
    assert problem(response)[1:3] == ("DUPLICATES_DETECTED", "Einen dieser Datensätze verwenden?")


def test_an_account_without_a_record_type_in_an_org_with_person_accounts(
    admin: Caller, org: Org
) -> None:
    """[C] § 8a: "record type missing for: Account"."""
    org.settings.person_accounts = True
    assert problem(admin.create("Account", Name="x")) == (
        400,
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "record type missing for: Account",
        [],
    )
    business = org.add_record_type("Account", "Business")
    assert admin.create("Account", Name="x", RecordTypeId=business).status == 201


def test_a_record_type_of_another_object(admin: Caller, org: Org) -> None:
    """[C] fs 43418019763."""
    other = org.add_record_type("Case", "Complaint")
    assert problem(admin.create("Lead", **lead(RecordTypeId=other))) == (
        400,
        "INVALID_CROSS_REFERENCE_KEY",
        f"Record Type ID: this ID value isn't valid for the user: {other}",
        ["RecordTypeId"],
    )
    assert admin.create("Case", RecordTypeId=other).status == 201


def test_a_campaign_member_again(admin: Caller, org: Org) -> None:
    """[C] fs 59875155086: DUPLICATE_VALUE that names no id."""
    made = {
        "CampaignId": org.create("Campaign", {"Name": "x"}),
        "LeadId": org.create("Lead", lead()),
    }
    assert admin.create("CampaignMember", **made).status == 201
    assert problem(admin.create("CampaignMember", **made))[:3] == (
        400,
        "DUPLICATE_VALUE",
        "Already a campaign member.",
    )


# --- state and country picklists ----------------------------------------------------------


def test_state_and_country_picklists(admin: Caller, org: Org) -> None:
    """[C] fs 69106132504 (country), fs 71188252374 (state). That a state needs a country is [K]."""
    org.add_address_picklists({"Netherlands": "NL"}, {"North Holland": "NH"})
    country = problem(admin.create("Lead", **lead(Country="Holland")))
    assert country == (
        400,
        "FIELD_INTEGRITY_EXCEPTION",
        "There's a problem with this country, even though it may appear correct. Please select a "
        "country/territory from the list of valid countries.: Country",
        ["Country"],
    )
    state = problem(admin.create("Lead", **lead(Country="Netherlands", State="Holland")))
    assert state[1:3] == (
        "FIELD_INTEGRITY_EXCEPTION",
        "There's a problem with this state, even though it may appear correct. Please select a "
        "state from the list of valid states.: State/Province",
    )
    good = lead(Country="Netherlands", State="North Holland")
    assert admin.create("Lead", **good).status == 201
    assert problem(admin.create("Lead", **lead(State="North Holland")))[2].startswith(
        "A country/territory must be specified before specifying a state value"
    )


# --- converted leads ----------------------------------------------------------------------


@pytest.mark.parametrize("change", ["update", "task"])
def test_a_converted_lead_takes_nothing_more(admin: Caller, org: Org, change: str) -> None:
    """[C] fs 71400613313, fs 66442555790."""
    made = org.create("Lead", lead(Bird_Key__c="k"))
    org.convert(made)
    calls: dict[str, Callable[[], Any]] = {
        "update": lambda: admin.call("PATCH", f"/sobjects/Lead/{made}", {"Phone": "1"}),
        "task": lambda: admin.create("Task", WhoId=made, Subject="x"),
    }
    assert problem(calls[change]()) == (
        400,
        "CANNOT_UPDATE_CONVERTED_LEAD",
        "cannot reference converted lead",
        [],
    )
    assert admin.call("GET", f"/sobjects/Lead/{made}?fields=IsConverted").json()["IsConverted"]


# --- unresolved references ----------------------------------------------------------------


def test_a_reference_without_a_value_halts_its_part_and_the_parts_that_need_it(
    admin: Caller, org: Org
) -> None:
    """[C] fs 452874363 (NPSP, v50), [O] the same words in the REST guide."""
    comment = {"ParentId": "@{first.id}", "CommentBody": "x"}
    found, first, second, own = composite(
        admin,
        sub("found", "GET", "/query?q=SELECT+Id+FROM+Contact+WHERE+LastName='nobody'"),
        sub("first", "POST", "/sobjects/Case", {"ContactId": "@{found.records[0].Id}"}),
        sub("second", "POST", "/sobjects/CaseComment", comment),
        sub("own", "POST", "/sobjects/Lead", lead()),
    )
    assert [p["httpStatusCode"] for p in (found, first, second, own)] == [200, 400, 400, 201]
    for part, reference in ((first, "found.records[0].Id"), (second, "first.id")):
        (error,) = part["body"]
        assert error["errorCode"] == "PROCESSING_HALTED"
        name = re.split(r"[.\[]", reference)[0]
        assert error["message"] == (
            f"Invalid reference specified. No value for {reference} found in {name}"
        )
        assert set(error) == {"errorCode", "message"}
