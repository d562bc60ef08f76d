"""`make fuzz`: every target for some minutes, one after the other; says what was found and where.

python -m tests.slow.fuzz.long MINUTES [TARGET…]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.slow.fuzz.targets import TARGETS
from tools.template import ROOT

FOLDER = ROOT / "build" / "fuzz"


def command(name: str, folder: Path, *options: str) -> dict[str, Any]:
    """What `subprocess` needs to fuzz one target in a process of its own."""
    return {
        "args": [sys.executable, "-m", "tests.slow.fuzz.targets", name, str(folder), *options],
        "cwd": ROOT,
        "env": {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/bridge'}"},
    }


def fuzz(name: str, minutes: float) -> bool:
    """Whether a target found nothing."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    log = folder / "log.txt"
    print(f"{name:18} {minutes:g} min …", end=" ", flush=True)
    options = (f"-max_total_time={int(minutes * 60)}", "-print_final_stats=1")
    with log.open("w", encoding="utf-8") as out:
        run = subprocess.run(
            **command(name, folder, *options), stdout=out, stderr=subprocess.STDOUT, check=False
        )
    output = log.read_text(encoding="utf-8", errors="replace")
    runs = re.findall(r"^stat::number_of_executed_units: (\d+)", output, re.MULTILINE) or [0]
    covered = re.findall(r"cov: (\d+)", output) or ["?"]
    print(f"{int(runs[-1]):,} executions, {covered[-1]} branches", end="")
    if run.returncode == 0:
        print(", nothing found")
        return True
    print(f", FOUND something (status {run.returncode})")
    for path in sorted(set(folder.iterdir()) - before - {log, folder / "grown"}):
        print(f"    the input: {path.relative_to(ROOT)}")
    print(f"    the stack: {log.relative_to(ROOT)}")
    print(f"    again:     pytest tests/slow/fuzz -k {TARGETS[name].partition('.')[2]}")
    return False


def main() -> int:
    """0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("minutes", type=float, metavar="MINUTES")
    parser.add_argument("names", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    if unknown := ", ".join(set(options.names) - set(TARGETS)):
        parser.error(f"{unknown} is none of {', '.join(TARGETS)}")
    found = [name for name in options.names or TARGETS if not fuzz(name, options.minutes)]
    print(f"What was learned and what crashed is in {FOLDER.relative_to(ROOT)}/")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
