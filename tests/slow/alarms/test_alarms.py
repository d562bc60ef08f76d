"""What is broken raises its own alarm and no other, and mended it goes back.

Every alarm of the translated template is evaluated, minute by minute, over the metrics that a stack
really emits while its time passes (`timeline`), by CloudWatch's rules (`cloudwatch`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from sandbox.org.sample import CLIENT_ID, INTEGRATION_USER
from tools.template import ROOT, Deployment, Template

from .cloudwatch import ALARM, OK
from .timeline import DAY, MINUTE, Timeline, timeline

LEAD = {"LastName": "Okafor"}
PARAMETERS = {
    "AccessLogs": "on",
    "AlarmEmail": "ops@example.com",
    # Long enough for what is broken here between two runs, and short answers.
    "RefreshMinutes": "90",
    "ResponseBudgetSeconds": "2",
}


class Shared:
    """One running stack for many tests, as long as each leaves it well."""

    def __init__(self) -> None:
        self._exit = ExitStack()
        self._made: Timeline | None = None
        self._parameters: dict[str, str] = {}

    def get(self, **parameters: str) -> Timeline:
        """A connected stack that has made a record, in which nothing is wrong."""
        made = self._made
        if made is None or parameters != self._parameters or made.raised():
            self._exit.close()
            made = self._made = self._exit.enter_context(
                timeline(parameters={**PARAMETERS, **parameters})
            )
            self._parameters = parameters
            made.pass_(minutes=1)
        made.settle()
        return made

    def close(self) -> None:
        self._exit.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    made = Shared()
    yield made
    made.close()


@pytest.fixture(scope="module")
def deployed() -> Iterator[Timeline]:
    """A stack that nobody has connected."""
    with timeline(connected=False, parameters=PARAMETERS) as made:
        yield made


def queued(made: Timeline) -> None:
    prefer = {"Prefer": "respond-async"}
    assert made.stack.request("POST", "/leads", LEAD, headers=prefer).status == 202


# What breaks, and what mends it


@dataclass(frozen=True, kw_only=True)
class Broken:
    """`breaks` lets `alarms` be raised, and after `mends` they are not, some hours later."""

    breaks: Callable[[Timeline], None]
    alarms: set[str]
    mends: Callable[[Timeline], object] = lambda made: None
    hours: float = 1
    parameters: dict[str, str] = field(default_factory=dict)


def revoked(made: Timeline) -> None:
    made.stack.org.oauth.revoke(made.stack.credentials()["refresh_token"])
    made.refuse_token()


def connected_anew(made: Timeline) -> None:
    made.stack.connect()
    made.refuse_token()


def missed_run(made: Timeline) -> None:
    """The secret cannot be read when its time has come, nor in the two repetitions."""
    refresh = made.stack.functions["refresh_token"]
    before = refresh.errors
    made.pass_(minutes=made.minutes_to_run - 1)
    denied = {"status": 400, "code": "AccessDeniedException"}
    made.stack.aws.fail("secretsmanager", "GetSecretValue", **denied)
    made.pass_(minutes=10)
    made.stack.aws.heal()
    assert refresh.errors == before + 3
    assert made.raised() == set(), "nobody knows yet; the next run sees it"
    made.pass_(minutes=made.minutes_to_run + 1)


def hidden_field(made: Timeline) -> None:
    made.stack.org.hide_field("Lead", "Bird_Key__c", user=INTEGRATION_USER)
    assert made.post("/leads", LEAD) == 202


def shown_field(made: Timeline) -> None:
    made.stack.org.show_field("Lead", "Bird_Key__c", user=INTEGRATION_USER)


def refused(made: Timeline) -> None:
    assert made.post("/leads", {"Company": "nameless"}) == 422


def refused_a_week_ago(made: Timeline) -> None:
    refused(made)
    made.leap(7 * DAY + MINUTE)


def dropped(made: Timeline) -> None:
    made.stack.client("sqs").purge_queue(QueueUrl=made.stack.rejected_url)


def long_trouble(made: Timeline) -> None:
    """Deliver has tried more than three times: SQS's own metric says nothing any more."""
    made.stack.org.trouble.add(area="rest", status=503, body="down")
    assert made.post("/leads", LEAD) == 202
    made.pass_(minutes=78)


def polls_no_more(made: Timeline) -> None:
    """Somebody has disabled the event source: no function is there to measure anything."""
    made.delivers = False
    queued(made)
    made.pass_(minutes=62)


def polls_again(made: Timeline) -> None:
    made.delivers = True


def api_requests_used_up(made: Timeline) -> None:
    org = made.stack.org
    org.usage.set_used(int(org.settings.daily_requests * 0.85))
    assert made.post("/leads", LEAD) == 201


def api_requests_free(made: Timeline) -> None:
    made.stack.org.usage.set_used(0)
    assert made.post("/leads", LEAD) == 201


def queues_unreachable(made: Timeline) -> None:
    made.stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")
    with made.stack.outage():
        assert made.post("/leads", LEAD) == 503


def heals(made: Timeline) -> None:
    made.stack.aws.heal()


def throttles(path: str) -> Callable[[Timeline], None]:
    """Other functions use the account's concurrency up: the caller is told to come again."""

    def breaks(made: Timeline) -> None:
        with made.stack.account_used_up():
            assert made.post(path, LEAD) == 502

    return breaks


def throttles_the_schedule(made: Timeline) -> None:
    made.pass_(minutes=made.minutes_to_run - 1)
    with made.stack.account_used_up():
        made.pass_(minutes=2)


def throttles_a_refresh(made: Timeline) -> None:
    """The function that was refused runs, and the one that it asks for a new token does not."""
    made.stack.org.oauth.expire_sessions()
    with made.stack.account_used_up(but=1):
        assert made.post("/leads", LEAD) == 202


def throttles_deliver(made: Timeline) -> None:
    queued(made)
    with made.stack.account_used_up():
        made.pass_(minutes=1)


def deliver_crashes(made: Timeline) -> None:
    made.stack.functions["deliver"].doom = lambda: 1
    queued(made)
    made.pass_(minutes=20)


def deliver_lives(made: Timeline) -> None:
    made.stack.functions["deliver"].doom = None


def too_many_requests(made: Timeline) -> None:
    statuses = {made.post("/leads", LEAD) for _ in range(5)}
    assert 429 in statuses
    assert statuses <= {201, 429}


BROKEN = {
    "the connection is revoked": Broken(
        breaks=revoked, alarms={"RefreshFailed"}, mends=connected_anew, hours=4.2
    ),
    "a scheduled refresh fails": Broken(breaks=missed_run, alarms={"TokenOld"}, hours=5),
    "the key field is hidden": Broken(
        breaks=hidden_field, alarms={"NotSetUp"}, mends=shown_field, hours=2
    ),
    "a record is refused": Broken(breaks=refused, alarms={"Rejected"}, mends=dropped),
    "a refused record gets old": Broken(
        breaks=refused_a_week_ago, alarms={"Rejected", "RejectedOld"}, mends=dropped, hours=1.2
    ),
    "Salesforce takes nothing": Broken(
        breaks=long_trouble,
        alarms={"OutboxOld"},
        mends=lambda made: made.stack.org.trouble.clear(),
        hours=2.4,
    ),
    "nobody polls the outbox": Broken(
        breaks=polls_no_more, alarms={"OutboxOld"}, mends=polls_again, hours=2.2
    ),
    "requests are used up": Broken(
        breaks=api_requests_used_up, alarms={"ApiUsage"}, mends=api_requests_free, hours=4.2
    ),
    "the queues cannot be reached": Broken(
        breaks=queues_unreachable, alarms={"ServerError"}, mends=heals
    ),
    # Whoever called was answered by the gateway, with a 5xx: that is told too, and is no less true.
    "Lambda throttles leads": Broken(
        breaks=throttles("/leads"), alarms={"Throttled", "ServerError"}
    ),
    "Lambda throttles cases": Broken(
        breaks=throttles("/cases"), alarms={"Throttled", "ServerError"}
    ),
    "Lambda throttles messages": Broken(
        breaks=throttles("/messages"), alarms={"Throttled", "ServerError"}
    ),
    "Lambda throttles the schedule": Broken(breaks=throttles_the_schedule, alarms={"Throttled"}),
    "Lambda throttles a refresh": Broken(breaks=throttles_a_refresh, alarms={"Throttled"}),
    "Lambda throttles Deliver": Broken(breaks=throttles_deliver, alarms={"Throttled"}),
    "Deliver crashes": Broken(
        breaks=deliver_crashes, alarms={"DeliverFailing"}, mends=deliver_lives
    ),
    "a flow sends too much": Broken(
        breaks=too_many_requests,
        alarms={"TurnedAway"},
        parameters={"ThrottleRate": "1", "ThrottleBurst": "3"},
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_is_broken_raises_its_alarm_and_no_other_and_mended_it_goes_back(
    shared: Shared, broken: Broken
) -> None:
    made = shared.get(**broken.parameters)
    since = made.now
    broken.breaks(made)
    made.pass_(minutes=3)

    assert made.raised() == broken.alarms
    assert made.told(since=since) == {(name, ALARM) for name in broken.alarms}

    broken.mends(made)
    made.pass_(hours=broken.hours)

    assert made.raised() == set()
    for name in broken.alarms:
        # Once there and once back, however AWS is read: nobody is woken up twice.
        assert made.went(name, since=since) == {(ALARM, OK)}, name


def test_a_lost_refresh_token_is_told() -> None:
    with timeline() as made:
        made.stack.org.oauth.apps[CLIENT_ID].rotation = True
        for service, operation in (("secretsmanager", "PutSecretValue"), ("ssm", "PutParameter")):
            made.stack.aws.fail(service, operation, status=400, code="LimitExceededException")
        made.pass_(minutes=1)
        assert "RefreshFailed" in made.raised()


# Every alarm


def test_every_alarm_is_provoked_here(deployed: Timeline) -> None:
    declared = set(deployed.properties)
    provoked = {name for broken in BROKEN.values() for name in broken.alarms}
    assert declared == provoked | {"ScheduleStopped"}, "that one is in test_over_time.py"


def test_every_alarm_says_what_it_means_and_what_to_do_and_has_its_section(
    deployed: Timeline,
) -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    deployment = deployed.stack.deployment
    topic = deployment.resource("AlarmTopic")["Ref"]
    for name, alarm in deployed.properties.items():
        title = alarm["AlarmName"].removeprefix(deployed.stack.stack_name + "-")
        assert f"### {title}\n" in operations, name
        assert f"\n| {title} | " in operations, name
        assert 80 < len(alarm["AlarmDescription"]) <= 1024, name
        assert alarm["AlarmActions"] == [topic], name
        assert alarm.get("OKActions", []) == [topic] * (name != "ScheduleStopped"), name
    (subscription,) = deployment.of_type("AWS::SNS::Subscription").values()
    assert deployment.resolve(subscription["Properties"]["Endpoint"]) == "ops@example.com"
    topic_properties = deployment.resources["AlarmTopic"]["Properties"]
    assert "KmsMasterKeyId" not in topic_properties, "CloudWatch could not publish to it"


def test_without_parameters_nobody_is_subscribed_or_told_of_429() -> None:
    deployment = Deployment(
        Template.load(), stack_name="bird", parameters={}, make=lambda *_: {"Ref": "x"}
    )
    assert deployment.of_type("AWS::SNS::Subscription") == {}
    assert deployment.of_type("AWS::Logs::MetricFilter") == {}
    assert "TurnedAwayAlarm" not in deployment.resources


def test_the_dashboard_is_json_and_shows_metrics_that_there_are(shared: Shared) -> None:
    made = shared.get()
    deployment = made.stack.deployment
    (dashboard,) = deployment.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(deployment.resolve(dashboard["Properties"]["DashboardBody"]))
    made.stack.tick()
    made.refuse_token()
    made.pass_(minutes=1)
    charts = [widget["properties"] for widget in body["widgets"] if widget["type"] == "metric"]
    for chart in charts:
        for metric in chart["metrics"]:
            if metric[0] == "BirdSalesforce" and metric[1] != "TokenRefreshFailed":
                assert tuple(metric[:2]) in made.metrics.names
                assert metric[2:4] == ["service", made.stack.stack_name]
    (by_channel,) = (w["properties"] for w in body["widgets"] if w["type"] == "log")
    assert made.stack.request("POST", "/leads", {"bird": {"channel": "sms"}}).status == 201
    line = json.loads(made.stack.logs("create_lead").splitlines()[-1])
    assert (line["channel"], line["count"]) == ("sms", 1)
    assert set(re.findall(r"\b(?:ispresent|sum)\((\w+)\)", by_channel["query"])) <= set(line)
    groups = deployment.of_type("AWS::Logs::LogGroup").values()
    names = {deployment.resolve(group["Properties"]["LogGroupName"]) for group in groups}
    assert set(re.findall(r"SOURCE '([^']+)'", by_channel["query"])) <= names
