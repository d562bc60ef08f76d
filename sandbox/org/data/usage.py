"""The daily number of API calls."""

from __future__ import annotations

import threading
from collections import Counter

from sandbox.org.data.state import State
from sandbox.org.errors import KNOWN, refused

_HOUR = 3600


class Usage:
    """Calls of the last 24 hours, by the org's clock."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._hours: dict[int, int] = {}
        self._apps: Counter[str] = Counter()
        self._lock = threading.Lock()

    def used(self) -> int:
        first = int(self._state.clock.now() // _HOUR) - 23
        return sum(count for hour, count in self._hours.items() if hour >= first)

    def set_used(self, count: int) -> None:
        """Pretend that so many calls were made, to be near the limit."""
        with self._lock:
            self._hours = {int(self._state.clock.now() // _HOUR): count}

    def take(self, app_name: str) -> None:
        """Count a call; raises `Refused` with REQUEST_LIMIT_EXCEEDED where the budget is spent."""
        with self._lock:
            if self.used() >= self._state.settings.daily_requests:
                status, message = KNOWN["REQUEST_LIMIT_EXCEEDED"]
                raise refused(status, "REQUEST_LIMIT_EXCEEDED", message)
            hour = int(self._state.clock.now() // _HOUR)
            self._hours[hour] = self._hours.get(hour, 0) + 1
            self._apps[app_name] += 1
            if len(self._hours) > 30:
                self._hours = {h: n for h, n in self._hours.items() if h >= hour - 23}

    def header(self, app_name: str) -> str | None:
        """The value of ``Sforce-Limit-Info``."""
        form = self._state.settings.limit_info
        if form == "off":
            return None
        budget = self._state.settings.daily_requests
        value = f"api-usage={self.used()}/{budget}"
        if form == "app":
            value += f"; per-app-api-usage={self._apps[app_name]}/{budget}(appName={app_name})"
        return value

    def reset(self) -> None:
        with self._lock:
            self._hours.clear()
            self._apps.clear()
