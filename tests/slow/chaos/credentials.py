"""Whether the org is still connected, and if not, whether that was unavoidable.

Under rotation Salesforce returns a new refresh token with every access token, and the old one is no
longer valid. Between the response and the write to the secret there is one window in which a killed
process, or a lost response, disconnects the org: only a person can repair that (`connect`). The
watch distinguishes that case from every other, and connects the org again.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.org.oauth.tokens import Session
from sandbox.org.trouble import Fault
from sandbox.stack import Stack

QUIET_SECONDS = 30.0
"""How long a refresh that is under way may take to end."""


class CredentialsWatch:
    """Compares secret, published token and org after each killed refresh or lost response."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._function = stack.functions["refresh_token"]
        self._gate = threading.Event()
        self._gate.set()
        self._held = 0
        self._lock = threading.Lock()
        self._crashes = 0
        self._losses = 0
        self.kill_after: Callable[[], int] = lambda: 0
        self.lost_responses: list[Fault] = []
        """Faults that lose a token response, with the new refresh token in it."""
        self.killed = 0
        self.in_the_window = 0
        """Kills and lost responses that disconnected the org; it was connected again."""
        self.violations: list[str] = []
        self._function.kill_after = self._pass

    def _pass(self) -> int:
        """Called at each invocation: waits during a comparison."""
        with self._lock:
            self._held += 1
        self._gate.wait(QUIET_SECONDS)
        with self._lock:
            self._held -= 1
        return self.kill_after()

    def tick(self) -> None:
        """Look if there is a reason to."""
        if self._function.crashes != self._crashes or self._lost() != self._losses:
            self.look()

    def _lost(self) -> int:
        return sum(fault.hits for fault in self.lost_responses)

    def look(self) -> None:
        """Hold new refreshes, wait for those under way, compare the stored tokens with the org's.

        A killed one's lease is taken away afterwards, as if its time had run out.
        """
        self._gate.clear()
        try:
            self._wait_until_quiet()
            # A fault on the secret would hide what is in it.
            self._stack.aws.heal()
            self._compare()
            self._end_lease()
        finally:
            self._gate.set()

    def _wait_until_quiet(self) -> None:
        until = time.monotonic() + QUIET_SECONDS
        quiet = 0
        while quiet < 3:
            with self._lock:
                held = self._held
            quiet = quiet + 1 if self._function.busy <= held else 0
            if time.monotonic() > until:
                self.violations.append("a refresh does not end")
                return
            time.sleep(0.005)

    def _compare(self) -> None:
        crashes, losses = self._function.crashes, self._lost()
        killed, lost = crashes - self._crashes, losses - self._losses
        self._crashes, self._losses = crashes, losses
        self.killed += killed
        stored = self.stored()
        if violation := self._published_before_stored(stored):
            self.violations.append(violation)
        if any(self._stack.org.connected(token) for token in stored[:1]):
            return
        if killed or lost:
            self.in_the_window += 1
        else:
            self.violations.append("disconnected, and no refresh was killed nor a response lost")
        self._stack.connect()

    def stored(self) -> list[str]:
        """The refresh tokens that are stored: the one that is used, then the one it replaces."""
        secrets, ssm = self._stack.client("secretsmanager"), self._stack.client("ssm")
        secret = secrets.get_secret_value(SecretId=self._stack.secret_id)
        found = [str(json.loads(secret["SecretString"])["refresh_token"])]
        with contextlib.suppress(ssm.exceptions.ParameterNotFound):
            parameter = ssm.get_parameter(Name=self._stack.pending_parameter, WithDecryption=True)
            pending = json.loads(parameter["Parameter"]["Value"])
            if pending["secret_version"] == secret["VersionId"]:
                found.insert(0, str(pending["refresh_token"]))
        return found

    def _published_before_stored(self, stored: list[str]) -> str:
        """A published token must have its refresh token stored, or it is the last one."""
        published = self._stack.token()
        sessions = self._stack.org.oauth.sessions
        session = sessions.get(published["access_token"]) if published else None
        if session is None or session.approval is None:
            return ""
        approval = session.approval
        newest = max(
            (one for one in list(sessions.values()) if one.approval is approval), key=_made_at
        )
        if session is newest and approval.token not in stored:
            return "an access token was published whose refresh token is stored nowhere"
        return ""

    def _end_lease(self) -> None:
        table = self._stack.deployment.resource("RefreshLease")["Ref"]
        with contextlib.suppress(ClientError, BotoCoreError):
            self._stack.client("dynamodb").delete_item(
                TableName=table, Key={"name": {"S": "refresh"}}
            )


def _made_at(session: Session) -> tuple[float, Any]:
    return session.made_at, session.token
