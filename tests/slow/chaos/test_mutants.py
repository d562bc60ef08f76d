"""Can this suite fail? The bundle is broken on purpose, and the same checks must say so."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from sandbox.org.sample import CLIENT_ID
from sandbox.stack import Stack
from tests.slow.chaos import faults
from tests.slow.chaos.kills import kill_refreshes
from tests.slow.chaos.machine import Story
from tests.slow.chaos.run import PARAMETERS, Plan, Run

ROOT = Path(__file__).parents[3]


def broken_copy(folder: Path, function: str, module: str, *changes: tuple[str, str]) -> Path:
    """A function with a bridge of its own, in which some lines of a module are others."""
    shutil.copytree(ROOT / "functions" / function, folder)
    shutil.copytree(
        ROOT / "layers" / "bridge" / "bridge",
        folder / "bridge",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    file = folder / "bridge" / module
    text = file.read_text(encoding="utf-8")
    for before, after in changes:
        assert text.count(before) == 1, f"{module} has changed: this mutant needs a new place"
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")
    return folder


def small(seed: int, **what: object) -> Plan:
    options: dict[str, object] = {
        "records": 250,
        "rate": 60.0,
        "scenario_seconds": 1.0,
        "quiet_moments": 0,
        "patience_seconds": 30.0,
    }
    return Plan(seed=seed, **{**options, **what})  # type: ignore[arg-type]


LOST_RESPONSES = (faults.reset_after, faults.done_but_reported_as_failed)
OUTAGES = (faults.connections_are_refused, faults.functions_are_killed)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_faults_of_the_mutants_harm_nothing_that_is_not_broken(seed: int) -> None:
    report = Run(small(seed, records=150, scenarios=(*LOST_RESPONSES, *OUTAGES))).go()

    assert report.findings.all == [], report.table()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_the_idempotency_key_records_are_made_twice(seed: int) -> None:
    report = Run(small(seed, scenarios=LOST_RESPONSES, parameters={"ExternalIdField": ""})).go()

    assert len(report.findings.twice) >= 5, report.table()


def outage_until_deliver_has_tried(context: faults.FaultContext) -> None:
    """However busy the machine is, what was queued in the outage is delivered in it, and fails."""
    faults.connections_are_refused(context)
    deliver = context.stack.functions["deliver"]
    before, until = deliver.invocations, time.monotonic() + 10
    while (deliver.invocations < before + 2 or deliver.busy) and time.monotonic() < until:
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_acknowledged_before_it_is_sent_a_record_is_lost(seed: int, tmp_path: Path) -> None:
    hasty = broken_copy(
        tmp_path / "deliver",
        "deliver",
        "delivery/deliver.py",
        (
            "        batch = read_batch(event)\n",
            "        batch = read_batch(event)\n"
            # Ten at a time: one by one it may take longer than the outage.
            "        handles = [message['receiptHandle'] for message in event['Records']]\n"
            "        for at in range(0, len(handles), 10):\n"
            "            self._queues._sqs.delete_message_batch(\n"
            "                QueueUrl=self._settings.outbox_url,\n"
            "                Entries=[\n"
            "                    {'Id': str(number), 'ReceiptHandle': handle}\n"
            "                    for number, handle in enumerate(handles[at : at + 10])\n"
            "                ],\n"
            "            )\n",
        ),
    )
    plan = small(seed, scenarios=(outage_until_deliver_has_tried,), folders={"deliver": hasty})
    report = Run(plan).go()

    assert len(report.findings.lost) >= 5, report.table()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_token_published_before_its_refresh_token_is_stored_is_found(tmp_path: Path) -> None:
    hasty = broken_copy(
        tmp_path / "refresh_token",
        "refresh_token",
        "oauth/refresher.py",
        (
            "            token = grant.token\n",
            "            token = grant.token\n            self._vault.publish(token)\n",
        ),
    )
    with Stack(
        parameters=PARAMETERS, poll=False, processes=1, folders={"refresh_token": hasty}
    ) as stack:
        stack.org.oauth.apps[CLIENT_ID].rotation = True
        watch, _ = kill_refreshes(stack)

    assert any("stored nowhere" in violation for violation in watch.violations)


class KeylessStory(Story):
    changed: ClassVar[Mapping[str, str]] = {"EXTERNAL_ID_FIELD": ""}


@pytest.mark.timeout(300)
def test_a_story_without_the_idempotency_key_goes_wrong(seed: int, in_process: None) -> None:
    settings = hypothesis.settings(
        max_examples=300,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(hypothesis.seed(seed)(KeylessStory), settings=settings)
