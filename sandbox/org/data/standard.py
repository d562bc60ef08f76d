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
from sandbox.org.data.setup_objects import ONCE, people, rights, statuses

SALUTATIONS = "Mr./Ms./Mrs./Dr./Prof."
SOURCES = "Web/Phone Inquiry/Partner Referral/Purchased List/Other"
INDUSTRIES = (
    "Agriculture/Apparel/Banking/Biotechnology/Chemicals/Communications/Construction/Consulting/"
    "Education/Electronics/Energy/Engineering/Entertainment/Environmental/Finance/Food & Beverage/"
    "Government/Healthcare/Hospitality/Insurance/Machinery/Manufacturing/Media/Not For Profit/"
    "Recreation/Retail/Shipping/Technology/Telecommunications/Transportation/Utilities/Other"
)


SEEN: dict[str, Any] = {"always_visible": True}
"""Fields without field-level security."""
SEEN_ONCE: dict[str, Any] = {**SEEN, **ONCE}
FIXED: dict[str, Any] = {**READ_ONLY, **SEEN}
"""Fields that the org writes and everybody sees."""
CASE_NUMBER: dict[str, Any] = {"auto_number": True, "defaulted": True, **READ_ONLY}
LEAD_STATUSES = "Open - Not Contacted/Working - Contacted/Closed - Converted/Closed - Not Converted"
REASONS = "Installation/Equipment Complexity/Performance/Breakdown/Equipment Design/Feedback/Other"
STAGES = "Prospecting/Qualification/Needs Analysis/Value Proposition/Closed Won/Closed Lost"
SUBTYPES = "Task/Email/ListEmail/Cadence/Call"
TASK_STATUSES = "Not Started/In Progress/Completed/Waiting on someone else/Deferred"


def _master(name: str) -> Field:
    """The record that this one was merged into."""
    return link("MasterRecordId", "Master Record ID", name, **FIXED)


def _record_type() -> Field:
    return link("RecordTypeId", "Record Type ID", "RecordType", **SEEN)


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
            pick("Status", "Status", LEAD_STATUSES, default="Open - Not Contacted", **SEEN),
            pick("Industry", "Industry", INDUSTRIES),
            pick("Rating", "Rating", "Hot/Warm/Cold"),
            number("AnnualRevenue", "Annual Revenue", 18, type="currency"),
            number("NumberOfEmployees", "Employees", 8),
            flag("IsConverted", "Converted", **FIXED),
            date("ConvertedDate", "Converted Date", **FIXED),
            link("ConvertedAccountId", "Converted Account ID", "Account", **FIXED),
            link("ConvertedContactId", "Converted Contact ID", "Contact", **FIXED),
            link("ConvertedOpportunityId", "Converted Opportunity ID", "Opportunity", **FIXED),
            flag("IsUnreadByOwner", "Unread By Owner", default=True, **SEEN),
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
            text("CaseNumber", "Case Number", 30, name_field=True, id_lookup=True, **CASE_NUMBER),
            link("ContactId", "Contact ID", "Contact"),
            link("AccountId", "Account ID", "Account"),
            link("ParentId", "Parent Case ID", "Case"),
            text("SuppliedName", "Web Name", 80, **ONCE),
            email("SuppliedEmail", "Web Email", **ONCE),
            phone("SuppliedPhone", "Web Phone", **ONCE),
            text("SuppliedCompany", "Web Company", 80, **ONCE),
            pick("Type", "Case Type", "Mechanical/Electrical/Electronic/Structural/Other"),
            pick("Status", "Status", "New/Working/Escalated/Closed", default="New", **SEEN),
            pick("Reason", "Case Reason", REASONS),
            pick("Origin", "Case Origin", "Phone/Email/Web"),
            text("Subject", "Subject", 255),
            pick("Priority", "Priority", "High/Medium/Low", default="Medium"),
            area("Description", "Description", 32000),
            area("Comments", "Internal Comments", 4000, in_bytes=True),
            flag("IsClosed", "Closed", **FIXED),
            moment("ClosedDate", "Closed Date", **FIXED),
            flag("IsEscalated", "Escalated", **SEEN),
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
            pick("StageName", "Stage", STAGES, required=True),
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
                link("CampaignId", "Campaign ID", "Campaign", required=True, **ONCE),
                link("LeadId", "Lead ID", "Lead", **SEEN_ONCE),
                link("ContactId", "Contact ID", "Contact", **SEEN_ONCE),
                pick("Status", "Status", "Sent/Responded", default="Sent"),
            ],
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
                pick("Status", "Status", TASK_STATUSES, default="Not Started", **SEEN),
                pick("Priority", "Priority", "High/Normal/Low", default="Normal", **SEEN),
                flag("IsClosed", "Closed", **FIXED),
                flag("IsHighPriority", "High Priority", **FIXED),
                moment("CompletedDateTime", "Completed Date", **FIXED),
                pick("Type", "Type", "Call/Meeting/Other"),
                pick("TaskSubtype", "Task Subtype", SUBTYPES, default="Task", **ONCE),
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
            link("ParentId", "Parent ID", "Case", required=True, **ONCE),
            area("CommentBody", "Body", 4000, in_bytes=True, **SEEN),
            flag("IsPublished", "Published", **SEEN),
        ],
    )


def files() -> list[ObjectType]:
    linked = (*WHAT, *WHO, "Task", "User")
    document, shared = ("ContentDocument ID", "ContentDocument"), "AllUsers/InternalUsers"
    return [
        object_type(
            "ContentVersion",
            "068",
            [
                text("Title", "Title", 255, **SEEN),
                area("Description", "Description", 1000, **SEEN),
                text("PathOnClient", "Path On Client", 500, required=True, **SEEN_ONCE),
                Field("VersionData", "Version Data", "base64", **SEEN_ONCE),
                pick("ContentLocation", "Content Origin", "S/E/L", default="S", **SEEN_ONCE),
                text("FileExtension", "File Extension", 40, **FIXED),
                text("Checksum", "Checksum", 50, **FIXED),
                number("ContentSize", "Size", 9, **FIXED),
                text("VersionNumber", "Version Number", 20, **FIXED),
                flag("IsLatest", "Is Latest", **FIXED),
                link("FirstPublishLocationId", "First Publish Location ID", *linked, **SEEN_ONCE),
                link("ContentDocumentId", *document, **SEEN_ONCE),
            ],
            owned=True,
        ),
        object_type(
            "ContentDocument",
            "069",
            [
                text("Title", "Title", 255, **SEEN),
                text("FileExtension", "File Extension", 40, **FIXED),
                number("ContentSize", "Size", 9, **FIXED),
                link("LatestPublishedVersionId", "Latest Version ID", "ContentVersion", **FIXED),
            ],
            owned=True,
        ),
        object_type(
            "ContentDocumentLink",
            "06A",
            [
                link("LinkedEntityId", "Linked Entity ID", *linked, required=True, **SEEN_ONCE),
                link("ContentDocumentId", *document, required=True, **SEEN_ONCE),
                pick("ShareType", "Share Type", "V/C/I", default="V", **SEEN),
                pick("Visibility", "Visibility", shared, default="AllUsers", **SEEN),
            ],
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
