"""Record after record in one process, in turns with bare POSTs of the same body.

    warm.py RESULT EVENT BLOCKS RECORDS

A block is so many records by the handler, then as many bare POSTs by urllib3 on a kept connection
of its own. RECORDS is a number of further records, for the memory; 0 for none.
"""

import http.client
import json
import os
import ssl
import sys
import time
import uuid
from typing import Any

import app  # type: ignore[import-not-found]
import urllib3

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
blocks, records = int(sys.argv[3]), int(sys.argv[4])
context = Context()


def create(count: int) -> None:
    """So many records by the handler, each with a key of its own."""
    for _ in range(count):
        event["headers"]["Idempotency-Key"] = uuid.uuid4().hex
        response = app.handler(event, context)
        assert response["statusCode"] == 201, response


# The first record shows what is sent.
seen: list[Any] = []
send = http.client.HTTPConnection.request


def watch(self: Any, method: str, url: str, *, body: Any, headers: Any, **more: Any) -> Any:
    """Note a request on its way."""
    seen.append((self.host, self.port, url, body, dict(headers)))
    return send(self, method, url, body=body, headers=headers, **more)


http.client.HTTPConnection.request = watch  # type: ignore[method-assign,assignment]
create(1)
http.client.HTTPConnection.request = send  # type: ignore[method-assign]
host, port, url, body, headers = seen[-1]
key = event["headers"]["Idempotency-Key"].encode()
assert key in body

pool = urllib3.HTTPSConnectionPool(host, port, maxsize=1, ssl_context=ssl.create_default_context())


def post(bodies: list[bytes]) -> None:
    """Bare POSTs."""
    for one in bodies:
        response = pool.request("POST", url, body=one, headers=headers, retries=False)
        assert response.status in (200, 201), response.data


def timed(work: Any, *arguments: Any) -> tuple[float, float]:
    """CPU and wall seconds of a block."""
    cpu, wall = time.process_time(), time.perf_counter()
    work(*arguments)
    return time.process_time() - cpu, time.perf_counter() - wall


create(BLOCK // 2)
post([body.replace(key, uuid.uuid4().hex.encode()) for _ in range(BLOCK // 2)])
ours, floors = [], []
for _ in range(blocks):
    bodies = [body.replace(key, uuid.uuid4().hex.encode()) for _ in range(BLOCK)]
    ours.append(timed(create, BLOCK))
    floors.append(timed(post, bodies))

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
            "records": 1 + BLOCK // 2 + blocks * BLOCK + made,
            "posts": BLOCK // 2 + blocks * BLOCK,
            "bytes": len(body),
            "memory_kib": memory,
        },
        file,
    )
