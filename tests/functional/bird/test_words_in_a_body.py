"""A customer whose words close the text that they stand in: no flow gives them an owner or a link.

The player puts variables into a body as they are (whether Bird escapes them is documented nowhere).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.org import sample
from sandbox.player import Customer, Inbound, Run, Workspace, load, play
from sandbox.stack import Stack
from tests.functional.bird.conftest import made, only
from tools.template import ROOT

FLOWS = sorted((ROOT / "flows").glob("*.json"))
TAIL = '"x": {"y": "z'
"""Words that make what follows a customer's text a JSON object again."""


def fields(**values: str) -> str:
    """Words that end `bird` and add fields beside it."""
    return 'Hi"}, ' + "".join(f'"{name}": "{value}", ' for name, value in values.items()) + TAIL


def flow(stack: Stack, query: str = "", **body: Any) -> dict[str, Any]:
    """A flow that sends fields and the message's text last."""
    text = "{{trigger.payload.conversation.lastMessage.preview.text}}"
    name = "{{trigger.payload.conversation.featuredParticipants[0].displayName}}"
    step = {
        "type": "httpRequest",
        "parameters": {
            "url": f"{stack.url}/leads{query}",
            "method": "POST",
            "contentType": "application/json",
            "headers": [{"key": "x-api-key", "value": stack.api_key}],
            "timeoutSeconds": 10,
            "body": {
                "LastName": name,
                **body,
                "bird": {"channel": "sms", "sender": "+447700900142", "text": text},
            },
        },
        "next": "end",
    }
    steps = {"send": step, "end": {"type": "terminate"}}
    trigger = {"data": {"channelId": "c-1"}}
    return {"trigger": trigger, "definition": {"startAt": "send", "steps": steps}}


def say(played: dict[str, Any], text: str, name: str = "Noor", **workspace: Any) -> Run:
    workspace = {"escapes_variables": False, "status_fails_step": False, **workspace}
    return play(played, Inbound(text, Customer(name)), workspace=Workspace(**workspace))


def response(run: Run) -> Any:
    return run.requests[0].response


def admin(stack: Stack) -> str:
    user = stack.org.oauth.user(sample.ADMIN_USER)
    assert user is not None
    return str(user["Id"])


@pytest.fixture
def own(stack: Stack) -> str:
    """Who owns a lead that nobody gave an owner."""
    return str(stack.org.get("Lead", response(say(flow(stack), "Hi"))["id"])["OwnerId"])  # type: ignore[index]


def test_an_owner_in_a_customer_s_words_is_left_out_and_named(stack: Stack, own: str) -> None:
    other = admin(stack)
    assert other != own
    stack.org.forget_records()
    run = say(flow(stack), fields(OwnerId=other, recordtypeid="012000000000000AAA"))
    assert json.loads(run.requests[0].body)["OwnerId"] == other, "the words did close the text"
    body = response(run)
    assert (run.requests[0].status, body["outcome"]) == (201, "created")
    assert body["notWritten"] == "OwnerId,recordtypeid,x"
    assert "OwnerId" in body["warnings"] and "AllowedFields" in body["warnings"]
    assert only(stack, "Lead")["OwnerId"] == own
    assert other not in json.dumps(stack.org.records("Task"), default=str)


def test_so_it_is_where_the_record_waits_or_is_refused(stack: Stack, own: str) -> None:
    words = fields(OwnerId=admin(stack))
    stack.org.forget_records()
    with stack.outage():
        queued = response(say(flow(stack), words))
    stack.drain()
    assert only(stack, "Lead")["OwnerId"] == own, "decided when it was accepted"
    again = response(say(flow(stack), words.replace("Hi", "Hi again")))
    stack.org.forget_records()
    stack.org.add_validation_rule(
        "Lead", name="No", error_when=lambda _: True, message="Not on Sundays."
    )
    refused = response(say(flow(stack), words))
    assert [one["outcome"] for one in (queued, again, refused)] == ["queued", "exists", "rejected"]
    for one in (queued, again, refused):
        assert "OwnerId" in one["notWritten"].split(",") and "OwnerId" in one["warnings"]
    (kept,) = stack.rejected()
    assert "OwnerId" not in kept["fields"]


def test_a_second_name_is_refused(stack: Stack) -> None:
    run = say(flow(stack), "Hi", name='x", "LastName": "y')
    assert run.requests[0].status == 400
    assert (response(run)["kept"], response(run)["code"]) == (False, "BAD_REQUEST")
    assert "LastName" in response(run)["detail"]
    assert not made(stack, "Lead")


def test_a_second_name_in_the_text_is_refused_or_a_word(stack: Stack) -> None:
    assert say(flow(stack), fields(LastName="y")).requests[0].status == 400
    assert say(flow(stack), fields(lastname="y")).requests[0].status == 400
    assert say(flow(stack), 'Hi", "text": "bye').requests[0].status == 400
    assert not made(stack, "Lead")
    run = say(flow(stack), 'He said "LastName": "y"')
    assert run.requests[0].status == 201
    assert only(stack, "Lead")["Description"].startswith('He said "LastName": "y"')


@pytest.mark.parametrize("escapes", [True, False])
def test_the_owner_in_the_step_s_address_counts_whatever_is_in_the_body(
    stack: Stack, own: str, escapes: bool
) -> None:
    stack.org.forget_records()
    chosen = admin(stack)
    played = flow(stack, f"?errors=inline&set.OwnerId={chosen}")
    body = response(say(played, fields(OwnerId=own), escapes_variables=escapes))
    assert body["outcome"] == "created"
    assert only(stack, "Lead")["OwnerId"] == chosen
    assert "OwnerId" not in body.get("notWritten", "")


WORDS = {
    "an owner": fields(OwnerId="{admin}"),
    "an owner in another spelling": fields(OWNERID="{admin}"),
    "a link": 'Hi"}, "Owner": {"Username": "admin"}, ' + TAIL,
    "inside bird": 'Hi", "OwnerId": "{admin}',
    "a second text": 'Hi", "text": "bye',
    "a second bird": 'Hi"}, "bird": {"text": "bye',
    "the end of it all": 'Hi"}} {"OwnerId": "{admin}", "x": {"y": "',
    "after a list": 'Hi"]}, "OwnerId": "{admin}", "x": {"y": ["',
}


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("where", ["text", "name"])
def test_in_no_shipped_flow_do_a_customer_s_words_choose_an_owner(
    stack: Stack, path: Path, words: str, where: str
) -> None:
    other = admin(stack)
    hostile = WORDS[words].replace("{admin}", other)
    played = load(path, {"https://YOUR-API-ADDRESS/v1": stack.url, "YOUR-API-KEY": stack.api_key})
    text, name = (hostile, "Noor") if where == "text" else ("Hi", hostile)
    run = say(played, text, name)
    for kind in ("Lead", "Case"):
        assert all(one["OwnerId"] != other for one in made(stack, kind))
    if run.requests[0].status not in (200, 201) or response(run)["outcome"] == "failed":
        assert run.routed_to_agent, "nothing was stored, so a person takes over"
    else:
        assert made(stack, "Lead") or made(stack, "Case")
