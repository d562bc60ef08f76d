"""The objects of Setup: users, queues, profiles, permission sets, statuses, record types."""

from __future__ import annotations

from functools import partial
from typing import Any

from sandbox.org.data.fields import READ_ONLY, email, flag, link, moment, number, pick, text
from sandbox.org.data.schema import ObjectType, object_type, words

OBJECT_PERMISSIONS = (
    "PermissionsCreate",
    "PermissionsRead",
    "PermissionsEdit",
    "PermissionsDelete",
    "PermissionsViewAllRecords",
    "PermissionsModifyAllRecords",
)
SYSTEM_PERMISSIONS = (
    "PermissionsApiEnabled",
    "PermissionsApiUserOnly",
    "PermissionsViewSetup",
    "PermissionsViewAllData",
    "PermissionsModifyAllData",
    "PermissionsCustomizeApplication",
    "PermissionsManageUsers",
    "PermissionsManageProfilesPermissionsets",
    "PermissionsAssignPermissionSets",
    "PermissionsApproveUninstalledApps",
    "PermissionsModifyMetadata",
    "PermissionsActivitiesAccess",
    "PermissionsEditTask",
    "PermissionsEditEvent",
)


ONCE: dict[str, Any] = {"updateable": False}
"""Fields that are set when the record is made, or never."""
NEEDED: dict[str, Any] = {**ONCE, "required": True}

setup_type = partial(object_type, setup=True)


def people() -> list[ObjectType]:
    return [
        setup_type(
            "User",
            "005",
            [
                text("Username", "Username", 80, required=True, unique=True),
                text("LastName", "Last Name", 80, required=True),
                text("FirstName", "First Name", 40),
                text("Name", "Full Name", 121, name_field=True, defaulted=True, **READ_ONLY),
                email("Email", "Email", required=True),
                text("Alias", "Alias", 8, required=True),
                link("ProfileId", "Profile ID", "Profile", required=True),
                flag("IsActive", "Active", default=True),
                pick("UserType", "User Type", "Standard", default="Standard", **READ_ONLY),
                pick("TimeZoneSidKey", "Time Zone", "", default="Europe/Amsterdam"),
                pick("LocaleSidKey", "Locale", "", default="en_US"),
                pick("LanguageLocaleKey", "Language", "", default="en_US"),
                pick("EmailEncodingKey", "Email Encoding", "", default="UTF-8"),
            ],
        ),
        setup_type(
            "Group",
            "00G",
            [
                text("Name", "Name", 40, required=True, name_field=True),
                text("DeveloperName", "Developer Name", 80),
                pick("Type", "Type", "Queue/Regular", default="Queue"),
            ],
        ),
        setup_type(
            "QueueSobject",
            "03g",
            [
                link("QueueId", "Group ID", "Group", **NEEDED),
                pick("SobjectType", "Sobject Type", "", **NEEDED),
            ],
        ),
        setup_type(
            "Organization",
            "00D",
            [
                text("Name", "Name", 80, name_field=True),
                text("OrganizationType", "Edition", 40),
                flag("IsSandbox", "Is Sandbox"),
                moment("TrialExpirationDate", "Trial Expiration Date"),
                text("InstanceName", "Instance Name", 5),
                text("NamespacePrefix", "Namespace Prefix", 15),
                text("LanguageLocaleKey", "Language", 40),
                text("TimeZoneSidKey", "Time Zone", 40),
                text("DefaultLocaleSidKey", "Locale", 40),
            ],
            plural="Organizations",
        ),
        setup_type(
            "UserLicense",
            "100",
            [
                text("Name", "Name", 255, name_field=True),
                text("LicenseDefinitionKey", "Definition Key", 40),
                text("MasterLabel", "Master Label", 255),
            ],
        ),
        setup_type(
            "Profile",
            "00e",
            [
                text("Name", "Name", 255, name_field=True, required=True),
                text("Description", "Description", 255),
                link("UserLicenseId", "User License ID", "UserLicense"),
                *[
                    flag(name, words(name.removeprefix("Permissions")))
                    for name in SYSTEM_PERMISSIONS
                ],
            ],
        ),
    ]


def statuses() -> list[ObjectType]:
    """What each status means, and record types. The prefixes of the three are not confirmed."""
    label = text("MasterLabel", "Master Label", 255, name_field=True, **READ_ONLY)
    shared = [
        label,
        text("ApiName", "API Name", 255, **READ_ONLY),
        flag("IsDefault", "Is Default", **READ_ONLY),
        number("SortOrder", "Sort Order", 9, **READ_ONLY),
    ]
    closed = flag("IsClosed", "Is Closed", **READ_ONLY)
    return [
        setup_type("CaseStatus", "01J", [*shared, closed], plural="Case Status"),
        setup_type("TaskStatus", "01L", [*shared, closed], plural="Task Status"),
        setup_type(
            "LeadStatus",
            "01K",
            [*shared, flag("IsConverted", "Is Converted", **READ_ONLY)],
            plural="Lead Status",
        ),
        setup_type(
            "RecordType",
            "012",
            [
                text("Name", "Record Type Name", 80, name_field=True, required=True),
                text("DeveloperName", "Record Type Name", 80, required=True),
                pick("SobjectType", "SObject Type Name", "", **NEEDED),
                text("Description", "Description", 255),
                flag("IsActive", "Active", default=True),
                flag("IsPersonType", "Is Person Type", **READ_ONLY),
            ],
        ),
    ]


def rights() -> list[ObjectType]:
    return [
        setup_type(
            "PermissionSet",
            "0PS",
            [
                text("Name", "Permission Set Name", 80, required=True, name_field=True),
                text("Label", "Permission Set Label", 80, required=True),
                text("Description", "Description", 255),
                link("LicenseId", "License ID", "PermissionSetLicense", "UserLicense"),
                link("ProfileId", "Profile ID", "Profile", **READ_ONLY),
                flag("IsOwnedByProfile", "Is Owned By Profile", **READ_ONLY),
                flag("IsCustom", "Custom Permission Set", default=True, **READ_ONLY),
                pick("Type", "Permission Set Type", "Regular/Profile/Group", default="Regular"),
                flag("HasActivationRequired", "Session Activation Required"),
                text("NamespacePrefix", "Namespace Prefix", 15, **READ_ONLY),
                *[
                    flag(name, words(name.removeprefix("Permissions")))
                    for name in SYSTEM_PERMISSIONS
                ],
            ],
        ),
        setup_type(
            "PermissionSetAssignment",
            "0Pa",
            [
                link("AssigneeId", "Assignee ID", "User", **NEEDED),
                link(
                    "PermissionSetId",
                    "PermissionSet ID",
                    "PermissionSet",
                    **NEEDED,
                ),
                flag("IsActive", "Is Active", default=True, **READ_ONLY),
            ],
        ),
        setup_type(
            "ObjectPermissions",
            "110",
            [
                link("ParentId", "Parent ID", "PermissionSet", **NEEDED),
                pick("SobjectType", "SObject Type Name", "", **NEEDED),
                *[
                    flag(name, words(name.removeprefix("Permissions")))
                    for name in OBJECT_PERMISSIONS
                ],
            ],
            plural="Object Permissions",
        ),
        setup_type(
            "FieldPermissions",
            "01k",
            [
                link("ParentId", "Parent ID", "PermissionSet", **NEEDED),
                pick("SobjectType", "SObject Type Name", "", **NEEDED),
                pick("Field", "Field Name", "", **NEEDED),
                flag("PermissionsRead", "Read Field"),
                flag("PermissionsEdit", "Edit Field"),
            ],
            plural="Field Permissions",
        ),
        setup_type(
            "PermissionSetLicense",
            "0PL",
            [
                text("DeveloperName", "Developer Name", 80, name_field=True),
                text("MasterLabel", "Permission Set License Label", 255),
                text("PermissionSetLicenseKey", "License Key", 80),
                pick("Status", "Status", "Active/Disabled", default="Active"),
                number("TotalLicenses", "Total Licenses", 9),
                number("UsedLicenses", "Used Licenses", 9),
            ],
        ),
        setup_type(
            "PermissionSetLicenseAssign",
            "2LA",
            [
                link("AssigneeId", "User ID", "User", **NEEDED),
                link(
                    "PermissionSetLicenseId",
                    "PermissionSetLicense ID",
                    "PermissionSetLicense",
                    **NEEDED,
                ),
            ],
        ),
        setup_type(
            "AssignmentRule",
            "01Q",
            [
                text("Name", "Name", 120, name_field=True, **READ_ONLY),
                pick("SobjectType", "SObject Type", "Case/Lead", **READ_ONLY),
                flag("Active", "Active", **READ_ONLY),
            ],
        ),
        setup_type(
            "CustomField",
            "00N",
            [
                text("DeveloperName", "Name", 80, name_field=True, **READ_ONLY),
                text("TableEnumOrId", "Object", 40, **READ_ONLY),
                text("NamespacePrefix", "Namespace Prefix", 15, **READ_ONLY),
                text("FullName", "Full Name", 255, **ONCE),
                number("Length", "Length", 8, **READ_ONLY),
            ],
            tooling=True,
        ),
    ]
