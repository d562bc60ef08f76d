"""Callers like Bird's flow steps: each has a time-out and repeats with the same key."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import urllib3

from sandbox.stack import Response, Stack
from tests.slow.chaos.requests import RecordRequest

ACCEPTED = frozenset({200, 201, 202, 409, 422})
"""Statuses after which a caller does not repeat the request."""

THREADS = 24
MOST_ATTEMPTS = 12
PATIENCE_SECONDS = 10.0
SHORT_PATIENCE_SECONDS = 0.25
"""Some callers time out while the function is still working, and repeat the request."""


class RequestLog:
    """The responses that callers got. Thread-safe; numbers are those of requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted: dict[int, RecordRequest] = {}
        self._keys: dict[int, str] = {}
        self.ids: dict[int, set[str]] = {}
        """The record ids in the responses."""
        self.statuses: Counter[str] = Counter()
        """Responses by status; `-` is none."""
        self.unexpected: list[str] = []
        """Responses that are never right."""

    def add(self, request: RecordRequest, response: Response | None) -> int:
        """Record a response, or that there was none. Returns its status; with `errors=inline`, the
        status in its body."""
        with self._lock:
            self.statuses[str(response.status) if response else "-"] += 1
            if response is None:
                return 0
            try:
                body: Any = response.json()
            except ValueError:
                body = {}
            status = response.status
            if "errors=inline" in request.path and status == 200:
                status = {"created": 201, "exists": 200, "queued": 202}.get(
                    body["outcome"], body.get("status", 0)
                )
            if problem := self._unexpected(request, status, body):
                self.unexpected.append(f"request {request.number}: {problem}")
            if status in ACCEPTED:
                self._accepted[request.number] = request
                if record_id := body.get("id"):
                    self.ids.setdefault(request.number, set()).add(record_id)
            return int(status)

    def _unexpected(self, request: RecordRequest, status: int, body: dict[str, Any]) -> str:
        if status not in ACCEPTED and status != 429 and status < 500:
            return f"status {status} {body.get('detail', '')}"
        if status in (200, 201) and not body.get("id") and body.get("deleted") is not True:
            return f"status {status} without an id"
        if status in (409, 422) and not request.code:
            return f"a good record is refused: {body.get('code')} {body.get('detail')}"
        if status in (409, 422) and body.get("kept") is not True:
            return f"status {status} without kept: true"
        key = body.get("key")
        if key and self._keys.setdefault(request.number, key) != key:
            return "its key changed"
        return ""

    def accepted(self) -> dict[int, RecordRequest]:
        """Every request that was accepted so far, by number."""
        with self._lock:
            return dict(self._accepted)


class Callers:
    """Sends requests at an even pace from several threads until all have a final response."""

    def __init__(
        self,
        stack: Stack,
        log: RequestLog,
        requests: Sequence[RecordRequest],
        *,
        rate: float,
        random: Random,
    ) -> None:
        """`rate` is the most requests a second."""
        self._stack = stack
        self._log = log
        self._requests = requests
        self._rate = rate
        self._busy = 0
        self._lock = threading.Lock()
        self._paused = self._stopped = False
        self._open = Counter(request.number for request in requests)
        self.sent = 0
        """How many requests have been begun."""
        self.limit = len(requests)
        """Requests from this index on are not sent yet."""
        self.given_up: set[int] = set()
        """Requests that a caller stopped repeating without a final response."""
        self._begun = time.monotonic()
        self._threads = [
            threading.Thread(target=self._run, args=(Random(random.random()),), daemon=True)
            for _ in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        """Whether every request has ended."""
        return not any(thread.is_alive() for thread in self._threads)

    def pause(self) -> None:
        """Begin no request, and wait for those under way."""
        self._paused = True
        until = time.monotonic() + 60
        while self._busy and time.monotonic() < until:
            time.sleep(0.01)

    def resume(self) -> None:
        self._paused = False

    def stop(self) -> None:
        """End early."""
        self._stopped = True
        for thread in self._threads:
            thread.join(timeout=30)

    def quiet(self) -> set[int]:
        """Accepted requests that no caller will send again."""
        with self._lock:
            quiet = {number for number in self._log.accepted() if not self._open[number]}
            return quiet - self.given_up

    def _run(self, random: Random) -> None:
        while not self._stopped and self.sent < len(self._requests):
            with self._lock:
                due = (time.monotonic() - self._begun) * self._rate
                late = not self._paused and self.sent < min(self.limit, due)
                if late:
                    request = self._requests[self.sent]
                    self.sent += 1
                    self._busy += 1
            if not late:
                time.sleep(0.01)
                continue
            answered = self._send(request, random)
            with self._lock:
                self._busy -= 1
                self._open[request.number] -= 1
                if not answered:
                    self.given_up.add(request.number)

    def _send(self, request: RecordRequest, random: Random) -> bool:
        """Send it until it is accepted, refused for good, or tried too often."""
        for attempt in range(MOST_ATTEMPTS):
            hasty = attempt == 0 and random.random() < 0.1
            response = None
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                response = self._stack.request(
                    "POST",
                    request.path,
                    request.content,
                    headers=request.headers,
                    timeout=SHORT_PATIENCE_SECONDS if hasty else PATIENCE_SECONDS,
                )
            status = self._log.add(request, response)
            if status in ACCEPTED:
                return True
            if self._stopped or (0 < status < 500 and status != 429):
                return False
            time.sleep(random.uniform(0.05, 0.3) * (attempt + 1))
        return False
