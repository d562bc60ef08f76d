"""A line of the record for each thing that a customer sent beside their words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from bridge.bird.message import Media
from bridge.bird.part import Part, Shows, of_type
from bridge.bird.texts import IN_BIRD

_CARD_MARKS = ("BEGIN:", "END:", "VERSION:", "PRODID:", "REV:", "UID:", "PHOTO", "N:")
_WORDS_FOR_A_PICTURE = "altText"
_LINKS = ("url", "URL", "link", "mediaUrl", "media_url", "href", "source_url")


class Content:
    """What is collected while a message is read."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.lines: list[str] = []
        self.links: list[str] = []
        self.files: list[Media] = []
        self.referral: dict[str, str] = {}
        self.headline = ""

    def title(self, *subjects: str) -> None:
        """Add a subject, each once; a second one stands among the words."""
        for subject in filter(None, subjects):
            if not self.headline:
                self.headline = subject
            elif subject != self.headline:
                self.say(subject)

    def say(self, *texts: str) -> None:
        """Add words of the customer, each once."""
        self.texts.extend(text for text in texts if text.strip() and text not in self.texts)

    def media(self, kind: str, part: Part, *names: str) -> None:
        """A file: its kind, its name, its link; captions are words."""
        self.say(part.words("caption"))
        link = part.text(*_LINKS)
        title = f"{kind} ({name})" if (name := joined(map(part.text, names))) else kind
        if link:
            self.links.append(link)
            file_name = part.text(*(name for name in names if name != _WORDS_FOR_A_PICTURE))
            self.files.append(Media(link, file_name, part.text("contentType", "mime_type")))
        self.lines.append(f"{title}: {link}" if link else title if name else f"{kind} (in Bird)")

    def place(self, part: Part, point: Part | None = None) -> None:
        """A place: name, address, coordinates, link, what there is of it. `point` holds the
        coordinates where they are apart."""
        point = part if point is None else point
        where = ", ".join(filter(None, (point.text("latitude"), point.text("longitude"))))
        words = [part.text(name) for name in ("label", "title", "name", "address")]
        radius = point.text("radius")
        words += [where, f"within {radius} m" if radius else "", part.text("url")]
        self.lines.append(f"Location: {joined(words) or IN_BIRD}")

    def tapped(self, *, label: str, description: str = "", handle: str = "") -> None:
        """A button or a row: its label as words, its second line, the sender's own handle."""
        self.say(label, description)
        if handle and handle not in (label, *self.texts):
            self.lines.append(f"Button: {handle}")

    def product(self, product: str, catalog: str) -> None:
        """A product that the customer asks about."""
        if product or catalog:
            self.lines.append("Product: " + in_catalog(product, catalog))
            self.referral |= {"productId": product, "catalogId": catalog}

    def ad(self, part: Part, more: Part) -> None:
        """The ad or link that brought the customer; `more` holds its ids."""
        source, url = part.text("source"), more.text("source_url")
        number, click = more.text("source_id"), more.text("tracking_id")
        title = part.text("title")
        words = [title, part.text("text"), url, more.text("media_url")]
        words += [f"source {number}" if number else "", f"click {click}" if click else ""]
        words += [part.text("group"), source if source.lower() != "ad" else ""]
        if line := joined(words):
            self.lines.append(f"Ad: {line}")
        self.referral |= {"adId": number, "adUrl": url, "clickId": click, "adTitle": title}

    def ordered(self, quantity: str, product: str, price: str, catalog: str) -> None:
        """An item of an order."""
        what = " × ".join(filter(None, (quantity, product)))
        self.lines.append("Order: " + in_catalog(f"{what} at {price}" if price else what, catalog))

    def contact_card(self, card: Part) -> None:
        """A card: name, organisation, every number and address, and what else its file holds."""
        name, org = card.part("name"), card.part("org")
        parts = map(name.text, ("prefix", "first_name", "middle_name", "last_name", "suffix"))
        whole = " ".join(filter(None, parts))
        formatted = name.text("formatted_name")
        words = [formatted, "" if set(whole.split()) <= set(formatted.split()) else whole]
        words += [org.text("company"), org.text("department"), org.text("title")]
        for kind, *keys in (
            ("phone_numbers", "phone_number"),
            ("emails", "email"),
            ("urls", "url"),
            ("addresses", "street", "zip", "city", "state", "country", "country_code"),
        ):
            for one in card.parts(kind):
                value = ", ".join(filter(None, map(one.text, keys)))
                label = one.text("type")
                words.append(f"{value} ({label})".strip() if label else value)
        words.append(card.text("birthday"))
        shown = joined(words)
        for line in re.sub(r"\r?\n[ \t]", "", card.words("vcard")).splitlines():
            value = line.strip().partition(":")[2].replace("\\", "").strip("; ") or line.strip()
            if not line.strip().upper().startswith(_CARD_MARKS) and value not in shown:
                shown = joined((shown, value.replace(";", " ")))
        self.lines.append(f"Contact card: {shown}" if shown else "Contact card")

    def finished(self, body: Part, shows: Shows, kind: str) -> dict[str, Any]:
        """The message's part of this, once all is read: at the end of the lines stands what nobody
        read, and where nothing can be shown at all, the type's name."""
        unread: dict[str, None] = {}
        for path, line in body.unread(shows):
            unread[path] = None
            self.lines.append(line)
        if not (self.texts or self.lines or self.headline):
            self.lines.append(of_type(kind))
        return {
            "text": "\n".join(self.texts),
            "headline": self.headline,
            "details": tuple(self.lines),
            "links": tuple(self.links),
            "media": tuple(self.files),
            "referral": {name: value for name, value in self.referral.items() if value},
            "unread": tuple(unread),
            "forwarded": True,
        }


def in_catalog(what: str, catalog: str) -> str:
    """A product with the catalogue it is in."""
    return f"{what} (catalogue {catalog})" if catalog else what


def joined(words: Iterable[str]) -> str:
    """The words that are there, each once."""
    return " · ".join(dict.fromkeys(word for word in words if word))


def money(cents: str, exponent: str, currency: str) -> str:
    """An amount in the smallest unit as people write it: 1250 and 2 are 12.50 (ISO 4217).

    The sign of the exponent is not documented; both mean so many decimals.
    """
    digits = exponent.lstrip("-")
    if cents.lstrip("-").isdigit() and digits.isdigit() and 0 < int(digits) < 10:
        places = int(digits)
        sign, cents = ("-", cents[1:]) if cents.startswith("-") else ("", cents)
        cents = cents.rjust(places + 1, "0")
        cents = f"{sign}{cents[:-places]}.{cents[-places:]}"
    return " ".join(filter(None, (cents, currency)))
