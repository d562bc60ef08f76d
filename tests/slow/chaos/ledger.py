"""What callers were told: the promises that everything else is held to."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from sandbox.stack import Answer
from tests.slow.chaos.wishes import Wish

ACCEPTED = frozenset({200, 201, 202, 409, 422})
"""Statuses that take the record off the caller's hands."""

MOST_ODDITIES = 20


class Ledger:
    """Thread-safe. Numbers are those of wishes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted: dict[int, Wish] = {}
        self._ids: dict[int, set[str]] = {}
        self._keys: dict[int, str] = {}
        self._open: Counter[int] = Counter()
        self.requests = 0
        self.statuses: Counter[str] = Counter()
        """Answers by status; `-` is none."""
        self.given_up: set[int] = set()
        """Wishes that some caller stopped asking for without having been answered."""
        self.oddities: list[str] = []
        """Answers that nobody should get."""

    def expect(self, wish: Wish) -> None:
        """Somebody is going to ask for this."""
        with self._lock:
            self._open[wish.number] += 1

    def finished(self, wish: Wish, *, answered: bool) -> None:
        """That caller asks no more."""
        with self._lock:
            self._open[wish.number] -= 1
            if not answered:
                self.given_up.add(wish.number)

    def no_answer(self) -> None:
        with self._lock:
            self.requests += 1
            self.statuses["-"] += 1

    def answer(self, wish: Wish, answer: Answer) -> int:
        """Note an answer; says its status, for `errors=inline` the one that it would have had."""
        try:
            said: Any = answer.json()
        except ValueError:
            said = None
        said = said if isinstance(said, dict) else {}
        status = answer.status
        with self._lock:
            self.requests += 1
            self.statuses[str(status)] += 1
            if wish.inline and status == 200:
                status = _meant(said)
            if odd := self._odd(wish, status, said):
                self.oddities.append(f"wish {wish.number}: {odd}")
            if status not in ACCEPTED:
                return status
            self._accepted[wish.number] = wish
            if record_id := said.get("id"):
                self._ids.setdefault(wish.number, set()).add(str(record_id))
            return status

    def _odd(self, wish: Wish, status: int, said: dict[str, Any]) -> str:
        if len(self.oddities) >= MOST_ODDITIES:
            return ""
        if status not in ACCEPTED and status != 429 and status < 500:
            return f"answered {status} {said.get('detail', '')}"
        if status in (200, 201) and not said.get("id"):
            return f"answered {status} without an id"
        if status in (409, 422):
            if wish.fate == "made":
                return f"a good record is refused: {said.get('code')} {said.get('detail')}"
            if said.get("kept") is not True:
                return f"answered {status} and did not say that it is kept"
        key = said.get("key")
        if key and self._keys.setdefault(wish.number, key) != key:
            return "its key changed"
        return ""

    def accepted(self) -> dict[int, Wish]:
        """Everything that was taken off its callers' hands so far."""
        with self._lock:
            return dict(self._accepted)

    def ids(self) -> dict[int, set[str]]:
        """The record ids that callers were told."""
        with self._lock:
            return {number: set(ids) for number, ids in self._ids.items()}

    def quiet_numbers(self) -> list[int]:
        """Accepted wishes that nobody is going to ask for again."""
        with self._lock:
            return [number for number in self._accepted if not self._open[number]]


def _meant(said: dict[str, Any]) -> int:
    """The status that an answer would have had without `errors=inline`."""
    outcome = said.get("outcome")
    if outcome == "rejected":
        return int(said["status"])
    return {"created": 201, "exists": 200, "queued": 202}[str(outcome)]
