"""One example of each thing that a customer can send, for docs/messages.md.

    python -m tests.unit.examples        writes the page's tables anew

A test holds the page against what the code makes of these bodies.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bridge.bird import channels_api
from bridge.bird.channels import table
from bridge.bird.mapping import fill
from bridge.bird.message import BirdMessage
from bridge.bird.webhooks import read_shape
from bridge.errors import Ignored
from tests.unit.bodies import channels, conversation, event_2026, sms_2022, v1
from tools.template import ROOT

PAGE = ROOT / "docs" / "messages.md"
LISTS = Path(channels_api.__file__).with_name("technical_keys.json")
MEDIA = "https://media.example/1"
ROE = {"address": "roe@example.org", "name": "Jane Roe"}
Body = dict[str, Any]


def flow(channel: str, sender: str, **bird: Any) -> Body:
    """What a flow sends."""
    return {"bird": {"channel": channel, "sender": sender, "displayName": "Jane Roe", **bird}}


def a(kind: str, content: Any, **more: Any) -> Body:
    """Conversations v1."""
    return v1(content if kind == "text" else {kind: content}, kind=kind, **more)


def b(kind: str, content: Body, *, of: str = "", **more: Any) -> Body:
    """The Channels API; the channel may be named with its identifier: `telegram 550018842`."""
    name, _, value = of.partition(" ")
    if name:
        keys = {"email": "emailaddress", "facebook": "facebookid-1648", "apple": "applebc-77"}
        more |= {"event": f"{name}.inbound", "key": keys.get(name, f"{name}:1"), "value": value}
    return channels({"type": kind, kind: content}, **more)


def c(**content: Any) -> Body:
    """WhatsApp of 2026."""
    return event_2026(text=..., **content)


def mail(kind: str, **data: Any) -> Body:
    """A mail of 2026."""
    named = {"whatsapp_id": ..., "text": ..., "direction": ..., "to": ["shop@example.org"]}
    return event_2026(kind, **named, **{"from": "roe@example.org", "subject": "Lamp", **data})


def apple(**message: Any) -> Body:
    """Apple Messages of 2026."""
    whole = {"id": "amb_1", "from": "urn:mbid:AQ1", "direction": "inbound", **message}
    return {"type": "amb.received", "timestamp": "2026-11-30T12:00:00Z", "data": {"message": whole}}


def response(**data: Any) -> Body:
    """What a customer chose in Apple Messages."""
    return apple(content={"type": "interactive", "interactive_data": {"data": data}})


CHANNELS: dict[str, Body] = {
    "WhatsApp": b("text", {"text": "Do you deliver?"}),
    "SMS": sms_2022("CALL ME"),
    "Viber": flow("viber", "447700900142", text="Where is it?"),
    "RCS": flow("rcs", "447700900142", text="Hello"),
    "Voice": flow("voice", "447700900142", text="Please call back"),
    "Email": b("html", {"html": "<p>It is <b>broken</b>.</p>"}, of="email roe@example.org"),
    "Messenger": b("text", {"text": "Hello"}, of="facebook 27612960145"),
    "Instagram": b("text", {"text": "Hello"}, of="instagram 17841400008"),
    "Telegram": flow("telegram", "1033247360", text="Hi"),
    "LINE": b("text", {"text": "Hello"}, of="line U4af4980629"),
    "WeChat": flow("wechat", "oZx12", text="Hello"),
    "TikTok": b("text", {"text": "Hello"}, of="tiktok 7001"),
    "LinkedIn": b("text", {"text": "Hello"}, of="linkedin ACo7"),
    "Apple Messages": apple(content={"type": "text", "body": "Where is my order?"}),
    "Live Chat": flow("livechat", "visitor-7", text="Hello"),
    "Google Business Messages": flow("gbm", "visitor-8", text="Hello"),
    "Bird": flow("carrier pigeon", "ring 12", text="Coo"),
}
"""A message of each channel, by its label; the last is a channel that the table does not name."""

CARD = {
    "origin": "other",
    "name": {"formatted_name": "B. Roe"},
    "org": {"company": "Acme"},
    "phone_numbers": [{"phone_number": "+16505551234", "type": "cell"}],
}
ITEM = {"product_retailer_id": "AB-1", "quantity": 2, "item_price": "4.50", "currency": "EUR"}
PRICE = {"amount": 450, "exponent": 2, "currencyCode": "EUR"}
ORDER = {"products": [{"externalProductId": "AB-1", "quantity": 2, "price": PRICE}]}
REFERRAL = {
    "title": "Summer",
    "metadata": {"source_id": "12", "source_url": "https://fb.me/3x", "tracking_id": "AR7"},
}
PAGES = [{"title": "Size", "subtitle": "s", "items": [{"title": "Large", "value": "l"}]}]

SHAPES: dict[str, dict[str, Body]] = {
    "Conversations v1 (legacy)": {
        "text": a("text", {"text": "Do you deliver?"}),
        "image, video, audio, file": a("image", {"url": MEDIA, "caption": "Fits?"}),
        "location": a("location", {"latitude": 52.1, "longitude": 4.3}),
        "email": a(
            "email",
            {
                "from": ROE,
                "subject": "Lamp",
                "content": {"html": "It is <b>broken</b>.<style>p {}</style>"},
                "attachments": [{"name": "lamp.jpg", "URL": MEDIA}],
            },
            platform="email",
        ),
        "interactive": a("interactive", {"reply": {"id": "row-2", "text": "Utrecht"}}),
        "whatsappText": a(
            "whatsappText",
            {
                "text": {"body": "In red?"},
                "context": {"referred_product": {"product_retailer_id": "AB-1"}},
            },
        ),
        "whatsappOrder": a("whatsappOrder", {"catalog_id": "c9", "product_items": [ITEM]}),
        "whatsappSticker": a("whatsappSticker", {"link": MEDIA}),
        "externalAttachment": v1({"externalAttachments": [{"url": MEDIA}]}),
        "event, rich, menu, buttons, link": a("rich", {"title": "Look"}),
        "`status` unsupported, nothing in it": a("text", {}, status="unsupported"),
    },
    "Channels API": {
        "text": b("text", {"text": "Do you deliver?"}),
        "text, a tapped button": b(
            "text",
            {
                "text": "Book",
                "actions": [
                    {"type": "postback", "postback": {"text": "Book", "payload": "book-2"}}
                ],
            },
        ),
        "html": b(
            "html",
            {
                "html": "<p>Broken</p><table><tr><td>Lamp<td>2</table>",
                "metadata": {"subject": "Lamp"},
                "attachments": [{"mediaUrl": MEDIA, "filename": "lamp.jpg"}],
            },
        ),
        "image": b("image", {"text": "Fits?", "images": [{"mediaUrl": MEDIA, "altText": "hall"}]}),
        "image, of a story": b(
            "image", {"images": [{"mediaUrl": MEDIA}], "metadata": {"storyType": "mention"}}
        ),
        "file, a voice message": b(
            "file", {"files": [{"mediaUrl": MEDIA, "contentType": "audio/ogg; codecs=opus"}]}
        ),
        "file, a document": b(
            "file", {"files": [{"mediaUrl": MEDIA, "contentType": "text/csv", "filename": "a.csv"}]}
        ),
        "file, a sticker": b("file", {"files": [{"mediaUrl": MEDIA, "contentType": "image/webp"}]}),
        "gif": b("gif", {"mediaUrl": MEDIA, "altText": "cat"}),
        "location": b(
            "location",
            {"coordinates": {"latitude": 52.1, "longitude": 4.3}, "location": {"label": "Hall"}},
        ),
        "carousel": b("carousel", {"items": [{"title": "Lamp", "description": "red"}]}),
        "list": b("list", {"title": "Sizes", "text": "Which one?"}),
        "section": b("section", {"items": [{"type": "text", "text": {"text": "Hello"}}]}),
        "`meta.referral`, beside a body": b("text", {"text": "Hi"}, meta={"referral": REFERRAL}),
        "`meta.order`": b("text", {"text": "Please"}, meta={"order": ORDER}),
        "`meta.referredProduct`": b(
            "text", {"text": "In red?"}, meta={"referredProduct": {"externalProductId": "AB-1"}}
        ),
        "any other type": b("poll", {"question": "Which colour?"}),
        "conversation.created, conversation.updated": conversation(),
    },
    "Events of 2026": {
        "whatsapp.received: text": event_2026(),
        "… image, video, document": c(document={"url": MEDIA, "filename": "a.pdf"}),
        "… audio": c(audio={"url": MEDIA, "voice": True}),
        "… sticker": c(sticker={"url": MEDIA}),
        "… a file without a link": c(image={"id": "waf_1"}),
        "… location": c(location={"name": "Hall", "address": "Main St 1", "url": MEDIA}),
        "… contact_cards": c(contact_cards=[CARD]),
        "… contact_cards, the number asked for": c(
            contact_cards=[{**CARD, "origin": "contact_request"}], **{"from": {"username": "roe"}}
        ),
        "… interactive_reply": c(
            interactive_reply={"list": {"slug": "r2", "text": "Utrecht", "description": "Mon-Fri"}}
        ),
        "… unsupported": c(unsupported={"type": "order"}),
        "… without a number": event_2026(**{"from": {"bsuid": "GB.12", "username": "roe"}}),
        "sms.received": event_2026("sms.received", sms_id="s", text="INFO", **{"from": "44770090"}),
        "sms.received, an MMS": event_2026("sms.received", text=..., subject="Lamp"),
        "email.received": mail("email.received", inbound_message_id="rem_1"),
        "email_mailbox.message_received": mail(
            "email_mailbox.message_received",
            message_id="rem_1",
            extracted_text="It is broken.",
            attachment_count=2,
        ),
        "amb.received: text": apple(
            content={"type": "text", "body": "\ufffcSee", "attachments": [{"name": "a.heic"}]}
        ),
        "… quick_reply": response(
            quick_reply={
                "selected_identifier": "2",
                "items": [{"identifier": "1", "title": "No"}, {"identifier": "2", "title": "Yes"}],
            }
        ),
        "… list_picker": response(
            list_picker={"sections": [{"title": "Sizes", "items": [{"title": "Large"}]}]}
        ),
        "… event": response(
            event={
                "title": "Fitting",
                "timeslots": [{"start_at": "2026-12-01T14:30:00Z", "duration_seconds": 1800}],
            }
        ),
        "… dynamic": response(dynamic={"data": {"selections": PAGES}}),
        "… payment, authenticate": response(payment={"state": "completed"}),
    },
}

IGNORED: dict[str, Body] = {
    "sent by your side (v1)": v1(direction="sent"),
    "an update of a message (v1)": {**v1(), "type": "message.updated"},
    "the platform `events` (v1)": v1(platform="events"),
    "`.outbound`, `.interaction` (Channels)": channels(event="whatsapp.interaction"),
    "no contact is the sender (Channels)": channels(sender={"connector": {}}),
    "a conversation in which somebody else wrote last": conversation(
        lastMessage={"sender": {"type": "bot"}}
    ),
    "an automatic reply": b(
        "html", {"text": "I am away", "metadata": {"headers": {"Auto-Submitted": "auto-replied"}}}
    ),
    "a bounce": b("html", {"text": "Failed", "metadata": {"headers": {"Return-Path": "<>"}}}),
    "deliveries, reads, calls … (2026)": event_2026("whatsapp.delivered"),
    "sent by your side (2026)": event_2026(direction="outbound"),
    "a reaction (2026)": c(unsupported={"type": "reaction"}),
    "a notice of WhatsApp's (2026)": c(unsupported={"type": "system"}),
    "imported history (2026)": event_2026(origin="history_sync"),
}


def message_of(body: Body) -> BirdMessage:
    """The message of an example."""
    if "bird" in body:
        return BirdMessage.parse(body["bird"])
    message = read_shape(body)
    assert message is not None, body
    return message


def description(message: BirdMessage) -> str:
    """The record's Description in a cell."""
    text = fill(message, message.channel.object)[0].get("Description", "")
    return "`" + text.replace("|", "\\|").replace("\n", "` ⏎ `") + "`"


def tables() -> dict[str, str]:
    """The page's tables, by the names of their places."""
    rows = ["| channel | becomes | who | Description |", "|---|---|---|---|"]
    for label, body in CHANNELS.items():
        message = message_of(body)
        assert message.channel.label == label, label
        found = fill(message, "Lead")[0]
        who = " ".join(filter(None, map(found.get, ("FirstName", "LastName", "Phone", "Email"))))
        rows.append(f"| {label} | {message.channel.object} | {who} | {description(message)} |")
    named = {channel.label for channel in table().values()}
    assert named == set(CHANNELS), named ^ set(CHANNELS)
    made = {"channels": "\n".join(rows)}
    for at, (name, shapes) in enumerate(SHAPES.items()):
        rows = [f"| {name} | Description |", "|---|---|"]
        rows += [f"| {kind} | {description(message_of(body))} |" for kind, body in shapes.items()]
        made[f"shapes {at}"] = "\n".join(rows)
    rows = ["| not a customer's message | reason |", "|---|---|"]
    for kind, body in IGNORED.items():
        try:
            read_shape(body)
        except Ignored as nothing:
            rows.append(f"| {kind} | {nothing} |")
        else:
            raise AssertionError(f"{kind} is not ignored")
    made["ignored"] = "\n".join(rows)
    rows = ["| keys that are not shown | where |", "|---|---|"]
    for shape, lists in json.loads(LISTS.read_text(encoding="utf-8")).items():
        for reason, paths in lists.items():
            keys = " ".join(f"`{path}`" for path in paths.split())
            rows.append(f"| {reason} | {shape}: {keys} |")
    made["technical"] = "\n".join(rows)
    return made


def written(page: str) -> str:
    """The page with its tables written anew."""
    for name, rows in tables().items():
        before, begin, rest = page.partition(f"<!-- table: {name} -->\n")
        assert begin, f"the page has no place for {name}"
        page = before + begin + "\n" + rows + "\n\n" + rest[rest.index("<!-- end -->") :]
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
