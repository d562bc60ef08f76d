"""Every `make` line on the pages expands to commands; `make help` names every target."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from sandbox.template import ROOT
from tests.docs.pages import PAGES, commands

LINES = sorted(
    {
        one.text
        for page in PAGES
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
    said = make(line)
    assert said.strip()
    for given in re.findall(r"""ARGS=(?:"([^"]*)"|'([^']*)'|(\S+))""", line):
        assert "".join(given) in said
    for name, value in re.findall(r"\b(STAGE|FN|EVENT)=(\S+)", line):
        assert value in said, name


def test_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    done = subprocess.run(
        ["make", "-C", str(ROOT), "help"], capture_output=True, text=True, timeout=30, check=True
    )
    assert targets <= set(re.findall(r"^  make ([a-z-]+)", done.stdout, re.MULTILINE))
