"""RefreshToken: one refresh at a time, and a rotated refresh token is stored before it is used."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from moto import mock_aws

from bridge import wiring
from bridge.aws import AwsError
from bridge.errors import (
    BridgeError,
    CredentialsLost,
    CredentialsRevoked,
    NotConnected,
    Unavailable,
)
from bridge.http import Response
from bridge.oauth.access_token import AccessToken
from bridge.oauth.credentials import Credentials
from bridge.oauth.grant import SignatureMismatch
from bridge.oauth.lease import Lease
from bridge.oauth.refresher import STORE_SECONDS, TokenRefresher
from bridge.oauth.vault import Vault
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from tests.conftest import ENVIRON, LoadEvent, MakeSettings
from tests.unit.doubles import INSTANCE, Call, fault, json_response
from tests.unit.token_endpoint import TokenEndpoint, oauth_error, signed_body

# The secret


def secret(**changed: Any) -> str:
    return json.dumps(
        {
            "login_url": "https://acme.my.salesforce.com/",
            "client_id": "client",
            "client_secret": "s3cret",
            "refresh_token": "refresh-1",
            **changed,
        }
    )


def parse(text: str) -> Credentials:
    return Credentials.parse(text, version="v1", default_login_url="https://login.salesforce.com/")


def test_the_secret_s_login_url_wins() -> None:
    assert parse(secret()).login_url == "https://acme.my.salesforce.com"
    assert parse(secret(login_url="")).login_url == "https://login.salesforce.com"


def test_each_grant_sends_what_it_needs() -> None:
    assert parse(secret()).form() == {
        "grant_type": "refresh_token",
        "client_id": "client",
        "client_secret": "s3cret",
        "refresh_token": "refresh-1",
        "format": "json",
    }
    public = parse(secret(client_secret=None)).form()
    assert "client_secret" not in public
    machine = parse(secret(refresh_token="", grant="client_credentials")).form()
    assert machine["grant_type"] == "client_credentials" and "refresh_token" not in machine
    both = parse(secret(grant="client_credentials")).form()
    assert both["grant_type"] == "refresh_token"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", "empty"),
        ("not json", "is no JSON object"),
        ("[]", "is no JSON object"),
        ("{}", "client_id"),
        (secret(client_id=" "), "client_id"),
        (secret(refresh_token=None), "refresh_token"),
        (secret(refresh_token=None, grant="client_credentials", client_secret=""), "client_secret"),
    ],
)
def test_a_secret_that_lacks_something_is_not_connected(text: str, missing: str) -> None:
    with pytest.raises(NotConnected, match=missing) as caught:
        parse(text)
    assert "make connect" in caught.value.hint
    assert missing in (*caught.value.fields, "empty", "is no JSON object")


def test_a_secret_that_an_editor_marked_is_read() -> None:
    assert parse("\ufeff" + secret()).refresh_token == "refresh-1"


def test_nothing_secret_is_in_the_repr() -> None:
    text = repr(parse(secret()))
    assert "s3cret" not in text and "refresh-1" not in text


# The job


@functools.cache
def aws(service: str) -> Any:
    """A client of moto's, which begins anew with each test: to make one takes long."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client(service, region_name="eu-west-1", **keys)


class Bench:
    """RefreshToken with AWS in memory and a token endpoint."""

    def __init__(self, settings: Settings, endpoint: TokenEndpoint) -> None:
        self.settings = settings
        self.endpoint = endpoint
        self.secrets, self.ssm, self.dynamodb = map(aws, ("secretsmanager", "ssm", "dynamodb"))
        self.dynamodb.create_table(
            TableName=settings.lease_table,
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.secrets.create_secret(Name=settings.credentials_secret)
        self.returned: Any = None

    def connect(self, **changed: Any) -> None:
        self.secrets.put_secret_value(
            SecretId=self.settings.credentials_secret, SecretString=secret(**changed)
        )

    def refresher(self, **replaced: Any) -> TokenRefresher:
        vault = Vault(
            secrets=replaced.get("secrets", self.secrets),
            ssm=replaced.get("ssm", self.ssm),
            settings=self.settings,
        )
        return TokenRefresher(
            http=self.endpoint,
            vault=vault,
            dynamodb=replaced.get("dynamodb", self.dynamodb),
            settings=self.settings,
            telemetry=Telemetry(),
        )

    def run(self, event: Any = None, *, seconds: float = 60, **replaced: Any) -> dict[str, Any]:
        """The result; its token, which has tests of its own, in `returned`."""
        result = self.refresher(**replaced).run(event or {"source": "aws.events"}, seconds=seconds)
        self.returned = result.pop("token", None)
        return result

    def token(self) -> AccessToken | None:
        try:
            stored = self.ssm.get_parameter(Name=self.settings.token_parameter, WithDecryption=True)
        except self.ssm.exceptions.ParameterNotFound:
            return None
        return AccessToken.parse(stored["Parameter"]["Value"])

    def publish(self, token: AccessToken) -> None:
        self.ssm.put_parameter(
            Name=self.settings.token_parameter,
            Value=token.dump(),
            Type="SecureString",
            Overwrite=True,
        )

    def stored_refresh_token(self) -> str:
        stored = self.secrets.get_secret_value(SecretId=self.settings.credentials_secret)
        return str(json.loads(stored["SecretString"])["refresh_token"])

    def lease_is_free(self) -> bool:
        return Lease(dynamodb=self.dynamodb, table=self.settings.lease_table).take(seconds=1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are a matter of seconds; nobody waits for them here."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


@pytest.fixture
def bench(settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Bench(settings(CREDENTIALS_SECRET="Credentials"), TokenEndpoint())


@pytest.fixture
def rotating(bench: Bench) -> Bench:
    bench.endpoint.rotation = True
    bench.connect()
    return bench


class Failing:
    """An AWS client some of whose operations fail, each for so many calls."""

    def __init__(
        self,
        client: Any,
        error: Exception | str = "LimitExceededException",
        *,
        status: int = 400,
        before: Callable[[], None] = lambda: None,
        **times: int,
    ) -> None:
        self._client = client
        self._error = error
        self._status = status
        self._before = before
        self._times = times

    def __getattr__(self, name: str) -> Any:
        if self._times.get(name, 0) <= 0:
            return getattr(self._client, name)
        self._times[name] -= 1

        def fail(**request: Any) -> Any:
            self._before()
            if isinstance(self._error, Exception):
                raise self._error
            status = {"HTTPStatusCode": self._status}
            answer: Any = {"Error": {"Code": self._error}, "ResponseMetadata": status}
            raise ClientError(answer, name)

        return fail


UNREADABLE = AttributeError("'list' object has no attribute 'get'")
"""What boto3 raises of a response that is a list."""


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that goes on and is as late as the sum of these seconds."""
    clock, late = time.monotonic, list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: clock() + sum(late))
    return late


def test_before_anybody_connected_nothing_is_wrong(bench: Bench) -> None:
    assert bench.run() == {"connected": False}
    assert bench.run({"refused_generation": None}) == {"connected": False}
    assert bench.endpoint.calls == []
    assert bench.lease_is_free()


def test_the_first_token_is_published_as_a_secret_string(bench: Bench) -> None:
    bench.connect()
    assert bench.run() == {"generation": 1, "refreshed": True}
    token = bench.token()
    assert (token.access_token, token.instance_url, token.generation) == ("access-1", INSTANCE, 1)
    described = bench.ssm.get_parameter(Name=bench.settings.token_parameter)
    assert described["Parameter"]["Type"] == "SecureString"
    (call,) = bench.endpoint.calls
    assert call.url == "https://acme.my.salesforce.com/services/oauth2/token"
    assert not call.repeatable


def test_a_long_token_is_published_too(bench: Bench) -> None:
    bench.connect()
    bench.endpoint.more = {"access_token": "x" * 5000}
    assert bench.run()["refreshed"]
    token = bench.token()
    assert token is not None and len(token.access_token) == 5000


@pytest.mark.parametrize(
    ("code", "tiers"), [("ValidationException", [None, "Advanced"]), ("AccessDenied", [None])]
)
def test_a_parameter_that_a_longer_token_made_an_advanced_one_stays_one(
    bench: Bench, code: str, tiers: list[str | None]
) -> None:
    sent: list[str | None] = []

    class Advanced:
        get_parameter = bench.ssm.get_parameter

        def put_parameter(self, **request: Any) -> Any:
            sent.append(request.get("Tier"))
            if sent[-1] is None:
                raise ClientError({"Error": {"Code": code}}, "PutParameter")
            return bench.ssm.put_parameter(**request)

    bench.connect()
    if code == "AccessDenied":
        with pytest.raises(AwsError):
            bench.run(ssm=Advanced())
    else:
        assert bench.run(ssm=Advanced())["refreshed"] and bench.token() is not None
    assert sent == tiers


def test_the_schedule_skips_a_young_token_and_renews_an_old_one(bench: Bench) -> None:
    bench.connect()
    bench.run()
    assert bench.run() == {"generation": 1, "refreshed": False}
    half = bench.settings.refresh_minutes * 30
    token = bench.token()
    for age, refreshed in ((half - 60, False), (half + 60, True)):
        issued_at = str(int((time.time() - age) * 1000))
        bench.publish(issued(token, issued_at))
        assert bench.run()["refreshed"] is refreshed


def issued(token: AccessToken, issued_at: str) -> AccessToken:
    return replace(token, issued_at=issued_at)


def test_the_event_files_start_a_refresh(bench: Bench, event: LoadEvent) -> None:
    bench.connect()
    assert bench.run(event("refresh_token"))["refreshed"]
    assert bench.run(event("refresh_token.refused")) == {"generation": 2, "refreshed": True}


def test_a_refused_token_is_renewed_only_if_nothing_newer_is_there(bench: Bench) -> None:
    bench.connect()
    bench.run()
    assert bench.run({"refused_generation": 1}) == {"generation": 2, "refreshed": True}
    assert bench.run({"refused_generation": 1}) == {"generation": 2, "refreshed": False}
    assert bench.run({"refused_generation": None}) == {"generation": 2, "refreshed": False}
    assert bench.endpoint.issued == 2


def test_a_published_token_for_another_host_is_replaced(bench: Bench) -> None:
    bench.connect()
    bench.publish(AccessToken(access_token="x", instance_url="https://evil.example", generation=9))
    assert bench.run({"refused_generation": None}) == {"generation": 10, "refreshed": True}


def test_a_second_refresh_at_the_same_time_is_busy(bench: Bench) -> None:
    bench.connect()
    lease = Lease(dynamodb=bench.dynamodb, table=bench.settings.lease_table)
    assert lease.take(seconds=60)
    assert bench.run({"refused_generation": 1}) == {"busy": True}
    assert bench.endpoint.calls == []


class Counting:
    """AWS clients that note what is called, in order."""

    def __init__(self, bench: Bench) -> None:
        self.calls: list[str] = []
        services = ("secrets", "ssm", "dynamodb")
        self.clients = {name: self._noting(getattr(bench, name)) for name in services}

    def _noting(self, client: Any) -> Any:
        calls = self.calls

        class Noting:
            def __getattr__(self, operation: str) -> Any:
                def call(**sent: Any) -> Any:
                    calls.append(f"{operation} {sent.get('Name', '')}".strip())
                    return getattr(client, operation)(**sent)

                return call

        return Noting()


def test_a_refresh_reads_the_published_token_once_and_after_it_took_the_lease(bench: Bench) -> None:
    bench.connect()
    token, pending_token = bench.settings.token_parameter, bench.settings.pending_parameter
    # The credentials change during the first grant, so it begins again.
    bench.endpoint.before = lambda: (
        bench.connect(note="anew") if len(bench.endpoint.calls) == 1 else None
    )
    counting = Counting(bench)
    assert bench.run({"refused_generation": None}, **counting.clients)["refreshed"]
    assert len(bench.endpoint.calls) == 2
    assert counting.calls[:2] == ["put_item", f"get_parameter {token}"]
    assert counting.calls.count(f"get_parameter {token}") == 1
    assert counting.calls.count(f"get_parameter {pending_token}") == 2
    counting = Counting(bench)
    assert not bench.run({"refused_generation": 0}, **counting.clients)["refreshed"]
    assert counting.calls == ["put_item", f"get_parameter {token}", "delete_item"]


def test_a_function_gets_the_token_and_the_schedule_does_not(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.connect()
    assert bench.run()["refreshed"] and bench.returned is None
    assert not bench.run()["refreshed"] and bench.returned is None
    for refused, refreshed in ((1, True), (1, False), (None, False)):
        result = bench.run({"refused_generation": refused})
        assert result == {"generation": 2, "refreshed": refreshed}
        assert AccessToken.parse(bench.returned) == bench.token()
    printed = capsys.readouterr().out
    assert "TokenRefreshed" in printed
    assert not [n for n in range(3) if f"access-{n}" in printed]


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerError"])
def test_a_read_that_ssm_throttles_is_tried_eight_times(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    bench.connect()
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    status = 400 if code == "ThrottlingException" else 500
    assert bench.run(ssm=Failing(bench.ssm, code, status=status, get_parameter=7))["refreshed"]
    assert len(pauses) == 7 and sum(pauses) < 21, "the function has 60 s"
    pauses.clear()
    busy = Failing(bench.ssm, code, status=status, get_parameter=8)
    with pytest.raises(AwsError) as caught:
        bench.run({"refused_generation": 1}, ssm=busy)
    assert caught.value.code == code and len(pauses) == 7
    assert bench.lease_is_free()


def test_an_ssm_that_hangs_is_not_waited_for_eight_times(bench: Bench, hang: list[float]) -> None:
    timeout = ReadTimeoutError(endpoint_url="ssm")
    bench.connect()
    with pytest.raises(AwsError):
        bench.run(ssm=Failing(bench.ssm, timeout, before=lambda: hang.append(10), get_parameter=99))
    assert sum(hang) <= 30


def wired_config(monkeypatch: pytest.MonkeyPatch, client: str) -> Any:
    """The configuration of one of the vault's boto3 clients, as a deployed function makes it."""
    for name, value in {**ENVIRON, "AWS_DEFAULT_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(name, value)
    made = (wiring.settings, wiring.telemetry, wiring.http, wiring.token_refresher)
    try:
        for cached in made:
            cached.cache_clear()
        return getattr(wiring.token_refresher()._vault, client).meta.config
    finally:
        for cached in made:
            cached.cache_clear()


def test_a_lease_runs_out_and_can_then_be_neither_kept_nor_released(bench: Bench) -> None:
    expired = Lease(dynamodb=bench.dynamodb, table=bench.settings.lease_table)
    assert expired.take(seconds=-12)
    current = Lease(dynamodb=bench.dynamodb, table=bench.settings.lease_table)
    assert current.take(seconds=60)
    assert not expired.keep(seconds=60)
    expired.release()
    assert current.keep(seconds=60)
    assert not bench.lease_is_free()


def test_a_lease_that_was_lost_meanwhile_publishes_nothing(rotating: Bench) -> None:
    lease = {"TableName": rotating.settings.lease_table, "Key": {"name": {"S": "refresh"}}}
    rotating.endpoint.before = lambda: rotating.dynamodb.delete_item(**lease)
    assert rotating.run() == {"busy": True}
    assert rotating.token() is None
    # The rotated refresh token is stored all the same.
    assert rotating.stored_refresh_token() == rotating.endpoint.current


def test_a_rotated_token_is_stored_before_the_access_token_is_published(rotating: Bench) -> None:
    with pytest.raises(AwsError, match="put_parameter"):
        rotating.run(ssm=Failing(rotating.ssm, put_parameter=9))
    assert rotating.token() is None
    assert rotating.stored_refresh_token() == rotating.endpoint.current == "refresh-2"
    assert rotating.run()["refreshed"]
    assert not rotating.endpoint.revoked


def test_rotation_goes_on_for_ever(rotating: Bench) -> None:
    for generation in range(1, 6):
        assert rotating.run({"refused_generation": generation - 1})["generation"] == generation
    assert rotating.stored_refresh_token() == rotating.endpoint.current
    assert not rotating.endpoint.revoked


def test_other_keys_of_the_secret_survive_a_rotation(rotating: Bench) -> None:
    rotating.connect(note="ours")
    rotating.run()
    text = rotating.secrets.get_secret_value(SecretId="Credentials")["SecretString"]
    assert json.loads(text)["note"] == "ours"


def test_without_rotation_the_secret_is_never_written(bench: Bench) -> None:
    bench.connect()
    before = bench.secrets.get_secret_value(SecretId="Credentials")["VersionId"]
    bench.run()
    bench.endpoint.more = {"refresh_token": "refresh-1"}
    bench.run({"refused_generation": 1})
    assert bench.secrets.get_secret_value(SecretId="Credentials")["VersionId"] == before


def test_the_secret_is_written_at_a_later_attempt(rotating: Bench) -> None:
    assert rotating.run(secrets=Failing(rotating.secrets, put_secret_value=1))["refreshed"]
    assert rotating.stored_refresh_token() == "refresh-2"


def test_where_the_secret_cannot_be_written_the_second_place_is_used(rotating: Bench) -> None:
    assert rotating.run(secrets=Failing(rotating.secrets, put_secret_value=9))["refreshed"]
    assert rotating.stored_refresh_token() == "refresh-1"
    # The next run reads the second place first, and tidies up.
    assert rotating.run({"refused_generation": 1})["generation"] == 2
    assert rotating.stored_refresh_token() == rotating.endpoint.current == "refresh-3"
    assert not rotating.endpoint.revoked
    # Whoever connects anew is not overruled by what is left in the second place.
    rotating.endpoint.current = "refresh-by-hand"
    rotating.connect(refresh_token="refresh-by-hand")
    assert rotating.run({"refused_generation": 2})["generation"] == 3


def test_the_second_place_counts_though_somebody_edits_the_secret(rotating: Bench) -> None:
    assert rotating.run(secrets=Failing(rotating.secrets, put_secret_value=9))["refreshed"]
    rotating.connect(note="by hand")
    assert rotating.run({"refused_generation": 1})["generation"] == 2
    assert rotating.stored_refresh_token() == rotating.endpoint.current
    assert not rotating.endpoint.revoked


def test_a_second_place_that_holds_no_token_is_passed_over(rotating: Bench) -> None:
    version = rotating.secrets.get_secret_value(SecretId="Credentials")["VersionId"]
    for value in ("junk", json.dumps({"secret_version": version})):
        rotating.ssm.put_parameter(
            Name=rotating.settings.pending_parameter, Value=value, Type="String", Overwrite=True
        )
        assert rotating.refresher()._vault.credentials().refresh_token == "refresh-1"


class OtherKey:
    """SSM with parameters that were encrypted with a key which may no longer be used, until they
    are written anew."""

    def __init__(self, ssm: Any, *names: str) -> None:
        self._ssm = ssm
        self._names = set(names)

    def get_parameter(self, **request: Any) -> Any:
        if request["Name"] in self._names:
            text = "arn:aws:kms:eu-west-1:1:key/k is disabled. (Service: AWSKMS; Status Code: 400)"
            raise ClientError({"Error": {"Code": "InvalidKeyId", "Message": text}}, "GetParameter")
        return self._ssm.get_parameter(**request)

    def put_parameter(self, **request: Any) -> Any:
        self._names -= {request["Name"]}
        return self._ssm.put_parameter(**request)


def test_a_token_that_cannot_be_decrypted_counts_as_none_and_is_renewed(bench: Bench) -> None:
    bench.connect()
    assert bench.run()["refreshed"]
    ssm = OtherKey(bench.ssm, bench.settings.token_parameter)
    assert bench.run({"refused_generation": None}, ssm=ssm)["refreshed"]
    assert not bench.run({"refused_generation": None}, ssm=ssm)["refreshed"], "it is readable now"


def test_a_pending_token_that_cannot_be_decrypted_is_not_passed_over(rotating: Bench) -> None:
    # It may be the only one that is still good: a refresh with the one before ends the connection.
    assert rotating.run(secrets=Failing(rotating.secrets, put_secret_value=9))["refreshed"]
    ssm = OtherKey(rotating.ssm, rotating.settings.pending_parameter)
    with pytest.raises(CredentialsLost, match="PreviousKmsKeyArn"):
        rotating.run({"refused_generation": 1}, ssm=ssm)
    assert not rotating.endpoint.revoked
    assert rotating.run({"refused_generation": 1})["refreshed"], "with the key it goes on"


def test_a_secret_that_hangs_costs_no_rotated_token(rotating: Bench, hang: list[float]) -> None:
    timeout = ReadTimeoutError(endpoint_url="secretsmanager")
    secrets = Failing(rotating.secrets, timeout, before=lambda: hang.append(7), put_secret_value=99)
    assert rotating.run(secrets=secrets)["refreshed"]
    assert len(hang) == 1
    assert pending(rotating)["refresh_token"] == rotating.endpoint.current == "refresh-2"


def test_a_rotated_token_that_can_be_stored_nowhere_is_an_error(rotating: Bench) -> None:
    secrets = Failing(rotating.secrets, put_secret_value=9)
    with pytest.raises(CredentialsLost, match="make connect"):
        rotating.run(secrets=secrets, ssm=Failing(rotating.ssm, put_parameter=9))
    assert rotating.token() is None
    assert rotating.lease_is_free()


@pytest.mark.parametrize(
    "put", [lambda **_: {}, lambda **_: int("no number")], ids=["empty", "unreadable"]
)
def test_an_unreadable_response_of_the_secret_costs_no_rotated_token(
    rotating: Bench, put: Callable[..., Any]
) -> None:
    class Garbling:
        get_secret_value = rotating.secrets.get_secret_value
        put_secret_value = staticmethod(put)

    assert rotating.run(secrets=Garbling())["refreshed"]
    assert rotating.refresher()._vault.credentials().refresh_token == "refresh-2"


def test_boto3_repeats_nothing_of_ssm_s_and_the_secret_s_waits_leave_time_to_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert wired_config(monkeypatch, "_ssm").retries["total_max_attempts"] == 1
    config = wired_config(monkeypatch, "_secrets")
    slowest = max(config.connect_timeout, config.read_timeout)
    assert slowest * config.retries["total_max_attempts"] < STORE_SECONDS - 2


def test_a_rotation_never_overwrites_what_connect_wrote_meanwhile(rotating: Bench) -> None:
    def connect_once() -> None:
        rotating.endpoint.before = lambda: None
        rotating.connect(refresh_token="refresh-by-hand")

    def answer(call: Call) -> Response:
        response = rotating.endpoint._handle(call)
        if len(rotating.endpoint.calls) == 1:
            rotating.endpoint.current = "refresh-by-hand"
        return response

    rotating.endpoint.before = connect_once
    rotating.endpoint._answer = answer
    assert rotating.run()["refreshed"]
    assert rotating.stored_refresh_token() == rotating.endpoint.current
    assert not rotating.endpoint.revoked


def test_credentials_that_keep_changing_are_an_error(bench: Bench) -> None:
    bench.connect()
    bench.endpoint.before = lambda: bench.connect(note=time.perf_counter_ns())
    with pytest.raises(Unavailable, match="changing"):
        bench.run()
    assert len(bench.endpoint.calls) == 3


@pytest.mark.parametrize(
    "trouble",
    [
        oauth_error("invalid_grant", "token request is already being processed"),
        oauth_error("unknown_error", "retry your request"),
        oauth_error("unknown_error", "retry your request", 500),
        Response(503, {}, b"<html>"),
        Response(200, {}, b""),
        fault("REQUEST_LIMIT_EXCEEDED", status=403),
        Unavailable("down"),
    ],
)
def test_passing_trouble_is_tried_again(bench: Bench, trouble: Response | Exception) -> None:
    bench.connect()
    bench.endpoint.trouble = [trouble, trouble]
    assert bench.run()["refreshed"]
    assert len(bench.endpoint.calls) == 3


def test_lasting_trouble_is_raised_for_the_alarm(bench: Bench) -> None:
    bench.connect()
    bench.endpoint.trouble = [oauth_error("unknown_error", "retry your request")] * 9
    with pytest.raises(Unavailable, match="retry your request"):
        bench.run()
    assert len(bench.endpoint.calls) == 4
    assert bench.lease_is_free()


NO_CONNECTION = EndpointConnectionError(endpoint_url="https://ssm.example")


@pytest.mark.parametrize(
    "error, code",
    [
        ("LimitExceededException", "LimitExceededException"),
        (NO_CONNECTION, "EndpointConnectionError"),
        (UNREADABLE, "UNREADABLE_ANSWER"),
    ],
    ids=["refused", "unreachable", "unreadable"],
)
@pytest.mark.parametrize(
    "service, operation",
    [("ssm", "get_parameter"), ("secrets", "get_secret_value"), ("dynamodb", "put_item")],
)
def test_a_failure_of_aws_before_any_request_is_raised_and_counted(
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
    service: str,
    operation: str,
    error: Any,
    code: str,
) -> None:
    bench.connect()
    failing = Failing(getattr(bench, service), error, **{operation: 9})
    with pytest.raises(AwsError) as caught:
        bench.run(**{service: failing})
    assert caught.value.code == code
    assert "TokenRefreshFailed" in capsys.readouterr().out
    assert bench.endpoint.calls == []
    assert bench.lease_is_free()


def test_an_unreadable_response_to_giving_the_lease_back_fails_no_refresh(bench: Bench) -> None:
    bench.connect()
    assert bench.run(dynamodb=Failing(bench.dynamodb, UNREADABLE, delete_item=1))["refreshed"]
    assert bench.token() is not None


def test_time_is_kept_back_for_storing_what_a_response_holds(bench: Bench) -> None:
    bench.connect()
    bench.run(seconds=60)
    bench.run({"refused_generation": 1}, seconds=20)
    assert [round(call.seconds) for call in bench.endpoint.calls] == [15, 10]


@pytest.mark.parametrize(
    ("error", "description"),
    [
        ("invalid_grant", "expired access/refresh token"),
        ("invalid_grant", "inactive user"),
        ("invalid_client_id", "client identifier invalid"),
        ("invalid_client", "invalid client credentials"),
    ],
)
def test_a_permanent_refusal_costs_one_request(bench: Bench, error: str, description: str) -> None:
    bench.connect()
    bench.endpoint.trouble = [oauth_error(error, description)] * 9
    with pytest.raises(CredentialsRevoked, match=description) as caught:
        bench.run()
    assert len(bench.endpoint.calls) == 1
    assert caught.value.code == error
    assert bench.lease_is_free()


@pytest.mark.parametrize(
    "trouble",
    [Response(503, {}, b""), oauth_error("invalid_grant", "expired access/refresh token")],
    ids=["a pause", "a refusal"],
)
def test_credentials_that_changed_meanwhile_are_used(rotating: Bench, trouble: Response) -> None:
    def change() -> None:
        rotating.endpoint.before = lambda: None
        rotating.endpoint.trouble = [trouble]
        rotating.endpoint.current = "refresh-theirs"
        rotating.connect(refresh_token="refresh-theirs")

    rotating.endpoint.before = change
    assert rotating.run()["refreshed"]
    assert not rotating.endpoint.revoked


def pending(bench: Bench) -> Any:
    parameter = bench.ssm.get_parameter(Name=bench.settings.pending_parameter, WithDecryption=True)
    return json.loads(parameter["Parameter"]["Value"])


def nothing_is_pending(bench: Bench) -> bool:
    with suppress(bench.ssm.exceptions.ParameterNotFound):
        return not pending(bench)
    return True


def mismatch(bench: Bench, **more: Any) -> None:
    bench.endpoint.more = {"signature": "AAAA", **more}
    with pytest.raises(SignatureMismatch):
        bench.run({"refused_generation": None})
    bench.endpoint.more = {}


def test_a_rotated_token_with_a_wrong_signature_is_kept_unpublished(rotating: Bench) -> None:
    for _ in range(3):
        mismatch(rotating)
        assert rotating.token() is None
        assert rotating.stored_refresh_token() == "refresh-1"
        assert pending(rotating)["refresh_token"] == rotating.endpoint.current
        assert pending(rotating)["trusted"] == "refresh-1"
    assert not rotating.endpoint.revoked
    # Somebody sets the consumer secret right.
    rotating.connect(note="mended")
    assert rotating.run()["refreshed"]
    assert not rotating.endpoint.revoked
    assert rotating.stored_refresh_token() == rotating.endpoint.current
    assert rotating.run({"refused_generation": 1})["refreshed"]


def test_a_forged_refresh_token_is_given_up_for_the_trusted_one(bench: Bench) -> None:
    bench.connect()
    mismatch(bench, refresh_token="forged-1")
    bench.endpoint.trouble = [
        json_response(200, signed_body(signature="AAAA", refresh_token="forged-2"))
    ]
    with pytest.raises(SignatureMismatch):
        bench.run()
    assert pending(bench)["refresh_token"] == "forged-2"
    bench.endpoint.trouble = [oauth_error("invalid_grant", "expired access/refresh token")]
    assert bench.run()["refreshed"]
    assert "forged" not in json.dumps(pending(bench))
    assert not bench.endpoint.revoked


@pytest.mark.parametrize(
    ("error", "description"),
    [
        ("invalid_client", "invalid client credentials"),
        ("invalid_grant", "inactive user"),
        ("invalid_grant", "ip restricted or invalid login hours"),
    ],
)
def test_a_refusal_that_is_not_about_the_token_gives_none_up(
    rotating: Bench, error: str, description: str
) -> None:
    mismatch(rotating)
    rotating.endpoint.trouble = [oauth_error(error, description)]
    with pytest.raises(CredentialsRevoked):
        rotating.run()
    assert rotating.run()["refreshed"]
    assert not rotating.endpoint.revoked


def test_nothing_of_a_response_for_another_user_is_kept(rotating: Bench) -> None:
    rotating.run()
    mismatch_of = {"id": "https://login.salesforce.com/id/00Dother/005other"}
    rotating.endpoint.more = {"signature": "AAAA", **mismatch_of}
    with pytest.raises(SignatureMismatch):
        rotating.run({"refused_generation": 1})
    assert nothing_is_pending(rotating)


def test_without_rotation_a_wrong_signature_leaves_nothing_behind(bench: Bench) -> None:
    bench.connect()
    mismatch(bench)
    mismatch(bench, refresh_token="refresh-1")
    assert nothing_is_pending(bench)


def test_an_unsigned_token_of_before_connect_is_not_used_after_it(rotating: Bench) -> None:
    mismatch(rotating)
    rotating.endpoint.current = "refresh-new"
    rotating.connect(refresh_token="refresh-new")
    assert rotating.run()["refreshed"]
    assert not rotating.endpoint.revoked


def test_a_token_for_another_host_is_not_published(bench: Bench) -> None:
    bench.connect()
    bench.endpoint.more = {"instance_url": "https://evil.example"}
    with pytest.raises(CredentialsRevoked, match="AllowInsecureHosts"):
        bench.run()
    assert bench.token() is None


def test_credentials_are_not_sent_in_the_clear(bench: Bench) -> None:
    bench.connect(login_url="http://login.example.org")
    with pytest.raises(CredentialsRevoked, match="not https"):
        bench.run()
    assert bench.endpoint.calls == []


# Unusual values in the secret and in responses


@pytest.mark.parametrize("odd", [{"a": 1}, ["a"], 7, True, "two\nlines", "\ud83d", "żeton"])
def test_only_a_token_replaces_a_refresh_token(rotating: Bench, odd: Any) -> None:
    rotating.endpoint.rotation = False
    rotating.endpoint.more = {"refresh_token": odd}
    assert rotating.run()["refreshed"]
    assert rotating.stored_refresh_token() == "refresh-1"


@pytest.mark.parametrize("odd", [{"a": 1}, ["a"], 7, True, "two\nlines", "\ud83d", " "])
def test_something_else_than_a_token_is_not_published(bench: Bench, odd: Any) -> None:
    bench.connect()
    bench.endpoint.more = {"access_token": odd}
    with pytest.raises(Unavailable):
        bench.run()
    assert bench.token() is None and bench.lease_is_free()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "\ud83d",
        secret(client_id="\ud83d"),
        secret(refresh_token="\ud83d"),
        '{"note": ' + "[" * 300 + "]" * 300 + secret()[1:].join((", ", "")),
    ],
)
def test_a_secret_that_no_request_could_carry_is_not_connected(text: str) -> None:
    with pytest.raises(NotConnected):
        parse(text)


@pytest.mark.parametrize("url", ["https://[::1", "https://login.example.org:x", "https://a b"])
def test_an_unusable_login_url_gets_no_request(bench: Bench, url: str) -> None:
    bench.connect(login_url=url)
    with pytest.raises(CredentialsRevoked) as caught:
        bench.run()
    assert caught.value.code == "UNTRUSTED_LOGIN_URL"
    assert url not in str(caught.value) and not bench.endpoint.calls


def test_only_known_texts_of_the_token_endpoint_are_logged(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.connect()
    rest = json_response(403, [{"errorCode": "Anna", "message": "Anna Berg has no calls left"}])
    for trouble in (
        oauth_error("invalid_grant", "Anna Berg may not log in from here"),
        oauth_error("Anna Berg", "inactive user"),
        oauth_error("unknown_error", "Anna Berg"),
        rest,
    ):
        bench.endpoint.trouble = [trouble] * 9
        with pytest.raises(BridgeError) as caught:
            bench.run()
        error: BaseException | None = caught.value
        while error is not None:
            assert "Anna" not in str(error) and "anna" not in getattr(error, "code", "")
            error = error.__cause__
    assert "Anna" not in capsys.readouterr().out
