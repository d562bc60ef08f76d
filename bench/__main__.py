"""`make bench`: measures, prints, writes JSON. `ARGS=--quick` in under a minute, less exact."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import cold, deliver, emulator, report, saturation, sizes, waits, warm
from bench.layer import copy_layer
from bench.other_side import OtherSide
from tools.template import ROOT


def main() -> None:
    """Measures are told, not enforced: what a machine's load cannot move is a test's affair."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, default=ROOT / ".local/bench.json")
    given = parser.parse_args()
    begun = time.monotonic()
    result = measure(quick=given.quick)
    judged = report.bars(result)
    print(report.text(result, judged))
    result["bars"] = [{**dataclasses.asdict(bar), "verdict": bar.verdict} for bar in judged]
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    missed = sum(bar.met is False for bar in judged)
    met, seconds = len(judged) - missed, time.monotonic() - begun
    print(f"\n{met} of {len(judged)} bars are met. {seconds:.0f} s; more in {given.json}")


def measure(*, quick: bool) -> dict[str, Any]:
    """All seven, one after another."""
    result: dict[str, Any] = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": f"Python {platform.python_version()}",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "load": os.getloadavg()[0],
        "quick": quick,
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as name, OtherSide() as other:
        folder = Path(name)
        layer = copy_layer(folder / "layer", python=sys.executable, bytecode=True)
        _say("cold starts")
        result["cold"] = cold.measure(
            other, folder, rounds=3 if quick else 9, rounds_without=1 if quick else 2
        )
        _say("warm records")
        result["warm"] = warm.measure(
            other, folder, layer, blocks=5 if quick else 21, records=1_000 if quick else 10_000
        )
        _say("the emulator")
        try:
            result["emulator"] = emulator.measure(other, folder, starts=1 if quick else 5)
        except emulator.NotMeasured as why:
            result["emulator"] = str(why)
        _say("delivery")
        result["deliver"] = deliver.measure(other, layer, quick=quick)
    _say("waits")
    result["waits"] = waits.measure(quick=quick)
    _say("saturation")
    result["saturation"] = saturation.measure(quick=quick)
    result["sizes"] = sizes.measure()
    return result


def _say(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
