"""What goes wrong, and when: incidents that begin and end while callers go on.

An incident is a function that orders faults from the sandbox: of the org (`sandbox.org.trouble`),
of AWS (`LocalAws.fail`), or of the functions' processes (kills). `Incidents` begins one after
another, every kind before any is repeated, often two at a time, with a short pause in between.
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
KILLED_ANYWHERE = ("create_lead", "create_case", "deliver")
"""Functions that may be killed at any moment. RefreshToken's kills are watched more closely."""


class Faults:
    """What incidents are made of: faults of the stack, ordered in short calls."""

    def __init__(self, stack: Stack, *, random: Random, watch: CredentialsWatch) -> None:
        self.stack = stack
        self.random = random
        self.watch = watch
        self.kills: Counter[str] = Counter()
        self._shares: dict[str, float] = {}
        self._lock = threading.Lock()
        for name in KILLED_ANYWHERE:
            stack.functions[name].kill_after = self._steps_of(name)
        watch.kill_after = self._steps_of("refresh_token")

    @property
    def org(self) -> Org:
        return self.stack.org

    def salesforce(self, **what: Any) -> Fault:
        """Trouble at Salesforce, with random numbers of its own."""
        return self.org.trouble.add(seed=self.random.randrange(2**32), **what)

    def rest(self, probability: float, **what: Any) -> Fault:
        return self.salesforce(area="rest", probability=probability, **what)

    def aws(self, call: str, *, times: int, **what: Any) -> None:
        """Trouble with an AWS operation (`sqs.SendMessage`)."""
        service, _, operation = call.partition(".")
        self.stack.aws.fail(service, operation, times=times, **what)

    def kill_after(self, name: str, share: float) -> None:
        """From now on this share of a function's invocations is killed in the middle."""
        self._shares[name] = share

    def stop_killing(self) -> None:
        """No invocation is killed any more."""
        self._shares.clear()

    def kill(self, name: str) -> None:
        """SIGKILL what a function's processes are doing now."""
        self.kills[name] += self.stack.kill(name)

    def _steps_of(self, name: str) -> Callable[[], int]:
        random = Random(self.random.random())

        def kill_after() -> int:
            with self._lock:
                if random.random() >= self._shares.get(name, 0.0):
                    return 0
                # Few steps in most invocations; deliver and refresh_token take up to forty.
                return random.choice((random.randint(1, 8), random.randint(1, 30)))

        return kill_after


def nobody_listens(faults: Faults) -> None:
    server = faults.stack.org_server
    assert server is not None
    server.refuse_connections()


def connections_are_reset(faults: Faults) -> None:
    faults.salesforce(connection="reset", probability=0.4)
    server = faults.stack.org_server
    assert server is not None
    server.drop_connections()


def reset_before(faults: Faults) -> None:
    faults.rest(0.4, reset="before")


def reset_after(faults: Faults) -> None:
    faults.rest(0.5, reset="after", method="POST")


def silence(faults: Faults) -> None:
    faults.rest(0.08, silence="before")
    faults.rest(0.08, silence="after")


def slowness(faults: Faults) -> None:
    faults.rest(0.3, latency_before=faults.random.uniform(0.2, 0.6))
    faults.rest(0.3, latency_after=faults.random.uniform(0.2, 0.6))


def web_pages(faults: Faults) -> None:
    for status in (500, 502, 503):
        faults.rest(0.25, status=status, body=HTML)


def done_but_reported_as_failed(faults: Faults) -> None:
    faults.rest(0.3, status=503, body=HTML, commit=True)
    faults.rest(0.2, error="SERVER_UNAVAILABLE", commit=True)


def locked_rows(faults: Faults) -> None:
    faults.rest(0.7, error="UNABLE_TO_LOCK_ROW", share=0.5)


def limits(faults: Faults) -> None:
    faults.rest(0.5, error="REQUEST_LIMIT_EXCEEDED")


def internal_errors(faults: Faults) -> None:
    for error in ("UNKNOWN_EXCEPTION", "APEX_ERROR", "SERVER_UNAVAILABLE"):
        faults.rest(0.15, error=error)


def heavy_triggers(faults: Faults) -> None:
    most = faults.random.choice((1, 7, 50, 150))
    faults.org.settings.put(trigger_limits={"Lead": most, "Case": most})


def maintenance(faults: Faults) -> None:
    faults.org.settings.put(maintenance=True)


def unreadable_responses(faults: Faults) -> None:
    for mangle in ("truncate", "garbage", "empty"):
        faults.rest(0.15, mangle=mangle)


def redirects(faults: Faults) -> None:
    faults.rest(0.3, status=302, body="", headers={"Location": "https://new.my.salesforce.com/"})


def sessions_end(faults: Faults) -> None:
    faults.rest(0.05, expire="session")
    faults.rest(0.02, expire="all")


def token_endpoint(faults: Faults) -> None:
    faults.org.oauth.expire_sessions()
    faults.rest(0.05, expire="all")
    faults.salesforce(area="oauth", probability=0.3, status=503, body=HTML)
    faults.salesforce(area="oauth", probability=0.3, reset="before")
    faults.salesforce(area="oauth", probability=0.5, latency_before=0.2)


def token_response_lost(faults: Faults) -> None:
    """The one loss that needs a person: Salesforce has rotated, the response is lost."""
    faults.org.oauth.expire_sessions()
    faults.watch.lost_responses.append(faults.salesforce(area="oauth", reset="after", times=1))


def outbox_fails(faults: Faults) -> None:
    nobody_listens(faults)
    for effect in ("refuse", "drop", "drop_after"):
        faults.aws("sqs.SendMessage", times=faults.random.randint(2, 25), effect=effect)


def outbox_batches_fail(faults: Faults) -> None:
    for call in (
        "sqs.SendMessageBatch",
        "sqs.ChangeMessageVisibilityBatch",
        "sqs.DeleteMessageBatch",
        "sqs.ReceiveMessage",
    ):
        effects = ["refuse", "drop_after"]
        if call.endswith("Batch"):
            effects.append("partial")
        faults.aws(call, times=faults.random.randint(1, 6), effect=faults.random.choice(effects))
    faults.rest(0.3, error="UNABLE_TO_LOCK_ROW")


def parameters_fail(faults: Faults) -> None:
    faults.org.oauth.expire_sessions()
    faults.rest(0.05, expire="all")
    for effect in ("refuse", "drop", "delay"):
        faults.aws(
            "ssm.GetParameter", times=faults.random.randint(1, 8), effect=effect, seconds=0.3
        )
    for effect in ("refuse", "drop_after"):
        faults.aws("ssm.PutParameter", times=faults.random.randint(0, 2), effect=effect)


def secrets_fail(faults: Faults) -> None:
    faults.org.oauth.expire_sessions()
    faults.rest(0.05, expire="all")
    effect = faults.random.choice(("refuse", "drop", "drop_after"))
    faults.aws("secretsmanager.PutSecretValue", times=faults.random.randint(1, 7), effect=effect)
    faults.aws(
        "secretsmanager.GetSecretValue", times=faults.random.randint(0, 3), effect="drop_after"
    )


def lease_fails(faults: Faults) -> None:
    faults.org.oauth.expire_sessions()
    faults.rest(0.05, expire="all")
    for effect in ("refuse", "drop_after", "delay"):
        faults.aws(
            "dynamodb.PutItem", times=faults.random.randint(0, 3), effect=effect, seconds=0.3
        )
    faults.aws("dynamodb.DeleteItem", times=faults.random.randint(0, 2), effect="drop")


def invocations_fail(faults: Faults) -> None:
    faults.org.oauth.expire_sessions()
    faults.rest(0.05, expire="all")
    throttled = {"status": 429, "code": "TooManyRequestsException"}
    faults.aws("lambda.Invoke", times=faults.random.randint(1, 6), effect="refuse", **throttled)
    for effect in ("drop", "drop_after"):
        faults.aws("lambda.Invoke", times=faults.random.randint(0, 3), effect=effect)


def functions_die(faults: Faults) -> None:
    faults.kill_after("create_lead", 0.1)
    faults.kill_after("create_case", 0.1)
    faults.kill_after("deliver", 0.5)


def refreshes_die(faults: Faults) -> None:
    faults.org.oauth.expire_sessions()
    faults.rest(0.1, expire="all")
    faults.kill_after("refresh_token", 0.7)


Incident = Callable[[Faults], None]

KINDS: tuple[Incident, ...] = (
    nobody_listens,
    connections_are_reset,
    reset_before,
    reset_after,
    silence,
    slowness,
    web_pages,
    done_but_reported_as_failed,
    locked_rows,
    limits,
    internal_errors,
    heavy_triggers,
    maintenance,
    unreadable_responses,
    redirects,
    sessions_end,
    token_endpoint,
    token_response_lost,
    outbox_fails,
    outbox_batches_fail,
    parameters_fail,
    secrets_fail,
    lease_fails,
    invocations_fail,
    functions_die,
    refreshes_die,
)


def name_of(incident: Incident) -> str:
    """An incident's name for people."""
    return incident.__name__.replace("_", " ")


OUTAGES = frozenset({nobody_listens, maintenance, outbox_fails})
"""With one of these nothing of another incident would be seen: each is alone."""

DISCONNECTING = frozenset({token_response_lost, refreshes_die})
"""After these everything waits for a person, and for the five seconds that a function remembers
it: once a round is enough."""


class Incidents:
    """Begins and ends incidents. `tick` is called again and again, by one thread."""

    def __init__(self, faults: Faults, kinds: Sequence[Incident], *, seconds: float) -> None:
        self.faults = faults
        self._kinds = kinds
        self._round: list[Incident] = []
        self._seconds = seconds
        self._until = 0.0
        self._going_on = False
        self.seen: Counter[str] = Counter()

    def tick(self) -> None:
        """Go on: begin an incident, end one, kill a process."""
        now = time.monotonic()
        if self._going_on and self.faults.random.random() < 0.015:
            self.faults.kill(self.faults.random.choice(KILLED_ANYWHERE))
        if now < self._until:
            return
        if self._going_on:
            self.calm()
            self._until = now + 0.15
            return
        incidents = [self._draw()]
        if incidents[0] not in OUTAGES and self.faults.random.random() < 0.5:
            second = self.faults.random.choice(self._kinds)
            if second not in DISCONNECTING:
                incidents.append(second)
        for incident in incidents:
            incident(self.faults)
            self.seen[name_of(incident)] += 1
        self._going_on = True
        self._until = now + self._seconds * self.faults.random.uniform(0.6, 1.4)

    def _draw(self) -> Incident:
        if not self._round:
            self._round = list(self._kinds)
            self.faults.random.shuffle(self._round)
        return self._round.pop()

    @property
    def share_seen(self) -> float:
        """The share of the kinds of incident that have begun."""
        return len(self.seen) / len(self._kinds)

    def calm(self) -> None:
        """End all trouble."""
        self._going_on = False
        self._until = 0.0
        faults = self.faults
        faults.stop_killing()
        faults.org.trouble.clear()
        faults.org.settings.put(maintenance=False, trigger_limits={})
        with contextlib.suppress(AttributeError):
            faults.stack.org_server.accept_connections()  # type: ignore[union-attr]
        faults.stack.aws.heal()
        # Lambda ends environments now and then; the next ones begin without anything in memory.
        if faults.random.random() < 0.25:
            for name in ("create_lead", "create_case"):
                faults.stack.functions[name].recycle()
