"""Running a parsed query on the records that one user may see."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

from sandbox.org.data import ids
from sandbox.org.data.clock import stamp
from sandbox.org.data.fields import READ_ONLY, text
from sandbox.org.data.schema import TEXT_TYPES, Field, ObjectType, object_type
from sandbox.org.data.state import State
from sandbox.org.data.store import Record
from sandbox.org.data.values import moment, printed
from sandbox.org.errors import Refused, refused
from sandbox.org.query import soql
from sandbox.org.query.soql import Comparison, Junction, Term, error_at
from sandbox.org.rules.access import Rights, may_be_hidden, sees

Test = Callable[[Record], bool]
Path = tuple[tuple[Field, ObjectType], ...]


_LINKS_NEED_AN_ID = (
    "Implementation restriction: ContentDocumentLink requires a filter by a single Id on "
    "ContentDocumentId or LinkedEntityId using the equals operator or multiple Id's using the IN "
    "operator."
)

# What a look-up to several objects can be queried for.
_NAME = object_type(
    "Name",
    "",
    [
        text("Name", "Name", 255, **READ_ONLY),
        text("Type", "Type", 40, **READ_ONLY),
        text("FirstName", "First Name", 40, **READ_ONLY),
        text("LastName", "Last Name", 80, **READ_ONLY),
        text("Title", "Title", 128, **READ_ONLY),
        text("Email", "Email", 80, **READ_ONLY),
        text("Phone", "Phone", 40, **READ_ONLY),
        text("Username", "Username", 80, **READ_ONLY),
        text("Alias", "Alias", 8, **READ_ONLY),
    ],
    setup=True,
)


class QueryRun:
    """One query by one user. Raises `Refused` with INVALID_FIELD, INVALID_TYPE, MALFORMED_QUERY."""

    def __init__(
        self,
        state: State,
        text: str,
        actor: Rights,
        *,
        version: str = "v68.0",
        deleted: bool = False,
        tooling: bool = False,
    ) -> None:
        self._state = state
        self._actor = actor
        self._version = version
        self._deleted = deleted
        self._tooling = tooling
        self.query = soql.parse(text)
        self.kind = self._source()

    def _source(self) -> ObjectType:
        query = self.query
        kind = self._state.schema.find(query.source)
        if (
            kind is None
            or not self._actor.may_object(kind, "Read")
            or (kind.tooling and not self._tooling)
        ):
            raise error_at(
                query.text,
                query.source_at,
                "INVALID_TYPE",
                f"sObject type '{query.source}' is not supported. If you are attempting to use a "
                "custom object, be sure to append the '__c' after the entity name. Please "
                "reference your WSDL or the describe call for the appropriate names.",
            )
        return kind

    # --- rows ----------------------------------------------------------------------------

    def ids(self, *, among: set[str] | None = None) -> list[str]:
        """Ids of all records that match, in order; LIMIT and OFFSET are applied.

        `among` are the only ones that count, where a search found them first.
        """
        query = self.query
        self._columns()
        if self.kind.name == "ContentDocumentLink" and not _names_one_end(query.where):
            raise refused(400, "MALFORMED_QUERY", _LINKS_NEED_AN_ID)
        test = self._test(query.where) if query.where is not None else None
        hidden = may_be_hidden(self._state, self.kind)
        rows = [
            record
            for record in self._candidates(query.where)
            if (among is None or record["Id"] in among)
            and (test is None or test(record))
            and (not hidden or sees(self._state, self.kind, record, self._actor))
        ]
        for path, descending, nulls_last in reversed(query.order):
            steps = self._resolve(path, query.text.find(path))
            if _is_long(steps[-1][0]):
                raise self._cannot_be("sorted", steps[-1][0], query.text.find(path))
            last = nulls_last if nulls_last is not None else descending

            def key(record: Record, steps: Path = steps, low: bool = last == descending) -> Any:
                value = self._value(record, steps)
                if isinstance(value, str):
                    value = value.lower()
                return (0 if low else 1,) if value is None else (1 if low else 0, value)

            rows.sort(key=key, reverse=descending)
        end = None if query.limit is None else query.offset + query.limit
        return [record["Id"] for record in rows[query.offset : end]]

    def _candidates(self, where: Term | None) -> Iterable[Record]:
        """All records, or only those that an index names."""
        table = self._state.store[self.kind.name]
        for term in (
            where.terms if isinstance(where, Junction) and where.word == "and" else (where,)
        ):
            if not isinstance(term, Comparison) or term.operator not in ("=", "in"):
                continue
            values = (term.value,) if term.operator == "=" else term.value
            if not isinstance(values, tuple) or not all(isinstance(v, str) for v in values):
                continue
            item = self.kind.field(term.path)
            if item is None:
                continue
            if not (item.name == "Id" or item.indexed or item.type == "reference"):
                continue
            found: dict[str, Record] = {}
            for value in values:
                full = ids.normalise(value) or ""
                if item.name == "Id":
                    hits: tuple[str, ...] = (full,) if full in table.live else ()
                elif item.type == "reference":
                    hits = table.linked(item.name, full)
                else:
                    hits = table.ids_with(item.name, value)
                found.update((hit, table.live[hit]) for hit in hits)
            return [*found.values(), *(table.deleted.values() if self._deleted else ())]
        return list(table.all()) if self._deleted else list(table.live.values())

    def rows(self, record_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Records as the response prints them. Those deleted meanwhile are left out."""
        table = self._state.store[self.kind.name]
        columns = self._columns()
        found = (table.any(record_id) for record_id in record_ids)
        return [self._print(record, columns) for record in found if record is not None]

    def paths(self) -> list[Path]:
        """The selected columns, each as steps from field to field."""
        return [path for _, path in self._columns()]

    def _columns(self) -> list[tuple[str, Path]]:
        columns: list[tuple[str, Path]] = []
        seen: set[str] = set()
        for name, at in self.query.columns:
            if name.lower() in seen:
                message = f"duplicate field selected: {name}"
                raise error_at(self.query.text, at, "INVALID_FIELD", message)
            seen.add(name.lower())
            columns.append((name, self._resolve(name, at)))
        for name in self.query.counted:
            self._resolve(name, self.query.text.find(name))
        return columns

    def _print(self, record: Record, columns: list[tuple[str, Path]]) -> dict[str, Any]:
        body: dict[str, Any] = {"attributes": self._attributes(self.kind, record)}
        for _name, path in columns:
            target, at = body, record
            for item, _kind in path[:-1]:
                parent_kind, parent = self._parent(item, at)
                assert item.relationship is not None
                if parent is None or parent_kind is None:
                    target[item.relationship] = None
                    break
                inner = target.get(item.relationship)
                if inner is None:
                    inner = {"attributes": self._attributes(parent_kind, parent)}
                    target[item.relationship] = inner
                target, at = inner, parent
            else:
                item, kind = path[-1]
                target[item.name] = printed(kind, item, at, self._version)
        return body

    def _attributes(self, kind: ObjectType, record: Record) -> dict[str, str]:
        base = "tooling/sobjects" if kind.tooling else "sobjects"
        return {
            "type": kind.name,
            "url": f"/services/data/{self._version}/{base}/{kind.name}/{record['Id']}",
        }

    # --- fields --------------------------------------------------------------------------

    def _resolve(self, path: str, at: int) -> Path:
        """``Owner.Name`` as steps from field to field; raises `Refused` with INVALID_FIELD."""
        kind = self.kind
        steps: list[tuple[Field, ObjectType]] = []
        parts = path.split(".")
        if len(parts) > 1 and parts[0].lower() == kind.name.lower():
            parts = parts[1:]
        for part in parts[:-1]:
            item = kind.relationship(part)
            if item is None or not self._actor.may_read(kind, item):
                raise self._no_relationship(part, kind, at)
            steps.append((item, kind))
            several = len(item.reference_to) > 1
            kind = _NAME if several else self._state.schema[item.reference_to[0]]
        item = kind.field(parts[-1])
        if item is None or not self._actor.may_read(kind, item):
            raise error_at(
                self.query.text,
                max(at, 0),
                "INVALID_FIELD",
                f"No such column '{parts[-1]}' on entity '{kind.name}'. If you are attempting to "
                "use a custom field, be sure to append the '__c' after the custom field name. "
                "Please reference your WSDL or the describe call for the appropriate names.",
            )
        return (*steps, (item, kind))

    def _no_relationship(self, part: str, kind: ObjectType, at: int) -> Refused:
        return error_at(
            self.query.text,
            max(at, 0),
            "INVALID_FIELD",
            f"Didn't understand relationship '{part}' in field path. If you are attempting to use "
            "a custom relationship, be sure to append the '__r' after the custom relationship "
            "name. Please reference your WSDL or the describe call for the appropriate names.",
        )

    def _parent(self, item: Field, record: Record) -> tuple[ObjectType | None, Record | None]:
        parent_id = record.get(item.name)
        kind = self._state.schema.by_id(parent_id) if parent_id else None
        parent = self._state.store[kind.name].any(parent_id) if kind and parent_id else None
        if kind is not None and parent is not None and len(item.reference_to) > 1:
            # A case has no name: its number stands in its place.
            name = parent.get("Name") or parent.get("CaseNumber")
            parent = {**parent, "Name": name, "Type": "Queue" if _is_queue(parent) else kind.name}
        return kind, parent

    def _value(self, record: Record, path: Path) -> Any:
        at: Record | None = record
        for item, _kind in path[:-1]:
            at = self._parent(item, at)[1] if at is not None else None
        item = path[-1][0]
        value = at.get(item.name) if at is not None else None
        return False if value is None and item.type == "boolean" else value

    # --- conditions ----------------------------------------------------------------------

    def _test(self, term: Term) -> Test:
        if isinstance(term, Junction):
            tests = [self._test(inner) for inner in term.terms]
            if term.word == "not":
                return lambda record: not tests[0](record)
            every = term.word == "and"
            return lambda record: (all if every else any)(test(record) for test in tests)
        path = self._resolve(term.path, term.at)
        item = path[-1][0]
        if _is_long(item):
            raise self._cannot_be("filtered", item, term.at)
        compare = self._compare(term, item)
        return lambda record: compare(self._value(record, path))

    def _cannot_be(self, what: str, item: Field, at: int) -> Refused:
        message = f"field '{item.name}' can not be {what} in a query call"
        return error_at(self.query.text, max(at, 0), "INVALID_FIELD", message)

    def _compare(self, term: Comparison, item: Field) -> Callable[[Any], bool]:
        operator = term.operator
        if operator not in ("=", "!=", "in"):
            self._check_operator(term, item)
        if operator == "like":
            pattern = _like(term.value)
            return lambda value: isinstance(value, str) and pattern.match(value) is not None
        if operator == "in":
            wanted = {self._literal(term, item, value) for value in term.value}
            return lambda value: _key(item, value) in wanted
        right = self._literal(term, item, term.value)
        if operator == "=":
            return lambda value: bool(_key(item, value) == right)
        if operator == "!=":
            return lambda value: bool(_key(item, value) != right)
        if right is None:
            raise self._unfit(term, item)
        return lambda value: value is not None and _ordered(operator, _key(item, value), right)

    def _check_operator(self, term: Comparison, item: Field) -> None:
        """``LIKE`` compares text only, and ``<`` neither ids nor booleans."""
        text = item.type in TEXT_TYPES
        if item.type in ("id", "reference"):
            message = "invalid operator on id field"
        elif (term.operator == "like" and not text) or item.type in ("boolean", "multipicklist"):
            message = "invalid operator"
        else:
            return
        raise error_at(self.query.text, term.at, "INVALID_QUERY_FILTER_OPERATOR", message)

    def _literal(self, term: Comparison, item: Field, value: Any) -> Any:
        """A literal in the form in which the field's values are compared."""
        if value is None:
            return None
        number = item.type in ("int", "double", "currency", "percent")
        fits = {
            "boolean": isinstance(value, bool),
            "date": isinstance(value, str),
            "datetime": isinstance(value, str),
        }.get(
            item.type,
            isinstance(value, int | float) and not isinstance(value, bool)
            if number
            else isinstance(value, str),
        )
        if not fits:
            raise self._unfit(term, item)
        if item.type in ("id", "reference") and value and ids.normalise(value) is None:
            raise error_at(
                self.query.text,
                term.at,
                "INVALID_QUERY_FILTER_OPERATOR",
                f"invalid ID field: {value}",
            )
        if item.type == "datetime":
            try:
                return stamp(moment(value))
            except ValueError:
                raise self._unfit(term, item) from None
        return _key(item, value)

    def _unfit(self, term: Comparison, item: Field) -> Refused:
        return error_at(
            self.query.text,
            term.at,
            "INVALID_FIELD",
            f"value of filter criterion for field '{item.name}' must be of type "
            + (
                "string and should be enclosed in quotes"
                if item.type in TEXT_TYPES or item.type in ("reference", "id")
                else f"{item.type} and should not be enclosed in quotes"
            ),
        )


def _names_one_end(where: Term | None) -> bool:
    """Whether a filter has one end of a ContentDocumentLink by ``=`` or ``IN``."""
    terms = where.terms if isinstance(where, Junction) and where.word == "and" else (where,)
    return any(
        isinstance(term, Comparison)
        and term.path.lower() in ("contentdocumentid", "linkedentityid")
        and term.operator in ("=", "in")
        for term in terms
    )


def _is_long(item: Field) -> bool:
    """Whether a field can be neither filtered nor sorted by."""
    return item.type == "address" or (item.type == "textarea" and item.length > 255)


def _is_queue(record: Record) -> bool:
    return record["Id"].startswith("00G") and record.get("Type") == "Queue"


class Cursors:
    """The rows of large queries, so that the next pages are those of the first."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[QueryRun, list[str]]] = {}
        self._numbers = itertools.count(1)

    def keep(self, run: QueryRun, record_ids: list[str]) -> str:
        """Remember the rows and return their locator; the oldest of many are forgotten."""
        locator = f"01g{next(self._numbers):012d}AAA"
        self._open[locator] = (run, record_ids)
        while len(self._open) > 50:
            del self._open[next(iter(self._open))]
        return locator

    def find(self, locator: str) -> tuple[QueryRun, list[str]] | None:
        return self._open.get(locator)


def _key(item: Field, value: Any) -> Any:
    """A value in the form in which it is compared: ids in 18 characters, text without case."""
    if item.type in ("id", "reference") and isinstance(value, str):
        return ids.normalise(value) or value
    if item.type == "boolean" and value is None:
        return False
    return item.fold(value)


def _ordered(operator: str, left: Any, right: Any) -> bool:
    if operator == "<":
        return bool(left < right)
    if operator == ">":
        return bool(left > right)
    return bool(left <= right) if operator == "<=" else bool(left >= right)


def _like(pattern: str) -> re.Pattern[str]:
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in pattern) + r"\Z", re.I | re.S)
