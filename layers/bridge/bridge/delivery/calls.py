"""The calls to Salesforce of one request or one invocation: their session, time and cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from bridge.deadline import Deadline
from bridge.errors import Refused, Unavailable
from bridge.oauth.sessions import Sessions
from bridge.salesforce.client import NO_COST, Salesforce, Via
from bridge.salesforce.responses import failed_look_up
from bridge.salesforce.session import Session

if TYPE_CHECKING:
    from bridge.salesforce.composite import Part, PartResponse

Value = TypeVar("Value")

REMEMBER_RIGHTS_SECONDS = 300.0


class Calls:
    """Makes calls with a session that is renewed where it is refused, and adds up their cost."""

    def __init__(
        self,
        salesforce: Salesforce,
        sessions: Sessions,
        *,
        until: Deadline,
        seconds: float | None = None,
    ) -> None:
        """No call is begun after `until`. One that is may take so many `seconds`; None: what is
        left until then."""
        self.salesforce = salesforce
        self.cost = NO_COST
        self.session: Session | None = None
        """The session of the last call."""
        self._sessions = sessions
        self._until = until
        self._seconds = seconds

    def deadline(self, *, reserved: float = 0.0) -> Deadline:
        """When a call that is begun now has to end. `reserved`: seconds that have to be left for
        another one after it. Raises Unavailable where no call may be begun any more."""
        if self._seconds is None:
            return self._until
        if self._until.remaining() <= reserved:
            raise Unavailable("the invocation has no time left for another call", code="NO_TIME")
        return Deadline.after(self._seconds)

    def make(
        self, send: Callable[..., Value], *arguments: Any, by: Deadline | None = None
    ) -> Value:
        """One of Salesforce's calls, repeated with a new session where its session is refused.

        `by`: when it has to end, if not by `deadline`. Raises Refused, Unavailable, NotSetUp.
        """
        deadline = by or self.deadline()

        def attempt(session: Session) -> Value | Refused:
            self.session = session
            via = Via(session, deadline)
            try:
                return send(*arguments, via=via)
            except Refused as problem:
                return problem  # not of the session, which is a good one
            finally:
                self.cost += via.cost

        result = self._sessions.call(attempt, deadline=deadline)
        if isinstance(result, Refused):
            raise result
        return result

    def send_parts(self, parts: Sequence[Part]) -> Mapping[str, PartResponse]:
        """The responses to the parts of a composite. A refusal of all of them tells nothing of a
        record: raises Unavailable, NotSetUp."""
        try:
            return self.make(self.salesforce.send_parts, parts)
        except Refused as problem:
            raise failed_look_up(problem) from problem

    def record_url(self, record_id: str) -> str:
        """The page of a record, as of the last call."""
        assert self.session is not None
        return self.session.record_url(record_id)


class Rights:
    """What the integration user may do with an object, remembered for some minutes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[bool, float]] = {}

    def has(self, object_name: str, right: str, calls: Calls) -> bool:
        """Whether the user has a right, as `createable`, `updateable`.

        True where that cannot be found out: then a refusal stands. Raises NotSetUp.
        """
        known, until = self._known.get((object_name, right), (True, 0.0))
        if time.monotonic() < until:
            return known
        by = calls.deadline()  # no time left is no reason to let a refusal stand
        try:
            known = calls.make(calls.salesforce.has_right, object_name, right, by=by)
        except Unavailable:
            return True
        self._known[object_name, right] = known, time.monotonic() + REMEMBER_RIGHTS_SECONDS
        return known
