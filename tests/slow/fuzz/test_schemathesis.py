"""schemathesis against the stack: no request ends in a response that is not described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from sandbox.stack import Stack
from tests.conftest import PATIENT
from tests.functional.bird.test_openapi import DESCRIPTION, OPERATIONS

CHECKS = [
    not_a_server_error,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.status_code_conformance,
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    limits = {"ThrottleRate": "10000", "ThrottleBurst": "5000"}
    limits |= {"CustomerLookupRate": "1000", "CustomerLookupBurst": "1000"}
    parameters = {**PATIENT, **limits, "CustomerLookup": "on"}
    with Stack(poll=False, processes=2, parameters=parameters) as stack:
        stack.tick()
        yield stack


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_no_response_is_not_described(stack: Stack, mode: str) -> None:
    tried = []
    for found in openapi.from_dict(DESCRIPTION).get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=40,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(GenerationMode[mode]))
        def call(case: Any) -> None:
            headers = {"x-api-key": stack.api_key}
            response = case.call(base_url=stack.url, headers=headers, timeout=20)
            case.validate_response(response, checks=CHECKS)

        call()
        tried.append(operation.label)
    assert len(tried) == len(OPERATIONS)
