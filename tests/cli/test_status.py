"""`status` and `outbox list`: what waits and why, by counts and log lines of a running stack."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from cli.deployment.stack import find_stack
from cli.outbox.log_lines import RecordLine
from cli.outbox.status import Status, Waiting
from cli.outbox.times import span
from cli.rejected.queue import Counts
from sandbox.org.org import Condition
from sandbox.stack import Stack
from tests.cli.program import Result, options_for, run
from tools.template import ROOT

CLOCK = r"\d\d:\d\d"
SPAN = r"\d+ (?:s|min|h|d)"


PARAMETERS = {"LogLevel": "ERROR"}
"""What is logged of a record must not depend on the log level: most others run with INFO."""


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


SPANS = [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "119 min"), (7200, "2 h"), (2e5, "2 d")]


@pytest.mark.parametrize(("seconds", "words"), SPANS)
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
    more |= {"object": "Lead", "key": f"k-{ago}", "code": code}
    return RecordLine(at=NOW - ago, function=function, outcome=outcome, **more)


def delayed(code: str, *, ago: float = 30, delay: float = 60, **more: Any) -> RecordLine:
    return line("delayed", ago=ago, code=code, delay_seconds=delay, **more)


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


CONNECT, DOCTOR = "bird-salesforce connect --local", "bird-salesforce doctor --local"
QUEUED = line("queued", ago=600, function="create-lead")
RENEWED = {"last_refresh": NOW - 60}
UNRENEWED = {"last_refresh": NOW - 86_400}
DEAD = ("NOT_CONNECTED", "CREDENTIALS_REVOKED", "CREDENTIALS_LOST")
ACTS = "Delivering nothing since "
NOT_RUN, RUNBOOK = "Deliver has not run since ", "docs/operations.md, outbox-old"


def case(*begins: str, of: list[RecordLine], step: str = "", **more: Any) -> Any:
    """How the verdicts of these lines begin, and what the first says to run: then it is red."""
    return begins, of, step, more


VERDICTS = {
    "Salesforce responds again, and what waits has not had its turn": case(
        "Salesforce responds again since ",
        of=[line("created", ago=10), delayed("NO_ANSWER", ago=120, delay=600)],
        last_success=NOW - 10,
    ),
    "maintenance": case(
        "Salesforce unavailable (ORG_IN_MAINTENANCE) since ", of=[delayed("ORG_IN_MAINTENANCE")]
    ),
    "a limit": case(
        "A limit of Salesforce is used up since ", of=[delayed("REQUEST_LIMIT_EXCEEDED")]
    ),
    "a locked row": case("Delivering · 1 record safe", of=[delayed("UNABLE_TO_LOCK_ROW")]),
    "a code that is new": case(
        "Salesforce unavailable (SOMETHING_NEW) since ", of=[delayed("SOMETHING_NEW")]
    ),
    "no token yet": case("Salesforce unreachable since ", of=[delayed("TOKEN_PENDING")]),
    "an update before its record": case(
        "Updates wait for their record · 1 record safe", of=[delayed("NO_SUCH_RECORD")]
    ),
    **{code: case(ACTS, of=[delayed(code)], step=CONNECT) for code in DEAD},
    **{
        f"{code}, then renewed": case(
            "Connected again", of=[delayed(code, ago=90, delay=600)], **RENEWED
        )
        for code in DEAD
    },
    "new tokens are refused too": case(
        ACTS, of=[delayed("FRESH_SESSION_REFUSED", ago=90, delay=600)], step=CONNECT, **RENEWED
    ),
    "no key field": case(ACTS, of=[delayed("KEY_FIELD_MISSING")], step=DOCTOR),
    "an outage that ended is not told beside what came after it": case(
        ACTS,
        of=[delayed("CREDENTIALS_REVOKED"), delayed("UNREACHABLE", ago=300, delay=600)],
        step=CONNECT,
    ),
    "an outage that goes on is": case(
        *(ACTS, "Salesforce unreachable since "),
        of=[delayed("CREDENTIALS_REVOKED"), delayed("UNREACHABLE", ago=20, delay=600)],
        step=CONNECT,
    ),
    "Deliver does not run": case(NOT_RUN, "Delivering", of=[QUEUED], step=RUNBOOK),
    "Deliver does not run any more": case(
        *(NOT_RUN, "Salesforce unreachable"),
        of=[delayed("NO_ANSWER", ago=3600, delay=600, attempts=2)],
        step=RUNBOOK,
    ),
    "Deliver is at work": case(
        "Salesforce unreachable since ", of=[delayed("NO_ANSWER", ago=20, delay=40), QUEUED]
    ),
    "a token is not renewed": case("The access token was last", of=[], step=DOCTOR, **UNRENEWED),
    "a token cannot be renewed": case(
        "Salesforce unreachable since ", of=[delayed("NO_ANSWER")], **UNRENEWED
    ),
    "never connected": case("Not connected", of=[], step=CONNECT, last_refresh=None),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_the_verdict_says_who_acts_and_what_to_run(known: Any, name: str) -> None:
    begins, lines, step, more = VERDICTS[name]
    found = status(known, *lines, **more)
    assert len(found.verdicts) == len(begins)
    for one, begin in zip(found.verdicts, begins, strict=True):
        assert one.text.startswith(begin)
    assert found.verdicts[0].next_step == step
    assert found.must_act is bool(step)


def test_more_lines_than_are_read_is_said(known: Any) -> None:
    found = status(known, delayed("NO_ANSWER"))
    found = replace(found, waiting=replace(found.waiting, cut=True))
    assert "since before " in found.verdicts[0].text
    assert found.as_dict()["waiting"]["linesCut"] is True


def test_a_record_that_was_made_without_its_message_waits() -> None:
    """Its response is `created`, and its message is in the outbox."""
    assert line("created", ago=5, code="STRING_TOO_LONG", function="create-case").waits
    assert not line("created", ago=5, function="create-case").waits
    assert not line("created", ago=5, code="X", function="deliver").waits
