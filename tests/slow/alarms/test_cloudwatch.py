"""The evaluator itself, by the tables in AWS's documentation and by what its text says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .cloudwatch import (
    ALARM,
    INSUFFICIENT_DATA,
    OK,
    Alarm,
    Metrics,
    Point,
    Reading,
    calculated,
    counted,
    judged,
)

RETAIN = "whatever it was"
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
# The newest point is on the right; 0 is good, X is bad, - is missing. Evaluation Periods is 3.
TABLES: dict[int, dict[str, tuple[str, str, str, str]]] = {
    3: {
        "0 - X - X": (OK, OK, OK, OK),
        "0 - - - -": (OK, OK, OK, OK),
        "- - - - -": (INSUFFICIENT_DATA, RETAIN, ALARM, OK),
        "0 X X - X": (ALARM, ALARM, ALARM, ALARM),
        "- - X - -": (ALARM, RETAIN, ALARM, OK),
    },
    2: {
        "0 - X - X": (ALARM, ALARM, ALARM, ALARM),
        "0 0 X 0 X": (ALARM, ALARM, ALARM, ALARM),
        "0 - X - -": (OK, OK, ALARM, OK),
        "- - - - 0": (OK, OK, ALARM, OK),
        "- - - X -": (ALARM, RETAIN, ALARM, OK),
    },
}
ROWS = [
    (to_alarm, data, missing, expected)
    for to_alarm, table in TABLES.items()
    for data, row in table.items()
    for missing, expected in zip(TREATMENTS, row, strict=True)
]


def points(data: str) -> list[bool | None]:
    """The documentation's notation, newest first."""
    return [{"0": False, "X": True, "-": None}[one] for one in reversed(data.split())]


@pytest.mark.parametrize("state", [OK, ALARM, INSUFFICIENT_DATA])
@pytest.mark.parametrize(("to_alarm", "data", "missing", "expected"), ROWS)
def test_missing_data_is_treated_as_in_aws_s_tables(
    to_alarm: int, data: str, missing: str, expected: str, state: str
) -> None:
    after = judged(points(data), periods=3, to_alarm=to_alarm, missing=missing, state=state)
    assert after == (state if expected == RETAIN else expected)


@pytest.mark.parametrize("data", ["- - - - X", "- - - X -", "- - - X 0", "- - X - 0"])
def test_an_alarm_is_not_raised_too_early(data: str) -> None:
    """ "The alarm does not go immediately into ALARM state": the next point may be good."""
    assert judged(points(data), periods=3, to_alarm=3, missing="missing", state=OK) == OK


def test_an_alarm_does_not_wait_for_ever_for_data_that_does_not_come() -> None:
    data = points("- - X - -")
    assert judged(data, periods=3, to_alarm=3, missing="missing", state=OK) == ALARM


METRIC: dict[str, Any] = {
    "Namespace": "Mine",
    "MetricName": "Count",
    "Dimensions": [{"Name": "service", "Value": "one"}],
}


def alarm(reading: Reading | None = None, **more: Any) -> Alarm:
    properties = {
        **METRIC,
        "Statistic": "Sum",
        "Period": 300,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": ["topic-alarm"],
        "OKActions": ["topic-ok"],
        **more,
    }
    return Alarm("it", properties, reading or Reading(further_periods=0))


def measured(*values: tuple[float, float], service: str = "one") -> Metrics:
    metrics = Metrics()
    where = frozenset({("service", service)})
    metrics.put(Point(at, "Mine", "Count", where, value) for at, value in values)
    return metrics


def states(one: Alarm, metrics: Metrics, *, minutes: int) -> str:
    """The state after each minute: O, A or I."""
    seen = ""
    for minute in range(1, minutes + 1):
        one.evaluate(metrics, minute * 60)
        seen += one.state[0]
    return seen


def test_periods_slide_by_a_minute() -> None:
    """Minutes 1 to 5, then 2 to 6: a point of minute 3 counts until the end of minute 7."""
    assert states(alarm(), measured((130, 1)), minutes=10) == "OOAAAAAOOO"


def test_data_further_back_is_used_while_newer_is_missing() -> None:
    one = alarm(Reading(further_periods=2))
    assert states(one, measured((130, 1)), minutes=20) == "OO" + "A" * 15 + "OOO"


def test_newer_data_comes_before_what_is_further_back() -> None:
    one = alarm(Reading(further_periods=2))
    assert states(one, measured((130, 1), (490, 0)), minutes=12) == "OO" + "A" * 6 + "OOOO"


def test_two_of_three_periods_have_to_be_bad() -> None:
    one = alarm(EvaluationPeriods=3, DatapointsToAlarm=2)
    once = states(one, measured((30, 1)), minutes=20)
    one = alarm(EvaluationPeriods=3, DatapointsToAlarm=2)
    twice = states(one, measured((30, 1), (640, 1)), minutes=20)
    assert set(once) == {"O"}
    assert twice == "O" * 10 + "A" * 5 + "O" * 5


def test_the_statistic_is_of_one_period() -> None:
    values = measured((10, 1), (20, 2), (320, 5))
    assert values.series(METRIC, "Sum", [600, 300, 0]) == [5, 3]
    assert values.series(METRIC, "Maximum", [600, 300, 0]) == [5, 2]
    assert values.series(METRIC, "Sum", [300, 0, -300]) == [3, None]


def test_another_dimension_is_another_metric() -> None:
    assert set(states(alarm(), measured((130, 1), service="two"), minutes=10)) == {"O"}


def test_each_change_tells_the_topics_of_the_state_it_goes_to_and_no_change_tells_nobody() -> None:
    one = alarm(TreatMissingData="missing", InsufficientDataActions=["topic-missing"])
    metrics = measured((30, 1), (330, 0))
    said = [change for minute in range(1, 20) if (change := one.evaluate(metrics, minute * 60))]
    assert [(change.at, change.before, change.after, change.topics) for change in said] == [
        (60, INSUFFICIENT_DATA, ALARM, ("topic-alarm",)),
        (360, ALARM, OK, ("topic-ok",)),
        (660, OK, INSUFFICIENT_DATA, ("topic-missing",)),
    ]


def test_a_state_without_actions_tells_nobody() -> None:
    change = alarm(OKActions=[]).evaluate(measured(), 60)
    assert change is not None
    assert (change.after, change.topics) == (OK, ())


@pytest.mark.parametrize("fills_nothing", [True, False])
@pytest.mark.parametrize(
    ("expression", "a", "b", "expected"),
    [
        ("SUM([FILL(a, 0), FILL(b, 0)])", [1, None], [2, 3], [3, 3]),
        ("SUM([FILL(a, 0), FILL(b, 0)])", [None, None], [2, 3], [2, 3]),
        ("MAX([FILL(a, 0), FILL(b, 0)]) / 60", [None, None], [120, None], [2, 0]),
        ("100 * a / (60 * 45)", [2700, None], [None, None], [100, None]),
    ],
)
def test_metric_math_counts_what_is_missing_as_nothing_only_where_it_is_filled(
    expression: str, a: list[Any], b: list[Any], expected: list[Any], fills_nothing: bool
) -> None:
    reading = Reading(fills_nothing=fills_nothing)
    assert calculated(expression, {"a": a, "b": b}, reading) == expected


def test_without_any_data_it_is_not_known_whether_there_is_something_to_fill() -> None:
    series = {"a": [None, None]}
    assert calculated("MAX([FILL(a, 0)])", series, Reading(fills_nothing=True)) == [0, 0]
    assert calculated("MAX([FILL(a, 0)])", series, Reading(fills_nothing=False)) == [None, None]


def test_a_metric_filter_counts_the_lines_that_fit() -> None:
    made = {
        "MetricNamespace": "Mine",
        "MetricName": "TurnedAway",
        "MetricValue": "1",
        "Dimensions": [{"Key": "service", "Value": "$.service"}],
    }
    one = {"FilterPattern": '{ $.status = "429" }', "MetricTransformations": [made]}

    def count(**line: Any) -> int:
        return len(counted(one, json.dumps(line), 5.0))

    assert counted(one, '{"status": "429", "service": "s"}', 5.0) == [
        Point(5.0, "Mine", "TurnedAway", frozenset({("service", "s")}), 1.0)
    ]
    assert count(status="200", service="s") == 0
    assert count(status=429, service="s") == 0, "a text is compared with a text"
    assert count(status="429") == 0, "without its dimension"
    assert counted(one, "no JSON", 5.0) == []
