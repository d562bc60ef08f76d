"""Each function killed between any two of its steps: nothing is lost, nothing made twice.

Each test begins with a kill after the first step and goes on until the function ends alive, so that
no step is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from sandbox.org.sample import CLIENT_ID
from sandbox.stack import Stack
from tests.slow.chaos.audit import Findings, locate_in_stack
from tests.slow.chaos.callers import ACCEPTED, RequestLog
from tests.slow.chaos.credentials import kill_refreshes, steps
from tests.slow.chaos.requests import REFUSE_ME, RecordRequest, plain_lead, set_rules
from tests.stacks import empty_queues

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with Stack(poll=False, processes=1) as stack:
        set_rules(stack.org)
        stack.org.oauth.apps[CLIENT_ID].rotation = True
        yield stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    running.org.trouble.clear()
    running.org.forget_records()
    empty_queues(running)
    assert not running.tick().failed
    yield running
    for function in running.functions.values():
        function.kill_after = None
    running.aws.heal()


def a_lead(stack: Stack, number: int) -> RecordRequest:
    """With an expired session."""
    stack.org.oauth.expire_sessions()
    return plain_lead(number)


def a_refused_lead(stack: Stack, number: int) -> RecordRequest:
    """It is kept in Rejected: the look-up before that is a step too."""
    return replace(plain_lead(number, text=REFUSE_ME), code="FIELD_CUSTOM_VALIDATION_EXCEPTION")


def a_case(stack: Stack, number: int) -> RecordRequest:
    """On locked rows."""
    stack.org.trouble.add(area="rest", error="UNABLE_TO_LOCK_ROW")
    body = {"Subject": "Broken", "Description": f"#{number}#"}
    return replace(plain_lead(number), path="/cases", object="Case", body=body)


@pytest.mark.parametrize("make", [a_lead, a_refused_lead, a_case])
def test_a_caller_whose_function_dies_at_any_step_repeats_and_is_served_once(
    stack: Stack, make: Callable[[Stack, int], RecordRequest]
) -> None:
    log, findings = RequestLog(), Findings()
    for number, step in enumerate(steps()):
        sent = make(stack, number)
        function = stack.functions[f"create_{sent.object.lower()}"]
        function.recycle()
        function.kill_after = lambda step=step: step
        died = stack.request("POST", sent.path, sent.content, headers=sent.headers)
        function.kill_after = None
        if died.status in ACCEPTED:
            break
        assert died.status == 502  # what API Gateway returns when a function dies
        again = stack.request("POST", sent.path, sent.content, headers=sent.headers)
        assert log.add(sent, again) in ACCEPTED
        stack.org.trouble.clear()
    else:
        pytest.fail("it always dies")

    stack.org.trouble.clear()
    assert number >= 2
    stack.drain()
    findings.check_end(log, locate_in_stack(stack), removed=set(), aged=set())
    assert findings.all == []
    assert log.accepted().keys() == set(range(number))


def test_a_delivery_that_dies_at_any_step_loses_nothing_and_doubles_nothing(stack: Stack) -> None:
    """With everything in it: an expired session, a look-up, halving, locks and a refusal."""
    sqs, function = stack.client("sqs"), stack.functions["deliver"]
    good: set[int] = set()
    bad: set[int] = set()
    for deaths, step in enumerate(steps()):
        numbers = [deaths * 6 + n for n in range(6)]
        requests = [plain_lead(number) for number in numbers[:4]]
        requests.append(plain_lead(numbers[4], text=REFUSE_ME))
        unknown = plain_lead(numbers[5])
        requests.append(replace(unknown, body={**unknown.body, "Nope__c": "x"}))
        good |= set(numbers[:4])
        bad |= set(numbers[4:])
        for request in requests:
            sqs.send_message(QueueUrl=stack.outbox_url, MessageBody=request.envelope)
        stack.age_outbox(660)
        stack.org.oauth.expire_sessions()
        stack.org.trouble.add(area="rest", error="UNABLE_TO_LOCK_ROW", share=0.3, times=2)
        function.recycle()
        function.kill_after = lambda step=step: step
        crashes = function.crashes
        stack.let_time_pass()
        stack.deliver_once()
        function.kill_after = None
        stack.org.trouble.clear()
        findings = Findings()
        findings.check_promises(locate_in_stack(stack), good | bad)
        assert findings.all == [], f"after step {step}"
        if function.crashes == crashes:
            break
        stack.drain()
    else:
        pytest.fail("it always dies")

    assert deaths >= 8
    stack.drain()
    seen = locate_in_stack(stack)
    assert (seen.live.keys(), seen.rejected.keys()) == (good, bad)
    assert not seen.twice


def test_a_refresh_that_dies_at_any_step_disconnects_in_one_window_only(stack: Stack) -> None:
    watch, deaths = kill_refreshes(stack)

    assert watch.violations == []
    assert deaths >= 10
    assert 1 <= watch.in_the_window <= 2
    assert not stack.tick().failed
    assert stack.request("POST", "/leads", {"LastName": "Okafor"}).status == 201
