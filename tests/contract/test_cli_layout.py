"""How `cli/` hangs together: commands use the packages that do the work, never the reverse."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tools.template import ROOT

CLI = ROOT / "cli"

# A package or module may import what stands before it, and its own modules.
ORDER = [
    "problem",
    "terminal",
    "deployment",
    "org",
    "rejected",
    "outbox",
    "connect",
    "preview",
    "checks",
    "options",
    "commands",
    "main",
    "__main__",
]

MODULES = sorted(path for path in CLI.rglob("*.py") if path.name != "__init__.py")


def part_of(path: Path) -> str:
    """The package of a module, or the module itself if it is in none."""
    return path.relative_to(CLI).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The dotted names that a module imports from `cli`, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    return {one for one in found if one.startswith("cli.")}


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in MODULES} == set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CLI)))
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    for name in imported(path):
        other = name.split(".")[1]
        assert other == part or ORDER.index(other) < ORDER.index(part), f"{path.name}: {name}"


def test_no_import_circle_inside_a_package() -> None:
    modules = {".".join(("cli", *path.relative_to(CLI).with_suffix("").parts)) for path in MODULES}

    def needs(module: str) -> set[str]:
        path = ROOT / (module.replace(".", "/") + ".py")
        return {
            one
            for one in modules - {module}
            if any(name == one or name.startswith(f"{one}.") for name in imported(path))
        }

    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for one in needs(module):
                visit(one, (*path, module))
            done.add(module)

    for module in modules:
        visit(module, ())


def test_typer_is_only_where_options_are() -> None:
    users = {
        part_of(path)
        for path in MODULES
        if any(
            isinstance(node, ast.Import) and any(one.name == "typer" for one in node.names)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert users == {"commands", "options", "main"}


def test_a_command_is_a_file_of_its_own() -> None:
    files = {path.stem for path in (CLI / "commands").glob("*.py")} - {"__init__"}
    assert files == {
        "connect",
        "setup_org",
        "doctor",
        "status",
        "outbox",
        "check",
        "flow",
        "disconnect",
        "rejected",
        "sign_in_options",
    }
