"""One record, now: where it ends up, whatever happens on the way."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from bridge.aws import AwsError
from bridge.bird.message import Media
from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.delivery.calls import REMEMBER_RIGHTS_SECONDS
from bridge.delivery.creation import Breaker, RecordCreator
from bridge.delivery.outbox import Envelope, Queues
from bridge.errors import (
    DuplicatesDetected,
    NotKept,
    OrgNotReady,
    Refused,
    RequestTooLarge,
    Unavailable,
)
from bridge.http import NoResponse, Response
from bridge.oauth.sessions import Sessions
from bridge.records import Record
from bridge.salesforce.client import Salesforce
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from tests.conftest import MakeSettings
from tests.unit.doubles import (
    Rule,
    SmallAws,
    SmallOrg,
    case,
    fault,
    json_response,
    key_taken,
    lead,
    outside,
    refusal,
)


class Stand:
    """A creator with an org and AWS in memory."""

    def __init__(self, settings: Settings, feed: Feed | None = None) -> None:
        self.settings = settings
        self.org = SmallOrg()
        self.aws = SmallAws()
        self.aws.publish("token-1", 1)
        self.creator = RecordCreator(
            salesforce=Salesforce(http=self.org, settings=settings),
            sessions=Sessions(aws=self.aws, settings=settings),
            queues=Queues(aws=self.aws, settings=settings),
            settings=settings,
            telemetry=Telemetry(),
            feed=feed,
        )

    def create(self, record: Record, *, seconds: float = 8, at_once: bool = True) -> Any:
        return self.creator.create(
            outside(record), request_id="r-1", deadline=Deadline.after(seconds), at_once=at_once
        )

    @property
    def outbox(self) -> list[Envelope]:
        return [Envelope.parse(b) for b in self.aws.queues.get(self.settings.outbox_url, [])]

    @property
    def rejected(self) -> list[Envelope]:
        return [Envelope.parse(b) for b in self.aws.queues.get(self.settings.rejected_url, [])]


@pytest.fixture
def stand(settings: MakeSettings) -> Stand:
    return Stand(settings(CONVERSATIONS="off"))  # outside conversations


def refuses(code: str, *fields: str, message: str = "") -> Rule:
    return lambda values, crowd: refusal(code, *fields, message=message)


def unless_without(name: str, code: str = "INVALID_EMAIL_ADDRESS") -> Rule:
    """Refuses a record for one field, as long as it has it."""
    return lambda values, crowd: refusal(code, name) if name in values else None


@pytest.mark.parametrize("record", [lead(), case()], ids=["lead", "case"])
def test_a_record_is_made_in_one_call(stand: Stand, record: Record) -> None:
    outcome = stand.create(record)
    assert outcome.name == "created"
    assert outcome.url.endswith(outcome.found.id)
    assert bool(outcome.found.number) is (record.object == "Case")
    assert len(stand.org.calls) == 1
    assert stand.aws.queues == {}
    assert outcome.cost.calls == 1


@pytest.mark.parametrize("record", [lead(), case()], ids=["lead", "case"])
def test_a_refused_record_is_kept_with_its_reason(stand: Stand, record: Record) -> None:
    stand.org.rules = [refuses("STRING_TOO_LONG", "Title")]
    outcome = stand.create(record)
    assert outcome.name == "rejected"
    assert (type(outcome.problem), outcome.problem.fields) == (Refused, ("Title",))
    (kept,) = stand.rejected
    assert kept.record == record and kept.request_id == "r-1"
    assert kept.reason["code"] == "STRING_TOO_LONG"
    assert stand.outbox == []


def test_a_duplicate_of_somebody_else_s_is_kept(stand: Stand) -> None:
    stand.org.rules = [refuses("DUPLICATES_DETECTED")]
    outcome = stand.create(lead())
    assert outcome.name == "rejected" and isinstance(outcome.problem, DuplicatesDetected)
    assert len(stand.rejected) == 1


def test_a_case_s_refusal_is_looked_up_in_the_same_round_trip(stand: Stand) -> None:
    stand.org.rules = [refuses("STRING_TOO_LONG", "Title")]
    stand.create(case())
    assert len(stand.org.calls) == 1


@pytest.mark.parametrize(
    "code", ["UNABLE_TO_LOCK_ROW", "REQUEST_LIMIT_EXCEEDED", "STORAGE_LIMIT_EXCEEDED"]
)
def test_a_case_that_the_round_trip_found_is_there_in_any_case(stand: Stand, code: str) -> None:
    row = stand.org.put("Case", "k-1")
    stand.org.rules = [refuses(code)]
    outcome = stand.create(case())
    assert outcome.name == "exists"
    assert outcome.found.id == row.id and outcome.found.number
    assert stand.outbox == [] and len(stand.org.calls) == 1


@pytest.mark.parametrize("record", [lead(), case()], ids=["lead", "case"])
def test_a_key_that_somebody_is_just_using_waits(stand: Stand, record: Record) -> None:
    stand.org.rules = [lambda values, crowd: key_taken()]
    outcome = stand.create(record)
    assert outcome.name == "queued"
    assert outcome.problem.code == "KEY_TAKEN"
    assert len(stand.outbox) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        NoResponse("reset"),
        Response(503, {}, b"<html>"),
        Response(201, {}, b""),
        fault("UNABLE_TO_LOCK_ROW"),
        fault("STORAGE_LIMIT_EXCEEDED"),
    ],
)
def test_what_salesforce_cannot_take_now_waits(stand: Stand, trouble: Any) -> None:
    stand.org.trouble = [trouble]
    outcome = stand.create(lead())
    assert outcome.name == "queued" and outcome.problem is not None
    (kept,) = stand.outbox
    assert kept.record == lead()
    assert len(stand.org.calls) == 1


def test_the_id_that_the_unique_index_named_is_enough_during_an_outage(stand: Stand) -> None:
    row = stand.org.put("Lead", "k-1")
    stand.org.trouble = [None, Response(503, {}, b"")]
    outcome = stand.create(lead())
    assert outcome.name == "exists"
    assert outcome.found.id == row.id
    assert stand.outbox == []


def test_a_look_up_that_fails_decides_nothing(stand: Stand) -> None:
    stand.org.rules = [refuses("STRING_TOO_LONG")]
    stand.org.trouble = [None, Response(503, {}, b"")]
    assert stand.create(lead()).name == "queued"
    assert stand.rejected == []


def test_our_own_field_at_fault_costs_the_field_and_not_the_lead(stand: Stand) -> None:
    stand.org.rules = [unless_without("Email")]
    outcome = stand.create(lead(Email="odd@", derived=("Email",)))
    assert outcome.name == "created"
    assert "Email" not in stand.org.rows[0].fields


def test_fields_are_dropped_once_only(stand: Stand) -> None:
    stand.org.rules = [unless_without("Email"), unless_without("Phone")]
    outcome = stand.create(lead(Email="e", Phone="p", derived=("Email", "Phone")))
    assert outcome.name == "rejected"
    assert len(stand.org.creates()) == 2
    # What is kept for a person is the whole record.
    assert dict(stand.rejected[0].record.fields) == {"LastName": "Berg", "Email": "e", "Phone": "p"}


def test_a_second_attempt_that_finds_the_key_taken_is_the_same_record(stand: Stand) -> None:
    stand.org.rules = [unless_without("Email")]
    row = stand.org.put("Lead", "k-1", visible=False)
    outcome = stand.create(lead(Email="e", derived=("Email",)))
    assert outcome.name == "exists" and outcome.found.id == row.id


def test_an_explicit_field_at_fault_costs_the_lead(stand: Stand) -> None:
    stand.org.rules = [unless_without("Email")]
    assert stand.create(lead(Email="odd@")).name == "rejected"


def test_without_a_key_field_a_refusal_is_final_at_once(settings: MakeSettings) -> None:
    stand = Stand(settings(EXTERNAL_ID_FIELD=""))
    stand.org.rules = [refuses("STRING_TOO_LONG")]
    assert stand.create(lead()).name == "rejected"
    assert len(stand.org.calls) == 1


def test_whoever_asks_not_to_wait_does_not(stand: Stand) -> None:
    outcome = stand.create(lead(), at_once=False)
    assert (outcome.name, outcome.problem) == ("queued", None)
    assert stand.org.calls == [] and len(stand.outbox) == 1


def test_without_time_the_record_is_kept_all_the_same(stand: Stand) -> None:
    outcome = stand.create(lead(), seconds=0)
    assert outcome.name == "queued" and outcome.problem is not None
    assert outcome.problem.code == "NO_TIME"
    assert stand.org.calls == [] and len(stand.outbox) == 1


def test_time_is_kept_back_for_the_queue(stand: Stand) -> None:
    stand.create(lead(), seconds=8)
    assert stand.org.calls[0].seconds == pytest.approx(6.5, abs=0.2)


@pytest.mark.parametrize("queue", ["outbox_url", "rejected_url"])
def test_what_nothing_takes_is_not_kept(stand: Stand, queue: str) -> None:
    stand.aws.broken[getattr(stand.settings, queue)] = AwsError("UNREACHABLE", "down")
    if queue == "outbox_url":
        stand.org.trouble = [Response(503, {}, b"")]
    else:
        stand.org.rules = [refuses("STRING_TOO_LONG")]
    outcome = stand.create(lead())
    assert outcome.name == "not_kept" and isinstance(outcome.problem, NotKept)
    assert outcome.cost.calls >= 1


def test_what_could_not_be_queued_is_not_tried(stand: Stand) -> None:
    with pytest.raises(RequestTooLarge):
        stand.create(lead(Description="x" * 1_000_000))
    assert stand.org.calls == []


def test_a_token_that_cannot_be_got_queues_the_record(stand: Stand) -> None:
    stand.org.tokens = set()
    outcome = stand.create(lead(), seconds=2.5)
    assert outcome.name == "queued" and outcome.problem is not None
    assert outcome.problem.code == "TOKEN_PENDING"


def test_a_record_is_found_by_the_first_key_that_has_one(stand: Stand) -> None:
    row = stand.org.put("Lead", "k-2")
    found = stand.creator.find("Lead", ["k-1", "k-2"], deadline=Deadline.after(5))
    assert found is not None and (found[0], found[1].found.id) == ("k-2", row.id)
    assert stand.creator.find("Case", ["k-1"], deadline=Deadline.after(5)) is None


def test_what_cannot_be_asked_is_raised(stand: Stand) -> None:
    stand.org.trouble = [fault("API_DISABLED_FOR_ORG", status=403)]
    with pytest.raises(OrgNotReady):
        stand.creator.find("Lead", ["k-1"], deadline=Deadline.after(5))


# A refusal that is the org's fault

NO_RIGHTS = [
    refuses("INSUFFICIENT_ACCESS"),
    refuses("INSUFFICIENT_ACCESS_OR_READONLY"),
    refuses("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"),
    refuses("INVALID_FIELD_FOR_INSERT_UPDATE", "LastName", "Company"),
]
RULE = "01Q8d00000555Ab"


@pytest.mark.parametrize("rule", NO_RIGHTS)
@pytest.mark.parametrize("record", [lead(), case()], ids=["lead", "case"])
def test_without_the_right_to_create_records_wait_and_none_is_refused(
    stand: Stand, record: Record, rule: Rule
) -> None:
    stand.org.rules = [rule]
    stand.org.createable[record.object] = False
    for key in ("k-1", "k-2", "k-3"):
        outcome = stand.create(replace(record, key=key))
        assert outcome.name == "queued" and isinstance(outcome.problem, OrgNotReady)
        assert outcome.problem.code == "NO_RIGHT_TO_CREATE"
        assert record.object in outcome.problem.message and "setup-org" in outcome.problem.hint
    assert (len(stand.outbox), stand.rejected) == (3, [])
    assert len(stand.org.asked()) == 1


@pytest.mark.parametrize("said", [True, None, "no"])
@pytest.mark.parametrize("rule", NO_RIGHTS)
def test_with_the_right_to_create_such_a_refusal_is_the_record_s(
    stand: Stand, rule: Rule, said: object
) -> None:
    stand.org.rules = [rule]
    stand.org.createable["Lead"] = said
    for key in ("k-1", "k-2"):
        assert stand.create(lead(key)).name == "rejected"
    assert len(stand.org.asked()) == 1


def test_rights_are_asked_for_again_after_some_minutes(stand: Stand, clock: list[float]) -> None:
    stand.org.rules = [refuses("INSUFFICIENT_ACCESS")]
    stand.create(lead("k-1"))
    stand.org.createable["Lead"] = False
    time.sleep(REMEMBER_RIGHTS_SECONDS + 1)
    assert stand.create(lead("k-2")).name == "queued"


@pytest.mark.parametrize(
    "answer, outcome, code",
    [
        (fault("NOT_FOUND", status=404), "rejected", "INSUFFICIENT_ACCESS"),
        (Response(404, {}, b"<html>"), "rejected", "INSUFFICIENT_ACCESS"),
        (fault("METHOD_NOT_ALLOWED", status=405), "rejected", "INSUFFICIENT_ACCESS"),
        (fault("INVALID_TYPE"), "queued", "NO_RIGHT_TO_CREATE"),
        (fault("INSUFFICIENT_ACCESS", status=403), "rejected", "INSUFFICIENT_ACCESS"),
        (json_response(200, ["?"]), "rejected", "INSUFFICIENT_ACCESS"),
        (Response(503, {}, b""), "rejected", "INSUFFICIENT_ACCESS"),
        (NoResponse("broke off"), "rejected", "INSUFFICIENT_ACCESS"),
        (fault("API_DISABLED_FOR_ORG", status=403), "queued", "API_DISABLED_FOR_ORG"),
    ],
)
def test_what_the_question_for_the_right_may_come_back_with(
    stand: Stand, answer: Response | Exception, outcome: str, code: str
) -> None:
    stand.org.rules = [refuses("INSUFFICIENT_ACCESS")]
    stand.org.trouble = [None, None, answer]
    found = stand.create(lead())
    assert (found.name, found.problem.code) == (outcome, code)


def test_a_question_for_the_right_without_an_answer_is_put_again(stand: Stand) -> None:
    stand.org.rules = [refuses("INSUFFICIENT_ACCESS")]
    stand.org.createable["Lead"] = False
    stand.org.trouble = [None, None, Response(503, {}, b"")]
    assert stand.create(lead("k-1")).name == "rejected"
    assert stand.create(lead("k-2")).name == "queued"


@pytest.mark.parametrize("code", ["STRING_TOO_LONG", "DUPLICATES_DETECTED", "MALFORMED_ID"])
def test_other_refusals_ask_for_no_right(stand: Stand, code: str) -> None:
    stand.org.rules = [refuses(code)]
    assert stand.create(lead()).name == "rejected"
    assert stand.org.asked() == []


@pytest.mark.parametrize(
    "code", ["INVALID_CROSS_REFERENCE_KEY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"]
)
def test_an_id_that_leads_nowhere_is_the_rule_s_where_the_record_has_none(
    settings: MakeSettings, code: str
) -> None:
    stand = Stand(settings(LEAD_ASSIGNMENT=RULE))
    stand.org.rules = [refuses(code)]
    outcome = stand.create(lead(Description="some words", NumberOfEmployees=7))
    assert outcome.name == "queued" and isinstance(outcome.problem, OrgNotReady)
    assert outcome.problem.code == "NO_SUCH_ASSIGNMENT_RULE"
    assert "LeadAssignmentRule" in outcome.problem.hint


@pytest.mark.parametrize(
    "rule, fields, named",
    [
        ("default", {}, ()),
        ("off", {}, ()),
        (RULE, {"OwnerId": "0058d00000555Ab"}, ()),
        (RULE, {"recordtypeid": "x"}, ()),
        (RULE, {"Region__c": "a018d00000555Ab"}, ()),
        (RULE, {"Region__c": " a018d00000555AbEAM "}, ()),
        (RULE, {"Region__r": {"Code__c": "7"}}, ()),
        (RULE, {}, ("Region__c",)),
    ],
)
def test_an_id_that_may_be_the_record_s_is_the_record_s(
    settings: MakeSettings, rule: str, fields: dict[str, Any], named: tuple[str, ...]
) -> None:
    stand = Stand(settings(LEAD_ASSIGNMENT=rule))
    stand.org.rules = [refuses("INVALID_CROSS_REFERENCE_KEY", *named)]
    assert stand.create(lead(**fields)).name == "rejected"


# The breaker


def test_two_slow_failures_in_a_row_open_it_for_a_growing_while(clock: list[float]) -> None:
    breaker = Breaker()
    for _ in range(100):
        breaker.failed(0.9)
    breaker.failed(6)
    assert not breaker.is_open
    for seconds in (5, 10, 20, 40, 40):
        breaker.failed(6)
        time.sleep(seconds - 0.1)
        assert breaker.is_open
        time.sleep(0.2)
        assert not breaker.is_open  # one caller tries
    breaker.failed(6)
    breaker.succeeded()
    assert not breaker.is_open
    breaker.failed(6)
    assert not breaker.is_open, "an answer begins the count anew"


def test_while_salesforce_is_slow_callers_are_spared_the_wait(
    stand: Stand, clock: list[float]
) -> None:
    def slowly(call: Any) -> Response:
        time.sleep(1.05)
        raise NoResponse("too slow")

    stand.org._answer = slowly
    for _ in range(2):
        assert stand.create(lead()).name == "queued"
    outcome = stand.create(lead())
    assert outcome.name == "queued" and isinstance(outcome.problem, Unavailable)
    assert outcome.problem.code == "CIRCUIT_OPEN"
    assert len(stand.org.calls) == 2
    assert len(stand.outbox) == 3


def test_the_queued_body_is_ascii(stand: Stand) -> None:
    stand.create(lead(Description="שלום 😀\x00"), at_once=False)
    (body,) = stand.aws.queues[stand.settings.outbox_url]
    assert body.isascii() and json.loads(body)["fields"]["Description"] == "שלום 😀\x00"


# Files


def with_picture(record: Record) -> Message:
    return replace(outside(record), media=(Media("https://media.api.bird.com/1"),))


class Feed:
    """The queue of files: takes what it gets, or nothing until its time is over."""

    def __init__(self, *, down: bool = False) -> None:
        self.down = down
        self.fed: list[Envelope] = []

    def __call__(self, envelope: Envelope, *, deadline: Deadline) -> None:
        if self.down:
            time.sleep(deadline.remaining())
            raise NotKept("down")
        self.fed.append(envelope)


def create_with_picture(stand: Stand, *, seconds: float = 8) -> Any:
    return stand.creator.create(
        with_picture(lead()), request_id="r", deadline=Deadline.after(seconds), at_once=True
    )


def test_files_are_queued_once_the_record_is_there(settings: MakeSettings) -> None:
    feed = Feed()
    stand = Stand(settings(CONVERSATIONS="off"), feed)
    assert create_with_picture(stand).name == "created"
    assert create_with_picture(stand).name == "exists"
    assert len(feed.fed) == 2, "a caller repeats what may have been killed in between"
    assert stand.outbox == []
    stand.create(lead("other"))
    assert len(feed.fed) == 2, "a message without files"


@pytest.mark.parametrize("code", ["SERVER_UNAVAILABLE", "FIELD_CUSTOM_VALIDATION_EXCEPTION"])
def test_files_of_a_record_that_waits_wait_with_it(settings: MakeSettings, code: str) -> None:
    feed = Feed()
    stand = Stand(settings(CONVERSATIONS="off"), feed)
    stand.org.rules.append(refuses(code))
    create_with_picture(stand)
    assert feed.fed == []
    (kept,) = [*stand.outbox, *stand.rejected]
    assert kept.message.media == (Media("https://media.api.bird.com/1"),)


@pytest.mark.parametrize("seconds", [4, 2.5])
def test_where_files_cannot_be_queued_there_is_time_left_for_the_outbox(
    settings: MakeSettings, clock: list[float], seconds: float
) -> None:
    stand = Stand(settings(CONVERSATIONS="off"), Feed(down=True))
    assert create_with_picture(stand, seconds=seconds).name == "created"
    assert len(stand.outbox) == 1
    assert 0 < sum(clock) < seconds, "within the caller's time"
