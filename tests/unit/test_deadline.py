"""A caller's time is counted from when the gateway took the request."""

from __future__ import annotations

import time

import pytest

from bridge.deadline import Deadline, respond_by


def left(requested_at_ms: object, *, function: float = 20) -> float:
    """What is left of a budget of eight seconds."""
    return respond_by(
        requested_at_ms=requested_at_ms, budget_seconds=8, function_seconds=function
    ).remaining()


@pytest.mark.parametrize(
    ("seconds_ago", "expected"),
    [
        *((3, 5), (9, 0)),  # a cold start counts
        *((21, 8), (3600, 8), (90 * 24 * 3600, 8)),  # a replayed event has its whole budget
        *((-0.5, 8), (-3600, 8)),  # a time in the future is ignored
    ],
)
def test_time_counts_from_the_request(seconds_ago: float, expected: float) -> None:
    assert left((time.time() - seconds_ago) * 1000) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("value", [None, "1790236800123", True, [], float("nan"), float("inf")])
def test_a_time_that_is_none_is_ignored(value: object) -> None:
    assert left(value) == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize(("function", "expected"), [(5, 4), (0.5, 0)])
def test_an_answer_is_due_before_the_function_ends(function: float, expected: float) -> None:
    assert left(None, function=function) == pytest.approx(expected, abs=0.1)


def test_a_deadline_counts_down_to_zero_and_stays_there() -> None:
    assert Deadline.after(-5).remaining() == 0
    assert Deadline.after(5).sooner(2).remaining() == pytest.approx(3, abs=0.1)
