"""Attach the files of messages to their records in Salesforce."""

from typing import Any

from bridge import wiring
from bridge.api.record_api import LambdaContext


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the messages of an SQS event that have to stay in the queue."""
    wiring.telemetry().begin(context.aws_request_id)
    seconds = context.get_remaining_time_in_millis() / 1000
    return wiring.attaching().run(event, seconds=seconds)
