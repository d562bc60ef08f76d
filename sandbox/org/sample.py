"""Two orgs to start from: the ready one, and the one that a customer has before setting up."""

from __future__ import annotations

from sandbox.org.data.setup_objects import SYSTEM_PERMISSIONS
from sandbox.org.oauth.tokens import App, OAuth
from sandbox.org.rules.administrator import Administrator

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

_BUSINESS = ("Lead", "Case", "Contact", "Account", "Opportunity", "Campaign", "ContentVersion")
_ACTIVITIES = ("ActivitiesAccess", "EditTask", "EditEvent")


def _profile(
    state: Administrator,
    name: str,
    licence: str,
    *permissions: str,
    rights: tuple[str, ...] = (),
) -> str:
    """A profile with the permission set that it owns, which holds its object and field rights."""
    granted = {f"Permissions{name}": True for name in permissions}
    profile_id = state.put_raw("Profile", Name=name, UserLicenseId=licence, **granted)
    set_id = state.put_raw(
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
            state.grant_object(set_id, object_name, *rights)
            state.grant_fields(set_id, object_name)
        for object_name in ("Task", "Event"):
            state.grant_fields(set_id, object_name)
    return profile_id


def _user(state: Administrator, username: str, first: str, last: str, profile_id: str) -> str:
    return state.put_raw(
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


def fill_bare(state: Administrator, oauth: OAuth) -> None:
    """Users, profiles and the app, but neither the fields nor the permission set.

    The integration user has a profile that may log in and use the API, and nothing else.
    """
    full = state.put_raw("UserLicense", Name="Salesforce", LicenseDefinitionKey="SFDC")
    free = state.put_raw(
        "UserLicense", Name="Salesforce Integration", LicenseDefinitionKey="PID_Integration"
    )
    state.put_raw(
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
    admin = _profile(state, "System Administrator", full, *all_permissions, rights=everything)
    standard = _profile(
        state, "Standard User", full, "ApiEnabled", rights=("Create", "Read", "Edit")
    )
    minimum = _profile(state, "Minimum Access - Bird", full, "ApiEnabled")
    api_only = _profile(
        state, "Minimum Access - API Only Integrations", free, "ApiEnabled", "ApiUserOnly"
    )
    state.system_user_id = _user(state, ADMIN_USER, "Ada", "Admin", admin)
    _user(state, INTEGRATION_USER, "Bird", "Integration", minimum)
    _user(state, API_ONLY_USER, "Bird", "API Only", api_only)
    state.settings.default_case_owner = _user(state, SALES_USER, "Sam", "Sales", standard)
    state.add_queue("Messages", "Lead", "Case")
    oauth.set_password(ADMIN_USER, ADMIN_PASSWORD)
    oauth.set_password(INTEGRATION_USER, INTEGRATION_PASSWORD)
    oauth.add_app(
        App("Bird bridge", CLIENT_ID, CLIENT_SECRET, callbacks=CALLBACKS, run_as=INTEGRATION_USER)
    )


def fill_ready(state: Administrator) -> None:
    """What ``setup-org`` makes: the keys on records, tasks and files, and who may use them."""
    for object_name in ("Lead", "Case", "Activity"):
        for name, unique in (("Bird_Key__c", True), ("Bird_Conversation__c", False)):
            state.add_field(
                object_name,
                name,
                length=100,
                external_id=True,
                unique=unique,
                case_sensitive=True,
                visible_to=(ADMIN_USER,),
            )
    for object_name in ("Lead", "Case"):
        state.add_field(object_name, "Bird_Last_Message__c", "datetime", visible_to=(ADMIN_USER,))
    state.add_field(
        "ContentVersion",
        "Bird_Key__c",
        length=100,
        external_id=True,
        case_sensitive=True,
        visible_to=(ADMIN_USER,),
    )
    set_id = state.put_raw(
        "PermissionSet",
        Name="Bird_Bridge",
        Label="Bird bridge",
        Description="What the bridge from Bird needs, and nothing else",
        PermissionsActivitiesAccess=True,
        PermissionsEditTask=True,
    )
    for object_name in ("Lead", "Case"):
        state.grant_object(set_id, object_name, "Create", "Read", "Edit", "ViewAllRecords")
        state.grant_fields(set_id, object_name, custom=True)
    for object_name in ("Contact", "Account", "Opportunity"):
        state.grant_object(set_id, object_name, "Read", "ViewAllRecords")
        state.grant_fields(set_id, object_name)
    for object_name in ("Task", "ContentVersion"):
        state.grant_fields(set_id, object_name, custom=True)
    for username in (INTEGRATION_USER,):
        user = state.user(username)
        assert user is not None
        state.put_raw("PermissionSetAssignment", AssigneeId=user["Id"], PermissionSetId=set_id)
