"""docs/openapi.yaml against template, code and answers, and docs/postman.json, made from it.

Random requests are sent by schemathesis in tests/slow/fuzz.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
import urllib3
import yaml
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from bridge.bird.message import KEYS
from sandbox.__main__ import API_KEY, LOOKUP_KEY, PORT
from sandbox.stack import Response, Stack
from tests.unit import bodies
from tools import postman
from tools.template import ROOT, Attributes, Deployment, Template

DESCRIPTION: dict[str, Any] = yaml.safe_load(
    (ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8")
)
OPERATIONS = {
    (method.upper(), path): operation
    for path, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
}


def resolved(part: Any) -> Any:
    while isinstance(part, dict) and "$ref" in part:
        found: Any = DESCRIPTION
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def fits(method: str, path: str, reply: Response) -> None:
    """Fails unless the answer is one that the description allows for this operation."""
    responses = OPERATIONS[method, path]["responses"]
    assert str(reply.status) in responses, f"{method} {path}: {reply.status} is not described"
    response = resolved(responses[str(reply.status)])
    content_type = reply.headers["Content-Type"].split(";")[0]
    assert content_type in response["content"], f"{reply.status}: {content_type}"
    for name in response.get("headers", {}):
        assert name in reply.headers
    schema = {
        **response["content"][content_type]["schema"],
        "components": DESCRIPTION["components"],
    }
    OAS31Validator(schema).validate(reply.json())


def test_the_description_is_one() -> None:
    validate(DESCRIPTION)
    assert DESCRIPTION["openapi"].startswith("3.1")


def test_it_describes_the_routes_that_are_deployed_and_the_gateway_s_own_answers() -> None:
    def make(logical_id: str, kind: str, properties: Mapping[str, Any]) -> Attributes:
        return {"Ref": logical_id, "Arn": f"arn:{logical_id}", "RootResourceId": "root"}

    deployment = Deployment(Template.load(), stack_name="stack", parameters={}, make=make)
    assert set(OPERATIONS) == {(one.method, one.path) for one in deployment.routes}
    for one in deployment.routes:
        security = OPERATIONS[one.method, one.path].get("security", DESCRIPTION["security"])
        assert (security == [{"apiKey": []}]) is one.needs_api_key
    described = {int(s) for one in OPERATIONS.values() for s in one["responses"]}
    problem = DESCRIPTION["components"]["schemas"]["Problem"]
    schema = {**problem, "components": DESCRIPTION["components"]}
    for kind, response in deployment.gateway_responses.items():
        assert response.status in described, kind
        assert response.body is not None
        OAS31Validator(schema).validate(json.loads(response.body))


def test_what_bird_may_hold_is_what_is_read_of_it() -> None:
    described = DESCRIPTION["components"]["schemas"]["Bird"]["properties"]
    assert {name.lower() for name in described} == KEYS - {"name"}


def test_every_outcome_is_described() -> None:
    """The pages that explain them are compared in tests/slow/docs/test_tables.py."""
    schemas = [one.get("properties", {}) for one in DESCRIPTION["components"]["schemas"].values()]
    outcomes = [schema["outcome"] for schema in schemas if "outcome" in schema]
    assert {name for one in outcomes for name in one.get("enum") or [one["const"]]} == {
        *("created", "exists", "updated", "queued", "ignored", "rejected", "failed"),
        *("unknown", "known", "several"),
    }


def test_every_kind_of_answer_is_as_described(stack: Stack) -> None:
    message = {"bird": {"channel": "viber", "messageId": "m-1", "sender": "+447700900142"}}

    def seen(method: str, path: str, *, status: int, **more: Any) -> Any:
        reply = stack.request(method, path, **more)
        assert reply.status == status, reply.body
        fits(method, re.sub(r"\?.*", "", path).replace("/m-1", "/{key}"), reply)
        return reply.json()

    assert "number" in seen("POST", "/cases", body=message, status=201)
    seen("POST", "/cases", body=message, status=200)
    seen("GET", "/cases/m-1", status=200)
    seen("GET", "/cases?key=m-1", status=200)
    seen("GET", "/leads/m-1", status=404)
    seen("GET", "/leads/m-1?errors=inline", status=200)
    seen("GET", "/leads", status=400)
    rating = {"Priority": "High"}
    assert "number" in seen("PATCH", "/cases/m-1", body=rating, status=200)
    seen("PATCH", "/leads/m-1", body={"Rating": "Hot"}, status=202)
    seen("PATCH", "/cases/m-1", body={"Status": "Closed", "Nope__c": "x"}, status=422)
    left_out = {"Status": "Closed", "OwnerId": "x"}
    assert seen("PATCH", "/cases/m-1", body=left_out, status=200)["notWritten"] == "OwnerId"
    seen("PATCH", "/cases/m-1", body={}, status=400)
    seen("POST", "/leads", body=message, headers={"prefer": "respond-async"}, status=202)
    seen("POST", "/messages", body=bodies.v1(direction="sent"), status=200)
    seen("POST", "/messages", body={"LastName": "x"}, status=400)
    seen("POST", "/messages?errors=inline", body={"LastName": "x"}, status=200)
    seen("GET", "/messages", status=400)
    seen("POST", "/webhooks/bird", body=bodies.channels(), status=401)
    seen("GET", "/webhooks/bird", status=401)
    seen("POST", "/leads", body={"Company": "x"}, status=422)
    seen("POST", "/leads", body=message, api_key=None, status=403)
    seen("POST", "/leads", body=b"x" * (10 * 1024 * 1024 + 1), status=413)
    someone = {"bird": {"channel": "sms", "sender": "+14155550123"}}
    seen("POST", "/customers/find", body=someone, status=403)
    key = {"api_key": stack.lookup_key}
    seen("POST", "/customers/find", body=someone, status=200, **key)
    stack.org.create("Contact", {"LastName": "C", "Phone": "+14155550123"})
    assert seen("POST", "/customers/find", body=someone, status=200, **key)["outcome"] == "known"
    seen("POST", "/customers/find", body={}, status=400, **key)
    stack.org.set_duplicate_rule("Lead")
    one = {"LastName": "Twin", "Company": "C", "Email": "twin@example.org"}
    seen("POST", "/leads", body=one, status=201)
    seen("POST", "/leads", body=one, status=409)
    with stack.outage():
        seen("GET", "/leads/m-1", status=503)
        stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")
        seen("POST", "/leads", body=one, status=503)


# The collection for Postman

COLLECTION = json.loads(postman.PATH.read_text(encoding="utf-8"))
REQUESTS = [
    pytest.param(item["request"], id=item["name"])
    for folder in COLLECTION["item"]
    for item in folder["item"]
]


def test_the_collection_is_what_the_tool_writes_of_every_operation() -> None:
    assert postman.PATH.read_text(encoding="utf-8") == postman.written(), "python -m tools.postman"
    requests = [one.values[0] for one in REQUESTS]
    found = {(one["method"], "/" + "/".join(one["url"]["path"])) for one in requests}
    assert found == {(method, re.sub(r"{(\w+)}", r":\1", path)) for method, path in OPERATIONS}
    assert {one["key"]: one["value"] for one in COLLECTION["variable"]} == {
        "baseUrl": f"http://127.0.0.1:{PORT}/v1",
        "apiKey": API_KEY,
        "lookupKey": LOOKUP_KEY,
    }, "those of the local stack"


@pytest.mark.parametrize("request_", REQUESTS)
def test_each_request_of_the_collection_works_as_it_stands(
    stack: Stack, request_: dict[str, Any]
) -> None:
    """It is sent as Postman does: variables replaced, disabled parts left out."""
    values = {"apiKey": stack.api_key, "lookupKey": stack.lookup_key, "baseUrl": stack.url}

    def filled(text: str) -> str:
        return re.sub(r"{{(\w+)}}", lambda name: values[name[1]], text)

    url = filled(request_["url"]["raw"])
    for one in request_["url"].get("variable", ()):
        url = url.replace(f":{one['key']}", one["value"])
    headers = {one["key"]: one["value"] for one in request_["header"] if not one.get("disabled")}
    auth = request_.get("auth", COLLECTION["auth"])
    if auth["type"] == "apikey":
        given = {one["key"]: one["value"] for one in auth["apikey"]}
        assert given["in"] == "header"
        headers[given["key"]] = filled(given["value"])
    body = request_.get("body", {}).get("raw")
    response = urllib3.request(
        request_["method"], url, body=body, headers=headers, retries=False, timeout=30
    )
    if auth["type"] == "noauth":
        assert response.status == 401, "a webhook has to be signed"
    else:
        assert response.json()["outcome"] not in ("failed", "ignored"), response.json()
