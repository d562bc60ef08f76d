"""What every unit test runs with."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def powertools(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the template gives to Powertools."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "bird-salesforce")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BirdSalesforce")
