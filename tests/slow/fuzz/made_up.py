"""What Hypothesis makes up: texts and JSON that are odd, and what Salesforce might ever answer."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.http import NoConnection, NoResponse, Response
from tests.slow.fuzz.harness import Happening
from tests.unit.doubles import KEY

FUZZ = hypothesis_settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

texts = st.text(max_size=30) | st.sampled_from(
    ["", "\r\nSet-Cookie: a=b", "{{x}}", "\x00", "\ud83d", "a" * 300, "https://x/?a=1", "wamid.A=="]
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
ids = st.sampled_from(["00Q8d0000000001AAA", "5008d0000000001AAA", "00Q8d0000000001", "short", ""])

codes = st.sampled_from(
    [
        *("DUPLICATE_VALUE", "INVALID_SESSION_ID", "REQUIRED_FIELD_MISSING"),
        *("DUPLICATES_DETECTED", "INVALID_FIELD", "NOT_FOUND", "UNABLE_TO_LOCK_ROW"),
        *("REQUEST_LIMIT_EXCEEDED", "API_DISABLED_FOR_ORG", "UNKNOWN_EXCEPTION"),
        *("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "STORAGE_LIMIT_EXCEEDED", "SOMETHING_NEW"),
    ]
)
matches = st.fixed_dictionaries(
    {
        "matchResults": values
        | st.lists(
            st.fixed_dictionaries(
                {
                    "entityType": st.just("Lead") | values,
                    "matchRecords": values
                    | st.lists(st.fixed_dictionaries({"record": values | st.just({"Id": "x"})})),
                }
            ),
            max_size=2,
        )
    }
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "errorCode": codes | values,
        "statusCode": codes | values,
        "message": values
        | st.just(f"duplicate value found: {KEY} duplicates value on record with id: <unknown>")
        | st.just(f"duplicate value found: {KEY} … with id: 00Q8d0000000001")
        | st.just("Zażółć is no e-mail of Anna Berg's"),
        "fields": st.lists(st.sampled_from(["Email", KEY]) | values, max_size=2) | values,
        "duplicateResult": matches | values,
        "id": ids | values,
        "success": st.booleans() | values,
        "errors": values,
    },
)
parts = st.fixed_dictionaries(
    {
        "referenceId": st.sampled_from(["create", "find"]) | values,
        "httpStatusCode": st.sampled_from([200, 201, 300, 400, 404, 500]) | values,
        "body": values | entries | st.lists(entries, max_size=2),
    }
)
salesforce_bodies = (
    values
    | entries
    | st.lists(entries, max_size=3)
    | st.fixed_dictionaries({"compositeResponse": st.lists(parts, max_size=3) | values})
    | st.fixed_dictionaries({"records": st.lists(entries, max_size=2) | values})
).map(lambda value: json.dumps(value).encode())
replies = st.builds(
    Response,
    st.sampled_from([200, 201, 204, 300, 302, 400, 401, 403, 404, 405, 409, 415, 429, 500, 503]),
    st.dictionaries(
        st.sampled_from(["Sforce-Limit-Info", "Location", "x-sfdc-request-id"]),
        texts | st.sampled_from(["api-usage=1/0", "api-usage=" + "9" * 5000 + "/1"]),
    ),
    salesforce_bodies
    | st.binary(max_size=40)
    | st.sampled_from([b"<html>", b"[" * 100_000, b'{"id": ' + b"[" * 300 + b"]" * 300 + b"}"]),
)
happenings = st.builds(
    Happening,
    replies | st.sampled_from([NoResponse("broke off"), NoConnection("cannot be reached")]),
    st.just(0.0) | st.floats(0, 60),
)
