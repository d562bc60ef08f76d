"""OAuth over HTTP: the pages where a person logs in and consents, and the endpoints."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from flask import Blueprint, Response, redirect, request, session
from werkzeug.wrappers import Response as Page

from sandbox.org.data.store import Record
from sandbox.org.errors import OAuthRefused
from sandbox.org.http.pages import render
from sandbox.org.oauth.tokens import App
from sandbox.org.org import Org

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

# What the consent page says about each scope.
SCOPE_WORDS = {
    "api": "Manage user data via APIs",
    "full": "Full access",
    "id": "Access the identity URL service",
    "openid": "Access unique user identifiers",
    "profile": "Access your basic information",
    "email": "Access your e-mail address",
    "web": "Manage user data via Web browsers",
    "refresh_token": "Perform requests at any time",
    "offline_access": "Perform requests at any time",
}


@dataclass(slots=True)
class AuthorizeRequest:
    """One request of an app while a person logs in and decides."""

    app: App
    redirect_uri: str
    scope: tuple[str, ...]
    state: str | None
    challenge: str
    user_id: str = ""

    def send_back(self, **parameters: str) -> Page:
        """Send the browser back to the app."""
        if self.state is not None:
            parameters["state"] = self.state
        joint = "&" if urlsplit(self.redirect_uri).query else "?"
        return redirect(self.redirect_uri + joint + urlencode(parameters), 302)

    def error(self, error: str, description: str) -> Page:
        return self.send_back(error=error, error_description=description)


class LoginPages:
    """The pages, and which authorize requests are open. Who is logged in says the cookie."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._requests: dict[str, AuthorizeRequest] = {}

    # --- authorize -----------------------------------------------------------------------

    def authorize(self) -> Page:
        given = request.args if request.method == "GET" else request.form
        app = self._org.oauth.apps.get(given.get("client_id", ""))
        if app is None or app.ready_at > self._org.clock.now():
            return _stop("invalid_client_id", "client identifier invalid")
        redirect_uri = given.get("redirect_uri", "")
        if not redirect_uri:
            return _stop("redirect_uri_missing", "redirect_uri not provided")
        if redirect_uri not in app.callbacks or not _safe_callback(redirect_uri):
            return _stop("redirect_uri_mismatch", "redirect_uri must match configuration")
        scope = tuple(given.get("scope", "").replace("+", " ").split())
        pending = AuthorizeRequest(
            app,
            redirect_uri,
            scope or app.scopes,
            given.get("state"),
            given.get("code_challenge", ""),
        )
        if given.get("response_type") != "code":
            return pending.error("unsupported_response_type", "response type not supported")
        if not set(pending.scope) <= {*app.scopes, "profile", "email"}:
            return pending.error("invalid_scope", "the requested scope is not allowed")
        # The wording of both is not confirmed.
        if pending.challenge and given.get("code_challenge_method", "S256") != "S256":
            return pending.error("invalid_request", "code challenge method must be S256")
        if app.pkce_required and not pending.challenge:
            return pending.error("invalid_request", "missing required code challenge")
        logged_in = session.get("user_id")
        prompt = given.get("prompt", "").split()
        if logged_in and not {"login", "select_account"} & set(prompt):
            pending.user_id = logged_in
            return self._consent_page(self._keep(pending), pending)
        if given.get("immediate") == "true":
            return pending.error("immediate_unsuccessful", "immediate unsuccessful")
        return self._login_page(self._keep(pending), pending)

    def _keep(self, pending: AuthorizeRequest) -> str:
        number = secrets.token_urlsafe(24)
        self._requests[number] = pending
        while len(self._requests) > 500:
            del self._requests[next(iter(self._requests))]
        return number

    def _login_page(
        self, number: str, pending: AuthorizeRequest, *, error: str = "", username: str = ""
    ) -> Page:
        return render(
            "login.html",
            request_id=number,
            app_name=pending.app.name,
            username=username,
            error=error,
            org_name=self._org.name,
        )

    def log_in(self) -> Page:
        number = request.form.get("request", "")
        pending = self._requests.get(number)
        if pending is None:
            return _stop(
                "expired", "This login page is too old. Go back to the app and start again."
            )
        username = request.form.get("username", "")
        with self._org.lock:
            user = self._org.oauth.check_password(username, request.form.get("password", ""))
        if user is None:
            error = "That user name and password do not fit. Check both and try again."
            return self._login_page(number, pending, error=error, username=username)
        pending.user_id = user["Id"]
        session["user_id"] = user["Id"]
        return self._consent_page(number, pending)

    def _consent_page(self, number: str, pending: AuthorizeRequest) -> Page:
        """The consent page, or an end where this user may not use the app at all."""
        user = self._org.store["User"].live.get(pending.user_id)
        if user is None:
            return self._login_page(number, pending)
        with self._org.lock:
            rights = self._org.access.rights(pending.user_id)
        if not pending.app.installed and not rights.may("PermissionsApproveUninstalledApps"):
            return pending.error("invalid_client", "app must be installed into org")
        if pending.app.admin_approved_only and user["Username"] not in pending.app.approved_users:
            return pending.error(
                "invalid_app_access", "user is not admin approved to access this app"
            )
        words = dict.fromkeys(SCOPE_WORDS.get(scope, scope) for scope in pending.scope)
        return render(
            "consent.html",
            request_id=number,
            app_name=pending.app.name,
            scopes=list(words),
            user_name=user.get("Name", ""),
            username=user["Username"],
            org_name=self._org.name,
        )

    def decide(self) -> Page:
        number = request.form.get("request", "")
        pending = self._requests.get(number)
        if pending is None or not pending.user_id or session.get("user_id") != pending.user_id:
            return _stop("expired", "This page is too old. Go back to the app and start again.")
        del self._requests[number]
        if request.form.get("decision") != "allow":
            return pending.error("access_denied", "end-user denied authorization")
        user: Record = self._org.store["User"].live[pending.user_id]
        code = self._org.oauth.give_code(
            pending.app,
            user,
            scope=pending.scope,
            redirect_uri=pending.redirect_uri,
            challenge=pending.challenge,
        )
        return pending.send_back(code=code)

    def log_out(self) -> Page:
        session.clear()
        return render("message.html", title="Logged out", text="You are logged out.")


def _safe_callback(redirect_uri: str) -> bool:
    """Plain http is accepted for ``localhost`` only, not even for 127.0.0.1."""
    parts = urlsplit(redirect_uri)
    return parts.scheme != "http" or parts.hostname == "localhost"


def _stop(error: str, description: str) -> Page:
    """A page instead of a redirect: nobody is sent to an address that was not registered."""
    return render(
        "message.html",
        status=400,
        title="This login cannot go on",
        text=description,
        code=f"error={error}&error_description={quote(description)}",
    )


def _form() -> Mapping[str, str]:
    """Parameters of an endpoint: form, JSON or query, as clients send them."""
    return {**request.args.to_dict(), **request.form.to_dict()}


def _basic() -> tuple[str, str] | None:
    given = request.authorization
    if given is None or given.type != "basic":
        return None
    return given.username or "", given.password or ""


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "oauth"):
        return token.strip()
    return _form().get("access_token", "")


def _response(body: dict[str, Any], status: int = 200) -> Response:
    kind = "application/json;charset=UTF-8"
    return Response(json.dumps(body), status, _NO_STORE, content_type=kind)


def _refusal(error: OAuthRefused) -> Response:
    body = {"error": error.error, "error_description": error.description}
    return _response(body, error.status)


def blueprint(org: Org) -> Blueprint:
    """All routes of OAuth."""
    routes = Blueprint("login", __name__)
    pages = LoginPages(org)
    base = "/services/oauth2"
    routes.add_url_rule(f"{base}/authorize", "authorize", pages.authorize, methods=["GET", "POST"])
    routes.add_url_rule("/login", "log_in", pages.log_in, methods=["POST"])
    routes.add_url_rule(f"{base}/authorize/decide", "decide", pages.decide, methods=["POST"])
    routes.add_url_rule("/secur/logout.jsp", "log_out", pages.log_out)

    @routes.route(f"{base}/token", methods=["GET", "POST"])
    def token() -> Response:
        if request.method != "POST":
            return _refusal(OAuthRefused("invalid_request", "must use HTTP POST"))
        try:
            return _response(org.oauth.token(_form(), _basic()))
        except OAuthRefused as error:
            return _refusal(error)

    @routes.route(f"{base}/revoke", methods=["GET", "POST"])
    def revoke() -> Response:
        try:
            org.oauth.revoke(_form().get("token", ""))
        except OAuthRefused as error:
            return _refusal(error)
        return Response("", 200, _NO_STORE)

    @routes.route(f"{base}/introspect", methods=["POST"])
    def introspect() -> Response:
        try:
            return _response(org.oauth.introspect(_form(), _basic()))
        except OAuthRefused as error:
            return _refusal(error)

    @routes.route(f"{base}/userinfo", methods=["GET", "POST"])
    def userinfo() -> Response:
        return identity_response(org.oauth.identity(_bearer(), openid=True))

    @routes.get("/id/<org_id>/<user_id>")
    def identity(org_id: str, user_id: str) -> Response:
        return identity_response(org.oauth.identity(_bearer(), openid=False))

    return routes


def identity_response(body: dict[str, Any] | None) -> Response:
    """A bad token is refused with 403 and plain text here, not with 401 and JSON."""
    if body is None:
        return Response("Bad_OAuth_Token", 403, content_type="text/plain")
    return Response(json.dumps(body), 200, _NO_STORE, content_type="application/json;charset=UTF-8")
