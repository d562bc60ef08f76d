"""(2) What a record costs once the function is warm, beside a bare POST of the same body."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from bench import child
from bench.cold import fresh_event
from bench.layer import function_folder
from bench.other_side import OtherSide


def measure(other: OtherSide, folder: Path, layer: Path, *, blocks: int, records: int) -> Any:
    """By function: CPU and wall microseconds a record and a POST, what was counted, memory."""
    told: dict[str, Any] = {}
    for name in ("create_lead", "create_case"):
        other.ask("forget")
        said = child.run(
            "warm",
            str(fresh_event(name, folder, 0)),
            str(blocks),
            str(records if name == "create_lead" else 0),
            environ=other.environments[name],
            path=(function_folder(layer, name), layer),
        )
        counts = other.ask("counts")
        asked = sum(counts["salesforce"].values())
        told[name] = {
            "cpu_us": _each(said["ours"], 0, said["block"]),
            "wall_us": _each(said["ours"], 1, said["block"]),
            "floor_cpu_us": _each(said["floor"], 0, said["block"]),
            "floor_wall_us": _each(said["floor"], 1, said["block"]),
            # In turns: each pair of blocks is one ratio.
            "ratio": statistics.median(
                ours[0] / floor[0] for ours, floor in zip(said["ours"], said["floor"], strict=True)
            ),
            "bytes": said["bytes"],
            "records": said["records"],
            # Everything is counted, the first record too, which reads the token.
            "salesforce_calls": (asked - said["posts"]) / said["records"],
            "aws_calls": sum(counts["aws"].values()),
            # One is the floor's own.
            "connections": counts["salesforce_connections"] - 1,
            "aws_connections": counts["aws_connections"],
            "memory_kib": said["memory_kib"],
        }
    return told


def _each(blocks: list[list[float]], which: int, size: int) -> float:
    return statistics.median(block[which] for block in blocks) / size * 1e6
