"""Two thousand callers at once while Salesforce is down: each gets its 202 in time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.stack import Response, Stack
from tests.conftest import PATIENT
from tests.slow.chaos.audit import locate_in_stack
from tests.slow.chaos.requests import RecordRequest, plain_leads

CALLERS = 64
REQUESTS = 2_000
LEAST_RECORDS_A_CALL = 100


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_burst_during_an_outage_is_queued_in_time_and_delivered_in_few_calls() -> None:
    limits = {"ThrottleRate": "10000", "ThrottleBurst": "5000"}
    with Stack(parameters={**PATIENT, **limits}, poll=False) as stack:
        assert not stack.tick().failed
        budget = float(stack.function_environment("create_lead")["RESPONSE_BUDGET_SECONDS"])
        requests = plain_leads(REQUESTS)

        def send(request: RecordRequest) -> tuple[Response, float]:
            begun = time.monotonic()
            response = stack.request("POST", request.path, request.content, headers=request.headers)
            return response, time.monotonic() - begun

        with stack.outage(), ThreadPoolExecutor(CALLERS) as pool:
            begun = time.monotonic()
            responses = list(pool.map(send, requests))
            burst_seconds = time.monotonic() - begun

        longest = max(seconds for _, seconds in responses)
        assert [(one.status, one.body) for one, _ in responses if one.status != 202] == []
        assert longest < budget
        assert len(locate_in_stack(stack).waiting) == REQUESTS

        before = stack.org.journal.count("(POST|GET) /(sobjects|composite|query)")
        begun = time.monotonic()
        stack.drain(seconds=90)
        drain_seconds = time.monotonic() - begun
        calls = stack.org.journal.count("(POST|GET) /(sobjects|composite|query)") - before

        seen = locate_in_stack(stack)
        print(
            f"\nBurst: {REQUESTS:,} x 202 in {burst_seconds:.1f} s, the slowest after "
            f"{longest:.2f} s; delivered in {drain_seconds:.1f} s by {calls} API calls"
        )
        assert set(seen.live) == {request.number for request in requests}
        assert not seen.made_twice and stack.rejected() == []
        assert calls <= REQUESTS / LEAST_RECORDS_A_CALL
