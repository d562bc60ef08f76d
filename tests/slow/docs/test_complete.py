"""Nothing on the pages is left out: a new command or block is red until something runs it."""

from __future__ import annotations

import re

import pytest

import tests.slow.docs.test_commands  # noqa: F401 - registers what it runs
from tests.contract.test_flow_pages import PAGES as FLOW_PAGES
from tests.slow.docs.pages import PAGES, Command, Fence, commands, fences
from tests.slow.docs.reader import ALONE, SCENARIOS
from tests.slow.docs.test_answers import ANSWERS
from tools.template import ROOT

MAKE = {
    "setup": "CI: the others begin with it",
    "help": "tests/slow/docs/test_make.py",
    "demo": "CI",
    "start": "tests/slow/docs/test_commands.py",
    "invoke": "tests/slow/docs/test_commands.py",
    "doctor": "tests/slow/docs/test_commands.py",
    "connect": "tests/slow/docs/test_commands.py",
    "test": "CI: it is what runs this",
    "coverage": "CI",
    "check": "CI",
    "build": "CI",
    "sbom": "CI",
    "chaos": "CI runs its short form by `make test`; the long one takes 20 minutes",
    "fuzz": "takes minutes; `make test` runs each target for seconds",
    "bench": "takes minutes and needs a quiet machine; tests/slow/bench holds its counts",
    "format": "changes the files that it is run on; `make check` says whether it is needed",
    "deploy": "needs an AWS account; CI does it for staging and production where there is one",
    "destroy": "needs an AWS account",
    "pins": "looks for new versions on the internet",
    "clean": "removes the environment that the tests run in",
}
"""Every target of the Makefile: where it is run, or why not. `make -n` is run for each line."""

NOT_RUN = {
    r"sf .*|cd salesforce": "needs an org and Salesforce's program; nobody tried, as the page says",
    r"sam local .*": ".ci/sam_local.py runs these, with containers",
    r"sam local|sam deploy|sam delete|npm .*": "names a program, in a sentence",
    r"aws logs filter-log-events --log-group-name /bird-salesforce/access .*": (
        "moto knows no such pattern; tests/contract/test_aws_commands.py holds the options"
    ),
    r"aws (lambda|service-quotas|cloudwatch) .*": (
        "asks what only AWS knows; tests/contract/test_aws_commands.py holds the options"
    ),
    r"\.venv/bin/python -m sandbox\.player .*": "test_commands.py, against `make start`",
}
"""Commands that no test here types, by pattern, with the reason."""

DRAWINGS = {
    ("README.md", "Bird → Salesforce"),
    ("README.md", "Where things are"),
    ("docs/flows.md", "Bird Flows: files to import"),
}
"""Where a `text` fence shows what no program prints."""


def every_command() -> list[Command]:
    return [one for page in PAGES for one in commands(page)]


def is_run(one: Command) -> bool:
    answers = {(fence.page, fence.section) for fence in ANSWERS}
    return (
        one.text in ALONE
        or one.place in SCENARIOS
        or one.text.removeprefix("CHAOS_SEED=4711 ").startswith("make ")
        or (one.place in answers and one.text.startswith(("curl ", "API_KEY=")))
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_run_or_it_is_said_why_not(page: str) -> None:
    forgotten = [
        one.text
        for one in commands(page)
        if not is_run(one) and not any(re.fullmatch(p, one.text, re.DOTALL) for p in NOT_RUN)
    ]
    assert forgotten == []


def test_every_reason_not_to_run_something_is_needed() -> None:
    texts = [one.text for one in every_command() if not is_run(one)]
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, one, re.DOTALL) for one in texts), pattern


def test_every_command_that_is_run_stands_on_a_page() -> None:
    texts = {one.text for one in every_command()}
    assert set(ALONE) <= texts
    assert set(SCENARIOS) <= {one.place for one in every_command()}


def test_every_target_is_run_or_it_is_said_why_not() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) == set(MAKE)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    ci += (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    for target, where in MAKE.items():
        if where == "CI":
            assert re.search(rf"\bmake {target}\b", ci), target
        elif where.endswith(".py"):
            assert (ROOT / where).exists()


def claimed(fence: Fence) -> bool:
    match fence.language:
        case "sh" | "python":
            return True  # command by command, above; tests/slow/docs/test_commands.py
        case "console":
            return fence in ANSWERS
        case "json":
            return fence.text in {body for *_, body in FLOW_PAGES}
        case "jsonc":
            return fence.page == "docs/flows.md"  # tests/slow/docs/test_tables.py
        case "text":
            return (fence.page, fence.section) in DRAWINGS
    return False


@pytest.mark.parametrize("page", PAGES)
def test_every_block_has_somebody_who_runs_it(page: str) -> None:
    assert [one.name for one in fences(page) if not claimed(one)] == []


def test_no_page_is_missing() -> None:
    ours = {str(page.relative_to(ROOT)) for page in ROOT.rglob("*.md") if "." not in page.parts[-2]}
    told_of = re.compile(r"docs/adr/|CHANGELOG|\.venv|node_modules|build/|/\.")
    assert {one for one in ours if not told_of.search(one)} <= set(PAGES)
