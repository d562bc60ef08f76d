"""POST /cases and GET /cases/{key}: a message becomes a Case."""

from typing import Any

from bridge import wiring
from bridge.api.record_api import LambdaContext


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Respond to an API Gateway proxy event."""
    return wiring.record_api("Case").respond(event, context)
