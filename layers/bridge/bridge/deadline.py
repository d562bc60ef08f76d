"""How long something may take: a point in time that everything on the way looks at."""

from __future__ import annotations

import time
from typing import NamedTuple


class Deadline(NamedTuple):
    """A moment on the monotonic clock, in seconds. Of two the smaller one is sooner."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The moment that many seconds from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left; zero when it has passed."""
        return max(0.0, self.at - time.monotonic())

    def timeout(self) -> float:
        """Seconds left, as a socket's timeout. Raises TimeoutError: zero would mean not to wait."""
        if seconds := self.remaining():
            return seconds
        raise TimeoutError("the deadline has passed")

    def sooner(self, seconds: float) -> Deadline:
        """The same moment, that many seconds earlier: time kept back for what comes after."""
        return Deadline(self.at - seconds)


def respond_by(
    *, requested_at_ms: object, budget_seconds: float, function_seconds: float
) -> Deadline:
    """When the caller must have its response, counted from when the gateway took the request.

    `requested_at_ms` is `requestContext.requestTimeEpoch`; a cold start happens after it, so it
    counts. A time further back than the function's own timeout (or in the future) belongs to a
    replayed event, as with `sam local invoke`, and is ignored. One second of the function's own
    time is kept back.
    """
    spent = 0.0
    if isinstance(requested_at_ms, (int, float)) and not isinstance(requested_at_ms, bool):
        since = time.time() - requested_at_ms / 1000
        if 0 <= since <= function_seconds:
            spent = since
    return Deadline.after(min(budget_seconds - spent, function_seconds - 1))
