"""`connect`: one command and one click from a deployed stack to a connected one."""

from __future__ import annotations

import time
import uuid
from enum import StrEnum
from typing import Annotated

import typer
from botocore.exceptions import ClientError

from bridge.http import Http
from cli.connect.app_choice import Given
from cli.connect.new_connection import Connected, Connecting
from cli.connect.org_setup import set_up_org
from cli.connect.sign_in import BrowserOptions
from cli.connect.stored_connection import org_of
from cli.deployment.stack import Stack
from cli.options import Yes, signing_in
from cli.org.client import try_lead
from cli.org.plan import missing
from cli.outbox.times import counted
from cli.rejected.queue import Queue
from cli.terminal import Terminal

TEST_LEAD = {
    "LastName": "Connection test",
    "Company": "bird-salesforce connect",
    "Description": "Created and rolled back by bird-salesforce connect.",
}


class GrantChoice(StrEnum):
    """How the bridge gets its tokens."""

    REFRESH_TOKEN = "refresh-token"
    CLIENT_CREDENTIALS = "client-credentials"


@signing_in
def connect_command(
    stack: Stack,
    given: Given,
    browser: BrowserOptions,
    grant: Annotated[
        GrantChoice,
        typer.Option(
            metavar="GRANT",
            help="refresh-token, or client-credentials: for an integration user without a browser.",
        ),
    ] = GrantChoice.REFRESH_TOKEN,
    anew: Annotated[
        bool, typer.Option("--anew", help="Connect also where the stored connection works.")
    ] = False,
    revoke_old: Annotated[
        bool,
        typer.Option(
            "--revoke-old", help="Revoke the replaced connection's token at Salesforce afterwards."
        ),
    ] = False,
    setup_org: Annotated[
        bool | None,
        typer.Option(
            "--setup-org/--no-setup-org",
            help="Set the org up afterwards (default: yes, if something is missing and a person "
            "is there to sign in).",
        ),
    ] = None,
    test_lead: Annotated[
        bool | None,
        typer.Option(
            "--test-lead/--no-test-lead",
            help="Create a Lead and roll it back in the same request (default: ask).",
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Connect the deployed stack to a Salesforce org: one click in a browser.

    Repeating it on a connected stack changes nothing. Secrets are stored in AWS Secrets Manager
    only.

    Key and secret may be in the environment: BIRD_SALESFORCE_CLIENT_ID and
    BIRD_SALESFORCE_CLIENT_SECRET.
    """
    terminal = Terminal()
    connecting = Connecting(
        terminal=terminal,
        stack=stack,
        browser=browser,
        client_credentials=grant is GrantChoice.CLIENT_CREDENTIALS,
    )
    done = connecting.run(given, anew=anew, revoke_old=revoke_old)
    lacking = done.lacking
    if lacking:
        terminal.note(f"The org is not set up. Missing: {lacking}.")
    if setup_org or (setup_org is None and lacking):
        # Without a person there is no administrator to sign in.
        if terminal.confirm(
            "Set the org up now? An administrator signs in for it.",
            default=terminal.interactive,
            assume=True if yes and terminal.interactive else setup_org,
        ):
            set_up_org(
                terminal,
                stack,
                app=done.app,
                connected=done.identity,
                yes=yes,
                browser=browser,
            )
            lacking = missing(org_of(done.token, stack, Http()), stack.settings)
        else:
            terminal.say(f"Later: {stack.command('setup-org')}")
    if done.changed and not lacking:
        _say_waiting(terminal, stack)
    if done.changed or test_lead:
        if lacking and test_lead is None:
            test_lead = False
        if terminal.confirm(
            "Create a test Lead and roll it back?", default=False, assume=test_lead
        ):
            _try_lead(terminal, stack, done)
    terminal.say(
        f"What to enter in Bird: {stack.command('flow whatsapp')}\n"
        f"Check everything:      {stack.command('doctor')}"
    )


def _say_waiting(terminal: Terminal, stack: Stack) -> None:
    """What waited for the connection goes by itself: nobody has to send it again."""
    try:
        count = Queue(stack.client("sqs"), stack.settings.outbox_url).counts().total
    except ClientError:
        return  # the rights of `connect` do not include the queues
    if count:
        what = counted(count, "waiting record") + (" is" if count == 1 else " are")
        terminal.good(
            f"{what} being delivered, within half an hour (the number is an estimate of SQS)."
        )


def _try_lead(terminal: Terminal, stack: Stack, done: Connected) -> None:
    org = org_of(done.token, stack, Http())
    began = time.monotonic()
    key = f"bird-salesforce-test-{uuid.uuid4().hex[:12]}"
    try_lead(org, key_field=stack.settings.external_id_field, key=key, values=TEST_LEAD)
    milliseconds = (time.monotonic() - began) * 1000
    terminal.good(f"A test Lead was created and rolled back ({milliseconds:.0f} ms).")
