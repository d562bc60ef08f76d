"""Checks the table of channels, `bridge/bird/channels.json`: what is wrong, and in which line.

    python -m tools.channel_table [file]

The functions read the table without looking at it twice, because that costs every cold start; so
`make check` and `make build` look here, where the one who edited it still sits before it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bridge.bird.channels import ATTRIBUTES, FILLED, OBJECTS, PATH, TASK, UNKNOWN, plain
from bridge.bird.mapping import SOURCES

_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)?")
_ATTRIBUTE = re.compile(re.escape(ATTRIBUTES) + r"\S.{0,99}")
_SENDERS = ("phone", "email", "id")
_ENTRY = (
    *("label", "object", "sender", "aliases", "ignore", "chat", "conversations"),
    *("fields", "values"),
)
_LONGEST_LABEL = 255
_LONGEST_FIELD = 131_072


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong. Lines count from 1."""

    line: int
    text: str


def check(text: str) -> list[Fault]:
    """Everything that is wrong with a table, by line; nothing if it can be used."""
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as error:
        return [Fault(error.lineno, f"this is not JSON: {error.msg} (column {error.colno})")]
    # A tab can stand in JSON only between tokens; PyYAML, which knows the lines, takes none there.
    root = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
    if root is None or not isinstance(parsed, dict):
        return [Fault(1, 'the table is an object with "fields" and "channels"')]
    table = _Table(root)
    return sorted({*table.doubles, *table.faults(parsed)})


class _Table:
    """The positions of a JSON document's keys and values, by their path."""

    def __init__(self, root: yaml.Node) -> None:
        self._lines: dict[tuple[str, ...], int] = {}
        self.doubles: list[Fault] = []
        self._walk(root, ())

    def _walk(self, node: yaml.Node, path: tuple[str, ...]) -> None:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in seen:
                    text = f"{key.value!r} was given before, in line {seen[key.value]}"
                    self.doubles.append(Fault(line, text))
                seen.setdefault(key.value, line)
                self._lines[*path, key.value] = line
                self._walk(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._walk(value, (*path, str(index)))

    def _fault(self, path: tuple[str, ...], text: str) -> Fault:
        while path not in self._lines:
            path = path[:-1]
        return Fault(self._lines[path], text)

    def faults(self, parsed: dict[str, Any]) -> Iterator[Fault]:
        for name in parsed:
            if name not in ("fields", "channels"):
                yield self._fault((name,), f'{name!r} is neither "fields" nor "channels"')
        every = parsed.get("fields")
        if not isinstance(every, dict):
            yield self._fault(("fields",), '"fields" has to say what a Lead and a Case get')
            every = {}
        yield from self._fields(every, ("fields",), removable=False)
        for name in OBJECTS:
            if name not in every:
                yield self._fault(("fields",), f'"fields" says nothing for {name}')
        if "LastName" not in (every.get("Lead") or {}):
            yield self._fault(("fields", "Lead"), "a Lead needs LastName: Salesforce requires it")
        if "Description" not in (every.get("Task", TASK) or {}):
            yield self._fault(("fields", "Task"), "a Task needs Description: the message is there")
        channels = parsed.get("channels")
        if not isinstance(channels, dict):
            yield self._fault(("channels",), '"channels" has to be an object, a channel each')
            return
        if UNKNOWN not in channels:
            yield self._fault(("channels",), f"there is no channel {UNKNOWN!r}, for all others")
        called: dict[str, str] = {}
        for name, entry in channels.items():
            yield from self._channel(name, entry, called)

    def _channel(self, name: str, entry: Any, called: dict[str, str]) -> Iterator[Fault]:
        path = ("channels", name)
        if not isinstance(entry, dict):
            yield self._fault(path, f"{name}: a channel is an object with a label")
            return
        for key in entry:
            if key not in _ENTRY:
                known = ", ".join(_ENTRY)
                yield self._fault((*path, key), f"{name}: {key!r} is none of {known}")
        for key in ("chat", "conversations"):
            if not isinstance(entry.get(key, True), bool):
                yield self._fault((*path, key), f"{name}: {key} is true or false")
        label = entry.get("label")
        if not isinstance(label, str) or not label.strip() or label != label.strip():
            yield self._fault(
                (*path, "label"), f"{name}: label has to be a text without blank ends"
            )
        elif "{{" in label or len(label) > _LONGEST_LABEL:
            text = f"{name}: label is a text of at most {_LONGEST_LABEL}, and no variable"
            yield self._fault((*path, "label"), text)
        for key, allowed in (("object", OBJECTS), ("sender", _SENDERS)):
            if entry.get(key) not in allowed:
                text = f"{name}: {key} is {entry.get(key)!r}, not one of {', '.join(allowed)}"
                yield self._fault((*path, key), text)
        aliases = entry.get("aliases", [])
        if not isinstance(aliases, list) or not all(isinstance(one, str) for one in aliases):
            yield self._fault((*path, "aliases"), f"{name}: aliases is a list of texts")
            aliases = []
        ignored = entry.get("ignore", [])
        if not isinstance(ignored, list) or not all(
            isinstance(one, str) and one.strip() for one in ignored
        ):
            yield self._fault((*path, "ignore"), f"{name}: ignore is a list of texts, none blank")
        names = [(path, name), ((*path, "label"), label if isinstance(label, str) else "")]
        names += [((*path, "aliases", str(at)), alias) for at, alias in enumerate(aliases)]
        for where, one in names:
            key = plain(one)
            if not key and where[-1] != "label":
                text = f"{name}: {one!r} has no ASCII letter or digit to be found by"
                yield self._fault(where, text)
            elif key and called.setdefault(key, name) != name:
                yield self._fault(where, f"{name}: {one!r} is a name of {called[key]} already")
        own = entry.get("fields", {})
        if not isinstance(own, dict):
            yield self._fault((*path, "fields"), f"{name}: fields is an object of Lead, Case, Task")
        else:
            yield from self._fields(own, (*path, "fields"), removable=True)
        yield from self._values(entry.get("values", {}), (*path, "values"), name)

    def _fields(
        self, parsed: dict[str, Any], path: tuple[str, ...], *, removable: bool
    ) -> Iterator[Fault]:
        for object_name, fields in parsed.items():
            here = (*path, object_name)
            if object_name not in FILLED or not isinstance(fields, dict):
                yield self._fault(
                    here, f"{object_name!r} is not Lead, Case or Task with its fields"
                )
                continue
            for field, how in fields.items():
                at = (*here, field)
                yield from self._name(field, at)
                if how is None and removable:
                    if (object_name, field) == ("Lead", "LastName"):
                        yield self._fault(at, "a Lead needs LastName: Salesforce requires it")
                    if (object_name, field) == ("Task", "Description"):
                        yield self._fault(at, "a Task needs Description: the message is there")
                    continue
                source = how.get("from") if isinstance(how, dict) else how
                if source not in SOURCES and not _ATTRIBUTE.fullmatch(str(source)):
                    known = ", ".join([*SOURCES, f"{ATTRIBUTES}<name>"])
                    yield self._fault(at, f"{field} is filled with {source!r}, not one of {known}")
                length = how.get("length", 255) if isinstance(how, dict) else 255
                whole = isinstance(length, int) and not isinstance(length, bool)
                if not whole or not 0 < length <= _LONGEST_FIELD:
                    yield self._fault(at, f"{field}: length is a number from 1 to {_LONGEST_FIELD}")
                if isinstance(how, dict) and set(how) - {"from", "length"}:
                    yield self._fault(at, f'{field} is a source, or "from" and "length"')

    def _values(self, parsed: Any, path: tuple[str, ...], name: str) -> Iterator[Fault]:
        if not isinstance(parsed, dict):
            yield self._fault(path, f"{name}: values is an object of Lead, Case, Task")
            return
        for object_name, values in parsed.items():
            here = (*path, object_name)
            if object_name not in FILLED or not isinstance(values, dict):
                yield self._fault(here, f"{name}: values are given for Lead, Case or Task")
                continue
            for field, value in values.items():
                at = (*here, field)
                yield from self._name(field, at)
                if not isinstance(value, (str, int, float, bool)) or value == "":
                    yield self._fault(at, f"{field}: a value is a text, a number, true or false")
                elif isinstance(value, str) and "{{" in value:
                    yield self._fault(at, f"{field}: nobody resolves {value!r} here")

    def _name(self, field: str, at: tuple[str, ...]) -> Iterator[Fault]:
        if not _FIELD.fullmatch(field) or field.lower() in ("id", "attributes"):
            yield self._fault(at, f"{field!r} is no field that may be filled")


def main(arguments: list[str]) -> int:
    """Print what is wrong, as file:line: text; the exit code says whether anything is."""
    path = Path(arguments[0]) if arguments else PATH
    try:
        shown = path.resolve().relative_to(Path.cwd())
    except ValueError:
        shown = path
    faults = check(path.read_text(encoding="utf-8"))
    for fault in faults:
        print(f"{shown}:{fault.line}: {fault.text}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
