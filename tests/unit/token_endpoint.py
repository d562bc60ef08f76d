"""Salesforce's token endpoint, in a few lines."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from bridge.http import Response
from tests.unit.doubles import INSTANCE, Call, Scripted, json_response

CLIENT_SECRET = "s3cret"


def signed_body(**more: Any) -> dict[str, Any]:
    """A token response's body, signed with the consumer secret."""
    identity = "https://login.salesforce.com/id/00D8d00000555AbEAM/0058d00000555AbIAQ"
    issued_at = str(int(time.time() * 1000))
    digest = hmac.digest(CLIENT_SECRET.encode(), (identity + issued_at).encode(), hashlib.sha256)
    return {
        "access_token": "00D8d!new",
        "signature": base64.b64encode(digest).decode(),
        "scope": "api refresh_token",
        "instance_url": INSTANCE,
        "id": identity,
        "token_type": "Bearer",
        "issued_at": issued_at,
        **more,
    }


class TokenEndpoint(Scripted):
    """Salesforce's token endpoint, with rotation: a replayed refresh token revokes everything."""

    def __init__(self) -> None:
        super().__init__(self._handle)
        self.rotation = False
        self.current = "refresh-1"
        self.issued = 0
        self.revoked = False
        self.trouble: list[Response | Exception] = []
        self.before: Callable[[], None] = lambda: None
        self.more: dict[str, Any] = {}

    def _handle(self, call: Call) -> Response:
        self.before()
        if self.trouble:
            happens = self.trouble.pop(0)
            if isinstance(happens, Exception):
                raise happens
            return happens
        form = {name: values[0] for name, values in parse_qs((call.body or b"").decode()).items()}
        self.revoked |= form["refresh_token"] != self.current
        if self.revoked:
            return oauth_error("invalid_grant", "expired access/refresh token")
        self.issued += 1
        new: dict[str, Any] = {"access_token": f"access-{self.issued}"}
        if self.rotation:
            self.current = new["refresh_token"] = f"refresh-{self.issued + 1}"
        return json_response(200, signed_body(**{**new, **self.more}))


def oauth_error(error: str, description: str, status: int = 400) -> Response:
    return json_response(status, {"error": error, "error_description": description})
