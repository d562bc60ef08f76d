"""A mail that Bird tells of twice, without its text and with it, under one id (docs/adr/0048)."""

from __future__ import annotations

from bridge.bird.texts import CUT, MAIL_IDS, MAIL_IN_BIRD, cut
from bridge.delivery.calls import Calls
from bridge.records import Record

_LONGEST = 32_000


def brings_text(record: Record) -> bool:
    """Whether a record is a mail's with its text, and may be there without it."""
    text = record.fields.get("Description")
    return (
        record.key.startswith(MAIL_IDS)
        and "Description" in record.derived
        and isinstance(text, str)
        and MAIL_IN_BIRD not in text
    )


def lacks_text(record: Record) -> bool:
    """Whether a record is a mail's without its text, which may be logged by its other event."""
    text = record.fields.get("Description")
    return record.key.startswith(MAIL_IDS) and isinstance(text, str) and MAIL_IN_BIRD in text


def with_text(description: object, record: Record) -> str | None:
    """A Description that waits for its text, with it; None where it has one, or a person has taken
    the line out that waits."""
    lines = description.replace("\r\n", "\n").split("\n") if isinstance(description, str) else []
    if MAIL_IN_BIRD not in lines:
        return None
    at = lines.index(MAIL_IN_BIRD)
    text = str(record.fields["Description"]).split("\n")
    if text[0] in lines[:at]:
        del text[0]  # the subject
    after = [line for line in lines[at + 1 :] if line not in text]
    return cut("\n".join([*lines[:at], *text, *after]), _LONGEST, mark=CUT)


def add_text(record: Record, record_id: str, calls: Calls) -> None:
    """Give the record that is there the text of this one, if it brings one and that waits for it.

    Raises Refused: then the text has to be kept elsewhere; Unavailable, NotSetUp.
    """
    if not brings_text(record):
        return
    where = record.object, record_id
    text = with_text(calls.make(calls.salesforce.read_description, *where), record)
    if text is not None:
        calls.make(calls.salesforce.write_description, *where, text)
