"""What every unit test runs with."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's matter.
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def powertools(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the template gives to Powertools."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "bird-salesforce")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BirdSalesforce")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes while one sleeps, and only then; the pauses so far."""
    pauses: list[float] = []
    started = time.monotonic()
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(time, "monotonic", lambda: started + sum(pauses))
    return pauses
