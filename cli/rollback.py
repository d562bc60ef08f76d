"""`bird-salesforce rollback`: every function runs the release before again, within seconds.

A function's alias points to a published version, and a version's description ends in the release
that it belongs to (`make deploy` puts it there), so the versions of one release are found together.
Roles, queues, secrets and the API stay as the last deployment left them.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cli.deployment.stack import ALIAS, Stack
from cli.options import (
    DEFAULT_LOCAL_FILE,
    Json,
    Local,
    LocalFile,
    Profile,
    Region,
    StackName,
    Yes,
    stack_of,
)
from cli.problem import Problem
from cli.terminal import Terminal

FUNCTIONS = ("CreateLead", "CreateCase", "ReceiveMessage", "RefreshToken", "Deliver")
"""Logical ids, in the order in which they are moved."""


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What is published of one function."""

    function: str
    """Its name."""
    running: int
    releases: Mapping[str, int]
    """The newest version of each release, the newest release last."""

    @property
    def release(self) -> str:
        """The release that runs; empty if it was deployed without one."""
        return next((one for one, number in self.releases.items() if number == self.running), "")


@dataclass(frozen=True, kw_only=True)
class Move:
    """One function from one version to another."""

    function: str
    before: int
    after: int


def read_release(description: str) -> str:
    """The release at the end of a version's description; empty if there is none."""
    found = re.search(r" ([0-9a-f]{10,64})$", description)
    return found[1] if found else ""


def versions_of(client: Any, function: str) -> Versions:
    """Raises Problem while a gradual deployment moves the alias."""
    alias = client.get_alias(FunctionName=function, Name=ALIAS)
    if (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
        raise Problem(
            f"{function} is being deployed gradually just now.",
            next_step="Stop that instead: aws deploy list-deployments --include-only-statuses "
            "InProgress, then aws deploy stop-deployment --auto-rollback-enabled --deployment-id …",
        )
    published = [
        (int(one["Version"]), read_release(one.get("Description", "")))
        for page in client.get_paginator("list_versions_by_function").paginate(
            FunctionName=function
        )
        for one in page["Versions"]
        if one["Version"] != "$LATEST"
    ]
    releases: dict[str, int] = {}
    for number, release in sorted(published):
        if release:
            releases.pop(release, None)
            releases[release] = number
    return Versions(function=function, running=int(alias["FunctionVersion"]), releases=releases)


def plan(found: list[Versions], wanted: str | None) -> tuple[str, list[Move]]:
    """To which release, and what moves for that. Raises Problem if there is none."""
    common = [
        release for release in found[0].releases if all(release in one.releases for one in found)
    ]
    if wanted is None:
        # Nothing newer than what runs anywhere, and older somewhere: a deployment that broke off
        # half way is taken back, not the one before it.
        before = [
            release
            for release in common
            if all(one.releases[release] <= one.running for one in found)
            and any(one.releases[release] < one.running for one in found)
        ]
        if not before:
            raise Problem(
                "There is no earlier release to go back to.",
                next_step="Check out the version that worked and run make deploy.",
            )
        wanted = before[-1]
    elif wanted not in common:
        raise Problem(
            f"There is no release {wanted} of every function.",
            next_step=f"There are, the newest last: {', '.join(common) or 'none'}.",
        )
    moves = [
        Move(function=one.function, before=one.running, after=one.releases[wanted])
        for one in found
        if one.running != one.releases[wanted]
    ]
    return wanted, moves


def rollback_command(
    to: Annotated[
        str | None, typer.Option("--to", help="A release (default: the one before).")
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
    stack_name: StackName = None,
    region: Region = None,
    profile: Profile = None,
    local: Local = False,
    local_file: LocalFile = DEFAULT_LOCAL_FILE,
) -> None:
    """Have every function run the release before again, when a new one does not work.

    Nothing is deleted, and the next `make deploy` goes on from here. Parameters of the functions go
    back with them; roles, queues, secrets, alarms and the API do not.
    """
    terminal = Terminal()
    stack = stack_of(stack_name, region, profile, local, local_file)
    if stack.is_local:
        raise Problem("The local stack has one version.", next_step="Name a deployed one.")
    client = stack.client("lambda")
    found = [versions_of(client, name) for name in _names(stack)]
    release, moves = plan(found, to)
    for move in moves:
        terminal.say(f"{move.function}: version {move.before} -> {move.after}")
    if not moves:
        terminal.good(f"Release {release} is what runs.")
    else:
        terminal.must_confirm(f"Go back to release {release}?", yes=yes)
        for move in moves:
            client.update_alias(
                FunctionName=move.function, Name=ALIAS, FunctionVersion=str(move.after)
            )
        terminal.good(f"Release {release} runs again.")
        terminal.say(f"Is all well? bird-salesforce smoke {stack.options()}")
    if as_json:
        terminal.result_json(
            {"release": release, "moved": {one.function: one.after for one in moves}}
        )


def _names(stack: Stack) -> list[str]:
    return [stack.outputs[f"{one}Function"] for one in FUNCTIONS]
