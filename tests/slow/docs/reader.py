"""Somebody who follows a section from its first command to its last."""

from __future__ import annotations

import contextlib
import fcntl
import shlex
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from cli.connect.oauth import DEFAULT_CALLBACK
from tests.cli.person import Person
from tests.cli.program import Result, run, running
from tests.slow.docs.conftest import World
from tests.slow.docs.pages import commands, lines_of
from tests.slow.docs.shell import SECONDS, Terminal

Alone = Callable[[World, str], None]
ALONE: dict[str, Alone] = {}
"""What a command does that means the same wherever it stands, by the command."""


class Script:
    """The commands of one section, to be typed in their order."""

    def __init__(self, world: World, page: str, section: str) -> None:
        self.world = world
        self._left = [one.text for one in commands(page) if one.section == section]

    def line(self, begins: str, replaced: Mapping[str, str] | None = None) -> str:
        """The next command, with what the reader puts in for the page's own words."""
        while self._left and _elsewhere(self._left[0]) and not self._left[0].startswith(begins):
            self._left.pop(0)
        assert self._left, f"the page has no {begins!r} here"
        line = self._left.pop(0)
        assert line.startswith(begins), f"the page says {line!r} here"
        for word, value in (replaced or {}).items():
            assert word in line, line
            line = line.replace(word, value)
        return line

    def type(self, begins: str, replaced: Mapping[str, str] | None = None) -> str:
        """Type the next command, which has to succeed; what it printed."""
        return self.world.shell.must(self.line(begins, replaced))

    def end(self) -> None:
        """No command of the section was left out."""
        assert [one for one in self._left if not _elsewhere(one)] == []


def _elsewhere(line: str) -> bool:
    """Whether a command means the same wherever it stands, and is tested by itself."""
    return line in ALONE or line.startswith("make ")


Scenario = Callable[[Script], None]
SCENARIOS: dict[tuple[str, str], Scenario] = {}
"""What happens in a section that has commands of its own, by page and section."""


def follows(page: str, *sections: str) -> Callable[[Scenario], Scenario]:
    """Says of which sections a function follows the commands."""

    def register(scenario: Scenario) -> Scenario:
        SCENARIOS.update({(page, section): scenario for section in sections})
        return scenario

    return register


def alone(*lines: str) -> Callable[[Alone], Alone]:
    """Says which commands a function runs."""

    def register(run_it: Alone) -> Alone:
        ALONE.update(dict.fromkeys(lines, run_it))
        return run_it

    return register


def paste_the_beginning(world: World) -> None:
    """What the operator's page wants to be pasted first."""
    for one in commands("docs/operations.md"):
        if one.section == "Before you start" and one.text.startswith(("export", "output()")):
            world.shell.must(one.text)


@contextlib.contextmanager
def the_callback_is_free() -> Iterator[None]:
    """The port that the docs name is one for the whole machine: tests take turns."""
    port = urlsplit(DEFAULT_CALLBACK).port
    assert port
    lock = Path(tempfile.gettempdir()) / f"bird-salesforce-tests-{port}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield


def words(line: str) -> list[str]:
    """The words of a `bird-salesforce` command after the program's name."""
    program, *arguments = shlex.split(line)
    assert program == "bird-salesforce", line
    return arguments


def program(world: World, line: str, **environ: str) -> Result:
    """Run a `bird-salesforce` command in this process, as a script does, with nobody who types."""
    return run(*words(line), environ={**world.environ, **environ})


def sign_in(world: World, line: str, *, person: Person | None = None, **environ: str) -> Result:
    """The same, with somebody who signs in and allows it in a browser."""
    with (
        the_callback_is_free(),
        running(*words(line), environ={**world.environ, **environ}) as under_way,
    ):
        (person or Person()).sign_in(under_way.address())
        return under_way.result()


def at_a_terminal(world: World, line: str) -> Terminal:
    """Run any command in a terminal, where somebody types."""
    return Terminal(line, folder=world.folder, environ=world.environ)


def allow(opened: Terminal, person: Person | None = None) -> None:
    """Open the address that is shown, sign in, and allow it."""
    (person or Person()).sign_in(opened.expect(r"\s(http\S+/authorize\?\S+)\s")[1])


def reply(opened: Terminal, *exchanges: tuple[str, str]) -> None:
    """Wait for each question, and type what stands beside it; Enter takes what is offered."""
    for question, typed in exchanges:
        opened.expect(question)
        opened.type(typed, hidden=question == "Consumer secret")


def program_behind(world: World, line: str) -> str:
    """The `bird-salesforce` command that a `make` command runs."""
    expanded = world.shell.must(line.replace("make ", "make -n ", 1))
    (found,) = (one for one in lines_of(expanded) if " -m cli " in one)
    return "bird-salesforce " + found.split(" -m cli ")[1]
