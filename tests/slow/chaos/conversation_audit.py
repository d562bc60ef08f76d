"""Whether messages of conversations are where they belong, told by the org and the queues alone.

A message is recognised by the mark in its text, never by a key. Keys are computed anew here
(CONVERSATIONS § 2), so that a Task without its key, or with another one, is seen.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.org.org import Org
from tests.slow.chaos.requests import mark_in

Row = Mapping[str, Any]
OBJECTS = ("Lead", "Case")
CLOSED_LEAD = "Unqualified"


def task_key_of(object_name: str, message: str) -> str:
    """T(o, m)."""
    return hashlib.sha256(f"{object_name.lower()}~{message}".encode()).hexdigest()


def place_of(task: Row, object_name: str) -> str | None:
    """The record that a Task of this object's timeline is on."""
    return task.get("WhoId" if object_name == "Lead" else "WhatId")


def is_open(record: Row) -> bool:
    """Whether a message goes onto it without more ado."""
    if str(record["Id"]).startswith("500"):
        return not record.get("IsClosed")
    return not record.get("IsConverted") and record.get("Status") != CLOSED_LEAD


@dataclass(frozen=True)
class Sent:
    """A message, and the routes by which it was accepted; None: the conversation chooses."""

    number: int
    key: str
    conversation: str
    may_be_refused: bool = False
    routes: set[str | None] = field(default_factory=set)
    tried: list[str | None] = field(default_factory=list)


class Seen:
    """The org at one moment."""

    def __init__(self, org: Org) -> None:
        def rows(*names: str, deleted: bool = False) -> dict[str, Row]:
            return {row["Id"]: row for n in names for row in org.records(n, deleted=deleted)}

        self.records = rows(*OBJECTS, "Contact")
        self.ever = {**rows(*OBJECTS, "Contact", deleted=True), **self.records}
        """Deleted ones too."""
        self.tasks = rows("Task")
        self.tasks_ever = {**rows("Task", deleted=True), **self.tasks}
        self.comments = org.records("CaseComment")

    def made(self, conversation: str, object_name: str, *, ever: bool = False) -> list[Row]:
        """The records of a conversation that the bundle made: a clone has no key."""
        prefix = "00Q" if object_name == "Lead" else "500"
        return [
            row
            for id_, row in (self.ever if ever else self.records).items()
            if id_.startswith(prefix)
            and row.get("Bird_Conversation__c") == conversation
            and row.get("Bird_Key__c")
        ]

    def open(self, conversation: str, object_name: str) -> list[str]:
        """The ids of its open ones."""
        return [row["Id"] for row in self.made(conversation, object_name) if is_open(row)]

    def home(self, conversation: str, object_name: str) -> str | None:
        """The record of its newest live Task, where that is none of its own records: a Contact, or
        what it was merged into (CONVERSATIONS § 3, whose lines go in their order)."""
        places = [
            (task["CreatedDate"], task["Id"], place)
            for task in self.tasks.values()
            if task.get("Bird_Conversation__c") == conversation and task.get("Bird_Key__c")
            if (place := place_of(task, object_name))
            and (object_name == "Lead" or place.startswith("500"))
        ]
        if object_name == "Case" and places:
            # A newer record of its own, closed by now, goes before what an older one was
            # merged into.
            made = [row["CreatedDate"] for row in self.made(conversation, object_name)]
            places = [place for place in places if place[0] > max(made, default="")]
        newest = max(places)[2] if places else None
        own = {row["Id"] for row in self.made(conversation, object_name, ever=True)}
        return newest if newest not in own else None

    def family(self, conversation: str) -> set[str]:
        """The ids of its records, and of what they were merged into or converted to."""
        left = [row["Id"] for name in OBJECTS for row in self.made(conversation, name, ever=True)]
        ids = set[str]()
        while left:
            id_ = left.pop()
            if id_ and id_ not in ids:
                ids.add(id_)
                row = self.ever.get(id_, {})
                left += [row.get("MasterRecordId"), row.get("ConvertedContactId")]
        return ids

    def is_on_a_contact(self, number: int) -> bool:
        """Whether a message's Task is on a Contact: there the other object's Task may stand for
        it."""
        tasks = [task for task in self.tasks_ever.values() if mark_in(task) == number]
        return any((task.get("WhoId") or "").startswith("003") for task in tasks)


def check_always(
    seen: Seen,
    messages: Mapping[int, Sent],
    *,
    outbox: list[str],
    rejected: list[str],
    reopened: set[tuple[str, str]],
) -> list[str]:
    """What is wrong at this moment; `reopened` are timelines on which a person opened a record."""
    wrong: list[str] = []
    waiting = {(one["key"], one["object"]) for one in map(json.loads, (*outbox, *rejected))}
    logged: Counter[tuple[int, str]] = Counter()
    for id_, task in seen.tasks_ever.items():
        number = mark_in(task)
        if number is None or not task.get("Bird_Conversation__c"):
            continue
        message = messages[number]
        names = {task_key_of(name, message.key): name for name in OBJECTS}
        name = names.get(task.get("Bird_Key__c") or "")
        if name is None:
            wrong.append(f"message {number}: a Task without its key")
            continue
        logged[number, name] += 1
        place = place_of(task, name)
        if id_ in seen.tasks and place and place not in seen.family(message.conversation):
            wrong.append(f"message {number}: on a record of somebody else's")
    for (number, name), count in logged.items():
        if count > 1:
            wrong.append(f"message {number}: {count} Tasks of {name}")
        if None not in messages[number].tried and name not in messages[number].tried:
            wrong.append(f"message {number}: logged for {name}, which nobody asked for")
    for number, message in messages.items():
        on = {name for name in OBJECTS if logged[number, name]}
        if len(on) > 1 and set(message.tried) == {None}:
            wrong.append(f"message {number}: logged on two timelines")
        for route in message.routes:
            found = route in on or (on and (route is None or seen.is_on_a_contact(number)))
            if not found and (message.key, route) not in waiting:
                wrong.append(f"message {number} for {route}: lost")
    comments = Counter(map(mark_in, seen.comments))
    wrong += [f"message {n}: {count} comments" for n, count in comments.items() if count > 1]
    for conversation in {message.conversation for message in messages.values()}:
        for name in OBJECTS:
            count = len(seen.open(conversation, name))
            if count > 1 and (conversation, name) not in reopened:
                wrong.append(f"{conversation}: {count} open records of {name}")
    return wrong


def check_step(
    before: Seen, after: Seen, conversations: Iterable[str], *, touched: set[str]
) -> list[str]:
    """What is wrong with what the bundle did, while nobody else did anything.

    `touched` are records that a person has worked on: of a Lead that others were merged into, the
    look does not read when its last message came.
    """
    wrong: list[str] = []
    new_tasks = [task for id_, task in after.tasks.items() if id_ not in before.tasks]
    for conversation in conversations:
        for name in OBJECTS:
            open_before = before.open(conversation, name)
            home = before.records.get(before.home(conversation, name) or "")
            new = [row for row in after.made(conversation, name) if row["Id"] not in before.records]
            if new and open_before:
                wrong.append(f"{conversation}: a second {name} beside an open one")
            elif new and home and (not home["Id"].startswith("500") or is_open(home)):
                wrong.append(f"{conversation}: a {name}, though it had moved to {home['Id']}")
            elif len(new) > 1:
                wrong.append(f"{conversation}: {len(new)} records of {name} at once")
            for task in new_tasks if open_before else []:
                number = mark_in(task)
                key = task_key_of(name, f"{conversation}-m{number}")
                if task.get("Bird_Key__c") == key and place_of(task, name) not in open_before:
                    wrong.append(f"message {number}: not on the open {name}")
    for id_, record in after.records.items():
        was = before.records.get(id_, {}).get("Bird_Last_Message__c") or ""
        if id_ not in touched and was > (record.get("Bird_Last_Message__c") or ""):
            wrong.append(f"{id_}: its last message went back in time")
    return wrong


def status_changes(before: Seen, after: Seen) -> list[str]:
    """Cases whose status changed without a Task that was logged on them in the same moment."""
    with_new_task = {
        task.get("WhatId") for id_, task in after.tasks.items() if id_ not in before.tasks
    }
    return [
        f"{id_}: status {was.get('Status')} became {now.get('Status')} by a redelivery"
        for id_, was in before.records.items()
        if (now := after.records.get(id_)) is not None
        and was.get("Status") != now.get("Status")
        and id_ not in with_new_task
    ]
