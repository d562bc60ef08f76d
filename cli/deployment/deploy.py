"""`make deploy`: what was built goes to AWS as new versions, and is then tried.

SAM publishes a version when ReleaseSha256 changes, so that is a hash over all that makes one: the
built functions, the built layer, the built template, and the parameters. Without it a changed
parameter would change $LATEST, which nobody calls, and would seem to have been deployed.
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html#sam-function-autopublishcodesha256
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.deployment.stack import PROJECT
from cli.problem import Problem
from cli.terminal import Terminal

OVERRIDES = "--parameter-overrides"

DIGITS = 16
"""How much of the hash is passed on; SAM uses the first ten digits."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One table of samconfig.toml: what a deployment is called, and its parameters."""

    name: str
    stack_name: str
    overrides: tuple[str, ...]
    """As SAM takes them: Key=Value, several of them in one text, or file://…"""
    options: Mapping[str, str]
    """Region and profile, where the table has them."""

    @classmethod
    def read(cls, path: Path, name: str) -> Stage:
        """Raises Problem if there is no such stage."""
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        if name not in tables:
            raise Problem(
                f"{path.name} has no stage {name}.",
                next_step=f"Add [{name}.global.parameters] and [{name}.deploy.parameters] to it, "
                "like those of staging.",
            )
        said: dict[str, Any] = {}
        for command in ("global", "deploy"):
            said |= tables[name].get(command, {}).get("parameters", {})
        return cls(
            name=name,
            stack_name=str(said.get("stack_name", "")),
            overrides=tuple(_flat(said.get("parameter_overrides", ()))),
            options={key: str(said[key]) for key in ("region", "profile") if key in said},
        )


def _flat(said: Any) -> Iterable[str]:
    """samconfig.toml may have a text, a table, or a list of either."""
    if isinstance(said, Mapping):
        for key, value in said.items():
            yield _pair(key, str(value))
    elif isinstance(said, str):
        yield from [said] if said.strip() else []
    else:
        for one in said:
            yield from _flat(one)


def _pair(key: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}="{escaped}"'


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The parameters among the arguments of `sam deploy`, and the other arguments."""
    overrides: list[str] = []
    others: list[str] = []
    taking = False
    for one in arguments:
        if one == OVERRIDES:
            taking = True
        elif one.startswith(f"{OVERRIDES}="):
            taking, one = True, one.removeprefix(f"{OVERRIDES}=")
            overrides.append(_quoted(one))
        elif one.startswith("-"):
            taking = False
            others.append(one)
        else:
            (overrides if taking else others).append(_quoted(one) if taking else one)
    return overrides, others


def _quoted(override: str) -> str:
    """DefaultCompany=Acme Ltd, as the shell leaves it, or DefaultCompany=, with SAM's quotes."""
    found = re.fullmatch(r"(\w+)=([^\"']*\s[^\"']*|)", override)
    if found and not re.search(r"\s\w+=", found[2]):
        return _pair(found[1], found[2])
    return override


def release_sha256(built: Path, overrides: Iterable[str]) -> str:
    """The hash over what was built and over the parameters that it is deployed with.

    `overrides` are as SAM takes them; of a file:// the content counts. Raises Problem if nothing
    was built.
    """
    files = sorted(path for path in built.rglob("*") if path.is_file())
    if not files:
        raise Problem("Nothing has been built.", next_step="Run make build first.")
    sha256 = hashlib.sha256()

    def add(name: str, content: bytes) -> None:
        sha256.update(f"{name}\0{len(content)}\0".encode() + content)

    for path in files:
        add(path.relative_to(built).as_posix(), path.read_bytes())
    for override in overrides:
        add("parameter", override.encode())
        if override.startswith("file://"):
            add("file", Path(override.removeprefix("file://")).read_bytes())
    return sha256.hexdigest()[:DIGITS]


def _option(arguments: Sequence[str], name: str) -> str | None:
    for at, one in enumerate(arguments):
        if one == name and at + 1 < len(arguments):
            return arguments[at + 1]
        if one.startswith(f"{name}="):
            return one.partition("=")[2]
    return None


def deploy(
    *, sam: str, stage: Stage, arguments: Sequence[str], built: Path, terminal: Terminal
) -> int:
    """Deploy and try it; the exit status. `arguments` are those of `sam deploy`."""
    given, others = split(arguments)
    overrides = [*stage.overrides, *given]
    release = release_sha256(built, overrides)
    command = [sam, "deploy", "--config-env", stage.name, *others]
    command += [OVERRIDES, *overrides, f"ReleaseSha256={release}"]
    terminal.say(f"Release {release}: sam deploy --config-env {stage.name} {shlex.join(others)}")
    status = subprocess.run(command, check=False).returncode
    if status:
        return status
    where = ["--stack-name", _option(others, "--stack-name") or stage.stack_name]
    for option in ("region", "profile"):
        if value := _option(others, f"--{option}") or stage.options.get(option):
            where += [f"--{option}", value]
    terminal.say("Trying what was deployed.")
    status = subprocess.run([sys.executable, "-m", "cli", "smoke", *where], check=False).returncode
    if status:
        terminal.say("It does not work as it should. What is between a flow and Salesforce:")
        subprocess.run([sys.executable, "-m", "cli", "doctor", *where], check=False)
    return status


def main(
    arguments: Annotated[list[str] | None, typer.Argument(help="For sam deploy.")] = None,
    sam: Annotated[str, typer.Option(help="The SAM CLI.")] = "sam",
    stage: Annotated[str, typer.Option(help="A table of samconfig.toml.")] = "default",
    config: Annotated[Path, typer.Option(help="samconfig.toml.")] = PROJECT / "samconfig.toml",
    built: Annotated[Path, typer.Option(help="What sam build made.")] = (
        PROJECT / ".aws-sam" / "build"
    ),
) -> None:
    """Deploy what was built, as new versions where something changed, and try it."""
    terminal = Terminal()
    try:
        status = deploy(
            sam=sam,
            stage=Stage.read(config, stage),
            arguments=arguments or [],
            built=built,
            terminal=terminal,
        )
    except Problem as problem:
        terminal.bad(problem)
        status = problem.exit_status
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
