"""One function keeps the access token fresh, one refresh at a time; the org stays connected."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.org.sample import CLIENT_ID, INTEGRATION_USER
from sandbox.stack import Stack
from tests.stacks import deployed_with, renew_token


def stored(stack: Stack) -> dict[str, Any]:
    """What the access token's parameter holds."""
    token = stack.token()
    assert token is not None
    return token


def described_token(stack: Stack) -> Any:
    """What SSM tells of its parameter."""
    named = [{"Key": "Name", "Values": [stack.token_parameter]}]
    (found,) = stack.client("ssm").describe_parameters(ParameterFilters=named)["Parameters"]
    return found


@pytest.fixture
def rotating(stack: Stack) -> Iterator[Stack]:
    """The stack while each refresh token can be used once."""
    stack.org.oauth.apps[CLIENT_ID].rotation = True
    yield stack
    stack.org.oauth.apps[CLIENT_ID].rotation = False
    stack.aws.heal()
    stack.connect()


def refuse_to_write_the_secret(stack: Stack) -> None:
    stack.aws.fail("secretsmanager", "PutSecretValue", status=400, code="LimitExceededException")


def test_the_schedule_publishes_a_token_that_works(stack: Stack) -> None:
    token = stored(stack)
    assert described_token(stack)["Type"] == "SecureString"
    assert stack.org.oauth.session(token["access_token"])
    assert token["instance_url"] == stack.org.instance_url
    assert token["scope"] and token["issued_at"].isdigit()


@pytest.mark.parametrize("cold", [False, True])
def test_a_token_that_nobody_renewed_costs_the_caller_one_read(stack: Stack, cold: bool) -> None:
    stack.request("POST", "/leads", {"LastName": "warm"})
    if cold:
        stack.functions["create_lead"].recycle()
    stack.org.oauth.expire_sessions()
    stack.aws.calls.clear()

    assert stack.request("POST", "/leads", {"LastName": "A"}).status == 201

    calls = {what: n for (who, what), n in stack.aws.calls.items() if who == "create_lead"}
    assert calls == {"ssm.GetParameter": 1, "lambda.Invoke": 1}
    assert stack.aws.calls["refresh_token", "ssm.PutParameter"] == 1
    # The token and the place of a refresh token that the secret did not take.
    assert stack.aws.calls["refresh_token", "ssm.GetParameter"] == 2
    token = stored(stack)["access_token"]
    logs = [stack.logs(name) for name in stack.functions]
    assert any("TokenRefreshed" in log for log in logs) and not any(token in log for log in logs)


def test_a_refresh_that_loses_the_lease_reads_nothing(stack: Stack) -> None:
    table = stack.deployment.resource("RefreshLease")["Ref"]
    lease = {
        "name": {"S": "refresh"},
        "owner_id": {"S": "another run"},
        "expires_at": {"N": str(int(time.time()) + 60)},
    }
    stack.client("dynamodb").put_item(TableName=table, Item=lease)
    stack.aws.calls.clear()

    assert renew_token(stack).json() == {"busy": True}
    assert stack.tick().json() == {"busy": True}

    calls = {what: n for (who, what), n in stack.aws.calls.items() if who == "refresh_token"}
    assert calls == {"dynamodb.PutItem": 2}
    stack.client("dynamodb").delete_item(TableName=table, Key={"name": {"S": "refresh"}})


def test_twenty_at_once_cost_one_refresh_and_leave_the_org_connected(
    rotating: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = rotating
    monkeypatch.setattr(stack.functions["refresh_token"], "processes", 20)
    stack.org.settings.put(refresh_seconds=0.5)
    generation, processed = stored(stack)["generation"], stack.org.oauth.processed
    stack.org.oauth.expire_sessions()

    event = {"refused_generation": generation}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: stack.invoke("refresh_token", event), range(20)))

    assert not any(answer.failed for answer in answers)
    assert stack.org.oauth.processed == processed + 1
    assert stored(stack)["generation"] == generation + 1
    assert stack.org.connected(stack.credentials()["refresh_token"])
    assert stack.request("POST", "/leads", {"LastName": "A"}).status == 201


def test_a_secret_that_takes_no_new_version_costs_no_connection(rotating: Stack) -> None:
    stack = rotating
    refuse_to_write_the_secret(stack)
    for _ in range(3):
        stack.org.oauth.expire_sessions()
        assert not renew_token(stack).failed
    stack.aws.heal()

    assert not renew_token(stack).failed

    assert stack.org.connected(stack.credentials()["refresh_token"])
    assert stack.request("POST", "/leads", {"LastName": "A"}).status == 201


def test_connecting_anew_beats_a_pending_refresh_token(rotating: Stack) -> None:
    stack = rotating
    refuse_to_write_the_secret(stack)
    assert not renew_token(stack).failed
    stack.aws.heal()
    stack.connect()
    approved = stack.credentials()["refresh_token"]

    assert not renew_token(stack).failed

    assert not stack.org.connected(approved)  # it was used, and rotated
    assert stack.org.connected(stack.credentials()["refresh_token"])


def test_a_rotated_token_that_nothing_stores_is_an_alarm_and_connect_mends_it(
    rotating: Stack,
) -> None:
    stack = rotating
    stack.aws.fail("secretsmanager", "PutSecretValue")
    stack.aws.fail("ssm", "PutParameter")
    answer = renew_token(stack)
    assert answer.failed and answer.json()["errorType"] == "CredentialsLost"
    assert "TokenRefreshFailedPermanently" in stack.logs("refresh_token")
    stack.aws.heal()
    stack.org.oauth.expire_sessions()
    assert stack.request("POST", "/leads", {"LastName": "A"}).status == 202

    stack.connect()
    time.sleep(5.1)
    stack.drain()
    assert len(stack.org.records("Lead")) == 1


PASSING = {
    "retry your request": (
        400,
        {"error": "unknown_error", "error_description": "retry your request"},
    ),
    "a page of HTML": (503, "<html>down</html>"),
}


@pytest.mark.parametrize("status, body", PASSING.values(), ids=PASSING)
def test_passing_trouble_at_the_token_endpoint_is_waited_out(
    stack: Stack, status: int, body: Any
) -> None:
    before = stored(stack)["generation"]
    stack.org.trouble.add(area="oauth", status=status, body=body, times=2)

    result = renew_token(stack).json()

    assert (result["generation"], result["refreshed"]) == (before + 1, True)


@pytest.mark.parametrize(
    "error, description",
    [
        ("invalid_grant", "expired access/refresh token"),
        ("invalid_app_access", "user is not admin approved to access this app"),
    ],
)
def test_a_permanent_refusal_is_said_once_with_the_way_to_mend_it(
    stack: Stack, error: str, description: str
) -> None:
    body = {"error": error, "error_description": description}
    stack.org.trouble.add(area="oauth", status=400, body=body)
    before = stack.org.journal.counts["POST /services/oauth2/token"]

    answer = renew_token(stack)

    assert answer.failed and answer.json()["errorType"] == "CredentialsRevoked"
    assert description in answer.json()["errorMessage"]
    assert len(answer.json()["errorMessage"]) > len(description) + 60  # and a hint
    assert stack.org.journal.counts["POST /services/oauth2/token"] == before + 1


def test_revoked_credentials_cost_no_lead_and_the_answer_names_the_command(stack: Stack) -> None:
    body = {"error": "invalid_grant", "error_description": "expired access/refresh token"}
    stack.org.trouble.add(area="oauth", status=400, body=body)
    stack.org.oauth.expire_sessions()

    answer = stack.request("POST", "/leads", {"LastName": "A"})

    assert answer.status == 202
    assert "make connect" in answer.json()["message"]


def test_after_invalid_grant_the_secret_is_read_again(stack: Stack) -> None:
    good = stack.credentials()["refresh_token"]
    stack.connect(refresh_token="5Aep861stale")
    stack.org.trouble.add(area="oauth", latency_before=1.5, times=1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(renew_token, stack)
        time.sleep(0.7)
        stack.connect(refresh_token=good)
        answer = running.result()
    assert answer.json()["refreshed"] is True


def test_credentials_written_during_a_refresh_are_not_overwritten(rotating: Stack) -> None:
    stack = rotating
    stack.org.trouble.add(area="oauth", latency_after=1.5, times=1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(renew_token, stack)
        time.sleep(0.7)
        stack.connect(extra="kept")
        answer = running.result()
    assert not answer.failed
    assert stack.credentials()["extra"] == "kept"
    assert stack.org.connected(stack.credentials()["refresh_token"])
    assert stack.org.oauth.session(stored(stack)["access_token"])


def test_client_credentials_need_no_refresh_token(rotating: Stack) -> None:
    rotating.org.oauth.apps[CLIENT_ID].run_as = INTEGRATION_USER
    content = {**rotating.credentials(), "grant": "client_credentials"}
    del content["refresh_token"]
    rotating.client("secretsmanager").put_secret_value(
        SecretId=rotating.secret_id, SecretString=json.dumps(content)
    )
    assert renew_token(rotating).json()["refreshed"]
    assert rotating.request("POST", "/leads", {"LastName": "A"}).status == 201


def test_an_answer_whose_signature_does_not_fit_costs_no_connection(stack: Stack) -> None:
    before, held = stored(stack), stack.credentials()
    body = {
        "access_token": "00Dxx!forged",
        "refresh_token": "5Aep861forged",
        "id": before["id"],
        "issued_at": "1760000000000",
        "instance_url": stack.org.instance_url,
        "signature": base64.b64encode(b"0" * 32).decode(),
    }
    stack.org.trouble.add(area="oauth", status=200, body=body, times=1)
    assert renew_token(stack).json()["errorType"] == "SignatureMismatch"
    assert (stored(stack), stack.credentials()) == (before, held)

    # Salesforce knows no such token; the one before is still good.
    assert renew_token(stack).json()["refreshed"]
    assert stack.request("POST", "/leads", {"LastName": "A"}).status == 201


def test_a_token_is_never_sent_to_a_host_that_is_not_salesforces(stack: Stack) -> None:
    before = stored(stack)
    body = {"access_token": "00Dxx!t", "instance_url": "https://salesforce.com.evil.example"}
    stack.org.trouble.add(area="oauth", status=200, body=body)

    answer = renew_token(stack)

    assert answer.failed and "instance URL" in answer.json()["errorMessage"]
    assert stored(stack) == before


def test_a_run_that_was_killed_does_not_block_the_next_for_longer_than_its_lease(
    stack: Stack,
) -> None:
    stack.org.trouble.add(area="oauth", silence="before", times=1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(renew_token, stack)
        time.sleep(1.0)
        stack.kill("refresh_token")
        assert running.result().failed
    stack.org.trouble.clear()
    assert renew_token(stack).json() == {"busy": True}
    table = stack.deployment.resource("RefreshLease")["Ref"]
    (item,) = stack.client("dynamodb").scan(TableName=table)["Items"]
    assert 0 < int(item["expires_at"]["N"]) - time.time() <= 60 + 10

    item["expires_at"] = {"N": str(int(time.time()) - 1)}
    stack.client("dynamodb").put_item(TableName=table, Item=item)
    assert renew_token(stack).json()["refreshed"]


def test_a_lease_whose_taking_was_not_answered_is_still_the_runs_own(stack: Stack) -> None:
    """boto3 repeats the call after a lost response, and must not be refused as another owner."""
    stack.aws.fail("dynamodb", "PutItem", times=1, effect="drop_after")

    assert renew_token(stack).json()["refreshed"] is True


def test_while_another_refresh_runs_a_caller_waits_for_its_token(stack: Stack) -> None:
    stack.request("POST", "/leads", {"LastName": "warm"})
    stack.org.oauth.expire_sessions()
    stack.org.trouble.add(area="oauth", latency_before=2.0, times=1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(renew_token, stack)
        time.sleep(0.5)
        answer = stack.request("POST", "/leads", {"LastName": "A"})
        assert running.result().json()["refreshed"] is True
    assert answer.status == 201
    assert stack.org.oauth.processed >= 1


def test_tokens_are_stored_under_the_deployer_s_key_where_there_is_one(stack: Stack) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-0000-0000-000000000000"
    with deployed_with(stack, KMS_KEY=key):
        assert not renew_token(stack).failed
    assert described_token(stack)["KeyId"] == key
    assert not renew_token(stack).failed
