"""SQS: standard queues behind the JSON protocol that boto3 speaks.

moto has queues too, but with thousands of messages each call there looks at all of them, and a
message's twelve hours count from its sending. What is here follows the API reference
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/): visibility, delays,
redrive, retention, limits of size and of characters. On request messages come twice and in any
order, as those of standard queues may.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name

LONGEST_MESSAGE = 1_048_576
"""Bytes of a message with its attributes, and of a batch of them."""
LONGEST_INVISIBILITY = 43_200
"""Seconds since the receive."""
BATCH = 10

_NOT_ALLOWED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Reply = tuple[int, dict[str, Any]]


class Refusal(Exception):
    """SQS's response to a call that it refuses."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Message:
    """One message. Times are seconds since the epoch."""

    id: str
    body: str
    attributes: Mapping[str, Any]
    sent_at: float
    visible_at: float
    receives: int = 0
    first_received_at: float = 0.0
    received_at: float = 0.0
    in_flight: bool = False
    source_arn: str | None = None
    handles: list[str] = field(default_factory=list)


class Queue:
    """One standard queue. All methods are for one thread at a time: hold `lock`."""

    def __init__(self, name: str, arn: str, attributes: Mapping[str, str]) -> None:
        self.name = name
        self.arn = arn
        self.attributes = dict(attributes)
        self.created_at = time.time()
        self.lock = threading.Condition()
        self.messages: dict[str, Message] = {}
        self._by_handle: dict[str, Message] = {}
        # (visible at, number, message); entries that are no longer true are skipped when they come.
        self._heap: list[tuple[float, int, Message]] = []
        self._number = 0
        self.twice = 0.0
        self.shuffled = False

    def number_of(self, name: str, default: int) -> int:
        return int(self.attributes.get(name, default))

    def put(self, message: Message) -> None:
        self.messages[message.id] = message
        self.schedule(message, message.visible_at)
        self.lock.notify()

    def schedule(self, message: Message, at: float) -> None:
        message.visible_at = at
        self._number += 1
        heapq.heappush(self._heap, (at, self._number, message))

    def take(self, most: int, visibility: float, overflow: Queue | None) -> list[Message]:
        """Receive up to `most` messages; what was received too often goes to `overflow`."""
        now = time.time()
        redrive = json.loads(self.attributes.get("RedrivePolicy") or "{}")
        often = int(redrive.get("maxReceiveCount", 0)) if overflow else 0
        retention = self.number_of("MessageRetentionPeriod", 345_600)
        taken: list[Message] = []
        again: list[Message] = []
        candidates = self._visible(now, most * 5 if self.shuffled else most)
        while candidates and len(taken) < most:
            message = candidates.pop()
            if now - message.sent_at > retention:
                self.drop(message)
            elif often and message.receives >= often and overflow:
                self.drop(message)
                with overflow.lock:
                    message.source_arn = self.arn
                    message.in_flight = False
                    message.visible_at = now
                    message.handles.clear()
                    overflow.put(message)
            else:
                message.receives += 1
                message.received_at = now
                message.first_received_at = message.first_received_at or now
                handle = uuid.uuid4().hex
                message.handles.append(handle)
                self._by_handle[handle] = message
                if self.twice and random.random() < self.twice:
                    again.append(message)
                else:
                    message.in_flight = visibility > 0
                    self.schedule(message, now + visibility)
                taken.append(message)
            if not candidates and len(taken) < most:
                candidates = self._visible(now, most - len(taken))
        for message in (*candidates, *again):
            self.schedule(message, now)
        return taken

    def _visible(self, now: float, most: int) -> list[Message]:
        """The next messages that may be received, last one first, taken out of the heap."""
        found: list[Message] = []
        while self._heap and len(found) < most and self._heap[0][0] <= now:
            at, _, message = heapq.heappop(self._heap)
            if self.messages.get(message.id) is message and message.visible_at == at:
                message.in_flight = False
                found.append(message)
        if self.shuffled:
            random.shuffle(found)
        found.reverse()
        return found

    def drop(self, message: Message) -> None:
        self.messages.pop(message.id, None)
        for handle in message.handles:
            self._by_handle.pop(handle, None)

    def by_handle(self, handle: str) -> Message | None:
        return self._by_handle.get(handle)

    def purge(self) -> None:
        for message in list(self.messages.values()):
            self.drop(message)
        self._heap.clear()

    def counts(self) -> dict[str, int]:
        now = time.time()
        hidden = [one for one in self.messages.values() if one.visible_at > now]
        flying = sum(one.in_flight for one in hidden)
        return {
            "ApproximateNumberOfMessages": len(self.messages) - len(hidden),
            "ApproximateNumberOfMessagesNotVisible": flying,
            "ApproximateNumberOfMessagesDelayed": len(hidden) - flying,
        }


class Queues:
    """The service: every queue of one account and region. `base_url` is the endpoint's own."""

    def __init__(self, *, region: str, account: str, base_url: Callable[[], str]) -> None:
        self._region = region
        self._account = account
        self._base_url = base_url
        self._queues: dict[str, Queue] = {}

    # For people and tests

    def queue(self, url_or_name: str) -> Queue:
        """A queue by its URL, ARN or name. Raises Refusal."""
        try:
            return self._queues[re.split("[/:]", url_or_name)[-1]]
        except KeyError as error:
            raise Refusal("QueueDoesNotExist", "The specified queue does not exist.") from error

    def let_time_pass(self, url: str) -> int:
        """Make all that is in flight or delayed visible now; tells how many messages that were."""
        queue = self.queue(url)
        with queue.lock:
            now = time.time()
            hidden = [one for one in queue.messages.values() if one.visible_at > now]
            for message in hidden:
                queue.schedule(message, now)
            queue.lock.notify_all()
        return len(hidden)

    def age(self, url: str, seconds: float) -> int:
        """Make every message look as if it had been sent so much earlier."""
        queue = self.queue(url)
        with queue.lock:
            for message in queue.messages.values():
                message.sent_at -= seconds
            return len(queue.messages)

    def misbehave(self, url: str, *, twice: float = 0.0, shuffled: bool = False) -> None:
        """Hand out this share of receives a second time, and everything in any order."""
        queue = self.queue(url)
        queue.twice = twice
        queue.shuffled = shuffled

    def bodies(self, url: str) -> list[str]:
        """What is in a queue, without receiving it."""
        queue = self.queue(url)
        with queue.lock:
            return [one.body for one in queue.messages.values()]

    # The API

    def handle(
        self, operation: str, parameters: Mapping[str, Any], *, partial: bool = False
    ) -> Reply:
        """Carry out one call. Returns its status and JSON. `partial` fails every other entry."""
        method = getattr(self, "_" + xform_name(operation), None)
        try:
            if method is None:
                raise Refusal("InvalidAction", f"The sandbox does not know {operation}.")
            if operation.endswith("Batch"):
                return 200, self._batch(method, parameters, partial=partial)
            return 200, method(parameters)
        except Refusal as refusal:
            return 400, {
                "__type": f"com.amazonaws.sqs#{refusal.code}",
                "message": str(refusal),
            }

    def _batch(
        self,
        method: Callable[[Queue, Mapping[str, Any]], dict[str, Any]],
        parameters: Mapping[str, Any],
        *,
        partial: bool,
    ) -> dict[str, Any]:
        queue = self.queue(parameters["QueueUrl"])
        entries = parameters.get("Entries") or []
        if not entries:
            raise Refusal("EmptyBatchRequest", "There should be at least one entry.")
        if len(entries) > BATCH:
            raise Refusal("TooManyEntriesInBatchRequest", f"Maximum number of entries is {BATCH}.")
        if len({one.get("Id") for one in entries}) < len(entries):
            raise Refusal("BatchEntryIdsNotDistinct", "Two entries have the same id.")
        if sum(_size(one) for one in entries if "MessageBody" in one) > LONGEST_MESSAGE:
            raise Refusal(
                "BatchRequestTooLong",
                f"Batch requests cannot be longer than {LONGEST_MESSAGE} bytes.",
            )
        response: dict[str, list[dict[str, Any]]] = {"Successful": [], "Failed": []}
        for number, entry in enumerate(entries):
            try:
                if partial and number % 2:
                    raise Refusal("InternalError", "A fault set in the sandbox.")
                response["Successful"].append({"Id": entry["Id"], **method(queue, entry)})
            except Refusal as refusal:
                response["Failed"].append(
                    {
                        "Id": entry["Id"],
                        "Code": refusal.code,
                        "Message": str(refusal),
                        "SenderFault": refusal.code != "InternalError",
                    }
                )
        return response

    def _create_queue(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        name = parameters["QueueName"]
        arn = f"arn:aws:sqs:{self._region}:{self._account}:{name}"
        if name not in self._queues:
            self._queues[name] = Queue(name, arn, parameters.get("Attributes") or {})
        return {"QueueUrl": f"{self._base_url()}/{self._account}/{name}"}

    def _get_queue_url(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        queue = self.queue(parameters["QueueName"])
        return {"QueueUrl": f"{self._base_url()}/{self._account}/{queue.name}"}

    def _list_queues(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        prefix = parameters.get("QueueNamePrefix", "")
        names = [name for name in self._queues if name.startswith(prefix)]
        return {"QueueUrls": [f"{self._base_url()}/{self._account}/{name}" for name in names]}

    def _delete_queue(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        self._queues.pop(self.queue(parameters["QueueUrl"]).name)
        return {}

    def _purge_queue(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        queue = self.queue(parameters["QueueUrl"])
        with queue.lock:
            queue.purge()
        return {}

    def _set_queue_attributes(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        self.queue(parameters["QueueUrl"]).attributes.update(parameters["Attributes"])
        return {}

    def _get_queue_attributes(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        queue = self.queue(parameters["QueueUrl"])
        with queue.lock:
            all_of_them = {
                **queue.attributes,
                **{name: str(count) for name, count in queue.counts().items()},
                "QueueArn": queue.arn,
                "CreatedTimestamp": str(int(queue.created_at)),
            }
        wanted = parameters.get("AttributeNames") or []
        return {
            "Attributes": {
                name: one for name, one in all_of_them.items() if "All" in wanted or name in wanted
            }
        }

    def _send_message(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return self._send(self.queue(parameters["QueueUrl"]), parameters)

    def _send_message_batch(self, queue: Queue, entry: Mapping[str, Any]) -> dict[str, Any]:
        return self._send(queue, entry)

    def _send(self, queue: Queue, parameters: Mapping[str, Any]) -> dict[str, Any]:
        body = parameters.get("MessageBody")
        if not isinstance(body, str) or not body:
            raise Refusal("MissingParameter", "The request must contain the parameter MessageBody.")
        if _NOT_ALLOWED.search(body):
            raise Refusal(
                "InvalidMessageContents", "Invalid characters were found in the message body."
            )
        if _size(parameters) > LONGEST_MESSAGE:
            raise Refusal(
                "InvalidParameterValue",
                f"One or more parameters are invalid. Reason: Message must be shorter than "
                f"{LONGEST_MESSAGE} bytes.",
            )
        now = time.time()
        delay = float(parameters.get("DelaySeconds", queue.number_of("DelaySeconds", 0)) or 0)
        if not 0 <= delay <= 900:
            raise Refusal("InvalidParameterValue", "DelaySeconds must be between 0 and 900.")
        message = Message(
            id=str(uuid.uuid4()),
            body=body,
            attributes=parameters.get("MessageAttributes") or {},
            sent_at=now,
            visible_at=now + delay,
        )
        with queue.lock:
            queue.put(message)
        return {"MessageId": message.id, "MD5OfMessageBody": _md5(body)}

    def _receive_message(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        queue = self.queue(parameters["QueueUrl"])
        most = int(parameters.get("MaxNumberOfMessages", 1))
        if not 1 <= most <= BATCH:
            raise Refusal("InvalidParameterValue", f"MaxNumberOfMessages must be 1 to {BATCH}.")
        visibility = float(
            parameters.get("VisibilityTimeout", queue.number_of("VisibilityTimeout", 30))
        )
        wait = float(
            parameters.get("WaitTimeSeconds", queue.number_of("ReceiveMessageWaitTimeSeconds", 0))
        )
        target = json.loads(queue.attributes.get("RedrivePolicy") or "{}").get(
            "deadLetterTargetArn"
        )
        overflow = self.queue(target) if target else None
        until = time.monotonic() + wait
        with queue.lock:
            while not (taken := queue.take(most, visibility, overflow)):
                left = until - time.monotonic()
                if left <= 0:
                    return {}
                # Woken by a new message; what becomes visible again is looked for.
                queue.lock.wait(min(left, 0.5))
            return {"Messages": [self._received(one, parameters) for one in taken]}

    def _received(self, message: Message, parameters: Mapping[str, Any]) -> dict[str, Any]:
        system = {
            "SenderId": self._account,
            "SentTimestamp": str(int(message.sent_at * 1000)),
            "ApproximateReceiveCount": str(message.receives),
            "ApproximateFirstReceiveTimestamp": str(int(message.first_received_at * 1000)),
        }
        if message.source_arn:
            system["DeadLetterQueueSourceArn"] = message.source_arn
        wanted = [
            *(parameters.get("AttributeNames") or []),
            *(parameters.get("MessageSystemAttributeNames") or []),
        ]
        response: dict[str, Any] = {
            "MessageId": message.id,
            "ReceiptHandle": message.handles[-1],
            "MD5OfBody": _md5(message.body),
            "Body": message.body,
        }
        if "All" not in wanted:
            system = {name: one for name, one in system.items() if name in wanted}
        if system:
            response["Attributes"] = system
        names = parameters.get("MessageAttributeNames") or []
        attributes = {
            name: one
            for name, one in message.attributes.items()
            if name in names or "All" in names or ".*" in names
        }
        if attributes:
            response["MessageAttributes"] = attributes
        return response

    def _delete_message(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return self._delete_message_batch(self.queue(parameters["QueueUrl"]), parameters)

    def _delete_message_batch(self, queue: Queue, entry: Mapping[str, Any]) -> dict[str, Any]:
        handle = str(entry.get("ReceiptHandle", ""))
        if not re.fullmatch("[0-9a-f]{32}", handle):
            raise Refusal("ReceiptHandleIsInvalid", f"The receipt handle {handle!r} is not valid.")
        with queue.lock:
            if message := queue.by_handle(handle):
                queue.drop(message)
        return {}

    def _change_message_visibility(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return self._change_message_visibility_batch(self.queue(parameters["QueueUrl"]), parameters)

    def _change_message_visibility_batch(
        self, queue: Queue, entry: Mapping[str, Any]
    ) -> dict[str, Any]:
        seconds = int(entry.get("VisibilityTimeout", 0))
        if not 0 <= seconds <= LONGEST_INVISIBILITY:
            raise Refusal("InvalidParameterValue", f"VisibilityTimeout {seconds} is invalid.")
        now = time.time()
        with queue.lock:
            message = queue.by_handle(str(entry.get("ReceiptHandle", "")))
            if message is None or message.visible_at <= now or not message.in_flight:
                raise Refusal(
                    "InvalidParameterValue",
                    "Value for parameter ReceiptHandle is invalid. Reason: Message does not exist "
                    "or is not available for visibility timeout change.",
                )
            if now + seconds - message.received_at > LONGEST_INVISIBILITY:
                raise Refusal(
                    "InvalidParameterValue",
                    f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total "
                    f"VisibilityTimeout for the message is beyond the limit "
                    f"[{LONGEST_INVISIBILITY} seconds].",
                )
            queue.schedule(message, now + seconds)
            if seconds == 0:
                message.in_flight = False
                queue.lock.notify()
        return {}


def _size(parameters: Mapping[str, Any]) -> int:
    body = parameters.get("MessageBody")
    size = len(body.encode("utf-8", "surrogatepass")) if isinstance(body, str) else 0
    for name, one in (parameters.get("MessageAttributes") or {}).items():
        size += len(name) + len(one.get("DataType", "")) + len(str(one.get("StringValue", "")))
    return size


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
