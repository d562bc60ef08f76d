"""What an administrator changes in Setup: field access, object rights, users.

Rights given here to one user go into a permission set that only this user has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.org.data.schema import TEXT_TYPES, Field
from sandbox.org.data.setup_objects import OBJECT_PERMISSIONS
from sandbox.org.data.state import State
from sandbox.org.data.store import Record


def add_field(
    state: State,
    object_name: str,
    name: str,
    kind: str = "string",
    *,
    length: int = 100,
    visible_to: Sequence[str] = (),
    **properties: Any,
) -> Field:
    """Add or replace a custom field that only the users (by name) in `visible_to` can see.

    `properties` are those of `Field`: required, unique, external_id, case_sensitive, restricted,
    values, default, precision, scale.
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
    state.put_field(object_name, item)
    for username in visible_to:
        show_field(state, object_name, name, username=username)
    return item


def show_field(
    state: State, object_name: str, name: str, *, username: str, edit: bool = True
) -> None:
    """Give one user access to a field, and edit access where `edit` is true."""
    hide_field(state, object_name, name, username=username)
    for kind in state.schema.with_fields_of(object_name):
        state.put_raw(
            "FieldPermissions",
            ParentId=_own_set(state, username),
            SobjectType=kind.name,
            Field=f"{kind.name}.{name}",
            PermissionsRead=True,
            PermissionsEdit=edit,
        )


def hide_field(state: State, object_name: str, name: str, *, username: str) -> None:
    """Remove access to a field from all permission sets that a user has."""
    sets = _sets_of(state, username)
    fields = {f"{kind.name}.{name}" for kind in state.schema.with_fields_of(object_name)}
    for row in list(state.store["FieldPermissions"].live.values()):
        if row["ParentId"] in sets and row["Field"] in fields:
            state.store.delete("FieldPermissions", row["Id"], {})


def set_object_rights(state: State, object_name: str, *actions: str, username: str) -> None:
    """Give a user exactly these rights on an object; none of them means no access.

    ValueError names a right that does not exist.
    """
    wanted = {f"Permissions{action}" for action in actions}
    if unknown := wanted - set(OBJECT_PERMISSIONS):
        raise ValueError(f"no such rights: {', '.join(sorted(unknown))}")
    sets = _sets_of(state, username)
    for row in list(state.store["ObjectPermissions"].live.values()):
        if row["ParentId"] in sets and row["SobjectType"] == object_name:
            state.store.delete("ObjectPermissions", row["Id"], {})
    if wanted:
        grant_object(state, _own_set(state, username), object_name, *actions)


def grant_object(state: State, set_id: str, object_name: str, *actions: str) -> None:
    """Object rights in a permission set: Create, Read, Edit …"""
    wanted = {f"Permissions{action}" for action in actions}
    state.put_raw(
        "ObjectPermissions",
        ParentId=set_id,
        SobjectType=object_name,
        **{name: name in wanted for name in OBJECT_PERMISSIONS},
    )


def grant_fields(state: State, set_id: str, object_name: str, *, custom: bool = False) -> None:
    """Access to every field of an object in a permission set; custom fields only if `custom`."""
    for item in state.schema[object_name].fields.values():
        if item.permissionable and item.custom <= custom:
            state.put_raw(
                "FieldPermissions",
                ParentId=set_id,
                SobjectType=object_name,
                Field=f"{object_name}.{item.name}",
                PermissionsRead=True,
                PermissionsEdit=item.createable or item.updateable,
            )


def set_user(state: State, username: str, **fields: Any) -> None:
    """Change a user's record."""
    state.store.update("User", _user(state, username)["Id"], fields)


def _user(state: State, username: str) -> Record:
    user = state.user(username)
    if user is None:
        raise KeyError(username)
    return user


def _sets_of(state: State, username: str) -> set[str]:
    user = _user(state, username)
    assigned = {
        row["PermissionSetId"]
        for row in state.store["PermissionSetAssignment"].live.values()
        if row["AssigneeId"] == user["Id"]
    }
    return assigned | {
        row["Id"]
        for row in state.store["PermissionSet"].live.values()
        if row.get("ProfileId") is not None and row.get("ProfileId") == user.get("ProfileId")
    }


def _own_set(state: State, username: str) -> str:
    """The permission set that only this user has; made when it is needed."""
    user = _user(state, username)
    name = f"Own_{user['Id'][:15]}"
    for row in state.store["PermissionSet"].live.values():
        if row["Name"] == name:
            return str(row["Id"])
    set_id = state.put_raw("PermissionSet", Name=name, Label=f"Only {user['Name']}")
    state.put_raw("PermissionSetAssignment", AssigneeId=user["Id"], PermissionSetId=set_id)
    return set_id
