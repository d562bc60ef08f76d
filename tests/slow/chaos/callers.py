"""Callers as Bird's steps are: they wait so long, and ask again with the same key."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from random import Random

import urllib3

from sandbox.stack import Stack
from tests.slow.chaos.ledger import ACCEPTED, Ledger
from tests.slow.chaos.wishes import Wish

THREADS = 24
MOST_ATTEMPTS = 12
PATIENCE_SECONDS = 10.0
SHORT_PATIENCE_SECONDS = 0.25
"""Some hang up while the function is still at work, and ask again beside it."""


class Callers:
    """Sends wishes at an even pace from several threads until all have been answered.

    `rate` is wishes a second, at most. `gate` can be closed: then what is under way ends and
    nothing new begins.
    """

    def __init__(
        self,
        stack: Stack,
        ledger: Ledger,
        wishes: Sequence[Wish],
        *,
        rate: float,
        random: Random,
        threads: int = THREADS,
    ) -> None:
        self._stack = stack
        self._ledger = ledger
        self._wishes = wishes
        self._rate = rate
        self._next = 0
        self._busy = 0
        self._lock = threading.Lock()
        self.limit = len(wishes)
        """Nobody begins the wish with this number, or a later one, for now."""
        self.gate = threading.Event()
        self.gate.set()
        self.stopped = threading.Event()
        for wish in wishes:
            ledger.expect(wish)
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
        """Whether every wish has been dealt with."""
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def sent(self) -> int:
        """How many wishes have been begun."""
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
                if self._next >= len(self._wishes):
                    return
                due = self._begun + self._next / self._rate
                late = time.monotonic() >= due and self._next < self.limit
                if late:
                    wish = self._wishes[self._next]
                    self._next += 1
                    self._busy += 1
            if not late:
                time.sleep(0.01)
                continue
            answered = False
            try:
                answered = self._ask(wish, random)
            finally:
                self._ledger.finished(wish, answered=answered)
                with self._lock:
                    self._busy -= 1

    def _ask(self, wish: Wish, random: Random) -> bool:
        for attempt in range(MOST_ATTEMPTS):
            hasty = attempt == 0 and random.random() < 0.1
            try:
                answer = self._stack.request(
                    "POST",
                    wish.path,
                    wish.content,
                    headers=wish.headers,
                    timeout=SHORT_PATIENCE_SECONDS if hasty else PATIENCE_SECONDS,
                )
            except urllib3.exceptions.HTTPError:
                self._ledger.no_answer()
            else:
                status = self._ledger.answer(wish, answer)
                if status in ACCEPTED:
                    return True
                if status < 500 and status != 429:
                    return False
            if self.stopped.is_set():
                return False
            time.sleep(random.uniform(0.05, 0.3) * (attempt + 1))
        return False
