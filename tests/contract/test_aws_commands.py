"""Every `aws …` in the docs is a command of AWS's own, with options that it has."""

from __future__ import annotations

import re
import shlex
from functools import cache

import botocore.session
import pytest
from botocore import xform_name

from tools.template import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

EVERYWHERE = {"region", "profile", "query", "output"}
RENAMED = {("sns", "subscribe"): {"notification-endpoint": "endpoint"}}
"""Options that the AWS CLI calls otherwise than the API does."""


def commands() -> list[str]:
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL):
            found |= {line for line in block.splitlines() if line.startswith("aws ")}
        inline = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        found |= {" ".join(one.split()) for one in re.findall(r"`(aws [a-z][^`]*)`", inline)}
    return sorted(found)


@cache
def operations(service: str) -> dict[str, set[str]]:
    """The options of each command of a service."""
    model = botocore.session.get_session().get_service_model(service)
    found = {}
    for name in model.operation_names:
        shape = model.operation_model(name).input_shape
        members = shape.members if shape else {}
        found[xform_name(name, "-")] = {xform_name(one, "-") for one in members}
    return found


@pytest.mark.parametrize("command", commands())
def test_an_aws_command_in_the_docs_exists_with_its_options(command: str) -> None:
    _, service, name, *words = shlex.split(command)
    options = {word.removeprefix("--").split("=")[0] for word in words if word.startswith("--")}
    known = operations(service)
    assert name in known
    renamed = RENAMED.get((service, name), {})
    assert {renamed.get(one, one) for one in options} - EVERYWHERE <= known[name], command


def test_the_docs_name_such_commands() -> None:
    assert len(commands()) > 15
