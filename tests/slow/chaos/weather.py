"""What goes wrong, and when: storms that come and pass while callers go on.

A storm is a function that orders trouble from the sandbox: of the org (`sandbox.org.trouble`), of
AWS (`LocalAws.fail`), or of the functions' processes (kills). `Weather` lets them come one after
another, every kind before any comes again, often two at a time, with a little calm in between.
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
MORTALS = ("create_lead", "create_case", "deliver")
"""Functions that may be killed at any moment. RefreshToken's kills are watched more closely."""


class Sky:
    """What storms are made with: the stack, a source of chance, and short ways to order trouble."""

    def __init__(self, stack: Stack, *, random: Random, watch: CredentialsWatch) -> None:
        self.stack = stack
        self.random = random
        self.watch = watch
        self.kills: Counter[str] = Counter()
        self._dooms: dict[str, float] = {}
        self._lock = threading.Lock()
        for name in MORTALS:
            stack.functions[name].doom = self._doom(name)
        watch.doom = self._doom("refresh_token")

    @property
    def org(self) -> Org:
        return self.stack.org

    def salesforce(self, **what: Any) -> Fault:
        """Trouble at Salesforce, with dice of its own."""
        return self.org.trouble.add(seed=self.random.randrange(2**32), **what)

    def rest(self, probability: float, **what: Any) -> Fault:
        return self.salesforce(area="rest", probability=probability, **what)

    def aws(self, call: str, *, times: int, **what: Any) -> None:
        """Trouble with an AWS operation (`sqs.SendMessage`)."""
        service, _, operation = call.partition(".")
        self.stack.aws.fail(service, operation, times=times, **what)

    def doom(self, name: str, share: float) -> None:
        """From now on this share of a function's invocations is killed in the middle."""
        self._dooms[name] = share

    def spare(self) -> None:
        """Nobody is killed any more."""
        self._dooms.clear()

    def kill(self, name: str) -> None:
        """SIGKILL whatever of a function is at work now."""
        self.kills[name] += self.stack.kill(name)

    def _doom(self, name: str) -> Callable[[], int]:
        random = Random(self.random.random())

        def doom() -> int:
            with self._lock:
                if random.random() >= self._dooms.get(name, 0.0):
                    return 0
                # Few steps in most invocations; deliver and refresh_token take up to forty.
                return random.choice((random.randint(1, 8), random.randint(1, 30)))

        return doom


def nobody_listens(sky: Sky) -> None:
    server = sky.stack.org_server
    assert server is not None
    server.refuse_connections()


def connections_are_reset(sky: Sky) -> None:
    sky.salesforce(connection="reset", probability=0.4)
    server = sky.stack.org_server
    assert server is not None
    server.drop_connections()


def reset_before(sky: Sky) -> None:
    sky.rest(0.4, reset="before")


def reset_after(sky: Sky) -> None:
    sky.rest(0.5, reset="after", method="POST")


def silence(sky: Sky) -> None:
    sky.rest(0.08, silence="before")
    sky.rest(0.08, silence="after")


def slowness(sky: Sky) -> None:
    sky.rest(0.3, latency_before=sky.random.uniform(0.2, 0.6))
    sky.rest(0.3, latency_after=sky.random.uniform(0.2, 0.6))


def web_pages(sky: Sky) -> None:
    for status in (500, 502, 503):
        sky.rest(0.25, status=status, body=HTML)


def done_but_said_to_have_failed(sky: Sky) -> None:
    sky.rest(0.3, status=503, body=HTML, commit=True)
    sky.rest(0.2, error="SERVER_UNAVAILABLE", commit=True)


def locked_rows(sky: Sky) -> None:
    sky.rest(0.7, error="UNABLE_TO_LOCK_ROW", share=0.5)


def limits(sky: Sky) -> None:
    sky.rest(0.5, error="REQUEST_LIMIT_EXCEEDED")


def internal_errors(sky: Sky) -> None:
    for error in ("UNKNOWN_EXCEPTION", "APEX_ERROR", "SERVER_UNAVAILABLE"):
        sky.rest(0.15, error=error)


def heavy_triggers(sky: Sky) -> None:
    most = sky.random.choice((1, 7, 50, 150))
    sky.org.settings.put(trigger_limits={"Lead": most, "Case": most})


def maintenance(sky: Sky) -> None:
    sky.org.settings.put(maintenance=True)


def unreadable_answers(sky: Sky) -> None:
    for mangle in ("truncate", "garbage", "empty"):
        sky.rest(0.15, mangle=mangle)


def redirects(sky: Sky) -> None:
    sky.rest(0.3, status=302, body="", headers={"Location": "https://new.my.salesforce.com/"})


def sessions_end(sky: Sky) -> None:
    sky.rest(0.05, expire="session")
    sky.rest(0.02, expire="all")


def token_endpoint(sky: Sky) -> None:
    sky.org.oauth.expire_sessions()
    sky.rest(0.05, expire="all")
    sky.salesforce(area="oauth", probability=0.3, status=503, body=HTML)
    sky.salesforce(area="oauth", probability=0.3, reset="before")
    sky.salesforce(area="oauth", probability=0.5, latency_before=0.2)


def token_answer_lost(sky: Sky) -> None:
    """The one loss that nobody can mend: Salesforce has rotated, and the answer does not come."""
    sky.org.oauth.expire_sessions()
    sky.watch.lost_answers.append(sky.salesforce(area="oauth", reset="after", times=1))


def outbox_fails(sky: Sky) -> None:
    nobody_listens(sky)
    for effect in ("refuse", "drop", "drop_after"):
        sky.aws("sqs.SendMessage", times=sky.random.randint(2, 25), effect=effect)


def outbox_batches_fail(sky: Sky) -> None:
    for call in (
        "sqs.SendMessageBatch",
        "sqs.ChangeMessageVisibilityBatch",
        "sqs.DeleteMessageBatch",
        "sqs.ReceiveMessage",
    ):
        effects = ["refuse", "drop_after"]
        if call.endswith("Batch"):
            effects.append("partial")
        sky.aws(call, times=sky.random.randint(1, 6), effect=sky.random.choice(effects))
    sky.rest(0.3, error="UNABLE_TO_LOCK_ROW")


def parameters_fail(sky: Sky) -> None:
    sky.org.oauth.expire_sessions()
    sky.rest(0.05, expire="all")
    for effect in ("refuse", "drop", "delay"):
        sky.aws("ssm.GetParameter", times=sky.random.randint(1, 8), effect=effect, seconds=0.3)
    for effect in ("refuse", "drop_after"):
        sky.aws("ssm.PutParameter", times=sky.random.randint(0, 2), effect=effect)


def secrets_fail(sky: Sky) -> None:
    sky.org.oauth.expire_sessions()
    sky.rest(0.05, expire="all")
    effect = sky.random.choice(("refuse", "drop", "drop_after"))
    sky.aws("secretsmanager.PutSecretValue", times=sky.random.randint(1, 7), effect=effect)
    sky.aws("secretsmanager.GetSecretValue", times=sky.random.randint(0, 3), effect="drop_after")


def lease_fails(sky: Sky) -> None:
    sky.org.oauth.expire_sessions()
    sky.rest(0.05, expire="all")
    for effect in ("refuse", "drop_after", "delay"):
        sky.aws("dynamodb.PutItem", times=sky.random.randint(0, 3), effect=effect, seconds=0.3)
    sky.aws("dynamodb.DeleteItem", times=sky.random.randint(0, 2), effect="drop")


def invocations_fail(sky: Sky) -> None:
    sky.org.oauth.expire_sessions()
    sky.rest(0.05, expire="all")
    throttled = {"status": 429, "code": "TooManyRequestsException"}
    sky.aws("lambda.Invoke", times=sky.random.randint(1, 6), effect="refuse", **throttled)
    for effect in ("drop", "drop_after"):
        sky.aws("lambda.Invoke", times=sky.random.randint(0, 3), effect=effect)


def functions_die(sky: Sky) -> None:
    sky.doom("create_lead", 0.1)
    sky.doom("create_case", 0.1)
    sky.doom("deliver", 0.5)


def refreshes_die(sky: Sky) -> None:
    sky.org.oauth.expire_sessions()
    sky.rest(0.1, expire="all")
    sky.doom("refresh_token", 0.7)


Storm = Callable[[Sky], None]

STORMS: tuple[Storm, ...] = (
    nobody_listens,
    connections_are_reset,
    reset_before,
    reset_after,
    silence,
    slowness,
    web_pages,
    done_but_said_to_have_failed,
    locked_rows,
    limits,
    internal_errors,
    heavy_triggers,
    maintenance,
    unreadable_answers,
    redirects,
    sessions_end,
    token_endpoint,
    token_answer_lost,
    outbox_fails,
    outbox_batches_fail,
    parameters_fail,
    secrets_fail,
    lease_fails,
    invocations_fail,
    functions_die,
    refreshes_die,
)


def name_of(storm: Storm) -> str:
    """A storm's name for people."""
    return storm.__name__.replace("_", " ")


OUTAGES = frozenset({nobody_listens, maintenance, outbox_fails})
"""With one of these nothing of another storm would be seen: they come alone."""

DISCONNECTING = frozenset({token_answer_lost, refreshes_die})
"""After these everything waits for a person, and for the five seconds that a function remembers
it: once in a deck is enough."""


class Weather:
    """Lets storms come. `tick` is called again and again, by one thread."""

    def __init__(self, sky: Sky, storms: Sequence[Storm], *, storm_seconds: float) -> None:
        self.sky = sky
        self._storms = storms
        self._deck: list[Storm] = []
        self._storm_seconds = storm_seconds
        self._until = 0.0
        self._storming = False
        self.seen: Counter[str] = Counter()

    def tick(self) -> None:
        """Go on: begin a storm, end one, kill somebody."""
        now = time.monotonic()
        if self._storming and self.sky.random.random() < 0.015:
            self.sky.kill(self.sky.random.choice(MORTALS))
        if now < self._until:
            return
        if self._storming:
            self.calm()
            self._until = now + 0.15
            return
        storms = [self._draw()]
        if storms[0] not in OUTAGES and self.sky.random.random() < 0.5:
            second = self.sky.random.choice(self._storms)
            if second not in DISCONNECTING:
                storms.append(second)
        for storm in storms:
            storm(self.sky)
            self.seen[name_of(storm)] += 1
        self._storming = True
        self._until = now + self._storm_seconds * self.sky.random.uniform(0.6, 1.4)

    def _draw(self) -> Storm:
        if not self._deck:
            self._deck = list(self._storms)
            self.sky.random.shuffle(self._deck)
        return self._deck.pop()

    @property
    def share_seen(self) -> float:
        """How many of the kinds of storm have come."""
        return len(self.seen) / len(self._storms)

    def calm(self) -> None:
        """End all trouble."""
        self._storming = False
        self._until = 0.0
        sky = self.sky
        sky.spare()
        sky.org.trouble.clear()
        sky.org.settings.put(maintenance=False, trigger_limits={})
        with contextlib.suppress(AttributeError):
            sky.stack.org_server.accept_connections()  # type: ignore[union-attr]
        sky.stack.aws.heal()
        # Lambda ends environments now and then; the next ones begin without anything in memory.
        if sky.random.random() < 0.25:
            for name in ("create_lead", "create_case"):
                sky.stack.functions[name].recycle()
