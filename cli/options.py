"""The options that commands share, each written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.deployment.stack import LOCAL_FILE, Stack, find_stack

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Wide = Annotated[
    bool, typer.Option("--wide", help="Everything on one line each, however long it is.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


# Of the commands that sign somebody in

Browser = Annotated[
    bool,
    typer.Option(
        "--browser/--no-browser",
        help="--no-browser prints the address to open, and asks for the address that the browser "
        "shows at the end: for SSH, and for other callbacks than localhost.",
        rich_help_panel="The browser",
    ),
]
Callback = Annotated[
    str,
    typer.Option(
        metavar="URL",
        show_default=False,
        help="The callback URL in the app's settings (default: localhost, port 8788, /callback). "
        "Any other host works by pasting.",
        rich_help_panel="The browser",
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait", min=1, help="Seconds to wait for the browser.", rich_help_panel="The browser"
    ),
]
LoginUrl = Annotated[
    str | None,
    typer.Option(
        "--login-url",
        help="production, sandbox, or your My Domain, beginning with https://.",
    ),
]
ClientId = Annotated[
    str | None,
    typer.Option(
        help="The app's consumer key. The secret is typed in, or in the environment (above)."
    ),
]
CredentialsFile = Annotated[
    Path | None,
    typer.Option(help='A JSON file that only you can read: {"client_id": …, "client_secret": …}.'),
]


class ObjectChoice(StrEnum):
    """Lead or Case, in any case of letters."""

    LEAD = "Lead"
    CASE = "Case"


def _which(*names: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Which deployment", **more)


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


def on_stack(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `named_stack`, and pass it the `stack` that they name.

    typer reads options from a command's signature, so the wrapper's is put together from both.
    """
    shared = inspect.signature(named_stack, eval_str=True).parameters
    signature = inspect.signature(command, eval_str=True)
    own = [one for name, one in signature.parameters.items() if name != "stack"]
    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *shared.values())
    ]

    @functools.wraps(command)
    def run(**options: Any) -> None:
        stack = named_stack(**{name: options.pop(name) for name in shared})
        command(stack=stack, **options)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run
