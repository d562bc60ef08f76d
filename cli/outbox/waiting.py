"""What waits in the outbox: queue counts, and the newest log line of each record.

SQS shows no message that waits out its delay, and receiving one would cost it one of its tries.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from cli.deployment.stack import Stack
from cli.outbox.log_lines import RecordLine, newest, read_lines
from cli.rejected.queue import Counts, Queue

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
