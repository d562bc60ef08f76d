"""Bird's own bodies are recognised, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.api.request import SHAPE_MARKS
from bridge.bird.mapping import fill
from bridge.bird.message import BirdMessage
from bridge.bird.webhooks import read_shape
from bridge.errors import Ignored
from tests.unit import bodies

PHONE = "+447700900142"


def read(body: dict[str, Any], **more: str) -> BirdMessage:
    message = read_shape(body, **more)
    assert message is not None, "not recognised"
    assert not SHAPE_MARKS.isdisjoint(body), "nobody would look at it"
    return message


def lead(body: dict[str, Any], **more: str) -> dict[str, Any]:
    return fill(read(body, **more), "Lead")[0]


EVERY = {
    "v1": bodies.v1(),
    "v1 as in the quick start": bodies.without(
        bodies.v1(platform=None), "contact", "message.from", "message.to", "conversation.status"
    ),
    "v1 message alone": bodies.v1()["message"],
    "channels": bodies.channels(),
    "channels message alone": bodies.channels()["payload"],
    "conversation": bodies.conversation(),
    "2026": bodies.event_2026(),
    "sms of the guide": bodies.sms_guide(),
    "sms of 2022": bodies.sms_2022(),
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


NOT_FROM_A_CUSTOMER = {
    "v1 sent by us": bodies.v1(direction="sent"),
    "v1 status": {**bodies.v1(), "type": "message.updated"},
    "v1 conversation": {**bodies.v1(), "type": "conversation.created"},
    "v1 message alone, sent": bodies.v1(direction="sent")["message"],
    "channels outbound": bodies.channels(event="whatsapp.outbound", direction="outgoing"),
    "channels interaction": bodies.channels(event="whatsapp.interaction"),
    "channels channel": {"service": "channels", "event": "channel.created", "payload": {"id": "c"}},
    "channels from a connector": bodies.channels(sender={"connector": {"id": "c"}}),
    "channels going out": bodies.channels(direction="outgoing"),
    "conversation deleted": bodies.conversation(event="conversation.deleted"),
    "conversation updated": bodies.conversation(event="conversation.updated"),
    "conversation by an agent": bodies.conversation(initiatingParticipant={"type": "user"}),
    "conversation answered by a bot": bodies.conversation(
        event="conversation.updated",
        lastMessage={"preview": {"text": "Hi"}, "sender": {"type": "bot"}},
    ),
    "conversation by a flow": bodies.conversation(
        lastMessage={"preview": {"text": "Hi"}, "sender": {"type": "flow"}}
    ),
    "conversation without a customer": bodies.conversation(featuredParticipants=[]),
    "2026 delivered": bodies.event_2026("whatsapp.delivered"),
    "2026 of a kind nobody knows": bodies.event_2026("voice.call.ended"),
    "2026 outbound": bodies.event_2026(direction="outbound"),
}


@pytest.mark.parametrize("name", NOT_FROM_A_CUSTOMER)
def test_what_no_customer_sent_is_ignored(name: str) -> None:
    with pytest.raises(Ignored):
        read_shape(NOT_FROM_A_CUSTOMER[name])


# What is read of them


def test_a_legacy_message_tells_sender_ids_and_words() -> None:
    message = read(bodies.v1())
    assert (message.channel.name, message.phone) == ("whatsapp", PHONE)
    assert message.message_id == "7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d"
    assert message.conversation_id == "9d8c7b6a5f4e4d3c2b1a0f9e8d7c6b5a"
    assert fill(message, "Lead")[0] == {
        "LastName": PHONE,  # the display name is just the number
        "Phone": PHONE,
        "LeadSource": "WhatsApp",
        "Description": "Do you deliver?",
    }


def test_the_number_of_a_contact_is_a_phone_only_where_senders_are_phones() -> None:
    telegram = bodies.v1(platform="telegram", contact={"customDetails": {"userId": 550018842}})
    fields = lead(bodies.without(telegram, "message.from"))
    assert "Phone" not in fields
    assert fields["LastName"] == "550018842"
    sms = bodies.without(bodies.v1(platform="sms"), "message.from")
    assert lead(sms)["Phone"] == PHONE


def test_the_query_names_the_channel_that_a_body_does_not() -> None:
    body = bodies.channels()["payload"]
    assert read(body).channel.name == "unknown"
    assert read(body, channel="rcs").channel.name == "rcs"
    assert read(bodies.v1(), channel="rcs").channel.name == "whatsapp", "the body knows better"


# docs/messages.md, which test_messages_page.py compares, has what is read of each type of message.


@pytest.mark.parametrize(
    "content, description",
    [
        ({"hsm": {"x": 1}}, "message.content.hsm.x: 1"),
        ({"hsm": {}}, "A message of the type hsm (open it in Bird)"),
        ({}, "A message of the type hsm (open it in Bird)"),
    ],
)
def test_a_legacy_message_of_an_unknown_type_becomes_readable(
    content: dict[str, Any], description: str
) -> None:
    assert lead(bodies.v1(content, kind="hsm"))["Description"] == description


def test_files_are_told_by_their_type_and_name() -> None:
    types = ("application/pdf", "audio/ogg", "video/mp4", "image/webp")
    files = [{"contentType": one, "mediaUrl": f"https://m.example/{one[:5]}"} for one in types]
    files.append({"mediaUrl": "https://m.example/5", "filename": "offer.xlsx"})
    body = bodies.channels({"type": "file", "file": {"files": files}})
    assert lead(body)["Description"].splitlines() == [
        *("Document: https://m.example/appli", "Audio: https://m.example/audio"),
        *("Video: https://m.example/video", "Sticker: https://m.example/image"),
        "Document (offer.xlsx): https://m.example/5",
    ]


def test_a_place_is_told_by_all_that_is_known_of_it() -> None:
    location = {
        "coordinates": {"latitude": 52.09, "longitude": 5.12},
        "location": {"address": "Oudegracht 1, Utrecht", "label": "Home"},
    }
    description = lead(bodies.channels({"type": "location", "location": location}))["Description"]
    assert description == "Location: Home · Oudegracht 1, Utrecht · 52.09, 5.12"


@pytest.mark.parametrize(
    ("event", "key", "value", "channel", "phone", "email"),
    [
        ("whatsapp.inbound", "phonenumber", PHONE, "whatsapp", PHONE, ""),
        ("viber.inbound", "phonenumber", PHONE, "viber", PHONE, ""),
        ("email.inbound", "emailaddress", "a@example.org", "email", "", "a@example.org"),
        ("facebook.inbound", "facebookid-1648", "27612960145", "messenger", "", ""),
        ("instagram.inbound", "instagramid", "17841400008", "instagram", "", ""),
        ("apple.inbound", "applebc-77", "urn:mbid:AQAA", "apple", "", ""),
        ("pigeon.inbound", "pigeonid", "44770090014", "unknown", "", ""),
    ],
)
def test_what_a_sender_is_says_the_identifier_s_key(
    event: str, key: str, value: str, channel: str, phone: str, email: str
) -> None:
    message = read(bodies.channels(event=event, key=key, value=value, name=None))
    assert message.channel.name == channel
    assert (message.phone, message.email) == (phone, email)
    assert fill(message, "Lead")[0]["LastName"] == (phone or value), "kept as it is"


@pytest.mark.parametrize(
    ("key", "channel"),
    [("facebookid-1648", "messenger"), ("applebc-77", "apple"), ("emailaddress", "email")],
)
def test_a_conversation_s_channel_is_told_by_its_identifier(key: str, channel: str) -> None:
    body = bodies.conversation()
    body["payload"]["featuredParticipants"][1]["contact"]["identifierKey"] = key
    assert read(body).channel.name == channel


def test_a_conversation_is_one_record_however_often_it_is_told_of() -> None:
    created = read(bodies.conversation())
    updated = read(
        bodies.conversation(
            event="conversation.updated",
            lastMessage={"preview": {"text": "And when?"}, "sender": {"type": "contact"}},
        )
    )
    assert created.message_id == updated.message_id == "2e9f4b1c-7a3d-4e58-9c06-b5d81f3a7e24"
    assert fill(created, "Case")[0]["SuppliedName"] == PHONE, "the customer, not the agent"


def test_an_event_of_2026_does_without_a_phone() -> None:
    fields = lead(bodies.event_2026(**{"from": {"bsuid": "GB.447700900142", "username": "noor"}}))
    assert "Phone" not in fields
    assert fields["LastName"] == "noor"
    assert "Phone" not in lead(bodies.event_2026(**{"from": {"bsuid": "447700900142"}}))


@pytest.mark.parametrize(
    "data, description",
    [
        (
            {"image": {"url": "https://m.example/1", "caption": "Look"}},
            "Look\nImage: https://m.example/1",
        ),
        ({"contact_cards": [{}]}, "Contact card"),
        ({"interactive_reply": {"button": {"slug": "YES", "text": "Yes"}}}, "Yes\nButton: YES"),
        (
            {"location": {"name": "Home", "latitude": 1.5, "longitude": 2.5}},
            "Location: Home · 1.5, 2.5",
        ),
    ],
)
def test_an_event_of_2026_becomes_readable(data: dict[str, Any], description: str) -> None:
    assert lead(bodies.event_2026(text=..., **data))["Description"] == description


def test_a_mail_without_attachments_is_its_subject_and_text() -> None:
    mail = {"from": "a@example.org", "subject": "Table", "text": ..., "extracted_text": "Oak?"}
    body = bodies.event_2026("email_mailbox.message_received", **mail)
    assert lead(body)["Description"] == "Table\nOak?"


def test_an_sms_with_a_date_has_a_key_and_one_without_has_none() -> None:
    one, again = read(bodies.sms_2022()), read(bodies.sms_2022())
    assert one.message_id and one.message_id == again.message_id
    assert read(bodies.sms_2022("other")).message_id != one.message_id
    assert read(bodies.sms_guide()).message_id == ""
    assert read({**bodies.sms_guide(), "id": "m-1"}).message_id == "m-1"


def test_tags_are_texts_or_have_names() -> None:
    assert read(bodies.channels(tags=["a", {"name": "b"}, 7, {}])).tags == ("a", "b")
    assert read(bodies.event_2026(tags=[{"name": "a", "value": "1"}])).tags == ("a=1",)


# What our side sent

CUSTOMER = {"id": "c", "identifierKey": "phonenumber", "identifierValue": PHONE}
APPLE = {"id": "amb_2", "conversation_id": "acv_1", "direction": "outbound", "to": "urn:mbid:AQ1"}
SENT = {
    "v1": (bodies.v1(direction="sent", to=PHONE, **{"from": "+31201234567"}), PHONE),
    "channels": (
        bodies.channels(
            event="whatsapp.outbound",
            direction="outgoing",
            sender={"connector": {"id": "x"}},
            receiver={"contacts": [CUSTOMER]},
        ),
        PHONE,
    ),
    "Apple": (
        {
            "type": "amb.sent",
            "timestamp": "2026-11-30T12:00:00Z",
            "data": {"message": {**APPLE, "content": {"type": "text", "body": "Hello"}}},
        },
        "urn:mbid:AQ1",
    ),
}


@pytest.mark.parametrize("name", SENT)
def test_what_our_side_sent_is_read_where_it_is_wanted(name: str) -> None:
    """The sender is the customer, who tells the conversation where it has no id."""
    body, customer = SENT[name]
    message = read_shape(body, replies=True)
    assert message.from_us
    assert message.sender == customer and message.message_id
    assert message.text or message.details
    with pytest.raises(Ignored):
        read_shape(body)


def test_a_customer_s_message_is_one_with_replies_too() -> None:
    for body in (bodies.v1(), bodies.channels(), bodies.event_2026()):
        message = read_shape(body, replies=True)
        assert message is not None and not message.from_us


@pytest.mark.parametrize(
    ("last", "told_by"), [({"id": "m-9", "createdAt": "2026-11-30T14:03:07Z"}, "m-9"), ({}, "")]
)
def test_a_conversation_s_event_names_its_last_message(last: dict[str, Any], told_by: str) -> None:
    last = {**last, "sender": {"type": "contact"}, "preview": {"text": "Hi"}}
    assert read(bodies.conversation(lastMessage=last)).last_message == told_by


@pytest.mark.parametrize("nothing", [None, [], {}, [None]])
def test_a_header_without_a_value_makes_no_mail_automatic(nothing: object) -> None:
    """An empty Return-Path is a bounce's (RFC 3834); null says that Bird has none."""
    for name in ("Return-Path", "Auto-Submitted", "Content-Type"):
        headers = {name: nothing}
        for body in (
            bodies.channels(event="email.inbound", meta={"email": {"headers": headers}}),
            bodies.v1({"email": {"subject": "Lamp", "headers": headers}}, kind="email"),
        ):
            assert read_shape(body) is not None


@pytest.mark.parametrize("direction", ["incoming", "Incoming", "inbound", "received", "", None])
def test_whatever_a_direction_is_called_that_is_not_ours_is_a_customer_s(
    direction: str | None,
) -> None:
    for body in (
        bodies.v1(direction=direction),  # type: ignore[arg-type]
        bodies.channels(direction=direction),
        bodies.event_2026(direction=direction),
    ):
        assert read_shape(body) is not None


@pytest.mark.parametrize("direction", ["sent", "Sent", "outgoing", "OUTGOING", "outbound"])
def test_what_is_ours_is_ours_in_any_generation_s_word(direction: str) -> None:
    for body in (
        bodies.v1(direction=direction),
        bodies.channels(direction=direction),
        bodies.event_2026(direction=direction),
    ):
        with pytest.raises(Ignored):
            read_shape(body)


@pytest.mark.parametrize("participants", [None, [], {}, [{"type": "user", "id": "u-1"}]])
def test_a_conversation_that_a_contact_wrote_in_counts_whoever_takes_part(
    participants: object,
) -> None:
    """`lastMessage.sender.type` says that a contact wrote; field names drift in public captures."""
    body = bodies.conversation()
    body["payload"]["featuredParticipants"] = participants
    body["payload"]["lastMessage"]["sender"] = {"id": "c-1", "type": "contact"}
    message = read_shape(body)
    assert message is not None and message.text
    body["payload"]["lastMessage"]["sender"] = {"id": "c-1", "type": "user"}
    with pytest.raises(Ignored):
        read_shape(body)


def test_a_catalogue_and_a_section_count_where_nothing_is_in_them() -> None:
    order = {"catalog_id": "c-9", "product_items": {"0": {"product_retailer_id": "AB-1"}}}
    message = read_shape(bodies.v1({"whatsappOrder": order}, kind="whatsappOrder"))
    assert message is not None
    assert "c-9" in str(message.details) and "AB-1" in str(message.details)
    picked = {"list_picker": {"sections": [{"title": "Sizes", "items": []}]}}
    content = {"type": "interactive", "interactive_data": {"data": picked}}
    apple = {"id": "amb_1", "direction": "inbound", "content": content}
    event = {"type": "amb.received", "timestamp": "2026-11-30T14:30:00Z"}
    message = read_shape({**event, "data": {"message": apple}})
    assert message is not None and message.text == "Sizes"
