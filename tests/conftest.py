"""What every kind of test shares: the event files, and settings as the template would give them."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from bridge.settings import Settings

EVENTS = Path(__file__).parents[1] / "events"

ENVIRON = {
    "LOGIN_URL": "https://login.salesforce.com",
    "SALESFORCE_API_VERSION": "v68.0",
    "EXTERNAL_ID_FIELD": "Bird_Key__c",
    "DEFAULT_COMPANY": "Individual",
    "ALLOWED_FIELDS": "",
    "DUPLICATE_RECORDS": "block",
    "LEAD_ASSIGNMENT": "default",
    "CASE_ASSIGNMENT": "default",
    "CONVERSATIONS": "on",
    "REOPEN_DAYS": "3",
    "REOPEN_STATUS": "New",
    "CLOSED_LEAD_STATUSES": "Closed - Not Converted,Unqualified",
    "CASE_STATUS_ON_REPLY": "",
    "CASE_COMMENTS": "off",
    "MATCH_CONTACTS": "off",
    "MATCH_EMAIL": "off",
    "LOOKUP_KEY_ID": "",
    "LOG_REPLIES": "off",
    "ATTACH_MEDIA": "off",
    "MEDIA_HOSTS": "media.api.bird.com",
    "MEDIA_MAX_MEGABYTES": "25",
    "RESPONSE_BUDGET_SECONDS": "8",
    "REFRESH_MINUTES": "45",
    "ALLOW_INSECURE_HOSTS": "",
    "CREDENTIALS_SECRET": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:Credentials-a1B2c3",
    "TOKEN_PARAMETER": "/bird-salesforce/access-token",
    "PENDING_PARAMETER": "/bird-salesforce/pending-refresh-token",
    "LEASE_TABLE": "bird-salesforce-RefreshLease",
    "REFRESH_FUNCTION": "bird-salesforce-refresh-token",
    "OUTBOX_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/Outbox",
    "REJECTED_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/Rejected",
    "FILES_URL": "",
    "ACCESS_KEY_SECRET": "",
    "SIGNATURE_SCHEME": "none",
    "SIGNING_SECRET": "",
    "WEBHOOK_URL": "",
    "KMS_KEY": "",
}
"""The variables of template.yaml's Globals, with values as a deployed stack has them."""

LOCAL = {**ENVIRON, "ALLOW_INSECURE_HOSTS": "127.0.0.1,localhost"}
"""The same where Salesforce is a server of the tests."""

PATIENT = {"ResponseBudgetSeconds": "18"}
"""The template's parameters where nothing hangs on time: a busy machine starts functions slowly."""


# Every session reads AWS's service models anew, up to half a second of CPU: once is enough here.
botocore.session.create_loader = cache(botocore.session.create_loader)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking through all that was imported.

    While it walks, the org, AWS and the gateway of a local stack, which are threads of this
    process, stand still: for seconds, on a busy machine.
    """
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted: how much of somebody else's test suite passes."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "count":
                terminalreporter.write_line(str(value))


MakeSettings = Callable[..., Settings]
LoadEvent = Callable[[str], Any]


@pytest.fixture
def event() -> LoadEvent:
    """Loads one of the files in `events/` by its name without `.json`."""

    def load(name: str) -> Any:
        return json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))

    return load


@pytest.fixture
def settings() -> MakeSettings:
    """Makes Settings as deployed, but for the variables that a test names."""

    def make(**changed: str) -> Settings:
        return Settings.from_environ({**ENVIRON, **changed})

    return make
