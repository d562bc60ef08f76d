"""The options that commands share, each written once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.deployment.stack import LOCAL_FILE, Stack, find_stack

_AWS = "Which deployment"

StackName = Annotated[
    str | None,
    typer.Option(
        "--stack-name",
        "--stack",
        help="The stack's name (default: as in samconfig.toml, or bird-salesforce).",
        rich_help_panel=_AWS,
    ),
]
Region = Annotated[
    str | None,
    typer.Option("--region", help="The stack's AWS region.", rich_help_panel=_AWS),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", help="A profile of your AWS configuration.", rich_help_panel=_AWS),
]
Local = Annotated[
    bool,
    typer.Option(
        "--local", help="The stack that `make start` runs on this machine.", rich_help_panel=_AWS
    ),
]
LocalFile = Annotated[
    Path,
    typer.Option(
        "--local-file",
        help="Where the local stack says what it is called.",
        envvar="BIRD_SALESFORCE_LOCAL_FILE",
        rich_help_panel=_AWS,
    ),
]
DEFAULT_LOCAL_FILE = LOCAL_FILE

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class ObjectChoice(StrEnum):
    """Lead or Case, in any case of letters."""

    LEAD = "Lead"
    CASE = "Case"


def stack_of(
    stack_name: str | None,
    region: str | None,
    profile: str | None,
    local: bool,
    local_file: Path,
) -> Stack:
    """The stack that the shared options name."""
    return find_stack(
        name=stack_name,
        region=region,
        profile=profile,
        local=local_file if local else None,
    )
