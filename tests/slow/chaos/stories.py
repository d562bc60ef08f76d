"""Random stories: messages, inside and outside conversations, updates, faults, kills, redeliveries,
and people at work meanwhile.

A story is a list of events. What happens between two calls of one request, or of one delivery, is a
`Meanwhile`: another worker has the same message, or a person changes the record.

Whoever puts a value into a field, by an update or by hand, puts one that is new in the story. So an
update that was accepted before a person's edit and stands in its place is known from the value.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from hypothesis import strategies as st

from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.delivery.creation import RecordCreator
from bridge.http import Http, Response
from bridge.records import ObjectName
from sandbox.org.data.clock import stamp
from sandbox.org.errors import Refused
from sandbox.org.org import Org
from sandbox.org.sample import ADMIN_USER, SALES_USER
from tests.slow.chaos.audit import locate
from tests.slow.chaos.conversation_audit import (
    CLOSED_LEAD,
    OBJECTS,
    Row,
    Seen,
    Sent,
    check_always,
    check_step,
    status_changes,
)
from tests.slow.chaos.requests import REFUSE_ME, mark_in
from tests.slow.chaos.world import (
    OUTBOX,
    REJECTED,
    TROUBLES,
    InProcess,
    InProcessAws,
    InProcessOrg,
    PlannedFaults,
)

CONVERSATIONS: Mapping[str, ObjectName] = {"c1": "Lead", "c2": "Case", "c3": "Lead"}
"""With what a new one of its channel becomes."""
ALONE = "alone"
"""In place of a conversation's name, and in the text: a record outside conversations."""

ROUTES: tuple[ObjectName | None, ...] = ("Lead", "Case", None)

CLOSED_DAYS = {"close just now": 0, "close yesterday": 1, "close days ago": 5}
ACTIONS = (
    *("convert a lead", "merge leads", "merge cases", "merge into a stranger"),
    *(*CLOSED_DAYS, "close a lead", "reopen"),
    *("delete a record", "delete a task", "clone", "edit", "take", "escalate"),
)
FIELDS = ("Company", "City")
"""Of a Lead: what updates and people write."""
REFUSED: Mapping[str, Mapping[str, Any]] = {
    "no record": {"Description": REFUSE_ME},
    "unknown field": {"Nope__c": 1},
    "unreadable value": {"NumberOfEmployees": "many"},
    "no task": {},
}
"""What Salesforce refuses, with the fields for which it does; a Task by its text."""
COUNTS: Counter[str] = Counter()
"""What happened in all stories of a run."""


@dataclass
class Write:
    """A value that somebody wants in a field; the moment is an event's number."""

    moment: int
    name: str
    conversation: str = ""
    """Empty where a person put it there."""
    accepted: bool = True


@dataclass(frozen=True)
class Meanwhile:
    """Something that happens before the numbered call to Salesforce of a request or delivery."""

    call: int
    what: str
    """`the same message`, `another message`, or one of ACTIONS."""
    which: int = 0
    other: int = 0


@dataclass(frozen=True)
class How:
    """What a request meets."""

    troubles: list[str] = field(default_factory=list)
    at_once: bool = True
    meanwhile: Meanwhile | None = None


Event = tuple[str, dict[str, Any]]
"""A method's name and its arguments."""
numbers, mosts = st.integers(0, 7), st.integers(1, 30)
whats = st.sampled_from(("the same message", "another message", *ACTIONS))
meanwhiles = st.none() | st.builds(Meanwhile, st.integers(1, 4), whats, numbers, numbers)
troubles = st.just([]) | st.lists(st.sampled_from(TROUBLES), max_size=4)
hows = st.builds(How, troubles, st.sampled_from((True, True, False)), meanwhiles)


EVENTS: tuple[tuple[int, str, Mapping[str, st.SearchStrategy[Any]]], ...] = (
    # how often it happens, and with what
    (
        6,
        "message",
        {
            "conversation": st.sampled_from(("c1", "c2", "c2", "c3", ALONE)),
            "route": st.sampled_from(ROUTES),
            "kind": st.sampled_from(("good",) * 8 + tuple(REFUSED)),
            "late": st.sampled_from((0, 0, 0, 3600)),
            "how": hows,
        },
    ),
    (
        2,
        "message_again",
        {
            "which": st.integers(0, 40),
            "route": st.sampled_from((*ROUTES, "", "", "")),
            "how": hows,
        },
    ),
    (
        3,
        "update",
        {
            "conversation": st.sampled_from(sorted(CONVERSATIONS)),
            "names": st.sampled_from((["Company"], ["City"], ["Company", "City"])),
            "troubles": troubles,
            "at_once": st.booleans(),
        },
    ),
    (6, "person", {"what": st.sampled_from(ACTIONS), "which": numbers, "other": numbers}),
    (1, "edit", {"which": st.integers(0, 2), "other": numbers}),
    (2, "deliver_now", {"most": mosts, "troubles": troubles, "meanwhile": meanwhiles}),
    (2, "deliver_later", {"most": mosts, "troubles": troubles, "acknowledged": st.booleans()}),
    (1, "new_environment", {}),
    (1, "ten_minutes_pass", {}),
    (1, "sessions_expire", {}),
    (1, "rejected_is_replayed", {}),
    (1, "a_trigger_takes_so_many", {"most": st.sampled_from((0, 1, 3))}),
    (1, "tasks_may_be_refused", {"strict": st.booleans()}),
    (1, "a_record_alone_is_deleted", {"which": numbers}),
)


def events(**often: int) -> st.SearchStrategy[Event]:
    """Events as often as EVENTS says, or otherwise."""
    # Hypothesis drops equal alternatives, so each is one of its own.
    return st.one_of(
        st.tuples(st.just(name), st.fixed_dictionaries(dict(arguments)))
        for usually, name, arguments in EVENTS
        for _ in range(often.get(name, usually))
    )


of_updates = events(update=10, edit=10, deliver_now=6, message=3)
stories = st.lists(events(), min_size=25, max_size=50) | st.lists(
    of_updates, min_size=20, max_size=40
)


class WatchedOrg(InProcessOrg):
    """An org whose every call is numbered, and looked at before and after."""

    def __init__(self, org: Org, faults: PlannedFaults, story: Story) -> None:
        super().__init__(org, faults)
        self._story = story

    def send(self, method: str, url: str, **more: Any) -> Response:
        story = self._story
        COUNTS["calls"] += 1
        story.calls += 1
        if story.meanwhile is not None and story.meanwhile.call == story.calls:
            story.happen(story.meanwhile)
        if not story.one_by_one or "composite" not in url:
            return super().send(method, url, **more)
        before = Seen(story.org)
        try:
            return super().send(method, url, **more)
        finally:
            story.wrong += status_changes(before, Seen(story.org))


class Story(InProcess):
    """Of one conversation there is one open record, and each message is on it once."""

    changed: ClassVar[Mapping[str, str]] = {
        "CASE_STATUS_ON_REPLY": "Working",
        "CASE_COMMENTS": "on",
    }

    def __init__(self) -> None:
        super().__init__(COUNTS)
        COUNTS["stories"] += 1
        self.calls = 0
        self.one_by_one = False
        self.meanwhile: Meanwhile | None = None
        self.current: int | None = None
        self.disturbed = False
        for name in OBJECTS:
            self.org.add_assignment_rule(name, self.org.records("Group")[0]["Id"])
        self.strict = True
        self.org.add_validation_rule(
            "Task",
            lambda task: self.strict and "no task" in (task.get("Description") or ""),
            "No such Task.",
        )
        users = self.org.records("User")
        self.sales = next(row["Id"] for row in users if row["Username"] == SALES_USER)
        self.sent: dict[int, Sent] = {}
        self.messages: dict[int, Message] = {}
        self.edited: dict[str, dict[str, Any]] = {}
        self.moment = 0
        self.writes: dict[str, Write] = {}
        self.written: set[str] = set()
        """Values that have stood in Salesforce."""
        self.touched: set[str] = set()
        """Records that a person closed, merged, converted or deleted."""
        self.removed: set[int] = set()
        """Messages outside conversations whose records a person deleted."""
        self.reopened: set[tuple[str, str]] = set()
        self.wrong: list[str] = []

    def http(self) -> Http:
        return WatchedOrg(self.org, self.faults, self)

    def happen(self, meanwhile: Meanwhile) -> None:
        """Between two calls: by a person, or by a second execution environment to which nothing
        bad happens."""
        one_by_one, self.one_by_one = self.one_by_one, False
        self.meanwhile, self.disturbed = None, True
        COUNTS["meanwhile"] += 1
        try:
            if meanwhile.what in ACTIONS:
                self._act(meanwhile.what, meanwhile.which, meanwhile.other)
            elif self.sent:
                number = 1 + meanwhile.which % len(self.sent)
                if meanwhile.what == "the same message" and self.current is not None:
                    number = self.current
                none = PlannedFaults()
                aws = InProcessAws(self.org, self.sqs, none)
                other = self.api(InProcessOrg(self.org, none), aws)
                self._send(number, ROUTES[meanwhile.other % 3], other)
                if meanwhile.other > 3:
                    self._act("escalate", meanwhile.which, 0)
        finally:
            self.one_by_one = one_by_one

    @contextmanager
    def _step(
        self, meanwhile: Meanwhile | None = None, *, one_by_one: bool = False
    ) -> Iterator[None]:
        """What the bundle does in it is compared with what was there before."""
        self.org.clock.advance(2)
        before = Seen(self.org)
        self.calls, self.meanwhile, self.disturbed = 0, meanwhile, False
        self.one_by_one = one_by_one
        try:
            yield
        finally:
            self.meanwhile, self.one_by_one, self.current = None, False, None
            after = Seen(self.org)
            if not self.disturbed:
                self.wrong += check_step(before, after, CONVERSATIONS, touched=self.touched)
                if not one_by_one:
                    self.wrong += status_changes(before, after)
            self.disturbed = False

    # Messages

    def message(
        self, conversation: str, route: ObjectName | None, kind: str, late: int, how: How
    ) -> None:
        number = len(self.messages) + 1
        alone = conversation == ALONE
        channel_object = CONVERSATIONS.get(conversation, "Lead")
        text = f"#{number}# {conversation} {kind}"
        fields = dict(REFUSED.get(kind, {}))
        if "Description" in fields:
            fields["Description"] += text
        self.messages[number] = Message(
            conversation="" if alone else conversation,
            key=f"{conversation}-m{number}",
            requested=route or channel_object if alone else route,
            channel_object=channel_object,
            fields=fields,
            derived={
                "Lead": {"LastName": "L", "Company": "C", "Description": text},
                "Case": {"Subject": "s", "Description": text},
            },
            task={} if alone else {"Subject": "WhatsApp", "Description": text},
            sent_at=datetime.now(UTC) + timedelta(seconds=number - late),
        )
        self.sent[number] = Sent(
            number, f"{conversation}-m{number}", conversation, may_be_refused=kind in REFUSED
        )
        COUNTS["messages"] += 1
        self._request(number, route, how)

    def message_again(self, which: int, route: Any, how: How) -> None:
        """A redelivery, or the same message by a second way; "": by the same way."""
        if self.messages:
            number = which % len(self.messages) + 1
            COUNTS["redeliveries"] += 1
            self._request(number, self.messages[number].requested if route == "" else route, how)

    def _request(self, number: int, route: ObjectName | None, how: How) -> None:
        with self._step(how.meanwhile, one_by_one=True):
            self.current = number
            send = partial(self._send, number, route, self.creator, at_once=how.at_once)
            self.trying(send, how.troubles)

    def _send(
        self, number: int, route: ObjectName | None, creator: RecordCreator, *, at_once: bool = True
    ) -> None:
        sent, what = self.sent[number], self.messages[number]
        if not what.conversation:
            route = what.requested
        if number in self.removed:  # a key lasts as long as its record
            return
        sent.tried.append(route)
        outcome = creator.create(
            replace(what, requested=route),
            request_id="r",
            deadline=Deadline.after(8),
            at_once=at_once,
        )
        COUNTS[outcome.name] += 1
        if outcome.name != "not_kept":
            sent.routes.add(route)

    def update(
        self, conversation: str, names: list[str], troubles: list[str], at_once: bool
    ) -> None:
        """Of the open Lead of a conversation."""
        wanted = {name: self._value(Write(self.moment, name, conversation)) for name in names}
        what = Message(
            conversation="",
            key=conversation,
            requested="Lead",
            channel_object="Lead",
            fields=wanted,
            # The org's time: acceptance and changes are compared by it.
            sent_at=datetime.fromtimestamp(self.org.clock.now(), UTC),
        )
        deadline = Deadline.after(8)
        update = partial(self.creator.update, what, request_id="r", deadline=deadline)
        with self._step():
            outcome = self.trying(lambda: update(at_once=at_once), troubles)
        COUNTS[f"update {outcome and outcome.name}"] += 1
        for value in wanted.values():
            lost = outcome is None or outcome.name in ("not_kept", "converted")
            self.writes[value].accepted = not lost

    def _value(self, write: Write) -> str:
        value = f"{'u' if write.conversation else 'p'}{len(self.writes)}"
        self.writes[value] = write
        return value

    def deliver_later(self, most: int, troubles: list[str], acknowledged: bool) -> None:
        """Every other time messages are received only, and delivered the next time."""
        if self.in_hand:
            self.deliver(self.in_hand[0], troubles, acknowledged)
        else:
            self.receive(most)

    def deliver_now(self, most: int, troubles: list[str], meanwhile: Meanwhile | None) -> None:
        """One delivery, with something that happens between its calls."""
        self.deliver(self.receive(most), troubles, True, meanwhile)

    def deliver(
        self,
        messages: list[dict[str, Any]],
        troubles: list[str],
        acknowledged: bool,
        meanwhile: Meanwhile | None = None,
    ) -> None:
        COUNTS["deliveries"] += 1
        with self._step(meanwhile):
            super().deliver(messages, troubles, acknowledged)

    # Time, and the administrator

    def ten_minutes_pass(self) -> None:
        self.sqs.age(OUTBOX, 660)

    def sessions_expire(self) -> None:
        self.org.oauth.expire_sessions()

    def a_trigger_takes_so_many(self, most: int) -> None:
        self.org.settings.put(trigger_limits={"Lead": most, "Case": most} if most else {})

    def tasks_may_be_refused(self, strict: bool) -> None:
        self.strict = strict

    # People

    def a_record_alone_is_deleted(self, which: int) -> None:
        """Ten minutes after it was created, and no delivery is working on it."""
        in_hand = json.dumps(self.in_hand)
        rows = [
            (number, name, row["Id"])
            for name in OBJECTS
            for row in self.org.records(name)
            if (number := mark_in(row)) and not self.messages[number].conversation
            if f"{ALONE}-m{number}\\" not in in_hand
        ]
        if rows:
            number, name, id_ = rows[which % len(rows)]
            self.ten_minutes_pass()
            self.org.delete(name, id_)
            self.removed.add(number)
            COUNTS["removed"] += 1

    def edit(self, which: int, other: int) -> None:
        self.person("edit", which, other)

    def person(self, what: str, which: int, other: int) -> None:
        self.org.clock.advance(2)
        self._act(what, which, other)

    def _act(self, what: str, which: int, other: int) -> None:
        def found(name: str, good: Callable[[Row], Any] = lambda row: True) -> list[Row]:
            rows = self.org.records(name)
            return [row for row in rows if ALONE not in str(row.get("Description")) and good(row)]

        leads = found("Lead", lambda row: not row.get("IsConverted"))
        closed_leads = [row for row in leads if row.get("Status") == CLOSED_LEAD]
        cases = found("Case")
        open_cases = [row for row in cases if not row.get("IsClosed")]
        rows = {
            "convert a lead": leads,
            "merge leads": leads,
            "merge cases": cases,
            **dict.fromkeys(CLOSED_DAYS, open_cases),
            "close a lead": [row for row in leads if row not in closed_leads],
            "reopen": [*closed_leads, *(row for row in cases if row.get("IsClosed"))],
            "delete a record": [*leads, *cases, *found("Contact")],
            "delete a task": found("Task"),
            "escalate": open_cases,
        }.get(what, [*leads, *cases])
        if rows:
            try:
                self._do(what, rows[which % len(rows)], rows[other % len(rows)]["Id"], other)
            except Refused:
                return
            COUNTS[what] += 1

    def _do(self, what: str, row: Row, second: str, other: int) -> None:
        org, id_ = self.org, str(row["Id"])
        name = {"00Q": "Lead", "500": "Case", "003": "Contact", "00T": "Task"}[id_[:3]]
        match what:
            case "convert a lead":
                org.convert(id_)
                self.touched.add(id_)
            case "merge leads" | "merge cases":
                if second != id_:
                    org.merge(name, id_, second)
                    self.touched |= {id_, second}
            case "merge into a stranger":
                fields = {"LastName": "S", "Company": "S"} if name == "Lead" else {"Subject": "S"}
                stranger = org.create(name, fields)
                org.merge(name, stranger, id_)
                self.touched |= {id_, stranger}
            case "close just now" | "close yesterday" | "close days ago":
                org.update("Case", id_, {"Status": "Closed"})
                when = stamp(datetime.now(UTC).timestamp() - CLOSED_DAYS[what] * 86_400)
                org.store.update("Case", id_, {"ClosedDate": when})
                self.touched.add(id_)
            case "close a lead":
                org.update("Lead", id_, {"Status": CLOSED_LEAD})
                self.touched.add(id_)
            case "reopen":
                status = "New" if name == "Case" else "Open - Not Contacted"
                org.update(name, id_, {"Status": status})
                if conversation := row.get("Bird_Conversation__c"):
                    self.reopened.add((conversation, name))
            case "delete a record" | "delete a task":
                org.delete(name, id_)
                self.touched.add(id_)
            case "clone":
                taken = ("LastName", "Company", "Subject", "Description", "Bird_Conversation__c")
                org.create(name, {field: row[field] for field in taken if row.get(field)})
            case "edit":
                edit = {"Description": "by hand"}
                if not self.disturbed:  # else it may come between a look and its write
                    field = FIELDS[other % len(FIELDS)] if name == "Lead" else "Subject"
                    edit[field] = self._value(Write(self.moment, field))
                self._edit(name, id_, edit)
            case "take":
                self._edit(name, id_, {"OwnerId": self.sales})
            case "escalate":
                org.update("Case", id_, {"Status": "Escalated"})

    def _edit(self, name: str, id_: str, fields: dict[str, Any]) -> None:
        self.org.update(name, id_, fields, user=ADMIN_USER)
        self.edited.setdefault(id_, {}).update(fields)

    # What always holds

    def each_message_is_where_it_belongs(self) -> None:
        outbox, rejected = self.sqs.bodies(OUTBOX), self.sqs.bodies(REJECTED)
        seen = Seen(self.org)
        inside = {n: sent for n, sent in self.sent.items() if sent.conversation != ALONE}
        wrong = self.wrong + check_always(
            seen, inside, outbox=outbox, rejected=rejected, reopened=self.reopened
        )
        places = locate(self.org, outbox=outbox, rejected=rejected)
        for number in self.sent.keys() - inside.keys():
            if self.sent[number].routes and number not in places.kept:
                wrong.append(f"message {number}: lost")
            if number in places.twice:
                wrong.append(f"message {number}: made twice")
            if number in self.removed and number in places.live:
                wrong.append(f"message {number}: deleted, and brought back")
        for id_, fields in self.edited.items():
            for name, value in fields.items():
                now = self.writes.get(seen.ever[id_].get(name))
                later = now and now.conversation and now.moment > self.writes[value].moment
                if seen.ever[id_].get(name) != value and not later:
                    wrong.append(f"{id_}: what a person put into {name} is overwritten by {now}")
        self.written |= {str(row.get(name)) for row in seen.ever.values() for name in FIELDS}
        refused = {each.key for each in self.sent.values() if each.may_be_refused}
        for one in map(json.loads, rejected):
            if one["key"] not in refused and one["key"] not in CONVERSATIONS:
                wrong.append(f"rejected without need: {one['key']} {one.get('reason')}")
        assert not wrong, "\n".join(wrong)

    def run(self, happens: list[Event]) -> None:
        """One event after the other, and what is true after each."""
        for self.moment, (name, arguments) in enumerate(happens, 1):
            getattr(self, name)(**arguments)
            self.each_message_is_where_it_belongs()
        self.end()

    def end(self) -> None:
        """After all trouble every good message is logged, and no record is empty."""
        for number, sent in self.sent.items():
            for route in set(sent.tried) - sent.routes:  # its caller never had a response
                self._request(number, route, How())
        self.strict = False
        self.rejected_is_replayed()
        self.deliver_everything()
        self.deliver_all()  # what is left are updates
        self.each_message_is_where_it_belongs()
        seen = Seen(self.org)
        tasks = seen.tasks_ever.values()
        used = {task.get(name) for task in tasks for name in ("WhoId", "WhatId")}
        for conversation in CONVERSATIONS:
            for row in (row for name in OBJECTS for row in seen.made(conversation, name)):
                COUNTS["records"] += 1
                COUNTS["successors"] += row["Bird_Key__c"] != conversation
                if row["Id"] not in used | self.touched:
                    # Its message may be logged elsewhere: its Task was refused at first, its route
                    # names no object, and by then the conversation had an open Case.
                    number = mark_in(row)
                    chose = number is not None and None in self.sent[number].tried
                    elsewhere = chose and any(mark_in(task) == number for task in tasks)
                    assert elsewhere, f"{conversation}: an empty record {row['Id']}"
        COUNTS["tasks"] += len(tasks)
        self.no_update_is_lost()

    def no_update_is_lost(self) -> None:
        """Each stood in Salesforce, a later one took its place, it waits, or it is in Rejected with
        its reason."""
        rejected = self.sqs.bodies(REJECTED)
        kept = [*rejected, *self.sqs.bodies(OUTBOX)]
        reasons = [json.loads(body)["reason"]["code"] for body in rejected]
        assert all(reasons)
        COUNTS.update(reasons)
        updates = {value: one for value, one in self.writes.items() if one.conversation}
        for value, write in updates.items():
            later = any(
                one.name == write.name
                # After a merge one conversation's update may take another's place.
                and (one.conversation == write.conversation or self.touched)
                and one.moment >= write.moment
                and other != value
                for other, one in updates.items()
            )
            there = value in self.written or any(f'"{value}"' in body for body in kept)
            assert there or later or not write.accepted, f"{value} is lost"
