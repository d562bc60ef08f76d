"""Generation C: the events of Bird's platform of 2026.

Shapes: the models of PyPI `messagebird-sdk` 0.106.0 (`bird/_generated.py`), which the tests
generate their bodies from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.bird.channels import SenderKind, channel_named
from bridge.bird.lines import Content, joined
from bridge.bird.message import FROM_US, BirdMessage
from bridge.bird.part import Part, of_type, technical_keys
from bridge.bird.texts import CUT, IN_BIRD, MAIL_IN_BIRD
from bridge.errors import Ignored

_TECHNICAL = technical_keys("events_2026")
_MEDIA = ("image", "video", "audio", "sticker", "document", "file")
_IDS = {"email": ("inbound_message_id",), "email_mailbox": ("message_id",), "amb": ("id",)}
"""The message's own id; `message_id` of `email.received` is the mail's RFC 5322 Message-ID."""
_NOT_LIVE = {
    "business_app_echo": "it was sent by the business (business_app_echo)",
    "business_agent_echo": "it was sent by the business (business_agent_echo)",
    "history_sync": "it was imported, not written now (history_sync)",
}
_NO_MESSAGE = {"reaction": "a reaction to a message", "system": "a notice of WhatsApp's own"}
_PLACE_OF_ATTACHMENT = "\ufffc"


def read(body: Mapping[str, Any], channel: str, replies: bool) -> BirdMessage:
    """The message of an event. Raises Ignored."""
    event = str(body["type"])
    platform, what = event.split(".", 1)
    from_us = replies and event == "amb.sent"  # the others say no word of what was sent
    if what not in ("received", "message_received") and not from_us:
        raise Ignored("it is no message from a customer", event=event)
    whole = Part(body)
    whole.skip("type")
    data = whole.part("data")
    if platform == "amb":
        data = data.part("message") or data
    if data.text("direction").lower() in FROM_US and not from_us:
        raise Ignored("it was sent to the customer, not by them", event=event)
    origin, unsupported = data.text("origin"), data.part("unsupported").text("type")
    for reasons, name in ((_NOT_LIVE, origin), (_NO_MESSAGE, unsupported)):
        if name in reasons:
            raise Ignored(reasons[name], event=event)
    content = Content()
    if origin:
        content.lines.append(f"Origin: {origin}")
    content.title(data.text("subject"))
    who = {"sender": data.text("to")} if from_us else _sender(data)
    if platform == "email":
        content.lines.append(MAIL_IN_BIRD)
    elif platform == "email_mailbox":
        _read_mailbox(content, data)
    elif platform == "amb":
        _read_apple(content, data)
    else:
        who["known_phone"] = _read_message(content, data)
    if platform == "sms" and not content.texts:
        content.lines.append("Attachment (in Bird)")  # of an MMS only Bird has them
    if "unsupported" in data:
        content.lines.append(of_type(unsupported or "unsupported"))
    return BirdMessage(
        from_us=from_us,
        channel=channel_named(platform),
        called=platform,
        message_id=data.text(*_IDS.get(platform, (f"{platform}_id", "message_id", "id"))),
        conversation_id=data.text("conversation_id") or data.text("thread_id"),
        contact_id=data.text("contact_id"),
        sent_at=data.text("created_at") if platform == "amb" else whole.text("timestamp"),
        tags=data.labels("tags"),
        **who,
        **content.finished(whole, _TECHNICAL, data.text("kind") or what),
    )


def _sender(data: Part) -> dict[str, Any]:
    """Who it is from: an address, a number or an opaque id as text, or WhatsApp's object, in which
    each of phone number, user name and business-scoped id may be absent, and all of them too."""
    who = data.part("from")
    ids = [one for one in map(who.text, ("phone_number", "username", "bsuid")) if one]
    kind: SenderKind | None = ("phone" if who.text("phone_number") else "id") if who else None
    return {
        "sender": ids[0] if ids else data.text("from"),
        "sender_kind": kind,
        "handles": tuple(ids[1:]),
        "display_name": who.text("display_name"),
    }


def _read_message(content: Content, data: Part) -> str:
    """WhatsApp, SMS, and what may come beside them; the sender's own number if they shared it."""
    content.say(data.words("text"), data.part("text").words("body"))
    for name in _MEDIA:
        if name in data:
            part = data.part(name)
            content.media(
                "Voice message" if part.flag("voice") else name.capitalize(), part, "filename"
            )
    if place := data.part("location"):
        content.place(place)
    reply = data.part("interactive_reply")
    for tapped in (reply.part("button"), reply.part("list"), reply):
        content.tapped(
            label=tapped.words("text"),
            description=tapped.text("description"),
            handle=tapped.text("slug"),
        )
    shared = ""
    for card in data.parts("contact_cards"):
        if card.text("origin") == "contact_request" and not shared:
            shared = next((one.text("phone_number") for one in card.parts("phone_numbers")), "")
        content.contact_card(card)
    if group := data.part("to").text("group_id"):
        content.lines.append(f"Group: {group}")
    return shared


def _read_mailbox(content: Content, mail: Part) -> None:
    text = mail.words("extracted_text")
    content.say(text + CUT if mail.flag("truncated_text") else text)
    if not text.strip():
        content.lines.append(MAIL_IN_BIRD)
    if (count := mail.text("attachment_count")) not in ("", "0"):
        content.lines.append(f"{count} attachment{'s' if count != '1' else ''} (in Bird)")


def _read_apple(content: Content, message: Part) -> None:
    inner = message.part("content")
    content.title(inner.text("subject"))
    content.say(inner.words("body").replace(_PLACE_OF_ATTACHMENT, ""))
    interactive = inner.part("interactive_data")
    reply, data = interactive.part("reply_message"), interactive.part("data")
    rows = _read_choice(content, data)
    content.say(*(text for text in map(reply.text, _BUBBLE) if text not in rows))
    if app := joined((interactive.text("app_name"), interactive.text("url"))):
        content.lines.append(f"App: {app}")
    for part in inner.parts("attachments"):
        content.media("Attachment", part, "name")
    if entry := joined((message.text("intent"), message.text("group"))):
        content.lines.append(f"Entry point: {entry}")


_BUBBLE = (
    *("title", "subtitle", "secondary_subtitle", "tertiary_subtitle"),
    *("image_title", "image_subtitle"),
)


def _read_choice(content: Content, data: Part) -> list[str]:
    """What was chosen or filled in, not the choices beside it; the chosen rows are returned."""
    quick = data.part("quick_reply")
    chosen = quick.text("selected_identifier")
    for item in quick.parts("items"):
        if item.text("identifier") == chosen:
            content.say(item.text("title"))
            chosen = ""
    content.say(chosen)
    rows = []
    for section in data.part("list_picker").parts("sections"):
        title, items = section.text("title"), section.parts("items")
        content.say("" if items else title)
        for item in items:
            rows.append(item.text("title"))
            row = joined((rows[-1], item.text("subtitle")))
            content.say(f"{title}: {row}" if title else row)
    if event := data.part("event"):
        slots = [
            f"{slot.text('start_at')} ({slot.text('duration_seconds')} s)"
            for slot in event.parts("timeslots")
        ]
        content.say(joined((event.text("title"), *slots)))
        if place := event.part("location"):
            content.place(place)
    form = data.part("dynamic", "data")
    for page in form.parts("selections"):
        filled = [item.text("title") or item.text("value") for item in page.parts("items")]
        question = page.text("title") or page.text("subtitle")
        content.say(f"{question}: {', '.join(filter(None, filled))}")
    if form.flag("private"):
        content.lines.append("The customer's device marked this form as private")
    for name, key in (("payment", "state"), ("authenticate", "status")):
        if name in data:
            content.lines.append(f"{name.capitalize()}: {data.part(name).text(key) or IN_BIRD}")
    return rows
