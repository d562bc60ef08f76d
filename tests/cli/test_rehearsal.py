"""`python -m sandbox --not-connected --bare`: an administrator's whole way, rehearsed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.person import Person, administrator
from tests.cli.program import run, running
from tests.ports import free_ports
from tools.template import ROOT


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Path, str, int]]:
    """The file of the running stack, its banner, and its first port."""
    file, port = tmp_path / "stack.json", free_ports()
    banner = tmp_path / "banner"
    with banner.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--port", str(port), "--not-connected", "--bare"],
            env={**os.environ, "BIRD_SALESFORCE_LOCAL_FILE": str(file)},
            cwd=ROOT,
            stdout=out,
        )
        try:
            until = time.monotonic() + 60
            while "next message" not in banner.read_text():
                assert process.poll() is None and time.monotonic() < until, banner.read_text()
                time.sleep(0.1)
            yield file, banner.read_text(), port
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@pytest.mark.timeout(180)
def test_from_a_bare_org_to_one_that_is_set_up(started: tuple[Path, str, int]) -> None:
    file, banner, port = started
    assert "Not connected to Salesforce: what is sent waits in the outbox." in banner
    assert "bird-salesforce connect --local" in banner
    assert "The org is bare: our fields and permission set are missing." in banner
    assert f"Controls     http://127.0.0.1:{port + 3} " in banner
    options = ("--local", "--local-file", str(file))
    assert run("status", *options).out.startswith("Not connected to Salesforce yet")
    callback = ("--no-browser", "--callback", "https://login.salesforce.com/")
    with running("connect", *options, *callback, "--setup-org", "--yes") as program:
        program.keyboard.type(Person().sign_in(program.address(1)).url)
        program.keyboard.type(administrator().sign_in(program.address(2)).url)
        result = program.result()
    assert result.status == 0, result.err
    assert "The org is set up" in result.err
    assert run("status", *options).out.startswith("All is well")
