"""A message as a person reads it on a record's timeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conversations.message import (
    COMMENT_BYTES,
    CUT_MARK,
    DESCRIPTION_LENGTH,
    Message,
    as_comment,
    as_salesforce_time,
    read_moment,
    shortened,
)

SENT = datetime(2026, 11, 30, 14, 3, 7, 123_456, tzinfo=UTC)
HEAD = "2026-11-30 14:03:07 UTC"


def message(**fields: Any) -> Message:
    values: dict[str, Any] = {
        "conversation": "c-1",
        "key": "m-1",
        "requested": None,
        "channel_object": "Case",
        "sent_at": SENT,
        "task": {"Subject": "WhatsApp: my parcel is broken", "Description": "my parcel is broken"},
    }
    return Message(**(values | fields))


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


TEXT = "my parcel is broken"
SUBJECT = {"Subject": "WhatsApp"}


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({}, [HEAD, TEXT]),
        ({"task": {}, "sent_at": SENT.astimezone(timezone(timedelta(hours=5.5)))}, [HEAD]),
        (
            {"fields": {"Rating": "Hot", "Vip__c": True, "Account": {"Number__c": "ä7"}}},
            [HEAD, TEXT, "", "Rating: Hot", "Vip__c: true", 'Account: {"Number__c": "ä7"}'],
        ),
        ({"fields": {"Rating": "Hot"}, "task": SUBJECT}, [HEAD, "Rating: Hot"]),
        # what the Task says anyway is not said twice
        (
            {"fields": {"Description": TEXT, "Subject": f"WhatsApp: {TEXT}", "Priority": "High"}},
            [HEAD, TEXT, "", "Priority: High"],
        ),
        ({"fields": {"description": "from the flow"}, "task": SUBJECT}, [HEAD, "from the flow"]),
    ],
)
def test_a_task_has_the_time_in_utc_the_text_and_fields_that_no_record_gets(
    changed: dict[str, Any], lines: list[str]
) -> None:
    found = message(**changed)
    assert found.description(with_fields=True) == "\n".join(lines)


def test_where_the_record_gets_the_fields_the_task_has_the_text_alone() -> None:
    found = message(fields={"Rating": "Hot"})
    assert found.not_written == {"Rating": "Hot"}
    assert found.description(with_fields=False) == f"{HEAD}\n{TEXT}"
    found = message(fields={"description": "from the flow"}, task=SUBJECT)
    assert found.description(with_fields=False) == f"{HEAD}\nfrom the flow", "it is not mute"


def test_a_text_that_does_not_fit_ends_in_the_mark_of_a_cut_before_the_lines() -> None:
    for fields, end in (({}, ""), ({"Rating": "Hot"}, "\n\nRating: Hot")):
        found = message(task={"Description": "x" * 40_000}, fields=fields)
        text = found.description(with_fields=True)
        assert DESCRIPTION_LENGTH - 10 < units(text) <= DESCRIPTION_LENGTH
        assert text.endswith(CUT_MARK + end)


@given(st.text(max_size=20), st.integers(0, 40_000), st.text(max_size=20), st.integers(0, 40_000))
def test_text_and_lines_fit_whatever_their_length(
    text: str, text_times: int, value: str, value_times: int
) -> None:
    text, value = (text * text_times)[:70_000], (value * value_times)[:70_000]
    found = message(task={"Description": text}, fields={"Notes__c": value})
    description = found.description(with_fields=True)
    assert units(description) <= DESCRIPTION_LENGTH
    assert description.startswith(HEAD)
    if units(text) < DESCRIPTION_LENGTH // 3:
        assert text in description


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("abc", 3, "abc"),
        ("😀" * 20, 40, "😀" * 20),
        # no character is halved
        ("😀" * 30, 41, "😀" * 8 + CUT_MARK),
    ],
)
def test_a_text_is_shortened_only_where_it_has_to_be(text: str, length: int, expected: str) -> None:
    assert shortened(text, length) == expected


def test_the_subject_fits() -> None:
    assert units(message(task={"Subject": "😀" * 200}).subject()) == 254
    assert message(task={}).subject() == ""


def test_a_comment_is_measured_in_bytes() -> None:
    assert as_comment("ä" * 2_000) == "ä" * 2_000
    cut = as_comment("ä" * 2_001)
    assert cut.endswith("ä" + CUT_MARK)
    assert COMMENT_BYTES - 2 < len(cut.encode()) <= COMMENT_BYTES


@given(st.text(st.characters(), max_size=30), st.integers(1, 3_000))
def test_every_comment_fits(text: str, times: int) -> None:
    assert len(as_comment(text * times).encode(errors="surrogatepass")) <= COMMENT_BYTES


def test_a_moment_as_salesforce_reads_it() -> None:
    assert as_salesforce_time(SENT) == "2026-11-30T14:03:07.123Z"


def test_what_the_caller_gives_counts_more_than_what_the_channel_fills() -> None:
    found = message(
        fields={"origin": "Shop"}, derived={"Case": {"Origin": "WhatsApp", "Subject": "Hi"}}
    ).record("Case", "k-1")
    assert found.fields == {"origin": "Shop", "Subject": "Hi"}
    assert found.derived == {"Subject"}
    assert (found.object, found.key, found.channel) == ("Case", "k-1", "unknown")


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-30T14:03:07.123456Z",
        "2026-11-30t14:03:07.123456z",
        "2026-11-30 19:33:07.123456+05:30",
        "2026-11-30T14:03:07.123456-00:00",
        "2026-11-30T14:03:07.123456789Z",
        "2026-11-30T14:03:07.123456+0000",
    ],
)
def test_a_moment_of_rfc_3339_in_any_spelling(text: str) -> None:
    """RFC 3339, 5.6: T and Z may be lower case, a blank may stand for T; any digits of a second.
    Salesforce writes the zone without a colon."""
    assert read_moment(text) == SENT


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00Z",  # what Go writes for a time that is not there
        "9999-12-31T23:59:59Z",
        "1699-12-31T23:59:59Z",
        "4001-01-01T00:00:00Z",
        "2026-11-30",
        "yesterday",
        "",
        None,
        1764511387,
        ["2026-11-30T14:03:07Z"],
    ],
)
def test_what_salesforce_cannot_store_is_no_moment(value: Any) -> None:
    """SOQL and SOSL Reference, Date Formats: 1700-01-01 to 4000-12-31. A message of another time
    would be refused, and its words would not be in Salesforce."""
    assert read_moment(value) is None
