"""Write: what a decision sends to Salesforce, and what its responses mean for the message.

`parts_of` makes the parts of one composite, each hanging on the one before by reference, so that a
repetition, whose Task is refused as a duplicate, changes nothing. `read_written` tells what has
become of the message. Trouble that passes, or that needs a person, is raised (SalesforceProblem).
Source of the rules: ADR 0062; REST API Developer Guide, Composite.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from bridge.conversations.decide import NOTHING, Add, Create, RecordObject, Reopen
from bridge.conversations.keys import task_key
from bridge.conversations.look import (
    CONVERSATION_FIELD,
    LAST_MESSAGE_FIELD,
    NOT_SET_UP,
    NOT_SET_UP_HINT,
)
from bridge.conversations.message import Message, as_comment, as_salesforce_time
from bridge.errors import KeyTaken, OrgNotReady, Refused, SalesforceProblem
from bridge.records import ObjectName, Record
from bridge.salesforce.client import NOT_REASSIGNED, TASK_KEY_FIELD
from bridge.salesforce.composite import Part, PartResponse, Ref, holds_reference, is_halted
from bridge.salesforce.responses import (
    ABOUT_AN_ID,
    Fault,
    derived_at_fault,
    judge,
    read_faults,
    unreadable,
)
from bridge.salesforce.session import read_id
from bridge.settings import Settings

COMPLETED = "Completed"
"""The closed Task status of an org that renamed none; the table of channels may name another."""

OWNER = frozenset({"OwnerId"})
GONE = frozenset({"CANNOT_UPDATE_CONVERTED_LEAD", "ENTITY_IS_DELETED"}) | ABOUT_AN_ID
"""Of the record that something hangs on: it is no longer where it was. An id may be the owner's."""
OWNER_IS_REFUSED = frozenset(
    {"INACTIVE_OWNER_OR_USER", "INVALID_OPERATION", "OP_WITH_INVALID_USER_TYPE_EXCEPTION"}
)
"""An inactive user, or a queue that does not serve Tasks."""
FIXED = frozenset({TASK_KEY_FIELD, CONVERSATION_FIELD, "WhoId", "WhatId", "Description"})
"""Fields of a Task without which it is not the message's."""
OURS = (TASK_KEY_FIELD, CONVERSATION_FIELD, LAST_MESSAGE_FIELD)


class Write(NamedTuple):
    """The parts of one write."""

    parts: tuple[Part, ...]
    all_or_none: bool = False


# What has become of the message


class Logged(NamedTuple):
    """The message is on a record, logged just now."""

    task_id: str
    record_object: RecordObject
    record_id: str
    number: str | None = None
    created: bool = False
    reopened: bool = False
    problems: Mapping[str, SalesforceProblem] = NOTHING
    """By part (touch, comment, reopen), what could not be done beside."""
    not_logged: SalesforceProblem | None = None
    """Why a record that was made has no Task: the message has to be logged later."""


class AlreadyLogged(NamedTuple):
    """Somebody else has logged the message meanwhile; `task_id` where Salesforce names it."""

    task_id: str | None


class ParentGone(NamedTuple):
    """The record was converted, merged or deleted meanwhile."""

    record_id: str
    problem: SalesforceProblem


class LeaveOut(NamedTuple):
    """Write it again without these derived fields of the record or of the Task, without the
    comment, or without opening the Case: then the message needs its successor."""

    what: Literal["record", "message", "comment", "reopen"]
    fields: frozenset[str]
    problem: Refused


class NotTaken(NamedTuple):
    """Salesforce refuses the record or the message's Task. Of a record KeyTaken: somebody else has
    made it meanwhile."""

    what: Literal["record", "message"]
    problem: Refused


Written = Logged | AlreadyLogged | ParentGone | LeaveOut | NotTaken


# What is sent


def parts_of(
    message: Message,
    decision: Add | Create | Reopen,
    settings: Settings,
    *,
    insert_headers: Mapping[str, str] | None = None,
    without: frozenset[str] = frozenset(),
    record_without: frozenset[str] = frozenset(),
    with_comment: bool = True,
) -> Write:
    """The parts that carry a decision out.

    `insert_headers` are those of a new record (assignment and duplicate rules). `without` and
    `record_without` are derived fields, of the Task and of the record, that were refused before.
    """
    task = Part(
        name="add",
        method="POST",
        path=("/sobjects/Task",),
        body=task_fields(message, decision, without=without),
        headers=NOT_REASSIGNED,
    )
    if isinstance(decision, Create):
        record = new_record(message, decision).without(record_without)
        create = Part(
            name="create",
            method="POST",
            path=(f"/sobjects/{decision.object}",),
            body=record_fields(message, record, settings),
            headers=dict(insert_headers or {}),
        )
        number = Part(
            name="number",
            method="GET",
            path=("/sobjects/Case/", Ref("create", "id"), "?fields=CaseNumber"),
        )
        return Write(parts=(create, *([number] if decision.object == "Case" else []), task))
    owner = Part(
        name="owner",
        method="GET",
        path=(f"/sobjects/Contact/{decision.record_id}?fields=OwnerId",),
    )
    parts = [owner, task] if "OwnerId" in (task.body or {}) else [task]
    hanging = _hanging(message, decision, settings, with_comment=with_comment)
    if isinstance(decision, Reopen) and holds_reference(task):
        # Not one call, so the Case is opened first: a message never waits on one that stays closed.
        reopen, *hanging = hanging
        parts.insert(0, replace(reopen, path=(f"/sobjects/Case/{decision.record_id}",)))
    if hanging:
        path = ("/sobjects/Task/", Ref("add", "id"), "?fields=WhoId,WhatId")
        parts += [Part(name="parent", method="GET", path=path), *hanging]
    return Write(parts=tuple(parts), all_or_none=isinstance(decision, Reopen))


def _hanging(
    message: Message, decision: Add | Reopen, settings: Settings, *, with_comment: bool
) -> list[Part]:
    """What hangs on the Task: a change of its record, a comment."""
    on = decision.record_object if isinstance(decision, Add) else "Case"
    if on == "Contact" or message.from_us or not message.conversation:
        return []
    parent = Ref("parent", "WhoId" if on == "Lead" else "WhatId")
    parts = []
    if changes := record_changes(message, decision, settings):
        parts.append(
            Part(
                name="reopen" if isinstance(decision, Reopen) else "touch",
                method="PATCH",
                path=(f"/sobjects/{on}/", parent),
                body=changes,
                headers=NOT_REASSIGNED,
            )
        )
    if on == "Case" and settings.case_comments and with_comment:
        parts.append(
            Part(
                name="comment",
                method="POST",
                path=("/sobjects/CaseComment",),
                body={"ParentId": parent, **comment_fields(message)},
            )
        )
    return parts


def task_fields(
    message: Message,
    decision: Add | Create | Reopen,
    *,
    without: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The Task that logs a message.

    It is completed, so that it locks no parent; but an open one of the Contact's owner where
    somebody has to see it (`for_owner`).
    """
    name: ObjectName = "Case" if isinstance(decision, Reopen) else decision.object
    fields: dict[str, Any] = {
        "Status": COMPLETED,
        **message.task,
        "Subject": message.subject(),
        "Description": message.description(with_fields=not isinstance(decision, Create)),
        "ActivityDate": as_salesforce_time(message.sent_at)[:10],
    }
    for_owner = isinstance(decision, Add) and decision.for_owner and not message.from_us
    if for_owner and "OwnerId" not in without:
        del fields["Status"]
        fields["OwnerId"] = Ref("owner", "OwnerId")
    fields = {n: v for n, v in fields.items() if v not in ("", None) and n not in without}
    fields[TASK_KEY_FIELD] = task_key(name, message.key)
    if message.conversation:
        fields[CONVERSATION_FIELD] = message.conversation
    if isinstance(decision, Create):
        fields["WhoId" if name == "Lead" else "WhatId"] = Ref("create", "id")
    elif isinstance(decision, Reopen):
        fields["WhatId"] = decision.record_id
    else:
        on = {"WhoId": decision.who_id, "WhatId": decision.what_id}
        fields.update(
            {n: record_id for n, record_id in on.items() if record_id and n not in without}
        )
    return fields


def new_record(message: Message, decision: Create) -> Record:
    """The record of a `Create`, with what it inherits from its predecessor."""
    record = message.record(decision.object, decision.key)
    given = {name.lower() for name in message.fields}
    inherited = {n: v for n, v in decision.derived.items() if n.lower() not in given}
    return replace(
        record,
        fields={**record.fields, **inherited},
        derived=record.derived | frozenset(inherited),
    )


def record_fields(message: Message, record: Record, settings: Settings) -> dict[str, Any]:
    """A new record's fields as they are sent."""
    own = {
        settings.external_id_field: record.key,
        CONVERSATION_FIELD: message.conversation,
        LAST_MESSAGE_FIELD: as_salesforce_time(message.sent_at),
    }
    names = {name.lower() for name in own}
    return {**{n: v for n, v in record.fields.items() if n.lower() not in names}, **own}


def record_changes(message: Message, decision: Add | Reopen, settings: Settings) -> dict[str, str]:
    """What changes on a record that gets a message: nothing that a person has edited."""
    changes = {}
    if isinstance(decision, Add) and decision.adopted:
        changes[CONVERSATION_FIELD] = message.conversation
    if decision.last_message is None or decision.last_message < message.sent_at:
        changes[LAST_MESSAGE_FIELD] = as_salesforce_time(message.sent_at)
    if isinstance(decision, Reopen):
        changes["Status"] = settings.reopen_status
    elif (
        decision.status_may_change
        and settings.case_status_on_reply
        and decision.status != settings.case_status_on_reply
    ):
        changes["Status"] = settings.case_status_on_reply
    return changes


def comment_fields(message: Message) -> dict[str, Any]:
    """A CaseComment, which no customer sees in a portal."""
    return {
        "CommentBody": as_comment(message.description(with_fields=True)),
        "IsPublished": False,
    }


# What its responses mean


def read_written(
    message: Message,
    decision: Add | Create | Reopen,
    write: Write,
    responses: Mapping[str, PartResponse],
    settings: Settings,
) -> Written:
    """What has become of the message. Raises SalesforceProblem for what passes or needs a person.

    The cause of a part that was halted is another part: its code means nothing.
    """
    if isinstance(decision, Create):
        return _read_create(message, decision, write, responses, settings)
    if isinstance(decision, Reopen) and not _done(responses, "add"):
        return _read_refused_reopen(decision, write, responses)
    if not _done(responses, "add"):
        return _read_refused_task(decision, write, responses)
    problems = {
        part.name: problem_of(responses[part.name])
        for part in write.parts
        if part.name in ("touch", "reopen", "comment")
        and part.name in responses
        and not responses[part.name].ok
    }
    return Logged(
        task_id=_task_id(responses),
        record_object="Case" if isinstance(decision, Reopen) else decision.record_object,
        record_id=decision.record_id,
        number=decision.number,
        reopened=isinstance(decision, Reopen) and _done(responses, "reopen"),
        problems=problems,
    )


def _read_create(
    message: Message,
    decision: Create,
    write: Write,
    responses: Mapping[str, PartResponse],
    settings: Settings,
) -> Written:
    made = _new_id(responses, "create")
    if made is None:
        response = responses.get("create")
        problem = problem_of(
            response, key_field=settings.external_id_field, object_name=decision.object
        )
        if isinstance(problem, KeyTaken):
            return NotTaken("record", problem)
        if not isinstance(problem, Refused):
            raise problem
        sent = {n for part in write.parts if part.name == "create" for n in part.body or {}}
        record = new_record(message, decision)
        record = record.without(frozenset(record.derived - sent))
        if left_out := derived_at_fault(problem, record):
            return LeaveOut("record", left_out, problem)
        if decision.predecessor_id and predecessor_is_gone(problem, message, decision):
            return ParentGone(decision.predecessor_id, problem)
        return NotTaken("record", problem)
    number = responses.get("number")
    case_number = number.body.get("CaseNumber") if number and _is_object(number) else None
    case_number = case_number if isinstance(case_number, str) else None
    logged = _done(responses, "add")
    return Logged(
        task_id=_task_id(responses) if logged else "",
        record_object=decision.object,
        record_id=made,
        number=case_number,
        created=True,
        not_logged=None if logged else problem_of(responses.get("add"), key_field=TASK_KEY_FIELD),
    )


def predecessor_is_gone(
    problem: SalesforceProblem | None, message: Message, decision: Create
) -> bool:
    """Whether a successor was refused because its predecessor was deleted meanwhile.

    Where the caller's own fields may name other records it cannot be known.
    """
    return (
        decision.is_successor
        and problem is not None
        and problem.code in GONE
        and not Record(object=decision.object, key="", fields=message.fields).may_hold_ids
    )


def other_links(decision: Add | Create) -> frozenset[str]:
    """The links beside the one to the record of the conversation: where that one is there, one of
    these leads nowhere, or to what the integration user may not see."""
    if isinstance(decision, Create):
        return frozenset(decision.derived) - {"ParentId"} if decision.is_successor else frozenset()
    on_case = decision.record_object == "Case"
    other = decision.who_id if on_case else decision.what_id
    return frozenset({"WhoId" if on_case else "WhatId"} if other else ())


def _read_refused_task(
    decision: Add | Reopen, write: Write, responses: Mapping[str, PartResponse]
) -> Written:
    response = responses.get("add")
    owner = responses.get("owner")
    if response and is_halted(response) and owner and not owner.ok:
        problem = problem_of(owner)
        if problem.code == "ENTITY_IS_DELETED":
            return ParentGone(decision.record_id, problem)
        if isinstance(problem, (Refused, OrgNotReady)):
            # Who the owner is cannot be read: that costs the owner, not the message.
            return LeaveOut("message", OWNER, Refused(problem.message, code=problem.code))
        raise problem
    problem = problem_of(response, key_field=TASK_KEY_FIELD)
    if not isinstance(problem, Refused):
        raise problem
    if isinstance(problem, KeyTaken):
        named = problem.existing_id
        return AlreadyLogged(named if named and named.startswith("00T") else None)
    sent = next(part.body or {} for part in write.parts if part.name == "add")
    has_owner = "OwnerId" in sent
    if has_owner and problem.code in OWNER_IS_REFUSED | ABOUT_AN_ID:
        return LeaveOut("message", OWNER, problem)
    if left_out := _left_out(problem, sent):
        return LeaveOut("message", left_out, problem)
    if problem.code in GONE:
        return ParentGone(decision.record_id, problem)
    return NotTaken("message", problem)


def _read_refused_reopen(
    decision: Reopen, write: Write, responses: Mapping[str, PartResponse]
) -> Written:
    """All parts were rolled back: the one with a reason of its own is the cause."""
    cause = next(
        (
            part.name
            for part in write.parts
            if part.name in responses
            and not responses[part.name].ok
            and not is_halted(responses[part.name])
        ),
        None,
    )
    if cause is None:
        raise unreadable()
    if cause == "add":
        return _read_refused_task(decision, write, responses)
    problem = problem_of(responses[cause])
    if cause == "reopen" and problem.code in ("ENTITY_IS_DELETED", "NOT_FOUND"):
        return ParentGone(decision.record_id, problem)
    if not isinstance(problem, Refused):
        raise problem
    return LeaveOut("comment" if cause == "comment" else "reopen", frozenset(), problem)


def _left_out(problem: Refused, sent: Mapping[str, Any]) -> frozenset[str]:
    """The derived fields of a Task that a refusal is about, if it is about nothing else."""
    # Of the record only its fields are looked at: a Task's are judged by the same rule.
    fields = {name: value for name, value in sent.items() if not isinstance(value, Ref)}
    task = Record(object="Case", key="", fields=fields, derived=frozenset(fields) - FIXED)
    return derived_at_fault(problem, task)


def problem_of(
    response: PartResponse | None, *, key_field: str = "", object_name: str | None = None
) -> SalesforceProblem:
    """Why a part was not done: what passes, what needs a person, or a refusal."""
    if response is None:
        return unreadable()
    faults = [
        fault
        for fault in read_faults(response.body, status=response.status, object_name=object_name)
        if fault.code != "PROCESSING_HALTED"
    ]
    if missing := field_missing(faults):
        return missing
    return judge(faults, key_field=key_field) if faults else unreadable()


def field_missing(about: Iterable[Fault | Refused]) -> OrgNotReady | None:
    """The problem of an org that lacks or hides fields of ours, if a refusal is about these."""
    found = []
    for fault in about:
        if fault.code in ("INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE"):
            words = {
                word.lower()
                for text in (*fault.fields, fault.message)
                for word in re.findall(r"(?a)\w+", text)
            }
            found += [name for name in OURS if name.lower() in words]
    if not found:
        return None
    names = tuple(dict.fromkeys(found))
    return OrgNotReady(
        f"{', '.join(names)} is missing or hidden from the integration user",
        code=NOT_SET_UP,
        fields=names,
        hint=NOT_SET_UP_HINT,
    )


def _done(responses: Mapping[str, PartResponse], name: str) -> bool:
    return name in responses and responses[name].ok


def _is_object(response: PartResponse) -> bool:
    return response.ok and isinstance(response.body, dict)


def _new_id(responses: Mapping[str, PartResponse], name: str) -> str | None:
    response = responses.get(name)
    return read_id(response.body.get("id")) if response and _is_object(response) else None


def _task_id(responses: Mapping[str, PartResponse]) -> str:
    task_id = _new_id(responses, "add")
    if task_id is None:
        raise unreadable()
    return task_id
