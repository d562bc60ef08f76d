"""Record ids: 15 characters where case matters, and the 18-character form that is safe without."""

from __future__ import annotations

import re
import threading
from functools import lru_cache

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SHAPE = re.compile(r"[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?\Z")

# Five characters that sit between the prefix and the running number; a real org has its
# instance there. Mixed case on purpose: a client that folds case loses records.
_POD = "aj00000"


@lru_cache(maxsize=100_000)
def to_18(id15: str) -> str:
    """The 18-character form: each five characters add one that says which are capitals."""
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(1 << at for at, char in enumerate(id15[start : start + 5]) if char.isupper())
        suffix += _CHECK[bits]
    return id15 + suffix


def normalise(value: object) -> str | None:
    """The 18-character id that `value` stands for, or None where it is not an id at all."""
    if not isinstance(value, str) or not _SHAPE.match(value):
        return None
    full = to_18(value[:15])
    return full if len(value) == 15 or value == full else None


class IdMaker:
    """Gives each new record the next id of its object's prefix."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._lock = threading.Lock()

    def make(self, prefix: str) -> str:
        with self._lock:
            number = self._next.get(prefix, 0) + 1
            self._next[prefix] = number
        # A prime step spreads capitals and small letters over the running part.
        number = number * 1_000_003 % 62**5
        digits = ""
        for _ in range(5):
            number, rest = divmod(number, 62)
            digits = _BASE62[rest] + digits
        return to_18(f"{prefix}{_POD}{digits}")
