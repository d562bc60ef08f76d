"""Bird's access key, in whatever way a person has written it into the secret."""

from __future__ import annotations

import pytest

from bridge.errors import NotSetUp
from bridge.files.download import read_key


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("live_abc", "live_abc"),
        (" live_abc\n", "live_abc"),
        ("AccessKey live_abc", "live_abc"),
        ('{"accessKey": "live_abc"}', "live_abc"),
        ("\ufefflive_abc", "live_abc"),  # as some editors begin a file
        ('\ufeff{"accessKey": "AccessKey live_abc"}', "live_abc"),
        ("{}", ""),
        ("", ""),
    ],
)
def test_the_key_of_a_secret_is_read(value: str, key: str) -> None:
    assert read_key(value) == key


@pytest.mark.parametrize("value", ["two words", '{"accessKey": "é"}', "a\nb"])
def test_what_no_header_can_carry_is_for_a_person(value: str) -> None:
    with pytest.raises(NotSetUp, match="holds something else"):
        read_key(value)
