"""The demo prints an address of a record only where the stack stays on for it."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.demo import Demo


@pytest.mark.parametrize("stays", [True, False])
def test_a_link_lives_or_is_not_printed(stays: bool, capsys: pytest.CaptureFixture[str]) -> None:
    stack: Any = None
    Demo(stack, links=stays).link({"url": "http://127.0.0.1:1/00Q1"})
    assert ("http://127.0.0.1:1/00Q1" in capsys.readouterr().out) is stays
