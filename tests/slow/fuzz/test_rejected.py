"""Whatever lies in Rejected: the console program lists it, and a replay or a drop loses nothing.

The queues are in memory: SQS as the program asks it, ten messages at a time.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.delivery.outbox import Envelope, UnreadableEnvelope
from bridge.errors import Unavailable
from cli.commands.rejected import _by_code, _print_groups, _show, _wide
from cli.rejected.queue import Queue
from cli.rejected.records import Choice, drop, export_line, read_all, replay
from cli.terminal import Terminal
from tests.slow.fuzz.made_up import FUZZ, texts, values

reasons = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("code", "message", "fields", "hint", "at", "attempts"), texts | values),
)
envelopes = st.fixed_dictionaries(
    {
        "object": st.sampled_from(["Lead", "Case"]) | values,
        "key": st.sampled_from(["a", "b", "\x1b[2J"]) | texts | values,
        "fields": st.dictionaries(texts, values, max_size=3) | values,
    },
    optional={
        "channel": texts | values,
        "derived": values,
        "acceptedAt": texts | values,
        "replayed": st.integers() | values,
        "reason": reasons | values,
    },
)
bodies = envelopes.map(json.dumps) | values.map(json.dumps) | texts | st.just("[" * 5000)
queues = st.lists(bodies, max_size=15)


class OneQueue:
    """SQS with one queue. What was received stays hidden until it is given back."""

    def __init__(self, bodies: list[str]) -> None:
        self.bodies = {f"m-{number}": body for number, body in enumerate(bodies)}
        self.hidden: set[str] = set()
        self.arrived: list[str] = []

    def get_queue_attributes(self, **parameters: Any) -> Any:
        return {"Attributes": dict.fromkeys(parameters["AttributeNames"], str(len(self.bodies)))}

    def receive_message(self, **parameters: Any) -> Any:
        there = [name for name in list(self.bodies) if name not in self.hidden][:10]
        self.hidden.update(there)
        return {
            "Messages": [
                {
                    "MessageId": name,
                    "ReceiptHandle": name,
                    "Body": self.bodies[name],
                    "Attributes": {"SentTimestamp": "1790236800000"},
                }
                for name in there
            ]
        }

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:
        self.arrived += [entry["MessageBody"] for entry in Entries]
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def delete_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:
        for entry in Entries:
            self.bodies.pop(entry["ReceiptHandle"], None)
        return {}

    def change_message_visibility_batch(
        self, *, QueueUrl: str, Entries: list[dict[str, Any]]
    ) -> Any:
        self.hidden -= {entry["ReceiptHandle"] for entry in Entries}
        return {}


def read(body: str) -> Envelope | None:
    """The record that can be delivered again; what is rejected anew does not grow without end."""
    try:
        envelope = Envelope.parse(body)
    except UnreadableEnvelope:
        return None
    assert envelope.key and envelope.object_name in ("Lead", "Case")
    assert Envelope.parse(envelope.again().dump()).replayed == envelope.replayed + 1
    problem = Unavailable("x" * 10_000, fields=("f" * 10_000,) * 1000)
    refused = envelope.refused(problem, attempts=10**6)
    assert len(refused.dump()) < len(envelope.dump()) + 30_000
    return envelope


FEWER = hypothesis_settings(FUZZ, max_examples=60)


@FEWER
@given(bodies=queues)
def test_everything_in_rejected_is_listed_and_shown(bodies: list[str]) -> None:
    sqs = OneQueue(bodies)
    listing = read_all(Queue(sqs, "rejected"), Choice(every=True), keep_envelopes=True)

    assert len(listing.rejections) == len(bodies)
    assert sqs.hidden == set()
    screen = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(screen):
        terminal = Terminal(interactive=False)
        terminal.result_json([one.as_dict() for one in listing.rejections])
        _print_groups(terminal.out, listing.rejections)
        for one in listing.rejections:
            _show(terminal, one)
            terminal.out.print(_wide(one), markup=False)
            json.loads(export_line(one).encode())
    screen.flush()
    printed = screen.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", printed), "a terminal would obey this"
    assert _by_code(listing.rejections) or not bodies


@FEWER
@given(bodies=queues, key=st.none() | st.sampled_from(["a", "b"]))
def test_a_replay_moves_what_can_be_read_and_leaves_the_rest(
    bodies: list[str], key: str | None
) -> None:
    rejected, outbox = OneQueue(bodies), OneQueue([])
    choice = Choice(every=True) if key is None else Choice.of([key], every=False)
    moved = replay(Queue(rejected, "rejected"), Queue(outbox, "outbox"), choice)

    going = [body for body in bodies if (it := read(body)) and key in (None, it.record.key)]
    assert sorted(rejected.bodies.values()) == sorted([b for b in bodies if b not in going])
    assert rejected.hidden & set(rejected.bodies) == set()
    assert (moved.done, moved.error, moved.failed.total()) == (len(going), "", 0)
    arrived = [Envelope.parse(body) for body in outbox.arrived]
    assert sorted(json.dumps(dict(one.record.fields)) for one in arrived) == sorted(
        json.dumps(json.loads(body)["fields"]) for body in going
    )


@FEWER
@given(bodies=queues, named=st.sets(st.integers(0, 14)))
def test_a_drop_takes_what_was_named_and_nothing_else(bodies: list[str], named: set[int]) -> None:
    sqs = OneQueue(bodies)
    drop(Queue(sqs, "rejected"), {f"m-{number}" for number in named})
    assert list(sqs.bodies) == [f"m-{n}" for n in range(len(bodies)) if n not in named]
