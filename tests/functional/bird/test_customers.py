"""POST /customers/find: what it tells, to whom, and what it keeps to itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.stack import Stack
from tests.conftest import PATIENT

SENDER = "+447700900142"
BODY = {"bird": {"channel": "whatsapp", "sender": SENDER, "displayName": "Noor"}}


def find(stack: Stack, *, key: str = "") -> Any:
    return stack.request("POST", "/customers/find", body=BODY, api_key=key or stack.lookup_key)


def test_a_lead_is_known_until_it_is_converted(stack: Stack) -> None:
    lead = stack.org.create("Lead", {"LastName": "L", "Company": "C", "Phone": "07700 900142"})
    told = find(stack).json()
    assert (told["outcome"], told["object"], told["id"]) == ("known", "Lead", lead)
    assert told["leadStatus"] == "Open - Not Contacted" and "accountName" not in told
    done = stack.org.convert(lead)
    told = find(stack).json()
    assert (told["object"], told["id"], told["openCases"]) == ("Contact", done.contact_id, 0)


@pytest.mark.parametrize("field", ["Phone", "MobilePhone", "HomePhone", "OtherPhone"])
def test_a_contact_is_known_by_each_number_that_a_case_is_linked_by(
    stack: Stack, field: str
) -> None:
    """docs/api.md: numbers are compared as for MatchContacts."""
    contact = stack.org.create("Contact", {"LastName": "C", field: "07700 900142"})
    assert find(stack).json()["id"] == contact


def test_it_tells_nothing_of_the_person_and_nothing_of_others(stack: Stack) -> None:
    stack.org.create(
        "Contact",
        {"LastName": "Secret", "Phone": SENDER, "Email": "secret@example.org", "Title": "Secret"},
    )
    stack.org.create("Contact", {"LastName": "Other", "Phone": "+31612345678"})
    text = find(stack).body.decode()
    assert json.loads(text)["outcome"] == "known"
    assert "ecret" not in text and "Other" not in text and SENDER[1:] not in text


def test_a_person_account_s_name_is_the_person_s_and_is_not_told(stack: Stack) -> None:
    """Of a person account the search finds the contact, whose account is the person again. Its mark
    (IsPersonAccount) is a field of orgs that have such accounts only."""
    for account, told in (("Noor Haddad", None), ("Acme", "Acme")):
        stack.org.forget_records()
        account_id = stack.org.create("Account", {"Name": account})
        fields = {"FirstName": "Noor", "LastName": "Haddad", "Phone": SENDER}
        stack.org.create("Contact", {**fields, "AccountId": account_id})
        body = find(stack).json()
        assert (body["outcome"], body.get("accountName")) == ("known", told)


def test_its_key_opens_nothing_else_and_no_other_key_opens_it(stack: Stack) -> None:
    """A usage plan's key opens a stage; the functions tell the keys apart."""
    for path, key in (("/leads", stack.lookup_key), ("/customers/find", stack.api_key)):
        answer = stack.request("POST", path, body=BODY, api_key=key)
        assert (answer.status, answer.json()["code"]) == (403, "KEY_NOT_FOR_THIS_ROUTE")


def test_it_is_closed_by_default() -> None:
    with Stack(poll=False, processes=1, parameters=PATIENT) as stack:
        stack.tick()
        for key in (stack.api_key, stack.lookup_key):
            assert find(stack, key=key).status == 403
        assert stack.request("GET", "/leads/nobody").status == 404


def test_its_plan_has_a_throttle_of_its_own() -> None:
    slow = {"CustomerLookup": "on", "CustomerLookupRate": "1", "CustomerLookupBurst": "1"}
    with Stack(poll=False, processes=1, parameters={**PATIENT, **slow}) as stack:
        stack.tick()
        statuses = [find(stack).status for _ in range(4)]
        assert statuses[0] == 200 and 429 in statuses
        assert stack.request("GET", "/leads/nobody").status == 404
