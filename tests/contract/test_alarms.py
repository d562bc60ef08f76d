"""Alarms and the dashboard: what they watch, for how long, and where a person reads what to do.

`tests/slow/alarms` raises each of them by a fault. That each counter has an alarm, or a reason not
to, is in test_metrics.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.contract.deployments import EVERYTHING, deploy, only, properties
from tools.template import ROOT, Deployment


def alarms(made: Deployment) -> dict[str, Mapping[str, Any]]:
    found = [properties(made, one) for one in made.of_type("AWS::CloudWatch::Alarm")]
    return {one["AlarmName"].removeprefix("stack-"): one for one in found}


def test_alarms_go_to_the_topic_and_a_first_deployment_raises_none() -> None:
    made = deploy(**EVERYTHING)
    topic = ["ref:AlarmTopic"]
    for name, alarm in alarms(made).items():
        # A schedule that has stopped is known by missing data, so that change is sent.
        silent = name == "schedule-stopped"
        assert alarm["AlarmActions"] == topic, name
        assert alarm.get("OKActions", []) == ([] if silent else topic), name
        assert alarm.get("InsufficientDataActions", []) == (topic if silent else []), name
        assert alarm.get("TreatMissingData", "missing") != "breaching", name
        assert "ActionsEnabled" not in alarm
    subscription = only(made, "AWS::SNS::Subscription")
    assert (subscription["TopicArn"], subscription["Endpoint"]) == (*topic, "ops@example.com")
    key = "KmsMasterKeyId"
    assert key not in only(made, "AWS::SNS::Topic"), "CloudWatch could not publish to it"


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


def test_thresholds_follow_the_parameters() -> None:
    made = alarms(deploy(OutboxAlarmMinutes="15", RefreshMinutes="30", AttachMedia="on"))
    assert float(made["outbox-old"]["Threshold"]) == float(made["files-old"]["Threshold"]) == 15
    expressions = [one.get("Expression", "") for one in made["token-old"]["Metrics"]]
    assert any("100 * FILL(age, 0) / (60 * 30)" in one for one in expressions)


def test_an_alarm_s_window_is_longer_than_the_longest_healthy_gap() -> None:
    deployment = deploy()
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
    # Bird repeats for 8 hours and then stops, so that there is time to act:
    # https://docs.bird.com/api/notifications-api/retries
    unsigned = alarms(deploy(SignatureScheme="bird"))["unsigned"]
    assert 2 * unsigned["Period"] * unsigned["EvaluationPeriods"] <= 8 * 3600
    assert float(unsigned["Threshold"]) == 1, "a flow with one message an hour is seen"
    # doctor --after-deploy sends unsigned requests within a minute or two: one half hour, or two.
    assert unsigned["DatapointsToAlarm"] == 2
    # Half of the time that a record is kept.
    assert made["rejected-old"]["Threshold"] == 7 * 24 * 3600


def test_an_alarm_watches_what_there_is_in_this_stack() -> None:
    made = deploy(**EVERYTHING)
    found = alarms(made)
    dimensions = {
        f"{one['Name']} {one['Value']}"
        for alarm in found.values()
        for metric in [
            alarm,
            *(m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m),
        ]
        for one in metric.get("Dimensions", [])
    }
    assert dimensions == {
        *("service stack", "ApiName stack", "Stage ref:BirdApiv1Stage"),
        *(f"QueueName {name}" for name in made.of_type("AWS::SQS::Queue")),
        *(f"FunctionName ref:{name}" for name in made.functions),
    }
    # Throttled requests are counted from the access log.
    counted = only(made, "AWS::Logs::MetricFilter")
    assert counted["LogGroupName"] == "ref:AccessLogGroup"
    (metric,) = counted["MetricTransformations"]
    alarm = found["turned-away"]
    assert metric["MetricNamespace"] == alarm["Namespace"]
    assert metric["MetricName"] == alarm["MetricName"]
    assert [one["Key"] for one in metric["Dimensions"]] == ["service"]


def test_the_dashboard_is_of_one_region_and_shows_the_stack_s_own_queues() -> None:
    dashboard = only(deploy(), "AWS::CloudWatch::Dashboard")
    assert dashboard["DashboardName"] == "stack-us-east-1"
    body = dashboard["DashboardBody"]
    assert json.loads(body)["widgets"] and "${" not in body
    assert '"QueueName", "Outbox"' in body and '"QueueName", "Rejected"' in body
