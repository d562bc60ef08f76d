"""A token response becomes a grant, or an error that says what to do."""

from __future__ import annotations

import contextlib
import hmac
from typing import Any

import pytest

from bridge.errors import Unavailable
from bridge.http import Response
from bridge.oauth.access_token import AccessToken
from bridge.oauth.credentials import Credentials
from bridge.oauth.grant import (
    GRANT_DESCRIPTIONS,
    GRANT_FAILURES,
    GrantRefused,
    SignatureMismatch,
    grant_failure,
    loggable_error,
    read_grant,
)
from tests.unit.doubles import INSTANCE, fault, json_response
from tests.unit.token_endpoint import CLIENT_SECRET, signed_body

NOW = 1790236800.0
CREDENTIALS = Credentials(
    login_url="https://login.salesforce.com",
    client_id="client",
    client_secret=CLIENT_SECRET,
    refresh_token="refresh-1",
)
OLD = AccessToken(
    access_token="old", instance_url=INSTANCE, issued_at="1", scope="api", generation=4
)


# A response


def test_a_token_response_is_read() -> None:
    answer = signed_body(refresh_token="refresh-2")
    grant = read_grant(json_response(200, answer), credentials=CREDENTIALS, previous=OLD, now=NOW)
    assert grant.token == AccessToken(
        access_token="00D8d!new",
        instance_url=INSTANCE,
        issued_at=answer["issued_at"],
        scope="api refresh_token",
        id=answer["id"],
        generation=5,
    )
    assert grant.refresh_token == "refresh-2"
    assert "00D8d!new" not in repr(grant) and "refresh-2" not in repr(grant)


def test_what_a_response_lacks_is_kept_from_the_previous_token() -> None:
    body = {"access_token": "new", "token_type": "Bearer"}
    grant = read_grant(json_response(200, body), credentials=CREDENTIALS, previous=OLD, now=NOW)
    assert (grant.token.instance_url, grant.token.scope) == (INSTANCE, "api")
    assert grant.token.issued_at == str(int(NOW * 1000))
    assert grant.refresh_token == ""


def test_a_first_token_without_an_instance_is_for_the_login_url() -> None:
    body = {"access_token": "new"}
    grant = read_grant(json_response(200, body), credentials=CREDENTIALS, previous=None, now=NOW)
    assert (grant.token.instance_url, grant.token.generation) == (CREDENTIALS.login_url, 1)


def test_a_form_encoded_response_is_read_too() -> None:
    answer = Response(200, {}, b"access_token=a%21b&instance_url=https%3A%2F%2Fx.salesforce.com%2F")
    grant = read_grant(answer, credentials=CREDENTIALS, previous=None, now=NOW)
    assert grant.token.access_token == "a!b"
    assert grant.token.instance_url == "https://x.salesforce.com"


@pytest.mark.parametrize("change", [{"issued_at": "1"}, {"id": "x"}, {"signature": "AAAA"}])
def test_a_signature_that_does_not_fit_is_not_accepted(change: dict[str, str]) -> None:
    with pytest.raises(SignatureMismatch):
        read_grant(
            json_response(200, signed_body(**change)),
            credentials=CREDENTIALS,
            previous=OLD,
            now=NOW,
        )


@pytest.mark.parametrize("at", [None, 0, -2])
def test_a_signature_is_compared_steadily(monkeypatch: pytest.MonkeyPatch, at: int | None) -> None:
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    body = signed_body()
    if at is not None:
        whole = body["signature"]
        changed = "A" if whole[at] != "A" else "B"
        body["signature"] = whole[:at] + changed + whole[at:][1:]
    with pytest.raises(SignatureMismatch) if at is not None else contextlib.nullcontext():
        read_grant(json_response(200, body), credentials=CREDENTIALS, previous=OLD, now=NOW)
    assert compared == [body["signature"].encode()]


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, {}, b""),
        Response(200, {}, b"<html>maintenance</html>"),
        json_response(200, {"access_token": ""}),
        json_response(200, {"access_token": None}),
        json_response(500, {"access_token": "x"}),
        json_response(101, {"access_token": "x"}),
        Response(302, {}, b""),
        Response(503, {}, b"<html>"),
        Response(400, {}, b""),
        json_response(200, []),
    ],
)
def test_a_response_without_a_token_is_passing_trouble(answer: Response) -> None:
    with pytest.raises(Unavailable):
        read_grant(answer, credentials=CREDENTIALS, previous=OLD, now=NOW)


@pytest.mark.parametrize(
    "description, permanent",
    [("expired access/refresh token", True), ("token request is already being processed", False)],
)
def test_an_oauth_error_is_judged(description: str, permanent: bool) -> None:
    body = {"error": "invalid_grant", "error_description": description}
    with pytest.raises(GrantRefused) as caught:
        read_grant(json_response(400, body), credentials=CREDENTIALS, previous=OLD, now=NOW)
    assert caught.value.failure.permanent is permanent


def test_a_rest_error_at_the_token_endpoint_is_passing_trouble() -> None:
    with pytest.raises(GrantRefused) as caught:
        read_grant(
            fault("REQUEST_LIMIT_EXCEEDED", status=403),
            credentials=CREDENTIALS,
            previous=OLD,
            now=NOW,
        )
    assert not caught.value.failure.permanent


@pytest.mark.parametrize("odd", [7, {}, ["x"], "\ud83d"])
def test_parts_of_the_wrong_type_are_left_out(odd: Any) -> None:
    body = {"access_token": "new", "instance_url": odd, "scope": odd, "id": odd, "issued_at": odd}
    grant = read_grant(json_response(200, body), credentials=CREDENTIALS, previous=OLD, now=NOW)
    assert (grant.token.instance_url, grant.token.scope, grant.token.id) == (INSTANCE, "api", "")
    signature = {**body, "signature": odd or 7}
    with pytest.raises(SignatureMismatch):
        read_grant(json_response(200, signature), credentials=CREDENTIALS, previous=OLD, now=NOW)


# An OAuth error

GRANTS = [
    (400, "invalid_grant", "expired access/refresh token", True),
    (400, "invalid_grant", "token request is already being processed", False),
    (400, "invalid_grant", "Token request is already being processed ", False),
    (400, "invalid_grant", "expired authorization code", True),
    (400, "invalid_grant", "invalid authorization code", True),
    (400, "invalid_grant", "authentication failure", True),
    (400, "invalid_grant", "authentication failure - Invalid Password", True),
    (400, "invalid_grant", "inactive user", True),
    (400, "invalid_grant", "user hasn't approved this consumer", True),
    (400, "invalid_grant", "no client credentials user enabled", True),
    (400, "invalid_grant", "ip restricted or invalid login hours", True),
    (400, "invalid_grant", "audience validation failed", True),
    (400, "invalid_grant", "token validity expired", True),
    (400, "invalid_grant", "request not supported on this domain", True),
    (400, "invalid_grant", "Login Rate Exceeded", False),
    (400, "invalid_app_access", "user is not admin approved to access this app", True),
    (400, "invalid_client_id", "client identifier invalid", True),
    (400, "invalid_client", "invalid client credentials", True),
    (400, "invalid_client", "app must be installed into org", True),
    (400, "unsupported_grant_type", "grant type not supported", True),
    (400, "invalid_request", "must use HTTP POST", True),
    (400, "inactive_user", "", True),
    (400, "inactive_org", "", True),
    (400, "rate_limit_exceeded", "number of logins exceeded", False),
    (400, "LOGIN_RATE_EXCEEDED", "Login Rate Exceeded", False),
    (400, "unknown_error", "retry your request", False),
    (500, "unknown_error", "retry your request", False),
    (400, "something_new", "", True),
    (500, "something_new", "", False),
    (429, "something_new", "", False),
    (400, "", "", False),
]


@pytest.mark.parametrize(("status", "error", "description", "permanent"), GRANTS)
def test_an_oauth_error_passes_or_needs_a_person(
    status: int, error: str, description: str, permanent: bool
) -> None:
    failure = grant_failure(error, description, status)
    assert failure.permanent is permanent
    assert failure.hint


def test_a_hint_names_the_command_to_connect_again() -> None:
    assert (
        "make connect" in grant_failure("invalid_grant", "expired access/refresh token", 400).hint
    )
    assert "make connect" in grant_failure("something_new", "", 400).hint
    assert all(failure.hint.endswith(".") for failure in GRANT_FAILURES.values())


@pytest.mark.parametrize(
    ("error", "description", "logged"),
    [
        ("invalid_grant", "Inactive user ", ("invalid_grant", "inactive user")),
        ("unknown_error", "retry your request", ("unknown_error", "retry your request")),
        ("invalid_grant", "Anna Berg may not log in", ("invalid_grant", "")),
        ("INVALID_GRANT", "", ("invalid_grant", "")),
        ("Anna Berg", "inactive user", ("other_error", "inactive user")),
        ("x" * 41, "", ("other_error", "")),
        ("", "", ("other_error", "")),
        ("grün", "", ("other_error", "")),
    ],
)
def test_only_known_texts_of_an_oauth_error_are_logged(
    error: str, description: str, logged: tuple[str, str]
) -> None:
    assert loggable_error(error, description) == logged


def test_every_description_in_the_table_may_be_logged() -> None:
    assert {words for _, words in GRANT_FAILURES} - {""} <= GRANT_DESCRIPTIONS
