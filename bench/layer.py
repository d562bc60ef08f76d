"""The layer as it is deployed: what its Makefile puts into it, in a folder of our own.

Bytecode is the layer's own affair here: the standard library has always some, as in Lambda.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

from tools.template import ROOT

PACKAGES = ("aws_lambda_powertools", "jmespath", "jwt", "typing_extensions", "urllib3")
"""layers/bridge/requirements.txt."""


def copy_layer(folder: Path, *, python: str, bytecode: bool) -> Path:
    """Make the layer in `folder`, compiled by that Python, or without any bytecode."""
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
    shutil.copytree(ROOT / "functions", folder.parent / f"{folder.name}-functions")
    if bytecode:
        for compiled in (folder, folder.parent / f"{folder.name}-functions"):
            subprocess.run(
                [python, "-m", "compileall", "-q", str(compiled)], check=True, timeout=120
            )
    return folder


def function_folder(layer: Path, name: str) -> Path:
    """The copy of a function that belongs to a copy of the layer."""
    return layer.parent / f"{layer.name}-functions" / name
