"""HTTP handler for look-ups: is this customer known in Salesforce, and who cares for them?

A flow routes by it. It tells names of colleagues and numbers of cases, so it has a key of its own,
which opens nothing else, and is closed unless `CustomerLookup` is on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from bridge.api.body import read_object
from bridge.api.message_request import read_bird
from bridge.api.record_api import HttpApi, LambdaContext
from bridge.api.replies import Reply, not_now_reply
from bridge.api.request import HttpRequest
from bridge.bird.phones import as_e164
from bridge.deadline import Deadline
from bridge.delivery.contacts import Sender
from bridge.delivery.customers import Customers, Known, Several, Unknown
from bridge.errors import BadRequest, Ignored, NoSuchRoute, NotSetUp, Unavailable, WrongKey
from bridge.settings import Settings
from bridge.telemetry import Telemetry

NO_SENDER = "There is neither a phone number nor an e-mail address to look for."


class CustomerApi(HttpApi):
    """The API of find_customer."""

    unexpected: ClassVar[Mapping[str, Any]] = {
        "detail": "An unexpected error.",
        "outcome": "unknown",
    }

    def __init__(self, *, customers: Customers, settings: Settings, telemetry: Telemetry) -> None:
        super().__init__(settings=settings, telemetry=telemetry)
        self._customers = customers

    def _reply(self, request: HttpRequest, event: Any, context: LambdaContext) -> Reply:
        wanted = self._settings.lookup_key_id
        if not wanted or request.api_key_id != wanted:
            raise WrongKey("this key is not the one for looking customers up")
        if request.method != "POST":
            raise NoSuchRoute("there is nothing at this method and address")
        try:
            return self._find(request, self._deadline(request, context))
        except (Unavailable, NotSetUp) as problem:
            self._telemetry.warn("lookup_failed", code=problem.code)
            self._telemetry.count("CustomerLookupsFailed")
            return not_now_reply(problem)

    def _find(self, request: HttpRequest, deadline: Deadline) -> Reply:
        started = time.perf_counter()
        sender = self._sender(request)
        body: dict[str, Any] = {"outcome": "unknown", "success": True}
        if sender is None:
            body["warnings"] = NO_SENDER
        else:
            match self._customers.find(sender, deadline=deadline):
                case Known() as known:
                    body |= {"outcome": "known", **_shown(known)}
                case Several(count):
                    body |= {"outcome": "several", "matches": count}
                case Unknown():
                    pass
        self._telemetry.event(
            "customer_lookup",
            outcome=body["outcome"],
            object=body.get("object", ""),
            milliseconds=round((time.perf_counter() - started) * 1000, 1),
        )
        self._telemetry.count("CustomerLookups")
        return Reply(200, body)

    def _sender(self, request: HttpRequest) -> Sender | None:
        """Whom to look for. Raises BadRequest."""
        request = replace(request, query={})  # an address is logged: nobody is looked for by it
        body = read_object(request)
        bird = next((value for name, value in body.items() if name.lower() == "bird"), None)
        try:
            message = read_bird(bird, request, replies=True)
        except Ignored:
            message = None
        if message is None:
            raise BadRequest('say whom to look for: {"bird": {"channel": …, "sender": …}}')
        phone = as_e164(message.phone)
        email = message.email if self._settings.match_email else ""
        return Sender(phone, email) if phone or email else None


def _shown(known: Known) -> dict[str, Any]:
    """What is told of a customer: nothing that they did not know or that is about others."""
    values = {
        "object": known.object,
        "id": known.record_id,
        "ownerName": known.owner_name,
        "accountName": known.account_name,
        "openCaseId": known.open_case_id,
        "openCaseNumber": known.open_case_number,
        "leadStatus": known.lead_status,
    }
    shown: dict[str, Any] = {name: value for name, value in values.items() if value}
    return {**shown, "openCases": known.open_cases}
