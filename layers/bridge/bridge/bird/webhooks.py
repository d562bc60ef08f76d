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
| SMS to a number | `originator`, `recipient` and `body`, all texts |
| SMS to a short code | `originator`, `shortcode` and `message`, all texts |
| a message alone (v1) | `conversationId`, `channelId`, `direction`, and the object `content` |
| a message alone (Bird) | `channelId` or `conversationId`, the objects `sender` and `body`, and
`body.type` |

Only what a customer sent becomes a record, and with `replies` what our own side sent is read too.
Everything else raises Ignored, which is answered 200: a webhook that is refused is sent again for
hours.

Each generation has its reader: `conversations_v1`, `channels_api`, `events_2026`. They demand
nothing, and what they do not know stands at the end of the record (`part`, docs/adr/0045).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from bridge.bird import channels_api, conversations_v1, events_2026
from bridge.bird.channels import channel_named
from bridge.bird.lines import Content
from bridge.bird.message import BirdMessage
from bridge.bird.part import Part
from bridge.untrusted import read_text

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
_QUERY = ("errors", "object", "channel", "key")
"""Parameters of ours, where an SMS came in the query."""


def read_shape(
    body: Mapping[str, Any], *, channel: str = "", replies: bool = False
) -> BirdMessage | None:
    """The message that a raw body is about; None if the body is no shape of Bird's.

    `channel` is used where the body does not say which one it came on. Raises Ignored where it is
    a shape but nothing that a customer sent. `replies`: what our side sent is read as well.
    """
    for keys, fits, read in _SHAPES:
        if fits(body) and not _names_a_field(body, beside=keys):
            return read(body, channel, replies)
    return None


def _names_a_field(body: Mapping[str, Any], *, beside: frozenset[str]) -> bool:
    return any(
        name not in beside and (name.lower() in FIELDS or name.lower().endswith("__c"))
        for name in body
    )


def _is_v1_webhook(body: Mapping[str, Any]) -> bool:
    kind = body.get("type")
    if kind in ("message.created", "message.updated", "message.status"):
        return _objects(body, "message")
    return kind in ("conversation.created", "conversation.updated") and _objects(
        body, "conversation"
    )


def _is_v1_message(body: Mapping[str, Any]) -> bool:
    return _objects(body, "content") and _texts(body, "conversationId", "channelId", "direction")


def _is_bird_webhook(body: Mapping[str, Any]) -> bool:
    about = _objects(body, "payload") or _objects(body, "data")
    return body.get("service") in ("channels", "conversations") and _texts(body, "event") and about


def _is_bird_message(body: Mapping[str, Any]) -> bool:
    named = _texts(body, "channelId") or _texts(body, "conversationId")
    return named and _objects(body, "sender", "body") and _texts(body["body"], "type")


def _is_event(body: Mapping[str, Any]) -> bool:
    named = _texts(body, "type", "timestamp") and _objects(body, "data")
    return named and _DOTTED.fullmatch(body["type"]) is not None


def _is_forwarded_sms(body: Mapping[str, Any]) -> bool:
    def texts(*names: str) -> bool:
        return all(_scalar(body.get(name)) for name in names)

    return any(texts(*keys) for keys in _SMS)


_SMS = (
    ("originator", "payload"),
    ("sender", "receiver", "body"),
    ("originator", "recipient", "body"),
    ("originator", "shortcode", "message"),
)
"""The first two from two public consumers of "Forward to URL"; the others from the examples of
MessageBird's "Receive a message" (SMS messaging), as the public Rust client has them."""


def _read_forwarded_sms(body: Mapping[str, Any], channel: str, _replies: bool) -> BirdMessage:
    """Not every one has a message id.

    With a date, sender, receiver and text make one that a repeated call makes again. Without, a
    repeated call is a new record: two equal texts may be two.
    """
    sms = Part(body)
    sender = sms.text("originator", "sender")
    text = sms.words("payload") or sms.words("body") or sms.words("message")
    receiver = sms.text("receiver", "recipient") or sms.text("shortcode")
    date = sms.text("date_utc", "createdDatetime") or sms.text("receive_datetime")
    message_id = sms.text("id", "messageId") or sms.text("mid")
    if "shortcode" in sms:
        sms.skip("keyword", "operator")  # the text begins with the keyword
    if not message_id and date:
        whole = "\0".join((sender, receiver, text, date))
        message_id = "sms-" + hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
    content = Content()
    content.say(text)
    return BirdMessage(
        channel=channel_named(channel or "sms"),
        message_id=message_id,
        sender=sender,
        **content.finished(sms, lambda keys: keys[0] not in _QUERY, "text"),
    )


_SHAPES = (
    (
        frozenset({"type", "contact", "conversation", "message"}),
        _is_v1_webhook,
        conversations_v1.read_webhook,
    ),
    (
        frozenset({"service", "event", "payload", "data"}),
        _is_bird_webhook,
        channels_api.read_webhook,
    ),
    (frozenset({"type", "timestamp", "data", "id"}), _is_event, events_2026.read),
    (
        frozenset({"id", "type", "status", "source", "tag"}),
        _is_v1_message,
        conversations_v1.read_message,
    ),
    (
        frozenset({"id", "status", "reason", "origin", "tags"}),
        _is_bird_message,
        channels_api.read_message,
    ),
    (frozenset({"id"}), _is_forwarded_sms, _read_forwarded_sms),
)
"""Per shape: its own keys that are also names of Salesforce fields, its test, its reader."""


def _texts(body: Mapping[str, Any], *names: str) -> bool:
    """Whether each of these is a text that is not empty."""
    return all(read_text(body, name) for name in names)


def _objects(body: Mapping[str, Any], *names: str) -> bool:
    return all(isinstance(body.get(name), dict) for name in names)


def _scalar(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""
