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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.delivery import updates
from sandbox.org.errors import Refused
from sandbox.org.sample import ADMIN_USER
from tests.slow.chaos.machine import OUTBOX, REJECTED, TROUBLES, InProcess, Killed

FIELDS = ("Company", "City", "Title", "Website")
CONVERSATIONS = ("c1", "c2", "c3")
STEPS = 160


@dataclass
class Write:
    """A value that somebody wants in a field; the moment is a step's number."""

    moment: int
    by_person: bool
    conversation: str
    name: str
    accepted: bool = True


@dataclass
class UpdateStory:
    """One org, and what was wanted of it."""

    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.world = InProcess()
        self.world.begin()
        self.org = self.world.org
        self.writes: dict[str, Write] = {}
        self.seen: set[str] = set()
        """Values that have stood in Salesforce."""
        self.moment = 0
        self.merged = False
        """Then an update by one conversation's key may take the place of another one's."""
        for number, conversation in enumerate(CONVERSATIONS):
            self.message(conversation, number)

    def value(self, write: Write) -> str:
        value = f"{'p' if write.by_person else 'u'}{len(self.writes)}"
        self.writes[value] = write
        return value

    def now(self) -> datetime:
        """The org's time: acceptance and changes are compared by it."""
        return datetime.fromtimestamp(self.org.clock.now(), UTC)

    # What happens

    def message(self, conversation: str, number: int, troubles: tuple[str, ...] = ()) -> None:
        message = Message(
            conversation=conversation,
            key=f"{conversation}-m{number}",
            requested="Lead",
            channel_object="Lead",
            derived={"Lead": {"LastName": "L", "Company": "C"}},
            task={"Subject": "s", "Description": "d"},
            sent_at=self.now(),
        )
        self.trying(lambda: self.world.creator.create(message, **self.request(True)), troubles)

    def update(self, troubles: tuple[str, ...]) -> None:
        conversation = self.chance.choice(CONVERSATIONS)
        names = self.chance.sample(FIELDS, self.chance.randint(1, 3))
        at_once = self.chance.random() < 0.3
        wanted = {name: self.value(Write(self.moment, False, conversation, name)) for name in names}
        message = Message(
            conversation="",
            key=conversation,
            requested="Lead",
            channel_object="Lead",
            fields=wanted,
            sent_at=self.now(),
        )
        outcome = self.trying(
            lambda: self.world.creator.update(message, **self.request(at_once)), troubles
        )
        if outcome is None or outcome.name in ("not_kept", "converted"):
            for value in wanted.values():
                self.writes[value].accepted = False
        else:
            self.counts[outcome.name] += 1

    def request(self, at_once: bool) -> dict[str, Any]:
        return {"request_id": "r", "deadline": Deadline.after(8), "at_once": at_once}

    def person(self) -> None:
        """Somebody edits a field, merges two leads, converts or deletes one."""
        leads = [row for row in self.org.records("Lead") if not row.get("IsConverted")]
        if not leads:
            return
        row = self.chance.choice(leads)
        kind = self.chance.choices(("edit", "convert", "merge", "delete"), (30, 1, 1, 1))[0]
        try:
            if kind == "edit":
                name = self.chance.choice(FIELDS)
                value = self.value(Write(self.moment, True, row["Id"], name))
                self.org.update("Lead", row["Id"], {name: value}, user=ADMIN_USER)
            elif kind == "convert":
                self.org.convert(row["Id"])
            elif kind == "merge" and len(leads) > 1:
                other = next(one for one in leads if one["Id"] != row["Id"])
                self.org.merge("Lead", row["Id"], other["Id"])
                self.merged = True
            elif kind == "delete":
                self.org.delete("Lead", row["Id"])
        except Refused:
            return
        self.counts[kind] += 1

    def deliver(self, troubles: tuple[str, ...]) -> None:
        messages = self.world.receive(self.chance.randint(1, 10))
        acknowledged = self.chance.random() < 0.9
        self.world.deliver(messages, list(troubles), acknowledged)
        self.counts["deliveries"] += 1

    def trying(self, do: Callable[[], Any], troubles: tuple[str, ...]) -> Any:
        self.world.faults.set(list(troubles))
        try:
            return do()
        except Killed:
            self.world.new_environment()
            self.counts["kills"] += 1
            return None
        finally:
            self.world.faults.set([])

    def step(self) -> None:
        self.moment += 1
        # Salesforce's times are whole seconds: what happens in one of them it does not tell apart.
        self.org.clock.advance(self.chance.choice((1, 2, 30)))
        troubles: tuple[str, ...] = ()
        if self.chance.random() < 0.2:
            troubles = tuple(self.chance.choices(TROUBLES, k=3))
        what = self.chance.choices(
            ("update", "person", "deliver", "message", "environment"), (8, 6, 5, 3, 1)
        )[0]
        match what:
            case "update":
                self.update(troubles)
            case "person":
                self.person()
            case "deliver":
                self.deliver(troubles)
            case "message":
                self.message(self.chance.choice(CONVERSATIONS), 100 + self.moment, troubles)
            case "environment":
                self.world.new_environment()
        self.check()

    # What always holds

    def check(self) -> None:
        for row in (*self.org.records("Lead"), *self.org.records("Lead", deleted=True)):
            for name in FIELDS:
                if (value := row.get(name)) not in self.writes:
                    continue
                self.seen.add(value)
                write = self.writes[value]
                edits = [
                    one.moment
                    for one in self.writes.values()
                    if one.by_person and one.conversation == row["Id"] and one.name == name
                ]
                late = [moment for moment in edits if moment > write.moment]
                assert write.by_person or not late, (
                    f"{value}, accepted in step {write.moment}, stands where somebody wrote in "
                    f"{late[-1]} (now {self.moment})"
                )

    def end(self) -> None:
        """Nothing that was accepted is lost: it stood in Salesforce, a later one took its place, or
        it is in Rejected with its reason."""
        for _ in range(6):
            self.world.sqs.age(OUTBOX, 7000)
            self.world.deliver_all()
            self.check()
        kept = "".join([*self.world.sqs.bodies(OUTBOX), *self.world.sqs.bodies(REJECTED)])
        for value, write in self.writes.items():
            if write.by_person or not write.accepted or value in self.seen:
                continue
            later = any(
                one.name == write.name
                and (one.conversation == write.conversation or self.merged)
                and one.moment >= write.moment
                and other != value
                and not one.by_person
                for other, one in self.writes.items()
            )
            assert later or f'"{value}"' in kept, f"{value} is lost"
        for body in self.world.sqs.bodies(REJECTED):
            assert json.loads(body)["reason"]["code"], body


def tell(seed: int, stories: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for number in range(stories):
        story = UpdateStory(random.Random(f"{seed}-{number}"), counts)
        for _ in range(STEPS):
            story.step()
        story.end()
        counts["updates"] += sum(not one.by_person for one in story.writes.values())
        rejected = [json.loads(body) for body in story.world.sqs.bodies(REJECTED)]
        counts.update(one["reason"]["code"] for one in rejected)
    return counts


@pytest.mark.timeout(3600)
def test_no_update_stands_where_a_person_wrote_later(
    seed: int, sized: Callable[[int, int], int], in_process: None
) -> None:
    counts = tell(seed, sized(25, 400))
    print(f"\nUpdates, seed {seed}: {dict(counts)}", file=sys.__stdout__)
    # All that can happen has happened.
    for name in ("updated", "queued", "edit", "convert", "merge", "deliveries"):
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
