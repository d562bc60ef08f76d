"""(3) INIT and invocation under AWS's own runtime: its interface client and its emulator.

The emulator ships inside the SAM CLI, which `make build` installs. The client is fetched for
Python 3.13, the functions' runtime, into .local/ the first time.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import urllib3

from bench.cold import EVENTS, fresh_event
from bench.layer import copy_layer, function_folder
from bench.other_side import OtherSide
from tools.template import ROOT

MACHINE = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "none")
CLIENTS = ROOT / ".local/bench/awslambdaric-3.13"
_INIT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
_INVOKE = re.compile(r"REPORT RequestId.*?\tDuration: ([0-9.]+) ms")


class NotMeasured(Exception):
    """Something is not on this machine; the message says what, and how to get it."""


def find_python() -> str:
    """Python 3.13. Raises NotMeasured."""
    candidates = [shutil.which("python3.13"), *_of_pyenv()]
    if sys.version_info[:2] == (3, 13):
        candidates.insert(0, sys.executable)
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            # A pyenv shim is there for every version and starts only those that are chosen.
            done = subprocess.run(
                [candidate, "-c", "import pip"], capture_output=True, timeout=30, check=False
            )
            if done.returncode == 0:
                return candidate
    raise NotMeasured("no Python 3.13 with pip is on this machine")


def _of_pyenv() -> list[str]:
    return [str(path) for path in Path.home().glob(".pyenv/versions/3.13*/bin/python3.13")]


def fetch_client(python: str) -> Path:
    """awslambdaric for that Python, as pinned for the tests. Raises NotMeasured."""
    if not (CLIENTS / "awslambdaric").is_dir():
        wanted = f"awslambdaric=={version('awslambdaric')}"
        pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
        done = subprocess.run(
            [*pip, "--only-binary", ":all:", "--target", str(CLIENTS), wanted],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode != 0:
            raise NotMeasured(f"{wanted} cannot be installed: {done.stderr.strip()[-200:]}")
    return CLIENTS


def measure(other: OtherSide, folder: Path, *, starts: int) -> Any:
    """By function: milliseconds of INIT, of the first and of later invocations. NotMeasured."""
    if sys.platform != "linux":
        raise NotMeasured("the emulator runs on Linux only")
    found = sorted(ROOT.glob(f".venv-sam/lib/*/site-packages/samcli/local/rapid/*-rie-{MACHINE}"))
    if not found:
        raise NotMeasured("no Runtime Interface Emulator: make build installs it")
    emulator = Path(shutil.copy(found[0], folder / "aws-lambda-rie"))
    emulator.chmod(0o755)
    python = find_python()
    client = fetch_client(python)
    told: dict[str, Any] = {}
    for label, bytecode in (("with bytecode", True), ("without bytecode", False)):
        layer = copy_layer(folder / f"rie-{bytecode}", python=python, bytecode=bytecode)
        for name in ("create_lead", "create_case"):
            runs = [
                _start(other, folder, emulator, python, (layer, client), name, number)
                # The first start fills the file system's cache.
                for number in range(starts + 1)
            ][1:]
            told[f"{name} {label}"] = {
                what: statistics.median(values)
                for what, values in zip(
                    ("init", "first", "warm"), zip(*runs, strict=True), strict=True
                )
            }
    return told


def _start(
    other: OtherSide,
    folder: Path,
    emulator: Path,
    python: str,
    path: tuple[Path, Path],
    name: str,
    number: int,
) -> tuple[float, float, float]:
    """One cold start and a few invocations: INIT, first, and the median of the others."""
    layer, client = path
    port, api_port = _free_port(), _free_port()
    environ = dict(other.environments[name])
    environ.pop("AWS_LAMBDA_RUNTIME_API")
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    environ["AWS_LAMBDA_FUNCTION_TIMEOUT"] = "20"
    environ["PYTHONPATH"] = os.pathsep.join(map(str, (function_folder(layer, name), layer, client)))
    log = folder / f"rie-{name}-{number}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                str(emulator),
                *("--log-level", "info"),
                *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
                *("--runtime-api-address", f"127.0.0.1:{api_port}"),
                *(python, "-m", "awslambdaric", environ["_HANDLER"]),
            ],
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(port)
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        for again in range(4):
            event = fresh_event(name, folder, again).read_bytes()
            answer = urllib3.request("POST", url, body=event, timeout=30, retries=False)
            # The emulator answers 200 on errors too.
            if EVENTS[name][1] not in answer.data.decode():
                raise RuntimeError(f"{name}: {answer.data[:500]!r}")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
    text = log.read_text(errors="replace")
    init = _INIT.search(text)
    invoked = [float(found) for found in _INVOKE.findall(text)]
    if init is None or len(invoked) < 2:
        raise RuntimeError(f"the emulator told no durations:\n{text[-1500:]}")
    return float(init[1]), invoked[0], statistics.median(invoked[1:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
