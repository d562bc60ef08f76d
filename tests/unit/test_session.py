"""Sessions and the ids of records."""

from __future__ import annotations

import pytest

from bridge.salesforce.session import Session, full_id
from tests.unit.doubles import INSTANCE

SESSION = Session("token-1", INSTANCE, 1)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("00D58000000arpq", "00D58000000arpqEAA"),
        ("003aj000002oTld", "003aj000002oTldAAE"),
        ("00520000003j3nE", "00520000003j3nEAAQ"),
        ("00D58000000arpqEAA", "00D58000000arpqEAA"),
        ("", ""),
        ("odd", "odd"),
    ],
)
def test_an_id_is_shown_in_eighteen_characters(short: str, full: str) -> None:
    assert full_id(short) == full


def test_the_token_is_not_in_the_repr() -> None:
    assert "token-1" not in repr(SESSION)


def test_a_record_has_a_page() -> None:
    assert SESSION.record_url("00Q8d00000555AbEAM") == f"{INSTANCE}/00Q8d00000555AbEAM"
