"""What Python files of ours import, read from their source once."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tools.template import ROOT

OURS = {
    "bridge": ROOT / "layers" / "bridge" / "bridge",
    **{name: ROOT / name for name in ("cli", "sandbox", "tools")},
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def is_folder(module: str) -> bool:
    """Whether a dotted name is a package, so that what is imported from it may be a module."""
    first, *rest = module.split(".")
    return OURS[first].joinpath(*rest).is_dir()


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules that a file imports, wherever in it, for type checking only too."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            if node.module.split(".")[0] in OURS and is_folder(node.module):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return frozenset(found)


def modules(package: str) -> dict[str, Path]:
    """The modules of one of our packages by the name below it, but for __init__ in folders."""
    top = OURS[package.partition(".")[0]].joinpath(*package.split(".")[1:])
    return {
        ".".join(path.relative_to(top).with_suffix("").parts): path
        for path in sorted(top.rglob("*.py"))
        if path.stem != "__init__"
    }
