"""Message after message in one process, in turns with bare POSTs of the same bodies.

    warm.py RESULT EVENT KEY BLOCKS RECORDS

A block is so many messages by the handler, then bare POSTs of all that they send by urllib3 on a
kept connection of its own. KEY, in the event's body, stands for a new key each time. RECORDS is a
number of further messages, for the memory; 0 for none.
"""

import json
import os
import ssl
import sys
import time
import uuid
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import app  # type: ignore[import-not-found]
import urllib3

from bridge.http import Http

BLOCK = 100
STATM = "/proc/self/statm"
"""Where Linux tells how many pages a process holds; other systems have none."""


class Context:
    """What Lambda passes beside the event."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """As much as an HTTP function has at its start."""
        return 20_000


with open(sys.argv[2]) as file:
    event = json.load(file)
placeholder, blocks, records = sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
template = event["body"]
context = Context()


def create(count: int) -> None:
    """So many records by the handler, each with a key of its own."""
    for _ in range(count):
        event["body"] = template.replace(placeholder, uuid.uuid4().hex)
        response = app.handler(event, context)
        assert response["statusCode"] == 201, response


# The second message shows what is sent; the first one reads the token.
seen: list[Any] = []
send = Http.send


def watch(self: Any, method: str, url: str, *, headers: Any, body: Any = None, **more: Any) -> Any:
    """Note a request on its way."""
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    seen.append((parts.hostname, parts.port, path, body, dict(headers)))
    return send(self, method, url, headers=headers, body=body, **more)


create(1)
with (
    mock.patch.object(Http, "send", watch),
    mock.patch.object(uuid, "uuid4", return_value=uuid.UUID(hex=placeholder)),
):
    create(1)
host, port = seen[-1][:2]
key = placeholder.encode()
assert all(key in request[3] and request[:2] == (host, port) for request in seen)

pool = urllib3.HTTPSConnectionPool(host, port, maxsize=1, ssl_context=ssl.create_default_context())


def bare(count: int) -> list[tuple[str, bytes, Any]]:
    """What so many messages send, each with a key of its own."""
    requests = []
    for _ in range(count):
        new = uuid.uuid4().hex.encode()
        requests += [(url, body.replace(key, new), headers) for *_, url, body, headers in seen]
    return requests


def post(requests: list[tuple[str, bytes, Any]]) -> None:
    """Bare POSTs."""
    for url, body, headers in requests:
        response = pool.request("POST", url, body=body, headers=headers, retries=False)
        assert response.status in (200, 201), response.data


def timed(work: Any, *arguments: Any) -> tuple[float, float]:
    """CPU and wall seconds of a block."""
    cpu, wall = time.process_time(), time.perf_counter()
    work(*arguments)
    return time.process_time() - cpu, time.perf_counter() - wall


create(BLOCK // 2)
post(bare(BLOCK // 2))
ours, floors = [], []
for _ in range(blocks):
    requests = bare(BLOCK)
    ours.append(timed(create, BLOCK))
    floors.append(timed(post, requests))

memory = {}
made = 0
if records and os.path.exists(STATM):
    for stop in (100, 1_000, 10_000):
        if stop <= records:
            create(stop - made)
            made = stop
            with open(STATM) as statm:
                pages = int(statm.read().split()[1])
            memory[str(stop)] = pages * os.sysconf("SC_PAGE_SIZE") // 1024

with open(sys.argv[1], "w") as file:
    json.dump(
        {
            "ours": ours,
            "floor": floors,
            "block": BLOCK,
            "bytes": sum(len(body) for _, _, _, body, _ in seen),
            "memory_kib": memory,
        },
        file,
    )
