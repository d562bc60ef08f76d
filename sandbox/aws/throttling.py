"""How AWS limits a rate: so many requests a second on average, so many at once."""

from __future__ import annotations

import threading
import time

SSM_READS = frozenset({"GetParameter", "GetParameters", "GetParametersByPath"})
"""The operations of SSM that share one limit."""

SSM_READS_PER_SECOND = 40
"""SSM's default throughput for reads, for an account and region, unless it is raised for money:
https://docs.aws.amazon.com/general/latest/gr/ssm.html#limits_ssm. How many pass at once AWS does
not say; here it is one second's worth."""


class TokenBucket:
    """`rate` requests a second on average, `burst` at once."""

    def __init__(self, *, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one more request may pass now."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


def ssm_reads() -> TokenBucket:
    """SSM's limit for reads, as an account has it."""
    return TokenBucket(rate=SSM_READS_PER_SECOND, burst=SSM_READS_PER_SECOND)
