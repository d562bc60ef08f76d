"""CloudWatch, as far as this template's alarms use it: metrics, metric math, alarms over time.

An alarm with periods of a minute or more is evaluated every minute, over periods that end with
that minute ("at the end of minute 5 ... minutes 1 to 5. Then at the end of minute 6 ... minutes 2
to 6"): https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html

How missing data is treated, and when an alarm is raised early:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html

Two things AWS does not tell, so they are options here (`Reading`), and what is proved has to be
true of each: how many periods further back than its own an alarm looks for data (it "depends on
the length of the alarm period"; the examples look two further), and whether FILL fills a metric
that has no data at all.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from types import CodeType
from typing import Any

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
ACTIONS = {
    OK: "OKActions",
    ALARM: "AlarmActions",
    INSUFFICIENT_DATA: "InsufficientDataActions",
}
EVALUATION_SECONDS = 60

Key = tuple[str, str, frozenset[tuple[str, str]]]
"""Namespace, name, dimensions."""


@dataclass(frozen=True)
class Point:
    """One value of one metric. `at` is seconds since the epoch."""

    at: float
    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    value: float


@dataclass(frozen=True)
class Reading:
    """One way to read what AWS leaves open."""

    further_periods: int = 2
    fills_nothing: bool = True
    """Whether FILL makes values out of a metric without any."""


READINGS = (
    Reading(),
    Reading(further_periods=0),
    Reading(fills_nothing=False),
)


class Metrics:
    """What was measured. Points come in the order of their time."""

    def __init__(self) -> None:
        self.points: dict[Key, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))

    def put(self, points: Iterable[Point]) -> None:
        """Keep these points; of one metric, the later after the earlier."""
        for point in points:
            times, values = self.points[point.namespace, point.name, point.dimensions]
            if times and point.at < times[-1]:
                raise ValueError(f"{point} is older than the one before")
            times.append(point.at)
            values.append(point.value)

    @property
    def names(self) -> set[tuple[str, str]]:
        """Namespace and name of everything that was ever measured."""
        return {key[:2] for key in self.points}

    def series(
        self, metric: Mapping[str, Any], statistic: str, edges: Sequence[float]
    ) -> list[float | None]:
        """The statistic in each period, newest first; None where nothing was measured.

        `edges` are the periods' ends and the last one's beginning; a period holds its beginning,
        not its end.
        """
        where = frozenset((one["Name"], one["Value"]) for one in metric["Dimensions"])
        key = (metric["Namespace"], metric["MetricName"], where)
        if key not in self.points:
            return [None] * (len(edges) - 1)
        times, values = self.points[key]
        if times[-1] < edges[-1]:
            return [None] * (len(edges) - 1)
        places = [bisect_left(times, edge) for edge in edges]
        take: dict[str, Callable[[list[float]], float]] = {"Sum": sum, "Maximum": max}
        return [
            take[statistic](values[first:end]) if first < end else None
            for end, first in pairwise(places)
        ]


# Metric math: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html


def calculated(
    expression: str, series: Mapping[str, Sequence[float | None]], reading: Reading
) -> list[float | None]:
    """An expression over several series: a value in each period, None where one is missing."""
    code = _compiled(expression)
    empty = {name for name, values in series.items() if all(one is None for one in values)}
    # FILL is given a name's value; whether the whole series is empty only the name tells.
    filled = set(re.findall(r"FILL\((\w+)", expression))
    if not reading.fills_nothing and filled & empty:
        code = _compiled(re.sub(r"FILL\((\w+), 0\)", r"\1", expression))
        series = {
            name: values if name in empty or name not in filled else [one or 0 for one in values]
            for name, values in series.items()
        }
    result: list[float | None] = []
    for number in range(max(map(len, series.values()))):
        names = {name: values[number] for name, values in series.items()}
        try:
            result.append(float(eval(code, {"__builtins__": {}}, {**_FUNCTIONS, **names})))
        except TypeError:
            # Arithmetic with a missing value has no value.
            result.append(None)
    return result


@lru_cache
def _compiled(expression: str) -> CodeType:
    return compile(expression, "metric math", "eval")


def _over(take: Callable[[list[float]], float]) -> Callable[[list[float | None]], float | None]:
    """A function of an array passes over what is missing in it."""

    def apply(values: list[float | None]) -> float | None:
        there = [one for one in values if one is not None]
        return take(there) if there else None

    return apply


_FUNCTIONS: dict[str, Any] = {
    "FILL": lambda value, other: other if value is None else value,
    "MAX": _over(max),
    "SUM": _over(sum),
}


# Alarms


def judged(
    breaching: Sequence[bool | None],
    *,
    periods: int,
    to_alarm: int,
    missing: str,
    state: str,
) -> str:
    """The state that follows from the data points of the evaluation range, newest first.

    None is a missing point; `periods` are the alarm's Evaluation Periods, `to_alarm` its Datapoints
    to Alarm, `missing` its TreatMissingData, `state` what it was.
    """
    there = [(age, one) for age, one in enumerate(breaching) if one is not None]
    if len(there) >= periods:
        return ALARM if sum(one for _, one in there[:periods]) >= to_alarm else OK
    if not there and missing == "missing":
        return INSUFFICIENT_DATA
    if not there and missing == "ignore":
        return state
    bad = sum(one for _, one in there)
    if missing == "breaching":
        bad += periods - len(there)
    if bad >= to_alarm:
        return ALARM
    if missing in ("missing", "ignore") and there and all(one for _, one in there):
        # Everything that is known is bad, but not enough is known: early only if it is old enough.
        oldest, _ = there[-1]
        if missing == "ignore":
            return state
        return ALARM if oldest + 1 >= to_alarm else OK
    return OK


@dataclass(frozen=True)
class Change:
    """An alarm went over into another state, and told `topics` of it."""

    at: float
    alarm: str
    before: str
    after: str
    topics: tuple[str, ...]


@dataclass
class Alarm:
    """One alarm: its properties as in CloudFormation, resolved, and the state it is in."""

    name: str
    properties: Mapping[str, Any]
    reading: Reading = field(default_factory=Reading)
    state: str = INSUFFICIENT_DATA

    def evaluate(self, metrics: Metrics, now: float) -> Change | None:
        """Look at everything before `now`; tells a change of state."""
        after = judged(
            self._breaching(metrics, now),
            periods=self.periods,
            to_alarm=int(self.properties.get("DatapointsToAlarm", self.periods)),
            missing=self.properties.get("TreatMissingData", "missing"),
            state=self.state,
        )
        if after == self.state:
            return None
        before, self.state = self.state, after
        return Change(
            at=now,
            alarm=self.name,
            before=before,
            after=after,
            topics=tuple(self.properties.get(ACTIONS[after], ())),
        )

    @cached_property
    def periods(self) -> int:
        return int(self.properties["EvaluationPeriods"])

    @cached_property
    def period_seconds(self) -> int:
        properties = self.properties
        if "Metrics" not in properties:
            return int(properties["Period"])
        (seconds,) = {
            int(one["MetricStat"]["Period"]) for one in properties["Metrics"] if "MetricStat" in one
        }
        return seconds

    def _breaching(self, metrics: Metrics, now: float) -> list[bool | None]:
        if self.periods * self.period_seconds > 86_400:
            raise NotImplementedError("alarms over more than a day are evaluated once an hour")
        count = self.periods + self.reading.further_periods
        seconds = self.period_seconds
        edges = [now - number * seconds for number in range(count + 1)]
        return [None if one is None else self._crosses(one) for one in self._values(metrics, edges)]

    def _values(self, metrics: Metrics, edges: Sequence[float]) -> list[float | None]:
        properties = self.properties
        if "Metrics" not in properties:
            return metrics.series(properties, properties["Statistic"], edges)
        series = {
            one["Id"]: metrics.series(one["MetricStat"]["Metric"], one["MetricStat"]["Stat"], edges)
            for one in properties["Metrics"]
            if "MetricStat" in one
        }
        (expression,) = (one["Expression"] for one in properties["Metrics"] if "Expression" in one)
        return calculated(expression, series, self.reading)

    def _crosses(self, value: float) -> bool:
        threshold = float(self.properties["Threshold"])
        crosses: dict[str, bool] = {
            "GreaterThanThreshold": value > threshold,
            "GreaterThanOrEqualToThreshold": value >= threshold,
            "LessThanThreshold": value < threshold,
            "LessThanOrEqualToThreshold": value <= threshold,
        }
        return crosses[self.properties["ComparisonOperator"]]


# Metric filters: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html


def counted(metric_filter: Mapping[str, Any], line: str, at: float) -> list[Point]:
    """What a metric filter makes of one line of its log group.

    Only the pattern { $.name = "text" } is known, which compares a text with a text.
    """
    found = re.fullmatch(r'\{ \$\.(\w+) = "([^"*]*)" \}', metric_filter["FilterPattern"])
    if not found:
        raise NotImplementedError(metric_filter["FilterPattern"])
    try:
        said = json.loads(line)
    except ValueError:
        return []
    if said.get(found[1]) != found[2]:
        return []
    points = []
    for made in metric_filter["MetricTransformations"]:
        dimensions = {
            one["Key"]: said.get(one["Value"].removeprefix("$."))
            for one in made.get("Dimensions", ())
        }
        # Without one of its dimensions the line is not counted.
        if all(isinstance(value, str) for value in dimensions.values()):
            points.append(
                Point(
                    at=at,
                    namespace=made["MetricNamespace"],
                    name=made["MetricName"],
                    dimensions=frozenset(dimensions.items()),
                    value=float(made["MetricValue"]),
                )
            )
    return points
