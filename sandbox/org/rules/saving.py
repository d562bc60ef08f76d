"""How a record is saved, in Salesforce's order of execution.

1. the parser: unknown or hidden fields and unreadable values refuse the **whole** call;
2. rights, required fields, lengths, picklists, references: record by record;
3. before-triggers, validation rules, duplicate rules;
4. only then the unique index;
5. the save, and after it the assignment rules.

All records of one call pass one stage before the first enters the next. So a repeated create may
be refused by a rule although its record is there: that is how Salesforce behaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.org.data import ids
from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.state import State
from sandbox.org.data.store import Record
from sandbox.org.data.values import Unreadable, faults, missing, read
from sandbox.org.errors import KNOWN, Problem, Refused, refused
from sandbox.org.rules.access import Rights
from sandbox.org.rules.customizations import Rules
from sandbox.org.rules.duplicates import duplicate_problem
from sandbox.org.rules.setup import setup_problems

# HTTP status of a single record's refusal, where it is not 400.
STATUS = {
    "INSUFFICIENT_ACCESS": 403,
    "INSUFFICIENT_ACCESS_OR_READONLY": 403,
    "ENTITY_IS_DELETED": 404,
    "NOT_FOUND": 404,
}

_WORDS = {
    "en": "duplicate value found: {field} duplicates value on record with id: {id}",
    # Our wording: that texts come in the user's language is the point, not this text.
    "de": "Doppelter Wert gefunden: {field} dupliziert den Wert im Datensatz mit der ID: {id}",
}


@dataclass(frozen=True, kw_only=True)
class SaveOptions:
    """What the headers of one call ask for."""

    auto_assign: bool | str = True
    """``Sforce-Auto-Assign``: TRUE (Salesforce's default), FALSE, or the id of a rule."""
    allow_duplicates: bool = False
    record_details: bool = False
    version: str = "v68.0"
    all_or_none: bool = False
    trouble: Callable[[str], Problem | None] | None = None
    """The fault of this call, if any: called once for each record with the object's name."""


@dataclass(slots=True)
class Outcome:
    """The result of one record."""

    id: str | None = None
    problems: list[Problem] = field(default_factory=list)
    created: bool | None = None

    @property
    def success(self) -> bool:
        return not self.problems

    def status(self) -> int:
        return STATUS.get(self.problems[0].code, 400)


@dataclass(slots=True)
class _Draft:
    """A record on its way in."""

    kind: ObjectType
    values: Record
    outcome: Outcome
    target: str | None = None
    """The id of the record to update; None makes a new one."""


class Saver:
    """Saves records for one org. Every method is called under the org's lock."""

    def __init__(self, state: State, rules: Rules) -> None:
        self._state = state
        self._rules = rules

    # --- stage 1: the parser -------------------------------------------------------------

    def parse(
        self,
        kind: ObjectType,
        body: Any,
        actor: Rights,
        *,
        update: bool = False,
        ignore: str | None = None,
    ) -> tuple[Record, list[Problem]]:
        """Field values as they will be stored, and per-record problems; raises `Refused`.

        `ignore` names the external id field of an upsert, which its URL gives already.
        """
        if not isinstance(body, dict):
            raise refused(400, "JSON_PARSER_ERROR", "The value provided for the record is invalid")
        values: Record = {}
        blocked: list[str] = []
        unlinked: list[Problem] = []
        for name, value in body.items():
            if name == "attributes":
                continue
            if isinstance(value, dict):
                linked = self._foreign_key(kind, name, value, actor)
                if isinstance(linked, Problem):
                    unlinked.append(linked)
                    continue
                if linked is not None:
                    values[linked[0]] = linked[1]
                    continue
            item = kind.field(name)
            if item is None or not actor.may_read(kind, item):
                raise refused(
                    400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}"
                )
            if item.name == "Id" or (ignore is not None and item.name == ignore):
                raise refused(
                    400,
                    "INVALID_FIELD",
                    f"The {item.name} field should not be specified in the sobject data.",
                )
            writeable = item.updateable if update else item.createable
            if not actor.everything and (not writeable or not actor.may_edit(kind, item)):
                blocked.append(item.name)
                continue
            try:
                values[item.name] = read(item, value)
            except Unreadable as error:
                raise refused(
                    400, "JSON_PARSER_ERROR", f"{error} at [line:1, column:{_column(body, name)}]"
                ) from error
        if not blocked:
            return values, unlinked
        return values, [
            *unlinked,
            Problem(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {', '.join(blocked)}. Please check the security "
                "settings of this field and verify that it is read/write for your profile or "
                "permission set.",
                tuple(blocked),
            ),
        ]

    def _foreign_key(
        self, kind: ObjectType, name: str, value: dict[str, Any], actor: Rights
    ) -> tuple[str, str] | Problem | None:
        """``{"Account": {"Number__c": "7"}}`` names a parent by its external id.

        One that is not there is the record's problem, not the call's. None: it is no such link.
        """
        item = kind.relationship(name)
        if item is None:
            return None
        keys = {k: v for k, v in value.items() if k != "attributes"}
        for target in item.reference_to:
            parent = self._state.schema[target]
            for key, wanted in keys.items():
                column = parent.field(key)
                if column is None or not column.external_id or len(keys) != 1:
                    continue
                if not actor.may_read(parent, column):
                    continue
                found = self._state.store[target].ids_with(column.name, wanted)
                if len(found) == 1:
                    return item.name, found[0]
                return Problem(
                    "INVALID_FIELD",
                    f"Foreign key external ID: {wanted} not found for field {column.name} in "
                    f"entity {target}",
                    (),
                )
        return None

    # --- the calls -----------------------------------------------------------------------

    def insert(
        self,
        rows: Sequence[tuple[ObjectType, Any]],
        actor: Rights,
        options: SaveOptions,
    ) -> list[Outcome]:
        """Create records; raises `Refused` where the whole call is refused."""
        drafts = []
        for kind, body in rows:
            values, problems = self.parse(kind, body, actor)
            if not actor.may_object(kind, "Create"):
                problems = [Problem("INSUFFICIENT_ACCESS", KNOWN["INSUFFICIENT_ACCESS"][1])]
            drafts.append(_Draft(kind, values, Outcome(problems=problems)))
        return self._save(drafts, actor, options)

    def update(
        self,
        rows: Sequence[tuple[ObjectType, str, Any]],
        actor: Rights,
        options: SaveOptions,
        *,
        ignore: str | None = None,
    ) -> list[Outcome]:
        """Change records by id; raises `Refused` where the whole call is refused."""
        drafts = []
        for kind, record_id, body in rows:
            values, problems = self.parse(kind, body, actor, update=True, ignore=ignore)
            problems = self.reach(kind, record_id, actor, "Edit") or problems
            full = ids.normalise(record_id) or record_id
            outcome = Outcome(id=full, problems=problems)
            drafts.append(_Draft(kind, values, outcome, target=full))
        return self._save(drafts, actor, options)

    def upsert(
        self,
        rows: Sequence[tuple[ObjectType, Field, Any, Any]],
        actor: Rights,
        options: SaveOptions,
        *,
        update_only: bool = False,
    ) -> list[Outcome]:
        """Create or update by external id: rows of (object, field, its value, body).

        Several matches are a problem DUPLICATE_EXTERNAL_ID whose `extra` has their ids.
        """
        drafts = []
        for kind, column, key, body in rows:
            found = self.visible_ids(kind, column, key, actor)
            creating = not found
            values, problems = self.parse(
                kind, body, actor, update=not creating, ignore=column.name
            )
            outcome = Outcome(problems=problems, created=creating)
            draft = _Draft(kind, values, outcome)
            if len(found) > 1:
                outcome.problems = [
                    Problem(
                        "DUPLICATE_EXTERNAL_ID",
                        f"{column.name}: more than one record found for external id field: "
                        f"{list(found)}",
                        (column.name,),
                        {"ids": found},
                    )
                ]
            elif creating and update_only:
                outcome.problems = [Problem("NOT_FOUND", KNOWN["NOT_FOUND"][1], ())]
            elif creating:
                values[column.name] = read(column, key)
                if not actor.may_object(kind, "Create"):
                    outcome.problems = [
                        Problem("INSUFFICIENT_ACCESS", KNOWN["INSUFFICIENT_ACCESS"][1])
                    ]
            else:
                draft.target = outcome.id = found[0]
                outcome.problems = self.reach(kind, found[0], actor, "Edit") or problems
            drafts.append(draft)
        return self._save(drafts, actor, options)

    def delete(
        self, rows: Sequence[tuple[ObjectType, str]], actor: Rights, *, all_or_none: bool = False
    ) -> list[Outcome]:
        """Move records to the recycle bin; their keys are free at once."""
        state = self._state
        outcomes = []
        with state.store.transaction() as roll_back:
            for kind, record_id in rows:
                problems = self.reach(kind, record_id, actor, "Delete")
                full = ids.normalise(record_id) or record_id
                if not problems:
                    stamp = state.clock.stamp()
                    changes = {"LastModifiedDate": stamp, "SystemModstamp": stamp}
                    state.store.delete(kind.name, full, changes)
                outcomes.append(Outcome(id=full, problems=problems))
            if all_or_none and any(not o.success for o in outcomes):
                roll_back()
                _rolled_back(outcomes)
        return outcomes

    # --- looking records up --------------------------------------------------------------

    def reach(self, kind: ObjectType, record_id: str, actor: Rights, action: str) -> list[Problem]:
        """Why `actor` cannot do `action` (Edit, Delete) to this record; empty where they can."""
        full = ids.normalise(record_id)
        if full is None:
            return [Problem("MALFORMED_ID", f"malformed id {record_id}")]
        table = self._state.store[kind.name]
        record = table.live.get(full)
        if record is None:
            if full in table.deleted:
                return [Problem("ENTITY_IS_DELETED", "entity is deleted")]
            if full[:3] != kind.prefix:
                return [
                    Problem(
                        "MALFORMED_ID",
                        f"{kind.label} ID: id value of incorrect type: {full}",
                        ("Id",),
                    )
                ]
            return [Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")]
        private = self._state.settings.private
        mine = (
            actor.everything
            or kind.name not in private
            or record.get("OwnerId") == actor.user_id
            or actor.may_object(kind, "ModifyAllRecords")
        )
        if not actor.may_object(kind, action) or not mine:
            return [
                Problem(
                    "INSUFFICIENT_ACCESS_OR_READONLY",
                    "insufficient access rights on object id",
                )
            ]
        return []

    def visible_ids(
        self, kind: ObjectType, column: Field, key: Any, actor: Rights
    ) -> tuple[str, ...]:
        """Ids of the live records with this external id that `actor` may see."""
        table = self._state.store[kind.name]
        if column.indexed:
            found = table.ids_with(column.name, key)
        else:
            wanted = column.fold(key)
            found = tuple(
                r["Id"] for r in table.live.values() if column.fold(r.get(column.name)) == wanted
            )
        private = self._state.settings.private
        if kind.name not in private:
            return found
        return tuple(i for i in found if actor.sees(kind, table.live[i], private))

    # --- stages 2 to 5 -------------------------------------------------------------------

    def _save(self, drafts: list[_Draft], actor: Rights, options: SaveOptions) -> list[Outcome]:
        self._validate(drafts, actor, options)
        for draft in drafts:
            if draft.outcome.success:
                draft.outcome.problems = self._before_save(draft, actor, options)
        outcomes = [draft.outcome for draft in drafts]
        with self._state.store.transaction() as roll_back:
            for draft in drafts:
                if draft.outcome.success:
                    draft.outcome.problems = self._commit(draft, actor, options)
            if options.all_or_none and any(not o.success for o in outcomes):
                roll_back()
                _rolled_back(outcomes)
        return outcomes

    def _validate(self, drafts: list[_Draft], actor: Rights, options: SaveOptions) -> None:
        """Stage 2, and the limits that a whole call can break."""
        state = self._state
        counts: dict[str, int] = {}
        for draft in drafts:
            counts[draft.kind.name] = counts.get(draft.kind.name, 0) + 1
        for draft in drafts:
            if not draft.outcome.success:
                continue
            name = draft.kind.name
            limit = state.settings.trigger_limits.get(name)
            trouble = options.trouble(name) if options.trouble else None
            if trouble is not None:
                draft.outcome.problems = [trouble]
            elif state.settings.storage_full and draft.target is None:
                draft.outcome.problems = [
                    Problem("STORAGE_LIMIT_EXCEEDED", KNOWN["STORAGE_LIMIT_EXCEEDED"][1])
                ]
            elif limit is not None and counts[name] > limit:
                draft.outcome.problems = [
                    Problem(
                        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
                        f"{name}Trigger: System.LimitException: Apex CPU time limit exceeded",
                    )
                ]
            else:
                draft.outcome.problems = self._system_problems(draft)

    def _system_problems(self, draft: _Draft) -> list[Problem]:
        kind = draft.kind
        problems = []
        given = tuple(draft.values)
        if draft.target is None:
            self._set_defaults(draft)
            lacking = missing(kind, draft.values)
            if lacking and kind.name == "Lead" and self._state.settings.person_accounts:
                lacking = [name for name in lacking if name != "Company"]
        else:
            lacking = [
                name
                for name, value in draft.values.items()
                if value is None and kind.fields[name].required
            ]
        if lacking:
            problems.append(
                Problem(
                    "REQUIRED_FIELD_MISSING",
                    f"Required fields are missing: [{', '.join(lacking)}]",
                    tuple(lacking),
                )
            )
        for name in given:
            value = draft.values[name]
            if value is None:
                continue
            item = kind.fields[name]
            found = list(faults(item, value))
            if not found and item.type == "reference":
                found = self._reference_problems(draft, item, value)
            problems.extend(found)
        return problems

    def _reference_problems(self, draft: _Draft, item: Field, value: str) -> list[Problem]:
        state = self._state
        full = ids.normalise(value) or value
        draft.values[item.name] = full
        target = state.schema.by_id(full)
        if target is None or target.name not in item.reference_to:
            return [
                Problem(
                    "MALFORMED_ID",
                    f"{item.label}: id value of incorrect type: {value}",
                    (item.name,),
                )
            ]
        record = state.store[target.name].live.get(full)
        if record is None:
            return [Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")]
        if item.name == "OwnerId" and target.name == "User" and not record.get("IsActive"):
            return [
                Problem(
                    "INACTIVE_OWNER_OR_USER",
                    f"operation performed with inactive user [{full}] as owner of "
                    f"{draft.kind.name.lower()}",
                )
            ]
        return []

    def _set_defaults(self, draft: _Draft) -> None:
        values = draft.values
        for item in draft.kind.fields.values():
            if item.default is not None and values.get(item.name) is None:
                values[item.name] = item.default

    def _before_save(self, draft: _Draft, actor: Rights, options: SaveOptions) -> list[Problem]:
        """Stage 3."""
        state = self._state
        kind = draft.kind
        record = draft.values
        if draft.target is not None:
            record = {**state.store[kind.name].live[draft.target], **draft.values}
        _derive(kind.name, record, draft)
        if kind.name == "Case" and draft.values.get("ContactId"):
            self._derive_from_contact(draft, record)
        if kind.setup:
            return setup_problems(state, kind, record)
        problems = self._rules.before_save(kind.name, record)
        if draft.target is None:
            draft.values = record
        if problems:
            return problems
        found = duplicate_problem(
            state,
            self._rules.duplicates,
            kind,
            record,
            actor,
            allow_save=options.allow_duplicates,
            details=options.record_details,
            version=options.version,
        )
        return [found] if found else []

    def _derive_from_contact(self, draft: _Draft, record: Record) -> None:
        """A Case takes its contact's account and numbers."""
        contact = self._state.store["Contact"].live.get(draft.values["ContactId"], {})
        taken = {"ContactPhone": "Phone", "ContactEmail": "Email", "ContactMobile": "MobilePhone"}
        found = {name: contact[source] for name, source in taken.items() if source in contact}
        if record.get("AccountId") is None and contact.get("AccountId"):
            found["AccountId"] = contact["AccountId"]
        record.update(found)
        draft.values.update(found)

    def _commit(self, draft: _Draft, actor: Rights, options: SaveOptions) -> list[Problem]:
        """Stages 4 and 5."""
        state = self._state
        kind = draft.kind
        taken = self._taken(draft)
        if taken is not None:
            return [taken]
        stamp = state.clock.stamp()
        user_id = actor.user_id or state.system_user_id
        touched = {
            "LastModifiedDate": stamp,
            "LastModifiedById": user_id,
            "SystemModstamp": stamp,
        }
        if draft.target is not None:
            state.store.update(kind.name, draft.target, {**draft.values, **touched})
            return []
        if isinstance(options.auto_assign, str) and kind.name in ("Lead", "Case"):
            rule = self._rules.assignment.get(ids.normalise(options.auto_assign) or "")
            if rule is None or rule.object != kind.name:
                # Code and wording are not confirmed; that it is refused is.
                return [Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")]
        record: Record = {
            "Id": state.ids.make(kind.prefix),
            **{name: value for name, value in draft.values.items() if value is not None},
            "IsDeleted": False,
            "CreatedDate": stamp,
            "CreatedById": user_id,
            **touched,
        }
        if "OwnerId" in kind.fields:
            record.setdefault("OwnerId", user_id)
            self._assign(kind.name, record, options.auto_assign)
        if kind.name == "Case":
            record["CaseNumber"] = state.next_case_number()
        comments = record.pop("Comments", None) if kind.name == "Case" else None
        state.store.insert(kind.name, record)
        draft.outcome.id = record["Id"]
        if comments is not None:
            self._comment(record, comments, touched)
        if kind.name == "ContentVersion":
            self._document(record, touched)
        state.journal.created[kind.name] += 1
        return []

    def _taken(self, draft: _Draft) -> Problem | None:
        state = self._state
        table = state.store[draft.kind.name]
        for item in draft.kind.fields.values():
            value = draft.values.get(item.name) if item.unique else None
            if value is None:
                continue
            for other in table.ids_with(item.name, value):
                if other != draft.target:
                    shown = {"15": other[:15], "unknown": "<unknown>"}.get(
                        state.settings.duplicate_value_id, other
                    )
                    words = _WORDS.get(state.settings.language, _WORDS["en"])
                    return Problem("DUPLICATE_VALUE", words.format(field=item.name, id=shown))
        return None

    def _assign(self, name: str, record: Record, auto_assign: bool | str) -> None:
        """Who owns a new record after the assignment rules ran.

        A Case goes to the Default Case Owner even where no rule is active.
        """
        if auto_assign is False or name not in ("Lead", "Case"):
            return
        rules = self._rules
        if isinstance(auto_assign, str):
            rule = rules.assignment[ids.normalise(auto_assign) or ""]
        else:
            active = rules.active_assignment(name)
            if active is None:
                if name == "Case":
                    record["OwnerId"] = self._state.settings.default_case_owner or record["OwnerId"]
                return
            rule = active
        owner = rule.owner_for(record)
        if owner is None and name == "Case":
            owner = self._state.settings.default_case_owner or None
        if owner is not None:
            record["OwnerId"] = owner

    def _extra(self, name: str, fields: Record, touched: Record) -> str:
        state = self._state
        new_id = state.ids.make(state.schema[name].prefix)
        state.store.insert(
            name,
            {
                "Id": new_id,
                **fields,
                "IsDeleted": False,
                "CreatedDate": touched["SystemModstamp"],
                "CreatedById": touched["LastModifiedById"],
                **touched,
            },
        )
        return new_id

    def _comment(self, record: Record, text: str, touched: Record) -> None:
        fields = {"ParentId": record["Id"], "CommentBody": text, "IsPublished": False}
        self._extra("CaseComment", fields, touched)

    def _document(self, record: Record, touched: Record) -> None:
        path = str(record.get("PathOnClient", ""))
        title = record.setdefault("Title", path)
        extension = path.rpartition(".")[2]
        data = record.get("VersionData") or ""
        document = self._extra(
            "ContentDocument", {"Title": title, "FileExtension": extension}, touched
        )
        record.update(
            ContentDocumentId=document, FileExtension=extension, ContentSize=len(data) * 3 // 4
        )
        parent = record.get("FirstPublishLocationId")
        if parent:
            fields = {"LinkedEntityId": parent, "ContentDocumentId": document, "ShareType": "V"}
            self._extra("ContentDocumentLink", fields, touched)


def _derive(name: str, record: Record, draft: _Draft) -> None:
    """What Salesforce works out from the record's own fields."""
    if name in ("Lead", "Contact", "User"):
        parts = (record.get("FirstName"), record.get("LastName"))
        record["Name"] = " ".join(part for part in parts if part)
        draft.values["Name"] = record["Name"]
    elif name == "Case":
        record["IsClosed"] = record.get("Status") == "Closed"
        draft.values["IsClosed"] = record["IsClosed"]


def _column(body: dict[str, Any], name: str) -> int:
    """About where the value stands in the body, as the parser's messages say."""
    column = 2
    for key, value in body.items():
        column += len(key) + 4
        if key == name:
            return column
        column += len(str(value)) + 3
    return column


def _rolled_back(outcomes: list[Outcome]) -> None:
    """All-or-none: the others are reported as rolled back."""
    for outcome in outcomes:
        if outcome.success:
            outcome.id = None
            outcome.problems = [
                Problem(
                    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                    "Record rolled back because not all records were valid and the request was "
                    "using AllOrNone header",
                )
            ]


def raise_for(outcome: Outcome) -> None:
    """`Refused` where a single record was refused."""
    if not outcome.success:
        raise Refused(outcome.status(), outcome.problems)
