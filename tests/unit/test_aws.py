"""The signer against botocore's, and the three calls against answers as AWS gives them."""

from __future__ import annotations

import datetime
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from bridge.aws import Aws, AwsError, AwsIdentity, FunctionError, sign
from bridge.deadline import Deadline
from bridge.http import Http, NoConnection, NoResponse, Response
from tests.unit.doubles import IDENTITY, Call, Scripted, json_response

AT = 1790236800.0


def soon(seconds: float = 5) -> Deadline:
    return Deadline.after(seconds)


def botocore_s(
    identity: AwsIdentity, *, service: str, url: str, headers: dict[str, str], body: bytes
) -> dict[str, str]:
    """The headers that botocore signs the same request with."""
    request = AWSRequest(method="POST", url=url, headers=headers, data=body)
    credentials = Credentials(
        identity.access_key_id, identity.secret_access_key, identity.session_token or None
    )
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(AT))
    now = datetime.datetime.fromtimestamp(AT, datetime.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now, create=True):
        SigV4Auth(credentials, service, identity.region).add_auth(request)
    assert request.headers["X-Amz-Date"] == moment
    return {name.lower(): value for name, value in request.headers.items()}


plain = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+=-")


@given(
    service=st.sampled_from(["ssm", "sqs", "lambda"]),
    region=st.sampled_from(["us-east-1", "eu-central-2", "cn-north-1", "us-gov-west-1"]),
    path=st.sampled_from(
        [
            *("/", "", "/2015-03-31/functions/bird-salesforce-refresh-token/invocations"),
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Ax/invocations",
            "/a%20b/~c_d.e",
        ]
    ),
    secret=plain,
    token=plain,
    target=st.text(alphabet="abc DEF.", min_size=1).map(str.strip).filter(bool),
    body=st.binary(max_size=2000),
    port=st.sampled_from(["", ":4566"]),
)
def test_a_signature_is_botocore_s_byte_for_byte(
    service: str,
    region: str,
    path: str,
    secret: str,
    token: str,
    target: str,
    body: bytes,
    port: str,
) -> None:
    identity = AwsIdentity(
        region=region,
        access_key_id="AKIAEXAMPLE",
        secret_access_key=secret,
        session_token=token,
        endpoint_url="",
    )
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
    url = f"https://{service}.{region}.amazonaws.com{port}{path}"
    ours = sign(identity, service=service, url=url, headers=headers, body=body, at=AT)
    theirs = botocore_s(identity, service=service, url=url, headers=dict(headers), body=body)
    assert ours["authorization"] == theirs["authorization"]
    assert ours.get("x-amz-security-token") == theirs.get("x-amz-security-token")


# Who and where


def test_the_identity_is_what_lambda_sets() -> None:
    identity = AwsIdentity.from_environ(
        {
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "A",
            "AWS_SECRET_ACCESS_KEY": "very-secret",
            "AWS_SESSION_TOKEN": "very-token",
        }
    )
    assert (identity.region, identity.access_key_id) == ("eu-west-1", "A")
    assert "very" not in repr(identity)
    assert AwsIdentity.from_environ({}).region == "us-east-1"


class CredentialsEndpoint(BaseHTTPRequestHandler):
    """The container credentials endpoint (AWS SDKs and Tools Reference Guide)."""

    requests: list[tuple[str, str | None]]
    keys: dict[str, str]
    status: int

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers["Authorization"]))
        body = json.dumps(self.keys).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""


Served = tuple[str, type[CredentialsEndpoint]]


@pytest.fixture
def endpoint() -> Iterator[Served]:
    """Its address, and the handler whose requests, keys and status a test may read and set."""

    class Endpoint(CredentialsEndpoint):
        requests: ClassVar[list[tuple[str, str | None]]] = []
        keys: ClassVar[dict[str, str]] = keys_until(3600)
        status = 200

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v2/credentials", Endpoint
        server.shutdown()


def keys_until(seconds: float, number: int = 1) -> dict[str, str]:
    """The endpoint's response: keys that expire so many seconds from now."""
    expires = datetime.datetime.fromtimestamp(int(time.time() + seconds), datetime.UTC)
    return {
        "AccessKeyId": f"ASIAKEY{number}",
        "SecretAccessKey": f"secret-{number}",
        "Token": f"session-{number}",
        "Expiration": expires.isoformat().replace("+00:00", "Z"),
    }


class Signed(Http):
    """Sends GETs to the credentials endpoint, and keeps what was sent to AWS."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[Mapping[str, str]] = []

    def send(self, method: str, url: str, **request: Any) -> Response:
        if method == "GET":
            return super().send(method, url, **request)
        self.headers.append(request["headers"])
        return json_response(200, {"MessageId": "m"})


def with_snapstart(url: str, **environ: str) -> tuple[Aws, Signed]:
    """Aws as Lambda runs it with SnapStart: no keys in the environment."""
    http = Signed()
    variables = {"AWS_REGION": "eu-west-1", "AWS_CONTAINER_CREDENTIALS_FULL_URI": url, **environ}
    return Aws(http=http, identity=AwsIdentity.from_environ(variables)), http


def test_without_keys_in_the_environment_they_are_read_once_from_the_endpoint(
    endpoint: Served,
) -> None:
    url, server = endpoint
    aws, http = with_snapstart(url, AWS_CONTAINER_AUTHORIZATION_TOKEN="Basic abc")
    for _ in range(3):
        aws.send_message("https://sqs/q", "body", deadline=soon())
    assert server.requests == [("/v2/credentials", "Basic abc")]
    assert len(http.headers) == 3
    for headers in http.headers:
        assert "Credential=ASIAKEY1/" in headers["authorization"]
        assert headers["x-amz-security-token"] == "session-1"


def test_keys_that_expire_soon_are_read_anew(endpoint: Served) -> None:
    url, server = endpoint
    aws, http = with_snapstart(url)
    server.keys = keys_until(299)
    aws.send_message("https://sqs/q", "body", deadline=soon())
    server.keys = keys_until(3600, number=2)
    for _ in range(2):
        aws.send_message("https://sqs/q", "body", deadline=soon())
    used = [re.findall("Credential=(ASIAKEY.)/", one["authorization"]) for one in http.headers]
    assert used == [["ASIAKEY1"], ["ASIAKEY2"], ["ASIAKEY2"]]
    assert len(server.requests) == 2


def test_the_endpoint_s_token_is_read_from_its_file_each_time(
    endpoint: Served, tmp_path: Path
) -> None:
    url, server = endpoint
    server.keys = keys_until(0)
    file = tmp_path / "token"
    aws, _ = with_snapstart(
        url,
        AWS_CONTAINER_AUTHORIZATION_TOKEN="not this one",
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(file),
    )
    for token in ("first", "second"):
        file.write_text(token + "\n", encoding="utf-8")
        aws.send_message("https://sqs/q", "body", deadline=soon())
    assert [header for _, header in server.requests] == ["first", "second"]


def test_keys_in_the_environment_come_first(endpoint: Served) -> None:
    url, server = endpoint
    aws, http = with_snapstart(url, AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="s")
    aws.send_message("https://sqs/q", "body", deadline=soon())
    assert server.requests == [] and "Credential=AKIA/" in http.headers[0]["authorization"]


def test_keys_that_cannot_be_read_are_an_error_of_aws(endpoint: Served, tmp_path: Path) -> None:
    url, server = endpoint
    for keys in ({}, {**keys_until(60), "Expiration": "soon"}):
        server.keys = keys
        with pytest.raises(AwsError, match="NO_CREDENTIALS"):
            with_snapstart(url)[0].send_message("https://sqs/q", "body", deadline=soon())
    server.keys, server.status = keys_until(60), 403
    with pytest.raises(AwsError, match="NO_CREDENTIALS") as caught:
        with_snapstart(url)[0].send_message("https://sqs/q", "body", deadline=soon())
    assert caught.value.http_status == 403
    missing = {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "none")}
    with pytest.raises(AwsError, match="NO_CREDENTIALS"):
        with_snapstart(url, **missing)[0].send_message("https://sqs/q", "b", deadline=soon(0.5))
    with pytest.raises(AwsError, match="UNREACHABLE"):
        with_snapstart("http://127.0.0.1:1/")[0].send_message("q", "b", deadline=soon(0.5))


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({"AWS_REGION": "eu-west-1"}, "https://sqs.eu-west-1.amazonaws.com"),
        (
            {"AWS_REGION": "cn-north-1", "URL_SUFFIX": "amazonaws.com.cn"},
            "https://sqs.cn-north-1.amazonaws.com.cn",
        ),
        (
            {"AWS_REGION": "eusc-de-east-1", "URL_SUFFIX": "amazonaws.eu"},
            "https://sqs.eusc-de-east-1.amazonaws.eu",
        ),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566/"}, "http://127.0.0.1:4566"),
        ({"AWS_ENDPOINT_URL": ""}, "https://sqs.us-east-1.amazonaws.com"),
    ],
)
def test_a_service_is_where_its_region_is_or_locally(
    environ: dict[str, str], endpoint: str
) -> None:
    assert AwsIdentity.from_environ(environ).endpoint("sqs") == endpoint


# Calls


def made(response: Callable[[Call], Response]) -> tuple[Aws, Scripted]:
    http = Scripted(response)
    return Aws(http=http, identity=IDENTITY), http


def in_turn(*answers: Response | Exception) -> Callable[[Call], Response]:
    rest = list(answers)

    def response(call: Call) -> Response:
        now = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(now, Exception):
            raise now
        return now

    return response


def test_a_parameter_is_read_decrypted() -> None:
    aws, http = made(lambda call: json_response(200, {"Parameter": {"Name": "/a/b", "Value": "v"}}))
    assert aws.get_parameter("/a/b", deadline=soon()) == "v"
    (call,) = http.calls
    assert call.url == "https://ssm.eu-west-1.amazonaws.com/"
    assert call.json() == {"Name": "/a/b", "WithDecryption": True}
    assert call.headers["x-amz-target"] == "AmazonSSM.GetParameter"
    assert call.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")


def test_a_parameter_that_is_not_there_is_none() -> None:
    aws, http = made(lambda call: json_response(400, {"__type": "ParameterNotFound"}))
    assert aws.get_parameter("/a/b", deadline=soon()) is None
    assert len(http.calls) == 1


@pytest.mark.parametrize(
    ("trouble", "calls"),
    [
        (json_response(400, {"__type": "ThrottlingException"}), 1),
        (json_response(400, {"__type": "KMS.ThrottlingException"}), 1),
        (json_response(429, {"__type": "TooManyRequestsException"}), 1),
        (json_response(500, {"__type": "InternalServerError"}), 2),
        (NoConnection("down"), 2),
    ],
)
def test_a_read_that_is_throttled_is_left_to_the_caller_to_repeat(
    trouble: Response | Exception, calls: int, clock: list[float]
) -> None:
    aws, http = made(in_turn(trouble, json_response(200, {"Parameter": {"Value": "v"}})))
    if calls == 1:
        with pytest.raises(AwsError) as caught:
            aws.get_parameter("/a/b", deadline=soon())
        assert caught.value.is_throttled
    else:
        assert aws.get_parameter("/a/b", deadline=soon()) == "v"
    assert len(http.calls) == calls


@pytest.mark.parametrize(
    "response",
    [
        json_response(200, {}),
        json_response(200, {"Parameter": None}),
        json_response(200, {"Parameter": {"Name": "/a/b"}}),
        json_response(200, {"Parameter": {"Value": None}, "MessageId": None}),
        Response(200, {}, b"[" * 100_000),
    ],
    ids=["empty", "null", "no value", "null value", "nested without end"],
)
def test_an_answer_without_what_was_asked_for_is_aws_s_trouble(response: Response) -> None:
    aws, http = made(lambda call: response)
    with pytest.raises(AwsError):
        aws.get_parameter("/a/b", deadline=soon())
    with pytest.raises(AwsError):
        aws.send_message("https://q", "body", deadline=soon())
    assert len(http.calls) == 2


def test_a_message_is_sent_to_its_queue() -> None:
    aws, http = made(lambda call: json_response(200, {"MessageId": "m-1"}))
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/Outbox"
    assert aws.send_message(url, "body", deadline=soon()) == "m-1"
    assert http.calls[0].json() == {"QueueUrl": url, "MessageBody": "body"}
    assert http.calls[0].headers["content-type"] == "application/x-amz-json-1.0"


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (
            json_response(400, {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "x"}),
            "QueueDoesNotExist",
        ),
        (
            json_response(400, {"__type": "AccessDeniedException", "Message": "x"}),
            "AccessDeniedException",
        ),
        (json_response(403, {"code": "403"}), "403"),
        (
            json_response(404, {}, **{"x-amzn-errortype": "ResourceNotFoundException:http://x"}),
            "ResourceNotFoundException",
        ),
        (Response(403, {}, b"<html>"), "Unknown"),
        (Response(200, {}, b"<html>"), "Unknown"),
        (Response(400, {}, b""), "Unknown"),
    ],
)
def test_a_refusal_is_raised_at_once_with_its_code(response: Response, code: str) -> None:
    aws, http = made(lambda call: response)
    with pytest.raises(AwsError) as caught:
        aws.send_message("https://q", "body", deadline=soon())
    assert caught.value.code == code
    assert len(http.calls) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        json_response(500, {"__type": "InternalServerError"}),
        Response(503, {}, b""),
        json_response(429, {"__type": "TooManyRequestsException"}),
        json_response(400, {"__type": "ThrottlingException"}),
        json_response(400, {"__type": "KMS.ThrottlingException"}),
        json_response(400, {"__type": "RequestThrottled"}),
        NoConnection("down"),
        NoResponse("reset"),
    ],
)
def test_passing_trouble_is_passed_over(trouble: Response | Exception, clock: list[float]) -> None:
    aws, http = made(in_turn(trouble, json_response(200, {"MessageId": "m-1"})))
    assert aws.send_message("https://q", "body", deadline=soon()) == "m-1"
    assert len(http.calls) == 2


def test_trouble_that_stays_ends_with_the_deadline(clock: list[float]) -> None:
    aws, http = made(lambda call: Response(503, {}, b""))
    with pytest.raises(AwsError):
        aws.send_message("https://q", "body", deadline=soon(0.8))
    assert sum(clock) <= 0.8
    assert 2 <= len(http.calls) <= 6


# Invoking


def test_a_function_s_answer_comes_back() -> None:
    aws, http = made(lambda call: json_response(200, {"generation": 2}))
    payload = {"refused_generation": 1}
    assert aws.invoke("stack-refresh-token", payload, deadline=soon()) == {"generation": 2}
    (call,) = http.calls
    assert call.url == (
        "https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/stack-refresh-token/invocations"
    )
    assert call.json() == payload
    assert call.headers["x-amz-invocation-type"] == "RequestResponse"


def test_a_function_that_raised_is_told_by_its_error_s_name() -> None:
    body = {"errorType": "CredentialsRevoked", "errorMessage": "connect again"}
    aws, _ = made(lambda call: json_response(200, body, **{"X-Amz-Function-Error": "Unhandled"}))
    with pytest.raises(FunctionError) as caught:
        aws.invoke("f", {}, deadline=soon())
    assert (caught.value.error_type, caught.value.error_message) == (
        "CredentialsRevoked",
        "connect again",
    )


@pytest.mark.parametrize("body", [b"", b"null", b"[]"])
def test_a_function_that_died_without_a_word_has_an_error_too(body: bytes) -> None:
    aws, _ = made(lambda call: Response(200, {"X-Amz-Function-Error": "Unhandled"}, body))
    with pytest.raises(FunctionError):
        aws.invoke("f", {}, deadline=soon())


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (json_response(429, {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}), 429),
        (json_response(403, {"__type": "AccessDeniedException"}), 403),
        (Response(500, {}, b""), 500),
        (NoResponse("too slow"), 0),
    ],
)
def test_a_function_is_asked_once(trouble: Response | Exception, status: int) -> None:
    aws, http = made(in_turn(trouble))
    with pytest.raises(AwsError) as caught:
        aws.invoke("f", {}, deadline=soon())
    assert caught.value.http_status == status
    assert len(http.calls) == 1


def test_a_body_is_sent_in_ascii() -> None:
    aws, http = made(lambda call: json_response(200, {"MessageId": "m-1"}))
    text: Any = json.dumps({"a": "😀\ufffe"})
    aws.send_message("https://q", text, deadline=soon())
    assert (http.calls[0].body or b"").isascii()
