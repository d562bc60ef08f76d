"""The local event source mapping: batches, partial failures, crashes; and the schedule."""

from __future__ import annotations

import json
import time

import pytest

from sandbox.stack import Stack

from .conftest import throwaway_stack, wait_for


def send(stack: Stack, *bodies: str) -> None:
    for start in range(0, len(bodies), 10):
        response = stack.client("sqs").send_message_batch(
            QueueUrl=stack.outbox_url,
            Entries=[
                {"Id": str(number), "MessageBody": one}
                for number, one in enumerate(bodies[start : start + 10])
            ],
        )
        assert not response.get("Failed")


def test_only_what_the_function_names_stays_in_the_queue(stack: Stack) -> None:
    send(stack, "a", "keep", "c", "keep")
    delivery = stack.deliver_once()
    assert delivery.deleted == 2
    assert len(delivery.kept) == 2
    assert stack.waiting() == 2
    assert stack.deliver_once().received == 0, "what stays is hidden for a while"
    assert stack.let_time_pass() == 2
    assert stack.deliver_once().received == 2


def test_a_function_that_raises_keeps_the_whole_batch(stack: Stack) -> None:
    send(stack, "a", "raise", "c")
    delivery = stack.deliver_once()
    assert (delivery.received, delivery.deleted) == (3, 0)
    assert stack.waiting() == 3


def test_a_batch_is_at_most_as_large_as_the_template_says(stack: Stack) -> None:
    send(stack, *("x" for _ in range(230)))
    assert [stack.deliver_once().received for _ in range(3)] == [200, 30, 0]


def test_a_batch_ends_before_its_event_is_too_large_for_lambda(stack: Stack) -> None:
    for _ in range(10):
        stack.client("sqs").send_message(QueueUrl=stack.outbox_url, MessageBody="x" * 1_000_000)
    received = []
    while stack.waiting():
        received.append(stack.deliver_once().received)
    assert sum(received) == 10
    assert max(received) < 7


def test_a_record_has_what_sqs_tells(stack: Stack) -> None:
    send(stack, "show")
    stack.deliver_once()
    stack.let_time_pass()
    stack.deliver_once()
    shown = [line for line in stack.logs("deliver").splitlines() if line.startswith("{")]
    record = json.loads(shown[-1])
    assert record["body"] == "show"
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"].endswith(stack.outbox_url.rsplit("/", 1)[-1])
    assert record["attributes"]["ApproximateReceiveCount"] == "2"
    assert abs(int(record["attributes"]["SentTimestamp"]) / 1000 - time.time()) < 60
    assert record["receiptHandle"]
    assert record["messageId"]


def test_a_killed_function_keeps_its_batch() -> None:
    with throwaway_stack(poll=True, window=0.1) as stack:
        send(stack, "sleep", "b")
        wait_for(lambda: stack.functions["deliver"].busy)
        time.sleep(0.3)
        assert stack.kill("deliver") == 1
        stack.poller.pause()
        assert stack.waiting() == 2


def test_the_background_poller_delivers_by_itself_and_can_be_paused() -> None:
    with throwaway_stack(poll=True, window=0.1) as stack:
        send(stack, *("x" for _ in range(25)))
        wait_for(lambda: not stack.waiting())
        assert stack.waiting() == 0
        stack.poller.pause()
        send(stack, "later")
        time.sleep(0.6)
        assert stack.waiting() == 1
        stack.poller.start()
        wait_for(lambda: not stack.waiting())
        assert stack.waiting() == 0


def test_what_was_received_too_often_moves_to_rejected_with_its_age() -> None:
    with throwaway_stack() as stack:
        policy = {
            "deadLetterTargetArn": stack.aws.queues.queue(stack.rejected_url).arn,
            "maxReceiveCount": 2,
        }
        sqs = stack.client("sqs")
        sqs.set_queue_attributes(
            QueueUrl=stack.outbox_url, Attributes={"RedrivePolicy": json.dumps(policy)}
        )
        send(stack, '{"poison": true}')
        stack.age_outbox(3600)
        for _ in range(3):
            sqs.receive_message(QueueUrl=stack.outbox_url)
            stack.let_time_pass()
        assert stack.waiting() == 0
        assert stack.rejected() == [{"poison": True}]
        (message,) = sqs.receive_message(QueueUrl=stack.rejected_url, AttributeNames=["All"])[
            "Messages"
        ]
        age = time.time() - int(message["Attributes"]["SentTimestamp"]) / 1000
        assert 3500 < age < 3700


def test_the_schedule_sends_eventbridge_s_event(stack: Stack) -> None:
    outcome = stack.tick()
    event = json.loads(outcome.json()["body"])["event"]
    assert event["detail-type"] == "Scheduled Event"
    assert event["source"] == "aws.events"
    assert event["detail"] == {}


def test_a_rule_that_is_disabled_fires_nothing_until_it_is_enabled() -> None:
    with throwaway_stack() as stack:
        events, schedule = stack.client("events"), stack.schedule
        rules = events.list_rules(NamePrefix=stack.stack_name)["Rules"]
        assert [one["Name"] for one in rules] == [schedule.rule]
        events.disable_rule(Name=schedule.rule)
        assert schedule.fire() is None
        with pytest.raises(LookupError):
            stack.tick()
        assert stack.functions["refresh_token"].invocations == 0
        events.enable_rule(Name=schedule.rule)
        assert schedule.fire() is not None
        events.remove_targets(Rule=schedule.rule, Ids=["RefreshTokenScheduleLambdaTarget"])
        events.delete_rule(Name=schedule.rule)
        assert schedule.fire() is None


def test_a_throttled_function_gets_its_batch_later(stack: Stack) -> None:
    send(stack, "a", "b")
    with stack.account_used_up():
        delivery = stack.deliver_once()
    assert (delivery.received, delivery.deleted) == (2, 0)
    assert stack.waiting() == 2
    stack.let_time_pass()
    assert stack.deliver_once().deleted == 2


def test_the_poller_waits_for_a_function_that_is_throttled() -> None:
    with throwaway_stack(poll=True) as stack:
        deliver = stack.functions["deliver"]
        with stack.account_used_up():
            send(stack, "a")
            wait_for(lambda: deliver.throttles)
            assert (deliver.invocations, stack.waiting()) == (0, 1)
        wait_for(lambda: not stack.waiting())
        assert deliver.invocations == 1, "the same batch, without waiting for its visibility"
        assert stack.waiting() == 0
