"""Two orgs to start from: the ready one, and the one that a customer has before setting up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.org.data.standard import OBJECT_PERMISSIONS, SYSTEM_PERMISSIONS
from sandbox.org.oauth.oauth import App

if TYPE_CHECKING:
    from sandbox.org.org import Org

# Well known on purpose: they open nothing but an org in memory on this machine.
CLIENT_ID = "3MVG9SandboxBirdBridge.ConsumerKey0001"
CLIENT_SECRET = "sandbox-consumer-secret-0001"
CALLBACKS = ("http://localhost:8788/callback", "https://login.salesforce.com/")

INTEGRATION_USER = "integration@bird.example"
INTEGRATION_PASSWORD = "bird-integration-1"
API_ONLY_USER = "api-only@bird.example"
ADMIN_USER = "admin@bird.example"
ADMIN_PASSWORD = "bird-admin-1"
SALES_USER = "sam.sales@bird.example"

_BUSINESS = ("Lead", "Case", "Contact", "Account", "Task", "ContentVersion")


def _profile(
    org: Org, name: str, licence_id: str, *permissions: str, rights: tuple[str, ...] = ()
) -> str:
    """A profile with the permission set that it owns, which holds its object and field rights."""
    granted = {f"Permissions{name}": True for name in permissions}
    profile_id = org.put_raw("Profile", Name=name, UserLicenseId=licence_id, **granted)
    set_id = org.put_raw(
        "PermissionSet",
        Name=f"X{profile_id[:15]}",
        Label=name,
        ProfileId=profile_id,
        IsOwnedByProfile=True,
        IsCustom=False,
        Type="Profile",
    )
    if rights:
        for object_name in _BUSINESS:
            grant_object(org, set_id, object_name, *rights)
            grant_fields(org, set_id, object_name)
    return profile_id


def grant_object(org: Org, set_id: str, object_name: str, *actions: str) -> None:
    """Object rights in a permission set: Create, Read, Edit …"""
    wanted = {f"Permissions{action}" for action in actions}
    org.put_raw(
        "ObjectPermissions",
        ParentId=set_id,
        SobjectType=object_name,
        **{name: name in wanted for name in OBJECT_PERMISSIONS},
    )


def grant_fields(org: Org, set_id: str, object_name: str, *, custom: bool = False) -> None:
    """Field access for every field where it can be set; custom ones only if asked for."""
    for item in org.schema[object_name].fields.values():
        if item.permissionable and item.custom <= custom:
            org.put_raw(
                "FieldPermissions",
                ParentId=set_id,
                SobjectType=object_name,
                Field=f"{object_name}.{item.name}",
                PermissionsRead=True,
                PermissionsEdit=item.createable or item.updateable,
            )


def _user(org: Org, username: str, first: str, last: str, profile_id: str) -> str:
    return org.put_raw(
        "User",
        Username=username,
        FirstName=first,
        LastName=last,
        Name=f"{first} {last}",
        Email=username,
        Alias=first[:8].lower(),
        ProfileId=profile_id,
        IsActive=True,
    )


def fill_bare(org: Org) -> None:
    """Users, profiles and the app, but neither Bird_Key__c nor the permission set.

    The integration user has a profile that may log in and use the API, and nothing else.
    """
    full = org.put_raw("UserLicense", Name="Salesforce", LicenseDefinitionKey="SFDC")
    free = org.put_raw(
        "UserLicense", Name="Salesforce Integration", LicenseDefinitionKey="PID_Integration"
    )
    org.put_raw(
        "PermissionSetLicense",
        DeveloperName="SalesforceAPIIntegrationPsl",
        MasterLabel="Salesforce API Integration",
        PermissionSetLicenseKey="SalesforceAPIIntegrationPsl",
        TotalLicenses=5,
        UsedLicenses=0,
    )
    everything = ("Create", "Read", "Edit", "Delete", "ViewAllRecords", "ModifyAllRecords")
    all_permissions = [
        name.removeprefix("Permissions")
        for name in SYSTEM_PERMISSIONS
        if name != "PermissionsApiUserOnly"
    ]
    admin = _profile(org, "System Administrator", full, *all_permissions, rights=everything)
    standard = _profile(org, "Standard User", full, "ApiEnabled", rights=("Create", "Read", "Edit"))
    minimum = _profile(org, "Minimum Access - Bird", full, "ApiEnabled")
    api_only = _profile(
        org, "Minimum Access - API Only Integrations", free, "ApiEnabled", "ApiUserOnly"
    )
    org.system_user_id = _user(org, ADMIN_USER, "Ada", "Admin", admin)
    _user(org, INTEGRATION_USER, "Bird", "Integration", minimum)
    _user(org, API_ONLY_USER, "Bird", "API Only", api_only)
    org.settings.default_case_owner = _user(org, SALES_USER, "Sam", "Sales", standard)
    org.put_raw("Group", Name="Messages", DeveloperName="Messages", Type="Queue")
    org.oauth.set_password(ADMIN_USER, ADMIN_PASSWORD)
    org.oauth.set_password(INTEGRATION_USER, INTEGRATION_PASSWORD)
    org.oauth.add_app(
        App("Bird bridge", CLIENT_ID, CLIENT_SECRET, callbacks=CALLBACKS, run_as=INTEGRATION_USER)
    )


def fill_ready(org: Org) -> None:
    """What ``setup-org`` makes: the key on Lead and Case, and who may use it."""
    for object_name in ("Lead", "Case"):
        org.add_field(
            object_name,
            "Bird_Key__c",
            length=100,
            label="Bird Key",
            external_id=True,
            unique=True,
            case_sensitive=True,
            visible_to=(ADMIN_USER,),
        )
    set_id = org.put_raw(
        "PermissionSet",
        Name="Bird_Bridge",
        Label="Bird bridge",
        Description="What the bridge from Bird needs, and nothing else",
    )
    for object_name in ("Lead", "Case"):
        grant_object(org, set_id, object_name, "Create", "Read", "ViewAllRecords")
        grant_fields(org, set_id, object_name, custom=True)
    for username in (INTEGRATION_USER,):
        user = org.oauth.user(username)
        assert user is not None
        org.put_raw("PermissionSetAssignment", AssigneeId=user["Id"], PermissionSetId=set_id)
