"""Updates that waited: which values are the same, and whose a change was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.api.request import HttpRequest
from bridge.api.updates import read_update
from bridge.bird import channels
from bridge.delivery.updates import OwnChanges, Row, is_blank, same_value
from bridge.records import ObjectName
from bridge.salesforce.composite import Part, PartResponse, Ref, resolved
from bridge.settings import Settings
from tests.conftest import ENVIRON

SAME: list[tuple[Any, Any, bool]] = [
    ("Hot", "Hot", True),
    ("Hot", "hot", False),
    ("Hot", " Hot ", True),
    (5.0, 5, True),
    (5.0, "5", True),
    (5.0, "five", False),
    (True, "true", True),
    (False, True, False),
    ("2026-11-30T14:03:07.000+0000", "2026-11-30T15:03:07+01:00", True),
    ("2026-11-30", "2026-11-30", True),
    ("2026-11-30", "2026-12-01", False),
    ("A;B", "B;A", True),
    ("A;B", "A", False),
    ("a\r\nb", "a\nb", True),
    ("001000000000001AAA", {"Number__c": "7"}, False),
]


@pytest.mark.parametrize(("theirs", "ours", "same"), SAME)
def test_a_value_is_the_same_in_any_form(theirs: Any, ours: Any, same: bool) -> None:
    """Salesforce prints numbers with a point and times in UTC; flows send texts."""
    assert same_value(theirs, ours) is same


@pytest.mark.parametrize(
    ("value", "blank"), [(None, True), ("", True), (" ", True), (False, False), (0, False)]
)
def test_a_checkbox_and_a_zero_are_values(value: Any, blank: bool) -> None:
    assert is_blank(value) is blank


T0 = datetime(2026, 11, 30, 14, 0, 0, 300_000, UTC)
TABLE = {
    "fields": {
        "Lead": {"Industry": "attributes.Industry", "Tags__c": "tags"},
        "Case": {"Reason": "attributes.industry"},
    },
    "channels": {"unknown": {"label": "Bird", "object": "Lead", "sender": "id"}},
}


@pytest.mark.parametrize(
    ("name", "bird", "written", "left"),
    [
        ("Lead", {"attributes": {"industry": "Retail"}, "tags": ["a"]}, 2, ""),
        ("Lead", {"attributes": {"industry": "Retail", "Hobby": "x"}}, 1, "attributes.Hobby"),
        (
            "Lead",
            {"attributes": {"industry": {"deep": "x"}}, "tags": "a"},
            1,
            "attributes.industry",
        ),
        ("Case", {"attributes": {"industry": "Retail"}, "tags": ["a"]}, 1, "tags"),
        ("Lead", {"attributes": ["x"], "tags": ["a"]}, 1, "attributes"),
        ("Lead", {"attributes": {"hobby": None, "x": "{{y}}"}, "tags": []}, 0, ""),
        ("Lead", {"tags": ["a"], "text": "Hi"}, 1, "text"),
    ],
)
def test_whatever_of_bird_is_not_written_is_named(
    monkeypatch: pytest.MonkeyPatch, name: ObjectName, bird: dict[str, Any], written: int, left: str
) -> None:
    monkeypatch.setattr(channels, "table", lambda: channels.read_table(TABLE))
    request = HttpRequest.from_event(
        {
            "httpMethod": "PATCH",
            "pathParameters": {"key": "k"},
            "body": json.dumps({"Rating": "Hot", "bird": bird}),
        }
    )
    update = read_update(request, name, settings=Settings.from_environ(ENVIRON))
    assert len(update.message.derived.get(name, {})) == written
    expected = f"Not written: bird.{left}. Send Salesforce's fields by their names." if left else ""
    assert update.warnings == expected


US, THEM = "005000000000001AAA", "005000000000002AAA"


def row(seconds: float, by: str, created: float = -100) -> Row:
    at = [(T0 + timedelta(seconds=s)).replace(microsecond=0) for s in (seconds, created)]
    return Row(modified=at[0], modified_by=by, created=at[1])


@pytest.mark.parametrize(
    ("there", "user", "others"),
    [
        (row(-5, THEM), US, False),  # before
        (row(0, THEM), US, True),  # in the same second: Salesforce has no finer time
        (row(5, THEM), US, True),
        (row(0, US), US, False),
        (row(5, US), US, True),  # it may hide somebody else's
        (row(5, US, created=5), US, False),  # just made
        (row(5, US), "", True),  # nobody knows who we are
        (row(-5, US), "", False),
    ],
)
def test_whose_the_last_change_was(there: Row, user: str, others: bool) -> None:
    assert OwnChanges().others_since("r", there, T0, user) is others


def test_a_change_that_this_process_made_itself_hides_nothing() -> None:
    own, begun = OwnChanges(), T0 + timedelta(seconds=10)
    own.remember("r", row(-5, US), begun)
    ours = row(10, US)
    assert not own.others_since("r", ours, T0, US)
    own = OwnChanges()
    own.remember("r", row(5, THEM), begun)
    assert own.others_since("r", ours, T0, US)  # theirs came between
    assert not own.others_since("r", ours, T0 + timedelta(seconds=7), US)
    assert own.others_since("r", row(3600 * 24 * 400, US), T0, US)  # another one of ours


def test_a_reference_into_the_rows_of_a_query_is_resolved() -> None:
    """Composite: `@{ref.records[0].Id}` of a query (REST API Developer Guide)."""
    part = Part(name="p", method="PATCH", path=("/sobjects/Lead/", Ref("q", "records[0].Id")))
    rows = {"records": [{"Id": "00Q1"}]}
    ready = resolved(part, {"q": PartResponse(200, rows)})
    assert ready.path[1] == "00Q1"
    assert resolved(part, {"q": PartResponse(200, {"records": []})}) is None
    assert resolved(part, {"q": PartResponse(400, [])}) is None
