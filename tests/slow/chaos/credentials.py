"""Whether the org is still connected, and if not, whether that was unavoidable.

Under rotation Salesforce returns a new refresh token with every access token, and the old one is no
longer valid. Between the response and the write to the secret there is one window in which a killed
process, or a lost response, disconnects the org: only a person can repair that (`connect`). The
watch distinguishes that case from every other, and connects the org again.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from sandbox.org.trouble import Fault
from sandbox.stack import Stack
from tests.stacks import renew_token

MOST_STEPS = 40
SECONDS = 30.0
"""How long a refresh that is under way may take to end."""


class CredentialsWatch:
    """Compares secret, published token and org after each killed refresh or lost response."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._function = stack.functions["refresh_token"]
        self._seen = (0, 0)
        self.lost_responses: list[Fault] = []
        """Faults that lose a token response, with the new refresh token in it."""
        self.in_the_window = 0
        """Kills and lost responses that disconnected the org; it was connected again."""
        self.violations: list[str] = []

    def tick(self) -> None:
        """Look if there is a reason to."""
        if self._harm() != self._seen:
            self._look()

    def settle(self) -> None:
        """Look in any case, as soon as no refresh is under way."""
        until = time.monotonic() + SECONDS
        while not self._look():
            if time.monotonic() > until:
                self.violations.append("a refresh does not end")
                return
            time.sleep(0.01)

    def _harm(self) -> tuple[int, int]:
        """How many refreshes were killed, and how many responses lost."""
        return self._function.crashes, sum(fault.hits for fault in self.lost_responses)

    def _look(self) -> bool:
        """Compare the stored tokens with the org's; False if a refresh was under way meanwhile."""
        before = (self._harm(), self._function.invocations)
        if self._function.busy:
            return False
        # A fault on the secret would hide what is in it.
        self._stack.aws.heal()
        stored, lease = self.stored(), self._lease()
        violation = self._published_before_stored(stored)
        connected = self._stack.org.connected(stored[0])
        if self._function.busy or before != (self._harm(), self._function.invocations):
            return False
        if violation:
            self.violations.append(violation)
        if not connected:
            if before[0] == self._seen:
                self.violations.append("disconnected, but no refresh died and no response was lost")
            self.in_the_window += 1
            self._stack.connect()
        self._seen = before[0]
        # What a killed one left behind, as if its time had run out.
        if lease:
            with contextlib.suppress(ClientError):
                self._stack.client("dynamodb").delete_item(
                    **self._where(),
                    ConditionExpression="owner_id = :owner",
                    ExpressionAttributeValues={":owner": lease["owner_id"]},
                )
        return True

    def _where(self) -> dict[str, Any]:
        table = self._stack.deployment.resource("RefreshLease")["Ref"]
        return {"TableName": table, "Key": {"name": {"S": "refresh"}}}

    def _lease(self) -> dict[str, Any] | None:
        item: dict[str, Any] | None = (
            self._stack.client("dynamodb").get_item(**self._where()).get("Item")
        )
        return item

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
        if session is None or session.approval is None or session.approval.token in stored:
            return ""
        made = [one for one in list(sessions.values()) if one.approval is session.approval]
        newest = max(made, key=lambda one: (one.made_at, one.token))
        if session is newest:
            return "an access token was published whose refresh token is stored nowhere"
        return ""


def steps() -> Iterator[int]:
    """After how many requests and responses to die: after each response, never after a request
    alone. Between two responses nothing changes that anybody else could see."""
    return iter(range(2, 2 * MOST_STEPS, 2))


def kill_refreshes(stack: Stack) -> tuple[CredentialsWatch, int]:
    """Kill RefreshToken after each of its steps, up to the first violation that the watch sees."""
    watch, function = CredentialsWatch(stack), stack.functions["refresh_token"]
    assert not stack.tick().failed
    for deaths, step in enumerate(steps()):
        function.recycle()
        function.kill_after = lambda step=step: step
        outcome = renew_token(stack)
        function.kill_after = None
        watch.settle()
        if watch.violations or not outcome.failed:
            return watch, deaths
    raise AssertionError("it always dies")
