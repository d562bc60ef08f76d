"""300 messy messages: whatever people are called and write, the record can be read and is saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge.api.request import HttpRequest
from bridge.bird.channels import LENGTHS
from bridge.bird.mapping import SOURCES
from bridge.bird.message import BirdMessage
from bridge.errors import Ignored
from bridge.records import ObjectName
from bridge.settings import Settings
from sandbox.stack import Stack
from tests.conftest import ENVIRON
from tests.functional.bird.conftest import made
from tests.unit.doubles import Asked, read_asked
from tests.unit.messy import messages

EVERY = messages(300, seed=20260924)
NEVER_EMPTY: dict[ObjectName, tuple[str, ...]] = {
    "Lead": ("LastName", "Company", "LeadSource"),
    "Case": ("Subject", "Origin", "SuppliedName"),
}


def units(text: str) -> int:
    """The length as Salesforce counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_opt_out(body: Any) -> bool:
    """Whether it is nothing but STOP in an SMS."""
    try:
        read(body, "Lead", Settings.from_environ(ENVIRON))
    except Ignored:
        return True
    return False


def read(body: Any, kind: ObjectName, settings: Settings) -> Asked:
    event = {"httpMethod": "POST", "headers": {}, "body": json.dumps(body)}
    return read_asked(HttpRequest.from_event(event), kind, settings=settings)


BODIES = [body for body in EVERY if not is_opt_out(body)]


@pytest.mark.parametrize("kind", ["Lead", "Case"])
def test_what_has_to_be_there_is_and_says_something(
    settings: Callable[..., Settings], kind: ObjectName
) -> None:
    for body in BODIES:
        fields = read(body, kind, settings()).record.fields
        for name in NEVER_EMPTY[kind]:
            value = fields[name]
            assert value.strip(), (name, body)
            assert "{{" not in value and "}}" not in value, (name, value)
            assert value.isprintable() or all(ord(c) >= 32 for c in value), (name, value)
        for name, value in fields.items():
            assert 0 < units(value) <= LENGTHS[name], (name, units(value))
            value.encode("utf-8")  # no half characters


@pytest.mark.parametrize("kind", ["Lead", "Case"])
def test_nothing_is_invented(settings: Callable[..., Settings], kind: ObjectName) -> None:
    for body in BODIES:
        fields = read(body, kind, settings()).record.fields
        sent = json.dumps(body, ensure_ascii=False)
        for name in ("Phone", "SuppliedPhone"):
            digits = [c for c in fields.get(name, "") if c.isdigit()]
            assert "".join(digits) in "".join(c for c in sent if c.isdigit()) or "(0)" in sent
        for name in ("Email", "SuppliedEmail"):
            assert fields.get(name, "") in sent


def test_all_of_them_are_saved_once_each_and_again_never(stack: Stack) -> None:
    for number, body in enumerate(BODIES):
        answer = stack.request("POST", "/messages", json.dumps(body).encode())
        assert answer.status == 201 or answer.json()["added"], (answer.body, body)
        if number % 10 == 0:
            answer = stack.request("POST", "/messages", json.dumps(body).encode())
            assert (answer.status, answer.json()["added"]) == (200, False), (answer.body, body)
    for body in EVERY:
        if body not in BODIES:
            answer = stack.request("POST", "/messages", json.dumps(body).encode())
            assert (answer.status, answer.json()["outcome"]) == (200, "ignored")
    leads, cases = made(stack, "Lead"), made(stack, "Case")
    outside = [one for one in (*leads, *cases) if not one.get("Bird_Conversation__c")]
    assert len(stack.org.records("Task")) + len(outside) == len(BODIES)
    assert leads and cases
    assert all(one["LastName"] and one["Company"] and one["LeadSource"] for one in leads)
    assert all(one["Subject"] and one["Origin"] for one in cases)
    assert not stack.rejected() and not stack.waiting()


def test_every_source_of_the_table_is_a_text() -> None:
    for body in BODIES:
        if "bird" in body:
            message = BirdMessage.parse(body["bird"])
            assert all(isinstance(read(message), str) for read in SOURCES.values())
