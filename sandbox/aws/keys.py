"""API Gateway's keys: which values open a stage, and how fast the holder of each may go.

The keys, the usage plans and what is under them are in the stack's AWS, where `aws apigateway`
makes, disables and deletes them; what is changed there counts from the next request on.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Whoever sends a key that is good here."""

    key_id: str
    plan_id: str
    rate: float
    """Requests a second."""
    burst: int


class Keys:
    """The keys of one stage of one API: enabled ones that are under a plan with this stage."""

    def __init__(self, *, account: str, region: str, api_id: str, stage: str) -> None:
        from moto.apigateway.models import apigateway_backends

        self._backend: Any = apigateway_backends[account][region]
        self._stage = {"apiId": api_id, "stage": stage}

    def holder(self, value: str) -> Holder | None:
        """Who holds this key; None if it opens nothing here."""
        for key in list(self._backend.keys.values()):
            if value and key.value == value and key.enabled:
                return next(self._holders(key.id), None)
        return None

    def _holders(self, key_id: str) -> Iterator[Holder]:
        for plan in list(self._backend.usage_plans.values()):
            under = self._backend.usage_plan_keys.get(plan.id, {})
            if key_id in under and any(self._is_here(one) for one in plan.api_stages):
                yield Holder(
                    key_id=key_id,
                    plan_id=plan.id,
                    rate=float(plan.throttle["rateLimit"]),
                    burst=int(plan.throttle["burstLimit"]),
                )

    def _is_here(self, stage: dict[str, Any]) -> bool:
        return all(stage.get(name) == value for name, value in self._stage.items())
