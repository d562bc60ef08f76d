"""The Salesforce CLI as it comes from npm: login with an access token, records, queries, files."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.org import Org, OrgServer, sample
from tests.slow.clients.npm import INSTALL_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS + 180)]

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
    """Runs ``sf`` with a home of its own, so that it sees nothing of this machine's user."""

    program: Path
    home: Path
    org: Org

    def text(self, *arguments: str, **environ: str) -> str:
        """What a command prints."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        done = subprocess.run(
            ["node", str(self.program), *arguments],
            cwd=self.home,
            env={**kept, **QUIET, "HOME": str(self.home), **environ},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.stdout, done.stderr
        return done.stdout

    def run(self, *arguments: str, **environ: str) -> dict[str, Any]:
        """What a command prints with ``--json``, whether it succeeds or not."""
        printed: dict[str, Any] = json.loads(self.text(*arguments, "--json", **environ))
        return printed

    def result(self, *arguments: str, **environ: str) -> Any:
        """The result of a command that succeeds."""
        printed = self.run(*arguments, **environ)
        assert printed["status"] == 0, printed
        return printed["result"]


@pytest.fixture(scope="module")
def cli(
    installed: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CLI]:
    """Logged in as the administrator."""
    program = installed("sf") / "node_modules" / "@salesforce" / "cli" / "bin" / "run.js"
    with OrgServer(Org.sample()) as server:
        cli = CLI(program, tmp_path_factory.mktemp("sf"), server.org)
        granted = server.org.oauth.approve(sample.CLIENT_ID, sample.ADMIN_USER, "api", "id")
        login = ("org", "login", "access-token", "--no-prompt", "--set-default")
        result = cli.result(
            *login, "--instance-url", server.url, SF_ACCESS_TOKEN=granted["access_token"]
        )
        assert result["username"] == sample.ADMIN_USER
        assert result["orgId"] == server.org.org_id
        yield cli


def test_it_works_on_records(cli: CLI) -> None:
    values = "LastName=Jansen Company='Fa. Jansen' Bird_Key__c=sf-1"
    made = cli.result("data", "create", "record", "-s", "Lead", "-v", values)
    assert made == {"id": made["id"], "success": True, "errors": []}
    found = cli.result("data", "get", "record", "-s", "Lead", "-w", "Bird_Key__c=sf-1")
    assert (found["Id"], found["Company"]) == (made["id"], "Fa. Jansen")

    one = ("record", "-s", "Lead", "-i", made["id"])
    assert cli.result("data", "update", *one, "-v", "Title=Dr")["success"] is True
    query = "SELECT Id, Title, Owner.Name FROM Lead WHERE Bird_Key__c = 'sf-1'"
    (row,) = cli.result("data", "query", "-q", query)["records"]
    assert (row["Title"], row["Owner"]["Name"]) == ("Dr", "Ada Admin")

    assert cli.result("data", "delete", *one)["success"] is True
    assert cli.org.get("Lead", made["id"]) is None
    missing = cli.run("data", "get", *one)
    assert (missing["status"], missing["name"]) == (1, "ENTITY_IS_DELETED")


def test_it_names_a_querys_columns(cli: CLI) -> None:
    cli.org.create("Case", {"Subject": "Hello", "Origin": "Web"})
    query = "SELECT Subject, Owner.Name FROM Case"
    printed = cli.text("data", "query", "-q", query, "--result-format", "csv")
    assert printed.splitlines() == ["Subject,Owner.Name", "Hello,Sam Sales"]


def test_it_uploads_a_file_and_links_it(cli: CLI) -> None:
    lead_id = cli.org.create("Lead", {"LastName": "Okafor", "Company": "x"})
    (cli.home / "note.txt").write_text("Grüße", encoding="utf-8")
    file = ("data", "create", "file", "--file", "note.txt", "--title", "Note")
    made = cli.result(*file, "--parent-id", lead_id)
    assert (made["Title"], made["FileExtension"]) == ("Note", "txt")
    (version,) = cli.org.records("ContentVersion")
    assert version["VersionData"] == "Grüße".encode()
    assert version["ContentDocumentId"] == made["ContentDocumentId"]
    linked = {link["LinkedEntityId"] for link in cli.org.records("ContentDocumentLink")}
    assert lead_id in linked


def test_it_says_why_a_record_was_refused(cli: CLI) -> None:
    refused = cli.run("data", "create", "record", "-s", "Lead", "-v", "Company=x")
    assert (refused["status"], refused["name"]) == (1, "REQUIRED_FIELD_MISSING")
    assert refused["message"] == "Required fields are missing: [LastName]"


def test_it_knows_the_org(cli: CLI) -> None:
    shown = cli.result("org", "display")
    assert (shown["connectedStatus"], shown["id"]) == ("Connected", cli.org.org_id)
