"""JSON and text that came from outside (a response, a message, a stored value): read, and cut."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 50
"""Levels of nesting that are read; the response of a duplicate rule has nine."""

CUT = "… (cut; open it in Bird)"
"""How a text ends that was longer than its field."""


def read_json(body: bytes | str) -> Any:
    """The JSON of a body; None where it is not JSON (HTML, cut off, empty) or nested too deeply."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    # Nothing is nested deeper than it has brackets, so the usual body need not be walked through.
    if isinstance(body, str):
        brackets = body.count("{") + body.count("[")
    else:
        brackets = body.count(b"{") + body.count(b"[")
    if brackets < MAX_DEPTH:
        return value
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return value
    return None


def read_text(values: Mapping[str, Any], name: str) -> str:
    """The text under a name; empty where there is none, or something else."""
    found = values.get(name)
    return found if isinstance(found, str) else ""


def length_of(text: str) -> int:
    """The length in UTF-16 code units, which are Salesforce's characters."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, length: int, *, mark: str = "") -> str:
    """The beginning of a text, at most `length` UTF-16 code units, never half a surrogate pair.

    Where something is left out, the text ends with `mark`, if that leaves room for any of it.
    """
    if len(text) * 2 <= length or length_of(text) <= length:
        return text
    if len(mark) >= length:
        mark = ""
    units = text.encode("utf-16-le", "surrogatepass")[: (length - len(mark)) * 2]
    return units.decode("utf-16-le", "ignore") + mark
