"""Phone numbers and e-mail addresses: what is one, in the form that Salesforce takes.

Nothing is taken for a phone number because of its digits alone: ids of Telegram, Messenger and
Instagram look like one. Why no library of numbering plans: docs/adr/0010.
"""

from __future__ import annotations

import re

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
