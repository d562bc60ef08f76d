"""Whose a number is that somebody typed: its forms for a search, and the comparison."""

from __future__ import annotations

import pytest

from bridge.bird.phones import is_number, national, written_forms
from bridge.salesforce.client import sosl_text


@pytest.mark.parametrize(
    ("number", "rest"),
    [
        # ITU-T E.164, List of country codes: one, two and three digits.
        ("+14155550123", "4155550123"),
        ("+74951234567", "4951234567"),
        ("+31612345678", "612345678"),
        ("+447700900142", "7700900142"),
        ("+359888123456", "888123456"),
        ("+5511987654321", "11987654321"),
        ("+9647901234567", "7901234567"),
    ],
)
def test_the_country_code_has_one_two_or_three_digits(number: str, rest: str) -> None:
    assert national(number) == rest
    assert written_forms(number) == [number[1:], f"00{number[1:]}", f"0{rest}", rest]


@pytest.mark.parametrize(
    ("written", "number", "same"),
    [
        ("+31612345678", "+31612345678", "exact"),
        ("+31 6 12 34 56 78", "+31612345678", "exact"),
        ("+31 (0)6-12345678", "+31612345678", "exact"),
        ("0031 6 12345678", "+31612345678", "exact"),
        ("31612345678", "+31612345678", "exact"),
        ("tel:+31612345678", "+31612345678", "exact"),
        ("06-12345678", "+31612345678", "national"),
        ("612345678", "+31612345678", "national"),
        ("(415) 555-0123", "+14155550123", "national"),  # as Salesforce shows it to en_US users
        ("1 (415) 555-0123", "+14155550123", "exact"),
        ("(415) 555-0123 x12", "+14155550123", None),  # a company's switchboard
        ("+32612345678", "+31612345678", None),
        ("0032612345678", "+31612345678", None),
        ("12345678", "+31612345678", None),
        ("+31612345679", "+31612345678", None),
        ("", "+31612345678", None),
    ],
)
def test_a_number_is_compared_in_whatever_form_it_was_typed(
    written: str, number: str, same: str | None
) -> None:
    assert is_number(written, number) == same


def test_what_is_special_in_a_search_is_escaped() -> None:
    r"""SOQL and SOSL Reference: `& | ! ( ) { } [ ] ^ " ~ * ? : \ ' + -`."""
    special = "&|!(){}[]^\"~*?:\\'+-"
    assert sosl_text(special) == "".join("\\" + one for one in special)
    assert sosl_text("Jan 31") == "Jan 31"
