"""Programs from npm, installed once for each lock file and kept in ``.local/``.

``python -m tests.slow.clients.npm`` installs all of them before the tests run, and prints which of
them this machine cannot have.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
KEPT = Path(__file__).parents[3] / ".local" / "npm"
INSTALL_SECONDS = 900
OLDEST_NODE = {"axe": (18, 0), "jsforce": (18, 0), "sf": (20, 18)}
"""Projects, and the oldest Node.js that what they install runs on."""
SOURCES = {name: HERE / name for name in OLDEST_NODE} | {"axe": HERE.parent / "browser" / "axe"}


class NotInstalled(Exception):
    """This machine cannot have the program; the message says why."""


@cache
def install(project: str) -> Path:
    """The folder of an installed project, with all of its files; raises `NotInstalled`."""
    _check_node(OLDEST_NODE[project])
    source = SOURCES[project]
    pins = b"".join((source / name).read_bytes() for name in ("package.json", "package-lock.json"))
    folder = KEPT / f"{project}-{hashlib.sha256(pins).hexdigest()[:16]}"
    if not folder.is_dir():
        # Made under another name first: a broken or simultaneous install must not be seen.
        made = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.copytree(source, made)
        try:
            _npm_ci(made)
            made.rename(folder)
        except OSError as error:
            if not folder.is_dir():
                raise NotInstalled(f"{project}: {error}") from error
        finally:
            shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder


def _check_node(oldest: tuple[int, int]) -> None:
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise NotInstalled(f"{tool} is missing")
    shown = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.(\d+)\.", shown.stdout)
    if version is None or (int(version[1]), int(version[2])) < oldest:
        needed = ".".join(map(str, oldest))
        raise NotInstalled(f"Node.js is {shown.stdout.strip() or 'broken'}, {needed} is needed")


def _npm_ci(folder: Path) -> None:
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"npm ci took more than {INSTALL_SECONDS} seconds") from error
    if done.returncode != 0:
        raise NotInstalled(f"npm ci failed: {(done.stderr or done.stdout)[-300:].strip()}")


def main() -> None:
    for project in OLDEST_NODE:
        try:
            print(f"{project} is in {install(project)}")
        except NotInstalled as reason:
            print(f"Not run: what needs {project} ({reason})")


if __name__ == "__main__":
    main()
