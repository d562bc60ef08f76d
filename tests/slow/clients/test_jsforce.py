"""jsforce as it comes from npm, driven by a program of ours and by its own test suites."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.org import Org, OrgServer, sample
from sandbox.org.data.fields import text
from sandbox.org.data.schema import object_type
from tests.slow.clients.npm import INSTALL_SECONDS
from tests.slow.clients.suites import EXPECTED, SUITES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS + 120)]


def test_it_logs_in_works_refreshes_and_logs_out(
    installed: Callable[[str], Path], server: OrgServer
) -> None:
    environ = {
        **os.environ,
        "LOGIN_URL": server.url,
        "CLIENT_ID": sample.CLIENT_ID,
        "CLIENT_SECRET": sample.CLIENT_SECRET,
        "CALLBACK": sample.CALLBACKS[0],
        "USERNAME": sample.ADMIN_USER,
        "PASSWORD": sample.ADMIN_PASSWORD,
    }
    program = installed("jsforce") / "flows.mjs"
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
        "identity": sample.ADMIN_USER,
        "refused": "REQUIRED_FIELD_MISSING",
        "malformed": "INVALID_FIELD",
        "refreshes": 1,
        "afterRefresh": True,
        "revoked": ["invalid_grant", "expired access/refresh token"],
    }
    assert (len(server.org.records("Lead")), len(server.org.records("Case"))) == (1, 1)


@dataclass(frozen=True)
class Outcome:
    """One test of jsforce's, and its error: empty where it passed."""

    suite: str
    name: str
    error: str


@pytest.fixture(scope="module")
def outcomes(
    installed: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Outcome]:
    """All suites, run once against one org."""
    project = installed("jsforce")
    folder = tmp_path_factory.mktemp("jsforce")
    report = folder / "report.json"
    tests = project / "node_modules" / "jsforce-with-tests" / "test"
    shutil.copytree(tests, project / "test", dirs_exist_ok=True)
    # https, since one test wants the address of an identity to begin so.
    with OrgServer(_prepared_org(), tls=True, certificate_folder=folder) as server:
        assert server.certificate is not None
        granted = server.org.oauth.approve(sample.CLIENT_ID, sample.ADMIN_USER, "api", "id")
        command = [str(project / "node_modules" / ".bin" / "vitest"), "run"]
        command += ["--reporter=json", f"--outputFile={report}"]
        done = subprocess.run(
            [*command, *(f"test/{suite}.test.ts" for suite in SUITES)],
            cwd=project,
            env={
                **os.environ,
                "SF_LOGIN_URL": server.url,
                "SF_ACCESS_TOKEN": granted["access_token"],
                "NODE_EXTRA_CA_CERTS": str(server.certificate.path),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert report.is_file(), done.stderr
    return [
        Outcome(
            Path(suite["name"]).name.removesuffix(".test.ts"),
            test["fullName"].strip(),
            "".join(test["failureMessages"]).partition("\n    at ")[0],
        )
        for suite in json.loads(report.read_text(encoding="utf-8"))["testResults"]
        for test in suite["assertionResults"]
    ]


def _prepared_org() -> Org:
    """What jsforce's set-up puts into an org: two objects, and records to find."""
    org = Org.sample()
    name = text("Name", "Name", 80, name_field=True)
    org.put_object(object_type("BigTable__c", "a00", [name], owned=True))
    org.put_object(object_type("UpsertTable__c", "a01", [name], owned=True))
    org.add_field("UpsertTable__c", "ExtId__c", external_id=True, visible_to=[sample.ADMIN_USER])
    for number in range(2100):
        org.create("BigTable__c", {"Name": f"Row {number}"})
    for company in ("Acme", "Bolt"):
        account = org.create("Account", {"Name": company})
        org.create("Contact", {"FirstName": "Jo", "LastName": company, "AccountId": account})
        stage = {"StageName": "Prospecting", "CloseDate": "2026-12-01"}
        org.create("Opportunity", {"Name": company, "AccountId": account, **stage})
    return org


@pytest.mark.parametrize("suite", SUITES)
def test_its_own_suite_passes_but_for_what_is_expected(
    suite: str, outcomes: list[Outcome], record_property: Callable[[str, object], None]
) -> None:
    mine = [outcome for outcome in outcomes if outcome.suite == suite]
    failed = [outcome for outcome in mine if outcome.error]
    for names, (often, error) in EXPECTED[suite].items():
        found = [one for one in failed if re.match(names, one.name)]
        assert len(found) == often, names
        assert all(error in one.error for one in found), names
        failed = [one for one in failed if one not in found]
    assert failed == []
    assert len(mine) == SUITES[suite]
    passed = sum(not outcome.error for outcome in mine)
    count = f"jsforce's {suite}: {passed} passed, {len(mine) - passed} failed as expected"
    record_property("count", count)
