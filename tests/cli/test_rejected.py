"""`rejected list | show | export | replay | drop`, on the queues of a local stack."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.delivery.outbox import Envelope
from bridge.errors import Refused
from bridge.records import Record, stored_key
from cli.rejected.queue import Queue
from cli.rejected.records import Choice, Moved, read_all, replay
from sandbox.stack import Stack
from tests.cli.program import run
from tests.unit.doubles import outside


def refused(key: str, *, object_name: Any = "Lead", code: str = "STRING_TOO_LONG") -> str:
    record = Record(
        object=object_name,
        key=key,
        fields={"LastName": f"Name of {key}", "Company": "Individual"},
        derived=frozenset({"Company"}),
        channel="whatsapp",
    )
    envelope = Envelope.of(outside(record), request_id="request")
    problem = Refused("it is too long", code=code, fields=("LastName",), hint="Shorten it.")
    return envelope.refused(problem, attempts=3).dump()


def fill(stack: Stack, bodies: list[str], *, queue: str = "rejected") -> None:
    url = stack.rejected_url if queue == "rejected" else stack.outbox_url
    for start in range(0, len(bodies), 10):
        stack.client("sqs").send_message_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(n), "MessageBody": body}
                for n, body in enumerate(bodies[start : start + 10])
            ],
        )


def take_all(stack: Stack, url: str) -> list[dict[str, Any]]:
    bodies = []
    while (
        found := stack.client("sqs")
        .receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
        .get("Messages")
    ):
        bodies += [json.loads(one["Body"]) for one in found]
    return bodies


class Otherwise:
    """An SQS client of which some calls are done otherwise."""

    def __init__(self, stack: Stack, **calls: Callable[..., Any]) -> None:
        self._sqs = stack.client("sqs")
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return self._calls.get(name) or getattr(self._sqs, name)


def replay_by(stack: Stack, send: Callable[..., Any]) -> Moved:
    """Replay all, by an outbox to which messages are sent in this way."""
    return replay(
        Queue(stack.client("sqs"), stack.rejected_url, listen_seconds=0),
        Queue(Otherwise(stack, send_message_batch=send), stack.outbox_url),
        Choice(every=True),
    )


def keys_in(stack: Stack, url: str) -> list[str]:
    return sorted(body["key"] for body in take_all(stack, url))


def test_the_list_tells_why_each_record_was_refused_and_no_value(
    stack: Stack, options: list[str]
) -> None:
    fill(stack, [refused("one"), refused("a-case", object_name="Case")])
    result, as_json = run("rejected", "list", *options), run("rejected", "list", "--json", *options)
    assert result.status == 0
    for word in ("one", "Lead", "STRING_TOO_LONG", "it is too long", "LastName", "3"):
        assert word in result.out
    assert "Name of" not in result.out + as_json.out
    listed = {one["key"]: one for one in as_json.json()}
    one = listed["one"]
    assert (one["code"], one["fields"], one["attempts"]) == ("STRING_TOO_LONG", ["LastName"], 3)
    assert one["acceptedAt"] <= one["at"]
    cases = run("rejected", "list", "--object", "case", "--json", *options).json()
    assert cases == [listed["a-case"]]


def test_listing_leaves_every_message_visible(stack: Stack, options: list[str]) -> None:
    keys = [f"key-{n:04}" for n in range(250)]
    fill(stack, [refused(key) for key in keys])
    for _ in range(2):
        listed = run("rejected", "list", "--json", *options).json()
        assert sorted(one["key"] for one in listed) == keys
    result = run("rejected", "list", "--limit", "5", *options)
    assert "245 more" in result.err and "250 rejected" in result.err
    assert keys_in(stack, stack.rejected_url) == keys


def test_a_message_that_comes_twice_is_listed_once(stack: Stack) -> None:
    fill(stack, [refused("one"), refused("two")])
    slices: list[Any] = []

    def receive(**request: Any) -> Any:
        """The first slice is handed out a second time."""
        response = stack.client("sqs").receive_message(**request)
        if len(slices) == 1:
            response = slices[0]
        if response.get("Messages"):
            slices.append(response)
        return response

    sqs = Otherwise(stack, receive_message=receive)
    listing = read_all(Queue(sqs, stack.rejected_url, listen_seconds=0), Choice(every=True))
    assert len(slices) == 2
    assert [one.key for one in listing.rejections] == ["one", "two"]
    assert keys_in(stack, stack.rejected_url) == ["one", "two"]


def test_a_queue_full_of_others_messages_has_one_hint(stack: Stack, options: list[str]) -> None:
    fill(stack, [f"no envelope {number}" for number in range(12)])
    assert run("rejected", "list", *options).out.count("→") == 1


NO_KEY, BOTH, NOT_THERE = "Name the records", "not both", "None of these keys is in Rejected."
SLIPS: list[tuple[str, int, str]] = [
    ("show", 1, NO_KEY),
    ("replay", 1, NO_KEY),
    ("drop", 1, NO_KEY),
    ("show one --all", 1, BOTH),
    ("replay one --all", 1, BOTH),
    ("drop one --all", 1, BOTH),
    ("export FILE one --all", 1, BOTH),
    ("show nobody", 1, NOT_THERE),
    ("replay nobody", 1, NOT_THERE),
    ("drop nobody --yes", 1, NOT_THERE),
    ("export FILE nobody", 1, NOT_THERE),
    ("show one Slip", 0, "Not in Rejected: Slip"),
    ("drop one Slip --yes", 0, "Not in Rejected: Slip"),
    ("replay one Slip --no-wait", 0, "Not in Rejected: Slip"),
    ("export FILE one Slip", 0, "Not in Rejected: Slip"),
    ("drop --all", 1, "Add --yes to delete them."),
]


@pytest.mark.parametrize(("words", "status", "given"), SLIPS)
def test_what_is_missing_or_contradicts_is_said(
    stack: Stack, options: list[str], tmp_path: Path, words: str, status: int, given: str
) -> None:
    fill(stack, [refused("one")])
    result = run("rejected", *words.replace("FILE", str(tmp_path / "out")).split(), *options)
    assert result.status == status
    assert given in result.err
    if given in (NO_KEY, BOTH, NOT_THERE):
        assert "rejected list --local" in result.err
    assert (keys_in(stack, stack.rejected_url) == ["one"]) is ("Slip --" not in words)


def test_a_message_of_somebody_else_is_listed_and_can_be_dropped(
    stack: Stack, options: list[str]
) -> None:
    fill(stack, ["no envelope", refused("one")])
    listed = run("rejected", "list", "--json", *options).json()
    (alien,) = [one for one in listed if one["code"] == "UNREADABLE"]
    assert "stays here" in run("rejected", "replay", alien["messageId"], *options).err
    assert run("rejected", "drop", alien["messageId"], "--yes", *options).status == 0
    assert keys_in(stack, stack.rejected_url) == ["one"]


def test_a_message_that_sqs_moved_has_no_reason_and_can_be_replayed(
    stack: Stack, options: list[str]
) -> None:
    envelope = Envelope.parse(refused("moved")).again()
    fill(stack, [envelope.dump()])
    (listed,) = run("rejected", "list", "--json", *options).json()
    assert listed["code"] == "NOT_DELIVERED"
    assert run("rejected", "replay", "moved", "--no-wait", *options).status == 0
    assert keys_in(stack, stack.outbox_url) == ["moved"]


def test_show_tells_the_values_and_what_to_do(stack: Stack, options: list[str]) -> None:
    fill(stack, [refused(stored_key("wamid.HBgLMzE2=")), refused("two")])
    result = run("rejected", "show", "wamid.HBgLMzE2=", *options)  # as the flow sent it
    assert f"Name of {stored_key('wamid.HBgLMzE2=')}" in result.out
    assert "Shorten it." in result.out
    assert "Name of two" not in result.out


def test_export_writes_a_file_for_the_owner_only(
    stack: Stack, options: list[str], tmp_path: Path
) -> None:
    fill(stack, [refused("one"), refused("two")])
    file = tmp_path / "rejected.jsonl"
    assert run("rejected", "export", str(file), *options).status == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [one["values"]["LastName"] for one in lines] == ["Name of one", "Name of two"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("rejected", "export", str(file), *options).status == 1, "it was overwritten"
    assert keys_in(stack, stack.rejected_url) == ["one", "two"]


def test_a_replay_moves_records_to_the_outbox_without_their_reason(
    stack: Stack, options: list[str]
) -> None:
    fill(stack, [refused("one"), refused("two")])
    result = run("rejected", "replay", "one", "--no-wait", *options)
    assert result.status == 0
    assert "1 sent to the outbox" in result.err
    (body,) = take_all(stack, stack.outbox_url)
    assert (body["key"], body["replayed"]) == ("one", 1)
    assert "reason" not in body
    assert keys_in(stack, stack.rejected_url) == ["two"]


def test_a_replay_of_thousands_moves_each_once(stack: Stack, options: list[str]) -> None:
    keys = [f"key-{n:05}" for n in range(1200)]
    fill(stack, [refused(key) for key in keys])
    result = run("rejected", "replay", "--all", "--no-wait", *options)
    assert result.status == 0
    assert "1,200 sent to the outbox" in result.err
    assert keys_in(stack, stack.outbox_url) == keys
    assert keys_in(stack, stack.rejected_url) == []


def test_what_is_refused_again_meanwhile_does_not_go_round_for_ever(stack: Stack) -> None:
    def bounce(**request: Any) -> Any:
        """A Deliver that is quick: what is sent is back in Rejected at once."""
        for entry in request["Entries"]:
            envelope = Envelope.parse(entry["MessageBody"])
            problem = Refused("still too long", code="STRING_TOO_LONG")
            fill(stack, [envelope.refused(problem, attempts=1).dump()])
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]]}

    fill(stack, [refused(f"key-{n}") for n in range(30)])
    moved = replay_by(stack, bounce)
    assert (moved.done, moved.came_back) == (30, 30)
    assert len(keys_in(stack, stack.rejected_url)) == 30


def test_a_record_that_could_not_be_sent_stays_in_rejected(stack: Stack) -> None:
    def fail(**request: Any) -> Any:
        entries = request.pop("Entries")
        bad = [one for one in entries if '"key-3"' in one["MessageBody"]]
        good = [one for one in entries if one not in bad]
        sent = stack.client("sqs").send_message_batch(Entries=good, **request) if good else {}
        failed = [{"Id": e["Id"], "Code": "InternalError", "SenderFault": False} for e in bad]
        return {**sent, "Failed": failed}

    fill(stack, [refused(f"key-{n}") for n in range(5)])
    moved = replay_by(stack, fail)
    assert (moved.done, dict(moved.failed)) == (4, {"InternalError": 1})
    assert keys_in(stack, stack.rejected_url) == ["key-3"]
    assert keys_in(stack, stack.outbox_url) == ["key-0", "key-1", "key-2", "key-4"]


def test_large_records_are_sent_in_several_calls(stack: Stack, options: list[str]) -> None:
    for n in range(10):
        envelope = Envelope.parse(refused(f"key-{n}"))
        record = Record(object="Lead", key=f"key-{n}", fields={"Description": "x" * 250_000})
        fill(stack, [replace(envelope, message=outside(record)).dump()])
    assert run("rejected", "replay", "--all", "--no-wait", *options).status == 0
    assert len(keys_in(stack, stack.outbox_url)) == 10


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """As in a terminal: a shell starts background jobs with SIGINT ignored, and so Python stays."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_ctrl_c_ends_a_replay_between_two_slices(stack: Stack) -> None:
    sends = itertools.count(1)

    def slow(**request: Any) -> Any:
        if next(sends) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        return stack.client("sqs").send_message_batch(**request)

    keys = [f"key-{n:03}" for n in range(400)]
    fill(stack, [refused(key) for key in keys])
    moved = replay_by(stack, slow)
    assert moved.stopped
    assert 0 < moved.done < 400
    sent, left = (keys_in(stack, url) for url in (stack.outbox_url, stack.rejected_url))
    assert sorted(sent + left) == keys, "a record is lost, or in both"


def test_another_readers_messages_are_mentioned(stack: Stack, options: list[str]) -> None:
    fill(stack, [refused("one"), refused("two")])
    stack.client("sqs").receive_message(
        QueueUrl=stack.rejected_url, MaxNumberOfMessages=1, VisibilityTimeout=60
    )
    result = run("rejected", "list", *options)
    assert "1 more are being read by somebody else" in result.err


def test_a_text_that_no_terminal_should_obey_or_could_show_is_shown_escaped(
    stack: Stack, options: list[str], tmp_path: Path
) -> None:
    record = Record(object="Lead", key="odd", fields={"LastName": "\x1b[2J\x9b2Jgone \ud83d"})
    problem = Refused("\x1b]0;title\x07 \ud83d", code="STRING_TOO_LONG")
    fill(stack, [Envelope.of(outside(record), request_id="r").refused(problem, attempts=1).dump()])
    # A lone surrogate makes JSON write ASCII only; this record's is written as it is.
    eight = Record(object="Lead", key="eight", fields={"LastName": "\x9b2Jgone \x7f"})
    fill(stack, [Envelope.of(outside(eight), request_id="r").dump()])
    assert not {"\x9b", "\x7f"} & set(run("rejected", "show", "eight", "--json", *options).out)
    for command in (["list"], ["show", "odd"], ["show", "odd", "--json"], ["list", "--json"]):
        result = run("rejected", *command, *options)
        assert result.status == 0, result.err
        assert not {"\x1b", "\x9b", "\x07"} & set(result.out)
    assert run("rejected", "show", "odd", "--json", *options).json()[0]["values"] == dict(
        record.fields
    )
    file = tmp_path / "export.jsonl"
    assert run("rejected", "export", str(file), "odd", *options).status == 0
    assert json.loads(file.read_text(encoding="utf-8"))["values"] == dict(record.fields)


def test_an_update_is_named_as_one_and_only_force_overwrites(
    stack: Stack, options: list[str]
) -> None:
    record = Record(object="Lead", key="one", fields={"Rating": "Hot"})
    envelope = Envelope.of(outside(record), request_id="request", kind="update")
    problem = Refused("changed", code="CHANGED_MEANWHILE", fields=("Rating",))
    fill(stack, [envelope.refused(problem, attempts=1).dump(), refused("two")])
    assert "update" in run("rejected", "list", *options).out
    kinds = {one["key"]: one["kind"] for one in run("rejected", "list", "--json", *options).json()}
    assert kinds == {"one": "update", "two": "message"}
    assert "Update of a Lead" in run("rejected", "show", "one", *options).out
    assert run("rejected", "replay", "one", "--no-wait", *options).status == 0
    fill(stack, [envelope.refused(problem, attempts=1).dump()])
    assert run("rejected", "replay", "--all", "--force", "--no-wait", *options).status == 0
    sent = take_all(stack, stack.outbox_url)
    forced = {(body["kind"], body.get("forced", False)) for body in sent}
    assert forced == {("update", False), ("update", True), ("message", False)}
