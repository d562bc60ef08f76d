"""Goes through a whole queue: every message once, in parallel, and made visible again at the end.

SQS gives ten messages a request and hides them for a while. A sweep hides them for longer than it
should take, remembers what it has seen, and makes visible again what it did not remove. If the
program is killed, SQS makes them visible when that time is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from botocore.client import BaseClient

SLICE = 10
"""Messages in one request, SQS's own limit."""

SLICE_BYTES = 1_000_000
"""Bytes of all bodies in one SendMessageBatch; SQS allows 1 MiB."""

WORKERS = 4
LISTEN_SECONDS = 1
"""Long polling reaches all of SQS's servers, so that an empty response means an empty queue."""

SEND_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message that was received. Its body is not in `repr`: it contains personal data."""

    id: str
    receipt: str = field(repr=False)
    body: str = field(repr=False)
    sent_ms: int
    """When it was sent (milliseconds since the epoch, SQS's clock)."""
    receives: int


COUNTED = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class Counts(NamedTuple):
    visible: int = 0
    hidden: int = 0
    """Received by somebody, and not visible yet."""
    delayed: int = 0

    @property
    def total(self) -> int:
        return sum(self)


class Stopped(Exception):
    """A sweep was interrupted, between two slices."""


class Queue:
    """One SQS queue. `listen_seconds` 0 is for an SQS with one server, like the local stack's."""

    def __init__(self, sqs: BaseClient, url: str, *, listen_seconds: int = LISTEN_SECONDS) -> None:
        self._sqs = sqs
        self.url = url
        self.listen_seconds = listen_seconds

    def counts(self) -> Counts:
        return self._attributes()[0]

    def clock(self) -> float:
        """SQS's own time, in seconds since the epoch."""
        return self._attributes()[1] / 1000

    def _attributes(self) -> tuple[Counts, int]:
        """The counts, and SQS's own time in milliseconds."""
        response = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=list(COUNTED))
        found = (int(response["Attributes"][name]) for name in COUNTED)
        return Counts(*found), _clock(response)

    def send(self, bodies: Sequence[str]) -> list[str]:
        """Send up to ten bodies; for each the error's code, or "" if it was sent.

        What failed on SQS's side is sent again a few times. Raises what boto3 raises if a whole
        request fails.
        """
        failures = [""] * len(bodies)
        left = list(range(len(bodies)))
        for attempt in range(SEND_ATTEMPTS):
            if left and attempt:
                time.sleep(0.2 * 2**attempt)
            again = []
            for numbers in _by_size(left, bodies):
                response = self._sqs.send_message_batch(
                    QueueUrl=self.url,
                    Entries=[{"Id": str(n), "MessageBody": bodies[n]} for n in numbers],
                )
                sent = {int(entry["Id"]) for entry in response.get("Successful", [])}
                for number in numbers:
                    failures[number] = "" if number in sent else "NoAnswer"
                for entry in response.get("Failed", []):
                    failures[int(entry["Id"])] = entry.get("Code") or "Failed"
                    if not entry.get("SenderFault"):
                        again.append(int(entry["Id"]))
            left = again
        return failures

    def delete(self, messages: Sequence[Message]) -> list[str]:
        """Delete messages; the ids of those that could not be deleted."""
        return _in_slices(messages, partial(self._sqs.delete_message_batch, QueueUrl=self.url))

    def give_back(self, messages: Sequence[Message]) -> list[str]:
        """Make messages visible again; the ids of those that could not be (SQS does it when their
        time is over)."""
        call = partial(self._sqs.change_message_visibility_batch, QueueUrl=self.url)
        return _in_slices(messages, call, VisibilityTimeout=0)

    def sweep(self) -> Sweep:
        counts, clock = self._attributes()
        return Sweep(self, self._sqs, counts=counts, started_ms=clock)


class Sweep:
    def __init__(self, queue: Queue, sqs: BaseClient, *, counts: Counts, started_ms: int) -> None:
        self._queue = queue
        self._sqs = sqs
        self.counts = counts
        self.started_ms = started_ms
        """SQS's time at the start."""
        # Four workers need some tens of milliseconds for ten messages each; this is far more.
        self._hidden_seconds = min(60 + counts.visible // 50, 12 * 3600)
        self._held: dict[str, Message] = {}
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def run(self, handle: Callable[[list[Message]], Iterable[str]]) -> None:
        """Pass every message to `handle`, in slices of up to ten, from several threads.

        `handle` returns the ids of the messages that it removed. Raises what `handle` raises, and
        Stopped after Ctrl-C, when the slices in work are done.
        """
        with ThreadPoolExecutor(WORKERS) as pool:
            workers = [pool.submit(self._work, handle) for _ in range(WORKERS)]
            try:
                while True:
                    done, left = wait(workers, timeout=0.2, return_when=FIRST_EXCEPTION)
                    if not left or any(worker.exception() for worker in done):
                        break
            except KeyboardInterrupt:
                self._stop.set()
                wait(workers)
                raise Stopped from None
            finally:
                self._stop.set()
        for worker in workers:
            worker.result()

    def _work(self, handle: Callable[[list[Message]], Iterable[str]]) -> None:
        try:
            while not self._stop.is_set():
                received = self._receive()
                if not received:
                    return
                with self._lock:
                    fresh = [one for one in received if one.id not in self._seen]
                    self._seen.update(one.id for one in fresh)
                    # A message that comes again has a newer receipt, which is needed to release it.
                    # Bodies are forgotten: a queue may hold gigabytes.
                    self._held.update((one.id, replace(one, body="")) for one in received)
                if fresh:
                    removed = list(handle(fresh))
                    with self._lock:
                        for message_id in removed:
                            self._held.pop(message_id, None)
        except BaseException:
            self._stop.set()
            raise

    def _receive(self) -> list[Message]:
        response = self._sqs.receive_message(
            QueueUrl=self._queue.url,
            MaxNumberOfMessages=SLICE,
            VisibilityTimeout=self._hidden_seconds,
            WaitTimeSeconds=self._queue.listen_seconds,
            MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
        )
        return [
            Message(
                id=one["MessageId"],
                receipt=one["ReceiptHandle"],
                body=one["Body"],
                sent_ms=int(one.get("Attributes", {}).get("SentTimestamp", 0)),
                receives=int(one.get("Attributes", {}).get("ApproximateReceiveCount", 0)),
            )
            for one in response.get("Messages", [])
        ]

    def close(self) -> int:
        """Make visible again what was not removed; how many could not be."""
        with self._lock:
            held, self._held = list(self._held.values()), {}
        try:
            return len(self._queue.give_back(held))
        except (ClientError, BotoCoreError):
            return len(held)


def _in_slices(
    messages: Sequence[Message], call: Callable[..., dict[str, Any]], **more: int
) -> list[str]:
    """Call SQS for all messages; the ids of those for which it failed."""

    def one(part: Sequence[Message]) -> list[str]:
        left = {str(n): message for n, message in enumerate(part)}
        for _ in range(SEND_ATTEMPTS):
            if left:
                entries = [{"Id": n, "ReceiptHandle": m.receipt, **more} for n, m in left.items()]
                failed = call(Entries=entries).get("Failed", [])
                left = {entry["Id"]: left[entry["Id"]] for entry in failed}
        return [message.id for message in left.values()]

    parts = [messages[i : i + SLICE] for i in range(0, len(messages), SLICE)]
    if len(parts) < 2:
        return [failed for part in parts for failed in one(part)]
    with ThreadPoolExecutor(WORKERS) as pool:
        return [failed for found in pool.map(one, parts) for failed in found]


def _by_size(numbers: Sequence[int], bodies: Sequence[str]) -> list[list[int]]:
    """The numbers in groups that fit into one request."""
    groups: list[list[int]] = []
    size = 0
    for number in numbers:
        length = len(bodies[number].encode())
        if not groups or len(groups[-1]) == SLICE or size + length > SLICE_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(number)
        size += length
    return groups


def _clock(response: dict[str, Any]) -> int:
    """The server's time in a response, in milliseconds, rounded down to seconds."""
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return int(parsedate_to_datetime(date).timestamp() * 1000)
    except (TypeError, ValueError):
        return int(time.time() * 1000)
