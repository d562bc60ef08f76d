"""The commands of the followed pages, typed as they stand there, with the result they promise."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sandbox.__main__ import API_KEY, write_files
from sandbox.aws.endpoint import REGION
from sandbox.org import Org
from sandbox.org.sample import CLIENT_ID, CLIENT_SECRET, INTEGRATION_USER
from sandbox.stack import Stack
from tests.cli.person import Person, administrator
from tests.conftest import PATIENT
from tests.ports import free_ports
from tests.slow.docs.conftest import STACK_NAME, World, all_the_time
from tests.slow.docs.pages import FOLLOWED, Command, commands, text_of
from tests.slow.docs.reader import (
    ALONE,
    SCENARIOS,
    Script,
    allow,
    alone,
    at_a_terminal,
    follows,
    paste_the_beginning,
    program,
    program_behind,
    reply,
    sign_in,
    the_callback_is_free,
)
from tests.slow.docs.shell import environment
from tests.stacks import public_address, renew_token, write_signing_keys
from tests.unit import bodies
from tests.unit.signing import bird

APP = {"BIRD_SALESFORCE_CLIENT_ID": CLIENT_ID, "BIRD_SALESFORCE_CLIENT_SECRET": CLIENT_SECRET}
OPERATIONS = "docs/operations.md"
CONNECT = "docs/connect.md"
REFERENCE = "docs/connect-reference.md"

# ── The operator's page ──────────────────────────────────────────────────────────────────────────


@follows(OPERATIONS, "Before you start")
def before_you_type(script: Script) -> None:
    assert "123456789012" in script.type("aws sts get-caller-identity")
    assert 'PATH="$PWD/.venv/bin:' in script.line("export")
    # These programs are there once the project is set up.
    assert 'bird-salesforce = "' in text_of("pyproject.toml")
    assert re.search(r"^awscli==", text_of("requirements-dev.txt"), re.MULTILINE)
    script.type("output()")
    assert script.type("output LeadsUrl").strip() == f"{script.world.stack.url}/leads"


@follows(OPERATIONS, "Monitoring")
def watch(script: Script) -> None:
    world = script.world
    paste_the_beginning(world)
    script.type("aws sns subscribe", {"ADDRESS": "ops@example.com"})
    topic = world.output("AlarmTopic")
    (one,) = world.stack.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (one["Protocol"], one["Endpoint"]) == ("email", "ops@example.com")


@follows(OPERATIONS, "schedule-stopped")
def the_rule_of_the_schedule(script: Script) -> None:
    world = script.world
    rule = world.stack.schedule.rule
    line = script.line("aws events list-rules")

    def shown() -> Any:
        (one,) = json.loads(world.shell.must(line))["Rules"]
        return one["Name"], one["State"]

    assert shown() == (rule, "ENABLED")
    world.stack.client("events").disable_rule(Name=rule)
    try:
        assert shown() == (rule, "DISABLED")
        doctor = program(world, "bird-salesforce doctor")
        assert doctor.status == 1
        # What doctor says next is a command too, and the page's own one.
        page = script.line("aws events enable-rule", {"RULE": rule})
        assert f"{page} --region {REGION}" in re.sub(r" \\\n +", " ", doctor.out)
        world.shell.must(page)
        assert world.stack.schedule.is_on()
    finally:
        world.stack.client("events").enable_rule(Name=rule)


@follows(OPERATIONS, "refresh-failed")
def why_a_refresh_failed(script: Script) -> None:
    world = script.world
    world.org.oauth.revoke_all()
    world.org.oauth.expire_sessions()
    assert world.lead("while-it-is-revoked")["outcome"] == "queued"
    shown = json.loads(script.type("aws logs filter-log-events"))["events"]
    assert shown and all("token_refresh_failed" in one["message"] for one in shown)
    assert all(json.loads(one["message"])["code"] for one in shown)


@follows(OPERATIONS, "records-lost", "server-errors")
def why_the_api_failed(script: Script) -> None:
    world = script.world
    world.stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")
    with world.stack.outage():
        assert world.lead("nowhere")["code"] == "NOT_KEPT"
    assert "not_kept" in script.type("aws logs filter-log-events")


@contextlib.contextmanager
def signing(script: Script) -> Iterator[Script]:
    """Somebody else's stack, in which requests have to be signed."""
    parameters = {**PATIENT, "SignatureScheme": "bird"}
    options: dict[str, Any] = {"stack_name": STACK_NAME, "connected": False, "processes": 1}
    with Stack(poll=False, parameters=parameters, **options) as stack:
        script.world = World(stack, script.world.folder)
        yield script


@follows(OPERATIONS, "unsigned")
def why_a_signature_is_refused(script: Script) -> None:
    with signing(script) as script:
        write_signing_keys(script.world.stack, "the-key-of-bird")
        assert not is_let_in(script.world.stack, "another-key")
        (shown,) = json.loads(script.type("aws logs filter-log-events"))["events"]
    assert json.loads(shown["message"])["code"] == "signature"


@follows(OPERATIONS, "deliver-failing")
def why_deliver_fails(script: Script) -> None:
    with script.world.stack.functions["deliver"].log.open("a") as log:
        log.write("[ERROR] RuntimeError: no\n")  # as Lambda writes what a handler raises
    assert "[ERROR] RuntimeError: no" in script.type("aws logs filter-log-events")


@follows(OPERATIONS, "The API key")
def change_the_api_key(script: Script) -> None:
    world = script.world
    old = key = world.stack.api_key
    statuses: list[int] = []

    def call_as_a_flow() -> None:
        bird = {"channel": "whatsapp", "messageId": f"r-{len(statuses)}", "displayName": "Ada"}
        response = world.stack.request("POST", "/leads", {"bird": bird}, api_key=key)
        statuses.append(response.status)

    paste_the_beginning(world)
    with all_the_time(call_as_a_flow):
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
        key = new
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
        key = old
        time.sleep(0.2)
        world.shell.must('OLD="$NEW"')  # the stack's own stays
        script.type("aws apigateway delete-api-key")
        assert (world.key_works(old), world.key_works(new)) == (True, False)
    assert len(statuses) > 5
    assert set(statuses) == {201}, "a call failed while the keys were changed"


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
    with signing(script) as script:
        stack = script.world.stack

        def good(*, five_minutes_later: bool) -> tuple[bool, bool]:
            if five_minutes_later:
                stack.functions["receive_message"].recycle()
            return is_let_in(stack, old), is_let_in(stack, new)

        write_signing_keys(stack, old)
        assert good(five_minutes_later=True) == (True, False)
        paste_the_beginning(script.world)
        script.type("(umask 077; echo", {"NEW": new, "OLD": old})
        mode = (script.world.folder / "keys.json").stat().st_mode
        assert stat.S_IMODE(mode) == 0o600, "others can read the keys"
        script.type("aws secretsmanager put-secret-value")
        assert good(five_minutes_later=False) == (True, False), "they are remembered"
        assert good(five_minutes_later=True) == (True, True)
        script.type("echo", {"NEW": new})
        script.type("aws secretsmanager put-secret-value")
        script.type("rm keys.json")
        assert good(five_minutes_later=True) == (False, True)


@follows(OPERATIONS, "The consumer secret")
def change_the_consumer_secret(script: Script) -> None:
    world = script.world
    app = world.org.oauth.apps[CLIENT_ID]
    app.client_secret = "the-new-secret-of-the-app"
    world.org.oauth.revoke_all()
    world.org.oauth.expire_sessions()
    try:
        assert world.lead("while-it-is-applied")["outcome"] == "queued"
        line = script.line("make connect ARGS=--anew")
        with the_callback_is_free(), at_a_terminal(world, line) as screen:
            reply(screen, ("Login URL", ""), ("Consumer key of the app", ""))
            reply(screen, ("Consumer secret", app.client_secret))
            allow(screen)
            reply(screen, ("Create a test Lead and roll it back", "y"))
            assert screen.end() == 0, screen.seen
        assert app.client_secret not in screen.seen, "what is typed hidden is shown"
        assert world.secret()["client_secret"] == app.client_secret
        for name in ("create_lead", "deliver"):  # a minute later they no longer remember it
            world.stack.functions[name].recycle()
        assert program(world, "bird-salesforce doctor").status == 0
        world.stack.drain()
        assert world.org.find("Lead", "while-it-is-applied")
    finally:
        app.client_secret = CLIENT_SECRET


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
    assert world.is_connected()
    assert world.lead("with-the-new-one")["outcome"] == "created"


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


@follows(OPERATIONS, "Another org")
def move_to_another_org(script: Script) -> None:
    world = script.world
    line = script.line("make connect ARGS=", {"https://newcompany.my.salesforce.com": "LOGIN"})
    line = program_behind(world, line).replace("LOGIN", world.stack.org_url)
    world.stack.connect(login_url="https://old.my.salesforce.com")
    assert sign_in(world, line).status == 0
    assert world.secret()["login_url"] == world.stack.org_url
    assert program(world, "bird-salesforce doctor").status == 0
    assert world.lead("one-record")["outcome"] == "created"


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
        reply(screen, (r"Disconnect .+\?", "y"))
        screen.expect("Disconnected")
        assert screen.end() == 0
    assert world.secret() == {}
    assert not world.org.connected(refresh_token)
    assert world.stack.token() is None
    client = world.stack.client("secretsmanager")
    for output, variable in {
        "CredentialsSecret": "CREDENTIALS",
        "SigningKeysSecret": "SIGNING",
    }.items():
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


# ── What was refused ─────────────────────────────────────────────────────────────────────────────


def refused(world: World, *keys: str) -> None:
    """Records in Rejected, for a reason that is mended afterwards."""
    rule = world.org.add_validation_rule("Lead", lambda record: True, "Not today.")
    for key in keys:
        assert world.lead(key)["kept"] is True
    world.org.rules.validation.remove(rule)


def exported(world: World, line: str, *keys: str) -> None:
    name = line.split()[-1]
    path = world.folder / name
    assert program(world, line.replace(name, str(path))).status == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    records = [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()]
    assert {one["key"] for one in records} == set(keys)
    assert len(world.stack.rejected()) == len(keys), "they stay in the queue"


@alone("bird-salesforce outbox list")
def outbox_list(world: World, line: str) -> None:
    with world.stack.outage():
        key = world.lead("waits")["key"]
        shown = program(world, line)
    assert shown.status == 0 and key in shown.out


BY_NOBODY, BY_THE_USER, BY_AN_ADMINISTRATOR = range(3)
SAYS: Mapping[str, tuple[int, int, str]] = {
    # who signs in, the exit status, and what is printed where two records are in Rejected
    "bird-salesforce rejected list": (BY_NOBODY, 0, "FIELD_CUSTOM_VALIDATION_EXCEPTION.*one"),
    "bird-salesforce rejected show KEY": (BY_NOBODY, 0, "Not today.*Okafor|Okafor.*Not today"),
    "bird-salesforce rejected replay --all": (BY_NOBODY, 0, "2 created"),
    # Tests before may have left something in the log for a minute.
    "bird-salesforce status": (BY_NOBODY, 1, "Rejecting since"),
    "bird-salesforce flow whatsapp": (BY_NOBODY, 0, "URL/leads.*COMMAND|COMMAND.*URL/leads"),
    "bird-salesforce flow whatsapp --show-key": (BY_NOBODY, 0, "URL/leads.*KEY|KEY.*URL/leads"),
    "bird-salesforce rejected drop KEY": (BY_NOBODY, 1, "--yes"),
    "bird-salesforce disconnect": (BY_NOBODY, 1, "--yes"),
    "bird-salesforce doctor": (BY_NOBODY, 0, "Nothing is red"),
    "make doctor": (BY_NOBODY, 0, "Nothing is red"),
    "bird-salesforce doctor --after-deploy": (BY_NOBODY, 0, "Nothing is red"),
    "make doctor ARGS=--after-deploy": (BY_NOBODY, 0, "Nothing is red"),
    "make doctor ARGS='--after-deploy --record'": (BY_NOBODY, 0, "Nothing is red"),
    "make connect": (BY_NOBODY, 0, "Connected already"),
    "bird-salesforce connect --anew": (BY_THE_USER, 0, "Connected to Salesforce"),
    "bird-salesforce connect --anew --login-url https://newcompany.my.salesforce.com": (
        *(BY_THE_USER, 0, "Connected to Salesforce"),
    ),
    "bird-salesforce setup-org --plan": (BY_AN_ADMINISTRATOR, 0, "Nothing to do"),
    "bird-salesforce setup-org": (BY_AN_ADMINISTRATOR, 0, "Nothing to do"),
}


@alone(*SAYS)
def says(world: World, line: str) -> None:
    by, status, there = SAYS[line]
    line = program_behind(world, line) if line.startswith("make") else line
    line = line.replace("https://newcompany.my.salesforce.com", world.stack.org_url)
    refused(world, "one", "two")
    with all_the_time(world.stack.deliver_once):
        if by == BY_NOBODY:
            result = program(world, line.replace("KEY", "one"))
        else:
            person = administrator() if by == BY_AN_ADMINISTRATOR else Person()
            result = sign_in(world, line, person=person)
    text = result.out + result.err
    named = {world.output("ApiKeyCommand"): "COMMAND", world.stack.api_key: "KEY"}
    for word, name in {**named, world.stack.url: "URL"}.items():
        text = text.replace(word, name)
    assert result.status == status, text
    assert re.search(there, text, re.DOTALL), text
    assert "KEY" not in text or "--show-key" in line
    assert world.is_connected()


# ── Connecting, looking ──────────────────────────────────────────────────────────────────────────


@alone("aws sts get-caller-identity")
def who_is_signed_in(world: World, line: str) -> None:
    assert "123456789012" in world.shell.must(line)


@alone(
    "bird-salesforce connect --stack-name bird-salesforce --region eu-west-1 --profile production"
)
def connect_by_name(world: World, line: str) -> None:
    config = world.folder / "aws-config"
    keys = "aws_access_key_id = local\naws_secret_access_key = local\n"
    config.write_text(f"[profile production]\n{keys}", encoding="utf-8")
    line = line.replace("eu-west-1", world.environ["AWS_DEFAULT_REGION"])
    program(world, "bird-salesforce disconnect --yes")
    result = sign_in(world, line, **APP, AWS_CONFIG_FILE=str(config))
    assert result.status == 0, result.err
    assert world.is_connected()


@follows(CONNECT, "The connection")
def the_tutorial_against_an_org_that_has_nothing(script: Script) -> None:
    page = text_of(CONNECT)
    steps = re.findall(r"^(\d+)\. ", page, re.MULTILINE)
    assert steps == [str(number) for number in range(1, 11)], "ten steps, counted through"
    options: dict[str, Any] = {"stack_name": STACK_NAME, "parameters": PATIENT}
    with Stack(org=Org.bare(), connected=False, poll=False, **options) as stack:
        here = World(stack, script.world.folder)
        assert here.lead("before-the-connection")["outcome"] == "queued"
        line = script.line("bird-salesforce connect")
        with the_callback_is_free(), at_a_terminal(here, line) as screen:
            reply(screen, ("Login URL", stack.org_url), ("Consumer key of the app", CLIENT_ID))
            reply(screen, ("Consumer secret", CLIENT_SECRET))
            allow(screen)
            assert "`http://localhost:8788/callback`" in page
            assert re.search(r"http://localhost:8788/callback\s", screen.seen)
            screen.expect("Connected to Salesforce")
            reply(screen, ("Set the org up now", ""))
            allow(screen, administrator())
            reply(screen, ("Do this", ""))
            screen.expect("The org is set up")
            screen.expect("1 waiting record is being delivered")
            reply(screen, ("Create a test Lead and roll it back", ""))
            assert screen.end() == 0, screen.seen
        assert CLIENT_SECRET not in screen.seen, "what is typed hidden is shown"
        assert "Connected already" in program(here, "bird-salesforce connect").err
        assert program(here, script.line("bird-salesforce doctor")).status == 0
        assert program(here, script.line("bird-salesforce flow whatsapp")).status == 0
        stack.drain()
        assert stack.org.find("Lead", "before-the-connection")


@follows(REFERENCE, "Which user and which grant")
def two_ways(script: Script) -> None:
    script.line("bird-salesforce connect")
    line = script.line("bird-salesforce connect --grant client-credentials")
    program(script.world, "bird-salesforce disconnect --yes")
    assert program(script.world, line, **APP).status == 0
    assert script.world.secret()["grant"] == "client_credentials"


@follows(REFERENCE, "From a script")
def connect_from_a_script(script: Script) -> None:
    world = script.world
    program(world, "bird-salesforce disconnect --yes")
    path = world.folder / "app.json"
    replaced = {"https://yourcompany.my.salesforce.com": world.stack.org_url, "app.json": str(path)}
    line = script.line("bird-salesforce connect --grant", replaced)
    (shape,) = re.findall(r"`app\.json` is `(\{.+?\})`", text_of(REFERENCE))
    app = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    assert json.loads(shape.replace("…", "?")).keys() == app.keys()
    path.write_text(json.dumps(app))
    path.chmod(0o600)
    result = program(world, line.replace("\\\n", " "))
    assert result.status == 0, result.err
    assert world.lead("from-a-script")["outcome"] == "created"


# ── On one's own machine ─────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def started(world: World, line: str, port: int) -> Iterator[str]:
    """`make start`, on other ports than its usual ones; what it says when it runs."""
    local = world.folder / "local" / "stack.json"
    environ = {"BIRD_SALESFORCE_LOCAL_FILE": str(local), "PYTHONUNBUFFERED": "1"}
    line = line.replace("ARGS=", f'ARGS="--port {port} ') + '"'
    with subprocess.Popen(
        ["bash", "-c", f"exec timeout 60 {line}"],
        cwd=world.folder,
        env=environment(world.folder, environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
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
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


@follows(REFERENCE, "On your own machine")
def on_your_own_machine(script: Script) -> None:
    world = script.world
    port = free_ports()
    with started(world, script.line("make start ARGS=--not-connected"), port) as shown:
        local = str(world.folder / "local" / "stack.json")
        line = script.line("bird-salesforce connect --local")
        result = sign_in(world, line, BIRD_SALESFORCE_LOCAL_FILE=local)
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


@alone("make invoke FN=create_lead EVENT=events/create_lead.json")
def invoke(world: World, line: str) -> None:
    write_files(world.stack, world.folder / "invoke")
    file = world.folder / "invoke" / "stack.json"
    assert '"outcome": "created"' in world.shell.must(f"BIRD_SALESFORCE_LOCAL_FILE={file} {line}")
    assert len(world.org.records("Lead")) == 1


# ── All of them ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.timeout(180)
@pytest.mark.parametrize("place", sorted(SCENARIOS), ids=lambda place: f"{place[0]}: {place[1]}")
def test_the_commands_of_a_section_do_what_it_says(world: World, place: tuple[str, str]) -> None:
    script = Script(world, *place)
    SCENARIOS[place](script)
    script.end()


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
    r"bird-salesforce rejected export .*": "before the stack is taken down, above",
    r"bird-salesforce connect": "the tutorial above",
    r"bird-salesforce connect --no-browser": "tests/cli/test_connect.py pastes addresses",
    r"bird-salesforce setup-org --field .*": "tests/cli/test_setup_org.py",
    r"make .*": "tests/slow/docs/test_make.py expands each line",
    r"curl .*|API_KEY=.*": "tests/slow/docs/test_responses.py",
}
"""Commands that no test of this folder types, by pattern, with the reason."""
EVERY = [one for page in FOLLOWED for one in commands(page)]


def is_run(one: Command) -> bool:
    return one.text in ALONE or one.place in SCENARIOS


def test_every_command_is_run_or_a_reason_says_why_not() -> None:
    for one in EVERY:
        reasons = [why for p, why in NOT_RUN.items() if re.fullmatch(p, one.text, re.DOTALL)]
        assert is_run(one) or reasons, one


def test_every_reason_and_every_run_has_a_command() -> None:
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, one.text, re.DOTALL) for one in EVERY), pattern
    assert set(ALONE) <= {one.text for one in EVERY}
    assert set(SCENARIOS) <= {one.place for one in EVERY}
