"""The worked-out template against AWS's own rules: resource schemas, names, and sizes.

`make check` lints the template as it is written, and counts its parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from tests.contract.deployments import ACCOUNT, EVERYTHING, PARAMETERS, REGION, inlined
from tools.template import ROOT

LONGEST = 48
"""Characters of a stack's name; docs/deploy.md says so too."""

STACK = "b" * LONGEST


def problems(template: Mapping[str, Any]) -> list[str]:
    """What cfn-lint finds, its informational checks included, in its own words."""
    config = ManualArgs(regions=[REGION], include_checks=["I"])
    found = lint(json.dumps(template), config=config)
    messages = sorted(f"{one.rule.id} {one.message}" for one in found)
    return [one for one in messages if not WRITTEN_BY_SAM.match(one)]


# SAM writes the partition of the region that it translates for into ARNs of its own, and cfn-lint
# leaves them out where it translates itself: aws/serverless-application-model#1590, cfn-lint#2483.
WRITTEN_BY_SAM = re.compile(
    r"I3042 ARN in Resource (BirdApi|\w+Permission\w*) contains hardcoded P"
)


def test_with_every_value_worked_out_it_is_what_the_schemas_allow() -> None:
    made = inlined(EVERYTHING, stack_name=STACK)
    assert problems(made) == []
    rejected = made["Resources"]["Rejected"]
    rejected["Properties"]["MessageRetentionPeriod"] = 1209601
    wrong = problems({"Resources": {"Rejected": rejected}})
    assert [one.split()[0] for one in wrong] == ["E3034"], "a wrong value is seen"


MOST = {
    # The schemas do not say all of these; the services' API references do. There is no RoleName:
    # a role is one thing in all regions, so another region could not have the same stack.
    ("AWS::ApiGateway::ApiKey", "Description"): 1024,
    ("AWS::ApiGateway::RestApi", "Name"): 1024,
    ("AWS::ApiGateway::UsagePlan", "Description"): 1024,
    ("AWS::CloudWatch::Alarm", "AlarmDescription"): 1024,
    ("AWS::CloudWatch::Alarm", "AlarmName"): 255,
    ("AWS::CloudWatch::Dashboard", "DashboardName"): 255,
    ("AWS::IAM::Role", "Description"): 1000,
    ("AWS::Lambda::Function", "FunctionName"): 64,
    ("AWS::Lambda::LayerVersion", "LayerName"): 140,
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,
    ("AWS::SNS::Topic", "DisplayName"): 100,
    ("AWS::SecretsManager::Secret", "Description"): 2048,
}

SHARED = {"MetricName", "StageName", "DomainName"}
"""Names in which the stack's is not needed: of a metric with dimensions, and below an API."""


def texts(parameters: Mapping[str, str], stack_name: str) -> Iterator[tuple[str, str, str]]:
    """Type, property and value of every fixed name, and of what has the stack's name in it."""
    for resource in inlined(parameters, stack_name=stack_name)["Resources"].values():
        for key, value in resource.get("Properties", {}).items():
            named = key.endswith("Name") and key not in SHARED
            named &= resource["Type"] != "AWS::Route53::RecordSet"
            described = key.endswith("Description") and stack_name in str(value)
            if isinstance(value, str) and (named or described):
                yield resource["Type"], key, value


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_the_longest_name_of_a_stack_is_the_documented_one(parameters: Mapping[str, str]) -> None:
    def beyond(stack_name: str) -> list[tuple[str, str]]:
        found = texts(parameters, stack_name)
        return [(kind, key) for kind, key, text in found if len(text) > MOST[kind, key]]

    assert beyond(STACK) == []
    assert beyond(f"{STACK}b") == [("AWS::Lambda::Function", "FunctionName")]
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert f"{LONGEST} characters" in page


def test_two_stacks_of_one_account_have_no_name_in_common() -> None:
    ends: dict[str, list[str]] = {}
    for kind, key, text in texts(EVERYTHING, "bird"):
        if key.endswith("Name") and key != "DisplayName":
            before, name, after = text.partition("bird")
            assert name and before in ("", "/"), text
            ends.setdefault(kind, []).append(after)
    for kind, suffixes in ends.items():
        for at, one in enumerate(suffixes):
            # bird-x and bird would meet in "bird-x-deliver" if there were "-x-deliver" too.
            others = suffixes[:at] + suffixes[at + 1 :]
            assert not [other for other in others if other.endswith(one)], f"{kind} {one}"
    assert len(ends["AWS::Lambda::Function"]) == 7


def test_a_function_s_environment_is_small_enough() -> None:
    resources = inlined(EVERYTHING, stack_name=STACK)["Resources"]
    arn = len(f"arn:aws:secretsmanager:ap-southeast-2:{ACCOUNT}:secret:") + 255
    variables = resources["CreateLead"]["Properties"]["Environment"]["Variables"]
    size = sum(len(key) + max(len(str(one)), 4) for key, one in variables.items())
    references = sum(isinstance(one, dict) for one in variables.values())
    assert size + references * arn < 4096, "Lambda takes 4 KB"
