"""Fields that Salesforce works out from a record's other fields."""

from __future__ import annotations

from sandbox.org.data.state import State
from sandbox.org.data.store import Record


def derived_fields(state: State, name: str, record: Record, before: Record) -> Record:
    """The derived fields of `record`, the whole record as it is going to be saved.

    `before` is the record as it was, empty for a new one.
    """
    match name:
        case "Lead" | "Contact" | "User":
            parts = (record.get("FirstName"), record.get("LastName"))
            return {"Name": " ".join(part for part in parts if part)}
        case "Case":
            return {**_closed(state, record, before), **_from_contact(state, record, before)}
        case "Task":
            return {**_done(state, record, before), **_account(state, record)}
        case "Event":
            return _account(state, record)
        case "Opportunity":
            stage = record.get("StageName") or ""
            return {"IsClosed": stage.startswith("Closed"), "IsWon": stage == "Closed Won"}
    return {}


def _closed(state: State, record: Record, before: Record) -> Record:
    closed = state.is_closed("Case", record.get("Status"))
    since = before.get("ClosedDate") if before.get("IsClosed") else state.clock.stamp()
    return {"IsClosed": closed, "ClosedDate": since if closed else None}


def _done(state: State, record: Record, before: Record) -> Record:
    closed = state.is_closed("Task", record.get("Status"))
    since = before.get("CompletedDateTime") if before.get("IsClosed") else state.clock.stamp()
    return {
        "IsClosed": closed,
        "CompletedDateTime": since if closed else None,
        "IsHighPriority": record.get("Priority") == "High",
    }


def _from_contact(state: State, record: Record, before: Record) -> Record:
    """A case takes its contact's account and numbers when the contact is set."""
    contact_id = record.get("ContactId")
    if not contact_id or contact_id == before.get("ContactId"):
        return {}
    contact = state.store["Contact"].live.get(contact_id, {})
    taken = {"ContactPhone": "Phone", "ContactEmail": "Email", "ContactMobile": "MobilePhone"}
    found = {name: contact[source] for name, source in taken.items() if source in contact}
    if record.get("AccountId") is None and contact.get("AccountId"):
        found["AccountId"] = contact["AccountId"]
    return found


def _account(state: State, record: Record) -> Record:
    """The account of an activity: what it is related to, or that of its contact."""
    for name in ("WhatId", "WhoId"):
        parent_id = record.get(name) or ""
        kind = state.schema.by_id(parent_id)
        if kind is None:
            continue
        if kind.name == "Account":
            return {"AccountId": parent_id}
        account_id = (state.store[kind.name].any(parent_id) or {}).get("AccountId")
        if account_id:
            return {"AccountId": account_id}
    return {"AccountId": None}
