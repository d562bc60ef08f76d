"""A bar is met, not met with the reason, or not measured with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.report import CALLERS, Bar, bars, text

WARM = {
    "cpu_us": 600.0,
    "wall_us": 900.0,
    "floor_cpu_us": 340.0,
    "floor_wall_us": 700.0,
    "ratio": 1.8,
    "bytes": 239,
    "memory_kib": {"100": 28_000, "1000": 28_100, "10000": 28_200},
}
COLD = {"process": 150.0, "cpu": 140.0, "import": 110.0, "first": 30.0, "modules": 190}
WAIT: dict[str, Any] = {
    "ms": 170.0,
    "salesforce": {"POST /sobjects/Lead": 2},
    "aws": {"create_lead ssm.GetParameter": 1},
}
BATCH = {"cpu_ms": 0.04, "records_per_second": 6000.0, "records_per_call": 200.0}
RESULT: dict[str, Any] = {
    "python": "Python 3.13.0",
    "machine": "Linux x86_64, 2 CPUs",
    "load": 0.5,
    "warm": dict.fromkeys(CALLERS, WARM),
    "cold": {
        "create_lead": {**COLD, "ratio": 0.48},
        "create_case": {**COLD, "ratio": 0.48},
        "message of a conversation": {**COLD, "ratio": 0.48},
        "urllib3-post": {**COLD, "ratio": 0.36},
    },
    "deliver": {"200 usual": BATCH},
    "waits": {"warm": WAIT},
    "layer": {"bytes": 2_300_000, "compiled": []},
}


def changed(*path: str, to: Any) -> Any:
    """The good result with one value replaced."""
    result = json.loads(json.dumps(RESULT))
    place = result
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return result


def test_a_good_run_meets_every_bar() -> None:
    assert [bar.name for bar in bars(RESULT) if bar.met is not True] == []


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("warm", "create_lead", "ratio"), 2.01, "bare POST"),
        (("warm", "create_lead", "memory_kib", "10000"), 29_125, "memory"),
        (("cold", "create_case", "ratio"), 0.51, "cold create_case"),
        (("deliver", "200 usual", "cpu_ms"), 0.51, "CPU a record"),
        (("layer", "bytes"), 6_000_001, "layer"),
        (("layer", "compiled"), ["speedups.so"], "layer"),
    ],
)
def test_a_bar_that_is_not_met_is_the_only_one_and_gives_the_reason(
    path: tuple[str, ...], value: Any, name: str
) -> None:
    (missed,) = [bar for bar in bars(changed(*path, to=value)) if not bar.met]
    assert name in missed.name
    assert missed.verdict.startswith("NOT MET: ")
    assert missed.why


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    (layer,) = [bar for bar in bars(changed("layer", to=None)) if bar.name == "layer"]
    assert layer.verdict == "not measured: make build was not run"
    (memory,) = [
        bar
        for bar in bars(changed("warm", "create_lead", "memory_kib", to={}))
        if bar.name == "memory"
    ]
    assert memory.verdict == "not measured: only Linux shows it"


def test_the_text_has_every_bar_with_its_verdict() -> None:
    judged = [Bar("one", "≤ 1", "0", True), Bar("two", "≤ 1", "3", False, "a busy machine")]
    lines = text(RESULT, judged).splitlines()
    assert lines[-2].split() == ["one", "≤", "1", "0", "met"]
    assert lines[-1].endswith("NOT MET: a busy machine")
