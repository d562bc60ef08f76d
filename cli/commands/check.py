"""`check`: what a flow's body would become."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.deployment.stack import Stack
from cli.options import Json, on_stack
from cli.preview.body import KEY_SOURCES, Nothing, Preview, preview
from cli.preview.org import OrgView, view
from cli.problem import Problem
from cli.terminal import Terminal, for_json, written


class RouteChoice(StrEnum):
    """Where the step sends the body, without its slash."""

    LEADS = "leads"
    CASES = "cases"
    MESSAGES = "messages"
    WEBHOOK = "webhooks/bird"


@on_stack
def check_command(
    stack: Stack,
    file: Annotated[
        Path | None, typer.Argument(help="The body, as the step sends it (default: stdin).")
    ] = None,
    route: Annotated[
        RouteChoice,
        typer.Option(
            metavar="ROUTE",
            help="The route that the step calls: leads, cases, messages or webhooks/bird.",
        ),
    ] = RouteChoice.MESSAGES,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:VALUE", help="A header that the step sends; can be repeated."),
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A part of the query; can be repeated."),
    ] = None,
    org: Annotated[
        bool, typer.Option("--org", help="Also look at the org: its fields, and what is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a body would become: object, fields, conversation, key, and what is missing.

    The bundle's own reader runs on this machine with the stack's parameters. Nothing is sent to
    the API, and nothing is written anywhere. The exit status is 1 if the body or the record would
    be refused.
    """
    terminal = Terminal()
    found = preview(
        _read(file),
        route="/" + route.value,
        settings=stack.settings,
        headers=_pairs(header, ":"),
        query=_pairs(query, "="),
    )
    if isinstance(found, Nothing):
        _print_nothing(terminal, found, as_json=as_json)
        return
    in_org = view(stack, found) if org else None
    if as_json:
        there = for_json(in_org, without="refuses") if in_org else None
        terminal.result_json({**found.as_dict(), "org": there})
    else:
        _print(terminal, found, in_org)
    creates = in_org is None or in_org.creates
    if (in_org and in_org.refuses) or (found.missing and creates):
        raise typer.Exit(1)


def _print_nothing(terminal: Terminal, found: Nothing, *, as_json: bool) -> None:
    if as_json:
        terminal.result_json({**for_json(found), "org": None})
    elif found.refused:
        words = f"The API would refuse this body with 400 {found.refused}. Nothing would be kept."
        terminal.result_lines(words, rest="  ", style="bold red")
    else:
        words = f"Nothing would be made of it: {found.ignored}."
        terminal.result_lines(words, rest="  ", style="bold")
    if found.refused:
        raise typer.Exit(1)


def _read(file: Path | None) -> str:
    try:
        if file is None or str(file) == "-":
            return sys.stdin.read()
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Problem(
            f"{file or 'stdin'} cannot be read: {why}.",
            next_step="Name a file that holds the step's body, or pipe the body in.",
        ) from error


def _pairs(given: Iterable[str] | None, mark: str) -> dict[str, str]:
    pairs = {}
    for one in given or ():
        name, found, value = one.partition(mark)
        if not found or not name.strip():
            raise Problem(f"{one} is not NAME{mark}VALUE.")
        pairs[name.strip()] = value.strip()
    return pairs


def _print(terminal: Terminal, found: Preview, in_org: OrgView | None) -> None:
    message = found.request.message
    by = "" if message.requested else " (by the channel; where the conversation is, its object)"
    terminal.result_lines(f"POST {found.route} would become a {found.object}{by}", style="bold")
    terminal.result("")
    for name, value in (
        ("Channel", message.channel),
        ("Conversation", message.conversation or "none: a record of its own"),
        ("Message key", found.key or "–"),
        ("  from", KEY_SOURCES[found.request.key_source]),
        ("Sent at", f"{message.sent_at:%Y-%m-%d %H:%M:%S} UTC"),
    ):
        terminal.result_whole(f"{name:<14}{value}")
    _print_fields(terminal, f"Fields of a new {found.object}", found.fields(), found.record.derived)
    if task := found.task():
        _print_fields(terminal, "Logged as a Task", task, frozenset())
    for warning in found.warnings:
        terminal.note(warning)
    if in_org is not None:
        terminal.result_lines(f"In the org now: {in_org.words}", rest="  ", style="bold")
        for problem in in_org.problems:
            terminal.result_lines(problem, first="  ✗ ", rest="    ", style="red")
    terminal.say("\nNothing was sent or written.")


def _print_fields(
    terminal: Terminal, title: str, fields: dict[str, Any], filled: frozenset[str]
) -> None:
    terminal.result(f"\n{title}")
    for name, value in fields.items():
        text = value if isinstance(value, str) else written(value)
        mark = "  (filled in)" if name in filled else ""
        terminal.result_lines(f"{name}: {text}{mark}", first="  ", rest="    ")
