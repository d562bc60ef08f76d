"""A local stack that is not connected, with an org as a customer has it."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.org import Org
from sandbox.org.sample import CLIENT_ID
from sandbox.stack import Stack
from tests.cli.deployed import account
from tests.cli.program import options_for
from tests.conftest import PATIENT

__all__ = ["account"]


@dataclass
class Local:
    """The stack, the org, and the options that lead the program there."""

    stack: Stack
    options: list[str]
    callback: str
    _app: Any = field(default=None)

    @property
    def org(self) -> Org:
        return self.stack.org

    @property
    def app(self) -> Any:
        """The app in Salesforce, to change its policies."""
        return self.org.oauth.apps[CLIENT_ID]

    def secret(self) -> dict[str, Any]:
        """What the secret holds; empty if nothing."""
        client = self.stack.client("secretsmanager")
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            response = client.get_secret_value(SecretId=self.stack.secret_id)
            value: dict[str, Any] = json.loads(response["SecretString"])
            return value
        return {}

    def versions(self) -> int:
        """How many versions the secret ever had."""
        client = self.stack.client("secretsmanager")
        response = client.list_secret_version_ids(
            SecretId=self.stack.secret_id, IncludeDeprecated=True
        )
        return len(response["Versions"])

    def forget_connection(self) -> None:
        """As after a deployment."""
        self.stack.client("secretsmanager").put_secret_value(
            SecretId=self.stack.secret_id, SecretString="{}"
        )
        ssm = self.stack.client("ssm")
        for name in (self.stack.token_parameter, self.stack.pending_parameter):
            with contextlib.suppress(ssm.exceptions.ParameterNotFound):
                ssm.delete_parameter(Name=name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def local_stack(org: Org, folder: Path) -> Iterator[Local]:
    """A running stack with this org, and the program's options for it."""
    with Stack(org=org, connected=False, poll=False, parameters=PATIENT) as stack:
        callback = f"http://localhost:{free_port()}/callback"
        app = org.oauth.apps[CLIENT_ID]
        app.callbacks = (callback, *app.callbacks)
        yield Local(stack, options_for(stack, folder), callback)


@pytest.fixture(scope="module")
def ready_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    yield from local_stack(Org.sample(), tmp_path_factory.mktemp("stack"))


@pytest.fixture
def ready(ready_stack: Local) -> Iterator[Local]:
    """An org that has everything; nothing is connected."""
    before = replace(ready_stack.app)
    yield ready_stack
    ready_stack.org.reset()
    ready_stack.org.oauth.apps[CLIENT_ID] = before
    ready_stack.org.oauth.revoke_all()
    ready_stack.forget_connection()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Local]:
    """An org without the key field and the permission set; nothing is connected."""
    yield from local_stack(Org.bare(), tmp_path)
