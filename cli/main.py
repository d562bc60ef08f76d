"""The entry point of `bird-salesforce`: its commands, and how a failure is said."""

from __future__ import annotations

import sys

import typer
from botocore.exceptions import BotoCoreError, ClientError

from cli import cost, rollback
from cli.commands import connect as connect_commands
from cli.commands import rejected as rejected_commands
from cli.commands import smoke as smoke_command
from cli.problem import Problem
from cli.terminal import Terminal

app = typer.Typer(
    name="bird-salesforce",
    help="Connects Bird to Salesforce, and looks after it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    # A stack trace with local variables could show a secret.
    pretty_exceptions_enable=False,
)
app.command("connect")(connect_commands.connect_command)
app.command("setup-org")(connect_commands.setup_org_command)
app.command("doctor")(connect_commands.doctor_command)
app.command("smoke")(smoke_command.smoke_command)
app.command("disconnect")(connect_commands.disconnect_command)
app.command("flow")(connect_commands.flow_command)
app.command("cost")(cost.cost_command)
app.command("rollback")(rollback.rollback_command)
app.add_typer(rejected_commands.commands, name="rejected")


def main() -> None:
    """Run it, and say what went wrong in words. The exit status is 0 only if all is well."""
    terminal = Terminal()
    try:
        app()
    except Problem as problem:
        terminal.bad(problem)
        sys.exit(problem.exit_status)
    except KeyboardInterrupt:
        terminal.say("Stopped.")
        sys.exit(130)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        terminal.bad(
            Problem(
                f"AWS refuses {error.operation_name}: {code}.",
                next_step="Sign in with a role that may do this, or name another with --profile.",
            )
        )
        sys.exit(1)
    except BotoCoreError as error:
        terminal.bad(Problem(f"AWS cannot be reached: {error}", next_step="Check the network."))
        sys.exit(1)
