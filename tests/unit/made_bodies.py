"""Bodies made from models: of generation C from Bird's own SDK, of A and B from written schemas.

A made text is unique in its body and made of two words, so that it can be looked for in a record.
"""

from __future__ import annotations

import random
import re
import typing
import warnings
from collections.abc import Callable, Mapping
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


# ── A and B: paths of written schemas ─────────────────────────────────────────────────────────────


def made_of(maker: Maker, paths: str) -> dict[str, Any]:
    """An object with these paths, each of which may be absent. `items*` is a list; after `=` stand
    the kinds or constants that a value may be, if it is no text."""
    tree: dict[str, Any] = {}
    for path in paths.split():
        names, _, kinds = path.partition("=")
        *above, last = names.split(".")
        inner = tree
        for name in above:
            inner = inner.setdefault(name, {})
        inner[last] = kinds or "text"
    return typing.cast(dict[str, Any], _grown(maker, tree))


def _grown(maker: Maker, tree: Any) -> Any:
    if isinstance(tree, str):
        kind = maker.dice.choice(tree.split("|"))
        return LEAVES[kind](maker) if kind in LEAVES else kind
    found = {}
    for name, inner in tree.items():
        if maker.present():
            several = [_grown(maker, inner) for _ in range(maker.length())]
            found[name.rstrip("*")] = several if name.endswith("*") else several[0]
    return found


def _typed(maker: Maker, types: Mapping[str, str]) -> dict[str, Any]:
    kind = maker.dice.choice(list(types))
    return {"type": kind, kind: made_of(maker, types[kind])}


# go-rest-api conversation/message.go (MessageContent), whatsapp.go, email.go, facebook.go;
# java-rest-api objects/conversations; php-rest-api Objects/Conversation;
# developers.messagebird.com/quickstarts/whatsapp/whatsapp-product-messages.
V1_CONTENTS = {
    "text": "text",
    **{one: f"{one}.url=url {one}.caption" for one in ("image", "video", "audio", "file")},
    "location": "location.latitude=float|text location.longitude=float|text",
    "email": """
        email.id=id email.from.address email.from.name email.to*.address email.to*.name
        email.subject email.content.text email.content.html=html email.replyTo email.returnPath
        email.headers.X-Mailer email.attachments*.id=id email.attachments*.name
        email.attachments*.type email.attachments*.URL=url email.attachments*.length=int
        email.inlineImages*.id=id email.inlineImages*.name email.inlineImages*.URL=url
        email.inlineImages*.contentId=id email.tracking.open=bool email.tracking.click=bool
        """,
    "interactive": """
        interactive.type=list|button|product|button_reply interactive.reply.id=id
        interactive.reply.text interactive.reply.description
        """,
    "whatsappText": """
        whatsappText.text.body whatsappText.context.id=id whatsappText.context.from=phone
        whatsappText.context.referred_product.catalog_id
        whatsappText.context.referred_product.product_retailer_id
        """,
    "whatsappOrder": """
        whatsappOrder.catalog_id whatsappOrder.text whatsappOrder.product_items*.currency
        whatsappOrder.product_items*.product_retailer_id whatsappOrder.product_items*.item_price
        whatsappOrder.product_items*.quantity=int
        """,
    "whatsappSticker": "whatsappSticker.link=url",
    "externalAttachment": "externalAttachments*.url=url externalAttachments*.caption text",
    # Constants without a documented content: whatever words are in it.
    "event": "event.name",
    "rich": "rich.title rich.url=url",
    "menu": "menu.items*.title",
    "link": "link.url=url link.label",
}


def v1(maker: Maker, kind: str) -> dict[str, Any]:
    """A webhook of Conversations v1 (captures; conversation/contact.go, conversation.go)."""
    contact = """
        href=url msisdn=int|null displayName firstName lastName customDetails.userId=int
        customDetails.avatar=url updatedDatetime=time|null
        """
    conversation = """
        channels*.id=id channels*.name channels*.platformId channels*.status lastUsedChannelId=id
        lastUsedPlatformId messages.totalCount=int messages.href=url messages.lastMessageId=id
        """
    message = """
        platform=sms|whatsapp|facebook|telegram|line|wechat|email|null to=phone from=phone tag ttl
        status=received|unsupported|deleted|pending_media updatedDatetime=time source.agentId=id
        trackId=id
        """
    content, given = made_of(maker, V1_CONTENTS[kind]), made_of(maker, contact)
    body = bodies.v1(content, kind=kind, contact=given, **made_of(maker, message))
    body["conversation"] |= made_of(maker, conversation)
    absent = [name for name in ("contact", "conversation") if not maker.present()]
    return bodies.without(body, *absent)


# docs.bird.com/api/channels-api/api-reference/messaging: the embedded OpenAPI document
ACTIONS = {
    "postback": "text payload imageUrl=url metadata.description.label",
    "link": "text url=url",
    "reply": "text",
}
SIMPLE_BODIES = {
    "text": """
        text attachments*.mediaUrl=url attachments*.filename actions*=action metadata.subject
        metadata.headers.X-Mailer
        """,
    "html": """
        text html=html attachments*.mediaUrl=url attachments*.content=id attachments*.filename
        attachments*.contentType=id attachments*.inline=false attachments*.contentId=id
        metadata.subject metadata.emailFrom.username=ada@example.org metadata.emailFrom.displayName
        """,
    "image": """
        text images*.mediaUrl=url images*.altText actions*=action metadata.subject
        metadata.fallbackText metadata.storyType
        """,
    "file": """
        text files*.mediaUrl=url files*.filename files*.altText files*.metadata.isAnimated=bool
        files*.contentType=audio/ogg|video/mp4|image/webp|text/csv metadata.subject
        metadata.storyType
        """,
    "gif": "text mediaUrl=url altText",
    "location": """
        coordinates.latitude=float coordinates.longitude=float location.address location.label
        """,
    "carousel": """
        text items*.title items*.description items*.altText items*.mediaUrl=url|null
        items*.actions*=action
        """,
    "list": """
        title text altText items*.title items*.description metadata.button
        metadata.replyMessage.title metadata.replyMessage.text
        """,
    "authentication": "otp.disclaimer",
    "poll": "question options*",  # unknown: such a type may come any day
}
BODIES = {**SIMPLE_BODIES, "section": "items*=body"}
META = """
    referral.source=ad|text referral.title=text|null referral.text=text|null
    referral.group=text|null referral.metadata.source_id=id referral.metadata.source_url=url|null
    referral.metadata.media_url=url|null referral.metadata.tracking_id=id|null
    order.products*.externalCatalogId=id order.products*.externalProductId=id
    order.products*.quantity=int order.products*.price=price referredProduct.externalCatalogId=id
    referredProduct.externalProductId=id email.subject email.headers.Message-ID=id
    email.from.username=ada@example.org email.from.displayName extraInformation.timestamp=1790236798
    extraInformation.user_locale=id extraInformation.ChatID=id
    """
# docs.bird.com/api/conversations-api/api-reference/conversation-participants
SENDERS = """
    phonenumber=phone emailaddress=ada@example.org telegram:77=int line-12=id applebc-1=text
    whatsappbsuid=id
    """


def channels(maker: Maker, kind: str) -> dict[str, Any]:
    """A webhook of the Channels API."""
    key, _, kinds = maker.dice.choice(SENDERS.split()).partition("=")
    contact = {"id": maker.id(), "identifierKey": key, "identifierValue": _grown(maker, kinds)}
    if key == "whatsappbsuid":
        phone = {"identifierKey": "phonenumber", "identifierValue": _grown(maker, "phone")}
        contact["identifiers"] = [phone]
    payload = """
        receiver.connector.id=id receiver.connector.identifierValue=phone reference replyTo.id=id
        replyTo.order=int replyTo.type=message|click|referrals tags* chargeableUnits=int
        lastStatusAt=time batchId=id|null
        """
    return bodies.channels(
        {"type": kind, kind: made_of(maker, BODIES[kind])},
        event=maker.dice.choice(("whatsapp", "instagram", "email", "pigeon")) + ".inbound",
        sender={"contact": {**contact, **made_of(maker, "annotations.name platformAddress=id")}},
        meta=made_of(maker, META),
        **made_of(maker, payload),
    )


LEAVES: dict[str, Callable[[Maker], Any]] = {
    "text": Maker.text,
    "id": Maker.id,
    "int": Maker.number,
    "float": lambda maker: maker.number() / 100,
    "bool": lambda maker: maker.dice.random() < 0.5,
    "false": lambda maker: False,
    "null": lambda maker: None,
    "url": lambda maker: f"https://media.example/{maker.number()}",
    "time": lambda maker: "2026-11-30T14:30:00Z",
    "phone": lambda maker: f"+3161{maker.dice.randrange(10**6, 10**7)}",
    "html": lambda maker: f"<p>{maker.text()}</p><ul><li>{maker.text()}</li></ul>",
    "price": lambda maker: {"amount": 1250, "exponent": 2, "currencyCode": "EUR"},
    "action": lambda maker: _typed(maker, ACTIONS),
    "body": lambda maker: _typed(maker, SIMPLE_BODIES),
}


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
