"""Keys from the container credentials endpoint, which is where Lambda has them with SnapStart.

Source of its responses: AWS SDKs and Tools Reference Guide, "Container credential provider".
"""

from __future__ import annotations

import datetime
import re
import time
from pathlib import Path

import pytest

from bridge.aws import Aws, AwsError, AwsIdentity
from bridge.deadline import Deadline
from bridge.http import Response
from tests.unit.doubles import Call, Scripted, json_response

URL = "http://169.254.170.23/v1/credentials"


def keys_until(seconds: float, number: int = 1) -> dict[str, str]:
    """The endpoint's response: keys that expire so many seconds from now."""
    expires = datetime.datetime.fromtimestamp(int(time.time() + seconds), datetime.UTC)
    return {
        "AccessKeyId": f"ASIAKEY{number}",
        "SecretAccessKey": f"secret-{number}",
        "Token": f"session-{number}",
        "Expiration": expires.isoformat().replace("+00:00", "Z"),
    }


class WithoutKeys:
    """Aws with no keys in the environment, and the endpoint that has them."""

    def __init__(self, **environ: str) -> None:
        self.response = json_response(200, keys_until(3600))
        self.http = Scripted(self._respond)
        variables = {
            "AWS_REGION": "eu-west-1",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": URL,
            **environ,
        }
        self._aws = Aws(http=self.http, identity=AwsIdentity.from_environ(variables))

    def send(self) -> str:
        """Call AWS: the id of the key that signed it."""
        self._aws.send_message("https://sqs/q", "body", deadline=Deadline.after(0.5))
        signed = self.http.calls[-1].headers
        found = re.search("Credential=([A-Z0-9]+)/", signed["authorization"])
        assert found and signed.get("x-amz-security-token", "") in ("", f"session-{found[1][-1]}")
        return found[1]

    @property
    def read(self) -> list[str]:
        """The authorization of each request to the endpoint."""
        return [
            one.headers.get("authorization", "") for one in self.http.calls if one.method == "GET"
        ]

    def _respond(self, call: Call) -> Response:
        return self.response if call.url == URL else json_response(200, {"MessageId": "m"})


def test_without_keys_in_the_environment_they_are_read_once_from_the_endpoint() -> None:
    aws = WithoutKeys(AWS_CONTAINER_AUTHORIZATION_TOKEN="Basic abc")
    assert [aws.send() for _ in range(3)] == ["ASIAKEY1"] * 3
    assert aws.read == ["Basic abc"]


def test_keys_that_expire_soon_are_read_anew() -> None:
    aws = WithoutKeys()
    aws.response = json_response(200, keys_until(299))
    assert aws.send() == "ASIAKEY1"
    aws.response = json_response(200, keys_until(3600, number=2))
    assert [aws.send(), aws.send()] == ["ASIAKEY2", "ASIAKEY2"]
    assert len(aws.read) == 2


def test_the_endpoint_s_token_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    aws = WithoutKeys(
        AWS_CONTAINER_AUTHORIZATION_TOKEN="not this one",
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(file),
    )
    aws.response = json_response(200, keys_until(0))
    for token in ("first", "second"):
        file.write_text(token + "\n", encoding="utf-8")
        aws.send()
    assert aws.read == ["first", "second"]


def test_keys_in_the_environment_come_first() -> None:
    aws = WithoutKeys(AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="s")
    assert aws.send() == "AKIA" and not aws.read


@pytest.mark.parametrize(
    ("response", "environ"),
    [
        (json_response(200, {}), {}),
        (json_response(200, {**keys_until(60), "Expiration": "soon"}), {}),
        (json_response(403, keys_until(60)), {}),
        (Response(200, {}, b"<html>"), {}),
        (json_response(200, keys_until(60)), {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/none"}),
    ],
)
def test_keys_that_cannot_be_read_are_an_error_of_aws(
    response: Response, environ: dict[str, str]
) -> None:
    aws = WithoutKeys(**environ)
    aws.response = response
    with pytest.raises(AwsError, match="NO_CREDENTIALS"):
        aws.send()
