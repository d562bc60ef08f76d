"""One Salesforce org in memory: what tests and the demo use in process.

An `Org` is the state of an org with the parts that work on it. `sandbox.org.rest.api.serve` gives
it the REST API, `sandbox.org.http.server.OrgServer` serves both over HTTP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

from sandbox.org.data import ids
from sandbox.org.data.settings import Settings
from sandbox.org.data.store import Record
from sandbox.org.data.usage import Usage
from sandbox.org.errors import Refused
from sandbox.org.oauth.tokens import OAuth
from sandbox.org.query.execution import Cursors, QueryRun
from sandbox.org.rules.access import SYSTEM, AccessBook, Rights
from sandbox.org.rules.administrator import Administrator
from sandbox.org.rules.conversion import Conversion, convert_lead
from sandbox.org.rules.customizations import (
    AssignmentRule,
    Condition,
    DuplicateRule,
    Rules,
    ValidationRule,
)
from sandbox.org.rules.deletion import merge_records, undelete_record
from sandbox.org.rules.saving import SaveOptions, Saver, raise_for
from sandbox.org.sample import fill_bare, fill_ready
from sandbox.org.trouble import Trouble

KEY_FIELD = "Bird_Key__c"


class Org(Administrator):
    """A whole org. `Org.sample()` is ready to use; `Org.bare()` is what a customer starts with."""

    def __init__(self, name: str = "Sandbox org") -> None:
        super().__init__(name)
        self.rules = Rules()
        self.access = AccessBook(self.store)
        self.saver = Saver(self, self.rules)
        self.cursors = Cursors()
        self.deployments: dict[str, Any] = {}
        """Metadata deployments by their ids."""
        self.oauth = OAuth(self)
        self.usage = Usage(self)
        self.trouble = Trouble()

    @classmethod
    def sample(cls) -> Self:
        """An org that is ready: app, users, permission set, and Bird_Key__c on Lead and Case."""
        org = cls.bare()
        fill_ready(org)
        return org

    @classmethod
    def bare(cls) -> Self:
        """The same without the field and without the permission set: for ``setup-org``."""
        org = cls()
        fill_bare(org, org.oauth)
        return org

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
        self,
        object_name: str,
        record_id: str,
        fields: dict[str, Any],
        *,
        user: str | None = None,
        auto_assign: bool | str = False,
    ) -> None:
        """Change a record; raises `Refused`. As on a page, no assignment rule runs by default."""
        options = SaveOptions(auto_assign=auto_assign)
        with self.lock:
            rows = [(self.schema[object_name], record_id, fields)]
            outcome = self.saver.update(rows, self.rights(user), options)[0]
        raise_for(outcome)

    def delete(self, object_name: str, record_id: str, *, user: str | None = None) -> None:
        """Move a record and what belongs to it to the recycle bin; raises `Refused`."""
        with self.lock:
            outcome = self.saver.delete([(self.schema[object_name], record_id)], self.rights(user))
        raise_for(outcome[0])

    def undelete(self, object_name: str, record_id: str) -> None:
        """Bring a record back from the recycle bin, with what was deleted with it."""
        with self.lock:
            undelete_record(self, object_name, ids.normalise(record_id) or record_id)

    def merge(self, object_name: str, master_id: str, *loser_ids: str) -> None:
        """Merge records: tasks, comments and look-ups of the losers move to the master, and the
        losers are deleted and name their master."""
        with self.lock:
            master, *losers = (ids.normalise(i) or i for i in (master_id, *loser_ids))
            merge_records(self, object_name, master, *losers)

    def convert(
        self,
        lead_id: str,
        *,
        account_id: str | None = None,
        contact_id: str | None = None,
        opportunity: bool = True,
    ) -> Conversion:
        """Convert a lead into a contact, an account and an opportunity; raises `Refused`."""
        with self.lock:
            return convert_lead(
                self,
                self.saver,
                ids.normalise(lead_id) or lead_id,
                account_id=account_id,
                contact_id=contact_id,
                opportunity=opportunity,
            )

    def lock_record(self, record_id: str, *, locked: bool = True) -> None:
        """Lock a record as an approval process does, or unlock it."""
        full = ids.normalise(record_id) or record_id
        with self.lock:
            (self.locked.add if locked else self.locked.discard)(full)

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

        Empty where nothing was created twice.
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
        """Whether this refresh token is valid now."""
        with self.lock:
            return self.oauth.connected(refresh_token)

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

    def set_duplicate_rule(self, object_name: str, **options: Any) -> DuplicateRule:
        """Switch the duplicate rule of an object on; `options` are those of `DuplicateRule`."""
        names = {
            "name": f"Standard_{object_name}_Duplicate_Rule",
            "matching_rule": f"Standard_{object_name}_Match_Rule_v1_0",
        }
        rule = DuplicateRule(object_name, **{**names, **options})
        with self.lock:
            self.clear_duplicate_rule(object_name)
            self.rules.duplicates.append(rule)
        return rule

    def clear_duplicate_rule(self, object_name: str) -> None:
        with self.lock:
            self.rules.duplicates[:] = [r for r in self.rules.duplicates if r.object != object_name]

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
            self.put_raw(
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
                    self.rules.assignment[rule_id] = replace(rule, active=False)
                    self.store.update("AssignmentRule", rule_id, {"Active": False})

    def clear_rules(self) -> None:
        """No validation, duplicate or assignment rule is left."""
        with self.lock:
            self.rules.clear()
            self.store.purge(["AssignmentRule"])

    def reset(self) -> None:
        """Back to an empty org: no records, faults, rules, counts; settings as at the start.
        Users, fields and tokens stay."""
        with self.lock:
            self.trouble.clear()
            self.clear_rules()
            self.forget_records()
            owner = self.settings.default_case_owner
            self.settings = Settings(default_case_owner=owner)
            self.usage.reset()
            self.journal.reset()


__all__ = ["KEY_FIELD", "Condition", "Org", "Refused"]
