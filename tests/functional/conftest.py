"""The whole bundle over HTTP: API Gateway in front, AWS and Salesforce behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sandbox.stack import Stack
from tests.conftest import PATIENT


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """One connected stack a module; the outbox is delivered only when a test says so."""
    with Stack(poll=False, parameters=PATIENT) as stack:
        stack.tick()
        yield stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    """The module's stack, quiet and empty, with fresh functions and a fresh access token."""
    refresh(running)
    yield running


def refresh(stack: Stack) -> None:
    """As on a quiet morning: no records, no faults, empty queues, cold functions, a new token."""
    stack.aws.heal()
    stack.org_server.accept_connections()  # type: ignore[union-attr]
    stack.org.reset()
    for url in (stack.outbox_url, stack.rejected_url):
        stack.client("sqs").purge_queue(QueueUrl=url)
    for name in ("create_lead", "create_case", "deliver"):
        stack.functions[name].recycle()
    stored = stack.client("ssm").get_parameter(Name=stack.token_parameter, WithDecryption=True)
    generation = json.loads(stored["Parameter"]["Value"])["generation"]
    assert not stack.invoke("refresh_token", {"refused_generation": generation}).failed
    stack.org.journal.reset()
    stack.aws.calls.clear()
