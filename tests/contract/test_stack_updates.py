"""What an update of the stack does, and what a deleted stack leaves.

Two worked-out templates are compared by CloudFormation's resource schemas, which say whose change
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

from tests.contract.deployments import BY_DEFAULT, EVERYTHING, REGION, deploy, inlined
from tools.template import ROOT, Template

KEPT = {"Credentials", "SigningKeys", "Outbox", "Rejected", "RefreshLease"}
"""What holds something that cannot be made again."""

KNOWN_OUTSIDE = {"BirdApi", "BirdApiv1Stage", "ApiKey", "UsagePlan", "UsagePlanKey", "AlarmTopic"}
"""What somebody outside has written down: another address or key would be a lost lead."""

FUNCTIONS = set(BY_DEFAULT)
LOGS = {f"{function}Logs" for function in FUNCTIONS}

# The API is deployed anew whenever the clock shows another second (AlwaysDeploy).
API_DEPLOYED = {"BirdApiDeployment"}
STAGE = {"BirdApiv1Stage"}


@dataclass(frozen=True)
class Change:
    """What an update does, by logical id without the hash that SAM appends."""

    added: set[str]
    removed: set[str]
    modified: set[str]
    replaced: set[str]
    """Of the modified: a new resource is made, and the old one deleted."""


@cache
def template(**parameters: str) -> Mapping[str, Any]:
    resources: Mapping[str, Any] = inlined(parameters)["Resources"]
    return {re.sub("(Deployment)[0-9a-f]{10}$", r"\1", name): resources[name] for name in resources}


def change(before: Mapping[str, Any], after: Mapping[str, Any]) -> Change:
    """What CloudFormation would do, by the resource schemas."""
    modified = {one for one in before.keys() & after.keys() if before[one] != after[one]}
    return Change(
        added=after.keys() - before.keys(),
        removed=before.keys() - after.keys(),
        modified=modified - API_DEPLOYED,
        replaced={one for one in modified if identity(before[one]) != identity(after[one])},
    )


def identity(resource: Mapping[str, Any]) -> dict[str, Any]:
    """What cannot be changed in place."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, resource["Type"]).schema
    found = {"Type": resource["Type"]}
    for rule in ("createOnlyProperties", "conditionalCreateOnlyProperties"):
        for pointer in schema.get(rule, []):
            value: Any = resource.get("Properties", {})
            for part in pointer.removeprefix("/properties/").split("/"):
                value = value.get(part) if isinstance(value, dict) else None
            found[pointer] = value
    return found


def test_every_parameter_is_tried_with_another_value_and_no_condition_holds_by_default() -> None:
    defaults = Template.load().parameters({})
    assert not {name for name, value in EVERYTHING.items() if value == defaults[name]}
    for parameters, holds in (({}, False), (EVERYTHING, True)):
        made = deploy(**parameters)
        for name in made.template.source["Conditions"]:
            assert made.resolve({"Condition": name}) is holds, name


OF_FILES = {"AttachFiles", "AttachFilesFiles", "AttachFilesRole", "AttachFilesLogs"}
OF_FILES |= {"Files", "AccessKey", "FilesOldAlarm", "AttachFilesFailingAlarm"}
FEEDING_ROLES = {f"{name}Role" for name in FUNCTIONS - {"FindCustomer", "RefreshToken"}}
OF_LOOKUPS = {"LookupKey", "LookupPlan", "LookupPlanKey"}
OF_ACCESS_LOGS = {"AccessLogGroup", "TurnedAwayFilter", "TurnedAwayAlarm"}


@pytest.mark.parametrize(
    ("given", "touched", "added"),
    [
        ({"RefreshMinutes": "30"}, {*FUNCTIONS, "RefreshTokenSchedule", "TokenOldAlarm"}, set()),
        ({"LogRetentionDays": "90"}, LOGS, set()),
        ({"DeliverConcurrency": "5"}, {"DeliverOutbox"}, set()),
        ({"LogLevel": "DEBUG"}, FUNCTIONS, set()),
        ({"OutboxAlarmMinutes": "15"}, {"OutboxOldAlarm"}, set()),
        ({"ThrottleRate": "10", "ThrottleBurst": "20"}, {"UsagePlan"}, set()),
        ({"AllowedAddresses": "203.0.113.0/24"}, {"BirdApi"}, set()),
        ({"AlarmEmail": "ops@example.com"}, set(), {"AlarmSubscription"}),
        ({"CustomerLookup": "on"}, FUNCTIONS, OF_LOOKUPS),
        ({"AccessLogs": "on"}, set(), OF_ACCESS_LOGS),
        ({"AttachMedia": "on"}, {*FUNCTIONS, *FEEDING_ROLES, "ThrottledAlarm"}, OF_FILES),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, dict) else "",
)
def test_a_changed_parameter_changes_what_it_is_about_and_nothing_else(
    given: dict[str, str], touched: set[str], added: set[str]
) -> None:
    done = change(template(), template(**given))
    assert (done.modified - STAGE, done.added) == (touched, added)


TOGETHER = (("VpcSubnets", "VpcSecurityGroups"), ("DomainName", "CertificateArn", "HostedZoneId"))
"""Parameters of which one needs the other: the template's rules."""


@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_a_changed_parameter_takes_effect_in_place(name: str) -> None:
    """No resource is made anew that holds something or is known outside, and nothing that was made
    before stands between the change and what runs (docs/adr/0050)."""
    together = {one: EVERYTHING[one] for group in TOGETHER for one in group if name in group}
    before, after = template(), template(**{name: EVERYTHING[name], **together})
    done = change(before, after)
    assert done.replaced == done.removed == set(), "everything is changed in place"
    encrypted = {*KEPT - {"RefreshLease"}, *LOGS} if name == "KmsKeyArn" else set()
    assert done.modified & (KEPT | LOGS) == (LOGS if name == "LogRetentionDays" else encrypted)
    assert done.modified | done.added
    # Another logical id would be another resource, whatever else is the same.
    assert set(after) >= KEPT | KNOWN_OUTSIDE
    one, other = (
        each["Deliver"]["Properties"]["Environment"]["Variables"] for each in (before, after)
    )
    if one != other:
        assert done.modified >= FUNCTIONS, "the functions themselves get the new environment"


def test_after_a_rollback_a_deployment_deploys_the_api_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rollback leaves the stage on the earlier deployment. The same template then has to make a
    new one, or nothing would change: AlwaysDeploy puts the time into its logical id."""
    found = set()
    for second in (1_800_000_000.0, 1_800_000_100.0):
        monkeypatch.setattr(time, "time", lambda second=second: second)
        made = Template(source=Template.load().source, folder=Template.load().folder)
        resources = made.translate(made.parameters({}), region=REGION)["Resources"]
        deployed = resources["BirdApiv1Stage"]["Properties"]["DeploymentId"]["Ref"]
        assert resources[deployed]["Type"] == "AWS::ApiGateway::Deployment"
        found.add(deployed)
    assert len(found) == 2


def test_what_a_deleted_stack_leaves_is_what_the_operations_page_says() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.split("What stays, so that a mistake can be undone")[1]
    # A stack whose first deployment failed leaves nothing; one that is deleted later leaves it.
    retained = {
        name
        for name, one in template(**EVERYTHING).items()
        if one.get("DeletionPolicy") == "RetainExceptOnCreate"
    }
    assert retained == {"Credentials", "SigningKeys"}
    for name in (*retained, "access-token", "pending-refresh-token"):
        assert name in table
    for name in KEPT - {"RefreshLease"}:
        assert template()[name]["UpdateReplacePolicy"] == "Retain", name
