"""Every `make` line of the followed pages expands to commands; `make help` names every target."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.slow.docs.pages import FOLLOWED, commands, text_of
from tools.template import ROOT

LINES = sorted(
    {
        one.text
        for page in FOLLOWED
        for one in commands(page)
        if re.match(r"(\w+=\S+ )?make ", one.text)
    }
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_make_expands_to_commands_with_its_options(line: str) -> None:
    ready = f'make -n -o "{sys.prefix}/.ready" VENV="{sys.prefix}" '
    done = run("bash", "-c", re.sub(r"\bmake ", ready, line, count=1))
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    for given in re.findall(r"""ARGS=(?:"([^"]*)"|'([^']*)'|(\S+))""", line):
        assert "".join(given) in done.stdout
    for name, value in re.findall(r"\b(STAGE|FN|EVENT)=(\S+)", line):
        assert value in done.stdout, name


def test_help_names_every_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", text_of("Makefile"), re.MULTILINE))
    assert targets <= set(
        re.findall(r"^  make ([a-z-]+)", run("make", "help").stdout, re.MULTILINE)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sandbox.demo --stays", "unrecognized arguments: --stays"),
        ("sandbox --port 99999", "99999 is not a number from 1 to 65532"),
        ("sandbox.invoke create_lead events/nope.json", "cannot be read as JSON"),
        ("tests.slow.fuzz.long 1 nope", "nope is none of"),
        ("tests.slow.fuzz.long soon", "invalid float value: 'soon'"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_done(arguments: str, message: str) -> None:
    done = run(sys.executable, "-m", *arguments.split())
    assert done.returncode == 2
    assert message in done.stdout + done.stderr and "Traceback" not in done.stderr
