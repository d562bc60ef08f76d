"""Random stories of callers, deliveries and trouble; hypothesis shortens one that goes wrong."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.slow.chaos.conftest import LONG
from tests.slow.chaos.machine import Story


@pytest.mark.slow
@pytest.mark.timeout(900 if LONG else 120)
def test_in_no_story_is_anything_lost_or_made_twice(
    seed: int, sized: Callable[[int, int], int], in_process: None
) -> None:
    settings = hypothesis.settings(
        max_examples=sized(120, 3_000),
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(hypothesis.seed(seed)(Story), settings=settings)
