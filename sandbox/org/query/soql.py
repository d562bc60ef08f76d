"""SOQL as text: from a query to a tree, or the position and words of what is wrong with it.

Understood: fields (with parents, ``Owner.Name``), ``COUNT()``, ``COUNT(field)``, WHERE with AND,
OR, NOT, comparison, LIKE, IN with a list, ORDER BY, LIMIT, OFFSET.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sandbox.org.errors import Refused, refused

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<moment>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2}))
    | (?P<date>\d{4}-\d{2}-\d{2})
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<mark><=|>=|!=|<>|[=<>(),])
    )""",
    re.X | re.S,
)
MAX_OFFSET = 2000
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Comparison:
    path: str
    operator: str
    value: Any
    at: int


@dataclass(frozen=True)
class Junction:
    """``and`` / ``or`` of several terms, ``not`` of one."""

    word: str
    terms: tuple[Term, ...]


Term = Comparison | Junction


@dataclass(frozen=True)
class Query:
    """A parsed query. Positions (`at`) are offsets into `text`, for error messages."""

    text: str
    columns: tuple[tuple[str, int], ...]
    source: str
    source_at: int
    where: Term | None = None
    order: tuple[tuple[str, bool, bool | None], ...] = ()
    """(path, descending, nulls last or None for the default)"""
    limit: int | None = None
    offset: int = 0
    count: bool = False
    """``SELECT COUNT()``: only the number is returned."""
    counted: tuple[str, ...] = ()
    """``COUNT(Id)`` columns: one aggregate row."""


def error_at(text: str, at: int, code: str, message: str) -> Refused:
    """A 400 with the query, a caret and the position, as Salesforce prints it."""
    row = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : end if end >= 0 else len(text)]
    column = at - start + 1
    if column > 60:
        line, shown = line[column - 60 :], 60
    else:
        shown = column
    where = f"ERROR at Row:{row}:Column:{column}"
    return refused(400, code, f"\n{line[:120]}\n{' ' * (shown - 1)}^\n{where}\n{message}")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind == "name" else self.text


def parse(text: str) -> Query:
    """Raises `Refused` with MALFORMED_QUERY."""
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._next = 0

    def _split(self, text: str) -> list[_Token]:
        tokens = []
        at = 0
        end = len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                raise error_at(
                    text, at, "MALFORMED_QUERY", f"unexpected token: '{text[at : at + 1]}'"
                )
            kind = match.lastgroup
            tokens.append(_Token(kind, match[kind], match.start(kind)))
            at = match.end()
        tokens.append(_Token("end", "<EOF>", len(text)))
        return tokens

    # --- tokens --------------------------------------------------------------------------

    @property
    def _now(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._now
        if token.kind != "end":
            self._next += 1
        return token

    def _accept(self, *words: str) -> bool:
        """Take these words if they all come next."""
        ahead = self._tokens[self._next : self._next + len(words)]
        if [t.word for t in ahead] != list(words):
            return False
        self._next += len(words)
        return True

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise self._unexpected()

    def _unexpected(self, token: _Token | None = None) -> Refused:
        token = token or self._now
        return error_at(
            self._text, token.at, "MALFORMED_QUERY", f"unexpected token: '{token.text}'"
        )

    def _name(self) -> _Token:
        token = self._take()
        reserved = ("FROM", "WHERE", "SELECT", "ORDER", "LIMIT", "AND", "OR")
        if token.kind != "name" or token.word in reserved:
            raise self._unexpected(token)
        return token

    def _number(self) -> int:
        token = self._take()
        if token.kind != "number" or not token.text.isdigit():
            raise self._unexpected(token)
        return int(token.text)

    # --- grammar -------------------------------------------------------------------------

    def query(self) -> Query:
        self._expect("SELECT")
        columns: list[tuple[str, int]] = []
        counted: list[str] = []
        count = False
        while True:
            token = self._name()
            if token.word == "COUNT" and self._accept("("):
                if self._accept(")"):
                    count = True
                else:
                    counted.append(self._name().text)
                    self._expect(")")
            else:
                columns.append((token.text, token.at))
            if not self._accept(","):
                break
        self._expect("FROM")
        source = self._name()
        where = self._either() if self._accept("WHERE") else None
        order = self._order() if self._accept("ORDER", "BY") else ()
        limit = self._number() if self._accept("LIMIT") else None
        offset_at = self._now.at
        offset = self._number() if self._accept("OFFSET") else 0
        if offset > MAX_OFFSET:
            message = f"Maximum SOQL offset allowed is {MAX_OFFSET}"
            raise error_at(self._text, offset_at, "NUMBER_OUTSIDE_VALID_RANGE", message)
        # Either marks what was found as seen by the user, which nothing here shows.
        if not self._accept("FOR", "VIEW"):
            self._accept("FOR", "REFERENCE")
        if self._now.word == "ALL":
            message = "ALL ROWS not allowed in this context"
            raise error_at(self._text, self._now.at, "MALFORMED_QUERY", message)
        if self._now.kind != "end":
            raise self._unexpected()
        return Query(
            text=self._text,
            columns=tuple(columns),
            source=source.text,
            source_at=source.at,
            where=where,
            order=order,
            limit=limit,
            offset=offset,
            count=count,
            counted=tuple(counted),
        )

    def _order(self) -> tuple[tuple[str, bool, bool | None], ...]:
        order: list[tuple[str, bool, bool | None]] = []
        while True:
            path = self._name().text
            descending = self._accept("DESC")
            if not descending:
                self._accept("ASC")
            last: bool | None = None
            if self._accept("NULLS", "LAST"):
                last = True
            elif self._accept("NULLS", "FIRST"):
                last = False
            order.append((path, descending, last))
            if not self._accept(","):
                return tuple(order)

    def _either(self) -> Term:
        terms = [self._both()]
        while self._accept("OR"):
            terms.append(self._both())
        return terms[0] if len(terms) == 1 else Junction("or", tuple(terms))

    def _both(self) -> Term:
        terms = [self._term()]
        while self._accept("AND"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else Junction("and", tuple(terms))

    def _term(self) -> Term:
        if self._accept("NOT"):
            return Junction("not", (self._term(),))
        if self._accept("("):
            inner = self._either()
            self._expect(")")
            return inner
        field = self._name()
        if self._accept("NOT", "IN"):
            return Junction("not", (self._list(field),))
        if self._accept("IN"):
            return self._list(field)
        if self._accept("LIKE"):
            token = self._take()
            if token.kind != "text":
                raise self._unexpected(token)
            return Comparison(field.text, "like", _text(token.text), field.at)
        operator = self._take()
        if operator.text not in ("=", "!=", "<>", "<", ">", "<=", ">="):
            raise self._unexpected(operator)
        sign = "!=" if operator.text == "<>" else operator.text
        return Comparison(field.text, sign, self._value(), field.at)

    def _list(self, field: _Token) -> Comparison:
        self._expect("(")
        values = [self._value()]
        while self._accept(","):
            values.append(self._value())
        self._expect(")")
        return Comparison(field.text, "in", tuple(values), field.at)

    def _value(self) -> Any:
        token = self._take()
        if token.kind == "text":
            return _text(token.text)
        if token.kind == "number":
            return float(token.text) if "." in token.text else int(token.text)
        if token.kind in ("moment", "date"):
            return token.text
        if token.kind == "name":
            known = {"NULL": None, "TRUE": True, "FALSE": False}
            if token.word in known:
                return known[token.word]
        raise self._unexpected(token)


def _text(quoted: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), quoted[1:-1], flags=re.S)
