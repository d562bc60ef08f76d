"""Callers like Bird's flow steps: each has a time-out and repeats with the same key."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from random import Random

import urllib3

from sandbox.stack import Stack
from tests.slow.chaos.request_log import ACCEPTED, RequestLog
from tests.slow.chaos.requests import RecordRequest

THREADS = 24
MOST_ATTEMPTS = 12
PATIENCE_SECONDS = 10.0
SHORT_PATIENCE_SECONDS = 0.25
"""Some callers time out while the function is still working, and repeat the request."""


class Callers:
    """Sends requests at an even pace from several threads until all have a final response.

    `rate` is the most requests a second. While `gate` is closed, requests under way end and no new
    one begins.
    """

    def __init__(
        self,
        stack: Stack,
        log: RequestLog,
        requests: Sequence[RecordRequest],
        *,
        rate: float,
        random: Random,
        threads: int = THREADS,
    ) -> None:
        self._stack = stack
        self._log = log
        self._requests = requests
        self._rate = rate
        self._next = 0
        self._busy = 0
        self._lock = threading.Lock()
        self.limit = len(requests)
        """Requests from this index on are not sent yet."""
        self.gate = threading.Event()
        self.gate.set()
        self.stopped = threading.Event()
        for request in requests:
            log.expect(request)
        self._threads = [
            threading.Thread(
                target=self._run, args=(Random(random.random()),), name=f"caller-{n}", daemon=True
            )
            for n in range(threads)
        ]

    def start(self) -> None:
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        """Whether every request has ended."""
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def sent(self) -> int:
        """How many requests have been begun."""
        return self._next

    def pause(self) -> None:
        """Close the gate and wait for what is under way."""
        self.gate.clear()
        until = time.monotonic() + 60
        while self._busy and time.monotonic() < until:
            time.sleep(0.01)

    def resume(self) -> None:
        self.gate.set()

    def stop(self) -> None:
        """End early."""
        self.stopped.set()
        self.gate.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def _run(self, random: Random) -> None:
        while not self.stopped.is_set():
            self.gate.wait()
            with self._lock:
                if not self.gate.is_set():
                    continue
                if self._next >= len(self._requests):
                    return
                due = self._begun + self._next / self._rate
                late = time.monotonic() >= due and self._next < self.limit
                if late:
                    request = self._requests[self._next]
                    self._next += 1
                    self._busy += 1
            if not late:
                time.sleep(0.01)
                continue
            answered = False
            try:
                answered = self._send(request, random)
            finally:
                self._log.finished(request, answered=answered)
                with self._lock:
                    self._busy -= 1

    def _send(self, request: RecordRequest, random: Random) -> bool:
        for attempt in range(MOST_ATTEMPTS):
            hasty = attempt == 0 and random.random() < 0.1
            try:
                response = self._stack.request(
                    "POST",
                    request.path,
                    request.content,
                    headers=request.headers,
                    timeout=SHORT_PATIENCE_SECONDS if hasty else PATIENCE_SECONDS,
                )
            except urllib3.exceptions.HTTPError:
                self._log.no_response()
            else:
                status = self._log.add(request, response)
                if status in ACCEPTED:
                    return True
                if status < 500 and status != 429:
                    return False
            if self.stopped.is_set():
                return False
            time.sleep(random.uniform(0.05, 0.3) * (attempt + 1))
        return False
