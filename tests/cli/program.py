"""Runs `bird-salesforce` in this process, as a script does: no terminal, nobody to ask."""

from __future__ import annotations

import contextlib
import io
import json
import queue
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import typer.main

from cli.main import main
from sandbox.__main__ import write_files
from sandbox.stack import Stack

# Every run makes the commands anew, 40 ms of CPU: once is enough here.
typer.main.get_command = cache(typer.main.get_command)

NO_BROWSER = {"BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}

SECONDS = 30.0
"""Longer than any run here should take."""


@dataclass(frozen=True)
class Result:
    """What a run of the program left on the terminal."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed with --json."""
        return json.loads(self.out)


class Keyboard(io.TextIOBase):
    """A standard input on which a test types while the program runs."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue()

    def type(self, line: str) -> None:
        """Type a line and press Enter."""
        self._lines.put(line + "\n")

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        """What the program calls."""
        return self._lines.get(timeout=SECONDS)


class Running:
    """A run of the program that is under way."""

    def __init__(self) -> None:
        self.keyboard = Keyboard()
        self._out, self._err = io.StringIO(), io.StringIO()
        self._status = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with contextlib.redirect_stdout(self._out), contextlib.redirect_stderr(self._err):
            try:
                main()
            except SystemExit as end:
                self._status = int(end.code or 0)

    def start(self) -> None:
        self._thread.start()

    def address(self, number: int = 1) -> str:
        """The first (or a later) address that it asks to open in a browser."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            found = re.findall(r"^ *(http\S+/authorize\?\S+)$", self._err.getvalue(), re.MULTILINE)
            if len(found) >= number:
                return str(found[number - 1])
            if not self._thread.is_alive():
                break
            time.sleep(0.01)
        raise AssertionError(f"no address was shown: {self._err.getvalue()}")

    def result(self) -> Result:
        """What it left, when it has ended."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), f"it did not end: {self._err.getvalue()}"
        return Result(self._status, self._out.getvalue(), self._err.getvalue())


@contextlib.contextmanager
def running(*arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Begin a run, to be ended inside the `with` block by what happens there."""
    run = Running()
    with (
        mock.patch.object(sys, "argv", ["bird-salesforce", *arguments]),
        mock.patch.object(sys, "stdin", run.keyboard),
        mock.patch.dict("os.environ", {"COLUMNS": "200", **NO_BROWSER, **(environ or {})}),
    ):
        run.start()
        yield run
        run.result()


def run(*arguments: str, environ: Mapping[str, str] | None = None) -> Result:
    """Run the program with these arguments until it ends."""
    with running(*arguments, environ=environ) as under_way:
        return under_way.result()


def options_for(stack: Stack, folder: Path) -> list[str]:
    """The options that lead the program to a stack that a test made, as `make start` would."""
    write_files(stack, folder)
    return ["--local", "--local-file", str(folder / "stack.json")]
