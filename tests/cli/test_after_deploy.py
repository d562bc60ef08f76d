"""`doctor --after-deploy`: what works, what does not, and that each of its checks can fail."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bridge.api.replies import problem_reply, unknown_reply
from bridge.errors import BadRequest, NotKept, Unsigned
from bridge.http import Http, Response
from cli.checks.api import ApiChecks
from cli.checks.finding import Finding, carry_out
from cli.connect.stored_connection import StoredConnection
from cli.deployment.stack import find_stack
from sandbox.stack import Stack
from tests.cli.conftest import Local, deployed_with, file_changed, free_port
from tests.cli.deployed import resolved
from tests.cli.program import Result, options_for, run
from tests.stacks import renew_token, write_signing_keys

CHECKS = {
    *("lead-lookup", "case-lookup", "lead-function", "case-function", "message-function"),
    *("webhook", "api-key", "refresh-function", "deliver-function"),
}


def examine(local: Local, *more: str, wait: float = 0) -> tuple[Result, dict[str, dict[str, Any]]]:
    result = run("doctor", "--after-deploy", "--json", "--wait", str(wait), *local.options, *more)
    body = result.json()
    assert body["healthy"] == (result.status == 0)
    assert local.stack.api_key not in result.out + result.err
    return result, {one["check"]: one for one in body["checks"]}


def states(checks: dict[str, dict[str, Any]], *names: str) -> set[str]:
    return {checks[name]["state"] for name in names}


def reds(checks: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, one in checks.items() if one["state"] == "bad"}


def assert_nothing_is_kept(local: Local) -> None:
    assert local.org.records("Lead") == local.org.records("Case") == local.stack.rejected() == []
    assert local.stack.waiting() == 0


def as_deployed(local: Local, *more: str) -> Result:
    """The doctor on the local stack, found by CloudFormation's outputs as in AWS."""
    environ = {
        "AWS_ENDPOINT_URL": local.stack.aws_endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    where = ("--stack", local.stack.stack_name, "--region", "us-east-1", "--wait", "30")
    return run("doctor", "--after-deploy", *where, *more, environ=environ)


# A stack on this machine: the real gateway and the real functions


def test_a_stack_that_works_passes_every_check_and_keeps_nothing(connected: Local) -> None:
    token, versions = connected.stack.token(), connected.versions()
    plain = {one["check"] for one in run("doctor", "--json", *connected.options).json()["checks"]}
    result, checks = examine(connected)
    assert result.status == 0, result.out
    assert set(checks) - plain == CHECKS - {"lead-lookup", "case-lookup"}
    assert plain < set(checks)
    assert states(checks, *CHECKS) == {"good"}
    assert result.json()["records"] == []
    assert_nothing_is_kept(connected)
    assert (connected.stack.token(), connected.versions()) == (token, versions)


def test_it_works_by_outputs_and_keys_of_cloudformation_and_api_gateway(connected: Local) -> None:
    result = as_deployed(connected, "--verbose")
    assert result.status == 0, result.out + result.err
    assert "Nothing is red." in result.out
    assert "The schedule is on: rate(45 minutes)." in result.out


def test_a_stack_that_is_not_connected_yet_has_no_red(ready: Local) -> None:
    # The first request may have to wait for two cold starts: it is repeated.
    before = Counter(ready.stack.gateway.statuses)
    result, checks = examine(ready, "--record", wait=40)
    assert result.status == 0, result.out
    statuses = ready.stack.gateway.statuses - before
    assert not [status for status in statuses if status >= 500], "that would raise an alarm"
    names = ("lead-lookup", "case-lookup", "secret", "record", "record-queued")
    assert states(checks, *names) == {"note"}
    assert "not connected" in checks["lead-lookup"]["message"]
    text = run("doctor", "--after-deploy", "--wait", "40", *ready.options)
    assert text.status == 0
    assert "not connected yet.\nNext: bird-salesforce connect --local\n" in text.out
    next_step = f"Next: make connect STACK={ready.stack.stack_name} REGION=us-east-1"
    assert next_step in as_deployed(ready).out
    assert_nothing_is_kept(ready)


def test_an_address_where_nothing_responds(connected: Local) -> None:
    url = connected.stack.url
    elsewhere = f"http://127.0.0.1:{free_port()}/v1"
    with file_changed(connected, "stack.json", lambda text: text.replace(url, elsewhere)):
        _, checks = examine(connected)
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
        result, checks = examine(connected, "--record")
    assert result.status == 0
    assert states(checks, "lead-lookup", "record", "record-queued") == {"note"}
    assert "ExternalIdField" in checks["lead-lookup"]["message"]
    assert len(connected.org.records("Lead")) == 1, "created once, and not repeated"
    connected.stack.drain()


FAILING = {
    "create_lead": {"lead-lookup", "lead-function"},
    "create_case": {"case-lookup", "case-function"},
    "receive_message": {"message-function", "webhook"},
    "refresh_token": {"refresh-function"},
    "deliver": {"deliver-function"},
}


@pytest.mark.parametrize("function", FAILING)
def test_a_function_that_raises_is_found(connected: Local, function: str) -> None:
    """Without its environment it cannot start."""
    found = connected.stack.functions[function]
    before, found.environment = found.environment, {}
    found.recycle()
    try:
        _, checks = examine(connected)
    finally:
        found.environment = before
        found.recycle()
    assert reds(checks) == FAILING[function]
    for name in FAILING[function]:
        assert function.replace("_", "-") in checks[name]["message"]
        assert f"{function}.log" in checks[name]["nextStep"]


def test_what_our_own_rights_do_not_allow_is_grey(connected: Local) -> None:
    connected.stack.aws.fail("lambda", "Invoke", status=403, code="AccessDeniedException")
    try:
        result, checks = examine(connected)
    finally:
        connected.stack.aws.heal()
    assert result.status == 0
    assert checks["deliver-function"]["state"] == "unknown"
    assert "AccessDenied" in checks["deliver-function"]["message"]


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


def test_record_creates_two_leads_and_says_how_to_delete_them(connected: Local) -> None:
    with delivering(connected):
        result = run("doctor", "--after-deploy", "--record", "--verbose", *connected.options)
    assert result.status == 0, result.out
    words = " ".join(result.out.split())
    assert "was sent twice and created once." in words
    assert "was queued and delivered within" in words
    leads = connected.org.records("Lead")
    assert len(leads) == 2
    for lead in leads:
        assert lead["LastName"].startswith("Test doctor-")
        assert "it can be deleted" in lead["Description"]
        assert re.fullmatch(r"doctor-\d{8}t\d{6}z-[0-9a-f]{8}", lead["Bird_Key__c"])
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


def test_a_second_record_for_the_same_key_is_red(own_org: Local) -> None:
    own_org.org.change_field("Lead", "Bird_Key__c", unique=False)
    result, checks = examine(own_org, "--record")
    assert "record" in reds(checks)
    assert "several records" in checks["record"]["message"]
    ids = {one["id"] for one in result.json()["records"]} - {""}
    assert len(ids) == 2, "both are named, to be deleted"


def test_where_requests_are_signed_an_unsigned_one_is_refused_and_no_record_created(
    tmp_path: Path,
) -> None:
    parameters = {"ResponseBudgetSeconds": "18", "SignatureScheme": "bird"}
    with Stack(poll=False, parameters=parameters) as stack:
        write_signing_keys(stack, "a-key-to-sign-with")
        renew_token(stack)
        signed = Local(stack, options_for(stack, tmp_path), "")
        result, checks = examine(signed, "--record")
        assert_nothing_is_kept(signed)
    assert result.status == 0, result.out
    functions = ("lead-function", "case-function", "message-function", "webhook")
    assert states(checks, *functions) == {"good"}
    assert "unsigned" in checks["lead-function"]["message"]
    assert checks["record"]["state"] == "note"
    assert "sign" in checks["record"]["message"]


# What the API may respond otherwise: the functions' replies, and the gateway's as in the template


def gateway(kind: str) -> Response:
    found = resolved().gateway_responses[kind]
    return Response(found.status or 400, {}, (found.body or "").encode())


def reply(route: str, **more: Any) -> Response:
    """What our function responds to a look-up or to what it cannot read, with other values."""
    made = unknown_reply("Lead", "doctor", "Not in Salesforce.")
    if route.startswith("POST"):
        problem = Unsigned("no_scheme") if "webhooks" in route else BadRequest("not JSON")
        made = problem_reply(problem, code=problem.code, detail="No.")
    return Response(made.status, {}, json.dumps({**made.body, **more}).encode())


NOT_CONNECTED = problem_reply(NotKept(), code="NOT_CONNECTED", detail="Nobody has run connect.")
CREATED = {"outcome": "created", "success": True, "status": 201, "id": "00Q000000000001AAA"}
ACCEPTED = Response(201, {}, json.dumps(CREATED).encode())


class Scripted(Http):
    """The API. A test says what some routes respond, once each response but the last."""

    def __init__(self, responses: dict[str, list[Response]]) -> None:
        super().__init__()
        self._responses = responses

    def send(self, method: str, url: str, **request: Any) -> Response:
        path = re.sub("/doctor-.*", "/{key}", urlsplit(url).path.removeprefix("/v1"))
        with_key = "x-api-key" in request["headers"] or "webhooks" in path
        route = f"{method} {path}{'' if with_key else ' without a key'}"
        if given := self._responses.get(route):
            return given.pop(0) if len(given) > 1 else given[0]
        return reply(route) if with_key else gateway("INVALID_API_KEY")


def found(
    local: Local, check: str, route: str, *responses: Response, wait: float = 0
) -> tuple[Finding, list[str]]:
    """What a check finds, and what it reports meanwhile."""
    stack = find_stack(name=None, region=None, profile=None, local=Path(local.options[-1]))
    reported: list[str] = []
    api = ApiChecks(
        stack=stack,
        http=Scripted({route: list(responses)}),
        stored=StoredConnection(stack),
        wait_seconds=wait,
        report=reported.append,
    )
    checks = dict([*api.look_ups(), *api.after_deploy(record=False)])
    return carry_out((check, checks[check])), reported


LEAD, UNKNOWN_CASE = "GET /leads/{key}", "GET /cases/{key}"
RESPONSES: list[tuple[str, str, Response, str, str]] = [
    # Not what is expected
    ("lead-lookup", LEAD, ACCEPTED, "bad", "instead of"),
    ("case-lookup", UNKNOWN_CASE, reply("GET", outcome="lost"), "bad", "instead of"),
    ("lead-function", "POST /leads", ACCEPTED, "bad", "instead of"),
    ("case-function", "POST /cases", reply("POST", kept=True), "bad", "instead of"),
    ("message-function", "POST /messages", reply("POST", success=True), "bad", "instead of"),
    ("webhook", "POST /webhooks/bird", ACCEPTED, "bad", "instead of"),
    # The gateway refuses it, and not the function
    ("lead-function", "POST /leads", gateway("DEFAULT_4XX"), "bad", "instead of"),
    ("lead-lookup", LEAD, gateway("THROTTLED"), "bad", "ThrottleRate"),
    ("lead-lookup", LEAD, gateway("QUOTA_EXCEEDED"), "bad", "ThrottleRate"),
    ("lead-lookup", LEAD, gateway("INVALID_API_KEY"), "bad", "refuses its own API key"),
    ("lead-lookup", LEAD, gateway("MISSING_AUTHENTICATION_TOKEN"), "bad", "make deploy"),
    ("lead-lookup", LEAD, gateway("INTEGRATION_TIMEOUT"), "bad", "create_lead.log"),
    ("lead-lookup", LEAD, gateway("ACCESS_DENIED"), "unknown", "may not call the API"),
    ("lead-lookup", LEAD, gateway("WAF_FILTERED"), "unknown", "may not call the API"),
    # As the API's policy does in AWS without a SignatureScheme
    ("webhook", "POST /webhooks/bird", gateway("ACCESS_DENIED"), "good", "closed"),
    # Another template is deployed
    ("api-key", "POST /leads without a key", reply("POST"), "bad", "works without an API key"),
    ("api-key", f"{LEAD} without a key", reply("GET"), "bad", "works without an API key"),
    ("api-key", "POST /cases without a key", gateway("THROTTLED"), "bad", "too many requests"),
    ("api-key", "POST /cases without a key", gateway("DEFAULT_4XX"), "bad", "instead of 403"),
]


@pytest.mark.parametrize(("check", "route", "response", "state", "words"), RESPONSES)
def test_each_response_has_its_meaning_and_next_step(
    ready: Local, check: str, route: str, response: Response, state: str, words: str
) -> None:
    finding, _ = found(ready, check, route, response)
    assert finding.state == state
    assert words in f"{finding.message} {finding.next_step}"


@pytest.mark.parametrize(
    ("first", "reported"),
    [
        (gateway("DEFAULT_5XX"), "Trying again"),
        (gateway("INVALID_API_KEY"), "403 INVALID_API_KEY"),
        (Response(503, {}, json.dumps(NOT_CONNECTED.body).encode()), "503 NOT_CONNECTED"),
    ],
)
def test_what_is_new_is_tried_again(connected: Local, first: Response, reported: str) -> None:
    """A deployment, a key, and a connection that a function does not know for some seconds."""
    finding, reports = found(connected, "lead-lookup", LEAD, first, reply("GET"), wait=30)
    assert finding.state == "good"
    assert len(reports) == 1 and reported in reports[0]


def test_what_does_not_pass_by_itself_is_not_waited_for(ready: Local) -> None:
    for code, state in (("NOT_CONNECTED", "note"), ("KEY_FIELD_MISSING", "bad")):
        body = {**NOT_CONNECTED.body, "code": code}
        response = Response(503, {}, json.dumps(body).encode())
        finding, reports = found(ready, "lead-lookup", LEAD, response, wait=30)
        assert (finding.state, reports) == (state, [])
