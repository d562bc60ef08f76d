"""The stored access token: one JSON value in an SSM SecureString.

RefreshToken writes it, every other function reads it. The `generation` in it tells which of two
tokens is newer; the token's text cannot, because Salesforce may return the same session again.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from bridge.salesforce.session import Session, read_id
from bridge.untrusted import read_json, read_text

CONNECT_HINT = "Run `make connect` (bird-salesforce connect), which connects the org in one step."

MOST_GENERATIONS = 2**53
"""Above this JSON readers disagree about a number, and no real count gets there."""


def is_token(value: Any) -> bool:
    """Whether a value can be a token: visible ASCII (RFC 6749, appendix A), fit for a header."""
    return isinstance(value, str) and re.fullmatch(r"[!-~]+", value) is not None


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    """The value in the SecureString. `issued_at` is milliseconds since the epoch, as a string."""

    access_token: str = field(repr=False)
    instance_url: str
    issued_at: str = ""
    scope: str = ""
    id: str = ""
    """The identity URL, which ends in the org's and the user's id."""
    generation: int = 0

    @classmethod
    def parse(cls, value: str) -> AccessToken | None:
        """Read a stored value; None if it is not a token, which counts as no value at all."""
        stored = read_json(value)
        if not isinstance(stored, dict) or not is_token(stored.get("access_token")):
            return None
        url, generation = stored.get("instance_url"), stored.get("generation", 0)
        if not isinstance(url, str) or not isinstance(generation, int):
            return None
        if not 0 <= generation < MOST_GENERATIONS:
            return None
        more = {name: read_text(stored, name) for name in ("issued_at", "scope", "id")}
        token, url = stored["access_token"], url.rstrip("/")
        return cls(access_token=token, instance_url=url, generation=generation, **more)

    def dump(self) -> str:
        """The value to store."""
        return json.dumps(asdict(self))

    def age_seconds(self, now: float) -> float:
        """Seconds since Salesforce issued it; infinite if the time of issue is not known."""
        try:
            return now - int(self.issued_at) / 1000
        except (ValueError, OverflowError):
            return float("inf")

    @property
    def session(self) -> Session:
        """What a call needs of it."""
        user_id = read_id(self.id.rpartition("/")[2]) or ""
        return Session(self.access_token, self.instance_url, self.generation, user_id)
