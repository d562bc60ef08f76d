"""How much chaos, and which."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator

import pytest

NOWHERE = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
LONG = os.environ.get("CHAOS") == "long"


@pytest.fixture(scope="session")
def seed() -> int:
    """Of everything that is drawn: CHAOS_SEED, or a new one, which every table shows."""
    return int(os.environ.get("CHAOS_SEED") or secrets.randbelow(10**6))


@pytest.fixture
def sized() -> Callable[[int, int], int]:
    """Chooses between the short form's number and the long form's."""
    return lambda short, long: long if LONG else short


@pytest.fixture(scope="module", autouse=True)
def _unmeasured() -> Iterator[None]:
    """The functions' processes measure no coverage here: most are killed, and some run patched
    copies of the code."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
            patch.delenv(name)
        yield


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For code of the bundle that runs in this process: its variables, and silence for its log."""
    # Powertools keeps a service's logger, and where it writes, as long as the program lives.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "chaos")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BirdSalesforce")
    with contextlib.redirect_stdout(NOWHERE):
        yield
