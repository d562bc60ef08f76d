"""Configuration: the environment as one tuple, read once and as a whole.

Defaults live in `template.yaml` only: a variable that the template should give and did not is an
error that names every missing one, never a silent default.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from bridge.errors import MisconfiguredEnvironment

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts of this very machine: plain http to them never leaves it."""

SALESFORCE_DOMAINS = (".salesforce.com", ".force.com", ".cloudforce.com", ".salesforce.mil")
"""Where an instance URL may point, besides hosts that the deployer names."""

_ASSIGNMENT = r"default|off|01Q[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?"
_ALLOWED: dict[str, str | tuple[float, float]] = {
    "api_version": r"v\d{2,3}\.0",
    "external_id_field": r"[A-Za-z]\w*",
    "duplicate_records": "block|allow|attach",
    "lead_assignment": _ASSIGNMENT,
    "case_assignment": _ASSIGNMENT,
    "signature_scheme": "none|messagebird-jwt|bird|standard-webhooks",
    "reopen_days": (0, 3650),
    "media_max_megabytes": (1, 100),
    "response_budget_seconds": (1, 28),
    "refresh_minutes": (1, 1440),
}
"""What a value has to match, or between which numbers it has to be."""

_MAY_BE_BLANK = {
    *("external_id_field", "default_company", "allowed_fields", "closed_lead_statuses"),
    *("case_status_on_reply", "allow_insecure_hosts", "media_hosts", "files_url", "kms_key"),
    *("access_key_secret", "signing_secret", "webhook_url", "lookup_key_id", "aws_endpoint_url"),
}

_HOST = re.compile(r"[a-z0-9.:-]+")
_URL = re.compile(r"(?i:https?)://[!-~]+")


class Settings(NamedTuple):
    """The configuration of a function. Times are in the unit that the name says.

    Each value is that of the variable with its name in capitals; a bool is `on` or `off`, a set is
    separated by commas.
    """

    login_url: str
    api_version: str
    external_id_field: str
    """API name of the unique external-id field on Lead and Case; empty: at-least-once."""
    default_company: str
    allowed_fields: frozenset[str]
    """In lower case, fields that hold ids and links by key that a body may give; `*`: all."""
    duplicate_records: str
    """What becomes of a record that a duplicate rule reports: `block`, `allow` or `attach`."""
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
    attach_media: bool
    """Whether what a customer sent beside words becomes a file on the record."""
    media_hosts: frozenset[str]
    """Where a file's link may lead first, in lower case: `host` or `host:port`."""
    media_max_megabytes: int
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
    files_url: str
    """The queue of messages whose files are to be attached; empty unless `attach_media`."""
    access_key_secret: str
    """The secret with Bird's access key, likewise."""
    signature_scheme: str
    """How a request must be signed."""
    signing_secret: str
    webhook_url: str
    """The webhook's address exactly as Bird was given it; empty: as the gateway saw it."""
    kms_key: str
    """ARN of the key under which tokens are stored; empty: AWS's own."""
    aws_endpoint_url: str = ""
    """Set where AWS is one on this machine, so that Salesforce may be, too."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read all of it. Raises MisconfiguredEnvironment, naming all that is missing or wrong."""
        problems: list[str] = []
        values: dict[str, Any] = {}
        for name, kind in cls.__annotations__.items():
            variable = "SALESFORCE_API_VERSION" if name == "api_version" else name.upper()
            raw = environ.get(variable, cls._field_defaults.get(name))
            if raw is None or (not raw and name not in _MAY_BE_BLANK):
                problems.append(f"{variable} is missing")
                continue
            values[name] = _read(name, kind, raw)
            if values[name] is None:
                allowed = _ALLOWED.get(name, "on|off")
                problems.append(f"{variable} is {raw!r}, which is none of {allowed}")
        if problems:
            raise MisconfiguredEnvironment(
                "the function's environment is not what template.yaml gives it: "
                + "; ".join(problems)
            )
        return cls(**values)

    @property
    def allow_duplicates(self) -> bool:
        """Whether `Sforce-Duplicate-Rule-Header: allowSave=true` is sent."""
        return self.duplicate_records == "allow"

    @property
    def attach_duplicates(self) -> bool:
        """Whether a message goes onto the one Lead or Contact that a duplicate rule names."""
        return self.duplicate_records == "attach"

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
        if host in self.allow_insecure_hosts or (self.aws_endpoint_url and host in LOOPBACK):
            return True
        return scheme == "https" and host.endswith(SALESFORCE_DOMAINS)

    def trusts_login(self, url: str) -> bool:
        """Whether credentials may be sent there: any https host (a custom domain), or as above."""
        return self.trusts(url) or _scheme_and_host(url)[0] == "https"


def _read(name: str, kind: Any, raw: str) -> Any:
    """The value of a variable; None where it cannot be right."""
    if kind is bool:
        return {"on": True, "off": False}.get(raw)
    allowed = _ALLOWED.get(name)
    if isinstance(allowed, tuple):
        try:
            number = float(raw)
        except ValueError:
            return None
        return kind(number) if allowed[0] <= number <= allowed[1] else None
    if raw and allowed and not re.fullmatch(allowed, raw):
        return None
    if kind is str:
        return raw.strip()
    names = raw if name == "closed_lead_statuses" else raw.lower()
    return frozenset(filter(None, map(str.strip, names.split(","))))


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
