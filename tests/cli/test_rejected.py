"""`rejected list | show | export | replay | drop`, on the queues of a local stack."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.delivery.outbox import Envelope
from bridge.errors import Refused
from bridge.records import Record
from cli.rejected.queue import Queue
from cli.rejected.records import Choice, read_all, replay
from sandbox.stack import Stack
from tests.cli.program import Result, options_for, run
from tests.stacks import empty_queues
from tests.unit.doubles import outside


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    # Salesforce is not needed: nothing is delivered here.
    with Stack(login_url="http://127.0.0.1:9", connected=False, poll=False) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    yield running
    empty_queues(running)


@pytest.fixture
def local(stack: Stack, tmp_path: Path) -> list[str]:
    """The options that lead the program to the stack."""
    return options_for(stack, tmp_path)


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


def keys_in(stack: Stack, url: str) -> list[str]:
    return sorted(body["key"] for body in take_all(stack, url))


def test_the_list_tells_why_each_record_was_refused(stack: Stack, local: list[str]) -> None:
    fill(stack, [refused("one")])
    result = run("rejected", "list", *local)
    assert result.status == 0
    for word in ("one", "Lead", "STRING_TOO_LONG", "it is too long", "LastName", "3"):
        assert word in result.out
    (listed,) = run("rejected", "list", "--json", *local).json()
    assert (listed["code"], listed["fields"], listed["attempts"]) == (
        "STRING_TOO_LONG",
        ["LastName"],
        3,
    )
    assert listed["acceptedAt"] <= listed["at"]


def test_the_list_shows_no_value_of_a_record(stack: Stack, local: list[str]) -> None:
    fill(stack, [refused("one")])
    assert "Name of" not in run("rejected", "list", *local).out
    assert "Name of" not in run("rejected", "list", "--json", *local).out


def test_listing_leaves_every_message_visible(stack: Stack, local: list[str]) -> None:
    keys = [f"key-{n:04}" for n in range(250)]
    fill(stack, [refused(key) for key in keys])
    for _ in range(2):
        listed = run("rejected", "list", "--json", *local).json()
        assert sorted(one["key"] for one in listed) == keys
    assert keys_in(stack, stack.rejected_url) == keys


def test_a_message_that_comes_twice_is_listed_once(stack: Stack) -> None:
    fill(stack, [refused("one"), refused("two")])
    twice = Twice(stack.client("sqs"))
    listing = read_all(Queue(twice, stack.rejected_url, listen_seconds=0), Choice(every=True))
    assert twice.repeated > 0
    assert [one.key for one in listing.rejections] == ["one", "two"]
    assert keys_in(stack, stack.rejected_url) == ["one", "two"]


class Twice:
    """SQS on a bad day: the first slice is handed out a second time."""

    def __init__(self, sqs: Any) -> None:
        self._sqs = sqs
        self._first: Any = None
        self.repeated = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sqs, name)

    def receive_message(self, **request: Any) -> Any:
        response = self._sqs.receive_message(**request)
        if response.get("Messages") and self._first is None:
            self._first = response
        elif self._first is not None and not self.repeated:
            self.repeated = len(self._first["Messages"])
            return self._first
        return response


def test_a_long_list_is_cut_and_says_so(stack: Stack, local: list[str]) -> None:
    fill(stack, [refused(f"key-{n}") for n in range(12)])
    result = run("rejected", "list", "--limit", "5", *local)
    assert "7 more" in result.err
    assert "12 rejected" in result.err


def test_a_queue_full_of_others_messages_has_one_hint(stack: Stack, local: list[str]) -> None:
    fill(stack, [f"no envelope {number}" for number in range(12)])
    assert run("rejected", "list", *local).out.count("→") == 1


@pytest.mark.parametrize("command", [("show",), ("show", "nobody"), ("drop", "k", "--all")])
def test_the_command_to_see_them_is_for_the_same_stack(
    stack: Stack, local: list[str], command: tuple[str, ...]
) -> None:
    assert "rejected list --local" in run("rejected", *command, *local).err


@pytest.mark.parametrize(
    "command", [("show",), ("drop", "--yes"), ("replay", "--no-wait"), ("export", "FILE")]
)
def test_a_key_of_several_that_is_not_there_is_named(
    stack: Stack, local: list[str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    fill(stack, [refused("one")])
    words = [str(tmp_path / "out.jsonl") if word == "FILE" else word for word in command]
    result = run("rejected", *words, "one", "Slip", *local)
    assert result.status == 0 and "Not in Rejected: Slip" in result.err


def test_only_cases_are_listed_if_asked_for(stack: Stack, local: list[str]) -> None:
    fill(stack, [refused("a-lead"), refused("a-case", object_name="Case")])
    listed = run("rejected", "list", "--object", "case", "--json", *local).json()
    assert [one["key"] for one in listed] == ["a-case"]


def test_a_message_of_somebody_else_is_listed_and_can_be_dropped(
    stack: Stack, local: list[str]
) -> None:
    fill(stack, ["no envelope", refused("one")])
    listed = run("rejected", "list", "--json", *local).json()
    (alien,) = [one for one in listed if one["code"] == "UNREADABLE"]
    assert "stays here" in run("rejected", "replay", alien["messageId"], *local).err
    assert run("rejected", "drop", alien["messageId"], "--yes", *local).status == 0
    assert keys_in(stack, stack.rejected_url) == ["one"]


def test_a_message_that_sqs_moved_has_no_reason_and_can_be_replayed(
    stack: Stack, local: list[str]
) -> None:
    envelope = Envelope.parse(refused("moved")).again()
    fill(stack, [envelope.dump()])
    (listed,) = run("rejected", "list", "--json", *local).json()
    assert listed["code"] == "NOT_DELIVERED"
    assert run("rejected", "replay", "moved", "--no-wait", *local).status == 0
    assert keys_in(stack, stack.outbox_url) == ["moved"]


def test_show_tells_the_values_and_what_to_do(stack: Stack, local: list[str]) -> None:
    fill(stack, [refused("one"), refused("two")])
    result = run("rejected", "show", "one", *local)
    assert "Name of one" in result.out
    assert "Shorten it." in result.out
    assert "Name of two" not in result.out


def test_a_key_is_found_as_the_flow_sent_it(stack: Stack, local: list[str]) -> None:
    from bridge.records import stored_key

    fill(stack, [refused(stored_key("wamid.HBgLMzE2="))])
    assert "Name of" in run("rejected", "show", "wamid.HBgLMzE2=", *local).out


def test_a_key_that_is_not_there_is_said(stack: Stack, local: list[str]) -> None:
    for command in (["show"], ["replay"], ["drop", "--yes"]):
        result = run("rejected", *command, "nobody", *local)
        assert result.status == 1
        assert "None of these keys" in result.err


def test_keys_or_all_must_be_said(local: list[str]) -> None:
    for command in ("show", "replay", "drop"):
        assert run("rejected", command, *local).status == 1
        assert run("rejected", command, "key", "--all", *local).status == 1


def test_export_writes_a_file_for_the_owner_only(
    stack: Stack, local: list[str], tmp_path: Path
) -> None:
    fill(stack, [refused("one"), refused("two")])
    file = tmp_path / "rejected.jsonl"
    assert run("rejected", "export", str(file), *local).status == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [one["values"]["LastName"] for one in lines] == ["Name of one", "Name of two"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("rejected", "export", str(file), *local).status == 1, "it was overwritten"
    assert keys_in(stack, stack.rejected_url) == ["one", "two"]


def test_a_replay_moves_records_to_the_outbox_without_their_reason(
    stack: Stack, local: list[str]
) -> None:
    fill(stack, [refused("one"), refused("two")])
    result = run("rejected", "replay", "one", "--no-wait", *local)
    assert result.status == 0
    assert "1 sent to the outbox" in result.err
    (body,) = take_all(stack, stack.outbox_url)
    assert body["key"] == "one"
    assert body["replayed"] == 1
    assert "reason" not in body
    assert keys_in(stack, stack.rejected_url) == ["two"]


def test_a_replay_of_thousands_moves_each_once(stack: Stack, local: list[str]) -> None:
    keys = [f"key-{n:05}" for n in range(1200)]
    fill(stack, [refused(key) for key in keys])
    result = run("rejected", "replay", "--all", "--no-wait", *local)
    assert result.status == 0
    assert "1,200 sent to the outbox" in result.err
    assert keys_in(stack, stack.outbox_url) == keys
    assert keys_in(stack, stack.rejected_url) == []


def test_what_is_refused_again_meanwhile_does_not_go_round_for_ever(stack: Stack) -> None:
    fill(stack, [refused(f"key-{n}") for n in range(30)])
    # An outbox whose Deliver is quick: what is sent is back in Rejected at once.
    quick = Bouncing(stack.client("sqs"), stack)
    moved = replay(
        Queue(stack.client("sqs"), stack.rejected_url, listen_seconds=0),
        Queue(quick, stack.outbox_url),
        Choice(every=True),
    )
    assert (moved.done, moved.came_back) == (30, 30)
    assert len(keys_in(stack, stack.rejected_url)) == 30


class Bouncing:
    """An SQS client: what is sent comes back to Rejected, refused."""

    def __init__(self, sqs: Any, stack: Stack) -> None:
        self._sqs = sqs
        self._stack = stack

    def send_message_batch(self, **request: Any) -> Any:
        for entry in request["Entries"]:
            envelope = Envelope.parse(entry["MessageBody"])
            problem = Refused("still too long", code="STRING_TOO_LONG")
            fill(self._stack, [envelope.refused(problem, attempts=1).dump()])
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]]}


def test_a_record_that_could_not_be_sent_stays_in_rejected(stack: Stack) -> None:
    fill(stack, [refused(f"key-{n}") for n in range(5)])
    moved = replay(
        Queue(stack.client("sqs"), stack.rejected_url, listen_seconds=0),
        Queue(Failing(stack.client("sqs"), "key-3"), stack.outbox_url),
        Choice(every=True),
    )
    assert (moved.done, dict(moved.failed)) == (4, {"InternalError": 1})
    assert keys_in(stack, stack.rejected_url) == ["key-3"]
    assert keys_in(stack, stack.outbox_url) == ["key-0", "key-1", "key-2", "key-4"]


class Failing:
    """An SQS client that responds with `Failed` for the entry with one key."""

    def __init__(self, sqs: Any, key: str) -> None:
        self._sqs = sqs
        self._key = key

    def send_message_batch(self, **request: Any) -> Any:
        good = [e for e in request["Entries"] if f'"{self._key}"' not in e["MessageBody"]]
        bad = [e for e in request["Entries"] if e not in good]
        response = (
            self._sqs.send_message_batch(QueueUrl=request["QueueUrl"], Entries=good) if good else {}
        )
        failed = [{"Id": e["Id"], "Code": "InternalError", "SenderFault": False} for e in bad]
        return {**response, "Failed": failed}


def test_large_records_are_sent_in_several_calls(stack: Stack, local: list[str]) -> None:
    bodies = []
    for n in range(10):
        envelope = Envelope.parse(refused(f"key-{n}"))
        record = Record(object="Lead", key=f"key-{n}", fields={"Description": "x" * 250_000})
        bodies.append(replace(envelope, message=outside(record)).dump())
    for body in bodies:
        fill(stack, [body])
    assert run("rejected", "replay", "--all", "--no-wait", *local).status == 0
    assert len(keys_in(stack, stack.outbox_url)) == 10


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """As in a terminal: a shell starts background jobs with SIGINT ignored, and so Python stays."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_ctrl_c_ends_a_replay_between_two_slices(stack: Stack) -> None:
    keys = [f"key-{n:03}" for n in range(400)]
    fill(stack, [refused(key) for key in keys])
    slow = Slow(stack.client("sqs"), interrupt_at=5)
    moved = replay(
        Queue(stack.client("sqs"), stack.rejected_url, listen_seconds=0),
        Queue(slow, stack.outbox_url),
        Choice(every=True),
    )
    assert moved.stopped
    assert 0 < moved.done < 400
    sent = keys_in(stack, stack.outbox_url)
    left = keys_in(stack, stack.rejected_url)
    assert sorted(sent + left) == keys, "a record is lost, or in both"


class Slow:
    """An SQS client that takes a while to send; somebody presses Ctrl-C at one of its sends."""

    def __init__(self, sqs: Any, *, interrupt_at: int) -> None:
        self._sqs = sqs
        self._sends = itertools.count(1)
        self._interrupt_at = interrupt_at

    def send_message_batch(self, **request: Any) -> Any:
        if next(self._sends) == self._interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        return self._sqs.send_message_batch(**request)


def test_drop_asks_first(stack: Stack, local: list[str]) -> None:
    fill(stack, [refused("one"), refused("two")])
    result: Result = run("rejected", "drop", "--all", *local)
    assert result.status == 1
    assert "--yes" in result.err
    assert run("rejected", "drop", "two", "--yes", *local).status == 0
    assert keys_in(stack, stack.rejected_url) == ["one"]


def test_another_readers_messages_are_mentioned(stack: Stack, local: list[str]) -> None:
    fill(stack, [refused("one"), refused("two")])
    stack.client("sqs").receive_message(
        QueueUrl=stack.rejected_url, MaxNumberOfMessages=1, VisibilityTimeout=60
    )
    result = run("rejected", "list", *local)
    assert "1 more are being read by somebody else" in result.err


def test_a_stack_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = run("rejected", "list", "--local", "--local-file", str(tmp_path / "none.json"))
    assert result.status == 1
    assert "make start" in result.err


def test_a_text_that_no_terminal_should_obey_or_could_show_is_shown_escaped(
    stack: Stack, local: list[str], tmp_path: Path
) -> None:
    record = Record(object="Lead", key="odd", fields={"LastName": "\x1b[2J\x9b2Jgone \ud83d"})
    problem = Refused("\x1b]0;title\x07 \ud83d", code="STRING_TOO_LONG")
    fill(stack, [Envelope.of(outside(record), request_id="r").refused(problem, attempts=1).dump()])
    # A lone surrogate makes JSON write ASCII only; this record's is written as it is.
    eight = Record(object="Lead", key="eight", fields={"LastName": "\x9b2Jgone \x7f"})
    fill(stack, [Envelope.of(outside(eight), request_id="r").dump()])
    assert not {"\x9b", "\x7f"} & set(run("rejected", "show", "eight", "--json", *local).out)
    for command in (["list"], ["show", "odd"], ["show", "odd", "--json"], ["list", "--json"]):
        result = run("rejected", *command, *local)
        assert result.status == 0, result.err
        assert not {"\x1b", "\x9b", "\x07"} & set(result.out)
    assert run("rejected", "show", "odd", "--json", *local).json()[0]["values"] == dict(
        record.fields
    )
    file = tmp_path / "export.jsonl"
    assert run("rejected", "export", str(file), "odd", *local).status == 0
    assert json.loads(file.read_text(encoding="utf-8"))["values"] == dict(record.fields)


def test_an_update_is_named_as_one_and_only_force_overwrites(
    stack: Stack, local: list[str]
) -> None:
    record = Record(object="Lead", key="one", fields={"Rating": "Hot"})
    envelope = Envelope.of(outside(record), request_id="request", kind="update")
    problem = Refused("changed", code="CHANGED_MEANWHILE", fields=("Rating",))
    fill(stack, [envelope.refused(problem, attempts=1).dump(), refused("two")])
    assert "update" in run("rejected", "list", *local).out
    kinds = {one["key"]: one["kind"] for one in run("rejected", "list", "--json", *local).json()}
    assert kinds == {"one": "update", "two": "message"}
    assert "Update of a Lead" in run("rejected", "show", "one", *local).out
    assert run("rejected", "replay", "one", "--no-wait", *local).status == 0
    fill(stack, [envelope.refused(problem, attempts=1).dump()])
    assert run("rejected", "replay", "--all", "--force", "--no-wait", *local).status == 0
    sent = take_all(stack, stack.outbox_url)
    forced = {(body["kind"], body.get("forced", False)) for body in sent}
    assert forced == {("update", False), ("update", True), ("message", False)}
