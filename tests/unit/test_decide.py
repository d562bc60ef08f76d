"""Where a message of a conversation goes: the table, one sentence a row, and what holds for all."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conversations.decide import (
    Add,
    CaseRow,
    Create,
    Decision,
    Exists,
    Follow,
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


def task(object_name: ObjectName, **fields: Any) -> SeenTask:
    return SeenTask(**({"id": TASK, "key": task_key(object_name, M)} | fields))


def look(**found: Any) -> Look:
    return Look(conversation=C, message=M, **found)


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


FIRST_LEAD = Create(object="Lead", key=C)
FIRST_CASE = Create(object="Case", key=C)
THANKS = add_to_case(status="Closed", status_may_change=False)


TABLE: dict[str, tuple[ObjectName, Look, Decision]] = {
    # A live Task of the message
    "a message whose Task is there exists": (
        "Lead",
        look(leads=(lead(),), seen=(task("Lead", who_id=LEAD),)),
        Exists(object="Lead", record_id=LEAD, task_id=TASK),
    ),
    "it exists on the record that has the Task now, not on the newest": (
        "Case",
        look(cases=(case(CASE_2, created=ago(days=1)),), seen=(task("Case", what_id=CASE),)),
        Exists(object="Case", record_id=CASE, task_id=TASK),
    ),
    "with the Case's number": (
        "Case",
        look(cases=(case(),), seen=(task("Case", what_id=CASE),)),
        Exists(object="Case", record_id=CASE, number="00001026", task_id=TASK),
    ),
    "a Lead's Task that moved at conversion exists on the Contact": (
        "Lead",
        look(leads=(converted(),), seen=(task("Lead", who_id=CONTACT, what_id=OPPORTUNITY),)),
        Exists(object="Contact", record_id=CONTACT, task_id=TASK),
    ),
    "a Case's Task exists on the Case, even if somebody named a Contact on it": (
        "Case",
        look(cases=(case(),), seen=(task("Case", who_id=CONTACT, what_id=CASE),)),
        Exists(object="Case", record_id=CASE, number="00001026", task_id=TASK),
    ),
    "a Task that somebody took off its record exists all the same": (
        "Lead",
        look(seen=(task("Lead"),)),
        Exists(task_id=TASK),
    ),
    "the Task of the other object does not count": (
        "Lead",
        look(cases=(case(),), seen=(task("Case", what_id=CASE),)),
        FIRST_LEAD,
    ),
    "but it does on the very record that the message would go to": (
        "Case",
        look(cases=(case(),), seen=(task("Lead", what_id=CASE),)),
        Exists(object="Case", record_id=CASE, number="00001026", task_id=TASK),
    ),
    "a record under the message's key, of no conversation, is the message": (
        "Lead",
        look(leads=(lead(key=M, conversation=""),)),
        Exists(object="Lead", record_id=LEAD),
    ),
    # A deleted Task
    "a message whose Task was deleted exists, deleted, and makes no record": (
        "Lead",
        look(seen=(task("Lead", who_id=LEAD, deleted=True),)),
        Exists(deleted=True),
    ),
    "also beside an open record": (
        "Lead",
        look(leads=(lead(),), seen=(task("Lead", who_id=LEAD, deleted=True),)),
        Exists(deleted=True),
    ),
    "a deleted Task of the other object is none of this one's": (
        "Case",
        look(seen=(task("Lead", deleted=True),)),
        FIRST_CASE,
    ),
    "a live Task counts more than a deleted one of the same key": (
        "Lead",
        look(
            leads=(lead(),),
            seen=(
                task("Lead", id="00T000000000001AAA", deleted=True),
                task("Lead", id="00T000000000002AAA", who_id=LEAD),
            ),
        ),
        Exists(object="Lead", record_id=LEAD, task_id="00T000000000002AAA"),
    ),
    "a record under the message's key that was deleted is not made again": (
        "Lead",
        look(leads=(lead(key=M, conversation="", deleted=True),)),
        Exists(deleted=True),
    ),
    # An open record
    "an open Lead gets the message": ("Lead", look(leads=(lead(),)), add_to_lead()),
    "an open Case gets the message, and its status may change": (
        "Case",
        look(cases=(case(),)),
        add_to_case(),
    ),
    "of several open ones the newest": (
        "Lead",
        look(leads=(lead(), lead(LEAD_2, key="k2", created=ago(days=1)))),
        add_to_lead(LEAD_2),
    ),
    "an older open one rather than a newer closed one": (
        "Case",
        look(cases=(case(), closed(ago(hours=1), id=CASE_2, key="k2", created=ago(days=1)))),
        add_to_case(),
    ),
    "a record that an older flow made under the conversation's id is its first": (
        "Lead",
        look(leads=(lead(conversation=""),)),
        add_to_lead(),
    ),
    "a clone, whose key is empty, is no record of the conversation": (
        "Lead",
        look(leads=(lead(LEAD_2, key="", created=ago(hours=1)), lead())),
        add_to_lead(),
    ),
    "a deleted record is none": ("Lead", look(leads=(lead(deleted=True),)), FIRST_LEAD),
    "a Lead of a closed status is not open": (
        "Lead",
        look(leads=(lead(status="closed - not converted "),)),
        successor_of(LEAD),
    ),
    # A closed Case
    "a Case closed nine minutes ago gets the thanks and stays closed": (
        "Case",
        look(cases=(closed(ago(minutes=9)),)),
        THANKS,
    ),
    "one that will be closed in a second, by Salesforce's clock, too": (
        "Case",
        look(cases=(closed(ago(seconds=-1)),)),
        THANKS,
    ),
    "a Case closed ten minutes ago is reopened": (
        "Case",
        look(cases=(closed(ago(minutes=10)),)),
        reopen(),
    ),
    "a Case closed just under three days ago is reopened": (
        "Case",
        look(cases=(closed(ago(days=2, hours=23, minutes=59)),)),
        reopen(),
    ),
    "a Case closed three days ago gets a successor": (
        "Case",
        look(cases=(closed(ago(days=3)),)),
        successor_of(CASE),
    ),
    "a Case that does not say when it was closed gets a successor": (
        "Case",
        look(cases=(closed(None),)),
        successor_of(CASE),
    ),
    "a successor has its predecessor's Contact, Account and record type": (
        "Case",
        look(
            cases=(
                closed(
                    ago(days=30),
                    contact_id=CONTACT,
                    account_id="001000000000001AAA",
                    record_type_id="012000000000001AAA",
                ),
            )
        ),
        successor_of(
            CASE,
            ContactId=CONTACT,
            AccountId="001000000000001AAA",
            RecordTypeId="012000000000001AAA",
        ),
    ),
    "the newest closed Case is the one that counts": (
        "Case",
        look(
            cases=(
                closed(ago(minutes=1)),
                closed(ago(days=30), id=CASE_2, key="k2", created=ago(days=1)),
            )
        ),
        successor_of(CASE_2),
    ),
    "after a deleted successor the newest that is left counts": (
        "Case",
        look(
            cases=(closed(ago(hours=1)), case(CASE_2, key="k2", created=ago(days=1), deleted=True))
        ),
        reopen(),
    ),
    # Conversion and merge
    "after a conversion the message goes where the newest Task is, with its WhatId": (
        "Lead",
        look(leads=(converted(),), lead_home=home(who_id=CONTACT, what_id=OPPORTUNITY)),
        add_to_contact(what_id=OPPORTUNITY),
    ),
    "while the newest Task there is open, nobody needs another": (
        "Lead",
        look(leads=(converted(),), lead_home=home(who_id=CONTACT, closed=False)),
        add_to_contact(for_owner=False),
    ),
    "a Lead merged into one that is not the conversation's is followed": (
        "Lead",
        look(leads=(lead(deleted=True),), lead_home=home(who_id=ELSEWHERE_LEAD)),
        add_to_lead(ELSEWHERE_LEAD, status=""),
    ),
    "an open Lead of the conversation counts more than where older Tasks went": (
        "Lead",
        look(leads=(lead(),), lead_home=home(who_id=CONTACT)),
        add_to_lead(),
    ),
    "a Task on a Lead of the conversation shows nothing new": (
        "Lead",
        look(leads=(lead(status="Unqualified"),), lead_home=home(who_id=LEAD)),
        successor_of(LEAD),
    ),
    "a Case merged into one that is not the conversation's has to be read first": (
        "Case",
        look(cases=(case(deleted=True),), case_home=home(what_id=ELSEWHERE_CASE)),
        Follow(ELSEWHERE_CASE),
    ),
    "and gets the message if it is open": (
        "Case",
        look(
            cases=(case(deleted=True),),
            case_home=home(what_id=ELSEWHERE_CASE, who_id=CONTACT),
            homes={ELSEWHERE_CASE: case(ELSEWHERE_CASE, key="", conversation="")},
        ),
        add_to_case(ELSEWHERE_CASE, who_id=CONTACT),
    ),
    "is reopened if it was closed lately": (
        "Case",
        look(
            case_home=home(what_id=ELSEWHERE_CASE),
            homes={ELSEWHERE_CASE: closed(ago(hours=1), id=ELSEWHERE_CASE, key="")},
        ),
        reopen(ELSEWHERE_CASE),
    ),
    "and has a successor if it was closed long ago": (
        "Case",
        look(
            case_home=home(what_id=ELSEWHERE_CASE),
            homes={ELSEWHERE_CASE: closed(ago(days=30), id=ELSEWHERE_CASE, key="")},
        ),
        successor_of(ELSEWHERE_CASE),
    ),
    "a merged Case that the org keeps, closed, does not hold the message up": (
        "Case",
        look(
            cases=(closed(ago(hours=1), created=ago(days=9)),),
            case_home=home(what_id=ELSEWHERE_CASE, created=ago(days=1)),
            homes={ELSEWHERE_CASE: case(ELSEWHERE_CASE, key="")},
        ),
        add_to_case(ELSEWHERE_CASE),
    ),
    "nor one whose only message came with it: both are of the same second": (
        "Case",
        look(
            cases=(closed(ago(hours=1), created=ago(days=9)),),
            case_home=home(what_id=ELSEWHERE_CASE, created=ago(days=9)),
            homes={ELSEWHERE_CASE: case(ELSEWHERE_CASE, key="")},
        ),
        add_to_case(ELSEWHERE_CASE),
    ),
    "nor does an old merge hold up a Case that was made after it": (
        "Case",
        look(
            cases=(closed(ago(hours=1), created=ago(days=2)),),
            case_home=home(what_id=ELSEWHERE_CASE, created=ago(days=5)),
            homes={ELSEWHERE_CASE: case(ELSEWHERE_CASE, key="")},
        ),
        reopen(),
    ),
    "a merged Case that cannot be seen is none": (
        "Case",
        look(case_home=home(what_id=ELSEWHERE_CASE), homes={ELSEWHERE_CASE: None}),
        FIRST_CASE,
    ),
    "nor is one that was deleted since": (
        "Case",
        look(
            case_home=home(what_id=ELSEWHERE_CASE),
            homes={ELSEWHERE_CASE: case(ELSEWHERE_CASE, deleted=True)},
        ),
        FIRST_CASE,
    ),
    "a converted Lead without Tasks leads to its Contact, and the owner hears of it": (
        "Lead",
        look(leads=(converted(),)),
        add_to_contact(),
    ),
    "one without a Contact does not": (
        "Lead",
        look(leads=(converted(contact_id=None),)),
        successor_of(LEAD),
    ),
    # Else
    "a conversation that nobody knows makes a Lead": ("Lead", look(), FIRST_LEAD),
    "or a Case": ("Case", look(), FIRST_CASE),
    "the open Lead is no reason against a Case": ("Case", look(leads=(lead(),)), FIRST_CASE),
}


@pytest.mark.parametrize("sentence", TABLE)
def test_where_a_message_goes(sentence: str) -> None:
    requested, found, expected = TABLE[sentence]
    assert goes(found, requested) == expected


CHOICES: dict[str, tuple[Look, ObjectName, Decision]] = {
    "the open Case before the open Lead": (
        look(cases=(case(),), leads=(lead(created=ago(hours=1)),)),
        "Lead",
        add_to_case(),
    ),
    "the open Lead before a closed Case": (
        look(cases=(closed(ago(minutes=1)),), leads=(lead(),)),
        "Case",
        add_to_lead(),
    ),
    "without an open one, the Case if the newer Task is on it": (
        look(
            cases=(closed(ago(hours=1)),),
            leads=(converted(),),
            case_home=home(what_id=CASE, created=ago(hours=1)),
            lead_home=home(who_id=CONTACT, created=ago(hours=2)),
        ),
        "Lead",
        reopen(),
    ),
    "the Contact if the newer Task is there": (
        look(
            cases=(closed(ago(hours=1)),),
            leads=(converted(),),
            case_home=home(what_id=CASE, created=ago(hours=2)),
            lead_home=home(who_id=CONTACT, created=ago(hours=1)),
        ),
        "Case",
        add_to_contact(),
    ),
    "the Case if one Task is on a Case and a Contact": (
        look(
            cases=(closed(ago(minutes=1)),),
            case_home=home(what_id=CASE, who_id=CONTACT),
            lead_home=home(what_id=CASE, who_id=CONTACT),
        ),
        "Lead",
        THANKS,
    ),
    "the only object that has Tasks": (
        look(cases=(closed(ago(days=30)),), case_home=home(what_id=CASE)),
        "Lead",
        successor_of(CASE),
    ),
    "the channel's Lead where nothing is known": (look(), "Lead", FIRST_LEAD),
    "the channel's Case where nothing is known": (look(), "Case", FIRST_CASE),
    "a Task of either object is the message": (
        look(cases=(case(),), seen=(task("Lead", who_id=CONTACT),)),
        "Lead",
        Exists(object="Contact", record_id=CONTACT, task_id=TASK),
    ),
    "a deleted Task of either object too": (
        look(cases=(case(),), seen=(task("Lead", deleted=True),)),
        "Case",
        Exists(deleted=True),
    ),
    "a record under the message's key of either object too": (
        look(cases=(case(key=M, conversation=""),)),
        "Lead",
        Exists(object="Case", record_id=CASE, number="00001026"),
    ),
}


@pytest.mark.parametrize("sentence", CHOICES)
def test_what_a_route_without_an_object_chooses(sentence: str) -> None:
    found, channel_object, expected = CHOICES[sentence]
    assert goes(found, None, channel_object=channel_object) == expected


def test_a_case_is_never_reopened_with_reopen_days_0_but_thanks_stay_thanks() -> None:
    never = RULES._replace(reopen_days=0)
    assert goes(look(cases=(closed(ago(minutes=11)),)), "Case", rules=never) == successor_of(CASE)
    assert goes(look(cases=(closed(ago(minutes=9)),)), "Case", rules=never) == THANKS


def test_a_deployer_names_the_statuses_of_a_lead_that_is_done() -> None:
    rules = RULES._replace(closed_lead_statuses=frozenset({"Spam"}))
    assert goes(look(leads=(lead(status="Spam"),)), "Lead", rules=rules) == successor_of(LEAD)
    open_now = goes(look(leads=(lead(status="Unqualified"),)), "Lead", rules=rules)
    assert open_now == add_to_lead(status="Unqualified")


def test_a_contact_that_refused_the_task_makes_a_lead_of_the_next_try() -> None:
    found = look(leads=(converted(),))
    assert goes(found, "Lead", gone=frozenset({CONTACT})) == successor_of(LEAD)


REPLAYED: Mapping[str, tuple[ObjectName, Look, Decision]] = {
    "reopens nothing": ("Case", look(cases=(closed(ago(hours=1)),)), THANKS),
    "opens no successor": ("Case", look(cases=(closed(ago(days=30)),)), THANKS),
    "goes onto a closed Lead": (
        "Lead",
        look(leads=(lead(status="Unqualified"),)),
        add_to_lead(status="Unqualified"),
    ),
    "goes nowhere from a converted Lead without a Contact": (
        "Lead",
        look(leads=(converted(contact_id=None),)),
        Nowhere("Lead"),
    ),
    "goes onto an open record": ("Lead", look(leads=(lead(),)), add_to_lead()),
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

IDS = {
    name: st.sampled_from([f"{prefix}00000000000{n}AAA" for n in range(1, 5)])
    for name, prefix in {"lead": "00Q", "case": "500", "contact": "003", "task": "00T"}.items()
}
MOMENTS = st.integers(-1, 6 * 24 * 60).map(lambda minutes: ago(minutes=minutes))
CONVERSATIONS = st.sampled_from([C, C, C, "", "other"])
KEYS = st.sampled_from([C, M, "", record_key(C, CASE), record_key(C, LEAD)])
LEADS = st.builds(
    LeadRow,
    id=IDS["lead"],
    key=KEYS,
    conversation=CONVERSATIONS,
    created=MOMENTS,
    status=st.sampled_from(["Open - Not Contacted", "Unqualified", "", "Working"]),
    converted=st.booleans(),
    contact_id=st.none() | IDS["contact"],
    deleted=st.booleans(),
)
CASES = st.builds(
    CaseRow,
    id=IDS["case"],
    key=KEYS,
    conversation=CONVERSATIONS,
    created=MOMENTS,
    status=st.sampled_from(["New", "Closed"]),
    closed=st.booleans(),
    closed_at=st.none() | MOMENTS,
    contact_id=st.none() | IDS["contact"],
    deleted=st.booleans(),
)
ANYTHING_AT_ALL = st.none() | IDS["lead"] | IDS["case"] | IDS["contact"] | st.just(OPPORTUNITY)
TASKS = st.builds(
    SeenTask,
    id=IDS["task"],
    key=st.sampled_from([task_key("Lead", M), task_key("Case", M)]),
    who_id=ANYTHING_AT_ALL,
    what_id=ANYTHING_AT_ALL,
    deleted=st.booleans(),
)


def homes(*, who: Any, what: Any) -> Any:
    made = st.builds(
        Home, task_id=IDS["task"], created=MOMENTS, who_id=who, what_id=what, closed=st.booleans()
    )
    return st.none() | made


LOOKS = st.builds(
    Look,
    conversation=st.just(C),
    message=st.just(M),
    seen=st.lists(TASKS, max_size=3, unique_by=lambda row: row.id).map(tuple),
    leads=st.lists(LEADS, max_size=4, unique_by=lambda row: row.id).map(tuple),
    cases=st.lists(CASES, max_size=4, unique_by=lambda row: row.id).map(tuple),
    lead_home=homes(who=IDS["lead"] | IDS["contact"], what=ANYTHING_AT_ALL),
    case_home=homes(who=st.none() | IDS["contact"], what=IDS["case"]),
    homes=st.dictionaries(IDS["case"], st.none() | CASES, max_size=4),
)
OBJECTS = st.sampled_from(["Lead", "Case"])
HOW = st.fixed_dictionaries(
    {
        "channel_object": OBJECTS,
        "permit": st.sampled_from(Permit),
        "gone": st.frozensets(IDS["contact"], max_size=1),
    }
)


def open_rows(found: Look, name: str) -> list[LeadRow | CaseRow]:
    rows: tuple[LeadRow | CaseRow, ...] = found.leads if name == "Lead" else found.cases
    return [
        row
        for row in rows
        if row.key
        and (row.conversation == C or (row.key == C and not row.conversation))
        and RULES.is_open(row)
    ]


@given(LOOKS, st.none() | OBJECTS, HOW, st.randoms(use_true_random=False))
def test_whatever_is_found(
    found: Look, requested: Any, how: dict[str, Any], order: random.Random
) -> None:
    decision = goes(found, requested, **how)
    # It names what it is about.
    if isinstance(decision, Add):
        assert decision.record_id in (decision.who_id, decision.what_id)
    elif isinstance(decision, Create):
        assert decision.is_successor == (decision.key != C)
    elif isinstance(decision, Follow):
        assert decision.case_id not in found.homes
    elif isinstance(decision, Exists):
        assert decision.deleted or decision.task_id or decision.record_id
    # Nothing is opened beside an open record.
    if isinstance(decision, Create):
        assert not open_rows(found, decision.object)
    if isinstance(decision, Reopen):
        assert not open_rows(found, "Case")
    # Only who may opens anything.
    if how["permit"] is not Permit.ANYTHING:
        assert not isinstance(decision, Reopen)
        assert not (isinstance(decision, Create) and decision.is_successor)
    if how["permit"] is Permit.ADD_ONLY:
        assert not isinstance(decision, Create)
    # What was added or made is seen by the next look, and then exists.
    if isinstance(decision, (Add, Reopen, Create)):
        o: ObjectName = "Case" if isinstance(decision, Reopen) else decision.object
        where = decision.record_id if isinstance(decision, (Add, Reopen)) else ELSEWHERE_LEAD
        again = found._replace(seen=(*found.seen, task(o, who_id=where)))
        assert isinstance(goes(again, requested, **how), Exists)
    # The order of the rows does not matter.
    lists = {"seen": found.seen, "leads": found.leads, "cases": found.cases}
    mixed = {name: tuple(order.sample(rows, len(rows))) for name, rows in lists.items()}
    assert goes(found._replace(**mixed), requested, **how) == decision


@pytest.mark.parametrize(
    ("keyed", "expected"),
    [
        ({"leads": (lead(key="rem_1", conversation=""),)}, add_to_lead(adopted=True)),
        ({"cases": (case(key="rem_1", conversation=""),)}, add_to_case(adopted=True)),
        (
            {"cases": (closed(ago(days=1), key="rem_1", conversation=""),)},
            add_to_case(status="Closed", status_may_change=False, adopted=True),
        ),
        ({"leads": (converted(key="rem_1", conversation=""),)}, Create(object="Lead", key=C)),
    ],
)
def test_a_mail_with_a_thread_joins_the_record_of_its_event_without(
    keyed: dict[str, Any], expected: Decision
) -> None:
    name: ObjectName = "Lead" if "leads" in keyed else "Case"
    assert goes(Look(conversation=C, message="rem_1", **keyed), name) == expected
