"""The job of RefreshToken, the only function that uses the refresh token.

At most one refresh runs at a time, by a lease: of two at once with the same refresh token one fails
at Salesforce, and under rotation a replayed one revokes everything. A new refresh token is stored
before the access token that came with it is published, so that the credentials of a published token
are never lost. Nothing is read before the lease is taken: a run that does not get it costs none of
the reads that SSM allows (docs/adr/0076).

Source: Salesforce Help, "OAuth 2.0 Refresh Token Flow", "Refresh Token Rotation".
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    CredentialsLost,
    CredentialsRevoked,
    NotConnected,
    Unavailable,
)
from bridge.http import Http, HttpError
from bridge.oauth.access_token import CONNECT_HINT, AccessToken
from bridge.oauth.boto3_errors import BOTO3_ERRORS, as_aws_error
from bridge.oauth.grant import Credentials, Grant, GrantRefused, SignatureMismatch, read_grant
from bridge.oauth.lease import Lease
from bridge.oauth.vault import Vault
from bridge.settings import Settings
from bridge.telemetry import Telemetry

if TYPE_CHECKING:
    from botocore.client import BaseClient

GRANT_SECONDS = 15.0
"""How long Salesforce may take for one token response."""

STORE_SECONDS = 10.0
"""Time kept back for storing: a response may hold a rotated refresh token."""

GRANT_ATTEMPTS = 4
CREDENTIALS_ATTEMPTS = 3
"""How often a refresh begins again because the credentials changed meanwhile."""


class TokenRefresher:
    """Gets a new access token if one is due, and only one at a time."""

    def __init__(
        self,
        *,
        http: Http,
        vault: Vault,
        dynamodb: BaseClient,
        settings: Settings,
        telemetry: Telemetry,
    ) -> None:
        self._http = http
        self._vault = vault
        self._dynamodb = dynamodb
        self._settings = settings
        self._telemetry = telemetry

    def run(self, event: Any, *, seconds: float) -> dict[str, Any]:
        """Serve the schedule (any event) or a function (`{"refused_generation": n or null}`).

        `seconds` is what is left of the invocation. Returns `generation` and `refreshed`, to a
        function also the `token` as it is stored, so that it need not read it; or `busy` if another
        run has the lease, and then nothing was read; or `connected: false` if there are no
        credentials, which is a state and no error. Raises what the alarm should see:
        CredentialsRevoked, CredentialsLost, Unavailable, AwsError.
        """
        by_function = isinstance(event, dict) and "refused_generation" in event
        refused = event["refused_generation"] if by_function else None
        refused = refused if isinstance(refused, int) else None
        try:
            return self._run_if_due(by_function=by_function, refused=refused, seconds=seconds)
        except NotConnected as state:
            self._telemetry.event("not_connected", code=state.code, fields=state.fields)
            self._telemetry.count("TokenNotConnected")
            return {"connected": False}
        except BridgeError as error:
            self._report(error)
            raise
        except BOTO3_ERRORS as error:
            failure = as_aws_error(error)
            self._report(failure)
            raise failure from error

    def _report(self, error: BridgeError) -> None:
        permanent = isinstance(error, (CredentialsRevoked, CredentialsLost, SignatureMismatch))
        self._telemetry.alarm("token_refresh_failed", error=error, permanent=permanent)
        self._telemetry.count("TokenRefreshFailed")
        if permanent:
            self._telemetry.count("TokenRefreshFailedPermanently")

    def _run_if_due(
        self, *, by_function: bool, refused: int | None, seconds: float
    ) -> dict[str, Any]:
        deadline = Deadline.after(seconds)
        lease = Lease(dynamodb=self._dynamodb, table=self._settings.lease_table)
        if not lease.take(seconds=seconds):
            return {"busy": True}
        try:
            published = self._vault.token()
            due = published is None or self._is_due(published, by_function, refused)
            token = self._refresh(lease, deadline, published) if due else published
        finally:
            lease.release()
        if token is None:
            return {"busy": True}
        if due:
            self._telemetry.event("token_refreshed", generation=token.generation)
            self._telemetry.count("TokenRefreshed")
        result: dict[str, Any] = {"generation": token.generation, "refreshed": due}
        return {**result, "token": token.dump()} if by_function else result

    def _is_due(self, token: AccessToken, by_function: bool, refused: int | None) -> bool:
        """Whether the published token is not good enough: not newer than the refused one, or old.

        A scheduled run skips a token younger than half the interval: a function was refused a
        moment ago and had it renewed.
        """
        age = token.age_seconds(time.time())
        self._telemetry.measure_age("TokenAge", age)
        if by_function:
            good = refused is None or token.generation > refused
        else:
            good = 0 <= age < self._settings.refresh_minutes * 60 / 2
        return not good or not self._settings.trusts(token.instance_url)

    def _refresh(
        self, lease: Lease, deadline: Deadline, previous: AccessToken | None
    ) -> AccessToken | None:
        """Get a grant, store a rotated refresh token, publish. None: the lease was lost."""
        for _ in range(CREDENTIALS_ATTEMPTS):
            credentials = self._vault.credentials()
            grant = self._grant(credentials, previous, deadline)
            if grant is None:
                continue
            token = grant.token
            stored = credentials
            if grant.refresh_token and grant.refresh_token != credentials.refresh_token:
                stored = self._vault.store_refresh_token(credentials, grant.refresh_token)
                if stored.refresh_token != grant.refresh_token:
                    continue
            if not self._settings.trusts(token.instance_url):
                raise CredentialsRevoked(
                    "Salesforce names an instance URL outside its own domains; if it is right, "
                    "name its host in the parameter AllowInsecureHosts",
                    code="UNTRUSTED_INSTANCE_URL",
                )
            if not lease.keep(seconds=deadline.remaining()):
                return None
            if self._vault.version() != stored.version:
                continue
            self._vault.publish(token)
            return token
        raise Unavailable("the credentials keep changing", code="CREDENTIALS_CHANGING")

    def _grant(
        self, credentials: Credentials, previous: AccessToken | None, deadline: Deadline
    ) -> Grant | None:
        """Request a token, again after passing trouble. None: the stored credentials changed."""
        if not self._settings.trusts_login(credentials.login_url):
            raise CredentialsRevoked(
                "the login URL in the secret is not https; " + CONNECT_HINT,
                code="UNTRUSTED_LOGIN_URL",
            )
        for attempt in range(GRANT_ATTEMPTS):
            try:
                response = self._http.send(
                    "POST",
                    credentials.login_url + "/services/oauth2/token",
                    headers={
                        "Content-Type": "application/x-www-form-urlencoded",
                        "Accept": "application/json",
                    },
                    body=urlencode(credentials.form()).encode(),
                    deadline=min(deadline.sooner(STORE_SECONDS), Deadline.after(GRANT_SECONDS)),
                )
                return read_grant(
                    response, credentials=credentials, previous=previous, now=time.time()
                )
            except GrantRefused as refusal:
                if refusal.hint:
                    # Somebody may have rotated the refresh token or connected anew meanwhile.
                    if self._vault.credentials() != credentials:
                        return None
                    untrusted = credentials.trusted_token and refusal.is_about_the_token
                    if untrusted and self._vault.trust_again(credentials):
                        return None
                    raise CredentialsRevoked(
                        f"Salesforce refuses the credentials: {refusal.text}. {refusal.hint}",
                        code=refusal.error,
                    ) from refusal
                trouble: BridgeError = Unavailable(
                    f"the token endpoint reports {refusal.text}", code=refusal.error
                )
            except SignatureMismatch as mismatch:
                rotated = mismatch.refresh_token
                if rotated and rotated != credentials.refresh_token:
                    self._vault.keep_unsigned(credentials, rotated)
                raise
            except HttpError as error:
                trouble = Unavailable(str(error), code=error.code)
                trouble.__cause__ = error
            except Unavailable as error:
                trouble = error
            pause = random.uniform(0.5, 1.0) * 2**attempt
            if attempt == GRANT_ATTEMPTS - 1 or deadline.remaining() < pause + STORE_SECONDS + 2:
                break
            time.sleep(pause)
            if self._vault.credentials() != credentials:
                return None
        raise trouble
