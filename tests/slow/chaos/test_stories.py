"""Random stories of messages, people and trouble; hypothesis shortens one that goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable

import hypothesis
import pytest

from tests.slow.chaos.conftest import LONG
from tests.slow.chaos.stories import COUNTS, Event, Story, stories


@pytest.mark.timeout(7200 if LONG else 600)
def test_in_no_story_a_message_is_lost_or_kept_twice_or_elsewhere(
    seed: int, sized: Callable[[int, int], int], in_process: None
) -> None:
    COUNTS.clear()

    @hypothesis.settings(
        max_examples=sized(100, 6_000),
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=True,
    )
    @hypothesis.seed(seed)
    @hypothesis.given(stories)
    def test(happens: list[Event]) -> None:
        Story().run(happens)

    test()
    table = "\n".join(f"  {name:32} {count:>9,}" for name, count in sorted(COUNTS.items()))
    print(f"\nStories, seed {seed}\n{table}", file=sys.__stdout__)
    # What is drawn often has happened; test_mutants.py tells the rare ones, as successors.
    updates = ("update updated", "update queued", "CHANGED_MEANWHILE")
    for name in ("meanwhile", "kills", "removed", *updates):
        assert COUNTS[name], name
