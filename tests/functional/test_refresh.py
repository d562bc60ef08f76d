"""One function keeps the access token fresh, one refresh at a time; the org stays connected.

What each response of Salesforce and AWS means is in tests/unit/test_refresh.py. Here the functions
are processes, and the org, SSM, the secret and the lease are real to them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.org.sample import CLIENT_ID
from sandbox.stack import Stack
from tests.stacks import deployed_with, renew_token

LEAD = {"LastName": "A"}


def stored(stack: Stack) -> dict[str, Any]:
    """What the access token's parameter holds."""
    token = stack.token()
    assert token is not None
    return token


@pytest.fixture
def rotating(stack: Stack) -> Iterator[Stack]:
    """The stack while each refresh token can be used once."""
    stack.org.oauth.apps[CLIENT_ID].rotation = True
    yield stack
    stack.org.oauth.apps[CLIENT_ID].rotation = False
    stack.aws.heal()
    stack.connect()


def test_the_schedule_publishes_a_token_that_works_under_the_deployer_s_key(stack: Stack) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-0000-0000-000000000000"
    named = [{"Key": "Name", "Values": [stack.token_parameter]}]
    for variables in ({"KMS_KEY": key}, {}):
        with deployed_with(stack, **variables):
            assert not renew_token(stack).failed
        (found,) = stack.client("ssm").describe_parameters(ParameterFilters=named)["Parameters"]
        assert found["Type"] == "SecureString"
        assert not variables or found["KeyId"] == key
        token = stored(stack)
        assert stack.org.oauth.session(token["access_token"])
        assert token["instance_url"] == stack.org.instance_url


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_a_token_that_nobody_renewed_costs_the_caller_one_read(stack: Stack, cold: bool) -> None:
    stack.request("POST", "/leads", LEAD)
    if cold:
        stack.functions["create_lead"].recycle()
    stack.org.oauth.expire_sessions()
    stack.aws.calls.clear()

    assert stack.request("POST", "/leads", LEAD).status == 201

    calls = {what: n for (who, what), n in stack.aws.calls.items() if who == "create_lead"}
    assert calls == {"ssm.GetParameter": 1, "lambda.Invoke": 1}
    assert stack.aws.calls["refresh_token", "ssm.PutParameter"] == 1
    # The token and the place of a refresh token that the secret did not take.
    assert stack.aws.calls["refresh_token", "ssm.GetParameter"] == 2
    token = stored(stack)["access_token"]
    assert not any(token in stack.logs(name) for name in stack.functions)


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
        responses = list(pool.map(lambda _: stack.invoke("refresh_token", event), range(20)))

    assert not any(response.failed for response in responses)
    assert stack.org.oauth.processed == processed + 1
    assert stored(stack)["generation"] == generation + 1
    assert stack.org.connected(stack.credentials()["refresh_token"])
    assert stack.request("POST", "/leads", LEAD).status == 201


def test_a_rotated_token_that_nothing_stores_is_an_alarm_and_connect_mends_it(
    rotating: Stack,
) -> None:
    stack = rotating
    stack.aws.fail("secretsmanager", "PutSecretValue")
    stack.aws.fail("ssm", "PutParameter")
    response = renew_token(stack)
    assert response.failed and response.json()["errorType"] == "CredentialsLost"
    assert "TokenRefreshFailedPermanently" in stack.logs("refresh_token")
    stack.aws.heal()
    stack.org.oauth.expire_sessions()
    queued = stack.request("POST", "/leads", LEAD)
    assert queued.status == 202
    assert "make connect" in queued.json()["message"]

    stack.connect()
    time.sleep(5.1)  # an environment asks again after five seconds
    stack.drain()
    assert len(stack.org.records("Lead")) == 1


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
    assert renew_token(stack).json() == stack.tick().json() == {"busy": True}
    table = stack.deployment.resource("RefreshLease")["Ref"]
    (item,) = stack.client("dynamodb").scan(TableName=table)["Items"]
    assert 0 < int(item["expires_at"]["N"]) - time.time() <= 60 + 10

    item["expires_at"] = {"N": str(int(time.time()) - 1)}
    stack.client("dynamodb").put_item(TableName=table, Item=item)
    # boto3 repeats the call after a lost response, and must not be refused as another owner.
    stack.aws.fail("dynamodb", "PutItem", times=1, effect="drop_after")
    assert renew_token(stack).json()["refreshed"] is True


def test_a_refresh_without_an_instance_url_keeps_the_last_one(stack: Stack) -> None:
    stack.org.settings.put(send_instance_url=False)
    stack.org.oauth.expire_sessions()

    assert stack.request("POST", "/leads", LEAD).status == 201
