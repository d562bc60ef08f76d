"""Connecting a stack: sign in, store the credentials, get the first access token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bridge.http import Http
from bridge.oauth.access_token import AccessToken
from bridge.oauth.grant import Credentials, Grant
from cli.connect import oauth, sign_in
from cli.connect.app_choice import Given, choose_app
from cli.connect.callback import Page
from cli.connect.oauth import Identity, SignIn
from cli.connect.sign_in import BrowserOptions
from cli.connect.sign_in_failures import SignInFailed
from cli.connect.stored_connection import (
    StoredConnection,
    describe_identity,
    org_of,
)
from cli.deployment.stack import Stack
from cli.org.client import OUTAGE_STEP
from cli.org.plan import missing
from cli.problem import Problem
from cli.terminal import Terminal


@dataclass(frozen=True, kw_only=True)
class Connected:
    identity: Identity | None
    token: AccessToken
    app: Credentials
    replaced: Credentials | None = None
    lacking: str
    """What the org lacks, in a few words; empty if it is set up."""
    changed: bool


@dataclass(kw_only=True)
class Connecting:
    terminal: Terminal
    stack: Stack
    browser: BrowserOptions
    client_credentials: bool
    """Sign in without a person and without a refresh token."""
    http: Http = field(default_factory=Http)

    def __post_init__(self) -> None:
        self._connection = StoredConnection(self.stack)

    def run(self, given: Given, *, anew: bool, revoke_old: bool) -> Connected:
        """Connect the stack, or find that it is connected already (`anew`: also then).

        Raises Problem (nothing was stored) or RefreshFailed (the new connection was stored).
        """
        before = self._connection.credentials()
        if before is not None and not anew and self._fits(before, given):
            found = self._connected_already(before)
            if found is not None:
                return found
        app = choose_app(
            self.terminal,
            self.stack,
            given,
            self._connection.secret(),
            to_connect=True,
            callback="" if self.client_credentials else self.browser.callback,
        )
        self.terminal.say(f"Checking the app at {urlsplit(app.login_url).netloc} …")
        try:
            connect = self._by_client_credentials if self.client_credentials else self._by_browser
            done = connect(app)
        except SignInFailed as failed:
            if before is not None and app.login_url == before.login_url and failed.is_outage:
                raise _outage() from failed
            raise
        if revoke_old and done.replaced is not None:
            self._revoke(done.replaced)
            # Salesforce may have issued the same session again; then it was revoked too.
            self._connection.working_token(self.http)
        self.terminal.good(f"Connected to Salesforce as {self._who(done.token)}.")
        return done

    def _fits(self, stored: Credentials, given: Given) -> bool:
        grant_fits = not self.client_credentials or stored.grant == "client_credentials"
        return grant_fits and given.agrees_with(stored)

    def _who(self, token: AccessToken) -> str:
        return describe_identity(token, self.stack, self.http)

    def _connected_already(self, stored: Credentials) -> Connected | None:
        """None where the stored connection does not work, and a new one may."""
        try:
            token = self._connection.working_token(self.http)
        except Problem as problem:
            if problem.is_outage:
                raise _outage() from problem
            if not problem.calls_for_connecting:
                raise
            self.terminal.note(f"The stored connection does not work any more: {problem.what}")
            return None
        self.terminal.good(f"Connected already as {self._who(token)}. Nothing was changed.")
        self.terminal.say("To connect again, add --anew.")
        app = Credentials(
            login_url=stored.login_url,
            client_id=stored.client_id,
            client_secret=stored.client_secret,
        )
        return self._done(token, app, identity=oauth.read_identity(token.id), changed=False)

    def _done(self, token: AccessToken, app: Credentials, **more: Any) -> Connected:
        lacking = missing(org_of(token, self.stack, self.http), self.stack.settings)
        return Connected(token=token, app=app, lacking=lacking, **more)

    def _by_browser(self, app: Credentials) -> Connected:
        oauth.try_app(self.http, app)
        self.terminal.say("Sign in as the integration user: records are created as that user.")
        sign_in.say_sandbox_user(self.terminal, self.stack, "integration_user")
        self.terminal.note(
            "Salesforce keeps five approvals for a user and an app and ends the oldest at the next "
            "one. Do not connect more than five stacks with the same user and app."
        )
        request = SignIn(app=app, callback=self.browser.callback, scopes=oauth.SCOPES)

        def use(code: str) -> Connected:
            grant = oauth.exchange(self.http, request, code)
            oauth.check_scopes(grant, refresh_token=True)
            return self._store(app, grant, refresh_token=grant.refresh_token)

        def page(done: Connected) -> Page:
            return Page(
                good=True,
                title="Connected",
                text=f"The bridge from Bird is connected to Salesforce as {self._who(done.token)}.",
                next_step="One step is left in the terminal: setting the org up. An administrator "
                "signs in for it."
                if done.lacking
                else "",
            )

        return sign_in.run(self.terminal, request, self.browser, use=use, page=page)

    def _by_client_credentials(self, app: Credentials) -> Connected:
        grant = oauth.fetch_with_client_credentials(self.http, app)
        oauth.check_scopes(grant, refresh_token=False)
        return self._store(app, grant, grant="client_credentials")

    def _store(self, app: Credentials, new: Grant, **how: str) -> Connected:
        """Try the token, store the connection, and make RefreshToken use it."""
        org_of(new.token, self.stack, self.http).get("/")
        names = ("login_url", "client_id", "client_secret")
        generation, replaced = self._connection.store(
            {**{one: getattr(app, one) for one in names}, **how}
        )
        token = self._connection.refresh(generation)
        identity = oauth.read_identity(token.id) or oauth.read_identity(new.token.id)
        return self._done(token, app, identity=identity, replaced=replaced, changed=True)

    def _revoke(self, before: Credentials) -> None:
        """End the approval that the new one replaces, so that it is not one of the five any more.

        Only on request: Salesforce documents that this ends that approval alone and not every token
        of the user and app, but it was not tried against a live org.
        """
        token = before.refresh_token
        if token and oauth.revoke(self.http, before.login_url, token):
            self.terminal.say("The earlier connection's token was revoked at Salesforce.")
        else:
            self.terminal.note(
                "The earlier connection's token could not be revoked; perhaps it was invalid "
                "already."
            )


def _outage() -> Problem:
    return Problem(
        "Salesforce is down, the credentials are fine. Nothing was changed.",
        next_step=OUTAGE_STEP,
    )
