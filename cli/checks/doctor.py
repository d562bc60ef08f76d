"""`doctor`: looks at everything between a flow and Salesforce, and says what to do about it.

Each check is green, red (somebody has to act), yellow (worth knowing) or grey (cannot be seen from
here). Nothing is changed, except that an access token which Salesforce refuses is renewed, as the
functions would do at their next call: whether that works is the question.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

from bridge.bird.channels import OBJECTS, table
from bridge.deadline import Deadline
from bridge.errors import NoAnswer, Unreachable
from bridge.http import Http
from bridge.oauth.access_token import AccessToken
from bridge.oauth.credentials import Credentials
from bridge.records import ObjectName
from bridge.salesforce.client import read_json, soql_text
from cli.checks.finding import Finding, bad, good, guarded, note, unknown
from cli.connect import oauth
from cli.connect.connection import org_of
from cli.connect.credentials import Connection
from cli.deployment.stack import ALIAS, Stack
from cli.org.client import Org, OrgProblem
from cli.org.plan import PERMISSION_SET, filled_fields
from cli.rejected.queue import Queue
from cli.rollback import FUNCTIONS, read_release

SOON_SECONDS = 30 * 86_400
"""An end of the refresh token is announced this long before."""

USAGE_WARNING_PERCENT = 80.0


@dataclass(kw_only=True)
class Doctor:
    """One examination. `sends` are fields that the flows set (`Lead.Region__c`)."""

    stack: Stack
    sends: Iterable[str] = ()
    _http: Http = field(default_factory=Http)
    _credentials: Credentials | None = None
    _token: AccessToken | None = None
    _org: Org | None = None
    _described: dict[ObjectName, dict[str, Any]] = field(default_factory=dict)

    def examine(self) -> Iterator[Finding]:
        """Every check in turn, the ones first on which the others stand."""
        sent = filled_fields(self.stack.settings, self.sends)
        self._connection = Connection(self.stack)
        checks: list[tuple[str, Callable[[], Finding]]] = [
            ("stack", self._check_stack),
            ("versions", self._check_versions),
            ("secret", self._check_secret),
            ("refresh-token", self._check_refresh_token),
            ("access-token", self._check_access_token),
            ("schedule", self._check_schedule),
            ("salesforce", self._check_salesforce),
            ("api", self._check_api),
        ]
        for name in OBJECTS:
            lower = name.lower()
            checks += [
                (f"{lower}-create", partial(self._check_create, name)),
                (f"{lower}-key", partial(self._check_key, name)),
                (f"{lower}-required", partial(self._check_required, name, sent)),
                (f"{lower}-channels", partial(self._check_channels, name)),
            ]
        checks += [
            ("duplicates", self._check_duplicates),
            ("assignment", self._check_assignment),
            ("api-usage", self._check_usage),
            ("outbox", self._check_outbox),
            ("rejected", self._check_rejected),
            ("api-key", self._check_api_key),
        ]
        for check, look in checks:
            yield guarded(check, look)

    # ── AWS ──────────────────────────────────────────────────────────────────────────────────────

    def _check_stack(self) -> Finding:
        stack = self.stack
        where = "on this machine" if stack.is_local else f"in {stack.region}"
        return good("stack", f"The stack {stack.name} is {where}.")

    def _check_versions(self) -> Finding:
        """What runs is a published version; what was deployed last is the function itself."""
        check = "versions"
        if self.stack.is_local:
            return good(check, "`make start` runs what is in this folder.")
        client = self.stack.client("lambda")
        releases: dict[str, list[str]] = {}
        deployed, changed = "", set()
        for function in FUNCTIONS:
            name = self.stack.output(f"{function}Function")
            latest = client.get_function_configuration(FunctionName=name)
            live = client.get_function_configuration(FunctionName=name, Qualifier=ALIAS)
            releases.setdefault(read_release(live.get("Description", "")), []).append(function)
            deployed = read_release(latest.get("Description", ""))
            changed |= _differing(*(_environment(one) for one in (live, latest)))
        if len(releases) > 1:
            said = "; ".join(f"{one or 'none'}: {', '.join(of)}" for one, of in releases.items())
            return bad(
                check,
                f"The functions run several releases ({said}).",
                "A deployment is under way, or broke off. Deploy again: make deploy. Or go back: "
                f"bird-salesforce rollback {self.stack.options()}",
            )
        (running,) = releases
        if running != deployed:
            return note(
                check,
                f"Release {running or 'none'} runs, not {deployed or 'the one'} that was deployed "
                "last: somebody went back to it.",
                "With whatever mends the later one: make deploy",
            )
        if changed:
            return bad(
                check,
                "Parameters were changed without publishing new versions, so the functions still "
                f"run with the earlier ones ({', '.join(sorted(changed))}).",
                "Deploy with them: make deploy",
            )
        return good(check, "Every function runs what was deployed last.")

    def _connect(self, more: str = "") -> str:
        return f"bird-salesforce connect {more}{self.stack.options()}"

    def _check_secret(self) -> Finding:
        self._credentials = self._connection.credentials()
        if self._credentials is None:
            return bad("secret", "Nothing is connected: the secret is empty.", self._connect())
        host = urlsplit(self._credentials.login_url).netloc
        if not self.stack.settings.trusts_login(self._credentials.login_url):
            return bad(
                "secret", f"The login URL in the secret is not https ({host}).", self._connect()
            )
        how = "client credentials" if self._credentials.grant == "client_credentials" else "a user"
        return good("secret", f"The secret is filled: {how}, signing in at {host}.")

    def _check_refresh_token(self) -> Finding:
        """https://help.salesforce.com: OpenID Connect Token Introspection."""
        check, credentials = "refresh-token", self._credentials
        if credentials is None:
            return unknown(check, "There is none yet.")
        if not credentials.refresh_token:
            return good(check, "Client credentials need no refresh token.")
        host = urlsplit(credentials.login_url).netloc
        try:
            answer = self._http.send(
                "POST",
                credentials.login_url + "/services/oauth2/introspect",
                headers={
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                },
                body=urlencode(
                    {
                        "token": credentials.refresh_token,
                        "token_type_hint": "refresh_token",
                        "client_id": credentials.client_id,
                        "client_secret": credentials.client_secret,
                    }
                ).encode(),
                deadline=Deadline.after(20),
            )
        except (Unreachable, NoAnswer):
            return bad(
                check,
                f"Salesforce's login at {host} cannot be reached.",
                "If that address is wrong: " + self._connect("--login-url … "),
            )
        said = read_json(answer.body)
        if isinstance(said, dict) and isinstance(said.get("error"), str):
            failed = oauth.failure(said["error"], str(said.get("error_description") or ""))
            if failed.reason in ("unknown_app", "wrong_secret"):
                return bad(check, failed.what, failed.next_step + " " + self._connect("--anew "))
            return unknown(check, f"Salesforce does not say how long it lives ({said['error']}).")
        if not isinstance(said, dict) or "active" not in said:
            return unknown(check, f"{host} does not say (HTTP {answer.status}).")
        if not said["active"]:
            return bad(
                check,
                "Salesforce does not accept the refresh token any more: revoked, expired, unused "
                "for too long, or replaced by newer approvals.",
                self._connect(),
            )
        return self._judge_end(said.get("exp"))

    def _judge_end(self, ends: Any) -> Finding:
        check = "refresh-token"
        if not isinstance(ends, (int, float)) or isinstance(ends, bool):
            return good(check, "The refresh token is valid; no end is set.")
        day = datetime.fromtimestamp(ends, UTC).date().isoformat()
        if ends - time.time() < SOON_SECONDS:
            return note(
                check,
                f"The refresh token ends on {day}, unless its time is counted from its last use.",
                "Connect anew before that day (" + self._connect("--anew ") + "), or have the "
                "app's Refresh Token Policy changed to valid until revoked.",
            )
        return good(check, f"The refresh token is valid until {day}.")

    def _check_access_token(self) -> Finding:
        check = "access-token"
        token = self._token = self._connection.token()
        if token is None:
            if self._credentials is None:
                return unknown(check, "There is none yet.")
            return bad(
                check,
                "There are credentials but no access token: RefreshToken has not got one.",
                "Look at RefreshToken's log, or connect anew: " + self._connect("--anew "),
            )
        if not self.stack.settings.trusts(token.instance_url):
            return bad(
                check,
                f"The org's address {token.instance_url} is outside Salesforce's domains.",
                "If it is right, name its host in the parameter AllowInsecureHosts and deploy.",
            )
        return judge_age(check, token, every_minutes=self.stack.settings.refresh_minutes)

    def _check_schedule(self) -> Finding:
        check = "schedule"
        every = self.stack.settings.refresh_minutes
        if self.stack.is_local:
            return good(check, f"`make start` renews the token every {every} minutes.")
        function, _, alias = self.stack.settings.refresh_function.partition(":")
        called = self.stack.client("lambda").get_alias(FunctionName=function, Name=alias)
        events = self.stack.client("events")
        names = events.list_rule_names_by_target(TargetArn=called["AliasArn"])["RuleNames"]
        rules = [events.describe_rule(Name=name) for name in names]
        running = [rule for rule in rules if rule.get("State") == "ENABLED"]
        if running:
            return good(check, f"The schedule is on: {running[0].get('ScheduleExpression', '?')}.")
        if rules:
            return bad(
                check,
                f"The schedule {rules[0]['Name']} is switched off.",
                f"aws events enable-rule --name {rules[0]['Name']} --region {self.stack.region}",
            )
        return bad(check, "Nothing runs RefreshToken on a schedule.", "Deploy again: make deploy")

    # ── Salesforce ───────────────────────────────────────────────────────────────────────────────

    def _check_salesforce(self) -> Finding:
        check = "salesforce"
        if self._token is None or not self.stack.settings.trusts(self._token.instance_url):
            return unknown(check, "It takes a connection to know the org's address.")
        org = org_of(self._token, self.stack, self._http)
        versions = org.versions()
        wanted = self.stack.settings.api_version
        host = urlsplit(self._token.instance_url).netloc
        if wanted not in versions:
            newest = versions[-1] if versions else "none"
            return bad(
                check,
                f"{host} has no API version {wanted}; its newest is {newest}.",
                f"Deploy with the parameter ApiVersion={newest}.",
            )
        return good(check, f"{host} answers, and has API version {wanted}.")

    def _check_api(self) -> Finding:
        check = "api"
        if self._token is None or not self.stack.settings.trusts(self._token.instance_url):
            return unknown(check, "It takes an access token to know.")
        org = org_of(self._token, self.stack, self._http)
        renewed = ""
        try:
            org.get("/")
        except OrgProblem as problem:
            if problem.status != 401:
                raise
            self._connection.refresh(self._token.generation)
            self._token = self._connection.token() or self._token
            org = org_of(self._token, self.stack, self._http)
            org.get("/")
            renewed = " The token had been refused and was renewed."
        self._org = org
        identity = oauth.read_identity(self._token.id)
        whose = f" as user {identity.user_id} of org {identity.org_id}" if identity else ""
        return good(check, f"The API is open to us{whose}.{renewed}")

    def _check_create(self, name: ObjectName) -> Finding:
        check = f"{name.lower()}-create"
        if self._org is None:
            return unknown(check, f"It takes the API to know about {name}.")
        set_up = f"Run: bird-salesforce setup-org {self.stack.options()}"
        try:
            said = self._org.describe(name)
        except OrgProblem as problem:
            if not problem.not_allowed:
                raise
            return bad(check, f"The user may not even see {name}.", set_up)
        self._described[name] = said
        if not said.get("createable"):
            return bad(check, f"The user may not create a {name}.", set_up)
        return good(check, f"The user may create a {name}.")

    def _check_key(self, name: ObjectName) -> Finding:
        check, key = f"{name.lower()}-key", self.stack.settings.external_id_field
        if not key:
            return note(
                check,
                "No key field is configured (ExternalIdField): a repeated message makes a second "
                f"{name}.",
            )
        full = f"{name}.{key}"
        described = self._described.get(name)
        if described is None:
            return unknown(check, f"It takes access to {name} to know about {full}.")
        item = described["fields_by_name"].get(key.lower())
        set_up = f"bird-salesforce setup-org {self.stack.options()}"
        if item is None:
            return self._missing_or_hidden(check, full, set_up)
        faults = [
            words
            for words, holds in (
                ("not Unique", item.get("unique")),
                ("no External ID", item.get("externalId")),
                ("not writable by this user", item.get("createable")),
            )
            if not holds
        ]
        if faults:
            return bad(
                check,
                f"{full} is {' and '.join(faults)}.",
                f"An administrator mends it: {set_up}",
            )
        if int(item.get("length") or 0) < 64:
            return bad(
                check,
                f"{full} is too short for a key ({item.get('length')} characters).",
                f"An administrator makes it 100 long: {set_up}",
            )
        if item.get("caseSensitive") is False:
            return note(
                check,
                f"{full} ignores upper and lower case. The bridge's own keys bear that.",
                f"To be safe: {set_up}",
            )
        return good(check, f"{full} is there, unique and writable.")

    def _missing_or_hidden(self, check: str, full: str, set_up: str) -> Finding:
        """Describe leaves out what a user may not see; only Setup's own objects could tell more."""
        assert self._org is not None
        try:
            rows = self._org.query(
                "SELECT Id FROM FieldPermissions WHERE Parent.Name = "
                f"{soql_text(PERMISSION_SET)} AND Field = {soql_text(full)}"
            )
        except OrgProblem:
            return bad(
                check,
                f"{full} is missing, or this user may not see it (which of the two, this user's "
                "rights do not show).",
                f"Either way: {set_up}",
            )
        if rows:
            return bad(
                check,
                f"{full} is there, but this user may not see it: the permission set "
                f"{PERMISSION_SET} is not assigned to the user.",
                set_up,
            )
        return bad(check, f"{full} is missing, or nobody was given access to it.", set_up)

    def _check_required(self, name: ObjectName, sent: dict[ObjectName, list[str]]) -> Finding:
        check = f"{name.lower()}-required"
        described = self._described.get(name)
        if described is None:
            return unknown(check, f"It takes access to {name} to know its required fields.")
        ours = {one.lower() for one in sent[name]}
        lacking = [
            item["name"]
            for item in described["fields"]
            if item.get("createable")
            and not item.get("nillable")
            and not item.get("defaultedOnCreate")
            and item.get("type") != "boolean"
            and item["name"].lower() not in ours
        ]
        if lacking:
            fields = ", ".join(lacking)
            sends = " ".join(f"--sends {name}.{one}" for one in lacking)
            return bad(
                check,
                f"{name} requires {fields}, which the bridge does not fill.",
                f"Send it from every flow (then tell doctor: {sends}), or have the administrator "
                "give it a default value or make it optional.",
            )
        return good(check, f"The bridge fills everything that {name} requires.")

    def _check_channels(self, name: ObjectName) -> Finding:
        """The channel's label goes into a picklist, which may be restricted to its values."""
        check = f"{name.lower()}-channels"
        described = self._described.get(name)
        if described is None:
            return unknown(check, f"It takes access to {name} to know its picklists.")
        lacking: dict[str, list[str]] = {}
        for channel in dict.fromkeys(table().values()):
            for field_name, fill in channel.fills.get(name, {}).items():
                item = described["fields_by_name"].get(field_name.lower())
                if fill.source != "label" or not item or not item.get("restrictedPicklist"):
                    continue
                values = {
                    one["value"] for one in item.get("picklistValues", []) if one.get("active")
                }
                if channel.label not in values:
                    lacking.setdefault(item["name"], []).append(channel.label)
        if lacking:
            said = "; ".join(
                f"{field_name} lacks {', '.join(sorted(set(labels)))}"
                for field_name, labels in lacking.items()
            )
            return note(
                check,
                f"{name}: {said}. Records of these channels are made without it.",
                f"Object Manager, {name}, Fields & Relationships, {', '.join(lacking)}: add the "
                "values, or take off “Restrict picklist”.",
            )
        return good(check, f"{name} takes the name of every channel.")

    def _check_duplicates(self) -> Finding:
        setting = (
            "is saved all the same, if the rule allows it (DuplicateRecords=allow)"
            if self.stack.settings.allow_duplicates
            else "is refused and kept in Rejected (DuplicateRecords=block)"
        )
        return unknown(
            "duplicates",
            f"A record that a duplicate rule finds {setting}. Which rules there are, this user's "
            "rights do not show.",
            "Setup, Duplicate Rules.",
        )

    def _check_assignment(self) -> Finding:
        check = "assignment"
        said: list[str] = []
        for name in OBJECTS:
            setting = self.stack.settings.assignment(name)
            if setting in ("default", "off"):
                what = "the active rule decides" if setting == "default" else "no rule runs"
                said.append(f"{name}: {what}")
                continue
            if self._org is None:
                return unknown(check, "It takes the API to know about assignment rules.")
            try:
                rows = self._org.query(
                    "SELECT Id, SobjectType, Active FROM AssignmentRule WHERE Id = "
                    + soql_text(setting)
                )
            except OrgProblem as problem:
                if not problem.not_allowed:
                    raise
                return unknown(
                    check,
                    f"{name}: the rule {setting} runs, if there is one. This user's rights do not "
                    "show it.",
                    f"Setup, {name} Assignment Rules.",
                )
            if not rows or rows[0].get("SobjectType") != name:
                return bad(
                    check,
                    f"{setting} is no assignment rule for {name}.",
                    f"Deploy with another {name}AssignmentRule: default, off, or the rule's id.",
                )
            said.append(f"{name}: the rule {setting} runs")
        return good(check, "; ".join(said) + ".")

    def _check_usage(self) -> Finding:
        check = "api-usage"
        percent = self._org.usage_percent if self._org else None
        if percent is None:
            return unknown(check, "How many API requests are left today, Salesforce did not say.")
        said = f"{percent:.1f} % of the org's API requests of the day are used."
        step = "Setup, Company Information: who uses them? More can be bought."
        if percent >= 100:
            return bad(check, said + " Records wait in the outbox.", step)
        if percent >= USAGE_WARNING_PERCENT:
            return note(check, said, step)
        return good(check, said)

    # ── On the way ───────────────────────────────────────────────────────────────────────────────

    def _check_outbox(self) -> Finding:
        counts = Queue(self.stack.client("sqs"), self.stack.settings.outbox_url).counts()
        if not counts.total:
            return good("outbox", "Nothing waits in the outbox.")
        return note(
            "outbox",
            f"{counts.total:,} wait in the outbox.",
            "They go by themselves. If the number does not fall, look at what is red here and at "
            "Deliver's log.",
        )

    def _check_rejected(self) -> Finding:
        counts = Queue(self.stack.client("sqs"), self.stack.settings.rejected_url).counts()
        if not counts.total:
            return good("rejected", "Nothing is rejected.")
        return bad(
            "rejected",
            f"Salesforce refused {counts.total:,}. They are kept for 14 days.",
            f"bird-salesforce rejected list {self.stack.options()}",
        )

    def _check_api_key(self) -> Finding:
        """The whole way of a flow's question: gateway, key, function, token, Salesforce."""
        check = "api-key"
        # Inline: an HTTP error would raise the alarm server-errors.
        key = f"bird-salesforce-doctor-{uuid.uuid4().hex[:12]}"
        url = f"{self.stack.url('Lead')}/{key}?errors=inline"
        try:
            answer = self._http.send(
                "GET",
                url,
                headers={"x-api-key": self.stack.api_key(), "Accept": "application/json"},
                deadline=Deadline.after(30),
            )
        except (Unreachable, NoAnswer) as error:
            return bad(check, f"The API does not answer: {error.message}.", "Deploy again.")
        said = read_json(answer.body)
        said = said if isinstance(said, dict) else {}
        if said.get("outcome") == "unknown":
            return good(check, "A flow's question goes all the way to Salesforce and back.")
        if answer.status == 403:
            return bad(
                check,
                "The API does not take its own key.",
                "API Gateway, API keys: is the key enabled, and in the stack's usage plan?",
            )
        reason = str(said.get("message") or said.get("detail") or f"HTTP {answer.status}")
        return bad(check, f"A flow's question does not get through: {reason[:300]}", "See above.")


def _environment(configuration: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = configuration.get("Environment", {}).get("Variables", {})
    return found


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> set[str]:
    """The names of what is not the same in both."""
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def judge_age(check: str, token: AccessToken, *, every_minutes: int) -> Finding:
    """Whether the access token is as young as a schedule of so many minutes leaves it."""
    minutes = token.age_seconds(time.time()) / 60
    if minutes > 2 * every_minutes + 5:
        return bad(
            check,
            f"The access token is {minutes:.0f} minutes old, though there should be a new one "
            f"every {every_minutes}.",
            "Is the schedule on (bird-salesforce doctor)? What does RefreshToken's log say?",
        )
    return good(check, f"The access token is {max(minutes, 0):.0f} minutes old.")
