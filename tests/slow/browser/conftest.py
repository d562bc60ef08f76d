"""A real browser: Debian's Chromium, without a window."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.org import Org
from tests.cli.conftest import Local, local_stack

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
SECONDS = 20.0

Tab = Any
"""A Playwright page."""


def picture(tab: Tab, name: str) -> None:
    """Keep a picture of the tab if SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        tab.screenshot(path=str(Path(folder) / f"{name}.png"))


playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: make setup"
)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is missing (apt-get install chromium, or CHROMIUM=…)")
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def tab(browser: object) -> Iterator[object]:
    """A tab of a browser that knows nobody yet."""
    context = browser.new_context(viewport={"width": 1000, "height": 760})  # type: ignore[attr-defined]
    context.set_default_timeout(SECONDS * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    yield from local_stack(Org.sample(), tmp_path_factory.mktemp("stack"))


@pytest.fixture
def local(shared: Local) -> Iterator[Local]:
    """A stack that is not connected, and an org that has everything."""
    yield shared
    shared.org.oauth.revoke_all()
    shared.forget_connection()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Local]:
    """A stack that is not connected, and an org that has nothing of ours."""
    yield from local_stack(Org.bare(), tmp_path)
