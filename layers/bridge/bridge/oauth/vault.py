"""Where credentials and tokens are stored: the secret and two SecureString parameters."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from bridge.aws import cannot_decrypt
from bridge.errors import CredentialsLost, NotConnected
from bridge.oauth.access_token import CONNECT_HINT, AccessToken, is_token
from bridge.oauth.boto3_errors import BOTO3_ERRORS, as_aws_error
from bridge.oauth.grant import Credentials
from bridge.settings import Settings
from bridge.untrusted import read_json, read_text

if TYPE_CHECKING:
    from botocore.client import BaseClient

STORE_ATTEMPTS = 5
STORE_PATIENCE_SECONDS = 2.0
"""Attempts that took longer than this together mean an outage: the second place is used at once."""

READ_ATTEMPTS = 8
READ_PAUSE_SECONDS = 0.2
LONGEST_READ_PAUSE_SECONDS = 8.0
READ_PATIENCE_SECONDS = 25.0
"""How a parameter is read: SSM allows an account 40 reads a second, and callers whose token died
use them up. The pause doubles up to the longest, with jitter from half of it to all of it; after so
many attempts, or where they take longer than the patience because SSM hangs, the refresh fails."""

WRITE_ATTEMPTS = 3


class Vault:
    """The secret, the published access token, and a second place for a rotated refresh token."""

    def __init__(self, *, secrets: BaseClient, ssm: BaseClient, settings: Settings) -> None:
        self._secrets = secrets
        self._ssm = ssm
        self._settings = settings
        self._key = {"KeyId": settings.kms_key} if settings.kms_key else {}

    def credentials(self) -> Credentials:
        """The secret, with a pending refresh token in place of the one it replaces.

        Raises NotConnected if there is no value, CredentialsLost if the pending token cannot be
        decrypted.
        """
        try:
            secret = self._secrets.get_secret_value(SecretId=self._settings.credentials_secret)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                raise NotConnected("the secret has no value yet", hint=CONNECT_HINT) from error
            raise
        credentials = Credentials.parse(
            secret.get("SecretString") or "",
            version=secret["VersionId"],
            default_login_url=self._settings.login_url,
        )
        pending = read_json(self._pending() or "")
        if not isinstance(pending, dict) or not is_token(pending.get("refresh_token")):
            return credentials
        # The token is compared too: a person may have edited another key of the secret.
        if credentials.version == pending.get("secret_version") or (
            credentials.refresh_token and _fingerprint(credentials) == pending.get("replaces")
        ):
            trusted = read_text(pending, "trusted")
            return replace(
                credentials,
                refresh_token=pending["refresh_token"],
                trusted_token=trusted if is_token(trusted) else "",
            )
        return credentials

    def store_refresh_token(self, credentials: Credentials, refresh_token: str) -> Credentials:
        """Write a rotated refresh token, to the secret or else to the pending parameter.

        Nothing is written if the secret's version is no longer the one that was read: somebody has
        connected anew meanwhile, and the new connection counts. Raises CredentialsLost.
        """
        raw = {**credentials.raw, "refresh_token": refresh_token}
        started = time.monotonic()
        for attempt in range(STORE_ATTEMPTS):
            try:
                if self.version() != credentials.version:
                    return self.credentials()
                written = self._secrets.put_secret_value(
                    SecretId=self._settings.credentials_secret, SecretString=json.dumps(raw)
                )
                return replace(
                    credentials, refresh_token=refresh_token, version=written["VersionId"], raw=raw
                )
            except BOTO3_ERRORS as error:
                failure = error
                slow = time.monotonic() - started > STORE_PATIENCE_SECONDS
                if (attempt or slow) and self._store_pending(credentials, refresh_token):
                    return replace(credentials, refresh_token=refresh_token)
                time.sleep(random.uniform(0.5, 1.0) * 2**attempt / 4)
        raise CredentialsLost(
            "Salesforce rotated the refresh token and it could be stored nowhere. " + CONNECT_HINT
        ) from failure

    def keep_unsigned(self, credentials: Credentials, refresh_token: str) -> None:
        """Write a refresh token whose response's signature did not fit, beside the last trusted
        one. Only to the pending parameter: the secret keeps what it has."""
        trusted = credentials.trusted_token or credentials.refresh_token
        self._store_pending(credentials, refresh_token, trusted=trusted)

    def trust_again(self, credentials: Credentials) -> bool:
        """Go back to the last trusted refresh token; False if that could not be written."""
        return self._store_pending(credentials, credentials.trusted_token)

    def version(self) -> str:
        """The id of the secret's current version."""
        secret = self._secrets.get_secret_value(SecretId=self._settings.credentials_secret)
        return str(secret["VersionId"])

    def token(self) -> AccessToken | None:
        """The published access token. One that cannot be decrypted any more counts as none."""
        try:
            value = self._parameter(self._settings.token_parameter)
        except ClientError as error:
            if _cannot_decrypt(error):
                return None
            raise
        return AccessToken.parse(value) if value else None

    def publish(self, token: AccessToken) -> None:
        """Make an access token the one that everybody uses."""
        name, value = self._settings.token_parameter, token.dump()
        try:
            self._put(name, value)
        except ClientError as error:
            # An access token in JWT format may be longer than a standard parameter's 4 KB, and a
            # parameter that became an advanced one cannot become a standard one again (Systems
            # Manager, "Managing parameter tiers"; of the latter this code is not confirmed).
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            self._put(name, value, Tier="Advanced")

    def _store_pending(
        self, credentials: Credentials, refresh_token: str, *, trusted: str = ""
    ) -> bool:
        value = {
            "refresh_token": refresh_token,
            "secret_version": credentials.version,
            "replaces": _fingerprint(credentials),
        }
        if trusted:
            value["trusted"] = trusted
        try:
            self._put(self._settings.pending_parameter, json.dumps(value))
        except BOTO3_ERRORS:
            return False
        return True

    def _put(self, name: str, value: str, **tier: str) -> None:
        request = {"Name": name, "Value": value, "Type": "SecureString", "Overwrite": True}
        request |= {**self._key, **tier}
        _repeated(lambda: self._ssm.put_parameter(**request), attempts=WRITE_ATTEMPTS)

    def _pending(self) -> str | None:
        """The second place. It may hold the only refresh token that is still good, and using the
        one before would end the connection: so it does not count as empty."""
        try:
            return self._parameter(self._settings.pending_parameter)
        except ClientError as error:
            if not _cannot_decrypt(error):
                raise
            raise CredentialsLost(
                "the pending refresh token cannot be decrypted: name its key in the parameter "
                "PreviousKmsKeyArn. " + CONNECT_HINT
            ) from error

    def _parameter(self, name: str) -> str | None:
        try:
            response = _repeated(
                lambda: self._ssm.get_parameter(Name=name, WithDecryption=True),
                attempts=READ_ATTEMPTS,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise
        return str(response["Parameter"]["Value"])


def _repeated(call: Callable[[], Any], *, attempts: int) -> Any:
    """The result of a call of SSM, repeated while SSM throttles, fails or does not respond."""
    started, pause = time.monotonic(), READ_PAUSE_SECONDS
    for attempt in range(1, attempts + 1):
        try:
            return call()
        except (ClientError, BotoCoreError) as error:
            slow = time.monotonic() - started > READ_PATIENCE_SECONDS
            if attempt == attempts or slow or not as_aws_error(error).is_temporary:
                raise
        time.sleep(random.uniform(pause / 2, pause))
        pause = min(pause * 2, LONGEST_READ_PAUSE_SECONDS)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _cannot_decrypt(error: ClientError) -> bool:
    found = error.response.get("Error", {})
    return cannot_decrypt(str(found.get("Code")), str(found.get("Message")))


def _fingerprint(credentials: Credentials) -> str:
    """The hash of the refresh token that the secret itself holds."""
    held = str(credentials.raw.get("refresh_token") or "").strip()
    return hashlib.sha256(held.encode(errors="replace")).hexdigest()
