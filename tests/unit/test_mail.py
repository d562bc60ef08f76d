"""A mail's record gets the text that came after it."""

from __future__ import annotations

import pytest

from bridge.bird.texts import MAIL_IN_BIRD
from bridge.delivery.mail import brings_text, with_text
from bridge.records import Record

TEXT = "Lamp\nIt is broken.\n\nRegards\n2 attachments (in Bird)"


def record(description: str = TEXT, key: str = "rem_1", *, derived: bool = True) -> Record:
    names = frozenset({"Description"}) if derived else frozenset[str]()
    return Record(object="Case", key=key, fields={"Description": description}, derived=names)


def test_only_a_mail_with_its_text_brings_one() -> None:
    assert brings_text(record())
    assert not brings_text(record(f"Lamp\n{MAIL_IN_BIRD}"))
    assert not brings_text(record(key="wam_1"))
    assert not brings_text(record(derived=False)), "the caller's own Description"
    assert not brings_text(Record(object="Case", key="rem_1", fields={}))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"Lamp\n{MAIL_IN_BIRD}", TEXT),
        (f"Lamp\r\n{MAIL_IN_BIRD}\r\n", TEXT),
        (MAIL_IN_BIRD, TEXT),
        # what a person wrote stays
        (f"Called Ada.\nLamp\n{MAIL_IN_BIRD}\nVIP", f"Called Ada.\n{TEXT}\nVIP"),
        (f"Lamp\n{MAIL_IN_BIRD}\n2 attachments (in Bird)", TEXT),
        ("Lamp\nread it in Bird", None),
        (TEXT, None),
        ("", None),
        (None, None),
    ],
)
def test_the_text_takes_the_place_of_the_line_that_waits_for_it(
    before: str | None, after: str | None
) -> None:
    assert with_text(before, record()) == after


def test_a_text_that_is_too_long_ends_in_the_mark() -> None:
    text = with_text(f"Lamp\n{MAIL_IN_BIRD}", record("word " * 6_500))
    assert text is not None and len(text) == 32_000
    assert text.endswith("… (cut; open it in Bird)")
