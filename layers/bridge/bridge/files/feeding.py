"""Puts the files of a message into the queue Files, once the message is in Salesforce."""

from __future__ import annotations

from bridge.aws import Aws, AwsError
from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.errors import NotKept
from bridge.files.envelope import FileEnvelope
from bridge.settings import Settings


def put_files(
    message: Message,
    *,
    accepted_at: str,
    request_id: str,
    aws: Aws,
    settings: Settings,
    deadline: Deadline,
) -> None:
    """Put the files of a message into the queue. Raises NotKept."""
    envelope = FileEnvelope.of(message, accepted_at=accepted_at, request_id=request_id)
    try:
        aws.send_message(settings.files_url, envelope.dump(), deadline=deadline)
    except AwsError as error:
        raise NotKept("the queue of files cannot be reached") from error
