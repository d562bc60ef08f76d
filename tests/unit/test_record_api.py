"""How a function speaks HTTP: flat answers, every problem with its shape, never a stack trace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

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
from tests.conftest import ENVIRON, LoadEvent, MakeSettings
from tests.unit.doubles import KEY, SmallAws, SmallOrg, fault, refusal


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

    def __init__(self, object_name: ObjectName, settings: Settings) -> None:
        self.settings = settings
        self.org = SmallOrg()
        self.aws = SmallAws()
        self.aws.publish("token-1", 1)
        telemetry = Telemetry()
        self.creator = RecordCreator(
            salesforce=Salesforce(http=self.org, settings=settings),
            sessions=Sessions(aws=self.aws, settings=settings),
            queues=Queues(aws=self.aws, settings=settings),
            settings=settings,
            telemetry=telemetry,
        )
        self.api = RecordApi(
            object_name, creator=self.creator, settings=settings, telemetry=telemetry
        )

    def answer(self, event: Any, *, milliseconds: int = 20_000) -> tuple[int, dict[str, Any]]:
        """Status and body; what must be true of every answer is checked on the way."""
        reply = self.api.respond(event, Context(milliseconds=milliseconds))
        assert set(reply) == {"statusCode", "headers", "body", "isBase64Encoded"}
        assert reply["headers"]["Cache-Control"] == "no-store"
        said = json.loads(reply["body"])
        status = reply["statusCode"]
        assert all(isinstance(value, (str, int, bool)) for value in said.values())
        assert said["outcome"]
        problem = reply["headers"]["Content-Type"] == "application/problem+json"
        assert problem is (status >= 400)
        if problem:
            assert {"type", "title", "status", "detail", "success"} <= said.keys()
            assert said["status"] == status and said["success"] is False
            assert all(str(said[name]) for name in ("title", "detail"))
        assert ("Retry-After" in reply["headers"]) is (said.get("status") == 503)
        return status, said


@pytest.fixture
def leads(settings: MakeSettings) -> Stand:
    return Stand("Lead", settings(CONVERSATIONS="off"))


@pytest.fixture
def cases(settings: MakeSettings) -> Stand:
    return Stand("Case", settings(CONVERSATIONS="off"))


def post(body: Any, **changed: Any) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"httpMethod": "POST", "path": "/leads", "body": text, **changed}


def test_a_lead_is_created(leads: Stand, event: LoadEvent) -> None:
    status, said = leads.answer(event("create_lead"))
    assert status == 201
    assert said == {
        "outcome": "created",
        "success": True,
        "id": leads.org.rows[0].id,
        "object": "Lead",
        "key": leads.org.rows[0].fields[KEY],
        "url": f"https://acme.my.salesforce.com/{leads.org.rows[0].id}",
    }


EVENTS = (
    *("fields", "whatsapp_media", "sms_form", "instagram", "telegram", "unresolved_variables"),
    *("base64", "no_content_type"),
)


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_becomes_a_lead(leads: Stand, event: LoadEvent, name: str) -> None:
    assert leads.answer(event(f"create_lead.{name}"))[0] == 201


def test_a_body_s_owner_that_is_left_out_is_named(leads: Stand) -> None:
    _, said = leads.answer(post({"LastName": "x", "OwnerId": "005", KEY: "k-1"}))
    assert said["notWritten"] == "OwnerId" and "OwnerId" in said["warnings"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("create_lead.not_json", "BAD_REQUEST"),
        ("create_lead.not_an_object", "BAD_REQUEST"),
        ("create_lead.forbidden_id", "FORBIDDEN_FIELD"),
    ],
)
def test_what_cannot_be_read_is_400_and_kept_nowhere(
    leads: Stand, event: LoadEvent, name: str, code: str
) -> None:
    status, said = leads.answer(event(name))
    assert (status, said["code"], said["kept"]) == (400, code, False)
    assert leads.org.calls == [] and leads.aws.queues == {}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_only_a_post_makes_a_record(leads: Stand, method: str) -> None:
    status, said = leads.answer(post({"LastName": "Berg"}, httpMethod=method))
    assert (status, said["code"], said["kept"]) == (404, "NO_SUCH_ROUTE", False)
    assert leads.org.calls == [] and leads.aws.queues == {}


def test_a_record_too_large_to_queue_is_400(leads: Stand) -> None:
    status, said = leads.answer(post({"LastName": "x", "Description": "😀" * 100_000}))
    assert (status, said["code"]) == (400, "REQUEST_TOO_LARGE")


def test_a_refusal_is_422_and_says_who_can_mend_it(leads: Stand) -> None:
    leads.org.rules = [lambda values, crowd: refusal("STRING_TOO_LONG", "Title", "Fax")]
    status, said = leads.answer(post({"LastName": "x", "Title": "t"}))
    assert (status, said["outcome"], said["kept"]) == (422, "rejected", True)
    assert (said["code"], said["fields"]) == ("STRING_TOO_LONG", "Title,Fax")
    assert said["hint"] and said["key"]
    assert len(leads.aws.queues[leads.settings.rejected_url]) == 1


def test_trouble_is_202_with_what_to_do_next(leads: Stand) -> None:
    leads.org.trouble = [NoResponse("reset")]
    status, said = leads.answer(post({"LastName": "x", KEY: "k-1"}))
    assert (status, said["outcome"], said["object"], said["key"]) == (202, "queued", "Lead", "k-1")
    assert "/leads/k-1" in said["message"]


@pytest.mark.parametrize(
    ("trouble", "word"),
    [
        (fault("API_DISABLED_FOR_ORG", status=403), "API Enabled"),
        (fault("INVALID_FIELD", f"No such column '{KEY}' on sobject of type Lead"), "make connect"),
        (fault("STORAGE_LIMIT_EXCEEDED"), "Storage Usage"),
    ],
)
def test_an_org_that_is_not_set_up_is_202_and_names_the_fix(
    leads: Stand, trouble: Response, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    leads.org.trouble = [trouble]
    status, said = leads.answer(post({"LastName": "x"}))
    assert status == 202 and word in said["message"]
    assert '"NotSetUp"' in capsys.readouterr().out  # the metric that the alarm watches


def test_respond_async_is_202_at_once(leads: Stand, event: LoadEvent) -> None:
    status, said = leads.answer(event("create_lead.respond_async"))
    assert (status, said["outcome"]) == (202, "queued")
    assert leads.org.calls == []


def test_what_nothing_keeps_is_503_and_never_a_4xx(leads: Stand) -> None:
    leads.aws.broken[ENVIRON["OUTBOX_URL"]] = AwsError("UNREACHABLE", "down")
    leads.org.trouble = [Response(503, {}, b"")]
    status, said = leads.answer(post({"LastName": "x", KEY: "k-1"}))
    assert (status, said["outcome"], said["kept"], said["key"]) == (503, "failed", False, "k-1")


def test_an_unexpected_fault_answers_in_shape_without_its_text(
    leads: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    leads.org.trouble = [ZeroDivisionError("secret text")]
    status, said = leads.answer(post({"LastName": "x"}))
    assert (status, said["kept"]) == (503, False)
    assert "secret" not in json.dumps(said)
    assert "secret" not in capsys.readouterr().out


@pytest.mark.parametrize("event", [None, [], "x", 7, {"requestContext": {"requestTimeEpoch": {}}}])
def test_what_is_no_event_is_answered_too(leads: Stand, event: Any) -> None:
    assert leads.answer(event)[0] == 400


def test_a_made_up_key_is_said_so_that_it_can_be_asked_for(leads: Stand) -> None:
    _, said = leads.answer(post({"LastName": "x"}))
    status, found = leads.answer({"httpMethod": "GET", "pathParameters": {"key": said["key"]}})
    assert (status, found["id"]) == (200, said["id"])


def test_an_unresolved_key_is_counted(leads: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    leads.answer(post({"LastName": "x", "bird": {"messageId": "{{message.id}}"}}))
    leads.answer(post({"LastName": "x", "bird": {"messageId": "{{message.id}}"}}))
    assert len(leads.org.rows) == 2
    assert '"UnresolvedKeys"' in capsys.readouterr().out


# Inline


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [
        ("not json", {}, 400),
        ("%%%", {"isBase64Encoded": True}, 400),
        ({"Id": "x"}, {}, 400),
        ({"LastName": "x"}, {}, 422),
    ],
)
def test_inline_errors_are_200_with_success_false(
    leads: Stand, body: Any, more: dict[str, Any], status: int
) -> None:
    leads.org.rules = [lambda values, crowd: refusal("STRING_TOO_LONG")]
    event = post(body, queryStringParameters={"errors": "inline"}, **more)
    got, said = leads.answer(event)
    assert (got, said["status"], said["success"], said["outcome"]) == (
        200,
        status,
        False,
        "rejected" if status == 422 else "failed",
    )


def test_inline_changes_nothing_for_a_success(leads: Stand) -> None:
    event = post({"LastName": "x"}, queryStringParameters={"errors": "inline"})
    assert leads.answer(event)[1]["outcome"] == "created"


def test_the_event_with_inline_errors_is_read(leads: Stand, event: LoadEvent) -> None:
    leads.org.rules = [lambda values, crowd: refusal("INVALID_EMAIL_ADDRESS", "Email")]
    status, said = leads.answer(event("create_lead.errors_inline"))
    assert (status, said["code"]) == (200, "INVALID_EMAIL_ADDRESS")


# GET


def test_a_record_is_found_by_its_raw_key(leads: Stand, event: LoadEvent) -> None:
    _, made = leads.answer(event("create_lead.fields"))
    status, found = leads.answer(event("create_lead.find"))
    assert status == 200
    assert found == made


def test_a_case_is_found_by_the_query_with_its_number(cases: Stand, event: LoadEvent) -> None:
    _, made = cases.answer(event("create_case.email"))
    status, found = cases.answer(event("create_case.find"))
    assert (status, found["id"], found["number"]) == (200, made["id"], made["number"])


def test_a_record_that_is_not_there_is_unknown(leads: Stand) -> None:
    status, said = leads.answer({"httpMethod": "GET", "pathParameters": {"key": "k-1"}})
    assert (status, said["outcome"], said["key"]) == (404, "unknown", "k-1")


def test_without_a_key_field_nothing_is_known(settings: MakeSettings) -> None:
    stand = Stand("Lead", settings(EXTERNAL_ID_FIELD=""))
    assert stand.answer({"httpMethod": "GET", "pathParameters": {"key": "k"}})[0] == 404
    assert stand.org.calls == []


@pytest.mark.parametrize(
    "trouble", [NoResponse("x"), fault("API_DISABLED_FOR_ORG", status=403), Response(200, {}, b"")]
)
def test_when_salesforce_cannot_be_asked_it_is_503(leads: Stand, trouble: Any) -> None:
    leads.org.trouble = [trouble]
    status, said = leads.answer({"httpMethod": "GET", "pathParameters": {"key": "k-1"}})
    assert (status, said["key"]) == (503, "k-1")


def test_a_get_without_a_key_is_400(leads: Stand) -> None:
    assert leads.answer({"httpMethod": "GET"})[0] == 400


# Time


def test_a_function_that_is_nearly_over_queues(leads: Stand) -> None:
    status, _ = leads.answer(post({"LastName": "x"}), milliseconds=1200)
    assert status == 202
    assert leads.org.calls == []


# Anything at all

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["bird", "Id", "LastName", "lastname", "messageId", KEY]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
bodies = st.one_of(
    st.text(), json_values.map(json.dumps), st.sampled_from(["\ud800", '{"a":"\ud800"}'])
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=bodies,
    encoded=st.booleans(),
    content_type=st.sampled_from(
        ["", "application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
    ),
    key=st.text(),
)
def test_no_body_ends_in_a_fault_of_ours(
    leads: Stand, body: str, encoded: bool, content_type: str, key: str
) -> None:
    headers = {"Content-Type": content_type, "Idempotency-Key": key}
    status, _ = leads.answer(post(body, headers=headers, isBase64Encoded=encoded))
    assert status in (200, 201, 400)
