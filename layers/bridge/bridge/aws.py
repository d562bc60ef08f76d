"""Client for the few AWS calls that a caller waits for, and the one error model for AWS.

boto3 costs more CPU at a cold start than all the rest together, so these calls are signed here and
go through the HTTP client that is there anyway (docs/adr/0003). The signer follows AWS's
documentation of Signature Version 4 and a test compares it with botocore's, byte for byte:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

from bridge.deadline import Deadline
from bridge.errors import BridgeError
from bridge.http import Http, HttpError, NoName, Response
from bridge.untrusted import read_json

# When a call is repeated: while AWS gives no response, fails (5xx) or throttles, after a pause that
# doubles, with jitter from half of it to all of it. The caller waits, so its deadline ends this and
# not a number of tries. All may be repeated: two only read, and SendMessage at worst puts a message
# twice, which its key makes harmless. Not repeated is
# - Invoke: the function may have run;
# - a GetParameter that is throttled: SSM allows an account 40 reads a second, so whoever reads the
#   same parameter as hundreds of others has to know when to read again (oauth/sessions.py);
# - what failed because no name server responds: each try would take seconds.
RETRY_PAUSE_SECONDS = 0.2
LEAST_SECONDS = 0.2
TEMPORARY_CODES = ("Throttl", "TooManyUpdates")

KEYS_MARGIN_SECONDS = 300
"""Keys of the container credentials endpoint are read anew so long before they expire."""

SECRET_KEPT_SECONDS = 300.0
"""How long a secret is kept in memory: what a person puts into it is used everywhere after that."""


Value = TypeVar("Value")


class AwsError(BridgeError):
    """AWS refused a call (`code` is its error code), or gave no response (`http_status` 0)."""

    def __init__(self, code: str, message: str, *, status: int = 0) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.http_status = status

    @property
    def is_throttled(self) -> bool:
        """Whether AWS refused it only because of too many calls."""
        return self.http_status == 429 or "Throttl" in self.code

    @property
    def is_temporary(self) -> bool:
        """Whether the same call may succeed later."""
        failed = self.http_status in (0, 429) or self.http_status >= 500
        return failed or any(code in self.code for code in TEMPORARY_CODES)

    @property
    def cannot_decrypt(self) -> bool:
        """Whether a value is there and its key may or can no longer be used."""
        return cannot_decrypt(self.code, str(self))


def cannot_decrypt(code: str, message: str) -> bool:
    """Whether an error of SSM is KMS's refusal to decrypt a SecureString.

    SSM passes KMS's error on: InvalidKeyId for a key that is disabled, pending deletion or gone,
    AccessDeniedException for one that may not be used. The latter's text alone tells it from a
    missing right to read the parameter: it ends in "(Service: AWSKMS; ...)", or names kms:Decrypt
    (docs/adr/0073-an-earlier-key-is-for-reading.md).
    """
    about_the_key = any(part in message for part in ("AWSKMS", "kms:Decrypt", "ciphertext"))
    return code == "InvalidKeyId" or (code == "AccessDeniedException" and about_the_key)


class FunctionError(BridgeError):
    """An invoked function raised: `error_type` is the name of its exception's class."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        self.error_message = message


@dataclass(frozen=True)
class AwsIdentity:
    """The credentials, the region and the endpoint, as Lambda puts them into the environment."""

    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    endpoint_url: str
    """One endpoint for every service, for a local stack; empty: AWS's own."""
    credentials_url: str = ""
    """Where the keys are read if the environment holds none (SnapStart); see Aws."""
    credentials_token: str = field(repr=False, default="")
    credentials_token_file: str = ""
    url_suffix: str = "amazonaws.com"
    """The domain of AWS's endpoints in this partition (AWS::URLSuffix)."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> AwsIdentity:
        """Read what the runtime sets. Without credentials AWS refuses each call and says why."""
        return cls(
            region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            access_key_id=environ.get("AWS_ACCESS_KEY_ID", ""),
            secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY", ""),
            session_token=environ.get("AWS_SESSION_TOKEN", ""),
            endpoint_url=environ.get("AWS_ENDPOINT_URL", "").rstrip("/"),
            credentials_url=environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", ""),
            credentials_token=environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", ""),
            credentials_token_file=environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ""),
            url_suffix=environ.get("URL_SUFFIX") or "amazonaws.com",
        )

    def endpoint(self, service: str) -> str:
        """The base URL of a service in this region."""
        return self.endpoint_url or f"https://{service}.{self.region}.{self.url_suffix}"


def sign(
    identity: AwsIdentity,
    *,
    service: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    at: float,
) -> dict[str, str]:
    """The headers of a POST with its Signature Version 4. `at` is seconds since the epoch."""
    parts = urlsplit(url)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    signed = {name.lower(): value for name, value in headers.items()}
    signed["host"] = parts.netloc
    signed["x-amz-date"] = stamp
    if identity.session_token:
        signed["x-amz-security-token"] = identity.session_token
    names = sorted(signed)
    canonical = "\n".join(
        (
            "POST",
            quote(parts.path or "/", safe="/-_.~"),
            parts.query,
            *(f"{name}:{' '.join(signed[name].split())}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{stamp[:8]}/{identity.region}/{service}/aws4_request"
    to_sign = "\n".join(
        ("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest())
    )
    key = f"AWS4{identity.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={identity.access_key_id}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    del signed["host"]
    return signed


class Aws:
    """GetParameter, GetSecretValue, SendMessage, Invoke: what is needed while a caller waits.

    Keys come from the environment, or else from the container credentials endpoint, which is where
    Lambda has them with SnapStart (AWS SDKs and Tools Reference Guide, "Container credential
    provider").
    """

    def __init__(self, *, http: Http, identity: AwsIdentity) -> None:
        self._http = http
        self._identity = identity
        self._keys: AwsIdentity | None = None
        self._keys_until = 0.0

    def get_parameter(self, name: str, *, deadline: Deadline) -> str | None:
        """The decrypted value of an SSM parameter; None if there is none.

        Raises AwsError, at once where SSM throttles.
        """
        target, payload = "AmazonSSM.GetParameter", {"Name": name, "WithDecryption": True}
        result = self._call("ssm", target, payload, "ParameterNotFound", deadline=deadline)
        if result is None:
            return None
        parameter = result.get("Parameter")
        value = parameter.get("Value") if isinstance(parameter, dict) else None
        if not isinstance(value, str):
            raise AwsError("UNREADABLE_ANSWER", "SSM answered without a value")
        return value

    def get_secret(self, secret_id: str, *, deadline: Deadline) -> str | None:
        """The text of a Secrets Manager secret; None while it has no value. Raises AwsError."""
        target, payload = "secretsmanager.GetSecretValue", {"SecretId": secret_id}
        absent = "ResourceNotFoundException"
        result = self._call("secretsmanager", target, payload, absent, deadline=deadline)
        return None if result is None else str(result.get("SecretString") or "")

    def send_message(self, queue_url: str, body: str, *, deadline: Deadline) -> str:
        """Put one message into a queue; returns its message id. Raises AwsError.

        It may be there twice if a response is lost; SQS may deliver any message twice anyway.
        """
        payload = {"QueueUrl": queue_url, "MessageBody": body}
        result = self._call("sqs", "AmazonSQS.SendMessage", payload, deadline=deadline)
        message_id = result.get("MessageId")
        if not isinstance(message_id, str) or not message_id:
            # This is not SQS, so the message is not known to be kept.
            raise AwsError("UNREADABLE_ANSWER", "SQS answered without a message id")
        return message_id

    def invoke(self, function: str, payload: Mapping[str, Any], *, deadline: Deadline) -> Any:
        """Run a function and wait for its result. Raises AwsError, FunctionError.

        It is not repeated: the function may have run although no response came.
        """
        url = f"{self._identity.endpoint('lambda')}/2015-03-31/functions/{quote(function, safe='')}"
        response = self._post(
            "lambda",
            url + "/invocations",
            {"content-type": "application/json", "x-amz-invocation-type": "RequestResponse"},
            json.dumps(payload).encode(),
            deadline=deadline,
        )
        result = read_json(response.body)
        if response.status >= 300:
            raise _read_error(response, result)
        if response.headers.get("x-amz-function-error"):
            raised = result if isinstance(result, dict) else {}
            raise FunctionError(
                str(raised.get("errorType", "Unknown")), str(raised.get("errorMessage", ""))
            )
        return result

    def _call(
        self,
        service: str,
        target: str,
        payload: Mapping[str, Any],
        absent: str = "",
        *,
        deadline: Deadline,
    ) -> Any:
        """One operation of a JSON-protocol service, repeated while AWS fails or throttles; None
        where the error has the code `absent`."""
        version = "1.0" if service == "sqs" else "1.1"
        headers = {"content-type": f"application/x-amz-json-{version}", "x-amz-target": target}
        url = self._identity.endpoint(service) + "/"
        body = json.dumps(payload).encode()
        pause = RETRY_PAUSE_SECONDS
        while True:
            try:
                response = self._post(service, url, headers, body, deadline=deadline)
                result = read_json(response.body)
                if response.status == 200 and isinstance(result, dict):
                    return result
                error = _read_error(response, result)
            except AwsError as failure:
                error = failure
            if absent and error.code == absent:
                return None
            once = isinstance(error.__cause__, NoName) or (error.is_throttled and service == "ssm")
            wait = random.uniform(pause / 2, pause)
            if once or not error.is_temporary or deadline.remaining() < wait + LEAST_SECONDS:
                raise error
            time.sleep(wait)
            pause *= 2

    def _post(
        self, service: str, url: str, headers: dict[str, str], body: bytes, *, deadline: Deadline
    ) -> Response:
        identity = self._signer(deadline)
        signed = sign(
            identity, service=service, url=url, headers=headers, body=body, at=time.time()
        )
        try:
            return self._http.send(
                "POST", url, headers=signed, body=body, deadline=deadline, repeatable=True
            )
        except HttpError as error:
            raise AwsError(error.code, str(error)) from error

    def _signer(self, deadline: Deadline) -> AwsIdentity:
        """Who signs the next call. Raises AwsError if the keys cannot be read."""
        if self._identity.access_key_id or not self._identity.credentials_url:
            return self._identity
        if self._keys is None or time.time() >= self._keys_until:
            response = self._get_keys(deadline)
            self._keys, expires_at = _read_keys(response, self._identity)
            self._keys_until = expires_at - KEYS_MARGIN_SECONDS
        return self._keys

    def _get_keys(self, deadline: Deadline) -> Response:
        token = self._identity.credentials_token
        try:
            if self._identity.credentials_token_file:
                token = Path(self._identity.credentials_token_file).read_text().strip()
            return self._http.send(
                "GET",
                self._identity.credentials_url,
                headers={"authorization": token} if token else {},
                deadline=deadline,
                repeatable=True,
            )
        except HttpError as error:
            raise AwsError(error.code, str(error)) from error
        except OSError as error:
            raise AwsError("NO_CREDENTIALS", "the token's file cannot be read") from error


def _read_keys(response: Response, identity: AwsIdentity) -> tuple[AwsIdentity, float]:
    """The identity with the keys of a container credentials response, and when they expire."""
    result = read_json(response.body) if response.status == 200 else None
    keys = result if isinstance(result, dict) else {}
    try:
        expires_at = datetime.fromisoformat(str(keys["Expiration"])).timestamp()
        found = replace(
            identity,
            access_key_id=str(keys["AccessKeyId"]),
            secret_access_key=str(keys["SecretAccessKey"]),
            session_token=str(keys["Token"]),
        )
    except (KeyError, ValueError) as error:
        raise AwsError(
            "NO_CREDENTIALS", "the container credentials cannot be read", status=response.status
        ) from error
    return found, expires_at


class KeptSecret(Generic[Value]):
    """What is read in a secret that a person writes, kept in memory for some minutes."""

    def __init__(self, *, aws: Aws, secret_id: str, read: Callable[[str], Value]) -> None:
        """`read` gives something empty where the secret's text holds nothing of use."""
        self._aws = aws
        self._id = secret_id
        self._read = read
        self._value: Value | None = None
        self._until = 0.0

    def value(self, *, deadline: Deadline) -> Value:
        """What the secret holds. What is empty is read anew each time: somebody may be about to
        write it. Raises AwsError where nothing can be read and nothing is remembered, and what
        `read` raises."""
        if self._value and time.monotonic() < self._until:
            return self._value
        try:
            text = self._aws.get_secret(self._id, deadline=deadline)
        except AwsError:
            if self._value:
                return self._value  # better the old one for a moment than none at all
            raise
        self._value = self._read(text or "")
        self._until = time.monotonic() + SECRET_KEPT_SECONDS
        return self._value

    def forget(self) -> None:
        """Read it anew next time: what it holds is refused."""
        self._value = None


def _read_error(response: Response, result: Any) -> AwsError:
    error = result if isinstance(result, dict) else {}
    code = error.get("__type") or error.get("code") or response.headers.get("x-amzn-errortype")
    code = str(code or "Unknown").split("#")[-1].split(":")[0]
    message = error.get("message") or error.get("Message") or ""
    return AwsError(code, str(message), status=response.status)
