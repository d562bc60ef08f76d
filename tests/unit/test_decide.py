"""Where a message of a conversation goes: the table, one sentence a row, and what holds for all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.conversations.decide import (
    Add,
    CaseRow,
    Create,
    Decision,
    Exists,
    Home,
    LeadRow,
    Look,
    Nowhere,
    Permit,
    Reopen,
    Rules,
    SeenTask,
    decide,
)
from bridge.conversations.keys import record_key, task_key
from bridge.records import ObjectName

NOW = datetime(2026, 11, 30, 14, 0, tzinfo=UTC)
C, M = "conversation-1", "message-1"
RULES = Rules(
    reopen_days=3, closed_lead_statuses=frozenset({"Closed - Not Converted", "Unqualified"})
)
LEAD, LEAD_2, ELSEWHERE_LEAD = "00Q000000000001AAA", "00Q000000000002AAA", "00Q000000000009AAA"
CASE, CASE_2, ELSEWHERE_CASE = "500000000000001AAA", "500000000000002AAA", "500000000000009AAA"
CONTACT, OPPORTUNITY = "003000000000001AAA", "006000000000001AAA"
TASK = "00T000000000009AAA"


def ago(**how_long: float) -> datetime:
    return NOW - timedelta(**how_long)


AS_FOUND = {"key": C, "conversation": C, "created": ago(days=9)}


def lead(record_id: str = LEAD, **fields: Any) -> LeadRow:
    return LeadRow(**(AS_FOUND | {"id": record_id, "status": "Open - Not Contacted"} | fields))


def case(record_id: str = CASE, **fields: Any) -> CaseRow:
    values = {"id": record_id, "status": "New", "number": "00001026"}
    return CaseRow(**(AS_FOUND | values | fields))


def closed(when: datetime | None, **fields: Any) -> CaseRow:
    return case(status="Closed", closed=True, closed_at=when, **fields)


def converted(contact_id: str | None = CONTACT, **fields: Any) -> LeadRow:
    return lead(status="Closed - Converted", converted=True, contact_id=contact_id, **fields)


def home(**fields: Any) -> Home:
    return Home(**({"task_id": "00T000000000001AAA", "created": ago(days=1)} | fields))


def look(**found: Any) -> Look:
    return Look(conversation=C, message=M, **found)


def leads(*rows: LeadRow, **found: Any) -> Look:
    return look(leads=rows, **found)


def cases(*rows: CaseRow, **found: Any) -> Look:
    return look(cases=rows, **found)


def merged(elsewhere: CaseRow | None, *rows: CaseRow, **home_fields: Any) -> Look:
    """The conversation's newest Task is on a Case of another one, a day old."""
    on = home(what_id=ELSEWHERE_CASE, **home_fields)
    return cases(*rows, case_home=on, homes={ELSEWHERE_CASE: elsewhere})


def logged(on: str | None, of: ObjectName | None = None, **fields: Any) -> SeenTask:
    """The message's Task on a record: of the object that was asked for, if not that of another."""
    is_case = (on or "").startswith("500")
    link = {"what_id" if is_case else "who_id": on}
    values = {"id": TASK, "key": task_key(of or ("Case" if is_case else "Lead"), M)}
    return SeenTask(**(values | link | fields))


def exists(record_id: str, **more: Any) -> Exists:
    name = {"00Q": "Lead", "500": "Case", "003": "Contact"}[record_id[:3]]
    return Exists(**{"object": name, "record_id": record_id, "task_id": TASK, **more})


def goes(found: Look, requested: ObjectName | None, **options: Any) -> Decision:
    how: dict[str, Any] = {"channel_object": "Lead", "rules": RULES, "now": NOW}
    return decide(found, requested=requested, **(how | options))


def add_to_lead(record_id: str = LEAD, **more: Any) -> Add:
    values = {"record_id": record_id, "who_id": record_id, "status": "Open - Not Contacted"}
    return Add(object="Lead", record_object="Lead", **(values | more))


def add_to_case(record_id: str = CASE, **more: Any) -> Add:
    values = {"status": "New", "status_may_change": True, "number": "00001026"}
    on_it = {"record_id": record_id, "what_id": record_id}
    return Add(object="Case", record_object="Case", **(values | on_it | more))


def add_to_contact(*, for_owner: bool = True, what_id: str | None = None) -> Add:
    on_it = {"record_id": CONTACT, "who_id": CONTACT, "what_id": what_id}
    return Add(object="Lead", record_object="Contact", for_owner=for_owner, **on_it)


def successor_of(record_id: str, **derived: str) -> Create:
    key = record_key(C, record_id)
    if record_id.startswith("00Q"):
        return Create(object="Lead", key=key, derived=derived, predecessor_id=record_id)
    derived = {"ParentId": record_id, **derived}
    return Create(object="Case", key=key, derived=derived, predecessor_id=record_id)


def reopen(record_id: str = CASE) -> Reopen:
    return Reopen(record_id=record_id, number="00001026", successor=successor_of(record_id))


OTHER_CASE = case(ELSEWHERE_CASE, key="", conversation="")
FIRST_LEAD = Create(object="Lead", key=C)
FIRST_CASE = Create(object="Case", key=C)
DELETED, GONE_TASK = Exists(deleted=True), Exists(task_id=TASK)
EXISTS = exists(CASE, number="00001026")
THANKS = add_to_case(status="Closed", status_may_change=False)


TO_LEADS: dict[str, tuple[Look, Decision]] = {
    # A live Task of the message
    "a message whose Task is there exists": (leads(lead(), seen=[logged(LEAD)]), exists(LEAD)),
    "a Lead's Task that moved at conversion exists on the Contact": (
        leads(converted(), seen=[logged(CONTACT, what_id=OPPORTUNITY)]),
        exists(CONTACT),
    ),
    "a Task that somebody took off its record exists": (look(seen=[logged(None)]), GONE_TASK),
    "a Case's Task does not count": (cases(case(), seen=[logged(CASE)]), FIRST_LEAD),
    "a record under the message's key, of no conversation, is the message": (
        leads(lead(key=M, conversation="")),
        exists(LEAD, task_id=None),
    ),
    # A deleted Task
    "a message whose Task was deleted exists": (look(seen=[logged(LEAD, deleted=True)]), DELETED),
    "also beside an open record": (leads(lead(), seen=[logged(LEAD, deleted=True)]), DELETED),
    "a live Task counts more than a deleted one of the same key": (
        leads(lead(), seen=[logged(LEAD, id="00T1", deleted=True), logged(LEAD, id="00T2")]),
        exists(LEAD, task_id="00T2"),
    ),
    "a record under the message's key that was deleted is not made again": (
        leads(lead(key=M, conversation="", deleted=True)),
        DELETED,
    ),
    # An open record
    "an open Lead gets the message": (leads(lead()), add_to_lead()),
    "of several open ones the newest": (
        leads(lead(), lead(LEAD_2, key="k2", created=ago(days=1))),
        add_to_lead(LEAD_2),
    ),
    "so does one that an older flow made by its id": (leads(lead(conversation="")), add_to_lead()),
    "a clone, whose key is empty, is no record of the conversation": (
        leads(lead(LEAD_2, key="", created=ago(hours=1)), lead()),
        add_to_lead(),
    ),
    "a deleted record is none": (leads(lead(deleted=True)), FIRST_LEAD),
    "one of a closed status is not open": (
        leads(lead(status="closed - not converted ")),
        successor_of(LEAD),
    ),
    # Conversion and merge
    "after a conversion the message goes where the newest Task is, with its WhatId": (
        leads(converted(), lead_home=home(who_id=CONTACT, what_id=OPPORTUNITY)),
        add_to_contact(what_id=OPPORTUNITY),
    ),
    "while the newest Task there is open, nobody needs another": (
        leads(converted(), lead_home=home(who_id=CONTACT, closed=False)),
        add_to_contact(for_owner=False),
    ),
    "a Lead merged into one that is not the conversation's is followed": (
        leads(lead(deleted=True), lead_home=home(who_id=ELSEWHERE_LEAD)),
        add_to_lead(ELSEWHERE_LEAD, status=""),
    ),
    "an open Lead of the conversation counts more than where older Tasks went": (
        leads(lead(), lead_home=home(who_id=CONTACT)),
        add_to_lead(),
    ),
    "a Task on a Lead of the conversation shows nothing new": (
        leads(lead(status="Unqualified"), lead_home=home(who_id=LEAD)),
        successor_of(LEAD),
    ),
    "a converted Lead without Tasks leads to its Contact, and the owner hears of it": (
        leads(converted()),
        add_to_contact(),
    ),
    "one without a Contact does not": (leads(converted(contact_id=None)), successor_of(LEAD)),
    # Else
    "a conversation that nobody knows makes a Lead": (look(), FIRST_LEAD),
}

TO_CASES: dict[str, tuple[Look, Decision]] = {
    # A live Task of the message
    "a message exists on the record that has its Task now, not on the newest": (
        cases(case(CASE_2, created=ago(days=1)), seen=[logged(CASE)]),
        exists(CASE),
    ),
    "with the Case's number": (cases(case(), seen=[logged(CASE)]), EXISTS),
    "even if somebody named a Contact on it": (
        cases(case(), seen=[logged(CASE, who_id=CONTACT)]),
        EXISTS,
    ),
    "a Lead's Task counts on the very record that the message would go to": (
        cases(case(), seen=[logged(CASE, "Lead")]),
        EXISTS,
    ),
    # A deleted Task
    "a deleted Task of a Lead is none": (look(seen=[logged(LEAD, deleted=True)]), FIRST_CASE),
    # An open record
    "an open Case gets the message, and its status may change": (cases(case()), add_to_case()),
    "an older open one rather than a newer closed one": (
        cases(case(), closed(ago(hours=1), id=CASE_2, key="k2", created=ago(days=1))),
        add_to_case(),
    ),
    # A closed Case
    "a Case closed nine minutes ago stays so": (cases(closed(ago(minutes=9))), THANKS),
    "one that will be closed in a second, too": (cases(closed(ago(seconds=-1))), THANKS),
    "a Case closed ten minutes ago is reopened": (cases(closed(ago(minutes=10))), reopen()),
    "one closed just under three days ago too": (cases(closed(ago(days=2, hours=23))), reopen()),
    "one closed three days ago has a successor": (cases(closed(ago(days=3))), successor_of(CASE)),
    "or one that does not say when": (cases(closed(None)), successor_of(CASE)),
    "a successor has its predecessor's Contact, Account and record type": (
        cases(closed(ago(days=30), contact_id=CONTACT, account_id="001x", record_type_id="012x")),
        successor_of(CASE, ContactId=CONTACT, AccountId="001x", RecordTypeId="012x"),
    ),
    "the newest closed Case is the one that counts": (
        cases(
            closed(ago(minutes=1)), closed(ago(days=30), id=CASE_2, key="k2", created=ago(days=1))
        ),
        successor_of(CASE_2),
    ),
    "after a deleted successor the newest that is left counts": (
        cases(closed(ago(hours=1)), case(CASE_2, key="k2", created=ago(days=1), deleted=True)),
        reopen(),
    ),
    # Conversion and merge
    "a Case merged into one that is not the conversation's gets the message if it is open": (
        merged(OTHER_CASE, case(deleted=True), who_id=CONTACT),
        add_to_case(ELSEWHERE_CASE, who_id=CONTACT),
    ),
    "is reopened if it was closed lately": (
        merged(closed(ago(hours=1), id=ELSEWHERE_CASE)),
        reopen(ELSEWHERE_CASE),
    ),
    "and has a successor if it was closed long ago": (
        merged(closed(ago(days=30), id=ELSEWHERE_CASE)),
        successor_of(ELSEWHERE_CASE),
    ),
    "a merged Case that the org keeps, closed, does not hold the message up": (
        merged(OTHER_CASE, closed(ago(hours=1))),
        add_to_case(ELSEWHERE_CASE),
    ),
    "nor one whose only message came with it: both are of the same second": (
        merged(OTHER_CASE, closed(ago(hours=1), created=ago(days=1))),
        add_to_case(ELSEWHERE_CASE),
    ),
    "nor does an old merge hold up a Case that was made after it": (
        merged(OTHER_CASE, closed(ago(hours=1), created=ago(hours=23))),
        reopen(),
    ),
    "a merged Case that cannot be seen is none": (merged(None), FIRST_CASE),
    "nor is one deleted since": (merged(case(ELSEWHERE_CASE, deleted=True)), FIRST_CASE),
    # Else
    "a conversation that nobody knows makes a Case": (look(), FIRST_CASE),
    "the open Lead is no reason against a Case": (leads(lead()), FIRST_CASE),
}


@pytest.mark.parametrize("sentence", TO_LEADS)
def test_where_a_message_to_leads_goes(sentence: str) -> None:
    found, expected = TO_LEADS[sentence]
    assert goes(found, "Lead") == expected


@pytest.mark.parametrize("sentence", TO_CASES)
def test_where_a_message_to_cases_goes(sentence: str) -> None:
    found, expected = TO_CASES[sentence]
    assert goes(found, "Case") == expected


def on_both(**ago_of: int) -> Look:
    """A closed Case and a converted Lead, each with a Task so many hours old."""
    case_home = home(what_id=CASE, created=ago(hours=ago_of["case"]))
    lead_home = home(who_id=CONTACT, created=ago(hours=ago_of["lead"]))
    both = {"case_home": case_home, "lead_home": lead_home}
    return cases(closed(ago(hours=1)), leads=(converted(),), **both)


ON_A_CASE_AND_A_CONTACT = home(what_id=CASE, who_id=CONTACT)

TO_ANY: dict[str, tuple[Look, Decision]] = {
    "the open Case before the open Lead": (
        cases(case(), leads=(lead(created=ago(hours=1)),)),
        add_to_case(),
    ),
    "the open Lead before a closed Case": (
        cases(closed(ago(minutes=1)), leads=(lead(),)),
        add_to_lead(),
    ),
    "or before a deleted one": (cases(case(deleted=True), leads=(lead(),)), add_to_lead()),
    "without an open one, the Case if the newer Task is on it": (on_both(case=1, lead=2), reopen()),
    "the Contact if the newer Task is there": (on_both(case=2, lead=1), add_to_contact()),
    "the Case if one Task is on a Case and a Contact": (
        cases(
            closed(ago(minutes=1)),
            case_home=ON_A_CASE_AND_A_CONTACT,
            lead_home=ON_A_CASE_AND_A_CONTACT,
        ),
        THANKS,
    ),
    "the only object that has Tasks": (
        cases(closed(ago(days=30)), case_home=home(what_id=CASE)),
        successor_of(CASE),
    ),
    "a Task of either object is the message": (
        cases(case(), seen=[logged(CONTACT)]),
        exists(CONTACT),
    ),
    "a deleted Task too": (cases(case(), seen=[logged(LEAD, deleted=True)]), DELETED),
    "a record under the message's key too": (
        cases(case(key=M, conversation="")),
        EXISTS._replace(task_id=None),
    ),
}


@pytest.mark.parametrize("sentence", TO_ANY)
@pytest.mark.parametrize("channel_object", ["Lead", "Case"])
def test_what_a_route_without_an_object_chooses(sentence: str, channel_object: str) -> None:
    found, expected = TO_ANY[sentence]
    assert goes(found, None, channel_object=channel_object) == expected


def test_where_nothing_is_known_the_channel_s_object_is_made() -> None:
    assert goes(look(), None, channel_object="Lead") == FIRST_LEAD
    assert goes(look(), None, channel_object="Case") == FIRST_CASE


def test_a_case_is_never_reopened_with_reopen_days_0_but_thanks_stay_thanks() -> None:
    never = RULES._replace(reopen_days=0)
    assert goes(cases(closed(ago(minutes=11))), "Case", rules=never) == successor_of(CASE)
    assert goes(cases(closed(ago(minutes=9))), "Case", rules=never) == THANKS


def test_a_deployer_names_the_statuses_of_a_lead_that_is_done() -> None:
    rules = RULES._replace(closed_lead_statuses=frozenset({"Spam"}))
    assert goes(leads(lead(status="Spam")), "Lead", rules=rules) == successor_of(LEAD)
    open_now = goes(leads(lead(status="Unqualified")), "Lead", rules=rules)
    assert open_now == add_to_lead(status="Unqualified")


def test_a_contact_that_refused_the_task_makes_a_lead_of_the_next_try() -> None:
    found = leads(converted())
    assert goes(found, "Lead", gone=frozenset({CONTACT})) == successor_of(LEAD)


REPLAYED: Mapping[str, tuple[ObjectName, Look, Decision]] = {
    "reopens nothing": ("Case", cases(closed(ago(hours=1))), THANKS),
    "opens no successor": ("Case", cases(closed(ago(days=30))), THANKS),
    "goes onto a closed Lead": (
        "Lead",
        leads(lead(status="Unqualified")),
        add_to_lead(status="Unqualified"),
    ),
    "goes nowhere from a converted Lead without a Contact": (
        "Lead",
        leads(converted(contact_id=None)),
        Nowhere("Lead"),
    ),
    "goes onto an open record": ("Lead", leads(lead()), add_to_lead()),
}


@pytest.mark.parametrize("sentence", REPLAYED)
@pytest.mark.parametrize("permit", [Permit.NO_SUCCESSOR, Permit.ADD_ONLY])
def test_a_replayed_message_and_what_our_side_wrote(sentence: str, permit: Permit) -> None:
    requested, found, expected = REPLAYED[sentence]
    assert goes(found, requested, permit=permit) == expected


@pytest.mark.parametrize(("requested", "first"), [("Lead", FIRST_LEAD), ("Case", FIRST_CASE)])
def test_a_replayed_message_makes_the_first_record_and_our_own_makes_none(
    requested: ObjectName, first: Create
) -> None:
    assert goes(look(), requested, permit=Permit.NO_SUCCESSOR) == first
    assert goes(look(), requested, permit=Permit.ADD_ONLY) == Nowhere(requested)


# What holds whatever is found

ALL = [
    *(("Lead", found) for found, _ in TO_LEADS.values()),
    *(("Case", found) for found, _ in TO_CASES.values()),
    *((None, found) for found, _ in TO_ANY.values()),
]


@pytest.mark.parametrize("permit", Permit)
@pytest.mark.parametrize(("requested", "found"), ALL)
def test_whatever_is_found(requested: ObjectName | None, found: Look, permit: Permit) -> None:
    decision = goes(found, requested, permit=permit)
    # Only who may opens anything.
    if permit is not Permit.ANYTHING:
        assert not isinstance(decision, Reopen)
        assert not (isinstance(decision, Create) and decision.is_successor)
    if permit is Permit.ADD_ONLY:
        assert not isinstance(decision, Create)
    # What was added or made is seen by the next look, and then exists.
    if isinstance(decision, (Add, Reopen, Create)):
        made: ObjectName = "Case" if isinstance(decision, Reopen) else decision.object
        where = decision.record_id if isinstance(decision, (Add, Reopen)) else ELSEWHERE_LEAD
        again = found._replace(seen=(*found.seen, logged(where, made)))
        assert isinstance(goes(again, requested, permit=permit), Exists)
    # The order of the rows does not matter.
    lists = {"seen": found.seen, "leads": found.leads, "cases": found.cases}
    turned = {name: tuple(reversed(rows)) for name, rows in lists.items()}
    assert goes(found._replace(**turned), requested, permit=permit) == decision


@pytest.mark.parametrize(
    ("keyed", "expected"),
    [
        ({"leads": (lead(key="rem_1", conversation=""),)}, add_to_lead(adopted=True)),
        ({"cases": (case(key="rem_1", conversation=""),)}, add_to_case(adopted=True)),
        (
            {"cases": (closed(ago(days=1), key="rem_1", conversation=""),)},
            THANKS._replace(adopted=True),
        ),
        ({"leads": (converted(key="rem_1", conversation=""),)}, Create(object="Lead", key=C)),
    ],
)
def test_a_mail_with_a_thread_joins_the_record_of_its_event_without(
    keyed: dict[str, Any], expected: Decision
) -> None:
    name: ObjectName = "Lead" if "leads" in keyed else "Case"
    assert goes(Look(conversation=C, message="rem_1", **keyed), name) == expected
