"""Where each record is, and whether every accepted request is in the right place."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.org.org import Org
from sandbox.stack import Stack
from tests.slow.chaos.callers import RequestLog
from tests.slow.chaos.requests import RecordRequest, mark_in

MOST_SHOWN = 5


@dataclass
class Places:
    """The numbers of the requests found in each place where a record can be."""

    waiting: set[int] = field(default_factory=set)
    rejected: dict[int, list[Mapping[str, Any]]] = field(default_factory=dict)
    """With the envelopes."""
    live: dict[int, set[str]] = field(default_factory=dict)
    """With the ids of the records that they made, or that their Tasks are on."""
    deleted: dict[int, set[str]] = field(default_factory=dict)
    logged: set[int] = field(default_factory=set)
    """Requests of which Salesforce tells that they are there: by their Task, or by their record
    where it is of no conversation."""
    twice: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    """What must be in no place at any moment."""

    @property
    def kept(self) -> set[int]:
        """All that is in one of the places."""
        return {*self.waiting, *self.rejected, *self.live, *self.deleted}

    def ids(self, number: int) -> set[str]:
        """The records of a request, deleted ones included."""
        return self.live.get(number, set()) | self.deleted.get(number, set())

    def together(self, number: int) -> set[int]:
        """All requests whose words are on the records of this one."""
        ids = self.live[number]
        return {other for other, theirs in self.live.items() if not theirs.isdisjoint(ids)}


def locate(org: Org, *, outbox: Iterable[str], rejected: Iterable[str]) -> Places:
    """Read the org; the queues' bodies must have been read before it, the outbox first.

    A message only ever moves from the outbox to Rejected or to the org, so what is missed in one
    place is found in the next.
    """
    seen = Places()
    unreadable = 0
    for body in outbox:
        number = mark_in(body)
        unreadable += number is None
        seen.waiting |= set() if number is None else {number}
    for body in rejected:
        number = mark_in(body)
        unreadable += number is None
        if number is not None:
            seen.rejected.setdefault(number, []).append(json.loads(body))
    tasks: Counter[int] = Counter()
    alone: set[int] = set()
    of_conversations: Counter[str] = Counter()
    freed: set[str] = set()
    with org.lock:
        for name in ("Lead", "Case", "Task"):
            table = org.store[name]
            for place, rows in ((seen.live, table.live), (seen.deleted, table.deleted)):
                for row in rows.values():
                    number = mark_in(row)
                    where = row["Id"] if name != "Task" else row.get("WhatId") or row.get("WhoId")
                    if number is None or where is None:
                        unreadable += 1
                        continue
                    place.setdefault(number, set()).add(where)
                    if name == "Task":
                        tasks[number] += 1
                    elif not (conversation := row.get("Bird_Conversation__c")):
                        alone.add(number)
                    elif place is seen.live:
                        of_conversations[f"{name} {conversation}"] += 1
                    else:
                        freed.add(row["Id"])
        # A conversation's record that somebody deleted leaves its key to the next one.
        keys = [key for key, ids in org.keys_twice().items() if len(set(ids) - freed) > 1]
    seen.logged = alone | set(tasks)
    made = {number: seen.ids(number) for number in alone}
    seen.twice = {number for number, count in tasks.items() if count > 1}
    seen.twice |= {number for number, ids in {**seen.live, **made}.items() if len(ids) > 1}
    several = [each for each, count in of_conversations.items() if count > 1]
    seen.wrong = [
        f"{count} {what}"
        for count, what in (
            (len(keys), "keys belong to several records"),
            (len(several), "conversations have several records"),
            (unreadable, "records or messages without a mark"),
        )
        if count
    ]
    return seen


def locate_in_stack(stack: Stack) -> Places:
    """Read a stack's queues and its org, in the order that misses nothing."""
    outbox = stack.aws.queues.bodies(stack.outbox_url)
    rejected = stack.aws.queues.bodies(stack.rejected_url)
    return locate(stack.org, outbox=outbox, rejected=rejected)


@dataclass
class Findings:
    """What is wrong. A test passes only if all are empty."""

    lost: set[int] = field(default_factory=set)
    twice: set[int] = field(default_factory=set)
    others: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """One line for each kind of thing that is wrong."""
        named = (("lost", self.lost), ("made twice", self.twice))
        lines = [f"{len(found)} {name}: requests {_some(found)}" for name, found in named if found]
        return self.others + lines

    def check_promises(self, seen: Places, accepted: Iterable[int]) -> None:
        """Every accepted request is in some place, and none was made twice. Holds at every moment.

        `accepted` must be read from the log before the places are.
        """
        self.lost |= set(accepted) - seen.kept
        self.twice |= seen.twice
        self._note(seen.wrong)

    def check_end(
        self, log: RequestLog, seen: Places, *, removed: set[int], aged: set[int]
    ) -> None:
        """After all trouble: what is good is in Salesforce, what is refused is kept with a reason.

        `removed` are requests whose record somebody deleted, `aged` those whose messages grew too
        old to be delivered.
        """
        accepted = log.accepted()
        self.check_promises(seen, accepted)
        wrong = [f"{len(seen.waiting)} still wait"] if seen.waiting else []
        pairs: defaultdict[int, set[int]] = defaultdict(set)
        for number, request in accepted.items():
            if problem := _wrong(request, seen, removed=removed, aged=aged):
                wrong.append(f"request {number}: {problem}")
            if request.pair:
                pairs[request.pair].add(number)
        for numbers in pairs.values():
            if numbers.isdisjoint({*seen.live, *removed}):
                wrong.append(f"{_some(numbers)}: each is refused as a duplicate of another")
        for number, ids in log.ids.items():
            if not ids <= seen.ids(number):
                wrong.append(f"request {number}: a response had an id that no record of it has")
        self._note(wrong + log.unexpected)

    def _note(self, problems: Iterable[str]) -> None:
        self.others += [one for one in problems if one not in self.others][:30]


def _wrong(request: RecordRequest, seen: Places, *, removed: set[int], aged: set[int]) -> str:
    """What is wrong with an accepted request at the end; empty if nothing is."""
    number = request.number
    live = number in seen.live
    reasons = [one.get("reason") or {} for one in seen.rejected.get(number, ())]
    codes = {str(reason.get("code")) for reason in reasons}
    if not all(reason.get("code") and reason.get("at") for reason in reasons):
        return "in Rejected without a reason"
    if number in removed:
        return "deleted, and brought back" if live else ""
    as_expected = number in aged or codes == ({request.code} if request.code else set())
    good = live or as_expected if request.pair else as_expected and live is not bool(request.code)
    place = "in Salesforce" if live else "not in Salesforce"
    return "" if good else f"{place}, rejected with {codes}, not {request.code or 'at all'}"


def _some(numbers: Iterable[int]) -> str:
    shown = sorted(numbers)
    more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
    return ", ".join(map(str, shown[:MOST_SHOWN])) + more
