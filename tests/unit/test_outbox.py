"""The envelope carries any record there and back, in ASCII, and never grows past its queue."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.aws import AwsError
from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.delivery.outbox import (
    LONGEST_ENVELOPE,
    Envelope,
    Queues,
    UnknownEnvelope,
    UnreadableEnvelope,
    What,
    sealed,
)
from bridge.errors import NotKept, Refused, RequestTooLarge
from bridge.records import ObjectName, Record
from tests.conftest import LoadEvent, MakeSettings
from tests.unit.doubles import SmallAws, outside

SQS_LIMIT = 1024 * 1024

texts = st.one_of(
    st.text(),
    st.text(alphabet=st.sampled_from('\x00\x01\x1f\x7f\x85\ufffe\uffff\ud800\u202e😀שа|"\\\u2028')),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def message(**fields: Any) -> Message:
    fields = {"LastName": "Berg", **fields}
    return outside(Record(object="Lead", key="k-1", fields=fields, channel="sms"))


@given(
    fields=st.dictionaries(texts.filter(lambda name: name != "attributes"), values, max_size=5),
    derived=st.dictionaries(texts, values, max_size=3),
    task=st.dictionaries(texts, texts, max_size=2),
    key=texts.filter(str.strip),
    requested=st.sampled_from([None, "Lead", "Case"]),
    conversation=st.sampled_from(["", "c"]),
    unshown=st.dictionaries(texts, texts, max_size=2),
    sent_at=st.datetimes(datetime(1701, 1, 1), datetime(3999, 12, 31), timezones=st.just(UTC)),
    request_id=st.text(),
    replayed=st.integers(0, 9),
)
def test_an_envelope_comes_back_as_it_was(
    fields: dict[str, Any],
    derived: dict[str, Any],
    task: dict[str, str],
    unshown: dict[str, str],
    key: str,
    requested: ObjectName | None,
    conversation: str,
    sent_at: datetime,
    request_id: str,
    replayed: int,
) -> None:
    of_conversation = bool(conversation)
    envelope = Envelope(
        message=Message(
            conversation=conversation,
            key=key,
            requested=requested if of_conversation else "Case",
            channel_object="Case",
            fields=fields,
            derived={"Lead": derived, "Case": {}},
            task=task if of_conversation else {},
            unshown=unshown if of_conversation else {},
            sent_at=sent_at,
            channel="viber",
            from_us=of_conversation and replayed == 1,
        ),
        accepted_at="2026-09-24T08:00:00.123+00:00",
        request_id=request_id,
        replayed=replayed,
    )
    body = envelope.dump()
    assert Envelope.parse(body) == envelope
    assert body.isascii() and body.isprintable()


def test_the_event_file_is_an_envelope_as_it_is_written(event: LoadEvent) -> None:
    body = event("deliver")["Records"][0]["body"]
    envelope = Envelope.parse(body)
    assert envelope.object_name == "Lead"
    assert json.loads(envelope.dump()) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        *("", "LastName=Berg", "null", "[]", '"x"', "{}"),
        '{"v": 2, "object": "Lead", "key": "k"}',
        '{"v": 2, "object": "Contact", "key": "k", "fields": {}}',
        '{"v": 2, "object": ["Lead"], "key": "k", "fields": {}}',
        '{"v": 2, "object": "Lead", "key": 7, "fields": {}}',
        '{"v": 2, "object": "Lead", "key": "k", "fields": []}',
        '{"v": 2, "object": "Lead", "key": "k", "fields": {}, "derived": 7}',
        '{"v": 2, "object": "Lead", "key": "k", "fields": {}, "derived": [[]]}',
        '{"v": 2, "object": "Lead", "key": "k", "fields": {}, "derived": {"Task": {}}}',
        '{"v": 2, "object": "Lead", "key": "k", "fields": {}, "derived": {"Lead": 1}}',
        '{"v": 2, "object": "Lead", "key": "k", "fields": {}, "task": ["x"]}',
        '{"v": 2, "object": null, "key": "k", "fields": {}}',
        '{"v": "2", "object": "Lead", "key": "k", "fields": {}}',
        '{"object": "Lead", "key": "k", "fields": {}}',
        '{"v": 2, "object": "Lead", "key": " ", "fields": {}}',
        '{"v": 2, "object": "Lead", "key": "k", "fields": {"attributes": {"type": "User"}}}',
        '{"v": 2, "object": "Lead", "key": "k", "fields": {"a": ' + "[" * 300 + "]" * 300 + "}}",
        '{"v": 2, "object": "Lead", "key": "k", "fields": {}, "replayed": "often"}',
        '{"v": 2, "object": "Lead", "key": "k", "fields": {}, "replayed": 1e999}',
        "[" * 100_000,
    ],
    ids=lambda body: body[:60],
)
def test_a_message_of_somebody_else_s_is_unreadable(body: str) -> None:
    with pytest.raises(UnreadableEnvelope):
        Envelope.parse(body)


@pytest.mark.parametrize("body", [None, 7, {}, []])
def test_what_is_no_text_is_unreadable(body: Any) -> None:
    with pytest.raises(UnreadableEnvelope):
        Envelope.parse(body)


def test_an_envelope_without_what_is_optional_can_be_read() -> None:
    envelope = Envelope.parse('{"v": 2, "object": "Lead", "key": "k", "fields": {}}')
    assert (envelope.accepted_at, envelope.replayed, envelope.message.channel) == ("", 0, "none")


def test_what_a_later_release_may_write_beside_it_is_ignored() -> None:
    plain = '{"v": 2, "object": "Lead", "key": "k", "fields": {}, "sentAt": "2026-11-30T14:03:07Z"'
    assert Envelope.parse(plain + ', "later": {"a": 1}}') == Envelope.parse(plain + "}")


@pytest.mark.parametrize("mark", ['"v": 1', '"v": 3', '"v": 2, "kind": "other"'])
def test_an_envelope_of_another_version_is_known_as_one(mark: str) -> None:
    with pytest.raises(UnknownEnvelope):
        Envelope.parse("{" + mark + ', "object": "Lead", "key": "k", "fields": {}}')


def test_a_message_s_time_is_the_acceptance_s_where_the_envelope_has_none() -> None:
    envelope = Envelope.parse(
        '{"v": 2, "object": "Lead", "key": "k", "fields": {}, "acceptedAt": "2026-11-30T14:03:07Z"}'
    )
    assert envelope.message.sent_at == datetime(2026, 11, 30, 14, 3, 7, tzinfo=UTC)


def test_the_reason_of_a_refusal_goes_with_the_record() -> None:
    problem = Refused("Bitte Telefon", code="X", fields=("Phone",), hint="h", existing_id="00Q")
    refused = Envelope.of(message(), request_id="r").refused(problem, attempts=3)
    reason = Envelope.parse(refused.dump()).reason
    assert {
        n: reason[n] for n in ("code", "message", "fields", "hint", "existingId", "attempts")
    } == {
        "code": "X",
        "message": "Bitte Telefon",
        "fields": ["Phone"],
        "hint": "h",
        "existingId": "00Q",
        "attempts": 3,
    }
    assert str(reason["at"]).endswith("+00:00")
    assert Envelope.parse(refused.dump()).refused_what == "record"


@pytest.mark.parametrize("what", ["record", "message"])
def test_a_replayed_envelope_remembers_what_was_refused(what: What) -> None:
    refused = Envelope.of(message(), request_id="r").refused(Refused("x"), attempts=1, what=what)
    assert Envelope.parse(refused.again().dump()).refused_what == what


def test_a_replayed_envelope_has_no_reason_and_remembers_that_it_came_back() -> None:
    envelope = Envelope.of(message(), request_id="r").refused(Refused("x"), attempts=1)
    again = Envelope.parse(envelope.again().again().dump())
    assert (again.reason, again.replayed, again.accepted_at) == (None, 2, envelope.accepted_at)


def test_what_could_not_be_queued_is_not_accepted() -> None:
    room = LONGEST_ENVELOPE - len(Envelope.of(message(Description=""), request_id="r").dump())
    assert (
        len(sealed(Envelope.of(message(Description="x" * room), request_id="r")))
        == LONGEST_ENVELOPE
    )
    with pytest.raises(RequestTooLarge):
        sealed(Envelope.of(message(Description="x" * (room + 1)), request_id="r"))


def test_what_counts_is_the_size_when_escaped() -> None:
    with pytest.raises(RequestTooLarge):
        sealed(Envelope.of(message(Description="😀" * 80_000), request_id="r"))


def test_the_largest_record_fits_into_rejected_with_the_longest_reason() -> None:
    room = LONGEST_ENVELOPE - len(Envelope.of(message(Description=""), request_id="r").dump())
    problem = Refused(
        "😀" * 100_000, code="C" * 50, fields=tuple("F" * 43 for _ in range(800)), hint="h" * 500
    )
    refused = Envelope.of(message(Description="x" * room), request_id="r").refused(
        problem, attempts=1000
    )
    assert len(refused.dump()) < SQS_LIMIT


def test_nothing_personal_is_in_an_envelope_s_repr() -> None:
    assert "Berg" not in repr(Envelope.of(message(), request_id="r"))


@pytest.mark.parametrize("queue", ["OUTBOX_URL", "REJECTED_URL"])
def test_a_queue_that_cannot_be_reached_keeps_nothing(settings: MakeSettings, queue: str) -> None:
    made, aws = settings(), SmallAws()
    queues = Queues(aws=aws, settings=made)
    envelope = Envelope.of(message(), request_id="r")
    queues.queue(sealed(envelope), deadline=Deadline.after(1))
    queues.reject(envelope, deadline=Deadline.after(1))
    assert [len(bodies) for bodies in aws.queues.values()] == [1, 1]
    url = made.outbox_url if queue == "OUTBOX_URL" else made.rejected_url
    aws.broken[url] = AwsError("UNREACHABLE", "down")
    with pytest.raises(NotKept) as caught:
        if queue == "OUTBOX_URL":
            queues.queue("body", deadline=Deadline.after(1))
        else:
            queues.reject(envelope, deadline=Deadline.after(1))
    assert isinstance(caught.value.__cause__, AwsError)
