"""The Contact or Lead that a customer is, with its owner and open cases.

Two calls: one search, and one composite for what the record shows. Contacts come first: a Lead with
the same number is the same person, or will be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.bird.phones import written_forms
from bridge.deadline import Deadline
from bridge.delivery.calls import Calls
from bridge.delivery.contacts import (
    LEAST_PHONES,
    MOST_ROWS,
    PHONES,
    Match,
    Sender,
    one_of,
    only,
)
from bridge.errors import Refused, Unavailable
from bridge.oauth.sessions import Sessions
from bridge.salesforce.client import Row, Salesforce, soql_text, sosl_text
from bridge.salesforce.composite import Part, PartResponse, query_part
from bridge.salesforce.responses import read_rows, unreadable
from bridge.untrusted import read_text

LEAD_PHONES = ("Phone", "MobilePhone")
MOST_CASES = 200
HIDDEN_HINT = (
    "Salesforce administrator: give the integration user Read on Contact, Account, Lead and Case, "
    "and on their phone and e-mail fields: run `make connect` (bird-salesforce setup-org does it), "
    "or deploy the folder salesforce/ and assign its permission set."
)


@dataclass(frozen=True, kw_only=True)
class Known:
    """One person."""

    object: str
    record_id: str
    owner_name: str = ""
    account_name: str = ""
    open_cases: int = 0
    open_case_id: str = ""
    """The newest open one's."""
    open_case_number: str = ""
    lead_status: str = ""


@dataclass(frozen=True)
class Several:
    """It may be any of so many."""

    count: int


@dataclass(frozen=True)
class Unknown:
    """Nobody has this number or address."""


class Customers:
    """Looks customers up."""

    def __init__(self, *, salesforce: Salesforce, sessions: Sessions) -> None:
        self._salesforce = salesforce
        self._sessions = sessions
        self._phones: tuple[str, ...] = PHONES
        """Of a Contact, what the search may name. An org that hides some is remembered."""

    def find(self, sender: Sender, *, deadline: Deadline) -> Known | Several | Unknown:
        """Whom a sender is. Raises Unavailable, NotSetUp."""
        calls = Calls(self._salesforce, self._sessions, until=deadline)
        found: tuple[tuple[str, Match], ...] = ()
        if sender.phone:
            rows = self._by_phone(sender.phone, calls)
            found = (
                ("Contact", one_of(_of(rows, "Contact"), sender.phone, self._phones)),
                ("Lead", one_of(_of(rows, "Lead"), sender.phone, LEAD_PHONES)),
            )
        if sender.email and not any(match.count for _, match in found):
            found = self._by_email(sender.email, calls)
        for name, match in found:
            if match.count > 1:
                return Several(match.count)
            if match.record_id is not None:
                return self._details(name, match.record_id, calls)
        return Unknown()

    def _by_phone(self, phone: str, calls: Calls) -> list[Row]:
        words = " OR ".join(sosl_text(form) for form in written_forms(phone))
        while True:
            sosl = (
                f"FIND {{{words}}} IN PHONE FIELDS RETURNING "
                f"Contact(Id, {', '.join(self._phones)} LIMIT {MOST_ROWS}), "
                f"Lead(Id, {', '.join(LEAD_PHONES)} WHERE IsConverted = false LIMIT {MOST_ROWS})"
            )
            try:
                return calls.make(self._salesforce.search, sosl)
            except Refused as problem:
                if problem.code != "INVALID_FIELD" or self._phones != PHONES:
                    raise _refused(problem) from problem
            self._phones = LEAST_PHONES

    def _by_email(self, email: str, calls: Calls) -> tuple[tuple[str, Match], ...]:
        where = f"WHERE Email = {soql_text(email)}"
        parts = [
            query_part("contacts", f"SELECT Id FROM Contact {where} LIMIT {MOST_ROWS}"),
            query_part(
                "leads", f"SELECT Id FROM Lead {where} AND IsConverted = false LIMIT {MOST_ROWS}"
            ),
        ]
        responses = self._send(parts, calls)
        return (
            ("Contact", only(_rows(responses, "contacts"))),
            ("Lead", only(_rows(responses, "leads"))),
        )

    def _details(self, name: str, record_id: str, calls: Calls) -> Known | Unknown:
        columns = "Name,Owner.Name,Account.Name" if name == "Contact" else "Owner.Name,Status"
        where = f"WHERE Id = {soql_text(record_id)}"
        parts = [query_part("person", f"SELECT {columns} FROM {name} {where}")]
        if name == "Contact":
            parts.append(
                query_part(
                    "cases",
                    f"SELECT Id,CaseNumber FROM Case WHERE ContactId = {soql_text(record_id)} "
                    f"AND IsClosed = false ORDER BY CreatedDate DESC LIMIT {MOST_CASES}",
                )
            )
        responses = self._send(parts, calls)
        people = _rows(responses, "person")
        if not people:
            return Unknown()  # deleted a moment ago: the index does not know it yet
        person = people[0]
        cases = _rows(responses, "cases") if name == "Contact" else []
        account = _name(person.get("Account"))  # a person account has the person's own name
        return Known(
            object=name,
            record_id=record_id,
            owner_name=_name(person.get("Owner")),
            account_name=account if account != read_text(person, "Name") else "",
            lead_status=read_text(person, "Status"),
            open_cases=len(cases),
            open_case_id=read_text(cases[0], "Id") if cases else "",
            open_case_number=read_text(cases[0], "CaseNumber") if cases else "",
        )

    def _send(self, parts: list[Part], calls: Calls) -> Mapping[str, PartResponse]:
        try:
            return calls.make(self._salesforce.send_parts, parts)
        except Refused as problem:
            raise _refused(problem) from problem


def _refused(problem: Refused) -> Unavailable:
    """A search that Salesforce refuses tells nothing. Its words may repeat what was searched for:
    they stay here."""
    hint = HIDDEN_HINT if problem.code == "INVALID_FIELD" else problem.hint
    return Unavailable("Salesforce refuses the search", code=problem.code, hint=hint)


def _of(rows: list[Row], name: str) -> list[Row]:
    return [row for row in rows if (row.get("attributes") or {}).get("type") == name]


def _rows(responses: Mapping[str, PartResponse], name: str) -> list[Row]:
    """The rows of a query. Raises Unavailable where it was refused."""
    response = responses.get(name)
    if response is None:
        raise unreadable()
    if not response.ok:
        from bridge.conversations.write import problem_of

        problem = problem_of(response)
        if isinstance(problem, Refused):
            raise _refused(problem)
        raise problem
    return read_rows(response.body)


def _name(related: Any) -> str:
    return read_text(related, "Name") if isinstance(related, dict) else ""
