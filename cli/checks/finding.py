"""What a check found: one line, green, red, yellow or grey, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from cli.deployment.aws_problem import problem_of
from cli.problem import Problem
from cli.terminal import Terminal, visible, wrapped


class State(StrEnum):
    """Green, red (somebody has to act), yellow (worth knowing), or grey (could not be checked, or
    skipped since it depends on what is red)."""

    GOOD = "good"
    BAD = "bad"
    NOTE = "note"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


_MARKS = {
    State.GOOD: "[bold green]✓[/]",
    State.BAD: "[bold red]✗[/]",
    State.NOTE: "[bold yellow]![/]",
    State.UNKNOWN: "[dim]?[/]",
    State.SKIPPED: "[dim]–[/]",
}


@dataclass(frozen=True)
class Finding:
    state: State
    message: str
    next_step: str = ""
    check: str = ""
    """A stable name, for scripts."""
    group: str = ""
    because: str = ""
    """The check on which a skipped one depends."""
    count: int = 1
    """For how many checks it stands."""


Check = tuple[str, Callable[[], Finding]]
"""A check's name, and what carries it out."""


good = partial(Finding, State.GOOD)
bad = partial(Finding, State.BAD)
note = partial(Finding, State.NOTE)
unknown = partial(Finding, State.UNKNOWN)
"""A finding of a message and, where somebody can do something, the next step."""


def skipped(because: str, message: str = "", *, count: int = 1) -> Finding:
    """Not checked, since it depends on the check `because`, which is red."""
    message = message or f"Not checked: that depends on “{because}”."
    return Finding(State.SKIPPED, message, because=because, count=count)


def carry_out(check: Check) -> Finding:
    """The finding of a check. A check that raises is red, or grey where the AWS role that runs it
    lacks a right."""
    name, look = check
    try:
        found = look()
    except Problem as problem:
        found = bad(problem.what, problem.next_step)
    except (ClientError, BotoCoreError) as error:
        why = problem_of(error)
        found = unknown(f"This could not be checked: {why.what}", why.next_step)
    return replace(found, check=name)


def print_finding(terminal: Terminal, finding: Finding) -> None:
    """Print it, with the next step on the line below, at most 80 columns wide."""
    style = {State.BAD: "red", State.UNKNOWN: "dim", State.SKIPPED: "dim"}.get(finding.state, "")
    message = escape(wrapped(visible(finding.message), first="    ", rest="    ")[4:])
    message = f"[{style}]{message}[/]" if style else message
    terminal.out.print(f"  {_MARKS[finding.state]} {message}", soft_wrap=True)
    terminal.result_step(finding.next_step, first="    → ", rest="      ")


def summary(findings: Sequence[Finding]) -> str:
    """`✓ 7  ! 1  – 3 skipped` of a group's findings, as rich markup."""
    counts: Counter[State] = Counter()
    for one in findings:
        counts[one.state] += one.count
    words = {State.UNKNOWN: " not checked", State.SKIPPED: " skipped"}
    return "  ".join(
        f"{mark} {counts[state]}{words.get(state, '')}"
        for state, mark in _MARKS.items()
        if counts[state]
    )
