"""The standard objects, with the lengths, defaults and picklists that Salesforce documents.

What is not documented in public (marked in the comments) follows what is commonly seen.
"""

from __future__ import annotations

from typing import Any

from sandbox.org.data.fields import (
    READ_ONLY,
    area,
    date,
    email,
    flag,
    link,
    moment,
    number,
    phone,
    pick,
    text,
    url,
)
from sandbox.org.data.schema import Field, ObjectType, Schema, object_type
from sandbox.org.data.setup_objects import people, rights, statuses

SALUTATIONS = "Mr./Ms./Mrs./Dr./Prof."
SOURCES = "Web/Phone Inquiry/Partner Referral/Purchased List/Other"
INDUSTRIES = (
    "Agriculture/Apparel/Banking/Biotechnology/Chemicals/Communications/Construction/Consulting/"
    "Education/Electronics/Energy/Engineering/Entertainment/Environmental/Finance/Food & Beverage/"
    "Government/Healthcare/Hospitality/Insurance/Machinery/Manufacturing/Media/Not For Profit/"
    "Recreation/Retail/Shipping/Technology/Telecommunications/Transportation/Utilities/Other"
)


FIXED: dict[str, Any] = {**READ_ONLY, "always_visible": True}
"""Fields that the org writes and everybody sees."""


def _master(name: str) -> Field:
    """The record that this one was merged into."""
    return link("MasterRecordId", "Master Record ID", name, **FIXED)


def _record_type() -> Field:
    return link("RecordTypeId", "Record Type ID", "RecordType", always_visible=True)


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
            flag("IsConverted", "Converted", **FIXED),
            date("ConvertedDate", "Converted Date", **FIXED),
            link("ConvertedAccountId", "Converted Account ID", "Account", **FIXED),
            link("ConvertedContactId", "Converted Contact ID", "Contact", **FIXED),
            link("ConvertedOpportunityId", "Converted Opportunity ID", "Opportunity", **FIXED),
            flag("IsUnreadByOwner", "Unread By Owner", default=True, always_visible=True),
            flag("HasOptedOutOfEmail", "Email Opt Out"),
            flag("DoNotCall", "Do Not Call"),
            text("Jigsaw", "Data.com Key", 20),
            _master("Lead"),
            _record_type(),
        ],
        queues=True,
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
            area("Comments", "Internal Comments", 4000, in_bytes=True),
            flag("IsClosed", "Closed", **FIXED),
            moment("ClosedDate", "Closed Date", **FIXED),
            flag("IsEscalated", "Escalated", always_visible=True),
            phone("ContactPhone", "Contact Phone", **READ_ONLY),
            email("ContactEmail", "Contact Email", **READ_ONLY),
            phone("ContactMobile", "Contact Mobile", **READ_ONLY),
            phone("ContactFax", "Contact Fax", **READ_ONLY),
            _master("Case"),
            _record_type(),
        ],
        queues=True,
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
            _master("Contact"),
            _record_type(),
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
            _master("Account"),
            _record_type(),
        ],
        owned=True,
    )


def opportunity() -> ObjectType:
    return object_type(
        "Opportunity",
        "006",
        [
            text("Name", "Name", 120, required=True, name_field=True),
            link("AccountId", "Account ID", "Account"),
            pick(
                "StageName",
                "Stage",
                "Prospecting/Qualification/Needs Analysis/Value Proposition/Closed Won/Closed Lost",
                required=True,
            ),
            date("CloseDate", "Close Date", required=True),
            number("Amount", "Amount", 18, 2, type="currency"),
            number("Probability", "Probability (%)", 3, type="percent"),
            pick("Type", "Opportunity Type", "Existing Business/New Business"),
            pick("LeadSource", "Lead Source", SOURCES),
            area("Description", "Description", 32000),
            flag("IsClosed", "Closed", **FIXED),
            flag("IsWon", "Won", **FIXED),
            _record_type(),
        ],
        plural="Opportunities",
        owned=True,
    )


def campaigns() -> list[ObjectType]:
    return [
        object_type(
            "Campaign",
            "701",
            [
                text("Name", "Name", 80, required=True, name_field=True),
                flag("IsActive", "Active"),
                pick("Status", "Status", "Planned/In Progress/Completed/Aborted"),
            ],
            owned=True,
        ),
        object_type(
            "CampaignMember",
            "00v",
            [
                link("CampaignId", "Campaign ID", "Campaign", required=True, updateable=False),
                link("LeadId", "Lead ID", "Lead", updateable=False, always_visible=True),
                link("ContactId", "Contact ID", "Contact", updateable=False, always_visible=True),
                pick("Status", "Status", "Sent/Responded", default="Sent"),
            ],
            label="Campaign Member",
        ),
    ]


WHO = ("Contact", "Lead")
WHAT = ("Account", "Case", "Opportunity", "Campaign")


def activities() -> list[ObjectType]:
    """Task and Event. Their custom fields are made on Activity and shared by both."""
    shared = (
        link("WhoId", "Name ID", *WHO),
        link("WhatId", "Related To ID", *WHAT),
        # Neither can be set: Salesforce takes it from WhatId, or from the contact.
        link("AccountId", "Account ID", "Account", **FIXED),
        text("Subject", "Subject", 255),
        area("Description", "Description", 32000),
    )
    return [
        object_type(
            "Task",
            "00T",
            [
                *shared,
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
                flag("IsClosed", "Closed", **FIXED),
                flag("IsHighPriority", "High Priority", **FIXED),
                moment("CompletedDateTime", "Completed Date", **FIXED),
                pick("Type", "Type", "Call/Meeting/Other"),
                pick(
                    "TaskSubtype",
                    "Task Subtype",
                    "Task/Email/ListEmail/Cadence/Call",
                    default="Task",
                    updateable=False,
                ),
                number("CallDurationInSeconds", "Call Duration", 8),
                pick("CallType", "Call Type", "Internal/Inbound/Outbound"),
            ],
            queues=True,
        ),
        object_type(
            "Event",
            "00U",
            [
                *shared,
                moment("ActivityDateTime", "Due Date Time", required=True),
                number("DurationInMinutes", "Duration", 8, required=True),
                text("Location", "Location", 255),
            ],
            owned=True,
        ),
    ]


def case_comment() -> ObjectType:
    """No field of it has field-level security: whoever may comment sets them all."""
    return object_type(
        "CaseComment",
        "00a",
        [
            link(
                "ParentId",
                "Parent ID",
                "Case",
                required=True,
                updateable=False,
            ),
            area("CommentBody", "Body", 4000, in_bytes=True, always_visible=True),
            flag("IsPublished", "Published", always_visible=True),
        ],
        label="Case Comment",
    )


def files() -> list[ObjectType]:
    linked = (*WHAT, *WHO, "Task")
    read_only: dict[str, Any] = {"always_visible": True, **READ_ONLY}
    return [
        object_type(
            "ContentVersion",
            "068",
            [
                text("Title", "Title", 255, always_visible=True),
                area("Description", "Description", 1000, always_visible=True),
                text(
                    "PathOnClient",
                    "Path On Client",
                    500,
                    updateable=False,
                    required=True,
                    always_visible=True,
                ),
                Field(
                    "VersionData",
                    "Version Data",
                    "base64",
                    updateable=False,
                    always_visible=True,
                ),
                pick(
                    "ContentLocation",
                    "Content Origin",
                    "S/E/L",
                    default="S",
                    updateable=False,
                    always_visible=True,
                ),
                text("FileExtension", "File Extension", 40, **read_only),
                text("Checksum", "Checksum", 50, **read_only),
                number("ContentSize", "Size", 9, **read_only),
                text("VersionNumber", "Version Number", 20, **read_only),
                flag("IsLatest", "Is Latest", **read_only),
                link(
                    "FirstPublishLocationId",
                    "First Publish Location ID",
                    *linked,
                    "User",
                    updateable=False,
                    always_visible=True,
                ),
                link(
                    "ContentDocumentId",
                    "ContentDocument ID",
                    "ContentDocument",
                    updateable=False,
                    always_visible=True,
                ),
            ],
            label="Content Version",
            owned=True,
        ),
        object_type(
            "ContentDocument",
            "069",
            [
                text("Title", "Title", 255, always_visible=True),
                text("FileExtension", "File Extension", 40, **read_only),
                number("ContentSize", "Size", 9, **read_only),
                link(
                    "LatestPublishedVersionId",
                    "Latest Published Version ID",
                    "ContentVersion",
                    **read_only,
                ),
            ],
            label="Content Document",
            owned=True,
        ),
        object_type(
            "ContentDocumentLink",
            "06A",
            [
                link(
                    "LinkedEntityId",
                    "Linked Entity ID",
                    *linked,
                    "User",
                    required=True,
                    updateable=False,
                    always_visible=True,
                ),
                link(
                    "ContentDocumentId",
                    "ContentDocument ID",
                    "ContentDocument",
                    required=True,
                    updateable=False,
                    always_visible=True,
                ),
                pick("ShareType", "Share Type", "V/C/I", default="V", always_visible=True),
                pick(
                    "Visibility",
                    "Visibility",
                    "AllUsers/InternalUsers/SharedUsers",
                    default="AllUsers",
                    always_visible=True,
                ),
            ],
            label="Content Document Link",
        ),
    ]


def standard_schema() -> Schema:
    """A fresh copy of all standard objects, for one org to change as it likes."""
    return Schema(
        [
            lead(),
            case(),
            contact(),
            account(),
            opportunity(),
            *campaigns(),
            *activities(),
            case_comment(),
            *files(),
            *people(),
            *statuses(),
            *rights(),
        ]
    )
