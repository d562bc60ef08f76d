"""The Salesforce CLI as it comes from npm: login with an access token, records, files."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.org import OrgServer, sample
from tests.slow.clients.npm import INSTALL_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS + 120)]

QUIET = {
    "SF_AUTOUPDATE_DISABLE": "true",
    "SF_DISABLE_AUTOUPDATE": "true",
    "SF_DISABLE_LOG_FILE": "true",
    "SF_DISABLE_TELEMETRY": "true",
    "SF_SKIP_NEW_VERSION_CHECK": "true",
    # Else it keeps its key in the machine's own key store.
    "SF_USE_GENERIC_UNIX_KEYCHAIN": "true",
}


@dataclass(frozen=True)
class CLI:
    """Runs ``sf`` with a home of its own, so that nothing of this machine's user is seen."""

    program: Path
    home: Path

    def run(self, *arguments: str, **environ: str) -> dict[str, Any]:
        """What a command prints with ``--json``, whether it succeeds or not."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        done = subprocess.run(
            ["node", str(self.program), *arguments, "--json"],
            cwd=self.home,
            env={**kept, **QUIET, "HOME": str(self.home), **environ},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.stdout.startswith("{"), done.stderr
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    def result(self, *arguments: str, **environ: str) -> Any:
        """The result of a command that succeeds."""
        printed = self.run(*arguments, **environ)
        assert printed["status"] == 0, printed
        return printed["result"]


@pytest.fixture
def cli(installed: Callable[[str], Path], server: OrgServer, tmp_path: Path) -> CLI:
    """Logged in as the administrator, under the alias ``bird``."""
    program = installed("sf") / "node_modules" / "@salesforce" / "cli" / "bin" / "run.js"
    cli = CLI(program, tmp_path)
    granted = server.org.oauth.approve(sample.CLIENT_ID, sample.ADMIN_USER, "api", "id")
    login = ("org", "login", "access-token", "--no-prompt", "--set-default", "--alias", "bird")
    result = cli.result(
        *login, "--instance-url", server.url, SF_ACCESS_TOKEN=granted["access_token"]
    )
    assert result["username"] == sample.ADMIN_USER
    assert result["orgId"] == server.org.org_id
    return cli


def test_it_works_on_records(cli: CLI, server: OrgServer) -> None:
    values = "LastName=Jansen Company='Fa. Jansen' Bird_Key__c=sf-1"
    made = cli.result("data", "create", "record", "-s", "Lead", "-v", values)
    assert made == {"id": made["id"], "success": True, "errors": []}
    found = cli.result("data", "get", "record", "-s", "Lead", "-w", "Bird_Key__c=sf-1")
    assert (found["Id"], found["Company"]) == (made["id"], "Fa. Jansen")

    one = ("record", "-s", "Lead", "-i", made["id"])
    assert cli.result("data", "update", *one, "-v", "Title=Dr")["success"] is True
    assert cli.result("data", "get", *one)["Title"] == "Dr"
    query = "SELECT Id, Title, Owner.Name FROM Lead"
    rows = cli.result("data", "query", "-q", query)
    assert rows["totalSize"] == 1
    assert rows["records"][0]["Owner"]["Name"] == "Ada Admin"

    assert cli.result("data", "delete", *one)["success"] is True
    assert server.org.records("Lead") == []
    missing = cli.run("data", "get", *one)
    assert missing["status"] == 1
    assert missing["name"] in ("NOT_FOUND", "ENTITY_IS_DELETED")


def test_it_shows_a_table_by_the_columns_of_the_query(cli: CLI, server: OrgServer) -> None:
    server.org.create("Lead", {"LastName": "Jansen", "Company": "x"})
    query = "SELECT LastName, Owner.Name FROM Lead"
    done = subprocess.run(
        ["node", str(cli.program), "data", "query", "-q", query, "-r", "csv"],
        cwd=cli.home,
        env={**os.environ, **QUIET, "HOME": str(cli.home)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.stdout.splitlines() == ["LastName,Owner.Name", "Jansen,Ada Admin"], done.stderr


def test_it_says_why_a_record_was_refused(cli: CLI) -> None:
    refused = cli.run("data", "create", "record", "-s", "Lead", "-v", "Company=x")
    assert refused["status"] == 1
    assert "REQUIRED_FIELD_MISSING" in refused["name"] + refused["message"]


def test_it_knows_the_org(cli: CLI, server: OrgServer) -> None:
    shown = cli.result("org", "display")
    assert (shown["connectedStatus"], shown["id"]) == ("Connected", server.org.org_id)
    assert server.org.journal.count(r"POST /services/Soap") == 0
