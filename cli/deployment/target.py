"""Which stack a command is about: by its stage in samconfig.toml, or by its own name.

`make` asks as well, so that deploying, connecting, checking and destroying mean the same stack:

    python -m cli.deployment.target STAGE STACK REGION    (empty: not given)

prints `stage name [region]`, and for the person a line on stderr.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.problem import Problem

PROJECT = Path(__file__).resolve().parents[2]

DEFAULT_NAME = "bird-salesforce"

DEFAULT_STAGE = "default"
"""The table of samconfig.toml that is used where no stage is named."""

LONGEST_NAME = 48
"""Characters: the functions are named after the stack, and Lambda takes 64."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A stack that was chosen, whether it exists or not."""

    stage: str
    """The table of samconfig.toml whose other options count."""
    name: str
    region: str | None
    """None: the one of the AWS configuration."""
    profile: str | None


def read_stages(folder: Path) -> dict[str, dict[str, str]]:
    """`stack_name`, `region` and `profile` of each stage, as `sam deploy` would use them.

    Empty if there is no samconfig.toml.
    """
    try:
        tables = tomllib.loads((folder / "samconfig.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return {}
    return {stage: _options(table) for stage, table in tables.items() if isinstance(table, dict)}


def _options(table: Mapping[str, Mapping[str, Mapping[str, object]]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for command in ("global", "deploy"):
        parameters = table.get(command, {}).get("parameters", {})
        for key in ("stack_name", "region", "profile"):
            value = parameters.get(key)
            if isinstance(value, str):
                found[key] = value
    return found


def choose(
    stages: Mapping[str, Mapping[str, str]],
    *,
    stage: str | None = None,
    name: str | None = None,
    region: str | None = None,
) -> Target:
    """The stack that is meant; None and "" are not given.

    A name alone belongs to the stage that has it in samconfig.toml, if one has. Raises Problem
    where what was given and samconfig.toml contradict each other, and for a name that is too long.
    """
    if stage and stage != DEFAULT_STAGE and stage not in stages:
        raise Problem(
            f"samconfig.toml has no stage {stage}.",
            next_step=f"Add [{stage}.global.parameters] with a stack_name to it.",
        )
    if not stage:
        named = [one for one, options in stages.items() if name and _name_of(options) == name]
        stage = named[0] if named else DEFAULT_STAGE
        configured = stages.get(stage, {})
        of_stage = bool(named) or not name
    else:
        configured = stages.get(stage, {})
        of_stage = True
        if name and configured.get("stack_name", name) != name:
            raise _contradiction("stack", stage, configured["stack_name"], name)
    if of_stage and region and configured.get("region", region) != region:
        raise _contradiction("region", stage, configured["region"], region)
    chosen = name or _name_of(configured)
    if len(chosen) > LONGEST_NAME or not _NAME.fullmatch(chosen):
        raise Problem(
            f"{chosen} is no name for the stack: it begins with a letter and has letters, digits "
            f"and hyphens only, at most {LONGEST_NAME} (functions are named after it, and Lambda "
            "accepts 64).",
            next_step="Choose another one.",
        )
    return Target(
        stage=stage,
        name=chosen,
        region=region or configured.get("region"),
        profile=configured.get("profile"),
    )


def _name_of(options: Mapping[str, str]) -> str:
    return options.get("stack_name", DEFAULT_NAME)


def _contradiction(what: str, stage: str, configured: str, given: str) -> Problem:
    return Problem(
        f"The stage {stage} has the {what} {configured} in samconfig.toml, and {given} was given.",
        next_step="Leave one of the two out, or add a stage of its own to samconfig.toml.",
    )


def main(given: list[str]) -> int:
    """For `make`; the exit status."""
    stage, name, region = given
    try:
        target = choose(read_stages(PROJECT), stage=stage, name=name, region=region)
    except Problem as problem:
        print(f"{problem.what}\n  Next: {problem.next_step}", file=sys.stderr)
        return 2
    # SAM CLI reads no AWS_REGION: what is printed here has to be what it gets.
    environ = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    chosen = target.region or environ
    place = chosen or "the region of your AWS configuration"
    print(f"The stack {target.name} in {place} (stage {target.stage})", file=sys.stderr)
    print(target.stage, target.name, chosen or "")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
