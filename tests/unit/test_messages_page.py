"""docs/messages.md says what the code makes of a message of each kind."""

from __future__ import annotations

from tests.unit import examples


def test_the_page_s_tables_are_those_of_the_examples() -> None:
    page = examples.PAGE.read_text(encoding="utf-8")
    assert examples.written(page) == page, "python -m tests.unit.examples writes them anew"
