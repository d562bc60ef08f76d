"""The session that calls use: one read, at most one refresh, and never a loop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.aws import AwsError, FunctionError
from bridge.deadline import Deadline
from bridge.errors import (
    CredentialsRevoked,
    FreshSessionRefused,
    InstanceMoved,
    NotConnected,
    SessionRefused,
    TokenPending,
    Unavailable,
)
from bridge.oauth.access_token import AccessToken
from bridge.oauth.sessions import Sessions
from bridge.salesforce.session import Session
from bridge.settings import Settings
from tests.conftest import MakeSettings
from tests.unit.doubles import INSTANCE, SmallAws

ELSEWHERE = AccessToken(access_token="t", instance_url="https://evil.example")


class Tries:
    """Stands for a call to Salesforce: takes some tokens and refuses all others."""

    def __init__(self, *accepted: str, refusal: type[SessionRefused] = SessionRefused) -> None:
        self.accepted = accepted
        self.refusal = refusal
        self.seen: list[str] = []

    def __call__(self, session: Session) -> str:
        self.seen.append(session.access_token)
        if session.access_token not in self.accepted:
            raise self.refusal("Session expired or invalid")
        return "done"


class Stand:
    """Sessions with AWS in memory, where no token is stored yet."""

    def __init__(self, settings: Settings) -> None:
        self.aws = SmallAws()
        self.sessions = Sessions(aws=self.aws, settings=settings)

    def call(self, attempt: Callable[[Session], str], *, seconds: float = 5) -> str:
        return self.sessions.call(attempt, deadline=Deadline.after(seconds))

    def use(self, *accepted: str, seconds: float = 5) -> list[str]:
        """Make a call that takes these tokens only; returns those that were tried."""
        tries = Tries(*accepted)
        assert self.call(tries, seconds=seconds) == "done"
        return tries.seen

    def pending(self, *, seconds: float = 5) -> str:
        """Make a call that gets no token in time; returns why."""
        with pytest.raises(TokenPending) as caught:
            self.call(Tries(), seconds=seconds)
        return caught.value.code

    def renews(self, text: str) -> Callable[[Any], Any]:
        """A RefreshToken that publishes this token and returns it."""

        def refresh(payload: Any) -> Any:
            generation = (payload["refused_generation"] or 0) + 1
            self.aws.publish(text, generation)
            return {"generation": generation, "refreshed": True, "token": self.aws.stored()}

        return refresh


@pytest.fixture
def empty(settings: MakeSettings) -> Stand:
    return Stand(settings())


@pytest.fixture
def stand(empty: Stand) -> Stand:
    """The same with a stored token of the first generation."""
    empty.aws.publish("token-1", 1)
    return empty


# The stored value


def test_a_token_comes_back_as_it_was_stored() -> None:
    token = AccessToken(
        access_token="t", instance_url=INSTANCE, issued_at="1", scope="api", id="i", generation=3
    )
    assert AccessToken.parse(token.dump()) == token
    assert "'t'" not in repr(token)


@pytest.mark.parametrize(
    "value",
    [
        *("", "x", "null", "[]", "{}", '{"access_token": "t"}'),
        '{"access_token": "t", "generation": {}}',
        '{"access_token": "t", "instance_url": "i", "generation": 1e400}',
        '{"access_token": 7, "instance_url": "https://acme.my.salesforce.com"}',
        '{"access_token": "two\\r\\nlines", "instance_url": "https://acme.my.salesforce.com"}',
        '{"access_token": "t", "instance_url": {}}',
        '{"access_token": "t", "instance_url": "i", "generation": ' + "9" * 4300 + "}",
        "[" * 100_000,
    ],
)
def test_what_is_no_token_is_as_if_there_were_none(value: str) -> None:
    assert AccessToken.parse(value) is None


def test_what_a_later_release_stores_beside_a_token_is_ignored() -> None:
    value = '{"access_token": "t", "instance_url": "https://x.my.salesforce.com"'
    assert AccessToken.parse(value + ', "later": []}') == AccessToken.parse(value + "}") is not None


def test_a_token_s_age_is_counted_from_when_it_was_issued() -> None:
    token = AccessToken(access_token="t", instance_url=INSTANCE, issued_at="1790236800000")
    assert token.age_seconds(1790236860.0) == 60
    for unknown in ("", "soon", "1" * 400, "1" * 5000, "9" * 400, "9" * 5000):
        assert replace(token, issued_at=unknown).age_seconds(0) == float("inf")


# Calls


def test_a_token_is_read_once_and_kept(stand: Stand) -> None:
    for _ in range(5):
        stand.use("token-1")
    assert (stand.aws.reads, stand.aws.invoked) == (1, [])


def test_a_refused_token_costs_one_read_and_if_that_is_refused_too_it_is_renewed(
    stand: Stand,
) -> None:
    stand.use("token-1")
    stand.aws.publish("token-2", 2)
    assert stand.use("token-2") == ["token-1", "token-2"]
    assert (stand.aws.reads, stand.aws.invoked) == (2, [])
    stand.aws.publish("token-3", 7)
    stand.aws.refresh = stand.renews("token-4")
    assert stand.use("token-4") == ["token-2", "token-3", "token-4"]
    assert stand.aws.invoked == [{"refused_generation": 7}]


@pytest.mark.parametrize("warm", [True, False])
def test_renewing_a_token_costs_one_read(stand: Stand, warm: bool) -> None:
    if warm:
        stand.use("token-1")
        stand.aws.reads = 0
    stand.aws.refresh = stand.renews("token-2")
    stand.use("token-2")
    assert (stand.aws.reads, stand.aws.invoked) == (1, [{"refused_generation": 1}])
    # What came with the result is kept like what is read.
    stand.use("token-2")
    assert (stand.aws.reads, len(stand.aws.invoked)) == (1, 1)


@pytest.mark.parametrize("token", [None, 7, "no JSON", ELSEWHERE.dump()])
@pytest.mark.parametrize("first", [False, True])
def test_a_result_without_a_token_that_may_be_used_leads_to_the_stored_one(
    stand: Stand, clock: list[float], token: Any, first: bool
) -> None:
    if first:
        stand.aws.parameters.clear()
    stand.aws.refresh = lambda payload: {**stand.renews("token-2")(payload), "token": token}
    assert stand.use("token-2") == (["token-2"] if first else ["token-1", "token-2"])


@pytest.mark.parametrize("warm", [True, False])
def test_where_ssm_throttles_it_is_read_again_after_one_two_and_four_seconds(
    stand: Stand, clock: list[float], warm: bool
) -> None:
    if warm:
        stand.use("token-1")
    stand.aws.broken["ssm"] = AwsError("ThrottlingException", "Rate exceeded", status=400)
    before = stand.aws.reads
    assert stand.pending(seconds=9) == "ThrottlingException"
    # Who does not know whether the token was renewed does not have it renewed.
    assert stand.aws.invoked == []
    assert stand.aws.reads - before == 1 + len(clock)
    first, second, third, *last = clock
    assert 0.5 <= first <= 1 <= second <= 2 <= third <= 4
    assert all(pause <= 4 for pause in last) and sum(clock) == pytest.approx(8)


def test_callers_do_not_read_together(settings: MakeSettings, clock: list[float]) -> None:
    for _ in range(20):
        stand = Stand(settings())
        stand.aws.publish("token-1", 1)
        stand.pending(seconds=1.9)
    assert len({round(pause, 3) for pause in clock}) > 10


def test_a_refused_fresh_token_is_configuration(stand: Stand) -> None:
    stand.aws.refresh = stand.renews("token-2")
    tries = Tries()
    # For a few seconds no call is made again: a person has to connect the org.
    for _ in range(2):
        with pytest.raises(FreshSessionRefused):
            stand.call(tries)
    assert tries.seen == ["token-1", "token-2"]
    assert len(stand.aws.invoked) == 1


def test_the_same_token_back_is_known_by_its_generation(stand: Stand) -> None:
    stand.aws.refresh = stand.renews("token-1")

    def accept_the_second_generation(session: Session) -> str:
        if session.generation == 1:
            raise SessionRefused("Session expired or invalid")
        return "done"

    assert stand.call(accept_the_second_generation) == "done"


def test_vain_renewals_become_rare(stand: Stand, clock: list[float]) -> None:
    # A page of maintenance answers with 200, or a redirect, for an hour; each renewal is a login.
    stand.aws.refresh = stand.renews("token-2")
    moved = Tries(refusal=InstanceMoved)

    def fail(seconds: float, *, times: int) -> None:
        for _ in range(times):
            with pytest.raises(Unavailable):
                stand.call(moved)
            time.sleep(seconds)

    fail(1, times=3600)
    assert 55 < len(stand.aws.invoked) < 70
    # Salesforce is called all the same, and the first success ends the trouble.
    assert len(moved.seen) >= 3600
    stand.use("token-2")
    stand.aws.invoked.clear()
    fail(10, times=8)
    assert len(stand.aws.invoked) == 4


def test_a_moved_instance_does_not_keep_an_expired_session_from_being_renewed(stand: Stand) -> None:
    stand.aws.refresh = stand.renews("token-2")
    with pytest.raises(Unavailable):
        stand.call(Tries(refusal=InstanceMoved))
    assert len(stand.aws.invoked) == 1
    stand.aws.refresh = stand.renews("token-3")
    stand.use("token-3")


def test_a_count_that_began_anew_is_no_reason_to_wait(empty: Stand, clock: list[float]) -> None:
    empty.aws.publish("token-1", 7)
    empty.use("token-1")
    empty.aws.parameters.clear()
    empty.aws.refresh = lambda payload: empty.renews("token-2")({"refused_generation": None})
    empty.use("token-2", seconds=3)
    assert clock == []


@pytest.mark.parametrize(
    "value",
    [None, "not json", '{"access_token": "t", "instance_url": ""}', ELSEWHERE.dump()],
    ids=["none", "no JSON", "no instance", "a stranger's"],
)
def test_a_stored_value_that_is_no_token_for_salesforce_is_replaced(
    empty: Stand, value: str | None
) -> None:
    if value is not None:
        empty.aws.parameters["/bird-salesforce/access-token"] = value
    empty.aws.refresh = empty.renews("token-1")
    assert empty.use("token-1") == ["token-1"]
    assert json.loads(json.dumps(empty.aws.invoked)) == [{"refused_generation": None}]


# As SSM passes KMS's errors on, in public reports: stelligent/mu#345 and segmentio/chamber#355 (a
# key that is pending deletion), tryolabs/aws-workshop#6 (one that may not be used). The last is
# IAM's newer text for a missing right.
NOT_DECRYPTED = {
    "arn:aws:kms:eu-west-1:1:key/k is pending deletion. (Service: AWSKMS)": "InvalidKeyId",
    "The ciphertext refers to a customer master key that does not exist, does not exist in this "
    "region, or you are not allowed to access. (Service: AWSKMS; Status Code: 400)": (
        "AccessDeniedException"
    ),
    "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: kms:Decrypt on the "
    "resource associated with this ciphertext": "AccessDeniedException",
}


@pytest.mark.parametrize(("text", "code"), NOT_DECRYPTED.items())
def test_a_token_that_cannot_be_decrypted_is_renewed(empty: Stand, text: str, code: str) -> None:
    empty.aws.broken["ssm"] = AwsError(code, text)

    def renew(payload: Any) -> Any:
        del empty.aws.broken["ssm"]
        return empty.renews("token-2")(payload)

    empty.aws.refresh = renew
    empty.use("token-2")
    assert empty.aws.invoked == [{"refused_generation": None}]


def test_no_right_to_read_the_token_renews_nothing(empty: Stand) -> None:
    text = "User: u is not authorized to perform: ssm:GetParameter"
    empty.aws.broken["ssm"] = AwsError("AccessDeniedException", text)
    empty.pending()
    assert empty.aws.invoked == []


# What RefreshToken returns


def test_before_anybody_connected_the_fix_is_named_and_not_asked_for_again(empty: Stand) -> None:
    empty.aws.refresh = lambda payload: {"connected": False}
    for _ in range(3):
        with pytest.raises(NotConnected) as caught:
            empty.call(Tries())
        assert "make connect" in caught.value.hint
    assert len(empty.aws.invoked) == 1


def test_what_needs_a_person_comes_back_by_its_name(empty: Stand) -> None:
    empty.aws.refresh = lambda payload: FunctionError("CredentialsRevoked", "run make connect")
    with pytest.raises(CredentialsRevoked, match="make connect"):
        empty.call(Tries())


@pytest.mark.parametrize("error_type", ["Unavailable", "Sandbox.Timedout", "Refused", "x", ""])
def test_a_refresh_that_failed_otherwise_is_passing(empty: Stand, error_type: str) -> None:
    empty.aws.refresh = lambda payload: FunctionError(error_type, "m")
    empty.pending()


@pytest.mark.parametrize("generation", [0, 1])
def test_a_refused_token_is_no_newer_one(empty: Stand, clock: list[float], generation: int) -> None:
    empty.aws.publish("token-1", generation)
    tries = Tries()
    with pytest.raises(TokenPending):
        empty.call(tries)
    assert tries.seen == ["token-1"]


@pytest.mark.parametrize("status", [None, 0, 429, 500])
def test_while_somebody_else_refreshes_the_newer_token_is_waited_for(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    if status is not None:  # else RefreshToken says that it is busy
        stand.aws.broken["lambda"] = AwsError("TooManyRequestsException", "x", status=status)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            stand.aws.publish("token-2", 2)

    monkeypatch.setattr(time, "sleep", sleep)
    stand.use("token-2", seconds=9)
    first, second, third = pauses
    assert 0.5 <= first <= 1 <= second <= 2 <= third <= 4
    assert len(stand.aws.invoked) == 1


def then(aws: SmallAws, first: Any, second: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A RefreshToken that raises or returns the first, and does the second when invoked again."""

    def refresh(payload: Any) -> Any:
        if len(aws.invoked) > 1:
            return second(payload)
        if isinstance(first, Exception):
            raise first
        return first

    return refresh


def test_a_refresh_that_was_killed_is_asked_for_once_more(stand: Stand, clock: list[float]) -> None:
    killed = AwsError("NO_ANSWER", "broke off")
    stand.aws.refresh = then(stand.aws, killed, stand.renews("token-2"))
    stand.use("token-2", seconds=45)
    assert stand.aws.invoked == [{"refused_generation": 1}] * 2
    assert 10 <= sum(clock) < 14


def test_what_the_second_request_for_a_token_says_counts(stand: Stand, clock: list[float]) -> None:
    revoked = FunctionError("CredentialsRevoked", "run make connect")
    stand.aws.refresh = then(stand.aws, {"busy": True}, lambda payload: revoked)
    with pytest.raises(CredentialsRevoked):
        stand.call(Tries(), seconds=45)
    assert sum(clock) < 14


def test_a_refresh_that_never_comes_is_asked_for_twice_and_no_more(
    stand: Stand, clock: list[float]
) -> None:
    stand.pending(seconds=45)
    assert len(stand.aws.invoked) == 2
    assert 43 < sum(clock) <= 45


def test_a_refresh_that_took_all_the_time_is_what_was_waited_for(
    stand: Stand, clock: list[float]
) -> None:
    def hang(payload: Any) -> Any:
        time.sleep(5)
        raise AwsError("NO_ANSWER", "did not answer in time")

    stand.aws.refresh = hang
    assert stand.pending() == "TOKEN_PENDING"
    assert stand.aws.reads == 1


def test_a_refresh_that_is_not_allowed_is_not_waited_for(empty: Stand) -> None:
    empty.aws.broken["lambda"] = AwsError("AccessDeniedException", "x", status=403)
    assert empty.pending() == "AccessDeniedException"


def test_other_trouble_is_the_caller_s(stand: Stand) -> None:
    def fails(session: Session) -> str:
        raise Unavailable("down")

    with pytest.raises(Unavailable, match="down"):
        stand.call(fails)
    assert stand.aws.invoked == []
