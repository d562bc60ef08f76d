"""Prepares and checks the documentation site. `make docs` runs both around the site's builder.

    python -m tools.site pages FOLDER    copies the pages there, in the repository's own folders
    python -m tools.site check FOLDER    lists what a built page would load from elsewhere, and
                                         which page lost a list, a table or an example: exit code 1

GitHub reads Markdown as CommonMark. The builder reads it by Python-Markdown, which wants four
spaces before what belongs to a list's item, and an empty line before a list. The copies have
them, so nobody has to remember it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

from tools.template import ROOT

SOURCES = ("*.md", "LICENSE", "docs/**/*", "salesforce/*.md", "sandbox/**/*.md")
"""What is copied: the pages, and the files that they link to."""

_ITEM = re.compile(r"(?:\d+\.|[-*]) +(?=\S)")
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon))[^>]*"""
    r"""\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|(?:url\(|@import )["']?((?:https?:)?//[^"')\s]+)""",
    re.IGNORECASE,
)


def for_python_markdown(text: str) -> str:
    """The page with four spaces where CommonMark needs the width of the item's marker."""
    lines: list[str] = []
    width, fenced, parts = 0, False, False
    for line in text.splitlines():
        item = None if fenced else _ITEM.match(line)
        inside = bool(width and line.startswith(" " * width) and line.strip())
        if item:
            if (parts or not width) and lines and lines[-1]:
                lines.append("")
            width, parts = len(item[0]), False
        elif inside:
            # What follows an empty line inside of an item is a part of its own.
            parts = parts or not lines[-1]
        elif line.strip() and lines[-1:] == [""]:
            # The list is over. Without an empty line before it is the rest of the item's sentence.
            width, parts = 0, False
        lines.append("    " + line[width:] if inside else line)
        fenced ^= line.lstrip().startswith("```")
    return "\n".join(lines) + "\n"


def pages() -> list[Path]:
    """The pages of the site, where they are in the repository."""
    return [path for path in _sources() if path.suffix == ".md"]


def _sources() -> list[Path]:
    found = {path for pattern in SOURCES for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(found)


def copy_pages(folder: Path) -> None:
    """Copy all pages and what they link to into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for source in _sources():
        copy = folder / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            text = source.read_text(encoding="utf-8")
            copy.write_text(for_python_markdown(text), encoding="utf-8")
        else:
            shutil.copyfile(source, copy)


def foreign(text: str) -> Iterator[str]:
    """The addresses from which a page or a style sheet would load something."""
    for found in _LOADED.finditer(text):
        yield next(one for one in found.groups() if one)


def parts(html: str) -> dict[str, int]:
    """How many items, tables, examples and pictures a text in HTML has."""
    return {tag: len(re.findall(rf"<{tag}\b", html)) for tag in ("li", "table", "pre", "img")}


def check(folder: Path) -> list[str]:
    """What is wrong with the built site. Raises ValueError if there is no site."""
    files = [path for path in folder.rglob("*") if path.suffix in (".html", ".css")]
    if not files:
        raise ValueError(f"there is no site in {folder}")
    loads = [
        f"{path.relative_to(folder)} loads {address}"
        for path in sorted(files)
        for address in foreign(path.read_text(encoding="utf-8"))
    ]
    return loads + list(_lost(folder))


def _lost(folder: Path) -> Iterator[str]:
    """Pages on which the builder sees other parts than CommonMark does, as GitHub shows them."""
    common = MarkdownIt("commonmark").enable("table")
    for page in pages():
        name = page.relative_to(ROOT)
        index = name.stem in ("README", "index")
        built = folder / (name.parent if index else name.with_suffix("")) / "index.html"
        article = built.read_text(encoding="utf-8").partition("<article")[2]
        found = parts(article.partition("</article>")[0])
        expected = parts(common.render(page.read_text(encoding="utf-8")))
        if found != expected:
            yield f"{name}: {expected} in the page, {found} on the site"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["pages", folder]:
            copy_pages(Path(folder))
        case ["check", folder]:
            wrong = check(Path(folder))
            print("\n".join(wrong) or "The site has every part, and loads nothing from elsewhere.")
            raise SystemExit(1 if wrong else 0)
        case _:
            raise SystemExit("python -m tools.site pages|check FOLDER")
