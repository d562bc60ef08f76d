"""How a new access token is got: the only code that touches the refresh token.

At most one refresh runs at a time, by a lease: two at once with the same refresh token fail at
Salesforce, and under rotation a replayed one revokes everything. A new refresh token is stored
before the access token that came with it is published, so that no published token's credentials
can be lost. Source: Salesforce Help, "OAuth 2.0 Refresh Token Flow", "Refresh Token Rotation".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from botocore.exceptions import BotoCoreError, ClientError

from bridge.aws import AwsError
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    CredentialsLost,
    CredentialsRevoked,
    NotConnected,
    Unavailable,
)
from bridge.http import Answer, Http, HttpError
from bridge.oauth.sessions import CONNECT_HINT, AccessToken, is_token
from bridge.salesforce.error_codes import (
    MEANINGS,
    OTHER_ERROR,
    GrantFailure,
    grant_failure,
    told_of_grant,
)
from bridge.salesforce.responses import read_faults
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from bridge.untrusted import read_json, read_text

if TYPE_CHECKING:
    from botocore.client import BaseClient

GRANT_SECONDS = 15.0
"""How long Salesforce may take for one token answer."""

STORE_SECONDS = 10.0
"""Kept back from asking: an answer that comes too late to be stored may hold a rotated token."""

GRANT_ATTEMPTS = 4
STORE_ATTEMPTS = 5
STORE_PATIENCE_SECONDS = 2.0
"""A failure that took longer is an outage, not a refusal: the second place is used at once."""

AWS_TROUBLE = (ClientError, BotoCoreError, AttributeError, LookupError, ValueError)
"""What a boto3 call may end in: of an answer that cannot be read boto3 raises what it stumbles
over, and of one that lacks something we do. A rotated refresh token must outlive that too."""

LEASE_MARGIN_SECONDS = 10
"""The lease outlives the function by this: a killed run is not overtaken while it still sends."""


class SignatureMismatch(Unavailable):
    """The token answer's signature does not fit: it was not made with our consumer secret.

    `refresh_token` is a new one that the answer held, if it was for the same user as before: that
    one may be the only one left (docs/adr/0025-an-unsigned-refresh-token-is-kept.md).
    """

    code = "SIGNATURE_MISMATCH"

    def __init__(self, message: str, *, refresh_token: str = "") -> None:
        super().__init__(message)
        self.refresh_token = refresh_token


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What the secret holds. `version` is the secret version that it was read from."""

    login_url: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False, default="")
    grant: str = "refresh_token"
    trusted_token: str = field(repr=False, default="")
    """Where `refresh_token` came in an answer whose signature did not fit: the last one before it
    that did not."""
    version: str = ""
    raw: Mapping[str, Any] = field(repr=False, default_factory=dict)
    """The whole JSON, so that keys we do not know survive a rewrite."""

    @classmethod
    def parse(cls, text: str, *, version: str, default_login_url: str) -> Credentials:
        """Read the secret's JSON. Raises NotConnected if it does not hold what a grant needs."""
        # A file that some editors wrote, and that a person stored whole, begins with this mark.
        said = read_json(text.removeprefix("\ufeff"))
        if not isinstance(said, dict):
            raise NotConnected("the secret is empty", hint=CONNECT_HINT)

        def value(name: str) -> str:
            # Half a character can be sent to nobody: a secret with one was not written by anybody.
            return _text(said, name).strip()

        refresh_token = value("refresh_token")
        grant = "refresh_token"
        if not refresh_token and value("grant") == "client_credentials":
            grant = "client_credentials"
        credentials = cls(
            login_url=(value("login_url") or default_login_url).rstrip("/"),
            client_id=value("client_id"),
            client_secret=value("client_secret"),
            refresh_token=refresh_token,
            grant=grant,
            version=version,
            raw=said,
        )
        missing = [
            name
            for name in ("client_id", "client_secret", "refresh_token")
            if not getattr(credentials, name)
            and not (name == "refresh_token" and grant == "client_credentials")
            and not (name == "client_secret" and grant == "refresh_token")
        ]
        if missing:
            raise NotConnected(f"the secret lacks {', '.join(missing)}", hint=CONNECT_HINT)
        return credentials

    def form(self) -> dict[str, str]:
        """The body of the token request."""
        form = {"grant_type": self.grant, "client_id": self.client_id, "format": "json"}
        if self.client_secret:
            form["client_secret"] = self.client_secret
        if self.grant == "refresh_token":
            form["refresh_token"] = self.refresh_token
        return form


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A token answer that was accepted."""

    token: AccessToken
    refresh_token: str = field(repr=False, default="")
    """A new one, under rotation; else empty."""


class GrantRefused(BridgeError):
    """Salesforce refused a token request; `failure` says whether for good.

    `description` is Salesforce's own where it is a known one, else empty.
    """

    def __init__(self, error: str, description: str, failure: GrantFailure) -> None:
        self.said = f"{error} ({description})" if description else error
        super().__init__(self.said)
        self.error = error
        self.description = description
        self.failure = failure

    @property
    def is_about_the_token(self) -> bool:
        """Whether it is the refresh token that is refused, not the app, the user or the place."""
        expired = self.description in ("", "expired access/refresh token")
        return self.error == "invalid_grant" and expired


def read_grant(
    answer: Answer, *, credentials: Credentials, previous: AccessToken | None, now: float
) -> Grant:
    """Read a token answer. Raises GrantRefused, SignatureMismatch, Unavailable.

    `instance_url` is kept from the previous token where the answer lacks it. The token endpoint may
    answer with a REST error list too (REQUEST_LIMIT_EXCEEDED), or form-encoded.
    """
    said = read_json(answer.body)
    if answer.status == 200 and not isinstance(said, dict):
        pairs = parse_qs(answer.body.decode("utf-8", "replace"))
        said = {name: values[0] for name, values in pairs.items()}
    success = 200 <= answer.status < 300
    if success and isinstance(said, dict) and is_token(said.get("access_token")):
        return _accept(said, credentials=credentials, previous=previous, now=now)
    if isinstance(said, dict) and isinstance(said.get("error"), str):
        error, description = told_of_grant(said["error"], _text(said, "error_description"))
        raise GrantRefused(error, description, grant_failure(error, description, answer.status))
    faults = read_faults(said, status=answer.status)
    if faults:
        code = faults[0].code if faults[0].code in MEANINGS else OTHER_ERROR
        raise GrantRefused(code, "", GrantFailure(False, "It is tried again."))
    raise Unavailable(
        f"the token endpoint answers with HTTP {answer.status} and no token",
        code=f"HTTP_{answer.status}",
    )


def _accept(
    said: Mapping[str, Any], *, credentials: Credentials, previous: AccessToken | None, now: float
) -> Grant:
    identity, issued_at = _text(said, "id"), _text(said, "issued_at")
    refresh_token = _text(said, "refresh_token").strip()
    # What is no token must not take the place of one that is.
    refresh_token = refresh_token if is_token(refresh_token) else ""
    signature = said.get("signature")
    if signature and credentials.client_secret:
        expected = hmac.digest(
            credentials.client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256
        )
        given = _text(said, "signature").encode()
        if not hmac.compare_digest(base64.b64encode(expected), given):
            ours = not previous or not previous.id or previous.id == identity
            raise SignatureMismatch(
                "the token answer's signature does not fit the consumer secret",
                refresh_token=refresh_token if ours else "",
            )
    instance_url = _text(said, "instance_url").rstrip("/")
    if not instance_url:
        instance_url = previous.instance_url if previous else credentials.login_url
    return Grant(
        token=AccessToken(
            access_token=said["access_token"],
            instance_url=instance_url,
            issued_at=issued_at or str(int(now * 1000)),
            scope=_text(said, "scope") or (previous.scope if previous else ""),
            id=identity,
            generation=(previous.generation if previous else 0) + 1,
        ),
        refresh_token=refresh_token,
    )


def _text(said: Mapping[str, Any], name: str) -> str:
    text = read_text(said, name)
    return text if _is_whole(text) else ""


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Lease:
    """At most one refresh at a time: one item of a DynamoDB table, written on a condition."""

    def __init__(self, *, dynamodb: BaseClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._owner = uuid.uuid4().hex

    def take(self, *, seconds: float) -> bool:
        """Take it if nobody has it, or if whoever had it has outlived it.

        Or if it is ours already: an answer may be lost, and boto3 asks again.
        """
        now = int(time.time())
        return self._put_if(
            "attribute_not_exists(expires_at) OR expires_at < :now OR owner_id = :owner",
            {":now": {"N": str(now)}, ":owner": {"S": self._owner}},
            expires_at=now + int(seconds) + LEASE_MARGIN_SECONDS,
        )

    def keep(self, *, seconds: float) -> bool:
        """Whether it is still ours; then it is renewed."""
        expires_at = int(time.time()) + int(seconds) + LEASE_MARGIN_SECONDS
        return self._put_if(
            "owner_id = :owner", {":owner": {"S": self._owner}}, expires_at=expires_at
        )

    def release(self) -> None:
        """Give it back; if that fails it runs out by itself."""
        try:
            self._dynamodb.delete_item(
                TableName=self._table,
                Key={"name": {"S": "refresh"}},
                ConditionExpression="owner_id = :owner",
                ExpressionAttributeValues={":owner": {"S": self._owner}},
            )
        except AWS_TROUBLE:
            return

    def _put_if(self, condition: str, values: Mapping[str, Any], *, expires_at: int) -> bool:
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "name": {"S": "refresh"},
                    "owner_id": {"S": self._owner},
                    "expires_at": {"N": str(expires_at)},
                },
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True


class Vault:
    """The secret, the token parameter, and the second place for a refresh token."""

    def __init__(self, *, secrets: BaseClient, ssm: BaseClient, settings: Settings) -> None:
        self._secrets = secrets
        self._ssm = ssm
        self._settings = settings
        self._key = {"KeyId": settings.kms_key} if settings.kms_key else {}

    def credentials(self) -> Credentials:
        """The secret, with a pending refresh token in place of the one it replaces.

        Raises NotConnected if there is no value.
        """
        try:
            said = self._secrets.get_secret_value(SecretId=self._settings.credentials_secret)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                raise NotConnected("the secret has no value yet", hint=CONNECT_HINT) from error
            raise
        credentials = Credentials.parse(
            said.get("SecretString") or "",
            version=said["VersionId"],
            default_login_url=self._settings.login_url,
        )
        pending = read_json(self._parameter(self._settings.pending_parameter) or "")
        if not isinstance(pending, dict) or not is_token(pending.get("refresh_token")):
            return credentials
        # A person may edit another key of the secret meanwhile: the token tells, not the version.
        if credentials.version == pending.get("secret_version") or (
            credentials.refresh_token and _replaceable(credentials) == pending.get("replaces")
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
        connected anew meanwhile, and theirs counts. Raises CredentialsLost.
        """
        raw = {**credentials.raw, "refresh_token": refresh_token}
        started = time.monotonic()
        for attempt in range(STORE_ATTEMPTS):
            try:
                if self.version() != credentials.version:
                    return self.credentials()
                said = self._secrets.put_secret_value(
                    SecretId=self._settings.credentials_secret, SecretString=json.dumps(raw)
                )
                return replace(
                    credentials, refresh_token=refresh_token, version=said["VersionId"], raw=raw
                )
            except AWS_TROUBLE as error:
                failure = error
                slow = time.monotonic() - started > STORE_PATIENCE_SECONDS
                if (attempt == 1 or slow) and self._store_pending(credentials, refresh_token):
                    return replace(credentials, refresh_token=refresh_token)
                time.sleep(random.uniform(0.5, 1.0) * 2**attempt / 4)
        if self._store_pending(credentials, refresh_token):
            return replace(credentials, refresh_token=refresh_token)
        raise CredentialsLost(
            "Salesforce rotated the refresh token and it could be stored nowhere. " + CONNECT_HINT
        ) from failure

    def keep_unsigned(self, credentials: Credentials, refresh_token: str) -> None:
        """Write a refresh token whose answer's signature did not fit, beside the last trusted one.

        Only to the pending parameter: the secret keeps what it has.
        """
        trusted = credentials.trusted_token or credentials.refresh_token
        self._store_pending(credentials, refresh_token, trusted=trusted)

    def trust_again(self, credentials: Credentials) -> bool:
        """Go back to the last trusted refresh token; False if that could not be written."""
        return self._store_pending(credentials, credentials.trusted_token)

    def version(self) -> str:
        """The id of the secret's current version."""
        said = self._secrets.get_secret_value(SecretId=self._settings.credentials_secret)
        return str(said["VersionId"])

    def token(self) -> AccessToken | None:
        """The published access token."""
        value = self._parameter(self._settings.token_parameter)
        return AccessToken.parse(value) if value else None

    def publish(self, token: AccessToken) -> None:
        """Make an access token the one that everybody uses."""
        value = token.dump()
        asked = {
            "Name": self._settings.token_parameter,
            "Value": value,
            "Type": "SecureString",
            "Overwrite": True,
            **self._key,
        }
        # A standard parameter holds 4 KB; a JWT-formatted access token may need more.
        if len(value) > 4096:
            asked["Tier"] = "Advanced"
        try:
            self._ssm.put_parameter(**asked)
        except ClientError as error:
            # One that a longer token made an advanced one cannot be made a standard one again
            # (Systems Manager, "Managing parameter tiers"; that it is refused so is unconfirmed).
            if error.response["Error"]["Code"] != "ValidationException" or "Tier" in asked:
                raise
            self._ssm.put_parameter(**asked, Tier="Advanced")

    def _store_pending(
        self, credentials: Credentials, refresh_token: str, *, trusted: str = ""
    ) -> bool:
        value = {
            "refresh_token": refresh_token,
            "secret_version": credentials.version,
            "replaces": _replaceable(credentials),
        }
        if trusted:
            value["trusted"] = trusted
        try:
            self._ssm.put_parameter(
                Name=self._settings.pending_parameter,
                Value=json.dumps(value),
                Type="SecureString",
                Overwrite=True,
                **self._key,
            )
        except AWS_TROUBLE:
            return False
        return True

    def _parameter(self, name: str) -> str | None:
        try:
            said = self._ssm.get_parameter(Name=name, WithDecryption=True)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise
        return str(said["Parameter"]["Value"])


def _replaceable(credentials: Credentials) -> str:
    """A fingerprint of the refresh token that the secret itself holds."""
    held = str(credentials.raw.get("refresh_token") or "").strip()
    return hashlib.sha256(held.encode(errors="replace")).hexdigest()


class TokenRefresher:
    """The job of RefreshToken: get a new access token if one is due, and only one at a time."""

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
        """Answer the schedule (any event) or a function (`{"refused_generation": n or null}`).

        `seconds` is what is left of the invocation. Answers `generation` and `refreshed`; or `busy`
        if another run has the lease; or `connected: false` if there are no credentials, which is a
        state and no error. Raises what the alarm should see: CredentialsRevoked, CredentialsLost,
        Unavailable, AwsError.
        """
        asked = isinstance(event, dict) and "refused_generation" in event
        refused = event["refused_generation"] if asked else None
        refused = refused if isinstance(refused, int) else None
        try:
            return self._run_if_due(asked=asked, refused=refused, seconds=seconds)
        except NotConnected as state:
            self._telemetry.event("not_connected", code=state.code)
            self._telemetry.count("TokenNotConnected")
            return {"connected": False}
        except BridgeError as error:
            self._tell_failure(error)
            raise
        except AWS_TROUBLE as error:
            trouble = _of_aws(error)
            self._tell_failure(trouble)
            raise trouble from error

    def _tell_failure(self, error: BridgeError) -> None:
        permanent = isinstance(error, (CredentialsRevoked, CredentialsLost, SignatureMismatch))
        self._telemetry.alarm("token_refresh_failed", error=error, permanent=permanent)
        self._telemetry.count("TokenRefreshFailed")
        if permanent:
            self._telemetry.count("TokenRefreshFailedPermanently")

    def _run_if_due(self, *, asked: bool, refused: int | None, seconds: float) -> dict[str, Any]:
        deadline = Deadline.after(seconds)
        if done := self._not_due(asked=asked, refused=refused):
            return done
        lease = Lease(dynamodb=self._dynamodb, table=self._settings.lease_table)
        if not lease.take(seconds=seconds):
            return {"busy": True}
        try:
            if done := self._not_due(asked=asked, refused=refused):
                return done
            token = self._refresh(lease, deadline)
        finally:
            lease.release()
        if token is None:
            return {"busy": True}
        self._telemetry.event("token_refreshed", generation=token.generation)
        self._telemetry.count("TokenRefreshed")
        return {"generation": token.generation, "refreshed": True}

    def _not_due(self, *, asked: bool, refused: int | None) -> dict[str, Any] | None:
        """The answer if the published token is good enough: newer than the refused one, or young.

        A scheduled run skips a token younger than half the interval: somebody was just refused and
        had it renewed.
        """
        token = self._vault.token()
        if token is None:
            return None
        age = token.age_seconds(time.time())
        self._telemetry.measure_token_age(age)
        if asked:
            good = refused is None or token.generation > refused
        else:
            good = 0 <= age < self._settings.refresh_minutes * 60 / 2
        if good and not self._settings.trusts(token.instance_url):
            return None
        return {"generation": token.generation, "refreshed": False} if good else None

    def _refresh(self, lease: Lease, deadline: Deadline) -> AccessToken | None:
        """Get a grant, store what it rotated, publish. None: the lease was lost on the way."""
        for _ in range(3):
            previous = self._vault.token()
            credentials = self._vault.credentials()
            grant = self._grant(credentials, previous, deadline)
            if grant is None:
                continue  # the credentials changed under us: begin again with the new ones
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
        """Ask Salesforce, again where it is passing. None: other credentials are stored now."""
        if not self._settings.trusts_login(credentials.login_url):
            raise CredentialsRevoked(
                "the login URL in the secret is not https; " + CONNECT_HINT,
                code="UNTRUSTED_LOGIN_URL",
            )
        for attempt in range(GRANT_ATTEMPTS):
            try:
                answer = self._http.send(
                    "POST",
                    credentials.login_url + "/services/oauth2/token",
                    headers={
                        "Content-Type": "application/x-www-form-urlencoded",
                        "Accept": "application/json",
                    },
                    body=urlencode(credentials.form()).encode(),
                    deadline=_sooner(deadline.sooner(STORE_SECONDS), GRANT_SECONDS),
                )
                return read_grant(
                    answer, credentials=credentials, previous=previous, now=time.time()
                )
            except GrantRefused as refusal:
                if refusal.failure.permanent:
                    if self._vault.credentials() != credentials:
                        return None
                    unproven = credentials.trusted_token and refusal.is_about_the_token
                    if unproven and self._vault.trust_again(credentials):
                        return None  # it was none of ours: the one before may still be good
                    raise CredentialsRevoked(
                        f"Salesforce refuses the credentials: {refusal.said}. "
                        + refusal.failure.hint,
                        code=refusal.error,
                    ) from refusal
                trouble: BridgeError = Unavailable(
                    f"the token endpoint says {refusal.said}",
                    code=refusal.error,
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


def _of_aws(error: Exception) -> AwsError:
    """What a call of AWS ended in as an error of ours: which call failed, and its code."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code") or "Unknown")
        return AwsError(code, f"AWS refused {error.operation_name}")
    if isinstance(error, BotoCoreError):
        return AwsError(type(error).__name__, "AWS could not be reached")
    return AwsError("UNREADABLE_ANSWER", "an answer of AWS could not be read")


def _sooner(deadline: Deadline, seconds: float) -> Deadline:
    return min(deadline, Deadline.after(seconds), key=lambda d: d.at)
