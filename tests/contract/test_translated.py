"""The translated template against AWS's own rules: schemas, references, order and limits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

import botocore.session
import pytest
import yaml
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from openapi_spec_validator import OpenAPIV30SpecValidator

from tests.contract.deployments import ACCOUNT, PARAMETERS, REGION, STACK, inlined
from tests.contract.deployments import translated as plain
from tools.template import ROOT, Template

LONGEST = 48
"""Characters of a stack's name; docs/deploy.md says so too."""

SETS = pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=[*PARAMETERS])


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


# The resource schemas


@pytest.mark.parametrize("name", ["staging", "everything"])
def test_with_every_value_worked_out_it_is_what_the_schemas_allow(name: str) -> None:
    # `make check` lints the template as it is written.
    assert problems(inlined(PARAMETERS[name], stack_name="b" * LONGEST)) == []


def test_a_wrong_value_reference_or_circle_would_be_seen() -> None:
    made = inlined({}, stack_name=STACK)["Resources"]
    some = {name: made[name] for name in ("Outbox", "Rejected", "Credentials", "RefreshLease")}
    assert problems({"Resources": some}) == []
    some["Outbox"]["Properties"]["MessageRetentionPeriod"] = 1209601
    some["Rejected"]["Properties"]["MesageRetentionPeriod"] = 1
    some["Credentials"]["Properties"]["Value"] = "x"
    some["RefreshLease"]["Properties"].pop("KeySchema")
    some["Credentials"]["Properties"]["Description"] = {"Fn::Sub": "${Nobody}"}
    some["Credentials"]["DependsOn"] = "Nobody"
    some["Rejected"]["DependsOn"] = "Outbox"
    codes = {one.split()[0] for one in problems({"Resources": some})}
    assert codes >= {"E3002", "E3003", "E3034", "E1019", "E3004", "E3005"}


# Order


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Every (logical id, attribute) that a value refers to; the attribute is Ref for a Ref."""
    if isinstance(value, list):
        for one in value:
            yield from references(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key == "Ref":
                yield one, "Ref"
            elif key == "Fn::GetAtt":
                name, attribute = one.split(".", 1) if isinstance(one, str) else one
                yield name, attribute
            elif key == "Fn::Sub":
                yield from _in_text(one)
            else:
                yield from references(one)


def _in_text(sub: Any) -> Iterator[tuple[str, str]]:
    text, given = sub if isinstance(sub, list) else (sub, {})
    yield from references(given)
    for name in re.findall(r"\$\{([^!}][^}]*)\}", text):
        if name not in given:
            logical_id, _, attribute = name.partition(".")
            yield logical_id, attribute or "Ref"


def depends_on(resource: Mapping[str, Any]) -> set[str]:
    """What has to be there first: references anywhere, and DependsOn."""
    declared = resource.get("DependsOn", [])
    found = {name for name, _ in references(resource)}
    return found | set([declared] if isinstance(declared, str) else declared)


def order(resources: Mapping[str, Any]) -> dict[str, int]:
    """The place of each resource, after what it depends on."""
    needs = {name: sorted(depends_on(one) & resources.keys()) for name, one in resources.items()}
    return {name: at for at, name in enumerate(TopologicalSorter(needs).static_order())}


@SETS
def test_nothing_runs_before_it_may(parameters: Mapping[str, str]) -> None:
    resources = inlined(parameters, stack_name=STACK)["Resources"]
    place = order(resources)
    kinds = {name: one["Type"] for name, one in resources.items()}
    for name, kind in kinds.items():
        if kind == "AWS::Lambda::Function":
            assert max(place[f"{name}Role"], place[f"{name}Logs"]) < place[name]
    # The first record may come the moment that the stage is there.
    (deployment,) = (one for one, kind in kinds.items() if kind == "AWS::ApiGateway::Deployment")
    assert place["BirdApi"] < place[deployment] < place["BirdApiv1Stage"] < place["UsagePlan"]
    assert (
        max(place[one] for one in ("CreateLead", "CreateCase", "ReceiveMessage"))
        < (place["BirdApi"])
    )


# The API's body


def body(parameters: Mapping[str, str]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = inlined(parameters, stack_name=STACK)["Resources"]["BirdApi"][
        "Properties"
    ]["Body"]
    return found


OURS = re.compile(
    re.escape(f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/")
    + r"\$\{(CreateLead|CreateCase|ReceiveMessage|FindCustomer)\.Arn\}/invocations"
)


@SETS
def test_the_body_is_openapi_in_which_every_operation_leads_to_a_function(
    parameters: Mapping[str, str],
) -> None:
    api = body(parameters)
    # SAM declares neither responses nor parameters, and API Gateway does not need them.
    undeclared = r"\{\} (has less than 1 property|should be non-empty)|Path parameter 'key' .*"
    for one in OpenAPIV30SpecValidator(dict(api)).iter_errors():
        assert re.fullmatch(undeclared, one.message.splitlines()[0])
    scheme = api["components"]["securitySchemes"]["api_key"]
    assert (scheme["type"], scheme["name"], scheme["in"]) == ("apiKey", "x-api-key", "header")
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            integration = operation["x-amazon-apigateway-integration"]
            assert integration["type"] == "aws_proxy", (method, path)
            assert integration["httpMethod"] == "POST"
            assert OURS.fullmatch(integration["uri"]["Fn::Sub"])
            keyed = {"api_key": []} in operation.get("security", [])
            assert keyed is (path != "/webhooks/bird"), (method, path)


def test_api_gateway_knows_every_kind_of_response_that_is_set() -> None:
    model = botocore.session.get_session().get_service_model("apigateway")
    kinds = model.shape_for("GatewayResponseType").enum
    set_here = body({})["x-amazon-apigateway-gateway-responses"]
    assert set(set_here) <= set(kinds)
    assert {"INVALID_API_KEY", "THROTTLED", "DEFAULT_4XX", "DEFAULT_5XX"} <= set(set_here)


@SETS
def test_who_may_call_the_api_is_in_the_body(parameters: Mapping[str, str]) -> None:
    policy = body(parameters)["x-amazon-apigateway-policy"]
    assert policy["Version"] == "2012-10-17"
    everybody, *others = policy["Statement"]
    assert everybody["Effect"] == "Allow"
    closed = parameters.get("SignatureScheme", "none") == "none"
    limited = bool(parameters.get("AllowedAddresses"))
    assert [one["Effect"] for one in others] == ["Deny"] * (closed + limited)
    resources = [one["Resource"] for one in policy["Statement"]]
    assert resources[0] == "execute-api:/*"
    assert resources[1:] == ["execute-api:/*"] * limited + (
        ["execute-api:/*/*/webhooks/bird"] * closed
    )
    for one in policy["Statement"]:
        assert (one["Action"], one["Principal"]) == ("execute-api:Invoke", "*")


# Limits
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html


@SETS
def test_the_template_is_within_cloudformation_s_limits(parameters: Mapping[str, str]) -> None:
    template = plain(parameters)
    assert len(json.dumps(template).encode()) < 1_000_000
    assert len(template["Parameters"]) <= 200
    assert len(template["Outputs"]) <= 200
    assert len(template["Resources"]) <= 500
    assert len(template["Description"].encode()) <= 1024
    for name, parameter in template["Parameters"].items():
        assert len(name) <= 255
        assert len(parameter["Description"]) <= 4000
        assert len(str(parameter["Default"]).encode()) <= 4096
    for name, output in template["Outputs"].items():
        assert len(name) <= 255
        assert len(output.get("Description", "").encode()) <= 1024
        assert re.fullmatch("[A-Za-z0-9]+", name)
    assert all(re.fullmatch("[A-Za-z0-9]{1,255}", name) for name in template["Resources"])


def test_what_sam_deploys_is_too_large_to_be_sent_without_a_bucket() -> None:
    written_out = yaml.safe_dump(dict(Template.load().source))
    assert 51_200 < len(written_out.encode()) < 1_000_000
    config = (ROOT / "samconfig.toml").read_text(encoding="utf-8")
    assert config.count("resolve_s3 = true") == 3, "package and both stages bring a bucket"


@SETS
def test_the_longest_name_of_a_stack_is_the_documented_one(parameters: Mapping[str, str]) -> None:
    def beyond(length: int) -> list[str]:
        return too_long(inlined(parameters, stack_name="b" * length)["Resources"])

    assert beyond(LONGEST) == []
    assert beyond(LONGEST + 1) == ["ReceiveMessage.FunctionName has 65 characters of 64"]
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert f"{LONGEST} characters" in page


MOST = {
    # The schemas do not say all of these; the services' API references do.
    ("AWS::ApiGateway::ApiKey", "Description"): 1024,
    ("AWS::ApiGateway::RestApi", "Name"): 1024,
    ("AWS::ApiGateway::UsagePlan", "Description"): 1024,
    ("AWS::CloudWatch::Alarm", "AlarmDescription"): 1024,
    ("AWS::CloudWatch::Alarm", "AlarmName"): 255,
    ("AWS::CloudWatch::Dashboard", "DashboardName"): 255,
    ("AWS::IAM::Role", "Description"): 1000,
    ("AWS::Lambda::Function", "Description"): 256,
    ("AWS::Lambda::Function", "FunctionName"): 64,
    ("AWS::Lambda::LayerVersion", "LayerName"): 140,
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,
    ("AWS::SNS::Topic", "DisplayName"): 100,
    ("AWS::SecretsManager::Secret", "Description"): 2048,
}


def too_long(resources: Mapping[str, Any]) -> list[str]:
    """What is longer than its service allows."""
    found = []
    for name, resource in resources.items():
        for (kind, key), most in MOST.items():
            text = resource.get("Properties", {}).get(key, "")
            if resource["Type"] == kind and len(text) > most:
                found.append(f"{name}.{key} has {len(text)} characters of {most}")
    return found


def test_every_name_that_is_made_of_the_stack_s_is_held_against_a_limit() -> None:
    stack = "b" * LONGEST
    for name, resource in inlined(PARAMETERS["everything"], stack_name=stack)["Resources"].items():
        for key, value in resource.get("Properties", {}).items():
            if isinstance(value, str) and stack in value and key.endswith(("Name", "Description")):
                assert (resource["Type"], key) in MOST, f"{name}.{key}"


def test_two_stacks_names_cannot_meet_in_a_name_that_is_made_of_them() -> None:
    marker = "bird"
    ends: dict[str, list[str]] = {}
    for resource in inlined(PARAMETERS["everything"], stack_name=marker)["Resources"].values():
        for key, value in resource.get("Properties", {}).items():
            if key.endswith("Name") and isinstance(value, str) and value.startswith(marker):
                ends.setdefault(f"{resource['Type']} {key}", []).append(value[len(marker) :])
    assert {"-create-lead", "-deliver"} <= set(ends["AWS::Lambda::Function FunctionName"])
    for kind, suffixes in ends.items():
        for one in suffixes:
            others = [other for other in suffixes if other is not one]
            assert not [other for other in others if other.endswith(one)], f"{kind} {one}"


def test_a_function_s_environment_is_small_enough() -> None:
    resources = inlined(PARAMETERS["everything"], stack_name="b" * LONGEST)["Resources"]
    arn = len(f"arn:aws:secretsmanager:ap-southeast-2:{ACCOUNT}:secret:") + 255
    for name in ("CreateLead", "Deliver"):
        variables = resources[name]["Properties"]["Environment"]["Variables"]
        size = sum(len(key) + max(len(str(one)), 4) for key, one in variables.items())
        references_ = sum(isinstance(one, dict) for one in variables.values())
        assert size + references_ * arn < 4096, "Lambda takes 4 KB"
