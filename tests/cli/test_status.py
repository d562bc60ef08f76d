"""`status` and `outbox list`: what waits and why, by counts and log lines of a running stack."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cli.deployment.stack import find_stack
from cli.outbox.log_lines import RecordLine
from cli.outbox.status import State, Status
from cli.outbox.times import span
from cli.outbox.waiting import Waiting
from cli.rejected.queue import Counts
from sandbox.org.org import Condition
from sandbox.stack import Stack
from tests.cli.program import Result, options_for, run
from tests.conftest import PATIENT
from tests.stacks import empty_queues
from tools.template import ROOT

CLOCK = r"\d\d:\d\d"
SPAN = r"\d+ (?:s|min|h|d)"


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """What is logged of a record must not depend on the log level: most others run with INFO."""
    with Stack(poll=False, parameters={**PATIENT, "LogLevel": "ERROR"}) as stack:
        stack.tick()
        yield stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    yield running
    running.org.reset()
    empty_queues(running)
    for function in running.functions.values():
        function.log.write_text("")


@pytest.fixture
def options(stack: Stack, tmp_path: Path) -> list[str]:
    return options_for(stack, tmp_path)


def send(stack: Stack, name: str, *, channel: str = "whatsapp", path: str = "/leads") -> Any:
    body = {
        "channel": channel,
        "messageId": f"wamid.{name}==",
        "conversationId": f"conversation-of-{name}",
        "sender": "+31612345678",
        "displayName": "Ada Okafor",
        "text": "Is it there?",
    }
    return stack.request("POST", path, {"bird": body}).json()


def narrow(result: Result) -> bool:
    return all(len(line) <= 80 for line in (result.out + result.err).splitlines())


def test_all_is_well(stack: Stack, options: list[str]) -> None:
    assert send(stack, "one")["outcome"] == "created"
    result = run("status", *options)
    assert result.status == 0
    assert result.out.startswith("All is well · nothing waits · nothing to do\n")
    assert re.search(rf"^Last success +{CLOCK} \({SPAN} ago\)$", result.out, re.MULTILINE)
    assert re.search(rf"^Last refresh +{CLOCK} \({SPAN} ago\)$", result.out, re.MULTILINE)
    assert "estimates" in result.err and narrow(result)


def test_an_outage_needs_nobody(stack: Stack, options: list[str]) -> None:
    send(stack, "before")
    with stack.outage():
        keys = {send(stack, name)["key"] for name in ("one", "two", "three")}
        for _ in range(2):  # queued, then delayed by Deliver
            result = run("status", *options)
            assert result.status == 0
            assert re.match(
                rf"Salesforce unreachable since {CLOCK} · 3 records safe, oldest {SPAN} · "
                "nothing to do\n",
                result.out,
            )
            listed = run("outbox", "list", "--json", *options).json()
            assert {one["key"] for one in listed} == keys
            stack.deliver_once()
        result = run("outbox", "list", *options)
    assert narrow(result) and all(key in result.out for key in keys)
    assert "Salesforce unreachable (UNREACHABLE) · whatsapp · 3 records" in result.out
    (first, *_) = listed
    assert (first["object"], first["channel"], first["waitsFor"]) == ("Lead", "whatsapp", "down")
    assert first["reason"] == "Salesforce unreachable (UNREACHABLE)"
    assert (first["tries"], first["ageSeconds"] < 60) == (1, True)
    assert first["nextTry"] > first["waitsSince"]
    assert "3 records in the outbox." in result.err and "estimates" in result.err
    stack.drain()
    assert run("outbox", "list", "--json", *options).json() == []
    assert run("status", *options).out.startswith("All is well")


def test_all_pages_are_read_and_the_newest_line_counts(
    stack: Stack, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may hold few events, and there are more as long as there is a token."""
    monkeypatch.setattr(stack.aws.logs, "page", 1)
    with stack.outage():
        keys = {send(stack, f"p{number}")["key"] for number in range(4)}
        for _ in range(2):
            stack.let_time_pass()
            stack.deliver_once()
        listed = run("outbox", "list", "--json", *options).json()
    assert {one["key"]: one["tries"] for one in listed} == dict.fromkeys(keys, 2)


def test_more_lines_than_are_read_is_said(known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = status(known, line("delayed", ago=30, code="NO_ANSWER", delay_seconds=60)).waiting
    found = Status(
        stack=known,
        waiting=replace(waiting, cut=True),
        rejected=Counts(),
        refusals=[],
        last_success=None,
        last_refresh=NOW,
    )
    assert "since before " in found.verdicts[0].text
    assert found.as_dict()["waiting"]["linesCut"] is True


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
    ],
)
def test_a_span_is_short(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_wide_has_everything_on_a_line(stack: Stack, options: list[str]) -> None:
    with stack.outage():
        key = send(stack, "one", channel="viber", path="/cases")["key"]
        stack.deliver_once()
        (line,) = run("outbox", "list", "--wide", *options).out.splitlines()
    for part in (key, "Case", "viber", "1 try", "Salesforce unreachable (UNREACHABLE)"):
        assert part in line
    assert run("outbox", "list", "--object", "lead", "--wide", *options).out == ""


def test_refusals_name_the_rule_and_who_acts(stack: Stack, options: list[str]) -> None:
    stack.org.add_validation_rule("Lead", Condition("Rating", "blank"), "Say where from")
    for number in range(2):
        assert send(stack, f"r{number}")["outcome"] == "rejected"
    result = run("status", *options)
    assert result.status == 1
    verdict = " ".join(result.out.split("\n\n")[0].split())
    assert re.match(
        rf"Rejecting since {CLOCK}: a validation rule \(FIELD_CUSTOM_VALIDATION_EXCEPTION.*\), "
        "2 records, the administrator must act → bird-salesforce rejected list --local$",
        verdict,
    )
    assert narrow(result)
    assert "Say where from" not in result.out, "a rule's words may repeat a value"
    found = run("status", "--json", *options).json()
    assert (found["state"], found["rejected"]["count"]) == ("act", 2)
    assert found["rejected"]["estimated"] is found["waiting"]["estimated"] is True


def test_what_a_person_must_mend_comes_before_the_rest(stack: Stack, options: list[str]) -> None:
    stack.org.trouble.add(error="API_DISABLED_FOR_ORG")
    assert send(stack, "one")["outcome"] == "queued"
    stack.deliver_once()
    result = run("status", *options)
    stack.org.trouble.clear()
    assert result.status == 1
    words = " ".join(result.out.split())
    assert re.match(
        rf"Delivering nothing since {CLOCK}: the org's API is switched off "
        r"\(API_DISABLED_FOR_ORG\) · 1 record safe, oldest \d+ s · the administrator must act",
        words,
    )


def test_it_receives_no_message_and_needs_the_documented_rights_only(
    stack: Stack, options: list[str]
) -> None:
    """The rights are those that docs/operations.md lists for an operator."""
    with stack.outage():
        send(stack, "one")
    stack.aws.calls.clear()
    run("status", *options)
    run("outbox", "list", *options)
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    policy = json.loads(re.search(r"```json\n(\{\s*\"Version\".*?)```", page, re.DOTALL)[1])
    allowed = {action for one in policy["Statement"] for action in one["Action"]}
    used = {name.replace(".", ":") for (who, name), count in stack.aws.calls.items() if who == "-"}
    assert "sqs:GetQueueAttributes" in used and "logs:FilterLogEvents" in used
    assert not any("Receive" in name for name in used)
    assert used <= allowed
    assert not any("*" in action for action in allowed)


def test_without_the_right_to_see_the_last_refresh_the_rest_is_shown(
    stack: Stack, options: list[str]
) -> None:
    """AWS lets nobody restrict ssm:DescribeParameters, so an operator may not have it."""
    send(stack, "one")
    stack.aws.fail("ssm", "DescribeParameters", status=400, code="AccessDeniedException")
    result = run("status", *options)
    stack.aws.heal()
    assert result.status == 0 and result.out.startswith("All is well")
    assert "Last refresh   not shown: your AWS role may not see it" in result.out


def test_watch_repeats_it_as_lines_of_json(
    stack: Stack, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = iter([None, KeyboardInterrupt])

    def sleep(seconds: float) -> None:
        assert seconds == 10
        if ends := next(waits):
            raise ends

    monkeypatch.setattr("cli.commands.status.time", mock.Mock(sleep=sleep, time=time.time))
    result = run("status", "--watch", "--every", "10", "--json", *options)
    assert [json.loads(one)["state"] for one in result.out.splitlines()] == ["good"] * 2


# The verdict, of what cannot be played in seconds

NOW = time.time()


@pytest.fixture(scope="module")
def known(running: Stack, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("known")
    options_for(running, folder)
    return find_stack(
        name=None, region=None, profile=None, local=folder / "stack.json", stage="default"
    )


def line(
    outcome: str, *, ago: float, code: str = "", function: str = "deliver", **more: Any
) -> RecordLine:
    return RecordLine(
        at=NOW - ago,
        function=function,
        outcome=outcome,
        object="Lead",
        key=f"k-{ago}",
        code=code,
        **more,
    )


def status(known: Any, *lines: RecordLine, **more: Any) -> Status:
    waiting = [one for one in lines if one.waits]
    values: dict[str, Any] = {
        "rejected": Counts(),
        "refusals": [],
        "last_success": None,
        "last_refresh": NOW - 900,
        "at": NOW,
    }
    counts = Counts(visible=len(waiting))
    return Status(
        stack=known,
        waiting=Waiting(counts=counts, records=waiting, lines=list(lines), cut=False),
        **{**values, **more},
    )


def test_it_responds_again_and_what_waits_has_not_had_its_turn(known: Any) -> None:
    found = status(
        known,
        line("created", ago=10),
        line("delayed", ago=120, code="NO_ANSWER", delay_seconds=600),
        last_success=NOW - 10,
    )
    assert [one.state for one in found.verdicts] == [State.WAITING]
    assert found.verdicts[0].text.startswith("Salesforce responds again since ")


@pytest.mark.parametrize(
    ("code", "begin"),
    [
        ("ORG_IN_MAINTENANCE", "Salesforce unavailable (ORG_IN_MAINTENANCE) since "),
        ("REQUEST_LIMIT_EXCEEDED", "A limit of Salesforce is used up since "),
        ("UNABLE_TO_LOCK_ROW", "Delivering · 1 record safe"),
        ("SOMETHING_NEW", "Salesforce unavailable (SOMETHING_NEW) since "),
        ("TOKEN_PENDING", "Salesforce unreachable since "),
        ("NO_SUCH_RECORD", "Updates wait for their record · 1 record safe"),
    ],
)
def test_trouble_that_passes_needs_nobody(known: Any, code: str, begin: str) -> None:
    found = status(known, line("delayed", ago=30, code=code, delay_seconds=60))
    assert found.verdicts[0].text.startswith(begin)
    assert not found.must_act


@pytest.mark.parametrize("code", ["NOT_CONNECTED", "CREDENTIALS_REVOKED", "CREDENTIALS_LOST"])
def test_only_dead_credentials_lead_to_connect(known: Any, code: str) -> None:
    found = status(known, line("delayed", ago=30, code=code, delay_seconds=60))
    assert found.must_act and " connect " in found.verdicts[0].next_step
    other = status(known, line("delayed", ago=30, code="KEY_FIELD_MISSING", delay_seconds=60))
    assert other.must_act and " doctor " in other.verdicts[0].next_step


@pytest.mark.parametrize("code", ["NOT_CONNECTED", "CREDENTIALS_REVOKED", "CREDENTIALS_LOST"])
def test_after_a_renewal_nobody_is_sent_to_connect_again(known: Any, code: str) -> None:
    """`connect` has just succeeded; the records go with their next try."""
    waits = line("delayed", ago=90, code=code, delay_seconds=600)
    found = status(known, waits, last_refresh=NOW - 60)
    assert [one.state for one in found.verdicts] == [State.WAITING]
    assert found.verdicts[0].text.startswith("Connected again")
    refused = line("delayed", ago=90, code="FRESH_SESSION_REFUSED", delay_seconds=600)
    assert status(known, refused, last_refresh=NOW - 60).must_act


def test_an_outage_that_ended_is_not_told_beside_what_came_after_it(known: Any) -> None:
    revoked = line("delayed", ago=30, code="CREDENTIALS_REVOKED", delay_seconds=60)
    before = line("delayed", ago=300, code="UNREACHABLE", delay_seconds=600)
    since = line("delayed", ago=20, code="UNREACHABLE", delay_seconds=600)
    assert len(status(known, revoked, before).verdicts) == 1
    assert len(status(known, revoked, since).verdicts) == 2


def test_a_deliver_that_does_not_run_is_noticed(known: Any) -> None:
    queued = line("queued", ago=600, function="create-lead")
    found = status(known, queued)
    assert found.verdicts[0].text.startswith("Deliver has not run since ")
    late = line("delayed", ago=3600, code="NO_ANSWER", delay_seconds=600, attempts=2)
    assert status(known, late).verdicts[0].text.startswith("Deliver has not run since ")
    at_work = line("delayed", ago=20, code="NO_ANSWER", delay_seconds=40)
    assert not status(known, at_work, queued).must_act


def test_a_token_that_is_not_renewed_is_noticed_unless_salesforce_is_down(known: Any) -> None:
    old = NOW - known.settings.refresh_minutes * 60 * 2
    assert status(known, last_refresh=old).must_act
    down = line("delayed", ago=30, code="NO_ANSWER", delay_seconds=60)
    assert not status(known, down, last_refresh=old).must_act
    assert " connect " in status(known, last_refresh=None).verdicts[0].next_step


def test_a_record_that_was_made_without_its_message_waits(known: Any) -> None:
    """Its response is `created`, and its message is in the outbox."""
    made = line("created", ago=5, code="STRING_TOO_LONG", function="create-case")
    assert made.waits
    assert not line("created", ago=5, function="create-case").waits
    assert not line("created", ago=5, code="X", function="deliver").waits
