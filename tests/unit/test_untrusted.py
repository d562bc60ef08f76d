"""JSON and text from outside: read, or taken for absent."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.untrusted import MAX_DEPTH, read_json, read_text


@pytest.mark.parametrize(
    "body", ["", "{", "<html>", b"\xff\xfe", "[" * 100_000, "[" * 60 + "]" * 60]
)
def test_what_is_no_json_or_too_deep_is_absent(body: bytes | str) -> None:
    assert read_json(body) is None


@pytest.mark.parametrize("body", [b'{"a": [1]}', '{"a": [1]}'])
def test_json_is_read_from_bytes_and_text(body: bytes | str) -> None:
    assert read_json(body) == {"a": [1]}


def test_many_brackets_beside_each_other_are_not_deep() -> None:
    assert read_json("[" + ",".join(["[]"] * 200) + "]") == [[]] * 200
    assert read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None


@pytest.mark.parametrize("value", [None, 7, ["x"], {}])
def test_only_a_text_is_a_text(value: Any) -> None:
    assert read_text({"name": value}, "name") == read_text({}, "name") == ""
    assert read_text({"name": "x"}, "name") == "x"
