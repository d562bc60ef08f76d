"""The docs against what there is: links lead somewhere, and commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import botocore.session
import pytest
import typer.main
from botocore import xform_name

from cli.main import app
from tools.template import ROOT

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "sandbox").rglob("*.md"),
        *(ROOT / "salesforce").rglob("*.md"),
        *(ROOT / "flows").rglob("*.md"),
    ]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def code(page: Path) -> Iterator[str]:
    """What is set as code: in fences line by line, and between backticks."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (" ".join(one.split()) for one in re.findall(r"`([^`]+)`", outside))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[`*\[\]()]", "", one).strip().lower() for one in headings)
    return {re.sub(r"[^\w\- ]", "", one).replace(" ", "-") for one in plain}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target


def test_the_list_of_decisions_has_every_page_under_its_number() -> None:
    folder = ROOT / "docs" / "adr"
    page = (folder / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\d+)\]\((\S+)\) \|", page, re.MULTILINE)
    assert [name for _, name in listed] == sorted(page.name for page in folder.glob("[0-9]*.md"))
    for number, name in listed:
        assert name.startswith(number + "-"), name
        assert (folder / name).read_text(encoding="utf-8").startswith(f"# {number} · "), name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_make_target_in_the_docs_is_in_the_makefile(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for line in code(page):
        for named in re.findall(r"(?:^|[;&|$] *)make ([a-z-]+)", line):
            assert named in targets, line


def commands() -> dict[str, set[str]]:
    """The program's commands, those of a group with the group's name before, and their options."""
    found: dict[str, set[str]] = {}

    def walk(command: object, path: str) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{path} {name}".strip())
        options = [one for parameter in command.params for one in parameter.opts]  # type: ignore[attr-defined]
        more = [one for parameter in command.params for one in parameter.secondary_opts]  # type: ignore[attr-defined]
        found[path] = {*options, *more, "--help"}

    walk(typer.main.get_command(app), "")
    return found


COMMANDS = commands()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_of_the_program_in_the_docs_exists_with_its_options(page: Path) -> None:
    for line in code(page):
        for command in re.findall(r"(?:^\$? *|[;&|] *)bird-salesforce ([a-z][^;&|#]*)", line):
            words = command.split()
            two, one = " ".join(words[:2]), words[0]
            assert two in COMMANDS or one in COMMANDS, line
            known = COMMANDS.get(two) or COMMANDS[one]
            for word in words:
                if re.match(r"--[a-z]", word):
                    assert word.split("=")[0] in known, line


EVERYWHERE = {"region", "profile", "query", "output"}
RENAMED = {("sns", "subscribe"): {"notification-endpoint": "endpoint"}}
"""Options that the AWS CLI calls otherwise than the API does."""


@cache
def operations(service: str) -> dict[str, set[str]]:
    """The options of each command of a service of AWS."""
    model = botocore.session.get_session().get_service_model(service)
    found = {}
    for name in model.operation_names:
        shape = model.operation_model(name).input_shape
        members = shape.members if shape else {}
        found[xform_name(name, "-")] = {xform_name(one, "-") for one in members}
    return found


def test_every_aws_command_in_the_docs_exists_with_its_options() -> None:
    found = {line for page in PAGES for line in code(page) if re.match("aws [a-z]", line)}
    assert len(found) > 15
    for command in found:
        _, service, name, *words = shlex.split(command)
        options = {word[2:].split("=")[0] for word in words if word.startswith("--")}
        known = operations(service)
        assert name in known, command
        renamed = RENAMED.get((service, name), {})
        assert {renamed.get(one, one) for one in options} - EVERYWHERE <= known[name], command


def test_everybody_finds_their_page_in_one_click() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = {
        (ROOT / "docs" / target.split("#")[0]).resolve()
        for target in re.findall(r"\]\(([^)\s]+)\)", index)
    }
    for page in (ROOT / "docs").glob("*.md"):
        assert page in linked or page.name == "index.md", f"{page.name} is not in the index"
    for reader in ("administrator", "flow author", "operator", "contributor"):
        assert f"**an {reader}**" in index or f"**a {reader}**" in index


def test_the_readme_leads_to_the_index() -> None:
    assert "(docs/index.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tree_in_the_readme_shows_every_folder_on_one_screen() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = text.split("## Where things are")[1].split("```")[1].splitlines()[1:]
    assert len(lines) <= 24
    paths = []
    for line in lines:
        folder = "layers/bridge/bridge" if line.startswith("  ") else ""
        paths.append(re.sub("<[^>]+>", "*", f"{folder}/{line.split()[0]}".strip("/")))
    for path in paths:
        assert list(ROOT.glob(path)), path
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    folders = {one.split("/")[0] for one in files if "/" in one}
    hidden_or_small = {".ci", ".github", "tools"}
    assert folders - hidden_or_small == {path.split("/")[0] for path in paths} - {"template.yaml"}
