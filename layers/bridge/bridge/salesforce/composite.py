"""Composite requests: several requests to Salesforce in one call, each with its own response.

A part may use what an earlier part's response holds (`Ref`, sent as `@{part.path}`). Salesforce
looks for such references in every text, also in a customer's: a part that holds one of its own has
to be sent alone (`in_calls`, `resolved`).

Source: REST API Developer Guide, Composite. Sub-requests inherit only Accept, Authorization and
Content-Type, so that any other header belongs into the part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

MOST_QUERIES = 5
"""Queries and collections in one composite."""

HALTED = "PROCESSING_HALTED"
"""Of a part whose reference leads nowhere, or that was rolled back with the others: its cause is
another part."""


@dataclass(frozen=True)
class Ref:
    """A value of an earlier part's response: `Ref("add", "id")`."""

    part: str
    path: str

    def __str__(self) -> str:
        return f"@{{{self.part}.{self.path}}}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One request of a composite. `path` is what comes after `/services/data/vNN.0`."""

    name: str
    method: str
    path: tuple[str | Ref, ...]
    body: Mapping[str, Any] | None = field(repr=False, default=None)
    headers: Mapping[str, str] = field(default_factory=dict)


def query_part(name: str, soql: str, *, deleted: bool = False) -> Part:
    """A query; with `deleted` of deleted rows too."""
    resource = "queryAll" if deleted else "query"
    return Part(name=name, method="GET", path=(f"/{resource}?q={encoded(soql)}",))


def encoded(text: str) -> str:
    """A text in a URL, as JavaScript's encodeURIComponent has it: a key takes few bytes."""
    return quote(text, safe="'()!*~", errors="replace")


@dataclass(frozen=True)
class PartResponse:
    """What Salesforce answers to one part."""

    status: int
    body: Any = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the part was done."""
        return 200 <= self.status < 300


def composite(parts: Iterable[Part], *, base: str, all_or_none: bool = False) -> dict[str, Any]:
    """The body of a composite request; `base` is `/services/data/vNN.0`."""
    return {
        "allOrNone": all_or_none,
        "collateSubrequests": False,
        "compositeRequest": [_request(part, base) for part in parts],
    }


def _request(part: Part, base: str) -> dict[str, Any]:
    request: dict[str, Any] = {
        "method": part.method,
        "url": base + "".join(map(str, part.path)),
        "referenceId": part.name,
    }
    if part.body is not None:
        request["body"] = {
            name: str(value) if isinstance(value, Ref) else value
            for name, value in part.body.items()
        }
    if part.headers:
        request["httpHeaders"] = dict(part.headers)
    return request


def in_calls(parts: Iterable[Part]) -> list[list[Part]]:
    """The parts in runs that can each be one call: as a rule one.

    A part with a text that would be read as a reference is alone, and is to be sent as the plain
    request that it is.
    """
    calls: list[list[Part]] = []
    together = False
    for part in parts:
        alone = holds_reference(part)
        if alone or not together:
            calls.append([])
        calls[-1].append(part)
        together = not alone
    return calls


def holds_reference(part: Part) -> bool:
    """Whether a text of this part would be read as a reference that it is not."""
    return _like_reference([part.path, part.body])


def _like_reference(value: Any) -> bool:
    if isinstance(value, str):
        return "@{" in value
    if isinstance(value, Mapping):
        return any(map(_like_reference, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_like_reference, value))


def resolved(part: Part, responses: Mapping[str, PartResponse]) -> Part | None:
    """The same part with the values of the responses that are there.

    None where one of these lacks the value, so that the part cannot be done.
    """
    values: dict[Ref, Any] = {}
    for ref in (*part.path, *(part.body or {}).values()):
        if isinstance(ref, Ref) and ref.part in responses:
            response = responses[ref.part]
            found = response.body if response.ok else None
            values[ref] = _value_at(found, ref.path)
    if not values:
        return part
    if None in values.values():
        return None

    def value_of(value: Any) -> Any:
        return values.get(value, value) if isinstance(value, Ref) else value

    path = tuple(map(value_of, part.path))
    body = part.body and {name: value_of(value) for name, value in part.body.items()}
    return replace(part, path=path, body=body)


def _value_at(body: Any, path: str) -> Any:
    """What a reference leads to: `id`, or `records[0].Id`; None where it leads nowhere."""
    for step in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(body, list) and step.isdigit():
            body = body[int(step)] if int(step) < len(body) else None
        else:
            body = body.get(step) if isinstance(body, Mapping) else None
    return body


def halted() -> PartResponse:
    """Salesforce's response to a part whose reference leads nowhere."""
    return PartResponse(400, [{"errorCode": HALTED, "message": "Invalid reference specified."}])


def read_composite(value: Any) -> dict[str, PartResponse]:
    """The responses by the parts' names; what cannot be read is left out."""
    entries = value.get("compositeResponse") if isinstance(value, dict) else None
    responses: dict[str, PartResponse] = {}
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        name, status = entry.get("referenceId"), entry.get("httpStatusCode")
        if isinstance(name, str) and isinstance(status, int):
            responses[name] = PartResponse(status, entry.get("body"))
    return responses


def is_halted(response: PartResponse) -> bool:
    """Whether a part failed for no reason of its own."""
    entries = response.body if isinstance(response.body, list) else [response.body]
    codes = [entry.get("errorCode") for entry in entries if isinstance(entry, dict)]
    return not response.ok and bool(codes) and all(code == HALTED for code in codes)
