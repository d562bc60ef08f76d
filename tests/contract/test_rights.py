"""Who may do what: the role of each function, who may call the API, and who may run a function.

`tests/slow/iam` shows that each right is needed; here it is seen that there is no other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.contract.deployments import EVERYTHING, FUNCTIONS, PARAMETERS, deploy, only, properties
from tools.template import Deployment


def consuming(queue: str) -> set[str]:
    ends = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
    return {f"sqs:{end} {queue}" for end in ends} | {"sqs:SendMessage Rejected"}


# RefreshToken's result carries the token, so only who may read the token may have it renewed.
TOKEN = {"ssm:GetParameter access-token", "lambda:InvokeFunction refresh-token"}
HOT_PATH = TOKEN | {"sqs:SendMessage Outbox", "sqs:SendMessage Rejected"}
LEASE = {"dynamodb:PutItem RefreshLease", "dynamodb:DeleteItem RefreshLease"}
READ_KEYS = {"secretsmanager:GetSecretValue SigningKeys"}

# DESIGN's table, in IAM's words: action and resource.
ALLOWED = {
    "CreateLead": HOT_PATH,
    "CreateCase": HOT_PATH,
    "ReceiveMessage": HOT_PATH,
    "FindCustomer": TOKEN,
    "RefreshToken": {
        *("secretsmanager:GetSecretValue Credentials", "secretsmanager:PutSecretValue Credentials"),
        *("ssm:GetParameter access-token", "ssm:PutParameter access-token"),
        *("ssm:GetParameter pending-refresh-token", "ssm:PutParameter pending-refresh-token"),
        *LEASE,
    },
    "Deliver": TOKEN | consuming("Outbox"),
    "AttachFiles": {
        *(TOKEN | LEASE | consuming("Files")),
        "secretsmanager:GetSecretValue AccessKey",
    },
}
RECEIVING = ("CreateLead", "CreateCase", "ReceiveMessage")
KEY, EARLIER_KEY = EVERYTHING["KmsKeyArn"], EVERYTHING["PreviousKmsKeyArn"]

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
INTERFACES = {
    *("ec2:CreateNetworkInterface *", "ec2:DeleteNetworkInterface *"),
    *("ec2:DescribeNetworkInterfaces *", "ec2:DescribeSubnets *"),
    *("ec2:AssignPrivateIpAddresses *", "ec2:UnassignPrivateIpAddresses *"),
}


def services(function: str) -> str:
    """Those that store something which the function reads or writes."""
    own = {right.partition(":")[0] for right in ALLOWED[function]}
    own |= {"secretsmanager"} if function in RECEIVING else set()
    return " ".join(sorted(own & {"secretsmanager", "sqs", "ssm"}))


def of_key(function: str) -> set[str]:
    """What encryption takes: through those services only, and writing only where it writes.

    A standard SecureString is written by kms:Encrypt, all else with a data key:
    https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
    """
    text = " ".join(ALLOWED[function])
    actions = ["Decrypt"]
    actions += ["GenerateDataKey"] if re.search("SendMessage|PutSecretValue", text) else []
    actions += ["Encrypt"] if "ssm:PutParameter" in text else []
    return {f"kms:{action} {KEY} by {services(function)}" for action in actions}


WITH: dict[str, tuple[dict[str, str], Mapping[str, set[str]]]] = {
    "the defaults": ({}, {}),
    "signatures": ({"SignatureScheme": "bird"}, dict.fromkeys(RECEIVING, READ_KEYS)),
    "files": (
        {"AttachMedia": "on"},
        {name: {"sqs:SendMessage Files"} for name in (*RECEIVING, "Deliver")},
    ),
    "a VPC": (
        {name: EVERYTHING[name] for name in ("VpcSubnets", "VpcSecurityGroups")},
        dict.fromkeys(FUNCTIONS, INTERFACES),
    ),
    "a key": ({"KmsKeyArn": KEY}, {name: of_key(name) for name in FUNCTIONS}),
    "an earlier key": (
        {"PreviousKmsKeyArn": EARLIER_KEY},
        {name: {f"kms:Decrypt {EARLIER_KEY} by {services(name)}"} for name in FUNCTIONS},
    ),
}
"""Parameters, and what each function may do in addition."""


NAMED = re.compile(
    "^(?:arn:aws:ssm:us-east-1:123456789012:parameter/bird-salesforce/stack/local/|"
    "arn:aws:lambda:us-east-1:123456789012:function:stack-|arn:(?!aws)|ref:)"
)
"""What stands before a name in a resource of this stack."""


def rights(made: Deployment, function: str) -> list[str]:
    """What a function's role allows, as "action resource", for a key with "by" these services."""
    role = properties(made, f"{function}Role")
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    found = []
    for statement in policy["PolicyDocument"]["Statement"]:
        target = NAMED.sub("", statement.pop("Resource"))
        actions = statement.pop("Action")
        if ":kms:" in target:
            via = statement.pop("Condition")["StringEquals"].pop("kms:ViaService")
            ends = {one.removesuffix(".us-east-1.amazonaws.com") for one in via}
            target += f" by {' '.join(sorted(ends))}"
        else:
            assert target == "*" or isinstance(actions, str), "one action in a statement"
        assert statement == {"Effect": "Allow"}
        found += [f"{one} {target}" for one in ([actions] if isinstance(actions, str) else actions)]
    return found


@pytest.mark.parametrize(("given", "more"), WITH.values(), ids=WITH)
def test_a_role_allows_exactly_what_the_design_says(
    given: dict[str, str], more: Mapping[str, set[str]]
) -> None:
    made = deploy(**given)
    for function in made.functions:
        found = rights(made, function)
        logs = {f"logs:{name} {function}Logs" for name in ("CreateLogStream", "PutLogEvents")}
        assert len(found) == len(set(found)), "a statement is there twice"
        assert set(found) == ALLOWED[function] | logs | more.get(function, set()), function


def test_every_function_has_a_role_of_its_own_and_nothing_else_brings_one_along() -> None:
    made = deploy(**EVERYTHING)
    assert set(made.of_type("AWS::IAM::Role")) == {f"{name}Role" for name in made.functions}
    for name in made.functions:
        assert properties(made, name)["Role"] == f"arn:{name}Role"
        (trust,) = properties(made, f"{name}Role")["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_the_deployer_s_key_encrypts_all_that_is_stored_and_an_earlier_one_nothing() -> None:
    for given, key in (({"KmsKeyArn": KEY}, KEY), ({}, "")):
        made = deploy(PreviousKmsKeyArn=EARLIER_KEY, AccessLogs="on", AttachMedia="on", **given)
        for kind, name in (
            ("AWS::SQS::Queue", "KmsMasterKeyId"),
            ("AWS::SecretsManager::Secret", "KmsKeyId"),
            ("AWS::Logs::LogGroup", "KmsKeyId"),
        ):
            for logical_id in made.of_type(kind):
                stored = properties(made, logical_id)
                assert stored.get(name, "") == key, logical_id
                # SQS takes one or the other.
                assert stored.get("SqsManagedSseEnabled", not key) is not key, logical_id
        for function in made.functions.values():
            assert function.environment["KMS_KEY"] == key


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_the_api_is_open_to_the_addresses_that_are_allowed_and_the_webhook_where_it_is_signed(
    parameters: Mapping[str, str],
) -> None:
    made = deploy(**parameters)
    policy = only(made, "AWS::ApiGateway::RestApi")["Body"]["x-amazon-apigateway-policy"]
    denied: list[dict[str, Any]] = []
    if addresses := parameters.get("AllowedAddresses"):
        limit = {"NotIpAddress": {"aws:SourceIp": addresses.split(",")}}
        denied.append({"Resource": "execute-api:/*", "Condition": limit})
    if parameters.get("SignatureScheme", "none") == "none":
        denied.append({"Resource": "execute-api:/*/*/webhooks/bird"})
    everybody = {"Principal": "*", "Action": "execute-api:Invoke"}
    assert policy["Statement"] == [
        {"Effect": "Allow", "Resource": "execute-api:/*", **everybody},
        *({"Effect": "Deny", **everybody, **one} for one in denied),
    ]
    assert {one.path for one in made.routes if not one.needs_api_key} == {"/webhooks/bird"}


def test_only_the_api_s_routes_and_the_schedule_may_run_a_function() -> None:
    made = deploy()
    allowed = set()
    for logical_id in made.of_type("AWS::Lambda::Permission"):
        permission = properties(made, logical_id)
        assert permission["Action"] == "lambda:InvokeFunction"
        source = permission["SourceArn"].replace("us-east-1:123456789012:ref:BirdApi/*", "api")
        allowed.add((permission["FunctionName"], permission["Principal"], source))
    api, path = "apigateway.amazonaws.com", "arn:aws:execute-api:api/"
    assert allowed == {
        *(
            (f"ref:{one.function}", api, path + one.method + re.sub(r"\{\w+\}", "*", one.path))
            for one in made.routes
        ),
        ("ref:RefreshToken", "events.amazonaws.com", "arn:RefreshTokenSchedule"),
    }
