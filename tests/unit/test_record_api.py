"""How a function speaks HTTP: flat answers, every problem with its shape, never a stack trace.

Anything at all is sent to it in tests/slow/fuzz/test_handlers.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.api.record_api import RecordApi
from bridge.aws import AwsError
from bridge.delivery.creation import RecordCreator
from bridge.delivery.outbox import Queues
from bridge.http import NoResponse, Response
from bridge.oauth.sessions import Sessions
from bridge.records import ObjectName
from bridge.salesforce.client import Salesforce
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from tests.conftest import ENVIRON, LoadEvent
from tests.unit import bodies
from tests.unit.doubles import KEY, SmallAws, SmallOrg, fault


@dataclass
class Context:
    """What Lambda passes beside the event."""

    aws_request_id: str = "request-1"
    milliseconds: int = 20_000

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


class Stand:
    """A function's API with an org and AWS in memory.

    Its subject is HTTP: conversations have tests of their own (tests/functional).
    """

    def __init__(self, object_name: ObjectName, **configured: str) -> None:
        settings = Settings.from_environ({**ENVIRON, "CONVERSATIONS": "off", **configured})
        self.settings = settings
        self.org = SmallOrg()
        self.aws = SmallAws()
        self.aws.publish("token-1", 1)
        telemetry = Telemetry()
        creator = RecordCreator(
            salesforce=Salesforce(http=self.org, settings=settings),
            sessions=Sessions(aws=self.aws, settings=settings),
            queues=Queues(aws=self.aws, settings=settings),
            settings=settings,
            telemetry=telemetry,
        )
        self.api = RecordApi(object_name, creator=creator, settings=settings, telemetry=telemetry)

    def response(self, event: Any, *, milliseconds: int = 20_000) -> tuple[int, dict[str, Any]]:
        """Status and body; what must be true of every answer is checked on the way."""
        reply = self.api.respond(event, Context(milliseconds=milliseconds))
        assert set(reply) == {"statusCode", "headers", "body", "isBase64Encoded"}
        assert reply["headers"]["Cache-Control"] == "no-store"
        given = json.loads(reply["body"])
        status = reply["statusCode"]
        assert all(isinstance(value, (str, int, bool)) for value in given.values())
        assert given["outcome"]
        problem = reply["headers"]["Content-Type"] == "application/problem+json"
        assert problem is (status >= 400)
        if problem:
            assert {"type", "title", "status", "detail", "success"} <= given.keys()
            assert given["status"] == status and given["success"] is False
            assert all(str(given[name]) for name in ("title", "detail"))
        assert ("Retry-After" in reply["headers"]) is (given.get("status") == 503)
        return status, given

    def post(self, body: Any, **event: Any) -> tuple[int, dict[str, Any]]:
        text = body if isinstance(body, str) else json.dumps(body)
        return self.response({"httpMethod": "POST", "path": "/leads", "body": text, **event})

    def get(self, key: str) -> tuple[int, dict[str, Any]]:
        return self.response({"httpMethod": "GET", "pathParameters": {"key": key}})

    def is_untouched(self) -> bool:
        """Whether nothing was asked of Salesforce and nothing queued."""
        return self.org.calls == [] and self.aws.queues == {}


@pytest.fixture
def leads() -> Stand:
    return Stand("Lead")


LEAD = {"LastName": "x", KEY: "k-1"}


def test_a_lead_is_created(leads: Stand, event: LoadEvent) -> None:
    status, given = leads.response(event("create_lead"))
    assert status == 201
    assert given == {
        "outcome": "created",
        "success": True,
        "id": leads.org.rows[0].id,
        "object": "Lead",
        "key": leads.org.rows[0].fields[KEY],
        "url": f"https://acme.my.salesforce.com/{leads.org.rows[0].id}",
    }


POST = {"httpMethod": "POST", "pathParameters": {"key": "k-1"}, "body": '{"LastName": "Berg"}'}
LOOKUP_KEY = {"requestContext": {"identity": {"apiKeyId": "a1b2"}}}


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ("create_lead.not_json", 400, "BAD_REQUEST"),
        ("create_lead.not_an_object", 400, "BAD_REQUEST"),
        ("create_lead.forbidden_id", 400, "FORBIDDEN_FIELD"),
        ({**POST, "body": json.dumps({"Description": "😀" * 100_000})}, 400, "REQUEST_TOO_LARGE"),
        # what is no event
        *(
            (one, 400, "BAD_REQUEST")
            for one in (None, [], 7, {"requestContext": {"requestTimeEpoch": {}}})
        ),
        # Only a POST makes a record.
        *(
            ({**POST, "httpMethod": one, "pathParameters": None}, 404, "NO_SUCH_ROUTE")
            for one in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
        ),
        # The key for looking customers up opens nothing else.
        *(
            ({**POST, **LOOKUP_KEY, "httpMethod": one}, 403, "KEY_NOT_FOR_THIS_ROUTE")
            for one in ("POST", "GET", "PATCH")
        ),
    ],
)
def test_what_is_refused_is_kept_nowhere(
    event: LoadEvent, sent: Any, status: int, code: str
) -> None:
    stand = Stand("Lead", LOOKUP_KEY_ID="a1b2")
    got, given = stand.response(event(sent) if isinstance(sent, str) and sent else sent)
    assert (got, given["code"], given["kept"]) == (status, code, False)
    assert stand.is_untouched()


def test_what_no_customer_sent_is_200_and_counted(
    leads: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bird sends what is refused again for hours."""
    status, given = leads.post(bodies.v1(direction="sent"))
    assert (status, given["outcome"]) == (200, "ignored")
    assert "not by them" in given["message"]
    assert leads.is_untouched() and '"MessagesIgnored"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "metric", "event", "names"),
    [
        ({"bird": {"messageId": "{{message.id}}"}}, "UnresolvedKeys", "unresolved_key", []),
        ({"bird": {"wrods": "Which colour?"}}, "PartsUnread", "unread_parts", ["wrods"]),
        ({"bird": {"text": "Which colour? " * 9_000}}, "TextsCut", "texts_cut", ["Description"]),
        (
            bodies.without(bodies.v1(), "message.id"),
            "MessagesWithoutId",
            "message_without_id",
            ["id"],
        ),
        ({"LastName": "x", "OwnerId": "Which colour?"}, "", "fields_left_out", ["OwnerId"]),
    ],
)
def test_what_looks_like_a_mistake_is_counted_and_logged_without_its_words(
    leads: Stand,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    body: Any,
    metric: str,
    event: str,
    names: list[str],
) -> None:
    status, given = leads.post(body)
    assert status == 201
    assert given.get("notWritten", "") == ("OwnerId" if "OwnerId" in body else "")
    (line,) = (vars(record) for record in caplog.records if record.msg == event)
    assert list(line.get("fields", [])) == names and "Which colour" not in str(line)
    output = capsys.readouterr().out
    assert metric in output and "Which colour" not in output


COUNTRY = "There's a problem with this country, even though it may appear correct."


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    ("happens", "status", "expected", "metric"),
    [
        (None, 201, {"outcome": "created", "success": True}, "RecordsCreated"),
        (
            fault("STRING_TOO_LONG", fields=["Title", "Fax"]),
            422,
            {"outcome": "rejected", "kept": True, "code": "STRING_TOO_LONG", "fields": "Title,Fax"},
            "RecordsRejected",
        ),
        (
            fault("FIELD_INTEGRITY_EXCEPTION", COUNTRY, fields=["Country"]),
            422,
            {"fields": "Country", "hint": "CountryCode / StateCode"},
            "RecordsRejected",
        ),
        (NoResponse("reset"), 202, {"outcome": "queued", "message": "/leads/k-1"}, "RecordsQueued"),
        # NotSetUp is the metric that the alarm watches.
        (
            fault("API_DISABLED_FOR_ORG", status=403),
            202,
            {"outcome": "queued", "message": "API Enabled"},
            "NotSetUp",
        ),
        (
            fault("INVALID_FIELD", f"No such column '{KEY}' on sobject of type Lead"),
            202,
            {"message": "make connect"},
            "NotSetUp",
        ),
        (fault("STORAGE_LIMIT_EXCEEDED"), 202, {"message": "Storage Usage"}, "NotSetUp"),
        (
            ZeroDivisionError("secret text"),
            503,
            {"outcome": "failed", "kept": False},
            "UnexpectedErrors",
        ),
    ],
)
def test_whatever_salesforce_does_has_a_response_and_inline_it_is_200(
    leads: Stand,
    event: LoadEvent,
    capsys: pytest.CaptureFixture[str],
    happens: Any,
    status: int,
    expected: dict[str, Any],
    metric: str,
    inline: bool,
) -> None:
    leads.org.trouble = [happens]
    wanted = event("create_lead.errors_inline") if inline else {}
    got, given = leads.post(LEAD, queryStringParameters=wanted.get("queryStringParameters"))
    assert got == (200 if inline else status)
    assert status == 503 or (given["object"], given["key"]) == ("Lead", "k-1")
    for name, value in expected.items():
        assert given[name] == value or (isinstance(value, str) and value in given[name]), given
    assert len(leads.aws.queues.get(leads.settings.rejected_url, ())) == (status == 422)
    output = capsys.readouterr().out
    assert f'"{metric}"' in output and "secret" not in output + str(given)


def test_what_may_not_or_cannot_wait_for_salesforce_is_queued(
    leads: Stand, event: LoadEvent
) -> None:
    assert leads.response(event("create_lead.respond_async"))[1]["outcome"] == "queued"
    nearly_over = leads.response(event("create_lead"), milliseconds=1200)
    assert (nearly_over[0], leads.org.calls) == (202, [])


def test_what_nothing_keeps_is_503_and_never_a_4xx(leads: Stand) -> None:
    leads.aws.broken[ENVIRON["OUTBOX_URL"]] = AwsError("UNREACHABLE", "down")
    leads.org.trouble = [Response(503, {}, b"")]
    status, given = leads.post(LEAD)
    assert (status, given["outcome"], given["kept"], given["key"]) == (503, "failed", False, "k-1")


# GET


@pytest.mark.parametrize(
    ("object_name", "made_by", "found_by"),
    [
        ("Lead", "create_lead.fields", "create_lead.find"),
        ("Case", "create_case.email", "create_case.find"),
    ],
)
def test_a_record_is_found_by_its_raw_key(
    event: LoadEvent, object_name: ObjectName, made_by: str, found_by: str
) -> None:
    stand = Stand(object_name)
    _, made = stand.response(event(made_by))
    assert stand.response(event(found_by)) == (200, made)
    assert ("number" in made) is (object_name == "Case")


def test_a_made_up_key_is_said_so_that_it_can_be_asked_for(leads: Stand) -> None:
    _, given = leads.post({"LastName": "x"})
    status, found = leads.get(given["key"])
    assert (status, found["id"]) == (200, given["id"])


def test_a_record_that_is_not_there_is_unknown(leads: Stand) -> None:
    status, given = leads.get("k-1")
    assert (status, given["outcome"], given["key"]) == (404, "unknown", "k-1")
    assert leads.response({"httpMethod": "GET"})[0] == 400, "without a key"
    without = Stand("Lead", EXTERNAL_ID_FIELD="")
    assert (without.get("k")[0], without.org.calls) == (404, [])


@pytest.mark.parametrize(
    "trouble", [NoResponse("x"), fault("API_DISABLED_FOR_ORG", status=403), Response(200, {}, b"")]
)
def test_when_salesforce_cannot_be_asked_it_is_503(leads: Stand, trouble: Any) -> None:
    leads.org.trouble = [trouble]
    status, given = leads.get("k-1")
    assert (status, given["key"]) == (503, "k-1")
