"""The pages on connecting and on errors say what the program says and does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.salesforce.error_codes import MEANINGS
from cli.connect.sign_in_failures import _BY_DESCRIPTION, _BY_ERROR, DEFAULT_CALLBACK, EXPLANATIONS
from tests.cli.program import run

DOCS = Path(__file__).parents[2] / "docs"
CONNECT = (DOCS / "connect.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "connect-reference.md").read_text(encoding="utf-8")
TROUBLE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("reason", sorted(EXPLANATIONS))
def test_every_failure_of_a_sign_in_has_its_section(reason: str) -> None:
    heading = f"### {EXPLANATIONS[reason].what}\n"
    assert heading in TROUBLE
    section = TROUBLE.split(heading)[1].split("\n#")[0]
    assert EXPLANATIONS[reason].next_step in section
    for known in (_BY_ERROR, _BY_DESCRIPTION):
        for error, means in known.items():
            if means == reason:
                assert error in section


def test_each_failure_has_words_of_its_own() -> None:
    texts = [one.what for one in EXPLANATIONS.values()]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("code", sorted(MEANINGS))
def test_every_error_code_that_we_know_is_listed(code: str) -> None:
    assert f"| `{code}` |" in TROUBLE


def test_the_callback_is_the_programs_own() -> None:
    assert DEFAULT_CALLBACK in CONNECT


def commands() -> list[tuple[str, ...]]:
    """Every `bird-salesforce …` in the docs, as words."""
    found = set()
    for text in (CONNECT, REFERENCE, TROUBLE):
        for line in re.findall(r"bird-salesforce ([a-z][^\n`#]*(?:\\\n[^\n`#]*)?)", text):
            found.add(tuple(line.replace("\\\n", " ").split()))
    return sorted(found)


def test_every_command_in_the_docs_exists_with_its_options() -> None:
    assert len(commands()) > 10
    helps: dict[tuple[str, ...], str] = {}
    for words in commands():
        name = words[:2] if words[0] == "rejected" else words[:1]
        if name not in helps:
            result = run(*name, "--help")
            assert result.status == 0, name
            helps[name] = result.out
        for option in (word for word in words if word.startswith("--")):
            assert option in helps[name], words
