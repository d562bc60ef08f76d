"""The bundle with faults: nothing that was accepted is lost, and nothing is made twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.slow.chaos.conftest import LONG
from tests.slow.chaos.run import Plan, Run


@pytest.mark.slow
@pytest.mark.timeout(1200 if LONG else 300)
def test_with_faults_nothing_is_lost_and_nothing_made_twice(
    seed: int, sized: Callable[[int, int], int]
) -> None:
    plan = Plan(
        records=sized(2_200, 50_000), seed=seed, rate=sized(80, 110), quiet_moments=sized(1, 5)
    )

    report = Run(plan).go()

    print(f"\n{report.table()}")
    assert report.findings.all == [], report.table()
    assert int(report.counts["accepted"]) >= 0.98 * plan.records
    assert report.counts["kinds of fault"] == len(plan.scenarios)
