"""The functions' log lines about records, by CloudWatch Logs' FilterLogEvents.

Each record that passes a function has one line, at every log level (bridge.telemetry). Nothing
personal is in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.untrusted import read_json
from cli.deployment.stack import Stack
from cli.outbox.reasons import Reason, reason_of, why
from cli.outbox.times import rfc3339

TAKING = ("create-lead", "create-case", "receive-message")
"""The functions that take messages from flows."""

DELIVER = "deliver"

WRITTEN = frozenset({"created", "added", "exists"})
"""Outcomes of a record that is in Salesforce."""

MOST_LINES = 20_000
PAGE = 10_000
"""Events of one response, at most."""

MOST_PAGES = 50
"""Of one log group, so that a command ends whatever the traffic is."""


@dataclass(frozen=True, kw_only=True)
class RecordLine:
    """What a function logged of one record."""

    at: float
    """Seconds since the epoch."""
    function: str
    outcome: str
    object: str
    key: str
    channel: str = ""
    code: str = ""
    fields: tuple[str, ...] = ()
    attempts: int = 0
    age_seconds: float = 0.0
    """How old it was at that moment, where it was delayed."""
    delay_seconds: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether the message is in the outbox after this. A record that was made while its
        message could not be logged has a code."""
        if self.outcome in ("queued", "delayed"):
            return True
        return self.function != DELIVER and self.outcome == "created" and bool(self.code)

    @property
    def which(self) -> tuple[str, str]:
        return self.object, self.key

    @property
    def since(self) -> float:
        """When the record came into the outbox."""
        return self.at - self.age_seconds

    @property
    def next_try(self) -> float | None:
        """None: as soon as it is its turn."""
        return self.at + self.delay_seconds if self.delay_seconds else None

    @property
    def waits_seconds(self) -> float:
        """How long it has been in the outbox, until now."""
        return max(time.time() - self.since, 0.0)

    @property
    def reason(self) -> Reason:
        return reason_of(self.code)

    def as_dict(self) -> dict[str, Any]:
        """A record that waits, for `--json`."""
        return {
            "key": self.key,
            "object": self.object,
            "channel": self.channel,
            "reason": why(self.code, self.fields) if self.code else "not tried yet",
            "waitsFor": self.reason.value,
            "code": self.code,
            "fields": self.fields,
            "waitsSince": rfc3339(self.since),
            "ageSeconds": round(self.waits_seconds),
            "tries": self.attempts,
            "nextTry": rfc3339(self.next_try),
        }

    @classmethod
    def read(cls, function: str, event: Mapping[str, Any]) -> RecordLine | None:
        """Read an event of CloudWatch Logs; None for one that is no record's line."""
        line = read_json(str(event.get("message") or ""))
        if not isinstance(line, dict) or line.get("message") != "record":
            return None
        fields = line.get("fields")
        texts = ("outcome", "object", "key", "channel", "code")
        numbers = ("attempts", "age_seconds", "delay_seconds")
        values: dict[str, Any] = {name: str(line.get(name) or "") for name in texts}
        values |= {name: line[name] for name in numbers if type(line.get(name)) is int}
        return cls(
            at=int(event["timestamp"]) / 1000,
            function=function,
            fields=tuple(map(str, fields)) if isinstance(fields, list) else (),
            **values,
        )


class Lines(NamedTuple):
    """Lines, newest first; `cut` where there were more than are read."""

    lines: list[RecordLine]
    cut: bool = False


def read_lines(
    stack: Stack,
    *,
    since: float,
    functions: Iterable[str] = (DELIVER, *TAKING),
    outcomes: Iterable[str] = (),
    most: int = MOST_LINES,
) -> Lines:
    """The records' lines since a moment (seconds since the epoch), newest first, of all of
    these functions. Raises what boto3 raises."""
    pattern = '$.message = "record"'
    if chosen := " || ".join(f'$.outcome = "{one}"' for one in outcomes):
        pattern += f" && ({chosen})"
    logs = stack.client("logs")

    def read(function: str) -> tuple[list[RecordLine], bool]:
        found: list[RecordLine] = []
        request: dict[str, Any] = {
            "logGroupName": f"/{stack.name}/{function}",
            "startTime": int(since * 1000),
            "filterPattern": f"{{ {pattern} }}",
            "startFromHead": False,
            "limit": min(most, PAGE),
        }
        for _ in range(MOST_PAGES):
            page = logs.filter_log_events(**request)
            events = page.get("events", [])
            found += [line for event in events if (line := RecordLine.read(function, event))]
            if len(found) >= most:
                return found[:most], True
            if not page.get("nextToken"):
                return found, False
            request["nextToken"] = page["nextToken"]
        return found, True

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(read, functions))
    lines = sorted((line for some, _ in results for line in some), key=lambda line: -line.at)
    return Lines(lines[:most], len(lines) > most or any(cut for _, cut in results))


def newest(lines: Iterable[RecordLine]) -> list[RecordLine]:
    """The newest line of each record, of lines that come newest first."""
    found: dict[tuple[str, str], RecordLine] = {}
    for line in lines:
        found.setdefault(line.which, line)
    return list(found.values())
