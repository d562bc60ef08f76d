"""Every console on the pages: what is typed is typed, and what the page shows has to come back."""

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
from tests.slow.docs.pages import PAGES, Fence, codes, exchanges, fences, table

CONSOLES = [one for page in PAGES for one in fences(page) if one.language == "console"]


@contextlib.contextmanager
def a_good_day(world: World) -> Iterator[None]:
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
        said = {"/throttle/rateLimit": str(rate), "/throttle/burstLimit": str(burst)}
        world.stack.client("apigateway").update_usage_plan(
            usagePlanId=plan,
            patchOperations=[
                {"op": "replace", "path": path, "value": value} for path, value in said.items()
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
    """The status that the page gives: in bold before the console, or in the comment before it."""
    found = re.search(r"\*\*(\d{3})\*\*", fence.before) or re.fullmatch(r"(\d{3})", fence.comment)
    assert found, f"{fence.name} does not say with which status the answer comes"
    return int(found[1])


def replay(world: World, fence: Fence) -> list[tuple[int, Any, Any]]:
    """Type all of a console: status, what is shown, and what came, of each answer."""
    came = []
    for number, (typed, shown) in enumerate(exchanges(fence.text)):
        typed = typed.replace(f"http://127.0.0.1:{PORT}/v1", world.stack.url)
        typed = typed.replace(API_KEY, world.stack.api_key)
        out = world.shell.must(typed)
        if not shown:
            continue
        body, _, status = out.rpartition("\n")
        expected = json.loads(shown)
        first = number == 0 or not came
        wanted = status_of(fence) if first else expected["status"]
        assert int(status) == wanted, body
        came.append((int(status), expected, json.loads(body)))
    assert came, f"{fence.name} shows no answer"
    return came


@pytest.fixture
def reader(world: World) -> World:
    world.shell.set(API=world.stack.url, API_KEY=world.stack.api_key)
    return world


ANSWERS = [one for one in CONSOLES if "curl" in one.text]


@pytest.mark.parametrize("page", sorted({one.page for one in ANSWERS}))
def test_every_answer_on_the_page_is_the_one_that_comes(reader: World, page: str) -> None:
    shown = [one for one in ANSWERS if one.page == page]
    for fence in shown:
        with WHILE.get(fence.comment, a_good_day)(reader):
            for _, expected, came in replay(reader, fence):
                assert differences(expected, came) == [], fence.name
        # The next console is read on a day when nothing is wrong; records stay.
        reader.stack.aws.heal()
        reader.org.trouble.clear()
        reader.org.clear_rules()
    assert reader.org.keys_twice() == {}


def test_every_outcome_and_status_of_the_table_is_shown_by_an_example() -> None:
    rows = table("docs/api.md", "What comes back", "status", "`outcome`").rows
    shown = {
        (status_of(one), json.loads(answer)["outcome"])
        for one in ANSWERS
        if one.page == "docs/api.md"
        for _, answer in list(exchanges(one.text))[:1]
    }
    for row in rows:
        (outcome,) = codes(row[1])
        for status in re.findall(r"\w+", row[0]):
            assert any(
                outcome == what and re.fullmatch(status.replace("x", r"\d"), str(number))
                for number, what in shown
            ), row


def test_the_answers_have_the_keys_that_the_table_names() -> None:
    rows = table("docs/api.md", "What comes back", "status", "`outcome`").rows
    said = {codes(row[1])[0]: set(codes(row[3])) for row in rows}
    said["exists"] = said["created"]
    for fence in ANSWERS:
        for _, answer in exchanges(fence.text):
            if not answer or fence.page != "docs/api.md":
                continue
            body = json.loads(answer)
            named = said[body["outcome"]] | {"outcome"}
            if body["outcome"] in ("rejected", "unknown"):
                named |= said["rejected"] | {"type", "object", "key"}
            assert set(body) <= named, fence.name
