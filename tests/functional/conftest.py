"""The whole bundle over HTTP: API Gateway in front, AWS and Salesforce behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.org import Org
from sandbox.stack import Stack
from tests.conftest import PATIENT
from tests.stacks import empty_queues, has_live_token, renew_token, replace_org


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """One connected stack a module; the outbox is delivered only when a test says so."""
    with Stack(poll=False, parameters=PATIENT) as stack:
        stack.tick()
        yield stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    """The module's stack, quiet and empty, with fresh functions and a good access token."""
    refresh(running)
    return running


@pytest.fixture
def own_org(running: Stack) -> Iterator[Stack]:
    """The same with an org of its own, whose set-up a test changes."""
    replace_org(running, Org.sample())
    running.connect()
    refresh(running)
    yield running
    replace_org(running, Org.sample())
    running.connect()


def refresh(stack: Stack) -> None:
    """As on a quiet morning: no records, no faults, empty queues, cold functions, a good token."""
    stack.aws.heal()
    stack.org_server.accept_connections()  # type: ignore[union-attr]
    stack.org.reset()
    empty_queues(stack)
    for name in ("create_lead", "create_case", "deliver"):
        stack.functions[name].recycle()
    if not has_live_token(stack):
        assert not renew_token(stack).failed
    stack.org.journal.reset()
    stack.aws.calls.clear()
