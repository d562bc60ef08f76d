"""One object of a body, which remembers what was read of it.

That is how nothing is dropped in silence: whatever nobody read, and no list of technical keys
names, comes out of `unread` as a line for the record, also where nobody knows its key yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bridge.bird.texts import IN_BIRD, as_text, is_absent, one_line

LONGEST_VALUE = 1_000
MOST_LINES = 50
"""Of parts that nobody knows; how many more there are stands below them."""

_KEY = re.compile(r"[A-Za-z][\w.-]{0,59}", re.ASCII)
_SECRET = re.compile(
    r"token|secret|password|passwd|credential|authorization|cvv|cvc|api_?key", re.I
)
_LABEL = ("name", "value")
Where = tuple[str | int, ...]


Shows = Callable[[list[str]], bool | None]
"""Whether what is below these keys is shown to people; None: where it is a phrase."""


def technical_keys(shape: str) -> Shows:
    """By the list of keys that tell a person nothing, in `technical_keys.json` with its reasons.

    `a.b` is that path and all below it, `*.a.b` the same anywhere. What is below a path that ends
    with `?` is anybody's: ids and single words are technical, a phrase is not.
    """
    text = Path(__file__).with_name("technical_keys.json").read_text(encoding="utf-8")
    paths = frozenset(" ".join(json.loads(text)[shape].values()).split())

    def shows(keys: list[str]) -> bool | None:
        path = ".".join(keys)
        ends = (f"*.{'.'.join(keys[start:])}" for start in range(len(keys)))
        if path in paths or any(end in paths for end in ends):
            return False
        return None if f"{path}?" in paths else True

    return shows


class Part:
    """An object inside a body; nothing in it is demanded, what is not there is empty."""

    __slots__ = ("_path", "_read", "_value")

    def __init__(self, value: object, path: Where = (), read: set[Where] | None = None) -> None:
        self._value: Mapping[str, Any] = value if isinstance(value, dict) else {}
        self._path = path
        self._read: set[Where] = set() if read is None else read

    def __bool__(self) -> bool:
        return bool(self._value)

    def __contains__(self, name: str) -> bool:
        return name in self._value

    def text(self, *names: str) -> str:
        """The first of these that is a text or a number, without blank ends; equal ones are read
        with it."""
        found = ""
        for name in names:
            value = as_text(self._value.get(name)).strip()
            if value and found in ("", value):
                found = value
                self.skip(name)
        return found

    def words(self, name: str) -> str:
        """What a customer wrote, as typed."""
        if words := as_text(self._value.get(name)):
            self.skip(name)
        return words

    def flag(self, name: str) -> bool:
        """Whether a mark is set."""
        self.skip(name)
        return self._value.get(name) is True

    def labels(self, name: str) -> tuple[str, ...]:
        """The tags of a list: texts, or objects with a name and perhaps a value."""
        value = self._value.get(name)
        found = [
            one if isinstance(one, str) else "=".join(filter(None, map(Part(one).text, _LABEL)))
            for one in (value if isinstance(value, list) else [value])
        ]
        return tuple(filter(None, found))

    def part(self, *names: str) -> Part:
        """The object at the end of these keys."""
        inner = self
        for name in names:
            inner = Part(inner._value.get(name), (*inner._path, name), inner._read)
        return inner

    def parts(self, name: str) -> list[Part]:
        """The objects of a list."""
        value = self._value.get(name)
        return [
            Part(one, (*self._path, name, at), self._read)
            for at, one in enumerate(value if isinstance(value, list) else [])
            if isinstance(one, dict)
        ]

    def texts_by_name(self) -> Iterator[tuple[str, list[str]]]:
        """Each key with its texts, as the headers of a mail; null and objects are none."""
        for name, value in self._value.items():
            values = value if isinstance(value, list) else [value]
            yield name, [as_text(one) for one in values if isinstance(one, (str, int, float))]

    def skip(self, *names: str) -> None:
        """Count these as read, with all that is below them; without names, all of it."""
        self._read.update((*self._path, name) for name in names or self._value)

    def unread(self, shows: Shows) -> Iterator[tuple[str, str]]:
        """What nobody read: the path as it may be logged, and the line for the record.

        A value that is long or looks like a secret is not shown whole. After MOST_LINES lines
        there is one more that says that there is more.
        """
        leaves = self._leaves(self._value, self._path, shows, phrases=False)
        for shown, (path, value) in enumerate(leaves):
            keys = [key for key in path if isinstance(key, str)]
            safe = ".".join(key if _KEY.fullmatch(key) else "other" for key in keys)
            if shown == MOST_LINES:
                yield safe[-100:], f"More parts of this message {IN_BIRD}"
                return
            line = one_line(value)
            if len(line) > LONGEST_VALUE:
                line = f"{line[:LONGEST_VALUE]}… {IN_BIRD}"
            if _SECRET.search(keys[-1]):
                line = IN_BIRD
            yield safe[-100:], f"{'.'.join(map(one_line, keys))[:200]}: {line}"

    def _leaves(
        self, value: object, path: Where, shows: Shows, *, phrases: bool
    ) -> Iterator[tuple[Where, str]]:
        """Every text, number and mark that nobody read, with where it stands."""
        shown = shows([key for key in path if isinstance(key, str)]) if path else True
        if path in self._read or shown is False:
            return
        phrases = phrases or shown is None
        inner: Iterable[tuple[str | int, object]]
        if isinstance(value, (dict, list)):
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            for key, one in inner:
                yield from self._leaves(one, (*path, key), shows, phrases=phrases)
            return
        text = str(value).lower() if isinstance(value, bool) else as_text(value)
        if not is_absent(text) and (not phrases or " " in text.strip()):
            yield path, text


def of_type(kind: str) -> str:
    """The line for what cannot be shown."""
    return f"A message of the type {kind or 'unknown'} {IN_BIRD}"
