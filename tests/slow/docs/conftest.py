"""A stack that is called and reached as a deployed one, and somebody who follows the docs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.endpoint import REGION
from sandbox.org import Org
from sandbox.org.sample import CLIENT_ID
from sandbox.stack import Stack
from tests.conftest import PATIENT
from tests.slow.docs.shell import Shell
from tests.stacks import empty_queues, renew_token

STACK_NAME = "bird-salesforce"
"""What the pages call it."""


@dataclass
class World:
    """The stack, where somebody is who follows the docs, and a terminal in which nothing has been
    typed yet."""

    stack: Stack
    folder: Path

    def __post_init__(self) -> None:
        self.environ = {
            # What `aws configure` would have set, but that AWS is on this machine.
            "AWS_ENDPOINT_URL": self.stack.aws_endpoint,
            **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "local"),
            "AWS_DEFAULT_REGION": REGION,
            **dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), "/dev/null"),
            "AWS_PAGER": "",
        }
        self.shell = Shell(self.folder, self.environ)

    @property
    def org(self) -> Org:
        return self.stack.org

    def output(self, name: str) -> str:
        """One of the stack's outputs."""
        return self.stack.deployment.outputs[name]

    def key_works(self, value: str) -> bool:
        """Whether a flow with this API key is let in."""
        return self.stack.request("GET", "/leads/nobody", api_key=value).status == 404

    def lead(self, key: str) -> Any:
        """A flow's call; the body of the response."""
        bird = {"channel": "whatsapp", "messageId": key, "displayName": "Ada Okafor"}
        return self.stack.request("POST", "/leads", {"bird": bird}).json()

    def secret(self) -> dict[str, str]:
        """What the secret holds; empty if nothing."""
        try:
            return self.stack.credentials()
        except ClientError:
            return {}

    def is_connected(self) -> bool:
        """Whether Salesforce honours what is stored."""
        secret = self.secret()
        return secret.get("client_secret") == self.org.oauth.apps[
            CLIENT_ID
        ].client_secret and self.org.connected(secret.get("refresh_token", ""))


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with Stack(poll=False, stack_name=STACK_NAME, parameters=PATIENT) as stack:
        stack.tick()
        yield stack


@pytest.fixture
def world(running: Stack, tmp_path: Path) -> World:
    """Connected, with nothing in it and nothing wrong."""
    running.aws.heal()
    running.org.reset()
    empty_queues(running)
    world = World(running, tmp_path)
    if not world.is_connected():
        running.connect()
        # What was disconnected is remembered for a while.
        for function in running.functions.values():
            function.recycle()
    assert not renew_token(running).failed
    return world


@contextlib.contextmanager
def all_the_time(do: Callable[[], object], *, seconds: float = 0.2) -> Iterator[None]:
    """Again and again in another thread, inside the `with` block."""
    ended = threading.Event()

    def again() -> None:
        while not ended.wait(seconds):
            do()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
