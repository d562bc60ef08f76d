"""Creation and delivery in one process, with a fault drawn for each of their calls.

Salesforce and SQS are the sandbox's, called without the network. Hypothesis draws the faults and
shortens a story that fails.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from botocore.exceptions import ClientError, ConnectionClosedError
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from bridge.aws import Aws, AwsError
from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.delivery.creation import RecordCreator
from bridge.delivery.deliver import Delivery
from bridge.delivery.outbox import Envelope, Queues
from bridge.http import Http, NoConnection, NoResponse, Response
from bridge.oauth.access_token import AccessToken
from bridge.oauth.sessions import Sessions
from bridge.records import ObjectName
from bridge.salesforce.client import Salesforce
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from sandbox.aws.queues import Queues as Sqs
from sandbox.org.errors import Problem
from sandbox.org.org import Org
from sandbox.org.rest import api
from sandbox.org.sample import CLIENT_ID, INTEGRATION_USER
from sandbox.org.trouble import Fault
from tests.conftest import LOCAL
from tests.slow.chaos.audit import Locations, locate
from tests.slow.chaos.requests import REFUSE_ME, set_rules
from tests.unit.doubles import IDENTITY

HTML = b"<html><body>maintenance</body></html>"
OUTBOX, REJECTED = "http://localhost/1/Outbox", "http://localhost/1/Rejected"

TROUBLES = (
    *("none", "never sent", "refused", "response lost", "done, reported as failed"),
    *("half of it", "session expired", "killed before", "killed after"),
)
REFUSED_KINDS = ("refused by a rule", "unknown field", "unreadable value")
KINDS = ("lead", "case", "owned lead", *REFUSED_KINDS)


class Killed(BaseException):
    """SIGKILL: no code of the bundle may catch it."""


class PlannedFaults:
    """The faults of the next calls, in order; calls after those have none."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def set(self, troubles: list[str]) -> None:
        self._left = list(troubles)

    def next(self) -> str:
        trouble = self._left.pop(0) if self._left else "none"
        if trouble == "killed before":
            raise Killed
        return trouble


class InProcessOrg(Http):
    """HTTP client of an org in this process."""

    def __init__(self, org: Org, faults: PlannedFaults) -> None:
        super().__init__()
        self._org = org
        self._faults = faults

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        deadline: Deadline,
        repeatable: bool = False,
    ) -> Response:
        trouble = self._faults.next()
        if trouble == "never sent":
            raise NoConnection("connection refused")
        if trouble == "refused":
            return Response(503, {}, HTML)
        half = trouble == "half of it"
        if trouble == "session expired":
            self._org.oauth.expire_sessions()
        every_other = itertools.cycle((False, True))
        lock = Fault(error="UNABLE_TO_LOCK_ROW").problem()

        def locked(name: str) -> Problem | None:
            return lock if next(every_other) else None

        target = "/" + url.split("://", 1)[1].partition("/")[2]
        lower = {name.lower(): value for name, value in headers.items()}
        response = api.serve(
            self._org, method, target, lower, body or b"", trouble=locked if half else None
        )
        if trouble == "killed after":
            raise Killed
        if trouble == "response lost":
            raise NoResponse("the connection was reset")
        if trouble == "done, reported as failed":
            return Response(503, {}, HTML)
        return Response(response.status, response.headers, response.encoded())


class InProcessSqs:
    """The two operations of boto3's client that Deliver calls."""

    def __init__(self, sqs: Sqs, faults: PlannedFaults) -> None:
        self._sqs = sqs
        self._faults = faults

    def send_message_batch(self, **parameters: Any) -> dict[str, Any]:
        return self._call("SendMessageBatch", parameters)

    def change_message_visibility_batch(self, **parameters: Any) -> dict[str, Any]:
        return self._call("ChangeMessageVisibilityBatch", parameters)

    def _call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        trouble = self._faults.next()
        if trouble == "never sent":
            raise ConnectionClosedError(endpoint_url=OUTBOX)
        if trouble == "refused":
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, operation)
        status, result = self._sqs.handle(operation, parameters, partial=trouble == "half of it")
        if trouble == "killed after":
            raise Killed
        if trouble in ("response lost", "done, reported as failed"):
            raise ConnectionClosedError(endpoint_url=OUTBOX)
        if status != 200:
            raise ClientError({"Error": {"Code": result["__type"]}}, operation)
        return result


class InProcessAws(Aws):
    """A parameter with the access token, the outbox, and RefreshToken."""

    def __init__(self, org: Org, sqs: Sqs, faults: PlannedFaults) -> None:
        super().__init__(http=Http(), identity=IDENTITY)
        self._org = org
        self._sqs = sqs
        self._faults = faults
        self._token: AccessToken | None = None

    def get_parameter(self, name: str, *, deadline: Deadline) -> str | None:
        self._trouble()
        return self._token.dump() if self._token else None

    def send_message(self, queue_url: str, body: str, *, deadline: Deadline) -> str:
        lost = self._trouble()
        status, result = self._sqs.handle(
            "SendMessage", {"QueueUrl": queue_url, "MessageBody": body}
        )
        assert status == 200
        if lost == "killed after":
            raise Killed
        if lost:
            raise AwsError("NoAnswer", "the connection was reset")
        return str(result["MessageId"])

    def invoke(self, function: str, payload: Mapping[str, Any], *, deadline: Deadline) -> Any:
        lost = self._trouble()
        generation = self._token.generation if self._token else 0
        made = self._org.oauth.approve(CLIENT_ID, INTEGRATION_USER, "api", "refresh_token")
        self._token = AccessToken(
            access_token=made["access_token"],
            instance_url=made["instance_url"],
            id=made["id"],
            generation=generation + 1,
        )
        if lost:
            raise AwsError("NoAnswer", "the connection was reset", status=400)
        return {"generation": generation + 1, "refreshed": True}

    def _trouble(self) -> str:
        """Raise a fault that comes before the work; return one that comes after it."""
        trouble = self._faults.next()
        if trouble in ("never sent", "refused"):
            raise AwsError("ServiceUnavailable", "not now", status=400)
        after = ("response lost", "done, reported as failed", "killed after")
        return trouble if trouble in after else ""


troubles = st.lists(st.sampled_from(TROUBLES), max_size=8)


class InProcess(RuleBasedStateMachine):
    """Creation and Deliver with their org and queues; deliveries in any order, any number of times.

    Any call may fail.
    """

    held = Bundle("held")
    """Messages that a delivery has received and not processed yet."""

    changed: ClassVar[Mapping[str, str]] = {}
    """Variables of the functions' environment that differ from the template's."""

    @initialize()
    def begin(self) -> None:
        self.org = Org.sample()
        set_rules(self.org)
        self.org.clear_duplicate_rule("Lead")
        self.faults = PlannedFaults()
        self.sqs = Sqs(region="eu-west-1", account="1", base_url=lambda: "http://localhost")
        for name in ("Outbox", "Rejected"):
            self.sqs.handle("CreateQueue", {"QueueName": name, "Attributes": {}})
        self.settings = Settings.from_environ(
            {**LOCAL, "OUTBOX_URL": OUTBOX, "REJECTED_URL": REJECTED, **self.changed}
        )
        self.in_hand: list[list[dict[str, Any]]] = []
        self.aws = InProcessAws(self.org, self.sqs, self.faults)
        self.new_environment()

    @rule()
    def new_environment(self) -> None:
        """Lambda ends one and begins another: nothing is in memory."""
        telemetry = Telemetry()
        salesforce = Salesforce(http=self.http(), settings=self.settings)
        sessions = Sessions(aws=self.aws, settings=self.settings)
        self.creator = RecordCreator(
            salesforce=salesforce,
            sessions=sessions,
            queues=Queues(aws=self.aws, settings=self.settings),
            settings=self.settings,
            telemetry=telemetry,
        )
        self.delivery = Delivery(
            salesforce=salesforce,
            sessions=sessions,
            sqs=InProcessSqs(self.sqs, self.faults),
            settings=self.settings,
            telemetry=telemetry,
        )

    def http(self) -> Http:
        """The way to Salesforce."""
        return InProcessOrg(self.org, self.faults)

    # The outbox

    @rule(target=held, most=st.integers(1, 30))
    def receive(self, most: int) -> list[dict[str, Any]]:
        """SQS may deliver a message that another invocation is still working on."""
        self.sqs.let_time_pass(OUTBOX)
        messages: list[dict[str, Any]] = []
        while len(messages) < most:
            parameters = {
                "QueueUrl": OUTBOX,
                "MaxNumberOfMessages": min(10, most - len(messages)),
                "MessageSystemAttributeNames": ["All"],
            }
            some = self.sqs.handle("ReceiveMessage", parameters)[1].get("Messages", [])
            if not some:
                break
            messages += [
                {
                    "messageId": one["MessageId"],
                    "receiptHandle": one["ReceiptHandle"],
                    "body": one["Body"],
                    "attributes": one["Attributes"],
                }
                for one in some
            ]
        self.in_hand.append(messages)
        return messages

    @rule(messages=consumes(held), troubles=troubles, acknowledged=st.booleans())
    def deliver(
        self, messages: list[dict[str, Any]], troubles: list[str], acknowledged: bool
    ) -> None:
        """Not acknowledged: the work is done, but the messages are not deleted from the queue."""
        self.in_hand.remove(messages)
        self.faults.set(troubles)
        try:
            result = self.delivery.run({"Records": messages}, seconds=120)
        except Killed:
            self.new_environment()
            return
        finally:
            self.faults.set([])
        kept = {failure["itemIdentifier"] for failure in result["batchItemFailures"]}
        if acknowledged:
            for message in messages:
                if message["messageId"] not in kept:
                    parameters = {"QueueUrl": OUTBOX, "ReceiptHandle": message["receiptHandle"]}
                    self.sqs.handle("DeleteMessage", parameters)

    # Time

    @rule()
    def ten_minutes_pass(self) -> None:
        self.sqs.age(OUTBOX, 660)

    @rule()
    def sessions_expire(self) -> None:
        self.org.oauth.expire_sessions()

    @rule(most=st.sampled_from((0, 1, 3)))
    def a_trigger_takes_so_many(self, most: int) -> None:
        self.org.settings.put(trigger_limits={"Lead": most, "Case": most} if most else {})

    @rule()
    def rejected_is_replayed(self) -> None:
        """Sent first, then deleted; a message that is in the outbox and in Rejected is in order."""
        queue = self.sqs.queue(REJECTED)
        for message in list(queue.messages.values()):
            body = Envelope.parse(message.body).again().dump()
            self.sqs.handle("SendMessage", {"QueueUrl": OUTBOX, "MessageBody": body})
            queue.drop(message)

    def deliver_all(self) -> None:
        self.deliver(self.receive(200), [], True)

    def deliver_everything(self) -> None:
        """After all trouble the outbox becomes empty."""
        self.org.settings.put(trigger_limits={})
        self.new_environment()
        for _ in range(20):
            if not self.sqs.bodies(OUTBOX):
                break
            self.deliver_all()
        assert not self.sqs.bodies(OUTBOX)


class Story(InProcess):
    """Requests for records outside conversations."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.kinds: dict[int, str] = {}
        self.accepted: set[int] = set()
        self.removed: set[int] = set()

    # Callers

    @rule(kind=st.sampled_from(KINDS), troubles=troubles, at_once=st.booleans())
    def request_record(self, kind: str, troubles: list[str], at_once: bool) -> None:
        number = len(self.kinds) + 1
        self.kinds[number] = kind
        self._create(number, troubles, at_once=at_once)

    @precondition(lambda self: self.kinds)
    @rule(data=st.data(), troubles=troubles)
    def repeat_request(self, data: st.DataObject, troubles: list[str]) -> None:
        number = data.draw(st.sampled_from(sorted(self.kinds)))
        if number not in self.removed:  # a key lasts as long as its record
            self._create(number, troubles, at_once=True)

    def _create(self, number: int, troubles: list[str], *, at_once: bool) -> None:
        self.faults.set(troubles)
        try:
            outcome = self.creator.create(
                self._message(number), request_id="r", deadline=Deadline.after(8), at_once=at_once
            )
        except Killed:
            self.new_environment()
            return
        finally:
            self.faults.set([])
        if outcome.name != "not_kept":
            self.accepted.add(number)

    def _message(self, number: int) -> Message:
        kind = self.kinds[number]
        name: ObjectName = "Case" if kind == "case" else "Lead"
        fields: dict[str, Any] = {"Description": f"#{number}#"}
        fields |= {"Subject": "s"} if name == "Case" else {"LastName": "L", "Company": "C"}
        if kind == "owned lead":
            fields["OwnerId"] = self.org.settings.default_case_owner
        if kind == "refused by a rule":
            fields["Description"] += REFUSE_ME
        if kind == "unknown field":
            fields["Nope__c"] = 1
        if kind == "unreadable value":
            fields["NumberOfEmployees"] = "many"
        return Message(
            conversation="",
            key=f"request-{number}",
            requested=name,
            channel_object=name,
            fields=fields,
            sent_at=datetime.now(UTC),
        )

    # People

    @precondition(lambda self: self.org.store["Lead"].live)
    @rule(data=st.data())
    def a_user_deletes_a_lead(self, data: st.DataObject) -> None:
        """Ten minutes after it was created, and no delivery is working on it."""
        live = self.look().live
        busy = {
            number
            for messages in self.in_hand
            for message in messages
            for number in self.kinds
            if f'"request-{number}"' in message["body"]
        }
        free = sorted(n for n in live if n not in busy and self.kinds[n] != "case")
        if free:
            number = data.draw(st.sampled_from(free))
            self.sqs.age(OUTBOX, 660)
            self.org.delete("Lead", next(iter(live[number])))
            self.removed.add(number)

    # What always holds

    def look(self) -> Locations:
        return locate(self.org, outbox=self.sqs.bodies(OUTBOX), rejected=self.sqs.bodies(REJECTED))

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.accepted <= self.look().kept

    @invariant()
    def nothing_is_made_twice(self) -> None:
        seen = self.look()
        assert not seen.made_twice and not seen.keys_twice

    @invariant()
    def no_record_is_rejected_because_of_others(self) -> None:
        for number, envelopes in self.look().rejected.items():
            assert self.kinds[number] in REFUSED_KINDS, json.dumps(envelopes)

    def teardown(self) -> None:
        """After all trouble everything good is in Salesforce, all else in Rejected."""
        if not hasattr(self, "org"):
            return
        self.deliver_everything()
        seen = self.look()
        for number in self.accepted - self.removed:
            place = seen.rejected if self.kinds[number] in REFUSED_KINDS else seen.live
            assert number in place, f"{self.kinds[number]} {number}"
        for number in self.removed:
            assert number not in seen.live, f"{number} was brought back"
        self.nothing_is_made_twice()
