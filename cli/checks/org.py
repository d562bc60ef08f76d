"""Checks of the org: rights, the key field, required fields, picklists, rules, people, limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from bridge.bird.channels import OBJECTS, table
from bridge.delivery.contacts import PHONES
from bridge.delivery.customers import LEAD_PHONES
from bridge.records import ObjectName
from bridge.salesforce.client import soql_text
from cli.checks.conversations import SHORTEST_KEY
from cli.checks.finding import Check, Finding, bad, good, note, unknown
from cli.deployment.stack import Stack
from cli.org.client import Org, OrgProblem, picklist_values, required_fields
from cli.org.definition import PERMISSION_SET
from cli.org.plan import filled_fields

USAGE_WARNING_PERCENT = 80.0


@dataclass(kw_only=True)
class OrgChecks:
    """`sends` are further fields that the flows send (`Lead.Region__c`)."""

    stack: Stack
    org: Org
    sends: Iterable[str] = ()

    def checks(self) -> Iterator[Check]:
        """Both objects first, then what holds for the whole org. Raises Problem for a field that
        is written wrongly."""
        filled = filled_fields(self.stack.settings, self.sends)
        for name in OBJECTS:
            lower = name.lower()
            yield f"{lower}-create", partial(self._create, name)
            yield f"{lower}-key", partial(self._key, name)
            yield f"{lower}-required", partial(self._required, name, filled[name])
            yield f"{lower}-channels", partial(self._channels, name)
        yield "duplicates", self._duplicates
        yield "assignment", self._assignment
        yield "api-usage", self._usage

    def people(self) -> Iterator[Check]:
        """Whether contacts and leads may be searched, where a parameter asks for it."""
        settings = self.stack.settings
        email = ("Email",) if settings.match_email else ()
        if settings.match_contacts or settings.lookup_key_id:
            wanted = ("AccountId", *PHONES, *email)
            yield "contact-search", partial(self._readable, "Contact", wanted)
        if settings.lookup_key_id:
            wanted = ("Status", *LEAD_PHONES, *email)
            yield "lead-search", partial(self._readable, "Lead", wanted)

    def _readable(self, name: str, wanted: Iterable[str]) -> Finding:
        setup = f"As an administrator: {self._setup_org}"
        described = self.org.described(name)
        if described is None:
            return bad(f"The user may not read a {name}, so nobody is found.", setup)
        hidden = [one for one in wanted if one.lower() not in described["fields_by_name"]]
        if hidden:
            return bad(f"The user may not see {', '.join(hidden)} of a {name}.", setup)
        return good(f"The user may find a {name} by phone number.")

    @property
    def _setup_org(self) -> str:
        return self.stack.command("setup-org")

    def _create(self, name: ObjectName) -> Finding:
        described = self.org.described(name)
        if described is None:
            return bad(f"The user has no access to {name}.", self._setup_org)
        if not described.get("createable"):
            return bad(f"The user may not create a {name}.", self._setup_org)
        return good(f"The user may create a {name}.")

    def _key(self, name: ObjectName) -> Finding:
        key = self.stack.settings.external_id_field
        if not key:
            return note(
                "No key field is configured (ExternalIdField), so a repeated message creates a "
                f"second {name}."
            )
        full = f"{name}.{key}"
        described = self.org.described(name)
        if described is None:
            return unknown(f"{full} was not checked: that needs access to {name}.")
        found = described["fields_by_name"].get(key.lower())
        if found is None:
            return self._missing_or_hidden(full)
        traits = {
            "not Unique": found.get("unique"),
            "no External ID": found.get("externalId"),
            "not writable by this user": found.get("createable"),
        }
        administrator = f"As an administrator: {self._setup_org}"
        if faults := [words for words, holds in traits.items() if not holds]:
            return bad(f"{full} is {' and '.join(faults)}.", administrator)
        if (length := int(found.get("length") or 0)) < SHORTEST_KEY:
            return bad(f"{full} is too short for a key ({length} characters).", administrator)
        if found.get("caseSensitive") is False:
            return note(
                f"{full} ignores upper and lower case. The bridge's own keys allow for that.",
                f"To be safe, as an administrator: {self._setup_org}",
            )
        return good(f"{full} is there, unique and writable.")

    def _missing_or_hidden(self, full: str) -> Finding:
        """A description leaves out what the user may not see; the field permissions may tell."""
        try:
            rows = self.org.query(
                "SELECT Id FROM FieldPermissions WHERE Parent.Name = "
                f"{soql_text(PERMISSION_SET)} AND Field = {soql_text(full)}"
            )
        except OrgProblem:
            return bad(
                f"{full} is missing, or this user may not see it. (This user's rights do not show "
                "which.)",
                f"In both cases: {self._setup_org}",
            )
        if rows:
            return bad(
                f"{full} is there, but this user may not see it: the permission set "
                f"{PERMISSION_SET} is not assigned to the user.",
                self._setup_org,
            )
        return bad(f"{full} is missing, or nobody has access to it.", self._setup_org)

    def _required(self, name: ObjectName, filled: list[str]) -> Finding:
        described = self.org.described(name)
        if described is None:
            return unknown(f"The required fields were not checked: that needs access to {name}.")
        ours = {one.lower() for one in filled}
        lacking = [one for one in required_fields(described) if one.lower() not in ours]
        if lacking:
            sends = " ".join(f"--sends {name}.{one}" for one in lacking)
            return bad(
                f"{name} requires {', '.join(lacking)}, which the bridge does not fill.",
                f"Send it from every flow (and add {sends} to this command), or let the "
                "administrator give it a default value or make it optional.",
            )
        return good(f"The bridge fills all fields that {name} requires.")

    def _channels(self, name: ObjectName) -> Finding:
        """A channel's label goes into a picklist, which may be restricted to its values."""
        described = self.org.described(name)
        if described is None:
            return unknown(f"The picklists were not checked: that needs access to {name}.")
        fields: dict[str, None] = {}
        lacking: dict[str, set[str]] = {}
        for channel in table().values():
            for field_name, fill in channel.fills.get(name, {}).items():
                item = described["fields_by_name"].get(field_name.lower())
                if fill.source != "label" or not item:
                    continue
                fields[item.get("label") or item["name"]] = None
                values = picklist_values(item)
                if values is not None and channel.label not in values:
                    lacking.setdefault(item["name"], set()).add(channel.label)
        if lacking:
            missing = "; ".join(
                f"{field_name} does not have {', '.join(sorted(labels))}"
                for field_name, labels in lacking.items()
            )
            return note(
                f"{name}: {missing}. Records of these channels are created without it.",
                f"Object Manager, {name}, Fields & Relationships, {', '.join(lacking)}: add the "
                "values, or switch “Restrict picklist” off.",
            )
        if not fields:
            return good(f"No field of {name} holds a channel name.")
        return good(f"{' and '.join(fields)} accepts all channel names.")

    def _duplicates(self) -> Finding:
        setting = (
            "is saved if the rule allows it (DuplicateRecords=allow)"
            if self.stack.settings.allow_duplicates
            else "is refused and kept in Rejected (DuplicateRecords=block)"
        )
        return unknown(
            f"A record that a duplicate rule matches {setting}. This user's rights do not show "
            "which rules there are.",
            "Setup, Duplicate Rules.",
        )

    def _assignment(self) -> Finding:
        found: list[str] = []
        for name in OBJECTS:
            setting = self.stack.settings.assignment(name)
            words = {"default": "the active rule", "off": "no rule"}.get(setting)
            if not words:
                rows = self.org.rows(
                    "SELECT Id, SobjectType, Active FROM AssignmentRule WHERE Id = "
                    + soql_text(setting)
                )
                if rows is None:
                    return unknown(
                        f"Assignment of a {name}: the rule {setting}. This user's rights do not "
                        "show whether it exists.",
                        f"Setup, {name} Assignment Rules.",
                    )
                if not rows or rows[0].get("SobjectType") != name:
                    return bad(
                        f"{setting} is not an assignment rule for {name}.",
                        f"Deploy with another {name}AssignmentRule: default, off, or the rule's "
                        "id.",
                    )
            found.append(f"{name}: {words or f'the rule {setting}'}")
        return good(f"Assignment. {'; '.join(found)}.")

    def _usage(self) -> Finding:
        percent = self.org.usage_percent
        if percent is None:
            return unknown("Salesforce did not report how many API requests of the day are used.")
        message = f"{percent:.1f} % of the org's API requests of the day are used."
        step = "Setup, Company Information: find who uses them, or buy more."
        if percent >= 100:
            return bad(message + " Records wait in the outbox.", step)
        if percent >= USAGE_WARNING_PERCENT:
            return note(message, step)
        return good(message)
