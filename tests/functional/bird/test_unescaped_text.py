"""A step's body is free text: what a customer's quotes do to it, and how it is read anyway."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from bridge.api.request import HttpRequest
from bridge.errors import BadRequest
from bridge.settings import Settings
from tests.unit.doubles import read_asked

TEMPLATE = '{"bird": {"channel": "sms", "messageId": "m-1", "text": "TEXT"}}'


def lead(body: str, settings: Settings) -> Any:
    event = {"httpMethod": "POST", "headers": {}, "body": body}
    return read_asked(HttpRequest.from_event(event), "Lead", settings=settings).record


@pytest.mark.parametrize(
    "text",
    [
        *('He said "yes"', '"', '""', 'a "b": "c"}', 'C:\\temp "x"', 'x"\n"y'),
        *('"text": "again"', 'é\t"'),
    ],
)
@pytest.mark.parametrize("end", ["}}", "} }\n", "}\n}"])
def test_quotes_in_the_text_cost_no_message_if_the_text_is_last(
    settings: Callable[..., Settings], text: str, end: str
) -> None:
    body = TEMPLATE.replace("TEXT", text).removesuffix("}}") + end
    record = lead(body, settings())
    assert record.fields["Description"] == text
    assert record.key == "m-1"


def test_a_text_that_was_escaped_is_read_as_it_was_meant(settings: Callable[..., Settings]) -> None:
    body = TEMPLATE.replace("TEXT", 'He said \\"yes\\"\\n')
    assert lead(body, settings()).fields["Description"] == 'He said "yes"\n'


@pytest.mark.parametrize(
    "body",
    ['{"bird": {"text": "a"b", "channel": "sms"}}', '{"bird": {"channel": "s"ms"}}', '{"text": "'],
)
def test_where_it_is_not_clear_what_belongs_to_the_text_the_body_is_refused(
    settings: Callable[..., Settings], body: str
) -> None:
    with pytest.raises(BadRequest):
        lead(body, settings())


def test_no_body_makes_that_slow(settings: Callable[..., Settings]) -> None:
    started = time.perf_counter()
    for body in (
        '{"text": "' * 200_000,
        '{"text": "' + '"' * 1_000_000,
        '{"text":"x' + "}" * 10**6,
    ):
        with pytest.raises(BadRequest):
            lead(body, settings())
    assert time.perf_counter() - started < 5
