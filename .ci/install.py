"""Installs a list of pinned requirements with pip, and says every few seconds how far it is.

    PYTHON .ci/install.py ENVIRONMENT REQUIREMENTS [LIST…]

ENVIRONMENT is a virtual environment's folder. pip prints hundreds of lines, or nothing for minutes.
The lists are complete and have hashes, so that pip has nothing to resolve.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

EVERY_SECONDS = 15.0

BEGINS = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?==", re.MULTILINE)
"""A requirement's first line."""


class Installation:
    """One run of pip."""

    def __init__(self, environment: Path, lists: list[str]) -> None:
        self._environment = environment
        self._total = sum(len(BEGINS.findall(Path(one).read_text())) for one in lists)
        self._output: list[str] = []
        self._fetched = 0
        self._left_out = 0
        self._name = ""
        self._installing = False
        self._arguments = [one for path in lists for one in ("-r", path)]

    def run(self) -> int:
        """pip's exit code; on an error its output is shown."""
        begun = time.monotonic()
        installed_before = self._installed()
        pip = subprocess.Popen(
            [
                *(str(self._environment / "bin" / "python"), "-m", "pip"),
                *("--disable-pip-version-check", "--no-input"),
                *("install", "--progress-bar", "off", "--no-deps", "--require-hashes"),
                *self._arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        reader = threading.Thread(target=self._read, args=(pip,), daemon=True)
        reader.start()
        while True:
            reader.join(EVERY_SECONDS)
            if not reader.is_alive():
                break
            print(
                f"  {time.monotonic() - begun:4.0f} s  {self._state(installed_before)}", flush=True
            )
        code = pip.wait()
        if code:
            print("".join(self._output), end="", file=sys.stderr)
        else:
            print(f"  {time.monotonic() - begun:4.0f} s  done", flush=True)
        return code

    def _read(self, pip: subprocess.Popen[str]) -> None:
        assert pip.stdout is not None
        for line in pip.stdout:
            self._output.append(line)
            if found := re.match(r"(Collecting|Requirement already satisfied:) ([^=\s]+)", line):
                self._fetched += 1
                self._name = found[2]
            elif line.startswith("Ignoring "):
                self._left_out += 1
            elif line.startswith("Installing collected packages"):
                self._installing = True

    def _state(self, installed_before: int) -> str:
        total = self._total - self._left_out
        if not self._installing:
            return f"fetching {self._fetched} of {total}: {self._name}"
        return f"installing {self._installed() - installed_before} of {total}"

    def _installed(self) -> int:
        return len(list(self._environment.glob("lib/python*/site-packages/*.dist-info")))


if __name__ == "__main__":
    raise SystemExit(Installation(Path(sys.argv[1]), sys.argv[2:]).run())
