"""The state of one org: everything that its parts share, and nothing that decides.

Rules, queries and OAuth work on a `State`; `sandbox.org.org.Org` is a state with those parts.
One lock guards every change, so a commit is seen whole or not at all.
"""

from __future__ import annotations

import itertools
import threading
from typing import Any

from sandbox.org.data.clock import Clock
from sandbox.org.data.ids import IdMaker
from sandbox.org.data.journal import Journal
from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.settings import Settings
from sandbox.org.data.standard import standard_schema
from sandbox.org.data.store import Record, Store


class State:
    """Objects, records, settings, clock and counts of one org."""

    def __init__(self, name: str) -> None:
        self.lock = threading.RLock()
        self.name = name
        self.clock = Clock()
        self.ids = IdMaker()
        self.settings = Settings()
        self.schema = standard_schema()
        self.store = Store(self.schema)
        self.journal = Journal()
        self.url = "http://localhost"
        """The address of the server that runs the org; the server sets it."""
        self.former_hosts: set[str] = set()
        """Host names given up when My Domain was renamed: they redirect."""
        self._case_numbers = itertools.count(1001)
        self.org_id = self.ids.make("00D")
        self.system_user_id = ""
        """Who has changed what no user changed."""
        self.put_raw(
            "Organization",
            Id=self.org_id,
            Name=name,
            OrganizationType="Enterprise Edition",
            IsSandbox=False,
            InstanceName="SBX1",
            LanguageLocaleKey="en_US",
            TimeZoneSidKey="Europe/Amsterdam",
            DefaultLocaleSidKey="en_US",
        )

    @property
    def instance_url(self) -> str:
        return self.settings.instance_url or self.url

    def next_case_number(self) -> str:
        return f"{next(self._case_numbers):08d}"

    def user(self, username: str) -> Record | None:
        """The user with this name, upper or lower case, or None."""
        table = self.store["User"]
        found = table.ids_with("Username", username)
        return table.live[found[0]] if found else None

    def put_field(self, kind: ObjectType, item: Field) -> None:
        """Add a field or change one, with its index."""
        kind.put(item)
        table = self.store[kind.name]
        if item.indexed:
            table.index(item)
        else:
            table.drop_index(item.name)

    def remove_field(self, object_name: str, name: str) -> None:
        with self.lock:
            kind = self.schema[object_name]
            kind.drop(name)
            self.store[kind.name].drop_index(name)

    def put_raw(self, object_name: str, **fields: Any) -> str:
        """Insert a record without any rule and return its id: set-up that happened long ago."""
        now = self.clock.stamp()
        kind = self.schema[object_name]
        record: Record = {
            "Id": fields.pop("Id", None) or self.ids.make(kind.prefix),
            **{name: value for name, value in fields.items() if value is not None},
            "IsDeleted": False,
            "CreatedDate": now,
            "LastModifiedDate": now,
            "SystemModstamp": now,
        }
        for item in kind.fields.values():
            if item.default is not None:
                record.setdefault(item.name, item.default)
        self.store.insert(object_name, record)
        return str(record["Id"])

    def forget_records(self) -> None:
        """Empty all objects that hold business data; users, rights and fields stay."""
        with self.lock:
            self.store.purge(n for n, t in self.store.tables.items() if not t.kind.setup)
            self._case_numbers = itertools.count(1001)
