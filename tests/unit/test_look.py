"""The look: which queries are sent, and what is read from their responses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bridge.conversations.decide import CaseRow, Home, LeadRow, Look, SeenTask
from bridge.conversations.keys import task_key
from bridge.conversations.look import (
    KINDS,
    LONGEST_URL,
    MERGED,
    MOST_ROWS,
    NOT_SET_UP,
    Fields,
    Wanted,
    batch_parts,
    case_parts,
    lacks_record_types,
    look_parts,
    read_batch,
    read_cases,
    read_look,
)
from bridge.errors import (
    KeyFieldMissing,
    LimitExceeded,
    OrgNotReady,
    SalesforceProblem,
    SessionRefused,
    Unavailable,
)
from bridge.salesforce.composite import Part, PartResponse, composite
from tests.unit.doubles import part_failure as failure

BASE = "/services/data/v68.0"
FIELDS = Fields(record_key="Bird_Key__c")
C, M = "conversation-1", "message-1"
WANTED = Wanted(C, M)
LEAD, CASE, CONTACT = "00Q000000000001AAA", "500000000000001AAA", "003000000000001AAA"
TASK, LEAD_2 = "00T000000000001EAA", "00Q000000000002AAA"
CREATED = "2026-11-30T14:03:07.000+0000"
MOMENT = datetime(2026, 11, 30, 14, 3, 7, tzinfo=UTC)


def soql(part: Part) -> str:
    """The query of a part, as Salesforce reads it."""
    path = "".join(map(str, part.path))
    assert path.startswith("/queryAll?q=")
    return unquote(path.removeprefix("/queryAll?q="))


def rows(*records: dict[str, Any], done: bool = True) -> PartResponse:
    """A query's response as Salesforce writes it."""
    attributes = {"type": "Task", "url": f"{BASE}/sobjects/Task/x"}
    body = {
        "totalSize": len(records),
        "done": done,
        "records": [{"attributes": attributes, **record} for record in records],
    }
    return PartResponse(200, body)


NO_REFERENCE = PartResponse(
    400, [{"errorCode": "PROCESSING_HALTED", "message": "Invalid reference specified."}]
)
"""What a composite answers to a part whose reference leads nowhere."""


OF_A_CONVERSATION = {"Bird_Key__c": C, "Bird_Conversation__c": C, "CreatedDate": CREATED}
OF_A_RECORD = {**OF_A_CONVERSATION, "IsDeleted": False, "RecordTypeId": None}


def lead(**fields: Any) -> dict[str, Any]:
    own = {"Id": LEAD, "Status": "Open - Not Contacted", "IsConverted": False}
    return {**OF_A_RECORD, **own, "Bird_Last_Message__c": CREATED, **fields}


def case(**fields: Any) -> dict[str, Any]:
    own = {"Id": CASE, "Status": "New", "IsClosed": False, "CaseNumber": "00001026"}
    return {**OF_A_RECORD, **own, "Bird_Last_Message__c": None, **fields}


def task(**fields: Any) -> dict[str, Any]:
    own = {"Id": TASK, "WhoId": None, "WhatId": None, "IsClosed": True}
    return {**OF_A_CONVERSATION, **own, **fields}


def look(**found: Any) -> Look:
    return Look(conversation=C, message=M, **found)


def read(**parts: PartResponse) -> Look:
    """A look's result: of what is not named there is nothing."""
    nothing: dict[str, PartResponse] = {kind: rows() for kind in KINDS}
    return read_look(WANTED, FIELDS, {**nothing, MERGED: NO_REFERENCE, **parts})


# One message


def test_a_look_is_one_composite_of_five_queries_and_a_case_by_reference() -> None:
    body = composite(look_parts(WANTED, FIELDS), base=BASE)
    assert body["allOrNone"] is False
    assert body["collateSubrequests"] is False
    urls = {part["referenceId"]: part["url"] for part in body["compositeRequest"]}
    assert list(urls) == [*KINDS, MERGED]
    assert {part["method"] for part in body["compositeRequest"]} == {"GET"}
    assert sum(url.startswith(f"{BASE}/queryAll?q=") for url in urls.values()) == 5
    assert urls[MERGED].startswith(f"{BASE}/sobjects/Case/@{{case_home.records[0].WhatId}}?fields=")
    assert json.loads(json.dumps(body)) == body


@pytest.mark.parametrize("record_key", ["Bird_Key__c", "Other__c"])
def test_the_queries_of_one_message(record_key: str) -> None:
    keys = [task_key("Lead", M), task_key("Case", M)]
    newest = "ORDER BY CreatedDate DESC LIMIT"
    record = f"Bird_Conversation__c = '{C}' AND {record_key} != null"
    task = f"Bird_Conversation__c = '{C}' AND Bird_Key__c != null"  # never the deployer's field
    assert [soql(part) for part in look_parts(WANTED, Fields(record_key=record_key))[:5]] == [
        "SELECT Id,Bird_Key__c,WhoId,WhatId,IsDeleted FROM Task "
        f"WHERE Bird_Key__c IN ('{keys[0]}','{keys[1]}')",
        f"SELECT {record_key},Id,Bird_Conversation__c,Bird_Last_Message__c,Status,IsConverted,"
        f"ConvertedContactId,IsDeleted,CreatedDate FROM Lead WHERE ({record}) "
        f"OR {record_key} IN ('{C}','{M}') {newest} 20",
        f"SELECT {record_key},Id,Bird_Conversation__c,Bird_Last_Message__c,Status,IsClosed,"
        "ClosedDate,CaseNumber,ContactId,AccountId,IsDeleted,CreatedDate,RecordTypeId FROM Case "
        f"WHERE ({record}) OR {record_key} IN ('{C}','{M}') {newest} 20",
        "SELECT Id,Bird_Conversation__c,WhoId,WhatId,IsClosed,CreatedDate FROM Task "
        f"WHERE {task} AND WhoId != null AND IsDeleted = false {newest} 10",
        "SELECT Id,Bird_Conversation__c,WhoId,WhatId,IsClosed,CreatedDate FROM Task "
        f"WHERE {task} AND What.Type = 'Case' AND IsDeleted = false {newest} 10",
    ]


def test_nothing_is_found_of_a_new_conversation() -> None:
    assert read() == look()


def test_everything_that_is_found() -> None:
    account, record_type, deal = "001000000000001AAA", "012000000000001AAA", "006000000000001AAA"
    closed = {"IsClosed": True, "ClosedDate": "2026-11-30T14:03:07.000Z"}
    links = {"ContactId": CONTACT, "AccountId": account, "RecordTypeId": record_type}
    key = task_key("Lead", M)
    found = read(
        seen=rows({"Id": TASK[:15], "Bird_Key__c": key, "WhoId": LEAD, "IsDeleted": False}),
        leads=rows(lead(IsConverted=True, ConvertedContactId=CONTACT[:15])),
        cases=rows(case(**closed, **links)),
        lead_home=rows(task(WhoId=CONTACT, WhatId=deal, IsClosed=False)),
        case_home=rows(task(WhatId=CASE)),
    )
    common: dict[str, Any] = {"key": C, "conversation": C, "created": MOMENT, "contact_id": CONTACT}
    assert found == look(
        seen=(SeenTask(id=TASK, key=key, who_id=LEAD),),
        leads=(
            LeadRow(
                id=LEAD,
                status="Open - Not Contacted",
                converted=True,
                last_message=MOMENT,
                **common,
            ),
        ),
        cases=(
            CaseRow(
                id=CASE,
                status="New",
                closed=True,
                closed_at=MOMENT,
                number="00001026",
                account_id=account,
                record_type_id=record_type,
                **common,
            ),
        ),
        lead_home=Home(task_id=TASK, created=MOMENT, who_id=CONTACT, what_id=deal, closed=False),
        case_home=Home(task_id=TASK, created=MOMENT, what_id=CASE),
    )


def test_names_are_read_without_case() -> None:
    row = {name.upper(): value for name, value in lead().items()}
    assert read(leads=rows(row)).leads[0].key == C


def test_rows_come_newest_first_and_each_once() -> None:
    old, new = "00Q000000000008AAA", "00Q000000000002AAA"
    oldest = lead(Id=old, CreatedDate="2026-11-01T00:00:00.000+0000", Bird_Key__c=M)
    found = read(leads=rows(oldest, lead(), lead(Id=new, Bird_Key__c="k-2")))
    assert [row.id for row in found.leads] == [new, LEAD, old]


def test_of_the_tasks_of_one_second_the_one_with_the_highest_id_is_the_newest() -> None:
    later = "00T000000000002AAA"
    found = read(lead_home=rows(task(WhoId=LEAD), task(Id=later, WhoId=CONTACT)))
    assert found.lead_home and (found.lead_home.task_id, found.lead_home.who_id) == (later, CONTACT)


@pytest.mark.parametrize(
    "not_there",
    [{"WhatId": "006000000000001AAA"}, {"WhatId": CASE, "IsDeleted": True}, {"WhatId": None}],
)
def test_a_task_that_is_deleted_or_on_something_else_is_no_home(not_there: dict[str, Any]) -> None:
    assert read(case_home=rows(task(**not_there))).case_home is None


# The Case of a merge

ELSEWHERE = "500000000000009AAA"


def merged(response: PartResponse) -> Mapping[str, CaseRow | None]:
    """What is known of Cases elsewhere when one was asked for by its newest Task."""
    return read(case_home=rows(task(WhatId=ELSEWHERE)), merged_case=response).homes


def test_the_case_that_the_newest_task_is_on_is_read_with_it() -> None:
    row = merged(PartResponse(200, case(Id=ELSEWHERE, Bird_Conversation__c=None)))[ELSEWHERE]
    assert row and (row.id, row.conversation, row.number) == (ELSEWHERE, "", "00001026")


def test_a_case_of_the_conversation_is_not_looked_at_twice() -> None:
    trouble = failure("UNKNOWN_EXCEPTION", status=500)
    found = read(cases=rows(case()), case_home=rows(task(WhatId=CASE)), merged_case=trouble)
    assert found.homes == {}
    with pytest.raises(Unavailable):
        merged(trouble)  # of another Case it is no ground for a decision


@pytest.mark.parametrize(
    ("response", "homes"),
    [
        (failure("NOT_FOUND", status=404), {ELSEWHERE: None}),
        (failure("ENTITY_IS_DELETED", status=404), {ELSEWHERE: None}),
        # It stays open which Case it was.
        (PartResponse(200, case()), {}),
        (NO_REFERENCE, {}),
    ],
)
def test_a_merged_case_may_be_out_of_sight(response: PartResponse, homes: dict[str, None]) -> None:
    assert merged(response) == homes


# What fails


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (failure("REQUEST_LIMIT_EXCEEDED", status=403), LimitExceeded),
        (failure("INVALID_SESSION_ID", status=401), SessionRefused),
        (failure("QUERY_TIMEOUT"), Unavailable),
        (failure("MALFORMED_QUERY"), Unavailable),
        (failure("UNKNOWN_EXCEPTION", status=500), Unavailable),
        (PartResponse(503, "<html>"), Unavailable),
        (PartResponse(200, None), Unavailable),
        (PartResponse(200, {"records": [None]}), Unavailable),
        (rows({"Id": "no id", "CreatedDate": CREATED}), Unavailable),
        (PartResponse(200, []), Unavailable),
        (PartResponse(400, {}), Unavailable),
        (NO_REFERENCE, Unavailable),
    ],
)
def test_a_query_that_fails_is_no_ground_for_a_decision(
    kind: str, response: PartResponse, problem: type[SalesforceProblem]
) -> None:
    with pytest.raises(problem):
        read(**{kind: response})


def test_nor_is_one_without_a_response_or_with_a_row_without_its_time() -> None:
    with pytest.raises(Unavailable):
        read(leads=rows(lead(CreatedDate="yesterday")))
    with pytest.raises(Unavailable):
        read_look(WANTED, FIELDS, {kind: rows() for kind in KINDS if kind != "cases"})


NO_SUCH_COLUMN = (
    "\nSELECT Bird_Key__c,Id,Bird_Conversation__c,RecordTypeId FROM Case WHERE\n"
    "                      ^\nERROR at Row:1:Column:24\nNo such column '{name}' on entity 'Case'. "
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom "
    "field name. Please reference your WSDL or the describe call for the appropriate names."
)


def no_column(name: str) -> PartResponse:
    return failure("INVALID_FIELD", NO_SUCH_COLUMN.format(name=name))


NO_OBJECT = failure("INVALID_TYPE", "ERROR at Row:1:Column:16\nsObject type 'Task' is not")


@pytest.mark.parametrize(
    ("kind", "response", "fields"),
    [
        ("cases", no_column("Bird_Conversation__c"), ("Bird_Conversation__c",)),
        ("cases", no_column("Bird_Last_Message__c"), ("Bird_Last_Message__c",)),
        ("leads", no_column("ConvertedContactId"), ("ConvertedContactId",)),
        ("seen", no_column("Bird_Key__c"), ("Bird_Key__c",)),
        ("case_home", no_column("Bird_Key__c"), ("Bird_Key__c",)),
        ("seen", NO_OBJECT, ()),
    ],
)
def test_what_is_missing_is_a_matter_of_the_set_up_and_is_named(
    kind: str, response: PartResponse, fields: tuple[str, ...]
) -> None:
    assert not lacks_record_types({kind: response})
    with pytest.raises(OrgNotReady) as caught:
        read(**{kind: response})
    assert (caught.value.code, caught.value.fields) == (NOT_SET_UP, fields)
    assert "setup-org" in caught.value.hint


@pytest.mark.parametrize("kind", ["leads", "cases"])
def test_a_missing_key_of_records_is_told_as_outside_conversations(kind: str) -> None:
    with pytest.raises(KeyFieldMissing):
        read(**{kind: no_column("Bird_Key__c")})


def test_an_org_without_record_types_is_asked_without_them() -> None:
    assert lacks_record_types({"cases": no_column("RecordTypeId")})
    assert not lacks_record_types({"cases": rows()})
    parts = look_parts(WANTED, Fields(record_key="Bird_Key__c", record_types=False))
    assert not any("RecordTypeId" in str(part.path) for part in parts)


# Many


KEY = st.text("abcdef0123456789-", min_size=1, max_size=64)
MANY = st.lists(st.builds(Wanted, KEY, KEY), min_size=1, max_size=60)


def urls(composites: Iterable[Iterable[Part]]) -> list[str]:
    return [
        part["url"]
        for parts in composites
        for part in composite(parts, base=BASE)["compositeRequest"]
    ]


def wanted(count: int, *, messages: int = 1) -> list[Wanted]:
    """Messages as Bird has them: a conversation is a UUID, a message the hash of a WhatsApp id."""
    return [
        Wanted(f"{n // messages:08x}-0000-4000-8000-000000000000", f"{n:064x}")
        for n in range(count)
    ]


@given(MANY)
def test_every_url_is_short_and_every_key_is_looked_for(many: list[Wanted]) -> None:
    composites = batch_parts(many, FIELDS, base=BASE)
    assert all(1 <= len(parts) <= 5 for parts in composites)
    assert max(map(len, urls(composites))) < LONGEST_URL
    text = "\n".join(unquote(url) for url in urls(composites))
    for each in many:
        assert f"'{task_key('Lead', each.message)}'" in text
        assert text.count(f"'{each.conversation}'") >= 6
        assert text.count(f"'{each.message}'") >= 2


@pytest.mark.parametrize(("messages", "most"), [(1, 3), (6, 3), (200, 2)])
def test_a_look_for_two_hundred_messages_takes_few_calls(messages: int, most: int) -> None:
    composites = batch_parts(wanted(200, messages=messages), FIELDS, base=BASE)
    assert len(composites) <= most
    longest = max(map(len, urls(composites)))
    assert 10_000 < longest < LONGEST_URL


def responses_to(
    many: list[Wanted], found: dict[str, list[dict[str, Any]]]
) -> dict[str, PartResponse]:
    """The responses to a batch: each part has those of the rows that its query would have."""
    given: dict[str, PartResponse] = {}
    for part in (part for parts in batch_parts(many, FIELDS, base=BASE) for part in parts):
        text, of_kind = soql(part), found.get(part.name.rpartition("_")[0], [])
        given[part.name] = rows(
            *(row for row in of_kind if any(f"'{value}'" in text for value in row.values()))
        )
    return given


def test_each_message_of_many_gets_its_own_rows() -> None:
    many = wanted(200)
    one, other = many[3], many[190]
    of_one = lead(Bird_Conversation__c=one.conversation, Bird_Key__c=one.conversation)
    of_other = lead(Id=LEAD_2, Bird_Conversation__c=None, Bird_Key__c=other.message)
    given = responses_to(
        many,
        {
            "leads": [of_one, of_other],
            "case_home": [task(Bird_Conversation__c=other.conversation, WhatId=CASE)],
            "seen": [{"Id": TASK, "Bird_Key__c": task_key("Case", other.message), "WhatId": CASE}],
        },
    )
    found = read_batch(many, FIELDS, given, base=BASE)
    assert not found.alone
    assert set(found.looks) == set(many)
    assert [row.id for row in found.looks[one].leads] == [LEAD]
    assert [row.id for row in found.looks[other].leads] == [LEAD_2]
    assert found.looks[other].case_home and found.looks[other].seen
    assert not found.looks[one].seen
    for each in set(many) - {one, other}:
        nothing = Look(conversation=each.conversation, message=each.message)
        assert found.looks[each] == nothing


def test_a_conversation_that_a_full_page_does_not_show_is_looked_for_alone() -> None:
    many = wanted(3)
    busy = task(Bird_Conversation__c=many[0].conversation, WhoId=LEAD)
    given = responses_to(many, {})
    given["lead_home_0"] = rows(*[busy] * MOST_ROWS)
    found = read_batch(many, FIELDS, given, base=BASE)
    assert found.alone == {many[1], many[2]}
    assert set(found.looks) == {many[0]}


def test_of_a_full_page_of_records_nobody_knows_what_is_missing() -> None:
    many = wanted(3)
    given = responses_to(many, {})
    given["cases_0"] = rows(case(), done=False)
    assert read_batch(many, FIELDS, given, base=BASE).alone == set(many)


def test_one_slice_that_fails_is_no_ground_for_any_decision() -> None:
    many = wanted(200)
    given = responses_to(many, {})
    given["leads_1"] = failure("QUERY_TIMEOUT")
    with pytest.raises(Unavailable):
        read_batch(many, FIELDS, given, base=BASE)


# Texts in queries


def skeleton(part: Part) -> str:
    """A part's path; of a query without what stands in its literals. It has one parameter."""
    path = "".join(map(str, part.path))
    url = urlsplit(path)
    assert not url.fragment
    ((name, soql),) = parse_qsl(url.query, strict_parsing=True)
    if name != "q":
        return path
    return re.sub(r"'(?:[^'\\]|\\.)*'", "''", soql)


@given(st.text(min_size=1), st.text(min_size=1))
@example("' OR Id != null OR Name = '", "\\")
@example("a&b=c#d", "1 + 1 = 2%27")
def test_no_key_and_no_id_leaves_its_literal_or_its_url(one: str, other: str) -> None:
    assume(one != other)
    plain = look_parts(WANTED, FIELDS), case_parts([C, M], FIELDS)
    made = look_parts(Wanted(one, other), FIELDS), case_parts([one, other], FIELDS)
    for parts, usual in zip(made, plain, strict=True):
        assert [skeleton(part) for part in parts] == [skeleton(part) for part in usual]


# Cases by their ids


def test_cases_are_read_by_their_ids() -> None:
    (part,) = case_parts([CASE, ELSEWHERE], FIELDS)
    assert soql(part).endswith(f"FROM Case WHERE Id IN ('{CASE}','{ELSEWHERE}')")
    found = read_cases([CASE, ELSEWHERE], FIELDS, {"followed": rows(case())})
    assert found[ELSEWHERE] is None
    row = found[CASE]
    assert row and row.number == "00001026"
    with pytest.raises(Unavailable):
        read_cases([CASE], FIELDS, {})
