"""Bird's attributes of a contact: the fields that the table of channels has for them, and lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bridge.bird import channels
from bridge.bird.mapping import fill, learned_fields
from bridge.bird.message import BirdMessage

TABLE = {
    "fields": {
        "Lead": {
            "LastName": "lastName",
            "Description": "description",
            "Industry": "attributes.Industry",
            "Tags__c": {"from": "tags", "length": 5},
            "City": {"from": "attributes.city", "length": 4},
        },
        "Case": {"Description": "description"},
    },
    "channels": {"unknown": {"label": "Bird", "object": "Lead", "sender": "id"}},
}
ATTRIBUTES = {
    "industry": ["Retail", "Other"],
    "City": "Delft",
    "vip": True,
    "score": 4.0,
    "nothing": None,
    "variable": "{{contact.attributes.x}}",
    "deep": {"er": "down"},
}


@pytest.fixture
def message(monkeypatch: pytest.MonkeyPatch) -> Iterator[BirdMessage]:
    monkeypatch.setattr(channels, "table", lambda: channels.read_table(TABLE))
    yield BirdMessage.parse({"attributes": ATTRIBUTES, "tags": ["vip", "b2b"], "text": "Hi"})


def test_an_attribute_fills_the_field_that_the_table_names(message: BirdMessage) -> None:
    fields, cut = fill(message, "Lead")
    assert (fields["Industry"], fields["City"], fields["Tags__c"]) == ("Retail", "Delf", "vip;b")
    assert set(cut) == {"City", "Tags__c"}
    assert learned_fields(message, "Lead") == {
        "Industry": "Retail",
        "City": "Delf",
        "Tags__c": "vip;b",
    }


def test_an_attribute_without_a_field_is_a_line(message: BirdMessage) -> None:
    lines = message.details
    assert lines == ("attributes.vip: true", "attributes.score: 4", "attributes.deep.er: down")
    assert message.unread == ()
    for nothing in (None, "", "{{contact.attributes}}", [], {}):
        assert BirdMessage.parse({"attributes": nothing}).details == ()


@pytest.mark.parametrize("of", [None, "forwarded", "from_us"])
def test_what_fields_get_is_told_apart_for_records_that_do_not_get_it(
    message: BirdMessage, of: str | None
) -> None:
    """All of it, uncut; of a body of Bird's own nothing, since its contact comes every time, and
    of what our side sent."""
    known: dict[str, Any] = {
        "known_email": "a@example.org",
        "known_phone": "+31 6 12345678",
        "sender": "77",
    }
    found = replace(message, **known, **({of: True} if of else {})).unshown()
    assert found == (
        {}
        if of
        else {
            "email": "a@example.org",
            "phone": "+31 6 12345678",
            "tags": "vip, b2b",
            "attributes.city": "Delft",
            "attributes.industry": "Retail",
        }
    )


@pytest.mark.parametrize(
    "bird",
    [
        {"channel": "whatsapp", "sender": "+31612345678", "phone": "+31612345678"},
        {"channel": "whatsapp", "sender": "31612345678", "phone": "+31612345678"},
        {"channel": "email", "sender": "a@b.co", "email": "a@b.co"},
    ],
)
def test_the_sender_itself_is_no_news(bird: dict[str, str]) -> None:
    assert BirdMessage.parse(bird).unshown() == {}
