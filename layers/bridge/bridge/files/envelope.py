"""The envelope of the queue Files: the files of one message, and how to find the message's record.

One envelope for a message, so that a request costs one call to the queue however many pictures it
brings. ASCII JSON, as the outbox's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.aws import Aws, AwsError
from bridge.bird.channels import NONE, OBJECTS
from bridge.bird.message import Media
from bridge.deadline import Deadline
from bridge.delivery.outbox import VERSION, Envelope, UnreadableEnvelope, opened, reason_of
from bridge.errors import NotKept, SalesforceProblem
from bridge.records import ObjectName, stored_key
from bridge.settings import Settings
from bridge.untrusted import read_text

KIND = "file"


@dataclass(frozen=True, kw_only=True)
class FileEnvelope:
    """The files of one message that are still to be attached."""

    key: str
    """The message's key."""
    conversation: str
    """The conversation's key; empty where the message is of none: then no Task logs it."""
    requested: ObjectName | None
    """The object that was requested; None: where the conversation is."""
    files: Mapping[int, Media] = field(repr=False)
    """By their numbers in the message, which count from 1."""
    channel: str = NONE
    accepted_at: str = ""
    request_id: str = ""
    replayed: int = 0
    reason: Mapping[str, Any] | None = field(repr=False, default=None)
    """Why they were rejected."""

    @classmethod
    def of(cls, envelope: Envelope) -> FileEnvelope:
        """The files of a message that is in Salesforce."""
        message = envelope.message
        return cls(
            key=message.key,
            conversation=message.conversation,
            requested=message.requested,
            files=dict(enumerate(message.media, 1)),
            channel=message.channel,
            accepted_at=envelope.accepted_at,
            request_id=envelope.request_id,
        )

    @classmethod
    def parse(cls, body: object) -> FileEnvelope:
        """Read a message. Raises UnreadableEnvelope, and UnknownEnvelope for another version's."""
        values = opened(body)
        key, name, replayed = read_text(values, "key"), values.get("object"), values.get("replayed")
        if values.get("kind") != KIND or not key or name not in (*OBJECTS, None):
            raise UnreadableEnvelope("the envelope is of no message's files")
        if not isinstance(replayed or 0, int):
            raise UnreadableEnvelope("the envelope has no count of replays")
        reason = values.get("reason")
        return cls(
            key=key,
            conversation=read_text(values, "conversation"),
            requested=name,
            files=_read_files(values.get("files")),
            channel=read_text(values, "channel") or NONE,
            accepted_at=read_text(values, "acceptedAt"),
            request_id=read_text(values, "requestId"),
            replayed=replayed or 0,
            reason=reason if isinstance(reason, dict) else None,
        )

    def dump(self) -> str:
        """The message's body."""
        values = {
            "v": VERSION,
            "kind": KIND,
            "key": self.key,
            "conversation": self.conversation,
            "object": self.requested,
            "files": [{"number": number, **one._asdict()} for number, one in self.files.items()],
            "channel": self.channel,
            "acceptedAt": self.accepted_at,
            "requestId": self.request_id,
            "replayed": self.replayed,
            "reason": self.reason,
        }
        return json.dumps(values, separators=(",", ":"))

    def file_key(self, number: int) -> str:
        """The key of a file, in `Bird_Key__c` of its ContentVersion."""
        return stored_key(f"{self.key}~{number}")

    def refused(self, problem: SalesforceProblem, number: int, *, attempts: int) -> FileEnvelope:
        """One of the files, with the reason why it is not attached."""
        reason = reason_of(problem, attempts=attempts)
        return replace(self, files={number: self.files[number]}, reason=reason)

    def again(self) -> FileEnvelope:
        """The same on its way back from Rejected."""
        return replace(self, reason=None, replayed=self.replayed + 1)


def put_files(envelope: Envelope, *, aws: Aws, settings: Settings, deadline: Deadline) -> None:
    """Put the files of a message that is in Salesforce into their queue. Raises NotKept."""
    body = FileEnvelope.of(envelope).dump()
    try:
        aws.send_message(settings.files_url, body, deadline=deadline)
    except AwsError as error:
        raise NotKept("the queue of files cannot be reached") from error


def _read_files(value: Any) -> dict[int, Media]:
    """Raises UnreadableEnvelope."""
    files: dict[int, Media] = {}
    for one in value if isinstance(value, list) else ():
        number, link = (
            (one.get("number"), read_text(one, "link")) if isinstance(one, dict) else (0, "")
        )
        if not isinstance(number, int) or number < 1 or not link:
            raise UnreadableEnvelope("the envelope has a file without number or link")
        files[number] = Media(link, read_text(one, "name"), read_text(one, "type"))
    if not files:
        raise UnreadableEnvelope("the envelope has no files")
    return files
