"""A message of Bird's, whichever generation wrote it: what a person needs of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from bridge.bird.channels import LENGTHS, OBJECTS, UNKNOWN, Channel, SenderKind, channel_named
from bridge.bird.names import as_name, family_first, first_and_last
from bridge.bird.phones import as_e164, as_email
from bridge.bird.texts import (
    CUT,
    MISSING,
    as_text,
    cut,
    flat,
    is_absent,
    length_of,
    one_line,
    without_variables,
)

REFERRAL = ("adId", "adUrl", "adTitle", "clickId", "productId", "catalogId", "campaignId")
"""What brought the customer or what they ask about, by the names of the table of channels."""

FLOW_KEYS = (
    *("channel", "messageId", "conversationId", "contactId", "sender", "displayName", "name"),
    *("firstName", "lastName", "phone", "email", "text", "subject", "media", "tags", "object"),
    *("sentAt", "direction", "attributes", *REFERRAL),
)
"""The keys of `bird` that are read."""
KEYS = frozenset(map(str.lower, FLOW_KEYS))
FROM_US = frozenset({"sent", "outgoing", "outbound"})
"""How the generations call the direction of what our own side sent."""
_REFERRAL = frozenset(map(str.lower, REFERRAL))
_SUBJECT_WORDS = 80
_LEAST_TEXT = 1_000
"""Characters of the customer's own words that stay before the lines that follow them are cut."""


class Media(NamedTuple):
    """A file that came with a message: where it is, and its name and content type if they came."""

    link: str
    name: str = ""
    type: str = ""


_LISTS = frozenset({"media", "tags"})
_DIRECTIONS = FROM_US | {"", "received", "incoming", "inbound"}


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class BirdMessage:
    """What a customer sent, and where it came from. Nothing personal is in its `repr`."""

    channel: Channel
    called: str = ""
    """The channel as the body calls it, where the table does not know it."""
    message_id: str = ""
    """As it came, an unresolved variable too: whoever makes a key of it has to notice."""
    conversation_id: str = ""
    contact_id: str = ""
    sent_at: str = ""
    """When it was sent, RFC 3339."""
    last_message: str = ""
    """Of a body about a whole conversation: the id or the time of its last message."""
    from_us: bool = False
    """Whether our own side wrote it. The sender is the customer even then."""
    misread: tuple[str, ...] = ()
    """Keys whose values cannot be what they should be, so that they count as absent."""
    sender: str = ""
    sender_kind: SenderKind | None = None
    """What the sender is, where the message itself says so; else the channel does."""
    handles: tuple[str, ...] = ()
    """Further identifiers of the sender that are neither a phone number nor an address."""
    display_name: str = ""
    other_names: tuple[str, ...] = ()
    """Further display names, some of them empty."""
    first_name: str = ""
    last_name: str = ""
    known_phone: str = ""
    """The sender's phone, where the message gives it beside the sender; likewise the address."""
    known_email: str = ""
    headline: str = ""
    """A subject: of an e-mail, an MMS, an Apple message."""
    text: str = ""
    """The customer's own words, as typed."""
    details: tuple[str, ...] = ()
    """What came besides the text, a line each: links to media, a place, a pressed button."""
    links: tuple[str, ...] = ()
    media: tuple[Media, ...] = ()
    """The files that it has a link to, in their order."""
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Bird's contact attributes, by their names in lower case; of several values the first."""
    referral: Mapping[str, str] = field(default_factory=dict)
    """The ids and links of REFERRAL."""
    object: str = ""
    """The object that the flow chose, as it wrote it; empty: the channel's."""
    unread: tuple[str, ...] = ()
    """Paths of the keys that no reader knows; what stood there is among the details."""
    forwarded: bool = False
    """Whether it is a body of Bird's own, which ought to bring an id."""

    def __repr__(self) -> str:
        return f"BirdMessage(channel={self.channel.name!r})"

    @classmethod
    def parse(cls, bird: Mapping[str, Any]) -> BirdMessage:
        """Read the `bird` object; keys are compared without case, absent values are left out.

        A list stands for its first present value: in some of Bird's variables a phone number is a
        list, and a flow may name several variables of which one will be there.
        """
        lower = {str(name).lower(): value for name, value in bird.items()}
        if len(lower) != len(bird):  # "text" and an empty "Text": the one that is there counts
            lower |= {str(k).lower(): value for k, value in bird.items() if not is_absent(value)}

        def text(*names: str) -> str:
            for name in names:
                value = lower.get(name)
                if value is None:
                    continue
                for part in (value,) if isinstance(value, str) else flat(value):
                    if not is_absent(shown := as_text(part)):
                        return shown
            return ""

        def identifier(name: str) -> str:
            # Half a variable is no identifier: "id-{{x}}" would be everybody's.
            if name not in lower:
                return ""
            shown = text(name).strip()
            return "" if "{{" in shown or "}}" in shown or shown in MISSING else shown

        direction = text("direction").strip().lower()
        tags = lower.get("tags")
        if isinstance(tags, str):
            tags = tags.split(",")
        details, media = [], []
        nested = any(
            isinstance(value, (dict, bool, list)) and not (name in _LISTS and _are_texts(value))
            for name, value in lower.items()
        )
        for part in flat(lower.get("media")):
            title, link, name, kind = "Attachment", part, "", ""
            if isinstance(part, dict):
                link = part.get("url") or part.get("mediaUrl")
                kind = as_text(part.get("type") or part.get("contentType"))
                name = as_text(part.get("name") or part.get("filename"))
                name = "" if is_absent(name) else name
                title = f"Attachment ({name})" if name else title
            if not is_absent(link := as_text(link)):
                media.append(Media(link, name, kind))
                details.append(f"{title}: {link}")
            elif name:
                details.append(title)
        referral: dict[str, str] = {}
        if not _REFERRAL.isdisjoint(lower):
            referral = {name: value for name in REFERRAL if (value := text(name.lower()))}
        details += [f"{name}: {value}" for name, value in referral.items()]
        channel = channel_named(text("channel"))
        attributes = _attributes(lower.get("attributes"))
        unread: dict[str, None] = {}
        if nested or not KEYS.issuperset(lower) or "attributes" in lower:
            # A flow's own key, or one that is spelled wrongly: rare, and its words are kept; so is
            # what stands where a text is expected.
            from bridge.bird.beside import beside

            has_field = channel.attributes & attributes.keys()
            lines, paths = beside(bird, keys=KEYS, attributes=has_field)
            details += lines
            unread |= dict.fromkeys(paths)
        return cls(
            from_us=direction in FROM_US,
            misread=() if direction in _DIRECTIONS else ("direction",),
            channel=channel,
            called=identifier("channel"),
            message_id=_as_id(lower.get("messageid")),
            conversation_id=identifier("conversationid"),
            contact_id=identifier("contactid"),
            sent_at=identifier("sentat"),
            last_message=identifier("sentat"),
            sender=identifier("sender"),
            display_name=text("displayname", "name").strip(),
            other_names=(text("name").strip(),) if {"name", "displayname"} <= lower.keys() else (),
            first_name=text("firstname").strip(),
            last_name=text("lastname").strip(),
            known_phone=identifier("phone"),
            known_email=identifier("email"),
            text=text("text"),
            headline=text("subject").strip(),
            details=tuple(details),
            links=tuple(one.link for one in media),
            media=tuple(media),
            tags=tuple(
                as_text(tag).strip()
                for tag in (flat(tags) if isinstance(tags, list) else ())
                if not is_absent(as_text(tag))
            ),
            attributes=attributes,
            referral=referral,
            object=text("object").strip(),
            unread=tuple(unread),
        )

    def description(self, length: int) -> str:
        """Everything that the customer sent, as they sent it, and how to answer them.

        Of more than `length` UTF-16 units the customer's words are cut and the lines after them
        stay, unless that would leave next to nothing of the words.
        """
        tail = [*self.details, *self._name_lines(), *self._who()]
        parts = [part for part in (self.headline, self.text, *tail) if part]
        whole = parts[0] if len(parts) == 1 else "\n".join(parts)
        if length_of(whole) <= length:
            return whole
        room = length - sum(length_of(part) + 1 for part in (self.headline, *tail) if part)
        if room >= _LEAST_TEXT:
            parts[1 if self.headline else 0] = cut(self.text, room, mark=CUT)
            return "\n".join(parts)
        return cut(whole, length, mark=CUT)

    def unshown(self) -> dict[str, str]:
        """What a flow gave for fields of a record, and that `description` leaves to these: whoever
        adds the message to a record that is there has to show it."""
        if not (self.known_email or self.known_phone or self.tags or self.attributes):
            return {}  # most messages
        if self.forwarded or self.from_us:
            return {}  # whatever Bird knows of a contact comes with each message
        given = {"email": as_email(self.known_email)}
        if self._has_phone_field:
            given["phone"] = self.known_phone
        if any(
            how.source == "tags" for name in OBJECTS for how in self.channel.fills[name].values()
        ):
            given["tags"] = ", ".join(map(without_variables, self.tags))
        for name in sorted(self.channel.attributes & self.attributes.keys()):
            given[f"attributes.{name}"] = self.attributes[name]
        sender = (self.sender, as_e164(self.sender), as_email(self.sender))
        return {
            name: value
            for name, value in given.items()
            if value and (as_e164(value) or value) not in sender
        }

    @property
    def _has_phone_field(self) -> bool:
        """Whether a record's phone field takes the number."""
        return 0 < length_of(self.phone) <= LENGTHS["Phone"]

    def _who(self) -> Iterator[str]:
        """How to answer a customer where no phone or e-mail field says it."""
        if self.known_email and not as_email(self.known_email):
            yield f"E-mail: {self.known_email}"
        if self.known_phone and not self._has_phone_field:
            yield f"Phone: {self.known_phone}"
        if self.phone or self.email:
            return
        if handles := " · ".join(dict.fromkeys(filter(None, (self.sender, *self.handles)))):
            mail = (self.sender_kind or self.channel.sender) == "email"
            known = self.channel.name != UNKNOWN
            label = self.channel.label if known else self.called or self.channel.label
            yield f"{'E-mail' if mail else label}: {handles}"

    def _name_lines(self) -> Iterator[str]:
        """Names as they came, where the name fields do not hold all of their words."""
        plain = self.display_name in ("", self.whole_name) and len(self.display_name) <= 40
        if plain and not (self.other_names or self.first_name or self.last_name):
            return  # most names
        first, last = self.name
        fit = length_of(first) <= 40 and length_of(last) <= 80 and length_of(self.whole_name) <= 80
        numbers = f"{self.phone} {self.sender} {' '.join(self.handles)}"
        held = _words(self.email, numbers, *((first, last) if fit else ()))
        whole = f"{self.first_name} {self.last_name}".strip()
        for given in dict.fromkeys((self.display_name, *self.other_names, whole)):
            name = as_name(given) or given
            digits = "".join(filter(str.isdigit, name))
            if not any(map(str.isalpha, name)) and digits in numbers:
                continue
            if not is_absent(name) and not MISSING.issuperset(name.split()) and _words(name) - held:
                held |= _words(name)
                yield f"Name: {one_line(given)}"

    @property
    def whole_name(self) -> str:
        """The name in one piece, in the order of its script."""
        first, last = self.name
        if not first:
            return last
        return f"{last} {first}" if family_first(last) else f"{first} {last}"

    @property
    def subject(self) -> str:
        """The label and the first words: of the subject, the text, or what else came."""
        details = (detail.split(": http")[0] for detail in self.details)
        for candidate in (self.headline, self.text, *details):
            if words := one_line(candidate):
                if len(words) > _SUBJECT_WORDS:
                    words = cut(words, _SUBJECT_WORDS - 1).rstrip() + "…"
                return f"{self.channel.label}: {words}"
        return self.channel.label

    @cached_property
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

    @cached_property
    def email(self) -> str:
        """The customer's e-mail address, if known: the sender, where it is one."""
        return next(
            filter(None, map(as_email, (self.known_email, self.sender, self.display_name))), ""
        )

    @property
    def handle(self) -> str:
        """The first identifier that is neither the phone number nor the address."""
        known = self.phone == as_e164(self.sender) != "" or as_email(self.sender)
        return next(filter(None, ("" if known else self.sender, *self.handles)), "")

    @cached_property
    def name(self) -> tuple[str, str]:
        """First and last name. Never an empty last name: it falls back on the sender.

        A name without a letter (an emoji, a quote, a number) is no name.
        """
        if last := as_name(self.last_name):
            return as_name(self.first_name), last
        mail_name = self.sender if self.sender.endswith(">") else ""
        for candidate in (self.display_name, *self.other_names, self.first_name, mail_name):
            if name := as_name(candidate):
                return first_and_last(name)
        for fallback in (self.phone, self.email, self.sender, *self.handles, self.contact_id):
            if shown := one_line(fallback):
                return "", shown
        return "", f"{self.channel.label} contact"


def _words(*texts: str) -> set[str]:
    return set(re.findall(r"\w+", " ".join(texts).casefold()))


def _attributes(value: Any) -> dict[str, str]:
    """Contact attributes by their names in lower case; of a list the first that is there."""
    if not isinstance(value, Mapping):
        return {}
    found = {
        str(name).lower(): next((t for one in flat(v) if not is_absent(t := _plain(one))), "")
        for name, v in value.items()
    }
    return {name: text.strip() for name, text in found.items() if text}


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else as_text(value)


def _as_id(value: Any) -> str:
    """An id as it came; of a list the first that is no variable."""
    found = [
        text for part in flat(value) if (text := as_text(part).strip()) and text not in MISSING
    ]
    return next((text for text in found if "{{" not in text), found[0] if found else "")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
