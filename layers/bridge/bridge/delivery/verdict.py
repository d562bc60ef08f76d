"""What Salesforce's response means for a record: pure functions, used for one record and for many.

No refusal is final before a look-up by key. Salesforce runs validation rules, triggers and
duplicate rules before its unique index, so a retry after a lost response may be refused although
the record is there (docs/adr/0001). And a refusal may be the org's fault: then the next record
would be refused as well, so all of them wait for a person and none is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bridge.errors import (
    KeyTaken,
    OrgNotReady,
    Refused,
    RowLocked,
    SalesforceProblem,
    SessionRefused,
)
from bridge.records import Record
from bridge.salesforce.responses import (
    ABOUT_AN_ID,
    SET_UP,
    Attempt,
    Found,
    derived_at_fault,
    unreadable,
)
from bridge.settings import Settings

ABOUT_RIGHTS = (
    "INSUFFICIENT_ACCESS",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
    "INVALID_FIELD_FOR_INSERT_UPDATE",
)
"""How the codes begin by which a user without the right to create an object may be refused."""
ABOUT_LIMITS_OF_A_CALL = "CANNOT_"
"""How the codes of a trigger or flow begin. Many records in one call may be what it cannot take
(CPU time, heap, SOQL limits)."""

NO_RIGHT = "NO_RIGHT_TO_CREATE"
NO_RIGHT_HINT = (
    "Salesforce administrator: give the integration user Create and Read on {object}: " + SET_UP
)
NO_RIGHT_TO_TASKS_HINT = (
    "Salesforce administrator: give the integration user the user permissions Access Activities "
    "and Edit Tasks: " + SET_UP
)
NO_RULE = "NO_SUCH_ASSIGNMENT_RULE"
NO_RULE_HINT = (
    "Deploy with another {object}AssignmentRule: default, off, or the id of a rule of this org "
    "(Setup, {object} Assignment Rules). If the id is right, an automation of the org sets one "
    "that is not."
)


class Undecided(Enum):
    """What has to be done or known before there is a verdict."""

    SEND_FEWER = "send the record again in a smaller call"
    LOOK_UP = "look for the record by its key"
    ASK_RIGHTS = "ask whether the integration user may create this object"


Verdict = Found | frozenset[str] | SalesforceProblem | Undecided
"""The record is there; or it is tried again without these derived fields; or Salesforce refuses it
(Refused), or it waits because of any other problem."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What is known beside Salesforce's response."""

    has_key: bool
    """Whether records have a key to be looked up by."""
    assignment: str
    """The assignment setting of the object: `default`, `off`, or the id of a rule."""
    may_create: bool | None = None
    """Whether the integration user may create the object; None: not asked."""
    rule_works: bool = False
    """Whether a record was made by the assignment rule a moment ago."""
    stripped: bool = False
    """Whether derived fields are left out already: that is done once."""
    alone: bool = True
    """Whether the record was the only one of its call."""

    @classmethod
    def of(cls, object_name: str, settings: Settings) -> Context:
        """What is known before anything was sent."""
        assignment = "off" if object_name == "Task" else settings.assignment(object_name)
        return cls(has_key=bool(settings.external_id_field), assignment=assignment)


def verdict_on(attempt: Attempt, record: Record, context: Context) -> Verdict:
    """What the result of an insert, and of the look-up after it, means for the record.

    An id beside our own field's name is enough where the record is not visible to its creator
    (private sharing and an assignment rule) or cannot be looked up. Our own key taken, and neither
    an id nor a record to be seen, is another request's insert that is not committed yet.
    """
    if attempt.created is not None:
        return attempt.created
    problem, found = attempt.problem, attempt.found
    if isinstance(found, Found) and not found.deleted:
        return found
    if problem is None or isinstance(problem, SessionRefused):
        return unreadable()  # one record of a call cannot have a session of its own
    if not isinstance(problem, Refused):
        return problem
    if not context.alone and problem.code.startswith(ABOUT_LIMITS_OF_A_CALL):
        return no_right(problem, record.object, context.may_create) or Undecided.SEND_FEWER
    if context.has_key:
        if found is None:
            return Undecided.LOOK_UP
        if isinstance(problem, KeyTaken) and problem.existing_id:
            return Found(problem.existing_id)
        if isinstance(found, SalesforceProblem):
            return found
        # A deleted record has freed its key: this is a new one.
        if isinstance(problem, KeyTaken):
            return RowLocked("a record with this key is just being made", code="KEY_TAKEN")
    dropped = derived_at_fault(problem, record)
    if dropped and not context.stripped:
        return dropped
    return (
        no_right(problem, record.object, context.may_create)
        or no_rule(problem, [record], context)
        or problem
    )


def verdict_on_call(problem: Refused, records: Sequence[Record], context: Context) -> Verdict:
    """What the refusal of a whole call means for its records, more than one of one object.

    One unknown field or unreadable value in it may be the reason, so no record is refused by it.
    """
    return (
        no_right(problem, records[0].object, context.may_create)
        or no_rule(problem, records, context)
        or Undecided.SEND_FEWER
    )


def no_right(
    problem: Refused, object_name: str, may_create: bool | None
) -> OrgNotReady | Undecided | None:
    """A refusal for want of rights is the org's fault if the user may not create the object: a
    Lead, a Case or a Task. `may_create` None: not asked."""
    if not problem.code.startswith(ABOUT_RIGHTS) or may_create:
        return None
    if may_create is None:
        return Undecided.ASK_RIGHTS
    hint = NO_RIGHT_TO_TASKS_HINT if object_name == "Task" else NO_RIGHT_HINT
    return OrgNotReady(
        f"the integration user may not create a {object_name}",
        code=NO_RIGHT,
        hint=hint.format(object=object_name),
    )


def no_rule(problem: Refused, records: Sequence[Record], context: Context) -> OrgNotReady | None:
    """A refusal of an id is the org's fault if the only id that was sent is the rule's."""
    if (
        problem.code not in ABOUT_AN_ID
        or problem.fields
        or context.rule_works
        or context.assignment in ("default", "off")
        or any(record.may_hold_ids for record in records)
    ):
        return None
    name = records[0].object
    return OrgNotReady(
        f"Salesforce refuses an id, and the only one that was sent with this {name} is the "
        "assignment rule's",
        code=NO_RULE,
        hint=NO_RULE_HINT.format(object=name),
    )
