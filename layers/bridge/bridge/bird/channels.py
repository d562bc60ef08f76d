"""What each channel means: its label, its object, its senders, what it fills. Data, not code.

The table is `channels.json` beside this file; a deployer edits it and deploys again, and
`make check` says which line is wrong (docs/flows.md lists what may stand in it). How a channel
is called differs between Bird's three generations (`facebook`, `messenger`; `whatsapp_sandbox`;
`whatsapp:1.0`), so names are compared by their letters and digits only, and by aliases.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bridge.records import ObjectName

SenderKind = Literal["phone", "email", "id"]
TableObject = ObjectName | Literal["Task"]
"""What the table fills: a record, and the Task that logs a message on it."""

PATH = Path(__file__).with_name("channels.json")

UNKNOWN = "unknown"
"""The table's entry for a channel that it does not name."""

NONE = "none"
"""Of a record that no message was named for."""

ATTRIBUTES = "attributes."
"""How a source begins that is one of Bird's contact attributes: `attributes.company`."""

OBJECTS: tuple[ObjectName, ...] = ("Lead", "Case")
FILLED: tuple[TableObject, ...] = (*OBJECTS, "Task")
TASK = {"Subject": "subject", "Description": "description"}
"""What fills a Task where the table does not say it."""

LENGTHS = {
    "LastName": 80,
    "FirstName": 40,
    "MiddleName": 40,
    "Company": 255,
    "Title": 128,
    "Phone": 40,
    "MobilePhone": 40,
    "Fax": 40,
    "Email": 80,
    "LeadSource": 255,
    "Description": 32_000,
    "SuppliedName": 80,
    "SuppliedPhone": 40,
    "SuppliedEmail": 80,
    "SuppliedCompany": 80,
    "Origin": 255,
    "Subject": 255,
}
"""Salesforce's lengths of the standard fields that are filled (Object Reference: Lead, Case, Task),
in UTF-16 code units. Any other field is taken to be a text of 255."""


class Fill(NamedTuple):
    """Where a field's value comes from, and how long it may be (UTF-16 code units)."""

    source: str
    length: int


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One entry of the table."""

    name: str
    label: str
    """What a person reads as LeadSource or Origin."""
    object: ObjectName
    """What a message of this channel becomes where nobody says otherwise."""
    sender: SenderKind
    """Whether the sender's identifier is a phone number, an e-mail address, or neither."""
    aliases: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()
    """Texts in upper case that are no request when they come alone, as STOP in an SMS."""
    chat: bool = True
    """Whether all messages of one sender are one conversation where Bird names none: a mail or a
    call has nothing to do with the one before."""
    conversations: bool = True
    """Whether messages of a conversation are logged on one record."""
    fills: Mapping[TableObject, Mapping[str, Fill]] = field(
        default_factory=dict, repr=False, compare=False
    )
    """For each object, which fields a message fills, and with what."""
    values: Mapping[TableObject, Mapping[str, Any]] = field(
        default_factory=dict, repr=False, compare=False
    )
    """For each object, fields that always get the same value on this channel."""

    @property
    def attributes(self) -> frozenset[str]:
        """The contact attributes that a field of a Lead or a Case is filled with, in lower case."""
        sources = (fill.source for name in OBJECTS for fill in self.fills.get(name, {}).values())
        return frozenset(
            one.removeprefix(ATTRIBUTES).lower() for one in sources if one.startswith(ATTRIBUTES)
        )


@cache
def table() -> dict[str, Channel]:
    """The channels by their plain names and aliases."""
    return read_table(json.loads(PATH.read_text(encoding="utf-8")))


def read_table(entries: Mapping[str, Any]) -> dict[str, Channel]:
    """The table that a parsed file says. It is `make check` that explains a faulty one; here a
    fault is a KeyError or a TypeError."""
    fields = {"Task": TASK, **entries["fields"]}
    every = _fills(fields, {})
    named: dict[str, Channel] = {}
    for name, entry in entries["channels"].items():
        own = entry.get("fields")
        channel = Channel(
            name=name,
            label=entry["label"],
            object=entry["object"],
            sender=entry["sender"],
            aliases=tuple(entry.get("aliases", ())),
            ignored=frozenset(text.upper() for text in entry.get("ignore", ())),
            chat=entry.get("chat", True),
            conversations=entry.get("conversations", True),
            fills=_fills(fields, own) if own else every,
            values=entry.get("values") or {},
        )
        for alias in (name, channel.label, *channel.aliases):
            # A label may have no ASCII letter: nobody is found by it, or whoever names no channel.
            if key := plain(alias):
                named[key] = channel
    return named


def channel_named(name: str) -> Channel:
    """The channel of that name, whatever Bird's generation calls it; else the unknown one.

    `whatsapp:1.0`, `whatsapp_sandbox` and `whatsapp.inbound` are WhatsApp: what follows the first
    separator is tried without.
    """
    channels = table()
    key = plain(name)
    if key not in channels:
        key = plain(re.split(r"[\s:._/-]", name.strip(), maxsplit=1)[0])
    return channels.get(key, channels[UNKNOWN])


def channel_of_key(key: str) -> str:
    """The channel that an identifier's key begins with, as `telegram:77`, `line-12`, `facebookid-5`
    and `whatsappbsuid`; empty if none."""
    if plain(key) == "phonenumber":
        return ""  # of several channels
    names = sorted(table(), key=len, reverse=True)
    return next((name for name in names if len(name) > 2 and plain(key).startswith(name)), "")


def reported(name: str) -> str:
    """A channel's name as it may stand in a log and be a metric's dimension: one of the table,
    `none`, or `other` for anything else. What waited in a queue may have been written by anybody.
    """
    if name == NONE or any(name == channel.name for channel in table().values()):
        return name
    return "other"


def plain(name: str) -> str:
    """A name as it is compared: its ASCII letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _fills(
    fields: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[TableObject, Mapping[str, Fill]]:
    """The common fields with a channel's own ones over them; null takes one away."""
    merged = {name: {**fields[name], **(own.get(name) or {})} for name in FILLED}
    return {
        name: {field: _fill(field, how) for field, how in some.items() if how is not None}
        for name, some in merged.items()
    }


def _fill(name: str, how: Any) -> Fill:
    length = LENGTHS.get(name, 255)
    if isinstance(how, str):
        return Fill(how, length)
    return Fill(how["from"], how.get("length", length))
