"""Can this suite fail? The bundle is broken on purpose, and the same checks must say so."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.conversations import decide, look, write
from bridge.delivery import conversation, updates
from bridge.salesforce import client
from sandbox.org.sample import CLIENT_ID
from sandbox.stack import Stack
from tests.slow.chaos.credentials import kill_refreshes
from tests.slow.chaos.faults import LOST_RESPONSES, SCENARIOS, Faults, connections_are_refused
from tests.slow.chaos.run import PARAMETERS, Plan, Report, Run
from tests.slow.chaos.stories import ALONE, Event, How, Meanwhile, Story
from tools.template import ROOT

Patch = pytest.MonkeyPatch


def broken_copy(folder: Path, function: str, module: str, line: str, more: str) -> Path:
    """A function with a bridge of its own, in which more lines follow one of a module."""
    shutil.copytree(ROOT / "functions" / function, folder)
    bridge = ROOT / "layers" / "bridge" / "bridge"
    shutil.copytree(bridge, folder / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "bridge" / module
    text = file.read_text(encoding="utf-8")
    assert text.count(line) == 1, f"{module} has changed: this mutant needs a new place"
    file.write_text(text.replace(line, line + more), encoding="utf-8")
    return folder


def run(seed: int, **more: Any) -> Report:
    """A short run."""
    options = {"records": 250, "rate": 60.0, "scenario_seconds": 1.0, "quiet_moments": 0}
    return Run(Plan(**{"seed": seed, "patience_seconds": 30.0, **options, **more})).go()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_faults_of_the_mutants_harm_nothing_that_is_not_broken(seed: int) -> None:
    outages = {
        name: SCENARIOS[name] for name in ("connections are refused", "functions are killed")
    }
    report = run(seed, records=150, scenarios={**LOST_RESPONSES, **outages})

    assert report.findings.all == [], report.table()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_the_idempotency_key_records_are_made_twice(seed: int) -> None:
    report = run(seed, scenarios=LOST_RESPONSES, parameters={"ExternalIdField": ""})

    assert len(report.findings.twice) >= 5, report.table()


def outage_until_deliver_has_tried(faults: Faults) -> None:
    """However busy the machine is, what was queued in the outage is delivered in it, and fails."""
    connections_are_refused(faults)
    deliver = faults.stack.functions["deliver"]
    before, until = deliver.invocations, time.monotonic() + 10
    while (deliver.invocations < before + 2 or deliver.busy) and time.monotonic() < until:
        time.sleep(0.02)


# Ten at a time: one by one it may take longer than the outage.
ACKNOWLEDGE = """\
        handles = [message['receiptHandle'] for message in event['Records']]
        for at in range(0, len(handles), 10):
            self._queues._sqs.delete_message_batch(
                QueueUrl=self._settings.outbox_url,
                Entries=[
                    {'Id': str(number), 'ReceiptHandle': handle}
                    for number, handle in enumerate(handles[at : at + 10])
                ],
            )
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_acknowledged_before_it_is_sent_a_record_is_lost(seed: int, tmp_path: Path) -> None:
    line = "        batch = read_batch(event)\n"
    hasty = broken_copy(tmp_path / "d", "deliver", "delivery/deliver.py", line, ACKNOWLEDGE)
    scenarios = {"outage": [outage_until_deliver_has_tried]}
    report = run(seed, scenarios=scenarios, folders={"deliver": hasty})

    assert len(report.findings.lost) >= 5, report.table()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_token_published_before_its_refresh_token_is_stored_is_found(tmp_path: Path) -> None:
    line, publish = "            token = grant.token\n", "            self._vault.publish(token)\n"
    hasty = broken_copy(tmp_path / "r", "refresh_token", "oauth/refresher.py", line, publish)
    folders = {"refresh_token": hasty}
    with Stack(parameters=PARAMETERS, poll=False, processes=1, folders=folders) as stack:
        stack.org.oauth.apps[CLIENT_ID].rotation = True
        watch, _ = kill_refreshes(stack)

    assert any("stored nowhere" in violation for violation in watch.violations)


# Stories


def no_idempotency_key(patch: Patch) -> None:
    patch.setattr(Story, "changed", {**Story.changed, "EXTERNAL_ID_FIELD": ""})


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


def last_change_alone_counts(patch: Patch) -> None:
    """A later change of our own is taken to hide nobody's."""

    def last_change_only(self: Any, record_id: str, row: Any, accepted: Any, user_id: str) -> bool:
        changed: bool = row.modified >= accepted.replace(microsecond=0)
        return changed and row.modified_by != user_id

    patch.setattr(updates.OwnChanges, "others_since", last_change_only)


def merges_are_forgotten(patch: Patch) -> None:
    def forgetful(found: Any, **more: Any) -> Any:
        return decide.decide(found._replace(lead_home=None, case_home=None), **more)

    patch.setattr(conversation, "decide", forgetful)


def message(conversation: str, route: str, **how: Any) -> Event:
    what = {"conversation": conversation, "route": route, "kind": "good", "late": 0}
    return ("message", {**what, "how": How(**how)})


def person(what: str) -> Event:
    return ("person", {"what": what, "which": 0, "other": 0})


def update(name: str, *, at_once: bool) -> Event:
    what = {"conversation": "c1", "names": [name], "troubles": []}
    return ("update", {**what, "at_once": at_once})


def meanwhile(other: int) -> dict[str, Any]:
    return {"meanwhile": Meanwhile(2, "the same message", other=other)}


LEAD, CASE = message("c1", "Lead"), message("c2", "Case")
AGAIN: Event = ("message_again", {"which": 0, "route": "", "how": How()})


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("mutate", "story", "finding"),
    [
        (
            no_idempotency_key,
            [message(ALONE, "Case"), message(ALONE, "Lead", troubles=["response lost"])],
            "made twice",
        ),
        (task_without_its_key, [LEAD, LEAD], "a Task without its key"),
        (
            successor_with_a_key_of_its_own,
            [CASE, person("close days ago"), message("c2", "Case", **meanwhile(1))],
            "2 open records of Case",
        ),
        (touch_beside_the_task, [CASE, message("c2", "Case", **meanwhile(4))], "by a redelivery"),
        (seen_is_not_asked, [LEAD, person("delete a task"), AGAIN], "2 Tasks of Lead"),
        (assignment_rules_run, [CASE, person("take"), CASE], "OwnerId"),
        (
            last_change_alone_counts,
            [LEAD, update("Company", at_once=False), person("edit"), update("City", at_once=True)],
            "overwritten",
        ),
        (merges_are_forgotten, [LEAD, person("merge into a stranger"), LEAD], "it had moved"),
    ],
)
def test_a_story_finds_a_broken_bundle(
    mutate: Callable[[Patch], None],
    story: list[Event],
    finding: str,
    in_process: None,
    monkeypatch: Patch,
) -> None:
    Story().run(story)  # not broken yet
    mutate(monkeypatch)
    with pytest.raises(AssertionError, match=finding):
        Story().run(story)
