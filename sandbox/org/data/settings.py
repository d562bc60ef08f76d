"""The settings of an org: how it is set up, and which limits it has."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Settings:
    """All of them may be changed at any time, in process or by ``POST /_sandbox/settings``."""

    # What the org as a whole allows.
    api_enabled: bool = True
    """False: every REST call is refused with API_DISABLED_FOR_ORG."""
    session_valid_for_rest: bool = True
    """False: 401 "This session is not valid for use with the REST API"."""
    maintenance: bool = False
    """True: every Salesforce path responds 503 with a page of HTML."""
    login_host: bool = False
    """True: the token endpoint behaves as login.salesforce.com does (no client credentials)."""
    private: list[str] = field(default_factory=list)
    """Objects with a private sharing model, e.g. ``["Lead", "Case"]``."""
    person_accounts: bool = False
    """True: a Lead needs no Company, and an Account needs a record type."""
    default_case_owner: str = ""
    """Who gets a Case that no assignment rule took (an id of a User or a queue)."""

    # Limits.
    daily_requests: int = 100_000
    """Calls in 24 hours; beyond it REQUEST_LIMIT_EXCEEDED."""
    limit_info: str = "org"
    """Sforce-Limit-Info: ``org``, ``app`` (with the per-app part) or ``off``."""
    search_lag_seconds: float = 0.0
    """How old a change must be to be found by a search; queries see it at once."""
    storage_full: bool = False
    """True: each create is refused with STORAGE_LIMIT_EXCEEDED."""
    trigger_limits: dict[str, int] = field(default_factory=dict)
    """Object to the number of records in one call above which its trigger breaks a limit."""

    # Sessions and tokens.
    session_seconds: float = 7200.0
    refresh_seconds: float = 0.02
    """Duration of a refresh; another one with the same token meanwhile is refused."""
    send_instance_url: bool = True
    instance_url: str = ""
    """Empty: the address of the server that runs the org."""

    # Texts and keys of which Salesforce has more than one form.
    duplicate_value_id: str = "18"
    """The id in a DUPLICATE_VALUE message: ``18``, ``15`` or ``unknown``."""
    language: str = "en"
    """``de``: DUPLICATE_VALUE in German (our wording): messages are in the user's language."""

    def put(self, **values: Any) -> None:
        """Change some of them; ValueError names one that does not exist or has another type."""
        known = asdict(self)
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"there is no setting {name!r}")
            now = known[name]
            if isinstance(now, float) and type(value) is int:
                value = float(value)
            if type(value) is not type(now):
                raise ValueError(f"{name} must be a {type(now).__name__}")
        for name, value in values.items():
            setattr(self, name, float(value) if isinstance(known[name], float) else value)
