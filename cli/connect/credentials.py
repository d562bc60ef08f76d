"""The stored connection: the secret, the token, and the ways to change them without a race.

Whoever writes the secret holds RefreshToken's lease meanwhile, so that no refresh that is under way
can write an older connection over a newer one.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from bridge.errors import NotConnected
from bridge.oauth.access_token import AccessToken
from bridge.oauth.credentials import Credentials
from bridge.oauth.lease import Lease
from bridge.oauth.vault import Vault
from cli.deployment.stack import Stack
from cli.problem import Problem

LEASE_SECONDS = 30.0
LEASE_WAIT_SECONDS = 90.0
"""Longer than a killed refresh can keep the lease: RefreshToken's timeout and its margin."""

BUSY_ATTEMPTS = 10


class RefreshFailed(Problem):
    """RefreshToken could not get an access token with what is stored."""

    def __init__(self, what: str, *, next_step: str, error_type: str = "") -> None:
        super().__init__(what, next_step=next_step)
        self.error_type = error_type


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """What a new connection has taken the place of."""

    generation: int | None
    """Of the published access token, which is still the earlier connection's."""
    credentials: Credentials | None


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What RefreshToken answered."""

    generation: int
    refreshed: bool


class Connection:
    """The connection of one stack, as it is stored."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._secrets = stack.client("secretsmanager")
        self._ssm = stack.client("ssm")
        self._vault = Vault(secrets=self._secrets, ssm=self._ssm, settings=stack.settings)

    def credentials(self) -> Credentials | None:
        """What is stored; None if there is nothing that a token could be got with."""
        try:
            return self._vault.credentials()
        except NotConnected:
            return None

    def stored(self) -> dict[str, Any]:
        """The secret's own JSON, whatever it holds; empty if it holds none."""
        try:
            said = self._secrets.get_secret_value(SecretId=self._stack.settings.credentials_secret)
            found = json.loads(said.get("SecretString") or "{}")
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def token(self) -> AccessToken | None:
        """The access token that the functions use."""
        return self._vault.token()

    def store(self, value: dict[str, str]) -> Replaced:
        """Write the secret, keeping keys in it that are not ours. Nothing is written if nothing
        changes."""
        ours = {"login_url", "client_id", "client_secret", "refresh_token", "grant"}
        with self._alone():
            replaced = self.credentials()
            before = self.stored()
            kept = {name: one for name, one in before.items() if name not in ours}
            after = {**kept, **value}
            if after != before:
                self._secrets.put_secret_value(
                    SecretId=self._stack.settings.credentials_secret, SecretString=json.dumps(after)
                )
            self._delete_parameter(self._stack.settings.pending_parameter)
            token = self.token()
        return Replaced(generation=token.generation if token else None, credentials=replaced)

    def empty(self) -> None:
        """Take everything away: token, pending token, and the secret's value.

        The secret is written twice, so that the version before this one, which Secrets Manager
        keeps, holds nothing either.
        """
        settings = self._stack.settings
        with self._alone():
            for _ in range(2):
                self._secrets.put_secret_value(
                    SecretId=settings.credentials_secret, SecretString="{}"
                )
            self._delete_parameter(settings.pending_parameter)
            self._delete_parameter(settings.token_parameter)

    def refresh(self, refused_generation: int | None) -> Refreshed:
        """Have RefreshToken get a token newer than that one. Raises RefreshFailed."""
        payload = json.dumps({"refused_generation": refused_generation}).encode()
        client = self._stack.client("lambda")
        for attempt in range(BUSY_ATTEMPTS):
            answer = client.invoke(
                FunctionName=self._stack.settings.refresh_function, Payload=payload
            )
            said = json.loads(answer["Payload"].read() or b"{}")
            if answer.get("FunctionError"):
                raise _refresh_failed(said, self._stack)
            if said.get("connected") is False:
                raise RefreshFailed(
                    "RefreshToken says that nothing is connected.",
                    next_step=f"Run: bird-salesforce connect {self._stack.options()}",
                    error_type="NotConnected",
                )
            if "generation" in said:
                return Refreshed(
                    generation=int(said["generation"]), refreshed=bool(said.get("refreshed"))
                )
            time.sleep(min(0.5 * 1.5**attempt, 10))
        raise RefreshFailed(
            "RefreshToken is busy and does not come to an end.",
            next_step="Wait two minutes and run this again.",
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        lease = Lease(
            dynamodb=self._stack.client("dynamodb"), table=self._stack.settings.lease_table
        )
        until = time.monotonic() + LEASE_WAIT_SECONDS
        while not lease.take(seconds=LEASE_SECONDS):
            if time.monotonic() > until:
                raise Problem(
                    "A refresh of the token has been running for more than a minute.",
                    next_step="Run this again. If it stays so, look at RefreshToken's log.",
                )
            time.sleep(0.5)
        try:
            yield
        finally:
            lease.release()

    def _delete_parameter(self, name: str) -> None:
        try:
            self._ssm.delete_parameter(Name=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ParameterNotFound":
                raise


def _refresh_failed(said: dict[str, Any], stack: Stack) -> RefreshFailed:
    kind = str(said.get("errorType") or "")
    message = str(said.get("errorMessage") or "no reason was given")[:500]
    return RefreshFailed(
        f"RefreshToken could not get an access token: {message}",
        next_step=f"Look at its log: {stack.log_of('refresh-token')}",
        error_type=kind,
    )
