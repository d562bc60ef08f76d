"""A session of the integration user, and the ids of records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_ID_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


@dataclass(frozen=True)
class Session:
    """What a call to Salesforce needs. The token is not in `repr`."""

    access_token: str = field(repr=False)
    instance_url: str
    generation: int = 0
    """Grows by one with each token, so that the newer of two is known."""
    user_id: str = ""
    """The integration user's; empty where the token does not tell."""

    def record_url(self, record_id: str) -> str:
        """The page of a record; Salesforce redirects to the right one."""
        return f"{self.instance_url}/{record_id}"


def full_id(record_id: str) -> str:
    """A record id in its 18-character form.

    The suffix marks which characters are upper case, five at a time (Salesforce Help, "What Are
    Salesforce IDs Composed Of?").
    """
    if len(record_id) != 15:
        return record_id
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(1 << i for i, c in enumerate(record_id[start : start + 5]) if "A" <= c <= "Z")
        suffix += _ID_SUFFIX[bits]
    return record_id + suffix


def read_id(value: Any) -> str | None:
    """A record id in its 18-character form; None where the value is not an id."""
    if isinstance(value, str) and len(value) in (15, 18) and value.isascii() and value.isalnum():
        return full_id(value)
    return None
