"""Checks of the connection: the secret, both tokens, the schedule, and whether the API is open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from bridge.http import Http, HttpError
from bridge.oauth.access_token import AccessToken
from bridge.oauth.grant import Credentials
from bridge.untrusted import read_json
from cli.checks.finding import Check, Finding, State, bad, good, note, skipped, unknown
from cli.connect.oauth import post_form
from cli.connect.sign_in_failures import failure
from cli.connect.stored_connection import StoredConnection, describe_identity, org_of
from cli.deployment.stack import Stack
from cli.org.client import OUTAGE_STEP, Org, OrgProblem

SOON_SECONDS = 30 * 86_400
"""How long before its end a refresh token is announced."""


@dataclass(kw_only=True)
class ConnectionChecks:
    """The checks, and what they found for those that follow."""

    stack: Stack
    http: Http
    just_deployed: bool
    """A stack that is not connected yet is no fault then."""
    credentials: Credentials | None = field(default=None, init=False)
    token: AccessToken | None = field(default=None, init=False)
    org: Org | None = field(default=None, init=False)
    """The org, once its API is known to be open."""
    cause: str = field(default="", init=False)
    """The first check that shows why Salesforce cannot be used; empty if there is none."""
    down: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.stored = StoredConnection(self.stack)

    def checks(self) -> Iterator[Check]:
        """In the order in which one needs the other."""
        yield "secret", self._secret
        yield "salesforce", self._salesforce
        yield "refresh-token", self._refresh_token
        yield "access-token", self._access_token
        yield "schedule", self._schedule
        yield "api", self._api

    def failed(self, check: str, finding: Finding) -> Finding:
        """Note a red finding: what depends on it is skipped."""
        if finding.state is State.BAD and not self.cause:
            self.cause = check
        return finding

    def _connect(self, options: str = "") -> str:
        return self.stack.command(f"connect {options}".rstrip())

    def _secret(self) -> Finding:
        self.credentials = self.stored.credentials()
        if self.credentials is None:
            why = "holds no credentials that can be used" if self.stored.has_value() else "is empty"
            not_connected = f"The stack is not connected to Salesforce yet: the secret {why}."
            self.cause = "secret"
            if self.just_deployed:
                return note(not_connected, self._connect())
            return bad(not_connected, self._connect())
        host = urlsplit(self.credentials.login_url).netloc
        if not self.stack.settings.trusts_login(self.credentials.login_url):
            return bad(f"The login URL in the secret is not https ({host}).", self._connect())
        how = "client credentials" if self.credentials.grant == "client_credentials" else "a user"
        return good(f"The secret holds the credentials of {how} at {host}.")

    def _refresh_token(self) -> Finding:
        """https://help.salesforce.com: OpenID Connect Token Introspection."""
        credentials = self.credentials
        if credentials is None:
            return skipped(self.cause)
        if not credentials.refresh_token:
            return good("Client credentials need no refresh token.")
        host = urlsplit(credentials.login_url).netloc
        try:
            response = post_form(
                self.http,
                credentials.login_url + "/services/oauth2/introspect",
                {
                    "token": credentials.refresh_token,
                    "token_type_hint": "refresh_token",
                    "client_id": credentials.client_id,
                    "client_secret": credentials.client_secret,
                },
            )
        except HttpError:
            if self.down:
                return skipped("salesforce")
            return bad(
                f"Salesforce's login at {host} cannot be reached, so no token can be renewed.",
                "See https://status.salesforce.com. Only if that address is wrong: "
                + self._connect("--login-url …"),
            )
        if self.down and response.status >= 500:
            return skipped("salesforce")
        body = read_json(response.body)
        if isinstance(body, dict) and isinstance(body.get("error"), str):
            failed = failure(body["error"], str(body.get("error_description") or ""))
            if failed.reason in ("unknown_app", "wrong_secret"):
                return bad(failed.what, failed.next_step + " " + self._connect("--anew"))
            return unknown(f"Salesforce did not check the refresh token ({body['error']}).")
        if not isinstance(body, dict) or "active" not in body:
            return unknown(f"{host} did not check the refresh token (HTTP {response.status}).")
        if not body["active"]:
            return bad(
                "Salesforce no longer accepts the refresh token: revoked, expired, unused for too "
                "long, or replaced by newer approvals.",
                self._connect(),
            )
        return self._end_of_refresh_token(body.get("exp"))

    def _end_of_refresh_token(self, ends: Any) -> Finding:
        if not isinstance(ends, (int, float)) or isinstance(ends, bool):
            return good("The refresh token is valid and has no end.")
        day = datetime.fromtimestamp(ends, UTC).date().isoformat()
        if ends - time.time() < SOON_SECONDS:
            return note(
                f"The refresh token ends on {day}, unless its time counts from its last use.",
                "Connect again before that day (" + self._connect("--anew") + "), or set the "
                "app's Refresh Token Policy to valid until revoked.",
            )
        return good(f"The refresh token is valid until {day}.")

    def _access_token(self) -> Finding:
        token = self.token
        if token is None:
            if self.cause:
                return skipped(self.cause)
            return bad(
                "There are credentials but no access token: RefreshToken did not get one.",
                f"Look at its log: {self.stack.log_of('refresh-token')}. Or connect again: "
                + self._connect("--anew"),
            )
        if not self.stack.settings.trusts(token.instance_url):
            return bad(
                f"The org's address {token.instance_url} is outside Salesforce's domains.",
                "If it is right, add its host to the parameter AllowInsecureHosts and deploy.",
            )
        every = self.stack.settings.refresh_minutes
        minutes = max(token.age_seconds(time.time()) / 60, 0)
        if minutes > 2 * every + 5:
            if self.cause:
                return skipped(self.cause)
            return bad(
                f"The access token is {minutes:.0f} minutes old, but should be renewed every "
                f"{every}.",
                "See whether the schedule is on (below), and RefreshToken's log: "
                + self.stack.log_of("refresh-token"),
            )
        return good(f"The access token is {minutes:.0f} minutes old.")

    def _schedule(self) -> Finding:
        every = self.stack.settings.refresh_minutes
        if self.stack.is_local:
            return good(f"`make start` renews the access token every {every} minutes.")
        function = self.stack.client("lambda").get_function_configuration(
            FunctionName=self.stack.settings.refresh_function
        )
        events = self.stack.client("events")
        names = events.list_rule_names_by_target(TargetArn=function["FunctionArn"])["RuleNames"]
        rules = [events.describe_rule(Name=name) for name in names]
        enabled = [rule for rule in rules if rule.get("State") == "ENABLED"]
        if enabled:
            return good(f"The schedule is on: {enabled[0].get('ScheduleExpression', '?')}.")
        if rules:
            return bad(
                f"The schedule {rules[0]['Name']} is off.",
                f"aws events enable-rule --name {rules[0]['Name']} --region {self.stack.region}",
            )
        return bad("RefreshToken has no schedule.", "Deploy again: make deploy")

    def _trusted_token(self) -> AccessToken | None:
        token = self.token
        return token if token and self.stack.settings.trusts(token.instance_url) else None

    def _salesforce(self) -> Finding:
        if self.credentials is None:
            return skipped(self.cause)
        self.token = self.stored.token()
        token = self._trusted_token()
        if token is None:
            return unknown("The org's address is known with an access token only.")
        try:
            versions = org_of(token, self.stack, self.http).versions()
        except OrgProblem as problem:
            if not problem.is_outage:
                raise
            return self._is_down(problem)
        wanted = self.stack.settings.api_version
        host = urlsplit(token.instance_url).netloc
        if wanted not in versions:
            newest = versions[-1] if versions else "none"
            return bad(
                f"{host} does not have API version {wanted}; its newest is {newest}.",
                f"Deploy with the parameter ApiVersion={newest}.",
            )
        return good(f"{host} responds and has API version {wanted}.")

    def _is_down(self, problem: OrgProblem) -> Finding:
        self.down = True
        assert self.token is not None
        host = urlsplit(self.token.instance_url).netloc
        return bad(
            f"Salesforce is down: {host} {problem.outage}. Connecting again would not help.",
            OUTAGE_STEP,
        )

    def _api(self) -> Finding:
        token = self._trusted_token()
        if token is None or self.cause == "salesforce":
            return skipped(self.cause)
        renewed = ""
        try:
            org_of(token, self.stack, self.http).get("/")
        except OrgProblem as problem:
            if problem.is_outage:
                return self._is_down(problem)
            if problem.status != 401:
                raise
            if self.cause:
                return skipped(self.cause)
            token = self.token = self.stored.working_token(self.http)
            renewed = " The access token was refused and has been renewed."
        self.org = org_of(token, self.stack, self.http)
        who = describe_identity(token, self.stack, self.http)
        return good(f"Salesforce's API is open to {who}.{renewed}")
