"""Where each record is, and whether every accepted request is in the right place."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from sandbox.org.org import Org
from sandbox.stack import Stack
from tests.slow.chaos.request_log import RequestLog
from tests.slow.chaos.requests import RecordRequest, mark_of, mark_of_envelope

MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Locations:
    """The numbers of the requests found in each place where a record can be."""

    waiting: Counter[int]
    rejected: Mapping[int, list[Mapping[str, Any]]]
    """With the envelopes."""
    live: Mapping[int, Set[str]]
    """With the ids of the records that they made, or that their Tasks are on."""
    deleted: Mapping[int, Set[str]]
    logged: Set[int]
    """Requests of which Salesforce tells that they are there: by their Task, or by their record
    where it is of no conversation."""
    made_twice: Set[int]
    open_twice: Set[str]
    """Conversations with several records of one object."""
    keys_twice: Mapping[str, list[str]]
    unreadable: int = 0

    @property
    def kept(self) -> set[int]:
        """All that is in one of the places."""
        return {*self.waiting, *self.rejected, *self.live, *self.deleted}

    def together(self, number: int) -> set[int]:
        """All requests whose words are on the records of this one."""
        ids = self.live.get(number, set())
        return {other for other, theirs in self.live.items() if not theirs.isdisjoint(ids)}


def locate(org: Org, *, outbox: list[str], rejected: list[str]) -> Locations:
    """Read the org; the queues' bodies must have been read before it, the outbox first.

    A message only ever moves from the outbox to Rejected or to the org, so what is missed in one
    place is found in the next.
    """
    waiting: Counter[int] = Counter()
    refused: dict[int, list[Mapping[str, Any]]] = {}
    unreadable = 0
    for body in outbox:
        number = mark_of_envelope(body)
        if number is None:
            unreadable += 1
        else:
            waiting[number] += 1
    for body in rejected:
        number = mark_of_envelope(body)
        if number is None:
            unreadable += 1
        else:
            refused.setdefault(number, []).append(json.loads(body))
    live: defaultdict[int, set[str]] = defaultdict(set)
    deleted: defaultdict[int, set[str]] = defaultdict(set)
    tasks: Counter[int] = Counter()
    alone: set[int] = set()
    records: Counter[str] = Counter()
    freed: set[str] = set()
    with org.lock:
        for name in ("Lead", "Case", "Task"):
            table = org.store[name]
            for place, rows in ((live, table.live), (deleted, table.deleted)):
                for row in rows.values():
                    number = mark_of(row)
                    where = row["Id"] if name != "Task" else row.get("WhatId") or row.get("WhoId")
                    if number is None or where is None:
                        unreadable += 1
                        continue
                    place[number].add(where)
                    if name == "Task":
                        tasks.update([number])
                    elif not (conversation := row.get("Bird_Conversation__c")):
                        alone.add(number)
                    elif place is live:
                        records.update([f"{name} {conversation}"])
                    else:
                        freed.add(row["Id"])
        keys = org.keys_twice()
    return Locations(
        waiting=waiting,
        rejected=refused,
        live=live,
        deleted=deleted,
        logged=alone | set(tasks),
        made_twice={number for number, count in tasks.items() if count > 1}
        | {number for number, ids in live.items() if len(ids) > 1}
        | {
            number for number in alone if len({*live.get(number, ()), *deleted.get(number, ())}) > 1
        },
        open_twice={conversation for conversation, count in records.items() if count > 1},
        # A conversation's record that somebody deleted leaves its key to the next one.
        keys_twice={key: ids for key, ids in keys.items() if len(set(ids) - freed) > 1},
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
        self.twice |= set(seen.made_twice)
        if seen.keys_twice:
            self._note(f"{len(seen.keys_twice)} keys belong to several records")
        if seen.open_twice:
            self._note(f"{len(seen.open_twice)} conversations have several records")
        if seen.unreadable:
            self._note(f"{seen.unreadable} records or messages without a mark")

    def check_end(
        self, log: RequestLog, seen: Locations, *, removed: set[int], aged: set[int]
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
