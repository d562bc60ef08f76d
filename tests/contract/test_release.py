"""How the bundle is built, released and deployed: what it is made of, stages and workflows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tools.template import ROOT, Template, read_yaml


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


ANY = ("*", "o/*", "octo/rep?", "${x}/y")
LAYER = "layers/bridge/requirements.txt"
STAGES = tomllib.loads(text_of("samconfig.toml"))
STAGES.pop("version")


def pins(name: str) -> Iterator[tuple[str, str]]:
    """Names and versions. What is not pinned with its hash is a fault."""
    for line in text_of(name).replace("\\\n", " ").splitlines():
        if line.strip() and not line.strip().startswith("#"):
            found = re.match(r"([A-Za-z0-9._-]+)(?:\[.*?\])?==([^\s;]+)", line)
            assert found and "--hash=sha256:" in line, f"{name}: not pinned: {line[:60]}"
            yield found[1].lower().replace("_", "-"), found[2]


def test_every_requirement_is_pinned_and_the_tests_run_with_the_layer_s_own_versions() -> None:
    lists = [LAYER, *(path.name for path in ROOT.glob("requirements-*.txt"))]
    pinned = {name: set(pins(name)) for name in lists}
    assert len(pinned) == 5
    assert pinned[LAYER] <= pinned["requirements-dev.txt"]


def test_the_bill_of_materials_lists_what_is_pinned_with_licences() -> None:
    program = [sys.executable, str(ROOT / ".ci" / "sbom.py")]
    done = subprocess.run(program, capture_output=True, text=True, timeout=50, check=True)
    listed = json.loads(done.stdout)["components"]
    assert {(one["name"], one["version"]) for one in listed} == set(pins(LAYER))
    for one in listed:
        assert one["licenses"][0]["license"]["name"] in {"MIT", "MIT-0", "PSF-2.0"}, one["name"]
        assert one["properties"], "no hashes"


def test_what_is_published_has_the_project_s_version_and_its_licence() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    published = Template.load().source["Metadata"]["AWS::ServerlessRepo::Application"]
    assert published["SemanticVersion"] == project["version"]
    assert published["SpdxLicenseId"] == project["license"]
    assert (ROOT / published["LicenseUrl"]).is_file() and (ROOT / published["ReadmeUrl"]).is_file()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_only_parameters_that_there_are_and_brings_a_bucket(stage: str) -> None:
    given = STAGES[stage]["deploy"]["parameters"]
    Template.load().parameters(
        dict(one.split("=", 1) for one in given.get("parameter_overrides", ()))
    )
    assert given["confirm_changeset"] is True
    # The template has more than the 51,200 bytes that can be sent without one.
    for command in {"deploy", "package"} & set(STAGES[stage]):
        assert STAGES[stage][command]["parameters"]["resolve_s3"] is True


def test_every_check_that_checkov_leaves_out_has_its_reason_in_the_line() -> None:
    for line in text_of(".checkov.yaml").split("skip-check:\n")[1].splitlines():
        assert re.fullmatch(r"  - CKV2?_AWS_\d+ +# [A-Z].{40,}\.", line), line


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_a_workflow_names_actions_by_commit_runs_targets_that_there_are_and_stores_no_key(
    name: str,
) -> None:
    text = text_of(f".github/workflows/{name}")
    used = re.findall(r"uses: (.*)", text)
    for one in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one
    # One release of each: a name, a commit.
    assert 0 < len({one.split("@")[0] for one in used}) == len(set(used))
    for target in re.findall(r"run: make ([a-z]+)", text):
        assert re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE), target
    assert set(re.findall(r"STAGE=(\w+)", text)) <= set(STAGES)
    assert "secrets." not in text


def jobs(workflow: str) -> Any:
    return yaml.safe_load(text_of(f".github/workflows/{workflow}"))["jobs"]


def test_what_passed_everything_is_deployed_to_production_where_somebody_switched_it_on() -> None:
    deploying = jobs("ci.yml")
    assert set(deploying["staging"]["needs"]) == {"check", "test", "audit", "build"}
    assert deploying["production"]["needs"] == "staging"
    for name in ("staging", "production"):
        assert deploying[name]["permissions"] == {"contents": "read", "id-token": "write"}
        assert deploying[name]["environment"] == name
    assert deploying["production"]["if"] == "vars.DEPLOY_PRODUCTION == 'true'"
    header = text_of(".github/workflows/ci.yml").split("\nname:")[0]
    for words in ("Required reviewers", "DEPLOY_PRODUCTION", ".github/deploy-role.yaml"):
        assert words in header


def test_a_release_has_its_contents_attached_and_is_published_only_on_request() -> None:
    releasing = jobs("release.yml")
    runs = [step.get("run", "") for step in releasing["release"]["steps"]]
    attached = next(one for one in runs if one.startswith("gh release create"))
    for file in ("build/bird-salesforce.tar.gz", "build/layer.cdx.json"):
        assert file in attached and file in text_of("Makefile")
    assert releasing["publish"]["if"] == "vars.PUBLISH_TO_SAR == 'true'"
    assert releasing["publish"]["environment"] == "release"
    assert "id-token" not in releasing["release"]["permissions"]


def test_github_deploys_with_a_role_for_one_environment_of_one_repository() -> None:
    # https://docs.github.com/actions/reference/openid-connect-reference: with an environment the
    # subject is repo:OWNER/REPOSITORY:environment:NAME.
    template = read_yaml(text_of(".github/deploy-role.yaml"))
    role = template["Resources"]["DeployRole"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    issuer = "token.actions.githubusercontent.com"
    assert trust["Condition"] == {
        "StringEquals": {
            f"{issuer}:aud": "sts.amazonaws.com",
            f"{issuer}:sub": {"Fn::Sub": "repo:${Repository}:environment:${Environment}"},
        }
    }, "equal, not like"
    for statement in role["Policies"][0]["PolicyDocument"]["Statement"]:
        assert statement["Resource"]["Fn::Sub"].endswith(":role/${StackName}-*")
    # <stack>-<logical id>-<12 or 13 characters>: in IAM's 64 the stack's name must stand whole.
    roles = [name for name in Template.load().source["Resources"] if name.endswith("Role")]
    longest = "s" * (64 - max(map(len, roles)) - 15)
    for name, good, bad in (
        # The form of new repositories' subjects: GitHub's changelog of 2026-04-23.
        ("Repository", ("octo-org/octo.repo", "octocat-123456/my-repo-456789"), ANY),
        ("Environment", ("production",), ANY),
        ("StackName", (longest,), (f"{longest}s",)),
    ):
        pattern = template["Parameters"][name]["AllowedPattern"]
        assert all(re.fullmatch(pattern, one) for one in good), name
        assert not any(re.fullmatch(pattern, one) for one in bad), name
