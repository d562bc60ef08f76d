"""The tables, and the bars of what a machine's load can move.

Imports, calls and connections are counted in tests/slow/bench.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

CALLERS = ("create_lead", "create_case", "message of a conversation")


@dataclass(frozen=True)
class Bar:
    """One promise: the limit and what was measured. `met` None: not measured."""

    name: str
    limit: str
    measured: str
    met: bool | None
    why: str = ""

    @property
    def verdict(self) -> str:
        """In words."""
        if self.met is None:
            return f"not measured: {self.why}"
        return "met" if self.met else f"NOT MET: {self.why}"


def bars(result: Any) -> list[Bar]:
    """Every bar of the project that is measured here."""
    return [
        *_warm_bars(result["warm"]),
        *_cold_bars(result["cold"]),
        _delivery_bar(result["deliver"]),
        _layer_bar(result["layer"]),
    ]


def _warm_bars(warm: Any) -> Iterable[Bar]:
    for name in CALLERS:
        one = warm[name]
        yield Bar(
            f"warm {name}: CPU beside bare POSTs of what it sends",
            "≤ 2.00",
            f"{one['ratio']:.2f}",
            one["ratio"] <= 2,
            "the parts of a record are in the table; a busy machine moves it by a tenth",
        )
    memory = {int(count): size for count, size in warm["create_lead"]["memory_kib"].items()}
    if not memory:
        yield Bar("memory", "≤ 1,024 KiB more", "", None, "only Linux shows it")
        return
    first, last = min(memory), max(memory)
    middle = sorted(memory)[-2]
    grown = memory[last] - memory[middle]
    yield Bar(
        f"memory from {middle:,} to {last:,} records",
        "≤ 1,024 KiB more",
        f"{grown:+,} KiB ({memory[first]:,} KiB after {first})",
        grown <= 1024,
        "something is kept of every record",
    )


def _cold_bars(cold: Any) -> Iterable[Bar]:
    for name in CALLERS:
        yield Bar(
            f"cold {name}: CPU beside boto3 + client + POST",
            "≤ 0.50",
            f"{cold[name]['ratio']:.2f}",
            cold[name]["ratio"] <= 0.5,
            f"urllib3, the authorities and a POST alone are {cold['urllib3-post']['ratio']:.2f}",
        )


def _delivery_bar(batches: Any) -> Bar:
    full = batches["200 usual"]["cpu_ms"]
    return Bar(
        "deliver: CPU a record, 200 a batch",
        "≤ 0.5 ms",
        f"{full:.3f} ms",
        full <= 0.5,
        "see the table by size of the batch",
    )


def _layer_bar(layer: Any) -> Bar:
    name, limit = "layer", "≤ 6 MB unzipped, no compiled parts"
    if layer is None:
        return Bar(name, limit, "", None, "make build was not run")
    compiled = ", ".join(layer["compiled"]) or "none"
    return Bar(
        name,
        limit,
        f"{layer['bytes'] / 1e6:.1f} MB, {compiled}",
        layer["bytes"] <= 6e6 and not layer["compiled"],
        "see layers/bridge/Makefile",
    )


def text(result: Any, bars: Sequence[Bar]) -> str:
    """Everything, for people."""
    parts = [
        f"{result['python']} on {result['machine']}, load {result['load']:.1f}",
        _cold_text(result["cold"]),
        _warm_text(result["warm"]),
        _deliver_text(result["deliver"]),
        _waits_text(result["waits"]),
    ]
    rows = [(bar.name, bar.limit, bar.measured, bar.verdict) for bar in bars]
    parts.append(_table("The bars", ("", "limit", "measured", ""), rows, left=True))
    return "\n\n".join(parts)


def _cold_text(cold: Any) -> str:
    rows = [
        (
            name,
            f"{one['process']:.0f}",
            f"{one['cpu']:.1f}",
            f"{one['import']:.1f}" if "import" in one else "",
            f"{one['first']:.1f}" if "first" in one else "",
            f"{one['modules']:.0f}",
            f"{one['ratio']:.2f}",
        )
        for name, one in cold.items()
    ]
    titles = ("", "process", "CPU", "import", "first", "modules", "× boto3-post")
    return _table("Cold, with bytecode: CPU ms (median)", titles, rows)


def _warm_text(warm: Any) -> str:
    rows = []
    for name, one in warm.items():
        floor = f"bare POSTs of its {one['bytes']} bytes"
        rows.append((name, f"{one['cpu_us']:.0f}", f"{one['wall_us']:.0f}", f"{one['ratio']:.2f}"))
        rows.append((floor, f"{one['floor_cpu_us']:.0f}", f"{one['floor_wall_us']:.0f}", ""))
    titles = ("", "CPU µs", "wall µs", "ratio")
    memory = ", ".join(
        f"{size:,} KiB after {int(count):,}"
        for count, size in warm["create_lead"]["memory_kib"].items()
    )
    return _table("Warm, over TLS on loopback (median)", titles, rows) + f"\n  memory: {memory}"


def _deliver_text(batches: Any) -> str:
    rows = [
        (
            name,
            f"{one['cpu_ms']:.3f}",
            f"{one['records_per_second']:,.0f}",
            f"{one['records_per_call']:g}",
        )
        for name, one in batches.items()
    ]
    titles = ("a batch", "CPU ms a record", "records/s", "records a call")
    return _table("Deliver, one process (median)", titles, rows)


def _waits_text(waits: Any) -> str:
    rows = [
        (
            name,
            "" if one["ms"] is None else f"{one['ms']:,.0f}",
            str(sum(one["salesforce"].values())),
            str(sum(count for what, count in one["aws"].items() if what.startswith("create_"))),
        )
        for name, one in waits.items()
    ]
    titles = ("", "caller waits, ms", "Salesforce calls", "AWS calls of the caller")
    title = "Waits with Salesforce 80 ms away (median); calls as counted at the end"
    return _table(title, titles, rows)


def _table(
    title: str, titles: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False
) -> str:
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = [title]
    for row in (titles, *rows):
        cells = [
            cell.ljust(width) if left or not number else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)
