"""`rejected list | show | export | replay | drop`: the records that Salesforce refused."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from cli.deployment.stack import Stack
from cli.options import Json, ObjectChoice, Yes, on_stack
from cli.problem import Cancelled, Problem
from cli.rejected.queue import Queue
from cli.rejected.records import (
    Choice,
    Listing,
    Moved,
    Rejection,
    drop,
    export_line,
    read_all,
    replay,
)
from cli.terminal import Terminal, shown

commands = typer.Typer(
    help="Records that Salesforce refused: list, show, export, replay or delete them.",
    no_args_is_help=True,
)

Keys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY]...", help="Keys, as the flow sent them or as `rejected list` shows them."
    ),
]
Every = Annotated[bool, typer.Option("--all", help="All of them.")]
ObjectName = Annotated[
    ObjectChoice | None,
    typer.Option("--object", case_sensitive=False, help="Only leads, or only cases."),
]


@commands.command("list")
@on_stack
def list_command(
    stack: Stack,
    object_name: ObjectName = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Lines of the table; 0 is all. --json always has all.")
    ] = 100,
    as_json: Json = False,
) -> None:
    """List the rejected records and the reasons. Nothing is changed."""
    terminal = Terminal()
    choice = Choice(every=True, object=object_name.value if object_name else "")
    listing = _read(terminal, stack, choice)
    if as_json:
        terminal.result_json([one.as_dict() for one in listing.rejections])
        return
    if not listing.rejections:
        if listing.held_elsewhere:
            return
        terminal.good("No record is rejected.")
        return
    terminal.out.print(_table(listing.rejections[: limit or None]))
    if limit and len(listing.rejections) > limit:
        terminal.say(f"… and {len(listing.rejections) - limit:,} more (--limit 0 shows all).")
    terminal.say(f"{len(listing.rejections):,} rejected: {_by_code(listing.rejections)}.")
    terminal.say(
        "After fixing the reason: "
        f"bird-salesforce rejected replay --all {stack.options()}   (or keys instead of --all)"
    )


@commands.command("show")
@on_stack
def show_command(
    stack: Stack,
    keys: Keys = None,
    every: Every = False,
    object_name: ObjectName = None,
    as_json: Json = False,
) -> None:
    """Show rejected records in full: the reason, what to do, and the values that were sent.

    The values are personal data.
    """
    terminal = Terminal()
    choice = _choice(keys, every, object_name)
    listing = _read(terminal, stack, choice, keep_envelopes=True)
    if as_json:
        terminal.result_json(
            [
                {
                    **one.as_dict(),
                    "values": one.values,
                }
                for one in listing.rejections
            ]
        )
    else:
        for one in listing.rejections:
            _show(terminal, one)
    _say_missing(choice, listing.rejections)


@commands.command("export")
@on_stack
def export_command(
    stack: Stack,
    file: Annotated[Path, typer.Argument(help="A new file; one JSON object a line.")],
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...")] = None,
    every: Every = False,
    object_name: ObjectName = None,
) -> None:
    """Write rejected records with their values into a file that only you can read.

    This is a copy: the records stay in the queue, for 14 days.
    """
    terminal = Terminal()
    choice = _choice(keys, every or not keys, object_name)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Problem(
            f"{file} cannot be created: {error.strerror}.",
            next_step="Name a file that does not exist yet.",
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        listing = _read(terminal, stack, choice, keep_envelopes=True)
        for one in listing.rejections:
            out.write(export_line(one) + "\n")
    terminal.good(f"{len(listing.rejections):,} records are in {file}. It contains personal data.")
    _say_missing(choice, listing.rejections)


@commands.command("replay")
@on_stack
def replay_command(
    stack: Stack,
    keys: Keys = None,
    every: Every = False,
    object_name: ObjectName = None,
    as_json: Json = False,
) -> None:
    """Send rejected records to Salesforce again, through the outbox.

    A record is put into the outbox before it is deleted here, so stopping this at any moment loses
    nothing. A record that is in Salesforce already is not created twice: it has the same key.
    """
    terminal = Terminal()
    choice = _choice(keys, every, object_name)
    rejected, outbox, files = _queues(stack)
    total = rejected.counts().visible
    with terminal.progress("Replaying", total=total if choice.every else None) as advance:
        moved = replay(rejected, outbox, choice, files=files, advance=advance)
    if as_json:
        terminal.result_json(
            {
                "replayed": moved.done,
                "failed": sum(moved.failed.values()),
                "unreadable": moved.unreadable,
                "cameBack": moved.came_back,
                "stopped": moved.stopped,
            }
        )
    if moved.done:
        terminal.good(
            f"{moved.done:,} sent to the outbox. They are delivered within seconds; what "
            "Salesforce refuses again comes back here."
        )
    if moved.in_both:
        terminal.note(
            f"{moved.in_both:,} of them could not be deleted here and will be listed again. "
            "Replaying them again does no harm: they have the same key."
        )
    if moved.came_back:
        terminal.note(
            f"{moved.came_back:,} were refused again already. See why: bird-salesforce rejected "
            f"list {stack.options()}"
        )
    if moved.no_queue:
        terminal.note(
            f"{moved.no_queue:,} are files, and AttachMedia is off: they stay here. Switch it on, "
            "deploy, and run this again."
        )
    if moved.unreadable:
        terminal.note(
            f"{moved.unreadable:,} messages are not records of this bundle and stay here."
        )
    _end(terminal, moved, choice, none="Nothing to replay.")


@commands.command("drop")
@on_stack
def drop_command(
    stack: Stack,
    keys: Keys = None,
    every: Every = False,
    object_name: ObjectName = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete rejected records. This cannot be undone."""
    terminal = Terminal()
    choice = _choice(keys, every, object_name)
    listing = _read(terminal, stack, choice)
    if not listing.rejections:
        _end(terminal, Moved(), choice, none="Nothing to delete.")
        return
    if not as_json:
        terminal.err.print(_table(listing.rejections[:10]))
    terminal.must_confirm(
        f"Delete {len(listing.rejections):,} for good ({_by_code(listing.rejections)})?",
        action="delete them",
        yes=yes,
    )
    rejected, *_ = _queues(stack)
    with terminal.progress("Deleting", total=len(listing.rejections)) as advance:
        moved = drop(rejected, {one.message_id for one in listing.rejections}, advance=advance)
    if as_json:
        terminal.result_json({"dropped": moved.done, "failed": sum(moved.failed.values())})
    terminal.good(f"{moved.done:,} deleted.")
    _end(terminal, moved, choice, none="Nothing to delete.")


def _choice(keys: list[str] | None, every: bool, object_name: ObjectChoice | None) -> Choice:
    return Choice.of(keys or (), every=every, object_name=object_name.value if object_name else "")


def _queues(stack: Stack) -> tuple[Queue, Queue, Queue | None]:
    """Rejected, the outbox, and the queue of files, if the stack has one."""
    sqs = stack.client("sqs")
    listen = {"listen_seconds": 0} if stack.is_local else {}
    return (
        Queue(sqs, stack.settings.rejected_url, **listen),
        Queue(sqs, stack.settings.outbox_url, **listen),
        Queue(sqs, stack.settings.files_url, **listen) if stack.settings.files_url else None,
    )


def _read(
    terminal: Terminal, stack: Stack, choice: Choice, *, keep_envelopes: bool = False
) -> Listing:
    rejected, *_ = _queues(stack)
    with terminal.progress("Reading", total=rejected.counts().visible) as advance:
        listing = read_all(rejected, choice, advance=advance, keep_envelopes=keep_envelopes)
    if listing.stopped:
        raise Cancelled("Stopped. Nothing was changed.")
    if listing.held_elsewhere:
        terminal.note(
            f"{listing.held_elsewhere:,} more are being read by somebody else and are not shown; "
            "they are visible again within minutes."
        )
    if listing.not_given_back:
        terminal.note(
            f"{listing.not_given_back:,} could not be made visible again at once; SQS does so "
            "within minutes."
        )
    return listing


def _end(terminal: Terminal, moved: Moved, choice: Choice, *, none: str) -> None:
    """Print the last line of a replay or a drop, or raise what ends it."""
    failed = sum(moved.failed.values())
    if moved.error:
        raise Problem(
            f"SQS failed after {moved.done:,}: {moved.error}",
            next_step="No record is lost. Run the command again.",
        )
    if failed:
        codes = ", ".join(f"{count:,} {code}" for code, count in moved.failed.most_common())
        raise Problem(
            f"{failed:,} could not be moved ({codes}) and stay in Rejected.",
            next_step="Run the command again.",
        )
    if moved.stopped:
        raise Cancelled(f"Stopped after {moved.done:,}; the others are still in Rejected.")
    if not moved.done and not moved.came_back and not moved.unreadable and not moved.no_queue:
        if choice.keys:
            raise _not_there(choice.keys)
        terminal.good(none)


def _not_there(keys: frozenset[str]) -> Problem:
    return Problem(
        "None of these keys is in Rejected.",
        next_step="To see them: bird-salesforce rejected list",
    )


def _say_missing(choice: Choice, found: list[Rejection]) -> None:
    if choice.keys and not found:
        raise _not_there(choice.keys)


def _by_code(rejections: list[Rejection]) -> str:
    counted = Counter(one.code for one in rejections)
    return ", ".join(f"{count:,} {code}" for code, count in counted.most_common())


def _table(rejections: list[Rejection]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("Key", overflow="fold", max_width=34)
    table.add_column("Object")
    table.add_column("Reason", overflow="fold")
    table.add_column("Accepted", no_wrap=True)
    table.add_column("Refused", no_wrap=True)
    table.add_column("Tries", justify="right")
    for one in rejections:
        why = f"[red]{shown(one.code)}[/] {shown(one.message[:300])}"
        if one.fields:
            why += f" [dim]({shown(', '.join(one.fields))})[/]"
        table.add_row(
            shown(one.key or one.message_id),
            one.object or "?",
            why,
            shown(_short(one.accepted_at)),
            shown(_short(one.at)),
            str(one.attempts) + (f" [dim]+{one.replayed} replayed[/]" if one.replayed else ""),
        )
    return table


def _show(terminal: Terminal, one: Rejection) -> None:
    out = terminal.out
    out.rule(f"[bold]{shown(one.object or 'Message')} {shown(one.key or one.message_id)}[/]")
    out.print(f"[bold]Reason[/]    [red]{shown(one.code)}[/] {shown(one.message)}")
    if one.fields:
        out.print(f"[bold]Fields[/]    {shown(', '.join(one.fields))}")
    if one.hint:
        out.print(f"[bold]Next[/]      {shown(one.hint)}")
    out.print(f"[bold]Accepted[/]  {shown(_short(one.accepted_at))}")
    out.print(
        f"[bold]Refused[/]   {shown(_short(one.at))}, tried {one.attempts} times, "
        f"replayed {one.replayed} times"
    )
    if one.values is not None:
        out.print("[bold]Values[/]")
        for name, value in one.values.items():
            filled = " [dim](filled in)[/]" if name in one.filled_in else ""
            out.print(f"  {shown(name)}: {shown(str(value))}{filled}")
    out.print()


def _short(moment: str) -> str:
    """`2026-11-24 06:40:12Z` of an RFC 3339 time in UTC."""
    return moment[:19].replace("T", " ") + "Z" if moment else "–"
