"""Keep the access token fresh: on a schedule, and when another function was refused."""

from typing import Any

from bridge import wiring
from bridge.api.record_api import LambdaContext


def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Run for the schedule or for a function; what an alarm should see is raised."""
    wiring.telemetry().begin(context.aws_request_id)
    seconds = context.get_remaining_time_in_millis() / 1000
    return wiring.token_refresher().run(event, seconds=seconds)
