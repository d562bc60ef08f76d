"""Nobody's message, name, number or token is in a log, a metric, an exception or an attribute.

Everything personal that goes in here carries a mark. The bundle is driven through every path and
every error, at every log level; then the marks are looked for wherever an operator, or somebody
with less of a reason to, could see them. A function that logs its event once is found out.
"""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sandbox.aws.event_source import Delivery
from sandbox.aws.functions import Outcome
from sandbox.org.sample import CLIENT_ID, CLIENT_SECRET
from sandbox.stack import Response, Stack
from tests.conftest import PATIENT
from tests.stacks import renew_token, write_signing_keys
from tests.unit.signing import standard
from tools.template import ROOT

MARK = "zqx"
"""In every personal text, in whatever case."""
NUMBER = "4915199988777"
"""The customer's number."""
SIGNING_KEY = base64.b64encode(b"zqx signing key of a test").decode()

FUNCTIONS = [
    *("create_lead", "create_case", "receive_message", "find_customer", "refresh_token"),
    *("deliver", "attach_files"),
]


def message(number: int, **more: Any) -> dict[str, Any]:
    """What a flow knows of a customer. A raw WhatsApp id holds the sender's number."""
    bird = {
        "channel": "whatsapp",
        "messageId": f"wamid.ZQX{number}{NUMBER}==",
        "conversationId": f"ZQX-conversation-{number}",
        "contactId": "ZQX-contact",
        "sender": f"+{NUMBER}",
        "displayName": "Zqxna Zqxme",
        "text": "zqxtext: my order of yesterday",
        "tags": ["zqxtag"],
    }
    return {"bird": {**bird, **more}, "Email": "zqxmail@example.com"}


class Drive:
    """One stack, driven through everything; collects what came out."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.responses: list[Response] = []
        self.outcomes: list[Outcome] = []
        self.tokens: set[str] = {stack.api_key, CLIENT_SECRET, SIGNING_KEY}
        self.number = 0

    def note_tokens(self) -> None:
        self.tokens.add(self.stack.credentials()["refresh_token"])
        if token := self.stack.token():
            self.tokens.add(token["access_token"])

    def post(self, path: str, body: Any, *, method: str = "POST", **headers: str) -> Response:
        raw = (body if isinstance(body, str) else json.dumps(body)).encode()
        message_id = f"msg_Z{time.time_ns()}"
        signed = standard(key=SIGNING_KEY, at=time.time(), body=raw, webhook_id=message_id)
        headers = {"content-type": "application/json", **signed, **headers}
        response = self.stack.request(method, path, raw, headers=headers)
        self.responses.append(response)
        return response

    def new(self, **more: Any) -> dict[str, Any]:
        self.number += 1
        return message(self.number, **more)

    def renew(self) -> None:
        self.outcomes.append(renew_token(self.stack))

    def deliver(self) -> None:
        self.stack.let_time_pass()
        self.keep(self.stack.deliver_once())

    def keep(self, delivery: Delivery) -> None:
        if delivery.outcome:
            self.outcomes.append(delivery.outcome)

    # Everything that can happen

    def everything(self) -> None:
        self.outcomes.append(self.stack.tick())
        self.note_tokens()
        for path in ("/leads", "/cases", "/messages"):
            self.requests_that_work(path)
            self.requests_that_cannot_be_read(path)
            self.records_that_salesforce_refuses(path)
            self.trouble_at_salesforce(path)
            self.trouble_at_aws(path)
        self.webhooks()
        self.updates()
        self.look_ups()
        self.note_tokens()
        self.deliveries()
        self.attachments()
        self.refreshes()
        self.note_tokens()

    def requests_that_work(self, path: str) -> None:
        body = self.new()
        self.post(path, body)
        self.post(path, body)  # exists
        self.post(path, self.new(), prefer="respond-async")
        self.post(path, self.new(channel="zqxchannel"))
        self.post(path, self.new(messageId="{{zqxmessageId}}"))
        self.post(path, self.new(), **{"idempotency-key": "Zqx key"})
        form = f"bird.sender=%2B{NUMBER}&bird.text=zqxtext&bird.channel=sms&LastName=Zqx"
        self.post(path, form, **{"content-type": "application/x-www-form-urlencoded"})
        for key in (f"wamid.ZQX1{NUMBER}==", "Zqx%20nobody"):
            self.responses.append(self.stack.request("GET", f"{path}?key={key}"))

    def requests_that_cannot_be_read(self, path: str) -> None:
        for body in ('{"text": "zqxtext', "zqx", '["zqx"]', '{"a": "zqx", "a": "zqx"}'):
            self.post(path, body)
        self.post(path, {**self.new(), "Id": "zqxid"})
        self.post(path, {**self.new(), "Description": "zqx🎈" * 80_000})
        self.post(path, {**self.new(), "zqx words where a field's name should be": "zqx"})
        self.post(path, {**self.new(), "LastName": {"zqx": ["zqx"]}})
        self.responses.append(self.stack.request("POST", path, self.new(), api_key="zqx-key"))

    def records_that_salesforce_refuses(self, path: str) -> None:
        org = self.stack.org
        self.post(path, {**self.new(), "Email": "zqx no e-mail", "SuppliedEmail": "zqx no e-mail"})
        self.post(path, {**self.new(), "OwnerId": "zqxowner", "ParentId": "zqxparent"})
        name = "Case" if path == "/cases" else "Lead"
        org.add_validation_rule(name, lambda record: True, f"zqx is not wanted, nor {NUMBER}")
        self.post(path, self.new())
        self.post(f"{path}?errors=inline", self.new())
        org.reset()
        if name == "Lead":
            org.set_duplicate_rule("Lead", action="block")
            self.post(path, self.new())
            self.post(path, self.new())
            org.reset()

    def trouble_at_salesforce(self, path: str) -> None:
        org = self.stack.org
        self.post(path, self.new())
        for trouble in (
            {"status": 503, "body": f"<html>zqx {NUMBER}</html>"},
            {"status": 500, "body": f"zqx {NUMBER}"},
            {"status": 400, "body": [{"errorCode": "ODD_CODE", "message": f"zqx {NUMBER}"}]},
            {"status": 302, "body": "", "headers": {"Location": "https://zqx.example/"}},
            {"error": "UNABLE_TO_LOCK_ROW", "message": "zqx has it"},
            {"error": "REQUEST_LIMIT_EXCEEDED", "message": "zqx took all"},
            {"reset": "after"},
            {"mangle": "garbage"},
        ):
            org.trouble.add(area="rest", times=2, **trouble)
            self.post(path, self.new())
            org.trouble.clear()
        with self.stack.outage():
            self.post(path, self.new())
        org.oauth.expire_sessions()
        self.post(path, self.new())
        self.note_tokens()

    def trouble_at_aws(self, path: str) -> None:
        self.stack.aws.fail("sqs", times=100, code="Odd", status=400)
        self.post(path, {**self.new(), "OwnerId": "zqxowner"})
        with self.stack.outage():
            self.post(path, self.new())
        self.stack.aws.heal()

    def webhooks(self) -> None:
        payload = {"type": "message.created", "message": {"from": f"+{NUMBER}", "text": "zqx"}}
        self.post("/webhooks/bird", payload)
        self.responses.append(self.stack.request("POST", "/webhooks/bird", payload, api_key=None))
        self.responses.append(self.stack.request("GET", f"/webhooks/bird?text=zqx&from={NUMBER}"))

    def updates(self) -> None:
        body = self.new()
        self.post("/leads", body)
        key = body["bird"]["messageId"].replace("=", "%3D")
        for changes in (
            {"Email": "zqxnew@example.com"},
            {"Email": "zqx no e-mail"},
            {"OwnerId": "zqxowner"},
            {"bird": {"tags": ["zqxtag"], "text": "zqxtext", "zqxkey": "zqx"}},
            {"Zqx__c": "zqx"},
            "zqx",
        ):
            for prefer in ("", "respond-async"):
                self.post(f"/leads/{key}", changes, method="PATCH", prefer=prefer)
        self.post("/leads/zqx%20nobody", {"Email": "zqx@example.com"}, method="PATCH")

    def look_ups(self) -> None:
        org = self.stack.org
        for _ in range(2):
            org.create("Contact", {"LastName": "Zqxname", "Phone": f"+{NUMBER}"})
            self.look_up({"bird": {"sender": f"+{NUMBER}", "displayName": "Zqxna"}})
        self.look_up({"bird": "zqx"})
        fault = [{"errorCode": "MALFORMED_SEARCH", "message": f"zqx {NUMBER}"}]
        org.trouble.add(path="search", status=400, body=fault)
        self.look_up({"bird": {"sender": f"+{NUMBER}"}})
        org.reset()

    def look_up(self, body: Any) -> None:
        key = self.stack.lookup_key
        for path in ("/customers/find", "/leads"):
            self.responses.append(self.stack.request("POST", path, body, api_key=key))

    def deliveries(self) -> None:
        sqs, outbox = self.stack.client("sqs"), self.stack.outbox_url
        fields = {"LastName": "Zqx", "Company": "c", "Description": "zqxtext", "Phone": NUMBER}
        for number, change in enumerate(({}, {"Email": "zqx"}, {"Zqx__c": 1}, {"OwnerId": "zqx"})):
            channel = f"zqx {NUMBER}" if number % 2 else "sms"
            envelope = {"v": 2, "object": "Lead", "channel": channel, "key": f"k{number}"}
            body = json.dumps({**envelope, "fields": {**fields, **change}})
            sqs.send_message(QueueUrl=outbox, MessageBody=body)
        for body in ("zqx", '{"zqx": 1}', '{"object": "Lead", "key": 1, "fields": "zqx"}'):
            sqs.send_message(QueueUrl=outbox, MessageBody=body)
        with self.stack.outage():
            self.deliver()
        self.stack.aws.fail("sqs", "SendMessageBatch", times=3, code="Odd", status=400)
        self.deliver()
        self.stack.aws.heal()
        for _ in range(4):
            self.deliver()
        # A fault of ours or of Lambda's: what is raised is printed.
        broken = {"Records": [{"body": "zqxtext"}, {"body": json.dumps(fields)}, 7]}
        self.outcomes.append(self.stack.invoke("deliver", broken))

    def attachments(self) -> None:
        """Files that arrive, and every way in which one does not."""
        stack, media = self.stack, self.stack.media
        self.tokens.add(media.access_key)
        media.silence_seconds = 1
        named = {"filename": f"Zqx passport of {NUMBER}.jpg", "type": "image/zqx"}
        troubles = ("", "401", "403", "404", "500", "private", "plain http", "redirects", "nowhere")
        for trouble in (*troubles, "break off", "claim more", "close"):
            link = media.put(b"zqx", trouble=(trouble,) * 9 if trouble else ())
            self.post("/leads", self.new(media=[{"url": f"{link}?zqx={NUMBER}", **named}]))
        for link in (f"https://zqx.example/{NUMBER}", "https://zqx:zqx@h/", "zqx no link"):
            self.post("/leads", self.new(media=[link]))
        stack.client("sqs").send_message(QueueUrl=stack.files_url, MessageBody='{"zqx": 1}')
        self.attach()
        stack.org.trouble.add(
            path="ContentVersion", status=400, body=[{"errorCode": "ODD", "message": "zqx has it"}]
        )
        self.post("/leads", self.new(media=[{"url": media.put(b"zqx"), **named}]))
        self.attach()
        stack.org.trouble.clear()
        self.outcomes.append(stack.invoke("attach_files", {"Records": [{"body": "zqxtext"}]}))

    def attach(self) -> None:
        """One try for each that waits."""
        self.stack.aws.queues.let_time_pass(self.stack.files_url)
        for _ in range(self.stack.files_waiting()):
            self.keep(self.stack.files_poller.deliver_once())

    def refreshes(self) -> None:
        stack, org = self.stack, self.stack.org
        org.oauth.apps[CLIENT_ID].rotation = True
        self.renew()
        self.note_tokens()
        stack.aws.fail("secretsmanager", "PutSecretValue", status=400, code="Limit")
        self.renew()
        stack.aws.heal()
        self.renew()
        self.note_tokens()
        for trouble in (
            {"status": 500, "body": f"<html>zqx {NUMBER}</html>"},
            {"status": 400, "body": "zqx"},
            {"status": 400, "body": {"error": "zqx error", "error_description": f"zqx {NUMBER}"}},
            {"status": 400, "body": {"error": "invalid_grant", "error_description": "zqx"}},
            {"status": 403, "body": [{"errorCode": "ZQX", "message": f"zqx {NUMBER}"}]},
            {"mangle": "garbage"},
        ):
            org.trouble.add(area="oauth", times=9, **trouble)
            self.renew()
            org.trouble.clear()
        for service, operation in (("ssm", "PutParameter"), ("dynamodb", "PutItem")):
            stack.aws.fail(service, operation, status=400, code="Odd")
            self.renew()
            stack.aws.heal()
        stack.connect()  # the garbage above has cost a rotated refresh token
        self.renew()
        org.oauth.revoke(stack.credentials()["refresh_token"])
        self.renew()
        stack.connect(client_secret="zqx wrong secret")
        self.renew()
        secrets = stack.client("secretsmanager")
        for value in ("zqx no JSON", '{"refresh_token": "zqx"}', '["zqx"]'):
            secrets.put_secret_value(SecretId=stack.secret_id, SecretString=value)
            self.renew()
        stack.connect(login_url="http://plain.example")
        self.renew()
        stack.connect()
        self.renew()

    # Looking for the marks

    def marks_in(self, text: str) -> set[str]:
        found = {token for token in self.tokens if token in text}
        lower = text.lower()
        return found | {mark for mark in (MARK, NUMBER) if mark in lower}

    def leaks(self) -> dict[str, list[str]]:
        """Where marks are that must not be there, by place, and what stands around them."""
        places = {f"log of {name}": self.stack.logs(name) for name in FUNCTIONS}
        for number, outcome in enumerate(self.outcomes):
            if outcome.failed:
                places[f"exception {number}"] = outcome.payload.decode()
        for name in (self.stack.outbox_url, self.stack.rejected_url, self.stack.files_url):
            queue = self.stack.aws.queues.queue(name)
            attributes = [one.attributes for one in queue.messages.values()]
            places[f"attributes in {queue.name}"] = json.dumps([queue.attributes, attributes])
        found = {place: self.around_marks(text) for place, text in places.items()}
        return {place: lines for place, lines in found.items() if lines}

    def around_marks(self, text: str) -> list[str]:
        lower = text.lower()
        places = sorted(lower.find(mark.lower()) for mark in self.marks_in(text))
        return [text[max(at - 200, 0) : at + 80] for at in places]


LEVELS = {"DEBUG": "none", "INFO": "standard-webhooks", "ERROR": "none"}
"""Log levels, and whether requests have to be signed there."""


ON = ("AttachMedia", "CustomerLookup", "MatchContacts", "MatchEmail")


@pytest.fixture(scope="module")
def drives() -> Iterator[dict[str, Drive]]:
    """A stack at each log level that has been through everything, all at once: much is waiting."""
    made = {}
    with ExitStack() as stacks, ThreadPoolExecutor(len(LEVELS)) as pool:
        for level, scheme in LEVELS.items():
            parameters = {"LogLevel": level, "SignatureScheme": scheme, "AllowedFields": "OwnerId"}
            parameters |= {**PATIENT, **dict.fromkeys(ON, "on")}
            stack = Stack(poll=False, processes=1, parameters=parameters)
            made[level] = Drive(stacks.enter_context(stack))
            write_signing_keys(stack, SIGNING_KEY)
        list(pool.map(Drive.everything, made.values()))
        yield made


@pytest.fixture(params=LEVELS)
def driven(request: pytest.FixtureRequest, drives: dict[str, Drive]) -> Drive:
    return drives[request.param]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_personal_is_left_where_operators_look(driven: Drive) -> None:
    assert driven.leaks() == {}
    scheduled = driven.outcomes[0].payload.decode()
    assert not driven.tokens & driven.marks_in(scheduled), "only who asks for a token gets it"


@pytest.mark.timeout(240)
def test_the_drive_went_everywhere(driven: Drive) -> None:
    """Or the test above would look for marks in empty logs."""
    statuses = {response.status for response in driven.responses}
    assert statuses >= {200, 201, 202, 400, 401, 403, 404, 409, 422, 503}
    assert any(outcome.failed for outcome in driven.outcomes)
    metrics = "".join(driven.stack.logs(name) for name in FUNCTIONS)
    for metric in ("RecordsCreated", "RecordsQueued", "RecordsRejected", "RecordsDuplicate"):
        assert f'"{metric}"' in metrics
    assert '"TokenRefreshFailedPermanently"' in metrics
    assert '"FilesAttached"' in metrics and '"FilesRejected"' in metrics
    assert driven.stack.waiting() + len(driven.stack.rejected()) > 0
    bodies = json.dumps(driven.stack.rejected())
    assert MARK in bodies.lower(), "what is kept for a person to mend is whole"


@pytest.mark.timeout(240)
def test_an_answer_repeats_nothing_of_the_customer_but_what_salesforce_said(driven: Drive) -> None:
    for response in driven.responses:
        body = response.json()
        headers = json.dumps(dict(response.headers))
        assert not driven.marks_in(headers)
        assert not driven.tokens & driven.marks_in(response.body.decode())
        if response.status in (200, 201, 202, 503) and body["outcome"] != "rejected":
            assert not driven.marks_in(response.body.decode()), body
        if body["outcome"] == "rejected":
            body.pop("detail", None)
            assert not driven.marks_in(json.dumps(body)), body


LEAKS = {
    "print": "    print(event)\n",
    "logger": "    wiring.telemetry()._logger.info(event)\n",
    "debug": "    wiring.telemetry()._logger.debug('event', extra={'event': event})\n",
    "raise": "    raise ValueError(str(event))\n",
}


RESULT = "    return wiring.token_refresher().run(event, seconds=seconds)\n"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("line", LEAKS.values(), ids=LEAKS)
def test_one_line_that_tells_of_an_event_or_of_a_token_is_found(tmp_path: Path, line: str) -> None:
    """The mutation that this file is for: a handler that logs, prints or raises its event, and a
    RefreshToken that prints its result."""
    changes = dict.fromkeys(("create_lead", "deliver"), ("    return ", line + "    return "))
    printed = RESULT.replace("return", "result =") + "    print(result)\n    return result\n"
    folders = {}
    for name, (code, becomes) in {**changes, "refresh_token": (RESULT, printed)}.items():
        folders[name] = shutil.copytree(ROOT / "functions" / name, tmp_path / name)
        source = (folders[name] / "app.py").read_text(encoding="utf-8")
        assert code in source
        (folders[name] / "app.py").write_text(source.replace(code, becomes, 1))
    parameters = {**PATIENT, "LogLevel": "DEBUG", "AttachMedia": "on"}
    with Stack(poll=False, processes=1, folders=folders, parameters=parameters) as stack:
        drive = Drive(stack)
        drive.post("/leads", drive.new())
        drive.post("/cases", drive.new(), prefer="respond-async")
        drive.deliver()
        drive.renew()
        drive.note_tokens()

        found = {"log of create_lead", "log of deliver", "log of refresh_token"}
        assert found <= set(drive.leaks())
