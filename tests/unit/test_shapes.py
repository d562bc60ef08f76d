"""Bird's own bodies are recognised, and nothing else is taken for one.

What is read of each type of message is in docs/messages.md, which test_every_leaf.py compares.
"""

from __future__ import annotations

from typing import Any

import pytest

from bridge.api.body import SHAPE_MARKS
from bridge.bird.mapping import fill
from bridge.bird.message import BirdMessage
from bridge.bird.webhooks import read_shape
from bridge.errors import Ignored
from tests.unit import bodies
from tests.unit.bodies import channels, conversation, event_2026, v1
from tests.unit.examples import apple

PHONE = "+447700900142"


def read(body: dict[str, Any], **more: Any) -> BirdMessage:
    message = read_shape(body, **more)
    assert message is not None, "not recognised"
    assert not SHAPE_MARKS.isdisjoint(body), "nobody would look at it"
    return message


EVERY = {
    "v1": v1(),
    "v1 as in the quick start": bodies.without(
        v1(platform=None), "contact", "message.from", "message.to", "conversation.status"
    ),
    "v1 message alone": v1()["message"],
    "channels": channels(),
    "channels message alone": channels()["payload"],
    "conversation": conversation(),
    "2026": event_2026(),
    "sms of the guide": bodies.sms_guide(),
    "sms of 2022": bodies.sms_2022(),
    "sms to a number": bodies.sms_to_a_number(),
    "sms to a short code": bodies.sms_to_a_short_code(),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_shape_is_recognised_and_becomes_a_record_with_a_name(name: str) -> None:
    message = read(EVERY[name])
    assert fill(message, "Lead")[0]["LastName"]
    assert fill(message, "Case")[0]["Subject"]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("field", ["LastName", "company", "Description", "Vip__c", "OwnerId"])
def test_beside_a_salesforce_field_no_body_is_a_shape(name: str, field: str) -> None:
    assert read_shape({**EVERY[name], field: "x"}) is None


@pytest.mark.parametrize(
    "body",
    [
        {"type": "Problem", "sender": PHONE, "body": "Hello"},
        {"type": "message.created", "sender": PHONE, "body": "Hello"},
        {"type": "message.created", "message": "Hello"},
        {"type": "whatsapp.received", "data": {}},
        {"type": "Electrical", "timestamp": "now", "data": {}},
        {"type": "Problem", "sender": PHONE, "receiver": PHONE, "body": "Hello"},
        {"sender": PHONE, "body": "Hello"},
        {"sender": {"x": 1}, "receiver": PHONE, "body": "Hello"},
        {"originator": PHONE},
        {"originator": PHONE, "payload": {"text": "Hello"}},
        {"originator": PHONE, "body": "Hello"},
        {"originator": PHONE, "message": {"text": "Hello"}, "shortcode": "1008"},
        {"service": "channels", "payload": {}},
        {"service": "repairs", "event": "x.inbound", "payload": {}},
        {"Service": "channels", "Event": "sms.inbound", "Payload": {}},
        {"channelId": "c", "sender": PHONE, "body": {"type": "text"}},
        {"channelId": "c", "content": {"text": "Hello"}},
        {"message": "Hello", "conversation": "c", "data": "d"},
        {},
    ],
)
def test_a_body_with_only_some_of_the_keys_is_a_plain_one(body: dict[str, Any]) -> None:
    assert read_shape(body) is None


def by(kind: str) -> dict[str, Any]:
    """The last message of a conversation, by somebody of that type."""
    return {"id": "m-9", "sender": {"type": kind, "id": "x-1"}, "preview": {"text": "Hi"}}


def with_headers(headers: dict[str, Any]) -> list[dict[str, Any]]:
    """Mails with these headers, wherever Bird gives them."""
    inside = {"html": {"text": "x", "metadata": {"headers": headers}}}
    return [
        channels(event="email.inbound", meta={"email": {"headers": headers}}),
        channels({"type": "html", **inside}, event="email.inbound"),
        v1({"email": {"subject": "Lamp", "headers": headers}}, kind="email"),
    ]


NOT_FROM_A_CUSTOMER = {
    "v1 conversation": {**v1(), "type": "conversation.created"},
    "v1 message alone, sent": v1(direction="sent")["message"],
    "channels outbound": channels(event="whatsapp.outbound", direction="outgoing"),
    "channels channel": {"service": "channels", "event": "channel.created", "payload": {"id": "c"}},
    "conversation deleted": conversation(event="conversation.deleted"),
    "conversation updated": conversation(event="conversation.updated"),
    "conversation by an agent": conversation(initiatingParticipant={"type": "user"}),
    "conversation without a customer": conversation(featuredParticipants=[]),
    "2026 of a kind nobody knows": event_2026("voice.call.ended"),
    "2026 an echo": event_2026(origin="business_app_echo"),
    **{
        f"automatic mail {at}": body
        for at, body in enumerate(
            with_headers({"auto-submitted": ["auto-generated; owner=x"]})
            + with_headers({"Return-Path": "<>"})
        )
    },
}


@pytest.mark.parametrize("name", NOT_FROM_A_CUSTOMER)
def test_what_no_customer_sent_is_ignored(name: str) -> None:
    with pytest.raises(Ignored):
        read_shape(NOT_FROM_A_CUSTOMER[name])


@pytest.mark.parametrize("nothing", [None, [], {}, [None]])
@pytest.mark.parametrize("name", ["Return-Path", "Auto-Submitted", "Content-Type"])
def test_a_header_without_a_value_makes_no_mail_automatic(name: str, nothing: object) -> None:
    """An empty Return-Path is a bounce's (RFC 3834); null says that Bird has none."""
    assert all(read(body) for body in with_headers({name: nothing}))


def in_direction(direction: Any) -> list[dict[str, Any]]:
    return [one(direction=direction) for one in (v1, channels, event_2026)]


@pytest.mark.parametrize("direction", ["incoming", "Incoming", "inbound", "received", "", None])
def test_whatever_a_direction_is_called_that_is_not_ours_is_a_customer_s(direction: Any) -> None:
    assert not any(read(body, replies=True).from_us for body in in_direction(direction))


@pytest.mark.parametrize("direction", ["sent", "Sent", "outgoing", "OUTGOING", "outbound"])
def test_what_is_ours_is_ours_in_any_generation_s_word(direction: str) -> None:
    for body in in_direction(direction):
        with pytest.raises(Ignored):
            read_shape(body)


# What is read of them


def sender(key: str, value: str, **more: Any) -> dict[str, Any]:
    return {"contact": {"identifierKey": key, "identifierValue": value, **more}}


def begun_by(key: str) -> dict[str, Any]:
    return conversation(featuredParticipants=[{"type": "contact", **sender(key, "27")}])


def card(origin: str, **who: str) -> dict[str, Any]:
    found = {"origin": origin, "phone_numbers": [{"phone_number": "+15550003333"}]}
    return event_2026(text=..., contact_cards=[found], **({"from": who} if who else {}))


def identified(event: str, key: str, value: str) -> dict[str, Any]:
    return channels(event=f"{event}.inbound", key=key, value=value, name=None)


OTHER = {"identifierKey": "phonenumber", "identifierValue": "+351910000001"}
C, M = "9d8c7b6a5f4e4d3c2b1a0f9e8d7c6b5a", "7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d"
CONVERSATION = "2e9f4b1c-7a3d-4e58-9c06-b5d81f3a7e24"
ADA = {"from": {"address": "ada@example.org", "name": "Ada Okafor"}, "subject": "Lamp"}
READ: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "v1: ids and number, which is no name": (
        v1(),
        {"message_id": M, "conversation_id": C, "phone": PHONE, "LastName": PHONE},
    ),
    "v1: a contact's number is no phone on Telegram": (
        bodies.without(
            v1(platform="telegram", contact={"customDetails": {"userId": 550018842}}),
            "message.from",
        ),
        {"phone": "", "LastName": "550018842"},
    ),
    "v1: it is one where senders are phones": (
        bodies.without(v1(platform="sms"), "message.from"),
        {"phone": PHONE},
    ),
    "v1: a mail's own address and name": (
        bodies.without(v1({"email": ADA}, kind="email", platform="email"), "contact"),
        {"email": "ada@example.org", "SuppliedName": "Ada Okafor"},
    ),
    "v1: an unknown type without content": (
        v1({"hsm": {}}, kind="hsm"),
        {"Description": "A message of the type hsm (open it in Bird)"},
    ),
    "v1: a catalogue and an order of another form": (
        v1({"whatsappOrder": {"catalog_id": "c-9", "product_items": {"0": {"n": "AB-1"}}}}),
        {
            "Description": "message.content.whatsappOrder.catalog_id: c-9\n"
            "message.content.whatsappOrder.product_items.0.n: AB-1"
        },
    ),
    "channels: a message alone names no channel": (channels()["payload"], {"channel": "unknown"}),
    "channels: a phone number": (
        identified("viber", "phonenumber", PHONE),
        {"channel": "viber", "phone": PHONE, "LastName": PHONE},
    ),
    "channels: digits of an unknown channel": (
        identified("pigeon", "pigeonid", "44770090014"),
        {"channel": "unknown", "phone": "", "LastName": "44770090014"},
    ),
    "channels: a second identifier": (
        channels(sender=sender("whatsappbsuid", "PT.13", identifiers=[OTHER])),
        {"Phone": "+351910000001", "Description": "Do you deliver?"},
    ),
    "channels: a second number beside the one they write from": (
        channels(sender=sender("phonenumber", PHONE, identifiers=[OTHER])),
        {"Phone": PHONE, "Description": "Do you deliver?\nAnother phone: +351910000001"},
    ),
    "channels: tags": (channels(tags=["a", {"name": "b"}, 7, {}]), {"tags": ("a", "b")}),
    "conversation: Messenger by its identifier": (
        begun_by("facebookid-1648"),
        {"channel": "messenger"},
    ),
    "conversation: the customer, not the agent": (
        conversation(),
        {"message_id": CONVERSATION, "SuppliedName": PHONE, "last_message": ""},
    ),
    "conversation: an update is of the same record": (
        conversation(event="conversation.updated", lastMessage=by("contact")),
        {"message_id": CONVERSATION, "last_message": "m-9"},
    ),
    "2026: without a number": (
        event_2026(**{"from": {"bsuid": "GB.447700900142", "username": "noor"}}),
        {"phone": "", "LastName": "noor"},
    ),
    "2026: an id of digits": (event_2026(**{"from": {"bsuid": "447700900142"}}), {"phone": ""}),
    "2026: the sender's own card": (
        card("contact_request", username="noor.d"),
        {"Phone": "+15550003333"},
    ),
    "2026: somebody's card": (card("other"), {"Phone": PHONE}),
    "2026: an empty card": (
        event_2026(text=..., contact_cards=[{}]),
        {"Description": "Contact card"},
    ),
    "2026: tags": (event_2026(tags=[{"name": "a", "value": "1"}]), {"tags": ("a=1",)}),
    "Apple Messages": (
        apple(content={"type": "text", "body": "Hi"}),
        {"channel": "apple", "message_id": "amb_1", "SuppliedName": "urn:mbid:AQ1"},
    ),
    "an SMS without a date has no key": (bodies.sms_guide(), {"message_id": ""}),
    "an SMS with an id has it": ({**bodies.sms_guide(), "id": "m-1"}, {"message_id": "m-1"}),
    "an SMS to a number": (
        bodies.sms_to_a_number("CALL ME"),
        {"message_id": "e8077d803532c0b5937c639b60216938", "text": "CALL ME", "details": ()},
    ),
    "an SMS to a short code": (
        bodies.sms_to_a_short_code("INFO please"),
        {"message_id": "123456789", "text": "INFO please", "details": ()},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_message_tells_who_sent_it_and_its_ids(name: str) -> None:
    body, expected = READ[name]
    message = read(body)
    found: dict[str, Any] = {**fill(message, "Case")[0], **fill(message, "Lead")[0]}
    found["channel"] = message.channel.name
    seen = {key: found[key] if key in found else getattr(message, key) for key in expected}
    assert seen == expected


def test_the_query_names_the_channel_that_a_body_does_not() -> None:
    assert read(channels()["payload"], channel="rcs").channel.name == "rcs"
    assert read(v1(), channel="rcs").channel.name == "whatsapp", "the body knows better"


def test_an_sms_with_a_date_has_the_same_key_again() -> None:
    one, again, other = map(read, map(bodies.sms_2022, ("INFO", "INFO", "other")))
    assert one.message_id and one.message_id == again.message_id != other.message_id


@pytest.mark.parametrize("participants", [None, [], {}, [{"type": "user", "id": "u-1"}]])
def test_a_conversation_that_a_contact_wrote_in_counts_whoever_takes_part(
    participants: object,
) -> None:
    """`lastMessage.sender.type` says that a contact wrote; field names drift in public captures."""
    message = read(conversation(featuredParticipants=participants, lastMessage=by("contact")))
    assert message.text == "Hi"
    with pytest.raises(Ignored):
        read_shape(conversation(featuredParticipants=participants, lastMessage=by("user")))


# What our side sent

CUSTOMER = {"id": "c", "identifierKey": "phonenumber", "identifierValue": PHONE}
OUT = {"direction": "outbound", "to": "urn:mbid:AQ1", "from": "urn:biz:abc"}
SENT = {
    "v1": (v1(direction="sent", to=PHONE, **{"from": "+31201234567"}), PHONE),
    "channels": (
        channels(
            event="whatsapp.outbound",
            direction="outgoing",
            sender={"connector": {"id": "x"}},
            receiver={"contacts": [CUSTOMER]},
        ),
        PHONE,
    ),
    "Apple": (
        {**apple(content={"type": "text", "body": "Hello"}, **OUT), "type": "amb.sent"},
        "urn:mbid:AQ1",
    ),
}


@pytest.mark.parametrize("name", SENT)
def test_what_our_side_sent_is_read_where_it_is_wanted(name: str) -> None:
    """The sender is the customer, who tells the conversation where it has no id."""
    body, customer = SENT[name]
    message = read(body, replies=True)
    assert message.from_us
    assert message.sender == customer and message.message_id
    assert message.text or message.details
    with pytest.raises(Ignored):
        read_shape(body)
