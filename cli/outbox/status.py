"""The state of a stack in one look: a verdict, and what it is made of.

It reads queue counts, the newest log line of each record, and when the access token was stored
last; no token, and no message: SQS shows none that waits out its delay, and receiving one would
cost it one of its tries.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from cli.deployment.stack import Stack
from cli.outbox.log_lines import DELIVER, WRITTEN, RecordLine, newest, read_lines
from cli.outbox.reasons import CREDENTIALS, NO_RESPONSE, RENEWED, Reason, who_acts, why
from cli.outbox.times import clock, counted, rfc3339, span
from cli.rejected.queue import Counts, Queue

DAY_SECONDS = 86_400
NOT_TAKEN_SECONDS = 300
"""So long a record waits for its first try at most, where Deliver runs."""

LATE_SECONDS = 900
"""So long after its time a record may be tried again, where Deliver runs."""


LOOK_BACK_SECONDS = 7 * 3600
"""Longer than the longest delay (6 hours after a limit): each record has a line in it."""

COUNTS_SETTLE_SECONDS = 60
"""How old SQS's approximate counts may be."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The outbox. SQS's numbers are estimates, which the records of the log are not."""

    counts: Counts
    records: list[RecordLine]
    """The newest line of each, the oldest first."""
    lines: list[RecordLine]
    """All lines that were read, newest first."""
    cut: bool
    """Whether there were more lines than are read."""

    @property
    def count(self) -> int:
        """How many wait: by SQS's estimate, or those that are known by name if they are more."""
        return max(self.counts.total, len(self.records))

    @property
    def without_line(self) -> int:
        """How many more than the log names, by SQS's estimate."""
        return max(self.counts.total - len(self.records), 0)


def read_waiting(stack: Stack) -> Waiting:
    """What waits now. Receives no message. Raises what boto3 raises."""
    counts = Queue(stack.client("sqs"), stack.settings.outbox_url).counts()
    since = time.time() - (LOOK_BACK_SECONDS if counts.total else COUNTS_SETTLE_SECONDS)
    found = read_lines(stack, since=since)
    records = [line for line in newest(found.lines) if line.waits]
    if not counts.total:
        settled = time.time() - COUNTS_SETTLE_SECONDS
        records = [one for one in records if one.at > settled]
    return Waiting(
        counts=counts,
        records=sorted(records, key=lambda one: one.since),
        lines=found.lines,
        cut=found.cut,
    )


class State(StrEnum):
    GOOD = "good"
    WAITING = "waiting"
    """Records wait, and are delivered by themselves."""
    ACT = "act"
    """Somebody has to act."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    state: State
    text: str
    next_step: str = ""


def _act(text: str, next_step: str) -> Verdict:
    return Verdict(state=State.ACT, text=text, next_step=next_step)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Records that wait, or were refused, for the same reason."""

    code: str
    fields: tuple[str, ...]
    count: int
    since: float
    """When the oldest of them came into the outbox, or was refused."""
    next_try: float | None = None

    @property
    def why(self) -> str:
        return why(self.code, self.fields) if self.code else "waiting for the first try"

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "fields": list(self.fields),
            "count": self.count,
            "since": rfc3339(self.since),
            "nextTry": rfc3339(self.next_try),
        }


@dataclass(frozen=True, kw_only=True)
class Status:
    stack: Stack
    waiting: Waiting
    rejected: Counts
    refusals: list[RecordLine]
    """Lines of a day about records that Salesforce refused and that were not delivered since."""
    last_success: float | None
    """When a record was last written to Salesforce, within a day."""
    last_refresh: float | None
    """When RefreshToken last stored an access token; None: never, or not known."""
    refresh_hidden: bool = False
    """Whether this AWS role may not see when that was."""
    at: float = field(default_factory=time.time)

    @classmethod
    def read(cls, stack: Stack) -> Status:
        """Read it all. Raises what boto3 raises."""
        waiting = read_waiting(stack)
        rejected = Queue(stack.client("sqs"), stack.settings.rejected_url).counts()
        refusals: list[RecordLine] = []
        day_ago = time.time() - DAY_SECONDS
        if rejected.total:
            found = read_lines(stack, since=day_ago, outcomes=("rejected", *sorted(WRITTEN)))
            refusals = [one for one in newest(found.lines) if one.outcome == "rejected"]
        last_refresh, refresh_hidden = _last_refresh(stack)
        return cls(
            stack=stack,
            waiting=waiting,
            rejected=rejected,
            refusals=refusals[: rejected.total],
            last_success=_last_success(stack, waiting, since=day_ago),
            last_refresh=last_refresh,
            refresh_hidden=refresh_hidden,
        )

    # The verdict and its parts

    @property
    def reasons(self) -> list[Group]:
        """Why records wait, the most frequent first."""
        records = self.waiting.records
        return _grouped((one.code, (), one.since, one.next_try) for one in records)

    @property
    def rejections(self) -> list[Group]:
        """Why records were refused within a day, the most frequent first."""
        return _grouped((one.code, one.fields, one.at, None) for one in self.refusals)

    @property
    def next_try(self) -> float | None:
        return min((one.next_try for one in self.waiting.records if one.next_try), default=None)

    @property
    def oldest_seconds(self) -> float | None:
        return max((one.waits_seconds for one in self.waiting.records), default=None)

    @property
    def verdicts(self) -> list[Verdict]:
        """What there is to say, the most urgent first; never empty."""
        found = (
            *(self._needs_a_person(), self._not_taken(), self._not_renewed()),
            *(self._rejecting(), self._waits()),
        )
        return [one for one in found if one] or [self._good()]

    @property
    def must_act(self) -> bool:
        return any(one.state is State.ACT for one in self.verdicts)

    def _safe(self) -> str:
        """`4 records safe, oldest 6 min`"""
        oldest = self.oldest_seconds
        age = f", oldest {span(oldest)}" if oldest is not None else ""
        return f"{counted(self.waiting.count)} safe{age}"

    def _since(self, records: list[RecordLine]) -> str:
        """Since when: the first trouble of this kind after the last success."""
        codes = {one.code for one in records}
        trouble = [one.at for one in self.waiting.lines if one.code in codes]
        after = [at for at in trouble if self.last_success is None or at > self.last_success]
        first = min(after or trouble, default=min(one.at for one in records))
        return f"{'before ' if self.waiting.cut else ''}{clock(first)}"

    def _of(self, reason: Reason) -> list[RecordLine]:
        return [one for one in self.waiting.records if one.reason is reason]

    def _for_a_person(self) -> list[RecordLine]:
        """Records that wait for somebody, but for those whose credentials were renewed after they
        were tried: they go with the next try."""
        renewed = self.last_refresh or 0.0
        return [
            one for one in self._of(Reason.PERSON) if one.code not in RENEWED or one.at >= renewed
        ]

    def _needs_a_person(self) -> Verdict | None:
        records = self._for_a_person()
        if not records:
            return None
        code = Counter(one.code for one in records).most_common(1)[0][0]
        command = "connect" if code in CREDENTIALS else "doctor"
        return _act(
            f"Delivering nothing since {self._since(records)}: {why(code)} · {self._safe()} "
            "· the administrator must act",
            self.stack.command(command),
        )

    def _not_taken(self) -> Verdict | None:
        """Whether Deliver runs: what waits is tried within minutes of its time."""
        late = [
            one
            for one in self.waiting.records
            if self.at
            > (one.next_try + LATE_SECONDS if one.next_try else one.at + NOT_TAKEN_SECONDS)
        ]
        by_deliver = [one.at for one in self.waiting.lines if one.function == DELIVER]
        if not late or max(by_deliver, default=0.0) > self.at - NOT_TAKEN_SECONDS:
            return None
        return _act(
            f"Deliver has not run since {clock(min(one.at for one in late))} · "
            f"{self._safe()} · whoever runs AWS must act",
            "docs/operations.md, outbox-old",
        )

    def _not_renewed(self) -> Verdict | None:
        if self.last_refresh is None or self._of(Reason.DOWN):
            return None
        if self.at - self.last_refresh <= self.stack.settings.refresh_minutes * 60 * 1.6:
            return None
        return _act(
            f"The access token was last renewed at {clock(self.last_refresh)}, but should be "
            f"every {self.stack.settings.refresh_minutes} min · whoever runs AWS must act",
            self.stack.command("doctor"),
        )

    def _rejecting(self) -> Verdict | None:
        if not self.rejected.total:
            return None
        groups = self.rejections
        command = self.stack.command("rejected list")
        if not groups:
            return _act(
                f"{counted(self.rejected.total)} rejected, none of them within a day · the "
                "administrator must act",
                command,
            )
        first = groups[0]
        since = clock(min(group.since for group in groups))
        more = f" and {counted(len(groups) - 1, 'other reason')}" if len(groups) > 1 else ""
        return _act(
            f"Rejecting since {since}: {first.why}{more}, {counted(self.rejected.total)}, "
            f"{who_acts(first.code)} must act",
            command,
        )

    def _waits(self) -> Verdict | None:
        if not self.waiting.count:
            return None
        acts = self._for_a_person()
        # What waits for a person was tried at a Salesforce that responded.
        reached = max((one.at for one in acts), default=0.0)
        down = [one for one in self._of(Reason.DOWN) if one.at > reached]
        limit = [one for one in self._of(Reason.LIMIT) if one.at > reached]
        responds = bool(
            self.last_success
            and self.last_success > max((one.at for one in (*down, *limit)), default=0.0)
        )
        if (down or limit) and responds and self.last_success:
            text = f"Salesforce responds again since {clock(self.last_success)}"
        elif down:
            code = next((one.code for one in down if one.code not in NO_RESPONSE), "")
            what = f"Salesforce unavailable ({code})" if code else "Salesforce unreachable"
            text = f"{what} since {self._since(down)}"
        elif limit:
            text = f"A limit of Salesforce is used up since {self._since(limit)}"
        elif acts:
            return None
        elif self._of(Reason.PERSON) and self.last_refresh:
            text = f"Connected again, token of {clock(self.last_refresh)}"
        elif self._of(Reason.RECORD):
            text = "Updates wait for their record"
        else:
            text = "Delivering"
        return Verdict(state=State.WAITING, text=f"{text} · {self._safe()} · nothing to do")

    def _good(self) -> Verdict:
        if self.last_refresh is None and not self.refresh_hidden:
            return _act(
                "Not connected to Salesforce yet · nothing waits",
                self.stack.command("connect"),
            )
        return Verdict(state=State.GOOD, text="All is well · nothing waits · nothing to do")

    def as_dict(self) -> dict[str, Any]:
        oldest = self.oldest_seconds
        first, *more = self.verdicts
        return {
            "state": first.state.value,
            "verdict": first.text,
            "nextStep": first.next_step,
            "more": [{"state": one.state.value, "verdict": one.text} for one in more],
            "waiting": {
                "count": self.waiting.count,
                "estimated": True,
                "oldestSeconds": None if oldest is None else round(oldest),
                "withoutLine": self.waiting.without_line,
                "linesCut": self.waiting.cut,
                "reasons": [one.as_dict() for one in self.reasons],
            },
            "rejected": {
                "count": self.rejected.total,
                "estimated": True,
                "reasons": [one.as_dict() for one in self.rejections],
            },
            "nextTry": rfc3339(self.next_try),
            "lastSuccess": rfc3339(self.last_success),
            "lastRefresh": rfc3339(self.last_refresh),
            "at": rfc3339(self.at),
        }


def _grouped(
    rows: Iterable[tuple[str, tuple[str, ...], float, float | None]],
) -> list[Group]:
    """Code, fields, moment and next try of each; the most frequent first."""
    found: dict[tuple[str, tuple[str, ...]], list[tuple[float, float | None]]] = defaultdict(list)
    for code, fields, since, next_try in rows:
        found[code, fields].append((since, next_try))
    groups = [
        Group(
            code=code,
            fields=fields,
            count=len(some),
            since=min(since for since, _ in some),
            next_try=min((moment for _, moment in some if moment), default=None),
        )
        for (code, fields), some in found.items()
    ]
    return sorted(groups, key=lambda group: -group.count)


def _last_success(stack: Stack, waiting: Waiting, *, since: float) -> float | None:
    known = [one.at for one in waiting.lines if one.outcome in WRITTEN]
    if known:
        return max(known)
    found = read_lines(stack, since=since, outcomes=sorted(WRITTEN), most=1)
    return max((one.at for one in found.lines), default=None)


def _last_refresh(stack: Stack) -> tuple[float | None, bool]:
    """When the access token was stored, by the parameter's description (whoever may read its value
    has the token), and whether AWS hides that from this role."""
    try:
        found = stack.client("ssm").describe_parameters(
            ParameterFilters=[
                {"Key": "Name", "Option": "Equals", "Values": [stack.settings.token_parameter]}
            ]
        )["Parameters"]
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("AccessDenied"):
            raise
        return None, True
    return (found[0]["LastModifiedDate"].timestamp() if found else None), False
