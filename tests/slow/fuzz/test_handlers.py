"""Whatever comes in, and whatever Salesforce says: an answer in our shape, in time, nothing lost.

Bad input never ends in a 5xx nor in `unexpected_error`, which is what a fault of ours becomes.
"""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.errors import SalesforceProblem
from bridge.http import Response
from bridge.records import ObjectName, Record
from bridge.salesforce.responses import (
    derived_at_fault,
    read_api_usage,
    read_collection,
    read_created,
    read_created_case,
    read_faults,
    read_found,
    read_org_problem,
)
from bridge.untrusted import read_json
from tests.slow.fuzz.harness import ID, Happening, Stand, ask_salesforce
from tests.slow.fuzz.made_up import FUZZ, happenings, replies, texts, values
from tests.unit import bodies as of_bird
from tests.unit.doubles import KEY, SmallOrg

pytestmark = pytest.mark.timeout(300)

objects: st.SearchStrategy[ObjectName] = st.sampled_from(["Lead", "Case"])
routes: st.SearchStrategy[ObjectName | None] = st.none() | objects
schemes = st.sampled_from(["none", "messagebird-jwt", "bird", "standard-webhooks"])

# Events

names = st.sampled_from(
    [
        *("LastName", "Company", "Email", "Phone", "Description", "OwnerId", "bird"),
        *("Bird_Key__c", "attributes", "Id", "Subject", "channel", "sender", "text"),
        *("messageId", "displayName", "tags", "payload", "message", "type", "from", "contact"),
    ]
)


BODIES = [
    *(of_bird.v1(), of_bird.channels(), of_bird.conversation(), of_bird.event_2026()),
    *(of_bird.sms_guide(), of_bird.sms_2022(), of_bird.v1()["message"]),
]


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """A body that Bird could send, with something odd in one or more of its places."""
    body = copy.deepcopy(draw(st.sampled_from(BODIES)))
    for _ in range(draw(st.integers(0, 3))):
        holder: Any = body
        while True:
            inner = holder if isinstance(holder, dict) else dict(enumerate(holder))
            place = draw(st.sampled_from(sorted(inner))) if inner else None
            if place is None or not isinstance(inner[place], (dict, list)) or draw(st.booleans()):
                break
            holder = inner[place]
        if place is not None:
            holder[place] = draw(values | texts)
    return body


bodies = (
    st.dictionaries(names | texts, values, max_size=6).map(json.dumps)
    | st.fixed_dictionaries({"bird": st.dictionaries(names, values, max_size=6)}).map(json.dumps)
    | (values | spoiled()).map(json.dumps)
    | st.dictionaries(names.map("bird.{}".format) | names | texts, texts).map(
        lambda form: urlencode(form, errors="replace")
    )
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
        *(
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ),
        *("respond-async", "v1,AAAA", "a.b.c", "1790000000"),
    ]
)
usual = st.fixed_dictionaries(
    {
        "httpMethod": st.sampled_from(["POST", "GET"]),
        "path": st.sampled_from(["/leads", "/cases", "/messages", "/webhooks/bird"]),
        "resource": st.sampled_from(["/leads", "/messages", "/webhooks/bird", "/cases/{key}"]),
        "headers": st.none() | st.dictionaries(header_names | texts, header_values, max_size=5),
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
events = usual | st.builds(dict.__or__, usual, st.dictionaries(names, values))


@hypothesis_settings(FUZZ, max_examples=1_000)
@given(name=routes, scheme=schemes, event=events)
def test_no_event_ends_in_a_5xx(name: ObjectName | None, scheme: str, event: Any) -> None:
    org = SmallOrg()
    stand = Stand(name, org, scheme=scheme)

    status, payload = stand.response(event)

    assert status < 500, payload
    if scheme != "none" and event["httpMethod"] == "POST":
        assert not org.rows, "nobody signed it"


@FUZZ
@given(name=routes, body=bodies, form=st.booleans())
def test_no_body_that_a_flow_posts_ends_in_a_5xx(
    name: ObjectName | None, body: str, form: bool
) -> None:
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    event = {"httpMethod": "POST", "path": "/x", "headers": {"content-type": kind}, "body": body}
    status, payload = Stand(name, SmallOrg()).response(event)
    assert status < 500, payload


@hypothesis_settings(FUZZ, max_examples=150)
@given(name=routes, event=values)
def test_what_is_no_event_at_all_is_answered_too(name: ObjectName | None, event: Any) -> None:
    status, _ = Stand(name, SmallOrg()).response(event)
    assert 400 <= status < 500


# Salesforce's answers


@hypothesis_settings(FUZZ, max_examples=600)
@given(
    name=objects,
    method=st.sampled_from(["POST", "GET"]),
    happens=st.lists(happenings, min_size=1, max_size=6),
)
@example("Lead", "POST", [Happening(Response(201, {}, b'{"id": "short"}'))])
def test_no_answer_of_salesforce_s_loses_a_record_and_a_look_up_is_404_or_try_again(
    name: ObjectName, method: str, happens: list[Happening]
) -> None:
    ask_salesforce(method, name, happens)


@FUZZ
@given(name=objects, response=replies)
def test_each_reader_answers_or_raises_a_salesforce_problem_and_invents_no_record(
    name: ObjectName, response: Response
) -> None:
    fields = {"LastName": "Okafor", "Email": "x"}
    record = Record(object=name, key="k", fields=fields, derived=frozenset({"Email"}))
    read_api_usage(response.headers)
    read_faults(read_json(response.body), status=response.status, object_name=name)
    for problem in (
        read_org_problem(response, key_field=KEY),
        read_created(response, key_field=KEY, record=record).problem,
        read_created_case(response, key_field=KEY, record=record).problem,
    ):
        if problem is not None:
            assert derived_at_fault(problem, record) <= {"Email"}
            assert problem.existing_id is None or ID.fullmatch(problem.existing_id)
    with contextlib.suppress(SalesforceProblem):
        many = read_collection(response, key_field=KEY, records=[record, record])
        assert len(many) == 2
        assert all(one.created is None or ID.fullmatch(one.created.id) for one in many)
    with contextlib.suppress(SalesforceProblem):
        found = read_found(response, key_field=KEY)
        assert found is None or ID.fullmatch(found.id)
