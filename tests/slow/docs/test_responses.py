"""Every example of docs/api.md and README.md is run, and its response is the one that is shown."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.__main__ import API_KEY, PORT
from tests.slow.docs.alike import differences
from tests.slow.docs.conftest import World
from tests.slow.docs.pages import Fence, codes, exchanges, fences, table

EXAMPLES = [
    one
    for page in ("README.md", "docs/api.md")
    for one in fences(page)
    if one.language == "console"
]


@contextlib.contextmanager
def nothing_wrong(world: World) -> Iterator[None]:
    yield


@contextlib.contextmanager
def a_validation_rule(world: World) -> Iterator[None]:
    world.org.add_validation_rule(
        "Lead", lambda record: not record.get("Email"), "Please enter an e-mail address."
    )
    yield


@contextlib.contextmanager
def a_duplicate_rule(world: World) -> Iterator[None]:
    world.org.set_duplicate_rule("Lead")
    twin = {"LastName": "Twin", "Email": "twin@example.org"}
    assert world.stack.request("POST", "/leads", twin).status == 201
    yield


@contextlib.contextmanager
def an_outage(world: World) -> Iterator[None]:
    with world.stack.outage():
        yield


@contextlib.contextmanager
def an_outage_and_no_queue(world: World) -> Iterator[None]:
    world.stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")
    with world.stack.outage():
        yield


@contextlib.contextmanager
def a_function_dies(world: World) -> Iterator[None]:
    world.org.trouble.add(silence="before", method="POST")
    function = world.stack.functions["create_lead"]

    def kill_it() -> None:
        while not ended.wait(0.05):
            function.kill(busy_only=True)

    ended = threading.Event()
    thread = threading.Thread(target=kill_it)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def too_many_requests(world: World) -> Iterator[None]:
    plan = world.output("UsagePlanId")

    def limit(rate: int, burst: int) -> None:
        limits = {"/throttle/rateLimit": str(rate), "/throttle/burstLimit": str(burst)}
        world.stack.client("apigateway").update_usage_plan(
            usagePlanId=plan,
            patchOperations=[
                {"op": "replace", "path": path, "value": value} for path, value in limits.items()
            ],
        )

    rate, burst = world.stack.deployment.throttle
    limit(0, 1)
    try:
        assert world.stack.request("GET", "/leads/nobody").status == 404
        yield
    finally:
        limit(int(rate), burst)


WHILE: dict[str, Callable[[World], contextlib.AbstractContextManager[None]]] = {
    "while: an outage": an_outage,
    "while: a validation rule wants an e-mail address": a_validation_rule,
    "while: a duplicate rule finds the e-mail address": a_duplicate_rule,
    "while: an outage, and no queue": an_outage_and_no_queue,
    "while: a function dies": a_function_dies,
    "while: too many requests": too_many_requests,
}


def status_of(fence: Fence) -> int:
    """The status on the page: in bold before the example, or in the comment before it."""
    found = re.search(r"\*\*(\d{3})\*\*", fence.before) or re.fullmatch(r"(\d{3})", fence.comment)
    assert found, f"{fence.name} has no status"
    return int(found[1])


def replay(world: World, fence: Fence) -> list[tuple[int, Any, Any]]:
    """Run an example: status, the response that is shown, and the actual one, of each command."""
    results = []
    for number, (typed, shown) in enumerate(exchanges(fence.text)):
        typed = typed.replace(f"http://127.0.0.1:{PORT}/v1", world.stack.url)
        typed = typed.replace(API_KEY, world.stack.api_key)
        out = world.shell.must(typed)
        if not shown:
            continue
        body, _, status = out.rpartition("\n")
        expected = json.loads(shown)
        first = number == 0 or not results
        wanted = status_of(fence) if first else expected["status"]
        assert int(status) == wanted, body
        results.append((int(status), expected, json.loads(body)))
    assert results, f"{fence.name} shows no response"
    return results


@pytest.fixture
def reader(world: World) -> World:
    world.shell.set(API=world.stack.url, API_KEY=world.stack.api_key)
    return world


@pytest.mark.parametrize("page", sorted({one.page for one in EXAMPLES}))
def test_every_response_on_the_page_is_the_actual_one(reader: World, page: str) -> None:
    shown = [one for one in EXAMPLES if one.page == page]
    for fence in shown:
        with WHILE.get(fence.comment, nothing_wrong)(reader):
            for _, expected, actual in replay(reader, fence):
                assert differences(expected, actual) == [], fence.name
        # Nothing is wrong when the next example is run; records stay.
        reader.stack.aws.heal()
        reader.org.trouble.clear()
        reader.org.clear_rules()
    assert reader.org.keys_twice() == {}


def test_every_outcome_and_status_of_the_table_is_shown_by_an_example() -> None:
    rows = table("docs/api.md", "What comes back", "status", "`outcome`").rows
    shown = {
        (status_of(one), json.loads(response)["outcome"])
        for one in EXAMPLES
        if one.page == "docs/api.md"
        for _, response in list(exchanges(one.text))[:1]
    }
    for row in rows:
        (outcome,) = codes(row[1])
        for status in re.findall(r"\w+", row[0]):
            assert any(
                outcome == what and re.fullmatch(status.replace("x", r"\d"), str(number))
                for number, what in shown
            ), row


def test_the_responses_have_the_keys_that_the_table_names() -> None:
    rows = table("docs/api.md", "What comes back", "status", "`outcome`").rows
    keys = {codes(row[1])[0]: set(codes(row[3])) for row in rows}
    keys["exists"] |= keys["created"]
    for fence in EXAMPLES:
        for _, response in exchanges(fence.text):
            if not response or fence.page != "docs/api.md":
                continue
            body = json.loads(response)
            named = keys[body["outcome"]] | {"outcome", "warnings"}
            if body["outcome"] in ("rejected", "failed", "unknown"):
                named |= keys["rejected"] | {"type", "object", "key"}
            assert set(body) <= named, fence.name
