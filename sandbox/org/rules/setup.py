"""The rules of Setup's own objects: permission sets, what they grant, and to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.org.data.schema import ObjectType
from sandbox.org.data.standard import OBJECT_PERMISSIONS
from sandbox.org.data.store import Record
from sandbox.org.errors import Problem

if TYPE_CHECKING:
    from sandbox.org.org import Org

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


def setup_problems(org: Org, kind: ObjectType, record: Record) -> list[Problem]:
    """Why Salesforce would not take this Setup record; empty where it would."""
    check = {
        "PermissionSet": _permission_set,
        "ObjectPermissions": _object_permissions,
        "FieldPermissions": _field_permissions,
        "PermissionSetAssignment": _assignment,
        "PermissionSetLicenseAssign": _license_assignment,
    }.get(kind.name)
    return check(org, record) if check else []


def _others(org: Org, name: str, record: Record, *same: str) -> bool:
    return any(
        other["Id"] != record.get("Id") and all(other.get(f) == record.get(f) for f in same)
        for other in org.store[name].live.values()
    )


def _permission_set(org: Org, record: Record) -> list[Problem]:
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
    if _others(org, "PermissionSet", record, "Name"):
        return [
            Problem(
                "DUPLICATE_DEVELOPER_NAME",
                f'The name "{name}" is already used for component type: Permission Set. '
                "Please choose a different name.",
                ("Name",),
            )
        ]
    return []


def _object_permissions(org: Org, record: Record) -> list[Problem]:
    name = record.get("SobjectType") or ""
    kind = org.schema.find(name)
    if kind is None or kind.setup:
        return [_bad_choice("SObject Type Name", name, "SobjectType")]
    if _others(org, "ObjectPermissions", record, "ParentId", "SobjectType"):
        return [Problem("DUPLICATE_VALUE", _TWICE)]
    for permission in OBJECT_PERMISSIONS:
        if record.get(permission):
            lacking = [need for need in _NEEDS.get(permission, ()) if not record.get(need)]
            if lacking:
                return [
                    Problem(
                        "FIELD_INTEGRITY_EXCEPTION",
                        f"Permission {_said(permission)} {kind.name} depends on permission(s): "
                        + ", ".join(f"{_said(need)} {kind.name}" for need in lacking),
                        (permission,),
                    )
                ]
    return []


def _said(permission: str) -> str:
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


def _field_permissions(org: Org, record: Record) -> list[Problem]:
    full = record.get("Field") or ""
    object_name, _, field_name = full.partition(".")
    kind = org.schema.find(object_name)
    item = kind.field(field_name) if kind and not kind.setup else None
    if kind is None or item is None or not item.permissionable:
        return [_bad_choice("Field Name", full, "Field")]
    record["Field"] = f"{kind.name}.{item.name}"
    if (record.get("SobjectType") or "").lower() != kind.name.lower():
        return [_bad_choice("SObject Type Name", record.get("SobjectType") or "", "SobjectType")]
    if _others(org, "FieldPermissions", record, "ParentId", "Field"):
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


def _assignment(org: Org, record: Record) -> list[Problem]:
    if _others(org, "PermissionSetAssignment", record, "AssigneeId", "PermissionSetId"):
        return [Problem("DUPLICATE_VALUE", _TWICE)]
    user = org.store["User"].live.get(record.get("AssigneeId") or "", {})
    chosen = org.store["PermissionSet"].live.get(record.get("PermissionSetId") or "", {})
    if chosen.get("IsOwnedByProfile"):
        return [Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")]
    if not _integration_licence(org, user) or _holds_api_licence(org, user):
        return []
    granted = [
        row["SobjectType"]
        for row in org.store["ObjectPermissions"].live.values()
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


def _license_assignment(org: Org, record: Record) -> list[Problem]:
    same = ("AssigneeId", "PermissionSetLicenseId")
    if _others(org, "PermissionSetLicenseAssign", record, *same):
        return [Problem("DUPLICATE_VALUE", _TWICE)]
    return []


def _integration_licence(org: Org, user: Record) -> bool:
    profile = org.store["Profile"].live.get(user.get("ProfileId") or "", {})
    licence = org.store["UserLicense"].live.get(profile.get("UserLicenseId") or "", {})
    return licence.get("Name") == "Salesforce Integration"


def _holds_api_licence(org: Org, user: Record) -> bool:
    held = {
        row["PermissionSetLicenseId"]
        for row in org.store["PermissionSetLicenseAssign"].live.values()
        if row["AssigneeId"] == user.get("Id")
    }
    return any(
        row["Id"] in held and row.get("DeveloperName") == "SalesforceAPIIntegrationPsl"
        for row in org.store["PermissionSetLicense"].live.values()
    )
