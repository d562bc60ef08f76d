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
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.template import ROOT

SECONDS = 60.0
"""Longer than any command here should take."""

# What one command sets the next one can use.
SCRIPT = """\
[ -e state ] && . ./state 2>/dev/null
{line}
status=$?
{{ declare -p | grep -v '^declare -[A-Za-z]*r'; declare -f; }} >state
exit $status
"""


@dataclass(frozen=True)
class Typed:
    """What came of one command."""

    status: int
    out: str


class Shell:
    """A new terminal, in which one command after the other is typed."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environment(folder, environ)
        (folder / "state").unlink(missing_ok=True)

    def set(self, **variables: str) -> None:
        """Set variables, as somebody would who has noted them down."""
        for name, value in variables.items():
            self.must(f"{name}={shlex.quote(value)}")

    def type(self, line: str) -> Typed:
        """Run one command to its end."""
        done = subprocess.run(
            ["bash", "--norc", "--noprofile", "-c", SCRIPT.format(line=line)],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Typed(done.returncode, done.stdout.rstrip("\n"))

    def must(self, line: str) -> str:
        """Run a command that has to succeed; what it printed."""
        typed = self.type(line)
        assert typed.status == 0, f"{line}\n{typed.out}"
        return typed.out


def environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of somebody who has set this project up, and nothing of our own."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    # What `make setup` would install is there: nothing is installed in a test.
    make = f'{shutil.which("make")} -C "{ROOT}" -o "{sys.prefix}/.ready" VENV="{sys.prefix}"'
    for name, line in {
        "bird-salesforce": f'cd "{ROOT}" && exec {sys.executable} -m cli "$@"',
        "aws": f'exec {sys.executable} -m awscli "$@"',
        "make": f'exec {make} "$@"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    # So that a test sees the status which the page speaks of.
    (folder / ".curlrc").write_text('silent\nwrite-out = "\\n%{http_code}"\n', encoding="utf-8")
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'bridge'}",
        "CURL_HOME": str(folder),
        "COLUMNS": "200",
        **dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"), ""),
        **more,
    }


class Terminal:
    """A terminal in which one program asks questions and somebody types, in a `with` block."""

    def __init__(self, line: str, *, folder: Path, environ: Mapping[str, str]) -> None:
        self._controller, worker = pty.openpty()
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), worker)
        self._program = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-c", line],
            cwd=folder,
            env={**environment(folder, environ), "TERM": "dumb", "COLUMNS": "2000", "LINES": "50"},
            start_new_session=True,
            **streams,
        )
        os.close(worker)
        self.seen = ""
        self._read_to = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._program.pid, 9)
        self._program.wait()
        os.close(self._controller)

    def expect(self, words: str) -> re.Match[str]:
        """Wait until the program has printed this, after what was expected before."""
        while not (found := re.compile(words).search(self.seen, self._read_to)):
            assert self._read(), f"{words!r} was not printed: {self.seen}"
        self._read_to = found.end()
        return found

    def _read(self) -> bool:
        """Wait for more; whether there was any in time."""
        if not select.select([self._controller], [], [], SECONDS)[0]:
            return False
        try:
            printed = os.read(self._controller, 65536)
        except OSError:  # how Linux says that nobody holds the other end any more
            return False
        self.seen += printed.decode("utf-8", "replace").replace("\r", "")
        return bool(printed)

    def type(self, line: str, *, hidden: bool = False) -> None:
        """Type and press Enter; hidden: when the program no longer shows what is typed."""
        until = time.monotonic() + SECONDS
        while hidden and termios.tcgetattr(self._controller)[3] & termios.ECHO:
            assert time.monotonic() < until, f"what is typed would be shown: {self.seen}"
            time.sleep(0.01)
        os.write(self._controller, (line + "\n").encode())

    def end(self) -> int:
        """Wait for its end; its exit status."""
        while self._read():
            pass
        return self._program.wait(timeout=10)
