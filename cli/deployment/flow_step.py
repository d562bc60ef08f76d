"""The step of a flow in Bird that calls the API, for one channel and one object."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from bridge.bird.channels import UNKNOWN, Channel, channel_named, table
from bridge.records import ObjectName
from cli.deployment.stack import Stack
from cli.deployment.target import PROJECT
from cli.problem import Problem
from cli.terminal import for_json

TIMEOUT_MARGIN_SECONDS = 2
"""How much longer a step waits than the API takes at most."""


class Builder(StrEnum):
    LEGACY = "legacy"
    """The older Flow Builder (dashboard.messagebird.com): variables like {{payload}}."""
    FLOWS = "flows"
    """Bird Flows (app.bird.com): variables by their paths, as in exported flows."""


SHIPPED = PROJECT / "flows"
"""Flows to import, whose variables are those of real exports."""


BIRD_KEYS = {
    "messageId": ("{{messageId}}", "the id of the message; a repeated call with it adds nothing"),
    "conversationId": (
        "{{conversationId}}",
        "the id of the conversation; its messages share one record",
    ),
    "sender": ("{{sender}}", "the customer's number or address, as the channel has it"),
    "displayName": ("{{contact.displayName}}", "the customer's name in the channel's profile"),
    "text": ("{{payload}}", "the text of the message; keep it last"),
}
"""What a flow sends about a message: a variable, as the editor of the older Flow Builder lists it
(not confirmed for every channel), and what it holds. The channel is a word, not a variable."""

RESPONSE_KEYS = {
    "outcome": "what became of the message: created, exists, queued, rejected, failed or ignored",
    "added": "true: this message was added to a record that was there (exists)",
    "number": "a case's number, to tell the customer (created, exists)",
    "id": "the record's id in Salesforce (created, exists)",
    "key": "the key under which the message is found later",
    "code": "why Salesforce refused it (rejected), or why nothing was stored (failed)",
    "detail": "the same in words",
}
"""The variables to fetch. A lead has no number."""


@dataclass(frozen=True)
class Branch:
    """What a flow does for some outcomes."""

    outcomes: tuple[str, ...]
    """Empty: any other one, or no response at all."""
    reply: str
    """What the customer reads; empty: nothing."""
    added: bool = False
    """Only where the variable `added` is true."""
    to_person: bool = False
    """Whether a person takes over."""


_NOTED: dict[ObjectName | None, str] = {
    None: "Thank you for your message! A colleague will get in touch with you soon.",
    "Lead": "Thank you for your message! We have noted it, and a colleague will get in touch with "
    "you soon.",
    "Case": "Thank you for your message. Your case number is {{number}}. A colleague will answer "
    "you; please mention this number if you contact us again.",
}
_ADDED: dict[ObjectName | None, str] = {
    None: "Thank you for your message! We have added it to your earlier ones.",
    "Lead": "Thank you for your message! We have added it to your earlier ones, and a colleague "
    "will get in touch with you soon.",
    "Case": "Thank you for your message. We have added it to your case {{number}}, and a colleague "
    "will answer you.",
}
_RECEIVED: dict[ObjectName | None, str] = {
    None: "Thank you for your message! We have received it.",
    "Lead": "Thank you for your message! We have received it, and a colleague will get in touch "
    "with you soon.",
    "Case": "Thank you for your message. We have received it, and a colleague will answer you and "
    "tell you your case number.",
}
_PERSON = "Thank you for your message. A colleague will read it and answer you here."


def branches(object_name: ObjectName | None) -> tuple[Branch, ...]:
    """What a flow does for each outcome; the first that fits. None: where either object is made.

    A customer is thanked for a message that was kept; any other one needs a person.
    """
    return (
        Branch(("exists",), _ADDED[object_name], added=True),
        Branch(("created", "exists"), _NOTED[object_name]),
        Branch(("queued", "rejected"), _RECEIVED[object_name]),
        Branch(("ignored",), ""),
        Branch(("failed",), _PERSON, to_person=True),
        Branch((), _PERSON, to_person=True),
    )


@dataclass(frozen=True)
class Question:
    """What a flow asks a new lead, and the field that the reply goes to (PATCH /leads/{key})."""

    text: str
    field: str
    choices: tuple[tuple[str, str], ...] = ()
    """What the customer may reply, and the value that each stands for; none: the reply itself."""


QUESTIONS = (
    Question("Which e-mail address may we write to?", "Email"),
    Question("Which company do you write for?", "Company"),
    Question(
        "How soon do you need it? Please reply 1 for this month, 2 for this year, or 3 if you are "
        "just looking.",
        "Rating",
        (("1", "Hot"), ("2", "Warm"), ("3", "Cold")),
    ),
)
"""Of the flow "qualify a lead in three questions"."""

QUALIFIED = "Thank you! A colleague who knows this will get in touch with you soon."


def step_body(channel: str) -> dict[str, Any]:
    """The body of the step. `channel` is a name of the table, or a variable of Bird's."""
    return {
        "bird": {
            "channel": channel,
            **{name: variable for name, (variable, _) in BIRD_KEYS.items()},
        }
    }


def variables(object_name: ObjectName | None) -> tuple[str, ...]:
    """The variables to fetch from the response; None where either object is made."""
    return tuple(name for name in RESPONSE_KEYS if name != "number" or object_name != "Lead")


@dataclass(frozen=True, kw_only=True)
class FlowStep:
    builder: Builder
    channel: Channel
    object: ObjectName
    url: str
    headers: tuple[tuple[str, str], ...]
    body: dict[str, Any]
    timeout_seconds: int

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            **for_json(self),
            "channel": self.channel.name,
            "headers": dict(self.headers),
            "method": "POST",
            "contentType": "application/json",
            "file": self.file,
            "variables": [self.response_variable(name) for name in variables(self.object)],
        }

    @property
    def file(self) -> str:
        """The shipped flow that has this step, to import instead of typing; empty if none has."""
        name = f"{self.channel.name}-to-{self.object.lower()}.json"
        there = self.builder is Builder.FLOWS and (SHIPPED / name).exists()
        return f"flows/{name}" if there else ""

    def response_variable(self, name: str) -> str:
        """What a key of the response is called in later steps."""
        return name if self.builder is Builder.LEGACY else f"steps.httpRequest.body.{name}"

    def body_text(self) -> str:
        return json.dumps(self.body, indent=2)

    def curl(self) -> str:
        """The same request with made-up values, for a shell."""
        bird = {
            "channel": self.channel.name,
            "messageId": "test-1",
            "conversationId": "test-conversation",
            "sender": "+31612345678",
            "displayName": "Ada Okafor",
            "text": "Is it there?",
        }
        headers = " ".join(f"-H '{name}: {value}'" for name, value in self.headers)
        content_type = "-H 'Content-Type: application/json'"
        return (
            f"curl -sS '{self.url}' {headers} \\\n"
            f"  {content_type} \\\n  -d '{json.dumps({'bird': bird}, indent=2)}'"
        )


def channel_names() -> list[str]:
    return sorted({one.name for one in table().values()} - {UNKNOWN})


def bird_flows_body(channel: str) -> dict[str, Any]:
    """The step's body in Bird Flows: that of a shipped flow, for another channel. A step's own id
    (`getContact_wt01`) is another one in each flow."""
    flow = json.loads((SHIPPED / "whatsapp-to-lead.json").read_text(encoding="utf-8"))
    (step,) = (one for one in flow["definition"]["steps"].values() if one["type"] == "httpRequest")
    text = re.sub(r"steps\.([A-Za-z]+)_\w+\.", r"steps.\1.", json.dumps(step["parameters"]["body"]))
    bird: dict[str, Any] = json.loads(text)["bird"]
    return {"bird": {**bird, "channel": channel}}


def flow_step(
    stack: Stack,
    *,
    channel_name: str,
    object_name: ObjectName | None,
    show_key: bool,
    builder: Builder = Builder.LEGACY,
) -> FlowStep:
    """The step for a channel; the object is the channel's own unless one is named.

    Raises Problem for a channel that the table does not name.
    """
    channel = channel_named(channel_name)
    if channel.name == UNKNOWN and channel_name.strip().lower() != UNKNOWN:
        names = channel_names()
        near = get_close_matches(channel_name.strip().lower(), names, n=1)
        mean = f" Did you mean {near[0]}?" if near else ""
        raise Problem(
            f"There is no channel {channel_name}.{mean}", next_step=f"One of: {', '.join(names)}."
        )
    chosen: ObjectName = object_name or channel.object
    key = stack.api_key() if show_key else "<the API key>"
    legacy = builder is Builder.LEGACY
    return FlowStep(
        builder=builder,
        channel=channel,
        object=chosen,
        url=stack.url(chosen) + ("" if legacy else "?errors=inline"),
        headers=(("x-api-key", key),),
        body=step_body(channel.name) if legacy else bird_flows_body(channel.name),
        timeout_seconds=int(stack.settings.response_budget_seconds) + TIMEOUT_MARGIN_SECONDS,
    )
