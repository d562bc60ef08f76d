"""How the code hangs together: arrows point one way, and importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.template import ROOT

BRIDGE = ROOT / "layers" / "bridge" / "bridge"

# Inner modules first: a module may import those before it, never one after it.
ORDER = [
    "errors",
    "deadline",
    "catalogue",
    "settings",
    "records",
    "channels",
    "message",
    "shapes",
    "request",
    "http",
    "telemetry",
    "salesforce",
    "aws",
    "tokens",
    "refresh",
    "signatures",
    "outbox",
    "creation",
    "delivery",
    "api",
    "wiring",
]

MODULES = sorted(path.stem for path in BRIDGE.glob("*.py") if path.stem != "__init__")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            assert node.module is not None
            if node.module in ("bridge", "cli", "sandbox"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_every_module_of_bridge_has_its_place() -> None:
    assert sorted(ORDER) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_of_bridge_point_one_way(module: str) -> None:
    place = ORDER.index(module)
    for name in imported(BRIDGE / f"{module}.py"):
        if name.startswith("bridge."):
            other = name.split(".")[1]
            assert ORDER.index(other) < place, f"{module} imports {other}, which is outside it"


@pytest.mark.parametrize("module", MODULES)
def test_bridge_knows_nothing_of_what_stands_around_it(module: str) -> None:
    outside = {"sandbox", "cli", "tests", "bench", "app", "moto", "rich", "typer"}
    assert not outside & {name.split(".")[0] for name in imported(BRIDGE / f"{module}.py")}


@pytest.mark.parametrize("module", MODULES)
def test_the_environment_is_read_when_something_is_made_never_at_import(module: str) -> None:
    for node in tree(BRIDGE / f"{module}.py").body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute):
                assert inner.attr not in ("environ", "getenv"), f"line {inner.lineno}"


@pytest.mark.parametrize(
    "folder", ["create_lead", "create_case", "receive_message", "refresh_token", "deliver"]
)
def test_a_handler_imports_only_the_wiring(folder: str) -> None:
    path = ROOT / "functions" / folder / "app.py"
    ours = {name for name in imported(path) if name.startswith("bridge")}
    assert ours <= {"bridge.wiring", "bridge.api"}
    handlers = [node for node in tree(path).body if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in handlers] == ["handler"]
    assert len(handlers[0].body) <= 5, "a handler is a sentence (and its docstring)"


@pytest.mark.parametrize("folder", ["create_lead", "create_case", "receive_message"])
def test_what_a_caller_waits_for_does_not_load_boto3(folder: str) -> None:
    program = f"""
import sys
sys.path[:0] = [{str(ROOT / "functions" / folder)!r}, {str(BRIDGE.parent)!r}]
import app
from bridge import wiring
slow = {{"boto3", "botocore.session", "botocore.client", "pydantic"}}
slow |= {{"aws_lambda_powertools.event_handler"}}
assert not slow & set(sys.modules), slow & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["bridge"])
def test_names_say_what_is_inside(folder: str) -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    names = {path.stem for path in (ROOT / "layers").rglob("*.py")}
    names |= {path.stem for path in (ROOT / "sandbox").rglob("*.py")}
    assert not vague & names
