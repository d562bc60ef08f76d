"""The translated template is deployed into moto's AWS, and what there is then is what was meant.

Nothing here reads the template: the services are asked, as an operator would ask them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.account import (
    ACCOUNT,
    PARAMETERS,
    REGION,
    MadeStack,
    account,
    foreign,
    translated,
)

STACK = "bird-production"
FUNCTIONS = {
    "CreateLead": "create-lead",
    "CreateCase": "create-case",
    "ReceiveMessage": "receive-message",
    "RefreshToken": "refresh-token",
    "Deliver": "deliver",
}


@dataclass(frozen=True)
class Deployed:
    """A stack, and the parameters it was deployed with."""

    stack: MadeStack
    given: Mapping[str, str]
    template: Mapping[str, Any]
    ids: Mapping[str, str]

    def client(self, service: str) -> Any:
        return self.stack.client(service)

    def value(self, parameter: str) -> str:
        """A parameter's value: what was given, or else its default."""
        return self.given.get(parameter) or str(self.template["Parameters"][parameter]["Default"])

    def is_on(self, parameter: str) -> bool:
        return self.value(parameter) not in ("", "off", "none")


@pytest.fixture(scope="module", params=PARAMETERS)
def deployed(request: pytest.FixtureRequest) -> Iterator[Deployed]:
    with account():
        given = foreign(PARAMETERS[request.param])
        template = translated(given)
        stack = MadeStack(STACK, template, given)
        ids = {name: physical for name, (_, physical) in stack.resources().items()}
        yield Deployed(stack=stack, given=given, template=template, ids=ids)


# Everything is there


def test_every_resource_is_made(deployed: Deployed) -> None:
    conditions = {
        "LogAccess": "AccessLogs",
        "Firewall": "WebAclArn",
        "SendAlarms": "AlarmEmail",
        "Gradual": "GradualDeployment",
    }
    expected = {
        name
        for name, one in deployed.template["Resources"].items()
        if "Condition" not in one or deployed.is_on(conditions[one["Condition"]])
    }
    assert set(deployed.ids) == expected
    unnamed = {name for name, physical in deployed.ids.items() if not physical}
    assert {deployed.template["Resources"][name]["Type"] for name in unnamed} == {
        "AWS::Lambda::Permission"
    }, "moto gives these no physical id"


def test_the_outputs_name_what_there_is(deployed: Deployed) -> None:
    outputs, ids = deployed.stack.outputs(), deployed.ids
    assert set(outputs) == set(deployed.template["Outputs"])
    base = f"https://{ids['BirdApi']}.execute-api.{REGION}.amazonaws.com/v1"
    assert outputs["LeadsUrl"] == f"{base}/leads"
    assert outputs["WebhookUrl"] == f"{base}/webhooks/bird"
    for output, logical_id in {
        "ApiKeyId": "ApiKey",
        "UsagePlanId": "UsagePlan",
        "CredentialsSecret": "Credentials",
        "SigningKeysSecret": "SigningKeys",
        "OutboxUrl": "Outbox",
        "RejectedUrl": "Rejected",
        "AlarmTopic": "AlarmTopic",
        "DeliverFunction": "Deliver",
    }.items():
        assert outputs[output] == ids[logical_id]
    assert outputs["DashboardUrl"].endswith(f"name={ids['Dashboard']}")
    assert "${" not in json.dumps(outputs)


# What is kept


def test_the_queues_keep_for_14_days_encrypted(deployed: Deployed) -> None:
    sqs = deployed.client("sqs")
    outbox, rejected = (
        sqs.get_queue_attributes(QueueUrl=deployed.ids[name], AttributeNames=["All"])["Attributes"]
        for name in ("Outbox", "Rejected")
    )
    for queue in (outbox, rejected):
        assert int(queue["MessageRetentionPeriod"]) == 14 * 24 * 3600
        assert int(queue["DelaySeconds"]) == 0
        assert "FifoQueue" not in queue
        if deployed.is_on("KmsKeyArn"):
            assert queue["KmsMasterKeyId"] == deployed.value("KmsKeyArn")
        else:
            assert queue["SqsManagedSseEnabled"] == "true"
            assert "KmsMasterKeyId" not in queue
    assert json.loads(outbox["RedrivePolicy"]) == {
        "deadLetterTargetArn": rejected["QueueArn"],
        "maxReceiveCount": 1000,
    }
    assert "RedrivePolicy" not in rejected
    deliver = deployed.client("lambda").get_function_configuration(
        FunctionName=deployed.ids["Deliver"]
    )
    assert int(outbox["VisibilityTimeout"]) == 6 * deliver["Timeout"] + 20


def test_the_lease_is_one_item_by_name_that_expires(deployed: Deployed) -> None:
    database, name = deployed.client("dynamodb"), deployed.ids["RefreshLease"]
    table = database.describe_table(TableName=name)["Table"]
    assert table["KeySchema"] == [{"AttributeName": "name", "KeyType": "HASH"}]
    assert table["AttributeDefinitions"] == [{"AttributeName": "name", "AttributeType": "S"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    expiry = database.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


def test_the_secrets_are_there_and_empty(deployed: Deployed) -> None:
    store = deployed.client("secretsmanager")
    listed = store.list_secrets()["SecretList"]
    assert {one["ARN"] for one in listed} == {
        deployed.ids["Credentials"],
        deployed.ids["SigningKeys"],
    }
    for one in listed:
        assert one.get("KmsKeyId", "") == deployed.value("KmsKeyArn")
        with pytest.raises(store.exceptions.ResourceNotFoundException):
            store.get_secret_value(SecretId=one["ARN"])


def test_no_parameter_is_made_since_functions_write_them(deployed: Deployed) -> None:
    assert deployed.client("ssm").describe_parameters()["Parameters"] == []


def test_logs_are_kept_as_long_as_was_said_and_encrypted(deployed: Deployed) -> None:
    groups = {
        one["logGroupName"]: one
        for one in deployed.client("logs").describe_log_groups()["logGroups"]
    }
    names = {*FUNCTIONS.values(), *(["access"] if deployed.is_on("AccessLogs") else [])}
    assert set(groups) == {f"/{STACK}/{name}" for name in names}
    for group in groups.values():
        assert group["retentionInDays"] == int(deployed.value("LogRetentionDays"))
        assert group.get("kmsKeyId", "") == deployed.value("KmsKeyArn")


# What runs


def test_the_functions_are_as_the_parameters_say(deployed: Deployed) -> None:
    functions, ids = deployed.client("lambda"), deployed.ids
    (layer,) = functions.list_layer_versions(LayerName=f"{STACK}-bridge")["LayerVersions"]
    assert layer["CompatibleArchitectures"] == ["x86_64", "arm64"]
    assert layer["CompatibleRuntimes"] == ["python3.13"]
    timeouts = {"RefreshToken": 60, "Deliver": 120}
    environments = []
    for logical_id, name in FUNCTIONS.items():
        made = functions.get_function(FunctionName=ids[logical_id])
        said = made["Configuration"]
        assert said["FunctionName"] == f"{STACK}-{name}"
        assert said["Runtime"] == "python3.13"
        assert said["Handler"] == "app.handler"
        assert said["MemorySize"] == 512
        assert said["Timeout"] == timeouts.get(logical_id, 20)
        assert said["Architectures"] == [deployed.value("Architecture")]
        assert [one["Arn"] for one in said["Layers"]] == [layer["LayerVersionArn"]]
        assert said["Role"].endswith(f":role/{ids[f'{logical_id}Role']}")
        inside = said.get("VpcConfig", {})
        assert ",".join(inside.get("SubnetIds", [])) == deployed.value("VpcSubnets")
        assert ",".join(inside.get("SecurityGroupIds", [])) == deployed.value("VpcSecurityGroups")
        on_request = logical_id == "RefreshToken" and deployed.is_on("ReserveRefreshConcurrency")
        reserved = made.get("Concurrency", {}).get("ReservedConcurrentExecutions")
        assert reserved == (1 if on_request else None)
        environments.append(said["Environment"]["Variables"])
    first, *others = environments
    assert all(one == first for one in others)


def test_the_environment_names_what_was_made(deployed: Deployed) -> None:
    made = deployed.client("lambda").get_function_configuration(
        FunctionName=deployed.ids["CreateLead"]
    )["Environment"]["Variables"]
    ids = deployed.ids
    assert made["CREDENTIALS_SECRET"] == ids["Credentials"]
    assert made["SIGNING_SECRET"] == ids["SigningKeys"]
    assert made["LEASE_TABLE"] == ids["RefreshLease"]
    assert made["OUTBOX_URL"] == ids["Outbox"]
    assert made["REJECTED_URL"] == ids["Rejected"]
    assert made["TOKEN_PARAMETER"] == f"/{STACK}/access-token"
    assert made["REFRESH_FUNCTION"] == f"{ids['RefreshToken']}:live"
    assert made["LOGIN_URL"] == deployed.value("LoginUrl")
    assert made["REFRESH_MINUTES"] == deployed.value("RefreshMinutes")
    assert made["SIGNATURE_SCHEME"] == deployed.value("SignatureScheme")
    assert made["POWERTOOLS_LOG_LEVEL"] == deployed.value("LogLevel")
    assert made["KMS_KEY"] == deployed.value("KmsKeyArn")
    assert made["AWS_ENDPOINT_URL"] == "", "a deployed function talks to AWS itself"


def test_every_function_has_a_version_behind_the_alias_live(deployed: Deployed) -> None:
    functions = deployed.client("lambda")
    for logical_id in FUNCTIONS:
        name = deployed.ids[logical_id]
        (alias,) = functions.list_aliases(FunctionName=name)["Aliases"]
        assert (alias["Name"], alias["FunctionVersion"]) == ("live", "1")
        versions = functions.list_versions_by_function(FunctionName=name)["Versions"]
        assert [one["Version"] for one in versions] == ["$LATEST", "1"]


def test_the_outbox_feeds_deliver(deployed: Deployed) -> None:
    (source,) = deployed.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    name = deployed.ids["Outbox"].rsplit("/", 1)[1]
    assert source["EventSourceArn"] == f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    assert f":function:{STACK}-deliver:" in source["FunctionArn"]
    assert source["BatchSize"] == 200
    assert source["MaximumBatchingWindowInSeconds"] == 20
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["ScalingConfig"] == {
        "MaximumConcurrency": int(deployed.value("DeliverConcurrency"))
    }
    assert source["State"] == "Enabled"


def test_the_schedule_refreshes_the_token(deployed: Deployed) -> None:
    events = deployed.client("events")
    (rule,) = events.list_rules()["Rules"]
    assert rule["ScheduleExpression"] == f"rate({deployed.value('RefreshMinutes')} minutes)"
    assert rule["State"] == "ENABLED"
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"] == deployed.ids["RefreshTokenAliaslive"]
    assert target["RetryPolicy"] == {
        "MaximumRetryAttempts": 2,
        "MaximumEventAgeInSeconds": 900,
    }


def test_a_refresh_that_raised_is_tried_twice_more(deployed: Deployed) -> None:
    config = deployed.client("lambda").get_function_event_invoke_config(
        FunctionName=deployed.ids["RefreshToken"], Qualifier="live"
    )
    assert config["MaximumRetryAttempts"] == 2
    assert config["MaximumEventAgeInSeconds"] == 900


def test_only_the_api_s_own_routes_and_the_schedule_may_call_a_function(
    deployed: Deployed,
) -> None:
    allowed = set()
    for logical_id, name in FUNCTIONS.items():
        if logical_id == "Deliver":
            continue
        policy = deployed.client("lambda").get_policy(FunctionName=deployed.ids[logical_id])
        for statement in json.loads(policy["Policy"])["Statement"]:
            assert statement["Effect"] == "Allow"
            assert statement["Action"] == "lambda:InvokeFunction"
            assert statement["FunctionName"] == deployed.ids[f"{logical_id}Aliaslive"]
            source = statement["Condition"]["ArnLike"]["AWS:SourceArn"]
            allowed.add((name, statement["Principal"]["Service"], source))
    api = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{deployed.ids['BirdApi']}/*"
    gateway = "apigateway.amazonaws.com"
    rule = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{deployed.ids['RefreshTokenSchedule']}"
    assert allowed == {
        ("create-lead", gateway, f"{api}/POST/leads"),
        ("create-lead", gateway, f"{api}/GET/leads"),
        ("create-lead", gateway, f"{api}/GET/leads/*"),
        ("create-case", gateway, f"{api}/POST/cases"),
        ("create-case", gateway, f"{api}/GET/cases"),
        ("create-case", gateway, f"{api}/GET/cases/*"),
        ("receive-message", gateway, f"{api}/POST/messages"),
        ("receive-message", gateway, f"{api}/GET/messages"),
        ("receive-message", gateway, f"{api}/POST/webhooks/bird"),
        ("receive-message", gateway, f"{api}/GET/webhooks/bird"),
        ("refresh-token", "events.amazonaws.com", rule),
    }


# Who may do what


def test_every_function_s_role_has_one_policy_that_names_what_was_made(
    deployed: Deployed,
) -> None:
    iam = deployed.client("iam")
    expected = {*FUNCTIONS, *(["Deployment"] if deployed.is_on("GradualDeployment") else [])}
    roles = {one["RoleName"]: one for one in iam.list_roles()["Roles"]}
    assert set(roles) == {deployed.ids[f"{name}Role"] for name in expected}
    for logical_id, name in FUNCTIONS.items():
        role = deployed.ids[f"{logical_id}Role"]
        (trust,) = roles[role]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
        assert trust["Action"] == "sts:AssumeRole"
        assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
        assert iam.list_role_policies(RoleName=role)["PolicyNames"] == [name]
        policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        resources = [one["Resource"] for one in policy["Statement"]]
        in_vpc = deployed.is_on("VpcSubnets")
        assert resources.count("*") == (1 if in_vpc else 0)
        assert "${" not in json.dumps(policy)
        group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/{STACK}/{name}"
        assert any(one.startswith(group) for one in resources)
        keys = deployed.ids["SigningKeys"] in resources
        verifies = logical_id not in ("RefreshToken", "Deliver")
        assert keys is (verifies and deployed.is_on("SignatureScheme"))
        assert (deployed.ids["Credentials"] in resources) is (logical_id == "RefreshToken")


# The API


def test_the_api_s_methods_lead_to_the_aliases(deployed: Deployed) -> None:
    api, made = deployed.client("apigateway"), deployed.ids["BirdApi"]
    leads = set()
    for resource in api.get_resources(restApiId=made)["items"]:
        for method in resource.get("resourceMethods", {}):
            said = api.get_method(restApiId=made, resourceId=resource["id"], httpMethod=method)[
                "methodIntegration"
            ]
            assert said["type"].upper() == "AWS_PROXY"
            assert said["httpMethod"] == "POST", "Lambda is always asked by POST"
            found = re.fullmatch(
                f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/"
                f"(arn:aws:lambda:{REGION}:{ACCOUNT}:function:.+)/invocations",
                said["uri"],
            )
            assert found, said["uri"]
            (name,) = (one for one in FUNCTIONS if deployed.ids[f"{one}Aliaslive"] == found[1])
            leads.add((method, resource["path"], name))
    assert leads == {
        ("POST", "/leads", "CreateLead"),
        ("GET", "/leads", "CreateLead"),
        ("GET", "/leads/{key}", "CreateLead"),
        ("POST", "/cases", "CreateCase"),
        ("GET", "/cases", "CreateCase"),
        ("GET", "/cases/{key}", "CreateCase"),
        ("POST", "/messages", "ReceiveMessage"),
        ("GET", "/messages", "ReceiveMessage"),
        ("POST", "/webhooks/bird", "ReceiveMessage"),
        ("GET", "/webhooks/bird", "ReceiveMessage"),
    }


def test_there_is_one_stage_throttled_and_logged_as_was_said(deployed: Deployed) -> None:
    api, made = deployed.client("apigateway"), deployed.ids["BirdApi"]
    assert api.get_rest_api(restApiId=made)["name"] == STACK, "the alarm on the API looks for it"
    (stage,) = api.get_stages(restApiId=made)["item"]
    (deployment,) = api.get_deployments(restApiId=made)["items"]
    assert stage["stageName"] == "v1"
    assert stage["deploymentId"] == deployment["id"]
    (limits,) = stage["methodSettings"].values()
    assert limits["throttlingRateLimit"] == float(deployed.value("ThrottleRate"))
    assert limits["throttlingBurstLimit"] == int(deployed.value("ThrottleBurst"))
    assert ("accessLogSettings" in stage) is deployed.is_on("AccessLogs")
    if deployed.is_on("AccessLogs"):
        assert stage["accessLogSettings"]["destinationArn"].endswith(f":/{STACK}/access:*")
    assert stage.get("webAclArn", "") == deployed.value("WebAclArn")


def test_the_key_is_under_the_plan_and_the_plan_on_the_stage(deployed: Deployed) -> None:
    api, ids = deployed.client("apigateway"), deployed.ids
    (plan,) = api.get_usage_plans()["items"]
    (key,) = api.get_api_keys()["items"]
    assert (plan["id"], key["id"]) == (ids["UsagePlan"], ids["ApiKey"])
    assert plan["apiStages"] == [{"apiId": ids["BirdApi"], "stage": "v1"}]
    assert plan["throttle"] == {
        "rateLimit": float(deployed.value("ThrottleRate")),
        "burstLimit": int(deployed.value("ThrottleBurst")),
    }
    assert "quota" not in plan
    assert key["enabled"] is True
    (under,) = api.get_usage_plan_keys(usagePlanId=plan["id"])["items"]
    assert under["id"] == key["id"]


# Who notices


def test_every_alarm_tells_the_topic_and_first_deployments_raise_none(deployed: Deployed) -> None:
    alarms = {
        one["AlarmName"].removeprefix(f"{STACK}-"): one
        for one in deployed.client("cloudwatch").describe_alarms()["MetricAlarms"]
    }
    assert set(alarms) == {
        "refresh-failed",
        "token-old",
        "schedule-stopped",
        "not-set-up",
        "rejected",
        "rejected-old",
        "outbox-old",
        "api-usage",
        "server-errors",
        "throttled",
        "deliver-failing",
        *(["turned-away"] if deployed.is_on("AccessLogs") else []),
    }
    topic = [deployed.ids["AlarmTopic"]]
    for name, alarm in alarms.items():
        assert alarm["ActionsEnabled"] is True
        assert alarm["AlarmActions"] == topic, name
        # A schedule has stopped when its metric ceases, so it is the lack of data that is told.
        silent = name == "schedule-stopped"
        assert alarm["OKActions"] == ([] if silent else topic), name
        assert alarm["InsufficientDataActions"] == (topic if silent else []), name
        assert alarm["TreatMissingData"] != "breaching", name
        assert "${" not in json.dumps(alarm, default=str)
    assert alarms["outbox-old"]["Threshold"] == float(deployed.value("OutboxAlarmMinutes"))
    assert alarms["api-usage"]["Threshold"] == 80
    assert alarms["rejected-old"]["Threshold"] == 7 * 24 * 3600
    queue = deployed.ids["Rejected"].rsplit("/", 1)[1]
    assert alarms["rejected"]["Dimensions"] == [{"Name": "QueueName", "Value": queue}]
    expressions = [one.get("Expression", "") for one in alarms["token-old"]["Metrics"]]
    assert any(deployed.value("RefreshMinutes") in one for one in expressions)


def test_what_was_throttled_is_counted_from_the_access_log(deployed: Deployed) -> None:
    filters = deployed.client("logs").describe_metric_filters()["metricFilters"]
    if not deployed.is_on("AccessLogs"):
        assert filters == []
        return
    (counts,) = filters
    assert counts["logGroupName"] == f"/{STACK}/access"
    (metric,) = counts["metricTransformations"]
    (alarm,) = deployed.client("cloudwatch").describe_alarms(AlarmNames=[f"{STACK}-turned-away"])[
        "MetricAlarms"
    ]
    assert (metric["metricNamespace"], metric["metricName"]) == (
        alarm["Namespace"],
        alarm["MetricName"],
    )
    assert set(metric["dimensions"]) == {one["Name"] for one in alarm["Dimensions"]}


def test_one_address_is_told_if_one_was_given(deployed: Deployed) -> None:
    sns = deployed.client("sns")
    (topic,) = sns.list_topics()["Topics"]
    assert topic["TopicArn"] == deployed.ids["AlarmTopic"]
    attributes = sns.get_topic_attributes(TopicArn=topic["TopicArn"])["Attributes"]
    assert not attributes.get("KmsMasterKeyId"), "CloudWatch could not publish to it"
    told = [
        (one["Protocol"], one["Endpoint"], one["TopicArn"])
        for one in sns.list_subscriptions()["Subscriptions"]
    ]
    address = deployed.value("AlarmEmail")
    assert told == ([("email", address, topic["TopicArn"])] if address else [])


def test_the_dashboard_shows_the_stack_s_own_queues(deployed: Deployed) -> None:
    watch = deployed.client("cloudwatch")
    body = watch.get_dashboard(DashboardName=deployed.ids["Dashboard"])["DashboardBody"]
    assert len(json.loads(body)["widgets"]) == 7
    for queue in ("Outbox", "Rejected"):
        assert f'"{deployed.ids[queue].rsplit("/", 1)[1]}"' in body
    assert "${" not in body


# How a new version takes over


def test_codedeploy_is_there_only_for_a_gradual_deployment(deployed: Deployed) -> None:
    deploy, ids = deployed.client("codedeploy"), deployed.ids
    names = deploy.list_applications()["applications"]
    if not deployed.is_on("GradualDeployment"):
        assert names == []
        return
    (name,) = names
    application = deploy.get_application(applicationName=name)["application"]
    assert application["computePlatform"] == "Lambda"
    groups = deploy.list_deployment_groups(applicationName=name)["deploymentGroups"]
    assert set(groups) == {ids[f"{function}DeploymentGroup"] for function in FUNCTIONS}
    for one in groups:
        group = deploy.get_deployment_group(applicationName=name, deploymentGroupName=one)
        said = group["deploymentGroupInfo"]
        how = f"CodeDeployDefault.Lambda{deployed.value('GradualDeployment')}"
        assert said["deploymentConfigName"] == how
        assert said["serviceRoleArn"].endswith(f":role/{ids['DeploymentRole']}")
        assert said["autoRollbackConfiguration"]["enabled"] is True
