"""The write: what a decision sends, and what its responses mean for the message.

What the parts do in an org is tested in tests/functional/conversations.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.conversations.decide import Add, Create, Reopen
from bridge.conversations.look import NOT_SET_UP
from bridge.conversations.message import Message
from bridge.conversations.write import (
    AlreadyLogged,
    LeaveOut,
    Logged,
    NotTaken,
    ParentGone,
    Written,
    parts_of,
    read_written,
)
from bridge.errors import (
    DuplicatesDetected,
    KeyTaken,
    OrgNotReady,
    Refused,
    RowLocked,
    SalesforceProblem,
)
from bridge.salesforce.composite import (
    Part,
    PartResponse,
    composite,
    halted,
    holds_reference,
    in_calls,
    resolved,
)
from bridge.settings import Settings
from tests.conftest import ENVIRON
from tests.unit.doubles import part_failure as failure

BASE = "/services/data/v68.0"
C, M = "conversation-1", "message-1"
LEAD, CASE, CONTACT = "00Q000000000001EAA", "500000000000001AAA", "003000000000001AAA"
TASK, OPPORTUNITY = "00T000000000001EAA", "006000000000001AAA"
SENT = datetime(2026, 11, 30, 14, 3, 7, tzinfo=UTC)
SENT_TEXT = "2026-11-30T14:03:07.000Z"
OPTIONS = Settings.from_environ(ENVIRON)
NOT_REASSIGNED = {"Sforce-Auto-Assign": "FALSE"}


def message(**fields: Any) -> Message:
    values: dict[str, Any] = {
        "conversation": C,
        "key": M,
        "requested": None,
        "channel_object": "Case",
        "sent_at": SENT,
        "fields": {"Priority": "High"},
        "derived": {
            "Lead": {"LastName": "Berg", "LeadSource": "WhatsApp"},
            "Case": {"Origin": "WhatsApp", "Subject": "WhatsApp: Hi"},
        },
        "task": {"Subject": "WhatsApp: Hi", "Description": "Hi"},
    }
    return Message(**(values | fields))


TO_LEAD = Add(object="Lead", record_object="Lead", record_id=LEAD, who_id=LEAD)
TO_CASE = Add(
    object="Case",
    record_object="Case",
    record_id=CASE,
    what_id=CASE,
    number="00001026",
    status="New",
    status_may_change=True,
)
TO_CONTACT = Add(
    object="Lead",
    record_object="Contact",
    record_id=CONTACT,
    who_id=CONTACT,
    what_id=OPPORTUNITY,
    for_owner=True,
)
NEW_LEAD = Create(object="Lead", key=C)
NEW_CASE = Create(object="Case", key=C)
SUCCESSOR = Create(
    object="Case", key="k-2", derived={"ParentId": CASE, "ContactId": CONTACT}, predecessor_id=CASE
)
REOPEN = Reopen(record_id=CASE, successor=SUCCESSOR, number="00001026")


Decision = Add | Create | Reopen


def created(record_id: str) -> PartResponse:
    return PartResponse(201, {"id": record_id, "success": True, "errors": []})


def sent(decision: Decision, *, about: Message | None = None, **how: Any) -> Any:
    """The composite that a decision sends, by the names of its parts."""
    options = how.pop("options", OPTIONS)
    write = parts_of(about or message(), decision, options, **how)
    body = composite(write.parts, base=BASE, all_or_none=write.all_or_none)
    assert body["allOrNone"] is (decision is REOPEN)
    assert body["collateSubrequests"] is False
    assert json.loads(json.dumps(body)) == body
    return {part.pop("referenceId"): part for part in body["compositeRequest"]}


# Added


ON_REPLY = OPTIONS._replace(case_status_on_reply="Customer replied")


def test_a_deployer_may_have_the_status_of_an_open_case_set() -> None:
    assert sent(TO_CASE, options=ON_REPLY)["touch"]["body"] == {
        "Bird_Last_Message__c": SENT_TEXT,
        "Status": "Customer replied",
    }
    thanks = TO_CASE._replace(status="Closed", status_may_change=False)
    assert "Status" not in sent(thanks, options=ON_REPLY)["touch"]["body"]
    assert "Status" not in sent(TO_LEAD, options=ON_REPLY)["touch"]["body"]


def test_the_last_message_s_time_never_moves_back() -> None:
    later = TO_CASE._replace(last_message=SENT + timedelta(seconds=1))
    assert list(sent(later)) == ["add"]
    assert sent(later, options=ON_REPLY)["touch"]["body"] == {"Status": "Customer replied"}
    same = TO_CASE._replace(last_message=SENT, status="Customer replied")
    assert list(sent(same, options=ON_REPLY)) == ["add"]
    earlier = TO_CASE._replace(last_message=SENT - timedelta(seconds=1))
    assert sent(earlier)["touch"]["body"] == {"Bird_Last_Message__c": SENT_TEXT}


COMMENTS = OPTIONS._replace(case_comments=True)


def test_a_comment_hangs_on_the_task_too() -> None:
    assert list(sent(TO_CASE, options=COMMENTS)) == ["add", "parent", "touch", "comment"]
    assert "comment" not in sent(TO_LEAD, options=COMMENTS)
    assert "comment" not in sent(TO_CASE, options=COMMENTS, with_comment=False)
    later = TO_CASE._replace(last_message=SENT + timedelta(seconds=1))
    assert list(sent(later, options=COMMENTS)) == ["add", "parent", "comment"]


@pytest.mark.parametrize(
    ("decision", "without"),
    [(TO_CONTACT._replace(for_owner=False), set()), (TO_CONTACT, {"OwnerId"})],
    ids=["whose newest Task is open", "whose owner cannot have one"],
)
def test_a_contact_gets_a_completed_task(decision: Add, without: set[str]) -> None:
    parts = sent(decision, without=frozenset(without))
    assert list(parts) == ["add"]
    assert parts["add"]["body"]["Status"] == "Completed"
    assert "OwnerId" not in parts["add"]["body"]


def test_what_our_side_wrote_touches_nothing() -> None:
    ours = message(from_us=True)
    assert list(sent(TO_CASE, about=ours, options=COMMENTS)) == ["add"]
    parts = sent(TO_CONTACT, about=ours)
    assert list(parts) == ["add"]
    assert parts["add"]["body"]["Status"] == "Completed"


def test_the_table_of_channels_may_name_the_org_s_closed_status() -> None:
    about = message(task={"Subject": "Hi", "Status": "Erledigt"})
    assert sent(TO_LEAD, about=about)["add"]["body"]["Status"] == "Erledigt"
    body = sent(TO_LEAD, about=about, without=frozenset({"Status", "ActivityDate"}))["add"]["body"]
    assert {"Status", "ActivityDate"} & set(body) == set(), "where it is refused, none"


# Made


def test_a_new_record_has_the_headers_of_an_insert_and_its_task_has_none() -> None:
    headers = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    parts = sent(NEW_LEAD, insert_headers=headers)
    assert parts["create"]["httpHeaders"] == headers
    assert parts["add"]["httpHeaders"] == NOT_REASSIGNED
    assert "httpHeaders" not in sent(NEW_LEAD)["create"]


def test_a_new_case_is_asked_for_its_number() -> None:
    number = {"method": "GET", "url": f"{BASE}/sobjects/Case/@{{create.id}}?fields=CaseNumber"}
    assert sent(NEW_CASE)["number"] == number
    assert "number" not in sent(NEW_LEAD)


def test_a_successor_inherits_what_the_caller_does_not_give() -> None:
    body = sent(SUCCESSOR)["create"]["body"]
    assert (body["Bird_Key__c"], body["ParentId"], body["ContactId"]) == ("k-2", CASE, CONTACT)
    body = sent(SUCCESSOR, about=message(fields={"contactid": "003x"}))["create"]["body"]
    assert "ContactId" not in body
    assert body["contactid"] == "003x"
    body = sent(SUCCESSOR, record_without=frozenset({"ContactId"}))["create"]["body"]
    assert "ContactId" not in body


def test_nobody_else_writes_our_fields() -> None:
    about = message(fields={"bird_conversation__C": "theirs", "BIRD_LAST_MESSAGE__C": "never"})
    body = sent(NEW_CASE, about=about)["create"]["body"]
    assert body["Bird_Conversation__c"] == C
    assert not {"bird_conversation__C", "BIRD_LAST_MESSAGE__C"} & set(body)


# Texts that look like references


TRICKY = message(task={"Subject": "Hi", "Description": "mail @{Bob} me"})


def test_an_ordinary_message_is_one_call() -> None:
    assert len(in_calls(parts_of(message(), TO_CASE, COMMENTS).parts)) == 1


@pytest.mark.parametrize(
    ("decision", "calls"),
    [
        (TO_LEAD, [["add"], ["parent", "touch"]]),
        (TO_CASE, [["add"], ["parent", "touch"], ["comment"]]),
        (TO_CONTACT, [["owner"], ["add"]]),
        (NEW_LEAD, [["create"], ["add"]]),
        # The Case is opened first, so that no message waits on one that stays closed.
        (REOPEN, [["reopen"], ["add"], ["parent"], ["comment"]]),
    ],
)
def test_a_text_like_a_reference_is_sent_alone_and_unchanged(
    decision: Decision, calls: list[list[str]]
) -> None:
    about = replace(TRICKY, derived={"Lead": {"Description": "mail @{Bob} me"}})
    made = in_calls(parts_of(about, decision, COMMENTS).parts)
    assert [[part.name for part in call] for call in made] == calls
    alone = [call[0] for call in made if holds_reference(call[0])]
    assert all("mail @{Bob} me" in str(part.body) for part in alone)


def test_a_reference_in_a_nested_value_is_seen() -> None:
    part = Part(name="a", method="POST", path=("/x",), body={"Account": {"Key__c": ["@{x.y}"]}})
    assert holds_reference(part)


def test_what_hangs_on_a_part_that_is_done_gets_its_values() -> None:
    parent, touch = in_calls(parts_of(TRICKY, TO_LEAD, OPTIONS).parts)[1]
    done = {"add": created(TASK)}
    one, other = resolved(parent, done), resolved(touch, done)
    assert one and one.path == ("/sobjects/Task/", TASK, "?fields=WhoId,WhatId")
    assert other == touch  # its reference is to a part of the same call
    for not_done in (failure("DUPLICATE_VALUE"), PartResponse(201, {})):
        assert resolved(parent, {"add": not_done}) is None


# What the responses mean

ROLLED_BACK = failure(
    "PROCESSING_HALTED",
    "The transaction was rolled back since another operation in the same transaction failed.",
)
DONE = PartResponse(204, None)
PARENT_READ = PartResponse(200, {"attributes": {"type": "Task"}, "WhoId": None, "WhatId": CASE})
NUMBER = PartResponse(200, {"CaseNumber": "00001026", "Id": CASE})
OWNER = PartResponse(200, {"OwnerId": "005000000000001AAA"})


def taken(field: str, record_id: str) -> PartResponse:
    text = f"duplicate value found: {field} duplicates value on record with id: {record_id}"
    return failure("DUPLICATE_VALUE", text, fields=[])


KEY_TAKEN = taken("Bird_Key__c", TASK[:15])
INVALID = failure("FIELD_CUSTOM_VALIDATION_EXCEPTION", "say why", fields=[])
LOCKED = failure("UNABLE_TO_LOCK_ROW")
DELETED = failure("ENTITY_IS_DELETED", "entity is deleted")
NOT_FOUND = failure("NOT_FOUND", "The requested resource does not exist", status=404)
NO_ACCESS = failure("INSUFFICIENT_ACCESS_OR_READONLY", status=403)
SUBJECT_TOO_LONG = failure("STRING_TOO_LONG", fields=["Subject"])
NO_STATUS = failure("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", fields=["Status"])
NO_SOURCE = failure("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", fields=["LeadSource"])


def read(decision: Decision, options: Settings = OPTIONS, **responses: Any) -> Written:
    write = parts_of(message(), decision, options)
    assert set(responses) <= {part.name for part in write.parts}
    return read_written(message(), decision, write, responses, options)


def test_a_message_that_was_added() -> None:
    assert read(TO_CASE, add=created(TASK), parent=PARENT_READ, touch=DONE) == Logged(
        task_id=TASK, record_object="Case", record_id=CASE, number="00001026"
    )


def test_a_case_that_was_reopened() -> None:
    assert read(REOPEN, add=created(TASK), parent=PARENT_READ, reopen=DONE) == Logged(
        task_id=TASK, record_object="Case", record_id=CASE, number="00001026", reopened=True
    )


def test_a_record_that_was_made_with_its_message() -> None:
    made = Logged(task_id=TASK, record_object="Case", record_id=CASE, created=True)
    known, unknown = made._replace(number="00001026"), failure("UNKNOWN_EXCEPTION")
    case = {"create": created(CASE), "add": created(TASK)}
    assert read(NEW_CASE, **case, number=NUMBER) == known
    assert read(NEW_CASE, **case, number=unknown) == made
    assert read(NEW_LEAD, create=created(LEAD[:15]), add=created(TASK)) == Logged(
        task_id=TASK, record_object="Lead", record_id=LEAD, created=True
    )


def test_trouble_with_what_hangs_on_it_takes_nothing_away() -> None:
    found = read(
        TO_CASE, COMMENTS, add=created(TASK), parent=PARENT_READ, touch=LOCKED, comment=NO_ACCESS
    )
    assert isinstance(found, Logged)
    assert isinstance(found.problems["touch"], RowLocked)
    assert type(found.problems["comment"]) is Refused


def test_sent_one_by_one_a_message_may_be_logged_on_a_case_that_stays_closed() -> None:
    found = read(REOPEN, add=created(TASK), parent=PARENT_READ, reopen=INVALID)
    assert isinstance(found, Logged)
    assert not found.reopened
    assert set(found.problems) == {"reopen"}


@pytest.mark.parametrize(
    ("response", "problem"), [(INVALID, Refused), (LOCKED, RowLocked), (KEY_TAKEN, KeyTaken)]
)
def test_a_task_that_is_refused_beside_a_made_record_is_logged_later(
    response: PartResponse, problem: type[SalesforceProblem]
) -> None:
    found = read(NEW_LEAD, create=created(LEAD), add=response)
    assert isinstance(found, Logged)
    assert (found.record_object, found.record_id, found.task_id) == ("Lead", LEAD, "")
    assert type(found.not_logged) is problem


def in_words(decision: Decision, options: Settings = OPTIONS, **responses: Any) -> str:
    """What has become of a message that was not logged."""
    try:
        written = read(decision, options, **responses)
    except SalesforceProblem as problem:
        return type(problem).__name__
    match written:
        case AlreadyLogged(task_id):
            return f"logged already: {task_id}"
        case NotTaken(problem=KeyTaken(existing_id=record_id)):
            return f"made meanwhile: {record_id}"
        case ParentGone(record_id, problem):
            return f"{record_id} is gone: {problem.code}"
        case LeaveOut("comment"):
            return "without the comment"
        case LeaveOut("reopen"):
            return "a successor"
        case LeaveOut(what, fields):
            return f"leave out of the {what}: {', '.join(sorted(fields))}"
        case NotTaken(what, problem):
            return f"{what} refused: {problem.code}"
        case Logged():
            return "logged"


HALTED = {"parent": halted(), "touch": halted()}
UNKNOWN_TAKEN = taken("<unknown>", "<unknown>")
NO_RECORD = {"number": halted(), "add": halted()}
NO_DATE = failure("INVALID_FIELD", "No such column 'ActivityDate' on sobject of type Task")
REFUSED = "message refused: STRING_TOO_LONG"
NO_OWNER = "leave out of the message: OwnerId"

ROWS: list[tuple[Decision, dict[str, PartResponse], str]] = [
    # A repetition's Task is a duplicate and changes nothing. Of one that is just being made
    # Salesforce may tell nothing; on another field it is a refusal.
    (TO_CASE, {"add": KEY_TAKEN, **HALTED}, f"logged already: {TASK}"),
    (TO_CASE, {"add": UNKNOWN_TAKEN}, "logged already: None"),
    (TO_CASE, {"add": taken("Ticket__c", TASK[:15])}, "message refused: DUPLICATE_VALUE"),
    # A record that went meanwhile is looked for again.
    *(
        (TO_LEAD, {"add": failure(code, fields=[]), **HALTED}, f"{LEAD} is gone: {code}")
        for code in (
            *("CANNOT_UPDATE_CONVERTED_LEAD", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"),
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
        )
    ),
    # Refused derived fields are left out, but no words of a customer.
    (TO_LEAD, {"add": NO_STATUS}, "leave out of the message: Status"),
    (TO_LEAD, {"add": NO_DATE}, "leave out of the message: ActivityDate"),
    (TO_LEAD, {"add": SUBJECT_TOO_LONG}, "leave out of the message: Subject"),
    (TO_LEAD, {"add": failure("STRING_TOO_LONG", fields=["Description"])}, REFUSED),
    (TO_LEAD, {"add": failure("STRING_TOO_LONG", fields=["Subject", "Description"])}, REFUSED),
    # An owner who cannot have Tasks, or cannot be read, costs the owner only.
    *(
        (TO_CONTACT, {"owner": OWNER, "add": failure(code)}, NO_OWNER)
        for code in (
            *("INACTIVE_OWNER_OR_USER", "INVALID_OPERATION", "INVALID_CROSS_REFERENCE_KEY"),
            "OP_WITH_INVALID_USER_TYPE_EXCEPTION",
        )
    ),
    (TO_CONTACT, {"owner": NOT_FOUND, "add": halted()}, NO_OWNER),
    (
        TO_CONTACT._replace(for_owner=False),
        {"add": failure("INACTIVE_OWNER_OR_USER")},
        "message refused: INACTIVE_OWNER_OR_USER",
    ),
    (
        TO_CONTACT._replace(for_owner=False),
        {"add": failure("INVALID_CROSS_REFERENCE_KEY")},
        f"{CONTACT} is gone: INVALID_CROSS_REFERENCE_KEY",
    ),
    (TO_CONTACT, {"owner": DELETED, "add": halted()}, f"{CONTACT} is gone: ENTITY_IS_DELETED"),
    (TO_CONTACT, {"owner": OWNER, "add": DELETED}, f"{CONTACT} is gone: ENTITY_IS_DELETED"),
    # A record that was refused, or made by somebody else meanwhile.
    (NEW_LEAD, {"create": taken("Bird_Key__c", LEAD[:15])}, f"made meanwhile: {LEAD}"),
    (
        NEW_CASE,
        {"create": INVALID, **NO_RECORD},
        "record refused: FIELD_CUSTOM_VALIDATION_EXCEPTION",
    ),
    # Derived fields of a record are left out, and what a successor inherits; a caller's never.
    (NEW_LEAD, {"create": NO_SOURCE, "add": halted()}, "leave out of the record: LeadSource"),
    (
        NEW_LEAD,
        {"create": failure("STRING_TOO_LONG", fields=["Priority"])},
        "record refused: STRING_TOO_LONG",
    ),
    (
        SUCCESSOR,
        {"create": failure("FIELD_INTEGRITY_EXCEPTION", fields=["ContactId"])},
        "leave out of the record: ContactId",
    ),
    # What passes or needs a person is raised.
    *(
        (decision, {part: response}, problem)
        for decision, part in ((TO_LEAD, "add"), (TO_CASE, "add"), (NEW_CASE, "create"))
        for response, problem in (
            (LOCKED, "RowLocked"),
            (failure("REQUEST_LIMIT_EXCEEDED", status=403), "LimitExceeded"),
            (failure("INVALID_SESSION_ID", status=401), "SessionRefused"),
            (failure("UNKNOWN_EXCEPTION", status=500), "Unavailable"),
            (NOT_FOUND, "OrgNotReady"),
            (PartResponse(500, "<html>"), "Unavailable"),
            (PartResponse(201, {}), "Unavailable"),
            (halted(), "Unavailable"),
        )
    ),
    # No response is no outcome.
    *((decision, {}, "Unavailable") for decision in (TO_LEAD, TO_CONTACT, NEW_LEAD, REOPEN)),
]


@pytest.mark.parametrize(("decision", "responses", "expected"), ROWS)
def test_responses_say_what_has_become_of_the_message(
    decision: Decision, responses: dict[str, PartResponse], expected: str
) -> None:
    assert in_words(decision, **responses) == expected


@pytest.mark.parametrize(
    ("part", "response", "expected"),
    [
        ("add", KEY_TAKEN, f"logged already: {TASK}"),
        ("add", DELETED, f"{CASE} is gone: ENTITY_IS_DELETED"),
        ("add", INVALID, "message refused: FIELD_CUSTOM_VALIDATION_EXCEPTION"),
        ("add", SUBJECT_TOO_LONG, "leave out of the message: Subject"),
        ("reopen", INVALID, "a successor"),
        ("reopen", failure("ENTITY_IS_LOCKED", "the entity is locked"), "a successor"),
        ("reopen", failure("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"), "a successor"),
        ("reopen", DELETED, f"{CASE} is gone: ENTITY_IS_DELETED"),
        ("reopen", NOT_FOUND, f"{CASE} is gone: NOT_FOUND"),
        ("parent", NO_ACCESS, "a successor"),
        ("comment", NO_ACCESS, "without the comment"),
        *((part, LOCKED, "RowLocked") for part in ("add", "reopen", "comment")),
        ("nobody", ROLLED_BACK, "Unavailable"),
    ],
)
def test_the_culprit_of_a_rollback_says_what_is_next(
    part: str, response: PartResponse, expected: str
) -> None:
    names = ("add", "parent", "reopen", "comment")
    responses = {name: response if name == part else ROLLED_BACK for name in names}
    assert in_words(REOPEN, COMMENTS, **responses) == expected


@pytest.mark.parametrize("name", ["Bird_Key__c", "Bird_Conversation__c"])
@pytest.mark.parametrize(("decision", "part"), [(TO_LEAD, "add"), (NEW_LEAD, "create")])
def test_a_field_of_ours_that_is_missing_is_a_matter_of_the_set_up(
    decision: Add | Create, part: str, name: str
) -> None:
    for response in (
        failure("INVALID_FIELD", f"No such column '{name}' on sobject of type Task"),
        failure("INVALID_FIELD_FOR_INSERT_UPDATE", fields=[name]),
    ):
        with pytest.raises(OrgNotReady) as caught:
            read(decision, **{part: response})
        assert (caught.value.code, caught.value.fields) == (NOT_SET_UP, (name,))


def test_a_duplicate_rule_s_match_is_told() -> None:
    match = {"record": {"attributes": {"type": "Lead"}, "Id": LEAD}}
    result = {"matchResults": [{"entityType": "Lead", "matchRecords": [match]}]}
    entry = {"errorCode": "DUPLICATES_DETECTED", "message": "x", "duplicateResut": result}
    found = read(NEW_LEAD, create=PartResponse(400, [entry]), add=halted())
    assert isinstance(found, NotTaken)
    assert isinstance(found.problem, DuplicatesDetected)
    assert found.problem.existing_id == LEAD


@pytest.mark.parametrize(
    ("decision", "without", "responses"),
    [
        (NEW_LEAD, {"record_without": frozenset({"LeadSource"})}, {"create": NO_SOURCE}),
        (TO_LEAD, {"without": frozenset({"Status"})}, {"add": NO_STATUS}),
    ],
)
def test_fields_are_left_out_once(
    decision: Decision, without: dict[str, Any], responses: dict[str, PartResponse]
) -> None:
    write = parts_of(message(), decision, OPTIONS, **without)
    assert isinstance(read_written(message(), decision, write, responses, OPTIONS), NotTaken)
