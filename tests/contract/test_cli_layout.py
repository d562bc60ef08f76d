"""How `cli/` hangs together: commands use the packages that do the work, never the reverse."""

from __future__ import annotations

import pytest

from tests.contract.imports import assert_no_circle, imported, modules

# A package or module may import what stands before it, and its own modules.
ORDER = [
    *("problem", "terminal", "deployment", "org", "rejected", "outbox", "connect"),
    *("preview", "checks", "options", "commands", "main", "__main__"),
]

MODULES = modules("cli")


def part_of(module: str) -> str:
    """The package of a module, or the module itself if it is in none."""
    return module.partition(".")[0]


def test_every_part_has_its_place() -> None:
    assert {part_of(module) for module in MODULES} == set(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    parts = {part_of(one[4:]) for one in imported(MODULES[module]) if one.startswith("cli.")}
    assert not {one for one in parts if ORDER.index(one) > ORDER.index(part_of(module))}


def test_no_import_circle_inside_a_package() -> None:
    assert_no_circle("cli")


def test_typer_is_only_where_options_are() -> None:
    users = {part_of(module) for module, path in MODULES.items() if "typer" in imported(path)}
    assert users == {"commands", "options", "main"}


def test_a_command_is_a_file_of_its_own() -> None:
    files = {module.partition(".")[2] for module in MODULES if part_of(module) == "commands"}
    assert files == {
        *("connect", "setup_org", "doctor", "status", "outbox", "check", "flow", "disconnect"),
        *("rejected", "sign_in_options"),
    }
