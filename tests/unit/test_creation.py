"""One record, now: where it ends up, whatever happens on the way.

What each response of Salesforce's means is `test_verdict`; here is what is done about it.
"""

from __future__ import annotations

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
from bridge.errors import NotKept, OrgNotReady, RequestTooLarge
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

DOWN = Response(503, {}, b"<html>")
EACH_OBJECT = pytest.mark.parametrize("record", [lead(), case()], ids=["lead", "case"])


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

    def create(self, record: Record | Message, *, seconds: float = 8, at_once: bool = True) -> Any:
        message = outside(record) if isinstance(record, Record) else record
        deadline = Deadline.after(seconds)
        return self.creator.create(message, request_id="r-1", deadline=deadline, at_once=at_once)

    @property
    def outbox(self) -> list[Envelope]:
        return [Envelope.parse(b) for b in self.aws.queues.get(self.settings.outbox_url, [])]

    @property
    def rejected(self) -> list[Envelope]:
        return [Envelope.parse(b) for b in self.aws.queues.get(self.settings.rejected_url, [])]


@pytest.fixture
def stand(settings: MakeSettings) -> Stand:
    return Stand(settings(CONVERSATIONS="off"))  # outside conversations


def refuses(code: str, *fields: str) -> Rule:
    return lambda values, crowd: refusal(code, *fields)


def unless_without(name: str) -> Rule:
    """Refuses a record for one field, as long as it has it."""
    return lambda values, crowd: refusal("INVALID_EMAIL", name) if name in values else None


@EACH_OBJECT
def test_a_record_is_made_in_one_call(stand: Stand, record: Record) -> None:
    outcome = stand.create(record)
    assert outcome.name == "created"
    assert outcome.url.endswith(outcome.found.id)
    assert bool(outcome.found.number) is (record.object == "Case")
    assert len(stand.org.calls) == outcome.cost.calls == 1
    assert stand.aws.queues == {}


@EACH_OBJECT
def test_a_refused_record_is_kept_with_its_reason(stand: Stand, record: Record) -> None:
    stand.org.rules = [refuses("STRING_TOO_LONG", "Title")]
    outcome = stand.create(record)
    assert (outcome.name, outcome.problem.fields) == ("rejected", ("Title",))
    (kept,) = stand.rejected
    assert kept.record == record and kept.request_id == "r-1"
    assert kept.reason["code"] == "STRING_TOO_LONG"
    assert stand.outbox == []
    # A Case is looked for in the same round trip.
    assert len(stand.org.calls) == (1 if record.object == "Case" else 2)


@EACH_OBJECT
def test_a_record_that_is_there_is_found_whatever_it_is_refused_for(
    stand: Stand, record: Record
) -> None:
    row = stand.org.put(record.object, "k-1")
    stand.org.rules = [refuses("DUPLICATES_DETECTED")]
    outcome = stand.create(record)
    assert (outcome.name, outcome.found.id) == ("exists", row.id)
    assert stand.aws.queues == {}
    assert len(stand.org.calls) == (1 if record.object == "Case" else 2)


@pytest.mark.parametrize(
    "trouble",
    [
        *(NoResponse("reset"), DOWN, Response(201, {}, b"")),
        *(fault("UNABLE_TO_LOCK_ROW"), fault("STORAGE_LIMIT_EXCEEDED")),
    ],
)
def test_what_salesforce_cannot_take_now_waits(stand: Stand, trouble: Any) -> None:
    stand.org.trouble = [trouble]
    outcome = stand.create(lead())
    assert outcome.name == "queued" and outcome.problem is not None
    (kept,) = stand.outbox
    assert kept.record == lead()
    assert len(stand.org.calls) == 1


@EACH_OBJECT
def test_a_key_that_somebody_is_just_using_waits(stand: Stand, record: Record) -> None:
    stand.org.rules = [lambda values, crowd: key_taken()]
    outcome = stand.create(record)
    assert (outcome.name, outcome.problem.code) == ("queued", "KEY_TAKEN")


@pytest.mark.parametrize("there", [True, False])
def test_where_the_look_up_fails_only_the_unique_index_is_believed(
    stand: Stand, there: bool
) -> None:
    if there:
        stand.org.put("Lead", "k-1")  # the refusal names its id
    else:
        stand.org.rules = [refuses("STRING_TOO_LONG")]
    stand.org.trouble = [None, DOWN]
    assert stand.create(lead()).name == ("exists" if there else "queued")
    assert stand.rejected == []


def test_our_own_fields_at_fault_cost_the_fields_once_and_not_the_lead(stand: Stand) -> None:
    stand.org.rules = [unless_without("Email")]
    mail = lead(Email="odd@", derived=("Email",))
    assert stand.create(mail).name == "created"
    assert "Email" not in stand.org.rows[0].fields
    stand.org.rules.append(unless_without("Phone"))
    whole = lead("k-2", Email="e", Phone="p", derived=("Email", "Phone"))
    assert stand.create(whole).name == "rejected"
    assert len(stand.org.creates()) == 4
    # What is kept for a person is the whole record.
    assert stand.rejected[0].record == whole


def test_without_a_key_field_a_refusal_is_final_at_once(settings: MakeSettings) -> None:
    stand = Stand(settings(EXTERNAL_ID_FIELD=""))
    stand.org.rules = [refuses("STRING_TOO_LONG")]
    assert stand.create(lead()).name == "rejected"
    assert len(stand.org.calls) == 1


# Time


def test_whoever_asks_not_to_wait_does_not(stand: Stand) -> None:
    outcome = stand.create(lead(), at_once=False)
    assert (outcome.name, outcome.problem) == ("queued", None)
    assert stand.org.calls == [] and len(stand.outbox) == 1


def test_without_time_the_record_is_kept_all_the_same(stand: Stand) -> None:
    outcome = stand.create(lead(), seconds=0)
    assert (outcome.name, outcome.problem.code) == ("queued", "NO_TIME")
    assert stand.org.calls == [] and len(stand.outbox) == 1


def test_time_is_kept_back_for_the_queue(stand: Stand) -> None:
    stand.create(lead(), seconds=8)
    assert stand.org.calls[0].seconds == pytest.approx(6.5, abs=0.2)


@pytest.mark.parametrize("queue", ["outbox_url", "rejected_url"])
def test_what_nothing_takes_is_not_kept(stand: Stand, queue: str) -> None:
    stand.aws.broken[getattr(stand.settings, queue)] = AwsError("UNREACHABLE", "down")
    code = "SERVER_UNAVAILABLE" if queue == "outbox_url" else "STRING_TOO_LONG"
    stand.org.rules = [refuses(code)]
    outcome = stand.create(lead())
    assert outcome.name == "not_kept" and isinstance(outcome.problem, NotKept)
    assert outcome.cost.calls >= 1


def test_what_could_not_be_queued_is_not_tried(stand: Stand) -> None:
    with pytest.raises(RequestTooLarge):
        stand.create(lead(Description="x" * 1_000_000))
    assert stand.org.calls == []


def test_a_record_is_found_by_the_first_key_that_has_one(stand: Stand) -> None:
    row = stand.org.put("Lead", "k-2")
    found = stand.creator.find("Lead", ["k-1", "k-2"], deadline=Deadline.after(5))
    assert found is not None and (found[0], found[1].found.id) == ("k-2", row.id)
    assert stand.creator.find("Case", ["k-1"], deadline=Deadline.after(5)) is None
    stand.org.trouble = [fault("API_DISABLED_FOR_ORG", status=403)]
    with pytest.raises(OrgNotReady):
        stand.creator.find("Lead", ["k-1"], deadline=Deadline.after(5))


# A refusal that is the org's fault


@EACH_OBJECT
def test_without_the_right_to_create_records_wait_and_none_is_refused(
    stand: Stand, record: Record
) -> None:
    stand.org.rules = [refuses("INSUFFICIENT_ACCESS")]
    stand.org.createable[record.object] = False
    for key in ("k-1", "k-2", "k-3"):
        outcome = stand.create(replace(record, key=key))
        assert (outcome.name, outcome.problem.code) == ("queued", "NO_RIGHT_TO_CREATE")
    assert (len(stand.outbox), stand.rejected) == (3, [])
    assert len(stand.org.describes()) == 1


@pytest.mark.parametrize("given", [True, None, "no"])
def test_with_the_right_to_create_such_a_refusal_is_the_record_s(
    stand: Stand, clock: list[float], given: object
) -> None:
    stand.org.rules = [refuses("INSUFFICIENT_ACCESS")]
    stand.org.createable["Lead"] = given
    for key in ("k-1", "k-2"):
        assert stand.create(lead(key)).name == "rejected"
    assert len(stand.org.describes()) == 1
    # It is asked for again after some minutes.
    stand.org.createable["Lead"] = False
    time.sleep(REMEMBER_RIGHTS_SECONDS + 1)
    assert stand.create(lead("k-3")).name == "queued"


STANDS = ("rejected", "INSUFFICIENT_ACCESS")


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (fault("NOT_FOUND", status=404), STANDS),
        (Response(404, {}, b"<html>"), STANDS),
        (fault("METHOD_NOT_ALLOWED", status=405), STANDS),
        (fault("INSUFFICIENT_ACCESS", status=403), STANDS),
        (json_response(200, ["?"]), STANDS),
        (DOWN, STANDS),
        (NoResponse("broke off"), STANDS),
        (fault("INVALID_TYPE"), ("queued", "NO_RIGHT_TO_CREATE")),
        (fault("API_DISABLED_FOR_ORG", status=403), ("queued", "API_DISABLED_FOR_ORG")),
    ],
)
def test_where_the_right_cannot_be_found_out_a_refusal_stands(
    stand: Stand, response: Response | Exception, expected: tuple[str, str]
) -> None:
    stand.org.rules = [refuses("INSUFFICIENT_ACCESS")]
    stand.org.createable["Lead"] = False
    stand.org.trouble = [None, None, response]
    found = stand.create(lead())
    assert (found.name, found.problem.code) == expected
    if response is DOWN:  # without a response it is asked again
        assert stand.create(lead("k-2")).name == "queued"


def test_without_the_assignment_rule_that_is_configured_records_wait(
    settings: MakeSettings,
) -> None:
    stand = Stand(settings(LEAD_ASSIGNMENT="01Q8d00000555Ab"))
    stand.org.rules = [refuses("INVALID_CROSS_REFERENCE_KEY")]
    outcome = stand.create(lead())
    assert (outcome.name, outcome.problem.code) == ("queued", "NO_SUCH_ASSIGNMENT_RULE")


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

    stand.org._respond = slowly
    codes = [stand.create(lead()).problem.code for _ in range(3)]
    assert codes == ["NO_ANSWER", "NO_ANSWER", "CIRCUIT_OPEN"]
    assert (len(stand.org.calls), len(stand.outbox)) == (2, 3)


# Files

PICTURE = replace(outside(lead()), media=(Media("https://media.api.bird.com/1"),))


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


def test_files_are_queued_once_the_record_is_there(settings: MakeSettings) -> None:
    feed = Feed()
    stand = Stand(settings(CONVERSATIONS="off"), feed)
    assert [stand.create(PICTURE).name for _ in range(2)] == ["created", "exists"]
    assert len(feed.fed) == 2, "a caller repeats what may have been killed in between"
    assert stand.outbox == []
    stand.create(lead("other"))
    assert len(feed.fed) == 2, "a message without files"


@pytest.mark.parametrize("code", ["SERVER_UNAVAILABLE", "FIELD_CUSTOM_VALIDATION_EXCEPTION"])
def test_files_of_a_record_that_waits_wait_with_it(settings: MakeSettings, code: str) -> None:
    feed = Feed()
    stand = Stand(settings(CONVERSATIONS="off"), feed)
    stand.org.rules.append(refuses(code))
    stand.create(PICTURE)
    assert feed.fed == []
    (kept,) = [*stand.outbox, *stand.rejected]
    assert kept.message.media == PICTURE.media


@pytest.mark.parametrize("seconds", [4, 2.5])
def test_where_files_cannot_be_queued_there_is_time_left_for_the_outbox(
    settings: MakeSettings, clock: list[float], seconds: float
) -> None:
    stand = Stand(settings(CONVERSATIONS="off"), Feed(down=True))
    assert stand.create(PICTURE, seconds=seconds).name == "created"
    assert len(stand.outbox) == 1
    assert 0 < sum(clock) < seconds, "within the caller's time"
