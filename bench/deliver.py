"""What a record costs in Deliver, by the size of the batch."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from bench import child
from bench.layer import function_folder
from bench.other_side import OtherSide

USUAL_TEXT = 200
LARGE_TEXT = 19_600
"""Bytes of Description that make a record of 20 kB as it is sent."""

BATCHES = (
    ("1 usual", 1, 60, USUAL_TEXT),
    ("10 usual", 10, 30, USUAL_TEXT),
    ("200 usual", 200, 10, USUAL_TEXT),
    ("200 of 20 kB", 200, 4, LARGE_TEXT),
)


def measure(other: OtherSide, layer: Path, *, quick: bool) -> Any:
    """By batch: CPU milliseconds a record, records a second, records a Salesforce API call."""
    result: dict[str, Any] = {}
    for label, size, count, text in BATCHES:
        batches = count // 2 if quick else count
        other.call("forget")
        sample = child.run(
            "deliver",
            str(size),
            str(batches),
            str(text),
            environ=other.environments["deliver"],
            path=(function_folder(layer, "deliver"), layer),
            packages=True,
        )
        # The first call is the program's warm-up: one record, not measured.
        calls = sum(other.call("counts")["salesforce"].values()) - 1
        result[label] = {
            "cpu_ms": statistics.median(sample["cpu"]) * 1000,
            "records_per_second": 1 / statistics.median(sample["wall"]),
            "records_per_call": size * batches / calls,
        }
    return result
