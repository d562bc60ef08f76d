"""Signed requests of each scheme, signed without the code under test."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

KEY = "3b1c8e5f7a92d46b08c1e3f5a7b9d2c43b1c8e5f7a92d46b08c1e3f5a7b9d2c4"
URL = "https://api.example.com/v1/webhooks/bird?object=Case"
BODY = '{"text":"a & b \\u0026 c — ü"}'.encode()
NOW = 1_790_236_800.0


def jwt_part(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def jwt(
    *,
    key: str = KEY,
    alg: Any = "HS256",
    body: bytes = BODY,
    url: str = URL,
    header: Mapping[str, Any] | None = None,
    **claims: Any,
) -> dict[str, str]:
    """The header of a request, with a token that is not made by PyJWT."""
    payload: dict[str, Any] = {
        "iss": "MessageBird",
        "nbf": int(NOW),
        "exp": int(NOW) + 60,
        "jti": "f7b63c86-c3af-4260-89e6-f27f7764cf8c",
        "url_hash": hashlib.sha256(url.encode()).hexdigest(),
    }
    if body:
        payload["payload_hash"] = hashlib.sha256(body).hexdigest()
    payload.update(claims)
    payload = {name: value for name, value in payload.items() if value is not None}
    covered = f"{jwt_part({'alg': alg, 'typ': 'JWT', **(header or {})})}.{jwt_part(payload)}"
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}.get(str(alg), "sha256")
    mac = hmac.digest(key.encode(), covered.encode(), digest)
    signature = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    return {"messagebird-signature-jwt": f"{covered}.{signature}"}


def bird(
    *, key: str = KEY, at: float = NOW, url: str = URL, body: bytes = BODY, raw: bool = True
) -> dict[str, str]:
    digest = hashlib.sha256(body)
    hashed = digest.digest() if raw else digest.hexdigest().encode()
    mac = hmac.digest(key.encode(), f"{int(at)}\n{url}\n".encode() + hashed, "sha256")
    return {
        "messagebird-signature": base64.b64encode(mac).decode(),
        "messagebird-request-timestamp": str(int(at)),
    }


SECRET = "whsec_" + base64.b64encode(b"0123456789abcdefghijklmn").decode()


def standard(
    *, key: str = SECRET, at: float = NOW, body: bytes = BODY, webhook_id: str = "msg_1"
) -> dict[str, str]:
    secret = base64.b64decode(key.removeprefix("whsec_"))
    mac = hmac.digest(secret, f"{webhook_id}.{int(at)}.".encode() + body, "sha256")
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }
