"""A stack in an AWS account of moto's, as far as the program looks at it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tools.template import TEMPLATE, Attributes, Deployment, Template

REGION = "eu-west-1"
NAME = "bird-production"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty AWS account, and a folder without a samconfig.toml."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "BIRD_SALESFORCE_STACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.chdir(tmp_path)
    # Functions return what a test puts into the queue of `lambda_simple_backends`, if invoked.
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield


@cache
def resolved(template: Path = TEMPLATE) -> Deployment:
    """The template's outputs and environments, as a deployment would have them."""

    def make(logical_id: str, kind: str, properties: Any) -> Attributes:
        name = str(properties.get("FunctionName") or properties.get("StageName") or logical_id)
        if kind == "AWS::SQS::Queue":
            name = f"https://sqs.{REGION}.amazonaws.com/123456789012/{logical_id}"
        arn = f"arn:aws:x:{REGION}:123456789012:{name}"
        return {"Ref": name, "Arn": arn, "QueueName": name, "Version": "1"}

    return Deployment(
        Template.load(template), stack_name=NAME, parameters={}, make=make, region=REGION
    )


def deploy(*, environment: dict[str, str] | None = None, outputs: Any = None) -> None:
    """Put into the account what `sam deploy` would leave, as far as the program looks at it."""
    deployment = resolved()
    role = boto3.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")
    functions = boto3.client("lambda", region_name=REGION)
    for spec in deployment.functions.values():
        variables = dict(spec.environment) if environment is None else environment
        functions.create_function(
            FunctionName=spec.name,
            Runtime="python3.13",
            Role=role["Role"]["Arn"],
            Handler="app.handler",
            Code={"ZipFile": _packed()},
            Environment={"Variables": variables},
        )
    key = boto3.client("apigateway", region_name=REGION).create_api_key(name="key", enabled=True)
    values = dict(deployment.outputs if outputs is None else outputs)
    if "ApiKeyId" in values:
        values["ApiKeyId"] = key["id"]
    template = {
        "Resources": {"Nothing": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {name: {"Value": value} for name, value in values.items()},
    }
    boto3.client("cloudformation", region_name=REGION).create_stack(
        StackName=NAME, TemplateBody=json.dumps(template)
    )


def enable_schedule() -> None:
    """Make the rule that runs RefreshToken."""
    function = boto3.client("lambda", region_name=REGION).get_function_configuration(
        FunctionName=f"{NAME}-refresh-token"
    )
    events = boto3.client("events", region_name=REGION)
    events.put_rule(Name="schedule", ScheduleExpression="rate(45 minutes)", State="ENABLED")
    events.put_targets(Rule="schedule", Targets=[{"Id": "1", "Arn": function["FunctionArn"]}])


def _packed() -> bytes:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "")
    return code.getvalue()
