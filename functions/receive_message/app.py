"""POST /messages and POST /webhooks/bird: a message becomes what its channel says."""

from typing import Any

from bridge import wiring
from bridge.api.record_api import LambdaContext


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Respond to an API Gateway proxy event."""
    return wiring.record_api(None).respond(event, context)
