"""Reads the pages: commands, examples with their responses, tables.

A command is set as code, a response stands under its command in a `console` fence. Where the
circumstances of an example matter, an HTML comment before its fence names them
(`<!-- while: an outage -->`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tools.template import ROOT

FOLLOWED = (
    "README.md",
    "docs/deploy.md",
    "docs/connect.md",
    "docs/connect-reference.md",
    "docs/operations.md",
    "docs/troubleshooting.md",
)
"""The pages of which every command is run: to try, deploy, connect, operate and repair."""

_STARTS = ("aws ", "bird-salesforce ", "curl ", "make ", "python -m ", "sam ", "sf ", "npm ")
"""How what is set as code in a sentence begins if it is a command."""


@dataclass(frozen=True, kw_only=True)
class Fence:
    """One fenced block."""

    page: str
    name: str
    language: str
    text: str
    comment: str
    """The HTML comment before it."""
    before: str
    """The paragraph before it."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command, whole: continuation lines are joined."""

    page: str
    section: str
    text: str

    @property
    def place(self) -> tuple[str, str]:
        return self.page, self.section


@cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def _blocks(page: str) -> tuple[tuple[str, Token], ...]:
    """The page's parts in their order, each with the heading that it stands under."""
    found, section, is_heading = [], "", False
    for token in MarkdownIt("commonmark").enable("table").parse(text_of(page)):
        section = token.content if is_heading else section
        is_heading = token.type == "heading_open"
        found.append((section, token))
    return tuple(found)


@cache
def fences(page: str) -> tuple[Fence, ...]:
    """The page's fenced blocks."""
    found, comment, before = [], "", ""
    for _, token in _blocks(page):
        if token.type == "fence":
            name = f"{page}:{token.map[0] + 1}" if token.map else page
            found.append(
                Fence(
                    page=page,
                    name=name,
                    language=token.info,
                    text=token.content,
                    comment=comment,
                    before=before,
                )
            )
            comment = ""
        elif token.type == "html_block":
            comment = token.content.strip().removeprefix("<!-- ").removesuffix(" -->")
        elif token.type == "inline":
            comment, before = "", token.content
    return tuple(found)


@cache
def commands(page: str) -> tuple[Command, ...]:
    """The page's commands: fences of sh line by line, consoles, and in sentences."""
    found: list[Command] = []
    for section, token in _blocks(page):
        texts: list[str] = []
        if token.type == "fence" and token.info == "sh":
            texts = list(lines_of(token.content))
        elif token.type == "fence" and token.info == "console":
            texts = [typed for typed, _ in exchanges(token.content)]
        elif token.type == "inline":
            code = [one.content for one in token.children or () if one.type == "code_inline"]
            texts = [one for one in code if one.startswith(_STARTS)]
        found += [Command(page=page, section=section, text=text) for text in texts]
    return tuple(found)


def lines_of(text: str) -> Iterator[str]:
    """Commands of a fence: continuation lines joined, comments left out."""
    whole = ""
    for line in text.splitlines(keepends=True):
        whole += line
        if _is_whole(whole):
            if command := re.sub(r"(^|\s{2,})# .*", "", whole.strip()).strip():
                yield command
            whole = ""


def _is_whole(text: str) -> bool:
    return not text.endswith("\\\n") and text.count("'") % 2 == 0


def exchanges(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console (after `$ `) with the response below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        typed, rest = "", part.splitlines(keepends=True)
        while rest and not (typed and _is_whole(typed)):
            typed += rest.pop(0)
        yield typed.rstrip("\n"), "".join(rest)


def rows_of(page: str, section: str, *head: str) -> list[list[str]]:
    """The rows of the one table of a section that begins with these columns, cells as written."""
    tables: list[list[list[str]]] = []
    inside = False
    for under, token in _blocks(page):
        if token.type in ("table_open", "table_close"):
            inside = token.type == "table_open"
            tables += [[]] if inside and under == section else []
        elif inside and under == section and token.type == "tr_open":
            tables[-1].append([])
        elif inside and under == section and token.type == "inline":
            tables[-1][-1].append(token.content)
    (found,) = (rows for rows in tables if rows[0][: len(head)] == list(head))
    return found[1:]


def codes(*cells: str) -> list[str]:
    """The code in some cells."""
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]
