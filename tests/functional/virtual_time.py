"""A clock on which many threads wait without waiting: one runs at a time, and time jumps.

Waiting (`time.sleep`) hands over to whoever is due next and moves the clock there, so minutes of
hundreds of callers take a second, and with one seed everything happens in one order.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

EPOCH = 1_800_000_000.0
"""What `time.time` says at the beginning."""


class _Turn:
    """Somebody who waits; `taken` once it was woken, by whichever reason came first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()
        self.taken = False


class Result:
    """What a task brings, some time."""

    def __init__(self) -> None:
        self.value: Any = None
        self.done = False
        self.waiting: list[_Turn] = []


class VirtualTime:
    """Replaces `time.sleep`, `time.monotonic` and `time.time` while `run` lasts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, _Turn]] = []
        self._count = itertools.count()
        self._end = threading.Lock()
        self._end.acquire()
        self._raised: list[BaseException] = []
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "time", lambda: EPOCH + self.now)

    def start(self, task: Callable[[], Any], *, after: float = 0.0) -> Result:
        """Run a task in a thread of its own, from so many seconds on."""
        result, turn = Result(), _Turn()

        def body() -> None:
            turn.lock.acquire()
            try:
                result.value = task()
            except BaseException as error:
                self._raised.append(error)
            result.done = True
            for waiting in result.waiting:
                self._push(waiting, 0)
            self._next()

        threading.Thread(target=body, daemon=True).start()
        self._push(turn, after)
        return result

    def sleep(self, seconds: float) -> None:
        """Let others run for so long."""
        turn = _Turn()
        self._push(turn, seconds)
        self._next()
        turn.lock.acquire()

    def wait(self, result: Result, seconds: float) -> bool:
        """Wait for a task's result, so many seconds at most; whether it is there."""
        if not result.done:
            turn = _Turn()
            result.waiting.append(turn)
            self._push(turn, seconds)
            self._next()
            turn.lock.acquire()
        return result.done

    def run(self) -> None:
        """Until nobody waits any more. Raises what a task raised."""
        self._next()
        self._end.acquire()
        if self._raised:
            raise self._raised[0]

    def _push(self, turn: _Turn, seconds: float) -> None:
        heapq.heappush(self._due, (self.now + max(seconds, 0.0), next(self._count), turn))

    def _next(self) -> None:
        while self._due:
            at, _, turn = heapq.heappop(self._due)
            if turn.taken:
                continue
            turn.taken = True
            self.now = max(self.now, at)
            turn.lock.release()
            return
        self._end.release()
