"""Custom fields as metadata describes them, for the Tooling API and for deployments."""

from __future__ import annotations

import re
from typing import Any

from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.state import State
from sandbox.org.errors import Problem, Refused, refused

_TYPES = {
    "Text": "string",
    "TextArea": "textarea",
    "LongTextArea": "textarea",
    "Email": "email",
    "Phone": "phone",
    "Url": "url",
    "Number": "double",
    "Currency": "currency",
    "Percent": "percent",
    "Checkbox": "boolean",
    "Date": "date",
    "DateTime": "datetime",
    "Picklist": "picklist",
    "MultiselectPicklist": "multipicklist",
}
NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*__c\Z")


def container(state: State, name: str) -> ObjectType:
    """The object that a custom field may be made on; raises `Refused`.

    Activity stands for Task and Event, which take no custom field themselves.
    """
    if name.lower() == "activity":
        return state.schema["Task"]
    kind = state.schema.find(name)
    if kind is None or kind.setup or kind.name in ("Task", "Event"):
        raise refused(400, "INVALID_CROSS_REFERENCE_KEY", f"In field: entity - no {name} found", ())
    return kind


def from_metadata(name: str, metadata: dict[str, Any]) -> Field:
    """A field as its metadata describes it; raises `Refused`."""
    _check_types(metadata)
    kind = metadata.get("type")
    problems = []
    if kind not in _TYPES:
        problems.append(Problem("INVALID_TYPE", f"Unknown field type: {kind}", ("Type",)))
    if not metadata.get("label"):
        problems.append(
            Problem("REQUIRED_FIELD_MISSING", "Required fields are missing: [Label]", ("Label",))
        )
    length = metadata.get("length")
    if kind == "Text" and not (isinstance(length, int) and 1 <= length <= 255):
        problems.append(
            Problem(
                "FIELD_INTEGRITY_EXCEPTION",
                f"Text field length must be between 1 and 255: {length}",
                ("Length",),
            )
        )
    if problems:
        raise Refused(400, problems)
    choices = (metadata.get("valueSet") or {}).get("valueSetDefinition") or {}
    kind_name = _TYPES[str(kind)]
    fixed = {"email": 80, "phone": 40, "url": 255, "picklist": 255}
    return Field(
        name,
        str(metadata["label"]),
        kind_name,
        length=fixed.get(kind_name, int(length or (255 if kind_name == "textarea" else 0))),
        precision=int(metadata.get("precision") or 0),
        scale=int(metadata.get("scale") or 0),
        required=metadata.get("required") is True,
        unique=metadata.get("unique") is True,
        case_sensitive=metadata.get("caseSensitive") is True,
        external_id=metadata.get("externalId") is True,
        id_lookup=metadata.get("externalId") is True,
        values=tuple(str(v.get("fullName")) for v in choices.get("value") or ()),
        restricted=(metadata.get("valueSet") or {}).get("restricted") is True,
        custom=True,
    )


def _check_types(metadata: dict[str, Any]) -> None:
    """Raises `Refused` where a property has another JSON type than Salesforce's."""
    values = metadata.get("valueSet") or {}
    definition = values.get("valueSetDefinition") or {} if isinstance(values, dict) else None
    choices = definition.get("value") or [] if isinstance(definition, dict) else None
    good = (
        isinstance(metadata.get("type"), str | None)
        and all(
            metadata.get(name) is None or type(metadata[name]) is int
            for name in ("length", "precision", "scale")
        )
        and isinstance(choices, list)
        and all(isinstance(choice, dict) for choice in choices)
    )
    if not good:
        raise refused(400, "JSON_PARSER_ERROR", "Metadata has a value of the wrong type")


def to_metadata(item: Field) -> dict[str, Any]:
    names = {value: name for name, value in reversed(_TYPES.items())}
    return {
        "label": item.label,
        "type": names.get(item.type, "Text"),
        "length": item.length or None,
        "precision": item.precision or None,
        "scale": item.scale or None,
        "required": item.required,
        "unique": item.unique,
        "caseSensitive": item.case_sensitive,
        "externalId": item.external_id,
        "description": None,
    }
