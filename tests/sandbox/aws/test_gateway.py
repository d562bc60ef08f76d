"""The local API Gateway: what a flow sends arrives as AWS would hand it on, and the limits hold."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from sandbox.aws.throttling import TokenBucket
from sandbox.stack import Response, Stack

from .conftest import throwaway_stack, wait_for


def problem(reply: Response) -> dict[str, Any]:
    """The body of an answer that the gateway itself gave."""
    assert reply.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = reply.json()
    assert (body["outcome"], body["success"], body["kept"]) == ("failed", False, False)
    assert body["status"] == reply.status
    return body


def event_of(reply: Response) -> dict[str, Any]:
    assert reply.status == 200, reply.body
    event: dict[str, Any] = reply.json()["event"]
    return event


@pytest.mark.parametrize("key", [None, "wrong", " "])
def test_nobody_comes_in_without_the_api_key(stack: Stack, key: str | None) -> None:
    reply = stack.request("POST", "/leads", {}, api_key=key)
    assert reply.status == 403
    assert problem(reply)["code"] == "INVALID_API_KEY"


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/leads"), ("POST", "/lead"), ("GET", "/"), ("POST", "/leads/"), ("DELETE", "/cases")],
)
def test_what_is_not_a_route_is_not_found(stack: Stack, method: str, path: str) -> None:
    reply = stack.request(method, path)
    assert reply.status == 404
    assert problem(reply)["code"] == "NO_SUCH_ROUTE"


def test_a_request_becomes_the_event_of_a_rest_api(stack: Stack) -> None:
    before = time.time() * 1000
    event = event_of(
        stack.request(
            "POST",
            "/leads?a=1&a=2&empty=&u=%C3%BC",
            {"LastName": "Müller 🦜"},
            headers={"X-Two": "words, here", "Idempotency-Key": "k-1"},
        )
    )
    assert set(event) == {
        *("resource", "path", "httpMethod", "headers", "multiValueHeaders"),
        *("queryStringParameters", "multiValueQueryStringParameters", "pathParameters"),
        *("stageVariables", "requestContext", "body", "isBase64Encoded"),
    }
    assert (event["httpMethod"], event["path"], event["resource"]) == ("POST", "/leads", "/leads")
    assert event["queryStringParameters"] == {"a": "2", "empty": "", "u": "ü"}
    assert event["multiValueQueryStringParameters"]["a"] == ["1", "2"]
    assert event["pathParameters"] is None
    assert json.loads(event["body"]) == {"LastName": "Müller 🦜"}
    assert event["isBase64Encoded"] is False
    assert event["headers"]["x-two"] == "words, here"
    assert event["multiValueHeaders"]["x-two"] == ["words, here"]
    assert event["headers"]["X-Forwarded-Proto"] == "https"
    context = event["requestContext"]
    assert context["stage"] == "v1"
    assert context["path"] == "/v1/leads"
    assert context["resourcePath"] == "/leads"
    assert context["identity"]["apiKey"] == stack.api_key
    assert before - 1 <= context["requestTimeEpoch"] <= time.time() * 1000
    assert len(context["requestId"]) == 36
    by_key = event_of(stack.request("GET", "/cases/wamid.a%20b%2Fc"))
    assert (by_key["resource"], by_key["body"]) == ("/cases/{key}", None)
    assert by_key["pathParameters"] == {"key": "wamid.a b/c"}


def test_the_api_answers_with_and_without_its_stage_in_front(stack: Stack) -> None:
    import urllib3

    for url in (stack.url, stack.url.removesuffix("/v1")):
        reply = urllib3.request("GET", url + "/leads", headers={"x-api-key": stack.api_key})
        assert reply.status == 200


def test_bytes_that_are_no_text_arrive_damaged_as_in_a_rest_api_without_binary_types(
    stack: Stack,
) -> None:
    event = event_of(stack.request("POST", "/leads", b"\xff\xfe"))
    assert event["body"] == "\ufffd\ufffd"
    assert event["isBase64Encoded"] is False


def test_a_body_in_chunks_is_read(stack: Stack) -> None:
    host, port = stack.gateway.server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            f"POST /v1/leads HTTP/1.1\r\nHost: x\r\nx-api-key: {stack.api_key}\r\n"
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            '7\r\n{"a": 1\r\n1\r\n}\r\n0\r\n\r\n'.encode()
        )
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    event = json.loads(received.split(b"\r\n\r\n", 1)[1])["event"]
    assert json.loads(event["body"]) == {"a": 1}


@pytest.mark.parametrize(
    "length", [10 * 1024 * 1024 + 1, 6 * 1024 * 1024], ids=["API Gateway's limit", "Lambda's limit"]
)
def test_a_body_may_be_too_large(stack: Stack, length: int) -> None:
    reply = stack.request("POST", "/leads", b"x" * length)
    assert reply.status == 413
    assert problem(reply)["code"] == "REQUEST_TOO_LARGE"


@pytest.mark.parametrize(
    "reply",
    [
        "text",
        ["a", "list"],
        {"statusCode": "many"},
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": 200, "headers": ["no", "object"]},
        {"statusCode": 200, "headers": {"X": "a\r\nSet-Cookie: b"}},
        {"statusCode": 200, "cookies": []},
        {"statusCode": 200, "body": "no base64!", "isBase64Encoded": True},
    ],
)
def test_an_answer_that_is_no_proxy_response_is_a_bad_gateway(stack: Stack, reply: Any) -> None:
    response = stack.request("POST", "/leads", {"response": reply})
    assert response.status == 502
    assert problem(response)["code"] == "NO_ANSWER"
    assert response.headers["Retry-After"]


def test_a_function_s_answer_arrives_as_it_was_given(stack: Stack) -> None:
    reply = stack.request(
        "POST",
        "/leads",
        {
            "response": {
                "statusCode": 201,
                "headers": {"X-One": "1", "Content-Type": "text/plain; charset=utf-8"},
                "multiValueHeaders": {"X-Many": ["a", "b"]},
                "body": "naïve 🦜",
            }
        },
    )
    assert reply.status == 201
    assert reply.body.decode() == "naïve 🦜"
    assert reply.headers["X-One"] == "1"
    assert reply.headers["X-Many"] == "a, b"
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("what", [{"raise": "secret words"}, {"exit": 3}])
def test_a_function_that_fails_is_a_bad_gateway_that_tells_nothing(
    stack: Stack, what: dict[str, Any]
) -> None:
    reply = stack.request("POST", "/leads", what)
    assert reply.status == 502
    assert "secret" not in reply.body.decode()
    assert problem(reply)["code"] == "NO_ANSWER"
    assert stack.request("POST", "/leads", {}).status == 200, "the next one is served"


def test_a_slow_function_is_a_gateway_timeout_and_goes_on() -> None:
    with throwaway_stack(integration_seconds=0.7, processes=1) as stack:
        stack.request("GET", "/leads")
        began = time.monotonic()
        reply = stack.request("POST", "/leads", {"sleep": 1.2, "print": "went on"})
        assert reply.status == 504
        assert problem(reply)["code"] == "NO_ANSWER_IN_TIME"
        assert time.monotonic() - began < 1.1
        wait_for(lambda: not ("went on" not in stack.logs("create_lead")))
        assert "went on" in stack.logs("create_lead")
        assert stack.request("GET", "/leads").status == 200


def test_more_than_the_plan_allows_is_throttled() -> None:
    limits = {"ThrottleRate": "1", "ThrottleBurst": "3"}
    with throwaway_stack(parameters=limits) as stack:
        responses = [stack.request("GET", "/leads") for _ in range(6)]
        statuses = [reply.status for reply in responses]
        assert statuses[:3] == [200, 200, 200]
        assert 429 in statuses[3:]
        refused = next(reply for reply in responses if reply.status == 429)
        assert problem(refused)["code"] == "THROTTLED"
        assert refused.headers["Retry-After"] == "2"


def test_a_throttled_function_is_reported_as_no_answer_and_to_be_repeated(stack: Stack) -> None:
    with stack.account_used_up():
        reply = stack.request("POST", "/leads", {})
    assert reply.status == 502
    assert problem(reply)["code"] == "NO_ANSWER"
    assert reply.headers["Retry-After"] == "5"
    assert stack.request("POST", "/leads", {}).status == 200


def test_each_request_is_a_line_of_the_access_log_in_the_template_s_format() -> None:
    parameters = {"AccessLogs": "on", "ThrottleRate": "1", "ThrottleBurst": "1"}
    with throwaway_stack(parameters=parameters) as stack:
        stack.request("GET", "/leads/a?secret=b")
        stack.request("POST", "/leads", {})
        stack.request("POST", "/cases", {}, api_key=None)
        stack.request("GET", "/nowhere")
        lines = [json.loads(line) for line in stack.access_log().splitlines()]
        key_id = stack.deployment.resource("ApiKey")["Ref"]
    logged = [(one["method"], one["route"], one["status"], one["error"]) for one in lines]
    assert logged == [
        ("GET", "/leads/{key}", "200", "-"),
        ("POST", "/leads", "429", "THROTTLED"),
        ("POST", "/cases", "403", "INVALID_API_KEY"),
        ("GET", "-", "404", "MISSING_AUTHENTICATION_TOKEN"),
    ]
    assert [one["apiKeyId"] for one in lines] == [key_id, key_id, "-", "-"]
    assert "secret" not in json.dumps(lines)


def a_new_key(stack: Stack) -> tuple[str, str]:
    """The id and the value of a key that is under no plan yet."""
    made = stack.client("apigateway").create_api_key(name="partner", enabled=True)
    return made["id"], made["value"]


def let_in(stack: Stack, key_id: str) -> None:
    plan = stack.deployment.resource("UsagePlan")["Ref"]
    stack.client("apigateway").create_usage_plan_key(
        usagePlanId=plan, keyId=key_id, keyType="API_KEY"
    )


def test_a_key_counts_while_it_is_enabled_and_under_the_plan(stack: Stack) -> None:
    key_id, value = a_new_key(stack)
    client = stack.client("apigateway")

    def enable(value: str) -> None:
        change = [{"op": "replace", "path": "/enabled", "value": value}]
        client.update_api_key(apiKey=key_id, patchOperations=change)

    def status() -> int:
        return stack.request("GET", "/leads", api_key=value).status

    assert status() == 403
    let_in(stack, key_id)
    identity = event_of(stack.request("GET", "/leads", api_key=value))["requestContext"]["identity"]
    assert (identity["apiKeyId"], identity["apiKey"]) == (key_id, value)
    enable("false")
    assert status() == 403
    enable("true")
    assert status() == 200
    client.delete_api_key(apiKey=key_id)
    assert status() == 403
    assert stack.request("GET", "/leads").status == 200


def test_one_who_is_throttled_slows_nobody_else_down() -> None:
    limits = {"ThrottleRate": "1", "ThrottleBurst": "3"}
    with throwaway_stack(parameters=limits) as stack:
        key_id, value = a_new_key(stack)
        let_in(stack, key_id)
        assert 429 in [stack.request("GET", "/leads").status for _ in range(6)]
        assert stack.request("GET", "/leads", api_key=value).status == 200


def test_a_key_of_another_stack_opens_nothing(stack: Stack) -> None:
    with throwaway_stack() as other:
        assert other.request("GET", "/leads").status == 200
        assert stack.request("GET", "/leads", api_key=other.api_key).status == 403


def test_a_bucket_fills_again_at_its_rate() -> None:
    bucket = TokenBucket(rate=50, burst=1)
    assert bucket.take()
    assert not bucket.take()
    time.sleep(0.05)
    assert bucket.take()
