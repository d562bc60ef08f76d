"""What the org takes and what it refuses, in which order, and with which words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.org import Org, sample
from sandbox.org.data.ids import normalise, to_18
from sandbox.org.rules.customizations import Condition

from .conftest import Caller, lead, problem, refusal, user_id

USER = sample.INTEGRATION_USER
RULE: dict[str, Any] = {"error_when": Condition("Phone", "blank"), "message": "Phone, please"}


# --- ids ----------------------------------------------------------------------------------


def test_an_id_of_15_characters_gets_three_that_say_which_are_capitals() -> None:
    assert to_18("00QABCDE0000abc") == normalise("00QABCDE0000abc") == "00QABCDE0000abc2HA"
    assert to_18("001000000000000") == "001000000000000AAA"


@pytest.mark.parametrize("wrong", ["00QABCDE0000abcAAA", "short", "", None, 7, "00QABCDE0000ab!"])
def test_what_only_looks_like_an_id_is_none(wrong: object) -> None:
    assert normalise(wrong) is None


@pytest.mark.parametrize(
    ("name", "fields", "prefix"),
    [
        ("Lead", lead(), "00Q"),
        ("Case", {}, "500"),
        ("Contact", {"LastName": "J"}, "003"),
        ("Account", {"Name": "J"}, "001"),
    ],
)
def test_ids_start_with_the_prefix_of_their_object(
    org: Org, name: str, fields: dict[str, Any], prefix: str
) -> None:
    assert org.create(name, fields).startswith(prefix)


# --- create and read ----------------------------------------------------------------------


def test_a_created_lead_is_answered_as_salesforce_does(caller: Caller) -> None:
    response = caller.create("Lead", **lead(Bird_Key__c="k1", LeadSource="WhatsApp"))
    body = response.json()
    assert (response.status, body) == (201, {"id": body["id"], "success": True, "errors": []})
    assert response.headers["Location"] == f"/services/data/v68.0/sobjects/Lead/{body['id']}"
    assert response.headers["Sforce-Limit-Info"] == "api-usage=1/100000"
    assert len(response.headers["X-Sfdc-Request-Id"]) == 32


def test_a_lead_is_found_by_its_key_with_the_fields_asked_for(caller: Caller) -> None:
    made = caller.create("Lead", firstname="Anna", **lead(bird_key__C="k/1 ä")).json()
    response = caller.call("GET", "/sobjects/Lead/Bird_Key__c/k%2F1%20%C3%A4?fields=Id,Name,Status")
    url = f"/services/data/v68.0/sobjects/Lead/{made['id']}"
    assert response.json() == {
        "attributes": {"type": "Lead", "url": url},
        "Id": made["id"],
        "Name": "Anna Jansen",
        "Status": "Open - Not Contacted",
    }


def test_text_arrives_as_it_was_sent(caller: Caller) -> None:
    text = 'a|b "quoted" \\ 😀 שלום مرحبا\n\tline <b>&amp;</b> ' + "x" * 31_000
    made = caller.create("Lead", **lead(Description=text)).json()
    assert caller.call("GET", f"/sobjects/Lead/{made['id']}").json()["Description"] == text


def test_a_case_gets_a_number_defaults_and_its_comment(caller: Caller, org: Org) -> None:
    made = caller.create("Case", Subject="Help", Comments="for us").json()
    shown = caller.call("GET", f"/sobjects/Case/{made['id']}?fields=CaseNumber,Status,Priority")
    found = {name: shown.json()[name] for name in ("CaseNumber", "Status", "Priority")}
    assert found == {"CaseNumber": "00001001", "Status": "New", "Priority": "Medium"}
    (comment,) = org.records("CaseComment")
    assert (comment["ParentId"], comment["CommentBody"]) == (made["id"], "for us")


LOCKED = (
    "Unable to create/update fields: {0}. Please check the security settings of this field and "
    "verify that it is read/write for your profile or permission set. [{0}]"
)


@pytest.mark.parametrize(
    ("name", "fields", "code", "words"),
    [
        ("Lead", {}, "REQUIRED_FIELD_MISSING", "[LastName, Company] [LastName, Company]"),
        ("Lead", lead(LastName="  "), "REQUIRED_FIELD_MISSING", "[LastName] [LastName]"),
        ("Lead", lead(FirstName="x" * 41), "STRING_TOO_LONG", "x (max length=40) [FirstName]"),
        ("Lead", lead(City="😀" * 21), "STRING_TOO_LONG", "😀😀 (max length=40) [City]"),
        ("Lead", lead(Email="a@b"), "INVALID_EMAIL_ADDRESS", "Email: invalid email address: a@b"),
        ("Case", {"SuppliedEmail": "b"}, "INVALID_EMAIL_ADDRESS", ": b [SuppliedEmail]"),
        (
            "Lead",
            lead(NumberOfEmployees=123456789),
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Employees: value outside of valid range on numeric field: 123456789",
        ),
        ("Lead", lead(Nope__c=1), "INVALID_FIELD", "No such column 'Nope__c' on sobject of type"),
        ("Lead", lead(Id="00QABCDE0000abc"), "INVALID_FIELD", "The Id field should not be speci"),
        ("Lead", lead(Name="x"), "INVALID_FIELD_FOR_INSERT_UPDATE", LOCKED.format("Name")),
        ("Lead", lead(OwnerId="me"), "MALFORMED_ID", "Owner ID: id value of incorrect type: me"),
        (
            "Lead",
            lead(OwnerId="005ABCDE0000abc"),
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id []",
        ),
        (
            "Case",
            {"Parent": {"Bird_Key__c": "nobody"}},
            "INVALID_FIELD",
            "Foreign key external ID: nobody not found for field Bird_Key__c in entity Case []",
        ),
    ],
)
def test_a_refused_record_is_told_why(
    caller: Caller, name: str, fields: dict[str, Any], code: str, words: str
) -> None:
    given = refusal(caller.create(name, **fields))
    assert given.startswith(f"400 {code}: ")
    assert words in given
    assert caller.org.records(name) == []


SetUp = Callable[[Org], object]


@pytest.mark.parametrize(
    ("set_up", "fields", "given"),
    [
        pytest.param(
            lambda org: org.change_field("Lead", "LeadSource", restricted=True),
            {"LeadSource": "WhatsApp"},
            "400 INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST: Lead Source: bad value for restricted "
            "picklist field: WhatsApp [LeadSource]",
            id="a restricted picklist",
        ),
        pytest.param(
            lambda org: org.add_field("Lead", "Region__c", required=True),
            {},
            "400 REQUIRED_FIELD_MISSING: Required fields are missing: [Region__c] [Region__c]",
            id="a new required field",
        ),
        pytest.param(
            lambda org: org.hide_field("Lead", "Description", user=USER),
            {"Description": "x"},
            "400 INVALID_FIELD: No such column 'Description' on sobject of type Lead",
            id="a hidden field",
        ),
        pytest.param(
            lambda org: org.show_field("Lead", "Phone", user=USER, edit=False),
            {"Phone": "1"},
            "400 INVALID_FIELD_FOR_INSERT_UPDATE: " + LOCKED.format("Phone"),
            id="a field to read only",
        ),
        pytest.param(
            lambda org: org.set_object_rights("Lead", user=USER),
            {},
            "404 NOT_FOUND: The requested resource does not exist",
            id="no right at all",
        ),
        pytest.param(
            lambda org: org.settings.put(api_enabled=False),
            {},
            "403 API_DISABLED_FOR_ORG: The REST API is not enabled for this Organization.",
            id="no API for the org",
        ),
        pytest.param(
            lambda org: [
                org.update("Profile", one["Id"], {"PermissionsApiEnabled": False})
                for one in org.records("Profile")
            ],
            {},
            "403 API_CURRENTLY_DISABLED: API is disabled for this User",
            id="no API for the user",
        ),
        pytest.param(
            lambda org: org.add_validation_rule("Lead", **RULE, field="Phone"),
            {"Bird_Key__c": "taken"},
            "400 FIELD_CUSTOM_VALIDATION_EXCEPTION: Phone, please [Phone]",
            id="a validation rule, before the unique index",
        ),
        pytest.param(
            lambda org: org.add_validation_rule("Lead", **RULE),
            {"LastName": None},
            "400 REQUIRED_FIELD_MISSING: Required fields are missing: [LastName] [LastName]",
            id="a missing field, before a validation rule",
        ),
    ],
)
def test_what_an_administrator_did_refuses_a_record(
    caller: Caller, org: Org, set_up: SetUp, fields: dict[str, Any], given: str
) -> None:
    org.create("Lead", lead(Bird_Key__c="taken"))
    set_up(org)
    assert refusal(caller.create("Lead", **lead(**fields))) == given


def test_a_field_that_is_hidden_cannot_be_seen_or_used(caller: Caller, org: Org) -> None:
    org.create("Case", {"Bird_Key__c": "k-1"})
    org.hide_field("Case", "Bird_Key__c", user=USER)
    described = caller.call("GET", "/sobjects/Case/describe").json()
    assert "Bird_Key__c" not in [f["name"] for f in described["fields"]]
    assert caller.query("SELECT Bird_Key__c FROM Case").json()[0]["errorCode"] == "INVALID_FIELD"
    response = caller.create("Case", Subject="s", Parent={"Bird_Key__c": "k-1"})
    assert problem(response)[:2] == (400, "INVALID_FIELD")


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
    "raw",
    [b"", b"{", b"{}}", b'{"LastName": NaN}', b'{"LastName": "\xff"}', b"[" * 100_000, b"[]", b"1"],
)
def test_a_body_that_is_no_object_is_a_parser_error(caller: Caller, raw: bytes) -> None:
    given = refusal(caller.call("POST", "/sobjects/Lead", raw=raw))
    assert given.startswith("400 JSON_PARSER_ERROR: ")


def test_all_faults_of_a_record_are_told_at_once(caller: Caller, org: Org) -> None:
    body = caller.create("Lead", Email="x", FirstName="y" * 50, Company="z").json()
    assert [p["errorCode"] for p in body] == [
        "REQUIRED_FIELD_MISSING",
        "INVALID_EMAIL_ADDRESS",
        "STRING_TOO_LONG",
    ]
    org.add_validation_rule("Lead", Condition("Phone", "blank"), "one")
    org.add_validation_rule("Lead", lambda record: record.get("Email") is None, "two")
    assert [p["message"] for p in caller.create("Lead", **lead()).json()] == ["one", "two"]


def test_with_person_accounts_a_lead_needs_no_company(caller: Caller, org: Org) -> None:
    org.settings.person_accounts = True
    assert caller.create("Lead", LastName="Jansen").status == 201


def test_an_inactive_owner_is_refused(caller: Caller, org: Org) -> None:
    org.set_user(sample.SALES_USER, IsActive=False)
    owner = user_id(org, sample.SALES_USER)
    _, code, message, _ = problem(caller.create("Lead", **lead(OwnerId=owner)))
    assert (code, owner in message) == ("INACTIVE_OWNER_OR_USER", True)


# --- the key ------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "length"), [("15", 15), ("18", 18), ("unknown", 0)])
def test_the_second_record_with_a_key_is_told_the_id_of_the_first(
    caller: Caller, org: Org, form: str, length: int
) -> None:
    org.settings.duplicate_value_id = form
    first = caller.create("Lead", **lead(Bird_Key__c="k")).json()["id"]
    assert problem(caller.create("Lead", **lead(Bird_Key__c="k"))) == (
        400,
        "DUPLICATE_VALUE",
        "duplicate value found: Bird_Key__c duplicates value on record with id: "
        + (first[:length] or "<unknown>"),
        [],
    )


@pytest.mark.parametrize(("case_sensitive", "status"), [(True, 201), (False, 400)])
def test_keys_may_differ_in_case_only(
    caller: Caller, org: Org, case_sensitive: bool, status: int
) -> None:
    org.change_field("Lead", "Bird_Key__c", case_sensitive=case_sensitive)
    assert caller.create("Lead", **lead(Bird_Key__c="ABC")).status == 201
    assert caller.create("Lead", **lead(Bird_Key__c="abc")).status == status


def test_without_unique_a_key_may_be_there_twice(admin: Caller, org: Org) -> None:
    org.change_field("Lead", "Bird_Key__c", unique=False)
    ids = [org.create("Lead", lead(Bird_Key__c="k")) for _ in range(2)]
    path = "/sobjects/Lead/Bird_Key__c/k"
    for response in (admin.call("GET", path), admin.call("PATCH", path, {"LastName": "x"})):
        assert response.status == 300
        assert response.json() == [f"/services/data/v68.0/sobjects/Lead/{i}" for i in ids]
    assert org.keys_twice() == {"Lead:k": ids}
    assert {r["LastName"] for r in org.records("Lead")} == {"Jansen"}


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


# --- duplicate rules ----------------------------------------------------------------------


def test_a_duplicate_rule_speaks_before_the_unique_index(caller: Caller, org: Org) -> None:
    sent = lead(Bird_Key__c="k", Phone="+31 6 1234")
    first = caller.create("Lead", **sent).json()["id"]
    org.set_duplicate_rule("Lead")
    response = caller.create("Lead", **sent)
    assert problem(response)[1] == "DUPLICATES_DETECTED"
    result = response.json()[0]["duplicateResult"]
    assert result["matchResults"][0]["matchRecords"][0]["record"]["Id"] == first


@pytest.mark.parametrize(("action", "passes"), [("alert", True), ("block", False)])
def test_allow_save_passes_an_alert_rule_and_not_a_blocking_one(
    caller: Caller, org: Org, action: str, passes: bool
) -> None:
    caller.create("Lead", **lead(Email="A@example.com"))
    org.set_duplicate_rule("Lead", action=action)
    sent = lead(Email="a@EXAMPLE.com")
    response = caller.create("Lead", **sent)
    assert problem(response)[1] == "DUPLICATES_DETECTED"
    assert response.json()[0]["duplicateResult"]["allowSave"] is passes
    header: dict[str, Any] = {"Sforce_Duplicate_Rule_Header": "allowSave=true"}
    assert (caller.call("POST", "/sobjects/Lead", sent, **header).status == 201) is passes


def test_a_match_that_the_user_may_not_see_is_not_shown(caller: Caller, org: Org) -> None:
    org.set_object_rights("Lead", "Create", "Read", user=USER)
    org.settings.private = ["Lead"]
    org.create("Lead", lead(Phone="123456"), user=sample.ADMIN_USER)
    org.set_duplicate_rule("Lead")
    body = caller.create("Lead", **lead(Phone="12 34 56")).json()[0]
    assert body["errorCode"] == "DUPLICATES_DETECTED"
    assert body["duplicateResult"]["matchResults"][0]["matchRecords"] == []


# --- assignment and sharing ---------------------------------------------------------------


def owner_of(org: Org, key: str, name: str = "Case") -> str:
    return str((org.find(name, key) or {})["OwnerId"])


def test_without_a_rule_a_case_goes_to_the_default_owner_and_a_lead_stays(
    caller: Caller, org: Org
) -> None:
    caller.create("Case", Bird_Key__c="a")
    caller.call("POST", "/sobjects/Case", {"Bird_Key__c": "b"}, Sforce_Auto_Assign="FALSE")
    caller.create("Lead", **lead(Bird_Key__c="a"))
    assert owner_of(org, "a") == user_id(org, sample.SALES_USER)
    assert owner_of(org, "b") == owner_of(org, "a", "Lead") == user_id(org, USER)


def test_an_active_rule_takes_a_record_even_from_an_explicit_owner(
    caller: Caller, org: Org
) -> None:
    queue = org.records("Group")[0]["Id"]
    mine = user_id(org, USER)
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
    response = caller.call("POST", "/sobjects/Lead", lead(), Sforce_Auto_Assign=rule.id)
    assert problem(response)[1] == "INVALID_CROSS_REFERENCE_KEY"


def test_what_an_assignment_gave_away_is_hidden_and_still_holds_its_key(
    caller: Caller, org: Org
) -> None:
    org.settings.private = ["Case"]
    org.set_object_rights("Case", "Create", "Read", user=USER)
    made = caller.create("Case", Bird_Key__c="k").json()["id"]
    assert caller.call("GET", "/sobjects/Case/Bird_Key__c/k").status == 404
    assert caller.call("GET", f"/sobjects/Case/{made}").status == 404
    assert caller.query("SELECT Id FROM Case").json()["totalSize"] == 0
    assert problem(caller.create("Case", Bird_Key__c="k"))[1] == "DUPLICATE_VALUE"
    org.set_object_rights("Case", "Create", "Read", "ViewAllRecords", user=USER)
    assert caller.call("GET", "/sobjects/Case/Bird_Key__c/k").status == 200


# --- update, upsert -----------------------------------------------------------------------


def test_without_the_right_to_edit_nothing_is_changed(caller: Caller, org: Org) -> None:
    org.set_object_rights("Lead", "Create", "Read", user=USER)
    made = caller.create("Lead", **lead()).json()["id"]
    response = caller.call("PATCH", f"/sobjects/Lead/{made}", {"LastName": "x"})
    assert problem(response)[:2] == (403, "INSUFFICIENT_ACCESS_OR_READONLY")


def test_a_record_is_changed_and_emptied_by_id(admin: Caller, org: Org) -> None:
    made = org.create("Lead", lead(Phone="1"))
    response = admin.call("PATCH", f"/sobjects/Lead/{made}", {"LastName": "x", "Phone": None})
    assert (response.status, response.data) == (204, b"")
    record = org.get("Lead", made) or {}
    assert (record["Name"], record.get("Phone")) == ("x", None)


def test_an_upsert_creates_and_then_updates(admin: Caller) -> None:
    path = "/sobjects/Lead/Bird_Key__c/k"
    first = admin.call("PATCH", path, lead())
    made = {"id": first.json()["id"], "success": True, "errors": [], "created": True}
    assert (first.status, first.json()) == (201, made)
    second = admin.call("PATCH", path, {"LastName": "x"})
    assert (second.status, second.json()) == (200, {**made, "created": False})
    assert admin.call("PATCH", "/services/data/v45.0" + path, {"LastName": "y"}).status == 204


NO_KEY = "Provided external ID field does not exist or is not accessible: Company"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "message"),
    [
        ("POST", "Bird_Key__c/k", lead(), 404, "NOT_FOUND", "The requested resource does not"),
        ("PATCH", "Bird_Key__c/k", lead(Bird_Key__c="k"), 400, "INVALID_FIELD", "The Bird_Key__c"),
        ("GET", "Company/x", None, 404, "NOT_FOUND", NO_KEY),
        ("PATCH", "Bird_Key__c/k?updateOnly=true", lead(), 404, "NOT_FOUND", "The requested"),
    ],
    ids=["a POST", "an upsert with the key in the body", "a field that is no key", "updateOnly"],
)
def test_what_a_key_cannot_be_used_for(
    admin: Caller, method: str, path: str, body: Any, status: int, code: str, message: str
) -> None:
    found = problem(admin.call(method, f"/sobjects/Lead/{path}", body))
    assert found[:2] == (status, code)
    assert found[2].startswith(message)
    assert admin.org.records("Lead") == []


def test_a_record_is_linked_by_the_key_of_another(caller: Caller, org: Org) -> None:
    parent = caller.create("Case", Subject="first", Bird_Key__c="k-1").json()["id"]
    child = caller.create("Case", Subject="s", Parent={"Bird_Key__c": "k-1"}).json()["id"]
    assert (org.get("Case", child) or {})["ParentId"] == parent
    good, bad = caller.collection(
        {"type": "Case", "Subject": "good"}, {"type": "Case", "Parent": {"Bird_Key__c": "nobody"}}
    )
    assert (good["success"], bad["success"]) == (True, False)


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
    found = problem(caller.call(method, path))
    assert found[:2] == (status, code)
    assert status != 405 or found[2] == (
        "HTTP Method 'DELETE' not allowed. Allowed are GET,HEAD,POST"
    )


def test_a_body_of_another_type_is_refused(caller: Caller) -> None:
    response = caller.call("POST", "/sobjects/Lead", raw=b"a=b", Content_Type="text/plain")
    assert problem(response)[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_the_versions_are_told_without_a_token(anonymous: Caller) -> None:
    known = anonymous.call("GET", "/services/data/").json()
    assert known[-1] == {"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}
    assert [v["label"] for v in known[-4:-1]] == ["Winter '26", "Spring '26", "Summer '26"]


def test_describe_tells_lengths_picklists_and_what_is_required(caller: Caller) -> None:
    described = caller.call("GET", "/sobjects/Lead/describe").json()
    fields = {f["name"]: f for f in described["fields"]}
    assert (fields["LastName"]["length"], fields["Description"]["length"]) == (80, 32000)
    key = fields["Bird_Key__c"]
    assert key["unique"] and key["externalId"] and key["caseSensitive"]
    assert next(v["value"] for v in fields["LeadSource"]["picklistValues"]) == "Web"
    required_fields = [
        name
        for name, f in fields.items()
        if f["createable"] and not f["nillable"] and not f["defaultedOnCreate"]
    ]
    assert required_fields == ["LastName", "Company"]
    assert not fields["LastName"]["permissionable"]
    assert fields["Phone"]["permissionable"]
