"""Two batch operations on SQS: send to Rejected, and delay what stays in the queue it came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.delivery.batch import runs
from bridge.delivery.outbox import VERSION, now
from bridge.settings import Settings
from bridge.telemetry import Telemetry

if TYPE_CHECKING:
    from botocore.client import BaseClient

Message = Mapping[str, Any]

SQS_BATCH = 10
SQS_BATCH_BYTES = 1_000_000
MAX_MESSAGE_BYTES = 1024 * 1024
"""Bytes of a body that SQS takes."""


class BatchQueues:
    """What fails here is logged, never raised: no message may be acknowledged because of it."""

    def __init__(
        self, *, sqs: BaseClient, settings: Settings, telemetry: Telemetry, source: str = ""
    ) -> None:
        """`source` is the URL of the queue that the messages came from; the outbox, if empty."""
        self._sqs = sqs
        self._source = source or settings.outbox_url
        self._settings = settings
        self._telemetry = telemetry

    def reject(self, bodies: Sequence[tuple[str, list[Message]]]) -> list[Message]:
        """Send bodies to Rejected; gives the messages whose body could not be sent."""
        failed: list[Message] = []
        for some in runs(bodies, most=SQS_BATCH, most_bytes=SQS_BATCH_BYTES, size=_bytes_of):
            entries = [{"Id": str(i), "MessageBody": body} for i, (body, _) in enumerate(some)]
            try:
                result = self._sqs.send_message_batch(
                    QueueUrl=self._settings.rejected_url, Entries=entries
                )
                sent = {int(entry["Id"]) for entry in result.get("Successful", ())}
            except Exception as error:  # boto3 raises anything where a response cannot be read
                self._telemetry.alarm("rejected_unreachable", error=error, count=len(some))
                sent = set()
            for i, (_, messages) in enumerate(some):
                if i not in sent:
                    failed += messages
        return failed

    def delay(self, later: Iterable[tuple[Message, int]]) -> None:
        """Hide each message for so many seconds; if that fails, the visibility timeout does it."""
        entries = [
            {"ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for message, seconds in later
            if (handle := message.get("receiptHandle"))
        ]
        for some in runs(entries, most=SQS_BATCH):
            try:
                self._sqs.change_message_visibility_batch(
                    QueueUrl=self._source,
                    Entries=[{"Id": str(i), **entry} for i, entry in enumerate(some)],
                )
            except Exception as error:  # as above; what is done must not be undone by this
                self._telemetry.alarm("outbox_delay_failed", error=error, count=len(some))
                return


def unreadable_body(message: Message) -> str:
    """An unreadable message as it stands in Rejected: the whole of it, and why.

    If that is more than SQS takes it goes as it came, which SQS took once.
    """
    body = message.get("body")
    body = body if isinstance(body, str) else json.dumps(body)
    reason = {"code": "UNREADABLE_MESSAGE", "message": "no envelope", "at": now()}
    wrapped = json.dumps({"v": VERSION, "unreadable": body, "reason": reason})
    return wrapped if len(wrapped) <= SQS_BATCH_BYTES else body


def _bytes_of(body: tuple[str, list[Message]]) -> int:
    return len(body[0].encode(errors="replace"))
