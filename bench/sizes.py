"""(6) How large what is deployed is, zipped and not, as `make build` left it in .aws-sam."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from tools.template import ROOT

BUILT = ROOT / ".aws-sam/build"


def measure() -> Any:
    """By folder: bytes unzipped, zipped, of bytecode, and whether any part is compiled C."""
    told: dict[str, Any] = {}
    if not BUILT.is_dir():
        return told
    for folder in sorted(path for path in BUILT.iterdir() if path.is_dir()):
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(folder))
        told[folder.name] = {
            "bytes": sum(path.stat().st_size for path in files),
            "zipped": len(packed.getvalue()),
            "bytecode": sum(path.stat().st_size for path in files if path.suffix == ".pyc"),
            "compiled_c": sum(path.suffix in (".so", ".pyd", ".dylib") for path in files),
        }
    layer = told.get("BridgeLayer")
    if layer is not None:
        layer["stale"] = _differs(
            BUILT / "BridgeLayer/python/bridge", ROOT / "layers/bridge/bridge"
        )
    return told


def _differs(built: Path, source: Path) -> bool:
    """Whether the sources have changed since they were built."""
    return any(
        not (built / path.name).is_file() or (built / path.name).read_bytes() != path.read_bytes()
        for path in source.iterdir()
        if path.is_file()
    )
