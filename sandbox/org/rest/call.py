"""One REST call and its response.

A composite or batch makes several of them out of one HTTP request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

from sandbox.org.data.schema import ObjectType
from sandbox.org.errors import Problem, Refused, not_found, refused
from sandbox.org.oauth.tokens import Session
from sandbox.org.org import Org
from sandbox.org.rules.access import Rights
from sandbox.org.rules.saving import SaveOptions

_UNSET: Any = object()
MAX_JSON_BYTES = 50_000_000
"""A file in base64 within it has 37.5 MB at most; larger ones need a multipart body."""


@dataclass(slots=True)
class Response:
    """Status and body. A `body` of None is an empty one; text goes out as it is."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json;charset=UTF-8"

    def encoded(self) -> bytes:
        if self.body is None and self.status in (200, 204):
            return b""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str) and not self.content_type.startswith("application/json"):
            return self.body.encode("utf-8", "replace")
        # ASCII only, so that a lone surrogate somebody sent goes back as it came.
        return json.dumps(self.body, separators=(",", ":")).encode()


def refusal(error: Refused) -> Response:
    """The response to a refused call: an array of problems."""
    return Response(error.status, [problem.as_rest() for problem in error.problems])


@dataclass(slots=True, kw_only=True)
class Call:
    """A call that passed authentication. `parts` are the path's segments after the version."""

    org: Org
    method: str
    parts: list[str]
    query: dict[str, str]
    headers: Mapping[str, str]
    session: Session
    actor: Rights
    version: str
    dispatch: Callable[[Call], Response]
    """Serves another call: a composite is made of several."""
    raw: bytes = b""
    payload: Any = field(default=_UNSET)
    trouble: Callable[[str], Problem | None] | None = None
    all_or_none: bool = False
    """A composite around it is all-or-none, and so is this call."""

    def json(self) -> Any:
        """The body; raises `Refused` with JSON_PARSER_ERROR or UNSUPPORTED_MEDIA_TYPE."""
        if self.payload is _UNSET:
            kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in ("", "application/json"):
                raise refused(415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type")
            if len(self.raw) > MAX_JSON_BYTES:
                # The limit is documented, the refusal is not confirmed.
                raise refused(413, "REQUEST_ENTITY_TOO_LARGE", "Request Entity Too Large")
            self.payload = read_json(self.raw)
        return self.payload

    def object(self) -> dict[str, Any]:
        """The body, which must be a JSON object; raises `Refused`."""
        body = self.json()
        if not isinstance(body, dict):
            raise refused(400, "JSON_PARSER_ERROR", "The body must be a JSON object")
        return body

    def kind(self, name: str) -> ObjectType:
        """An object that exists and that the user may know of; raises `Refused`."""
        found = self.org.schema.find(name)
        known = found is not None and (
            self.actor.may_object(found, "Read") or self.actor.may_object(found, "Create")
        )
        if found is None or found.tooling or not known:
            raise not_found()
        return found

    def allow(self, *methods: str) -> None:
        """Raises `Refused` with METHOD_NOT_ALLOWED for any other method."""
        if self.method not in methods:
            raise refused(
                405,
                "METHOD_NOT_ALLOWED",
                f"HTTP Method '{self.method}' not allowed. Allowed are {','.join(methods)}",
            )

    def options(self, *, all_or_none: bool = False) -> SaveOptions:
        """What the call's own headers ask for."""
        wanted = self.headers.get("sforce-auto-assign", "").strip()
        auto: bool | str = {"": True, "TRUE": True, "FALSE": False}.get(wanted.upper(), wanted)
        rule = self.headers.get("sforce-duplicate-rule-header", "")
        switches = dict(re.findall(r"(\w+)\s*=\s*(\w+)", rule.lower()))
        return SaveOptions(
            auto_assign=auto,
            allow_duplicates=switches.get("allowsave") == "true",
            version=self.version,
            all_or_none=all_or_none or self.all_or_none,
            trouble=self.trouble,
        )


def split_target(target: str) -> tuple[list[str], dict[str, str]]:
    """A request target as decoded path segments and query; ``%2F`` stays inside its segment."""
    path, _, query = target.partition("?")
    parts = [unquote(part) for part in path.split("/") if part]
    return parts, dict(parse_qsl(query, keep_blank_values=True))


def read_json(raw: bytes) -> Any:
    """Raises `Refused` with JSON_PARSER_ERROR; the words for broken JSON are Python's."""
    if not raw.strip():
        raise refused(
            400,
            "JSON_PARSER_ERROR",
            "The HTTP entity body is required, but this request has no entity body.",
        )
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refused(400, "JSON_PARSER_ERROR", str(error)) from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"Non-standard token '{name}'")
