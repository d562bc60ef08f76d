"""A caller's time is counted from when the gateway took the request."""

from __future__ import annotations

import time

import pytest

from bridge.deadline import Deadline, respond_by


def left(requested_at_ms: object, *, budget: float = 8, function: float = 20) -> float:
    return respond_by(
        requested_at_ms=requested_at_ms, budget_seconds=budget, function_seconds=function
    ).remaining()


def ago(seconds: float) -> float:
    return (time.time() - seconds) * 1000


def test_a_cold_start_counts() -> None:
    assert left(ago(3)) == pytest.approx(5, abs=0.1)


def test_a_start_that_took_the_whole_budget_leaves_nothing() -> None:
    assert left(ago(9)) == 0


@pytest.mark.parametrize("seconds", [21, 3600, 90 * 24 * 3600])
def test_a_replayed_event_has_its_whole_budget(seconds: float) -> None:
    assert left(ago(seconds)) == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize("seconds", [-0.5, -3600])
def test_a_time_in_the_future_is_ignored(seconds: float) -> None:
    assert left(ago(seconds)) == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize("value", [None, "1790236800123", True, [], float("nan"), float("inf")])
def test_a_time_that_is_none_is_ignored(value: object) -> None:
    assert left(value) == pytest.approx(8, abs=0.1)


def test_an_answer_is_due_before_the_function_ends() -> None:
    assert left(None, function=5) == pytest.approx(4, abs=0.1)
    assert left(None, function=0.5) == 0


def test_a_deadline_counts_down_to_zero_and_stays_there() -> None:
    assert Deadline.after(-5).remaining() == 0
    assert Deadline.after(5).sooner(2).remaining() == pytest.approx(3, abs=0.1)
