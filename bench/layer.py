"""The layer as it is deployed: a copy of what its Makefile puts into it, and what was built."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.template import ROOT

BUILT = ROOT / ".aws-sam/build/BridgeLayer"
PACKAGES = ("aws_lambda_powertools", "jmespath", "jwt", "typing_extensions")
"""layers/bridge/requirements.txt."""


def copy_layer(folder: Path) -> Path:
    """Make the layer in `folder` and the functions beside it, with bytecode as in Lambda."""
    shutil.copytree(
        ROOT / "layers/bridge/bridge", folder / "bridge", ignore=shutil.ignore_patterns("*.pyc")
    )
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None, f"{name} is not installed"
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            left_out = shutil.ignore_patterns("*.pyc", "event_handler")
            shutil.copytree(origin.parent, folder / name, ignore=left_out)
        else:
            shutil.copy(origin, folder)
    functions = function_folder(folder, "")
    shutil.copytree(ROOT / "functions", functions)
    for compiled in (folder, functions):
        subprocess.run(
            [sys.executable, "-m", "compileall", "-q", str(compiled)], check=True, timeout=120
        )
    return folder


def function_folder(layer: Path, name: str) -> Path:
    """The copy of a function that belongs to a copy of the layer."""
    return layer.parent / f"{layer.name}-functions" / name


def measure_built() -> dict[str, Any] | None:
    """Unzipped bytes and compiled parts of what `make build` left; None if it was not run."""
    if not BUILT.is_dir():
        return None
    files = [path for path in BUILT.rglob("*") if path.is_file()]
    return {
        "bytes": sum(path.stat().st_size for path in files),
        "compiled": [path.name for path in files if path.suffix in (".so", ".pyd", ".dylib")],
    }
