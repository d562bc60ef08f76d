"""Apps, approvals and sessions: how access tokens are issued, refreshed and revoked.

The text of every refusal is Salesforce's; what is not confirmed is marked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from sandbox.org.data.state import State
from sandbox.org.data.store import Record
from sandbox.org.errors import OAuthRefused
from sandbox.org.oauth.identity import identity, userinfo

CODE_SECONDS = 900.0
APPROVALS_PER_USER = 5
EXPIRED = ("invalid_grant", "expired access/refresh token")
# RFC 7636 ends at 128 characters; jsforce, which works with Salesforce, sends 171.
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,256}\Z")


@dataclass(slots=True)
class App:
    """A connected app or external client app, with the policies an administrator may set."""

    name: str
    client_id: str
    client_secret: str
    callbacks: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("api", "refresh_token", "offline_access", "id", "openid", "web")
    rotation: bool = False
    """Each refresh returns a new refresh token and ends the old one. There is no grace."""
    pkce_required: bool = False
    admin_approved_only: bool = False
    approved_users: set[str] = field(default_factory=set)
    """User names that may use the app where `admin_approved_only` is on."""
    ip_restricted: bool = False
    installed: bool = True
    """False: nobody without "Approve Uninstalled Connected Apps" may authorise it."""
    run_as: str = ""
    """The user name behind client credentials; empty: not enabled."""
    idle_seconds: float = 0.0
    """A refresh token not used for that long expires; 0: never."""
    lifetime_seconds: float = 0.0
    """A refresh token expires that long after the approval; 0: never."""
    session_seconds: float = 0.0
    """0: the org's own session timeout."""
    ready_at: float = 0.0
    """An app needs up to ten minutes after it was made; until then its client id is unknown."""

    def __repr__(self) -> str:
        return f"App({self.name!r})"


POLICIES = frozenset(item.name for item in fields(App)) - {"name", "client_id", "client_secret"}


@dataclass(slots=True)
class Approval:
    """One user's consent to one app, which lives on in its refresh token."""

    app: App
    user_id: str
    scope: tuple[str, ...]
    token: str
    made_at: float
    used_at: float
    revoked: bool = False


@dataclass(slots=True)
class Session:
    """An access token: whose, for which app, until when."""

    token: str
    user_id: str
    app_name: str
    client_id: str
    scope: tuple[str, ...]
    made_at: float
    used_at: float
    seconds: float
    approval: Approval | None = None
    ended: bool = False

    @property
    def for_rest(self) -> bool:
        return "api" in self.scope or "full" in self.scope


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code that was given out and not used yet."""

    app: App
    user_id: str
    scope: tuple[str, ...]
    redirect_uri: str
    challenge: str
    made_at: float


class OAuth:
    """The OAuth side of one org. Uses the org's lock; slow parts happen outside it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.apps: dict[str, App] = {}
        self.sessions: dict[str, Session] = {}
        self.approvals: dict[str, Approval] = {}
        """By refresh token, rotated-out ones included."""
        self._passwords: dict[str, str] = {}
        self._codes: dict[str, Code] = {}
        self._used_codes: set[str] = set()
        self._busy: set[str] = set()
        self.processed = 0
        """Refreshes that succeeded, for tests that count."""

    # --- set-up --------------------------------------------------------------------------

    def add_app(self, app: App, *, young: bool = False) -> App:
        """Register an app; `young` makes its id unknown for ten minutes, as at Salesforce."""
        if young:
            app.ready_at = self._state.clock.now() + 600
        self.apps[app.client_id] = app
        return app

    def set_policies(self, client_id: str, *, young: bool | None = None, **policies: Any) -> None:
        """Change an app: ``set_policies(id, rotation=True)``; `young` as in `add_app`."""
        app = self.apps[client_id]
        if unknown := set(policies) - POLICIES:
            raise ValueError(f"an app has no {', '.join(sorted(unknown))}")
        if young is not None:
            app.ready_at = self._state.clock.now() + 600 if young else 0.0
        for name, value in policies.items():
            setattr(app, name, value)

    def set_password(self, username: str, password: str) -> None:
        self._passwords[username.lower()] = password

    def user(self, username: str) -> Record | None:
        """The user with this name, or None."""
        return self._state.user(username)

    def check_password(self, username: str, password: str) -> Record | None:
        """The active user with this name and password, or None."""
        wanted = self._passwords.get(username.strip().lower())
        user = self.user(username.strip())
        if user is None or wanted is None or not user.get("IsActive"):
            return None
        same = hmac.compare_digest(wanted.encode(), password.encode("utf-8", "replace"))
        return user if same else None

    # --- sessions ------------------------------------------------------------------------

    def session(self, token: str) -> Session | None:
        """The live session of an access token; using it keeps it alive."""
        found = self.sessions.get(token)
        if found is None or found.ended:
            return None
        now = self._state.clock.now()
        if now - found.used_at > found.seconds:
            found.ended = True
            return None
        user = self._state.store["User"].live.get(found.user_id)
        if user is None or not user.get("IsActive"):
            return None
        found.used_at = now
        return found

    def connected(self, refresh_token: str) -> bool:
        """Whether this very refresh token would get an access token now."""
        approval = self.approvals.get(refresh_token)
        return approval is not None and self._why_not(approval, refresh_token) is None

    def current_refresh_token(self, username: str) -> str | None:
        """The refresh token of a user's newest living approval."""
        user = self.user(username)
        living = [a for a in self.approvals.values() if not a.revoked]
        mine = [a for a in living if user is not None and a.user_id == user["Id"]]
        return max(mine, key=lambda a: a.made_at).token if mine else None

    def expire_sessions(self, token: str | None = None) -> int:
        """End one session, or all; returns how many."""
        ended = 0
        for session in list(self.sessions.values()):
            if not session.ended and token in (None, session.token):
                session.ended = True
                ended += 1
        return ended

    def revoke_all(self) -> None:
        """As an administrator's "revoke all" for every app."""
        for approval in self.approvals.values():
            self._revoke(approval)
        self.expire_sessions()

    # --- authorize -----------------------------------------------------------------------

    def give_code(
        self, app: App, user: Record, *, scope: tuple[str, ...], redirect_uri: str, challenge: str
    ) -> str:
        with self._state.lock:
            code = "aPrx" + secrets.token_urlsafe(48)
            self._codes[code] = Code(
                app, user["Id"], scope, redirect_uri, challenge, self._state.clock.now()
            )
            return code

    def approve(self, client_id: str, username: str, *scope: str) -> dict[str, Any]:
        """The whole web-server flow in one call: the token response that a client would get.

        KeyError where the app or the user does not exist.
        """
        with self._state.lock:
            user = self.user(username)
            if user is None:
                raise KeyError(username)
            return self._approved(
                self.apps[client_id], user["Id"], scope or ("api", "refresh_token")
            )

    # --- the token endpoint --------------------------------------------------------------

    def token(
        self, form: Mapping[str, str], basic: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        """Answer ``POST /services/oauth2/token``; raises `OAuthRefused`."""
        grant = form.get("grant_type", "")
        if not grant:
            raise OAuthRefused("invalid_request", "must supply grant_type")
        grants = {
            "authorization_code": self._grant_code,
            "refresh_token": self._grant_refresh,
            "client_credentials": self._grant_client,
        }
        if grant not in grants:
            raise OAuthRefused("unsupported_grant_type", "grant type not supported")
        app = self._client(form, basic)
        return grants[grant](app, form)

    def _client(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> App:
        client_id, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        app = self.apps.get(client_id)
        if app is None or app.ready_at > self._state.clock.now():
            raise OAuthRefused("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(secret.encode(), app.client_secret.encode()):
            raise OAuthRefused("invalid_client", "invalid client credentials")
        return app

    def _grant_code(self, app: App, form: Mapping[str, str]) -> dict[str, Any]:
        with self._state.lock:
            value = form.get("code", "")
            code = self._codes.get(value)
            if code is None or code.app is not app:
                used = value in self._used_codes
                raise OAuthRefused(
                    "invalid_grant",
                    "expired authorization code" if used else "invalid authorization code",
                )
            if self._state.clock.now() - code.made_at > CODE_SECONDS:
                raise OAuthRefused("invalid_grant", "expired authorization code")
            if form.get("redirect_uri", "") != code.redirect_uri:
                raise OAuthRefused("redirect_uri_mismatch", "redirect_uri must match configuration")
            self._check_verifier(code, form.get("code_verifier", ""))
            del self._codes[value]
            self._used_codes.add(value)
            self._check_user(app, code.user_id)
            return self._approved(app, code.user_id, code.scope)

    def _check_verifier(self, code: Code, verifier: str) -> None:
        """A missing verifier is invalid_grant, a wrong one invalid_request. The descriptions are
        not confirmed."""
        if not code.challenge:
            return
        if not verifier:
            raise OAuthRefused("invalid_grant", "missing required code verifier")
        made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode()
        if not _VERIFIER.match(verifier) or made.rstrip("=") != code.challenge.rstrip("="):
            raise OAuthRefused("invalid_request", "invalid code verifier")

    def _grant_refresh(self, app: App, form: Mapping[str, str]) -> dict[str, Any]:
        token = form.get("refresh_token", "")
        with self._one_at_a_time(token):
            if self._state.settings.refresh_seconds:
                time.sleep(self._state.settings.refresh_seconds)
            with self._state.lock:
                approval = self.approvals.get(token)
                if approval is None or approval.app is not app:
                    raise OAuthRefused(*EXPIRED)
                why = self._why_not(approval, token)
                if why is not None:
                    if token != approval.token:
                        # Somebody holds a token that was rotated out: Salesforce ends it all.
                        self._revoke(approval)
                    raise OAuthRefused(*why)
                self._check_user(app, approval.user_id)
                approval.used_at = self._state.clock.now()
                body = self._token_body(
                    self._session(app, approval.user_id, approval.scope, approval)
                )
                if app.rotation:
                    approval.token = self._new_refresh_token()
                    self.approvals[approval.token] = approval
                    body["refresh_token"] = approval.token
                self.processed += 1
                return body

    @contextmanager
    def _one_at_a_time(self, token: str) -> Iterator[None]:
        with self._state.lock:
            if token in self._busy:
                raise OAuthRefused("invalid_grant", "token request is already being processed")
            self._busy.add(token)
        try:
            yield
        finally:
            with self._state.lock:
                self._busy.discard(token)

    def _why_not(self, approval: Approval, token: str) -> tuple[str, str] | None:
        now = self._state.clock.now()
        app = approval.app
        too_old = 0 < app.lifetime_seconds < now - approval.made_at
        too_idle = 0 < app.idle_seconds < now - approval.used_at
        if approval.revoked or token != approval.token or too_old or too_idle:
            return EXPIRED
        user = self._state.store["User"].live.get(approval.user_id, {})
        return None if user.get("IsActive") else ("invalid_grant", "inactive user")

    def _grant_client(self, app: App, form: Mapping[str, str]) -> dict[str, Any]:
        with self._state.lock:
            if self._state.settings.login_host:
                # The wire text is not confirmed.
                raise OAuthRefused("invalid_grant", "request not supported on this domain")
            user = self.user(app.run_as) if app.run_as else None
            if user is None:
                raise OAuthRefused("invalid_grant", "no client credentials user enabled")
            self._check_user(app, user["Id"])
            scope = tuple(s for s in app.scopes if s not in ("refresh_token", "offline_access"))
            body = self._token_body(self._session(app, user["Id"], scope, None))
            if "instance_url" in body:
                body["api_instance_url"] = body["instance_url"]
            return body

    def _check_user(self, app: App, user_id: str) -> None:
        user = self._state.store["User"].live.get(user_id, {})
        if not user.get("IsActive"):
            raise OAuthRefused("invalid_grant", "inactive user")
        if app.ip_restricted:
            raise OAuthRefused("invalid_grant", "ip restricted or invalid login hours")
        if app.admin_approved_only and user["Username"] not in app.approved_users:
            raise OAuthRefused(
                "invalid_app_access", "user is not admin approved to access this app"
            )

    def _approved(self, app: App, user_id: str, scope: tuple[str, ...]) -> dict[str, Any]:
        """A new approval. The sixth of one user for one app ends the oldest."""
        if not {"refresh_token", "offline_access"} & set(scope):
            return self._token_body(self._session(app, user_id, scope, None))
        now = self._state.clock.now()
        approval = Approval(app, user_id, scope, self._new_refresh_token(), now, now)
        living: dict[int, Approval] = {
            id(a): a
            for a in self.approvals.values()
            if a.app is app and a.user_id == user_id and not a.revoked
        }
        mine = sorted(living.values(), key=lambda a: a.made_at)
        for oldest in mine[: max(0, len(mine) + 1 - APPROVALS_PER_USER)]:
            self._revoke(oldest)
        self.approvals[approval.token] = approval
        body = self._token_body(self._session(app, user_id, scope, approval))
        body["refresh_token"] = approval.token
        return body

    @staticmethod
    def _new_refresh_token() -> str:
        return "5Aep861" + secrets.token_urlsafe(60)

    def _session(
        self, app: App, user_id: str, scope: tuple[str, ...], approval: Approval | None
    ) -> Session:
        now = self._state.clock.now()
        session = Session(
            token=f"{self._state.org_id[:15]}!AQEAQ{secrets.token_urlsafe(66)}",
            user_id=user_id,
            app_name=app.name,
            client_id=app.client_id,
            scope=scope,
            made_at=now,
            used_at=now,
            seconds=app.session_seconds or self._state.settings.session_seconds,
            approval=approval,
        )
        self.sessions[session.token] = session
        return session

    def _token_body(self, session: Session) -> dict[str, Any]:
        issued_at = str(self._state.clock.milliseconds())
        identity = self._state.identity_url(session.user_id)
        secret = self.apps[session.client_id].client_secret
        body = {
            "access_token": session.token,
            "signature": sign(secret, identity, issued_at),
            "scope": " ".join(session.scope),
            "instance_url": self._state.instance_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }
        if not self._state.settings.send_instance_url:
            del body["instance_url"]
        return body

    def _revoke(self, approval: Approval) -> None:
        approval.revoked = True
        for session in self.sessions.values():
            if session.approval is approval:
                session.ended = True

    # --- the other endpoints -------------------------------------------------------------

    def revoke(self, token: str) -> None:
        """End a refresh token with its sessions, or one session. Raises `OAuthRefused`; the words
        for an unknown token are not confirmed."""
        with self._state.lock:
            approval = self.approvals.get(token)
            if approval is not None and not approval.revoked:
                self._revoke(approval)
                return
            session = self.sessions.get(token)
            if session is None or session.ended:
                raise OAuthRefused("unsupported_token_type", f"invalid token: {token}")
            session.ended = True

    def introspect(
        self, form: Mapping[str, str], basic: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        """State of a token. A refresh token that cannot expire has no ``exp``."""
        with self._state.lock:
            self._client(form, basic)
            token = form.get("token", "")
            approval = self.approvals.get(token)
            if approval is not None and self._why_not(approval, token) is None:
                app = approval.app
                ends = [
                    start + seconds
                    for start, seconds in (
                        (approval.made_at, app.lifetime_seconds),
                        (approval.used_at, app.idle_seconds),
                    )
                    if seconds
                ]
                return self._introspected(
                    approval.user_id, app, approval.scope, "refresh_token", approval.made_at, ends
                )
            session = self.sessions.get(token)
            if session is None or self.session(token) is None:
                return {"active": False}
            return self._introspected(
                session.user_id,
                self.apps[session.client_id],
                session.scope,
                "access_token",
                session.made_at,
                [session.used_at + session.seconds],
            )

    def _introspected(
        self,
        user_id: str,
        app: App,
        scope: tuple[str, ...],
        kind: str,
        made_at: float,
        ends: list[float],
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "active": True,
            "scope": " ".join(scope),
            "client_id": app.client_id,
            "username": self._state.store["User"].live[user_id]["Username"],
            "sub": self._state.identity_url(user_id),
            "token_type": kind,
            "iat": int(made_at),
            "nbf": int(made_at),
        }
        if ends:
            body["exp"] = int(min(ends))
        return body

    def identity(self, token: str, *, openid: bool) -> dict[str, Any] | None:
        """The body of userinfo (`openid`) or of the identity URL; None for a bad token."""
        with self._state.lock:
            session = self.session(token)
            if session is None:
                return None
            user = self._state.store["User"].live[session.user_id]
            return userinfo(self._state, user) if openid else identity(self._state, user)


def sign(client_secret: str, identity: str, issued_at: str) -> str:
    """The signature of a token response."""
    message = (identity + issued_at).encode()
    return base64.b64encode(
        hmac.new(client_secret.encode(), message, hashlib.sha256).digest()
    ).decode()
