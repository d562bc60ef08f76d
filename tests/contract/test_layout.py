"""How the code hangs together: arrows point one way, and importing does nothing."""

from __future__ import annotations

import ast

import pytest

from tests.contract.deployments import FUNCTIONS
from tests.contract.imports import assert_no_circle, imported, modules, needs, tree
from tools.template import ROOT

# Arrows point down this list: a module may import from its own folder and from those below it.
FOLDERS = ("wiring", "api", "files", "delivery", "conversations", "oauth", "salesforce", "bird", "")
GROUND = {
    *("records", "settings", "http", "aws", "telemetry", "deadline", "resolver"),
    *("untrusted", "errors"),
}
"""Modules beside the folders, at the bottom: they import each other only."""


MODULES = modules("bridge")


def folder_of(module: str) -> str:
    """The folder of a module; `wiring` is one by itself, and the ground has none."""
    return module if module == "wiring" else module.rpartition(".")[0]


def test_every_module_of_bridge_has_its_place() -> None:
    assert {folder_of(module) for module in MODULES} == set(FOLDERS)
    assert {module for module in MODULES if folder_of(module) == ""} == GROUND


@pytest.mark.parametrize("module", MODULES)
def test_imports_of_bridge_point_one_way(module: str) -> None:
    place = FOLDERS.index(folder_of(module))
    assert not {one for one in needs("bridge")[module] if FOLDERS.index(folder_of(one)) < place}


def test_no_modules_of_bridge_import_each_other_in_a_circle() -> None:
    assert_no_circle("bridge")


@pytest.mark.parametrize("module", MODULES)
def test_bridge_knows_nothing_of_what_stands_around_it(module: str) -> None:
    outside = {"sandbox", "cli", "tests", "bench", "app", "moto", "rich", "typer"}
    assert not outside & {name.split(".")[0] for name in imported(MODULES[module])}


@pytest.mark.parametrize("module", MODULES)
def test_the_environment_is_read_when_something_is_made_never_at_import(module: str) -> None:
    for node in tree(MODULES[module]).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute):
                assert inner.attr not in ("environ", "getenv"), f"line {inner.lineno}"


@pytest.mark.parametrize("folder", FUNCTIONS.values())
def test_a_handler_imports_only_the_wiring(folder: str) -> None:
    path = ROOT / "functions" / folder / "app.py"
    ours = {name for name in imported(path) if name.startswith("bridge")}
    assert ours <= {"bridge.wiring", "bridge.api.record_api"}
    handlers = [node for node in tree(path).body if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in handlers] == ["handler"]
    assert len(handlers[0].body) <= 5, "a handler is a sentence (and its docstring)"


def test_names_say_what_is_inside() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    assert not vague & {
        path.stem for name in ("layers", "sandbox") for path in (ROOT / name).rglob("*.py")
    }
