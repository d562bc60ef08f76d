"""The requests that the org got: counts of all, and the last ones in full."""

from __future__ import annotations

import re
import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

_VERSION = re.compile(r"^/services/data/v\d+\.\d+")
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?\Z")
_HIDDEN = frozenset({"authorization", "cookie", "set-cookie"})

MAX_ENTRIES = 2_000
MAX_BYTES = 8_000_000
MAX_BODY_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. Credentials are left out: no Authorization, no secrets of token calls."""

    number: int
    time: float
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    """0: no response was sent."""
    seconds: float
    fault: str = ""


class Journal:
    """Thread-safe, and bounded in size however many requests come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._bytes = 0
        self._number = 0
        self.counts: Counter[str] = Counter()
        """Requests by method and path template: ``POST /sobjects/Lead``."""
        self.connections = 0
        """TCP connections accepted."""
        self.refused_connections = 0
        """TCP connections that were accepted and reset at once."""
        self.created: Counter[str] = Counter()
        """Records created, by object; rolled-back ones count too."""

    def note(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        time: float,
        status: int,
        seconds: float,
        fault: str = "",
    ) -> None:
        text = _safe_body(path, body)
        kept = {name: value for name, value in headers if name.lower() not in _HIDDEN}
        name = template(method, path)
        with self._lock:
            self._number += 1
            self.counts[name] += 1
            if len(self._entries) == MAX_ENTRIES:
                self._bytes -= len(self._entries[0].body)
            self._entries.append(
                Entry(self._number, time, method, path, kept, text, status, seconds, fault)
            )
            self._bytes += len(text)
            while self._bytes > MAX_BYTES:
                self._bytes -= len(self._entries.popleft().body)

    def entries(self, pattern: str = "", *, after: int = 0) -> list[Entry]:
        """The kept requests whose ``METHOD path`` matches a regular expression, oldest first."""
        with self._lock:
            kept = list(self._entries)
        return [
            e
            for e in kept
            if e.number > after and re.search(pattern, f"{e.method} {e.path}") is not None
        ]

    def count(self, pattern: str = "") -> int:
        """Requests since the start whose ``METHOD template`` matches a regular expression."""
        with self._lock:
            return sum(n for name, n in self.counts.items() if re.search(pattern, name))

    def reset(self) -> None:
        with self._lock:
            self._entries.clear()
            self._bytes = 0
            self.counts.clear()
            self.connections = 0
            self.refused_connections = 0
            self.created.clear()


def template(method: str, path: str) -> str:
    """A request as method and path template: ``GET /sobjects/Lead/Bird_Key__c/{key}``."""
    bare = path.partition("?")[0]
    match = _VERSION.match(bare)
    if match is None:
        if bare.startswith("/id/"):
            bare = "/id/{org}/{user}"
        return f"{method} {bare}"
    parts = bare[match.end() :].split("/")
    if "sobjects" in parts:
        at = parts.index("sobjects")
        composite = at > 0 and parts[at - 1] == "composite"
        if len(parts) > at + 3:
            parts[at + 3 :] = ["{key}"]
        elif len(parts) == at + 3 and _ID.match(parts[-1]) and not composite:
            parts[-1] = "{id}"
    elif len(parts) > 2 and parts[1] in ("query", "queryAll"):
        parts[2:] = ["{cursor}"]
    return f"{method} {'/'.join(parts) or '/'}"


def _safe_body(path: str, body: bytes) -> str:
    if "/services/oauth2" in path or path.startswith("/login"):
        pairs = parse_qsl(body.decode("utf-8", "replace"))
        return "&".join(f"{k}={v if k in ('grant_type', 'format') else '…'}" for k, v in pairs)
    return body[:MAX_BODY_CHARACTERS].decode("utf-8", "replace")
