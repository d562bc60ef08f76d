"""Every function from a true cold start: a new interpreter that has imported nothing yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.stack import Stack
from tests.conftest import PATIENT


@pytest.fixture(scope="module")
def cold() -> Iterator[Stack]:
    """A stack whose function processes are not forked from a preloaded interpreter."""
    with Stack(poll=False, preloaded=False, processes=1, parameters=PATIENT) as stack:
        assert not stack.tick().failed
        yield stack


@pytest.mark.parametrize(
    ("path", "record"), [("/leads", {"LastName": "Okafor"}), ("/cases", {"Subject": "Parcel"})]
)
def test_a_record_is_made_by_a_function_that_starts_cold(
    cold: Stack, path: str, record: dict[str, str]
) -> None:
    assert cold.request("POST", path, record).status == 201


def test_a_message_is_understood_by_a_function_that_starts_cold(cold: Stack) -> None:
    message = {"bird": {"channel": "whatsapp", "messageId": "wamid.cold", "text": "Hello"}}
    assert cold.request("POST", "/messages", message).status == 201


def test_what_waits_is_delivered_by_a_function_that_starts_cold(cold: Stack) -> None:
    later = {"Prefer": "respond-async"}
    assert cold.request("POST", "/leads", {"LastName": "Later"}, headers=later).status == 202
    delivery = cold.deliver_once()
    assert (delivery.received, delivery.deleted) == (1, 1)
