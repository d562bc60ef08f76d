"""authlib as it comes from PyPI: code with PKCE, refresh, introspection, revocation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from sandbox.org import OrgServer, sample
from tests.cli.person import Person

VERIFIER = "a-code-verifier-of-forty-three-characters-.~_"


@pytest.fixture(params=["client_secret_basic", "client_secret_post"])
def client(server: OrgServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The app's client, which sends its secret in one of the two ways that Salesforce takes."""
    with OAuth2Session(
        sample.CLIENT_ID,
        sample.CLIENT_SECRET,
        scope="api refresh_token",
        redirect_uri=sample.CALLBACKS[0],
        code_challenge_method="S256",
        token_endpoint_auth_method=request.param,
        revocation_endpoint_auth_method=request.param,
    ) as session:
        yield session


@pytest.fixture
def base(server: OrgServer) -> str:
    return f"{server.url}/services/oauth2"


def signed_in(client: Any, base: str) -> str:
    """The address that the browser is sent to, once the user has logged in and allowed."""
    address, state = client.create_authorization_url(f"{base}/authorize", code_verifier=VERIFIER)
    sent = parse_qs(urlsplit(address).query)
    assert sent["code_challenge_method"] == ["S256"]
    back = Person().sign_in_without_following(address)
    assert parse_qs(urlsplit(back).query)["state"] == [state]
    return back


def connect(client: Any, base: str) -> dict[str, Any]:
    token: dict[str, Any] = client.fetch_token(
        f"{base}/token", authorization_response=signed_in(client, base), code_verifier=VERIFIER
    )
    return token


def test_a_code_becomes_tokens_and_the_access_token_works(
    client: Any, base: str, server: OrgServer
) -> None:
    token = connect(client, base)
    assert token["token_type"] == "Bearer"
    assert token["refresh_token"].startswith("5Aep861")
    assert "expires_in" not in token
    lead = {"LastName": "Jansen", "Company": "x"}
    made = client.post(f"{token['instance_url']}/services/data/v68.0/sobjects/Lead", json=lead)
    assert made.status_code == 201
    assert len(server.org.records("Lead")) == 1


@pytest.mark.parametrize(
    ("verifier", "error"),
    [(VERIFIER.replace("a", "b"), "invalid_request"), (None, "invalid_grant")],
)
def test_a_code_needs_its_verifier(
    client: Any, base: str, verifier: str | None, error: str
) -> None:
    back = signed_in(client, base)
    with pytest.raises(OAuthError) as refused:
        client.fetch_token(f"{base}/token", authorization_response=back, code_verifier=verifier)
    assert refused.value.error == error


def test_a_code_works_once(client: Any, base: str) -> None:
    back = signed_in(client, base)
    client.fetch_token(f"{base}/token", authorization_response=back, code_verifier=VERIFIER)
    with pytest.raises(OAuthError, match="expired authorization code"):
        client.fetch_token(f"{base}/token", authorization_response=back, code_verifier=VERIFIER)


@pytest.mark.parametrize("rotation", [False, True])
def test_a_refresh_gives_a_new_access_token(
    client: Any, base: str, server: OrgServer, rotation: bool
) -> None:
    server.org.oauth.apps[sample.CLIENT_ID].rotation = rotation
    first = connect(client, base)
    second = client.refresh_token(f"{base}/token")
    assert second["access_token"] != first["access_token"]
    assert (second["refresh_token"] != first["refresh_token"]) is rotation
    if rotation:
        with pytest.raises(OAuthError, match="expired access/refresh token"):
            client.refresh_token(f"{base}/token", refresh_token=first["refresh_token"])


def test_introspection_tells_what_is_active(client: Any, base: str) -> None:
    token = connect(client, base)

    def look(name: str) -> dict[str, Any]:
        found = client.introspect_token(f"{base}/introspect", token[name], token_type_hint=name)
        body: dict[str, Any] = found.json()
        return body

    access = look("access_token")
    assert (access["active"], access["token_type"]) == (True, "access_token")
    assert access["username"] == sample.INTEGRATION_USER
    assert access["exp"] > access["iat"]
    assert look("refresh_token")["client_id"] == sample.CLIENT_ID
    client.revoke_token(f"{base}/revoke", token["access_token"])
    assert look("access_token") == {"active": False}
    assert look("refresh_token")["active"] is True


def test_revoking_the_refresh_token_ends_its_access_tokens(client: Any, base: str) -> None:
    token = connect(client, base)
    revoked = client.revoke_token(f"{base}/revoke", token["refresh_token"])
    assert (revoked.status_code, revoked.text) == (200, "")
    url = f"{token['instance_url']}/services/data/v68.0/limits"
    assert client.get(url).json()[0]["errorCode"] == "INVALID_SESSION_ID"
    with pytest.raises(OAuthError) as refused:
        client.refresh_token(f"{base}/token")
    assert refused.value.error == "invalid_grant"
    again = client.revoke_token(f"{base}/revoke", token["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "unsupported_token_type")
