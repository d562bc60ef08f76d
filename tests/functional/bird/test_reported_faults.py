"""Faults that people met in public, each with a body of our own and the right value."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.stack import Response, Stack
from tests.functional.bird.conftest import made, only
from tests.unit import bodies
from tests.unit.bodies import channels, event_2026, v1

PHONE = "+447700900142"
ADA = {"address": "ada@example.com", "name": "Ada Okafor"}


def whatsapp(**data: Any) -> dict[str, Any]:
    return event_2026(text=..., **data)


def contact(key: str, value: str, **more: Any) -> dict[str, Any]:
    return {"contact": {"identifierKey": key, "identifierValue": value, **more}}


def apple(**message: Any) -> dict[str, Any]:
    whole = {
        "id": "amb_1",
        "conversation_id": "acv_1",
        "from": "urn:biz:abc",
        "direction": "inbound",
        **message,
    }
    return {"type": "amb.received", "timestamp": "2026-11-30T12:00:00Z", "data": {"message": whole}}


def flow(**bird: Any) -> dict[str, Any]:
    return {"bird": {"messageId": "z-1", "text": "Hi", **bird}}


BUTTON = {"type": "button", "button": {"slug": "change-booking", "text": "Change my booking"}}
ROW = {"type": "list", "list": {"slug": "row-2", "text": "Utrecht", "description": "Oudegracht 1"}}
NAMELESS = {"bsuid": "GB.9988", "username": "noor.d", "display_name": "Noor van Dijk"}
REFERRAL = {
    "source": "ad",
    "title": "Lamps -30%",
    "text": "This week",
    "metadata": {"source_id": "1202", "source_url": "https://fb.me/3x", "tracking_id": "ARAk"},
}
ITEM = {"product_retailer_id": "SKU-77", "quantity": 2, "item_price": "19.95", "currency": "EUR"}
MAIL = {
    "from": ADA,
    "subject": "Lamp",
    "content": {"html": "<p>The lamp arrived <b>broken</b>.</p>"},
    "attachments": [{"name": "lamp.jpg", "URL": "https://media.example/lamp.jpg"}],
}
ORDERED = {
    "externalProductId": "SKU-77",
    "externalCatalogId": "c9",
    "quantity": 2,
    "price": {"amount": 1995, "exponent": 2, "currencyCode": "EUR"},
}

RECORDS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "1 a tapped button": (
        whatsapp(interactive_reply=BUTTON),
        {"Description": "Change my booking\nButton: change-booking", "LastName": "Noor"},
    ),
    "1 a chosen row": (
        whatsapp(interactive_reply=ROW),
        {"Description": "Utrecht\nOudegracht 1\nButton: row-2"},
    ),
    "2 the sender's own card": (
        whatsapp(
            **{"from": NAMELESS},
            contact_cards=[
                {"origin": "contact_request", "phone_numbers": [{"phone_number": "+15550003333"}]}
            ],
        ),
        {"Phone": "+15550003333", "Description": "Contact card: +15550003333"},
    ),
    "3 somebody's card": (
        whatsapp(
            contact_cards=[
                {
                    "origin": "other",
                    "name": {"formatted_name": "Barbara Johnson"},
                    "phone_numbers": [{"phone_number": "+16505551234"}],
                }
            ]
        ),
        {"Phone": PHONE, "Description": "Contact card: Barbara Johnson · +16505551234"},
    ),
    "4 Apple Messages": (
        apple(content={"type": "text", "body": "Where is my order?"}),
        {
            "the message's key": "amb_1",
            "Subject": "Apple Messages: Where is my order?",
            "SuppliedName": "urn:biz:abc",
            "Description": "Where is my order?\nApple Messages: urn:biz:abc",
        },
    ),
    "5 a mailbox's mail": (
        event_2026(
            "email_mailbox.message_received",
            whatsapp_id=...,
            text=...,
            message_id="rem_1",
            subject="Quote",
            extracted_text="Please send the invoice.",
            attachment_count=1,
            **{"from": "alice@example.com"},
        ),
        {
            "the message's key": "rem_1",
            "Description": "Quote\nPlease send the invoice.\n1 attachment (in Bird)",
        },
    ),
    "6 an HTML mail": (
        bodies.without(
            v1({"email": MAIL}, kind="email", platform="email", **{"from": ADA["address"]}),
            "contact",
        ),
        {
            "SuppliedName": "Ada Okafor",
            "SuppliedEmail": "ada@example.com",
            "Description": "Lamp\nThe lamp arrived broken.\n"
            "Attachment (lamp.jpg): https://media.example/lamp.jpg",
        },
    ),
    "6 attachments beside a text": (
        v1(
            {
                "text": "See both",
                "externalAttachments": [
                    {"url": "https://media.example/1", "caption": "Front"},
                    {"url": "https://media.example/2"},
                ],
            },
            kind="externalAttachment",
        ),
        {
            "Description": "See both\nFront\nAttachment: https://media.example/1\n"
            "Attachment: https://media.example/2"
        },
    ),
    "7 a question about a product": (
        v1(
            {
                "whatsappText": {
                    "text": {"body": "In red?"},
                    "context": {
                        "from": "+447700900900",
                        "referred_product": {"catalog_id": "c9", "product_retailer_id": "SKU-77"},
                    },
                }
            },
            kind="whatsappText",
        ),
        {"Phone": PHONE, "Description": "In red?\nProduct: SKU-77 (catalogue c9)"},
    ),
    "7 the same of the Channels API": (
        channels(
            {"type": "text", "text": {"text": "In red?"}},
            meta={"referredProduct": {"externalProductId": "SKU-77", "externalCatalogId": "c9"}},
        ),
        {"Description": "In red?\nProduct: SKU-77 (catalogue c9)"},
    ),
    "8 an order": (
        v1(
            {
                "whatsappOrder": {
                    "catalog_id": "c9",
                    "text": "Friday please",
                    "product_items": [ITEM],
                }
            },
            kind="whatsappOrder",
        ),
        {"Description": "Friday please\nOrder: 2 × SKU-77 at 19.95 EUR (catalogue c9)"},
    ),
    "8 the same of the Channels API": (
        channels(
            {"type": "text", "text": {"text": "Friday please"}},
            meta={"order": {"products": [ORDERED]}},
        ),
        {"Description": "Friday please\nOrder: 2 × SKU-77 at 19.95 EUR (catalogue c9)"},
    ),
    "9 by an ad": (
        channels({"type": "text", "text": {"text": "Hello"}}, meta={"referral": REFERRAL}),
        {
            "Description": "Hello\nAd: Lamps -30% · This week · https://fb.me/3x · source 1202 · "
            "click ARAk"
        },
    ),
    "10 a second identifier": (
        channels(
            sender=contact(
                "whatsappbsuid",
                "PT.13",
                identifiers=[{"identifierKey": "phonenumber", "identifierValue": "+351910000001"}],
            )
        ),
        {"Phone": "+351910000001", "Description": "Do you deliver?"},
    ),
    "11 a handle beside a name": (
        flow(channel="telegram", sender="1033247360", displayName="Ada Okafor"),
        {"LastName": "Okafor", "Description": "Hi\nTelegram: 1033247360"},
    ),
    "12 an address that Salesforce refuses": (
        flow(channel="email", sender="josé@example.com", displayName="José Núñez", text="Broken"),
        {"Description": "Broken\nE-mail: josé@example.com"},
    ),
    "13 Family, Given": (
        {**flow(channel="email", sender="ada@example.com", displayName="Okafor, Ada")},
        {"SuppliedName": "Ada Okafor", "SuppliedEmail": "ada@example.com", "Description": "Hi"},
    ),
    "15 an unsupported kind": (
        whatsapp(unsupported={"type": "interactive"}),
        {"Description": "A message of the type interactive (open it in Bird)"},
    ),
    "18 null": (
        flow(channel="whatsapp", sender=PHONE, displayName="null"),
        {"LastName": PHONE, "Description": "Hi"},
    ),
    "18 undefined undefined": (
        flow(channel="whatsapp", sender=PHONE, displayName="undefined undefined"),
        {"LastName": PHONE, "Description": "Hi"},
    ),
    "18 None": (
        flow(channel="whatsapp", sender=PHONE, displayName="None"),
        {"LastName": PHONE, "Description": "Hi"},
    ),
    "20 more than STOP": (
        event_2026("sms.received", sms_id="s-2", text="STOP calling", **{"from": PHONE}),
        {"Description": "STOP calling"},
    ),
    "22 TikTok": (channels(event="tiktok.inbound"), {"LeadSource": "TikTok"}),
}

IGNORED = {
    "14 a reaction": (whatsapp(unsupported={"type": "reaction"}), "reaction"),
    "14 a notice of the system": (whatsapp(unsupported={"type": "system"}), "notice"),
    "19 an automatic mail": (
        channels(
            event="email.inbound",
            sender=contact("emailaddress", "ada@example.com"),
            meta={"email": {"headers": {"Auto-Submitted": "auto-replied"}}},
        ),
        "auto-replied",
    ),
    "19 the same inside the body": (
        channels(
            {"type": "html", "html": {"text": "x", "metadata": {"headers": {"return-path": "<>"}}}},
            event="email.inbound",
        ),
        "Return-Path",
    ),
    "19 of Conversations v1": (
        v1(
            {"email": {**MAIL, "headers": {"auto-submitted": ["auto-generated; owner=x"]}}},
            kind="email",
            platform="email",
        ),
        "auto-generated",
    ),
    "20 STOP": (
        event_2026("sms.received", sms_id="s-1", text="STOP", **{"from": PHONE}),
        "opt-out",
    ),
    "20 STOP by a flow": (flow(channel="sms", sender=PHONE, text="STOP"), "opt-out"),
    "23 imported": (event_2026(origin="history_sync"), "history_sync"),
    "23 an echo": (event_2026(origin="business_app_echo"), "business_app_echo"),
    "no channel of a person": (
        v1({"event": {"x": "y"}}, kind="event", platform="events"),
        "events",
    ),
}


def post(stack: Stack, body: dict[str, Any], path: str = "/messages") -> Response:
    return stack.request("POST", path, body)


@pytest.mark.parametrize("name", RECORDS)
def test_a_message_becomes_the_right_record_once(stack: Stack, name: str) -> None:
    body, expected = RECORDS[name]
    first, again = post(stack, body), post(stack, body)
    assert (first.status, again.status) == (201, 200), (first.body, again.body)
    record = {**only(stack, first.json()["object"]), "the message's key": first.json()["key"]}
    assert {field: record.get(field) for field in expected} == expected


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_no_customer_s_message_is_ignored_with_the_reason(stack: Stack, name: str) -> None:
    body, reason = IGNORED[name]
    answer = post(stack, body)
    assert (answer.status, answer.json()["outcome"]) == (200, "ignored")
    assert reason in answer.json()["message"]
    assert not made(stack, "Lead") and not made(stack, "Case")
    assert "MessagesIgnored" in stack.logs("receive_message")


def test_a_form_or_a_list_fills_a_multi_select_picklist(stack: Stack) -> None:
    """17: the org of the sandbox has none, so that the text shows in an ordinary field."""
    values = {"LastName": "a", "Company": "b", "Description": ["A", "B"]}
    form = "LastName=a&Company=b&Description=A&Description=B"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answers = [
        post(stack, values, "/leads"),
        stack.request("POST", "/leads", form, headers=headers),
    ]
    assert [one.status for one in answers] == [201, 201]
    assert [one["Description"] for one in made(stack, "Lead")] == ["A;B", "A;B"]


def test_a_country_that_is_not_on_the_list_is_refused_with_the_way_out(stack: Stack) -> None:
    """16: the org of the sandbox has no such picklists, so that its response is scripted."""
    refusal = {
        "message": "There's a problem with this country, even though it may appear correct.",
        "errorCode": "FIELD_INTEGRITY_EXCEPTION",
        "fields": ["Country"],
    }
    stack.org.trouble.add(area="rest", method="POST", status=400, body=[refusal], times=1)
    answer = post(stack, {"LastName": "a", "Company": "b", "Country": "Holland"}, "/leads")
    problem = answer.json()
    assert (answer.status, problem["kept"], problem["fields"]) == (422, True, "Country")
    assert "State and Country picklists are on; send the list's own value" in problem["hint"]
    assert "CountryCode / StateCode" in problem["hint"]


def test_what_is_not_known_or_does_not_fit_is_counted_and_logged_without_its_words(
    stack: Stack,
) -> None:
    poll = {"type": "poll", "poll": {"question": "Which colour?"}}
    assert post(stack, channels(poll)).status == 201
    text = only(stack, "Lead")["Description"]
    assert text == "payload.body.poll.question: Which colour?"
    assert post(stack, flow(channel="sms", text="word " * 9_000)).status == 201
    assert post(stack, bodies.without(v1(), "message.id")).status == 201
    log = stack.logs("receive_message")
    for metric in ("PartsUnread", "TextsCut", "MessagesWithoutId"):
        assert metric in log
    assert "payload.body.poll.question" in log and "Which colour" not in log
