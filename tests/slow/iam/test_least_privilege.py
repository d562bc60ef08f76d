"""Each role allows all of its function's work, and no statement in it is there for nothing.

The sandbox enforces the policies of the translated template (`sandbox/aws/roles.py`) in every test.
Here each function does the whole of its work under its role; then again with one statement less,
and something has to be missing: the work is only done if everything that it checks is there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.roles import Role, Statement
from sandbox.org.sample import CLIENT_ID
from sandbox.stack import Response, Stack
from tests.conftest import PATIENT
from tests.stacks import empty_queues, renew_token, write_signing_keys
from tests.unit.signing import SECRET, standard
from tools.template import Deployment, Template, TemplateError


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Every statement is in force: requests have to be signed, refresh tokens rotate, files are
    attached."""
    parameters = {**PATIENT, "SignatureScheme": "standard-webhooks", "AttachMedia": "on"}
    lookup = {"CustomerLookup": "on", "CustomerLookupRate": "1000", "CustomerLookupBurst": "1000"}
    with Stack(poll=False, parameters={**parameters, **lookup}) as made:
        made.org.oauth.apps[CLIENT_ID].rotation = True
        write_signing_keys(made, SECRET)
        made.tick()
        yield made


def signed_post(stack: Stack, path: str, body: Any) -> Response:
    """A request as Bird signs it (Standard Webhooks)."""
    raw = json.dumps(body).encode()
    # The id is the key too, without another one.
    signed = standard(at=time.time(), body=raw, webhook_id=f"msg_{time.time_ns()}")
    headers = {"content-type": "application/json", **signed}
    return stack.request("POST", path, raw, headers=headers)


# The whole of each function's work


def create(stack: Stack, name: str, path: str, good: Any, bad: Any) -> None:
    """Make a record, also with a token that has ended; keep one for later, and one refused."""
    begin(stack, name)
    good = {**good, "bird": {**good.get("bird", {}), "media": stack.media.put(b"JFIF")}}
    assert signed_post(stack, path, good).status == 201
    stack.org.oauth.expire_sessions()
    assert signed_post(stack, path, good).status == 201
    with stack.outage():
        assert signed_post(stack, path, good).status == 202
    assert (stack.waiting(), stack.files_waiting()) == (1, 2)
    assert signed_post(stack, path, bad).status == 422
    assert len(stack.rejected()) == 1
    assert '"outcome":"created"' in stack.logs(name).replace('": "', '":"')


def create_lead(stack: Stack) -> None:
    create(stack, "create_lead", "/leads", {"LastName": "Okafor"}, {"Company": "nameless"})


def create_case(stack: Stack) -> None:
    create(stack, "create_case", "/cases", {"Subject": "s"}, {"Origin": "x" * 300})


def receive_message(stack: Stack) -> None:
    sender = {"bird": {"channel": "whatsapp", "displayName": "A"}}
    create(stack, "receive_message", "/messages", sender, {**sender, "Origin": 1, "Email": "no"})


def refresh_token(stack: Stack) -> None:
    """Renew a token and keep the rotated refresh token, also where the secret cannot take it."""
    begin(stack, "refresh_token")
    before = stack.credentials()["refresh_token"]
    renew(stack)
    kept = stack.credentials()["refresh_token"]
    assert kept != before
    # The lease was given back: the next one need not wait.
    stack.aws.fail("secretsmanager", "PutSecretValue", status=400, code="LimitExceededException")
    renew(stack)
    assert stack.credentials()["refresh_token"] == kept
    stack.aws.heal()
    renew(stack)
    assert stack.org.connected(stack.credentials()["refresh_token"])
    assert "token_refreshed" in stack.logs("refresh_token")


def renew(stack: Stack) -> None:
    before, outcome = stack.token(), renew_token(stack)
    assert before is not None and not outcome.failed, outcome.payload
    result = outcome.json()
    assert result.get("generation") == before["generation"] + 1 and result["refreshed"]


def deliver(stack: Stack) -> None:
    """Take a batch, make what can be made, reject, delay, and need a new token for it."""
    begin(stack, "deliver")
    stack.poller.begin()
    queue(stack, {"LastName": "Okafor", "Company": "Individual"}, {"Company": "nameless"})
    stack.org.oauth.expire_sessions()
    assert stack.deliver_once().deleted == 2
    assert stack.waiting() == 0
    assert len(stack.rejected()) == 1
    assert len(stack.org.records("Lead")) == 1
    assert stack.files_waiting() == 1
    queue(stack, {"LastName": "later", "Company": "Individual"})
    with stack.outage():
        stack.deliver_once()
    # Delayed by Deliver itself, by less than the queue's own 740 s.
    (message,) = stack.aws.queues.queue(stack.outbox_url).messages.values()
    assert message.visible_at < time.time() + 300
    assert '"message":"delivery"' in stack.logs("deliver").replace('": "', '":"')


def queue(stack: Stack, *bodies: Any) -> None:
    for number, fields in enumerate(bodies):
        envelope = {"v": 2, "object": "Lead", "key": f"k{number}-{time.time_ns()}"}
        more = {"channel": "none", "fields": fields}
        more["media"] = [["https://media.api.bird.com/1", "", ""]]
        body = json.dumps({**envelope, **more})
        stack.client("sqs").send_message(QueueUrl=stack.outbox_url, MessageBody=body)


def find_customer(stack: Stack) -> None:
    """Look somebody up, also with a token that has ended."""
    begin(stack, "find_customer")
    body = {"bird": {"channel": "sms", "sender": "+14155550123"}}
    for _ in range(2):
        found = stack.request("POST", "/customers/find", body, api_key=stack.lookup_key)
        assert (found.status, found.json()["outcome"]) == (200, "unknown")
        stack.org.oauth.expire_sessions()
    assert "customer_lookup" in stack.logs("find_customer")


def attach_files(stack: Stack) -> None:
    """Attach a file with a new token, reject one, let one wait."""
    begin(stack, "attach_files")
    stack.files_poller.begin()
    lead = stack.org.create("Lead", {"LastName": "O", "Company": "I", "Bird_Key__c": "k"})
    troubles: list[tuple[str, ...]] = [(), ("404",), ("500",)]
    for number, trouble in enumerate(troubles, 1):
        files = [{"number": number, "link": stack.media.put(b"JFIF", trouble=trouble)}]
        envelope = {"v": 2, "kind": "file", "key": "k", "object": "Lead", "files": files}
        body = json.dumps(envelope)
        stack.client("sqs").send_message(QueueUrl=stack.files_url, MessageBody=body)
        stack.org.oauth.expire_sessions()
        stack.files_poller.deliver_once()
    links = [one["LinkedEntityId"] for one in stack.org.records("ContentDocumentLink")]
    assert links.count(lead) == 1
    assert len(stack.rejected()) == 1
    # Delayed by AttachFiles itself, by less than the queue's own 1,800 s.
    (message,) = stack.aws.queues.queue(stack.files_url).messages.values()
    assert message.visible_at < time.time() + 300
    table = stack.deployment.resource("RefreshLease")["Ref"]
    claims = stack.client("dynamodb").scan(TableName=table)["Items"]
    assert not [one for one in claims if one["name"]["S"].startswith("files-")]
    assert '"message":"files"' in stack.logs("attach_files").replace('": "', '":"')


ALL = (
    create_lead,
    create_case,
    receive_message,
    find_customer,
    refresh_token,
    deliver,
    attach_files,
)
WORK: dict[str, Callable[[Stack], None]] = {work.__name__: work for work in ALL}


def begin(stack: Stack, name: str) -> None:
    """Empty queues, no faults, no records, and a cold function whose log is empty."""
    stack.aws.heal()
    stack.org.reset()
    empty_queues(stack)
    stack.functions[name].recycle()
    stack.functions[name].log.unlink(missing_ok=True)
    stack.aws.denied.clear()


def mend(stack: Stack) -> None:
    """Connect anew: work that was denied half way may have lost the refresh token."""
    stack.aws.heal()
    lease = stack.deployment.resource("RefreshLease")["Ref"]
    stack.client("dynamodb").delete_item(TableName=lease, Key={"name": {"S": "refresh"}})
    stack.connect()
    stack.org.oauth.expire_sessions()
    renew_token(stack)


@pytest.mark.parametrize("name", WORK)
def test_a_function_can_do_all_of_its_work_under_its_role(stack: Stack, name: str) -> None:
    mend(stack)

    WORK[name](stack)

    assert not {call: n for call, n in stack.aws.denied.items() if call[0] == name}


def all_statements() -> Iterator[Any]:
    def make(logical_id: str, kind: str, properties: Any) -> dict[str, str]:
        arn = f"arn:aws:x:us-east-1:1:{logical_id}"
        return {"Ref": logical_id, "Arn": arn, "RootResourceId": "root"}

    parameters = {"SignatureScheme": "standard-webhooks", "AttachMedia": "on"}
    deployment = Deployment(Template.load(), stack_name="s", parameters=parameters, make=make)
    for name in WORK:
        logical_id = name.title().replace("_", "")
        for number, statement in enumerate(Role.of(deployment, logical_id).statements):
            resource = statement.resources[0].split(":", 5)[-1]
            yield pytest.param(name, number, id=f"{name}, {statement.actions[0]} on {resource}")


@pytest.mark.parametrize(("name", "number"), list(all_statements()))
def test_with_one_statement_less_the_work_is_not_done(stack: Stack, name: str, number: int) -> None:
    role = stack.aws.roles[name]
    mend(stack)

    with role.without(role.statements[number]), pytest.raises((AssertionError, ClientError)):
        WORK[name](stack)


# The evaluator itself

VIA = {"kms:ViaService": "ssm.us-east-1.amazonaws.com"}


@pytest.mark.parametrize(
    ("resource", "call", "allowed"),
    [
        ("arn:x/*", ("a:b", "arn:x/y/z"), True),
        ("arn:x/*", ("a:b", "arn:y/z"), False),
        ("arn:x/*", ("a:c", "arn:x/y"), False),
        ("arn:a.b", ("a:B", "arn:aXb"), False),
    ],
)
def test_a_star_is_any_run_of_characters_and_everything_else_is_itself(
    resource: str, call: tuple[str, str], allowed: bool
) -> None:
    statement = Statement.parse({"Effect": "Allow", "Action": "a:B", "Resource": resource})
    assert statement.allows(*call, {}) is allowed


def test_a_condition_has_to_hold() -> None:
    written = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:k"}
    statement = Statement.parse({**written, "Condition": {"StringEquals": VIA}})
    assert statement.allows("kms:Decrypt", "arn:k", VIA)
    assert not statement.allows("kms:Decrypt", "arn:k", {})


@pytest.mark.parametrize(
    "more",
    [
        {"Effect": "Deny", "Action": "a:B"},
        {"NotAction": "a:B"},
        {"Action": "a:B", "Resource": {"Ref": "X"}},
        {"Action": "a:B", "Condition": {"Bool": {}}},
    ],
)
def test_a_statement_that_is_not_understood_is_an_error(more: Any) -> None:
    with pytest.raises((TemplateError, KeyError)):
        Statement.parse({"Effect": "Allow", "Resource": "*", **more})
