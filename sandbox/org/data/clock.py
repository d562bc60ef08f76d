"""The org's own time, so that a test can let two hours pass without waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Wall-clock time plus an offset that only the owner of the org moves."""

    def __init__(self) -> None:
        self._offset_seconds = 0.0

    def now(self) -> float:
        """Seconds since the epoch, as the org sees them."""
        return time.time() + self._offset_seconds

    def milliseconds(self) -> int:
        return int(self.now() * 1000)

    def advance(self, seconds: float) -> None:
        """Let time pass. Negative values are refused: an org's clock never runs backwards."""
        if seconds < 0:
            raise ValueError("the clock only runs forward")
        self._offset_seconds += seconds

    def reset(self) -> None:
        self._offset_seconds = 0.0

    def stamp(self) -> str:
        """Now, in the form Salesforce prints datetimes: ``2026-11-24T06:05:00.000+0000``."""
        return stamp(self.now())


def stamp(seconds: float) -> str:
    """A moment as Salesforce stores and prints it: in UTC, whole seconds, ``.000``."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000+0000"
