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
from tests.slow.chaos.kills import kill_refreshes, steps
from tests.slow.chaos.request_log import ACCEPTED, RequestLog
from tests.slow.chaos.requests import REFUSE_ME, RecordRequest, set_rules
from tests.stacks import empty_queues


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(poll=False, processes=1) as stack:
        set_rules(stack.org)
        stack.org.oauth.apps[CLIENT_ID].rotation = True
        yield stack


@pytest.fixture(autouse=True)
def _quiet(stack: Stack) -> Iterator[None]:
    stack.org.trouble.clear()
    stack.org.forget_records()
    empty_queues(stack)
    assert not stack.tick().failed
    yield
    for function in stack.functions.values():
        function.kill_after = None
    stack.aws.heal()


def numbered(request: RecordRequest, number: int, *, text: str = "") -> RecordRequest:
    return replace(
        request,
        number=number,
        headers={"Idempotency-Key": f"request-{number}"},
        body={**request.body, "Description": f"#{number}# {text}"},
    )


LEAD = RecordRequest(number=0, path="/leads", headers={}, body={"LastName": "Okafor"})
CASE = RecordRequest(number=0, path="/cases", headers={}, body={"Subject": "Broken"}, object="Case")


def refused_by_salesforce(stack: Stack) -> None:
    """The record is kept in Rejected: the look-up before that is a step too."""


def cold_and_expired(stack: Stack) -> None:
    stack.org.oauth.expire_sessions()


def locked(stack: Stack) -> None:
    stack.org.trouble.add(area="rest", error="UNABLE_TO_LOCK_ROW")


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "name, record, text, prepare",
    [
        ("create_lead", LEAD, "", cold_and_expired),
        ("create_lead", LEAD, REFUSE_ME, refused_by_salesforce),
        ("create_case", CASE, "", locked),
    ],
    ids=["a lead with an expired session", "a lead that is refused", "a case on locked rows"],
)
def test_a_caller_whose_function_dies_at_any_step_repeats_and_is_served_once(
    stack: Stack, name: str, record: RecordRequest, text: str, prepare: Callable[[Stack], None]
) -> None:
    function, log, findings = stack.functions[name], RequestLog(), Findings()
    deaths = 0
    for number, step in enumerate(steps(), 1):
        sent = numbered(record, number, text=text)
        prepare(stack)
        function.recycle()
        function.kill_after = lambda step=step: step
        died = stack.request("POST", sent.path, sent.content, headers=sent.headers)
        function.kill_after = None
        if died.status in ACCEPTED:
            break
        deaths += 1
        assert died.status == 502  # what API Gateway returns when a function dies
        again = stack.request("POST", sent.path, sent.content, headers=sent.headers)
        assert log.add(sent, again) in ACCEPTED
        stack.org.trouble.clear()
    else:
        pytest.fail("it always dies")

    stack.org.trouble.clear()
    assert deaths >= 2
    stack.drain()
    seen = locate_in_stack(stack)
    findings.check_promises(seen, log.accepted())
    assert findings.all == []
    assert len(log.accepted()) == deaths
    place = seen.rejected if text else seen.live
    assert set(log.accepted()) <= set(place)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_delivery_that_dies_at_any_step_loses_nothing_and_doubles_nothing(stack: Stack) -> None:
    """With everything in it: an expired session, a look-up, halving, locks and a refusal."""
    sqs, function = stack.client("sqs"), stack.functions["deliver"]
    deaths = 0
    sent: set[int] = set()
    for round_number, step in enumerate(steps()):
        first = 1 + round_number * 6
        requests = [numbered(LEAD, first + n) for n in range(4)]
        requests.append(numbered(LEAD, first + 4, text=REFUSE_ME))
        unknown = numbered(LEAD, first + 5)
        requests.append(replace(unknown, headers={}, body={**unknown.body, "Nope__c": "x"}))
        for request in requests:
            sqs.send_message(QueueUrl=stack.outbox_url, MessageBody=request.envelope)
            sent.add(request.number)
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
        seen = locate_in_stack(stack)
        assert sent <= seen.kept, f"lost after step {step}: {sorted(sent - seen.kept)}"
        assert not seen.made_twice and not seen.keys_twice, f"twice after step {step}"
        if function.crashes == crashes:
            break
        deaths += 1
        stack.drain()
    else:
        pytest.fail("it always dies")

    assert deaths >= 8
    stack.drain()
    seen = locate_in_stack(stack)
    good = {number for number in sent if number % 6 not in (5, 0)}
    assert set(seen.live) == good
    assert set(seen.rejected) == sent - good
    assert not seen.made_twice


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_refresh_that_dies_at_any_step_disconnects_in_one_window_only(stack: Stack) -> None:
    watch, deaths = kill_refreshes(stack)

    assert watch.violations == []
    assert deaths >= 10
    assert 1 <= watch.in_the_window <= 2
    assert not stack.tick().failed
    assert stack.request("POST", "/leads", {"LastName": "Okafor"}).status == 201
