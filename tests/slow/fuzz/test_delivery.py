"""Whatever waits in the outbox and whatever Salesforce says of it: no message is lost, none blocks.

Each message is reported back to SQS, or is in Rejected as it was, or is done because an answer of
Salesforce's says so. What SQS could never send is refused before anything is done.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.http import Response
from tests.slow.fuzz.harness import Happening, deliver
from tests.slow.fuzz.made_up import FUZZ, codes, entries, happenings, ids, texts, values
from tests.unit.doubles import KEY

keys = st.sampled_from(["a", "b", "c", "k-1"]) | texts
envelopes = st.fixed_dictionaries(
    {
        "object": st.sampled_from(["Lead", "Case"]),
        "key": keys,
        "fields": st.dictionaries(
            st.sampled_from(["LastName", "Email", "OwnerId", "ownerid", "attributes"]) | texts,
            values,
            max_size=4,
        ),
    },
    optional={
        "v": st.just(1) | values,
        "channel": st.sampled_from(["sms", "none", "someone@example.com"]) | values,
        "derived": st.lists(st.sampled_from(["LastName", "Email"]), max_size=2) | values,
        "acceptedAt": texts | values,
        "requestId": values,
        "replayed": st.integers() | values,
        "reason": values,
    },
)
forged = st.tuples(envelopes, st.dictionaries(st.sampled_from(["object", "key", "fields"]), values))
bodies = (
    (envelopes | forged.map(lambda pair: {**pair[0], **pair[1]}) | values).map(json.dumps)
    | texts
    | st.sampled_from(["[" * 100_000, '{"object": "Lead", "key": "k", "fields": {"a": 1e999}}'])
)
numbers = st.sampled_from(["1", "1000", "1500000000000", "9" * 400, "-" + "9" * 400]) | values
attributes = st.fixed_dictionaries(
    {}, optional={"ApproximateReceiveCount": numbers, "SentTimestamp": numbers}
)
messages = st.fixed_dictionaries(
    {}, optional={"receiptHandle": texts | values, "attributes": attributes | values}
)
batches = st.lists(st.tuples(messages, bodies), max_size=12).map(
    lambda made: {
        "Records": [
            {"messageId": f"m-{number}", "body": body, **message}
            for number, (message, body) in enumerate(made)
        ]
    }
)

results = st.one_of(
    st.fixed_dictionaries({"id": ids, "success": st.just(True), "errors": st.just([])}),
    st.fixed_dictionaries({"success": st.booleans(), "errors": st.lists(entries, max_size=2)}),
    entries,
    values,
)
rows = st.fixed_dictionaries({}, optional={"Id": ids | values, KEY: keys, "IsDeleted": values})
pages = st.fixed_dictionaries(
    {"records": st.lists(rows, max_size=3) | values},
    optional={
        "nextRecordsUrl": st.sampled_from(
            ["/services/data/v68.0/query/01g-1", "@elsewhere.example/", "//elsewhere.example/"]
        )
        | values
    },
)
answers_to_many = (st.lists(results, max_size=4) | pages).map(
    lambda payload: Happening(Response(200, {}, json.dumps(payload).encode()))
)


@FUZZ
@given(
    event=batches,
    happens=st.lists(answers_to_many | happenings, min_size=1, max_size=8),
    failing=st.sets(st.integers(1, 12), max_size=4),
)
def test_every_message_is_accounted_for(
    event: Any, happens: list[Happening], failing: set[int]
) -> None:
    deliver(event, happens, failing=failing)


MADE = [{"id": "00Q8d0000000001AAA", "success": True, "errors": []}]
SURE = Happening(Response(200, {}, json.dumps(MADE).encode()))


@FUZZ
@given(event=batches, odd=values | st.lists(values, max_size=4))
def test_what_is_no_sqs_event_is_refused_before_anything_is_done(event: Any, odd: Any) -> None:
    for strange in (odd, {"Records": odd}, {"Records": [*event["Records"], odd]}):
        deliver(strange, [SURE])


@hypothesis_settings(FUZZ, max_examples=50)
@given(code=codes, count=st.integers(1, 60), seconds=st.floats(0, 50))
def test_one_answer_to_everything_ends_in_time(code: str, count: int, seconds: float) -> None:
    """The halving, too, when each call fails and each takes its time."""
    payload = json.dumps([{"errorCode": code, "message": code, "fields": []}]).encode()
    records = [
        {
            "messageId": f"m-{number}",
            "body": json.dumps({"object": "Lead", "key": f"k-{number}", "fields": {"a": number}}),
        }
        for number in range(count)
    ]
    deliver({"Records": records}, [Happening(Response(400, {}, payload), seconds)])
