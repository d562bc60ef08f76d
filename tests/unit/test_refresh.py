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
from bridge.oauth.grant import Credentials, SignatureMismatch
from bridge.oauth.lease import Lease
from bridge.oauth.refresher import STORE_SECONDS, TokenRefresher
from bridge.oauth.vault import Vault
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from tests.conftest import ENVIRON, LoadEvent, MakeSettings
from tests.unit.doubles import INSTANCE, Call, json_response
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
    assert "client_secret" not in parse(secret(client_secret=None)).form()
    machine = parse(secret(refresh_token="", grant="client_credentials")).form()
    assert machine["grant_type"] == "client_credentials" and "refresh_token" not in machine
    both = parse(secret(grant="client_credentials")).form()
    assert both["grant_type"] == "refresh_token"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", "empty"),
        *((text, "is no JSON object") for text in ("not json", "[]", "[" * 100_000, "\ud83d")),
        ("{}", "client_id"),
        (secret(client_id=" "), "client_id"),
        (secret(refresh_token=None), "refresh_token"),
        (secret(refresh_token=None, grant="client_credentials", client_secret=""), "client_secret"),
        # What no request could carry.
        (secret(client_id="\ud83d"), "client_id"),
        (secret(refresh_token="\ud83d"), "refresh_token"),
        ('{"note": ' + "[" * 300 + "]" * 300 + secret()[1:].join((", ", "")), "is no JSON object"),
    ],
    ids=lambda text: text[:40].encode(errors="replace").decode(),
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

    def vault(self, **replaced: Any) -> Vault:
        clients = {"secrets": self.secrets, "ssm": self.ssm, **replaced}
        return Vault(**clients, settings=self.settings)

    def run(
        self, event: Any = None, *, seconds: float = 60, dynamodb: Any = None, **replaced: Any
    ) -> dict[str, Any]:
        """The result; its token, which has tests of its own, in `returned`."""
        refresher = TokenRefresher(
            http=self.endpoint,
            vault=self.vault(**replaced),
            dynamodb=dynamodb or self.dynamodb,
            settings=self.settings,
            telemetry=Telemetry(),
        )
        result = refresher.run(event or {"source": "aws.events"}, seconds=seconds)
        self.returned = result.pop("token", None)
        return result

    def refused(self, generation: int | None, **replaced: Any) -> dict[str, Any]:
        """The result for a function whose token was refused, or that has none."""
        return self.run({"refused_generation": generation}, **replaced)

    def failure(self, error: type[BridgeError], match: str | None = None, **replaced: Any) -> Any:
        """The error of a run that fails, and gives its lease back."""
        with pytest.raises(error, match=match) as caught:
            self.run(**replaced)
        assert self.lease().take(seconds=1)
        self.dynamodb.delete_item(**self.leased)
        return caught.value

    def token(self) -> AccessToken | None:
        return self.vault().token()

    def pending(self) -> Any:
        """What the second place holds."""
        with suppress(self.ssm.exceptions.ParameterNotFound):
            name = self.settings.pending_parameter
            stored = self.ssm.get_parameter(Name=name, WithDecryption=True)
            return json.loads(stored["Parameter"]["Value"])
        return {}

    def secret(self) -> Any:
        return self.secrets.get_secret_value(SecretId=self.settings.credentials_secret)

    def stored_refresh_token(self) -> str:
        return str(json.loads(self.secret()["SecretString"])["refresh_token"])

    def is_well(self) -> bool:
        """Whether the stored refresh token is the only good one."""
        stored = self.stored_refresh_token()
        return stored == self.endpoint.current and not self.endpoint.revoked

    @property
    def leased(self) -> dict[str, Any]:
        return {"TableName": self.settings.lease_table, "Key": {"name": {"S": "refresh"}}}

    def lease(self) -> Lease:
        return Lease(dynamodb=self.dynamodb, table=self.settings.lease_table)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits here for the pauses between attempts; those that were made."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def unconnected(settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Bench(settings(CREDENTIALS_SECRET="Credentials"), TokenEndpoint())


@pytest.fixture
def bench(unconnected: Bench) -> Bench:
    unconnected.connect()
    return unconnected


@pytest.fixture
def rotating(bench: Bench) -> Bench:
    bench.endpoint.rotation = True
    return bench


Operation = Callable[..., Any]
"""In place of a client's operation: (the operation, **its request)."""


class Client:
    """An AWS client that notes its calls, and some of whose operations a test replaces."""

    def __init__(self, client: Any, calls: list[str] | None = None, **replaced: Operation) -> None:
        self._client = client
        self._calls = [] if calls is None else calls
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            self._calls.append(f"{name} {request.get('Name', '')}".strip())
            send = getattr(self._client, name)
            return (
                self._replaced[name](send, **request) if name in self._replaced else send(**request)
            )

        return call


def fails(
    error: Exception | str = "LimitExceededException",
    *,
    times: int = 9,
    status: int = 400,
    before: Callable[[], None] = lambda: None,
) -> Operation:
    """An operation that fails so many times."""
    left = [times]

    def operation(send: Operation, **request: Any) -> Any:
        if not left[0]:
            return send(**request)
        left[0] -= 1
        before()
        if isinstance(error, Exception):
            raise error
        response: Any = {"Error": {"Code": error}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(response, "Operation")

    return operation


def no_secret(bench: Bench) -> Client:
    """A secret that takes no new value."""
    return Client(bench.secrets, put_secret_value=fails())


UNREADABLE = AttributeError("'list' object has no attribute 'get'")
"""What boto3 raises of a response that is a list."""


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that goes on and is as late as the sum of these seconds."""
    clock, late = time.monotonic, list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: clock() + sum(late))
    return late


def test_before_anybody_connected_nothing_is_wrong(unconnected: Bench) -> None:
    assert unconnected.run() == {"connected": False}
    assert unconnected.refused(None) == {"connected": False}
    assert unconnected.endpoint.calls == []
    assert unconnected.lease().take(seconds=1)


@pytest.mark.parametrize("text", ["access-1", "x" * 5000], ids=["a short one", "a long one"])
def test_the_first_token_is_published_as_a_secret_string(bench: Bench, text: str) -> None:
    bench.endpoint.more = {"access_token": text}
    assert bench.run() == {"generation": 1, "refreshed": True}
    token = bench.token()
    assert (token.access_token, token.instance_url, token.generation) == (text, INSTANCE, 1)
    described = bench.ssm.get_parameter(Name=bench.settings.token_parameter)
    assert described["Parameter"]["Type"] == "SecureString"
    (call,) = bench.endpoint.calls
    assert call.url == "https://acme.my.salesforce.com/services/oauth2/token"
    assert not call.repeatable


@pytest.mark.parametrize(
    ("code", "tiers"), [("ValidationException", [None, "Advanced"]), ("AccessDenied", [None])]
)
def test_a_parameter_that_a_longer_token_made_an_advanced_one_stays_one(
    bench: Bench, code: str, tiers: list[str | None]
) -> None:
    sent: list[str | None] = []

    def put_parameter(send: Operation, **request: Any) -> Any:
        sent.append(request.get("Tier"))
        return fails(code)(send) if sent[-1] is None else send(**request)

    ssm = Client(bench.ssm, put_parameter=put_parameter)
    if code == "AccessDenied":
        bench.failure(AwsError, ssm=ssm)
    else:
        assert bench.run(ssm=ssm)["refreshed"] and bench.token() is not None
    assert sent == tiers


def test_the_schedule_skips_a_young_token_and_renews_an_old_one(bench: Bench) -> None:
    bench.run()
    assert bench.run() == {"generation": 1, "refreshed": False}
    half = bench.settings.refresh_minutes * 30
    token = bench.token()
    for age, refreshed in ((half - 60, False), (half + 60, True)):
        bench.vault().publish(replace(token, issued_at=str(int((time.time() - age) * 1000))))
        assert bench.run()["refreshed"] is refreshed


def test_a_refused_token_is_renewed_only_if_nothing_newer_is_there(
    bench: Bench, event: LoadEvent
) -> None:
    assert bench.run(event("refresh_token"))["refreshed"]
    assert bench.run(event("refresh_token.refused")) == {"generation": 2, "refreshed": True}
    for older in (1, None):
        assert bench.refused(older) == {"generation": 2, "refreshed": False}
    assert bench.endpoint.issued == 2


def test_a_published_token_for_another_host_is_replaced(bench: Bench) -> None:
    bench.vault().publish(
        AccessToken(access_token="x", instance_url="https://evil.example", generation=9)
    )
    assert bench.refused(None) == {"generation": 10, "refreshed": True}


def test_a_second_refresh_at_the_same_time_is_busy(bench: Bench) -> None:
    assert bench.lease().take(seconds=60)
    assert bench.refused(1) == {"busy": True}
    assert bench.endpoint.calls == []


def noting(bench: Bench) -> tuple[list[str], dict[str, Client]]:
    """The calls to AWS, in order, and the clients that note them."""
    calls: list[str] = []
    services = ("secrets", "ssm", "dynamodb")
    return calls, {name: Client(getattr(bench, name), calls) for name in services}


def test_a_refresh_reads_the_published_token_once_and_after_it_took_the_lease(bench: Bench) -> None:
    token, pending_token = bench.settings.token_parameter, bench.settings.pending_parameter
    # The credentials change during the first grant, so it begins again.
    bench.endpoint.before = lambda: (
        bench.connect(note="anew") if len(bench.endpoint.calls) == 1 else None
    )
    calls, clients = noting(bench)
    assert bench.refused(None, **clients)["refreshed"]
    assert len(bench.endpoint.calls) == 2
    assert calls[:2] == ["put_item", f"get_parameter {token}"]
    assert calls.count(f"get_parameter {token}") == 1
    assert calls.count(f"get_parameter {pending_token}") == 2
    calls, clients = noting(bench)
    assert not bench.refused(0, **clients)["refreshed"]
    assert calls == ["put_item", f"get_parameter {token}", "delete_item"]


def test_a_function_gets_the_token_and_the_schedule_does_not(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run()["refreshed"] and bench.returned is None
    assert not bench.run()["refreshed"] and bench.returned is None
    for refused, refreshed in ((1, True), (1, False), (None, False)):
        assert bench.refused(refused) == {"generation": 2, "refreshed": refreshed}
        assert AccessToken.parse(bench.returned) == bench.token()
    printed = capsys.readouterr().out
    assert "TokenRefreshed" in printed
    assert not [n for n in range(3) if f"access-{n}" in printed]


@pytest.mark.parametrize(
    ("code", "status"), [("ThrottlingException", 400), ("InternalServerError", 500)]
)
def test_a_read_that_ssm_throttles_is_tried_eight_times(
    bench: Bench, quick: list[float], code: str, status: int
) -> None:
    def ssm(times: int) -> Client:
        return Client(bench.ssm, get_parameter=fails(code, status=status, times=times))

    assert bench.run(ssm=ssm(7))["refreshed"]
    assert len(quick) == 7 and sum(quick) < 21, "the function has 60 s"
    quick.clear()
    assert bench.failure(AwsError, ssm=ssm(8)).code == code and len(quick) == 7


def test_an_ssm_that_hangs_is_not_waited_for_eight_times(bench: Bench, hang: list[float]) -> None:
    timeout = ReadTimeoutError(endpoint_url="ssm")
    slow = fails(timeout, times=99, before=lambda: hang.append(10))
    bench.failure(AwsError, ssm=Client(bench.ssm, get_parameter=slow))
    assert sum(hang) <= 30


def test_a_lease_runs_out_and_can_then_be_neither_kept_nor_released(bench: Bench) -> None:
    expired, current = bench.lease(), bench.lease()
    assert expired.take(seconds=-12)
    assert current.take(seconds=60)
    assert not expired.keep(seconds=60)
    expired.release()
    assert current.keep(seconds=60)
    assert not bench.lease().take(seconds=1)


def test_a_lease_that_was_lost_meanwhile_publishes_nothing(rotating: Bench) -> None:
    rotating.endpoint.before = lambda: rotating.dynamodb.delete_item(**rotating.leased)
    assert rotating.run() == {"busy": True}
    assert rotating.token() is None
    # The rotated refresh token is stored all the same.
    assert rotating.is_well()


def test_a_rotated_token_is_stored_before_the_access_token_is_published(rotating: Bench) -> None:
    rotating.failure(AwsError, ssm=Client(rotating.ssm, put_parameter=fails()))
    assert rotating.token() is None
    assert rotating.stored_refresh_token() == rotating.endpoint.current == "refresh-2"
    assert rotating.run()["refreshed"]
    assert not rotating.endpoint.revoked


def test_rotation_goes_on_for_ever_and_changes_nothing_else(rotating: Bench) -> None:
    rotating.connect(note="ours")
    for generation in range(1, 4):
        assert rotating.refused(generation - 1)["generation"] == generation
        assert rotating.is_well()
    assert json.loads(rotating.secret()["SecretString"])["note"] == "ours"


@pytest.mark.parametrize(
    "odd",
    [*("refresh-1", {"a": 1}, ["a"], 7, True, "two\nlines", "\ud83d", "żeton"), None],
    ids=lambda odd: repr(odd).encode("ascii", "replace").decode(),
)
def test_without_a_new_token_the_secret_is_never_written(bench: Bench, odd: Any) -> None:
    before = bench.secret()["VersionId"]
    bench.endpoint.more = {"refresh_token": odd}
    assert bench.run()["refreshed"]
    assert bench.secret()["VersionId"] == before


def test_the_secret_is_written_at_a_later_attempt(rotating: Bench) -> None:
    secrets = Client(rotating.secrets, put_secret_value=fails(times=1))
    assert rotating.run(secrets=secrets)["refreshed"]
    assert rotating.is_well() and rotating.pending() == {}


def test_where_the_secret_cannot_be_written_the_second_place_is_used(rotating: Bench) -> None:
    assert rotating.run(secrets=no_secret(rotating))["refreshed"]
    assert rotating.stored_refresh_token() == "refresh-1"
    # The next run reads the second place first, and tidies up, though somebody edits the secret.
    rotating.connect(note="by hand")
    assert rotating.refused(1)["generation"] == 2
    assert rotating.is_well() and rotating.endpoint.current == "refresh-3"
    # Whoever connects anew is not overruled by what is left in the second place.
    rotating.endpoint.current = "refresh-by-hand"
    rotating.connect(refresh_token="refresh-by-hand")
    assert rotating.refused(2)["generation"] == 3


def test_a_second_place_that_holds_no_token_is_passed_over(rotating: Bench) -> None:
    version = rotating.secret()["VersionId"]
    for value in ("junk", json.dumps({"secret_version": version})):
        rotating.ssm.put_parameter(
            Name=rotating.settings.pending_parameter, Value=value, Type="String", Overwrite=True
        )
        assert rotating.vault().credentials().refresh_token == "refresh-1"


def with_another_key(ssm: Any, name: str) -> Client:
    """SSM with a parameter that was encrypted with a key which may no longer be used, until it is
    written anew."""
    encrypted = {name}

    def get_parameter(send: Operation, **request: Any) -> Any:
        if request["Name"] in encrypted:
            text = "arn:aws:kms:eu-west-1:1:key/k is disabled. (Service: AWSKMS; Status Code: 400)"
            raise ClientError({"Error": {"Code": "InvalidKeyId", "Message": text}}, "GetParameter")
        return send(**request)

    def put_parameter(send: Operation, **request: Any) -> Any:
        encrypted.discard(request["Name"])
        return send(**request)

    return Client(ssm, get_parameter=get_parameter, put_parameter=put_parameter)


def test_a_token_that_cannot_be_decrypted_counts_as_none_and_is_renewed(bench: Bench) -> None:
    assert bench.run()["refreshed"]
    ssm = with_another_key(bench.ssm, bench.settings.token_parameter)
    assert bench.refused(None, ssm=ssm)["refreshed"]
    assert not bench.refused(None, ssm=ssm)["refreshed"], "it is readable now"


def test_a_pending_token_that_cannot_be_decrypted_is_not_passed_over(rotating: Bench) -> None:
    # It may be the only one that is still good: a refresh with the one before ends the connection.
    assert rotating.run(secrets=no_secret(rotating))["refreshed"]
    ssm = with_another_key(rotating.ssm, rotating.settings.pending_parameter)
    with pytest.raises(CredentialsLost, match="PreviousKmsKeyArn"):
        rotating.refused(1, ssm=ssm)
    assert not rotating.endpoint.revoked
    assert rotating.refused(1)["refreshed"], "with the key it goes on"


def test_a_secret_that_hangs_costs_no_rotated_token(rotating: Bench, hang: list[float]) -> None:
    timeout = ReadTimeoutError(endpoint_url="secretsmanager")
    slow = fails(timeout, times=99, before=lambda: hang.append(7))
    secrets = Client(rotating.secrets, put_secret_value=slow)
    assert rotating.run(secrets=secrets)["refreshed"]
    assert len(hang) == 1
    assert rotating.pending()["refresh_token"] == rotating.endpoint.current == "refresh-2"


def test_a_rotated_token_that_can_be_stored_nowhere_is_an_error(rotating: Bench) -> None:
    nowhere = {"secrets": no_secret(rotating), "ssm": Client(rotating.ssm, put_parameter=fails())}
    rotating.failure(CredentialsLost, "make connect", **nowhere)
    assert rotating.token() is None


@pytest.mark.parametrize(
    "put", [lambda *_, **__: {}, lambda *_, **__: int("no number")], ids=["empty", "unreadable"]
)
def test_an_unreadable_response_of_the_secret_costs_no_rotated_token(
    rotating: Bench, put: Operation
) -> None:
    assert rotating.run(secrets=Client(rotating.secrets, put_secret_value=put))["refreshed"]
    assert rotating.vault().credentials().refresh_token == "refresh-2"


def test_boto3_repeats_nothing_of_ssm_s_and_the_secret_s_waits_leave_time_to_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**ENVIRON, "AWS_DEFAULT_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(name, value)
    made = (wiring.settings, wiring.telemetry, wiring.http, wiring.token_refresher)
    try:
        for cached in made:
            cached.cache_clear()
        vault = wiring.token_refresher()._vault
    finally:
        for cached in made:
            cached.cache_clear()
    assert vault._ssm.meta.config.retries["total_max_attempts"] == 1
    config = vault._secrets.meta.config
    slowest = max(config.connect_timeout, config.read_timeout)
    assert slowest * config.retries["total_max_attempts"] < STORE_SECONDS - 2


def test_a_rotation_never_overwrites_what_connect_wrote_meanwhile(rotating: Bench) -> None:
    def connect_once() -> None:
        rotating.endpoint.before = lambda: None
        rotating.connect(refresh_token="refresh-by-hand")

    def reply(call: Call) -> Response:
        response = rotating.endpoint._handle(call)
        if len(rotating.endpoint.calls) == 1:
            rotating.endpoint.current = "refresh-by-hand"
        return response

    rotating.endpoint.before = connect_once
    rotating.endpoint._respond = reply
    assert rotating.run()["refreshed"]
    assert rotating.is_well()


def test_credentials_that_keep_changing_are_an_error(bench: Bench) -> None:
    bench.endpoint.before = lambda: bench.connect(note=time.perf_counter_ns())
    bench.failure(Unavailable, "changing")
    assert len(bench.endpoint.calls) == 3


# Trouble at the token endpoint: test_grant has what passes and what does not.

PASSING = oauth_error("unknown_error", "retry your request")
EXPIRED = oauth_error("invalid_grant", "expired access/refresh token")


@pytest.mark.parametrize("trouble", [PASSING, Response(503, {}, b"<html>"), Unavailable("down")])
def test_passing_trouble_is_tried_again(bench: Bench, trouble: Response | Exception) -> None:
    bench.endpoint.trouble = [trouble, trouble]
    assert bench.run()["refreshed"]
    assert len(bench.endpoint.calls) == 3


def test_lasting_trouble_is_raised_for_the_alarm(bench: Bench) -> None:
    bench.endpoint.trouble = [PASSING] * 9
    bench.failure(Unavailable, "retry your request")
    assert len(bench.endpoint.calls) == 4


def test_a_permanent_refusal_costs_one_request(bench: Bench) -> None:
    bench.endpoint.trouble = [EXPIRED] * 9
    refusal = bench.failure(CredentialsRevoked, "expired access/refresh token")
    assert (refusal.code, len(bench.endpoint.calls)) == ("invalid_grant", 1)


@pytest.mark.parametrize("trouble", [Response(503, {}, b""), EXPIRED], ids=["a pause", "a refusal"])
def test_credentials_that_changed_meanwhile_are_used(rotating: Bench, trouble: Response) -> None:
    def change() -> None:
        rotating.endpoint.before = lambda: None
        rotating.endpoint.trouble = [trouble]
        rotating.endpoint.current = "refresh-theirs"
        rotating.connect(refresh_token="refresh-theirs")

    rotating.endpoint.before = change
    assert rotating.run()["refreshed"]
    assert not rotating.endpoint.revoked


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
    failing = Client(getattr(bench, service), **{operation: fails(error)})
    assert bench.failure(AwsError, **{service: failing}).code == code
    assert "TokenRefreshFailed" in capsys.readouterr().out
    assert bench.endpoint.calls == []


def test_an_unreadable_response_to_giving_the_lease_back_fails_no_refresh(bench: Bench) -> None:
    dynamodb = Client(bench.dynamodb, delete_item=fails(UNREADABLE))
    assert bench.run(dynamodb=dynamodb)["refreshed"]
    assert bench.token() is not None


def test_time_is_kept_back_for_storing_what_a_response_holds(bench: Bench) -> None:
    bench.run(seconds=60)
    bench.refused(1, seconds=20)
    assert [round(call.seconds) for call in bench.endpoint.calls] == [15, 10]


# A signature that does not fit


def mismatch(bench: Bench, **more: Any) -> None:
    bench.endpoint.more = {"signature": "AAAA", **more}
    with pytest.raises(SignatureMismatch):
        bench.refused(None)
    bench.endpoint.more = {}


def test_a_rotated_token_with_a_wrong_signature_is_kept_unpublished(rotating: Bench) -> None:
    for _ in range(3):
        mismatch(rotating)
        assert rotating.token() is None
        assert rotating.stored_refresh_token() == "refresh-1"
        assert rotating.pending()["refresh_token"] == rotating.endpoint.current
        assert rotating.pending()["trusted"] == "refresh-1"
    # Somebody sets the consumer secret right.
    rotating.connect(note="mended")
    assert rotating.run()["refreshed"]
    assert rotating.is_well()
    assert rotating.refused(1)["refreshed"]


def test_a_forged_refresh_token_is_given_up_for_the_trusted_one(bench: Bench) -> None:
    mismatch(bench, refresh_token="forged-1")
    forged = signed_body(signature="AAAA", refresh_token="forged-2")
    bench.endpoint.trouble = [json_response(200, forged)]
    bench.failure(SignatureMismatch)
    assert bench.pending()["refresh_token"] == "forged-2"
    bench.endpoint.trouble = [EXPIRED]
    assert bench.run()["refreshed"]
    assert "forged" not in json.dumps(bench.pending())
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
    rotating.failure(CredentialsRevoked)
    assert rotating.run()["refreshed"]
    assert not rotating.endpoint.revoked


def test_nothing_of_a_response_for_another_user_is_kept(rotating: Bench) -> None:
    rotating.run()
    other = {"signature": "AAAA", "id": "https://login.salesforce.com/id/00Dother/005other"}
    rotating.endpoint.more = other
    with pytest.raises(SignatureMismatch):
        rotating.refused(1)
    assert rotating.pending() == {}


def test_without_rotation_a_wrong_signature_leaves_nothing_behind(bench: Bench) -> None:
    mismatch(bench)
    mismatch(bench, refresh_token="refresh-1")
    assert bench.pending() == {}


def test_an_unsigned_token_of_before_connect_is_not_used_after_it(rotating: Bench) -> None:
    mismatch(rotating)
    rotating.endpoint.current = "refresh-new"
    rotating.connect(refresh_token="refresh-new")
    assert rotating.run()["refreshed"]
    assert not rotating.endpoint.revoked


# Where credentials and tokens go


def test_a_token_for_another_host_is_not_published(bench: Bench) -> None:
    bench.endpoint.more = {"instance_url": "https://evil.example"}
    bench.failure(CredentialsRevoked, "AllowInsecureHosts")
    assert bench.token() is None


@pytest.mark.parametrize(
    "url",
    [
        *("http://login.example.org", "https://[::1", "https://login.example.org:x"),
        "https://a b",
    ],
)
def test_credentials_are_sent_over_tls_and_to_a_host(bench: Bench, url: str) -> None:
    bench.connect(login_url=url)
    refusal = bench.failure(CredentialsRevoked, "not https")
    assert refusal.code == "UNTRUSTED_LOGIN_URL"
    assert url not in str(refusal) and not bench.endpoint.calls


@pytest.mark.parametrize("odd", [{"a": 1}, ["a"], 7, True, "two\nlines", "\ud83d", " "])
def test_something_else_than_a_token_is_not_published(bench: Bench, odd: Any) -> None:
    bench.endpoint.more = {"access_token": odd}
    bench.failure(Unavailable)
    assert bench.token() is None


@pytest.mark.parametrize(
    "trouble",
    [
        oauth_error("invalid_grant", "Anna Berg may not log in from here"),
        oauth_error("Anna Berg", "inactive user"),
        oauth_error("unknown_error", "Anna Berg"),
        json_response(403, [{"errorCode": "Anna", "message": "Anna Berg has no calls left"}]),
    ],
)
def test_only_known_texts_of_the_token_endpoint_are_logged(
    bench: Bench, capsys: pytest.CaptureFixture[str], trouble: Response
) -> None:
    bench.endpoint.trouble = [trouble] * 9
    error: BaseException | None = bench.failure(BridgeError)
    while error is not None:
        assert "Anna" not in str(error) and "anna" not in getattr(error, "code", "")
        error = error.__cause__
    assert "Anna" not in capsys.readouterr().out
