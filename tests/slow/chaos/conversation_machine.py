"""Messages of a few conversations, with faults, kills, redeliveries, and people at work meanwhile.

A step is one thing that happens. What happens between two calls of one request, or of one
delivery, is a `Meanwhile`: another worker has the same message, or a person changes the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st

from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.delivery.creation import RecordCreator
from bridge.delivery.outbox import Queues
from bridge.http import Http, Response
from bridge.oauth.sessions import Sessions
from bridge.records import ObjectName
from bridge.salesforce.client import Salesforce
from bridge.telemetry import Telemetry
from sandbox.org.data.clock import stamp
from sandbox.org.errors import Refused
from sandbox.org.org import Org
from sandbox.org.sample import SALES_USER
from tests.slow.chaos.conversation_audit import (
    CLOSED_LEAD,
    Row,
    Seen,
    Sent,
    check_always,
    check_step,
    mark_in,
    status_changes,
)
from tests.slow.chaos.machine import (
    OUTBOX,
    REJECTED,
    TROUBLES,
    InProcess,
    InProcessAws,
    InProcessOrg,
    Killed,
    PlannedFaults,
)
from tests.slow.chaos.requests import REFUSE_ME

CONVERSATIONS: Mapping[str, ObjectName] = {"c1": "Lead", "c2": "Case", "c3": "Lead"}
"""With what a new one of its channel becomes."""

ROUTES: tuple[ObjectName | None, ...] = ("Lead", "Case", None)

ACTIONS = (
    *("convert a lead", "merge leads", "merge cases", "merge into a stranger"),
    *("close just now", "close yesterday", "close days ago", "close a lead", "reopen"),
    *("delete a record", "delete a task", "clone", "edit", "take", "escalate"),
)
COUNTS: Counter[str] = Counter()
"""What happened in all stories of a run."""


@dataclass(frozen=True)
class Meanwhile:
    """Something that happens before the numbered call to Salesforce of a request or delivery."""

    call: int
    what: str
    """`the same message`, `another message`, or one of ACTIONS."""
    which: int = 0
    other: int = 0


numbers = st.integers(0, 7)
meanwhiles = st.none() | st.builds(
    Meanwhile,
    st.integers(1, 4),
    st.sampled_from(("the same message", "another message", *ACTIONS)),
    numbers,
    numbers,
)


few_troubles = st.just([]) | st.lists(st.sampled_from(TROUBLES), max_size=4)
MESSAGE = {
    "conversation": st.sampled_from(sorted(CONVERSATIONS)),
    "route": st.sampled_from(ROUTES),
    "kind": st.sampled_from(("good",) * 8 + ("no record", "no task")),
    "late": st.sampled_from((0, 0, 0, 3600)),
    "troubles": few_troubles,
    "at_once": st.sampled_from((True, True, False)),
    "meanwhile": meanwhiles,
}
AGAIN = {
    "which": st.integers(0, 40),
    "route": st.sampled_from((*ROUTES, "as before", "as before", "as before")),
    "troubles": few_troubles,
    "at_once": st.sampled_from((True, True, False)),
    "meanwhile": meanwhiles,
}
DELIVERY = {"most": st.integers(1, 30), "troubles": few_troubles, "meanwhile": meanwhiles}
PERSON = {"what": st.sampled_from(ACTIONS), "which": numbers, "other": numbers}
HELD = {"most": st.integers(1, 30), "troubles": few_troubles, "acknowledged": st.booleans()}
OTHER = {
    "what": st.sampled_from(
        (
            "new_environment",
            "ten_minutes_pass",
            "sessions_expire",
            "rejected_is_replayed",
            "triggers",
            "administrator",
        )
    ),
    "number": st.sampled_from((0, 1, 3)),
}
events = st.one_of(
    *(
        st.tuples(st.just(name), st.fixed_dictionaries(arguments))
        for name, arguments in (
            ("message", MESSAGE),
            ("message", MESSAGE),
            ("message", MESSAGE),
            ("message_again", AGAIN),
            ("deliver_now", DELIVERY),
            ("deliver_later", HELD),
            ("person", PERSON),
            ("person", PERSON),
            ("person", PERSON),
            ("something_else", OTHER),
        )
    )
)


stories = st.lists(events, min_size=15, max_size=50)
Event = tuple[str, dict[str, Any]]


class WatchedOrg(InProcessOrg):
    """An org whose every call is numbered, and looked at before and after."""

    def __init__(self, org: Org, faults: PlannedFaults, story: ConversationStory) -> None:
        super().__init__(org, faults)
        self._story = story

    def send(self, method: str, url: str, **more: Any) -> Response:
        story = self._story
        COUNTS["calls"] += 1
        story.calls += 1
        if (happens := story.due()) is not None:
            happens()
        if not story.one_by_one or "composite" not in url:
            return super().send(method, url, **more)
        before = Seen(story.org)
        try:
            return super().send(method, url, **more)
        finally:
            story.wrong += status_changes(before, Seen(story.org))


class ConversationStory(InProcess):
    """Of one conversation there is one open record, and each message is on it once."""

    changed: ClassVar[Mapping[str, str]] = {
        "CASE_STATUS_ON_REPLY": "Working",
        "CASE_COMMENTS": "on",
    }

    def begin(self) -> None:
        self.calls = 0
        self.one_by_one = False
        self.meanwhile: Meanwhile | None = None
        self.in_meanwhile = False
        self.current: int | None = None
        self.disturbed = False
        super().begin()
        COUNTS["stories"] += 1
        self.org.add_assignment_rule("Case", self.org.records("Group")[0]["Id"])
        self.org.add_assignment_rule("Lead", self.org.records("Group")[0]["Id"])
        self.strict = True
        self.org.add_validation_rule(
            "Task",
            lambda task: self.strict and "no task" in (task.get("Description") or ""),
            "No such Task.",
        )
        self.sales = next(
            row["Id"] for row in self.org.records("User") if row["Username"] == SALES_USER
        )
        self.sent: dict[int, Sent] = {}
        self.messages: dict[int, Message] = {}
        self.edited: dict[str, dict[str, Any]] = {}
        self.touched: set[str] = set()
        """Records that a person closed, merged, converted or deleted."""
        self.reopened: set[tuple[str, str]] = set()
        self.edits = 0
        self.wrong: list[str] = []

    def http(self) -> Http:
        return WatchedOrg(self.org, self.faults, self)

    def due(self) -> Callable[[], None] | None:
        """What happens before this call, once."""
        meanwhile = self.meanwhile
        if self.in_meanwhile or meanwhile is None or meanwhile.call != self.calls:
            return None
        return lambda: self._happen(meanwhile)

    def _happen(self, meanwhile: Meanwhile) -> None:
        self.in_meanwhile, self.meanwhile, self.disturbed = True, None, True
        one_by_one, self.one_by_one = self.one_by_one, False
        COUNTS["meanwhile"] += 1
        try:
            if meanwhile.what in ACTIONS:
                self._act(meanwhile.what, meanwhile.which, meanwhile.other)
            elif self.sent:
                choices = sorted(self.sent)
                number = choices[meanwhile.which % len(choices)]
                if meanwhile.what == "the same message" and self.current is not None:
                    number = self.current
                self._send(number, ROUTES[meanwhile.other % 3], self._other_worker())
                if meanwhile.other > 3:
                    self._act("escalate", meanwhile.which, 0)
        finally:
            self.in_meanwhile, self.one_by_one = False, one_by_one

    def _other_worker(self) -> RecordCreator:
        """A second execution environment, to which nothing bad happens."""
        faults = PlannedFaults()
        aws = InProcessAws(self.org, self.sqs, faults)
        salesforce = Salesforce(http=InProcessOrg(self.org, faults), settings=self.settings)
        return RecordCreator(
            salesforce=salesforce,
            sessions=Sessions(aws=aws, settings=self.settings),
            queues=Queues(aws=aws, settings=self.settings),
            settings=self.settings,
            telemetry=Telemetry(),
        )

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
                self.wrong += check_step(before, after, CONVERSATIONS, merged=self.touched)
                if not one_by_one:
                    self.wrong += status_changes(before, after)

    # Messages

    def message(
        self,
        conversation: str,
        route: ObjectName | None,
        kind: str,
        late: int,
        troubles: list[str],
        at_once: bool,
        meanwhile: Meanwhile | None,
    ) -> None:
        number = len(self.messages) + 1
        text = f"#{number}# {kind}"
        fields = {"Description": f"{text} {REFUSE_ME}"} if kind == "no record" else {}
        self.messages[number] = Message(
            conversation=conversation,
            key=f"{conversation}-m{number}",
            requested=route,
            channel_object=CONVERSATIONS[conversation],
            fields=fields,
            derived={
                "Lead": {"LastName": "L", "Company": "C", "Description": text},
                "Case": {"Subject": "s", "Description": text},
            },
            task={"Subject": "WhatsApp", "Description": text},
            sent_at=datetime.now(UTC) + timedelta(seconds=number - late),
        )
        self.sent[number] = Sent(
            number, f"{conversation}-m{number}", conversation, may_be_refused=kind != "good"
        )
        COUNTS["messages"] += 1
        self._request(number, route, troubles, at_once, meanwhile)

    def message_again(
        self,
        which: int,
        route: Any,
        troubles: list[str],
        at_once: bool,
        meanwhile: Meanwhile | None,
    ) -> None:
        """A redelivery, or the same message by a second way."""
        if not self.messages:
            return
        number = which % len(self.messages) + 1
        COUNTS["redeliveries"] += 1
        if route == "as before":
            route = self.messages[number].requested
        self._request(number, route, troubles, at_once, meanwhile)

    def _request(
        self,
        number: int,
        route: ObjectName | None,
        troubles: list[str],
        at_once: bool,
        meanwhile: Meanwhile | None,
    ) -> None:
        self.faults.set(troubles)
        try:
            with self._step(meanwhile, one_by_one=True):
                self.current = number
                self._send(number, route, self.creator, at_once=at_once)
        except Killed:
            COUNTS["kills"] += 1
            self.new_environment()
        finally:
            self.faults.set([])

    def _send(
        self, number: int, route: ObjectName | None, creator: RecordCreator, *, at_once: bool = True
    ) -> None:
        sent = self.sent[number]
        sent.tried.append(route)
        outcome = creator.create(
            replace(self.messages[number], requested=route),
            request_id="r",
            deadline=Deadline.after(8),
            at_once=at_once,
        )
        COUNTS[outcome.name] += 1
        if outcome.name != "not_kept":
            sent.routes.add(route)

    def deliver_later(self, most: int, troubles: list[str], acknowledged: bool) -> None:
        """Every other time messages are received only, and delivered the next time."""
        if self.in_hand:
            self.deliver(self.in_hand[0], troubles, acknowledged)
        else:
            self.receive(most)

    def deliver_now(self, most: int, troubles: list[str], meanwhile: Meanwhile | None) -> None:
        """One delivery, with something that happens between its calls."""
        self._pending = meanwhile
        messages = self.receive(most)
        self.deliver(messages, troubles, True)

    def deliver(
        self, messages: list[dict[str, Any]], troubles: list[str], acknowledged: bool
    ) -> None:
        COUNTS["deliveries"] += 1
        meanwhile, self._pending = self._pending, None
        with self._step(meanwhile):
            super().deliver(messages, troubles, acknowledged)

    _pending: Meanwhile | None = None

    # People

    def person(self, what: str, which: int, other: int) -> None:
        self.org.clock.advance(2)
        self._act(what, which, other)

    def something_else(self, what: str, number: int) -> None:
        """Time passes, Lambda ends an environment, an administrator changes a rule."""
        match what:
            case "triggers":
                self.a_trigger_takes_so_many(number)
            case "administrator":  # of the rule that refuses some Tasks
                self.strict = number == 1
            case _:
                getattr(self, what)()

    def _act(self, what: str, which: int, other: int) -> None:
        leads = [row for row in self.org.records("Lead") if not row.get("IsConverted")]
        cases = self.org.records("Case")
        rows = {
            "convert a lead": leads,
            "merge leads": leads,
            "merge cases": cases,
            "merge into a stranger": [*leads, *cases],
            "close just now": [row for row in cases if not row.get("IsClosed")],
            "close yesterday": [row for row in cases if not row.get("IsClosed")],
            "close days ago": [row for row in cases if not row.get("IsClosed")],
            "close a lead": [row for row in leads if row.get("Status") != CLOSED_LEAD],
            "reopen": [
                row
                for row in (*leads, *cases)
                if row.get("IsClosed") or row.get("Status") == CLOSED_LEAD
            ],
            "delete a record": [*leads, *cases, *self.org.records("Contact")],
            "delete a task": self.org.records("Task"),
            "clone": [*leads, *cases],
            "edit": [*leads, *cases],
            "take": [*leads, *cases],
            "escalate": cases,
        }[what]
        if not rows:
            return
        row = rows[which % len(rows)]
        second = rows[other % len(rows)]
        try:
            self._do(what, row, second)
        except Refused:
            return
        COUNTS[what] += 1

    def _do(self, what: str, row: Mapping[str, Any], second: Mapping[str, Any]) -> None:
        org, id_ = self.org, str(row["Id"])
        name = {"00Q": "Lead", "500": "Case", "003": "Contact", "00T": "Task"}[id_[:3]]
        match what:
            case "convert a lead":
                org.convert(id_)
                self.touched.add(id_)
            case "merge leads" | "merge cases":
                if second["Id"] != id_:
                    org.merge(name, id_, second["Id"])
                    self.touched |= {id_, second["Id"]}
            case "merge into a stranger":
                fields = {"LastName": "S", "Company": "S"} if name == "Lead" else {"Subject": "S"}
                stranger = org.create(name, fields)
                org.merge(name, stranger, id_)
                self.touched |= {id_, stranger}
            case "close just now" | "close yesterday" | "close days ago":
                org.update("Case", id_, {"Status": "Closed"})
                days = {"close just now": 0, "close yesterday": 1, "close days ago": 5}[what]
                when = stamp(datetime.now(UTC).timestamp() - days * 86_400)
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
                self.edits += 1
                field = "Company" if name == "Lead" else "Subject"
                self._edit(name, id_, {field: f"edited {self.edits}", "Description": "by hand"})
            case "take":
                self._edit(name, id_, {"OwnerId": self.sales})
            case "escalate":
                if not row.get("IsClosed"):
                    org.update("Case", id_, {"Status": "Escalated"})

    def _edit(self, name: str, id_: str, fields: dict[str, Any]) -> None:
        self.org.update(name, id_, fields)
        self.edited.setdefault(id_, {}).update(fields)

    # What always holds

    def each_message_is_where_it_belongs(self) -> None:
        seen = Seen(self.org)
        wrong = self.wrong + check_always(
            seen,
            self.sent.values(),
            outbox=self.sqs.bodies(OUTBOX),
            rejected=self.sqs.bodies(REJECTED),
            reopened=self.reopened,
        )
        for id_, fields in self.edited.items():
            row = seen.records.get(id_) or seen.gone[id_]
            lost = [name for name, value in fields.items() if row.get(name) != value]
            if lost:
                wrong.append(f"{id_}: what a person put into {lost} is overwritten")
        assert not wrong, "\n".join(wrong)

    def run(self, happens: list[Event]) -> None:
        """One event after the other, and what is true after each."""
        self.begin()
        for name, arguments in happens:
            getattr(self, name)(**arguments)
            self.each_message_is_where_it_belongs()
        self.end()

    def end(self) -> None:
        """After all trouble every good message is logged, and no record is empty."""
        for number, sent in self.sent.items():
            for route in set(sent.tried) - sent.routes:  # its caller never had a response
                self._request(number, route, [], True, None)
        self.strict = False
        self.rejected_is_replayed()
        self.deliver_everything()
        self.each_message_is_where_it_belongs()
        seen = Seen(self.org)
        tasks = [*seen.tasks.values(), *seen.tasks_gone.values()]
        used = {task.get(name) for task in tasks for name in ("WhoId", "WhatId")}
        for conversation in CONVERSATIONS:
            for name in ("Lead", "Case"):
                for row in seen.made(conversation, name):
                    COUNTS["records"] += 1
                    COUNTS["successors"] += row["Bird_Key__c"] != conversation
                    empty = row["Id"] not in used and row["Id"] not in self.touched
                    assert not empty or self._chose_another(row, tasks), (
                        f"{conversation}: an empty {name} {row['Id']}"
                    )
        COUNTS["tasks"] += len(tasks)

    def _chose_another(self, row: Row, tasks: Sequence[Row]) -> bool:
        """Whether the message that made a record was logged elsewhere: its Task was refused at
        first, its route names no object, and by then the conversation had an open Case."""
        number = mark_in(row)
        if number is None or None not in self.sent[number].tried:
            return False
        return any(mark_in(task) == number for task in tasks)
