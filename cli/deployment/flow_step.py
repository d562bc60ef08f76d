"""The step of a flow in Bird that calls the API, for one channel and one object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bridge.bird.channels import UNKNOWN, Channel, channel_named, table
from bridge.records import ObjectName
from cli.deployment.stack import Stack
from cli.problem import Problem

TIMEOUT_MARGIN_SECONDS = 2
"""How much longer a step waits than the API takes at most."""

BIRD_KEYS = {
    "messageId": "the id of the message; it keeps a repeated call from creating a second record",
    "conversationId": "the id of the conversation",
    "contactId": "the id of the contact",
    "sender": "the customer's number or address, as the channel has it",
    "displayName": "the customer's name in the channel's profile",
    "text": "the text of the message",
}
"""What a flow sends about a message. The channel is given as a word, not as a variable."""

RESPONSE_KEYS = {
    "outcome": "created, exists, queued or rejected",
    "id": "the record's id in Salesforce (created, exists)",
    "number": "a case's number, to tell the customer (created, exists)",
    "key": "the key under which the record is found later",
    "message": "what happened, in words (queued)",
    "code": "why Salesforce refused it (rejected)",
}


@dataclass(frozen=True, kw_only=True)
class FlowStep:
    """The fields of one step."""

    channel: Channel
    object: ObjectName
    url: str
    headers: tuple[tuple[str, str], ...]
    body: dict[str, Any]
    timeout_seconds: int

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "channel": self.channel.name,
            "object": self.object,
            "method": "POST",
            "url": self.url,
            "headers": dict(self.headers),
            "contentType": "application/json",
            "body": self.body,
            "timeoutSeconds": self.timeout_seconds,
            "variables": list(RESPONSE_KEYS),
        }

    def body_text(self) -> str:
        """The body to paste."""
        return json.dumps(self.body, indent=2)


def flow_step(
    stack: Stack, *, channel_name: str, object_name: ObjectName | None, show_key: bool
) -> FlowStep:
    """The step for a channel; the object is the channel's own unless one is named.

    Raises Problem for a channel that the table does not name.
    """
    channel = channel_named(channel_name)
    if channel.name == UNKNOWN and channel_name.strip().lower() != UNKNOWN:
        names = ", ".join(sorted({one.name for one in table().values()} - {UNKNOWN}))
        raise Problem(f"There is no channel {channel_name}.", next_step=f"One of: {names}.")
    chosen: ObjectName = object_name or channel.object
    key = stack.api_key() if show_key else "<the API key>"
    return FlowStep(
        channel=channel,
        object=chosen,
        url=stack.url(chosen),
        headers=(("x-api-key", key),),
        body={
            "bird": {
                "channel": channel.name,
                **{name: "{{" + name + "}}" for name in BIRD_KEYS},
            }
        },
        timeout_seconds=int(stack.settings.response_budget_seconds) + TIMEOUT_MARGIN_SECONDS,
    )
