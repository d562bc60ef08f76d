"""The connection as it is stored in AWS: the secret, the access token, and how to change them.

Whoever writes the secret holds RefreshToken's lease meanwhile, so that a refresh that is running
cannot overwrite a newer connection with an older one.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from bridge.errors import CredentialsLost, NotConnected, Unavailable, named
from bridge.http import Http
from bridge.oauth.access_token import AccessToken
from bridge.oauth.grant import Credentials
from bridge.oauth.lease import Lease
from bridge.oauth.vault import Vault
from bridge.salesforce.client import soql_text
from bridge.untrusted import read_json
from cli.connect.oauth import read_identity
from cli.connect.sign_in_failures import SignInFailed
from cli.deployment.stack import Stack
from cli.org.client import Org, OrgProblem
from cli.problem import Problem

LEASE_SECONDS = 30.0
LEASE_WAIT_SECONDS = 90.0
"""Longer than a killed refresh can hold the lease: RefreshToken's timeout and its margin."""

BUSY_ATTEMPTS = 10


class RefreshFailed(Problem):
    """RefreshToken could not get an access token with what is stored."""

    def __init__(self, what: str, *, next_step: str = "", kind: str = "") -> None:
        """`kind`: the name of RefreshToken's own error."""
        super().__init__(what, next_step=next_step)
        self._kind = kind

    @property
    def is_outage(self) -> bool:
        return self._kind == Unavailable.__name__

    @property
    def calls_for_connecting(self) -> bool:
        """Not where AWS refused RefreshToken something."""
        return named(self._kind) is not None


class StoredConnection:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._secrets = stack.client("secretsmanager")
        self._ssm = stack.client("ssm")
        self._vault = Vault(secrets=self._secrets, ssm=self._ssm, settings=stack.settings)

    def credentials(self) -> Credentials | None:
        """The stored credentials; None if they are not enough to get a token."""
        try:
            return self._vault.credentials()
        except (NotConnected, CredentialsLost):
            return None

    def _value(self) -> str:
        """What the secret holds; empty if it has no version yet."""
        with contextlib.suppress(self._secrets.exceptions.ResourceNotFoundException):
            found = self._secrets.get_secret_value(SecretId=self._stack.settings.credentials_secret)
            return str(found.get("SecretString") or "").strip()
        return ""

    def secret(self) -> dict[str, Any]:
        """The secret's JSON, whatever it holds; empty if it holds none."""
        value = read_json(self._value())
        return value if isinstance(value, dict) else {}

    def has_value(self) -> bool:
        """Whether the secret holds anything; `disconnect` leaves an empty object."""
        return self._value() not in ("", "{}")

    def token(self) -> AccessToken | None:
        """The access token that the functions use."""
        return self._vault.token()

    def working_token(self, http: Http) -> AccessToken:
        """The access token, after one request to the org with it; renewed first if it does not
        work. Raises RefreshFailed, OrgProblem, SignInFailed."""
        token = self.token()
        if token is not None:
            try:
                org_of(token, self._stack, http).get("/")
                return token
            except OrgProblem as problem:
                if problem.status != 401:
                    raise
        token = self.refresh(token.generation if token else None)
        org_of(token, self._stack, http).get("/")
        return token

    def store(self, value: dict[str, str]) -> tuple[int | None, Credentials | None]:
        """Write the secret; keys of others in it stay. Nothing is written if nothing changes.

        The generation of the access token in use, which still belongs to the earlier connection,
        and that connection's credentials.
        """
        ours = {"login_url", "client_id", "client_secret", "refresh_token", "grant"}
        with self._lease():
            replaced = self.credentials()
            before = self.secret()
            after = {**{name: before[name] for name in before.keys() - ours}, **value}
            if after != before:
                self._put(after)
            self._delete_parameter(self._stack.settings.pending_parameter)
            token = self.token()
        return token.generation if token else None, replaced

    def empty(self) -> None:
        """Remove the access token, the pending refresh token, and the secret's value.

        The secret is written twice: Secrets Manager keeps the version before the current one, and
        that one must hold nothing either.
        """
        with self._lease():
            for _ in range(2):
                self._put({})
            self._delete_parameter(self._stack.settings.pending_parameter)
            self._delete_parameter(self._stack.settings.token_parameter)

    def _put(self, value: dict[str, Any]) -> None:
        self._secrets.put_secret_value(
            SecretId=self._stack.settings.credentials_secret, SecretString=json.dumps(value)
        )

    def refresh(self, refused_generation: int | None) -> AccessToken:
        """Make RefreshToken get a token that is newer than this one. Raises RefreshFailed."""
        see_log = f"Look at its log: {self._stack.log_of('refresh-token')}"
        payload = json.dumps({"refused_generation": refused_generation}).encode()
        client = self._stack.client("lambda")
        for attempt in range(BUSY_ATTEMPTS):
            response = client.invoke(
                FunctionName=self._stack.settings.refresh_function, Payload=payload
            )
            result = json.loads(response["Payload"].read() or b"{}")
            if response.get("FunctionError"):
                reason = str(result.get("errorMessage") or "it gave no reason")[:500]
                raise RefreshFailed(
                    f"RefreshToken could not get an access token: {reason}",
                    next_step=see_log,
                    kind=str(result.get("errorType")),
                )
            if result.get("connected") is False:
                raise RefreshFailed(
                    "RefreshToken finds no connection.",
                    next_step=f"Run: {self._stack.command('connect')}",
                    kind=NotConnected.__name__,
                )
            if "generation" in result:
                if token := self.token():
                    return token
                raise Problem("RefreshToken stored no access token.", next_step=see_log)
            time.sleep(min(0.5 * 1.5**attempt, 10))
        raise RefreshFailed(
            "Another refresh is running and does not end.",
            next_step="Wait two minutes and run this again.",
        )

    @contextlib.contextmanager
    def _lease(self) -> Iterator[None]:
        lease = Lease(
            dynamodb=self._stack.client("dynamodb"), table=self._stack.settings.lease_table
        )
        until = time.monotonic() + LEASE_WAIT_SECONDS
        while not lease.take(seconds=LEASE_SECONDS):
            if time.monotonic() > until:
                raise Problem(
                    "A refresh of the token has been running for more than a minute.",
                    next_step="Run this again. If it stays so, look at RefreshToken's log: "
                    + self._stack.log_of("refresh-token"),
                )
            time.sleep(0.5)
        try:
            yield
        finally:
            lease.release()

    def _delete_parameter(self, name: str) -> None:
        with contextlib.suppress(self._ssm.exceptions.ParameterNotFound):
            self._ssm.delete_parameter(Name=name)


def org_of(token: AccessToken, stack: Stack, http: Http) -> Org:
    """The org that a token is for. Raises SignInFailed if its address is not to be trusted."""
    if not stack.settings.trusts(token.instance_url):
        raise SignInFailed("untrusted_instance", detail=urlsplit(token.instance_url).netloc)
    return Org(http=http, session=token.session, api_version=stack.settings.api_version)


def describe_identity(token: AccessToken, stack: Stack, http: Http) -> str:
    """`bird@example.com in the org Acme`; the ids where the names may not be read, and `Salesforce`
    where the token names nobody."""
    identity = read_identity(token.id)
    if identity is None:
        return "Salesforce"

    def name(soql: str) -> str:
        with contextlib.suppress(OrgProblem):
            for row in org_of(token, stack, http).query(soql):
                return next((str(row[one] or "") for one in row if one != "attributes"), "")
        return ""

    user = name("SELECT Username FROM User WHERE Id = " + soql_text(identity.user_id))
    org = name("SELECT Name FROM Organization")
    return f"{user or f'user {identity.user_id}'} in the org {org or identity.org_id}"
