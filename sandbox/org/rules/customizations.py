"""What an administrator adds to the saving of records: validation rules, duplicate rules,
assignment rules.

The first two run before the unique index is checked; assignment rules run after the save.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.org.data.store import Record
from sandbox.org.errors import Problem

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "blank": lambda value, _: value is None,
    "present": lambda value, _: value is not None,
    "equals": lambda value, to: bool(value == to),
    "not_equals": lambda value, to: bool(value != to),
    "matches": lambda value, to: value is not None and re.search(to, str(value)) is not None,
    "not_matches": lambda value, to: value is not None and re.search(to, str(value)) is None,
    "longer_than": lambda value, to: value is not None and len(str(value)) > int(to),
}


@dataclass(frozen=True)
class Condition:
    """One test of one field: ``blank``, ``present``, ``equals``, ``not_equals``, ``matches``,
    ``not_matches`` (regular expressions, searched) or ``longer_than``."""

    field: str
    operator: str
    value: Any = None

    def __post_init__(self) -> None:
        if self.operator not in _OPERATORS:
            raise ValueError(f"operator must be one of {', '.join(_OPERATORS)}")
        if self.operator.endswith("matches"):
            try:
                re.compile(str(self.value))
            except re.error as error:
                raise ValueError(f"value is no regular expression: {error}") from error

    def __call__(self, record: Record) -> bool:
        return _OPERATORS[self.operator](record.get(self.field), self.value)


@dataclass(frozen=True)
class ValidationRule:
    """Refuses a record for which `error_when` is true, as a formula does at Salesforce."""

    name: str
    object: str
    error_when: Callable[[Record], bool]
    message: str
    field: str | None = None
    """The field the message is shown at; None is the top of the page (``fields`` is empty)."""


@dataclass(frozen=True)
class DuplicateRule:
    """Looks for records with the same phone or e-mail before a save.

    `action` is ``alert`` (a caller may pass with ``allowSave=true``) or ``block``. Matches that
    the user may not see count, but are not shown.
    """

    object: str
    fields: tuple[str, ...] = ("Phone", "Email")
    action: str = "alert"
    name: str = "Standard_Lead_Duplicate_Rule"
    matching_rule: str = "Standard_Lead_Match_Rule_v1_0"
    message: str = "Use one of these records?"
    match_objects: tuple[str, ...] = ()
    """Empty: only the object itself. ``("Lead", "Contact")`` finds contacts for a lead too."""

    def __post_init__(self) -> None:
        if self.action not in ("alert", "block"):
            raise ValueError("action is alert or block")


def match_key(value: Any) -> str | None:
    """What two phones or e-mails must share to be the same: digits, or the text without case."""
    if not isinstance(value, str):
        return None
    if "@" in value:
        return value.strip().lower()
    digits = re.sub(r"\D", "", value)
    return digits.lstrip("0") or (value.strip().lower() or None)


@dataclass(frozen=True)
class AssignmentRule:
    """Gives a new record to somebody. The first entry whose condition holds decides."""

    id: str
    name: str
    object: str
    entries: tuple[tuple[Condition | None, str], ...]
    active: bool = True

    def owner_for(self, record: Record) -> str | None:
        for condition, owner_id in self.entries:
            if condition is None or condition(record):
                return owner_id
        return None


@dataclass
class Rules:
    """All rules of one org."""

    validation: list[ValidationRule] = field(default_factory=list)
    duplicates: list[DuplicateRule] = field(default_factory=list)
    assignment: dict[str, AssignmentRule] = field(default_factory=dict)

    def clear(self) -> None:
        """Remove all of them."""
        self.validation.clear()
        self.duplicates.clear()
        self.assignment.clear()

    def before_save(self, object_name: str, record: Record) -> list[Problem]:
        """All validation rules that are broken, each with its message."""
        return [
            Problem(
                "FIELD_CUSTOM_VALIDATION_EXCEPTION",
                rule.message,
                (rule.field,) if rule.field else (),
            )
            for rule in self.validation
            if rule.object == object_name and rule.error_when(record)
        ]

    def active_assignment(self, object_name: str) -> AssignmentRule | None:
        for rule in self.assignment.values():
            if rule.object == object_name and rule.active:
                return rule
        return None
