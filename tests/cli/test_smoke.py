"""`smoke`: what works, what does not, and that each of its checks can fail."""

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
from sandbox.aws.endpoint import ACCOUNT
from sandbox.aws.functions import Outcome
from sandbox.aws.gateway import Gateway
from sandbox.aws.keys import Holder, Keys
from sandbox.org.sample import INTEGRATION_USER
from sandbox.stack import Stack
from tests.cli.conftest import Local, free_port
from tests.cli.deployed import NAME, REGION, deploy, resolved
from tests.cli.program import Result, options_for, run
from tests.conftest import PATIENT
from tools.template import ROOT, TEMPLATE

CHECKS = {
    "lead-lookup",
    "case-lookup",
    "lead-create",
    "case-create",
    "message-create",
    "webhook",
    "api-key",
    "no-route",
    "refresh-token",
    "deliver",
}


@pytest.fixture
def connected(ready: Local) -> Local:
    """A stack that is connected and had its first token."""
    ready.stack.connect()
    ready.stack.invoke("refresh_token", {"refused_generation": None})
    for name in ("create_lead", "create_case"):
        # One that was asked before would remember for some seconds that nothing was connected.
        ready.stack.functions[name].recycle()
    return ready


def smoke(local: Local, *more: str, wait: float = 0) -> tuple[Result, dict[str, dict[str, Any]]]:
    result = run("smoke", "--json", "--wait", str(wait), *local.options, *more)
    said = result.json()
    assert said["fine"] == (result.status == 0)
    return result, {one["check"]: one for one in said["checks"]}


def reds(checks: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, one in checks.items() if one["state"] == "bad"}


def nothing_is_kept(local: Local) -> None:
    assert local.org.records("Lead") == []
    assert local.org.records("Case") == []
    assert local.stack.waiting() == 0
    assert local.stack.rejected() == []


# A stack on this machine: the real gateway and the real functions


def test_a_stack_that_works_passes_every_check_and_keeps_nothing(connected: Local) -> None:
    result, checks = smoke(connected)
    assert result.status == 0, result.out
    assert set(checks) == CHECKS
    assert {one["state"] for one in checks.values()} == {"good"}
    assert result.json()["connected"] is True
    assert result.json()["records"] == []
    nothing_is_kept(connected)


def test_status_and_milliseconds_of_the_first_and_the_second_request(connected: Local) -> None:
    result = run("smoke", "--wait", "0", *connected.options)
    assert result.status == 0, result.out
    (line,) = (one for one in result.out.splitlines() if one.startswith("✓ GET /leads/…"))
    assert re.search(r"404 in [\d,]+ ms, then 404 in [\d,]+ ms$", line)
    assert "It works." in result.out
    _, checks = smoke(connected)
    assert [one["status"] for one in checks["lead-lookup"]["answers"]] == [404, 404]
    assert all(one["milliseconds"] >= 0 for one in checks["lead-lookup"]["answers"])


def test_the_token_is_neither_renewed_nor_anything_else_changed(connected: Local) -> None:
    token, versions = connected.stack.token(), connected.versions()
    smoke(connected)
    assert connected.stack.token() == token
    assert connected.versions() == versions


def test_a_stack_that_is_not_connected_yet_has_not_failed(ready: Local) -> None:
    # The first request may have to wait for two cold starts: it is asked again.
    before = Counter(ready.stack.gateway.answered)
    result, checks = smoke(ready, wait=40)
    assert result.status == 0, result.out
    assert result.json()["connected"] is False
    answered = ready.stack.gateway.answered - before
    assert not [status for status in answered if status >= 500], "that would raise an alarm"
    assert checks["lead-lookup"]["state"] == checks["case-lookup"]["state"] == "note"
    assert "not connected" in checks["lead-lookup"]["said"]
    assert reds(checks) == set()
    text = run("smoke", "--wait", "40", *ready.options)
    assert text.status == 0
    assert "Deployed, not connected: run bird-salesforce connect --local" in text.out
    nothing_is_kept(ready)


def test_connected_a_moment_ago_is_asked_again_until_the_functions_know(ready: Local) -> None:
    smoke(ready, wait=40)
    ready.stack.connect()
    ready.stack.invoke("refresh_token", {"refused_generation": None})
    result, _ = smoke(ready, wait=40)
    assert result.json()["connected"] is True, result.out


def test_the_api_key_is_never_printed(connected: Local) -> None:
    for more in ((), ("--json",), ("--record", "--deliver-wait", "0")):
        result = run("smoke", "--wait", "0", *connected.options, *more)
        assert connected.stack.api_key not in result.out + result.err
    connected.stack.drain()


def test_a_hidden_key_field(connected: Local) -> None:
    connected.org.hide_field("Case", "Bird_Key__c", user=INTEGRATION_USER)
    try:
        result, checks = smoke(connected, wait=30)
    finally:
        connected.org.show_field("Case", "Bird_Key__c", user=INTEGRATION_USER)
    assert result.status == 1
    assert reds(checks) == {"case-lookup"}
    assert "KEY_FIELD_MISSING" in checks["case-lookup"]["said"]
    assert "doctor --local" in checks["case-lookup"]["nextStep"]
    assert "Asking again" not in result.err, "no waiting mends it"


def test_salesforce_down(connected: Local) -> None:
    with connected.stack.outage():
        result, checks = smoke(connected)
    assert result.status == 1
    assert reds(checks) == {"lead-lookup", "case-lookup"}
    assert "cannot ask Salesforce" in checks["lead-lookup"]["said"]


@contextlib.contextmanager
def changed_file(local: Local, name: str, change: Callable[[str], str]) -> Iterator[None]:
    """One of the files that lead the program to the stack, changed for a while."""
    file = Path(local.options[local.options.index("--local-file") + 1]).with_name(name)
    text = file.read_text()
    file.write_text(change(text))
    assert file.read_text() != text
    try:
        yield
    finally:
        file.write_text(text)


def test_a_key_that_the_api_does_not_take(connected: Local) -> None:
    key = connected.stack.api_key
    began = time.monotonic()
    with changed_file(connected, "stack.json", lambda text: text.replace(key, "another")):
        result, checks = smoke(connected, wait=3)
    assert 3 <= time.monotonic() - began < 20
    assert result.status == 1
    assert {"lead-lookup", "case-lookup", "lead-create", "case-create"} <= reds(checks)
    assert "does not take its own key" in checks["lead-lookup"]["said"]
    assert "usage plan" in checks["lead-lookup"]["nextStep"]
    assert "Asking again for up to" in result.err
    # What needs no key is as it should be.
    assert checks["api-key"]["state"] == checks["webhook"]["state"] == "good"


def test_an_address_where_nothing_answers(connected: Local) -> None:
    url = connected.stack.url
    elsewhere = f"http://127.0.0.1:{free_port()}/v1"
    with changed_file(connected, "stack.json", lambda text: text.replace(url, elsewhere)):
        result, checks = smoke(connected)
    assert result.status == 1
    assert reds(checks) == CHECKS - {"refresh-token", "deliver"}
    assert "does not answer" in checks["lead-lookup"]["said"]
    assert elsewhere in checks["lead-lookup"]["nextStep"]
    assert checks["lead-lookup"]["answers"][0]["status"] == 0


def test_a_schedule_that_leaves_the_token_old(connected: Local) -> None:
    token = connected.stack.token()
    assert token is not None
    token["issued_at"] = str(int((time.time() - 3 * 3600) * 1000))
    connected.stack.client("ssm").put_parameter(
        Name=connected.stack.token_parameter,
        Value=json.dumps(token),
        Type="SecureString",
        Overwrite=True,
    )
    _, checks = smoke(connected)
    assert reds(checks) == {"refresh-token"}
    assert "180 minutes" in checks["refresh-token"]["said"]


def test_functions_that_let_in_unsigned_what_should_be_signed(connected: Local) -> None:
    def signed(text: str) -> str:
        return text.replace('"SIGNATURE_SCHEME": "none"', '"SIGNATURE_SCHEME": "bird"')

    with changed_file(connected, "env.json", signed):
        _, checks = smoke(connected)
    assert reds(checks) == {"lead-create", "case-create", "message-create"}
    assert "401 INVALID_SIGNATURE was expected" in checks["lead-create"]["said"]


def test_without_a_key_field_a_lookup_proves_less_and_says_so(connected: Local) -> None:
    def no_field(text: str) -> str:
        return text.replace('"EXTERNAL_ID_FIELD": "Bird_Key__c"', '"EXTERNAL_ID_FIELD": ""')

    with changed_file(connected, "env.json", no_field):
        result, checks = smoke(connected)
        assert result.status == 0
        assert checks["lead-lookup"]["state"] == "note"
        assert "ExternalIdField" in checks["lead-lookup"]["said"]
        _, checks = smoke(connected, "--record")
    assert checks["record"]["state"] == checks["record-async"]["state"] == "note"
    assert len(connected.org.records("Lead")) == 1, "made once, and not repeated"
    connected.stack.drain()


# With --record


def test_record_makes_two_leads_that_say_what_they_are(connected: Local) -> None:
    connected.stack.poller.start()
    try:
        result, checks = smoke(connected, "--record", "--deliver-wait", "40")
    finally:
        connected.stack.poller.pause()
    assert result.status == 0, result.out
    assert set(checks) == CHECKS | {"record", "record-async"}
    leads = connected.org.records("Lead")
    assert len(leads) == 2, "the repeated one was made once"
    for lead in leads:
        assert "Smoke test" in lead["LastName"]
        assert "Smoke test" in lead["Company"]
        assert "it may be deleted" in lead["Description"]
        assert re.fullmatch(r"smoke-\d{8}t\d{6}z-[0-9a-f]{8}", lead["Bird_Key__c"])
    said = result.json()["records"]
    assert {one["id"] for one in said} == {one["Id"] for one in leads}
    assert {one["key"] for one in said} == {one["Bird_Key__c"] for one in leads}
    assert [one["status"] for one in checks["record"]["answers"]] == [201, 200, 200]
    assert [one["status"] for one in checks["record-async"]["answers"]] == [202, 200]


def test_record_says_how_to_delete_what_it_made(connected: Local) -> None:
    connected.stack.poller.start()
    try:
        result = run("smoke", "--record", "--wait", "0", *connected.options)
    finally:
        connected.stack.poller.pause()
    assert result.status == 0, result.out
    for lead in connected.org.records("Lead"):
        assert f"sf data delete record --sobject Lead --record-id {lead['Id']}" in result.out
        assert f"{connected.stack.org_url}/{lead['Id']}" in result.out


def test_an_outbox_that_is_not_delivered_is_red(connected: Local) -> None:
    result, checks = smoke(connected, "--record", "--deliver-wait", "0")
    assert reds(checks) == {"record-async"}
    assert "not in Salesforce" in checks["record-async"]["said"]
    assert "deliver.log" in checks["record-async"]["nextStep"]
    assert result.json()["records"][1]["id"] == ""
    text = run("smoke", "--record", "--deliver-wait", "0", "--wait", "0", *connected.options)
    assert re.search(r"Lead with the key smoke-\S+, if it comes", text.out)
    assert connected.stack.waiting() == 2
    connected.stack.drain()


def test_a_record_that_salesforce_refuses_is_red_and_no_record_to_delete(connected: Local) -> None:
    connected.org.add_validation_rule("Lead", lambda record: True, "Phone, please")
    result, checks = smoke(connected, "--record", "--deliver-wait", "0")
    (refused,) = connected.stack.rejected()
    connected.stack.drain()
    connected.stack.client("sqs").purge_queue(QueueUrl=connected.stack.rejected_url)
    assert reds(checks) == {"record", "record-async"}
    assert "Phone, please" in checks["record"]["said"]
    key = re.search(r"rejected drop (\S+) --local", checks["record"]["nextStep"])
    assert key and key[1] in json.dumps(refused)
    (waiting,) = result.json()["records"]
    assert waiting["key"] != key[1], "what was refused is not there to be deleted"


def test_no_record_waits_in_the_outbox_of_a_stack_that_is_not_connected(ready: Local) -> None:
    result, checks = smoke(ready, "--record", wait=40)
    assert result.status == 0
    assert checks["record"]["state"] == checks["record-async"]["state"] == "note"
    nothing_is_kept(ready)


def test_a_second_record_for_the_same_key_is_red(connected: Local) -> None:
    connected.org.change_field("Lead", "Bird_Key__c", unique=False)
    try:
        result, checks = smoke(connected, "--record", "--deliver-wait", "0")
    finally:
        connected.org.change_field("Lead", "Bird_Key__c", unique=True)
        connected.stack.drain()
    assert result.status == 1
    assert "record" in reds(checks)
    ids = {one["id"] for one in result.json()["records"]} - {""}
    assert len(ids) == 2, "both are named, to be deleted"


# Functions whose new version does not run

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
        stack.invoke("refresh_token", {"refused_generation": None})
        local = Local(stack, options_for(stack, tmp_path_factory.mktemp("files")), "")
        assert reds(smoke(local)[1]) == set()
        yield local, folder


@pytest.mark.parametrize(
    ("function", "red"),
    [
        ("create_lead", {"lead-lookup", "lead-create"}),
        ("create_case", {"case-lookup", "case-create"}),
        ("receive_message", {"message-create", "webhook"}),
        ("refresh_token", {"refresh-token"}),
        ("deliver", {"deliver"}),
    ],
)
def test_a_function_that_raises_is_found(
    breakable: tuple[Local, Path], function: str, red: set[str]
) -> None:
    local, folder = breakable
    broken = folder / function / "broken"
    broken.touch()
    try:
        result, checks = smoke(local)
    finally:
        broken.unlink()
    assert result.status == 1
    assert reds(checks) == red
    for name in red:
        assert function.replace("_", "-") in checks[name]["said"]
        assert f"{function}.log" in checks[name]["nextStep"]


def test_what_our_own_rights_do_not_reach_is_grey(breakable: tuple[Local, Path]) -> None:
    local, _ = breakable
    local.stack.aws.fail("lambda", "Invoke", status=403, code="AccessDeniedException")
    try:
        result, checks = smoke(local)
    finally:
        local.stack.aws.heal()
    assert result.status == 0
    assert checks["deliver"]["state"] == "unknown"
    assert "AccessDenied" in checks["deliver"]["said"]


# With signatures


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A connected stack that wants signatures."""
    parameters = {"ResponseBudgetSeconds": "18", "SignatureScheme": "bird"}
    with Stack(poll=False, parameters=parameters) as stack:
        stack.client("secretsmanager").put_secret_value(
            SecretId=stack.deployment.resource("SigningKeys")["Ref"],
            SecretString='{"keys": ["a-key-to-sign-with"]}',
        )
        stack.invoke("refresh_token", {"refused_generation": None})
        yield Local(stack, options_for(stack, tmp_path_factory.mktemp("files")), "")


def test_where_requests_are_signed_an_unsigned_one_is_refused_by_each(signed: Local) -> None:
    result, checks = smoke(signed)
    assert result.status == 0, result.out
    for name in ("lead-create", "case-create", "message-create", "webhook"):
        assert checks[name]["state"] == "good"
        assert [one["status"] for one in checks[name]["answers"]] == [401]


def test_where_requests_are_signed_no_record_can_be_made_and_that_is_said(signed: Local) -> None:
    result, checks = smoke(signed, "--record")
    assert result.status == 0, result.out
    assert checks["record"]["state"] == "note"
    assert "signed" in checks["record"]["said"]
    nothing_is_kept(signed)


# Found by AWS's own answers


def test_the_real_functions_behind_outputs_and_keys_of_cloudformation_and_api_gateway(
    connected: Local,
) -> None:
    aws = {
        "AWS_ENDPOINT_URL": connected.stack.aws_endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    where = ("--stack", connected.stack.stack_name, "--region", "us-east-1")
    result = run("smoke", "--wait", "30", *where, environ=aws)
    assert result.status == 0, result.out + result.err
    assert "It works." in result.out
    connected.stack.org.hide_field("Lead", "Bird_Key__c", user=INTEGRATION_USER)
    try:
        result = run("smoke", "--wait", "0", *where, environ=aws)
    finally:
        connected.stack.org.show_field("Lead", "Bird_Key__c", user=INTEGRATION_USER)
    assert result.status == 1
    assert f"bird-salesforce doctor --stack-name {connected.stack.stack_name}" in result.out


# A stack in AWS: its address and key are found by its outputs, its API is played


class LateKeys(Keys):
    """Lets a key in after it was refused once, as API Gateway does with one of a moment ago."""

    late: Callable[[], None] | None = None

    def holder(self, value: str) -> Holder | None:
        found = super().holder(value)
        if found is None and self.late is not None:
            self.late, late = None, self.late
            late()
        return found


class Played:
    """The deployed API. Its functions answer as ours do, unless a test says otherwise."""

    def __init__(self, template: Path = TEMPLATE) -> None:
        self.deployment = resolved(template)
        self.answers: dict[str, Callable[[], dict[str, Any] | None]] = {}
        """By method and route; None is a function that fails."""
        self.asked: list[str] = []
        self.connected = True

    def invoke(self, function: str, payload: bytes, seconds: float) -> Outcome:
        event = json.loads(payload)
        route = f"{event['httpMethod']} {event['resource']}"
        self.asked.append(route)
        answer = self.answers.get(route, lambda: self.ours(route))()
        inline = (event["queryStringParameters"] or {}).get("errors") == "inline"
        # A function's own answer: the gateway's name no object and no fields.
        if answer and inline and {"object", "fields"} & set(json.loads(answer["body"])):
            headers = {"Content-Type": "application/json"}
            answer = {**answer, "statusCode": 200, "headers": headers}
        return Outcome(
            payload=json.dumps(answer).encode(), failed=answer is None, request_id="played"
        )

    @staticmethod
    def ours(route: str) -> dict[str, Any]:
        if route.startswith("GET"):
            return unknown_reply("Lead", "smoke", "Not in Salesforce.").as_proxy(inline=False)
        problem = Unsigned("no_scheme") if "webhooks" in route else BadRequest("not JSON")
        return problem_reply(problem, code=problem.code, detail="No.").as_proxy(inline=False)

    def gateway_says(self, kind: str) -> dict[str, Any]:
        said = self.deployment.gateway_responses[kind]
        return {"statusCode": said.status, "headers": dict(said.headers), "body": said.body}

    @contextlib.contextmanager
    def serve(self, *, environment: dict[str, str] | None = None) -> Iterator[None]:
        """Deployed into the account; the stack's own key is a key of API Gateway."""
        api = self.deployment.resource("BirdApi")["Ref"]
        stage = {"apiId": api, "stage": self.deployment.stage}
        gateway = boto3.client("apigateway", region_name=REGION)
        plan = gateway.create_usage_plan(
            name="plan", apiStages=[stage], throttle={"rateLimit": 1000, "burstLimit": 1000}
        )["id"]
        port = free_port()
        deploy(
            environment=environment,
            outputs={
                **self.deployment.outputs,
                "LeadsUrl": f"http://127.0.0.1:{port}/v1/leads",
                "UsagePlanId": plan,
            },
        )
        self.let_in(gateway.get_api_keys()["items"][0]["id"])
        place = {"account": ACCOUNT, "region": REGION, "stage": self.deployment.stage}
        self.keys = LateKeys(api_id=api, **place)
        door = Gateway(self.deployment, keys=self.keys, invoke=self.invoke, port=port)
        door.server.start()
        if self.connected:
            boto3.client("ssm", region_name=REGION).put_parameter(
                Name=f"/{NAME}/access-token", Type="SecureString", Value=token()
            )
        try:
            yield
        finally:
            door.server.stop()

    def let_in(self, key_id: str) -> None:
        """Put a key under the stack's plan."""
        gateway = boto3.client("apigateway", region_name=REGION)
        plan = gateway.get_usage_plans()["items"][0]["id"]
        gateway.create_usage_plan_key(usagePlanId=plan, keyId=key_id, keyType="API_KEY")

    def run(self, *more: str, wait: float = 0) -> Result:
        invoked = [{"batchItemFailures": []}]
        if self.connected:
            invoked.insert(0, {"generation": 3, "refreshed": False})
        (backends,) = (one[REGION] for one in lambda_simple_backends.values())
        backends.lambda_simple_results_queue[:] = [json.dumps(one) for one in invoked]
        return run("smoke", "--stack", NAME, "--region", REGION, "--wait", str(wait), *more)

    def smoke(self, *more: str, wait: float = 0) -> tuple[Result, dict[str, dict[str, Any]]]:
        result = self.run("--json", *more, wait=wait)
        return result, {one["check"]: one for one in result.json()["checks"]}


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
def played(account: None) -> Iterator[Played]:
    one = Played()
    with one.serve():
        yield one


def test_a_deployed_stack_is_found_by_its_outputs_and_its_key_by_its_id(played: Played) -> None:
    result, checks = played.smoke()
    assert result.status == 0, result.out + result.err
    assert reds(checks) == set()
    assert set(checks) == CHECKS
    assert sorted(set(played.asked)) == [
        "GET /cases/{key}",
        "GET /leads/{key}",
        "POST /cases",
        "POST /leads",
        "POST /messages",
        "POST /webhooks/bird",
    ]


def test_messages_name_the_deployed_stack(played: Played) -> None:
    played.answers["GET /leads/{key}"] = lambda: None
    result, checks = played.smoke()
    assert result.status == 1
    step = checks["lead-lookup"]["nextStep"]
    assert f"aws logs tail /{NAME}/create-lead --region {REGION}" in step
    assert f"bird-salesforce rollback --stack-name {NAME} --region {REGION}" in step


def test_a_deployed_stack_that_is_not_connected_is_told_the_make_target(account: None) -> None:
    one = Played()
    one.connected = False
    for name in ("leads", "cases"):
        one.answers[f"GET /{name}/{{key}}"] = lambda: problem_reply(
            NotKept(), code="NOT_CONNECTED", detail="Nobody has run connect."
        ).as_proxy(inline=False)
    with one.serve():
        result = one.run(wait=30)
    assert result.status == 0, result.out
    assert f"Deployed, not connected: run make connect STACK={NAME} REGION={REGION}" in result.out
    assert "Asking again" not in result.err, "that does not pass by itself"


def test_what_a_new_deployment_says_at_first_is_asked_again(played: Played) -> None:
    first = iter([None, None])

    def soon() -> dict[str, Any] | None:
        return next(first, Played.ours("GET"))

    played.answers["GET /leads/{key}"] = soon
    result, checks = played.smoke(wait=30)
    assert result.status == 0, result.out
    assert "502 NO_ANSWER" in result.err
    assert [one["status"] for one in checks["lead-lookup"]["answers"]] == [404, 404]


def test_where_the_stacks_own_key_is_retired_another_of_its_plan_is_used(played: Played) -> None:
    gateway = boto3.client("apigateway", region_name=REGION)
    (own,) = gateway.get_api_keys()["items"]
    retire = [{"op": "replace", "path": "/enabled", "value": "false"}]
    gateway.update_api_key(apiKey=own["id"], patchOperations=retire)
    result = played.run()
    assert result.status == 1
    assert "No API key of the stack is enabled" in result.err
    new = gateway.create_api_key(name="second", enabled=True)
    played.let_in(new["id"])
    result, _ = played.smoke()
    assert result.status == 0, result.out


def test_a_key_of_a_moment_ago_is_waited_for(played: Played) -> None:
    gateway = boto3.client("apigateway", region_name=REGION)
    (own,) = gateway.get_api_keys()["items"]
    plan = gateway.get_usage_plans()["items"][0]["id"]
    gateway.delete_usage_plan_key(usagePlanId=plan, keyId=own["id"])
    played.keys.late = partial(played.let_in, own["id"])
    result, checks = played.smoke(wait=30)
    assert result.status == 0, result.out
    assert "403 INVALID_API_KEY" in result.err
    assert "Asking again" in result.err
    assert checks["lead-lookup"]["answers"][0]["status"] == 404


def accepted(**more: Any) -> Callable[[], dict[str, Any]]:
    body = {"outcome": "created", "success": True, "id": "00Q000000000001AAA", **more}
    return lambda: {
        "statusCode": 201,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(body),
    }


def changed(route: str, **more: Any) -> Callable[[], dict[str, Any]]:
    """Our own answer with some of its body changed."""
    answer = Played.ours(route)
    return lambda: {**answer, "body": json.dumps({**json.loads(answer["body"]), **more})}


def as_plain_json(route: str) -> Callable[[], dict[str, Any]]:
    return lambda: {**Played.ours(route), "headers": {"Content-Type": "application/json"}}


@pytest.mark.parametrize(
    ("route", "answer", "red"),
    [
        ("GET /leads/{key}", accepted(), "lead-lookup"),
        ("GET /leads/{key}", as_plain_json("GET /leads/{key}"), "lead-lookup"),
        ("GET /cases/{key}", changed("GET /cases/{key}", outcome="lost"), "case-lookup"),
        ("POST /leads", accepted(), "lead-create"),
        ("POST /cases", changed("POST /cases", kept=True), "case-create"),
        ("POST /messages", as_plain_json("POST /messages"), "message-create"),
        ("POST /messages", changed("POST /messages", success=True), "message-create"),
        ("POST /webhooks/bird", accepted(), "webhook"),
        ("POST /webhooks/bird", changed("POST /leads", status=400), "webhook"),
    ],
)
def test_an_answer_that_is_not_the_expected_one_is_red(
    played: Played, route: str, answer: Callable[[], dict[str, Any]], red: str
) -> None:
    played.answers[route] = answer
    result, checks = played.smoke()
    assert result.status == 1
    assert reds(checks) == {red}
    assert "expected" in checks[red]["said"]


def test_a_refusal_of_the_gateways_own_does_not_pass_for_the_functions(played: Played) -> None:
    played.answers["POST /leads"] = lambda: played.gateway_says("DEFAULT_4XX")
    assert reds(played.smoke()[1]) == {"lead-create"}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("THROTTLED", "ThrottleRate"),
        ("QUOTA_EXCEEDED", "usage plan"),
        ("MISSING_AUTHENTICATION_TOKEN", "make deploy"),
        ("INTEGRATION_TIMEOUT", "create-lead"),
    ],
)
def test_what_the_gateway_says_comes_with_a_next_step(
    played: Played, kind: str, words: str
) -> None:
    played.answers["GET /leads/{key}"] = lambda: played.gateway_says(kind)
    _, checks = played.smoke()
    assert reds(checks) == {"lead-lookup"}
    assert words in checks["lead-lookup"]["nextStep"]


@pytest.mark.parametrize("kind", ["ACCESS_DENIED", "WAF_FILTERED"])
def test_an_api_that_may_not_be_called_from_here_cannot_be_judged(
    played: Played, kind: str
) -> None:
    for route in ("GET /leads/{key}", "GET /cases/{key}"):
        played.answers[route] = lambda: played.gateway_says(kind)
    result, checks = played.smoke()
    assert result.status == 0
    assert checks["lead-lookup"]["state"] == "unknown"
    text = played.run()
    assert "Nothing failed, but not all could be tried." in text.out
    assert "may not be called from here" in text.out


def test_an_answer_that_comes_after_the_budget_is_red(account: None) -> None:
    one = Played()
    hurried = dict(one.deployment.functions["CreateLead"].environment)
    hurried["RESPONSE_BUDGET_SECONDS"] = "1"

    def late() -> dict[str, Any]:
        time.sleep(3.1)
        return Played.ours("POST")

    one.answers["POST /leads"] = late
    with one.serve(environment=hurried):
        result, checks = one.smoke()
    assert result.status == 1
    assert reds(checks) == {"lead-create"}
    assert "ResponseBudgetSeconds (1)" in checks["lead-create"]["said"]


def unspoken(name: str) -> Callable[[str], str]:
    """The template with one of the gateway's answers under a name that nothing is called by."""
    return lambda text: text.replace(f"        {name}: &", f"        EXPIRED_TOKEN{len(name)}: &")


def open_leads(text: str) -> str:
    return text.replace(
        "Properties: { RestApiId: !Ref BirdApi, Path: /leads, Method: POST }",
        "Properties: { RestApiId: !Ref BirdApi, Path: /leads, Method: POST, "
        "Auth: { ApiKeyRequired: false } }",
    )


@pytest.mark.parametrize(
    ("change", "red", "words"),
    [
        (open_leads, "api-key", "POST /leads lets in who has no API key"),
        (unspoken("INVALID_API_KEY"), "api-key", "403 INVALID_API_KEY was expected"),
        (unspoken("MISSING_AUTHENTICATION_TOKEN"), "no-route", "404 NO_SUCH_ROUTE was expected"),
    ],
)
def test_an_api_deployed_from_another_template_is_found(
    account: None, tmp_path: Path, change: Callable[[str], str], red: str, words: str
) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    assert change(text) != text
    path = tmp_path / "template.yaml"
    path.write_text(change(text), encoding="utf-8")
    one = Played(path)
    with one.serve():
        _, checks = one.smoke()
    assert reds(checks) == ({red} if red else set())
    if red:
        assert words in checks[red]["said"]
