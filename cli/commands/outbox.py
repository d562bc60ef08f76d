"""`outbox list`: the records that wait for Salesforce."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

import typer

from cli.commands.status import ESTIMATES
from cli.deployment.stack import Stack
from cli.options import Json, ObjectChoice, Wide, on_stack
from cli.outbox.log_lines import RecordLine
from cli.outbox.reasons import why
from cli.outbox.status import Waiting, read_waiting
from cli.outbox.times import clock, counted, span
from cli.terminal import Terminal, visible

commands = typer.Typer(
    help="Records that wait for Salesforce. They are delivered by themselves.",
    no_args_is_help=True,
)


@commands.command("list")
@on_stack
def list_command(
    stack: Stack,
    object_name: Annotated[
        ObjectChoice | None,
        typer.Option("--object", case_sensitive=False, help="Only leads, or only cases."),
    ] = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List the records that wait: key, object, channel, age, tries, reason.

    By log lines: SQS shows no message that waits out its delay, and none is received.
    """
    terminal = Terminal()
    waiting = read_waiting(stack)
    records = [
        one for one in waiting.records if object_name is None or one.object == object_name.value
    ]
    if as_json:
        terminal.result_json([one.as_dict() for one in records])
        _print_end(terminal, waiting)
        return
    if not waiting.count:
        terminal.good("No record waits (an estimate of SQS).")
        return
    if wide:
        for one in records:
            terminal.result_whole(_wide(one))
    else:
        _print_groups(terminal, records)
    _print_end(terminal, waiting)


def _print_groups(terminal: Terminal, records: list[RecordLine]) -> None:
    """By reason and channel; a line a record, in which the key is last and whole."""
    groups: dict[tuple[str, str], list[RecordLine]] = defaultdict(list)
    for one in records:
        groups[one.code, one.channel].append(one)
    for (code, channel), some in groups.items():
        reason = why(code) if code else "not tried yet"
        terminal.result_lines(
            f"{reason} · {channel} · {counted(len(some))}", rest="  ", style="bold"
        )
        terminal.result(f"{'':4} {'age':>5} {'try':>3}  key")
        for one in some:
            age = span(one.waits_seconds).replace(" ", "")
            line = f"{one.object:<4} {age:>5} {one.attempts:>3}  {one.key}"
            terminal.result_whole(visible(line))


def _wide(one: RecordLine) -> str:
    next_try = clock(one.next_try) if one.next_try else "now"
    return visible(
        f"{one.key}  {one.object}  {one.channel}  {span(one.waits_seconds)}  "
        f"{counted(one.attempts, 'try') if one.attempts == 1 else f'{one.attempts} tries'}  "
        f"next {next_try}  {why(one.code, one.fields) if one.code else 'not tried yet'}"
    )


def _print_end(terminal: Terminal, waiting: Waiting) -> None:
    if waiting.without_line:
        terminal.note(
            f"{waiting.without_line:,} more wait, of which the log says nothing (yet): replayed a "
            "moment ago, further updates of a record above, of another version, or longer than 7 "
            "hours ago."
        )
    if waiting.cut:
        terminal.note("There are more log lines than were read.")
    terminal.say(f"{counted(waiting.count)} in the outbox.\n{ESTIMATES}")
