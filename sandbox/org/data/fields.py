"""Short ways to write a field down, for the lists of objects."""

from __future__ import annotations

from typing import Any

from sandbox.org.data.schema import Field


def text(name: str, label: str, length: int, **more: Any) -> Field:
    return Field(name, label, "string", length=length, **more)


def area(name: str, label: str, length: int, **more: Any) -> Field:
    return Field(name, label, "textarea", length=length, **more)


def email(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "email", length=80, **more)


def phone(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "phone", length=40, **more)


def url(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "url", length=255, **more)


def pick(name: str, label: str, values: str, **more: Any) -> Field:
    """A picklist; `values` are separated by slashes."""
    return Field(
        name,
        label,
        "picklist",
        length=255,
        values=tuple(values.split("/")) if values else (),
        **more,
    )


def flag(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "boolean", **more)


def number(name: str, label: str, precision: int, scale: int = 0, **more: Any) -> Field:
    kind = more.pop("type", "double" if scale else "int")
    return Field(name, label, kind, precision=precision, scale=scale, **more)


def link(
    name: str, label: str, *targets: str, relationship: str | None = None, **more: Any
) -> Field:
    return Field(
        name,
        label,
        "reference",
        length=18,
        reference_to=targets,
        relationship=relationship or name.removesuffix("Id"),
        **more,
    )


def date(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "date", **more)


def moment(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "datetime", **more)


READ_ONLY: dict[str, Any] = {"createable": False, "updateable": False}
