"""Signing in to Salesforce: what is asked, how an answer is read, and what each failure means.

Nothing here reaches out but `exchange` and `ask_with_client_credentials`. Sources: Salesforce Help,
"OAuth 2.0 Web Server Flow", "OAuth 2.0 Client Credentials Flow", "OAuth Error Codes"; ISVforce
Guide, "Proof Key for Code Exchange". What an error code cannot tell apart, the words must not
pretend to know.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from bridge.deadline import Deadline
from bridge.errors import NoAnswer, Unavailable, Unreachable
from bridge.http import Answer, Http
from bridge.oauth.credentials import Credentials
from bridge.oauth.grant import Grant, GrantRefused, SignatureMismatch, read_grant
from bridge.salesforce.client import read_json, read_text
from bridge.settings import LOOPBACK
from cli.problem import Problem

PRODUCTION = "https://login.salesforce.com"
SANDBOX = "https://test.salesforce.com"
SHARED_HOSTS = ("login.salesforce.com", "test.salesforce.com")
"""Hosts of everybody's login; client credentials need the org's own."""

DEFAULT_CALLBACK = "http://localhost:8788/callback"
"""`localhost` in words: Salesforce takes plain http for this name only."""

SCOPES = ("api", "refresh_token", "offline_access")
ADMIN_SCOPES = ("api",)
"""No refresh token for an administrator: the session ends with the set-up."""

TOKEN_SECONDS = 30.0


@dataclass(frozen=True)
class Explanation:
    """One way in which a sign-in fails, in words: what happened, and what mends it."""

    what: str
    next_step: str


EXPLANATIONS: dict[str, Explanation] = {
    "unknown_app": Explanation(
        "Salesforce does not know this consumer key at this address.",
        "Check three things. The address: a sandbox signs in at https://test.salesforce.com, a "
        "production or developer org at https://login.salesforce.com, and every org at its own My "
        "Domain (--login-url). The key: copy it whole. The app's age: a new app takes up to ten "
        "minutes until it is known; then run this again.",
    ),
    "wrong_secret": Explanation(
        "Salesforce does not accept this consumer secret.",
        "Copy it again from the app's settings (Consumer Key and Secret). If it was rotated a "
        "moment ago, wait ten minutes. Then run this again.",
    ),
    "callback_mismatch": Explanation(
        "The callback URL is not one that the app allows.",
        "Put the callback URL that this program names into the app's settings, letter by letter "
        f"({DEFAULT_CALLBACK} unless you chose another by --callback), save, and run this again "
        "in ten minutes at the latest.",
    ),
    "not_approved": Explanation(
        "This user may not use the app.",
        "Salesforce administrator: in the app's policies, Permitted Users is “Admin approved users "
        "are pre-authorized”. Give the app to the user's profile or to a permission set that the "
        "user has, or choose “All users may self-authorize”.",
    ),
    "app_not_installed": Explanation(
        "Salesforce blocks the app because it is not installed in this org.",
        "Make the app in the same org that you connect (docs/connect.md), and use its key. Or "
        "install it: Setup, Connected Apps OAuth Usage, Install.",
    ),
    "ip_or_hours": Explanation(
        "The user may not sign in from this address or at this hour.",
        "Salesforce administrator: look at the profile's Login IP Ranges and Login Hours, and at "
        "IP Relaxation in the app's policies. AWS calls from other addresses than this computer "
        "(docs/connect.md, fixed address).",
    ),
    "pkce": Explanation(
        "Salesforce does not accept the proof of this sign-in (PKCE).",
        "The answer belongs to another run, or a proxy changed it. Run this again, and use only "
        "the address that this very run prints.",
    ),
    "denied": Explanation(
        "Access was denied in the browser.",
        "Run this again and press Allow. If somebody else decides that, send them docs/connect.md.",
    ),
    "no_refresh_token": Explanation(
        "Salesforce gave no refresh token, so the connection would end within hours.",
        "In the app's OAuth settings add the scope “Perform requests at any time (refresh_token, "
        "offline_access)”, and in its policies set Refresh Token Policy to valid until revoked. "
        "Then run this again.",
    ),
    "no_api_scope": Explanation(
        "The app does not let us use Salesforce's API.",
        "In the app's OAuth settings add the scope “Manage user data via APIs (api)”, then run "
        "this again.",
    ),
    "invalid_scope": Explanation(
        "The app does not allow a scope that the bridge needs.",
        "In the app's OAuth settings add “Manage user data via APIs (api)” and “Perform requests "
        "at any time (refresh_token, offline_access)”, then run this again.",
    ),
    "code_expired": Explanation(
        "The code from the browser is no longer good: each works once and for minutes only.",
        "Run this again, and finish in the browser without a pause.",
    ),
    "port_taken": Explanation(
        "Another program uses the port of the callback.",
        "End it (perhaps an earlier run of this program), or run this with --no-browser and paste "
        "the address that the browser ends at.",
    ),
    "no_answer": Explanation(
        "No answer came from the browser.",
        "Was the tab closed, or did Salesforce show an error instead of its login page? Then "
        "docs/troubleshooting.md lists what each means. Run this again; with --no-browser if the "
        "browser is on another computer.",
    ),
    "wrong_state": Explanation(
        "The answer does not belong to this sign-in.",
        "Run this again, and use only the address that this very run prints. If you did not start "
        "another sign-in yourself, somebody may have tried to slip you theirs; nothing was "
        "connected.",
    ),
    "not_an_answer": Explanation(
        "That is not the address that Salesforce sent the browser to.",
        "Paste the whole line from the browser's address bar, from http to the end; it has code= "
        "and state= in it.",
    ),
    "flow_not_enabled": Explanation(
        "The app does not allow this kind of sign-in.",
        "In the app's settings enable the Authorization Code flow (web server flow), or for "
        "--grant client-credentials the Client Credentials Flow.",
    ),
    "no_run_as_user": Explanation(
        "The app has no user to run as.",
        "In the app's policies, Client Credentials Flow, choose the integration user as Run As.",
    ),
    "my_domain_needed": Explanation(
        "Client credentials need the org's own address.",
        "Give the My Domain (Setup, My Domain): --login-url https://yourcompany.my.salesforce.com",
    ),
    "inactive_user": Explanation(
        "The user is not active.",
        "Salesforce administrator: activate the user in Setup, Users; then run this again.",
    ),
    "inactive_org": Explanation(
        "The org is not active.", "Ask Salesforce about the org's licence; then run this again."
    ),
    "too_many_logins": Explanation(
        "The user has signed in too often within the hour.",
        "Salesforce allows 3,600 logins an hour for a user. Wait up to an hour, and look for the "
        "program that signs in so often (Setup, Login History).",
    ),
    "passing_trouble": Explanation(
        "Salesforce could not do it just now.",
        "Wait a minute and run this again. If it stays, look at https://status.salesforce.com.",
    ),
    "unreachable": Explanation(
        "Salesforce cannot be reached at this address.",
        "Check --login-url for a slip of the pen, and the network (proxy, firewall).",
    ),
    "not_salesforce": Explanation(
        "What answers at this address is not Salesforce's login.",
        "Check --login-url: a My Domain looks like https://yourcompany.my.salesforce.com. The "
        "address of the pages (….lightning.force.com) is another.",
    ),
    "bad_signature": Explanation(
        "The answer is not signed with this app's secret.",
        "Nothing was stored. Check --login-url; if it is right, somebody may stand between you and "
        "Salesforce.",
    ),
    "untrusted_instance": Explanation(
        "Salesforce sends us to an address outside its own domains.",
        "If that address is really your org's, name its host in the template's parameter "
        "AllowInsecureHosts and deploy; otherwise check --login-url. Nothing was stored.",
    ),
    "refused": Explanation(
        "Salesforce refused the sign-in.",
        "Look at Setup, Login History of the user: its Status column says more than we are told.",
    ),
}
"""Every failure of a sign-in by its name; docs/troubleshooting.md has a section for each."""

_WORDS = {
    "user hasn't approved this consumer": "not_approved",
    "user is not admin approved to access this app": "not_approved",
    "no client credentials user enabled": "no_run_as_user",
    "request not supported on this domain": "my_domain_needed",
    "ip restricted or invalid login hours": "ip_or_hours",
    "app must be installed into org": "app_not_installed",
    "inactive user": "inactive_user",
    "token request is already being processed": "passing_trouble",
    "expired authorization code": "code_expired",
    "invalid authorization code": "code_expired",
    "missing required code verifier": "pkce",
    "missing required code challenge": "pkce",
}
"""What `error` alone does not tell, where Salesforce has several meanings for one code."""

_CODES = {
    "invalid_client_id": "unknown_app",
    "invalid_client": "wrong_secret",
    "redirect_uri_mismatch": "callback_mismatch",
    "redirect_uri_missing": "callback_mismatch",
    "invalid_app_access": "not_approved",
    "oauth_approval_error_generic": "app_not_installed",
    "access_denied": "denied",
    "invalid_scope": "invalid_scope",
    "invalid_request": "pkce",
    "unsupported_response_type": "flow_not_enabled",
    "unsupported_grant_type": "flow_not_enabled",
    "inactive_user": "inactive_user",
    "inactive_org": "inactive_org",
    "rate_limit_exceeded": "too_many_logins",
    "unknown_error": "passing_trouble",
    "request_limit_exceeded": "passing_trouble",
}


class SignInFailed(Problem):
    """A sign-in that did not work. `reason` is its name in EXPLANATIONS."""

    def __init__(self, reason: str, *, detail: str = "") -> None:
        explanation = EXPLANATIONS[reason]
        what = explanation.what
        if detail:
            what += f" ({detail})"
        super().__init__(what, next_step=explanation.next_step)
        self.reason = reason


def _description(answer: Answer) -> str:
    said = read_json(answer.body)
    return read_text(said, "error_description") if isinstance(said, dict) else ""


def failure(error: str, description: str) -> SignInFailed:
    """What an OAuth error means. The detail is Salesforce's own code and words, cleaned."""
    words = " ".join(description.split())
    reason = _WORDS.get(words.lower()) or _CODES.get(error.lower()) or "refused"
    detail = ": ".join(part for part in (_clean(error, 60), _clean(words, 160)) if part)
    return SignInFailed(reason, detail=f"Salesforce says {detail}" if detail else "")


def _clean(text: str, longest: int) -> str:
    """A foreign text, without control characters and not too long."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable if len(printable) <= longest else printable[: longest - 1] + "…"


# ── Addresses ────────────────────────────────────────────────────────────────────────────────────


def read_login_url(text: str) -> str:
    """An address as people give it: `production`, `sandbox`, a My Domain with or without https.

    Plain http is for this very machine only. Raises Problem.
    """
    word = text.strip().rstrip("/")
    named = {"production": PRODUCTION, "sandbox": SANDBOX}.get(word.lower())
    if named:
        return named
    if "://" not in word:
        word = "https://" + word
    try:
        parts = urlsplit(word)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, port = "", None
        parts = urlsplit("")
    # The address of the pages, which people have before their eyes, is not the one to sign in at.
    if host.endswith(".lightning.force.com"):
        host = host.removesuffix(".lightning.force.com") + ".my.salesforce.com"
    elif host.endswith(".my.salesforce-setup.com"):
        host = host.removesuffix(".my.salesforce-setup.com") + ".my.salesforce.com"
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    if not host or not secure or parts.username or parts.password:
        raise Problem(
            "The login URL must be https://<host>."
            if parts.scheme == "http"
            else "The login URL is not an address.",
            next_step="For example https://login.salesforce.com, https://test.salesforce.com or "
            "https://yourcompany.my.salesforce.com",
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


def is_shared_host(login_url: str) -> bool:
    """Whether this is everybody's login and not one org's own."""
    return urlsplit(login_url).hostname in SHARED_HOSTS


# ── What is asked ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class App:
    """The app in Salesforce that we sign in by."""

    login_url: str
    client_id: str
    client_secret: str = field(repr=False)

    def credentials(self) -> Credentials:
        """As RefreshToken would read it from the secret, without a refresh token."""
        return Credentials(
            login_url=self.login_url,
            client_id=self.client_id,
            client_secret=self.client_secret,
        )


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """One sign-in by a browser, from its address to its code. Each has its own state and proof."""

    app: App
    callback: str
    scopes: tuple[str, ...]
    state: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(64))

    @property
    def challenge(self) -> str:
        """RFC 7636's S256 of the verifier."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    @property
    def url(self) -> str:
        """The page to open. `prompt=login`: the browser may be signed in as somebody else."""
        query = {
            "response_type": "code",
            "client_id": self.app.client_id,
            "redirect_uri": self.callback,
            "scope": " ".join(self.scopes),
            "state": self.state,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            "prompt": "login",
        }
        return f"{self.app.login_url}/services/oauth2/authorize?{urlencode(query)}"

    def belongs(self, state: str) -> bool:
        """Whether an answer with this state is this sign-in's."""
        return hmac.compare_digest(state.encode("utf-8", "replace"), self.state.encode())

    def read_answer(self, query: str) -> str:
        """The code in the query of the callback's address. Raises SignInFailed."""
        values = {name: found[0] for name, found in parse_qs(query).items()}
        if not self.belongs(values.get("state", "")):
            raise SignInFailed("wrong_state")
        if "error" in values:
            raise failure(values["error"], values.get("error_description", ""))
        code = values.get("code", "")
        if not code:
            raise SignInFailed("not_an_answer")
        return code

    def read_pasted(self, text: str) -> str:
        """The code in an address that a person pasted. Raises SignInFailed."""
        pasted = re.sub(r"\s", "", text).strip("'\"<>")
        query = urlsplit(pasted).query if "://" in pasted else ""
        if not query:
            raise SignInFailed("not_an_answer")
        return self.read_answer(query)


# ── What is answered ─────────────────────────────────────────────────────────────────────────────


def exchange(http: Http, sign_in: SignIn, code: str) -> Grant:
    """Trade a code for tokens. Raises SignInFailed.

    Not repeated: a code works once, and Salesforce may have used it before an answer was lost.
    """
    return _grant(
        http,
        sign_in.app,
        {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": sign_in.app.client_id,
            "client_secret": sign_in.app.client_secret,
            "redirect_uri": sign_in.callback,
            "code_verifier": sign_in.verifier,
            "format": "json",
        },
    )


def ask_with_client_credentials(http: Http, app: App) -> Grant:
    """Get a token without a person. Raises SignInFailed."""
    if is_shared_host(app.login_url):
        raise SignInFailed("my_domain_needed")
    return _grant(
        http,
        app,
        {
            "grant_type": "client_credentials",
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "format": "json",
        },
    )


def try_app(http: Http, app: App) -> None:
    """Find out before a browser is opened that key or secret are wrong. Raises SignInFailed.

    A made-up code is offered. That Salesforce judges the app before the code is not confirmed, so
    only a clear word about the app counts, and every other answer means nothing.
    """
    try:
        _grant(
            http,
            app,
            {
                "grant_type": "authorization_code",
                "code": "aPrxNoSuchCode",
                "client_id": app.client_id,
                "client_secret": app.client_secret,
                "redirect_uri": DEFAULT_CALLBACK,
                "code_verifier": secrets.token_urlsafe(64),
                "format": "json",
            },
        )
    except SignInFailed as failed:
        if failed.reason in ("unknown_app", "wrong_secret", "unreachable", "not_salesforce"):
            raise


def _grant(http: Http, app: App, form: dict[str, str]) -> Grant:
    host = urlsplit(app.login_url).netloc
    try:
        answer = http.send(
            "POST",
            app.login_url + "/services/oauth2/token",
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            body=urlencode(form).encode(),
            deadline=Deadline.after(TOKEN_SECONDS),
        )
    except Unreachable as error:
        raise SignInFailed("unreachable", detail=host) from error
    except NoAnswer as error:
        raise SignInFailed("passing_trouble", detail=f"no answer from {host}") from error
    try:
        return read_grant(answer, credentials=app.credentials(), previous=None, now=time.time())
    except GrantRefused as refusal:
        # A person at a terminal may read what no log may hold: Salesforce's own words.
        raise failure(refusal.error, _description(answer)) from refusal
    except SignatureMismatch as error:
        raise SignInFailed("bad_signature") from error
    except Unavailable as error:
        if answer.status >= 500:
            raise SignInFailed("passing_trouble", detail=f"HTTP {answer.status}") from error
        raise SignInFailed(
            "not_salesforce", detail=f"{host} answers with HTTP {answer.status}"
        ) from error


def check_scopes(grant: Grant, *, refresh_token: bool) -> None:
    """Raises SignInFailed if the grant does not allow what the bridge does."""
    if refresh_token and not grant.refresh_token:
        raise SignInFailed("no_refresh_token")
    scopes = set(grant.token.scope.split())
    # An answer without a list is judged by the first call.
    if scopes and not scopes & {"api", "full"}:
        raise SignInFailed("no_api_scope")


@dataclass(frozen=True)
class Identity:
    """Whose token it is: ids of 15 or 18 characters."""

    org_id: str
    user_id: str


_IDENTITY = re.compile(r"/id/(00D[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?)/(005[A-Za-z0-9]{12,15})/?$")


def read_identity(url: str) -> Identity | None:
    """Org and user out of a token answer's `id`; None if it is none.

    The scopes that are asked for do not promise access to the address itself.
    """
    found = _IDENTITY.search(urlsplit(url).path)
    return Identity(found[1], found[2]) if found else None
