"""Bodies made from models: of generation C from Bird's own SDK, of A and B from written schemas.

A made text is unique in its body and made of two words, so that it can be looked for in a record.
"""

from __future__ import annotations

import random
import re
import typing
import warnings
from functools import cache, partial
from typing import Any, get_args

import pydantic

from tests.unit import bodies

EVENTS = (
    *("amb.received", "email.received", "email_mailbox.message_received"),
    *("sms.received", "whatsapp.received"),
)
CONTENTS = {
    "whatsapp.received": (
        *("text", "image", "video", "audio", "sticker", "document", "location"),
        *("contact_cards", "interactive_reply", "unsupported"),
    ),
    "amb.received": ("text", "interactive"),
}
"""Of a message, one at a time."""


class Maker:
    """Makes values; the same seed makes the same ones."""

    def __init__(self, seed: int, *, full: bool | None = None) -> None:
        self.dice = random.Random(seed)
        self.full = full
        self._count = 0

    def present(self) -> bool:
        """Whether something optional is there."""
        return self.dice.random() < 0.5 if self.full is None else self.full

    def text(self) -> str:
        self._count += 1
        return f"Word{self._count} of{self._count}x"

    def number(self) -> int:
        self._count += 1
        return 70_000 + self._count

    def id(self, prefix: str = "") -> str:
        return prefix + "".join(self.dice.choices("0123456789abcdefghjkmnpqrstvwxyz", k=26))

    def length(self) -> int:
        return self.dice.choice((1, 2)) if self.full is None else 1


# ── C: the models of `messagebird-sdk` ────────────────────────────────────────────────────────────


@cache
def models() -> dict[str, type[pydantic.BaseModel]]:
    """The SDK's models of the events that tell of a received message, by type, and the model of an
    Apple message's content, which is `Any` in its own. The import takes seconds."""
    with warnings.catch_warnings(action="ignore"):
        from bird import _generated as sdk
    found = {"content": sdk.AMBInboundContent}
    for name, model in vars(sdk).items():
        if name.startswith("Event") and "type" in getattr(model, "model_fields", {}):
            (kind,) = get_args(model.model_fields["type"].annotation)
            if re.fullmatch(r"[a-z_]+\.(?:message_)?received", kind):
                found[kind] = model
    return found


@cache
def schema_of(kind: str) -> dict[str, Any]:
    """The JSON schema of a model."""
    return models()[kind].model_json_schema()


def event(maker: Maker, kind: str, content: str = "") -> dict[str, Any]:
    """A body of that event, which the SDK takes for valid."""
    schema = schema_of(kind)
    body = typing.cast(dict[str, Any], _made(maker, schema, schema["$defs"]))
    data = body["data"]
    if kind == "whatsapp.received":
        data["direction"] = "inbound"
        for name in ("origin", *CONTENTS[kind]):
            data.pop(name, None)
        of_data = _resolved(schema["properties"]["data"], schema["$defs"])
        some = _not_null(of_data["properties"][content])
        data[content] = _made(maker, some[0], schema["$defs"])
        if content == "unsupported":
            kinds = ("interactive", "order", "unsupported", "poll")
            data[content]["type"] = maker.dice.choice(kinds)
    if kind == "amb.received":
        message = data["message"]
        message |= {"direction": "inbound", "status": "received"}
        schema = schema_of("content")
        arms = [_resolved(one, schema["$defs"]) for one in _not_null(schema)]
        (arm,) = [one for one in arms if content in _choices(one["properties"]["type"])]
        message["content"] = _made(maker, arm, schema["$defs"])
        models()["content"].model_validate(message["content"])
    models()[kind].model_validate(body)
    return body


def _resolved(schema: Any, models: Any) -> Any:
    return models[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _not_null(schema: Any) -> list[Any]:
    kinds = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return [one for one in kinds if one.get("type") != "null"]


def _choices(schema: Any) -> list[Any]:
    return schema.get("enum") or ([schema["const"]] if "const" in schema else [])


def _made(maker: Maker, schema: Any, models: Any) -> Any:
    schema = _resolved(schema, models)
    kinds = _not_null(schema)
    if kinds != [schema]:
        if len(kinds) < len(schema.get("anyOf", kinds)) and not maker.present():
            return None
        return _made(maker, kinds[0] if maker.full else maker.dice.choice(kinds), models)
    if choices := _choices(schema):
        return maker.dice.choice(choices)
    limit = schema.get("maximum")
    match schema.get("type"):
        case "array":
            return [_made(maker, schema["items"], models) for _ in range(maker.length())]
        case "object":
            required = schema.get("required", ())
            made = {
                name: _made(maker, inner, models)
                for name, inner in schema.get("properties", {"key": {}}).items()
                if name in required or maker.present()
            }
            return {name: one for name, one in made.items() if one is not None or name in required}
        case "boolean":
            return maker.dice.random() < 0.5
        case "integer":
            return min(maker.number(), limit or 10**9)
        case "number":
            return round(maker.dice.uniform(-limit, limit), 4) if limit else maker.number() / 100
    pattern = schema.get("pattern", "")
    longest = schema.get("maxLength", 2 if pattern == "^[A-Za-z]{2}$" else 100)
    if prefix := re.match(r"\^([a-z]+_)\[", pattern):
        return maker.id(prefix[1])
    if "T" in pattern or schema.get("format") == "date-time":
        return "2026-11-30T14:30:00Z"
    if longest <= 3:
        return "EUR"[:longest]
    if "bird:" in pattern:
        return "bird:not_sent"
    return maker.text().replace(" ", "_") if pattern else maker.text()


# ── A and B: schemas ──────────────────────────────────────────────────────────────────────────────

Schema = Any
"""A text with a `$` names a kind of value, any other is itself; a dict gives its keys, those with a
`?` perhaps; a list its items; a tuple is a choice."""


def value(maker: Maker, schema: Schema) -> Any:
    """A value of a schema."""
    if isinstance(schema, tuple):
        return value(maker, maker.dice.choice(schema))
    if isinstance(schema, list):
        return [value(maker, schema[0]) for _ in range(maker.length())]
    if isinstance(schema, dict):
        return {
            name.removesuffix("?"): value(maker, inner)
            for name, inner in schema.items()
            if not name.endswith("?") or maker.present()
        }
    if callable(schema):
        return schema(maker)
    match schema:
        case "$text":
            return maker.text()
        case "$id":
            return maker.id()
        case "$int":
            return maker.number()
        case "$float":
            return maker.number() / 100
        case "$bool":
            return maker.dice.random() < 0.5
        case "$url":
            return f"https://media.example/{maker.number()}"
        case "$time":
            return "2026-11-30T14:30:00Z"
        case "$phone":
            return f"+3161{maker.dice.randrange(10**6, 10**7)}"
        case "$html":
            return f"<p>{maker.text()}</p><ul><li>{maker.text()}</li></ul>"
    return schema  # a constant


MEDIA = {"url": "$url", "caption?": "$text"}
V1_CONTENTS: dict[str, Schema] = {
    # go-rest-api conversation/message.go (MessageContent), whatsapp.go, email.go, facebook.go;
    # java-rest-api objects/conversations; php-rest-api Objects/Conversation.
    "text": {"text": "$text"},
    "image": {"image": MEDIA},
    "video": {"video": MEDIA},
    "audio": {"audio": MEDIA},
    "file": {"file": MEDIA},
    "location": {"location": {"latitude": ("$float", "$text"), "longitude": ("$float", "$text")}},
    "email": {
        "email": {
            "id?": "$id",
            "from": {"address": "$text", "name?": "$text"},
            "to": [{"address": "$text", "name?": "$text"}],
            "subject": "$text",
            "content": ({"text": "$text"}, {"html": "$html"}, {"text": "$text", "html": "$html"}),
            "replyTo?": "$text",
            "returnPath?": "$text",
            "headers?": {"X-Mailer": "$text"},
            "attachments?": [
                {"id?": "$id", "name?": "$text", "type?": "$text", "URL": "$url", "length?": "$int"}
            ],
            "inlineImages?": [{"id?": "$id", "name?": "$text", "URL": "$url", "contentId?": "$id"}],
            "tracking?": {"open": "$bool", "click": "$bool"},
        }
    },
    # go-rest-api conversation/whatsapp.go (Interactive, Reply)
    "interactive": {
        "interactive": {
            "type": ("list", "button", "product", "button_reply"),
            "reply": {"id": "$id", "text": "$text", "description?": "$text"},
        }
    },
    # developers.messagebird.com/quickstarts/whatsapp/whatsapp-product-messages
    "whatsappText": {
        "whatsappText": {
            "text": {"body": "$text"},
            "context?": {
                "id?": "$id",
                "from?": "$phone",
                "referred_product?": {"catalog_id": "$text", "product_retailer_id": "$text"},
            },
        }
    },
    "whatsappOrder": {
        "whatsappOrder": {
            "catalog_id": "$text",
            "text?": "$text",
            "product_items": [
                {
                    "product_retailer_id": "$text",
                    "quantity": "$int",
                    "item_price": "$text",
                    "currency": "$text",
                }
            ],
        }
    },
    "whatsappSticker": {"whatsappSticker": {"link": "$url"}},
    "externalAttachment": {"externalAttachments": [MEDIA], "text?": "$text"},
    # Constants without a documented content: whatever words are in it.
    "event": {"event": {"name": "$text"}},
    "rich": {"rich": {"title": "$text", "url": "$url"}},
    "menu": {"menu": {"items": [{"title": "$text"}]}},
    "link": {"link": {"url": "$url", "label": "$text"}},
}


def v1(maker: Maker, kind: str) -> dict[str, Any]:
    """A webhook of Conversations v1 (captures; conversation/contact.go, conversation.go)."""
    contact = {
        "href": "$url",
        "msisdn": ("$int", None),
        "displayName": "$text",
        "firstName": "$text",
        "lastName": "$text",
        "customDetails": ({}, {"userId": "$int", "avatar": "$url"}),
        "updatedDatetime": ("$time", None),
    }
    conversation = {
        "channels?": [{"id": "$id", "name": "$text", "platformId": "$text", "status": "$text"}],
        "lastUsedChannelId": "$id",
        "lastUsedPlatformId?": "$text",
        "messages": {"totalCount": "$int", "href": "$url", "lastMessageId?": "$id"},
    }
    message = {
        "platform": ("sms", "whatsapp", "facebook", "telegram", "line", "wechat", "email", None),
        "to": "$phone",
        "from": "$phone",
        "status": ("received", "unsupported", "deleted", "pending_media"),
        "updatedDatetime": "$time",
        "source?": {"agentId": "$id"},
        "tag?": "$text",
        "trackId?": "$id",
        "ttl?": "$text",
    }
    body = bodies.v1(
        value(maker, V1_CONTENTS[kind]),
        kind=kind,
        contact=value(maker, contact),
        **value(maker, message),
    )
    body["conversation"] |= value(maker, conversation)
    optional = ("contact", "conversation", "message.to", "message.from")
    return bodies.without(body, *(path for path in optional if not maker.present()))


POSTBACK = {
    "type": "postback",
    "postback": {
        "text": "$text",
        "payload?": "$text",
        "imageUrl?": "$url",
        "metadata?": {"description?": {"label?": "$text"}},
    },
}
LINK = {"type": "link", "link": {"text": "$text", "url": "$url"}}
ACTIONS = [(POSTBACK, LINK, {"type": "reply", "reply": {"text": "$text"}})]
FILES = [{"mediaUrl": "$url", "filename": "$text"}]
HTML_FILE = {"filename?": "$text", "inline?": False, "contentId?": "$id"}
SIMPLE_BODIES: dict[str, Schema] = {
    # docs.bird.com/api/channels-api/api-reference/messaging: the embedded OpenAPI document
    "text": {
        "text": "$text",
        "attachments?": FILES,
        "actions?": ACTIONS,
        "metadata?": {"subject?": "$text", "headers?": {"X-Mailer": "$text"}},
    },
    "html": {
        "text?": "$text",
        "html": "$html",
        "attachments?": [
            (
                {"mediaUrl": "$url", **HTML_FILE},
                {"content": "$id", "contentType": "$id", **HTML_FILE},
            )
        ],
        "metadata?": {
            "subject?": "$text",
            "emailFrom?": {"username": "ada@example.org", "displayName": "$text"},
        },
    },
    "image": {
        "text?": "$text",
        "images": [{"mediaUrl": "$url", "altText?": "$text"}],
        "actions?": ACTIONS,
        "metadata?": {"subject?": "$text", "fallbackText?": "$text", "storyType?": "$text"},
    },
    "file": {
        "text?": "$text",
        "files": [
            {
                "mediaUrl": "$url",
                "contentType": ("audio/ogg; codecs=opus", "video/mp4", "image/webp", "text/csv"),
                "filename?": "$text",
                "altText?": "$text",
                "metadata?": {"isAnimated?": "$bool"},
            }
        ],
        "metadata?": {"subject?": "$text", "storyType?": "$text"},
    },
    "gif": {"text?": "$text", "mediaUrl": "$url", "altText?": "$text"},
    "location": {
        "coordinates": {"latitude?": "$float", "longitude?": "$float"},
        "location?": {"address?": "$text", "label?": "$text"},
    },
    "carousel": {
        "text?": "$text",
        "items": [
            {
                "title?": "$text",
                "description?": "$text",
                "altText?": "$text",
                "mediaUrl?": ("$url", None),
                "actions?": ACTIONS,
            }
        ],
    },
    "list": {
        "title?": "$text",
        "text": "$text",
        "altText?": "$text",
        "items?": [{"title": "$text", "description?": "$text"}],
        "metadata?": {"button?": "$text", "replyMessage?": {"title?": "$text", "text?": "$text"}},
    },
    "authentication": {"otp?": {"disclaimer": "$text"}},
    "poll": {"question": "$text", "options": ["$text"]},  # unknown: such a type may come any day
}
BODIES: dict[str, Schema] = {
    **SIMPLE_BODIES,
    "section": {
        "items": [tuple({"type": kind, kind: schema} for kind, schema in SIMPLE_BODIES.items())]
    },
}
META = {
    "referral?": {
        "source?": ("ad", "$text"),
        "title?": ("$text", None),
        "text?": ("$text", None),
        "group?": ("$text", None),
        "metadata?": {
            "source_id?": "$id",
            "source_url?": ("$url", None),
            "media_url?": ("$url", None),
            "tracking_id?": ("$id", None),
        },
    },
    "order?": {
        "products?": [
            {
                "externalCatalogId?": "$id",
                "externalProductId": "$id",
                "quantity?": "$int",
                "price?": {"amount": 1250, "exponent": (2, -2), "currencyCode": "EUR"},
            }
        ]
    },
    "referredProduct?": {"externalCatalogId?": "$id", "externalProductId?": "$id"},
    "email?": {
        "subject?": "$text",
        "headers?": {"Message-ID": "$id"},
        "from?": {"username?": "ada@example.org", "displayName?": "$text"},
    },
    "extraInformation?": {"timestamp": "1790236798", "user_locale?": "$id", "ChatID?": "$id"},
}
SENDERS = (
    # docs.bird.com/api/conversations-api/api-reference/conversation-participants
    {"identifierKey": "phonenumber", "identifierValue": "$phone"},
    {"identifierKey": "emailaddress", "identifierValue": "ada@example.org"},
    {"identifierKey": "telegram:77", "identifierValue": "$int"},
    {"identifierKey": "line-12", "identifierValue": "$id", "platformAddress?": "$id"},
    {"identifierKey": "applebc-1", "identifierValue": "$text"},
    {
        "identifierKey": "whatsappbsuid",
        "identifierValue": "$id",
        "identifiers": [{"identifierKey": "phonenumber", "identifierValue": "$phone"}],
    },
)


def channels(maker: Maker, kind: str) -> dict[str, Any]:
    """A webhook of the Channels API."""
    contact = value(maker, SENDERS) | {"id": maker.id(), "annotations": {"name": maker.text()}}
    events = ("whatsapp.inbound", "instagram.inbound", "email.inbound", "pigeon.inbound")
    payload = {
        "receiver": {"connector": {"id": "$id", "identifierValue?": "$phone"}},
        "meta": META,
        "reference?": "$text",
        "replyTo?": {"id": "$id", "order": "$int", "type": ("message", "click", "referrals")},
        "tags?": ["$text"],
        "chargeableUnits?": "$int",
        "lastStatusAt": "$time",
        "batchId?": ("$id", None),
    }
    return bodies.channels(
        {"type": kind, kind: value(maker, BODIES[kind])},
        event=value(maker, events),
        sender={"contact": contact},
        **value(maker, payload),
    )


MAKES = {
    **{
        f"{kind} {content}".strip(): partial(event, kind=kind, content=content)
        for kind in EVENTS
        for content in CONTENTS.get(kind, ("",))
    },
    **{f"v1 {kind}": partial(v1, kind=kind) for kind in V1_CONTENTS},
    **{f"channels {kind}": partial(channels, kind=kind) for kind in BODIES},
}
"""What makes a body, by event and content or by generation and type."""


@cache
def made(name: str) -> list[dict[str, Any]]:
    """Such bodies: with all that is optional, with none of it, and 25 by chance."""
    makers = [Maker(0, full=True), Maker(0, full=False), *map(Maker, range(1, 26))]
    return [MAKES[name](maker) for maker in makers]
