"""Logs by Powertools' Logger, metrics by Powertools' EphemeralMetrics, nothing personal in either.

A record's line is one flush of metrics whose metadata are the keys of a log line: CloudWatch's
embedded metric format allows any further keys, and one JSON document costs half of two
(docs/adr/0034-telemetry-by-powertools.md).

Only the names in `LOGGED` ever reach a log, at any level: a value under another name is dropped,
so that no message, number or token can get there by a careless call. A test pushes marked personal
data through every path and looks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics

from bridge.errors import BridgeError

LOGGED = frozenset(
    {
        "age_seconds",
        "api_calls",
        "attempts",
        "channel",
        "code",
        "cold_start",
        "correlation_id",
        "count",
        "delay_seconds",
        "dropped_fields",
        "error_type",
        "fields",
        "function_request_id",
        "generation",
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
"""Characters of a code, a name or an id."""

OUTCOME_METRICS = {
    "created": "RecordsCreated",
    "added": "RecordsAddedTo",
    "exists": "RecordsExisting",
    "updated": "RecordsUpdated",
    "converted": "UpdatesOfConvertedLeads",
    "ignored": "MessagesIgnored",
    "queued": "RecordsQueued",
    "rejected": "RecordsRejected",
    "duplicate": "RecordsDuplicate",
    "not_kept": "RecordsNotKept",
    "deleted": "RecordsDeletedMeanwhile",
    "delayed": "RecordsDelayed",
}

_PUNCTUATION = str.maketrans("", "", "_-.:+")


def loggable(text: str) -> str:
    """A code, a name or an id as it may be logged; `other` if it does not look like one.

    Salesforce gives error codes, names of fields and ids of requests: a sentence in their place
    could hold anything.
    """
    plain = text.translate(_PUNCTUATION)
    shaped = len(text) <= LONGEST_NAME and plain.isascii() and plain.isalnum()
    return text if shaped or not text else "other"


class Telemetry:
    """What the functions log and measure. One per execution environment.

    Every metric has the dimension `service`, which is the stack's name; a record's metrics come
    once more by `service, object`. Namespace, service and log level are read by Powertools from
    the variables that the template sets.
    """

    def __init__(self) -> None:
        self._cold_start = True
        self._invocation: dict[str, Any] = {}

    @cached_property
    def _logger(self) -> Logger:
        return Logger(location=None, utc=True, use_rfc3339=True)

    @cached_property
    def _metrics(self) -> EphemeralMetrics:
        return EphemeralMetrics()

    def begin(self, function_request_id: str, *, correlation_id: str = "") -> None:
        """Every line from now on belongs to this invocation, and to this request of the gateway."""
        self._invocation = {
            "correlation_id": loggable(correlation_id),
            "function_request_id": function_request_id,
            "cold_start": self._cold_start,
        }
        self._cold_start = False

    def event(self, name: str, **values: Any) -> None:
        """Log something that an operator may want to know."""
        self._logger.info(name, extra=self._allowed(values))

    def warn(self, name: str, **values: Any) -> None:
        """Log something that somebody may have to look into."""
        self._logger.warning(name, extra=self._allowed(values))

    def alarm(self, name: str, *, error: BaseException, **values: Any) -> None:
        """Log a failure. Of an error only type, code and fields: its text may be personal."""
        values["error_type"] = type(error).__name__
        values.setdefault("code", getattr(error, "code", ""))
        if isinstance(error, BridgeError):
            values.setdefault("fields", getattr(error, "fields", ()))
        self._logger.error(name, extra=self._allowed(values))

    def record(
        self,
        outcome: str,
        *,
        object_name: str,
        channel: str,
        key: str,
        code: str = "",
        fields: Sequence[str] = (),
        milliseconds: float | None = None,
        salesforce_milliseconds: float = 0,
        api_calls: int = 0,
        usage_percent: float | None = None,
        salesforce_request_id: str = "",
        duplicate: bool = False,
        of_outbox: Mapping[str, int] | None = None,
    ) -> None:
        """One record's line, which is its log and its metrics at once.

        Written at every log level: neither the metrics nor `bird-salesforce status`, which reads
        these lines, may depend on it. `of_outbox` is what only Deliver knows: `attempts`,
        `age_seconds`, `delay_seconds`.
        """
        metrics: dict[str, tuple[str, float]] = {
            OUTCOME_METRICS["duplicate" if duplicate else outcome]: ("Count", 1)
        }
        if api_calls:
            metrics |= _of_salesforce(salesforce_milliseconds, usage_percent)
        line: dict[str, Any] = {
            "level": "INFO",
            "message": "record",
            "outcome": outcome,
            "channel": channel,
            "key": loggable(key),
            "count": 1,
        }
        if milliseconds is not None:
            line |= {"milliseconds": round(milliseconds, 1), "api_calls": api_calls}
        if of_outbox:
            line |= {name: value for name, value in of_outbox.items() if name in LOGGED}
        if code:
            line["code"] = loggable(code)
        if fields:
            line["fields"] = [loggable(name) for name in fields]
        if salesforce_request_id:
            line["salesforce_request_id"] = loggable(salesforce_request_id)
        self._flush(metrics, line, object_name=object_name)

    def count(self, metric: str, value: float = 1) -> None:
        """Add to a counter."""
        self._flush({metric: ("Count", value)})

    def measure_salesforce(
        self, *, milliseconds: float, usage_percent: float | None, calls: int
    ) -> None:
        """How long the last call took, and how much of the day's API requests is used."""
        self._flush(_of_salesforce(milliseconds, usage_percent), {"api_calls": calls})

    def measure_age(self, metric: str, seconds: float) -> None:
        """How old something is: the token, what waits in a queue. An infinite age is not known."""
        if seconds < float("inf"):
            self._flush({metric: ("Seconds", seconds)})

    def _allowed(self, values: dict[str, Any]) -> dict[str, Any]:
        kept = {name: _loggable(value) for name, value in values.items() if name in LOGGED}
        return {**kept, **self._invocation}

    def _flush(
        self,
        metrics: dict[str, tuple[str, float]],
        line: dict[str, Any] | None = None,
        *,
        object_name: str = "",
    ) -> None:
        """Write one line: units and values of metrics by name, and the other keys of the line."""
        emitter = self._metrics
        if object_name:
            emitter.add_dimensions(service=str(emitter.service), object=object_name)
        for name, (unit, value) in metrics.items():
            emitter.add_metric(name, unit, value)
        for name, value in (self._invocation | (line or {})).items():
            emitter.add_metadata(name, value)
        emitter.flush_metrics()


def tell_dropped(telemetry: Telemetry, object_name: str, names: frozenset[str]) -> None:
    """Log and count derived fields that are left out."""
    telemetry.warn("derived_fields_dropped", fields=sorted(names), object=object_name)
    telemetry.count("DerivedFieldsDropped")


def _of_salesforce(
    milliseconds: float, usage_percent: float | None
) -> dict[str, tuple[str, float]]:
    metrics: dict[str, tuple[str, float]] = {
        "SalesforceLatency": ("Milliseconds", round(milliseconds, 1))
    }
    if usage_percent is not None:
        metrics["ApiUsage"] = ("Percent", round(usage_percent, 2))
    return metrics


def _loggable(value: Any) -> Any:
    if isinstance(value, str):
        return loggable(value)
    return [_loggable(part) for part in value] if isinstance(value, (list, tuple)) else value
