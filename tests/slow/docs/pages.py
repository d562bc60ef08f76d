"""Reads the pages: commands, examples with their responses, tables.

A fence has a language, a command is set as code, a response stands under its command in a `console`
fence. Where the circumstances of an example matter, an HTML comment before its fence names them
(`<!-- while: an outage -->`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

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
    section: str
    line: int
    language: str
    text: str
    comment: str
    """The HTML comment before it."""
    before: str
    """The last line of text before it."""

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command, whole: continuation lines are joined."""

    page: str
    section: str
    text: str

    @property
    def place(self) -> tuple[str, str]:
        return self.page, self.section


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: its head and its rows, cells as they are written."""

    page: str
    section: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def fences(page: str) -> tuple[Fence, ...]:
    """The page's fenced blocks, in their order."""
    found = []
    section, comment, before, opened = "", "", "", 0
    indent, language, inside = "", "", list[str]()
    for number, line in enumerate(text_of(page).splitlines(), start=1):
        fence = re.fullmatch(r"(\s*)```(\w*)\s*", line)
        if fence and not opened:
            opened, indent, language, inside = number, fence[1], fence[2], []
        elif fence:
            block = "".join(one + "\n" for one in inside)
            found.append(
                Fence(
                    page=page,
                    section=section,
                    line=opened,
                    language=language,
                    text=block,
                    comment=comment,
                    before=before,
                )
            )
            opened, comment = 0, ""
        elif opened:
            inside.append(line.removeprefix(indent))
        elif heading := re.match(r"#+ (.+)", line):
            section, comment, before = heading[1], "", ""
        elif remark := re.fullmatch(r"\s*<!-- (.+) -->\s*", line):
            comment = remark[1]
        elif line.strip():
            comment, before = "", line.strip()
    return tuple(found)


@cache
def commands(page: str) -> tuple[Command, ...]:
    """The page's commands, in its order: fences of sh line by line, and in sentences."""
    found: list[tuple[int, Command]] = []
    for fence in fences(page):
        if fence.language == "sh":
            found += [
                (fence.line, Command(page=page, section=fence.section, text=one))
                for one in lines_of(fence.text)
            ]
        elif fence.language == "console":
            found += [
                (fence.line, Command(page=page, section=fence.section, text=one))
                for one, _ in exchanges(fence.text)
            ]
    found += [
        (number, Command(page=page, section=section, text=text))
        for number, section, text in _inline(page)
        if text.startswith(_STARTS)
    ]
    return tuple(one for _, one in sorted(found, key=lambda pair: pair[0]))


def lines_of(text: str) -> Iterator[str]:
    """Commands of a fence: continuation lines joined, comments left out."""
    whole = ""
    for line in text.splitlines():
        whole += line + "\n"
        if not line.endswith("\\") and _balanced(whole):
            if line := re.sub(r"(^|\s{2,})# .*", "", whole.strip()).strip():
                yield line
            whole = ""


def _balanced(text: str) -> bool:
    return text.count("'") % 2 == 0


def exchanges(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console (after `$ `) with the response below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        typed, rest = "", part.splitlines(keepends=True)
        while rest:
            typed += rest.pop(0)
            if not typed.endswith("\\\n") and _balanced(typed):
                break
        yield typed.rstrip("\n"), "".join(rest)


def _inline(page: str) -> Iterator[tuple[int, str, str]]:
    """Line, section and text of all that is set as code outside of fences."""
    text = re.sub(
        r"^\s*```.*?^\s*```",
        lambda one: "\n" * one[0].count("\n"),
        text_of(page),
        flags=re.DOTALL | re.MULTILINE,
    )
    headings = [(one.start(), one[1]) for one in re.finditer(r"^#+ (.+)$", text, re.MULTILINE)]
    for one in re.finditer(r"``(.+?)``|`([^`]+)`", text, re.DOTALL):
        section = next((name for at, name in reversed(headings) if at < one.start()), "")
        number = text.count("\n", 0, one.start()) + 1
        yield number, section, re.sub(r"\s*\n\s*", " ", (one[1] or one[2]).strip())


@cache
def tables(page: str) -> tuple[Table, ...]:
    """The page's tables."""
    found = []
    section, head, rows = "", tuple[str, ...](), list[tuple[str, ...]]()
    for line in [*text_of(page).splitlines(), ""]:
        if heading := re.match(r"#+ (.+)", line):
            section = heading[1]
        if line.startswith("|"):
            cells = tuple(one.strip() for one in re.split(r"(?<!\\)\|", line.strip())[1:-1])
            if not head:
                head = cells
            elif not all(re.fullmatch(r":?-+:?", one) for one in cells):
                rows.append(cells)
        elif head:
            found.append(Table(page=page, section=section, head=head, rows=tuple(rows)))
            head, rows = (), []
    return tuple(found)


def table(page: str, section: str, *head: str) -> Table:
    """The one table of a section that begins with these columns."""
    (found,) = (
        one
        for one in tables(page)
        if one.section == section and one.head[: len(head)] == tuple(head)
    )
    return found


def codes(cell: str) -> list[str]:
    """The code in a cell."""
    return re.findall(r"`([^`]+)`", cell)
