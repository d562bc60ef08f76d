"""An address of one's own (DomainName): a flow's requests and Bird's webhooks through it.

The gateway's event there is as AWS makes it: localstack/localstack#12295 has it measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.stack import Response, Stack
from tests.conftest import PATIENT
from tests.functional.bird.conftest import clean, only
from tests.stacks import public_address, write_signing_keys
from tests.unit import bodies
from tests.unit.signing import KEY, bird

DOMAIN = "bird.example.com"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d"


@pytest.fixture(scope="module")
def shared() -> Iterator[Stack]:
    parameters = {"DomainName": DOMAIN, "CertificateArn": CERTIFICATE, "SignatureScheme": "bird"}
    with Stack(poll=False, processes=1, parameters={**PATIENT, **parameters}) as stack:
        write_signing_keys(stack, KEY)
        stack.tick()
        yield stack


@pytest.fixture
def stack(shared: Stack) -> Stack:
    clean(shared)
    return shared


def send(stack: Stack, path: str, *, host: str, signed_for: str, **more: Any) -> Response:
    """A request to an address of `host`, whose signature is for another or the same one."""
    raw = json.dumps(bodies.channels()).encode()
    headers = bird(at=time.time(), url=signed_for, body=raw)
    headers |= {"content-type": "application/json", "host": host}
    # `request` puts the stage in front, so the connection is used directly.
    key = {} if more.get("api_key", "") is None else {"x-api-key": stack.api_key}
    made = stack._http.request(
        "POST", stack.gateway.server.url + path, body=raw, headers={**headers, **key}
    )
    return Response(status=made.status, headers=made.headers, body=made.data)


@pytest.mark.parametrize("path", ["/webhooks/bird", "/webhooks/bird?object=Lead"])
def test_a_webhook_is_signed_for_the_address_without_a_stage(stack: Stack, path: str) -> None:
    signed_for = f"https://{DOMAIN}{path}"
    assert send(stack, path, host=DOMAIN, signed_for=signed_for, api_key=None).status == 201
    assert only(stack, "Lead")["LastName"] == "van Dijk"
    output = stack.deployment.outputs["WebhookUrl"]
    assert output == f"https://{DOMAIN}/webhooks/bird", "what a person enters in Bird"


def test_a_signature_for_another_address_is_refused(stack: Stack) -> None:
    path = "/webhooks/bird"
    elsewhere = public_address(stack, path)
    assert send(stack, path, host=DOMAIN, signed_for=elsewhere).status == 401
    assert send(stack, "/v1" + path, host="localhost", signed_for=elsewhere).status == 201


def test_a_flow_s_request_needs_key_and_signature_as_any_other(stack: Stack) -> None:
    address = stack.deployment.outputs["LeadsUrl"]
    assert address == f"https://{DOMAIN}/leads"
    assert send(stack, "/leads", host=DOMAIN, signed_for=address, api_key=None).status == 403
    assert send(stack, "/leads", host=DOMAIN, signed_for=address + "x").status == 401
    assert send(stack, "/leads", host=DOMAIN, signed_for=address).status == 201


def test_the_address_has_no_stage_in_it(stack: Stack) -> None:
    address = f"https://{DOMAIN}/v1/leads"
    assert send(stack, "/v1/leads", host=DOMAIN, signed_for=address).status == 404
