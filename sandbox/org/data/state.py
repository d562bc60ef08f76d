"""The state of one org: everything that its parts share, and nothing that decides.

Rules, queries and OAuth work on a `State`; `sandbox.org.org.Org` is a state with those parts.
One lock guards every change, so a commit is seen whole or not at all.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from dataclasses import replace
from typing import Any

from sandbox.org.data.clock import Clock
from sandbox.org.data.fields import pick
from sandbox.org.data.ids import IdMaker
from sandbox.org.data.journal import Journal
from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.settings import Settings
from sandbox.org.data.standard import standard_schema
from sandbox.org.data.store import Record, Store, Table

MASTER_RECORD_TYPE = "012000000000000AAA"
"""Of records without a record type."""

STATUSES = {"Lead": "LeadStatus", "Case": "CaseStatus", "Task": "TaskStatus"}
"""By object, the object with the meaning of its statuses."""


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
        self._case_numbers = itertools.count(1001)
        self.org_id = self.ids.make("00D")
        self.system_user_id = ""
        """Who has changed what no user changed."""
        self.countries: dict[str, str] = {}
        """Country picklist: name to code; empty where state and country picklists are off."""
        self.states: dict[str, str] = {}
        self.locked: set[str] = set()
        """Ids of records that an approval process has locked."""
        self.deleted_with: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        """By the id of a deleted record: object and id of those deleted because of it."""
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
        for object_name in STATUSES:
            for value in self.schema[object_name].fields["Status"].values:
                self._put_status(
                    object_name,
                    value,
                    closed=value in ("Closed", "Completed"),
                    converted=value == "Closed - Converted",
                )

    @property
    def instance_url(self) -> str:
        return self.settings.instance_url or self.url

    def identity_url(self, user_id: str) -> str:
        """The address of a user's identity: who a token belongs to, in every token response."""
        return f"{self.url}/id/{self.org_id}/{user_id}"

    def next_case_number(self) -> str:
        return f"{next(self._case_numbers):08d}"

    def user(self, username: str) -> Record | None:
        """The user with this name, upper or lower case, or None."""
        table = self.store["User"]
        found = table.ids_with("Username", username)
        return table.live[found[0]] if found else None

    def put_object(self, kind: ObjectType) -> None:
        """Add an object, without any record."""
        with self.lock:
            self.schema.put(kind)
            self.store.tables[kind.name] = Table(kind)

    def put_field(self, object_name: str, item: Field) -> None:
        """Add a field or change one, with its index. Activity stands for Task and Event."""
        for kind in self.schema.with_fields_of(object_name):
            kind.put(item)
            table = self.store[kind.name]
            if item.indexed:
                table.index(item)
            else:
                table.drop_index(item.name)

    def remove_field(self, object_name: str, name: str) -> None:
        """Remove a field. Activity stands for Task and Event."""
        with self.lock:
            for kind in self.schema.with_fields_of(object_name):
                kind.drop(name)
                self.store[kind.name].drop_index(name)

    def add_status(
        self, object_name: str, value: str, *, closed: bool = False, converted: bool = False
    ) -> None:
        """Add a status of Lead, Case or Task to its picklist, and what it means."""
        item = self.schema[object_name].fields["Status"]
        self.put_field(object_name, replace(item, values=(*item.values, value)))
        self._put_status(object_name, value, closed=closed, converted=converted)

    def _put_status(self, object_name: str, value: str, *, closed: bool, converted: bool) -> None:
        item = self.schema[object_name].fields["Status"]
        meaning = {"IsConverted": converted} if object_name == "Lead" else {"IsClosed": closed}
        self.put_raw(
            STATUSES[object_name],
            MasterLabel=value,
            ApiName=value,
            IsDefault=value == item.default,
            SortOrder=item.values.index(value) + 1,
            **meaning,
        )

    def is_closed(self, object_name: str, status: str | None) -> bool:
        """Whether a status of Case or Task means that the record is closed."""
        rows = self.store[STATUSES[object_name]].live.values()
        return any(row["ApiName"] == status and row["IsClosed"] for row in rows)

    def add_address_picklists(self, countries: dict[str, str], states: dict[str, str]) -> None:
        """Switch state and country picklists on: names to codes, with the fields for codes."""
        self.countries, self.states = countries, states
        for kind in self.schema.objects.values():
            for item in [f for f in kind.fields.values() if f.type == "address"]:
                prefix = item.name.removesuffix("Address")
                for name, known in (("Country", countries), ("State", states)):
                    label = f"{prefix} {name} Code".strip()
                    code = pick(f"{prefix}{name}Code", label, "/".join(known.values()))
                    self.put_field(kind.name, replace(code, restricted=True))

    def add_queue(self, name: str, *object_names: str) -> str:
        """Make a queue that may own records of these objects, and return its id."""
        queue_id = self.put_raw(
            "Group", Name=name, DeveloperName=name.replace(" ", "_"), Type="Queue"
        )
        for object_name in object_names:
            self.put_raw("QueueSobject", QueueId=queue_id, SobjectType=object_name)
        return queue_id

    def add_record_type(self, object_name: str, developer_name: str, *, label: str = "") -> str:
        """Make an active record type of an object, and return its id."""
        return self.put_raw(
            "RecordType",
            SobjectType=object_name,
            DeveloperName=developer_name,
            Name=label or developer_name.replace("_", " "),
            IsActive=True,
        )

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

    def insert_with(self, object_name: str, fields: Record, touched: Record) -> str:
        """Insert a record that Salesforce makes beside another one, and return its id.

        `touched` are the system fields that say when it was made, and by whom.
        """
        new_id = self.ids.make(self.schema[object_name].prefix)
        record: Record = {
            "Id": new_id,
            **{name: value for name, value in fields.items() if value is not None},
            "IsDeleted": False,
            "CreatedDate": touched["SystemModstamp"],
            "CreatedById": touched["LastModifiedById"],
            **touched,
        }
        self.store.insert(object_name, record)
        return new_id

    def forget_records(self) -> None:
        """Empty all objects that hold business data; users, rights and fields stay."""
        with self.lock:
            self.store.purge(n for n, t in self.store.tables.items() if not t.kind.setup)
            self._case_numbers = itertools.count(1001)
            self.locked.clear()
            self.deleted_with.clear()
