"""CloudWatch Logs, as far as it is read here: FilterLogEvents on the functions' log files.

A line that a function prints is an event; a line that is no JSON belongs to the moment of the one
before it. Of filter patterns it knows JSON selectors with `=`, `!=`, `&&`, `||` and brackets; any
other pattern is refused, never passed over.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

PAGE = 10_000
"""Events of one response, at most."""

STREAM = "[$LATEST]sandbox"

Test = Callable[[str], bool]
"""Whether an event's message fits a pattern."""

_SELECTOR = re.compile(
    r"\s*(?:(?P<bracket>[()])|(?P<both>&&|\|\|)|\$\.(?P<name>[\w.]+)\s*(?P<how>=|!=)\s*"
    r'(?:"(?P<text>[^"]*)"|(?P<word>[\w.*-]+)))'
)


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
    if pattern.startswith("{") and pattern.endswith("}"):
        return _Selectors(pattern[1:-1]).read()
    if pattern:
        raise _invalid(pattern)
    return lambda line: True


class _Selectors:
    """`$.a = "b" && ($.c != 1 || …)`; && binds closer than ||."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[re.Match[str]] = []
        at = 0
        while text[at:].strip():
            found = _SELECTOR.match(text, at)
            if found is None:
                raise _invalid(text)
            self._parts.append(found)
            at = found.end()

    def read(self) -> Test:
        test = self._any()
        if self._parts:
            raise _invalid(self._text)

        def fits(line: str) -> bool:
            try:
                values = json.loads(line)
            except ValueError:
                return False
            return isinstance(values, dict) and test(values)

        return fits

    def _any(self) -> Callable[[Any], bool]:
        tests = [self._all()]
        while self._next("both") == "||":
            self._parts.pop(0)
            tests.append(self._all())
        return lambda values: any(test(values) for test in tests)

    def _all(self) -> Callable[[Any], bool]:
        tests = [self._one()]
        while self._next("both") == "&&":
            self._parts.pop(0)
            tests.append(self._one())
        return lambda values: all(test(values) for test in tests)

    def _one(self) -> Callable[[Any], bool]:
        if not self._parts:
            raise _invalid(self._text)
        part = self._parts.pop(0)
        if part["bracket"] == "(":
            inner = self._any()
            if self._next("bracket") != ")":
                raise _invalid(self._text)
            self._parts.pop(0)
            return inner
        name, how = part["name"], part["how"]
        if name is None:
            raise _invalid(self._text)
        wanted = re.compile(
            ".*".join(map(re.escape, (part["text"] or part["word"] or "").split("*")))
        )

        def test(values: Any) -> bool:
            for step in name.split("."):
                values = values.get(step) if isinstance(values, dict) else None
            if values is None:
                return False
            shown = json.dumps(values) if not isinstance(values, str) else values
            return (wanted.fullmatch(shown) is not None) is (how == "=")

        return test

    def _next(self, kind: str) -> str | None:
        return self._parts[0][kind] if self._parts else None


def _invalid(pattern: str) -> LogsError:
    return LogsError("InvalidParameterException", f"Invalid filter pattern: {pattern}")
