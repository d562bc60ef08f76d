"""find_customer's handler without Salesforce: who may ask at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.api.customers import CustomerApi
from bridge.deadline import Deadline
from bridge.delivery.contacts import Sender
from bridge.delivery.customers import Customers, Known
from bridge.errors import Unavailable
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from tests.conftest import ENVIRON, LoadEvent
from tests.unit.test_record_api import Context

KEY = "a1b2c3d4e5"


class Book(Customers):
    """Knows one number."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.down = False

    def find(self, sender: Sender, *, deadline: Deadline) -> Known:
        assert deadline.remaining() > 0
        self.asked.append((sender.phone, sender.email))
        if self.down:
            raise Unavailable("down", code="UNREACHABLE")
        return Known(object="Contact", record_id="003000000000001AAA", owner_name="Sam")


def answer(
    event: Any,
    *,
    key: str | None = KEY,
    configured: str = KEY,
    book: Book | None = None,
    **more: str,
) -> tuple[int, dict[str, Any]]:
    settings = Settings.from_environ({**ENVIRON, "LOOKUP_KEY_ID": configured, **more})
    api = CustomerApi(customers=book or Book(), settings=settings, telemetry=Telemetry())
    context = {**event["requestContext"], "identity": {"apiKeyId": key}}
    reply = api.respond({**event, "requestContext": context}, Context())
    return reply["statusCode"], json.loads(reply["body"])


@pytest.fixture
def request_(event: LoadEvent) -> Any:
    return event("find_customer")


@pytest.mark.parametrize(
    ("key", "configured"), [("other", KEY), (None, KEY), (None, ""), ("", ""), (KEY, "")]
)
def test_only_the_look_up_s_key_lets_in(request_: Any, key: str | None, configured: str) -> None:
    book = Book()
    for query in (None, {"errors": "inline"}):
        event = {**request_, "queryStringParameters": query}
        status, body = answer(event, key=key, configured=configured, book=book)
        assert (status, body["outcome"]) == (403, "failed")
    assert book.asked == []


def test_what_is_known_is_flat(request_: Any) -> None:
    book = Book()
    status, body = answer(request_, book=book)
    assert status == 200 and book.asked == [("+447700900142", "")]
    assert body == {
        "outcome": "known",
        "success": True,
        "object": "Contact",
        "id": "003000000000001AAA",
        "ownerName": "Sam",
        "openCases": 0,
    }


def test_an_address_is_looked_for_where_it_counts(request_: Any) -> None:
    body = json.dumps({"bird": {"sender": "a@example.org", "channel": "email"}})
    for switch, asked in (("off", []), ("on", [("", "a@example.org")])):
        book = Book()
        assert answer({**request_, "body": body}, book=book, MATCH_EMAIL=switch)[0] == 200
        assert book.asked == asked


def test_while_salesforce_cannot_be_asked_nobody_is_known(request_: Any) -> None:
    book = Book()
    book.down = True
    status, body = answer(request_, book=book)
    assert (status, body["outcome"], body["code"]) == (503, "unknown", "UNREACHABLE")
    inline = {**request_, "queryStringParameters": {"errors": "inline"}}
    assert answer(inline, book=book)[0] == 200


def test_nothing_but_a_post_is_taken(request_: Any) -> None:
    assert answer({**request_, "httpMethod": "GET"})[0] == 404


SAID = {"bird": json.dumps({"channel": "whatsapp", "sender": "+447700900142"})}


@pytest.mark.parametrize(
    ("body", "query"),
    [
        *((one, None) for one in ("{}", '{"bird": null}', '{"bird": 5}', "[", "")),
        # Addresses are logged, so nobody is looked for by one; a "Forward to URL" step says all in
        # its query, and makes no look-up.
        *((body, {mark: "x", **SAID}) for mark in ("payload", "originator") for body in (None, "")),
    ],
)
def test_what_does_not_say_whom_to_look_for_is_400(
    request_: Any, body: str | None, query: dict[str, str] | None
) -> None:
    book = Book()
    event = {**request_, "body": body, "queryStringParameters": query}
    assert answer(event, book=book)[0] == 400
    assert book.asked == []
