"""The functions' log lines about records, by CloudWatch Logs' FilterLogEvents.

Each record that passes a function has one line, at every log level (bridge.telemetry). Nothing
personal is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bridge.untrusted import read_json
from cli.deployment.stack import Stack

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
    """How long it is delayed."""

    @property
    def waits(self) -> bool:
        """Whether the message is in the outbox after this. A record that was made while its
        message could not be logged has a code."""
        if self.outcome in ("queued", "delayed"):
            return True
        return self.function != DELIVER and self.outcome == "created" and bool(self.code)

    @property
    def which(self) -> tuple[str, str]:
        """Object and key, which tell records apart."""
        return self.object, self.key

    @classmethod
    def read(cls, function: str, event: Mapping[str, Any]) -> RecordLine | None:
        """Read an event of CloudWatch Logs; None for one that is no record's line."""
        line = read_json(str(event.get("message") or ""))
        if not isinstance(line, dict) or line.get("message") != "record":
            return None
        fields = line.get("fields")
        return cls(
            at=int(event["timestamp"]) / 1000,
            function=function,
            outcome=str(line.get("outcome") or ""),
            object=str(line.get("object") or ""),
            key=str(line.get("key") or ""),
            channel=str(line.get("channel") or ""),
            code=str(line.get("code") or ""),
            fields=tuple(map(str, fields)) if isinstance(fields, list) else (),
            attempts=_whole(line.get("attempts")),
            age_seconds=_whole(line.get("age_seconds")),
            delay_seconds=_whole(line.get("delay_seconds")),
        )


@dataclass(frozen=True, kw_only=True)
class Lines:
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
        pages = _pages(
            logs,
            f"/{stack.name}/{function}",
            since=since,
            pattern=f"{{ {pattern} }}",
            limit=min(most, PAGE),
        )
        for number, page in enumerate(pages, 1):
            found += [line for event in page if (line := RecordLine.read(function, event))]
            if len(found) >= most or number == MOST_PAGES:
                return found[:most], True
        return found, False

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(read, functions))
    lines = sorted((line for some, _ in results for line in some), key=lambda line: -line.at)
    return Lines(lines=lines[:most], cut=len(lines) > most or any(cut for _, cut in results))


def _pages(
    logs: Any, group: str, *, since: float, pattern: str, limit: int
) -> Iterator[list[dict[str, Any]]]:
    """The pages of one log group, newest first; none of a group that nothing was written to."""
    request: dict[str, Any] = {
        "logGroupName": group,
        "startTime": int(since * 1000),
        "filterPattern": pattern,
        "startFromHead": False,
        "limit": limit,
    }
    while True:
        response = logs.filter_log_events(**request)
        yield response.get("events", [])
        if not response.get("nextToken"):
            return
        request["nextToken"] = response["nextToken"]


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
