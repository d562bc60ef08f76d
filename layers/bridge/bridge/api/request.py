"""Requests of the API: an API Gateway event is read into a message, once, before anything else.

Any key that is a Salesforce field name goes to Salesforce as it is; `bird` says where the message
came from. Field names are compared without case, as Salesforce does.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from bridge.api.fields import is_set, read_fields
from bridge.bird.channels import NONE, OBJECTS, UNKNOWN, plain
from bridge.bird.mapping import derived_fields, fill, is_opt_out
from bridge.bird.message import BirdMessage, Media
from bridge.bird.phones import as_email
from bridge.bird.texts import cut, flat, is_absent
from bridge.conversations.keys import conversation_key, is_id, message_key
from bridge.conversations.message import Message, read_moment
from bridge.errors import BadRequest, Ignored
from bridge.records import ObjectName, stored_key
from bridge.settings import Settings

LONGEST_SHOWN = 80
"""UTF-16 units of a key that a response repeats."""

DEEPEST = 20
"""Levels of nesting in a body; a Salesforce field needs two (a relationship by external id)."""

SHAPE_MARKS = frozenset(
    {
        *("channelId", "conversation", "conversationId", "data", "message", "originator"),
        *("receiver", "service"),
    }
)
"""Keys of which each of Bird's own bodies has at least one (`webhooks.py`): no look without any."""

PARAMETERS = frozenset({"channel", "errors", "object"})
"""What the query of a POST may have, beside `set.` and a field's name."""

_LONGEST_LINK = 8_001
"""Characters: one more than any link that is called (`files.addresses`)."""
_LONGEST_NAME = 500
"""UTF-16 units of a file's name: as many as PathOnClient takes (Object Reference)."""
_TEXT_BEGINS = re.compile(r'"text"\s*:\s*"')
_MORE_KEYS = re.compile(r'"\s{0,9},\s{0,9}"\w{1,80}"\s{0,9}:')
WEBHOOK_ROUTE = "/webhooks/bird"
"""The route of Bird's webhooks. `Idempotency-Key` and `Prefer` are signed by no scheme, so they do
not count there."""
_SURROGATE = "[\ud800-\udfff]"
"""No compiled pattern: that takes 4 ms, and next to no body needs it."""


@dataclass(frozen=True)
class HttpRequest:
    """The parts of a proxy event that matter. Header names are lower case."""

    method: str
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    path_key: str | None = field(repr=False)
    raw_body: object = field(repr=False)
    base64_encoded: bool = False
    gateway_request_id: str = ""
    requested_at_ms: object = None
    route: str = ""
    repeated: frozenset[str] = frozenset()
    """Names of query parameters that stand in the address several times."""
    api_key_id: str = ""
    """The id of the API key that the gateway let in; not the key."""

    @classmethod
    def from_event(cls, event: Any) -> HttpRequest:
        """Read a REST API proxy event (payload version 1.0). Raises BadRequest."""
        if not isinstance(event, dict):
            raise BadRequest("the event is no API Gateway proxy event")
        context = event.get("requestContext")
        context = context if isinstance(context, dict) else {}
        path = event.get("pathParameters")
        key = path.get("key") if isinstance(path, dict) else None
        return cls(
            method=str(event.get("httpMethod") or "POST").upper(),
            headers={
                name.lower(): value for name, value in _pairs(event, "headers", "multiValueHeaders")
            },
            query=dict(_pairs(event, "queryStringParameters", "multiValueQueryStringParameters")),
            path_key=key if isinstance(key, str) else None,
            raw_body=event.get("body"),
            base64_encoded=bool(event.get("isBase64Encoded")),
            gateway_request_id=gateway_request_id(event),
            requested_at_ms=context.get("requestTimeEpoch"),
            api_key_id=_api_key_id(context),
            route=str(event.get("resource") or event.get("path") or ""),
            repeated=_repeated(event.get("multiValueQueryStringParameters")),
        )

    @property
    def body(self) -> str:
        """The body as text. Raises BadRequest, so late that `errors_inline` is known by then."""
        if self.raw_body is None:
            return ""
        if not isinstance(self.raw_body, str):
            raise BadRequest("the event's body is not text")
        if not self.base64_encoded:
            return self.raw_body
        try:
            return base64.b64decode(self.raw_body, validate=True).decode("utf-8")
        except (binascii.Error, ValueError) as error:
            raise BadRequest("the body is not base64-encoded UTF-8") from error

    @property
    def errors_inline(self) -> bool:
        """`?errors=inline`: answer 200 whatever happened."""
        return self.query.get("errors", "").strip().lower() == "inline"

    @property
    def respond_async(self) -> bool:
        """`Prefer: respond-async` (RFC 7240): queue it at once."""
        if self.route.endswith(WEBHOOK_ROUTE):
            return False
        preferences = self.headers.get("prefer", "").lower().split(",")
        return any(p.split(";")[0].strip() == "respond-async" for p in preferences)

    def requested_keys(self) -> list[str]:
        """The stored forms of the key in the path or query of a GET or a PATCH, most likely first.

        Whether a path parameter arrives percent-decoded is the gateway's affair, so both readings
        are tried. Raises BadRequest if there is no key, or a variable without a value instead.
        """
        raw = self.path_key if self.path_key is not None else self.query.get("key")
        if raw is None or not raw.strip():
            raise BadRequest("say which record: GET /leads/{key}, or /leads?key= where it has a /")
        readings = [raw] if self.path_key is None else [raw, unquote(raw)]
        if not all(map(is_id, readings)):
            raise BadRequest(
                "the key in the address is a variable without a value: look in the flow's log at "
                "what the step calls"
            )
        return list(dict.fromkeys(stored_key(reading) for reading in readings))


def _api_key_id(context: Mapping[str, Any]) -> str:
    identity = context.get("identity")
    found = identity.get("apiKeyId") if isinstance(identity, dict) else None
    return found if isinstance(found, str) else ""


def gateway_request_id(event: Any) -> str:
    """The gateway's id of a request, which its access log has too; empty if there is none."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    found = context.get("requestId") if isinstance(context, dict) else None
    return found if isinstance(found, str) else ""


@dataclass(frozen=True)
class MessageRequest:
    """What a POST asks for."""

    message: Message
    key_source: str
    """Where the message's key came from: field, message, header, webhook, content or made_up."""
    unresolved_keys: int
    """How many sources held an unresolved variable instead of a key."""
    unread: tuple[str, ...] = ()
    """Paths of the parts of the body that no reader knows."""
    cut: tuple[str, ...] = ()
    """Names of the fields whose text did not fit."""
    without_id: bool = False
    """Whether a body of Bird's own had no id, so that a retry doubles."""
    bird: BirdMessage | None = field(repr=False, default=None)
    """What the body says of Bird's."""
    variables: int = 0
    """How many values are unresolved variables."""
    left_out: tuple[str, ...] = ()
    """Names of the body's fields that AllowedFields does not list."""
    unused: tuple[str, ...] = ()
    """Names in the query that do nothing."""
    misread: tuple[str, ...] = ()
    """Keys of `bird` whose values cannot be what they should be."""
    hidden: bool = False
    """Whether some of what the customer sent is not on the record: the caller gave Description."""


def read_message(
    request: HttpRequest, object_name: ObjectName | None, *, settings: Settings
) -> MessageRequest:
    """The message that a request describes. `object_name` None: where the conversation lives, else
    what its channel's messages become, unless it says which. Raises BadRequest, ForbiddenField,
    Ignored."""
    replies = settings.log_replies and settings.conversations
    body = read_object(request)
    message = _read_shape(body, request, replies=replies)
    if message is not None:
        body = {}  # it is Bird's own, and no field of it is Salesforce's
    sent = read_fields(body, request.query, repeated=request.repeated, settings=settings)
    message = message or read_bird(sent.bird, request, replies=replies)
    requested = object_name or _requested_object(request, message)
    has_key = message_key([("field", sent.key)]).source == "field"
    conversation = ""
    if message and settings.conversations and settings.external_id_field and not has_key:
        conversation = _conversation_of(message)
    if message and message.from_us and not (replies and conversation):
        raise Ignored("it was sent to the customer, not by them", event="message")
    if requested is None and not conversation:
        requested = _channel_object(message)
    key = message_key(
        [
            ("field", sent.key),
            ("message", message.message_id if message else None),
            ("header", _header_key(request)),
            ("webhook", request.headers.get("webhook-id") if message else None),
        ],
        conversation=conversation,
        last_message=message.last_message if message else "",
        content=_content_of(message) if message else (),
    )
    if message and not sent.in_body and is_opt_out(message):
        raise Ignored(f"the text is {message.text.strip()} alone, an opt-out", event="opt-out")
    has_task = conversation or settings.attach_duplicates
    given = {name.lower() for name in sent.fields}
    derived = {
        name: derived_fields(message, name, given=given, default_company=settings.default_company)
        for name in ((requested,) if requested else OBJECTS)
    }
    sent_at = read_moment(message.sent_at if message else "")
    misread: tuple[str, ...] = ()
    if message and not message.forwarded:
        misread = message.misread
        if message.sent_at and sent_at is None:
            misread += ("sentAt",)
    return MessageRequest(
        message=Message(
            conversation=conversation,
            key=key.key,
            requested=requested,
            channel_object=message.channel.object if message else "Lead",
            fields=sent.fields,
            derived={name: fields for name, (fields, _) in derived.items()},
            task=_task_of(message) if message and has_task else {},
            unshown=message.unshown() if message and has_task else {},
            sent_at=sent_at or datetime.now(UTC),
            channel=message.channel.name if message else NONE,
            from_us=message.from_us if message else False,
            phone=message.phone if message and settings.match_contacts else "",
            email=message.email if message and settings.match_contacts else "",
            media=_media_of(message, settings),
        ),
        key_source=key.source,
        unresolved_keys=key.unresolved,
        unread=message.unread if message else (),
        cut=tuple(dict.fromkeys(name for _, names in derived.values() for name in names)),
        without_id=bool(message and message.forwarded and not message.message_id),
        bird=message,
        variables=sent.variables + _unresolved(sent.bird),
        left_out=sent.left_out,
        unused=unused_parameters(request, object_name),
        misread=misread,
        hidden=bool(message and not conversation and _is_hidden(message, sent.fields, given)),
    )


def _is_hidden(message: BirdMessage, fields: Mapping[str, Any], given: Set[str]) -> bool:
    """Whether a Description that the caller gave lacks what the message's own would say."""
    if "description" not in given:
        return False
    values = [value for value in fields.values() if isinstance(value, str)]
    parts = (message.headline, message.text, *message.details)
    return any(part.strip() and not any(part in value for value in values) for part in parts)


def unused_parameters(request: HttpRequest, object_name: ObjectName | None) -> tuple[str, ...]:
    """Names in the query that do nothing on the route of this object. A query that stands for the
    body has none."""
    query, body = request.query, request.raw_body
    if not query or not isinstance(body, str) or not body.strip():
        return ()
    found = [name for name in query if name not in PARAMETERS and not is_set(name)]
    if not request.errors_inline and not is_absent(query.get("errors")):
        found.append("errors")
    wanted = query.get("object", "")
    if object_name and not is_absent(wanted) and wanted.strip().lower() != object_name.lower():
        found.append("object")
    return tuple(found)


def _header_key(request: HttpRequest) -> str | None:
    return None if request.route.endswith(WEBHOOK_ROUTE) else request.headers.get("idempotency-key")


def _conversation_of(message: BirdMessage) -> str:
    """The key of the conversation that a message is of; empty if it is of none."""
    channel = message.channel
    if not channel.conversations:
        return ""
    named = channel.name if channel.name != UNKNOWN else plain(message.called) or UNKNOWN
    is_mail = channel.name == UNKNOWN and bool(as_email(message.sender))
    return conversation_key(
        message.conversation_id,
        channel=named,
        sender=message.sender,
        is_chat=channel.chat and not is_mail,
    )


def _content_of(message: BirdMessage) -> tuple[str, ...]:
    """What tells a message from another one of its conversation, where no id does."""
    return (message.headline, message.text, *message.details)


def _task_of(message: BirdMessage) -> dict[str, Any]:
    """The fields of the Task that logs a message."""
    task, _ = fill(message, "Task")
    if message.from_us and isinstance(task.get("Subject"), str):
        task["Subject"] = f"→ {task['Subject']}"
    return task


def _media_of(message: BirdMessage | None, settings: Settings) -> tuple[Media, ...]:
    """The files that a customer sent and that are to be attached, each once."""
    # Without a key nothing would be found again, neither the record nor the file.
    if not (settings.attach_media and settings.external_id_field):
        return ()
    if message is None or message.from_us:
        return ()
    # So that neither a picture in its own link (data:…) nor a name makes the message too large to
    # queue. A link so long is refused where it would be called, and stands in Rejected with that.
    short = (
        Media(one.link[:_LONGEST_LINK], cut(one.name, _LONGEST_NAME), one.type[:_LONGEST_NAME])
        for one in message.media
    )
    return tuple({media.link: media for media in short}.values())


def _unresolved(value: Any) -> int:
    """How many values in `bird` are nothing but unresolved variables."""
    if not isinstance(value, dict):
        return 0
    texts = (one for one in value.values() if isinstance(one, str))
    return sum("{{" in text and is_absent(text) for text in texts)


def _read_shape(
    body: Mapping[str, Any], request: HttpRequest, *, replies: bool
) -> BirdMessage | None:
    """The message of a body that is one of Bird's own. Raises Ignored."""
    if SHAPE_MARKS.isdisjoint(body) or "bird" in body:
        return None
    # Most flows send fields or `bird`: they need not pay for the import.
    from bridge.bird.webhooks import read_shape

    return read_shape(body, channel=request.query.get("channel", ""), replies=replies)


def _requested_object(request: HttpRequest, message: BirdMessage | None) -> ObjectName | None:
    """What the query or the flow says to make; None if neither does. Raises BadRequest."""
    for name_given in (request.query.get("object", ""), message.object if message else ""):
        if is_absent(name_given):
            continue
        for name in OBJECTS:
            if name_given.strip().lower() == name.lower():
                return name
        raise BadRequest("object is neither Lead nor Case")
    return None


def _channel_object(message: BirdMessage | None) -> ObjectName:
    """What the table of channels says to make. Raises BadRequest."""
    if message is None:
        raise BadRequest(
            "nothing says whether this is a Lead or a Case: send bird.channel, add ?object=Lead or "
            "?object=Case, or post to /leads or /cases"
        )
    return message.channel.object


def read_bird(bird: Any, request: HttpRequest, *, replies: bool) -> BirdMessage | None:
    """The message that `bird` is; None if it is absent. Raises BadRequest, Ignored."""
    if isinstance(bird, str) and not is_absent(bird):
        try:
            bird = _DECODE(bird)
            depth_of(bird)
            bird = _without_lone_surrogates(bird)
        except (ValueError, RecursionError) as error:
            raise BadRequest("bird is text that is not JSON; send an object") from error
    if is_absent(bird):
        return None
    if not isinstance(bird, dict):
        raise BadRequest('bird is not an object; send {"bird": {"channel": …}}')
    message = _read_shape(bird, request, replies=replies)
    if message is None:
        _refuse_twins(bird)
        named = any(name.lower() == "channel" and not is_absent(bird[name]) for name in bird)
        if not named and "channel" in request.query:
            bird = {n: v for n, v in bird.items() if n.lower() != "channel"}
            bird["channel"] = request.query["channel"]
        message = BirdMessage.parse(bird)
    return message


def _refuse_twins(bird: Mapping[str, Any]) -> None:
    """Raises BadRequest where two values that are there have the same key without case."""
    if len({name.lower() for name in bird}) == len(bird):
        return
    names: set[str] = set()
    for name in (name for name, value in bird.items() if not is_absent(value)):
        if name.lower() in names:
            raise BadRequest(f"bird.{_shown(name)} is given twice (keys are compared without case)")
        names.add(name.lower())


def _pairs(event: Mapping[str, Any], single: str, multiple: str) -> list[tuple[str, str]]:
    """Headers or query; if there are none, the last value of each in the event's other form."""
    if pairs := _texts(event.get(single)):
        return pairs
    several = event.get(multiple)
    if not isinstance(several, dict):
        return []
    return _texts({n: v[-1] for n, v in several.items() if isinstance(v, list) and v})


def _repeated(several: Any) -> frozenset[str]:
    if not isinstance(several, dict):
        return frozenset()
    return frozenset(str(n) for n, v in several.items() if isinstance(v, list) and len(v) > 1)


def _texts(values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, dict):
        return []
    return [(str(name), value) for name, value in values.items() if isinstance(value, str)]


def read_object(request: HttpRequest) -> dict[str, Any]:
    """The body as an object: JSON unless it says that it is a form. Raises BadRequest."""
    text = _whole_characters(request.body.removeprefix("\ufeff"))
    if not text.strip():
        if not SHAPE_MARKS.isdisjoint(request.query) or "payload" in request.query:
            # "Forward to URL" with the method GET says everything in the query.
            sms = {name: text for name, text in request.query.items() if not is_set(name)}
            return dict(_without_lone_surrogates(sms))
        if request.method == "GET":
            raise BadRequest("the address has no query; send the SMS in it, or a body with POST")
        raise BadRequest("the body is empty; send a JSON object")
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type == "application/x-www-form-urlencoded" and not text.lstrip().startswith("{"):
        return _read_form(text)  # JSON under this type is what curl sends by default
    try:
        try:
            body = _DECODE(text)
        except json.JSONDecodeError:
            if (mended := _with_last_text_escaped(text)) is None:
                raise
            body = _DECODE(mended)
        depth_of(body)
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply") from error
    except ValueError as error:
        where = ""
        if isinstance(error, json.JSONDecodeError):
            where = f" (line {error.lineno}, column {error.colno})"
        raise BadRequest(f"the body is not JSON{where}; send a JSON object") from error
    if not isinstance(body, dict):
        raise BadRequest('the body is JSON but not an object; send {"LastName": …}')
    if "\\u" in text:
        return dict(_without_lone_surrogates(body))
    return dict(body)


def _with_last_text_escaped(text: str) -> str | None:
    """A broken body whose last value is `text`, with the quotes in that text escaped; else None.

    The body of a legacy Flow Builder step is free text: whether it escapes a variable's quotes is
    not documented. Where `text` comes last there is one way only to read them.
    """
    begin = _TEXT_BEGINS.search(text)
    rest = text.rstrip(" \t\r\n}")
    if begin is None or not rest.endswith('"') or len(rest) <= begin.end():
        return None
    words = rest[begin.end() : -1]
    if _MORE_KEYS.search(words):
        return None
    words = words.replace("\\", "\\\\").replace('"', '\\"')
    return text[: begin.end()] + words + text[len(rest) - 1 :]


def depth_of(value: Any, level: int = 1) -> None:
    """Raises BadRequest where a body is nested deeper than anything Salesforce takes."""
    if level > DEEPEST:
        raise BadRequest("the body is nested too deeply")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        if isinstance(part, (dict, list)):
            depth_of(part, level + 1)


def _no_constant(name: str) -> Any:
    raise BadRequest(f"{name} is no JSON number")


def _finite_number(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise BadRequest("a number is larger than any that Salesforce takes")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object none of whose keys is there twice: the second may be a customer's (ADR 0078)."""
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"the key {_shown(twice)} is twice in one object of the body")
    return made


def _shown(name: str) -> str:
    return cut(name, LONGEST_SHOWN)


# Not strict: a flow puts a customer's text, line breaks and all, between two quotes.
_DECODE = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite_number, strict=False
).decode


def _read_form(text: str) -> dict[str, Any]:
    """Form pairs; `bird.channel=whatsapp` is the key `channel` of the object `bird`."""
    body: dict[str, Any] = {}
    bird: dict[str, Any] = {}
    try:
        pairs = parse_qsl(text.strip(), keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise BadRequest("the form has too many fields") from error
    if not pairs:
        raise BadRequest("the body holds no form fields")
    for name, value in pairs:
        into, key = (bird, name[5:]) if name.lower().startswith("bird.") else (body, name)
        if into is bird and key.lower() == "media" and key in into:
            into[key] = [*flat(into[key]), value]
            continue
        if key in into and not is_absent(into[key]):
            if is_absent(value) or value == into[key]:
                continue
            value = f"{into[key]}{';' if into is body else ','}{value}"
        into[key] = value
    if bird:
        body["bird"] = bird
    return body


def _whole_characters(text: str) -> str:
    """A text with its lone surrogates replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return re.sub(_SURROGATE, "\ufffd", text)
    return text


def _without_lone_surrogates(value: Any) -> Any:
    """The same with lone surrogates replaced: no system takes them as text."""
    if isinstance(value, str):
        return _whole_characters(value)
    if isinstance(value, dict):
        return {_without_lone_surrogates(k): _without_lone_surrogates(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_lone_surrogates(part) for part in value]
    return value
