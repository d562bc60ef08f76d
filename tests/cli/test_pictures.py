"""The pictures of status, doctor and rejected list in docs/operations.md, against the program.

Times, spans, addresses and keys are other ones in every run, and are left out of the comparison.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from sandbox.aws.endpoint import REGION
from sandbox.org.org import Condition
from sandbox.stack import Stack
from tests.cli.program import run
from tests.conftest import PATIENT
from tools.template import ROOT

PAGE = ROOT / "docs" / "operations.md"
NAME = "bird-salesforce"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(stack_name=NAME, poll=False, parameters=PATIENT) as stack:
        stack.tick()
        yield stack


def picture(command: str) -> str:
    """What the page shows for a command."""
    found = re.search(
        rf"```text\n\$ {re.escape(command)}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found, command
    return found[1]


def alike(text: str) -> str:
    """The text without what differs from run to run, and without breaks of lines."""
    text = " ".join(text.replace(" \\\n", " ").split())
    for pattern, word in (
        (r"\b[0-9a-f]{64}\b", "KEY"),
        (r"127\.0\.0\.1:\d+|\w+\.my\.salesforce\.com", "HOST"),
        (r"\d+ ?(s|min|h|d)\b", "SPAN"),
        (r"\b\d\d:\d\d\b", "CLOCK"),
        (r"UNREACHABLE|NO_ANSWER", "CODE"),
        (r"us-east-1|eu-west-1", "REGION"),
    ):
        text = re.sub(pattern, word, text)
    return text


def test_the_pictures_are_what_the_program_prints(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.aws_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.setenv("AWS_REGION", REGION)

    def shown(command: str) -> None:
        result = run(*command.split()[1:])
        for text in (result.out, picture(command)):
            assert [line for line in text.splitlines() if len(line) > 80] == []
        assert alike(picture(command)) == alike(result.out), result.out

    body = {"channel": "whatsapp", "sender": "+31612345678", "displayName": "Ada", "text": "Hi"}
    stack.request("POST", "/leads", {"bird": {**body, "messageId": "wamid.Before"}})
    with stack.outage():
        for n in range(4):
            bird = {**body, "messageId": f"wamid.{n}", "conversationId": f"c{n}"}
            assert stack.request("POST", "/leads", {"bird": bird}).status == 202
        stack.deliver_once()
        shown("bird-salesforce status")
        shown("bird-salesforce doctor")
    stack.drain()
    stack.org.add_validation_rule("Lead", Condition("Rating", "blank"), "Say how hot it is")
    for n in range(2):
        bird = {**body, "messageId": f"wamid.R{n}", "conversationId": f"r{n}"}
        assert stack.request("POST", "/leads", {"bird": bird}).status == 422
    shown("bird-salesforce rejected list")
