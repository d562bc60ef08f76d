"""`connect`, `setup-org`, `doctor`, `disconnect` and `flow`: their options and their words."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cli.checks.doctor import Doctor
from cli.checks.finding import Finding, State, say_finding
from cli.connect import connection as connecting
from cli.connect import oauth
from cli.connect.connection import Wanted
from cli.connect.credentials import Connection
from cli.connect.disconnect import disconnect
from cli.connect.oauth import DEFAULT_CALLBACK, Identity
from cli.connect.sign_in import Way
from cli.deployment.flow import ANSWER_KEYS, BIRD_KEYS, FlowStep, flow_step
from cli.deployment.stack import Stack
from cli.options import (
    DEFAULT_LOCAL_FILE,
    Json,
    Local,
    LocalFile,
    ObjectChoice,
    Profile,
    Region,
    StackName,
    Yes,
    stack_of,
)
from cli.org.setup import Outcome, set_up
from cli.problem import Problem
from cli.terminal import Terminal

_BROWSER = "The browser"

Browser = Annotated[
    bool,
    typer.Option(
        "--browser/--no-browser",
        help="--no-browser prints the address and takes the one that the browser ended at, pasted: "
        "for SSH, and for other callbacks.",
        rich_help_panel=_BROWSER,
    ),
]
Callback = Annotated[
    str,
    typer.Option(
        help="The callback URL as it stands in the app. Another one than localhost "
        "(https://login.salesforce.com/) works by pasting.",
        rich_help_panel=_BROWSER,
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait", min=1, help="Seconds that the browser may take.", rich_help_panel=_BROWSER
    ),
]
LoginUrl = Annotated[
    str | None,
    typer.Option(
        "--login-url",
        help="production, sandbox, or your My Domain (https://yourcompany.my.salesforce.com).",
    ),
]
ClientId = Annotated[
    str | None,
    typer.Option(
        help="The app's consumer key (or in the environment: BIRD_SALESFORCE_CLIENT_ID). The "
        "secret is asked for, or taken from BIRD_SALESFORCE_CLIENT_SECRET."
    ),
]
CredentialsFile = Annotated[
    Path | None,
    typer.Option(help='A JSON file that only you can read: {"client_id": …, "client_secret": …}.'),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="OBJECT.FIELD",
        help="A field that flows set besides, like Lead.Region__c; may be given several times.",
    ),
]


class GrantChoice(StrEnum):
    """How tokens are got."""

    REFRESH_TOKEN = "refresh-token"
    CLIENT_CREDENTIALS = "client-credentials"


def connect_command(
    login_url: LoginUrl = None,
    client_id: ClientId = None,
    credentials_file: CredentialsFile = None,
    grant: Annotated[
        GrantChoice,
        typer.Option(help="client-credentials is for an integration user without a browser."),
    ] = GrantChoice.REFRESH_TOKEN,
    anew: Annotated[
        bool, typer.Option("--anew", help="Connect even if what is stored works.")
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
            help="Set the org up afterwards (default: ask, if something lacks).",
        ),
    ] = None,
    test_lead: Annotated[
        bool | None,
        typer.Option(
            "--test-lead/--no-test-lead",
            help="Make a Lead and take it back in the same call (default: ask).",
        ),
    ] = None,
    yes: Yes = False,
    browser: Browser = True,
    callback: Callback = DEFAULT_CALLBACK,
    wait: Wait = 300,
    stack_name: StackName = None,
    region: Region = None,
    profile: Profile = None,
    local: Local = False,
    local_file: LocalFile = DEFAULT_LOCAL_FILE,
) -> None:
    """Connect the deployed stack to a Salesforce org: one click in a browser.

    Repeating it on a stack that is connected changes nothing. What it is told in secret goes into
    AWS Secrets Manager and nowhere else.
    """
    terminal = Terminal()
    stack = stack_of(stack_name, region, profile, local, local_file)
    way = Way(callback=callback, browser=browser, seconds=wait)
    wanted = Wanted(
        login_url=login_url or "",
        client_id=client_id or "",
        credentials_file=credentials_file,
        client_credentials=grant is GrantChoice.CLIENT_CREDENTIALS,
        anew=anew,
        revoke_old=revoke_old,
        way=way,
    )
    done = connecting.connect(terminal, stack, wanted)
    lacking = connecting.lacks_set_up(stack, done)
    if lacking:
        terminal.note(f"The org lacks: {lacking}.")
    if setup_org or (setup_org is None and lacking):
        if terminal.confirm(
            "Set the org up now? An administrator signs in for it.",
            default=False,
            assume=setup_org,
        ):
            set_up(
                terminal,
                stack,
                app=done.app,
                connected=done.identity,
                username="",
                more_fields=(),
                plan_only=False,
                agree=lambda: yes or _agrees(terminal),
                way=way,
            )
            lacking = connecting.lacks_set_up(stack, done)
        else:
            terminal.say(f"Later: bird-salesforce setup-org {stack.options()}")
    if done.changed or test_lead:
        if lacking and test_lead is None:
            test_lead = False
        if terminal.confirm("Make a test Lead and take it back?", default=False, assume=test_lead):
            connecting.test_lead(terminal, stack, done)
    terminal.say(
        f"What to type into Bird: bird-salesforce flow whatsapp {stack.options()}\n"
        f"Is all well?           bird-salesforce doctor {stack.options()}"
    )


def setup_org_command(
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be changed.")] = False,
    yes: Yes = False,
    user: Annotated[
        str | None,
        typer.Option(
            help="The integration user's name (default: the user that the stack is connected as)."
        ),
    ] = None,
    fields: Fields = None,
    as_json: Json = False,
    login_url: LoginUrl = None,
    client_id: ClientId = None,
    credentials_file: CredentialsFile = None,
    browser: Browser = True,
    callback: Callback = DEFAULT_CALLBACK,
    wait: Wait = 300,
    stack_name: StackName = None,
    region: Region = None,
    profile: Profile = None,
    local: Local = False,
    local_file: LocalFile = DEFAULT_LOCAL_FILE,
) -> None:
    """Make the key field and the permission set in the org, as an administrator.

    The administrator signs in for this once; that session is not stored, and is ended at the end.
    What is there already is left as it is.
    """
    terminal = Terminal()
    stack = stack_of(stack_name, region, profile, local, local_file)
    way = Way(callback=callback, browser=browser, seconds=wait)
    wanted = Wanted(
        login_url=login_url or "",
        client_id=client_id or "",
        credentials_file=credentials_file,
        way=way,
    )
    outcome = set_up(
        terminal,
        stack,
        app=connecting.app_for(terminal, stack, wanted),
        connected=_connected_identity(stack),
        username=user or "",
        more_fields=fields or (),
        plan_only=plan,
        agree=lambda: yes or _agrees(terminal),
        way=way,
    )
    if as_json:
        terminal.result_json(_plan_json(outcome))


def _agrees(terminal: Terminal) -> bool:
    if not terminal.interactive:
        raise Problem("Nobody is here to confirm the plan.", next_step="Add --yes to mean it.")
    return terminal.confirm("Do this?", default=True)


def _connected_identity(stack: Stack) -> Identity | None:
    token = Connection(stack).token()
    return oauth.read_identity(token.id) if token else None


def _plan_json(outcome: Outcome) -> dict[str, object]:
    return {
        "steps": [{"what": one.what, "target": one.target} for one in outcome.plan.steps],
        "done": list(outcome.done),
        "notes": outcome.plan.notes,
    }


def doctor_command(
    sends: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OBJECT.FIELD",
            help="A field that your flows send, like Lead.Region__c; may be given several times.",
        ),
    ] = None,
    as_json: Json = False,
    stack_name: StackName = None,
    region: Region = None,
    profile: Profile = None,
    local: Local = False,
    local_file: LocalFile = DEFAULT_LOCAL_FILE,
) -> None:
    """Check everything between a flow and Salesforce. The exit status is 1 if anything is red."""
    terminal = Terminal()
    stack = stack_of(stack_name, region, profile, local, local_file)
    found: list[Finding] = []
    for finding in Doctor(stack=stack, sends=sends or ()).examine():
        found.append(finding)
        if not as_json:
            say_finding(terminal, finding)
    reds = sum(one.state is State.BAD for one in found)
    if as_json:
        terminal.result_json(
            {"healthy": not reds, "checks": [finding.as_dict() for finding in found]}
        )
    elif reds:
        terminal.out.print(f"\n[bold red]{reds} of {len(found)} checks are red.[/]")
    else:
        terminal.out.print("\n[bold green]Nothing is red.[/]")
    if reds:
        raise typer.Exit(1)


def disconnect_command(
    yes: Yes = False,
    stack_name: StackName = None,
    region: Region = None,
    profile: Profile = None,
    local: Local = False,
    local_file: LocalFile = DEFAULT_LOCAL_FILE,
) -> None:
    """Revoke the tokens at Salesforce and empty what is stored in AWS."""
    terminal = Terminal()
    stack = stack_of(stack_name, region, profile, local, local_file)
    terminal.must_confirm(
        f"Disconnect {stack.name} from Salesforce? What flows send then waits in the outbox.",
        yes=yes,
    )
    outcome = disconnect(stack)
    if not outcome.was_connected:
        terminal.good("Nothing was connected.")
    elif outcome.revoked:
        terminal.good("Disconnected: the tokens are revoked, the secret is empty.")
    else:
        terminal.good("Disconnected: the secret is empty.")
        terminal.note(
            "Salesforce did not confirm that it revoked the token (perhaps it was invalid "
            "already). To be sure: Setup, Connected Apps OAuth Usage, the app, Revoke All."
        )
    terminal.say("What remains:")
    for one in outcome.remains:
        terminal.say(f"  • {one}")


def flow_command(
    channel: Annotated[str, typer.Argument(help="whatsapp, viber, sms, instagram …")],
    object_name: Annotated[
        ObjectChoice | None,
        typer.Option(
            "--object", case_sensitive=False, help="Lead or Case (default: the channel's own)."
        ),
    ] = None,
    show_key: Annotated[
        bool, typer.Option("--show-key", help="Print the API key itself. It is a secret.")
    ] = False,
    as_json: Json = False,
    stack_name: StackName = None,
    region: Region = None,
    profile: Profile = None,
    local: Local = False,
    local_file: LocalFile = DEFAULT_LOCAL_FILE,
) -> None:
    """Print what to type into Bird's step for a channel."""
    terminal = Terminal()
    stack = stack_of(stack_name, region, profile, local, local_file)
    step = flow_step(
        stack,
        channel_name=channel,
        object_name=object_name.value if object_name else None,
        show_key=show_key,
    )
    if as_json:
        terminal.result_json(step.as_dict())
        return
    _say_step(terminal, stack, step, show_key=show_key)


def _say_step(terminal: Terminal, stack: Stack, step: FlowStep, *, show_key: bool) -> None:
    out = terminal.out
    out.print(f"[bold]{escape(step.channel.label)} → {step.object}[/]\n")
    out.print(f"[bold]URL[/]           {escape(step.url)}", soft_wrap=True)
    out.print("[bold]Method[/]        POST")
    out.print("[bold]Content-Type[/]  application/json")
    for name, value in step.headers:
        out.print(f"[bold]Header[/]        {escape(name)}: {escape(value)}", soft_wrap=True)
    out.print(f"[bold]Time-out[/]      {step.timeout_seconds} seconds or more")
    out.print("[bold]Body[/]")
    out.print(step.body_text(), markup=False, soft_wrap=True)
    out.print("\n[bold]Values[/] (put your flow's own variables in place of the {{…}}):")
    for name, words in BIRD_KEYS.items():
        out.print(f"  {escape(name)}: {words}")
    out.print("\n[bold]Variables to fetch from the answer[/]:")
    for name, words in ANSWER_KEYS.items():
        if name != "number" or step.object == "Case":
            out.print(f"  {escape(name)}: {words}")
    if not show_key:
        terminal.say()
        terminal.say("The API key is shown with --show-key" + _key_command(stack))


def _key_command(stack: Stack) -> str:
    if stack.is_local:
        return "."
    return f", or by: {stack.output('ApiKeyCommand')}"
