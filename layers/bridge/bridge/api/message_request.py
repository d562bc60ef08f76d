"""What a POST asks for: a body is read into a message, once, before anything else.

Any key that is a Salesforce field name goes to Salesforce as it is; `bird` says where the message
came from. Field names are compared without case, as Salesforce does.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bridge.api.body import SHAPE_MARKS, read_json_text, read_object, shown
from bridge.api.fields import is_set, read_fields
from bridge.api.request import WEBHOOK_ROUTE, HttpRequest
from bridge.bird.channels import NONE, OBJECTS, UNKNOWN, plain
from bridge.bird.mapping import derived_fields, fill, is_opt_out
from bridge.bird.message import BirdMessage, Media
from bridge.bird.phones import as_email
from bridge.bird.texts import cut, is_absent
from bridge.conversations.keys import conversation_key, message_key
from bridge.conversations.message import Message, read_moment
from bridge.errors import BadRequest, Ignored
from bridge.records import ObjectName
from bridge.settings import Settings

PARAMETERS = frozenset({"channel", "errors", "object"})
"""What the query of a POST may have, beside `set.` and a field's name."""

_LONGEST_LINK = 8_001
"""Characters: one more than any link that is called (`files.addresses`)."""
_LONGEST_NAME = 500
"""UTF-16 units of a file's name: as many as PathOnClient takes (Object Reference)."""


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
            bird = read_json_text(bird)
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
            raise BadRequest(f"bird.{shown(name)} is given twice (keys are compared without case)")
        names.add(name.lower())
