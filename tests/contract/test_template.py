"""template.yaml against the code and against itself: what no linter knows."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from bridge.delivery.outbox import LONGEST_ENVELOPE
from bridge.delivery.queues import MAX_MESSAGE_BYTES
from bridge.errors import MisconfiguredEnvironment
from bridge.files.attaching import CALL_SECONDS, DOWNLOAD_SECONDS, RESERVED_SECONDS, UPLOAD_SECONDS
from bridge.settings import Settings
from tests.contract.deployments import EVERYTHING, FUNCTIONS, deploy, only, properties
from tools.template import ROOT, Deployment, Template, TemplateError

TEXT = (ROOT / "template.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made() -> Deployment:
    return deploy(AttachMedia="on")


# The file


def test_the_file_has_no_yaml_aliases_which_cloudformation_does_not_read() -> None:
    assert not [one for one in yaml.scan(TEXT) if isinstance(one, yaml.AliasToken)]


def test_a_comment_says_what_each_resource_is_for() -> None:
    resources = TEXT.split("\nResources:\n")[1].split("\nOutputs:\n")[0]
    bare = re.findall(r"^(?!  #).*\n  ([A-Z]\w+):$", resources, re.MULTILINE)
    assert not [name for name in bare if not name.endswith(("Role", "Logs"))]


# Functions


def test_a_function_s_folder_holds_its_handler_and_nothing_else() -> None:
    # A requirements.txt would make `sam build` ask for the runtime's very Python.
    folder = ROOT / "functions"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    files = {one for one in files if "__pycache__" not in one}
    assert files == {f"{name}/app.py" for name in FUNCTIONS.values()}


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_functions_are_named_after_their_folders_and_run_one_layer(architecture: str) -> None:
    made = deploy(Architecture=architecture, AttachMedia="on")
    (layer_id,) = made.of_type("AWS::Lambda::LayerVersion")
    layer = properties(made, layer_id)
    assert architecture in layer["CompatibleArchitectures"]
    assert {name: spec.folder.name for name, spec in made.functions.items()} == FUNCTIONS
    for name, spec in made.functions.items():
        ends = spec.folder.name.replace("_", "-")
        function, logs = properties(made, name), properties(made, f"{name}Logs")
        assert (spec.name, spec.log_group) == (f"stack-{ends}", f"ref:{name}Logs")
        assert logs["LogGroupName"] == f"/stack/{ends}"
        assert function["Layers"] == [f"ref:{layer_id}"]
        assert layer["CompatibleRuntimes"] == [function["Runtime"]]
        assert function["Architectures"] == [architecture]
        # Of Deliver above all: each throttled batch would count as a receive.
        assert "ReservedConcurrentExecutions" not in function
        assert spec.environment == made.functions["CreateLead"].environment


def test_in_a_vpc_are_all_functions_or_none() -> None:
    names = {"VpcSubnets": "SubnetIds", "VpcSecurityGroups": "SecurityGroupIds"}
    inside = {name: EVERYTHING[name] for name in names}
    for parameters in (inside, {}):
        made = deploy(**parameters)
        expected = {names[name]: value.split(",") for name, value in parameters.items()}
        for function in made.functions:
            assert properties(made, function).get("VpcConfig", {}) == expected


def test_everything_that_calls_a_function_calls_the_function_itself(made: Deployment) -> None:
    kinds = {one["Type"] for one in made.resources.values()}
    assert not {one for one in kinds if one.startswith("AWS::CodeDeploy")}
    assert not kinds & {"AWS::Lambda::Alias", "AWS::Lambda::Version"}


def test_the_schedule_and_lambda_repeat_a_failed_refresh_twice(made: Deployment) -> None:
    (target,) = only(made, "AWS::Events::Rule")["Targets"]
    twice = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 900}
    assert target["RetryPolicy"] == twice
    # $LATEST: for what the schedule calls.
    called = {"FunctionName": "ref:RefreshToken", "Qualifier": "$LATEST"}
    assert only(made, "AWS::Lambda::EventInvokeConfig").items() >= {**called, **twice}.items()


# The environment


def test_the_environment_is_what_the_settings_read(made: Deployment) -> None:
    with pytest.raises(MisconfiguredEnvironment) as caught:
        Settings.from_environ({})
    given = set(made.functions["CreateLead"].environment)
    # The AWS client, the telemetry and glibc read these by themselves.
    others = {name for name in given if name.startswith("POWERTOOLS_")}
    others |= {"AWS_ENDPOINT_URL", "URL_SUFFIX", "RES_OPTIONS"}
    assert given == {*re.findall(r"(\w+) is missing", str(caught.value)), *others}


OTHERWISE_NAMED = {
    "ApiVersion": "SALESFORCE_API_VERSION",
    "CaseAssignmentRule": "CASE_ASSIGNMENT",
    "KmsKeyArn": "KMS_KEY",
    "LeadAssignmentRule": "LEAD_ASSIGNMENT",
    "LogLevel": "POWERTOOLS_LOG_LEVEL",
}


def test_a_variable_of_a_parameter_has_its_name_and_its_value() -> None:
    variables = Template.load().source["Globals"]["Function"]["Environment"]["Variables"]
    made = deploy(**EVERYTHING)
    environment = made.functions["CreateLead"].environment
    for name, value in EVERYTHING.items():
        called = OTHERWISE_NAMED.get(name, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper())
        users = [variable for variable, one in variables.items() if one == {"Ref": name}]
        assert users in ([], [called])
        assert not users or environment[called] == value
        assert users or name not in OTHERWISE_NAMED


def test_nothing_local_is_left_in_a_deployment(made: Deployment) -> None:
    environment = made.functions["CreateLead"].environment
    assert environment["AWS_ENDPOINT_URL"] == environment["ALLOW_INSECURE_HOSTS"] == ""


def test_another_stack_of_the_same_name_has_other_parameters() -> None:
    # SSM refuses a name whose first part begins with aws or ssm.
    made = deploy(stack_name="aws-bird", stack_id="0a1b-1")
    environment = made.functions["RefreshToken"].environment
    for name, variable in (
        ("access-token", "TOKEN_PARAMETER"),
        ("pending-refresh-token", "PENDING_PARAMETER"),
    ):
        assert environment[variable] == f"/bird-salesforce/aws-bird/0a1b-1/{name}"
        assert f":parameter{environment[variable]}" in json.dumps(
            properties(made, "RefreshTokenRole")
        )
        assert environment[variable] == made.outputs[variable.title().replace("_", "")]


# Numbers that belong together


def test_a_message_stays_hidden_for_six_tries_and_the_window(made: Deployment) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    outbox, files = made.event_sources
    assert (files.batch_size, files.partial_failures) == (1, True)
    assert (outbox.batch_size, outbox.partial_failures) == (200, True)
    assert outbox.window > 0, "more than ten at a time need a window"
    for source, function in ((files, "AttachFiles"), (outbox, "Deliver")):
        hidden = properties(made, source.queue.removeprefix("arn:"))["VisibilityTimeout"]
        assert source.function == function
        assert hidden == 6 * made.functions[function].timeout + source.window


def test_a_whole_file_fits_into_one_invocation(made: Deployment) -> None:
    one = DOWNLOAD_SECONDS + UPLOAD_SECONDS + RESERVED_SECONDS
    assert one + 3 * CALL_SECONDS < made.functions["AttachFiles"].timeout


def test_a_response_comes_before_any_timeout(made: Deployment) -> None:
    budget = made.template.source["Parameters"]["ResponseBudgetSeconds"]
    for function in {one.function for one in made.routes}:
        timeout = made.functions[function].timeout
        assert budget["MaxValue"] < timeout < 29, "budget, then the function, then API Gateway"
    assert budget["Default"] < 10, "Bird gives a step 10 s"


def test_a_queue_keeps_what_the_api_accepts_for_14_days(made: Deployment) -> None:
    for name in ("Outbox", "Rejected", "Files"):
        queue = properties(made, name)
        assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert not {"FifoQueue", "DelaySeconds", "QueueName"} & set(queue)
        # Of a consumed queue; Deliver and AttachFiles themselves give up after 7 days.
        redrive = {"deadLetterTargetArn": "arn:Rejected", "maxReceiveCount": 1000}
        assert queue.get("RedrivePolicy") == (None if name == "Rejected" else redrive)
        # SQS's default was 256 KiB until August 2025, and emulators still have it.
        assert name == "Files" or queue["MaximumMessageSize"] == 1024 * 1024
    assert LONGEST_ENVELOPE < MAX_MESSAGE_BYTES <= 1024 * 1024


def test_secrets_are_made_without_a_value_or_a_name(made: Deployment) -> None:
    # CloudFormation makes no SecureString; RefreshToken writes both parameters itself.
    assert made.of_type("AWS::SSM::Parameter") == {}
    for name in made.of_type("AWS::SecretsManager::Secret"):
        assert set(properties(made, name)) == {"Description"}, name


def test_the_lease_expires_by_itself(made: Deployment) -> None:
    expiring = {"AttributeName": "expires_at", "Enabled": True}
    assert only(made, "AWS::DynamoDB::Table")["TimeToLiveSpecification"] == expiring


# The API


def test_each_key_is_under_its_plan_and_the_plan_on_the_stage() -> None:
    made = deploy(CustomerLookup="on")
    for key, plan in (("ApiKey", "UsagePlan"), ("LookupKey", "LookupPlan")):
        link = {"KeyId": f"ref:{key}", "KeyType": "API_KEY", "UsagePlanId": f"ref:{plan}"}
        assert properties(made, f"{plan}Key") == link
        stage = {"ApiId": "ref:BirdApi", "Stage": "ref:BirdApiv1Stage"}
        assert properties(made, plan)["ApiStages"] == [stage]
        assert "Quota" not in properties(made, plan)
        assert "Value" not in properties(made, key), "API Gateway makes it"


@pytest.mark.parametrize("scheme", ["none", "bird"])
def test_the_stage_slows_down_each_method_of_the_routes_without_a_key(scheme: str) -> None:
    """Of all settings with a wildcard API Gateway takes only `*` on `/*`, and ANY nowhere; neither
    a change set nor a linter or emulator knows that (docs/adr/0070)."""
    made = deploy(SignatureScheme=scheme, ThrottleRate="7", ThrottleBurst="9")
    # Closed without signatures: one request a second is enough for whoever looks at it.
    rate, burst = (1, 1) if scheme == "none" else ("7", "9")
    assert only(made, "AWS::ApiGateway::Stage")["MethodSettings"] == [
        {
            "ResourcePath": "/" + one.path.replace("/", "~1"),
            "HttpMethod": one.method,
            "ThrottlingRateLimit": rate,
            "ThrottlingBurstLimit": burst,
        }
        for one in made.routes
        if not one.needs_api_key
    ]


def test_the_gateway_s_responses_say_that_nothing_is_kept_and_what_to_repeat(
    made: Deployment,
) -> None:
    # Their bodies' shape: tests/functional/bird/test_openapi.py.
    for kind, response in made.gateway_responses.items():
        assert response.body is not None and response.status is not None, kind
        body = json.loads(response.body)
        assert body["status"] == response.status, kind
        assert (body["outcome"], body["success"], body["kept"]) == ("failed", False, False), kind
        assert response.headers["Content-Type"] == "application/problem+json", kind
        again = response.status == 429 or response.status >= 500
        assert ("Retry-After" in response.headers) is again, kind


# Parameters


def test_every_parameter_is_described_labelled_limited_and_in_a_group() -> None:
    source = Template.load().source
    interface = source["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(source["Parameters"])
    assert sorted(interface["ParameterLabels"]) == sorted(grouped)
    for name, parameter in source["Parameters"].items():
        assert parameter["Description"], name
        assert {"AllowedValues", "AllowedPattern", "MinValue", "MaxLength"} & set(parameter), name


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
    name: str, good: list[str], bad: list[str]
) -> None:
    for value in good:
        assert Template.load().parameters({name: value})[name] == value
    for value in bad:
        with pytest.raises(TemplateError, match=name):
            Template.load().parameters({name: value})


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ("VpcSubnets", "VpcSecurityGroups"),
        ("VpcSecurityGroups", "VpcSubnets"),
        ("DomainName", "CertificateArn"),
        ("HostedZoneId", "DomainName"),
        ("AttachMedia", "ExternalIdField"),
    ],
)
def test_a_parameter_that_needs_another_is_refused_without_it(given: str, needed: str) -> None:
    others = {"ExternalIdField": ""} if needed == "ExternalIdField" else {}
    with pytest.raises(TemplateError, match=f"{given} needs {needed} as well"):
        deploy(**{given: EVERYTHING[given], **others})


# What is there on request


def test_an_own_address_leads_to_the_stage_and_is_in_the_outputs() -> None:
    given = {name: EVERYTHING[name] for name in ("DomainName", "CertificateArn", "HostedZoneId")}
    made = deploy(**given, CustomerLookup="on")
    domain = properties(made, "Domain")
    assert domain["RegionalCertificateArn"] == given["CertificateArn"]
    assert domain["SecurityPolicy"] == "TLS_1_2"
    # No base path: its addresses have neither a stage nor a path in front.
    stage = {"RestApiId": "ref:BirdApi", "Stage": "ref:BirdApiv1Stage"}
    assert properties(made, "DomainMapping") == {"DomainName": "ref:Domain", **stage}
    record = properties(made, "DomainRecord")
    assert (record["Name"], record["Type"]) == ("bird.example.com", "A")
    gateway = "https://ref:BirdApi.execute-api.us-east-1.amazonaws.com/ref:BirdApiv1Stage"
    for one, base in ((made, "https://bird.example.com"), (deploy(CustomerLookup="on"), gateway)):
        assert {name: url for name, url in one.outputs.items() if url.startswith(base)} == {
            "LeadsUrl": f"{base}/leads",
            "CasesUrl": f"{base}/cases",
            "MessagesUrl": f"{base}/messages",
            "WebhookUrl": f"{base}/webhooks/bird",
            "LookupUrl": f"{base}/customers/find",
        }


def test_the_access_log_holds_neither_bodies_nor_queries_nor_keys() -> None:
    logged = only(deploy(AccessLogs="on"), "AWS::ApiGateway::Stage")["AccessLogSetting"]
    assert logged["DestinationArn"] == "arn:AccessLogGroup"
    assert set(json.loads(logged["Format"])) == {
        *("service", "requestId", "time", "ip", "apiKeyId", "method", "route", "status"),
        *("milliseconds", "error"),
    }
