"""A token response becomes a grant, or an error that says what to do."""

from __future__ import annotations

import contextlib
import hmac
from typing import Any

import pytest

from bridge.errors import Unavailable
from bridge.http import Response
from bridge.oauth.access_token import AccessToken
from bridge.oauth.grant import (
    Credentials,
    Grant,
    GrantRefused,
    SignatureMismatch,
    grant_hint,
    loggable_error,
    read_grant,
)
from tests.unit.doubles import INSTANCE, fault, json_response
from tests.unit.token_endpoint import CLIENT_SECRET, oauth_error, signed_body

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


def read(response: Response, *, previous: AccessToken | None = OLD) -> Grant:
    return read_grant(response, credentials=CREDENTIALS, previous=previous, now=NOW)


# A response


def test_a_token_response_is_read() -> None:
    body = signed_body(refresh_token="refresh-2")
    grant = read(json_response(200, body))
    assert grant.token == AccessToken(
        access_token="00D8d!new",
        instance_url=INSTANCE,
        issued_at=body["issued_at"],
        scope="api refresh_token",
        id=body["id"],
        generation=5,
    )
    assert grant.refresh_token == "refresh-2"
    assert "00D8d!new" not in repr(grant) and "refresh-2" not in repr(grant)


@pytest.mark.parametrize("odd", [None, 7, {}, ["x"], "\ud83d"])
def test_what_a_response_lacks_is_kept_from_the_previous_token(odd: Any) -> None:
    names = ("instance_url", "scope", "id", "issued_at", "refresh_token")
    grant = read(json_response(200, {"access_token": "new", **dict.fromkeys(names, odd)}))
    assert (grant.token.instance_url, grant.token.scope, grant.token.id) == (INSTANCE, "api", "")
    assert grant.token.issued_at == str(int(NOW * 1000))
    assert grant.refresh_token == ""


def test_a_first_token_without_an_instance_is_for_the_login_url() -> None:
    grant = read(json_response(200, {"access_token": "new"}), previous=None)
    assert (grant.token.instance_url, grant.token.generation) == (CREDENTIALS.login_url, 1)


def test_a_form_encoded_response_is_read_too() -> None:
    body = b"access_token=a%21b&instance_url=https%3A%2F%2Fx.salesforce.com%2F"
    grant = read(Response(200, {}, body), previous=None)
    assert grant.token.access_token == "a!b"
    assert grant.token.instance_url == "https://x.salesforce.com"


RIGHT = signed_body()


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"issued_at": "1"}, False),
        ({"id": "x"}, False),
        *(({"signature": odd}, False) for odd in ("AAAA", 7, {"a": 1}, ["x"], "\ud83d")),
        ({"signature": "!" + RIGHT["signature"][1:]}, False),
        ({"signature": RIGHT["signature"][:-1] + "!"}, False),
    ],
)
def test_a_signature_has_to_fit_and_is_compared_steadily(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], fits: bool
) -> None:
    compared: list[bytes] = []
    compare = hmac.compare_digest
    monkeypatch.setattr(
        hmac, "compare_digest", lambda one, other: compared.append(other) or compare(one, other)
    )
    with contextlib.nullcontext() if fits else pytest.raises(SignatureMismatch):
        read(json_response(200, {**RIGHT, **change}))
    assert len(compared) == 1


@pytest.mark.parametrize(
    "response",
    [
        *(Response(status, {}, b"") for status in (200, 302, 400)),
        *(Response(status, {}, b"<html>maintenance</html>") for status in (200, 503)),
        *(json_response(200, body) for body in ([], {"access_token": ""}, {"access_token": None})),
        *(json_response(status, {"access_token": "x"}) for status in (101, 500)),
    ],
)
def test_a_response_without_a_token_is_passing_trouble(response: Response) -> None:
    with pytest.raises(Unavailable):
        read(response)


@pytest.mark.parametrize(
    ("response", "permanent"),
    [
        (oauth_error("invalid_grant", "expired access/refresh token"), True),
        (oauth_error("invalid_grant", "token request is already being processed"), False),
        (fault("REQUEST_LIMIT_EXCEEDED", status=403), False),  # as the REST API has it
    ],
)
def test_an_error_at_the_token_endpoint_is_judged(response: Response, permanent: bool) -> None:
    with pytest.raises(GrantRefused) as caught:
        read(response)
    assert bool(caught.value.hint) is permanent


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
    hint = grant_hint(error, description, status)
    assert hint.endswith(".") if permanent else not hint


@pytest.mark.parametrize(
    ("error", "description"),
    [("invalid_grant", "expired access/refresh token"), ("something_new", "")],
)
def test_a_hint_names_the_command_to_connect_again(error: str, description: str) -> None:
    assert "make connect" in grant_hint(error, description, 400)


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
