"""`.ci/template_audit.py`: what is accepted has a reason, and nothing gets past it unseen.

Checkov itself is run by `make check`. Here its answers are made up, so that each can go wrong.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tools.template import ROOT, Template, TemplateError

PROGRAM = ROOT / ".ci" / "template_audit.py"


def load() -> ModuleType:
    """The program as a module; its folder is no package."""
    spec = importlib.util.spec_from_file_location("template_audit", PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


audit = load()


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    made: dict[str, Any] = audit.render(Template.load())
    return made


@pytest.fixture(scope="module")
def good(rendered: dict[str, Any]) -> Any:
    """What Checkov says when all is well: the accepted findings, and the planted faults."""
    accepted = {finding for entry in audit.ACCEPTED for finding in entry.findings}
    faults = {audit.Finding("broken", one.check, one.resource) for one in audit.FAULTS}
    return audit.Report(
        version="0",
        unread=0,
        resources=sum(map(len, rendered.values())),
        passed=frozenset(
            audit.Finding(name, "CKV_AWS_0", logical_id)
            for name, resources in rendered.items()
            for logical_id in resources
        ),
        failed=frozenset(accepted | faults),
    )


def complaints(rendered: dict[str, Any], report: Any, **changes: Any) -> list[str]:
    return list(audit.complaints(rendered, dataclasses.replace(report, **changes)))


# What is accepted


def test_every_accepted_finding_has_its_reason_in_a_sentence() -> None:
    for entry in audit.ACCEPTED:
        assert re.fullmatch(r"CKV2?_AWS_\d+", entry.check)
        assert entry.asks_for and entry.resources, entry.check
        assert set(entry.deployments) <= set(audit.PARAMETERS), entry.check
        assert re.fullmatch(r"[A-Z].{60,}\.", entry.reason), entry.check


def test_no_finding_is_accepted_twice() -> None:
    times = Counter(finding for entry in audit.ACCEPTED for finding in entry.findings)
    assert [str(finding) for finding, count in times.items() if count > 1] == []


def test_reasons_name_parameters_that_there_are_and_that_mend_it(rendered: dict[str, Any]) -> None:
    """Whoever is told that a parameter mends it is told the truth: `hardened` sets it."""
    parameters = Template.load().source["Parameters"]
    for entry in audit.ACCEPTED:
        if entry.deployments == ("default",):
            (named,) = re.findall(r"[Pp]arameter (\w+)", entry.reason)
            assert named in parameters and named in audit.HARDENED, entry.check


# What is looked at


def test_every_condition_is_seen_false_and_true() -> None:
    template = Template.load()
    source = {
        **template.source,
        "Conditions": {**template.source["Conditions"], "New": {"Fn::Equals": ["a", "a"]}},
    }
    with pytest.raises(TemplateError, match="New is not false by default"):
        audit.render(dataclasses.replace(template, source=source))


def test_nothing_is_left_to_be_worked_out(rendered: dict[str, Any]) -> None:
    for name in audit.PARAMETERS:
        for logical_id, resource in rendered[name].items():
            # The API's body alone keeps what API Gateway itself works out.
            properties = {key: one for key, one in resource["Properties"].items() if key != "Body"}
            assert not re.search(r'"(Ref|Fn::\w+)":', json.dumps(properties)), logical_id


def test_every_type_that_has_to_be_judged_is_there(rendered: dict[str, Any]) -> None:
    assert {one["Type"] for one in rendered["hardened"].values()} >= audit.JUDGED


def test_every_planted_fault_changes_what_is_deployed(rendered: dict[str, Any]) -> None:
    for fault in audit.FAULTS:
        there = rendered["hardened"][fault.resource]
        assert rendered["broken"][fault.resource] != there, fault
        assert not any(
            fault.resource in one.resources and "hardened" in one.deployments
            for one in audit.ACCEPTED
            if one.check == fault.check
        ), f"{fault.check} is found without the fault"


# What is complained of


def test_all_is_well_when_only_what_is_accepted_is_found(
    rendered: dict[str, Any], good: Any
) -> None:
    assert complaints(rendered, good) == []


@pytest.mark.parametrize("deployment", ["default", "hardened"])
def test_a_new_finding_is_complained_of(
    rendered: dict[str, Any], good: Any, deployment: str
) -> None:
    new = audit.Finding(deployment, "CKV_AWS_62", "DeliverRole")
    (line,) = complaints(rendered, good, failed=good.failed | {new})
    assert line.startswith(f"CKV_AWS_62 on DeliverRole ({deployment}): mend it")


def test_what_a_parameter_mends_is_not_accepted_where_it_is_set(
    rendered: dict[str, Any], good: Any
) -> None:
    assert audit.Finding("default", "CKV_AWS_27", "Outbox") in good.failed
    new = audit.Finding("hardened", "CKV_AWS_27", "Outbox")
    (line,) = complaints(rendered, good, failed=good.failed | {new})
    assert line.startswith("CKV_AWS_27 on Outbox (hardened)")


def test_an_accepted_finding_that_is_gone_is_complained_of(
    rendered: dict[str, Any], good: Any
) -> None:
    gone = audit.Finding("default", "CKV_AWS_26", "AlarmTopic")
    (line,) = complaints(rendered, good, failed=good.failed - {gone})
    assert line.startswith("CKV_AWS_26 on AlarmTopic (default): is not found any more")


def test_an_overlooked_fault_is_complained_of(rendered: dict[str, Any], good: Any) -> None:
    for fault in audit.FAULTS:
        seen = good.failed - {audit.Finding("broken", fault.check, fault.resource)}
        (line,) = complaints(rendered, good, failed=seen)
        assert line == f"Checkov overlooked a fault: {fault.check} on {fault.resource}"


def test_what_was_not_read_is_complained_of(rendered: dict[str, Any], good: Any) -> None:
    (line,) = complaints(rendered, good, unread=1)
    assert line == "Checkov could not read 1 of the deployments"
    (line,) = complaints(rendered, good, resources=good.resources - 1)
    assert line == f"Checkov read {good.resources - 1} resources, not {good.resources}"
    (line,) = complaints(
        rendered,
        good,
        passed=good.passed - {audit.Finding("default", "CKV_AWS_0", "DeliverRole")},
    )
    assert line == "Checkov did not judge DeliverRole (default)"


# How Checkov is run


def run(tmp_path: Path, checkov: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The program with a Checkov that does as `checkov` says, a Python text; and its notes."""
    notes = tmp_path / "notes.json"
    stub = tmp_path / "checkov"
    stub.write_text(f"#!{sys.executable}\nNOTES = {str(notes)!r}\n{checkov}", encoding="utf-8")
    stub.chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(stub)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done, notes


def test_a_missing_checkov_is_an_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path / "checkov")],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 2
    assert "could not be run" in done.stderr


def test_a_checkov_that_breaks_is_an_error(tmp_path: Path) -> None:
    done, _ = run(tmp_path, "raise SystemExit('no module named x')")
    assert done.returncode == 2
    assert "ended with 1: no module named x" in done.stderr


@pytest.mark.parametrize(
    "said", ["", "[]", '{"passed": 0, "failed": 0, "parsing_errors": 0, "resource_count": 0}']
)
def test_a_checkov_that_judged_nothing_is_an_error(tmp_path: Path, said: str) -> None:
    done, _ = run(tmp_path, f"print({said!r})")
    assert done.returncode == 2
    assert "judged nothing" in done.stderr


def test_checkov_is_kept_from_the_network_and_from_other_people_s_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BC_API_KEY", "CKV_SKIP_CHECK", "PRISMA_API_URL"):
        monkeypatch.setenv(name, "x")
    _, notes = run(
        tmp_path,
        "import json, os, sys\n"
        "json.dump([sys.argv, dict(os.environ), os.getcwd(), os.listdir()], open(NOTES, 'w'))",
    )
    arguments, environment, folder, files = json.loads(notes.read_text(encoding="utf-8"))
    assert "--skip-download" in arguments
    assert not any("skip-check" in one or "baseline" in one for one in arguments)
    assert environment["HOME"] == folder
    assert not [one for one in environment if one.startswith(("BC_", "CKV_", "PRISMA"))]
    assert sorted(files) == ["broken.json", "default.json", "hardened.json"]
    assert not Path(folder).exists(), "nothing is left behind"


def test_checkov_s_own_words_are_understood() -> None:
    """As version 3.3 says it, shortened."""
    row = {"check_id": "CKV_AWS_27", "file_path": "/default.json"}
    said = {
        "check_type": "cloudformation",
        "results": {
            "passed_checks": [{**row, "resource": "AWS::SQS::Queue.Rejected"}],
            "failed_checks": [{**row, "resource": "AWS::SQS::Queue.Outbox"}],
            "skipped_checks": [],
        },
        "summary": {"parsing_errors": 0, "resource_count": 2, "checkov_version": "3.3.30"},
    }
    assert audit.read_report(json.dumps(said)) == audit.Report(
        version="3.3.30",
        unread=0,
        resources=2,
        passed=frozenset({audit.Finding("default", "CKV_AWS_27", "Rejected")}),
        failed=frozenset({audit.Finding("default", "CKV_AWS_27", "Outbox")}),
    )


def test_make_check_installs_checkov_and_runs_it() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (needs, recipe) = re.findall(r"^check:([^#\n]*).*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[0]
    assert "$(CHECKOV)" in needs.split()
    assert '\t@"$(BIN)/python" .ci/template_audit.py "$(CHECKOV)"\n' in recipe
