"""DuplicateRecords=attach: the org's own duplicate rule says which Lead or Contact this is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Bundle, Send
from .test_timeline import bird, tasks

EMAIL = "anna@example.org"
BOTH = ("Lead", "Contact")


def message(number: int, **more: Any) -> dict[str, Any]:
    return bird(number, email=EMAIL, **more)


@pytest.fixture
def bundle(deploy: Callable[..., Bundle]) -> Bundle:
    bundle = deploy(DUPLICATE_RECORDS="attach")
    bundle.org.set_duplicate_rule("Lead", match_objects=BOTH)
    return bundle


def made(bundle: Bundle, name: str, **fields: Any) -> str:
    needed = {"LastName": "Jansen", "Company": "Bakery"} if name == "Lead" else {"LastName": "J"}
    return bundle.org.create(name, {**needed, "Email": EMAIL, **fields})


@pytest.mark.parametrize("name", BOTH)
def test_the_message_goes_onto_the_one_that_the_rule_names(
    bundle: Bundle, send: Send, name: str
) -> None:
    known = made(bundle, name)
    reply = send(message(1))
    if reply:
        assert (reply.status, reply["outcome"], reply["added"]) == (200, "exists", True)
        assert (reply["matched"], reply["object"], reply["id"]) == (True, name, known)
    again = send(message(1))
    if again:
        assert (again["outcome"], again["added"]) == ("exists", False)
    send(message(2))  # it is the conversation's home now
    assert [task["WhoId"] for task in tasks(bundle)] == [known, known]
    assert len(bundle.org.records("Lead")) == (1 if name == "Lead" else 0)
    assert not bundle.rejected and not bundle.outbox


def test_of_several_it_is_refused_and_kept(bundle: Bundle, send: Send) -> None:
    made(bundle, "Lead"), made(bundle, "Contact")
    reply = send(message(1))
    if reply:
        assert (reply.status, reply["outcome"], reply["kept"]) == (409, "rejected", True)
    assert len(bundle.rejected) == 1 and not tasks(bundle)


def test_block_and_allow_stay_as_they_are(deploy: Callable[..., Bundle]) -> None:
    for value, status in (("block", 409), ("allow", 201)):
        bundle = deploy(DUPLICATE_RECORDS=value)
        bundle.org.set_duplicate_rule("Lead", match_objects=BOTH)
        made(bundle, "Lead")
        assert bundle.post(message(1, conversationId=value)).status == status
        bundle.org.reset()


def test_a_message_of_no_conversation_is_logged_as_well(bundle: Bundle, send: Send) -> None:
    known = made(bundle, "Lead")
    body = {**message(1), "Bird_Key__c": "k-1", "Rating": "Hot"}
    reply = send(body)
    send(body)
    (task,) = tasks(bundle)
    assert (task["WhoId"], task.get("Bird_Conversation__c")) == (known, None)
    assert "text 1" in task["Description"] and "Rating: Hot" in task["Description"]
    if reply:
        assert (reply["outcome"], reply["matched"], reply["id"]) == ("exists", True, known)
        assert reply["notWritten"] == "Rating"
    assert not bundle.rejected


def test_a_batch_attaches_each_to_its_own(bundle: Bundle) -> None:
    known = {}
    for number in range(3):
        mail = f"a{number}@example.org"
        known[mail] = bundle.org.create("Lead", {"LastName": "x", "Company": "c", "Email": mail})
        for more in range(2):
            sender = f"+3161234567{number}"
            body = bird(2 * number + more, conversationId=f"c{number}", email=mail, sender=sender)
            bundle.queue(body)
    bundle.queue(bird(9, conversationId="new", email="n@example.org", sender="+31600000000"))
    bundle.deliver()
    assert sorted(task["WhoId"] for task in tasks(bundle))[:6:2] == sorted(known.values())
    assert len(bundle.org.records("Lead")) == 4 and len(tasks(bundle)) == 7
    assert not bundle.outbox and not bundle.rejected
