"""What became of records that were sent to the outbox, by Deliver's log lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cli.deployment.stack import Stack
from cli.outbox.log_lines import DELIVER, RecordLine, read_lines
from cli.outbox.reasons import why

Which = tuple[str, str]

PAUSE_SECONDS = 2.0
"""Between two looks; AWS allows five a second for an account."""

CLOCK_SECONDS = 2.0
"""How far the clocks of SQS and of Lambda may be apart, and SQS's is rounded to a second."""


@dataclass(frozen=True, kw_only=True)
class Before:
    """The lines that were there before the records were sent."""

    since: float
    lines: frozenset[tuple[Which, float]]

    @classmethod
    def read(cls, stack: Stack, *, now: float) -> Before:
        """`now` by SQS's clock. Raises what boto3 raises."""
        since = now - CLOCK_SECONDS
        found = read_lines(stack, since=since, functions=(DELIVER,))
        return cls(since=since, lines=frozenset((line.which, line.at) for line in found.lines))


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """The newest line of each record; None for one that Deliver has not tried yet."""

    lines: Mapping[Which, RecordLine | None]
    reasons: Mapping[Which, str]
    """Why each was refused before, as `why` has it."""

    @property
    def outcomes(self) -> Counter[str]:
        """How many have which outcome; `waiting` for those that are not decided."""
        return Counter(self._outcome(which) for which in self.lines)

    def _outcome(self, which: Which) -> str:
        line = self.lines[which]
        if line is None or line.waits:
            return "waiting"
        if line.outcome != "rejected":
            return line.outcome
        same = why(line.code, line.fields) == self.reasons.get(which)
        return "refused_same" if same else "refused_other"

    @property
    def refused(self) -> int:
        return self.outcomes["refused_same"] + self.outcomes["refused_other"]

    @property
    def decided(self) -> int:
        """How many are no longer in the outbox."""
        return len(self.lines) - self.outcomes["waiting"]

    def words(self) -> str:
        """`0 created, 5 refused again by the same rule`"""
        outcomes = self.outcomes
        parts = [f"{outcomes['created']:,} created"]
        parts += [
            f"{outcomes[name]:,} {text}"
            for name, text in (
                ("added", "added to a record"),
                ("exists", "there already"),
                ("deleted", "deleted by a person meanwhile"),
                ("ignored", "not logged anywhere"),
                ("refused_same", "refused again by the same rule"),
            )
            if outcomes[name]
        ]
        others = Counter(
            why(line.code, line.fields)
            for which, line in self.lines.items()
            if line is not None and self._outcome(which) == "refused_other"
        )
        parts += [f"{count:,} refused again: {reason}" for reason, count in others.most_common()]
        if outcomes["waiting"]:
            parts.append(f"{outcomes['waiting']:,} still waiting{self._waits_for()}")
        return ", ".join(parts)

    def _waits_for(self) -> str:
        codes = Counter(
            line.code for line in self.lines.values() if line is not None and line.waits
        )
        return f" ({why(codes.most_common(1)[0][0])})" if codes else ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "outcomes": dict(self.outcomes),
            "refusedAgain": self.refused,
            "records": [
                {
                    "object": which[0],
                    "key": which[1],
                    "outcome": self._outcome(which),
                    "code": line.code if line else "",
                    "fields": list(line.fields) if line else [],
                }
                for which, line in self.lines.items()
            ],
        }


def wait_for(
    stack: Stack,
    sent: Mapping[Which, str],
    before: Before,
    *,
    seconds: float,
    advance: Callable[[int], None] = lambda count: None,
) -> Delivered:
    """Wait up to so many seconds until Deliver has decided what was sent. `sent` has the reason
    why each was refused before. Raises what boto3 raises."""
    until, seen = time.monotonic() + seconds, 0
    while True:
        delivered = Delivered(lines=_newest(stack, sent, before), reasons=sent)
        advance(delivered.decided - seen)
        seen = delivered.decided
        left = until - time.monotonic()
        if delivered.decided == len(sent) or left <= 0:
            return delivered
        time.sleep(min(PAUSE_SECONDS / 4 if stack.is_local else PAUSE_SECONDS, left))


def _newest(stack: Stack, sent: Iterable[Which], before: Before) -> dict[Which, RecordLine | None]:
    lines: dict[Which, RecordLine | None] = dict.fromkeys(sent)
    for line in read_lines(stack, since=before.since, functions=(DELIVER,)).lines:
        is_new = (line.which, line.at) not in before.lines
        if is_new and line.which in lines and lines[line.which] is None:
            lines[line.which] = line
    return lines
