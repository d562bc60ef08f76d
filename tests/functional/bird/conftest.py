"""A connected local stack for flows, webhooks and the API's description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.stack import Stack
from tests.conftest import PATIENT
from tests.stacks import empty_queues


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """One stack a module; the outbox is delivered only when a test says so."""
    fast = {
        **PATIENT,
        "ThrottleRate": "10000",
        "ThrottleBurst": "5000",
        "CustomerLookup": "on",
        "CustomerLookupRate": "1000",
        "CustomerLookupBurst": "1000",
    }
    with Stack(poll=False, processes=2, parameters=fast) as stack:
        stack.tick()
        yield stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    """The stack without records, faults or waiting messages."""
    clean(running)
    return running


def clean(stack: Stack) -> None:
    """No records, rules or faults, and empty queues; the functions stay warm."""
    stack.aws.heal()
    stack.org_server.accept_connections()  # type: ignore[union-attr]
    stack.org.clear_rules()
    stack.org.forget_records()
    empty_queues(stack)


def only(stack: Stack, kind: str) -> Any:
    """The one record of that object that the test made, by field name."""
    (record,) = made(stack, kind)
    return record


def made(stack: Stack, kind: str) -> list[Any]:
    """The records of that object, the sample org's own aside."""
    return [one for one in stack.org.records(kind) if one.get("Bird_Key__c")]
