"""`doctor`: what is wrong between a flow and Salesforce, and the next step."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.checks.api import CreatedRecord
from cli.checks.doctor import Doctor
from cli.checks.finding import Finding, State, print_finding
from cli.deployment.stack import Stack
from cli.options import Json, on_stack
from cli.problem import Problem
from cli.terminal import Terminal

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
    for finding in doctor.examine():
        findings.append(finding)
        if not as_json:
            print_finding(terminal, finding)
    reds = sum(one.state is State.BAD for one in findings)
    if as_json:
        terminal.result_json(
            {
                "healthy": not reds,
                "checks": [one.as_dict() for one in findings],
                "records": [one.as_dict() for one in doctor.created],
            }
        )
    else:
        _print_records(terminal, doctor.created)
        _print_end(terminal, stack, doctor, findings, reds=reds)
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


def _print_end(
    terminal: Terminal, stack: Stack, doctor: Doctor, findings: list[Finding], *, reds: int
) -> None:
    out = terminal.out
    if reds:
        out.print(f"\n[bold red]{reds} of {len(findings)} checks are red.[/]")
    elif not doctor.connected:
        connect = (
            f"bird-salesforce connect {stack.options()}"
            if stack.is_local
            else f"make connect STACK={stack.name} REGION={stack.region}"
        )
        out.print(f"\n[bold yellow]Deployed, not connected yet. Next: {connect}[/]")
    else:
        out.print("\n[bold green]Nothing is red.[/]")
