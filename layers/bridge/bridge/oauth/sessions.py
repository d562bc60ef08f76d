"""The session that calls to Salesforce use: read, kept in memory, renewed when refused.

Nothing here can read the refresh token: RefreshToken alone can, and this invokes it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any, TypeVar

from bridge.aws import Aws, AwsError, FunctionError
from bridge.deadline import Deadline
from bridge.errors import (
    FreshSessionRefused,
    InstanceMoved,
    NotConnected,
    NotSetUp,
    SessionRefused,
    TokenPending,
    Unavailable,
    named,
)
from bridge.oauth.access_token import CONNECT_HINT, AccessToken
from bridge.salesforce.session import Session
from bridge.settings import Settings

Result = TypeVar("Result")

WAIT_SECONDS = (1.0, 2.0, 4.0)
"""Pauses before reading the parameter again while a token is being renewed, or SSM throttles; the
last one for every further read. Each is shortened to something between half of it and all of it,
so that those who began together do not read together (docs/adr/0076)."""

ATTEMPT_SECONDS = 1.0
"""Of the time there is, what the last read leaves for itself and for the call to Salesforce."""

INVOKE_AGAIN_SECONDS = 10.0
"""After so long without a newer token RefreshToken is invoked once more: its run may have been
killed. Two refreshes at once are not possible, since RefreshToken takes its lease."""

REMEMBER_TROUBLE_SECONDS = 5.0
"""How long one environment repeats "a person has to act" before it invokes RefreshToken again."""

NO_RENEWAL_SECONDS = (5.0, 10.0, 20.0, 40.0, 60.0)
"""After one, two, ... renewals in a row that did not help, how long one environment does without
another: each is a login, of which Salesforce allows 3,600 an hour, and maybe a rotation."""


def _pauses(deadline: Deadline) -> Iterator[bool]:
    """Waits at each step, as WAIT_SECONDS says; ends where no time is left for what follows."""
    for seconds in chain(WAIT_SECONDS, repeat(WAIT_SECONDS[-1])):
        left = deadline.remaining() - ATTEMPT_SECONDS
        if left <= 0:
            return
        time.sleep(min(seconds * random.uniform(0.5, 1.0), left))
        yield True


class Sessions:
    """The session that a function's calls use. One per execution environment."""

    def __init__(self, *, aws: Aws, settings: Settings) -> None:
        self._aws = aws
        self._settings = settings
        self._session: Session | None = None
        self._trouble: NotSetUp | None = None
        self._trouble_until = 0.0
        self._moved_until = 0.0
        self._failed_renewals = 0

    def call(self, attempt: Callable[[Session], Result], *, deadline: Deadline) -> Result:
        """Run `attempt` with a session; a refused one costs one read, a second refusal one refresh.

        What was read for this very call is not read again. Never a loop: a session that was renewed
        a moment ago and is refused is configuration.
        Raises what `attempt` raises, TokenPending, NotSetUp.
        """
        pauses = _pauses(deadline)
        session, just_read = self._session, False
        if session is None:
            self._repeat_trouble()
            self._session = session = self._read(deadline, pauses) or self._renew(
                None, deadline, pauses
            )
            just_read = True
        try:
            result = attempt(session)
            self._failed_renewals = 0
            return result
        except SessionRefused as refused:
            self._session, refusal = None, refused
        self._repeat_trouble()
        newer = None if just_read else self._read(deadline, pauses)
        if newer is not None and newer != session:
            self._session = newer
            try:
                return attempt(newer)
            except SessionRefused as refused:
                self._session, session, refusal = None, newer, refused
        if isinstance(refusal, InstanceMoved) and time.monotonic() < self._moved_until:
            raise Unavailable(refusal.message, code=refusal.code) from refusal
        self._session = fresh = self._renew(session.generation, deadline, pauses)
        try:
            return attempt(fresh)
        except InstanceMoved as moved:
            self._session = None
            self._moved_until = time.monotonic() + self._pause_renewals()
            raise Unavailable(moved.message, code=moved.code) from moved
        except SessionRefused as refused:
            self._session = None
            raise self._remember(
                FreshSessionRefused(
                    "Salesforce refuses an access token that it issued a moment ago: "
                    + refused.message,
                    hint=refused.hint,
                ),
                seconds=self._pause_renewals(),
            ) from refused

    def _read(self, deadline: Deadline, pauses: Iterator[bool]) -> Session | None:
        """The stored session, read again after a pause where SSM throttles. Raises TokenPending."""
        while True:
            try:
                name = self._settings.token_parameter
                return self._trusted(self._aws.get_parameter(name, deadline=deadline))
            except AwsError as error:
                if error.cannot_decrypt:
                    return None  # RefreshToken stores a new one, with the present key
                if not error.is_throttled or not next(pauses, False):
                    raise TokenPending(
                        "the access token cannot be read just now", code=error.code
                    ) from error

    def _trusted(self, value: Any) -> Session | None:
        """The session in a stored value, unless it belongs to a host that is not trusted."""
        token = AccessToken.parse(value) if isinstance(value, str) else None
        if token is None or not self._settings.trusts(token.instance_url):
            return None
        return token.session

    def _renew(
        self, refused_generation: int | None, deadline: Deadline, pauses: Iterator[bool]
    ) -> Session:
        """Have RefreshToken get a newer token; it comes with the result, or another run gets it,
        and it is waited for and read.

        `refused_generation` None: there is no token yet.
        """
        refused = -1 if refused_generation is None else refused_generation
        invoke_again_at = time.monotonic() + INVOKE_AGAIN_SECONDS
        session = self._invoke_refresh(refused_generation, deadline)
        while session is None:
            if not next(pauses, False):
                raise TokenPending("a new access token was not ready in time")
            session = self._read(deadline, pauses)
            if session and session.generation <= refused:
                session = None
            if session is None and time.monotonic() >= invoke_again_at:
                invoke_again_at = float("inf")
                session = self._invoke_refresh(refused_generation, deadline)
        return session

    def _invoke_refresh(self, refused_generation: int | None, deadline: Deadline) -> Session | None:
        """Invoke RefreshToken; None if a token may come soon. Raises NotSetUp, or TokenPending
        where there is nothing to wait for."""
        payload = {"refused_generation": refused_generation}
        try:
            result = self._aws.invoke(self._settings.refresh_function, payload, deadline=deadline)
        except FunctionError as error:
            trouble = named(error.error_type)
            if trouble is not None:
                raise self._remember(trouble(error.error_message)) from error
            raise TokenPending("the access token could not be renewed just now") from error
        except AwsError as error:
            if 400 <= error.http_status < 500 and error.http_status != 429:
                raise TokenPending("RefreshToken cannot be invoked", code=error.code) from error
            result = None  # throttled, or out of time: another run may be getting a token
        result = result if isinstance(result, dict) else {}
        if result.get("connected") is False:
            raise self._remember(
                NotConnected(
                    "the bundle is not connected to a Salesforce org yet", hint=CONNECT_HINT
                )
            )
        return self._trusted(result.get("token"))

    def _pause_renewals(self) -> float:
        """Seconds to do without a renewal, after one more that did not help."""
        seconds = NO_RENEWAL_SECONDS[min(self._failed_renewals, len(NO_RENEWAL_SECONDS) - 1)]
        self._failed_renewals += 1
        return seconds

    def _remember(
        self, trouble: NotSetUp, *, seconds: float = REMEMBER_TROUBLE_SECONDS
    ) -> NotSetUp:
        self._trouble = trouble
        self._trouble_until = time.monotonic() + seconds
        return trouble

    def _repeat_trouble(self) -> None:
        trouble = self._trouble
        if trouble is not None and time.monotonic() < self._trouble_until:
            raise type(trouble)(trouble.message, code=trouble.code, hint=trouble.hint)
