"""What an administrator changes in Setup: field access, object rights, users.

Rights given here to one user go into a permission set that only this user has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sandbox.org.data.schema import TEXT_TYPES, Field
from sandbox.org.data.setup_objects import OBJECT_PERMISSIONS
from sandbox.org.data.state import State
from sandbox.org.data.store import Record


class Administrator(State):
    """A state that an administrator can change. `user` is a user name."""

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
        """Add or replace a custom field that only the users (by name) in `visible_to` can see.

        `properties` are those of `Field`: required, unique, external_id, case_sensitive,
        restricted, values, default, precision, scale.
        """
        label = properties.pop("label", name.removesuffix("__c").replace("_", " "))
        item = Field(
            name,
            label,
            kind,
            length=length if kind in TEXT_TYPES else 0,
            custom=True,
            id_lookup=properties.get("external_id", False),
            **properties,
        )
        with self.lock:
            self.put_field(object_name, item)
            for username in visible_to:
                self.show_field(object_name, name, user=username)
        return item

    def change_field(self, object_name: str, name: str, **properties: Any) -> Field:
        """Change a field: ``change_field("Lead", "LeadSource", restricted=True, values=(…))``."""
        with self.lock:
            item = self.schema.with_fields_of(object_name)[0].field(name)
            if item is None:
                raise KeyError(f"{object_name}.{name}")
            item = replace(item, **properties)
            self.put_field(object_name, item)
            return item

    def show_field(self, object_name: str, name: str, *, user: str, edit: bool = True) -> None:
        """Give one user access to a field, in a permission set of that user's own."""
        with self.lock:
            self.hide_field(object_name, name, user=user)
            for kind in self.schema.with_fields_of(object_name):
                self.put_raw(
                    "FieldPermissions",
                    ParentId=self._own_set(user),
                    SobjectType=kind.name,
                    Field=f"{kind.name}.{name}",
                    PermissionsRead=True,
                    PermissionsEdit=edit,
                )

    def hide_field(self, object_name: str, name: str, *, user: str) -> None:
        """Remove access to a field from all permission sets that a user has."""
        with self.lock:
            sets = self._sets_of(user)
            fields = {f"{kind.name}.{name}" for kind in self.schema.with_fields_of(object_name)}
            for row in list(self.store["FieldPermissions"].live.values()):
                if row["ParentId"] in sets and row["Field"] in fields:
                    self.store.delete("FieldPermissions", row["Id"], {})

    def set_object_rights(self, object_name: str, *actions: str, user: str) -> None:
        """Give a user exactly these rights on an object: Create, Read, Edit, Delete,
        ViewAllRecords, ModifyAllRecords. None of them: no access at all.

        ValueError names a right that does not exist.
        """
        with self.lock:
            wanted = {f"Permissions{action}" for action in actions}
            if unknown := wanted - set(OBJECT_PERMISSIONS):
                raise ValueError(f"no such rights: {', '.join(sorted(unknown))}")
            sets = self._sets_of(user)
            for row in list(self.store["ObjectPermissions"].live.values()):
                if row["ParentId"] in sets and row["SobjectType"] == object_name:
                    self.store.delete("ObjectPermissions", row["Id"], {})
            if wanted:
                self.grant_object(self._own_set(user), object_name, *actions)

    def grant_object(self, set_id: str, object_name: str, *actions: str) -> None:
        """Object rights in a permission set: Create, Read, Edit …"""
        wanted = {f"Permissions{action}" for action in actions}
        self.put_raw(
            "ObjectPermissions",
            ParentId=set_id,
            SobjectType=object_name,
            **{name: name in wanted for name in OBJECT_PERMISSIONS},
        )

    def grant_fields(self, set_id: str, object_name: str, *, custom: bool = False) -> None:
        """Access to every field of an object in a permission set; to custom ones if `custom`."""
        for item in self.schema[object_name].fields.values():
            if item.permissionable and item.custom <= custom:
                self.put_raw(
                    "FieldPermissions",
                    ParentId=set_id,
                    SobjectType=object_name,
                    Field=f"{object_name}.{item.name}",
                    PermissionsRead=True,
                    PermissionsEdit=item.createable or item.updateable,
                )

    def set_user(self, username: str, **fields: Any) -> None:
        """Change a user's record: ``set_user(name, IsActive=False)``."""
        with self.lock:
            self.store.update("User", self._user(username)["Id"], fields)

    def _user(self, username: str) -> Record:
        user = self.user(username)
        if user is None:
            raise KeyError(username)
        return user

    def _sets_of(self, username: str) -> set[str]:
        user = self._user(username)
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
        """The permission set that only this user has; made when it is needed."""
        user = self._user(username)
        name = f"Own_{user['Id'][:15]}"
        for row in self.store["PermissionSet"].live.values():
            if row["Name"] == name:
                return str(row["Id"])
        set_id = self.put_raw("PermissionSet", Name=name, Label=f"Only {user['Name']}")
        self.put_raw("PermissionSetAssignment", AssigneeId=user["Id"], PermissionSetId=set_id)
        return set_id
