"""docs/postman.json: made from docs/openapi.yaml, and each of its requests works as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
import yaml

from sandbox.__main__ import API_KEY, LOOKUP_KEY, PORT
from sandbox.stack import Stack
from tests.conftest import PATIENT
from tools.postman import DESCRIPTION, PATH, written

COLLECTION = json.loads(PATH.read_text(encoding="utf-8"))
REQUESTS = [
    pytest.param(item["request"], id=item["name"])
    for folder in COLLECTION["item"]
    for item in folder["item"]
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(poll=False, parameters={**PATIENT, "CustomerLookup": "on"}) as stack:
        yield stack


def test_the_file_is_what_the_tool_writes() -> None:
    assert PATH.read_text(encoding="utf-8") == written(), "run python -m tools.postman"


def test_every_operation_is_there_once_for_each_example() -> None:
    described = yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))
    expected = {
        (method.upper(), re.sub(r"{(\w+)}", r":\1", path))
        for path, operations in described["paths"].items()
        for method in operations
    }
    found = {(r.values[0]["method"], "/" + "/".join(r.values[0]["url"]["path"])) for r in REQUESTS}
    assert found == expected
    for folder in COLLECTION["item"]:
        names = [item["name"] for item in folder["item"]]
        assert len(set(names)) == len(names)


def test_the_variables_are_those_of_the_local_stack() -> None:
    values = {one["key"]: one["value"] for one in COLLECTION["variable"]}
    assert values == {
        "baseUrl": f"http://127.0.0.1:{PORT}/v1",
        "apiKey": API_KEY,
        "lookupKey": LOOKUP_KEY,
    }


def send(stack: Stack, request: dict[str, Any]) -> Any:
    """Send it as Postman does: variables replaced, disabled parts left out."""
    url = request["url"]["raw"].replace("{{baseUrl}}", stack.url)
    for one in request["url"].get("variable", ()):
        url = url.replace(f":{one['key']}", one["value"])
    headers = {one["key"]: one["value"] for one in request["header"] if not one.get("disabled")}
    auth = request.get("auth", COLLECTION["auth"])
    if auth["type"] == "apikey":
        given = {one["key"]: one["value"] for one in auth["apikey"]}
        assert given["in"] == "header"
        key = given["value"].replace("{{apiKey}}", stack.api_key)
        headers[given["key"]] = key.replace("{{lookupKey}}", stack.lookup_key)
    body = request.get("body", {}).get("raw")
    return urllib3.request(
        request["method"], url, body=body, headers=headers, retries=False, timeout=30
    )


@pytest.mark.parametrize("request_", REQUESTS)
def test_each_request_works(stack: Stack, request_: dict[str, Any]) -> None:
    response = send(stack, request_)
    if request_.get("auth", {}).get("type") == "noauth":
        assert response.status == 401, "a webhook has to be signed"
    elif request_["method"] == "GET" and "key" in request_["url"]["raw"]:
        assert response.status in (200, 404) and response.json()["outcome"] in (
            "created",
            "exists",
            "unknown",
        )
    elif request_["method"] == "PATCH":
        assert response.json()["outcome"] in ("updated", "queued", "rejected"), response.json()
    elif "customers" in request_["url"]["raw"]:
        assert response.json()["outcome"] in ("known", "several", "unknown")
    else:
        assert response.json()["outcome"] in ("created", "exists"), response.json()
