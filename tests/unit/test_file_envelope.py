"""The envelope of files, and the record that a message's files belong to.

The rows are as Salesforce's queries give them (Object Reference: Task, Lead, Case).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.bird.message import Media
from bridge.conversations.keys import task_key
from bridge.conversations.message import Message
from bridge.delivery.outbox import Envelope, UnknownEnvelope, UnreadableEnvelope
from bridge.errors import NotSetUp, Refused, SalesforceProblem, Unavailable
from bridge.files.envelope import FileEnvelope
from bridge.files.place import Place, place_parts, read_place
from bridge.salesforce.composite import PartResponse
from tests.unit.doubles import part_failure

LEAD, LEAD_2 = "00Q000000000001AAA", "00Q000000000002AAA"
CASE, CONTACT = "500000000000001AAA", "003000000000001AAA"
TASK = "00T000000000001AAA"
MEDIA = (Media("https://a.example/1", "ü \ud83d.jpg", "image/jpeg"), Media("https://a.example/2"))


def message(**changed: Any) -> Message:
    values: dict[str, Any] = {
        "conversation": "c",
        "key": "m",
        "requested": "Lead",
        "channel_object": "Lead",
        "sent_at": datetime(2026, 11, 30, tzinfo=UTC),
        "media": MEDIA,
    }
    return Message(**{**values, **changed})


def envelope(**changed: Any) -> FileEnvelope:
    return FileEnvelope.of(Envelope(message=message(**changed), accepted_at="2026"))


def test_it_comes_back_as_it_was_sent_in_ascii() -> None:
    sent = envelope()
    assert sent.dump().isascii()
    assert FileEnvelope.parse(sent.dump()) == sent
    refused = sent.refused(Refused("gone", code="MEDIA_HTTP_404"), 2, attempts=3)
    back = FileEnvelope.parse(refused.dump())
    assert [*back.files] == [2]
    assert back.reason["code"] == "MEDIA_HTTP_404"
    assert FileEnvelope.parse(back.again().dump()).replayed == 1
    assert back.again().reason is None


def test_keys_of_files_differ_by_message_and_number() -> None:
    keys = {envelope(key=key).file_key(number) for key in ("m", "M", "n") for number in (1, 2)}
    assert len(keys) == 6
    assert all(len(key) <= 100 for key in keys)


@pytest.mark.parametrize(
    ("changed", "raised"),
    [
        ({"kind": "message"}, UnreadableEnvelope),
        ({"key": ""}, UnreadableEnvelope),
        ({"object": "Account"}, UnreadableEnvelope),
        ({"files": []}, UnreadableEnvelope),
        ({"files": {}}, UnreadableEnvelope),
        ({"files": [{"number": 0, "link": "l"}]}, UnreadableEnvelope),
        ({"files": [{"number": "1", "link": "l"}]}, UnreadableEnvelope),
        ({"files": [{"number": 1}]}, UnreadableEnvelope),
        ({"files": ["l"]}, UnreadableEnvelope),
        ({"replayed": "2"}, UnreadableEnvelope),
        ({"v": 3}, UnknownEnvelope),  # not unreadable for good
    ],
)
def test_what_is_no_envelope_of_files_is_told(
    changed: dict[str, Any], raised: type[Exception]
) -> None:
    with pytest.raises(raised):
        FileEnvelope.parse(json.dumps({**json.loads(envelope().dump()), **changed}))
    with pytest.raises(UnknownEnvelope):
        Envelope.parse(envelope().dump())


def test_the_outbox_keeps_a_message_s_files() -> None:
    sent = Envelope.of(message(), request_id="r")
    assert Envelope.parse(sent.dump()).message.media == MEDIA
    values = json.loads(sent.dump())
    for wrong in ("x", [1], [[]], [["l", 2]], {"l": "x"}):
        with pytest.raises(UnreadableEnvelope):
            Envelope.parse(json.dumps({**values, "media": wrong}))


# The record


def task(name: str = "lead", **fields: Any) -> dict[str, Any]:
    object_name: Any = name.capitalize()
    return {"Id": TASK, "Bird_Key__c": task_key(object_name, "m"), "IsDeleted": False, **fields}


def record(record_id: str, **fields: Any) -> dict[str, Any]:
    return {"Id": record_id, "IsDeleted": False, "MasterRecordId": None, **fields}


def responses(**rows: list[dict[str, Any]]) -> dict[str, PartResponse]:
    every = {"tasks": [], "Lead": [], "Case": [], **rows}
    return {name: PartResponse(200, {"records": some}) for name, some in every.items()}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"tasks": [task(WhoId=LEAD)]}, Place(LEAD)),
        ({"tasks": [task(WhoId=CONTACT, WhatId=CASE)]}, Place(CASE)),
        ({"tasks": [task(WhoId=CONTACT, WhatId="006000000000001AAA")]}, Place(CONTACT)),
        ({"tasks": [task()]}, Place(TASK)),
        ({"tasks": [task("case", WhatId=CASE), task(WhoId=LEAD)]}, Place(LEAD)),
        ({"tasks": [task(WhoId=LEAD, IsDeleted=True)]}, Place("")),
        ({"tasks": [task(WhoId=LEAD, IsDeleted=True), task("case", WhatId=CASE)]}, Place(CASE)),
        ({"tasks": [task(WhoId=LEAD)], "Lead": [record(LEAD_2)]}, Place(LEAD)),
        ({"Lead": [record(LEAD)]}, Place(LEAD)),
        ({"Lead": [record(LEAD, ConvertedContactId=CONTACT)]}, Place(CONTACT)),
        ({"Lead": [record(LEAD, IsDeleted=True)]}, Place("")),
        ({"Lead": [record(LEAD, IsDeleted=True, MasterRecordId=LEAD_2)]}, Place(LEAD_2, "Lead")),
        ({"Lead": [record(LEAD, IsDeleted=True)], "Case": [record(CASE)]}, Place(CASE)),
    ],
)
def test_files_belong_where_the_message_is(
    rows: dict[str, list[dict[str, Any]]], expected: Place
) -> None:
    assert read_place(envelope(), responses(**rows)) == expected


def test_a_message_that_is_not_there_yet_is_waited_for() -> None:
    with pytest.raises(Unavailable, match="not in Salesforce yet"):
        read_place(envelope(), responses())


def test_a_task_is_looked_for_only_in_conversations() -> None:
    names = [part.name for part in place_parts(envelope(), key_field="Bird_Key__c")]
    assert names == ["tasks", "Lead", "Case"]
    outside = [part.name for part in place_parts(envelope(conversation=""), key_field="K__c")]
    assert outside == ["Lead", "Case"]


@pytest.mark.parametrize(
    ("part", "response", "raised"),
    [
        ("tasks", part_failure("INVALID_FIELD"), NotSetUp),
        ("tasks", part_failure("MALFORMED_QUERY"), Unavailable),
        ("Lead", part_failure("INVALID_TYPE"), NotSetUp),
        ("Lead", PartResponse(503, "<html>"), Unavailable),
        ("Lead", PartResponse(200, {}), Unavailable),
        ("Lead", None, Unavailable),
    ],
)
def test_a_read_that_failed_decides_nothing(
    part: str, response: PartResponse | None, raised: type[SalesforceProblem]
) -> None:
    every: dict[str, Any] = {**responses(), part: response}
    with pytest.raises(raised):
        read_place(envelope(), {name: one for name, one in every.items() if one is not None})


def test_trouble_with_cases_keeps_no_file_of_a_lead_back() -> None:
    every = {**responses(Lead=[record(LEAD)]), "Case": part_failure("INVALID_TYPE")}
    assert read_place(envelope(), every) == Place(LEAD)
