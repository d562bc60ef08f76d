"""(7) Where the local stack bends: records a second and waits, as more callers come at once.

The numbers are this machine's, which runs API Gateway, AWS, Salesforce and the functions at once;
what carries over is the shape, and which part gives way first.
"""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sandbox.stack import Stack

PROCESSES = 8


def measure(*, quick: bool) -> Any:
    """By callers at once: records a second, median and 95th percentile of the wait, outcomes."""
    told: dict[str, Any] = {}
    seconds = 1.5 if quick else 4.0
    # No throttle: the knee of the functions is asked for, not the usage plan's.
    parameters = {"ThrottleRate": "10000", "ThrottleBurst": "5000"}
    with Stack(poll=False, processes=PROCESSES, parameters=parameters) as stack:
        if stack.tick().failed:
            raise RuntimeError(stack.logs("refresh_token"))
        with ThreadPoolExecutor(PROCESSES) as pool:
            list(pool.map(lambda _: _post(stack), range(PROCESSES * 2)))
        for callers in (1, 4, 16) if quick else (1, 2, 4, 8, 16, 32):
            told[str(callers)] = _load(stack, callers, seconds)
    return told


def _load(stack: Stack, callers: int, seconds: float) -> Any:
    until = time.perf_counter() + seconds

    def call() -> list[tuple[float, int]]:
        waits = []
        while time.perf_counter() < until:
            begun = time.perf_counter()
            status = _post(stack)
            waits.append(((time.perf_counter() - begun) * 1000, status))
        return waits

    begun = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        done = [
            one for future in [pool.submit(call) for _ in range(callers)] for one in future.result()
        ]
    took = time.perf_counter() - begun
    waits = sorted(wait for wait, _ in done)
    return {
        "records_per_second": len(done) / took,
        "median_ms": waits[len(waits) // 2],
        "p95_ms": waits[int(len(waits) * 0.95)],
        "not_created": sum(status != 201 for _, status in done),
    }


def _post(stack: Stack) -> int:
    body = {"LastName": "Okafor", "Company": "Individual", "bird": {"messageId": uuid.uuid4().hex}}
    return stack.request("POST", "/leads", body).status
