"""What the bridge needs in an org, what of it is there, and the steps for the rest.

The same is in `salesforce/` as metadata, for people who deploy with the `sf` command line; a test
compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.bird.channels import OBJECTS, table
from bridge.records import ObjectName
from bridge.salesforce.client import soql_text
from bridge.settings import Settings
from cli.org.client import Org, OrgProblem
from cli.problem import Problem

PERMISSION_SET = "Bird_Bridge"
PERMISSION_SET_LABEL = "Bird bridge"
PERMISSION_SET_DESCRIPTION = "What the bridge from Bird needs, and nothing else"

OBJECT_RIGHTS = (
    *("PermissionsCreate", "PermissionsRead", "PermissionsEdit"),
    "PermissionsViewAllRecords",
)
"""View All Records, because an assignment rule may give a new record to somebody else, and the
bridge must still find it by its key. Edit, because a mail's text may come after its record
(docs/adr/0048). No delete, no Modify All."""

KEY_LENGTH = 100
KEY_LABEL = "Bird Key"
KEY_DESCRIPTION = "Idempotency key of the bridge from Bird: one message, one record."

INTEGRATION_LICENCE = "Salesforce Integration"
INTEGRATION_SET_LICENCE = "Salesforce API Integration"
"""The label of the permission set licence that a user of that licence needs first."""


def key_metadata(key_field: str) -> dict[str, Any]:
    """The key field as the Tooling API and the Metadata API describe it."""
    return {
        "label": KEY_LABEL if key_field == "Bird_Key__c" else key_field.removesuffix("__c"),
        "description": KEY_DESCRIPTION,
        "type": "Text",
        "length": KEY_LENGTH,
        "required": False,
        "externalId": True,
        "unique": True,
        "caseSensitive": True,
    }


def filled_fields(settings: Settings, more: Iterable[str] = ()) -> dict[ObjectName, list[str]]:
    """The fields that the bridge fills, by object, with `more` (`Lead.Region__c`) that flows send.
    Raises Problem for one that is written otherwise."""
    found: dict[ObjectName, list[str]] = {name: [] for name in OBJECTS}
    for channel in table().values():
        for name in OBJECTS:
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
    fields: Mapping[ObjectName, list[str]]
    _plan: Plan = field(default_factory=Plan)
    _set_id: str = ""

    def plan(self) -> Plan:
        """The plan. Raises OrgProblem, for example where the user is no administrator."""
        self._plan = Plan()
        if self.settings.external_id_field:
            for object_name in OBJECTS:
                self._key(object_name)
        else:
            self._plan.notes.append(
                "ExternalIdField is empty: no key field is created, and a repeated message creates "
                "a second record."
            )
        self._permission_set()
        for object_name in OBJECTS:
            self._object_rights(object_name)
        for object_name in OBJECTS:
            self._field_rights(object_name)
        if self.user_id:
            self._assign(self.user_id)
        else:
            self._plan.notes.append(
                "The stack is not connected yet, so the permission set is assigned to nobody. Name "
                "the integration user with --user, or run this again after connect."
            )
        return self._plan

    # The key field

    def _key(self, object_name: ObjectName) -> None:
        name = self.settings.external_id_field
        rows = self.org.query(
            "SELECT Id FROM CustomField WHERE DeveloperName = "
            f"{soql_text(name.removesuffix('__c'))} AND TableEnumOrId = {soql_text(object_name)}",
            tooling=True,
        )
        wanted = key_metadata(name)
        full = f"{object_name}.{name}"
        if not rows:

            def create() -> None:
                self.org.post(
                    "/tooling/sobjects/CustomField", {"FullName": full, "Metadata": wanted}
                )

            self._plan.steps.append(
                Step(
                    what=f"Create the field {full} (Text {KEY_LENGTH}, External ID, Unique, "
                    "case-sensitive)",
                    target=full,
                    do=create,
                )
            )
            return
        path = f"/tooling/sobjects/CustomField/{rows[0]['Id']}"
        current: dict[str, Any] = self.org.get(path).get("Metadata") or {}
        if current.get("type") != "Text":
            raise Problem(
                f"There is a field {full} already, of the type {current.get('type')}.",
                next_step="Rename or delete it, or deploy with another name in the parameter "
                "ExternalIdField.",
            )
        lacking = {
            trait: words
            for trait, words in (
                ("externalId", "External ID"),
                ("unique", "Unique"),
                ("caseSensitive", "case-sensitive"),
            )
            if not current.get(trait)
        }
        too_short = int(current.get("length") or 0) < KEY_LENGTH
        if not lacking and not too_short:
            self._plan.there.append(f"the field {full}")
            return

        def change() -> None:
            after = {**current, **dict.fromkeys(lacking, True)}
            after["length"] = max(int(current.get("length") or 0), KEY_LENGTH)
            self.org.patch(path, {"Metadata": after})

        traits = [*lacking.values(), *([f"{KEY_LENGTH} characters long"] if too_short else [])]
        self._plan.steps.append(
            Step(what=f"Make the field {full} {', '.join(traits)}", target=full, do=change)
        )

    # The permission set

    def _permission_set(self) -> None:
        rows = self.org.query(
            "SELECT Id, LicenseId FROM PermissionSet WHERE Name = " + soql_text(PERMISSION_SET)
        )
        if rows:
            self._set_id = rows[0]["Id"]
            self._plan.there.append(f"the permission set {PERMISSION_SET}")
            if rows[0].get("LicenseId"):
                self._plan.notes.append(
                    f"The permission set {PERMISSION_SET} is for one licence, so only users of "
                    "that licence can have it."
                )
            return

        def create() -> None:
            created = self.org.post(
                "/sobjects/PermissionSet",
                {
                    "Name": PERMISSION_SET,
                    "Label": PERMISSION_SET_LABEL,
                    "Description": PERMISSION_SET_DESCRIPTION,
                },
            )
            self._set_id = created["id"]

        self._plan.steps.append(
            Step(
                what=f"Create the permission set {PERMISSION_SET}, for users of any licence",
                target=PERMISSION_SET,
                do=create,
            )
        )

    def _rows_of_set(self, soql: str) -> list[dict[str, Any]]:
        return self.org.query(soql) if self._set_id else []

    def _object_rights(self, object_name: ObjectName) -> None:
        rows = self._rows_of_set(
            f"SELECT Id, {', '.join(OBJECT_RIGHTS)} FROM ObjectPermissions WHERE ParentId = "
            f"{soql_text(self._set_id)} AND SobjectType = {soql_text(object_name)}"
        )
        words = "Create, Read, Edit and View All Records"
        if not rows:

            def create() -> None:
                self.org.post(
                    "/sobjects/ObjectPermissions",
                    {
                        "ParentId": self._set_id,
                        "SobjectType": object_name,
                        **dict.fromkeys(OBJECT_RIGHTS, True),
                    },
                )

            self._plan.steps.append(
                Step(what=f"Allow it {words} on {object_name}", target=object_name, do=create)
            )
            return
        lacking = [right for right in OBJECT_RIGHTS if not rows[0].get(right)]
        if not lacking:
            self._plan.there.append(f"its rights on {object_name}")
            return
        row_id = rows[0]["Id"]

        def change() -> None:
            self.org.patch(f"/sobjects/ObjectPermissions/{row_id}", dict.fromkeys(lacking, True))

        self._plan.steps.append(
            Step(what=f"Allow it {words} on {object_name}", target=object_name, do=change)
        )

    def _field_rights(self, object_name: ObjectName) -> None:
        described = self.org.describe(object_name)["fields_by_name"]
        rows = self._rows_of_set(
            "SELECT Id, Field, PermissionsEdit FROM FieldPermissions WHERE ParentId = "
            f"{soql_text(self._set_id)} AND SobjectType = {soql_text(object_name)}"
        )
        granted = {row["Field"].lower(): row for row in rows}
        key = self.settings.external_id_field
        there = 0
        for name in (*((key,) if key else ()), *self.fields[object_name]):
            known = described.get(name.lower())
            full = f"{object_name}.{known['name'] if known else name}"
            if name != key:
                if known is None:
                    self._plan.notes.append(f"There is no field {full}, or you may not see it.")
                    continue
                # Everybody may set required fields; Salesforce refuses a permission for them.
                if not known.get("permissionable") or not known.get("createable"):
                    continue
            row = granted.get(full.lower())
            if row is not None and row.get("PermissionsEdit"):
                there += 1
                continue
            self._plan.steps.append(
                Step(
                    what=f"Allow it to read and edit {full}",
                    target=full,
                    do=self._field_change(object_name, full, row["Id"] if row else None),
                )
            )
        if there:
            self._plan.there.append(f"its access to {there} fields of {object_name}")

    def _field_change(self, object_name: str, full: str, row_id: str | None) -> Callable[[], None]:
        rights = {"PermissionsRead": True, "PermissionsEdit": True}

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


def missing(org: Org, key_field: str) -> str:
    """What the connected user lacks in the org, in a few words; empty if nothing."""
    found = []
    for object_name in OBJECTS:
        try:
            described = org.describe(object_name)
        except OrgProblem as problem:
            if not problem.not_allowed:
                raise
            found.append(f"access to {object_name}")
            continue
        if not described.get("createable"):
            found.append(f"the right to create a {object_name}")
        if key_field and key_field.lower() not in described["fields_by_name"]:
            found.append(f"{object_name}.{key_field}")
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
    """The same problem, with another next step where the user is no administrator."""
    if not problem.not_allowed:
        return problem
    return OrgProblem(
        f"This user may not set the org up. {problem.what}",
        next_step="Sign in as an administrator: the rights Customize Application, Manage Profiles "
        "and Permission Sets, Assign Permission Sets, and View Setup and Configuration are needed.",
        code=problem.code,
        status=problem.status,
    )
