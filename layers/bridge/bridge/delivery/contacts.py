"""The Contact that a sender is: found by phone number or e-mail address, for a new Case.

Salesforce's search finds a number however it is written, and others that end alike, so what it
finds is compared here. It is told by one Contact only: several are nobody. The search may be slow,
may not be allowed, and lags behind by seconds or minutes: nothing of that keeps a Case back. Source
of the rules: ADR 0084; SOQL and SOSL Reference (SOSL, IN SearchGroup).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from bridge.bird.phones import as_e164, is_number, written_forms
from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.delivery.batch import Item, runs
from bridge.delivery.calls import Calls
from bridge.errors import Refused, SalesforceProblem
from bridge.salesforce.client import Row, soql_text, sosl_text
from bridge.salesforce.session import read_id
from bridge.settings import Settings
from bridge.telemetry import Telemetry

SEARCH_SECONDS = 1.5
"""How long all of it may take."""

SENDERS = 20
"""Of one search."""

MOST_ROWS = 200
PHONES: tuple[str, ...] = ("Phone", "MobilePhone", "HomePhone", "OtherPhone")
"""Of a Contact. Not the fax, and not the assistant's."""
LEAST_PHONES: tuple[str, ...] = ("Phone", "MobilePhone")
"""Where the integration user may not see them all."""


@dataclass(frozen=True)
class Sender:
    """Who wrote."""

    phone: str = field(repr=False)
    email: str = field(repr=False)


@dataclass(frozen=True)
class Match:
    """The records that a sender may be; with exactly one, its id."""

    count: int = 0
    record_id: str | None = None
    account_id: str | None = None

    @property
    def link(self) -> dict[str, str]:
        """The fields of a Case that lead to the Contact."""
        fields = {"ContactId": self.record_id, "AccountId": self.account_id}
        return {name: value for name, value in fields.items() if value}


NOBODY = Match()


def sender_of(message: Message) -> Sender | None:
    """Whom to look for; None where nothing is known or the flow names the Contact itself."""
    named = any(name.lower() in ("contactid", "contact") for name in message.fields)
    phone = as_e164(message.phone)
    return None if named or not (phone or message.email) else Sender(phone, message.email)


class PhoneBook:
    """The search for phone numbers."""

    def __init__(self) -> None:
        self.fields = PHONES
        """What it may name of a Contact. An org that hides some is remembered."""

    def search(
        self,
        phones: Iterable[str],
        columns: str,
        calls: Calls,
        *,
        by: Deadline | None = None,
        also: str = "",
    ) -> list[Row]:
        """The Contacts with one of these numbers or one that ends alike, and what `also` names.

        Raises Refused, Unavailable, NotSetUp.
        """
        forms = dict.fromkeys(form for phone in phones for form in written_forms(phone))
        words = " OR ".join(map(sosl_text, forms))
        while True:
            contacts = f"Contact({columns}, {', '.join(self.fields)} LIMIT {MOST_ROWS})"
            sosl = f"FIND {{{words}}} IN PHONE FIELDS RETURNING {contacts}{also}"
            try:
                return calls.make(calls.salesforce.search, sosl, by=by)
            except Refused as problem:
                if problem.code != "INVALID_FIELD" or self.fields != PHONES:
                    raise
            self.fields = LEAST_PHONES


class Contacts:
    """Finds Contacts, with an org's names and the deployer's rules."""

    def __init__(self, *, settings: Settings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._book = PhoneBook()

    def match(self, messages: Iterable[Message], calls: Calls) -> list[Match]:
        """The Contacts that the senders of messages are, in their order."""
        senders = [sender_of(message) for message in messages]
        known = {sender for sender in senders if sender}
        found = self._match(known, calls) if known else {}
        return [found.get(sender, NOBODY) if sender else NOBODY for sender in senders]

    def link(self, items: Iterable[Item], calls: Calls) -> None:
        """Link new Cases to the Contacts that their senders are."""
        unlinked = [item for item in items if "ContactId" not in item.record.fields]
        matches = self.match((item.envelope.message for item in unlinked), calls)
        for item, match in zip(unlinked, matches, strict=True):
            if match.link:
                item.sent = item.record.with_derived(match.link)

    def _match(self, senders: Collection[Sender], calls: Calls) -> Mapping[Sender, Match]:
        """The Contacts of several. Those that could not be looked for are left out."""
        found: dict[Sender, Match] = {}
        ends = min(calls.deadline(), Deadline.after(SEARCH_SECONDS))
        try:
            for some in runs((one for one in senders if one.phone), most=SENDERS):
                phones = [one.phone for one in some]
                rows = self._book.search(phones, "Id, AccountId", calls, by=ends)
                found |= {one: one_of(rows, one.phone, self._book.fields) for one in some}
            nobody = (one for one in senders if one.email and not found.get(one, NOBODY).count)
            for some in runs(nobody if self._settings.match_email else (), most=SENDERS):
                rows = self._by_email({one.email for one in some}, calls, ends)
                for one in some:
                    same = (row for row in rows if str(row["Email"]).lower() == one.email.lower())
                    found[one] = only(list(same))
        except SalesforceProblem as problem:
            self._telemetry.warn("contact_not_searched", code=problem.code)
            self._telemetry.count("ContactSearchesFailed")
        return found

    def _by_email(self, emails: Iterable[str], calls: Calls, by: Deadline) -> list[Row]:
        soql = (
            "SELECT Id,AccountId,Email,IsDeleted FROM Contact WHERE Email IN "
            f"({','.join(map(soql_text, emails))}) LIMIT {MOST_ROWS}"
        )
        rows = calls.make(calls.salesforce.query, soql, by=by)
        return [row for row in rows if row.get("Email") and not row.get("IsDeleted")]


def one_of(rows: Iterable[Row], phone: str, fields: Collection[str]) -> Match:
    """The record among these that has a phone number. One whose country is written goes before
    those that have it in a national form."""
    exact, national = [], []
    for row in rows:
        kinds = {is_number(str(row[name]), phone) for name in fields if row.get(name)}
        if "exact" in kinds:
            exact.append(row)
        elif "national" in kinds:
            national.append(row)
    return only(exact or national)


def only(rows: list[Row]) -> Match:
    """The one record among these, or how many they are."""
    by_id = {record_id: row for row in rows if (record_id := read_id(row.get("Id")))}
    if len(by_id) != 1:
        return Match(len(by_id))
    ((record_id, row),) = by_id.items()
    return Match(1, record_id, read_id(row.get("AccountId")))
