"""The coverage-guided targets: every seed passes, and a short run of each finds nothing.

`make fuzz` runs them for long. atheris has wheels for Linux on x86_64 only; elsewhere the seeds are
all there is. `make test-all` on Linux on x86_64, so CI too, fails if atheris is missing there.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slow.fuzz.targets import TARGETS

FOLDER = Path(__file__).parent
SEEDS = sorted(path for path in (FOLDER / "corpus").glob("*/*") if path.is_file())
HAS_WHEELS = (
    sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info < (3, 14)
)

RUNS = {"envelope": 150, "bird_context": 250}
"""Executions in a test; 400 of the others. About two seconds each."""


def test_every_target_has_seeds_and_every_seed_a_target() -> None:
    assert {path.parent.name for path in SEEDS} == set(TARGETS)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_seed_is_nothing_odd(seed: Path) -> None:
    TARGETS[seed.parent.name](seed.read_bytes())


@pytest.mark.skipif(not HAS_WHEELS, reason="atheris has no wheel for this Python or machine")
@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run_finds_nothing(name: str, tmp_path: Path) -> None:
    assert importlib.util.find_spec("atheris"), "it is in requirements-dev.txt: run make setup"
    run = fuzz(name, tmp_path, f"-runs={RUNS.get(name, 400)}", "-seed=7")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert "DONE" in run.stderr
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def fuzz(name: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """One target in a process of its own."""
    root = FOLDER.parents[2]
    return subprocess.run(
        [sys.executable, "-m", "tests.slow.fuzz.atheris_run", name, str(folder), *options],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'layers/bridge'}"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=50,
        check=False,
    )
