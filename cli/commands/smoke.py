"""`bird-salesforce smoke`: whether what was deployed works, as a flow would find it."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.checks.finding import State, say_finding
from cli.checks.smoke import Made, Smoke, Trial
from cli.deployment.stack import Stack
from cli.options import (
    DEFAULT_LOCAL_FILE,
    Json,
    Local,
    LocalFile,
    Profile,
    Region,
    StackName,
    stack_of,
)
from cli.terminal import Terminal


def smoke_command(
    record: Annotated[
        bool,
        typer.Option(
            "--record",
            help="Make two leads in Salesforce as well, marked as tests: one at once, one through "
            "the outbox. Nothing here can delete them.",
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="How long to ask again where a new deployment or API key may not be served yet.",
        ),
    ] = 60.0,
    deliver_wait: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="With --record: how long the outbox may take."),
    ] = 60.0,
    as_json: Json = False,
    stack_name: StackName = None,
    region: Region = None,
    profile: Profile = None,
    local: Local = False,
    local_file: LocalFile = DEFAULT_LOCAL_FILE,
) -> None:
    """Send through the API what a flow would send; no record is made unless asked.

    The exit status is 1 if anything failed. A stack that is not connected yet has not failed.
    """
    terminal = Terminal()
    stack = stack_of(stack_name, region, profile, local, local_file)
    smoke = Smoke(stack=stack, wait_seconds=wait, deliver_seconds=deliver_wait, tell=terminal.note)
    trials: list[Trial] = []
    for trial in smoke.run(record=record):
        trials.append(trial)
        if not as_json:
            say_finding(terminal, trial.finding, more=trial.times)
    failed = sum(one.finding.state is State.BAD for one in trials)
    if as_json:
        terminal.result_json(
            {
                "stack": stack.name,
                "fine": not failed,
                "connected": smoke.connected,
                "checks": [one.as_dict() for one in trials],
                "records": [one.as_dict() for one in smoke.made],
            }
        )
    else:
        _say_records(terminal, smoke.made)
        _say_end(terminal, stack, smoke, trials, failed=failed)
    if failed:
        raise typer.Exit(1)


def _say_records(terminal: Terminal, made: list[Made]) -> None:
    if not made:
        return
    terminal.out.print("\nTo be deleted in Salesforce, since the bundle may delete nothing:")
    for one in made:
        if one.id:
            terminal.result(f"  {one.object} {one.id}  {one.url}")
            terminal.result(
                f"    sf data delete record --sobject {one.object} --record-id {one.id}"
            )
        else:
            terminal.result(f"  {one.object} with the key {one.key}, if it comes")


def _say_end(
    terminal: Terminal, stack: Stack, smoke: Smoke, trials: list[Trial], *, failed: int
) -> None:
    states = {one.finding.state for one in trials}
    if failed:
        terminal.out.print(f"\n[bold red]{failed} of {len(trials)} checks failed.[/]")
    elif smoke.connected is False:
        connect = (
            f"bird-salesforce connect {stack.options()}"
            if stack.is_local
            else f"make connect STACK={stack.name} REGION={stack.region}"
        )
        terminal.out.print(f"\n[bold yellow]Deployed, not connected: run {connect}[/]")
    elif State.UNKNOWN in states:
        terminal.out.print("\n[bold yellow]Nothing failed, but not all could be tried.[/]")
    else:
        terminal.out.print("\n[bold green]It works.[/]")
