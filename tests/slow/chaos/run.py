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
from tests.slow.chaos.audit import Findings, Locations, locate_in_stack
from tests.slow.chaos.callers import Callers
from tests.slow.chaos.credentials import CredentialsWatch
from tests.slow.chaos.faults import SCENARIOS, FaultContext, FaultSchedule, Scenario
from tests.slow.chaos.request_log import RequestLog
from tests.slow.chaos.requests import make_requests, mark_of_envelope, set_rules, with_repeats

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
    scenarios: Sequence[Scenario] = SCENARIOS
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

    plan: Plan
    findings: Findings
    accepted: int
    counts: dict[str, int | float | str] = field(default_factory=dict)

    def table(self) -> str:
        """For people."""
        width = max(len(name) for name in self.counts)
        lines = [
            f"  {name:<{width}}  {value:>10,}"
            if isinstance(value, int)
            else f"  {name:<{width}}  {value:>10}"
            for name, value in self.counts.items()
        ]
        wrong = self.findings.all or ["nothing"]
        title = f"Chaos, seed {self.plan.seed} (CHAOS_SEED={self.plan.seed} repeats the plan)"
        return "\n".join((title, *lines, "  wrong: " + "\n         ".join(wrong)))


class Run:
    """Carries out a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._findings = Findings()
        self._log = RequestLog()
        self._removed: set[int] = set()
        self._aged: set[int] = set()
        self._left_moments = plan.quiet_moments
        self._aging_done = False
        self._audits = 0

    def go(self) -> Report:
        """Carry out the plan and report what was wrong."""
        plan = self._plan
        begun = time.monotonic()
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
            random = Random(plan.seed)
            requests = make_requests(plan.records, random=random, org=stack.org)
            jobs = with_repeats(requests, random=random, share=plan.repeats)
            self._watch = CredentialsWatch(stack)
            context = FaultContext(stack, random=Random(random.random()), watch=self._watch)
            self._faults = FaultSchedule(
                context, plan.scenarios, scenario_seconds=plan.scenario_seconds
            )
            self._callers = Callers(
                stack, self._log, jobs, rate=plan.rate, random=Random(random.random())
            )
            self._random = Random(random.random())
            self._callers.start()
            try:
                self._run_faults(len(jobs))
            finally:
                self._callers.stop()
                self._faults.calm()
            answered = time.monotonic() - begun
            self._watch.look()
            self._drain()
            drained = time.monotonic() - begun
            replayed = self._replay_the_aged()
            seen = locate_in_stack(stack)
            self._findings.check_end(
                self._log, seen, removed=self._removed, aged=self._aged - replayed
            )
            self._check_the_rest()
            done = time.monotonic() - begun
            seconds = f"{answered:.0f}, {drained:.0f}, {done:.0f}"
            return self._report(seen, len(jobs), len(replayed), seconds)

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
                self._audit()
                audit_at = time.monotonic() + AUDIT_SECONDS
            progress = self._callers.sent / jobs
            if not self._aging_done and progress > 0.35 and self._plan.quiet_moments:
                self._age_what_waits()
            moments_past = self._plan.quiet_moments - self._left_moments
            if self._left_moments and progress > (moments_past + 0.6) / self._plan.quiet_moments:
                self._left_moments -= 1
                self._quiet_moment()
            time.sleep(0.02)

    def _audit(self) -> None:
        accepted = self._log.accepted()
        self._findings.check_promises(locate_in_stack(self._stack), accepted)
        self._audits += 1

    def _age_what_waits(self) -> None:
        """Once, when enough waits: a week and half a day pass for what is in the outbox."""
        waiting = locate_in_stack(self._stack).waiting
        if len(waiting) < 5:
            return
        self._aging_done = True
        queue = self._stack.aws.queues.queue(self._stack.outbox_url)
        with queue.lock:
            for message in queue.messages.values():
                message.sent_at -= TOO_OLD_SECONDS
            # Whoever is in the queue at this very moment, not a moment ago.
            bodies = [message.body for message in queue.messages.values()]
        self._aged |= _numbers(bodies)

    def _quiet_moment(self) -> None:
        """Everybody pauses, ten minutes pass, and a sales rep deletes a few records.

        Not younger than that, and nobody asks for them again: a key lasts as long as its record.
        """
        stack = self._stack
        self._callers.pause()
        self._faults.calm()
        stack.poller.pause()
        until = time.monotonic() + 30
        while any(function.busy for function in stack.functions.values()):
            if time.monotonic() > until:
                break
            time.sleep(0.01)
        queue = stack.aws.queues.queue(stack.outbox_url)
        young = time.time() - LOOK_FIRST_SECONDS
        with queue.lock:
            for message in queue.messages.values():
                message.sent_at = min(message.sent_at, young)
        seen = locate_in_stack(stack)
        quiet = set(self._log.quiet_numbers()) - self._log.given_up
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
        """Let time pass until nothing waits any more."""
        until = time.monotonic() + self._plan.patience_seconds
        bodies = self._stack.aws.queues.bodies
        while bodies(self._stack.outbox_url):
            if time.monotonic() > until:
                return  # what still waits is counted as a finding
            self._stack.let_time_pass()
            time.sleep(0.2)
        self._stack.poller.pause()
        self._watch.look()

    def _replay_the_aged(self) -> set[int]:
        """Bring what grew too old back from Rejected, as `rejected replay` does."""
        sqs, stack = self._stack.client("sqs"), self._stack
        queue = stack.aws.queues.queue(stack.rejected_url)
        with queue.lock:
            old = [one for one in queue.messages.values() if _numbers([one.body]) & self._aged]
        for message in old:
            envelope = Envelope.parse(message.body).again()
            sqs.send_message(QueueUrl=stack.outbox_url, MessageBody=envelope.dump())
            with queue.lock:
                queue.drop(message)
        stack.poller.start()
        self._drain()
        return _numbers([one.body for one in old])

    def _check_the_rest(self) -> None:
        others = self._findings.others
        others += self._watch.violations
        if not self._stack.org.connected(self._watch.stored()[0]):
            others.append("the org is not connected at the end")
        if defects := self._stack.org.journal.counts["defects"]:
            others.append(f"{defects} defects of the sandbox's org")
        for name in self._stack.functions:
            logs = self._stack.logs(name)
            for sign in ("unexpected_error", "Traceback"):
                if sign in logs and name != "refresh_token":
                    others.append(f"{name} logs {sign}: {_around(logs, sign)}")

    def _report(self, seen: Locations, jobs: int, replayed: int, seconds: str) -> Report:
        accepted = self._log.accepted()
        journal = self._stack.org.journal
        functions = self._stack.functions
        statuses = ", ".join(
            f"{count:,} x {status}" for status, count in sorted(self._log.statuses.items())
        )
        counts: dict[str, int | float | str] = {
            "records": self._plan.records,
            "sent, some of them again": jobs,
            "attempts": self._log.attempts,
            "responses": statuses,
            "accepted": len(accepted),
            "never accepted": len(self._log.given_up - set(accepted)),
            "in Salesforce": len(seen.live),
            "deleted there by somebody": len(seen.deleted),
            "waiting": len(seen.waiting),
            "rejected": len(set(seen.rejected) - set(seen.live)),
            "grew too old, replayed": replayed,
            "lost": len(self._findings.lost),
            "twice": len(self._findings.twice),
            "audits on the way": self._audits,
            "processes killed": sum(function.crashes for function in functions.values()),
            "of these RefreshToken's": self._watch.killed,
            "disconnected in the one window": self._watch.in_the_window,
            "API calls": journal.count("(POST|GET) /(sobjects|composite|query)"),
            "calls of many": journal.count("POST /composite/sobjects"),
            "faults": sum(self._faults.seen.values()),
            "kinds of fault": len(self._faults.seen),
            "seconds till answered, delivered, replayed": seconds,
        }
        return Report(
            plan=self._plan, findings=self._findings, accepted=len(accepted), counts=counts
        )


def _numbers(bodies: Sequence[str]) -> set[int]:
    found = map(mark_of_envelope, bodies)
    return {number for number in found if number is not None}


def _around(text: str, word: str) -> str:
    at = text.index(word)
    return " ".join(text[max(0, at - 200) : at + 900].split())
