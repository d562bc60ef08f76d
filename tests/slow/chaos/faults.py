"""Faults that are injected for a while and then removed, while callers go on.

A scenario is a function that sets faults in the sandbox: in the org (`sandbox.org.trouble`), in AWS
(`LocalAws.fail`), or kills of the functions' processes. `FaultSchedule` runs scenarios one after
another, each kind once before any is repeated, often two at a time, with a short pause in between.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from sandbox.org.org import Org
from sandbox.org.trouble import Fault
from sandbox.stack import Stack
from tests.slow.chaos.credentials import CredentialsWatch

HTML = "<html><body><h1>Scheduled maintenance</h1></body></html>"
KILLABLE = ("create_lead", "create_case", "deliver")
"""Functions that may be killed at any moment. RefreshToken is killed only by its scenario."""


class FaultContext:
    """What scenarios need: the stack, a random generator, and short calls to set faults."""

    def __init__(self, stack: Stack, *, random: Random, watch: CredentialsWatch) -> None:
        self.stack = stack
        self.random = random
        self.watch = watch
        self.kills: Counter[str] = Counter()
        self._kill_shares: dict[str, float] = {}
        self._lock = threading.Lock()
        for name in KILLABLE:
            stack.functions[name].kill_after = self._kill_after(name)
        watch.kill_after = self._kill_after("refresh_token")

    @property
    def org(self) -> Org:
        return self.stack.org

    def salesforce(self, **what: Any) -> Fault:
        """A fault in the org, with a random generator of its own."""
        return self.org.trouble.add(seed=self.random.randrange(2**32), **what)

    def rest(self, probability: float, **what: Any) -> Fault:
        return self.salesforce(area="rest", probability=probability, **what)

    def end_sessions(self, probability: float) -> None:
        """Now, and again now and then: tokens have to be renewed."""
        self.org.oauth.expire_sessions()
        self.rest(probability, expire="all")

    def aws(self, call: str, *, times: int, **what: Any) -> None:
        """A fault in an AWS operation (`sqs.SendMessage`)."""
        service, _, operation = call.partition(".")
        self.stack.aws.fail(service, operation, times=times, **what)

    def kill_some(self, name: str, share: float) -> None:
        """From now on kill this share of a function's invocations after a few steps."""
        self._kill_shares[name] = share

    def stop_kills(self) -> None:
        """Stop all kills."""
        self._kill_shares.clear()

    def kill(self, name: str) -> None:
        """SIGKILL the processes of a function that are working now."""
        self.kills[name] += self.stack.kill(name)

    def _kill_after(self, name: str) -> Callable[[], int]:
        random = Random(self.random.random())

        def kill_after() -> int:
            with self._lock:
                if random.random() >= self._kill_shares.get(name, 0.0):
                    return 0
                # Few steps in most invocations; deliver and refresh_token take up to forty.
                return random.choice((random.randint(1, 8), random.randint(1, 30)))

        return kill_after


def connections_are_refused(context: FaultContext) -> None:
    server = context.stack.org_server
    assert server is not None
    server.refuse_connections()


def connections_are_reset(context: FaultContext) -> None:
    context.salesforce(connection="reset", probability=0.4)
    server = context.stack.org_server
    assert server is not None
    server.drop_connections()


def reset_before(context: FaultContext) -> None:
    context.rest(0.4, reset="before")


def reset_after(context: FaultContext) -> None:
    context.rest(0.5, reset="after", method="POST")


def silence(context: FaultContext) -> None:
    context.rest(0.08, silence="before")
    context.rest(0.08, silence="after")


def slowness(context: FaultContext) -> None:
    context.rest(0.3, latency_before=context.random.uniform(0.2, 0.6))
    context.rest(0.3, latency_after=context.random.uniform(0.2, 0.6))


def web_pages(context: FaultContext) -> None:
    for status in (500, 502, 503):
        context.rest(0.25, status=status, body=HTML)


def done_but_reported_as_failed(context: FaultContext) -> None:
    context.rest(0.3, status=503, body=HTML, commit=True)
    context.rest(0.2, error="SERVER_UNAVAILABLE", commit=True)


def locked_rows(context: FaultContext) -> None:
    context.rest(0.7, error="UNABLE_TO_LOCK_ROW", share=0.5)


def limits(context: FaultContext) -> None:
    context.rest(0.5, error="REQUEST_LIMIT_EXCEEDED")


def internal_errors(context: FaultContext) -> None:
    for error in ("UNKNOWN_EXCEPTION", "APEX_ERROR", "SERVER_UNAVAILABLE"):
        context.rest(0.15, error=error)


def heavy_triggers(context: FaultContext) -> None:
    most = context.random.choice((1, 7, 50, 150))
    context.org.settings.put(trigger_limits={"Lead": most, "Case": most})


def maintenance(context: FaultContext) -> None:
    context.org.settings.put(maintenance=True)


def unreadable_responses(context: FaultContext) -> None:
    for mangle in ("truncate", "garbage", "empty"):
        context.rest(0.15, mangle=mangle)


def redirects(context: FaultContext) -> None:
    context.rest(0.3, status=302, body="", headers={"Location": "https://new.my.salesforce.com/"})


def sessions_end(context: FaultContext) -> None:
    context.rest(0.05, expire="session")
    context.rest(0.02, expire="all")


def token_endpoint(context: FaultContext) -> None:
    context.end_sessions(0.05)
    context.salesforce(area="oauth", probability=0.3, status=503, body=HTML)
    context.salesforce(area="oauth", probability=0.3, reset="before")
    context.salesforce(area="oauth", probability=0.5, latency_before=0.2)


def token_response_lost(context: FaultContext) -> None:
    """The one loss that cannot be repaired: the token was rotated and the response is lost."""
    context.org.oauth.expire_sessions()
    context.watch.lost_responses.append(context.salesforce(area="oauth", reset="after", times=1))


def outbox_fails(context: FaultContext) -> None:
    connections_are_refused(context)
    for effect in ("refuse", "drop", "drop_after"):
        context.aws("sqs.SendMessage", times=context.random.randint(2, 25), effect=effect)


def outbox_batches_fail(context: FaultContext) -> None:
    for call in (
        "sqs.SendMessageBatch",
        "sqs.ChangeMessageVisibilityBatch",
        "sqs.DeleteMessageBatch",
        "sqs.ReceiveMessage",
    ):
        effects = ["refuse", "drop_after"]
        if call.endswith("Batch"):
            effects.append("partial")
        context.aws(call, times=context.random.randint(1, 6), effect=context.random.choice(effects))
    context.rest(0.3, error="UNABLE_TO_LOCK_ROW")


def parameters_fail(context: FaultContext) -> None:
    context.end_sessions(0.05)
    for effect in ("refuse", "drop", "delay"):
        context.aws(
            "ssm.GetParameter", times=context.random.randint(1, 8), effect=effect, seconds=0.3
        )
    for effect in ("refuse", "drop_after"):
        context.aws("ssm.PutParameter", times=context.random.randint(0, 2), effect=effect)


def secrets_fail(context: FaultContext) -> None:
    context.end_sessions(0.05)
    effect = context.random.choice(("refuse", "drop", "drop_after"))
    context.aws("secretsmanager.PutSecretValue", times=context.random.randint(1, 7), effect=effect)
    context.aws(
        "secretsmanager.GetSecretValue", times=context.random.randint(0, 3), effect="drop_after"
    )


def lease_fails(context: FaultContext) -> None:
    context.end_sessions(0.05)
    for effect in ("refuse", "drop_after", "delay"):
        context.aws(
            "dynamodb.PutItem", times=context.random.randint(0, 3), effect=effect, seconds=0.3
        )
    context.aws("dynamodb.DeleteItem", times=context.random.randint(0, 2), effect="drop")


def invocations_fail(context: FaultContext) -> None:
    context.end_sessions(0.05)
    throttled = {"status": 429, "code": "TooManyRequestsException"}
    context.aws("lambda.Invoke", times=context.random.randint(1, 6), effect="refuse", **throttled)
    for effect in ("drop", "drop_after"):
        context.aws("lambda.Invoke", times=context.random.randint(0, 3), effect=effect)


def functions_are_killed(context: FaultContext) -> None:
    context.kill_some("create_lead", 0.1)
    context.kill_some("create_case", 0.1)
    context.kill_some("deliver", 0.5)


def refreshes_are_killed(context: FaultContext) -> None:
    context.end_sessions(0.1)
    context.kill_some("refresh_token", 0.7)


Scenario = Callable[[FaultContext], None]

SCENARIOS: tuple[Scenario, ...] = (
    *(connections_are_refused, connections_are_reset, reset_before, reset_after, silence),
    *(slowness, web_pages, done_but_reported_as_failed, locked_rows, limits, internal_errors),
    *(heavy_triggers, maintenance, unreadable_responses, redirects, sessions_end),
    *(token_endpoint, token_response_lost, outbox_fails, outbox_batches_fail, parameters_fail),
    *(secrets_fail, lease_fails, invocations_fail, functions_are_killed, refreshes_are_killed),
)


def name_of(scenario: Scenario) -> str:
    """A scenario's name for people."""
    return scenario.__name__.replace("_", " ")


OUTAGES = frozenset({connections_are_refused, maintenance, outbox_fails})
"""These hide the effects of any other scenario, so they run alone."""

DISCONNECTING = frozenset({token_response_lost, refreshes_are_killed})
"""These disconnect the org until a person connects it, and functions remember that for five
seconds: once in a deck is enough."""


class FaultSchedule:
    """Starts and ends scenarios. `tick` is called repeatedly, by one thread."""

    def __init__(
        self, context: FaultContext, scenarios: Sequence[Scenario], *, scenario_seconds: float
    ) -> None:
        self.context = context
        self._scenarios = scenarios
        self._deck: list[Scenario] = []
        self._scenario_seconds = scenario_seconds
        self._until = 0.0
        self._active = False
        self.seen: Counter[str] = Counter()

    def tick(self) -> None:
        """Begin a scenario, end one, or kill a process."""
        now = time.monotonic()
        if self._active and self.context.random.random() < 0.015:
            self.context.kill(self.context.random.choice(KILLABLE))
        if now < self._until:
            return
        if self._active:
            self.calm()
            self._until = now + 0.15
            return
        scenarios = [self._draw()]
        if scenarios[0] not in OUTAGES and self.context.random.random() < 0.5:
            second = self.context.random.choice(self._scenarios)
            if second not in DISCONNECTING:
                scenarios.append(second)
        for scenario in scenarios:
            scenario(self.context)
            self.seen[name_of(scenario)] += 1
        self._active = True
        self._until = now + self._scenario_seconds * self.context.random.uniform(0.6, 1.4)

    def _draw(self) -> Scenario:
        if not self._deck:
            self._deck = list(self._scenarios)
            self.context.random.shuffle(self._deck)
        return self._deck.pop()

    @property
    def share_seen(self) -> float:
        """The share of scenarios that have run."""
        return len(self.seen) / len(self._scenarios)

    def calm(self) -> None:
        """Remove all faults."""
        self._active = False
        self._until = 0.0
        context = self.context
        context.stop_kills()
        context.org.trouble.clear()
        context.org.settings.put(maintenance=False, trigger_limits={})
        with contextlib.suppress(AttributeError):
            context.stack.org_server.accept_connections()  # type: ignore[union-attr]
        context.stack.aws.heal()
        # Lambda ends environments now and then; the next ones begin without anything in memory.
        if context.random.random() < 0.25:
            for name in ("create_lead", "create_case"):
                context.stack.functions[name].recycle()
