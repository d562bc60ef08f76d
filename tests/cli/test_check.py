"""`check` against what the API then does with the same body: the functions are the oracle."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from sandbox.stack import Stack
from tests.cli.program import Result, run
from tests.conftest import EVENTS

KEYS = ("Bird_Key__c", "Bird_Conversation__c")


PARAMETERS = {"DefaultCompany": "Walk-in"}


def check(options: list[str], body: Any, *more: str) -> Result:
    file = Path(options[-1]).with_name("body")
    file.write_text(body if isinstance(body, str) else json.dumps(body), encoding="utf-8")
    return run("check", str(file), *more, *options)


def flow(text: str = "Is it there?", **more: Any) -> dict[str, Any]:
    bird = {
        "channel": "whatsapp",
        "messageId": "wamid.One",
        "conversationId": "c-1",
        "sender": "+31612345678",
        "displayName": "Ada Okafor",
        "sentAt": "2026-11-30T14:03:07Z",
        "text": text,
    }
    return {"bird": {**bird, **more}}


POSTS = sorted(
    path.stem
    for path in EVENTS.glob("*.json")
    if json.loads(path.read_text(encoding="utf-8")).get("httpMethod") == "POST"
    and json.loads(path.read_text(encoding="utf-8"))["resource"]
    not in ("/webhooks/bird", "/customers/find")
)


@pytest.mark.parametrize("name", POSTS)
def test_it_is_what_the_api_makes_of_it(stack: Stack, options: list[str], name: str) -> None:
    event = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    body = event["body"] or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    query = event.get("queryStringParameters") or {}
    given = [f"--query={k}={v}" for k, v in query.items()]
    headers = {k: v for k, v in (event.get("headers") or {}).items() if k != "Prefer"}
    given += [f"--header={k}:{v}" for k, v in headers.items()]
    found = check(options, body, "--route", event["resource"][1:], "--org", "--json", *given)
    shown = found.json()

    target = event["resource"] + "?" + "&".join(f"{k}={v}" for k, v in query.items())
    response = stack.request("POST", target, body.encode(), headers=headers).json()
    if shown["refused"]:
        assert (response["outcome"], response["status"]) == ("failed", 400)
        assert shown["refused"].startswith(response["code"]) and found.status == 1
        return
    if shown["ignored"]:
        assert response["outcome"] == "ignored" and found.status == 0
        return
    refused = bool(shown["missing"]) or shown["org"]["problems"] != []
    assert response["outcome"] == ("rejected" if refused else "created")
    assert refused is (found.status == 1)
    if shown["key"]:
        assert response["key"] == shown["key"]
    assert response.get("warnings", "") in " ".join(shown["warnings"])
    if refused:
        return
    (record,) = stack.org.records(shown["object"])
    for field, value in shown["fields"].items():
        if field != "Bird_Last_Message__c":
            assert str(record[field]).strip() == str(value).strip(), field
    for task in stack.org.records("Task"):
        assert shown["task"]["Subject"] == task["Subject"]
        assert {key: task[key] for key in KEYS if shown["key"]} == {
            key: shown["task"][key] for key in KEYS if shown["key"]
        }
    assert bool(stack.org.records("Task")) is bool(shown["task"])


def test_it_writes_nothing_and_sends_nothing_to_the_api(stack: Stack, options: list[str]) -> None:
    stack.request("POST", "/leads", flow())
    before = {name: len(stack.org.records(name)) for name in ("Lead", "Case", "Task")}
    token, requests = stack.token(), dict(stack.gateway.statuses)
    stack.aws.calls.clear()
    stack.org.journal.reset()
    assert check(options, flow("And now?", messageId="wamid.Two"), "--org").status == 0
    after = {name: len(stack.org.records(name)) for name in ("Lead", "Case", "Task")}
    assert (after, stack.token(), dict(stack.gateway.statuses)) == (before, token, requests)
    assert {name for _, name in stack.aws.calls if not name.startswith("ssm.GetParam")} == set()
    for entry in stack.org.journal.entries(""):
        if entry.method != "GET":
            parts = json.loads(entry.body)["compositeRequest"]
            assert {part["method"] for part in parts} == {"GET"}, entry.path


@pytest.mark.parametrize(
    ("then", "decision", "words"),
    [
        ("nothing", "create", "A new Lead is created."),
        ("same", "exists", "nothing is done"),
        ("next", "add", "It is logged as a Task on Lead 00Q"),
    ],
)
def test_the_look_says_where_it_would_go(
    stack: Stack, options: list[str], then: str, decision: str, words: str
) -> None:
    body = flow()
    if then != "nothing":
        stack.request("POST", "/leads", flow())
    if then == "next":
        body = flow("And now?", messageId="wamid.Two")
    shown = check(options, body, "--org", "--json", "--route", "leads").json()["org"]
    assert shown["decision"] == decision and words in shown["words"]
    outcome = stack.request("POST", "/leads", body).json()
    assert (outcome["outcome"], outcome.get("added", False)) == {
        "create": ("created", False),
        "exists": ("exists", False),
        "add": ("exists", True),
    }[decision]
    if decision != "create":
        assert outcome["id"] == shown["recordId"]


def test_a_closed_case_is_reopened(stack: Stack, options: list[str]) -> None:
    stack.request("POST", "/cases", flow())
    (case,) = stack.org.records("Case")
    day_ago = time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime(time.time() - 86_400))
    for changes in ({"Status": "Closed", "IsClosed": True}, {"ClosedDate": day_ago}):
        stack.org.store.update("Case", case["Id"], changes)
    body = flow("And now?", messageId="wamid.Two")
    shown = check(options, body, "--org", "--json", "--route", "cases").json()["org"]
    stack.request("POST", "/cases", body)
    (after,) = stack.org.records("Case")
    assert after["Status"] == "New"
    assert (shown["decision"], shown["recordId"]) == ("reopen", case["Id"])


def test_the_org_s_description_is_held_against_it(stack: Stack, options: list[str]) -> None:
    stack.org.add_field("Lead", "Region__c", length=10, required=True)
    try:
        body = {"Nope__c": "x", "LastName": "x" * 81, "Company": "x"}
        result = check(options, body, "--route", "leads", "--org", "--json")
    finally:
        stack.org.remove_field("Lead", "Region__c")
    assert result.status == 1
    words = " ".join(result.json()["org"]["problems"])
    assert "Lead.Nope__c does not exist or is hidden" in words
    assert "Lead.LastName takes 80 characters, and this has 81." in words
    assert "Lead requires Region__c, which is not sent." in words


def test_an_access_token_that_is_refused_is_not_renewed(stack: Stack, options: list[str]) -> None:
    token = stack.token()
    stack.org.oauth.expire_sessions()
    result = check(options, flow(), "--org")
    assert result.status == 1 and "The org was not looked at" in result.err
    assert stack.token() == token
    stack.invoke("refresh_token", {"refused_generation": token["generation"]})  # type: ignore[index]


def test_text_for_people(stack: Stack, options: list[str]) -> None:
    body = flow(chanel="sms", text="word " * 60)
    result = check(options, body)
    assert result.out.startswith("POST /messages would become a Lead (by the channel")
    assert [line for line in result.out.splitlines() if len(line) > 80] == []
    assert "Company: Walk-in  (filled in)" in result.out, "the stack's own parameter"
    assert "bird.chanel is unknown (the nearest is channel)" in result.err
    assert "Nothing was sent or written." in result.err
    for bad in ("{", '{"Id": "x"}', "[1]"):
        refused = check(options, bad)
        assert refused.status == 1
        assert refused.out.startswith("The API would refuse this body with 400 ")


def test_the_body_may_come_from_stdin(stack: Stack, options: list[str]) -> None:
    from tests.cli import program

    with mock.patch.object(program, "Keyboard", lambda: io.StringIO(json.dumps(flow()))):
        assert run("check", "--json", *options).json()["conversation"] == "c-1"


def test_an_option_that_cannot_be_read_is_named(options: list[str]) -> None:
    assert "nonsense is not NAME:VALUE" in check(options, {}, "--header", "nonsense").err
    assert run("check", "/no/such/file", *options).status == 1
