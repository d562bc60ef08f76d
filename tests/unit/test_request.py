"""What a caller may send, and what of it becomes a record under which key."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.api.request import HttpRequest
from bridge.api.warnings import warnings_of
from bridge.bird import channels
from bridge.errors import BadRequest, ForbiddenField, Ignored
from bridge.records import ObjectName, stored_key
from bridge.settings import Settings
from tests.conftest import ENVIRON, LoadEvent
from tests.unit import bodies
from tests.unit.doubles import posted, read_requested


def request(body: object, **changed: Any) -> HttpRequest:
    """A POST with this body (text as it is, all else as JSON)."""
    text = body if isinstance(body, str) else json.dumps(body)
    return HttpRequest.from_event({"httpMethod": "POST", "body": text, **changed})


def fields(body: object, **more: Any) -> Any:
    """The fields of the record that it makes."""
    return posted(body, **more).record.fields


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


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
    event: LoadEvent, name: str, object_name: ObjectName, expected: dict[str, Any]
) -> None:
    requested = HttpRequest.from_event(event(name))
    record = read_requested(requested, object_name, settings=Settings.from_environ(ENVIRON)).record
    assert expected.items() <= record.fields.items()
    assert not any("{{" in str(value) for value in record.fields.values())


@pytest.mark.parametrize("stated", [None, [], "event", 7])
def test_what_is_no_event_is_a_bad_request(stated: object) -> None:
    with pytest.raises(BadRequest):
        HttpRequest.from_event(stated)


def test_a_bare_event_is_read_with_nothing_in_it() -> None:
    requested = HttpRequest.from_event({"requestContext": None, "headers": None, "body": None})
    assert (requested.method, dict(requested.headers), requested.body) == ("POST", {}, "")
    assert not requested.errors_inline and not requested.respond_async


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        # RFC 7240
        ({"headers": {"Prefer": "respond-async"}}, True),
        ({"headers": {"PREFER": "Respond-Async, wait=5"}}, True),
        ({"headers": {"prefer": "wait=5,respond-async;x=1"}}, True),
        ({"headers": {"Prefer": "respond-asynchronously"}}, False),
        ({"headers": {"Prefer": ""}}, False),
        ({"multiValueHeaders": {"Prefer": ["x", "respond-async"]}}, True),
        ({"multiValueHeaders": {"Prefer": []}}, False),
        ({"multiValueHeaders": ["Prefer"]}, False),
        # there it is not signed
        ({"headers": {"Prefer": "respond-async"}, "resource": "/webhooks/bird"}, False),
    ],
)
def test_prefer_is_a_header_in_any_case(event: dict[str, Any], wanted: bool) -> None:
    assert request({}, **event).respond_async is wanted


def test_the_query_is_read_from_the_many_valued_one_too() -> None:
    many = {"multiValueQueryStringParameters": {"errors": ["x", "inline"], "key": ["a/b"]}}
    for absent in (None, {}, {"errors": None}):
        requested = request({}, queryStringParameters=absent, **many)
        assert requested.errors_inline and requested.requested_keys() == [stored_key("a/b")]


@pytest.mark.parametrize(("value", "inline"), [("inline", True), (" INLINE ", True), ("x", False)])
def test_errors_inline_counts_even_where_the_body_cannot_be_decoded(
    value: str, inline: bool
) -> None:
    requested = request("%%%", isBase64Encoded=True, queryStringParameters={"errors": value})
    assert requested.errors_inline is inline
    with pytest.raises(BadRequest):
        _ = requested.body


def test_nothing_personal_is_in_the_repr() -> None:
    requested = request(
        {"LastName": "Okafor"}, headers={"x-api-key": "k"}, pathParameters={"key": "p"}
    )
    assert "Okafor" not in repr(requested) and "x-api-key" not in repr(requested)


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
        # quotes in a text that is not the last value
        '{"bird": {"text": "a"b", "channel": "sms"}}',
        '{"bird": {"channel": "s"ms"}}',
        '{"text": "',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_that_cannot_be_read_is_a_bad_request(body: str) -> None:
    with pytest.raises(BadRequest) as caught:
        posted(body)
    assert str(caught.value)


def test_a_body_may_be_nested_as_deeply_as_the_limit_says() -> None:
    posted('{"LastName":' + "[" * 19 + "]" * 19 + "}")
    posted({"LastName": "x", "bird": '{"media":' + "[" * 19 + "]" * 19 + "}"})


def test_a_fault_in_json_is_told_with_its_place_and_without_its_text() -> None:
    with pytest.raises(BadRequest, match=r"line 2, column") as caught:
        posted('{"LastName":\n secret}')
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "event"),
    [
        ('{"LastName": "Åb"}', {}),
        ('\ufeff{"LastName": "Åb"}', {}),
        *(
            ('{"LastName": "Åb"}', {"headers": {"Content-Type": one}})
            for one in ("application/json", "text/plain", "x/y; a=b")
        ),
        # what curl sends by default
        (' {"LastName": "Åb"}', {"headers": {"content-type": "application/x-www-form-urlencoded"}}),
        (base64.b64encode('{"LastName": "Åb"}'.encode()).decode(), {"isBase64Encoded": True}),
    ],
)
def test_json_is_read_whatever_it_says_that_it_is(body: str, event: dict[str, Any]) -> None:
    assert fields(body, **event)["LastName"] == "Åb"


@pytest.mark.parametrize(
    "body", ["%%%", base64.b64encode(b'{"a":"\xff"}').decode(), "YQ", {"LastName": "no text"}]
)
def test_base64_of_anything_but_utf_8_is_a_bad_request(body: Any) -> None:
    with pytest.raises(BadRequest):
        _ = HttpRequest.from_event({"body": body, "isBase64Encoded": True}).body


@pytest.mark.parametrize(
    "text",
    [
        *('He said "yes"', '"', '""', 'a "b": "c"}', 'C:\\temp "x"', 'x"\n"y'),
        *('"text": "again"', 'é\t"', "one\ntwo\tthree"),
    ],
)
@pytest.mark.parametrize("end", ["}}", "} }\n", "}\n}"])
def test_quotes_and_breaks_that_a_step_does_not_escape_cost_no_message_if_the_text_is_last(
    text: str, end: str
) -> None:
    record = posted(
        f'{{"bird": {{"channel": "sms", "messageId": "m-1", "text": "{text}"{end}'
    ).record
    assert (record.fields["Description"], record.key) == (text, "m-1")


def test_no_broken_body_is_slow() -> None:
    started = time.perf_counter()
    for begin, piece in (("", '{"text": "'), ('{"text": "', '"'), ('{"text":"x', "}")):
        with pytest.raises(BadRequest):
            posted(begin + piece * 1_000_000)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"LastName": "a\\ud800b", "\\udfffx": "c"}', "a\ufffdb"),
        ('{"LastName": "a\ud800b"}', "a\ufffdb"),
        ('{"LastName": "x", "bird": "{\\"text\\": \\"\\\\ud83d\\"}"}', "x"),
        ('{"LastName": "x", "N__r": {"a": ["\\ud83d"]}}', "x"),
        ("LastName=a\ud800b&bird.text=%ED%A0%80", "a\ufffdb"),
        ('{"LastName": "\\ud83d\\ude00😀"}', "😀😀"),
    ],
)
def test_a_lone_surrogate_is_replaced(body: str, name: str) -> None:
    headers = {} if body.startswith("{") else FORM
    found = fields(body, headers=headers, configured={"ALLOWED_FIELDS": "*"})
    assert found["LastName"] == name
    json.dumps(dict(found), ensure_ascii=False).encode()


@given(
    value=st.one_of(
        st.text(),
        st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x10FFFF, codec="utf-8")),
        st.booleans(),
        st.integers(-(10**15), 10**15),
    )
)
def test_an_explicit_value_reaches_the_record_as_it_was_sent(value: object) -> None:
    expected = None if isinstance(value, str) and not value.strip() else value
    assert fields({"LastName": "x", "Field__c": value}).get("Field__c") == expected


# Forms


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "bird.channel=sms&BIRD.sender=447700900142&bird.text=a+%26+b&Rating=Hot",
            {"Phone": "+447700900142", "Description": "a & b", "Rating": "Hot"},
        ),
        ("bird.media=https://m.example/1&bird.media=", {"Description": "https://m.example/1"}),
        ("bird.media=a&bird.media=https://m.example/2", {"Description": "https://m.example/2"}),
        ("LastName=x&LastName=x&bird.tags=a&bird.tags=b", {"LastName": "x"}),
        ("LastName=&LastName=Roe&LastName=+", {"LastName": "Roe"}),
        ("bird.text=&bird.text=hello", {"Description": "hello"}),
        ("LastName=x&Pick__c=A&Pick__c=B", {"Pick__c": "A;B"}),
    ],
)
def test_a_form_is_read_with_its_bird_fields(body: str, expected: dict[str, str]) -> None:
    found = fields(body, headers=FORM)
    assert all(value in found[name] for name, value in expected.items())


@pytest.mark.parametrize("body", ["&&", "&".join(["a=1"] * 1001)])
def test_a_form_that_cannot_be_read_is_a_bad_request(body: str) -> None:
    with pytest.raises(BadRequest):
        posted(body, headers=FORM)


# Fields


@pytest.mark.parametrize("name", ["Id", "ID", "id", "attributes", "Attributes"])
def test_some_fields_are_not_a_caller_s_to_set(name: str) -> None:
    address = {"queryStringParameters": {f"set.{name}": "x"}}
    for allowed in ("", "*", "Id,attributes"):
        for body, event in (({"LastName": "Berg", name: "00Q8d00000555AbEAM"}, {}), ({}, address)):
            with pytest.raises(ForbiddenField, match=name):
                posted(body, configured={"ALLOWED_FIELDS": allowed}, **event)
    for absent in (None, "", "{{contact.id}}"):
        assert name not in fields({"LastName": "Berg", name: absent})


ABSENT = object()


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        *((one, ABSENT) for one in (None, "", " ", "{{x.y}}", {}, {"a": "{{x}}"}, [None, ""])),
        *((one, one) for one in (0, False, "0", "Hi {{name}}", [], [{"a": 1}])),
        # several values are one text for a multi-select picklist
        (["A", "B", None, "{{c}}"], "A;B"),
        ([1, True], "1;true"),
        ({"Ext__c": "7", "Other__c": None}, {"Ext__c": "7"}),
    ],
)
def test_a_value_is_sent_without_its_absent_parts(value: object, sent: object) -> None:
    found = fields({"LastName": "x", "Odd__c": value}, configured={"ALLOWED_FIELDS": "*"})
    assert found.get("Odd__c", ABSENT) == sent


@pytest.mark.parametrize("absent", [None, "", " ", "{{owner}}"])
@pytest.mark.parametrize("names", [("rating", "Rating"), ("Rating", "rating")])
def test_an_absent_value_does_not_stand_beside_another_spelling(
    absent: object, names: tuple[str, str]
) -> None:
    for stated in ({names[0]: absent, names[1]: "Hot"}, {names[1]: "Hot", names[0]: absent}):
        assert fields({"LastName": "a", **stated})[names[1]] == "Hot"
    with pytest.raises(BadRequest, match="given twice"):
        posted({names[0]: "Hot", names[1]: "Hot"})


def test_an_absent_key_or_bird_does_not_stand_beside_another_spelling() -> None:
    stated = posted({"Bird_Key__c": "{{key}}", "bird_key__c": "k", "BIRD_KEY__C": None})
    assert (stated.record.key, stated.key_source) == ("k", "field")
    for absent in (None, "", " ", "{{bird}}"):
        assert posted({"bird": absent, "Bird": {"channel": "viber"}}).record.channel == "viber"
        assert posted({"LastName": "x", "bird": absent}).record.channel == "none"


def test_an_explicit_field_wins_in_any_case() -> None:
    bird = {"channel": "whatsapp", "sender": "447700900142", "text": "Hi", "displayName": "A B"}
    record = posted({"lastname": "Berg", "PHONE": "+1", "bird": bird}).record
    assert (record.fields["lastname"], record.fields["PHONE"]) == ("Berg", "+1")
    assert not {"LastName", "FirstName", "Phone"} & record.fields.keys(), "no mixed name either"
    assert record.derived == {"Company", "Description", "LeadSource"}


def test_a_lead_gets_the_default_company_and_a_case_does_not() -> None:
    assert fields({"LastName": "x"})["Company"] == "Individual"
    assert "Company" not in fields({"Subject": "x"}, at="Case")
    assert "Company" not in fields({"LastName": "x"}, configured={"DEFAULT_COMPANY": " "})


@pytest.mark.parametrize("name", ["Company", "company"])
def test_a_company_of_the_channel_s_own_comes_before_the_default(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stated = json.loads(channels.PATH.read_text(encoding="utf-8"))
    stated["channels"]["viber"]["values"] = {"Lead": {name: "A caller on Viber"}}
    table = channels.read_table(stated)
    monkeypatch.setattr(channels, "table", lambda: table)
    found = fields({"bird": {"channel": "viber"}})
    assert [v for n, v in found.items() if n.lower() == "company"] == ["A caller on Viber"]
    assert fields({"bird": {"channel": "sms"}})["Company"] == "Individual"


# Bird's own bodies, and the object that is made


@pytest.mark.parametrize(
    "body",
    [
        *(bodies.v1(), bodies.channels(), bodies.conversation(), bodies.event_2026()),
        *(bodies.sms_guide(), bodies.sms_2022()),
        *(bodies.sms_to_a_number(), bodies.sms_to_a_short_code()),
    ],
)
@pytest.mark.parametrize("at", ["Lead", "Case", None])
def test_a_body_of_bird_s_own_counts_forwarded_whole_and_inside_bird(
    body: dict[str, Any], at: ObjectName | None
) -> None:
    whole = posted(body, at=at)
    inside = posted({"Rating": "Hot", "bird": body}, at=at)
    inside_a_text = posted({"Rating": "Hot", "bird": json.dumps(body)}, at=at)
    for one in (inside, inside_a_text):
        assert one.record.fields == {**whole.record.fields, "Rating": "Hot"}
    assert whole.record.object == (at or "Lead")


def test_an_sms_comes_as_json_as_a_form_or_in_the_query() -> None:
    sms = bodies.sms_2022("a+b & c")
    query = {"queryStringParameters": {**sms, "odd": "x"}}
    requested = [
        posted(sms, at=None),
        posted(urlencode(sms), headers=FORM),
        posted("", at=None, **query),
        posted("", at=None, httpMethod="GET", **query),
    ]
    assert len({one.record.key for one in requested}) == 1
    assert all("a+b & c" in one.record.fields["Description"] for one in requested)
    assert not any(one.unused for one in requested)
    with pytest.raises(BadRequest, match="no query"):
        posted("", httpMethod="GET")


def test_what_no_customer_sent_is_ignored_at_any_route() -> None:
    stop = {"bird": {"channel": "sms", "sender": "+447700900142", "text": "STOP"}}
    ours = {"bird": {"channel": "sms", "direction": "outgoing", "text": "Hi"}}
    for body in (bodies.v1(direction="sent"), stop, ours):
        for at in ("Lead", "Case", None):
            with pytest.raises(Ignored):
                posted(body, at=at)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "body", "object_name"),
    [
        ("", {"bird": {"channel": "whatsapp"}}, "Lead"),
        ("", {"bird": {"channel": "viber"}}, "Case"),
        ("Case", {"bird": {"channel": "whatsapp"}}, "Case"),
        ("lead", {"bird": {"channel": "viber"}}, "Lead"),
        ("", {"bird": {"channel": "whatsapp", "object": "Case"}}, "Case"),
        ("Lead", {"bird": {"channel": "viber", "object": "Case"}}, "Lead"),
        ("{{x}}", {"bird": {"channel": "viber", "object": "{{x}}"}}, "Case"),
        ("", {"bird": {}}, "Lead"),
        ("Lead", {"LastName": "Okafor"}, "Lead"),
        ("", {"LastName": "Okafor"}, None),
        ("Contact", {"bird": {"channel": "sms"}}, None),
        ("", {"bird": {"channel": "sms", "object": "Contact"}}, None),
    ],
)
def test_the_channel_decides_unless_the_flow_says_otherwise(
    query: str, body: dict[str, Any], object_name: str | None
) -> None:
    parameters = {"queryStringParameters": {"object": query}}
    if object_name:
        assert posted(body, at=None, **parameters).record.object == object_name
    else:
        with pytest.raises(BadRequest, match="Lead"):
            posted(body, at=None, **parameters)


# Keys


def test_the_field_comes_before_the_message_and_the_message_before_the_header() -> None:
    headers = {"Idempotency-Key": "header-1", "webhook-id": "webhook-1"}
    bird = {"LastName": "x", "bird": {"messageId": "message-1"}}
    three = posted({**bird, "bird_key__C": "field-1"}, headers=headers)
    two = posted(bird, headers=headers)
    one = posted({"LastName": "x"}, headers=headers)
    none = posted({"LastName": "x"})
    assert [(r.record.key, r.key_source) for r in (three, two, one)] == [
        ("field-1", "field"),
        ("message-1", "message"),
        ("header-1", "header"),
    ]
    assert none.key_source == "made_up"
    assert none.record.key != posted({"LastName": "x"}).record.key
    assert not any(name.lower() == "bird_key__c" for name in three.record.fields)


def test_a_webhook_s_header_of_anybody_is_no_key() -> None:
    bird = {"LastName": "x", "bird": {"channel": "sms"}}
    headers = {"Idempotency-Key": "header-1", "webhook-id": "webhook-1"}
    assert posted(bird, headers=headers).record.key == "header-1"
    assert posted(bird, headers=headers, resource="/webhooks/bird").record.key == "webhook-1"


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
    made = posted({"LastName": "x", "bird": {"messageId": "m", **bird}})
    assert made.message.conversation == (stored_key(conversation) if conversation else "")


def test_without_a_key_field_it_is_an_ordinary_field() -> None:
    requested = posted({"LastName": "x", "Bird_Key__c": "k"}, configured={"EXTERNAL_ID_FIELD": ""})
    assert (requested.record.fields["Bird_Key__c"], requested.key_source) == ("k", "made_up")


@pytest.mark.parametrize("broken", ["{{message.id}}", "wa-{{message.id}}", "x}}", "{{"])
def test_a_variable_in_a_key_is_no_key_wherever_it_stands_and_is_counted(broken: str) -> None:
    body = {"LastName": "x", "Bird_Key__c": broken, "bird": {"messageId": "message-1"}}
    requested = posted(body, headers={"Idempotency-Key": broken})
    assert (requested.record.key, requested.key_source) == ("message-1", "message")
    assert requested.unresolved_keys == 1  # the header is not looked at any more
    requested = posted({"LastName": "x", "bird": {"messageId": broken}})
    assert (requested.key_source, requested.unresolved_keys) == ("made_up", 1)


# Asking for a record


@pytest.mark.parametrize(
    ("where", "key", "asked_for"),
    [
        ("pathParameters", "abc-1", ["abc-1"]),
        # as it is, and decoded
        ("pathParameters", "wamid.A%3D", [stored_key("wamid.A%3D"), stored_key("wamid.A=")]),
        ("queryStringParameters", "a/b%2F", [stored_key("a/b%2F")]),
    ],
)
def test_a_record_is_asked_for_by_its_key(where: str, key: str, asked_for: list[str]) -> None:
    assert request({}, **{where: {"key": key}}).requested_keys() == asked_for


@pytest.mark.parametrize(
    ("event", "why"),
    [
        *((one, "which record") for one in ({}, {"pathParameters": {"key": " "}})),
        ({"pathParameters": []}, "which record"),
        # A POST with it makes a record under another key, so nothing could ever be found.
        *(
            ({where: {"key": key}}, "variable without a value")
            for where in ("pathParameters", "queryStringParameters")
            for key in ("{{key}}", "m-{{id}}", "key}}", "undefined", "null", "None")
        ),
        ({"pathParameters": {"key": "%7B%7Bkey%7D%7D"}}, "variable without a value"),
    ],
)
def test_asking_without_a_key_is_a_bad_request(event: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        request({}, **event).requested_keys()


# The query, and what looks like a mistake


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
    body = {"bird": {"channel": channel, "messageId": "m", "text": "x"}}
    assert posted(body, queryStringParameters={"channel": query}).message.channel == read_as


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
    requested = posted({"LastName": "x", "bird": {"messageId": "m"}}, queryStringParameters=query)
    assert (warned_of in warnings_of(requested)) if warned_of else not requested.unused
    assert not any(value in warnings_of(requested) for value in ("inlined", "=", "m-1"))


@pytest.mark.parametrize(
    ("bird", "named"),
    [
        ({"sentAt": "yesterday"}, "bird.sentAt"),
        ({"sentAt": "2026-01-31"}, "bird.sentAt"),
        ({"direction": "outgoin"}, "bird.direction"),
        ({"text": {"text": "yesterday"}}, "bird.text holds more than a text"),
        ({"sentAt": "2026-01-31T12:00:00Z", "direction": "Incoming"}, ""),
        ({"sentAt": "{{sentAt}}", "direction": "{{direction}}"}, ""),
    ],
)
def test_a_value_that_cannot_be_read_is_named(bird: dict[str, str], named: str) -> None:
    requested = posted({"bird": {"messageId": "m", "text": "x", **bird}})
    shown = warnings_of(requested)
    assert (named in shown) if named else not requested.misread
    assert "yesterday" not in shown and "outgoin:" not in shown


@pytest.mark.parametrize(
    ("body", "hidden"),
    [
        ({"Description": "From the flow", "bird": {"text": "Is it blue?"}}, True),
        ({"Description": "They ask: Is it blue?", "bird": {"text": "Is it blue?"}}, False),
        ({"Note__c": "Is it blue?", "Description": "x", "bird": {"text": "Is it blue?"}}, False),
        ({"Description": "x", "bird": {"text": "x", "media": "https://a.example/1"}}, True),
        ({"Description": "x", "bird": {"channel": "sms", "sender": "+447700900142"}}, False),
        ({"Description": "x", "bird": {"conversationId": "c", "text": "Is it blue?"}}, False),
        ({"bird": {"text": "Is it blue?"}}, False),
    ],
)
def test_words_that_a_given_description_keeps_from_the_record_are_warned_of(
    body: dict[str, Any], hidden: bool
) -> None:
    """A conversation's Task shows them."""
    body["bird"] = {"channel": "whatsapp", "messageId": "m", **body["bird"]}
    assert ("since Description is given" in warnings_of(posted(body))) == hidden
