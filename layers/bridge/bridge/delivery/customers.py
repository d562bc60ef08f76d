"""The Contact or Lead that a customer is, with its owner and open cases.

Two calls: one search, and one composite for what the record shows. Contacts come first: a Lead with
the same number is the same person, or will be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.deadline import Deadline
from bridge.delivery.calls import Calls
from bridge.delivery.contacts import MOST_ROWS, Match, PhoneBook, Sender, one_of, only
from bridge.errors import Refused, Unavailable
from bridge.oauth.sessions import Sessions
from bridge.salesforce.client import Row, Salesforce, soql_text
from bridge.salesforce.composite import query_part
from bridge.salesforce.responses import read_rows
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
        self._book = PhoneBook()

    def find(self, sender: Sender, *, deadline: Deadline) -> Known | Several | Unknown:
        """Whom a sender is. Raises Unavailable, NotSetUp.

        A search that Salesforce refuses tells nothing. Its words may repeat what was searched for:
        they stay here.
        """
        calls = Calls(self._salesforce, self._sessions, until=deadline)
        try:
            return self._find(sender, calls)
        except Refused as problem:
            hint = HIDDEN_HINT if problem.code == "INVALID_FIELD" else problem.hint
            refused = "Salesforce refuses the search"
            raise Unavailable(refused, code=problem.code, hint=hint) from problem

    def _find(self, sender: Sender, calls: Calls) -> Known | Several | Unknown:
        found = self._by_phone(sender.phone, calls) if sender.phone else {}
        if sender.email and not any(match.count for match in found.values()):
            found = self._by_email(sender.email, calls)
        for name, match in found.items():
            if match.count > 1:
                return Several(match.count)
            if match.record_id is not None:
                return self._details(name, match.record_id, calls)
        return Unknown()

    def _by_phone(self, phone: str, calls: Calls) -> dict[str, Match]:
        leads = f", Lead(Id, {', '.join(LEAD_PHONES)} WHERE IsConverted = false LIMIT {MOST_ROWS})"
        rows = self._book.search([phone], "Id", calls, also=leads)
        fields = {"Contact": self._book.fields, "Lead": LEAD_PHONES}
        return {name: one_of(_of(rows, name), phone, fields[name]) for name in fields}

    def _by_email(self, email: str, calls: Calls) -> dict[str, Match]:
        where = f"WHERE Email = {soql_text(email)}"
        queries = {
            "Contact": f"SELECT Id FROM Contact {where} LIMIT {MOST_ROWS}",
            "Lead": f"SELECT Id FROM Lead {where} AND IsConverted = false LIMIT {MOST_ROWS}",
        }
        return {name: only(rows) for name, rows in self._query(queries, calls).items()}

    def _details(self, name: str, record_id: str, calls: Calls) -> Known | Unknown:
        columns = "Name,Owner.Name,Account.Name" if name == "Contact" else "Owner.Name,Status"
        known_by = soql_text(record_id)
        queries = {name: f"SELECT {columns} FROM {name} WHERE Id = {known_by}"}
        if name == "Contact":
            queries["Case"] = (
                f"SELECT Id,CaseNumber FROM Case WHERE ContactId = {known_by} "
                f"AND IsClosed = false ORDER BY CreatedDate DESC LIMIT {MOST_CASES}"
            )
        rows = self._query(queries, calls)
        if not rows[name]:
            return Unknown()  # deleted a moment ago: the index does not know it yet
        person, cases = rows[name][0], rows.get("Case", [])
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

    def _query(self, queries: Mapping[str, str], calls: Calls) -> dict[str, list[Row]]:
        """The rows of several queries, by one call."""
        parts = [query_part(name, soql) for name, soql in queries.items()]
        responses = calls.make(self._salesforce.send_parts, parts)
        for name in queries:
            if not responses[name].ok:
                from bridge.conversations.write import problem_of

                raise problem_of(responses[name])
        return {name: read_rows(responses[name].body) for name in queries}


def _of(rows: list[Row], name: str) -> list[Row]:
    return [row for row in rows if (row.get("attributes") or {}).get("type") == name]


def _name(related: Any) -> str:
    return read_text(related, "Name") if isinstance(related, dict) else ""
