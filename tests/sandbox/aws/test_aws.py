"""The local AWS: the template's resources, SQS's rules, and trouble on request."""

from __future__ import annotations

import threading
import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from sandbox.aws.throttling import SSM_READS_PER_SECOND, TokenBucket
from sandbox.stack import Stack


@pytest.fixture
def sqs(stack: Stack) -> Any:
    """A client that repeats nothing by itself."""
    return boto3.client(
        "sqs",
        endpoint_url=stack.aws_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_of_two_who_write_under_one_condition_only_one_succeeds(stack: Stack) -> None:
    table = stack.deployment.resource("RefreshLease")["Ref"]
    won: list[int] = []

    def take(number: int) -> None:
        try:
            stack.client("dynamodb").put_item(
                TableName=table,
                Item={"name": {"S": "lease"}, "holder": {"N": str(number)}},
                ConditionExpression="attribute_not_exists(#n)",
                ExpressionAttributeNames={"#n": "name"},
            )
            won.append(number)
        except ClientError:
            pass

    stack.client("dynamodb")
    threads = [threading.Thread(target=take, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    stack.client("dynamodb").delete_item(TableName=table, Key={"name": {"S": "lease"}})


def test_a_message_is_hidden_while_somebody_has_it(stack: Stack, sqs: Any) -> None:
    sqs.send_message(QueueUrl=stack.outbox_url, MessageBody="one")
    (message,) = sqs.receive_message(QueueUrl=stack.outbox_url)["Messages"]
    assert "Messages" not in sqs.receive_message(QueueUrl=stack.outbox_url)
    sqs.change_message_visibility(
        QueueUrl=stack.outbox_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
    )
    (again,) = sqs.receive_message(QueueUrl=stack.outbox_url)["Messages"]
    assert again["MessageId"] == message["MessageId"]
    sqs.delete_message(QueueUrl=stack.outbox_url, ReceiptHandle=again["ReceiptHandle"])
    assert stack.waiting() == 0


def test_a_long_poll_ends_when_a_message_comes(stack: Stack, sqs: Any) -> None:
    threading.Timer(
        0.4, lambda: sqs.send_message(QueueUrl=stack.outbox_url, MessageBody="late")
    ).start()
    began = time.monotonic()
    received = stack.client("sqs").receive_message(QueueUrl=stack.outbox_url, WaitTimeSeconds=10)
    assert received["Messages"][0]["Body"] == "late"
    assert 0.3 < time.monotonic() - began < 3


@pytest.mark.parametrize("character", ["\x00", "\x1f", "\ufffe", "\uffff"])
def test_characters_that_sqs_refuses_are_refused(stack: Stack, sqs: Any, character: str) -> None:
    with pytest.raises(ClientError) as error:
        sqs.send_message(QueueUrl=stack.outbox_url, MessageBody=f"a{character}b")
    assert code(error) == "InvalidMessageContents"
    reply = sqs.send_message_batch(
        QueueUrl=stack.outbox_url,
        Entries=[
            {"Id": "good", "MessageBody": "fine"},
            {"Id": "bad", "MessageBody": f"a{character}b"},
        ],
    )
    assert [one["Id"] for one in reply["Successful"]] == ["good"]
    assert [(one["Id"], one["SenderFault"]) for one in reply["Failed"]] == [("bad", True)]


def test_a_message_may_have_one_mebibyte_and_a_batch_no_more(stack: Stack, sqs: Any) -> None:
    sqs.send_message(QueueUrl=stack.outbox_url, MessageBody="x" * 1_048_576)
    with pytest.raises(ClientError):
        sqs.send_message(QueueUrl=stack.outbox_url, MessageBody="x" * 1_048_577)
    with pytest.raises(ClientError) as error:
        sqs.send_message_batch(
            QueueUrl=stack.outbox_url,
            Entries=[{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)],
        )
    assert code(error) == "AWS.SimpleQueueService.BatchRequestTooLong" or code(error) == (
        "BatchRequestTooLong"
    )


def test_what_is_not_in_flight_cannot_be_delayed(stack: Stack, sqs: Any) -> None:
    sqs.send_message(QueueUrl=stack.outbox_url, MessageBody="one")
    (message,) = sqs.receive_message(QueueUrl=stack.outbox_url)["Messages"]
    stack.let_time_pass()
    with pytest.raises(ClientError) as error:
        sqs.change_message_visibility(
            QueueUrl=stack.outbox_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=60
        )
    assert code(error) == "InvalidParameterValue"


def test_messages_come_twice_and_in_any_order_on_request(stack: Stack, sqs: Any) -> None:
    bodies = [str(number) for number in range(60)]
    for one in bodies:
        sqs.send_message(QueueUrl=stack.outbox_url, MessageBody=one)
    stack.aws.queues.misbehave(stack.outbox_url, twice=0.5, shuffled=True)
    received = []
    try:
        while messages := sqs.receive_message(
            QueueUrl=stack.outbox_url, MaxNumberOfMessages=10
        ).get("Messages"):
            received += [one["Body"] for one in messages]
    finally:
        stack.aws.queues.misbehave(stack.outbox_url)
    assert set(received) == set(bodies)
    assert len(received) > len(bodies)
    assert list(dict.fromkeys(received)) != bodies


def test_a_service_fails_as_often_as_its_fault_says(stack: Stack, sqs: Any) -> None:
    stack.aws.fail("sqs", "SendMessage", times=2, status=503, code="ServiceUnavailable")
    for _ in range(2):
        with pytest.raises(ClientError) as error:
            sqs.send_message(QueueUrl=stack.outbox_url, MessageBody="x")
        assert code(error) == "ServiceUnavailable"
    sqs.send_message(QueueUrl=stack.outbox_url, MessageBody="x")
    assert stack.waiting() == 1


def test_a_call_can_be_lost_before_or_after_it_was_done(stack: Stack, sqs: Any) -> None:
    stack.aws.fail("sqs", "SendMessage", times=1, effect="drop")
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        sqs.send_message(QueueUrl=stack.outbox_url, MessageBody="lost")
    assert stack.waiting() == 0
    stack.aws.fail("sqs", "SendMessage", times=1, effect="drop_after")
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        sqs.send_message(QueueUrl=stack.outbox_url, MessageBody="kept")
    assert stack.waiting() == 1


def test_a_part_of_a_batch_fails_on_request(stack: Stack, sqs: Any) -> None:
    stack.aws.fail("sqs", "SendMessageBatch", times=1, effect="partial")
    reply = sqs.send_message_batch(
        QueueUrl=stack.outbox_url,
        Entries=[{"Id": str(number), "MessageBody": "x"} for number in range(4)],
    )
    assert [one["Id"] for one in reply["Failed"]] == ["1", "3"]
    assert stack.waiting() == 2


def test_ssm_throttles_what_the_whole_account_reads(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS General Reference, "AWS Systems Manager endpoints and quotas": 40 a second for all three
    together. A machine that is slow does not read so fast, so the bucket here never fills."""
    assert SSM_READS_PER_SECOND == 40
    ssm = boto3.client(
        "ssm",
        endpoint_url=stack.aws_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    name = f"/{stack.stack_name}/read"
    ssm.put_parameter(Name=name, Value="a", Type="String")
    monkeypatch.setattr(stack.aws, "ssm_reads", TokenBucket(rate=0.001, burst=3))
    reads = (
        lambda: ssm.get_parameter(Name=name),
        lambda: ssm.get_parameters(Names=[name]),
        lambda: ssm.get_parameters_by_path(Path=f"/{stack.stack_name}"),
    )
    for read in reads:
        read()
    for read in reads:
        with pytest.raises(ClientError) as caught:
            read()
        assert code(caught) == "ThrottlingException"
    # What is no read has limits of its own, which are not simulated.
    ssm.put_parameter(Name=name, Value="b", Type="String", Overwrite=True)
    ssm.delete_parameter(Name=name)
