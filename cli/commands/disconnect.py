"""`disconnect`: ends the connection, and says what remains."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.connect.disconnect import disconnect, is_connected, remains, stays
from cli.deployment.stack import Stack
from cli.options import Yes, on_stack
from cli.terminal import Terminal


@on_stack
def disconnect_command(
    stack: Stack,
    yes: Yes = False,
    before_destroy: Annotated[
        bool,
        typer.Option(
            "--before-destroy",
            help="Only offer it, and say what stays when the stack is deleted; make destroy does.",
        ),
    ] = False,
) -> None:
    """Revoke the tokens at Salesforce and remove the credentials from AWS."""
    terminal = Terminal()
    if before_destroy:
        _before_destroy(stack, terminal)
        return
    terminal.must_confirm(
        f"Disconnect {stack.name} from Salesforce? What flows send then waits in the outbox.",
        action="disconnect",
        yes=yes,
    )
    _disconnect(stack, terminal)


def _before_destroy(stack: Stack, terminal: Terminal) -> None:
    if is_connected(stack):
        question = (
            f"Disconnect {stack.name} from Salesforce first? Else its refresh token stays valid, "
            "and stays in AWS."
        )
        if terminal.confirm(question, default=False):
            _disconnect(stack, terminal)
        else:
            terminal.note(f"Still connected: {stack.command('disconnect')}")
    terminal.say(f"When {stack.name} is deleted, its two queues are deleted with it. These stay:")
    for one in stays(stack):
        terminal.say(f"  • {one}")


def _disconnect(stack: Stack, terminal: Terminal) -> None:
    revoked = disconnect(stack)
    if revoked is None:
        terminal.good("Nothing was connected.")
    elif revoked:
        terminal.good("Disconnected: the tokens are revoked and the secret is empty.")
    else:
        terminal.good("Disconnected: the secret is empty.")
        terminal.note(
            "Salesforce did not confirm that the token was revoked; perhaps it was invalid "
            "already. To be sure: Setup, Connected Apps OAuth Usage, the app, Revoke All."
        )
    terminal.say("What remains:")
    for one in remains(stack):
        terminal.say(f"  • {one}")
