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
        found = [f"{where}.{key} is on one side only" for key in set(shown) ^ set(actual)]
        for key in shown.keys() & actual.keys():
            found += differences(shown[key], actual[key], f"{where}.{key}")
        return found
    if not (isinstance(shown, str) and isinstance(actual, str)):
        same = shown == actual and type(shown) is type(actual)
    elif kind := _KINDS.get(where.rpartition(".")[2]):
        record = re.search(r"(00Q|500)[A-Za-z0-9]{15}$", shown)
        pattern = kind.format(record[1] if record else "")
        same = all(re.fullmatch(pattern, one) for one in (shown, actual))
    else:
        pattern = ".*".join(re.escape(part) for part in shown.split("…"))
        same = re.fullmatch(pattern, actual, re.DOTALL) is not None
    return [] if same else [f"{where} is {actual!r}, not {shown!r}"]
