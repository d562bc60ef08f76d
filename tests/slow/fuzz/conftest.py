"""The names that Powertools takes from the environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def powertools_names() -> Iterator[None]:
    """Once for all examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POWERTOOLS_SERVICE_NAME", "bird-salesforce")
        patch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BirdSalesforce")
        yield
