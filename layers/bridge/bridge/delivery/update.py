"""One update of a record now: find and change in one call, and look again where that misses."""

from __future__ import annotations

from bridge.conversations.enrich import (
    NotTaken,
    Result,
    Target,
    as_object,
    change_part,
    find_parts,
    no_such_record,
    read_change,
    read_found,
    target_of,
)
from bridge.conversations.look import Wanted
from bridge.delivery.calls import Calls, Rights
from bridge.delivery.conversation import Conversations
from bridge.delivery.outcomes import Converted, Rejected, Updated
from bridge.delivery.verdict import ABOUT_RIGHTS
from bridge.errors import OrgNotReady, Refused, Unavailable
from bridge.records import Record
from bridge.salesforce.responses import SET_UP, Found, derived_at_fault
from bridge.telemetry import tell_dropped

NO_RIGHT = "NO_RIGHT_TO_UPDATE"
NO_RIGHT_HINT = "Salesforce administrator: give the integration user Edit on {object}: " + SET_UP


def update(
    record: Record, conversations: Conversations, calls: Calls
) -> Updated | Converted | Rejected:
    """Change the record that the key of `record` leads to. Raises Unavailable (NoSuchRecord),
    NotSetUp."""
    rules = conversations.rules if conversations.settings.conversations else None
    responses = calls.send_parts(find_parts(record, conversations.fields, rules))
    with_tasks = rules is not None
    result = read_found(record, conversations.fields, responses, conversations=with_tasks)
    if result is None:
        result = _look(record, conversations, calls) if with_tasks else None
        if result is None:
            raise no_such_record()
        if not result.converted:
            result = _change(record, result, calls)
    if isinstance(result, NotTaken) and (names := derived_at_fault(result.problem, record)):
        # Once more without the fields that we filled, since they alone are refused.
        tell_dropped(conversations.telemetry, record.object, names)
        record = record.without(names)
        if record.fields:
            result = _change(record, result.target, calls)
    match result:
        case None:  # converted, merged or deleted a moment ago
            raise Unavailable("the record changes again and again", code="BUSY")
        case NotTaken(problem):
            raise_no_right(problem, record, conversations.rights, calls)
            return Rejected(problem)
        case Target(converted=True):
            return Converted(result.contact_id)
    return Updated(Found(result.record_id, result.number), calls.record_url(result.record_id))


def _look(record: Record, conversations: Conversations, calls: Calls) -> Target | None:
    wanted = Wanted(record.key, record.key)
    look = conversations.look(wanted, calls, requested=as_object(record))
    return target_of(look, record, conversations.rules)


def _change(record: Record, target: Target, calls: Calls) -> Result:
    responses = calls.send_parts([change_part(record, target.record_id)])
    return read_change(record, target, responses.get("change"))


def raise_no_right(problem: Refused, record: Record, rights: Rights, calls: Calls) -> None:
    """Raise OrgNotReady for a refusal that every update would meet: the user may change none."""
    if not problem.code.startswith(ABOUT_RIGHTS) or problem.fields:
        return
    if not rights.has(record.object, "updateable", calls):
        raise OrgNotReady(
            f"the integration user may not change a {record.object}",
            code=NO_RIGHT,
            hint=NO_RIGHT_HINT.format(object=record.object),
        )
