"""The timeline of a record: the tasks, comments, files and records that hang on it, oldest first.

On Salesforce's own pages they are the activity timeline and the related lists. The order is that of
their creation, so that the messages of a conversation read from top to bottom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.org.data.store import Record, Table
from sandbox.org.org import Org

# Objects whose pages say so when nothing hangs on a record.
EXPECTED = ("Lead", "Case", "Contact", "Account", "Opportunity")
# Which records hang on others, and by which field.
LINKS = (
    ("Task", "WhoId"),
    ("Task", "WhatId"),
    ("Event", "WhoId"),
    ("Event", "WhatId"),
    ("CaseComment", "ParentId"),
    ("ContentDocumentLink", "LinkedEntityId"),
    ("Case", "ParentId"),
    ("Case", "ContactId"),
)


@dataclass(frozen=True)
class Entry:
    """One thing on a timeline. `time` is in the org's form, `by` the name of who made it."""

    kind: str
    id: str
    title: str
    text: str
    time: str
    by: str
    note: str = ""


def read_timeline(org: Org, record: Record) -> list[Entry]:
    """What hangs on a record, newest last. Call it under the org's lock.

    A deleted record keeps what was deleted with it. A record that hangs on it twice is one entry.
    """
    found: dict[str, Entry] = {}
    for name, field in LINKS:
        for other in _linked(org.store[name], field, record):
            found[other["Id"]] = _entry(org, name, other)
    return sorted(found.values(), key=lambda entry: entry.time)


def _linked(table: Table, field: str, record: Record) -> Iterator[Record]:
    for record_id in table.linked(field, record["Id"]):
        yield table.live[record_id]
    if record.get("IsDeleted"):
        yield from (r for r in table.deleted.values() if r.get(field) == record["Id"])


def _entry(org: Org, name: str, record: Record) -> Entry:
    by = org.store["User"].live.get(record.get("CreatedById", ""), {}).get("Name", "")
    time = record["CreatedDate"]
    title, text, note, shown = record.get("Subject", ""), record.get("Description", ""), "", record
    if name == "Task" and not record.get("IsClosed"):
        note = f"{record.get('Status', '')}, owner {owner_name(org, record)}"
    elif name == "CaseComment":
        title, text = "", record.get("CommentBody", "")
        note = "shown to the customer" if record.get("IsPublished") else "internal"
    elif name == "Case":
        title, text = f"{record.get('CaseNumber', '')} {title}".strip(), ""
        note = record.get("Status", "")
    elif name == "ContentDocumentLink":
        shown = org.store["ContentDocument"].any(record["ContentDocumentId"]) or record
        title, text = _file_name(shown), ""
        note = f"{shown.get('ContentSize', 0):,} bytes"
    kind = {"CaseComment": "Comment", "ContentDocumentLink": "File"}.get(name, name)
    return Entry(kind, shown["Id"], title, text, time, by, note)


def owner_name(org: Org, record: Record) -> str:
    """The name of the user or queue that owns a record."""
    owner_id = record.get("OwnerId", "")
    owner = org.store["User"].live.get(owner_id) or org.store["Group"].live.get(owner_id, {})
    return str(owner.get("Name", ""))


def _file_name(document: Record) -> str:
    """The title with the extension, which most titles have already."""
    title, extension = document.get("Title", ""), document.get("FileExtension", "")
    if not extension or title.lower().endswith(f".{extension.lower()}"):
        return str(title)
    return f"{title}.{extension}"
