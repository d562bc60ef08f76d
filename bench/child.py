"""Runs a program of `programs/` in a process of its own, as Lambda would start it."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).with_name("programs")


def run(
    program: str,
    *arguments: str,
    environ: Mapping[str, str],
    path: tuple[Path | str, ...] = (),
    packages: bool = False,
    seconds: float = 300.0,
) -> Any:
    """The program's result, parsed.

    `path` is where it finds modules, and nothing else is: neither this environment's packages,
    unless `packages`, nor its .pth files, which Lambda has none of.
    """
    found = [str(one) for one in path]
    if packages:
        found += site.getsitepackages()
    variables = {**environ, "PYTHONPATH": os.pathsep.join(found), "PATH": os.defpath}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile() as errors, tempfile.NamedTemporaryFile() as result:
        done = subprocess.run(
            # -S: no .pth file is read. -P: this folder is not on the path.
            [sys.executable, "-S", "-P", str(PROGRAMS / f"{program}.py"), result.name, *arguments],
            env=variables,
            stdin=subprocess.DEVNULL,
            # The functions' log, which nobody reads here.
            stdout=subprocess.DEVNULL,
            stderr=errors,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            errors.seek(0)
            text = errors.read().decode(errors="replace")
            raise RuntimeError(f"{program} ended with {done.returncode}:\n{text[-3000:]}")
        return json.loads(Path(result.name).read_text(encoding="utf-8"))
