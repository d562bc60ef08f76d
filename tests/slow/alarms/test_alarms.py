"""Each fault raises its own alarm and no other, and none is raised once it is mended."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.aws.event_source import QueueMapping
from sandbox.aws.functions import Throttled
from sandbox.org.sample import CLIENT_ID, INTEGRATION_USER
from sandbox.stack import Stack
from tests.stacks import empty_queues, public_address, renew_token, write_signing_keys
from tests.unit.signing import KEY, bird

from .observer import Observer

LEAD = {"LastName": "Okafor"}
REFRESH_MINUTES = 90
PARAMETERS = {
    "AccessLogs": "on",
    "AttachMedia": "on",
    "RefreshMinutes": str(REFRESH_MINUTES),
    "ResponseBudgetSeconds": "2",
    "DuplicateRecords": "attach",
    "MatchContacts": "on",
}
DAY = 86_400


@pytest.fixture(scope="module")
def shared() -> Iterator[Observer]:
    with Stack(poll=False, processes=1, parameters=PARAMETERS) as stack:
        yield Observer(stack)


@pytest.fixture
def observer(shared: Observer) -> Observer:
    """Of a connected stack in which nothing is wrong, whatever the test before it did."""
    mend(shared.stack)
    run_schedule(shared.stack)
    settle(shared.stack)
    shared.begin()
    return shared


def run_schedule(stack: Stack) -> None:
    """A scheduled run, if the schedule is on. (Lambda repeats what was throttled.)"""
    with contextlib.suppress(Throttled):
        stack.schedule.fire()


def settle(stack: Stack) -> None:
    """Functions forget what they remember of a fault, and a record is created."""
    for function in stack.functions.values():
        function.recycle()
    # A cold start may take longer than the budget; a look-up makes nothing.
    found = (stack.request("GET", "/leads?key=x&errors=inline").json() for _ in range(9))
    assert any(body["outcome"] == "unknown" for body in found)
    post(stack, 201)


def post(stack: Stack, status: int, path: str = "/leads", body: object = LEAD) -> None:
    response = stack.request("POST", path, body)
    assert response.status == status, response.json()


def queue(stack: Stack) -> None:
    """A record waits in the outbox."""
    prefer = {"Prefer": "respond-async"}
    assert stack.request("POST", "/leads", LEAD, headers=prefer).status == 202


# Faults

Breaks = Callable[[Stack], object]


@dataclass(frozen=True)
class Fault:
    """`breaks` raises `alarms`, by the last of so many `periods`."""

    breaks: Breaks
    alarms: set[str]
    periods: int = 1


FAULTS: dict[str, Fault] = {}


def fault(name: str, *alarms: str, periods: int = 1) -> Callable[[Breaks], Breaks]:
    """Says what a function breaks, and which alarms that has to raise."""

    def register(breaks: Breaks) -> Breaks:
        FAULTS[name] = Fault(breaks, set(alarms), periods)
        return breaks

    return register


def mend(stack: Stack) -> None:
    """All that a fault may have broken."""
    stack.aws.heal()
    stack.org.trouble.clear()
    stack.org.usage.set_used(0)
    stack.org.show_field("Lead", "Bird_Key__c", user=INTEGRATION_USER)
    stack.client("events").enable_rule(Name=stack.schedule.rule)
    limit_requests(stack, *stack.deployment.throttle)
    for name in ("deliver", "attach_files"):
        stack.functions[name].environment["OUTBOX_URL"] = stack.outbox_url
    stack.org.oauth.apps[CLIENT_ID].rotation = False
    stack.connect()
    renew_token(stack)
    empty_queues(stack)


@fault("the connection is revoked", "RefreshFailed")
def revoke_connection(stack: Stack) -> None:
    stack.org.oauth.revoke(stack.credentials()["refresh_token"])
    renew_token(stack)


@fault("a rotated refresh token is lost", "RefreshFailed")
def lose_rotated_token(stack: Stack) -> None:
    stack.org.oauth.apps[CLIENT_ID].rotation = True
    for service, operation in (("secretsmanager", "PutSecretValue"), ("ssm", "PutParameter")):
        stack.aws.fail(service, operation, status=400, code="LimitExceededException")
    renew_token(stack)


@fault("a scheduled refresh fails", "TokenOld")
def miss_a_run(stack: Stack) -> None:
    """The secret cannot be read when its time has come; the next run finds the token old."""
    token = stack.token()
    assert token is not None
    minutes = 2 * REFRESH_MINUTES
    token["issued_at"] = str(int(token["issued_at"]) - minutes * 60_000)
    stack.client("ssm").put_parameter(
        Name=stack.token_parameter, Value=json.dumps(token), Type="SecureString", Overwrite=True
    )
    stack.aws.fail("secretsmanager", "GetSecretValue", status=400, code="AccessDeniedException")
    run_schedule(stack)
    assert stack.token() == token
    stack.aws.heal()


@fault("the token cannot be read", "TokenOld")
def deny_token(stack: Stack) -> None:
    """RefreshToken may not read the token, as with a key in KMS that it may not use: no age is
    measured."""
    stack.aws.fail("ssm", "GetParameter", status=400, code="AccessDeniedException")


@fault("the schedule is disabled", "ScheduleStopped")
def stop_schedule(stack: Stack) -> None:
    stack.client("events").disable_rule(Name=stack.schedule.rule)


@fault("the key field is hidden", "NotSetUp")
def hide_field(stack: Stack) -> None:
    stack.org.hide_field("Lead", "Bird_Key__c", user=INTEGRATION_USER)
    post(stack, 202)


@fault("a record is refused", "Rejected")
def refuse_record(stack: Stack) -> None:
    post(stack, 422, body={"Company": "nameless"})


@fault("a refused record gets old", "Rejected", "RejectedOld")
def refuse_record_a_week_ago(stack: Stack) -> None:
    refuse_record(stack)
    stack.aws.queues.age(stack.rejected_url, 7 * DAY + 60)


def try_four_times(stack: Stack, url: str, poller: QueueMapping) -> None:
    """An hour after it came: SQS's own metric leaves out what was tried more than three times."""
    stack.aws.queues.age(url, 62 * 60)
    for _ in range(4):
        stack.aws.queues.let_time_pass(url)
        poller.deliver_once()
    (message,) = stack.aws.queues.queue(url).messages.values()
    assert message.receives > 3


@fault("Salesforce takes nothing", "OutboxOld")
def take_nothing(stack: Stack) -> None:
    stack.org.trouble.add(area="rest", status=503, body="down")
    post(stack, 202)
    try_four_times(stack, stack.outbox_url, stack.poller)


@fault("nobody polls the outbox", "OutboxOld")
def stop_polling(stack: Stack) -> None:
    """Somebody has disabled the event source: no function measures anything."""
    queue(stack)
    stack.age_outbox(62 * 60)


@fault("requests are used up", "ApiUsage")
def use_up_requests(stack: Stack) -> None:
    stack.org.usage.set_used(int(stack.org.settings.daily_requests * 0.85))
    post(stack, 201)


@fault("the queues cannot be reached", "ServerError", "RecordsLost")
def lose_queues(stack: Stack) -> None:
    stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")
    with stack.outage():
        post(stack, 503)


def inline(stack: Stack, path: str, body: object = LEAD, **more: Any) -> Any:
    """The status in the body of a response that is 200 whatever happened."""
    join = "&" if "?" in path else "?"
    response = stack.request("POST", f"{path}{join}errors=inline", body, **more)
    assert response.status == 200
    return response.json()["status"]


def lose_queues_inline(path: str, stack: Stack) -> None:
    stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")
    with stack.outage():
        assert inline(stack, path) == 503


for path in ("/leads", "/cases", "/messages?object=Lead"):
    name = f"the queues cannot be reached, and {path} is called with errors=inline"
    fault(name, "RecordsLost")(partial(lose_queues_inline, path))


@fault("a refused record cannot be kept, with errors=inline", "RecordsLost")
def lose_rejected_inline(stack: Stack) -> None:
    stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")
    assert inline(stack, "/leads", {"Company": "nameless"}) == 503


def throttle(path: str, stack: Stack) -> None:
    """Other functions use the account's concurrency up."""
    with stack.account_used_up():
        post(stack, 502, path)


for path in ("/leads", "/cases", "/messages"):
    # The gateway's response to the caller is a 5xx, which is as true.
    fault(f"Lambda throttles {path}", "Throttled", "ServerError")(partial(throttle, path))


@fault("Lambda throttles the schedule", "Throttled")
def throttle_schedule(stack: Stack) -> None:
    with stack.account_used_up():
        run_schedule(stack)


@fault("Lambda throttles a refresh", "Throttled")
def throttle_refresh(stack: Stack) -> None:
    """The function that was refused runs, and the one that it invokes does not."""
    stack.org.oauth.expire_sessions()
    with stack.account_used_up(but=1):
        post(stack, 202)


@fault("Lambda throttles Deliver", "Throttled")
def throttle_deliver(stack: Stack) -> None:
    queue(stack)
    with stack.account_used_up():
        stack.deliver_once()


def take_its_outbox_away(stack: Stack, name: str) -> None:
    """The function cannot read its own configuration."""
    stack.functions[name].environment.pop("OUTBOX_URL", None)
    stack.functions[name].recycle()


@fault("Deliver fails", "DeliverFailing", periods=2)
def break_deliver(stack: Stack) -> None:
    take_its_outbox_away(stack, "deliver")
    queue(stack)
    stack.let_time_pass()
    stack.deliver_once()


def send_picture(stack: Stack, *, trouble: tuple[str, ...] = ()) -> None:
    link = stack.media.put(b"JFIF", trouble=trouble)
    key = {"Bird_Key__c": f"picture-{time.time_ns()}"}
    post(stack, 201, body={**LEAD, **key, "bird": {"media": link}})


@fault("Bird's host responds with errors", "FilesOld")
def fetch_nothing(stack: Stack) -> None:
    send_picture(stack, trouble=("500",) * 9)
    try_four_times(stack, stack.files_url, stack.files_poller)


@fault("the access key is missing", "NotSetUp")
def lose_access_key(stack: Stack) -> None:
    stack.client("secretsmanager").put_secret_value(
        SecretId=stack.deployment.resource("AccessKey")["Ref"], SecretString='{"accessKey": ""}'
    )
    stack.functions["attach_files"].recycle()
    send_picture(stack)
    stack.files_poller.deliver_once()


@fault("a file is gone", "Rejected")
def refuse_file(stack: Stack) -> None:
    send_picture(stack, trouble=("404",))
    stack.files_poller.deliver_once()


@fault("Lambda throttles AttachFiles", "Throttled")
def throttle_attach_files(stack: Stack) -> None:
    send_picture(stack)
    with stack.account_used_up():
        stack.files_poller.deliver_once()


@fault("AttachFiles fails", "AttachFilesFailing", periods=2)
def break_attach_files(stack: Stack) -> None:
    take_its_outbox_away(stack, "attach_files")
    send_picture(stack)
    stack.files_poller.deliver_once()


def limit_requests(stack: Stack, rate: float, burst: int) -> None:
    limits = {"rateLimit": str(int(rate)), "burstLimit": str(burst)}
    stack.client("apigateway").update_usage_plan(
        usagePlanId=stack.deployment.outputs["UsagePlanId"],
        patchOperations=[
            {"op": "replace", "path": f"/throttle/{name}", "value": value}
            for name, value in limits.items()
        ],
    )


@fault("a flow sends too much", "TurnedAway")
def send_too_much(stack: Stack) -> None:
    limit_requests(stack, 1, 3)
    statuses = {stack.request("POST", "/leads", LEAD).status for _ in range(6)}
    assert statuses == {201, 429}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_raises_its_alarm_and_no_other_until_it_is_mended(
    observer: Observer, fault: Fault
) -> None:
    stack = observer.stack
    for _ in range(fault.periods):
        fault.breaks(stack)
        run_schedule(stack)
        observer.end_period()
    assert observer.raised() == fault.alarms

    mend(stack)
    settle(stack)
    observer.begin()
    post(stack, 201)
    run_schedule(stack)
    observer.end_period()
    assert observer.raised() == set()


def test_one_failure_of_deliver_raises_nothing(observer: Observer) -> None:
    break_deliver(observer.stack)
    run_schedule(observer.stack)
    observer.end_period()
    assert observer.raised() == set()


def test_every_alarm_is_raised_by_a_fault(observer: Observer) -> None:
    assert set(observer.alarms) == {name for fault in FAULTS.values() for name in fault.alarms}


# With signatures, and with faults of our own: stacks of their own


def signed(stack: Stack, path: str) -> dict[str, str]:
    """The headers of a request as Bird's webhooks have them."""
    raw = json.dumps(LEAD).encode()
    return bird(at=time.time(), url=public_address(stack, path), body=raw)


@pytest.fixture(scope="module")
def signing() -> Iterator[Observer]:
    parameters = {**PARAMETERS, "SignatureScheme": "bird"}
    with Stack(poll=False, processes=1, parameters=parameters) as stack:
        write_signing_keys(stack, KEY)
        run_schedule(stack)
        yield Observer(stack)


@pytest.mark.parametrize("path", ["/leads", "/cases", "/messages"])
def test_signing_keys_that_cannot_be_read_lose_records_in_200s(
    signing: Observer, path: str
) -> None:
    stack = signing.stack
    headers = signed(stack, f"{path}?errors=inline")
    for function in stack.functions.values():
        function.recycle()  # they remember the keys
    signing.begin()
    stack.aws.fail("secretsmanager", "GetSecretValue", status=400, code="InternalServiceError")
    assert inline(stack, path, headers=headers) == 503
    stack.aws.heal()
    signing.end_period()
    assert signing.raised() - {"ScheduleStopped"} == {"RecordsLost"}


def test_a_wrong_signing_key_raises_an_alarm_once_it_lasts(signing: Observer) -> None:
    stack = signing.stack
    write_signing_keys(stack, "another key than Bird has")
    stack.functions["create_lead"].recycle()
    signing.begin()
    for raised in (set(), {"Unsigned"}):
        for _ in range(3):
            response = stack.request("POST", "/leads", LEAD, headers=signed(stack, "/leads"))
            assert response.status == 401
        run_schedule(stack)
        signing.end_period()
        assert signing.raised() == raised
    write_signing_keys(stack, KEY)


UNEXPECTED = """
from bridge import wiring
from bridge.api.record_api import RecordApi

class Creator:
    def create(self, *given, **named):
        return 1 / 0

def handler(event, context):
    parts = {"settings": wiring.settings(), "telemetry": wiring.telemetry()}
    return RecordApi("Lead", creator=Creator(), **parts).respond(event, context)
"""
UNHANDLED = "def handler(event, context):\n    return 1 / 0\n"


@pytest.mark.parametrize(
    ("code", "status", "raised"),
    [(UNEXPECTED, 200, {"RecordsLost"}), (UNHANDLED, 502, {"ServerError"})],
    ids=["inside the handler", "around it"],
)
def test_an_error_that_nobody_expects_raises_an_alarm_though_errors_are_inline(
    tmp_path: Path, code: str, status: int, raised: set[str]
) -> None:
    (tmp_path / "app.py").write_text(code)
    folders = {"create_lead": tmp_path}
    with Stack(poll=False, processes=1, parameters=PARAMETERS, folders=folders) as stack:
        observer = Observer(stack)
        run_schedule(stack)
        observer.begin()
        assert stack.request("POST", "/leads?errors=inline", LEAD).status == status
        run_schedule(stack)
        observer.end_period()
        assert observer.raised() == raised


def test_a_stack_that_nobody_has_connected_raises_nothing() -> None:
    with Stack(poll=False, processes=1, connected=False, parameters=PARAMETERS) as stack:
        observer = Observer(stack)
        run_schedule(stack)
        observer.end_period()
        assert observer.raised() == set()


def converse(stack: Stack) -> None:
    """A case that is opened again and has a successor, and a message that gets no task."""

    def say(number: int, conversation: str = "c-1") -> int:
        ids = {"messageId": f"m-{number}", "conversationId": conversation}
        body = {"bird": {"channel": "whatsapp", "text": "Hi", **ids}}
        return stack.request("POST", "/cases", body).status

    assert say(1) == 201
    (case,) = [one for one in stack.org.records("Case") if one.get("Bird_Conversation__c")]
    for number, days, status in ((2, 1, 200), (3, 30, 201)):
        closed = datetime.now(UTC) - timedelta(days=days)
        stack.org.update("Case", case["Id"], {"Status": "Closed"})
        fields = {"ClosedDate": closed.strftime("%Y-%m-%dT%H:%M:%S.000+0000")}
        stack.org.store.update("Case", case["Id"], fields)
        assert say(number) == status
    stack.org.add_validation_rule("Task", lambda task: True, "no", name="no_tasks")
    assert say(4, "c-2") == 201


def meet_people(stack: Stack) -> None:
    """A message goes onto the lead that a duplicate rule names, and a search that is refused."""
    stack.org.clear_rules()
    stack.org.set_duplicate_rule("Lead")
    stack.org.create("Lead", {"LastName": "x", "Company": "c", "Phone": "+14155550123"})
    refusal = [{"errorCode": "MALFORMED_SEARCH", "message": "no"}]
    stack.org.trouble.add(path="/search", status=400, body=refusal)
    # For a caller of two seconds there is no time to search: Deliver has it.
    for path, status, later in (("/leads", 200, ""), ("/cases", 202, "respond-async")):
        ids = {"messageId": f"people{path[1:]}", "conversationId": f"people{path[1:]}"}
        body = {"bird": {"channel": "sms", "text": "Hi", "sender": "+14155550123", **ids}}
        assert stack.request("POST", path, body, headers={"prefer": later}).status == status
    stack.drain()
    stack.org.trouble.clear()
    stack.org.clear_rules()


def widgets(stack: Stack, kind: str) -> list[dict[str, Any]]:
    """What the dashboard says of its widgets of this kind."""
    (dashboard,) = stack.deployment.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(stack.deployment.resolve(dashboard["Properties"]["DashboardBody"]))
    return [one["properties"] for one in body["widgets"] if one["type"] == kind]


def test_the_dashboard_shows_metrics_that_are_emitted(observer: Observer) -> None:
    stack = observer.stack
    run_schedule(stack)
    renew_token(stack)
    post(stack, 201)
    converse(stack)
    meet_people(stack)
    send_picture(stack)
    send_picture(stack, trouble=("404",))
    for _ in range(2):
        stack.files_poller.deliver_once()
    observer.end_period()
    for chart in widgets(stack, "metric"):
        for metric in chart["metrics"]:
            if metric[0] == "BirdSalesforce" and metric[1] != "TokenRefreshFailed":
                assert tuple(metric[:2]) in observer.names
                assert metric[2:4] == ["service", stack.stack_name]


def test_the_dashboard_s_query_by_channel_reads_a_record_s_line(observer: Observer) -> None:
    stack = observer.stack
    (by_channel,) = widgets(stack, "log")
    assert stack.request("POST", "/leads", {"bird": {"channel": "sms"}}).status == 201
    line = json.loads(stack.logs("create_lead").splitlines()[-1])
    assert (line["channel"], line["count"]) == ("sms", 1)
    assert set(re.findall(r"\b(?:ispresent|sum)\((\w+)\)", by_channel["query"])) <= set(line)
    groups = stack.deployment.of_type("AWS::Logs::LogGroup").values()
    names = {stack.deployment.resolve(group["Properties"]["LogGroupName"]) for group in groups}
    assert set(re.findall(r"SOURCE '([^']+)'", by_channel["query"])) <= names
