"""Connecting a stack: sign in, store the credentials, get the first access token."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from bridge.http import Http
from bridge.oauth.access_token import AccessToken
from bridge.oauth.grant import Credentials, Grant
from cli.connect import oauth, sign_in
from cli.connect.app_choice import AppOptions, Given, choose_app
from cli.connect.callback import Page
from cli.connect.names import describe_identity
from cli.connect.oauth import App, Identity, SignIn
from cli.connect.sign_in import BrowserOptions
from cli.connect.sign_in_failures import SignInFailed
from cli.connect.stored_connection import (
    StoredConnection,
    is_outage,
    needs_connecting,
    org_of,
)
from cli.deployment.stack import Stack
from cli.org.client import OUTAGE_STEP
from cli.org.plan import missing
from cli.problem import Problem
from cli.terminal import Terminal


@dataclass(frozen=True, kw_only=True)
class ConnectOptions:
    """What the options of `connect` ask for."""

    app: AppOptions
    browser: BrowserOptions
    client_credentials: bool
    """Sign in without a person and without a refresh token."""
    anew: bool
    """Also where the stored connection works."""
    revoke_old: bool


@dataclass(frozen=True, kw_only=True)
class Connected:
    """A connection that works."""

    identity: Identity | None
    token: AccessToken
    app: App
    replaced: Credentials | None = None
    """What was stored before."""
    lacking: str
    """What the org lacks, in a few words; empty if it is set up."""
    changed: bool
    """Whether this run stored anything."""


def connect(terminal: Terminal, stack: Stack, options: ConnectOptions) -> Connected:
    """Connect the stack, or find that it is connected already.

    Raises Problem (nothing was stored) or RefreshFailed (the new connection was stored).
    """
    connection = StoredConnection(stack)
    http = Http()
    before = connection.credentials()
    given = Given.read(options.app)
    if before is not None and not options.anew and _asks_for(options, given, before):
        try:
            token = connection.working_token(http)
        except Problem as problem:
            if is_outage(problem):
                raise _outage() from problem
            if not needs_connecting(problem):
                raise
            terminal.note(f"The stored connection does not work any more: {problem.what}")
        else:
            identity = oauth.read_identity(token.id)
            who = describe_identity(org_of(token, stack, http), token)
            terminal.good(f"Connected already as {who}. Nothing was changed.")
            terminal.say("To connect again, add --anew.")
            return Connected(
                identity=identity,
                token=token,
                app=_app_of(before),
                lacking=_lacking(stack, http, token),
                changed=False,
            )
    app = choose_app(
        terminal,
        stack,
        given,
        connection.secret(),
        to_connect=True,
        callback="" if options.client_credentials else options.browser.callback,
    )
    terminal.say(f"Checking the app at {urlsplit(app.login_url).netloc} …")
    try:
        if options.client_credentials:
            done = _by_client_credentials(connection, stack, http, app)
        else:
            oauth.try_app(http, app)
            done = _by_browser(terminal, connection, stack, http, app, options.browser)
    except SignInFailed as failed:
        if before is not None and app.login_url == before.login_url and is_outage(failed):
            raise _outage() from failed
        raise
    if options.revoke_old and done.replaced is not None:
        _revoke_replaced(terminal, http, done.replaced)
        # Salesforce may have issued the same session again; then it was revoked too.
        connection.working_token(http)
    who = describe_identity(org_of(done.token, stack, http), done.token)
    terminal.good(f"Connected to Salesforce as {who}.")
    return done


def _outage() -> Problem:
    return Problem(
        "Salesforce is down, the credentials are fine. Nothing was changed.",
        next_step=OUTAGE_STEP,
    )


def _lacking(stack: Stack, http: Http, token: AccessToken) -> str:
    return missing(org_of(token, stack, http), stack.settings)


def _asks_for(options: ConnectOptions, given: Given, stored: Credentials) -> bool:
    grant_fits = not options.client_credentials or stored.grant == "client_credentials"
    return grant_fits and given.agrees_with(stored)


def _app_of(credentials: Credentials) -> App:
    return App(
        login_url=credentials.login_url,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
    )


def _by_browser(
    terminal: Terminal,
    connection: StoredConnection,
    stack: Stack,
    http: Http,
    app: App,
    options: BrowserOptions,
) -> Connected:
    terminal.say("Sign in as the integration user: records are created as that user.")
    sign_in.say_sandbox_user(terminal, stack, "integration_user")
    terminal.note(
        "Salesforce keeps five approvals for a user and an app and ends the oldest at the next "
        "one. Do not connect more than five stacks with the same user and app."
    )
    request = SignIn(app=app, callback=options.callback, scopes=oauth.SCOPES)

    def use(code: str) -> Connected:
        grant = oauth.exchange(http, request, code)
        oauth.check_scopes(grant, refresh_token=True)
        return _store(connection, stack, http, app, grant, {"refresh_token": grant.refresh_token})

    def page(done: Connected) -> Page:
        who = describe_identity(org_of(done.token, stack, http), done.token)
        return Page(
            good=True,
            title="Connected",
            text=f"The bridge from Bird is connected to Salesforce as {who}.",
            next_step="One step is left in the terminal: setting the org up. An administrator "
            "signs in for it."
            if done.lacking
            else "",
        )

    return sign_in.run(terminal, request, options, use=use, page=page)


def _by_client_credentials(
    connection: StoredConnection, stack: Stack, http: Http, app: App
) -> Connected:
    grant = oauth.fetch_with_client_credentials(http, app)
    oauth.check_scopes(grant, refresh_token=False)
    return _store(connection, stack, http, app, grant, {"grant": "client_credentials"})


def _store(
    connection: StoredConnection,
    stack: Stack,
    http: Http,
    app: App,
    grant: Grant,
    how: dict[str, str],
) -> Connected:
    """Try the token, store the connection, and make RefreshToken use it."""
    org_of(grant.token, stack, http).get("/")
    replaced = connection.store(
        {
            "login_url": app.login_url,
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            **how,
        }
    )
    connection.refresh(replaced.generation)
    token = connection.published_token()
    identity = oauth.read_identity(token.id) or oauth.read_identity(grant.token.id)
    return Connected(
        identity=identity,
        token=token,
        app=app,
        replaced=replaced.credentials,
        lacking=_lacking(stack, http, token),
        changed=True,
    )


def _revoke_replaced(terminal: Terminal, http: Http, before: Credentials) -> None:
    """End the approval that the new one replaces, so that it is not one of the five any more.

    Only on request: Salesforce documents that this ends that approval alone and not every token of
    the user and app, but it was not tried against a live org.
    """
    if before.refresh_token and oauth.revoke(http, before.login_url, before.refresh_token):
        terminal.say("The earlier connection's token was revoked at Salesforce.")
    else:
        terminal.note(
            "The earlier connection's token could not be revoked; perhaps it was invalid already."
        )
