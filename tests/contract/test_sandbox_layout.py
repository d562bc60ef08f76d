"""The layers of the sandbox's org: state is the ground, `Org` the façade, no import circles."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tools.template import ROOT

ORG = ROOT / "sandbox" / "org"

# Lower layers first: a module may import its own layer and those before it. A layer is a folder
# or a single module.
LAYERS = [
    "errors",
    "trouble",
    "data",
    "rules",
    "query",
    "oauth",
    "sample",
    "org",
    "rest",
    "http",
    "__init__",
    "__main__",
]
PACKAGE = "sandbox.org"


def dotted(path: Path) -> str:
    """A file below the package as it is imported, without the package's name."""
    return ".".join(path.relative_to(ORG).with_suffix("").parts)


MODULES = sorted(
    dotted(path) for path in ORG.rglob("*.py") if path.parent == ORG or path.stem != "__init__"
)


def layer(module: str) -> int:
    return LAYERS.index(module.partition(".")[0])


def imported(module: str) -> set[str]:
    """Modules of the org that a module imports, wherever in it, for type checking only too."""
    path = ORG.joinpath(*module.split(".")).with_suffix(".py")
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.level == 0, f"{module}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name == PACKAGE or name.startswith(PACKAGE + "."):
                found.add(_module_of(name))
    return found


def _module_of(name: str) -> str:
    """The module that an imported name is, or is in; ``__init__`` for the package's own names."""
    parts = name.removeprefix(PACKAGE).strip(".").split(".")
    while parts and parts != [""]:
        if ".".join(parts) in MODULES:
            return ".".join(parts)
        parts.pop()
    return "__init__"


def test_every_module_has_a_layer() -> None:
    assert {module.partition(".")[0] for module in MODULES} == set(LAYERS)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_upwards(module: str) -> None:
    above = {other for other in imported(module) if layer(other) > layer(module)}
    assert not above


def test_there_is_no_import_circle() -> None:
    graph = {module: imported(module) - {module} for module in MODULES}
    assert set(TopologicalSorter(graph).static_order()) == set(MODULES)


def test_no_file_repeats_the_name_of_its_folder() -> None:
    repeated = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "sandbox").rglob("*.py")
        if path.stem == path.parent.name and path.parent != ORG
    }
    assert not repeated


def test_the_sandbox_has_one_http_server() -> None:
    """Every listening socket of the sandbox is opened in ``sandbox/http_server.py``."""
    servers = {"ThreadingHTTPServer", "HTTPServer", "TCPServer", "BaseHTTPRequestHandler"}
    found = set()
    for path in (ROOT / "sandbox").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            listens = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "listen"
            if listens or getattr(node, "id", getattr(node, "attr", "")) in servers:
                found.add(str(path.relative_to(ROOT)))
    assert found == {"sandbox/http_server.py"}
