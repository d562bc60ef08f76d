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


def test_every_function_works_that_starts_cold(cold: Stack) -> None:
    message = {"bird": {"channel": "whatsapp", "messageId": "wamid.cold", "text": "Hello"}}
    for path, body in (
        ("/leads", {"LastName": "Okafor"}),
        ("/cases", {"Subject": "Parcel"}),
        ("/messages", message),
    ):
        assert cold.request("POST", path, body).status == 201
    later = {"Prefer": "respond-async"}
    assert cold.request("POST", "/leads", {"LastName": "Later"}, headers=later).status == 202
    delivery = cold.deliver_once()
    assert (delivery.received, delivery.deleted) == (1, 1)
