"""The entry point of `bird-salesforce`: its commands, and how a failure is printed."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from cli.commands import outbox, rejected
from cli.commands.check import check_command
from cli.commands.connect import connect_command
from cli.commands.disconnect import disconnect_command
from cli.commands.doctor import doctor_command
from cli.commands.flow import flow_command
from cli.commands.setup_org import setup_org_command
from cli.commands.status import status_command
from cli.deployment.aws_problem import problem_of
from cli.problem import Problem
from cli.terminal import Terminal

app = typer.Typer(
    name="bird-salesforce",
    help="Connects the bridge from Bird to Salesforce, checks it, and handles rejected records.",
    no_args_is_help=True,
    suggest_commands=True,
    rich_markup_mode="markdown",
    # A stack trace with local variables could show a secret.
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        Terminal().result(f"bird-salesforce {version('bird-salesforce')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Connects the bridge from Bird to Salesforce, checks it, and handles rejected records.

    Exit codes: docs/exit-codes.md.
    """


app.command("connect")(connect_command)
app.command("setup-org")(setup_org_command)
app.command("status")(status_command)
app.command("doctor")(doctor_command)
app.command("flow")(flow_command)
app.command("check")(check_command)
app.command("disconnect")(disconnect_command)
app.add_typer(outbox.commands, name="outbox")
app.add_typer(rejected.commands, name="rejected")


def main() -> None:
    """Run a command, and print what went wrong. The exit status is 0 only if all is well."""
    terminal = Terminal()
    try:
        app(prog_name="bird-salesforce")
    except Problem as problem:
        terminal.bad(problem)
        sys.exit(problem.exit_status)
    except KeyboardInterrupt:
        terminal.say("Stopped.")
        sys.exit(130)
    except (ClientError, BotoCoreError) as error:
        terminal.bad(problem_of(error))
        sys.exit(1)
