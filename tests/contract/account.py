"""An AWS account of moto's, in which CloudFormation makes the whole of the translated template.

moto's CloudFormation has no model for some of the template's types, and its models of others drop
something that matters here. What such a resource is made of is therefore given to the API of its
service, which moto does know: `LESSONS` has one class for each such type, and says why it is there.
`Ref`, `GetAtt`, conditions, mappings and the order are moto's own work, and botocore holds every
property against the service's model on the way.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ClassVar
from unittest.mock import patch

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.cloudformation import parsing

from tools.template import ROOT, Attributes, Deployment, Template

ACCOUNT = "123456789012"
REGION = "eu-west-1"
ELSEWHERE = "ap-southeast-2"
REGIONS = (REGION, ELSEWHERE)

Client = Callable[[str], Any]
"""A boto3 client of a service, in the stack's region."""

NO_MODEL = "no model"
"""Why a type is taught: moto's CloudFormation leaves the resource out."""


class Lesson:
    """How the resources of one type are made, with what moto's CloudFormation asks of a model."""

    kind: ClassVar[str]
    because: ClassVar[str] = NO_MODEL
    """`NO_MODEL`, or else what moto's own model does not do."""
    name_property: ClassVar[str] = ""

    def __init__(self, attributes: Attributes, given: dict[str, Any]) -> None:
        self.attributes = attributes
        self.given = given

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        """Make the resource, or change it if `before` says what it was; what it answers to."""
        raise NotImplementedError

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        """Delete the resource. By default it goes with another one."""

    # What moto asks

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.kind

    @classmethod
    def cloudformation_name_type(cls) -> str:
        return cls.name_property

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return True

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> Lesson:
        given = _without_nothing(cloudformation_json.get("Properties", {}))
        return cls(cls.put(_client(region_name), resource_name, given, {}), given)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Lesson,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Lesson:
        before = original_resource.attributes
        given = _without_nothing(cloudformation_json.get("Properties", {}))
        return cls(cls.put(_client(region_name), new_resource_name, given, before), given)

    def delete(self, account_id: str, region_name: str) -> None:
        # moto deletes in any order: what a resource was part of may be gone already.
        try:
            self.remove(_client(region_name), self.attributes["Ref"], self.given)
        except ClientError as error:
            if "NotFound" not in error.response["Error"]["Code"]:
                raise

    @property
    def physical_resource_id(self) -> str:
        return self.attributes["Ref"]

    def get_cfn_attribute(self, name: str) -> str:
        return self.attributes[name]

    def is_created(self) -> bool:
        return True


def _without_nothing(given: Any) -> Any:
    """The same without the None that moto leaves of AWS::NoValue in a list."""
    if isinstance(given, list):
        return [_without_nothing(one) for one in given if one is not None]
    if isinstance(given, dict):
        return {key: _without_nothing(one) for key, one in given.items()}
    return given


class _Service:
    """A client to which numbers may be given as texts and the reverse, as CloudFormation allows."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, method: str) -> Callable[..., Any]:
        meta = self._client.meta
        operation = meta.service_model.operation_model(meta.method_to_api_mapping[method])

        def call(**given: Any) -> Any:
            return getattr(self._client, method)(**_coerced(given, operation.input_shape))

        return call


def _coerced(given: Any, shape: Any) -> Any:
    if isinstance(given, dict) and shape.type_name == "structure":
        members = shape.members
        return {
            key: _coerced(one, members[key]) if key in members else one
            for key, one in given.items()
        }
    if isinstance(given, dict) and shape.type_name == "map":
        return {key: _coerced(one, shape.value) for key, one in given.items()}
    if isinstance(given, list) and shape.type_name == "list":
        return [_coerced(one, shape.member) for one in given]
    if isinstance(given, int | float) and shape.type_name == "string":
        return json.dumps(given)
    if isinstance(given, str) and shape.type_name in ("integer", "long"):
        return int(given)
    if isinstance(given, str) and shape.type_name in ("float", "double"):
        return float(given)
    return given


def _client(region: str) -> Client:
    return lambda service: _Service(boto3.client(service, region_name=region))


def _camel(given: Any) -> Any:
    """The same with names as API Gateway and CodeDeploy write them: rateLimit for RateLimit."""
    if isinstance(given, list):
        return [_camel(one) for one in given]
    if isinstance(given, dict):
        return {key[0].lower() + key[1:]: _camel(one) for key, one in given.items()}
    return given


# API Gateway


class RestApi(Lesson):
    kind = "AWS::ApiGateway::RestApi"
    because = "makes no resources of Body"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        api = client("apigateway")
        if before:
            made = {"id": before["Ref"]}
        else:
            made = api.create_rest_api(
                name=given["Name"],
                description=given["Description"],
                endpointConfiguration=_camel(given["EndpointConfiguration"]),
            )
        body = json.dumps(given["Body"]).encode()
        api.put_rest_api(restApiId=made["id"], mode="overwrite", body=body)
        (root,) = (
            one for one in api.get_resources(restApiId=made["id"])["items"] if one["path"] == "/"
        )
        return {"Ref": made["id"], "RootResourceId": root["id"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("apigateway").delete_rest_api(restApiId=ref)


class ApiDeployment(Lesson):
    kind = "AWS::ApiGateway::Deployment"
    because = "has no Ref"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        if not before:
            made = client("apigateway").create_deployment(
                restApiId=given["RestApiId"], description=given["Description"]
            )
        return before or {"Ref": made["id"], "DeploymentId": made["id"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("apigateway").delete_deployment(restApiId=given["RestApiId"], deploymentId=ref)


class Stage(Lesson):
    kind = "AWS::ApiGateway::Stage"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        api = client("apigateway")
        which = {"restApiId": given["RestApiId"], "stageName": given["StageName"]}
        patches = []
        for one in given.get("MethodSettings", []):
            path = f"/{one['ResourcePath'].removeprefix('/')}/{one['HttpMethod']}/throttling"
            for setting in ("RateLimit", "BurstLimit"):
                value = str(one[f"Throttling{setting}"])
                patches.append((f"{path}/{_camel({setting: 0}).popitem()[0]}", value))
        if before:
            patches.append(("/deploymentId", given["DeploymentId"]))
        else:
            api.create_stage(**which, deploymentId=given["DeploymentId"])
        if log := given.get("AccessLogSetting"):
            patches.append(("/accessLogSettings/destinationArn", log["DestinationArn"]))
            patches.append(("/accessLogSettings/format", log["Format"]))
        api.update_stage(
            **which,
            patchOperations=[{"op": "replace", "path": p, "value": v} for p, v in patches],
        )
        return {"Ref": given["StageName"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("apigateway").delete_stage(restApiId=given["RestApiId"], stageName=ref)


class ApiKey(Lesson):
    kind = "AWS::ApiGateway::ApiKey"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        if before:
            return before
        made = client("apigateway").create_api_key(name=name, **_camel(given))
        return {"Ref": made["id"], "APIKeyId": made["id"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("apigateway").delete_api_key(apiKey=ref)


class UsagePlan(Lesson):
    kind = "AWS::ApiGateway::UsagePlan"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        api = client("apigateway")
        if not before:
            stages = [{"apiId": one["ApiId"], "stage": one["Stage"]} for one in given["ApiStages"]]
            rest = {key: one for key, one in given.items() if key != "ApiStages"}
            made = api.create_usage_plan(name=name, apiStages=stages, **_camel(rest))
            return {"Ref": made["id"], "Id": made["id"]}
        patches = [
            {"op": "replace", "path": f"/throttle/{key}", "value": str(value)}
            for key, value in _camel(given["Throttle"]).items()
        ]
        api.update_usage_plan(usagePlanId=before["Ref"], patchOperations=patches)
        return before

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("apigateway").delete_usage_plan(usagePlanId=ref)


class UsagePlanKey(Lesson):
    kind = "AWS::ApiGateway::UsagePlanKey"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        if not before:
            client("apigateway").create_usage_plan_key(**_camel(given))
        return {"Ref": f"{given['KeyId']}:{given['UsagePlanId']}"}


class WebAclAssociation(Lesson):
    kind = "AWS::WAFv2::WebACLAssociation"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        client("wafv2").associate_web_acl(**given)
        return {"Ref": f"{given['WebACLArn']}|{given['ResourceArn']}"}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("wafv2").disassociate_web_acl(ResourceArn=ref.split("|")[1])


# Lambda


class Function(Lesson):
    kind = "AWS::Lambda::Function"
    because = "drops Layers and Architectures"
    name_property = "FunctionName"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        functions = client("lambda")
        given = dict(given)
        reserved = given.pop("ReservedConcurrentExecutions", None)
        tags = {one["Key"]: one["Value"] for one in given.pop("Tags", [])}
        if before:
            for only_when_made in ("Code", "Architectures"):
                given.pop(only_when_made)
            arn = functions.update_function_configuration(**given)["FunctionArn"]
        else:
            arn = functions.create_function(**given, Tags=tags)["FunctionArn"]
        if reserved is not None:
            functions.put_function_concurrency(
                FunctionName=name, ReservedConcurrentExecutions=int(reserved)
            )
        elif before:
            functions.delete_function_concurrency(FunctionName=name)
        return {"Ref": name, "Arn": arn}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("lambda").delete_function(FunctionName=ref)


class Version(Lesson):
    kind = "AWS::Lambda::Version"
    because = "has no attribute Version"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        if before:
            return before
        made = client("lambda").publish_version(**given)
        return {"Ref": made["FunctionArn"], "Version": made["Version"]}


class Alias(Lesson):
    kind = "AWS::Lambda::Alias"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        functions = client("lambda")
        made = functions.update_alias(**given) if before else functions.create_alias(**given)
        return {"Ref": made["AliasArn"]}


class EventInvokeConfig(Lesson):
    kind = "AWS::Lambda::EventInvokeConfig"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        client("lambda").put_function_event_invoke_config(**given)
        return {"Ref": name}


class LayerVersion(Lesson):
    kind = "AWS::Lambda::LayerVersion"
    because = "drops LayerName and CompatibleArchitectures"
    name_property = "LayerName"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        made = client("lambda").publish_layer_version(**given)
        return {"Ref": made["LayerVersionArn"], "LayerVersionArn": made["LayerVersionArn"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        name, version = ref.split(":")[-2:]
        client("lambda").delete_layer_version(LayerName=name, VersionNumber=int(version))


# What is kept


class Secret(Lesson):
    kind = "AWS::SecretsManager::Secret"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        store = client("secretsmanager")
        if before:
            store.update_secret(SecretId=before["Ref"], **given)
            return before
        return {"Ref": store.create_secret(Name=name, **given)["ARN"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("secretsmanager").delete_secret(SecretId=ref)


class Table(Lesson):
    kind = "AWS::DynamoDB::Table"
    because = "drops TimeToLiveSpecification"
    name_property = "TableName"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        if before:
            return before
        given = dict(given)
        expiry = given.pop("TimeToLiveSpecification")
        database = client("dynamodb")
        made = database.create_table(TableName=name, **given)["TableDescription"]
        database.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry)
        return {"Ref": name, "Arn": made["TableArn"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("dynamodb").delete_table(TableName=ref)


class Role(Lesson):
    kind = "AWS::IAM::Role"
    because = "keeps policies that are no JSON"
    name_property = "RoleName"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        iam = client("iam")
        given = dict(given)
        policies = given.pop("Policies")
        trust = json.dumps(given.pop("AssumeRolePolicyDocument"))
        name = before.get("Ref", name)[:64]
        if not before:
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, **given)
        for one in policies:
            iam.put_role_policy(
                RoleName=name,
                PolicyName=one["PolicyName"],
                PolicyDocument=json.dumps(one["PolicyDocument"]),
            )
        return {"Ref": name, "Arn": iam.get_role(RoleName=name)["Role"]["Arn"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        iam = client("iam")
        for one in given["Policies"]:
            iam.delete_role_policy(RoleName=ref, PolicyName=one["PolicyName"])
        iam.delete_role(RoleName=ref)


class LogGroup(Lesson):
    kind = "AWS::Logs::LogGroup"
    because = "has no update"
    name_property = "LogGroupName"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        logs = client("logs")
        if not before:
            key = {"kmsKeyId": given["KmsKeyId"]} if "KmsKeyId" in given else {}
            logs.create_log_group(logGroupName=name, **key)
        logs.put_retention_policy(logGroupName=name, retentionInDays=given["RetentionInDays"])
        (made,) = (
            one
            for one in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
            if one["logGroupName"] == name
        )
        return {"Ref": name, "Arn": made["arn"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("logs").delete_log_group(logGroupName=ref)


class MetricFilter(Lesson):
    kind = "AWS::Logs::MetricFilter"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        name = before.get("Ref", name)
        counted = []
        for one in given["MetricTransformations"]:
            by = {pair["Key"]: pair["Value"] for pair in one["Dimensions"]}
            counted.append(_camel({**one, "Dimensions": None}) | {"dimensions": by})
        client("logs").put_metric_filter(
            filterName=name,
            logGroupName=given["LogGroupName"],
            filterPattern=given["FilterPattern"],
            metricTransformations=counted,
        )
        return {"Ref": name}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("logs").delete_metric_filter(filterName=ref, logGroupName=given["LogGroupName"])


# The schedule, alarms and deployments


class Rule(Lesson):
    kind = "AWS::Events::Rule"
    because = "has another name after an update"
    name_property = "Name"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        events = client("events")
        given = dict(given)
        targets = given.pop("Targets")
        name = before.get("Ref", name)
        arn = events.put_rule(**{**given, "Name": name})["RuleArn"]
        events.put_targets(Rule=name, Targets=targets)
        return {"Ref": name, "Arn": arn}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        events = client("events")
        events.remove_targets(Rule=ref, Ids=[one["Id"] for one in given["Targets"]])
        events.delete_rule(Name=ref)


class Alarm(Lesson):
    kind = "AWS::CloudWatch::Alarm"
    name_property = "AlarmName"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        watch = client("cloudwatch")
        watch.put_metric_alarm(**{**given, "AlarmName": name})
        (made,) = watch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return {"Ref": name, "Arn": made["AlarmArn"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("cloudwatch").delete_alarms(AlarmNames=[ref])


class Subscription(Lesson):
    kind = "AWS::SNS::Subscription"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        return {"Ref": client("sns").subscribe(**given)["SubscriptionArn"]}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("sns").unsubscribe(SubscriptionArn=ref)


class Application(Lesson):
    kind = "AWS::CodeDeploy::Application"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        if not before:
            client("codedeploy").create_application(applicationName=name, **_camel(given))
        return before or {"Ref": name}

    @classmethod
    def remove(cls, client: Client, ref: str, given: dict[str, Any]) -> None:
        client("codedeploy").delete_application(applicationName=ref)


class DeploymentGroup(Lesson):
    kind = "AWS::CodeDeploy::DeploymentGroup"

    @classmethod
    def put(
        cls, client: Client, name: str, given: dict[str, Any], before: Attributes
    ) -> Attributes:
        if not before:
            client("codedeploy").create_deployment_group(deploymentGroupName=name, **_camel(given))
        return before or {"Ref": name}


LESSONS: Mapping[str, type[Lesson]] = {one.kind: one for one in Lesson.__subclasses__()}

models = parsing.get_model_map
"""What moto's own CloudFormation has a model for, by type."""


@contextmanager
def account(*, taught: bool = True) -> Iterator[None]:
    """An empty account; if not `taught`, with moto's own CloudFormation as it is."""
    known = {**models(), **LESSONS} if taught else models()
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (
        patch.dict(os.environ, own, clear=True),
        mock_aws(config={"lambda": {"use_docker": False}}),
        patch.object(parsing, "get_model_map", lambda: known),
        patch.object(parsing, "get_model_list", lambda: list(known.values())),
    ):
        # Where the translated template says that the code is.
        for region in REGIONS:
            store = boto3.client("s3", region_name=region)
            where = {"LocationConstraint": region}
            with suppress(store.exceptions.BucketAlreadyOwnedByYou):
                store.create_bucket(Bucket="local", CreateBucketConfiguration=where)
                store.put_object(Bucket="local", Key="local", Body=b"code")
        yield


# The template


class _Named(dict[str, str]):
    """Answers for a resource with references to it, in the words of Fn::Sub."""

    def __init__(self, logical_id: str) -> None:
        self._logical_id = logical_id

    def __missing__(self, attribute: str) -> str:
        if attribute == "Ref":
            return "${" + self._logical_id + "}"
        return "${" + f"{self._logical_id}.{attribute}" + "}"


def inlined(
    parameters: Mapping[str, str],
    *,
    stack_name: str,
    region: str = REGION,
    template: Template | None = None,
) -> dict[str, Any]:
    """The translated template with everything worked out but what resources are called.

    No parameters, conditions or mappings are left, so two of them differ in exactly what an update
    would change. All references are `Fn::Sub`, or in DependsOn.
    """
    made = Deployment(
        template or Template.load(),
        stack_name=stack_name,
        parameters=parameters,
        make=lambda logical_id, kind, properties: _Named(logical_id),
        region=region,
        account=ACCOUNT,
    )
    resources = {}
    for logical_id, declared in made.resources.items():
        kept = {key: declared[key] for key in declared if key not in ("Condition", "Metadata")}
        resources[logical_id] = _as_sub(made.resolve(kept))
    outputs = {name: {"Value": _as_sub(value)} for name, value in made.outputs.items()}
    return {"Resources": resources, "Outputs": outputs}


def _as_sub(value: Any) -> Any:
    if isinstance(value, str) and "${" in value:
        return {"Fn::Sub": value}
    if isinstance(value, list):
        return [_as_sub(one) for one in value]
    if isinstance(value, dict):
        return {key: _as_sub(one) for key, one in value.items()}
    return value


def translated(parameters: Mapping[str, str], *, region: str = REGION) -> dict[str, Any]:
    """The template as AWS's transform would hand it to CloudFormation."""
    template = Template.load()
    return template.translate(template.parameters(parameters), region=region)


class MadeStack:
    """A stack that CloudFormation has made, and what there is of it."""

    def __init__(
        self,
        name: str,
        template: Mapping[str, Any],
        parameters: Mapping[str, str] | None = None,
        *,
        region: str = REGION,
    ) -> None:
        self.name = name
        self.region = region
        self.client("cloudformation").create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in (parameters or {}).items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=self.region)

    def update(self, template: Mapping[str, Any]) -> None:
        self.client("cloudformation").update_stack(
            StackName=self.name,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_IAM"],
        )

    def delete(self) -> None:
        self.client("cloudformation").delete_stack(StackName=self.name)

    def resources(self) -> dict[str, tuple[str, str]]:
        """Type and physical id of all there is, by logical id."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        return {
            one["LogicalResourceId"]: (one["ResourceType"], one.get("PhysicalResourceId", ""))
            for page in pages.paginate(StackName=self.name)
            for one in page["StackResourceSummaries"]
            # moto lists what a condition leaves out, without any name.
            if one["LogicalResourceId"]
        }

    def __getitem__(self, logical_id: str) -> str:
        """The physical id of a resource."""
        return self.resources()[logical_id][1]

    def outputs(self) -> dict[str, str]:
        (described,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}


# What it is deployed with


def stages() -> dict[str, dict[str, str]]:
    """What each stage in samconfig.toml sets, by stage; what is empty there is a default."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    config.pop("version")
    found = {}
    for stage, commands in config.items():
        said = commands["deploy"]["parameters"].get("parameter_overrides", [])
        pairs = (one.partition("=") for one in said)
        found[stage] = {name: value for name, _, value in pairs if value != '""'}
    return found


EVERYTHING = {
    "AccessLogs": "on",
    "AlarmEmail": "ops@example.com",
    "AllowedAddresses": "203.0.113.0/24,2001:db8::/32",
    "Architecture": "arm64",
    "KmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0000-4000-8000-000000000000",
    "LogRetentionDays": "90",
    "OutboxAlarmMinutes": "15",
    "RefreshMinutes": "30",
    "SignatureScheme": "bird",
    "ThrottleBurst": "20",
    "ThrottleRate": "10",
    "VpcSecurityGroups": "sg-0a1b2c3d4e5f60718",
    "VpcSubnets": "subnet-0a1b2c3d4e5f60718,subnet-0b1b2c3d4e5f60718",
}
"""All that is off unless asked for, and numbers other than the defaults."""

PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "defaults": {},
    "everything": EVERYTHING,
    **{name: parameters for name, parameters in stages().items() if parameters},
}
"""The sets of parameters that are tried. A stage that sets none has the defaults."""


def foreign(parameters: Mapping[str, str]) -> dict[str, str]:
    """Make in the account what the parameters name and the deployer brings; with its real ids."""

    def client(service: str) -> Any:
        return boto3.client(service, region_name=REGION)

    real = dict(parameters)
    if "KmsKeyArn" in real:
        real["KmsKeyArn"] = client("kms").create_key()["KeyMetadata"]["Arn"]
    if "WebAclArn" in real:
        seen = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False}
        real["WebAclArn"] = client("wafv2").create_web_acl(
            Name="mine",
            Scope="REGIONAL",
            DefaultAction={"Allow": {}},
            VisibilityConfig={**seen, "MetricName": "mine"},
        )["Summary"]["ARN"]
    if "VpcSubnets" in real:
        subnets = client("ec2").describe_subnets()["Subnets"]
        real["VpcSubnets"] = ",".join(one["SubnetId"] for one in subnets[:2])
        (group, *_) = client("ec2").describe_security_groups()["SecurityGroups"]
        real["VpcSecurityGroups"] = group["GroupId"]
    return real
