"""What holds for every command: version, completion, suggestions, exit codes, colours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.main import app
from sandbox.stack import Stack
from tests.cli.program import run
from tools.template import ROOT

PAGE = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")


@pytest.fixture
def local(stack: Stack, options: list[str]) -> list[str]:
    """A stack with a record that was refused."""
    body = {"LastName": "Okafor", "Company": "x" * 300, "Bird_Key__c": "k"}
    assert stack.request("POST", "/leads", body).status == 422
    return options


def commands() -> dict[str, Any]:
    """Every command by its words."""
    found: dict[str, Any] = {}
    top: Any = typer.main.get_command(app)
    for name, command in top.commands.items():
        inner = getattr(command, "commands", {})
        found |= {f"{name} {one}": inner[one] for one in inner} or {name: command}
    return found


def test_the_version_is_the_project_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    result = run("--version")
    assert (result.status, result.out) == (0, f"bird-salesforce {project['version']}\n")


COMPLETE = "_BIRD_SALESFORCE_COMPLETE"


def test_the_installed_script_gives_a_shell_its_completion() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("bird-salesforce"))],
        env={**os.environ, COMPLETE: "source_bash"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert COMPLETE in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell: str) -> None:
    assert COMPLETE in run(environ={COMPLETE: f"source_{shell}"}).out
    assert "--install-completion" in run("--help").out


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("bird-salesforce sta", "status"),
        ("bird-salesforce rejected re", "replay"),
        ("bird-salesforce flow wh", "whatsapp"),
        ("bird-salesforce status --wa", "--watch"),
    ],
)
def test_commands_options_and_channels_are_completed(words: str, completed: str) -> None:
    environ = {COMPLETE: "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert completed in run(environ=environ).out.split()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("docter",), "doctor"),
        (("statis",), "status"),
        (("rejected", "lst"), "list"),
        (("outbox", "lits"), "list"),
        (("doctor", "--verbos"), "--verbose"),
        (("status", "--wach"), "--watch"),
        (("rejected", "replay", "--no-wai"), "--no-wait"),
    ],
)
def test_the_nearest_name_is_suggested(typed: tuple[str, ...], meant: str) -> None:
    result = run(*typed)
    assert result.status == 2
    assert meant in result.err.split("Error")[1]


def test_the_page_has_every_command() -> None:
    listed = set(re.findall(r"^\| `([a-z -]+)` \|", PAGE, re.MULTILINE))
    assert listed == set(commands())


def test_the_page_says_which_commands_print_json() -> None:
    can = {
        name
        for name, command in commands().items()
        if any("--json" in one.opts for one in command.params)
    }
    (sentence,) = re.findall(r"`--json` prints one JSON document: (.*?)\.", PAGE, re.DOTALL)
    assert set(re.findall(r"`([a-z -]+)`", sentence)) == can
    lists = {name for name in commands() if name.endswith((" list", " show"))}
    assert lists | {"status", "doctor"} <= can


TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "80"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("status",),
        ("doctor", "--verbose"),
        ("rejected", "list"),
        ("rejected", "list", "--wide"),
        ("outbox", "list"),
        ("flow", "sms"),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_there_are_no_colours_in_a_pipe(
    local: list[str], arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    more = local if arguments[0] not in ("--help", "nonsense") else []
    result = run(*arguments, *more, environ=TERMINAL)
    assert "\x1b" not in result.out + result.err
    if arguments[0] in ("status", "doctor") or arguments == ("rejected", "list"):
        assert [line for line in result.out.splitlines() if len(line) > 80] == []


def test_there_are_none_in_a_real_pipe_either(local: list[str]) -> None:
    environment = {n: v for n, v in os.environ.items() if n not in ("FORCE_COLOR", "NO_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "doctor", "--verbose", *local],
        env={**environment, **TERMINAL},
        capture_output=True,
        timeout=120,
        cwd=ROOT,
    )
    assert b"\x1b" not in done.stdout + done.stderr and done.stdout


def test_usage_is_2_and_a_missing_stack_1(tmp_path: Path) -> None:
    assert run("flow").status == 2
    result = run("status", "--local", "--local-file", str(tmp_path / "no.json"))
    assert result.status == 1 and "make start" in result.err


@pytest.mark.parametrize("command", sorted(commands()))
def test_help_loses_no_part_of_a_word(command: str) -> None:
    """At 80 columns a long word, as the name of a variable, would end in an ellipsis."""
    shown = run(*command.split(), "--help", environ={"COLUMNS": "80"}).out
    assert max(map(len, shown.splitlines())) == 80
    assert not re.search(r"[\w:/-]…", shown)
