"""What a caller may send, and what of it becomes a record under which key."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.api.request import HttpRequest
from bridge.api.warnings import warnings_of
from bridge.bird import channels
from bridge.errors import BadRequest, ForbiddenField
from bridge.records import ObjectName, stored_key
from bridge.settings import Settings
from tests.conftest import ENVIRON, LoadEvent, MakeSettings
from tests.unit.doubles import Asked, read_asked

EVERY_FIELD = Settings.from_environ({**ENVIRON, "ALLOWED_FIELDS": "*"})


def request(body: object, **changed: Any) -> HttpRequest:
    """A POST with this body (text as it is, all else as JSON)."""
    text = body if isinstance(body, str) else json.dumps(body)
    return HttpRequest.from_event({"httpMethod": "POST", "body": text, **changed})


def read(
    body: object, *, object_name: ObjectName = "Lead", settings: Settings | None = None, **more: Any
) -> Asked:
    settings = settings or Settings.from_environ(ENVIRON)
    return read_asked(request(body, **more), object_name, settings=settings)


def form(body: str, **more: Any) -> Asked:
    content_type = "application/x-www-form-urlencoded; charset=utf-8"
    return read(body, headers={"content-type": content_type}, **more)


def test_a_form_may_name_several_files() -> None:
    body = (
        "bird.channel=sms&bird.media=https://m.example/1&bird.media=&bird.media=https://m.example/2"
    )
    lines = form(body).record.fields["Description"].splitlines()
    assert lines == ["Attachment: https://m.example/1", "Attachment: https://m.example/2"]


# Events


@pytest.mark.parametrize(
    ("name", "object_name", "expected"),
    [
        ("create_lead", "Lead", {"LastName": "van Dijk", "Phone": "+447700900142"}),
        ("create_lead.fields", "Lead", {"LastName": "Okafor", "NumberOfEmployees": 42}),
        ("create_lead.whatsapp_media", "Lead", {"LastName": "+12025550187"}),
        ("create_lead.sms_form", "Lead", {"LastName": "+447700900178", "LeadSource": "Web"}),
        ("create_lead.instagram", "Lead", {"LastName": "atelier.mei", "LeadSource": "Instagram"}),
        ("create_lead.telegram", "Lead", {"FirstName": "Дмитрий", "LastName": "Орлов"}),
        ("create_lead.unresolved_variables", "Lead", {"LastName": "+491713920019"}),
        ("create_lead.base64", "Lead", {"LastName": "山田", "FirstName": "花子"}),
        ("create_lead.no_content_type", "Lead", {"LeadSource": "Voice"}),
        ("create_lead.missing_last_name", "Lead", {"Company": "Individual"}),
        ("create_case", "Case", {"Origin": "Viber", "SuppliedName": "Олена Шевченко"}),
        ("create_case.email", "Case", {"SuppliedEmail": "jean.lefevre@example.fr"}),
    ],
)
def test_an_event_file_is_read(
    event: LoadEvent,
    settings: MakeSettings,
    name: str,
    object_name: ObjectName,
    expected: dict[str, Any],
) -> None:
    asked = HttpRequest.from_event(event(name))
    record = read_asked(asked, object_name, settings=settings()).record
    assert expected.items() <= record.fields.items()
    assert not any("{{" in str(value) for value in record.fields.values())


@pytest.mark.parametrize("said", [None, [], "event", 7])
def test_what_is_no_event_is_a_bad_request(said: object) -> None:
    with pytest.raises(BadRequest):
        HttpRequest.from_event(said)


def test_a_bare_event_is_read_with_nothing_in_it() -> None:
    asked = HttpRequest.from_event({"requestContext": None, "headers": None, "body": None})
    assert (asked.method, dict(asked.headers), asked.body) == ("POST", {}, "")
    assert not asked.errors_inline and not asked.respond_async


def test_headers_are_read_in_any_case_and_from_the_many_valued_ones() -> None:
    one = request({}, headers={"PREFER": "respond-async"})
    many = request({}, headers=None, multiValueHeaders={"Prefer": ["x", "respond-async"]})
    none = request({}, headers=None, multiValueHeaders={"Prefer": []})
    odd = request({}, headers=None, multiValueHeaders=["Prefer"])
    assert [r.respond_async for r in (one, many, none, odd)] == [True, True, False, False]


def test_the_query_is_read_from_the_many_valued_one_too() -> None:
    many = {"multiValueQueryStringParameters": {"errors": ["x", "inline"], "key": ["a/b"]}}
    for absent in (None, {}, {"errors": None}):
        asked = request({}, queryStringParameters=absent, **many)
        assert asked.errors_inline and asked.requested_keys() == [stored_key("a/b")]


@pytest.mark.parametrize(
    ("prefer", "wanted"),
    [
        ("respond-async", True),
        ("Respond-Async, wait=5", True),
        ("wait=5,respond-async;x=1", True),
        ("respond-asynchronously", False),
        ("", False),
    ],
)
def test_prefer_is_read_as_rfc_7240_says(prefer: str, wanted: bool) -> None:
    assert request({}, headers={"Prefer": prefer}).respond_async is wanted


def test_prefer_does_not_count_where_it_is_not_signed() -> None:
    signed = request({}, headers={"Prefer": "respond-async"}, resource="/webhooks/bird")
    assert not signed.respond_async


@pytest.mark.parametrize(("value", "inline"), [("inline", True), (" INLINE ", True), ("x", False)])
def test_errors_inline_is_a_query_parameter(value: str, inline: bool) -> None:
    assert request({}, queryStringParameters={"errors": value}).errors_inline is inline


def test_a_body_that_cannot_be_decoded_still_leaves_the_query_readable() -> None:
    asked = request("%%%", isBase64Encoded=True, queryStringParameters={"errors": "inline"})
    assert asked.errors_inline
    with pytest.raises(BadRequest):
        _ = asked.body


def test_nothing_personal_is_in_the_repr() -> None:
    asked = request({"LastName": "Okafor"}, headers={"x-api-key": "k"}, pathParameters={"key": "p"})
    assert "Okafor" not in repr(asked) and "x-api-key" not in repr(asked)


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        *("", "  \n", "\ufeff", "LastName=Berg", '{"LastName": "Berg"', "{'LastName': 'Berg'}"),
        *("[]", "null", '"text"', "42", '{"NumberOfEmployees": NaN}'),
        *('{"NumberOfEmployees": -Infinity}', '{"NumberOfEmployees": 1e999}'),
        '{"NumberOfEmployees": ' + "9" * 5000 + "}",
        '{"a":' * 21 + "1" + "}" * 21,
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"bird": "text"}',
        '{"bird": ["a"]}',
        '{"bird": 7}',
        '{"bird": "' + "[" * 100_000 + '"}',
        json.dumps({"bird": '{"media":' + "[" * 20 + "]" * 20 + "}"}),
        '{"LastName": "a", "lastname": "b"}',
        '{"bird": {}, "Bird": {}}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_that_cannot_be_read_is_a_bad_request(body: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(body)
    assert str(caught.value)


def test_a_body_may_be_nested_as_deeply_as_the_limit_says() -> None:
    read('{"LastName":' + "[" * 19 + "]" * 19 + "}")
    deep = '{"media":' + "[" * 19 + "]" * 19 + "}"
    read({"LastName": "x", "bird": deep})


def test_a_fault_in_json_is_told_with_its_place_and_without_its_text() -> None:
    with pytest.raises(BadRequest, match=r"line 2, column") as caught:
        read('{"LastName":\n secret}')
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "x/y; a=b"])
def test_anything_that_does_not_say_it_is_a_form_is_json(content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert read({"LastName": "Berg"}, headers=headers).record.fields["LastName"] == "Berg"


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read('\ufeff{"LastName": "Berg"}').record.fields["LastName"] == "Berg"


def test_base64_is_decoded() -> None:
    body = base64.b64encode('{"LastName": "Åberg"}'.encode()).decode()
    assert read(body, isBase64Encoded=True).record.fields["LastName"] == "Åberg"


@pytest.mark.parametrize("body", ["%%%", base64.b64encode(b'{"a":"\xff"}').decode(), "YQ"])
def test_base64_of_anything_but_utf_8_is_a_bad_request(body: str) -> None:
    with pytest.raises(BadRequest, match="base64"):
        read(body, isBase64Encoded=True)


def test_an_event_s_body_that_is_no_text_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        read_asked(
            HttpRequest.from_event({"body": {"LastName": "Berg"}}),
            "Lead",
            settings=Settings.from_environ(ENVIRON),
        )


def test_a_text_with_raw_line_breaks_is_read_as_a_flow_writes_it() -> None:
    fields = read('{"LastName": "Berg", "Description": "one\ntwo\tthree"}').record.fields
    assert fields["Description"] == "one\ntwo\tthree"


@pytest.mark.parametrize(
    "body",
    [
        '{"LastName": "a\\ud800b", "\\udfffx": "c"}',
        '{"LastName": "a\ud800b"}',
        '{"LastName": "x", "bird": "{\\"text\\": \\"\\\\ud83d\\"}"}',
        '{"LastName": "x", "N__r": {"a": ["\\ud83d"]}}',
    ],
)
def test_half_a_character_is_replaced(body: str) -> None:
    record = read(body, settings=EVERY_FIELD).record
    json.dumps(dict(record.fields), ensure_ascii=False).encode()


def test_half_a_character_in_a_form_is_replaced() -> None:
    assert form("LastName=a\ud800b&bird.text=%ED%A0%80").record.fields["LastName"] == "a\ufffdb"


def test_a_whole_character_outside_the_basic_plane_is_kept() -> None:
    assert read('{"LastName": "\\ud83d\\ude00😀"}').record.fields["LastName"] == "😀😀"


@given(
    value=st.one_of(
        st.text(),
        st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x10FFFF, codec="utf-8")),
        st.booleans(),
        st.integers(-(10**15), 10**15),
    )
)
def test_an_explicit_value_reaches_the_record_as_it_was_sent(value: object) -> None:
    record = read({"LastName": "x", "Field__c": value}).record
    if isinstance(value, str) and not value.strip():
        assert "Field__c" not in record.fields
    else:
        assert record.fields["Field__c"] == value


# Forms


def test_a_form_is_read_with_its_bird_fields() -> None:
    record = form("bird.channel=sms&BIRD.sender=447700900142&bird.text=a+%26+b&Rating=Hot").record
    assert record.channel == "sms"
    assert record.fields["Phone"] == "+447700900142"
    assert record.fields["Description"] == "a & b"
    assert record.fields["Rating"] == "Hot"


def test_repeated_bird_fields_of_a_form_are_a_list() -> None:
    assert form("LastName=x&bird.tags=a&bird.tags=b").record.fields["LastName"] == "x"


@pytest.mark.parametrize("body", ["&&", "&".join(["a=1"] * 1001)])
def test_a_form_that_cannot_be_read_is_a_bad_request(body: str) -> None:
    with pytest.raises(BadRequest):
        form(body)


def test_several_values_of_a_field_are_one_text_for_a_multi_select_picklist() -> None:
    for made in (
        read({"LastName": "x", "Pick__c": ["A", "B", None, "{{c}}"]}),
        form("LastName=x&Pick__c=A&Pick__c=B"),
    ):
        assert made.record.fields["Pick__c"] == "A;B"
    assert read({"LastName": "x", "Pick__c": [1, True]}).record.fields["Pick__c"] == "1;true"
    assert read({"LastName": "x", "Odd__c": [{"a": 1}]}).record.fields["Odd__c"] == [{"a": 1}]
    assert "Pick__c" not in read({"LastName": "x", "Pick__c": [None, ""]}).record.fields
    assert form("LastName=x&LastName=x").record.fields["LastName"] == "x"


def test_json_that_says_it_is_a_form_is_read_as_json() -> None:
    assert form(' {"LastName": "Berg"}').record.fields["LastName"] == "Berg"


# Fields


@pytest.mark.parametrize("name", ["Id", "ID", "id", "attributes", "Attributes"])
def test_some_fields_are_not_a_caller_s_to_set(name: str) -> None:
    with pytest.raises(ForbiddenField, match=name):
        read({"LastName": "Berg", name: "00Q8d00000555AbEAM"})


@pytest.mark.parametrize("name", ["Id", "attributes"])
@pytest.mark.parametrize("absent", [None, "", "{{contact.id}}"])
def test_where_they_are_absent_they_are_left_out(name: str, absent: object) -> None:
    assert (
        set(read({"LastName": "Berg", name: absent}).record.fields) & {"Id", "attributes"} == set()
    )


@pytest.mark.parametrize("value", [None, "", " ", "{{contact.industry}}", {}, {"a": "{{x}}"}])
def test_an_absent_value_is_left_out(value: object) -> None:
    assert "Industry" not in read({"LastName": "Berg", "Industry": value}).record.fields


@pytest.mark.parametrize("absent", [None, "", " ", "{{owner}}"])
@pytest.mark.parametrize("names", [("rating", "Rating"), ("Rating", "rating")])
def test_an_absent_value_does_not_stand_beside_another_spelling(
    absent: object, names: tuple[str, str]
) -> None:
    for said in ({names[0]: absent, names[1]: "Hot"}, {names[1]: "Hot", names[0]: absent}):
        assert read({"LastName": "a", **said}).record.fields[names[1]] == "Hot"
    with pytest.raises(BadRequest, match="given twice"):
        read({names[0]: "Hot", names[1]: "Hot"})


def test_an_absent_key_or_bird_does_not_stand_beside_another_spelling() -> None:
    said = read({"Bird_Key__c": "{{key}}", "bird_key__c": "k", "BIRD_KEY__C": None})
    assert (said.record.key, said.key_source) == ("k", "field")
    assert read({"bird": None, "Bird": {"channel": "viber"}}).record.channel == "viber"
    assert read({"Bird": {"channel": "viber"}, "bird": ""}).record.channel == "viber"


def test_an_absent_value_of_a_form_is_not_a_second_one() -> None:
    said = form("LastName=&LastName=Roe&LastName=+&bird.tags=a&bird.tags=&bird.tags=b")
    assert said.record.fields["LastName"] == "Roe"
    assert form("bird.text=&bird.text=hello").record.fields["Description"] == "hello"


@pytest.mark.parametrize("value", [0, False, "0", "Hi {{name}}", []])
def test_a_present_value_is_sent_as_it_is(value: object) -> None:
    assert read({"LastName": "Berg", "Field__c": value}).record.fields["Field__c"] == value


def test_an_object_loses_its_absent_parts_only() -> None:
    body = {"LastName": "x", "Owner__r": {"Ext__c": "7", "Other__c": None}}
    fields = read(body, settings=EVERY_FIELD).record.fields
    assert fields["Owner__r"] == {"Ext__c": "7"}


def test_an_explicit_field_wins_in_any_case() -> None:
    bird = {"channel": "whatsapp", "sender": "447700900142", "text": "Hi"}
    record = read({"lastname": "Berg", "PHONE": "+1", "bird": bird}).record
    assert record.fields["lastname"] == "Berg"
    assert record.fields["PHONE"] == "+1"
    assert not {"LastName", "Phone"} & record.fields.keys()
    assert record.derived == {"Company", "Description", "LeadSource"}


def test_a_given_last_name_is_not_mixed_with_a_derived_first_name() -> None:
    record = read({"LastName": "Berg", "bird": {"displayName": "Ana López"}}).record
    assert "FirstName" not in record.fields


def test_a_lead_gets_the_default_company_and_a_case_does_not(settings: MakeSettings) -> None:
    assert read({"LastName": "x"}).record.fields["Company"] == "Individual"
    assert "Company" not in read({"Subject": "x"}, object_name="Case").record.fields
    without = read({"LastName": "x"}, settings=settings(DEFAULT_COMPANY=" "))
    assert "Company" not in without.record.fields


@pytest.mark.parametrize("name", ["Company", "company"])
def test_a_company_of_the_channel_s_own_comes_before_the_default(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    said = json.loads(channels.PATH.read_text(encoding="utf-8"))
    said["channels"]["viber"]["values"] = {"Lead": {name: "A caller on Viber"}}
    table = channels.read_table(said)
    monkeypatch.setattr(channels, "table", lambda: table)
    fields = read({"bird": {"channel": "viber"}}).record.fields
    assert [v for n, v in fields.items() if n.lower() == "company"] == ["A caller on Viber"]
    assert read({"bird": {"channel": "sms"}}).record.fields["Company"] == "Individual"


def test_a_field_may_be_called_almost_like_bird() -> None:
    fields = read({"LastName": "x", "Bird__c": "y", "birds": "z"}).record.fields
    assert (fields["Bird__c"], fields["birds"]) == ("y", "z")


def test_bird_may_be_json_in_a_text() -> None:
    text = json.dumps({"channel": "viber", "sender": "447700900142"})
    assert read({"LastName": "x", "bird": text}).record.channel == "viber"


@pytest.mark.parametrize("bird", [None, "", "{{bird}}", " "])
def test_an_absent_bird_is_none(bird: object) -> None:
    assert read({"LastName": "x", "bird": bird}).record.channel == "none"


def test_a_caller_s_own_channel_name_goes_no_further() -> None:
    assert read({"bird": {"channel": "<script>"}}).record.channel == "unknown"


# Keys


def test_the_field_comes_before_the_message_and_the_message_before_the_header() -> None:
    headers = {"Idempotency-Key": "header-1", "webhook-id": "webhook-1"}
    bird = {"LastName": "x", "bird": {"messageId": "message-1"}}
    three = read({**bird, "bird_key__C": "field-1"}, headers=headers)
    two = read(bird, headers=headers)
    one = read({"LastName": "x"}, headers=headers)
    none = read({"LastName": "x"})
    assert [(r.record.key, r.key_source) for r in (three, two, one)] == [
        ("field-1", "field"),
        ("message-1", "message"),
        ("header-1", "header"),
    ]
    assert none.key_source == "made_up"
    assert none.record.key != read({"LastName": "x"}).record.key


def test_a_webhook_s_header_of_anybody_is_no_key() -> None:
    bird = {"LastName": "x", "bird": {"channel": "sms"}}
    headers = {"Idempotency-Key": "header-1", "webhook-id": "webhook-1"}
    assert read(bird, headers=headers).record.key == "header-1"
    assert read(bird, headers=headers, resource="/webhooks/bird").record.key == "webhook-1"


@pytest.mark.parametrize(
    ("bird", "conversation"),
    [
        ({"channel": "whatsapp", "conversationId": "C-1", "sender": "+1"}, "C-1"),
        ({"channel": "WhatsApp", "sender": "+1"}, "whatsapp~+1"),
        ({"channel": "signal", "sender": "+1"}, "signal~+1"),
        ({"sender": "+1"}, "unknown~+1"),
        ({"channel": "email", "conversationId": "C-1"}, "C-1"),
        ({"channel": "email", "sender": "a@example.com"}, ""),
        ({"channel": "voice", "sender": "+1"}, ""),
        ({"sender": "a@example.com"}, ""),
        ({"channel": "whatsapp", "sender": "{{x}}", "conversationId": "{{y}}"}, ""),
        ({"channel": "whatsapp"}, ""),
    ],
)
def test_which_messages_are_of_a_conversation(bird: dict[str, Any], conversation: str) -> None:
    made = read({"LastName": "x", "bird": {"messageId": "m", **bird}})
    assert made.message.conversation == (stored_key(conversation) if conversation else "")


def test_the_key_field_is_no_ordinary_field() -> None:
    record = read({"LastName": "x", "bird_key__c": "k"}).record
    assert not any(name.lower() == "bird_key__c" for name in record.fields)


def test_without_a_key_field_it_is_an_ordinary_field(settings: MakeSettings) -> None:
    off = settings(EXTERNAL_ID_FIELD="")
    asked = read({"LastName": "x", "Bird_Key__c": "k"}, settings=off)
    assert asked.record.fields["Bird_Key__c"] == "k"
    assert asked.key_source == "made_up"


@pytest.mark.parametrize("broken", ["{{message.id}}", "wa-{{message.id}}", "x}}", "{{"])
def test_a_variable_in_a_key_is_no_key_wherever_it_stands(broken: str) -> None:
    body = {"LastName": "x", "Bird_Key__c": broken, "bird": {"messageId": "message-1"}}
    asked = read(body, headers={"Idempotency-Key": broken})
    assert (asked.record.key, asked.key_source) == ("message-1", "message")
    assert asked.unresolved_keys == 1  # the header is not looked at any more


@pytest.mark.parametrize("broken", ["{{message.id}}", "wa-{{message.id}}"])
def test_a_variable_for_a_message_id_is_counted(broken: str) -> None:
    asked = read({"LastName": "x", "bird": {"messageId": broken}})
    assert (asked.key_source, asked.unresolved_keys) == ("made_up", 1)


@pytest.mark.parametrize("value", [None, "", "  ", True, {"a": 1}, ["k"]])
def test_what_is_no_text_is_no_key(value: object) -> None:
    asked = read({"LastName": "x", "Bird_Key__c": value, "bird": {"messageId": "m"}})
    assert asked.record.key == "m"


def test_a_number_is_the_key_that_its_text_is() -> None:
    assert read({"LastName": "x", "Bird_Key__c": 98231}).record.key == "98231"


# Asking for a record


def test_a_key_in_the_path_is_tried_as_it_is_and_decoded() -> None:
    asked = request({}, pathParameters={"key": "wamid.A%3D"})
    assert asked.requested_keys() == [stored_key("wamid.A%3D"), stored_key("wamid.A=")]


def test_a_plain_key_is_asked_for_once() -> None:
    assert request({}, pathParameters={"key": "abc-1"}).requested_keys() == ["abc-1"]


def test_a_key_in_the_query_is_taken_as_it_is() -> None:
    asked = request({}, queryStringParameters={"key": "a/b%2F"})
    assert asked.requested_keys() == [stored_key("a/b%2F")]


@pytest.mark.parametrize("more", [{}, {"pathParameters": {"key": " "}}, {"pathParameters": []}])
def test_asking_without_a_key_is_a_bad_request(more: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="which record"):
        request({}, **more).requested_keys()


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("pathParameters", "{{key}}"),
        ("pathParameters", "%7B%7Bkey%7D%7D"),
        ("pathParameters", "m-{{id}}"),
        ("pathParameters", "undefined"),
        ("pathParameters", "null"),
        ("queryStringParameters", "{{key}}"),
        ("queryStringParameters", "None"),
        ("queryStringParameters", "key}}"),
    ],
)
def test_a_variable_without_a_value_is_no_key_to_ask_for(where: str, key: str) -> None:
    """A POST with it makes a record under another key, so nothing could ever be found."""
    with pytest.raises(BadRequest, match="variable without a value"):
        request({}, **{where: {"key": key}}).requested_keys()


# The query


@pytest.mark.parametrize(
    ("channel", "query", "read_as"),
    [
        (None, "viber", "viber"),
        ("{{channel}}", "viber", "viber"),
        ("whatsapp", "viber", "whatsapp"),
        (None, "nonsense", "unknown"),
    ],
)
def test_a_channel_in_the_query_counts_where_bird_names_none(
    channel: str | None, query: str, read_as: str
) -> None:
    asked = read(
        {"bird": {"channel": channel, "messageId": "m", "text": "x"}},
        queryStringParameters={"channel": query},
    )
    assert asked.message.channel == read_as


@pytest.mark.parametrize(
    ("query", "warned_of"),
    [
        ({"errors": "inline", "channel": "sms", "set.Rating": "Hot", "object": "lead"}, ""),
        ({"errors": ""}, ""),
        ({"object": "{{object}}"}, ""),
        ({"OwnerId": "005"}, "OwnerId does nothing"),
        ({"set[OwnerId]": "005"}, "set[OwnerId] does nothing"),
        ({"Errors": "inline"}, "Errors does nothing"),
        ({"key": "m-1"}, "key does nothing"),
        ({"errors": "inlined"}, "errors takes inline only"),
        ({"object": "Case"}, "object counts at /messages only"),
        ({f"a{n:03}": "x" for n in range(50)}, "a009 and 40 more"),
    ],
)
def test_a_part_of_the_query_that_does_nothing_is_named(
    query: dict[str, str], warned_of: str
) -> None:
    asked = read({"LastName": "x", "bird": {"messageId": "m"}}, queryStringParameters=query)
    assert (warned_of in warnings_of(asked)) if warned_of else not asked.unused
    assert not any(value in warnings_of(asked) for value in ("inlined", "=", "m-1"))


def test_an_sms_in_the_query_is_no_query_that_does_nothing() -> None:
    sms = {"originator": "31612345678", "payload": "Hi", "odd": "x"}
    assert not read("", httpMethod="GET", queryStringParameters=sms).unused


def test_a_get_without_a_query_is_not_told_to_send_a_body() -> None:
    with pytest.raises(BadRequest, match="no query"):
        read("", httpMethod="GET")


@pytest.mark.parametrize(
    ("bird", "named"),
    [
        ({"sentAt": "yesterday"}, "bird.sentAt"),
        ({"sentAt": "2026-01-31"}, "bird.sentAt"),
        ({"direction": "outgoin"}, "bird.direction"),
        ({"sentAt": "2026-01-31T12:00:00Z", "direction": "Incoming"}, ""),
        ({"sentAt": "{{sentAt}}", "direction": "{{direction}}"}, ""),
    ],
)
def test_a_value_that_cannot_be_read_is_named(bird: dict[str, str], named: str) -> None:
    asked = read({"bird": {"messageId": "m", "text": "x", **bird}})
    shown = warnings_of(asked)
    assert (named in shown) if named else not asked.misread
    assert "yesterday" not in shown and "outgoin:" not in shown
