"""Each function under AWS's own runtime: the interface client and its emulator, without containers.

The emulator ships inside the SAM CLI, which `make build` installs; without it these are skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from sandbox.stack import Stack
from tests.conftest import PATIENT
from tools.template import ROOT

MACHINE = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "none")
FOUND = sorted(ROOT.glob(f".venv-sam/lib/*/site-packages/samcli/local/rapid/*-rie-{MACHINE}"))

pytestmark = [
    pytest.mark.skipif(not FOUND, reason="no Runtime Interface Emulator: make build installs it"),
    pytest.mark.skipif(sys.platform != "linux", reason="the emulator runs on Linux only"),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def connected() -> Iterator[Stack]:
    with Stack(poll=False, parameters=PATIENT) as stack:
        stack.tick()
        yield stack


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("rie") / "aws-lambda-rie"
    shutil.copy(FOUND[0], copy)
    copy.chmod(0o755)
    return copy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def runtime(stack: Stack, emulator: Path, name: str, log: Path) -> Iterator[str]:
    """A function's own environment in the emulator; answers where to send events."""
    port, api_port = free_port(), free_port()
    function = stack.functions[name]
    environ = stack.function_environment(name)
    environ["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(function.spec.timeout)
    environ["PYTHONPATH"] = os.pathsep.join(
        (str(function.spec.folder), str(ROOT / "layers/bridge"))
    )
    # The emulator sets it to the address given below.
    environ.pop("AWS_LAMBDA_RUNTIME_API")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                str(emulator),
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{port}",
                "--runtime-api-address",
                f"127.0.0.1:{api_port}",
                sys.executable,
                "-m",
                "awslambdaric",
                function.spec.handler,
            ],
            env=environ,
            cwd=function.spec.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


def send(url: str, event: str) -> Any:
    body = (ROOT / "events" / event).read_bytes()
    response = urllib3.request("POST", url, body=body, timeout=60, retries=False)
    assert response.status == 200
    return response.json()


@pytest.mark.parametrize(
    ("event", "status", "expected"),
    [
        ("create_lead.json", 201, "created"),
        ("create_lead.not_json.json", 400, "failed"),
        ("create_case.json", 201, "created"),
        ("receive_message.json", 201, "created"),
        ("refresh_token.json", None, "generation"),
        ("deliver.json", None, "batchItemFailures"),
    ],
)
def test_a_function_runs_under_aws_s_runtime(
    connected: Stack, emulator: Path, tmp_path: Path, event: str, status: int | None, expected: str
) -> None:
    log = tmp_path / "log"
    with runtime(connected, emulator, event.partition(".")[0], log) as url:
        response = send(url, event)
    # The emulator answers 200 on errors too: what it says is what counts.
    assert response.get("statusCode") == status, log.read_text(errors="replace")[-2000:]
    body = json.loads(response["body"])["outcome"] if status else response
    assert expected in body
    assert not response.get("batchItemFailures")
