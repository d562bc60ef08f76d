"""EventBridge's part: a rule that fires a function every so often, as long as it is on.

The rule itself is in the stack's AWS, where `aws events disable-rule` and `delete-rule` reach it.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from sandbox.aws.functions import Outcome, Throttled

RETRY_SECONDS = 60.0
"""Between two tries of an event for which there was no concurrency."""
LONGEST_RETRY_SECONDS = 900.0
"""As old may an event be, by the template's MaximumEventAgeInSeconds."""


class Schedule:
    """One rule. `seconds` is how often it fires, `events` a client of the AWS that it is in."""

    def __init__(
        self,
        *,
        rule: str,
        arn: str,
        seconds: float,
        events: Any,
        invoke: Callable[[bytes], Outcome],
    ) -> None:
        self.rule = rule
        self.seconds = seconds
        self._arn = arn
        self._events = events
        self._invoke = invoke

    def is_on(self) -> bool:
        """Whether the rule is there and enabled."""
        try:
            return bool(self._events.describe_rule(Name=self.rule)["State"] == "ENABLED")
        except self._events.exceptions.ResourceNotFoundException:
            return False

    def fire(self) -> Outcome | None:
        """What happens when its time has come: nothing if it is off. Raises Throttled."""
        return self._invoke(json.dumps(self.event()).encode()) if self.is_on() else None

    def event(self) -> dict[str, Any]:
        """What it sends.

        https://docs.aws.amazon.com/lambda/latest/dg/with-eventbridge-scheduler.html
        """
        _, _, _, region, account, _ = self._arn.split(":", 5)
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": account,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "region": region,
            "resources": [self._arn],
            "detail": {},
        }

    def run(self, ended: threading.Event) -> None:
        """Fire now and from now on, until `ended`."""
        while not ended.is_set():
            born = time.monotonic()
            while True:
                try:
                    self.fire()
                    break
                except Throttled:
                    # Lambda keeps an event that it could not run, and tries again.
                    late = time.monotonic() - born > LONGEST_RETRY_SECONDS
                    if late or ended.wait(RETRY_SECONDS):
                        break
            ended.wait(self.seconds)
