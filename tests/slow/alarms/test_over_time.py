"""What an alarm does over hours: quiet while all is well, steady while something is broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sandbox.org.sample import INTEGRATION_USER

from .cloudwatch import ALARM, INSUFFICIENT_DATA, OK
from .timeline import MINUTE, Timeline, timeline

LEAD = {"LastName": "Okafor"}
INTERVALS = (15, 45, 90)
"""RefreshMinutes: the least, the usual, the most."""


def every(minutes: int) -> dict[str, dict[str, str]]:
    return {"parameters": {"RefreshMinutes": str(minutes), "ResponseBudgetSeconds": "2"}}


class Shared:
    """One connected stack for each interval, as long as the tests leave it well."""

    def __init__(self) -> None:
        self._exit = ExitStack()
        self._made: dict[int, Timeline] = {}

    def get(self, minutes: int) -> Timeline:
        """A stack that has run for a while, just after a run of its schedule."""
        made = self._made.get(minutes)
        if made is None or made.raised() or made.state("ScheduleStopped") != {OK}:
            made = self._exit.enter_context(timeline(**every(minutes)))
            self._made[minutes] = made
        made.pass_(minutes=made.minutes_to_run + 1)
        made.settle()
        return made

    def close(self) -> None:
        self._exit.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    made = Shared()
    yield made
    made.close()


def stop_schedule(made: Timeline) -> None:
    """As `aws events disable-rule` does."""
    made.stack.client("events").disable_rule(Name=made.stack.schedule.rule)


def start_schedule(made: Timeline) -> None:
    made.stack.client("events").enable_rule(Name=made.stack.schedule.rule)


def queue(made: Timeline) -> None:
    prefer = {"Prefer": "respond-async"}
    assert made.stack.request("POST", "/leads", LEAD, headers=prefer).status == 202


# All is well


@pytest.mark.parametrize("first_run", [0, 90 * MINUTE])
def test_a_first_deployment_tells_nobody_who_could_know_and_nothing_of_its_schedule(
    first_run: float,
) -> None:
    """Alarms say that they are OK when they are made, before anybody can have confirmed that he
    wants to be told. EventBridge does not say whether a new rule fires at once or after its
    interval; nobody connects this stack."""
    with timeline(connected=False, first_run=first_run, **every(90)) as made:
        made.pass_(minutes=1)
        first = made.told()
        assert {state for _, state in first} == {OK}
        made.pass_(minutes=79)
        assert made.state("ScheduleStopped") == {INSUFFICIENT_DATA if first_run else OK}
        made.pass_(hours=6)
        assert made.state("ScheduleStopped") == {OK}
        assert made.raised() == set()
        assert made.told() == first
        assert "ScheduleStopped" not in {name for name, _ in first}


@pytest.mark.parametrize("minutes", INTERVALS)
def test_a_healthy_stack_tells_nothing(shared: Shared, minutes: int) -> None:
    made = shared.get(minutes)
    since = made.now
    made.pass_(hours=5)
    assert made.told(since=since) == set()
    assert made.state("ScheduleStopped") == {OK}


@pytest.mark.parametrize("minutes", INTERVALS)
def test_a_token_that_is_renewed_between_two_runs_is_not_called_old(
    shared: Shared, minutes: int
) -> None:
    """The run after such a renewal leaves a token that is younger than half the interval; at the
    next run it is older than the interval by almost a half."""
    made = shared.get(minutes)
    since = made.now
    made.pass_(minutes=minutes // 2 + 2)
    made.refuse_token()
    made.pass_(minutes=2 * minutes)
    ((_, ages),) = [
        points for (_, name, _), points in made.metrics.points.items() if name == "TokenAge"
    ]
    assert 1.3 * minutes * MINUTE < max(ages[-6:]) < 1.5 * minutes * MINUTE
    made.pass_(hours=1)
    assert made.told(since=since) == set()


# The schedule misses a run, or stops


@pytest.mark.parametrize("minutes", INTERVALS)
def test_one_missed_run_is_told_once_by_the_next_one(shared: Shared, minutes: int) -> None:
    made = shared.get(minutes)
    since = made.now
    stop_schedule(made)
    made.pass_(minutes=made.minutes_to_run + 1)
    start_schedule(made)
    made.pass_(minutes=made.minutes_to_run)
    assert made.raised() == set()
    made.pass_(minutes=1)
    assert made.raised() == {"TokenOld"}
    made.pass_(hours=4.5)
    assert made.went("TokenOld", since=since) == {(ALARM, OK)}


@pytest.mark.parametrize(("minutes", "how"), [(45, "deleted"), (90, "disabled")])
def test_a_schedule_that_stops_is_told_once_and_goes_back_when_it_runs(
    shared: Shared, minutes: int, how: str
) -> None:
    made = shared.get(minutes)
    events, rule = made.stack.client("events"), made.stack.schedule.rule
    since = made.now
    if how == "disabled":
        stop_schedule(made)
    else:
        targets = events.list_targets_by_rule(Rule=rule)["Targets"]
        events.remove_targets(Rule=rule, Ids=[one["Id"] for one in targets])
        events.delete_rule(Name=rule)
    made.pass_(hours=3)
    assert made.told(since=since) == set()
    made.pass_(hours=1.1)
    assert made.told(since=since) == {("ScheduleStopped", INSUFFICIENT_DATA)}
    made.pass_(hours=2)
    assert made.went("ScheduleStopped", since=since) == {(INSUFFICIENT_DATA,)}
    assert made.raised() == set()
    if how == "disabled":
        start_schedule(made)
        made.pass_(minutes=made.minutes_to_run + 1)
        assert made.state("ScheduleStopped") == {OK}
        # The token is as old as the schedule stood still, and that is told for a while.
        made.pass_(hours=4.5)
        assert made.went("TokenOld", since=since) == {(ALARM, OK)}


def test_an_update_that_starts_the_interval_anew_tells_nothing(shared: Shared) -> None:
    """The longest gap that an update makes: just before a run, and the new rule waits first."""
    made = shared.get(90)
    since = made.now
    made.pass_(minutes=made.minutes_to_run)
    made.restart_schedule(after=90 * MINUTE, every=90 * MINUTE)
    made.pass_(hours=5)
    # An update leaves alarms in the state in which they are (PutMetricAlarm), so there is nothing
    # to simulate of the alarms themselves. The token has missed a run, and that may be told.
    assert made.told(since=since) <= {("TokenOld", ALARM), ("TokenOld", OK)}
    assert made.went("ScheduleStopped", since=since) == {()}
    made.pass_(hours=2)


# Something stays broken


def test_failures_an_hour_and_a_half_apart_are_one_alarm(shared: Shared) -> None:
    made = shared.get(90)
    since = made.now
    made.stack.org.oauth.revoke(made.stack.credentials()["refresh_token"])
    made.pass_(hours=6)
    assert made.went("RefreshFailed", since=since) == {(ALARM,)}
    assert made.went("TokenOld", since=since) == {(ALARM,)}
    made.stack.connect()
    made.pass_(hours=6.1)
    assert made.went("RefreshFailed", since=since) == {(ALARM, OK)}
    assert made.went("TokenOld", since=since) == {(ALARM, OK)}


def test_an_org_that_is_not_set_up_is_one_alarm_while_a_record_waits(shared: Shared) -> None:
    made = shared.get(90)
    since = made.now
    made.stack.org.hide_field("Lead", "Bird_Key__c", user=INTEGRATION_USER)
    assert made.post("/leads", LEAD) == 202
    made.pass_(hours=5)
    assert made.went("NotSetUp", since=since) == {(ALARM,)}
    assert made.went("OutboxOld", since=since) == {(ALARM,)}
    made.stack.org.show_field("Lead", "Bird_Key__c", user=INTEGRATION_USER)
    made.pass_(hours=3)
    assert made.went("NotSetUp", since=since) == {(ALARM, OK)}


def test_a_long_outage_is_one_alarm_from_the_hour_on(shared: Shared) -> None:
    made = shared.get(90)
    since = made.now
    made.stack.org.trouble.add(area="rest", status=503, body="down")
    assert made.post("/leads", LEAD) == 202
    made.pass_(minutes=59)
    assert made.raised() == set()
    made.pass_(hours=5)
    assert made.went("OutboxOld", since=since) == {(ALARM,)}
    made.stack.org.trouble.clear()
    made.pass_(hours=2.6)
    assert made.went("OutboxOld", since=since) == {(ALARM, OK)}


def test_an_hour_without_a_call_is_no_news_of_the_api_s_usage(shared: Shared) -> None:
    made = shared.get(90)
    since = made.now
    org = made.stack.org
    org.usage.set_used(int(org.settings.daily_requests * 0.85))
    for _ in range(5):
        assert made.post("/leads", LEAD) == 201
        made.pass_(hours=1)
    assert made.went("ApiUsage", since=since) == {(ALARM,)}
    org.usage.set_used(0)
    made.pass_(hours=4.1)


@pytest.mark.parametrize("forgets", [False, True])
def test_a_refused_record_that_nobody_looks_at_stays_told(shared: Shared, forgets: bool) -> None:
    """Whether or not SQS goes on to report a queue that nobody touches."""
    made = shared.get(90)
    made.forgets = forgets
    since = made.now
    assert made.post("/leads", {"Company": "nameless"}) == 422
    made.pass_(hours=10)
    assert made.went("Rejected", since=since) == {(ALARM,)}
    made.stack.client("sqs").purge_queue(QueueUrl=made.stack.rejected_url)
    made.pass_(hours=1)
    assert made.went("Rejected", since=since) == {(ALARM, OK)}


def test_one_crash_of_deliver_is_nothing_and_a_batch_that_always_crashes_it_is_one_alarm(
    shared: Shared,
) -> None:
    made = shared.get(90)
    since = made.now
    deliver = made.stack.functions["deliver"]
    crashes = iter([1])
    deliver.doom = lambda: next(crashes, 0)
    queue(made)
    made.pass_(hours=1)
    assert (deliver.errors, made.stack.waiting()) == (1, 0)
    assert made.went("DeliverFailing", since=since) == {()}

    deliver.doom = lambda: 1
    queue(made)
    made.pass_(minutes=12)
    assert made.raised() == set(), "once so far"
    made.pass_(minutes=48)
    assert made.went("DeliverFailing", since=since) == {(ALARM,)}
    deliver.doom = None
    made.pass_(hours=1)
    assert made.went("DeliverFailing", since=since) == {(ALARM, OK)}
