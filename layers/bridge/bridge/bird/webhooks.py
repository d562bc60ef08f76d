"""Bird's own bodies, recognised without configuration when a flow or webhook forwards them whole.

How a body is told from a plain Salesforce one:

1. Never by one key. A shape is recognised by several keys together, spelled exactly as Bird spells
   them, with values of the right kind (the tests in `_SHAPES`).
2. Never beside a Salesforce field. If a key that is not the shape's own is the name of a standard
   field of Lead or Case, or ends in `__c`, the body is a plain one and every key of it a field.
3. A body with `bird` is never a shape itself; the value of `bird` may be one.

| shape | recognised by |
|---|---|
| legacy Conversations v1 webhook | `type` message.* or conversation.*, and that object |
| Bird Channels and Conversations webhooks | `service` channels/conversations, `event`, `payload` |
| events of 2026 | `type` with a dot, `timestamp`, and the object `data` |
| SMS "Forward to URL" | `originator` and `payload`, or `sender`, `receiver` and `body`, all texts |
| a message alone (v1) | `conversationId`, `channelId`, `direction`, and the object `content` |
| a message alone (Bird) | `channelId`, the objects `sender` and `body`, and `body.type` |

Only what a customer sent becomes a record. Everything else raises Ignored, which is answered 200:
a webhook that is refused is sent again for hours.

The keys are those of public captures and documentation; where those are silent (media of the 2026
events, conversations without a sender) the reader takes what it finds and demands nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.bird.channels import SenderKind, channel_named
from bridge.bird.message import BirdMessage
from bridge.errors import Ignored

FIELDS = frozenset(
    {
        *("salutation", "firstname", "middlename", "lastname", "suffix", "name", "title"),
        *("company", "street", "city", "state", "postalcode", "country", "phone", "mobilephone"),
        *("fax", "email", "website", "description", "leadsource", "status", "industry", "rating"),
        *("annualrevenue", "numberofemployees", "ownerid", "hasoptedoutofemail", "donotcall"),
        *("recordtypeid", "contactid", "accountid", "suppliedname", "suppliedemail"),
        *("suppliedphone", "suppliedcompany", "type", "reason", "origin", "subject", "priority"),
        *("parentid", "isescalated", "comments", "id"),
    }
)
"""Standard fields of Lead and Case that a caller may name, in lower case (Object Reference)."""

_DOTTED = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")
_MEDIA_KEYS = ("url", "link", "mediaUrl", "media_url", "href")


def read_shape(body: Mapping[str, Any], *, channel: str = "") -> BirdMessage | None:
    """The message that a raw body is about; None if the body is no shape of Bird's.

    `channel` is used where the body does not say which one it came on. Raises Ignored where it is
    a shape but nothing that a customer sent.
    """
    for keys, fits, read in _SHAPES:
        if fits(body) and not _names_a_field(body, beside=keys):
            return read(body, channel)
    return None


def _names_a_field(body: Mapping[str, Any], *, beside: frozenset[str]) -> bool:
    return any(
        name not in beside and (name.lower() in FIELDS or name.lower().endswith("__c"))
        for name in body
    )


# ── A: legacy Conversations v1 ────────────────────────────────────────────────────────────────────


def _is_v1_webhook(body: Mapping[str, Any]) -> bool:
    kind = body.get("type")
    if kind in ("message.created", "message.updated", "message.status"):
        return isinstance(body.get("message"), dict)
    return kind in ("conversation.created", "conversation.updated") and isinstance(
        body.get("conversation"), dict
    )


def _read_v1_webhook(body: Mapping[str, Any], channel: str) -> BirdMessage:
    kind = str(body["type"])
    if kind != "message.created":
        raise Ignored("it tells of a change, not of a new message", event=kind)
    message = _dict(body, "message")
    return _v1_message(
        message,
        contact=_dict(body, "contact"),
        conversation=_dict(body, "conversation"),
        channel=channel,
        event=kind,
    )


def _is_v1_message(body: Mapping[str, Any]) -> bool:
    return (
        isinstance(body.get("content"), dict)
        and _is_text(body.get("conversationId"))
        and _is_text(body.get("channelId"))
        and _is_text(body.get("direction"))
    )


def _read_v1_message(body: Mapping[str, Any], channel: str) -> BirdMessage:
    return _v1_message(body, contact={}, conversation={}, channel=channel, event="message")


def _v1_message(
    message: Mapping[str, Any],
    *,
    contact: Mapping[str, Any],
    conversation: Mapping[str, Any],
    channel: str,
    event: str,
) -> BirdMessage:
    if _text(message, "direction") not in ("received", ""):
        raise Ignored("the message was sent to the customer, not by them", event=event)
    known = channel_named(_text(message, "platform") or channel)
    details = _dict(contact, "customDetails")
    msisdn = _text(contact, "msisdn")
    # `from` and `platform` are optional. A msisdn of a contact who writes on a channel without
    # phones may be anything, so only phone channels take it.
    sender = _text(message, "from") or (msisdn if known.sender == "phone" else "")
    text, lines = _v1_content(_text(message, "type"), _dict(message, "content"))
    return BirdMessage(
        channel=known,
        message_id=_text(message, "id"),
        conversation_id=_text(message, "conversationId") or _text(conversation, "id"),
        contact_id=_text(contact, "id") or _text(conversation, "contactId"),
        sender=sender or _text(details, "userId") or _text(details, "username"),
        display_name=_text(contact, "displayName"),
        first_name=_text(contact, "firstName") or _text(details, "firstName"),
        last_name=_text(contact, "lastName") or _text(details, "lastName"),
        text=text,
        headline=_text(_dict(_dict(message, "content"), "email"), "subject"),
        details=lines,
    )


def _v1_content(kind: str, content: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The words of a message, and a line for everything that is none."""
    said = content.get("text")
    text = said if isinstance(said, str) else ""
    lines: list[str] = []
    for name, part in content.items():
        if not isinstance(part, dict):
            continue
        if name == "location":
            lines.append(_place(part))
        elif name == "interactive":
            reply = _dict(part, "reply") or part
            text = text or _text(reply, "title") or _text(reply, "text")
            if button := _text(reply, "id"):
                lines.append(f"Button: {button}")
        elif name == "email":
            text = text or _text(_dict(part, "content"), "text") or _text(part, "text")
        else:
            text = text or _text(part, "caption") or _text(part, "text")
            if link := _link(part):
                lines.append(f"{_media_name(name)}: {link}")
    return text, tuple(lines) or _unshown(kind, text)


# ── B: Bird's webhooks ────────────────────────────────────────────────────────────────────────────


def _is_bird_webhook(body: Mapping[str, Any]) -> bool:
    return (
        body.get("service") in ("channels", "conversations")
        and _is_text(body.get("event"))
        and (isinstance(body.get("payload"), dict) or isinstance(body.get("data"), dict))
    )


def _read_bird_webhook(body: Mapping[str, Any], channel: str) -> BirdMessage:
    event = str(body["event"])
    payload = _dict(body, "payload") or _dict(body, "data")
    if body["service"] == "conversations":
        return _bird_conversation(payload, channel=channel, event=event)
    platform, _, what = event.rpartition(".")
    if what != "inbound":
        raise Ignored("it is no message from a customer", event=event)
    return _bird_message(payload, channel=platform or channel, event=event)


def _is_bird_message(body: Mapping[str, Any]) -> bool:
    content = body.get("body")
    return (
        _is_text(body.get("channelId"))
        and isinstance(body.get("sender"), dict)
        and isinstance(content, dict)
        and _is_text(content.get("type"))
    )


def _read_bird_message(body: Mapping[str, Any], channel: str) -> BirdMessage:
    return _bird_message(body, channel=channel, event="message")


def _bird_message(payload: Mapping[str, Any], *, channel: str, event: str) -> BirdMessage:
    contact = _dict(_dict(payload, "sender"), "contact")
    if _text(payload, "direction") not in ("incoming", "") or not contact:
        raise Ignored("the sender is not a customer", event=event)
    kind = _dict(payload, "body")
    text, lines = _bird_body(kind)
    return BirdMessage(
        **_bird_contact(contact, channel),
        message_id=_text(payload, "id"),
        conversation_id=_text(payload, "conversationId") or _text(payload, "conversation_id"),
        display_name=_text(_dict(contact, "annotations"), "name") or _text(contact, "displayName"),
        text=text,
        headline=_text(_dict(_dict(payload, "meta"), "email"), "subject"),
        details=lines,
        tags=_names(payload.get("tags")),
    )


def _bird_contact(contact: Mapping[str, Any], channel: str) -> dict[str, Any]:
    """Who a contact of Bird's is: the identifier's key says what its value is.

    Keys of channels without phones are custom (`facebookid-1648…`, `applebc-…`), and where nobody
    named the channel they tell it.
    """
    key = _text(contact, "identifierKey")
    kinds: dict[str, SenderKind] = {"phonenumber": "phone", "emailaddress": "email"}
    if not channel and key not in kinds:
        channel = re.split(r"id-|id$|-", key, maxsplit=1)[0]
    elif not channel and key == "emailaddress":
        channel = "email"
    kind = kinds.get(key)
    return {
        "channel": channel_named(channel),
        "contact_id": _text(contact, "id"),
        "sender": _text(contact, "identifierValue") or _text(contact, "platformAddress"),
        "sender_kind": kind or ("id" if key else None),
    }


def _bird_body(content: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    kind = _text(content, "type")
    part = _dict(content, kind)
    said = content.get("text")
    text = _text(part, "text") or (said if isinstance(said, str) else "")
    lines: list[str] = []
    for image in _dicts(part.get("images")):
        lines.append(_attachment("Image", _link(image), _text(image, "altText")))
    for file in _dicts(part.get("files")):
        name = _file_kind(_text(file, "contentType"))
        lines.append(_attachment(name, _link(file), _text(file, "filename")))
    if kind == "location":
        lines.append(_place(part))
    for action in _dicts(part.get("actions")):
        postback = _dict(action, "postback")
        text = text or _text(postback, "text")
        if pressed := _text(postback, "payload"):
            lines.append(f"Button: {pressed}")
    return text, tuple(lines) or _unshown(kind, text)


def _bird_conversation(payload: Mapping[str, Any], *, channel: str, event: str) -> BirdMessage:
    """A conversation that a customer began or writes in: one record for each conversation.

    Whoever wrote last decides. `lastMessage.sender` is not in every event: then a *new*
    conversation that has a customer in it, and that nobody else is said to have begun, counts, and
    an update does not.
    """
    if event not in ("conversation.created", "conversation.updated"):
        raise Ignored("it is no message from a customer", event=event)
    last = _dict(payload, "lastMessage")
    wrote = _text(_dict(last, "sender"), "type")
    began = _text(_dict(payload, "initiatingParticipant"), "type")
    participants = list(_dicts(payload.get("featuredParticipants")))
    customer = next((one for one in participants if _text(one, "type") == "contact"), None)
    by_customer = (
        wrote == "contact"
        if wrote
        else event == "conversation.created" and began in ("contact", "")
    )
    if customer is None or not by_customer:
        raise Ignored("no customer wrote", event=event)
    contact = _dict(customer, "contact")
    conversation_id = _text(payload, "id") or _text(payload, "conversationId")
    # A participant's own id is not the contact's.
    who = _bird_contact(contact, channel)
    who["contact_id"] = who["contact_id"] or _text(customer, "participantId")
    return BirdMessage(
        **who,
        message_id=conversation_id,
        conversation_id=conversation_id,
        display_name=_text(customer, "displayName"),
        text=_text(_dict(last, "preview"), "text"),
    )


# ── C: events of 2026 ─────────────────────────────────────────────────────────────────────────────


def _is_event(body: Mapping[str, Any]) -> bool:
    kind = body.get("type")
    return (
        isinstance(kind, str)
        and _DOTTED.fullmatch(kind) is not None
        and _is_text(body.get("timestamp"))
        and isinstance(body.get("data"), dict)
    )


def _read_event(body: Mapping[str, Any], channel: str) -> BirdMessage:
    event = str(body["type"])
    data = _dict(body, "data")
    platform, what = event.split(".", 1)
    if what not in ("received", "message_received") or _text(data, "direction") == "outbound":
        raise Ignored("it is no message from a customer", event=event)
    sender = data.get("from")
    who = sender if isinstance(sender, dict) else {}
    phone = _text(who, "phone_number")
    # The phone may be absent: a customer can be known by a user name or a business-scoped id only.
    kind: SenderKind | None = ("phone" if phone else "id") if who else None
    said = data.get("text")
    text = said if isinstance(said, str) else _text(_dict(data, "text"), "body")
    lines: list[str] = []
    for name in ("image", "video", "audio", "sticker", "document", "file"):
        part = _dict(data, name)
        text = text or _text(part, "caption")
        if part:
            lines.append(_attachment(_media_name(name), _link(part), _text(part, "filename")))
    if place := _dict(data, "location"):
        lines.append(_place(place))
    if reply := _dict(data, "interactive_reply"):
        text = text or _text(reply, "title") or _text(reply, "text")
        if pressed := _text(reply, "id") or _text(reply, "payload"):
            lines.append(f"Button: {pressed}")
    if data.get("contact_cards"):
        lines.append("Contact card")
    message_id = next(
        (
            _text(data, name)
            for name in (f"{platform}_id", "inbound_message_id", "message_id", "id")
            if _text(data, name)
        ),
        "",
    )
    return BirdMessage(
        channel=channel_named(platform),
        message_id=message_id,
        conversation_id=_text(data, "conversation_id"),
        contact_id=_text(data, "contact_id"),
        sender=phone
        or _text(who, "username")
        or _text(who, "bsuid")
        or (sender if isinstance(sender, str) else ""),
        sender_kind=kind,
        display_name=_text(who, "display_name"),
        text=text,
        headline=_text(data, "subject"),
        details=tuple(lines) or (("Unsupported message",) if "unsupported" in data else ()),
        tags=_names(data.get("tags")),
    )


# ── SMS, "Forward to URL" ─────────────────────────────────────────────────────────────────────────


def _is_forwarded_sms(body: Mapping[str, Any]) -> bool:
    def texts(*names: str) -> bool:
        return all(_scalar(body.get(name)) for name in names)

    return texts("originator", "payload") or texts("sender", "receiver", "body")


def _read_forwarded_sms(body: Mapping[str, Any], channel: str) -> BirdMessage:
    """Two sets of keys are known from two public consumers; none has a message id for certain.

    With a date, sender, receiver and text make one that a repeated call makes again. Without, a
    repeated call is a new record: two equal texts may be two.
    """
    sender = _text(body, "originator") or _text(body, "sender")
    text = _text(body, "payload") or _text(body, "body")
    receiver = _text(body, "receiver") or _text(body, "recipient")
    date = next((_text(body, n) for n in ("date_utc", "createdDatetime") if _text(body, n)), "")
    message_id = _text(body, "id") or _text(body, "messageId")
    if not message_id and date:
        whole = "\0".join((sender, receiver, text, date))
        message_id = "sms-" + hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
    return BirdMessage(
        channel=channel_named(channel or "sms"), message_id=message_id, sender=sender, text=text
    )


_SHAPES = (
    (
        frozenset({"type", "contact", "conversation", "message"}),
        _is_v1_webhook,
        _read_v1_webhook,
    ),
    (frozenset({"service", "event", "payload", "data"}), _is_bird_webhook, _read_bird_webhook),
    (frozenset({"type", "timestamp", "data", "id"}), _is_event, _read_event),
    (
        frozenset({"id", "type", "status", "source", "tag"}),
        _is_v1_message,
        _read_v1_message,
    ),
    (
        frozenset({"id", "status", "reason", "origin", "tags"}),
        _is_bird_message,
        _read_bird_message,
    ),
    (frozenset({"id"}), _is_forwarded_sms, _read_forwarded_sms),
)
"""Per shape: its own keys that are also names of Salesforce fields, its test, its reader."""


# ── Reading ───────────────────────────────────────────────────────────────────────────────────────


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _scalar(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""


def _dict(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (part for part in value if isinstance(part, dict))


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if name != "text" else str(value)


def _names(value: Any) -> tuple[str, ...]:
    """Tags: texts, or objects with a name."""
    if not isinstance(value, list):
        return ()
    found = (
        part if isinstance(part, str) else _text(part, "name")
        for part in value
        if isinstance(part, (str, dict))
    )
    return tuple(name for name in found if name)


def _link(part: Mapping[str, Any]) -> str:
    return next((_text(part, name) for name in _MEDIA_KEYS if _text(part, name)), "")


def _attachment(name: str, link: str, more: str) -> str:
    title = f"{name} ({more})" if more else name
    return f"{title}: {link}" if link else title


def _media_name(key: str) -> str:
    return {"whatsappSticker": "Sticker", "hsm": "Template"}.get(key, key.capitalize())


def _file_kind(content_type: str) -> str:
    if content_type == "image/webp":
        return "Sticker"
    kind = content_type.partition("/")[0]
    return kind.capitalize() if kind in ("image", "audio", "video") else "Document"


def _place(part: Mapping[str, Any]) -> str:
    """A location in words, whichever generation wrote it."""
    where = _dict(part, "coordinates") or part
    named = _dict(part, "location") or part
    words = [_text(named, name) for name in ("label", "name", "address")]
    latitude, longitude = _text(where, "latitude"), _text(where, "longitude")
    if latitude and longitude:
        words.append(f"{latitude}, {longitude}")
    return "Location: " + (" · ".join(word for word in words if word) or "not given")


def _unshown(kind: str, text: str) -> tuple[str, ...]:
    """A line for a message that has neither words nor anything that could be shown."""
    if text or kind in ("", "text"):
        return ()
    return (f"A message of the type {kind}",)
