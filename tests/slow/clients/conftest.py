"""An org on a port of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.org import OrgServer


@pytest.fixture
def server() -> Iterator[OrgServer]:
    with OrgServer() as running:
        yield running
