"""Plays a flow of `flows/` as Bird would, against the local stack, and shows what is replied.

    python -m sandbox.player flows/whatsapp-to-lead.json --api http://127.0.0.1:8080/v1 --key KEY \\
        --text "Do you deliver to Utrecht?" --name "Noor van Dijk" --phone +447700900142

The steps are those of exported Bird flows: `httpRequest` is really performed; `conditional` and
`terminate` are followed; of Bird's own services (contacts, channels, bots, collaboration) only as
much is there as the shipped flows use. What Bird's documentation leaves open is a choice here, so
that a flow can be tried both ways: whether an HTTP status from 400 up fails a step, whether a
variable that does not exist stays as text or becomes empty, whether quotes in a variable are
escaped in a request's body. Where a step's result is found (`steps.<id>.body`) is not confirmed
either; the flows and the player agree on it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

MOST_STEPS = 200
"""A flow that takes more is going round in circles."""

_VARIABLE = re.compile(r'\{\{\s*([^{}|]+?)\s*(?:\|\s*default:\s*"([^"]*)"\s*)?\}\}')
_SEGMENT = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_MISSING: Any = object()

Send = Callable[[str, str, Mapping[str, str], bytes, float], tuple[int, bytes]]
"""Method, URL, headers, body, seconds; returns status and body. Raises OSError where no response
comes."""


class FlowError(ValueError):
    """The flow itself is wrong: a step that is not there, an unknown type."""


@dataclass(frozen=True)
class Customer:
    """Who writes. `identifier` is a pair of Bird's key and value, as `phonenumber`, `+44…`."""

    display_name: str = ""
    identifier: tuple[str, str] = ("phonenumber", "+447700900142")
    phone: str | None = None
    """As Bird's contact knows it; where senders are phones that is the identifier."""
    email: str | None = None
    contact_id: str = "b7e0c3d2-91aa-4f1e-8c55-6d3a40f2e917"

    @property
    def known_phone(self) -> str | None:
        """The phone that Bird knows of the contact."""
        key, value = self.identifier
        return self.phone or (value if key == "phonenumber" else None)


@dataclass(frozen=True)
class Inbound:
    """A message of a customer. One with the `conversation_id` of another belongs to it."""

    text: str
    customer: Customer = field(default_factory=Customer)
    conversation_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    message_id: str = ""
    """As the trigger gives it; empty: it gives none (what Bird does is not confirmed)."""
    replies: tuple[str, ...] = ()
    """What the customer writes to the flow's questions, one after the other. After the last one
    they write nothing, and the wait of a step ends by its time."""

    def payload(self, channel_id: str) -> dict[str, Any]:
        """The trigger's payload; a part that would be empty is not there."""
        key, value = self.customer.identifier
        participant: dict[str, Any] = {
            "participantId": self.customer.contact_id,
            "type": "contact",
            "contact": {"identifierKey": key, "identifierValue": value},
        }
        if self.customer.display_name:
            participant["displayName"] = self.customer.display_name
        conversation: dict[str, Any] = {
            "conversationId": self.conversation_id,
            "channelId": channel_id,
            "featuredParticipants": [participant],
        }
        last: dict[str, Any] = {"preview": {"text": self.text}} if self.text else {}
        if self.message_id:
            last["id"] = self.message_id
        if last:
            conversation["lastMessage"] = last
        return {"conversation": conversation}


@dataclass(frozen=True)
class Workspace:
    """What is true in Bird while a flow runs."""

    broken_channels: frozenset[str] = frozenset()
    """Channels over which nothing can be sent."""
    knows_contact: bool = True
    """Whether `getContact` finds the customer."""
    agent_status: str = "handover"
    """How the AI agent's conversation ends: handover, resolved, takeover, abandoned, error."""
    agent_reason: str = "The customer asked for a person"
    status_fails_step: bool = True
    """Whether an HTTP status from 400 up makes a step fail (not documented)."""
    keeps_unresolved: bool = True
    """Whether a variable that does not exist stays as text, braces and all, or becomes empty."""
    escapes_variables: bool = True
    """Whether quotes in a variable are escaped in an HTTP step's body (not documented)."""


@dataclass(frozen=True)
class Reply:
    """A message that went to the customer."""

    channel_id: str
    to: str
    text: str


@dataclass(frozen=True)
class Request:
    """An HTTP request of a step, and its response; status 0: none came."""

    method: str
    url: str
    body: Any
    status: int
    response: Any


@dataclass
class Run:
    """What happened."""

    steps: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    routed_to_agent: bool = False
    closed: bool = False
    failed_at: str = ""
    """The step that failed without a catch; empty if none did."""


class _StepFailed(Exception):
    pass


def load(path: Path, replacements: Mapping[str, str]) -> dict[str, Any]:
    """A flow with its placeholders filled in, as a person would before importing it."""
    text = path.read_text(encoding="utf-8")
    for placeholder, value in replacements.items():
        text = text.replace(placeholder, value)
    flow = json.loads(text)
    if not isinstance(flow, dict) or "definition" not in flow:
        raise FlowError(f"{path.name} is no flow: it has no definition")
    return flow


def play(
    flow: Mapping[str, Any],
    inbound: Inbound,
    *,
    send: Send | None = None,
    workspace: Workspace | None = None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run a flow for one inbound message, to its end. Raises FlowError for a broken flow."""
    player = _Player(
        flow,
        inbound,
        send=send or http_send,
        workspace=workspace or Workspace(),
        environment=environment or {},
    )
    return player.run()


def http_send(
    method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
) -> tuple[int, bytes]:
    """Send for real, without following redirects or trying again."""
    try:
        response = urllib3.request(
            method, url, headers=dict(headers), body=body, timeout=seconds,
            retries=False, redirect=False,
        )  # fmt: skip
    except urllib3.exceptions.HTTPError as error:
        raise OSError(str(error)) from error
    return response.status, response.data


class _Player:
    def __init__(
        self,
        flow: Mapping[str, Any],
        inbound: Inbound,
        *,
        send: Send,
        workspace: Workspace,
        environment: Mapping[str, str],
    ) -> None:
        self._definition = flow["definition"]
        self._inbound = inbound
        self._send = send
        self._workspace = workspace
        self._run = Run()
        self._replies = iter(inbound.replies)
        self._scope: dict[str, Any] = {
            "trigger": {"payload": inbound.payload(flow["trigger"]["data"]["channelId"])},
            "steps": {},
            "run": {"workspaceId": "workspace-0000"},
            "contact": {"id": inbound.customer.contact_id},
            "env": dict(environment),
        }

    def run(self) -> Run:
        """Take the steps one after the other."""
        steps: Mapping[str, Any] = self._definition["steps"]
        at: str | None = self._definition["startAt"]
        while at is not None:
            here = at
            if here not in steps:
                raise FlowError(f"there is no step {here}")
            if len(self._run.steps) >= MOST_STEPS:
                raise FlowError("the flow goes round in circles")
            self._run.steps.append(here)
            try:
                at = self._take(here, steps[here])
            except _StepFailed:
                if not _continues(steps[here]):
                    self._run.failed_at = here
                    break
                at = steps[here].get("next")
        return self._run

    def _take(self, name: str, step: Mapping[str, Any]) -> str | None:
        kind = str(step["type"])
        if kind == "terminate":
            return None
        if kind == "conditional":
            return self._branch(step)
        parameters = self._filled(step["parameters"])
        if kind == "httpRequest":
            body = json.dumps(parameters["body"])
            if not self._workspace.escapes_variables:
                body = self._unescaped(step["parameters"]["body"])
            result = {"body": self._request(parameters, body)}
        elif kind.startswith("mrn:v1:"):
            result = self._service(kind.split(":")[4], parameters)
        else:
            raise FlowError(f"{kind} is an unknown type of step")
        self._scope["steps"][name] = result
        return step.get("next")

    def _branch(self, step: Mapping[str, Any]) -> str:
        for one in step["conditionals"]:
            if any(
                _shown(self._filled(test["variable"])) == test["stringEquals"]
                for test in one.get("or", [one])
            ):
                return str(one["next"])
        return str(step["default"])

    def _request(self, parameters: Mapping[str, Any], text: str) -> Any:
        headers = {one["key"]: str(one["value"]) for one in parameters["headers"]}
        headers["Content-Type"] = parameters["contentType"]
        url, method, body = parameters["url"], parameters["method"], parameters["body"]
        if not self._workspace.escapes_variables:
            body = text
        try:
            status, data = self._send(
                method, url, headers, text.encode(), float(parameters["timeoutSeconds"])
            )
        except OSError as error:
            self._run.requests.append(Request(method, url, body, 0, None))
            raise _StepFailed from error
        try:
            response = json.loads(data)
        except ValueError:
            response = data.decode("utf-8", "replace")
        self._run.requests.append(Request(method, url, body, status, response))
        if status >= 400 and self._workspace.status_fails_step:
            raise _StepFailed
        return response

    def _service(self, operation: str, parameters: Mapping[str, Any]) -> Any:
        payload, request = parameters.get("payload", {}), parameters["request"]
        match operation:
            case "getContact":
                return {"body": self._contact()}
            case "createChannelMessage":
                result = {"body": self._message(payload, request)}
                if "waitConditions" in parameters:
                    result["event"] = self._reply()
                return result
            case "llmbotNewConversation":
                status = self._workspace.agent_status
                details = {"handoverReason": self._workspace.agent_reason}
                return {"event": {"llmBotChat": {"status": status, "finalizationDetails": details}}}
            case "createComment":
                self._run.comments.append(payload["body"]["text"]["text"])
            case "createItemRoute":
                self._run.routed_to_agent = True
            case "updateFeedItem":
                self._run.closed = bool(payload.get("closed"))
            case _:
                raise FlowError(f"{operation} is an unknown operation")
        return {"body": {}}

    def _contact(self) -> dict[str, Any]:
        customer = self._inbound.customer
        if not self._workspace.knows_contact:
            raise _StepFailed
        attributes: dict[str, Any] = {}
        if customer.known_phone:
            attributes["phonenumber"] = [customer.known_phone]
        if customer.email:
            attributes["emailaddress"] = [customer.email]
        contact: dict[str, Any] = {"id": customer.contact_id, "attributes": attributes}
        if customer.display_name:
            contact["computedDisplayName"] = customer.display_name
        return contact

    def _message(self, payload: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
        (contact,) = payload["receiver"]["contacts"]
        if request["channelId"] in self._workspace.broken_channels:
            raise _StepFailed
        to = contact.get("id") or contact["identifierValue"]
        self._run.replies.append(Reply(request["channelId"], to, payload["body"]["text"]["text"]))
        return {"id": str(uuid.uuid4()), "status": "accepted"}

    def _reply(self) -> dict[str, Any]:
        """The event that a step waited for: the customer's next message. Where its text stands is
        not confirmed: as in the trigger."""
        text = next(self._replies, None)
        last = {} if text is None else {"lastMessage": {"preview": {"text": text}}}
        return {"conversation": last}

    # Variables

    def _filled(self, value: Any) -> Any:
        """A value with its variables resolved; a text that is one variable keeps its type."""
        if isinstance(value, dict):
            return {name: self._filled(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self._filled(part) for part in value]
        if not isinstance(value, str):
            return value
        whole = _VARIABLE.fullmatch(value)
        if whole:
            found = self._value(whole)
            return found if found is not _MISSING else self._unresolved(whole)
        return _VARIABLE.sub(self._written, value)

    def _unescaped(self, value: Any) -> str:
        """JSON whose variables stand in it as they are, as in a template of text."""
        if isinstance(value, dict):
            pairs = (f"{json.dumps(name)}: {self._unescaped(v)}" for name, v in value.items())
            return f"{{{', '.join(pairs)}}}"
        if isinstance(value, list):
            return f"[{', '.join(map(self._unescaped, value))}]"
        if not isinstance(value, str):
            return json.dumps(value)
        pieces, at = [], 0
        for variable in _VARIABLE.finditer(value):
            pieces += [json.dumps(value[at : variable.start()])[1:-1], self._written(variable)]
            at = variable.end()
        return f'"{"".join(pieces)}{json.dumps(value[at:])[1:-1]}"'

    def _written(self, variable: re.Match[str]) -> str:
        found = self._value(variable)
        return self._unresolved(variable) if found is _MISSING else _shown(found)

    def _value(self, variable: re.Match[str]) -> Any:
        found: Any = self._scope
        for name, index in _SEGMENT.findall(variable[1]):
            if index:
                here = isinstance(found, list) and int(index) < len(found)
                found = found[int(index)] if here else _MISSING
            else:
                found = found.get(name, _MISSING) if isinstance(found, dict) else _MISSING
            if found is _MISSING:
                break
        if (found is _MISSING or found in (None, "")) and variable[2] is not None:
            return variable[2]
        return found

    def _unresolved(self, variable: re.Match[str]) -> str:
        return variable[0] if self._workspace.keeps_unresolved else ""


def _continues(step: Mapping[str, Any]) -> bool:
    return any(
        "Steps.All" in one["errorEquals"] and one["action"]["type"] == "continue"
        for one in step.get("catch", [])
    )


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def main(arguments: list[str]) -> int:
    """Play one flow and print what happened."""
    parser = argparse.ArgumentParser(
        prog="sandbox.player", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("flow", type=Path)
    parser.add_argument("--api", required=True, help="the API's address with its stage")
    parser.add_argument("--key", required=True, help="the API key")
    parser.add_argument("--lookup-key", default="", help="the key of POST /customers/find")
    parser.add_argument(
        "--text", action="append", help="a message; given several times: of one conversation"
    )
    parser.add_argument(
        "--reply", action="append", default=[], help="to a question of the flow; several times"
    )
    parser.add_argument("--name", default="Noor van Dijk")
    parser.add_argument("--phone", default="+447700900142")
    parser.add_argument("--reply-fails", action="store_true", help="as if the channel were down")
    parser.add_argument("--unescaped", action="store_true", help="leave quotes in variables as is")
    options = parser.parse_args(arguments)
    replacements = {
        "https://YOUR-API-ADDRESS/v1": options.api,
        "YOUR-API-KEY": options.key,
        "YOUR-LOOKUP-KEY": options.lookup_key,
    }
    flow = load(options.flow, replacements)
    broken = {flow["trigger"]["data"]["channelId"]} if options.reply_fails else set()
    customer = Customer(options.name, ("phonenumber", options.phone))
    conversation_id = str(uuid.uuid4())
    failed = False
    for text in options.text or ["Hello! Can somebody help me?"]:
        inbound = Inbound(
            text,
            customer,
            conversation_id,
            message_id=str(uuid.uuid4()),
            replies=tuple(options.reply),
        )
        workspace = Workspace(
            broken_channels=frozenset(broken), escapes_variables=not options.unescaped
        )
        run = play(flow, inbound, workspace=workspace)
        _print(text, run)
        failed = failed or bool(run.failed_at)
    return 1 if failed else 0


def _print(text: str, run: Run) -> None:
    print(f"Customer: {text}")
    for request in run.requests:
        print(f"Flow:     {request.method} {request.url} -> {request.status} {request.response}")
    for comment in run.comments:
        print(f"Comment:  {comment}")
    for reply in run.replies:
        print(f"Reply:    {reply.text}  ({reply.channel_id})")
    if run.routed_to_agent:
        print("Routed:   to a person")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
