"""The write: what a decision sends, and what its responses mean for the message."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.conversations.decide import Add, Create, Reopen
from bridge.conversations.keys import task_key
from bridge.conversations.look import NOT_SET_UP
from bridge.conversations.message import Message
from bridge.conversations.write import (
    AlreadyLogged,
    CommentRefused,
    LeaveOut,
    Logged,
    NotTaken,
    ParentGone,
    RecordKeyTaken,
    ReopenRefused,
    Written,
    parts_of,
    read_written,
)
from bridge.errors import (
    DuplicatesDetected,
    KeyTaken,
    LimitExceeded,
    OrgNotReady,
    Refused,
    RowLocked,
    SalesforceProblem,
    SessionRefused,
    Unavailable,
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
HEAD = "2026-11-30 14:03:07 UTC"
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


def sent(decision: Add | Create | Reopen, *, about: Message | None = None, **how: Any) -> Any:
    """The composite that a decision sends, by the names of its parts."""
    options = how.pop("options", OPTIONS)
    write = parts_of(about or message(), decision, options, **how)
    body = composite(write.parts, base=BASE, all_or_none=write.all_or_none)
    assert body["collateSubrequests"] is False
    assert json.loads(json.dumps(body)) == body
    return {part.pop("referenceId"): part for part in body["compositeRequest"]}


def task(name: str = "case", **fields: Any) -> dict[str, Any]:
    """The part that logs the message."""
    body = {
        "Status": "Completed",
        "Subject": "WhatsApp: Hi",
        "Description": f"{HEAD}\nHi\n\nPriority: High",
        "ActivityDate": "2026-11-30",
        "Bird_Key__c": task_key("Lead" if name == "lead" else "Case", M),
        "Bird_Conversation__c": C,
        **fields,
    }
    return {
        "method": "POST",
        "url": f"{BASE}/sobjects/Task",
        "body": body,
        "httpHeaders": NOT_REASSIGNED,
    }


PARENT = {"method": "GET", "url": f"{BASE}/sobjects/Task/@{{add.id}}?fields=WhoId,WhatId"}


def change(url: str, **fields: Any) -> dict[str, Any]:
    return {"method": "PATCH", "url": url, "body": fields, "httpHeaders": NOT_REASSIGNED}


# Added


def test_a_message_is_logged_on_a_lead_and_the_lead_says_when() -> None:
    assert sent(TO_LEAD) == {
        "add": task("lead", WhoId=LEAD),
        "parent": PARENT,
        "touch": change(f"{BASE}/sobjects/Lead/@{{parent.WhoId}}", Bird_Last_Message__c=SENT_TEXT),
    }


def test_a_message_is_logged_on_a_case_and_a_person_s_status_stays() -> None:
    assert sent(TO_CASE) == {
        "add": task(WhatId=CASE),
        "parent": PARENT,
        "touch": change(f"{BASE}/sobjects/Case/@{{parent.WhatId}}", Bird_Last_Message__c=SENT_TEXT),
    }
    assert parts_of(message(), TO_CASE, OPTIONS).all_or_none is False


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
COMMENT = {
    "method": "POST",
    "url": f"{BASE}/sobjects/CaseComment",
    "body": {
        "ParentId": "@{parent.WhatId}",
        "CommentBody": f"{HEAD}\nHi\n\nPriority: High",
        "IsPublished": False,
    },
}


def test_a_comment_hangs_on_the_task_too() -> None:
    assert list(sent(TO_CASE, options=COMMENTS)) == ["add", "parent", "touch", "comment"]
    assert sent(TO_CASE, options=COMMENTS)["comment"] == COMMENT
    assert "comment" not in sent(TO_LEAD, options=COMMENTS)
    assert "comment" not in sent(TO_CASE, options=COMMENTS, with_comment=False)
    later = TO_CASE._replace(last_message=SENT + timedelta(seconds=1))
    assert list(sent(later, options=COMMENTS)) == ["add", "parent", "comment"]


def test_on_a_contact_the_owner_gets_an_open_task() -> None:
    parts = sent(TO_CONTACT)
    expected = task("lead", WhoId=CONTACT, WhatId=OPPORTUNITY, OwnerId="@{owner.OwnerId}")
    del expected["body"]["Status"]
    assert parts == {
        "owner": {"method": "GET", "url": f"{BASE}/sobjects/Contact/{CONTACT}?fields=OwnerId"},
        "add": expected,
    }


def test_a_contact_whose_newest_task_is_open_gets_a_completed_one() -> None:
    done = task("lead", WhoId=CONTACT, WhatId=OPPORTUNITY)
    assert sent(TO_CONTACT._replace(for_owner=False)) == {"add": done}
    assert sent(TO_CONTACT, without=frozenset({"OwnerId"})) == {"add": done}


def test_what_our_side_wrote_touches_nothing() -> None:
    ours = message(from_us=True)
    assert list(sent(TO_CASE, about=ours, options=COMMENTS)) == ["add"]
    parts = sent(TO_CONTACT, about=ours)
    assert list(parts) == ["add"]
    assert parts["add"]["body"]["Status"] == "Completed"


def test_the_table_of_channels_may_name_the_org_s_closed_status() -> None:
    about = message(task={"Subject": "Hi", "Status": "Erledigt"})
    assert sent(TO_LEAD, about=about)["add"]["body"]["Status"] == "Erledigt"


def test_what_was_refused_is_left_out() -> None:
    body = sent(TO_LEAD, without=frozenset({"Status", "ActivityDate"}))["add"]["body"]
    assert {"Status", "ActivityDate"} & set(body) == set()


# Made


def test_a_new_lead_has_the_conversation_and_its_first_message() -> None:
    headers = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    assert sent(NEW_LEAD, insert_headers=headers) == {
        "create": {
            "method": "POST",
            "url": f"{BASE}/sobjects/Lead",
            "body": {
                "Priority": "High",
                "LastName": "Berg",
                "LeadSource": "WhatsApp",
                "Bird_Key__c": C,
                "Bird_Conversation__c": C,
                "Bird_Last_Message__c": SENT_TEXT,
            },
            "httpHeaders": headers,
        },
        "add": task("lead", WhoId="@{create.id}", Description=f"{HEAD}\nHi"),
    }


def test_a_new_case_is_asked_for_its_number() -> None:
    parts = sent(NEW_CASE)
    assert list(parts) == ["create", "number", "add"]
    assert parts["number"] == {
        "method": "GET",
        "url": f"{BASE}/sobjects/Case/@{{create.id}}?fields=CaseNumber",
    }
    assert parts["add"] == task(WhatId="@{create.id}", Description=f"{HEAD}\nHi")
    assert "httpHeaders" not in parts["create"]


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


# Reopened


def test_a_case_is_reopened_with_its_message_or_not_at_all() -> None:
    assert parts_of(message(), REOPEN, OPTIONS).all_or_none is True
    assert sent(REOPEN, options=COMMENTS) == {
        "add": task(WhatId=CASE),
        "parent": PARENT,
        "reopen": change(
            f"{BASE}/sobjects/Case/@{{parent.WhatId}}", Bird_Last_Message__c=SENT_TEXT, Status="New"
        ),
        "comment": COMMENT,
    }


# Texts that look like references


def test_an_ordinary_message_is_one_call() -> None:
    assert len(in_calls(parts_of(message(), TO_CASE, COMMENTS).parts)) == 1


TRICKY = message(task={"Subject": "Hi", "Description": "mail @{Bob} me"})


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
    decision: Add | Create | Reopen, calls: list[list[str]]
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
    done = {"add": PartResponse(201, {"id": TASK, "success": True, "errors": []})}
    one, other = resolved(parent, done), resolved(touch, done)
    assert one and one.path == ("/sobjects/Task/", TASK, "?fields=WhoId,WhatId")
    assert other == touch  # its reference is to a part of the same call


def test_what_hangs_on_a_part_that_is_not_done_cannot_be_done() -> None:
    parent = in_calls(parts_of(TRICKY, TO_LEAD, OPTIONS).parts)[1][0]
    assert resolved(parent, {"add": failure("DUPLICATE_VALUE")}) is None
    assert resolved(parent, {"add": PartResponse(201, {})}) is None


# What the responses mean


def created(record_id: str) -> PartResponse:
    return PartResponse(201, {"id": record_id, "success": True, "errors": []})


ROLLED_BACK = failure(
    "PROCESSING_HALTED",
    "The transaction was rolled back since another operation in the same transaction failed.",
)
DONE = PartResponse(204, None)
PARENT_READ = PartResponse(200, {"attributes": {"type": "Task"}, "WhoId": None, "WhatId": CASE})
KEY_TAKEN = failure(
    "DUPLICATE_VALUE",
    f"duplicate value found: Bird_Key__c duplicates value on record with id: {TASK[:15]}",
    fields=[],
)


def read(
    decision: Add | Create | Reopen, options: Settings = OPTIONS, **responses: PartResponse
) -> Written:
    write = parts_of(message(), decision, options)
    assert set(responses) <= {part.name for part in write.parts}
    return read_written(message(), decision, write, responses, options)


def test_a_message_that_was_added() -> None:
    assert read(TO_CASE, add=created(TASK), parent=PARENT_READ, touch=DONE) == Logged(
        task_id=TASK, record_object="Case", record_id=CASE, number="00001026"
    )


def test_trouble_with_what_hangs_on_it_takes_nothing_away() -> None:
    found = read(
        TO_CASE,
        COMMENTS,
        add=created(TASK),
        parent=PARENT_READ,
        touch=failure("UNABLE_TO_LOCK_ROW"),
        comment=failure("INSUFFICIENT_ACCESS_OR_READONLY", status=403),
    )
    assert isinstance(found, Logged)
    assert isinstance(found.problems["touch"], RowLocked)
    assert type(found.problems["comment"]) is Refused


def test_a_repetition_s_task_is_a_duplicate_and_changes_nothing() -> None:
    halts = halted()
    assert read(TO_CASE, add=KEY_TAKEN, parent=halts, touch=halts) == AlreadyLogged(TASK)


def test_of_a_task_that_is_just_being_made_salesforce_may_tell_nothing() -> None:
    unknown = failure(
        "DUPLICATE_VALUE",
        "duplicate value found: <unknown> duplicates value on record with id: <unknown>",
    )
    assert read(TO_CASE, add=unknown) == AlreadyLogged(None)


def test_a_duplicate_on_another_field_is_a_refusal() -> None:
    other = failure(
        "DUPLICATE_VALUE",
        "duplicate value found: Ticket__c duplicates value on record with id: 00T000000000002",
    )
    found = read(TO_CASE, add=other)
    assert isinstance(found, NotTaken)
    assert (found.what, found.problem.code) == ("message", "DUPLICATE_VALUE")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"),
        ("ENTITY_IS_DELETED", "entity is deleted"),
        ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        (
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
            "insufficient access rights on cross-reference id: 00Q000000000001",
        ),
    ],
)
def test_a_record_that_went_meanwhile_is_looked_for_again(code: str, text: str) -> None:
    found = read(TO_LEAD, add=failure(code, text, fields=[]), parent=halted(), touch=halted())
    assert isinstance(found, ParentGone)
    assert (found.record_id, found.problem.code) == (LEAD, code)


@pytest.mark.parametrize(
    ("response", "fields"),
    [
        (failure("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", fields=["Status"]), {"Status"}),
        (
            failure("INVALID_FIELD", "No such column 'ActivityDate' on sobject of type Task"),
            {"ActivityDate"},
        ),
        (failure("STRING_TOO_LONG", fields=["Subject"]), {"Subject"}),
    ],
)
def test_refused_derived_fields_are_left_out(response: PartResponse, fields: set[str]) -> None:
    found = read(TO_LEAD, add=response)
    assert isinstance(found, LeaveOut)
    assert (found.what, found.fields) == ("message", fields)


def test_no_words_of_a_customer_are_left_out() -> None:
    found = read(TO_LEAD, add=failure("STRING_TOO_LONG", fields=["Description"]))
    assert isinstance(found, NotTaken)
    found = read(TO_LEAD, add=failure("STRING_TOO_LONG", fields=["Subject", "Description"]))
    assert isinstance(found, NotTaken)


@pytest.mark.parametrize(
    "code",
    [
        "INACTIVE_OWNER_OR_USER",
        "INVALID_OPERATION",
        "OP_WITH_INVALID_USER_TYPE_EXCEPTION",
        "INVALID_CROSS_REFERENCE_KEY",
    ],
)
def test_an_owner_who_cannot_have_tasks_costs_the_owner_only(code: str) -> None:
    owner = PartResponse(200, {"OwnerId": "005000000000001AAA"})
    found = read(TO_CONTACT, owner=owner, add=failure(code))
    assert isinstance(found, LeaveOut)
    assert found.fields == {"OwnerId"}
    found = read(TO_CONTACT._replace(for_owner=False), add=failure(code))
    assert isinstance(found, (ParentGone, NotTaken))


def test_so_does_one_who_cannot_be_read() -> None:
    hidden = failure("NOT_FOUND", "The requested resource does not exist", status=404)
    found = read(TO_CONTACT, owner=hidden, add=halted())
    assert isinstance(found, LeaveOut)
    assert found.fields == {"OwnerId"}


def test_a_contact_that_was_deleted_meanwhile() -> None:
    gone = failure("ENTITY_IS_DELETED", "entity is deleted", status=404)
    assert isinstance(read(TO_CONTACT, owner=gone, add=halted()), ParentGone)
    owner = PartResponse(200, {"OwnerId": "005000000000001AAA"})
    assert isinstance(read(TO_CONTACT, owner=owner, add=failure("ENTITY_IS_DELETED")), ParentGone)


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (failure("UNABLE_TO_LOCK_ROW"), RowLocked),
        (failure("REQUEST_LIMIT_EXCEEDED", status=403), LimitExceeded),
        (failure("INVALID_SESSION_ID", status=401), SessionRefused),
        (failure("UNKNOWN_EXCEPTION", status=500), Unavailable),
        (failure("NOT_FOUND", "The requested resource does not exist", status=404), OrgNotReady),
        (PartResponse(500, "<html>"), Unavailable),
        (PartResponse(201, {}), Unavailable),
        (halted(), Unavailable),
    ],
)
@pytest.mark.parametrize(
    ("decision", "part"), [(TO_LEAD, "add"), (TO_CASE, "add"), (NEW_CASE, "create")]
)
def test_what_passes_or_needs_a_person_is_raised(
    decision: Add | Create, part: str, response: PartResponse, problem: type[SalesforceProblem]
) -> None:
    with pytest.raises(problem):
        read(decision, **{part: response})


@pytest.mark.parametrize("decision", [TO_LEAD, TO_CONTACT, NEW_LEAD, REOPEN])
def test_no_response_is_no_outcome(decision: Add | Create | Reopen) -> None:
    with pytest.raises(Unavailable):
        read(decision)


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


# Made


def test_a_record_that_was_made_with_its_message() -> None:
    number = PartResponse(200, {"CaseNumber": "00001026", "Id": CASE})
    assert read(NEW_CASE, create=created(CASE), number=number, add=created(TASK)) == Logged(
        task_id=TASK, record_object="Case", record_id=CASE, number="00001026", created=True
    )
    assert read(NEW_LEAD, create=created(LEAD[:15]), add=created(TASK)) == Logged(
        task_id=TASK, record_object="Lead", record_id=LEAD, created=True
    )


def test_without_a_number_it_is_made_all_the_same() -> None:
    found = read(
        NEW_CASE, create=created(CASE), number=failure("UNKNOWN_EXCEPTION"), add=created(TASK)
    )
    assert isinstance(found, Logged)
    assert found.number is None


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (failure("FIELD_CUSTOM_VALIDATION_EXCEPTION", "no Tasks today"), Refused),
        (failure("UNABLE_TO_LOCK_ROW"), RowLocked),
        (KEY_TAKEN, KeyTaken),
    ],
)
def test_a_task_that_is_refused_beside_a_made_record_is_logged_later(
    response: PartResponse, problem: type[SalesforceProblem]
) -> None:
    found = read(NEW_LEAD, create=created(LEAD), add=response)
    assert isinstance(found, Logged)
    assert (found.record_object, found.record_id, found.task_id) == ("Lead", LEAD, "")
    assert type(found.not_logged) is problem


def test_a_record_that_somebody_else_made_meanwhile_is_looked_for() -> None:
    taken = failure(
        "DUPLICATE_VALUE",
        f"duplicate value found: Bird_Key__c duplicates value on record with id: {LEAD[:15]}",
    )
    assert read(NEW_LEAD, create=taken, add=halted()) == RecordKeyTaken(LEAD)


def test_a_record_that_is_refused() -> None:
    found = read(
        NEW_CASE,
        create=failure("FIELD_CUSTOM_VALIDATION_EXCEPTION", "say why", fields=[]),
        number=halted(),
        add=halted(),
    )
    assert isinstance(found, NotTaken)
    assert (found.what, found.problem.message) == ("record", "say why")


def test_a_duplicate_rule_s_match_is_told() -> None:
    match = {"record": {"attributes": {"type": "Lead"}, "Id": LEAD}}
    result = {"matchResults": [{"entityType": "Lead", "matchRecords": [match]}]}
    entry = {"errorCode": "DUPLICATES_DETECTED", "message": "x", "duplicateResut": result}
    found = read(NEW_LEAD, create=PartResponse(400, [entry]), add=halted())
    assert isinstance(found, NotTaken)
    assert isinstance(found.problem, DuplicatesDetected)
    assert found.problem.existing_id == LEAD


def test_a_record_s_derived_fields_are_left_out_a_caller_s_never() -> None:
    source = failure("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", fields=["LeadSource"])
    found = read(NEW_LEAD, create=source, add=halted())
    assert isinstance(found, LeaveOut)
    assert (found.what, found.fields) == ("record", {"LeadSource"})
    found = read(NEW_LEAD, create=failure("STRING_TOO_LONG", fields=["Priority"]), add=halted())
    assert isinstance(found, NotTaken)


def test_what_a_successor_inherits_is_left_out_too() -> None:
    refused = failure("FIELD_INTEGRITY_EXCEPTION", fields=["ContactId"])
    found = read(SUCCESSOR, create=refused)
    assert isinstance(found, LeaveOut)
    assert found.fields == {"ContactId"}


def test_fields_are_left_out_once() -> None:
    write = parts_of(message(), NEW_LEAD, OPTIONS, record_without=frozenset({"LeadSource"}))
    source = failure("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", fields=["LeadSource"])
    found = read_written(message(), NEW_LEAD, write, {"create": source}, OPTIONS)
    assert isinstance(found, NotTaken)
    write = parts_of(message(), TO_LEAD, OPTIONS, without=frozenset({"Status"}))
    status = failure("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", fields=["Status"])
    found = read_written(message(), TO_LEAD, write, {"add": status}, OPTIONS)
    assert isinstance(found, NotTaken)


# Reopened


def test_a_case_that_was_reopened() -> None:
    assert read(REOPEN, add=created(TASK), parent=PARENT_READ, reopen=DONE) == Logged(
        task_id=TASK, record_object="Case", record_id=CASE, number="00001026", reopened=True
    )


def rolled_back(part: str, response: PartResponse) -> Written:
    names = ["add", "parent", "reopen", "comment"]
    return read(REOPEN, COMMENTS, **{n: response if n == part else ROLLED_BACK for n in names})


@pytest.mark.parametrize(
    ("part", "response", "outcome"),
    [
        ("add", KEY_TAKEN, AlreadyLogged),
        ("add", failure("ENTITY_IS_DELETED"), ParentGone),
        ("add", failure("FIELD_CUSTOM_VALIDATION_EXCEPTION"), NotTaken),
        ("add", failure("STRING_TOO_LONG", fields=["Subject"]), LeaveOut),
        ("reopen", failure("FIELD_CUSTOM_VALIDATION_EXCEPTION"), ReopenRefused),
        ("reopen", failure("ENTITY_IS_LOCKED", "the entity is locked"), ReopenRefused),
        ("reopen", failure("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"), ReopenRefused),
        ("reopen", failure("ENTITY_IS_DELETED", status=404), ParentGone),
        ("reopen", failure("NOT_FOUND", status=404), ParentGone),
        ("parent", failure("INSUFFICIENT_ACCESS_OR_READONLY", status=403), ReopenRefused),
        ("comment", failure("INSUFFICIENT_ACCESS_OR_READONLY", status=403), CommentRefused),
    ],
)
def test_the_culprit_of_a_rollback_says_what_is_next(
    part: str, response: PartResponse, outcome: type[Any]
) -> None:
    assert isinstance(rolled_back(part, response), outcome)


@pytest.mark.parametrize("part", ["add", "reopen", "comment"])
def test_a_lock_is_waited_for(part: str) -> None:
    with pytest.raises(RowLocked):
        rolled_back(part, failure("UNABLE_TO_LOCK_ROW"))


def test_a_rollback_without_a_culprit_is_no_outcome() -> None:
    with pytest.raises(Unavailable):
        rolled_back("none", ROLLED_BACK)


def test_sent_one_by_one_a_message_may_be_logged_on_a_case_that_stays_closed() -> None:
    refused = failure("FIELD_CUSTOM_VALIDATION_EXCEPTION")
    found = read(REOPEN, add=created(TASK), parent=PARENT_READ, reopen=refused)
    assert isinstance(found, Logged)
    assert not found.reopened
    assert set(found.problems) == {"reopen"}
