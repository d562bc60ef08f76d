"""From a message to the fields of a Lead or a Case, as the table of channels says.

Explicit fields always win; what is missing is filled from the message, cut to the field's length
in UTF-16 code units (Salesforce's characters), and never invented.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

from bridge.bird.channels import ATTRIBUTES, TableObject
from bridge.bird.message import REFERRAL, BirdMessage
from bridge.bird.names import as_name
from bridge.bird.texts import CUT, cut, without_variables
from bridge.records import ObjectName

SOURCES: dict[str, Callable[[BirdMessage], str]] = {
    "channel": lambda message: message.channel.name,
    "contactId": lambda message: message.contact_id,
    "conversationId": lambda message: message.conversation_id,
    "description": lambda message: message.description(_LONGEST),
    "displayName": lambda message: as_name(message.display_name),
    "email": lambda message: message.email,
    "firstName": lambda message: message.name[0],
    "handle": lambda message: message.handle,
    "label": lambda message: message.channel.label,
    "lastName": lambda message: message.name[1],
    "links": lambda message: "\n".join(message.links),
    "messageId": lambda message: message.message_id,
    "name": lambda message: message.whole_name,
    "phone": lambda message: message.phone,
    "sender": lambda message: message.sender,
    "sentAt": lambda message: message.sent_at,
    "subject": lambda message: message.subject,
    # A semicolon is what a multi-select picklist separates by.
    "tags": lambda message: ";".join(without_variables(tag) for tag in message.tags),
    "text": lambda message: message.text,
}
"""What a field may be filled with, under the names that the table of channels uses."""


def _referral(name: str) -> Callable[[BirdMessage], str]:
    return lambda message: message.referral.get(name, "")


SOURCES |= {name: _referral(name) for name in REFERRAL}
_MARKED = frozenset({"description", "links", "subject", "text"})
_LONGEST = 131_072


Filled = tuple[dict[str, Any], tuple[str, ...]]
"""Fields, and the names of those whose text did not fit."""


def fill(message: BirdMessage, object_name: TableObject) -> Filled:
    """What a message gives a Lead, a Case or a Task, each value within its field's length."""
    fields: dict[str, Any] = {}
    shortened = []
    for name, how in message.channel.fills[object_name].items():
        value = _value(message, how.source)
        if not value:
            continue
        mark = CUT if how.source in _MARKED else ""
        kept = cut(value, how.length, mark=mark)
        if kept != value:
            shortened.append(name)
            if how.source == "description":
                kept = message.description(how.length)
        fields[name] = kept
    fields.update(message.channel.values.get(object_name, {}))
    return fields, tuple(shortened)


def _value(message: BirdMessage, source: str) -> str:
    if source.startswith(ATTRIBUTES):
        return message.attributes.get(source.removeprefix(ATTRIBUTES).lower(), "")
    return SOURCES[source](message)


def learned_fields(message: BirdMessage, object_name: ObjectName) -> dict[str, Any]:
    """What a later step of a flow adds to a record: tags and contact attributes."""
    return {
        name: cut(value, how.length)
        for name, how in message.channel.fills[object_name].items()
        if (how.source == "tags" or how.source.startswith(ATTRIBUTES))
        and (value := _value(message, how.source))
    }


def derived_fields(
    message: BirdMessage | None,
    object_name: ObjectName,
    *,
    given: Set[str],
    default_company: str,
) -> Filled:
    """What is filled in beside the fields that were `given` (their names in lower case)."""
    fields, shortened = fill(message, object_name) if message else ({}, ())
    # A channel's own Company, in the table, says more than the parameter for all of them.
    if object_name == "Lead" and default_company and "company" not in map(str.lower, fields):
        fields["Company"] = cut(default_company, 255)
    if "lastname" in given:
        fields.pop("FirstName", None)  # never a half of one name with a half of another
    fields = {name: value for name, value in fields.items() if name.lower() not in given}
    return fields, tuple(name for name in shortened if name in fields)


def is_opt_out(message: BirdMessage) -> bool:
    """Whether a message is nothing but a word that its channel's line says to ignore."""
    beside = message.details or message.headline
    return not beside and message.text.strip().upper() in message.channel.ignored
