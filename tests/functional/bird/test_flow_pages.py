"""docs/flows.md: what is to be pasted works, with and without the variables."""

from __future__ import annotations

import json
import re

import pytest

from sandbox.stack import Stack
from tests.functional.bird.conftest import only
from tools import flow_pages
from tools.template import ROOT

PAGE = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
FLOW = r"### (.+? → .+?)\n.*?\| URL \| `https://YOUR-API-ADDRESS/v1(/\S+)` \|(.*?)```json\n(.*?)```"
PAGES = {title: found for title, *found in re.findall(FLOW, PAGE, re.DOTALL)}
"""Path, rows of the table, and body, by title."""
VALUES = {
    "messageId": "m-1",
    "conversationId": "c-1",
    "sender": "447700900142",
    "contact.displayName": "Noor van Dijk",
    "payload": 'Where is "my" order?\nIt was due {yesterday}.',
    "channel": "viber",
}


def test_there_is_a_page_for_every_channel_that_was_promised() -> None:
    assert list(PAGES) == [
        "WhatsApp → Lead",
        "Viber → Case",
        "SMS → Lead",
        "SMS → Case",
        "Any channel → what its channel becomes",
    ]


@pytest.mark.parametrize("title", PAGES)
@pytest.mark.parametrize("known", ["all", "none", "only the text"])
def test_what_is_pasted_makes_the_record(stack: Stack, title: str, known: str) -> None:
    path, _, body = PAGES[title]
    names = {"all": list(VALUES), "none": [], "only the text": ["payload"]}[known]
    for name in names:
        body = body.replace("{{" + name + "}}", VALUES[name])
    response = stack.request("POST", path, body, headers={"content-type": "application/json"})
    assert response.json()["outcome"] == "created", response.body
    record = only(stack, response.json()["object"])
    if "payload" in names:
        assert record["Description"] == VALUES["payload"], "quotes that nobody escaped"
    assert "{{" not in json.dumps({name: str(value) for name, value in record.items()})


@pytest.mark.parametrize("title", PAGES)
def test_the_variables_to_fetch_are_keys_of_the_answers(stack: Stack, title: str) -> None:
    path, rows, _ = PAGES[title]
    viber = {"bird": {"channel": "viber", "messageId": "m-2"}}
    refused = {"bird": {"channel": "viber", "messageId": "m-3"}, "Nothing__c": 1}
    responses = [stack.request("POST", path, body).json() for body in (viber, refused, viber)]
    assert set(re.findall(r"variable \| `(\w+)`", rows)) <= {"number"}.union(*responses)


def test_the_pages_are_made_from_what_the_flow_command_prints() -> None:
    assert flow_pages.written(PAGE) == PAGE, "run: python -m tools.flow_pages"


def test_every_flow_file_and_placeholder_is_explained() -> None:
    for flow in (ROOT / "flows").glob("*.json"):
        assert f"`flows/{flow.name}`" in PAGE
        for placeholder in re.findall(r"YOUR-[A-Z-]+", flow.read_text(encoding="utf-8")):
            assert f"`{placeholder}`" in PAGE
    assert "import not tested against a live account" in PAGE
