"""A stack that is called and reached as a deployed one, and somebody who follows the docs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

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
    """The stack, where somebody is who follows the docs, and what their terminal knows."""

    stack: Stack
    folder: Path
    _shell: Shell | None = field(default=None)

    @property
    def org(self) -> Org:
        return self.stack.org

    @property
    def environ(self) -> dict[str, str]:
        """What `aws configure` would have set, but that AWS is on this machine."""
        return {
            "AWS_ENDPOINT_URL": self.stack.aws_endpoint,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_PAGER": "",
        }

    @property
    def shell(self) -> Shell:
        assert self._shell is not None
        return self._shell

    def output(self, name: str) -> str:
        """One of the stack's outputs."""
        return self.stack.deployment.outputs[name]

    def key_works(self, value: str) -> bool:
        """Whether a flow with this API key is let in."""
        return self.stack.request("GET", "/leads/nobody", api_key=value).status == 404

    def lead(self, key: str, **more: Any) -> Any:
        """A flow's call; the body of the response."""
        bird = {"channel": "whatsapp", "messageId": key, "displayName": "Ada Okafor"}
        return self.stack.request("POST", "/leads", {"bird": bird, **more}).json()

    def calm(self) -> None:
        """Connected, with nothing in it and nothing wrong."""
        self.stack.aws.heal()
        self.org.reset()
        empty_queues(self.stack)
        if not self.is_connected():
            self.stack.connect()
            # What was disconnected is remembered for a while.
            for function in self.stack.functions.values():
                function.recycle()
        assert not renew_token(self.stack).failed

    def secret(self) -> dict[str, Any]:
        """What the secret holds; empty if nothing."""
        client = self.stack.client("secretsmanager")
        try:
            stored = client.get_secret_value(SecretId=self.stack.secret_id)["SecretString"]
        except client.exceptions.ClientError:
            return {}
        found: dict[str, Any] = json.loads(stored)
        return found

    def is_connected(self) -> bool:
        """Whether Salesforce honours what is stored."""
        secret = self.secret()
        app = self.org.oauth.apps[CLIENT_ID]
        return (
            secret.get("client_secret") == app.client_secret
            and bool(secret.get("refresh_token"))
            and self.org.connected(secret["refresh_token"])
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Stack(poll=False, stack_name=STACK_NAME, parameters=PATIENT) as stack:
        stack.tick()
        yield World(stack, tmp_path_factory.mktemp("reader"))


@pytest.fixture
def world(running: World) -> Iterator[World]:
    """Quiet and connected, with a terminal in which nothing has been typed yet."""
    running.calm()
    with Shell(running.folder, running.environ) as shell:
        running._shell = shell
        yield running
