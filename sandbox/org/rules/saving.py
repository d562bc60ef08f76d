"""How a record is saved, in Salesforce's order of execution.

1. the parser: unknown or hidden fields and unreadable values refuse the **whole** call;
2. rights, required fields, lengths, picklists, references: record by record;
3. validation rules, duplicate rules;
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
from sandbox.org.data.values import read
from sandbox.org.errors import KNOWN, Problem, Refused
from sandbox.org.rules.access import Rights, may_be_hidden, sees
from sandbox.org.rules.customizations import Rules
from sandbox.org.rules.deletion import delete_record
from sandbox.org.rules.derivation import derived_fields
from sandbox.org.rules.duplicates import duplicate_problem
from sandbox.org.rules.files import linked_twice, publish
from sandbox.org.rules.parsing import parse
from sandbox.org.rules.setup import setup_problems
from sandbox.org.rules.validation import CONVERTED, may_not, system_problems

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
        """The HTTP status with which a single-record call refuses it."""
        return self.problems[0].status


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

    # --- the calls -----------------------------------------------------------------------

    def insert(
        self,
        rows: Sequence[tuple[ObjectType, Any]],
        actor: Rights,
        options: SaveOptions,
    ) -> list[Outcome]:
        """Create records; raises `Refused` where the whole call is refused."""
        state = self._state
        drafts = []
        for kind, body in rows:
            values, problems = parse(state, kind, body, actor)
            if not actor.may_object(kind, "Create"):
                problems = [may_not(kind)]
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
        state = self._state
        drafts = []
        for kind, record_id, body in rows:
            values, problems = parse(state, kind, body, actor, update=True, ignore=ignore)
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
    ) -> list[Outcome]:
        """Create or update by external id: rows of (object, field, its value, body).

        Several matches are a problem DUPLICATE_EXTERNAL_ID whose `extra` has their ids.
        """
        state = self._state
        drafts = []
        for kind, column, key, body in rows:
            found = self.visible_ids(kind, column, key, actor)
            creating = not found
            values, problems = parse(
                state, kind, body, actor, update=not creating, ignore=column.name
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
            elif creating:
                values[column.name] = read(column, key)
                if not actor.may_object(kind, "Create"):
                    outcome.problems = [may_not(kind)]
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
                    delete_record(state, kind.name, full)
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
                return [Problem("ENTITY_IS_DELETED", "entity is deleted", status=404)]
            if full[:3] != kind.prefix:
                return [
                    Problem(
                        "MALFORMED_ID",
                        f"{kind.label} ID: id value of incorrect type: {full}",
                        ("Id",),
                    )
                ]
            return [
                Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", status=404)
            ]
        mine = (
            actor.everything
            or kind.name not in self._state.settings.private
            or record.get("OwnerId") == actor.user_id
            or actor.may_object(kind, "ModifyAllRecords")
        )
        if not actor.may_object(kind, action) or not mine:
            message = "insufficient access rights on object id"
            return [Problem("INSUFFICIENT_ACCESS_OR_READONLY", message, status=403)]
        if full in self._state.locked and not actor.everything:
            return [Problem("ENTITY_IS_LOCKED", "the entity is locked for editing")]
        if action == "Edit" and record.get("IsConverted"):
            return [CONVERTED]
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
        if not may_be_hidden(self._state, kind):
            return found
        return tuple(i for i in found if sees(self._state, kind, table.live[i], actor))

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
                draft.outcome.problems = self._system_problems(draft, actor)

    def _system_problems(self, draft: _Draft, actor: Rights) -> list[Problem]:
        given = tuple(draft.values)
        before = None
        if draft.target is not None:
            before = self._state.store[draft.kind.name].live[draft.target]
        else:
            for item in draft.kind.fields.values():
                if item.default is not None and draft.values.get(item.name) is None:
                    draft.values[item.name] = item.default
        return system_problems(
            self._state, draft.kind, draft.values, given, before=before, actor=actor
        )

    def _before_save(self, draft: _Draft, actor: Rights, options: SaveOptions) -> list[Problem]:
        """Stage 3."""
        state = self._state
        kind = draft.kind
        before: Record = {}
        if draft.target is not None:
            before = state.store[kind.name].live[draft.target]
        record = {**before, **draft.values}
        derived = derived_fields(state, kind.name, record, before)
        record.update(derived)
        draft.values.update(derived)
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
            version=options.version,
        )
        return [found] if found else []

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
        if isinstance(options.auto_assign, str) and kind.name in ("Lead", "Case"):
            rule = self._rules.assignment.get(ids.normalise(options.auto_assign) or "")
            if rule is None or rule.object != kind.name:
                # Code and wording are not confirmed; that it is refused is.
                return [Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")]
        if draft.target is not None:
            changed = {**state.store[kind.name].live[draft.target], **draft.values}
            self._assign(kind.name, changed, options.auto_assign)
            if "OwnerId" in changed:
                draft.values["OwnerId"] = changed["OwnerId"]
            state.store.update(kind.name, draft.target, {**draft.values, **touched})
            return []
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
        if kind.name == "ContentVersion":
            record.update(publish(state, record, touched))
        state.store.insert(kind.name, record)
        draft.outcome.id = record["Id"]
        if comments is not None:
            self._comment(record, comments, touched)
        state.journal.created[kind.name] += 1
        return []

    def _taken(self, draft: _Draft) -> Problem | None:
        state = self._state
        if draft.kind.name == "CampaignMember":
            return self._member_twice(draft)
        if draft.kind.name == "ContentDocumentLink" and draft.target is None:
            return linked_twice(state, draft.values)
        # Task and Event share their custom fields, and so the values of the unique ones.
        activity = draft.kind.name in ("Task", "Event")
        kinds = state.schema.with_fields_of("Activity") if activity else (draft.kind,)
        for item in draft.kind.fields.values():
            value = draft.values.get(item.name) if item.unique else None
            if value is None:
                continue
            tables = (state.store[kind.name] for kind in kinds)
            for other in (i for table in tables for i in table.ids_with(item.name, value)):
                if other != draft.target:
                    shown = {"15": other[:15], "unknown": "<unknown>"}.get(
                        state.settings.duplicate_value_id, other
                    )
                    words = _WORDS.get(state.settings.language, _WORDS["en"])
                    return Problem("DUPLICATE_VALUE", words.format(field=item.name, id=shown))
        return None

    def _member_twice(self, draft: _Draft) -> Problem | None:
        """A lead or contact is in a campaign once; the refusal names no id."""
        same = ("CampaignId", "LeadId", "ContactId")
        for other in self._state.store["CampaignMember"].live.values():
            member = all(other.get(name) == draft.values.get(name) for name in same)
            if member and other["Id"] != draft.target:
                return Problem("DUPLICATE_VALUE", "Already a campaign member.")
        return None

    def _assign(self, name: str, record: Record, auto_assign: bool | str) -> None:
        """Who owns a record after the assignment rules ran: a new one and a changed one alike.

        A Case goes to the Default Case Owner even where no rule is active. [O] says so of new
        ones; that a change without ``Sforce-Auto-Assign: FALSE`` does the same is not confirmed.
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

    def _comment(self, record: Record, text: str, touched: Record) -> None:
        fields = {"ParentId": record["Id"], "CommentBody": text, "IsPublished": False}
        self._state.insert_with("CaseComment", fields, touched)


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
