"""Can the stories of conversations fail? The bundle is broken on purpose, and they must say so."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.conversations import decide, look, write
from bridge.delivery import conversation
from bridge.salesforce import client
from tests.slow.chaos.conversation_machine import ConversationStory, Event, Meanwhile

Patch = pytest.MonkeyPatch


def task_without_its_key(patch: Patch) -> None:
    fields_of = write.task_fields

    def keyless(*arguments: Any, **more: Any) -> dict[str, Any]:
        fields = fields_of(*arguments, **more)
        del fields[client.TASK_KEY_FIELD]
        return fields

    patch.setattr(write, "task_fields", keyless)


def successor_with_a_key_of_its_own(patch: Patch) -> None:
    """Two workers that make the same successor do not collide."""
    numbers = itertools.count()

    def key(conversation: str, predecessor_id: str | None = None) -> str:
        return conversation if predecessor_id is None else f"{conversation}-{next(numbers)}"

    patch.setattr(decide, "record_key", key)


def touch_beside_the_task(patch: Patch) -> None:
    """Sent with it, but not hanging on it."""
    hanging = write._hanging

    def beside(message: Any, decision: Any, *arguments: Any, **more: Any) -> list[Any]:
        return [
            replace(part, path=(f"{part.path[0]}{decision.record_id}",))
            if part.name in ("touch", "reopen")
            else part
            for part in hanging(message, decision, *arguments, **more)
        ]

    patch.setattr(write, "_hanging", beside)


def seen_is_not_asked(patch: Patch) -> None:
    take = look._Pool.take

    def blind(self: Any, kind: Any, response: Any) -> int:
        return 0 if kind == "seen" else take(self, kind, response)

    patch.setattr(look._Pool, "take", blind)


def assignment_rules_run(patch: Patch) -> None:
    for module in (write, client):
        patch.setattr(module, "NOT_REASSIGNED", {})


def merges_are_forgotten(patch: Patch) -> None:
    def forgetful(found: Any, **more: Any) -> Any:
        return decide.decide(found._replace(lead_home=None, case_home=None), **more)

    patch.setattr(conversation, "decide", forgetful)


def message(
    conversation: str, route: str, meanwhile: Meanwhile | None = None, **more: Any
) -> Event:
    what = {"conversation": conversation, "route": route, "meanwhile": meanwhile, **PLAIN, **more}
    return ("message", what)


def person(what: str) -> Event:
    return ("person", {"what": what, "which": 0, "other": 0})


PLAIN: dict[str, Any] = {"kind": "good", "late": 0, "troubles": [], "at_once": True}
AGAIN: Event = (
    "message_again",
    {"which": 0, "route": "as before", "troubles": [], "at_once": True, "meanwhile": None},
)
LEAD, CASE = message("c1", "Lead"), message("c2", "Case")
BY_ANOTHER_WORKER = message("c2", "Case", Meanwhile(2, "the same message", other=1))
AND_ESCALATED = message("c2", "Case", Meanwhile(2, "the same message", other=4))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("mutate", "story", "finding"),
    [
        (task_without_its_key, [LEAD, LEAD], "a Task without its key"),
        (
            successor_with_a_key_of_its_own,
            [CASE, person("close days ago"), BY_ANOTHER_WORKER],
            "2 open records of Case",
        ),
        (touch_beside_the_task, [CASE, AND_ESCALATED], "by a redelivery"),
        (seen_is_not_asked, [LEAD, person("delete a task"), AGAIN], "2 Tasks of Lead"),
        (assignment_rules_run, [CASE, person("take"), CASE], "OwnerId"),
        (
            merges_are_forgotten,
            [LEAD, person("merge into a stranger"), LEAD],
            "though it had moved",
        ),
    ],
)
def test_a_broken_bundle_is_found(
    mutate: Callable[[Patch], None],
    story: list[Event],
    finding: str,
    in_process: None,
    monkeypatch: Patch,
) -> None:
    ConversationStory().run(story)  # not broken yet
    mutate(monkeypatch)
    with pytest.raises(AssertionError, match=finding):
        ConversationStory().run(story)
