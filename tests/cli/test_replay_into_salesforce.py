"""A record's whole way: refused, kept, mended by an administrator, replayed, there once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.records import stored_key
from sandbox.org.org import Condition
from sandbox.stack import Stack
from tests.cli.program import Result, options_for, run
from tests.conftest import PATIENT
from tests.stacks import empty_queues


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with Stack(window=0.1, parameters=PATIENT) as stack:
        stack.tick()
        yield stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    yield running
    running.aws.heal()
    running.org.clear_rules()
    running.drain()  # what Deliver has in hand would come back after the queues are purged
    running.org.reset()
    empty_queues(running)


@pytest.fixture
def options(stack: Stack, tmp_path: Path) -> list[str]:
    stack.org.add_validation_rule("Lead", Condition("Rating", "blank"), "Say how hot it is")
    for number in range(5):
        body = {"LastName": "Okafor", "Company": "x", "Bird_Key__c": f"Key {number}"}
        assert stack.request("POST", "/leads", body).status == 422
    return options_for(stack, tmp_path)


def replay(options: list[str], *more: str) -> Result:
    return run("rejected", "replay", "--all", *more, *options)


def test_what_the_same_rule_refuses_again_comes_back(stack: Stack, options: list[str]) -> None:
    result = replay(options)
    assert result.status == 1
    assert "5 sent to the outbox" in result.err
    assert "✗ 0 created, 5 refused again by the same rule." in result.err
    listed = run("rejected", "list", "--json", *options).json()
    assert [(one["replayed"], one["message"]) for one in listed] == [(1, "Say how hot it is")] * 5


def test_after_a_rule_is_mended_every_record_comes_in_once(
    stack: Stack, options: list[str]
) -> None:
    stack.org.clear_rules()
    # One of them has come in by hand meanwhile, under its key.
    stack.request("POST", "/leads", {"LastName": "O", "Company": "x", "Bird_Key__c": "Key 3"})
    result = replay(options, "--json")
    assert result.status == 0
    assert "✓ 4 created, 1 there already." in result.err
    found = result.json()
    assert found["outcomes"] == {"created": 4, "exists": 1}
    keys = sorted(stored_key(f"Key {n}") for n in range(5))
    assert sorted(one["key"] for one in found["records"]) == keys
    assert sorted(lead["Bird_Key__c"] for lead in stack.org.records("Lead")) == keys
    assert run("rejected", "list", "--json", *options).json() == []


def test_it_names_another_rule(stack: Stack, options: list[str]) -> None:
    stack.org.clear_rules()
    stack.org.change_field("Lead", "LastName", length=3)
    try:
        result = replay(options)
    finally:
        stack.org.change_field("Lead", "LastName", length=80)
    assert result.status == 1
    words = "0 created, 5 refused again: a value is too long (STRING_TOO_LONG: LastName)."
    assert words in result.err


def test_what_still_waits_is_no_failure(stack: Stack, options: list[str]) -> None:
    with stack.outage():
        result = replay(options, "--wait", "3")
    assert result.status == 0
    words = r"0 created, 5 still waiting \(Salesforce unreachable \((UNREACHABLE|NO_ANSWER)\)\)"
    assert re.search(words, result.err)
    assert "outbox list --local" in result.err
    stack.org.clear_rules()
    stack.drain()
    assert len(stack.org.records("Lead")) == 5


def test_without_the_right_to_read_logs_it_replays_all_the_same(
    stack: Stack, options: list[str]
) -> None:
    stack.org.clear_rules()
    stack.aws.fail("logs", status=400, code="AccessDeniedException")
    result = replay(options)
    assert result.status == 0
    assert "will not be shown" in result.err and " sent to the outbox" in result.err
    stack.drain()
    assert len(stack.org.records("Lead")) == 5


def test_the_list_is_grouped_and_keeps_to_80_columns(stack: Stack, options: list[str]) -> None:
    body = {"LastName": "x" * 200, "Company": "x", "Rating": "Hot", "Bird_Key__c": "long"}
    assert stack.request("POST", "/leads", body).status == 422
    result = run("rejected", "list", *options)
    lines = result.out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    heads = [line for line in lines if " · " in line]
    assert len(heads) == 2 and heads[0].endswith("5 records") and heads[1].endswith("1 record")
    assert heads[0].startswith("a validation rule (FIELD_CUSTOM_VALIDATION_EXCEPTION")
    for key in [stored_key(f"Key {n}") for n in range(5)] + ["long"]:
        (line,) = [line for line in lines if line.endswith(key)]
        assert line.startswith("Lead ")
    assert "6 rejected (SQS estimates 6)." in result.err
    wide = run("rejected", "list", "--wide", *options).out.splitlines()
    assert len(wide) == 6 and all("Say how hot" in line or "STRING" in line for line in wide)
