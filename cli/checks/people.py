"""Whether the org allows what the parameters about people need: searching contacts and leads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.delivery.contacts import PHONES
from bridge.delivery.customers import LEAD_PHONES
from cli.checks.finding import Check, Finding, bad, good
from cli.deployment.stack import Stack
from cli.org.client import Org
from cli.problem import Problem


@dataclass(kw_only=True)
class PeopleChecks:
    """Nothing is checked that no parameter asks for."""

    stack: Stack
    org: Org

    def checks(self) -> Iterator[Check]:
        """Contacts for both parameters, leads for the look-up."""
        settings = self.stack.settings
        if settings.match_contacts or settings.lookup_key_id:
            yield "contact-search", self._contacts
        if settings.lookup_key_id:
            yield "lead-search", self._leads

    def _contacts(self) -> Finding:
        email = ("Email",) if self.stack.settings.match_email else ()
        return self._readable("Contact", ("AccountId", *PHONES, *email))

    def _leads(self) -> Finding:
        email = ("Email",) if self.stack.settings.match_email else ()
        return self._readable("Lead", ("Status", *LEAD_PHONES, *email))

    def _readable(self, name: str, wanted: tuple[str, ...]) -> Finding:
        setup = f"As an administrator: bird-salesforce setup-org {self.stack.options()}"
        try:
            described = self.org.describe(name)
        except Problem:
            return bad(f"The user may not read a {name}, so nobody is found.", setup)
        fields = described["fields_by_name"]
        hidden = [one for one in wanted if one.lower() not in fields]
        if hidden:
            return bad(f"The user may not see {', '.join(hidden)} of a {name}.", setup)
        return good(f"The user may find a {name} by phone number.")
