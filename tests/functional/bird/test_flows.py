"""Every shipped flow, played on the local stack with every kind of message: record and reply."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli.deployment.flow_step import branches
from sandbox.player import Customer, FlowError, Inbound, Run, Workspace, load, play
from sandbox.stack import Stack
from tests.functional.bird.conftest import made, only
from tools.template import ROOT

EVERY_FLOW = sorted((ROOT / "flows").glob("*.json"))
FLOWS = [path for path in EVERY_FLOW if path.stem.endswith(("-to-lead", "-to-case"))]
"""Those that log a message; the others have tests of their own (`test_enrichment_flows.py`)."""
LABEL = "Modelled on exported flows; import not tested against a live account."
PHONE = "+447700900142"
OBJECT: dict[str, Any] = {path.stem: path.stem.rsplit("-", 1)[1].capitalize() for path in FLOWS}
LABELS = {"whatsapp": "WhatsApp", "viber": "Viber", "sms": "SMS", "handover": "WhatsApp"}

MESSAGES = {
    "a text": "Do you deliver the oak table (180 | 90) to Utrecht? 😊",
    "quotes and breaks": 'He said "yes"\nand \\ then {left}',
    "right to left": "هل توصلون إلى أوتريخت؟",
    "nothing but a picture": "",
    "very long": "word " * 3000,
    "a link": "https://media.example.com/1",
}
CUSTOMERS = {
    "known": Customer("Noor van Dijk", email="noor@example.org"),
    "an emoji": Customer("🏁"),
    "nameless": Customer(""),
    "without a phone": Customer("Malek & Sons", ("instagramid", "17841400008460056")),
}


def names(path: Path) -> str:
    return path.stem


def channel_of(flow: Path) -> str:
    """The channel that a flow begins on."""
    return str(json.loads(flow.read_text(encoding="utf-8"))["trigger"]["data"]["channelId"])


def run(
    stack: Stack, flow: Path, inbound: Inbound | None = None, *, broken: bool = False, **how: Any
) -> Run:
    """`broken`: nothing can be sent on the flow's own channel."""
    replacements = {"https://YOUR-API-ADDRESS/v1": stack.url, "YOUR-API-KEY": stack.api_key}
    if broken:
        how["broken_channels"] = frozenset({channel_of(flow)})
    inbound = inbound or Inbound(MESSAGES["a text"], CUSTOMERS["known"])
    done = play(load(flow, replacements), inbound, workspace=Workspace(**how))
    assert not done.failed_at, done.failed_at
    return done


def understandable(text: str) -> bool:
    """What a customer reads holds no code, no variable and nothing of our own words."""
    return (
        text.startswith("Thank you")
        and not re.search(r"[{}<>_=]|null|None|empty|undefined", text)
        and not re.search(r"(?i)salesforce|lead|outcome|error|queue|reject|http|bot\b", text)
        and len(text) < 320
    )


def sent_to(done: Run) -> str:
    (reply,) = done.replies
    assert understandable(reply.text), reply.text
    return reply.channel_id


def text_of(done: Run) -> str:
    (reply,) = done.replies
    return reply.text


def thanked(done: Run, flow: Path, *, delivered: bool) -> None:
    """The customer got a reply, by SMS where the own channel does not deliver; else a person."""
    if delivered:
        sent_to(done)
    elif channel_of(flow) == "YOUR-SMS-CHANNEL-ID":
        assert done.routed_to_agent and not done.replies
    else:
        assert sent_to(done) == "YOUR-SMS-CHANNEL-ID"
        assert done.replies[0].to == PHONE


# What is in the files


@pytest.mark.parametrize("flow", EVERY_FLOW, ids=names)
def test_every_step_leads_somewhere_and_holds_only_what_was_seen_in_exports(flow: Path) -> None:
    whole = json.loads(flow.read_text(encoding="utf-8"))
    assert set(whole) == {"name", "trigger", "definition"}
    start, steps = whole["definition"]["startAt"], whole["definition"]["steps"]
    assert LABEL in steps[start]["comment"]
    reached, left = set(), [start]
    while left:
        name = left.pop()
        if name in reached:
            continue
        reached.add(name)
        step = steps[name]
        assert re.fullmatch(r"[A-Za-z]+_\w{4}", name)
        nexts = [one["next"] for one in step.get("conditionals", [])]
        nexts += [step[key] for key in ("next", "default") if key in step]
        assert nexts or step["type"] == "terminate", f"{name} ends nowhere"
        left += nexts
        assert set(step) <= {
            *("type", "comment", "parameters", "catch", "next", "conditionals", "default")
        }
        if step["type"] == "httpRequest":
            assert set(step["parameters"]) == {
                *("body", "contentType", "followRedirect", "headers"),
                *("method", "timeoutSeconds", "url"),
            }
            assert step["parameters"]["timeoutSeconds"] == 10, "Bird's default"
    assert reached == set(steps)


# Salesforce is there


@pytest.mark.parametrize("flow", FLOWS, ids=names)
@pytest.mark.parametrize(
    ("message", "customer"),
    [
        *((message, "known") for message in MESSAGES),
        *(("a text", customer) for customer in CUSTOMERS if customer != "known"),
    ],
)
def test_any_message_of_any_customer_ends_in_the_right_record(
    stack: Stack, flow: Path, message: str, customer: str
) -> None:
    who = CUSTOMERS[customer]
    done = run(stack, flow, Inbound(MESSAGES[message], who))
    assert sent_to(done) != "YOUR-SMS-CHANNEL-ID" or flow.stem.startswith("sms")
    record = only(stack, OBJECT[flow.stem])
    label = LABELS[flow.stem.split("-")[0]]
    phone = PHONE if who.known_phone else None
    name = who.display_name if customer in ("known", "without a phone") else PHONE
    if OBJECT[flow.stem] == "Lead":
        assert (record["LastName"], record["LeadSource"]) == (name.removeprefix("Noor "), label)
        assert (record["Company"], record.get("Phone")) == ("Individual", phone)
        assert record.get("Email") == who.email
    else:
        assert (record["SuppliedName"], record["Origin"]) == (name, label)
        assert record.get("SuppliedPhone") == phone
        assert record["Subject"].startswith(label)
        assert record["CaseNumber"] in text_of(done)
    assert MESSAGES[message].rstrip() in (record.get("Description") or "")
    assert not done.comments


@pytest.mark.parametrize("flow", FLOWS, ids=names)
@pytest.mark.parametrize("has_id", [True, False], ids=["with an id", "without an id"])
def test_a_second_message_is_added_to_the_record_of_the_first(
    stack: Stack, flow: Path, has_id: bool
) -> None:
    """Whether the trigger gives a message's id is not confirmed: without, its text has to do."""
    runs = []
    for text in ("Hello", "Hello", "Are you there?", "Are you there?"):
        message_id = f"m-{text}" if has_id else ""
        inbound = Inbound(text, CUSTOMERS["known"], "5d1f7a90-2b6e", message_id=message_id)
        runs.append(run(stack, flow, inbound))
    responses = [one.requests[0].response for one in runs]
    assert [(one["outcome"], one.get("added")) for one in responses] == [
        ("created", None),
        ("exists", False),
        ("exists", True),
        ("exists", False),
    ]
    record = only(stack, OBJECT[flow.stem])
    assert {one["id"] for one in responses} == {record["Id"]}
    assert len(made(stack, "Task")) == 2, "one for each message"
    first, again, added, _ = map(text_of, runs)
    assert first == again != added and "added" in added
    sent_to(runs[2])
    if OBJECT[flow.stem] == "Case":
        assert record["CaseNumber"] in added


@pytest.mark.parametrize("flow", FLOWS, ids=names)
@pytest.mark.parametrize("keeps", [True, False])
def test_a_flow_goes_without_the_contact_and_without_variables(
    stack: Stack, flow: Path, keeps: bool
) -> None:
    done = run(stack, flow, keeps_unresolved=keeps, knows_contact=False)
    sent_to(done)
    record = only(stack, OBJECT[flow.stem])
    assert record.get("LastName", record.get("SuppliedName")) in ("van Dijk", "Noor van Dijk")
    assert "{{" not in json.dumps({k: str(v) for k, v in record.items()})


# Salesforce is not there, or refuses


@pytest.mark.parametrize("flow", FLOWS, ids=names)
@pytest.mark.parametrize("message", ["quotes and breaks", "very long"])
@pytest.mark.parametrize("delivered", [True, False], ids=["delivered", "undelivered"])
def test_while_salesforce_is_down_the_customer_is_thanked_and_the_record_comes_later(
    stack: Stack, flow: Path, message: str, delivered: bool
) -> None:
    with stack.outage():
        done = run(
            stack, flow, Inbound(MESSAGES[message], CUSTOMERS["known"]), broken=not delivered
        )
        assert done.requests[0].response["outcome"] == "queued"
        assert not made(stack, OBJECT[flow.stem])
    thanked(done, flow, delivered=delivered)
    stack.drain()
    only(stack, OBJECT[flow.stem])


@pytest.mark.parametrize("flow", FLOWS, ids=names)
@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("delivered", [True, False], ids=["delivered", "undelivered"])
def test_when_salesforce_refuses_the_customer_is_thanked_and_the_colleagues_told(
    stack: Stack, flow: Path, fails: bool, delivered: bool
) -> None:
    for kind in ("Lead", "Case"):
        stack.org.add_validation_rule(
            kind, name="Nothing_today", error_when=lambda _: True, message="Not on Sundays."
        )
    done = run(stack, flow, status_fails_step=fails, broken=not delivered)
    thanked(done, flow, delivered=delivered)
    assert not delivered or "received" in text_of(done)
    (comment,) = done.comments
    assert "Not on Sundays." in comment
    assert len(stack.rejected()) == 1


@pytest.mark.parametrize("flow", FLOWS, ids=names)
@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize(
    ("why", "status"), [("not let in", 403), ("nothing can be stored", 200), ("no API at all", 0)]
)
def test_when_nothing_was_stored_a_person_takes_over(
    stack: Stack, flow: Path, why: str, status: int, fails: bool
) -> None:
    url = stack.url if status else "http://127.0.0.1:9"
    key = stack.api_key if status == 200 else "not-the-key-0123456789"
    played = load(flow, {"https://YOUR-API-ADDRESS/v1": url, "YOUR-API-KEY": key})
    stack.aws.fail("sqs", "SendMessage", status=400, code="AccessDenied")
    with stack.outage():
        done = play(played, Inbound("Hello"), workspace=Workspace(status_fails_step=fails))
    assert (done.requests[0].status, done.routed_to_agent, done.failed_at) == (status, True, "")
    assert not status or done.requests[0].response["outcome"] == "failed"
    sent_to(done)
    assert not re.search("received|noted|added", text_of(done)), "nothing was stored"


@pytest.mark.parametrize("flow", FLOWS, ids=names)
def test_a_reply_that_cannot_be_delivered_goes_by_sms_or_to_a_person(
    stack: Stack, flow: Path
) -> None:
    thanked(run(stack, flow, broken=True), flow, delivered=False)
    for who, broken in (("without a phone", ""), ("known", "YOUR-SMS-CHANNEL-ID")):
        channels = frozenset({channel_of(flow), broken})
        done = run(stack, flow, Inbound("Hello", CUSTOMERS[who]), broken_channels=channels)
        assert done.routed_to_agent and not done.replies


# The AI agent


@pytest.mark.parametrize("status", ["resolved", "abandoned", "takeover", "handover", "error"])
def test_what_the_agent_handed_over_becomes_an_urgent_case_and_a_person_s(
    stack: Stack, status: str
) -> None:
    done = run(stack, ROOT / "flows" / "handover-to-case.json", agent_status=status)
    if status in ("handover", "error"):
        assert done.routed_to_agent
        case = only(stack, "Case")
        assert case["Priority"] == "High"
        assert case["Description"].startswith("Handed over by the AI agent: The customer asked")
    else:
        assert not done.requests and not done.replies
        assert done.closed is (status != "takeover")


# One source of what is typed into Bird


@pytest.mark.parametrize("flow", FLOWS, ids=names)
def test_a_flow_branches_and_replies_as_the_flow_command_prints(flow: Path) -> None:
    text = flow.read_text(encoding="utf-8")
    (step,) = re.findall(r'"(httpRequest_\w{4})": ', text)
    steps = json.loads(text)["definition"]["steps"].values()
    printed = branches(OBJECT[flow.stem])
    assert {
        one["parameters"]["payload"]["body"]["text"]["text"]
        for one in steps
        if one["type"].split(":")[4:5] == ["createChannelMessage"]
    } == {
        one.reply.replace("{{number", "{{steps." + step + ".body.number")
        for one in printed
        if one.reply
    }
    tests = [test for one in steps for test in one.get("conditionals", [])]
    tested = {one["stringEquals"] for one in tests if ".body.outcome|" in one["variable"]}
    assert tested == {name for one in printed for name in one.outcomes}


# The player itself


@pytest.mark.parametrize(
    "change",
    [
        {"startAt": "nowhere_0000"},
        {"startAt": "a", "steps": {"a": {"type": "teleport", "parameters": {}}}},
        {
            "startAt": "a",
            "steps": {"a": {"type": "conditional", "conditionals": [], "default": "a"}},
        },
    ],
)
def test_a_broken_flow_is_told_from_a_failed_step(change: Any) -> None:
    flow = load(FLOWS[0], {})
    with pytest.raises(FlowError):
        play({**flow, "definition": {**flow["definition"], **change}}, Inbound("Hello"))
    start = flow["definition"]["startAt"]
    del flow["definition"]["steps"][start]["catch"]
    done = play(flow, Inbound("Hello"), workspace=Workspace(knows_contact=False))
    assert (done.failed_at, done.steps) == (start, [start])
