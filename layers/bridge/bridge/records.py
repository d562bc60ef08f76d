"""A Lead, a Case, a Task on its way: its fields, which of them we made up, and its key."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bridge.untrusted import CUT, cut, length_of

ObjectName = Literal["Lead", "Case"]
"""What a message becomes."""
SObject = Literal["Lead", "Case", "Task"]
"""What is sent to Salesforce."""

_PLAIN_KEY = re.compile(r"[a-z0-9._-]{1,100}")
_LONGEST = 32_000
"""Of a Description, in UTF-16 code units (Object Reference, Lead and Case)."""
_LIKE_AN_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record on its way. Field values are out of `repr`: they are a person's."""

    object: SObject
    key: str
    """The idempotency key as stored in the external-id field."""
    fields: Mapping[str, Any] = field(repr=False)
    """API names to values, explicit and derived ones, without the key."""
    derived: frozenset[str] = frozenset()
    """Names of the fields that we filled; Salesforce's refusal of them costs no lead."""
    channel: str = "unknown"
    """The channel's name in the table of channels; never what a caller wrote."""

    @property
    def has_owner(self) -> bool:
        """Whether the caller chose an owner, so that no assignment rule may move the record."""
        return "ownerid" in map(str.lower, self.fields)

    @property
    def may_hold_ids(self) -> bool:
        """Whether a value may be the id of another record, or stand for one."""
        return any(
            isinstance(value, Mapping)
            or name.lower().endswith("id")
            or (isinstance(value, str) and _LIKE_AN_ID.fullmatch(value.strip()) is not None)
            for name, value in self.fields.items()
        )

    @property
    def links(self) -> list[tuple[str, str, str]]:
        """Other records that it names by a key of theirs: `{"Account": {"Number__c": "7"}}` is
        (Account, Number__c, 7)."""
        return [
            (name, key, str(value))
            for name, other in self.fields.items()
            if isinstance(other, Mapping)
            for key, value in other.items()
            if key != "attributes"
        ]

    def with_derived(self, more: Mapping[str, Any]) -> Record:
        """The same with further fields that we filled; given ones stay."""
        given = {name.lower() for name in self.fields}
        added = {name: value for name, value in more.items() if name.lower() not in given}
        return replace(
            self, fields={**self.fields, **added}, derived=self.derived | frozenset(added)
        )

    def without(self, names: frozenset[str]) -> Record:
        """The same record less these fields.

        Their texts become lines of a Description that we filled, so that an address or a source
        that Salesforce refuses is not lost with its field.
        """
        kept = {name: value for name, value in self.fields.items() if name not in names}
        text = kept.get("Description") if "Description" in self.derived else None
        if isinstance(text, str):
            lost = ((name, self.fields.get(name)) for name in sorted(names))
            lines = [f"{n}: {v}" for n, v in lost if isinstance(v, str) and v and v not in text]
            block = "".join(f"\n{line}" for line in lines)
            if block:  # where both do not fit, the text is cut
                kept["Description"] = cut(text, _LONGEST - length_of(block), mark=CUT) + block
        return replace(self, fields=kept, derived=self.derived - names)


def stored_key(raw: str) -> str:
    """A key as it is written to the external-id field: trimmed, and plain or hashed.

    WhatsApp's ids differ in case only, and Setup's default for Unique ignores case, so whatever is
    not plain lower case becomes its SHA-256 in lower-case hex (64 of the field's 100 characters).
    """
    key = raw.strip()
    if _PLAIN_KEY.fullmatch(key):
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def made_up_key() -> str:
    """A key for a request that brought none: a repeated request is then a new record."""
    return os.urandom(16).hex()
