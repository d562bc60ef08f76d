"""The options that commands share, each written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.connect.app_choice import Given
from cli.connect.sign_in import BrowserOptions
from cli.connect.sign_in_failures import DEFAULT_CALLBACK
from cli.deployment.stack import LOCAL_FILE, Stack, find_stack

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Wide = Annotated[
    bool, typer.Option("--wide", help="Everything on one line each, however long it is.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class ObjectChoice(StrEnum):
    """Lead or Case, in any case of letters."""

    LEAD = "Lead"
    CASE = "Case"


def _in_panel(panel: str) -> Callable[..., Any]:
    return functools.partial(typer.Option, rich_help_panel=panel)


_which = _in_panel("Which deployment")
_browser = _in_panel("The browser")


def named_stack(
    *,
    stack_name: Annotated[
        str | None,
        _which(
            "--stack-name",
            "--stack",
            help="The stack's name (default: the stage's, or bird-salesforce).",
        ),
    ] = None,
    region: Annotated[str | None, _which("--region", help="The stack's AWS region.")] = None,
    profile: Annotated[
        str | None, _which("--profile", help="A profile of your AWS configuration.")
    ] = None,
    stage: Annotated[
        str | None,
        _which("--stage", help="The table of samconfig.toml with the stack's name and region."),
    ] = None,
    local: Annotated[
        bool, _which("--local", help="The stack that `make start` runs on this machine.")
    ] = False,
    local_file: Annotated[
        Path,
        _which(
            "--local-file",
            help="The file in which the local stack names its parts (default: .local/stack.json).",
            show_default=False,
            envvar="BIRD_SALESFORCE_LOCAL_FILE",
        ),
    ] = LOCAL_FILE,
) -> Stack:
    """The stack that these options name. Raises StackNotFound, Problem."""
    return find_stack(
        name=stack_name,
        region=region,
        profile=profile,
        stage=stage,
        local=local_file if local else None,
    )


def given_app(
    *,
    login_url: Annotated[
        str | None,
        typer.Option(
            "--login-url", help="production, sandbox, or your My Domain, beginning with https://."
        ),
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option(
            help="The app's consumer key. The secret is typed in, or in the environment (above)."
        ),
    ] = None,
    credentials_file: Annotated[
        Path | None,
        typer.Option(
            help='A JSON file that only you can read: {"client_id": …, "client_secret": …}.'
        ),
    ] = None,
) -> Given:
    """What is given of the app. Raises Problem for a file that cannot be used."""
    return Given.read(login_url=login_url, client_id=client_id, credentials_file=credentials_file)


def browser_options(
    *,
    browser: Annotated[
        bool,
        _browser(
            "--browser/--no-browser",
            help="--no-browser prints the address to open, and asks for the address that the "
            "browser shows at the end: for SSH, and for other callbacks than localhost.",
        ),
    ] = True,
    callback: Annotated[
        str,
        _browser(
            metavar="URL",
            show_default=False,
            help="The callback URL in the app's settings (default: localhost, port 8788, "
            "/callback). Any other host works by pasting.",
        ),
    ] = DEFAULT_CALLBACK,
    wait: Annotated[
        float, _browser("--wait", min=1, help="Seconds to wait for the browser.")
    ] = 300,
) -> BrowserOptions:
    """How the code of a sign-in comes here."""
    return BrowserOptions(callback=callback, browser=browser, seconds=wait)


def supplied(**makers: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these functions, and pass it what they make of them.

    typer reads options from a command's signature, so the wrapper's is put together from all.
    """
    shared = {
        name: inspect.signature(make, eval_str=True).parameters for name, make in makers.items()
    }

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [one for name, one in signature.parameters.items() if name not in makers]
        parameters = [
            one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for one in (*own, *(one for some in shared.values() for one in some.values()))
        ]

        @functools.wraps(command)
        def run(**options: Any) -> None:
            made = {
                name: makers[name](**{one: options.pop(one) for one in some})
                for name, some in shared.items()
            }
            command(**made, **options)

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


on_stack = supplied(stack=named_stack)
signing_in = supplied(stack=named_stack, given=given_app, browser=browser_options)
