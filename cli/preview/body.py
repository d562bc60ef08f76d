"""What a body would become, by the bundle's own reader and the stack's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.api.message_request import MessageRequest, read_message
from bridge.api.request import WEBHOOK_ROUTE, HttpRequest
from bridge.api.warnings import warnings_of
from bridge.conversations.decide import Create
from bridge.conversations.keys import CONTENT, MADE_UP, record_key
from bridge.conversations.write import new_record, record_fields, task_fields
from bridge.errors import BadRequest, Ignored
from bridge.records import ObjectName, Record
from bridge.salesforce.client import TASK_KEY_FIELD
from bridge.settings import Settings

ROUTES: Mapping[str, ObjectName | None] = {
    "/leads": "Lead",
    "/cases": "Case",
    "/messages": None,
    WEBHOOK_ROUTE: None,
}
"""The routes that take a message, and the object that each asks for."""

NEEDED: Mapping[ObjectName, tuple[str, ...]] = {"Lead": ("LastName", "Company"), "Case": ()}
"""Fields without which every org refuses a record (Object Reference; an org with Person Accounts
takes a Lead without Company)."""

KEY_SOURCES = {
    "field": "the key field in the body",
    "message": "the message's id",
    "header": "the header Idempotency-Key",
    "webhook": "the header webhook-id",
    CONTENT: "made of the conversation and the text",
    MADE_UP: "made up: a repeated request is another message",
}


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """A request of which nothing would be made."""

    route: str
    refused: str = ""
    """Why the API would refuse the body (400), with its code before it."""
    ignored: str = ""
    """Why nothing would be made of it."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What one request would become."""

    route: str
    request: MessageRequest = field(repr=False)
    settings: Settings = field(repr=False)

    @property
    def object(self) -> ObjectName:
        """What it makes, where it makes a record."""
        message = self.request.message
        return message.requested or message.channel_object

    @property
    def key(self) -> str:
        """The message's key; empty where every run makes up another one."""
        return "" if self.request.key_source == MADE_UP else self.request.message.key

    @property
    def record(self) -> Record:
        message = self.request.message
        if not message.conversation:
            return message.record(self.object, message.key)
        return new_record(message, self._create)

    @property
    def _create(self) -> Create:
        return Create(object=self.object, key=record_key(self.request.message.conversation))

    def fields(self) -> dict[str, Any]:
        """The fields of a new record, as they are sent."""
        message, record = self.request.message, self.record
        if message.conversation:
            return record_fields(message, record, self.settings)
        key = {self.settings.external_id_field: self.key} if self.key else {}
        return {**record.fields, **(key if self.settings.external_id_field else {})}

    def task(self) -> dict[str, Any]:
        """The fields of the Task that logs the message; empty outside a conversation."""
        if not self.request.message.conversation:
            return {}
        fields = task_fields(self.request.message, self._create)
        if not self.key:
            del fields[TASK_KEY_FIELD]  # every request has another one
        return {name: value for name, value in fields.items() if isinstance(value, str)}

    @property
    def missing(self) -> list[str]:
        """What every org would miss."""
        there = {name.lower() for name in self.record.fields}
        return [name for name in NEEDED[self.object] if name.lower() not in there]

    @property
    def warnings(self) -> list[str]:
        """What looks like a mistake, each a sentence."""
        found = [warnings_of(self.request)]
        if self.request.unresolved_keys:
            found.append(
                f"{self.request.unresolved_keys} of the ids is a variable without a value."
            )
        if self.request.cut:
            found.append(f"Too long, so it is cut: {', '.join(self.request.cut)}.")
        if self.request.unread and (self.request.bird is None or self.request.bird.forwarded):
            found.append(f"No reader knows: {', '.join(self.request.unread)}.")
        if self.missing:
            found.append(f"Missing in every org: {', '.join(self.missing)}.")
        return [one for one in found if one]

    def as_dict(self) -> dict[str, Any]:
        message, record = self.request.message, self.record
        return {
            "route": self.route,
            "refused": "",
            "ignored": "",
            "object": self.object,
            "objectBy": "route" if message.requested else "conversation, else channel",
            "channel": message.channel,
            "conversation": message.conversation,
            "key": self.key,
            "keySource": self.request.key_source,
            "sentAt": message.sent_at.isoformat(),
            "fromUs": message.from_us,
            "fields": self.fields(),
            "filledIn": sorted(record.derived),
            "task": self.task(),
            "missing": self.missing,
            "warnings": self.warnings,
        }


def preview(
    body: str,
    *,
    route: str,
    settings: Settings,
    headers: Mapping[str, str],
    query: Mapping[str, str],
) -> Preview | Nothing:
    """Read a body as the function behind the route would. No signature is checked."""
    request = HttpRequest.from_event(
        {
            "httpMethod": "POST",
            "resource": route,
            "headers": dict(headers),
            "queryStringParameters": dict(query),
            "body": body,
        }
    )
    try:
        found = read_message(request, ROUTES[route], settings=settings)
    except BadRequest as problem:
        return Nothing(route=route, refused=f"{problem.code}: {problem}")
    except Ignored as ignored:
        return Nothing(route=route, ignored=str(ignored))
    return Preview(route=route, settings=settings, request=found)
