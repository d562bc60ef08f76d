"""The bundle's API and Deliver in this process, with a Salesforce org behind them over HTTP."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.api.record_api import RecordApi
from bridge.delivery.creation import RecordCreator
from bridge.delivery.deliver import Delivery
from bridge.delivery.outbox import Envelope, Queues
from bridge.http import Http, Response
from bridge.oauth.sessions import Sessions
from bridge.records import ObjectName
from bridge.salesforce.client import Salesforce
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from sandbox.org import Org, OrgServer, sample
from tests.conftest import LOCAL
from tests.unit.doubles import SmallAws
from tests.unit.test_deliver import Sqs
from tests.unit.test_record_api import Context


class Counting(Http):
    """HTTP that counts the calls, and does something before one of them where a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []
        self.before: dict[int, Callable[[], object]] = {}

    def send(self, method: str, url: str, **more: Any) -> Response:
        self.calls.append((method, urllib.parse.urlsplit(url).path))
        if happens := self.before.pop(len(self.calls), None):
            happens()
        return super().send(method, url, **more)


@dataclass
class Reply:
    """A response of the API, and how many calls to Salesforce it cost."""

    status: int
    body: dict[str, Any]
    calls: int

    def __getitem__(self, name: str) -> Any:
        return self.body[name]


@dataclass
class Bundle:
    """The functions of one deployment. Each function is one execution environment."""

    org: Org
    url: str
    token: str
    parameters: dict[str, str] = field(default_factory=dict)
    aws: SmallAws = field(default_factory=SmallAws)

    def __post_init__(self) -> None:
        self.settings = Settings.from_environ({**LOCAL, **self.parameters})
        self.sqs, self.http = Sqs(), Counting()
        user = self.org.oauth.user(sample.INTEGRATION_USER) or {}
        self.aws.publish(self.token, 1, instance_url=self.url, user_id=user["Id"])
        self.telemetry = Telemetry()
        self.salesforce = Salesforce(http=self.http, settings=self.settings)
        creator = RecordCreator(
            salesforce=self.salesforce,
            sessions=self.sessions(),
            queues=Queues(aws=self.aws, settings=self.settings),
            settings=self.settings,
            telemetry=self.telemetry,
        )
        names: tuple[ObjectName | None, ...] = ("Lead", "Case", None)
        self.apis = {
            name: RecordApi(name, creator=creator, settings=self.settings, telemetry=self.telemetry)
            for name in names
        }
        self.delivery = Delivery(
            salesforce=self.salesforce,
            sessions=self.sessions(),
            sqs=self.sqs,  # type: ignore[arg-type]
            settings=self.settings,
            telemetry=self.telemetry,
        )

    def sessions(self) -> Sessions:
        return Sessions(aws=self.aws, settings=self.settings)

    def request(self, name: ObjectName | None, event: dict[str, Any]) -> Reply:
        before = len(self.http.calls)
        reply = self.apis[name].respond(event, Context())
        return Reply(reply["statusCode"], json.loads(reply["body"]), len(self.http.calls) - before)

    def post(self, body: Any, name: ObjectName | None = "Lead", **event: Any) -> Reply:
        """POST /leads, /cases, or with None /messages."""
        return self.request(name, {"httpMethod": "POST", "body": json.dumps(body), **event})

    def get(self, key: str, name: ObjectName = "Lead") -> Reply:
        return self.request(name, {"httpMethod": "GET", "pathParameters": {"key": key}})

    def patch(self, key: str, body: Any, name: ObjectName = "Lead", **event: Any) -> Reply:
        """PATCH /leads/{key} or /cases/{key}."""
        where = {"httpMethod": "PATCH", "pathParameters": {"key": key}}
        return self.request(name, {**where, "body": json.dumps(body), **event})

    def queue_update(self, key: str, body: Any, name: ObjectName = "Lead") -> None:
        """The same as `patch`, without waiting for Salesforce."""
        reply = self.patch(key, body, name, headers={"prefer": "respond-async"})
        assert reply["outcome"] == "queued"

    def queue(self, body: Any, name: ObjectName | None = "Lead") -> None:
        """The same as `post`, without waiting for Salesforce."""
        reply = self.post(body, name, headers={"prefer": "respond-async"})
        assert reply["outcome"] == "queued"

    @property
    def outbox(self) -> list[str]:
        """The bodies that wait."""
        return self.aws.queues.setdefault(self.settings.outbox_url, [])

    @property
    def rejected(self) -> list[Envelope]:
        """What is in Rejected, put there now or later."""
        bodies = [*self.aws.queues.get(self.settings.rejected_url, []), *self.sqs.sent]
        return [Envelope.parse(body) for body in bodies]

    def deliver(self, *, age: float = 0, seconds: float = 120) -> int:
        """One invocation of Deliver with all that waits; how many calls to Salesforce it cost."""
        bodies, before = list(self.outbox), len(self.http.calls)
        sent_at = str(int((time.time() - age) * 1000))
        records = [
            {
                "messageId": str(number),
                "receiptHandle": str(number),
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": sent_at},
            }
            for number, body in enumerate(bodies)
        ]
        result = self.delivery.run({"Records": records}, seconds=seconds)
        kept = {int(one["itemIdentifier"]) for one in result["batchItemFailures"]}
        self.outbox[:] = [body for number, body in enumerate(bodies) if number in kept]
        return len(self.http.calls) - before

    def replay(self, *, force: bool = False) -> None:
        """Bring everything back from Rejected, as `rejected replay` does."""
        self.outbox.extend(envelope.again(force=force).dump() for envelope in self.rejected)
        self.aws.queues.pop(self.settings.rejected_url, None)
        self.sqs.sent.clear()


def token_of(server: OrgServer) -> str:
    """An access token of the integration user."""
    form = {
        "grant_type": "client_credentials",
        "client_id": sample.CLIENT_ID,
        "client_secret": sample.CLIENT_SECRET,
    }
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(server.url + "/services/oauth2/token", body) as response:
        return str(json.load(response)["access_token"])


@pytest.fixture(scope="module")
def server() -> Iterator[OrgServer]:
    with OrgServer(Org.sample()) as server:
        yield server


@pytest.fixture
def deploy(server: OrgServer) -> Callable[..., Bundle]:
    """Makes a bundle with these variables of the environment."""
    server.org.reset()
    server.org.clock.reset()
    token = token_of(server)

    def make(**parameters: str) -> Bundle:
        return Bundle(server.org, server.url, token, parameters)

    return make


@pytest.fixture
def fresh() -> Iterator[Callable[..., Bundle]]:
    """Makes a bundle with an org of its own, whose set-up a test changes."""
    with OrgServer(Org.sample()) as server:

        def make(**parameters: str) -> Bundle:
            return Bundle(server.org, server.url, token_of(server), parameters)

        yield make


@pytest.fixture
def bundle(deploy: Callable[..., Bundle]) -> Bundle:
    return deploy()


Send = Callable[..., Reply | None]


@pytest.fixture(params=["now", "later"])
def send(request: pytest.FixtureRequest, bundle: Bundle) -> Send:
    """Brings a message into Salesforce; the reply where a caller waited."""

    def post(body: Any, name: ObjectName | None = "Lead") -> Reply | None:
        if request.param == "now":
            reply = bundle.post(body, name)
            # To find the record of a duplicate rule, and to add to it, takes two more.
            assert reply.calls <= (6 if reply.body.get("matched") else 4), reply
            return reply
        bundle.queue(body, name)
        bundle.deliver()
        return None

    return post


@pytest.fixture(autouse=True)
def _powertools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "bird-salesforce")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BirdSalesforce")
