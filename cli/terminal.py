"""The terminal: results go to stdout, everything else to stderr.

No secret is printed: hidden input goes from `ask_secret` to Salesforce and to Secrets Manager only.
"""

from __future__ import annotations

import io
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

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
from rich.text import Text

from cli.problem import Cancelled, Problem

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WIDTH = 80
"""Columns of what is printed, unless somebody wants it wide."""

COMMANDS = ("aws ", "bird-salesforce ", "make ")
"""How a text begins that is nothing but a command."""

Advance = Callable[[int], None]
"""Advances a progress bar by so many."""


def written(value: Any, *, encoding: str | None = None, indent: int | None = None) -> str:
    """Readable JSON, or escaped where the encoding (default UTF-8) cannot hold it.

    A lone surrogate, which JSON may hold, has no encoding. Of the control characters JSON itself
    escapes only those below 0x20.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    text = re.sub(r"[\x7f-\x9f]", lambda c: f"\\u{ord(c[0]):04x}", text)
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def for_json(one: DataclassInstance, *, without: str = "") -> dict[str, Any]:
    """A dataclass's fields for `--json`, in JSON's manner of names: `nextStep`."""
    found = {}
    for each in fields(one):
        if each.name != without:
            name = re.sub("_(.)", lambda letter: letter[1].upper(), each.name)
            found[name] = getattr(one, each.name)
    return found


def visible(text: str) -> str:
    """Text with its control characters made visible."""
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", lambda c: f"\\x{ord(c[0]):02x}", text)


def shown(text: str) -> str:
    """Foreign text for rich, with control characters made visible."""
    return escape(visible(text))


def wrapped(
    text: str,
    *,
    first: str = "",
    rest: str = "",
    width: int = WIDTH,
    break_words: bool = False,
) -> str:
    """Text in lines of at most `width` columns, broken between words only, so that a key can be
    copied. `first` and `rest` stand before the first line and the others. `break_words`: for
    foreign text, which may hold a word without end."""
    lines = [
        textwrap.fill(
            line,
            width,
            initial_indent=rest if number else first,
            subsequent_indent=rest,
            break_long_words=break_words,
            break_on_hyphens=False,
        )
        for number, line in enumerate(text.split("\n"))
    ]
    return "\n".join(lines)


def wrapped_step(text: str, *, first: str, rest: str) -> str:
    """A next step, wrapped; a command as a shell continues it, so that it can be copied."""
    if not text.startswith(COMMANDS):
        return wrapped(text, first=first, rest=rest)
    lines = wrapped(text, first=first, rest=rest, width=WIDTH - 2).split("\n")
    return " \\\n".join(lines)


class Terminal:
    """A terminal with a person, or a script without one.

    `interactive` False: there is no person, so the default of a question counts.
    """

    def __init__(self, *, interactive: bool | None = None) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A character that cannot be printed there is escaped, instead of an exception.
                stream.reconfigure(errors="backslashreplace")
        # No emoji: in an ARN ":secret:" would become one.
        self.out = Console(highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty())
        self.err = Console(
            stderr=True, highlight=False, emoji=False, soft_wrap=not sys.stderr.isatty()
        )
        self.interactive = sys.stdin.isatty() if interactive is None else interactive
        # Sentences are wrapped for a person only; verdicts and lists keep to WIDTH everywhere.
        self._width = min(self.err.width, WIDTH) if self.err.is_terminal else sys.maxsize

    def say(self, text: str = "") -> None:
        """A line that accompanies the result."""
        self._say(text)

    def good(self, text: str) -> None:
        """A green line: it worked."""
        self._say(text, mark="[bold green]✓[/] ", style="green")

    def note(self, text: str) -> None:
        self._say(text, mark="[bold yellow]![/] ")

    def bad(self, problem: Problem) -> None:
        """A red line, and what to do next."""
        self._say(problem.what, mark="[bold red]✗[/] ", style="red")
        if problem.next_step:
            self._say(problem.next_step, mark="  [bold]Next:[/] ")

    def _say(self, text: str, *, mark: str = "", style: str = "") -> None:
        room = " " * len(Text.from_markup(mark))
        lines = wrapped(visible(text), first=room, rest=room[:2], width=self._width)
        lines = escape(lines[len(room) :])
        self.err.print(mark + (f"[{style}]{lines}[/]" if style else lines), soft_wrap=True)

    def result(self, text: str) -> None:
        """A line of the result itself."""
        self.out.print(escape(text))

    def result_whole(self, text: str) -> None:
        """A line that is never broken, so that it can be copied."""
        self.out.print(text, markup=False, soft_wrap=True)

    def result_lines(
        self, text: str, *, first: str = "", rest: str = "", style: str | None = None
    ) -> None:
        """Foreign or long text of the result, wrapped at WIDTH columns."""
        lines = wrapped(visible(text), first=first, rest=rest)
        self.out.print(escape(lines), style=style, soft_wrap=True)

    def result_step(self, text: str, *, first: str = "  → ", rest: str = "    ") -> None:
        """What to do next; nothing where there is nothing to do."""
        if text:
            self.out.print(
                wrapped_step(visible(text), first=first, rest=rest), markup=False, soft_wrap=True
            )

    def result_json(self, value: Any, *, indent: int | None = 2) -> None:
        """The result for a script. `indent` None: on one line."""
        sys.stdout.write(written(value, encoding=sys.stdout.encoding, indent=indent) + "\n")
        sys.stdout.flush()

    @contextmanager
    def progress(self, label: str, *, total: int | None) -> Iterator[Advance]:
        """A progress bar on stderr; `total` None where it is not known."""
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
        """A line that a person types. Raises Problem without a person and a default."""
        if not self.interactive:
            if default:
                return default
            raise Problem(
                f"Not interactive, and this is missing: {question}.",
                next_step="Give it as an option or in the environment (see --help).",
            )
        typed = Prompt.ask(escape(question), console=self.err, default=default or None)
        return (typed or "").strip()

    def read_line(self, prompt: str) -> str:
        """A line from stdin, also without a person."""
        self.err.print(escape(prompt), end="")
        line = sys.stdin.readline()
        if not line:
            raise Problem("Nothing was typed.", next_step="Run this in a terminal.")
        return line.strip()

    def ask_secret(self, question: str) -> str:
        if not self.interactive:
            raise Problem(
                f"Not interactive, and this is missing: {question}.",
                next_step="Give it in the environment or in a file (see --help).",
            )
        return (Prompt.ask(escape(question), console=self.err, password=True) or "").strip()

    def confirm(self, question: str, *, default: bool, assume: bool | None = None) -> bool:
        """Yes or no; `assume` is the value of an option, where one was given."""
        if assume is not None:
            return assume
        if not self.interactive:
            return default
        return Confirm.ask(escape(question), console=self.err, default=default)

    def must_confirm(self, question: str, *, action: str, yes: bool) -> None:
        """Ask before an `action` that cannot be undone. Raises Problem without a person, Cancelled
        if the person says no."""
        if yes:
            return
        if not self.interactive:
            raise Problem(f"Not interactive. Add --yes to {action}.")
        if not Confirm.ask(escape(question), console=self.err, default=False):
            raise Cancelled("Nothing was changed.")
