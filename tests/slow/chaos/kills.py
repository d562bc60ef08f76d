"""Kills of a function after each of its steps.

A step is a response from AWS or Salesforce: between two responses nothing changes that anybody else
could see.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.stack import Stack
from tests.slow.chaos.credentials import CredentialsWatch

MOST_STEPS = 40


def steps() -> Iterator[int]:
    """After how many steps to die: after each response, never after a request alone."""
    return iter(range(2, 2 * MOST_STEPS, 2))


def kill_refreshes(stack: Stack) -> tuple[CredentialsWatch, int]:
    """Kill RefreshToken after each of its steps, up to the first violation that the watch sees."""
    watch, function = CredentialsWatch(stack), stack.functions["refresh_token"]
    assert not stack.tick().failed
    for deaths, step in enumerate(steps()):
        token = stack.token()
        function.recycle()
        watch.kill_after = lambda step=step: step  # type: ignore[misc]
        outcome = stack.invoke(
            "refresh_token", {"refused_generation": token["generation"] if token else None}
        )
        watch.kill_after = lambda: 0
        watch.look()
        if watch.violations or not outcome.failed:
            return watch, deaths
    raise AssertionError("it always dies")
