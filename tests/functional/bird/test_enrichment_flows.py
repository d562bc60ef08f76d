"""The flows that add to records and look customers up, played on the local stack to their end."""

from __future__ import annotations

import json

import pytest

from cli.deployment.flow_step import QUALIFIED, QUESTIONS, branches
from sandbox.player import Customer, Inbound, Run, load, play
from sandbox.stack import Stack
from tests.functional.bird.conftest import made, only
from tools.template import ROOT

QUALIFY = ROOT / "flows" / "qualify-lead.json"
NOOR = Customer("Noor van Dijk")


def qualified(stack: Stack, *replies: str) -> Run:
    replacements = {"https://YOUR-API-ADDRESS/v1": stack.url, "YOUR-API-KEY": stack.api_key}
    inbound = Inbound("Hello", NOOR, conversation_id="q-1", message_id="m-1", replies=replies)
    done = play(load(QUALIFY, replacements), inbound)
    assert not done.failed_at, done.failed_at
    return done


def given(done: Run) -> list[str]:
    return [reply.text for reply in done.replies]


def outcomes(done: Run) -> list[str]:
    return [one.response["outcome"] for one in done.requests]


@pytest.mark.parametrize(("said_last", "rating"), QUESTIONS[2].choices)
def test_three_replies_qualify_a_lead(stack: Stack, said_last: str, rating: str) -> None:
    done = qualified(stack, "noor@example.org", "Oak & Sons", said_last)
    lead = only(stack, "Lead")
    assert (lead["Email"], lead["Company"]) == ("noor@example.org", "Oak & Sons")
    assert lead["Rating"] == rating
    assert given(done) == [*(one.text for one in QUESTIONS), QUALIFIED]
    assert outcomes(done) == ["created", *["updated"] * 3]
    assert not done.routed_to_agent


@pytest.mark.parametrize("count", [0, 1, 2])
def test_who_stops_replying_leaves_what_they_told(stack: Stack, count: int) -> None:
    replies = ("noor@example.org", "Oak & Sons")[:count]
    done = qualified(stack, *replies)
    lead = only(stack, "Lead")
    assert lead.get("Email") == (replies[0] if count else None)
    assert lead["Company"] == ("Oak & Sons" if count > 1 else "Individual")
    assert given(done)[-1] == QUALIFIED and len(done.requests) == 1 + count


def test_while_salesforce_is_down_the_replies_wait_for_the_lead(stack: Stack) -> None:
    with stack.outage():
        done = qualified(stack, "noor@example.org", "Oak & Sons", "1")
        assert set(outcomes(done)) == {"queued"}
        assert given(done)[-1] == QUALIFIED and not made(stack, "Lead")
    stack.drain()
    lead = only(stack, "Lead")
    assert (lead["Email"], lead["Rating"]) == ("noor@example.org", "Hot")


def test_a_reply_that_salesforce_refuses_is_kept_and_the_next_question_comes(stack: Stack) -> None:
    done = qualified(stack, "no address", "Oak & Sons", "1")
    assert outcomes(done) == ["created", "rejected", "updated", "updated"]
    lead = only(stack, "Lead")
    assert (lead.get("Email"), lead["Rating"]) == (None, "Hot")


def test_without_an_api_a_person_takes_over() -> None:
    replacements = {"https://YOUR-API-ADDRESS/v1": "http://127.0.0.1:9/v1"}
    done = play(load(QUALIFY, replacements), Inbound("Hello", NOOR, replies=("a", "b", "1")))
    assert done.routed_to_agent and given(done) == [branches("Lead")[-1].reply]


def test_the_flow_asks_what_the_page_says() -> None:
    """One source: `QUESTIONS`."""
    text = QUALIFY.read_text(encoding="utf-8")
    steps = json.loads(text)["definition"]["steps"].values()
    bodies = [one["parameters"] for one in steps if one["type"] == "httpRequest"]
    patched = [one["body"] for one in bodies if one["method"] == "PATCH"]
    expected = [(q.field, value) for q in QUESTIONS for _, value in q.choices or (("", None),)]
    assert [
        (next(iter(body)), None if "{{" in str(body) else next(iter(body.values())))
        for body in patched
    ] == expected
    for question in QUESTIONS:
        assert json.dumps(question.text)[1:-1] in text


# Known customers go to their owner, others to the pool


ROUTING = ROOT / "flows" / "route-known-customer.json"
POOL, OWNER = "createItemRoute_rc07", "createItemRoute_rc06"


def routed(stack: Stack, colleague: str = "Sam Sales") -> Run:
    replacements = {
        "https://YOUR-API-ADDRESS/v1": stack.url,
        "YOUR-LOOKUP-KEY": stack.lookup_key,
        "YOUR-COLLEAGUE-NAME": colleague,
    }
    done = play(load(ROUTING, replacements), Inbound("Hello", NOOR))
    assert not done.failed_at and done.routed_to_agent
    return done


def test_a_known_customer_goes_to_their_owner(stack: Stack) -> None:
    account = stack.org.create("Account", {"Name": "Oak & Sons"})
    (owner,) = [one["Id"] for one in stack.org.records("User") if one["Name"] == "Sam Sales"]
    person = {"LastName": "van Dijk", "MobilePhone": "07700 900142"}
    person |= {"AccountId": account, "OwnerId": owner}
    contact = stack.org.create("Contact", person)
    stack.org.create("Case", {"Subject": "x", "ContactId": contact})
    done = routed(stack)
    response = done.requests[0].response
    names = ("outcome", "id", "ownerName", "accountName", "openCases")
    found = ["known", contact, "Sam Sales", "Oak & Sons", 1]
    assert [response[name] for name in names] == found
    assert OWNER in done.steps
    (comment,) = done.comments
    assert all(one in comment for one in ("Sam Sales", "Oak & Sons", response["openCaseNumber"]))
    assert POOL in routed(stack, "Somebody Else").steps


def test_everybody_else_goes_to_the_pool(stack: Stack) -> None:
    assert POOL in routed(stack).steps
    for _ in range(2):
        stack.org.create("Contact", {"LastName": "C", "Phone": "+447700900142"})
    done = routed(stack)
    assert POOL in done.steps and done.requests[0].response["outcome"] == "several"
    with stack.outage():
        done = routed(stack)
    assert POOL in done.steps and done.requests[0].response["outcome"] == "unknown"
    assert not stack.org.records("Lead") and not done.comments
