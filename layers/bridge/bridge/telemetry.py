"""What an operator sees: one line a record, log and metrics in one, and nothing personal in it.

While a caller waits, that one line is written here (`record`): CloudWatch's embedded metric format
lets a log line carry its metrics, and one JSON document costs a fifth of what Logger and Metrics
cost together (docs/adr/0008). Everything else goes through Powertools, which is imported when the
first such thing is said: a cold start that makes its record needs none of it (docs/adr/0020).

Only the names in `LOGGED` ever reach a log, at any level: a value under another name is dropped,
so that nobody's message, number or token can get there by a careless call. A test pushes marked
personal data through every path and looks for it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

LOGGED = frozenset(
    {
        "api_calls",
        "attempts",
        "channel",
        "code",
        "count",
        "delay_seconds",
        "dropped_fields",
        "error_type",
        "fields",
        "function_request_id",
        "generation",
        "gateway_request_id",
        "key",
        "key_source",
        "milliseconds",
        "object",
        "outcome",
        "permanent",
        "record_id",
        "salesforce_request_id",
        "status",
    }
)
"""Names that may be logged. `key` is the key as stored, `fields` are API names, never values."""

LONGEST_NAME = 100


def told(text: str) -> str:
    """A code, a name or an id as it may be logged; `other` for what does not look like one.

    Salesforce gives error codes, names of fields and ids of requests: a sentence in their place
    could hold anything.
    """
    plain = text.translate(_BETWEEN)
    shaped = len(text) <= LONGEST_NAME and plain.isascii() and plain.isalnum()
    return text if shaped or not text else "other"


_BETWEEN = str.maketrans("", "", "_-.:+")

OUTCOME_METRICS = {
    "created": "RecordsCreated",
    "exists": "RecordsExisting",
    "queued": "RecordsQueued",
    "rejected": "RecordsRejected",
    "duplicate": "RecordsDuplicate",
    "not_kept": "RecordsNotKept",
    "deleted": "RecordsDeletedMeanwhile",
    "delayed": "RecordsDelayed",
}


_BY_CHANNEL = ["service", "object", "channel"]
_IN_ALL = ["service"]


class Telemetry:
    """Powertools' Logger and Metrics behind the list of what may be said."""

    def __init__(self) -> None:
        self._function_request_id = ""
        # The names that Powertools reads too.
        self._namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "")
        self._service = os.environ.get("POWERTOOLS_SERVICE_NAME", "")

    @cached_property
    def _logger(self) -> Logger:
        from aws_lambda_powertools.logging import Logger

        return Logger()

    def begin(self, function_request_id: str) -> None:
        """Every line from now on belongs to this invocation."""
        self._function_request_id = function_request_id

    def event(self, name: str, **said: Any) -> None:
        """Something happened that an operator may want to know."""
        self._logger.info(name, extra=self._allowed(said))

    def warn(self, name: str, **said: Any) -> None:
        """Something happened that somebody may have to look into."""
        self._logger.warning(name, extra=self._allowed(said))

    def alarm(self, name: str, *, error: BaseException, **said: Any) -> None:
        """Something failed. Of an error only its type and code are told: texts may be personal."""
        said["error_type"] = type(error).__name__
        said.setdefault("code", getattr(error, "code", ""))
        if isinstance(error, BridgeError):
            said.setdefault("fields", getattr(error, "fields", ()))
        self._logger.error(name, extra=self._allowed(said))

    def record(
        self,
        outcome: str,
        *,
        object_name: str,
        channel: str,
        key: str,
        code: str = "",
        fields: Sequence[str] = (),
        milliseconds: float,
        salesforce_milliseconds: float = 0,
        api_calls: int = 0,
        usage_percent: float | None = None,
        salesforce_request_id: str = "",
        duplicate: bool = False,
    ) -> None:
        """One record's line, which is its log and its metrics at once.

        Written at every log level: the metrics must not depend on it. The record's counter comes by
        object and channel, and in all; latency and usage of Salesforce in all.
        """
        now = time.time()
        metric = OUTCOME_METRICS["duplicate" if duplicate else outcome]
        line: dict[str, Any] = {
            "level": "INFO",
            "message": "record",
            "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
            "service": self._service,
            "outcome": outcome,
            "object": object_name,
            "channel": channel,
            "key": key,
            "code": told(code),
            "fields": [told(name) for name in fields],
            "milliseconds": round(milliseconds, 1),
            "api_calls": api_calls,
            "salesforce_request_id": told(salesforce_request_id),
            "function_request_id": self._function_request_id,
            metric: 1,
        }
        if api_calls:
            line["SalesforceLatency"] = round(salesforce_milliseconds, 1)
            line["SalesforceCalls"] = api_calls
            if usage_percent is not None:
                line["ApiUsage"] = round(usage_percent, 2)
        directives = _directives(
            self._namespace, metric, calls=bool(api_calls), usage="ApiUsage" in line
        )
        aws = f'{{"Timestamp": {int(now * 1000)}, "CloudWatchMetrics": {directives}}}'
        sys.stdout.write(f'{json.dumps(line)[:-1]}, "_aws": {aws}}}\n')

    def count(self, metric: str, value: float = 1) -> None:
        """Add to a counter that has no dimension but the service."""
        self._emit({}, {metric: ("Count", value)})

    def count_records(
        self, outcome: str, *, object_name: str, channel: str, count: int = 1
    ) -> None:
        """Add to the counter of an outcome, by object and channel."""
        metric = OUTCOME_METRICS[outcome]
        self._emit({"object": object_name, "channel": channel}, {metric: ("Count", count)})

    def measure_salesforce(
        self, *, milliseconds: float, usage_percent: float | None, calls: int
    ) -> None:
        """How long the last call took, and how much of the day's API requests is used."""
        metrics: dict[str, tuple[str, float]] = {
            "SalesforceLatency": ("Milliseconds", milliseconds),
            "SalesforceCalls": ("Count", calls),
        }
        if usage_percent is not None:
            metrics["ApiUsage"] = ("Percent", usage_percent)
        self._emit({}, metrics)

    def measure_outbox_age(self, seconds: float) -> None:
        """How long the oldest of the records that have to wait on has waited."""
        self._emit({}, {"OutboxAge": ("Seconds", seconds)})

    def measure_token_age(self, seconds: float) -> None:
        """How old the published access token is."""
        if seconds < float("inf"):
            self._emit({}, {"TokenAge": ("Seconds", seconds)})

    def _allowed(self, said: dict[str, Any]) -> dict[str, Any]:
        kept = {name: _shaped(value) for name, value in said.items() if name in LOGGED}
        kept["function_request_id"] = self._function_request_id
        return kept

    @staticmethod
    def _emit(dimensions: dict[str, str], metrics: dict[str, tuple[str, float]]) -> None:
        from aws_lambda_powertools.metrics import EphemeralMetrics

        emitter = EphemeralMetrics()
        for name, text in dimensions.items():
            emitter.add_dimension(name, text)
        for name, (unit, value) in metrics.items():
            emitter.add_metric(name, unit, value)
        emitter.flush_metrics()


def _shaped(value: Any) -> Any:
    if isinstance(value, str):
        return told(value)
    return [_shaped(part) for part in value] if isinstance(value, (list, tuple)) else value


@cache
def _directives(namespace: str, metric: str, *, calls: bool, usage: bool) -> str:
    """A line's `CloudWatchMetrics` as JSON: few in all, and longer than the rest of the line, so
    that making them anew for each record was more than half of what the line cost."""
    directives = [_directive(namespace, [_BY_CHANNEL, _IN_ALL], (metric, "Count"))]
    if calls:
        measured = [("SalesforceLatency", "Milliseconds"), ("SalesforceCalls", "Count")]
        if usage:
            measured.append(("ApiUsage", "Percent"))
        directives.append(_directive(namespace, [_IN_ALL], *measured))
    return json.dumps(directives)


def _directive(
    namespace: str, dimensions: list[list[str]], *metrics: tuple[str, str]
) -> dict[str, Any]:
    """One entry of `CloudWatchMetrics` (CloudWatch's embedded metric format specification)."""
    return {
        "Namespace": namespace,
        "Dimensions": dimensions,
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in metrics],
    }
