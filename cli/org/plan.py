"""What of `salesforce/` is in an org already, and the steps for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bridge.bird.channels import FILLED, OBJECTS, TableObject, table
from bridge.records import ObjectName
from bridge.salesforce.client import soql_text
from bridge.settings import Settings
from cli.org.client import Org, OrgProblem
from cli.org.definition import (
    PERMISSION_SET,
    RIGHT_WORDS,
    TRAITS,
    USER_PERMISSION_WORDS,
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

PERHAPS_PERMISSIONABLE: Mapping[TableObject, tuple[str, ...]] = {
    "Lead": ("Status", "ConvertedContactId"),
    "Case": ("Status", "ClosedDate"),
    "Task": ("Status",),
}
"""Standard fields that a conversation reads or sets. Whether an org has a permission for them is
not confirmed, so they are not in `salesforce/`: a file cannot ask the org."""


def filled_fields(settings: Settings, more: Iterable[str] = ()) -> dict[TableObject, list[str]]:
    """The fields that the bridge fills, by object, with `more` (`Lead.Region__c`) that flows send.
    Raises Problem for one that is written otherwise."""
    found: dict[TableObject, list[str]] = {name: [] for name in FILLED}
    for channel in table().values():
        for name in FILLED:
            found[name] += [*channel.fills.get(name, {}), *channel.values.get(name, {})]
    if settings.default_company:
        found["Lead"].append("Company")
    for one in more:
        object_name, _, field_name = one.partition(".")
        known: dict[str, ObjectName] = {name.lower(): name for name in OBJECTS}
        if object_name.lower() not in known or not field_name:
            raise Problem(f"{one} should be written as Lead.Field__c or Case.Field__c.")
        found[known[object_name.lower()]].append(field_name)
    return {name: sorted(set(fields)) for name, fields in found.items()}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change to the org. `target` names what it changes, for `--json`."""

    what: str
    target: str
    do: Callable[[], None] = field(repr=False)


@dataclass(kw_only=True)
class Plan:
    """What is there already, what is to do, and what a person should know."""

    there: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Planner:
    """Compares an org with what is needed. It only reads; the steps write.

    `org` needs an administrator's session. `user_id` None: the permission set is assigned to
    nobody.
    """

    org: Org
    settings: Settings
    user_id: str | None
    fields: Mapping[TableObject, list[str]]
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
        if self.user_id:
            self._assign(self.user_id)
        else:
            self._plan.notes.append(
                "The stack is not connected yet, so the permission set is assigned to nobody. Name "
                "the integration user with --user, or run this again after connect."
            )
        return self._plan

    # Custom fields

    def _custom_field(self, definition: FieldDefinition) -> None:
        full, wanted = definition.full_name, definition.metadata
        rows = self.org.query(
            "SELECT Id FROM CustomField WHERE DeveloperName = "
            f"{soql_text(definition.name.removesuffix('__c'))} AND TableEnumOrId = "
            f"{soql_text(definition.holder)}",
            tooling=True,
        )
        if not rows:

            def create() -> None:
                self.org.post(
                    "/tooling/sobjects/CustomField", {"FullName": full, "Metadata": dict(wanted)}
                )

            what = f"Create the field {full} ({definition.words})"
            self._plan.steps.append(Step(what=what, target=full, do=create))
            return
        path = f"/tooling/sobjects/CustomField/{rows[0]['Id']}"
        current: dict[str, Any] = self.org.get(path).get("Metadata") or {}
        if current.get("type") != wanted["type"]:
            rename = (
                "Rename or delete it, or deploy with another name in the parameter ExternalIdField."
                if definition.name == self.settings.external_id_field
                and definition.holder != "Activity"
                else "Rename or delete it."
            )
            raise Problem(
                f"There is a field {full} already, of the type {current.get('type')} instead of "
                f"{wanted['type']}.",
                next_step=rename,
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
        length = int(wanted.get("length") or 0)
        too_short = int(current.get("length") or 0) < length
        if not lacking and not too_short:
            self._plan.there.append(f"the field {full}")
            return

        def change() -> None:
            after = {**current, **dict.fromkeys(lacking, True)}
            after["length"] = max(int(current.get("length") or 0), length)
            self.org.patch(path, {"Metadata": after})

        traits = [*lacking.values(), *([f"{length} characters long"] if too_short else [])]
        self._plan.steps.append(
            Step(what=f"Make the field {full} {', '.join(traits)}", target=full, do=change)
        )

    # The permission set

    def _permission_set(self, wanted: PermissionSetDefinition) -> None:
        permissions = [f"Permissions{name}" for name in wanted.user_permissions]
        rows = self.org.query(
            f"SELECT Id, LicenseId, {', '.join(permissions)} FROM PermissionSet WHERE Name = "
            + soql_text(PERMISSION_SET)
        )
        if not rows:

            def create() -> None:
                created = self.org.post(
                    "/sobjects/PermissionSet",
                    {
                        "Name": PERMISSION_SET,
                        "Label": wanted.label,
                        "Description": wanted.description,
                        **dict.fromkeys(permissions, True),
                    },
                )
                self._set_id = created["id"]

            what = (
                f"Create the permission set {PERMISSION_SET}, for users of any licence, with "
                f"{_user_permission_words(permissions)}"
            )
            self._plan.steps.append(Step(what=what, target=PERMISSION_SET, do=create))
            return
        self._set_id = rows[0]["Id"]
        self._plan.there.append(f"the permission set {PERMISSION_SET}")
        if rows[0].get("LicenseId"):
            self._plan.notes.append(
                f"The permission set {PERMISSION_SET} is for one licence, so only users of "
                "that licence can have it."
            )
        lacking = [permission for permission in permissions if not rows[0].get(permission)]
        if not lacking:
            return

        def change() -> None:
            changes = dict.fromkeys(lacking, True)
            self.org.patch(f"/sobjects/PermissionSet/{self._set_id}", changes)

        what = f"Allow it {_user_permission_words(lacking)}"
        self._plan.steps.append(Step(what=what, target=PERMISSION_SET, do=change))

    def _rows_of_set(self, soql: str) -> list[dict[str, Any]]:
        return self.org.query(soql) if self._set_id else []

    def _object_rights(self, object_name: str, wanted: Iterable[str]) -> None:
        rights = [f"Permissions{right}" for right in wanted]
        rows = self._rows_of_set(
            f"SELECT Id, {', '.join(rights)} FROM ObjectPermissions WHERE ParentId = "
            f"{soql_text(self._set_id)} AND SobjectType = {soql_text(object_name)}"
        )
        lacking = [right for right in rights if not rows or not rows[0].get(right)]
        if not lacking:
            self._plan.there.append(f"its rights on {object_name}")
            return

        def create() -> None:
            self.org.post(
                "/sobjects/ObjectPermissions",
                {
                    "ParentId": self._set_id,
                    "SobjectType": object_name,
                    **dict.fromkeys(rights, True),
                },
            )

        def change() -> None:
            changes = dict.fromkeys(lacking, True)
            self.org.patch(f"/sobjects/ObjectPermissions/{rows[0]['Id']}", changes)

        self._plan.steps.append(
            Step(
                what=f"Allow it {_right_words(lacking)} on {object_name}",
                target=object_name,
                do=change if rows else create,
            )
        )

    def _field_rights(
        self,
        object_name: TableObject | Literal["Contact"],
        ours: Iterable[str],
        wanted: PermissionSetDefinition,
    ) -> None:
        """Access to our own fields, which this session may not see yet, and to the standard and
        foreign ones of the permission set and of the table of channels that are there."""
        filled = [] if object_name == "Contact" else self.fields[object_name]
        perhaps = () if object_name == "Contact" else PERHAPS_PERMISSIONABLE[object_name]
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
        others = {*filled, *standard, *perhaps}
        for name in (*own, *sorted(others.difference(own))):
            known = described.get(name.lower())
            full = f"{object_name}.{known['name'] if known else name}"
            edit = True
            if name not in own:
                if known is None:
                    if name in filled:
                        self._plan.notes.append(f"There is no field {full}, or you may not see it.")
                    continue
                # Everybody may set required fields; Salesforce refuses a permission for them.
                if not known.get("permissionable"):
                    continue
                may = bool(known.get("createable") or known.get("updateable"))
                edit = may and name not in read_only
            row = granted.get(full.lower())
            if row is not None and row.get("PermissionsEdit" if edit else "PermissionsRead"):
                there += 1
                continue
            self._plan.steps.append(
                Step(
                    what=f"Allow it to read {'and edit ' if edit else ''}{full}",
                    target=full,
                    do=self._field_change(object_name, full, row["Id"] if row else None, edit=edit),
                )
            )
        if there:
            self._plan.there.append(f"its access to {there} fields of {object_name}")

    def _field_change(
        self, object_name: str, full: str, row_id: str | None, *, edit: bool
    ) -> Callable[[], None]:
        rights = {"PermissionsRead": True, **({"PermissionsEdit": True} if edit else {})}

        def create() -> None:
            self.org.post(
                "/sobjects/FieldPermissions",
                {
                    "ParentId": self._set_id,
                    "SobjectType": object_name,
                    "Field": full,
                    **rights,
                },
            )

        def change() -> None:
            self.org.patch(f"/sobjects/FieldPermissions/{row_id}", rights)

        return change if row_id else create

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
        licence = (profile.get("UserLicense") or {}).get("Name")
        if licence == INTEGRATION_LICENCE:
            self._set_licence(user_id, username)
        rows = self._rows_of_set(
            "SELECT Id FROM PermissionSetAssignment WHERE AssigneeId = "
            f"{soql_text(user_id)} AND PermissionSetId = {soql_text(self._set_id)}"
        )
        if rows:
            self._plan.there.append(f"its assignment to {username}")
            return

        def assign() -> None:
            self.org.post(
                "/sobjects/PermissionSetAssignment",
                {"AssigneeId": user_id, "PermissionSetId": self._set_id},
            )

        self._plan.steps.append(
            Step(what=f"Assign it to {username}", target=f"{PERMISSION_SET}>{username}", do=assign)
        )

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

        def assign() -> None:
            self.org.post(
                "/sobjects/PermissionSetLicenseAssign",
                {"AssigneeId": user_id, "PermissionSetLicenseId": licence_id},
            )

        self._plan.steps.append(
            Step(
                what=f"Give {username} the permission set licence {INTEGRATION_SET_LICENCE}",
                target=f"{INTEGRATION_SET_LICENCE}>{username}",
                do=assign,
            )
        )


def _right_words(rights: Iterable[str]) -> str:
    names = [right.removeprefix("Permissions") for right in rights]
    return _listed([RIGHT_WORDS.get(name, name) for name in names])


def _user_permission_words(permissions: Iterable[str]) -> str:
    names = [permission.removeprefix("Permissions") for permission in permissions]
    return _listed([USER_PERMISSION_WORDS.get(name, name) for name in names])


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def missing(org: Org, settings: Settings) -> str:
    """What the connected user lacks in the org, in a few words; empty if nothing."""
    conversations = in_conversations(settings)
    objects: list[str] = [*OBJECTS, *(("Task", "Contact") if conversations else ())]
    found = []
    for object_name in objects:
        try:
            described = org.describe(object_name)
        except OrgProblem as problem:
            if not problem.not_allowed:
                raise
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
