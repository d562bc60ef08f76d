"""The versions of the API: which there are, and what happens to one that there is not."""

from __future__ import annotations

import re

from sandbox.org.errors import not_found, refused

OLDEST, NEWEST, RETIRED_UP_TO = 31, 68, 30
_SEASONS = ("Spring", "Summer", "Winter")
_VERSION = re.compile(r"v(\d{1,3})\.0\Z")


def versions() -> list[dict[str, str]]:
    """Three releases a year: Spring, Summer, and the next year's Winter."""
    return [
        {
            "label": f"{_SEASONS[number % 3]} '{26 + (number - 66) // 3 + (number % 3 == 2):02d}",
            "url": f"/services/data/v{number}.0",
            "version": f"{number}.0",
        }
        for number in range(OLDEST, NEWEST + 1)
    ]


def check_version(part: str) -> None:
    """Raises `Refused`: 410 for a retired version (its body is not confirmed), else 404."""
    match = _VERSION.match(part)
    number = int(match[1]) if match else 0
    if 0 < number <= RETIRED_UP_TO:
        raise refused(
            410, "UNSUPPORTED_API_VERSION", "The requested resource is no longer available"
        )
    if not OLDEST <= number <= NEWEST:
        raise not_found()
