"""`doctor`: what is red, and the next step, for each thing that can be wrong."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from sandbox.aws.endpoint import REGION
from sandbox.org import Org, OrgServer
from sandbox.org.sample import INTEGRATION_USER
from tests.cli.conftest import Local, deployed_with
from tests.cli.program import Result, run
from tests.stacks import empty_queues


def examine(local: Local, *more: str) -> tuple[int, dict[str, dict[str, str]]]:
    result = run("doctor", "--json", *local.options, *more)
    body = result.json()
    assert body["healthy"] == (result.status == 0)
    return result.status, {one["check"]: one for one in body["checks"]}


def reds(checks: dict[str, dict[str, str]]) -> set[str]:
    return {name for name, one in checks.items() if one["state"] == "bad"}


def test_a_healthy_stack_has_no_red(connected: Local) -> None:
    status, checks = examine(connected)
    assert status == 0
    assert reds(checks) == set()
    greens = {name for name, one in checks.items() if one["state"] == "good"}
    assert {"secret", "refresh-token", "access-token", "salesforce", "api"} <= greens
    assert {"lead-lookup", "case-lookup"} <= greens
    assert {"lead-create", "lead-key", "case-create", "case-key", "api-usage"} <= greens


def test_the_local_stack_reached_as_a_deployed_one_has_no_red_either(
    connected: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", connected.stack.aws_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    where = ("--stack-name", connected.stack.stack_name, "--region", REGION)
    checks = {one["check"]: one for one in run("doctor", "--json", *where).json()["checks"]}
    assert reds(checks) == set()
    assert "45 minutes" in checks["schedule"]["message"]


@pytest.mark.parametrize(("limit", "state"), [(10, "note"), (1000, "good")])
def test_few_concurrent_executions_are_named_with_what_they_mean(
    connected: Local, monkeypatch: pytest.MonkeyPatch, limit: int, state: str
) -> None:
    monkeypatch.setattr(connected.stack.aws, "concurrency", limit)
    _, checks = examine(connected)
    found = checks["concurrency"]
    assert found["state"] == state
    assert f"{limit:,} functions" in found["message"]
    if state == "note":
        assert "502" in found["message"]
        assert "L-B99A9384" in found["nextStep"]


def test_what_the_rights_do_not_show_is_grey(connected: Local) -> None:
    _, checks = examine(connected)
    assert checks["duplicates"]["state"] == "unknown"


def test_it_changes_nothing(connected: Local) -> None:
    secret, token, versions = connected.secret(), connected.stack.token(), connected.versions()
    examine(connected)
    assert (connected.secret(), connected.stack.token()) == (secret, token)
    assert connected.versions() == versions
    assert connected.org.records("Lead") == []


def test_no_secret_is_printed(connected: Local) -> None:
    result: Result = run("doctor", *connected.options)
    printed = result.out + result.err
    secret, token = connected.secret(), connected.stack.token()
    assert token is not None
    hidden = (secret["refresh_token"], secret["client_secret"], token["access_token"])
    for one in (*hidden, connected.stack.api_key):
        assert one not in printed


def test_one_screen_of_text_with_the_next_step_below(connected: Local) -> None:
    connected.org.settings.api_enabled = False
    result = run("doctor", *connected.options)
    assert result.status == 1
    assert "✗" in result.out
    assert "→ " in result.out
    assert len(result.out.splitlines()) < 50


def test_not_connected(ready: Local) -> None:
    _, checks = examine(ready)
    assert "secret" in reds(checks)
    assert "connect" in checks["secret"]["nextStep"]
    assert (checks["org"]["state"], checks["org"]["because"]) == ("skipped", "secret")
    assert "lead-create" not in checks


def test_looking_raises_no_alarm_that_records_are_not_kept(ready: Local) -> None:
    before = dict(ready.stack.gateway.statuses)
    _, checks = examine(ready)
    assert checks["lead-lookup"]["state"] == "note"
    statuses = {one for one, n in ready.stack.gateway.statuses.items() if n > before.get(one, 0)}
    assert statuses, "the API was called"
    assert not [status for status in statuses if status >= 500]


def test_api_disabled(connected: Local) -> None:
    connected.org.settings.api_enabled = False
    _, checks = examine(connected)
    assert "api" in reds(checks)
    assert "API Enabled" in checks["api"]["nextStep"]


def test_field_missing(own_org: Local) -> None:
    own_org.org.remove_field("Lead", "Bird_Key__c")
    _, checks = examine(own_org)
    assert reds(checks) >= {"lead-key"}
    assert "missing" in checks["lead-key"]["message"]
    assert "setup-org" in checks["lead-key"]["nextStep"]
    assert checks["case-key"]["state"] == "good"


def test_field_hidden_is_not_called_missing_for_sure(own_org: Local) -> None:
    own_org.org.hide_field("Case", "Bird_Key__c", user=INTEGRATION_USER)
    _, checks = examine(own_org)
    assert "case-key" in reds(checks)
    assert "may not see it" in checks["case-key"]["message"]
    assert "setup-org" in checks["case-key"]["nextStep"]


def test_fields_without_a_trait(own_org: Local) -> None:
    own_org.org.change_field("Lead", "Bird_Key__c", unique=False)
    own_org.org.change_field("Case", "Bird_Key__c", external_id=False)
    _, checks = examine(own_org)
    assert {"lead-key", "case-key"} <= reds(checks)
    assert "not Unique" in checks["lead-key"]["message"]
    assert "no External ID" in checks["case-key"]["message"]


def test_an_object_that_is_hidden_and_one_without_the_right_to_create(own_org: Local) -> None:
    own_org.org.set_object_rights("Case", "Read", user=INTEGRATION_USER)
    own_org.org.set_object_rights("Lead", user=INTEGRATION_USER)
    _, checks = examine(own_org)
    assert {"lead-create", "case-create"} <= reds(checks)
    assert "setup-org" in checks["case-create"]["nextStep"]
    assert checks["lead-key"]["state"] == "unknown"


def test_token_revoked(connected: Local) -> None:
    connected.org.oauth.revoke_all()
    _, checks = examine(connected)
    assert reds(checks) == {"refresh-token"}, "a cause is said once"
    assert checks["api"]["because"] == "refresh-token"
    assert "connect" in checks["refresh-token"]["nextStep"]


def test_an_expired_session_is_renewed_as_the_functions_would(connected: Local) -> None:
    connected.org.oauth.expire_sessions()
    status, checks = examine(connected)
    assert status == 0, {name: checks[name]["message"] for name in reds(checks)}
    assert "renewed" in checks["api"]["message"]


def test_wrong_host(connected: Local) -> None:
    other = Org.bare()
    other.oauth.apps.clear()
    with OrgServer(other) as server:
        connected.stack.connect(login_url=server.url)
        _, checks = examine(connected)
    assert "refresh-token" in reds(checks)
    assert "test.salesforce.com" in checks["refresh-token"]["nextStep"]
    assert "connect" in checks["refresh-token"]["nextStep"]


def test_nobody_at_the_login_host(connected: Local) -> None:
    connected.stack.connect(login_url="http://127.0.0.1:9")
    _, checks = examine(connected)
    assert "refresh-token" in reds(checks)
    assert "--login-url" in checks["refresh-token"]["nextStep"]


def test_required_custom_field(own_org: Local) -> None:
    own_org.org.add_field("Lead", "Region__c", length=40, required=True)
    _, checks = examine(own_org)
    assert "lead-required" in reds(checks)
    assert "Region__c" in checks["lead-required"]["message"]
    assert "--sends Lead.Region__c" in checks["lead-required"]["nextStep"]
    _, with_field = examine(own_org, "--sends", "Lead.Region__c")
    assert with_field["lead-required"]["state"] == "good"


def test_a_restricted_picklist_without_the_channels(own_org: Local) -> None:
    own_org.org.change_field("Lead", "LeadSource", restricted=True)
    _, checks = examine(own_org)
    assert checks["lead-channels"]["state"] == "note"
    assert "WhatsApp" in checks["lead-channels"]["message"]


def test_the_end_of_the_refresh_token_is_announced_a_month_ahead(connected: Local) -> None:
    connected.app.lifetime_seconds = 20 * 86_400.0
    _, checks = examine(connected)
    assert checks["refresh-token"]["state"] == "note"
    assert "connect" in checks["refresh-token"]["nextStep"]
    connected.app.lifetime_seconds = 90 * 86_400.0
    _, checks = examine(connected)
    assert checks["refresh-token"]["state"] == "good"


def test_an_old_access_token(connected: Local) -> None:
    token = connected.stack.token()
    assert token is not None
    token["issued_at"] = str(int((time.time() - 3 * 3600) * 1000))
    put_token(connected, token)
    _, checks = examine(connected)
    assert "access-token" in reds(checks)


def test_a_token_for_a_foreign_address_is_not_sent_there(connected: Local) -> None:
    token = connected.stack.token()
    assert token is not None
    put_token(connected, {**token, "instance_url": "https://example.org"})
    _, checks = examine(connected)
    assert "access-token" in reds(checks)
    assert "AllowInsecureHosts" in checks["access-token"]["nextStep"]


def put_token(local: Local, token: dict[str, Any]) -> None:
    local.stack.client("ssm").put_parameter(
        Name=local.stack.token_parameter,
        Value=json.dumps(token),
        Type="SecureString",
        Overwrite=True,
    )


def test_spent_api_requests(connected: Local) -> None:
    connected.org.usage.set_used(connected.org.settings.daily_requests)
    _, checks = examine(connected)
    assert {"api"} <= reds(checks)
    assert "REQUEST_LIMIT_EXCEEDED" in checks["api"]["message"]


def test_waiting_and_rejected_records_are_counted(connected: Local) -> None:
    sqs = connected.stack.client("sqs")
    for url in (connected.stack.outbox_url, connected.stack.rejected_url):
        sqs.send_message(QueueUrl=url, MessageBody="{}")
    _, checks = examine(connected)
    empty_queues(connected.stack)
    assert checks["outbox"]["state"] == checks["rejected"]["state"] == "note"
    assert checks["outbox"]["message"] == (
        "1 record is waiting and will be sent automatically (an estimate of SQS)."
    )
    assert "rejected list" in checks["rejected"]["nextStep"]


def test_salesforce_down(connected: Local) -> None:
    with connected.stack.outage():
        status, checks = examine(connected)
        result = run("doctor", "--verbose", *connected.options)
    assert status == result.status == 1
    assert reds(checks) == {"salesforce"}, "a cause is said once"
    skipped = {name: one["count"] for name, one in checks.items() if one["state"] == "skipped"}
    assert skipped.keys() == {"refresh-token", "api", "org", "lead-lookup", "case-lookup"}
    assert {checks[name]["because"] for name in skipped} == {"salesforce"}
    assert result.out.startswith("Salesforce is down: ")
    words = " ".join(result.out.split())
    assert f"Skipped because of it: {sum(skipped.values())} checks." in words
    assert "salesforce connect" not in result.out + result.err, "reconnecting helps nobody"


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503, "body": "<html>maintenance</html>"},
        {"error": "SERVER_UNAVAILABLE"},
        {"error": "ORG_IN_MAINTENANCE"},
        {"reset": "before"},
    ],
)
def test_nobody_is_told_to_reconnect_while_salesforce_has_trouble(
    connected: Local, fault: dict[str, Any]
) -> None:
    connected.org.trouble.add(**fault)
    _, checks = examine(connected)
    assert reds(checks) == {"salesforce"} or reds(checks) == {"api"}
    assert not any("salesforce connect" in one["nextStep"] for one in checks.values())


def test_the_verdict_is_first_and_green_checks_are_counted_only(connected: Local) -> None:
    short, full = (run("doctor", *more, *connected.options) for more in ((), ("--verbose",)))
    assert short.out.startswith("Nothing is red.\n")
    assert short.status == full.status == 0
    for result in (short, full):
        groups = [line.split()[0] for line in result.out.splitlines() if line[:1].isalpha()][1:]
        assert groups == ["Connection", "Org", "Conversations", "Queues", "API"]
        assert all(len(line) <= 80 for line in (result.out + result.err).splitlines())
    assert "The user may create a Lead." in full.out
    assert "The user may create a Lead." not in short.out


def test_a_retired_api_version(connected: Local) -> None:
    with deployed_with(connected, SALESFORCE_API_VERSION="v20.0"):
        _, checks = examine(connected)
    assert "salesforce" in reds(checks)
    assert "ApiVersion=" in checks["salesforce"]["nextStep"]


def test_a_rule_that_does_not_exist(connected: Local) -> None:
    with deployed_with(connected, LEAD_ASSIGNMENT="01Q000000000001"):
        _, checks = examine(connected)
    # The integration user may not look at rules: grey, not red.
    assert checks["assignment"]["state"] == "unknown"
