"""What `make bench` measures and a machine's load cannot move: imports, calls, connections."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.stack import Stack
from tests.conftest import PATIENT
from tools.template import ROOT

RECORDS = 40
MOST_MODULES = 190
"""Ceiling on what a cold start imports: 180 modules on Python 3.11."""

PROBE = """
import json, sys
sys.path[:0] = [{function!r}, {layer!r}, {packages!r}]
before = set(sys.modules)
import app
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def imported_by(function: str) -> set[str]:
    """The modules that a function's code loads in a process as bare as Lambda's."""
    program = PROBE.format(
        function=str(ROOT / "functions" / function),
        layer=str(ROOT / "layers/bridge"),
        packages=sysconfig.get_path("purelib"),
    )
    done = subprocess.run(
        # -S: no .pth file of this environment loads modules first, so that all are counted.
        [sys.executable, "-I", "-S", "-c", program],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("function", ["create_lead", "create_case", "receive_message"])
def test_a_cold_start_imports_nothing_that_only_a_failure_needs(function: str) -> None:
    modules = imported_by(function)
    packages = {name.partition(".")[0] for name in modules}
    slow = {"boto3", "requests", "pydantic", "jwt", "cryptography", "urllib3"}
    assert packages & slow == set()
    # Powertools imports the bare package, to put its name into boto3's requests.
    assert not {name for name in modules if name.startswith("botocore.")}
    assert "bridge.salesforce.error_codes" not in modules
    assert len(modules) <= MOST_MODULES


def body() -> Any:
    return {"bird": {"channel": "sms", "messageId": uuid.uuid4().hex, "displayName": "Amara"}}


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A connected stack with warm functions, one process each, and all counts at zero."""
    with Stack(poll=False, processes=1, parameters=PATIENT) as stack:
        stack.tick()
        for path in ("/leads", "/cases"):
            assert stack.request("POST", path, body()).status == 201
        stack.org.journal.reset()
        stack.aws.calls.clear()
        yield stack


@pytest.mark.parametrize(
    ("path", "call"), [("/leads", "POST /sobjects/Lead"), ("/cases", "POST /composite")]
)
def test_a_warm_record_is_one_call_on_the_kept_connection(
    stack: Stack, path: str, call: str
) -> None:
    for _ in range(RECORDS):
        assert stack.request("POST", path, body()).status == 201

    assert dict(stack.org.journal.counts) == {call: RECORDS}
    assert stack.org.journal.connections == 0
    assert dict(stack.aws.calls) == {}


def test_a_warm_message_of_a_conversation_is_two_calls_on_the_kept_connection(stack: Stack) -> None:
    """One look, one write: for the first message, for further ones, on every route."""
    for number in range(RECORDS):
        of_one = {"conversationId": f"c-{number // 2}", **body()["bird"]}
        for path in ("/leads", "/cases"):
            status = stack.request("POST", path, {"bird": of_one}).status
            assert status == (200 if number % 2 else 201)

    assert dict(stack.org.journal.counts) == {"POST /composite": 2 * 2 * RECORDS}
    assert stack.org.journal.connections == 0
    assert dict(stack.aws.calls) == {}


def reads_of(stack: Stack, function: str) -> dict[str, int]:
    return {what: n for (who, what), n in stack.aws.calls.items() if who == function}


def test_a_token_that_the_schedule_renewed_costs_one_read_and_one_repeated_call(
    stack: Stack,
) -> None:
    stored = stack.token()
    assert stored is not None
    stack.org.oauth.expire_sessions()
    assert not stack.invoke("refresh_token", {"refused_generation": stored["generation"]}).failed
    stack.org.journal.reset()
    stack.aws.calls.clear()

    assert stack.request("POST", "/leads", body()).status == 201
    assert reads_of(stack, "create_lead") == {"ssm.GetParameter": 1}
    assert dict(stack.org.journal.counts) == {"POST /sobjects/Lead": 2}


def test_callers_who_are_refused_together_share_one_refresh() -> None:
    callers = 4
    with Stack(poll=False, processes=callers, parameters=PATIENT) as stack:
        stack.tick()
        with ThreadPoolExecutor(callers) as pool:

            def everyone() -> list[int]:
                return list(
                    pool.map(lambda _: stack.request("POST", "/leads", body()).status, range(4))
                )

            assert everyone() == [201] * callers
            stack.org.oauth.expire_sessions()
            stack.org.journal.reset()
            assert everyone() == [201] * callers
        counts = stack.org.journal.counts
        assert counts["POST /services/oauth2/token"] == 1
        # Each of them at most once more.
        assert callers < counts["POST /sobjects/Lead"] <= 2 * callers
