"""What callers were promised: the responses that everything else is held to."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from sandbox.stack import Response
from tests.slow.chaos.requests import Request

ACCEPTED = frozenset({200, 201, 202, 409, 422})
"""Statuses that take the record off the caller's hands."""

MOST_ODDITIES = 20


class Log:
    """The responses by request. Thread-safe; numbers are those of requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted: dict[int, Request] = {}
        self._ids: dict[int, set[str]] = {}
        self._keys: dict[int, str] = {}
        self._open: Counter[int] = Counter()
        self.calls = 0
        self.statuses: Counter[str] = Counter()
        """Responses by status; `-` is none."""
        self.given_up: set[int] = set()
        """Requests that some caller stopped asking for without a response."""
        self.oddities: list[str] = []
        """Responses that nobody should get."""

    def expect(self, request: Request) -> None:
        """Somebody is going to ask for this."""
        with self._lock:
            self._open[request.number] += 1

    def finished(self, request: Request, *, responded: bool) -> None:
        """That caller asks no more."""
        with self._lock:
            self._open[request.number] -= 1
            if not responded:
                self.given_up.add(request.number)

    def no_response(self) -> None:
        with self._lock:
            self.calls += 1
            self.statuses["-"] += 1

    def note(self, request: Request, response: Response) -> int:
        """Note a response. Returns its status; with `errors=inline`, the one that it stands for."""
        try:
            body: Any = response.json()
        except ValueError:
            body = None
        body = body if isinstance(body, dict) else {}
        status = response.status
        with self._lock:
            self.calls += 1
            self.statuses[str(status)] += 1
            if request.inline and status == 200:
                status = _meant(body)
            if odd := self._odd(request, status, body):
                self.oddities.append(f"request {request.number}: {odd}")
            if status not in ACCEPTED:
                return status
            self._accepted[request.number] = request
            if record_id := body.get("id"):
                self._ids.setdefault(request.number, set()).add(str(record_id))
            return status

    def _odd(self, request: Request, status: int, body: dict[str, Any]) -> str:
        if len(self.oddities) >= MOST_ODDITIES:
            return ""
        if status not in ACCEPTED and status != 429 and status < 500:
            return f"{status} {body.get('detail', '')}"
        if status in (200, 201) and not body.get("id"):
            return f"{status} without an id"
        if status in (409, 422):
            if request.fate == "made":
                return f"a good record is refused: {body.get('code')} {body.get('detail')}"
            if body.get("kept") is not True:
                return f"{status} that does not say `kept`"
        key = body.get("key")
        if key and self._keys.setdefault(request.number, key) != key:
            return "its key changed"
        return ""

    def accepted(self) -> dict[int, Request]:
        """Everything that was taken off its callers' hands so far."""
        with self._lock:
            return dict(self._accepted)

    def ids(self) -> dict[int, set[str]]:
        """The record ids that callers were given."""
        with self._lock:
            return {number: set(ids) for number, ids in self._ids.items()}

    def quiet_numbers(self) -> list[int]:
        """Accepted requests that nobody is going to ask for again."""
        with self._lock:
            return [number for number in self._accepted if not self._open[number]]


def _meant(body: dict[str, Any]) -> int:
    """The status that a response would have had without `errors=inline`."""
    outcome = body.get("outcome")
    if outcome == "rejected":
        return int(body["status"])
    return {"created": 201, "exists": 200, "queued": 202}[str(outcome)]
