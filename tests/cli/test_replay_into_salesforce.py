"""A record's whole way: refused, kept, mended by an administrator, replayed, there once."""

from __future__ import annotations

from sandbox.org.org import Condition
from tests.cli.conftest import Local
from tests.cli.program import run


def test_after_a_rule_is_mended_a_replay_brings_every_lead_in_once(ready: Local) -> None:
    ready.stack.connect()
    ready.org.add_validation_rule("Lead", Condition("LeadSource", "blank"), "Say where from")
    for number in range(5):
        body = {"LastName": "Okafor", "Bird_Key__c": f"key-{number}"}
        assert ready.stack.request("POST", "/leads", body).status in (202, 422)
    # On a busy machine the first may be queued instead; then it is refused on its way.
    ready.stack.drain()
    assert len(run("rejected", "list", "--json", *ready.options).json()) == 5

    ready.org.clear_rules()
    # One of them has come in by hand meanwhile, under its key.
    ready.stack.request("POST", "/leads", {"LastName": "Okafor", "Bird_Key__c": "key-3"})
    assert run("rejected", "replay", "--all", *ready.options).status == 0
    ready.stack.drain()

    keys = sorted(lead["Bird_Key__c"] for lead in ready.org.records("Lead"))
    assert keys == [f"key-{number}" for number in range(5)]
    assert run("rejected", "list", "--json", *ready.options).json() == []


def test_what_is_still_refused_comes_back_with_its_count(ready: Local) -> None:
    ready.stack.connect()
    ready.org.add_validation_rule("Lead", Condition("LeadSource", "blank"), "Say where from")
    ready.stack.request("POST", "/leads", {"LastName": "Okafor", "Bird_Key__c": "again"})
    ready.stack.drain()
    run("rejected", "replay", "again", *ready.options)
    ready.stack.drain()
    (listed,) = run("rejected", "list", "--json", *ready.options).json()
    assert listed["replayed"] == 1
    assert listed["message"] == "Say where from"
    assert run("rejected", "drop", "--all", "--yes", *ready.options).status == 0
