"""What a later step of a flow adds to a record: PATCH /leads/{key}, PATCH /cases/{key}.

Most tests run twice: with the caller waiting, and through the outbox.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.conversations.message import read_moment
from bridge.delivery.outbox import Envelope
from bridge.errors import Unsigned
from bridge.records import ObjectName, stored_key
from sandbox.org import OrgServer, sample

from .conftest import Bundle, Reply
from .test_timeline import C, bird, closed, only, only_other

Patch = Callable[..., Reply | None]


@pytest.fixture(params=["now", "later"])
def patch(request: pytest.FixtureRequest, bundle: Bundle) -> Patch:
    """Changes a record; the reply where a caller waited."""

    def send(key: str, body: Any, name: ObjectName = "Lead") -> Reply | None:
        if request.param == "now":
            return bundle.patch(key, body, name)
        bundle.queue_update(key, body, name)
        bundle.deliver()
        return None

    return send


def by_person(bundle: Bundle, name: str, record_id: str, **fields: Any) -> None:
    bundle.org.update(name, record_id, fields, user=sample.ADMIN_USER)


@pytest.mark.parametrize("name", ["Lead", "Case"])
@pytest.mark.parametrize("key", ["Conversation-1", C, "message-1", "message-2"])
def test_the_key_of_a_conversation_or_a_message_leads_to_its_record(
    bundle: Bundle, patch: Patch, name: ObjectName, key: str
) -> None:
    bundle.post(bird(1), name)
    bundle.post(bird(2), name)
    field = "Industry" if name == "Lead" else "Reason"
    reply = patch(key, {field: "Retail", "bird": None}, name)
    record = only(bundle, name)
    assert record[field] == "Retail"
    if reply:
        assert (reply.status, reply["outcome"], reply["success"]) == (200, "updated", True)
        assert (reply["id"], reply["key"], reply.calls) == (record["Id"], stored_key(key), 1)
        assert reply["url"].endswith(record["Id"])
        if name == "Case":
            assert reply["number"] == record["CaseNumber"]
    assert not bundle.rejected and not bundle.outbox
    assert len(bundle.org.records("Task")) == 2


def test_without_conversations_the_record_has_the_message_s_key(
    deploy: Callable[..., Bundle],
) -> None:
    bundle = deploy(CONVERSATIONS="off")
    bundle.post(bird(1))
    assert bundle.patch("message-1", {"Industry": "Retail"}).calls == 1
    bundle.queue_update("message-1", {"Rating": "Hot"})
    bundle.deliver()
    lead = only(bundle, "Lead")
    assert (lead["Industry"], lead["Rating"]) == ("Retail", "Hot")
    done = bundle.org.convert(lead["Id"])
    reply = bundle.patch("message-1", {"Rating": "Warm"})
    assert (reply.status, reply["existingId"]) == (409, done.contact_id)
    bundle.queue_update("message-1", {"Rating": "Warm"})
    bundle.deliver()
    assert [one.reason["code"] for one in bundle.rejected if one.reason] == [
        "CANNOT_UPDATE_CONVERTED_LEAD"
    ]


def test_a_conversation_means_its_open_record_and_a_record_s_key_that_record(
    bundle: Bundle, patch: Patch
) -> None:
    bundle.post(bird(1), "Case")
    old = only(bundle, "Case")
    closed(bundle, old["Id"], days=9)
    patch("Conversation-1", {"Reason": "a"}, "Case")  # closed, and the newest
    bundle.post(bird(2), "Case")
    new = only_other(bundle, "Case", old["Id"])
    patch("Conversation-1", {"Reason": "b"}, "Case")
    patch("message-1", {"Type": "c"}, "Case")
    patch(new["Bird_Key__c"], {"Type": "d"}, "Case")
    found = [bundle.org.get("Case", one["Id"]) or {} for one in (old, new)]
    assert [(case["Reason"], case["Type"]) for case in found] == [("a", "c"), ("b", "d")]


@pytest.mark.parametrize("name", ["Lead", "Case"])
@pytest.mark.parametrize("key", ["Conversation-1", "message-2"])
def test_after_a_merge_of_the_newest_of_several_the_winner_gets_it(
    bundle: Bundle, patch: Patch, name: ObjectName, key: str
) -> None:
    """The key of a conversation leads where its next message goes (GET and PATCH alike)."""
    bundle.post(bird(1), name)
    first = only(bundle, name)["Id"]
    if name == "Lead":
        bundle.org.update("Lead", first, {"Status": "Unqualified"})
    else:
        closed(bundle, first, days=9)
    bundle.org.clock.advance(2)
    bundle.post(bird(2), name)
    winner = bundle.org.create(name, {"LastName": "w", "Company": "w"} if name == "Lead" else {})
    bundle.org.merge(name, winner, only_other(bundle, name, first, winner)["Id"])
    assert bundle.post(bird(3), name)["id"] == winner
    assert bundle.get("Conversation-1", name)["id"] == winner
    patch(key, {"Description": "later"}, name)
    assert (bundle.org.get(name, winner) or {})["Description"] == "later"


@pytest.mark.parametrize("key", ["Conversation-1", "message-1"])
def test_a_converted_lead_takes_nothing_and_the_contact_is_named(
    bundle: Bundle, patch: Patch, key: str
) -> None:
    bundle.post(bird(1))
    done = bundle.org.convert(only(bundle, "Lead")["Id"])
    reply = patch(key, {"Industry": "Retail"})
    if reply:
        assert (reply.status, reply["outcome"], reply["kept"]) == (409, "failed", False)
        assert reply["existingId"] == done.contact_id
        assert not bundle.rejected and not bundle.outbox
    else:  # it was accepted, so it cannot vanish
        (rejected,) = bundle.rejected
        assert rejected.reason and rejected.reason["code"] == "CANNOT_UPDATE_CONVERTED_LEAD"
        assert rejected.reason["existingId"] == done.contact_id


def test_what_salesforce_refuses_is_kept_and_replayed(bundle: Bundle, patch: Patch) -> None:
    bundle.post(bird(1))
    rule = bundle.org.add_validation_rule("Lead", lambda lead: lead.get("Rating") == "Hot", "no")
    reply = patch("Conversation-1", {"Rating": "Hot"})
    if reply:
        assert (reply.status, reply["outcome"], reply["kept"]) == (422, "rejected", True)
        assert reply["code"] == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    (rejected,) = bundle.rejected
    assert (rejected.kind, dict(rejected.message.fields)) == ("update", {"Rating": "Hot"})
    bundle.org.rules.validation.remove(rule)
    bundle.replay()
    bundle.deliver()
    assert only(bundle, "Lead")["Rating"] == "Hot" and not bundle.rejected


def test_an_update_waits_a_day_for_its_record(bundle: Bundle) -> None:
    reply = bundle.patch("Conversation-1", {"Industry": "Retail"})
    assert (reply.status, reply["outcome"]) == (202, "queued")
    assert "24 hours" in reply["message"]
    bundle.deliver(age=23 * 3600)
    assert len(bundle.outbox) == 1
    bundle.queue(bird(1))
    bundle.deliver()  # both: the record is made first
    assert only(bundle, "Lead")["Industry"] == "Retail"
    assert not bundle.outbox and not bundle.rejected


def test_after_a_day_without_a_record_an_update_is_rejected(
    bundle: Bundle, server: OrgServer
) -> None:
    bundle.patch("nobody", {"Industry": "Retail"})
    with server.down():  # that nobody could tell says nothing
        bundle.patch("nobody-2", {"Industry": "Retail"})
    let_hours_pass(bundle, 25)
    bundle.deliver(age=25 * 3600)
    (rejected,) = bundle.rejected
    assert (rejected.key, (rejected.reason or {})["code"]) == ("nobody", "NO_SUCH_RECORD")
    assert len(bundle.outbox) == 1
    bundle.replay()
    bundle.deliver()
    assert len(bundle.outbox) == 2 and not bundle.rejected  # a replayed one has another day


def let_hours_pass(bundle: Bundle, hours: float) -> None:
    """As if what waits had been accepted so long ago."""
    for at, body in enumerate(bundle.outbox):
        values = json.loads(body)
        for name in ("acceptedAt", "notThereSince"):
            if name in values:
                moment = read_moment(values[name])
                assert moment
                values[name] = (moment - timedelta(hours=hours)).isoformat()
        bundle.outbox[at] = json.dumps(values)


def test_of_each_field_the_latest_value_of_a_batch_is_written(bundle: Bundle) -> None:
    bundle.post(bird(1))
    for number in range(3):
        bundle.queue_update(
            "Conversation-1",
            {"Rating": f"R{number}", f"F{number}": None}
            | {("Industry", "Website", "City")[number]: f"v{number}"},
        )
    before = len(bundle.http.calls)
    bundle.outbox.reverse()
    bundle.deliver()
    lead = only(bundle, "Lead")
    assert (lead["Rating"], lead["Industry"], lead["City"]) == ("R2", "v0", "v2")
    assert len(bundle.http.calls) - before == 3  # look, read, write


def test_a_person_s_newer_change_is_never_overwritten(bundle: Bundle) -> None:
    bundle.post({**bird(1), "Rating": "Cold"})
    lead = only(bundle, "Lead")["Id"]
    bundle.queue_update(
        "message-1", {"Rating": "Hot", "Industry": "Retail", "City": "Delft", "Website": "x"}
    )
    bundle.org.clock.advance(2)
    by_person(bundle, "Lead", lead, Rating="Warm", City="Delft")
    bundle.deliver()
    found = only(bundle, "Lead")
    assert (found["Rating"], found["Industry"], found["Website"]) == ("Warm", "Retail", "x")
    (rejected,) = bundle.rejected
    assert rejected.reason and rejected.reason["code"] == "CHANGED_MEANWHILE"
    assert rejected.reason["fields"] == ["Rating"] == list(rejected.message.fields)
    bundle.replay()
    bundle.deliver()
    assert only(bundle, "Lead")["Rating"] == "Warm" and len(bundle.rejected) == 1
    bundle.replay(force=True)
    bundle.deliver()
    assert only(bundle, "Lead")["Rating"] == "Hot" and not bundle.rejected


def test_a_change_of_our_own_hides_no_person_s(bundle: Bundle) -> None:
    """Salesforce tells the last change only."""
    bundle.post({**bird(1), "Rating": "Cold"})
    bundle.queue_update("message-1", {"Rating": "Hot"})
    bundle.org.clock.advance(2)
    by_person(bundle, "Lead", only(bundle, "Lead")["Id"], Rating="Warm")
    bundle.org.clock.advance(2)
    bundle.post(bird(2))  # touches the record
    bundle.deliver()
    assert only(bundle, "Lead")["Rating"] == "Warm"
    assert [one.reason["code"] for one in bundle.rejected if one.reason] == ["CHANGED_MEANWHILE"]


@pytest.mark.parametrize("known", [True, False], ids=["token with the user", "without"])
def test_changes_of_our_own_are_no_reason_to_keep_anything_back(
    bundle: Bundle, known: bool
) -> None:
    if not known:
        bundle.aws.publish(bundle.token, 2, instance_url=bundle.url, user_id="")
    bundle.post({**bird(1), "Rating": "Cold"})
    bundle.patch("message-1", {"Rating": "Warm"})
    bundle.queue_update("message-1", {"Rating": "Hot"})
    bundle.queue_update("message-1", {"Rating": "Hotter", "Industry": "Retail"})
    another_batch = bundle.outbox.pop()
    bundle.deliver()
    assert only(bundle, "Lead")["Rating"] == "Hot"
    bundle.outbox.append(another_batch)
    bundle.deliver()
    assert only(bundle, "Lead")["Rating"] == "Hotter" and not bundle.rejected


def test_a_bad_update_keeps_no_other_one_back(bundle: Bundle) -> None:
    for number in range(4):
        bundle.post({"LastName": f"L{number}", "Company": "c", "Bird_Key__c": f"k{number}"})
    bundle.queue_update("k0", {"No_Such__c": "x"})
    bundle.queue_update("k1", {"Industry": "Retail"})
    bundle.queue_update("k2", {"Email": "no address"})
    bundle.queue_update("k2", {"Industry": "Retail"})
    bundle.queue_update("k3", {"Industry": "Retail"})
    bundle.deliver()
    assert [lead.get("Industry") for lead in bundle.org.records("Lead")] == [None, *["Retail"] * 3]
    codes = sorted(one.reason["code"] for one in bundle.rejected if one.reason)
    assert codes == ["INVALID_EMAIL_ADDRESS", "INVALID_FIELD"] and not bundle.outbox


@pytest.mark.parametrize(
    "fault",
    [
        {
            "status": 400,
            "body": [{"errorCode": "JSON_PARSER_ERROR", "message": "Unexpected token"}],
        },
        {"error": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"},
    ],
    ids=["the call is refused as a whole", "a trigger takes one record at a time only"],
)
def test_what_many_updates_meet_together_condemns_none(
    bundle: Bundle, fault: dict[str, Any]
) -> None:
    for number in range(5):
        bundle.post({"LastName": f"L{number}", "Company": "c", "Bird_Key__c": f"k{number}"})
        bundle.queue_update(f"k{number}", {"Industry": "Retail"})
    looked_and_read = 2
    bundle.org.trouble.add(**fault, path="/composite$", skip=looked_and_read, times=1)
    bundle.deliver()
    assert [lead.get("Industry") for lead in bundle.org.records("Lead")] == ["Retail"] * 5
    assert not bundle.rejected and not bundle.outbox


def test_the_latest_value_stays_where_an_earlier_update_is_repeated(bundle: Bundle) -> None:
    """Both are refused together, then the earlier one alone for a field that we filled."""
    bundle.post(bird(1))
    for rating in ("Warm", "Hot"):
        bundle.queue_update("message-1", {"Rating": rating})
    earlier = Envelope.parse(bundle.outbox[0])
    message = replace(earlier.message, derived={"Lead": {"Email": "no address"}})
    bundle.outbox[0] = replace(earlier, message=message).dump()
    bundle.deliver()
    assert only(bundle, "Lead")["Rating"] == "Hot" and not bundle.rejected


def test_while_salesforce_is_down_it_is_queued(bundle: Bundle, server: OrgServer) -> None:
    bundle.post(bird(1))
    with server.down():
        reply = bundle.patch("message-1", {"Industry": "Retail"})
    assert (reply.status, reply["outcome"], reply["key"]) == (202, "queued", "message-1")
    bundle.deliver()
    assert only(bundle, "Lead")["Industry"] == "Retail"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "BAD_REQUEST"),
        ({"bird": {"text": "x"}}, "BAD_REQUEST"),
        ({"Rating": "{{answer}}", "Email": None}, "BAD_REQUEST"),
        ({"Bird_Key__c": "other"}, "FORBIDDEN_FIELD"),
        ({"bird_conversation__c": "other"}, "FORBIDDEN_FIELD"),
        ({"Id": "00Q000000000001"}, "FORBIDDEN_FIELD"),
        ({"Rating": "Hot", "rating": "Cold"}, "BAD_REQUEST"),
    ],
)
def test_what_is_no_update_is_400(bundle: Bundle, body: dict[str, Any], code: str) -> None:
    bundle.post(bird(1))
    reply = bundle.patch("message-1", body)
    assert (reply.status, reply["outcome"], reply["code"]) == (400, "failed", code)


@pytest.mark.parametrize("key", ["{{key}}", "%7B%7Bkey%7D%7D", "lead-{{id}}", "x}}"])
def test_an_unresolved_variable_is_no_key_of_a_record(bundle: Bundle, key: str) -> None:
    """It is none of a message either (docs/api.md); queued it would wait a day for nothing."""
    for reply in (bundle.patch(key, {"Rating": "Hot"}), bundle.get(key)):
        assert (reply.status, reply["outcome"], reply.calls) == (400, "failed", 0)
    assert not bundle.outbox


@pytest.mark.parametrize("length", [15, 18])
def test_salesforce_s_id_in_place_of_the_key_is_named(bundle: Bundle, length: int) -> None:
    record_id = bundle.post(bird(1))["id"][:length]
    reply = bundle.patch(record_id, {"Rating": "Hot"})
    assert (reply.status, reply["outcome"]) == (202, "queued")
    assert "looks like Salesforce's id" in reply["warnings"]
    assert "warnings" not in bundle.patch("message-1", {"Rating": "Hot"}).body


def test_without_the_right_to_edit_updates_wait_for_a_person(
    fresh: Callable[..., Bundle], server: OrgServer
) -> None:
    bundle = fresh()
    bundle.post({"LastName": "x", "Company": "c", "Bird_Key__c": "k"})
    rights = ("Create", "Read", "ViewAllRecords")
    bundle.org.set_object_rights("Lead", *rights, user=sample.INTEGRATION_USER)
    reply = bundle.patch("k", {"Industry": "Retail"})
    assert (reply.status, reply["outcome"]) == (202, "queued")
    assert "may not change a Lead" in reply["message"]
    bundle.deliver()
    assert len(bundle.outbox) == 1 and not bundle.rejected


def test_an_update_has_to_be_signed_like_a_message(bundle: Bundle) -> None:
    class Closed:
        def check(self, event: Any, request: Any, *, deadline: Any) -> None:
            raise Unsigned("signature missing")

    bundle.post(bird(1))
    bundle.apis["Lead"]._gate = Closed()
    reply = bundle.patch("message-1", {"Rating": "Hot"}, queryStringParameters={"errors": "inline"})
    assert (reply.status, reply["outcome"]) == (401, "failed")
    assert only(bundle, "Lead").get("Rating") is None and not bundle.outbox
