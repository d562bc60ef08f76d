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

from tests.slow.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "build" / "fuzz"


def fuzz(name: str, minutes: float) -> bool:
    """Whether a target found nothing."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    before = _crashes(folder)
    log = folder / "log.txt"
    program = [sys.executable, "-m", "tests.slow.fuzz.atheris_run", name, str(folder)]
    print(f"{name:18} {minutes:g} min …", end=" ", flush=True)
    with log.open("w", encoding="utf-8") as out:
        run = subprocess.run(
            [*program, f"-max_total_time={int(minutes * 60)}", "-print_final_stats=1"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/bridge'}"},
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    output = log.read_text(encoding="utf-8", errors="replace")
    runs = re.findall(r"^stat::number_of_executed_units: (\d+)", output, re.MULTILINE)
    covered = re.findall(r"cov: (\d+)", output)
    print(
        f"{int(runs[-1]) if runs else 0:,} executions, {covered[-1] if covered else '?'} branches",
        end="",
    )
    if run.returncode == 0:
        print(", nothing found")
        return True
    print(f", FOUND something (status {run.returncode})")
    for path in sorted(_crashes(folder) - before):
        print(f"    the input: {path.relative_to(ROOT)}")
    print(f"    the stack: {log.relative_to(ROOT)}")
    print(
        f"    again:     python -m tests.slow.fuzz.atheris_run {name} build/fuzz/{name} THE_INPUT"
    )
    return False


def _crashes(folder: Path) -> set[Path]:
    return {path for path in folder.iterdir() if path.is_file() and path.name != "log.txt"}


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
