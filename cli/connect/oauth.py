"""OAuth with Salesforce: login addresses, one sign-in by a browser, and the token requests.

Sources: Salesforce Help, "OAuth 2.0 Web Server Flow", "OAuth 2.0 Client Credentials Flow",
"Revoke OAuth Tokens"; ISVforce Guide, "Proof Key for Code Exchange".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from bridge.deadline import Deadline
from bridge.errors import Unavailable
from bridge.http import Http, HttpError, NoConnection, NoResponse, Response
from bridge.oauth.grant import Credentials, Grant, GrantRefused, SignatureMismatch, read_grant
from bridge.settings import LOOPBACK
from bridge.untrusted import read_json, read_text
from cli.connect.sign_in_failures import DEFAULT_CALLBACK, SignInFailed, failure
from cli.problem import Problem

PRODUCTION = "https://login.salesforce.com"
SANDBOX = "https://test.salesforce.com"
SHARED_HOSTS = ("login.salesforce.com", "test.salesforce.com")
"""The logins that all orgs share; client credentials need the org's own."""

SCOPES = ("api", "refresh_token", "offline_access")
ADMIN_SCOPES = ("api",)
"""No refresh token for an administrator: the session ends with the set-up."""

REQUEST_SECONDS = 30.0


# ── Addresses ────────────────────────────────────────────────────────────────────────────────────


def read_login_url(text: str) -> str:
    """A login address as people write it: `production`, `sandbox`, a My Domain with or without
    https.

    Plain http is allowed for this machine only. Raises Problem.
    """
    word = text.strip().rstrip("/")
    word = {"production": PRODUCTION, "sandbox": SANDBOX}.get(word.lower(), word)
    try:
        parts = urlsplit(word if "://" in word else f"https://{word}")
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    # What people see in the address bar is another address than the one to sign in at.
    for shown in (".lightning.force.com", ".my.salesforce-setup.com"):
        if host.endswith(shown):
            host = host.removesuffix(shown) + ".my.salesforce.com"
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    if not host or not secure or parts.username or parts.password:
        raise Problem(
            "The login URL must begin with https://."
            if parts.scheme == "http"
            else "The login URL is not an address.",
            next_step="For example https://login.salesforce.com, https://test.salesforce.com or "
            "https://yourcompany.my.salesforce.com",
        )
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


# ── The sign-in ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """One sign-in by a browser, from its address to its code, with a state and a proof of its
    own."""

    app: Credentials
    """Of the app in Salesforce, without a refresh token."""
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
        """Whether a callback with this state belongs to this sign-in."""
        return hmac.compare_digest(state.encode("utf-8", "replace"), self.state.encode())

    def read_callback(self, query: str) -> str:
        """The code in the query of the callback's address. Raises SignInFailed."""
        values = {name: found[0] for name, found in parse_qs(query).items()}
        if not self.belongs(values.get("state", "")):
            raise SignInFailed("wrong_state")
        if "error" in values:
            raise failure(values["error"], values.get("error_description", ""))
        if not values.get("code"):
            raise SignInFailed("not_a_callback")
        return values["code"]

    def read_pasted(self, text: str) -> str:
        """The code in an address that a person pasted. Raises SignInFailed."""
        pasted = re.sub(r"\s", "", text).strip("'\"<>")
        query = urlsplit(pasted).query if "://" in pasted else ""
        if not query:
            raise SignInFailed("not_a_callback")
        return self.read_callback(query)


# ── Requests to Salesforce ───────────────────────────────────────────────────────────────────────


def exchange(http: Http, sign_in: SignIn, code: str) -> Grant:
    """Get tokens for a code. Raises SignInFailed.

    Not repeated: a code works once, and it is used up even where the response is lost.
    """
    return _request_grant(
        http,
        sign_in.app,
        grant_type="authorization_code",
        code=code,
        redirect_uri=sign_in.callback,
        code_verifier=sign_in.verifier,
    )


def fetch_with_client_credentials(http: Http, app: Credentials) -> Grant:
    """Get a token without a browser. Raises SignInFailed."""
    if urlsplit(app.login_url).hostname in SHARED_HOSTS:
        raise SignInFailed("my_domain_needed")
    return _request_grant(http, app, grant_type="client_credentials")


def try_app(http: Http, app: Credentials) -> None:
    """Find a wrong key or secret before a browser is opened. Raises SignInFailed.

    It sends a made-up code. That Salesforce checks the app before the code is not confirmed, so
    only an error that names the app counts.
    """
    try:
        exchange(http, SignIn(app=app, callback=DEFAULT_CALLBACK, scopes=()), "aPrxNoSuchCode")
    except SignInFailed as failed:
        if failed.reason in ("unknown_app", "wrong_secret", "unreachable", "not_salesforce"):
            raise


def _request_grant(http: Http, app: Credentials, **form: str) -> Grant:
    host = urlsplit(app.login_url).netloc
    own = {"client_id": app.client_id, "client_secret": app.client_secret, "format": "json"}
    try:
        response = post_form(http, app.login_url + "/services/oauth2/token", {**form, **own})
    except NoConnection as error:
        raise SignInFailed("unreachable", detail=host) from error
    except NoResponse as error:
        raise SignInFailed("passing_trouble", detail=f"no response from {host}") from error
    try:
        return read_grant(response, credentials=app, previous=None, now=time.time())
    except GrantRefused as refusal:
        # No log may hold Salesforce's own text, but a person at a terminal may read it.
        raise failure(refusal.error, _description(response)) from refusal
    except SignatureMismatch as error:
        raise SignInFailed("bad_signature") from error
    except Unavailable as error:
        if response.status >= 500:
            raise SignInFailed("passing_trouble", detail=f"HTTP {response.status}") from error
        raise SignInFailed(
            "not_salesforce", detail=f"HTTP {response.status} from {host}"
        ) from error


def post_form(http: Http, url: str, form: Mapping[str, str]) -> Response:
    """Send a form, once. Raises HttpError."""
    return http.send(
        "POST",
        url,
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        },
        body=urlencode(form).encode(),
        deadline=Deadline.after(REQUEST_SECONDS),
    )


def _description(response: Response) -> str:
    body = read_json(response.body)
    return read_text(body, "error_description") if isinstance(body, dict) else ""


def revoke(http: Http, login_url: str, token: str) -> bool:
    """Revoke a token. False if Salesforce did not confirm it; perhaps it was invalid already."""
    try:
        response = post_form(http, login_url + "/services/oauth2/revoke", {"token": token})
    except HttpError:
        return False
    return response.status == 200


def check_scopes(grant: Grant, *, refresh_token: bool) -> None:
    """Raises SignInFailed if the grant does not allow what the bridge needs."""
    if refresh_token and not grant.refresh_token:
        raise SignInFailed("no_refresh_token")
    scopes = set(grant.token.scope.split())
    # A grant without a list of scopes is tested by the first call.
    if scopes and not scopes & {"api", "full"}:
        raise SignInFailed("no_api_scope")


@dataclass(frozen=True)
class Identity:
    org_id: str
    user_id: str


_IDENTITY = re.compile(r"/id/(00D[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?)/(005[A-Za-z0-9]{12,15})/?$")


def read_identity(url: str) -> Identity | None:
    """Org and user, read from the `id` of a token response; None if it is not such an address.

    The address is not opened: the scopes that the bridge uses do not promise access to it.
    """
    found = _IDENTITY.search(urlsplit(url).path)
    return Identity(found[1], found[2]) if found else None
