"""The responses that callers got: what was accepted must be stored somewhere."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from sandbox.stack import Response
from tests.slow.chaos.requests import RecordRequest

ACCEPTED = frozenset({200, 201, 202, 409, 422})
"""Statuses after which a caller does not repeat the request."""

MOST_UNEXPECTED = 20


class RequestLog:
    """Thread-safe. Numbers are those of requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted: dict[int, RecordRequest] = {}
        self._ids: dict[int, set[str]] = {}
        self._keys: dict[int, str] = {}
        self._open: Counter[int] = Counter()
        self.attempts = 0
        self.statuses: Counter[str] = Counter()
        """Responses by status; `-` is none."""
        self.given_up: set[int] = set()
        """Requests that a caller stopped repeating without a final response."""
        self.unexpected: list[str] = []
        """Responses that are never right."""

    def expect(self, request: RecordRequest) -> None:
        """A caller is going to send this request."""
        with self._lock:
            self._open[request.number] += 1

    def finished(self, request: RecordRequest, *, answered: bool) -> None:
        """A caller will not send this request again."""
        with self._lock:
            self._open[request.number] -= 1
            if not answered:
                self.given_up.add(request.number)

    def no_response(self) -> None:
        with self._lock:
            self.attempts += 1
            self.statuses["-"] += 1

    def add(self, request: RecordRequest, response: Response) -> int:
        """Record a response. Returns its status; with `errors=inline`, the status in its body."""
        try:
            body: Any = response.json()
        except ValueError:
            body = None
        body = body if isinstance(body, dict) else {}
        status = response.status
        with self._lock:
            self.attempts += 1
            self.statuses[str(status)] += 1
            if request.inline and status == 200:
                status = _status_in_body(body)
            if problem := self._unexpected(request, status, body):
                self.unexpected.append(f"request {request.number}: {problem}")
            if status not in ACCEPTED:
                return status
            self._accepted[request.number] = request
            if record_id := body.get("id"):
                self._ids.setdefault(request.number, set()).add(str(record_id))
            return status

    def _unexpected(self, request: RecordRequest, status: int, body: dict[str, Any]) -> str:
        if len(self.unexpected) >= MOST_UNEXPECTED:
            return ""
        if status not in ACCEPTED and status != 429 and status < 500:
            return f"status {status} {body.get('detail', '')}"
        if status in (200, 201) and not body.get("id") and body.get("deleted") is not True:
            return f"status {status} without an id"
        if status in (409, 422):
            if request.expected == "made":
                return f"a good record is refused: {body.get('code')} {body.get('detail')}"
            if body.get("kept") is not True:
                return f"status {status} without kept: true"
        key = body.get("key")
        if key and self._keys.setdefault(request.number, key) != key:
            return "its key changed"
        return ""

    def accepted(self) -> dict[int, RecordRequest]:
        """Every request that was accepted so far, by number."""
        with self._lock:
            return dict(self._accepted)

    def ids(self) -> dict[int, set[str]]:
        """The record ids in the responses, by the request's number."""
        with self._lock:
            return {number: set(ids) for number, ids in self._ids.items()}

    def quiet_numbers(self) -> list[int]:
        """Accepted requests that no caller will send again."""
        with self._lock:
            return [number for number in self._accepted if not self._open[number]]


def _status_in_body(body: dict[str, Any]) -> int:
    """The status that the response would have had without `errors=inline`."""
    outcome = body.get("outcome")
    if outcome in ("rejected", "failed"):
        return int(body["status"])
    return {"created": 201, "exists": 200, "queued": 202}[str(outcome)]
