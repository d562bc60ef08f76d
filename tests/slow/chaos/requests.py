"""The records that callers request: leads and cases of every kind, some of which are refused.

Each has a mark (`#17#`) in its text, by which it is found in every place: the checks of this suite
must not depend on the key that the bundle itself uses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal
from urllib.parse import urlencode

from sandbox.org.org import Org
from sandbox.org.sample import SALES_USER

Expected = Literal["made", "refused", "one of a pair"]

_MARK = re.compile(r"#(\d+)#")
REFUSE_ME = "refuse me"
MESSAGES_OF_A_CONVERSATION = 12
"""Requests in a row of which those with the same channel are of one conversation."""


@dataclass(frozen=True, kw_only=True)
class RecordRequest:
    """One record to create; the request may be sent more than once."""

    number: int
    path: str
    """May include a query string."""
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    object: Literal["Lead", "Case"] = "Lead"
    as_form: bool = False
    """Sent as an HTML form instead of JSON."""
    expected: Expected = "made"
    """`refused`: by Salesforce. `one of a pair`: a duplicate rule accepts only the first."""
    code: str = ""
    """The errorCode of the refusal."""
    pair: int = 0

    @property
    def content(self) -> dict[str, Any] | str:
        """The body as it is sent; its type is in `headers`."""
        return urlencode(_flat(self.body)) if self.as_form else dict(self.body)

    @property
    def inline(self) -> bool:
        """Whether every response should have the status 200."""
        return "errors=inline" in self.path

    @property
    def envelope(self) -> str:
        """The message in the outbox if Salesforce is not available."""
        return json.dumps(
            {
                "v": 2,
                "object": self.object,
                "key": f"request-{self.number}",
                "channel": "none",
                "fields": {"Company": "Individual", **self.body}
                if self.object == "Lead"
                else dict(self.body),
                "derived": {},
                "acceptedAt": "2026-01-01T00:00:00.000+00:00",
                "requestId": "",
            }
        )


def mark_in(*texts: object) -> int | None:
    """The number of the request that a text belongs to."""
    for text in texts:
        if isinstance(text, str) and (found := _MARK.search(text)):
            return int(found[1])
    return None


def mark_of(fields: Mapping[str, Any]) -> int | None:
    """The number of the request that a record's or a Task's fields belong to."""
    return mark_in(fields.get("Description"), fields.get("Subject"))


def mark_of_envelope(body: str) -> int | None:
    """The number of the request that a message in the outbox or in Rejected belongs to."""
    envelope = json.loads(body)
    derived = (envelope.get("derived") or {}).values()
    for fields in (envelope.get("fields"), envelope.get("task"), *derived):
        if isinstance(fields, dict) and (number := mark_of(fields)) is not None:
            return number
    return None


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


def plain_leads(count: int) -> list[RecordRequest]:
    """Leads with nothing special about them."""
    return [
        RecordRequest(
            number=number,
            path="/leads",
            headers={"Idempotency-Key": f"request-{number}"},
            body={"LastName": f"Person {number}", "Description": f"#{number}# hello"},
        )
        for number in range(1, count + 1)
    ]


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
    lead: dict[str, Any] = {
        "LastName": f"Person {number}",
        "Phone": _phone(number),
        "Description": text,
    }
    case: dict[str, Any] = {"Subject": f"Case {number}", "Description": text}

    inline = "?errors=inline" if random.random() < 0.1 else ""
    as_form = random.random() < 0.1

    def made(path: str, body: Mapping[str, Any], **more: Any) -> RecordRequest:
        more.setdefault("object", "Case" if path == "/cases" else "Lead")
        content = {"Content-Type": "application/x-www-form-urlencoded"} if as_form else {}
        return RecordRequest(
            number=number,
            path=path + inline,
            headers={**headers, **content},
            body=body,
            as_form=as_form,
            **more,
        )

    def refused(body: Mapping[str, Any], code: str, path: str = "/leads") -> RecordRequest:
        return made(path, body, expected="refused", code=code)

    # Every kind is as likely as its weight says; the order does not matter.
    kinds: tuple[tuple[int, Any], ...] = (
        (30, lambda: made("/leads", lead)),
        (12, lambda: made("/leads", _bird("whatsapp", number, text))),
        (6, lambda: made("/messages", _bird("whatsapp", number, text))),
        (20, lambda: made("/cases", case)),
        (5, lambda: made("/cases", _bird("viber", number, text))),
        (4, lambda: made("/messages", _bird("viber", number, text), object="Case")),
        (4, lambda: made("/cases", _bird("sms", number, text))),
        (4, lambda: made("/leads", {**lead, "OwnerId": owner_id})),
        (3, lambda: made("/cases", {**case, "OwnerId": owner_id})),
        (2, lambda: refused({**lead, "Nope__c": "x"}, "INVALID_FIELD")),
        (1, lambda: refused({**case, "Nope__c": "x"}, "INVALID_FIELD", "/cases")),
        (1, lambda: refused({**lead, "NumberOfEmployees": "many"}, "JSON_PARSER_ERROR")),
        (2, lambda: refused({**lead, "Description": f"{text} {REFUSE_ME}"}, _VALIDATION)),
        (1, lambda: refused({**case, "Description": f"{text} {REFUSE_ME}"}, _VALIDATION, "/cases")),
        (1, lambda: refused({**lead, "Email": "not an address"}, "INVALID_EMAIL_ADDRESS")),
        (1, lambda: refused({**lead, "Company": "C" * 300}, "STRING_TOO_LONG")),
        (
            3,
            lambda: made(
                "/leads",
                {**lead, "Phone": _phone(10**8 + number // 40)},
                expected="one of a pair",
                pair=number // 40,
            ),
        ),
    )
    (make,) = random.choices([kind for _, kind in kinds], weights=[weight for weight, _ in kinds])
    request: RecordRequest = make()
    return request


_VALIDATION = "FIELD_CUSTOM_VALIDATION_EXCEPTION"


def _flat(body: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """As in a form: bird.channel=whatsapp."""
    flat: dict[str, Any] = {}
    for name, value in body.items():
        inner = isinstance(value, Mapping)
        flat |= _flat(value, f"{within}{name}.") if inner else {within + name: value}
    return flat


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
