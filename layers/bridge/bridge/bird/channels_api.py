"""Generation B: webhooks of Bird's Channels and Conversations APIs, and their messages alone.

Shapes: the OpenAPI document of the Channels API (docs.bird.com/api/channels-api/api-reference/
messaging), its pages on receiving messages and on participants, and public captures.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bridge.bird.automatic import automatic
from bridge.bird.channels import SenderKind, channel_named, channel_of_key
from bridge.bird.html_text import beyond, text_of
from bridge.bird.lines import Content, joined, money
from bridge.bird.message import FROM_US, BirdMessage
from bridge.bird.part import Part, technical_keys
from bridge.bird.phones import as_e164, as_email
from bridge.bird.texts import IN_BIRD
from bridge.errors import Ignored

_TECHNICAL, _OF_CONVERSATIONS = map(technical_keys, ("channels_api", "conversations"))
_KINDS: dict[str, SenderKind] = {"phonenumber": "phone", "emailaddress": "email"}


def read_webhook(body: Mapping[str, Any], channel: str, replies: bool) -> BirdMessage:
    """The message of a webhook. Raises Ignored."""
    event = str(body["event"])
    name = "payload" if isinstance(body.get("payload"), dict) else "data"
    beside = {key: value for key, value in body.items() if key not in (name, "service", "event")}
    whole = Part({**beside, "payload": body[name]})
    if body["service"] == "conversations":
        return _read_conversation(whole, channel=channel, event=event)
    platform, _, what = event.rpartition(".")
    if what != "inbound" and not (replies and what == "outbound"):
        raise Ignored("it is no message from a customer", event=event)
    return _read(whole, channel=platform or channel, event=event, replies=replies)


def read_message(body: Mapping[str, Any], channel: str, replies: bool) -> BirdMessage:
    """A message that came alone. Raises Ignored."""
    return _read(Part({"payload": body}), channel=channel, event="message", replies=replies)


def _read(whole: Part, *, channel: str, event: str, replies: bool) -> BirdMessage:
    payload = whole.part("payload")
    sender = payload.part("sender")
    contact = sender.part("contact")
    if not contact and sender.text("type") == "contact":
        contact = sender  # as the Conversations API gives a message's sender
    by_customer = payload.text("direction").lower() not in FROM_US and bool(contact)
    receivers = payload.part("receiver").parts("contacts")
    from_us = replies and not by_customer and bool(receivers)
    if from_us:
        contact = receivers[0]
    elif not by_customer:
        raise Ignored("the sender is not a customer", event=event)
    body, meta = payload.part("body"), payload.part("meta")
    kind = body.text("type")
    mail, extra = meta.part("email"), meta.part("extraInformation")
    inner = body.part(kind, "metadata")
    for headers in (mail.part("headers"), inner.part("headers")):
        if (reason := automatic(headers)) and not from_us:
            raise Ignored(reason, event=event)
    content = Content()
    who, other_phone, other_email = _sender(content, contact, channel)
    ids = map(extra.text, ("whatsappusername", "whatsappbsuid"))
    who["handles"] += tuple(one for one in ids if one not in ("", who["sender"], *who["handles"]))
    froms = (mail.part("from"), inner.part("emailFrom"))
    addresses = [one for part in froms if "@" in (one := part.text("username"))]
    if from_us:
        addresses = []  # our own
    content.title(mail.text("subject"))
    _read_body(content, body)
    _read_meta(content, meta, handle=extra.text("whatsapp.interactive.button_reply.id"))
    stamp = extra.text("timestamp")
    return BirdMessage(
        **who,
        from_us=from_us,
        message_id=payload.text("id"),
        conversation_id=payload.text("conversationId", "conversation_id"),
        sent_at=_utc(stamp) if stamp.isdigit() else payload.text("createdAt"),
        known_phone=other_phone or as_e164(extra.text("phoneNumber", "phone_number")),
        known_email=other_email or (addresses[0] if addresses else ""),
        display_name=contact.part("annotations").text("name"),
        other_names=(contact.text("displayName"), *(part.text("displayName") for part in froms)),
        tags=payload.labels("tags"),
        **content.finished(
            whole, _TECHNICAL, kind or ("template" if "template" in payload else "")
        ),
    )


def _sender(content: Content, contact: Part, channel: str) -> tuple[dict[str, Any], str, str]:
    """Who a contact of Bird's is, and a phone number and an address besides its main identifier.

    The identifier's key says what its value is. Keys of channels without phones are their own
    (`facebookid-1648…`, `applebc-…`), and where nobody named the channel they tell it.
    """
    key, value = contact.text("identifierKey"), contact.text("identifierValue", "platformAddress")
    others = [(key, contact.text("platformAddress"))]
    for one in contact.parts("identifiers"):
        others.append((one.text("identifierKey"), one.text("identifierValue")))
    if not channel:
        channel = channel_of_key(key)
    known = channel_named(channel)
    others = [one for one in others if one[1] not in ("", value)]
    found: dict[str, str] = {}
    own = _KINDS.get(key) if as_e164(value) or as_email(value) else None
    for name, text in others:
        kind = _KINDS.get(name)
        if kind and (kind == own or found.setdefault(kind, text) != text):
            content.lines.append(f"Another {kind}: {text}")
    who = {
        "channel": known,
        "called": channel or key,
        "contact_id": contact.text("id"),
        "sender": value,
        "sender_kind": _KINDS.get(key) or ("id" if key else None),
        "handles": tuple(text for name, text in others if name not in _KINDS),
    }
    return who, found.get("phone", ""), found.get("email", "")


def _read_meta(content: Content, meta: Part, *, handle: str) -> None:
    if referral := meta.part("referral"):
        content.ad(referral, referral.part("metadata"))
    referred = meta.part("referredProduct")
    content.product(referred.text("externalProductId"), referred.text("externalCatalogId"))
    for item in meta.part("order").parts("products"):
        price = item.part("price")
        amount = money(*map(price.text, ("amount", "exponent", "currencyCode")))
        product = item.text("externalProductId")
        content.ordered(item.text("quantity"), product, amount, item.text("externalCatalogId"))
    content.tapped(label="", handle=handle)


def _read_body(content: Content, body: Part) -> None:
    """A body; of a section the bodies in it."""
    kind = body.text("type")
    inner, meta = body.part(kind), body.part(kind, "metadata")
    content.title(meta.text("subject"), inner.text("title"))
    plain, html = inner.words("text") or body.words("text"), inner.words("html")
    content.say(plain or text_of(html), beyond(plain, html) if plain and html else "")
    if kind == "location":
        content.place(inner.part("location"), inner.part("coordinates"))
    if kind == "gif":
        content.media("GIF", inner, "altText")
    for part in inner.parts("images"):
        content.media("Image", part, "altText", "filename")
    for part in inner.parts("files"):
        content.media(_kind_of_file(part.text("contentType")), part, "filename", "altText")
    for part in inner.parts("attachments"):
        if part.flag("inline"):
            part.skip()  # drawn inside the text: logos of signatures
        else:
            content.media("Attachment", part, "filename")
            part.skip("content")  # the file itself
    for item in inner.parts("items"):
        if kind == "section":
            _read_body(content, item)
            continue
        if words := joined(map(item.text, ("title", "description"))):
            content.lines.append(f"Item: {words}")
        if "mediaUrl" in item or "altText" in item:
            content.media("Image", item, "altText")
        _read_actions(content, item)
    content.say("" if kind == "gif" else inner.text("altText"), meta.words("fallbackText"))
    if story := meta.text("storyType"):
        content.lines.append(f"Story: {story}")
    _read_actions(content, inner)


def _read_actions(content: Content, inner: Part) -> None:
    for action in inner.parts("actions"):
        kind = action.text("type")
        part = action.part(kind)
        description = part.part("metadata", "description").text("label")
        if kind in ("postback", "reply"):
            label, handle = part.words("text"), part.text("payload")
            content.tapped(label=label, description=description, handle=handle)
        elif words := joined((part.text("text"), part.text("url"), description)):
            content.lines.append(f"{kind.capitalize()}: {words}")


def _kind_of_file(content_type: str) -> str:
    """Voice, video, documents and stickers are all files of different content types."""
    if content_type.startswith("image/webp"):
        return "Sticker"
    kind = content_type.partition("/")[0]
    return kind.capitalize() if kind in ("image", "audio", "video") else "Document"


def _utc(unix_seconds: str) -> str:
    try:
        return datetime.fromtimestamp(int(unix_seconds), UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""


def _read_conversation(whole: Part, *, channel: str, event: str) -> BirdMessage:
    """A conversation that a customer began or writes in: one record for each conversation.

    Whoever wrote last decides. `lastMessage.sender` is not in every event: then a *new*
    conversation that has a customer in it, and that nobody else is said to have begun, counts, and
    an update does not.
    """
    if event not in ("conversation.created", "conversation.updated"):
        raise Ignored("it is no message from a customer", event=event)
    payload = whole.part("payload")
    last = payload.part("lastMessage")
    wrote = last.part("sender").text("type")
    began = payload.part("initiatingParticipant").text("type")
    customers = [
        one for one in payload.parts("featuredParticipants") if one.text("type") == "contact"
    ]
    by_customer = (
        wrote == "contact"
        if wrote
        else event == "conversation.created" and began in ("contact", "")
    )
    if not by_customer or not (customers or wrote == "contact"):
        raise Ignored("no customer wrote", event=event)
    # Who takes part is not in every event.
    customer = customers[0] if customers else last.part("sender")
    conversation_id = payload.text("id") or payload.text("conversationId")
    content = Content()
    who, phone, email = _sender(content, customer.part("contact"), channel)
    # A participant's own id is not the contact's.
    who["contact_id"] = who["contact_id"] or customer.text("participantId")
    preview = last.part("preview").words("text")
    content.say(preview)
    if preview.endswith("…"):  # a preview is not documented to be whole
        content.lines.append(f"There may be more of it {IN_BIRD}")
    if about := joined((payload.text("name"), payload.text("description"))):
        content.lines.append(f"Conversation: {about}")
    return BirdMessage(
        **who,
        message_id=conversation_id,
        conversation_id=conversation_id,
        sent_at=last.text("createdAt") or payload.text("updatedAt"),
        last_message=last.text("id") or last.text("createdAt"),
        known_phone=phone,
        known_email=email,
        display_name=customer.text("displayName"),
        **content.finished(whole, _OF_CONVERSATIONS, "conversation"),
    )
