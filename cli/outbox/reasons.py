"""Why a record waits or was refused: what its code means for whoever looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from bridge.delivery.timelines import NO_RECORD, NOT_VISIBLE
from bridge.delivery.verdict import NO_RIGHT, NO_RULE
from bridge.errors import NoSuchRecord, NotSetUp
from bridge.salesforce.error_codes import MEANINGS, Kind


class Reason(StrEnum):
    """What a record waits for."""

    DOWN = "down"
    """Salesforce: it is delivered by itself."""
    LIMIT = "limit"
    BUSY = "busy"
    """Another process, for seconds."""
    PERSON = "person"
    """Somebody who changes the org or the connection."""
    RECORD = "record"
    """The record that an update is for."""
    TURN = "turn"
    """Its turn: it was never tried."""


NEEDS_A_PERSON = frozenset(
    [NO_RIGHT, NO_RULE, NOT_VISIBLE, NotSetUp.code]
    + [one.code for one in NotSetUp.__subclasses__()]
    + [code for code, one in MEANINGS.items() if one.kind is Kind.NOT_SET_UP]
)
"""Codes of what no waiting helps against."""

NO_RESPONSE = frozenset({"UNREACHABLE", "NO_ANSWER", "CIRCUIT_OPEN", "NO_TIME", "TOKEN_PENDING"})
"""Codes of ours where Salesforce did not respond, or not in time."""

CREDENTIALS = frozenset(
    {"NOT_CONNECTED", "CREDENTIALS_REVOKED", "CREDENTIALS_LOST", "FRESH_SESSION_REFUSED"}
)

RENEWED = CREDENTIALS - {"FRESH_SESSION_REFUSED"}
"""Codes that a new access token ends."""

_BUSY = frozenset({"KEY_TAKEN", "BUSY"})

_WORDS = {
    "NOT_CONNECTED": "not connected to Salesforce",
    "CREDENTIALS_REVOKED": "Salesforce no longer accepts the credentials",
    "CREDENTIALS_LOST": "a rotated refresh token was lost",
    "FRESH_SESSION_REFUSED": "Salesforce refuses tokens that it issued a moment ago",
    "KEY_FIELD_MISSING": "the key field is missing or hidden",
    NO_RIGHT: "the integration user may not create such records",
    NO_RULE: "the assignment rule of the parameters does not exist",
    NOT_VISIBLE: "the integration user does not see all records",
    "API_DISABLED_FOR_ORG": "the org's API is switched off",
    "STORAGE_LIMIT_EXCEEDED": "the org's storage is full",
    "ORG_IN_MAINTENANCE": "the org is in maintenance",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "a validation rule",
    "REQUIRED_FIELD_MISSING": "a required field is missing",
    "STRING_TOO_LONG": "a value is too long",
    "DUPLICATES_DETECTED": "a duplicate rule",
    "DUPLICATE_VALUE": "a unique field has this value already",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": "a value outside a picklist",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "a trigger or flow of the org",
    "INVALID_FIELD": "a field that does not exist or is hidden",
    "NOT_DELIVERED": "not delivered: received too often",
    "UNREADABLE": "not written by this bundle",
    NoSuchRecord.code: "no record has the key of the update",
    NO_RECORD: "there is no record to log it on",
}


def reason_of(code: str) -> Reason:
    """What a record with this code waits for; a code that is not listed means trouble."""
    if not code:
        return Reason.TURN
    if code in NEEDS_A_PERSON:
        return Reason.PERSON
    if code == NoSuchRecord.code:
        return Reason.RECORD
    kind = MEANINGS[code].kind if code in MEANINGS else Kind.UNAVAILABLE
    if kind is Kind.LIMIT:
        return Reason.LIMIT
    if kind is Kind.LOCKED or code in _BUSY:
        return Reason.BUSY
    return Reason.DOWN


def words_for(code: str) -> str:
    """The code in a few words; empty where there are none."""
    if code in NO_RESPONSE:
        return "Salesforce unreachable"
    return _WORDS.get(code, "")


def why(code: str, fields: Sequence[str] = ()) -> str:
    """`a validation rule (FIELD_CUSTOM_VALIDATION_EXCEPTION: Phone)`"""
    named = f"{code}: {', '.join(fields)}" if fields else code
    words = words_for(code)
    return f"{words} ({named})" if words else named


def who_acts(code: str) -> str:
    """Who can end a refusal."""
    hint = MEANINGS[code].hint if code in MEANINGS else ""
    return "the flow's author" if hint.startswith("In the flow: ") else "the administrator"
