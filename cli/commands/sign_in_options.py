"""The options of the commands that sign somebody in: `connect` and `setup-org`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.problem import Problem
from cli.terminal import Terminal

_PANEL = "The browser"

Browser = Annotated[
    bool,
    typer.Option(
        "--browser/--no-browser",
        help="--no-browser prints the address to open, and asks for the address that the browser "
        "shows at the end: for SSH, and for other callbacks than localhost.",
        rich_help_panel=_PANEL,
    ),
]
Callback = Annotated[
    str,
    typer.Option(
        metavar="URL",
        show_default=False,
        help="The callback URL in the app's settings (default: localhost, port 8788, /callback). "
        "Any other host works by pasting.",
        rich_help_panel=_PANEL,
    ),
]
Wait = Annotated[
    float,
    typer.Option("--wait", min=1, help="Seconds to wait for the browser.", rich_help_panel=_PANEL),
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


def agrees_to_plan(terminal: Terminal, *, yes: bool) -> bool:
    """Whether the plan for the org may be carried out. Raises Problem without a person and
    `yes`."""
    if not yes and not terminal.interactive:
        raise Problem("Not interactive. Add --yes to carry the plan out.")
    return yes or terminal.confirm("Do this?", default=True)
