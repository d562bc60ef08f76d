"""Stacks beside each other in one account, and what is left of one that was taken down."""

from __future__ import annotations

from tests.contract.account import ELSEWHERE, EVERYTHING, REGION, MadeStack, account, translated
from tools.template import ROOT

STACK = "bird-production"

# Two stacks


GLOBAL = {"AWS::IAM::Role", "AWS::CloudWatch::Dashboard"}
"""What is one thing in all regions of an account."""


def test_stages_live_beside_each_other_and_beside_the_same_stage_in_another_region() -> None:
    names = {"bird": REGION, "bird-deliver": REGION}
    with account():
        stacks = [
            MadeStack(name, translated({}, region=region), region=region)
            for name, region in [*names.items(), ("bird", ELSEWHERE)]
        ]
        seen: dict[tuple[str, str, str], str] = {}
        for number, stack in enumerate(stacks):
            for logical_id, (kind, physical) in stack.resources().items():
                if kind in ("AWS::Lambda::Permission", "AWS::ApiGateway::Stage"):
                    continue  # without a name of its own
                where = "" if kind in GLOBAL else stack.region
                whose = seen.setdefault((kind, physical, where), f"{number} {logical_id}")
                assert whose == f"{number} {logical_id}", physical
        environments = [
            stack.client("lambda").get_function_configuration(FunctionName=stack["Deliver"])[
                "Environment"
            ]["Variables"]
            for stack in stacks[:2]
        ]
    own = ("TOKEN_PARAMETER", "PENDING_PARAMETER", "REFRESH_FUNCTION", "POWERTOOLS_SERVICE_NAME")
    for variable in (*own, "OUTBOX_URL", "REJECTED_URL", "LEASE_TABLE", "CREDENTIALS_SECRET"):
        assert len({one[variable] for one in environments}) == 2, variable


# Taken down


def test_what_stays_of_a_deleted_stack_is_what_the_operations_page_says() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.split("What stays, on purpose")[1]
    kinds = {
        name: one["Type"]
        for name, one in translated(EVERYTHING)["Resources"].items()
        if one.get("DeletionPolicy") == "Retain" and one["Type"] != "AWS::Lambda::Version"
    }
    assert set(kinds) == {"Credentials", "SigningKeys"}
    for name in kinds:
        assert f"`{name}`" in table
    with account():
        stack = MadeStack(STACK, translated({}))
        secret, queue = stack["Credentials"], stack["Outbox"]
        stack.client("ssm").put_parameter(
            Name=f"/{STACK}/access-token", Value="token", Type="SecureString"
        )
        stack.delete()
        left = {
            "secrets": [
                one["ARN"] for one in stack.client("secretsmanager").list_secrets()["SecretList"]
            ],
            "parameters": [
                one["Name"] for one in stack.client("ssm").describe_parameters()["Parameters"]
            ],
            "queues": stack.client("sqs").list_queues().get("QueueUrls", []),
            "tables": stack.client("dynamodb").list_tables()["TableNames"],
            "functions": stack.client("lambda").list_functions()["Functions"],
            "layers": stack.client("lambda").list_layers()["Layers"],
            "sources": stack.client("lambda").list_event_source_mappings()["EventSourceMappings"],
            "logs": stack.client("logs").describe_log_groups()["logGroups"],
            "roles": stack.client("iam").list_roles()["Roles"],
            "rules": stack.client("events").list_rules()["Rules"],
            "apis": stack.client("apigateway").get_rest_apis()["items"],
            "keys": stack.client("apigateway").get_api_keys()["items"],
            "plans": stack.client("apigateway").get_usage_plans()["items"],
            "alarms": stack.client("cloudwatch").describe_alarms()["MetricAlarms"],
            "dashboards": stack.client("cloudwatch").list_dashboards()["DashboardEntries"],
            "topics": stack.client("sns").list_topics()["Topics"],
        }
    assert secret in left["secrets"] and len(left.pop("secrets")) == 2
    assert queue not in left["queues"]
    assert left.pop("parameters") == [f"/{STACK}/access-token"]
    assert {name for name, some in left.items() if some} == set()
