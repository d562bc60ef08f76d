"""The layers of the sandbox's org: state is the ground, `Org` the façade, no import circles."""

from __future__ import annotations

import ast

import pytest

from tests.contract.imports import assert_no_circle, imported, modules, needs, tree
from tools.template import ROOT

ORG = ROOT / "sandbox" / "org"

# Lower layers first: a module may import its own layer and those before it. A layer is a folder
# or a single module.
LAYERS = [
    *("errors", "trouble", "data", "rules", "query", "oauth", "sample", "org", "rest"),
    *("http", "__main__"),
]
PACKAGE = "sandbox.org"
MODULES = modules(PACKAGE)


def layer(module: str) -> int:
    return LAYERS.index(module.partition(".")[0])


def test_every_module_has_a_layer() -> None:
    assert {module.partition(".")[0] for module in MODULES} == set(LAYERS)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_upwards(module: str) -> None:
    assert not {one for one in needs(PACKAGE)[module] if layer(one) > layer(module)}


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"__main__"}))
def test_only_the_program_imports_from_a_package_and_all_others_from_modules(module: str) -> None:
    ours = {one for one in imported(MODULES[module]) if one.startswith(PACKAGE)}
    assert ours <= {f"{PACKAGE}.{one}" for one in MODULES}


def test_there_is_no_import_circle() -> None:
    assert_no_circle(PACKAGE)


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
        for node in ast.walk(tree(path)):
            listens = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "listen"
            if listens or getattr(node, "id", getattr(node, "attr", "")) in servers:
                found.add(str(path.relative_to(ROOT)))
    assert found == {"sandbox/http_server.py"}
