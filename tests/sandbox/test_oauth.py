"""Tokens: how they are got, renewed, lost, and what each refusal says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import threading
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from sandbox.org import Org, OrgServer, sample
from sandbox.org.oauth.tokens import App

from .conftest import Caller

VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
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


class Browser:
    """Follows the pages as a person would, without running anything."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._cookie = ""

    def _send(self, method: str, target: str, form: dict[str, str] | None = None) -> Any:
        answer = self._caller.http.request(
            method,
            self._caller.server.url + target,
            body=urlencode(form) if form else None,
            headers={"Cookie": self._cookie, "Content-Type": "application/x-www-form-urlencoded"},
            redirect=False,
        )
        if "Set-Cookie" in answer.headers:
            self._cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer

    def open(self, **parameters: str) -> Any:
        wanted = {
            "response_type": "code",
            "client_id": sample.CLIENT_ID,
            "redirect_uri": CALLBACK,
            "scope": "api refresh_token",
            **parameters,
        }
        return self._send("GET", "/services/oauth2/authorize?" + urlencode(wanted))

    @staticmethod
    def request(page: Any) -> str:
        found = re.search(r'name="request" value="([^"]+)"', page.data.decode())
        assert found is not None, page.data
        return found[1]

    def log_in(self, page: Any, username: str, password: str) -> Any:
        form = {"request": self.request(page), "username": username, "password": password}
        return self._send("POST", "/login", form)

    def decide(self, page: Any, decision: str) -> dict[str, list[str]]:
        form = {"request": self.request(page), "decision": decision}
        answer = self._send("POST", "/services/oauth2/authorize/decide", form)
        assert answer.status == 302
        return parse_qs(urlsplit(answer.headers["Location"]).query)

    def consent(self, decision: str = "allow", **parameters: str) -> dict[str, list[str]]:
        """All pages; the query with which the browser comes back to the app."""
        page = self.open(**parameters)
        assert page.status == 200
        page = self.log_in(page, sample.INTEGRATION_USER, sample.INTEGRATION_PASSWORD)
        assert b"Allow access?" in page.data
        return self.decide(page, decision)


def exchange(caller: Caller, code: str, **more: str) -> tuple[int, dict[str, Any]]:
    form = {"redirect_uri": CALLBACK, "code_verifier": VERIFIER, **more}
    return caller.token_call(grant_type="authorization_code", code=code, **form)


PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}


def test_a_person_logs_in_allows_and_the_code_becomes_tokens(anonymous: Caller) -> None:
    back = Browser(anonymous).consent(state="s&?=", **PKCE)
    assert back["state"] == ["s&?="]
    assert back["code"][0].startswith("aPrx")
    status, body = exchange(anonymous, back["code"][0])
    assert status == 200
    assert body["refresh_token"].startswith("5Aep861")
    assert body["access_token"].startswith(anonymous.org.org_id[:15] + "!")
    assert body["scope"] == "api refresh_token"
    assert body["token_type"] == "Bearer"
    assert re.fullmatch(r"\d{13}", body["issued_at"])
    assert "expires_in" not in body
    assert Caller(anonymous.server, body["access_token"]).call("GET", "/sobjects").status == 200


def test_the_signature_proves_where_the_answer_came_from(tokens: dict[str, Any]) -> None:
    message = (tokens["id"] + tokens["issued_at"]).encode()
    made = hmac.new(sample.CLIENT_SECRET.encode(), message, hashlib.sha256).digest()
    assert tokens["signature"] == base64.b64encode(made).decode()


def test_a_wrong_password_says_so_and_lets_try_again(anonymous: Caller) -> None:
    browser = Browser(anonymous)
    page = browser.log_in(browser.open(), sample.INTEGRATION_USER, "wrong")
    assert b"do not fit" in page.data
    assert b'role="alert"' in page.data
    page = browser.log_in(page, sample.INTEGRATION_USER, sample.INTEGRATION_PASSWORD)
    assert b"Allow access?" in page.data


def test_an_inactive_user_cannot_log_in(anonymous: Caller, org: Org) -> None:
    org.set_user(sample.INTEGRATION_USER, IsActive=False)
    browser = Browser(anonymous)
    page = browser.log_in(browser.open(), sample.INTEGRATION_USER, sample.INTEGRATION_PASSWORD)
    assert b"do not fit" in page.data


def test_a_denial_comes_back_as_one(anonymous: Caller) -> None:
    back = Browser(anonymous).consent("deny", state="x")
    assert back == {
        "error": ["access_denied"],
        "error_description": ["end-user denied authorization"],
        "state": ["x"],
    }


def test_a_page_of_another_browser_cannot_be_decided(anonymous: Caller) -> None:
    browser = Browser(anonymous)
    page = browser.log_in(browser.open(), sample.INTEGRATION_USER, sample.INTEGRATION_PASSWORD)
    form = {"request": browser.request(page), "decision": "allow"}
    answer = Browser(anonymous)._send("POST", "/services/oauth2/authorize/decide", form)
    assert answer.status == 400


def test_who_is_logged_in_is_asked_only_for_consent(anonymous: Caller) -> None:
    browser = Browser(anonymous)
    browser.consent()
    assert b"Allow access?" in browser.open().data
    assert b"Password" in browser.open(prompt="login").data


def test_a_hint_fills_the_user_name_in(anonymous: Caller) -> None:
    page = Browser(anonymous).open(login_hint='a"><b>')
    assert b"a&#34;&gt;&lt;b&gt;" in page.data


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"client_id": "nobody"}, b"client identifier invalid"),
        ({"redirect_uri": ""}, b"redirect_uri not provided"),
        ({"redirect_uri": "https://elsewhere.example/"}, b"redirect_uri must match configuration"),
    ],
)
def test_nobody_is_sent_to_an_address_that_was_not_registered(
    anonymous: Caller, parameters: dict[str, str], message: bytes
) -> None:
    page = Browser(anonymous).open(**parameters)
    assert page.status == 400
    assert message in page.data
    assert "Location" not in page.headers


def test_plain_http_is_for_localhost_only(anonymous: Caller, app: App) -> None:
    app.callbacks = ("http://127.0.0.1:8788/callback",)
    assert Browser(anonymous).open(redirect_uri=app.callbacks[0]).status == 400
    app.callbacks = ("http://localhost:8788/callback",)
    assert Browser(anonymous).open(redirect_uri=app.callbacks[0]).status == 200


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "api chatter_api"}, "invalid_scope"),
        ({"code_challenge": "x", "code_challenge_method": "plain"}, "invalid_request"),
        ({"immediate": "true"}, "immediate_unsuccessful"),
    ],
)
def test_a_wrong_request_comes_back_to_the_app(
    anonymous: Caller, parameters: dict[str, str], error: str
) -> None:
    answer = Browser(anonymous).open(**parameters)
    assert answer.status == 302
    assert parse_qs(urlsplit(answer.headers["Location"]).query)["error"] == [error]


def test_an_app_may_insist_on_pkce(anonymous: Caller, app: App) -> None:
    app.pkce_required = True
    answer = Browser(anonymous).open()
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert query["error"] == ["invalid_request"]
    assert Browser(anonymous).open(**PKCE).status == 200


def test_a_verifier_must_fit_its_challenge(anonymous: Caller) -> None:
    code = Browser(anonymous).consent(**PKCE)["code"][0]
    status, body = exchange(anonymous, code, code_verifier="w" * 64)
    assert (status, body["error"]) == (400, "invalid_request")
    status, body = exchange(anonymous, code, code_verifier="")
    assert (status, body["error"]) == (400, "invalid_grant")
    assert exchange(anonymous, code)[0] == 200


def test_a_code_works_once_and_for_fifteen_minutes(anonymous: Caller, org: Org) -> None:
    code = Browser(anonymous).consent(**PKCE)["code"][0]
    assert exchange(anonymous, code)[0] == 200
    expired = refused("invalid_grant", "expired authorization code")
    assert exchange(anonymous, code) == expired
    code = Browser(anonymous).consent(**PKCE)["code"][0]
    org.clock.advance(901)
    assert exchange(anonymous, code) == expired
    unknown = refused("invalid_grant", "invalid authorization code")
    assert exchange(anonymous, "aPrxNothing") == unknown


def test_without_its_scope_there_is_no_refresh_token(anonymous: Caller) -> None:
    code = Browser(anonymous).consent(scope="api", **PKCE)["code"][0]
    status, body = exchange(anonymous, code)
    assert status == 200
    assert "refresh_token" not in body


def test_an_app_from_elsewhere_must_be_installed(anonymous: Caller, app: App) -> None:
    app.installed = False
    browser = Browser(anonymous)
    answer = browser.log_in(browser.open(), sample.INTEGRATION_USER, sample.INTEGRATION_PASSWORD)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert query["error"] == ["invalid_client"]
    assert query["error_description"] == ["app must be installed into org"]
    browser = Browser(anonymous)
    page = browser.log_in(browser.open(), sample.ADMIN_USER, sample.ADMIN_PASSWORD)
    assert b"Allow access?" in page.data


# --- refresh ------------------------------------------------------------------------------


def test_a_refresh_without_rotation_keeps_the_refresh_token(
    anonymous: Caller, tokens: dict[str, Any]
) -> None:
    for _ in range(3):
        status, body = refresh(anonymous, tokens["refresh_token"])
        assert status == 200
        assert "refresh_token" not in body
        assert set(body) == {
            "access_token",
            "signature",
            "scope",
            "instance_url",
            "id",
            "token_type",
            "issued_at",
        }


def test_each_refresh_gives_another_session_unless_the_org_returns_the_same(
    anonymous: Caller, org: Org, tokens: dict[str, Any]
) -> None:
    first = refresh(anonymous, tokens["refresh_token"])[1]
    second = refresh(anonymous, tokens["refresh_token"])[1]
    assert first["access_token"] != second["access_token"]
    org.settings.same_session = True
    third = refresh(anonymous, tokens["refresh_token"])[1]
    assert third["access_token"] == second["access_token"]
    org.oauth.expire_sessions()
    assert refresh(anonymous, tokens["refresh_token"])[1]["access_token"] != third["access_token"]


def test_with_rotation_each_token_works_once(
    anonymous: Caller, org: Org, app: App, tokens: dict[str, Any]
) -> None:
    app.rotation = True
    first = tokens["refresh_token"]
    second = refresh(anonymous, first)[1]["refresh_token"]
    third = refresh(anonymous, second)[1]["refresh_token"]
    assert len({first, second, third}) == 3
    assert org.connected(third)
    assert not org.connected(first)


def test_a_replayed_token_ends_everything(
    anonymous: Caller, org: Org, app: App, tokens: dict[str, Any]
) -> None:
    app.rotation = True
    body = refresh(anonymous, tokens["refresh_token"])[1]
    assert Caller(anonymous.server, body["access_token"]).call("GET", "/sobjects").status == 200
    assert refresh(anonymous, tokens["refresh_token"]) == EXPIRED
    assert refresh(anonymous, body["refresh_token"]) == EXPIRED
    assert Caller(anonymous.server, body["access_token"]).call("GET", "/sobjects").status == 401
    assert not org.connected(body["refresh_token"])


def test_of_two_refreshes_at_once_one_is_told_to_wait(
    server: OrgServer, org: Org, tokens: dict[str, Any]
) -> None:
    org.settings.refresh_seconds = 0.5
    answers: list[tuple[int, dict[str, Any]]] = []
    lock = threading.Lock()

    def run() -> None:
        answer = refresh(Caller(server), tokens["refresh_token"])
        with lock:
            answers.append(answer)

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    busy = refused("invalid_grant", "token request is already being processed")
    assert sorted(status for status, _ in answers) == [200, 400, 400, 400, 400]
    assert sum(answer == busy for answer in answers) == 4
    assert org.connected(tokens["refresh_token"])


def test_the_sixth_approval_ends_the_oldest(org: Org) -> None:
    made = []
    for _ in range(6):
        org.clock.advance(1)
        answer = org.oauth.approve(
            sample.CLIENT_ID, sample.INTEGRATION_USER, "api", "refresh_token"
        )
        made.append(answer["refresh_token"])
    assert [org.connected(token) for token in made] == [False, True, True, True, True, True]


def test_a_refresh_token_may_expire_when_idle_or_old(
    anonymous: Caller, org: Org, app: App, tokens: dict[str, Any]
) -> None:
    app.idle_seconds = 100
    org.clock.advance(90)
    assert refresh(anonymous, tokens["refresh_token"])[0] == 200
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


def test_a_refresh_may_need_no_secret(anonymous: Caller, app: App, tokens: dict[str, Any]) -> None:
    app.secret_required = False
    assert refresh(anonymous, tokens["refresh_token"], client_secret="")[0] == 200
    assert refresh(anonymous, tokens["refresh_token"], client_secret="wrong")[0] == 400


def test_an_answer_may_lack_the_instance_url(
    anonymous: Caller, org: Org, tokens: dict[str, Any]
) -> None:
    org.settings.send_instance_url = False
    assert "instance_url" not in refresh(anonymous, tokens["refresh_token"])[1]


def test_credentials_may_come_in_the_header(anonymous: Caller, tokens: dict[str, Any]) -> None:
    pair = base64.b64encode(f"{sample.CLIENT_ID}:{sample.CLIENT_SECRET}".encode()).decode()
    answer = anonymous.http.request(
        "POST",
        anonymous.server.url + "/services/oauth2/token",
        body=urlencode(
            {
                "grant_type": "refresh_token",
                "refresh_token": tokens["refresh_token"],
                "format": "urlencoded",
            }
        ),
        headers={
            "Authorization": f"Basic {pair}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert parse_qs(answer.data.decode())["token_type"] == ["Bearer"]


def test_the_token_endpoint_takes_post_only(anonymous: Caller) -> None:
    answer = anonymous.call("GET", "/services/oauth2/token")
    assert answer.status == 400
    assert answer.json()["error"] == "invalid_request"


# --- the other grants ---------------------------------------------------------------------


def test_client_credentials_need_a_user_and_a_domain(anonymous: Caller, org: Org, app: App) -> None:
    status, body = anonymous.token_call(grant_type="client_credentials")
    assert status == 200
    assert "refresh_token" not in body
    assert body["api_instance_url"] == body["instance_url"]
    assert "refresh_token" not in body["scope"]
    app.run_as = ""
    text = "no client credentials user enabled"
    assert anonymous.token_call(grant_type="client_credentials") == refused("invalid_grant", text)
    app.run_as = sample.INTEGRATION_USER
    org.settings.login_host = True
    status, body = anonymous.token_call(grant_type="client_credentials")
    assert (status, body["error"]) == (400, "invalid_grant")


def test_the_password_flow_is_off_unless_switched_on(anonymous: Caller, org: Org) -> None:
    form = {
        "grant_type": "password",
        "username": sample.INTEGRATION_USER,
        "password": sample.INTEGRATION_PASSWORD,
    }
    failed = refused("invalid_grant", "authentication failure")
    assert anonymous.token_call(**form) == failed
    org.settings.password_flow = True
    assert anonymous.token_call(**form)[0] == 200
    assert anonymous.token_call(**{**form, "password": "wrong"}) == failed


# --- sessions -----------------------------------------------------------------------------

INVALID = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


@pytest.mark.parametrize("token", ["", "nothing", "00Daj0000004C95!x"])
def test_a_bad_token_is_401(server: OrgServer, token: str) -> None:
    answer = Caller(server, token).call("GET", "/sobjects")
    assert (answer.status, answer.json()) == (401, INVALID)


def test_a_session_ends_when_it_was_not_used(caller: Caller, org: Org) -> None:
    for _ in range(3):
        org.clock.advance(7100)
        assert caller.call("GET", "/sobjects").status == 200
    org.clock.advance(7300)
    assert caller.call("GET", "/sobjects").status == 401
    org.clock.reset()
    assert caller.call("GET", "/sobjects").status == 401


def test_a_session_may_end_whether_used_or_not(caller: Caller, org: Org) -> None:
    org.settings.session_slides = False
    org.clock.advance(7100)
    assert caller.call("GET", "/sobjects").status == 200
    org.clock.advance(200)
    assert caller.call("GET", "/sobjects").status == 401


def test_a_session_that_is_not_for_rest_says_so(server: OrgServer, org: Org) -> None:
    token = org.oauth.approve(sample.CLIENT_ID, sample.INTEGRATION_USER, "id")["access_token"]
    answer = Caller(server, token).call("GET", "/sobjects")
    assert answer.status == 401
    message = "This session is not valid for use with the REST API"
    assert answer.json() == [{"message": message, "errorCode": "INVALID_SESSION_ID"}]


def test_org_and_user_must_allow_the_api(caller: Caller, org: Org) -> None:
    org.settings.api_enabled = False
    answer = caller.call("GET", "/sobjects")
    message = "The REST API is not enabled for this Organization."
    assert answer.status == 403
    assert answer.json() == [{"message": message, "errorCode": "API_DISABLED_FOR_ORG"}]
    org.settings.api_enabled = True
    user = org.oauth.user(sample.INTEGRATION_USER)
    assert user is not None
    org.update("Profile", user["ProfileId"], {"PermissionsApiEnabled": False})
    answer = caller.call("GET", "/sobjects")
    assert (answer.status, answer.json()[0]["errorCode"]) == (403, "API_CURRENTLY_DISABLED")


# --- revoke, introspect, identity ---------------------------------------------------------


def endpoint(caller: Caller, name: str, **form: str) -> Any:
    return caller.http.request(
        "POST",
        f"{caller.server.url}/services/oauth2/{name}",
        body=urlencode(form),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )


def test_revoking_a_refresh_token_ends_its_sessions(
    anonymous: Caller, org: Org, tokens: dict[str, Any]
) -> None:
    answer = endpoint(anonymous, "revoke", token=tokens["refresh_token"])
    assert (answer.status, answer.data) == (200, b"")
    assert refresh(anonymous, tokens["refresh_token"]) == EXPIRED
    assert Caller(anonymous.server, tokens["access_token"]).call("GET", "/limits").status == 401
    again = endpoint(anonymous, "revoke", token=tokens["refresh_token"])
    assert (again.status, again.json()["error"]) == (400, "unsupported_token_type")


def test_revoking_a_session_leaves_the_refresh_token(
    anonymous: Caller, org: Org, tokens: dict[str, Any]
) -> None:
    path = f"/services/oauth2/revoke?token={tokens['access_token']}"
    assert anonymous.call("GET", path).status == 200
    assert org.connected(tokens["refresh_token"])


def test_a_token_can_be_asked_what_it_is_worth(
    anonymous: Caller, org: Org, app: App, tokens: dict[str, Any]
) -> None:
    client = {"client_id": sample.CLIENT_ID, "client_secret": sample.CLIENT_SECRET}

    def ask(token: str) -> Any:
        return endpoint(anonymous, "introspect", token=token, **client).json()

    access = ask(tokens["access_token"])
    assert access["active"] is True
    assert access["username"] == sample.INTEGRATION_USER
    # It counts from the session's last use, which may be a second later on a busy machine.
    assert 7200 <= access["exp"] - access["iat"] < 7230
    assert "exp" not in ask(tokens["refresh_token"])
    app.idle_seconds = 30 * 86400
    assert ask(tokens["refresh_token"])["exp"] - int(org.clock.now()) > 29 * 86400
    assert ask("nothing") == {"active": False}


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
        answer = Caller(server, "bad").call("GET", place)
        assert (answer.status, answer.data) == (403, b"Bad_OAuth_Token")
        assert answer.headers["Content-Type"].startswith("text/plain")


def test_the_endpoints_can_be_discovered(anonymous: Caller) -> None:
    answer = anonymous.http.request(
        "GET", anonymous.server.url + "/.well-known/openid-configuration"
    )
    assert answer.json()["token_endpoint"] == anonymous.server.url + "/services/oauth2/token"


def test_a_form_may_come_in_chunks(anonymous: Caller, tokens: dict[str, Any]) -> None:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": sample.CLIENT_ID,
        "client_secret": sample.CLIENT_SECRET,
    }
    answer = anonymous.http.request(
        "POST",
        anonymous.server.url + "/services/oauth2/token",
        body=iter([urlencode(form).encode()]),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        chunked=True,
    )
    assert answer.status == 200
