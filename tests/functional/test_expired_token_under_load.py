"""A token dies while 100 callers a second come: RefreshToken gets its reads, everybody a response.

The functions' own objects, hundreds of execution environments of them, on a virtual clock. SSM is
limited as in the sandbox: 40 reads a second for the account (AWS General Reference, "AWS Systems
Manager endpoints and quotas"). Over HTTP, with the sandbox's processes, so many callers would
measure this machine.
"""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bridge.api.record_api import RecordApi
from bridge.aws import Aws
from bridge.deadline import Deadline
from bridge.delivery.creation import RecordCreator
from bridge.delivery.outbox import Queues
from bridge.errors import BridgeError
from bridge.http import NoResponse, Response
from bridge.oauth.access_token import AccessToken
from bridge.oauth.refresher import TokenRefresher
from bridge.oauth.sessions import Sessions
from bridge.oauth.vault import Vault
from bridge.salesforce.client import Salesforce
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from sandbox.aws.throttling import ssm_reads
from tests.conftest import ENVIRON
from tests.functional.virtual_time import EPOCH, VirtualTime
from tests.unit.doubles import IDENTITY, INSTANCE, Call, SmallOrg, json_response
from tests.unit.test_record_api import Context

CALLERS_A_SECOND = 100
BUDGET_SECONDS = float(ENVIRON["RESPONSE_BUDGET_SECONDS"])

COLD_START_SECONDS = 0.5
AWS_SECONDS = 0.02
"""What a call of AWS takes that is not throttled, and one that is."""
SALESFORCE_SECONDS = 0.08
GRANT_SECONDS = 3.0
"""What Salesforce takes for one token."""


class Account:
    """SSM, Secrets Manager, DynamoDB, SQS and Lambda, as boto3's clients and over HTTP."""

    def __init__(self, clock: VirtualTime, settings: Settings, *, cold_seconds: float) -> None:
        self.clock = clock
        self.settings = settings
        self.cold_seconds = cold_seconds
        """What RefreshToken's start takes, each time."""
        self.bucket = ssm_reads()
        first = AccessToken(access_token="access-1", instance_url=INSTANCE, generation=1)
        self.parameters = {settings.token_parameter: first.dump()}
        self.lease: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self.failures: list[str] = []
        """RefreshToken's, by code."""
        self.refreshes = 0
        self.org = SmallOrg()
        self.org.tokens = {"access-1"}

    # As boto3's clients of RefreshToken

    def get_parameter(self, **request: Any) -> Any:
        value = self._read(request["Name"], "refresh_token")
        if isinstance(value, str):
            return {"Parameter": {"Value": value}}
        code = "ParameterNotFound" if value is None else "ThrottlingException"
        raise ClientError({"Error": {"Code": code}}, "GetParameter")

    def put_parameter(self, **request: Any) -> Any:
        self.clock.sleep(AWS_SECONDS)
        self.parameters[request["Name"]] = request["Value"]
        return {}

    def get_secret_value(self, **request: Any) -> Any:
        self.clock.sleep(AWS_SECONDS)
        secret = {"client_id": "client", "refresh_token": "refresh-1"}
        return {"SecretString": json.dumps(secret), "VersionId": "v1"}

    def put_item(self, **request: Any) -> Any:
        self.clock.sleep(AWS_SECONDS)
        self.calls["lease"] += 1
        new = request["Item"]
        expires_at = int(self.lease.get("expires_at", {"N": "0"})["N"])
        foreign = self.lease.get("owner_id", new["owner_id"]) != new["owner_id"]
        if foreign and expires_at >= int(EPOCH + self.clock.now):
            raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, "PutItem")
        self.lease = new
        return {}

    def delete_item(self, **request: Any) -> Any:
        self.clock.sleep(AWS_SECONDS)
        if self.lease.get("owner_id") == request["ExpressionAttributeValues"][":owner"]:
            self.lease = {}
        return {}

    # Over HTTP

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
        """One request of a function, to Salesforce or to AWS."""
        if url.endswith("/services/oauth2/token"):
            self.clock.sleep(GRANT_SECONDS)
            self.refreshes += 1
            token = f"access-{self.refreshes + 1}"
            self.org.tokens = {token}
            return json_response(200, {"access_token": token, "instance_url": INSTANCE})
        if url.startswith(INSTANCE):
            self.clock.sleep(SALESFORCE_SECONDS)
            call = Call(method, url, headers, body, repeatable, deadline.remaining())
            return self.org._respond(call)
        if url.endswith("/invocations"):
            return self._invoke(json.loads(body or b""), deadline)
        if headers["x-amz-target"] == "AmazonSQS.SendMessage":
            self.clock.sleep(AWS_SECONDS)
            return json_response(200, {"MessageId": "m"})
        assert headers["x-amz-target"] == "AmazonSSM.GetParameter"
        value = self._read(json.loads(body or b"")["Name"], "create_lead")
        if isinstance(value, str):
            return json_response(200, {"Parameter": {"Value": value}})
        return json_response(400, {"__type": "ThrottlingException"})

    def _read(self, name: str, who: str) -> str | bool | None:
        """A parameter's value, None if there is none, False if SSM throttles."""
        self.clock.sleep(AWS_SECONDS)
        self.calls[f"{who} reads"] += 1
        if not self.bucket.take():
            self.calls[f"{who} throttled"] += 1
            return False
        return self.parameters.get(name)

    def _invoke(self, payload: Any, deadline: Deadline) -> Response:
        self.calls["invocations"] += 1
        result = self.clock.start(lambda: self._refresh(payload), after=self.cold_seconds)
        if not self.clock.wait(result, deadline.remaining()):
            raise NoResponse("lambda did not answer in time")
        if isinstance(result.value, BridgeError):
            raised = {"errorType": type(result.value).__name__, "errorMessage": "m"}
            return json_response(200, raised, **{"x-amz-function-error": "Unhandled"})
        return json_response(200, result.value)

    def _refresh(self, payload: Any) -> Any:
        client: Any = self
        refresher = TokenRefresher(
            http=client,
            vault=Vault(secrets=client, ssm=client, settings=self.settings),
            dynamodb=client,
            settings=self.settings,
            telemetry=Telemetry(),
        )
        try:
            return refresher.run(payload, seconds=60)
        except BridgeError as error:
            self.failures.append(getattr(error, "code", type(error).__name__))
            return error


@dataclass
class Load:
    """Callers of create_lead, each in an execution environment that is free, or in a new one."""

    clock: VirtualTime
    account: Account
    settings: Settings
    event: Any
    idle: list[RecordApi] = field(default_factory=list)
    responses: list[tuple[float, int, float]] = field(default_factory=list)
    """When the caller came, its status, and how long it waited."""

    def call(self) -> None:
        came = self.clock.now
        if self.idle:
            api = self.idle.pop()
        else:
            self.clock.sleep(COLD_START_SECONDS)
            api = self._environment()
        event = copy.deepcopy(self.event)
        event["body"] = json.dumps({"LastName": "Okafor", "key": f"k-{len(self.responses)}-{came}"})
        event["requestContext"]["requestTimeEpoch"] = int((EPOCH + came) * 1000)
        response = api.respond(event, Context())
        self.responses.append((came, response["statusCode"], self.clock.now - came))
        self.idle.append(api)

    def _environment(self) -> RecordApi:
        http: Any = self.account
        settings = self.settings
        telemetry = Telemetry()
        aws = Aws(http=http, identity=IDENTITY)
        creator = RecordCreator(
            salesforce=Salesforce(http=http, settings=settings),
            sessions=Sessions(aws=aws, settings=settings),
            queues=Queues(aws=aws, settings=settings),
            settings=settings,
            telemetry=telemetry,
        )
        return RecordApi("Lead", creator=creator, settings=settings, telemetry=telemetry)


DIES_AT = 2.0
"""Seconds after the first caller."""
LASTS_SECONDS = 12.0


@pytest.fixture(autouse=True)
def powertools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "bird-salesforce")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BirdSalesforce")


@pytest.mark.parametrize("cold_seconds", [0.0, 1.0], ids=["warm", "cold"])
def test_a_token_that_dies_under_load_starves_nobody(
    monkeypatch: pytest.MonkeyPatch, event: Callable[[str], Any], cold_seconds: float
) -> None:
    random.seed(1)
    clock = VirtualTime(monkeypatch)
    settings = Settings.from_environ(ENVIRON)
    account = Account(clock, settings, cold_seconds=cold_seconds)
    load = Load(clock, account, settings, event("create_lead"))
    for number in range(int(LASTS_SECONDS * CALLERS_A_SECOND)):
        clock.start(load.call, after=number / CALLERS_A_SECOND)
    clock.start(account.org.tokens.clear, after=DIES_AT)
    clock.run()

    assert account.failures == []
    assert account.refreshes == 1
    assert {status for _, status, _ in load.responses} <= {201, 202}
    assert len(load.responses) == LASTS_SECONDS * CALLERS_A_SECOND
    assert max(wait for _, _, wait in load.responses) <= BUDGET_SECONDS
    created = [came for came, status, _ in load.responses if status == 201]
    assert len(created) > len(load.responses) * 2 / 3
    assert len(created) == len(account.org.rows)
    assert account.calls["create_lead throttled"] > 100, "SSM's limit was not met"
