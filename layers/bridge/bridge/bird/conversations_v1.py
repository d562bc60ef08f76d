"""Generation A: webhooks and messages of the legacy Conversations API, v1.

Shapes: messagebird's Go, Java, PHP and Python clients (conversation/*, objects/conversations/*),
its quickstarts and public captures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.bird.automatic import automatic
from bridge.bird.channels import channel_named
from bridge.bird.html_text import beyond, text_of
from bridge.bird.lines import Content
from bridge.bird.message import FROM_US, BirdMessage
from bridge.bird.part import Part, technical_keys
from bridge.errors import Ignored

_TECHNICAL = technical_keys("conversations_v1")
_MEDIA = ("image", "video", "audio", "file")
_NO_PERSON = "events"
"""A platform that is no channel of a person: the API itself can leave it out of its lists."""


def read_webhook(body: Mapping[str, Any], channel: str, replies: bool) -> BirdMessage:
    """The message of a webhook. Raises Ignored."""
    event = str(body["type"])
    if event != "message.created":
        raise Ignored("it tells of a change, not of a new message", event=event)
    return _read(Part(body), channel=channel, event=event, replies=replies)


def read_message(body: Mapping[str, Any], channel: str, replies: bool) -> BirdMessage:
    """A message that came alone. Raises Ignored."""
    return _read(Part({"message": body}), channel=channel, event="message", replies=replies)


def _read(body: Part, *, channel: str, event: str, replies: bool) -> BirdMessage:
    message, contact, conversation = map(body.part, ("message", "contact", "conversation"))
    sent = message.text("direction").lower() in FROM_US
    from_us = replies and sent
    if sent and not from_us:
        raise Ignored("the message was sent to the customer, not by them", event=event)
    platform = message.text("platform") or channel
    if platform == _NO_PERSON:
        raise Ignored("the platform `events` is no channel of a person", event=event)
    known = channel_named(platform)
    mail = message.part("content", "email")
    reason = automatic(mail.part("headers"), return_path=mail.text("returnPath"))
    if reason and not from_us:
        raise Ignored(reason, event=event)
    details = contact.part("customDetails")
    mail_from = mail.part("from")
    address = "" if from_us else mail_from.text("address", "email")
    # `from` and `platform` are optional. A msisdn of a contact who writes on a channel without
    # phones may be anything, so only phone channels take it.
    sender = message.text("to" if from_us else "from") or address
    if not sender and known.sender == "phone":
        sender = contact.text("msisdn")
    handles = [one for one in map(details.text, ("userId", "username")) if one not in ("", sender)]
    content = Content()
    content.title(mail.text("subject"))
    _read_content(content, message.part("content"), sender=address or sender)
    return BirdMessage(
        from_us=from_us,
        channel=known,
        called=platform,
        message_id=message.text("id"),
        conversation_id=message.text("conversationId") or conversation.text("id"),
        contact_id=contact.text("id") or conversation.text("contactId"),
        sent_at=message.text("createdDatetime"),
        sender=sender or (handles.pop(0) if handles else ""),
        handles=tuple(handles),
        known_email=address,
        display_name=contact.text("displayName"),
        other_names=(mail_from.text("name"),),
        first_name=contact.text("firstName") or details.text("firstName"),
        last_name=contact.text("lastName") or details.text("lastName"),
        **content.finished(body, _TECHNICAL, message.text("type")),
    )


def _read_content(content: Content, inner: Part, *, sender: str) -> None:
    """The words of a message, and a line for everything else; several parts may come together."""
    content.say(inner.words("text"))
    for name in _MEDIA:
        if part := inner.part(name):
            content.media(name.capitalize(), part, "filename", "name")
    if part := inner.part("whatsappSticker"):
        content.media("Sticker", part)
    for part in inner.parts("externalAttachments"):
        content.media("Attachment", part, "name")
    if part := inner.part("location"):
        content.place(part)
    reply = inner.part("interactive", "reply")
    content.tapped(
        label=reply.words("text"),
        description=reply.text("description"),
        handle=reply.text("id"),
    )
    whatsapp = inner.part("whatsappText")
    content.say(whatsapp.part("text").words("body"))
    product = whatsapp.part("context", "referred_product")
    content.product(product.text("product_retailer_id"), product.text("catalog_id"))
    order = inner.part("whatsappOrder")
    content.say(order.words("text"))
    items = order.parts("product_items")
    catalog = order.text("catalog_id") if items else ""
    for item in items:
        price = " ".join(filter(None, map(item.text, ("item_price", "currency"))))
        content.ordered(item.text("quantity"), item.text("product_retailer_id"), price, catalog)
    _read_mail(content, inner.part("email"), sender=sender)


def _read_mail(content: Content, mail: Part, *, sender: str) -> None:
    body = mail.part("content")
    plain, html = body.words("text"), body.words("html")
    content.say(plain or text_of(html), beyond(plain, html) if plain else "")
    for part in mail.parts("attachments"):
        content.media("Attachment", part, "name")
    if (reply_to := mail.text("replyTo")) and reply_to != sender:
        content.lines.append(f"Reply to: {reply_to}")
