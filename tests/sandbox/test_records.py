"""What the org takes and what it refuses, in which order, and with which words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sandbox.org import Org, sample
from sandbox.org.data.ids import normalise, to_18
from sandbox.org.rules.customizations import Condition

from .conftest import Caller, lead, problem, user_id

# --- ids ----------------------------------------------------------------------------------


def test_an_id_of_15_characters_gets_three_that_say_which_are_capitals() -> None:
    assert to_18("00QABCDE0000abc") == "00QABCDE0000abc2HA"
    assert to_18("001000000000000") == "001000000000000AAA"
    assert normalise("00QABCDE0000abc") == "00QABCDE0000abc2HA"


@pytest.mark.parametrize("wrong", ["00QABCDE0000abcAAA", "short", "", None, 7, "00QABCDE0000ab!"])
def test_what_only_looks_like_an_id_is_none(wrong: object) -> None:
    assert normalise(wrong) is None


def test_ids_start_with_the_prefix_of_their_object(org: Org) -> None:
    assert org.create("Lead", lead()).startswith("00Q")
    assert org.create("Case", {}).startswith("500")
    assert org.create("Contact", {"LastName": "J"}).startswith("003")
    assert org.create("Account", {"Name": "J"}).startswith("001")


# --- create and read ----------------------------------------------------------------------


def test_a_created_lead_is_answered_as_salesforce_does(caller: Caller) -> None:
    answer = caller.create("Lead", **lead(Bird_Key__c="k1", LeadSource="WhatsApp"))
    assert answer.status == 201
    body = answer.json()
    assert body == {"id": body["id"], "success": True, "errors": []}
    assert answer.headers["Location"] == f"/services/data/v68.0/sobjects/Lead/{body['id']}"
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=1/100000"
    assert len(answer.headers["X-Sfdc-Request-Id"]) == 32


def test_a_lead_is_found_by_its_key_with_the_fields_asked_for(caller: Caller) -> None:
    made = caller.create("Lead", **lead(FirstName="Anna", Bird_Key__c="k/1 ä")).json()
    answer = caller.call("GET", "/sobjects/Lead/Bird_Key__c/k%2F1%20%C3%A4?fields=Id,Name,Status")
    url = f"/services/data/v68.0/sobjects/Lead/{made['id']}"
    assert answer.json() == {
        "attributes": {"type": "Lead", "url": url},
        "Id": made["id"],
        "Name": "Anna Jansen",
        "Status": "Open - Not Contacted",
    }


def test_text_arrives_as_it_was_sent(caller: Caller, org: Org) -> None:
    text = 'a|b "quoted" \\ 😀 שלום مرحبا\n\tline <b>&amp;</b> ' + "x" * 31_000
    made = caller.create("Lead", **lead(Description=text)).json()
    assert caller.call("GET", f"/sobjects/Lead/{made['id']}").json()["Description"] == text


def test_field_names_are_compared_without_case(caller: Caller, org: Org) -> None:
    assert caller.create("Lead", lastname="Jansen", COMPANY="x", bird_key__C="k").status == 201
    found = org.find("Lead", "k")
    assert found is not None
    assert found["LastName"] == "Jansen"


def test_a_case_gets_a_number_of_eight_digits(caller: Caller) -> None:
    made = caller.create("Case", Subject="Help").json()
    shown = caller.call("GET", f"/sobjects/Case/{made['id']}?fields=CaseNumber,Status,Priority")
    assert shown.json()["CaseNumber"] == "00001001"
    assert shown.json()["Status"] == "New"
    assert shown.json()["Priority"] == "Medium"


def test_comments_of_a_new_case_become_a_comment(org: Org) -> None:
    case_id = org.create("Case", {"Comments": "for us"})
    comment = org.records("CaseComment")[0]
    assert (comment["ParentId"], comment["CommentBody"]) == (case_id, "for us")


@pytest.mark.parametrize(
    ("name", "fields", "code", "message", "named"),
    [
        (
            "Lead",
            {},
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [LastName, Company]",
            ["LastName", "Company"],
        ),
        (
            "Lead",
            lead(LastName="  "),
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [LastName]",
            ["LastName"],
        ),
        (
            "Lead",
            lead(FirstName="x" * 41),
            "STRING_TOO_LONG",
            f"First Name: data value too large: {'x' * 41} (max length=40)",
            ["FirstName"],
        ),
        (
            "Lead",
            lead(City="😀" * 21),
            "STRING_TOO_LONG",
            f"City: data value too large: {'😀' * 21} (max length=40)",
            ["City"],
        ),
        (
            "Lead",
            lead(Email="nobody"),
            "INVALID_EMAIL_ADDRESS",
            "Email: invalid email address: nobody",
            ["Email"],
        ),
        (
            "Case",
            {"SuppliedEmail": "a@b"},
            "INVALID_EMAIL_ADDRESS",
            "Web Email: invalid email address: a@b",
            ["SuppliedEmail"],
        ),
        (
            "Lead",
            lead(NumberOfEmployees=123456789),
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Employees: value outside of valid range on numeric field: 123456789",
            ["NumberOfEmployees"],
        ),
        (
            "Lead",
            lead(Nope__c=1),
            "INVALID_FIELD",
            "No such column 'Nope__c' on sobject of type Lead",
            None,
        ),
        (
            "Lead",
            lead(Id="00QABCDE0000abc"),
            "INVALID_FIELD",
            "The Id field should not be specified in the sobject data.",
            None,
        ),
        (
            "Lead",
            lead(Name="x"),
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: Name. Please check the security settings of this "
            "field and verify that it is read/write for your profile or permission set.",
            ["Name"],
        ),
        (
            "Lead",
            lead(OwnerId="nobody"),
            "MALFORMED_ID",
            "Owner ID: id value of incorrect type: nobody",
            ["OwnerId"],
        ),
        (
            "Lead",
            lead(OwnerId="00QABCDE0000abc"),
            "FIELD_INTEGRITY_EXCEPTION",
            "Owner ID: id value of incorrect type: 00QABCDE0000abc",
            ["OwnerId"],
        ),
        (
            "Lead",
            lead(OwnerId="005ABCDE0000abc"),
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            [],
        ),
    ],
)
def test_a_refused_record_is_told_why(
    caller: Caller, name: str, fields: dict[str, Any], code: str, message: str, named: Any
) -> None:
    assert problem(caller.create(name, **fields)) == (400, code, message, named)
    assert caller.org.records(name) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("LastName", 7),
        ("LastName", ["x"]),
        ("LastName", {"x": 1}),
        ("NumberOfEmployees", "many"),
        ("NumberOfEmployees", 1.5),
        ("DoNotCall", 1),
        ("AnnualRevenue", True),
    ],
)
def test_a_value_of_the_wrong_type_is_unreadable(caller: Caller, field: str, value: Any) -> None:
    status, code, message, _ = problem(caller.create("Lead", **lead(**{field: value})))
    assert (status, code) == (400, "JSON_PARSER_ERROR")
    assert re.match(
        r"Cannot deserialize instance of (string|int|boolean|double) from "
        r"(VALUE_\w+ value .+|START_ARRAY value \[|START_OBJECT value \{) or request may be "
        r"missing a required field at \[line:1, column:\d+\]",
        message,
    )


@pytest.mark.parametrize(
    ("raw", "beginning"),
    [
        (b"", "The HTTP entity body is required, but this request has no entity body."),
        (b"{", "Unexpected end-of-input"),
        (b"{}}", "Unexpected character ('}' (code 125))"),
        (b'{"LastName": NaN}', "Non-standard token 'NaN'"),
        (b'{"LastName": "\xff"}', "Invalid UTF-8 start byte 0xff"),
        (b'{,"a":1}', "Unexpected character (',' (code 44)): was expecting double-quote to start"),
        (b"[" * 100_000, "The body is nested too deeply"),
    ],
)
def test_a_body_that_is_no_json_is_a_parser_error(
    caller: Caller, raw: bytes, beginning: str
) -> None:
    status, code, message, _ = problem(caller.call("POST", "/sobjects/Lead", raw=raw))
    assert (status, code) == (400, "JSON_PARSER_ERROR")
    assert message.startswith(beginning)


def test_all_faults_of_a_record_are_told_at_once(caller: Caller) -> None:
    body = caller.create("Lead", Email="x", FirstName="y" * 50, Company="z").json()
    assert [p["errorCode"] for p in body] == [
        "REQUIRED_FIELD_MISSING",
        "INVALID_EMAIL_ADDRESS",
        "STRING_TOO_LONG",
    ]


def test_an_unknown_value_of_an_open_picklist_is_stored_as_it_is(caller: Caller, org: Org) -> None:
    assert caller.create("Lead", **lead(LeadSource="WhatsApp", Bird_Key__c="k")).status == 201
    found = org.find("Lead", "k")
    assert found is not None
    assert found["LeadSource"] == "WhatsApp"


def test_a_restricted_picklist_refuses_it(caller: Caller, org: Org) -> None:
    org.change_field("Lead", "LeadSource", restricted=True)
    assert problem(caller.create("Lead", **lead(LeadSource="WhatsApp"))) == (
        400,
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "Lead Source: bad value for restricted picklist field: WhatsApp",
        ["LeadSource"],
    )
    assert caller.create("Lead", **lead(LeadSource="Web")).status == 201


def test_a_custom_field_may_be_required(caller: Caller, org: Org) -> None:
    org.add_field("Lead", "Region__c", required=True)
    assert problem(caller.create("Lead", **lead()))[1:3] == (
        "REQUIRED_FIELD_MISSING",
        "Required fields are missing: [Region__c]",
    )
    assert caller.create("Lead", **lead(Region__c="North")).status == 201


def test_with_person_accounts_a_lead_needs_no_company(caller: Caller, org: Org) -> None:
    org.settings.person_accounts = True
    assert caller.create("Lead", LastName="Jansen").status == 201


def test_an_inactive_owner_is_refused(caller: Caller, org: Org) -> None:
    org.set_user(sample.SALES_USER, IsActive=False)
    owner = org.oauth.user(sample.SALES_USER)
    assert owner is not None
    _, code, message, _ = problem(caller.create("Lead", **lead(OwnerId=owner["Id"])))
    assert code == "INACTIVE_OWNER_OR_USER"
    assert owner["Id"] in message


# --- the key ------------------------------------------------------------------------------


def test_the_second_record_with_a_key_is_told_the_id_of_the_first(caller: Caller) -> None:
    first = caller.create("Lead", **lead(Bird_Key__c="k")).json()["id"]
    assert problem(caller.create("Lead", **lead(Bird_Key__c="k"))) == (
        400,
        "DUPLICATE_VALUE",
        f"duplicate value found: Bird_Key__c duplicates value on record with id: {first}",
        [],
    )


@pytest.mark.parametrize(("form", "shown"), [("15", 15), ("18", 18), ("unknown", 9)])
def test_the_id_in_a_duplicate_value_may_have_three_forms(
    caller: Caller, org: Org, form: str, shown: int
) -> None:
    org.settings.duplicate_value_id = form
    first = caller.create("Lead", **lead(Bird_Key__c="k")).json()["id"]
    message = problem(caller.create("Lead", **lead(Bird_Key__c="k")))[2]
    shown_id = message.rpartition(" ")[2]
    assert len(shown_id) == shown
    assert shown_id == "<unknown>" or first.startswith(shown_id)


def test_keys_that_differ_in_case_only_are_two_keys(caller: Caller) -> None:
    assert caller.create("Lead", **lead(Bird_Key__c="ABC")).status == 201
    assert caller.create("Lead", **lead(Bird_Key__c="abc")).status == 201


def test_without_case_sensitivity_they_are_one(caller: Caller, org: Org) -> None:
    org.change_field("Lead", "Bird_Key__c", case_sensitive=False)
    assert caller.create("Lead", **lead(Bird_Key__c="ABC")).status == 201
    assert problem(caller.create("Lead", **lead(Bird_Key__c="abc")))[1] == "DUPLICATE_VALUE"


def test_without_unique_a_key_may_be_there_twice(caller: Caller, org: Org) -> None:
    org.change_field("Lead", "Bird_Key__c", unique=False)
    ids = [caller.create("Lead", **lead(Bird_Key__c="k")).json()["id"] for _ in range(2)]
    answer = caller.call("GET", "/sobjects/Lead/Bird_Key__c/k")
    assert answer.status == 300
    assert answer.json() == [f"/services/data/v68.0/sobjects/Lead/{i}" for i in ids]
    assert org.keys_twice() == {"Lead:k": ids}


def test_a_lead_and_a_case_may_share_a_key(caller: Caller, org: Org) -> None:
    assert caller.create("Lead", **lead(Bird_Key__c="k")).status == 201
    assert caller.create("Case", Bird_Key__c="k").status == 201
    assert org.keys_twice() == {}


def test_a_deleted_record_frees_its_key_and_query_all_still_shows_it(
    caller: Caller, org: Org
) -> None:
    first = caller.create("Lead", **lead(Bird_Key__c="k")).json()["id"]
    org.delete("Lead", first)
    assert caller.call("GET", "/sobjects/Lead/Bird_Key__c/k").status == 404
    text = "SELECT Id, IsDeleted FROM Lead WHERE Bird_Key__c IN ('k')"
    assert caller.query(text).json()["totalSize"] == 0
    rows = caller.query(text, resource="queryAll").json()["records"]
    assert [(r["Id"], r["IsDeleted"]) for r in rows] == [(first, True)]
    second = caller.create("Lead", **lead(Bird_Key__c="k"))
    assert second.status == 201
    assert org.keys_twice() == {"Lead:k": [second.json()["id"], first]}


def test_a_merged_record_names_its_master(caller: Caller, org: Org) -> None:
    master, loser = (org.create("Lead", lead(Bird_Key__c=k)) for k in "ab")
    org.merge("Lead", master, loser)
    text = "SELECT MasterRecordId FROM Lead WHERE Bird_Key__c = 'b'"
    row = caller.query(text, resource="queryAll").json()["records"][0]
    assert row["MasterRecordId"] == master


# --- order of execution -------------------------------------------------------------------


def test_a_validation_rule_speaks_before_the_unique_index(caller: Caller, org: Org) -> None:
    caller.create("Lead", **lead(Bird_Key__c="k"))
    org.add_validation_rule("Lead", Condition("Phone", "blank"), "Phone, please", field="Phone")
    assert problem(caller.create("Lead", **lead(Bird_Key__c="k"))) == (
        400,
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "Phone, please",
        ["Phone"],
    )


def test_a_duplicate_rule_speaks_before_the_unique_index(caller: Caller, org: Org) -> None:
    sent = lead(Bird_Key__c="k", Phone="+31 6 1234")
    first = caller.create("Lead", **sent).json()["id"]
    org.set_duplicate_rule("Lead")
    answer = caller.create("Lead", **sent)
    assert problem(answer)[1] == "DUPLICATES_DETECTED"
    result = answer.json()[0]["duplicateResult"]
    assert result["matchResults"][0]["matchRecords"][0]["record"]["Id"] == first


def test_a_missing_field_speaks_before_a_validation_rule(caller: Caller, org: Org) -> None:
    org.add_validation_rule("Lead", Condition("Phone", "blank"), "Phone, please")
    assert problem(caller.create("Lead", LastName="x"))[1] == "REQUIRED_FIELD_MISSING"


def test_all_broken_validation_rules_are_told(caller: Caller, org: Org) -> None:
    org.add_validation_rule("Lead", Condition("Phone", "blank"), "one")
    org.add_validation_rule("Lead", lambda record: record.get("Email") is None, "two")
    assert [p["message"] for p in caller.create("Lead", **lead()).json()] == ["one", "two"]


def test_a_trigger_may_refuse_and_may_break(caller: Caller, org: Org) -> None:
    def run(record: dict[str, Any]) -> str | None:
        if record["LastName"] == "Broken":
            raise KeyError("x")
        return "not you" if record["LastName"] == "Refused" else None

    org.add_trigger("Lead", run, name="Audit")
    assert problem(caller.create("Lead", **lead(LastName="Refused")))[1:3] == (
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "not you",
    )
    _, code, message, _ = problem(caller.create("Lead", **lead(LastName="Broken")))
    assert code == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
    assert message.startswith("Audit: execution of BeforeInsert\n\ncaused by: ")
    assert caller.create("Lead", **lead()).status == 201


# --- duplicate rules ----------------------------------------------------------------------


def test_allow_save_passes_an_alert_rule_and_not_a_blocking_one(caller: Caller, org: Org) -> None:
    header: dict[str, Any] = {"Sforce_Duplicate_Rule_Header": "allowSave=true"}
    sent = lead(Email="A@example.com")
    caller.create("Lead", **sent)
    org.set_duplicate_rule("Lead", action="alert")
    answer = caller.create("Lead", **lead(Email="a@EXAMPLE.com"))
    assert problem(answer)[1] == "DUPLICATES_DETECTED"
    assert answer.json()[0]["duplicateResult"]["allowSave"] is True
    assert caller.call("POST", "/sobjects/Lead", sent, **header).status == 201
    org.set_duplicate_rule("Lead", action="block")
    answer = caller.call("POST", "/sobjects/Lead", sent, **header)
    assert problem(answer)[1] == "DUPLICATES_DETECTED"
    assert answer.json()[0]["duplicateResult"]["allowSave"] is False


def test_the_key_of_a_duplicate_result_may_be_misspelt(caller: Caller, org: Org) -> None:
    org.settings.duplicate_result_key = "duplicateResut"
    org.set_duplicate_rule("Lead")
    caller.create("Lead", **lead(Phone="123456"))
    body = caller.create("Lead", **lead(Phone="12 34 56")).json()[0]
    assert "duplicateResut" in body
    assert "duplicateResult" not in body


def test_a_match_that_the_user_may_not_see_is_not_shown(caller: Caller, org: Org) -> None:
    org.set_object_rights("Lead", "Create", "Read", user=sample.INTEGRATION_USER)
    org.settings.private = ["Lead"]
    org.create("Lead", lead(Phone="123456"), user=sample.ADMIN_USER)
    org.set_duplicate_rule("Lead")
    body = caller.create("Lead", **lead(Phone="123456")).json()[0]
    assert body["errorCode"] == "DUPLICATES_DETECTED"
    assert body["duplicateResult"]["matchResults"][0]["matchRecords"] == []


# --- assignment and sharing ---------------------------------------------------------------


def owner_of(org: Org, key: str, name: str = "Case") -> str:
    record = org.find(name, key)
    assert record is not None
    return str(record["OwnerId"])


def test_a_case_goes_to_the_default_owner_even_without_a_rule(caller: Caller, org: Org) -> None:
    caller.create("Case", Bird_Key__c="a")
    caller.call("POST", "/sobjects/Case", {"Bird_Key__c": "b"}, Sforce_Auto_Assign="FALSE")
    assert owner_of(org, "a") == user_id(org, sample.SALES_USER)
    assert owner_of(org, "b") == user_id(org, sample.INTEGRATION_USER)


def test_a_lead_stays_with_its_creator_without_a_rule(caller: Caller, org: Org) -> None:
    caller.create("Lead", **lead(Bird_Key__c="a"))
    assert owner_of(org, "a", "Lead") == user_id(org, sample.INTEGRATION_USER)


def test_an_active_rule_takes_a_record_even_from_an_explicit_owner(
    caller: Caller, org: Org
) -> None:
    queue = org.records("Group")[0]["Id"]
    mine = user_id(org, sample.INTEGRATION_USER)
    org.add_assignment_rule("Lead", queue)
    caller.create("Lead", **lead(Bird_Key__c="a", OwnerId=mine))
    sent = lead(Bird_Key__c="b", OwnerId=mine)
    caller.call("POST", "/sobjects/Lead", sent, Sforce_Auto_Assign="false")
    assert owner_of(org, "a", "Lead") == queue
    assert owner_of(org, "b", "Lead") == mine


def test_a_rule_may_be_named_and_belongs_to_one_object(caller: Caller, org: Org) -> None:
    queue = org.records("Group")[0]["Id"]
    rule = org.add_assignment_rule("Case", queue, active=False)
    sent = {"Bird_Key__c": "a"}
    assert caller.call("POST", "/sobjects/Case", sent, Sforce_Auto_Assign=rule.id).status == 201
    assert owner_of(org, "a") == queue
    answer = caller.call("POST", "/sobjects/Lead", lead(), Sforce_Auto_Assign=rule.id)
    assert problem(answer)[1] == "INVALID_CROSS_REFERENCE_KEY"


def test_what_an_assignment_gave_away_is_hidden_and_still_holds_its_key(
    caller: Caller, org: Org
) -> None:
    org.settings.private = ["Case"]
    org.set_object_rights("Case", "Create", "Read", user=sample.INTEGRATION_USER)
    made = caller.create("Case", Bird_Key__c="k").json()["id"]
    assert caller.call("GET", "/sobjects/Case/Bird_Key__c/k").status == 404
    assert caller.call("GET", f"/sobjects/Case/{made}").status == 404
    assert caller.query("SELECT Id FROM Case").json()["totalSize"] == 0
    assert problem(caller.create("Case", Bird_Key__c="k"))[1] == "DUPLICATE_VALUE"
    org.set_object_rights("Case", "Create", "Read", "ViewAllRecords", user=sample.INTEGRATION_USER)
    assert caller.call("GET", "/sobjects/Case/Bird_Key__c/k").status == 200


# --- rights -------------------------------------------------------------------------------


def test_a_hidden_field_looks_like_one_that_does_not_exist(caller: Caller, org: Org) -> None:
    org.hide_field("Lead", "Description", user=sample.INTEGRATION_USER)
    assert problem(caller.create("Lead", **lead(Description="x")))[1:3] == (
        "INVALID_FIELD",
        "No such column 'Description' on sobject of type Lead",
    )
    described = caller.call("GET", "/sobjects/Lead/describe").json()
    assert "Description" not in [f["name"] for f in described["fields"]]
    assert caller.query("SELECT Description FROM Lead").json()[0]["errorCode"] == "INVALID_FIELD"


def test_a_field_that_may_only_be_read_cannot_be_set(caller: Caller, org: Org) -> None:
    org.show_field("Lead", "Phone", user=sample.INTEGRATION_USER, edit=False)
    assert problem(caller.create("Lead", **lead(Phone="1")))[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_without_any_right_the_object_is_not_there(caller: Caller, org: Org) -> None:
    org.set_object_rights("Lead", user=sample.INTEGRATION_USER)
    assert problem(caller.create("Lead", **lead()))[:2] == (404, "NOT_FOUND")


def test_without_the_right_to_edit_nothing_is_changed(caller: Caller, org: Org) -> None:
    org.set_object_rights("Lead", "Create", "Read", user=sample.INTEGRATION_USER)
    made = caller.create("Lead", **lead()).json()["id"]
    answer = caller.call("PATCH", f"/sobjects/Lead/{made}", {"LastName": "x"})
    assert problem(answer)[:2] == (403, "INSUFFICIENT_ACCESS_OR_READONLY")


# --- update, upsert, delete ---------------------------------------------------------------


def test_a_record_is_changed_and_emptied_by_id(admin: Caller, org: Org) -> None:
    made = org.create("Lead", lead(Phone="1"))
    answer = admin.call("PATCH", f"/sobjects/Lead/{made}", {"LastName": "x", "Phone": None})
    assert (answer.status, answer.data) == (204, b"")
    record = org.get("Lead", made)
    assert record is not None
    assert (record["Name"], record.get("Phone")) == ("x", None)


def test_an_upsert_creates_and_then_updates(admin: Caller, org: Org) -> None:
    path = "/sobjects/Lead/Bird_Key__c/k"
    first = admin.call("PATCH", path, lead())
    assert first.status == 201
    assert first.json() == {
        "id": first.json()["id"],
        "success": True,
        "errors": [],
        "created": True,
    }
    second = admin.call("PATCH", path, {"LastName": "x"})
    assert second.status == 200
    assert second.json() == {**first.json(), "created": False}
    assert admin.call("PATCH", "/services/data/v45.0" + path, {"LastName": "y"}).status == 204


def test_an_upsert_that_only_updates_makes_nothing(admin: Caller, org: Org) -> None:
    path = "/sobjects/Lead/Bird_Key__c/k?updateOnly=true"
    assert admin.call("PATCH", path, lead()).status == 404
    assert org.records("Lead") == []


def test_nothing_is_posted_to_a_key(admin: Caller, org: Org) -> None:
    answer = admin.call("POST", "/sobjects/Lead/Bird_Key__c/k", lead())
    assert answer.status == 404
    assert answer.json()[0]["errorCode"] == "NOT_FOUND"
    assert org.find("Lead", "k") is None


def test_an_upsert_refuses_its_own_key_in_the_body(admin: Caller) -> None:
    answer = admin.call("PATCH", "/sobjects/Lead/Bird_Key__c/k", lead(Bird_Key__c="k"))
    assert problem(answer)[:2] == (400, "INVALID_FIELD")


def test_an_upsert_of_a_key_that_is_there_twice_changes_nothing(admin: Caller, org: Org) -> None:
    org.change_field("Lead", "Bird_Key__c", unique=False)
    for _ in range(2):
        org.create("Lead", lead(Bird_Key__c="k"))
    assert admin.call("PATCH", "/sobjects/Lead/Bird_Key__c/k", {"LastName": "x"}).status == 300
    assert {r["LastName"] for r in org.records("Lead")} == {"Jansen"}


def test_a_field_that_is_no_external_id_finds_nothing(caller: Caller) -> None:
    assert problem(caller.call("GET", "/sobjects/Lead/Company/x")) == (
        404,
        "NOT_FOUND",
        "Provided external ID field does not exist or is not accessible: Company",
        None,
    )


# --- links by key -------------------------------------------------------------------------

NOT_LINKED = "Foreign key external ID: nobody not found for field Bird_Key__c in entity Case"


def test_a_record_is_linked_by_the_key_of_another(caller: Caller, org: Org) -> None:
    parent = caller.create("Case", Subject="first", Bird_Key__c="k-1").json()["id"]
    child = caller.create("Case", Subject="s", Parent={"Bird_Key__c": "k-1"}).json()["id"]
    assert [r.get("ParentId") for r in org.records("Case") if r["Id"] == child] == [parent]


def test_a_link_to_a_key_that_nobody_has_refuses_the_record(caller: Caller) -> None:
    answer = caller.create("Case", Subject="s", Parent={"Bird_Key__c": "nobody"})
    assert problem(answer) == (400, "INVALID_FIELD", NOT_LINKED, [])


def test_a_link_to_a_key_that_nobody_has_spares_the_others_of_its_call(caller: Caller) -> None:
    bad = {"Subject": "s", "Parent": {"Bird_Key__c": "nobody"}}
    answer = caller.collection({"type": "Case", "Subject": "good"}, {"type": "Case", **bad})
    assert [one["success"] for one in answer] == [True, False]
    assert answer[1]["errors"] == [
        {"statusCode": "INVALID_FIELD", "message": NOT_LINKED, "fields": []}
    ]


def test_nobody_is_linked_by_a_field_that_is_hidden(caller: Caller, org: Org) -> None:
    org.create("Case", {"Bird_Key__c": "k-1"})
    org.hide_field("Case", "Bird_Key__c", user=sample.INTEGRATION_USER)
    answer = caller.create("Case", Subject="s", Parent={"Bird_Key__c": "k-1"})
    assert problem(answer)[:2] == (400, "INVALID_FIELD")


# --- the HTTP server -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/services/data/v30.0/sobjects", 410, "UNSUPPORTED_API_VERSION"),
        ("GET", "/services/data/v99.0/sobjects", 404, "NOT_FOUND"),
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("GET", "/sobjects/Nothing__c", 404, "NOT_FOUND"),
        ("DELETE", "/sobjects/Lead", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_a_wrong_address_is_refused(
    caller: Caller, method: str, path: str, status: int, code: str
) -> None:
    assert problem(caller.call(method, path))[:2] == (status, code)


def test_a_method_that_is_not_allowed_names_those_that_are(caller: Caller) -> None:
    assert problem(caller.call("DELETE", "/sobjects/Lead"))[2] == (
        "HTTP Method 'DELETE' not allowed. Allowed are GET,HEAD,POST"
    )


def test_a_body_of_another_type_is_refused(caller: Caller) -> None:
    answer = caller.call("POST", "/sobjects/Lead", raw=b"a=b", Content_Type="text/plain")
    assert problem(answer)[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_the_versions_are_told_without_a_token(anonymous: Caller) -> None:
    known = anonymous.call("GET", "/services/data/").json()
    assert known[-1] == {"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}
    assert [v["label"] for v in known[-4:-1]] == ["Winter '26", "Spring '26", "Summer '26"]


def test_describe_tells_lengths_picklists_and_what_is_required(caller: Caller) -> None:
    described = caller.call("GET", "/sobjects/Lead/describe").json()
    fields = {f["name"]: f for f in described["fields"]}
    assert fields["LastName"]["length"] == 80
    assert fields["Description"]["length"] == 32000
    assert fields["Bird_Key__c"]["unique"] is True
    assert fields["Bird_Key__c"]["externalId"] is True
    assert fields["Bird_Key__c"]["caseSensitive"] is True
    assert next(v["value"] for v in fields["LeadSource"]["picklistValues"]) == "Web"
    required = [
        name
        for name, f in fields.items()
        if f["createable"] and not f["nillable"] and not f["defaultedOnCreate"]
    ]
    assert required == ["LastName", "Company"]
    assert not fields["LastName"]["permissionable"]
    assert fields["Phone"]["permissionable"]
