"""Updates, messages and people on a few records, in random order, with faults and kills.

Every value is written once, so whoever wrote a field's value is known from the value alone: the
oracle needs nothing of the bundle's own rules. An update that was accepted before a person's edit
never stands in that person's place, and none is lost.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.delivery import updates
from sandbox.org.errors import Refused
from sandbox.org.sample import ADMIN_USER
from tests.slow.chaos.world import OUTBOX, REJECTED, TROUBLES, InProcess

FIELDS = ("Company", "City", "Title", "Website")
CONVERSATIONS = ("c1", "c2", "c3")
STEPS = 160


@dataclass
class Write:
    """A value that somebody wants in a field; the moment is a step's number."""

    moment: int
    place: str
    """The conversation of an update, the record that a person edits."""
    name: str
    by_person: bool = False
    accepted: bool = True


class UpdateStory:
    """One org, and what was wanted of it."""

    def __init__(self, chance: random.Random, counts: Counter[str]) -> None:
        self.chance = chance
        self.counts = counts
        self.world = InProcess(counts)
        self.org = self.world.org
        self.writes: dict[str, Write] = {}
        self.seen: set[str] = set()
        """Values that have stood in Salesforce."""
        self.moment = 0
        self.merged = False
        """Then an update by one conversation's key may take the place of another one's."""
        for conversation in CONVERSATIONS:
            self.message([], conversation)

    def value(self, *write: Any, by_person: bool = False) -> str:
        value = f"{'p' if by_person else 'u'}{len(self.writes)}"
        self.writes[value] = Write(self.moment, *write, by_person=by_person)
        return value

    # What happens

    def request(self, troubles: list[str], send: str, *, at_once: bool = True, **more: Any) -> Any:
        # The org's time: acceptance and changes are compared by it.
        sent_at = datetime.fromtimestamp(self.org.clock.now(), UTC)
        what = Message(requested="Lead", channel_object="Lead", sent_at=sent_at, **more)
        deadline = Deadline.after(8)

        def call() -> Any:
            creator = getattr(self.world.creator, send)
            return creator(what, request_id="r", deadline=deadline, at_once=at_once)

        return self.world.trying(call, troubles)

    def message(self, troubles: list[str], conversation: str = "") -> None:
        conversation = conversation or self.chance.choice(CONVERSATIONS)
        self.request(
            troubles,
            "create",
            conversation=conversation,
            key=f"{conversation}-m{self.moment}",
            derived={"Lead": {"LastName": "L", "Company": "C"}},
            task={"Subject": "s", "Description": "d"},
        )

    def update(self, troubles: list[str]) -> None:
        conversation = self.chance.choice(CONVERSATIONS)
        names = self.chance.sample(FIELDS, self.chance.randint(1, 3))
        wanted = {name: self.value(conversation, name) for name in names}
        message = {"conversation": "", "key": conversation, "fields": wanted}
        at_once = self.chance.random() < 0.3
        outcome = self.request(troubles, "update", at_once=at_once, **message)
        if outcome is None or outcome.name in ("not_kept", "converted"):
            for value in wanted.values():
                self.writes[value].accepted = False
        else:
            self.counts[outcome.name] += 1

    def person(self, troubles: list[str]) -> None:
        """Somebody edits a field, merges two leads, converts or deletes one."""
        leads = [row["Id"] for row in self.org.records("Lead") if not row.get("IsConverted")]
        if not leads:
            return
        lead, *others = self.chance.sample(leads, len(leads))
        kind = self.chance.choices(("edit", "convert", "merge", "delete"), (30, 1, 1, 1))[0]
        try:
            if kind == "edit":
                name = self.chance.choice(FIELDS)
                value = self.value(lead, name, by_person=True)
                self.org.update("Lead", lead, {name: value}, user=ADMIN_USER)
            elif kind == "convert":
                self.org.convert(lead)
            elif kind == "merge" and others:
                self.org.merge("Lead", lead, others[0])
                self.merged = True
            elif kind == "delete":
                self.org.delete("Lead", lead)
        except Refused:
            return
        self.counts[kind] += 1

    def deliver(self, troubles: list[str]) -> None:
        messages = self.world.receive(self.chance.randint(1, 10))
        self.world.deliver(messages, troubles, self.chance.random() < 0.9)
        self.counts["deliveries"] += 1

    def environment(self, troubles: list[str]) -> None:
        self.world.new_environment()

    def step(self) -> None:
        self.moment += 1
        # Salesforce's times are whole seconds: what happens in one of them it does not tell apart.
        self.org.clock.advance(self.chance.choice((1, 2, 30)))
        troubles = self.chance.choices(TROUBLES, k=3) if self.chance.random() < 0.2 else []
        all_of_them = (self.update, self.person, self.deliver, self.message, self.environment)
        self.chance.choices(all_of_them, (8, 6, 5, 3, 1))[0](troubles)
        self.check()

    # What always holds

    def check(self) -> None:
        for row in (*self.org.records("Lead"), *self.org.records("Lead", deleted=True)):
            for name in FIELDS:
                value = row.get(name)
                if (write := self.writes.get(str(value))) is None:
                    continue
                self.seen.add(str(value))
                later = [
                    one.moment
                    for one in self.writes.values()
                    if (one.place, one.name) == (row["Id"], name) and one.moment > write.moment
                ]
                assert write.by_person or not later, (
                    f"{value}, accepted in step {write.moment}, stands where somebody wrote in "
                    f"{later[-1]} (now {self.moment})"
                )

    def end(self) -> None:
        """Nothing that was accepted is lost: it stood in Salesforce, a later one took its place, or
        it is in Rejected with its reason."""
        for _ in range(6):
            self.world.sqs.age(OUTBOX, 7000)
            self.world.deliver_all()
            self.check()
        rejected = self.world.sqs.bodies(REJECTED)
        kept = "".join([*self.world.sqs.bodies(OUTBOX), *rejected])
        updates = {value: one for value, one in self.writes.items() if not one.by_person}
        for value, write in updates.items():
            later = any(
                one.name == write.name
                and (one.place == write.place or self.merged)
                and one.moment >= write.moment
                and other != value
                for other, one in updates.items()
            )
            there = value in self.seen or f'"{value}"' in kept
            assert there or later or not write.accepted, f"{value} is lost"
        codes = [json.loads(body)["reason"]["code"] for body in rejected]
        assert all(codes), rejected
        self.counts.update(codes)


def tell(seed: int, stories: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for number in range(stories):
        story = UpdateStory(random.Random(f"{seed}-{number}"), counts)
        for _ in range(STEPS):
            story.step()
        story.end()
    return counts


@pytest.mark.timeout(3600)
def test_no_update_stands_where_a_person_wrote_later(
    seed: int, sized: Callable[[int, int], int], in_process: None
) -> None:
    counts = tell(seed, sized(25, 400))
    print(f"\nUpdates, seed {seed}: {dict(counts)}", file=sys.__stdout__)
    # All that can happen has happened.
    for name in ("updated", "queued", "edit", "convert", "merge", "deliveries", "kills"):
        assert counts[name], (seed, counts)
    assert counts["CHANGED_MEANWHILE"], (seed, counts)


def test_a_rule_that_trusts_the_last_change_alone_is_found_out(
    seed: int, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: a later change of our own is taken to hide nobody's."""

    def last_change_only(
        self: updates.OwnChanges, record_id: str, row: updates.Row, accepted: datetime, user_id: str
    ) -> bool:
        return row.modified >= accepted.replace(microsecond=0) and row.modified_by != user_id

    monkeypatch.setattr(updates.OwnChanges, "others_since", last_change_only)
    with pytest.raises(AssertionError, match="stands where somebody wrote"):
        tell(seed, 40)
