"""`disconnect`: ends the connection, and says what remains."""

from __future__ import annotations

from cli.connect.disconnect import disconnect
from cli.deployment.stack import Stack
from cli.options import Yes, on_stack
from cli.terminal import Terminal


@on_stack
def disconnect_command(stack: Stack, yes: Yes = False) -> None:
    """Revoke the tokens at Salesforce and remove the credentials from AWS."""
    terminal = Terminal()
    terminal.must_confirm(
        f"Disconnect {stack.name} from Salesforce? What flows send then waits in the outbox.",
        action="disconnect",
        yes=yes,
    )
    outcome = disconnect(stack)
    if not outcome.was_connected:
        terminal.good("Nothing was connected.")
    elif outcome.revoked:
        terminal.good("Disconnected: the tokens are revoked and the secret is empty.")
    else:
        terminal.good("Disconnected: the secret is empty.")
        terminal.note(
            "Salesforce did not confirm that the token was revoked; perhaps it was invalid "
            "already. To be sure: Setup, Connected Apps OAuth Usage, the app, Revoke All."
        )
    terminal.say("What remains:")
    for one in outcome.remains:
        terminal.say(f"  • {one}")
