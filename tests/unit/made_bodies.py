"""Bodies made from models: of generation C from Bird's own SDK, of A and B from written schemas.

A made text is unique in its body and made of two words, so that it can be looked for in a record.
"""

from __future__ import annotations

import importlib.util
import random
import re
import sys
import types
import typing
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import pydantic

RECEIVED = re.compile(r"[a-z_]+\.(?:message_)?received")
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


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
        return prefix + "".join(self.dice.choices(CROCKFORD.replace("u", ""), k=26))

    def length(self) -> int:
        return self.dice.choice((1, 2)) if self.full is None else 1


# ── C: the models of `messagebird-sdk` ────────────────────────────────────────────────────────────


@cache
def sdk() -> types.ModuleType:
    """The SDK's models of received events, and nothing else of it: all of its 29,000 lines take
    seconds to import. The classes are those of its file, with what they refer to."""
    spec = importlib.util.find_spec("bird")
    assert spec is not None and spec.submodule_search_locations
    source = (Path(next(iter(spec.submodule_search_locations))) / "_generated.py").read_text(
        "utf-8"
    )
    head, *blocks = re.split(r"^(?=class \w+\()", source, flags=re.MULTILINE)
    classes = {block[6 : block.index("(")]: block for block in blocks}
    wanted = [name for name, block in classes.items() if _type_of(block)]
    wanted.append("AMBInboundContent")  # `content` of an Apple message is `Any` in its own model
    needed: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in needed:
            needed.add(name)
            bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', classes[name])
            wanted += [word for word in re.findall(r"\b[A-Z]\w+", bare) if word in classes]
    module = types.ModuleType("bird_models")
    sys.modules["bird_models"] = module
    # Its own base adds nothing but helpers of its client, which would import everything.
    head = head.replace("from bird._models import BaseModel", "from pydantic import BaseModel")
    code = head + "".join(block for name, block in classes.items() if name in needed)
    exec(compile(code, "bird/_generated.py", "exec"), module.__dict__)
    return module


def _type_of(block: str) -> str:
    found = re.search(r'^    type: Annotated\[Literal\["([\w.]+)"\]', block, re.MULTILINE)
    return (
        found[1]
        if found and block.startswith("class Event") and RECEIVED.fullmatch(found[1])
        else ""
    )


def events() -> dict[str, type[pydantic.BaseModel]]:
    """The models of the events that tell of a received message, by type."""
    found = {}
    for name, model in vars(sdk()).items():
        is_event = name.startswith("Event") and isinstance(model, type)
        if is_event and issubclass(model, pydantic.BaseModel) and "type" in model.model_fields:
            (kind,) = get_args(model.model_fields["type"].annotation)
            found[kind] = model
    return found


CONTENTS = (
    *("text", "image", "video", "audio", "sticker", "document", "location"),
    *("contact_cards", "interactive_reply", "unsupported"),
)
"""Of a WhatsApp message, one at a time."""


def event(maker: Maker, kind: str, content: str = "") -> dict[str, Any]:
    """A body of that event, which the SDK takes for valid."""
    body = typing.cast(dict[str, Any], _made(maker, events()[kind]))
    data = body["data"]
    if kind == "whatsapp.received":
        data["direction"] = "inbound"
        data.pop("origin", None)
        for name in CONTENTS:
            data.pop(name, None)
        field = events()[kind].model_fields["data"].annotation.model_fields[content]
        data[content] = _made(maker, field.annotation, optional=False)
        if content == "unsupported":
            data[content]["type"] = maker.dice.choice(
                ("interactive", "order", "unsupported", "poll")
            )
    if kind == "amb.received":
        message = data["message"]
        message |= {"direction": "inbound", "status": "received"}
        arms = sdk().AMBInboundContent.model_fields["root"].annotation
        arm = next(
            one
            for one in get_args(arms)
            if content in get_args(one.model_fields["type"].annotation)
        )
        message["content"] = _made(maker, arm)
        sdk().AMBInboundContent.model_validate(message["content"])
    events()[kind].model_validate(body)
    return body


def _made(maker: Maker, annotation: Any, field: Any = None, *, optional: bool = True) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _made(maker, arguments[0], field, optional=optional)
    if origin in (typing.Union, types.UnionType):
        kinds = [one for one in arguments if one is not type(None)]
        if len(kinds) < len(arguments) and optional and not maker.present():
            return None
        return _made(maker, kinds[0] if maker.full else maker.dice.choice(kinds), field)
    if origin is typing.Literal:
        return maker.dice.choice(arguments)
    if origin is list:
        return [_made(maker, arguments[0]) for _ in range(maker.length())]
    if origin is dict:
        return {"key": maker.text()} if maker.present() else {}
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        if issubclass(annotation, pydantic.RootModel):
            return _made(maker, annotation.model_fields["root"].annotation)
        made = {}
        for name, inner in annotation.model_fields.items():
            if inner.is_required() or maker.present():
                value = _made(maker, inner.annotation, inner)
                if value is not None or inner.is_required():
                    made[inner.alias or name] = value
        return made
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return maker.dice.choice(list(annotation)).value
    if annotation is bool:
        return maker.dice.random() < 0.5
    if annotation is int:
        limit = _limit(field, "le")
        return maker.number() if limit is None else min(maker.number(), limit)
    if annotation is float:
        return _within(maker, field)
    return _text(maker, field)


def _within(maker: Maker, field: Any) -> float:
    limit = _limit(field, "le")
    return maker.number() / 100 if limit is None else round(maker.dice.uniform(-limit, limit), 4)


def _text(maker: Maker, field: Any) -> str:
    pattern, longest = _limit(field, "pattern"), _limit(field, "max_length")
    if pattern and (prefix := re.match(r"\^([a-z]+_)\[", pattern)):
        return maker.id(prefix[1])
    if pattern and "T" in pattern:
        return "2026-11-30T14:30:00Z"
    if pattern == "^[A-Za-z]{2}$" or (longest is not None and longest <= 3):
        return "EUR"[: longest or 2]
    if pattern and "bird:" in pattern:
        return "bird:not_sent"
    if pattern:
        return maker.text().replace(" ", "_")
    return maker.text()


def _limit(field: Any, name: str) -> Any:
    for one in field.metadata if field is not None else ():
        if getattr(one, name, None) is not None:
            return getattr(one, name)
    return None


def made_events(seeds: range) -> dict[str, list[dict[str, Any]]]:
    """Bodies for each event and content: with all that is optional, with none of it, by chance."""
    contents = {"whatsapp.received": CONTENTS, "amb.received": ("text", "interactive")}
    return {
        f"{kind} {content}".strip(): [
            event(Maker(0, full=True), kind, content),
            event(Maker(0, full=False), kind, content),
            *(event(Maker(seed), kind, content) for seed in seeds),
        ]
        for kind in sorted(events())
        for content in contents.get(kind, ("",))
    }


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
    schema = {
        "type": "message.created",
        "contact?": {
            "id": "$id",
            "href": "$url",
            "msisdn": ("$int", None),
            "displayName?": "$text",
            "firstName": "$text",
            "lastName": "$text",
            "customDetails": ({}, {"userId": "$int", "avatar": "$url"}),
            "attributes?": {},
            "createdDatetime": "$time",
            "updatedDatetime": ("$time", None),
        },
        "conversation?": {
            "id": "$id",
            "contactId": "$id",
            "channels?": [{"id": "$id", "name": "$text", "platformId": "$text", "status": "$text"}],
            "status": ("active", "archived"),
            "createdDatetime": "$time",
            "updatedDatetime": ("$time", None),
            "lastReceivedDatetime": "$time",
            "lastUsedChannelId": "$id",
            "lastUsedPlatformId?": "$text",
            "messages": {"totalCount": "$int", "href": "$url", "lastMessageId?": "$id"},
        },
        "message": {
            "id": "$id",
            "conversationId": "$id",
            "channelId": "$id",
            "platform?": ("sms", "whatsapp", "facebook", "telegram", "line", "wechat", "email"),
            "to?": "$phone",
            "from?": "$phone",
            "direction": "received",
            "status": ("received", "unsupported", "deleted", "pending_media"),
            "type": kind,
            "content": V1_CONTENTS[kind],
            "createdDatetime": "$time",
            "updatedDatetime": "$time",
            "source?": {"agentId": "$id"},
            "tag?": "$text",
            "trackId?": "$id",
            "ttl?": "$text",
        },
    }
    return typing.cast(dict[str, Any], value(maker, schema))


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
    schema = {
        "service": "channels",
        "event": ("whatsapp.inbound", "instagram.inbound", "email.inbound", "pigeon.inbound"),
        "payload": {
            "id": "$id",
            "channelId": "$id",
            "receiver": {"connector": {"id": "$id", "identifierValue?": "$phone"}},
            "body": {"type": kind, kind: BODIES[kind]},
            "meta?": META,
            "reference?": "$text",
            "parts?": [{"platformReference": "$id"}],
            "status": "delivered",
            "reason": "",
            "direction?": "incoming",
            "replyTo?": {"id": "$id", "order": "$int", "type": ("message", "click", "referrals")},
            "tags?": ["$text"],
            "chargeableUnits?": "$int",
            "lastStatusAt": "$time",
            "createdAt": "$time",
            "updatedAt": "$time",
            "batchId?": ("$id", None),
        },
    }
    body = typing.cast(dict[str, Any], value(maker, schema))
    body["payload"]["sender"] = {"contact": contact}
    return body


def made_by_schema(seeds: range) -> dict[str, list[dict[str, Any]]]:
    """Bodies for each type of A and B: with all that is optional, with none of it, by chance."""
    return {
        f"{make.__name__} {kind}": [
            make(Maker(0, full=True), kind),
            make(Maker(0, full=False), kind),
            *(make(Maker(seed), kind) for seed in seeds),
        ]
        for make, kinds in ((v1, V1_CONTENTS), (channels, BODIES))
        for kind in kinds
    }
