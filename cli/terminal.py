"""What the program says: results on stdout, everything that accompanies them on stderr.

Nothing here is ever given a secret: what a person typed in hidden input goes from `ask_secret` to
Salesforce and to Secrets Manager, and nowhere else.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.prompt import Confirm, Prompt

from cli.problem import Cancelled, Problem

Advance = Callable[[int], None]
"""Tells a progress bar how many more are done."""


def written(value: Any, *, encoding: str | None = None, indent: int | None = None) -> str:
    """JSON as people read it, or escaped where the encoding (default UTF-8) cannot say it.

    Half a character, which any JSON can hold, has no encoding. JSON itself escapes only the first
    of the characters that a terminal obeys.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    text = re.sub(r"[\x7f-\x9f]", lambda c: f"\\u{ord(c[0]):04x}", text)
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def shown(text: str) -> str:
    """Somebody else's text for rich, with what a terminal would obey made visible."""
    visible = re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", lambda c: f"\\x{ord(c[0]):02x}", text)
    return escape(visible)


class Terminal:
    """A person at a terminal, or a script in its place.

    `interactive` False: nobody can be asked, so a question's default is its answer.
    """

    def __init__(self, *, interactive: bool | None = None) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # What cannot be written there is shown escaped, and ends no list half-way.
                stream.reconfigure(errors="backslashreplace")
        self.out = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self.err = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
        self.interactive = sys.stdin.isatty() if interactive is None else interactive

    def say(self, text: str = "") -> None:
        """A line that accompanies the result."""
        self.err.print(escape(text))

    def good(self, text: str) -> None:
        """A green line: it worked."""
        self.err.print(f"[bold green]✓[/] [green]{escape(text)}[/]")

    def note(self, text: str) -> None:
        """A yellow line: worth knowing."""
        self.err.print(f"[bold yellow]![/] {escape(text)}")

    def bad(self, problem: Problem) -> None:
        """A red line, and what to do next."""
        self.err.print(f"[bold red]✗[/] [red]{escape(problem.what)}[/]")
        if problem.next_step:
            self.err.print(f"  [bold]Next:[/] {escape(problem.next_step)}")

    def result(self, text: str) -> None:
        """A line of the result itself."""
        self.out.print(escape(text))

    def result_json(self, value: Any) -> None:
        """The result for a script."""
        sys.stdout.write(written(value, encoding=sys.stdout.encoding, indent=2) + "\n")

    @contextmanager
    def progress(self, label: str, *, total: int | None) -> Iterator[Advance]:
        """A bar on stderr; `total` None: nobody knows how many there are."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(
            *columns, console=self.err, transient=True, disable=not self.err.is_terminal
        ) as bar:
            task = bar.add_task(label, total=total)

            def advance(count: int) -> None:
                bar.advance(task, count)

            yield advance

    def ask(self, question: str, *, default: str = "") -> str:
        """A line that a person types. Raises Problem where nobody is there and nothing is given."""
        if not self.interactive:
            if default:
                return default
            raise Problem(
                f"Nobody is here to answer: {question}",
                next_step="Give it as an option or in the environment (see --help).",
            )
        answer = Prompt.ask(escape(question), console=self.err, default=default or None)
        return (answer or "").strip()

    def read_line(self, prompt: str) -> str:
        """A line from whoever is there, a script included."""
        self.err.print(escape(prompt), end="")
        line = sys.stdin.readline()
        if not line:
            raise Problem("Nobody typed anything.", next_step="Run this in a terminal.")
        return line.strip()

    def ask_secret(self, question: str) -> str:
        """The same, with hidden input."""
        if not self.interactive:
            raise Problem(
                f"Nobody is here to answer: {question}",
                next_step="Give it in the environment or in a file (see --help).",
            )
        return (Prompt.ask(escape(question), console=self.err, password=True) or "").strip()

    def confirm(self, question: str, *, default: bool, assume: bool | None = None) -> bool:
        """Yes or no; `assume` is an answer that was given beforehand."""
        if assume is not None:
            return assume
        if not self.interactive:
            return default
        return Confirm.ask(escape(question), console=self.err, default=default)

    def must_confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something that cannot be undone. Raises Cancelled, also if nobody is there."""
        if yes:
            return
        if not self.interactive:
            raise Problem(
                f"Nobody is here to confirm: {question}", next_step="Add --yes to mean it."
            )
        if not Confirm.ask(escape(question), console=self.err, default=False):
            raise Cancelled("Nothing was changed.")
