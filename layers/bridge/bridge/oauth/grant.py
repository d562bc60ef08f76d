"""The token request: with what it is made, and the reader of its response.

Sources: Salesforce Help, "OAuth 2.0 Refresh Token Flow", "OAuth 2.0 Client Credentials Flow",
"OAuth 2.0 Error Codes".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from bridge.errors import BridgeError, NotConnected, Unavailable
from bridge.http import Response
from bridge.oauth.access_token import CONNECT_HINT, AccessToken, is_token
from bridge.salesforce.error_codes import MEANINGS
from bridge.salesforce.responses import read_faults
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

        grant = needed = "refresh_token"  # it works without a client secret where the app allows it
        if not value(grant) and value("grant") == "client_credentials":
            grant, needed = "client_credentials", "client_secret"
        if missing := tuple(name for name in ("client_id", needed) if not value(name)):
            lacks = f"the secret lacks {', '.join(missing)}"
            raise NotConnected(lacks, fields=missing, hint=CONNECT_HINT)
        return cls(
            login_url=(value("login_url") or default_login_url).rstrip("/"),
            client_id=value("client_id"),
            client_secret=value("client_secret"),
            refresh_token=value("refresh_token"),
            grant=grant,
            version=version,
            raw=secret,
        )

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


LONGEST_ERROR = 40
"""Characters of an OAuth error code; the longest known one has 22."""

_ADMIN = "Salesforce administrator: "
_RECONNECT = "Run `make connect` (bird-salesforce connect) to connect the org again."

PASSING = {
    ("invalid_grant", "token request is already being processed"),
    ("invalid_grant", "login rate exceeded"),  # 3,600 logins an hour a user
    ("unknown_error", ""),
    ("rate_limit_exceeded", ""),
    ("login_rate_exceeded", ""),
}
"""OAuth errors after which the same request may succeed; as in PERMANENT, by error code and
description, and an empty description stands for any other."""

PERMANENT = {
    ("invalid_grant", "expired access/refresh token"): (
        "The refresh token was revoked, replaced, unused for too long, or pushed out by a newer "
        "approval. " + _RECONNECT
    ),
    ("invalid_grant", "inactive user"): (
        _ADMIN + "the integration user is inactive: activate it, then run `make connect`."
    ),
    ("invalid_grant", "user hasn't approved this consumer"): (
        _ADMIN + "pre-authorize the integration user in the app's policies."
    ),
    ("invalid_grant", "no client credentials user enabled"): (
        _ADMIN + "name a run-as user in the app's client-credentials flow."
    ),
    ("invalid_grant", "ip restricted or invalid login hours"): (
        _ADMIN + "the profile's login hours or IP ranges keep the integration user out."
    ),
    ("invalid_grant", "request not supported on this domain"): (
        "Use the org's My Domain as login URL: client credentials need it. " + _RECONNECT
    ),
    ("invalid_grant", ""): "Salesforce refuses the stored credentials. " + _RECONNECT,
    ("invalid_app_access", ""): (
        _ADMIN + "the app's policies admit only pre-authorized users: add this one."
    ),
    ("invalid_client_id", ""): (
        "The consumer key is unknown there: wrong key, wrong login URL (production or sandbox?), "
        "or an app younger than ten minutes. " + _RECONNECT
    ),
    ("invalid_client", "app must be installed into org"): (
        _ADMIN + "install the app in the org (Setup, Connected Apps OAuth Usage, Install), or let "
        "the user approve uninstalled apps."
    ),
    ("invalid_client", ""): "The consumer secret is wrong or was rotated. " + _RECONNECT,
    ("inactive_user", ""): _ADMIN + "the integration user is inactive.",
    ("inactive_org", ""): _ADMIN + "the org is inactive.",
    ("unsupported_grant_type", ""): (
        _ADMIN + "the app does not allow this OAuth flow: enable it in the app's settings."
    ),
    ("invalid_request", ""): "Salesforce cannot read the request. " + _RECONNECT,
}
"""What a person has to do about the others."""

GRANT_DESCRIPTIONS = {words for _, words in (*PASSING, *PERMANENT) if words} | {
    "retry your request",
    "user is not admin approved to access this app",
    "client identifier invalid",
    "invalid client credentials",
    "grant type not supported",
    "authentication failure",
}
"""Salesforce's known descriptions of OAuth errors: no other text of it reaches a log."""

OTHER_ERROR = "other_error"


def loggable_error(error: str, description: str) -> tuple[str, str]:
    """An OAuth error's code and description as they may be logged.

    The code if it has the shape of one, else OTHER_ERROR; the description if it is a known one,
    else empty.
    """
    words = description.strip().lower()
    code = error.strip().lower()
    plain = code.replace("_", "")
    shaped = len(code) <= LONGEST_ERROR and plain.isascii() and plain.isalpha()
    return code if shaped else OTHER_ERROR, words if words in GRANT_DESCRIPTIONS else ""


def grant_hint(error: str, description: str, status: int) -> str:
    """What a person has to do about an OAuth error; empty where the same request may succeed later.

    One that is not listed needs a person only if it is a named 4xx.
    """
    words = description.strip().lower()
    for about in ((error.lower(), words), (error.lower(), "")):
        if about in PASSING or about in PERMANENT:
            return PERMANENT.get(about, "")
    if status >= 500 or status in (408, 420, 425, 429) or not error:
        return ""
    return f"Salesforce refuses the credentials ({error}). {_RECONNECT}"


class GrantRefused(BridgeError):
    """Salesforce refused a token request: for good, if there is a hint.

    `description` is Salesforce's own where it is a known one, else empty.
    """

    def __init__(self, error: str, description: str = "", hint: str = "") -> None:
        self.text = f"{error} ({description})" if description else error
        super().__init__(self.text)
        self.error = error
        self.description = description
        self.hint = hint

    @property
    def is_about_the_token(self) -> bool:
        """Whether the refresh token is refused, and not the app, the user or the address."""
        expired = self.description in ("", "expired access/refresh token")
        return self.error == "invalid_grant" and expired


class SignatureMismatch(Unavailable):
    """The token response's signature does not fit: it was not made with our consumer secret.

    `refresh_token` is a new one from the response, if that was for the same user as before: it may
    be the only valid one (docs/adr/0025-an-unsigned-refresh-token-is-kept.md).
    """

    code = "SIGNATURE_MISMATCH"

    def __init__(self, message: str, *, refresh_token: str = "") -> None:
        super().__init__(message)
        self.refresh_token = refresh_token


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A token response that was accepted."""

    token: AccessToken
    refresh_token: str = field(repr=False, default="")
    """A new one, under rotation; else empty."""


def read_grant(
    response: Response, *, credentials: Credentials, previous: AccessToken | None, now: float
) -> Grant:
    """Read a token response. Raises GrantRefused, SignatureMismatch, Unavailable.

    `instance_url` is kept from the previous token if the response lacks it. The token endpoint may
    respond with a REST error list too (REQUEST_LIMIT_EXCEEDED), or form-encoded.
    """
    body = read_json(response.body)
    if response.status == 200 and not isinstance(body, dict):
        body = dict(parse_qsl(response.body.decode("utf-8", "replace")))
    values = body if isinstance(body, dict) else {}
    if 200 <= response.status < 300 and is_token(values.get("access_token")):
        return _accept(values, credentials=credentials, previous=previous, now=now)
    if isinstance(values.get("error"), str):
        about = loggable_error(values["error"], read_encodable(values, "error_description"))
        raise GrantRefused(*about, grant_hint(*about, response.status))
    if faults := read_faults(body, status=response.status):
        raise GrantRefused(faults[0].code if faults[0].code in MEANINGS else OTHER_ERROR)
    raise Unavailable(
        f"the token endpoint responds with HTTP {response.status} and no token",
        code=f"HTTP_{response.status}",
    )


def _accept(
    body: Mapping[str, Any], *, credentials: Credentials, previous: AccessToken | None, now: float
) -> Grant:
    before = previous or AccessToken(access_token="", instance_url=credentials.login_url)
    identity, issued_at = read_encodable(body, "id"), read_encodable(body, "issued_at")
    refresh_token = read_encodable(body, "refresh_token").strip()
    if not is_token(refresh_token):
        refresh_token = ""  # something else must not replace the stored one
    if body.get("signature") and credentials.client_secret:
        expected = hmac.digest(
            credentials.client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256
        )
        given = read_encodable(body, "signature").encode()
        if not hmac.compare_digest(base64.b64encode(expected), given):
            raise SignatureMismatch(
                "the token response's signature does not fit the consumer secret",
                refresh_token=refresh_token if before.id in ("", identity) else "",
            )
    return Grant(
        token=AccessToken(
            access_token=body["access_token"],
            instance_url=read_encodable(body, "instance_url").rstrip("/") or before.instance_url,
            issued_at=issued_at or str(int(now * 1000)),
            scope=read_encodable(body, "scope") or before.scope,
            id=identity,
            generation=before.generation + 1,
        ),
        refresh_token=refresh_token,
    )
