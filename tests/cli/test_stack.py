"""How a deployed stack is found: CloudFormation's outputs and the functions' own environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from bridge.http import Http
from cli.checks.connection import ConnectionChecks
from cli.checks.finding import Finding, State, carry_out
from cli.deployment.aws_problem import explain
from cli.deployment.stack import Stack, find_stack
from cli.deployment.target import choose, read_stages
from cli.problem import Problem, StackNotFound
from tests.cli.deployed import NAME, REGION, deploy, enable_schedule, resolved
from tests.cli.program import run
from tools.template import ROOT


def find(**more: Any) -> Stack:
    options: dict[str, Any] = {"name": NAME, "region": REGION, "profile": None, "local": None}
    return find_stack(**{**options, **more})


def test_outputs_and_settings_are_those_of_the_deployment(account: None) -> None:
    deploy()
    stack = find()
    assert stack.outputs["CreateLeadFunction"] == f"{NAME}-create-lead"
    assert stack.settings.token_parameter == f"/bird-salesforce/{NAME}/local/access-token"
    assert stack.settings.external_id_field == "Bird_Key__c"
    assert stack.url("Case").endswith(".amazonaws.com/v1/cases")


def test_an_address_of_one_s_own_is_the_one_that_flows_and_checks_use(account: None) -> None:
    outputs = resolved().outputs
    deploy(outputs={**outputs, "LeadsUrl": "https://bird.example.com/leads"})
    stack = find()
    assert stack.api_url == "https://bird.example.com"
    assert stack.url("Case") == "https://bird.example.com/cases"


def test_the_name_is_in_samconfig_or_the_environment(
    account: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy()
    (tmp_path / "samconfig.toml").write_text(
        f'[default.global.parameters]\nstack_name = "{NAME}"\n'
        f'[default.deploy.parameters]\nregion = "{REGION}"\n'
    )
    assert find(name=None, region=None).name == NAME
    (tmp_path / "samconfig.toml").unlink()
    monkeypatch.setenv("BIRD_SALESFORCE_STACK", NAME)
    assert find(name=None).name == NAME


def test_the_projects_own_samconfig_names_the_stack_of_each_stage() -> None:
    stages = read_stages(ROOT)
    assert choose(stages).name == "bird-salesforce"
    assert choose(stages, stage="staging").name == "bird-salesforce-staging"


def test_a_stage_is_a_table_of_samconfig(account: None, tmp_path: Path) -> None:
    deploy()
    (tmp_path / "samconfig.toml").write_text(
        f'[live.global.parameters]\nstack_name = "{NAME}"\nregion = "{REGION}"\n'
    )
    assert find(name=None, region=None, stage="live").name == NAME
    with pytest.raises(Problem, match="no stage tomorrow"):
        find(stage="tomorrow")


def test_a_stack_that_is_not_there(account: None) -> None:
    with pytest.raises(StackNotFound, match="There is no stack") as found:
        find()
    assert "--local" in found.value.next_step


def test_a_stack_of_somebody_else(account: None) -> None:
    deploy(outputs={"Other": "value"})
    with pytest.raises(StackNotFound, match="not this bundle's"):
        find()


def test_a_stack_of_another_version(account: None) -> None:
    deploy(environment={"LOGIN_URL": "https://login.salesforce.com"})
    with pytest.raises(StackNotFound, match="another version"):
        find()


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_may_be_in_the_environment(
    account: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    deploy()
    monkeypatch.setenv(name, REGION)
    assert find(region=None).region == REGION


def test_no_region_and_no_profile(account: None) -> None:
    with pytest.raises(Problem, match="region") as found:
        find(region=None)
    assert "--region" in found.value.next_step
    with pytest.raises(Problem, match="no AWS profile “nobody”"):
        find(profile="nobody")


def test_a_profile_in_the_environment_that_does_not_exist(
    account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "somebody")
    with pytest.raises(Problem, match="no AWS profile “somebody”") as found:
        find()
    assert "AWS_PROFILE" in found.value.next_step


def test_no_credentials(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Problem, match="no AWS credentials"):
        find()


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "X")


EXPIRED = TokenRetrievalError(provider="sso", error_msg="Token has expired")


@pytest.mark.parametrize(
    ("error", "what", "step"),
    [
        (refusal("ExpiredToken"), "has expired", "aws sso login"),
        (refusal("ExpiredTokenException"), "has expired", "aws sso login"),
        (UnauthorizedSSOTokenError(), "does not work", "aws sso login"),
        (EXPIRED, "does not work", "aws sso login"),
        (refusal("UnrecognizedClientException"), "does not accept", "aws sso login"),
        (refusal("AccessDeniedException"), "refuses", "a role"),
        (refusal("Throttling"), "Throttling", "in a minute"),
        (EndpointConnectionError(endpoint_url="https://x"), "cannot be reached", "region"),
    ],
)
def test_an_error_of_aws_leads_to_what_ends_it(
    error: ClientError | BotoCoreError, what: str, step: str
) -> None:
    """An expired sign-in is no lack of a right, and none of the network. The classes and codes are
    botocore's and AWS's (Common Error Types)."""
    happened, next_step = explain(error)
    assert what in happened and step in next_step


def test_the_schedule_is_looked_at(account: None) -> None:
    deploy()

    def schedule() -> Finding:
        checks = ConnectionChecks(stack=find(), http=Http(), just_deployed=False)
        return carry_out(("schedule", dict(checks.checks())["schedule"]))

    assert schedule().state is State.BAD
    enable_schedule()
    assert schedule().state is State.GOOD
    boto3.client("events", region_name=REGION).disable_rule(Name="schedule")
    off = schedule()
    assert off.state is State.BAD
    assert "enable-rule --name schedule" in off.next_step


def test_flow_prints_the_deployed_address_and_how_to_see_the_key(account: None) -> None:
    deploy()
    where = ("--stack-name", NAME, "--region", REGION)
    result = run("flow", "viber", *where)
    assert result.status == 0, result.err
    assert f"execute-api.{REGION}.amazonaws.com/v1/cases" in result.out
    assert "aws apigateway get-api-key" in result.err
    shown = run("flow", "viber", "--show-key", "--json", *where).json()
    assert len(shown["headers"]["x-api-key"]) >= 20


def test_where_the_stacks_own_key_is_retired_another_of_its_plan_is_used(account: None) -> None:
    gateway = boto3.client("apigateway", region_name=REGION)
    plan = gateway.create_usage_plan(name="plan")["id"]
    deploy(outputs={**resolved().outputs, "UsagePlanId": plan})
    (own,) = gateway.get_api_keys(includeValues=True)["items"]
    assert find().api_key() == own["value"]
    retire = [{"op": "replace", "path": "/enabled", "value": "false"}]
    gateway.update_api_key(apiKey=own["id"], patchOperations=retire)
    with pytest.raises(Problem, match="No API key of the stack is enabled"):
        find().api_key()
    new = gateway.create_api_key(name="second", enabled=True)
    gateway.create_usage_plan_key(usagePlanId=plan, keyId=new["id"], keyType="API_KEY")
    assert find().api_key() == new["value"]


def test_messages_name_the_stack_in_the_commands_they_advise(account: None) -> None:
    deploy()
    assert find().options() == f"--stack-name {NAME} --region {REGION}"
    assert find().log_of("deliver") == f"aws logs tail /{NAME}/deliver --region {REGION}"
