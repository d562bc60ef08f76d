"""What a body may set, and what only the deployer or the step's address may.

The rule is docs/adr/0078-a-body-is-a-template.md; which standard fields hold ids is Salesforce's:
the reference fields of Lead and Case in the Object Reference.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.api.warnings import warnings_of
from bridge.bird import channels
from bridge.errors import BadRequest
from tests.unit import bodies
from tests.unit.doubles import posted

REFERENCES = (
    *("OwnerId", "RecordTypeId", "IndividualId", "MasterRecordId", "ConvertedAccountId"),
    *("AccountId", "AssetId", "BusinessHoursId", "CommunityId", "ContactId", "EntitlementId"),
    *("ParentId", "ProductId", "QuestionId", "ServiceContractId", "SourceId", "FeedItemId"),
    *("ownerid", "OWNERID", "recordTypeID"),
)
"""Reference fields of Lead and Case (Object Reference), and spellings that Salesforce takes."""

CHOOSING: tuple[tuple[str, Any], ...] = (
    *((name, "0058d00000555Ab") for name in REFERENCES),
    ("Region__r", {"Code__c": "EU"}),
    ("REGION__R", "EU"),
    ("Owner", {"Username": "x"}),
    ("Parent", {"Bird_Key__c": "k"}),
    ("LastName", {"a": "b"}),
    ("Bird_Conversation__c", "conversation-1"),
    ("bird_conversation__C", "conversation-1"),
)
PLAIN: tuple[tuple[str, Any], ...] = (
    ("Rating", "Hot"),
    ("OwnerId__c", "a1B"),
    ("Region__c", "a1B8d00000555Ab"),
    ("Idea__c", "x"),
    ("Identifier", "x"),
    ("Picks__c", ["A", "B"]),
    ("Region__rx", "x"),
    ("Bird__c", "almost called like bird"),
    ("birds", "x"),
)


def allow(fields: str) -> dict[str, str]:
    """The setting that lets bodies set these fields."""
    return {"ALLOWED_FIELDS": fields}


def query(**parameters: str) -> dict[str, Any]:
    return {"queryStringParameters": {f"set.{name}": v for name, v in parameters.items()}}


# The same key twice


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"LastName": "a", "LastName": "b"}', "LastName"),
        ('{"LastName": "a", "LastName": "a"}', "LastName"),
        ('{"LastName": "a", "LastName": null}', "LastName"),
        ('{"LastName": "a", "Last\\u004eame": "b"}', "LastName"),
        ('{"bird": {"text": "a", "text": "b"}}', "text"),
        ('{"bird": {"media": [{"url": "a", "url": "b"}]}}', "url"),
        ('{"LastName": "a", "N__r": {"x": {"Code__c": "a", "Code__c": "b"}}}', "Code__c"),
        ('{"bird": "{\\"text\\": \\"a\\", \\"text\\": \\"b\\"}"}', "text"),
        ('{"type": "message.created", "message": {"id": "1", "id": "2"}}', "id"),
        ('{"bird": {"text": "a", "TEXT": "b"}}', "bird.TEXT"),
        ('{"bird": {"messageId": "a", "text": "b", "messageid": "c"}}', "bird.messageid"),
        ('{"": 1, "": 2}', ""),
        (f'{{"{"a" * 100_000}": 1, "{"a" * 100_000}": 2}}', "aaaa"),
    ],
    ids=lambda value: value[:40],
)
def test_a_key_that_is_twice_in_an_object_is_refused_and_named(body: str, name: str) -> None:
    with pytest.raises(BadRequest, match="twice") as caught:
        posted(body, configured=allow("*"))
    assert name in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "body",
    [
        '{"LastName": "a", "N__r": {"a": {"x": 1}, "b": {"x": 1}}}',
        '{"LastName": "a", "Description": "{\\"x\\": 1, \\"x\\": 2}"}',
        '{"LastName": "a", "lastname": null}',
        '{"LastName": "a", "bird": {"text": "b", "TEXT": null}}',
        '{"LastName": "a", "bird": {"text": "b", "TEXT": "{{x}}"}}',
    ],
)
def test_the_same_key_in_two_objects_or_without_a_value_is_no_second_one(body: str) -> None:
    assert posted(body).record.fields["LastName"] == "a"


# Ids and links in a body


@pytest.mark.parametrize(("name", "value"), CHOOSING)
def test_a_body_sets_no_id_and_no_link(name: str, value: Any) -> None:
    body = {"Company": "x", "bird": {"channel": "sms", "sender": "+447700900142"}, name: value}
    made = posted(body)
    assert made.left_out == (name,)
    assert name not in made.record.fields or name == "LastName", "the channel's own"
    assert value not in made.record.fields.values()
    assert name in warnings_of(made) and "AllowedFields" in warnings_of(made)
    assert str(value) not in warnings_of(made)
    assert value not in made.message.not_written.values()


@pytest.mark.parametrize(("name", "value"), CHOOSING)
@pytest.mark.parametrize("listed", ["*", "Nothing,{}", "{}", "Rating , {} ", "*,Rating"])
def test_it_sets_those_that_the_deployer_lists(name: str, value: Any, listed: str) -> None:
    for spelled in (name, name.upper(), name.lower()):
        made = posted({name: value, "Company": "x"}, configured=allow(listed.format(spelled)))
        assert made.record.fields[name] == value
        assert made.left_out == ()


@pytest.mark.parametrize("listed", ["Owner", "OwnerIds", "Id", "RecordTypeId", ""])
def test_a_name_is_listed_as_a_whole(listed: str) -> None:
    assert posted({"OwnerId": "005", "LastName": "x"}, configured=allow(listed)).left_out == (
        "OwnerId",
    )


@pytest.mark.parametrize(("name", "value"), PLAIN)
def test_every_other_field_needs_no_permission(name: str, value: Any) -> None:
    made = posted({"LastName": "x", name: value})
    assert made.left_out == () and name in made.record.fields


@pytest.mark.parametrize("absent", [None, "", "{{owner}}", {}, {"a": None}])
def test_an_absent_id_is_not_named(absent: Any) -> None:
    assert posted({"LastName": "x", "OwnerId": absent}).left_out == ()


def test_a_channel_s_id_stays_where_a_body_s_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of channels is the deployer's."""
    written = json.loads(channels.PATH.read_text(encoding="utf-8"))
    written["channels"]["viber"]["values"] = {"Lead": {"OwnerId": "005TABLE"}}
    table = channels.read_table(written)
    monkeypatch.setattr(channels, "table", lambda: table)
    made = posted({"OwnerId": "005BODY", "bird": {"channel": "viber"}})
    assert made.record.fields["OwnerId"] == "005TABLE"
    assert made.left_out == ("OwnerId",)


def test_the_warning_is_short_and_shows_the_way_that_there_is() -> None:
    assert "?set.OwnerId=" in warnings_of(posted({"LastName": "x", "OwnerId": "005"}))
    for body in ({"Region__r": {"a": "b"}}, {"OwnerId": "005", "Region__r": {"a": "b"}}):
        assert "?set." not in warnings_of(posted({"LastName": "x", **body}))
    made = posted({"LastName": "x", **{f"{'x' * 500}{n}Id": "y" for n in range(50)}})
    assert len(made.left_out) == 50
    assert len(warnings_of(made)) < 1_000 and "40 more" in warnings_of(made)


# The address


@pytest.mark.parametrize("body", [{"OwnerId": "005BODY"}, {"ownerid": "005BODY"}, {}])
@pytest.mark.parametrize("allowed", ["", "*"])
@pytest.mark.parametrize("prefix", ["set.", "SET."])
def test_what_the_address_sets_counts_and_goes_before_the_body(
    body: dict[str, str], allowed: str, prefix: str
) -> None:
    address = {"queryStringParameters": {f"{prefix}OwnerId": "005ADDRESS", "errors": "inline"}}
    made = posted({"LastName": "x", **body}, configured=allow(allowed), **address)
    owners = {n: v for n, v in made.record.fields.items() if n.lower() == "ownerid"}
    assert owners == {"OwnerId": "005ADDRESS"}
    assert made.record.has_owner and made.left_out == ()


@pytest.mark.parametrize("absent", ["", " ", "{{owner}}"])
def test_an_absent_value_in_the_address_sets_nothing(absent: str) -> None:
    made = posted({"LastName": "x", "Rating": "Hot"}, **query(Rating=absent, OwnerId=absent))
    assert made.record.fields["Rating"] == "Hot" and "OwnerId" not in made.record.fields


@pytest.mark.parametrize(
    "body", [{"bird": {"channel": "sms"}}, bodies.v1(), bodies.channels(), bodies.sms_guide()]
)
def test_any_field_can_be_set_in_it_and_its_company_is_not_derived(body: Any) -> None:
    fields = posted(body, **query(Company="Acme", OwnerId="005")).record.fields
    assert (fields["Company"], fields["OwnerId"]) == ("Acme", "005")


def test_it_counts_for_an_sms_in_the_query_and_is_no_part_of_it() -> None:
    parameters = {"originator": "447700900142", "payload": "INFO", "set.Vip__c": "true"}
    fields = posted("", httpMethod="GET", queryStringParameters=parameters).record.fields
    assert fields["Vip__c"] == "true"
    assert fields["Description"] == "INFO"


def test_an_opt_out_is_one_whatever_the_address_sets() -> None:
    from bridge.errors import Ignored

    stop = {"bird": {"channel": "sms", "sender": "+447700900142", "text": "STOP"}}
    with pytest.raises(Ignored):
        posted(stop, **query(OwnerId="005"))
    posted({**stop, "Rating": "Hot"})


@pytest.mark.parametrize(("address", "key"), [("address", "address"), ("{{x}}", "body")])
def test_the_key_can_be_set_in_it(address: str, key: str) -> None:
    made = posted({"LastName": "x", "Bird_Key__c": "body"}, **query(bird_key__c=address))
    assert (made.record.key, made.key_source) == (key, "field")


@pytest.mark.parametrize(
    "parameters",
    [
        {"set.bird": ["{}"]},
        {"set.": ["x"]},
        {"set.OwnerId": ["a"], "set.ownerid": ["b"]},
        {"set.OwnerId": ["a", "b"]},
    ],
)
def test_what_names_no_field_or_one_twice_is_refused(parameters: dict[str, list[str]]) -> None:
    single = {name: values[-1] for name, values in parameters.items()}
    with pytest.raises(BadRequest):
        posted(
            {"LastName": "x"},
            queryStringParameters=single,
            multiValueQueryStringParameters=parameters,
        )
