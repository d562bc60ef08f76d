"""Each function's handler, with Salesforce and AWS in memory, and the checks after every input.

Hypothesis makes the input, by chance or guided by atheris (`targets.py`); this module builds the
handler, calls it and checks the result. Waiting takes no time: `Clock` counts it instead, so that
"never beyond the budget" is checked exactly.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.exceptions import ClientError, EndpointConnectionError

from bridge.api.record_api import RecordApi
from bridge.api.signatures import SignatureGate
from bridge.aws import FunctionError
from bridge.bird import channels
from bridge.deadline import Deadline
from bridge.delivery.creation import RecordCreator
from bridge.delivery.deliver import Delivery
from bridge.delivery.outbox import Queues
from bridge.errors import BadRequest, BridgeError, CredentialsLost
from bridge.http import NoConnection, NoResponse, Response
from bridge.oauth.grant import GRANT_DESCRIPTIONS
from bridge.oauth.refresher import TokenRefresher
from bridge.oauth.sessions import Sessions
from bridge.oauth.vault import Vault
from bridge.records import ObjectName
from bridge.salesforce.client import Salesforce
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from tests.conftest import ENVIRON
from tests.unit.doubles import INSTANCE, KEY, Call, Scripted, SmallAws
from tests.unit.test_record_api import Context

BUDGET_SECONDS = 2.0
"""Of create_*, here."""

LOGGABLE = re.compile(r"[A-Za-z0-9_.:+-]{0,100}")
"""What a text in a log line looks like: a name, a code, an id or a key. No sentence, no person."""

ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
TOKEN = re.compile(r"[\x21-\x7e]+")
"""The characters of a token (RFC 6749, appendix A: VSCHAR), less the space."""


class Clock:
    """Time that passes by being waited for: `sleep` and slow answers move it on."""

    def __init__(self) -> None:
        self.waited = 0.0

    def wait(self, seconds: float) -> None:
        self.waited += max(0.0, seconds)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        really, slept = time.monotonic, time.sleep
        time.monotonic = lambda: really() + self.waited  # type: ignore[assignment]
        time.sleep = self.wait  # type: ignore[assignment]
        try:
            yield
        finally:
            time.monotonic, time.sleep = really, slept  # type: ignore[assignment]


class RecordingTelemetry(Telemetry):
    """Keeps every line, and our own errors that ended in a 503 response."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Any] = []
        self.written = io.StringIO()
        self.faults: list[BaseException] = []

    @cached_property
    def _logger(self) -> Any:
        def keep(name: str, *, extra: Any) -> None:
            self.lines.append(extra)

        return SimpleNamespace(info=keep, warning=keep, error=keep)

    def alarm(self, name: str, *, error: BaseException, **details: Any) -> None:
        super().alarm(name, error=error, **details)
        if name in ("unexpected_error", "telemetry_failed"):
            self.faults.append(error)

    @contextlib.contextmanager
    def captured(self) -> Iterator[None]:
        """What is written to stdout meanwhile (metrics, and a record's line) is kept too."""
        with contextlib.redirect_stdout(self.written):
            yield

    def check(self) -> None:
        """Nothing in a log or a metric but names, codes, ids and numbers."""
        known = {channel.name for channel in channels.table().values()} | {"none", "other"}
        for line in self.lines + [json.loads(one) for one in self.written.getvalue().splitlines()]:
            for text in _texts_in(line):
                assert LOGGABLE.fullmatch(text), f"{text!r} is in a log line"
            assert line.get("channel", "none") in known, line


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _texts_in(inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from _texts_in(inner)


def messages_of(error: BaseException | None) -> str:
    """The texts of an exception and of all that it came from, where they are ours."""
    texts = []
    while error is not None:
        if isinstance(error, BridgeError):
            texts.append(str(error))
        error = error.__cause__
    return "\n".join(texts)


class Keyed(SmallAws):
    """AWS with a signing key, and a RefreshToken that brings a new token each time."""

    def __init__(self) -> None:
        super().__init__()
        self.generation = 1
        self.publish("token-1", 1)
        self.refresh = self._refresh

    def get_secret(self, secret_id: str, *, deadline: Any) -> str:
        return '{"keys": ["a key that nobody else knows"]}'

    def _refresh(self, payload: Any) -> Any:
        self.generation += 1
        if self.generation > 3:
            return FunctionError("Unavailable", "not now")
        self.publish("token-1", self.generation)
        return {"generation": self.generation, "refreshed": True}


@dataclass(frozen=True)
class Happening:
    """What the other side does with a call: an answer or an exception, after some time."""

    what: Response | Exception
    seconds: float = 0.0


class MadeUp(Scripted):
    """Responds as a list says, then always with its last item. Keeps its responses."""

    def __init__(self, happens: list[Happening], clock: Clock) -> None:
        super().__init__(lambda call: Response(500, {}, b""))
        self._left = list(happens)
        self._clock = clock
        self.given: list[tuple[Call, Response]] = []

    def send(self, method: str, url: str, **options: Any) -> Response:
        deadline: Deadline = options["deadline"]
        headers: Mapping[str, str] = options["headers"]
        call = Call(method, url, headers, options.get("body"), bool(options.get("repeatable")), 0.0)
        self.calls.append(call)
        assert "://" in url and not re.search(r"[\x00-\x20]", url), "not a URL"
        if "Authorization" in headers:
            assert urlsplit(url).hostname == urlsplit(INSTANCE).hostname, "a token goes elsewhere"
        for name, value in headers.items():
            (name + value).encode("latin-1")
            assert not set("\r\n") & set(name + value), "one header would be two"
        if not deadline.remaining():
            raise NoConnection("no time was left to send the request")
        happens = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        left = deadline.remaining()
        self._clock.wait(min(happens.seconds, left))
        if happens.seconds > left:
            raise NoResponse("did not answer in time")
        if isinstance(happens.what, Exception):
            raise happens.what
        self.given.append((call, happens.what))
        return happens.what


# create_*


class Stand:
    """One function's API between made-up events and made-up answers."""

    def __init__(
        self, object_name: ObjectName | None, org: Scripted, *, scheme: str = "none"
    ) -> None:
        changed = {"SIGNATURE_SCHEME": scheme, "RESPONSE_BUDGET_SECONDS": str(BUDGET_SECONDS)}
        settings = Settings.from_environ({**ENVIRON, **changed})
        self.settings = settings
        self.aws = Keyed()
        self.telemetry = RecordingTelemetry()
        gate = None
        if scheme != "none" or object_name is None:
            gate = SignatureGate(aws=self.aws, settings=settings)
        creator = RecordCreator(
            salesforce=Salesforce(http=org, settings=settings),
            sessions=Sessions(aws=self.aws, settings=settings),
            queues=Queues(aws=self.aws, settings=settings),
            settings=settings,
            telemetry=self.telemetry,
        )
        self.api = RecordApi(
            object_name, creator=creator, settings=settings, telemetry=self.telemetry, gate=gate
        )

    def response(self, event: Any) -> tuple[int, dict[str, Any]]:
        """The answer to an event, looked at: its shape, its time, what was logged on the way."""
        started = time.monotonic()
        with self.telemetry.captured():
            reply = self.api.respond(event, Context())
        assert time.monotonic() - started < BUDGET_SECONDS + 1.5
        if self.telemetry.faults:
            raise self.telemetry.faults[0]
        self.telemetry.check()
        assert set(reply) == {"statusCode", "headers", "body", "isBase64Encoded"}
        for name, value in reply["headers"].items():
            assert not set("\r\n") & set(name + value)
        content = json.loads(reply["body"])
        assert all(isinstance(value, (str, int, bool)) for value in content.values())
        assert "Traceback" not in reply["body"]
        payload = json.dumps(reply, ensure_ascii=False, allow_nan=False)
        assert len(payload.encode("utf-8", "surrogatepass")) < 1_000_000, "Lambda takes 6 MB"
        return int(reply["statusCode"]), content

    def kept(self) -> int:
        """How many records are in one of the queues."""
        return sum(len(bodies) for bodies in self.aws.queues.values())


PERSON = {"LastName": "Okafor", "bird": {"channel": "sms", "text": "t", "sender": "+31612345678"}}


def ask_salesforce(method: str, name: ObjectName, happens: list[Happening]) -> None:
    """Whatever Salesforce does with a create or a look-up: nothing is lost, no record invented."""
    clock = Clock()
    stand = Stand(name, MadeUp(happens, clock))
    event = {"httpMethod": method, "path": "/x", "headers": {}, "body": json.dumps(PERSON)}
    with clock.running():
        status, payload = stand.response({**event, "pathParameters": {"key": "k"}})
    if method == "GET":
        assert status in (200, 404, 503), payload
    elif status in (200, 201):
        assert ID.fullmatch(payload["id"]), payload
    else:
        assert status in (202, 409, 422), payload
        assert stand.kept() == 1
        queue = stand.settings.outbox_url if status == 202 else stand.settings.rejected_url
        assert stand.aws.queues.keys() == {queue}


# deliver


class Rejected:
    """SQS for Deliver: takes what goes to Rejected, but for the entries with these numbers."""

    def __init__(self, failing: Set[int]) -> None:
        self.sent: list[str] = []
        self._failing = failing
        self._number = 0

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:
        assert QueueUrl == ENVIRON["REJECTED_URL"]
        assert 0 < len(Entries) <= 10
        bodies = [entry["MessageBody"] for entry in Entries]
        assert sum(len(body.encode()) for body in bodies) <= 1024 * 1024, "SQS refuses the call"
        response: dict[str, list[dict[str, str]]] = {"Successful": [], "Failed": []}
        for entry in Entries:
            self._number += 1
            fails = self._number in self._failing
            response["Failed" if fails else "Successful"].append({"Id": entry["Id"]})
            if not fails:
                self.sent.append(entry["MessageBody"])
        return response

    def change_message_visibility_batch(
        self, *, QueueUrl: str, Entries: list[dict[str, Any]]
    ) -> Any:
        assert QueueUrl == ENVIRON["OUTBOX_URL"]
        assert 0 < len(Entries) <= 10
        for entry in Entries:
            assert 0 < entry["VisibilityTimeout"] <= 43_200
        return {}


DELIVER_SECONDS = 120.0


def deliver(event: Any, happens: list[Happening], *, failing: Set[int] = frozenset()) -> None:
    """Have Deliver work on an event, and account for each of its messages.

    Each is reported back, or unchanged in Rejected, or in Salesforce by one of its responses.
    """
    settings = Settings.from_environ(ENVIRON)
    telemetry, clock = RecordingTelemetry(), Clock()
    org = MadeUp(happens, clock)
    sqs = Rejected(failing)
    delivery = Delivery(
        salesforce=Salesforce(http=org, settings=settings),
        sessions=Sessions(aws=Keyed(), settings=settings),
        sqs=sqs,
        settings=settings,
        telemetry=telemetry,
    )
    before = json.dumps(event, default=repr)
    with clock.running(), telemetry.captured():
        try:
            response = delivery.run(event, seconds=DELIVER_SECONDS)
        except BadRequest as error:
            # What SQS never sends: it keeps all of it.
            assert not _is_sqs_event(event), "SQS could have sent this"
            assert not sqs.sent and not org.calls
            assert LOGGABLE.fullmatch(str(error).replace(" ", ""))
            return
    assert _is_sqs_event(event)
    assert json.dumps(event, default=repr) == before
    assert clock.waited < DELIVER_SECONDS
    assert len(org.calls) < 40 * (len(event.get("Records") or ()) + 1), "calls without end"
    telemetry.check()
    assert set(response) == {"batchItemFailures"}
    kept = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
    messages = event.get("Records") or ()
    assert set(kept) <= {message["messageId"] for message in messages}
    assert len(set(kept)) == len(kept)
    for message in messages:
        if message["messageId"] not in kept:
            body = message.get("body")
            assert _is_in(sqs.sent, body) or _is_done(org, body), f"{body!r} is lost"


def _is_sqs_event(event: Any) -> bool:
    """What SQS sends has messages, each with an id."""
    records = event.get("Records") or [] if isinstance(event, dict) else None
    return isinstance(records, list) and all(
        isinstance(message, dict) and isinstance(message.get("messageId"), str)
        for message in records
    )


def _is_in(sent: Iterable[str], body: Any) -> bool:
    """Whether one of these holds that body: as it came, or the record that is in it. A message of
    the same key stands for both."""
    read = _json(body)
    named = (read.get("object"), read.get("key")) if isinstance(read, dict) else None
    for other in sent:
        record = _json(other)
        known = record if isinstance(record, dict) else {}
        if other == body or known.get("unreadable") == str("" if body is None else body):
            return True
        if named and "reason" in known and (known.get("object"), known.get("key")) == named:
            return True
    return False


def _is_done(org: MadeUp, body: Any) -> bool:
    """Whether one of Salesforce's responses shows that this record exists."""
    read = _json(body)
    if not isinstance(read, dict):
        return False
    # A lone surrogate is sent as a question mark.
    key = str(read.get("key")).encode(errors="replace").decode()
    return any(
        _shows_made(call.json()["records"], response, read.get("object"), key)
        if call.method == "POST"
        else _shows_found(call, response, f" {read.get('object')} ", key)
        for call, response in org.given
    )


def _shows_made(records: list[Any], response: Response, name: Any, key: str) -> bool:
    named = [(record[KEY], record["attributes"]) for record in records]
    if (key, {"type": name}) not in named:
        return False
    value, entry = _json(response.body), None
    if isinstance(value, list) and len(value) == len(records) and 200 <= response.status < 300:
        entry = value[named.index((key, {"type": name}))]
        if isinstance(entry, dict) and entry.get("success") is True:
            return ID.fullmatch(str(entry.get("id"))) is not None
    elif len(records) == 1:
        entry = value
    text = json.dumps(entry)
    return KEY.lower() in text.lower() and "DUPLICATE" in text


def _shows_found(call: Call, response: Response, name: str, key: str) -> bool:
    # The address of a further page does not contain the query.
    wanted = call.url.replace("%20", " ") if "q=" in call.url else " Lead Case "
    value = _json(response.body)
    rows = value.get("records") if isinstance(value, dict) and response.status < 300 else None
    for row in rows if isinstance(rows, list) and name in wanted else ():
        lower = (
            {column.lower(): one for column, one in row.items()} if isinstance(row, dict) else {}
        )
        if lower.get(KEY.lower()) == key and ID.fullmatch(str(lower.get("id"))):
            return True
    return False


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


# refresh_token


def aws_error(code: str, operation: str) -> ClientError:
    """What boto3 raises when AWS refuses."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


class AwsStore:
    """Secrets Manager, Parameter Store and DynamoDB, as far as RefreshToken uses them.

    Of its calls, counted from 1, those in `failing` are refused or do not arrive.
    """

    def __init__(
        self, secret: str | None, parameters: Mapping[str, str | None], failing: Set[int]
    ) -> None:
        self.secret = secret
        self.parameters = {name: value for name, value in parameters.items() if value is not None}
        self.version = 1
        self.lease: dict[str, Any] | None = None
        self._failing = failing
        self._calls = 0

    def _called(self, operation: str, found: object = True, refusal: str = "") -> None:
        self._calls += 1
        if self._calls in self._failing:
            if self._calls % 2:
                raise aws_error("LimitExceededException", operation)
            raise EndpointConnectionError(endpoint_url="https://aws.example")
        if not found:
            raise aws_error(refusal, operation)

    def get_secret_value(self, *, SecretId: str) -> dict[str, Any]:
        self._called("GetSecretValue", self.secret is not None, "ResourceNotFoundException")
        return {"SecretString": self.secret, "VersionId": f"v{self.version}"}

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> dict[str, Any]:
        self._called("PutSecretValue")
        self.secret = SecretString
        self.version += 1
        return {"VersionId": f"v{self.version}"}

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> dict[str, Any]:
        self._called("GetParameter", Name in self.parameters, "ParameterNotFound")
        assert WithDecryption
        return {"Parameter": {"Value": self.parameters[Name]}}

    def put_parameter(self, *, Name: str, Value: str, Type: str, **more: Any) -> None:
        self._called("PutParameter")
        assert Type == "SecureString"
        self.parameters[Name] = Value

    def put_item(self, *, Item: dict[str, Any], ConditionExpression: str, **more: Any) -> None:
        own = self.lease and self.lease["owner_id"] == more["ExpressionAttributeValues"][":owner"]
        free = own or not (self.lease or ConditionExpression.startswith("owner_id"))
        self._called("PutItem", free, "ConditionalCheckFailedException")
        self.lease = Item

    def delete_item(self, *, ExpressionAttributeValues: dict[str, Any], **more: Any) -> None:
        if self.lease and self.lease["owner_id"] == ExpressionAttributeValues[":owner"]:
            self.lease = None


REFRESH_SECONDS = 60.0


def refresh(
    event: Any,
    happens: list[Happening],
    *,
    secret: str | None,
    stored: str | None = None,
    pending: str | None = None,
    failing: Set[int] = frozenset(),
) -> list[Call]:
    """Have RefreshToken work on an event, and see that it kept and published what it may. Returns
    its requests to Salesforce."""
    settings = Settings.from_environ(ENVIRON)
    telemetry, clock = RecordingTelemetry(), Clock()
    org = MadeUp(happens, clock)
    token_name, pending_name = settings.token_parameter, settings.pending_parameter
    store = AwsStore(secret, {token_name: stored, pending_name: pending}, failing)
    refresher = TokenRefresher(
        http=org,
        vault=Vault(secrets=store, ssm=store, settings=settings),
        dynamodb=store,
        settings=settings,
        telemetry=telemetry,
    )
    raised: BridgeError | None = None
    with clock.running(), telemetry.captured():
        try:
            response = refresher.run(event, seconds=REFRESH_SECONDS)
        except BridgeError as error:
            raised = error
        else:
            got = {"generation", "refreshed"}
            if isinstance(event, dict) and "refused_generation" in event:
                got = {*got, "token"}
            assert response.keys() in (got, {"busy"}, {"connected"}), response
            assert response.get("token") in (None, store.parameters.get(token_name))
            json.dumps(response, allow_nan=False)
    assert clock.waited <= REFRESH_SECONDS
    assert store.lease is None, "the lease is not given back"
    telemetry.check()
    signs = _signs(secret)
    responded = [
        grant for grant in (_granted(call, response) for call, response in org.given) if grant
    ]
    grants = [grant for grant in responded if not (signs and grant.get("signature"))]

    published = store.parameters.get(token_name)
    if published != stored:
        token = json.loads(published or "null")
        assert token["access_token"] in [grant["access_token"] for grant in grants]
        assert TOKEN.fullmatch(token["access_token"])
        assert settings.trusts(token["instance_url"])
        assert re.fullmatch(r"https?://[a-zA-Z0-9.:\[\]-]+[\x21-\x7e]*", token["instance_url"])
        assert isinstance(token["generation"], int)
    # A new refresh token is text of Salesforce's, and nothing else in the secret has changed.
    rotated = [_stripped(grant) for grant in grants if _new_token(grant)]
    if store.secret != secret:
        was, now = json.loads(secret or "null"), json.loads(store.secret or "null")
        assert now.pop("refresh_token") in rotated
        was.pop("refresh_token", None)
        assert json.dumps(now) == json.dumps(was)
    if store.parameters.get(pending_name) != pending:
        now, sent = json.loads(store.parameters[pending_name]), _held(secret, pending)
        if "trusted" in now:
            # The answer's signature did not fit: its token is kept beside the one before.
            assert now["refresh_token"] in [_stripped(one) for one in responded if _new_token(one)]
            assert now["trusted"] in sent
        else:
            assert now["refresh_token"] in (*rotated, *sent)
    if rotated and not isinstance(raised, CredentialsLost):
        held = [_json(store.secret), _json(store.parameters.get(pending_name))]
        tokens = [one.get("refresh_token") for one in held if isinstance(one, dict)]
        assert rotated[-1] in tokens, "the refresh token that Salesforce gave last is lost"
    _check_texts(messages_of(raised), grants, [_json(response.body) for _, response in org.given])
    return org.calls


def _check_texts(raised: str, grants: list[dict[str, Any]], bodies: list[Any]) -> None:
    """What is raised is logged: no token, and no words of Salesforce's but those that are known."""
    for token in (
        grant.get(name) for grant in grants for name in ("access_token", "refresh_token")
    ):
        assert not (isinstance(token, str) and len(token) > 12 and token in raised)
    for body in (one for one in bodies if isinstance(one, dict)):
        for words in (body.get("error"), body.get("error_description")):
            if isinstance(words, str) and words.lower().strip() not in GRANT_DESCRIPTIONS:
                plain = re.fullmatch(r"[A-Za-z_]*", words.strip())
                assert plain or words not in raised, f"{words!r} is raised, and logged with it"


def _held(secret: str | None, pending: str | None) -> list[Any]:
    """The refresh tokens that were there before."""
    stored = [one for one in (_json(secret), _json(pending)) if isinstance(one, dict)]
    tokens = [one.get(name) for one in stored for name in ("refresh_token", "trusted")]
    return [one.strip() for one in tokens if isinstance(one, str)]


def _signs(secret: str | None) -> bool:
    """Whether a signature can be looked at: nobody here has the key to make one that fits."""
    credentials = _json(secret)
    key = credentials.get("client_secret") if isinstance(credentials, dict) else None
    return isinstance(key, str) and bool(key.strip()) and key.isascii()


def _granted(call: Call, response: Response) -> dict[str, Any] | None:
    """The token answer that this is, if it can be believed (but for its signature)."""
    body = _json(response.body)
    if response.status == 200 and not isinstance(body, dict):
        pairs = parse_qs(response.body.decode("utf-8", "replace"))
        body = {name: values[0] for name, values in pairs.items()}
    if response.status not in range(200, 300) or not isinstance(body, dict):
        return None
    token = body.get("access_token")
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        return None
    return {**body, "sent": call.body or b""}


def _stripped(grant: Mapping[str, Any]) -> Any:
    token = grant.get("refresh_token")
    return token.strip() if isinstance(token, str) else token


def _new_token(grant: Mapping[str, Any]) -> bool:
    """Whether it brought another refresh token than the one that was sent."""
    token = _stripped(grant)
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        return False
    sent = parse_qs(grant["sent"].decode()).get("refresh_token", [""])
    return token != sent[0]
