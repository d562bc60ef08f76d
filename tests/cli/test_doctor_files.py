"""What `doctor` finds where files are attached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.org.sample import INTEGRATION_USER
from sandbox.stack import Stack
from tests.cli.program import options_for, run
from tests.conftest import PATIENT


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(poll=False, parameters={**PATIENT, "AttachMedia": "on"}) as made:
        made.tick()
        yield made


def findings(stack: Stack, folder: Path) -> dict[str, str]:
    """The level of each check, by its name."""
    found = run("doctor", "--json", *options_for(stack, folder)).json()
    return {one["check"]: one["state"] for one in found["checks"]}


def store(stack: Stack, value: str) -> None:
    secret = stack.deployment.resource("AccessKey")["Ref"]
    stack.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=value)


def test_all_is_well(stack: Stack, tmp_path: Path) -> None:
    found = findings(stack, tmp_path)
    assert {found[name] for name in ("files", "access-key", "files-queue")} == {"good"}


@pytest.mark.parametrize(
    "value", ['{"accessKey":"a-key-that-bird-does-not-know"}', '{"accessKey":""}', "two words"]
)
def test_a_key_that_is_missing_or_wrong_is_told(stack: Stack, tmp_path: Path, value: str) -> None:
    store(stack, value)
    try:
        assert findings(stack, tmp_path)["access-key"] == "bad"
    finally:
        store(stack, stack.media.access_key)


def test_a_field_that_the_user_may_not_set_is_told(stack: Stack, tmp_path: Path) -> None:
    where = ("ContentVersion", "Bird_Key__c")
    stack.org.hide_field(*where, user=INTEGRATION_USER)
    try:
        assert findings(stack, tmp_path)["files"] == "bad"
    finally:
        stack.org.show_field(*where, user=INTEGRATION_USER)
