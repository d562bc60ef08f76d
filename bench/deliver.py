"""(4) What a record costs in Deliver, by the size of the batch and by the backlog."""

from __future__ import annotations

import json
import statistics
import uuid
from pathlib import Path
from typing import Any

from bench import child
from bench.layer import function_folder
from bench.other_side import OtherSide

USUAL_TEXT = 200
LARGE_TEXT = 19_600
"""Bytes of Description that make a record of 20 kB as it is sent."""


def measure(other: OtherSide, layer: Path, *, quick: bool) -> Any:
    """By batch: CPU ms a record, records a second, records an API call; seconds by backlog."""
    other.ask("forget")
    told: dict[str, Any] = {"batches": {}, "backlog": {}}
    usual = "1x20,10x10,200x4" if quick else "1x60,10x30,200x10"
    for label, sizes, text in (
        ("usual", usual, USUAL_TEXT),
        ("20 kB", "200x2" if quick else "200x4", LARGE_TEXT),
    ):
        said = child.run(
            "deliver",
            sizes,
            str(text),
            environ=other.environments["deliver"],
            path=(function_folder(layer, "deliver"), layer),
            packages=True,
        )
        for size, one in said.items():
            told["batches"][f"{size.partition('x')[0]} {label}"] = {
                "cpu_ms": statistics.median(one["cpu"]) * 1000,
                "records_per_second": 1 / statistics.median(one["wall"]),
                "records_per_call": one["records"] / one["calls"],
            }
    for count in (200, 800) if quick else (400, 1_600, 6_400):
        other.ask("forget")
        for start in range(0, count, 400):
            other.ask("queue", bodies=[_envelope() for _ in range(min(400, count - start))])
        seconds, batches = other.ask("drain")
        told["backlog"][str(count)] = {
            "seconds": seconds,
            "records_per_second": count / seconds,
            "invocations": batches,
        }
    return told


def _envelope() -> str:
    fields = {"LastName": "Okafor", "Company": "Individual", "Description": "x" * USUAL_TEXT}
    return json.dumps(
        {
            "v": 1,
            "object": "Lead",
            "key": uuid.uuid4().hex,
            "channel": "whatsapp",
            "fields": fields,
            "derived": [],
            "acceptedAt": "2026-11-24T08:00:00.000+00:00",
            "requestId": "",
        }
    )
