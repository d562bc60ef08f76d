"""The commands of the followed pages, typed as they stand there, with the result they promise."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.__main__ import API_KEY, write_files
from sandbox.aws.endpoint import REGION
from sandbox.org import Org
from sandbox.org.sample import ADMIN_USER, CLIENT_ID, CLIENT_SECRET, INTEGRATION_USER
from sandbox.stack import Stack
from tests.cli.person import Person, administrator
from tests.cli.program import running
from tests.conftest import PATIENT
from tests.ports import free_ports
from tests.slow.docs.conftest import STACK_NAME, World
from tests.slow.docs.pages import FOLLOWED, Command, commands
from tests.slow.docs.reader import (
    ALONE,
    SCENARIOS,
    Script,
    allow,
    alone,
    at_a_terminal,
    enter_the_app,
    follows,
    paste_the_beginning,
    program,
    program_behind,
    sign_in,
    the_callback_is_free,
    words,
)
from tests.slow.docs.shell import Shell, environment
from tests.stacks import public_address, renew_token, write_signing_keys
from tests.unit import bodies
from tests.unit.signing import bird
from tools.template import ROOT

APP = {"BIRD_SALESFORCE_CLIENT_ID": CLIENT_ID, "BIRD_SALESFORCE_CLIENT_SECRET": CLIENT_SECRET}
OPERATIONS = "docs/operations.md"
CONNECT = "docs/connect.md"
REFERENCE = "docs/connect-reference.md"

# ── The operator's page ──────────────────────────────────────────────────────────────────────────


@follows(OPERATIONS, "Before you start")
def before_you_type(script: Script) -> None:
    world = script.world
    assert "123456789012" in script.type("aws sts get-caller-identity")
    program_folder = Path(script.line("export").split('"')[1].split(":")[0].replace("$PWD", "."))
    assert program_folder == Path(".venv/bin")
    assert 'bird-salesforce = "' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(
        r"^awscli==", (ROOT / "requirements-dev.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    script.type("output()")
    assert script.type("output LeadsUrl").strip() == f"{world.stack.url}/leads"
    script.end()


@follows(OPERATIONS, "Monitoring")
def watch(script: Script) -> None:
    world = script.world
    paste_the_beginning(world)
    script.type("aws sns subscribe", {"ADDRESS": "ops@example.com"})
    topic = world.output("AlarmTopic")
    (one,) = world.stack.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (one["Protocol"], one["Endpoint"]) == ("email", "ops@example.com")
    script.end()


@follows(OPERATIONS, "schedule-stopped")
def the_rule_of_the_schedule(script: Script) -> None:
    world = script.world
    rule = world.stack.schedule.rule
    line = script.line("aws events list-rules")
    (shown,) = json.loads(world.shell.must(line))["Rules"]
    assert (shown["Name"], shown["State"]) == (rule, "ENABLED")
    world.stack.client("events").disable_rule(Name=rule)
    try:
        (shown,) = json.loads(world.shell.must(line))["Rules"]
        assert shown["State"] == "DISABLED"
        doctor = program(world, "bird-salesforce doctor")
        assert doctor.status == 1
        # What doctor says next is a command too, and the page's own one.
        (mend,) = re.findall(
            r"aws events enable-rule --name .* --region .*", re.sub(r" \\\n +", " ", doctor.out)
        )
        page = script.line("aws events enable-rule", {"RULE": rule})
        assert mend == f"{page} --region {REGION}"
        world.shell.must(page)
        assert world.stack.schedule.is_on()
    finally:
        world.stack.client("events").enable_rule(Name=rule)
    script.end()


@follows(OPERATIONS, "refresh-failed")
def why_a_refresh_failed(script: Script) -> None:
    world = script.world
    world.org.oauth.revoke_all()
    world.org.oauth.expire_sessions()
    assert world.lead("while-it-is-revoked")["outcome"] == "queued"
    shown = json.loads(script.type("aws logs filter-log-events"))["events"]
    assert shown and all("token_refresh_failed" in one["message"] for one in shown)
    assert all(json.loads(one["message"])["code"] for one in shown)
    script.end()


@follows(OPERATIONS, "records-lost")
@follows(OPERATIONS, "server-errors")
def why_the_api_failed(script: Script) -> None:
    world = script.world
    world.stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")
    with world.stack.outage():
        assert world.lead("nowhere")["code"] == "NOT_KEPT"
    assert "not_kept" in script.type("aws logs filter-log-events")
    script.end()


@contextlib.contextmanager
def signing(script: Script) -> Iterator[World]:
    """Somebody else's stack, in which requests have to be signed."""
    parameters = {**PATIENT, "SignatureScheme": "bird"}
    options: dict[str, Any] = {"stack_name": STACK_NAME, "connected": False, "processes": 1}
    with Stack(poll=False, parameters=parameters, **options) as stack:
        here = World(stack, script.world.folder)
        with Shell(here.folder, here.environ) as here._shell:
            yield here


@follows(OPERATIONS, "unsigned")
def why_a_signature_is_refused(script: Script) -> None:
    with signing(script) as here:
        write_signing_keys(here.stack, "the-key-of-bird")
        assert not is_let_in(here.stack, "another-key")
        line = script.line("aws logs filter-log-events")
        shown = json.loads(here.shell.must(line))["events"]
    (logged,) = (json.loads(one["message"]) for one in shown)
    assert logged["code"] == "signature"
    script.end()


@follows(OPERATIONS, "deliver-failing")
def why_deliver_fails(script: Script) -> None:
    with script.world.stack.functions["deliver"].log.open("a") as log:
        log.write("[ERROR] RuntimeError: no\n")  # as Lambda writes what a handler raises
    assert "[ERROR] RuntimeError: no" in script.type("aws logs filter-log-events")
    script.end()


class Flow:
    """A flow that calls all the time, as many customers do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.key = world.stack.api_key
        self.statuses: list[int] = []
        self.sent: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.wait(0.2):
            sent = f"rotation-{len(self.sent)}"
            self.sent.append(sent)
            body = {"bird": {"channel": "whatsapp", "messageId": sent, "displayName": "Ada Okafor"}}
            response = self._world.stack.request("POST", "/leads", body, api_key=self.key)
            self.statuses.append(response.status)

    def __enter__(self) -> Flow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


@follows(OPERATIONS, "The API key")
def change_the_api_key(script: Script) -> None:
    world = script.world
    old = world.stack.api_key
    paste_the_beginning(world)
    with Flow(world) as flow:
        script.type("NEW=$(aws apigateway create-api-key")
        value = world.shell.must('aws apigateway get-api-key --api-key "$NEW" --include-value')
        new = json.loads(value)["value"]
        assert not world.key_works(new), "a key under no plan opens nothing"
        script.type("aws apigateway create-usage-plan-key")
        assert script.type("aws apigateway get-api-key").strip() == new
        script.type("KEY=$(aws apigateway get-api-key")
        body, _, status = script.type("curl").rpartition("\n")
        assert (status, json.loads(body)["outcome"]) == ("404", "unknown")
        assert world.key_works(old), "both are good meanwhile"
        flow.key = new
        time.sleep(0.2)  # until the flow has begun a call with it
        script.type("OLD=$(output ApiKeyId)")
        script.type("aws apigateway update-api-key")
        assert (world.key_works(old), world.key_works(new)) == (False, True)
        forgotten = world.stack.request("POST", "/leads", {"LastName": "x"}, api_key=old)
        assert (forgotten.status, forgotten.json()["code"]) == (403, "INVALID_API_KEY")
        assert forgotten.json()["kept"] is False
        # The stack's own key is off now: doctor and flow have to take the other one.
        assert program(world, "bird-salesforce doctor").status == 0
        shown = program(world, "bird-salesforce flow whatsapp --show-key")
        assert new in shown.out and old not in shown.out
        script.type("aws apigateway update-api-key")
        assert (world.key_works(old), world.key_works(new)) == (True, True)
        flow.key = old
        time.sleep(0.2)
        world.shell.must('OLD="$NEW"')  # the stack's own stays
        script.type("aws apigateway delete-api-key")
        assert (world.key_works(old), world.key_works(new)) == (True, False)
    script.end()
    assert len(flow.statuses) > 5
    assert set(flow.statuses) == {201}, "a call failed while the keys were changed"
    assert all(world.org.find("Lead", sent) for sent in flow.sent)


def is_let_in(stack: Stack, key: str) -> bool:
    """Whether a webhook that Bird signs with this key is."""
    body = json.dumps(bodies.channels()).encode()
    address = public_address(stack, "/webhooks/bird")
    headers = bird(key=key, at=time.time(), url=address, body=body)
    headers["content-type"] = "application/json"
    response = stack.request("POST", "/webhooks/bird", body, headers=headers, api_key=None)
    return response.status != 401


@follows(OPERATIONS, "The signing keys")
def change_the_signing_keys(script: Script) -> None:
    old, new = "old-0f3a6d1c9b", "new-7e2b4c8a5d"
    with signing(script) as here:
        stack = here.stack

        def good(*, five_minutes_later: bool) -> tuple[bool, bool]:
            if five_minutes_later:
                stack.functions["receive_message"].recycle()
            return is_let_in(stack, old), is_let_in(stack, new)

        write_signing_keys(stack, old)
        assert good(five_minutes_later=True) == (True, False)
        paste_the_beginning(here)
        follow = Script(here, OPERATIONS, "The signing keys")
        follow.type("(umask 077; echo", {"NEW": new, "OLD": old})
        mode = (here.folder / "keys.json").stat().st_mode
        assert stat.S_IMODE(mode) == 0o600, "others can read the keys"
        follow.type("aws secretsmanager put-secret-value")
        assert good(five_minutes_later=False) == (True, False), "they are remembered"
        assert good(five_minutes_later=True) == (True, True)
        follow.type("echo", {"NEW": new})
        follow.type("aws secretsmanager put-secret-value")
        follow.type("rm keys.json")
        assert good(five_minutes_later=True) == (False, True)
        follow.end()


def a_minute_later(world: World) -> None:
    """Functions no longer remember that nothing was connected."""
    world.stack.functions["create_lead"].recycle()
    world.stack.functions["deliver"].recycle()


@follows(OPERATIONS, "The consumer secret")
def change_the_consumer_secret(script: Script) -> None:
    world = script.world
    app = world.org.oauth.apps[CLIENT_ID]
    app.client_secret = "the-new-secret-of-the-app"
    world.org.oauth.revoke_all()
    world.org.oauth.expire_sessions()
    try:
        assert world.lead("while-it-is-applied")["outcome"] == "queued"
        with (
            the_callback_is_free(),
            at_a_terminal(world, script.line("make connect ARGS=--anew")) as screen,
        ):
            enter_the_app(screen, app.client_secret)
            screen.expect("Create a test Lead and roll it back")
            screen.type("y")
            assert screen.end() == 0, screen.seen
        assert app.client_secret not in screen.seen, "what is typed hidden is shown"
        assert world.secret()["client_secret"] == app.client_secret
        a_minute_later(world)
        assert program(world, "bird-salesforce doctor").status == 0
        world.stack.drain()
        assert world.org.find("Lead", "while-it-is-applied")
    finally:
        app.client_secret = CLIENT_SECRET
    script.end()


@follows(OPERATIONS, "The refresh token")
def change_the_refresh_token(script: Script) -> None:
    world = script.world
    first = world.secret()["refresh_token"]
    line = program_behind(world, script.line("make connect ARGS=--anew"))
    assert sign_in(world, line).status == 0
    second = world.secret()["refresh_token"]
    assert world.org.connected(first) and world.org.connected(second)
    line = program_behind(world, script.line("make connect ARGS='--anew --revoke-old'"))
    assert sign_in(world, line).status == 0
    assert not world.org.connected(second)
    assert world.org.connected(world.secret()["refresh_token"])
    assert world.lead("with-the-new-one")["outcome"] == "created"
    script.end()


@follows(OPERATIONS, "A lost secret")
def restore_a_lost_secret(script: Script) -> None:
    world = script.world
    before = world.secret()
    client = world.stack.client("secretsmanager")
    paste_the_beginning(world)
    client.delete_secret(SecretId=world.stack.secret_id)
    assert world.lead("while-the-token-lives")["outcome"] == "created"
    world.org.oauth.expire_sessions()
    assert world.lead("after-its-end")["outcome"] == "queued"
    script.type("aws secretsmanager restore-secret")
    assert world.secret() == before
    assert world.lead("at-once")["outcome"] == "created"
    world.stack.drain()
    assert world.org.find("Lead", "after-its-end")
    # Overwritten: by `connect`, and the version before can still be read.
    client.put_secret_value(SecretId=world.stack.secret_id, SecretString='{"oh": "no"}')
    line = program_behind(world, script.line("make connect ARGS=--anew"))
    assert json.loads(script.type("aws secretsmanager get-secret-value")) == before
    assert sign_in(world, line, **APP).status == 0
    assert world.is_connected()
    script.end()


@follows(OPERATIONS, "Another org")
def move_to_another_org(script: Script) -> None:
    world = script.world
    line = program_behind(
        world, script.line("make connect ARGS=", {"https://newcompany.my.salesforce.com": "LOGIN"})
    ).replace("LOGIN", world.stack.org_url)
    world.stack.client("secretsmanager").put_secret_value(
        SecretId=world.stack.secret_id,
        SecretString=json.dumps({**world.secret(), "login_url": "https://old.my.salesforce.com"}),
    )
    assert sign_in(world, line).status == 0
    assert world.secret()["login_url"] == world.stack.org_url
    assert program(world, "bird-salesforce doctor").status == 0
    assert world.lead("one-record")["outcome"] == "created"
    script.end()


@follows(OPERATIONS, "Take the stack down")
def take_it_down(script: Script) -> None:
    world = script.world
    paste_the_beginning(world)
    refused(world, "kept-for-later")
    exported(world, script.line("bird-salesforce rejected export"), "kept-for-later")
    script.type("CREDENTIALS=$(output")
    script.type("SIGNING=$(output")
    refresh_token = world.secret()["refresh_token"]
    with at_a_terminal(world, script.line("bird-salesforce disconnect")) as screen:
        screen.expect(r"Disconnect .+\?")
        screen.type("y")
        screen.expect("Disconnected")
        assert screen.end() == 0
    assert world.secret() == {}
    assert not world.org.connected(refresh_token)
    assert world.stack.token() is None
    client = world.stack.client("secretsmanager")
    for output, variable in (
        ("CredentialsSecret", "CREDENTIALS"),
        ("SigningKeysSecret", "SIGNING"),
    ):
        line = script.line("aws secretsmanager delete-secret")
        assert f"${variable}" in line
        world.shell.must(line)
        assert "DeletedDate" in client.describe_secret(SecretId=world.output(output))
        client.restore_secret(SecretId=world.output(output))
    world.stack.connect()
    renew_token(world.stack)
    assert world.stack.token() is not None
    script.type("aws ssm delete-parameter", {"NAME": world.output("TokenParameter")})
    assert world.stack.token() is None
    world.shell.must("NEW=$(aws apigateway create-api-key --name n --query id --output text)")
    script.type("aws apigateway delete-api-key")
    script.end()


# ── What was refused ─────────────────────────────────────────────────────────────────────────────


def refused(world: World, *keys: str) -> None:
    """Records in Rejected, for a reason that is mended afterwards."""
    rule = world.org.add_validation_rule("Lead", lambda record: True, "Not today.")
    for key in keys:
        assert world.lead(key)["kept"] is True
    world.org.rules.validation.remove(rule)


def exported(world: World, line: str, *keys: str) -> None:
    name = line.split()[-1]
    assert program(world, line.replace(name, str(world.folder / name))).status == 0
    path = world.folder / name
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        records = [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()]
        assert {one["key"] for one in records} == set(keys)
        assert len(world.stack.rejected()) == len(keys), "they stay in the queue"
    finally:
        path.unlink()


@alone("bird-salesforce rejected list")
def rejected_list(world: World, line: str) -> None:
    refused(world, "one", "two")
    shown = program(world, line).out
    assert "one" in shown and "two" in shown
    assert "FIELD_CUSTOM_VALIDATION_EXCEPTION" in shown or "validation" in shown


@alone("bird-salesforce rejected show KEY")
def rejected_show(world: World, line: str) -> None:
    refused(world, "one", "two")
    shown = program(world, line.replace("KEY", "one")).out
    assert "Not today." in shown and "Okafor" in shown
    assert "two" not in shown


@alone("bird-salesforce rejected export rejected.jsonl")
def rejected_export(world: World, line: str) -> None:
    refused(world, "one", "two")
    exported(world, line, "one", "two")


@alone("bird-salesforce rejected replay --all")
def rejected_replay(world: World, line: str) -> None:
    refused(world, "one", "two")
    with delivering(world):
        result = program(world, line)
    assert result.status == 0, result.err
    assert "2 created." in result.err
    assert world.org.find("Lead", "one") and world.org.find("Lead", "two")
    assert world.stack.rejected() == []


@alone("bird-salesforce status")
def status(world: World, line: str) -> None:
    refused(world, "one")
    result = program(world, line)
    # An earlier test's record that was purged from the queue is in the log for a minute.
    assert result.status == 1 and "Rejecting since" in result.out


@alone("bird-salesforce outbox list")
def outbox_list(world: World, line: str) -> None:
    with world.stack.outage():
        key = world.lead("waits")["key"]
        shown = program(world, line)
    assert shown.status == 0 and key in shown.out
    world.stack.drain()


@alone("bird-salesforce rejected drop KEY")
def rejected_drop(world: World, line: str) -> None:
    refused(world, "one", "two")
    with at_a_terminal(world, line.replace("KEY", "one")) as screen:
        screen.expect(r"Delete 1 for good")
        screen.type("y")
        assert screen.end() == 0
    assert len(world.stack.rejected()) == 1


# ── Connecting, looking ──────────────────────────────────────────────────────────────────────────


@alone("aws sts get-caller-identity")
def who_is_signed_in(world: World, line: str) -> None:
    assert "123456789012" in world.shell.must(line)


@alone("make doctor", "bird-salesforce doctor")
def doctor(world: World, line: str) -> None:
    assert "Nothing is red" in world.shell.must(line)
    world.org.oauth.revoke_all()
    shown = world.shell.type(line)
    assert shown.status != 0
    assert "bird-salesforce connect" in shown.out, "it does not say what to do"


@contextlib.contextmanager
def delivering(world: World) -> Iterator[None]:
    """The outbox is delivered all the time, as in AWS."""
    ended = threading.Event()

    def deliver() -> None:
        while not ended.wait(0.2):
            world.stack.deliver_once()

    thread = threading.Thread(target=deliver)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@alone(
    "bird-salesforce doctor --after-deploy",
    "make doctor ARGS=--after-deploy",
    "make doctor ARGS='--after-deploy --record'",
)
def after_deploy(world: World, line: str) -> None:
    line = program_behind(world, line) if line.startswith("make") else line
    with delivering(world):
        result = program(world, line)
    assert result.status == 0, result.out + result.err
    made = [one["LastName"] for one in world.org.records("Lead")]
    assert all(one.startswith("Test doctor-") for one in made)
    assert len(made) == (2 if "--record" in line else 0)


def forget(world: World) -> None:
    """As after a deployment."""
    program(world, "bird-salesforce disconnect --yes")


@alone("make connect")
def connect_by_make(world: World, line: str) -> None:
    forget(world)
    assert sign_in(world, program_behind(world, line), **APP).status == 0
    assert world.is_connected()


@alone("bird-salesforce connect")
def connect(world: World, line: str) -> None:
    forget(world)
    with the_callback_is_free(), at_a_terminal(world, line) as screen:
        url = world.stack.org_url
        enter_the_app(screen, CLIENT_SECRET, login_url=url, client_id=CLIENT_ID)
        screen.expect("Create a test Lead and roll it back")
        screen.type("")
        assert screen.end() == 0, screen.seen
    assert "Connected to Salesforce" in screen.seen
    assert CLIENT_SECRET not in screen.seen
    assert world.is_connected()
    assert world.lead("the-first")["outcome"] == "created"
    assert "Connected already" in program(world, "bird-salesforce connect").err


@alone(
    "bird-salesforce connect --anew",
    "bird-salesforce connect --anew --login-url https://newcompany.my.salesforce.com",
)
def connect_anew(world: World, line: str) -> None:
    line = line.replace("https://newcompany.my.salesforce.com", world.stack.org_url)
    before = world.secret()
    assert sign_in(world, line).status == 0
    assert world.secret()["refresh_token"] != before["refresh_token"]


@alone(
    "bird-salesforce connect --stack-name bird-salesforce --region eu-west-1 --profile production"
)
def connect_by_name(world: World, line: str) -> None:
    forget(world)
    config = world.folder / "aws-config"
    config.write_text(
        "[profile production]\naws_access_key_id = local\naws_secret_access_key = local\n",
        encoding="utf-8",
    )
    line = line.replace("eu-west-1", world.environ["AWS_DEFAULT_REGION"])
    more = {**APP, "AWS_CONFIG_FILE": str(config)}
    assert sign_in(world, line, **more).status == 0
    assert world.is_connected()


@alone("bird-salesforce connect --no-browser")
def connect_without_a_browser(world: World, line: str) -> None:
    forget(world)
    for more in ([], ["--callback", "https://login.salesforce.com/", "--anew"]):
        with running(*words(line), *more, environ={**world.environ, **APP}) as under_way:
            ended_at = Person().sign_in_without_following(under_way.address())
            under_way.keyboard.type(ended_at)
            assert under_way.result().status == 0
        assert world.is_connected()
    page = next(
        one for one in (ROOT / REFERENCE).read_text(encoding="utf-8").split("### ") if "SSH" in one
    )
    assert "`--callback https://login.salesforce.com/`" in page


@follows(CONNECT, "The connection")
def the_tutorial_against_an_org_that_has_nothing(script: Script) -> None:
    page = (ROOT / CONNECT).read_text(encoding="utf-8")
    steps = re.findall(r"^(\d+)\. ", page, re.MULTILINE)
    assert steps == [str(number) for number in range(1, 11)], "ten steps, counted through"
    with Stack(
        org=Org.bare(), connected=False, poll=False, stack_name=STACK_NAME, parameters=PATIENT
    ) as stack:
        here = World(stack, script.world.folder)
        assert here.lead("before-the-connection")["outcome"] == "queued"
        with (
            the_callback_is_free(),
            at_a_terminal(here, script.line("bird-salesforce connect")) as screen,
        ):
            enter_the_app(screen, CLIENT_SECRET, login_url=stack.org_url, client_id=CLIENT_ID)
            assert "`http://localhost:8788/callback`" in page
            assert re.search(r"http://localhost:8788/callback\s", screen.seen)
            screen.expect("Connected to Salesforce")
            screen.expect("Set the org up now")
            screen.type("")
            allow(screen, administrator())
            screen.expect("Do this")
            screen.type("")
            screen.expect("The org is set up")
            screen.expect("1 waiting record is being delivered")
            screen.expect("Create a test Lead and roll it back")
            screen.type("")
            assert screen.end() == 0, screen.seen
        assert program(here, script.line("bird-salesforce doctor")).status == 0
        assert program(here, script.line("bird-salesforce flow whatsapp")).status == 0
        stack.drain()
        assert stack.org.find("Lead", "before-the-connection")
    script.end()


@follows(REFERENCE, "Which user and which grant")
def two_ways(script: Script) -> None:
    script.line("bird-salesforce connect")
    line = script.line("bird-salesforce connect --grant client-credentials")
    forget(script.world)
    result = program(script.world, line, **APP)
    assert result.status == 0, result.err
    assert script.world.secret()["grant"] == "client_credentials"
    script.end()


@follows(REFERENCE, "From a script")
def connect_from_a_script(script: Script) -> None:
    world = script.world
    forget(world)
    line = script.line(
        "bird-salesforce connect --grant",
        {
            "https://yourcompany.my.salesforce.com": world.stack.org_url,
            "app.json": str(world.folder / "app.json"),
        },
    )
    page = (ROOT / REFERENCE).read_text(encoding="utf-8")
    (shape,) = re.findall(r"`app\.json` is `(\{.+?\})`", page)
    app = json.loads(shape.replace("…", "?"))
    assert set(app) == {"client_id", "client_secret"}
    path = world.folder / "app.json"
    path.write_text(json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}))
    path.chmod(0o600)
    result = program(world, line.replace("\\\n", " "))
    assert result.status == 0, result.err
    assert world.lead("from-a-script")["outcome"] == "created"
    script.end()


@alone("bird-salesforce setup-org --plan", "bird-salesforce setup-org")
def setup_org(world: World, line: str) -> None:
    before = dict(world.org.journal.counts)
    result = sign_in(world, line, person=administrator())
    assert result.status == 0, result.err
    assert "Nothing to do" in result.err, "the sample org has everything"
    made = {
        what: count - before.get(what, 0)
        for what, count in world.org.journal.counts.items()
        if what.startswith(("POST /tooling", "POST /sobjects/Perm"))
    }
    assert not any(made.values())


@alone("bird-salesforce setup-org --field Lead.Region__c --field Case.Product__c")
def setup_org_with_fields(world: World, line: str) -> None:
    for object_name, name in (("Lead", "Region__c"), ("Case", "Product__c")):
        world.org.add_field(object_name, name, length=40, visible_to=[ADMIN_USER])
    unconfirmed = sign_in(world, line, person=administrator())
    assert unconfirmed.status == 1 and "--yes" in unconfirmed.err, "it must be confirmed"
    result = sign_in(world, line + " --yes", person=administrator())
    assert result.status == 0, result.err
    assert "Region__c" in result.err and "Product__c" in result.err
    sent = {"Region__c": "North", "bird": {"channel": "sms", "messageId": "r", "text": "Hi"}}
    assert world.stack.request("POST", "/leads", {**sent, "LastName": "Okafor"}).status == 201


@alone("bird-salesforce flow whatsapp", "bird-salesforce flow whatsapp --show-key")
def flow(world: World, line: str) -> None:
    shown = program(world, line)
    assert shown.status == 0
    assert f"{world.stack.url}/leads" in shown.out
    assert (world.stack.api_key in shown.out) is ("--show-key" in line)
    assert "--show-key" in line or world.output("ApiKeyCommand") in shown.err


@alone("bird-salesforce disconnect")
def disconnect(world: World, line: str) -> None:
    unconfirmed = program(world, line)
    assert unconfirmed.status == 1 and "--yes" in unconfirmed.err
    assert world.is_connected()


# ── On one's own machine ─────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def started(world: World, line: str, port: int) -> Iterator[str]:
    """`make start`, on other ports than its usual ones; what it says when it runs."""
    local = world.folder / "local" / "stack.json"
    environ = {"BIRD_SALESFORCE_LOCAL_FILE": str(local), "PYTHONUNBUFFERED": "1"}
    line = line.replace("ARGS=", f'ARGS="--port {port} ') + '"'
    with subprocess.Popen(
        ["bash", "-c", f"exec {line}"],
        cwd=world.folder,
        env=environment(world.folder, environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        watch = threading.Timer(60, lambda: os.killpg(running.pid, signal.SIGKILL))
        watch.start()
        try:
            shown = ""
            while shown.count("-d '{") < 2:
                one = running.stdout.readline()
                assert one, shown
                shown += one
            yield shown
            os.killpg(running.pid, signal.SIGINT)
            assert "Stopped." in running.stdout.read()
        finally:
            watch.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


@follows(REFERENCE, "On your own machine")
def on_your_own_machine(script: Script) -> None:
    world = script.world
    port = free_ports()
    with started(world, script.line("make start ARGS=--not-connected"), port) as shown:
        local = str(world.folder / "local" / "stack.json")
        result = sign_in(
            world, script.line("bird-salesforce connect --local"), BIRD_SALESFORCE_LOCAL_FILE=local
        )
        assert result.status == 0, result.err
        assert INTEGRATION_USER in result.err, "it tells the user name"
        first, second = (
            world.shell.must(curl).rpartition("\n") for curl in re.findall(r"curl -s .*", shown)
        )
        made, added = json.loads(first[0]), json.loads(second[0])
        assert (first[2], made["outcome"]) == ("201", "created")
        assert (second[2], added["outcome"], added["added"]) == ("200", "exists", True)
        assert added["id"] == made["id"]
        assert API_KEY in shown and f"http://127.0.0.1:{port}/v1" in shown
    script.end()


@alone("make invoke FN=create_lead EVENT=events/create_lead.json")
def invoke(world: World, line: str) -> None:
    write_files(world.stack, world.folder / "invoke")
    world.shell.set(BIRD_SALESFORCE_LOCAL_FILE=str(world.folder / "invoke" / "stack.json"))
    world.shell.must("export BIRD_SALESFORCE_LOCAL_FILE")
    before = len(world.org.records("Lead"))
    assert '"outcome": "created"' in world.shell.must(line)
    assert len(world.org.records("Lead")) == before + 1


# ── All of them ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.timeout(180)
@pytest.mark.parametrize("place", sorted(SCENARIOS), ids=lambda place: f"{place[0]}: {place[1]}")
def test_the_commands_of_a_section_do_what_it_says(world: World, place: tuple[str, str]) -> None:
    SCENARIOS[place](Script(world, *place))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("line", sorted(ALONE))
def test_a_command_does_what_the_pages_say(world: World, line: str) -> None:
    ALONE[line](world, line)


def test_the_stack_s_own_command_prints_the_api_key(world: World) -> None:
    assert world.shell.must(world.output("ApiKeyCommand")).strip() == world.stack.api_key


# ── Every command ────────────────────────────────────────────────────────────────────────────────

NOT_RUN = {
    r"aws logs filter-log-events --log-group-name /bird-salesforce/.*": (
        "moto knows no such pattern; tests/contract/test_docs.py checks the options"
    ),
    r"aws (lambda|service-quotas|cloudwatch|cloudformation) .*": (
        "only AWS knows; tests/contract/test_docs.py checks the options"
    ),
    r"bird-salesforce (flow|rejected replay --force)": "tests/cli",
    r"make .*": "tests/slow/docs/test_make.py expands each line",
    r"curl .*|API_KEY=.*": "tests/slow/docs/test_responses.py",
}
"""Commands that no test of this folder types, by pattern, with the reason."""


def is_run(one: Command) -> bool:
    return one.text in ALONE or one.place in SCENARIOS


@pytest.mark.parametrize("page", FOLLOWED)
def test_every_command_is_run_or_a_reason_says_why_not(page: str) -> None:
    forgotten = [
        one.text
        for one in commands(page)
        if not is_run(one) and not any(re.fullmatch(p, one.text, re.DOTALL) for p in NOT_RUN)
    ]
    assert forgotten == []


def test_every_reason_and_every_run_has_a_command() -> None:
    found = [one for page in FOLLOWED for one in commands(page)]
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, one.text, re.DOTALL) for one in found), pattern
    assert set(ALONE) <= {one.text for one in found}
    assert set(SCENARIOS) <= {one.place for one in found}
