"""Deliver what waits in the outbox to Salesforce."""

from typing import Any

from bridge import wiring
from bridge.api.record_api import LambdaContext


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the messages of an SQS event that have to stay in the queue."""
    wiring.telemetry().begin(context.aws_request_id)
    seconds = context.get_remaining_time_in_millis() / 1000
    return wiring.delivery().run(event, seconds=seconds)
