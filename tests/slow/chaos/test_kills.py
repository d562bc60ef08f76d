"""Deliver's processes are killed at random moments of a long delivery."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random

import pytest

from sandbox.stack import Stack
from tests.slow.chaos.audit import locate_in_stack
from tests.slow.chaos.conftest import LONG
from tests.slow.chaos.requests import plain_leads

SENT_AT_ONCE = 10


@pytest.mark.slow
@pytest.mark.timeout(600 if LONG else 300)
def test_killed_at_any_moment_deliver_loses_none_and_doubles_none(
    seed: int, sized: Callable[[int, int], int]
) -> None:
    """Both ways: after a step drawn beforehand, and by somebody else's SIGKILL at any time."""
    messages, random = sized(1_500, 10_000), Random(seed)
    # After a kill the messages come again, in smaller calls: the next kill falls between two.
    with Stack(poll=False, window=0.1) as stack:
        assert not stack.tick().failed
        stack.aws.queues.misbehave(stack.outbox_url, twice=0.02, shuffled=True)
        sqs, requests = stack.client("sqs"), plain_leads(messages)
        for start in range(0, messages, SENT_AT_ONCE):
            sqs.send_message_batch(
                QueueUrl=stack.outbox_url,
                Entries=[
                    {"Id": str(request.number), "MessageBody": request.envelope}
                    for request in requests[start : start + SENT_AT_ONCE]
                ],
            )
        deliver = stack.functions["deliver"]
        steps = Random(random.random())
        lock = threading.Lock()

        def kill_after() -> int:
            with lock:
                # Most of the first ones, so that it is hard however fast this machine is.
                share = 0.9 if deliver.crashes < 8 else 0.4
                return steps.randint(1, 14) if steps.random() < share else 0

        deliver.kill_after = kill_after
        begun = time.monotonic()
        stack.poller.start()
        shots = 0
        while stack.waiting() and time.monotonic() - begun < sized(100, 500):
            time.sleep(random.uniform(0.05, 0.4))
            if random.random() < 0.25:
                shots += stack.kill("deliver")
            stack.let_time_pass()
            seen = locate_in_stack(stack)
            assert len(seen.kept) == messages
            assert not seen.made_twice and not seen.keys_twice
        stack.poller.pause()

        seen = locate_in_stack(stack)
        print(
            f"\nKills: {messages:,} messages delivered in {time.monotonic() - begun:.1f} s by "
            f"{deliver.invocations} invocations, of which {deliver.crashes} were killed "
            f"({shots} shots at random moments, the others after a step); seed {seed}"
        )
        assert len(seen.live) == messages and not seen.waiting and not seen.rejected
        assert not seen.made_twice and not seen.keys_twice
        assert deliver.crashes >= 5
