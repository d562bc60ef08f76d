"""The Salesforce fields of a request: from its body, and from the address that the flow calls.

A flow's body is a template with the customer's words in it, and it is documented nowhere whether
quotes in them are escaped. So a body alone does not choose an owner, a record type or another
record: fields that hold ids and links by key are taken from it only if the deployer lists them.
`?set.OwnerId=…` in the address is the flow's author's: it always counts, and goes before the body
(docs/adr/0078-a-body-is-a-template.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.bird.texts import is_absent
from bridge.errors import BadRequest, ForbiddenField
from bridge.settings import Settings

SET = "set."
"""How a query parameter begins that gives a field its value."""

ALL = "*"
"""In AllowedFields: every field."""


_OWN = frozenset({"id", "attributes"})
_CHOOSING = ("id", "__r", "bird_conversation__c")
"""How names end that choose another record: standard reference fields end in `Id` (Object
Reference); a custom one ends in `__c`, and its relationship in `__r`. By the last one a record gets
the messages of somebody's conversation."""


# Not frozen: each method that is made for it is time of every cold start.
@dataclass(kw_only=True, repr=False, eq=False)
class RequestFields:
    """What a request gives its record. Nothing personal is in its `repr`."""

    fields: Mapping[str, Any]
    """API names to values, as they are sent."""
    left_out: tuple[str, ...]
    """Names of the body's fields that only the deployer may let in."""
    in_body: bool
    """Whether the body has fields, the ones left out among them."""
    key: Any
    """The value of the external-id field; perhaps an unresolved variable."""
    bird: Any
    """The body's value of `bird`."""
    variables: int
    """How many values are unresolved variables."""


def read_fields(
    body: Mapping[str, Any],
    query: Mapping[str, str],
    *,
    repeated: frozenset[str] = frozenset(),
    settings: Settings,
) -> RequestFields:
    """Read them; `repeated` are the query's names that stand in it several times.

    Names are compared without case, as Salesforce does. Absent values are left out. Raises
    BadRequest, ForbiddenField.
    """
    key_field = settings.external_id_field.lower()
    fields: dict[str, Any] = {}
    left_out: list[str] = []
    key: Any = None
    bird: Any = None
    in_body = False
    variables = 0
    fixed: set[str] = set()
    for parameter, text in query.items():
        if not is_set(parameter):
            continue
        if parameter in repeated:
            raise BadRequest(f"{parameter} is given twice in the address")
        name = parameter[len(SET) :]
        lower = name.lower()
        if lower in ("", "bird"):
            raise BadRequest(f"{parameter} names no field of Salesforce")
        if key_field and lower == key_field:
            key = text
        if is_absent(text):
            variables += "{{" in text
            continue
        if lower in _OWN or lower in fixed:
            raise _refusal(name)
        fixed.add(lower)
        if lower != key_field:
            fields[name] = text
    names: set[str] = set()
    for name, value in body.items():
        lower = name.lower()
        if is_absent(value):
            variables += isinstance(value, str) and "{{" in value
            if key_field and lower == key_field and key is None:
                key = value  # an unresolved variable is no key, but it is counted
            continue
        if lower in _OWN or lower in names:
            raise _refusal(name)
        names.add(lower)
        if lower == "bird":
            bird = value
            continue
        if key_field and lower == key_field:
            key = key if lower in fixed else value
            continue
        if isinstance(value, (dict, list)):
            value = _present(value)
            if value is None:
                continue
        in_body = True
        if lower in fixed:
            continue
        chooses = lower.endswith(_CHOOSING) or isinstance(value, dict)
        if chooses and settings.allowed_fields.isdisjoint((lower, ALL)):
            left_out.append(name)
        else:
            fields[name] = value
    return RequestFields(
        fields=fields,
        left_out=tuple(left_out),
        in_body=in_body,
        key=key,
        bird=bird,
        variables=variables,
    )


def is_set(parameter: str) -> bool:
    """Whether a query parameter gives a field its value."""
    return parameter[: len(SET)].lower() == SET


def may_be_set(name: str) -> bool:
    """Whether a field that was left out can be set in the address: a text makes no link."""
    return name.lower().endswith("id")


def _refusal(name: str) -> BadRequest:
    if name.lower() in _OWN:
        return ForbiddenField(f"{name} is Salesforce's to give: leave it out of the request")
    return BadRequest(f"{name} is given twice (field names are compared without case)")


def _present(value: Any) -> Any:
    """A value without the absent parts of it; None if nothing is left."""
    if is_absent(value):
        return None
    if isinstance(value, dict):
        kept = {n: p for n, v in value.items() if (p := _present(v)) is not None}
        return kept or None
    if isinstance(value, list) and value and not any(isinstance(v, (dict, list)) for v in value):
        # Several values of a multi-select picklist, which Salesforce takes as one text.
        return ";".join(_as_form(one) for one in value if not is_absent(one)) or None
    return value


def _as_form(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
