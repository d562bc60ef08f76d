"""Every `make` line of the followed pages expands to commands; `make help` names every target."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.slow.docs.pages import FOLLOWED, commands
from tools.template import ROOT

LINES = sorted(
    {
        one.text
        for page in FOLLOWED
        for one in commands(page)
        if re.match(r"(\w+=\S+ )?make ", one.text)
    }
)


def make(line: str) -> str:
    ready = f"{sys.prefix}/.ready"
    line = re.sub(r"\bmake ", f'make -n -o "{ready}" VENV="{sys.prefix}" ', line, count=1)
    done = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_make_expands_to_commands_with_its_options(line: str) -> None:
    assert shutil.which("make")
    expanded = make(line)
    assert expanded.strip()
    for given in re.findall(r"""ARGS=(?:"([^"]*)"|'([^']*)'|(\S+))""", line):
        assert "".join(given) in expanded
    for name, value in re.findall(r"\b(STAGE|FN|EVENT)=(\S+)", line):
        assert value in expanded, name


def test_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    done = subprocess.run(
        ["make", "-C", str(ROOT), "help"], capture_output=True, text=True, timeout=30, check=True
    )
    assert targets <= set(re.findall(r"^  make ([a-z-]+)", done.stdout, re.MULTILINE))


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
    done = subprocess.run(
        [sys.executable, "-m", *arguments.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stdout + done.stderr and "Traceback" not in done.stderr
