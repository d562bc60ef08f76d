"""Validation of Setup objects: permission sets, the rights in them, assignments."""

from __future__ import annotations

from sandbox.org.data.schema import ObjectType
from sandbox.org.data.setup_objects import OBJECT_PERMISSIONS
from sandbox.org.data.state import State
from sandbox.org.data.store import Record
from sandbox.org.errors import Problem

# What each object permission needs besides itself.
_NEEDS = {
    "PermissionsCreate": ("PermissionsRead",),
    "PermissionsEdit": ("PermissionsRead",),
    "PermissionsDelete": ("PermissionsRead", "PermissionsEdit"),
    "PermissionsViewAllRecords": ("PermissionsRead",),
    "PermissionsModifyAllRecords": (
        "PermissionsRead",
        "PermissionsEdit",
        "PermissionsDelete",
        "PermissionsViewAllRecords",
    ),
}
_TWICE = "duplicate value found: <unknown> duplicates value on record with id: <unknown>"


def setup_problems(state: State, kind: ObjectType, record: Record) -> list[Problem]:
    """Why Salesforce would not take this Setup record; empty where it would."""
    check = {
        "PermissionSet": _permission_set,
        "ObjectPermissions": _object_permissions,
        "FieldPermissions": _field_permissions,
        "PermissionSetAssignment": _assignment,
        "PermissionSetLicenseAssign": _license_assignment,
    }.get(kind.name)
    return check(state, record) if check else []


def _others(state: State, name: str, record: Record, *same: str) -> bool:
    return any(
        other["Id"] != record.get("Id") and all(other.get(f) == record.get(f) for f in same)
        for other in state.store[name].live.values()
    )


def _permission_set(state: State, record: Record) -> list[Problem]:
    name = record.get("Name") or ""
    if not name.isascii() or not name.replace("_", "").isalnum() or not name[:1].isalpha():
        return [
            Problem(
                "FIELD_INTEGRITY_EXCEPTION",
                "The Permission Set API Name can only contain underscores and alphanumeric "
                "characters. It must be unique, begin with a letter, not include spaces, not end "
                "with an underscore, and not contain two consecutive underscores.",
                ("Name",),
            )
        ]
    if _others(state, "PermissionSet", record, "Name"):
        return [
            Problem(
                "DUPLICATE_DEVELOPER_NAME",
                f'The name "{name}" is already used for component type: Permission Set. '
                "Please choose a different name.",
                ("Name",),
            )
        ]
    return []


def _object_permissions(state: State, record: Record) -> list[Problem]:
    name = record.get("SobjectType") or ""
    kind = state.schema.find(name)
    if kind is None or kind.setup or kind.name in ("Task", "Event"):
        return [_bad_choice("SObject Type Name", name, "SobjectType")]
    if _others(state, "ObjectPermissions", record, "ParentId", "SobjectType"):
        return [Problem("DUPLICATE_VALUE", _TWICE)]
    for permission in OBJECT_PERMISSIONS:
        if record.get(permission):
            lacking = [need for need in _NEEDS.get(permission, ()) if not record.get(need)]
            if lacking:
                return [
                    Problem(
                        "FIELD_INTEGRITY_EXCEPTION",
                        f"Permission {_shown(permission)} {kind.name} depends on permission(s): "
                        + ", ".join(f"{_shown(need)} {kind.name}" for need in lacking),
                        (permission,),
                    )
                ]
    return []


def _shown(permission: str) -> str:
    return {
        "PermissionsViewAllRecords": "View All",
        "PermissionsModifyAllRecords": "Modify All",
    }.get(permission, permission.removeprefix("Permissions"))


def _bad_choice(label: str, value: str, field: str) -> Problem:
    return Problem(
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        f"{label}: bad value for restricted picklist field: {value}",
        (field,),
    )


def _field_permissions(state: State, record: Record) -> list[Problem]:
    full = record.get("Field") or ""
    object_name, _, field_name = full.partition(".")
    kind = state.schema.find(object_name)
    item = kind.field(field_name) if kind and not kind.setup else None
    if kind is None or item is None or not item.permissionable:
        return [_bad_choice("Field Name", full, "Field")]
    record["Field"] = f"{kind.name}.{item.name}"
    if (record.get("SobjectType") or "").lower() != kind.name.lower():
        return [_bad_choice("SObject Type Name", record.get("SobjectType") or "", "SobjectType")]
    if _others(state, "FieldPermissions", record, "ParentId", "Field"):
        return [Problem("DUPLICATE_VALUE", _TWICE)]
    if record.get("PermissionsEdit") and not record.get("PermissionsRead"):
        return [
            Problem(
                "FIELD_INTEGRITY_EXCEPTION",
                f"Permission Edit {full} depends on permission(s): Read {full}",
                ("PermissionsEdit",),
            )
        ]
    if record.get("PermissionsEdit") and not (item.createable or item.updateable):
        return [_bad_choice("Field Name", full, "Field")]
    return []


def _assignment(state: State, record: Record) -> list[Problem]:
    if _others(state, "PermissionSetAssignment", record, "AssigneeId", "PermissionSetId"):
        return [Problem("DUPLICATE_VALUE", _TWICE)]
    user = state.store["User"].live.get(record.get("AssigneeId") or "", {})
    chosen = state.store["PermissionSet"].live.get(record.get("PermissionSetId") or "", {})
    if chosen.get("IsOwnedByProfile"):
        return [Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")]
    if not _integration_licence(state, user) or _holds_api_licence(state, user):
        return []
    granted = [
        row["SobjectType"]
        for row in state.store["ObjectPermissions"].live.values()
        if row["ParentId"] == chosen.get("Id")
    ]
    if not granted:
        return []
    # A Salesforce Integration user holds no object rights until the permission set licence
    # "Salesforce API Integration" is assigned; the wording here is ours, the code is not.
    return [
        Problem(
            "FIELD_INTEGRITY_EXCEPTION",
            f"Can't assign permission set {chosen.get('Name')} to user {user.get('Username')}. "
            f"The user license doesn't allow the permission: Read {sorted(granted)[0]}",
            ("PermissionSetId",),
        )
    ]


def _license_assignment(state: State, record: Record) -> list[Problem]:
    same = ("AssigneeId", "PermissionSetLicenseId")
    if _others(state, "PermissionSetLicenseAssign", record, *same):
        return [Problem("DUPLICATE_VALUE", _TWICE)]
    return []


def _integration_licence(state: State, user: Record) -> bool:
    profile = state.store["Profile"].live.get(user.get("ProfileId") or "", {})
    licence = state.store["UserLicense"].live.get(profile.get("UserLicenseId") or "", {})
    return licence.get("Name") == "Salesforce Integration"


def _holds_api_licence(state: State, user: Record) -> bool:
    held = {
        row["PermissionSetLicenseId"]
        for row in state.store["PermissionSetLicenseAssign"].live.values()
        if row["AssigneeId"] == user.get("Id")
    }
    return any(
        row["Id"] in held and row.get("DeveloperName") == "SalesforceAPIIntegrationPsl"
        for row in state.store["PermissionSetLicense"].live.values()
    )
