"""Which stack a command is about, by STACK, STAGE and REGION: for the program and for `make`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest

from cli.deployment.target import LONGEST_NAME, choose
from cli.problem import Problem
from tools.template import ROOT

STAGES = {
    "default": {"stack_name": "bird", "region": "eu-west-1"},
    "staging": {"stack_name": "bird-staging", "region": "eu-central-1", "profile": "test"},
    "plain": {},
}


@pytest.mark.parametrize(
    ("given", "stage", "name", "region"),
    [
        ({}, "default", "bird", "eu-west-1"),
        ({"stage": "staging"}, "staging", "bird-staging", "eu-central-1"),
        # A name is of the stage that has it, with that stage's parameters and region.
        ({"name": "bird-staging"}, "staging", "bird-staging", "eu-central-1"),
        ({"name": "bird-staging", "stage": "staging"}, "staging", "bird-staging", "eu-central-1"),
        # A stack that no stage has: it was deployed by somebody else.
        ({"name": "other"}, "default", "other", "eu-west-1"),
        ({"name": "other", "region": "us-east-1"}, "default", "other", "us-east-1"),
        ({"name": "other", "stage": "plain"}, "plain", "other", None),
        ({"stage": "", "name": "", "region": ""}, "default", "bird", "eu-west-1"),
    ],
)
def test_a_stack_is_chosen(given: dict[str, str], stage: str, name: str, region: str) -> None:
    target = choose(STAGES, **given)
    assert (target.stage, target.name, target.region) == (stage, name, region)


@pytest.mark.parametrize(
    "given",
    [
        {"stage": "staging", "name": "bird"},
        {"stage": "default", "name": "bird-staging"},
        {"stage": "staging", "region": "eu-west-1"},
        {"name": "bird-staging", "region": "eu-west-1"},
        {"region": "us-east-1"},
    ],
)
def test_what_contradicts_samconfig_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(Problem, match=r"has the (stack|region) .* in samconfig\.toml"):
        choose(STAGES, **given)


def test_a_name_that_lambda_would_not_take_is_refused_with_the_reason() -> None:
    for name in ("b" * LONGEST_NAME, "aws-bird", "ssm", "AWS"):
        assert choose({}, name=name).name == name
    for name in ("b" * (LONGEST_NAME + 1), "1bird", "bird_one"):
        with pytest.raises(Problem, match="Lambda accepts 64"):
            choose({}, name=name)


# make


def make(*arguments: str, **environ: str) -> Any:
    """What make would run for these targets and variables."""
    # Under `make test` the outer make has told its children of itself.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "MAKE", "MFLAGS"))
    }
    ready = f"{sys.prefix}/.ready"
    sam = ["-o", "sam", "SAM=sam", "-o", ready, f"VENV={sys.prefix}"]
    return subprocess.run(
        ["make", "-n", *sam, *arguments],
        cwd=ROOT,
        env={**kept, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


PROGRAMS = {"deploy": 2, "destroy": 2, "connect": 1, "doctor": 1}
"""How many programs each target runs that are about the stack."""
ALL = sum(PROGRAMS.values())


STAGING = "bird-salesforce-staging"
# Seen with SAM CLI 1.170: it deploys into AWS_DEFAULT_REGION whatever AWS_REGION is.
ONE, OTHER = {"AWS_REGION": "eu-west-1"}, {"AWS_DEFAULT_REGION": "eu-west-2"}


@pytest.mark.parametrize(
    ("given", "environ", "name", "stage", "region"),
    [
        ((), {}, "bird-salesforce", "default", ""),
        (("STAGE=staging",), {}, STAGING, "staging", ""),
        ((f"STACK={STAGING}",), {}, STAGING, "staging", ""),
        (("STACK=x-staging", "REGION=eu-west-3"), {}, "x-staging", "default", "eu-west-3"),
        ((), ONE, "bird-salesforce", "default", "eu-west-1"),
        ((), OTHER, "bird-salesforce", "default", "eu-west-2"),
        ((), {**ONE, **OTHER}, "bird-salesforce", "default", "eu-west-1"),
        (("REGION=eu-west-3",), ONE, "bird-salesforce", "default", "eu-west-3"),
    ],
)
def test_every_target_means_the_same_stack_and_says_which_first(
    given: tuple[str, ...], environ: dict[str, str], name: str, stage: str, region: str
) -> None:
    done = make(*PROGRAMS, *given, **environ)
    assert done.returncode == 0, done.stderr
    assert f"The stack {name} in {region or 'the region of your AWS'}" in done.stderr
    assert re.findall(r'--stack-name "(.*?)"', done.stdout) == [name] * ALL
    assert set(re.findall(r'--config-env "(.*?)"', done.stdout)) == {stage}
    assert re.findall(r'--region "(.*?)"', done.stdout) == ([region] * ALL if region else [])


@pytest.mark.parametrize("target", PROGRAMS)
def test_each_target_chooses_by_itself(target: str) -> None:
    done = make(target, "STACK=x-staging", "REGION=eu-west-3")
    assert "The stack x-staging in eu-west-3 " in done.stderr
    assert re.findall(r'--stack-name "(.*?)"', done.stdout) == ["x-staging"] * PROGRAMS[target]


CONTRADICTIONS = [
    ("STAGE=staging", "STACK=bird-salesforce"),
    ("STAGE=nope",),
    ("STACK=" + "b" * 49,),
]


@pytest.mark.parametrize(
    ("target", "given"),
    [
        *((target, CONTRADICTIONS[0]) for target in PROGRAMS),
        *(("doctor", given) for given in CONTRADICTIONS[1:]),
    ],
)
def test_a_contradiction_ends_every_target_before_anything_is_done(
    target: str, given: tuple[str, ...]
) -> None:
    done = make(target, *given)
    assert done.returncode != 0
    assert done.stdout.strip() == ""
    assert "nothing was done" in done.stderr
