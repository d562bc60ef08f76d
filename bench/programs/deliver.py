"""Batches of records through Deliver in one process.

deliver.py RESULT SIZES TEXT_BYTES      SIZES: 1x60,10x30,200x10 (records a batch x batches)
"""

import json
import sys
import time
import uuid
from typing import Any

import app  # type: ignore[import-not-found]

from bridge import wiring


class Context:
    """What Lambda passes beside the event."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """As much as Deliver has at its start."""
        return 120_000


def message(text: str) -> dict[str, Any]:
    """An SQS message with a Lead in it, as create_lead queues it."""
    envelope = {
        "v": 1,
        "object": "Lead",
        "key": uuid.uuid4().hex,
        "channel": "whatsapp",
        "fields": {
            "LastName": "Okafor",
            "FirstName": "Amara",
            "Company": "Individual",
            "LeadSource": "WhatsApp",
            "Phone": "+4915123456789",
            "Description": text,
        },
        "derived": ["Company", "Description", "FirstName", "LastName", "LeadSource", "Phone"],
        "acceptedAt": "2026-11-24T08:00:00.000+00:00",
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


text = "x" * int(sys.argv[3])
context = Context()
app.handler({"Records": [message(text)]}, context)  # imports, clients, token, connection
calls: list[int] = []
send = type(wiring.salesforce())._send


def counted(self: Any, *arguments: Any, **more: Any) -> Any:
    """Count a call of Salesforce's API."""
    calls.append(1)
    return send(self, *arguments, **more)


type(wiring.salesforce())._send = counted  # type: ignore[method-assign]
told = {}
for one in sys.argv[2].split(","):
    size, batches = (int(part) for part in one.split("x"))
    cpu, wall = [], []
    calls.clear()
    for _ in range(batches):
        event = {"Records": [message(text) for _ in range(size)]}
        begun, begun_wall = time.process_time(), time.perf_counter()
        answer = app.handler(event, context)
        cpu.append((time.process_time() - begun) / size)
        wall.append((time.perf_counter() - begun_wall) / size)
        assert answer == {"batchItemFailures": []}, answer
    told[one] = {"cpu": cpu, "wall": wall, "calls": len(calls), "records": size * batches}

with open(sys.argv[1], "w") as said:
    json.dump(told, said)
