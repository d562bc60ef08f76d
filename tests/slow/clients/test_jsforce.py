"""jsforce as it comes from npm: web-server flow with PKCE, refresh, and the calls that it makes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox.org import OrgServer, sample

HERE = Path(__file__).parent / "jsforce"
KEPT = Path(__file__).parents[3] / ".local" / "jsforce"
FILES = ("package.json", "package-lock.json", "flows.mjs")


@pytest.fixture(scope="module")
def program() -> Path:
    """The program with jsforce beside it, installed once per lock file."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"jsforce not run: {tool} is missing")
    content = b"".join((HERE / name).read_bytes() for name in FILES)
    folder = KEPT / hashlib.sha256(content).hexdigest()[:16]
    if not (folder / "node_modules").is_dir():
        # Made under another name first: a broken or simultaneous install must not be seen.
        made = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        for name in FILES:
            shutil.copy(HERE / name, made)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        try:
            done = subprocess.run(
                command, cwd=made, capture_output=True, text=True, timeout=240, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip("jsforce not run: npm ci took more than 240 seconds")
        if done.returncode != 0:
            pytest.skip(f"jsforce not run: npm ci failed: {(done.stderr or done.stdout)[-300:]}")
        try:
            made.rename(folder)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
    return folder / "flows.mjs"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_jsforce_logs_in_works_refreshes_and_logs_out(program: Path, server: OrgServer) -> None:
    environ = {
        **os.environ,
        "LOGIN_URL": server.url,
        "CLIENT_ID": sample.CLIENT_ID,
        "CLIENT_SECRET": sample.CLIENT_SECRET,
        "CALLBACK": sample.CALLBACKS[0],
        "USERNAME": sample.ADMIN_USER,
        "PASSWORD": sample.ADMIN_PASSWORD,
    }
    done = subprocess.run(
        ["node", str(program)], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    user = server.org.oauth.user(sample.ADMIN_USER)
    assert user is not None
    assert seen.pop("refreshToken").startswith("5Aep861")
    assert seen.pop("created")["success"] is True
    assert seen == {
        "state": "s t",
        "user": user["Id"],
        "organization": server.org.org_id,
        "retrieved": "Jansen",
        "updated": True,
        "upserted": True,
        "queried": ["de Vries"],
        "many": [True, True, True],
        "described": ["Bird_Key__c"],
        "identity": sample.ADMIN_USER,
        "refused": "REQUIRED_FIELD_MISSING",
        "malformed": "INVALID_FIELD",
        "refreshes": 1,
        "afterRefresh": True,
        "revoked": ["invalid_grant", "expired access/refresh token"],
    }
    assert len(server.org.records("Lead")) == 4
    assert len(server.org.records("Case")) == 1
