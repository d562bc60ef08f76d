"""What Bird tells us of a message, and what a Lead or a Case gets from it.

Explicit fields always win; what is missing is filled from here, cut to the field's length in
UTF-16 code units (Salesforce's characters), and never invented.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.channels import Channel, channel_named
from bridge.records import ObjectName

LENGTHS = {
    "LastName": 80,
    "FirstName": 40,
    "Company": 255,
    "Phone": 40,
    "Email": 80,
    "LeadSource": 255,
    "Description": 32_000,
    "SuppliedName": 80,
    "SuppliedPhone": 40,
    "SuppliedEmail": 80,
    "Origin": 255,
    "Subject": 255,
}
"""Salesforce's lengths of the standard fields that are filled (Object Reference: Lead, Case)."""

_UNRESOLVED = re.compile(r"\s*(?:\{\{(?:(?!\}\}).)*\}\}\s*)+", re.DOTALL)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")
_PHONE_PUNCTUATION = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]")
_FAMILY_NAME_FIRST = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "HANGUL")
_SUBJECT_WORDS = 80


def is_absent(value: Any) -> bool:
    """Whether a value means nothing: null, blank, or nothing but unresolved `{{variables}}`."""
    if value is None:
        return True
    return isinstance(value, str) and (
        not value.strip() or ("{{" in value and _UNRESOLVED.fullmatch(value) is not None)
    )


@dataclass(frozen=True, kw_only=True)
class BirdMessage:
    """Where a message came from, as a flow's `bird` object says. Everything personal is out of
    `repr`."""

    channel: Channel
    message_id: str = field(repr=False, default="")
    conversation_id: str = field(repr=False, default="")
    contact_id: str = field(repr=False, default="")
    sender: str = field(repr=False, default="")
    display_name: str = field(repr=False, default="")
    text: str = field(repr=False, default="")
    tags: tuple[str, ...] = field(repr=False, default=())

    @classmethod
    def parse(cls, bird: Mapping[str, Any]) -> BirdMessage:
        """Read the `bird` object; keys are compared without case, absent values are left out."""
        lower = {str(name).lower(): value for name, value in bird.items()}

        def text(name: str) -> str:
            value = lower.get(name)
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                return ""
            return "" if is_absent(value) else str(value)

        tags = lower.get("tags")
        if isinstance(tags, str):
            tags = tags.split(",")
        return cls(
            channel=channel_named(text("channel")),
            message_id=text("messageid").strip(),
            conversation_id=text("conversationid").strip(),
            contact_id=text("contactid").strip(),
            sender=text("sender").strip(),
            display_name=text("displayname").strip(),
            text=text("text"),
            tags=tuple(
                str(tag).strip()
                for tag in (tags if isinstance(tags, list) else ())
                if isinstance(tag, (str, int)) and not is_absent(tag)
            ),
        )

    def fields(self, object_name: ObjectName) -> dict[str, str]:
        """The fields that this message fills on a Lead or a Case, each within its length."""
        filled = self._lead() if object_name == "Lead" else self._case()
        return {name: cut(value, LENGTHS[name]) for name, value in filled.items() if value}

    def _lead(self) -> dict[str, str]:
        first, last = self._name()
        return {
            "FirstName": first,
            "LastName": last,
            "Phone": self.phone,
            "Email": self.email,
            "LeadSource": self.channel.label,
            "Description": self.text,
        }

    def _case(self) -> dict[str, str]:
        first, last = self._name()
        words = " ".join(self.text.split())
        subject = self.channel.label
        if words:
            subject += ": " + (cut(words, _SUBJECT_WORDS - 1) + "…" if _long(words) else words)
        return {
            "SuppliedName": f"{first} {last}".strip(),
            "SuppliedPhone": self.phone,
            "SuppliedEmail": self.email,
            "Origin": self.channel.label,
            "Subject": subject,
            "Description": self.text,
        }

    @property
    def phone(self) -> str:
        """The sender as an E.164 number, where the channel's senders are phones; else empty."""
        if self.channel.sender != "phone":
            return ""
        return as_e164(self.sender)

    @property
    def email(self) -> str:
        """The sender, where it is an e-mail address."""
        return self.sender if _EMAIL.fullmatch(self.sender) else ""

    def _name(self) -> tuple[str, str]:
        """First and last name. Never an empty last name: it falls back on the sender.

        A profile name without a letter (an emoji, a quote) is no name. Where the script puts the
        family name first (Chinese, Japanese, Korean), the first word is the last name.
        """
        name = " ".join(self.display_name.strip("\"'“”„«»‘’`* ").split())
        if not any(unicodedata.category(c).startswith("L") for c in name):
            fallback = (
                self.phone or self.sender or self.contact_id or f"{self.channel.label} contact"
            )
            return "", fallback
        first, _, rest = name.partition(" ")
        if not rest:
            return "", name
        if unicodedata.name(first[0], "").startswith(_FAMILY_NAME_FIRST):
            return rest, first
        return first, rest


def as_e164(sender: str) -> str:
    """A phone number in E.164 form (`+` and 7 to 15 digits), or empty if it is none.

    Bird gives numbers in international form, with or without the plus. An alphanumeric sender or a
    short code is no phone number of a person.
    """
    plain = _PHONE_PUNCTUATION.sub("", sender)
    digits = plain.removeprefix("+")
    if digits == plain and plain.startswith("00"):
        digits = plain[2:]
    if digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15 and digits[0] != "0":
        return "+" + digits
    return ""


def cut(text: str, length: int) -> str:
    """The beginning of a text, at most `length` UTF-16 code units, never half a surrogate pair."""
    if len(text) * 2 <= length:
        return text
    units = text.encode("utf-16-le")
    if len(units) <= length * 2:
        return text
    return units[: length * 2].decode("utf-16-le", "ignore")


def _long(words: str) -> bool:
    return len(words) > _SUBJECT_WORDS
