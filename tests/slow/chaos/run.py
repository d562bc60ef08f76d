"""One run: callers, faults and the checks, from a quiet stack to a quiet stack."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bridge.delivery.outbox import Envelope
from sandbox.org.sample import CLIENT_ID
from sandbox.stack import Stack
from tests.slow.chaos.audit import Findings, Places, locate_in_stack
from tests.slow.chaos.callers import Callers, RequestLog
from tests.slow.chaos.credentials import CredentialsWatch
from tests.slow.chaos.faults import SCENARIOS, Faults, Trouble
from tests.slow.chaos.requests import make_requests, mark_in, set_rules, with_repeats

PARAMETERS = {
    "ThrottleRate": "150",
    "ThrottleBurst": "40",
    "ResponseBudgetSeconds": "3",
    "AllowedFields": "OwnerId",
}
"""Callers who catch up are throttled now and then, and a short budget keeps silence short."""

LOOK_FIRST_SECONDS = 11 * 60
TOO_OLD_SECONDS = 7.5 * 24 * 3600
AUDIT_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much, how fast, and what goes wrong."""

    records: int
    seed: int
    rate: float = 80.0
    """Requests a second."""
    scenario_seconds: float = 0.8
    scenarios: Mapping[str, Sequence[Trouble]] = field(default_factory=lambda: SCENARIOS)
    quiet_moments: int = 1
    """How often everything pauses, and somebody deletes records in Salesforce."""
    repeats: float = 0.12
    """The share of requests that are sent again after a final response."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    patience_seconds: float = 90.0
    """How long the outbox may take to drain at the end."""


@dataclass(kw_only=True)
class Report:
    """What was seen."""

    seed: int
    findings: Findings
    counts: Mapping[str, int | str]

    def table(self) -> str:
        """For people."""
        lines = [
            f"  {name:44} {value:>10,}" if isinstance(value, int) else f"  {name:44} {value:>10}"
            for name, value in self.counts.items()
        ]
        title = f"Chaos, seed {self.seed} (CHAOS_SEED={self.seed} repeats the plan)"
        wrong = "\n         ".join(self.findings.all or ["nothing"])
        return "\n".join((title, *lines, f"  wrong: {wrong}"))


class Run:
    """Carries out a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._findings = Findings()
        self._log = RequestLog()
        self._removed: set[int] = set()
        self._aged: set[int] = set()
        self._moments = 0
        self._audits = 0
        self._seconds: list[str] = []

    def go(self) -> Report:
        """Carry out the plan and report what was wrong."""
        plan = self._plan
        self._begun = time.monotonic()
        with Stack(
            parameters={**PARAMETERS, **plan.parameters},
            folders=plan.folders,
            processes=3,
            window=0.3,
        ) as stack:
            self._stack = stack
            set_rules(stack.org)
            stack.org.oauth.apps[CLIENT_ID].rotation = True
            stack.aws.queues.misbehave(stack.outbox_url, twice=0.05, shuffled=True)
            assert not stack.tick().failed
            self._random = random = Random(plan.seed)
            requests = make_requests(plan.records, random=random, org=stack.org)
            jobs = with_repeats(requests, random=random, share=plan.repeats)
            self._watch = CredentialsWatch(stack)
            self._faults = Faults(
                stack,
                self._watch,
                plan.scenarios,
                random=Random(random.random()),
                scenario_seconds=plan.scenario_seconds,
            )
            self._callers = Callers(
                stack, self._log, jobs, rate=plan.rate, random=Random(random.random())
            )
            try:
                self._run_faults(len(jobs))
            finally:
                self._callers.stop()
                self._faults.calm()
            self._note_time()
            self._drain()
            replayed = self._replay_the_aged()
            seen = locate_in_stack(stack)
            self._findings.check_end(
                self._log, seen, removed=self._removed, aged=self._aged - replayed
            )
            self._check_the_rest()
            return self._report(seen, len(jobs), len(replayed))

    def _note_time(self) -> None:
        self._seconds.append(f"{time.monotonic() - self._begun:.0f}")

    # While it lasts

    def _run_faults(self, jobs: int) -> None:
        time_passes_at = audit_at = 0.0
        while not self._callers.done:
            now = time.monotonic()
            self._faults.tick()
            self._watch.tick()
            # The last requests wait for the last scenario.
            self._callers.limit = int(jobs * min(1.0, self._faults.share_seen + 0.1))
            if now > time_passes_at:
                self._stack.let_time_pass()
                time_passes_at = now + self._random.uniform(0.4, 1.2)
            if now > audit_at:
                accepted = self._log.accepted()
                self._findings.check_promises(locate_in_stack(self._stack), accepted)
                self._audits += 1
                audit_at = time.monotonic() + AUDIT_SECONDS
            progress, moments = self._callers.sent / jobs, self._plan.quiet_moments
            if moments and not self._aged and progress > 0.35:
                self._age_what_waits()
            if self._moments < moments and progress > (self._moments + 0.6) / moments:
                self._moments += 1
                self._quiet_moment()
            time.sleep(0.02)

    def _age_what_waits(self) -> None:
        """Once, when enough waits: a week and half a day pass for what is in the outbox."""
        if len(locate_in_stack(self._stack).waiting) < 5:
            return
        queue = self._stack.aws.queues.queue(self._stack.outbox_url)
        with queue.lock:
            for message in queue.messages.values():
                message.sent_at -= TOO_OLD_SECONDS
            # Whoever is in the queue at this very moment, not a moment ago.
            numbers = {mark_in(message.body) for message in queue.messages.values()}
        self._aged = {number for number in numbers if number is not None}

    def _quiet_moment(self) -> None:
        """Everybody pauses, ten minutes pass, and a sales rep deletes a few records.

        Not younger than that, and nobody asks for them again: a key lasts as long as its record.
        """
        stack = self._stack
        self._callers.pause()
        self._faults.calm()
        stack.poller.pause()
        until = time.monotonic() + 30
        while any(one.busy for one in stack.functions.values()) and time.monotonic() < until:
            time.sleep(0.01)
        queue = stack.aws.queues.queue(stack.outbox_url)
        young = time.time() - LOOK_FIRST_SECONDS
        with queue.lock:
            for message in queue.messages.values():
                message.sent_at = min(message.sent_at, young)
        seen = locate_in_stack(stack)
        quiet = self._callers.quiet()
        # Rather those of which a message still waits: a retried call, or a lost response.
        candidates = sorted(set(seen.live) & quiet, key=lambda number: number not in seen.waiting)
        for number in candidates[:20]:
            together = seen.together(number)
            if number in self._removed or not together <= quiet:
                continue
            for record_id in seen.live[number]:
                stack.org.delete("Lead" if record_id.startswith("00Q") else "Case", record_id)
            # What is not logged comes again: nothing shows that a record without its Task, which a
            # crash between the two calls leaves, was made for that very message.
            self._removed |= together & seen.logged
        stack.poller.start()
        self._callers.resume()

    # The end

    def _drain(self) -> None:
        """Let time pass until nothing waits any more; what still waits then is a finding."""
        self._watch.settle()
        until = time.monotonic() + self._plan.patience_seconds
        while self._stack.aws.queues.bodies(self._stack.outbox_url) and time.monotonic() < until:
            self._stack.let_time_pass()
            time.sleep(0.2)
        self._stack.poller.pause()
        self._watch.settle()
        self._note_time()

    def _replay_the_aged(self) -> set[int]:
        """Bring what grew too old back from Rejected, as `rejected replay` does."""
        sqs, stack = self._stack.client("sqs"), self._stack
        queue = stack.aws.queues.queue(stack.rejected_url)
        replayed: set[int] = set()
        for message in list(queue.messages.values()):
            if (number := mark_in(message.body)) in self._aged and number is not None:
                envelope = Envelope.parse(message.body).again()
                sqs.send_message(QueueUrl=stack.outbox_url, MessageBody=envelope.dump())
                with queue.lock:
                    queue.drop(message)
                replayed.add(number)
        stack.poller.start()
        self._drain()
        return replayed

    def _check_the_rest(self) -> None:
        others = self._findings.others
        others += self._watch.violations
        if not self._stack.org.connected(self._watch.stored()[0]):
            others.append("the org is not connected at the end")
        if defects := self._stack.org.journal.counts["defects"]:
            others.append(f"{defects} defects of the sandbox's org")
        for name in self._stack.functions.keys() - {"refresh_token"}:
            logs = self._stack.logs(name)
            for sign in ("unexpected_error", "Traceback"):
                if (at := logs.find(sign)) >= 0:
                    others.append(f"{name} logs {sign}: {logs[max(0, at - 200) : at + 900]}")

    def _report(self, seen: Places, jobs: int, replayed: int) -> Report:
        accepted, statuses = self._log.accepted(), self._log.statuses
        journal, functions = self._stack.org.journal, self._stack.functions
        counts = {
            "records": self._plan.records,
            "sent, some of them again": jobs,
            "attempts": statuses.total(),
            "responses": ", ".join(f"{n:,} x {one}" for one, n in sorted(statuses.items())),
            "accepted": len(accepted),
            "never accepted": len(self._callers.given_up - set(accepted)),
            "in Salesforce": len(seen.live),
            "deleted there by somebody": len(seen.deleted),
            "waiting": len(seen.waiting),
            "rejected": len(set(seen.rejected) - set(seen.live)),
            "grew too old, replayed": replayed,
            "lost": len(self._findings.lost),
            "twice": len(self._findings.twice),
            "audits on the way": self._audits,
            "processes killed": sum(function.crashes for function in functions.values()),
            "of these RefreshToken's": functions["refresh_token"].crashes,
            "disconnected in the one window": self._watch.in_the_window,
            "API calls": journal.count("(POST|GET) /(sobjects|composite|query)"),
            "calls of many": journal.count("POST /composite/sobjects"),
            "faults": self._faults.seen.total(),
            "kinds of fault": len(self._faults.seen),
            "seconds till answered, delivered, replayed": ", ".join(self._seconds),
        }
        return Report(seed=self._plan.seed, findings=self._findings, counts=counts)
