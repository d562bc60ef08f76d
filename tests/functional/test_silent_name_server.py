"""A name server that drops packets does not outlast the caller's budget.

glibc's own resolver, unchanged, against a socket that never responds: in a network namespace of its
own, which nothing leaves, with its own /etc/resolv.conf.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import ENVIRON
from tools.template import ROOT, Template

BUDGET_SECONDS = float(ENVIRON["RESPONSE_BUDGET_SECONDS"])
ALONE = ["unshare", "--map-root-user", "--net", "--mount"]
RES_OPTIONS = str(
    Template.load().source["Globals"]["Function"]["Environment"]["Variables"]["RES_OPTIONS"]
)

ONE = ["nameserver 127.0.0.1"]
TWO_AND_A_DOMAIN = ["nameserver 127.0.0.1", "nameserver 127.0.0.2", "search a.internal b.internal"]

SSM, SQS = "ssm.eu-west-1.amazonaws.com", "sqs.eu-west-1.amazonaws.com"
SALESFORCE = "acme.my.salesforce.com"


def cannot_be_alone() -> str:
    """Why no namespaces can be made here; empty if they can."""
    if not shutil.which(ALONE[0]):
        return "there is no unshare (Linux only)"
    made = subprocess.run([*ALONE, "true"], capture_output=True, text=True)
    return f"no namespaces: {made.stderr.strip()}" if made.returncode else ""


pytestmark = pytest.mark.skipif(bool(cannot_be_alone()), reason=cannot_be_alone())


def create_lead(
    event: Any, *, resolv_conf: list[str], res_options: str = RES_OPTIONS, aws_at_hand: bool = False
) -> list[Any]:
    """What came of two calls in one execution environment; see `silent_name_server`."""
    case = {"event": event, "resolv_conf": resolv_conf, "aws_at_hand": aws_at_hand}
    program = [sys.executable, "-m", "tests.functional.silent_name_server", json.dumps(case)]
    environ = {
        **ENVIRON,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/bridge'}",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "POWERTOOLS_SERVICE_NAME": "bird-salesforce",
        "POWERTOOLS_METRICS_NAMESPACE": "BirdSalesforce",
        # glibc reads it when the process begins, as it does in Lambda.
        "RES_OPTIONS": res_options,
    }
    done = subprocess.run(
        [*ALONE, *program], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert len(lines) == 2, done.stdout + done.stderr
    return [json.loads(line.removeprefix("RESULT ")) for line in lines]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("resolv_conf", "res_options"),
    [(ONE, RES_OPTIONS), (ONE, ""), (TWO_AND_A_DOMAIN, RES_OPTIONS), (TWO_AND_A_DOMAIN, "")],
    ids=["the template's options", "glibc's", "two servers", "two servers, glibc's"],
)
def test_where_no_name_is_found_the_caller_is_told_in_time(
    event: Callable[[str], Any], resolv_conf: list[str], res_options: str
) -> None:
    called = create_lead(event("create_lead"), resolv_conf=resolv_conf, res_options=res_options)
    for result in called:
        assert result["status"] == 503 and result["body"]["kept"] is False
        assert result["seconds"] < BUDGET_SECONDS - 0.5
    # A look-up that the first call gave up may run still, and the second one waits for that.
    assert {SSM, SQS} <= {host for result in called for host in result["queries"]}
    if resolv_conf is ONE:
        # One look-up of each host: two queries, as the template says, and as glibc does by itself.
        assert max(called[0]["queries"].values()) <= 2


@pytest.mark.timeout(60)
def test_where_only_salesforce_s_name_is_not_found_the_record_is_queued(
    event: Callable[[str], Any],
) -> None:
    first, second = create_lead(event("create_lead"), resolv_conf=ONE, aws_at_hand=True)
    for result in (first, second):
        assert (result["status"], result["body"]["outcome"]) == (202, "queued")
        assert result["seconds"] < BUDGET_SECONDS / 2
    assert first["queries"] == {SALESFORCE: 2}
