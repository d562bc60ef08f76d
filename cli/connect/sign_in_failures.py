"""Why a sign-in failed: what happened, and what to do about it.

docs/troubleshooting.md has a section for each. Sources: Salesforce Help, "OAuth Error Codes".
"""

from __future__ import annotations

from typing import NamedTuple

from cli.problem import Problem

DEFAULT_CALLBACK = "http://localhost:8788/callback"
"""`localhost` as a name: Salesforce accepts plain http for it only."""


class Explanation(NamedTuple):
    what: str
    next_step: str


EXPLANATIONS: dict[str, Explanation] = {
    "unknown_app": Explanation(
        "Salesforce does not know this consumer key at this address.",
        "Check three things. The address (--login-url): a sandbox signs in at "
        "https://test.salesforce.com, a production or developer org at "
        "https://login.salesforce.com, and every org at its own My Domain. The key: copy all of "
        "it. The age of the app: Salesforce needs up to ten minutes to know a new app; then run "
        "this again.",
    ),
    "wrong_secret": Explanation(
        "Salesforce does not accept this consumer secret.",
        "Copy it again from the app's settings (Consumer Key and Secret). If it was changed just "
        "now, wait ten minutes. Then run this again.",
    ),
    "callback_mismatch": Explanation(
        "The app does not allow this callback URL.",
        f"Enter the callback URL in the app's settings exactly ({DEFAULT_CALLBACK}, or what you "
        "gave with --callback) and save. The change may need ten minutes. Then run this again.",
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
        "Salesforce administrator: check the profile's Login IP Ranges and Login Hours, and IP "
        "Relaxation in the app's policies. AWS calls from other addresses than this computer "
        "(docs/connect-reference.md, IP restrictions).",
    ),
    "pkce": Explanation(
        "Salesforce does not accept the proof of this sign-in (PKCE).",
        "The callback belongs to another run, or a proxy changed it. Run this again, and open only "
        "the address that this run prints.",
    ),
    "denied": Explanation(
        "Access was denied in the browser.",
        "Run this again and press Allow. If somebody else has to decide, send them "
        "docs/connect.md.",
    ),
    "no_refresh_token": Explanation(
        "Salesforce gave no refresh token, so the connection would end within hours.",
        "In the app's OAuth settings add the scope “Perform requests at any time (refresh_token, "
        "offline_access)”, and in its policies set Refresh Token Policy to valid until revoked. "
        "Then run this again.",
    ),
    "no_api_scope": Explanation(
        "The app does not allow access to Salesforce's API.",
        "In the app's OAuth settings add the scope “Manage user data via APIs (api)”, then run "
        "this again.",
    ),
    "invalid_scope": Explanation(
        "The app does not allow a scope that the bridge needs.",
        "In the app's OAuth settings add “Manage user data via APIs (api)” and “Perform requests "
        "at any time (refresh_token, offline_access)”, then run this again.",
    ),
    "code_expired": Explanation(
        "The code from the browser has expired: each works once and for some minutes only.",
        "Run this again, and finish in the browser without a pause.",
    ),
    "port_taken": Explanation(
        "Another program uses the port of the callback.",
        "Stop it (perhaps an earlier run of this program), or run this with --no-browser and paste "
        "the address that the browser shows at the end.",
    ),
    "no_callback": Explanation(
        "The browser did not come back.",
        "If the tab was closed, run this again. If Salesforce showed an error instead of its login "
        "page, see docs/troubleshooting.md. If the browser is on another computer, add "
        "--no-browser.",
    ),
    "wrong_state": Explanation(
        "The callback does not belong to this sign-in.",
        "Run this again, and open only the address that this run prints. If you did not start "
        "another sign-in, somebody may have tried to connect you to their org; nothing was "
        "connected.",
    ),
    "not_a_callback": Explanation(
        "That is not the address that Salesforce sent the browser to.",
        "Paste the whole line from the browser's address bar, from http to the end. It contains "
        "code= and state=.",
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
        "Client credentials need the org's own login address.",
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
        "Salesforce allows 3,600 logins an hour for each user. Wait up to an hour, and find the "
        "program that signs in so often (Setup, Login History).",
    ),
    "passing_trouble": Explanation(
        "Salesforce could not sign in just now.",
        "Wait a minute and run this again. If it stays so, see https://status.salesforce.com.",
    ),
    "unreachable": Explanation(
        "Salesforce cannot be reached at this address.",
        "Check --login-url for a typing error, and the network (proxy, firewall).",
    ),
    "not_salesforce": Explanation(
        "There is no Salesforce login at this address.",
        "Check --login-url: a My Domain looks like https://yourcompany.my.salesforce.com. The "
        "address in the browser's address bar (….lightning.force.com) is another one.",
    ),
    "bad_signature": Explanation(
        "The response is not signed with this app's secret.",
        "Nothing was stored. Check --login-url. If it is right, something may read or change the "
        "traffic between you and Salesforce.",
    ),
    "untrusted_instance": Explanation(
        "The org's address is outside Salesforce's own domains.",
        "If that address is really your org's, add its host to the template's parameter "
        "AllowInsecureHosts and deploy; otherwise check --login-url. Nothing was stored.",
    ),
    "refused": Explanation(
        "Salesforce refused the sign-in.",
        "Look at the user's Login History in Setup: its Status column has the reason.",
    ),
}
"""Every failure of a sign-in, by name."""

_BY_DESCRIPTION = {
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
"""Failures by `error_description`, where one `error` has several meanings."""

_BY_ERROR = {
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
        what, next_step = EXPLANATIONS[reason]
        super().__init__(f"{what} ({detail})" if detail else what, next_step=next_step)
        self.reason = reason

    @property
    def is_outage(self) -> bool:
        return self.reason in ("unreachable", "passing_trouble")


def failure(error: str, description: str) -> SignInFailed:
    """The failure that an OAuth error means, with Salesforce's own code and text as the detail."""
    words = " ".join(description.split())
    reason = _BY_DESCRIPTION.get(words.lower()) or _BY_ERROR.get(error.lower()) or "refused"
    detail = ": ".join(part for part in (_clean(error, 60), _clean(words, 160)) if part)
    return SignInFailed(reason, detail=f"Salesforce: {detail}" if detail else "")


def _clean(text: str, longest: int) -> str:
    """Salesforce's text without control characters, cut to a length."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable if len(printable) <= longest else printable[: longest - 1] + "…"
