"""Texts of other people: what is absent in them, how they are cut, what stands in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bridge.untrusted import CUT as CUT
from bridge.untrusted import cut as cut
from bridge.untrusted import length_of as length_of

IN_BIRD = "(open it in Bird)"
MAIL_IDS = "rem_"
"""How Bird's ids of received mails begin."""
MAIL_IN_BIRD = f"The text of this mail {IN_BIRD}"
"""The line that waits for a mail's text (docs/adr/0048)."""

MISSING = frozenset({"null", "NULL", "(null)", "undefined", "None"})
"""What programs write for a value that they do not have. No customer is called that, in this
spelling (docs/adr/0047)."""

_UNRESOLVED = r"(?s)\s*(?:\{\{(?:(?!\}\}).)*\}\}\s*)+"


def is_absent(value: Any) -> bool:
    """Whether a value means nothing: null, blank, or nothing but unresolved `{{variables}}`."""
    if value is None:
        return True
    return isinstance(value, str) and (
        not value.strip() or ("{{" in value and re.fullmatch(_UNRESOLVED, value) is not None)
    )


def as_text(value: Any) -> str:
    """A text or a number as text; empty for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a phone number that went through a spreadsheet's arithmetic
    return str(value)


def flat(value: Any) -> Iterator[Any]:
    """A value, or the values of a list, however it is nested."""
    if isinstance(value, list):
        for part in value:
            yield from flat(part)
    else:
        yield value


def without_variables(text: str) -> str:
    """A text without unresolved `{{variables}}`, and without the braces of cut ones."""
    if "{{" not in text and "}}" not in text:
        return text
    kept, at = [], 0
    while (start := text.find("{{", at)) >= 0 and (end := text.find("}}", start)) >= 0:
        kept.append(text[at:start])
        at = end + 2
    text = "".join(kept) + text[at:]
    while "{{" in text or "}}" in text:
        text = text.replace("{{", "").replace("}}", "")
    return text.strip()


def one_line(text: str) -> str:
    """A text for one line: without variables and controls (U+0000 …), blanks made one."""
    text = without_variables(text)
    if not text.isprintable():
        text = "".join(" " if c < " " or c == "\x7f" else c for c in text)
    return " ".join(text.split())
