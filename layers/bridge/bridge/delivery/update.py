"""One update of a record now: find and change in one call, and look again where that misses."""

from __future__ import annotations

from bridge.conversations.enrich import (
    Changed,
    Converted,
    LookAgain,
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
from bridge.delivery.verdict import ABOUT_RIGHTS
from bridge.errors import OrgNotReady, Refused, Unavailable
from bridge.records import Record
from bridge.salesforce.responses import SET_UP, derived_at_fault
from bridge.telemetry import tell_dropped

NO_RIGHT = "NO_RIGHT_TO_UPDATE"
NO_RIGHT_HINT = "Salesforce administrator: give the integration user Edit on {object}: " + SET_UP


class Updating:
    """The way of one update to its record."""

    def __init__(self, record: Record, conversations: Conversations, calls: Calls) -> None:
        """`record` has the key that leads to it, and the fields to change."""
        self._record = record
        self._conversations = conversations
        self._calls = calls
        settings = conversations.settings
        self._rules = conversations.rules if settings.conversations else None

    def run(self) -> Changed | Converted | NotTaken:
        """Change the record. Raises Unavailable (NoSuchRecord), NotSetUp."""
        conversations, record = self._conversations, self._record
        parts = find_parts(record, conversations.fields, self._rules)
        responses = self._calls.send_parts(parts)
        result = read_found(
            record,
            conversations.fields,
            responses,
            conversations=self._rules is not None,
        )
        if isinstance(result, LookAgain):
            target = self._look()
            if target is None:
                raise no_such_record()
            if target.converted:
                return Converted(target.contact_id)
            result = self._change(target)
        if isinstance(result, NotTaken):
            result = self._without_derived(result)
        if isinstance(result, LookAgain):  # converted, merged or deleted a moment ago
            raise Unavailable("the record changes again and again", code="BUSY")
        if isinstance(result, NotTaken):
            raise_no_right(result.problem, record, conversations.rights, self._calls)
        return result

    def _look(self) -> Target | None:
        if self._rules is None:
            return None
        wanted = Wanted(self._record.key, self._record.key)
        requested = as_object(self._record)
        look = self._conversations.look(wanted, self._calls, requested=requested)
        return target_of(look, self._record, self._rules)

    def _change(self, target: Target) -> Result:
        responses = self._calls.send_parts([change_part(self._record, target.record_id)])
        return read_change(self._record, target, responses.get("change"))

    def _without_derived(self, refused: NotTaken) -> Result:
        """Once more without the fields that we filled, if they alone are refused."""
        names = derived_at_fault(refused.problem, self._record)
        if not names:
            return refused
        tell_dropped(self._conversations.telemetry, self._record.object, names)
        self._record = self._record.without(names)
        if not self._record.fields:
            return refused
        return self._change(Target(refused.record_id))


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
