"""Reading and checking one field's value: from JSON to what is stored, or why not.

Two stages, because Salesforce has two: `read` is the parser's (an unreadable value refuses the
whole call, JSON_PARSER_ERROR), `faults` is the system validation of one record.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from sandbox.org.data import clock, ids
from sandbox.org.data.schema import NUMBER_TYPES, TEXT_TYPES, Field, ObjectType
from sandbox.org.errors import Problem

_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,}\Z"
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})\Z")


class Unreadable(ValueError):
    """A value that the parser cannot turn into the field's type; the message is Salesforce's."""


def _token(value: Any) -> str:
    """The value with the name that Salesforce's parser gives its kind."""
    if isinstance(value, bool):
        return f"VALUE_{str(value).upper()} value {str(value).lower()}"
    if isinstance(value, int):
        return f"VALUE_NUMBER_INT value {value}"
    if isinstance(value, float):
        return f"VALUE_NUMBER_FLOAT value {value}"
    if isinstance(value, str):
        return f'VALUE_STRING value "{value[:200]}"'
    return "START_ARRAY value [" if isinstance(value, list) else "START_OBJECT value {"


def read(field: Field, value: Any) -> Any:
    """The stored form of `value`; raises `Unreadable`. Blank text is null, as in Salesforce."""
    if value is None:
        return None
    kind = field.type
    if kind == "base64":
        return _read_blob(value)
    if kind in TEXT_TYPES or kind in ("reference", "id"):
        if not isinstance(value, str):
            raise Unreadable(_cannot("string" if kind in TEXT_TYPES else kind, value))
        return value if value and not value.isspace() else None
    if kind == "boolean":
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise Unreadable(_cannot("boolean", value))
    if kind in NUMBER_TYPES:
        return _read_number(field, value)
    if kind == "date":
        return _read_date(value)
    if kind == "datetime":
        return _read_datetime(value)
    raise Unreadable(_cannot(kind, value))


def _cannot(kind: str, value: Any) -> str:
    return (
        f"Cannot deserialize instance of {kind} from {_token(value)} or request may be missing a "
        "required field"
    )


def _read_blob(value: Any) -> bytes:
    """A file's bytes: those of a part of the request, or base64 in JSON."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            pass
    raise Unreadable(_cannot("base64Binary", value))


def _read_number(field: Field, value: Any) -> int | float | None:
    kind = "int" if field.type == "int" else "double"
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = float(value)
        except ValueError:
            raise Unreadable(_cannot(kind, value)) from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable(_cannot(kind, value))
    if value != value or value in (float("inf"), float("-inf")):
        raise Unreadable(_cannot(kind, value))
    if field.type == "int":
        if value != int(value):
            raise Unreadable(_cannot(kind, value))
        return int(value)
    return round(float(value), field.scale)


def _read_date(value: Any) -> str | None:
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, str) and _DATE.match(value[:10]):
        try:
            date.fromisoformat(value[:10])
        except ValueError:
            pass
        else:
            return value[:10]
    raise Unreadable(_cannot("date", value))


def _read_datetime(value: Any) -> str | None:
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, str) and (_DATETIME.match(value) or _DATE.match(value)):
        try:
            return clock.stamp(moment(value))
        except (ValueError, OverflowError):
            pass
    raise Unreadable(_cannot("datetime", value))


def moment(value: str) -> float:
    """Seconds since the epoch of an ISO datetime or date; ValueError where it is none."""
    parsed = datetime.fromisoformat(value)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def printed(kind: ObjectType, item: Field, record: dict[str, Any], version: str) -> Any:
    """A field's value as the REST API prints it."""
    value = record.get(item.name)
    if item.type == "boolean":
        return bool(value)
    if item.type == "address":
        prefix = item.name.removesuffix("Address")
        names = ("street", "city", "state", "postalCode", "country")
        parts = {n: record.get(prefix + n[0].upper() + n[1:]) for n in names}
        return parts if any(parts.values()) else None
    if item.type == "base64":
        base = f"/services/data/{version}/sobjects/{kind.name}"
        return f"{base}/{record['Id']}/{item.name}" if value is not None else None
    return value


def utf16_length(value: str) -> int:
    """The length as Salesforce counts it: characters outside the basic plane count twice."""
    return len(value) if value.isascii() else len(value.encode("utf-16-le", "surrogatepass")) // 2


def faults(field: Field, value: Any) -> Iterator[Problem]:
    """The system validation of one stored value: length, picklist, e-mail, range, id shape."""
    if value is None:
        return
    kind = field.type
    if kind in TEXT_TYPES:
        length = (
            len(value.encode("utf-8", "surrogatepass")) if field.in_bytes else utf16_length(value)
        )
        if field.length and length > field.length:
            yield Problem(
                "STRING_TOO_LONG",
                f"{field.label}: data value too large: {value} (max length={field.length})",
                (field.name,),
            )
        elif kind == "email" and not _EMAIL.match(value):
            yield Problem(
                "INVALID_EMAIL_ADDRESS",
                f"{field.label}: invalid email address: {value}",
                (field.name,),
            )
        elif field.restricted:
            several = value.split(";") if kind == "multipicklist" else [value]
            for unknown in (one for one in several if one not in field.values):
                yield Problem(
                    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                    f"{field.label}: bad value for restricted picklist field: {unknown}",
                    (field.name,),
                )
    elif kind in NUMBER_TYPES:
        if field.precision and abs(value) >= 10 ** (field.precision - field.scale):
            yield Problem(
                "NUMBER_OUTSIDE_VALID_RANGE",
                f"{field.label}: value outside of valid range on numeric field: {value}",
                (field.name,),
            )
    elif kind == "reference" and ids.normalise(value) is None:
        yield Problem(
            "MALFORMED_ID",
            f"{field.label}: id value of incorrect type: {value}",
            (field.name,),
        )


def missing(kind: ObjectType, record: dict[str, Any]) -> list[str]:
    """The required fields that `record` leaves empty, in the object's order."""
    return [f.name for f in kind.fields.values() if f.required and record.get(f.name) is None]
