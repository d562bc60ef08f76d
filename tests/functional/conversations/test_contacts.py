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
MAIL = "anna@example.com"


@pytest.fixture(params=["now", "later"])
def case(request: pytest.FixtureRequest) -> Callable[[Bundle, Any], dict[str, Any]]:
    """The Case that a body makes, with the caller waiting or through the outbox."""

    def send(bundle: Bundle, body: Any) -> dict[str, Any]:
        if request.param == "now":
            reply = bundle.post(body, "Case")
            assert reply.status == 201, reply
        else:
            bundle.queue(body, "Case")
            bundle.deliver()
            assert not bundle.outbox and not bundle.rejected
        (made,) = bundle.org.records("Case")
        return made

    return send


Case = Callable[[Bundle, Any], dict[str, Any]]
ALONE = {"Bird_Key__c": "k-1"}
"""With it a body is of no conversation."""


def contact(org: Org, **fields: Any) -> tuple[str, str]:
    account = org.create("Account", {"Name": "Bakery"})
    return org.create("Contact", {"LastName": "J", "AccountId": account, **fields}), account


ELSEWHERE = ({"Phone": "+32612345678"}, {"Fax": PHONE})  # the one ends alike, in Belgium

PEOPLE: dict[str, tuple[tuple[dict[str, str], ...], bool, dict[str, str]]] = {
    "by the phone": (({"Phone": PHONE}, *ELSEWHERE), True, {}),
    "by the mobile phone": (({"MobilePhone": "+31 6 1234 5678"}, *ELSEWHERE), True, {}),
    "by the phone at home": (({"HomePhone": "06-12345678"}, *ELSEWHERE), True, {}),
    "by another phone": (({"OtherPhone": "0031612345678"}, *ELSEWHERE), True, {}),
    "with its country before without": (({"Phone": PHONE}, {"Phone": "0612345678"}), True, {}),
    "of several none": (({"Phone": PHONE},) * 3, False, {}),
    "by the address": (({"Email": "Anna@Example.com"},), True, {"MATCH_EMAIL": "on"}),
    "not by the address": (({"Email": MAIL},), False, {}),
    "off by default": (({"Phone": PHONE},), False, {"MATCH_CONTACTS": "off"}),
}
"""Contacts, whether the first of them gets the Case, and what else is configured."""


@pytest.mark.parametrize("alone", [{}, ALONE], ids=["a conversation", "alone"])
@pytest.mark.parametrize(("people", "found", "variables"), PEOPLE.values(), ids=PEOPLE)
def test_the_one_contact_of_the_sender_gets_the_case(
    deploy: Callable[..., Bundle],
    case: Case,
    alone: dict[str, str],
    people: tuple[dict[str, str], ...],
    found: bool,
    variables: dict[str, str],
) -> None:
    bundle = deploy(**{"MATCH_CONTACTS": "on", **variables})
    expected, *_ = [contact(bundle.org, **fields) for fields in people]
    made = case(bundle, {**bird(1, email=MAIL), **alone})
    assert (made.get("ContactId"), made.get("AccountId")) == (expected if found else (None, None))


def test_a_contact_that_the_flow_names_stays_and_a_successor_keeps_it(
    deploy: Callable[..., Bundle], case: Case
) -> None:
    bundle = deploy(MATCH_CONTACTS="on", ALLOWED_FIELDS="ContactId")
    contact(bundle.org, Phone=PHONE)
    named, _ = contact(bundle.org)
    made = case(bundle, {**bird(1), "ContactId": named})
    closed(bundle, made["Id"], days=9)
    bundle.post(bird(2), "Case")
    assert [one["ContactId"] for one in bundle.org.records("Case")] == [named, named]


def test_it_costs_one_call_for_a_new_case_and_of_several_the_reply_tells_how_many(
    deploy: Callable[..., Bundle],
) -> None:
    bundle = deploy(MATCH_CONTACTS="on")
    for _ in range(3):
        contact(bundle.org, Phone=PHONE)
    reply = bundle.post(bird(1), "Case")
    assert (reply.calls, reply["outcome"], reply["matches"]) == (3, "created", 3)
    assert bundle.post(bird(2), "Case").calls == 2  # no new case
    assert bundle.post(bird(3), "Lead").calls == 2


def hide(org: Org, *fields: str) -> None:
    for field in fields:
        org.hide_field("Case", field, user=sample.INTEGRATION_USER)


def slow(org: Org) -> None:
    org.trouble.add(path="/search", latency_before=2.5)


# Without the right to see contacts a conversation cannot be followed: that is another matter.
TROUBLE: dict[str, tuple[Callable[[Org], object], dict[str, str]]] = {
    "a slow search": (slow, {}),
    "a slow search, of no conversation": (slow, ALONE),
    "no right to contacts": (
        lambda org: org.set_object_rights("Contact", user=sample.INTEGRATION_USER),
        ALONE,
    ),
    "a link that is refused": (lambda org: hide(org, "ContactId", "AccountId"), ALONE),
}


@pytest.mark.parametrize(("trouble", "alone"), TROUBLE.values(), ids=TROUBLE)
def test_trouble_costs_no_case(
    fresh: Callable[..., Bundle],
    case: Case,
    trouble: Callable[[Org], object],
    alone: dict[str, str],
) -> None:
    bundle = fresh(MATCH_CONTACTS="on")
    contact(bundle.org, Phone=PHONE)
    trouble(bundle.org)
    assert case(bundle, {**bird(1), **alone}).get("ContactId") is None


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
