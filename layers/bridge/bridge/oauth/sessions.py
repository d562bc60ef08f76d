"""The session that calls to Salesforce use: read, kept in memory, renewed when refused.

Nothing here can read the refresh token: RefreshToken alone can, and this invokes it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
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

POLL_SECONDS = (0.5, 1.0)
"""Pause between two reads of the parameter while a token is being renewed: at least, at most."""

INVOKE_AGAIN_SECONDS = 10.0
"""After so long without a newer token RefreshToken is invoked once more: its run may have been
killed. Two refreshes at once are not possible, since RefreshToken takes its lease."""

REMEMBER_TROUBLE_SECONDS = 5.0
"""How long one environment repeats "a person has to act" before it invokes RefreshToken again."""

NO_RENEWAL_SECONDS = (5.0, 10.0, 20.0, 40.0, 60.0)
"""After one, two, ... renewals in a row that did not help, how long one environment does without
another: each is a login, of which Salesforce allows 3,600 an hour, and maybe a rotation."""


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

        Never a loop: a session that was renewed a moment ago and is refused is configuration.
        Raises what `attempt` raises, TokenPending, NotSetUp.
        """
        session = self._current(deadline)
        try:
            result = attempt(session)
            self._failed_renewals = 0
            return result
        except SessionRefused as refused:
            self._session, refusal = None, refused
        self._repeat_trouble()
        newer = self._read(deadline)
        if newer is not None and newer != session:
            self._session = newer
            try:
                return attempt(newer)
            except SessionRefused as refused:
                self._session, session, refusal = None, newer, refused
        if isinstance(refusal, InstanceMoved) and time.monotonic() < self._moved_until:
            raise Unavailable(refusal.message, code=refusal.code) from refusal
        self._session = fresh = self._renew(session.generation, deadline)
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

    def _current(self, deadline: Deadline) -> Session:
        if self._session is None:
            self._repeat_trouble()
            self._session = self._read(deadline) or self._renew(None, deadline)
        return self._session

    def _read(self, deadline: Deadline) -> Session | None:
        try:
            value = self._aws.get_parameter(self._settings.token_parameter, deadline=deadline)
        except AwsError as error:
            if error.cannot_decrypt:
                return None  # RefreshToken stores a new one, with the present key
            raise TokenPending(
                "the access token cannot be read just now", code=error.code
            ) from error
        token = AccessToken.parse(value) if value else None
        if token is None or not self._settings.trusts(token.instance_url):
            return None
        return token.session

    def _renew(self, refused_generation: int | None, deadline: Deadline) -> Session:
        """Have RefreshToken get a newer token, and read it; wait for it as long as there is time.

        `refused_generation` None: there is no token yet.
        """
        expected = self._invoke_refresh(refused_generation, deadline)
        invoke_again_at: float | None = time.monotonic() + INVOKE_AGAIN_SECONDS
        while True:
            if not deadline.remaining():
                raise TokenPending("a new access token was not ready in time")
            token = self._read(deadline)
            # The expected one is newer even if counting began anew (the parameter was deleted).
            if token is not None and (
                refused_generation is None
                or token.generation > refused_generation
                or token.generation == expected
            ):
                return token
            pause = random.uniform(*POLL_SECONDS)
            if deadline.remaining() <= pause:
                raise TokenPending("a new access token was not ready in time")
            time.sleep(pause)
            if invoke_again_at is not None and time.monotonic() >= invoke_again_at:
                invoke_again_at = None
                expected = self._invoke_refresh(refused_generation, deadline)

    def _invoke_refresh(self, refused_generation: int | None, deadline: Deadline) -> Any:
        """Invoke RefreshToken. Raises NotSetUp, or TokenPending where there is nothing to wait for.

        Returns the generation of the published token, or None if it may come soon.
        """
        payload: dict[str, Any] = {"refused_generation": refused_generation}
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
        if isinstance(result, dict) and result.get("connected") is False:
            raise self._remember(
                NotConnected(
                    "the bundle is not connected to a Salesforce org yet", hint=CONNECT_HINT
                )
            )
        return result.get("generation") if isinstance(result, dict) else None

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
