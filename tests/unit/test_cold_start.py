"""What a caller waits for loads nothing that only some deployments or some bodies need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ENVIRON
from tools.template import ROOT

PROGRAM = """
import json, os, sys
sys.path[:0] = [{bridge!r}]
os.environ.update(json.loads({environ!r}))
from bridge import wiring
from bridge.api.request import HttpRequest, read_message
wiring.record_api("Lead")
event = {{"httpMethod": "POST", "body": {body!r}}}
read_message(HttpRequest.from_event(event), "Lead", settings=wiring.settings())
rare = ("bridge.bird.webhooks", "bridge.bird.events_2026", "bridge.bird.part", "html.parser")
rare += ("bridge.api.signatures", "jwt")
print([name for name in rare if name in sys.modules])
"""


def loaded(body: str, **environ: str) -> str:
    import json

    program = PROGRAM.format(
        bridge=str(ROOT / "layers" / "bridge"),
        environ=json.dumps({**ENVIRON, "POWERTOOLS_SERVICE_NAME": "x", **environ}),
        body=body,
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "body", ['{"LastName": "x"}', '{"bird": {"channel": "sms", "text": "x"}}', '{"Type": "x"}']
)
def test_a_flow_s_own_body_loads_neither_shapes_nor_signatures(body: str) -> None:
    assert loaded(body) == "[]"


def test_a_body_of_bird_s_loads_the_shapes_and_a_scheme_the_signatures() -> None:
    sms = '{"originator": "447700900142", "payload": "x"}'
    assert "'bridge.bird.webhooks'" in loaded(sms) and "signatures" not in loaded(sms)
    for scheme in ("bird", "messagebird-jwt"):  # PyJWT is imported for the first token
        assert loaded("{}", SIGNATURE_SCHEME=scheme) == "['bridge.api.signatures']"
