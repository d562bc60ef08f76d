"""How the code hangs together: arrows point one way, and importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tools.template import ROOT

BRIDGE = ROOT / "layers" / "bridge" / "bridge"

# Arrows point down this list: a module may import from its own folder and from those below it.
FOLDERS = ("wiring", "api", "delivery", "conversations", "oauth", "salesforce", "bird", "")
GROUND = {
    "records",
    "settings",
    "http",
    "aws",
    "telemetry",
    "deadline",
    "resolver",
    "untrusted",
    "errors",
}
"""Modules beside the folders, at the bottom: they import each other only."""


def dotted(path: Path) -> str:
    """A file's name below the package, as it is imported."""
    return ".".join(path.relative_to(BRIDGE).with_suffix("").parts)


MODULES = sorted(dotted(path) for path in BRIDGE.rglob("*.py") if path.stem != "__init__")


def file_of(module: str) -> Path:
    return BRIDGE / (module.replace(".", "/") + ".py")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


OURS = {"bridge": BRIDGE, "cli": ROOT / "cli", "sandbox": ROOT / "sandbox", "tools": ROOT / "tools"}


def is_folder(module: str) -> bool:
    """Whether a dotted name is a package, so that what is imported from it may be a module."""
    first, *rest = module.split(".")
    return OURS[first].joinpath(*rest).is_dir()


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            assert node.module is not None
            if node.module.split(".")[0] in OURS and is_folder(node.module):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def folder_of(module: str) -> str:
    """The folder of a module; `wiring` is one by itself, and the ground has none."""
    return module if module == "wiring" else module.rpartition(".")[0]


def imported_modules(module: str) -> set[str]:
    """The modules of bridge that a module imports, wherever in it."""
    names = (name.removeprefix("bridge.") for name in imported(file_of(module)))
    return {name for name in names if name in MODULES}


def test_every_module_of_bridge_has_its_place() -> None:
    assert {folder_of(module) for module in MODULES} == set(FOLDERS)
    assert {module for module in MODULES if folder_of(module) == ""} == GROUND


@pytest.mark.parametrize("module", MODULES)
def test_imports_of_bridge_point_one_way(module: str) -> None:
    place = FOLDERS.index(folder_of(module))
    for name in imported_modules(module):
        above = FOLDERS.index(folder_of(name)) < place
        assert not above, f"{module} imports {name}, which is above it"


def test_no_modules_of_bridge_import_each_other_in_a_circle() -> None:
    order = TopologicalSorter({module: imported_modules(module) for module in MODULES})
    order.prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_bridge_knows_nothing_of_what_stands_around_it(module: str) -> None:
    outside = {"sandbox", "cli", "tests", "bench", "app", "moto", "rich", "typer"}
    assert not outside & {name.split(".")[0] for name in imported(file_of(module))}


@pytest.mark.parametrize("module", MODULES)
def test_the_environment_is_read_when_something_is_made_never_at_import(module: str) -> None:
    for node in tree(file_of(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute):
                assert inner.attr not in ("environ", "getenv"), f"line {inner.lineno}"


@pytest.mark.parametrize(
    "folder",
    ["create_lead", "create_case", "receive_message", "find_customer", "refresh_token", "deliver"],
)
def test_a_handler_imports_only_the_wiring(folder: str) -> None:
    path = ROOT / "functions" / folder / "app.py"
    ours = {name for name in imported(path) if name.startswith("bridge")}
    assert ours <= {"bridge.wiring", "bridge.api.record_api"}
    handlers = [node for node in tree(path).body if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in handlers] == ["handler"]
    assert len(handlers[0].body) <= 5, "a handler is a sentence (and its docstring)"


@pytest.mark.parametrize(
    "folder", ["create_lead", "create_case", "receive_message", "find_customer"]
)
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
