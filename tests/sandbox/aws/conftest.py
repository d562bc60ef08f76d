"""A stack whose functions are the throw-away one beside this file, and no Salesforce at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.stack import Stack

FUNCTIONS = (
    *("create_lead", "create_case", "receive_message", "find_customer", "refresh_token", "deliver"),
)
THROWAWAY = {name: Path(__file__).with_name("throwaway") for name in FUNCTIONS}
NOBODY = "http://127.0.0.1:9"
"""An address where no Salesforce is."""


def throwaway_stack(**options: object) -> Stack:
    settings: dict[str, object] = {
        "connected": False,
        "login_url": NOBODY,
        "folders": THROWAWAY,
        "poll": False,
        "parameters": {"ThrottleRate": "10000", "ThrottleBurst": "5000"},
    }
    return Stack(**{**settings, **options})  # type: ignore[arg-type]


def wait_for(what: Callable[[], object], *, seconds: float = 20) -> None:
    """Return when it is true, or when the time is over."""
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with throwaway_stack() as stack:
        yield stack


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "stack" in request.fixturenames:
        stack: Stack = request.getfixturevalue("stack")
        stack.aws.heal()
        for url in (stack.outbox_url, stack.rejected_url):
            stack.client("sqs").purge_queue(QueueUrl=url)
