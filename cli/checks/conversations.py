"""Checks of what conversations need in the org: fields, rights, statuses.

Only what the parameters ask for is checked. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bridge.bird.channels import OBJECTS, table
from bridge.conversations.write import COMPLETED
from bridge.records import ObjectName
from bridge.salesforce.client import soql_text
from cli.checks.finding import Check, Finding, bad, good, note, unknown
from cli.deployment.stack import Stack
from cli.org.client import Org
from cli.org.definition import FieldDefinition, in_conversations, needed_fields

FOLLOWED = ("Contact", "Account", "Opportunity")
"""Where Salesforce moves a lead's tasks at its conversion. A closed case's successor inherits the
contact and the account."""

SHORTEST_KEY = 64
"""Characters of a hashed key."""

SET_BY_BRIDGE: Mapping[str, tuple[str, ...]] = {
    "Lead": (),
    "Case": ("ParentId", "ContactId", "AccountId"),
    "Task": ("WhoId", "WhatId", "Subject", "Description", "ActivityDate", "Status"),
}
"""Standard fields that a conversation sets, besides those of the table of channels."""

STANDARD_LEAD_STATUSES = frozenset({"Closed - Not Converted", "Unqualified"})
"""Of the two kinds of org that Salesforce creates, each has one of them."""

BY_HAND = {
    " is Unique": "switch Unique off for it, since several records of one conversation have the "
    "same value.",
    " has the type ": "rename or delete that field.",
}
"""What `setup-org` does not mend, by words of the fault."""

_TYPES = {"Text": ("string", "Text"), "DateTime": ("datetime", "Date/Time")}
"""A type of `salesforce/` as a description names it, and as Setup does."""


@dataclass(kw_only=True)
class ConversationChecks:
    """`user_id` is the integration user's; empty if it is not known."""

    stack: Stack
    org: Org
    user_id: str = ""

    def checks(self) -> Iterator[Check]:
        """Rights and fields first, then statuses."""
        settings = self.stack.settings
        if not in_conversations(settings):
            yield "conversations", self._off
            return
        for name in OBJECTS:
            yield f"{name.lower()}-conversation", partial(self._record, name)
        yield "task", self._task
        yield "converted", self._converted
        yield "view-all", self._view_all
        yield "task-status", self._task_status
        yield "lead-statuses", self._lead_statuses
        if settings.reopen_days:
            yield "reopen-status", partial(self._case_status, "ReopenStatus")
        if settings.case_status_on_reply:
            yield "reply-status", partial(self._case_status, "CaseStatusOnReply")
        if settings.case_comments:
            yield "case-comments", self._case_comments

    def _off(self) -> Finding:
        if self.stack.settings.conversations:
            return note(
                "Without a key field (ExternalIdField) messages of a conversation are not logged "
                "on one record."
            )
        return good("Every message creates a record of its own (Conversations=off).")

    def _setup_org(self, before: str = "") -> str:
        words = f"{before} Then, as" if before else "As"
        return f"{words} an administrator: {self.stack.command('setup-org')}"

    # Rights and fields

    def _record(self, name: ObjectName) -> Finding:
        described = self.org.described(name)
        if described is None:
            return unknown(f"Conversations were not checked: that needs access to {name}.")
        faults = [] if described.get("updateable") else [f"may not edit a {name}"]
        faults += self._faults(name, described)
        return self._judge(faults, f"The user may keep a {name} up to date with its messages.")

    def _task(self) -> Finding:
        """Each message of a conversation is a Task."""
        described = self.org.described("Task")
        if described is None:
            return bad(
                "The user has no access to tasks (the user permission Access Activities), so no "
                "message of a conversation can be logged.",
                self._setup_org(),
            )
        faults = [] if described.get("createable") else ["may not create a Task (Edit Tasks)"]
        faults += self._faults("Task", described)
        return self._judge(faults, "The user may log messages as tasks.")

    def _faults(self, name: str, described: Mapping[str, Any]) -> Iterator[str]:
        fields = described["fields_by_name"]
        settings = self.stack.settings
        for one in needed_fields(settings):
            # The key of a record has a check of its own.
            is_ours = name == "Task" or one.name != settings.external_id_field
            if one.described_on == name and is_ours:
                yield from _field_faults(one, fields.get(one.name.lower()))
        for standard in SET_BY_BRIDGE[name]:
            if not fields.get(standard.lower(), {}).get("createable"):
                yield f"may not set {name}.{standard}"

    def _judge(self, faults: list[str], all_is_well: str) -> Finding:
        if not faults:
            return good(all_is_well)
        by_hand = ""
        for words, step in BY_HAND.items():
            if not by_hand and any(words in fault for fault in faults):
                by_hand = f"Object Manager, Fields & Relationships: {step}"
        what = f"For conversations: the user {', '.join(faults)}."
        return bad(what, self._setup_org(by_hand))

    def _converted(self) -> Finding:
        lacking = [name for name in FOLLOWED if self.org.described(name) is None]
        if lacking:
            return bad(
                f"The user may not read {' and '.join(lacking)}, so messages cannot follow a "
                "converted lead.",
                self._setup_org(),
            )
        return good("The user may follow converted leads.")

    def _view_all(self) -> Finding:
        """Sharing may hide a record from the user, and then a second one would be created."""
        rows = None
        if self.user_id:
            rows = self.org.rows(
                "SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = "
                + soql_text(self.user_id)
            )
        if rows:
            sets = ",".join(soql_text(row["PermissionSetId"]) for row in rows)
            rows = self.org.rows(
                "SELECT SobjectType, PermissionsViewAllRecords FROM ObjectPermissions "
                f"WHERE ParentId IN ({sets})"
            )
        if not rows:
            return unknown(
                "This user's rights do not show whether the user may see all leads, cases, "
                "contacts, accounts and opportunities (View All Records).",
                self._setup_org(),
            )
        seen = {row["SobjectType"] for row in rows if row["PermissionsViewAllRecords"]}
        lacking = [name for name in (*OBJECTS, *FOLLOWED) if name not in seen]
        if lacking:
            return bad(
                f"The user may not see every {', '.join(lacking)} (View All Records), so a "
                "conversation may not be found.",
                self._setup_org(),
            )
        return good("The user may see all records that a conversation can be on.")

    def _case_comments(self) -> Finding:
        described = self.org.described("CaseComment")
        if described is None or not described.get("createable"):
            return bad(
                "The user may not create case comments (CaseComments=on).",
                f"{self._setup_org()}, or deploy with CaseComments=off. (Comments need Edit on "
                "Case.)",
            )
        return good("The user may create case comments.")

    # Statuses

    def _task_status(self) -> Finding:
        names = {
            str(channel.values.get("Task", {}).get("Status", COMPLETED))
            for channel in table().values()
        }
        closed = self._statuses("Task", "IsClosed")
        if closed is None:
            return self._statuses_unknown("task")
        wrong = sorted(name for name in names if not closed.get(name))
        if wrong:
            choose = ", ".join(name for name, is_closed in closed.items() if is_closed)
            return note(
                f"{_no_status(wrong[0], 'task', 'closed', closed)} Messages are logged as tasks "
                "of it.",
                f"Give Task a Status in channels.json that is closed in this org ({choose}), and "
                "deploy again.",
            )
        return good(f"Messages are logged as closed tasks ({', '.join(sorted(names))}).")

    def _lead_statuses(self) -> Finding:
        named = self.stack.settings.closed_lead_statuses
        if not named:
            return good("Only conversion ends a lead (ClosedLeadStatuses is empty).")
        known = self._statuses("Lead", "IsConverted")
        if known is None:
            return self._statuses_unknown("lead")
        missing = named - known.keys()
        if missing < named:
            missing -= STANDARD_LEAD_STATUSES
        if missing:
            return note(
                f"There is no lead status {', '.join(sorted(missing))} (ClosedLeadStatuses).",
                f"Deploy with the statuses with which a lead is done, of: {', '.join(known)}.",
            )
        there = sorted(named & known.keys())
        return good(f"A lead is done with the status {', '.join(there)}.")

    def _case_status(self, parameter: str) -> Finding:
        settings = self.stack.settings
        name = {
            "ReopenStatus": settings.reopen_status,
            "CaseStatusOnReply": settings.case_status_on_reply,
        }[parameter]
        closed = self._statuses("Case", "IsClosed")
        if closed is None:
            return self._statuses_unknown("case")
        if closed.get(name) is not False:
            what_happens = (
                "A message to a closed case then creates a new case instead of reopening it."
                if parameter == "ReopenStatus"
                else "The status of an open case then stays as it is, or the case is closed."
            )
            choose = ", ".join(one for one, is_closed in closed.items() if not is_closed)
            return note(
                f"{_no_status(name, 'case', 'open', closed)} ({parameter}.) {what_happens}",
                f"Deploy with another {parameter}, of: {choose}.",
            )
        return good(f"The case status {name} is there and open ({parameter}).")

    def _statuses(self, name: str, trait: str) -> dict[str, bool] | None:
        """Of each status whether it has the trait; None where this user may not ask."""
        rows = self.org.rows(f"SELECT ApiName, {trait} FROM {name}Status")
        return None if rows is None else {row["ApiName"]: bool(row[trait]) for row in rows}

    def _statuses_unknown(self, kind: str) -> Finding:
        return unknown(
            f"This user's rights do not show which {kind} statuses there are.",
            f"Setup, Object Manager, {kind.capitalize()}, Status.",
        )


def _field_faults(definition: FieldDefinition, found: Mapping[str, Any] | None) -> Iterator[str]:
    """What is wrong with one of our fields, as the end of a sentence about the user."""
    full, wanted = definition.full_name, definition.metadata
    if found is None:
        yield f"may not see {full}, or it is missing"
        return
    kind, words = _TYPES[wanted["type"]]
    if found.get("type") != kind:
        yield f"finds that {full} has the type {found.get('type')} instead of {words}"
        return
    if not found.get("createable"):
        yield f"may not write {full}"
    if wanted.get("externalId") and not found.get("externalId"):
        yield f"finds that {full} is no External ID"
    if wanted.get("unique") not in (None, bool(found.get("unique"))):
        yield f"finds that {full} is {'not ' if wanted['unique'] else ''}Unique"
    if wanted.get("length") and int(found.get("length") or 0) < SHORTEST_KEY:
        yield f"finds that {full} is too short ({found.get('length')} characters)"


def _no_status(name: str, kind: str, wanted: str, known: Mapping[str, bool]) -> str:
    return f"The {kind} status {name} is {f'not {wanted}' if name in known else 'not there'}."
