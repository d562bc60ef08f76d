"""What each channel means: its label, its object, and what its sender is. Data, not code.

The table is `channels.json` beside this file; a deployer edits it and deploys again. How a channel
is called differs between Bird's three generations (`facebook`, `messenger`; `whatsapp_sandbox`;
`whatsapp:1.0`), so names are compared by their letters and digits only, and by aliases.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from bridge.records import ObjectName

SenderKind = Literal["phone", "email", "id"]

UNKNOWN = "unknown"
"""The table's entry for a channel that it does not name."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One line of the table."""

    name: str
    label: str
    """What a person reads as LeadSource or Origin."""
    object: ObjectName
    """What a message of this channel becomes where nobody says otherwise."""
    sender: SenderKind
    """Whether the sender's identifier is a phone number, an e-mail address, or neither."""
    aliases: tuple[str, ...] = ()


@cache
def table() -> dict[str, Channel]:
    """The channels by their plain names and aliases."""
    path = Path(__file__).with_name("channels.json")
    entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    named: dict[str, Channel] = {}
    for name, entry in entries.items():
        channel = Channel(
            name=name,
            label=entry["label"],
            object=entry["object"],
            sender=entry["sender"],
            aliases=tuple(entry.get("aliases", ())),
        )
        for alias in (name, channel.label, *channel.aliases):
            named[_plain(alias)] = channel
    return named


def channel_named(name: str) -> Channel:
    """The channel of that name, whatever Bird's generation calls it; else the unknown one.

    `whatsapp:1.0`, `whatsapp_sandbox` and `whatsapp.inbound` are WhatsApp: what follows the first
    separator is tried without.
    """
    channels = table()
    plain = _plain(name)
    if plain not in channels:
        plain = _plain(re.split(r"[:._/-]", name.strip(), maxsplit=1)[0])
    return channels.get(plain, channels[UNKNOWN])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
