"""What the tests' CloudFormation was taught is what moto's own lacks, no more and no less."""

from __future__ import annotations

import pytest

from tests.contract.account import (
    LESSONS,
    NO_MODEL,
    PARAMETERS,
    MadeStack,
    account,
    models,
    translated,
)


def test_moto_s_own_cloudformation_knows_all_types_but_those_that_are_taught() -> None:
    used = {
        one["Type"]
        for parameters in PARAMETERS.values()
        for one in translated(parameters)["Resources"].values()
    }
    assert used - set(models()) == {
        kind for kind, lesson in LESSONS.items() if lesson.because == NO_MODEL
    }, "moto has learned a type, or the template has a new one"
    assert set(LESSONS) <= used, "a lesson is left over"


def test_moto_leaves_out_what_it_has_no_model_for() -> None:
    missing = {kind for kind, lesson in LESSONS.items() if lesson.because == NO_MODEL}
    template = {
        "Resources": {
            **{f"No{number}": {"Type": kind} for number, kind in enumerate(sorted(missing))},
            "Yes": {"Type": "AWS::SQS::Queue"},
        }
    }
    with account(taught=False), pytest.warns(UserWarning, match="not supported by moto"):
        assert set(MadeStack("untaught", template).resources()) == {"Yes"}


CODE = {"S3Bucket": "local", "S3Key": "local"}
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {},
        "Policies": [{"PolicyName": "do", "PolicyDocument": {"Statement": []}}],
    },
}
LAYER = {
    "Type": "AWS::Lambda::LayerVersion",
    "Properties": {
        "LayerName": "layer",
        "Content": CODE,
        "CompatibleArchitectures": ["arm64"],
    },
}
FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "FunctionName": "function",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Runtime": "python3.13",
        "Handler": "app.handler",
        "Architectures": ["arm64"],
        "Layers": [{"Ref": "Layer"}],
        "Code": CODE,
    },
}
API = {
    "Type": "AWS::ApiGateway::RestApi",
    "Properties": {
        "Name": "api",
        "Body": {"openapi": "3.0.1", "info": {"title": "api", "version": "1"}, "paths": {"/x": {}}},
    },
}
TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "TableName": "table",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "name", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "name", "KeyType": "HASH"}],
        "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
    },
}


def test_moto_s_own_models_still_lack_what_the_lessons_add() -> None:
    resources = {
        "Role": ROLE,
        "Layer": LAYER,
        "Function": FUNCTION,
        "Api": API,
        "Table": TABLE,
        "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "group"}},
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {"ScheduleExpression": "rate(1 hour)", "State": "ENABLED"},
        },
    }
    lacking = set()
    with account(taught=False):
        stack = MadeStack("untaught", {"Resources": resources})
        api, table, functions = (stack.client(one) for one in ("apigateway", "dynamodb", "lambda"))
        if len(api.get_resources(restApiId=stack["Api"])["items"]) == 1:
            lacking.add("AWS::ApiGateway::RestApi makes no resources of Body")
        expiry = table.describe_time_to_live(TableName="table")["TimeToLiveDescription"]
        if expiry["TimeToLiveStatus"] == "DISABLED":
            lacking.add("AWS::DynamoDB::Table drops TimeToLiveSpecification")
        made = functions.get_function_configuration(FunctionName="function")
        if not made.get("Layers") and made["Architectures"] == ["x86_64"]:
            lacking.add("AWS::Lambda::Function drops Layers and Architectures")
        (layer,) = functions.list_layers()["Layers"]
        newest = layer["LatestMatchingVersion"]
        if layer["LayerName"] != "layer" and "CompatibleArchitectures" not in newest:
            lacking.add("AWS::Lambda::LayerVersion drops LayerName and CompatibleArchitectures")
        iam = stack.client("iam")
        policy = iam.get_role_policy(RoleName=stack["Role"], PolicyName="do")["PolicyDocument"]
        if isinstance(policy, str):
            lacking.add("AWS::IAM::Role keeps policies that are no JSON")
        name = stack["Rule"]
        resources["Rule"] = {
            "Type": "AWS::Events::Rule",
            "Properties": {"ScheduleExpression": "rate(2 hours)", "State": "ENABLED"},
        }
        stack.update({"Resources": resources})
        if stack["Rule"] != name:
            lacking.add("AWS::Events::Rule has another name after an update")
    update = models()["AWS::Logs::LogGroup"].update_from_cloudformation_json
    if hasattr(update, "__isabstractmethod__"):
        lacking.add("AWS::Logs::LogGroup has no update")
    if not hasattr(models()["AWS::ApiGateway::Deployment"], "physical_resource_id"):
        lacking.add("AWS::ApiGateway::Deployment has no Ref")
    if not hasattr(models()["AWS::Lambda::Version"], "get_cfn_attribute"):
        lacking.add("AWS::Lambda::Version has no attribute Version")
    assert lacking == {
        f"{kind} {lesson.because}" for kind, lesson in LESSONS.items() if lesson.because != NO_MODEL
    }
