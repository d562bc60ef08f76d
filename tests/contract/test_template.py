"""template.yaml against the code and against itself: what no linter knows."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from bridge.delivery.outbox import LONGEST_ENVELOPE
from bridge.delivery.queues import MAX_MESSAGE_BYTES
from bridge.errors import MisconfiguredEnvironment
from bridge.files.attaching import CALL_SECONDS, DOWNLOAD_SECONDS, RESERVED_SECONDS, UPLOAD_SECONDS
from bridge.settings import Settings
from tests.contract.deployments import FUNCTIONS, deploy
from tools.template import ROOT, Deployment, Template, TemplateError

# What each function may do, and nothing else: DESIGN's table, in IAM's words.
REFRESH = "function refresh-token"
TOKEN = {("ssm:GetParameter", "parameter access-token"), ("lambda:InvokeFunction", REFRESH)}
HOT_PATH = TOKEN | {("sqs:SendMessage", "Outbox"), ("sqs:SendMessage", "Rejected")}
LEASE = {("dynamodb:PutItem", "RefreshLease"), ("dynamodb:DeleteItem", "RefreshLease")}


def consuming(queue: str) -> set[tuple[str, str]]:
    ends = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
    return {(f"sqs:{end}", queue) for end in ends} | {("sqs:SendMessage", "Rejected")}


ALLOWED = {
    "CreateLead": HOT_PATH,
    "CreateCase": HOT_PATH,
    "ReceiveMessage": HOT_PATH,
    "FindCustomer": TOKEN,
    "RefreshToken": {
        ("secretsmanager:GetSecretValue", "Credentials"),
        ("secretsmanager:PutSecretValue", "Credentials"),
        ("ssm:GetParameter", "parameter access-token"),
        ("ssm:PutParameter", "parameter access-token"),
        ("ssm:GetParameter", "parameter pending-refresh-token"),
        ("ssm:PutParameter", "parameter pending-refresh-token"),
        *LEASE,
    },
    "Deliver": TOKEN | consuming("Outbox"),
    "AttachFiles": TOKEN
    | consuming("Files")
    | LEASE
    | {("secretsmanager:GetSecretValue", "AccessKey")},
}


@pytest.fixture(scope="module")
def template() -> Template:
    return Template.load()


@pytest.fixture(scope="module")
def resources(template: Template) -> Mapping[str, Any]:
    found: Mapping[str, Any] = template.source["Resources"]
    return found


@pytest.fixture(scope="module")
def deployment(template: Template) -> Deployment:
    return deploy(template, AttachMedia="on")


# What is allowed in addition, and only while requests have to be signed.
VERIFYING = {"CreateLead", "CreateCase", "ReceiveMessage"}

# Likewise, while files are attached.
FEEDING = {*VERIFYING, "Deliver"}


def statements(
    resources: Mapping[str, Any], function: str, *, conditions: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """A role's statements, with those that are there under one of these conditions."""
    role = resources[f"{function}Role"]["Properties"]
    assert "ManagedPolicyArns" not in role
    found = []
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if "Fn::If" in statement:
                condition, statement, otherwise = statement["Fn::If"]
                assert otherwise == {"Ref": "AWS::NoValue"}
                assert condition in {*ON_REQUEST, "InVpc", "OwnKey", "PreviousKey"}
                if condition not in conditions:
                    continue
            found.append(statement)
    return found


ON_REQUEST = frozenset({"Verify", "AttachFilesOn"})


# Who may do what


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_holds_one_action_on_one_resource_in_each_statement(
    resources: Mapping[str, Any], function: str
) -> None:
    for statement in statements(resources, function, conditions=ON_REQUEST):
        assert set(statement) == {"Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
        assert isinstance(statement["Action"], str)
        assert isinstance(statement["Resource"], dict), "a reference, neither a list nor a text"
        assert "*" not in json.dumps(statement)


@pytest.mark.parametrize("conditions", [set(), {"Verify"}, {"AttachFilesOn"}], ids=str)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_allows_exactly_what_the_design_says(
    resources: Mapping[str, Any], deployment: Deployment, function: str, conditions: set[str]
) -> None:
    named = []
    for statement in statements(resources, function, conditions=frozenset(conditions)):
        target = deployment.resolve(statement["Resource"]).split(":", 1)[1]
        target = re.sub(r".*:parameter/bird-salesforce/stack/local/", "parameter ", target)
        target = re.sub(r".*:function:stack-", "function ", target)
        named.append((statement["Action"], target))
    logs = f"{function}Logs"
    expected = ALLOWED[function] | {("logs:CreateLogStream", logs), ("logs:PutLogEvents", logs)}
    if "Verify" in conditions and function in VERIFYING:
        expected |= {("secretsmanager:GetSecretValue", "SigningKeys")}
    if "AttachFilesOn" in conditions and function in FEEDING:
        expected |= {("sqs:SendMessage", "Files")}
    assert len(named) == len(set(named)), "a statement is there twice"
    assert set(named) == expected


def test_who_may_have_a_token_renewed_may_read_it() -> None:
    """RefreshToken's result carries the token, so nobody may get it there who could not before."""
    invoking = [a for a in ALLOWED.values() if ("lambda:InvokeFunction", REFRESH) in a]
    assert len(invoking) == 6
    assert all(("ssm:GetParameter", "parameter access-token") in allowed for allowed in invoking)


IN_VPC = {"VpcSubnets": "subnet-0a1,subnet-0b2", "VpcSecurityGroups": "sg-0c3"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_in_a_vpc_may_a_function_make_interfaces(template: Template, function: str) -> None:
    outside, inside = (deploy(template, AttachMedia="on", **more) for more in ({}, IN_VPC))
    before, after = (
        one.resolve(one.resources[f"{function}Role"]["Properties"]["Policies"])[0]
        for one in (outside, inside)
    )
    statements_before = before["PolicyDocument"]["Statement"]
    *same, network = after["PolicyDocument"]["Statement"]
    assert same == statements_before
    assert all(action.startswith("ec2:") for action in network["Action"])
    assert network["Resource"] == "*"
    vpc = inside.resolve(inside.resources[function]["Properties"]["VpcConfig"])
    assert vpc == {"SubnetIds": ["subnet-0a1", "subnet-0b2"], "SecurityGroupIds": ["sg-0c3"]}
    assert "VpcConfig" not in outside.resolve(outside.resources[function]["Properties"])


KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-0000-0000-000000000000"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_key_of_the_deployer_s_is_used_only_through_the_services_that_store(
    template: Template, function: str
) -> None:
    made = deploy(template, KmsKeyArn=KEY, AttachMedia="on")
    (policy,) = made.resolve(made.resources[f"{function}Role"]["Properties"]["Policies"])
    (use,) = [
        one for one in policy["PolicyDocument"]["Statement"] if "kms:Decrypt" in one["Action"]
    ]
    assert use["Resource"] == KEY
    services = use["Condition"]["StringEquals"]["kms:ViaService"]
    assert set(services) <= {
        f"{name}.us-east-1.amazonaws.com" for name in ("sqs", "ssm", "secretsmanager")
    }
    assert ("kms:Encrypt" in use["Action"]) is (function == "RefreshToken")
    assert made.functions[function].environment["KMS_KEY"] == KEY


def test_the_deployer_s_key_encrypts_all_that_is_stored(template: Template) -> None:
    made = deploy(template, KmsKeyArn=KEY, AccessLogs="on", AttachMedia="on")
    for queue in made.of_type("AWS::SQS::Queue").values():
        properties = made.resolve(queue["Properties"])
        assert properties["KmsMasterKeyId"] == KEY
        assert "SqsManagedSseEnabled" not in properties, "one or the other"
    for kind in ("AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"):
        for one in made.of_type(kind).values():
            assert made.resolve(one["Properties"])["KmsKeyId"] == KEY


def test_addresses_are_limited_only_where_some_are_named(template: Template) -> None:
    def policy(**parameters: str) -> Any:
        made = deploy(template, **parameters)
        (api,) = made.of_type("AWS::ApiGateway::RestApi").values()
        return made.resolve(api["Properties"]["Body"]["x-amazon-apigateway-policy"])["Statement"]

    (everybody,) = policy(SignatureScheme="bird")
    assert everybody["Effect"] == "Allow"
    _, deny = policy(SignatureScheme="bird", AllowedAddresses="203.0.113.0/24,2001:db8::/32")
    assert deny["Effect"] == "Deny"
    assert deny["Condition"] == {
        "NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}
    }


def test_access_logs_are_there_on_request(template: Template) -> None:
    off, on = (
        made.resolve(stage["Properties"])
        for made in (deploy(template), deploy(template, AccessLogs="on"))
        for stage in made.of_type("AWS::ApiGateway::Stage").values()
    )
    assert "AccessLogSetting" not in off
    assert set(json.loads(on["AccessLogSetting"]["Format"])) == {
        *("service", "requestId", "time", "ip", "apiKeyId", "method", "route", "status"),
        *("milliseconds", "error"),
    }, "neither bodies nor queries nor keys"


def test_every_function_has_a_role_of_its_own(resources: Mapping[str, Any]) -> None:
    for function in FUNCTIONS:
        role = resources[function]["Properties"]["Role"]
        assert role == {"Fn::GetAtt": [f"{function}Role", "Arn"]}
    trusts = [
        one["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        for one in resources.values()
        if one["Type"] == "AWS::IAM::Role"
    ]
    assert len(trusts) == len(FUNCTIONS)
    assert all(
        statement["Principal"] == {"Service": "lambda.amazonaws.com"} for (statement,) in trusts
    )


def test_nothing_else_brings_a_policy_along(template: Template, deployment: Deployment) -> None:
    roles = set(deployment.of_type("AWS::IAM::Role"))
    assert roles == {f"{function}Role" for function in FUNCTIONS}
    assert "Policies" not in template.source["Globals"]["Function"]


# The template and the code


class Recording(dict[str, str]):
    """Remembers which variables were read."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return default


def test_the_environment_is_what_the_settings_read(template: Template) -> None:
    environ = Recording()
    with pytest.raises(MisconfiguredEnvironment):
        Settings.from_environ(environ)
    given = set(template.source["Globals"]["Function"]["Environment"]["Variables"])
    # The AWS client, the telemetry and glibc read these by themselves.
    others = {name for name in given if name.startswith("POWERTOOLS_")}
    others |= {"URL_SUFFIX", "RES_OPTIONS"}
    assert given == environ.names | others


def test_the_template_s_defaults_are_settings_that_can_be_read(deployment: Deployment) -> None:
    for function in deployment.functions.values():
        settings = Settings.from_environ(function.environment)
        assert settings.refresh_function == "stack-refresh-token"
        assert settings.token_parameter == "/bird-salesforce/stack/local/access-token"
        assert settings.credentials_secret == "ref:Credentials"
        assert settings.external_id_field == "Bird_Key__c"


def test_the_file_has_no_yaml_aliases_which_cloudformation_does_not_read() -> None:
    tokens = yaml.scan((ROOT / "template.yaml").read_text(encoding="utf-8"))
    assert not [one for one in tokens if isinstance(one, yaml.AliasToken | yaml.AnchorToken)]


def test_a_comment_says_what_each_resource_is_for() -> None:
    text = (ROOT / "template.yaml").read_text(encoding="utf-8").split("\nResources:\n")[1]
    lines = text.split("\nOutputs:\n")[0].splitlines()
    names = [at for at, line in enumerate(lines) if re.fullmatch(r"  [A-Z]\w+:", line)]
    sections = ("Role", "Logs")
    for at in names:
        name = lines[at].strip(" :")
        assert name.endswith(sections) or lines[at - 1].startswith("  # "), name


def test_every_function_gets_the_same_environment(resources: Mapping[str, Any]) -> None:
    for function in FUNCTIONS:
        assert "Environment" not in resources[function]["Properties"]


def test_each_folder_is_a_function_and_each_function_a_folder(resources: Mapping[str, Any]) -> None:
    folders = {
        path.name
        for path in (ROOT / "functions").iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    declared = {
        logical_id: one["Properties"]["CodeUri"]
        for logical_id, one in resources.items()
        if one["Type"] == "AWS::Serverless::Function"
    }
    assert declared == {name: f"functions/{folder}" for name, folder in FUNCTIONS.items()}
    assert folders == set(FUNCTIONS.values())


@pytest.mark.parametrize("folder", FUNCTIONS.values())
def test_a_function_s_folder_holds_its_handler_and_nothing_else(folder: str) -> None:
    files = {one.name for one in (ROOT / "functions" / folder).iterdir()} - {"__pycache__"}
    # A requirements.txt would make `sam build` ask for the runtime's very Python.
    assert files == {"app.py"}


@pytest.mark.parametrize(("logical_id", "folder"), FUNCTIONS.items())
def test_names_follow_from_the_folder(
    deployment: Deployment, resources: Mapping[str, Any], logical_id: str, folder: str
) -> None:
    spec = deployment.functions[logical_id]
    name = folder.replace("_", "-")
    assert spec.name == f"stack-{name}"
    assert spec.handler == "app.handler"
    group = resources[f"{logical_id}Logs"]["Properties"]
    assert deployment.resolve(group["LogGroupName"]) == f"/stack/{name}"
    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert resources[logical_id]["Properties"]["LoggingConfig"] == {
        "LogGroup": {"Ref": f"{logical_id}Logs"}
    }


# Numbers that belong together


def test_a_message_stays_hidden_for_six_tries_and_the_window(resources: Mapping[str, Any]) -> None:
    deliver = resources["Deliver"]["Properties"]
    window = deliver["Events"]["Outbox"]["Properties"]["MaximumBatchingWindowInSeconds"]
    outbox = resources["Outbox"]["Properties"]
    assert outbox["VisibilityTimeout"] == 6 * deliver["Timeout"] + window
    attach = resources["AttachFiles"]["Properties"]
    assert resources["Files"]["Properties"]["VisibilityTimeout"] == 6 * attach["Timeout"]


def test_a_whole_file_fits_into_one_invocation(resources: Mapping[str, Any]) -> None:
    one = DOWNLOAD_SECONDS + UPLOAD_SECONDS + RESERVED_SECONDS
    looks = 3 * CALL_SECONDS
    assert one + looks < resources["AttachFiles"]["Properties"]["Timeout"]


def test_what_waits_and_what_was_refused_is_kept_for_14_days_encrypted(
    resources: Mapping[str, Any], deployment: Deployment
) -> None:
    for queue in ("Outbox", "Rejected", "Files"):
        properties = resources[queue]["Properties"]
        assert properties["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert deployment.resolve(properties)["SqsManagedSseEnabled"] is True
    for queue in ("Outbox", "Files"):
        assert resources[queue]["Properties"]["RedrivePolicy"] == {
            "deadLetterTargetArn": {"Fn::GetAtt": ["Rejected", "Arn"]},
            "maxReceiveCount": 1000,
        }


def test_a_queue_takes_what_the_api_accepts(resources: Mapping[str, Any]) -> None:
    # SQS's default was 256 KiB until August 2025, and emulators still have it.
    for queue in ("Outbox", "Rejected"):
        assert resources[queue]["Properties"]["MaximumMessageSize"] == 1024 * 1024
        assert LONGEST_ENVELOPE < MAX_MESSAGE_BYTES <= 1024 * 1024


def test_the_outbox_is_delivered_200_at_a_time_with_a_result_for_each(
    template: Template, resources: Mapping[str, Any]
) -> None:
    made = deploy(template, AttachMedia="on", DeliverConcurrency="5")
    source, files = made.event_sources
    assert (files.function, files.batch_size, files.partial_failures) == ("AttachFiles", 1, True)
    assert (source.function, source.queue) == ("Deliver", "arn:Outbox")
    assert (source.batch_size, source.partial_failures, source.concurrency) == (200, True, 5)
    assert source.window > 0, "more than ten at a time need a window"
    assert "ReservedConcurrentExecutions" not in resources["Deliver"]["Properties"]


def test_a_response_comes_before_any_timeout(
    template: Template, resources: Mapping[str, Any]
) -> None:
    budget = template.source["Parameters"]["ResponseBudgetSeconds"]
    for function in ("CreateLead", "CreateCase", "ReceiveMessage"):
        timeout = resources[function]["Properties"]["Timeout"]
        assert budget["MaxValue"] < timeout < 29, "budget, then the function, then API Gateway"
    assert budget["Default"] < 10, "Bird gives a step 10 s"


@pytest.mark.parametrize("name", ["Credentials", "SigningKeys"])
def test_the_secrets_are_made_without_a_value_and_survive_the_stack(
    resources: Mapping[str, Any], name: str
) -> None:
    secret = resources[name]
    assert set(secret["Properties"]) == {"Description", "KmsKeyId"}, "no value, no fixed name"
    # A stack whose first deployment failed leaves nothing; one that is deleted later leaves it.
    assert secret["DeletionPolicy"] == "RetainExceptOnCreate"
    assert secret["UpdateReplacePolicy"] == "Retain"


def test_the_access_key_is_made_without_a_value(resources: Mapping[str, Any]) -> None:
    assert set(resources["AccessKey"]["Properties"]) == {"Description", "KmsKeyId"}


def test_without_attach_media_nothing_of_it_is_there(template: Template) -> None:
    off, on = deploy(template), deploy(template, AttachMedia="on")
    parts = {name for name in on.resources if name not in off.resources}
    parts -= set(on.of_type("AWS::ApiGateway::Deployment"))  # made anew each time
    # SAM names the mapping after the function and the event.
    assert parts == {
        *("AttachFiles", "AttachFilesFiles", "AttachFilesRole", "AttachFilesLogs"),
        *("Files", "AccessKey", "FilesOldAlarm", "AttachFilesFailingAlarm"),
    }
    assert set(on.outputs) - set(off.outputs) == {
        *("FilesUrl", "AccessKeySecret", "AttachFilesFunction")
    }
    environment = off.functions["CreateLead"].environment
    assert environment["FILES_URL"] == environment["ACCESS_KEY_SECRET"] == ""


def test_the_schedule_follows_the_parameter(template: Template) -> None:
    assert deploy(template).schedules == {"RefreshToken": 45 * 60.0}
    assert deploy(template, RefreshMinutes="15").schedules == {"RefreshToken": 15 * 60.0}


# The API


def test_the_routes_are_those_of_the_contract_and_all_but_the_webhook_need_the_key(
    deployment: Deployment,
) -> None:
    assert {(one.method, one.path, one.function) for one in deployment.routes} == {
        ("POST", "/leads", "CreateLead"),
        ("GET", "/leads", "CreateLead"),
        ("GET", "/leads/{key}", "CreateLead"),
        ("PATCH", "/leads/{key}", "CreateLead"),
        ("POST", "/cases", "CreateCase"),
        ("GET", "/cases", "CreateCase"),
        ("GET", "/cases/{key}", "CreateCase"),
        ("PATCH", "/cases/{key}", "CreateCase"),
        ("POST", "/messages", "ReceiveMessage"),
        ("GET", "/messages", "ReceiveMessage"),
        ("POST", "/customers/find", "FindCustomer"),
        ("POST", "/webhooks/bird", "ReceiveMessage"),
        ("GET", "/webhooks/bird", "ReceiveMessage"),
    }
    open_routes = {one.path for one in deployment.routes if not one.needs_api_key}
    assert open_routes == {"/webhooks/bird"}


def method_settings(deployment: Deployment) -> list[Mapping[str, Any]]:
    (stage,) = deployment.of_type("AWS::ApiGateway::Stage").values()
    found: list[Mapping[str, Any]] = deployment.resolve(stage["Properties"]["MethodSettings"])
    return found


@pytest.mark.parametrize("scheme", ["none", "bird"])
def test_the_stage_slows_down_the_routes_without_a_key(template: Template, scheme: str) -> None:
    made = deploy(template, SignatureScheme=scheme, ThrottleRate="7", ThrottleBurst="9")
    limits = {
        (one["HttpMethod"], one["ResourcePath"].replace("~1", "/").removeprefix("/")): (
            float(one["ThrottlingRateLimit"]),
            int(one["ThrottlingBurstLimit"]),
        )
        for one in method_settings(made)
    }
    open_routes = {(one.method, one.path) for one in made.routes if not one.needs_api_key}
    # Closed without signatures: one request a second is enough for whoever looks at it.
    expected = (1.0, 1) if scheme == "none" else made.throttle
    assert limits == dict.fromkeys(open_routes, expected)


def unknown_settings(deployment: Deployment) -> list[str]:
    """Method settings that API Gateway refuses when they are applied.

    A change set accepts them, and no linter or emulator knows the rule: of all settings with a
    wildcard only `*` on `/*` is taken, and ANY nowhere (docs/adr/0070).
    """
    routes = {(one.method, "/" + one.path.replace("/", "~1")) for one in deployment.routes}
    named = [(one["HttpMethod"], one["ResourcePath"]) for one in method_settings(deployment)]
    return [f"{method} {path}" for method, path in named if (method, path) not in routes]


@pytest.mark.parametrize("scheme", ["none", "bird"])
def test_a_method_setting_is_about_one_method_of_one_route(template: Template, scheme: str) -> None:
    assert unknown_settings(deploy(template, SignatureScheme=scheme)) == []


@pytest.mark.parametrize("method", ["*", "ANY", "PUT"])
def test_a_method_setting_that_is_refused_would_be_seen(template: Template, method: str) -> None:
    source = copy.deepcopy(dict(template.source))
    source["Resources"]["BirdApi"]["Properties"]["MethodSettings"][0]["HttpMethod"] = method
    made = deploy(Template(source=source, folder=template.folder))
    assert unknown_settings(made) == [f"{method} /~1webhooks~1bird"]


def test_the_gateway_s_responses_have_the_shape_of_the_functions(deployment: Deployment) -> None:
    responses = deployment.gateway_responses
    assert {
        *("INVALID_API_KEY", "ACCESS_DENIED", "MISSING_AUTHENTICATION_TOKEN", "REQUEST_TOO_LARGE"),
        *("THROTTLED", "QUOTA_EXCEEDED", "INTEGRATION_TIMEOUT", "INTEGRATION_FAILURE"),
        *("API_CONFIGURATION_ERROR", "DEFAULT_4XX", "DEFAULT_5XX"),
    } <= set(responses)
    keys = {"type", "title", "status", "detail", "outcome", "success", "kept", "code"}
    for kind, response in responses.items():
        assert response.body is not None, kind
        body = json.loads(response.body)
        assert set(body) == keys, kind
        assert body["status"] == response.status, kind
        assert (body["outcome"], body["success"], body["kept"]) == ("failed", False, False)
        assert response.headers["Content-Type"] == "application/problem+json", kind
        again = response.status == 429 or (response.status or 0) >= 500
        assert ("Retry-After" in response.headers) is again, kind


def test_throttling_follows_the_parameters(template: Template) -> None:
    assert deploy(template, ThrottleRate="7", ThrottleBurst="9").throttle == (7.0, 9)


# What calls a function


def test_everything_that_calls_a_function_calls_the_function_itself(deployment: Deployment) -> None:
    kinds = {one["Type"] for one in deployment.resources.values()}
    assert not {one for one in kinds if one.startswith("AWS::CodeDeploy")}
    assert not kinds & {"AWS::Lambda::Alias", "AWS::Lambda::Version"}
    (config,) = deployment.of_type("AWS::Lambda::EventInvokeConfig").values()
    qualifier = config["Properties"]["Qualifier"]
    assert qualifier == "$LATEST", "retries hold for what the schedule calls"


def changed(template: Template, **where: str) -> Template:
    """The template as `sam package` would leave it for other code."""
    source = copy.deepcopy(dict(template.source))
    for logical_id, uri in where.items():
        properties = source["Resources"][logical_id]["Properties"]
        properties["ContentUri" if "ContentUri" in properties else "CodeUri"] = uri
    return Template(source=source, folder=template.folder)


def test_other_code_in_the_layer_or_another_parameter_changes_functions(template: Template) -> None:
    def properties(made: Deployment) -> dict[str, Any]:
        functions = made.of_type("AWS::Lambda::Function")
        return {name: made.resolve(one["Properties"]) for name, one in functions.items()}

    on = {"AttachMedia": "on"}
    before = properties(deploy(template, **on))
    for after in (
        properties(deploy(changed(template, BridgeLayer="s3://bucket/other"), **on)),
        properties(deploy(template, DefaultCompany="Acme", **on)),
    ):
        assert all(before[name] != after[name] for name in FUNCTIONS)
    one = properties(deploy(changed(template, Deliver="s3://bucket/other"), **on))
    assert [name for name in FUNCTIONS if before[name] != one[name]] == ["Deliver"]


def test_the_alarm_on_the_api_names_the_stage_that_there_is(deployment: Deployment) -> None:
    (stage,) = deployment.of_type("AWS::ApiGateway::Stage")
    dimensions = deployment.resources["ServerErrorAlarm"]["Properties"]["Dimensions"]
    where = {one["Name"]: one["Value"]["Ref"] for one in dimensions}
    assert where == {"ApiName": "AWS::StackName", "Stage": stage}


# Parameters and outputs


def test_every_parameter_is_described_labelled_and_in_a_group(template: Template) -> None:
    parameters = template.source["Parameters"]
    interface = template.source["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(parameters)
    assert sorted(interface["ParameterLabels"]) == sorted(parameters)
    for name, parameter in parameters.items():
        assert parameter["Description"], name
        limited = {"AllowedValues", "AllowedPattern", "MinValue", "MaxLength"} & set(parameter)
        assert limited, f"{name} takes anything"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "LoginUrl",
            ["https://test.salesforce.com", "https://acme--dev.sandbox.my.salesforce.com"],
            ["http://login.salesforce.com", "https://login.salesforce.com/", "login"],
        ),
        ("ApiVersion", ["v68.0"], ["68.0", "v68", "latest"]),
        ("RefreshMinutes", ["15", "90"], ["14", "91", "often"]),
        ("LeadAssignmentRule", ["default", "off", "01QAAAAAAAAAAAA"], ["true", "00QAAAAAAAAAAAA"]),
        ("DuplicateRecords", ["block", "allow"], ["ignore"]),
        ("ReopenDays", ["0", "3"], ["-1", "often"]),
        ("ReopenStatus", ["New"], ["", " "]),
        ("ExternalIdField", ["", "Bird_Key__c"], ["Bird Key", "Id"]),
        ("DeliverConcurrency", ["2"], ["1"]),
        ("Architecture", ["arm64"], ["sparc"]),
    ],
)
def test_a_parameter_takes_what_it_should_and_nothing_else(
    template: Template, name: str, good: list[str], bad: list[str]
) -> None:
    for value in good:
        assert template.parameters({name: value})[name] == value
    for value in bad:
        with pytest.raises(TemplateError, match=name):
            template.parameters({name: value})


SUBNET, GROUP = "subnet-0a1", "sg-0c3"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b"


@pytest.mark.parametrize(
    "given",
    [
        {"VpcSubnets": SUBNET},
        {"VpcSecurityGroups": GROUP},
        {"DomainName": "bird.example.com"},
        {"HostedZoneId": "Z0123456789"},
        {"AttachMedia": "on", "ExternalIdField": ""},
    ],
)
def test_a_parameter_that_needs_another_is_refused(
    template: Template, given: dict[str, str]
) -> None:
    with pytest.raises(TemplateError, match="as well"):
        deploy(template, **given)


def test_parameters_that_belong_together_are_accepted(template: Template) -> None:
    deploy(template)
    deploy(template, VpcSubnets=SUBNET, VpcSecurityGroups=GROUP)
    deploy(template, DomainName="bird.example.com", CertificateArn=CERTIFICATE)


def test_an_own_address_leads_to_the_stage_and_is_in_the_outputs(template: Template) -> None:
    made = deploy(
        template,
        DomainName="bird.example.com",
        CertificateArn=CERTIFICATE,
        HostedZoneId="Z0123456789",
        CustomerLookup="on",
    )
    domain = made.resolve(made.resources["Domain"]["Properties"])
    assert domain["RegionalCertificateArn"] == CERTIFICATE
    assert domain["EndpointConfiguration"] == {"Types": ["REGIONAL"]}, "as the API's"
    assert domain["SecurityPolicy"] == "TLS_1_2"
    mapping = made.resolve(made.resources["DomainMapping"]["Properties"])
    assert mapping == {
        "DomainName": "ref:Domain",
        "RestApiId": "ref:BirdApi",
        "Stage": "ref:BirdApiv1Stage",
    }, "no base path: its addresses have neither a stage nor a path in front"
    record = made.resolve(made.resources["DomainRecord"]["Properties"])
    assert (record["Name"], record["Type"]) == ("bird.example.com", "A")
    outputs = made.outputs
    for name, path in URLS.items():
        assert outputs[name] == f"https://bird.example.com{path}"
    assert not [name for name, value in outputs.items() if "execute-api" in value]
    assert (
        "DomainRecord"
        not in deploy(template, DomainName="bird.example.com", CertificateArn=CERTIFICATE).resources
    )
    assert not {"Domain", "DomainMapping"} & set(deploy(template).resources)
    assert "DomainTarget" not in deploy(template).outputs


URLS = {
    "LeadsUrl": "/leads",
    "CasesUrl": "/cases",
    "MessagesUrl": "/messages",
    "WebhookUrl": "/webhooks/bird",
    "LookupUrl": "/customers/find",
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_earlier_key_may_only_be_decrypted_with(template: Template, function: str) -> None:
    old = KEY.replace("0a1b2c3d", "0f0f0f0f")
    for given in ({"KmsKeyArn": KEY}, {}):
        made = deploy(template, PreviousKmsKeyArn=old, AttachMedia="on", **given)
        (policy,) = made.resolve(made.resources[f"{function}Role"]["Properties"]["Policies"])
        (use,) = [one for one in policy["PolicyDocument"]["Statement"] if one["Resource"] == old]
        assert use["Action"] == "kms:Decrypt"
        assert use["Condition"]["StringEquals"]["kms:ViaService"]
        # Nothing new is encrypted with it.
        assert made.functions[function].environment["KMS_KEY"] == given.get("KmsKeyArn", "")
        (secret, *_) = made.of_type("AWS::SecretsManager::Secret").values()
        assert made.resolve(secret["Properties"]).get("KmsKeyId") == given.get("KmsKeyArn")


def test_another_stack_of_the_same_name_has_other_parameters(template: Template) -> None:
    def names(stack_id: str) -> tuple[str, ...]:
        made = Deployment(
            template,
            stack_name="aws-bird",  # SSM refuses a name whose first part begins with aws or ssm
            parameters={},
            make=lambda logical_id, kind, properties: dict.fromkeys(
                ("Ref", "Arn", "QueueName", "RootResourceId"), logical_id
            ),
            stack_id=stack_id,
        )
        environment = made.functions["RefreshToken"].environment
        allowed = json.dumps(made.resolve(made.resources["RefreshTokenRole"]["Properties"]))
        found = environment["TOKEN_PARAMETER"], environment["PENDING_PARAMETER"]
        for name in found:
            assert f":parameter{name}" in allowed
        assert found == (made.outputs["TokenParameter"], made.outputs["PendingParameter"])
        return found

    first, second = names("0a1b-1"), names("0a1b-2")
    assert first[0] == "/bird-salesforce/aws-bird/0a1b-1/access-token"
    assert not set(first) & set(second)


def test_nothing_local_is_left_in_a_deployment(deployment: Deployment) -> None:
    environment = deployment.functions["CreateLead"].environment
    assert environment["AWS_ENDPOINT_URL"] == ""
    assert environment["ALLOW_INSECURE_HOSTS"] == ""


# What comes with it


def pins(name: str) -> Iterator[tuple[str, str, bool]]:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            found = re.match(r"([A-Za-z0-9._-]+)(?:\[.*?\])?==([^\s;]+)", line)
            assert found, f"{name}: not pinned: {line[:60]}"
            yield found[1].lower().replace("_", "-"), found[2], "--hash=sha256:" in line


@pytest.mark.parametrize(
    "name",
    [
        "layers/bridge/requirements.txt",
        "requirements-checkov.txt",
        "requirements-dev.txt",
        "requirements-sam.txt",
    ],
)
def test_every_requirement_is_pinned_with_its_hash(name: str) -> None:
    assert all(hashed for _, _, hashed in pins(name))


def test_the_tests_run_with_the_layer_s_own_versions() -> None:
    ours = {name: version for name, version, _ in pins("requirements-dev.txt")}
    for name, version, _ in pins("layers/bridge/requirements.txt"):
        assert ours[name] == version


def test_what_is_published_has_the_project_s_version_and_its_licence(template: Template) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    published = template.source["Metadata"]["AWS::ServerlessRepo::Application"]
    assert published["SemanticVersion"] == project["version"]
    assert published["SpdxLicenseId"] == project["license"]
    for name in ("LicenseUrl", "ReadmeUrl"):
        assert (ROOT / published[name]).is_file()


def test_the_bill_of_materials_lists_what_is_pinned_with_licences() -> None:
    program = [sys.executable, str(ROOT / ".ci" / "sbom.py")]
    done = subprocess.run(program, capture_output=True, text=True, timeout=50, check=True)
    listed = json.loads(done.stdout)["components"]
    assert {(one["name"], one["version"]) for one in listed} == {
        (name, version) for name, version, _ in pins("layers/bridge/requirements.txt")
    }
    for one in listed:
        assert one["licenses"][0]["license"]["name"] in {"MIT", "MIT-0", "PSF-2.0"}, one["name"]
        assert one["properties"], "no hashes"


def test_the_stages_of_samconfig_only_name_parameters_that_there_are(template: Template) -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    for stage, commands in config.items():
        if stage == "version":
            continue
        given = commands["deploy"]["parameters"]
        template.parameters(dict(one.split("=", 1) for one in given.get("parameter_overrides", ())))
        assert given["confirm_changeset"] is True


def test_every_check_that_checkov_leaves_out_has_its_reason_in_the_line() -> None:
    text = (ROOT / ".checkov.yaml").read_text(encoding="utf-8")
    lines = text.split("skip-check:\n")[1].splitlines()
    assert len(lines) == len(yaml.safe_load(text)["skip-check"])
    for line in lines:
        assert re.fullmatch(r"  - CKV2?_AWS_\d+ +# [A-Z].{40,}\.", line), line
