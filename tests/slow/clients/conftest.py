"""Orgs on ports of their own, for clients that are not ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.org import Org, OrgServer
from tests.slow.clients import npm


@pytest.fixture
def server() -> Iterator[OrgServer]:
    with OrgServer(Org.sample()) as running:
        running.org.settings.refresh_seconds = 0.0
        yield running


@pytest.fixture(scope="session")
def installed() -> Callable[[str], Path]:
    """Gives the folder of a project from npm; skips the test where it cannot be installed."""

    def folder(project: str) -> Path:
        try:
            return npm.install(project)
        except npm.NotInstalled as reason:
            pytest.skip(f"Not run: {project} against the org ({reason})")

    return folder
