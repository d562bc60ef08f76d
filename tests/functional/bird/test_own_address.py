"""An address of one's own (DomainName): a flow's requests and Bird's webhooks through it.

The gateway's event there is as AWS makes it: localstack/localstack#12295 has it measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from sandbox.stack import Stack
from tests.conftest import PATIENT
from tests.functional.bird.conftest import clean, only
from tests.stacks import public_address, write_signing_keys
from tests.unit import bodies
from tests.unit.signing import KEY, bird

DOMAIN = "bird.example.com"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d"
OWN = f"https://{DOMAIN}"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    parameters = {"DomainName": DOMAIN, "CertificateArn": CERTIFICATE, "SignatureScheme": "bird"}
    with Stack(poll=False, processes=1, parameters={**PATIENT, **parameters}) as stack:
        write_signing_keys(stack, KEY)
        stack.tick()
        yield stack


def test_what_a_person_enters_in_bird_has_no_stage_in_it(stack: Stack) -> None:
    outputs = stack.deployment.outputs
    assert outputs["WebhookUrl"] == f"{OWN}/webhooks/bird"
    assert outputs["LeadsUrl"] == f"{OWN}/leads"


@pytest.mark.parametrize(
    ("host", "path", "signed_for", "has_key", "status"),
    [
        (DOMAIN, "/webhooks/bird", f"{OWN}/webhooks/bird", False, 201),
        (DOMAIN, "/webhooks/bird?object=Lead", f"{OWN}/webhooks/bird?object=Lead", False, 201),
        # A signature is for one address.
        (DOMAIN, "/webhooks/bird", "the stage's", False, 401),
        ("localhost", "/v1/webhooks/bird", "the stage's", False, 201),
        # A flow's request needs key and signature as any other.
        (DOMAIN, "/leads", f"{OWN}/leads", False, 403),
        (DOMAIN, "/leads", f"{OWN}/leadsx", True, 401),
        (DOMAIN, "/leads", f"{OWN}/leads", True, 201),
        (DOMAIN, "/v1/leads", f"{OWN}/v1/leads", True, 404),
    ],
)
def test_a_request_counts_where_it_is_signed_for_the_address_that_was_called(
    stack: Stack, host: str, path: str, signed_for: str, has_key: bool, status: int
) -> None:
    clean(stack)
    if signed_for == "the stage's":
        signed_for = public_address(stack, "/webhooks/bird")
    raw = json.dumps(bodies.channels()).encode()
    headers = bird(at=time.time(), url=signed_for, body=raw)
    headers |= {"content-type": "application/json", "host": host}
    headers |= {"x-api-key": stack.api_key} if has_key else {}
    # `request` puts the stage in front, so the connection is used directly.
    url = stack.gateway.server.url + path
    assert stack._http.request("POST", url, body=raw, headers=headers).status == status
    if status == 201:
        assert only(stack, "Lead")["LastName"] == "van Dijk"
