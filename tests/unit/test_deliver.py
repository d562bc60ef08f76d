"""Many records, later: each judged by itself, none lost, none twice, none in another's way."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bridge.delivery.batch import DELAYS, MAX_BYTES, delay_seconds
from bridge.delivery.deliver import GIVE_UP_SECONDS, Delivery
from bridge.delivery.outbox import LONGEST_ENVELOPE, Envelope
from bridge.delivery.queues import SQS_BATCH, SQS_BATCH_BYTES
from bridge.delivery.work import LOOK_FIRST_SECONDS
from bridge.errors import (
    BadRequest,
    CredentialsRevoked,
    KeyFieldMissing,
    LimitExceeded,
    RowLocked,
    SalesforceProblem,
    Unavailable,
)
from bridge.http import NoResponse, Response
from bridge.oauth.sessions import Sessions
from bridge.records import Record
from bridge.salesforce.client import Salesforce
from bridge.settings import Settings
from bridge.telemetry import Telemetry
from tests.conftest import LoadEvent, MakeSettings
from tests.unit.doubles import (
    KEY,
    Rule,
    SmallAws,
    SmallOrg,
    fault,
    json_response,
    outside,
    refusal,
)

REJECTED = "https://sqs.eu-west-1.amazonaws.com/123456789012/Rejected"
OUTBOX = "https://sqs.eu-west-1.amazonaws.com/123456789012/Outbox"


class Sqs:
    """Two batch calls with the limits of the real ones. `failing` bodies are `Failed` entries."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.hidden: dict[str, int] = {}
        self.failing: Callable[[str], bool] = lambda body: False
        self.down = False

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:
        assert QueueUrl == REJECTED
        self._check(Entries)
        assert sum(len(e["MessageBody"].encode()) for e in Entries) <= 1024 * 1024
        response: dict[str, list[dict[str, str]]] = {"Successful": [], "Failed": []}
        for entry in Entries:
            if self.failing(entry["MessageBody"]):
                response["Failed"].append({"Id": entry["Id"], "Code": "InternalError"})
            else:
                self.sent.append(entry["MessageBody"])
                response["Successful"].append({"Id": entry["Id"]})
        return response

    def change_message_visibility_batch(
        self, *, QueueUrl: str, Entries: list[dict[str, Any]]
    ) -> Any:
        assert QueueUrl == OUTBOX
        self._check(Entries)
        for entry in Entries:
            assert 0 < entry["VisibilityTimeout"] <= 43_200
            self.hidden[entry["ReceiptHandle"]] = entry["VisibilityTimeout"]
        return {}

    def _check(self, entries: list[Any]) -> None:
        if self.down:
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "SQS")
        assert 0 < len(entries) <= 10
        assert len({entry["Id"] for entry in entries}) == len(entries)

    def rejected(self) -> list[Envelope]:
        return [Envelope.parse(body) for body in self.sent]


class Stand:
    """Deliver with an org, a queue and a token in memory."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.org = SmallOrg()
        self.sqs = Sqs()
        self.aws = SmallAws()
        self.aws.publish("token-1", 1)
        self.delivery = Delivery(
            salesforce=Salesforce(http=self.org, settings=settings),
            sessions=Sessions(aws=self.aws, settings=settings),
            sqs=self.sqs,
            settings=settings,
            telemetry=Telemetry(),
        )

    def run(self, *messages: dict[str, Any], seconds: float = 120) -> set[str]:
        """Deliver these; answers the message ids that SQS has to keep."""
        response = self.delivery.run({"Records": list(messages)}, seconds=seconds)
        kept = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
        assert len(kept) == len(set(kept))
        return set(kept)

    def batches(self) -> list[int]:
        """How many records each create had."""
        return [len(call.json()["records"]) for call in self.org.creates()]


@pytest.fixture
def stand(settings: MakeSettings) -> Stand:
    return Stand(settings())


def lead(key: str = "k-1", *, derived: tuple[str, ...] = (), **fields: Any) -> Record:
    return Record(
        object="Lead", key=key, fields={"LastName": key, **fields}, derived=frozenset(derived)
    )


def message(
    record: Record | str,
    *,
    message_id: str = "",
    age: float = 0,
    receives: int = 1,
    replayed: int = 0,
) -> dict[str, Any]:
    """A message as SQS hands it out; its id is the record's key."""
    if isinstance(record, Record):
        body = Envelope(message=outside(record), accepted_at="2026-09-24", replayed=replayed).dump()
        message_id = message_id or record.key
    else:
        body = record
    return {
        "messageId": message_id,
        "receiptHandle": f"handle of {message_id}",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(receives),
            "SentTimestamp": str(int((time.time() - age) * 1000)),
        },
    }


def messages(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [message(lead(f"k-{i:03}", **fields)) for i in range(count)]


def against(*keys: str, code: str = "STRING_TOO_LONG") -> Rule:
    """Refuses the records with these names."""
    return lambda values, crowd: refusal(code, "Title") if values["LastName"] in keys else None


CASE = Record(object="Case", key="c-1", fields={"Subject": "x"})
RULE = "01Q8d00000555Ab"
DOWN = Response(503, {}, b"<html>")


# What is done


def test_the_event_file_is_delivered(stand: Stand, event: LoadEvent) -> None:
    assert stand.delivery.run(event("deliver"), seconds=120) == {"batchItemFailures": []}
    assert [row.fields["LastName"] for row in stand.org.rows] == ["van Dijk"]


def test_two_hundred_records_are_one_call_and_are_made_once(stand: Stand) -> None:
    assert stand.run(*messages(200)) == set()
    assert (len(stand.org.rows), len(stand.org.calls)) == (200, 1)
    assert stand.run(*messages(3)) == set()
    assert len(stand.org.rows) == 200


def test_all_messages_of_one_key_are_settled_by_one_record(stand: Stand) -> None:
    twins = [message(lead("k-1"), message_id=f"m-{i}") for i in range(4)]
    assert stand.run(*twins) == set()
    assert stand.batches() == [1]
    stand.org.trouble = [DOWN]
    others = [message(lead("k-2"), message_id=f"m-{i}") for i in range(4)]
    assert stand.run(*others) == {"m-0", "m-1", "m-2", "m-3"}


def corrected() -> list[dict[str, Any]]:
    """A record with a title too long, and its repetition with a shorter one."""
    return [
        message(lead("k-1", Title="long"), message_id="wrong"),
        message(lead("k-1", Title="short"), message_id="right"),
    ]


def test_a_corrected_repetition_is_tried_where_the_first_is_refused(stand: Stand) -> None:
    stand.org.rules = [
        lambda values, crowd: values["Title"] == "long" and refusal("STRING_TOO_LONG", "Title")
    ]
    assert stand.run(*corrected()) == {"right"}
    assert stand.sqs.hidden == {"handle of right": 1}
    (refused,) = stand.sqs.rejected()
    assert refused.record.fields["Title"] == "long"
    assert stand.run(corrected()[1]) == set()
    assert [row.fields["Title"] for row in stand.org.rows] == ["short"]


def test_a_corrected_repetition_waits_with_the_first_whose_record_settles_it(stand: Stand) -> None:
    stand.org.trouble = [DOWN]
    assert stand.run(*corrected()) == {"wrong", "right"}
    assert set(stand.sqs.hidden) == {"handle of wrong", "handle of right"}
    assert stand.run(*corrected()) == set()
    assert len(stand.org.rows) == 1


def test_the_same_key_of_two_objects_is_two_records(stand: Stand) -> None:
    assert stand.run(message(lead("c-1")), message(CASE, message_id="c")) == set()
    assert {row.object for row in stand.org.rows} == {"Lead", "Case"}


@pytest.mark.parametrize("code", [None, "DUPLICATES_DETECTED", "FIELD_CUSTOM_VALIDATION_EXCEPTION"])
def test_a_lost_answer_makes_no_second_record_and_no_refusal(
    stand: Stand, code: str | None
) -> None:
    stand.org.lost = 1
    assert len(stand.run(*messages(5))) == 5
    stand.org.rules = [lambda values, crowd: code and refusal(code)]
    assert stand.run(*messages(5)) == set()
    assert (len(stand.org.rows), stand.sqs.sent) == (5, [])


# Groups and chunks


def test_each_set_of_headers_is_a_call_of_its_own(settings: MakeSettings) -> None:
    stand = Stand(settings(LEAD_ASSIGNMENT=RULE, CASE_ASSIGNMENT="off"))
    owned = lead("k-1", ownerid="0058d00000555Ab")
    assert stand.run(*map(message, (lead("k-0"), owned, CASE, lead("k-3")))) == set()
    calls = {
        call.headers["Sforce-Auto-Assign"] + records[0]["attributes"]["type"]: len(records)
        for call in stand.org.creates()
        for records in [call.json()["records"]]
    }
    assert calls == {f"{RULE}Lead": 2, "FALSELead": 1, "FALSECase": 1}


@pytest.mark.parametrize(
    ("receives", "batches"),
    [(1, [120, 120]), (2, [50, 50, 20, 120]), (3, [*[10] * 12, 120]), (900, [*[10] * 12, 120])],
)
def test_a_repeated_message_goes_in_smaller_calls_than_new_ones(
    stand: Stand, receives: int, batches: list[int]
) -> None:
    again = [message(lead(f"again-{i:03}"), receives=receives) for i in range(120)]
    new = messages(120) if receives > 1 else []
    assert stand.run(*again, *new) == set()
    assert stand.batches() == batches[: len(batches) if new else 1]


def test_a_call_has_at_most_so_many_bytes_unless_one_record_has_more(stand: Stand) -> None:
    big = [message(lead(f"k-{i}", Description="שx" * 100_000)) for i in range(12)]
    assert stand.run(*big) == set()
    assert stand.batches() == [6, 6]
    assert all(len(c.body or b"") < MAX_BYTES + 100 for c in stand.org.creates())
    huge = {"v": 2, "object": "Lead", "key": "huge", "fields": {"LastName": "x" * MAX_BYTES}}
    assert stand.run(message(json.dumps(huge), message_id="huge"), message(lead("small"))) == set()
    assert stand.batches() == [6, 6, 1, 1]


# Refusals


def test_a_refused_record_goes_to_rejected_and_its_neighbours_to_salesforce(stand: Stand) -> None:
    stand.org.rules = [against("k-3")]
    assert stand.run(*messages(9), message(lead("k-3"), receives=7)) == set()
    assert len(stand.org.rows) == 9
    (kept,) = stand.sqs.rejected()
    assert (kept.record, kept.accepted_at) == (lead("k-3"), "2026-09-24")
    reason = {name: kept.reason[name] for name in ("code", "fields", "attempts")}
    assert reason == {"code": "STRING_TOO_LONG", "fields": ["Title"], "attempts": 7}


def by_one_bad_record(*keys: str, code: str = "JSON_PARSER_ERROR", status: int = 400) -> Any:
    """Salesforce refuses a whole call for one record that it cannot read."""

    def whole_call(records: list[dict[str, Any]]) -> Response | None:
        bad = any(record["LastName"] in keys for record in records)
        return fault(code, status=status) if bad else None

    return whole_call


@pytest.mark.parametrize("position", [0, 63, 199])
def test_the_record_that_spoils_a_call_is_found_by_halving(stand: Stand, position: int) -> None:
    stand.org.whole_call = by_one_bad_record(f"k-{position:03}")
    assert stand.run(*messages(200)) == set()
    assert len(stand.org.rows) == 199
    assert [e.record.key for e in stand.sqs.rejected()] == [f"k-{position:03}"]
    assert len(stand.org.calls) <= 18


@pytest.mark.parametrize(
    "code", ["INVALID_FIELD", "JSON_PARSER_ERROR", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"]
)
def test_two_hundred_refusals_cost_little_more_than_a_call_each(stand: Stand, code: str) -> None:
    if code.startswith("CANNOT_"):
        stand.org.rules = [lambda values, crowd: refusal(code)]
    else:
        stand.org.whole_call = lambda records: fault(code)
    assert stand.run(*messages(200)) == set()
    assert len(stand.sqs.rejected()) == 200
    assert stand.batches().count(1) == 200  # each was refused alone
    assert len(stand.org.creates()) + len(stand.org.lookups()) <= 220


def test_the_records_of_a_flow_with_an_unknown_field_are_told_from_the_others(stand: Stand) -> None:
    unknown = fault("INVALID_FIELD", "No such column 'Colour' on sobject of type Lead")
    stand.org.whole_call = lambda records: unknown if any("Colour" in r for r in records) else None
    of_two_flows = [lead(f"k-{i:03}", **({"Colour": "blue"} if i % 2 else {})) for i in range(200)]
    assert stand.run(*map(message, of_two_flows)) == set()
    assert (len(stand.org.rows), len(stand.sqs.rejected())) == (100, 100)
    assert len(stand.org.calls) <= 130


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_what_was_refused_alone_and_looked_for_is_rejected(stand: Stand, share: float) -> None:
    chance = random.Random(1)
    bad = {f"k-{i:03}" for i in range(120) if chance.random() < share}
    there = {key for key in bad if chance.random() < 0.2}
    for key in there:
        stand.org.put("Lead", key)
    stand.org.whole_call = by_one_bad_record(*bad)
    assert stand.run(*messages(120)) == set()
    assert {e.record.key for e in stand.sqs.rejected()} == bad - there
    made = [row.fields[KEY] for row in stand.org.rows]
    assert sorted(made) == sorted({f"k-{i:03}" for i in range(120)} - bad | there)
    calls = [call.json()["records"] for call in stand.org.creates()]
    assert bad <= {records[0]["LastName"] for records in calls if len(records) == 1}


def test_what_was_decided_before_salesforce_went_away_is_decided(stand: Stand) -> None:
    stand.org.whole_call = lambda records: (
        DOWN if len(stand.org.creates()) > 80 else fault("JSON_PARSER_ERROR")
    )
    kept = stand.run(*messages(200))
    assert len(kept) + len(stand.sqs.sent) == 200
    assert len(stand.sqs.sent) >= 45  # 80 calls: ten for the search, twenty not looked up yet


@pytest.mark.parametrize(
    "code", ["CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER"]
)
def test_a_trigger_that_cannot_bear_a_crowd_condemns_nobody(stand: Stand, code: str) -> None:
    stand.org.rules = [lambda values, crowd: refusal(code) if crowd > 30 else None]
    assert stand.run(*messages(200)) == set()
    assert (len(stand.org.rows), stand.sqs.sent) == (200, [])


def test_our_own_fields_at_fault_cost_the_fields_once_and_not_the_lead(stand: Stand) -> None:
    stand.org.rules = [
        lambda values, crowd: "Email" in values and refusal("X", "Email"),
        lambda values, crowd: values.get("Phone") == "p" and refusal("X", "Phone"),
    ]
    mine = lead("mine", Email="odd@", derived=("Email",))
    theirs = lead("theirs", Email="odd@")
    two = lead("two", Email="e", Phone="p", derived=("Email", "Phone"))
    assert stand.run(message(mine), message(theirs), message(two)) == set()
    assert [row.fields["LastName"] for row in stand.org.rows] == ["mine"]
    # Whoever replays it, when the org takes those fields again, has them still.
    assert [kept.record for kept in stand.sqs.rejected()] == [theirs, two]


NOT_FOUND = f"Foreign key external ID: nobody not found for field {KEY} in entity Lead"


@pytest.mark.parametrize("whole", [True, False], ids=["the whole call", "the record"])
def test_a_link_to_a_record_that_is_not_there_is_rejected_alone(stand: Stand, whole: bool) -> None:
    if whole:
        stand.org.whole_call = lambda records: (
            fault("INVALID_FIELD", NOT_FOUND) if any("Parent" in one for one in records) else None
        )
    else:
        stand.org.rules = [
            lambda values, crowd: "Parent" in values and refusal("INVALID_FIELD", message=NOT_FOUND)
        ]
    assert stand.run(*messages(20), message(lead("bad", Parent={KEY: "nobody"}))) == set()
    assert len(stand.org.rows) == 20
    (kept,) = stand.sqs.rejected()
    assert kept.record.key == "bad" and kept.reason["fields"] == [f"Parent.{KEY}"]


def test_while_our_field_is_missing_a_link_by_it_waits_like_all_others(stand: Stand) -> None:
    missing = fault("INVALID_FIELD", f"No such column '{KEY}' on sobject of type Lead")
    stand.org.whole_call, stand.org.key_field = lambda records: missing, None
    assert len(stand.run(*messages(40, Parent={KEY: "nobody"}))) == 40
    assert stand.sqs.sent == []
    assert len(stand.org.calls) <= 10


# A refusal that is the org's fault


@pytest.mark.parametrize("whole", [True, False], ids=["the whole call", "each record"])
@pytest.mark.parametrize(
    ("code", "kept"),
    [
        pytest.param("INSUFFICIENT_ACCESS", 203, id="no right to create leads"),
        pytest.param("INVALID_CROSS_REFERENCE_KEY", 200, id="no such assignment rule"),
    ],
)
def test_those_that_the_org_is_at_fault_for_wait_and_no_others(
    settings: MakeSettings, code: str, kept: int, whole: bool
) -> None:
    def is_refused(values: dict[str, Any]) -> bool:
        by_the_rule = "OwnerId" not in values
        return "LastName" in values and (by_the_rule or code == "INSUFFICIENT_ACCESS")

    stand = Stand(settings(LEAD_ASSIGNMENT=RULE))
    stand.org.createable["Lead"] = code != "INSUFFICIENT_ACCESS"
    if whole:
        stand.org.whole_call = lambda records: fault(code) if is_refused(records[0]) else None
    else:
        stand.org.rules = [lambda values, crowd: refusal(code) if is_refused(values) else None]
    owned = [message(lead(f"o-{i}", OwnerId="0058d00000555Ab")) for i in range(3)]
    assert len(stand.run(*messages(200), *owned, message(CASE))) == kept
    assert len(stand.org.rows) == 204 - kept
    assert stand.sqs.sent == []
    assert len(stand.org.describes()) <= 1
    assert len(stand.org.calls) <= 15


@pytest.mark.parametrize("code", ["INSUFFICIENT_ACCESS_OR_READONLY", "INVALID_CROSS_REFERENCE_KEY"])
def test_where_the_org_takes_others_only_the_record_at_fault_is_rejected(
    settings: MakeSettings, code: str
) -> None:
    stand = Stand(settings(LEAD_ASSIGNMENT=RULE))
    stand.org.rules = [against("k-003", "k-007", code=code)]
    assert stand.run(*messages(10)) == set()
    assert [e.record.key for e in stand.sqs.rejected()] == ["k-003", "k-007"]
    assert len(stand.org.describes()) == (1 if code.startswith("INSUFFICIENT") else 0)


# Deleted, old, replayed


def moved_back(record: Record) -> dict[str, Any]:
    """A message that SQS's own redrive made: it is new, and nothing says that it was replayed."""
    envelope = Envelope(message=outside(record), accepted_at="2026-09-24")
    return message(envelope.refused(RowLocked("locked"), attempts=9).dump())


@pytest.mark.parametrize(
    ("again", "looked_for"),
    [
        pytest.param(partial(message, age=LOOK_FIRST_SECONDS + 5), True, id="old"),
        pytest.param(partial(message, replayed=1), True, id="replayed"),
        pytest.param(moved_back, True, id="moved back from Rejected"),
        pytest.param(partial(message, age=LOOK_FIRST_SECONDS - 5), False, id="new"),
    ],
)
def test_what_may_have_been_deleted_is_looked_for_first(
    stand: Stand, again: Callable[..., dict[str, Any]], looked_for: bool
) -> None:
    stand.org.put("Lead", "k-1")
    stand.org.put("Lead", "k-2", deleted=True)
    assert stand.run(*(again(lead(key)) for key in ("k-1", "k-2", "k-3"))) == set()
    assert stand.batches() == ([1] if looked_for else [3])
    assert len(stand.org.lookups()) == 1
    assert len([row for row in stand.org.rows if not row.deleted]) == (2 if looked_for else 3)


def test_without_a_key_field_nothing_is_looked_for(settings: MakeSettings) -> None:
    stand = Stand(settings(EXTERNAL_ID_FIELD=""))
    stand.org.rules = [against("k-1")]
    assert stand.run(message(lead("k-1"), age=9999), message(lead("k-2"))) == set()
    assert stand.org.lookups() == []
    assert KEY not in stand.org.rows[0].fields
    assert len(stand.sqs.sent) == 1


# Trouble


@pytest.mark.parametrize(
    "trouble",
    [
        *(NoResponse("reset"), DOWN, Response(200, {}, b"")),
        json_response(200, [{"id": "00Q8d00000555Ab", "success": True, "errors": []}]),
        fault("REQUEST_LIMIT_EXCEEDED", status=403),
        fault("API_DISABLED_FOR_ORG", status=403),
        fault("INVALID_FIELD", f"No such column '{KEY}' on sobject of type Lead"),
        fault("UNABLE_TO_LOCK_ROW"),
    ],
)
def test_trouble_of_the_org_costs_one_call_and_keeps_everything(stand: Stand, trouble: Any) -> None:
    stand.org.trouble = [trouble]
    wanted = [message(lead(f"k-{i:03}"), receives=3) for i in range(50)]
    kept = stand.run(*wanted)
    assert stand.sqs.sent == []
    if isinstance(trouble, Response) and trouble.status == 200:
        # An unreadable answer says nothing about the next call.
        assert {f"k-{i:03}" for i in range(10)} <= kept
    else:
        assert kept == {m["messageId"] for m in wanted}
        assert (len(stand.org.calls), len(stand.sqs.hidden)) == (1, 50)


@pytest.mark.parametrize("age", [0, LOOK_FIRST_SECONDS + 5])
@pytest.mark.parametrize(
    "trouble",
    [
        fault("INVALID_TYPE", "sObject type 'Case' is not supported."),
        fault("INVALID_FIELD", f"No such column '{KEY}' on entity 'Case'."),
    ],
)
def test_trouble_with_cases_keeps_no_lead_back(stand: Stand, age: float, trouble: Response) -> None:
    stand.org.trouble = [trouble]
    leads = [lead("k-1"), lead("k-2", OwnerId="0058d00000555AbIAQ")]
    wanted = [CASE, leads[0], replace(CASE, key="c-2"), leads[1]]
    assert stand.run(*(message(record, age=age) for record in wanted)) == {"c-1", "c-2"}
    assert [row.object for row in stand.org.rows] == ["Lead", "Lead"]
    assert stand.sqs.sent == []


@pytest.mark.parametrize("code", ["UNABLE_TO_LOCK_ROW", "INVALID_SESSION_ID"])
def test_one_record_s_trouble_keeps_that_record(stand: Stand, code: str) -> None:
    stand.org.rules = [against("k-001", code=code)]
    assert stand.run(*messages(3)) == {"k-001"}
    assert set(stand.sqs.hidden) == {"handle of k-001"}


def test_an_expired_session_is_renewed_in_the_middle(stand: Stand) -> None:
    stand.org.tokens = {"token-2"}
    stand.aws.refresh = lambda payload: stand.aws.publish("token-2", 2) or {"generation": 2}
    assert stand.run(*messages(5)) == set()
    assert len(stand.org.rows) == 5


@pytest.mark.parametrize("code", ["UNKNOWN_EXCEPTION", "APEX_ERROR"])
def test_a_record_that_makes_salesforce_fail_keeps_no_neighbours(stand: Stand, code: str) -> None:
    stand.org.whole_call = lambda records: fault(code, status=500)
    assert len(stand.run(*messages(200))) == 200
    assert len(stand.org.calls) <= 21, "the search ends"
    stand.org.whole_call = by_one_bad_record("k-123", code=code, status=500)
    assert stand.run(*messages(200)) == {"k-123"}, "and begins anew"
    assert (len(stand.org.rows), stand.sqs.sent) == (199, [])


def test_with_little_time_left_no_call_is_begun(stand: Stand) -> None:
    assert len(stand.run(*messages(3), seconds=59)) == 3
    assert stand.org.calls == []


# Unreadable messages


def test_an_unreadable_message_goes_to_rejected_whole(stand: Stand, event: LoadEvent) -> None:
    bad = event("deliver.unreadable")["Records"]
    assert stand.run(*bad, *messages(2)) == set()
    assert len(stand.org.rows) == 2
    (body,) = stand.sqs.sent
    assert json.loads(body)["unreadable"] == bad[0]["body"]
    assert json.loads(body)["reason"]["code"] == "UNREADABLE_MESSAGE"


FORGED = {"object": "Lead", "key": "forged", "fields": {"LastName": "x"}}


@pytest.mark.parametrize(
    "body",
    [
        *("", "\x00\ufffe", "[" * 100_000),
        json.dumps({**FORGED, "derived": [1, "a"]}),
        json.dumps({**FORGED, "fields": {"attributes": {"type": "User"}}}),
    ],
    ids=["empty", "not UTF-8", "nested without end", "derived", "attributes"],
)
def test_a_poisonous_message_never_blocks_its_neighbours(stand: Stand, body: str) -> None:
    poison = message(body, message_id="poison")
    del poison["attributes"]
    assert stand.run(poison, *messages(2)) == set()
    assert len(stand.org.rows) == 2
    assert [json.loads(sent)["unreadable"] for sent in stand.sqs.sent] == [body]


def test_a_lone_surrogate_never_blocks_its_neighbours(stand: Stand) -> None:
    poison = [
        message(lead("k-1", Description="\ud800"), age=9999),
        message(lead("\ud800"), message_id="odd key", age=9999),
    ]
    assert stand.run(*poison, *messages(2)) == set()
    assert len(stand.org.rows) == 4


def test_a_message_too_large_to_wrap_goes_as_it_came(stand: Stand) -> None:
    unreadable = ['"' * 600_000, "ש" * 400_000]
    record = {"v": 2, "object": "Lead", "key": "k", "fields": {"LastName": "ש" * 400_000}}
    forged = json.dumps(record, ensure_ascii=False)
    stand.org.rules = [lambda values, crowd: refusal("STRING_TOO_LONG", "Title")]
    bodies = [*unreadable, forged]
    assert stand.run(*(message(body, message_id=body[:2]) for body in bodies)) == set()
    assert stand.sqs.sent == bodies


# Rejected, and giving up


def test_nothing_is_acknowledged_that_rejected_did_not_take(stand: Stand) -> None:
    stand.org.rules = [against("k-001", "k-002")]
    stand.sqs.failing = lambda body: "k-002" in body
    assert stand.run(*messages(4)) == {"k-002"}
    stand.sqs.down = True
    assert stand.run(*messages(4), message("?", message_id="bad")) == {"k-001", "k-002", "bad"}


@pytest.mark.parametrize("call", ["send_message_batch", "change_message_visibility_batch"])
def test_an_answer_of_sqs_that_cannot_be_read_undoes_nothing(stand: Stand, call: str) -> None:
    def garbled(**request: Any) -> Any:
        raise AttributeError("'list' object has no attribute 'get'")  # boto3's, of such an answer

    setattr(stand.sqs, call, garbled)
    stand.org.rules = [against("k-001"), against("k-002", code="UNABLE_TO_LOCK_ROW")]
    kept = stand.run(*messages(4))
    assert kept == ({"k-001", "k-002"} if call == "send_message_batch" else {"k-002"})


def test_rejected_gets_ten_at_a_time_and_no_more_bytes_than_a_call_takes(stand: Stand) -> None:
    stand.org.rules = [lambda values, crowd: refusal("STRING_TOO_LONG")]
    assert stand.run(*messages(35)) == set()
    assert len(stand.sqs.sent) == 35
    room = LONGEST_ENVELOPE - 2000
    large = [message(lead(f"large-{i}", Description="x" * room)) for i in range(3)]
    assert stand.run(*large) == set()
    assert len(stand.sqs.sent) == 38
    assert SQS_BATCH == 10 and SQS_BATCH_BYTES < 1024 * 1024


def test_a_refusal_without_end_reaches_rejected(stand: Stand) -> None:
    endless = refusal("X" * 10**6, *["f" * 10**5] * 200, message="m" * 10**6)
    stand.org.rules = [lambda values, crowd: endless]
    stand.run(message(lead()))
    assert len(stand.sqs.sent) == 1


def test_after_a_week_what_still_cannot_be_delivered_is_rejected_with_the_reason(
    stand: Stand,
) -> None:
    assert stand.run(message(lead("late"), age=GIVE_UP_SECONDS + 60)) == set()
    assert len(stand.org.rows) == 1 and stand.sqs.sent == []
    stand.org.trouble = [None, DOWN]
    old = message(lead("old"), age=GIVE_UP_SECONDS + 60, receives=600)
    young = message(lead("young"), age=GIVE_UP_SECONDS - 60, receives=600)
    assert stand.run(old, young) == {"young"}
    (kept,) = stand.sqs.rejected()
    assert (kept.record.key, kept.accepted_at) == ("old", "2026-09-24")
    assert kept.reason["code"] == "HTTP_503"


# Delays


@pytest.mark.parametrize(
    ("problem", "first", "longest"),
    [
        (LimitExceeded("x"), 900, 6 * 3600),
        (KeyFieldMissing("x"), 120, 1800),
        (CredentialsRevoked("x"), 120, 1800),
        (RowLocked("x"), 5, 900),
        (Unavailable("x"), 20, 900),
        (None, 20, 900),
    ],
)
def test_a_delay_grows_with_jitter_up_to_a_bound(
    problem: SalesforceProblem | None, first: float, longest: float
) -> None:
    random.seed(7)
    for attempts in (1, 2, 3, 5, 10, 50, 1000):
        full = min(longest, first * 2 ** (attempts - 1))
        delays = {delay_seconds(problem, attempts=attempts) for _ in range(50)}
        assert all(max(1, int(full / 2)) <= delay <= full for delay in delays)
        assert len(delays) > 1
    assert delay_seconds(problem, attempts=0) >= 1


@pytest.mark.parametrize(
    ("given", "shortest"),
    [("7200", 7200), (" 40 ", 40), ("999999", 21_600), ("-5", 1), ("Wed, 21 Oct 2026", 1), ("", 1)],
)
@pytest.mark.parametrize(
    "body", [b"", b'[{"errorCode":"SERVER_UNAVAILABLE","message":"x"}]'], ids=["bare", "coded"]
)
def test_retry_after_is_respected(stand: Stand, body: bytes, given: str, shortest: int) -> None:
    stand.org.trouble = [Response(503, {"retry-after": given}, body)]
    assert len(stand.run(*messages(2))) == 2
    assert all(shortest <= seconds <= max(shortest, 20) for seconds in stand.sqs.hidden.values())


def test_a_week_s_outage_does_not_use_up_the_receives() -> None:
    """The queue moves a message to Rejected after 1,000 receives, with its old age."""
    random.seed(7)
    for kind, _, _ in DELAYS:
        passed = receives = 0
        while passed < GIVE_UP_SECONDS:
            receives += 1
            passed += delay_seconds(kind("x"), attempts=receives)
        assert receives < 1000


def test_what_cannot_be_delayed_stays_all_the_same(stand: Stand) -> None:
    stand.org.trouble = [DOWN, DOWN]
    without = message(lead("k-1"))
    del without["receiptHandle"]
    assert stand.run(without) == {"k-1"}
    assert stand.sqs.hidden == {}
    stand.sqs.down = True
    assert len(stand.run(*messages(25))) == 25


# Telling


def test_what_waits_for_a_person_is_told_once(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    stand.org.trouble = [fault("API_DISABLED_FOR_ORG", status=403)]
    stand.run(*messages(50))
    assert capsys.readouterr().out.count('"NotSetUp":') == 1


def test_what_records_became_is_counted(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    stand.org.rules = [
        against("k-000"),
        against("k-001", code="DUPLICATES_DETECTED"),
        against("k-002", code="UNABLE_TO_LOCK_ROW"),
    ]
    stand.org.put("Lead", "k-003")
    stand.run(*messages(10))
    lines = list(map(json.loads, capsys.readouterr().out.splitlines()))
    counted = {"Rejected": 1, "Duplicate": 1, "Delayed": 1, "Existing": 1, "Created": 6}
    for name, count in counted.items():
        assert sum(line.get(f"Records{name}", [0])[0] for line in lines) == count


def lines(capsys: pytest.CaptureFixture[str], **having: object) -> list[dict[str, Any]]:
    """What was logged with these values."""
    found = map(json.loads, capsys.readouterr().out.splitlines())
    return [line for line in found if line.items() >= having.items()]


def test_only_a_channel_of_the_table_becomes_a_metric_s_dimension(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, channel in enumerate(("whatsapp", "none", "anna@example.com", "+491512345")):
        record = {"v": 2, "object": "Lead", "key": f"k-{number}", "fields": {"LastName": "x"}}
        stand.run(message(json.dumps({**record, "channel": channel}), message_id=f"k-{number}"))
    channels = [line["channel"] for line in lines(capsys, message="record")]
    assert channels == ["whatsapp", "none", "other", "other"]


def test_every_record_has_a_line_of_its_own_at_every_log_level(
    stand: Stand, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what waits nothing else tells: SQS hides a message that is delayed."""
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "ERROR")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "quiet")
    stand.org.trouble = [NoResponse("broke off")]
    stand.run(message(lead("k-1"), receives=3, age=300), message(lead("k-2")))
    line, other = lines(capsys, message="record", outcome="delayed", code="NO_ANSWER")
    assert (line["key"], line["attempts"], other["key"]) == ("k-1", 3, "k-2")
    assert (line["object"], line["RecordsDelayed"]) == ("Lead", [1.0])
    assert 299 <= line["age_seconds"] <= 310
    assert line["delay_seconds"] == next(v for k, v in stand.sqs.hidden.items() if "k-1" in k)
    stand.run(message(lead("k-1"), receives=4))
    assert lines(capsys, message="record", key="k-1", outcome="created")


# What SQS would never send


@pytest.mark.parametrize(
    "event",
    [None, [], "x", 7, {"Records": 7}, {"Records": {"a": 1}}, {"Records": [7]}, {"Records": [{}]}],
)
def test_what_is_no_sqs_event_is_refused_before_anything_is_done(stand: Stand, event: Any) -> None:
    good = message(lead())
    with pytest.raises(BadRequest):
        stand.delivery.run(event, seconds=120)
    with pytest.raises(BadRequest):
        stand.delivery.run({"Records": [good, {"body": good["body"]}]}, seconds=120)
    assert stand.delivery.run({}, seconds=120) == {"batchItemFailures": []}
    assert not stand.org.calls and not stand.sqs.sent


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "9" * 5000, float("inf"), "x", []])
def test_an_odd_number_of_sqs_s_keeps_no_message_back(stand: Stand, number: Any) -> None:
    names = ("SentTimestamp", "ApproximateReceiveCount")
    odd = {**message(lead()), "attributes": dict.fromkeys(names, number)}
    assert stand.run(odd, message(lead("k-2"))) == set()
    stand.org.trouble = [NoResponse("broke off")]
    assert stand.run(odd) == {"k-1"}
