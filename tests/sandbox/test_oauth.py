"""Tokens: how they are got, renewed, lost, and what each refusal says.

Code with PKCE, rotation, introspection and revocation are held against authlib and jsforce
(tests/slow/clients), the consent page's refusals against `connect` (tests/cli/test_connect.py).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest

from sandbox.org import Org, OrgServer, sample
from sandbox.org.oauth.tokens import App
from tests.cli.person import Person, Seen, administrator

from .conftest import Caller

VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
CALLBACK = sample.CALLBACKS[0]


def refused(error: str, description: str) -> tuple[int, dict[str, str]]:
    return 400, {"error": error, "error_description": description}


EXPIRED = refused("invalid_grant", "expired access/refresh token")


@pytest.fixture
def app(org: Org) -> App:
    return org.oauth.apps[sample.CLIENT_ID]


@pytest.fixture
def tokens(org: Org) -> dict[str, Any]:
    """The answer that connected the integration user."""
    return org.oauth.approve(
        sample.CLIENT_ID, sample.INTEGRATION_USER, "api", "refresh_token", "offline_access"
    )


def refresh(caller: Caller, token: str, **more: str) -> tuple[int, dict[str, Any]]:
    return caller.token_call(grant_type="refresh_token", refresh_token=token, **more)


# --- the web-server flow ------------------------------------------------------------------


def authorize(caller: Caller, **parameters: str) -> str:
    wanted = {
        "response_type": "code",
        "client_id": sample.CLIENT_ID,
        "redirect_uri": CALLBACK,
        "scope": "api refresh_token",
        **parameters,
    }
    return f"{caller.server.url}/services/oauth2/authorize?{urlencode(wanted)}"


def sent_back(caller: Caller, **parameters: str) -> dict[str, list[str]]:
    """The query with which the browser comes back to the app without any page."""
    response = caller.http.request("GET", authorize(caller, **parameters), redirect=False)
    assert response.status == 302
    return parse_qs(urlsplit(response.headers["Location"]).query)


def code_for(caller: Caller, **parameters: str) -> str:
    back = Person().sign_in_without_following(authorize(caller, **PKCE, **parameters))
    return parse_qs(urlsplit(back).query)["code"][0]


def exchange(caller: Caller, code: str) -> tuple[int, dict[str, Any]]:
    form = {"redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    return caller.token_call(grant_type="authorization_code", code=code, **form)


def test_the_signature_proves_where_the_answer_came_from(tokens: dict[str, Any]) -> None:
    message = (tokens["id"] + tokens["issued_at"]).encode()
    made = hmac.new(sample.CLIENT_SECRET.encode(), message, hashlib.sha256).digest()
    assert tokens["signature"] == base64.b64encode(made).decode()


def test_a_login_that_fails_says_so_and_lets_try_again(anonymous: Caller, org: Org) -> None:
    page = Person(password="wrong").log_in(authorize(anonymous))
    assert "do not fit" in page.text and 'role="alert"' in page.text
    assert "Allow access?" in Person().log_in(authorize(anonymous)).text
    org.set_user(sample.INTEGRATION_USER, IsActive=False)
    assert "do not fit" in Person().log_in(authorize(anonymous)).text


def test_a_page_of_another_browser_cannot_be_decided(anonymous: Caller) -> None:
    page = Person().log_in(authorize(anonymous))
    assert Person().decide(page).status == 400


def test_who_is_logged_in_is_asked_only_for_consent(anonymous: Caller) -> None:
    person = Person()
    person.log_in(authorize(anonymous))
    assert "Allow access?" in person.open(authorize(anonymous)).text
    assert "Password" in person.open(authorize(anonymous, prompt="login")).text


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"client_id": "nobody"}, "client identifier invalid"),
        ({"redirect_uri": ""}, "redirect_uri not provided"),
        ({"redirect_uri": "https://elsewhere.example/"}, "redirect_uri must match configuration"),
    ],
)
def test_nobody_is_sent_to_an_address_that_was_not_registered(
    anonymous: Caller, parameters: dict[str, str], message: str
) -> None:
    page: Seen = Person().open(authorize(anonymous, **parameters))
    assert (page.status, message in page.text) == (400, True)
    assert page.url == authorize(anonymous, **parameters)


def test_plain_http_is_for_localhost_only(anonymous: Caller, app: App) -> None:
    for host, status in (("127.0.0.1", 400), ("localhost", 200)):
        app.callbacks = (f"http://{host}:8788/callback",)
        page = Person().open(authorize(anonymous, redirect_uri=app.callbacks[0]))
        assert page.status == status


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "api chatter_api"}, "invalid_scope"),
        ({"code_challenge": "x", "code_challenge_method": "plain"}, "invalid_request"),
        ({}, "invalid_request"),
    ],
    ids=["no code", "a scope it has not", "plain PKCE", "no PKCE where the app insists"],
)
def test_a_wrong_request_comes_back_to_the_app(
    anonymous: Caller, app: App, parameters: dict[str, str], error: str
) -> None:
    app.pkce_required = True
    assert sent_back(anonymous, **parameters)["error"] == [error]


def test_a_code_lives_for_fifteen_minutes(anonymous: Caller, org: Org) -> None:
    code = code_for(anonymous)
    org.clock.advance(901)
    assert exchange(anonymous, code) == refused("invalid_grant", "expired authorization code")
    unknown = refused("invalid_grant", "invalid authorization code")
    assert exchange(anonymous, "aPrxNothing") == unknown


def test_without_its_scope_there_is_no_refresh_token(anonymous: Caller) -> None:
    status, body = exchange(anonymous, code_for(anonymous, scope="api"))
    assert status == 200
    assert "refresh_token" not in body


def test_an_app_from_elsewhere_lets_administrators_in(anonymous: Caller, app: App) -> None:
    app.installed = False
    assert "Allow access?" in administrator().log_in(authorize(anonymous)).text


# --- refresh ------------------------------------------------------------------------------


def test_a_refresh_without_rotation_keeps_the_refresh_token(
    anonymous: Caller, tokens: dict[str, Any]
) -> None:
    for _ in range(2):
        status, body = refresh(anonymous, tokens["refresh_token"])
        assert status == 200
        assert set(body) == {
            *("access_token", "signature", "scope", "instance_url", "id", "token_type"),
            "issued_at",
        }


def test_a_replayed_token_ends_everything(
    anonymous: Caller, org: Org, app: App, tokens: dict[str, Any]
) -> None:
    app.rotation = True
    body = refresh(anonymous, tokens["refresh_token"])[1]
    assert org.connected(body["refresh_token"]) and not org.connected(tokens["refresh_token"])
    session = Caller(anonymous.server, body["access_token"])
    assert session.call("GET", "/sobjects").status == 200
    assert refresh(anonymous, tokens["refresh_token"]) == EXPIRED
    assert refresh(anonymous, body["refresh_token"]) == EXPIRED
    assert session.call("GET", "/sobjects").status == 401


def test_of_two_refreshes_at_once_one_is_told_to_wait(
    server: OrgServer, org: Org, tokens: dict[str, Any]
) -> None:
    org.settings.refresh_seconds = 0.5
    responses: list[tuple[int, dict[str, Any]]] = []

    def run() -> None:
        responses.append(refresh(Caller(server), tokens["refresh_token"]))

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    busy = refused("invalid_grant", "token request is already being processed")
    assert sum(response == busy for response in responses) == 4
    assert sum(status == 200 for status, _ in responses) == 1
    assert org.connected(tokens["refresh_token"])


def test_the_sixth_approval_ends_the_oldest(org: Org) -> None:
    made = []
    for _ in range(6):
        org.clock.advance(1)
        response = org.oauth.approve(
            sample.CLIENT_ID, sample.INTEGRATION_USER, "api", "refresh_token"
        )
        made.append(response["refresh_token"])
    assert [org.connected(token) for token in made] == [False, True, True, True, True, True]


def test_a_refresh_token_may_expire_when_idle_or_old(
    anonymous: Caller, org: Org, app: App, tokens: dict[str, Any]
) -> None:
    app.idle_seconds = 100
    for _ in range(2):
        org.clock.advance(90)
        assert refresh(anonymous, tokens["refresh_token"])[0] == 200
    app.lifetime_seconds = 185
    org.clock.advance(10)
    assert refresh(anonymous, tokens["refresh_token"]) == EXPIRED


@pytest.mark.parametrize(
    ("form", "error", "description"),
    [
        ({"client_id": "nobody"}, "invalid_client_id", "client identifier invalid"),
        ({"client_secret": "wrong"}, "invalid_client", "invalid client credentials"),
        ({"client_secret": ""}, "invalid_client", "invalid client credentials"),
        ({"refresh_token": "5Aep861nothing"}, "invalid_grant", "expired access/refresh token"),
        ({"grant_type": "magic"}, "unsupported_grant_type", "grant type not supported"),
        ({"grant_type": ""}, "invalid_request", "must supply grant_type"),
    ],
)
def test_the_token_endpoint_refuses(
    anonymous: Caller, tokens: dict[str, Any], form: dict[str, str], error: str, description: str
) -> None:
    wanted = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], **form}
    assert anonymous.token_call(**wanted) == refused(error, description)


def test_policies_refuse_with_words_of_their_own(
    anonymous: Caller, org: Org, app: App, tokens: dict[str, Any]
) -> None:
    token = tokens["refresh_token"]
    app.ip_restricted = True
    ip = "ip restricted or invalid login hours"
    assert refresh(anonymous, token) == refused("invalid_grant", ip)
    app.ip_restricted = False
    app.admin_approved_only = True
    message = "user is not admin approved to access this app"
    assert refresh(anonymous, token) == refused("invalid_app_access", message)
    app.admin_approved_only = False
    app.ready_at = org.clock.now() + 600
    assert refresh(anonymous, token) == refused("invalid_client_id", "client identifier invalid")
    org.clock.advance(601)
    assert refresh(anonymous, token)[0] == 200
    org.set_user(sample.INTEGRATION_USER, IsActive=False)
    assert refresh(anonymous, token) == refused("invalid_grant", "inactive user")


def test_the_token_endpoint_takes_post_only(anonymous: Caller) -> None:
    response = anonymous.call("GET", "/services/oauth2/token")
    assert (response.status, response.json()["error"]) == (400, "invalid_request")


# --- sessions -----------------------------------------------------------------------------

INVALID = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


@pytest.mark.parametrize("token", ["", "nothing", "00Daj0000004C95!x"])
def test_a_bad_token_is_401(server: OrgServer, token: str) -> None:
    response = Caller(server, token).call("GET", "/sobjects")
    assert (response.status, response.json()) == (401, INVALID)


def test_a_session_ends_when_it_was_not_used(caller: Caller, org: Org) -> None:
    for _ in range(3):
        org.clock.advance(7100)
        assert caller.call("GET", "/sobjects").status == 200
    org.clock.advance(7300)
    assert caller.call("GET", "/sobjects").status == 401
    org.clock.reset()
    assert caller.call("GET", "/sobjects").status == 401


# --- introspect, identity -----------------------------------------------------------------


def test_an_end_is_told_of_a_token_that_has_one(
    anonymous: Caller, org: Org, app: App, tokens: dict[str, Any]
) -> None:
    """What else introspection tells is held against authlib."""

    def ends(token: str) -> int | None:
        form = {"token": token, "client_id": app.client_id, "client_secret": app.client_secret}
        url = urljoin(anonymous.server.url, "/services/oauth2/introspect")
        found: dict[str, Any] = anonymous.http.request(
            "POST", url, fields=form, encode_multipart=False
        ).json()
        return found.get("exp")

    assert ends(tokens["refresh_token"]) is None
    assert ends("nothing") is None
    app.idle_seconds = 30 * 86400
    idle_end = ends(tokens["refresh_token"])
    assert idle_end is not None and idle_end - int(org.clock.now()) > 29 * 86400


def test_who_one_is_can_be_asked_with_a_good_token_only(
    server: OrgServer, org: Org, caller: Caller
) -> None:
    user = org.oauth.user(sample.INTEGRATION_USER)
    assert user is not None
    info = caller.call("GET", "/services/oauth2/userinfo").json()
    assert info["preferred_username"] == sample.INTEGRATION_USER
    assert info["organization_id"] == org.org_id
    path = f"/id/{org.org_id}/{user['Id']}"
    identity = caller.call("GET", path).json()
    assert identity["user_id"] == user["Id"]
    assert "{version}" in identity["urls"]["rest"]
    for place in ("/services/oauth2/userinfo", path):
        response = Caller(server, "bad").call("GET", place)
        assert (response.status, response.data) == (403, b"Bad_OAuth_Token")
        assert response.headers["Content-Type"].startswith("text/plain")
