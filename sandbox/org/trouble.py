"""Injected faults: what goes wrong, where, and how often.

Each request is checked once, against the faults in the order in which they were added; the first
that fires is carried out. The server does that (latency, resets, silence, other responses); the
saver calls those that refuse single records.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
from dataclasses import dataclass, field
from typing import Any

from sandbox.org.errors import KNOWN, RECORD_CODES, Problem

_ALLOWED = {
    "area": ("oauth", "rest"),
    "reset": ("before", "after"),
    "silence": ("before", "after"),
    "expire": ("session", "all"),
    "mangle": ("truncate", "garbage", "empty"),
    "connection": ("reset",),
}


@dataclass(kw_only=True, eq=False)
class Fault:
    """One kind of trouble. All of `where` must match; an empty one matches everything.

    ValueError where the description makes no sense.
    """

    # Where.
    path: str = ""
    """Regular expression, searched in the path with its query."""
    method: str = ""
    object: str = ""
    """An object's name in the path or in the body (``Lead``)."""
    area: str = ""
    """``oauth`` or ``rest``."""

    # How often.
    times: int | None = None
    """Fires so many times at most; None: until cleared."""
    skip: int = 0
    """Lets so many matching requests pass first."""
    probability: float = 1.0
    seed: int | None = None

    # What. Several may be combined: latency and then a reset.
    latency_before: float = 0.0
    """Seconds before the request is handled."""
    latency_after: float = 0.0
    """Seconds after the commit, before the response."""
    reset: str = ""
    """``before`` or ``after`` the commit: the connection ends with RST and no response."""
    silence: str = ""
    """``before`` or ``after`` the commit: no response until the client gives up or faults are
    cleared."""
    status: int = 0
    """Respond with this status and `body` instead; nothing is committed unless `commit`."""
    body: Any = None
    """Text is sent as HTML, anything else as JSON."""
    headers: dict[str, str] = field(default_factory=dict)
    commit: bool = False
    """With `status` or `error`: do the work first, then respond that it failed."""
    error: str = ""
    """A Salesforce error code (``SERVER_UNAVAILABLE``, ``UNABLE_TO_LOCK_ROW`` …), with its usual
    status and message. Those that concern records refuse records one by one."""
    message: str = ""
    """Another message for `error`."""
    share: float = 1.0
    """The part of the records of one call that `error` refuses."""
    expire: str = ""
    """``session`` ends the one of this request, ``all`` every one, before it is handled."""
    mangle: str = ""
    """``truncate``, ``garbage`` or ``empty``: what happens to the response's body."""
    connection: str = ""
    """``reset``: a new TCP connection is accepted and reset before any byte."""

    id: str = ""
    hits: int = 0
    """How often it has happened."""
    seen: int = 0
    """How many requests matched."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path is no regular expression: {error}") from error
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in ("", *allowed):
                raise ValueError(f"{name} is {' or '.join(allowed)}")
        if self.error and self.error not in KNOWN and not self.status:
            raise ValueError(f"error is one of {', '.join(KNOWN)}, or give a status with it")
        if not 0 <= self.probability <= 1 or not 0 <= self.share <= 1:
            raise ValueError("probability and share lie between 0 and 1")
        if self.latency_before < 0 or self.latency_after < 0:
            raise ValueError("latency is not negative")
        self._random = random.Random(self.seed)

    @property
    def for_records(self) -> bool:
        """Whether `error` refuses records one by one."""
        return self.error in RECORD_CODES and not self.status

    def problem(self) -> Problem:
        usual = KNOWN.get(self.error, (0, self.error))
        with_fields = () if self.for_records else None
        return Problem(self.error, self.message or usual[1], with_fields)

    def record_problem(self, object_name: str) -> Problem | None:
        """Called for each record of the call that the fault hit."""
        if self.object and object_name.lower() != self.object.lower():
            return None
        if self.share < 1 and self._random.random() >= self.share:
            return None
        return self.problem()

    def response(self) -> tuple[int, Any] | None:
        """The status and body to send instead of the real response, or None."""
        if self.status and self.error:
            return self.status, [self.problem().as_rest()]
        if self.status:
            return self.status, self.body
        if self.error and not self.for_records:
            return KNOWN[self.error][0], [self.problem().as_rest()]
        return None

    def matches(self, method: str, path: str, body: bytes) -> bool:
        if self.connection:
            return False
        if self.method and self.method.upper() != method:
            return False
        if self.area == "oauth" and not path.startswith(("/services/oauth2", "/id/")):
            return False
        if self.area == "rest" and not path.startswith("/services/data"):
            return False
        if self.path and not re.search(self.path, path):
            return False
        return not self.object or _names(self.object, path, body)

    def fires(self) -> bool:
        """Whether it happens this time; counts. Call under the lock of `Trouble`."""
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.hits >= self.times):
            return False
        if self.probability < 1 and self._random.random() >= self.probability:
            return False
        self.hits += 1
        return True


def _names(object_name: str, path: str, body: bytes) -> bool:
    """Whether a request is about an object: in its path, or in a composite or collection body."""
    if re.search(rf"/{re.escape(object_name)}(?=[/?]|$)", path):
        return True
    name = re.escape(object_name.encode())
    return re.search(rb'"type"\s*:\s*"' + name + rb'"|/' + name + rb'[/?"]', body) is not None


class Trouble:
    """The faults of one org. They cost nothing while there are none."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.active = False

    def add(self, fault: Fault | None = None, **description: Any) -> Fault:
        """Add a fault: ``add(reset="after", method="POST", object="Lead", times=1)``."""
        fault = fault or Fault(**description)
        with self._lock:
            fault.id = fault.id or f"fault-{next(self._numbers)}"
            self._faults.append(fault)
            self.active = True
        return fault

    def remove(self, fault: Fault | str) -> bool:
        """Remove one fault, by itself or by its id; False where it is not there."""
        wanted = fault if isinstance(fault, str) else fault.id
        with self._lock:
            before = len(self._faults)
            self._faults = [f for f in self._faults if f.id != wanted]
            self.active = bool(self._faults)
            return len(self._faults) < before

    def clear(self) -> None:
        """Remove all faults. Requests that are held in silence end, without a response."""
        with self._lock:
            self._faults.clear()
            self.active = False

    def holds(self, fault: Fault) -> bool:
        """Whether a fault is still there; silent requests end when it is not."""
        return fault in self._faults

    def faults(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def pick(self, method: str, path: str, body: bytes) -> Fault | None:
        """The fault that happens to this request, if any."""
        if not self.active:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.matches(method, path, body) and fault.fires():
                    return fault
        return None

    def pick_for_connection(self) -> Fault | None:
        """The fault that happens to a new TCP connection, if any."""
        if not self.active:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.connection and fault.fires():
                    return fault
        return None
