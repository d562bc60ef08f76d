"""A customer whose words close the text that they stand in: no flow gives them an owner or a link.

The player puts variables into a body as they are (whether Bird escapes them is documented nowhere).
What a body may set at all is tested in tests/unit/test_fields.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.org import sample
from sandbox.player import Customer, Inbound, Workspace, load, play
from sandbox.stack import Stack
from tests.functional.bird.conftest import made
from tools.template import ROOT

TAIL = '"x": {"y": "z'
"""Words that make what follows a customer's text a JSON object again."""

WORDS = {
    "an owner": 'Hi"}, "OwnerId": "{admin}", ' + TAIL,
    "an owner in another spelling": 'Hi"}, "OWNERID": "{admin}", ' + TAIL,
    "a link": 'Hi"}, "Owner": {"Username": "admin"}, ' + TAIL,
    "inside bird": 'Hi", "OwnerId": "{admin}',
    "a second text": 'Hi", "text": "bye',
    "a second bird": 'Hi"}, "bird": {"text": "bye',
    "the end of it all": 'Hi"}} {"OwnerId": "{admin}", "x": {"y": "',
    "after a list": 'Hi"]}, "OwnerId": "{admin}", "x": {"y": ["',
}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "flows").glob("*.json")), ids=lambda path: path.stem
)
@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("where", ["text", "name"])
def test_in_no_shipped_flow_do_a_customer_s_words_choose_an_owner(
    stack: Stack, path: Path, words: str, where: str
) -> None:
    user = stack.org.oauth.user(sample.ADMIN_USER)
    assert user is not None
    other = str(user["Id"])
    hostile = WORDS[words].replace("{admin}", other)
    played = load(path, {"https://YOUR-API-ADDRESS/v1": stack.url, "YOUR-API-KEY": stack.api_key})
    text, name = (hostile, "Noor") if where == "text" else ("Hi", hostile)
    workspace = Workspace(escapes_variables=False, status_fails_step=False)
    run = play(played, Inbound(text, Customer(name)), workspace=workspace)
    for kind in ("Lead", "Case"):
        assert all(one["OwnerId"] != other for one in made(stack, kind))
    request = run.requests[0]
    if words == "an owner" and where == "text" and request.response.get("id"):
        assert json.loads(request.body)["OwnerId"] == other, "the words did close the text"
        assert "OwnerId" in request.response["notWritten"]
    if request.status not in (200, 201) or request.response["outcome"] == "failed":
        assert run.routed_to_agent, "nothing was stored, so a person takes over"
    else:
        assert made(stack, "Lead") or made(stack, "Case")
