"""The event files: each belongs to a function, is used, and has the one shape of its kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bridge.api.request import HttpRequest
from tests.conftest import LoadEvent, MakeSettings
from tests.contract.deployments import FUNCTIONS
from tests.unit.doubles import read_requested
from tools.template import ROOT

FILES = sorted((ROOT / "events").iterdir())

ENVELOPE = {
    *("resource", "path", "httpMethod", "headers", "queryStringParameters"),
    *("pathParameters", "requestContext", "body", "isBase64Encoded"),
}
"""Of the keys that API Gateway always sends, those that the functions read."""

CONTEXT = {"requestId", "requestTimeEpoch", "path", "domainName"}


def functions_with_files() -> set[str]:
    return {path.name.partition(".")[0] for path in FILES}


def test_every_function_has_an_event_and_every_event_a_function() -> None:
    assert {path.suffix for path in FILES} == {".json"}
    assert functions_with_files() == set(FUNCTIONS.values())
    assert {f"{function}.json" for function in FUNCTIONS.values()} <= {path.name for path in FILES}


def test_every_event_is_used_by_a_test_or_a_program() -> None:
    users = [*(ROOT / "tests").rglob("*.py"), *(ROOT / ".ci").glob("*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in users)
    unused = {
        path.name for path in FILES if not re.search(rf'["/]{re.escape(path.stem)}(\.json)?"', text)
    }
    assert unused == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_event_has_the_shape_of_its_kind(path: Path) -> None:
    event: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    match path.name.partition(".")[0]:
        case "deliver" | "attach_files":
            assert set(event) == {"Records"}
            for record in event["Records"]:
                assert {"messageId", "receiptHandle", "body", "attributes"} <= set(record)
        case "refresh_token":
            assert event.get("detail-type") == "Scheduled Event" or set(event) == {
                "refused_generation"
            }
        case _:
            assert set(event) == ENVELOPE
            assert set(event["requestContext"]) == CONTEXT
            assert event["requestContext"]["path"] == f"/v1{event['path']}"
            assert event["body"] is None or isinstance(event["body"], str)
            assert event["headers"], "API Gateway sends some with every request"


@pytest.mark.parametrize(
    ("name", "made", "fields"),
    [
        ("receive_message", "Lead whatsapp", {"LastName": "van Dijk"}),
        ("receive_message.sms_form", "Case sms", {"SuppliedPhone": "+447700900142"}),
        ("receive_message.sms_query", "Lead sms", {"LastName": "+447700900142"}),
        ("receive_message.v1", "Lead whatsapp", {"Phone": "+447700900142"}),
        (
            "receive_message.apple",
            "Case apple",
            {"Description": "Sizes: Large\nApple Messages: urn:mbid:AQAAYkq3"},
        ),
        ("receive_message.viber", "Case viber", {"SuppliedName": "Мария Иванова"}),
        ("receive_message.webhook_unsigned", "Lead whatsapp", {"LastName": "van Dijk"}),
    ],
)
def test_receive_message_reads_each_of_its_events(
    event: LoadEvent, settings: MakeSettings, name: str, made: str, fields: dict[str, str]
) -> None:
    record = read_requested(HttpRequest.from_event(event(name)), None, settings=settings()).record
    assert f"{record.object} {record.channel}" == made
    assert fields.items() <= record.fields.items()
