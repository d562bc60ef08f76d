"""What a check found: a line of the screen, green, red, yellow or grey, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from cli.problem import Problem
from cli.terminal import Terminal


class State(StrEnum):
    """How a check came out: green, red (somebody has to act), yellow (worth knowing), or grey
    (cannot be seen from here)."""

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
    """One line of the screen."""

    check: str
    """A stable name, for scripts."""
    state: State
    said: str
    next_step: str = ""

    def as_dict(self) -> dict[str, str]:
        """For `--json`."""
        return {
            "check": self.check,
            "state": self.state.value,
            "said": self.said,
            "nextStep": self.next_step,
        }


def good(check: str, said: str) -> Finding:
    """All is well."""
    return Finding(check=check, state=State.GOOD, said=said)


def bad(check: str, said: str, next_step: str) -> Finding:
    """Somebody has to act."""
    return Finding(check=check, state=State.BAD, said=said, next_step=next_step)


def note(check: str, said: str, next_step: str = "") -> Finding:
    """Worth knowing."""
    return Finding(check=check, state=State.NOTE, said=said, next_step=next_step)


def unknown(check: str, said: str, next_step: str = "") -> Finding:
    """It cannot be seen from here."""
    return Finding(check=check, state=State.UNKNOWN, said=said, next_step=next_step)


def guarded(check: str, look: Callable[[], Finding]) -> Finding:
    """A check that fails in itself is a finding too: red if something is wrong, grey if it is our
    own rights in AWS that do not reach so far."""
    try:
        return look()
    except Problem as problem:
        return bad(check, problem.what, problem.next_step)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return unknown(
            check,
            f"Your AWS role may not look at this ({error.operation_name}: {code}).",
            "Sign in with a role that may.",
        )
    except BotoCoreError as error:
        return unknown(check, f"AWS cannot be reached: {error}")


def say_finding(terminal: Terminal, finding: Finding, *, more: str = "") -> None:
    """Print it, `more` behind it, and the next step below."""
    said = escape(finding.said)
    if finding.state is State.BAD:
        said = f"[red]{said}[/]"
    elif finding.state is State.UNKNOWN:
        said = f"[dim]{said}[/]"
    if more:
        said += f" [dim]{escape(more)}[/]"
    terminal.out.print(f"{_MARKS[finding.state]} {said}")
    if finding.next_step:
        terminal.out.print(f"  [bold]→[/] {escape(finding.next_step)}")
