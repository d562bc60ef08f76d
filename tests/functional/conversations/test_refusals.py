"""What Salesforce refuses, what needs a person, and what waits: no message is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.delivery.timelines import VISIBLE_AFTER_SECONDS
from bridge.records import ObjectName
from sandbox.org import Org, sample

from .conftest import Bundle, Send
from .test_timeline import bird, closed, only, only_other, tasks, texts


def refuse_tasks(org: Org, *, text: str = "") -> None:
    """The org has a validation rule against Tasks, or against those with this text."""
    org.add_validation_rule(
        "Task", lambda task: text in (task.get("Description") or ""), "no tasks", name="no_tasks"
    )


# The Task


def test_a_task_refused_beside_a_made_record_is_logged_later(bundle: Bundle) -> None:
    refuse_tasks(bundle.org)
    reply = bundle.post(bird(1))
    assert (reply.status, reply["outcome"], reply["id"]) == (
        201,
        "created",
        only(bundle, "Lead")["Id"],
    )
    assert len(bundle.outbox) == 1 and bundle.rejected == []
    bundle.org.clear_rules()
    bundle.deliver()
    assert bundle.outbox == []
    assert texts(bundle, reply["id"]) == ["text 1"]


def test_a_message_whose_task_is_refused_is_kept_as_a_message(bundle: Bundle, send: Send) -> None:
    send(bird(1))
    refuse_tasks(bundle.org, text="bad word")
    reply = send(bird(2, "bad word"))
    (refused,) = bundle.rejected
    assert (refused.refused_what, refused.key) == ("message", "message-2")
    assert refused.reason and refused.reason["code"] == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 1"]
    if reply:
        assert (reply.status, reply["outcome"], reply["kept"]) == (422, "rejected", True)


@pytest.mark.parametrize("refused", ["message", "record"])
def test_a_replayed_message_opens_nothing_and_a_replayed_record_may(
    bundle: Bundle, refused: str
) -> None:
    bundle.post(bird(1), "Case")
    case_id = only(bundle, "Case")["Id"]
    if refused == "message":
        refuse_tasks(bundle.org)
    else:
        closed(bundle, case_id, days=9)
        bundle.org.add_validation_rule("Case", lambda case: True, "no", name="no_cases")
    assert bundle.post(bird(2), "Case").status == 422
    bundle.org.clear_rules()
    closed(bundle, case_id, days=9)
    bundle.replay()
    bundle.deliver()
    assert bundle.outbox == [] == bundle.rejected
    assert (bundle.org.get("Case", case_id) or {})["Status"] == "Closed"
    assert len(bundle.org.records("Case")) == (1 if refused == "message" else 2)
    assert len(tasks(bundle)) == 2


def test_a_replayed_message_that_has_nowhere_to_go_is_kept(bundle: Bundle) -> None:
    bundle.post(bird(1))
    lead_id = only(bundle, "Lead")["Id"]
    refuse_tasks(bundle.org)
    assert bundle.post(bird(2)).status == 422
    bundle.org.clear_rules()
    bundle.org.delete("Contact", bundle.org.convert(lead_id).contact_id)
    bundle.replay()
    bundle.deliver()
    (kept,) = bundle.rejected
    assert (kept.reason or {})["code"] == "NO_RECORD"
    assert kept.refused_what == "message"
    assert len(bundle.org.records("Lead")) == 1


def test_a_link_of_the_predecessor_that_leads_nowhere_costs_no_message(
    bundle: Bundle, send: Send
) -> None:
    """Salesforce names no field beside these codes (SALESFORCE.md, 8a): the predecessor itself may
    be gone, and where a second look finds it, what is inherited is left out."""
    bundle.post(bird(1), "Case")
    case_id = only(bundle, "Case")["Id"]
    bundle.org.store.update("Case", case_id, {"ContactId": "003000000000001AAA"})
    closed(bundle, case_id, days=9)
    send(bird(2), "Case")
    assert bundle.outbox == [] == bundle.rejected
    successor = only_other(bundle, "Case", case_id)
    assert (successor["ParentId"], successor.get("ContactId")) == (case_id, None)
    assert texts(bundle, successor["Id"]) == ["text 2"]


@pytest.mark.parametrize("name", ["Lead", "Case"])
def test_what_a_person_has_related_the_newest_task_to_costs_no_message(
    bundle: Bundle, send: Send, name: ObjectName
) -> None:
    """The next Task goes to the same contact and record, unless the integration user may not see
    the other one: a colleague may relate a Task to anything."""
    bundle.post(bird(1), name)
    if name == "Lead":
        on, other = "WhoId", "WhatId"
        parent = bundle.org.convert(only(bundle, "Lead")["Id"]).contact_id
    else:
        on, other = "WhatId", "WhoId"
        parent = bundle.org.create("Case", {"Subject": "merged into"})
        bundle.org.merge("Case", parent, only_other(bundle, "Case", parent)["Id"])
    (task,) = bundle.org.records("Task")
    nowhere = {"WhatId": "006000000000001AAA", "WhoId": "003000000000001AAA"}[other]
    bundle.org.store.update("Task", task["Id"], {other: nowhere, "Status": "Not Started"})
    send(bird(2), name)
    bundle.deliver()  # for a caller one more try would take too long
    assert bundle.outbox == [] == bundle.rejected
    new = only_other(bundle, "Task", task["Id"])
    assert (new[on], new.get(other)) == (parent, None)


# The record


@pytest.mark.parametrize("text", ["Hi", "like a @{reference"])
def test_a_refused_record_is_kept_as_one(bundle: Bundle, send: Send, text: str) -> None:
    bundle.org.add_validation_rule("Lead", lambda lead: True, "no", name="no_leads")
    reply = send(bird(1, text))
    (refused,) = bundle.rejected
    assert (refused.refused_what, refused.object_name) == ("record", "Lead")
    if reply:
        assert (reply.status, reply["outcome"], reply["kept"]) == (422, "rejected", True)


def test_after_a_refused_record_one_more_message_tries(bundle: Bundle) -> None:
    bundle.org.add_validation_rule(
        "Lead", lambda lead: "bad" in (lead.get("Description") or ""), "no", name="no_bad_leads"
    )
    for number, text in enumerate(("bad", "good", "bad too"), 1):
        bundle.queue(bird(number, text))
    bundle.deliver()
    assert [one.key for one in bundle.rejected] == ["message-1"]
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["good", "bad too"]
    assert bundle.outbox == []


def test_after_two_refused_records_the_other_messages_wait(bundle: Bundle) -> None:
    bundle.org.add_validation_rule("Lead", lambda lead: True, "no", name="no_leads")
    for number in range(1, 5):
        bundle.queue(bird(number))
    bundle.deliver()
    assert [one.key for one in bundle.rejected] == ["message-1", "message-2"]
    assert len(bundle.outbox) == 2


@pytest.mark.parametrize(
    ("name", "field", "restricted"),
    [
        ("Lead", "LeadSource", {}),
        ("Task", "Status", {"values": ("Not Started", "Done")}),
    ],
)
def test_a_field_of_ours_that_the_org_refuses_costs_no_record_and_no_message(
    bundle: Bundle, name: str, field: str, restricted: dict[str, Any]
) -> None:
    bundle.org.change_field(name, field, restricted=True, **restricted)
    try:
        reply, again = (bundle.post(bird(number)) for number in (1, 2))
        bundle.queue(bird(1, conversationId="other", messageId="other"))
        bundle.deliver()
    finally:
        bundle.org.change_field(name, field, restricted=False)
    assert reply.status == 201
    assert again["added"] is True
    if name == "Lead":
        assert reply.calls == 3
        lead = next(one for one in bundle.org.records("Lead") if one["Id"] == reply["id"])
        assert lead["Description"].endswith("\nLeadSource: WhatsApp")
    assert len(bundle.org.records("Lead")) == 2
    assert len(tasks(bundle)) == 3 and not bundle.outbox and not bundle.rejected


# What needs a person


def grant_tasks(org: Org, granted: bool) -> None:
    (which,) = [one["Id"] for one in org.records("PermissionSet") if one["Name"] == "Bird_Bridge"]
    org.update("PermissionSet", which, {"PermissionsEditTask": granted})


def test_without_the_right_to_tasks_messages_wait(fresh: Callable[..., Bundle]) -> None:
    bundle = fresh()
    bundle.post(bird(1))
    grant_tasks(bundle.org, False)
    reply = bundle.post(bird(2))
    assert reply["outcome"] == "queued" and "Edit Tasks" in reply["message"]
    bundle.deliver()
    assert len(bundle.outbox) == 1 and bundle.rejected == []
    grant_tasks(bundle.org, True)
    bundle = Bundle(bundle.org, bundle.url, bundle.token, aws=bundle.aws)  # rights are remembered
    bundle.deliver()
    assert len(texts(bundle, only(bundle, "Lead")["Id"])) == 2


@pytest.mark.parametrize("readable", [False, True])
@pytest.mark.parametrize(
    "field",
    [
        *("Lead.Bird_Conversation__c", "Case.Bird_Last_Message__c"),
        *("Activity.Bird_Key__c", "Activity.Bird_Conversation__c"),
    ],
)
def test_a_field_that_is_missing_keeps_every_message(
    fresh: Callable[..., Bundle], field: str, readable: bool
) -> None:
    bundle = fresh()
    of, _, field = field.partition(".")
    bundle.org.hide_field(of, field, user=sample.INTEGRATION_USER)
    if readable:
        bundle.org.show_field(of, field, user=sample.INTEGRATION_USER, edit=False)
    name: ObjectName = "Case" if of == "Case" else "Lead"
    reply = bundle.post(bird(1), name)
    # Where only Tasks lack it the record may be made, and its Task waits.
    made = of == "Activity" and readable
    assert reply["outcome"] == "created" if made else field in reply["message"]
    for _ in range(2):
        assert len(bundle.outbox) == 1 and bundle.rejected == []
        bundle.deliver()
    bundle.org.show_field(of, field, user=sample.INTEGRATION_USER)
    bundle.deliver()
    assert bundle.outbox == [] == bundle.rejected
    assert len(texts(bundle, only(bundle, name)["Id"])) == 1


def test_what_is_wrong_with_cases_keeps_no_lead_back(fresh: Callable[..., Bundle]) -> None:
    bundle = fresh()
    bundle.org.hide_field("Case", "Bird_Key__c", user=sample.INTEGRATION_USER)
    bundle.post(bird(1))
    bundle.queue(bird(2))
    bundle.deliver()
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 1", "text 2"]
    assert bundle.get("message-1").status == 200
    assert bundle.post(bird(3), "Case")["outcome"] == "queued"
    assert bundle.post(bird(3), None)["outcome"] == "queued"  # who knows where it lives


def test_a_record_that_cannot_be_seen_needs_a_person(
    fresh: Callable[..., Bundle], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fresh()
    org = bundle.org
    org.settings.put(private=["Lead"])
    org.set_object_rights("Lead", "Create", "Read", "Edit", user=sample.INTEGRATION_USER)
    owner = next(u["Id"] for u in org.records("User") if u["Username"] == sample.SALES_USER)
    org.add_assignment_rule("Lead", owner)
    bundle.post(bird(1))
    reply = bundle.post(bird(2))
    assert (reply.status, reply["outcome"]) == (202, "queued")
    assert reply.calls <= 4
    assert '"NotSetUp"' not in capsys.readouterr().out
    bundle.deliver(age=VISIBLE_AFTER_SECONDS + 1)
    assert '"NotSetUp"' in capsys.readouterr().out
    assert bundle.rejected == []
    rights = ("Create", "Read", "Edit", "ViewAllRecords")
    org.set_object_rights("Lead", *rights, user=sample.INTEGRATION_USER)
    bundle.deliver()
    assert bundle.outbox == []
    assert len(texts(bundle, only(bundle, "Lead")["Id"])) == 2


def test_an_org_without_record_types_is_looked_at_twice_once(fresh: Callable[..., Bundle]) -> None:
    bundle = fresh()
    bundle.org.remove_field("Case", "RecordTypeId")
    assert [bundle.post(bird(number), "Case").calls for number in (1, 2)] == [3, 2]
    bundle.queue(bird(3), "Case")
    bundle.deliver()
    assert len(texts(bundle, only(bundle, "Case")["Id"])) == 3


# What waits


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("reset", ["before", "after"])
def test_a_lost_response_doubles_nothing(bundle: Bundle, call: int, reset: str) -> None:
    bundle.post(bird(1))
    bundle.org.trouble.add(area="rest", method="POST", reset=reset, skip=call - 1, times=1)
    reply = bundle.post(bird(2))
    assert reply["outcome"] in ("queued", "exists")
    bundle.org.trouble.clear()
    assert bundle.post(bird(2))["outcome"] == "exists"
    bundle.deliver()
    assert bundle.outbox == [] == bundle.rejected
    assert texts(bundle, only(bundle, "Lead")["Id"]) == ["text 1", "text 2"]


def test_no_write_is_begun_with_little_time_left(deploy: Callable[..., Bundle]) -> None:
    bundle = deploy(RESPONSE_BUDGET_SECONDS="2")
    bundle.org.trouble.add(area="rest", method="POST", latency_before=0.8, times=1)
    reply = bundle.post(bird(1))
    assert reply["outcome"] == "queued" and "NO_TIME" in reply["message"]
    assert reply.calls == 1
    assert bundle.org.records("Lead") == []


def test_an_envelope_of_another_version_goes_back_to_the_queue(bundle: Bundle) -> None:
    bundle.outbox.append('{"v": 3, "kind": "message", "object": "Lead"}')
    bundle.deliver(age=8 * 24 * 3600)
    assert len(bundle.outbox) == 1 and bundle.rejected == []


# Many


@pytest.mark.parametrize("shape", ["one each", "many each", "new ones"])
def test_a_backlog_costs_a_call_for_every_33_messages(bundle: Bundle, shape: str) -> None:
    for number in range(200):
        c = number if shape == "one each" else number % 40
        if shape != "new ones" and number == c:
            bundle.queue(bird(0, conversationId=f"c-{c}", messageId=f"first-{c}"))
    bundle.deliver()
    assert bundle.outbox == []
    for number in range(200):
        c = number if shape == "one each" else number % 40
        bundle.queue(
            bird(number % 60, f"{number}", conversationId=f"c-{c}", messageId=f"m-{number}"),
            ("Lead", None)[number % 2],
        )
    assert bundle.deliver() <= 6
    assert bundle.outbox == [] == bundle.rejected
    assert len(bundle.org.records("Lead")) == (200 if shape == "one each" else 40)
    assert len([task for task in tasks(bundle) if "first" not in task["Bird_Key__c"]]) >= 200
    for lead in bundle.org.records("Lead"):
        times = [t["Description"][:19] for t in tasks(bundle) if t["WhoId"] == lead["Id"]]
        assert lead["Bird_Last_Message__c"][:19] == max(times).replace(" ", "T")


def test_messages_are_decided_in_the_order_of_their_times(bundle: Bundle) -> None:
    for number in (3, 1, 2):
        bundle.queue(bird(number, f"text {number}"))
    bundle.deliver()
    lead = only(bundle, "Lead")
    assert lead["Description"] == "text 1"
    assert lead["Bird_Last_Message__c"] == "2026-11-30T14:03:00.000+0000"


@pytest.mark.parametrize("refused", [False, True], ids=["made", "refused"])
def test_a_batch_adds_to_the_case_that_it_makes_what_leaves_the_object_open(
    bundle: Bundle, refused: bool
) -> None:
    """Else the Lead of its channel is made for it."""
    bundle.queue({**bird(1), **({"No_Such__c": "x"} if refused else {})}, "Case")
    bundle.queue(bird(2), None)
    bundle.queue(bird(3), None)
    bundle.deliver()
    cases, leads = bundle.org.records("Case"), bundle.org.records("Lead")
    assert (len(cases), len(leads), len(bundle.rejected)) == ((0, 1, 1) if refused else (1, 0, 0))
    (record,) = cases or leads
    assert texts(bundle, record["Id"]) == ["text 1", "text 2", "text 3"][refused:]
    assert not bundle.outbox


def test_one_batch_may_hold_everything(bundle: Bundle) -> None:
    """Conversations to convert, to reopen and to open, beside records outside conversations."""

    def some(name: str, number: int, **more: Any) -> dict[str, Any]:
        return bird(number, conversationId=name, messageId=f"{name}-{number}", **more)

    bundle.post(some("converted", 1))
    bundle.org.convert(only(bundle, "Lead")["Id"])
    bundle.post(some("closed", 1), "Case")
    closed(bundle, only(bundle, "Case")["Id"], days=1)
    for number in (2, 3):
        bundle.queue(some("converted", number))
        bundle.queue(some("closed", number), "Case")
        bundle.queue(some("new", number), None)
        bundle.queue({"LastName": f"outside {number}"})
    bundle.deliver()
    assert bundle.outbox == [] == bundle.rejected
    assert len(tasks(bundle)) == 2 + 6
    assert only(bundle, "Case")["Status"] == "New"
    by_conversation = [task["Bird_Conversation__c"] for task in tasks(bundle)]
    assert by_conversation.count("converted") == by_conversation.count("closed") == 3
    assert len(bundle.org.records("Lead")) == 1 + 1 + 2
