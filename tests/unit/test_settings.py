"""The environment is read once, as a whole, and every fault in it is named."""

from __future__ import annotations

import pytest

from bridge.errors import MisconfiguredEnvironment
from bridge.settings import Settings
from tests.conftest import ENVIRON, MakeSettings

MAY_BE_BLANK = {
    *("EXTERNAL_ID_FIELD", "DEFAULT_COMPANY", "ALLOWED_FIELDS", "CLOSED_LEAD_STATUSES"),
    *("CASE_STATUS_ON_REPLY", "ALLOW_INSECURE_HOSTS", "MEDIA_HOSTS", "FILES_URL"),
    *("ACCESS_KEY_SECRET", "SIGNING_SECRET", "WEBHOOK_URL", "KMS_KEY", "LOOKUP_KEY_ID"),
}


def test_a_deployed_environment_is_read() -> None:
    settings = Settings.from_environ({**ENVIRON, "REOPEN_DAYS": "0"})
    assert settings.reopen_days == 0
    assert settings.api_version == "v68.0"
    assert settings.response_budget_seconds == 8
    assert settings.refresh_minutes == 45
    assert settings.conversations is True
    assert settings.closed_lead_statuses == {"Closed - Not Converted", "Unqualified"}
    assert settings.allow_duplicates is False
    assert settings.allow_insecure_hosts == frozenset()


@pytest.mark.parametrize("name", sorted(ENVIRON))
def test_a_missing_variable_is_named(name: str) -> None:
    environ = {n: v for n, v in ENVIRON.items() if n != name}
    with pytest.raises(MisconfiguredEnvironment, match=rf"\b{name} is missing"):
        Settings.from_environ(environ)


@pytest.mark.parametrize("name", sorted(set(ENVIRON) - MAY_BE_BLANK))
def test_a_blank_variable_counts_as_missing(name: str) -> None:
    with pytest.raises(MisconfiguredEnvironment, match=rf"\b{name} is missing"):
        Settings.from_environ({**ENVIRON, name: ""})


@pytest.mark.parametrize("name", sorted(MAY_BE_BLANK))
def test_some_variables_are_switched_off_by_a_blank(name: str) -> None:
    Settings.from_environ({**ENVIRON, name: ""})


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(MisconfiguredEnvironment) as caught:
        Settings.from_environ({})
    assert all(f"{name} is missing" in str(caught.value) for name in ENVIRON)


WRONG = {
    "SALESFORCE_API_VERSION": ("68.0", "v68", "v68.0/../.."),
    "EXTERNAL_ID_FIELD": ("Bird Key", "x'; --"),
    "DUPLICATE_RECORDS": ("Allow",),
    "LEAD_ASSIGNMENT": ("TRUE", "00Q8d00000555Ab", "01Q8d00000555A"),
    "CASE_ASSIGNMENT": ("01Q8d00000555AbE",),
    "CONVERSATIONS": ("yes",),
    "REOPEN_DAYS": ("-1",),
    "CASE_COMMENTS": ("true",),
    "LOG_REPLIES": ("On",),
    "RESPONSE_BUDGET_SECONDS": ("eight", "0", "29.5", "nan"),
    "REFRESH_MINUTES": ("-1", "nan", "inf"),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_value_that_cannot_be_right_is_named(name: str, value: str) -> None:
    with pytest.raises(MisconfiguredEnvironment, match=f"{name} is ['\"]"):
        Settings.from_environ({**ENVIRON, name: value})


@pytest.mark.parametrize("rule", ["default", "off", "01Q8d00000555Ab", "01Q8d00000555AbEAM"])
def test_an_assignment_is_a_word_or_a_rule_s_id(settings: MakeSettings, rule: str) -> None:
    made = settings(LEAD_ASSIGNMENT=rule, CASE_ASSIGNMENT="off")
    assert made.assignment("Lead") == rule
    assert made.assignment("Case") == "off"


def test_hosts_are_listed_with_commas_and_compared_without_case(settings: MakeSettings) -> None:
    made = settings(ALLOW_INSECURE_HOSTS=" Sandbox.internal, host.docker.internal ,")
    assert made.allow_insecure_hosts == {"sandbox.internal", "host.docker.internal"}
    assert made.trusts("http://SANDBOX.internal:8000")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"]
)
def test_tokens_go_to_this_machine_only_with_a_local_aws_or_where_it_is_named(
    settings: MakeSettings, url: str
) -> None:
    for deployed in (settings(), settings(AWS_ENDPOINT_URL="")):
        assert not deployed.trusts(url)
        assert not deployed.trusts_login(url)
    assert settings(AWS_ENDPOINT_URL="http://127.0.0.1:4566").trusts(url)
    assert settings(ALLOW_INSECURE_HOSTS="localhost,127.0.0.1,::1").trusts(url)


SALESFORCE = [
    *("https://acme.my.salesforce.com", "https://acme--dev.sandbox.my.salesforce.com/"),
    *("https://na1.salesforce.com:443", "https://acme.my.site.force.com"),
    *("https://acme.cloudforce.com", "https://acme.my.salesforce.mil"),
    "https://ACME.MY.SALESFORCE.COM",
]
BROKEN = [
    *("https://acme.my.salesforce.com:x", "https://acme.my.salesforce.com:99999", "https://[::1"),
    *("https://user:pass@acme.my.salesforce.com", "https://acme.my.salesforce.com@example.org"),
    *("ftp://acme.my.salesforce.com", "acme.my.salesforce.com", "https://a b.salesforce.com"),
    *("http://acme.my.salesforce.com", "https://", ""),
]
ELSEWHERE = [
    *("https://salesforce.com.example.org", "https://notsalesforce.com"),
    *("https://example.org?.salesforce.com", "https://example.org#.salesforce.com"),
    *("https://example.org\\.salesforce.com/", "https:\n//acme.my.salesforce.com"),
    *("https://acme.my.salesforce.com\n", "https://acme.my.salesforce.com?a="),
    *("https://acme.my.salesforce.com#a", "https://\ud83d.my.salesforce.com"),
    "https:acme.my.salesforce.com",
]


@pytest.mark.parametrize("url", [*SALESFORCE, *BROKEN, *ELSEWHERE], ids=ascii)
def test_tokens_go_to_salesforce_only(settings: MakeSettings, url: str) -> None:
    assert settings().trusts(url) is (url in SALESFORCE)


@pytest.mark.parametrize("url", [*SALESFORCE, *BROKEN, "https://login.customer.example"])
def test_credentials_go_to_any_host_over_tls(settings: MakeSettings, url: str) -> None:
    assert settings().trusts_login(url) is (url not in BROKEN)
