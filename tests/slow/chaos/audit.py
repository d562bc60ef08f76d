"""Where each record is, and whether every accepted request is in the right place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.org.org import Org
from sandbox.stack import Stack
from tests.slow.chaos.request_log import RequestLog
from tests.slow.chaos.requests import RecordRequest, mark_of

MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Locations:
    """The numbers of the requests found in each place where a record can be."""

    waiting: Counter[int]
    rejected: Mapping[int, list[Mapping[str, Any]]]
    """With the envelopes."""
    live: Mapping[int, list[str]]
    """With the ids of their records."""
    deleted: Mapping[int, list[str]]
    keys_twice: Mapping[str, list[str]]
    unreadable: int = 0

    @property
    def kept(self) -> set[int]:
        """All that is in one of the places."""
        return {*self.waiting, *self.rejected, *self.live, *self.deleted}

    def twice(self) -> list[int]:
        """Requests of which more than one record was ever made."""
        records: Counter[int] = Counter()
        for place in (self.live, self.deleted):
            for number, ids in place.items():
                records[number] += len(ids)
        return sorted(number for number, count in records.items() if count > 1)


def locate(org: Org, *, outbox: list[str], rejected: list[str]) -> Locations:
    """Read the org; the queues' bodies must have been read before it, the outbox first.

    A message only ever moves from the outbox to Rejected or to the org, so what is missed in one
    place is found in the next.
    """
    waiting: Counter[int] = Counter()
    refused: dict[int, list[Mapping[str, Any]]] = {}
    unreadable = 0
    for body in outbox:
        number = mark_of(json.loads(body)["fields"])
        if number is None:
            unreadable += 1
        else:
            waiting[number] += 1
    for body in rejected:
        envelope = json.loads(body)
        number = mark_of(envelope.get("fields") or {})
        if number is None:
            unreadable += 1
        else:
            refused.setdefault(number, []).append(envelope)
    live: dict[int, list[str]] = {}
    deleted: dict[int, list[str]] = {}
    with org.lock:
        for name in ("Lead", "Case"):
            table = org.store[name]
            for place, records in ((live, table.live), (deleted, table.deleted)):
                for record in records.values():
                    number = mark_of(record)
                    if number is None:
                        unreadable += 1
                    else:
                        place.setdefault(number, []).append(record["Id"])
        keys_twice = org.keys_twice()
    return Locations(
        waiting=waiting,
        rejected=refused,
        live=live,
        deleted=deleted,
        keys_twice=keys_twice,
        unreadable=unreadable,
    )


def locate_in_stack(stack: Stack) -> Locations:
    """Read a stack's queues and its org, in the order that misses nothing."""
    outbox = stack.aws.queues.bodies(stack.outbox_url)
    rejected = stack.aws.queues.bodies(stack.rejected_url)
    return locate(stack.org, outbox=outbox, rejected=rejected)


@dataclass
class Findings:
    """What is wrong. A test passes only if all lists are empty."""

    lost: set[int] = field(default_factory=set)
    twice: set[int] = field(default_factory=set)
    others: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """One line for each kind of thing that is wrong."""
        lines = list(self.others)
        for name, numbers in (("lost", self.lost), ("made twice", self.twice)):
            if numbers:
                lines.append(f"{len(numbers)} {name}: requests {_some(numbers)}")
        return lines

    def check_promises(self, seen: Locations, accepted: Mapping[int, Any]) -> None:
        """Every accepted request is in some place, and none was made twice. Holds at every moment.

        `accepted` must be read from the log before the places are.
        """
        self.lost |= set(accepted) - seen.kept
        self.twice |= set(seen.twice())
        if seen.keys_twice:
            self._note(f"{len(seen.keys_twice)} keys belong to several records")
        if seen.unreadable:
            self._note(f"{seen.unreadable} records or messages without a mark")

    def check_end(
        self,
        log: RequestLog,
        seen: Locations,
        *,
        removed: set[int],
        aged: set[int],
    ) -> None:
        """After all trouble: what is good is in Salesforce, what is refused is kept with a reason.

        `removed` are requests whose record somebody deleted, `aged` those whose messages grew too
        old to be delivered.
        """
        accepted = log.accepted()
        self.check_promises(seen, accepted)
        if seen.waiting:
            self._note(f"{len(seen.waiting)} still wait")
        for number, request in accepted.items():
            if problem := _wrong(request, number, seen, removed=removed, aged=aged):
                self._note(problem)
        for number, ids in log.ids().items():
            there = {*seen.live.get(number, ()), *seen.deleted.get(number, ())}
            if not ids <= there:
                self._note(f"request {number}: a response had an id that no record of it has")
        pairs: dict[int, list[int]] = {}
        for number, request in accepted.items():
            if request.expected == "one of a pair":
                pairs.setdefault(request.pair, []).append(number)
        for numbers in pairs.values():
            if not any(number in seen.live or number in removed for number in numbers):
                self._note(f"requests {_some(numbers)}: each is refused as a duplicate of another")
        self.others += log.unexpected

    def _note(self, problem: str) -> None:
        if problem not in self.others and len(self.others) < 30:
            self.others.append(problem)


def _wrong(
    request: RecordRequest, number: int, seen: Locations, *, removed: set[int], aged: set[int]
) -> str:
    """What is wrong with an accepted request at the end; empty if nothing is."""
    reasons = [one.get("reason") or {} for one in seen.rejected.get(number, ())]
    codes = {str(reason.get("code")) for reason in reasons}
    if any(not reason.get("code") or not reason.get("at") for reason in reasons):
        return f"request {number}: in Rejected without a reason"
    if number in removed:
        return f"request {number}: deleted, and brought back" if number in seen.live else ""
    if request.expected == "refused":
        if number in seen.live:
            return f"request {number}: Salesforce should have refused it"
        if number not in aged and codes != {request.code}:
            return f"request {number}: refused with {_some(codes)}, not {request.code}"
        return ""
    if request.expected == "one of a pair":
        if number in seen.live or number in aged or codes == {"DUPLICATES_DETECTED"}:
            return ""
        return f"request {number}: neither made nor refused as a duplicate, but {_some(codes)}"
    if reasons and number not in aged:
        return f"request {number}: good, and rejected with {_some(codes)}"
    if number not in seen.live:
        return f"request {number}: good, and not in Salesforce"
    return ""


def _some(things: Any) -> str:
    shown = sorted(things)
    more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
    return ", ".join(str(one) for one in shown[:MOST_SHOWN]) + more
