"""`make deploy` tells SAM what is deployed, so that all of it is deployed; and tries it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.deployment.deploy import Stage, release_sha256, split
from cli.problem import Problem
from tools.template import ROOT

SAMCONFIG = """
version = 0.1
[default.global.parameters]
stack_name = "mine"
region = "eu-west-1"
[default.deploy.parameters]
parameter_overrides = "LogLevel=DEBUG RefreshMinutes=30"
[table.deploy.parameters]
parameter_overrides = { DefaultCompany = "Acme \\"Ltd\\"" }
[list.deploy.parameters]
parameter_overrides = ["LogLevel=DEBUG", "RefreshMinutes=30"]
[bare.global.parameters]
stack_name = "bare"
"""

# Writes down what it was called with, and ends as it is told.
FAKE_SAM = """#!{python}
import json, os, sys
json.dump(sys.argv[1:], open({log!r}, "w"))
sys.exit(int(os.environ.get("SAM_STATUS", "0")))
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "samconfig.toml"
    path.write_text(SAMCONFIG)
    return path


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    for name in (
        "template.yaml",
        "CreateLead/app.py",
        "BridgeLayer/python/bridge/api/record_api.py",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


# The release


def test_the_same_build_with_the_same_parameters_is_the_same_release(built: Path) -> None:
    assert release_sha256(built, ["A=1"]) == release_sha256(built, ["A=1"])


@pytest.mark.parametrize(
    "name", ["template.yaml", "CreateLead/app.py", "BridgeLayer/python/bridge/api/record_api.py"]
)
def test_whatever_changes_in_the_build_is_another_release(built: Path, name: str) -> None:
    before = release_sha256(built, [])
    (built / name).write_text("changed")
    assert release_sha256(built, []) != before


def test_a_file_that_moved_is_another_release(built: Path) -> None:
    before = release_sha256(built, [])
    (built / "CreateLead" / "app.py").rename(built / "CreateLead" / "main.py")
    assert release_sha256(built, []) != before


def test_another_parameter_is_another_release(built: Path, tmp_path: Path) -> None:
    parameters = tmp_path / "parameters.json"
    parameters.write_text('{"LogLevel": "INFO"}')
    releases = [release_sha256(built, one) for one in ([], ["A=1"], ["A=2"], ["A=1", "B=2"])]
    releases.append(release_sha256(built, [f"file://{parameters}"]))
    parameters.write_text('{"LogLevel": "DEBUG"}')
    releases.append(release_sha256(built, [f"file://{parameters}"]))
    assert len(set(releases)) == len(releases)


def test_a_release_is_what_the_template_s_parameter_takes(built: Path) -> None:
    assert len(bytes.fromhex(release_sha256(built, []))) == 8


def test_nothing_built_is_said(tmp_path: Path) -> None:
    with pytest.raises(Problem) as problem:
        release_sha256(tmp_path / "nowhere", [])
    assert "make build" in problem.value.next_step


# The parameters


@pytest.mark.parametrize(
    ("stage", "overrides"),
    [
        ("default", ("LogLevel=DEBUG RefreshMinutes=30",)),
        ("table", ('DefaultCompany="Acme \\"Ltd\\""',)),
        ("list", ("LogLevel=DEBUG", "RefreshMinutes=30")),
        ("bare", ()),
    ],
)
def test_a_stage_s_parameters_are_read_in_every_form_that_sam_takes(
    config: Path, stage: str, overrides: tuple[str, ...]
) -> None:
    assert Stage.read(config, stage).overrides == overrides


def test_a_stage_that_there_is_not_is_said(config: Path) -> None:
    with pytest.raises(Problem) as problem:
        Stage.read(config, "production")
    assert "[production.deploy.parameters]" in problem.value.next_step


def test_the_project_s_own_stages_can_be_read() -> None:
    for stage in ("default", "staging"):
        assert Stage.read(ROOT / "samconfig.toml", stage).stack_name.startswith("bird-salesforce")


@pytest.mark.parametrize(
    ("arguments", "overrides", "others"),
    [
        ([], [], []),
        (["--no-confirm-changeset"], [], ["--no-confirm-changeset"]),
        (
            ["--parameter-overrides", "A=1", "B=2", "--region", "eu-west-1"],
            ["A=1", "B=2"],
            ["--region", "eu-west-1"],
        ),
        (["--parameter-overrides=A=1 B=2", "--debug"], ["A=1 B=2"], ["--debug"]),
        (["--parameter-overrides", "A=1 B=2"], ["A=1 B=2"], []),
        # The shell has taken the quotes that SAM wants.
        (["--parameter-overrides", "Company=Acme Ltd"], ['Company="Acme Ltd"'], []),
        (["--parameter-overrides", 'Company="Acme Ltd"'], ['Company="Acme Ltd"'], []),
        (["--parameter-overrides", "Company="], ['Company=""'], []),
    ],
)
def test_parameters_are_found_among_the_arguments(
    arguments: list[str], overrides: list[str], others: list[str]
) -> None:
    assert split(arguments) == (overrides, others)


# The command


def deploy(
    tmp_path: Path, built: Path, config: Path, *arguments: str, **environ: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    log = tmp_path / "sam.json"
    sam = tmp_path / "sam"
    sam.write_text(FAKE_SAM.format(python=sys.executable, log=str(log)))
    sam.chmod(0o755)
    # Where nobody answers: what is tried after SAM cannot succeed.
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    own = [f"--sam={sam}", f"--config={config}", f"--built={built}"]
    run = subprocess.run(
        [sys.executable, "-m", "cli.deployment.deploy", *own, "--", *arguments],
        cwd=ROOT,
        env={**os.environ, **nowhere, **keys, **environ},
        text=True,
        capture_output=True,
        timeout=120,
    )
    return run, json.loads(log.read_text()) if log.exists() else []


def test_sam_gets_all_the_parameters_and_the_release(
    tmp_path: Path, built: Path, config: Path
) -> None:
    run, said = deploy(
        tmp_path,
        built,
        config,
        "--no-confirm-changeset",
        "--parameter-overrides",
        "LogLevel=INFO",
        SAM_STATUS="3",
    )
    given = ["LogLevel=DEBUG RefreshMinutes=30", "LogLevel=INFO"]
    assert said == [
        *("deploy", "--config-env", "default", "--no-confirm-changeset"),
        "--parameter-overrides",
        *given,
        f"ReleaseSha256={release_sha256(built, given)}",
    ]
    assert run.returncode == 3, "SAM's own status"
    assert "Trying" not in run.stderr


def test_what_was_deployed_is_tried_and_its_failure_is_the_deployment_s(
    tmp_path: Path, built: Path, config: Path
) -> None:
    run, said = deploy(tmp_path, built, config)
    assert said
    assert "Trying what was deployed" in run.stderr
    assert run.returncode != 0
    assert "Check the network" in run.stderr, "and what is wrong is said"


def test_the_makefile_deploys_this_way() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\ndeploy:")[1].split("\n\n")[0]
    assert "-m cli.deployment.deploy" in recipe
    assert "sam deploy" not in recipe
