"""The calls to Salesforce of one request or one invocation: their session, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from bridge.deadline import Deadline
from bridge.errors import Refused, Unavailable
from bridge.oauth.sessions import Sessions
from bridge.salesforce.client import NO_COST, Result, Salesforce
from bridge.salesforce.session import Session

Value = TypeVar("Value")

REMEMBER_RIGHTS_SECONDS = 300.0


class Calls:
    """Makes calls with a session that is renewed where it is refused, and adds up their cost."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.cost = NO_COST
        self.session: Session | None = None
        """The session of the last call."""

    def make(
        self, send: Callable[..., Result[Value]], *arguments: Any, deadline: Deadline
    ) -> Result[Value]:
        """One of Salesforce's calls, repeated with a new session where its session is refused.

        The problem of the Result is a refusal: all others are raised (Unavailable, NotSetUp).
        """

        def attempt(session: Session) -> Result[Value]:
            self.session = session
            result = send(*arguments, session=session, deadline=deadline)
            self.cost += result.cost
            if result.problem is not None and not isinstance(result.problem, Refused):
                raise result.problem
            return result

        return self._sessions.call(attempt, deadline=deadline)

    def record_url(self, record_id: str) -> str:
        """The page of a record, as of the last call."""
        assert self.session is not None
        return self.session.record_url(record_id)


class Rights:
    """What the integration user may do with an object, remembered for some minutes."""

    def __init__(self, salesforce: Salesforce) -> None:
        self._salesforce = salesforce
        self._known: dict[tuple[str, str], tuple[bool, float]] = {}

    def may_create(self, object_name: str, calls: Calls, *, deadline: Deadline) -> bool:
        """True where that cannot be found out: then a refusal stands. Raises NotSetUp."""
        return self._has(object_name, "createable", calls, deadline)

    def may_update(self, object_name: str, calls: Calls, *, deadline: Deadline) -> bool:
        """As `may_create`."""
        return self._has(object_name, "updateable", calls, deadline)

    def _has(self, object_name: str, right: str, calls: Calls, deadline: Deadline) -> bool:
        known, until = self._known.get((object_name, right), (True, 0.0))
        if time.monotonic() < until:
            return known
        try:
            known = calls.make(
                self._salesforce.has_right, object_name, right, deadline=deadline
            ).get()
        except Unavailable:
            return True
        self._known[object_name, right] = known, time.monotonic() + REMEMBER_RIGHTS_SECONDS
        return known
