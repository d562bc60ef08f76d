"""The records that callers request: leads and cases of every kind, some of which are refused.

Each has a mark (`#17#`) in its text, by which it is found in every place: the checks of this suite
must not depend on the key that the bundle itself uses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal
from urllib.parse import urlencode

from sandbox.org.org import Org
from sandbox.org.sample import SALES_USER

REFUSE_ME = "refuse me"
MESSAGES_OF_A_CONVERSATION = 12
"""Requests in a row of which those with the same channel are of one conversation."""


@dataclass(frozen=True, kw_only=True)
class RecordRequest:
    """One record to create; the request may be sent more than once."""

    number: int
    body: Mapping[str, Any]
    path: str = "/leads"
    """May include a query string."""
    object: Literal["Lead", "Case"] = "Lead"
    headers: Mapping[str, str] = field(default_factory=dict)
    """A form's `Content-Type` makes the body one."""
    code: str = ""
    """The errorCode with which Salesforce refuses it, always or as the second of a pair."""
    pair: int = 0
    """A duplicate rule accepts only one request with this number."""

    @property
    def content(self) -> dict[str, Any] | str:
        """The body as it is sent."""
        if "Content-Type" not in self.headers:
            return dict(self.body)
        flat = {f"bird.{name}": value for name, value in self.body.get("bird", {}).items()}
        return urlencode(flat or self.body)

    @property
    def envelope(self) -> str:
        """The message in the outbox if Salesforce is not available."""
        company = {"Company": "Individual"} if self.object == "Lead" else {}
        envelope = {"v": 2, "object": self.object, "key": f"request-{self.number}"}
        more = {"channel": "none", "derived": {}, "fields": {**company, **self.body}}
        return json.dumps({**envelope, **more})


def mark_in(text: object) -> int | None:
    """The number of the request whose text, record, or message in a queue this is."""
    if isinstance(text, Mapping):
        text = f"{text.get('Description')} {text.get('Subject')} {text.get('CommentBody')}"
    found = re.search(r"#(\d+)#", str(text))
    return int(found[1]) if found else None


def set_rules(org: Org) -> None:
    """A validation rule on both objects and a duplicate rule: they run before the unique index."""
    for name in ("Lead", "Case"):
        org.add_validation_rule(
            name,
            lambda record: REFUSE_ME in (record.get("Description") or ""),
            "Refused by the rule.",
        )
    org.set_duplicate_rule("Lead")


def make_requests(count: int, *, random: Random, org: Org) -> list[RecordRequest]:
    """Requests of all kinds, numbered from 1."""
    owner = org.oauth.user(SALES_USER)
    assert owner is not None
    return [_request(number, random, owner["Id"]) for number in range(1, count + 1)]


def plain_lead(number: int, *, text: str = "") -> RecordRequest:
    """A lead with nothing special about it, but for the text."""
    body = {"LastName": f"Person {number}", "Description": f"#{number}# {text}"}
    return RecordRequest(number=number, body=body, headers={"Idempotency-Key": f"request-{number}"})


def with_repeats(
    requests: Iterable[RecordRequest], *, random: Random, share: float
) -> list[RecordRequest]:
    """The same in the order in which they are sent, with some sent again soon or much later."""
    timed = [(float(at), request) for at, request in enumerate(requests)]
    for at, request in list(timed):
        if random.random() < share:
            timed.append((at + random.choice((0.5, 3, 30, 300)) * random.random(), request))
    return [request for _, request in sorted(timed, key=lambda one: one[0])]


def _request(number: int, random: Random, owner_id: str) -> RecordRequest:
    text = f"#{number}# " + random.choice(("hello", "Où est ma commande ?", "価格 🙂", "x" * 900))
    key = random.choice(
        (f"request-{number}", f"wamid.HBgL{number}QUE/Rg==", f"Flow {number} / retry")
    )
    headers = {"Idempotency-Key": key}
    if random.random() < 0.05:
        headers["Prefer"] = "respond-async"
    if random.random() < 0.1:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    inline = "?errors=inline" if random.random() < 0.1 else ""
    lead = {"LastName": f"Person {number}", "Phone": _phone(number), "Description": text}
    case = {"Subject": f"Case {number}", "Description": text}
    refused = {"Description": f"{text} {REFUSE_ME}"}
    whatsapp, viber, sms = (_bird(name, number, text) for name in ("whatsapp", "viber", "sms"))
    kinds: tuple[tuple[int, str, Mapping[str, Any], Mapping[str, Any]], ...] = (
        # how often, where to, what, and what is expected
        (30, "/leads", lead, {}),
        (12, "/leads", whatsapp, {}),
        (6, "/messages", whatsapp, {}),
        (20, "/cases", case, {}),
        (5, "/cases", viber, {}),
        (4, "/messages", viber, {"object": "Case"}),
        (4, "/cases", sms, {}),
        (4, "/leads", {**lead, "OwnerId": owner_id}, {}),
        (3, "/cases", {**case, "OwnerId": owner_id}, {}),
        (2, "/leads", {**lead, "Nope__c": "x"}, {"code": "INVALID_FIELD"}),
        (1, "/cases", {**case, "Nope__c": "x"}, {"code": "INVALID_FIELD"}),
        (1, "/leads", {**lead, "NumberOfEmployees": "many"}, {"code": "JSON_PARSER_ERROR"}),
        (2, "/leads", {**lead, **refused}, {"code": "FIELD_CUSTOM_VALIDATION_EXCEPTION"}),
        (1, "/cases", {**case, **refused}, {"code": "FIELD_CUSTOM_VALIDATION_EXCEPTION"}),
        (1, "/leads", {**lead, "Email": "no address"}, {"code": "INVALID_EMAIL_ADDRESS"}),
        (1, "/leads", {**lead, "Company": "C" * 300}, {"code": "STRING_TOO_LONG"}),
        (
            3,
            "/leads",
            {**lead, "Phone": _phone(10**8 + number // 40)},
            {"code": "DUPLICATES_DETECTED", "pair": number // 40 + 1},
        ),
    )
    ((_, path, body, more),) = random.choices(kinds, weights=[kind[0] for kind in kinds])
    expected = {"object": "Case" if path == "/cases" else "Lead", **more}
    return RecordRequest(number=number, path=path + inline, body=body, headers=headers, **expected)


def _phone(number: int) -> str:
    return f"+31{600_000_000 + number}"


def _bird(channel: str, number: int, text: str) -> dict[str, Any]:
    """A message of a conversation that has about two such messages."""
    conversation = number // MESSAGES_OF_A_CONVERSATION
    return {
        "bird": {
            "channel": channel,
            "messageId": f"message-{number}",
            "conversationId": f"conversation-{channel}-{conversation}",
            "sender": _phone(10**7 + conversation),
            "displayName": f"Ada Person {conversation}",
            "text": text,
        }
    }
