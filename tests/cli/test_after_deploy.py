"""`doctor --after-deploy`: what works, what does not, and that each of its checks can fail."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.awslambda_simple.models import lambda_simple_backends

from bridge.api.replies import problem_reply, unknown_reply
from bridge.errors import BadRequest, NotKept, Unsigned
from bridge.http import Http
from cli.checks.api import ApiChecks
from cli.checks.finding import Finding, State, carry_out
from cli.connect.stored_connection import StoredConnection
from cli.deployment.stack import find_stack
from sandbox.aws.endpoint import ACCOUNT
from sandbox.aws.functions import Outcome
from sandbox.aws.gateway import Gateway
from sandbox.aws.keys import Holder, Keys
from sandbox.org.sample import INTEGRATION_USER
from sandbox.stack import Stack
from tests.cli.conftest import Local, deployed_with, file_changed, free_port
from tests.cli.deployed import NAME, REGION, deploy, enable_schedule, resolved
from tests.cli.program import Result, options_for, run
from tests.conftest import PATIENT
from tests.stacks import renew_token, write_signing_keys
from tools.template import ROOT, TEMPLATE

CHECKS = {
    *("lead-lookup", "case-lookup", "lead-function", "case-function", "message-function"),
    *("webhook", "api-key", "refresh-function", "deliver-function"),
}


def examine(local: Local, *more: str, wait: float = 0) -> tuple[Result, dict[str, dict[str, Any]]]:
    result = run("doctor", "--after-deploy", "--json", "--wait", str(wait), *local.options, *more)
    body = result.json()
    assert body["healthy"] == (result.status == 0)
    return result, {one["check"]: one for one in body["checks"]}


def reds(checks: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, one in checks.items() if one["state"] == "bad"}


def nothing_is_kept(local: Local) -> None:
    assert local.org.records("Lead") == []
    assert local.org.records("Case") == []
    assert local.stack.waiting() == 0
    assert local.stack.rejected() == []


# A stack on this machine: the real gateway and the real functions


def test_a_stack_that_works_passes_every_check_and_keeps_nothing(connected: Local) -> None:
    token, versions = connected.stack.token(), connected.versions()
    result, checks = examine(connected)
    assert result.status == 0, result.out
    assert set(checks) > CHECKS
    assert {checks[name]["state"] for name in CHECKS} == {"good"}
    assert result.json()["records"] == []
    nothing_is_kept(connected)
    assert (connected.stack.token(), connected.versions()) == (token, versions)


def test_it_is_the_doctor_s_list_and_more(connected: Local) -> None:
    plain = {one["check"] for one in run("doctor", "--json", *connected.options).json()["checks"]}
    _, checks = examine(connected)
    assert set(checks) - plain == CHECKS - {"lead-lookup", "case-lookup"}
    assert plain <= set(checks)


def test_a_stack_that_is_not_connected_yet_has_no_red(ready: Local) -> None:
    # The first request may have to wait for two cold starts: it is repeated.
    before = Counter(ready.stack.gateway.statuses)
    result, checks = examine(ready, wait=40)
    assert result.status == 0, result.out
    statuses = ready.stack.gateway.statuses - before
    assert not [status for status in statuses if status >= 500], "that would raise an alarm"
    assert checks["lead-lookup"]["state"] == checks["case-lookup"]["state"] == "note"
    assert "not connected" in checks["lead-lookup"]["message"]
    assert checks["secret"]["state"] == "note"
    text = run("doctor", "--after-deploy", "--wait", "40", *ready.options)
    assert text.status == 0
    assert "not connected yet.\nNext: bird-salesforce connect --local\n" in text.out
    nothing_is_kept(ready)


def test_a_connection_that_is_new_is_tried_again_until_the_functions_know_it(ready: Local) -> None:
    examine(ready, wait=40)
    ready.stack.connect()
    renew_token(ready.stack)
    _, checks = examine(ready, wait=40)
    assert checks["lead-lookup"]["state"] == "good"


def test_the_api_key_is_never_printed(connected: Local) -> None:
    for more in ((), ("--json",), ("--record",)):
        result = run("doctor", "--after-deploy", "--wait", "0", *connected.options, *more)
        assert connected.stack.api_key not in result.out + result.err
    connected.stack.drain()


def test_a_hidden_key_field(connected: Local) -> None:
    connected.org.hide_field("Case", "Bird_Key__c", user=INTEGRATION_USER)
    try:
        result, checks = examine(connected, wait=30)
    finally:
        connected.org.show_field("Case", "Bird_Key__c", user=INTEGRATION_USER)
    assert result.status == 1
    assert reds(checks) == {"case-key"}
    assert checks["case-lookup"]["because"] == "case-key"
    assert "KEY_FIELD_MISSING" in checks["case-lookup"]["message"]
    assert "Trying again" not in result.err, "waiting does not help"


def test_salesforce_down(connected: Local) -> None:
    with connected.stack.outage():
        result, checks = examine(connected)
    assert result.status == 1
    assert reds(checks) == {"salesforce"}, "a cause is said once"
    for name in ("lead-lookup", "case-lookup"):
        assert (checks[name]["state"], checks[name]["because"]) == ("skipped", "salesforce")
        assert "cannot use Salesforce" in checks[name]["message"]


def test_an_api_key_that_the_api_refuses(connected: Local) -> None:
    key = connected.stack.api_key
    began = time.monotonic()
    with file_changed(connected, "stack.json", lambda text: text.replace(key, "another")):
        result, checks = examine(connected, wait=3)
    assert 3 <= time.monotonic() - began < 20
    assert result.status == 1
    assert reds(checks) == {
        "lead-lookup",
        "case-lookup",
        "lead-function",
        "case-function",
        "message-function",
    }
    assert "refuses its own API key" in checks["lead-lookup"]["message"]
    assert "usage plan" in checks["lead-lookup"]["nextStep"]
    assert "Trying again for up to" in result.err
    # What needs no key works.
    assert checks["api-key"]["state"] == checks["webhook"]["state"] == "good"


def test_an_address_where_nothing_responds(connected: Local) -> None:
    url = connected.stack.url
    elsewhere = f"http://127.0.0.1:{free_port()}/v1"
    with file_changed(connected, "stack.json", lambda text: text.replace(url, elsewhere)):
        result, checks = examine(connected)
    assert result.status == 1
    assert reds(checks) == CHECKS - {"refresh-function", "deliver-function"}
    assert "does not respond" in checks["lead-lookup"]["message"]
    assert elsewhere in checks["lead-lookup"]["nextStep"]


def test_functions_that_accept_unsigned_what_should_be_signed(connected: Local) -> None:
    with deployed_with(connected, SIGNATURE_SCHEME="bird"):
        _, checks = examine(connected)
    assert reds(checks) == {"lead-function", "case-function", "message-function"}
    assert "instead of 401 INVALID_SIGNATURE" in checks["lead-function"]["message"]


def test_without_a_key_field_a_look_up_proves_less(connected: Local) -> None:
    with deployed_with(connected, EXTERNAL_ID_FIELD=""):
        result, checks = examine(connected)
        assert result.status == 0
        assert checks["lead-lookup"]["state"] == "note"
        assert "ExternalIdField" in checks["lead-lookup"]["message"]
        _, checks = examine(connected, "--record")
    assert checks["record"]["state"] == checks["record-queued"]["state"] == "note"
    assert len(connected.org.records("Lead")) == 1, "created once, and not repeated"
    connected.stack.drain()


# With --record


def test_record_belongs_to_after_deploy(connected: Local) -> None:
    result = run("doctor", "--record", *connected.options)
    assert result.status == 1
    assert "--after-deploy" in result.err


@contextlib.contextmanager
def delivering(local: Local) -> Iterator[None]:
    local.stack.poller.start()
    try:
        yield
    finally:
        local.stack.poller.pause()


def test_record_creates_two_leads_that_say_what_they_are(connected: Local) -> None:
    with delivering(connected):
        result, checks = examine(connected, "--record", wait=40)
    assert result.status == 0, result.out
    assert checks["record"]["state"] == checks["record-queued"]["state"] == "good"
    leads = connected.org.records("Lead")
    assert len(leads) == 2, "the repeated one was created once"
    for lead in leads:
        assert lead["LastName"].startswith("Test doctor-")
        assert "it can be deleted" in lead["Description"]
        assert re.fullmatch(r"doctor-\d{8}t\d{6}z-[0-9a-f]{8}", lead["Bird_Key__c"])
    records = result.json()["records"]
    assert {one["id"] for one in records} == {one["Id"] for one in leads}
    assert {one["key"] for one in records} == {one["Bird_Key__c"] for one in leads}


def test_record_says_how_to_delete_what_it_created(connected: Local) -> None:
    with delivering(connected):
        result = run("doctor", "--after-deploy", "--record", *connected.options)
    assert result.status == 0, result.out
    for lead in connected.org.records("Lead"):
        assert f"sf data delete record --sobject Lead --record-id {lead['Id']}" in result.out
        assert f"{connected.stack.org_url}/{lead['Id']}" in result.out


def test_an_outbox_that_is_not_delivered_is_red(connected: Local) -> None:
    result, checks = examine(connected, "--record")
    assert reds(checks) == {"record-queued"}
    assert "not in Salesforce" in checks["record-queued"]["message"]
    assert "deliver.log" in checks["record-queued"]["nextStep"]
    assert result.json()["records"][1]["id"] == ""
    text = run("doctor", "--after-deploy", "--record", "--wait", "0", *connected.options)
    assert re.search(r"Lead with the key doctor-\S+, once it is delivered", text.out)
    assert connected.stack.waiting() == 2
    connected.stack.drain()


def test_a_record_that_salesforce_refuses_is_a_warning_and_no_record_to_delete(
    connected: Local,
) -> None:
    connected.org.add_validation_rule("Lead", lambda record: True, "Phone, please")
    result, checks = examine(connected, "--record")
    (refused,) = connected.stack.rejected()
    connected.stack.drain()
    connected.stack.client("sqs").purge_queue(QueueUrl=connected.stack.rejected_url)
    assert reds(checks) == {"record-queued"}
    assert checks["record"]["state"] == "note"
    assert "Phone, please" in checks["record"]["message"]
    key = re.search(r"rejected drop (\S+) --local", checks["record"]["nextStep"])
    assert key and key[1] in json.dumps(refused)
    (waiting,) = result.json()["records"]
    assert waiting["key"] != key[1], "what was refused does not exist"


def test_no_record_waits_in_the_outbox_of_a_stack_that_is_not_connected(ready: Local) -> None:
    result, checks = examine(ready, "--record", wait=40)
    assert result.status == 0
    assert checks["record"]["state"] == checks["record-queued"]["state"] == "note"
    nothing_is_kept(ready)


def test_a_second_record_for_the_same_key_is_red(connected: Local) -> None:
    connected.org.change_field("Lead", "Bird_Key__c", unique=False)
    try:
        result, checks = examine(connected, "--record")
    finally:
        connected.org.change_field("Lead", "Bird_Key__c", unique=True)
        connected.stack.drain()
    assert "record" in reds(checks)
    assert "several records" in checks["record"]["message"]
    ids = {one["id"] for one in result.json()["records"]} - {""}
    assert len(ids) == 2, "both are named, to be deleted"


# Functions that do not run

BREAKABLE = """
from pathlib import Path
import real

def handler(event, context):
    if Path(__file__).with_name("broken").exists():
        raise RuntimeError("a fault of the new version")
    return real.handler(event, context)
"""


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Local, Path]]:
    """A connected stack, and where to put a file called `broken` beside a function."""
    folder = tmp_path_factory.mktemp("breakable")
    folders = {}
    for source in (ROOT / "functions").iterdir():
        if (source / "app.py").exists():
            folders[source.name] = target = folder / source.name
            target.mkdir()
            shutil.copy(source / "app.py", target / "real.py")
            (target / "app.py").write_text(BREAKABLE)
    with Stack(folders=folders, poll=False, parameters=PATIENT) as stack:
        renew_token(stack)
        local = Local(stack, options_for(stack, tmp_path_factory.mktemp("files")), "")
        assert reds(examine(local)[1]) == set()
        yield local, folder


@pytest.mark.parametrize(
    ("function", "red"),
    [
        ("create_lead", {"lead-lookup", "lead-function"}),
        ("create_case", {"case-lookup", "case-function"}),
        ("receive_message", {"message-function", "webhook"}),
        ("refresh_token", {"refresh-function"}),
        ("deliver", {"deliver-function"}),
    ],
)
def test_a_function_that_raises_is_found(
    breakable: tuple[Local, Path], function: str, red: set[str]
) -> None:
    local, folder = breakable
    broken = folder / function / "broken"
    broken.touch()
    try:
        result, checks = examine(local)
    finally:
        broken.unlink()
    assert result.status == 1
    assert reds(checks) == red
    for name in red:
        assert function.replace("_", "-") in checks[name]["message"]
        assert f"{function}.log" in checks[name]["nextStep"]


def test_what_our_own_rights_do_not_allow_is_grey(breakable: tuple[Local, Path]) -> None:
    local, _ = breakable
    local.stack.aws.fail("lambda", "Invoke", status=403, code="AccessDeniedException")
    try:
        result, checks = examine(local)
    finally:
        local.stack.aws.heal()
    assert result.status == 0
    assert checks["deliver-function"]["state"] == "unknown"
    assert "AccessDenied" in checks["deliver-function"]["message"]


# With signatures


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A connected stack that requires signatures."""
    parameters = {"ResponseBudgetSeconds": "18", "SignatureScheme": "bird"}
    with Stack(poll=False, parameters=parameters) as stack:
        write_signing_keys(stack, "a-key-to-sign-with")
        renew_token(stack)
        yield Local(stack, options_for(stack, tmp_path_factory.mktemp("files")), "")


def test_where_requests_are_signed_an_unsigned_one_is_refused_and_no_record_created(
    signed: Local,
) -> None:
    result, checks = examine(signed, "--record")
    assert result.status == 0, result.out
    for name in ("lead-function", "case-function", "message-function", "webhook"):
        assert checks[name]["state"] == "good"
    assert "unsigned" in checks["lead-function"]["message"]
    assert checks["record"]["state"] == "note"
    assert "sign" in checks["record"]["message"]
    nothing_is_kept(signed)


# The same stack, found as in AWS


def test_the_real_functions_behind_outputs_and_keys_of_cloudformation_and_api_gateway(
    connected: Local,
) -> None:
    aws = {
        "AWS_ENDPOINT_URL": connected.stack.aws_endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    where = ("--stack", connected.stack.stack_name, "--region", "us-east-1")
    result = run("doctor", "--after-deploy", "--wait", "30", *where, environ=aws)
    assert result.status == 0, result.out + result.err
    assert "Nothing is red." in result.out


# A stack in AWS: its address and key are found by its outputs, its functions' responses are given


class LateKeys(Keys):
    """Lets a key in after it was refused once, as API Gateway does with a new one."""

    late: Callable[[], None] | None = None

    def holder(self, value: str) -> Holder | None:
        found = super().holder(value)
        if found is None and self.late is not None:
            self.late, late = None, self.late
            late()
        return found


class DeployedApi:
    """The deployed API. Its functions respond as ours do, unless a test says otherwise."""

    def __init__(self, template: Path = TEMPLATE) -> None:
        self.deployment = resolved(template)
        self.responses: dict[str, Callable[[], dict[str, Any] | None]] = {}
        """By method and route; None is a function that fails."""
        self.requests: list[str] = []
        self.connected = True
        self.reported: list[str] = []

    def invoke(self, function: str, payload: bytes, seconds: float) -> Outcome:
        event = json.loads(payload)
        route = f"{event['httpMethod']} {event['resource']}"
        self.requests.append(route)
        response = self.responses.get(route, lambda: self.ours(route))()
        inline = (event["queryStringParameters"] or {}).get("errors") == "inline"
        # A function's own response: the gateway's have no object and no fields.
        if response and inline and {"object", "fields"} & set(json.loads(response["body"])):
            headers = {"Content-Type": "application/json"}
            response = {**response, "statusCode": 200, "headers": headers}
        return Outcome(
            payload=json.dumps(response).encode(), failed=response is None, request_id="request"
        )

    @staticmethod
    def ours(route: str) -> dict[str, Any]:
        if route.startswith("GET"):
            return unknown_reply("Lead", "doctor", "Not in Salesforce.").as_proxy(inline=False)
        problem = Unsigned("no_scheme") if "webhooks" in route else BadRequest("not JSON")
        return problem_reply(problem, code=problem.code, detail="No.").as_proxy(inline=False)

    def gateway_response(self, kind: str) -> dict[str, Any]:
        found = self.deployment.gateway_responses[kind]
        return {"statusCode": found.status, "headers": dict(found.headers), "body": found.body}

    @contextlib.contextmanager
    def serve(self) -> Iterator[None]:
        """Deployed into the account; the stack's own key is a key of API Gateway."""
        api = self.deployment.resource("BirdApi")["Ref"]
        stage = {"apiId": api, "stage": self.deployment.stage}
        gateway = boto3.client("apigateway", region_name=REGION)
        plan = gateway.create_usage_plan(
            name="plan", apiStages=[stage], throttle={"rateLimit": 1000, "burstLimit": 1000}
        )["id"]
        port = free_port()
        deploy(
            outputs={
                **self.deployment.outputs,
                "LeadsUrl": f"http://127.0.0.1:{port}/v1/leads",
                "UsagePlanId": plan,
            }
        )
        self.let_in(gateway.get_api_keys()["items"][0]["id"])
        place = {"account": ACCOUNT, "region": REGION, "stage": self.deployment.stage}
        self.keys = LateKeys(api_id=api, **place)
        served = Gateway(self.deployment, keys=self.keys, invoke=self.invoke, port=port)
        served.server.start()
        if self.connected:
            boto3.client("ssm", region_name=REGION).put_parameter(
                Name=self.deployment.outputs["TokenParameter"], Type="SecureString", Value=token()
            )
        try:
            yield
        finally:
            served.server.stop()

    def let_in(self, key_id: str) -> None:
        """Put a key under the stack's plan."""
        gateway = boto3.client("apigateway", region_name=REGION)
        plan = gateway.get_usage_plans()["items"][0]["id"]
        gateway.create_usage_plan_key(usagePlanId=plan, keyId=key_id, keyType="API_KEY")

    def examine(self, *, wait: float = 0) -> dict[str, Finding]:
        """The findings of the checks through the API."""
        results = [{"batchItemFailures": []}]
        if self.connected:
            results.insert(0, {"generation": 3, "refreshed": False})
        (backends,) = (one[REGION] for one in lambda_simple_backends.values())
        backends.lambda_simple_results_queue[:] = [json.dumps(one) for one in results]
        stack = find_stack(name=NAME, region=REGION, profile=None, local=None)
        api = ApiChecks(
            stack=stack,
            http=Http(),
            stored=StoredConnection(stack),
            wait_seconds=wait,
            report=self.reported.append,
        )
        checks = [*api.look_ups(), *api.after_deploy(record=False)]
        return {found.check: found for found in map(carry_out, checks)}


def bad_ones(findings: dict[str, Finding]) -> set[str]:
    return {name for name, one in findings.items() if one.state is State.BAD}


def token() -> str:
    return json.dumps(
        {
            "access_token": "token",
            "instance_url": "https://acme.my.salesforce.com",
            "issued_at": str(int(time.time() * 1000)),
            "scope": "api",
            "id": "",
            "generation": 3,
        }
    )


@pytest.fixture
def api(account: None) -> Iterator[DeployedApi]:
    one = DeployedApi()
    with one.serve():
        yield one


def test_a_deployed_stack_is_found_by_its_outputs_and_its_key_by_its_id(api: DeployedApi) -> None:
    findings = api.examine()
    assert {one.state for one in findings.values()} == {State.GOOD}
    assert set(findings) == CHECKS
    assert sorted(set(api.requests)) == [
        "GET /cases/{key}",
        "GET /leads/{key}",
        "POST /cases",
        "POST /leads",
        "POST /messages",
        "POST /webhooks/bird",
    ]


def test_a_webhook_that_api_gateway_closes_is_good(api: DeployedApi) -> None:
    # As the API's policy does in AWS without a SignatureScheme.
    api.responses["POST /webhooks/bird"] = lambda: api.gateway_response("ACCESS_DENIED")
    findings = api.examine()
    assert bad_ones(findings) == set()
    assert "closed" in findings["webhook"].message


def test_messages_name_the_deployed_stack(api: DeployedApi) -> None:
    api.responses["GET /leads/{key}"] = lambda: None
    findings = api.examine()
    step = findings["lead-lookup"].next_step
    assert f"aws logs tail /{NAME}/create-lead --region {REGION}" in step


def test_a_deployed_stack_that_is_not_connected_gets_the_make_target(account: None) -> None:
    one = DeployedApi()
    one.connected = False
    for name in ("leads", "cases"):
        one.responses[f"GET /{name}/{{key}}"] = lambda: problem_reply(
            NotKept(), code="NOT_CONNECTED", detail="Nobody has run connect."
        ).as_proxy(inline=False)
    with one.serve():
        assert bad_ones(one.examine(wait=30)) == set()
        assert one.reported == [], "that does not pass by itself"
        (backends,) = (one[REGION] for one in lambda_simple_backends.values())
        backends.lambda_simple_results_queue[:] = ['{"batchItemFailures": []}']
        enable_schedule()
        where = ("--stack", NAME, "--region", REGION)
        result = run("doctor", "--after-deploy", "--wait", "0", *where)
    assert f"Next: make connect STACK={NAME} REGION={REGION}" in result.out


def test_what_a_new_deployment_says_at_first_is_tried_again(api: DeployedApi) -> None:
    first = iter([None, None])

    def soon() -> dict[str, Any] | None:
        return next(first, DeployedApi.ours("GET"))

    api.responses["GET /leads/{key}"] = soon
    assert bad_ones(api.examine(wait=30)) == set()
    assert "502 NO_ANSWER" in api.reported[0]


def test_where_the_stacks_own_key_is_retired_another_of_its_plan_is_used(api: DeployedApi) -> None:
    gateway = boto3.client("apigateway", region_name=REGION)
    (own,) = gateway.get_api_keys()["items"]
    retire = [{"op": "replace", "path": "/enabled", "value": "false"}]
    gateway.update_api_key(apiKey=own["id"], patchOperations=retire)
    findings = api.examine()
    assert "No API key of the stack is enabled" in findings["lead-lookup"].message
    new = gateway.create_api_key(name="second", enabled=True)
    api.let_in(new["id"])
    assert bad_ones(api.examine()) == set()


def test_a_new_key_is_waited_for(api: DeployedApi) -> None:
    gateway = boto3.client("apigateway", region_name=REGION)
    (own,) = gateway.get_api_keys()["items"]
    plan = gateway.get_usage_plans()["items"][0]["id"]
    gateway.delete_usage_plan_key(usagePlanId=plan, keyId=own["id"])
    api.keys.late = partial(api.let_in, own["id"])
    assert bad_ones(api.examine(wait=30)) == set()
    assert "403 INVALID_API_KEY" in api.reported[0]
    assert "Trying again" in api.reported[0]


def accepted() -> dict[str, Any]:
    body = {"outcome": "created", "success": True, "id": "00Q000000000001AAA"}
    return {
        "statusCode": 201,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(body),
    }


def changed(route: str, **more: Any) -> Callable[[], dict[str, Any]]:
    """Our own response with some of its body changed."""
    response = DeployedApi.ours(route)
    return lambda: {**response, "body": json.dumps({**json.loads(response["body"]), **more})}


ODD: list[tuple[str, Callable[[], dict[str, Any]], str]] = [
    ("GET /leads/{key}", accepted, "lead-lookup"),
    ("GET /cases/{key}", changed("GET /cases/{key}", outcome="lost"), "case-lookup"),
    ("POST /leads", accepted, "lead-function"),
    ("POST /cases", changed("POST /cases", kept=True), "case-function"),
    ("POST /messages", changed("POST /messages", success=True), "message-function"),
    ("POST /webhooks/bird", accepted, "webhook"),
]


def test_a_response_that_is_not_the_expected_one_is_red(api: DeployedApi) -> None:
    for route, response, red in ODD:
        api.responses = {route: response}
        findings = api.examine()
        assert bad_ones(findings) == {red}
        assert "instead of" in findings[red].message


def test_a_refusal_by_the_gateway_is_not_taken_for_the_function_s(api: DeployedApi) -> None:
    api.responses["POST /leads"] = lambda: api.gateway_response("DEFAULT_4XX")
    assert bad_ones(api.examine()) == {"lead-function"}


def test_what_the_gateway_responds_comes_with_a_next_step(api: DeployedApi) -> None:
    for kind, words in (
        ("THROTTLED", "ThrottleRate"),
        ("QUOTA_EXCEEDED", "ThrottleRate"),
        ("MISSING_AUTHENTICATION_TOKEN", "make deploy"),
        ("INTEGRATION_TIMEOUT", "create-lead"),
    ):
        api.responses["GET /leads/{key}"] = partial(api.gateway_response, kind)
        findings = api.examine()
        assert bad_ones(findings) == {"lead-lookup"}
        assert words in findings["lead-lookup"].next_step


def test_an_api_that_may_not_be_called_from_here_is_grey(api: DeployedApi) -> None:
    for kind in ("ACCESS_DENIED", "WAF_FILTERED"):
        for route in ("GET /leads/{key}", "GET /cases/{key}"):
            api.responses[route] = partial(api.gateway_response, kind)
        findings = api.examine()
        assert bad_ones(findings) == set()
        assert findings["lead-lookup"].state is State.UNKNOWN
        assert "may not call the API" in findings["lead-lookup"].message


def open_leads(text: str) -> str:
    return text.replace(
        "Properties: { RestApiId: !Ref BirdApi, Path: /leads, Method: POST }",
        "Properties: { RestApiId: !Ref BirdApi, Path: /leads, Method: POST, "
        "Auth: { ApiKeyRequired: false } }",
    )


def no_words_for_a_wrong_key(text: str) -> str:
    return text.replace('"code":"INVALID_API_KEY"', '"code":"SOMETHING_ELSE"')


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (open_leads, "POST /leads works without an API key"),
        (no_words_for_a_wrong_key, "instead of 403 INVALID_API_KEY"),
    ],
)
def test_an_api_deployed_from_another_template_is_found(
    account: None, tmp_path: Path, change: Callable[[str], str], words: str
) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    assert change(text) != text
    path = tmp_path / "template.yaml"
    path.write_text(change(text), encoding="utf-8")
    one = DeployedApi(path)
    with one.serve():
        findings = one.examine()
    assert bad_ones(findings) == {"api-key"}
    assert words in findings["api-key"].message
