"""How a deployed stack is found: CloudFormation's outputs and the functions' own environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.checks.doctor import Doctor
from cli.checks.finding import State
from cli.deployment.stack import Stack, find_stack, read_samconfig
from cli.problem import Problem, StackNotFound
from tests.cli.deployed import NAME, REGION, deploy, release
from tests.cli.program import run


def find(**more: Any) -> Stack:
    asked: dict[str, Any] = {"name": NAME, "region": REGION, "profile": None, "local": None}
    return find_stack(**{**asked, **more})


def test_outputs_and_settings_are_those_of_the_deployment(account: None) -> None:
    deploy()
    stack = find()
    assert stack.outputs["CreateLeadFunction"] == f"{NAME}-create-lead"
    assert stack.settings.token_parameter == f"/{NAME}/access-token"
    assert stack.settings.external_id_field == "Bird_Key__c"
    assert stack.url("Case").endswith(".amazonaws.com/v1/cases")


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


def test_the_projects_own_samconfig_names_the_stack() -> None:
    assert read_samconfig(Path(__file__).parents[2])["stack_name"] == "bird-salesforce"


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


def test_a_stack_from_before_there_was_an_alias(account: None) -> None:
    deploy()
    boto3.client("lambda", region_name=REGION).delete_alias(
        FunctionName=f"{NAME}-refresh-token", Name="live"
    )
    with pytest.raises(StackNotFound, match="no alias live"):
        find()


def test_no_region_and_no_profile(account: None) -> None:
    with pytest.raises(Problem, match="region") as found:
        find(region=None)
    assert "--region" in found.value.next_step
    with pytest.raises(Problem, match="no AWS profile nobody"):
        find(profile="nobody")


def test_no_credentials(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Problem, match="no AWS credentials"):
        find()


def test_the_schedule_is_looked_at(account: None) -> None:
    deploy()
    doctor = Doctor(stack=find())
    assert doctor._check_schedule().state is State.BAD
    alias = boto3.client("lambda", region_name=REGION).get_alias(
        FunctionName=f"{NAME}-refresh-token", Name="live"
    )
    events = boto3.client("events", region_name=REGION)
    events.put_rule(Name="schedule", ScheduleExpression="rate(45 minutes)", State="ENABLED")
    events.put_targets(Rule="schedule", Targets=[{"Id": "1", "Arn": alias["AliasArn"]}])
    assert doctor._check_schedule().state is State.GOOD
    events.disable_rule(Name="schedule")
    off = doctor._check_schedule()
    assert off.state is State.BAD
    assert "enable-rule --name schedule" in off.next_step


def test_what_was_deployed_last_runs(account: None) -> None:
    deploy()
    release("a" * 16)
    assert Doctor(stack=find())._check_versions().state is State.GOOD


def test_parameters_that_were_changed_without_publishing_are_red(account: None) -> None:
    deploy()
    release("a" * 16)
    client = boto3.client("lambda", region_name=REGION)
    name = f"{NAME}-create-case"
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**before, "DEFAULT_COMPANY": "Acme Ltd"}}
    )
    found = Doctor(stack=find())._check_versions()
    assert found.state is State.BAD
    assert "DEFAULT_COMPANY" in found.said
    assert "Acme" not in found.said, "a value is nobody's business"
    assert "make deploy" in found.next_step


def test_an_earlier_release_is_worth_knowing_and_not_red(account: None) -> None:
    deploy()
    for one in ("a" * 16, "b" * 16):
        release(one)
    assert run("rollback", "--yes", "--stack", NAME, "--region", REGION).status == 0
    found = Doctor(stack=find())._check_versions()
    assert found.state is State.NOTE
    assert "a" * 16 in found.said


def test_functions_of_several_releases_are_red(account: None) -> None:
    deploy()
    release("a" * 16)
    release("b" * 16, functions=["CreateLead"])
    found = Doctor(stack=find())._check_versions()
    assert found.state is State.BAD
    assert f"{'b' * 16}: CreateLead" in found.said
    assert "rollback" in found.next_step


def test_flow_prints_the_deployed_address_and_how_to_see_the_key(account: None) -> None:
    deploy()
    where = ("--stack-name", NAME, "--region", REGION)
    result = run("flow", "viber", *where)
    assert result.status == 0, result.err
    assert f"execute-api.{REGION}.amazonaws.com/v1/cases" in result.out
    assert "aws apigateway get-api-key" in result.err
    shown = run("flow", "viber", "--show-key", "--json", *where).json()
    assert len(shown["headers"]["x-api-key"]) >= 20


def test_messages_name_the_stack_in_the_commands_they_advise(account: None) -> None:
    deploy()
    assert find().options() == f"--stack-name {NAME} --region {REGION}"
