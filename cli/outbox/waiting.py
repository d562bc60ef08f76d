"""What waits in the outbox: queue counts, and the newest log line of each record.

SQS shows no message that waits out its delay, and receiving one would cost it one of its tries.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cli.deployment.stack import Stack
from cli.outbox.log_lines import RecordLine, read_lines
from cli.outbox.reasons import Reason, reason_of, why
from cli.outbox.times import rfc3339
from cli.rejected.queue import Counts, Queue

LOOK_BACK_SECONDS = 7 * 3600
"""Longer than the longest delay (6 hours after a limit): each record has a line in it."""

COUNTS_SETTLE_SECONDS = 60
"""How old SQS's approximate counts may be."""


@dataclass(frozen=True, kw_only=True)
class WaitingRecord:
    """One record of the outbox, by its newest log line."""

    key: str
    object: str
    channel: str
    code: str
    """Why it waits; empty if it was never tried."""
    fields: tuple[str, ...]
    since: float
    """When it came into the outbox."""
    tried_at: float
    """The moment of its newest line."""
    tries: int
    """How often Deliver has tried it."""
    next_try: float | None
    """None: as soon as it is its turn."""

    @classmethod
    def of(cls, line: RecordLine) -> WaitingRecord:
        """Read a line of a record that waits."""
        return cls(
            key=line.key,
            object=line.object,
            channel=line.channel,
            code=line.code,
            fields=line.fields,
            since=line.at - line.age_seconds,
            tried_at=line.at,
            tries=line.attempts,
            next_try=line.at + line.delay_seconds if line.delay_seconds else None,
        )

    @property
    def reason(self) -> Reason:
        return reason_of(self.code)

    @property
    def age_seconds(self) -> float:
        return max(time.time() - self.since, 0.0)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "key": self.key,
            "object": self.object,
            "channel": self.channel,
            "reason": why(self.code, self.fields) if self.code else "not tried yet",
            "waitsFor": self.reason.value,
            "code": self.code,
            "fields": list(self.fields),
            "waitsSince": rfc3339(self.since),
            "ageSeconds": round(self.age_seconds),
            "tries": self.tries,
            "nextTry": rfc3339(self.next_try),
        }


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The outbox. SQS's numbers are estimates, which the records of the log are not."""

    counts: Counts
    records: list[WaitingRecord]
    """The oldest first."""
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
    records = [WaitingRecord.of(line) for line in newest(found.lines) if line.waits]
    if not counts.total:
        settled = time.time() - COUNTS_SETTLE_SECONDS
        records = [one for one in records if one.tried_at > settled]
    return Waiting(
        counts=counts,
        records=sorted(records, key=lambda one: one.since),
        lines=found.lines,
        cut=found.cut,
    )


def newest(lines: Iterable[RecordLine]) -> list[RecordLine]:
    """The newest line of each record, of lines that come newest first."""
    found: dict[tuple[str, str], RecordLine] = {}
    for line in lines:
        found.setdefault(line.which, line)
    return list(found.values())
