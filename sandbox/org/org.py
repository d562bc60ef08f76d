"""One Salesforce org in memory: the object model behind both front doors.

In process, `Org` is used as it is. Over HTTP, `sandbox.org.http.server.OrgServer` serves the same
object. One lock guards every change, so a commit is seen whole or not at all.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Self

from sandbox.org.data import ids
from sandbox.org.data.clock import Clock
from sandbox.org.data.ids import IdMaker
from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.settings import Settings
from sandbox.org.data.standard import OBJECT_PERMISSIONS, standard_schema
from sandbox.org.data.store import Record, Store
from sandbox.org.errors import Refused, not_found
from sandbox.org.journal import Journal
from sandbox.org.oauth.oauth import OAuth
from sandbox.org.query.query import QueryRun
from sandbox.org.rules.access import SYSTEM, AccessBook, Rights
from sandbox.org.rules.rules import (
    AssignmentRule,
    BeforeTrigger,
    Condition,
    DuplicateRule,
    Rules,
    ValidationRule,
)
from sandbox.org.rules.saving import SaveOptions, Saver, raise_for
from sandbox.org.trouble import Trouble
from sandbox.org.usage import Usage

KEY_FIELD = "Bird_Key__c"


class Org:
    """A whole org. `Org.sample()` is ready to use; `Org.bare()` is what a customer starts with."""

    def __init__(self, name: str = "Sandbox org") -> None:
        self.lock = threading.RLock()
        self.name = name
        self.clock = Clock()
        self.ids = IdMaker()
        self.settings = Settings()
        self.schema = standard_schema()
        self.store = Store(self.schema)
        self.rules = Rules()
        self.access = AccessBook(self.store)
        self.trouble = Trouble()
        self.journal = Journal()
        self.usage = Usage(self)
        self.saver = Saver(self)
        self.oauth = OAuth(self)
        self.url = "http://localhost"
        """The address of the server that runs it; `OrgServer` sets it."""
        self.former_hosts: set[str] = set()
        """Host names that were given up by `rename`: they answer with a redirect."""
        self.cursors: dict[str, Any] = {}
        """Open query cursors, the newest last."""
        self._case_numbers = itertools.count(1001)
        self._cursor_numbers = itertools.count(1)
        self.org_id = self.ids.make("00D")
        self.system_user_id = ""
        self._insert_raw(
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

    @classmethod
    def sample(cls) -> Self:
        """An org that is ready: app, users, permission set, and Bird_Key__c on Lead and Case."""
        from sandbox.org.sample import fill_bare, fill_ready

        org = cls()
        fill_bare(org)
        fill_ready(org)
        return org

    @classmethod
    def bare(cls) -> Self:
        """The same without the field and without the permission set: for ``setup-org``."""
        from sandbox.org.sample import fill_bare

        org = cls()
        fill_bare(org)
        return org

    @property
    def instance_url(self) -> str:
        return self.settings.instance_url or self.url

    # --- records, in process --------------------------------------------------------------

    def rights(self, username: str | None) -> Rights:
        """What a user may do; None is the org itself, which may do everything."""
        if username is None:
            return SYSTEM
        user = self.oauth.user(username)
        if user is None:
            raise KeyError(username)
        return self.access.rights(user["Id"])

    def create(
        self,
        object_name: str,
        fields: dict[str, Any],
        *,
        user: str | None = None,
        auto_assign: bool | str = True,
        allow_duplicates: bool = False,
    ) -> str:
        """Make a record and return its id; raises `Refused`. `user` is a user name."""
        options = SaveOptions(auto_assign=auto_assign, allow_duplicates=allow_duplicates)
        with self.lock:
            rows = [(self.schema[object_name], fields)]
            outcome = self.saver.insert(rows, self.rights(user), options)[0]
        raise_for(outcome)
        assert outcome.id is not None
        return outcome.id

    def update(
        self, object_name: str, record_id: str, fields: dict[str, Any], *, user: str | None = None
    ) -> None:
        """Change a record; raises `Refused`."""
        with self.lock:
            rows = [(self.schema[object_name], record_id, fields)]
            outcome = self.saver.update(rows, self.rights(user), SaveOptions())[0]
        raise_for(outcome)

    def delete(self, object_name: str, record_id: str, *, user: str | None = None) -> None:
        """Move a record to the recycle bin, which frees its keys; raises `Refused`."""
        with self.lock:
            outcome = self.saver.delete([(self.schema[object_name], record_id)], self.rights(user))
        raise_for(outcome[0])

    def merge(self, object_name: str, master_id: str, *loser_ids: str) -> None:
        """Merge records: the losers are deleted and name their master."""
        with self.lock:
            for loser in loser_ids:
                changes = {"MasterRecordId": ids.normalise(master_id)}
                self.store.delete(object_name, ids.normalise(loser) or loser, changes)

    def get(self, object_name: str, record_id: str) -> Record | None:
        """A copy of a live record by id, or None."""
        with self.lock:
            found = self.store[object_name].live.get(ids.normalise(record_id) or "")
            return dict(found) if found else None

    def find(self, object_name: str, key: str, field: str = KEY_FIELD) -> Record | None:
        """A copy of the live record with this key, or None."""
        with self.lock:
            table = self.store[object_name]
            found = table.ids_with(field, key)
            return dict(table.live[found[0]]) if found else None

    def records(self, object_name: str, *, deleted: bool = False) -> list[Record]:
        """Copies of all live records, oldest first; with `deleted` those of the bin instead."""
        with self.lock:
            table = self.store[object_name]
            return [dict(r) for r in (table.deleted if deleted else table.live).values()]

    def query(
        self, text: str, *, user: str | None = None, deleted: bool = False
    ) -> list[dict[str, Any]]:
        """All rows of a SOQL query; raises `Refused`."""
        with self.lock:
            run = QueryRun(self, text, self.rights(user), deleted=deleted)
            return run.rows(run.ids())

    def keys_twice(self, field: str = KEY_FIELD) -> dict[str, list[str]]:
        """Keys that more than one record of an object has or had, deleted records included.

        It is what a test that "nothing is made twice" wants to be empty.
        """
        twice: dict[str, list[str]] = {}
        with self.lock:
            for name, table in self.store.tables.items():
                if table.kind.field(field) is None:
                    continue
                counted = Counter(r[field] for r in table.all() if r.get(field) is not None)
                for key in (key for key, count in counted.items() if count > 1):
                    found = [r["Id"] for r in table.all() if r.get(field) == key]
                    twice[f"{name}:{key}"] = found
        return twice

    def connected(self, refresh_token: str) -> bool:
        """Whether this refresh token would be honoured now."""
        with self.lock:
            return self.oauth.connected(refresh_token)

    # --- set-up, in process ---------------------------------------------------------------

    def add_field(
        self,
        object_name: str,
        name: str,
        kind: str = "string",
        *,
        length: int = 100,
        visible_to: Sequence[str] = (),
        **properties: Any,
    ) -> Field:
        """Add or replace a custom field. Nobody sees it but the users (by name) in `visible_to`.

        `properties` are those of `Field`: required, unique, external_id, case_sensitive,
        restricted, values, default, precision, scale.
        """
        with self.lock:
            text = kind in ("string", "textarea", "email", "phone", "url", "picklist")
            label = properties.pop("label", name.removesuffix("__c").replace("_", " "))
            item = Field(
                name,
                label,
                kind,
                length=length if text else 0,
                custom=True,
                id_lookup=properties.get("external_id", False),
                **properties,
            )
            self.put_field(self.schema[object_name], item)
            for user in visible_to:
                self.show_field(object_name, name, user=user)
            return item

    def put_field(self, kind: ObjectType, item: Field) -> None:
        """Add a field or change one, with its index."""
        kind.put(item)
        table = self.store[kind.name]
        if item.indexed:
            table.index(item)
        else:
            table.drop_index(item.name)

    def change_field(self, object_name: str, name: str, **properties: Any) -> Field:
        """Change a field: ``change_field("Lead", "LeadSource", restricted=True, values=(…))``."""
        with self.lock:
            item = self.schema[object_name].change(name, **properties)
            self.put_field(self.schema[object_name], item)
            return item

    def remove_field(self, object_name: str, name: str) -> None:
        with self.lock:
            kind = self.schema[object_name]
            kind.drop(name)
            self.store[kind.name].drop_index(name)

    def show_field(self, object_name: str, name: str, *, user: str, edit: bool = True) -> None:
        """Give one user field-level security for a field, in a set of that user's own."""
        with self.lock:
            self.hide_field(object_name, name, user=user)
            self._insert_raw(
                "FieldPermissions",
                ParentId=self._own_set(user),
                SobjectType=object_name,
                Field=f"{object_name}.{name}",
                PermissionsRead=True,
                PermissionsEdit=edit,
            )

    def hide_field(self, object_name: str, name: str, *, user: str) -> None:
        """Take field-level security for a field away from all sets that a user has."""
        with self.lock:
            sets = self._sets_of(user)
            table = self.store["FieldPermissions"]
            full = f"{object_name}.{name}"
            for row in list(table.live.values()):
                if row["ParentId"] in sets and row["Field"] == full:
                    self.store.delete("FieldPermissions", row["Id"], {})

    def set_object_rights(self, object_name: str, *actions: str, user: str) -> None:
        """Give a user exactly these rights on an object: Create, Read, Edit, Delete,
        ViewAllRecords, ModifyAllRecords. None of them: no access at all."""
        with self.lock:
            sets = self._sets_of(user)
            for row in list(self.store["ObjectPermissions"].live.values()):
                if row["ParentId"] in sets and row["SobjectType"] == object_name:
                    self.store.delete("ObjectPermissions", row["Id"], {})
            wanted = {f"Permissions{action}" for action in actions}
            if unknown := wanted - set(OBJECT_PERMISSIONS):
                raise ValueError(f"no such rights: {', '.join(sorted(unknown))}")
            if wanted:
                self._insert_raw(
                    "ObjectPermissions",
                    ParentId=self._own_set(user),
                    SobjectType=object_name,
                    **{name: name in wanted for name in OBJECT_PERMISSIONS},
                )

    def set_user(self, username: str, **fields: Any) -> None:
        """Change a user's record: ``set_user(name, IsActive=False)``."""
        with self.lock:
            user = self.oauth.user(username)
            if user is None:
                raise KeyError(username)
            self.store.update("User", user["Id"], fields)

    def _sets_of(self, username: str) -> set[str]:
        user = self.oauth.user(username)
        if user is None:
            raise KeyError(username)
        assigned = {
            row["PermissionSetId"]
            for row in self.store["PermissionSetAssignment"].live.values()
            if row["AssigneeId"] == user["Id"]
        }
        return assigned | {
            row["Id"]
            for row in self.store["PermissionSet"].live.values()
            if row.get("ProfileId") is not None and row.get("ProfileId") == user.get("ProfileId")
        }

    def _own_set(self, username: str) -> str:
        """A permission set that only this user has; made at need."""
        user = self.oauth.user(username)
        if user is None:
            raise KeyError(username)
        name = f"Own_{user['Id'][:15]}"
        for row in self.store["PermissionSet"].live.values():
            if row["Name"] == name:
                return str(row["Id"])
        set_id = self._insert_raw("PermissionSet", Name=name, Label=f"Only {user['Name']}")
        self._insert_raw("PermissionSetAssignment", AssigneeId=user["Id"], PermissionSetId=set_id)
        return set_id

    # --- rules, in process ----------------------------------------------------------------

    def add_validation_rule(
        self,
        object_name: str,
        error_when: Callable[[Record], bool],
        message: str,
        *,
        field: str | None = None,
        name: str = "",
    ) -> ValidationRule:
        """Refuse records for which `error_when` is true (a callable, or a `Condition`)."""
        name = name or f"Rule_{len(self.rules.validation) + 1}"
        rule = ValidationRule(name, object_name, error_when, message, field)
        with self.lock:
            self.rules.validation.append(rule)
        return rule

    def add_trigger(
        self, object_name: str, run: Callable[[Record], str | None], *, name: str = ""
    ) -> BeforeTrigger:
        """Run code before an insert: a returned text refuses, an exception breaks the trigger."""
        trigger = BeforeTrigger(name or f"{object_name}Trigger", object_name, run)
        with self.lock:
            self.rules.triggers.append(trigger)
        return trigger

    def set_duplicate_rule(self, object_name: str, **options: Any) -> DuplicateRule:
        """Switch the duplicate rule of an object on; `options` are those of `DuplicateRule`."""
        words = {
            "name": f"Standard_{object_name}_Duplicate_Rule",
            "matching_rule": f"Standard_{object_name}_Match_Rule_v1_0",
        }
        rule = DuplicateRule(object_name, **{**words, **options})
        with self.lock:
            self.clear_duplicate_rule(object_name)
            self.rules.duplicates.append(rule)
        return rule

    def clear_duplicate_rule(self, object_name: str) -> None:
        with self.lock:
            self.rules.duplicates = [r for r in self.rules.duplicates if r.object != object_name]

    def add_assignment_rule(
        self,
        object_name: str,
        owner_id: str,
        *,
        when: Condition | None = None,
        name: str = "",
        active: bool = True,
    ) -> AssignmentRule:
        """A rule that gives new records to a user or a queue. Only one is active at a time."""
        with self.lock:
            rule_id = self.ids.make("01Q")
            rule = AssignmentRule(
                rule_id, name or f"{object_name} rule", object_name, ((when, owner_id),), active
            )
            if active:
                self.deactivate_assignment(object_name)
            self.rules.assignment[rule_id] = rule
            self._insert_raw(
                "AssignmentRule",
                Id=rule_id,
                Name=rule.name,
                SobjectType=object_name,
                Active=active,
            )
            return rule

    def deactivate_assignment(self, object_name: str) -> None:
        """No assignment rule of the object is active any more."""
        with self.lock:
            for rule_id, rule in list(self.rules.assignment.items()):
                if rule.object == object_name and rule.active:
                    self.rules.assignment[rule_id] = AssignmentRule(
                        rule.id, rule.name, rule.object, rule.entries, False
                    )
                    self.store.update("AssignmentRule", rule_id, {"Active": False})

    def clear_rules(self) -> None:
        """No validation rule, trigger, duplicate or assignment rule is left."""
        with self.lock:
            self.rules = Rules()
            self.store.purge(["AssignmentRule"])

    def rename(self, new_url: str) -> None:
        """Rename My Domain: REST under the former address answers with a redirect from now on,
        and the next refresh tells the new one."""
        with self.lock:
            self.former_hosts.add(self.instance_url.partition("://")[2])
            self.settings.instance_url = new_url.rstrip("/")
            self.former_hosts.discard(new_url.partition("://")[2].rstrip("/"))

    # --- what the parts of the org share --------------------------------------------------

    def next_case_number(self) -> str:
        return f"{next(self._case_numbers):08d}"

    def note_created(self, object_name: str) -> None:
        self.journal.created[object_name] += 1

    def keep_cursor(self, run: QueryRun, record_ids: list[str]) -> str:
        """Remember the rows of a large query; the oldest of many are forgotten."""
        locator = f"01g{next(self._cursor_numbers):012d}AAA"
        self.cursors[locator] = (run, record_ids)
        while len(self.cursors) > 50:
            del self.cursors[next(iter(self.cursors))]
        return locator

    def shown(self, kind: ObjectType, item: Field, record: Record, version: str) -> Any:
        """A field's value as the REST API prints it."""
        if item.type == "boolean":
            return bool(record.get(item.name, False))
        if item.type == "address":
            prefix = item.name.removesuffix("Address")
            names = ("street", "city", "state", "postalCode", "country")
            parts = {n: record.get(prefix + n[0].upper() + n[1:]) for n in names}
            return parts if any(parts.values()) else None
        if item.type == "base64":
            base = f"/services/data/{version}/sobjects/{kind.name}"
            return f"{base}/{record['Id']}/{item.name}" if record.get(item.name) else None
        return record.get(item.name)

    def visible_record(self, kind: ObjectType, record_id: str, actor: Rights) -> Record:
        """A live record by id that the user may see; raises `Refused` with NOT_FOUND."""
        full = ids.normalise(record_id)
        record = self.store[kind.name].live.get(full) if full else None
        if record is None or not actor.sees(kind, record, self.settings.private):
            raise not_found()
        return record

    def _insert_raw(self, object_name: str, **fields: Any) -> str:
        """Put a record in without rules: for what an administrator did long ago."""
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

    put_raw = _insert_raw

    def forget_records(self) -> None:
        """Empty all objects that hold business data; users, rights and fields stay."""
        with self.lock:
            self.store.purge(n for n, t in self.store.tables.items() if not t.kind.setup)
            self._case_numbers = itertools.count(1001)

    def reset(self) -> None:
        """Back to a quiet, empty org: no records, faults, rules, counts; clock and switches as
        at the start. Users, fields and tokens stay."""
        with self.lock:
            self.trouble.clear()
            self.clear_rules()
            self.forget_records()
            owner = self.settings.default_case_owner
            self.settings = Settings(default_case_owner=owner)
            self.former_hosts.clear()
            self.usage.reset()
            self.journal.reset()


__all__ = ["KEY_FIELD", "Condition", "Org", "Refused"]
