"""Requests of the API: what of an API Gateway event matters."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from bridge.conversations.keys import is_id
from bridge.errors import BadRequest
from bridge.records import stored_key

WEBHOOK_ROUTE = "/webhooks/bird"
"""The route of Bird's webhooks. `Idempotency-Key` and `Prefer` are signed by no scheme, so they do
not count there."""


@dataclass(frozen=True)
class HttpRequest:
    """The parts of a proxy event that matter. Header names are lower case."""

    method: str
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    path_key: str | None = field(repr=False)
    raw_body: object = field(repr=False)
    base64_encoded: bool = False
    gateway_request_id: str = ""
    requested_at_ms: object = None
    route: str = ""
    repeated: frozenset[str] = frozenset()
    """Names of query parameters that stand in the address several times."""
    api_key_id: str = ""
    """The id of the API key that the gateway let in; not the key."""

    @classmethod
    def from_event(cls, event: Any) -> HttpRequest:
        """Read a REST API proxy event (payload version 1.0). Raises BadRequest."""
        if not isinstance(event, dict):
            raise BadRequest("the event is no API Gateway proxy event")
        context = event.get("requestContext")
        context = context if isinstance(context, dict) else {}
        path = event.get("pathParameters")
        key = path.get("key") if isinstance(path, dict) else None
        return cls(
            method=str(event.get("httpMethod") or "POST").upper(),
            headers={
                name.lower(): value for name, value in _pairs(event, "headers", "multiValueHeaders")
            },
            query=dict(_pairs(event, "queryStringParameters", "multiValueQueryStringParameters")),
            path_key=key if isinstance(key, str) else None,
            raw_body=event.get("body"),
            base64_encoded=bool(event.get("isBase64Encoded")),
            gateway_request_id=gateway_request_id(event),
            requested_at_ms=context.get("requestTimeEpoch"),
            api_key_id=_api_key_id(context),
            route=str(event.get("resource") or event.get("path") or ""),
            repeated=_repeated(event.get("multiValueQueryStringParameters")),
        )

    @property
    def body(self) -> str:
        """The body as text. Raises BadRequest, so late that `errors_inline` is known by then."""
        if self.raw_body is None:
            return ""
        if not isinstance(self.raw_body, str):
            raise BadRequest("the event's body is not text")
        if not self.base64_encoded:
            return self.raw_body
        try:
            return base64.b64decode(self.raw_body, validate=True).decode("utf-8")
        except (binascii.Error, ValueError) as error:
            raise BadRequest("the body is not base64-encoded UTF-8") from error

    @property
    def errors_inline(self) -> bool:
        """`?errors=inline`: answer 200 whatever happened."""
        return self.query.get("errors", "").strip().lower() == "inline"

    @property
    def respond_async(self) -> bool:
        """`Prefer: respond-async` (RFC 7240): queue it at once."""
        if self.route.endswith(WEBHOOK_ROUTE):
            return False
        preferences = self.headers.get("prefer", "").lower().split(",")
        return any(p.split(";")[0].strip() == "respond-async" for p in preferences)

    def requested_keys(self) -> list[str]:
        """The stored forms of the key in the path or query of a GET or a PATCH, most likely first.

        Whether a path parameter arrives percent-decoded is the gateway's affair, so both readings
        are tried. Raises BadRequest if there is no key, or a variable without a value instead.
        """
        raw = self.path_key if self.path_key is not None else self.query.get("key")
        if raw is None or not raw.strip():
            raise BadRequest("say which record: GET /leads/{key}, or /leads?key= where it has a /")
        readings = [raw] if self.path_key is None else [raw, unquote(raw)]
        if not all(map(is_id, readings)):
            raise BadRequest(
                "the key in the address is a variable without a value: look in the flow's log at "
                "what the step calls"
            )
        return list(dict.fromkeys(stored_key(reading) for reading in readings))


def _api_key_id(context: Mapping[str, Any]) -> str:
    identity = context.get("identity")
    found = identity.get("apiKeyId") if isinstance(identity, dict) else None
    return found if isinstance(found, str) else ""


def gateway_request_id(event: Any) -> str:
    """The gateway's id of a request, which its access log has too; empty if there is none."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    found = context.get("requestId") if isinstance(context, dict) else None
    return found if isinstance(found, str) else ""


def _pairs(event: Mapping[str, Any], single: str, multiple: str) -> list[tuple[str, str]]:
    """Headers or query; if there are none, the last value of each in the event's other form."""
    if pairs := _texts(event.get(single)):
        return pairs
    several = event.get(multiple)
    if not isinstance(several, dict):
        return []
    return _texts({n: v[-1] for n, v in several.items() if isinstance(v, list) and v})


def _repeated(several: Any) -> frozenset[str]:
    if not isinstance(several, dict):
        return frozenset()
    return frozenset(str(n) for n, v in several.items() if isinstance(v, list) and len(v) > 1)


def _texts(values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, dict):
        return []
    return [(str(name), value) for name, value in values.items() if isinstance(value, str)]
