"""Puts the files of a message into the queue Files, once the message is in Salesforce."""

from __future__ import annotations

from bridge.aws import Aws, AwsError
from bridge.deadline import Deadline
from bridge.delivery.outbox import Envelope
from bridge.errors import NotKept
from bridge.files.envelope import FileEnvelope
from bridge.settings import Settings


def put_files(envelope: Envelope, *, aws: Aws, settings: Settings, deadline: Deadline) -> None:
    """Put the files of a message into the queue. Raises NotKept."""
    body = FileEnvelope.of(envelope).dump()
    try:
        aws.send_message(settings.files_url, body, deadline=deadline)
    except AwsError as error:
        raise NotKept("the queue of files cannot be reached") from error
