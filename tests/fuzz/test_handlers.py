"""Whatever comes in, and whatever Salesforce says: an answer in our shape, in time, nothing lost.

Events and answers are made up by Hypothesis, near the shapes that are usual and far from them.
`bad input` never ends in a 5xx nor in `unexpected_error`, which is what a fault of ours becomes.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.api import RecordApi
from bridge.aws import FunctionError
from bridge.creation import RecordCreator
from bridge.errors import NoAnswer, Unreachable
from bridge.http import Answer
from bridge.outbox import Queues
from bridge.records import ObjectName
from bridge.salesforce import Salesforce
from bridge.settings import Settings
from bridge.signatures import SignatureGate, SigningKeys
from bridge.telemetry import Telemetry
from bridge.tokens import Sessions
from tests.conftest import ENVIRON
from tests.unit.doubles import KEY, Call, Scripted, SmallAws, SmallOrg

BUDGET_SECONDS = 2.0

FUZZ = hypothesis_settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

OBJECTS: list[ObjectName | None] = ["Lead", "Case", None]


class Listening(Telemetry):
    """Remembers the faults of ours that were answered as 503."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[BaseException] = []

    def alarm(self, name: str, *, error: BaseException, **said: Any) -> None:
        if name == "unexpected_error":
            self.faults.append(error)


@dataclass
class Context:
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 20_000


class Keyed(SmallAws):
    """AWS with a signing key, and a RefreshToken that brings a new token each time."""

    def __init__(self) -> None:
        super().__init__()
        self.generation = 1
        self.publish("token-1", 1)
        self.refresh = self._refresh

    def get_secret(self, secret_id: str, *, deadline: Any) -> str:
        return '{"keys": ["a key that nobody else knows"]}'

    def _refresh(self, payload: Any) -> Any:
        self.generation += 1
        if self.generation > 3:
            return FunctionError("Unavailable", "not now")
        self.publish("token-1", self.generation)
        return {"generation": self.generation, "refreshed": True}


class Stand:
    """One function's API between made-up events and made-up answers."""

    def __init__(
        self, object_name: ObjectName | None, org: Scripted, *, scheme: str = "none"
    ) -> None:
        changed = {"SIGNATURE_SCHEME": scheme, "RESPONSE_BUDGET_SECONDS": str(BUDGET_SECONDS)}
        settings = Settings.from_environ({**ENVIRON, **changed})
        self.settings = settings
        self.aws = Keyed()
        self.telemetry = Listening()
        gate = None
        if scheme != "none" or object_name is None:
            keys = SigningKeys(aws=self.aws, settings=settings)
            gate = SignatureGate(keys=keys, settings=settings)
        creator = RecordCreator(
            salesforce=Salesforce(http=org, settings=settings),
            sessions=Sessions(aws=self.aws, settings=settings),
            queues=Queues(aws=self.aws, settings=settings),
            settings=settings,
            telemetry=self.telemetry,
        )
        self.api = RecordApi(
            object_name, creator=creator, settings=settings, telemetry=self.telemetry, gate=gate
        )

    def answer(self, event: Any) -> tuple[int, dict[str, Any]]:
        started = time.monotonic()
        reply = self.api.answer(event, Context())
        assert time.monotonic() - started < BUDGET_SECONDS + 1.5
        if self.telemetry.faults:
            raise self.telemetry.faults[0]
        assert set(reply) == {"statusCode", "headers", "body", "isBase64Encoded"}
        for name, value in reply["headers"].items():
            assert not set("\r\n") & set(name + value)
        said = json.loads(reply["body"])
        assert all(isinstance(value, (str, int, bool)) for value in said.values())
        assert "Traceback" not in reply["body"]
        json.dumps(reply, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
        return int(reply["statusCode"]), said

    def kept(self) -> int:
        return sum(len(bodies) for bodies in self.aws.queues.values())


# Events

texts = st.text(max_size=30) | st.sampled_from(
    ["", "\r\nSet-Cookie: a=b", "{{x}}", "\x00", "\ud83d", "a" * 300, "https://x/?a=1", "wamid.A=="]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    [
        "LastName",
        "Company",
        "Email",
        "Phone",
        "Description",
        "OwnerId",
        "bird",
        "Bird_Key__c",
        "attributes",
        "Id",
        "Subject",
        "channel",
        "sender",
        "text",
        "messageId",
        "displayName",
        "tags",
        "payload",
        "message",
        "type",
        "from",
        "contact",
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
        "Content-Type",
        "content-type",
        "Idempotency-Key",
        "Prefer",
        "X-Api-Key",
        "MessageBird-Signature-JWT",
        "messagebird-signature",
        "messagebird-request-timestamp",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
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

    status, said = stand.answer(event)

    assert status < 500, said
    if scheme != "none" and event["httpMethod"] == "POST":
        assert not org.rows, "nobody signed it"


@pytest.mark.parametrize("name", OBJECTS)
@hypothesis_settings(FUZZ, max_examples=50)
@given(event=values)
def test_what_is_no_event_at_all_is_answered_too(name: ObjectName | None, event: Any) -> None:
    status, _ = Stand(name, SmallOrg()).answer(event)
    assert 400 <= status < 500


# Salesforce's answers

codes = st.sampled_from(
    [
        "DUPLICATE_VALUE",
        "INVALID_SESSION_ID",
        "REQUIRED_FIELD_MISSING",
        "DUPLICATES_DETECTED",
        "INVALID_FIELD",
        "NOT_FOUND",
        "UNABLE_TO_LOCK_ROW",
        "REQUEST_LIMIT_EXCEEDED",
        "API_DISABLED_FOR_ORG",
        "UNKNOWN_EXCEPTION",
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "STORAGE_LIMIT_EXCEEDED",
        "SOMETHING_NEW",
    ]
)
entries = st.dictionaries(
    st.sampled_from(
        [
            "errorCode",
            "statusCode",
            "message",
            "fields",
            "duplicateResult",
            "id",
            "success",
            "errors",
        ]
    ),
    values | codes | st.just(f"duplicate value found: {KEY} duplicates value on record with id: x"),
    max_size=5,
)
parts = st.fixed_dictionaries(
    {
        "referenceId": st.sampled_from(["create", "find"]) | values,
        "httpStatusCode": st.sampled_from([200, 201, 300, 400, 404, 500]) | values,
        "body": values | entries | st.lists(entries, max_size=2),
    }
)
said_by_salesforce = (
    values
    | entries
    | st.lists(entries, max_size=3)
    | st.fixed_dictionaries({"compositeResponse": st.lists(parts, max_size=3) | values})
    | st.fixed_dictionaries({"records": st.lists(entries, max_size=2) | values})
).map(lambda said: json.dumps(said).encode())
answers = st.builds(
    Answer,
    st.sampled_from([200, 201, 204, 300, 302, 400, 401, 403, 404, 405, 409, 415, 429, 500, 503]),
    st.dictionaries(
        st.sampled_from(["Sforce-Limit-Info", "Location", "x-sfdc-request-id"]),
        texts | st.just("api-usage=1/0"),
    ),
    said_by_salesforce | st.binary(max_size=40) | st.just(b"<html>"),
)
happenings = answers | st.sampled_from([NoAnswer("broke off"), Unreachable("cannot be reached")])


class MadeUp(Scripted):
    """Gives the answers of a list, then the last one for ever."""

    def __init__(self, happens: list[Answer | Exception]) -> None:
        super().__init__(self._next)
        self._left = list(happens)

    def _next(self, call: Call) -> Answer:
        happens = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        if isinstance(happens, Exception):
            raise happens
        return happens


@pytest.mark.parametrize("name", ["Lead", "Case"])
@FUZZ
@given(happens=st.lists(happenings, min_size=1, max_size=6))
@example(happens=[Answer(201, {}, b'{"id": "short"}')])
def test_no_answer_of_salesforce_s_loses_a_record(
    name: ObjectName, happens: list[Answer | Exception]
) -> None:
    stand = Stand(name, MadeUp(happens))
    body = {"LastName": "Okafor", "bird": {"channel": "sms", "text": "t", "sender": "+31612345678"}}
    event = {"httpMethod": "POST", "path": "/x", "body": json.dumps(body), "headers": {}}

    status, said = stand.answer(event)

    assert status in (200, 201, 202, 409, 422), said
    if status in (200, 201):
        assert said["id"]
    else:
        assert stand.kept() == 1
        queue = stand.settings.outbox_url if status == 202 else stand.settings.rejected_url
        assert stand.aws.queues.keys() == {queue}


@pytest.mark.parametrize("name", ["Lead", "Case"])
@FUZZ
@given(happens=st.lists(happenings, min_size=1, max_size=4))
def test_a_look_up_that_salesforce_spoils_is_404_or_try_again(
    name: ObjectName, happens: list[Answer | Exception]
) -> None:
    stand = Stand(name, MadeUp(happens))
    event = {"httpMethod": "GET", "path": "/x/k", "pathParameters": {"key": "k"}, "headers": {}}

    status, _ = stand.answer(event)

    assert status in (200, 404, 503)
