"""An org on a port of its own, for clients that are not ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.org import Org, OrgServer


@pytest.fixture
def server() -> Iterator[OrgServer]:
    with OrgServer(Org.sample()) as running:
        running.org.settings.refresh_seconds = 0.0
        yield running
