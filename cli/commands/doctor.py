"""`doctor`: what is wrong between a flow and Salesforce, and the next step."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

import typer

from cli.checks.api import CreatedRecord
from cli.checks.doctor import Doctor
from cli.checks.finding import Finding, State, print_finding, summary
from cli.deployment.stack import Stack
from cli.options import Json, on_stack
from cli.outbox.times import counted
from cli.problem import Problem
from cli.terminal import Terminal, for_json

_PANEL = "After a deployment"


@on_stack
def doctor_command(
    stack: Stack,
    sends: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OBJECT.FIELD",
            help="A field that all your flows send, like Lead.Region__c; can be repeated.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every check, not only what is not green.")
    ] = False,
    as_json: Json = False,
    after_deploy: Annotated[
        bool,
        typer.Option(
            "--after-deploy",
            help="Also test every function and that unauthorized requests are refused. Creates no "
            "record. A stack that is not connected yet is no fault.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    record: Annotated[
        bool,
        typer.Option(
            "--record",
            help="Also create two leads, marked as tests: one directly, one through the outbox. "
            "Somebody has to delete them in Salesforce.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="How long a new deployment, and a record in the outbox, may take.",
            rich_help_panel=_PANEL,
        ),
    ] = 60.0,
) -> None:
    """Check everything between a flow and Salesforce. The exit status is 1 if anything is red."""
    if record and not after_deploy:
        raise Problem("--record needs --after-deploy.")
    terminal = Terminal()
    doctor = Doctor(
        stack=stack,
        sends=sends or (),
        after_deploy=after_deploy,
        record=record,
        wait_seconds=wait if after_deploy else 0,
        report=terminal.note,
    )
    findings: list[Finding] = []
    with terminal.progress("Checking", total=None) as advance:
        for finding in doctor.examine():
            findings.append(finding)
            advance(1)
    reds = [one for one in findings if one.state is State.BAD]
    verdict = _verdict(doctor, findings)
    if as_json:
        terminal.result_json(
            {
                "healthy": not reds,
                "verdict": verdict,
                "checks": [for_json(one) for one in findings],
                "records": [for_json(one) for one in doctor.created],
            }
        )
    else:
        style = "red" if reds else "green" if doctor.connected else "yellow"
        terminal.result_lines(verdict, rest="  ", style=f"bold {style}")
        if reds:
            terminal.result_step(reds[0].next_step)
        elif not doctor.connected:
            terminal.result_whole(f"Next: {_connect(stack)}")
        _print_groups(terminal, findings, verbose=verbose, shown=reds[:1])
        _print_records(terminal, doctor.created)
    if reds:
        raise typer.Exit(1)


def _print_records(terminal: Terminal, created: list[CreatedRecord]) -> None:
    if not created:
        return
    terminal.result("\nTo be deleted in Salesforce (the bundle has no right to delete):")
    for one in created:
        if one.id:
            terminal.result(f"  {one.object} {one.id}  {one.url}")
            terminal.result(
                f"    sf data delete record --sobject {one.object} --record-id {one.id}"
            )
        else:
            terminal.result(f"  {one.object} with the key {one.key}, once it is delivered")


def _verdict(doctor: Doctor, findings: list[Finding]) -> str:
    """The whole in a sentence or two."""
    reds = [one for one in findings if one.state is State.BAD]
    warnings = sum(one.state is State.NOTE for one in findings)
    also = f" {counted(warnings, 'warning')}." if warnings else ""
    if reds:
        skipped = sum(one.count for one in findings if one.state is State.SKIPPED)
        first = reds[0].message
        begin = first if len(reds) == 1 else f"{len(reds)} things are wrong. The first: {first}"
        return begin + (f" Skipped because of it: {counted(skipped, 'check')}." if skipped else "")
    if not doctor.connected:
        return "Deployed, not connected yet."
    return "Nothing is red." + also


def _connect(stack: Stack) -> str:
    """The command to copy, so it is never broken into lines."""
    if stack.is_local:
        return stack.command("connect")
    return f"make connect STACK={stack.name} REGION={stack.region}"


def _print_groups(
    terminal: Terminal, findings: list[Finding], *, verbose: bool, shown: list[Finding]
) -> None:
    """The groups, and what is not green in them but for what is shown above."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    for one in findings:
        groups[one.group].append(one)
    terminal.result("")
    for name, some in groups.items():
        terminal.out.print(f"[bold]{name:<14}[/] {summary(some)}", soft_wrap=True)
        for one in some:
            if verbose or (one.state in (State.BAD, State.NOTE) and one not in shown):
                print_finding(terminal, one)
    if not verbose:
        terminal.say("\nEvery check: --verbose")
