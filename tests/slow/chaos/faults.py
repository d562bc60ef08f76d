"""Faults that are injected for a while and then removed, while callers go on.

A scenario sets faults in the sandbox: in the org (`sandbox.org.trouble`), in AWS (`LocalAws.fail`),
or kills of the functions' processes. `Faults` runs scenarios one after another, each kind once
before any is repeated, often two at a time, with a short pause in between.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from sandbox.org.http.server import OrgServer
from sandbox.stack import Stack
from tests.slow.chaos.credentials import CredentialsWatch

HTML = "<html><body><h1>Scheduled maintenance</h1></body></html>"
KILLABLE = ("create_lead", "create_case", "deliver")
"""Functions that may be killed at any moment. RefreshToken is killed only by its scenario."""

Trouble = Callable[["Faults"], None]
"""One fault; several are one kind of trouble."""


class Faults:
    """Starts and ends scenarios. `tick` is called repeatedly, by one thread."""

    def __init__(
        self,
        stack: Stack,
        watch: CredentialsWatch,
        scenarios: Mapping[str, Sequence[Trouble]],
        *,
        random: Random,
        scenario_seconds: float,
    ) -> None:
        self.stack = stack
        self.watch = watch
        self.random = random
        self._scenarios = scenarios
        self._seconds = scenario_seconds
        self._deck: list[str] = []
        self._until = 0.0
        self._active = False
        self.seen: Counter[str] = Counter()
        self.kill_shares: dict[str, float] = {}
        """How many of a function's invocations are killed after a few steps."""
        self._lock = threading.Lock()
        for name in (*KILLABLE, "refresh_token"):
            stack.functions[name].kill_after = partial(self._kill_after, name)

    @property
    def server(self) -> OrgServer:
        assert self.stack.org_server is not None
        return self.stack.org_server

    @property
    def share_seen(self) -> float:
        """The share of scenarios that have run."""
        return len(self.seen) / len(self._scenarios)

    def _kill_after(self, name: str) -> int:
        with self._lock:
            if self.random.random() >= self.kill_shares.get(name, 0.0):
                return 0
            # Few steps in most invocations; deliver and refresh_token take up to forty.
            return self.random.choice((self.random.randint(1, 8), self.random.randint(1, 30)))

    def tick(self) -> None:
        """Begin a scenario, end one, or kill a process."""
        now, random = time.monotonic(), self.random
        if self._active and random.random() < 0.015:
            self.stack.kill(random.choice(KILLABLE))
        if now < self._until:
            return
        if self._active:
            self.calm()
            self._until = now + 0.15
            return
        if not self._deck:
            self._deck = random.sample(sorted(self._scenarios), len(self._scenarios))
        names = [self._deck.pop()]
        if names[0] not in OUTAGES and random.random() < 0.5:
            second = random.choice(sorted(self._scenarios))
            names += [] if second in DISCONNECTING else [second]
        for name in names:
            self.seen[name] += 1
            for fault in self._scenarios[name]:
                fault(self)
        self._active = True
        self._until = now + self._seconds * random.uniform(0.6, 1.4)

    def calm(self) -> None:
        """Remove all faults."""
        self._active = False
        self._until = 0.0
        self.kill_shares.clear()
        self.stack.org.trouble.clear()
        self.stack.org.settings.put(maintenance=False, trigger_limits={})
        self.server.accept_connections()
        self.stack.aws.heal()
        # Lambda ends environments now and then; the next ones begin without anything in memory.
        if self.random.random() < 0.25:
            for name in ("create_lead", "create_case"):
                self.stack.functions[name].recycle()


def rest(probability: float, **what: Any) -> Trouble:
    """Some of the org's responses go wrong: those of the REST API, unless an area is named."""

    def begin(run: Faults) -> None:
        fault = {"area": "rest", "probability": probability, **what}
        run.stack.org.trouble.add(**fault, seed=run.random.randrange(2**32))

    return begin


def aws(call: str, least: int, most: int, *effects: str, **more: Any) -> Trouble:
    """An operation goes wrong so many times, in one of the ways."""

    def begin(run: Faults) -> None:
        service, _, operation = call.partition(".")
        how = {"effect": run.random.choice(effects), "seconds": 0.3, **more}
        run.stack.aws.fail(service, operation, times=run.random.randint(least, most), **how)

    return begin


def sessions_end(run: Faults) -> None:
    """Now, and again now and then: tokens have to be renewed."""
    run.stack.org.oauth.expire_sessions()
    rest(0.05, expire="all")(run)


def connections_are_refused(run: Faults) -> None:
    run.server.refuse_connections()


def connections_are_reset(run: Faults) -> None:
    rest(0.4, area="", connection="reset")(run)
    run.server.drop_connections()


def heavy_triggers(run: Faults) -> None:
    most = run.random.choice((1, 7, 50, 150))
    run.stack.org.settings.put(trigger_limits={"Lead": most, "Case": most})


def maintenance(run: Faults) -> None:
    run.stack.org.settings.put(maintenance=True)


def token_response_lost(run: Faults) -> None:
    """The one loss that cannot be repaired: the token was rotated and the response is lost."""
    run.stack.org.oauth.expire_sessions()
    fault = run.stack.org.trouble.add(area="oauth", reset="after", times=1)
    run.watch.lost_responses.append(fault)


def kills(**shares: float) -> Trouble:
    return lambda run: run.kill_shares.update(shares)


BATCH = ("refuse", "drop_after", "partial")
LOST_RESPONSES: Mapping[str, Sequence[Trouble]] = {
    "reset after": [rest(0.5, reset="after", method="POST")],
    "done but reported as failed": [
        rest(0.3, status=503, body=HTML, commit=True),
        rest(0.2, error="SERVER_UNAVAILABLE", commit=True),
    ],
}
SCENARIOS: Mapping[str, Sequence[Trouble]] = {
    **LOST_RESPONSES,
    "connections are refused": [connections_are_refused],
    "connections are reset": [connections_are_reset],
    "reset before": [rest(0.4, reset="before")],
    "silence": [rest(0.08, silence="before"), rest(0.08, silence="after")],
    "slowness": [rest(0.3, latency_before=0.4), rest(0.3, latency_after=0.4)],
    "web pages": [rest(0.25, status=status, body=HTML) for status in (500, 502, 503)],
    "locked rows": [rest(0.7, error="UNABLE_TO_LOCK_ROW", share=0.5)],
    "limits": [rest(0.5, error="REQUEST_LIMIT_EXCEEDED")],
    "internal errors": [
        rest(0.15, error=error)
        for error in ("UNKNOWN_EXCEPTION", "APEX_ERROR", "SERVER_UNAVAILABLE")
    ],
    "heavy triggers": [heavy_triggers],
    "maintenance": [maintenance],
    "unreadable responses": [rest(0.15, mangle=how) for how in ("truncate", "garbage", "empty")],
    "redirects": [rest(0.3, status=302, body="", headers={"Location": "https://new.example/"})],
    "sessions end": [rest(0.05, expire="session"), rest(0.02, expire="all")],
    "token endpoint": [
        sessions_end,
        rest(0.3, area="oauth", status=503, body=HTML),
        rest(0.3, area="oauth", reset="before"),
        rest(0.5, area="oauth", latency_before=0.2),
    ],
    "token response lost": [token_response_lost],
    "outbox fails": [
        connections_are_refused,
        *(aws("sqs.SendMessage", 2, 25, effect) for effect in ("refuse", "drop", "drop_after")),
    ],
    "outbox batches fail": [
        aws("sqs.SendMessageBatch", 1, 6, *BATCH),
        aws("sqs.ChangeMessageVisibilityBatch", 1, 6, *BATCH),
        aws("sqs.DeleteMessageBatch", 1, 6, *BATCH),
        aws("sqs.ReceiveMessage", 1, 6, "refuse", "drop_after"),
        rest(0.3, error="UNABLE_TO_LOCK_ROW"),
    ],
    "parameters fail": [
        sessions_end,
        *(aws("ssm.GetParameter", 1, 8, effect) for effect in ("refuse", "drop", "delay")),
        *(aws("ssm.PutParameter", 0, 2, effect) for effect in ("refuse", "drop_after")),
    ],
    "secrets fail": [
        sessions_end,
        aws("secretsmanager.PutSecretValue", 1, 7, "refuse", "drop", "drop_after"),
        aws("secretsmanager.GetSecretValue", 0, 3, "drop_after"),
    ],
    "lease fails": [
        sessions_end,
        *(aws("dynamodb.PutItem", 0, 3, effect) for effect in ("refuse", "drop_after", "delay")),
        aws("dynamodb.DeleteItem", 0, 2, "drop"),
    ],
    "invocations fail": [
        sessions_end,
        aws("lambda.Invoke", 1, 6, "refuse", status=429, code="TooManyRequestsException"),
        *(aws("lambda.Invoke", 0, 3, effect) for effect in ("drop", "drop_after")),
    ],
    "functions are killed": [kills(create_lead=0.1, create_case=0.1, deliver=0.5)],
    "refreshes are killed": [sessions_end, kills(refresh_token=0.7)],
}

OUTAGES = frozenset({"connections are refused", "maintenance", "outbox fails"})
"""These hide the effects of any other scenario, so they run alone."""

DISCONNECTING = frozenset({"token response lost", "refreshes are killed"})
"""These disconnect the org until a person connects it, and functions remember that for five
seconds: once in a deck is enough."""
