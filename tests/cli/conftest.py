"""A local stack that is not connected, with an org as a customer has it."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.org import Org
from sandbox.org.sample import CLIENT_ID
from sandbox.stack import Stack
from tests.cli.deployed import account
from tests.cli.program import options_for
from tests.conftest import PATIENT
from tests.stacks import empty_queues, renew_token, replace_org

__all__ = ["account"]


@dataclass
class Local:
    """The stack, the org, and the options that lead the program there."""

    stack: Stack
    options: list[str]
    callback: str

    @property
    def org(self) -> Org:
        return self.stack.org

    @property
    def app(self) -> Any:
        """The app in Salesforce, to change its policies."""
        return self.org.oauth.apps[CLIENT_ID]

    def allow_callback(self) -> None:
        self.app.callbacks = (self.callback, *self.app.callbacks)

    def use_org(self, org: Org) -> None:
        """Another org in place of this one, as before anything happened."""
        replace_org(self.stack, org)
        self.allow_callback()
        self.forget_connection()
        empty_queues(self.stack)
        for function in self.stack.functions.values():
            function.recycle()

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
        local = Local(stack, options_for(stack, folder), f"http://localhost:{free_port()}/callback")
        local.allow_callback()
        yield local


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
def bare(ready_stack: Local) -> Iterator[Local]:
    """An org without the key field and the permission set; nothing is connected."""
    ready_stack.use_org(Org.bare())
    yield ready_stack
    ready_stack.use_org(Org.sample())


@pytest.fixture
def connected(ready: Local) -> Local:
    """A stack that is connected and has its first token."""
    ready.stack.connect()
    renew_token(ready.stack)
    for name in ("create_lead", "create_case"):
        # A process that was used before remembers for some seconds that nothing was connected.
        ready.stack.functions[name].recycle()
    return ready


@pytest.fixture
def own_org(connected: Local) -> Iterator[Local]:
    """The same, for a test that changes the org's set-up: it has another one afterwards."""
    yield connected
    connected.use_org(Org.sample())


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A connected stack with the module's own PARAMETERS, which delivers nothing by itself."""
    parameters = {**PATIENT, **getattr(request.module, "PARAMETERS", {})}
    with Stack(poll=False, parameters=parameters) as stack:
        stack.tick()
        yield stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    """The same, which every test finds empty."""
    yield running
    running.aws.heal()
    running.org.reset()
    empty_queues(running)
    for function in running.functions.values():
        function.log.write_text("")


@pytest.fixture
def options(stack: Stack, tmp_path: Path) -> list[str]:
    """The options that lead the program to that stack."""
    return options_for(stack, tmp_path)


@contextlib.contextmanager
def file_changed(local: Local, name: str, change: Callable[[str], str]) -> Iterator[None]:
    """One of the files that lead the program to the stack, changed for a while."""
    file = Path(local.options[local.options.index("--local-file") + 1]).with_name(name)
    text = file.read_text(encoding="utf-8")
    assert change(text) != text
    file.write_text(change(text), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(text, encoding="utf-8")


def deployed_with(local: Local, **variables: str) -> AbstractContextManager[None]:
    """The stack as the program would see it with other parameters."""

    def change(text: str) -> str:
        environments = json.loads(text)
        environments["RefreshToken"].update(variables)
        return json.dumps(environments)

    return file_changed(local, "env.json", change)
