"""The access token as those who use it see it: read, kept in memory, renewed when refused.

Only RefreshToken can read the refresh token (`refresh.py`); here nobody can. What passes between
them is one JSON value in an SSM SecureString, and the `generation` in it: the token's text cannot
tell which of two is newer, because Salesforce may return the same session again.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
from bridge.salesforce.session import Session
from bridge.settings import Settings
from bridge.untrusted import read_json, read_text

Result = TypeVar("Result")

POLL_SECONDS = (0.5, 1.0)
"""How long a caller waits between two looks for a token that somebody else is getting."""

ASK_AGAIN_SECONDS = 10.0
"""After so long without a newer token RefreshToken is asked once more: whoever was getting one may
have been killed. Two refreshes at once it cannot cause, since RefreshToken takes its lease."""

REMEMBER_TROUBLE_SECONDS = 5.0
"""How long one environment repeats "a person has to act" before it asks RefreshToken again."""

NO_RENEWAL_SECONDS = (5.0, 10.0, 20.0, 40.0, 60.0)
"""After one, two, ... renewals in a row that did not help, how long one environment does without
another: each is a login, of which Salesforce allows 3,600 an hour, and maybe a rotation."""

CONNECT_HINT = "Run `make connect` (bird-salesforce connect), which connects the org in one step."


def is_token(value: Any) -> bool:
    """Whether a value can be a token: visible ASCII (RFC 6749, appendix A), fit for a header."""
    return isinstance(value, str) and re.fullmatch(r"[!-~]+", value) is not None


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    """The value in the SecureString. `issued_at` is milliseconds since the epoch, as a string."""

    access_token: str = field(repr=False)
    instance_url: str
    issued_at: str = ""
    scope: str = ""
    id: str = ""
    """The identity URL, which ends in the org's and the user's id."""
    generation: int = 0

    @classmethod
    def parse(cls, value: str) -> AccessToken | None:
        """Read a stored value; None if it is not one (then it is as if there were none)."""
        said = read_json(value)
        if not isinstance(said, dict) or not is_token(said.get("access_token")):
            return None
        generation = said.get("generation", 0)
        if not isinstance(said.get("instance_url"), str) or not isinstance(generation, int):
            return None
        if not 0 <= generation < 2**53:
            return None  # nobody counted so far
        return cls(
            access_token=said["access_token"],
            instance_url=read_text(said, "instance_url").rstrip("/"),
            issued_at=read_text(said, "issued_at"),
            scope=read_text(said, "scope"),
            id=read_text(said, "id"),
            generation=generation,
        )

    def dump(self) -> str:
        """The value to store."""
        return json.dumps(
            {
                "access_token": self.access_token,
                "instance_url": self.instance_url,
                "issued_at": self.issued_at,
                "scope": self.scope,
                "id": self.id,
                "generation": self.generation,
            }
        )

    def age_seconds(self, now: float) -> float:
        """Seconds since Salesforce issued it; endless if it does not say."""
        try:
            return now - int(self.issued_at) / 1000
        except (ValueError, OverflowError):
            return float("inf")

    @property
    def session(self) -> Session:
        """What a call needs of it."""
        return Session(self.access_token, self.instance_url, self.generation)


class Sessions:
    """The session that a function's calls use. One per execution environment."""

    def __init__(self, *, aws: Aws, settings: Settings) -> None:
        self._aws = aws
        self._settings = settings
        self._session: Session | None = None
        self._trouble: NotSetUp | None = None
        self._trouble_until = 0.0
        self._moved_until = 0.0
        self._vain_renewals = 0

    def call(self, attempt: Callable[[Session], Result], *, deadline: Deadline) -> Result:
        """Run `attempt` with a session; a refused one costs one read, a second refusal one refresh.

        Never a loop: a session that was renewed a moment ago and is refused is configuration.
        Raises what `attempt` raises, TokenPending, NotSetUp.
        """
        session = self._current(deadline)
        try:
            result = attempt(session)
            self._vain_renewals = 0
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
            raise TokenPending(
                "the access token cannot be read just now", code=error.code
            ) from error
        token = AccessToken.parse(value) if value else None
        if token is None or not self._settings.trusts(token.instance_url):
            return None
        return token.session

    def _renew(self, refused_generation: int | None, deadline: Deadline) -> Session:
        """Have RefreshToken get a newer token, then read it; wait for it as long as there is time.

        `refused_generation` None: there is no token yet.
        """
        answered = self._ask_for_newer(refused_generation, deadline)
        ask_again: float | None = time.monotonic() + ASK_AGAIN_SECONDS
        while True:
            if not deadline.remaining():
                raise TokenPending("a new access token was not ready in time")
            token = self._read(deadline)
            # What RefreshToken names is newer even if counting began anew (the parameter was gone).
            if token is not None and (
                refused_generation is None
                or token.generation > refused_generation
                or token.generation == answered
            ):
                return token
            pause = random.uniform(*POLL_SECONDS)
            if deadline.remaining() <= pause:
                raise TokenPending("a new access token was not ready in time")
            time.sleep(pause)
            if ask_again is not None and time.monotonic() >= ask_again:
                ask_again = None
                answered = self._ask_for_newer(refused_generation, deadline)

    def _ask_for_newer(self, refused_generation: int | None, deadline: Deadline) -> Any:
        """Invoke RefreshToken. Raises NotSetUp, or TokenPending where there is nothing to wait for.

        Answers the generation of the token that is there now, or None if one may be there soon.
        """
        payload: dict[str, Any] = {"refused_generation": refused_generation}
        try:
            said = self._aws.invoke(self._settings.refresh_function, payload, deadline=deadline)
        except FunctionError as error:
            trouble = named(error.error_type)
            if trouble is not None:
                raise self._remember(trouble(error.error_message)) from error
            raise TokenPending("the access token could not be renewed just now") from error
        except AwsError as error:
            if 400 <= error.http_status < 500 and error.http_status != 429:
                raise TokenPending("RefreshToken cannot be invoked", code=error.code) from error
            said = None  # throttled, or out of time: somebody else may be getting one
        if isinstance(said, dict) and said.get("connected") is False:
            raise self._remember(
                NotConnected(
                    "the bundle is not connected to a Salesforce org yet", hint=CONNECT_HINT
                )
            )
        return said.get("generation") if isinstance(said, dict) else None

    def _pause_renewals(self) -> float:
        """How long to do without a renewal, after one more that did not help."""
        seconds = NO_RENEWAL_SECONDS[min(self._vain_renewals, len(NO_RENEWAL_SECONDS) - 1)]
        self._vain_renewals += 1
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
