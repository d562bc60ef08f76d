"""Every example of docs/api.md and README.md is run, and its response is the one that is shown."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.__main__ import API_KEY, PORT
from tests.slow.docs.alike import differences
from tests.slow.docs.conftest import World, all_the_time
from tests.slow.docs.pages import Fence, codes, exchanges, fences, rows_of

PAGES = ("README.md", "docs/api.md")
EXAMPLES = {page: [one for one in fences(page) if one.language == "console"] for page in PAGES}
OUTCOMES = rows_of("docs/api.md", "What comes back", "status", "`outcome`")


def a_validation_rule(world: World) -> None:
    rule = "Please enter an e-mail address."
    world.org.add_validation_rule("Lead", lambda record: not record.get("Email"), rule)


def a_duplicate_rule(world: World) -> None:
    world.org.set_duplicate_rule("Lead")
    twin = {"LastName": "Twin", "Email": "twin@example.org"}
    assert world.stack.request("POST", "/leads", twin).status == 201


def no_queue(world: World) -> None:
    world.stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")


@contextlib.contextmanager
def a_function_dies(world: World) -> Iterator[None]:
    world.org.trouble.add(silence="before", method="POST")
    function = world.stack.functions["create_lead"]

    with all_the_time(lambda: function.kill(busy_only=True), seconds=0.05):
        yield


@contextlib.contextmanager
def too_many_requests(world: World) -> Iterator[None]:
    def limit(rate: str, burst: int) -> None:
        limits = {"/throttle/rateLimit": rate, "/throttle/burstLimit": str(burst)}
        world.stack.client("apigateway").update_usage_plan(
            usagePlanId=world.output("UsagePlanId"),
            patchOperations=[
                {"op": "replace", "path": path, "value": value} for path, value in limits.items()
            ],
        )

    rate, burst = world.stack.deployment.throttle
    limit("0", 1)
    try:
        assert world.stack.request("GET", "/leads/nobody").status == 404
        yield
    finally:
        limit(str(int(rate)), burst)


WHILE: dict[str, Callable[[World], contextlib.AbstractContextManager[None] | None]] = {
    "": lambda world: None,
    "while: an outage": lambda world: world.stack.outage(),
    "while: a validation rule wants an e-mail address": a_validation_rule,
    "while: a duplicate rule finds the e-mail address": a_duplicate_rule,
    "while: an outage, and no queue": lambda world: no_queue(world) or world.stack.outage(),
    "while: a function dies": a_function_dies,
    "while: too many requests": too_many_requests,
}


def status_of(fence: Fence) -> int:
    """The status on the page: in bold before the example, or in the comment before it."""
    found = re.search(r"\*\*(\d{3})\*\*", fence.before) or re.fullmatch(r"(\d{3})", fence.comment)
    assert found, f"{fence.name} has no status"
    return int(found[1])


def replay(world: World, fence: Fence) -> None:
    """Run an example: each command's response is the one that is shown."""
    wanted = status_of(fence)
    for typed, shown in exchanges(fence.text):
        typed = typed.replace(f"http://127.0.0.1:{PORT}/v1", world.stack.url)
        body, _, status = world.shell.must(typed.replace(API_KEY, world.stack.api_key)).rpartition(
            "\n"
        )
        if shown:
            expected = json.loads(shown)
            assert int(status) == (wanted or expected["status"]), body
            assert differences(expected, json.loads(body)) == [], fence.name
            wanted = 0  # further responses show their own
    assert not wanted, f"{fence.name} shows no response"


@pytest.mark.parametrize("page", PAGES)
def test_every_response_on_the_page_is_the_actual_one(world: World, page: str) -> None:
    world.shell.set(API=world.stack.url, API_KEY=world.stack.api_key)
    for fence in EXAMPLES[page]:
        happens = WHILE.get(fence.comment, WHILE[""])(world)
        with happens or contextlib.nullcontext():
            replay(world, fence)
        # Nothing is wrong when the next example is run; records stay.
        world.stack.aws.heal()
        world.org.trouble.clear()
        world.org.clear_rules()
    assert world.org.keys_twice() == {}


def shown() -> Iterator[tuple[Fence, Any]]:
    for fence in EXAMPLES["docs/api.md"]:
        for _, response in exchanges(fence.text):
            if response:
                yield fence, json.loads(response)


def test_every_outcome_and_status_of_the_table_is_shown_by_an_example() -> None:
    examples = {(status_of(fence), body["outcome"]) for fence, body in shown()}
    for row in OUTCOMES:
        for status in re.findall(r"\w+", row[0]):
            pattern = status.replace("x", r"\d")
            assert [
                number
                for number, outcome in examples
                if codes(row[1]) == [outcome] and re.fullmatch(pattern, str(number))
            ], row


def test_the_responses_have_the_keys_that_the_table_names() -> None:
    keys = {codes(row[1])[0]: set(codes(row[3])) for row in OUTCOMES}
    keys["exists"] |= keys["created"]
    for outcome in ("rejected", "failed", "unknown"):
        keys[outcome] |= keys["rejected"] | {"type", "object", "key"}
    for fence, body in shown():
        assert set(body) <= keys[body["outcome"]] | {"outcome", "warnings"}, fence.name
