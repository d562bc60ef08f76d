"""What an update of the stack touches, and what it never does.

What CloudFormation would do with a change is worked out twice. From the resource schemas, which
say whose change makes a new resource; and by moto, which carries the update out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from tests.contract.account import (
    EVERYTHING,
    REGION,
    MadeStack,
    account,
    inlined,
)
from tools.template import Template

STACK = "bird-production"

KEPT = {"Credentials", "SigningKeys", "Outbox", "Rejected", "RefreshLease"}
"""What holds something that cannot be made again."""

KNOWN_OUTSIDE = {"BirdApi", "BirdApiv1Stage", "ApiKey", "UsagePlan", "UsagePlanKey", "AlarmTopic"}
"""What somebody outside has written down: another address or key would be a lost lead."""

FUNCTIONS = {"CreateLead", "CreateCase", "ReceiveMessage", "RefreshToken", "Deliver"}
LOGS = {f"{function}Logs" for function in FUNCTIONS}

ANOTHER = {
    **EVERYTHING,
    "AllowInsecureHosts": "salesforce.example.com",
    "ApiVersion": "v67.0",
    "AwsEndpointUrl": "http://127.0.0.1:4566",
    "CaseAssignmentRule": "off",
    "DefaultCompany": "Unknown",
    "DeliverConcurrency": "5",
    "DuplicateRecords": "allow",
    "ExternalIdField": "Key__c",
    "LeadAssignmentRule": "off",
    "LogLevel": "DEBUG",
    "LoginUrl": "https://test.salesforce.com",
    "ResponseBudgetSeconds": "5",
    "WebhookUrl": "https://hooks.example.com/webhooks/bird",
}
"""For every parameter a value that is not its default."""


@dataclass(frozen=True)
class Change:
    """What an update does, by logical id."""

    added: frozenset[str]
    removed: frozenset[str]
    modified: frozenset[str]
    replaced: frozenset[str]
    """Of the modified: a new resource is made, and the old one deleted."""


@cache
def template(**parameters: str) -> Mapping[str, Any]:
    resources: Mapping[str, Any] = inlined(parameters, stack_name=STACK)["Resources"]
    return resources


def change(before: Mapping[str, Any], after: Mapping[str, Any]) -> Change:
    """What CloudFormation would do, by the resource schemas."""
    modified = {one for one in before.keys() & after.keys() if before[one] != after[one]}
    replaced = {
        one
        for one in modified
        if before[one]["Type"] != after[one]["Type"]
        or _of_identity(before[one]) != _of_identity(after[one])
    }
    return Change(
        added=frozenset(after.keys() - before.keys()),
        removed=frozenset(before.keys() - after.keys()),
        modified=frozenset(modified),
        replaced=frozenset(replaced),
    )


def _of_identity(resource: Mapping[str, Any]) -> dict[str, Any]:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, resource["Type"]).schema
    found = {}
    for rule in ("createOnlyProperties", "conditionalCreateOnlyProperties"):
        for pointer in schema.get(rule, []):
            value: Any = resource.get("Properties", {})
            for part in pointer.removeprefix("/properties/").split("/"):
                value = value.get(part) if isinstance(value, dict) else None
            found[pointer] = value
    return found


def family(names: frozenset[str]) -> set[str]:
    """Logical ids without the hash that SAM appends."""
    return {re.sub(r"(Version|Deployment|Layer)[0-9a-f]{10}$", r"\1", name) for name in names}


VERSIONS = {f"{function}Version" for function in FUNCTIONS}
ALIASES = {f"{function}Aliaslive" for function in FUNCTIONS}

# The API is deployed anew whenever the clock shows another second (AlwaysDeploy).
API_DEPLOYED = {"BirdApiDeployment"}
STAGE = {"BirdApiv1Stage"}


# By the schemas


def test_every_parameter_is_tried_with_another_value() -> None:
    parameters = Template.load().source["Parameters"]
    assert set(ANOTHER) == set(parameters)
    assert all(value != str(parameters[name]["Default"]) for name, value in ANOTHER.items())


@pytest.mark.parametrize("name", sorted(ANOTHER))
def test_no_parameter_makes_anything_anew_that_holds_something_or_is_known_outside(
    name: str,
) -> None:
    together = {
        one: ANOTHER[one] for one in ("VpcSubnets", "VpcSecurityGroups") if name.startswith("Vpc")
    }
    done = change(template(), template(**{name: ANOTHER[name], **together}))
    assert done.replaced == set(), "everything is changed in place"
    assert family(done.removed) <= API_DEPLOYED | VERSIONS
    encrypted = {*KEPT - {"RefreshLease"}, *LOGS} if name == "KmsKeyArn" else set()
    assert done.modified & (KEPT | LOGS) == (LOGS if name == "LogRetentionDays" else encrypted)


def test_nothing_is_made_anew_when_everything_changes_at_once() -> None:
    done = change(template(), template(**ANOTHER))
    assert done.replaced == set()
    assert family(done.removed) - API_DEPLOYED == VERSIONS


@pytest.mark.parametrize(
    ("given", "touched"),
    [
        ({"RefreshMinutes": "30"}, {*FUNCTIONS, "RefreshTokenSchedule", "TokenOldAlarm"}),
        ({"LogRetentionDays": "90"}, LOGS),
        ({"DeliverConcurrency": "5"}, {"DeliverOutbox"}),
        ({"OutboxAlarmMinutes": "15"}, {"OutboxOldAlarm"}),
        ({"ThrottleRate": "10", "ThrottleBurst": "20"}, {"UsagePlan"}),
        ({"ReserveRefreshConcurrency": "on"}, {"RefreshToken"}),
        ({"AllowedAddresses": "203.0.113.0/24"}, {"BirdApi"}),
        ({"AlarmEmail": "ops@example.com"}, set()),
    ],
)
def test_a_changed_parameter_changes_what_it_is_about_and_nothing_else(
    given: dict[str, str], touched: set[str]
) -> None:
    done = change(template(), template(**given))
    assert done.modified - STAGE - ALIASES == touched
    assert family(done.added) <= API_DEPLOYED | VERSIONS | {"AlarmSubscription"}


def test_another_release_is_new_versions_that_the_aliases_move_to() -> None:
    first, second = template(ReleaseSha256="a" * 64), template(ReleaseSha256="b" * 64)
    done = change(first, second)
    for one in (done.added, done.removed):
        assert family(one) - API_DEPLOYED == VERSIONS
    assert done.modified - STAGE == FUNCTIONS | ALIASES
    assert done.replaced == set()
    for name in done.removed:
        if family(frozenset({name})) <= VERSIONS:
            assert first[name]["DeletionPolicy"] == "Retain", "to go back to"


def test_a_secret_s_value_cannot_be_touched_by_any_update() -> None:
    for parameters in ({}, ANOTHER):
        for name in ("Credentials", "SigningKeys"):
            secret = template(**parameters)[name]
            assert not {"SecretString", "GenerateSecretString", "Name"} & set(secret["Properties"])
            assert secret["DeletionPolicy"] == secret["UpdateReplacePolicy"] == "Retain"


# By moto


@dataclass(frozen=True)
class Updated:
    """A stack after an update, and what there was before it."""

    stack: MadeStack
    before: Mapping[str, tuple[str, str]]

    def id(self, logical_id: str) -> str:
        return self.stack[logical_id]


CREDENTIALS = json.dumps({"client_id": "id", "refresh_token": "the only one"})


@pytest.fixture(scope="module")
def updated() -> Iterator[Updated]:
    """A connected stack with records waiting, of which much was changed at once."""
    with account():
        stack = MadeStack(STACK, inlined({"ReleaseSha256": "a" * 16}, stack_name=STACK))
        before = stack.resources()
        stack.client("secretsmanager").put_secret_value(
            SecretId=stack["Credentials"], SecretString=CREDENTIALS
        )
        stack.client("ssm").put_parameter(
            Name=f"/{STACK}/access-token", Value="token", Type="SecureString"
        )
        # Not into the outbox: moto would hand it to Deliver at once.
        stack.client("sqs").send_message(QueueUrl=stack["Rejected"], MessageBody="refused")
        stack.client("dynamodb").put_item(
            TableName=stack["RefreshLease"], Item={"name": {"S": "refresh"}}
        )
        changed = {
            "ReleaseSha256": "b" * 16,
            "RefreshMinutes": "30",
            "LogRetentionDays": "90",
            "DeliverConcurrency": "5",
            "OutboxAlarmMinutes": "15",
            "ThrottleRate": "10",
            "ThrottleBurst": "20",
            "LogLevel": "DEBUG",
        }
        stack.update(inlined(changed, stack_name=STACK))
        yield Updated(stack=stack, before=before)


def test_an_update_keeps_everything_but_versions_under_its_old_id(updated: Updated) -> None:
    after = updated.stack.resources()
    gone = {name for name in updated.before if updated.before[name] != after.get(name)}
    assert family(frozenset(gone)) == API_DEPLOYED | VERSIONS
    new = {name for name in after if name not in updated.before}
    assert family(frozenset(new)) == API_DEPLOYED | VERSIONS
    assert set(updated.before) >= KEPT | KNOWN_OUTSIDE


def test_an_update_keeps_what_was_written_since(updated: Updated) -> None:
    stack = updated.stack
    store = stack.client("secretsmanager")
    secret = store.get_secret_value(SecretId=stack["Credentials"])
    assert secret["SecretString"] == CREDENTIALS
    token = stack.client("ssm").get_parameter(Name=f"/{STACK}/access-token", WithDecryption=True)
    assert token["Parameter"]["Value"] == "token"
    received = stack.client("sqs").receive_message(QueueUrl=stack["Rejected"])
    assert [one["Body"] for one in received["Messages"]] == ["refused"]
    item = stack.client("dynamodb").get_item(
        TableName=stack["RefreshLease"], Key={"name": {"S": "refresh"}}
    )
    assert "Item" in item


def test_an_update_does_what_the_parameters_say(updated: Updated) -> None:
    stack = updated.stack
    functions = stack.client("lambda")
    deliver = functions.get_function_configuration(FunctionName=f"{STACK}-deliver")
    variables = deliver["Environment"]["Variables"]
    assert variables["REFRESH_MINUTES"] == "30"
    assert variables["POWERTOOLS_LOG_LEVEL"] == "DEBUG"
    assert variables["CREDENTIALS_SECRET"] == stack["Credentials"]
    (rule,) = stack.client("events").list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "rate(30 minutes)"
    (source,) = functions.list_event_source_mappings()["EventSourceMappings"]
    assert source["ScalingConfig"] == {"MaximumConcurrency": 5}
    groups = stack.client("logs").describe_log_groups()["logGroups"]
    assert {one["retentionInDays"] for one in groups} == {90}
    (alarm,) = stack.client("cloudwatch").describe_alarms(AlarmNames=[f"{STACK}-outbox-old"])[
        "MetricAlarms"
    ]
    assert alarm["Threshold"] == 15
    (plan,) = stack.client("apigateway").get_usage_plans()["items"]
    assert plan["throttle"] == {"rateLimit": 10.0, "burstLimit": 20}
