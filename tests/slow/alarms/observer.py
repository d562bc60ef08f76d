"""The metrics that a local stack emits, and the alarms of the template that they raise.

Our own metrics are what the functions print. AWS's are made of what the sandbox counts:

- Lambda: Invocations, Errors and Throttles of each function that was invoked, zeros too.
  https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
- SQS: the age passes over messages that were received three times.
  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
- API Gateway: 4XXError and 5XXError are counts.
  https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html

A period ends when a test says so, whatever the alarm's own period is: how CloudWatch evaluates over
time is not rebuilt here.
"""

from __future__ import annotations

import json
import operator
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.stack import Stack

Metric = tuple[str, str, frozenset[tuple[str, str]]]
"""Namespace, name, dimensions."""

LAMBDA = ("Invocations", "Errors", "Throttles")
COMPARISONS = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
}
STATISTICS: Mapping[str, Any] = {"Sum": sum, "Maximum": max}
METRIC_MATH = {
    "IF": lambda condition, then, otherwise: then if condition else otherwise,
    "FILL": lambda value, otherwise: otherwise if value is None else value,
    "MAX": max,
    "SUM": sum,
}


class Observer:
    """What a stack has emitted, period by period, since `begin`."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        declared = stack.deployment.of_type("AWS::CloudWatch::Alarm")
        self.alarms = {
            name.removesuffix("Alarm"): stack.deployment.resolve(one["Properties"])
            for name, one in declared.items()
        }
        self._filters = [
            stack.deployment.resolve(one["Properties"])
            for one in stack.deployment.of_type("AWS::Logs::MetricFilter").values()
        ]
        self._read: Counter[str] = Counter()
        self._invoked: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._responses: Counter[int] = Counter()
        self._periods: list[Mapping[Metric, list[float]]] = []

    def begin(self) -> None:
        """Forget all that was emitted."""
        self.end_period()
        self._periods.clear()

    def end_period(self) -> None:
        """Collect what was emitted since the last period ended."""
        period: dict[Metric, list[float]] = defaultdict(list)
        for source in (self._printed(), self._lambda(), self._gateway(), self._sqs()):
            for metric, value in source:
                period[metric].append(value)
        self._periods.append(period)

    @property
    def names(self) -> set[tuple[str, str]]:
        """Namespace and name of all that was emitted."""
        return {(namespace, name) for period in self._periods for namespace, name, _ in period}

    def raised(self) -> set[str]:
        """The alarms that would send something, by logical id without "Alarm"."""
        return {name for name, alarm in self.alarms.items() if self._is_raised(alarm)}

    def _is_raised(self, alarm: Mapping[str, Any]) -> bool:
        values = [_value(alarm, period) for period in self._periods]
        if all(value is None for value in values):
            return "InsufficientDataActions" in alarm
        compare = COMPARISONS[alarm["ComparisonOperator"]]
        threshold = float(alarm["Threshold"])
        crossed = sum(value is not None and compare(value, threshold) for value in values)
        return crossed >= int(alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]))

    def _printed(self) -> Iterator[tuple[Metric, float]]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html"""
        for name in self.stack.functions:
            for line in self._new_lines(name, self.stack.logs(name)):
                if '"_aws"' in line:
                    yield from _embedded(json.loads(line))
        for line in self._new_lines("access log", self.stack.access_log()):
            for one in self._filters:
                yield from _filtered(one, json.loads(line))

    def _new_lines(self, source: str, text: str) -> list[str]:
        end = text.rfind("\n") + 1
        new, self._read[source] = text[self._read[source] : end], end
        return new.splitlines()

    def _lambda(self) -> Iterator[tuple[Metric, float]]:
        for name, function in self.stack.functions.items():
            counts = [function.invocations, function.errors, function.throttles]
            new = [now - before for now, before in zip(counts, self._invoked[name], strict=True)]
            self._invoked[name] = counts
            if any(new):
                dimensions = frozenset({("FunctionName", function.spec.name)})
                for metric, value in zip(LAMBDA, new, strict=True):
                    yield ("AWS/Lambda", metric, dimensions), value

    def _gateway(self) -> Iterator[tuple[Metric, float]]:
        responses = Counter(self.stack.gateway.statuses)
        new, self._responses = responses - self._responses, responses
        dimensions = frozenset({("ApiName", self.stack.stack_name), ("Stage", "v1")})
        for metric, hundreds in (("4XXError", 4), ("5XXError", 5)) if new else ():
            count = sum(times for status, times in new.items() if status // 100 == hundreds)
            yield ("AWS/ApiGateway", metric, dimensions), count

    def _sqs(self) -> Iterator[tuple[Metric, float]]:
        for url in (self.stack.outbox_url, self.stack.rejected_url, self.stack.files_url):
            queue = self.stack.aws.queues.queue(url)
            dimensions = frozenset({("QueueName", queue.name)})
            messages = [one for one in queue.messages.values() if one.receives < 3]
            age = max((time.time() - one.sent_at for one in messages), default=0.0)
            visible = queue.counts()["ApproximateNumberOfMessages"]
            yield ("AWS/SQS", "ApproximateNumberOfMessagesVisible", dimensions), visible
            yield ("AWS/SQS", "ApproximateAgeOfOldestMessage", dimensions), age


def _embedded(line: Mapping[str, Any]) -> Iterator[tuple[Metric, float]]:
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = frozenset((one, line[one]) for one in names)
            for metric in directive["Metrics"]:
                values = line[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    yield (directive["Namespace"], metric["Name"], dimensions), value


def _filtered(
    declared: Mapping[str, Any], line: Mapping[str, Any]
) -> Iterator[tuple[Metric, float]]:
    """What a metric filter with the pattern { $.name = "text" } makes of a line of its log."""
    pattern = re.fullmatch(r'\{ \$\.(\w+) = "([^"*]*)" \}', declared["FilterPattern"])
    assert pattern, declared["FilterPattern"]
    if line.get(pattern[1]) == pattern[2]:
        for made in declared["MetricTransformations"]:
            dimensions = frozenset(
                (one["Key"], line[one["Value"].removeprefix("$.")]) for one in made["Dimensions"]
            )
            metric = (made["MetricNamespace"], made["MetricName"], dimensions)
            yield metric, float(made["MetricValue"])


def _value(alarm: Mapping[str, Any], period: Mapping[Metric, list[float]]) -> float | None:
    """The value that is compared with the threshold; None where data are missing."""
    if "Metrics" not in alarm:
        return _statistic(alarm, alarm["Statistic"], period)
    series = {
        one["Id"]: _statistic(one["MetricStat"]["Metric"], one["MetricStat"]["Stat"], period)
        for one in alarm["Metrics"]
        if "MetricStat" in one
    }
    (expression,) = (one["Expression"] for one in alarm["Metrics"] if "Expression" in one)
    try:
        return float(eval(expression, {"__builtins__": {}}, {**METRIC_MATH, **series}))
    except TypeError:  # arithmetic with a missing value
        return None


def _statistic(
    metric: Mapping[str, Any], statistic: str, period: Mapping[Metric, list[float]]
) -> float | None:
    dimensions = frozenset((one["Name"], one["Value"]) for one in metric["Dimensions"])
    values = period.get((metric["Namespace"], metric["MetricName"], dimensions))
    return STATISTICS[statistic](values) if values else None
