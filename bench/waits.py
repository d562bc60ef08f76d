"""What a caller waits where Salesforce is 80 ms away: warm, cold, expired token, outage."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Iterator
from typing import Any

from bench.other_side import OtherSide

ROUND_TRIP_SECONDS = 0.08


def measure(*, quick: bool) -> Any:
    """By situation: milliseconds (median), and what it cost in calls."""
    times = 2 if quick else 7
    with OtherSide(round_trip_seconds=ROUND_TRIP_SECONDS) as other:
        return dict(_situations(other, times, quick=quick))


def _situations(other: OtherSide, times: int, *, quick: bool) -> Iterator[tuple[str, Any]]:
    _post(other, "created")
    other.call("forget")
    yield "warm", _result(other, [_post(other, "created") for _ in range(times)])

    cold = []
    for _ in range(times):
        other.call("recycle", name="create_lead")
        other.call("forget")
        cold.append(_post(other, "created"))
    yield "cold", _result(other, cold)

    renewed = []
    for _ in range(times):
        other.call("expire")
        other.call("renew")
        other.call("forget")
        renewed.append(_post(other, "created"))
    yield "token expired, renewed by the schedule", _result(other, renewed)

    expired = []
    for _ in range(times):
        other.call("forget")
        other.call("expire")
        expired.append(_post(other, "created"))
    yield "token expired, nobody renewed it", _result(other, expired)

    other.call("expire")
    other.call("recycle", name="refresh_token")
    other.call("forget")
    yield "token expired, RefreshToken cold", _result(other, [_post(other, "created")])

    four = [_body() for _ in range(4)]
    other.call("post_at_once", path="/leads", bodies=[_body() for _ in range(4)])
    other.call("expire")
    other.call("forget")
    outcomes = other.call("post_at_once", path="/leads", bodies=four)
    if outcomes != ["created"] * 4:
        raise RuntimeError(f"the outcomes of four callers at once were {outcomes}")
    yield "token expired, four callers at once", {"ms": None, **other.call("counts")}

    other.call("down", kind="refused")
    other.call("forget")
    refused = [_post(other, "queued") for _ in range(times)]
    yield "outage, connections refused", _result(other, refused)
    other.call("up")

    if quick:
        return
    other.call("recycle", name="create_lead")
    _post(other, "created")
    other.call("down", kind="silent")
    other.call("forget")
    first = [_post(other, "queued") for _ in range(2)]
    yield "outage, no response: the first two", _result(other, first)
    other.call("forget")
    later = [_post(other, "queued") for _ in range(2)]
    yield "outage, no response: afterwards", _result(other, later)
    other.call("up")


def _body() -> Any:
    """A record outside conversations: without a sender there is none."""
    return {
        "bird": {
            "channel": "whatsapp",
            "messageId": uuid.uuid4().hex,
            "displayName": "Amara Okafor",
            "text": "Is the blue one back in stock?",
        }
    }


def _post(other: OtherSide, expected: str) -> float:
    status, outcome, milliseconds = other.call("post", path="/leads", body=_body())
    if outcome != expected:
        raise RuntimeError(f"the API returned {status} {outcome} instead of {expected}")
    return float(milliseconds)


def _result(other: OtherSide, waits: list[float]) -> Any:
    """The median wait, and the counts since `forget`."""
    return {"ms": statistics.median(waits), **other.call("counts")}
