"""Batches of records through Deliver in one process.

deliver.py RESULT RECORDS BATCHES TEXT_BYTES      RECORDS are those of one batch
"""

import json
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import app  # type: ignore[import-not-found]


class Context:
    """What Lambda passes beside the event."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """As much as Deliver has at its start."""
        return 120_000


def message(text: str) -> dict[str, Any]:
    """An SQS message with a Lead in it, as create_lead queues it."""
    envelope = {
        "v": 2,
        "kind": "message",
        "object": "Lead",
        "key": uuid.uuid4().hex,
        "channel": "whatsapp",
        "fields": {},
        "derived": {
            "Lead": {
                "LastName": "Okafor",
                "FirstName": "Amara",
                "Company": "Individual",
                "LeadSource": "WhatsApp",
                "Phone": "+4915123456789",
                "Description": text,
            }
        },
        "acceptedAt": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "requestId": uuid.uuid4().hex,
    }
    return {
        "messageId": uuid.uuid4().hex,
        "receiptHandle": uuid.uuid4().hex,
        "body": json.dumps(envelope, separators=(",", ":")),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(int(time.time() * 1000)),
        },
    }


size, batches = int(sys.argv[2]), int(sys.argv[3])
text = "x" * int(sys.argv[4])
context = Context()
app.handler({"Records": [message(text)]}, context)  # imports, clients, token, connection
cpu, wall = [], []
for _ in range(batches):
    event = {"Records": [message(text) for _ in range(size)]}
    started, started_wall = time.process_time(), time.perf_counter()
    response = app.handler(event, context)
    cpu.append((time.process_time() - started) / size)
    wall.append((time.perf_counter() - started_wall) / size)
    assert response == {"batchItemFailures": []}, response

with open(sys.argv[1], "w") as file:
    json.dump({"cpu": cpu, "wall": wall}, file)
