"""A short coverage-guided run of each target finds nothing. `make fuzz` runs them for long.

atheris has wheels for Linux on x86_64 only; elsewhere Hypothesis's own input is all there is. `make
test-all` on Linux on x86_64, so CI too, fails if atheris is missing there.
"""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slow.fuzz.long import command
from tests.slow.fuzz.targets import TARGETS

HAS_WHEELS = (
    sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info < (3, 14)
)


@pytest.mark.skipif(not HAS_WHEELS, reason="atheris has no wheel for this Python or machine")
@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run_finds_nothing(name: str, tmp_path: Path) -> None:
    assert importlib.util.find_spec("atheris"), "it is in requirements-dev.txt: run make setup"
    run = subprocess.run(
        **command(name, tmp_path, "-runs=400", "-seed=7"),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert "DONE" in run.stderr
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
