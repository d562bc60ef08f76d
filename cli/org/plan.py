"""What of `salesforce/` is in an org already, and the steps for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.bird.channels import FILLED, OBJECTS, table
from bridge.salesforce.client import soql_text
from bridge.settings import Settings
from cli.org.client import Org, OrgProblem
from cli.org.definition import (
    FILES,
    PERMISSION_SET,
    RIGHT_WORDS,
    TRAITS,
    FieldDefinition,
    PermissionSetDefinition,
    in_conversations,
    needed_fields,
    permission_set,
)
from cli.problem import Problem

INTEGRATION_LICENCE = "Salesforce Integration"
INTEGRATION_SET_LICENCE = "Salesforce API Integration"
"""The label of the permission set licence that a user of that licence needs first."""

PERHAPS_PERMISSIONABLE: Mapping[str, tuple[str, ...]] = {
    "Lead": ("Status", "ConvertedContactId"),
    "Case": ("Status", "ClosedDate"),
    "Task": ("Status",),
}
"""Standard fields that a conversation reads or sets. Whether an org has a permission for them is
not confirmed, so they are not in `salesforce/`: a file cannot ask the org."""


def filled_fields(settings: Settings, more: Iterable[str] = ()) -> dict[str, list[str]]:
    """The fields that the bridge fills, by object, with `more` (`Lead.Region__c`) that flows send.
    Raises Problem for one that is written otherwise."""
    found: dict[str, list[str]] = {
        name: [
            one
            for channel in table().values()
            for one in (*channel.fills.get(name, {}), *channel.values.get(name, {}))
        ]
        for name in FILLED
    }
    if settings.default_company:
        found["Lead"].append("Company")
    known = {name.lower(): name for name in OBJECTS}
    for one in more:
        object_name, _, field_name = one.partition(".")
        if object_name.lower() not in known or not field_name:
            raise Problem(f"{one} should be written as Lead.Field__c or Case.Field__c.")
        found[known[object_name.lower()]].append(field_name)
    return {name: sorted(set(fields)) for name, fields in found.items()}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change to the org. `target` names what it changes, for `--json`."""

    what: str
    target: str
    do: Callable[[], object] = field(repr=False)


@dataclass(kw_only=True)
class Plan:
    """What is there already, what is to do, what a person should know, and what was done."""

    there: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    """Targets of the steps that were carried out."""


@dataclass(kw_only=True)
class Planner:
    """Compares an org with what is needed. It only reads; the steps write.

    `org` needs an administrator's session. `user_id` None: the permission set is assigned to
    nobody.
    """

    org: Org
    settings: Settings
    user_id: str | None
    fields: Mapping[str, list[str]]
    _plan: Plan = field(default_factory=Plan)
    _set_id: str = ""

    def plan(self) -> Plan:
        """The plan. Raises OrgProblem, for example where the user is no administrator."""
        self._plan = Plan()
        definitions = needed_fields(self.settings)
        if not definitions:
            self._plan.notes.append(
                "ExternalIdField is empty: no field is created, and a repeated message creates a "
                "second record."
            )
        for definition in definitions:
            self._custom_field(definition)
        wanted = permission_set()
        self._permission_set(wanted)
        for object_name, rights in wanted.objects.items():
            self._object_rights(object_name, rights)
        for name in FILLED:
            ours = [one.name for one in definitions if one.described_on == name]
            self._field_rights(name, ours, wanted)
        self._field_rights("Contact", (), wanted)
        if ours := [one.name for one in definitions if one.holder == FILES]:
            self._field_rights(FILES, ours, wanted)
        if self.user_id:
            self._assign(self.user_id)
        else:
            self._plan.notes.append(
                "The stack is not connected yet, so the permission set is assigned to nobody. Name "
                "the integration user with --user, or run this again after connect."
            )
        return self._plan

    def _step(self, what: str, target: str, do: Callable[[], object]) -> None:
        self._plan.steps.append(Step(what=what, target=target, do=do))

    def _row(
        self,
        what: str,
        target: str,
        kind: str,
        key: Mapping[str, str | None],
        rights: Iterable[str] = (),
        *,
        row_id: str = "",
    ) -> None:
        """A step that sets rights in a row, or makes it. In its key None is the permission set,
        which may not be there yet."""
        flags = dict.fromkeys(rights, True)

        def do() -> None:
            if row_id:
                self.org.patch(f"/sobjects/{kind}/{row_id}", flags)
            else:
                own = {name: self._set_id if one is None else one for name, one in key.items()}
                self.org.post(f"/sobjects/{kind}", {**own, **flags})

        self._step(what, target, do)

    # Custom fields

    def _custom_field(self, definition: FieldDefinition) -> None:
        full, wanted = definition.full_name, definition.metadata
        rows = self.org.query(
            "SELECT Id FROM CustomField WHERE DeveloperName = "
            f"{soql_text(definition.name.removesuffix('__c'))} AND TableEnumOrId = "
            f"{soql_text(definition.holder)}",
            tooling=True,
        )
        path = "/tooling/sobjects/CustomField"
        if not rows:
            new = {"FullName": full, "Metadata": dict(wanted)}
            what = f"Create the field {full} ({definition.words})"
            self._step(what, full, lambda: self.org.post(path, new))
            return
        path = f"{path}/{rows[0]['Id']}"
        current: dict[str, Any] = self.org.get(path).get("Metadata") or {}
        if current.get("type") != wanted["type"]:
            is_ours = definition.name != self.settings.external_id_field
            other = ", or deploy with another name in the parameter ExternalIdField"
            raise Problem(
                f"There is a field {full} already, of the type {current.get('type')} instead of "
                f"{wanted['type']}.",
                next_step="Rename or delete it"
                f"{'' if is_ours or definition.holder in ('Activity', FILES) else other}.",
            )
        if current.get("unique") and not wanted.get("unique", True):
            self._plan.notes.append(
                f"The field {full} is Unique, and several records of one conversation have the "
                "same value in it. Switch Unique off; this command takes nothing away."
            )
        # What the org has beyond that (a longer text, another label) stays.
        lacking = {
            trait: words
            for trait, words in TRAITS.items()
            if wanted.get(trait) and not current.get(trait)
        }
        there, length = (int(one.get("length") or 0) for one in (current, wanted))
        if not lacking and there >= length:
            self._plan.there.append(f"the field {full}")
            return
        traits = [*lacking.values(), *([f"{length} characters long"] if there < length else [])]
        after = {**current, **dict.fromkeys(lacking, True), "length": max(there, length)}
        self._step(
            f"Make the field {full} {', '.join(traits)}",
            full,
            lambda: self.org.patch(path, {"Metadata": after}),
        )

    # The permission set

    def _permission_set(self, wanted: PermissionSetDefinition) -> None:
        permissions = [f"Permissions{name}" for name in wanted.user_permissions]
        rows = self.org.query(
            f"SELECT Id, LicenseId, {', '.join(permissions)} FROM PermissionSet WHERE Name = "
            + soql_text(PERMISSION_SET)
        )
        if not rows:
            new = {
                "Name": PERMISSION_SET,
                "Label": wanted.label,
                "Description": wanted.description,
                **dict.fromkeys(permissions, True),
            }

            def create() -> None:
                self._set_id = self.org.post("/sobjects/PermissionSet", new)["id"]

            what = f"Create the permission set {PERMISSION_SET}, for users of any licence, with "
            self._step(what + _right_words(permissions), PERMISSION_SET, create)
            return
        self._set_id = rows[0]["Id"]
        self._plan.there.append(f"the permission set {PERMISSION_SET}")
        if rows[0].get("LicenseId"):
            self._plan.notes.append(
                f"The permission set {PERMISSION_SET} is for one licence, so only users of "
                "that licence can have it."
            )
        if lacking := [permission for permission in permissions if not rows[0].get(permission)]:
            what = f"Allow it {_right_words(lacking)}"
            self._row(what, PERMISSION_SET, "PermissionSet", {}, lacking, row_id=self._set_id)

    def _rows_of_set(self, soql: str) -> list[dict[str, Any]]:
        return self.org.query(soql) if self._set_id else []

    def _object_rights(self, object_name: str, wanted: Iterable[str]) -> None:
        rights = [f"Permissions{right}" for right in wanted]
        rows = self._rows_of_set(
            f"SELECT Id, {', '.join(rights)} FROM ObjectPermissions WHERE ParentId = "
            f"{soql_text(self._set_id)} AND SobjectType = {soql_text(object_name)}"
        )
        row = rows[0] if rows else {}
        lacking = [right for right in rights if not row.get(right)]
        if not lacking:
            self._plan.there.append(f"its rights on {object_name}")
            return
        self._row(
            f"Allow it {_right_words(lacking)} on {object_name}",
            object_name,
            "ObjectPermissions",
            {"ParentId": None, "SobjectType": object_name},
            lacking,
            row_id=row.get("Id", ""),
        )

    def _field_rights(
        self, object_name: str, ours: Iterable[str], wanted: PermissionSetDefinition
    ) -> None:
        """Access to our own fields, which this session may not see yet, and to the standard and
        foreign ones of the permission set and of the table of channels that are there."""
        filled = self.fields.get(object_name, [])
        read_only = wanted.read_only.get(object_name, frozenset()).difference(filled)
        described = self.org.describe(object_name)["fields_by_name"]
        rows = self._rows_of_set(
            "SELECT Id, Field, PermissionsRead, PermissionsEdit FROM FieldPermissions WHERE "
            f"ParentId = {soql_text(self._set_id)} AND SobjectType = {soql_text(object_name)}"
        )
        granted = {row["Field"].lower(): row for row in rows}
        there = 0
        own = list(ours)
        listed = wanted.fields.get(object_name, frozenset())
        standard = [name for name in listed if not name.endswith("__c")]
        others = {*filled, *standard, *PERHAPS_PERMISSIONABLE.get(object_name, ())}
        for name in (*own, *sorted(others.difference(own))):
            known = described.get(name.lower())
            full = f"{object_name}.{known['name'] if known else name}"
            rights = ["PermissionsRead", "PermissionsEdit"]
            if name not in own:
                if known is None:
                    if name in filled:
                        self._plan.notes.append(f"There is no field {full}, or you may not see it.")
                    continue
                # Everybody may set required fields; Salesforce refuses a permission for them.
                if not known.get("permissionable"):
                    continue
                if name in read_only or not (known.get("createable") or known.get("updateable")):
                    rights.pop()
            row = granted.get(full.lower(), {})
            if row.get(rights[-1]):
                there += 1
                continue
            self._row(
                f"Allow it to read {'and edit ' if len(rights) > 1 else ''}{full}",
                full,
                "FieldPermissions",
                {"ParentId": None, "SobjectType": object_name, "Field": full},
                rights,
                row_id=row.get("Id", ""),
            )
        if there:
            self._plan.there.append(f"its access to {there} fields of {object_name}")

    # Its assignment

    def _assign(self, user_id: str) -> None:
        users = self.org.query(
            "SELECT Id, Username, IsActive, Profile.UserLicense.Name FROM User WHERE Id = "
            + soql_text(user_id)
        )
        if not users:
            raise Problem(f"There is no user {user_id} in this org.")
        user = users[0]
        username = user["Username"]
        if not user.get("IsActive"):
            self._plan.notes.append(f"The user {username} is not active.")
        profile = user.get("Profile") or {}
        if (profile.get("UserLicense") or {}).get("Name") == INTEGRATION_LICENCE:
            self._set_licence(user_id, username)
        rows = self._rows_of_set(
            "SELECT Id FROM PermissionSetAssignment WHERE AssigneeId = "
            f"{soql_text(user_id)} AND PermissionSetId = {soql_text(self._set_id)}"
        )
        if rows:
            self._plan.there.append(f"its assignment to {username}")
            return
        key = {"AssigneeId": user_id, "PermissionSetId": None}
        target = f"{PERMISSION_SET}>{username}"
        self._row(f"Assign it to {username}", target, "PermissionSetAssignment", key)

    def _set_licence(self, user_id: str, username: str) -> None:
        licences = self.org.query("SELECT Id, DeveloperName, MasterLabel FROM PermissionSetLicense")
        fitting = [one for one in licences if one.get("MasterLabel") == INTEGRATION_SET_LICENCE]
        if not fitting:
            raise Problem(
                f"The user {username} has the licence {INTEGRATION_LICENCE}, and this org has no "
                f"permission set licence {INTEGRATION_SET_LICENCE}.",
                next_step="Ask Salesforce for it, or use a user with a normal licence.",
            )
        licence_id = fitting[0]["Id"]
        rows = self.org.query(
            "SELECT Id FROM PermissionSetLicenseAssign WHERE AssigneeId = "
            f"{soql_text(user_id)} AND PermissionSetLicenseId = {soql_text(licence_id)}"
        )
        if rows:
            self._plan.there.append(f"the licence {INTEGRATION_SET_LICENCE} of {username}")
            return
        self._row(
            f"Give {username} the permission set licence {INTEGRATION_SET_LICENCE}",
            f"{INTEGRATION_SET_LICENCE}>{username}",
            "PermissionSetLicenseAssign",
            {"AssigneeId": user_id, "PermissionSetLicenseId": licence_id},
        )


def _right_words(permissions: Iterable[str]) -> str:
    names = [one.removeprefix("Permissions") for one in permissions]
    *first, last = [RIGHT_WORDS.get(name, name) for name in names]
    return f"{', '.join(first)} and {last}" if first else last


def missing(org: Org, settings: Settings) -> str:
    """What the connected user lacks in the org, in a few words; empty if nothing."""
    conversations = in_conversations(settings)
    found = []
    for object_name in (*OBJECTS, *(("Task", "Contact") if conversations else ())):
        described = org.described(object_name)
        if described is None:
            found.append(f"access to {object_name}")
            continue
        if object_name == "Contact":
            continue
        if not described.get("createable"):
            found.append(f"the right to create a {object_name}")
        if conversations and object_name != "Task" and not described.get("updateable"):
            found.append(f"the right to edit a {object_name}")
        found += [
            definition.full_name
            for definition in needed_fields(settings)
            if definition.described_on == object_name
            and (conversations or definition.name == settings.external_id_field)
            and definition.name.lower() not in described["fields_by_name"]
        ]
    return ", ".join(found)


def user_named(org: Org, username: str) -> str:
    """The id of a user by user name. Raises Problem."""
    rows = org.query("SELECT Id FROM User WHERE Username = " + soql_text(username))
    if not rows:
        raise Problem(
            f"There is no user {username} in this org.",
            next_step="Give the user name as in Setup, Users; it looks like an e-mail address.",
        )
    return str(rows[0]["Id"])


def may_set_up(problem: OrgProblem) -> OrgProblem:
    """The same problem; a sentence instead of Salesforce's words, which may be a whole query,
    where the user is no administrator. A field that a user may not see is INVALID_FIELD."""
    if not problem.not_allowed and problem.code != "INVALID_FIELD":
        return problem
    return OrgProblem(
        "This user may not set the org up: that needs an administrator.",
        next_step="Sign in as an administrator: the rights Customize Application, Manage Profiles "
        "and Permission Sets, Assign Permission Sets, and View Setup and Configuration are needed.",
        code=problem.code,
        status=problem.status,
    )
