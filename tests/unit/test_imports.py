"""A cold start imports what it needs, nothing slow, and nothing that only some bodies need."""

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
from bridge.api.message_request import read_message
from bridge.api.request import HttpRequest
made = wiring.{made}
if {body!r}:
    request = HttpRequest.from_event({{"httpMethod": "POST", "body": {body!r}}})
    read_message(request, "Lead", settings=wiring.settings())
print(json.dumps(sorted(set(sys.modules) - before)))
"""

MOST_MODULES = 240
"""Ceiling on the modules that a cold start loads on top of a bare Python; 204 on Python 3.11."""


def loaded_by(folder: str, made: str, *, body: str = "", **variables: str) -> set[str]:
    """The modules that a fresh process loads to make what responds, and to read a body."""
    program = PROBE.format(
        function=str(ROOT / "functions" / folder),
        layer=str(ROOT / "layers" / "bridge"),
        made=made,
        body=body,
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


def loaded_for_a_lead(**options: str) -> set[str]:
    return loaded_by("create_lead", "record_api('Lead')", **options)


SHAPES = {"bridge.bird.webhooks", "bridge.bird.events_2026", "bridge.bird.part", "html.parser"}
SIGNATURES = {"bridge.api.signatures", "jwt"}


@pytest.mark.parametrize(
    ("folder", "made"),
    [
        ("create_lead", "record_api('Lead')"),
        ("create_case", "record_api('Case')"),
        ("receive_message", "record_api(None)"),
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
    assert not modules & {
        *("bridge.delivery.deliver", "bridge.delivery.verdict", "bridge.delivery.conversation"),
        *("bridge.salesforce.error_codes", "bridge.oauth.boto3_errors"),
        *("bridge.oauth.grant", "bridge.oauth.lease"),
        *("bridge.oauth.refresher", "bridge.oauth.vault", "bridge.api.warnings"),
        *("bridge.conversations.decide", "bridge.conversations.look", "bridge.conversations.write"),
    }
    assert not {name for name in modules if name.startswith("bridge.files")}


def test_with_attach_media_a_cold_start_loads_no_more() -> None:
    # Few messages bring files: they pay for what they need.
    files = "https://sqs.eu-west-1.amazonaws.com/1/Files"
    attaching = loaded_for_a_lead(ATTACH_MEDIA="on", FILES_URL=files)
    assert attaching == loaded_for_a_lead()


@pytest.mark.parametrize(
    "body", ['{"LastName": "x"}', '{"bird": {"channel": "sms", "text": "x"}}', '{"Type": "x"}']
)
def test_a_flow_s_own_body_loads_neither_shapes_nor_signatures(body: str) -> None:
    assert loaded_for_a_lead(body=body) & (SHAPES | SIGNATURES) == set()


def test_a_body_of_bird_s_loads_the_shapes_and_a_scheme_the_signatures() -> None:
    loaded = loaded_for_a_lead(body='{"originator": "447700900142", "payload": "x"}')
    assert "bridge.bird.webhooks" in loaded and not loaded & SIGNATURES
    for scheme in ("bird", "messagebird-jwt"):  # PyJWT is imported for the first token
        loaded = loaded_for_a_lead(body="{}", SIGNATURE_SCHEME=scheme)
        assert loaded & (SHAPES | SIGNATURES) == {"bridge.api.signatures"}


def test_importing_a_module_reads_no_environment_and_makes_no_client() -> None:
    folder = ROOT / "layers/bridge/bridge"
    files = (path.relative_to(folder).with_suffix("") for path in folder.rglob("[a-z]*.py"))
    names = sorted(".".join(path.parts) for path in files)
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'layers/bridge')!r})\n" + "\n".join(
        f"import bridge.{name}" for name in names
    )
    done = isolated(program, {})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
