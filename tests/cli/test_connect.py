"""`connect`, with a person who goes through the org's pages."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

from bridge.oauth.grant import Credentials
from cli.connect.app_choice import Given, choose_app
from cli.connect.oauth import SignIn
from cli.connect.sign_in_failures import EXPLANATIONS
from cli.connect.stored_connection import RefreshFailed, StoredConnection
from cli.terminal import Terminal
from sandbox.org.errors import OAuthRefused
from sandbox.org.org import Condition
from sandbox.org.sample import CLIENT_ID, CLIENT_SECRET, INTEGRATION_USER
from tests.cli.conftest import Local
from tests.cli.person import Person, Seen
from tests.cli.program import Result, run, running


def connect(local: Local, *more: str) -> tuple[str, ...]:
    return ("connect", *local.options, "--callback", local.callback, *more)


def signed_in(local: Local, *more: str, decision: str = "allow") -> tuple[Result, Seen]:
    """Connect, with one person who decides; the last page too."""
    with running(*connect(local, *more)) as program:
        page = Person().sign_in(program.address(), decision=decision)
        return program.result(), page


def connected(local: Local, *more: str) -> Result:
    return signed_in(local, *more)[0]


def by_credentials(local: Local, *more: str, environ: dict[str, str] | None = None) -> Result:
    """Connect without a browser."""
    options = (*local.options, "--grant", "client-credentials")
    return run("connect", *options, *more, environ=environ)


def test_one_command_and_two_clicks_lead_to_a_lead(ready: Local) -> None:
    ready.app.pkce_required = True
    ready.app.rotation = True  # from the first refresh on
    with running(*connect(ready)) as program:
        query = parse_qs(urlsplit(program.address()).query)
        page = Person().sign_in(program.address())
        result = program.result()
    assert result.status == 0, result.err
    assert query["scope"] == ["api refresh_token offline_access"]
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["code_challenge"][0]) == 43
    assert len(query["state"][0]) >= 32
    assert query["redirect_uri"] == [ready.callback]
    (org,) = ready.org.records("Organization")
    for text in (result.err, page.text):
        assert f"as {INTEGRATION_USER} in the org {org['Name']}." in text
        assert org["Id"] not in text
    assert "five approvals" in result.err
    assert page.url.endswith("/done"), "the code stays in the address bar"
    secret, token = ready.secret(), ready.stack.token() or {}
    for hidden in (secret["refresh_token"], secret["client_secret"], token["access_token"]):
        assert hidden not in result.out + result.err
    assert ready.org.connected(secret["refresh_token"])
    body = {"bird": {"channel": "whatsapp", "messageId": "1", "displayName": "Ada Okafor"}}
    assert ready.stack.request("POST", "/leads", body).status == 201
    assert ready.org.find("Lead", "1") is not None


def test_without_the_right_to_read_names_the_ids_are_shown(ready: Local) -> None:
    ready.org.trouble.add(path="Organization", error="INSUFFICIENT_ACCESS")
    result = connected(ready)
    ready.org.trouble.clear()
    assert result.status == 0
    assert f"as {INTEGRATION_USER} in the org {ready.org.org_id}." in result.err


def test_in_an_outage_nobody_reconnects(ready: Local) -> None:
    connected(ready)
    secret, versions = ready.secret(), ready.versions()
    with ready.stack.outage():
        results = [run(*connect(ready, *more)) for more in ((), ("--anew",))]
    for fault in ({"status": 503}, {"reset": "before"}, {"error": "SERVER_UNAVAILABLE"}):
        ready.org.trouble.add(**fault)
        results.append(run(*connect(ready)))
        ready.org.trouble.clear()
    for result in results:
        assert result.status == 1
        assert "Salesforce is down, the credentials are fine." in result.err
        assert "authorize?" not in result.err, "no browser is opened"
        assert "status.salesforce.com" in result.err
    assert (ready.secret(), ready.versions()) == (secret, versions)


def test_where_connecting_would_not_help_nobody_reconnects(ready: Local) -> None:
    """A limit of the org, and a right that AWS takes from RefreshToken, leave the connection as it
    is: a new one would meet the same."""
    connected(ready)
    ready.org.trouble.add(error="REQUEST_LIMIT_EXCEEDED")
    limited = run(*connect(ready))
    ready.org.trouble.clear()
    assert RefreshFailed("x", kind="CredentialsRevoked").calls_for_connecting
    with mock.patch.object(
        StoredConnection, "working_token", side_effect=RefreshFailed("no right")
    ):
        denied = run(*connect(ready))
    for result, what in ((limited, "REQUEST_LIMIT_EXCEEDED"), (denied, "no right")):
        assert result.status == 1 and what in result.err
        assert "authorize?" not in result.err, "no browser is opened"
        assert "does not work any more" not in result.err


def test_whoever_is_asked_is_told_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    class Requested(Terminal):
        def ask(self, question: str, *, default: str = "") -> str:
            return default or "key"

        def ask_secret(self, question: str) -> str:
            return "secret"

    settings = mock.Mock(login_url="https://login.salesforce.com")
    stack: Any = mock.Mock(is_local=False, local=None, settings=settings)
    where = "http://localhost:8788/callback"
    app = choose_app(
        Requested(interactive=True), stack, Given(), {}, to_connect=True, callback=where
    )
    assert (app.client_id, app.client_secret) == ("key", "secret")
    shown = " ".join(capsys.readouterr().err.split())
    assert "Consumer Key and Secret" in shown and "External Client App Manager" in shown
    assert f"callback URL to enter in the same OAuth Settings: {where}" in shown


def test_a_connection_that_works_stays_and_a_revoked_one_is_replaced_without_typing(
    ready: Local,
) -> None:
    connected(ready)
    secret, versions, token = ready.secret(), ready.versions(), ready.stack.token()
    refreshes = ready.org.oauth.processed
    result = run(*connect(ready))
    assert result.status == 0
    assert "Connected already" in result.err and "Nothing was changed" in result.err
    assert (ready.secret(), ready.versions(), ready.stack.token()) == (secret, versions, token)
    assert ready.org.oauth.processed == refreshes
    ready.org.oauth.expire_sessions()
    assert "Connected already" in run(*connect(ready)).err
    assert (ready.secret(), ready.stack.token() == token) == (secret, False)
    ready.org.oauth.revoke_all()
    result = connected(ready)
    assert result.status == 0
    assert "does not work any more" in result.err
    assert ready.secret()["refresh_token"] != secret["refresh_token"]


def test_anew_replaces_a_connection_that_works_and_revokes_it_if_asked(ready: Local) -> None:
    connected(ready)
    first, token = ready.secret()["refresh_token"], ready.stack.token() or {}
    assert connected(ready, "--anew").status == 0
    second = ready.secret()["refresh_token"]
    assert second != first
    assert (ready.stack.token() or {})["generation"] > token["generation"]
    assert ready.org.connected(first), "it was revoked unasked"
    assert connected(ready, "--anew", "--revoke-old").status == 0
    assert not ready.org.connected(second)
    assert ready.org.connected(ready.secret()["refresh_token"])


def test_keys_that_others_put_into_the_secret_survive(ready: Local) -> None:
    ready.stack.client("secretsmanager").put_secret_value(
        SecretId=ready.stack.secret_id, SecretString=json.dumps({"theirs": "kept"})
    )
    connected(ready)
    assert ready.secret()["theirs"] == "kept"


def test_the_secret_is_not_written_while_a_refresh_runs(ready: Local) -> None:
    dynamodb = ready.stack.client("dynamodb")
    table = ready.stack.deployment.resource("RefreshLease")["Ref"]
    dynamodb.put_item(
        TableName=table,
        Item={
            "name": {"S": "refresh"},
            "owner_id": {"S": "somebody"},
            "expires_at": {"N": str(int(time.time()) + 60)},
        },
    )
    versions = ready.versions()
    with running(*connect(ready)) as program:
        person = threading.Thread(target=Person().sign_in, args=(program.address(),))
        person.start()
        time.sleep(1)
        assert ready.versions() == versions
        dynamodb.delete_item(TableName=table, Key={"name": {"S": "refresh"}})
        person.join(20)
        assert program.result().status == 0
    assert ready.secret()["refresh_token"]


def test_a_test_lead_is_made_and_leaves_nothing(ready: Local) -> None:
    result = connected(ready, "--test-lead")
    assert result.status == 0
    assert "test Lead was created and rolled back" in result.err
    assert ready.org.records("Lead") == []


def test_a_test_lead_that_a_rule_refuses_is_said(ready: Local) -> None:
    ready.org.add_validation_rule("Lead", Condition("LeadSource", "blank"), "Region is missing")
    result = connected(ready, "--test-lead")
    assert result.status == 1
    assert "Region is missing" in result.err
    assert ready.secret()["refresh_token"], "the connection itself is good"


# ── From scripts ─────────────────────────────────────────────────────────────────────────────────


def test_client_credentials_need_no_browser_and_replace_a_refresh_token(ready: Local) -> None:
    connected(ready)
    result = by_credentials(ready)
    assert result.status == 0, result.err
    secret = ready.secret()
    assert secret["grant"] == "client_credentials"
    assert "refresh_token" not in secret
    assert ready.stack.request("POST", "/leads", {"LastName": "Okafor"}).status == 201


def test_key_and_secret_come_from_a_file_that_only_the_owner_can_read(
    ready: Local, tmp_path: Path
) -> None:
    file = tmp_path / "app.json"
    file.write_text(json.dumps({"client_id": CLIENT_ID, "client_secret": "wrong"}))
    file.chmod(0o644)
    arguments = ("connect", *ready.options, "--credentials-file", str(file))
    assert "can be read by others" in run(*arguments).err
    file.chmod(0o600)
    assert EXPLANATIONS["wrong_secret"].what in run(*arguments).err
    for text in ("[]", "{", "no json"):
        file.write_text(text)
        assert "is not a JSON object" in run(*arguments).err


def test_key_and_secret_come_from_the_environment(ready: Local) -> None:
    environ = {
        "BIRD_SALESFORCE_CLIENT_ID": CLIENT_ID,
        "BIRD_SALESFORCE_CLIENT_SECRET": CLIENT_SECRET,
    }
    assert by_credentials(ready, environ=environ).status == 0
    wrong = {**environ, "BIRD_SALESFORCE_CLIENT_SECRET": "wrong"}
    assert EXPLANATIONS["wrong_secret"].what in by_credentials(ready, environ=wrong).err


# ── Every way to fail has its own words ──────────────────────────────────────────────────────────


@contextlib.contextmanager
def token_answers(local: Local, *, without: str = "", **changed: str) -> Iterator[None]:
    """Inside the block, the token endpoint's responses to codes are changed on their way."""
    oauth = local.org.oauth
    honest = oauth.token

    def token(form: Any, basic: Any = None) -> Any:
        response = honest(form, basic)
        if form.get("grant_type") != "authorization_code":
            return response
        if "error" in changed:
            raise OAuthRefused(changed["error"], changed["error_description"])
        return {name: one for name, one in {**response, **changed}.items() if name != without}

    with mock.patch.object(oauth, "token", token):
        yield


def assert_failed(local: Local, result: Result, reason: str) -> None:
    assert result.status == 1
    assert EXPLANATIONS[reason].what in result.err
    assert EXPLANATIONS[reason].next_step in result.err
    assert not local.secret().get("refresh_token")


def policy(**values: Any) -> Callable[[Local], Any]:
    """A policy of the app."""

    def change(local: Local) -> Any:
        for name, value in values.items():
            setattr(local.app, name, value)
        return contextlib.nullcontext()

    return change


def reply(**changed: str) -> Callable[[Local], Any]:
    """What the token endpoint responds to the code."""
    return lambda local: token_answers(local, **changed)


def elsewhere(local: Local) -> Any:
    local.org.settings.instance_url = "https://salesforce.com.example.org"
    return contextlib.nullcontext()


AFTER_THE_BROWSER: dict[str, Callable[[Local], Any]] = {
    "not_approved": policy(admin_approved_only=True),
    "app_not_installed": policy(installed=False),
    "ip_or_hours": policy(ip_restricted=True),
    "invalid_scope": policy(scopes=("api", "id")),
    "no_refresh_token": reply(without="refresh_token"),
    "no_api_scope": reply(scope="refresh_token id"),
    "bad_signature": reply(signature="AAAA"),
    "passing_trouble": reply(error="unknown_error", error_description="retry your request"),
    "untrusted_instance": elsewhere,
}


@pytest.mark.parametrize("reason", AFTER_THE_BROWSER)
def test_why_a_sign_in_failed_is_said(ready: Local, reason: str) -> None:
    with AFTER_THE_BROWSER[reason](ready):
        result, _ = signed_in(ready)
    assert_failed(ready, result, reason)


def test_consent_denied(ready: Local) -> None:
    result, page = signed_in(ready, decision="deny")
    assert_failed(ready, result, "denied")
    assert EXPLANATIONS["denied"].what in page.text


def test_the_api_is_disabled(ready: Local) -> None:
    ready.org.settings.api_enabled = False
    result = connected(ready)
    assert result.status == 1
    assert "API_DISABLED_FOR_ORG" in result.err and "API Enabled" in result.err
    assert not ready.secret().get("refresh_token")


def young(local: Local) -> None:
    local.app.ready_at = local.org.clock.now() + 600


def without_run_as(local: Local) -> None:
    local.app.run_as = ""


CREDENTIALS = ("--grant", "client-credentials")
BEFORE_A_BROWSER: list[tuple[str, tuple[str, ...], Callable[[Local], Any]]] = [
    ("unknown_app", (), young),
    ("unreachable", ("--login-url", "http://127.0.0.1:9"), str),
    ("not_salesforce", ("--login-url", "THE API"), str),
    ("my_domain_needed", (*CREDENTIALS, "--login-url", "production"), str),
    ("no_run_as_user", CREDENTIALS, without_run_as),
]


@pytest.mark.parametrize(("reason", "options", "change"), BEFORE_A_BROWSER)
def test_what_can_be_known_is_said_before_a_browser_opens(
    ready: Local, reason: str, options: tuple[str, ...], change: Callable[[Local], Any]
) -> None:
    change(ready)
    api = ready.stack.url.rsplit("/", 1)[0]
    result = run(*connect(ready, *(api if one == "THE API" else one for one in options)))
    assert_failed(ready, result, reason)
    assert "authorize?" not in result.err


def test_plain_http_is_for_this_machine_only(ready: Local) -> None:
    result = run(*connect(ready, "--login-url", "http://login.salesforce.com"))
    assert result.status == 1 and "https://" in result.err


def test_the_port_is_taken(ready: Local) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", urlsplit(ready.callback).port or 0))
        taken.listen()
        result = run(*connect(ready))
    assert EXPLANATIONS["port_taken"].what in result.err
    assert "--no-browser" in result.err


def test_a_callback_that_the_app_does_not_know_is_shown_by_salesforce(ready: Local) -> None:
    ready.app.callbacks = ("http://localhost:1/other",)
    result, page = signed_in(ready, "--wait", "2")
    assert "redirect_uri_mismatch" in page.text
    assert EXPLANATIONS["no_callback"].what in result.err, "nobody came back from the browser"


# ── Without a browser here ───────────────────────────────────────────────────────────────────────


def test_a_pasted_address_connects(ready: Local) -> None:
    callback = ("--no-browser", "--callback", "https://login.salesforce.com/")
    with running("connect", *ready.options, *callback) as program:
        end = Person().sign_in(program.address())
        assert end.url.startswith("https://login.salesforce.com/?")
        program.keyboard.type(end.url)
        assert program.result().status == 0
    assert ready.secret()["refresh_token"]


def pasted(local: Local, text: Callable[[str], str]) -> Result:
    """Paste what is made of the address to open."""
    with running("connect", *local.options, "--no-browser") as program:
        program.keyboard.type(text(program.address()))
        return program.result()


def test_something_else_that_is_pasted_is_refused(ready: Local) -> None:
    earlier = ""

    def of_an_earlier_run(address: str) -> str:
        nonlocal earlier
        earlier = Person().sign_in_without_following(address)
        return "aPrxJustTheCode"

    def too_late(address: str) -> str:
        end = Person().sign_in_without_following(address)
        ready.org.clock.advance(1000)
        return end

    assert_failed(ready, pasted(ready, of_an_earlier_run), "not_a_callback")
    assert_failed(ready, pasted(ready, lambda address: earlier), "wrong_state")
    assert_failed(ready, pasted(ready, too_late), "code_expired")


# ── The callback server ──────────────────────────────────────────────────────────────────────────


def test_a_state_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    app = Credentials(login_url="https://login.salesforce.com", client_id="x", client_secret="y")
    sign_in = SignIn(app=app, callback="http://localhost:8788/callback", scopes=())
    for state in (sign_in.state, "é", ""):
        assert sign_in.belongs(state) is (state == sign_in.state)
    assert [one for one, _ in compared] == [sign_in.state.encode(), "é".encode(), b""]


def test_an_answer_with_a_forged_state_is_ignored_and_the_right_one_still_works(
    ready: Local,
) -> None:
    with running(*connect(ready)) as program:
        address = program.address()
        forged = Person().open(f"{ready.callback}?code=aPrxForged&state=forged")
        assert forged.status == 400 and "does not belong" in forged.text
        Person().sign_in(address)
        assert program.result().status == 0


def test_the_callback_server_has_both_loopback_addresses_and_no_other_name(ready: Local) -> None:
    port = urlsplit(ready.callback).port
    http = urllib3.PoolManager(retries=False)
    evil = {"Host": f"evil.example:{port}"}
    with running(*connect(ready)) as program:
        program.address()
        for host in ("127.0.0.1", "[::1]"):
            page = http.request("GET", f"http://{host}:{port}/callback?state=x")
            assert page.status == 400
        foreign = http.request("GET", f"http://127.0.0.1:{port}/done", headers=evil)
        assert foreign.status == 400
        Person().sign_in(program.address())
    # The page may not load or run anything.
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert page.headers["Cache-Control"] == "no-store"
