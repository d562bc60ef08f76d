"""The signer against botocore's, and the three calls against answers as AWS gives them."""

from __future__ import annotations

import datetime
import json
import time
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from bridge.aws import Aws, AwsError, AwsIdentity, FunctionError, sign
from bridge.deadline import Deadline
from bridge.http import NoConnection, NoResponse, Response
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
FUNCTION = "arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Ax"


@given(
    identity=st.builds(
        AwsIdentity,
        region=st.sampled_from(["us-east-1", "eu-central-2", "cn-north-1", "us-gov-west-1"]),
        access_key_id=st.just("AKIAEXAMPLE"),
        secret_access_key=plain,
        session_token=plain,
        endpoint_url=st.just(""),
    ),
    service=st.sampled_from(["ssm", "sqs", "lambda"]),
    path=st.sampled_from(
        ["/", "", f"/2015-03-31/functions/{FUNCTION}/invocations", "/a%20b/~c_d.e"]
    ),
    target=st.text(alphabet="abc DEF.", min_size=1).map(str.strip).filter(bool),
    body=st.binary(max_size=2000),
    port=st.sampled_from(["", ":4566"]),
)
def test_a_signature_is_botocore_s_byte_for_byte(
    identity: AwsIdentity, service: str, path: str, target: str, body: bytes, port: str
) -> None:
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
    url = f"https://{service}.{identity.region}.amazonaws.com{port}{path}"
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


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({"AWS_REGION": "eu-west-1"}, "https://sqs.eu-west-1.amazonaws.com"),
        (
            {"AWS_REGION": "cn-1", "URL_SUFFIX": "amazonaws.com.cn"},
            "https://sqs.cn-1.amazonaws.com.cn",
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


def made(*responses: Response | Exception) -> tuple[Aws, Scripted]:
    """Aws with these responses in turn, the last one for ever."""
    rest = list(responses)

    def respond(call: Call) -> Response:
        now = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(now, Exception):
            raise now
        return now

    http = Scripted(respond)
    return Aws(http=http, identity=IDENTITY), http


def error(status: int, code: str) -> Response:
    return json_response(status, {"__type": code})


def put(aws: Aws, *, seconds: float = 5) -> str:
    return aws.send_message("https://q", "body", deadline=soon(seconds))


SENT = json_response(200, {"MessageId": "m-1"})
VALUE = json_response(200, {"Parameter": {"Name": "/a/b", "Value": "v"}})
UNAVAILABLE = Response(503, {}, b"")


def test_a_parameter_is_read_decrypted() -> None:
    aws, http = made(VALUE)
    assert aws.get_parameter("/a/b", deadline=soon()) == "v"
    (call,) = http.calls
    assert call.url == "https://ssm.eu-west-1.amazonaws.com/"
    assert call.json() == {"Name": "/a/b", "WithDecryption": True}
    assert call.headers["x-amz-target"] == "AmazonSSM.GetParameter"
    assert call.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")


def test_a_message_is_sent_to_its_queue_in_ascii() -> None:
    aws, http = made(SENT)
    url, text = "https://sqs.eu-west-1.amazonaws.com/123456789012/Outbox", json.dumps("😀\ufffe")
    assert aws.send_message(url, text, deadline=soon()) == "m-1"
    assert http.calls[0].json() == {"QueueUrl": url, "MessageBody": text}
    assert http.calls[0].headers["content-type"] == "application/x-amz-json-1.0"
    assert (http.calls[0].body or b"").isascii()


def test_a_parameter_that_is_not_there_is_none() -> None:
    aws, http = made(error(400, "ParameterNotFound"))
    assert aws.get_parameter("/a/b", deadline=soon()) is None
    assert len(http.calls) == 1


THROTTLED = [
    error(400, "ThrottlingException"),
    error(400, "KMS.ThrottlingException"),
    error(429, "TooManyRequestsException"),
    error(400, "RequestThrottled"),
]
PASSING = [
    error(500, "InternalServerError"),
    UNAVAILABLE,
    NoConnection("down"),
    NoResponse("reset"),
]


@pytest.mark.parametrize("trouble", [*THROTTLED, *PASSING])
def test_passing_trouble_is_passed_over(trouble: Response | Exception, clock: list[float]) -> None:
    aws, http = made(trouble, SENT)
    assert put(aws) == "m-1"
    assert len(http.calls) == 2
    aws, http = made(trouble, VALUE)
    if trouble not in THROTTLED:
        assert aws.get_parameter("/a/b", deadline=soon()) == "v"
        return
    # A read is left to the caller to repeat, who waits longer.
    with pytest.raises(AwsError) as caught:
        aws.get_parameter("/a/b", deadline=soon())
    assert caught.value.is_throttled and len(http.calls) == 1


def test_trouble_that_stays_ends_with_the_deadline(clock: list[float]) -> None:
    aws, http = made(UNAVAILABLE)
    with pytest.raises(AwsError):
        put(aws, seconds=0.8)
    assert sum(clock) <= 0.8
    assert 2 <= len(http.calls) <= 6


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
    aws, http = made(response)
    with pytest.raises(AwsError):
        aws.get_parameter("/a/b", deadline=soon())
    with pytest.raises(AwsError):
        put(aws)
    assert len(http.calls) == 2


IN_A_HEADER = {"x-amzn-errortype": "ResourceNotFoundException:http://x"}


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (error(400, "com.amazonaws.sqs#QueueDoesNotExist"), "QueueDoesNotExist"),
        (error(400, "AccessDeniedException"), "AccessDeniedException"),
        (json_response(403, {"code": "403"}), "403"),
        (json_response(404, {}, **IN_A_HEADER), "ResourceNotFoundException"),
        *((Response(status, {}, b"<html>"), "Unknown") for status in (200, 403)),
        (Response(400, {}, b""), "Unknown"),
    ],
)
def test_a_refusal_is_raised_at_once_with_its_code(response: Response, code: str) -> None:
    aws, http = made(response)
    with pytest.raises(AwsError) as caught:
        put(aws)
    assert caught.value.code == code
    assert len(http.calls) == 1


# Invoking


def test_a_function_s_answer_comes_back() -> None:
    aws, http = made(json_response(200, {"generation": 2}))
    payload = {"refused_generation": 1}
    assert aws.invoke("stack-refresh-token", payload, deadline=soon()) == {"generation": 2}
    (call,) = http.calls
    assert call.url == (
        "https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/stack-refresh-token/invocations"
    )
    assert call.json() == payload
    assert call.headers["x-amz-invocation-type"] == "RequestResponse"


REVOKED = b'{"errorType": "CredentialsRevoked", "errorMessage": "connect again"}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (REVOKED, ("CredentialsRevoked", "connect again")),
        *((died, ("Unknown", "")) for died in (b"", b"null", b"[]")),
    ],
)
def test_a_function_that_raised_is_told_by_its_error_s_name(
    body: bytes, expected: tuple[str, str]
) -> None:
    aws, _ = made(Response(200, {"x-amz-function-error": "Unhandled"}, body))
    with pytest.raises(FunctionError) as caught:
        aws.invoke("f", {}, deadline=soon())
    assert (caught.value.error_type, caught.value.error_message) == expected


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (json_response(429, {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}), 429),
        (error(403, "AccessDeniedException"), 403),
        (Response(500, {}, b""), 500),
        (NoResponse("too slow"), 0),
    ],
)
def test_a_function_is_asked_once(trouble: Response | Exception, status: int) -> None:
    aws, http = made(trouble)
    with pytest.raises(AwsError) as caught:
        aws.invoke("f", {}, deadline=soon())
    assert caught.value.http_status == status
    assert len(http.calls) == 1
