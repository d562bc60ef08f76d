"""`flow`: what to enter in the step of a flow in Bird."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from cli.deployment.flow_step import (
    BIRD_KEYS,
    RESPONSE_KEYS,
    Builder,
    FlowStep,
    branches,
    channel_names,
    flow_step,
    variables,
)
from cli.deployment.stack import Stack
from cli.options import Json, ObjectChoice, on_stack
from cli.terminal import Terminal


def _completed(incomplete: str) -> list[str]:
    return [name for name in channel_names() if name.startswith(incomplete.lower())]


@on_stack
def flow_command(
    stack: Stack,
    channel: Annotated[
        str,
        typer.Argument(help="whatsapp, viber, sms, instagram …", autocompletion=_completed),
    ],
    object_name: Annotated[
        ObjectChoice | None,
        typer.Option(
            "--object", case_sensitive=False, help="Lead or Case (default: the channel's own)."
        ),
    ] = None,
    builder: Annotated[
        Builder,
        typer.Option(
            help="legacy: the older Flow Builder (dashboard.messagebird.com). flows: Bird Flows "
            "(app.bird.com)."
        ),
    ] = Builder.LEGACY,
    show_key: Annotated[
        bool, typer.Option("--show-key", help="Print the API key. It is a secret.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print what to enter in Bird's step for a channel."""
    terminal = Terminal()
    step = flow_step(
        stack,
        channel_name=channel,
        object_name=object_name.value if object_name else None,
        show_key=show_key,
        builder=builder,
    )
    if as_json:
        terminal.result_json(step.as_dict())
        return
    _print_step(terminal, step)
    if not show_key:
        command = "" if stack.is_local else f", or with: {stack.output('ApiKeyCommand')}"
        terminal.say(f"\nTo see the API key, add --show-key{command or '.'}")


def _print_step(terminal: Terminal, step: FlowStep) -> None:
    out = terminal.out
    out.print(f"[bold]{escape(step.channel.label)} → {step.object}[/]\n")
    imported = f"{step.file} has all steps; or type this one:" if step.file else ""
    for name, value in (
        ("Import", imported),
        ("Step", "HTTP request" if step.builder is Builder.FLOWS else ""),
        ("URL", step.url),
        ("Method", "POST"),
        ("Content-Type", "application/json"),
        *(("Header", f"{name}: {value}") for name, value in step.headers),
        ("Time-out", f"{step.timeout_seconds} seconds or more"),
    ):
        if value:
            out.print(f"[bold]{name:<14}[/]{escape(value)}", soft_wrap=True)
    out.print("[bold]Body[/]")
    out.print(step.body_text(), markup=False, soft_wrap=True)
    out.print("\n[bold]Values[/] (replace each {{…}} with your flow's own variable):")
    for name, (_, meaning) in BIRD_KEYS.items():
        terminal.result_lines(f"{name}: {meaning}", first="  ", rest="    ")
    if step.builder is Builder.LEGACY:
        out.print("\n[bold]Variables to fetch from the response[/]:")
    else:
        out.print("\n[bold]The response in later steps[/] (httpRequest: this step's own id):")
    for name in variables(step.object):
        terminal.result_lines(
            f"{step.response_variable(name)}: {RESPONSE_KEYS[name]}", first="  ", rest="    "
        )
    outcome = step.response_variable("outcome")
    out.print(f"\n[bold]Branch on {{{{{outcome}}}}}[/] (the first that fits):")
    for branch in branches(step.object):
        when = " or ".join(branch.outcomes) or "anything else"
        added = step.response_variable("added")
        also = f", where {{{{{added}}}}} is true" if branch.added else ""
        out.print(f"  [bold]{when}[/]{also}")
        reply = f"reply “{branch.reply}”" if branch.reply else "no reply"
        person = ", and hand over to a person" if branch.to_person else ""
        out.print(f"    {escape(reply)}{person}", soft_wrap=True)
    out.print("\n[bold]Try it in a shell[/]:")
    out.print(step.curl(), markup=False, soft_wrap=True)
