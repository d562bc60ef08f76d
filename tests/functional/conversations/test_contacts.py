"""A new Case of somebody who is known is linked to the Contact and the Account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.deadline import Deadline
from bridge.delivery.contacts import Sender
from bridge.delivery.customers import HIDDEN_HINT, Customers, Known
from bridge.errors import Unavailable
from sandbox.org import Org, sample

from .conftest import Bundle
from .test_timeline import bird, closed

PHONE = "+31612345678"
Send = Callable[..., Any]


@pytest.fixture(params=["a conversation", "alone"])
def case_of(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    """A body that makes a Case, of a conversation or outside any."""

    def body(**more: Any) -> dict[str, Any]:
        made = bird(1, **more.pop("bird", {}))
        if request.param == "alone":
            made["Bird_Key__c"] = "k-1"
        return {**made, **more}

    return body


@pytest.fixture(params=["now", "later"])
def case(request: pytest.FixtureRequest) -> Callable[[Bundle, Any], dict[str, Any]]:
    """The Case that a body makes, with the caller waiting or through the outbox."""

    def send(bundle: Bundle, body: Any) -> dict[str, Any]:
        if request.param == "now":
            reply = bundle.post(body, "Case")
            assert reply.status == 201, reply
            bundle.last = reply.body  # type: ignore[attr-defined]
        else:
            bundle.queue(body, "Case")
            bundle.deliver()
            assert not bundle.outbox and not bundle.rejected
        (made,) = bundle.org.records("Case")
        return made

    return send


def contact(org: Org, **fields: Any) -> tuple[str, str]:
    account = org.create("Account", {"Name": "Bakery"})
    return org.create("Contact", {"LastName": "J", "AccountId": account, **fields}), account


Case = Callable[[Bundle, Any], dict[str, Any]]
Body = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    "fields",
    [
        {"Phone": PHONE},
        {"MobilePhone": "+31 6 1234 5678"},
        {"HomePhone": "06-12345678"},
        {"OtherPhone": "0031612345678"},
    ],
)
def test_the_one_contact_with_the_sender_s_number_gets_the_case(
    deploy: Callable[..., Bundle], case: Case, case_of: Body, fields: dict[str, str]
) -> None:
    bundle = deploy(MATCH_CONTACTS="on")
    who, account = contact(bundle.org, **fields)
    contact(bundle.org, Phone="+32612345678")  # ends alike, in Belgium
    contact(bundle.org, Fax=PHONE)
    made = case(bundle, case_of())
    assert (made["ContactId"], made["AccountId"]) == (who, account)
    assert "matches" not in getattr(bundle, "last", made)


def test_a_number_with_its_country_goes_before_one_without(deploy: Callable[..., Bundle]) -> None:
    bundle = deploy(MATCH_CONTACTS="on")
    contact(bundle.org, Phone="0612345678")
    who, _ = contact(bundle.org, Phone=PHONE)
    bundle.post(bird(1), "Case")
    assert bundle.org.records("Case")[0]["ContactId"] == who


def test_of_several_it_is_none(deploy: Callable[..., Bundle], case: Case, case_of: Body) -> None:
    bundle = deploy(MATCH_CONTACTS="on")
    for _ in range(3):
        contact(bundle.org, Phone=PHONE)
    assert case(bundle, case_of()).get("ContactId") is None
    if reply := getattr(bundle, "last", None):
        assert reply["matches"] == 3


@pytest.mark.parametrize(("switch", "found"), [("on", True), ("off", False)])
def test_an_address_counts_where_it_may(
    deploy: Callable[..., Bundle], case: Case, case_of: Body, switch: str, found: bool
) -> None:
    bundle = deploy(MATCH_CONTACTS="on", MATCH_EMAIL=switch)
    who, _ = contact(bundle.org, Email="Anna@Example.com")
    made = case(bundle, case_of(bird={"email": "anna@example.com"}))
    assert made.get("ContactId") == (who if found else None)


def test_a_contact_that_the_flow_names_stays(
    deploy: Callable[..., Bundle], case: Case, case_of: Body
) -> None:
    bundle = deploy(MATCH_CONTACTS="on", ALLOWED_FIELDS="ContactId")
    contact(bundle.org, Phone=PHONE)
    other, _ = contact(bundle.org)
    assert case(bundle, case_of(ContactId=other))["ContactId"] == other


def test_a_successor_keeps_its_predecessor_s_contact(deploy: Callable[..., Bundle]) -> None:
    bundle = deploy(MATCH_CONTACTS="on", ALLOWED_FIELDS="ContactId")
    old_one, _ = contact(bundle.org)
    bundle.post({**bird(1), "ContactId": old_one}, "Case")
    (old,) = bundle.org.records("Case")
    closed(bundle, old["Id"], days=9)
    contact(bundle.org, Phone=PHONE)
    bundle.post(bird(2), "Case")
    assert {one["ContactId"] for one in bundle.org.records("Case")} == {old_one}


def test_it_is_off_by_default_and_costs_one_call(deploy: Callable[..., Bundle]) -> None:
    bundle = deploy()
    contact(bundle.org, Phone=PHONE)
    reply = bundle.post(bird(1), "Case")
    assert (reply.calls, bundle.org.records("Case")[0].get("ContactId")) == (2, None)
    bundle = deploy(MATCH_CONTACTS="on")
    reply = bundle.post(bird(2, conversationId="other"), "Case")
    assert (reply.calls, reply["outcome"]) == (3, "created")
    assert bundle.post(bird(3, conversationId="other"), "Case").calls == 2  # no new case
    assert bundle.post(bird(4), "Lead").calls == 2


# Trouble keeps no Case back


def test_a_slow_search_is_given_up(
    deploy: Callable[..., Bundle], case: Case, case_of: Body
) -> None:
    bundle = deploy(MATCH_CONTACTS="on")
    contact(bundle.org, Phone=PHONE)
    bundle.org.trouble.add(path="/search", latency_before=2.5)
    assert case(bundle, case_of()).get("ContactId") is None


def test_a_search_that_is_not_allowed_costs_no_case(
    fresh: Callable[..., Bundle], case: Case, case_of: Body
) -> None:
    bundle = fresh(MATCH_CONTACTS="on")
    contact(bundle.org, Phone=PHONE)
    bundle.org.set_object_rights("Contact", user=sample.INTEGRATION_USER)
    # Without the right to see contacts a conversation cannot be followed: that is another matter.
    body = {**case_of(), "Bird_Key__c": "k-1"}
    assert case(bundle, body).get("ContactId") is None


def test_hidden_phone_fields_are_not_asked_for_again(fresh: Callable[..., Bundle]) -> None:
    bundle = fresh(MATCH_CONTACTS="on")
    who, _ = contact(bundle.org, MobilePhone=PHONE)
    bundle.org.hide_field("Contact", "HomePhone", user=sample.INTEGRATION_USER)
    assert bundle.post(bird(1), "Case").calls == 4
    assert bundle.post({**bird(2), "Bird_Key__c": "k"}, "Case").calls == 2
    assert {one["ContactId"] for one in bundle.org.records("Case")} == {who}


def test_a_look_up_does_without_hidden_phone_fields_too(fresh: Callable[..., Bundle]) -> None:
    """And where it cannot, it says what the integration user needs, not what a flow should send."""
    bundle = fresh()
    who, _ = contact(bundle.org, Phone=PHONE)
    customers = Customers(salesforce=bundle.salesforce, sessions=bundle.sessions())
    sender = Sender(PHONE, "")
    bundle.org.hide_field("Contact", "HomePhone", user=sample.INTEGRATION_USER)
    found = customers.find(sender, deadline=Deadline.after(9))
    assert isinstance(found, Known) and found.record_id == who
    bundle.org.hide_field("Contact", "MobilePhone", user=sample.INTEGRATION_USER)
    with pytest.raises(Unavailable) as refused:
        customers.find(sender, deadline=Deadline.after(9))
    assert refused.value.hint == HIDDEN_HINT


def test_a_link_that_is_refused_costs_no_case(
    fresh: Callable[..., Bundle], case: Case, case_of: Body
) -> None:
    bundle = fresh(MATCH_CONTACTS="on")
    contact(bundle.org, Phone=PHONE)
    bundle.org.hide_field("Case", "ContactId", user=sample.INTEGRATION_USER)
    bundle.org.hide_field("Case", "AccountId", user=sample.INTEGRATION_USER)
    body = {**case_of(), "Bird_Key__c": "k-1"}
    assert case(bundle, body).get("ContactId") is None
