"""PATCH /leads/{key}, /cases/{key}: a later step of a flow adds to a record what it has learned.

The body has Salesforce fields. Of `bird` an update takes `tags` and `attributes`, which go to the
fields that the table of channels names; what else is in it is named in `warnings`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bridge.api.body import read_object
from bridge.api.fields import read_fields
from bridge.api.message_request import unused_parameters
from bridge.api.replies import Reply, problem_reply, queued_message, rejected_reply
from bridge.api.request import HttpRequest
from bridge.api.warnings import left_out_warning, unused_warning
from bridge.bird.channels import ATTRIBUTES, NONE, channel_named
from bridge.bird.mapping import learned_fields
from bridge.bird.message import BirdMessage
from bridge.bird.texts import is_absent
from bridge.conversations.look import CONVERSATION_FIELD, LAST_MESSAGE_FIELD
from bridge.conversations.message import Message
from bridge.delivery.outcomes import Converted, Failed, Queued, Updated, UpdateOutcome
from bridge.errors import BadRequest, ForbiddenField, NoSuchRecord, Refused
from bridge.records import ObjectName
from bridge.settings import Settings

LEARNED = ("tags", "attributes")
"""The keys of `bird` that an update takes."""

_SALESFORCE_ID = r"(?:00Q|500|003)[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?"
NO_KEY = (
    "The key looks like Salesforce's id of a record: put the key of a response, or the "
    "conversation's id, into the step's address."
)
NOT_THERE = (
    "No record with this key is in Salesforce yet. The values are queued and written when it is "
    "there; after 24 hours they are rejected and kept for a person."
)


class ConvertedLead(Refused):
    """The Lead is a Contact now. Nothing is kept: no replay could succeed."""

    status = 409
    title = "The lead is converted"
    code = "CANNOT_UPDATE_CONVERTED_LEAD"


@dataclass(frozen=True)
class UpdateRequest:
    """What a PATCH asks for."""

    message: Message = field(repr=False)
    """Its object, its fields, and the key of the record."""
    warnings: str = ""
    left_out: tuple[str, ...] = ()
    """Names of the body's fields that AllowedFields does not list."""


def read_update(
    request: HttpRequest, object_name: ObjectName, *, settings: Settings
) -> UpdateRequest:
    """The update that a request describes. Raises BadRequest, ForbiddenField."""
    keys = request.requested_keys()
    if not settings.external_id_field:
        raise BadRequest("no external-id field is configured to look the record up by")
    forbidden = {name.lower() for name in ("Id", "attributes", settings.external_id_field)}
    if settings.conversations:
        forbidden |= {CONVERSATION_FIELD.lower(), LAST_MESSAGE_FIELD.lower()}
    sent = read_fields(
        read_object(request), request.query, repeated=request.repeated, settings=settings
    )
    fields = sent.fields
    given = [*fields, *sent.left_out]
    for name in (*given, *([settings.external_id_field] if not is_absent(sent.key) else ())):
        if name.lower() in forbidden:
            raise ForbiddenField(f"{name} of a record cannot be changed: leave it out of the body")
    names = {name.lower() for name in given}
    derived, channel, warnings = _learned(sent.bird, object_name, names)
    if sent.left_out:
        warnings = " ".join(filter(None, [warnings, left_out_warning(sent.left_out)]))
    if unused := unused_parameters(request, object_name):
        warnings = " ".join(filter(None, [warnings, unused_warning(unused)]))
    if re.fullmatch(_SALESFORCE_ID, request.path_key or ""):
        warnings = f"{warnings} {NO_KEY}".lstrip()
    if not fields and not derived:
        if sent.left_out:
            raise BadRequest(left_out_warning(sent.left_out))
        nothing = "no field of the body has a value, so there is nothing to change"
        raise BadRequest(f"{nothing}. {warnings}" if warnings else nothing)
    return UpdateRequest(
        Message(
            conversation="",
            key=keys[-1],  # percent-decoded, whatever the gateway has done
            requested=object_name,
            channel_object=object_name,
            fields=fields,
            derived={object_name: derived} if derived else {},
            sent_at=datetime.now(UTC),
            channel=channel,
        ),
        warnings,
        sent.left_out,
    )


def _learned(
    bird: Any, object_name: ObjectName, given: set[str]
) -> tuple[dict[str, Any], str, str]:
    """Fields that `bird` fills, its channel's name, and what it has that an update does not take.

    Raises BadRequest where it is no object.
    """
    if is_absent(bird):
        return {}, NONE, ""
    if not isinstance(bird, dict):
        raise BadRequest('bird is not an object; send {"bird": {"tags": …}}')
    known = {name.lower(): name for name in (*LEARNED, "channel")}
    taken = {known[n.lower()]: value for n, value in bird.items() if n.lower() in known}
    left = [str(n) for n, v in bird.items() if n.lower() not in known and not is_absent(v)]
    message = BirdMessage.parse(taken)
    fields = {
        name: value
        for name, value in learned_fields(message, object_name).items()
        if name.lower() not in given
    }
    left += _without_field(taken, message, object_name)
    channel = channel_named(str(taken["channel"])).name if taken.get("channel") else NONE
    warnings = ""
    if left:
        listed = ", ".join(f"bird.{name[:40]}" for name in left[:10])
        warnings = f"Not written: {listed}. Send Salesforce's fields by their names."
    return fields, channel, warnings


def _without_field(
    taken: Mapping[str, Any], message: BirdMessage, object_name: ObjectName
) -> list[str]:
    """What of the tags and attributes goes to no field of the table of channels."""
    sources = {how.source.lower() for how in message.channel.fills[object_name].values()}
    tags, attributes = taken.get("tags"), taken.get("attributes")
    left = []
    if isinstance(attributes, dict):
        for name, value in attributes.items():
            has_field = f"{ATTRIBUTES}{name.lower()}" in sources
            if (
                value
                and not is_absent(value)
                and not (has_field and name.lower() in message.attributes)
            ):
                left.append(f"{ATTRIBUTES}{name}")
    elif attributes and not is_absent(attributes):
        left.append("attributes")
    if tags and not is_absent(tags) and not ("tags" in sources and message.tags):
        left.append("tags")
    return left


def update_reply(outcome: UpdateOutcome, requested: UpdateRequest) -> Reply:
    """The response to a PATCH."""
    message = requested.message
    name = message.requested or message.channel_object
    more: dict[str, Any] = {"object": name, "key": message.key}
    if requested.left_out:
        more["notWritten"] = ",".join(requested.left_out)
    if requested.warnings:
        more["warnings"] = requested.warnings
    match outcome:
        case Updated(found, url):
            body = {"outcome": "updated", "success": True, **more, "id": found.id, "url": url}
            if found.number is not None:
                body["number"] = found.number
            return Reply(200, body)
        case Converted(contact_id):
            if contact_id:
                more["existingId"] = contact_id
            problem = ConvertedLead("")
            return problem_reply(
                problem,
                code=problem.code,
                detail="The lead was converted, so its fields cannot be changed any more. Nothing "
                "is kept.",
                hint="In the flow: use the contact (existingId) instead.",
                **more,
            )
        case Queued():
            text = NOT_THERE
            if not isinstance(outcome.problem, NoSuchRecord):
                text = queued_message(outcome.problem, name, message.key, has_key=False)
            return Reply(202, {"outcome": "queued", **more, "message": text})
        case Failed():
            return problem_reply(
                outcome.problem,
                detail="Salesforce could not take the values and no queue could keep them. Send "
                "them again.",
                **more,
            )
    return rejected_reply(outcome.problem, more)
