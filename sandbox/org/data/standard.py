"""The standard objects, with the lengths, defaults and picklists that Salesforce documents.

What is not documented in public (marked in the comments) follows what is commonly seen.
"""

from __future__ import annotations

from typing import Any

from sandbox.org.data.schema import Field, ObjectType, Schema, object_type

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
)


def text(name: str, label: str, length: int, **more: Any) -> Field:
    return Field(name, label, "string", length=length, **more)


def area(name: str, label: str, length: int, **more: Any) -> Field:
    return Field(name, label, "textarea", length=length, **more)


def email(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "email", length=80, **more)


def phone(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "phone", length=40, **more)


def url(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "url", length=255, **more)


def pick(name: str, label: str, values: str, **more: Any) -> Field:
    """A picklist; `values` are separated by slashes."""
    return Field(
        name,
        label,
        "picklist",
        length=255,
        values=tuple(values.split("/")) if values else (),
        **more,
    )


def flag(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "boolean", **more)


def number(name: str, label: str, precision: int, scale: int = 0, **more: Any) -> Field:
    kind = more.pop("type", "double" if scale else "int")
    return Field(name, label, kind, precision=precision, scale=scale, **more)


def link(
    name: str, label: str, *targets: str, relationship: str | None = None, **more: Any
) -> Field:
    return Field(
        name,
        label,
        "reference",
        length=18,
        reference_to=targets,
        relationship=relationship or name.removesuffix("Id"),
        **more,
    )


def date(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "date", **more)


def moment(name: str, label: str, **more: Any) -> Field:
    return Field(name, label, "datetime", **more)


READ_ONLY: dict[str, Any] = {"createable": False, "updateable": False}
SALUTATIONS = "Mr./Ms./Mrs./Dr./Prof."
SOURCES = "Web/Phone Inquiry/Partner Referral/Purchased List/Other"
INDUSTRIES = (
    "Agriculture/Apparel/Banking/Biotechnology/Chemicals/Communications/Construction/Consulting/"
    "Education/Electronics/Energy/Engineering/Entertainment/Environmental/Finance/Food & Beverage/"
    "Government/Healthcare/Hospitality/Insurance/Machinery/Manufacturing/Media/Not For Profit/"
    "Recreation/Retail/Shipping/Technology/Telecommunications/Transportation/Utilities/Other"
)


def _address(prefix: str, label: str, compound: str) -> list[Field]:
    return [
        area(f"{prefix}Street", f"{label}Street", 255),
        text(f"{prefix}City", f"{label}City", 40),
        text(f"{prefix}State", f"{label}State/Province", 80),
        text(f"{prefix}PostalCode", f"{label}Zip/Postal Code", 20),
        text(f"{prefix}Country", f"{label}Country", 80),
        Field(compound, f"{label}Address".strip(), "address", **READ_ONLY),
    ]


def lead() -> ObjectType:
    return object_type(
        "Lead",
        "00Q",
        [
            text("LastName", "Last Name", 80, required=True),
            text("FirstName", "First Name", 40),
            pick("Salutation", "Salutation", SALUTATIONS),
            text("Name", "Full Name", 121, name_field=True, defaulted=True, **READ_ONLY),
            text("Title", "Title", 128),
            text("Company", "Company", 255, required=True),
            *_address("", "", "Address"),
            phone("Phone", "Phone"),
            phone("MobilePhone", "Mobile Phone"),
            phone("Fax", "Fax"),
            email("Email", "Email", id_lookup=True),
            url("Website", "Website"),
            area("Description", "Description", 32000),
            pick("LeadSource", "Lead Source", SOURCES),
            pick(
                "Status",
                "Status",
                "Open - Not Contacted/Working - Contacted/Closed - Converted/"
                "Closed - Not Converted",
                default="Open - Not Contacted",
                always_visible=True,
            ),
            pick("Industry", "Industry", INDUSTRIES),
            pick("Rating", "Rating", "Hot/Warm/Cold"),
            number("AnnualRevenue", "Annual Revenue", 18, type="currency"),
            number("NumberOfEmployees", "Employees", 8),
            flag(
                "IsConverted", "Converted", createable=False, updateable=False, always_visible=True
            ),
            flag("IsUnreadByOwner", "Unread By Owner", default=True, always_visible=True),
            flag("HasOptedOutOfEmail", "Email Opt Out"),
            flag("DoNotCall", "Do Not Call"),
            text("Jigsaw", "Data.com Key", 20),
            link("MasterRecordId", "Master Record ID", "Lead", always_visible=True, **READ_ONLY),
        ],
        owned=True,
    )


def case() -> ObjectType:
    return object_type(
        "Case",
        "500",
        [
            text(
                "CaseNumber",
                "Case Number",
                30,
                auto_number=True,
                name_field=True,
                defaulted=True,
                id_lookup=True,
                **READ_ONLY,
            ),
            link("ContactId", "Contact ID", "Contact"),
            link("AccountId", "Account ID", "Account"),
            link("ParentId", "Parent Case ID", "Case"),
            text("SuppliedName", "Web Name", 80, updateable=False),
            email("SuppliedEmail", "Web Email", updateable=False),
            phone("SuppliedPhone", "Web Phone", updateable=False),
            text("SuppliedCompany", "Web Company", 80, updateable=False),
            pick("Type", "Case Type", "Mechanical/Electrical/Electronic/Structural/Other"),
            pick(
                "Status",
                "Status",
                "New/Working/Escalated/Closed",
                default="New",
                always_visible=True,
            ),
            pick(
                "Reason",
                "Case Reason",
                "Installation/Equipment Complexity/Performance/Breakdown/Equipment Design/"
                "Feedback/Other",
            ),
            pick("Origin", "Case Origin", "Phone/Email/Web"),
            text("Subject", "Subject", 255),
            pick("Priority", "Priority", "High/Medium/Low", default="Medium"),
            area("Description", "Description", 32000),
            area("Comments", "Internal Comments", 4000),
            flag("IsClosed", "Closed", createable=False, updateable=False, always_visible=True),
            moment("ClosedDate", "Closed Date", always_visible=True, **READ_ONLY),
            flag("IsEscalated", "Escalated", always_visible=True),
            phone("ContactPhone", "Contact Phone", **READ_ONLY),
            email("ContactEmail", "Contact Email", **READ_ONLY),
            phone("ContactMobile", "Contact Mobile", **READ_ONLY),
            phone("ContactFax", "Contact Fax", **READ_ONLY),
            link("MasterRecordId", "Master Record ID", "Case", always_visible=True, **READ_ONLY),
        ],
        owned=True,
    )


def contact() -> ObjectType:
    return object_type(
        "Contact",
        "003",
        [
            link("AccountId", "Account ID", "Account"),
            text("LastName", "Last Name", 80, required=True),
            text("FirstName", "First Name", 40),
            pick("Salutation", "Salutation", SALUTATIONS),
            text("Name", "Full Name", 121, name_field=True, defaulted=True, **READ_ONLY),
            text("Title", "Title", 128),
            text("Department", "Department", 80),
            *_address("Mailing", "Mailing ", "MailingAddress"),
            *_address("Other", "Other ", "OtherAddress"),
            phone("Phone", "Business Phone"),
            phone("MobilePhone", "Mobile Phone"),
            phone("HomePhone", "Home Phone"),
            phone("OtherPhone", "Other Phone"),
            phone("Fax", "Business Fax"),
            email("Email", "Email", id_lookup=True),
            link("ReportsToId", "Reports To ID", "Contact"),
            pick("LeadSource", "Lead Source", SOURCES),
            date("Birthdate", "Birthdate"),
            area("Description", "Contact Description", 32000),
            flag("HasOptedOutOfEmail", "Email Opt Out"),
            flag("DoNotCall", "Do Not Call"),
            link("MasterRecordId", "Master Record ID", "Contact", always_visible=True, **READ_ONLY),
        ],
        owned=True,
    )


def account() -> ObjectType:
    return object_type(
        "Account",
        "001",
        [
            text("Name", "Account Name", 255, required=True, name_field=True),
            pick("Type", "Account Type", "Prospect/Customer - Direct/Customer - Channel/Other"),
            link("ParentId", "Parent Account ID", "Account"),
            *_address("Billing", "Billing ", "BillingAddress"),
            *_address("Shipping", "Shipping ", "ShippingAddress"),
            phone("Phone", "Account Phone"),
            phone("Fax", "Account Fax"),
            text("AccountNumber", "Account Number", 40),
            url("Website", "Website"),
            pick("Industry", "Industry", INDUSTRIES),
            number("AnnualRevenue", "Annual Revenue", 18, type="currency"),
            number("NumberOfEmployees", "Employees", 8),
            area("Description", "Account Description", 32000),
            pick("Rating", "Account Rating", "Hot/Warm/Cold"),
            text("Site", "Account Site", 80),
            link("MasterRecordId", "Master Record ID", "Account", always_visible=True, **READ_ONLY),
        ],
        owned=True,
    )


def _activities() -> list[ObjectType]:
    return [
        object_type(
            "Task",
            "00T",
            [
                link("WhoId", "Name ID", "Contact", "Lead"),
                link("WhatId", "Related To ID", "Account", "Case"),
                text("Subject", "Subject", 255),
                date("ActivityDate", "Due Date Only"),
                pick(
                    "Status",
                    "Status",
                    "Not Started/In Progress/Completed/Waiting on someone else/Deferred",
                    default="Not Started",
                    always_visible=True,
                ),
                pick(
                    "Priority", "Priority", "High/Normal/Low", default="Normal", always_visible=True
                ),
                area("Description", "Description", 32000),
                pick("TaskSubtype", "Task Subtype", "Task/Email/ListEmail/Cadence/Call"),
                number("CallDurationInSeconds", "Call Duration", 8),
                pick("CallType", "Call Type", "Internal/Inbound/Outbound"),
            ],
            owned=True,
        ),
        object_type(
            "CaseComment",
            "00a",
            [
                link("ParentId", "Parent ID", "Case", required=True, updateable=False),
                area("CommentBody", "Body", 4000),
                flag("IsPublished", "Published"),
            ],
            label="Case Comment",
        ),
        object_type(
            "ContentVersion",
            "068",
            [
                text("Title", "Title", 255),
                text("PathOnClient", "Path On Client", 500, updateable=False, required=True),
                Field("VersionData", "Version Data", "base64", length=50_000_000),
                pick("ContentLocation", "Content Origin", "S/E/L", default="S"),
                text("FileExtension", "File Extension", 40, **READ_ONLY),
                number("ContentSize", "Size", 9, **READ_ONLY),
                link(
                    "FirstPublishLocationId",
                    "First Publish Location ID",
                    "Account",
                    "Case",
                    "Contact",
                    "Lead",
                    updateable=False,
                ),
                link("ContentDocumentId", "ContentDocument ID", "ContentDocument", **READ_ONLY),
            ],
            label="Content Version",
        ),
        object_type(
            "ContentDocument",
            "069",
            [text("Title", "Title", 255), text("FileExtension", "File Extension", 40)],
            label="Content Document",
        ),
        object_type(
            "ContentDocumentLink",
            "06A",
            [
                link("LinkedEntityId", "Linked Entity ID", "Account", "Case", "Contact", "Lead"),
                link("ContentDocumentId", "ContentDocument ID", "ContentDocument"),
                pick("ShareType", "Share Type", "V/C/I", default="V"),
                pick("Visibility", "Visibility", "AllUsers/InternalUsers/SharedUsers"),
            ],
            label="Content Document Link",
        ),
    ]


def _people() -> list[ObjectType]:
    return [
        object_type(
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
            setup=True,
        ),
        object_type(
            "Group",
            "00G",
            [
                text("Name", "Name", 40, required=True, name_field=True),
                text("DeveloperName", "Developer Name", 80),
                pick("Type", "Type", "Queue/Regular", default="Queue"),
            ],
            setup=True,
        ),
        object_type(
            "Organization",
            "00D",
            [
                text("Name", "Name", 80, name_field=True),
                text("OrganizationType", "Edition", 40),
                flag("IsSandbox", "Is Sandbox"),
                text("InstanceName", "Instance Name", 5),
                text("NamespacePrefix", "Namespace Prefix", 15),
                text("LanguageLocaleKey", "Language", 40),
                text("TimeZoneSidKey", "Time Zone", 40),
                text("DefaultLocaleSidKey", "Locale", 40),
            ],
            plural="Organizations",
            setup=True,
        ),
        object_type(
            "UserLicense",
            "100",
            [
                text("Name", "Name", 255, name_field=True),
                text("LicenseDefinitionKey", "Definition Key", 40),
                text("MasterLabel", "Master Label", 255),
            ],
            label="User License",
            setup=True,
        ),
        object_type(
            "Profile",
            "00e",
            [
                text("Name", "Name", 255, name_field=True, required=True),
                text("Description", "Description", 255),
                link("UserLicenseId", "User License ID", "UserLicense"),
                *[flag(name, _words(name)) for name in SYSTEM_PERMISSIONS],
            ],
            setup=True,
        ),
    ]


def _rights() -> list[ObjectType]:
    return [
        object_type(
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
                *[flag(name, _words(name)) for name in SYSTEM_PERMISSIONS],
            ],
            label="Permission Set",
            setup=True,
        ),
        object_type(
            "PermissionSetAssignment",
            "0Pa",
            [
                link("AssigneeId", "Assignee ID", "User", required=True, updateable=False),
                link(
                    "PermissionSetId",
                    "PermissionSet ID",
                    "PermissionSet",
                    required=True,
                    updateable=False,
                ),
                flag("IsActive", "Is Active", default=True, **READ_ONLY),
            ],
            label="Permission Set Assignment",
            setup=True,
        ),
        object_type(
            "ObjectPermissions",
            "110",
            [
                link("ParentId", "Parent ID", "PermissionSet", required=True, updateable=False),
                pick("SobjectType", "SObject Type Name", "", required=True, updateable=False),
                *[flag(name, _words(name)) for name in OBJECT_PERMISSIONS],
            ],
            label="Object Permissions",
            plural="Object Permissions",
            setup=True,
        ),
        object_type(
            "FieldPermissions",
            "01k",
            [
                link("ParentId", "Parent ID", "PermissionSet", required=True, updateable=False),
                pick("SobjectType", "SObject Type Name", "", required=True, updateable=False),
                pick("Field", "Field Name", "", required=True, updateable=False),
                flag("PermissionsRead", "Read Field"),
                flag("PermissionsEdit", "Edit Field"),
            ],
            label="Field Permissions",
            plural="Field Permissions",
            setup=True,
        ),
        object_type(
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
            label="Permission Set License",
            setup=True,
        ),
        object_type(
            "PermissionSetLicenseAssign",
            "2LA",
            [
                link("AssigneeId", "User ID", "User", required=True, updateable=False),
                link(
                    "PermissionSetLicenseId",
                    "PermissionSetLicense ID",
                    "PermissionSetLicense",
                    required=True,
                    updateable=False,
                ),
            ],
            label="Permission Set License Assignment",
            setup=True,
        ),
        object_type(
            "AssignmentRule",
            "01Q",
            [
                text("Name", "Name", 120, name_field=True, **READ_ONLY),
                pick("SobjectType", "SObject Type", "Case/Lead", **READ_ONLY),
                flag("Active", "Active", **READ_ONLY),
            ],
            label="Assignment Rule",
            setup=True,
        ),
        object_type(
            "CustomField",
            "00N",
            [
                text("DeveloperName", "Name", 80, name_field=True, **READ_ONLY),
                text("TableEnumOrId", "Object", 40, **READ_ONLY),
                text("NamespacePrefix", "Namespace Prefix", 15, **READ_ONLY),
                text("FullName", "Full Name", 255, updateable=False),
                number("Length", "Length", 8, **READ_ONLY),
            ],
            label="Custom Field",
            setup=True,
            tooling=True,
        ),
    ]


def _words(name: str) -> str:
    """``PermissionsApiEnabled`` as a label: ``Api Enabled``."""
    bare = name.removeprefix("Permissions")
    return "".join(f" {c}" if c.isupper() and at else c for at, c in enumerate(bare))


def standard_schema() -> Schema:
    """A fresh copy of all standard objects, for one org to change as it likes."""
    return Schema([lead(), case(), contact(), account(), *_activities(), *_people(), *_rights()])
