"""What each resource of the translated template is, and which parameter changes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.contract.deployments import BY_DEFAULT, EVERYTHING, FUNCTIONS, PARAMETERS, deploy
from tools.template import ROOT, Deployment


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return deploy()


def properties(deployment: Deployment, logical_id: str) -> Any:
    return deployment.resolve(deployment.resources[logical_id]["Properties"])


def only(deployment: Deployment, kind: str) -> Any:
    """The properties of the one resource of that type."""
    (declared,) = deployment.of_type(kind).values()
    return deployment.resolve(declared["Properties"])


def function_of(reference: str) -> str:
    """The function that a Ref or an ARN leads to."""
    return reference.partition(":")[2]


# Functions


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_functions_run_the_shared_layer_on_one_runtime(architecture: str) -> None:
    made = deploy(Architecture=architecture, AttachMedia="on")
    layer = only(made, "AWS::Lambda::LayerVersion")
    assert layer["LayerName"] == "stack-bridge"
    assert layer["CompatibleRuntimes"] == ["python3.13"]
    assert architecture in layer["CompatibleArchitectures"]
    (layer_id,) = made.of_type("AWS::Lambda::LayerVersion")
    timeouts = {"RefreshToken": 60, "Deliver": 120, "AttachFiles": 300}
    for name in FUNCTIONS:
        function = properties(made, name)
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == [architecture]
        assert function["Layers"] == [f"ref:{layer_id}"]
        assert function["MemorySize"] == 512
        assert function["Timeout"] == timeouts.get(name, 20)


def test_the_environment_names_the_stack_s_own_resources(deployment: Deployment) -> None:
    environment = deployment.functions["CreateLead"].environment
    for variable, logical_id in {
        "CREDENTIALS_SECRET": "Credentials",
        "SIGNING_SECRET": "SigningKeys",
        "LEASE_TABLE": "RefreshLease",
        "OUTBOX_URL": "Outbox",
        "REJECTED_URL": "Rejected",
    }.items():
        assert environment[variable] == f"ref:{logical_id}"
    assert environment["TOKEN_PARAMETER"] == "/bird-salesforce/stack/local/access-token"
    pending = "/bird-salesforce/stack/local/pending-refresh-token"
    assert environment["PENDING_PARAMETER"] == pending
    assert environment["REFRESH_FUNCTION"].startswith("stack-refresh-token")


OF_A_PARAMETER = {
    "ALLOWED_FIELDS": "AllowedFields",
    "ALLOW_INSECURE_HOSTS": "AllowInsecureHosts",
    "ATTACH_MEDIA": "AttachMedia",
    "AWS_ENDPOINT_URL": "AwsEndpointUrl",
    "CASE_ASSIGNMENT": "CaseAssignmentRule",
    "CASE_COMMENTS": "CaseComments",
    "CASE_STATUS_ON_REPLY": "CaseStatusOnReply",
    "CLOSED_LEAD_STATUSES": "ClosedLeadStatuses",
    "CONVERSATIONS": "Conversations",
    "DEFAULT_COMPANY": "DefaultCompany",
    "DUPLICATE_RECORDS": "DuplicateRecords",
    "EXTERNAL_ID_FIELD": "ExternalIdField",
    "KMS_KEY": "KmsKeyArn",
    "LEAD_ASSIGNMENT": "LeadAssignmentRule",
    "LOGIN_URL": "LoginUrl",
    "LOG_REPLIES": "LogReplies",
    "MATCH_CONTACTS": "MatchContacts",
    "MATCH_EMAIL": "MatchEmail",
    "MEDIA_HOSTS": "MediaHosts",
    "MEDIA_MAX_MEGABYTES": "MediaMaxMegabytes",
    "POWERTOOLS_LOG_LEVEL": "LogLevel",
    "REFRESH_MINUTES": "RefreshMinutes",
    "REOPEN_DAYS": "ReopenDays",
    "REOPEN_STATUS": "ReopenStatus",
    "RESPONSE_BUDGET_SECONDS": "ResponseBudgetSeconds",
    "SALESFORCE_API_VERSION": "ApiVersion",
    "SIGNATURE_SCHEME": "SignatureScheme",
    "WEBHOOK_URL": "WebhookUrl",
}


def test_a_variable_has_its_parameter_s_value() -> None:
    made = deploy(**EVERYTHING)
    declared = made.template.source["Globals"]["Function"]["Environment"]["Variables"]
    for variable, parameter in OF_A_PARAMETER.items():
        assert declared[variable] == {"Ref": parameter}
        for function in made.functions.values():
            assert function.environment[variable] == EVERYTHING[parameter]


def test_only_the_api_s_routes_and_the_schedule_may_invoke_a_function(
    deployment: Deployment,
) -> None:
    allowed = set()
    for declared in deployment.of_type("AWS::Lambda::Permission").values():
        permission = deployment.resolve(declared["Properties"])
        assert permission["Action"] == "lambda:InvokeFunction"
        source = permission["SourceArn"].replace("us-east-1:123456789012:ref:BirdApi/*", "api")
        principal = permission["Principal"].partition(".")[0]
        allowed.add((function_of(permission["FunctionName"]), principal, source))
    routes = {
        (one.function, "apigateway", f"arn:aws:execute-api:api/{one.method}{path}")
        for one in deployment.routes
        for path in [re.sub(r"\{\w+\}", "*", one.path)]
    }
    assert allowed == routes | {("RefreshToken", "events", "arn:RefreshTokenSchedule")}


def test_the_schedule_and_lambda_repeat_a_failed_refresh_twice(deployment: Deployment) -> None:
    rule = only(deployment, "AWS::Events::Rule")
    assert rule.get("State", "ENABLED") == "ENABLED"
    (target,) = rule["Targets"]
    assert function_of(target["Arn"]) == "RefreshToken"
    twice = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 900}
    assert target["RetryPolicy"] == twice
    retries = only(deployment, "AWS::Lambda::EventInvokeConfig")
    assert function_of(retries["FunctionName"]) == "RefreshToken"
    assert {name: retries[name] for name in twice} == twice


# What is stored


def test_the_lease_is_one_item_by_name_that_expires(deployment: Deployment) -> None:
    assert only(deployment, "AWS::DynamoDB::Table") == {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "name", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "name", "KeyType": "HASH"}],
        "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
    }


def test_queues_are_standard_and_the_outbox_has_a_dead_letter_queue(deployment: Deployment) -> None:
    assert set(deployment.of_type("AWS::SQS::Queue")) == {"Outbox", "Rejected"}
    for name in ("Outbox", "Rejected"):
        queue = properties(deployment, name)
        assert not {"FifoQueue", "DelaySeconds", "QueueName"} & set(queue)
        assert ("RedrivePolicy" in queue) is (name == "Outbox")


def test_the_tokens_parameters_are_not_the_stack_s() -> None:
    # CloudFormation makes no SecureString; RefreshToken writes both itself.
    for parameters in PARAMETERS.values():
        assert deploy(**parameters).of_type("AWS::SSM::Parameter") == {}


def test_logs_are_kept_for_the_days_of_the_parameter() -> None:
    made = deploy(LogRetentionDays="90", AccessLogs="on")
    groups = [
        made.resolve(one["Properties"]) for one in made.of_type("AWS::Logs::LogGroup").values()
    ]
    names = {f"/stack/{folder.replace('_', '-')}" for folder in BY_DEFAULT.values()}
    assert {one["LogGroupName"] for one in groups} == names | {"/stack/access"}
    assert {str(one["RetentionInDays"]) for one in groups} == {"90"}


# The API


def test_the_key_is_under_the_plan_and_the_plan_on_the_stage(deployment: Deployment) -> None:
    plan = only(deployment, "AWS::ApiGateway::UsagePlan")
    assert plan["ApiStages"] == [{"ApiId": "ref:BirdApi", "Stage": "ref:BirdApiv1Stage"}]
    assert "Quota" not in plan
    assert only(deployment, "AWS::ApiGateway::UsagePlanKey") == {
        "KeyId": "ref:ApiKey",
        "KeyType": "API_KEY",
        "UsagePlanId": "ref:UsagePlan",
    }
    key = only(deployment, "AWS::ApiGateway::ApiKey")
    assert key["Enabled"] is True
    assert "Value" not in key, "API Gateway makes it"


def test_the_access_log_s_group_is_where_the_stage_logs() -> None:
    stage = only(deploy(AccessLogs="on"), "AWS::ApiGateway::Stage")
    assert stage["AccessLogSetting"]["DestinationArn"] == "arn:AccessLogGroup"


def test_the_outputs_name_the_stack_s_resources_and_the_next_step(deployment: Deployment) -> None:
    outputs = deployment.outputs
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
        assert outputs[output] == f"ref:{logical_id}"
    assert outputs["DashboardUrl"].endswith("name=ref:Dashboard")
    base = "https://ref:BirdApi.execute-api.us-east-1.amazonaws.com/ref:BirdApiv1Stage"
    for output, path in {"Leads": "/leads", "Cases": "/cases", "Webhook": "/webhooks/bird"}.items():
        assert outputs[f"{output}Url"] == base + path
    assert "make connect" in outputs["NextStep"]
    assert outputs["ApiKeyId"] in outputs["ApiKeyCommand"]
    assert "${" not in json.dumps(outputs)


# Alarms

ALARMS = {
    *("refresh-failed", "token-old", "schedule-stopped", "not-set-up", "rejected", "rejected-old"),
    *("outbox-old", "api-usage", "records-lost", "server-errors", "throttled", "deliver-failing"),
}


def alarms(deployment: Deployment) -> dict[str, Mapping[str, Any]]:
    found = {}
    for declared in deployment.of_type("AWS::CloudWatch::Alarm").values():
        alarm = deployment.resolve(declared["Properties"])
        found[alarm["AlarmName"].removeprefix("stack-")] = alarm
    return found


def test_alarms_go_to_the_topic_and_a_first_deployment_raises_none(deployment: Deployment) -> None:
    assert set(alarms(deployment)) == ALARMS
    topic = ["ref:AlarmTopic"]
    for name, alarm in alarms(deploy(**EVERYTHING)).items():
        # A schedule that has stopped is known by missing data, so that change is sent.
        silent = name == "schedule-stopped"
        assert alarm["AlarmActions"] == topic, name
        assert alarm.get("OKActions", []) == ([] if silent else topic), name
        assert alarm.get("InsufficientDataActions", []) == (topic if silent else []), name
        assert alarm.get("TreatMissingData", "missing") != "breaching", name
        assert "ActionsEnabled" not in alarm


def test_an_alarm_s_description_and_the_operators_page_say_what_to_do() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name, alarm in alarms(deploy(**EVERYTHING)).items():
        text = alarm["AlarmDescription"]
        assert 80 < len(text) <= 1024, name
        assert text.startswith("stack in us-east-1: "), "in a channel with several stacks"
        assert text.endswith(f" See docs/operations.md#{name}."), name
        assert not re.search(r"[<>$]|STACK=(?!stack )", text), "nothing is left to fill in"
        assert f"### {name}\n" in operations
        assert f"\n| {name} | " in operations


def test_refused_signatures_raise_an_alarm_where_requests_are_signed() -> None:
    assert "unsigned" not in alarms(deploy())
    alarm = alarms(deploy(SignatureScheme="bird"))["unsigned"]
    window = alarm["Period"] * alarm["EvaluationPeriods"]
    # Bird repeats for 8 hours and then stops: https://docs.bird.com/api/notifications-api/retries
    assert 2 * window <= 8 * 3600, "there is time to act"
    # doctor --after-deploy sends unsigned requests within a minute or two: one half hour, or two.
    assert alarm["DatapointsToAlarm"] == 2
    assert float(alarm["Threshold"]) == 1, "a flow with one message an hour is seen"


def test_thresholds_follow_the_parameters() -> None:
    made = alarms(deploy(OutboxAlarmMinutes="15", RefreshMinutes="30"))
    assert float(made["outbox-old"]["Threshold"]) == 15
    assert made["api-usage"]["Threshold"] == 80
    assert made["rejected-old"]["Threshold"] == 7 * 24 * 3600
    assert made["rejected"]["Dimensions"] == [{"Name": "QueueName", "Value": "Rejected"}]
    expressions = [one.get("Expression", "") for one in made["token-old"]["Metrics"]]
    assert any("100 * FILL(age, 0) / (60 * 30)" in one for one in expressions)


def test_an_alarm_s_window_is_longer_than_the_longest_healthy_gap(deployment: Deployment) -> None:
    made = alarms(deployment)

    def window(name: str) -> int:
        period = made[name].get("Period") or made[name]["Metrics"][0]["MetricStat"]["Period"]
        return int(made[name]["EvaluationPeriods"]) * int(period)

    longest = 60 * int(deployment.template.source["Parameters"]["RefreshMinutes"]["MaxValue"])
    # An update may restart the schedule just before a run: two intervals.
    assert window("schedule-stopped") > 2 * longest
    # What lasts is one alarm, not one a run: these are measured by each run.
    assert window("refresh-failed") > longest
    assert window("token-old") > longest
    # Deliver tries again after half an hour at most.
    assert window("not-set-up") > 1800
    assert window("outbox-old") > 1800
    # A batch that always fails comes back after the visibility timeout: two in the window.
    hidden = properties(deployment, "Outbox")["VisibilityTimeout"]
    assert window("deliver-failing") > made["deliver-failing"]["DatapointsToAlarm"] * hidden
    # A scheduled run leaves a token that is younger than half the interval.
    assert made["token-old"]["Threshold"] > 150


def test_throttled_requests_are_counted_from_the_access_log(deployment: Deployment) -> None:
    assert deployment.of_type("AWS::Logs::MetricFilter") == {}
    assert "turned-away" not in alarms(deployment)
    made = deploy(AccessLogs="on")
    counted = only(made, "AWS::Logs::MetricFilter")
    assert counted["LogGroupName"] == "ref:AccessLogGroup"
    (metric,) = counted["MetricTransformations"]
    alarm = alarms(made)["turned-away"]
    assert metric["MetricNamespace"] == alarm["Namespace"]
    assert metric["MetricName"] == alarm["MetricName"]
    assert {one["Key"] for one in metric["Dimensions"]} == {
        one["Name"] for one in alarm["Dimensions"]
    }


def test_the_address_of_the_parameter_is_subscribed_and_no_other(deployment: Deployment) -> None:
    assert deployment.of_type("AWS::SNS::Subscription") == {}
    topic = only(deployment, "AWS::SNS::Topic")
    assert "KmsMasterKeyId" not in topic, "CloudWatch could not publish to it"
    assert only(deploy(AlarmEmail="ops@example.com"), "AWS::SNS::Subscription") == {
        "TopicArn": "ref:AlarmTopic",
        "Protocol": "email",
        "Endpoint": "ops@example.com",
    }


def test_the_dashboard_shows_the_stack_s_own_queues(deployment: Deployment) -> None:
    dashboard = only(deployment, "AWS::CloudWatch::Dashboard")
    assert dashboard["DashboardName"] == "stack-us-east-1"
    body = dashboard["DashboardBody"]
    assert len(json.loads(body)["widgets"]) == 8
    assert '"QueueName", "Outbox"' in body
    assert '"QueueName", "Rejected"' in body
    assert "${" not in body
