"""What the secret holds: with what, and where, RefreshToken gets an access token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import NotConnected
from bridge.oauth.access_token import CONNECT_HINT
from bridge.untrusted import read_json, read_text


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The secret's value. `version` is the secret version that it was read from."""

    login_url: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False, default="")
    grant: str = "refresh_token"
    trusted_token: str = field(repr=False, default="")
    """If `refresh_token` came in a response whose signature did not fit: the last refresh token
    that came in one whose signature did."""
    version: str = ""
    raw: Mapping[str, Any] = field(repr=False, default_factory=dict)
    """The whole JSON, so that unknown keys survive when the secret is written again."""

    @classmethod
    def parse(cls, text: str, *, version: str, default_login_url: str) -> Credentials:
        """Read the secret's JSON. Raises NotConnected if it does not hold what a grant needs."""
        # Some editors put a byte order mark at the start of a file.
        secret = read_json(text.removeprefix("\ufeff"))
        if not isinstance(secret, dict):
            what = "is no JSON object" if text.strip() else "is empty"
            raise NotConnected(f"the secret {what}", fields=("secret",), hint=CONNECT_HINT)

        def value(name: str) -> str:
            return read_encodable(secret, name).strip()

        refresh_token = value("refresh_token")
        grant = "refresh_token"
        if not refresh_token and value("grant") == "client_credentials":
            grant = "client_credentials"
        credentials = cls(
            login_url=(value("login_url") or default_login_url).rstrip("/"),
            client_id=value("client_id"),
            client_secret=value("client_secret"),
            refresh_token=refresh_token,
            grant=grant,
            version=version,
            raw=secret,
        )
        # The refresh-token grant works without a client secret where the app allows that.
        needed = ("client_id", "refresh_token")
        if grant == "client_credentials":
            needed = ("client_id", "client_secret")
        missing = [name for name in needed if not value(name)]
        if missing:
            lacks = f"the secret lacks {', '.join(missing)}"
            raise NotConnected(lacks, fields=tuple(missing), hint=CONNECT_HINT)
        return credentials

    def form(self) -> dict[str, str]:
        """The body of the token request."""
        form = {"grant_type": self.grant, "client_id": self.client_id, "format": "json"}
        if self.client_secret:
            form["client_secret"] = self.client_secret
        if self.grant == "refresh_token":
            form["refresh_token"] = self.refresh_token
        return form


def read_encodable(fields: Mapping[str, Any], name: str) -> str:
    """The text under a name; empty if there is none, or if it holds a lone surrogate, which no
    request can carry."""
    text = read_text(fields, name)
    try:
        text.encode()
    except UnicodeEncodeError:
        return ""
    return text
