"""The envelope carries any record there and back, in ASCII, and never grows past its queue."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
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
from bridge.records import Record
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


def envelope(**fields: Any) -> Envelope:
    fields = {"LastName": "Berg", **fields}
    message = outside(Record(object="Lead", key="k-1", fields=fields, channel="sms"))
    return Envelope.of(message, request_id="r")


COMMON: dict[str, Any] = {
    "key": texts.filter(str.strip),
    "channel_object": st.just("Case"),
    "channel": st.just("viber"),
    "fields": st.dictionaries(texts.filter(lambda name: name != "attributes"), values, max_size=5),
    "derived": st.fixed_dictionaries(
        {"Lead": st.dictionaries(texts, values, max_size=3), "Case": st.just({})}
    ),
    "sent_at": st.datetimes(datetime(1701, 1, 1), datetime(3999, 12, 31), timezones=st.just(UTC)),
}
MESSAGES = st.builds(
    Message, conversation=st.just(""), requested=st.just("Case"), **COMMON
) | st.builds(
    Message,
    conversation=st.just("c"),
    requested=st.sampled_from([None, "Lead", "Case"]),
    task=st.dictionaries(texts, texts, max_size=2),
    unshown=st.dictionaries(texts, texts, max_size=2),
    from_us=st.booleans(),
    **COMMON,
)


@given(MESSAGES, st.text(), st.integers(0, 9))
def test_an_envelope_comes_back_as_it_was(message: Message, request_id: str, replayed: int) -> None:
    made = replace(Envelope.of(message, request_id=request_id), replayed=replayed)
    body = made.dump()
    assert Envelope.parse(body) == made
    assert body.isascii() and body.isprintable()


def test_the_event_file_is_an_envelope_as_it_is_written(event: LoadEvent) -> None:
    body = event("deliver")["Records"][0]["body"]
    assert Envelope.parse(body).object_name == "Lead"
    assert json.loads(Envelope.parse(body).dump()) == json.loads(body)


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
        *(None, 7, {}, []),
    ],
    ids=lambda body: str(body)[:60],
)
def test_a_message_of_somebody_else_s_is_unreadable(body: Any) -> None:
    with pytest.raises(UnreadableEnvelope):
        Envelope.parse(body)


def parsed(**more: Any) -> Envelope:
    """The smallest envelope, with more."""
    return Envelope.parse(json.dumps({"v": 2, "object": "Lead", "key": "k", "fields": {}, **more}))


def test_an_envelope_without_what_is_optional_can_be_read() -> None:
    smallest = parsed()
    assert (smallest.accepted_at, smallest.replayed, smallest.message.channel) == ("", 0, "none")


def test_what_a_later_release_may_write_beside_it_is_ignored() -> None:
    sent = {"sentAt": "2026-11-30T14:03:07Z"}
    assert parsed(**sent, later={"a": 1}) == parsed(**sent)


@pytest.mark.parametrize("mark", [{"v": 1}, {"v": 3}, {"kind": "other"}], ids=str)
def test_an_envelope_of_another_version_is_known_as_one(mark: dict[str, Any]) -> None:
    with pytest.raises(UnknownEnvelope):
        parsed(**mark)


def test_a_message_s_time_is_the_acceptance_s_where_the_envelope_has_none() -> None:
    made = parsed(acceptedAt="2026-11-30T14:03:07Z")
    assert made.message.sent_at == datetime(2026, 11, 30, 14, 3, 7, tzinfo=UTC)


def test_the_reason_of_a_refusal_goes_with_the_record() -> None:
    problem = Refused("Bitte Telefon", code="X", fields=("Phone",), hint="h", existing_id="00Q")
    refused = Envelope.parse(envelope().refused(problem, attempts=3).dump())
    assert refused.refused_what == "record"
    reason = dict(refused.reason or {})
    assert str(reason.pop("at")).endswith("+00:00")
    expected = {"code": "X", "message": "Bitte Telefon", "fields": ["Phone"], "hint": "h"}
    assert reason.items() >= {**expected, "existingId": "00Q", "attempts": 3}.items()


@pytest.mark.parametrize("what", ["record", "message"])
def test_a_replayed_envelope_remembers_what_was_refused_and_that_it_came_back(what: What) -> None:
    refused = envelope().refused(Refused("x"), attempts=1, what=what)
    again = Envelope.parse(refused.again().again().dump())
    assert (again.reason, again.replayed, again.refused_what) == (None, 2, what)
    assert again.accepted_at == refused.accepted_at


ROOM = LONGEST_ENVELOPE - len(envelope(Description="").dump())


def test_what_could_not_be_queued_is_not_accepted() -> None:
    assert len(sealed(envelope(Description="x" * ROOM))) == LONGEST_ENVELOPE
    for too_long in ("x" * (ROOM + 1), "😀" * 80_000):  # what counts is the size when escaped
        with pytest.raises(RequestTooLarge):
            sealed(envelope(Description=too_long))


def test_the_largest_record_fits_into_rejected_with_the_longest_reason() -> None:
    names = tuple("F" * 43 for _ in range(800))
    problem = Refused("😀" * 100_000, code="C" * 50, fields=names, hint="h" * 500)
    refused = envelope(Description="x" * ROOM).refused(problem, attempts=1000)
    assert len(refused.dump()) < SQS_LIMIT


def test_nothing_personal_is_in_an_envelope_s_repr() -> None:
    assert "Berg" not in repr(envelope())


def test_a_queue_that_cannot_be_reached_keeps_nothing(settings: MakeSettings) -> None:
    made, aws = settings(), SmallAws()
    queues = Queues(aws=aws, settings=made)
    body = sealed(envelope())
    soon = Deadline.after(1)
    queues.queue(body, deadline=soon)
    queues.reject(envelope(), deadline=soon)
    assert [len(bodies) for bodies in aws.queues.values()] == [1, 1]
    down = AwsError("UNREACHABLE", "down")
    aws.broken = {made.outbox_url: down, made.rejected_url: down}
    for keep in (partial(queues.queue, body), partial(queues.reject, envelope())):
        with pytest.raises(NotKept) as caught:
            keep(deadline=soon)
        assert caught.value.__cause__ is down
