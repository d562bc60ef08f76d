"""What a check found: one line, green, red, yellow or grey, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from cli.problem import Problem
from cli.terminal import Terminal


class State(StrEnum):
    """Green, red (somebody has to act), yellow (worth knowing), or grey (could not be checked)."""

    GOOD = "good"
    BAD = "bad"
    NOTE = "note"
    UNKNOWN = "unknown"


_MARKS = {
    State.GOOD: "[bold green]✓[/]",
    State.BAD: "[bold red]✗[/]",
    State.NOTE: "[bold yellow]![/]",
    State.UNKNOWN: "[dim]?[/]",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check."""

    state: State
    message: str
    next_step: str = ""
    check: str = ""
    """A stable name, for scripts."""

    def as_dict(self) -> dict[str, str]:
        """For `--json`."""
        return {
            "check": self.check,
            "state": self.state.value,
            "message": self.message,
            "nextStep": self.next_step,
        }


Check = tuple[str, Callable[[], Finding]]
"""A check's name, and what carries it out."""


def good(message: str) -> Finding:
    """All is well."""
    return Finding(state=State.GOOD, message=message)


def bad(message: str, next_step: str) -> Finding:
    """Somebody has to act."""
    return Finding(state=State.BAD, message=message, next_step=next_step)


def note(message: str, next_step: str = "") -> Finding:
    """Worth knowing."""
    return Finding(state=State.NOTE, message=message, next_step=next_step)


def unknown(message: str, next_step: str = "") -> Finding:
    """It could not be checked."""
    return Finding(state=State.UNKNOWN, message=message, next_step=next_step)


def carry_out(check: Check) -> Finding:
    """The finding of a check. A check that raises is red, or grey where the AWS role that runs it
    lacks a right."""
    name, look = check
    try:
        found = look()
    except Problem as problem:
        found = bad(problem.what, problem.next_step)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        found = unknown(
            f"Your AWS role may not check this ({error.operation_name}: {code}).",
            "Sign in with a role that may.",
        )
    except BotoCoreError as error:
        found = unknown(f"AWS cannot be reached: {error}")
    return replace(found, check=name)


def print_finding(terminal: Terminal, finding: Finding) -> None:
    """Print it, with the next step on the line below."""
    message = escape(finding.message)
    if finding.state is State.BAD:
        message = f"[red]{message}[/]"
    elif finding.state is State.UNKNOWN:
        message = f"[dim]{message}[/]"
    terminal.out.print(f"{_MARKS[finding.state]} {message}")
    if finding.next_step:
        terminal.out.print(f"  [bold]→[/] {escape(finding.next_step)}")
