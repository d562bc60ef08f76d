"""Whatever a customer sends is in the record: of every valid body, and of what nobody knows yet.

The bodies are made from models that are not ours (`made_bodies`).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.bird import channels_api, conversations_v1, events_2026
from bridge.bird.mapping import fill
from bridge.bird.message import BirdMessage
from bridge.bird.part import Shows
from bridge.bird.texts import as_text
from bridge.bird.webhooks import read_shape
from tests.unit import bodies, examples, made_bodies

TOLD_OTHERWISE = {
    "data.from.bsuid": "a handle, where a phone number or an address is known",
    "data.from.username": "a handle, where a phone number or an address is known",
    "payload.sender.contact.identifierValue": "a handle, where a phone number is known",
    "payload.sender.contact.platformAddress": "a handle, where a phone number is known",
    "message.from": "the sender of a mail, where the mail itself gives the address",
    "data.message.conversation_id": "the conversation's id",
    "data.audio.voice": "given in words: Voice message",
    "data.truncated_text": "given in words: the mark of a cut",
    "data.message.content.interactive_data.data.dynamic.data.private": "given in words",
    "payload.body.html.attachments.inline": "whether it is drawn inside the text",
    "payload.body.html.attachments.content": "the file itself",
    "payload.body.section.items.html.attachments.content": "the file itself",
    "payload.meta.order.products.price.amount": "1250 and 2 are shown as 12.50",
    "payload.meta.order.products.price.exponent": "1250 and 2 are shown as 12.50",
    "payload.meta.referral.source": "an ad is called one",
}
UNKNOWN = "Words of nobody known"
pytestmark = pytest.mark.timeout(240)  # the import of the SDK's models takes seconds of CPU


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Texts, numbers and marks, by the keys above them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    elif value not in (None, ""):
        yield path, value


def technical(body: dict[str, Any]) -> Shows:
    if "message" in body:
        return conversations_v1._TECHNICAL
    return channels_api._TECHNICAL if "service" in body else events_2026._TECHNICAL


def is_technical(path: tuple[str, ...], value: object, keys: Shows) -> bool:
    shows = [keys(list(path[:end])) for end in range(1, len(path) + 1)]
    return False in shows or (None in shows and " " not in str(value))


def shown(message: BirdMessage | None) -> str:
    """All that a person can read of a message, as a Lead and as a Case."""
    fields = [*fill(message, "Lead")[0].values(), *fill(message, "Case")[0].values()]
    return "\n".join(map(str, fields))


def missing(body: dict[str, Any]) -> list[str]:
    """Leaves of a body that a person should read and cannot."""
    message = read_shape(body)
    text = shown(message)
    found = []
    for path, value in leaves(body):
        if path in (("service",), ("event",)) or is_technical(path, value, technical(body)):
            continue
        words = str(value).lower() if isinstance(value, bool) else as_text(value)
        pieces = re.findall(r"Word\d+ of\d+x", words) or [words]
        if not all(piece in text for piece in pieces) and not told_otherwise(path, message):
            found.append(f"{'.'.join(path)}: {value}")
    return found


def told_otherwise(path: tuple[str, ...], message: BirdMessage) -> bool:
    name = ".".join(path)
    reason = TOLD_OTHERWISE.get(name, "")
    if "a handle" in reason:
        return bool(message.phone or message.email)
    return bool(reason)


def test_there_is_an_event_for_each_channel_and_a_body_for_each_content() -> None:
    models = made_bodies.models()
    assert set(models) == {*made_bodies.EVENTS, "content"}
    model = models["whatsapp.received"].model_fields["data"].annotation
    envelope = {"whatsapp_id", "workspace_id", "direction", "from_", "to", "tags", "metadata"}
    envelope |= {"in_reply_to_message_id", "origin"}
    assert set(model.model_fields) - envelope == set(made_bodies.CONTENTS["whatsapp.received"])


@pytest.mark.parametrize("kind", made_bodies.MAKES)
def test_every_leaf_that_a_person_could_read_is_in_the_record(kind: str) -> None:
    for body in made_bodies.made(kind):
        assert missing(body) == [], json.dumps(body, indent=1, ensure_ascii=False)


@pytest.mark.parametrize("kind", made_bodies.MAKES)
def test_what_nobody_knows_yet_is_shown_and_told_by_its_path(kind: str) -> None:
    for body in made_bodies.made(kind)[::3]:
        for path in objects(body):
            keys = [key for key in path if isinstance(key, str)]
            if is_technical((*keys, "novelty"), UNKNOWN, technical(body)):
                continue
            more = copy.deepcopy(body)
            into = more
            for key in path:
                into = into[key]
            into["novelty"] = {"deep": [{"words": UNKNOWN}]}
            message = read_shape(more)
            line = ".".join([*keys, "novelty", "deep", "words"])
            assert f"{line}: {UNKNOWN}" in fill(message, "Lead")[0]["Description"], path
            assert line[-100:] in message.unread, (path, message.unread)
            assert UNKNOWN not in "".join(message.unread)


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where an object stands in a body, but for its envelope."""
    if isinstance(value, dict) and path:
        yield path
    for key, one in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(one, (dict, list)):
            yield from objects(one, (*path, key))


def test_a_value_that_is_long_or_secret_is_not_shown_whole() -> None:
    body = bodies.channels({"type": "poll", "poll": {"question": "why " * 900, "token": "abc"}})
    text = shown(read_shape(body))
    assert "why … (open it in Bird)" in text and len(text) < 4_000
    assert "abc" not in text and "payload.body.poll.token: (open it in Bird)" in text


def test_of_very_many_unknown_parts_the_first_are_shown_and_that_there_are_more() -> None:
    poll = {f"option{at}": f"answer {at}" for at in range(5_000)}
    message = read_shape(bodies.channels({"type": "poll", "poll": poll}))
    assert len(message.details) == len(message.unread) == 51
    assert message.details[-1] == "More parts of this message (open it in Bird)"


def test_a_key_that_is_no_key_is_not_logged() -> None:
    """Keys of a free map may be anybody's words."""
    body = bodies.channels({"type": "poll", "poll": {"+4915112345678": "x", "Ada Okafor": "y"}})
    message = read_shape(body)
    assert set(message.unread) == {"payload.body.poll.other"}
    assert "Ada Okafor: y" in shown(message)


def test_docs_messages_md_says_what_the_code_makes_of_a_message_of_each_kind() -> None:
    page = examples.PAGE.read_text(encoding="utf-8")
    assert examples.written(page) == page, "python -m tests.unit.examples writes them anew"


def test_every_list_of_technical_keys_has_its_reason() -> None:
    for lists in json.loads(examples.LISTS.read_text(encoding="utf-8")).values():
        for reason, paths in lists.items():
            assert reason.endswith(".") and paths.split(), reason
