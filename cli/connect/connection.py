"""`connect`: from nothing to a stored connection that works, in one command."""

from __future__ import annotations

import json
import os
import stat
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from bridge.deadline import Deadline
from bridge.errors import NoAnswer, Unreachable
from bridge.http import Http
from bridge.oauth.access_token import AccessToken
from bridge.oauth.credentials import Credentials
from bridge.oauth.grant import Grant
from cli.connect import oauth, sign_in
from cli.connect.callback import Page
from cli.connect.credentials import Connection
from cli.connect.oauth import App, Identity, SignIn, SignInFailed
from cli.deployment.stack import Stack
from cli.org.client import Org, OrgProblem, try_lead
from cli.problem import Problem
from cli.terminal import Terminal

CLIENT_ID_VARIABLE = "BIRD_SALESFORCE_CLIENT_ID"
CLIENT_SECRET_VARIABLE = "BIRD_SALESFORCE_CLIENT_SECRET"

TEST_LEAD = {
    "LastName": "Connection test",
    "Company": "bird-salesforce connect",
    "Description": "Made and taken back by bird-salesforce connect.",
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the options of `connect` ask for; empty where nothing was said."""

    login_url: str = ""
    client_id: str = ""
    credentials_file: Path | None = None
    client_credentials: bool = False
    anew: bool = False
    revoke_old: bool = False
    way: sign_in.Way


@dataclass(frozen=True, kw_only=True)
class Connected:
    """A connection that works."""

    identity: Identity | None
    token: AccessToken
    app: App
    replaced: Credentials | None = None
    """What was stored before."""
    changed: bool
    """Whether this run stored anything."""


def connect(terminal: Terminal, stack: Stack, wanted: Wanted) -> Connected:
    """Connect the stack, or find that it is connected. Raises Problem with nothing stored, or
    RefreshFailed with the new connection stored."""
    connection = Connection(stack)
    http = Http()
    before = connection.credentials()
    stored = connection.stored()
    given = read_given(wanted)
    if before is not None and not wanted.anew and _asks_for_the_same(wanted, given, before):
        try:
            token = living_token(connection, stack, http)
        except Problem as problem:
            terminal.note(f"What is stored does not work any more: {problem.what}")
        else:
            identity = oauth.read_identity(token.id)
            terminal.good(f"Connected already{_whose(identity)}. Nothing was changed.")
            terminal.say("To connect anew all the same, add --anew.")
            return Connected(identity=identity, token=token, app=_app_of(before), changed=False)
    login_url = _choose_login_url(terminal, stack, wanted, given, stored)
    # Perhaps the secret was changed in Salesforce, and the stored one is why somebody is here.
    app = _choose_app(
        terminal, stack, wanted, given, stored, login_url=login_url, may_have_changed=True
    )
    terminal.say(f"Asking {urlsplit(app.login_url).netloc} whether it knows the app …")
    if wanted.client_credentials:
        done = _by_client_credentials(terminal, connection, stack, http, app)
    else:
        oauth.try_app(http, app)
        done = _by_browser(terminal, connection, stack, http, app, wanted.way)
    if wanted.revoke_old and done.replaced is not None:
        _revoke_replaced(terminal, http, done.replaced)
        # Salesforce may have handed the same session out again, and it went with the old token.
        living_token(connection, stack, http)
    terminal.good(f"Connected to Salesforce{_whose(done.identity)}.")
    return done


def living_token(connection: Connection, stack: Stack, http: Http) -> AccessToken:
    """The stored access token, once it is known to work; renewed first if need be.

    Raises RefreshFailed, OrgProblem.
    """
    token = connection.token()
    if token is None:
        connection.refresh(None)
        token = _token(connection)
    try:
        org_of(token, stack, http).get("/")
    except OrgProblem as problem:
        if problem.status != 401:
            raise
        connection.refresh(token.generation)
        token = _token(connection)
        org_of(token, stack, http).get("/")
    return token


def org_of(token: AccessToken, stack: Stack, http: Http) -> Org:
    """The org that a token is for. Raises Problem if its address is not to be trusted."""
    if not stack.settings.trusts(token.instance_url):
        raise SignInFailed("untrusted_instance", detail=urlsplit(token.instance_url).netloc)
    return Org(http=http, session=token.session, api_version=stack.settings.api_version)


def _token(connection: Connection) -> AccessToken:
    token = connection.token()
    if token is None:
        raise Problem("RefreshToken published no access token.", next_step="Look at its log.")
    return token


# ── What was given, and what has to be asked for ────────────────────────────────────────────────


def read_given(wanted: Wanted) -> dict[str, str]:
    """Key, secret and login URL from a file or the environment; only what is there."""
    if wanted.credentials_file is not None:
        return _read_file(wanted.credentials_file)
    found = {
        "client_id": os.environ.get(CLIENT_ID_VARIABLE, ""),
        "client_secret": os.environ.get(CLIENT_SECRET_VARIABLE, ""),
    }
    return {name: value.strip() for name, value in found.items() if value.strip()}


def _read_file(path: Path) -> dict[str, str]:
    try:
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Problem(f"{path} can be read by others.", next_step=f"Run: chmod 600 {path}")
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise Problem(
            f"{path} is not JSON.",
            next_step='It should be {"client_id": "…", "client_secret": "…"}.',
        ) from error
    if not isinstance(said, dict):
        raise Problem(f"{path} is not a JSON object.")
    names = ("client_id", "client_secret", "login_url")
    return {
        name: said[name].strip()
        for name in names
        if isinstance(said.get(name), str) and said[name].strip()
    }


def _asks_for_the_same(wanted: Wanted, given: dict[str, str], before: Credentials) -> bool:
    """Whether nothing that was said differs from what is stored."""
    login_url = wanted.login_url or given.get("login_url", "")
    client_id = wanted.client_id or given.get("client_id", "")
    client_secret = given.get("client_secret", "")
    return (
        (not login_url or oauth.read_login_url(login_url) == before.login_url)
        and (not client_id or client_id == before.client_id)
        and (not client_secret or client_secret == before.client_secret)
        and (not wanted.client_credentials or before.grant == "client_credentials")
    )


def app_for(terminal: Terminal, stack: Stack, wanted: Wanted) -> App:
    """The app that a command is to sign in by: as given, else as stored, else asked for."""
    given, stored = read_given(wanted), Connection(stack).stored()
    if wanted.login_url or given.get("login_url") or not stored.get("login_url"):
        login_url = _choose_login_url(terminal, stack, wanted, given, stored)
    else:
        login_url = oauth.read_login_url(str(stored["login_url"]))
    return _choose_app(terminal, stack, wanted, given, stored, login_url=login_url)


def _choose_login_url(
    terminal: Terminal,
    stack: Stack,
    wanted: Wanted,
    given: dict[str, str],
    stored: dict[str, Any],
) -> str:
    said = wanted.login_url or given.get("login_url", "")
    if not said:
        default = str(stored.get("login_url") or stack.settings.login_url)
        if stack.is_local:
            return oauth.read_login_url(default)
        terminal.say(
            "Where does your org sign in? production, sandbox, or its My Domain "
            "(https://yourcompany.my.salesforce.com)."
        )
        said = terminal.ask("Login URL", default=default)
    return oauth.read_login_url(said)


def _choose_app(
    terminal: Terminal,
    stack: Stack,
    wanted: Wanted,
    given: dict[str, str],
    stored: dict[str, Any],
    *,
    login_url: str,
    may_have_changed: bool = False,
) -> App:
    """The app, from what was given, then what is stored, then a person.

    `may_have_changed`: where a person is there, the stored secret is offered and not just taken.
    """
    known = dict(stack.local.get("app", {})) if stack.local else {}
    before = {name: str(stored.get(name) or "") for name in ("client_id", "client_secret")}
    client_id = wanted.client_id or given.get("client_id") or known.get("client_id", "")
    if not client_id:
        client_id = terminal.ask("Consumer key of the app", default=before["client_id"])
    secret = given.get("client_secret", "")
    if may_have_changed and terminal.interactive and before["client_id"] == client_id and not known:
        secret = secret or terminal.ask_secret("Consumer secret (hidden; Enter: as it is stored)")
    for source in (before, known):
        if not secret and source.get("client_id") == client_id:
            secret = source.get("client_secret", "")
    if not secret:
        secret = terminal.ask_secret("Consumer secret (hidden)")
    if not client_id or not secret:
        raise Problem("Key and secret are both needed.")
    return App(login_url=login_url, client_id=client_id, client_secret=secret)


def _app_of(credentials: Credentials) -> App:
    return App(
        login_url=credentials.login_url,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
    )


# ── Two ways to a grant ──────────────────────────────────────────────────────────────────────────


def _by_browser(
    terminal: Terminal,
    connection: Connection,
    stack: Stack,
    http: Http,
    app: App,
    way: sign_in.Way,
) -> Connected:
    terminal.say("Sign in as the integration user, not as yourself: leads come from that user.")
    if stack.local and "integration_user" in stack.local:
        who = stack.local["integration_user"]
        terminal.say(f"In the sandbox that is {who['username']}, password {who['password']}")
    terminal.note(
        "Salesforce keeps five approvals for a user and an app, and ends the oldest at the next "
        "one. Do not connect more stacks than that by the same user and app."
    )
    request = SignIn(app=app, callback=way.callback, scopes=oauth.SCOPES)

    def use(code: str) -> Connected:
        grant = oauth.exchange(http, request, code)
        value = {
            "login_url": app.login_url,
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "refresh_token": grant.refresh_token,
        }
        oauth.check_scopes(grant, refresh_token=True)
        return _keep(connection, stack, http, app, grant, value)

    def page(done: Connected) -> Page:
        return Page(
            good=True,
            title="Connected",
            text=f"The bridge from Bird is connected to Salesforce{_whose(done.identity)}.",
        )

    return sign_in.run(terminal, request, way, use=use, page=page)


def _by_client_credentials(
    terminal: Terminal, connection: Connection, stack: Stack, http: Http, app: App
) -> Connected:
    grant = oauth.ask_with_client_credentials(http, app)
    oauth.check_scopes(grant, refresh_token=False)
    value = {
        "login_url": app.login_url,
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "grant": "client_credentials",
    }
    return _keep(connection, stack, http, app, grant, value)


def _keep(
    connection: Connection,
    stack: Stack,
    http: Http,
    app: App,
    grant: Grant,
    value: dict[str, str],
) -> Connected:
    """Look whether the token works, store the connection, and have RefreshToken use it."""
    org_of(grant.token, stack, http).get("/")
    replaced = connection.store(value)
    connection.refresh(replaced.generation)
    token = _token(connection)
    identity = oauth.read_identity(token.id) or oauth.read_identity(grant.token.id)
    return Connected(
        identity=identity, token=token, app=app, replaced=replaced.credentials, changed=True
    )


def _revoke_replaced(terminal: Terminal, http: Http, before: Credentials) -> None:
    """End the approval that the new one replaces, so that it does not count as one of the five.

    Only if asked for: that Salesforce then ends this one only, and not every token of the same user
    and app, is what its documentation says, but was never seen by us.
    """
    if before.refresh_token and revoke(http, before.login_url, before.refresh_token):
        terminal.say("The earlier connection's token was revoked at Salesforce.")
    else:
        terminal.note(
            "The earlier connection's token could not be revoked; perhaps it was already."
        )


def revoke(http: Http, login_url: str, token: str) -> bool:
    """Have Salesforce forget a token; False if it did not (perhaps it did not know it any more)."""
    try:
        answer = http.send(
            "POST",
            login_url + "/services/oauth2/revoke",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode({"token": token}).encode(),
            deadline=Deadline.after(20),
        )
    except (Unreachable, NoAnswer):
        return False
    return answer.status == 200


def _whose(identity: Identity | None) -> str:
    if identity is None:
        return ""
    return f" (org {identity.org_id}, user {identity.user_id})"


# ── After it ─────────────────────────────────────────────────────────────────────────────────────


def test_lead(terminal: Terminal, stack: Stack, done: Connected) -> None:
    """Make a Lead and take it back. Raises OrgProblem if the org refuses it."""
    org = org_of(done.token, stack, Http())
    begun = time.monotonic()
    key = f"bird-salesforce-test-{uuid.uuid4().hex[:12]}"
    try_lead(org, key_field=stack.settings.external_id_field, key=key, values=TEST_LEAD)
    milliseconds = (time.monotonic() - begun) * 1000
    terminal.good(f"A test Lead was made and taken back ({milliseconds:.0f} ms).")


def lacks_set_up(stack: Stack, done: Connected) -> str:
    """What the org lacks for the bridge, in a few words; empty if it is ready."""
    org = org_of(done.token, stack, Http())
    key_field = stack.settings.external_id_field
    lacking = []
    for object_name in ("Lead", "Case"):
        try:
            said = org.describe(object_name)
        except OrgProblem as problem:
            if not problem.not_allowed:
                raise
            lacking.append(f"access to {object_name}")
            continue
        if not said.get("createable"):
            lacking.append(f"the right to create a {object_name}")
        if key_field and key_field.lower() not in said["fields_by_name"]:
            lacking.append(f"{object_name}.{key_field}")
    return ", ".join(lacking)
