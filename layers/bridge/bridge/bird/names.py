"""What people are called: a display name as first and last name.

Display names are what people chose: emoji, quotes, `Family, Given`, any script, a company.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from bridge.bird.texts import MISSING, one_line

_FAMILY_NAME_FIRST = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "HANGUL")
_PICTURES = ("So", "Sk", "Sm", "Cf", "Co", "Cn", "Cs")
_ORNAMENTS = frozenset("\"'“”„«»‘’‚‹›`´*_~^|•·…!?,;:=+<>[]{}/\\#@&-–—")
"""Marks that people put around their names, and that belong to no name at its ends."""
_APOSTROPHE_FIRST = r"(?i)['’][a-z](?:$|[ -])"
"""'t Hooft, 's-Gravesande: here the apostrophe is part of the name."""
_TITLES = " jr sr ii iii iv md phd dr prof esq mba msc bsc rn dds cpa pmp "
"""What may follow a name after a comma without being a given name, without its dots."""
_COMPANIES = (
    " inc ltd limited llc llp plc gmbh ag kg ohg ug bv nv sa sarl sas srl spa oy ab as aps corp "
    "company co pty pte "
)
"""What a company's name ends in, without its dots."""


def as_name(text: str) -> str:
    """A name without what people put around it; empty if no letter is left, or nobody's name.

    Emoji go wherever a word begins or ends with them, quotes and the like at the name's ends only.
    Of `Ada Okafor <ada@example.com>` (RFC 5322) it is what stands before the address.
    """
    if not text:
        return ""
    words = text.split()
    if "".join(words).isalpha() and MISSING.isdisjoint(words):
        return " ".join(words)  # most names
    if "@" in text and text.rstrip().endswith(">"):
        text = text.rpartition("<")[0]
    words = [word for word in one_line(text).split() if word not in MISSING]
    name = " ".join(bare for word in words if (bare := _bare(word, _is_emoji)))
    name = _bare(name, _is_ornament)
    return name if any(c.isalpha() for c in name) else ""


def first_and_last(name: str) -> tuple[str, str]:
    """A name of `as_name` in two parts; a company and a single word are a last name.

    A comma means that the family name comes first, as mail programs write it, unless a title
    follows. Chinese, Japanese and Korean put it first too.
    """
    words = name.split()
    if len(words) < 2 or _is_company(words):
        return "", name
    family, comma, given = name.partition(",")
    if comma and family.strip() and given.strip():
        if "," not in given and f" {_plain(given.split()[0])} " not in _TITLES:
            return given.strip(), family.strip()
        first, _, rest = family.strip().partition(" ")
        return (first, f"{rest},{given}") if rest else ("", name)
    first, _, rest = name.partition(" ")
    return (rest, first) if family_first(first) else (first, rest)


def family_first(word: str) -> bool:
    """Whether a word's script puts the family name first."""
    return bool(word) and unicodedata.name(word[0], "").startswith(_FAMILY_NAME_FIRST)


def _is_company(words: list[str]) -> bool:
    last = words[-1]
    # Sa, As and Co are family names too; a company writes SA, S.A. or Co.
    formal = len(last) > 3 or last.isupper() or last.endswith(".")
    return "&" in "".join(words) or (formal and f" {_plain(last)} " in _COMPANIES)


def _plain(word: str) -> str:
    return word.replace(".", "").strip(",()").lower()


def _bare(text: str, is_mark: Callable[[str], bool]) -> str:
    """The text without such marks at its ends."""
    start, end = 0, len(text)
    if not re.match(_APOSTROPHE_FIRST, text):
        while start < end and is_mark(text[start]):
            start += 1
    while end > start and is_mark(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_emoji(character: str) -> bool:
    """Pictures, what joins them, and what is invisible; all beyond Latin-1."""
    return character > "\xff" and (
        character in "\ufe0e\ufe0f\u20e3" or unicodedata.category(character) in _PICTURES
    )


def _is_ornament(character: str) -> bool:
    return character.isspace() or character in _ORNAMENTS or _is_emoji(character)
