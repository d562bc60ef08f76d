"""Moments and spans as an operator reads them: 02:04, 6 min. All moments are UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_DAY = 86_400


def clock(moment: float) -> str:
    """`02:04`; with its date where that is more than half a day from now."""
    when = datetime.fromtimestamp(moment, UTC)
    near = abs(time.time() - moment) < _DAY / 2
    return f"{when:%H:%M}" if near else f"{when:%Y-%m-%d %H:%M}"


def span(seconds: float) -> str:
    """`40 s`, `6 min`, `3 h`, `2 d`."""
    seconds = max(seconds, 0)
    for unit, length in (("d", _DAY), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (unit == "min" and seconds >= length):
            return f"{seconds // length:.0f} {unit}"
    return f"{int(seconds)} s"


def rfc3339(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def counted(count: int, word: str = "record") -> str:
    """`1 record`, `1,200 records`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
