"""A connected local stack for flows, webhooks and the API's description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.stack import Stack


@pytest.fixture(scope="session")
def running() -> Iterator[Stack]:
    """One stack for all tests of a process; the outbox is delivered only when a test says so."""
    with Stack(poll=False, processes=2) as stack:
        stack.tick()
        yield stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    """The stack without records, faults or waiting messages."""
    clean(running)
    yield running


def clean(stack: Stack) -> None:
    """As on a quiet morning; what the functions remember of the org is forgotten too."""
    stack.org_server.accept_connections()  # type: ignore[union-attr]
    stack.org.reset()
    for url in (stack.outbox_url, stack.rejected_url):
        stack.client("sqs").purge_queue(QueueUrl=url)
    for name in ("create_lead", "create_case", "receive_message"):
        stack.functions[name].recycle()
    stored = stack.client("ssm").get_parameter(Name=stack.token_parameter, WithDecryption=True)
    generation = json.loads(stored["Parameter"]["Value"])["generation"]
    assert not stack.invoke("refresh_token", {"refused_generation": generation}).failed


def only(stack: Stack, kind: str) -> Any:
    """The one record of that object that the test made, by field name."""
    (record,) = made(stack, kind)
    return record


def made(stack: Stack, kind: str) -> list[Any]:
    """The records of that object, the sample org's own aside."""
    return [one for one in stack.org.records(kind) if one.get("Bird_Key__c")]
