"""Whatever comes in, and whatever Salesforce says: an answer in our shape, in time, nothing lost.

Events and answers are made up by Hypothesis, near the shapes that are usual and far from them.
`bad input` never ends in a 5xx nor in `unexpected_error`, which is what a fault of ours becomes.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.http import Response
from bridge.records import ObjectName
from tests.slow.fuzz.harness import Happening, Stand, ask_salesforce
from tests.slow.fuzz.made_up import FUZZ, happenings, texts, values
from tests.unit.doubles import SmallOrg

OBJECTS: list[ObjectName | None] = ["Lead", "Case", None]


# Events

names = st.sampled_from(
    [
        *("LastName", "Company", "Email", "Phone", "Description", "OwnerId", "bird"),
        *("Bird_Key__c", "attributes", "Id", "Subject", "channel", "sender", "text"),
        *("messageId", "displayName", "tags", "payload", "message", "type", "from", "contact"),
    ]
)
bodies = (
    st.dictionaries(names | texts, values, max_size=6).map(json.dumps)
    | st.fixed_dictionaries({"bird": st.dictionaries(names, values, max_size=6)}).map(json.dumps)
    | values.map(json.dumps)
    | st.text(max_size=60)
    | st.integers(1, 30_000).map(lambda depth: "[" * depth)
    | st.integers(1, 3_000).map(lambda depth: '{"a":' * depth + "1" + "}" * depth)
)
header_names = st.sampled_from(
    [
        *("Content-Type", "content-type", "Idempotency-Key", "Prefer", "X-Api-Key"),
        *("MessageBird-Signature-JWT", "messagebird-signature"),
        *("messagebird-request-timestamp", "webhook-id"),
        *("webhook-timestamp", "webhook-signature"),
    ]
)
header_values = texts | st.sampled_from(
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "respond-async",
        "v1,AAAA",
        "a.b.c",
        "1790000000",
    ]
)
headers = st.none() | st.dictionaries(header_names | texts, header_values, max_size=5)
usual = st.fixed_dictionaries(
    {
        "httpMethod": st.sampled_from(["POST", "GET"]),
        "path": st.sampled_from(["/leads", "/cases", "/messages", "/webhooks/bird"]),
        "resource": st.sampled_from(["/leads", "/messages", "/webhooks/bird", "/cases/{key}"]),
        "headers": headers,
        "multiValueHeaders": st.none() | st.dictionaries(texts, st.lists(texts), max_size=2),
        "queryStringParameters": st.none()
        | st.dictionaries(st.sampled_from(["key", "errors", "text", "a"]), texts, max_size=3),
        "pathParameters": st.none() | st.fixed_dictionaries({"key": texts}),
        "requestContext": st.fixed_dictionaries(
            {"requestId": texts, "requestTimeEpoch": st.integers() | st.none() | texts}
        ),
        "body": st.none() | bodies,
        "isBase64Encoded": st.booleans(),
    }
)
events = usual | st.tuples(usual, st.dictionaries(names, values)).map(lambda p: {**p[0], **p[1]})


@pytest.mark.parametrize("scheme", ["none", "messagebird-jwt", "bird", "standard-webhooks"])
@pytest.mark.parametrize("name", OBJECTS)
@FUZZ
@given(event=events)
def test_no_event_ends_in_a_5xx(name: ObjectName | None, scheme: str, event: Any) -> None:
    org = SmallOrg()
    stand = Stand(name, org, scheme=scheme)

    status, payload = stand.answer(event)

    assert status < 500, payload
    if scheme != "none" and event["httpMethod"] == "POST":
        assert not org.rows, "nobody signed it"


@pytest.mark.parametrize("name", OBJECTS)
@hypothesis_settings(FUZZ, max_examples=50)
@given(event=values)
def test_what_is_no_event_at_all_is_answered_too(name: ObjectName | None, event: Any) -> None:
    status, _ = Stand(name, SmallOrg()).answer(event)
    assert 400 <= status < 500


# Salesforce's answers


@pytest.mark.parametrize("name", ["Lead", "Case"])
@FUZZ
@given(happens=st.lists(happenings, min_size=1, max_size=6))
@example(happens=[Happening(Response(201, {}, b'{"id": "short"}'))])
def test_no_answer_of_salesforce_s_loses_a_record(
    name: ObjectName, happens: list[Happening]
) -> None:
    ask_salesforce("POST", name, happens)


@pytest.mark.parametrize("name", ["Lead", "Case"])
@FUZZ
@given(happens=st.lists(happenings, min_size=1, max_size=4))
def test_a_look_up_that_salesforce_spoils_is_404_or_try_again(
    name: ObjectName, happens: list[Happening]
) -> None:
    ask_salesforce("GET", name, happens)
