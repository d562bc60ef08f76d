"""Lambda's event source mapping for a queue: collects messages, invokes, deletes what is done.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.aws.endpoint import REGION
from sandbox.aws.functions import Outcome, Throttled
from tools.template import EventSource

SQS_BATCH = 10
"""Messages that SQS hands out, or deletes, in one call."""
BATCH_BYTES = 6_000_000
"""A batch ends before its event is larger than Lambda takes."""
IDLE_SECONDS = 0.25
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
"""How long a throttled function is left alone, longer each time. Lambda does not tell its own."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of one batch."""

    received: int
    deleted: int
    kept: tuple[str, ...] = ()
    """Ids of the messages that stay in the queue."""
    outcome: Outcome | None = field(default=None, repr=False)


class QueueMapping:
    """Feeds one function from one queue, in threads of its own or step by step.

    `window` is how many seconds a batch may be waited for, once its first message is there.
    """

    def __init__(
        self,
        source: EventSource,
        *,
        sqs: Any,
        queue_url: str,
        invoke: Callable[[bytes], Outcome],
        window: float,
    ) -> None:
        self._source = source
        self._sqs = sqs
        self._queue_url = queue_url
        self._invoke = invoke
        self._window = window
        self._hidden_seconds = 0
        self._stopped = threading.Event()
        self._running = threading.Event()
        self._threads: list[threading.Thread] = []
        self._step = threading.Lock()
        self._busy = 0
        self._count = threading.Lock()

    def begin(self) -> None:
        """Look at the queue, as Lambda does before it polls one. Raises ClientError."""
        queue = self._sqs.get_queue_attributes(
            QueueUrl=self._queue_url, AttributeNames=["VisibilityTimeout"]
        )
        self._hidden_seconds = int(queue["Attributes"]["VisibilityTimeout"])

    # In the background

    def start(self) -> None:
        """Poll from now on, with as many threads as the function may run at once."""
        self._running.set()
        if self._threads:
            return
        for number in range(min(self._source.concurrency, 8)):
            thread = threading.Thread(
                target=self._poll, name=f"{self._source.function}-{number}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def pause(self) -> None:
        """Receive nothing more until `start`; what was received is still delivered."""
        self._running.clear()
        until = time.monotonic() + 150
        while self._busy and time.monotonic() < until:
            time.sleep(0.01)

    def settle(self) -> None:
        """Wait until what was received is delivered, and go on."""
        if self._running.is_set():
            self.pause()
            self.start()

    def stop(self) -> None:
        """End the threads."""
        self._stopped.set()
        self._running.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def _poll(self) -> None:
        while not self._stopped.is_set():
            self._running.wait()
            if self._stopped.is_set():
                return
            try:
                delivery = self.deliver_once(window=self._window, patient=True)
            except Exception as error:
                if self._stopped.is_set():
                    return
                print(f"The queue's poller goes on after: {type(error).__name__}: {error}")
                self._stopped.wait(1)
                continue
            if delivery.received == 0:
                self._stopped.wait(IDLE_SECONDS)

    # Step by step

    def deliver_once(self, *, window: float = 0.0, patient: bool = False) -> Delivery:
        """Collect one batch, of what is visible now or within `window` seconds, and deliver it.

        A function that is throttled gets it again and again, if `patient`, for as long as the
        messages are hidden; then they come back by themselves.
        """
        with self._count:
            self._busy += 1
        try:
            messages = self._collect(window)
            if not messages:
                return Delivery(received=0, deleted=0)
            until = time.monotonic() + (self._hidden_seconds if patient else 0)
            return self._deliver(messages, until)
        finally:
            with self._count:
                self._busy -= 1

    def _collect(self, window: float) -> list[Mapping[str, Any]]:
        messages: list[Mapping[str, Any]] = []
        size = 0
        until = 0.0
        while len(messages) < self._source.batch_size and size < BATCH_BYTES:
            wanted = min(SQS_BATCH, self._source.batch_size - len(messages))
            received = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=wanted,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if received and not messages:
                until = time.monotonic() + window
            for number, message in enumerate(received):
                size += len(json.dumps(message))
                if messages and size > BATCH_BYTES:
                    self._put_back(received[number:])
                    break
                messages.append(message)
            if not received:
                if not messages or time.monotonic() >= until or self._stopped.is_set():
                    break
                time.sleep(min(0.05, window or 0.05))
        return messages

    def _put_back(self, messages: list[Mapping[str, Any]]) -> None:
        for message in messages:
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url,
                ReceiptHandle=message["ReceiptHandle"],
                VisibilityTimeout=0,
            )

    def _deliver(self, messages: list[Mapping[str, Any]], until: float) -> Delivery:
        event = json.dumps({"Records": [self._record(one) for one in messages]}).encode()
        outcome = self._invoke_until(event, until)
        if outcome is None:
            return Delivery(
                received=len(messages),
                deleted=0,
                kept=tuple(one["MessageId"] for one in messages),
            )
        kept = self._kept(outcome, {one["MessageId"] for one in messages})
        done = [one for one in messages if one["MessageId"] not in kept]
        for start in range(0, len(done), SQS_BATCH):
            self._sqs.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]}
                    for number, one in enumerate(done[start : start + SQS_BATCH])
                ],
            )
        return Delivery(
            received=len(messages), deleted=len(done), kept=tuple(sorted(kept)), outcome=outcome
        )

    def _invoke_until(self, event: bytes, until: float) -> Outcome | None:
        """The outcome; None if there was no concurrency for it until then."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._invoke(event)
            except Throttled:
                if time.monotonic() + pause > until or self._stopped.wait(pause):
                    return None
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _kept(self, outcome: Outcome, ids: set[str]) -> set[str]:
        """Which messages stay, by Lambda's rules: all of them if the result is not understood."""
        if outcome.failed:
            return ids
        if not self._source.partial_failures:
            return set()
        result = outcome.json()
        if not result:
            return set()
        try:
            failures = result.get("batchItemFailures") or []
            kept = {failure["itemIdentifier"] for failure in failures}
        except (AttributeError, KeyError, TypeError):
            return ids
        return kept if kept <= ids else ids

    def _record(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event"""
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": dict(message.get("Attributes", {})),
            "messageAttributes": {
                name: {
                    "stringValue": one.get("StringValue"),
                    "stringListValues": [],
                    "binaryListValues": [],
                    "dataType": one["DataType"],
                }
                for name, one in message.get("MessageAttributes", {}).items()
            },
            "md5OfBody": message.get("MD5OfBody"),
            "eventSource": "aws:sqs",
            "eventSourceARN": self._source.queue,
            "awsRegion": REGION,
        }
