"""Creation and delivery in one process, with a fault planned for each of their calls.

Salesforce and SQS are the sandbox's, called without the network. Deliveries come in any order, any
number of times.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError, ConnectionClosedError

from bridge.aws import Aws, AwsError
from bridge.deadline import Deadline
from bridge.delivery.creation import RecordCreator
from bridge.delivery.deliver import Delivery
from bridge.delivery.outbox import Envelope, Queues
from bridge.http import Http, NoConnection, NoResponse, Response
from bridge.oauth.access_token import AccessToken
from bridge.oauth.sessions import Sessions
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
from tests.slow.chaos.requests import set_rules
from tests.unit.doubles import IDENTITY

OUTBOX, REJECTED = "http://localhost/1/Outbox", "http://localhost/1/Rejected"

TROUBLES = (
    *("none", "never sent", "refused", "response lost", "done, reported as failed"),
    *("half of it", "session expired", "killed before", "killed after"),
)


class Killed(BaseException):
    """SIGKILL: no code of the bundle may catch it."""


class PlannedFaults(list[str]):
    """The faults of the next calls, in order; calls after those have none."""

    def around(
        self, do: Callable[[str], Any], *, refuse: Callable[[str], Any], lose: Callable[[str], Any]
    ) -> Any:
        """Carry out a call, unless its fault prevents that. `refuse` and `lose` raise or return
        what its caller gets where it was not carried out, and where its result is lost."""
        trouble = self.pop(0) if self else "none"
        if trouble == "killed before":
            raise Killed
        if trouble in ("never sent", "refused"):
            return refuse(trouble)
        result = do(trouble)
        if trouble == "killed after":
            raise Killed
        return lose(trouble) if trouble in ("response lost", "done, reported as failed") else result


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
        def fail(trouble: str) -> Response:
            if trouble == "never sent":
                raise NoConnection("connection refused")
            if trouble == "response lost":
                raise NoResponse("the connection was reset")
            return Response(503, {}, b"<html><body>maintenance</body></html>")

        def do(trouble: str) -> Response:
            if trouble == "session expired":
                self._org.oauth.expire_sessions()
            every_other = itertools.cycle((False, True))
            lock = Fault(error="UNABLE_TO_LOCK_ROW").problem()

            def locked(name: str) -> Problem | None:
                return lock if next(every_other) else None

            target = "/" + url.split("://", 1)[1].partition("/")[2]
            lower = {name.lower(): value for name, value in headers.items()}
            half = locked if trouble == "half of it" else None
            response = api.serve(self._org, method, target, lower, body or b"", trouble=half)
            return Response(response.status, response.headers, response.encoded())

        response: Response = self._faults.around(do, refuse=fail, lose=fail)
        return response


class InProcessSqs:
    """The two operations of boto3's client that Deliver calls."""

    def __init__(self, sqs: Sqs, faults: PlannedFaults) -> None:
        self._sqs = sqs
        self._faults = faults

    def send_message_batch(self, **parameters: Any) -> Any:
        return self._call("SendMessageBatch", parameters)

    def change_message_visibility_batch(self, **parameters: Any) -> Any:
        return self._call("ChangeMessageVisibilityBatch", parameters)

    def _call(self, operation: str, parameters: Mapping[str, Any]) -> Any:
        def fail(trouble: str) -> None:
            if trouble == "refused":
                raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, operation)
            raise ConnectionClosedError(endpoint_url=OUTBOX)

        def do(trouble: str) -> Any:
            partial = trouble == "half of it"
            status, result = self._sqs.handle(operation, parameters, partial=partial)
            if status != 200:
                raise ClientError({"Error": {"Code": result["__type"]}}, operation)
            return result

        return self._faults.around(do, refuse=fail, lose=fail)


class InProcessAws(Aws):
    """A parameter with the access token, the outbox, and RefreshToken."""

    def __init__(self, org: Org, sqs: Sqs, faults: PlannedFaults) -> None:
        super().__init__(http=Http(), identity=IDENTITY)
        self._org = org
        self._sqs = sqs
        self._faults = faults
        self._token: AccessToken | None = None

    def _call(self, do: Callable[[], Any]) -> Any:
        def refuse(trouble: str) -> None:
            raise AwsError("ServiceUnavailable", "not now", status=400)

        def lose(trouble: str) -> None:
            raise AwsError("NoAnswer", "the connection was reset")

        return self._faults.around(lambda _: do(), refuse=refuse, lose=lose)

    def get_parameter(self, name: str, *, deadline: Deadline) -> Any:
        return self._call(lambda: self._token.dump() if self._token else None)

    def send_message(self, queue_url: str, body: str, *, deadline: Deadline) -> Any:
        parameters = {"QueueUrl": queue_url, "MessageBody": body}
        return self._call(lambda: self._sqs.handle("SendMessage", parameters)[1]["MessageId"])

    def invoke(self, function: str, payload: Mapping[str, Any], *, deadline: Deadline) -> Any:
        return self._call(self._refresh)

    def _refresh(self) -> dict[str, Any]:
        generation = self._token.generation + 1 if self._token else 1
        made = self._org.oauth.approve(CLIENT_ID, INTEGRATION_USER, "api", "refresh_token")
        taken = {name: made[name] for name in ("access_token", "instance_url", "id")}
        self._token = AccessToken(**taken, generation=generation)
        return {"generation": generation, "refreshed": True}


class InProcess:
    """The bundle's API and Deliver, with their org and queues. Any call may fail."""

    changed: ClassVar[Mapping[str, str]] = {}
    """Variables of the functions' environment that differ from the template's."""

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts
        """What happened, in all stories of a run."""
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
        """Messages that a delivery has received and not processed yet."""
        self.aws = InProcessAws(self.org, self.sqs, self.faults)
        self.new_environment()

    def new_environment(self) -> None:
        """Lambda ends one and begins another: nothing is in memory."""
        self.creator = self.api(self.http(), self.aws)
        self.delivery = Delivery(
            salesforce=Salesforce(http=self.http(), settings=self.settings),
            sessions=Sessions(aws=self.aws, settings=self.settings),
            sqs=InProcessSqs(self.sqs, self.faults),
            settings=self.settings,
            telemetry=Telemetry(),
        )

    def api(self, http: Http, aws: Aws) -> RecordCreator:
        """One execution environment of a function that creates records."""
        return RecordCreator(
            salesforce=Salesforce(http=http, settings=self.settings),
            sessions=Sessions(aws=aws, settings=self.settings),
            queues=Queues(aws=aws, settings=self.settings),
            settings=self.settings,
            telemetry=Telemetry(),
        )

    def http(self) -> Http:
        """The way to Salesforce."""
        return InProcessOrg(self.org, self.faults)

    def trying(self, do: Callable[[], Any], troubles: list[str]) -> Any:
        """Do something of the bundle's, whose calls meet these faults; None where it was killed."""
        self.faults[:] = troubles
        try:
            return do()
        except Killed:
            self.counts["kills"] += 1
            self.new_environment()
            return None
        finally:
            self.faults.clear()

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
            # As the event source hands them on: messageId instead of MessageId.
            messages += [{name[0].lower() + name[1:]: one[name] for name in one} for one in some]
        self.in_hand.append(messages)
        return messages

    def deliver(
        self, messages: list[dict[str, Any]], troubles: list[str], acknowledged: bool
    ) -> None:
        """Not acknowledged: the work is done, but the messages are not deleted from the queue."""
        self.in_hand.remove(messages)
        event = {"Records": messages}
        result = self.trying(lambda: self.delivery.run(event, seconds=120), troubles)
        if result is None or not acknowledged:
            return
        kept = {failure["itemIdentifier"] for failure in result["batchItemFailures"]}
        for message in messages:
            if message["messageId"] not in kept:
                parameters = {"QueueUrl": OUTBOX, "ReceiptHandle": message["receiptHandle"]}
                self.sqs.handle("DeleteMessage", parameters)

    def deliver_all(self) -> None:
        self.deliver(self.receive(200), [], True)

    def rejected_is_replayed(self) -> None:
        """Sent first, then deleted; a message that is in the outbox and in Rejected is in order."""
        queue = self.sqs.queue(REJECTED)
        for message in list(queue.messages.values()):
            if json.loads(message.body).get("kind") == "update":
                continue  # what a person wrote since counts; a replay would be later than that
            body = Envelope.parse(message.body).again().dump()
            self.sqs.handle("SendMessage", {"QueueUrl": OUTBOX, "MessageBody": body})
            queue.drop(message)

    def deliver_everything(self) -> None:
        """After all trouble the outbox becomes empty, but for updates of what is not there yet."""
        self.org.settings.put(trigger_limits={})
        self.new_environment()
        for _ in range(20):
            if not self.messages_wait():
                break
            self.deliver_all()
        assert not self.messages_wait()

    def messages_wait(self) -> bool:
        return any(json.loads(body).get("kind") != "update" for body in self.sqs.bodies(OUTBOX))
