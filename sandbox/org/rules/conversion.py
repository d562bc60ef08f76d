"""Converting a lead: a contact, an account and perhaps an opportunity take its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.org.data.state import State
from sandbox.org.data.store import Record
from sandbox.org.errors import Refused
from sandbox.org.rules.access import SYSTEM
from sandbox.org.rules.saving import SaveOptions, Saver, raise_for
from sandbox.org.rules.validation import CONVERTED

_OWN = frozenset({"OwnerId", "RecordTypeId", "Description"})
"""Fields of a lead that do not go to those of the same name."""
_ADDRESS = ("Street", "City", "State", "PostalCode", "Country")


@dataclass(frozen=True)
class Conversion:
    """The ids of the records that a lead became."""

    account_id: str
    contact_id: str
    opportunity_id: str | None


def convert_lead(
    state: State,
    saver: Saver,
    lead_id: str,
    *,
    account_id: str | None = None,
    contact_id: str | None = None,
    opportunity: bool = True,
) -> Conversion:
    """Convert a live lead into new records, or into those that are given.

    Its activities move: WhoId becomes the contact, WhatId the opportunity or else the account.
    Look-ups of custom objects to the lead stay. Raises `Refused`.
    """
    lead = state.store["Lead"].live[lead_id]
    if lead.get("IsConverted"):
        raise Refused(400, [CONVERTED])
    owner = lead["OwnerId"] if lead["OwnerId"].startswith("005") else state.system_user_id
    if contact_id is not None and account_id is None:
        account_id = state.store["Contact"].live[contact_id].get("AccountId")
    if account_id is None:
        name = lead.get("Company") or lead["Name"]
        account_id = _make(state, saver, "Account", owner, lead, "Billing", {"Name": name})
    if contact_id is None:
        own = {"AccountId": account_id, "Description": lead.get("Description")}
        contact_id = _make(state, saver, "Contact", owner, lead, "Mailing", own)
    opportunity_id = None
    if opportunity:
        fields = {
            "Name": f"{lead.get('Company') or lead['Name']}-",
            "AccountId": account_id,
            "StageName": "Prospecting",
            "CloseDate": state.clock.stamp()[:10],
        }
        opportunity_id = _make(state, saver, "Opportunity", owner, lead, "", fields)
    stamp = state.clock.stamp()
    what = opportunity_id or account_id
    for name in ("Task", "Event"):
        for found in state.store[name].linked("WhoId", lead_id):
            moved = {"WhoId": contact_id, "WhatId": what, "AccountId": account_id}
            state.store.update(name, found, {**moved, "SystemModstamp": stamp})
    state.store.update(
        "Lead",
        lead_id,
        {
            "IsConverted": True,
            "Status": _converted_status(state),
            "ConvertedDate": stamp[:10],
            "ConvertedAccountId": account_id,
            "ConvertedContactId": contact_id,
            "ConvertedOpportunityId": opportunity_id,
            "LastModifiedDate": stamp,
            "SystemModstamp": stamp,
        },
    )
    return Conversion(account_id, contact_id, opportunity_id)


def _make(
    state: State,
    saver: Saver,
    object_name: str,
    owner: str,
    lead: Record,
    address: str,
    fields: dict[str, Any],
) -> str:
    kind = state.schema[object_name]
    same = {name for name, item in kind.fields.items() if item.createable and not item.custom}
    values = {name: value for name, value in lead.items() if name in same - _OWN}
    if address:
        values |= {address + part: lead[part] for part in _ADDRESS if part in lead}
    rows = [(kind, {**values, **fields, "OwnerId": owner})]
    outcome = saver.insert(rows, SYSTEM, SaveOptions(allow_duplicates=True))[0]
    raise_for(outcome)
    assert outcome.id is not None
    return outcome.id


def _converted_status(state: State) -> str:
    rows = state.store["LeadStatus"].live.values()
    return next(str(row["ApiName"]) for row in rows if row["IsConverted"])
