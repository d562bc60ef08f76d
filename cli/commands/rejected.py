"""`rejected list | show | export | replay | drop`: the records that Salesforce refused."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Annotated

import typer
from botocore.exceptions import ClientError
from rich.console import Console
from rich.markup import escape

from bridge.conversations.message import read_moment
from cli.deployment.stack import Stack
from cli.options import Json, ObjectChoice, Wide, Yes, on_stack
from cli.outbox.delivered import Before, Delivered, wait_for
from cli.outbox.reasons import why
from cli.outbox.times import counted, span
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
from cli.terminal import Terminal, shown, visible, wrapped

MOST_TEXTS = 3
"""Different texts of Salesforce that are shown for one reason."""

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
        int, typer.Option(min=0, help="Records to show; 0 is all. --json always has all.")
    ] = 100,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List the rejected records by reason. Nothing is changed."""
    run = _Run.of(stack, None, every=True, object_name=object_name)
    listing, terminal = run.read(), run.terminal
    found = listing.rejections
    if as_json:
        terminal.result_json([one.as_dict() for one in found])
        return
    if not found:
        if not listing.held_elsewhere:
            terminal.good("No record is rejected.")
        return
    shown_here = found[: limit or None]
    if wide:
        for one in shown_here:
            terminal.result_whole(_wide(one))
    else:
        _print_groups(terminal.out, shown_here)
    if len(found) > len(shown_here):
        terminal.say(f"… and {len(found) - limit:,} more (--limit 0 shows all).")
    estimate = "." if object_name else f" (SQS estimates {listing.estimate:,})."
    terminal.say(
        f"{len(found):,} rejected{estimate}\n"
        "After fixing the reason, with keys or with --all:\n"
        f"  {stack.command('rejected replay --all')}"
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
    run = _Run.of(stack, keys, every=every, object_name=object_name)
    found = run.read(keep_envelopes=True).rejections
    if as_json:
        run.terminal.result_json([{**one.as_dict(), "values": one.values} for one in found])
    else:
        for one in found:
            _show(run.terminal, one)
    run.name_missing(found)


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
    run = _Run.of(stack, keys, every=every or not keys, object_name=object_name)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Problem(
            f"{file} cannot be created: {error.strerror}.",
            next_step="Name a file that does not exist yet.",
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        found = run.read(keep_envelopes=True).rejections
        for one in found:
            out.write(export_line(one) + "\n")
    are = "is" if len(found) == 1 else "are"
    run.terminal.good(f"{counted(len(found))} {are} in {file}. It contains personal data.")
    run.name_missing(found)


@commands.command("replay")
@on_stack
def replay_command(
    stack: Stack,
    keys: Keys = None,
    every: Every = False,
    object_name: ObjectName = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait to see what becomes of them.")
    ] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for it, at most.")
    ] = 60.0,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Of updates: overwrite what others have changed since (CHANGED_MEANWHILE).",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Send rejected records to Salesforce again, through the outbox, and say what became of each.

    A record is put into the outbox before it is deleted here, so stopping this at any moment loses
    nothing. A record that is in Salesforce already is not created twice: it has the same key. The
    exit status is 1 if any was refused again.
    """
    run = _Run.of(stack, keys, every=every, object_name=object_name)
    terminal = run.terminal
    total = run.rejected.counts().visible if run.choice.every else None
    before = None if no_wait else run.before()
    files = run.queue(stack.settings.files_url) if stack.settings.files_url else None
    outbox = run.queue(stack.settings.outbox_url)
    with terminal.progress("Replaying", total=total) as advance:
        moved = replay(run.rejected, outbox, run.choice, force=force, files=files, advance=advance)
    if moved.done:
        terminal.good(
            f"{moved.done:,} sent to the outbox. They are delivered within seconds; what "
            "Salesforce refuses again comes back here."
        )
    delivered = None
    if before is not None and moved.sent and not moved.stopped:
        delivered = run.wait(moved, before, seconds=wait)
    if as_json:
        terminal.result_json(
            {
                "replayed": moved.done,
                "failed": moved.failed.total(),
                "unreadable": moved.unreadable,
                "cameBack": moved.came_back,
                "stopped": moved.stopped,
                **(delivered.as_dict() if delivered else {}),
            }
        )
    if moved.in_both:
        terminal.note(
            f"{moved.in_both:,} of them could not be deleted here and will be listed again. "
            "Replaying them again does no harm: they have the same key."
        )
    if moved.came_back and delivered is None:
        terminal.note(
            f"{moved.came_back:,} were refused again already. See why: "
            + stack.command("rejected list")
        )
    if moved.no_queue:
        terminal.note(
            f"{moved.no_queue:,} are files, and AttachMedia is off: they stay here. Switch it on, "
            "deploy, and run this again."
        )
    if moved.unreadable:
        stay = "was not written by this bundle and stays here"
        if moved.unreadable > 1:
            stay = "were not written by this bundle and stay here"
        terminal.note(f"{counted(moved.unreadable, 'message')} {stay}. {run.to_see}")
    if moved.met:
        run.name_absent(moved.met)
    run.end(moved, none="Nothing to replay.")
    if delivered and delivered.refused:
        raise typer.Exit(1)


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
    run = _Run.of(stack, keys, every=every, object_name=object_name)
    found, terminal = run.read().rejections, run.terminal
    if not found:
        run.end(Moved(), none="Nothing to delete.")
        return
    run.name_missing(found)
    if not as_json:
        _print_groups(terminal.err, found[:10])
    terminal.must_confirm(
        f"Delete {len(found):,} for good ({_by_code(found)})?", action="delete them", yes=yes
    )
    with terminal.progress("Deleting", total=len(found)) as advance:
        moved = drop(run.rejected, {one.message_id for one in found}, advance=advance)
    if as_json:
        terminal.result_json({"dropped": moved.done, "failed": moved.failed.total()})
    terminal.good(f"{moved.done:,} deleted.")
    run.end(moved, none="Nothing to delete.")


@dataclass(kw_only=True)
class _Run:
    """One run of a command on some of a stack's rejected records."""

    stack: Stack
    terminal: Terminal
    choice: Choice

    @classmethod
    def of(
        cls,
        stack: Stack,
        keys: list[str] | None,
        *,
        every: bool,
        object_name: ObjectChoice | None,
    ) -> _Run:
        """Raises Problem unless keys or `every` are given."""
        run = cls(stack=stack, terminal=Terminal(), choice=Choice())
        name = object_name.value if object_name else ""
        run.choice = Choice.of(keys or (), every=every, object_name=name, next_step=run.to_see)
        return run

    @property
    def to_see(self) -> str:
        return f"To see them: {self.stack.command('rejected list')}"

    def queue(self, url: str) -> Queue:
        listen = {"listen_seconds": 0} if self.stack.is_local else {}
        return Queue(self.stack.client("sqs"), url, **listen)

    @property
    def rejected(self) -> Queue:
        return self.queue(self.stack.settings.rejected_url)

    def read(self, *, keep_envelopes: bool = False) -> Listing:
        with self.terminal.progress("Reading", total=self.rejected.counts().visible) as advance:
            listing = read_all(
                self.rejected, self.choice, advance=advance, keep_envelopes=keep_envelopes
            )
        if listing.held_elsewhere:
            self.terminal.note(
                f"{listing.held_elsewhere:,} more are being read by somebody else and are not "
                "shown; they are visible again within minutes."
            )
        if listing.not_given_back:
            self.terminal.note(
                f"{listing.not_given_back:,} could not be made visible again at once; SQS does so "
                "within minutes."
            )
        return listing

    def before(self) -> Before | None:
        """None where this role may not read the log: the replay itself does not need it."""
        try:
            return Before.read(self.stack, now=self.rejected.clock())
        except ClientError as error:
            self.terminal.note(
                "What becomes of the records will not be shown: AWS refuses to read Deliver's log "
                f"({error.response['Error']['Code']})."
            )
            return None

    def wait(self, moved: Moved, before: Before, *, seconds: float) -> Delivered:
        sent = {which: why(one.code, one.fields) for which, one in moved.sent.items()}
        with self.terminal.progress("Waiting for Deliver", total=len(sent)) as advance:
            delivered = wait_for(self.stack, sent, before, seconds=seconds, advance=advance)
        if delivered.refused:
            see = f"See why: {self.stack.command('rejected list')}"
            self.terminal.bad(Problem(f"{delivered.words()}.", next_step=see))
        elif delivered.decided < len(sent):
            self.terminal.note(f"{delivered.words()}. See: {self.stack.command('outbox list')}")
        else:
            self.terminal.good(f"{delivered.words()}.")
        return delivered

    def end(self, moved: Moved, *, none: str) -> None:
        """Print the last line of a replay or a drop, or raise what ends it."""
        if moved.error:
            raise Problem(
                f"SQS failed after {moved.done:,}: {moved.error}",
                next_step="No record is lost. Run the command again.",
            )
        if moved.failed:
            raise Problem(
                f"{moved.failed.total():,} could not be moved ({_listed(moved.failed)}) and stay "
                "in Rejected.",
                next_step="Run the command again.",
            )
        if moved.stopped:
            raise Cancelled(f"Stopped after {moved.done:,}; the others are still in Rejected.")
        if not (moved.done or moved.came_back or moved.unreadable or moved.no_queue):
            if self.choice.keys:
                raise self._not_there()
            self.terminal.good(none)

    def _not_there(self) -> Problem:
        return Problem("None of these keys is in Rejected.", next_step=self.to_see)

    def name_missing(self, found: list[Rejection]) -> None:
        """Raises Problem if none of the keys is there."""
        if self.choice.keys and not found:
            raise self._not_there()
        self.name_absent(name for one in found for name in (one.key, one.message_id))

    def name_absent(self, found: Iterable[str]) -> None:
        if missing := self.choice.not_in(found):
            self.terminal.note(f"Not in Rejected: {', '.join(missing)}")


def _by_code(rejections: list[Rejection]) -> str:
    return _listed(Counter(one.code for one in rejections))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {code}" for code, count in counts.most_common())


def _print_groups(console: Console, rejections: list[Rejection]) -> None:
    """By reason, the most frequent first; a line a record, in which the key is last and whole."""
    groups: dict[tuple[str, tuple[str, ...]], list[Rejection]] = defaultdict(list)
    for one in rejections:
        groups[one.code, one.fields].append(one)
    for (code, fields), some in sorted(groups.items(), key=lambda group: -len(group[1])):
        head = wrapped(visible(f"{why(code, fields)} · {counted(len(some))}"), rest="  ")
        console.print(f"[bold red]{escape(head)}[/]", soft_wrap=True)
        texts = list(dict.fromkeys(one.message for one in some if one.message))
        for text in texts[:MOST_TEXTS]:
            _print_wrapped(console, shorten(visible(text), 300, placeholder=" …"), first="  ")
        if len(texts) > MOST_TEXTS:
            _print_wrapped(
                console, f"… and {counted(len(texts) - MOST_TEXTS, 'other text')}", first="  "
            )
        for hint in dict.fromkeys(one.hint for one in some if one.hint):
            _print_wrapped(console, visible(hint), first="  → ")
        console.print(f"{'':4} {'age':>5} {'try':>3}  key", soft_wrap=True)
        for one in some:
            line = f"{one.object or '?':<4} {_age(one):>5} {one.attempts:>3}  "
            line += (one.key or one.message_id) + (" update" if one.kind == "update" else "")
            console.print(visible(line), markup=False, soft_wrap=True)


def _print_wrapped(console: Console, text: str, *, first: str) -> None:
    rest = " " * len(first)
    text = wrapped(text, first=first, rest=rest, break_words=True)
    console.print(text, markup=False, soft_wrap=True)


def _age(one: Rejection) -> str:
    """How long ago it was refused: `6min`."""
    moment = read_moment(one.at or one.accepted_at)
    return span(time.time() - moment.timestamp()).replace(" ", "") if moment else "?"


def _wide(one: Rejection) -> str:
    again = f", replayed {one.replayed} times" if one.replayed else ""
    return visible(
        f"{one.key or one.message_id}  {one.object or '?'} {one.kind}  "
        f"{why(one.code, one.fields)}  {one.message}  accepted {_short(one.accepted_at)}  "
        f"refused {_short(one.at)}  tries {one.attempts}{again}"
    )


def _show(terminal: Terminal, one: Rejection) -> None:
    out = terminal.out
    update = "Update of a " if one.kind == "update" else ""
    name = f"{update}{one.object or 'Message'}"
    out.rule(f"[bold]{shown(name)} {shown(one.key or one.message_id)}[/]")
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
