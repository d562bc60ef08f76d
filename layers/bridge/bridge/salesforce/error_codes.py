"""Salesforce's error codes: what each means for the record, and who can mend it, and how.

The `errorCode` decides, never the HTTP status alone and never the words of the message, which come
in the user's language. The table is `error_codes.json` beside this file; codes that are not in it
are judged by `meaning_of`.

Sources: Salesforce's REST API guide (status codes and error responses), SOAP API guide (core data
types: StatusCode, ExceptionCode).
"""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import NamedTuple


class Kind(Enum):
    """What an error code means for the record that was sent."""

    REFUSED = "this record, as it is, will not be taken"
    DUPLICATE_RULE = "a duplicate rule matched"
    DUPLICATE_VALUE = "a unique field has this value already: perhaps our own key"
    SESSION = "the access token is not accepted"
    LOCKED = "try again in seconds"
    UNAVAILABLE = "try again later"
    LIMIT = "a limit is spent: try again much later"
    NOT_SET_UP = "a person has to change the org or the connection"
    TRIGGER = "an org's trigger or flow failed: a refusal if the record was alone"


class Meaning(NamedTuple):
    """One code's kind, and a hint for the person who can do something about it."""

    kind: Kind
    hint: str = ""


MEANINGS = {
    code: Meaning(Kind[kind], hint)
    for kind, some in json.loads(
        Path(__file__).with_name("error_codes.json").read_text(encoding="utf-8")
    ).items()
    for code, hint in some.items()
}

_UNLISTED_REFUSAL = (
    "Salesforce administrator: look the error code up in Salesforce's documentation."
)
_UNLISTED_TROUBLE = "Salesforce answered with an error it did not name."


def meaning_of(code: str, status: int) -> Meaning:
    """What a code means; for one that is not listed, the HTTP status is all there is to go by."""
    listed = MEANINGS.get(code)
    if listed is not None:
        return listed
    if status == 401:
        return Meaning(Kind.SESSION)
    if status >= 500 or status in (408, 420, 425, 429) or not code:
        return Meaning(Kind.UNAVAILABLE, _UNLISTED_TROUBLE)
    return Meaning(Kind.REFUSED, _UNLISTED_REFUSAL)
