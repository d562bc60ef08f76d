"""What an update of the stack does, and what of two stacks in one account could collide.

Two translated templates are compared by CloudFormation's resource schemas, which say whose change
makes a new resource.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from tests.contract.deployments import BY_DEFAULT, EVERYTHING, PARAMETERS, REGION, deploy, inlined
from tools.template import ROOT, Template

KEPT = {"Credentials", "SigningKeys", "Outbox", "Rejected", "RefreshLease"}
"""What holds something that cannot be made again."""

KNOWN_OUTSIDE = {"BirdApi", "BirdApiv1Stage", "ApiKey", "UsagePlan", "UsagePlanKey", "AlarmTopic"}
"""What somebody outside has written down: another address or key would be a lost lead."""

LOGS = {f"{function}Logs" for function in BY_DEFAULT}


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
    resources: Mapping[str, Any] = inlined(parameters)["Resources"]
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
    return {re.sub(r"(Deployment|Layer)[0-9a-f]{10}$", r"\1", name) for name in names}


# The API is deployed anew whenever the clock shows another second (AlwaysDeploy).
API_DEPLOYED = {"BirdApiDeployment"}
STAGE = {"BirdApiv1Stage"}


def test_every_parameter_is_tried_with_another_value_that_is_allowed() -> None:
    defaults = Template.load().parameters({})
    assert {name for name, value in EVERYTHING.items() if value == defaults[name]} == set()
    assert Template.load().parameters(EVERYTHING) == EVERYTHING


def test_no_condition_holds_by_default_and_each_with_every_parameter_changed() -> None:
    for parameters, holds in (({}, False), (EVERYTHING, True)):
        made = deploy(**parameters)
        for name in made.template.source["Conditions"]:
            assert made.resolve({"Condition": name}) is holds, name


TOGETHER = (("VpcSubnets", "VpcSecurityGroups"), ("DomainName", "CertificateArn", "HostedZoneId"))
"""Parameters of which one needs the other: the template's rules."""


def test_nothing_is_made_anew_when_everything_changes_at_once() -> None:
    done = change(template(), template(**EVERYTHING))
    assert done.replaced == set()
    assert family(done.removed) <= API_DEPLOYED


@pytest.mark.parametrize(
    ("given", "touched"),
    [
        ({"RefreshMinutes": "30"}, {*BY_DEFAULT, "RefreshTokenSchedule", "TokenOldAlarm"}),
        ({"LogRetentionDays": "90"}, LOGS),
        ({"DeliverConcurrency": "5"}, {"DeliverOutbox"}),
        ({"LogLevel": "DEBUG"}, set(BY_DEFAULT)),
        ({"OutboxAlarmMinutes": "15"}, {"OutboxOldAlarm"}),
        ({"ThrottleRate": "10", "ThrottleBurst": "20"}, {"UsagePlan"}),
        ({"AllowedAddresses": "203.0.113.0/24"}, {"BirdApi"}),
        ({"AlarmEmail": "ops@example.com"}, set()),
    ],
)
def test_a_changed_parameter_changes_what_it_is_about_and_nothing_else(
    given: dict[str, str], touched: set[str]
) -> None:
    done = change(template(), template(**given))
    assert done.modified - STAGE == touched
    assert family(done.added) <= API_DEPLOYED | {"AlarmSubscription"}


@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_a_changed_parameter_takes_effect_in_place(name: str) -> None:
    """No resource is made anew that holds something or is known outside, and nothing that was made
    before stands between the change and what runs (docs/adr/0050)."""
    together = {one: EVERYTHING[one] for group in TOGETHER for one in group if name in group}
    before, after = template(), template(**{name: EVERYTHING[name], **together})
    done = change(before, after)
    assert done.replaced == set(), "everything is changed in place"
    assert family(done.removed) <= API_DEPLOYED
    encrypted = {*KEPT - {"RefreshLease"}, *LOGS} if name == "KmsKeyArn" else set()
    assert done.modified & (KEPT | LOGS) == (LOGS if name == "LogRetentionDays" else encrypted)
    assert done.modified | {one for one in done.added if "Deployment" not in one}
    one, other = (
        each["Deliver"]["Properties"]["Environment"]["Variables"] for each in (before, after)
    )
    if one != other:
        assert set(BY_DEFAULT) <= done.modified, "the functions themselves get the new environment"


def test_after_a_rollback_a_deployment_deploys_the_api_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rollback leaves the stage on the earlier deployment. The same template then has to make a
    new one, or nothing would change: AlwaysDeploy puts the time into its logical id."""
    found = []
    for second in (1_800_000_000, 1_800_000_100):
        monkeypatch.setattr(time, "time", lambda second=second: float(second))
        made = Template(source=Template.load().source, folder=Template.load().folder)
        resources = made.translate(made.parameters({}), region=REGION)["Resources"]
        (stage,) = (one for one in resources.values() if one["Type"] == "AWS::ApiGateway::Stage")
        deployed = stage["Properties"]["DeploymentId"]["Ref"]
        assert resources[deployed]["Type"] == "AWS::ApiGateway::Deployment"
        found.append(deployed)
    assert found[0] != found[1]


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=[*PARAMETERS])
def test_what_must_not_be_made_anew_has_one_logical_id(parameters: Mapping[str, str]) -> None:
    # Another logical id is another resource, whatever else is the same.
    assert set(template(**parameters)) >= KEPT | KNOWN_OUTSIDE


# Two stacks


def names(resources: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(Type, name) of every resource with a fixed name."""
    found = set()
    for resource in resources.values():
        key = NAMED.get(resource["Type"])
        if key and key in resource["Properties"]:
            found.add((resource["Type"], str(resource["Properties"][key])))
    return found


NAMED = {
    "AWS::ApiGateway::RestApi": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SecretsManager::Secret": "Name",
}
"""The property that fixes a resource's name, where the template gives one."""

IN_ALL_REGIONS = {"AWS::IAM::Role", "AWS::CloudWatch::Dashboard"}
"""What is one thing in all regions of an account."""


def test_stages_are_deployed_beside_each_other_and_beside_the_same_one_in_another_region() -> None:
    one, other = (names(inlined(EVERYTHING, stack_name=name)["Resources"]) for name in ("a", "b"))
    assert len(one) > len(BY_DEFAULT) + len(LOGS)
    assert not one & other
    here, elsewhere = (
        names(inlined({}, region=region)["Resources"]) for region in (REGION, "ap-southeast-2")
    )
    assert not {kind for kind, _ in here & elsewhere} & IN_ALL_REGIONS


def test_stacks_share_no_parameter_function_or_service_name() -> None:
    variables = [
        inlined({}, stack_name=name)["Resources"]["Deliver"]["Properties"]["Environment"]
        for name in ("one", "two")
    ]
    one, two = (each["Variables"] for each in variables)
    for name in ("TOKEN_PARAMETER", "PENDING_PARAMETER", "REFRESH_FUNCTION"):
        assert one[name] != two[name]
    assert (one["POWERTOOLS_SERVICE_NAME"], two["POWERTOOLS_SERVICE_NAME"]) == ("one", "two")


# Taken down


def test_what_a_deleted_stack_leaves_is_what_the_operations_page_says() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.split("What stays, so that a mistake can be undone")[1]
    retained = {
        name
        for name, one in template(**EVERYTHING).items()
        if one.get("DeletionPolicy") == "RetainExceptOnCreate"
    }
    assert retained == {"Credentials", "SigningKeys"}
    for name in (*retained, "access-token", "pending-refresh-token"):
        assert name in table
