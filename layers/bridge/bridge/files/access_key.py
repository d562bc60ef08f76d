"""Bird's access key: a secret that AttachFiles alone reads, kept in memory for some minutes."""

from __future__ import annotations

import time

from bridge.aws import Aws, AwsError
from bridge.deadline import Deadline
from bridge.errors import NotSetUp, Unavailable
from bridge.oauth.access_token import is_token
from bridge.untrusted import read_json, read_text

KEEP_SECONDS = 300.0
"""A key that a person replaces is used after this at the latest."""


class AccessKey:
    """The key of the secret: its text, or the JSON `{"accessKey": "…"}`."""

    def __init__(self, *, aws: Aws, secret: str) -> None:
        self._aws = aws
        self._secret = secret
        self._key = ""
        self._until = 0.0

    def get(self, *, deadline: Deadline) -> str:
        """The key; empty while there is none. Raises Unavailable, NotSetUp for what is no key."""
        if self._key and time.monotonic() < self._until:
            return self._key
        try:
            value = self._aws.get_secret(self._secret, deadline=deadline)
        except AwsError as error:
            raise Unavailable("the access key cannot be read just now", code=error.code) from error
        self._key, self._until = read_key(value or ""), time.monotonic() + KEEP_SECONDS
        return self._key

    def forget(self) -> None:
        """Read it anew next time: it was refused, and may have been replaced."""
        self._until = 0.0


def read_key(value: str) -> str:
    """The key in a secret's value; empty where there is none. Raises NotSetUp."""
    value = value.removeprefix("\ufeff")  # some editors put it at the start of a file
    stored = read_json(value)
    key = read_text(stored, "accessKey") if isinstance(stored, dict) else value
    key = key.strip().removeprefix("AccessKey ").strip()
    if key and not is_token(key):
        raise NotSetUp(
            "the secret of the access key holds something else", code="ACCESS_KEY_UNREADABLE"
        )
    return key
