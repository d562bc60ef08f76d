"""Configuration: the environment as one tuple, read once and as a whole.

Defaults live in `template.yaml` only: a variable that the template should give and did not is an
error that names every missing one, never a silent default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from bridge.errors import MisconfiguredEnvironment

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts of this very machine: plain http to them never leaves it."""

SALESFORCE_DOMAINS = (".salesforce.com", ".force.com", ".cloudforce.com", ".salesforce.mil")
"""Where an instance URL may point, besides hosts that the deployer names."""

SIGNATURE_SCHEMES = ("none", "messagebird-jwt", "bird", "standard-webhooks")

_RULE_ID = re.compile(r"01Q[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?")
_API_VERSION = re.compile(r"v\d{2,3}\.0")
_HOST = re.compile(r"[a-z0-9.:-]+")
_URL = re.compile(r"(?i:https?)://[!-~]+")
_FIELD_NAME = re.compile(r"[A-Za-z]\w*")


class Settings(NamedTuple):
    """The configuration of a function. Times are in the unit that the name says."""

    login_url: str
    api_version: str
    external_id_field: str
    """API name of the unique external-id field on Lead and Case; empty: at-least-once."""
    default_company: str
    allowed_fields: frozenset[str]
    """In lower case, fields that hold ids and links by key that a body may give; `*`: all."""
    allow_duplicates: bool
    """Whether `Sforce-Duplicate-Rule-Header: allowSave=true` is sent."""
    attach_duplicates: bool
    """Whether a message goes onto the one Lead or Contact that a duplicate rule names."""
    lead_assignment: str
    case_assignment: str
    """`default`, `off`, or the id of an assignment rule of that object."""
    conversations: bool
    """Whether the messages of a conversation are logged on one record."""
    reopen_days: float
    """So long after its closing a Case is reopened by a message; 0: never."""
    reopen_status: str
    closed_lead_statuses: frozenset[str]
    """With one of these a Lead takes no further message."""
    case_status_on_reply: str
    """What an open Case with a new message gets as its Status; empty: nothing."""
    case_comments: bool
    match_contacts: bool
    """Whether a new Case is linked to the one Contact with the sender's phone."""
    match_email: bool
    """Whether the sender's e-mail address, which can be forged, counts as well."""
    lookup_key_id: str
    """The id of the API key of POST /customers/find; empty: the look-up is off."""
    log_replies: bool
    """Whether messages that our own side sent are logged as well."""
    response_budget_seconds: float
    refresh_minutes: int
    allow_insecure_hosts: frozenset[str]
    credentials_secret: str
    token_parameter: str
    pending_parameter: str
    lease_table: str
    refresh_function: str
    outbox_url: str
    rejected_url: str
    signature_scheme: str
    """One of SIGNATURE_SCHEMES: how a request must be signed."""
    signing_secret: str
    webhook_url: str
    """The webhook's address exactly as Bird was given it; empty: as the gateway saw it."""
    kms_key: str
    """ARN of the key under which tokens are stored; empty: AWS's own."""
    is_local: bool
    """Whether AWS is one on this machine, so that Salesforce may be, too."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read all of it. Raises MisconfiguredEnvironment, naming all that is missing or wrong."""
        problems: list[str] = []

        def text(name: str, pattern: re.Pattern[str] | None = None, *, blank: bool = False) -> str:
            value = environ.get(name)
            if value is None or (not value and not blank):
                problems.append(f"{name} is missing")
                return ""
            if value and pattern and not pattern.fullmatch(value):
                problems.append(f"{name} is {value!r}, which does not look like one")
            return value

        def number(name: str, low: float, high: float) -> float:
            raw = text(name)
            try:
                value = float(raw) if raw else low
            except ValueError:
                value = low - 1
            if not low <= value <= high:
                problems.append(f"{name} is {raw!r}, not a number from {low:g} to {high:g}")
                return low
            return value

        def choice(name: str, *allowed: str, pattern: re.Pattern[str] | None = None) -> str:
            value = text(name)
            if value and value not in allowed and not (pattern and pattern.fullmatch(value)):
                problems.append(f"{name} is {value!r}, not one of {', '.join(allowed)}")
            return value

        def names(name: str) -> frozenset[str]:
            values = (value.strip() for value in text(name, blank=True).split(","))
            return frozenset(value for value in values if value)

        duplicates = choice("DUPLICATE_RECORDS", "block", "allow", "attach")
        settings = cls(
            login_url=text("LOGIN_URL").rstrip("/"),
            api_version=text("SALESFORCE_API_VERSION", _API_VERSION),
            external_id_field=text("EXTERNAL_ID_FIELD", _FIELD_NAME, blank=True),
            default_company=text("DEFAULT_COMPANY", blank=True).strip(),
            allowed_fields=frozenset(map(str.lower, names("ALLOWED_FIELDS"))),
            allow_duplicates=duplicates == "allow",
            attach_duplicates=duplicates == "attach",
            lead_assignment=choice("LEAD_ASSIGNMENT", "default", "off", pattern=_RULE_ID),
            case_assignment=choice("CASE_ASSIGNMENT", "default", "off", pattern=_RULE_ID),
            conversations=choice("CONVERSATIONS", "on", "off") == "on",
            reopen_days=number("REOPEN_DAYS", 0, 3650),
            reopen_status=text("REOPEN_STATUS").strip(),
            closed_lead_statuses=names("CLOSED_LEAD_STATUSES"),
            case_status_on_reply=text("CASE_STATUS_ON_REPLY", blank=True).strip(),
            case_comments=choice("CASE_COMMENTS", "on", "off") == "on",
            match_contacts=choice("MATCH_CONTACTS", "on", "off") == "on",
            match_email=choice("MATCH_EMAIL", "on", "off") == "on",
            lookup_key_id=text("LOOKUP_KEY_ID", blank=True),
            log_replies=choice("LOG_REPLIES", "on", "off") == "on",
            response_budget_seconds=number("RESPONSE_BUDGET_SECONDS", 1, 28),
            refresh_minutes=int(number("REFRESH_MINUTES", 1, 1440)),
            allow_insecure_hosts=frozenset(map(str.lower, names("ALLOW_INSECURE_HOSTS"))),
            credentials_secret=text("CREDENTIALS_SECRET"),
            token_parameter=text("TOKEN_PARAMETER"),
            pending_parameter=text("PENDING_PARAMETER"),
            lease_table=text("LEASE_TABLE"),
            refresh_function=text("REFRESH_FUNCTION"),
            outbox_url=text("OUTBOX_URL"),
            rejected_url=text("REJECTED_URL"),
            signature_scheme=choice("SIGNATURE_SCHEME", *SIGNATURE_SCHEMES),
            signing_secret=text("SIGNING_SECRET", blank=True),
            webhook_url=text("WEBHOOK_URL", blank=True),
            kms_key=text("KMS_KEY", blank=True),
            is_local=bool(environ.get("AWS_ENDPOINT_URL")),
        )
        if problems:
            raise MisconfiguredEnvironment(
                "the function's environment is not what template.yaml gives it: "
                + "; ".join(problems)
            )
        return settings

    def assignment(self, object_name: str) -> str:
        """The assignment setting for `Lead` or `Case`."""
        return self.lead_assignment if object_name == "Lead" else self.case_assignment

    def trusts(self, url: str) -> bool:
        """Whether tokens may be sent to this URL: Salesforce over TLS, or a named host.

        With a local AWS (AwsEndpointUrl) this machine may be Salesforce, too. In Lambda something
        else may listen on loopback. Source of the domains: Salesforce's list of required domains
        (My Domain URL formats).
        """
        scheme, host = _scheme_and_host(url)
        if host in self.allow_insecure_hosts or (self.is_local and host in LOOPBACK):
            return True
        return scheme == "https" and host.endswith(SALESFORCE_DOMAINS)

    def trusts_login(self, url: str) -> bool:
        """Whether credentials may be sent there: any https host (a custom domain), or as above."""
        return self.trusts(url) or _scheme_and_host(url)[0] == "https"


def _scheme_and_host(url: str) -> tuple[str, str]:
    """Both in lower case; both empty where something cannot be called at that address as it stands.

    `urlsplit` alone passes over line breaks, and reads the port only on access.
    """
    if not _URL.fullmatch(url):
        return "", ""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", ""
    if parts.username or parts.password or port == 0 or not _HOST.fullmatch(host):
        return "", ""
    if parts.query or parts.fragment:
        return "", ""  # a path could not be put after it
    return parts.scheme, host
