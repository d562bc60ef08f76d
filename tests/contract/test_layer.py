"""The layer's Makefile: without the runtime's Python there is no bytecode, which CI must not ship.

COMPILER is what the Makefile finds: a Python of the runtime's version, or nothing.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools.template import ROOT


def make(folder: Path, *given: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(ROOT / "layers" / "bridge"), f"ARTIFACTS_DIR={folder}"]
    return subprocess.run(
        [*command, *given, "build-BridgeLayer"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_layer_without_bytecode_fails_in_ci_before_anything_is_built(tmp_path: Path) -> None:
    done = make(tmp_path, "COMPILER=", "CI=true")
    assert done.returncode != 0
    assert "no bytecode" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_elsewhere_it_is_built_with_a_warning(tmp_path: Path) -> None:
    done = make(tmp_path, "COMPILER=", "CI=", "-n")
    assert done.returncode == 0, done.stderr
    assert "WARNING" in done.stdout
    assert "compileall" not in done.stdout
    with_it = make(tmp_path, "COMPILER=python3.13", "CI=true", "-n")
    assert with_it.returncode == 0, with_it.stderr
    assert "compileall" in with_it.stdout
    assert "WARNING" not in with_it.stdout
