"""`setup-org`: the fields and the permission set, made by an administrator of the org."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.http import Http
from cli.connect.app_choice import Given, choose_app
from cli.connect.oauth import read_identity, try_app
from cli.connect.org_setup import set_up_org
from cli.connect.sign_in import BrowserOptions
from cli.connect.sign_in_failures import SignInFailed
from cli.connect.stored_connection import StoredConnection
from cli.deployment.stack import Stack
from cli.options import Json, Yes, signing_in
from cli.problem import Problem
from cli.terminal import Terminal


@signing_in
def setup_org_command(
    stack: Stack,
    given: Given,
    browser: BrowserOptions,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be changed.")] = False,
    yes: Yes = False,
    user: Annotated[
        str | None,
        typer.Option(
            help="The integration user's name (default: the user that the stack is connected as)."
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="OBJECT.FIELD",
            help="A further field that flows send, like Lead.Region__c; can be repeated.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create the fields and the permission set in the org, as an administrator.

    The administrator signs in once; that session is not stored, and is revoked at the end. What is
    there already is not changed.

    Key and secret may be in the environment: BIRD_SALESFORCE_CLIENT_ID and
    BIRD_SALESFORCE_CLIENT_SECRET.
    """
    terminal = Terminal()
    connection = StoredConnection(stack)
    token = connection.token()
    app = choose_app(terminal, stack, given, connection.secret(), callback=browser.callback)
    try:
        try_app(Http(), app)
    except SignInFailed as failed:
        if failed.is_outage and token is not None:
            raise Problem(
                "Salesforce is down. Nothing was changed.",
                next_step="Run this again later. See https://status.salesforce.com. If only this "
                "computer cannot reach it, check its network.",
            ) from failed
        raise
    done = set_up_org(
        terminal,
        stack,
        app=app,
        connected=read_identity(token.id) if token else None,
        username=user or "",
        more_fields=fields or (),
        yes=yes,
        plan_only=plan,
        browser=browser,
    )
    if as_json:
        terminal.result_json(
            {
                "steps": [{"what": one.what, "target": one.target} for one in done.steps],
                "done": done.done,
                "notes": done.notes,
            }
        )
