"""(5) What a caller waits where Salesforce is 80 ms away: warm, cold, expired token, outage."""

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
    other.ask("forget")
    yield "warm", _told(other, [_post(other, "created") for _ in range(times)])

    cold = []
    for _ in range(times):
        other.ask("recycle", name="create_lead")
        other.ask("forget")
        cold.append(_post(other, "created"))
    yield "cold", _told(other, cold)

    renewed = []
    for _ in range(times):
        other.ask("expire")
        other.ask("renew")
        other.ask("forget")
        renewed.append(_post(other, "created"))
    yield "token expired, renewed by the schedule", _told(other, renewed)

    expired = []
    for _ in range(times):
        other.ask("forget")
        other.ask("expire")
        expired.append(_post(other, "created"))
    yield "token expired, nobody renewed it", _told(other, expired)

    other.ask("expire")
    other.ask("recycle", name="refresh_token")
    other.ask("forget")
    yield "token expired, RefreshToken cold", _told(other, [_post(other, "created")])

    everyone = [_body() for _ in range(4)]
    other.ask("post_at_once", path="/leads", bodies=[_body() for _ in range(4)])
    other.ask("expire")
    other.ask("forget")
    outcomes = other.ask("post_at_once", path="/leads", bodies=everyone)
    if outcomes != ["created"] * 4:
        raise RuntimeError(f"four callers at once were told {outcomes}")
    counts = other.ask("counts")
    yield "token expired, four callers at once", {"ms": None, **_counted(counts)}

    other.ask("down", kind="refused")
    other.ask("forget")
    refused = [_post(other, "queued") for _ in range(times)]
    yield "outage, connections refused", _told(other, refused)
    other.ask("up")

    if quick:
        return
    other.ask("recycle", name="create_lead")
    _post(other, "created")
    other.ask("down", kind="silent")
    silent = [_post(other, "queued") for _ in range(4)]
    yield (
        "outage, no answer: the first two",
        {"ms": statistics.median(silent[:2])},
    )
    yield "outage, no answer: afterwards", {"ms": statistics.median(silent[2:])}
    other.ask("up")


def _body() -> Any:
    return {
        "bird": {
            "channel": "whatsapp",
            "messageId": uuid.uuid4().hex,
            "sender": "+4915123456789",
            "displayName": "Amara Okafor",
            "text": "Is the blue one back in stock?",
        }
    }


def _post(other: OtherSide, expected: str) -> float:
    status, outcome, milliseconds = other.ask("post", path="/leads", body=_body())
    if outcome != expected:
        raise RuntimeError(f"the API answered {status} {outcome} where {expected} was due")
    return float(milliseconds)


def _told(other: OtherSide, waits: list[float]) -> Any:
    """The median wait, and the counts since the other side last forgot."""
    return {"ms": statistics.median(waits), **_counted(other.ask("counts"))}


def _counted(counts: Any) -> Any:
    return {
        "salesforce": counts["salesforce"],
        "aws": counts["aws"],
        "connections": counts["salesforce_connections"],
    }
