"""Duplicate rules: finding matches, and the error body that lists them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.org.data.schema import ObjectType
from sandbox.org.data.state import State
from sandbox.org.data.store import Record
from sandbox.org.errors import Problem
from sandbox.org.rules.access import Rights, sees
from sandbox.org.rules.customizations import DuplicateRule, match_key


def duplicate_problem(
    state: State,
    rules: Iterable[DuplicateRule],
    kind: ObjectType,
    record: Record,
    actor: Rights,
    *,
    allow_save: bool,
    version: str,
) -> Problem | None:
    """The first duplicate rule that stops `record`, or None.

    `allow_save` passes alert rules, never blocking ones.
    """
    for rule in rules:
        if rule.object != kind.name or (allow_save and rule.action == "alert"):
            continue
        found = _matches(state, rule, record)
        if found:
            body = _result(state, rule, found, actor, version=version)
            return Problem("DUPLICATES_DETECTED", rule.message, None, {_key(version): body})
    return None


def _key(version: str) -> str:
    """The result's key: misspelt at v56 still, spelt right at v60; between the two unknown."""
    return "duplicateResut" if int(version[1:].partition(".")[0]) <= 56 else "duplicateResult"


def _matches(state: State, rule: DuplicateRule, record: Record) -> list[tuple[ObjectType, Record]]:
    found: list[tuple[ObjectType, Record]] = []
    for name in rule.match_objects or (rule.object,):
        table = state.store[name]
        ids: dict[str, None] = {}
        for field_name in rule.fields:
            if record.get(field_name) is None or table.kind.field(field_name) is None:
                continue
            if not table.has_index(field_name):
                table.index_by(field_name, match_key)
            ids.update(dict.fromkeys(table.ids_with(field_name, record[field_name])))
        ids.pop(record.get("Id", ""), None)
        found.extend((table.kind, table.live[record_id]) for record_id in ids)
    return found


def _result(
    state: State,
    rule: DuplicateRule,
    found: list[tuple[ObjectType, Record]],
    actor: Rights,
    *,
    version: str,
) -> dict[str, Any]:
    """What the rule found, as far as this user may see it."""
    results = []
    for name in rule.match_objects or (rule.object,):
        visible = [
            (kind, match)
            for kind, match in found
            if kind.name == name
            and actor.may_object(kind, "Read")
            and sees(state, kind, match, actor)
        ]
        if not visible and name != rule.object:
            continue
        results.append(
            {
                "entityType": name,
                "errors": [],
                "matchEngine": "ExactMatchEngine",
                "matchRecords": [
                    {
                        "additionalInformation": [],
                        "fieldDiffs": [],
                        "matchConfidence": 100.0,
                        "record": _shown(kind, match, version),
                    }
                    for kind, match in visible
                ],
                "rule": rule.matching_rule,
                "size": len(visible),
                "success": True,
            }
        )
    return {
        "allowSave": rule.action == "alert",
        "duplicateRule": rule.name,
        "duplicateRuleEntityType": rule.object,
        "errorMessage": rule.message,
        "matchResults": results,
    }


def _shown(kind: ObjectType, match: Record, version: str) -> dict[str, Any]:
    url = f"/services/data/{version}/sobjects/{kind.name}/{match['Id']}"
    return {"attributes": {"type": kind.name, "url": url}, "Id": match["Id"]}
