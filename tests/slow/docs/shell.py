"""A terminal of somebody who follows the docs: a real bash, with the real curl and AWS CLI.

What is typed is what the page says. Only the places that a page cannot know (addresses, ids, keys)
are filled in by variables or replaced beforehand.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import termios
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.template import ROOT

SECONDS = 60.0
"""Longer than any command here should take."""


@dataclass(frozen=True)
class Typed:
    """What came of one command."""

    status: int
    out: str


@dataclass
class Shell:
    """One bash that runs on, so that what one command sets the next one can use."""

    folder: Path
    """Where it is, and where the programs are linked that the reader has installed."""
    environ: Mapping[str, str]
    _bash: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Shell:
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=self.folder,
            env=environment(self.folder, self.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, 9)
        self._bash.wait()

    def set(self, **variables: str) -> None:
        """Set variables, as somebody would who has noted them down."""
        for name, value in variables.items():
            assert self.type(f"{name}={shlex.quote(value)}").status == 0

    def type(self, line: str) -> Typed:
        """Run one command to its end."""
        end = f"end-{uuid.uuid4().hex}"
        script = self.folder / "typed.sh"
        script.write_text(line + "\n", encoding="utf-8")
        bash = self._bash
        assert bash.stdin is not None
        assert bash.stdout is not None
        bash.stdin.write(f"source ./typed.sh </dev/null; _came=$?; echo; echo {end} $_came\n")
        bash.stdin.flush()
        watch = threading.Timer(SECONDS, lambda: os.killpg(bash.pid, 9))
        watch.start()
        out = ""
        try:
            for printed in bash.stdout:
                if found := re.match(rf"{end} (\d+)", printed):
                    return Typed(int(found[1]), out.rstrip("\n"))
                out += printed
        finally:
            watch.cancel()
        raise AssertionError(f"it did not end: {line}\n{out}")

    def must(self, line: str) -> str:
        """Run a command that has to succeed; what it printed."""
        typed = self.type(line)
        assert typed.status == 0, f"{line}\n{typed.out}"
        return typed.out


def environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of somebody who has set this project up, and nothing of our own."""
    programs = folder / "bin"
    if not programs.exists():
        programs.mkdir()
        _program(programs / "bird-salesforce", f'cd "{ROOT}" && exec {sys.executable} -m cli "$@"')
        _program(programs / "aws", f'exec {sys.executable} -m awscli "$@"')
        # What `make setup` would install is there: nothing is installed in a test.
        ready = Path(sys.prefix) / ".ready"
        make = shutil.which("make") or "make"
        _program(
            programs / "make", f'exec {make} -C "{ROOT}" -o "{ready}" VENV="{sys.prefix}" "$@"'
        )
        # So that a test sees the status which the page speaks of.
        (folder / ".curlrc").write_text('silent\nwrite-out = "\\n%{http_code}"\n', encoding="utf-8")
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'bridge'}",
        "CURL_HOME": str(folder),
        "COLUMNS": "200",
        "DISPLAY": "",
        "WAYLAND_DISPLAY": "",
        "BROWSER": "",
        **more,
    }


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)


class Terminal:
    """A terminal in which one program asks questions and somebody types."""

    def __init__(self, line: str, *, folder: Path, environ: Mapping[str, str]) -> None:
        self._controller, worker = pty.openpty()
        self._program = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-c", line],
            cwd=folder,
            env={**environment(folder, environ), "TERM": "dumb", "COLUMNS": "2000", "LINES": "50"},
            stdin=worker,
            stdout=worker,
            stderr=worker,
            start_new_session=True,
        )
        os.close(worker)
        self.seen = ""
        self._read_to = 0

    def expect(self, words: str) -> re.Match[str]:
        """Wait until the program has printed this, after what was expected before."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            if found := re.compile(words).search(self.seen, self._read_to):
                self._read_to = found.end()
                return found
            if not self._read(until):
                break
        raise AssertionError(f"{words!r} was not printed: {self.seen}")

    def _read(self, until: float) -> bool:
        if not select.select([self._controller], [], [], max(0.0, until - time.monotonic()))[0]:
            return False
        try:
            printed = os.read(self._controller, 65536)
        except OSError:  # how Linux says that nobody holds the other end any more
            return False
        self.seen += printed.decode("utf-8", "replace").replace("\r", "")
        return bool(printed)

    def type_hidden(self, line: str) -> None:
        """Type when the program no longer shows what is typed."""
        until = time.monotonic() + SECONDS
        while termios.tcgetattr(self._controller)[3] & termios.ECHO:
            assert time.monotonic() < until, f"what is typed would be shown: {self.seen}"
            time.sleep(0.01)
        self.type(line)

    def type(self, line: str) -> None:
        os.write(self._controller, (line + "\n").encode())

    def end(self) -> int:
        """Wait for its end; its exit status."""
        until = time.monotonic() + SECONDS
        while self._read(until):
            pass
        return self._program.wait(timeout=10)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._program.pid, 9)
        self._program.wait()
        os.close(self._controller)


@contextlib.contextmanager
def terminal(line: str, *, folder: Path, environ: Mapping[str, str]) -> Iterator[Terminal]:
    """A program in which somebody types, inside the `with` block."""
    opened = Terminal(line, folder=folder, environ=environ)
    try:
        yield opened
    finally:
        opened.close()
