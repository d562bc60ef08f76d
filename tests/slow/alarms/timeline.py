"""A stack whose time passes without anybody waiting, and what its CloudWatch sees meanwhile.

The stack is real: its functions run in their processes, EventBridge's rule fires them, SQS hands
messages out. Only time is simulated: with each minute that passes, what is stored grows a minute
older, and every point that the stack gives rise to is stamped with the simulated minute.

Our own metrics are what the functions print. AWS's are put together from what the sandbox counted,
by these rules:

- Lambda: Invocations, Errors and Throttles come together, zeros too, for a minute in which somebody
  asked for the function, and not at all for another. A throttled request is neither an invocation
  nor an error. https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
- SQS: each minute, for queues that are active: "up to six hours if it contains any messages or if
  any action accesses it", which can be read in two ways (`Timeline.forgets`). The age passes over
  messages that were received three times.
  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
- API Gateway: each minute with requests; 4XXError and 5XXError are counts.
  https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
"""

from __future__ import annotations

import heapq
import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sandbox.aws.functions import Function, Outcome, Throttled
from sandbox.aws.queues import Queue
from sandbox.stack import Stack

from .cloudwatch import ALARM, READINGS, Alarm, Change, Metrics, Point, counted

MINUTE = 60
HOUR = 3600
DAY = 24 * HOUR
IDLE_SECONDS = 6 * HOUR
"""After so long without an action on it, a queue is inactive."""
RETRIES = (MINUTE, 2 * MINUTE)
"""When Lambda repeats an event that failed, after each try; the template allows two.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""
LAMBDA = ("Invocations", "Errors", "Throttles")


@dataclass
class Seen:
    """How far something has been read already."""

    log: int = 0
    bytes: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)


class Timeline:
    """One stack from its deployment on. `forgets`: SQS ceases to report a queue that nobody has
    touched for six hours, whatever is in it."""

    def __init__(self, stack: Stack, *, forgets: bool = False, first_run: float = 0) -> None:
        self.stack = stack
        self.forgets = forgets
        self.now = 1_000_000_020.0 // MINUTE * MINUTE
        self.deployed_at = self.now
        self.metrics = Metrics()
        declared = stack.deployment.of_type("AWS::CloudWatch::Alarm")
        self.properties = {
            name.removesuffix("Alarm"): stack.deployment.resolve(one["Properties"])
            for name, one in declared.items()
        }
        # In each reading of AWS's rules, where it makes a difference.
        self.alarms = [
            [
                Alarm(name, one, reading)
                for name, one in self.properties.items()
                if reading.fills_nothing or "FILL" in json.dumps(one)
            ]
            for reading in READINGS
        ]
        self.histories: list[list[Change]] = [[] for _ in READINGS]
        self._filters = [
            stack.deployment.resolve(one["Properties"])
            for one in stack.deployment.of_type("AWS::Logs::MetricFilter").values()
        ]
        self._seen: dict[str, Seen] = defaultdict(Seen)
        self._answered: Counter[int] = Counter()
        self._touched: dict[str, tuple[float, int]] = {}
        self._token_grew = 0.0
        self.delivers = True
        """Whether Lambda polls the outbox."""
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._rule = 0
        self.restart_schedule(after=first_run, every=stack.schedule.seconds)

    # What happens

    def post(self, path: str, body: Any) -> int:
        """Call the API, as a flow does; answers the status."""
        self._remember_token()
        return self.stack.request("POST", path, body).status

    def settle(self) -> None:
        """A connected stack has made a record, and nothing is wrong."""
        # A cold start may take longer than the budget; a look-up makes nothing.
        look_up = "/leads?key=nobody&errors=inline"
        found = (self.stack.request("GET", look_up).json()["outcome"] for _ in range(9))
        assert "unknown" in found
        assert self.post("/leads", {"LastName": "Okafor"}) == 201
        self.pass_(minutes=1)
        assert self.raised() == set()

    def at(self, seconds: float, do: Callable[[], Any]) -> None:
        """Do something when so many more seconds have passed."""
        self._at(self.now + seconds, do)

    def every(self, seconds: float, do: Callable[[], Any]) -> None:
        """Do something again and again, from now on."""

        def again() -> None:
            self._at(self.now + seconds, again)
            do()

        self._at(self.now, again)

    def _at(self, when: float, do: Callable[[], Any]) -> None:
        heapq.heappush(self._agenda, (when, next(self._number), do))

    def restart_schedule(self, *, after: float, every: float) -> None:
        """The rule as a new one: it fires after so many seconds, and then every so many."""
        self._rule += 1
        mine = self._rule

        def run() -> None:
            if mine == self._rule:
                self._next_run = self.now + every
                self._at(self._next_run, run)
                self._run(RETRIES)

        self._next_run = self.now + after
        self._at(self._next_run, run)

    @property
    def minutes_to_run(self) -> float:
        """Until the schedule's next run."""
        return (self._next_run - self.now) / MINUTE

    def _run(self, retries: tuple[float, ...]) -> None:
        """EventBridge's event, which Lambda repeats."""
        outcome: Outcome | None = None
        try:
            outcome = self.stack.schedule.fire()
            again = outcome is not None and outcome.failed
        except Throttled:
            again = True
        if again and retries:
            self._at(self.now + retries[0], lambda: self._run(retries[1:]))

    def refuse_token(self) -> None:
        """A function was refused with the token, and has it renewed."""
        self._remember_token()
        token = self.stack.token()
        generation = token["generation"] if token else None
        self.stack.invoke("refresh_token", {"refused_generation": generation})

    # Time

    def pass_(self, *, hours: float = 0, minutes: float = 0) -> None:
        """Let time pass: everything that falls due happens, and the alarms look every minute."""
        for _ in range(int(hours * 60 + minutes)):
            self._grow(MINUTE)
            while self._agenda and self._agenda[0][0] <= self.now:
                self._remember_token()
                heapq.heappop(self._agenda)[2]()
            if self.delivers:
                self._deliver()
            self._measure()
            self.now += MINUTE
            self._evaluate()

    def leap(self, seconds: float) -> None:
        """Let much time pass in which the schedule runs, nothing else happens and nobody looks."""
        self._grow(seconds)
        self._token_grew -= seconds
        self.now += seconds // MINUTE * MINUTE
        late = [(max(when, self.now), number, do) for when, number, do in self._agenda]
        self._agenda = late
        heapq.heapify(late)

    def _grow(self, seconds: float) -> None:
        """What is stored is so much older."""
        self._token_grew += seconds
        for queue in self._queues():
            with queue.lock:
                for message in queue.messages.values():
                    message.sent_at -= seconds
                    message.received_at -= seconds
                    message.first_received_at -= seconds
                    queue.schedule(message, message.visible_at - seconds)

    def _remember_token(self) -> None:
        """Somebody may look at the token now: let it be as old as it should be."""
        grew, self._token_grew = self._token_grew, 0.0
        token = self.stack.token()
        if token is None or not grew:
            return
        token["issued_at"] = str(int(token["issued_at"]) - int(grew * 1000))
        self.stack.client("ssm").put_parameter(
            Name=self.stack.token_parameter,
            Value=json.dumps(token),
            Type="SecureString",
            Overwrite=True,
        )

    def _deliver(self) -> None:
        """Lambda polls the outbox all the time."""
        outbox = self._queue(self.stack.outbox_url)
        for _ in range(10):
            if not outbox.counts()["ApproximateNumberOfMessages"]:
                return
            self._remember_token()
            self.stack.deliver_once()

    # What CloudWatch has

    def _measure(self) -> None:
        points = [*self._printed(), *self._lambda(), *self._gateway(), *self._sqs()]
        self.metrics.put(sorted(points, key=lambda point: point.at))

    def _printed(self) -> Iterator[Point]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html"""
        offset = self.now + MINUTE - 1 - time.time()
        for name, function in self.stack.functions.items():
            size = function.log.stat().st_size if function.log.exists() else 0
            if size == self._seen[name].bytes:
                continue
            self._seen[name].bytes = size
            for line in self._new_lines(name, function.logs()):
                if '"_aws"' not in line:
                    continue
                said = json.loads(line)
                # Its own time, shifted; never into another minute than the one that it happened in.
                at = max(said["_aws"]["Timestamp"] / 1000 + offset, self.now)
                for directive in said["_aws"]["CloudWatchMetrics"]:
                    for dimensions in directive["Dimensions"]:
                        where = frozenset((one, said[one]) for one in dimensions)
                        for metric in directive["Metrics"]:
                            values = said[metric["Name"]]
                            for value in values if isinstance(values, list) else [values]:
                                yield Point(
                                    at, directive["Namespace"], metric["Name"], where, value
                                )
        for line in self._new_lines("access log", self.stack.access_log()):
            for one in self._filters:
                yield from counted(one, line, self.now)

    def _new_lines(self, what: str, text: str) -> list[str]:
        seen = self._seen[what]
        end = text.rfind("\n") + 1
        new, seen.log = text[seen.log : end], end
        return new.splitlines()

    def _lambda(self) -> Iterator[Point]:
        for name, function in self.stack.functions.items():
            now = _counts(function)
            before, self._seen[name].counts = self._seen[name].counts, now
            new = [after - earlier for after, earlier in zip(now, before, strict=True)]
            if any(new):
                where = frozenset({("FunctionName", function.spec.name)})
                for metric, value in zip(LAMBDA, new, strict=True):
                    yield Point(self.now, "AWS/Lambda", metric, where, value)

    def _gateway(self) -> Iterator[Point]:
        answered = Counter(self.stack.gateway.answered)
        new = answered - self._answered
        self._answered = answered
        if not new:
            return
        where = frozenset({("ApiName", self.stack.stack_name), ("Stage", "v1")})
        for metric, hundreds in (("4XXError", 4), ("5XXError", 5)):
            count = sum(times for status, times in new.items() if status // 100 == hundreds)
            yield Point(self.now, "AWS/ApiGateway", metric, where, count)
        yield Point(self.now, "AWS/ApiGateway", "Count", where, new.total())

    def _sqs(self) -> Iterator[Point]:
        for queue in self._queues():
            messages = list(queue.messages.values())
            touched, count = self._touched.get(queue.name, (self.deployed_at, 0))
            # Lambda polls the outbox without end; of Rejected only changes are seen here.
            polled = self.delivers and queue is self._queue(self.stack.outbox_url)
            if polled or count != len(messages):
                touched = self.now
            self._touched[queue.name] = (touched, len(messages))
            kept_active = messages and not self.forgets
            if not kept_active and self.now - touched >= IDLE_SECONDS:
                continue
            where = frozenset({("QueueName", queue.name)})
            visible = queue.counts()["ApproximateNumberOfMessages"]
            ages = [time.time() - one.sent_at for one in messages if one.receives < 3]
            for metric, value in (
                ("ApproximateNumberOfMessagesVisible", visible),
                ("ApproximateNumberOfMessagesNotVisible", len(messages) - visible),
                ("ApproximateAgeOfOldestMessage", max(ages, default=0)),
            ):
                yield Point(self.now, "AWS/SQS", metric, where, value)

    def _queue(self, url: str) -> Queue:
        return self.stack.aws.queues.queue(url)

    def _queues(self) -> list[Queue]:
        return [self._queue(self.stack.outbox_url), self._queue(self.stack.rejected_url)]

    # What the alarms make of it

    def _evaluate(self) -> None:
        for alarms, history in zip(self.alarms, self.histories, strict=True):
            for alarm in alarms:
                if change := alarm.evaluate(self.metrics, self.now):
                    history.append(change)

    def raised(self) -> set[str]:
        """The alarms in ALARM, which have to be the same in every reading of AWS's rules."""
        raised = {alarm.name for alarms in self.alarms for alarm in alarms if alarm.state == ALARM}
        for name in raised:
            assert self.state(name) == {ALARM}, name
        return raised

    def state(self, name: str) -> set[str]:
        """An alarm's state in each reading."""
        return {alarm.state for alarms in self.alarms for alarm in alarms if alarm.name == name}

    def went(self, name: str, *, since: float) -> set[tuple[str, ...]]:
        """The states that an alarm has gone into since then, in each reading."""
        return {
            tuple(one.after for one in history if one.alarm == name and one.at > since)
            for alarms, history in zip(self.alarms, self.histories, strict=True)
            if any(alarm.name == name for alarm in alarms)
        }

    def told(self, *, since: float = 0.0) -> set[tuple[str, str]]:
        """Which alarms have told somebody of which state, in any reading."""
        return {
            (change.alarm, change.after)
            for history in self.histories
            for change in history
            if change.topics and change.at > since
        }


def _counts(function: Function) -> tuple[int, int, int]:
    return function.invocations, function.errors, function.throttles


@contextmanager
def timeline(*, forgets: bool = False, first_run: float = 0, **stack: Any) -> Iterator[Timeline]:
    """A stack that was just deployed, with nobody but the clock to deliver its outbox."""
    with Stack(poll=False, processes=1, **stack) as made:
        yield Timeline(made, forgets=forgets, first_run=first_run)
