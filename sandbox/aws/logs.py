"""CloudWatch Logs, as far as it is read here: FilterLogEvents on the functions' log files.

A line that a function prints is an event; a line that is no JSON belongs to the moment of the one
before it. Of filter patterns it knows terms (`a b`, `"a b"`, `?a ?b`) and JSON selectors with `=`,
`&&`, `||` and brackets; any other pattern is refused, never passed over.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jmespath

PAGE = 10_000
"""Events of one response, at most."""

STREAM = "[$LATEST]sandbox"

Test = Callable[[str], bool]
"""Whether an event's message fits a pattern."""

_SELECTOR = re.compile(r"\$\.(?P<name>[\w.]+)\s*=\s*(?:(?P<number>\d+)|\"(?P<text>[^\"*\\']*)\")")


class LogsError(Exception):
    """A request that CloudWatch Logs refuses."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Logs:
    """`files` are the functions' log files by the names of their log groups."""

    def __init__(self, files: Callable[[], Mapping[str, Path]]) -> None:
        self._files = files
        self.page = PAGE
        """A test may make the pages shorter."""

    def filter_log_events(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The response to FilterLogEvents. Raises LogsError."""
        known = {
            *("logGroupName", "startTime", "endTime", "filterPattern"),
            *("nextToken", "limit", "startFromHead"),
        }
        if unknown := request.keys() - known:
            raise LogsError("InvalidParameterException", f"not in the sandbox: {sorted(unknown)}")
        group = str(request.get("logGroupName"))
        if group not in self._files():
            raise LogsError("ResourceNotFoundException", "The specified log group does not exist.")
        limit = int(request.get("limit") or PAGE)
        if not 0 < limit <= PAGE:
            raise LogsError("InvalidParameterException", f"limit must be from 1 to {PAGE}")
        fits = read_pattern(str(request.get("filterPattern") or ""))
        low, high = request.get("startTime") or 0, request.get("endTime") or float("inf")
        found: list[dict[str, Any]] = [
            {"logStreamName": STREAM, "timestamp": at, "message": line, "eventId": str(number)}
            for number, (at, line) in enumerate(_events(self._files()[group]))
            if low <= at <= high and fits(line)
        ]
        found.sort(key=lambda event: event["timestamp"])
        if request.get("startFromHead") is False:
            found.reverse()
        first = int(request.get("nextToken") or 0)
        last = first + min(limit, self.page)
        response: dict[str, Any] = {"events": found[first:last], "searchedLogStreams": []}
        if last < len(found):
            response["nextToken"] = str(last)
        return response


def _events(file: Path) -> Iterator[tuple[int, str]]:
    """Each line with its time in milliseconds."""
    if not file.exists():
        return
    at = int(file.stat().st_ctime * 1000)
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip():
            moment = _moment(line)
            at = at if moment is None else moment
            yield at, line


def _moment(line: str) -> int | None:
    try:
        values = json.loads(line)
        if "_aws" in values:
            return int(values["_aws"]["Timestamp"])
        return int(datetime.fromisoformat(values["timestamp"]).timestamp() * 1000)
    except (ValueError, KeyError, TypeError):
        return None


def read_pattern(pattern: str) -> Test:
    """What a filter pattern means. Raises LogsError for one that is not known here."""
    pattern = pattern.strip()
    try:
        if pattern.startswith("{") and pattern.endswith("}"):
            return _selectors(pattern[1:-1])
        if not pattern.startswith(("{", "[", "%", "-")):
            return _terms(pattern)
    except ValueError:
        pass
    raise LogsError("InvalidParameterException", f"Invalid filter pattern: {pattern}")


def _terms(pattern: str) -> Test:
    words = shlex.shlex(pattern, posix=True)
    words.whitespace_split, words.quotes, words.commenters = True, '"', ""
    needed: list[str] = []
    one_of: list[str] = []
    for word in words:
        (one_of if word.startswith("?") else needed).append(word.removeprefix("?"))
    return lambda line: (
        all(one in line for one in needed) and (not one_of or any(one in line for one in one_of))
    )


def _selectors(text: str) -> Test:
    """`$.a = "b" && ($.c = 1 || …)`, which is JMESPath but for the spelling."""
    if _SELECTOR.sub("", text).strip(" ()&|"):
        raise ValueError(text)
    wanted = jmespath.compile(_SELECTOR.sub(_spelt, text))

    def fits(line: str) -> bool:
        try:
            values = json.loads(line)
        except ValueError:
            return False
        return isinstance(values, dict) and wanted.search(values) is True

    return fits


def _spelt(found: re.Match[str]) -> str:
    name, number, text = found["name"], found["number"], found["text"]
    return f"{name} == `{number}`" if number else f"{name} == '{text}'"
