"""Where records lie: one table per object, indexes for keys, and an undo log.

The store knows nothing about rules or rights. Every method must be called under the org's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.org.data.schema import Field, ObjectType, Schema

Record = dict[str, Any]


class Table:
    """The records of one object, live and deleted (a deleted one frees its keys)."""

    def __init__(self, kind: ObjectType) -> None:
        self.kind = kind
        self.live: dict[str, Record] = {}
        self.deleted: dict[str, Record] = {}
        self._indexes: dict[str, dict[Any, tuple[str, ...]]] = {}
        self._folds: dict[str, Callable[[Any], Any]] = {}
        for item in kind.fields.values():
            if item.indexed:
                self.index(item)

    def index(self, item: Field) -> None:
        """Make, or make again, the index of a field."""
        self.index_by(item.name, item.fold)

    def index_by(self, name: str, fold: Callable[[Any], Any]) -> None:
        self._folds[name] = fold
        built: dict[Any, tuple[str, ...]] = {}
        for record in self.live.values():
            key = fold(record.get(name))
            if key is not None:
                built[key] = (*built.get(key, ()), record["Id"])
        self._indexes[name] = built

    def drop_index(self, name: str) -> None:
        self._indexes.pop(name, None)
        self._folds.pop(name, None)

    def has_index(self, name: str) -> bool:
        return name in self._indexes

    def ids_with(self, name: str, value: Any) -> tuple[str, ...]:
        """Ids of the live records whose indexed field has this value."""
        key = self._folds[name](value)
        return self._indexes[name].get(key, ()) if key is not None else ()

    def linked(self, name: str, record_id: str) -> tuple[str, ...]:
        """Ids of the live records whose look-up field has this id."""
        if name not in self._indexes:
            self.index_by(name, _same)
        return self.ids_with(name, record_id)

    def any(self, record_id: str) -> Record | None:
        return self.live.get(record_id) or self.deleted.get(record_id)

    def all(self) -> Iterator[Record]:
        yield from self.live.values()
        yield from self.deleted.values()

    def _enter(self, record: Record) -> None:
        for name, index in self._indexes.items():
            value = record.get(name)
            if value is not None:
                key = self._folds[name](value)
                if key is not None:
                    index[key] = (*index.get(key, ()), record["Id"])

    def _leave(self, record: Record) -> None:
        for name, index in self._indexes.items():
            value = record.get(name)
            if value is not None:
                key = self._folds[name](value)
                left = tuple(i for i in index.get(key, ()) if i != record["Id"])
                if left:
                    index[key] = left
                else:
                    index.pop(key, None)


def _same(value: Any) -> Any:
    return value


class Store:
    """All tables of an org."""

    def __init__(self, schema: Schema) -> None:
        self.tables = {name: Table(kind) for name, kind in schema.objects.items()}
        self.version = 0
        """Grows with each change, so that what was derived from records can be kept until then."""
        self._undo: list[Callable[[], None]] | None = None

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]

    def find(self, kind: ObjectType, record_id: str) -> Record | None:
        return self.tables[kind.name].live.get(record_id)

    def insert(self, name: str, record: Record) -> None:
        table = self.tables[name]
        table.live[record["Id"]] = record
        table._enter(record)
        self._note(table, lambda: self._remove(table, record))

    def update(self, name: str, record_id: str, changes: Record) -> Record:
        """Put changed values into a live record; None empties a field."""
        table = self.tables[name]
        before = table.live[record_id]
        after = {k: v for k, v in {**before, **changes}.items() if v is not None}
        self._swap(table, before, after)
        self._note(table, lambda: self._swap(table, after, before))
        return after

    def delete(self, name: str, record_id: str, changes: Record) -> None:
        """Move a record to the recycle bin. Its keys are free from now on."""
        table = self.tables[name]
        before = table.live[record_id]
        self._remove(table, before)
        table.deleted[record_id] = {**before, **changes, "IsDeleted": True}

        def back() -> None:
            del table.deleted[record_id]
            table.live[record_id] = before
            table._enter(before)

        self._note(table, back)

    def undelete(self, name: str, record_id: str) -> None:
        table = self.tables[name]
        record = table.deleted.pop(record_id)
        record = {**record, "IsDeleted": False}
        table.live[record_id] = record
        table._enter(record)
        self._note(table, lambda: None)

    def purge(self, names: Iterable[str]) -> None:
        """Forget all records of some objects, deleted ones too."""
        for name in names:
            table = self.tables[name]
            table.live.clear()
            table.deleted.clear()
            for index in table._indexes.values():
                index.clear()
        self.version += 1

    @contextmanager
    def transaction(self) -> Iterator[Callable[[], None]]:
        """Yields a function that undoes everything done inside so far. Nests."""
        outer = self._undo
        if outer is None:
            self._undo = []
        log = self._undo
        assert log is not None
        start = len(log)

        def roll_back() -> None:
            while len(log) > start:
                log.pop()()

        try:
            yield roll_back
        finally:
            self._undo = outer

    def _note(self, table: Table, undo: Callable[[], None]) -> None:
        if table.kind.setup:
            self.version += 1
        if self._undo is not None:
            self._undo.append(undo)

    def _remove(self, table: Table, record: Record) -> None:
        del table.live[record["Id"]]
        table._leave(record)
        if table.kind.setup:
            self.version += 1

    def _swap(self, table: Table, before: Record, after: Record) -> None:
        table._leave(before)
        table.live[before["Id"]] = after
        table._enter(after)
        if table.kind.setup:
            self.version += 1
