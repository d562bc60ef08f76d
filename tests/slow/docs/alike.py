"""Compares a response with the example on a page: the same keys, and the same values but for those
that cannot be the same twice."""

from __future__ import annotations

import re
from typing import Any

_KINDS = {
    "id": r"{0}[A-Za-z0-9]{{15}}",
    "existingId": r"{0}[A-Za-z0-9]{{15}}",
    "number": r"\d{{8}}",
    "url": r"https?://[^/]+/{0}[A-Za-z0-9]{{15}}",
}
"""By key: what a value looks like. {0} is the kind of record that the page shows: 00Q is a Lead."""


def differences(shown: Any, actual: Any, where: str = "") -> list[str]:
    """What differs, in words; nothing if the example is right."""
    if isinstance(shown, dict) and isinstance(actual, dict):
        found = []
        if missing := set(shown) - set(actual):
            found.append(f"{where} lacks {sorted(missing)}")
        if more := set(actual) - set(shown):
            found.append(f"{where} has {sorted(more)} as well")
        for key in shown.keys() & actual.keys():
            found += differences(shown[key], actual[key], f"{where}.{key}")
        return found
    key = where.rpartition(".")[2]
    if type(shown) is not type(actual):
        return [f"{where} is {actual!r}, not {shown!r}"]
    if isinstance(shown, str):
        if key in _KINDS:
            kind = re.search(r"(00Q|500)[A-Za-z0-9]{15}$", shown)
            pattern = _KINDS[key].format(kind[1] if kind else "")
            both = [one for one in (shown, actual) if not re.fullmatch(pattern, one)]
            return [f"{where} is {one!r}" for one in both]
        pattern = ".*".join(re.escape(part) for part in shown.split("…"))
        return [] if re.fullmatch(pattern, actual, re.DOTALL) else [f"{where}: {actual!r}"]
    return [] if shown == actual else [f"{where} is {actual!r}, not {shown!r}"]
