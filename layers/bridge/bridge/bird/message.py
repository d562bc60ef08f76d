"""What Bird tells us of a message, and what a Lead or a Case gets from it.

Explicit fields always win; what is missing is filled from here, as the table of channels says
(`channels.json`), cut to the field's length in UTF-16 code units (Salesforce's characters), and
never invented.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bridge.bird.channels import LENGTHS as LENGTHS
from bridge.bird.channels import UNKNOWN, Channel, SenderKind, channel_named
from bridge.records import ObjectName

_UNRESOLVED = re.compile(r"\s*(?:\{\{(?:(?!\}\}).)*\}\}\s*)+", re.DOTALL)
_EMAIL = re.compile(r"[^@\s<>]{1,64}@[^@\s<>]+\.[^@\s<>]+")
_PHONE_PUNCTUATION = re.compile(r"[\s().\-/\u00a0\u2010-\u2015\u200e\u200f\u202a-\u202e]")
_SCHEME = re.compile(r"[a-z]{2,10}:", re.IGNORECASE)
_FAMILY_NAME_FIRST = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "HANGUL")
_PICTURES = ("So", "Sk", "Sm", "Cf", "Co", "Cn", "Cs")
_ORNAMENTS = frozenset("\"'“”„«»‘’‚‹›`´*_~^|•·…!?,;:=+<>[]{}/\\#@&-–—")
"""Marks that people put around their names, and that belong to no name at its ends."""
_APOSTROPHE_FIRST = r"(?i)['’][a-z](?:$|[ -])"
"""'t Hooft, 's-Gravesande: here the apostrophe is part of the name."""
_SUBJECT_WORDS = 80
_LONGEST_NAME = 1_000


def is_absent(value: Any) -> bool:
    """Whether a value means nothing: null, blank, or nothing but unresolved `{{variables}}`."""
    if value is None:
        return True
    return isinstance(value, str) and (
        not value.strip() or ("{{" in value and _UNRESOLVED.fullmatch(value) is not None)
    )


@dataclass(frozen=True, kw_only=True)
class BirdMessage:
    """Where a message came from. Everything personal is out of `repr`."""

    channel: Channel
    message_id: str = field(repr=False, default="")
    """As it came, an unresolved variable too: whoever makes a key of it has to notice."""
    conversation_id: str = field(repr=False, default="")
    contact_id: str = field(repr=False, default="")
    sender: str = field(repr=False, default="")
    sender_kind: SenderKind | None = None
    """What the sender is, where the message itself says so; else the channel does."""
    display_name: str = field(repr=False, default="")
    first_name: str = field(repr=False, default="")
    last_name: str = field(repr=False, default="")
    known_phone: str = field(repr=False, default="")
    """The contact's phone, where it is known beside the sender; likewise the e-mail address."""
    known_email: str = field(repr=False, default="")
    text: str = field(repr=False, default="")
    headline: str = field(repr=False, default="")
    """An e-mail's subject."""
    details: tuple[str, ...] = field(repr=False, default=())
    """What came besides the text, a line each: links to media, a place, a pressed button."""
    tags: tuple[str, ...] = field(repr=False, default=())
    object: str = ""
    """The object that the flow chose, as it wrote it; empty: the channel's."""

    @classmethod
    def parse(cls, bird: Mapping[str, Any]) -> BirdMessage:
        """Read the `bird` object; keys are compared without case, absent values are left out.

        A list stands for its first present value: in some of Bird's variables a phone number is a
        list, and a flow may name several variables of which one will be there.
        """
        lower = {str(name).lower(): value for name, value in bird.items()}

        def text(*names: str) -> str:
            for name in names:
                value = lower.get(name)
                if isinstance(value, str):
                    if not is_absent(value):
                        return value
                elif value is not None:
                    for part in _flat(value):
                        if said := _as_text(part):
                            return said
            return ""

        def identifier(*names: str) -> str:
            # Half a variable is no identifier: "id-{{x}}" would be everybody's.
            said = text(*names).strip()
            return "" if "{{" in said or "}}" in said else said

        tags = lower.get("tags")
        if isinstance(tags, str):
            tags = tags.split(",")
        message_id = lower.get("messageid")
        return cls(
            channel=channel_named(text("channel")),
            message_id="" if isinstance(message_id, bool) else _as_id(message_id),
            conversation_id=identifier("conversationid"),
            contact_id=identifier("contactid"),
            sender=identifier("sender"),
            display_name=text("displayname", "name").strip(),
            first_name=text("firstname").strip(),
            last_name=text("lastname").strip(),
            known_phone=identifier("phone"),
            known_email=identifier("email"),
            text=text("text"),
            headline=text("subject").strip(),
            details=tuple(f"Attachment: {said}" for said in _texts_of(lower.get("media"))),
            tags=tuple(said.strip() for said in _texts_of(tags if isinstance(tags, list) else ())),
            object=text("object").strip(),
        )

    def fields(self, object_name: ObjectName) -> dict[str, Any]:
        """The fields that this message fills on a Lead or a Case, each within its length."""
        filled: dict[str, Any] = {}
        for name, fill in self.channel.fills[object_name].items():
            if value := SOURCES[fill.source](self):
                filled[name] = cut(value, fill.length)
        filled.update(self.channel.values.get(object_name, {}))
        return filled

    @property
    def description(self) -> str:
        """Everything that the customer sent, as they sent it."""
        if not (self.headline or self.details):
            return self.text
        return "\n".join(part for part in (self.headline, self.text, *self.details) if part)

    @property
    def whole_name(self) -> str:
        """The name in one piece, in the order of its script."""
        first, last = self.name
        if not first:
            return last
        return f"{last} {first}" if _family_first(last) else f"{first} {last}"

    @property
    def subject(self) -> str:
        """The label and the first words: of the subject, the text, or what else came."""
        details = (detail.split(": http")[0] for detail in self.details)
        for candidate in (self.headline, self.text, *details):
            words = " ".join(without_controls(without_variables(candidate)).split())
            if words:
                if len(words) > _SUBJECT_WORDS:
                    words = cut(words, _SUBJECT_WORDS - 1).rstrip() + "…"
                return f"{self.channel.label}: {words}"
        return self.channel.label

    @property
    def phone(self) -> str:
        """The customer's phone, if known: the sender as an E.164 number where senders are phones.

        On a channel that nobody named, only a sender with a plus is taken for a phone number.
        """
        if self.known_phone:
            if number := as_e164(self.known_phone):
                return number
            if any(c.isdigit() for c in self.known_phone):
                return self.known_phone
        kind = self.sender_kind or self.channel.sender
        guessed = self.channel.name == UNKNOWN and self.sender.startswith("+")
        return as_e164(self.sender) if kind == "phone" or guessed else ""

    @property
    def email(self) -> str:
        """The customer's e-mail address, if known: the sender, where it is one."""
        for said in (self.known_email, self.sender):
            # Mail programs write `Jane Roe <jane@example.com>` too (RFC 5322).
            address = said.rpartition("<")[2].removesuffix(">").removeprefix("mailto:")
            # A cut address would be another one.
            if len(address) <= LENGTHS["Email"] and _EMAIL.fullmatch(address):
                return address
        return ""

    @cached_property
    def name(self) -> tuple[str, str]:
        """First and last name. Never an empty last name: it falls back on the sender.

        A name without a letter (an emoji, a quote, a number) is no name. Where the script puts the
        family name first (Chinese, Japanese, Korean), the first word is the last name.
        """
        if last := as_name(self.last_name):
            return as_name(self.first_name), last
        name = as_name(self.display_name) or as_name(self.first_name)
        if not name:
            for fallback in (self.phone, self.sender, self.contact_id):
                if said := without_controls(without_variables(fallback)).strip():
                    return "", said
            return "", f"{self.channel.label} contact"
        first, _, rest = name.partition(" ")
        if not rest:
            return "", name
        return (rest, first) if _family_first(first) else (first, rest)


SOURCES: dict[str, Callable[[BirdMessage], str]] = {
    "channel": lambda message: message.channel.name,
    "contactId": lambda message: message.contact_id,
    "conversationId": lambda message: message.conversation_id,
    "description": lambda message: message.description,
    "displayName": lambda message: as_name(message.display_name),
    "email": lambda message: message.email,
    "firstName": lambda message: message.name[0],
    "label": lambda message: message.channel.label,
    "lastName": lambda message: message.name[1],
    "messageId": lambda message: without_variables(message.message_id),
    "name": lambda message: message.whole_name,
    "phone": lambda message: message.phone,
    "sender": lambda message: message.sender,
    "subject": lambda message: message.subject,
    # A semicolon is what a multi-select picklist separates by.
    "tags": lambda message: ";".join(without_variables(tag) for tag in message.tags),
    "text": lambda message: message.text,
}
"""What a field may be filled with, under the names that the table of channels uses."""


def as_name(text: str) -> str:
    """A name without what people put around it; empty if no letter is left.

    Emoji go wherever a word begins or ends with them, quotes and the like at the name's ends only:
    the `&` of `Malek & Sons` is part of it.
    """
    if not text:
        return ""
    words = text.split()
    if "".join(words).isalpha():
        return " ".join(words)  # most names
    words = without_controls(without_variables(text)).split()
    name = " ".join(bare for word in words if (bare := _bare(word, _is_emoji)))
    name = _bare(name, _is_ornament)
    return name if any(c.isalpha() for c in name) else ""


def _bare(text: str, is_mark: Callable[[str], bool]) -> str:
    """The text without such marks at its ends."""
    start, end = 0, len(text)
    if not re.match(_APOSTROPHE_FIRST, text):
        while start < end and is_mark(text[start]):
            start += 1
    while end > start and is_mark(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_emoji(character: str) -> bool:
    """Pictures, what joins them, and what is invisible; all beyond Latin-1."""
    return character > "\xff" and (
        character in "\ufe0e\ufe0f\u20e3" or unicodedata.category(character) in _PICTURES
    )


def _is_ornament(character: str) -> bool:
    return character.isspace() or character in _ORNAMENTS or _is_emoji(character)


def _family_first(word: str) -> bool:
    return bool(word) and unicodedata.name(word[0], "").startswith(_FAMILY_NAME_FIRST)


def without_variables(text: str) -> str:
    """A text without unresolved `{{variables}}`, and without the braces of cut ones."""
    if "{{" not in text and "}}" not in text:
        return text
    kept, at = [], 0
    while (start := text.find("{{", at)) >= 0 and (end := text.find("}}", start)) >= 0:
        kept.append(text[at:start])
        at = end + 2
    text = "".join(kept) + text[at:]
    while "{{" in text or "}}" in text:
        text = text.replace("{{", "").replace("}}", "")
    return text.strip()


def without_controls(text: str) -> str:
    """A text for one line: what is no character (U+0000 …) becomes a space."""
    if text.isprintable():
        return text
    return "".join(" " if c < " " or c == "\x7f" else c for c in text)


def as_e164(sender: str) -> str:
    """A phone number in E.164 form (`+` and 7 to 15 digits), or empty if it is none.

    Bird gives numbers in international form, with or without the plus. An alphanumeric sender or a
    short code is no phone number of a person. Why no library of numbering plans: docs/adr/0010.
    """
    if _is_number(bare := sender.removeprefix("+")):
        return "+" + bare  # most senders
    plain = _SCHEME.sub("", sender, count=1).strip()
    international = plain.lstrip("\u200e\u202a ").startswith(("+", "00"))
    if international:
        plain = plain.replace("(0)", "")
    plain = _PHONE_PUNCTUATION.sub("", plain)
    digits = plain.removeprefix("+")
    if digits == plain and plain.startswith("00"):
        digits = plain[2:]
    return "+" + digits if _is_number(digits) else ""


def _is_number(digits: str) -> bool:
    plain = digits.isascii() and digits.isdigit()
    return plain and 7 <= len(digits) <= 15 and digits[0] != "0"


def cut(text: str, length: int) -> str:
    """The beginning of a text, at most `length` UTF-16 code units, never half a surrogate pair."""
    if len(text) * 2 <= length:
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= length * 2:
        return text
    return units[: length * 2].decode("utf-16-le", "ignore")


def _flat(value: Any) -> Iterator[Any]:
    """A value, or the values of a list, however it is nested."""
    if isinstance(value, list):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def _as_text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a phone number that went through a spreadsheet's arithmetic
    return "" if is_absent(value) else str(value)


def _as_id(value: Any) -> str:
    """An id as it came; of a list the first that is no variable."""
    if isinstance(value, str):
        return value.strip()
    found = [str(part).strip() for part in _flat(value) if isinstance(part, (str, int, float))]
    resolved = [part for part in found if part and "{{" not in part]
    return (resolved or found or [""])[0]


def _texts_of(value: Any) -> Iterator[str]:
    for part in _flat(value):
        if isinstance(part, dict):
            part = part.get("url") or part.get("mediaUrl")
        if said := _as_text(part):
            yield said
