"""`make sbom`: what is in the layer, as a CycloneDX bill of materials (https://cyclonedx.org, 1.5).

From the pinned list, its hashes included, and the licences that the installed packages declare.
What Lambda's runtime brings (Python, boto3) is not in the layer and not in here.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "layers" / "bridge" / "requirements.txt"


def licence(name: str) -> str:
    """The licence that the installed package declares: an SPDX expression where it has one."""
    try:
        package = metadata(name)
    except PackageNotFoundError:
        return "unknown"
    for field in ("License-Expression", "License"):
        if named := "".join(package.get_all(field, [])):
            return named.splitlines()[0]
    classifiers = [one for one in package.get_all("Classifier", []) if one.startswith("License ::")]
    return classifiers[0].rsplit(" :: ", 1)[-1] if classifiers else "unknown"


def component(line: str) -> dict[str, Any]:
    """One pinned line as a component."""
    name, version = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line).groups()  # type: ignore[union-attr]
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{"license": {"name": licence(name)}}],
        # The files that pip may take: sdist and wheel.
        "properties": [
            {"name": "pip:hash", "value": one} for one in re.findall(r"--hash=(\S+)", line)
        ],
    }


def bill() -> dict[str, Any]:
    """The whole bill."""
    text = PINS.read_text(encoding="utf-8").replace("\\\n", " ")
    pinned = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "bird-salesforce-bridge-layer"}},
        "components": [component(line) for line in pinned],
    }


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=2)
    sys.stdout.write("\n")
