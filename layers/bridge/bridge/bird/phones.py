"""Phone numbers and e-mail addresses: what is one, in the form that Salesforce takes.

Nothing is taken for a phone number because of its digits alone: ids of Telegram, Messenger and
Instagram look like one. Why no library of numbering plans: docs/adr/0010.
"""

from __future__ import annotations

import re
from typing import Literal

# Not compiled: most senders need none of them, and a cold start would pay for all.
_PUNCTUATION = r"[\s().\-/\u00a0\u2010-\u2015\u200e\u200f\u202a-\u202e]"
_SCHEME = r"(?i)[a-z]{2,10}:"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,}"
_EMAIL = rf"{_ATOM}(?:\.{_ATOM})*@{_DOMAIN}"
_LONGEST_EMAIL = 80


def as_e164(sender: str) -> str:
    """A phone number in E.164 form (`+` and 7 to 15 digits), or empty if it is none.

    Bird gives numbers in international form, with or without the plus. An alphanumeric sender or a
    short code is no phone number of a person.
    """
    if _is_number(bare := sender.removeprefix("+")):
        return "+" + bare  # most senders
    plain = re.sub(_SCHEME, "", sender, count=1).strip()
    if plain.lstrip("\u200e\u202a ").startswith(("+", "00")):
        plain = plain.replace("(0)", "")
    plain = re.sub(_PUNCTUATION, "", plain)
    digits = plain.removeprefix("+")
    if digits == plain and plain.startswith("00"):
        digits = plain[2:]
    return "+" + digits if _is_number(digits) else ""


def _is_number(digits: str) -> bool:
    plain = digits.isascii() and digits.isdigit()
    return plain and 7 <= len(digits) <= 15 and digits[0] != "0"


def as_email(sender: str) -> str:
    """The address in `jane@example.com` or `Jane Roe <jane@example.com>` (RFC 5322), or empty.

    ASCII only, in a domain with a dot, and no longer than the field, since a cut address would be
    another one: what Salesforce refuses (INVALID_EMAIL_ADDRESS) is none here.
    """
    if "@" not in sender:
        return ""
    address = sender.rpartition("<")[2].strip().removesuffix(">").removeprefix("mailto:")
    return address if len(address) <= _LONGEST_EMAIL and re.fullmatch(_EMAIL, address) else ""


_TWO_DIGIT_COUNTRIES = (
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 "
    "65 66 81 82 84 86 90 91 92 93 94 95 98"
)
"""Country codes of two digits; 1 and 7 have one digit, all others three (ITU-T E.164, annex: List
of country codes)."""
_LEAST_NATIONAL = 6
"""Digits of a number without its country code that may be anybody's: fewer are an extension."""


def national(number: str) -> str:
    """An E.164 number without its country code."""
    digits = number.removeprefix("+")
    if digits[:1] in ("1", "7"):
        return digits[1:]
    return digits[2:] if digits[:2] in _TWO_DIGIT_COUNTRIES.split() else digits[3:]


def written_forms(number: str) -> list[str]:
    """The digits of an E.164 number in the forms in which people write it: with the country code,
    after `00` or alone, and without, after a trunk `0` or alone."""
    digits, rest = number.removeprefix("+"), national(number)
    forms = [digits, f"00{digits}"]
    if len(rest) >= _LEAST_NATIONAL:
        forms += [f"0{rest}", rest]
    return forms


def is_number(written: str, number: str) -> Literal["exact", "national"] | None:
    """Whether a number that somebody typed is this E.164 one; `national` where its country is not
    written, so that another country's may be meant. One with an extension is a whole company's."""
    if re.search(r"(?i)[a-z#;,]", re.sub(_SCHEME, "", written, count=1)):
        return None
    if as_e164(written) == number and written.lstrip("\u200e\u202a ").startswith(("+", "00")):
        return "exact"
    digits = re.sub(r"\D", "", re.sub(r"\(0\)", "", written))
    if written.lstrip("\u200e\u202a ").startswith("+"):
        return None
    if digits == number.removeprefix("+"):
        return "exact"
    rest = national(number)
    return "national" if len(rest) >= _LEAST_NATIONAL and digits in (rest, f"0{rest}") else None
