"""POST /customers/find: what it tells, to whom, and what it keeps to itself."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from sandbox.stack import Stack
from tests.conftest import EVENTS, PATIENT
from tests.stacks import deployed_with

SENDER = "+447700900142"
BODY = json.loads((EVENTS / "find_customer.json").read_text(encoding="utf-8"))["body"]


def find(stack: Stack, body: Any = BODY, *, key: str = "", query: str = "") -> Any:
    key = key or stack.lookup_key
    return stack.request("POST", f"/customers/find{query}", body=body, api_key=key)


def test_a_lead_is_known_until_it_is_converted(stack: Stack) -> None:
    lead = stack.org.create("Lead", {"LastName": "L", "Company": "C", "Phone": "07700 900142"})
    shown = find(stack).json()
    assert (shown["outcome"], shown["object"], shown["id"]) == ("known", "Lead", lead)
    assert shown["leadStatus"] == "Open - Not Contacted" and "accountName" not in shown
    done = stack.org.convert(lead)
    shown = find(stack).json()
    assert (shown["object"], shown["id"], shown["openCases"]) == ("Contact", done.contact_id, 0)


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
    for account, shown in (("Noor Haddad", None), ("Acme", "Acme")):
        stack.org.forget_records()
        account_id = stack.org.create("Account", {"Name": account})
        fields = {"FirstName": "Noor", "LastName": "Haddad", "Phone": SENDER}
        stack.org.create("Contact", {**fields, "AccountId": account_id})
        body = find(stack).json()
        assert (body["outcome"], body.get("accountName")) == ("known", shown)


@pytest.mark.parametrize(("switch", "outcome"), [("off", "unknown"), ("on", "known")])
def test_an_address_is_looked_for_where_it_counts(stack: Stack, switch: str, outcome: str) -> None:
    stack.org.create("Contact", {"LastName": "C", "Email": "noor@example.org"})
    body = {"bird": {"channel": "email", "sender": "noor@example.org"}}
    with deployed_with(stack, MATCH_EMAIL=switch):
        shown = find(stack, body).json()
    assert (shown["outcome"], "warnings" in shown) == (outcome, switch == "off")


def test_while_salesforce_cannot_be_asked_nobody_is_known(stack: Stack) -> None:
    with stack.outage():
        for query, status in (("", 503), ("?errors=inline", 200)):
            response = find(stack, query=query)
            assert (response.status, response.json()["outcome"]) == (status, "unknown")


@pytest.mark.parametrize("body", [{}, {"bird": None}, {"bird": 5}, b"[", b""])
@pytest.mark.parametrize("mark", ["", "payload", "originator", "service"])
def test_what_does_not_say_whom_to_look_for_is_400(stack: Stack, body: Any, mark: str) -> None:
    """Addresses are logged, so nobody is looked for by one; a "Forward to URL" step says all in its
    query, and makes no look-up."""
    stack.org.create("Contact", {"LastName": "C", "Phone": SENDER})
    query = urlencode({mark: "x", "bird": json.dumps({"channel": "sms", "sender": SENDER})})
    assert find(stack, body, query=f"?{query}" if mark else "").status == 400


def test_its_key_opens_nothing_else_and_no_other_key_opens_it(stack: Stack) -> None:
    """A usage plan's key opens a stage; the functions tell the keys apart."""
    for path, key in (("/leads", stack.lookup_key), ("/customers/find", stack.api_key)):
        for query in ("", "?errors=inline"):
            response = stack.request("POST", path + query, body=BODY, api_key=key)
            assert (response.status, response.json()["code"]) == (403, "KEY_NOT_FOR_THIS_ROUTE")


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
