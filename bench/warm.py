"""What a record costs once the function is warm, beside bare POSTs of the same bodies."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from bench import child
from bench.cold import EVENTS, KEY, event_of
from bench.layer import function_folder
from bench.other_side import OtherSide
from bench.report import CALLERS


def measure(other: OtherSide, folder: Path, layer: Path, *, blocks: int, records: int) -> Any:
    """By function: CPU and wall microseconds a record and a POST, memory."""
    result: dict[str, Any] = {}
    for name in CALLERS:
        other.call("forget")  # a first message of each measurement has a fixed key
        function, _ = EVENTS[name]
        event = folder / f"{function}.json"
        event.write_text(json.dumps(event_of(name)), encoding="utf-8")
        sample = child.run(
            "warm",
            str(event),
            KEY,
            str(blocks),
            str(records if name == "create_lead" else 0),
            environ=other.environments[function],
            path=(function_folder(layer, function), layer),
            packages=True,  # urllib3, for the floor
        )
        result[name] = {
            "cpu_us": _each(sample["ours"], 0, sample["block"]),
            "wall_us": _each(sample["ours"], 1, sample["block"]),
            "floor_cpu_us": _each(sample["floor"], 0, sample["block"]),
            "floor_wall_us": _each(sample["floor"], 1, sample["block"]),
            # In turns: each pair of blocks is one ratio.
            "ratio": statistics.median(
                ours[0] / floor[0]
                for ours, floor in zip(sample["ours"], sample["floor"], strict=True)
            ),
            "bytes": sample["bytes"],
            "memory_kib": sample["memory_kib"],
        }
    return result


def _each(blocks: list[list[float]], which: int, size: int) -> float:
    return statistics.median(block[which] for block in blocks) / size * 1e6
