"""SOSL: search by words, in one kind of fields or in all of them.

A word matches whole words; ``*`` and ``?`` are wildcards inside or at its end. Of a phone number
the last digits are enough, however it is written [believed of Salesforce, not confirmed]. At most
2,000 rows are found, and sharing is applied after that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.org.data.schema import TEXT_TYPES, Field, ObjectType
from sandbox.org.data.state import State
from sandbox.org.data.store import Record
from sandbox.org.data.values import moment
from sandbox.org.errors import Refused, refused
from sandbox.org.query.execution import QueryRun
from sandbox.org.rules.access import Rights

MAX_ROWS = 2000
SHORTEST_NUMBER = 4
_FALLBACK = ("Account", "Contact", "Lead", "Case")
_STATEMENT = re.compile(
    r"""\s*FIND\s*\{(?P<words>(?:[^}\\]|\\.)*)\}
    (?:\s+IN\s+(?P<scope>ALL|NAME|EMAIL|PHONE|SIDEBAR)\s+FIELDS)?
    (?:\s+RETURNING\s+(?P<returning>.+?))?
    (?:\s+LIMIT\s+(?P<limit>\d+))?\s*\Z""",
    re.I | re.X | re.S,
)
_TERM = re.compile(r'"(?:[^"\\]|\\.)*"|[()]|(?:[^\s()"\\]|\\.)+')
_WORD = re.compile(r"[^\W_]+")

Matcher = Callable[[list["_Text"]], bool]


@dataclass(frozen=True)
class Source:
    """One object to search: which fields to return, and the clauses after them."""

    object: str
    columns: str = "Id"
    clauses: str = ""
    """``WHERE …``, ``ORDER BY …``, ``LIMIT …``, ``OFFSET …`` as in SOQL."""


@dataclass(frozen=True)
class Search:
    words: str
    sources: tuple[Source, ...]
    scope: str = "ALL"
    limit: int = MAX_ROWS


@dataclass(frozen=True)
class _Text:
    """A field's value as it is searched: its words, and its digits if it is a phone number."""

    words: tuple[str, ...]
    digits: str = ""


def parse(text: str) -> Search:
    """``FIND {words} IN PHONE FIELDS RETURNING Lead(Id WHERE … LIMIT 5), Contact``.

    Raises `Refused` with MALFORMED_SEARCH.
    """
    match = _STATEMENT.match(text)
    if match is None:
        if not re.match(r"\s*FIND\s*\{", text, re.I):
            raise _malformed("No search term found. The search term must be enclosed in braces.")
        rest = text.partition("}")[2].split()
        raise _malformed(f"unexpected token: '{rest[0] if rest else '<EOF>'}'")
    returning = match["returning"]
    sources = tuple(_sources(returning)) if returning else tuple(map(Source, _FALLBACK))
    return Search(
        words=match["words"],
        sources=sources,
        scope=(match["scope"] or "ALL").upper(),
        limit=min(MAX_ROWS, int(match["limit"] or MAX_ROWS)),
    )


def _sources(text: str) -> Iterator[Source]:
    for part in _split(text):
        match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", part, re.S)
        if match is None:
            raise _malformed(f"unexpected token: '{part.strip()}'")
        inner = (match[2] or "Id").strip()
        clause = re.search(r"\b(?:WHERE|ORDER\s+BY|LIMIT|OFFSET)\b", inner, re.I)
        at = clause.start() if clause else len(inner)
        yield Source(match[1], inner[:at].strip() or "Id", inner[at:].strip())


def _split(text: str) -> Iterator[str]:
    """Parts between commas that stand in no parentheses and in no text."""
    depth, start, quoted = 0, 0, False
    for at, char in enumerate(text):
        if char == "'" and text[at - 1 : at] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (char == "(") - (char == ")")
            if char == "," and depth == 0:
                yield text[start:at]
                start = at + 1
    yield text[start:]


def _malformed(message: str) -> Refused:
    return refused(400, "MALFORMED_SEARCH", message)


def run(state: State, search: Search, actor: Rights, *, version: str) -> list[dict[str, Any]]:
    """The rows of all sources; raises `Refused` as a query of the same clauses would."""
    bare = re.sub(r"\\(.)", r"\1", search.words).strip().strip('"')
    if len(bare) < 2:
        raise _malformed(f"search term must be longer than one character: {bare}")
    matches = _Expression(search.words).matcher()
    left = MAX_ROWS
    rows: list[dict[str, Any]] = []
    for source in search.sources:
        text = f"SELECT {source.columns} FROM {source.object} {source.clauses}".strip()
        query = QueryRun(state, text, actor, version=version)
        found = _matching(state, query.kind, search.scope, matches, actor)[:left]
        left -= len(found)
        rows.extend(query.rows(query.ids(among=set(found))))
    return rows[: search.limit]


def _matching(
    state: State, kind: ObjectType, scope: str, matches: Matcher, actor: Rights
) -> list[str]:
    """Ids of the records that match, whether the user may see them or not."""
    fields = [f for f in kind.fields.values() if actor.may_read(kind, f) and _is_in(f, scope)]
    newest = state.clock.now() - state.settings.search_lag_seconds
    return [
        record["Id"]
        for record in state.store[kind.name].live.values()
        if matches(_texts(record, fields)) and moment(record["SystemModstamp"]) <= newest
    ]


def _is_in(item: Field, scope: str) -> bool:
    if scope in ("EMAIL", "PHONE"):
        return item.type == scope.lower()
    if scope in ("NAME", "SIDEBAR"):
        return item.name_field or item.name in ("FirstName", "LastName")
    return item.type in TEXT_TYPES


def _texts(record: Record, fields: list[Field]) -> list[_Text]:
    values = ((item, str(record[item.name])) for item in fields if record.get(item.name))
    return [
        _Text(
            tuple(word.lower() for word in _WORD.findall(value)),
            re.sub(r"\D", "", value) if item.type == "phone" else "",
        )
        for item, value in values
    ]


class _Expression:
    """Words with AND, OR, AND NOT and parentheses; words side by side are ANDed."""

    def __init__(self, text: str) -> None:
        self._tokens = _TERM.findall(text)
        self._next = 0

    def matcher(self) -> Matcher:
        made = self._either()
        if self._next < len(self._tokens):
            raise _malformed(f"unexpected token: '{self._tokens[self._next]}'")
        return made

    def _ahead(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _either(self) -> Matcher:
        options = [self._both()]
        while self._ahead().upper() == "OR":
            self._next += 1
            options.append(self._both())
        return options[0] if len(options) == 1 else lambda texts: any(o(texts) for o in options)

    def _both(self) -> Matcher:
        needed = [self._one()]
        while self._ahead() and self._ahead() != ")" and self._ahead().upper() != "OR":
            if self._ahead().upper() == "AND":
                self._next += 1
            needed.append(self._one())
        return needed[0] if len(needed) == 1 else lambda texts: all(n(texts) for n in needed)

    def _one(self) -> Matcher:
        token = self._ahead()
        self._next += 1
        if token.upper() == "NOT":
            inner = self._one()
            return lambda texts: not inner(texts)
        if token == "(":
            inner = self._either()
            if self._ahead() != ")":
                raise _malformed("unexpected token: '<EOF>'")
            self._next += 1
            return inner
        if not token or token == ")" or token.upper() in ("AND", "OR"):
            raise _malformed(f"unexpected token: '{token or '<EOF>'}'")
        return _phrase(token)


def _phrase(token: str) -> Matcher:
    """A word, or the words of a phrase one after the other; or a phone number by its digits."""
    patterns = []
    for part in re.finditer(r"(?:[^\W_]|\\.|[*?])+", token):
        plain = re.sub(r"\\(.)", lambda m: m[1] if m[1].isalnum() else " ", part[0])
        for word in plain.split():
            wild = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in word.lower())
            patterns.append(re.compile(wild + r"\Z", re.S))
    bare = re.sub(r"\\(.)", r"\1", token)
    digits = re.sub(r"\D", "", bare)
    number = digits if digits and not re.search(r"[A-Za-z*?]", bare) else ""
    if not patterns and not number:
        return lambda texts: True

    def matches(texts: list[_Text]) -> bool:
        return any(
            (len(number) >= SHORTEST_NUMBER and text.digits.endswith(number))
            or _follow(text.words, patterns)
            for text in texts
        )

    return matches


def _follow(words: tuple[str, ...], patterns: list[re.Pattern[str]]) -> bool:
    return any(
        all(p.match(w) for p, w in zip(patterns, words[start:], strict=False))
        for start in range(len(words) - len(patterns) + 1)
    )
