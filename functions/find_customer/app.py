"""POST /customers/find: whether a flow's customer is known in Salesforce, and to whom."""

from typing import Any

from bridge import wiring
from bridge.api.record_api import LambdaContext


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Respond to an API Gateway proxy event."""
    return wiring.customer_api().respond(event, context)
