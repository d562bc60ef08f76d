"""A cold start imports what it needs and nothing slow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ENVIRON

ROOT = Path(__file__).parents[2]

PROBE = """
import json, sys
before = set(sys.modules)
sys.path[:0] = [{function!r}, {layer!r}]
import app
from bridge import wiring
made = wiring.{made}
print(json.dumps(sorted(set(sys.modules) - before)))
"""

MOST_MODULES = 240
"""Ceiling on the modules that a cold start loads on top of a bare Python; 204 on Python 3.11."""


def loaded_by(folder: str, made: str, **variables: str) -> set[str]:
    """The modules that a fresh process loads to answer."""
    program = PROBE.format(
        function=str(ROOT / "functions" / folder), layer=str(ROOT / "layers" / "bridge"), made=made
    )
    powertools = {
        "POWERTOOLS_SERVICE_NAME": "bird-salesforce",
        "POWERTOOLS_METRICS_NAMESPACE": "BirdSalesforce",
    }
    done = isolated(program, {**ENVIRON, **variables, **powertools})
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def isolated(program: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # -I: nothing of this machine's environment or folders gets in. -S would hide site-packages.
    return subprocess.run(
        [sys.executable, "-I", "-c", program],
        env={**environ, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("folder", "made"),
    [
        ("create_lead", "record_api('Lead')"),
        ("create_case", "record_api('Case')"),
        ("receive_message", "message_api()"),
        ("find_customer", "customer_api()"),
    ],
)
def test_a_cold_start_loads_nothing_slow(folder: str, made: str) -> None:
    modules = loaded_by(folder, made)
    packages = {name.partition(".")[0] for name in modules}
    slow = {"boto3", "requests", "pydantic", "s3transfer", "aws_xray_sdk", "cryptography"}
    assert packages & slow == set()
    assert "aws_lambda_powertools.event_handler" not in modules
    # Powertools imports the bare package, to tell AWS its name, and with it jmespath.
    assert {name for name in modules if name.startswith("botocore.")} == set()
    assert len(modules) <= MOST_MODULES
    if folder not in ("create_lead", "create_case"):
        return
    ours = {name for name in modules if name.startswith("bridge.")}
    assert not ours & {
        *("bridge.delivery.deliver", "bridge.delivery.verdict"),
        *("bridge.salesforce.error_codes", "bridge.oauth.boto3_errors"),
        *("bridge.oauth.grant", "bridge.oauth.lease"),
        *("bridge.oauth.refresher", "bridge.oauth.vault", "bridge.api.signatures"),
        *("bridge.bird.webhooks", "bridge.api.warnings", "bridge.conversations.decide"),
        *("bridge.conversations.look", "bridge.conversations.write"),
        "bridge.delivery.conversation",
    }
    assert not {name for name in ours if name.startswith("bridge.files")}


def test_with_attach_media_a_cold_start_loads_no_more() -> None:
    # Few messages bring files: they pay for what they need.
    on = {"ATTACH_MEDIA": "on", "FILES_URL": "https://sqs.eu-west-1.amazonaws.com/1/Files"}
    plain, attaching = (loaded_by("create_lead", "record_api('Lead')", **more) for more in ({}, on))
    assert attaching == plain


def test_importing_a_module_reads_no_environment_and_makes_no_client() -> None:
    folder = ROOT / "layers/bridge/bridge"
    files = (path.relative_to(folder).with_suffix("") for path in folder.rglob("[a-z]*.py"))
    names = sorted(".".join(path.parts) for path in files)
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'layers/bridge')!r})\n" + "\n".join(
        f"import bridge.{name}" for name in names
    )
    done = isolated(program, {})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
