"""`make bench`: measures, prints, writes JSON. `ARGS=--quick` takes a minute and is less exact."""

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

from bench import cold, deliver, report, waits, warm
from bench.layer import copy_layer, measure_built
from bench.other_side import OtherSide
from tools.template import ROOT


def main() -> None:
    """Print the results. A missed bar is no error: what load cannot change is a test's work."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, default=ROOT / ".local/bench.json")
    options = parser.parse_args()
    started = time.monotonic()
    result = measure(quick=options.quick)
    bars = report.bars(result)
    print(report.text(result, bars))
    result["bars"] = [{**dataclasses.asdict(bar), "verdict": bar.verdict} for bar in bars]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    met = sum(bool(bar.met) for bar in bars)
    seconds = time.monotonic() - started
    print(f"\n{met} of {len(bars)} bars are met. {seconds:.0f} s; more in {options.json}")


def measure(*, quick: bool) -> dict[str, Any]:
    """All measurements, one after another."""
    result: dict[str, Any] = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": f"Python {platform.python_version()}",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "load": os.getloadavg()[0],
        "quick": quick,
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as name, OtherSide() as other:
        folder = Path(name)
        layer = copy_layer(folder / "layer")
        _show("cold starts")
        result["cold"] = cold.measure(other, folder, layer, rounds=3 if quick else 9)
        _show("warm records")
        result["warm"] = warm.measure(
            other, folder, layer, blocks=5 if quick else 21, records=1_000 if quick else 10_000
        )
        _show("delivery")
        result["deliver"] = deliver.measure(other, layer, quick=quick)
    _show("waits")
    result["waits"] = waits.measure(quick=quick)
    result["layer"] = measure_built()
    return result


def _show(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
