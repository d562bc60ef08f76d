"""What looks like a mistake in a request, in words for whoever made the flow.

Nothing is refused for it: a warning stands in the response beside the outcome.
"""

from __future__ import annotations

from bridge.api.fields import may_be_set
from bridge.api.message_request import PARAMETERS, MessageRequest
from bridge.bird.channels import UNKNOWN, table
from bridge.bird.message import FLOW_KEYS, KEYS, BirdMessage
from bridge.conversations.keys import CONTENT, MADE_UP

_SHOWN = 40
"""Characters of a name that the caller chose."""

_MOST_NAMES = 10

_WANTED = {"direction": "incoming or outgoing", "sentAt": "time of RFC 3339 (2026-01-31T12:00:00Z)"}
"""What the values of these keys should be."""


def warnings_of(request: MessageRequest) -> str:
    """The warnings, each a sentence; empty where nothing looks wrong."""
    message = request.bird
    found = []
    if request.key_source == MADE_UP:
        found.append(
            "There is no message id, so a repeated call is a new message: send bird.messageId or "
            "the header Idempotency-Key."
        )
    elif request.key_source == CONTENT and message and not message.forwarded:
        found.append(
            "The message id is the conversation's, so two equal texts are one message: send the "
            "message's own id as bird.messageId."
        )
    if message and not message.forwarded:
        found += [_unknown_key(path) for path in request.unread]
    if message and message.channel.name == UNKNOWN and message.called:
        # What the caller wrote is not repeated: it may be somebody's number.
        nearest = _nearest(message.called.lower(), sorted({one.name for one in table().values()}))
        found.append(f"The channel is unknown{_hint(nearest)}.")
    found += [f"bird.{name} does not count: it is no {_WANTED[name]}." for name in request.misread]
    if request.hidden:
        found.append(
            "Some of what the customer sent is not on the record, since Description is given: put "
            "it into Description, or leave Description out."
        )
    if request.left_out:
        found.append(left_out_warning(request.left_out))
    if request.unused:
        found.append(unused_warning(request.unused))
    if request.variables and (message is None or _says_nothing(message)):
        found.append(
            "No variable of the body has a value: look in the flow's log at what the step sends."
        )
    return " ".join(found)


def unused_warning(names: tuple[str, ...]) -> str:
    """What does nothing in the address that a step calls."""
    special = {"errors": "errors takes inline only", "object": "object counts at /messages only"}
    unknown = tuple(name for name in names if name not in PARAMETERS)
    found = [special[name] for name in names if name in special]
    if unknown:
        found.append(
            f"{_listed(unknown)} does nothing (known are {', '.join(sorted(PARAMETERS))}, and "
            "set.FIELD for a field of Salesforce)"
        )
    return f"In the address, {'; '.join(found)}."


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(name[:_SHOWN] for name in names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")


def left_out_warning(names: tuple[str, ...]) -> str:
    """What to do for fields of a body that AllowedFields does not list."""
    way = "list it in the parameter AllowedFields"
    if all(map(may_be_set, names)):
        way = f"put ?set.{names[0][:_SHOWN]}=… into the step's address, or {way}"
    return f"A body may not set {_listed(names)}, since a customer's words are in it: {way}."


def _unknown_key(path: str) -> str:
    name = path.partition(".")[0][:_SHOWN]
    if name.lower() in KEYS:
        return f"bird.{name} holds more than a text: the rest is in lines of the Description."
    lower = {key.lower(): key for key in FLOW_KEYS}
    nearest = lower.get(_nearest(name.lower(), list(lower)), "")
    return f"The key bird.{name} is unknown{_hint(nearest)}."


def _nearest(name: str, names: list[str]) -> str:
    # Only a mistake pays for the import.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, names, n=1)), "")


def _hint(name: str) -> str:
    return f" (the nearest is {name})" if name else ""


def _says_nothing(message: BirdMessage) -> bool:
    """Whether nothing is there that differs from one message to the next."""
    return not any(
        (
            message.message_id and "{{" not in message.message_id,
            message.conversation_id,
            message.sender,
            message.display_name,
            message.text,
            message.details,
        )
    )
