"""FilterLogEvents on the functions' logs.

The patterns and what they match are those of AWS's page "Filter pattern syntax".
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.logs import Logs, LogsError, read_pattern
from sandbox.stack import Stack

TRAIL = json.dumps(
    {"eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111", "errorCode": 400}
)


@pytest.mark.parametrize(
    ("pattern", "message", "fits"),
    [
        ("", "anything", True),
        ("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", True),
        ("ERROR ARGUMENTS", "[ERROR 400] BAD REQUEST", False),
        ("?ERROR ?ARGUMENTS", "[ERROR 400] BAD REQUEST", True),
        ("?ERROR ?ARGUMENTS", "[WARN] nothing", False),
        ('"INTERNAL SERVER ERROR"', "[ERROR 500] INTERNAL SERVER ERROR", True),
        ('?ERROR ?"timed out"', "Task timed out after 3 seconds", True),
        ('{ $.eventType = "UpdateTrail" }', TRAIL, True),
        ('{ $.eventType = "Other" }', TRAIL, False),
        ("{ $.errorCode = 400 }", TRAIL, True),
        (
            '{ ($.eventType = "Other" || $.errorCode = 400) && $.eventType = "UpdateTrail" }',
            TRAIL,
            True,
        ),
        ('{ $.eventType = "UpdateTrail" && $.errorCode = 500 }', TRAIL, False),
        ('{ $.missing = "x" }', TRAIL, False),
        ('{ $.eventType = "UpdateTrail" }', "no JSON", False),
    ],
)
def test_a_pattern_fits(pattern: str, message: str, fits: bool) -> None:
    assert read_pattern(pattern)(message) is fits


@pytest.mark.parametrize(
    "pattern",
    [
        "{ $.a > 1 }",
        "{ $.a IS NULL }",
        "[a, b]",
        "%re%",
        "-ERROR",
        '{ $.a != "x" }',
        '{ $.a = "x*" }',
        "{ $.a = }",
        "{ ( }",
    ],
)
def test_what_the_sandbox_does_not_know_is_refused(pattern: str) -> None:
    with pytest.raises(LogsError):
        read_pattern(pattern)


def test_pages_in_both_directions(tmp_path: Path) -> None:
    file = tmp_path / "log"
    lines = [
        json.dumps({"_aws": {"Timestamp": 1000 * n}, "message": "record", "n": n}) for n in range(7)
    ]
    file.write_text("\n".join([*lines, "a line that follows"]) + "\n")
    logs = Logs(lambda: {"group": file})
    logs.page = 3

    def read(**more: Any) -> list[Any]:
        request: dict[str, Any] = {"logGroupName": "group", **more}
        found: list[Any] = []
        while True:
            response = logs.filter_log_events(request)
            assert len(response["events"]) <= 3
            found += response["events"]
            if "nextToken" not in response:
                return found
            request["nextToken"] = response["nextToken"]

    assert [event["timestamp"] for event in read()] == [*range(0, 7000, 1000), 6000]
    newest_first = read(startFromHead=False, startTime=2000, endTime=4000)
    assert [event["timestamp"] for event in newest_first] == [4000, 3000, 2000]


def test_boto3_reads_what_a_function_printed(stack: Stack) -> None:
    group = stack.functions["deliver"].spec.log_group
    began = int(time.time() * 1000) - 1000
    stack.invoke("deliver", {"Records": [{"body": "go"}] * 3})
    found = stack.client("logs").filter_log_events(logGroupName=group, startTime=began)
    assert [event["message"] for event in found["events"]] == ["3 records"]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        stack.client("logs").filter_log_events(logGroupName="/no/group")
