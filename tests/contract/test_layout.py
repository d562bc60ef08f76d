"""How the code hangs together: imports point one way, and importing does nothing."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator
from graphlib import TopologicalSorter
from io import StringIO

import pytest

from tests.contract.deployments import FUNCTIONS
from tests.contract.imports import imported, modules, tree
from tools.template import ROOT

ORDER: dict[str, list[str]] = {
    "bridge": [
        "records settings http http1 aws telemetry deadline resolver untrusted errors",
        *("bird", "salesforce", "oauth", "conversations", "delivery", "files", "api", "wiring"),
    ],
    # The state is the ground, `Org` the façade.
    "sandbox.org": [
        *("errors", "trouble", "data", "rules", "query", "oauth", "sample", "org", "rest"),
        *("http", "__main__"),
    ],
    # Commands use the packages that do the work, never the reverse.
    "cli": [
        *("problem", "terminal", "deployment", "org", "rejected", "outbox", "connect"),
        *("preview", "checks", "options", "commands", "main", "__main__"),
    ],
}
"""The folders of each package, and its modules beside them. One may import from itself, from those
in its line, and from those in the lines before."""

PACKAGES = pytest.mark.parametrize("package", ORDER)


def part_of(module: str) -> str:
    return module.partition(".")[0]


def inner_imports(package: str) -> Iterator[tuple[str, str]]:
    """Which module imports what of its own package."""
    for module, path in modules(package).items():
        for name in imported(path):
            if name.startswith(f"{package}."):
                yield module, name.removeprefix(f"{package}.")


@PACKAGES
def test_imports_point_one_way(package: str) -> None:
    place = {part: at for at, line in enumerate(ORDER[package]) for part in line.split()}
    assert {part_of(module) for module in modules(package)} == set(place)
    upwards = [
        f"{module} imports {name}"
        for module, name in inner_imports(package)
        if place.get(part_of(name), -1) > place[part_of(module)]
    ]
    assert not upwards


@PACKAGES
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    needs: dict[str, set[str]] = {}
    for module, name in inner_imports(package):
        needs.setdefault(module, set()).add(name)
    TopologicalSorter(needs).prepare()  # CycleError names the circle


BRIDGE = modules("bridge")


def test_bridge_knows_nothing_of_what_stands_around_it() -> None:
    outside = {"sandbox", "cli", "tests", "bench", "app", "moto", "rich", "typer"}
    assert not outside & {part_of(name) for path in BRIDGE.values() for name in imported(path)}


@pytest.mark.parametrize("module", BRIDGE)
def test_the_environment_is_read_when_something_is_made_never_at_import(module: str) -> None:
    for node in tree(BRIDGE[module]).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names = {getattr(inner, "attr", "") for inner in ast.walk(node)}
            assert not names & {"environ", "getenv"}, f"line {node.lineno}"


@pytest.mark.parametrize("folder", FUNCTIONS.values())
def test_a_handler_is_a_sentence_and_imports_only_the_wiring(folder: str) -> None:
    path = ROOT / "functions" / folder / "app.py"
    ours = {name for name in imported(path) if name.startswith("bridge")}
    assert ours <= {"bridge.wiring", "bridge.api.record_api"}
    handlers = [node for node in tree(path).body if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in handlers] == ["handler"]
    assert len(handlers[0].body) <= 5, "and its docstring"


def test_names_say_what_is_inside() -> None:
    files = [path for name in ("layers", "sandbox") for path in (ROOT / name).rglob("*.py")]
    vague = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    assert not vague & {path.stem for path in files}
    repeated = [path for path in files if path.stem == path.parent.name]
    assert repeated == [ROOT / "sandbox" / "org" / "org.py"]


# The sandbox


def test_only_the_program_imports_from_the_org_s_package_and_all_others_from_modules() -> None:
    files = modules("sandbox.org")
    from_package = [module for module, name in inner_imports("sandbox.org") if name not in files]
    assert set(from_package) <= {"__main__"}


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


# The program


def test_typer_is_only_where_options_are() -> None:
    files = modules("cli")
    users = {part_of(module) for module, path in files.items() if "typer" in imported(path)}
    assert users == {"commands", "options", "main"}


def test_a_command_is_a_file_of_its_own() -> None:
    files = {module.partition(".")[2] for module in modules("cli") if part_of(module) == "commands"}
    assert files == {
        *("connect", "setup_org", "doctor", "status", "outbox", "check", "flow", "disconnect"),
        "rejected",
    }


NO_NAMES = frozenset(
    {
        *("said", "asked", "told", "answer", "answers", "door", "sky", "weather", "mortal"),
        *("doom", "lesson", "wish", "ledger", "dear", "ill"),
    }
)
"""Words at which a reader stops where they name data or a part of a program."""


def test_names_are_words_of_the_field() -> None:
    folders = ("layers", "functions", "sandbox", "cli", "tools", "bench", "tests", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = {
        f"{path.relative_to(ROOT)}:{token.start[0]} {token.string}"
        for path in files
        for token in tokenize.generate_tokens(StringIO(path.read_text("utf-8")).readline)
        if token.type == tokenize.NAME and token.string.lower() in NO_NAMES
    }
    assert not found
