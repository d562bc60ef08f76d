"""`status`: the state of a stack on one screen, the verdict first."""

from __future__ import annotations

import contextlib
import time
from typing import Annotated

import typer

from cli.deployment.stack import Stack
from cli.options import Json, on_stack
from cli.outbox.status import Group, State, Status, Verdict
from cli.outbox.times import clock, counted, span
from cli.terminal import Terminal

_STYLES = {State.GOOD: "bold green", State.WAITING: "bold yellow", State.ACT: "bold red"}

ESTIMATES = "Times are UTC. SQS's numbers of messages are estimates, up to a minute old."


@on_stack
def status_command(
    stack: Stack,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Repeat it until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How often with --watch.")
    ] = 10.0,
    as_json: Json = False,
) -> None:
    """Show what waits, what was refused, and whether anybody has to act.

    Reads queue counts and log lines, and receives no message. The exit status is 1 if somebody has
    to act.
    """
    terminal = Terminal()
    if not watch:
        status = Status.read(stack)
        _print(terminal, status, as_json=as_json)
        if status.must_act:
            raise typer.Exit(1)
        return
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            status = Status.read(stack)
            if terminal.out.is_terminal and not as_json:
                terminal.out.clear()
            _print(terminal, status, as_json=as_json, one_line=True)
            time.sleep(every)


def _print(terminal: Terminal, status: Status, *, as_json: bool, one_line: bool = False) -> None:
    if as_json:
        terminal.result_json(status.as_dict(), indent=None if one_line else 2)
        return
    first, *more = status.verdicts
    _print_verdict(terminal, first)
    for verdict in more:
        _print_verdict(terminal, verdict, before="Also: ")
    terminal.result("")
    waiting = status.waiting
    oldest = status.oldest_seconds
    age = f", oldest {span(oldest)}" if oldest is not None else ""
    terminal.result(f"Waiting        {counted(waiting.count)}{age}")
    for group in status.reasons:
        _print_group(terminal, group, f"oldest {span(status.at - group.since)}")
    if waiting.without_line:
        terminal.result_lines(
            f"{waiting.without_line:,} of which the log says nothing (yet)", first="  ", rest="    "
        )
    if waiting.cut:
        terminal.result("  There are more log lines than were read.")
    terminal.result(f"Rejected       {counted(status.rejected.total)}")
    for group in status.rejections:
        _print_group(terminal, group, f"since {clock(group.since)}")
    if status.next_try:
        terminal.result(f"Next attempt   {clock(status.next_try)}")
    terminal.result(f"Last success   {_ago(status, status.last_success, 'none within a day')}")
    none = "not shown: your AWS role may not see it" if status.refresh_hidden else "none"
    terminal.result(f"Last refresh   {_ago(status, status.last_refresh, none)}")
    terminal.say(f"\n{ESTIMATES}")


def _print_verdict(terminal: Terminal, verdict: Verdict, *, before: str = "") -> None:
    terminal.result_lines(before + verdict.text, rest="  ", style=_STYLES[verdict.state])
    terminal.result_step(verdict.next_step)


def _print_group(terminal: Terminal, group: Group, when: str) -> None:
    terminal.result_lines(f"{group.count:,} · {group.why} · {when}", first="  ", rest="    ")


def _ago(status: Status, moment: float | None, none: str) -> str:
    return f"{clock(moment)} ({span(status.at - moment)} ago)" if moment else none
