"""Two thousand callers at once while Salesforce is down: each gets its 202 in time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.stack import Stack
from tests.conftest import PATIENT
from tests.slow.chaos.audit import locate_in_stack
from tests.slow.chaos.requests import plain_lead

CALLERS = 64
NUMBERS = range(2_000)
LEAST_RECORDS_A_CALL = 100


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_burst_during_an_outage_is_queued_in_time_and_delivered_in_few_calls() -> None:
    limits = {"ThrottleRate": "10000", "ThrottleBurst": "5000"}
    with Stack(parameters={**PATIENT, **limits}, poll=False) as stack:
        assert not stack.tick().failed
        budget = float(stack.function_environment("create_lead")["RESPONSE_BUDGET_SECONDS"])

        def send(number: int) -> tuple[int, float]:
            request, begun = plain_lead(number), time.monotonic()
            response = stack.request("POST", request.path, request.content, headers=request.headers)
            return response.status, time.monotonic() - begun

        with stack.outage(), ThreadPoolExecutor(CALLERS) as pool:
            responses = list(pool.map(send, NUMBERS))

        slowest = max(seconds for _, seconds in responses)
        assert {status for status, _ in responses} == {202}
        assert slowest < budget
        assert locate_in_stack(stack).waiting == set(NUMBERS)

        before = stack.org.journal.count("(POST|GET) /(sobjects|composite|query)")
        stack.drain(seconds=90)
        calls = stack.org.journal.count("(POST|GET) /(sobjects|composite|query)") - before

        seen = locate_in_stack(stack)
        print(f"\nBurst: the slowest 202 after {slowest:.2f} s; delivered by {calls} API calls")
        assert seen.live.keys() == set(NUMBERS)
        assert not seen.twice and stack.rejected() == []
        assert calls <= len(NUMBERS) / LEAST_RECORDS_A_CALL
