"""What is broken raises its own alarm and no other; what is merely new raises none.

Every alarm of the translated template is evaluated over the metrics that a stack really emits:
ours as its functions print them (CloudWatch's embedded metric format), AWS's as the sandbox's
queues, functions and gateway would give rise to them, under AWS's names.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.org.sample import CLIENT_ID, INTEGRATION_USER
from sandbox.stack import Stack
from sandbox.template import ROOT

Point = tuple[str, str, frozenset[tuple[str, str]], float]
"""Namespace, name, dimensions, value."""

FUNCTIONS = ("create_lead", "create_case", "receive_message", "refresh_token", "deliver")


@dataclass
class Watched:
    """A stack, and what its AWS would have measured since it began."""

    stack: Stack
    answered_5xx: int = 0
    failed: dict[str, int] | None = None
    throttled: int = 0

    def post(self, path: str, body: Any) -> int:
        status = self.stack.request("POST", path, body).status
        self.answered_5xx += status >= 500
        return status

    def renew(self) -> None:
        token = self.stack.token()
        generation = token["generation"] if token else None
        self.stack.invoke("refresh_token", {"refused_generation": generation})

    # What CloudWatch has

    def points(self) -> list[Point]:
        return [*self._embedded(), *self._queues(), *self._functions(), *self._api()]

    def _embedded(self) -> Iterator[Point]:
        for name in FUNCTIONS:
            for line in self.stack.logs(name).splitlines():
                if '"_aws"' not in line:
                    continue
                said = json.loads(line)
                for directive in said["_aws"]["CloudWatchMetrics"]:
                    for dimensions in directive["Dimensions"]:
                        where = frozenset((one, said[one]) for one in dimensions)
                        for metric in directive["Metrics"]:
                            values = said[metric["Name"]]
                            for value in values if isinstance(values, list) else [values]:
                                yield directive["Namespace"], metric["Name"], where, value

    def _queues(self) -> Iterator[Point]:
        for url in (self.stack.outbox_url, self.stack.rejected_url):
            queue = self.stack.aws.queues.queue(url)
            where = frozenset({("QueueName", queue.name)})
            messages = list(queue.messages.values())
            yield "AWS/SQS", "ApproximateNumberOfMessagesVisible", where, len(messages)
            if ages := [time.time() - one.sent_at for one in messages if one.receives < 3]:
                yield "AWS/SQS", "ApproximateAgeOfOldestMessage", where, max(ages)

    def _functions(self) -> Iterator[Point]:
        for name, function in self.stack.functions.items():
            where = frozenset({("FunctionName", function.spec.name)})
            if function.invocations:
                yield "AWS/Lambda", "Invocations", where, function.invocations
            yield "AWS/Lambda", "Errors", where, (self.failed or {}).get(name, 0)
            yield "AWS/Lambda", "Throttles", where, self.throttled if name == "create_lead" else 0

    def _api(self) -> Iterator[Point]:
        where = frozenset({("ApiName", self.stack.stack_name), ("Stage", "v1")})
        yield "AWS/ApiGateway", "5XXError", where, self.answered_5xx

    # What its alarms make of it

    def alarms(self) -> set[str]:
        """The alarms that would be raised, by logical id without "Alarm"."""
        points = self.points()
        declared = self.stack.deployment.of_type("AWS::CloudWatch::Alarm")
        return {
            name.removesuffix("Alarm")
            for name, one in declared.items()
            if raised(self.stack.deployment.resolve(one["Properties"]), points)
        }


def raised(alarm: Mapping[str, Any], points: list[Point]) -> bool:
    """Whether an alarm's threshold is crossed by the points in its one period."""
    if "Metrics" in alarm:
        value = calculated(alarm["Metrics"], points)
    else:
        value = statistic(alarm, alarm["Statistic"], points)
    if value is None:
        return bool(alarm["TreatMissingData"] == "breaching")
    threshold = float(alarm["Threshold"])
    compare: dict[str, bool] = {
        "GreaterThanThreshold": value > threshold,
        "GreaterThanOrEqualToThreshold": value >= threshold,
        "LessThanThreshold": value < threshold,
    }
    return compare[alarm["ComparisonOperator"]]


def statistic(metric: Mapping[str, Any], name: str, points: list[Point]) -> float | None:
    wanted = frozenset((one["Name"], one["Value"]) for one in metric["Dimensions"])
    values = [
        value
        for namespace, metric_name, where, value in points
        if (namespace, metric_name, where) == (metric["Namespace"], metric["MetricName"], wanted)
    ]
    return {"Sum": sum, "Maximum": max}[name](values) if values else None


def calculated(metrics: list[Mapping[str, Any]], points: list[Point]) -> float | None:
    """CloudWatch's metric math, as far as the template uses it."""
    values: dict[str, Any] = {
        "FILL": lambda value, other: other if value is None else value,
        "MAX": max,
        "SUM": sum,
    }
    (expression,) = (one["Expression"] for one in metrics if "Expression" in one)
    for one in metrics:
        if "MetricStat" in one:
            stat = one["MetricStat"]
            values[one["Id"]] = statistic(stat["Metric"], stat["Stat"], points)
    if "FILL" not in expression and any(
        values[name] is None for name in re.findall(r"[a-z]\w+", expression)
    ):
        return None
    return float(eval(expression, {"__builtins__": {}}, values))


@contextmanager
def watched(**more: Any) -> Iterator[Watched]:
    with Stack(poll=False, processes=1, **more) as stack:
        yield Watched(stack)


@pytest.fixture
def running() -> Iterator[Watched]:
    """A connected stack that has made a record."""
    with watched() as made:
        made.stack.tick()
        assert made.post("/leads", {"LastName": "Okafor"}) == 201
        assert made.alarms() == set()
        yield made


# Quiet where nothing is wrong


def test_a_stack_that_nobody_has_connected_yet_raises_no_alarm() -> None:
    with watched(connected=False, parameters={"AlarmEmail": "ops@example.com"}) as made:
        assert not made.stack.tick().failed
        assert made.alarms() == set()


def test_a_first_deployment_is_quiet_and_a_schedule_that_stops_later_is_not() -> None:
    with watched(connected=False) as made:
        deployment = made.stack.deployment
        declared = deployment.resources["ScheduleStoppedAlarm"]
        alarm = deployment.resolve(declared["Properties"])
        assert made.alarms() == set(), "no data yet"
        # A new alarm is in INSUFFICIENT_DATA; only going back to it from OK is told.
        assert alarm["TreatMissingData"] == "missing"
        assert alarm["InsufficientDataActions"] == alarm["AlarmActions"]
        made.stack.tick()
        metric = (alarm["Namespace"], alarm["MetricName"])
        assert metric in {point[:2] for point in made.points()}
        longest = deployment.template.source["Parameters"]["RefreshMinutes"]["MaxValue"]
        assert alarm["Period"] >= 60 * longest * 2


# What is broken raises its alarm


def revoked(made: Watched) -> None:
    made.stack.org.oauth.revoke(made.stack.credentials()["refresh_token"])
    made.renew()


def old_token(made: Watched) -> None:
    """As if the refresh of an hour ago had failed: its token is older than it may be."""
    ssm, token = made.stack.client("ssm"), made.stack.token()
    assert token is not None
    token["issued_at"] = str(int((time.time() - 45 * 60 * 1.7) * 1000))
    ssm.put_parameter(
        Name=made.stack.token_parameter,
        Value=json.dumps(token),
        Type="SecureString",
        Overwrite=True,
    )
    made.stack.tick()


def hidden_field(made: Watched) -> None:
    made.stack.org.hide_field("Lead", "Bird_Key__c", user=INTEGRATION_USER)
    assert made.post("/leads", {"LastName": "Okafor"}) == 202


def refused(made: Watched) -> None:
    assert made.post("/leads", {"Company": "nameless"}) == 422


def refused_a_week_ago(made: Watched) -> None:
    refused(made)
    made.stack.aws.queues.age(made.stack.rejected_url, 7 * 86_400 + 60)


def long_outage(made: Watched) -> None:
    """Deliver has tried more than three times: SQS's own metric says nothing any more."""
    with made.stack.outage():
        assert made.post("/leads", {"LastName": "Okafor"}) == 202
        made.stack.age_outbox(61 * 60)
        for _ in range(4):
            made.stack.let_time_pass()
            made.stack.deliver_once()


def never_delivered(made: Watched) -> None:
    with made.stack.outage():
        assert made.post("/leads", {"LastName": "Okafor"}) == 202
    made.stack.age_outbox(61 * 60)


def api_requests_used_up(made: Watched) -> None:
    org = made.stack.org
    org.usage.set_used(int(org.settings.daily_requests * 0.85))
    assert made.post("/leads", {"LastName": "Okafor"}) == 201


def queues_unreachable(made: Watched) -> None:
    made.stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")
    with made.stack.outage():
        assert made.post("/leads", {"LastName": "Okafor"}) == 503
    made.stack.aws.heal()


def lambda_throttles(made: Watched) -> None:
    made.throttled = 1


def deliver_raises(made: Watched) -> None:
    outcome = made.stack.invoke("deliver", ["not an SQS event"])
    made.failed = {"deliver": int(outcome.failed)}


BROKEN: dict[str, tuple[str, Callable[[Watched], None]]] = {
    "the connection is revoked": ("RefreshFailed", revoked),
    "a refresh has failed": ("TokenOld", old_token),
    "the key field is hidden": ("NotSetUp", hidden_field),
    "a record is refused": ("Rejected", refused),
    "an outage lasts": ("OutboxOld", long_outage),
    "nothing is delivered": ("OutboxOld", never_delivered),
    "requests are used up": ("ApiUsage", api_requests_used_up),
    "the queues cannot be reached": ("ServerError", queues_unreachable),
    "Lambda throttles": ("Throttled", lambda_throttles),
    "Deliver raises": ("DeliverFailing", deliver_raises),
}


@pytest.mark.parametrize(("alarm", "breaks"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_raises_its_alarm_and_no_other(
    running: Watched, alarm: str, breaks: Callable[[Watched], None]
) -> None:
    breaks(running)

    assert running.alarms() == {alarm}


def test_what_was_refused_a_week_ago_is_told_once_more(running: Watched) -> None:
    refused_a_week_ago(running)

    assert running.alarms() == {"Rejected", "RejectedOld"}


def test_a_lost_refresh_token_is_told() -> None:
    with watched() as made:
        made.stack.org.oauth.apps[CLIENT_ID].rotation = True
        for service, operation in (("secretsmanager", "PutSecretValue"), ("ssm", "PutParameter")):
            made.stack.aws.fail(service, operation, status=400, code="LimitExceededException")
        assert made.stack.tick().failed
        assert "RefreshFailed" in made.alarms()


# Every alarm


def test_every_alarm_is_provoked_here() -> None:
    with watched(connected=False) as made:
        declared = made.stack.deployment.of_type("AWS::CloudWatch::Alarm")
    provoked = {alarm for alarm, _ in BROKEN.values()} | {"RejectedOld", "ScheduleStopped"}
    assert {name.removesuffix("Alarm") for name in declared} == provoked


def test_every_alarm_says_what_it_means_and_what_to_do_and_has_its_section() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    with watched(connected=False, parameters={"AlarmEmail": "ops@example.com"}) as made:
        deployment = made.stack.deployment
        topic = deployment.resource("AlarmTopic")["Ref"]
        for name, one in deployment.of_type("AWS::CloudWatch::Alarm").items():
            alarm = deployment.resolve(one["Properties"])
            title = alarm["AlarmName"].removeprefix(made.stack.stack_name + "-")
            assert f"### {title}\n" in operations, name
            assert 80 < len(alarm["AlarmDescription"]) <= 1024, name
            assert alarm["AlarmActions"] == [topic], name
        (subscription,) = deployment.of_type("AWS::SNS::Subscription").values()
        assert deployment.resolve(subscription["Properties"]["Endpoint"]) == "ops@example.com"
        topic_properties = deployment.resources["AlarmTopic"]["Properties"]
        assert "KmsMasterKeyId" not in topic_properties, "CloudWatch could not publish to it"


def test_without_an_address_nobody_is_subscribed() -> None:
    with watched(connected=False) as made:
        assert made.stack.deployment.of_type("AWS::SNS::Subscription") == {}


def test_the_dashboard_is_json_and_shows_metrics_that_there_are(running: Watched) -> None:
    deployment = running.stack.deployment
    (dashboard,) = deployment.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(deployment.resolve(dashboard["Properties"]["DashboardBody"]))
    running.stack.tick()
    refused(running)
    emitted = {(namespace, name) for namespace, name, _, _ in running.points()}
    for widget in body["widgets"]:
        for metric in widget["properties"]["metrics"]:
            if metric[0] == "BirdSalesforce" and metric[1] != "TokenRefreshFailed":
                assert tuple(metric[:2]) in emitted
                assert metric[2:4] == ["service", running.stack.stack_name]
