"""A tab of the browser, and its pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

Tab = Any
"""A Playwright page."""


def picture(tab: Tab, name: str) -> None:
    """Keep a picture of the tab if SCREENSHOTS names a folder."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        tab.screenshot(path=str(Path(folder) / f"{name}.png"))
