"""Every counter that the functions emit has a watcher: an alarm, or a reason not to have one.

The names come from the code and the alarms from the translated template; the reasons are in the
table "Counters without an alarm" of docs/operations.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from bridge.telemetry import OUTCOME_METRICS
from tests.contract.deployments import EVERYTHING, deploy
from tests.contract.imports import modules, tree
from tools.template import ROOT

NAME = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*")

UNITS = ("Count", "Seconds", "Milliseconds", "Percent")


def names_in(*nodes: ast.AST) -> Iterator[str]:
    for one in (inner for node in nodes for inner in ast.walk(node)):
        text = one.value if isinstance(one, ast.Constant) else None
        if isinstance(text, str) and NAME.fullmatch(text):
            yield text


def has_unit(value: ast.AST) -> bool:
    """Whether it is ("Unit", value)."""
    first = value.elts[0] if isinstance(value, ast.Tuple) and value.elts else None
    return isinstance(first, ast.Constant) and first.value in UNITS


def called(node: ast.AST) -> str:
    return getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""


def counted(tree: ast.AST) -> Iterator[str]:
    """`….count("Name")`, `….measure_age("Name", …)`, `….counts["Name"]`, `{"Name": ("Unit",
    value)}`, the names of a loop whose body counts, and those in `metrics_of`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call() if called(node) in ("count", "measure_age"):
                yield from names_in(*node.args[:1])
            case ast.Subscript(value=ast.Attribute(attr="counts"), slice=name):
                yield from names_in(name)
            case ast.Dict():
                pairs = zip(node.keys, node.values, strict=True)
                yield from names_in(*(key for key, value in pairs if key and has_unit(value)))
            case ast.Assign(targets=[ast.Subscript(slice=name)], value=value) if has_unit(value):
                yield from names_in(name)
            case ast.FunctionDef(name="metrics_of"):
                yield from names_in(node)
            case ast.For(iter=names, body=body):
                if "count" in {called(one) for part in body for one in ast.walk(part)}:
                    yield from names_in(names)


@cache
def emitted() -> frozenset[str]:
    found = {name for path in modules("bridge").values() for name in counted(tree(path))}
    return frozenset(found | set(OUTCOME_METRICS.values()))


def with_an_alarm() -> set[str]:
    found = set()
    made = deploy(**EVERYTHING)
    for declared in made.of_type("AWS::CloudWatch::Alarm").values():
        alarm = made.resolve(declared["Properties"])
        stats = (one.get("MetricStat") for one in alarm.get("Metrics", []))
        metrics = [one["Metric"] for one in stats if one] or [alarm]
        found |= {one["MetricName"] for one in metrics if one["Namespace"] == "BirdSalesforce"}
    return found - {"TurnedAway"}  # counted from the access log, not by a function


def with_a_reason() -> set[str]:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.split("\n### Counters without an alarm\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| (`.+?) \| (.{20,}) \|$", table, re.MULTILINE)
    return {name for names, _ in rows for name in re.findall(r"`(\w+)`", names)}


def test_what_is_found_in_the_code_are_the_counters() -> None:
    found = emitted()
    assert {
        *("ApiUsage", "CasesReopened", "DerivedFieldsDropped", "MessagesNotLogged", "OutboxAge"),
        *("PartsUnread", "RecordsNotKept", "UnexpectedErrors"),
    } <= found
    others = {name for name in found if name.endswith(("Error", "Exception", "Id"))}
    assert others == {"MessagesWithoutId"}


def test_every_counter_has_an_alarm_or_a_reason_not_to() -> None:
    alarms, reasons = with_an_alarm(), with_a_reason()
    assert alarms & reasons == set()
    assert emitted() == alarms | reasons
