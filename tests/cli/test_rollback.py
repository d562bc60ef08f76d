"""`rollback` has every function run the release before again."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from cli.rollback import FUNCTIONS
from tests.cli.conftest import Local
from tests.cli.deployed import NAME, REGION, deploy, release, running
from tests.cli.program import Result, run

A, B, C = "a" * 16, "b" * 16, "c" * 16


def rollback(*arguments: str) -> Result:
    return run("rollback", "--stack-name", NAME, "--region", REGION, *arguments)


@pytest.fixture
def released(account: None) -> None:
    """A stack that was deployed three times."""
    deploy()
    for one in (A, B, C):
        release(one)


def versions(number: int) -> dict[str, str]:
    return {function: str(number) for function in FUNCTIONS}


def test_every_function_goes_back_to_the_release_before(released: None) -> None:
    assert running() == versions(4)
    result = rollback("--yes")
    assert result.status == 0, result.err
    assert running() == versions(3)
    assert f"Release {B} runs again" in result.err
    assert f"smoke --stack-name {NAME}" in result.err, "and what to do then"


def test_going_back_twice_goes_back_further(released: None) -> None:
    rollback("--yes")
    assert rollback("--yes", "--json").json()["release"] == A
    assert running() == versions(2)


def test_a_release_can_be_named_forwards_as_well(released: None) -> None:
    rollback("--yes", "--to", A)
    assert running() == versions(2)
    assert rollback("--yes", "--to", C).status == 0
    assert running() == versions(4)


def test_a_deployment_that_broke_off_half_way_is_taken_back_whole(released: None) -> None:
    release("d" * 16, functions=["CreateLead", "CreateCase"])
    result = rollback("--yes", "--json")
    assert set(result.json()["moved"]) == {f"{NAME}-create-lead", f"{NAME}-create-case"}
    assert running() == versions(4)


def test_the_release_that_runs_moves_nothing(released: None) -> None:
    result = rollback("--yes", "--to", C, "--json")
    assert result.json() == {"release": C, "moved": {}}
    assert running() == versions(4)


def test_nothing_moves_unless_somebody_agrees(released: None) -> None:
    result = rollback()
    assert result.status != 0
    assert running() == versions(4)


def test_a_release_that_there_is_not_names_those_that_there_are(released: None) -> None:
    result = rollback("--yes", "--to", "e" * 16)
    assert result.status == 1
    assert f"{A}, {B}, {C}" in result.err
    assert running() == versions(4)


def test_before_the_first_release_there_is_nothing_to_go_back_to(account: None) -> None:
    deploy()
    release(A)
    result = rollback("--yes")
    assert result.status == 1
    assert "make deploy" in result.err
    assert running() == versions(2)


def test_a_gradual_deployment_is_stopped_by_codedeploy_not_by_us(released: None) -> None:
    client = boto3.client("lambda", region_name=REGION)
    routing: Any = {"AdditionalVersionWeights": {"3": 0.1}}
    client.update_alias(FunctionName=f"{NAME}-deliver", Name="live", RoutingConfig=routing)
    result = rollback("--yes")
    assert result.status == 1
    assert "aws deploy stop-deployment" in result.err
    assert running() == versions(4)


def test_the_local_stack_has_nothing_to_go_back_to(bare: Local) -> None:
    result = run("rollback", "--yes", *bare.options)
    assert result.status == 1
    assert "one version" in result.err
